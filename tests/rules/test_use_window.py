"""The window of the last minutes: uses are counted once, old ones go, and what was not reported stays absent."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl.rules.prompt_lines import lines
from promptctl.rules.use_window import SLOTS, UsesRow, Window, by_prompt
from tests.rules.test_prompt_lines import prompt

PRICES = {("a", 0): {"input": 1.0, "output": 10.0, "cache_read": 0.1, "cache_write": 2.0}}


def price(model: str, tier: int) -> dict[str, float] | None:
    return PRICES.get((model, tier))


def row(slot: int, uses: int = 1, **fields: Any) -> UsesRow:
    known: dict[str, Any] = {
        "name": "x", "version": 1, "slot": slot, "model": None, "outcome": "ok", "price_tier": 0, "is_settled": True,
        "uses": uses, "with_tokens": 0, "input_tokens": None, "output_tokens": None, "cache_read_tokens": None,
        "cache_write_tokens": None, "fastest_ms": None, "slowest_ms": None, "buckets": [], "counts": [],
    }  # fmt: skip
    return UsesRow(**(known | fields))


def test_unsettled_uses_are_replaced_and_settled_ones_are_kept() -> None:
    window = Window(10.0)
    window.add([row(100, 5), row(100, 2, is_settled=False)], 1005)
    assert window.by_version()["x", 1].uses == 7
    # The two are settled now, and one more is not.
    window.add([row(100, 2), row(101, 1, is_settled=False, outcome="overloaded_error")], 1015)
    total = window.by_version()["x", 1]
    assert (total.uses, total.errors, total.outcomes) == (8, 1, {"overloaded_error": 1})
    assert [values[-2:] for values in window.course("x")] == [[7, 1], [0, 1]]
    assert window.course("y") == ([0] * SLOTS, [0] * SLOTS)


def test_a_slot_goes_when_it_is_older_than_the_window() -> None:
    window = Window(10.0)
    window.add([row(100, 5), row(101, 1)], 1005)
    assert not window.expire(1000 + 10 * SLOTS - 1)
    assert window.by_version()["x", 1].uses == 6
    assert window.expire(1000 + 10 * SLOTS)
    assert window.by_version()["x", 1].uses == 1
    # A use whose time is in the future, after a change of a clock, counts as one of now.
    window.add([row(5000, 1)], 1010)
    assert window.course("x")[0][-1] == 2


def test_a_percentile_and_a_cost_are_absent_where_nothing_was_reported() -> None:
    window = Window(10.0)
    slow = row(1, 3, fastest_ms=100.0, slowest_ms=4000.0, buckets=[212, 382], counts=[2, 1])
    cached = row(
        1, 2, name="y", model="a", with_tokens=2, input_tokens=100.0, output_tokens=10.0, cache_read_tokens=60.0,
        cache_write_tokens=20.0,
    )  # fmt: skip
    window.add([slow, cached, row(1, name="z", model="b", with_tokens=1, input_tokens=3.0)], 10)
    totals = by_prompt(window.by_version())
    x, y, z, unused = lines([prompt(name) for name in ("x", "y", "z", "unused")], totals, price, 60)
    assert (x.p95_response_time_ms, x.with_tokens, x.cost_per_hour_usd) == (4000.0, 0, None)
    assert y.p95_response_time_ms is None
    # 20 tokens at the full price, 10 of the output, 60 read from and 20 written to the cache, in a minute.
    assert y.cost_per_hour_usd == pytest.approx((20 + 100 + 6 + 40) * 60)
    assert (z.with_tokens, z.cost_per_hour_usd) == (1, None)
    assert unused[1:] == (0, 0, None, 0, None)
