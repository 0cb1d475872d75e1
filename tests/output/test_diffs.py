"""Printed diffs: applied to the old text they produce the new one, and no kind of text is slow to compare."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.output import diff_view, stream

if TYPE_CHECKING:
    from pathlib import Path

texts = st.text(st.sampled_from("ab \n"), max_size=60)


def apply_diff(old: str, difference: str) -> str:
    """Return the old text with a unified diff applied, and check each line of context."""
    lines = old.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    result: list[str] = []
    position = 0
    lines_of_diff = difference.split("\n")[2:-1]
    for number, line in enumerate(lines_of_diff):
        text = line[1:] + (
            "" if number + 1 < len(lines_of_diff) and lines_of_diff[number + 1].startswith("\\") else "\n"
        )
        if line.startswith("@@"):
            start, _, count = line.split()[1][1:].partition(",")
            first = int(start) - (count != "0")
            result += lines[position:first]
            position = first
        elif line[0] in " -":
            assert lines[position] == text
            position += 1
        if line[0] in " +":
            result.append(text)
    return "".join(result + lines[position:])


@given(texts, texts)
def test_applying_a_unified_diff_to_the_old_text_gives_the_new_text(old: str, new: str) -> None:
    difference = diff_view.unified(old, new, "a", "b")
    assert (difference == "") is (old == new)
    if difference:
        assert apply_diff(old, difference) == new


def test_git_apply_accepts_a_unified_diff(tmp_path: Path) -> None:
    old, new = "a\nb\nc\n" * 30, "x\n" + "a\nb\nc\n" * 15 + "a\nc\n" + "a\nb\nc\n" * 14 + "end"
    (tmp_path / "t").write_text(old)
    difference = diff_view.unified(old, new, "t", "t")
    subprocess.run(["git", "apply", "--unsafe-paths", "-p0", "-"], input=difference.encode(), cwd=tmp_path, check=True)
    assert (tmp_path / "t").read_text() == new


@pytest.fixture
def terminal_output(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pieces that are written to a terminal, as a list that grows."""
    pieces: list[str] = []
    monkeypatch.setattr(stream, "to_terminal", lambda: True)
    monkeypatch.setattr(stream, "write", pieces.append)
    return pieces


@given(texts, texts)
def test_a_terminal_and_a_pipe_get_the_same_lines(old: str, new: str) -> None:
    if old == new:
        return
    colored = diff_view._word_diff(old, new, "a", "b")[2:]  # pyright: ignore[reportPrivateUsage] - `show` writes them
    piped = diff_view.unified(old, new, "a", "b").split("\n")[2:-1]
    assert [line[0] + line[2:] for line in colored if line[0] not in "@\\"] == [
        line for line in piped if line[0] not in "@\\"
    ]
    assert [line for line in colored if line[0] == "@"] == [line for line in piped if line[0] == "@"]


LINE = "the quick brown fox " * 50
SHAPES = {
    "repeated lines": ("line\n" * 12_000, "line\n" * 6_000 + "other\n" + "line\n" * 5_000),
    "alternating lines": ("a\nb\n" * 15_000, "b\na\n" * 15_000),
    "one long line": (LINE * 1_000, LINE * 500 + "cat " + LINE * 499),
    "words in a long line": (LINE * 20, LINE.replace("fox", "cat") * 20),
    "no line in common": ("".join(f"old {n}\n" for n in range(20_000)), "".join(f"new {n}\n" for n in range(20_000))),
    "10 MB": ("x" * 59 + "\n", "y" * 59 + "\n"),
    "10 MB of words": ("word " * 2_000_000, "other " * 1_600_000),
}
SHAPES["10 MB"] = (SHAPES["10 MB"][0] * 170_000, SHAPES["10 MB"][0] * 80_000 + SHAPES["10 MB"][1] * 90_000)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_diff_of_any_shape_of_text_avoids_quadratic_time(
    shape: str, terminal_output: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    old, new = SHAPES[shape]
    calls = 0

    def count_call(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count_call)
    try:
        diff_view.show(old, new, "a@1", "a@2")
    finally:
        sys.setprofile(None)
    assert "".join(terminal_output).startswith("--- a@1\n+++ a@2\n@@ ")
    # Linear time is a few calls for each line or word; quadratic time is a hundred million calls.
    assert calls < 6_000_000


def test_a_long_line_is_cut_to_the_text_around_its_change(
    terminal_output: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    diff_view.show(LINE * 1_000, LINE * 500 + "cat " + LINE * 500, "a", "b")
    assert "cat" in "".join(terminal_output)
    assert len("".join(terminal_output)) < 3_000
    assert "characters …" in "".join(terminal_output)
