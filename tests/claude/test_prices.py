"""Prices per token give the costs that `cost_usd` gives for whole calls."""

from __future__ import annotations

import pytest

from promptctl.claude import prices

TODAY = "2026-11-12T09:30:00Z"


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-haiku-4-5"])
@pytest.mark.parametrize(("tier", "tokens"), [(0, 400), (0, 100_000), (1, 200_000), (2, 200_001), (2, 900_000)])
def test_prices_per_token_add_up_to_the_cost_of_a_call(model: str, tier: int, tokens: int) -> None:
    price = prices.per_token(model, tier, TODAY)
    assert price is not None
    read, written, output = tokens // 2, tokens // 4, 321
    cost = (
        (tokens - read - written) * price["input"]
        + output * price["output"]
        + read * price["cache_read"]
        + written * price["cache_write"]
    )
    assert cost == pytest.approx(prices.cost_usd(model, tokens, output, read, written, TODAY), rel=1e-6)


def test_an_unknown_model_has_no_price() -> None:
    assert prices.per_token("llama-of-ours", 0, TODAY) is None
