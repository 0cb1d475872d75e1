"""Find the step of a route that matches a request, and check routes. Pure. schema.sql implements the same."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.rules.references import Reference

    Route = Sequence[Mapping[str, Any]]

# Below this, a floating-point number represents every integer exactly.
_EXACT = 2**53
# Values of two classes can be equal if both are texts or both are numbers.
_KINDS: tuple[type | tuple[type, ...], ...] = (str, (int, float))


class RouteGraph(Record):
    """What the steps of routes can lead to: by prompt, its versions that are not archived, and its own route."""

    versions: dict[str, frozenset[int]]
    routes: dict[str, Route]


def first_match(route: Route, attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the first step of a route whose conditions all match the attributes, or None.

    Values are equal as in PostgreSQL's `attributes @> when`: 1 equals 1.0, but equals neither true nor "1". Null,
    arrays and objects match nothing.
    """
    for step in route:
        for key, expected in step["when"].items():
            value = attributes.get(key)
            if value is None:
                break
            # Values of one class, the usual case, are compared with `!=` below.
            if value.__class__ is not expected.__class__:
                if not _is_equal(value, expected):
                    break
            elif value != expected:
                break
        else:
            return step
    return None


def _is_equal(value: object, expected: object) -> bool:
    """Whether values of different classes are equal in JSON, such as 1 and 1.0, or a StrEnum's member and a text."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return False
    if isinstance(value, int) and isinstance(expected, float):
        value, expected = expected, value
    if isinstance(value, float) and isinstance(expected, int) and abs(value) >= _EXACT:
        # Compare with the decimal that PostgreSQL stores. A float is sent as the shortest decimal that means this
        # float: 1e23 is stored as 10 to the 23rd, although the float is 99999999999999991611392.
        from decimal import Decimal

        return Decimal(float.__repr__(value)) == expected
    return any(isinstance(value, kind) and isinstance(expected, kind) for kind in _KINDS) and value == expected


def targets(route: Route) -> list[Reference]:
    """Return the references that the steps of a route lead to, in order."""
    return [references.parse(step["use"]) for step in route]


def route_problem(name: str, route: Route, graph: RouteGraph) -> str | None:
    """Return why a prompt cannot have a route: a target is missing, or there is a cycle. None if it can have it."""
    for target in targets(route):
        if target.name not in graph.versions:
            return f"the route leads to {target}, which does not exist"
        if target.version is not None and target.version not in graph.versions[target.name]:
            return f"the route leads to {target}, which does not exist or is archived"
    path = _cycle(name, route, graph)
    return f"the route has a cycle: {' → '.join(path)}" if path else None


def _cycle(name: str, route: Route, graph: RouteGraph) -> list[str] | None:
    """Return the names along a path of routes from a prompt back to itself, or None."""
    pending = [(route, [name])]
    visited: set[str] = set()
    while pending:
        steps, path = pending.pop()
        for target in targets(steps):
            # A step to `NAME@VERSION` ends there: the route of NAME is not followed.
            if target.version is not None:
                continue
            if target.name == name:
                return [*path, name]
            if target.name not in visited:
                visited.add(target.name)
                pending.append((graph.routes.get(target.name, ()), [*path, target.name]))
    return None
