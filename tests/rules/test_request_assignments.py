"""Assignments of --request-set: one value of a request each."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl.rules import request_assignments


@pytest.mark.parametrize(
    ("assignment", "request_value"),
    [
        ("thinking.type=adaptive", {"a": [{"b": 1}], "thinking": {"type": "adaptive"}}),
        ("temperature=0.5", {"a": [{"b": 1}], "temperature": 0.5}),
        ('stop_sequences=["END"]', {"a": [{"b": 1}], "stop_sequences": ["END"]}),
        ("x=a=b", {"a": [{"b": 1}], "x": "a=b"}),
        ("x=", {"a": [{"b": 1}], "x": ""}),
        ('x="1"', {"a": [{"b": 1}], "x": "1"}),
        ("a.0.b=null", {"a": [{"b": None}]}),
        ("a.0=2", {"a": [2]}),
    ],
)
def test_one_value_is_set_by_its_path(assignment: str, request_value: dict[str, Any]) -> None:
    request: dict[str, Any] = {"a": [{"b": 1}]}
    request_assignments.set_value(request, assignment)
    assert request == request_value


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("thinking", "is not KEY=VALUE, such as thinking.type=adaptive"),
        ("=1", "is not KEY=VALUE, such as thinking.type=adaptive"),
        ("a..b=1", "is not KEY=VALUE, such as thinking.type=adaptive"),
        ("a.1=2", "a is a list of 1: 1 is not a place in it"),
        ("a.x.y=2", "a is a list of 1: x is not a place in it"),
        ("a.0.b.c=2", "a.0.b is a number, not an object"),
        ("x=NaN", "NaN is not a JSON number"),
        ('x={"a": 1, "a": 2}', "the key 'a' appears twice"),
        ('x={"a": 1', "the value begins as JSON, and is not JSON: Expecting ',' delimiter"),
        ("x=[1,", "the value begins as JSON, and is not JSON: Expecting value"),
        ('x= "END', "the value begins as JSON, and is not JSON: Unterminated string starting at"),
        ("tools.0.name=x", "there is no list tools, so no place 0 in it: set tools=[...]"),
        ("x.y.0=1", "there is no list x.y, so no place 0 in it: set x.y=[...]"),
    ],
)
def test_an_assignment_that_has_no_place_is_refused(assignment: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        request_assignments.set_value({"a": [{"b": 1}]}, assignment)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("assignments", "are_contradicted"),
    [
        (["a.b=1", "a.c=2"], [False, False]),
        (["a={}", "a.b=1"], [False, False]),
        (['a={"b": 1}', "a.b=1.0"], [False, False]),
        (["a.0.b=2", "a.0.c=3"], [False, False]),
        (["x=1", "x=1"], [False, False]),
        (["x=1", "x=2"], [True, False]),
        (['x={"y": 1}', "x.y=true"], [True, False]),
        (["thinking.type=adaptive", "thinking=3"], [True, False]),
        (["a.0.b=2", "a=[]"], [True, False]),
        (["x=[1]", "x=[1, 2]"], [True, False]),
    ],
)
def test_an_assignment_is_contradicted_by_a_later_one(assignments: list[str], are_contradicted: list[bool]) -> None:
    request: dict[str, Any] = {"a": [{"b": 1}]} if assignments[0].startswith("a.0") else {}
    for assignment in assignments:
        request_assignments.set_value(request, assignment)
    assert [request_assignments.contradicted(request, assignment) for assignment in assignments] == are_contradicted
