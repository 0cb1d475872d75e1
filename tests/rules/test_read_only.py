"""Read-only JSON values: equal to ordinary ones, refused where they would change, copied as ordinary ones."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.rules.read_only import read_only

if TYPE_CHECKING:
    from collections.abc import Callable

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def is_changeable(value: Any) -> bool:
    """Return whether a value consists of ordinary objects and lists only."""
    if isinstance(value, dict):
        return type(value) is dict and all(map(is_changeable, value.values()))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list):
        return type(value) is list and all(map(is_changeable, value))  # pyright: ignore[reportUnknownArgumentType]
    return True


@given(value=json_values)
def test_a_read_only_value_equals_the_ordinary_one(value: Any) -> None:
    frozen = read_only(value)
    assert frozen == value
    assert json.dumps(frozen) == json.dumps(value)
    assert json.dumps(frozen, indent=2) == json.dumps(value, indent=2)
    for copied in (copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert json.dumps(copied) == json.dumps(value)
        assert is_changeable(copied)


CHANGES: dict[str, Callable[[Any], object]] = {
    "dict[]": lambda value: value.__setitem__("a", 1),
    "dict del": lambda value: value.__delitem__("a"),
    "dict.clear": lambda value: value.clear(),
    "dict.pop": lambda value: value.pop("a"),
    "dict.popitem": lambda value: value.popitem(),
    "dict.setdefault": lambda value: value.setdefault("b", 1),
    "dict.update": lambda value: value.update(b=1),
    "list[]": lambda value: value["list"].__setitem__(0, 1),
    "list del": lambda value: value["list"].__delitem__(slice(None)),
    "list.append": lambda value: value["list"].append(1),
    "list.clear": lambda value: value["list"].clear(),
    "list.extend": lambda value: value["list"].extend([1]),
    "list.insert": lambda value: value["list"].insert(0, 1),
    "list.pop": lambda value: value["list"].pop(),
    "list.remove": lambda value: value["list"].remove(2),
    "list.reverse": lambda value: value["list"].reverse(),
    "list.sort": lambda value: value["list"].sort(),
    "an object in a list": lambda value: value["list"][1].update(x=2),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_read_only_value_refuses_changes(change: Callable[[Any], object]) -> None:
    frozen = read_only({"a": 1, "list": [2, {"x": 1}]})
    with pytest.raises(TypeError, match="does not change"):
        change(frozen)
    assert frozen == {"a": 1, "list": [2, {"x": 1}]}


def test_adding_in_place_makes_an_ordinary_value() -> None:
    holder = {"frozen": read_only({"list": [1], "object": {"a": 1}})}
    added = longer = holder["frozen"]["list"]
    added += [2]
    longer *= 2
    merged = holder["frozen"]["object"]
    merged |= {"b": 2}
    assert (added, longer, merged) == ([1, 2], [1, 1], {"a": 1, "b": 2})
    assert is_changeable([added, longer, merged])
    assert holder["frozen"] == {"list": [1], "object": {"a": 1}}


def test_a_shallow_copy_can_be_changed() -> None:
    frozen = read_only({"a": {"b": 1}})
    copied = copy.copy(frozen)
    copied["c"] = 1
    assert frozen == {"a": {"b": 1}}
