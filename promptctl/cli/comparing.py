"""Make the comparison of two versions from what the database has of a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.claude import prices
from promptctl.output.comparison_view import Comparison
from promptctl.rules import experiments, statistics
from promptctl.store import comparisons, usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.postgres.database import Database
    from promptctl.rules.measurements import Measurements
    from promptctl.rules.statistics import Group, Price
    from promptctl.store.comparisons import Period


def of_running_split(database: Database, name: str) -> Comparison | None:
    """Return the comparison of the split of a prompt that runs, with the default margins; None without a split."""
    period = comparisons.read_period(database, name, [])
    if not period.epochs or not period.is_running:
        return None
    measured = usage.read_measurements(database, name, period.began_at, ["version"], trend=False)
    has_prices = bool(models(measured)) and prices.are_installed()
    estimates = comparisons.read_estimates(database, period, present_prices(measured) if has_prices else [])
    return comparison(period, estimates, measured, {}, outside(database, period, estimates, measured))


def comparison(
    period: Period,
    estimates: Sequence[experiments.Estimate],
    measured: Measurements,
    chosen_margins: Mapping[str, float],
    uses_outside: tuple[int, int],
) -> Comparison:
    """Return the comparison of a period. `uses_outside` is that of `outside`, `measured` the uses since it began."""
    counts = {estimate.metric: estimate for estimate in estimates if estimate.share is None}
    uses, misplaced = counts.get("uses"), counts.get("out_of_place")
    uses_a, uses_b = (0, 0) if uses is None else (uses.uses_a, uses.uses_b)
    judgments = experiments.judge(estimates, chosen_margins, uses_a + uses_b)
    by_version = {group.version: group for group in groups(measured)}
    of_a, of_b = by_version.get(period.a), by_version.get(period.b)
    return Comparison(
        period,
        uses_a,
        uses_b,
        judgments,
        experiments.judge_shares(estimates, judgments, uses_a + uses_b) if period.splits == 1 else [],
        experiments.check_traffic(estimates),
        0 if misplaced is None else misplaced.uses_a + misplaced.uses_b,
        *uses_outside,
        None if of_a is None else of_a.p50_response_time_ms,
        None if of_b is None else of_b.p50_response_time_ms,
        None if of_a is None else of_a.p95_response_time_ms,
        None if of_b is None else of_b.p95_response_time_ms,
    )


def outside(
    database: Database, period: Period, estimates: Sequence[experiments.Estimate], measured: Measurements
) -> tuple[int, int]:
    """Return the uses of versions A and B that were recorded while the split ran and do not have its epochs.

    `measured` are the uses since the split began. Of several splits with a time between them, the numbers are 0,
    because the uses of that time have other epochs for a good reason.
    """
    uses = next((estimate for estimate in estimates if estimate.metric == "uses" and estimate.share is None), None)
    counted = (0, 0) if uses is None else (uses.uses_a, uses.uses_b)
    if period.has_gaps or 0 not in counted:
        return 0, 0
    later = None
    if not period.is_running:
        later = usage.read_measurements(database, period.name, period.last_at, ["version"], trend=False)

    def recorded(measurements: Measurements | None, version: int) -> int:
        return 0 if measurements is None else sum(part.uses for part in measurements.sums if part.version == version)

    outside_a, outside_b = (
        max(recorded(measured, version) - recorded(later, version) - number, 0)
        for version, number in zip((period.a, period.b), counted, strict=True)
    )
    return outside_a, outside_b


def groups(measured: Measurements) -> list[Group]:
    """Return the statistics by version."""
    return statistics.aggregate(measured, ["version"], price())


def price() -> Price:
    """Return the function that knows prices; without `genai-prices`, one that knows none."""
    return prices.cost_usd if prices.are_installed() else _no_price


def models(measured: Measurements) -> dict[tuple[str, int], str]:
    """Return the time of the last use of each model and price tier that was billed."""
    last: dict[tuple[str, int], str] = {}
    for part in measured.sums:
        if part.model is not None and part.with_tokens and part.last_used_at is not None:
            key = (part.model, part.price_tier)
            last[key] = max(last.get(key, ""), part.last_used_at)
    return last


def present_prices(measured: Measurements) -> list[dict[str, object]]:
    """Return the prices of the models that were used, for `promptctl.compare_versions`."""
    priced: list[dict[str, object]] = []
    for (model, tier), used_at in models(measured).items():
        per_token = prices.per_token(model, tier, used_at)
        if per_token is not None:
            priced.append({"model": model, "size": tier, **per_token})
    return priced


def _no_price(*_: object) -> None:
    """Stand for `prices.cost_usd` where there are no prices."""
