"""A model of totals in Python: the specification that the tests compare totals and the view with."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt
    import uuid
    from collections.abc import Iterable


@dataclass
class Use:
    """One committed use with its reported values. `score` is its last score."""

    id: uuid.UUID
    recorded_at: dt.datetime
    model: str | None
    outcome: str
    bucket: int | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    response_ms: float | None
    first_token_ms: float | None
    score: float | None


@dataclass
class Sum:
    """One row of totals."""

    counts: Counter[str] = field(default_factory=Counter[str])
    sums: dict[str, float] = field(default_factory=dict[str, float])
    fastest: float | None = None
    slowest: float | None = None
    buckets: Counter[int] = field(default_factory=Counter[int])
    last: dt.datetime | None = None

    def add(self, use: Use) -> None:
        """Add one use."""
        self.counts["uses"] += 1
        self.counts["without_unit"] += use.bucket is None
        self.counts["with_tokens"] += (use.input_tokens, use.output_tokens) != (None, None)
        total_tokens = None
        if use.input_tokens is not None and use.output_tokens is not None:
            total_tokens = use.input_tokens + use.output_tokens
        for count, name, number in (
            ("with_both", "tokens", total_tokens),
            ("with_input", "input_tokens", use.input_tokens),
            ("with_output", "output_tokens", use.output_tokens),
            ("with_response", "response_ms", use.response_ms),
            ("with_first_token", "first_token_ms", use.first_token_ms),
            ("with_score", "score", use.score),
            ("", "cache_read_tokens", use.cache_read_tokens),
        ):
            if number is not None:
                self.counts[count] += count != ""
                self.sums[name] = self.sums.get(name, 0) + number
        if use.response_ms is not None:
            self.fastest = min(use.response_ms, self.fastest or use.response_ms)
            self.slowest = max(use.response_ms, self.slowest or 0)
            self.buckets[math.floor(32 * math.log2(use.response_ms))] += 1
        self.last = max(use.recorded_at, self.last or use.recorded_at)

    def as_tuple(self) -> tuple[Any, ...]:
        """Return all values for a comparison, without counts of zero."""
        counts = {name: count for name, count in self.counts.items() if count}
        return counts, self.sums, self.fastest, self.slowest, dict(self.buckets), self.last


def totals_of(uses: Iterable[Use], grain: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Return the totals of uses by hour, by day or of all time, by model, outcome and size."""
    totals: dict[tuple[Any, ...], Sum] = {}
    for use in uses:
        hour = use.recorded_at.replace(minute=0, second=0, microsecond=0)
        starts_at = {"hour": hour, "day": hour.replace(hour=0), "all": None}[grain]
        size = sum((use.input_tokens or 0) > step for step in (100_000, 200_000))
        totals.setdefault((starts_at, use.model, use.outcome == "ok", size), Sum()).add(use)
    return {key: total.as_tuple() for key, total in totals.items()}
