"""Krippendorff's alpha: how far labels of the same units agree, with an interval. Pure."""

from __future__ import annotations

import math
import random
from collections import Counter

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

RESAMPLES = 2000
INTERVAL = 0.95


class Agreement(Record):
    """Krippendorff's alpha of labels.

    `alpha` is 1 for full agreement, 0 for what chance explains, and below 0 for less. `interval` has 95 %. Both are
    None if fewer than two units have two labels, or if all labels are equal, because chance then explains everything.
    `units` counts the units with at least two labels, and `labels` their labels.
    """

    alpha: float | None
    interval: tuple[float, float] | None
    units: int
    labels: int


def agreement(units: Iterable[Sequence[Hashable | None]], *, seed: int = 1) -> Agreement:
    """Return how far labels agree. Each unit has the labels that it was given; None is a missing label.

    The interval is that of the percentile bootstrap over units (B. Efron, "Bootstrap Methods: Another Look at the
    Jackknife", Annals of Statistics 7, 1979). The same seed gives the same interval.
    """
    pairable = [labels for unit in units if len(labels := [one for one in unit if one is not None]) > 1]
    count = sum(map(len, pairable))
    value = alpha(pairable)
    if value is None or len(pairable) < 2:
        return Agreement(None, None, len(pairable), count)
    return Agreement(value, _interval(pairable, seed), len(pairable), count)


def alpha(units: Iterable[Sequence[Hashable | None]]) -> float | None:
    """Return alpha for nominal labels, None if all labels are equal or no unit has two.

    It is 1 - observed / expected disagreement, with missing labels: K. Krippendorff, "Content Analysis" (2004), 11.3.
    """
    labels = [present for unit in units if len(present := [one for one in unit if one is not None]) > 1]
    return _alpha([(*_summary(one), 1) for one in labels])


def _summary(labels: Sequence[Hashable]) -> tuple[Counter[Hashable], float]:
    """Return the labels of a unit, and its ordered pairs of different labels, for each of its other labels."""
    counts = Counter(labels)
    different = len(labels) ** 2 - sum(count * count for count in counts.values())
    return counts, different / (len(labels) - 1)


def _alpha(summaries: Iterable[tuple[Counter[Hashable], float, int]]) -> float | None:
    """Return alpha of units with these summaries; the last number is how many units have it."""
    totals: Counter[Hashable] = Counter()
    observed: list[float] = []
    for counts, different, number in summaries:
        for label, count in counts.items():
            totals[label] += count * number
        observed.append(different * number)
    count = totals.total()
    expected = count * count - sum(one * one for one in totals.values())
    return 1 - (count - 1) * math.fsum(observed) / expected if expected else None


def _interval(units: Sequence[Sequence[Hashable]], seed: int) -> tuple[float, float]:
    """Return the interval. A sample whose labels are all equal agrees fully."""
    # Equal units are sampled together, so that the time depends on how many kinds of units there are. In order, so that
    # the interval does not depend on the order of the units.
    numbers = Counter(tuple(sorted(unit, key=repr)) for unit in units)
    kinds = sorted(numbers, key=repr)
    summaries = [_summary(kind) for kind in kinds]
    weights = [numbers[kind] for kind in kinds]
    generator = random.Random(seed)  # noqa: S311 - a sample, not a secret
    values: list[float] = []
    for _ in range(RESAMPLES):
        sample = Counter(generator.choices(range(len(kinds)), weights, k=len(units)))
        value = _alpha((*summaries[kind], number) for kind, number in sample.items())
        values.append(1.0 if value is None else value)
    values.sort()
    outside = round(RESAMPLES * (1 - INTERVAL) / 2)
    return values[outside], values[-1 - outside]
