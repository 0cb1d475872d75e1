"""JSON, the stable form: bare, snake_case, times in RFC 3339. docs/json.md has every shape."""

from __future__ import annotations

import json

from promptctl.output import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def show(document: Mapping[str, Any]) -> None:
    """Write one JSON object: indented on a terminal, on one line in a pipe."""
    stream.write(json.dumps(document, ensure_ascii=False, indent=2 if stream.to_terminal() else None) + "\n")


def show_line(document: Mapping[str, Any]) -> None:
    """Write one JSON object on a line of its own, for answers of several objects."""
    stream.write(json.dumps(document, ensure_ascii=False) + "\n")
