"""The course of the differences between two versions: numbers, gaps and steps."""

from __future__ import annotations

import math
from typing import Any

import pytest

from promptctl.rules import courses
from promptctl.rules.courses import Course, Step
from promptctl.rules.measurements import Histogram, LateScores, Measurements, UseSums

BEGAN_AT, ENDED_AT = "2026-11-24T09:30:00Z", "2026-11-24T12:15:00Z"
HOURS = ("2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z", "2026-11-24T12:00:00Z")


def sums(version: int, moment: str, **overrides: Any) -> UseSums:
    """Return the sums of 40 successful uses in an hour or day."""
    values: dict[str, Any] = {
        "name": "x", "version": version, "day": None if "T" in moment else moment,
        "hour": moment if "T" in moment else None, "model": "m", "is_ok": True, "price_tier": 0, "uses": 40,
        "without_unit": 0, "with_tokens": 40, "with_both": 40, "tokens": 400.0, "with_input": 40, "input_tokens": 400.0,
        "with_output": 40, "output_tokens": 0.0, "cache_read_tokens": None, "cache_write_tokens": None,
        "with_response": 40, "response_ms": 40.0, "fastest_ms": 1.0, "slowest_ms": 1.0, "with_first_token": 0,
        "first_token_ms": None, "with_score": 40, "score": 20.0, "last_used_at": "2026-11-24T12:10:00Z",
    }  # fmt: skip
    return UseSums(**values | overrides)


def course(
    *parts: UseSums,
    histograms: list[Histogram] | None = None,
    scores: list[LateScores] | None = None,
    grain: str = courses.HOUR,
    ended_at: str = ENDED_AT,
) -> Course:
    measured = Measurements([], list(parts), histograms or [], scores or [], [], {})
    return courses.course(measured, 1, 2, grain, BEGAN_AT, ended_at, one_dollar_a_token)


def one_dollar_a_token(
    model: str, input_tokens: float, output_tokens: float, read: float, written: float, at: str
) -> float | None:
    return input_tokens + output_tokens if model == "m" else None


def differences(of: Course, metric: str) -> list[float | None]:
    return [point.difference for point in of.differences[metric]]


def test_the_differences_of_an_hour_are_b_minus_a_in_the_unit_of_the_metric() -> None:
    hour = HOURS[1]
    counted = course(
        sums(1, hour),
        sums(1, hour, is_ok=False, uses=10, with_tokens=0, with_score=0, score=None),
        sums(2, hour, input_tokens=800.0),
        sums(2, hour, is_ok=False, uses=40, with_tokens=0, with_score=0, score=None),
        # Two octaves, in parts: 32 buckets are one.
        histograms=[
            Histogram("x", 1, None, hour, None, [320], [30]),
            Histogram("x", 2, None, hour, None, [352, 384], [20, 10]),
            Histogram("x", 2, None, hour, None, [416], [10]),
        ],
        scores=[LateScores("x", 2, None, hour, "m", 10, 15.0)],
    )
    assert differences(counted, "errors") == [None, pytest.approx(40 / 80 - 10 / 50), None, None]
    assert differences(counted, "time") == [None, pytest.approx(math.log(2) * (20 + 2 * 10 + 3 * 10) / 40), None, None]
    assert differences(counted, "cost") == [None, pytest.approx(math.log(2)), None, None]
    assert differences(counted, "score") == [None, pytest.approx(35 / 50 - 20 / 40), None, None]


def test_a_difference_is_at_the_middle_of_its_hour_within_the_period() -> None:
    assert [point.time for point in course().differences["errors"]] == [
        "2026-11-24T09:45:00Z",
        "2026-11-24T10:30:00Z",
        "2026-11-24T11:30:00Z",
        "2026-11-24T12:07:30Z",
    ]


def test_each_metric_needs_20_uses_of_both_versions_that_reported_it() -> None:
    few = sums(2, HOURS[1], uses=19, with_tokens=19, with_score=19)
    unscored = sums(2, HOURS[2], with_score=19, with_tokens=19)
    enough = sums(2, HOURS[3], uses=20, with_tokens=20, with_score=20)
    counted = course(
        # Version 2 alone has no difference.
        sums(2, HOURS[0]),
        *(sums(1, hour) for hour in HOURS[1:]),
        few,
        unscored,
        enough,
    )
    has_difference = {
        metric: [difference is not None for difference in differences(counted, metric)] for metric in courses.METRICS
    }
    assert has_difference == {
        "errors": [False, False, True, True],
        "time": [False, False, False, False],
        "cost": [False, False, False, True],
        "score": [False, False, False, True],
    }


def test_a_cost_of_nothing_or_without_a_price_has_no_ratio() -> None:
    free, unpriced = sums(2, HOURS[1], input_tokens=0.0), sums(2, HOURS[2], model="other")
    counted = course(sums(1, HOURS[1]), free, sums(1, HOURS[2]), unpriced)
    assert differences(counted, "cost") == [None, None, None, None]


def test_a_course_by_day_has_each_day_that_the_period_touches() -> None:
    counted = course(
        sums(1, "2026-11-25"), sums(2, "2026-11-25", score=30.0), grain=courses.DAY, ended_at="2026-11-26T00:00:00Z"
    )
    assert differences(counted, "score") == [None, pytest.approx(0.25)]
    assert [point.time for point in counted.differences["score"]] == ["2026-11-24T16:45:00Z", "2026-11-25T12:00:00Z"]


def test_a_period_of_at_most_72_hours_has_hours() -> None:
    assert courses.grain("2026-11-24T09:30:00Z", "2026-11-27T09:30:00Z") == courses.HOUR
    assert courses.grain("2026-11-24T09:30:00Z", "2026-11-27T09:30:01Z") == courses.DAY


def test_neighbours_with_the_same_share_are_one_step() -> None:
    first, second, third, fourth, fifth = HOURS[0], HOURS[1], HOURS[2], HOURS[3], ENDED_AT
    epochs = [Step(first, second, 1000), Step(second, third, 1000), Step(third, fourth, 5000)]
    assert courses.steps(epochs) == [Step(first, third, 1000), Step(third, fourth, 5000)]
    # Between two splits is a time without a share.
    apart = [Step(first, second, 1000), Step(third, fourth, 1000), Step(fourth, fifth, 500)]
    assert courses.steps(apart) == apart
    assert courses.steps([]) == []
