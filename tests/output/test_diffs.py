"""Differences as they are shown: applied to the old text they give the new, and no shape of a text is slow."""

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


def applied(old: str, difference: str) -> str:
    """Apply a unified diff, as strictly as can be."""
    lines = old.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    result: list[str] = []
    position = 0
    told = difference.split("\n")[2:-1]
    for place, line in enumerate(told):
        text = line[1:] + ("" if place + 1 < len(told) and told[place + 1].startswith("\\") else "\n")
        if line.startswith("@@"):
            start, _, count = line.split()[1][1:].partition(",")
            begin = int(start) - (count != "0")
            result += lines[position:begin]
            position = begin
        elif line[0] in " -":
            assert lines[position] == text
            position += 1
        if line[0] in " +":
            result.append(text)
    return "".join(result + lines[position:])


@given(texts, texts)
def test_a_unified_diff_applied_to_the_old_text_gives_the_new(old: str, new: str) -> None:
    difference = diff_view.unified(old, new, "a", "b")
    assert (difference == "") is (old == new)
    if difference:
        assert applied(old, difference) == new


def test_patch_reads_it(tmp_path: Path) -> None:
    old, new = "a\nb\nc\n" * 30, "x\n" + "a\nb\nc\n" * 15 + "a\nc\n" + "a\nb\nc\n" * 14 + "end"
    (tmp_path / "t").write_text(old)
    difference = diff_view.unified(old, new, "t", "t")
    subprocess.run(["git", "apply", "--unsafe-paths", "-p0", "-"], input=difference.encode(), cwd=tmp_path, check=True)
    assert (tmp_path / "t").read_text() == new


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to a terminal."""
    written: list[str] = []
    monkeypatch.setattr(stream, "to_terminal", lambda: True)
    monkeypatch.setattr(stream, "write", written.append)
    return written


@given(texts, texts)
def test_a_terminal_gets_the_lines_that_a_pipe_gets(old: str, new: str) -> None:
    if old == new:
        return
    seen = diff_view._words(old, new, "a", "b")[2:]  # pyright: ignore[reportPrivateUsage] - `show` writes them
    piped = diff_view.unified(old, new, "a", "b").split("\n")[2:-1]
    assert [line[0] + line[2:] for line in seen if line[0] not in "@\\"] == [
        line for line in piped if line[0] not in "@\\"
    ]
    assert [line for line in seen if line[0] == "@"] == [line for line in piped if line[0] == "@"]


LINE = "the quick brown fox " * 50
SHAPES = {
    "repeated lines": ("line\n" * 12_000, "line\n" * 6_000 + "other\n" + "line\n" * 5_000),
    "lines in turn": ("a\nb\n" * 15_000, "b\na\n" * 15_000),
    "one long line": (LINE * 1_000, LINE * 500 + "cat " + LINE * 499),
    "words in a long line": (LINE * 20, LINE.replace("fox", "cat") * 20),
    "no line in common": ("".join(f"old {n}\n" for n in range(20_000)), "".join(f"new {n}\n" for n in range(20_000))),
    "10 MB": ("x" * 59 + "\n", "y" * 59 + "\n"),
    "10 MB of words": ("word " * 2_000_000, "other " * 1_600_000),
}
SHAPES["10 MB"] = (SHAPES["10 MB"][0] * 170_000, SHAPES["10 MB"][0] * 80_000 + SHAPES["10 MB"][1] * 90_000)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_of_a_text_takes_the_square_of_its_length(
    shape: str, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    old, new = SHAPES[shape]
    steps = 0

    def counted(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(counted)
    try:
        diff_view.show(old, new, "a@1", "a@2")
    finally:
        sys.setprofile(None)
    assert "".join(shown).startswith("--- a@1\n+++ a@2\n@@ ")
    # A few calls a line or word; of the square there would be a hundred million.
    assert steps < 6_000_000


def test_of_a_long_line_only_what_is_around_a_change_is_shown(
    shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    diff_view.show(LINE * 1_000, LINE * 500 + "cat " + LINE * 500, "a", "b")
    assert "cat" in "".join(shown)
    assert len("".join(shown)) < 3_000
    assert "characters …" in "".join(shown)
