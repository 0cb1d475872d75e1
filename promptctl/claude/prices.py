"""What a call of a model costs: the prices of `genai-prices`, which come with it; none are fetched."""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from promptctl.records import Timestamp

PROVIDER = "anthropic"
# A query that takes longer has many uses to add up, and most of those name a model.
_PATIENCE_SECONDS = 0.4


class LoadInBackground:
    """A block that may take long: then the prices are loaded beside it, because they will be wanted after it."""

    def __init__(self) -> None:
        self._ended = _thread.allocate_lock()

    def __enter__(self) -> None:
        self._ended.acquire()
        _thread.start_new_thread(self._load, ())

    def __exit__(self, *_: object) -> None:
        self._ended.release()

    def _load(self) -> None:
        if not self._ended.acquire(timeout=_PATIENCE_SECONDS):
            import genai_prices as _  # noqa: F401 - loaded for what comes after the block


def price_days(models: Iterable[str | None], until: Timestamp | None) -> list[str]:
    """Return the days (2026-03-13, UTC, ascending) from which on one of these models has another price.

    Days after the moment `until`, the last of all uses, are left out: they change no cost.
    """
    from genai_prices.data import providers
    from genai_prices.types import StartDateConstraint

    provider = next(each for each in providers if each.id == PROVIDER)
    found: set[str] = set()
    for model in models:
        match = None if model is None else provider.find_model(model)
        for price in match.prices if match is not None and isinstance(match.prices, list) else ():
            if isinstance(price.constraint, StartDateConstraint):
                found.add(price.constraint.start_date.isoformat())
    return sorted(day for day in found if until is not None and day <= until[:10])


def cost_usd(
    model: str,
    input_tokens: float,
    output_tokens: float,
    cache_read_tokens: float,
    cache_write_tokens: float,
    at: Timestamp,
) -> float | None:
    """Return what one call costs in US dollars, at the prices of a moment; None: the model's price is not known.

    `input_tokens` is all of the input, of which the cached ones are parts. Averages of several calls may be broken.
    """
    from datetime import datetime
    from decimal import Decimal

    from genai_prices import Usage, calc_price

    # Where all of the input was cached, the averages of its parts can come to a hair more than that of the whole, which
    # would be refused. Decimal as the prices are: what is added here is subtracted there to the last digit.
    read, written = Decimal(repr(cache_read_tokens)), Decimal(repr(cache_write_tokens))
    # Its tokens are whole numbers by type, and multiplied all the same.
    make: Any = Usage
    usage = make(
        input_tokens=max(Decimal(repr(input_tokens)), read + written),
        output_tokens=output_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    try:
        price = calc_price(usage, model, provider_id=PROVIDER, genai_request_timestamp=datetime.fromisoformat(at))
    except (LookupError, ValueError):
        # A model of another server's, or one that is newer than the prices.
        return None
    return float(price.total_price)
