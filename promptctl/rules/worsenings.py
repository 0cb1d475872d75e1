"""What got worse in the last 24 hours, compared with the time before it in the period. Pure.

A finding is a difference that is both beyond chance and as large as the default margin of `compare`. All tests of a
report share one error probability, so that a report of prompts that do not change has a finding once in a hundred.

- Failed uses: R. A. Fisher's exact test of both rates.
- P95: the same test of the uses that were slower than the P95 before, which is a test of that percentile.
- Cost of a use, and score: the prediction interval of Student for one more day, from the averages of the days before.
  How much single uses differ is not stored. So the interval takes all of the differences between days for those of
  their uses, which makes it wider by the root of the ratio where the last 24 hours have fewer uses than a day. It has a
  term of E. A. Cornish and R. A. Fisher, "Moments and Cumulants in the Specification of Distributions" (1938), because
  the average of few uses is skewed. docs/reports.md has how often it is wrong.
"""

from __future__ import annotations

import math

from promptctl.records import Record
from promptctl.rules import exact_tests, margins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.rules.usage_series import Numbers

LEVEL = 0.01
LEAST_USES = 20
LEAST_DAYS = 5
# The skewness of single uses that the interval allows for: that of a score that 98 % of the uses get, the others not.
_SKEWNESS = 7.0
ERRORS, TIME, COST, SCORE = "errors", "time", "cost", "score"


class Windows(Record):
    """The uses of a prompt before the last 24 hours and in them, with the histograms of both, as counts by bucket.

    `days` has the numbers of the whole days before.
    """

    name: str
    before: Numbers
    before_times: Mapping[int, int]
    recent: Numbers
    recent_times: Mapping[int, int]
    days: Sequence[Numbers]


class Worsening(Record):
    """One number of a prompt that got worse. `metric` is ERRORS, TIME, COST or SCORE.

    `before` and `after` are a part of 1, milliseconds, dollars or a score. The uses are those that the numbers are of.
    """

    name: str
    metric: str
    before: float
    after: float
    uses_before: int
    uses: int


class _Forecast(Record):
    """A number with the averages of the days before, and how many uses each is of. The cost is its logarithm."""

    worsening: Worsening
    latest: float
    days: Sequence[tuple[float, int]]
    more_is_worse: bool


class Findings(Record):
    """What got worse, by name. `compared` is the number of prompts with enough uses, `few` that of the others.

    `tested` has, for each metric, how many prompts had enough uses and enough days to be tested.
    """

    worse: Sequence[Worsening]
    compared: int
    few: int
    tested: Mapping[str, int]


def find(prompts: Sequence[Windows]) -> Findings:
    """Return what got worse. A prompt needs LEAST_USES uses before and in the last 24 hours."""
    enough = [one for one in prompts if min(one.before.uses, one.recent.uses) >= LEAST_USES]
    candidates: list[tuple[float, Worsening]] = []
    for one in enough:
        candidates += _rates(one)
    forecasts = [forecast for one in enough for forecast in _forecasts(one)]
    tests = len(candidates) + len(forecasts)
    refuted = exact_tests.holm([p for p, _ in candidates] + [1.0] * len(forecasts), LEVEL) if tests else []
    worse = [candidates[place][1] for place in refuted]
    worse += [forecast.worsening for forecast in forecasts if _is_beyond(forecast, LEVEL / tests)]
    metrics = [one.metric for _, one in candidates] + [forecast.worsening.metric for forecast in forecasts]
    order = (ERRORS, TIME, COST, SCORE)
    few = sum(bool(one.recent.uses) for one in prompts) - len(enough)
    return Findings(
        sorted(
            (worsening for worsening in worse if _matters(worsening)),
            key=lambda worsening: (worsening.name, order.index(worsening.metric)),
        ),
        len(enough),
        max(few, 0),
        {metric: metrics.count(metric) for metric in order},
    )


