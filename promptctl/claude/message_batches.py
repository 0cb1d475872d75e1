"""Message Batches: calls that Claude answers within a day, for half the price.

https://docs.claude.com/en/docs/build-with-claude/batch-processing
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from promptctl.claude import refusals
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Literal

    from promptctl.claude.api import Claude

# The limits of one batch: requests, and bytes of all of them.
MOST_REQUESTS = 100_000
MOST_BYTES = 256_000_000
# What a call in a batch costs, as a part of the price of the same call alone.
PRICE_PART = 0.5


class BatchState(Record):
    """How far a batch is. `counts` has the number of requests by result, which is `processing` until the batch ends."""

    id: str
    has_ended: bool
    counts: Mapping[str, int]


class BatchResult(Record):
    """The result of one request of a batch.

    `message` is the reply as Claude sent it, None unless `kind` is "succeeded". `error_type` is the type of the error
    of a request that `errored`, else ''.
    """

    custom_id: str
    kind: Literal["succeeded", "errored", "canceled", "expired"]
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
    """Return the results of a batch that has ended, one after the other, in any order. Raises ClaudeFailed."""
    stream = claude.use(lambda client: iter(client.messages.batches.results(batch_id)))
    while (line := claude.use(lambda _: next(stream, None))) is not None:
        yield _result(line.to_dict(mode="python", warnings=False))


def _state(batch: Any) -> BatchState:
    counts = getattr(batch, "request_counts", None)
    status = getattr(batch, "processing_status", None)
    if not isinstance(getattr(batch, "id", None), str) or not isinstance(status, str) or counts is None:
        raise refusals.invalid_reply("it does not describe a batch")
    return BatchState(batch.id, status == "ended", counts.to_dict(mode="python", warnings=False))


def _result(line: Mapping[str, Any]) -> BatchResult:
    result: Any = line.get("result")
    if not isinstance(line.get("custom_id"), str) or not isinstance(result, dict):
        raise refusals.invalid_reply("a line is not the result of a request")
    fields = cast("dict[str, Any]", result)
    kind = fields.get("type")
    message = fields.get("message") if kind == "succeeded" else None
    outer = cast("dict[str, Any]", fields.get("error") or {})
    error = cast("dict[str, Any]", outer.get("error") or {})
    return BatchResult(
        line["custom_id"], cast("Any", kind), message, str(error.get("type", "")), str(error.get("message", ""))
    )
