"""Releases and their rollback. A release is the changes that one transaction made to several prompts."""

from __future__ import annotations

from promptctl import errors
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class ReleaseSummary(Record):
    """A release in a list.

    `kind` is activate, deactivate, rollback, sync or release rollback. `undoes` is the release that a release rollback
    reversed, `undone_by` the newest release that reversed this one. `moves`, `versions` and `corrections` are counts.
    """

    release: int
    kind: str
    author: str
    database_user: str
    reason: str | None
    source: str | None
    origin: dict[str, Any] | None
    undoes: int | None
    undone_by: int | None
    released_at: Timestamp
    moves: int
    versions: int
    corrections: int


class ReleaseMove(Record):
    """One change that a release made to a prompt, and whether the prompt has moved since.

    `kind` is a kind of HistoryEvent, or `new` for a version that the release stored.
    """

    name: str
    kind: str
    previous_version: int | None
    version: int | None
    epoch: int | None
    moved_since: bool
    origin: dict[str, Any] | None


class ReleaseReversal(Record):
    """The effect of a release rollback on one prompt.

    `version` is the active version now, and `previous_version` the one before; None if there is none. `skipped` is
    whether the prompt was left as it is because it had moved since the release. `route_changed` is whether its route
    was restored.
    """

    name: str
    version: int | None
    previous_version: int | None
    changed: bool
    skipped: bool
    split_ended: bool
    route_changed: bool
    release: int | None
    epoch: int


def list_releases(database: Database, limit: int) -> tuple[list[ReleaseSummary], int]:
    """Return the newest `limit` releases (0: all), newest first, and the total number."""
    releases, count = database.run_all(_summaries(None, limit), ("select count(*) from promptctl.releases", []))
    return [ReleaseSummary(*row) for row in releases], count[0][0]


def read_release(database: Database, release: int) -> tuple[ReleaseSummary, list[ReleaseMove]]:
    """Return a release and its changes, by name: new versions, corrections, then moves. Raises NotFound."""
    releases, moves = database.run_all(
        _summaries(release, 1),
        (
            """
            select m.name, m.kind, m.previous_version, m.version, m.epoch, m.moved_since, m.origin
            from (
                select v.name, 'new' as kind, null::integer as previous_version, v.version, null::integer as epoch,
                       false as moved_since, v.origin, 0 as place
                from promptctl.versions v where v.release = $1
                union all
                select c.name, c.kind, null, c.version, null, false, null, 1
                from promptctl.corrections c where c.release = $1
                union all
                select a.name, a.kind, a.previous_version, a.version, a.epoch,
                       case when a.kind = 'route' then s.route is distinct from a.route
                           when a.version is distinct from a.previous_version then exists (
                               select from promptctl.allocations l
                               where l.name = a.name and l.epoch > a.epoch
                                 and l.version is distinct from l.previous_version)
                           else s.epoch <> a.epoch end, a.origin, 2
                from promptctl.allocations a join promptctl.served s on s.name = a.name where a.release = $1
            ) m
            order by m.name, m.place, m.version
            """,
            [release],
        ),
    )
    if not releases:
        raise errors.NotFound(
            "release_not_found", f"no release {release} in {database.label}", hint="promptctl release list"
        )
    return ReleaseSummary(*releases[0]), [ReleaseMove(*row) for row in moves]


def rollback(
    database: Database,
    release: int,
    *,
    skip_moved: bool,
    author: str,
    reason: str | None,
    allow_new_variables: bool,
) -> list[ReleaseReversal]:
    """Restore the active versions and the routes that a release changed, all or none.

    `skip_moved` skips prompts that have moved since. Raises NotFound. Raises Refused if a prompt has moved since, if
    the version to restore is archived or needs a variable which the active version does not need, and if another
    session has locked one of the prompts.
    """
    rows = database.run(
        """
        select u.name, u.version, u.previous_version, u.changed, u.skipped, u.split_ended, u.route_changed, u.release,
               u.epoch
        from promptctl.rollback_release($1, $2, $3, $4, $5) u
        """,
        release,
        skip_moved,
        author,
        reason,
        allow_new_variables,
    )
    return [ReleaseReversal(*row) for row in rows]


def _summaries(release: int | None, limit: int) -> tuple[LiteralString, list[int | None]]:
    """Return the statement that reads one release, or the newest ones."""
    return (
        """
        select r.release, r.kind, r.author, r.database_user, r.reason, r.source, r.origin, r.undoes, u.undone_by,
               r.released_at,
               (select count(*) from promptctl.allocations a where a.release = r.release),
               (select count(*) from promptctl.versions v where v.release = r.release),
               (select count(*) from promptctl.corrections c where c.release = r.release)
        from promptctl.releases r
        left join (
            select undoes as release, max(release) as undone_by from promptctl.releases
            where undoes is not null group by undoes
        ) u on u.release = r.release
        where $1::bigint is null or r.release = $1
        order by r.release desc limit nullif($2::integer, 0)
        """,
        [release, limit],
    )
