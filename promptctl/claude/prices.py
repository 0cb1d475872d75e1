"""Calculate the cost of calls from the prices in the package `genai-prices`, without network access.

The extra `chat` installs the package.
"""

from __future__ import annotations

import _thread

from promptctl import threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from promptctl.records import Timestamp

PROVIDER = "anthropic"
# A query that takes longer adds up many uses. Almost always some of them name a model, so prices are needed.
_DELAY_SECONDS = 0.4
# A number of input tokens in each price tier. Within a tier, a price is linear in the tokens.
_SIZES = (10_000, 150_000, 300_000)


class LoadInBackground:
    """A context manager that loads the prices in a thread if its block takes longer than 0.4 seconds."""

    def __init__(self) -> None:
        # Locked while the block runs.
        self._block_lock = _thread.allocate_lock()

    def __enter__(self) -> None:
        self._block_lock.acquire()
        threads.start(self._load)

    def __exit__(self, *_: object) -> None:
        self._block_lock.release()

    def _load(self) -> None:
        if not self._block_lock.acquire(timeout=_DELAY_SECONDS):
            are_installed()


def are_installed() -> bool:
    """Return whether `genai-prices` is installed, and import it if so. The other functions need it."""
    try:
        import genai_prices as _  # noqa: F401 - loaded for the code that calculates
    except ModuleNotFoundError:
        return False
    return True


def price_days(models: Iterable[str | None], until: Timestamp | None) -> list[str]:
    """Return the days (2026-03-13, UTC, ascending) on which the price of one of these models changes.

    `until` is the time of the last use, None if there is none. Later days are left out, because they change no cost.
    """
    from genai_prices.data import providers
    from genai_prices.types import StartDateConstraint

    anthropic = next(provider for provider in providers if provider.id == PROVIDER)
    days: set[str] = set()
    for model in models:
        match = None if model is None else anthropic.find_model(model)
        if match is None or not isinstance(match.prices, list):
            continue
        for price in match.prices:
            if isinstance(price.constraint, StartDateConstraint):
                days.add(price.constraint.start_date.isoformat())
    return sorted(day for day in days if until is not None and day <= until[:10])


def cost_usd(
    model: str,
    input_tokens: float,
    output_tokens: float,
    cache_read_tokens: float,
    cache_write_tokens: float,
    at: Timestamp,
    *,
    writes_for_an_hour: bool = False,
) -> float | None:
    """Return the cost of one call in US dollars at the prices of the time `at`; None if the model has no price.

    `input_tokens` counts all input, including the tokens read from and written to the cache. Numbers may be fractions,
    as averages of several calls are. A cache write has a lifetime of five minutes, unless `writes_for_an_hour`.
    """
    from datetime import datetime
    from decimal import Decimal

    from genai_prices import Usage, calc_price

    # genai-prices refuses an input that is smaller than its cached parts. If all input was cached, rounded averages of
    # the parts can add up to more than the average of the whole. Decimal makes this sum exact, as genai-prices does.
    cache_read, cache_write = Decimal(repr(cache_read_tokens)), Decimal(repr(cache_write_tokens))
    # genai-prices declares tokens as int, but also calculates with fractions.
    make_usage: Any = Usage
    usage = make_usage(
        input_tokens=max(Decimal(repr(input_tokens)), cache_read + cache_write),
        output_tokens=output_tokens,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        cache_write_1h_tokens=cache_write if writes_for_an_hour else None,
    )
    try:
        price = calc_price(usage, model, provider_id=PROVIDER, genai_request_timestamp=datetime.fromisoformat(at))
    except (LookupError, ValueError):
        # A model of another provider, or one newer than the prices.
        return None
    return float(price.total_price)


def per_token(model: str, price_tier: int, at: Timestamp) -> dict[str, float] | None:
    """Return the prices of the time `at` in dollars per token: input, output, cache_read and cache_write.

    `price_tier` is 0, or 1 above 100 000 input tokens, or 2 above 200 000. None if the model has no price.
    """
    size = _SIZES[price_tier]
    total = cost_usd(model, size, 0, 0, 0, at)
    with_output = cost_usd(model, size, size, 0, 0, at)
    all_read, all_written = cost_usd(model, size, 0, size, 0, at), cost_usd(model, size, 0, 0, size, at)
    if total is None or with_output is None or all_read is None or all_written is None:
        return None
    return {
        "input": total / size,
        "output": (with_output - total) / size,
        "cache_read": all_read / size,
        "cache_write": all_written / size,
    }
