"""The plan of a rollout, as the command line and prompt.yaml have it. Pure."""

from __future__ import annotations

import math

from promptctl.records import Record
from promptctl.rules import margins, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

MOST_STEPS = 20
# The same defaults as those of `promptctl.start_rollout`.
DEFAULT_STEPS = (1000, 2500, 5000)
DEFAULT_HOLD_SECONDS, DEFAULT_PATIENCE_SECONDS = 3600, 7 * 86_400
# The same limits as in the constraints of the table `rollouts`.
LONGEST_HOLD_SECONDS, LONGEST_PATIENCE_SECONDS = 366 * 86_400, 3660 * 86_400
MOST_USES = 999_999_999
# The least tolerance of a guard, in the unit of the kind of its metric, and as it is written.
_LEAST_TOLERANCE = 0.0001
_LEAST_WRITTEN = {"rate": "0.01pt", "ratio": "0.01%", "score": "0.0001"}
# What happens after `--patience`, as it is written, and as the database stores it.
IN_DOUBT = {"pause": "pause", "rollback": "roll back"}


class RolloutPlan(Record):
    """How to roll a version out. The database chooses a default for each field that is None.

    `steps` are shares in basis points, growing. `hold_seconds` and `least_uses` are the least time and the least uses
    of the candidate in a step, `patience_seconds` the longest time. `in_doubt` is pause or roll back. `guards` have the
    keys metric and tolerance, in the unit of the metric's kind (rules.margins).
    """

    steps: Sequence[int] | None = None
    hold_seconds: int | None = None
    least_uses: int | None = None
    patience_seconds: int | None = None
    in_doubt: str | None = None
    guards: Sequence[Mapping[str, Any]] | None = None

    def replaced_by(self, other: RolloutPlan) -> RolloutPlan:
        """Return the plan with the fields of `other` that are not None."""
        return RolloutPlan(*[mine if its is None else its for mine, its in zip(self, other, strict=True)])

    @property
    def guards_cost(self) -> bool:
        """Whether the plan names a guard of the cost. The database refuses such a rollout if no model has a price."""
        return any(guard["metric"] == "cost" for guard in self.guards or ())

    @property
    def needs_prices(self) -> bool:
        """Whether the database needs prices: for a guard of the cost, or to decide whether that is a default guard."""
        return self.guards is None or self.guards_cost

    @property
    def steps_text(self) -> str:
        """The shares with their defaults, and the activation: `10% → 25% → 50% → 100%`."""
        steps = DEFAULT_STEPS if self.steps is None else self.steps
        return " → ".join(shares.percent(share) for share in (*steps, shares.ALL))


def time_problem(plan: RolloutPlan) -> str | None:
    """Return a sentence about a hold or a patience that the database refuses, None if there is none."""
    hold = DEFAULT_HOLD_SECONDS if plan.hold_seconds is None else plan.hold_seconds
    patience = DEFAULT_PATIENCE_SECONDS if plan.patience_seconds is None else plan.patience_seconds
    if hold > LONGEST_HOLD_SECONDS:
        return "hold must be at most 366d"
    if patience > LONGEST_PATIENCE_SECONDS:
        return "patience must be at most 3660d"
    if patience < hold:
        default = ", which is 7d by default," if plan.patience_seconds is None else ""
        return f"patience{default} must be at least as long as hold"
    return None


def tolerance(metric: str, margin: float) -> float | None:
    """Return a margin as the tolerance of a guard, in the unit of the kind of its metric, None if it is too small."""
    # The logarithm of 1.0001 is slightly less than 0.0001.
    least = math.log1p(_LEAST_TOLERANCE) if margins.METRICS[metric].kind == "ratio" else _LEAST_TOLERANCE
    return max(margin, _LEAST_TOLERANCE) if margin >= least else None


def tolerance_rule(metric: str, separator: str = "=") -> str:
    """Return how the tolerance of a guard is written, with an example: `errors=0.5pt`."""
    return margins.rule(metric, separator, least=_LEAST_WRITTEN[margins.METRICS[metric].kind])


def parse_steps(text: str) -> list[int]:
    """Return the shares of `10%,25%,50%` in basis points.

    Each is above 0% and below 100%, and larger than the one before; there are at most 20. Raises ValueError with a
    sentence about the first problem.
    """
    steps: list[int] = []
    for part in text.split(","):
        share = _share(part.strip())
        if steps and share <= steps[-1]:
            before = shares.percent(steps[-1])
            raise ValueError(f"each step must be larger than the one before: {shares.percent(share)} follows {before}")
        steps.append(share)
    if len(steps) > MOST_STEPS:
        raise ValueError(f"a rollout has at most {MOST_STEPS} steps, not {len(steps)}")
    return steps


def _share(text: str) -> int:
    try:
        share = shares.basis_points(text)
    except ValueError:
        raise ValueError(f'"{text[:40]}" is not a share') from None
    if share == 0:
        raise ValueError("a step is above 0%")
    if share == shares.ALL:
        raise ValueError("a step is below 100%: after the last step the candidate is activated")
    return share
