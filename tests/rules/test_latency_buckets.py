"""Latency histograms for Prometheus have the counts of the times themselves."""

from __future__ import annotations

import math
from collections import Counter

from promptctl.rules import latency_buckets
from promptctl.rules.latency_buckets import BOUNDS_MS


def test_the_counts_below_each_bound_are_exact() -> None:
    times = [0.001, 1.0, 31.99, 32.0, 33.0, 63.9, 64.0, 1000.0, 524_288.0, 1_048_575.0, 1_048_576.0, 1e12]
    counts = Counter(max(-320, math.floor(math.log2(time) * 32)) for time in times)
    totals = latency_buckets.cumulative(counts)
    assert totals == [*(sum(time < bound for time in times) for bound in BOUNDS_MS), len(times)]
    assert latency_buckets.cumulative({}) == [0] * (len(BOUNDS_MS) + 1)
    assert [float(text) * 1000 for text in latency_buckets.LE] == list(BOUNDS_MS)
