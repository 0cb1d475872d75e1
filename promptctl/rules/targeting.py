"""Routes: other prompts for other users. Pure; schema.sql holds the same rules."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.rules.references import Reference

    Route = Sequence[Mapping[str, Any]]

# Below it every integer is a floating point number of its own.
_EXACT = 2**53
_KINDS: tuple[type | tuple[type, ...], ...] = (str, (int, float))


class Surroundings(Record):
    """What routes may lead to: the versions in use of each prompt, and the routes of all that have one."""

    __slots__ = ()
    versions: dict[str, frozenset[int]]
    routes: dict[str, Route]


def first_match(route: Route, attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the first step of a route whose conditions are all among the attributes; None: no step is taken.

    Attributes are values as JSON has them, and the same is what PostgreSQL finds the same (`attributes @> when`): 1 is
    1.0 and is neither true nor "1"; null and what is nested match nothing.
    """
    for step in route:
        for key, wanted in step["when"].items():
            given = attributes.get(key)
            if given is None:
                break
            if given.__class__ is not wanted.__class__:
                if not _is_same(given, wanted):
                    break
            elif given != wanted:
                break
        else:
            return step
    return None


def _is_same(given: object, wanted: object) -> bool:
    """Whether values of two classes are one in JSON: 1 and 1.0, or an enumeration's text and a text."""
    if isinstance(given, bool) or isinstance(wanted, bool):
        return False
    if isinstance(given, int) and isinstance(wanted, float):
        given, wanted = wanted, given
    if isinstance(given, float) and isinstance(wanted, int) and abs(given) >= _EXACT:
        # JSON has the shortest digits that stand for a number, and PostgreSQL takes these: 1e23 is 10 to the 23rd
        # there, and not the 99999999999999991611392 that it is here.
        from decimal import Decimal

        return Decimal(float.__repr__(given)) == wanted
    return any(isinstance(given, kind) and isinstance(wanted, kind) for kind in _KINDS) and given == wanted


def targets(route: Route) -> list[Reference]:
    """Return what the steps of a route use, in their order."""
    return [references.parse(step["use"]) for step in route]


def route_problem(name: str, route: Route, around: Surroundings) -> str | None:
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
