"""Attributes of a request as text, `plan=enterprise` or `seats=5`: parse and format them. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse(text: str) -> Any:
    """Return the value of a text: a JSON number, quoted string, true, false or null as in JSON; else the text itself.

    An array, an object, NaN and a number that overflows are text.
    """
    if text in _WORDS:
        return _WORDS[text]
    # Almost no text begins like this, and importing `json` takes 7 ms.
    if text[:1] not in '-0123456789"' or not text or text[-1].isspace():
        return text
    import json

    def finite(digits: str) -> float:
        if (number := float(digits)) - number != 0:
            raise ValueError(digits)
        return number

    try:
        return json.loads(text, parse_constant=finite, parse_float=finite)
    except ValueError:
        return text


def format_line(attributes: Mapping[str, Any]) -> str:
    """Return attributes on one line: `plan=enterprise, code="5"`."""
    return ", ".join(format_pairs(attributes))


def format_pairs(attributes: Mapping[str, Any]) -> list[str]:
    """Return each attribute as `key=value`, where `parse` returns the same value for the text after the `=`."""
    return [f"{key}={_format(value)}" for key, value in attributes.items()]


def _format(value: Any) -> str:
    is_plain = isinstance(value, str) and parse(value) == value and '"' not in value and "," not in value
    if is_plain and value == value.strip():
        return value
    import json

    return json.dumps(value, ensure_ascii=False)
