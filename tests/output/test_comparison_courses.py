"""The section of a comparison's report about time."""

from __future__ import annotations

import re

from promptctl.output import comparison_courses
from promptctl.output.comparison_view import Comparison
from promptctl.rules import courses, margins
from promptctl.rules.courses import Course, Difference
from promptctl.rules.experiments import NOT_KNOWN, Judgment, Traffic
from promptctl.store.comparisons import Period, SplitEpoch

TIMES = [f"2026-11-12T0{hour}:00:00Z" for hour in range(4)]


def judged(
    differences: dict[str, float] | None = None, lower: float | None = None, upper: float | None = None
) -> list[Judgment]:
    """Return the judgments of all metrics. Those without a difference have no values; errors have the interval."""
    judgments: list[Judgment] = []
    for metric in margins.METRICS:
        difference = (differences or {}).get(metric)
        value = None if difference is None else 0.1
        ends = (lower, upper) if metric == "errors" else (None, None)
        judgments.append(Judgment(metric, 50, 50, value, value, difference, *ends, 0.02, NOT_KNOWN, None))
    return judgments


def section(
    shares: list[int],
    whole: list[Judgment],
    by_share: list[tuple[int, list[Judgment]]],
    points: dict[str, list[float | None]] | None = None,
    seeds: str = "aaa",
) -> str:
    """Return the section of a comparison with these shares, an hour each; version 2 is A."""
    epochs = [
        SplitEpoch(place, 2, 3, share, seeds[place], TIMES[place], TIMES[place + 1], 3600.0, None, True, False)
        for place, share in enumerate(shares)
    ]
    period = Period("x", 2, 3, 2, epochs, is_whole=False)
    traffic = Traffic(None, None, has_alarm=False)
    comparison = Comparison(period, 50, 50, whole, by_share, traffic, 0, 0, 0, None, None, None, None)
    differences = {
        metric: [
            Difference(time, difference)
            for time, difference in zip(TIMES, (points or {}).get(metric, [None, None, None]), strict=False)
        ]
        for metric in courses.METRICS
    }
    parts = comparison_courses.section(comparison, Course("hour", period.began_at, period.last_at, differences))
    return "\n".join(parts)


def boxes(text: str) -> int:
    return text.count('class="interval"')


def test_without_intervals_and_without_uses_enough_for_a_point_there_is_no_section() -> None:
    assert section([5000], judged(), [(5000, judged())]) == ""
    few = judged({"errors": 0.01, "time": 0.1})
    assert section([5000], few, [(5000, few)]) == ""


def test_one_share_has_the_box_of_the_whole() -> None:
    text = section([5000, 5000], judged({"errors": 0.01}, -0.01, 0.03), [(5000, judged({"errors": 0.01}, -0.02, 0.04))])
    assert re.findall("<h3>(.*?)</h3>", text) == ["errors"]
    assert boxes(text) == 1
    assert "difference of errors by hour, with the interval: -1.0 to +3.0 points at 50%" in text
    assert "proven about the whole period:" in text


def test_each_share_has_a_box_if_it_has_an_interval() -> None:
    whole = judged({"errors": 0.01}, -0.01, 0.03)
    by_share = [(1000, judged({"errors": 0.01})), (5000, judged({"errors": 0.01}, -0.02, 0.04))]
    text = section([1000, 2500, 5000], whole, by_share)
    assert boxes(text) == 1
    assert "with the interval: none at 10%; none at 25%; -2.0 to +4.0 points at 50%" in text
    assert "proven about a share:" in text
    # A share without uses has no judgment. It never gets the interval of the whole.
    assert boxes(section([1000, 5000], whole, by_share[1:])) == 1


def test_several_splits_have_the_box_of_the_whole_in_each_share() -> None:
    text = section([1000, 5000], judged({"errors": 0.01}, -0.01, 0.03), [], seeds="ab")
    assert boxes(text) == 2
    assert "proven about the whole period:" in text


def test_the_charts_are_those_of_errors_time_cost_and_score() -> None:
    everything = dict.fromkeys(margins.METRICS, 0.01)
    points: dict[str, list[float | None]] = {metric: [0.01, None, 0.02] for metric in courses.METRICS}
    text = section([1000, 2500, 5000], judged(everything), [], points)
    assert re.findall("<h3>(.*?)</h3>", text) == ["errors", "time", "cost", "score"]
    # The middle hour is a gap.
    assert text.count("<circle") == 8
    assert boxes(text) == 0
