"""The graph of what a prompt served: its lines at each width, and what it does with odd histories."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from promptctl.output import serving_graph
from promptctl.store.history_events import ServedChange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BEGIN = datetime(2026, 11, 1, 9, 30, tzinfo=timezone.utc)


def time(days: float) -> str:
    return (BEGIN + timedelta(days=days)).isoformat().replace("+00:00", "Z")


def change(days: float, kind: str, version: int | None, candidate: int | None = None, share: int = 0) -> ServedChange:
    return ServedChange(kind, version, candidate, share, time(days))


MONTH = [
    change(0, "activate", 1),
    change(6, "activate", 2),
    change(9, "deactivate", None),
    change(11, "activate", 2),
    change(14, "split", 2, 3, 1000),
    change(18, "split", 2, 3, 5000),
    change(20, "split", 2, 3, 9000),
    change(22, "activate", 3),
    change(25, "rollback", 2),
    change(26, "activate", 4),
    change(26.1, "rollback", 2),
]


def graph(
    changes: Sequence[ServedChange],
    width: int = 80,
    signs: serving_graph.Signs = serving_graph.UNICODE,
    begin: str | None = None,
    days: float = 29.0,
) -> list[str]:
    lines = serving_graph.lines(changes, begin, time(days), width, signs, is_local=False)
    assert all(len(line) <= width or " " not in line for line in lines if not line.startswith((".:%", "░▒▓")))
    return lines


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("signs", [serving_graph.UNICODE, serving_graph.ASCII])
def test_a_month_at_each_width(width: int, signs: serving_graph.Signs, snapshot: Callable[..., None]) -> None:
    drawn = "\n".join(graph(MONTH, width, signs)) + "\n"
    assert drawn.isascii() == (signs is serving_graph.ASCII)
    snapshot(drawn, f"output/serving-graph-{width}{'-ascii' if drawn.isascii() else ''}")


def test_a_period_begins_with_what_was_served_then_and_short_periods_have_times() -> None:
    later = graph(MONTH[8:9], begin=time(27), days=28)
    assert later[0] == f"2 │{'━' * 77}"
    assert later[2].split()[:6] == ["28", "Nov", "09:30", "28", "Nov", "15:06"]
    assert graph(MONTH[:1], days=1 / 1440)[2].split()[:2] == ["09:30:00", "09:30:09"]
    # One change that was made just now.
    assert graph(MONTH[:1], days=0)[0] == f"1 │{'━' * 77}"
    # Nothing was active before the first change.
    early = graph(MONTH[:1], begin=time(-10), days=10)
    assert early[0].split("┏")[0].strip() == "1 │"
    assert early[1].startswith("none │······")
    assert graph(MONTH[:2], begin=time(-400), days=10)[4].split()[2] == "2025"


def test_a_thousand_changes_in_a_day_and_many_versions_are_condensed() -> None:
    changes = [
        change(number / 1000, "rollback" if number % 7 == 6 else "activate", number % 40 + 1) for number in range(1000)
    ]
    lines = graph(changes, days=1)
    assert [line.split("│")[0].strip() for line in lines[:13]][-1] == "others"
    assert lines[-1] == "others: 28 versions that were served for a shorter time"
    assert "╋ several changes" in lines[-2]
    assert "R rollback" in lines[-2]
    # A single change within the shared row has the same sign, which the legend explains.
    shared = graph([*(change(number, "activate", number + 1) for number in range(15))])
    assert (shared[12].count("╋"), shared[-2].split("  ")[1]) == (2, "╋ change within others")
    # One version more than there are rows has a row of its own.
    few = graph([change(number, "activate", number + 1) for number in range(13)])
    assert [line.split("│")[0].strip() for line in few[:13]] == [str(version) for version in range(13, 0, -1)]


def test_changes_whose_clock_was_set_back_keep_their_order() -> None:
    lines = graph([change(5, "activate", 1), change(3, "activate", 2), change(8, "activate", 3)], days=10)
    assert (lines[1].startswith("2 │┏━"), lines[2]) == (True, "1 │┛")
    assert lines[-2:] == [
        "1 change has a time that is out of order, because a clock was wrong: drawn in",
        "the order in which the changes were made",
    ]


def test_changes_with_a_time_in_the_future_do_not_stretch_the_graph() -> None:
    lines = graph([change(0, "activate", 1), change(365, "activate", 2), change(5, "activate", 3)], days=10)
    assert lines[1].split("│")[1].strip() == "╋"
    assert lines[0].split("│")[1].lstrip().startswith("╋━━━")
    assert lines[2].split("│")[1] == "━" * 38 + "╋"
    assert lines[4].split()[-3:] == ["09", "Nov", "now"]
    assert lines[-2].startswith("1 change has a time that is out of order, because a clock was wrong")
    # What is active is drawn at the end, and the axis ends now.
    lines = graph([change(0, "activate", 1), change(365, "activate", 2), change(400, "activate", 3)], days=10)
    assert [line.split("│")[1].strip()[-1] for line in lines[:3]] == ["╋", "╋", "╋"]
    assert lines[4].split()[-3:] == ["09", "Nov", "now"]
    assert lines[-2].startswith("2 changes have times that are out of order, because a clock was wrong")
    # The clock of the server is behind all changes.
    assert graph(MONTH, days=-1)[-2].startswith("11 changes have times that are out of order")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "de_DE.utf8"}, True),
        ({"LC_ALL": "C", "LANG": "C.UTF-8"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({}, False),
    ],
)
def test_the_locale_decides_on_ascii(
    variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert serving_graph.has_unicode() == expected
