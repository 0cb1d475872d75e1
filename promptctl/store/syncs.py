"""What a sync reads and remembers."""

from __future__ import annotations

from promptctl.plan import StoredPrompt, StoredVersion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.database import Database

# Any number, the same for every sync: two on one database go one after the other.
_LOCK = 7021771953286512


def lock(database: Database) -> None:
    """Wait, for at most a minute, until no other sync runs in this database. Raises Refused."""
    database.run_all(
        ("select set_config('lock_timeout', '60s', true)", []), ("select pg_advisory_xact_lock($1::bigint)", [_LOCK])
    )


def stored(database: Database, names: Sequence[str]) -> tuple[dict[str, StoredPrompt], dict[str, str]]:
    """Return what the database has of these prompts, by name, and its spelling of each name, by lower case."""
    prompts, versions = database.run_all(
        (
            """
            select s.name, s.active_version, s.next_version, a.author, a.kind, a.reason, a.changed_at, p.source,
                   p.active_version
            from promptctl.served s
            left join promptctl.allocations a on a.name = s.name and a.epoch = s.epoch
            left join promptctl.applied p on p.name = s.name
            where lower(s.name) = any ($1)
            """,
            [[name.lower() for name in names]],
        ),
        (
            """
            select v.name, v.version, encode(v.sha256, 'hex'), v.settings, v.metadata, v.is_retired
            from promptctl.versions v where v.name = any ($1)
            """,
            [list(names)],
        ),
    )
    by_name: dict[str, dict[int, StoredVersion]] = {}
    for name, number, *rest in versions:
        by_name.setdefault(name, {})[number] = StoredVersion(*rest)
    found = {row[0]: StoredPrompt(*row, *[by_name.get(row[0], {})]) for row in prompts}
    return found, {name.lower(): name for name in found}


def note_applied(database: Database, source: str, agreed: Mapping[str, int], *, author: str) -> None:
    """Remember what Git said was live of the prompts that are as Git says."""
    database.run(
        "select promptctl.note_applied($1, $2, $3, $4)", source, list(agreed.keys()), list(agreed.values()), author
    )
