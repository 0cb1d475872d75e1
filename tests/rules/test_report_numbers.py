"""What a report compares: whole days, the hours before the last 24 hours, and these."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl.rules import report_numbers, report_periods
from promptctl.rules.usage_series import CellHistogram, CellSums

PRICES = {"input": 1.0, "output": 0.0, "cache_read": 0.0, "cache_write": 0.0}


def always(model: str, tier: int, place: int, /) -> dict[str, float] | None:
    """Return the same prices for every model."""
    return PRICES


def if_known(model: str, tier: int, place: int, /) -> dict[str, float] | None:
    """Return prices for one model only."""
    return PRICES if model == "known" else None


def cell(place: int, uses: int, errors: int = 0, cost: float = 1.0, **others: Any) -> CellSums:
    """Return a cell whose uses each have so many dollars, as tokens of input, and a score of 0.5."""
    sums: dict[str, Any] = {
        "name": "a", "version": 1, "place": place, "model": "known", "price_tier": 0, "uses": uses, "errors": errors,
        "good_with_input": 0, "good_input": 0.0, "good_with_output": 0, "good_output": 0.0, "with_tokens": uses,
        "input": uses * cost, "output": 0.0, "cache_read": None, "cache_write": None, "with_score": uses,
        "score": uses * 0.5,
    }  # fmt: skip
    return CellSums(**{**sums, **others})


def times(place: int, count: int, bucket: int = 320) -> CellHistogram:
    return CellHistogram("a", 1, place, [bucket], [count], 1000.0, 5000.0)


def test_days_and_hours_are_joined_and_no_use_counts_twice() -> None:
    """At 18:30, the last 24 hours began at 19:00 the day before: the hours before that are of no whole day."""
    period = report_periods.choose("2026-03-10T18:30:00Z", "-8d", None)
    assert (period.cell, report_numbers.recent_cells(period)) == (
        report_periods.DAY,
        tuple(report_periods.seconds(f"2026-03-{day}:00:00Z") for day in ("09T00", "10T19")),
    )
    early = (report_periods.seconds("2026-03-09T00:00:00Z") - period.begin) // report_periods.DAY
    days = [cell(place, 100, 2, 1 + 0.01 * (place % 2)) for place in range(early)] + [
        cell(early, 50),
        cell(early + 1, 9),
    ]
    hours = [cell(18, 40, 1), cell(19, 30, 20, 3.0), cell(42, 20, 10, 3.0)]
    histograms = [times(place, 98) for place in range(early)]
    hour_times = [times(18, 39), times(19, 10, 416), times(42, 10, 416)]
    asked: list[int] = []

    def price(model: str, tier: int, place: int, /) -> dict[str, float]:
        asked.append(place)
        return PRICES

    found = report_numbers.numbers(period, days, histograms, (hours, hour_times), price)
    assert found.series["a"].whole.uses == 100 * early + 59
    worse = {one.metric: one for one in found.findings.worse}
    assert sorted(worse) == ["cost", "errors", "time"]
    assert (worse["errors"].uses_before, worse["errors"].uses) == (100 * early + 40, 50)
    assert worse["errors"].before == pytest.approx((2 * early + 1) / (100 * early + 40))
    assert (worse["errors"].after, worse["cost"].after) == (0.6, 3.0)
    assert (worse["time"].uses_before, worse["time"].uses) == (98 * early + 39, 20)
    assert found.findings.tested == {"errors": 1, "time": 1, "cost": 1, "score": 1}
    # An hour has the price of its day.
    assert max(asked) == early + 1


def test_hours_alone_have_no_days_to_predict_from() -> None:
    period = report_periods.choose("2026-03-10T18:30:00Z", "-3d", None)
    assert report_numbers.recent_cells(period) is None
    edge = (period.recent_begin - period.begin) // report_periods.HOUR
    cells = [cell(edge - 1, 100, 1), cell(edge, 100, 40, 3.0), cell(edge, 100, 0, name="b")]
    found = report_numbers.numbers(period, cells, [], ([], []), always)
    assert [(one.metric, one.uses_before, one.uses) for one in found.findings.worse] == [("errors", 100, 100)]
    assert found.findings.tested == {"errors": 1, "time": 0, "cost": 0, "score": 0}
    assert (found.findings.compared, found.findings.few) == (1, 1)


def test_a_price_that_is_not_known_before_or_after_tests_no_cost() -> None:
    period = report_periods.choose("2026-03-10T18:30:00Z", "-8d", None)
    days = [cell(place, 100) for place in range(6)]
    hours = [cell(19, 100, cost=3.0, model="new")]
    found = report_numbers.numbers(period, days, [], (hours, []), if_known)
    assert found.findings.tested == {"errors": 1, "time": 0, "cost": 0, "score": 1}
