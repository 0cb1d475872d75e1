"""The steps of a rollout on the command line. Pure."""

from __future__ import annotations

from promptctl.rules import shares

MOST_STEPS = 20


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
            raise ValueError(f"each step is larger than the one before: {shares.percent(share)} follows {before}")
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
