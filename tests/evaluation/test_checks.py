"""Checks of replies, as promptfoo does them, and patterns and schemas that would take for ever."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.evaluation import checks
from promptctl.evaluation.checks import Check, check, reply_passes
from promptctl.evaluation.time_limits import TookTooLong, time_limit
from promptctl.rules.test_cases import Assertion, Case
from promptctl.rules.test_replies import Reply


def reply(text: str, response_ms: float | None = 900.0, cost: float | None = 0.01) -> Reply:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}]
    return Reply(
        "c",
        "r",
        "claude-x",
        blocks,
        text,
        "end_turn",
        1,
        1,
        0,
        0,
        response_ms,
        cost,
        "2026-11-12T09:30:00Z",
        "id",
    )


# Kind, value or threshold, text of the reply, the reason for which the assertion fails, None if it holds, and the
# reason for which its negation fails.
TABLE: list[tuple[str, Any, str, str | None, str | None]] = [
    ("equals", "Paris", "Paris", None, 'is equal to "Paris"'),
    ("equals", "Paris", "Paris.", 'is not equal to "Paris"', None),
    ("equals", "", "", None, 'is equal to ""'),
    ("equals", {"a": 1}, '{"a": 1.0}', None, 'is equal to {"a": 1}'),
    ("equals", {"a": 1}, '{"a": true}', 'is not the JSON value {"a": 1}', None),
    ("equals", [1], "no JSON", "is not the JSON value [1]", None),
    ("contains", "30 days", "in 30 days", None, 'contains "30 days"'),
    ("contains", "30 Days", "in 30 days", 'does not contain "30 Days"', None),
    ("icontains", "30 DAYS", "in 30 days", None, 'contains "30 DAYS"'),
    ("icontains", "x", "in 30 days", 'does not contain "x" in any case', None),
    ("contains-any", ["x", "days"], "in 30 days", None, 'contains "days"'),
    ("contains-any", ["x", "z"], "in 30 days", 'contains none of ["x", "z"]', None),
    ("contains-all", ["30", "days"], "in 30 days", None, 'contains all of ["30", "days"]'),
    ("contains-all", ["x", "days", "z"], "in 30 days", 'does not contain "x", "z"', None),
    ("starts-with", "in", "in 30 days", None, 'starts with "in"'),
    ("starts-with", "30", "in 30 days", 'does not start with "30"', None),
    ("regex", r"\d+ days$", "in 30 days", None, r'matches "\\d+ days$"'),
    ("regex", "^days", "in 30 days", 'does not match "^days"', None),
    ("is-json", None, "[1, 2]", None, "is JSON"),
    ("is-json", None, "[1, 2", "is not JSON: Expecting ',' delimiter, line 1", None),
    ("is-json", None, "[NaN]", "is not JSON: NaN is not a JSON number, line 1", None),
    ("is-json", None, "```json\n{}\n```", "is not JSON: Expecting value, line 1: it is in a code block", None),
    ("is-json", {"type": "object"}, "{}", None, "is JSON that follows the schema"),
    ("is-json", {"type": "object"}, "[]", "does not follow the schema: $: [] is not of type 'object'", None),
    ("latency", 900.0, "", None, "took 900 ms, not more than 900 ms"),
    ("latency", 899.0, "", "took 900 ms, more than 899 ms", None),
    ("cost", 0.01, "", None, "cost $0.01, not more than $0.01"),
    ("cost", 0.009, "", "cost $0.01, more than $0.009", None),
]


@pytest.mark.parametrize(("kind", "value", "text", "reason", "negated_reason"), TABLE)
def test_an_assertion_and_its_negation(
    kind: str, value: Any, text: str, reason: str | None, negated_reason: str | None
) -> None:
    is_limit = kind in ("latency", "cost")
    for is_negated, expected in ((False, reason), (True, negated_reason)):
        assertion = Assertion(kind, is_negated, None if is_limit else value, value if is_limit else None)
        passed = expected is None
        assert check(assertion, reply(text)) == Check(passed, float(passed), expected or "")


@pytest.mark.parametrize("is_negated", [False, True])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("latency", "the time of a reply in a batch is not known"),
        ("cost", "the cost is not known, because claude-x has no known price"),
    ],
)
def test_a_time_and_a_cost_that_are_not_known_decide_nothing(kind: str, reason: str, is_negated: bool) -> None:
    with pytest.raises(checks.NotKnown, match=reason):
        check(Assertion(kind, is_negated, threshold=1.0), reply("{}", response_ms=None, cost=None))


def test_the_cost_in_a_batch_is_that_of_a_call_outside_of_it() -> None:
    in_batch = reply("", response_ms=None, cost=0.005)
    for threshold, reason in ((0.01, ""), (0.009, "cost $0.01, more than $0.009")):
        assert check(Assertion("cost", threshold=threshold), in_batch).reason == reason
    assert check(Assertion("cost", True, threshold=0.01), in_batch).reason == "cost $0.01, not more than $0.01"


def test_what_cannot_be_used_fails_with_and_without_negation() -> None:
    for assertion, reason in [
        (Assertion("is-json", value={"$ref": "#/a"}), "the schema refers to #/a, which it does not have"),
        (
            Assertion("regex", value="("),
            "the pattern is not a regular expression: missing ), unterminated subpattern at",
        ),
    ]:
        for is_negated in (False, True):
            result = check(Assertion(assertion.kind, is_negated, *assertion[2:]), reply("{}"))
            assert (result.passed, result.score) == (False, 0.0)
            assert result.reason.startswith(reason)


@pytest.mark.parametrize(
    "assertion",
    [
        Assertion("regex", value="(a+)+$"),
        Assertion("regex", is_negated=True, value="(a+)+$"),
        Assertion("is-json", value={"items": {"pattern": "^(a+)+$"}}),
        Assertion("is-json", value={"patternProperties": {"^(a+)+$": False}}),
        # Each level of the schema doubles the work.
        Assertion(
            "is-json",
            is_negated=True,
            value={
                "$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n - 1}"}] * 2} for n in range(1, 60)} | {"0": {}},
                "$ref": "#/$defs/59",
            },
        ),
    ],
    ids=["regex", "not-regex", "pattern", "patternProperties", "references"],
)
def test_what_would_take_for_ever_is_ended(assertion: Assertion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LIMIT_SECONDS", 0.05)
    text = "a" * 60 + "b"
    json_text = f'{{"{text}": 1}}' if "patternProperties" in (assertion.value or {}) else f'["{text}"]'
    began = time.monotonic()
    result = check(assertion, reply(text if assertion.kind == "regex" else json_text))
    assert result == Check(False, 0.0, "took too long: it was ended after 0.05 s")
    assert time.monotonic() - began < 5


def test_what_took_too_long_is_not_tried_with_every_reply_and_never_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def limit(seconds: float) -> contextlib.AbstractContextManager[None]:
        tried.append(seconds)
        return time_limit(seconds)

    monkeypatch.setattr(checks, "LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(checks, "time_limit", limit)
    slow = Assertion("regex", value="(a+)+%")
    texts = ["fast %a%", *("a" * 60 + str(number) for number in range(10))]
    too_long = Check(False, 0.0, "took too long: it was ended after 0.05 s")
    # Once in the run, and once in each report.
    for _ in range(3):
        results = [check(slow, reply(text)) for text in texts]
        assert results == [Check(True, 1.0, ""), *[too_long] * 10]
    assert check(Assertion("regex", value="(a+)+%", is_negated=True), reply(texts[1])) == too_long
    assert len(tried) == 1 + 3
    # Another pattern is tried.
    assert check(Assertion("regex", value="a+1"), reply(texts[2])).passed
    assert len(tried) == 5


def test_a_time_limit_leaves_the_signals_as_they_were() -> None:
    fired: list[int] = []
    earlier = signal.signal(signal.SIGALRM, lambda number, _: fired.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TookTooLong), time_limit(0.02):
            time.sleep(5)
        assert fired == []
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left <= 0.3
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with time_limit(60):
            pass
        time.sleep(0.05)
        assert fired == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


def test_a_judge_decides_on_a_rubric() -> None:
    with pytest.raises(ValueError, match="a judge decides"):
        check(Assertion("llm-rubric", value="polite"), reply(""))


PASS, FAIL = Check(True, 1.0, ""), Check(False, 0.0, "a reason")
HALF = Check(False, 0.5, "a reason")


def case(*weights: float, threshold: float | None = None) -> Case:
    return Case(
        assertions=tuple(Assertion("contains", value="a", weight=weight) for weight in weights), threshold=threshold
    )


PASSES: list[tuple[Case, list[Check], bool]] = [
    (case(), [], True),
    (case(threshold=1.0), [], True),
    (case(1, 1), [PASS, PASS], True),
    (case(1, 1), [PASS, FAIL], False),
    (case(1, 0), [PASS, FAIL], True),
    (case(1, 1, threshold=0.5), [PASS, FAIL], True),
    (case(1, 1, threshold=0.51), [PASS, FAIL], False),
    (case(3, 1, threshold=0.75), [PASS, FAIL], True),
    (case(3, 0, threshold=1.0), [PASS, FAIL], True),
    (case(1, 1, threshold=0.75), [PASS, HALF], True),
    (case(1, threshold=0.0), [FAIL], True),
    (case(0, threshold=0.5), [PASS], False),
    # In floating-point numbers, 0.1 + 0.7 is less than 0.8.
    (case(0.7, 0.1, 0.2, threshold=0.8), [PASS, PASS, FAIL], True),
    (case(1e308, 1e308, threshold=0.5), [PASS, FAIL], True),
]


@pytest.mark.parametrize(("one", "results", "passes"), PASSES)
def test_when_a_reply_passes(one: Case, results: list[Check], passes: bool) -> None:
    assert reply_passes(one, results) is passes


@given(st.lists(st.tuples(st.floats(0, 1e9), st.booleans()), min_size=1, max_size=8))
def test_the_mean_score_is_between_0_and_1_and_grows_with_each_check(items: list[tuple[float, bool]]) -> None:
    one = case(*(weight for weight, _ in items))
    results = [PASS if passed else FAIL for _, passed in items]
    mean = checks.mean_score(one, results)
    assert 0 <= mean <= 1 + 1e-12
    for place, (_, passed) in enumerate(items):
        if not passed:
            better = [*results[:place], PASS, *results[place + 1 :]]
            assert checks.mean_score(one, better) >= mean
