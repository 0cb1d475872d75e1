"""What the lane and the marks of a report show of moves: also of many, and of a clock that was set."""

from __future__ import annotations

import re

import pytest

from promptctl.output import report_curves
from promptctl.rules import report_periods
from promptctl.store.report_states import OlderMoves, ReportMove, Served

PERIOD = report_periods.choose("2026-12-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-11T00:00:00Z")


def move(
    number: int, day: float, previous: int | None, version: int | None, candidate: int | None = None
) -> ReportMove:
    """Return a move at a day of the period, from 0 to 10."""
    at = report_periods.timestamp(PERIOD.begin + round(day * report_periods.DAY))
    kind = "split" if candidate else "activate"
    return ReportMove(
        "support", number, kind, previous, version, candidate, 1000 if candidate else 0, None, "ada", None, at, None, 0
    )


def lane(
    *moves: ReportMove, older: tuple[OlderMoves, ...] = (), before: Served | None = None
) -> list[tuple[float, str, str]]:
    """Return the parts of the lane: width in percent, style, and the labels of a wide page in them."""
    text = report_curves.text(PERIOD, None, moves, older, before or Served(moves[0].previous_version))
    parts = sorted(
        (int(begin) / 10, int(width) / 10, style)
        for style, path in re.findall(r'<path class="(odd|even|none|many)" d="([^"]*)"', text)
        for begin, width in re.findall(r"M(\d+) 0h(\d+)", path)
    )
    labels = [
        (float(x), label) for x, label in re.findall(r'<text x="([\d.]+)%" y="32" class="in(?: w)?">([^<]*)<', text)
    ]
    return [
        (width, style, "".join(label for x, label in labels if begin <= x <= begin + width))
        for begin, width, style in parts
    ]


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([], [(100, "odd", "@3")]),
        ([move(1, 2, None, 1)], [(20, "none", "none"), (80, "odd", "@1")]),
        (
            [move(1, 2, 1, 2), move(2, 5, 2, 2, 3), move(3, 7, 2, None)],
            [(20, "odd", "@1"), (30, "even", "@2"), (20, "even", "@2 | @3 10%"), (30, "none", "none")],
        ),
        # The clock of the second move was wrong, in both directions.
        (
            [move(1, 2, 1, 2), move(2, 3, 2, 3), move(3, 1, 3, 4), move(4, 6, 4, 5)],
            [(20, "odd", "@1"), (10, "even", "@2"), (30, "odd", "@4"), (40, "even", "@5")],
        ),
        (
            [move(1, 2, 1, 2), move(2, 9, 2, 3), move(3, 4, 3, 4), move(4, 6, 4, 5)],
            [(20, "odd", "@1"), (20, "even", "@2"), (20, "odd", "@4"), (40, "even", "@5")],
        ),
        (
            [move(1, 9, 1, 2), move(2, 3, 2, 3), move(3, 6, 3, 4)],
            [(30, "odd", "@1"), (30, "even", "@3"), (40, "odd", "@4")],
        ),
        # The time of the first move is five days ahead of the second one.
        (
            [move(1, 7, 1, 2), move(2, 5, 2, 3), move(3, 9, 3, 4)],
            [(50, "odd", "@1"), (40, "even", "@3"), (10, "odd", "@4")],
        ),
        # The moves do not follow from what was served before the period.
        ([move(1, 2, 7, 2), move(2, 5, 2, 3)], [(20, "odd", "@7"), (30, "even", "@2"), (50, "odd", "@3")]),
    ],
)  # fmt: skip
def test_the_lane_shows_what_was_active(moves: list[ReportMove], expected: list[tuple[float, str, str]]) -> None:
    assert lane(*moves, before=None if moves and moves[0].previous_version != 7 else Served(3)) == expected


def test_the_marks_are_where_the_lane_changes() -> None:
    moves = [move(1, 0, None, 1), move(2, 8, 1, 2), move(3, 5, 2, 3), move(4, 9, 3, 4), move(5, 400, 4, 5)]
    assert lane(*moves[:4]) == [(50, "odd", "@1"), (40, "even", "@3"), (10, "odd", "@4")]
    places = [(mark.place, mark.number) for mark in report_curves.marks(PERIOD, moves, [])]
    assert places == [(0, 1), (0.5, 2), (0.5, 3), (0.9, 4), (1, 5)]
    # A move that is in the future was made before now: what it serves is drawn at the end.
    assert lane(*moves)[-1] == (0.4, "even", "")


def test_moves_that_do_not_lead_from_the_begin_to_the_end_of_the_period() -> None:
    moves = [move(1, 2, 1, 2), move(2, 3, 2, 2, 3), move(3, 4, 2, 3)]
    assert not report_curves.is_broken(moves, Served(1), Served(3))
    assert not report_curves.is_broken([], Served(1), Served(1))
    # Moves between the first and the newest ones are only counted.
    assert not report_curves.is_broken([*moves, move(9, 5, 7, 8)], Served(1), Served(8))
    assert report_curves.is_broken(moves, Served(None), Served(3))
    assert report_curves.is_broken([moves[0], move(2, 4, 5, 3)], Served(1), Served(3))
    # The newest move has a time before the period.
    assert report_curves.is_broken(moves, Served(4), Served(4))
    text = report_curves.text(PERIOD, None, moves, [], Served(1), Served(4))
    assert '<text x="100%" y="51" class="last">@4 ↑</text>' in text


def test_many_moves_are_one_part_of_the_lane_and_few_marks() -> None:
    newest = [move(number, 5 + number / 2000, 1 + number % 2, 2 - number % 2) for number in range(961, 1001)]
    older = (OlderMoves("support", 120, 500), OlderMoves("support", 121, 459))
    parts = lane(move(1, 5, 1, 2), *newest, older=older)
    assert parts == [
        (50, "odd", "@1"), (4.8, "many", ""), (0.2, "many", ""), (45, "even", "@2"),
    ]  # fmt: skip
    marks = report_curves.marks(PERIOD, [move(1, 5, 1, 2), *newest], older)
    assert sum(mark.moves for mark in marks) == 1000
    assert sorted(mark.number for mark in marks)[:4] == [1, 2, 502, 961]


def test_the_lane_begins_with_the_split_before_the_period() -> None:
    before = Served(3, 4, 5000)
    assert lane(before=before) == [(100, "odd", "@3 | @4 50%")]
    text = report_curves.text(PERIOD, None, [], [], before)
    assert 'aria-label="active over time: @3 | @4 50%; 0 moves in the period"' in text
    assert '<path class="part" d="M0 20h1000v-10h-1000z"/>' in text
    # A version that follows another one has another color, also 1 after 3, and its old one where it can.
    moves = [move(1, 2, 3, 1), move(2, 4, 1, 3), move(3, 6, 3, 2), move(4, 8, 2, 1)]
    assert [(style, label) for _, style, label in lane(*moves)] == [
        ("odd", "@3"), ("even", "@1"), ("odd", "@3"), ("even", "@2"), ("odd", "@1"),
    ]  # fmt: skip
    # What is served at the end is drawn and named, also after many moves on the last day.
    last = [move(number, 9.9 + number / 100, number, number + 1) for number in range(1, 7)]
    assert lane(*last)[-1][1:] == ("even", "")
    assert '<text x="100%" y="51" class="last">@7 ↑</text>' in report_curves.text(PERIOD, None, last, [], Served(1))


def test_a_prompt_without_uses_says_so() -> None:
    text = report_curves.text(PERIOD, None, [], [], Served())
    assert "No use was recorded in this period." in text
    assert 'aria-label="active over time: none; 0 moves in the period"' in text
