"""Records of a test: a reply of Claude to a case, the verdict of a judge on it, and an assertion that it fails. Pure.

Both are kept in the database. A reply belongs to what was sent, so every version with the same text shares it.
"""

from __future__ import annotations

import hashlib
import json

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.records import Timestamp


# The part of the price that a call in a batch costs.
BATCH_PRICE = 0.5
# The reason of a FailedCheck whose replies have no verdict, and therefore neither pass nor fail.
NO_VERDICT = "no verdict of the judge"


class Reply(Record):
    """What Claude returned for one case, once.

    `request_hash` is the hash of everything that was sent (`hash_of_request`). `model` is the model that Claude
    returned, which for an alias is another name than the one that was sent. `text` joins the texts of `blocks`.
    `input_tokens` is all of the input, with both cached parts. A number is None if Claude did not report it, and
    `response_ms` is None in a batch. `cost` is in US dollars, None if the model has no known price. `id` is a UUID, of
    version 7 outside of batches.
    """

    case_hash: str
    request_hash: str
    model: str
    blocks: list[dict[str, Any]]
    text: str
    stop_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    response_ms: float | None
    cost: float | None
    created_at: Timestamp
    id: str

    @property
    def direct_cost(self) -> float | None:
        """What the call costs in US dollars if it is not in a batch, None if the model has no known price."""
        return self.cost if self.cost is None or self.response_ms is not None else self.cost / BATCH_PRICE


class Judgement(Record):
    """What a judge says of one reply by one rubric.

    `judging_key` is the hash of the judge and the rubric. `score` is from 0 to 1. `calls` is how many calls of the
    judge it took, and `cost` what they cost in US dollars, None if the model has no known price. `model` is the model
    that Claude returned for the last of them, at `created_at`.
    """

    reply_id: str
    judging_key: str
    passed: bool
    score: float
    reason: str
    calls: int
    cost: float | None
    model: str
    created_at: Timestamp


class FailedCheck(Record):
    """An assertion that new replies of a case fail: its `label`, the reason of the first failure, and its number.

    With the reason NO_VERDICT, the judge gave these replies no verdict.
    """

    label: str
    reason: str
    times: int


def reply_of_text(case_hash: str, text: str, identifier: str = "") -> Reply:
    """Return a reply that Claude did not make, for the request of a judge."""
    unknown: dict[str, Any] = dict.fromkeys(Reply.fields)
    texts: dict[str, Any] = {
        "case_hash": case_hash, "request_hash": "", "model": "", "blocks": [{"type": "text", "text": text}],
        "text": text, "created_at": "", "id": identifier,
    }  # fmt: skip
    return Reply(**{**unknown, **texts})


def hash_of_request(keywords: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hexadecimal, of the keywords of `messages.create`: the model and max_tokens among them."""
    return hashlib.sha256(canonical_json(keywords).encode("utf-8", "surrogatepass")).hexdigest()


def canonical_json(value: Any) -> str:
    """Return a JSON value as compact text with sorted keys, which is the same for equal values."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def readable_blocks(blocks: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the content blocks among these values: any program may store replies, with any JSON in their blocks."""
    return [block for block in blocks if isinstance(block, dict)]


def text_of(blocks: Sequence[Mapping[str, Any]]) -> str:
    """Return the texts of the content blocks of a reply, joined; '' if it has none."""
    return "".join(
        block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)
    )
