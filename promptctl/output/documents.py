"""JSON, the stable form: bare, snake_case, times in RFC 3339. docs/json.md has every shape."""

from __future__ import annotations

import json

from promptctl.output import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# The line ends of an indented object stay; all other C0 controls are escaped already.
_ESCAPED = {code: f"\\u{code:04x}" for code in stream.CONTROLS if code >= 0x7F}


def show(document: Mapping[str, Any]) -> None:
    """Write one JSON object: indented on a terminal, on one line in a pipe."""
    stream.write(encoded(document, 2 if stream.to_terminal() else None) + "\n")


def show_line(document: Mapping[str, Any]) -> None:
    """Write one JSON object on a line of its own, for answers of several objects."""
    stream.write(encoded(document) + "\n")


def encoded(document: Mapping[str, Any], indent: int | None = None) -> str:
    """Return a JSON object as text that a terminal shows and does not obey: what JSON lets pass is escaped too."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    if not text.isascii():
        from promptctl.rules import invisible_characters

        text = invisible_characters.escape(text, lambda character: json.dumps(character)[1:-1])
    return text.translate(_ESCAPED)
