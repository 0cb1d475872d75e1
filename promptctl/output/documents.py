"""Write answers as JSON. docs/json.md documents the keys of each answer."""

from __future__ import annotations

import json

from promptctl.output import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# `json.dumps` escapes C0 controls, and the newlines of an indented object must stay.
_ESCAPED = {code: f"\\u{code:04x}" for code in stream.CONTROLS if code >= 0x7F}


def show(document: Mapping[str, Any]) -> None:
    """Write one JSON object: indented on a terminal, on one line in a pipe."""
    stream.write(encoded(document, 2 if stream.to_terminal() else None) + "\n")


def show_line(document: Mapping[str, Any]) -> None:
    """Write one JSON object on one line, for an answer of several objects."""
    stream.write(encoded(document) + "\n")


def encoded(document: Mapping[str, Any], indent: int | None = None) -> str:
    """Return a JSON object as text in which all control and suspicious invisible characters are escaped."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    if not text.isascii():
        from promptctl.rules import invisible_characters

        text = invisible_characters.escape(text, lambda character: json.dumps(character)[1:-1])
    return text.translate(_ESCAPED)
