"""Routes: other prompts for other users."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.store import prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.rules.targeting import Route


class RouteChange(Record):
    """What a prompt's route is now and was before, [] being none. `changed` is False when it was so already."""

    __slots__ = ()
    name: str
    route: Route
    previous_route: Route
    changed: bool
    epoch: int


def current(database: Database, name: str) -> list[Mapping[str, Any]]:
    """Return the steps of a prompt's route, none where it has no route. Raises NotFound."""
    rows = database.run("select s.route from promptctl.served s where s.name = $1", name)
    if not rows:
        raise prompts.missing(database, Reference(name, None))
    return rows[0][0] or []


def replace(
    database: Database, name: str, route: Sequence[Mapping[str, Any]], *, author: str, reason: str | None = None
) -> RouteChange:
    """Give a prompt this route in place of what it has, [] being none.

    Raises NotFound, and Refused for a route that leads to nothing or in a circle, or a lock held by another.
    """
    import json

    changed, found = database.run_all(
        (
            "select promptctl.set_routes($1, $2, $3, $4)",
            [[name], json.dumps([list(route)], ensure_ascii=False), author, reason],
        ),
        (
            # Locked by the first statement: the allocation before the last is of the moment before.
            """
            select s.route, a.route, s.epoch
            from promptctl.served s
            left join promptctl.allocations a on a.name = s.name and a.epoch = s.epoch - 1
            where s.name = $1
            """,
            [name],
        ),
    )
    now, before, epoch = found[0]
    is_changed = changed[0][0] > 0
    return RouteChange(name, now or [], (before if is_changed else now) or [], is_changed, epoch)
