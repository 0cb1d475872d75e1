"""Archiving versions and prompts, erasing a version, and reading what is archived."""

from __future__ import annotations

from promptctl import errors
from promptctl.records import Archival, ArchivedPrompt, ArchivedVersion, Erasure
from promptctl.store.prompts import like

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.database import Database
    from promptctl.records import Reference


def archive(
    database: Database, references: Sequence[Reference], *, undo: bool, author: str, reason: str | None = None
) -> list[Archival]:
    """Archive versions and, for bare names, whole prompts; with `undo` take them back into use; all or none.

    Raises NotFound, and Refused for a version that is active, a candidate or a route's target, for a prompt that a
    route leads to, for one whose own route leads to what is archived, or a lock held by another.
    """
    rows = database.run(
        """
        select a.name, a.version, a.changed, a.active_version, a.previous_version, a.split_ended, a.route_changed
        from promptctl.archive($1, $2, $3, $4, $5) a
        """,
        [reference.name for reference in references],
        [reference.version for reference in references],
        undo,
        author,
        reason,
    )
    return [Archival(*row) for row in rows]


def erase(database: Database, reference: Reference, *, author: str, reason: str) -> Erasure:
    """Replace the text, settings and metadata of a version by nothing, for good.

    Raises NotFound, and Refused for whoever is not the owner of the schema, and for a version that something serves.
    """
    try:
        rows = database.run(
            """
            select e.name, e.version, e.changed, e.size, array_to_string(e.settings, ', '),
                   array_to_string(e.metadata, ', ')
            from promptctl.erase($1, $2, $3, $4) e
            """,
            reference.name,
            reference.version,
            author,
            reason,
        )
    except errors.Refused as refused:
        if refused.code != "permission_denied":
            raise
        # No access that "db grant" gives includes it.
        raise errors.Refused(
            "not_the_owner",
            f"only the owner of the schema in {database.label} erases a version",
            hint="run it as the role that ran promptctl db init",
        ) from None
    return Erasure(*rows[0])


def prompts(database: Database, pattern: str | None) -> list[ArchivedPrompt]:
    """Return the archived prompts in the order of names; `pattern` is a glob, or a part of the name."""
    rows = database.run(
        """
        select s.name, (select count(*)::integer from promptctl.versions v where v.name = s.name), s.archived_at,
               a.author, a.reason
        from promptctl.served s
        left join promptctl.allocations a on a.name = s.name and a.epoch = s.epoch
        where s.archived_at is not null and ($1::text is null or s.name like $1)
        order by s.name
        """,
        like(pattern),
    )
    return [ArchivedPrompt(*row) for row in rows]


def versions(database: Database, name: str) -> list[ArchivedVersion]:
    """Return the archived versions of a prompt, newest first; none for a prompt that is not there."""
    rows = database.run(
        """
        select v.name, v.version, v.metadata ->> 'description', encode(v.sha256, 'hex'), v.created_at, v.created_by,
               v.retired_at, v.erased_at, c.author, c.reason
        from promptctl.versions v
        left join lateral (
            select l.author, l.reason from promptctl.corrections l
            where l.name = v.name and l.version = v.version and l.kind in ('archive', 'erase')
            order by l.id desc limit 1
        ) c on true
        where v.name = $1 and v.is_retired
        order by v.version desc
        """,
        name,
    )
    return [ArchivedVersion(*row) for row in rows]
