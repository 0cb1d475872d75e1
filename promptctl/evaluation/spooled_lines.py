"""Read a line of a file of results. Only what `SpooledResults` writes is accepted, because a disk damages anything."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, cast

from promptctl.rules.test_replies import FailedCheck, Judgement, Reply
from promptctl.store.test_runs import CaseOutcome, RunOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from promptctl.evaluation.storage import Storage

    Check = Callable[[object], bool]

_HEXADECIMAL = frozenset("0123456789abcdef")
# What the database's bigint has room for.
_MOST = 2**63 - 1


def parse(raw: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line, None if it is none that has a database and a run. Raises ValueError."""
    try:
        fields: Any = json.loads(raw, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is too deep") from None
    is_result = isinstance(fields, dict) and {"database", "run"} <= cast("dict[str, Any]", fields).keys()
    return cast("dict[str, Any]", fields) if is_result else None


def action(fields: Mapping[str, Any], storage: Storage) -> tuple[Callable[[], object], int]:
    """Return what stores the result of a line, and how many replies it has. Raises ValueError for a damaged line."""
    kind = next((kind for kind in _LINES if kind in fields), None)
    if kind is None or not _has(_HEAD | _LINES[kind])(fields):
        raise ValueError("it is not the result of a run")
    run: int = fields["run"]
    if kind == "replies":
        sha256, replies = fields["sha256"], [Reply(**one) for one in fields["replies"]]
        return lambda: storage.record_replies(run, sha256, replies), len(replies)
    if kind == "judgements":
        judge_sha256, judgements = fields["judge_sha256"], [Judgement(**one) for one in fields["judgements"]]
        return lambda: storage.record_judgements(judge_sha256, judgements), 0
    if kind == "batch":
        return lambda: storage.record_batch(run, fields["batch"], fields["requests"]), 0
    if kind == "ended_batch":
        return lambda: storage.end_batch(fields["ended_batch"]), 0
    outcome, results = RunOutcome(**fields["outcome"]), [_case_outcome(one) for one in fields["results"]]
    return lambda: storage.end_run(run, outcome, results), 0


def _case_outcome(fields: Mapping[str, Any]) -> CaseOutcome:
    failures: Any = [FailedCheck(**failure) for failure in fields["failures"]]
    return CaseOutcome(**{**fields, "failures": failures})


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_id(value: object) -> bool:
    """Return whether a value can be the id of a batch, or of a request in one."""
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isascii() and value.isprintable()


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEXADECIMAL


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_number(value: object) -> bool:
    # Of 1e999, Python makes infinity.
    return (type(value) is int or type(value) is float) and -1e12 <= value <= 1e12


def _is_hashes_of_request(value: object) -> bool:
    """Return whether a value has the hashes of the case, of the request and of the text, which is '' for a judge."""
    hashes = cast("list[object]", value)
    return isinstance(value, list) and len(hashes) == 3 and all(one == "" or _is_hash(one) for one in hashes)


def _is_object_of_requests(value: object) -> bool:
    requests = cast("dict[object, object]", value)
    return isinstance(value, dict) and all(_is_id(one) and _is_hashes_of_request(requests[one]) for one in requests)


def _anything(value: object) -> bool:  # noqa: ARG001 - a check
    """Accept a block of a reply: Claude may send other ones tomorrow."""
    return True


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, cast("list[object]", value)))


def _has(checks: Mapping[str, Check]) -> Check:
    """Return the check of an object that has these keys and no others."""

    def check(value: object) -> bool:
        fields = cast("dict[str, object]", value)
        return (
            isinstance(value, dict)
            and fields.keys() == checks.keys()
            and all(one(fields[key]) for key, one in checks.items())
        )

    return check


_REPLY: dict[str, Check] = {
    "case_hash": _is_hash,
    "request_hash": _is_hash,
    "model": _is_text,
    "blocks": _list_of(_anything),
    "text": _is_text,
    "stop_reason": _or_none(_is_text),
    "input_tokens": _or_none(_is_count),
    "output_tokens": _or_none(_is_count),
    "cache_read_tokens": _or_none(_is_count),
    "cache_write_tokens": _or_none(_is_count),
    "response_ms": _or_none(_is_number),
    "cost": _or_none(_is_number),
    "created_at": _is_text,
    "id": _is_uuid,
}
_JUDGEMENT: dict[str, Check] = {
    "reply_id": _is_uuid,
    "judging_key": _is_hash,
    "passed": _is_flag,
    "score": _is_number,
    "reason": _is_text,
    "calls": _is_count,
    "cost": _or_none(_is_number),
    "model": _is_text,
    "created_at": _is_text,
}
_OUTCOME: dict[str, Check] = {
    "verdict": _or_none(_is_text),
    "failure": _or_none(_is_text),
    "why": _or_none(_is_text),
    "change": _or_none(_is_number),
    "lower": _or_none(_is_number),
    "upper": _or_none(_is_number),
    "p": _or_none(_is_number),
    "needed_cases": _or_none(_is_count),
    "needed_repeats": _or_none(_is_count),
    "new_calls": _is_count,
    "kept_replies": _is_count,
    "judge_calls": _is_count,
    "errors": _is_count,
    "input_tokens": _or_none(_is_count),
    "output_tokens": _or_none(_is_count),
    "cost": _or_none(_is_number),
    "is_stale": _is_flag,
    "notes": _list_of(_is_text),
    "returned_models": _list_of(_is_text),
}
_FAILURE: dict[str, Check] = {"label": _is_text, "reason": _is_text, "times": _is_count}
_RESULT: dict[str, Check] = {
    "place": _is_count,
    "baseline_passes": _is_count,
    "baseline_replies": _is_count,
    "new_passes": _is_count,
    "new_replies": _is_count,
    "errors": _is_count,
    "is_changed": _is_flag,
    "verdict": _or_none(_is_text),
    "p": _or_none(_is_number),
    "baseline_ids": _list_of(_is_uuid),
    "new_ids": _list_of(_is_uuid),
    "failures": _list_of(_has(_FAILURE)),
}
_HEAD: dict[str, Check] = {"database": _is_text, "run": _is_count}
# The keys of each kind of line besides those of its head, by the key that no other kind has.
_LINES: dict[str, dict[str, Check]] = {
    "replies": {"sha256": _is_hash, "replies": _list_of(_has(_REPLY))},
    "judgements": {"judge_sha256": _is_hash, "judgements": _list_of(_has(_JUDGEMENT))},
    "batch": {"batch": _is_id, "requests": _is_object_of_requests},
    "ended_batch": {"ended_batch": _is_id},
    "outcome": {"outcome": _has(_OUTCOME), "results": _list_of(_has(_RESULT))},
}
