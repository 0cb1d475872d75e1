"""Attributes: parsed from a command line and formatted for a table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptctl.rules import attributes

SCALARS = (
    st.text()
    | st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "5", "true", "null", '"', '"5"', "1e3", "-", "NaN", "a, b", " a", "a\n", "x=y"])
)


@given(value=SCALARS)
@example(value=-0.0)
@example(value="\x1f5")
@example(value="5\u3000")
def test_a_formatted_attribute_is_parsed_as_the_same_value(value: Any) -> None:
    [pair] = attributes.format_pairs({"key": value})
    key, _, text = pair.partition("=")
    parsed = attributes.parse(text)
    assert (key, repr(parsed)) == ("key", repr(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("enterprise", "enterprise"),
        ("", ""),
        ("true", True),
        ("false", False),
        ("null", None),
        ("True", "True"),
        ("5", 5),
        ("-5", -5),
        ("5.0", 5.0),
        ("1e3", 1000.0),
        ('"5"', "5"),
        ('""', ""),
        ("5 ", "5 "),
        (" 5", " 5"),
        ("5th", "5th"),
        ("05", "05"),
        ("1e400", "1e400"),
        ("-Infinity", "-Infinity"),
        ("NaN", "NaN"),
        ("[1]", "[1]"),
        ("{}", "{}"),
        ('"5', '"5'),
        ("2026-11-24", "2026-11-24"),
        ("9" * 5000, "9" * 5000),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_a_json_scalar_keeps_its_type_and_everything_else_is_text(text: str, value: Any) -> None:
    assert repr(attributes.parse(text)) == repr(value)


def test_several_attributes_are_formatted_on_one_line() -> None:
    pairs = {"plan": "enterprise", "code": "5", "seats": 50, "paid": True, "x": "a, b", "empty": "", "u": "Zoë"}
    assert attributes.format_line(pairs) == 'plan=enterprise, code="5", seats=50, paid=true, x="a, b", empty=, u=Zoë'
