"""The plan of a rollout in a prompt.yaml, and its checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from promptctl import errors
from promptctl.folder import strict_yaml, texts
from promptctl.folder.yaml_values import is_finite, mapping, quoted, unknown_key
from promptctl.rules import ages, margins, rollout_plans
from promptctl.rules.rollout_plans import RolloutPlan

if TYPE_CHECKING:
    from promptctl.folder.yaml_values import Report

_KEYS = ("steps", "hold", "uses", "guards", "patience", "in_doubt")
_HINT = "write rollout: default, or rollout: {steps: [10%, 25%, 50%], hold: 1h, uses: 200, guards: {errors: 1pt}}"


def plan(value: object, report: Report) -> RolloutPlan | None:
    """Return the plan that the key `rollout` has, None for an invalid one. Each problem is reported."""
    if value == "default":
        return RolloutPlan()
    keys = mapping(value)
    if not keys:
        report(f"rollout must be default, or a mapping with some of {', '.join(_KEYS)}, not {quoted(value)}")
        return None
    problems: list[str] = []
    fields: dict[str, Any] = {}
    for key, item in keys.items():
        if key == "steps":
            fields["steps"] = _steps(item, problems.append)
        elif key == "hold":
            fields["hold_seconds"] = _seconds("hold", item, 0, problems.append)
        elif key == "uses":
            fields["least_uses"] = _uses(item, problems.append)
        elif key == "guards":
            fields["guards"] = _guards(item, problems.append)
        elif key == "patience":
            fields["patience_seconds"] = _seconds("patience", item, 1, problems.append)
        elif key == "in_doubt":
            fields["in_doubt"] = _in_doubt(item, problems.append)
        else:
            problems.append(unknown_key(key, _KEYS))
    parsed = RolloutPlan(**fields)
    if not problems and (problem := rollout_plans.time_problem(parsed)):
        problems.append(problem)
    for problem in problems:
        report(f"rollout: {problem}")
    return None if problems else parsed


def plan_of_file(text: str, source: str) -> RolloutPlan:
    """Return the plan under the key `rollout` of a prompt.yaml; the other keys are not checked.

    `source` names the file in messages. Raises Usage (`malformed_rollout`).
    """
    if problem := texts.git_problem(text):
        raise _malformed(f"{source} {problem}")
    try:
        keys = mapping(strict_yaml.load(text.encode()))
    except strict_yaml.Malformed as problem:
        raise _malformed(f"{source}:{problem.line}: {problem.what}") from None
    if keys is None or "rollout" not in keys:
        raise _malformed(f"{source} has no key rollout")
    problems: list[str] = []
    parsed = plan(keys["rollout"], problems.append)
    if parsed is None:
        raise _malformed(*[f"{source}: {problem}" for problem in problems])
    return parsed


def _malformed(problem: str, *others: str) -> errors.Usage:
    error = errors.Usage("malformed_rollout", problem, hint=_HINT)
    error.others = others
    return error


def _steps(value: object, report: Report) -> list[int] | None:
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    shares = [item for item in items if isinstance(item, str)]
    if not shares or len(shares) < len(items):
        report(f"steps must be a list of shares, for example [10%, 25%, 50%], not {quoted(cast('object', value))}")
        return None
    try:
        return rollout_plans.parse_steps(",".join(shares))
    except ValueError as problem:
        report(f"steps: {problem}")
        return None


def _seconds(key: str, value: object, least: int, report: Report) -> int | None:
    try:
        seconds = ages.parse(value) if isinstance(value, str) else None
    except errors.Usage:
        seconds = None
    if seconds is None or seconds < least:
        report(f"{key} must be an age of at least {least}s, for example 90s, 15m, 2h or 3d, not {quoted(value)}")
        return None
    return seconds


def _uses(value: object, report: Report) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= rollout_plans.MOST_USES:
        return value
    report(f"uses must be a number from 0 to {rollout_plans.MOST_USES}, not {quoted(value)}")
    return None


def _guards(value: object, report: Report) -> list[dict[str, Any]] | None:
    tolerances = mapping(value)
    if not tolerances:
        report(f"guards must be a mapping of metrics to tolerances, for example {{errors: 1pt}}, not {quoted(value)}")
        return None
    guards: list[dict[str, Any]] = []
    for metric, tolerance in tolerances.items():
        if not isinstance(metric, str) or metric not in margins.METRICS:
            report(f"guards: {unknown_key(metric, margins.METRICS)}")
            continue
        margin = margins.value_of(metric, _written(tolerance))
        parsed = None if margin is None else rollout_plans.tolerance(metric, margin)
        if parsed is None:
            rule = rollout_plans.tolerance_rule(metric, separator=": ")
            report(f"guards: {metric} must be {rule}, not {quoted(tolerance)}")
        else:
            guards.append({"metric": metric, "tolerance": parsed})
    return guards


def _written(tolerance: object) -> str:
    """Return a tolerance as text. That of scores is a number in YAML."""
    if isinstance(tolerance, int) and not isinstance(tolerance, bool):
        return str(tolerance)
    if isinstance(tolerance, float) and is_finite(tolerance):
        written = repr(tolerance)
        return f"{tolerance:.12f}" if "e" in written else written
    return tolerance if isinstance(tolerance, str) else ""


def _in_doubt(value: object, report: Report) -> str | None:
    if isinstance(value, str) and value in rollout_plans.IN_DOUBT:
        return rollout_plans.IN_DOUBT[value]
    report(f"in_doubt must be pause or rollback, not {quoted(value)}")
    return None
