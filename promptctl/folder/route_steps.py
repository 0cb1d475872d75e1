"""The steps of a route in YAML or JSON, and their checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from promptctl import errors
from promptctl.folder.yaml_values import is_finite, mapping, quoted, unknown_key
from promptctl.rules import references

if TYPE_CHECKING:
    from promptctl.folder.yaml_values import Report

MAX_STEPS = 100
_KEYS = ("when", "use")


def entries(value: object, report: Report) -> list[object] | None:
    """Return the entries of a route, not yet checked. Report a value that is not a list or is too long."""
    if not isinstance(value, list):
        report(f"route must be a list of entries with when and use, not {quoted(value)}")
        return None
    items = cast("list[object]", value)
    if len(items) > MAX_STEPS:
        report(f"route: at most {MAX_STEPS} entries are allowed, not {len(items)}")
        return None
    return items


def step(value: object, where: str, report: Report) -> dict[str, Any] | None:
    """Return an entry of a route as a step, None for an invalid entry. Each reported problem begins with `where`."""
    entry = mapping(value)
    if entry is None:
        report(f"{where} must be a mapping with when and use, not {quoted(value)}")
        return None
    problems = [f"{where}: {unknown_key(key, _KEYS)}" for key in entry if key not in _KEYS]
    problems += [f"{where}: {key} is missing" for key in _KEYS if key not in entry]
    if not problems:
        problems = _when_problems(entry["when"], f"{where}: when") + _use_problems(entry["use"], f"{where}: use")
    for problem in problems:
        report(problem)
    return None if problems else {"when": entry["when"], "use": entry["use"]}


def _when_problems(value: object, where: str) -> list[str]:
    when = mapping(value)
    if not when:
        return [f"{where} must be a mapping of attributes to values, not {quoted(value)}"]
    problems: list[str] = []
    for key, condition in when.items():
        is_valid = isinstance(condition, (str, int)) or (isinstance(condition, float) and is_finite(condition))
        if not isinstance(key, str):
            problems.append(f"{where}: the key {quoted(key)} must be a text")
        elif not is_valid:
            problems.append(f"{where}: {quoted(key)} must be a text, a number, true or false, not {quoted(condition)}")
    return problems


def _use_problems(value: object, where: str) -> list[str]:
    if not isinstance(value, str):
        return [f"{where} must be NAME or NAME@VERSION, not {quoted(value)}"]
    try:
        references.parse(value)
    except errors.Usage as problem:
        return [f"{where}: {problem.message}"]
    return []
