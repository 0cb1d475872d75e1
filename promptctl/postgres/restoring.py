"""Restore a dump of the schema, in one transaction.

pg_restore prints the dump as SQL, and this connection runs it. pg_restore itself could not restore a dump of PostgreSQL
18 into 15, whose settings it does not know, and would commit what it has restored before it finds a damaged part.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from promptctl import errors, schema
from promptctl.postgres import dump_files, dump_grants

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.postgres.database import Database
    from promptctl.postgres.dump_files import Dump

# The \restrict commands of psql, and a setting that PostgreSQL has since version 17.
_NOT_SQL = re.compile(r"^\\(?:un)?restrict .*\n|^SET transaction_timeout = 0;\n", re.MULTILINE)


def restore(
    database: Database,
    dump: Dump,
    path: str,
    *,
    skip_missing_roles: bool = False,
    report: Callable[[int, int], None] = lambda _, __: None,
) -> int:
    """Restore a dump into a database without the schema `promptctl`, and return the version of the restored schema.

    Everything is one transaction: after a failure or a signal before its commit, the database is as before. Afterwards
    call `update_statistics`, without which the first queries are slow. The objects belong to the connected role, which
    grants to other roles what the dump grants to them. The rights of the dump's owner, and the default privileges of
    later objects, are left out. A dump of an older schema is restored as it is.
    `path` names the dump in hints. `skip_missing_roles` leaves out the grants to roles
    that do not exist. `report` is called with the megabytes of the file that are read, and all of them.

    Raises Refused (`schema_exists`, `permission_denied`), NotFound (`role_not_found`), SchemaMismatch (`schema_newer`,
    `server_too_old`, `database_not_utf8`), Unreachable (`connection_lost`) and Failed (`dump_damaged`,
    `restore_failed`, `disk_full`, `database_error`).
    """
    database.require_utf8()
    try:
        version = dump.schema_version()
        if version > schema.VERSION:
            raise errors.SchemaMismatch(
                "schema_newer",
                f"{dump.name} has schema version {version}; this promptctl supports {schema.VERSION}",
                hint="install the promptctl that wrote this dump",
            )
        before, after = (
            dump_grants.for_another_owner(dump.sql(section), dump.entries) for section in ("pre-data", "post-data")
        )
        if missing := _missing_roles(database, before + after):
            if not skip_missing_roles:
                raise _roles_missing(missing, dump.name)
            before, after = (dump_grants.without_grants_to(sql, missing) for sql in (before, after))
        database.script("begin isolation level read committed")
        if _prepare(database, path):
            before = before.replace("CREATE SCHEMA promptctl;\n", "", 1)
        _run(database, before, path)
        _restore_data(database, dump, report)
        _run(database, after, path)
        if database.embedded:
            database.set_search_path()
    except errors.Unreachable as failure:
        message = f"{failure.message.partition(';')[0]}; nothing was restored"
        raise errors.Unreachable(failure.code, message, hint="run it again") from None
    except UnicodeDecodeError:
        raise dump.damaged("it is not UTF-8") from None
    except errors.PromptctlError as failure:
        # Errors of SQL and of its values, other than a missing right.
        if failure.sqlstate[:2] in ("22", "23", "42") and failure.code != "permission_denied":
            raise dump.damaged(f"or needs a newer PostgreSQL: {failure.message}", ",") from None
        raise
    database.script("commit")
    return version


def update_statistics(database: Database) -> None:
    """Collect statistics of the large tables, so that the first queries over many uses are not slow.

    Also reset the settings of the session, which a restore has changed.
    """
    database.script(
        """
        reset all;
        analyze promptctl.uses, promptctl.totals, promptctl.bucket_totals, promptctl.versions, promptctl.allocations
        """
    )


def _prepare(database: Database, path: str) -> bool:
    """Return whether there is an empty schema to restore into. Raises Refused (`schema_exists`) for one that is not.

    Drops the schema of an embedded database that has never had a prompt, because each command creates it there.
    """
    [(exists, is_empty)] = database.run_unchecked(
        """
        select to_regnamespace('promptctl') is not null,
               not exists (select from pg_catalog.pg_class where relnamespace = to_regnamespace('promptctl'))
               and not exists (select from pg_catalog.pg_proc where pronamespace = to_regnamespace('promptctl'))
               and not exists (select from pg_catalog.pg_type where typnamespace = to_regnamespace('promptctl'))
        """
    )
    if not exists or is_empty:
        return exists
    if not database.embedded or not _is_unused(database):
        raise _schema_exists(database, path)
    database.script("set local client_min_messages = warning; drop schema promptctl cascade")
    return False


def _is_unused(database: Database) -> bool:
    """Return whether a schema has no rows, and lock it so that it gets none."""
    [(is_current,)] = database.run_unchecked(
        "select exists (select from promptctl.installation i where i.version = $1)", schema.VERSION
    )
    if not is_current:
        return False
    database.script(
        """
        lock table promptctl.served, promptctl.versions, promptctl.releases, promptctl.sources, promptctl.uses,
            promptctl.fallbacks, promptctl.totals in access exclusive mode
        """
    )
    [(is_unused,)] = database.run_unchecked(
        """
        select not exists (select from promptctl.served) and not exists (select from promptctl.versions)
           and not exists (select from promptctl.releases) and not exists (select from promptctl.sources)
           and not exists (select from promptctl.uses) and not exists (select from promptctl.fallbacks)
           and not exists (select from promptctl.totals)
        """
    )
    return is_unused


def _schema_exists(database: Database, path: str) -> errors.Refused:
    place = "PROMPTCTL_HOME=NEW_FOLDER" if database.embedded else "DATABASE_URL=postgresql://USER@HOST/NEW_DATABASE"
    return errors.Refused(
        "schema_exists",
        f"{database.label} has the schema promptctl already, and restore changes no existing data",
        hint=f"{place} promptctl db restore {shlex.quote(path)}",
    )


def _run(database: Database, sql: str, path: str = "FILE") -> None:
    sql = _NOT_SQL.sub("", sql)
    if not sql:
        return
    try:
        database.script(sql)
    except errors.PromptctlError as failure:
        # Another restore, or an installation, was faster.
        if failure.sqlstate == "42P06" or (failure.sqlstate == "23505" and "pg_namespace" in failure.message):
            raise _schema_exists(database, path) from None
        raise


def _restore_data(database: Database, dump: Dump, report: Callable[[int, int], None]) -> None:
    with dump.printed("--section=data") as output:
        statements: list[str] = []
        while line := output.line():
            if dump_files.COPY.match(line):
                _run(database, "".join(statements))
                statements.clear()
                # Frozen rows need no later vacuum. This is possible because this transaction has created the table.
                copy = line.decode().removesuffix(";\n") + " with (freeze)"
                database.copy_in(copy, output.data(lambda: report(output.megabytes_read(), dump.megabytes)))
            elif line.strip() and not line.startswith(b"--"):
                statements.append(line.decode())
        _run(database, "".join(statements))


def _missing_roles(database: Database, sql: str) -> list[str]:
    """Return the roles that the dump grants rights to and that do not exist, in the order of their names."""
    roles = dump_grants.roles(sql)
    rows = database.run_unchecked(
        """
        select r.name from unnest($1::text[]) r (name)
        where not exists (select from pg_catalog.pg_roles p where p.rolname = r.name)
        """,
        roles,
    )
    return [role for role in roles if (role,) in rows]


def _roles_missing(roles: list[str], name: str) -> errors.NotFound:
    # A dump does not say which roles log in, and the names of some are keywords, for example "user".
    quoted = [f'"{role.replace(chr(34), chr(34) * 2)}"' for role in roles]
    message = f"{name} has grants to roles that do not exist: {', '.join(roles)}; --skip-missing-roles leaves them out"
    statements = "; ".join(f"create role {role}" for role in quoted)
    return errors.NotFound("role_not_found", message, hint=f"promptctl db shell --command {shlex.quote(statements)}")
