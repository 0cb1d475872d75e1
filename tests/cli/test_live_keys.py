"""Keys of the live screen: what a terminal sends for them, and what they change."""

from __future__ import annotations

import pytest

from promptctl.cli.live.choices import Choices
from promptctl.cli.live.keys import KeyReader


@pytest.mark.parametrize(
    ("pieces", "keys"),
    [
        ([b"q"], ["q"]),
        ([b"\x1b[A\x1bOB\x1b[5~\x1b[H\r"], ["up", "down", "page up", "home", "enter"]),
        # An arrow that arrives in pieces, as over a slow line, and a character in two bytes.
        ([b"\x1b", b"[", b"B", b"\xc3", b"\xa9"], ["down", "é"]),
        # A key that is not known, and a control character.
        ([b"\x1b[1;5Xj\x01\x7f"], ["j", "backspace"]),
        ([b"\x1bq"], ["escape", "q"]),
        ([b"\xff"], ["\ufffd"]),
    ],
)
def test_bytes_become_keys(pieces: list[bytes], keys: list[str]) -> None:
    reader = KeyReader()
    assert [key for piece in pieces for key in reader.feed(piece)] == keys
    assert not reader.is_in_sequence


def test_escape_alone_is_a_key_once_nothing_follows() -> None:
    reader = KeyReader()
    assert (reader.feed(b"\x1b"), reader.is_in_sequence) == ([], True)
    assert (reader.flush(), reader.is_in_sequence, reader.flush()) == (["escape"], False, [])


NAMES = [f"p{number}" for number in range(10)]


def pressed(state: Choices, *keys: str, names: list[str] = NAMES) -> Choices:
    for key in keys:
        state.press(key, names, 4)
    return state


def test_the_selection_stays_on_its_prompt_when_the_order_changes() -> None:
    state = pressed(Choices("uses"), "down", "j", "k")
    assert state.place(NAMES) == 1
    assert state.place(NAMES[::-1]) == 8
    assert pressed(state, "e").sort == "errors"
    assert (state.place(NAMES), state.is_reversed) == (1, False)
    assert pressed(state, "e").is_reversed
    assert not pressed(state, "u").is_reversed
    # The prompt is gone: the first one is selected.
    assert state.place(["a", "b"]) == 0
    # At the top, whichever prompt is first is selected.
    assert pressed(state, "home").place(NAMES[::-1]) == 0


def test_rows_scroll_with_the_selection() -> None:
    state = Choices("uses")
    seen: list[tuple[int, int]] = []
    for key in ("page down", "down", "end", "down", "page up", "up", "up", "up", "g"):
        place = pressed(state, key).place(NAMES)
        seen.append((place, state.scroll(len(NAMES), place, 4)))
    assert seen == [(4, 1), (5, 2), (9, 6), (9, 6), (5, 5), (4, 4), (3, 3), (2, 2), (0, 0)]
    # A screen without room, and a list that became shorter.
    assert state.scroll(10, 9, 0) == 9
    assert state.scroll(2, 0, 4) == 0
    pressed(state, "down", "enter", names=[])
    assert state.opened is None


def test_a_prompt_opens_a_filter_is_typed_and_help_is_left() -> None:
    state = pressed(Choices("uses"), "down", "enter")
    assert state.opened == "p1"
    assert pressed(state, "u", "down", "j", "page down", "k").offset == 5
    assert pressed(state, "page up", "page up").offset == 0
    assert pressed(state, "down", "escape").opened is None
    assert pressed(state, "enter").offset == 0
    assert pressed(state, "left").opened is None
    pressed(state, "/", "P", "q", "backspace", "2")
    assert (state.is_typing, state.pattern, state.should_quit) == (True, "P2", False)
    assert [name for name in NAMES if state.matches(name)] == ["p2"]
    assert not pressed(state, "enter").is_typing
    assert pressed(state, "escape").pattern == ""
    assert pressed(state, "/", "x", "escape").pattern == ""
    assert pressed(state, "?").shows_help
    assert not pressed(state, "x").shows_help
    assert pressed(state, "q").should_quit
