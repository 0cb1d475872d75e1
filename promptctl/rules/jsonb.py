"""Parse the text of a `jsonb` value without the module `json`, which imports `re` and so takes 7 ms."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LITERALS = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}


def parse(text: str) -> Any:
    """Return the value of a text that PostgreSQL has written: valid JSON, with one space after each colon and comma.

    A text with an escape is parsed by the module `json`, and so is any text if the application has imported `json`.
    Raises ValueError or IndexError for a text that PostgreSQL has not written.
    """
    if "json" in sys.modules or "\\" in text:
        import json

        return json.loads(text)
    value, end = _value(text, 0)
    if end != len(text):
        raise ValueError(f"there is more after {end}")
    return value


def _value(text: str, start: int) -> tuple[Any, int]:
    """Return the value that begins at an index, and the index after it."""
    first = text[start]
    if first == '"':
        end = text.index('"', start + 1)
        return text[start + 1 : end], end + 1
    if first == "{":
        return _object(text, start + 1)
    if first == "[":
        return _array(text, start + 1)
    if first in _LITERALS:
        word, value = _LITERALS[first]
        return value, start + len(word)
    end = start
    while end < len(text) and text[end] not in ",]}":
        end += 1
    number = text[start:end]
    return (int(number) if number.lstrip("-").isdigit() else float(number)), end


def _object(text: str, start: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    while text[start] != "}":
        key, start = _value(text, start)
        values[key], start = _value(text, _after(text, start, ": "))
        if text[start] == ",":
            start = _after(text, start, ", ")
    return values, start + 1


def _array(text: str, start: int) -> tuple[list[Any], int]:
    values: list[Any] = []
    while text[start] != "]":
        value, start = _value(text, start)
        values.append(value)
        if text[start] == ",":
            start = _after(text, start, ", ")
    return values, start + 1


def _after(text: str, start: int, separator: str) -> int:
    """Return the index after a separator, which must begin at an index."""
    if not text.startswith(separator, start):
        raise ValueError(f"{separator!r} is missing at {start}")
    return start + len(separator)
