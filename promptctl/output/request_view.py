"""Describe the request of a version in a few lines."""

from __future__ import annotations

import json

from promptctl.output import stream
from promptctl.rules import requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, cast
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


_LONGEST_VALUE = 60


def lines(settings: Mapping[str, Any]) -> list[str]:
    """Return a line for each key of a request, and one for each tool: its name and the beginning of its description."""
    request = requests.decode(settings) or {}
    if not request:
        return ["request: {}"]
    described: list[str] = []
    for key, value in request.items():
        name = stream.one_line(key)
        if key == "messages":
            described.append(f"request: messages: {len(value)} few-shot message{'s' * (len(value) != 1)}")
        elif key == "tools" and isinstance(value, list):
            described += [f"request: tool {_tool(tool)}" for tool in cast("list[Any]", value)]
        else:
            described.append(f"request: {name}: {_shortened(json.dumps(value, ensure_ascii=False))}")
    return described


def _tool(tool: Any) -> str:
    keys = cast("dict[str, Any]", tool) if isinstance(tool, dict) else {}
    if not isinstance(keys.get("name"), str):
        return _shortened(json.dumps(tool, ensure_ascii=False))
    description = keys.get("description")
    name = stream.one_line(keys["name"])
    return f"{name}: {_shortened(description)}" if isinstance(description, str) else name


def _shortened(text: str) -> str:
    line = stream.one_line(text)
    return line if len(line) <= _LONGEST_VALUE else line[: _LONGEST_VALUE - 1] + "…"
