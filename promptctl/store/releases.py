"""Releases: the changes of several prompts that were made in one transaction, and putting one back."""

from __future__ import annotations

from promptctl import errors
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class ReleaseSummary(Record):
    """A release in a list: what made it, and how much it did.

    `kind` is activate, rollback, sync or release rollback; `undoes` the release that the last put back, `undone_by` the
    newest one that put this back. `moves`, `versions` and `corrections` count what it moved, stored and corrected.
    """

    __slots__ = ()
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
    """One thing that a release did to a prompt, and whether the prompt has moved since.

    `kind` is one of history's, or new for a version that it stored.
    """

    __slots__ = ()
    name: str
    kind: str
    previous_version: int | None
    version: int | None
    epoch: int | None
    moved_since: bool
    origin: dict[str, Any] | None


class Undone(Record):
    """What a release's rollback did to one prompt: `version` is live now (None: none), `previous_version` was before.

    `skipped`: it had moved since the release, and was left where it is. `route_changed`: its route was put back.
    """

    __slots__ = ()
    name: str
    version: int | None
    previous_version: int | None
    changed: bool
    skipped: bool
    split_ended: bool
    route_changed: bool
    release: int | None
    epoch: int


def newest(database: Database, limit: int) -> tuple[list[ReleaseSummary], int]:
    """Return the newest `limit` releases (0: all), newest first, and how many there are."""
    releases, count = database.run_all(_summaries(None, limit), ("select count(*) from promptctl.releases", []))
    return [ReleaseSummary(*row) for row in releases], count[0][0]


def one(database: Database, release: int) -> tuple[ReleaseSummary, list[ReleaseMove]]:
    """Return a release and what it did, by name: moves, then corrections and new versions. Raises NotFound."""
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
) -> list[Undone]:
    """Put back the pointers and routes that a release moved, all or none; with `skip_moved` all not moved since.

    Raises NotFound, and Refused where one has moved since, was to go back to an archived version or to one that needs a
    variable which the active version does not, or is held by another.
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
    return [Undone(*row) for row in rows]


def _summaries(release: int | None, limit: int) -> tuple[LiteralString, list[int | None]]:
    """The statement that tells of one release, or of the newest."""
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
