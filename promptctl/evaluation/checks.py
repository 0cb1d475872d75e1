"""Check the assertions of a case against a reply: all types but `llm-rubric`, which a judge decides.

Types, thresholds and weights mean what they mean in promptfoo.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, cast

from promptctl.evaluation.time_limits import TookTooLong, time_limit
from promptctl.records import Record
from promptctl.rules import assertions, json_documents, json_schemas, json_values, patterns
from promptctl.rules.test_replies import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.rules.test_cases import Assertion, Case
    from promptctl.rules.test_replies import Judgement, Reply

# How long a pattern or a schema may take for one reply.
LIMIT_SECONDS = 1.0
# After a pattern or a schema took too long for so many replies, it is not tried with others.
_MOST_SLOW = 3
_LONGEST_SHOWN = 80
# Below this, a difference of scores comes from rounding.
_ROUNDING = 1e-9


class Check(Record):
    """The result of an assertion on a reply: `score` is from 0 to 1, and `reason` is '' if the assertion holds."""

    passed: bool
    score: float
    reason: str


class NotKnown(Exception):
    """An assertion cannot be decided for a reply. The message is the reason, a sentence without a full stop."""


def check(assertion: Assertion, reply: Reply) -> Check:
    """Return whether an assertion holds for a reply, in the main thread only.

    A pattern or a schema that takes more than a second does not hold, and neither does its negation. After it has taken
    that long for three replies, it does not hold for any further one, without another try. Raises NotKnown
    for a time or a cost that is not known, and ValueError for `llm-rubric`.
    """
    if assertion.kind == assertions.RUBRIC:
        raise ValueError("a judge decides on llm-rubric")
    fault: str | None
    try:
        if assertion.kind in _LIMITED:
            fault = _limited_fault(assertion, reply)
        else:
            fault = _CHECKS[assertion.kind](assertion, reply)
    except TookTooLong:
        return Check(False, 0.0, f"took too long: it was ended after {LIMIT_SECONDS:g} s")
    except _Unusable as unusable:
        return Check(False, 0.0, str(unusable))
    if assertion.is_negated:
        fault = None if fault is not None else _negated_reason(assertion, reply)
    return Check(fault is None, float(fault is None), fault or "")


class _Memory:
    """What this process found by patterns and schemas, so that a report does not wait for them again.

    It has the fault of each text by the assertion and the hash of the text, None where there is none, and TookTooLong.
    """

    def __init__(self) -> None:
        self.faults: dict[tuple[str, str, bytes], str | type[TookTooLong] | None] = {}
        self.slow: dict[tuple[str, str], int] = {}


_memory = _Memory()


def _limited_fault(assertion: Assertion, reply: Reply) -> str | None:
    """Return why a pattern or a schema does not hold, or None. Raises TookTooLong and _Unusable."""
    value = assertion.value if isinstance(assertion.value, str) else canonical_json(assertion.value)
    slow_key = assertion.kind, value
    key = (*slow_key, hashlib.sha256(reply.text.encode("utf-8", "surrogatepass")).digest())
    if key not in _memory.faults:
        if _memory.slow.get(slow_key, 0) >= _MOST_SLOW:
            raise TookTooLong
        try:
            with time_limit(LIMIT_SECONDS):
                _memory.faults[key] = _CHECKS[assertion.kind](assertion, reply)
        except TookTooLong:
            _memory.faults[key] = TookTooLong
            _memory.slow[slow_key] = _memory.slow.get(slow_key, 0) + 1
    fault = _memory.faults[key]
    if fault is TookTooLong:
        raise TookTooLong
    return cast("str | None", fault)


def judged(judgement: Judgement | None) -> Check | None:
    """Return the check of an assertion that a judge decides, None without a judgement."""
    if judgement is None:
        return None
    return Check(judgement.passed, judgement.score, "" if judgement.passed else judgement.reason)


def reply_passes(case: Case, checks: Sequence[Check]) -> bool:
    """Return whether a reply passes, from the checks of its case's assertions, in their order.

    With a threshold, the mean of the scores, weighted with the weights of the assertions, must reach it; with weights
    that are all 0, that mean is 0. Without a threshold, each assertion must hold, but for those of weight 0. A case
    without assertions passes.
    """
    weights = [assertion.weight for assertion in case.assertions]
    if not weights:
        return True
    if case.threshold is None:
        return all(one.passed or weight == 0 for one, weight in zip(checks, weights, strict=True))
    return mean_score(case, checks) >= case.threshold - _ROUNDING


def passes(case: Case, checks: Sequence[Check | None]) -> bool | None:
    """Return whether a reply passes. A check is None if it is not known: the answer is None if that check decides."""
    worst, best = (
        reply_passes(case, [Check(holds, float(holds), "") if one is None else one for one in checks])
        for holds in (False, True)
    )
    return worst if worst == best else None


def mean_score(case: Case, checks: Sequence[Check]) -> float:
    """Return the mean of the scores of a reply, weighted with the weights of the case's assertions; 1 without any."""
    if not case.assertions:
        return 1.0
    weights = [assertion.weight for assertion in case.assertions]
    # Scaled, so that no sum of large weights is infinite.
    largest = max(weights)
    if largest == 0:
        return 0.0
    scaled = [weight / largest for weight in weights]
    total = math.fsum(one.score * weight for one, weight in zip(checks, scaled, strict=True))
    return total / math.fsum(scaled)


