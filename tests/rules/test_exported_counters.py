"""The counters of versions for a monitoring system: what is added up, and which versions are exported."""

from __future__ import annotations

from typing import Any

from promptctl.rules import exported_counters
from promptctl.rules.measurements import Histogram, LateScores, Measurements, UseSums

SINCE = "2026-11-19T00:00:00.5Z"


def used(version: int, last_used_at: str = SINCE, **values: Any) -> UseSums:
    fields: dict[str, Any] = dict.fromkeys(UseSums.fields)
    fields |= {field: 0 for field in fields if field.startswith("with")}
    fields |= {"name": "x", "version": version, "is_ok": True, "price_tier": 0, "uses": 1}
    fields |= {"last_used_at": last_used_at}
    return UseSums(**(fields | values))


def price(model: str, *tokens: Any) -> float | None:
    return tokens[0] / 10 if model == "known" else None


def test_parts_are_added_up_and_what_was_not_reported_is_absent() -> None:
    sums = [
        used(1, uses=4, model="known", with_tokens=2, input_tokens=20.0, response_ms=300.0, with_score=1, score=0.5),
        used(1, uses=3, model="known", with_tokens=1, input_tokens=5.0, price_tier=1, is_ok=False, response_ms=50.0),
        used(1, model="unknown", with_tokens=1, output_tokens=7.0),
        used(1, model="known"),
        used(2, is_ok=False),
    ]
    group = ("x", 1, None, None, None)
    histograms = [Histogram(*group, [1, 2], [3, 1]), Histogram(*group, [2], [1])]
    measured = Measurements([], sums, histograms, [LateScores(*group, 1, -0.25)], [], {})
    one, two = exported_counters.counters(measured, [], SINCE, price)
    assert (one.succeeded, one.failed, one.input_tokens, one.output_tokens) == (6, 3, 25, 7)
    # Each part has its own price: 2 uses of 10 tokens, and 1 of 5.
    assert (one.cost_usd, one.unpriced) == (2.5, 1)
    assert (one.cache_read_tokens, one.cache_write_tokens) == (None, None)
    # The time of a failed use does not count, as in the histogram.
    assert (one.response_ms, dict(one.times)) == (300.0, {1: 3, 2: 2})
    assert (one.scored, one.score) == (2, 0.25)
    assert (two.succeeded, two.failed, two.cost_usd, two.unpriced, two.input_tokens) == (0, 1, None, 0, None)


def test_versions_are_bounded_and_those_that_are_served_come_first() -> None:
    uses = [used(version, f"2026-11-20T00:00:{version % 60:02}Z") for version in range(1, 10_001)]
    uses += [used(20_000, "2026-11-18T00:00:00Z")]
    measured = Measurements([], uses, [], [], [], {})
    serving = {("x", 1), ("x", 20_001), ("y", 1)}
    exported = exported_counters.counters(measured, serving, SINCE, price)
    references = [(one.name, one.version) for one in exported]
    assert references == sorted(
        [*serving, *(("x", 9959 - 60 * number) for number in range(exported_counters.MOST_VERSIONS - 2))]
    )
