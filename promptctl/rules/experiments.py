"""Judge the difference between two versions, from estimates that the database calculates. Pure.

The promise: of all comparisons of two versions that do not differ, at most one in twenty ever finds a metric better or
worse, however often it is looked at. Three things keep it:

- The interval is that of a mixture of normal distributions: H. Robbins, "Statistical Methods Related to the Law of the
  Iterated Logarithm", Annals of Mathematical Statistics 41 (1970), equation 17; I. Waudby-Smith and others,
  "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52 (2024). It holds at
  all times at once, so it may be looked at after every use. It is the tightest around the uses at which the standard
  error is about the margin.
- The level is divided by the number of metrics (Bonferroni). It does not depend on how many of them have values.
- A metric is judged from 100 uses and 30 groups of buckets on each side, because the standard error of fewer is too
  uncertain.

`promptctl.half_width` and `promptctl.valid_interval` in schema.sql calculate the same.
"""

from __future__ import annotations

import math

from promptctl.records import Record
from promptctl.rules import margins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BETTER, WORSE, SAME, NOT_KNOWN = "better", "worse", "same", "not known"
# The probability of a wrong better or worse in a comparison, and its part for one metric.
LEVEL = 0.05
LEVEL_OF_METRIC = LEVEL / len(margins.METRICS)
LEAST_USES = 100
LEAST_UNITS = 30
# The interval of a rate is shown if B has at least this many events, if it has them at the rate of both. With fewer the
# interval is wrong too often.
LEAST_EVENTS = 5
# Level and scale of the check whether each version gets its share of the uses.
TRAFFIC_LEVEL = 0.001
TRAFFIC_SCALE = math.log(1.1)
# The part of the uses that may be on the other side than their bucket, and the least uses for a warning.
MOST_OUT_OF_PLACE = 0.01
LEAST_USES_OF_PLACES = 100
# 2^-60 of the difference is far below the precision of a float.
_BISECTIONS = 60


class Estimate(Record):
    """A row of `promptctl.compare_versions`: a metric, or `traffic`, over all shares (`share` None) or over one.

    `uses_a`, `uses_b` count the uses that reported the metric; uses of a group that makes many of them count less.
    `units_a`, `units_b` count groups of buckets, and calls without a unit. `value_a` and `value_b` are averages of the
    metric: of the logarithm for time, first and output. `difference` is `value_b - value_a`. `se_null` is its standard
    error if the versions do not differ, `se_free` without this assumption. `pooled` is the average over both.

    Of `traffic`, the values are uses per bucket, and `difference` is the logarithm of their ratio.
    """

    metric: str
    share: int | None
    uses_a: int
    uses_b: int
    units_a: int | None
    units_b: int | None
    strata: int
    value_a: float | None
    value_b: float | None
    difference: float | None
    se_null: float | None
    se_free: float | None
    pooled: float | None


class Judgment(Record):
    """What is known about one metric.

    `value_a` and `value_b` are rates, milliseconds, tokens, dollars or scores. `difference`, `lower`, `upper` and
    `margin` are in the unit of the metric's kind (`margins`). `lower` and `upper` are None if no interval can be
    calculated, or if too few uses failed to say by how much the rates differ. `needed_uses` is about how many more uses
    of both versions a verdict takes; None if there is a verdict, if groups of units are missing rather than uses, or if
    the number cannot be calculated. `units_a` and `units_b` are those of Estimate.
    """

    metric: str
    uses_a: int
    uses_b: int
    value_a: float | None
    value_b: float | None
    difference: float | None
    lower: float | None
    upper: float | None
    margin: float
    verdict: str
    needed_uses: int | None
    units_a: int | None = None
    units_b: int | None = None

    @property
    def lacks_units(self) -> bool:
        """Whether there are too few groups of units for a verdict, and not only because there are too few uses."""
        if self.units_a is None or self.units_b is None:
            return False
        part = min(self.units_a, self.units_b) / LEAST_UNITS
        return part < min(1, min(self.uses_a, self.uses_b) / LEAST_USES)

    @property
    def lacks_events(self) -> bool:
        """Whether a rate has no interval because too few calls failed or were slow."""
        if margins.METRICS[self.metric].kind != "rate" or self.lower is not None or self.lacks_units:
            return False
        return min(self.uses_a, self.uses_b) >= LEAST_USES

    @property
    def is_enough(self) -> bool:
        """Whether there is a verdict."""
        return self.verdict != NOT_KNOWN


class Traffic(Record):
    """How many more uses the candidate gets than its share, as a ratio minus 1; `share` is where that was observed.

    `has_alarm` is True if chance does not explain it.
    """

    difference: float | None
    share: int | None
    has_alarm: bool


def half_width(variance: float, scale: float, level: float) -> float | None:
    """Return half the width of an interval around a difference, None for a variance of 0.

    `variance` is the square of the standard error, `scale` the difference at which the interval is the tightest, and
    `level` the probability that the interval ever leaves out the true difference. All differences have one unit.
    """
    if variance <= 0:
        return None
    ratio = scale * scale / variance
    return math.sqrt((1 + ratio) / ratio * variance * (math.log1p(ratio) - 2 * math.log(level)))


