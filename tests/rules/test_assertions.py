"""Types of assertions: their values, thresholds and weights, and the types that are refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from promptctl.rules import assertions
from promptctl.rules.test_cases import Assertion


def make(
    kind: str, value: object = None, threshold: object = None, weight: object = None, metric: object = None
) -> Assertion:
    problems: list[str] = []
    assertion = assertions.make(kind, value, threshold, weight, metric, problems.append)
    assert problems == []
    assert assertion is not None
    return assertion


VALID: list[tuple[tuple[Any, ...], Assertion]] = [
    (("equals", "a"), Assertion("equals", value="a")),
    (("equals", ""), Assertion("equals", value="")),
    (("equals", 42), Assertion("equals", value="42")),
    (("equals", True), Assertion("equals", value="true")),
    (("equals", {"a": [1]}), Assertion("equals", value={"a": [1]})),
    (("not-contains", 1.5), Assertion("contains", is_negated=True, value="1.5")),
    (("contains-any", "a, b"), Assertion("contains-any", value=["a", "b"])),
    (("contains-all", 'a,"b, c",d '), Assertion("contains-all", value=["a", "b, c", "d"])),
    (("contains-all", ["a", 2]), Assertion("contains-all", value=["a", "2"])),
    (("regex", "^a+$"), Assertion("regex", value="^a+$")),
    (("is-json",), Assertion("is-json")),
    (("not-is-json", {"type": "object"}), Assertion("is-json", is_negated=True, value={"type": "object"})),
    (("latency", None, 800), Assertion("latency", threshold=800.0)),
    (("cost", None, 0.01, 0), Assertion("cost", threshold=0.01, weight=0.0)),
    (("llm-rubric", "is polite", 0.8, 2, "Tone"), Assertion("llm-rubric", False, "is polite", 0.8, 2.0, "Tone")),
]


@pytest.mark.parametrize(("keys", "assertion"), VALID)
def test_a_valid_assertion(keys: tuple[Any, ...], assertion: Assertion) -> None:
    assert make(*keys) == assertion


INVALID: list[tuple[tuple[Any, ...], str]] = [
    (("equals",), "equals needs a value"),
    (("contains",), "contains needs a text, not nothing"),
    (("contains", ""), "contains needs a text, not ''"),
    (("icontains", ["a"]), "icontains needs a text, not ['a']"),
    (("starts-with", {}), "starts-with needs a text, not {}"),
    (("contains-any", []), "contains-any needs a list of texts, not []"),
    (("contains-any", ["a", ""]), "contains-any needs a list of texts, not ['a', '']"),
    (("contains-all", 7), "contains-all needs a list of texts, not 7"),
    (("regex", "("), "the pattern '(' is not a regular expression: missing ), unterminated subpattern at position 0"),
    (("is-json", "x"), 'the schema is "x", not an object'),
    (("latency", 800), "latency has a threshold, not a value"),
    (("latency",), "latency needs a threshold in milliseconds"),
    (("not-cost",), "cost needs a threshold in US dollars"),
    (("latency", None, -1), "threshold must be a number from 0, not -1"),
    (("latency", None, math.nan), "threshold must be a number from 0, not nan"),
    (("cost", None, math.inf), "threshold must be a number from 0, not inf"),
    (("llm-rubric", " "), "llm-rubric needs a text that says what the reply must be, not ' '"),
    (("llm-rubric", "a", 1.5), "threshold must be a number from 0 to 1, not 1.5"),
    (("llm-rubric", "a", True), "threshold must be a number from 0 to 1, not True"),
    (("contains", "a", 0.5), "contains has no threshold: a case has one, for the mean of its scores"),
    (("contains", "a", None, -1), "weight must be a number from 0, not -1"),
    (("contains", "a", None, math.nan), "weight must be a number from 0, not nan"),
    (("contains", "a", None, math.inf), "weight must be a number from 0, not inf"),
    (("contains", "a", None, "2"), "weight must be a number from 0, not '2'"),
    (("contains", "a", None, None, 1), "metric must be a text, not 1"),
]


@pytest.mark.parametrize(("keys", "problem"), INVALID)
def test_an_invalid_assertion(keys: tuple[Any, ...], problem: str) -> None:
    problems: list[str] = []
    value, threshold, weight, metric = (*keys[1:], None, None, None, None)[:4]
    assert assertions.make(keys[0], value, threshold, weight, metric, problems.append) is None
    assert problem in problems


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("javascript", "no code is run"),
        ("not-python", "no code is run"),
        ("similar", "use llm-rubric"),
        ("similar:cosine", "use llm-rubric"),
        ("icontains-any", "use regex"),
        ("assert-set", "list its assertions in the case"),
    ],
)
def test_a_type_of_promptfoo_is_refused_with_what_to_use(written: str, instead: str) -> None:
    problems: list[str] = []
    assert assertions.make(written, "a", None, None, None, problems.append) is None
    [problem] = problems
    assert problem.startswith(f"the type {written} is not supported ({instead}")
    assert problem.endswith(
        ": the types are equals, contains, icontains, contains-any, contains-all, starts-with, regex, is-json, "
        "latency, cost, llm-rubric, and not- before each"
    )


def test_an_unknown_type_is_refused_with_the_types() -> None:
    problems: list[str] = []
    assertions.make("contain", "a", None, None, None, problems.append)
    assert problems[0].startswith("the type contain is not supported: did you mean contains? The types are equals,")
    for written, meant in (("contians", "contains"), ("not-contians", "not-contains"), ("IS-JSON", "is-json")):
        problems.clear()
        assertions.make(written, "a", None, None, None, problems.append)
        assert f"did you mean {meant}?" in problems[0]
