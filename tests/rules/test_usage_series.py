"""The numbers of the steps and versions of a report, from sums of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from promptctl.rules import usage_series
from promptctl.rules.usage_series import CellHistogram, CellSums, Numbers, Times

if TYPE_CHECKING:
    from collections.abc import Mapping

PRICES = {"input": 1.0, "output": 10.0, "cache_read": 0.25, "cache_write": 2.0}


def price(model: str, tier: int, place: int, /) -> Mapping[str, float] | None:
    """Return prices that double in the second tier, and in the cells from 5 on."""
    if model != "known":
        return None
    return {kind: amount * (1 + tier) * (2 if place >= 5 else 1) for kind, amount in PRICES.items()}


def cell(place: int = 0, version: int = 1, **others: Any) -> CellSums:
    """Return a cell with ten uses, of which two failed; the others reported 100 tokens of input and 5 of output."""
    sums: dict[str, Any] = {
        "name": "a", "version": version, "place": place, "model": "known", "price_tier": 0, "uses": 10, "errors": 2,
        "good_with_input": 8, "good_input": 800.0, "good_with_output": 8, "good_output": 40.0, "with_tokens": 8,
        "input": 800.0, "output": 40.0, "cache_read": None, "cache_write": None, "with_score": 0, "score": 0.0,
    }  # fmt: skip
    return CellSums(**{**sums, **others})


def times(place: int, version: int, bucket: int) -> CellHistogram:
    milliseconds = 2 ** (bucket / 32)
    return CellHistogram("a", version, place, [bucket], [8], milliseconds, milliseconds)


def test_the_numbers_of_cells() -> None:
    cells = [cell(with_score=4, score=3.0), cell(5, price_tier=1, with_score=1, score=0.0, errors=None)]
    found = usage_series.numbers(cells, Times(), price)
    assert (found.uses, found.errors, found.error_rate) == (20, 2, 0.1)
    assert (found.input_tokens, found.output_tokens) == (100, 5)
    assert (found.score, found.scored) == (0.6, 5)
    # 800 + 10 * 40, and four times that in the other tier at later prices.
    assert (found.cost, found.priced_uses, found.cost_per_use) == (1200 * 5, 16, 1200 * 5 / 16)
    assert (found.cache_hits, found.cache_saved, found.p50) == (None, None, None)
    assert usage_series.numbers([], Times(), price) == Numbers()


def test_what_is_not_known_is_not_zero() -> None:
    unpriced = usage_series.numbers([cell(), cell(model="new"), cell(model=None)], Times(), price)
    assert (unpriced.cost, unpriced.is_unpriced, unpriced.cost_per_use) == (None, True, None)
    without_tokens = usage_series.numbers(
        [cell(model=None, with_tokens=0, good_with_input=0, good_with_output=0)], Times(), price
    )
    assert (without_tokens.cost, without_tokens.is_unpriced, without_tokens.input_tokens) == (None, False, None)
    assert (without_tokens.score, without_tokens.scored) == (None, 0)


def test_what_a_cache_read_and_saved() -> None:
    cached = usage_series.numbers([cell(cache_read=600.0, cache_write=100.0), cell()], Times(), price)
    assert cached.cost == 100 + 150 + 200 + 400 + 1200
    assert (cached.cache_hits, cached.cache_saved) == (600 / 1600, 1200 - 850)
    # A write that is never read costs more than it saves.
    assert usage_series.numbers([cell(cache_write=100.0)], Times(), price).cache_saved == -100
    # Only the cached part has no price, so the savings are not known; or only another part, so they are.
    assert usage_series.numbers([cell(cache_read=6.0, model="new"), cell()], Times(), price).cache_saved is None
    assert usage_series.numbers([cell(cache_read=600.0), cell(model="new")], Times(), price).cache_saved == 450
    # Input that was not reported is that of the cache.
    assert usage_series.numbers([cell(input=0.0, output=0.0, cache_read=100.0)], Times(), price).cost == 25


def test_series_have_steps_versions_and_the_whole() -> None:
    cells = [cell(0), cell(1, version=2), cell(2, version=2), cell(5), cell(0, name="b")]
    histograms = [times(0, 1, 320), times(1, 2, 352), times(2, 2, 384), times(5, 1, 416), times(0, 9, 1)]
    histograms.append(CellHistogram("unused", 1, 0, [1], [1], 1.0, 1.0))
    found = usage_series.series(cells, histograms, 3, 2, 2, price)
    assert sorted(found) == ["a", "b"]
    series = found["a"]
    assert [step.uses for step in series.steps] == [20, 10, 10]
    assert {version: one.uses for version, one in series.versions.items()} == {1: 20, 2: 20}
    assert (series.whole.uses, series.whole.errors) == (40, 8)
    # Each step and each version has its own times, and those of the first two cells are apart.
    assert [step.p50 for step in series.steps] == [
        pytest.approx(2 ** (bucket / 32), rel=0.02) for bucket in (320, 384, 416)
    ]
    assert series.versions[2].p95 == pytest.approx(2**12, rel=0.02)
    assert series.early_times.counts == {320: 8, 352: 8, 1: 8}
    # Adding to the times of one part changed no other part.
    assert [list(row.counts) for row in histograms[:4]] == [[8]] * 4
    assert found["b"].whole.p95 is None
