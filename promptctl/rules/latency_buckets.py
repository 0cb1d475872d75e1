"""The buckets of latency histograms for Prometheus. Pure.

Their upper bounds are powers of two in milliseconds, because the histograms of the statistics have 32 buckets between
two powers of two: each power is a bound of those too, so the counts are exact.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# From 32 ms to 17 minutes.
_EXPONENTS = range(5, 21)
_BUCKETS_PER_OCTAVE = 32
BOUNDS_MS = tuple(float(2**exponent) for exponent in _EXPONENTS)
# The values of the label `le`, in seconds, without that of infinity.
LE = tuple(repr(bound / 1000) for bound in BOUNDS_MS)


def cumulative(counts: Mapping[int, int]) -> list[int]:
    """Return the number of uses below each of BOUNDS_MS, then that of all uses.

    `counts` has the numbers of uses by bucket, as in rules.measurements.Histogram. A time that is equal to a bound is
    counted above it, as in the statistics.
    """
    totals = [0] * (len(BOUNDS_MS) + 1)
    for bucket, count in counts.items():
        octave = bucket // _BUCKETS_PER_OCTAVE - _EXPONENTS.start + 1
        totals[min(max(octave, 0), len(BOUNDS_MS))] += count
    for place in range(1, len(totals)):
        totals[place] += totals[place - 1]
    return totals
