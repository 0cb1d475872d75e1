"""Cases: canonical documents and hashes, labels, and what keeps a case from being run with a version."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.rules import json_documents, test_cases
from promptctl.rules.test_cases import Assertion, Case

FULL = Case(
    description="Refund",
    values={"plan": "pro", "b": "{braces}"},
    messages=({"role": "user", "content": "Can I have my money back?"},),
    assertions=(
        Assertion("contains", is_negated=True, value="no", weight=0.5, metric="tone"),
        Assertion("latency", threshold=800.0),
    ),
    threshold=0.75,
    repeat=5,
    is_critical=True,
    group="refunds",
    judge="judges/helpful@3",
)


def test_a_document_has_only_the_keys_that_are_set() -> None:
    assert Case().document() == {}
    assert FULL.document() == {
        "description": "Refund",
        "vars": {"plan": "pro", "b": "{braces}"},
        "messages": [{"role": "user", "content": "Can I have my money back?"}],
        "assert": [
            {"type": "not-contains", "value": "no", "weight": 0.5, "metric": "tone"},
            {"type": "latency", "threshold": 800.0},
        ],
        "threshold": 0.75,
        "repeat": 5,
        "critical": True,
        "group": "refunds",
        "judge": "judges/helpful@3",
    }


def test_the_hash_is_that_of_the_canonical_text() -> None:
    case = Case(description="é", values={"b": "2", "a": "1"})
    assert case.canonical_text == '{"description":"é","vars":{"a":"1","b":"2"}}'
    assert case.hash == hashlib.sha256(case.canonical_text.encode()).hexdigest()
    assert case.hash == Case(description="é", values={"a": "1", "b": "2"}).hash
    assert case.hash != Case(description="e", values={"a": "1", "b": "2"}).hash


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
NUMBERS = st.none() | st.floats(0, 1)
ASSERTIONS = st.builds(
    Assertion,
    kind=st.sampled_from(["contains", "is-json", "cost"]),
    is_negated=st.booleans(),
    value=JSON,
    threshold=NUMBERS,
    weight=st.floats(0, 10),
    metric=st.none() | st.text(max_size=4),
)
CASES = st.builds(
    Case,
    description=st.text(max_size=5),
    values=st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=3),
    messages=st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text()}), max_size=2).map(tuple),
    assertions=st.lists(ASSERTIONS, max_size=3).map(tuple),
    threshold=NUMBERS,
    repeat=st.none() | st.integers(1, 9),
    is_critical=st.booleans(),
    group=st.none() | st.text(max_size=4),
    judge=st.none() | st.text(max_size=4),
)


@given(CASES)
def test_a_case_survives_its_document(case: Case) -> None:
    again = Case.from_document(json.loads(json.dumps(case.document())))
    assert again == case
    assert again.hash == case.hash


INVALID: list[tuple[Any, str]] = [
    ([], "a case is not an object"),
    ({"vars": {"a": 1}}, "vars is not an object of texts"),
    ({"messages": ["a"]}, "messages is not a list of objects"),
    ({"assert": [{}]}, "type is missing"),
    ({"assert": ["a"]}, "an assertion is not an object"),
    ({"assert": [{"type": "cost", "threshold": True}]}, "threshold is not a number"),
    ({"threshold": "1"}, "threshold is not a number"),
    ({"repeat": 0}, "repeat is not a whole number from 1"),
    ({"critical": 1}, "critical is not true or false"),
    ({"description": 1}, "description is not a text"),
]


@pytest.mark.parametrize(("document", "reason"), INVALID)
def test_a_document_that_is_no_case_is_refused(document: object, reason: str) -> None:
    with pytest.raises(json_documents.InvalidDocument, match=reason):
        Case.from_document(document)


def test_the_order_of_cases_does_not_change_their_hash() -> None:
    assert test_cases.cases_hash([FULL, Case()]) == test_cases.cases_hash([Case(), FULL])
    assert test_cases.cases_hash([FULL]) != test_cases.cases_hash([FULL, FULL])


@pytest.mark.parametrize(
    ("assertion", "label"),
    [
        (Assertion("contains", value="30 days"), 'contains "30 days"'),
        (Assertion("contains", is_negated=True, value="a\nb"), 'not-contains "a\\nb"'),
        (Assertion("contains-any", value=["a", "b"]), 'contains-any ["a", "b"]'),
        (Assertion("latency", threshold=4000.0), "latency 4000"),
        (Assertion("cost", threshold=0.0005), "cost 0.0005"),
        (Assertion("is-json"), "is-json"),
        (Assertion("is-json", value={"type": "object"}), "is-json with a schema"),
        (Assertion("llm-rubric", value="polite", metric="Tone"), "llm-rubric (Tone)"),
        (Assertion("contains", value="x" * 99), 'contains "' + "x" * 58 + "…"),
    ],
)
def test_labels(assertion: Assertion, label: str) -> None:
    assert assertion.label == label


def test_the_title_is_the_first_of_description_message_values_and_hash() -> None:
    message = {"role": "user", "content": "a\n b"}
    assert Case(description="d", messages=(message,)).title == "d"
    assert Case(values={"a": "1"}, messages=(message, {"role": "assistant", "content": []})).title == "a b"
    assert Case(values={"a": "1", "b": "2"}).title == "a=1, b=2"
    assert Case().title == Case().hash[:12]


def test_values_must_fit_the_variables_of_a_version() -> None:
    message = ({"role": "user", "content": "a"},)
    assert test_cases.case_problems(Case(values={"a": "{b}"}, messages=message), {"a", "c"}, ["a"]) == []
    assert test_cases.case_problems(Case(values={"plann": "1"}, messages=message), {"plan"}, []) == [
        "has a value for plann, which is not a variable of the version: did you mean plan?"
    ]
    assert test_cases.case_problems(Case(messages=message), {"a", "b"}, ["a", "b"]) == [
        "has no value for the variables a, b: add vars"
    ]


def test_a_case_without_messages_needs_few_shot_messages() -> None:
    assert test_cases.case_problems(Case(), (), ()) == [
        "has no message, and the version has no few-shot messages: add message"
    ]
    assert test_cases.case_problems(Case(), (), (), has_few_shot_messages=True) == []
