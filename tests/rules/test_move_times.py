"""Times of moves in the order of the moves, where some of them are wrong."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.rules import move_times


@pytest.mark.parametrize(
    ("times", "end", "expected", "replaced"),
    [
        ([], 10, [], 0),
        ([1, 1, 2], 2, [1, 1, 2], 0),
        # Ahead, behind, and one of each: of several parts of the same length, the one with the least times is kept.
        ([0, 15, 10, 23], 30, [0, 10, 10, 23], 1),
        ([0, 15, 2, 23], 30, [0, 2, 2, 23], 1),
        ([5, 6, 1, 9], 30, [5, 6, 6, 9], 1),
        ([5, 9, 1, 6], 30, [1, 1, 1, 6], 2),
        # After the end: between moves, at the end, and all of them.
        ([0, 99, 5], 10, [0, 5, 5], 1),
        ([0, 5, 99, 98], 10, [0, 5, 10, 10], 2),
        ([99, 98], 10, [10, 10], 2),
    ],
)
def test_a_wrong_time_becomes_the_nearest_one_in_order(
    times: list[float], end: float, expected: list[float], replaced: int
) -> None:
    assert move_times.in_order(times, end) == (expected, replaced)


@given(st.lists(st.integers(-3, 8), max_size=8), st.integers(-2, 6))
def test_the_times_ascend_and_as_many_as_possible_are_kept(times: list[int], end: int) -> None:
    ordered, replaced = move_times.in_order(times, end)
    assert ordered == sorted(ordered)
    assert all(one <= end for one in ordered)
    parts = (part for size in range(len(times), -1, -1) for part in itertools.combinations(times, size))
    longest = next(part for part in parts if list(part) == sorted(part) and all(one <= end for one in part))
    assert replaced == len(times) - len(longest)
    assert sum(one == given for one, given in zip(ordered, times, strict=True)) >= len(longest)
    # Each time is one that was there, or the end.
    assert set(ordered) <= {*times, end}
    assert move_times.in_order(ordered, end) == (ordered, 0)


def test_ten_thousand_moves_take_a_fraction_of_a_second() -> None:
    begin = time.process_time()
    move_times.in_order([number + 40 * (number % 7) for number in range(10_000)], 10_000)
    move_times.in_order([-number for number in range(10_000)], 0)
    assert time.process_time() - begin < 0.5
