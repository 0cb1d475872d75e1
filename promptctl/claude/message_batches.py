"""Message Batches: calls that Claude answers within a day, for half the price.

https://docs.claude.com/en/docs/build-with-claude/batch-processing
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from promptctl.claude import refusals
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from promptctl.claude.api import Claude

# The limits of one batch: requests, and bytes of all of them.
MOST_REQUESTS = 100_000
MOST_BYTES = 256_000_000
# The kind of a result that is not in the format of Claude's API.
INVALID = "invalid"


class BatchState(Record):
    """How far a batch is. `counts` has the number of requests by result, which is `processing` until the batch ends.

    A count that is not a number is left out.
    """

    id: str
    has_ended: bool
    counts: Mapping[str, int]


class BatchResult(Record):
    """The result of one request of a batch.

    `kind` is "succeeded", "errored", "canceled" or "expired", a kind that a later API may have, or INVALID.
    `message` is the reply as Claude sent it, None unless `kind` is "succeeded": its content is a list of blocks with a
    type. `error_type` is the type of the error of a request that `errored`, else ''.
    """

    custom_id: str
    kind: str
    message: Mapping[str, Any] | None
    error_type: str
    error_message: str


def create(claude: Claude, requests: Mapping[str, Mapping[str, Any]]) -> BatchState:
    """Create a batch of the keywords of `messages.create`, each with an id of at most 64 characters.

    Raises ClaudeFailed.
    """
    entries: list[Any] = [{"custom_id": name, "params": dict(keywords)} for name, keywords in requests.items()]
    return _state(claude.use(lambda client: client.messages.batches.create(requests=entries)))


def retrieve(claude: Claude, batch_id: str) -> BatchState:
    """Return how far a batch is. Raises ClaudeFailed."""
    return _state(claude.use(lambda client: client.messages.batches.retrieve(batch_id)))


def results(claude: Claude, batch_id: str) -> Iterator[BatchResult]:
    """Return the results of a batch that has ended, one after the other, in any order, each custom_id once.

    A line that names no request is left out, for example the last one of a reply that was cut. Raises ClaudeFailed.
    """
    ids: set[str] = set()
    for line in _lines(claude, batch_id):
        try:
            document: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        custom_id = _fields(document).get("custom_id")
        if not isinstance(custom_id, str) or custom_id in ids:
            continue
        ids.add(custom_id)
        yield _result(custom_id, _fields(_fields(document).get("result")))


def _lines(claude: Claude, batch_id: str) -> Iterator[bytes]:
    """Yield the lines of the results. Raises ClaudeFailed.

    The path is made of the id. The URL that the API returns may name another host, which would get the API key.
    """
    import anthropic

    def open_results(client: Any) -> Any:
        path = f"/v1/messages/batches/{quote(batch_id, safe='')}/results"
        options = {"headers": {"Accept": "application/binary"}}
        return client.get(path, cast_to=object, options=options, stream=True, stream_cls=anthropic.Stream[object])

    with contextlib.ExitStack() as stack:
        pieces = claude.use(lambda client: stack.enter_context(open_results(client)).response.iter_bytes())
        rest = b""
        while (piece := claude.use(lambda _: next(pieces, None))) is not None:
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
        yield rest


def _state(batch: Any) -> BatchState:
    status = getattr(batch, "processing_status", None)
    if not isinstance(getattr(batch, "id", None), str) or not isinstance(status, str):
        raise refusals.invalid_reply("it does not describe a batch")
    reported: Any = getattr(batch, "request_counts", None)
    counts = _fields(reported.to_dict(mode="python", warnings=False) if hasattr(reported, "to_dict") else None)
    numbers = {name: count for name, count in counts.items() if type(count) is int and count >= 0}
    return BatchState(batch.id, status == "ended", numbers)


def _result(custom_id: str, fields: Mapping[str, Any]) -> BatchResult:
    kind = fields.get("type")
    message = _fields(fields.get("message")) if kind == "succeeded" else None
    if not isinstance(kind, str) or (message is not None and not _is_reply(message)):
        return BatchResult(custom_id, INVALID, None, "", "")
    error = _fields(_fields(fields.get("error")).get("error"))
    return BatchResult(custom_id, kind, message, str(error.get("type", "")), str(error.get("message", "")))


def _is_reply(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    if not isinstance(message.get("model"), str) or not isinstance(message.get("stop_reason"), str | None):
        return False
    return isinstance(content, list) and all(map(_is_block, cast("list[Any]", content)))


def _is_block(block: Any) -> bool:
    fields = _fields(block)
    kind = fields.get("type")
    return isinstance(kind, str) and (kind != "text" or isinstance(fields.get("text"), str))


def _fields(value: Any) -> dict[str, Any]:
    """Return a JSON object, and an empty one for any other value."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
