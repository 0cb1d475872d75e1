"""What got worse in the last 24 hours, compared with the time before it in the period. Pure.

A finding is a difference that is both beyond chance and as large as the default margin of `compare`. All tests of a
report share one error probability, so that a report of prompts that do not change has a finding once in a hundred.

- Failed uses: R. A. Fisher's exact test of both rates.
- P95: the same test of the uses that were slower than the P95 before, which is a test of that percentile.
- Cost of a use, and score: the prediction interval of Student for one more day, from the averages of the days before.
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


class Findings(Record):
    """What got worse, by name. `compared` is the number of prompts with enough uses, `few` that of the others."""

    worse: Sequence[Worsening]
    compared: int
    few: int


def find(prompts: Sequence[Windows]) -> Findings:
    """Return what got worse. A prompt needs LEAST_USES uses before and in the last 24 hours."""
    enough = [one for one in prompts if min(one.before.uses, one.recent.uses) >= LEAST_USES]
    candidates: list[tuple[float, Worsening]] = []
    for one in enough:
        candidates += _rates(one)
    forecasts = [worsening for one in enough for worsening in _forecasts(one)]
    tests = len(candidates) + len(forecasts)
    refuted = exact_tests.holm([p for p, _ in candidates] + [1.0] * len(forecasts), LEVEL) if tests else []
    worse = [candidates[place][1] for place in refuted]
    worse += [
        worsening
        for worsening, values, more_is_worse in forecasts
        if _is_beyond(worsening, values, LEVEL / tests, more_is_worse=more_is_worse)
    ]
    order = (ERRORS, TIME, COST, SCORE)
    few = sum(bool(one.recent.uses) for one in prompts) - len(enough)
    return Findings(
        sorted(
            (worsening for worsening in worse if _matters(worsening)),
            key=lambda worsening: (worsening.name, order.index(worsening.metric)),
        ),
        len(enough),
        max(few, 0),
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


def _forecasts(one: Windows) -> list[tuple[Worsening, list[float], bool]]:
    """Return the numbers whose days before tell what to expect, with the averages of these days."""
    tested: list[tuple[Worsening, list[float], bool]] = []
    costs = [day.cost_per_use for day in one.days if day.priced_uses >= LEAST_USES]
    values = [value for value in costs if value is not None]
    before, recent = one.before.cost_per_use, one.recent.cost_per_use
    if len(values) >= LEAST_DAYS and before and recent and one.recent.priced_uses >= LEAST_USES:
        uses = one.before.priced_uses, one.recent.priced_uses
        tested.append((Worsening(one.name, COST, before, recent, *uses), values, True))
    scores = [day.score for day in one.days if day.scored >= LEAST_USES]
    values = [value for value in scores if value is not None]
    old, new = one.before.score, one.recent.score
    if len(values) >= LEAST_DAYS and old is not None and new is not None and one.recent.scored >= LEAST_USES:
        tested.append((Worsening(one.name, SCORE, old, new, one.before.scored, one.recent.scored), values, False))
    return tested


def _is_beyond(worsening: Worsening, days: Sequence[float], level: float, *, more_is_worse: bool) -> bool:
    """Whether a number is worse than the prediction interval for one more day."""
    count = len(days)
    mean = math.fsum(days) / count
    deviation = math.sqrt(math.fsum((day - mean) ** 2 for day in days) / (count - 1))
    width = exact_tests.student_quantile(1 - level, count - 1) * deviation * math.sqrt(1 + 1 / count)
    return worsening.after > mean + width if more_is_worse else worsening.after < mean - width


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
