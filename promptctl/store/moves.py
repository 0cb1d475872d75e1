"""Moving what is served, and the history of it."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp
    from promptctl.rules.references import Reference


class Move(Record):
    """What activate, deactivate or rollback did to one prompt, `id` the version's; None: no version is active now.

    `changed` is False when it was so already.
    """

    __slots__ = ()
    name: str
    version: int | None
    previous_version: int | None
    changed: bool
    split_ended: bool
    release: int | None
    epoch: int
    id: str | None


class Event(Record):
    """One line of a prompt's history: a change of who gets what, or of a version's metadata, archiving or erasure.

    `kind` is activate, deactivate, rollback, split, unsplit, route, archive, restore, describe or erase. For describe
    and erase `version` is the version that was changed, and so for archive and restore of a version, which has no
    `previous_version` and no change of `epoch`; for the others it is the active version afterwards. `of_version` tells
    the two apart. `origin` says which
    commit of which file it came from, as docs/json.md has it; None: from no folder. `route` is what a change of kind
    route made it, None for the others.
    """

    __slots__ = ()
    name: str
    epoch: int
    kind: str
    previous_version: int | None
    version: int | None
    candidate_version: int | None
    basis_points: int
    release: int | None
    author: str
    database_user: str
    reason: str | None
    changed_at: Timestamp
    origin: dict[str, Any] | None
    route: list[dict[str, Any]] | None
    of_version: bool = False


def activate(
    database: Database,
    references: Sequence[Reference],
    *,
    author: str,
    reason: str | None = None,
    allow_new_variables: bool = False,
    release: int | None = None,
    origins: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Move]:
    """Make each version the one that is served, all or none; several references make a release.

    `release` is one that this transaction has opened, `origins` says by name where each activation comes from. Every
    reference has its version. Raises NotFound, and Refused for an archived version, one that needs a variable which
    the active one does not, or a lock held by another.
    """
    rows = database.run(
        """
        select m.name, m.version, m.previous_version, m.changed, m.split_ended, m.release, m.epoch,
               (select v.id from promptctl.versions v where v.name = m.name and v.version = m.version)
        from promptctl.activate($1, $2, $3, $4, $5, $6, $7) m
        """,
        [reference.name for reference in references],
        [reference.version for reference in references],
        author,
        reason,
        allow_new_variables,
        release,
        origins,
    )
    return [Move(*row) for row in rows]


def deactivate(
    database: Database,
    names: Sequence[str],
    *,
    author: str,
    expected_version: int | None = None,
    reason: str | None = None,
) -> list[Move]:
    """Take the active version of each prompt out of service, all or none; several prompts make a release.

    Raises NotFound, and Refused where a route of another prompt leads to one of them, when the active version is not
    the expected one, or when another holds the lock.
    """
    rows = database.run(
        """
        select m.name, m.version, m.previous_version, m.changed, m.split_ended, m.release, m.epoch,
               (select v.id from promptctl.versions v where v.name = m.name and v.version = m.previous_version)
        from promptctl.deactivate($1, $2, $3, $4) m
        """,
        list(names),
        expected_version,
        author,
        reason,
    )
    return [Move(*row) for row in rows]


def rollback(
    database: Database,
    names: Sequence[str],
    *,
    author: str,
    to_version: int | None = None,
    expected_version: int | None = None,
    reason: str | None = None,
    allow_new_variables: bool = False,
) -> list[Move]:
    """Go back to what was active before, all prompts or none; schema.sql says exactly where that leads.

    Raises NotFound, and Refused when there is nothing to go back to, when the active version is not the expected one,
    when the goal needs a variable which the active version does not, or when another holds the lock.
    """
    rows = database.run(
        """
        select m.name, m.version, m.previous_version, m.changed, m.split_ended, m.release, m.epoch,
               (select v.id from promptctl.versions v where v.name = m.name and v.version = m.version)
        from promptctl.rollback($1, $2, $3, $4, $5, $6) m
        """,
        list(names),
        to_version,
        expected_version,
        author,
        reason,
        allow_new_variables,
    )
    return [Move(*row) for row in rows]


def set_routes(
    database: Database,
    routes: Mapping[str, Sequence[Mapping[str, Any]] | None],
    *,
    author: str,
    reason: str | None = None,
    release: int | None = None,
    origins: Mapping[str, Mapping[str, Any]] | None = None,
) -> int:
    """Give each prompt its route, none being an empty one; returns how many were not so already.

    Raises NotFound, and Refused for a route that leads to nothing or in a circle.
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


def history(database: Database, name: str | None, limit: int) -> tuple[list[Event], int]:
    """Return the newest `limit` events (0: all) of a prompt or, without a name, of all; and how many there are.

    A prompt's events are in the order of its epochs, newest first; those of several prompts in the order of time.
    """
    events, count = database.run_all(
        (
            """
            select e.name, e.epoch, e.kind, e.previous_version, e.version, e.candidate_version, e.basis_points,
                   e.release, e.author, e.database_user, e.reason, e.changed_at, e.origin, e.route, e.correction > 0
            from (
                (select a.name, a.epoch, 0 as correction, a.kind, a.previous_version, a.version, a.candidate_version,
                        a.basis_points, a.release, a.author, a.database_user, a.reason, a.changed_at, a.origin,
                        case when a.kind = 'route' then coalesce(a.route, '[]') end as route
                 from promptctl.allocations a where a.name = $1
                 order by a.epoch desc limit nullif($2::integer, 0))
                union all
                (select c.name, c.epoch, c.id, c.kind, null, c.version, null, 0, c.release, c.author, c.database_user,
                        c.reason, c.changed_at, null, null
                 from promptctl.corrections c where c.name = $1
                 order by c.id desc limit nullif($2::integer, 0))
            ) e
            order by e.epoch desc, e.correction desc limit nullif($2::integer, 0)
            """,
            [name, limit],
        )
        if name is not None
        else (
            """
            select e.name, e.epoch, e.kind, e.previous_version, e.version, e.candidate_version, e.basis_points,
                   e.release, e.author, e.database_user, e.reason, e.changed_at, e.origin, e.route, e.correction > 0
            from (
                select a.name, a.epoch, 0 as correction, a.kind, a.previous_version, a.version, a.candidate_version,
                       a.basis_points, a.release, a.author, a.database_user, a.reason, a.changed_at, a.origin,
                       case when a.kind = 'route' then coalesce(a.route, '[]') end as route
                from promptctl.allocations a
                union all
                select c.name, c.epoch, c.id, c.kind, null, c.version, null, 0, c.release, c.author, c.database_user,
                       c.reason, c.changed_at, null, null
                from promptctl.corrections c
            ) e
            order by e.changed_at desc, e.name, e.epoch desc, e.correction desc limit nullif($1::integer, 0)
            """,
            [limit],
        ),
        (
            """
            select (select count(*) from promptctl.allocations a where $1::text is null or a.name = $1)
                 + (select count(*) from promptctl.corrections c where $1::text is null or c.name = $1)
            """,
            [name],
        ),
    )
    return [Event(*row) for row in events], count[0][0]
