"""Routes of prompts."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.store import prompt_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.rules.targeting import Route


class RouteChange(Record):
    """The route of a prompt now and before, [] for none. `changed` is False if nothing changed."""

    name: str
    route: Route
    previous_route: Route
    changed: bool
    epoch: int


def read_route(database: Database, name: str) -> list[Mapping[str, Any]]:
    """Return the steps of a prompt's route, [] for none. Raises NotFound."""
    rows = database.run("select s.route from promptctl.served s where s.name = $1", name)
    if not rows:
        raise prompt_states.not_found_error(database, Reference(name, None))
    return rows[0][0] or []


def set_route(
    database: Database, name: str, route: Sequence[Mapping[str, Any]], *, author: str, reason: str | None = None
) -> RouteChange:
    """Set the route of a prompt; [] removes it.

    Raises NotFound. Raises Refused for a target that does not exist, for a cycle, and if another session holds the
    lock.
    """
    import json

    changes, routes = database.run_all(
        (
            "select promptctl.set_routes($1, $2, $3, $4)",
            [[name], json.dumps([list(route)], ensure_ascii=False), author, reason],
        ),
        (
            # The first statement has locked the row and, if it changed the route, added one epoch. So the epoch before
            # has the previous route.
            """
            select s.route, a.route, s.epoch
            from promptctl.served s
            left join promptctl.allocations a on a.name = s.name and a.epoch = s.epoch - 1
            where s.name = $1
            """,
            [name],
        ),
    )
    route_now, route_before, epoch = routes[0]
    is_changed = changes[0][0] > 0
    previous_route = route_before if is_changed else route_now
    return RouteChange(name, route_now or [], previous_route or [], is_changed, epoch)


def set_routes(
    database: Database,
    routes: Mapping[str, Sequence[Mapping[str, Any]] | None],
    *,
    author: str,
    reason: str | None = None,
    release: int | None = None,
    origins: Mapping[str, Mapping[str, Any]] | None = None,
) -> int:
    """Set the route of each prompt; None and an empty route remove it. Returns the number of routes that changed.

    Raises NotFound. Raises Refused for a route with a target that does not exist, and for a cycle.
    """
    import json

    rows = database.run(
        "select promptctl.set_routes($1, $2, $3, $4, $5, $6)",
        list(routes),
        json.dumps([list(route or ()) for route in routes.values()], ensure_ascii=False),
        author,
        reason,
        release,
        origins,
    )
    return int(rows[0][0])
