"""Blocks of a reply on a terminal: readable at any width, and without control characters."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl.output import block_view
from promptctl.output.text_width import columns_of

HOSTILE = "\x1b[2J\x9b31m\u202e\x07"


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}


def test_no_control_character_of_a_block_reaches_a_terminal() -> None:
    arguments = {
        f"key{HOSTILE}": HOSTILE,
        "lines": f"one{HOSTILE}\r\ntwo\t{HOSTILE}",
        "list": [HOSTILE, {"a": HOSTILE}],
    }
    shown = [
        block_view.call_lines(call(f"a{HOSTILE}\nb", arguments), 40),
        block_view.call_lines(call("a", f"not JSON {HOSTILE}"), 40),
        block_view.call_line(call(f"a{HOSTILE}\nb", arguments)).removesuffix("\n"),
        block_view.summary({"type": f"kind{HOSTILE}\n"}),
        block_view.summary({"type": "server_tool_use", "name": f"a{HOSTILE}\n"}),
    ]
    assert all(character == "\n" or character.isprintable() for text in shown for character in text)
    assert [text.count("\n") for text in shown[2:]] == [0, 0, 0]


@pytest.mark.parametrize("width", [80, 40, 30])
def test_a_call_fits_the_width_of_the_terminal(width: int) -> None:
    arguments = {
        "text": "word " * 60, "wide": "日本語の文章です。" * 12, "long": "x" * 200, "code": "if a:\n        b()\n",
        "numbers": list(range(100)), "objects": [{"name": "n" * 100}],
    }  # fmt: skip
    lines = block_view.call_lines(call("run", arguments), width).splitlines()
    assert max(map(columns_of, lines)) < width
    assert "            b()" in lines


def test_an_argument_is_quoted_where_it_could_be_another_value() -> None:
    arguments = {"a": "2", "b": 2, "c": "", "d": " x", "e": "true", "f": True, "g": None, "h": "plain text", "i": '"q"'}
    assert block_view.call_lines(call("run", arguments), 80).splitlines() == [
        "calls run", '  a: "2"', "  b: 2", '  c: ""', '  d: " x"', '  e: "true"', "  f: true", "  g: null",
        "  h: plain text", '  i: "\\"q\\""',
    ]  # fmt: skip
    assert block_view.call_lines(call("run", {}), 80) == "calls run\n"
    assert block_view.call_lines({"type": "tool_use"}, 80) == "calls None\n"


def test_a_summary_names_the_kind_of_a_block() -> None:
    assert [
        block_view.summary(block)
        for block in (
            {"type": "thinking", "thinking": "word " * 1234}, {"type": "thinking", "thinking": "one"},
            {"type": "redacted_thinking"}, {"type": "hologram"},
        )
    ] == ["thinking, 1,234 words", "thinking, 1 word", "thinking, encrypted", "hologram, 20 bytes"]  # fmt: skip
