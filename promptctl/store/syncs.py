"""What a sync reads and remembers."""

from __future__ import annotations

from promptctl import errors
from promptctl.plan import StoredPrompt, StoredVersion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from promptctl.database import Database

# Any number, the same for every sync: two on one database go one after the other.
_LOCK = 7021771953286512


def lock(database: Database, names: Sequence[str], say: Callable[[str], None]) -> None:
    """Wait, for at most a minute, until no other sync runs here; then lock the rows of these prompts, in name order.

    From then on nobody moves one of them until the transaction ends. `say` gets a line when there is something to wait
    for. Raises Refused, naming who has it in hand.
    """
    [(free,)] = database.run("select pg_try_advisory_xact_lock($1::bigint)", _LOCK)
    if not free:
        holder = _holder(database)
        say(f"waiting for another sync in {database.label}: {holder}")
        try:
            database.run_all(
                ("select set_config('lock_timeout', '60s', true)", []),
                ("select pg_advisory_xact_lock($1::bigint)", [_LOCK]),
            )
        except errors.Refused:
            raise errors.Refused(
                "locked", f"another sync has gone on for a minute in {database.label}: {holder}", hint="run it again"
            ) from None
    database.run("select promptctl.begin_sync($1)", list(names))


def _holder(database: Database) -> str:
    rows = database.run(
        """
        select format('%s (%s)', a.usename, concat_ws(', ', nullif(a.application_name, ''), 'pid ' || a.pid))
        from pg_locks l
        join pg_stat_activity a on a.pid = l.pid
        where l.locktype = 'advisory' and l.granted and l.database = (select d.oid from pg_database d
                                                                      where d.datname = current_database())
          and (l.classid::bigint << 32) | l.objid::bigint = $1::bigint
        """,
        _LOCK,
    )
    return rows[0][0] if rows else "another session"


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
            select v.name, v.version, encode(v.sha256, 'hex'), v.settings, v.metadata, v.is_retired,
                   array_to_string(v.required_variables, ' ')
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


def note_applied(database: Database, source: str, applied: Mapping[str, int | None], *, author: str) -> None:
    """Remember which source these prompts come from, and what it said was live of each; None: nothing."""
    database.run(
        "select promptctl.note_applied($1, $2, $3, $4)", source, list(applied.keys()), list(applied.values()), author
    )
