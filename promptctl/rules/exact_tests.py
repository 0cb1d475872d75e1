"""Exact tests of counts, Holm's correction, and quantiles of Student's distribution. Pure.

A table is `(baseline passes, baseline replies, new passes, new replies)`. If both sides pass with the same probability,
then the new passes have a hypergeometric distribution once their sum with the baseline passes is known, whatever the
probability is. Every test here is conditional on these sums, so it holds for any number of replies.
"""

from __future__ import annotations

import math
from functools import lru_cache
from operator import mul

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Table = tuple[int, int, int, int]

# What is cut off from the tails of a sum of many distributions. Sums of floats are not more exact.
_TAIL = 1e-25
_BISECTIONS = 60
# Above so many degrees of freedom, the expansion of the quantile is exact to six decimals.
_MOST_DEGREES = 200


@lru_cache(maxsize=100_000)
def hypergeometric(total: int, baseline_replies: int, new_replies: int) -> tuple[int, tuple[float, ...]]:
    """Return the least number of new passes, and the probability of it and of each larger number that is possible.

    `total` is the number of passes of both sides. The distribution is that of R. A. Fisher's test.
    """
    least = max(0, total - baseline_replies)
    most = min(new_replies, total)
    ways = math.comb(baseline_replies + new_replies, total)
    return least, tuple(
        math.comb(new_replies, passes) * math.comb(baseline_replies, total - passes) / ways
        for passes in range(least, most + 1)
    )


def fisher(table: Table) -> float:
    """Return the one-sided p-value of a drop: R. A. Fisher, "Statistical Methods for Research Workers" (1934), 21.02.

    It is 1 if a side has no replies.
    """
    baseline_passes, baseline_replies, new_passes, new_replies = table
    least, probabilities = hypergeometric(baseline_passes + new_passes, baseline_replies, new_replies)
    return min(1.0, math.fsum(probabilities[: new_passes - least + 1]))


def drop_in_all(tables: Iterable[Table]) -> float:
    """Return the one-sided p-value of a drop over all tables. Each table is a stratum.

    It is the exact form of the test of W. G. Cochran (1954) and of N. Mantel and W. Haenszel, "Statistical Aspects of
    the Analysis of Data from Retrospective Studies", Journal of the National Cancer Institute 22 (1959): the
    probability that the sum of independent hypergeometric numbers is at most that of the new passes. It is 1 without
    tables.
    """
    below, above = _tails(tables)
    return min(1.0, max(0.0, below if below <= above else 1 - above))


def rise_in_all(tables: Iterable[Table]) -> float:
    """Return the one-sided p-value of a rise over all tables, as `drop_in_all` does for a drop."""
    return drop_in_all(
        (baseline_replies - baseline_passes, baseline_replies, new_replies - new_passes, new_replies)
        for baseline_passes, baseline_replies, new_passes, new_replies in tables
    )


def rise_of_rate(before_events: int, before: int, events: int, total: int) -> float:
    """Return the one-sided p-value of R. A. Fisher's test for a rise from before_events / before to events / total.

    It takes logarithms of the probabilities, so it serves any number of uses: with ten million it is exact to six
    digits. It is 1 if a side is empty.
    """
    if not before or not total:
        return 1.0
    every = before_events + events
    ways = _log_ways(before + total, every)
    # From the peak of the distribution outwards: of a rate that fell, the numbers below it are added.
    has_risen = events * before > before_events * total
    numbers = range(events, min(total, every) + 1) if has_risen else range(events - 1, max(0, every - before) - 1, -1)
    tail = 0.0
    for number in numbers:
        term = math.exp(_log_ways(total, number) + _log_ways(before, every - number) - ways)
        tail += term
        # The rest is smaller than any digit of the sum.
        if term < 1e-18:
            break
    return min(1.0, tail) if has_risen else max(0.0, 1 - tail)


def _log_ways(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)


def holm(p_values: Sequence[float], level: float) -> list[int]:
    """Return the indexes of the p-values that are refuted at a level for all of them together, ascending.

    The method is that of S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6 (1979).
    """
    refuted: list[int] = []
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - place) > level:
            break
        refuted.append(index)
    return sorted(refuted)


@lru_cache(maxsize=10_000)
def normal_quantile(probability: float) -> float:
    """Return the quantile of the normal distribution for a probability above 1/2."""
    return _quantile(lambda value: (1 + math.erf(value / math.sqrt(2))) / 2, probability)


@lru_cache(maxsize=10_000)
def student_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's distribution for a probability above 1/2 and whole degrees of freedom.

    The distribution function is the finite series of M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions"
    (1964), 26.7.3 and 26.7.4. With many degrees of freedom, the quantile is their expansion 26.7.5.
    """
    if degrees > _MOST_DEGREES:
        z = normal_quantile(probability)
        return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    return _quantile(lambda value: _student(value, degrees), probability)


def _quantile(distribution: Callable[[float], float], probability: float) -> float:
    low, high = 0.0, 1.0
    while distribution(high) < probability:
        high *= 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if distribution(middle) < probability:
            low = middle
        else:
            high = middle
    return high


def _student(value: float, degrees: int) -> float:
    angle = math.atan2(value, math.sqrt(degrees))
    cosine = math.cos(angle)
    is_odd = degrees % 2
    term, total = (cosine, 0.0) if is_odd else (1.0, 1.0)
    for step in range(1 + is_odd, degrees, 2):
        if is_odd:
            total += term
            term *= cosine * cosine * step / (step + 1)
        elif step + 1 < degrees:
            term *= cosine * cosine * step / (step + 1)
            total += term
    between = 2 / math.pi * (angle + math.sin(angle) * total) if is_odd else math.sin(angle) * total
    return (1 + between) / 2


def _tails(tables: Iterable[Table]) -> tuple[float, float]:
    """Return the probability of at most the sum of the new passes, and that of more."""
    least, observed = 0, 0
    distribution = [1.0]
    parts: list[tuple[int, tuple[float, ...]]] = []
    for baseline_passes, baseline_replies, new_passes, new_replies in tables:
        observed += new_passes
        parts.append(hypergeometric(baseline_passes + new_passes, baseline_replies, new_replies))
    # In order, so that the result does not depend on the order of the tables.
    for start, probabilities in sorted(parts):
        least += start
        if len(probabilities) > 1:
            distribution = _sum(distribution, probabilities)
            cut = next((place for place, one in enumerate(distribution) if one > _TAIL), 0)
            least += cut
            del distribution[:cut]
            while distribution[-1] <= _TAIL:
                del distribution[-1]
    place = max(0, observed - least + 1)
    return math.fsum(distribution[:place]), math.fsum(distribution[place:])


def _sum(first: list[float], second: tuple[float, ...]) -> list[float]:
    """Return the distribution of the sum of two independent numbers."""
    width = len(second) - 1
    padded = [0.0] * width + first + [0.0] * width
    # Place i of the result is the sum of padded[i + k] * backwards[k].
    backwards = second[::-1]
    windows = zip(*(padded[start : len(first) + width + start] for start in range(width + 1)), strict=True)
    return [sum(map(mul, window, backwards)) for window in windows]
