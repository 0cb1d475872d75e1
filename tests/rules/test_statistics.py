"""Statistics from sums: averages, costs, percentiles and the order of the groups."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptctl.claude import prices
from promptctl.output import stats_view as output
from promptctl.output import table_layout, time_text
from promptctl.rules import statistics
from promptctl.rules.measurements import DailyUses, Histogram, LateScores, ListedVersion, Measurements, UseSums

AT = "2026-11-24T09:30:00Z"
NO_MODEL: dict[str, Any] = {"model": None, "with_tokens": 0}


def sums(**overrides: Any) -> UseSums:
    values: dict[str, Any] = {
        "name": "x", "version": 1, "day": None, "hour": None, "model": "m", "is_ok": True, "price_tier": 0, "uses": 2,
        "without_unit": 1, "with_tokens": 2, "with_both": 2, "tokens": 300.0, "with_input": 2, "input_tokens": 200.0,
        "with_output": 2, "output_tokens": 100.0, "cache_read_tokens": None, "cache_write_tokens": None,
        "with_response": 2, "response_ms": 3000.0, "fastest_ms": 1000.0, "slowest_ms": 2000.0, "with_first_token": 1,
        "first_token_ms": 400.0, "with_score": 0, "score": None, "last_used_at": AT,
    }  # fmt: skip
    return UseSums(**values | overrides)


def measurements(
    *parts: UseSums,
    histograms: list[Histogram] | None = None,
    scores: list[LateScores] | None = None,
    days: list[DailyUses] | None = None,
) -> Measurements:
    listed = [ListedVersion("x", 2, False, True, 1000), ListedVersion("x", 1, True, False, 9000)]
    return Measurements(listed, list(parts), histograms or [], scores or [], days or [], {})


def bucket(milliseconds: float) -> int:
    """Return the bucket that the SQL function promptctl.histogram_bucket returns."""
    return math.floor(math.log2(milliseconds) * 32) if milliseconds > 2**-10 else -320


def nearest_rank(values: list[float], percent: int) -> float:
    return sorted(values)[-(-percent * len(values) // 100) - 1]


def no_cost(*_: object) -> float:
    return 0.0


def one_dollar_a_token(
    model: str, input_tokens: float, output_tokens: float, read: float, written: float, at: str
) -> float | None:
    return input_tokens + output_tokens if model == "m" else None


def test_used_and_unused_versions_each_have_a_row() -> None:
    unused, used = statistics.aggregate(measurements(sums()), ["version"], no_cost)
    assert (unused.version, unused.uses, unused.avg_tokens, unused.is_active) == (2, 0, None, False)
    assert unused.cost_usd is None
    assert (used.version, used.uses, used.errors, used.avg_tokens, used.is_active) == (1, 2, 0, 150.0, True)
    assert (used.avg_response_time_ms, used.avg_first_token_ms) == (1500.0, 400.0)


def test_errors_count_in_uses_and_costs_but_not_in_averages() -> None:
    failed = sums(is_ok=False, uses=1, with_tokens=1, tokens=1000.0, input_tokens=999.0, output_tokens=1.0)
    [_, group] = statistics.aggregate(measurements(sums(), failed), ["version"], one_dollar_a_token)
    assert (group.uses, group.errors, group.avg_tokens) == (3, 1, 150.0)
    assert (group.input_tokens, group.output_tokens, group.cost_usd) == (1199, 101, 1300.0)


def ten_for_plain_input(
    model: str, input_tokens: float, output_tokens: float, read: float, written: float, at: str
) -> float | None:
    """Return a price in which plain input costs 10 a token, a read 1, a write 12, and output 50."""
    cost = 10 * (input_tokens - read - written) + read + 12 * written + 50 * output_tokens
    return cost if model == "m" else None


def test_caching_saves_with_each_read_and_costs_with_each_write() -> None:
    mostly_read = sums(cache_read_tokens=150.0, cache_write_tokens=20.0)
    [_, group] = statistics.aggregate(measurements(mostly_read), ["version"], ten_for_plain_input)
    assert (group.cache_hit_rate, group.cache_saved_usd) == (0.75, 150 * 9 - 20 * 2)
    only_written = sums(cache_read_tokens=0.0, cache_write_tokens=100.0)
    [_, group] = statistics.aggregate(measurements(only_written), ["version"], ten_for_plain_input)
    assert (group.cache_hit_rate, group.cache_saved_usd) == (0.0, -200.0)
    # The input of other uses is not read from a cache, and nothing is saved with it.
    [_, group] = statistics.aggregate(measurements(mostly_read, sums()), ["version"], ten_for_plain_input)
    assert (group.cache_hit_rate, group.cache_saved_usd) == (0.375, 150 * 9 - 20 * 2)


def test_what_caching_saved_is_unknown_without_a_price_and_absent_without_cached_tokens() -> None:
    cached, uncached = sums(cache_read_tokens=100.0), sums(cache_read_tokens=0.0)
    [_, group] = statistics.aggregate(measurements(uncached), ["version"], ten_for_plain_input)
    assert (group.cache_hit_rate, group.cache_saved_usd) == (0.0, None)
    [_, group] = statistics.aggregate(measurements(sums()), ["version"], ten_for_plain_input)
    assert (group.cache_hit_rate, group.cache_saved_usd) == (None, None)
    without_price = sums(model="other", cache_read_tokens=100.0)
    [_, group] = statistics.aggregate(measurements(cached, without_price), ["version"], ten_for_plain_input)
    assert (group.cache_hit_rate, group.cache_saved_usd) == (0.5, None)
    # Uses without cached tokens need no price for it.
    unpriced = sums(model="other", cache_read_tokens=0.0)
    [_, group] = statistics.aggregate(measurements(cached, unpriced), ["version"], ten_for_plain_input)
    assert (group.cost_usd, group.cache_saved_usd) == (None, 900.0)
    no_input = sums(input_tokens=None, cache_read_tokens=0.0)
    [_, group] = statistics.aggregate(measurements(no_input), ["version"], ten_for_plain_input)
    assert group.cache_hit_rate is None


def test_a_cost_is_unknown_if_the_price_of_a_part_is_unknown() -> None:
    [_, group] = statistics.aggregate(measurements(sums(), sums(model="other")), ["version"], one_dollar_a_token)
    assert group.cost_usd is None
    [_, group] = statistics.aggregate(measurements(sums(), sums(model=None)), ["version"], one_dollar_a_token)
    assert group.cost_usd is None
    # A use without tokens, for example one that failed at once, costs nothing.
    [_, group] = statistics.aggregate(measurements(sums(), sums(**NO_MODEL)), ["version"], one_dollar_a_token)
    assert group.cost_usd == 300.0


def test_models_are_combined_unless_grouped_by() -> None:
    parts = [sums(model="b"), sums(model="a"), sums(model=None)]
    assert [group.uses for group in statistics.aggregate(measurements(*parts), ["version"], no_cost)] == [0, 6]
    groups = statistics.aggregate(measurements(*parts), ["version", "model"], no_cost)
    assert [(group.version, group.model, group.uses) for group in groups] == [(1, None, 2), (1, "a", 2), (1, "b", 2)]


def test_groups_are_sorted_by_name_then_in_the_order_of_the_options() -> None:
    parts = [
        sums(name=name, day=day, version=version)
        for name in ("y", "x") for day in ("2026-11-23", "2026-11-24") for version in (1, 2)
    ]  # fmt: skip
    groups = statistics.aggregate(measurements(*parts), ["day", "version"], no_cost)
    assert [(group.name, group.day, group.version) for group in groups] == [
        (name, day, version)
        for name in ("x", "y") for day in ("2026-11-24", "2026-11-23") for version in (2, 1)
    ]  # fmt: skip


def test_a_trend_ends_today() -> None:
    days = [DailyUses("x", 1, 0, 5), DailyUses("x", 1, 13, 1), DailyUses("x", 1, 14, 99), DailyUses("x", 1, -1, 99)]
    [unused, used] = statistics.aggregate(measurements(sums(), days=days), ["version"], no_cost)
    assert list(used.trend) == [1, *[0] * 12, 5]
    assert list(unused.trend) == []


def test_a_trend_adds_totals_and_recent_uses_of_the_same_day() -> None:
    [_, used] = statistics.aggregate(
        measurements(sums(), days=[DailyUses("x", 1, 0, 5), DailyUses("x", 1, 0, 2)]), ["version"], no_cost
    )
    assert list(used.trend) == [*[0] * 13, 7]


def test_percentiles_combine_all_histograms_of_a_group() -> None:
    group = ("x", 1, None, None)
    histograms = [
        Histogram(*group, "a", [10, 20, 320], [20, 30, 1]),
        Histogram(*group, "b", [20, 330], [47, 2]),
        Histogram("x", 2, None, None, "a", [5], [7]),
    ]
    parts = [sums(fastest_ms=1.5, slowest_ms=1200.0), sums(model="n", fastest_ms=1.3, slowest_ms=1234.5)]
    two, one = statistics.aggregate(measurements(*parts, histograms=histograms), ["version"], no_cost)
    assert two.p50_response_time_ms is not None
    # The 50th of 100 is in bucket 20, as the 95th is; the 99th is in 330, whose middle is 1283 and beyond the slowest.
    assert one.p50_response_time_ms == one.p95_response_time_ms == pytest.approx(2 ** (20.5 / 32))
    assert one.p99_response_time_ms == 1234.5
    # Failures are in no histogram, and neither the fastest nor the slowest counts.
    failed = sums(is_ok=False, fastest_ms=0.1, slowest_ms=1e6)
    [_, with_failed] = statistics.aggregate(measurements(*parts, failed, histograms=histograms), ["version"], no_cost)
    assert with_failed.p99_response_time_ms == 1234.5


def test_without_times_there_are_no_percentiles() -> None:
    [_, used] = statistics.aggregate(measurements(sums(fastest_ms=None, slowest_ms=None)), ["version"], no_cost)
    assert (used.p50_response_time_ms, used.p99_response_time_ms) == (None, None)


def test_the_fastest_and_the_slowest_value_are_exact() -> None:
    for values in ([1350.5], [3.0, 7000.1], [0.0, 0.0001, 1e12], [100.0, 200.0, 300.0]):
        counts = Counter(map(bucket, values))
        assert statistics.percentile(counts, 99, min(values), max(values)) == max(values)
        assert statistics.percentile(counts, 1, min(values), max(values)) == min(values)


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(st.floats(2**-10, 1e12, exclude_min=True), min_size=1, max_size=400),
    percent=st.sampled_from([1, 50, 95, 99, 100]),
)
def test_a_percentile_is_off_by_at_most_1_1_percent(values: list[float], percent: int) -> None:
    estimate = statistics.percentile(Counter(map(bucket, values)), percent, min(values), max(values))
    assert estimate == pytest.approx(nearest_rank(values, percent), rel=0.011)


def test_a_percentile_of_any_distribution_is_off_by_at_most_1_1_percent() -> None:
    generator = random.Random(7)
    for draw in (
        lambda: generator.lognormvariate(7, 0.8),
        lambda: generator.uniform(0.01, 1e5),
        lambda: generator.expovariate(1 / 900) + 1e-3,
        lambda: generator.paretovariate(1.1),
        lambda: 2 ** (generator.randrange(1, 640) / 32) * (1 + generator.choice([-1e-12, 1e-12])),
        lambda: generator.choice([10.0, 10_000.0]),
    ):
        values = [draw() for _ in range(5000)]
        counts = Counter(map(bucket, values))
        for percent in (50, 95, 99):
            estimate = statistics.percentile(counts, percent, min(values), max(values))
            assert estimate == pytest.approx(nearest_rank(values, percent), rel=0.011)


def test_late_scores_count_with_their_use() -> None:
    scores = [LateScores("x", 1, None, None, "m", 1, 0.75), LateScores("x", 1, None, None, None, 0, -0.25)]
    two, one = statistics.aggregate(measurements(sums(with_score=1, score=0.5), scores=scores), ["version"], no_cost)
    assert (one.avg_score, one.scored) == (0.5, 2)
    assert (two.avg_score, two.scored) == (None, 0)


def test_scores_and_units_of_failed_uses_count() -> None:
    parts = [sums(), sums(is_ok=False, with_score=2, score=1.0, without_unit=3)]
    [_, one] = statistics.aggregate(measurements(*parts), ["version"], no_cost)
    assert (one.avg_score, one.scored, one.without_unit) == (0.5, 2, 4)


def test_shares_are_shown_for_versions_only() -> None:
    two, one = statistics.aggregate(measurements(sums()), ["version"], no_cost)
    assert (two.is_active, two.is_candidate, two.share_basis_points) == (False, True, 1000)
    assert (one.is_active, one.is_candidate, one.share_basis_points) == (True, False, 9000)
    [day] = statistics.aggregate(measurements(sums(version=None, day="2026-11-24")), ["day"], no_cost)
    assert (day.is_active, day.share_basis_points) == (False, 0)


def test_the_last_use_is_found_by_fractions_of_a_second() -> None:
    times = ["2026-11-24T09:30:00.25Z", "2026-11-24T09:30:00Z", "2026-11-24T09:30:00.1Z"]
    [_, one] = statistics.aggregate(measurements(*(sums(last_used_at=at) for at in times)), ["version"], no_cost)
    assert one.last_used_at == times[0]


def test_bars_are_proportional_and_the_smallest_value_is_visible() -> None:
    assert [output.bar(value, 100) for value in (100, 50, 1, 0, None)] == ["████████", "████", "▏", "", ""]
    assert output.bar(5, 0) == ""


def test_a_sparkline_has_one_character_for_each_value() -> None:
    assert output.sparkline([0, 1, 4, 8], 8) == " ▁▄█"[:2] + output.sparkline([4], 8) + output.sparkline([8], 8)
    assert output.sparkline([8], 8) == "█"
    assert output.sparkline([1], 1000) == "▁"
    assert output.sparkline([], 0) == ""


def test_money_and_durations_are_rounded_for_reading() -> None:
    formatted = {
        1204.4: "$1,204", 12.4: "$12.40", 0.18: "$0.18", 0.0042: "$0.0042", 0.00001: "<$0.0001", 0.0: "$0.00",
        -1204.4: "-$1,204", -0.18: "-$0.18", -0.0042: "-$0.0042", -0.00001: ">-$0.0001",
    }  # fmt: skip
    assert {value: table_layout.money(value) for value in formatted} == formatted
    assert [time_text.brief(value) for value in (350, 1350, 99_000, 125_000)] == [
        "350 ms",
        "1.4 s",
        "99.0 s",
        "2 min 5 s",
    ]


def cost(model: str, *tokens: float, at: str = AT) -> float | None:
    input_tokens, output_tokens, read, written = (*tokens, 0, 0, 0, 0)[:4]
    return prices.cost_usd(model, input_tokens, output_tokens, read, written, at)


def test_a_known_model_has_a_price_that_grows_with_its_tokens() -> None:
    once = cost("claude-sonnet-4-5", 1000, 500)
    assert once is not None
    assert once == pytest.approx(1000 * 3e-6 + 500 * 15e-6)
    assert cost("claude-sonnet-4-5", 10_000, 5_000) == pytest.approx(10 * once)
    assert cost("claude-sonnet-4-5", 1000.5, 500) is not None


def test_cached_tokens_have_their_own_price() -> None:
    plain, read, written = (cost("claude-sonnet-4-5", 1000, 0, *cached) for cached in ((0, 0), (1000, 0), (0, 1000)))
    assert plain is not None
    assert read == pytest.approx(plain / 10)
    assert written == pytest.approx(plain * 1.25)


def test_average_inputs_that_are_entirely_cached_have_a_price() -> None:
    for uses in range(1, 200):
        read, written = 1000 * uses + 333, 500 * uses + 671
        price = cost("claude-sonnet-4-5", (read + written) / uses, 0, read / uses, written / uses)
        assert price == pytest.approx((read * 0.3e-6 + written * 3.75e-6) / uses), uses


def test_a_large_input_has_its_own_price() -> None:
    below, above = cost("claude-sonnet-4-5", 200_000, 0), cost("claude-sonnet-4-5", 200_001, 0)
    assert below is not None
    assert above == pytest.approx(2 * below, rel=1e-4)


def test_price_steps_are_only_where_uses_are_summed_separately() -> None:
    from genai_prices import data_snapshot

    [anthropic] = [provider for provider in data_snapshot.get_snapshot().providers if provider.id == prices.PROVIDER]
    steps: set[int] = set()
    for model in anthropic.models:
        rates = {size: cost(model.id, size + 1) for size in range(0, 1_010_000, 10_000)}
        for size, rate in rates.items():
            before = rates.get(size - 10_000)
            if before and rate and rate / (size + 1) > 1.01 * before / (size - 9_999):
                steps.add(size)
    # If this fails, `store.statistics` must sum the uses above the new step separately.
    assert steps
    assert steps <= {100_000, 200_000}


def test_an_unknown_model_has_no_price() -> None:
    for model in ("llama-of-ours", "", "\x1b[31m", "x" * 10_000):
        assert cost(model, 1000, 500) is None
