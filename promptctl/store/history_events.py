"""The history of prompts."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class HistoryEvent(Record):
    """One change in the history of a prompt.

    `kind` is activate, deactivate, rollback, split, unsplit, route, archive, restore, describe or erase. `of_version`
    is True if only one version was changed, namely `version`: it was archived, restored, described or erased, and the
    prompt serves the same as before. Otherwise `version` is the active version after the change. `origin` is the commit
    and the file that caused the change, with the keys that docs/json.md lists, or None. `route` is the new route for
    the kind route, and None for others.
    """

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


_COLUMNS = """
    e.name, e.epoch, e.kind, e.previous_version, e.version, e.candidate_version, e.basis_points, e.release, e.author,
    e.database_user, e.reason, e.changed_at, e.origin, e.route, e.correction > 0
"""
# Changes of what a prompt serves. `correction` is the id of a correction, and 0 for these, which are the older ones of
# an epoch.
_ALLOCATIONS = """
    select a.name, a.epoch, 0 as correction, a.kind, a.previous_version, a.version, a.candidate_version, a.basis_points,
           a.release, a.author, a.database_user, a.reason, a.changed_at, a.origin,
           case when a.kind = 'route' then coalesce(a.route, '[]') end as route
    from promptctl.allocations a
"""
# Changes of one version.
_CORRECTIONS = """
    select c.name, c.epoch, c.id, c.kind, null, c.version, null, 0, c.release, c.author, c.database_user, c.reason,
           c.changed_at, null, null
    from promptctl.corrections c
"""
# Each half has a limit of its own, so that an index is read only as far as needed.
_EVENTS_OF_ONE = f"""
    select {_COLUMNS}
    from (({_ALLOCATIONS} where a.name = $1 order by a.epoch desc limit nullif($2::integer, 0))
          union all ({_CORRECTIONS} where c.name = $1 order by c.id desc limit nullif($2::integer, 0))) e
    order by e.epoch desc, e.correction desc limit nullif($2::integer, 0)
"""  # noqa: S608 - of constants
_EVENTS_OF_ALL = f"""
    select {_COLUMNS}
    from ({_ALLOCATIONS} union all {_CORRECTIONS}) e
    order by e.changed_at desc, e.name, e.epoch desc, e.correction desc limit nullif($1::integer, 0)
"""  # noqa: S608 - of constants


def read_history(database: Database, name: str | None, limit: int) -> tuple[list[HistoryEvent], int]:
    """Return the newest `limit` events (0: all) and the total number, of a prompt or, without a name, of all prompts.

    The newest are first: by epoch for one prompt, and by time for all prompts.
    """
    events, count = database.run_all(
        (_EVENTS_OF_ALL, [limit]) if name is None else (_EVENTS_OF_ONE, [name, limit]),
        (
            """
            select (select count(*) from promptctl.allocations a where $1::text is null or a.name = $1)
                 + (select count(*) from promptctl.corrections c where $1::text is null or c.name = $1)
            """,
            [name],
        ),
    )
    return [HistoryEvent(*row) for row in events], count[0][0]
