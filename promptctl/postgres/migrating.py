"""Migrate the schema of a database to the version that this promptctl needs.

Each migration is a file of SQL and one transaction, so a migration that is killed has happened entirely or not at all,
and the next run continues from there. The file takes the installer's lock, and its first statement checks the version
that it starts from.
"""

from __future__ import annotations

from promptctl import errors, schema
from promptctl.postgres import refusals
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.postgres.database import Database
    from promptctl.postgres.statement_locks import Catalog, Effect

# The version of a client that announces none: clients announce their version since 7, and version 4 was in use before.
_UNANNOUNCED_VERSION = 4


class Client(Record):
    """A connection of an application. `announced_version` is None for a client that was made before version 7."""

    application_name: str
    user: str
    address: str | None
    pid: int
    announced_version: int | None

    @property
    def version(self) -> int:
        """The schema version that the client was made for."""
        return _UNANNOUNCED_VERSION if self.announced_version is None else self.announced_version

    @property
    def description(self) -> str:
        """The client in one phrase, for example `billing (shop at 10.0.0.7, pid 4711, schema version 7)`."""
        place = f"{self.user} at {self.address}" if self.address else self.user
        version = str(self.version) if self.announced_version is not None else f"{self.version} or older"
        return f"{self.application_name or 'a client'} ({place}, pid {self.pid}, schema version {version})"


class PlannedStatement(Record):
    """One statement of a migration, and what it does to tables."""

    sql: str
    effects: Sequence[Effect]


class PlannedMigration(Record):
    """A migration that has not run yet, with its statements."""

    name: str
    start: int
    version: int
    statements: Sequence[PlannedStatement]


def installed_version(database: Database) -> int:
    """Return the version of the installed schema. Raises SchemaMismatch if there is no schema, or no version."""
    [(is_installed,)] = database.run_unchecked("select to_regclass('promptctl.installation') is not null")
    if not is_installed:
        raise errors.SchemaMismatch(
            "schema_missing", f"{database.label} has no promptctl schema", hint="promptctl db init"
        )
    rows = database.run_unchecked("select i.version from promptctl.installation i")
    if not rows:
        raise refusals.schema_without_data(database.label)
    return int(rows[0][0])


def migrations(database: Database) -> list[schema.Migration]:
    """Return the migrations that a database needs, in their order: [] if its schema serves this promptctl.

    Raises SchemaMismatch if the schema is too new, or if no migration starts from its version.
    """
    installed = installed_version(database)
    if installed > schema.VERSION:
        # Raises SchemaMismatch unless the newer schema serves this version.
        database.run_all()
        return []
    path = schema.path_from(installed)
    if path is None:
        oldest = min((migration.start for migration in schema.MIGRATIONS), default=schema.VERSION)
        raise errors.SchemaMismatch(
            "no_migration",
            f"{database.label} has schema version {installed}, which was in no release: migrations start from "
            f"version {oldest}",
            hint="run promptctl export with the promptctl that made it, and promptctl sync in a new database",
        )
    return path


def plan(database: Database) -> list[PlannedMigration]:
    """Return the migrations that a database needs, with their statements. Changes nothing. Raises SchemaMismatch."""
    from promptctl.postgres import sql_statements

    needed = migrations(database)
    if not needed:
        return []
    catalog = read_catalog(database)
    planned: list[PlannedMigration] = []
    for migration in needed:
        statements = [PlannedStatement(sql, catalog.effects(sql)) for sql in sql_statements.split(migration.read_sql())]
        planned.append(PlannedMigration(migration.name, migration.start, migration.version, statements))
    return planned