def _rates(one: Windows) -> list[tuple[float, Worsening]]:
    """Return the p-value of a rise of each rate."""
    before, recent = one.before, one.recent
    tested = [
        (
            exact_tests.rise_of_rate(before.errors, before.uses, recent.errors, recent.uses),
            Worsening(
                one.name, ERRORS, before.errors / before.uses, recent.errors / recent.uses, before.uses, recent.uses
            ),
        )
    ]
    timed_before, timed = sum(one.before_times.values()), sum(one.recent_times.values())
    if min(timed_before, timed) >= LEAST_USES and before.p95 is not None and recent.p95 is not None:
        limit = _bucket_of_p95(one.before_times, timed_before)
        slow_before, slow = (
            sum(count for bucket, count in times.items() if bucket > limit)
            for times in (one.before_times, one.recent_times)
        )
        p = exact_tests.rise_of_rate(slow_before, timed_before, slow, timed)
        tested.append((p, Worsening(one.name, TIME, before.p95, recent.p95, timed_before, timed)))
    return tested


def _forecasts(one: Windows) -> list[_Forecast]:
    """Return the numbers whose days before tell what to expect."""
    forecasts: list[_Forecast] = []
    days = [
        (math.log(cost), day.priced_uses)
        for day in one.days
        if day.priced_uses >= LEAST_USES and (cost := day.cost_per_use)
    ]
    before, recent = one.before.cost_per_use, one.recent.cost_per_use
    if len(days) >= LEAST_DAYS and before and recent and one.recent.priced_uses >= LEAST_USES:
        worsening = Worsening(one.name, COST, before, recent, one.before.priced_uses, one.recent.priced_uses)
        forecasts.append(_Forecast(worsening, math.log(recent), days, more_is_worse=True))
    days = [(day.score, day.scored) for day in one.days if day.scored >= LEAST_USES and day.score is not None]
    before, recent = one.before.score, one.recent.score
    if len(days) >= LEAST_DAYS and before is not None and recent is not None and one.recent.scored >= LEAST_USES:
        worsening = Worsening(one.name, SCORE, before, recent, one.before.scored, one.recent.scored)
        forecasts.append(_Forecast(worsening, recent, days, more_is_worse=False))
    return forecasts


def _is_beyond(forecast: _Forecast, level: float) -> bool:
    """Whether a number is worse than the prediction interval for one more day with so many uses."""
    count, now = len(forecast.days), forecast.worsening.uses
    every = sum(uses for _, uses in forecast.days)
    mean = math.fsum(value * uses for value, uses in forecast.days) / every
    # The variance of one use, if days differ only because their uses do. As if one more use had differed by 1, because
    # equal days do not mean that no use will ever differ.
    variance = math.fsum(uses * (value - mean) ** 2 for value, uses in forecast.days) / (count - 1) + 1 / every
    # If days differ by themselves, that is the variance of a day with so many uses.
    usual = (every - sum(uses * uses for _, uses in forecast.days) / every) / (count - 1)
    skewed = _SKEWNESS / math.sqrt(now) * (exact_tests.normal_quantile(1 - level) ** 2 - 1) / 6
    width = (exact_tests.student_quantile(1 - level, count - 1) + skewed) * math.sqrt(
        variance * (1 / min(now, usual) + 1 / every)
    )
    return forecast.latest > mean + width if forecast.more_is_worse else forecast.latest < mean - width


def _matters(worsening: Worsening) -> bool:
    """Whether a difference is at least the default margin of its metric."""
    margin = margins.default(worsening.metric, worsening.before)
    if worsening.metric == ERRORS:
        return worsening.after - worsening.before >= margin
    if worsening.metric == SCORE:
        return worsening.before - worsening.after >= margin
    return worsening.before > 0 and math.log(worsening.after / worsening.before) >= margin


def _bucket_of_p95(times: Mapping[int, int], total: int) -> int:
    passed = 0
    for bucket in sorted(times):
        passed += times[bucket]
        if passed * 100 >= total * 95:
            return bucket
    raise AssertionError("the counts add up to the total")
