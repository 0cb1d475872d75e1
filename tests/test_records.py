"""Records: immutable rows whose fields are set by position, by name or by default."""

from __future__ import annotations

import pytest

from promptctl.records import Record


class _Move(Record):
    name: str
    version: int
    reason: str | None = None
    is_undo: bool = False


class _Activation(_Move):
    release: int = 0


def test_fields_are_set_by_position_by_name_and_by_default():
    whole = ("greeter", 2, "INC-1", True)
    assert _Move(*whole) == whole
    assert _Move("greeter", 2, is_undo=True, reason="INC-1") == whole
    assert _Move(is_undo=True, version=2, name="greeter", reason="INC-1") == whole
    assert _Move("greeter", 2) == ("greeter", 2, None, False)
    assert _Move("greeter", version=2, is_undo=True) == ("greeter", 2, None, True)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (("greeter",), {}),
        (("greeter", 2, None, False, 5), {}),
        (("greeter", 2), {"name": "greeter"}),
        (("greeter", 2), {"epoch": 7}),
        (("greeter", 2, None, False, 5), {"name": "greeter"}),
        ((), {"name": "greeter", "reason": "INC-1"}),
    ],
)
def test_a_missing_an_unknown_and_a_repeated_field_raise_type_error(
    values: tuple[object, ...], named: dict[str, object]
):
    with pytest.raises(TypeError, match="_Move takes name, version, reason, is_undo"):
        _Move(*values, **named)  # pyright: ignore - these are wrong


def test_a_subclass_adds_its_fields_to_those_of_its_base_class():
    move = _Activation("greeter", 2, None, False, 5)
    assert (move.name, move.release) == ("greeter", 5)
    assert move.as_dict() == {"name": "greeter", "version": 2, "reason": None, "is_undo": False, "release": 5}
    with pytest.raises(AttributeError):
        move.release = 6  # pyright: ignore - a record never changes
