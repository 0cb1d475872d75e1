"""What two sequences have in common: right for every input, near the shortest for small ones, quick for every shape."""

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
    """Hold the stretches to what is promised, and apply them; returns how many items stay."""
    a = b = stay = 0
    built: list[str] = []
    before = None
    for equal, start, end, from_new, to_new in alignment.segments(old, new):
        assert (start, from_new) == (a, b)
        assert equal is not before
        assert end - start + to_new - from_new > 0
        if equal:
            assert old[start:end] == new[from_new:to_new]
            stay += end - start
            built += old[start:end]
        else:
            built += new[from_new:to_new]
        a, b, before = end, to_new, equal
    assert (a, b) == (len(old), len(new))
    assert built == [*new]
    return stay


def longest(old: Sequence[str], new: Sequence[str]) -> int:
    """The length of the longest common subsequence, by the table."""
    row = [0] * (len(new) + 1)
    for item in old:
        above = row[:]
        for place, other in enumerate(new):
            row[place + 1] = above[place] + 1 if item == other else max(above[place + 1], row[place])
    return row[-1]


@given(few, few)
def test_the_difference_is_right_and_the_shortest(old: list[str], new: list[str]) -> None:
    assert check(old, new) == longest(old, new)


@given(few, few)
def test_the_difference_is_right_by_anchors_too(old: list[str], new: list[str]) -> None:
    most = alignment._MOST_DIFFERENCES  # pyright: ignore[reportPrivateUsage] - the way of large inputs, for small ones
    alignment._MOST_DIFFERENCES = -1  # pyright: ignore[reportPrivateUsage, reportConstantRedefinition]
    try:
        check(old, new)
    finally:
        alignment._MOST_DIFFERENCES = most  # pyright: ignore[reportPrivateUsage, reportConstantRedefinition]


@given(few, few, st.integers(0, 4))
def test_passages_hold_all_that_differs_with_what_is_around_it(old: list[str], new: list[str], context: int) -> None:
    found = alignment.segments(old, new)
    grouped = alignment.hunks(found, context)
    assert [each for group in grouped for each in group if not each[0]] == [each for each in found if not each[0]]
    for group in grouped:
        assert any(not each[0] for each in group)
        assert all(each[2] - each[1] <= 2 * context for each in group if each[0])
        for one, other in itertools.pairwise(group):
            assert (one[2], one[4]) == (other[1], other[3])


SHAPES = {
    "repeated": (["x"] * 10_000, ["x"] * 9_000 + ["y"] + ["x"] * 500),
    "two in turn": (["x", "y"] * 5_000, ["y", "x"] * 5_000 + ["y"]),
    "nothing in common": ([f"a{n}" for n in range(10_000)], [f"b{n}" for n in range(10_000)]),
    "turned round": ([str(n) for n in range(10_000)], [str(n) for n in range(10_000, 0, -1)]),
    "shuffled": (
        [str(n % 97) for n in range(10_000)],
        random.Random(1).sample([str(n % 97) for n in range(10_000)], 9000),
    ),
    "one to many": (["x"], ["x"] * 20_000),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_takes_more_than_some_steps_an_item(shape: str) -> None:
    old, new = SHAPES[shape]
    steps = 0

    def counted(_: object, event: str, __: object) -> object:
        nonlocal steps
        steps += event == "line"
        return counted

    sys.settrace(counted)  # pyright: ignore[reportArgumentType] - a function that returns itself has no finite type
    try:
        found = alignment.segments(old, new)
    finally:
        sys.settrace(None)
    assert found
    # The square would be 100 000 000.
    assert steps < 3_000_000
    check(old, new)
