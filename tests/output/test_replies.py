"""Replies on a terminal: lines break between words while a reply arrives."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.output import reply_writer, text_width

CURSOR_BACK = re.compile(r"\x1b\[(\d+)D\x1b\[K")


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "24")


def screen(pieces: list[str], columns: int = 24) -> list[str]:
    """Return the rows that a terminal of `columns` shows after the pieces are written."""
    wrapper = reply_writer.Wrapper()
    rows = [""]
    for piece in pieces:
        written = wrapper.add(piece)
        while written:
            if back := CURSOR_BACK.match(written):
                assert int(back[1]) <= text_width.columns_of(rows[-1])
                columns_kept = text_width.columns_of(rows[-1]) - int(back[1])
                while text_width.columns_of(rows[-1]) > columns_kept:
                    rows[-1] = rows[-1][:-1]
                written = written[back.end() :]
                continue
            character, written = written[0], written[1:]
            if character == "\n":
                rows.append("")
            elif text_width.columns_of(rows[-1] + character) > columns:
                rows.append(character)
            else:
                rows[-1] += character
    return rows


def test_a_line_is_broken_between_words() -> None:
    assert screen(["You are a calm assistant who answers in one sentence."]) == [
        "You are a calm ",
        "assistant who answers ",
        "in one sentence.",
    ]


def test_a_word_that_grows_past_the_margin_moves_to_the_next_line() -> None:
    whole = screen(["You are a calm assistant, and helpful."])
    assert screen(["You are a calm assi", "stant, ", "and helpful."]) == whole
    assert screen(list("You are a calm assistant, and helpful.")) == whole


def test_a_word_longer_than_a_line_is_not_broken() -> None:
    url = "https://example.org/a/very/long/path"
    for pieces in ([f"see {url} there"], ["see ", url[:10], url[10:25], url[25:], " there"]):
        assert url in "".join(screen(pieces))


def test_line_ends_are_kept_and_wide_characters_count_as_two_columns() -> None:
    assert screen(["one\n\n  two\n"]) == ["one", "", "  two", ""]
    assert screen(["日本語 日本語 日本語 日本語"]) == ["日本語 日本語 日本語 ", "日本語"]


@given(st.lists(st.text("ab \n日é", max_size=12), max_size=12))
def test_wrapping_adds_only_line_ends_and_loses_no_character(pieces: list[str]) -> None:
    printed = "".join(screen(pieces))
    assert printed.replace(" ", "") == "".join(pieces).replace("\n", "").replace(" ", "")
    for row in screen(pieces):
        assert text_width.columns_of(row) <= 24


@given(st.text("ab \n日é", max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_the_result_does_not_depend_on_where_the_pieces_are_cut(text: str, cuts: list[int]) -> None:
    positions = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in itertools.pairwise(positions)]
    if all(text_width.columns_of(word) <= 23 for word in text.split()):
        assert [row.rstrip() for row in screen(pieces)] == [row.rstrip() for row in screen([text])]


def test_on_a_dumb_terminal_lines_are_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert reply_writer.Wrapper().add("x" * 100 + " y") == "x" * 100 + " y"