def interval(
    difference: float, se_null: float, se_free: float, scale: float, level: float
) -> tuple[float, float] | None:
    """Return the lower and the upper end of the interval of a difference; None without any spread.

    Zero is outside exactly if a test of no difference, with the standard error `se_null`, refutes it. The end that is
    farther from zero uses the larger standard error. The other end changes from one to the other on the way from zero
    to `difference`, because the spread of a rate grows with the rate.
    """
    variance, largest = se_null**2, max(se_null, se_free) ** 2
    wide, narrow = half_width(largest, scale, level), half_width(variance, scale, level)
    if wide is None or narrow is None:
        return None
    size = abs(difference)
    near = size - narrow
    if near > 0 and largest > variance:
        low, high = 0.0, size
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            width = half_width(variance + (largest - variance) * middle / size, scale, level)
            if size - middle > (width or 0.0):
                low = middle
            else:
                high = middle
        near = low
    return (difference - wide, -near) if difference < 0 else (near, difference + wide)


def verdict(lower: float, upper: float, margin: float) -> str:
    """Return the verdict on a harm: a difference for which more is worse."""
    if -margin < lower and upper < margin:
        return SAME
    if lower > 0:
        return WORSE
    return BETTER if upper < 0 else NOT_KNOWN


def squared_ratio(level: float) -> float:
    """Return (margin / standard error)² at which half the width of the interval is the margin."""
    low, high = 1.0, 1000.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if (1 + middle) * (math.log1p(middle) - 2 * math.log(level)) > middle * middle:
            low = middle
        else:
            high = middle
    return low


def judge(estimates: Iterable[Estimate], chosen_margins: Mapping[str, float], uses: int) -> list[Judgment]:
    """Return what is known about each metric, over all shares, in the order of a table.

    `chosen_margins` replace default margins. `uses` is the number of uses of both versions. A metric that neither
    version has reported has no value.
    """
    rows = {estimate.metric: estimate for estimate in estimates if estimate.share is None}
    return [_judgment(name, rows.get(name), chosen_margins.get(name), uses) for name in margins.METRICS]


def judge_shares(
    estimates: Iterable[Estimate], judgments: Sequence[Judgment], uses: int
) -> list[tuple[int, list[Judgment]]]:
    """Return the same for each share in basis points, ascending, with the margins of `judgments`.

    They are for looking at: the promise about verdicts is for the whole.
    """
    by_share: dict[int, dict[str, Estimate]] = {}
    for estimate in estimates:
        if estimate.share is not None and estimate.metric in margins.METRICS:
            by_share.setdefault(estimate.share, {})[estimate.metric] = estimate
    return [
        (share, [_judgment(whole.metric, rows.get(whole.metric), whole.margin, uses) for whole in judgments])
        for share, rows in sorted(by_share.items())
    ]


def whole_verdict(judgments: Sequence[Judgment], *, has_alarm: bool = False) -> str:
    """Return the verdict on the candidate as a whole.

    It is worse if any metric is worse. It is better if any metric is better and none is worse. It is the same if all
    metrics with values are the same. If the candidate does not get its share of the uses (`has_alarm`), it is at best
    not known, because the lost uses may have been the bad ones.
    """
    verdicts = {
        judgment.verdict for judgment in judgments if judgment.value_a is not None or judgment.value_b is not None
    }
    if WORSE in verdicts:
        return WORSE
    if has_alarm:
        return NOT_KNOWN
    if BETTER in verdicts:
        return BETTER
    return SAME if verdicts == {SAME} else NOT_KNOWN


def check_traffic(estimates: Iterable[Estimate]) -> Traffic:
    """Return the share at which the uses of the candidate differ most from its share of them.

    The check compares uses per bucket, because with more units than buckets no bucket stays empty.
    """
    worst, worst_excess = Traffic(None, None, has_alarm=False), -math.inf
    for estimate in estimates:
        difference, se = estimate.difference, estimate.se_null
        if estimate.metric != "traffic" or difference is None or not se:
            continue
        width = half_width(se * se, TRAFFIC_SCALE, TRAFFIC_LEVEL)
        assert width is not None
        excess = abs(difference) / width
        if excess > worst_excess:
            worst_excess = excess
            ratio = math.expm1(difference) if estimate.uses_b else -1.0
            worst = Traffic(ratio, estimate.share, has_alarm=excess > 1)
    return worst


def is_out_of_place(out_of_place: int, uses: int) -> bool:
    """Whether more uses than by chance are of the other version than their bucket selects."""
    total = out_of_place + uses
    return total >= LEAST_USES_OF_PLACES and out_of_place > MOST_OUT_OF_PLACE * total


