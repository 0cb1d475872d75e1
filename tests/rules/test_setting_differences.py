"""What differs between the settings of two versions."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl.rules import requests
from promptctl.rules.setting_differences import differences


def of_requests(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the path and the kind of each difference between two requests, as they are stored."""
    found = differences({"request": requests.encode(old)}, {"request": requests.encode(new)})
    return [(difference.path, difference.kind) for difference in found]


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ({"temperature": 1}, {"temperature": 1.0}, "request.temperature"),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2.0]}}, "request.a.b"),
        ({"tools": [{"name": "t", "limit": 0}]}, {"tools": [{"name": "t", "limit": -0.0}]}, "request.tools[t].limit"),
        ({"a": [{"x": 1, "y": 2}, 3]}, {"a": [{"y": 2, "x": 1}, 3]}, "request.a"),
    ],
)
def test_values_in_a_request_differ_if_their_texts_do(old: dict[str, Any], new: dict[str, Any], path: str) -> None:
    assert of_requests(old, new) == [(path, "changed")]
    assert of_requests(old, old) == of_requests(new, new) == []


def test_values_of_other_settings_are_equal_by_the_rules_of_jsonb() -> None:
    assert differences({"max_tokens": 1, "own": [1, {"x": 1.0}]}, {"max_tokens": 1.0, "own": [1.0, {"x": 1}]}) == []


class CountedName(str):
    """A name that counts how often names are compared."""

    __slots__ = ()
    comparisons = 0

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedName.comparisons += 1
        return str.__eq__(self, other)


def test_the_time_to_compare_named_items_is_linear() -> None:
    count = 2000
    old, new = ([{"name": CountedName(f"tool {place}")} for place in range(count)] for _ in range(2))
    assert differences({"request": {"tools": old}}, {"request": {"tools": new}}) == []
    assert CountedName.comparisons < 20 * count
