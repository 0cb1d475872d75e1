"""Routes: other prompts for other users. Pure; schema.sql holds the same rules."""

from __future__ import annotations

from promptctl import references
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.records import Reference

    Route = Sequence[Mapping[str, Any]]


class Surroundings(Record):
    """What routes may lead to: the versions in use of each prompt, and the routes of all that have one."""

    __slots__ = ()
    versions: dict[str, frozenset[int]]
    routes: dict[str, Route]


def targets(route: Route) -> list[Reference]:
    """Return what the steps of a route use, in their order."""
    return [references.parse(step["use"]) for step in route]


def problem(name: str, route: Route, around: Surroundings) -> str | None:
    """Return in words why a prompt cannot have this route: it leads to nothing, or in a circle; None: it can."""
    for target in targets(route):
        if target.name not in around.versions:
            return f"the route leads to {target}, which is no prompt"
        if target.version is not None and target.version not in around.versions[target.name]:
            return f"the route leads to {target}, which is no version in use"
    path = _back(name, route, around)
    return f"the route leads in a circle: {' → '.join(path)}" if path else None


def _back(name: str, route: Route, around: Surroundings) -> list[str] | None:
    pending = [(route, [name])]
    seen: set[str] = set()
    while pending:
        here, path = pending.pop()
        for target in targets(here):
            # A step to a certain version ends there.
            if target.version is not None:
                continue
            if target.name == name:
                return [*path, name]
            if target.name not in seen:
                seen.add(target.name)
                pending.append((around.routes.get(target.name, ()), [*path, target.name]))
    return None
