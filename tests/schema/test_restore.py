"""A restored database denies access like the one that was dumped, even if the dump has no grants."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from tests.conftest import SERVERS
from tests.schema.support import add_samples, refusal_error, rows, run, value
from tests.schema.test_access import (
    ALLOWED,
    APPLICATION_STATEMENTS,
    DENIED,
    OPERATOR_STATEMENTS,
    OWNER_STATEMENTS,
    TICKER_STATEMENTS,
    VIEWER_STATEMENTS,
    acting_as,
    assert_allowed,
)
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    Connection = psycopg.Connection[Any]

_numbers = itertools.count()
# These calls neither read nor write data, so that anyone may execute them.
HARMLESS = {
    "select promptctl.bucket('greeter', 'user-42')",
    "select promptctl.new_use_id()",
    "select promptctl.is_valid_route('[]')",
    "select promptctl.matching_step('[]', '{}')",
    "select promptctl.end_change()",
    "select * from promptctl.valid_interval(1, 1, 1, promptctl.half_width(1, 1, 0.05), 0.05)",
}
ATTACKS = [
    statement
    for statement in [
        *VIEWER_STATEMENTS,
        *APPLICATION_STATEMENTS,
        *TICKER_STATEMENTS,
        *OPERATOR_STATEMENTS,
        *OWNER_STATEMENTS,
        "select * from promptctl.explain_resolve('greeter')",
    ]
    if statement not in HARMLESS
]
WITHOUT_GRANTS = ["--no-acl"]
FORMS = {
    "plain": ["--format=plain"],
    "plain, no owner, no grants": ["--format=plain", "--no-owner", *WITHOUT_GRANTS],
    "plain, of the schema alone": ["--format=plain", "-n", "promptctl", *WITHOUT_GRANTS],
    "inserts": ["--format=plain", "--inserts", "--no-owner", *WITHOUT_GRANTS],
    "custom": ["--format=custom"],
    "custom, no grants": ["--format=custom", *WITHOUT_GRANTS],
    "custom, no owner": ["--format=custom", "--no-owner"],
    "directory, no owner, no grants": ["--format=directory", "--no-owner", *WITHOUT_GRANTS],
    "no data, no grants": ["--format=custom", "--schema-only", "--no-owner", *WITHOUT_GRANTS],
}


def run_program(server: Server, program: str, *arguments: str) -> str:
    """Run a program of PostgreSQL, ignore its exit status and return its standard error."""
    process = subprocess.run([str(server.programs / program), *arguments], capture_output=True, check=False, cwd="/")
    return process.stderr.decode()


def dump_database(server: Server, database: str, arguments: list[str], path: Path) -> None:
    """Dump a database into a file or a folder."""
    messages = run_program(server, "pg_dump", "-d", server.dsn(database), "-f", str(path), *arguments)
    assert "error" not in messages, messages


def restore_dump(server: Server, database: str, path: Path, user: str = "postgres", *arguments: str) -> str:
    """Restore a dump as a user, continue after errors and return the error messages."""
    dsn = server.dsn(database, user=user)
    if path.is_file() and not path.read_bytes().startswith(b"PGDMP"):
        return run_program(server, "psql", "--no-psqlrc", "--quiet", "-d", dsn, "-f", str(path))
    return run_program(server, "pg_restore", "-d", dsn, *arguments, str(path))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for dumps."""
    path = Path(tempfile.mkdtemp(prefix="dumps-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def logins(sql: Connection) -> Iterator[list[str]]:
    """Two login roles of this test: one with grants in the dumped database, one for the attacker."""
    names = [f"dumped_{os.getpid()}_{next(_numbers)}", f"attacker_{os.getpid()}_{next(_numbers)}"]
    for name in names:
        run(sql, f"create role {name} login")
    yield names
    for name in names:
        if rows(sql, "select from pg_roles where rolname = %s", name):
            run(sql, f"drop owned by {name}; drop role {name}")


def assert_access_denied(connection: Connection, login: str) -> None:
    """Check that a login with usage of the schema and no other grant is denied everything."""
    run(connection, f"grant usage on schema promptctl to {login}")
    with acting_as(connection, login):
        for statement in ATTACKS:
            error = refusal_error(connection, statement)
            assert error.sqlstate == DENIED, (statement, str(error))
    with connection.transaction(force_rollback=True):
        # A session that has set its role is denied too.
        run(connection, f"set local role {login}")
        assert refusal_error(connection, "select promptctl.activate('{greeter}', '{1}')").sqlstate == DENIED
    run(connection, f"revoke all on schema promptctl from {login}")


@pytest.mark.parametrize("form", FORMS)
def test_a_restored_database_denies_a_role_without_grants(
    server: Server, sql: Connection, logins: list[str], empty_database: str, folder: Path, form: str
) -> None:
    add_samples(sql)
    sql.execute("select promptctl.grant_access(%s, 'operator')", [logins[0]])
    dump_database(server, sql.info.dbname, FORMS[form], folder / "dump")
    restore_dump(server, empty_database, folder / "dump")
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        assert_access_denied(connection, logins[1])
        open_functions = rows(connection, "select * from promptctl.open_to_everybody()")
        assert bool(open_functions) == ("--no-acl" in FORMS[form])
        if "--schema-only" in FORMS[form]:
            return
        with connection.transaction(force_rollback=True):
            connection.execute("select promptctl.grant_access(%s, 'viewer')", [logins[1]])
            with acting_as(connection, logins[1]):
                assert_allowed(connection, ALLOWED["viewer"])
        with connection.transaction(force_rollback=True):
            # The owner still has access.
            connection.execute("select promptctl.activate('{greeter}', '{1}')")
        run(connection, schema.read_sql())
        assert rows(connection, "select * from promptctl.open_to_everybody()") == []
        connection.execute("select promptctl.grant_access(%s, 'application')", [logins[1]])
        with acting_as(connection, logins[1]):
            assert_allowed(connection, ALLOWED["application"])


def test_a_restore_with_a_grant_to_a_missing_role_denies_other_roles(
    server: Server, sql: Connection, logins: list[str], empty_database: str, folder: Path
) -> None:
    # If a grant fails, pg_restore also rolls back the REVOKE FROM PUBLIC of the same entry.
    add_samples(sql)
    sql.execute("select promptctl.grant_access(%s, 'operator')", [logins[0]])
    dump_database(server, sql.info.dbname, ["--format=custom"], folder / "dump")
    run(sql, f"drop owned by {logins[0]}; drop role {logins[0]}")
    messages = restore_dump(server, empty_database, folder / "dump")
    assert f'role "{logins[0]}" does not exist' in messages
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        assert value(connection, "select has_function_privilege('public', 'promptctl.activate'::regproc, 'execute')")
        assert_access_denied(connection, logins[1])


def test_a_database_restored_by_another_owner_denies_other_roles(
    server: Server, sql: Connection, logins: list[str], empty_database: str, folder: Path
) -> None:
    add_samples(sql)
    sql.execute("select promptctl.grant_access(%s, 'operator')", [logins[0]])
    dump_database(server, sql.info.dbname, ["--format=custom", "--no-owner", "--no-acl"], folder / "dump")
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        run(connection, f"grant create on database {empty_database} to {logins[0]}")
        restore_dump(server, empty_database, folder / "dump", logins[0])
        assert (
            value(connection, "select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'promptctl'")
            == (logins[0])
        )
        assert_access_denied(connection, logins[1])
        with psycopg.connect(server.dsn(empty_database, user=logins[0]), autocommit=True) as owner:
            owner.execute("select promptctl.activate('{greeter}', '{1}')")
            run(owner, schema.read_sql())
            owner.execute("select promptctl.grant_access(%s, 'viewer')", [logins[1]])
        with acting_as(connection, logins[1]):
            assert_allowed(connection, ALLOWED["viewer"])
        run(connection, "drop schema promptctl cascade")


@pytest.mark.skipif(len(SERVERS) < 2, reason="only one version of PostgreSQL is installed")
def test_a_dump_of_an_older_server_restored_on_a_newer_one_denies_access(folder: Path) -> None:
    newest, *_, oldest = SERVERS.values()
    with ExitStack() as stack:
        servers: list[Server] = []
        for programs in (oldest, newest):
            servers.append(Server.start(programs))
            stack.callback(servers[-1].stop)
        with psycopg.connect(servers[0].dsn(), autocommit=True) as connection:
            run(connection, schema.read_sql())
            add_samples(connection)
        # A newer pg_dump reads an older server.
        messages = run_program(
            servers[1], "pg_dump", "-d", servers[0].dsn(), "-f", str(folder / "dump"), "--no-owner", "--no-acl"
        )
        assert "error" not in messages
        restore_dump(servers[1], "postgres", folder / "dump")
        with psycopg.connect(servers[1].dsn(), autocommit=True) as connection:
            run(connection, "create role attacker login")
            assert rows(connection, "select name from promptctl.served order by name") == [
                ("greeter",),
                ("idle",),
                ("other",),
            ]
            assert_access_denied(connection, "attacker")
            connection.execute("select promptctl.grant_access('attacker', 'viewer')")
            with acting_as(connection, "attacker"):
                assert_allowed(connection, ALLOWED["viewer"])


@pytest.mark.parametrize(
    "form",
    [["--format=plain"], ["--format=plain", "--inserts"], ["--format=custom"]],
    ids=["plain", "inserts", "custom"],
)
def test_a_data_only_restore_counts_no_use_twice(
    server: Server, sql: Connection, empty_database: str, folder: Path, form: list[str]
) -> None:
    statistics = "select name, version, stats::text from promptctl.version_stats order by 1, 2"
    days = "select t::text from promptctl.totals t order by 1"
    add_samples(sql)
    for _ in range(3):
        sql.execute("select promptctl.record_use('greeter', 1, 1, 10, 5, 100, model => 'a-model')")
    assert value(sql, "select promptctl.roll_up_uses()") > 0
    sql.execute("select promptctl.score_use(promptctl.record_use('greeter', 1, 1, 30, 5, 300), 0.5)")
    before = rows(sql, statistics)
    assert any('"total_uses": 0' not in stats for _, _, stats in before)
    dump_database(server, sql.info.dbname, ["--data-only", "--disable-triggers", *form], folder / "disabled")
    dump_database(server, sql.info.dbname, ["--data-only", *form], folder / "enabled")
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        run(connection, schema.read_sql())
        # Maintenance of the empty database must not interfere with the restore.
        run(connection, "select promptctl.roll_up_uses(); select promptctl.drop_uses(now(), 0)")
        restore_dump(server, empty_database, folder / "disabled", "postgres", "--disable-triggers")
        assert rows(connection, statistics) == before
        assert rows(connection, days) == rows(sql, days)
        assert value(connection, "select promptctl.roll_up_uses()") is not None
        connection.execute("select promptctl.record_use('greeter', 1, 1)")
        for source in (connection, sql):
            # In a cluster with lower transaction ids, only the second roll-up includes the uses.
            while value(source, "select promptctl.roll_up_uses()"):
                pass
        assert value(connection, "select sum(uses) from promptctl.totals where grain = 'all'") == 1 + value(
            sql, "select sum(uses) from promptctl.totals where grain = 'all'"
        )
        # With triggers enabled, watermark and totals are refused, and uses count at most once.
        run(connection, "drop schema promptctl cascade")
        run(connection, schema.read_sql())
        messages = restore_dump(server, empty_database, folder / "enabled")
        assert "the watermark is moved by roll_up_uses" in messages
        assert "totals are written by roll_up_uses" in messages
        assert value(connection, "select count(*) from promptctl.roll_up") == 0
        assert value(connection, "select count(*) from promptctl.totals") == 0
