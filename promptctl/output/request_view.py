"""Describe the request of a version in a few lines."""

from __future__ import annotations

import json

from promptctl.output import stream, text_width
from promptctl.rules import requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, cast
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


def lines(settings: Mapping[str, Any], reference: str) -> list[str]:
    """Return a line for each key of a request, and one for each tool: its name and the beginning of its description.

    A line is as wide as the terminal at most. If the lines do not have all of the request, the last one has the command
    that prints it.
    """
    request = requests.decode(settings) or {}
    if not request:
        return ["request: {}"]
    described: list[str] = []
    is_whole = True
    for key, value in request.items():
        name = stream.one_line(key)
        if key == "messages":
            described.append(f"request: messages: {len(value)} few-shot message{'s' * (len(value) != 1)}")
            is_whole = False
        elif key == "tools" and isinstance(value, list):
            described += [f"request: tool {_tool(tool)}" for tool in cast("list[Any]", value)]
            is_whole = False
        else:
            described.append(f"request: {name}: {stream.one_line(json.dumps(value, ensure_ascii=False))}")
    cut = [text_width.cut(line, stream.width()) for line in described]
    if cut != described or not is_whole:
        cut.append(f"promptctl show {reference} --request prints all of it")
    return cut


def keys(settings: Mapping[str, Any]) -> str:
    """Return the keys of a request, joined by commas, or ''."""
    request = requests.decode(settings) or {}
    return stream.one_line(", ".join(request))


def _tool(tool: Any) -> str:
    keys = cast("dict[str, Any]", tool) if isinstance(tool, dict) else {}
    if not isinstance(keys.get("name"), str):
        return stream.one_line(json.dumps(tool, ensure_ascii=False))
    description = keys.get("description")
    name = stream.one_line(keys["name"])
    return f"{name}: {stream.one_line(description)}" if isinstance(description, str) else name
