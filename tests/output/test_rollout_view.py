"""Texts of rollouts that need no database."""

from __future__ import annotations

import pytest

from promptctl.output import rollout_view


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (3720, "1 h 2 min"),
        (86400, "1 day"), (90000, "1 day 1 h"), (604800, "7 days"), (612000, "7 days 2 h"),
    ],
)  # fmt: skip
def test_a_time_span_has_at_most_two_units(seconds: float, text: str) -> None:
    assert rollout_view.span(seconds) == text


@pytest.mark.parametrize(
    ("metric", "tolerance", "text"),
    [
        ("errors", 0.01, "+1 point"),
        ("slow", 0.025, "+2.5 points"),
        ("time", 0.139762, "+15%"),
        ("score", 0.02, "-0.02"),
    ],
)
def test_a_tolerance_is_a_difference_to_the_worse(metric: str, tolerance: float, text: str) -> None:
    assert rollout_view.tolerance_text(metric, tolerance) == text


def test_a_rate_has_no_interval_before_5_events_and_none_beyond_100_points() -> None:
    figure = {
        "metric": "errors", "tolerance": 0.01, "verdict": "fine", "uses_a": 1000, "uses_b": 100, "value_a": 0.02,
        "value_b": 0.02, "difference": 0.0, "lower": -0.1, "upper": 1.4, "pooled": 0.02,
    }  # fmt: skip
    [early, later] = rollout_view.judgments([figure, figure | {"uses_b": 250}])
    assert (early.lower, early.upper, early.difference) == (None, None, 0.0)
    assert (later.lower, later.upper) == (-0.1, 1.0)


def test_values_of_logarithms_are_shown_in_their_unit() -> None:
    figure = {
        "metric": "time", "tolerance": 0.14, "verdict": "fine", "uses_a": 1000, "uses_b": 100, "value_a": 6.907755,
        "value_b": None, "difference": None, "lower": None, "upper": None, "pooled": None,
    }  # fmt: skip
    [judgment] = rollout_view.judgments([figure])
    assert (judgment.value_a, judgment.value_b) == (pytest.approx(1000, rel=1e-4), None)
