"""Alignment of two sequences: correct for every input, the shortest difference for small ones, fast for every shape."""

from __future__ import annotations

import itertools
import random
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.rules import alignment

if TYPE_CHECKING:
    from collections.abc import Sequence

few = st.lists(st.sampled_from("abc"), max_size=30)


def check(old: Sequence[str], new: Sequence[str]) -> int:
    """Check the segments and apply them; return how many items the sequences have in common."""
    old_position = new_position = common = 0
    result: list[str] = []
    before = None
    for equal, start, end, from_new, to_new in alignment.segments(old, new):
        assert (start, from_new) == (old_position, new_position)
        assert equal is not before
        assert end - start + to_new - from_new > 0
        if equal:
            assert old[start:end] == new[from_new:to_new]
            common += end - start
            result += old[start:end]
        else:
            result += new[from_new:to_new]
        old_position, new_position, before = end, to_new, equal
    assert (old_position, new_position) == (len(old), len(new))
    assert result == [*new]
    return common


def longest_common_subsequence(old: Sequence[str], new: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, by dynamic programming."""
    row = [0] * (len(new) + 1)
    for item in old:
        above = row[:]
        for column, other in enumerate(new):
            row[column + 1] = above[column] + 1 if item == other else max(above[column + 1], row[column])
    return row[-1]


@given(few, few)
def test_a_difference_is_correct_and_the_shortest(old: list[str], new: list[str]) -> None:
    assert check(old, new) == longest_common_subsequence(old, new)


@given(few, few)
def test_a_difference_found_by_anchors_is_correct(old: list[str], new: list[str]) -> None:
    limit = alignment._MOST_DIFFERENCES  # pyright: ignore[reportPrivateUsage] - small inputs use the method for large ones
    alignment._MOST_DIFFERENCES = -1  # pyright: ignore[reportPrivateUsage, reportConstantRedefinition]
    try:
        check(old, new)
    finally:
        alignment._MOST_DIFFERENCES = limit  # pyright: ignore[reportPrivateUsage, reportConstantRedefinition]


@given(few, few, st.integers(0, 4))
def test_hunks_contain_every_change_with_its_context(old: list[str], new: list[str], context: int) -> None:
    segments = alignment.segments(old, new)
    hunks = alignment.hunks(segments, context)
    assert [segment for hunk in hunks for segment in hunk if not segment[0]] == [
        segment for segment in segments if not segment[0]
    ]
    for hunk in hunks:
        assert any(not segment[0] for segment in hunk)
        assert all(segment[2] - segment[1] <= 2 * context for segment in hunk if segment[0])
        for previous, following in itertools.pairwise(hunk):
            assert (previous[2], previous[4]) == (following[1], following[3])


SHAPES = {
    "repeated": (["x"] * 10_000, ["x"] * 9_000 + ["y"] + ["x"] * 500),
    "alternating": (["x", "y"] * 5_000, ["y", "x"] * 5_000 + ["y"]),
    "nothing in common": ([f"a{n}" for n in range(10_000)], [f"b{n}" for n in range(10_000)]),
    "reversed": ([str(n) for n in range(10_000)], [str(n) for n in range(10_000, 0, -1)]),
    "shuffled": (
        [str(n % 97) for n in range(10_000)],
        random.Random(1).sample([str(n % 97) for n in range(10_000)], 9000),
    ),
    "one to many": (["x"], ["x"] * 20_000),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_alignment_of_any_shape_avoids_quadratic_time(shape: str) -> None:
    old, new = SHAPES[shape]
    steps = 0

    def count_line(_: object, event: str, __: object) -> object:
        nonlocal steps
        steps += event == "line"
        return count_line

    sys.settrace(count_line)  # pyright: ignore[reportArgumentType] - a function that returns itself has no finite type
    try:
        segments = alignment.segments(old, new)
    finally:
        sys.settrace(None)
    assert segments
    # Quadratic time would be 100 000 000 steps.
    assert steps < 3_000_000
    check(old, new)