def read_catalog(database: Database) -> Catalog:
    """Return what the analysis of statements needs to know of the installed schema."""
    from promptctl.postgres.statement_locks import Catalog

    columns = database.run_unchecked(
        """
        select format('%I.%I', n.nspname, c.relname), a.attname::text,
               case when t.typnamespace = 'pg_catalog'::regnamespace then format_type(a.atttypid, a.atttypmod)
                    else format('%I.%I', (select o.nspname from pg_catalog.pg_namespace o where o.oid = t.typnamespace),
                                t.typname) end
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_class c on c.oid = a.attrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_type t on t.oid = a.atttypid
        where n.nspname = 'promptctl' and c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped
        """
    )
    checks = database.run_unchecked(
        """
        select format('%I.%I', n.nspname, c.relname), k.conname::text, string_agg(a.attname, ' ')
        from pg_catalog.pg_constraint k
        join pg_catalog.pg_class c on c.oid = k.conrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = any (k.conkey)
        where n.nspname = 'promptctl' and k.contype = 'c'
        group by 1, 2
        """
    )
    return Catalog(
        {(table, column): column_type for table, column, column_type in columns},
        {(table, name): frozenset(names.split()) for table, name, names in checks},
    )


def clients(database: Database) -> list[Client]:
    """Return the connections of applications to this database, by their announcements and their application_name.

    A client before version 7 announces nothing, so it is found only if its URL sets no application_name.
    """
    rows = database.run_unchecked(
        """
        select a.application_name, a.usename::text, host(a.client_addr), a.pid, max(l.objid::bigint)
        from pg_catalog.pg_stat_activity a
        left join pg_catalog.pg_locks l
            on l.pid = a.pid and l.locktype = 'advisory' and l.classid::bigint = $1 and l.objsubid = 2
        where a.datname = current_database() and a.pid <> pg_backend_pid()
          and (l.pid is not null or a.application_name = 'promptctl client')
        group by a.pid, a.application_name, a.usename, a.client_addr
        order by a.pid
        """,
        schema.ANNOUNCEMENT,
    )
    return [Client(*row) for row in rows]


def migrate(database: Database, *, force: bool, say: Callable[[str], None]) -> tuple[int, int]:
    """Run the migrations that a database needs, and return its version before and after.

    Another session may migrate at the same time: each migration happens once. `say` gets a line before each migration.
    Raises SchemaMismatch; Refused (`clients_connected`) if a connected client cannot work with the new schema, unless
    `force`; Refused (`locked`) if other sessions use the tables for too long; Failed (`migration_failed`).
    """
    before = installed_version(database)
    while needed := migrations(database):
        migration = needed[0]
        if not force:
            _refuse_to_break_clients(database, migration)
        say(f"migrating {database.label} from schema version {migration.start} to {migration.version}")
        try:
            database.run_script(migration.read_sql())
        except errors.SchemaMismatch:
            # Another session was faster, and the next turn sees what it did. Otherwise the version would be the same.
            if installed_version(database) == migration.start:
                raise
        except errors.Refused as refused:
            if refused.code == "locked":
                refused.message = _lock_message(database)
            raise
        except errors.Failed as failure:
            raise errors.Failed(
                "migration_failed",
                f"{migration.name} failed and changed nothing: {failure.message}",
                hint="promptctl db migrate --dry-run, which prints its statements",
            ) from None
    return before, installed_version(database)


def _refuse_to_break_clients(database: Database, migration: schema.Migration) -> None:
    broken = [client for client in clients(database) if client.version < migration.compatible_version]
    if broken:
        count = "a connected client" if len(broken) == 1 else f"{len(broken)} connected clients"
        raise errors.Refused(
            "clients_connected",
            f"schema version {migration.version} would stop {count} in {database.label}: "
            + ", ".join(client.description for client in broken),
            hint="restart them with a newer promptctl, then run it again",
        )


def _lock_message(database: Database) -> str:
    rows = database.run_unchecked(
        """
        select distinct coalesce(nullif(a.application_name, ''), 'a session') || ' (' || a.usename || ', pid '
               || a.pid || ')'
        from pg_catalog.pg_locks l
        join pg_catalog.pg_class c on c.oid = l.relation
        join pg_catalog.pg_stat_activity a on a.pid = l.pid
        where l.granted and c.relnamespace = 'promptctl'::regnamespace and a.pid <> pg_backend_pid()
          and a.datname = current_database()
          -- Null for the sessions of other roles, unless the login may see them.
          and coalesce(a.xact_start < clock_timestamp() - interval '1 second', true)
        order by 1
        """
    )
    holders = ", ".join(row[0] for row in rows) or "another session"
    return f"the migration needs the tables of {database.label} for a moment, and they are in use by {holders}"
