"""The course of the differences between two versions: one difference for each hour or day. Pure.

A difference covers all uses of both versions in its hour or day, also those of a version that somebody chose. It comes
from sums, so it stays when single uses are dropped.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

from promptctl.records import Record
from promptctl.rules import statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.records import Timestamp
    from promptctl.rules.measurements import Measurements
    from promptctl.rules.statistics import Group, Price

HOUR, DAY = "hour", "day"
METRICS = ("errors", "time", "cost", "score")
# A difference needs this many uses of each version that reported the metric.
LEAST_USES = 20
_MOST_HOURS = 72


class Difference(Record):
    """Version B minus version A in one hour or day. `time` is the middle of its part in the period.

    `difference` is in the unit of the metric's kind (`margins`). It is None with too few uses.
    """

    time: Timestamp
    difference: float | None


class Course(Record):
    """The differences of each of METRICS over a period, oldest first. `grain` is HOUR or DAY.

    Each metric has one difference for every hour or day of the period.
    """

    grain: str
    began_at: Timestamp
    ended_at: Timestamp
    differences: Mapping[str, Sequence[Difference]]


class Step(Record):
    """A time in which version B had one share. `share` is in basis points."""

    began_at: Timestamp
    ended_at: Timestamp
    share: int


class _Amounts(Record):
    """The averages of one version in an hour or day, by metric, and how many uses reported each metric.

    Rates are fractions, times are geometric means in milliseconds, and costs are in US dollars for one use.
    """

    averages: Mapping[str, float | None]
    uses: Mapping[str, int]


def grain(began_at: Timestamp, ended_at: Timestamp) -> str:
    """Return HOUR for a period of at most 72 hours, else DAY."""
    return HOUR if _moment(ended_at) - _moment(began_at) <= timedelta(hours=_MOST_HOURS) else DAY


def course(
    measurements: Measurements, a: int, b: int, grain: str, began_at: Timestamp, ended_at: Timestamp, price: Price
) -> Course:
    """Return the course of the differences between versions `a` and `b` of one prompt.

    `measurements` are of that prompt, by version and `grain`.
    """
    amounts = _amounts(measurements, grain, price)
    begin, end = _moment(began_at), _moment(ended_at)
    length = timedelta(hours=1) if grain == HOUR else timedelta(days=1)
    start = begin.replace(minute=0, second=0, microsecond=0)
    if grain == DAY:
        start = start.replace(hour=0)
    differences: dict[str, list[Difference]] = {metric: [] for metric in METRICS}
    while start < end:
        first, last = max(start, begin), min(start + length, end)
        middle = _timestamp(first + (last - first) / 2)
        of_a, of_b = amounts.get((a, start)), amounts.get((b, start))
        for metric, listed in differences.items():
            listed.append(Difference(middle, _difference(metric, of_a, of_b)))
        start += length
    return Course(grain, began_at, ended_at, differences)


def steps(epochs: Sequence[Step]) -> list[Step]:
    """Return epochs, oldest first, with neighbours of the same share as one step."""
    merged: list[Step] = []
    for epoch in epochs:
        if merged and merged[-1].share == epoch.share and merged[-1].ended_at == epoch.began_at:
            merged[-1] = Step(merged[-1].began_at, epoch.ended_at, epoch.share)
        else:
            merged.append(epoch)
    return merged


def _amounts(measurements: Measurements, grain: str, price: Price) -> dict[tuple[int, datetime], _Amounts]:
    """Return the amounts of each version in each hour or day, which its begin identifies."""
    by = ["version", grain]
    billed: dict[tuple[int | None, str | None], int] = {}
    for part in measurements.sums:
        key = (part.version, part.hour or part.day)
        billed[key] = billed.get(key, 0) + part.with_tokens
    times = statistics.merged_histograms(measurements, by)
    amounts: dict[tuple[int, datetime], _Amounts] = {}
    for group in statistics.aggregate(measurements, by, price):
        text = group.hour or group.day
        assert group.version is not None
        assert text is not None
        counts = times.get((group.name, group.version, group.day, group.hour, None), {})
        amounts[group.version, _moment(text)] = _amounts_of_group(group, counts, billed[group.version, text])
    return amounts


def _amounts_of_group(group: Group, counts: Mapping[int, int], billed: int) -> _Amounts:
    averages = {
        "errors": group.errors / group.uses if group.uses else None,
        "time": statistics.geometric_mean(counts),
        "cost": None if group.cost_usd is None else group.cost_usd / billed,
        "score": group.avg_score,
    }
    uses = {"errors": group.uses, "time": sum(counts.values()), "cost": billed, "score": group.scored}
    return _Amounts(averages, uses)


def _difference(metric: str, of_a: _Amounts | None, of_b: _Amounts | None) -> float | None:
    if of_a is None or of_b is None or min(of_a.uses[metric], of_b.uses[metric]) < LEAST_USES:
        return None
    average_a, average_b = of_a.averages[metric], of_b.averages[metric]
    if average_a is None or average_b is None:
        return None
    if metric in ("errors", "score"):
        return average_b - average_a
    return math.log(average_b / average_a) if average_a > 0 and average_b > 0 else None


def _moment(text: str) -> datetime:
    """Return the time of a timestamp, or the begin of a day in UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)


def _timestamp(moment: datetime) -> Timestamp:
    return moment.isoformat().replace("+00:00", "Z")
