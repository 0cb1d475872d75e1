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


class ServedChange(Record):
    """One change of what a prompt serves: the active version, and the candidate with its share of 10 000.

    `kind` is that of the HistoryEvent.
    """

    kind: str
    version: int | None
    candidate_version: int | None
    basis_points: int
    changed_at: Timestamp


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
# The time is RFC 3339, or `-2h` for two hours ago by the server's clock. Null: all times.
_TIME = "case when {0}::text like '-%' then now() + {0}::text::interval else {0}::text::timestamptz end"
_SINCE = "({1}::text is null or {0}.changed_at >= " + _TIME.replace("{0}", "{1}") + ")"
# Each half has a limit of its own, so that an index is read only as far as needed.
_EVENTS_OF_ONE = f"""
    select {_COLUMNS}
    from (({_ALLOCATIONS} where a.name = $1 and {_SINCE.format("a", "$3")}
           order by a.epoch desc limit nullif($2::integer, 0))
          union all ({_CORRECTIONS} where c.name = $1 and {_SINCE.format("c", "$3")}
                     order by c.id desc limit nullif($2::integer, 0))) e
    order by e.epoch desc, e.correction desc limit nullif($2::integer, 0)
"""  # noqa: S608 - of constants
_EVENTS_OF_ALL = f"""
    select {_COLUMNS}
    from ({_ALLOCATIONS} where {_SINCE.format("a", "$2")} union all {_CORRECTIONS} where {_SINCE.format("c", "$2")}) e
    order by e.changed_at desc, e.name, e.epoch desc, e.correction desc limit nullif($1::integer, 0)
"""  # noqa: S608 - of constants

_COUNT = f"""
    select (select count(*) from promptctl.allocations a
            where ($1::text is null or a.name = $1) and {_SINCE.format("a", "$2")})
         + (select count(*) from promptctl.corrections c
            where ($1::text is null or c.name = $1) and {_SINCE.format("c", "$2")})
"""  # noqa: S608 - of constants
# The last change before the time says what was served then.
_SERVED = f"""
    select s.kind, s.version, s.candidate_version, s.basis_points, s.changed_at
    from (select a.epoch, a.kind, a.version, a.candidate_version, a.basis_points, a.changed_at
          from promptctl.allocations a
          where a.name = $1
            and ($2::text is null
                 or a.epoch >= coalesce((select max(b.epoch) from promptctl.allocations b
                                         where b.name = $1 and b.changed_at < {_TIME.format("$2")}), 0))
          order by a.epoch desc limit $3) s
    order by s.epoch
"""  # noqa: S608 - of constants
# Not now(), the begin of the transaction: a change that another session made since then is not in the future.
_PERIOD = f"select {_TIME.format('$1')}, clock_timestamp()"
# More changes than a screen can show, and no more than a fraction of a second takes to read and draw.
MOST_DRAWN = 10_000


def read_graph(
    database: Database, name: str, since: Timestamp | None
) -> tuple[list[ServedChange], Timestamp | None, Timestamp]:
    """Return the changes of what a prompt served in the order in which they were made, and the period of the graph.

    They begin with the last change before `since`. Only the newest 10 000 are returned. The period begins at `since` as
    RFC 3339, None without it, and ends now by the server's clock.
    """
    served, [period] = database.run_all((_SERVED, [name, since, MOST_DRAWN]), (_PERIOD, [since]))
    return [ServedChange(*row) for row in served], *period


def read_history(
    database: Database, name: str | None, limit: int, since: Timestamp | None = None
) -> tuple[list[HistoryEvent], int]:
    """Return the newest `limit` events (0: all) and the total number, of a prompt or, without a name, of all prompts.

    `since` leaves out the events before a time: RFC 3339, or `-2h` for two hours ago by the server's clock. The
    newest are first: by epoch for one prompt, and by time for all prompts.
    """
    events, count = database.run_all(
        (_EVENTS_OF_ALL, [limit, since]) if name is None else (_EVENTS_OF_ONE, [name, limit, since]),
        (_COUNT, [name, since]),
    )
    return [HistoryEvent(*row) for row in events], count[0][0]
