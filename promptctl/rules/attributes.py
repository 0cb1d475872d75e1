"""Attributes of a request as text, `plan=enterprise` or `seats=5`: parse and format them. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse(text: str) -> Any:
    """Return the value of a text. A number, a quoted string, true, false and null are read as JSON.

    Any other text is the value itself, also an array, an object, NaN and a number that is too large.
    """
    if text in _WORDS:
        return _WORDS[text]
    # Most texts cannot be a number or a quoted string. They need no `json`, whose import takes 7 ms. White space at the
    # end, which JSON ignores, is a part of the text.
    if text[:1] not in '-0123456789"' or not text or text[-1].isspace():
        return text
    import json

    def finite_number(digits: str) -> float:
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            raise ValueError(digits)
        return number

    try:
        return json.loads(text, parse_constant=finite_number, parse_float=finite_number)
    except ValueError:
        return text


def format_line(attributes: Mapping[str, Any]) -> str:
    """Return attributes on one line: `plan=enterprise, code="5"`."""
    return ", ".join(format_pairs(attributes))


def format_pairs(attributes: Mapping[str, Any]) -> list[str]:
    """Return each attribute as `key=value`. `parse` returns the same value for the text after the `=`."""
    return [f"{key}={_format(value)}" for key, value in attributes.items()]


def _format(value: Any) -> str:
    """Return a text as it is if it cannot be misread, any other value as JSON."""
    is_plain = isinstance(value, str) and parse(value) == value and '"' not in value and "," not in value
    if is_plain and value == value.strip():
        return value
    import json

    return json.dumps(value, ensure_ascii=False)
