"""Compare the two versions of a rollout by its guards, as `promptctl.tick_rollout` does over all shares. Pure."""

from __future__ import annotations

import math

from promptctl.rules import experiments, margins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from promptctl.rules.experiments import Estimate

WORSE, FINE, NOT_PROVEN, TOO_FEW_USES = "worse", "fine", "not proven", "too few uses"


def figures(estimates: Iterable[Estimate], guards: Sequence[Mapping[str, Any]], level: float) -> list[dict[str, Any]]:
    """Return the figures of each guard: its values, uses, difference, interval and verdict.

    `level` is the level of the whole rollout. Half of it is for the comparison over all shares, divided by the number
    of guards; the other half is for the present share, at which only a tick looks. `verdict` is worse (proven to be
    worse, and by more than the tolerance), fine (not worse by more than the tolerance), not proven, or too few uses.
    """
    rows = {estimate.metric: estimate for estimate in estimates if estimate.share is None}
    part = level / 2 / max(len(guards), 1)
    return [_figure(guard["metric"], guard["tolerance"], rows.get(guard["metric"]), part) for guard in guards]


def _figure(metric: str, tolerance: float, estimate: Estimate | None, level: float) -> dict[str, Any]:
    figure: dict[str, Any] = {"metric": metric, "tolerance": tolerance}
    if estimate is None or estimate.difference is None:
        unknown = dict.fromkeys(("value_a", "value_b", "difference", "lower", "upper"))
        return figure | {"uses_a": 0, "uses_b": 0} | unknown | {"verdict": TOO_FEW_USES}
    difference, se_null, se_free = estimate.difference, estimate.se_null or 0.0, estimate.se_free or 0.0
    if metric == "cost":
        value_a, value_b, pooled = estimate.value_a or 0.0, estimate.value_b or 0.0, estimate.pooled or 0.0
        has_costs = value_a > 0 and value_b > 0 and pooled > 0
        difference = math.log(value_b / value_a) if has_costs else 0.0
        se_null, se_free = (se_null / pooled, se_free / pooled) if has_costs else (0.0, 0.0)
    has_data = (
        min(estimate.uses_a, estimate.uses_b) >= experiments.LEAST_USES
        and min(estimate.units_a or 0, estimate.units_b or 0) >= experiments.LEAST_UNITS
    )
    ends = experiments.interval(difference, se_null, se_free, tolerance, level) if has_data else None
    more_is_worse = margins.METRICS[metric].more_is_worse
    harm = difference if more_is_worse else -difference
    verdict = TOO_FEW_USES
    if ends is not None:
        least_harm = ends[0] if more_is_worse else -ends[1]
        verdict = FINE if harm <= tolerance else WORSE if least_harm > 0 else NOT_PROVEN
    elif estimate.uses_b and not se_null:
        # No use differs from another one, for example because none has failed.
        verdict = FINE
    lower, upper = ends or (None, None)
    return figure | {
        "uses_a": estimate.uses_a, "uses_b": estimate.uses_b, "value_a": estimate.value_a, "value_b": estimate.value_b,
        "difference": difference, "lower": lower, "upper": upper, "verdict": verdict,
    }  # fmt: skip
