"""The present prices of models, as a rollout stores them at its start."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# The numbers that `promptctl.price_tier` returns.
_PRICE_TIERS = range(3)


def of_models(models: Sequence[str]) -> list[dict[str, Any]]:
    """Return the present prices of models, for `promptctl.compare_versions`; a model without a price is left out."""
    from promptctl.claude import prices

    if not models or not prices.are_installed():
        return []
    from datetime import datetime, timezone

    now = datetime.now(timezone.utc).isoformat()
    priced: list[dict[str, Any]] = []
    for model in models:
        for tier in _PRICE_TIERS:
            price = prices.per_token(model, tier, now)
            if price is not None:
                priced.append({"model": model, "size": tier, **price})
    return priced