def _judgment(name: str, estimate: Estimate | None, chosen_margin: float | None, uses: int) -> Judgment:
    if estimate is None or estimate.value_a is None or estimate.value_b is None or estimate.difference is None:
        margin = margins.default(name) if chosen_margin is None else chosen_margin
        counts = (0, 0) if estimate is None else (estimate.uses_a, estimate.uses_b)
        return Judgment(name, *counts, None, None, None, None, None, margin, NOT_KNOWN, None)
    margin = margins.default(name, estimate.value_a) if chosen_margin is None else chosen_margin
    difference, se_null, se_free = _in_unit(name, estimate)
    kind = margins.METRICS[name].kind
    ends = None if difference is None else interval(difference, se_null, se_free, margin, LEVEL_OF_METRIC)
    has_data = _least_part(estimate) >= 1
    is_rate = kind == "rate"
    has_events = not is_rate or (estimate.pooled or 0.0) * estimate.uses_b >= LEAST_EVENTS
    decided = NOT_KNOWN
    if has_data and ends is not None:
        decided = verdict(*_harm(name, ends), margin)
        # The test of no difference needs no more events, but `same` is a statement about the size of the difference.
        if decided == SAME and not has_events:
            decided = NOT_KNOWN
    elif has_data and difference == 0 and _uses_without_events(estimate, margin, is_rate=is_rate) <= 0:
        decided = SAME
    needed = None
    if decided == NOT_KNOWN:
        needed = _needed(estimate, abs(difference or 0.0), se_null, margin, uses, is_rate=is_rate)
    lower, upper = ends if ends is not None and has_events and has_data else (None, None)
    return Judgment(
        name, estimate.uses_a, estimate.uses_b, _shown_value(name, estimate.value_a),
        _shown_value(name, estimate.value_b), difference, lower, upper, margin, decided, needed, estimate.units_a,
        estimate.units_b,
    )  # fmt: skip


def _in_unit(name: str, estimate: Estimate) -> tuple[float | None, float, float]:
    """Return the difference and its two standard errors in the unit of the metric's kind."""
    se_null, se_free = estimate.se_null or 0.0, estimate.se_free or 0.0
    if name != "cost":
        return estimate.difference, se_null, se_free
    # Dollars are averaged, not their logarithms: one call in a hundred that goes wrong can double the bill.
    value_a, value_b, pooled = estimate.value_a or 0.0, estimate.value_b or 0.0, estimate.pooled or 0.0
    if value_a <= 0 or value_b <= 0 or pooled <= 0:
        return None, 0.0, 0.0
    return math.log(value_b / value_a), se_null / pooled, se_free / pooled


def _shown_value(name: str, value: float) -> float:
    return math.exp(value) if name in ("time", "first", "output") else value


def _harm(name: str, ends: tuple[float, float]) -> tuple[float, float]:
    lower, upper = ends
    return (lower, upper) if margins.METRICS[name].more_is_worse else (-upper, -lower)


def _least_part(estimate: Estimate) -> float:
    """Return how much of the data for a verdict there is: 1 or more is enough."""
    uses = min(estimate.uses_a, estimate.uses_b) / LEAST_USES
    units = min(estimate.units_a or 0, estimate.units_b or 0) / LEAST_UNITS
    return min(uses, units)


def _uses_without_events(estimate: Estimate, margin: float, *, is_rate: bool) -> float:
    """Return how many more uses of the smaller side refute a rate above the margin, if none of them has an event.

    A rate of at least the margin has no event in n uses with a probability of at most (1 - margin)^n <= level. Without
    a rate there is nothing to refute, and 0 uses are needed.
    """
    if not is_rate or (estimate.pooled or 0.0) > 0:
        return 0.0
    return math.log(LEVEL_OF_METRIC) / math.log1p(-min(margin, 0.99)) - min(estimate.uses_a, estimate.uses_b)


def _needed(estimate: Estimate, size: float, se_null: float, margin: float, uses: int, *, is_rate: bool) -> int | None:
    """Return about how many more uses of both versions a verdict takes; None if that cannot be calculated.

    It is the number if the versions do not differ. If there are as many uses already, it is the number for a difference
    that stays as large as `size`, the one so far. More uses of the same units do not make up for missing groups of
    units.
    """
    smaller = min(estimate.uses_a, estimate.uses_b)
    part = smaller / LEAST_USES
    units = min(estimate.units_a or 0, estimate.units_b or 0) / LEAST_UNITS
    if not smaller or units < min(1, part):
        return None
    factors = [1 / min(part, 1)]
    if se_null > 0:
        factors.append(squared_ratio(LEVEL_OF_METRIC) * (se_null / margin) ** 2)
    if is_rate and estimate.pooled and estimate.uses_b:
        factors.append(LEAST_EVENTS / (estimate.pooled * estimate.uses_b))
    elif is_rate:
        factors.append(1 + _uses_without_events(estimate, margin, is_rate=True) / smaller)
    if max(factors) <= 1 and se_null > 0:
        factors.append(_factor_for_width(se_null, max(size, abs(margin - size)), margin))
    more = uses * (max(factors) - 1)
    return math.ceil(more) if more > 0 else None


def _factor_for_width(se: float, width: float, margin: float) -> float:
    """Return how many times as many uses make half the interval as narrow as `width`."""
    low, high = 1.0, 1e9
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        if (half_width(se * se / middle, margin, LEVEL_OF_METRIC) or 0.0) > width:
            low = middle
        else:
            high = middle
    return low
