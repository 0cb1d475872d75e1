"""Present the content blocks of a reply that are not its text: calls of tools, thinking, and blocks of other kinds."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any, cast

from promptctl.claude.content_blocks import CALL, REDACTED_THINKING, TEXT, THINKING, is_whole_call, kind_of
from promptctl.output import stream
from promptctl.output.text_width import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_INDENT = "  "
# A call of a tool that Claude's own server runs. Its result is another block of the reply.
SERVER_CALL = "server_tool_use"
_NARROWEST_TEXT = 20


def call_lines(block: Mapping[str, Any], width: int) -> str:
    """Return a call for a terminal of this width: the name of the tool, then a line or more for each argument."""
    lines = [f"calls {stream.one_line(str(block.get('name')))}"]
    arguments = block.get("input")
    if isinstance(arguments, dict):
        for name, value in cast("dict[str, Any]", arguments).items():
            lines += _argument_lines(stream.one_line(name), value, width)
    elif arguments is not None:
        lines += _indented(f"arguments that are not JSON: {arguments}", _INDENT, width)
    return "".join(f"{line}\n" for line in lines)


def call_line(block: Mapping[str, Any]) -> str:
    """Return a call for a pipe: the name of the tool, a space, and the arguments as JSON on one line."""
    return f"{stream.one_line(str(block.get('name')))} {stream.json_text(block.get('input'))}\n"


def summary(block: Mapping[str, Any]) -> str:
    """Return a block of any kind but text as one line without control characters: `thinking, 412 words`."""
    kind = kind_of(block)
    if kind == THINKING:
        words = len(str(block.get("thinking", "")).split())
        return f"thinking, {words:,} word{'s' * (words != 1)}" if words else "thinking, without a text"
    if kind == REDACTED_THINKING:
        return "thinking, encrypted"
    if kind == SERVER_CALL:
        return f"calls {stream.one_line(str(block.get('name')))} on Claude's server"
    return stream.one_line(f"{kind or 'a block without a type'}, {len(json.dumps(block)):,} bytes")


def reply_text(blocks: Sequence[Mapping[str, Any]], width: int | None, *, shows_thinking: bool = False) -> str:
    """Return a reply for a terminal of this width, or for a pipe if it is None: its texts, its calls and the rest.

    In a pipe, calls that are not whole, thinking and blocks of other kinds are left out. Texts are as Claude sent them,
    with any control characters.
    """
    parts: list[str] = []
    for block in blocks:
        if block.get("type") == TEXT:
            parts.append(str(block.get("text")))
        elif block.get("type") == CALL:
            line = call_lines(block, width) if width is not None else call_line(block) if is_whole_call(block) else ""
            parts += ["\n", line, "\n"]
        elif width is not None:
            thinking = f"{block.get('thinking')}\n" if shows_thinking and block.get("type") == THINKING else ""
            parts += ["\n", thinking or f"{summary(block)}\n", "\n"]
        else:
            parts.append("\n")
    # A line break separates blocks where the text does not end a line.
    text = ""
    for part in parts:
        text += part if part != "\n" or (text and not text.endswith("\n")) else ""
    return text


def _argument_lines(name: str, value: Any, width: int) -> Iterator[str]:
    """Yield an argument on one line if it fits, else its name, and below it the value, indented."""
    text = _argument_text(value)
    line = f"{_INDENT}{name}: {stream.one_line(text)}"
    if "\n" not in text and columns_of(line) < width:
        yield line
        return
    yield f"{_INDENT}{name}:"
    if any(isinstance(item, (dict, list)) for item in _items(value)):
        text = stream.json_text(value, 2)
    yield from _indented(text.rstrip("\n"), _INDENT * 2, width)


def _items(value: Any) -> Iterable[Any]:
    """Return the values of an object or the items of a list, nothing for any other value."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()


def _argument_text(value: Any) -> str:
    """Return an argument as text. A text is quoted if it reads as another JSON value, or has blanks around it."""
    if not isinstance(value, str):
        return stream.json_text(value)
    is_plain = value == value.strip() and value != ""
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return value if is_plain or "\n" in value else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if "\n" not in value else value


def _indented(text: str, indent: str, width: int) -> Iterator[str]:
    """Yield the lines of a text, escaped, wrapped and indented."""
    # Keep the last column free, as for the text of a reply.
    room = max(width - 1 - len(indent), _NARROWEST_TEXT)
    for line in stream.escape_controls(text.replace("\r\n", "\n")).expandtabs(4).split("\n"):
        # No character takes more than two columns.
        columns = room if columns_of(line) == len(line) else room // 2
        for part in textwrap.wrap(
            line, columns, replace_whitespace=False, drop_whitespace=False, break_on_hyphens=False
        ) or [""]:
            yield f"{indent}{part.rstrip()}".rstrip()