def needs_time(case: Case) -> bool:
    """Return whether the time of a reply can decide whether it passes. Replies in batches have no time."""
    return any(one.kind == "latency" and one.weight for one in case.assertions)


class _Unusable(Exception):
    """Neither an assertion nor its negation holds, because its value cannot be used. The message is the reason."""


def _equals(assertion: Assertion, reply: Reply) -> str | None:
    expected = assertion.value
    if isinstance(expected, str):
        return None if reply.text == expected else f"is not equal to {_quoted(expected)}"
    try:
        is_equal = json_values.same(json_documents.parse(reply.text), expected)
    except json_documents.InvalidDocument:
        is_equal = False
    return None if is_equal else f"is not the JSON value {_quoted(expected)}"


def _contains(assertion: Assertion, reply: Reply) -> str | None:
    return None if assertion.value in reply.text else f"does not contain {_quoted(assertion.value)}"


def _icontains(assertion: Assertion, reply: Reply) -> str | None:
    is_in = assertion.value.lower() in reply.text.lower()
    return None if is_in else f"does not contain {_quoted(assertion.value)} in any case"


def _contains_any(assertion: Assertion, reply: Reply) -> str | None:
    is_in = any(text in reply.text for text in assertion.value)
    return None if is_in else f"contains none of {_quoted(assertion.value)}"


def _contains_all(assertion: Assertion, reply: Reply) -> str | None:
    missing = [text for text in assertion.value if text not in reply.text]
    return f"does not contain {', '.join(map(_quoted, missing))}" if missing else None


def _starts_with(assertion: Assertion, reply: Reply) -> str | None:
    return None if reply.text.startswith(assertion.value) else f"does not start with {_quoted(assertion.value)}"


def _regex(assertion: Assertion, reply: Reply) -> str | None:
    # A stored case can have a pattern that another version of Python has accepted.
    if (problem := patterns.problem(assertion.value)) is not None:
        raise _Unusable(f"the pattern {problem}")
    is_match = patterns.compiled(assertion.value).search(reply.text) is not None
    return None if is_match else f"does not match {_quoted(assertion.value)}"


def _is_json(assertion: Assertion, reply: Reply) -> str | None:
    try:
        value = json_documents.parse(reply.text)
    except json_documents.InvalidDocument as problem:
        line = f", line {problem.line}" if problem.line is not None else ""
        in_fence = ": it is in a code block" if reply.text.lstrip().startswith("```") else ""
        return f"is not JSON: {problem.reason.removeprefix('not JSON: ')}{line}{in_fence}"
    if assertion.value is None:
        return None
    try:
        mismatch = json_schemas.mismatch(assertion.value, value)
    except json_schemas.UnusableSchema as problem:
        raise _Unusable(f"the schema {problem}") from None
    return None if mismatch is None else f"does not follow the schema: {mismatch}"


def _latency(assertion: Assertion, reply: Reply) -> str | None:
    if reply.response_ms is None:
        raise NotKnown("the time of a reply in a batch is not known")
    limit = cast("float", assertion.threshold)
    return None if reply.response_ms <= limit else f"took {reply.response_ms:.0f} ms, more than {limit:g} ms"


def _cost(assertion: Assertion, reply: Reply) -> str | None:
    # A reply in a batch is compared with one that is not, so both have the price of a call outside of a batch.
    cost = reply.direct_cost
    if cost is None:
        raise NotKnown(f"the cost is not known, because {reply.model} has no known price")
    limit = cast("float", assertion.threshold)
    return None if cost <= limit else f"cost ${cost:.6g}, more than ${limit:.6g}"


def _negated_reason(assertion: Assertion, reply: Reply) -> str:
    """Return why the negation of an assertion does not hold: the assertion itself does."""
    kind, value = assertion.kind, assertion.value
    if kind == "latency":
        return f"took {reply.response_ms:.0f} ms, not more than {assertion.threshold:g} ms"
    if kind == "cost":
        return f"cost ${reply.direct_cost:.6g}, not more than ${assertion.threshold:.6g}"
    if kind == assertions.IS_JSON:
        return "is JSON" if value is None else "is JSON that follows the schema"
    if kind == "contains-any":
        value = next(text for text in value if text in reply.text)
    return f"{_HOLDS[kind]} {_quoted(value)}"


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


_HOLDS = {
    "equals": "is equal to",
    "contains": "contains",
    "icontains": "contains",
    "contains-any": "contains",
    "contains-all": "contains all of",
    "starts-with": "starts with",
    "regex": "matches",
}
# Each returns why an assertion does not hold, or None.
_CHECKS: dict[str, Callable[[Assertion, Reply], str | None]] = {
    "equals": _equals,
    "contains": _contains,
    "icontains": _icontains,
    "contains-any": _contains_any,
    "contains-all": _contains_all,
    "starts-with": _starts_with,
    "regex": _regex,
    assertions.IS_JSON: _is_json,
    "latency": _latency,
    "cost": _cost,
}
# These may take long: they run in a time limit.
_LIMITED = frozenset(("regex", assertions.IS_JSON))
