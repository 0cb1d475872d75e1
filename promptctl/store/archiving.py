"""Archive and restore versions and prompts, erase a version, and list what is archived."""

from __future__ import annotations

from promptctl import errors
from promptctl.records import Record
from promptctl.store.prompt_lists import glob_to_like

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp
    from promptctl.rules.references import Reference


class Archival(Record):
    """The effect of archiving or restoring a version or, where `version` is None, a prompt.

    `active_version` is active now, and `previous_version` was active before. `route_changed` is whether the route was
    removed or restored. `changed` is False if nothing changed.
    """

    name: str
    version: int | None
    changed: bool
    active_version: int | None
    previous_version: int | None
    split_ended: bool
    route_changed: bool


class Erasure(Record):
    """What was erased of a version. `size` is the size of its text in bytes.

    `settings` and `metadata` are the names of the erased keys, joined by commas. `changed` is False if the version was
    erased already.
    """

    name: str
    version: int
    changed: bool
    size: int
    settings: str
    metadata: str


class ArchivedPrompt(Record):
    """An archived prompt in a list: the number of its versions, and who archived it, when and why."""

    name: str
    versions: int
    archived_at: Timestamp
    author: str | None
    reason: str | None


class ArchivedVersion(Record):
    """An archived version in a list, and who archived or erased it last, when and why.

    `erased_at` is None if it still has its text. `sha256` is that of the text, in hexadecimal.
    """

    name: str
    version: int
    description: str | None
    sha256: str
    created_at: Timestamp
    created_by: str
    archived_at: Timestamp
    erased_at: Timestamp | None
    author: str | None
    reason: str | None


def archive(
    database: Database, references: Sequence[Reference], *, undo: bool, author: str, reason: str | None = None
) -> list[Archival]:
    """Archive versions and, for bare names, prompts; with `undo` restore them. All of them change, or none.

    Raises NotFound. Archiving raises Refused for a version that is active, a candidate or the target of a route, and
    for a prompt that a route leads to. Restoring raises Refused for a prompt whose route leads to something archived.
    Both raise Refused if another session has locked a prompt.
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
    """Erase the text, the settings and the metadata of a version permanently.

    Raises NotFound. Raises Refused if the login does not own the schema, and for a version that can be served.
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
        # Only the owner may call this function: `db grant`, which the usual hint proposes, would not help.
        raise errors.Refused(
            "not_the_owner",
            f"only the owner of the schema in {database.label} can erase a version",
            hint="run it as the role that ran promptctl db init",
        ) from None
    return Erasure(*rows[0])


def list_archived_prompts(database: Database, pattern: str | None) -> list[ArchivedPrompt]:
    """Return the archived prompts, by name; `pattern` is a glob (`*`, `?`) or a part of a name."""
    rows = database.run(
        """
        select s.name, (select count(*)::integer from promptctl.versions v where v.name = s.name), s.archived_at,
               a.author, a.reason
        from promptctl.served s
        left join promptctl.allocations a on a.name = s.name and a.epoch = s.epoch
        where s.archived_at is not null and ($1::text is null or s.name like $1)
        order by s.name
        """,
        glob_to_like(pattern),
    )
    return [ArchivedPrompt(*row) for row in rows]


def list_archived_versions(database: Database, name: str) -> list[ArchivedVersion]:
    """Return the archived versions of a prompt, newest first; [] for an unknown prompt."""
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
