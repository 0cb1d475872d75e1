"""Migrations: from a kept dump of every version that one starts from, to the schema of a fresh installation."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from promptctl.postgres import migrating, sql_statements, statement_locks
from tests.commands import check_failure, check_json_failure
from tests.conftest import Promptctl, copied_database
from tests.schema.support import rows, run, value
from tests.schema.test_catalog import CATALOG, OBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Templated
    from tests.servers import Server

    Connection = psycopg.Connection[Any]

DUMPS = Path(__file__).parent / "dumps"
VERSIONS = sorted(migration.start for migration in schema.MIGRATIONS)
# For what only the migration from this version does.
FROM_VERSION_8 = pytest.mark.parametrize("old_template", [8], indirect=True)
FROM_VERSION_4 = pytest.mark.parametrize("old_template", [4], indirect=True)
OWNER = "schema_owner"
ACCESS = {"viewer_login": "viewer", "application_login": "application", "operator_login": "operator"}
# What CATALOG leaves out. pg_dump and a migration keep it, so it must be equal as well.
DETAILS = """
    select 'constraint', conname, format('%s %s', convalidated, obj_description(oid, 'pg_constraint'))
    from pg_constraint where connamespace = 'promptctl'::regnamespace and contype not in ('n', 't')
    union all
    select 'column comment', c.relname || '.' || a.attname,
           format('%s %s %s', col_description(c.oid, a.attnum), a.attnum, a.attstorage)
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'promptctl'::regnamespace and a.attnum > 0 and c.relkind in ('r', 'v', 'c')
    union all
    select 'relation', relname, format('%s %s %s %s', relkind, pg_get_userbyid(relowner), reloptions,
           (select string_agg(a::text, ' ' order by a::text) from unnest(relacl) a))
    from pg_class where relnamespace = 'promptctl'::regnamespace
    union all
    select 'grants on columns', c.relname || '.' || a.attname,
           (select string_agg(g::text, ' ' order by g::text) from unnest(a.attacl) g)
    from pg_attribute a join pg_class c on c.oid = a.attrelid where c.relnamespace = 'promptctl'::regnamespace
    union all
    select 'view', viewname, definition from pg_views where schemaname = 'promptctl'
    union all
    select 'rule', rulename, definition from pg_rules where schemaname = 'promptctl'
    union all
    select 'trigger', t.tgname, format('%s %s', t.tgenabled, t.tgdeferrable)
    from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = 'promptctl'::regnamespace and not t.tgisinternal
    union all
    select 'function', oid::regprocedure::text,
           format('%s %s %s', pg_get_functiondef(oid), pg_get_userbyid(proowner),
                  (select string_agg(a::text, ' ' order by a::text) from unnest(proacl) a))
    from pg_proc where pronamespace = 'promptctl'::regnamespace
    union all
    select 'type', typname, format('%s %s %s %s', typtype, format_type(typbasetype, null), pg_get_userbyid(typowner),
           obj_description(oid, 'pg_type'))
    from pg_type where typnamespace = 'promptctl'::regnamespace and typtype in ('c', 'd')
    union all
    select 'schema', nspname, format('%s %s', pg_get_userbyid(nspowner),
           (select string_agg(a::text, ' ' order by a::text) from unnest(nspacl) a))
    from pg_namespace where nspname = 'promptctl'
    order by 1, 2, 3
"""
TABLES = (
    "served", "releases", "versions", "allocations", "corrections", "sources", "applied", "roll_up", "uses", "scores",
    "fallbacks", "totals",
)  # fmt: skip
# The columns of version 4 that have other names now.
RENAMED = {
    "has_said_version": "has_applied_version", "has_said_route": "has_applied_route", "added": "transaction_offset",
}  # fmt: skip


@pytest.fixture(scope="session")
def logins(templated: Templated) -> Server:
    """The server of this worker, with the roles of the dumps. None of them is a superuser."""
    with psycopg.connect(templated.server.dsn(), autocommit=True) as sql:
        for name in (OWNER, *ACCESS):
            run(sql, f"create role {name} login")
    return templated.server


def load(server: Server, database: str, version: int) -> None:
    """Load the dump of a version, as its owner."""
    with psycopg.connect(server.dsn(), autocommit=True) as sql:
        run(sql, f"grant create on database {database} to {OWNER}")
    with psycopg.connect(server.dsn(database, user=OWNER), autocommit=True) as owner:
        run(owner, (DUMPS / f"version_{version}.sql").read_text(encoding="utf-8"))


@pytest.fixture(scope="session", params=VERSIONS)
def old_template(request: pytest.FixtureRequest, logins: Server) -> Iterator[str]:
    """The name of a database with an older schema and its data, to copy."""
    with copied_database(logins, "template1") as name:
        load(logins, name, request.param)
        yield name


@pytest.fixture
def old_database(logins: Server, old_template: str) -> Iterator[str]:
    """The name of a new database with an older schema and its data."""
    with copied_database(logins, old_template) as name:
        yield name


@pytest.fixture
def fresh_database(logins: Server) -> Iterator[str]:
    """The name of a database with a fresh installation, and the logins of the dumps."""
    with copied_database(logins, "template1") as name:
        with psycopg.connect(logins.dsn(name), autocommit=True) as sql:
            run(sql, f"grant create on database {name} to {OWNER}")
        with psycopg.connect(logins.dsn(name, user=OWNER), autocommit=True) as owner:
            run(owner, schema.read_sql())
            for login, access in ACCESS.items():
                owner.execute("select promptctl.grant_access(%s, %s)", [login, access])
        yield name


@pytest.fixture
def as_owner(logins: Server, old_database: str, home: Path) -> Promptctl:
    """The command line as the owner of the older schema, who is no superuser."""
    return Promptctl(home, DATABASE_URL=logins.url(old_database, user=OWNER))


@pytest.fixture
def sql(logins: Server, old_database: str) -> Iterator[Connection]:
    """A superuser's connection to the older database."""
    with psycopg.connect(logins.dsn(old_database), autocommit=True) as connection:
        yield connection


@pytest.fixture
def start(sql: Connection) -> int:
    """The schema version of the older database."""
    return version_of(sql)


def version_of(connection: Connection) -> int:
    return int(value(connection, "select version from promptctl.installation"))


def columns_of(connection: Connection, table: str) -> list[str]:
    return [
        name
        for (name,) in rows(
            connection,
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped",
            f"promptctl.{table}",
        )
    ]


def contents(connection: Connection, columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the rows of each table as text, with these columns."""
    return {
        table: [row for (row,) in rows(
            connection, f"select row({', '.join(names)})::text from promptctl.{table} order by 1",
        )]
        for table, names in columns.items()
    }  # fmt: skip


@pytest.mark.parametrize("login", [OWNER, "postgres"])
def test_a_migrated_catalog_is_that_of_a_fresh_installation(
    login: str, logins: Server, old_database: str, fresh_database: str, home: Path
) -> None:
    migrated_by = Promptctl(home, DATABASE_URL=logins.url(old_database, user=login))
    assert migrated_by("db", "migrate").code == 0
    with (
        psycopg.connect(logins.dsn(old_database), autocommit=True) as migrated,
        psycopg.connect(logins.dsn(fresh_database), autocommit=True) as fresh,
    ):
        for query in (CATALOG, DETAILS, f"select * from ({OBJECTS}) o order by 1"):
            migrated_rows, fresh_rows = rows(migrated, query), rows(fresh, query)
            assert len(fresh_rows) > 100
            assert set(migrated_rows) ^ set(fresh_rows) == set()
            assert migrated_rows == fresh_rows
        facts = "select version, compatible_version, release from promptctl.installation"
        assert rows(migrated, facts) == rows(fresh, facts)
        assert value(migrated, "select count(*) from promptctl.open_to_everybody()") == 0


def test_a_migration_keeps_every_row(old_database: str, as_owner: Promptctl, sql: Connection) -> None:
    old_columns = {table: columns_of(sql, table) for table in TABLES}
    # What a migration corrects: the variables of texts in shells, and the names of kinds and of calls.
    old_columns["versions"] = [name for name in old_columns["versions"] if not name.endswith("variables")]
    old_columns["fallbacks"].remove("name")
    old_columns["corrections"].remove("kind")
    before = contents(sql, old_columns)
    facts = rows(sql, "select id, installed_at from promptctl.installation")
    stats = rows(sql, "select name, version, content, is_active, metadata, stats from promptctl.prompts order by 1, 2")
    assert min(len(before[table]) for table in TABLES) > 0
    assert as_owner("db", "migrate").code == 0
    new_columns = {table: [RENAMED.get(name, name) for name in names] for table, names in old_columns.items()}
    assert contents(sql, new_columns) == before
    assert rows(sql, "select id, installed_at from promptctl.installation") == facts
    assert rows(
        sql, "select name, version, content, is_active, metadata, stats from promptctl.prompts order by 1, 2"
    ) == stats  # fmt: skip
    assert rows(sql, "select distinct kind from promptctl.corrections") == [("archive",)]
    names = {name for (name,) in rows(sql, "select name from promptctl.fallbacks")}
    assert names == {"gone", "no~such~prompt~", "x" * 199 + "~"}
    assert rows(sql, "select variables, required_variables from promptctl.versions where name = 'shell'") == [
        (["name"], ["name"])
    ]
    # Nothing is stored that a fresh installation would store in another way.
    assert value(
        sql,
        """
        select count(*) from promptctl.versions
        where variables <> promptctl.template_variables(content, settings)
           or required_variables <> promptctl.required_variables(variables, settings)
        """,
    ) == 0  # fmt: skip


def test_after_a_migration_every_login_does_what_it_could_do(
    logins: Server, old_database: str, as_owner: Promptctl, sql: Connection
) -> None:
    assert as_owner("db", "migrate").code == 0
    connections = {
        login: psycopg.connect(logins.dsn(old_database, user=login), autocommit=True) for login in (OWNER, *ACCESS)
    }
    with contextlib.ExitStack() as stack:
        for connection in connections.values():
            stack.enter_context(connection)
        application, operator = connections["application_login"], connections["operator_login"]
        assert value(application, "select version from promptctl.resolve('greeting')") == 1
        assert (
            value(application, "select name from promptctl.resolve('support', 'u', '{\"plan\": \"x\"}')") == "support"
        )
        uses = int(value(sql, "select count(*) from promptctl.uses"))
        application.execute("select promptctl.record_use('greeting', 1, 1, 5, 5, 5, 'model', 'unit')")
        assert value(sql, "select count(*) from promptctl.uses") == uses + 1
        assert value(operator, "select version from promptctl.activate('{greeting}', '{2}')") == 2
        assert value(operator, "select count(*) from promptctl.archive('{plain}', array[null]::integer[])") == 1
        assert value(connections["viewer_login"], "select count(*) from promptctl.prompts") > 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connections["viewer_login"].execute("select promptctl.resolve('greeting')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("select promptctl.activate('{greeting}', '{1}')")


def test_a_grant_that_an_administrator_made_survives(
    logins: Server, old_database: str, as_owner: Promptctl, sql: Connection
) -> None:
    run(sql, "create role reporting login")
    try:
        sql.execute("grant usage on schema promptctl to reporting")
        sql.execute("grant select on promptctl.prompts to reporting")
        sql.execute("grant execute on function promptctl.record_use to reporting with grant option")
        assert as_owner("db", "migrate").code == 0
        granted = "has_function_privilege('reporting', 'promptctl.record_use'::regproc, 'execute with grant option')"
        assert value(sql, f"select {granted}")
        with psycopg.connect(logins.dsn(old_database, user="reporting")) as reporting:
            assert value(reporting, "select count(*) from promptctl.prompts") > 0
    finally:
        sql.execute("drop owned by reporting")
        sql.execute("drop role reporting")


@pytest.mark.parametrize("old_template", [7], indirect=True)
def test_a_comparison_has_the_uses_and_scores_that_were_not_rolled_up_before_the_migration(
    as_owner: Promptctl, sql: Connection
) -> None:
    assert as_owner("db", "migrate").code == 0
    compared = (
        "select uses_a + uses_b from promptctl.compare_versions('checkout', 1, 2) where share = 2500 and metric = %s"
    )
    assert value(sql, compared, "uses") == 30
    # The first roll-ups in another cluster only renumber the uses, and each one waits for the transactions of the
    # cluster that are open.
    deadline = time.monotonic() + 30
    counted = 0
    while counted < 30 and time.monotonic() < deadline:
        counted += int(value(sql, "select promptctl.roll_up_uses()"))
    assert counted == 30
    assert value(sql, compared, "uses") == 30
    # Of 7 uses with a score and 6 with a later one, one has both. The uses of the first share were rolled up before,
    # and got 2 later scores and one that replaces a score.
    sums = "select epoch, sum(uses), sum(with_score) from promptctl.bucket_totals group by 1 order by 1"
    assert rows(sql, sums) == [(2, 0, 2), (3, 30, 12)]


@FROM_VERSION_4
def test_rows_beyond_a_new_limit_stay_and_the_limit_holds_for_new_rows(as_owner: Promptctl, sql: Connection) -> None:
    long_reason, long_outcome = "r" * 3000, "o" * 300
    sql.execute("alter table promptctl.allocations disable trigger user")
    sql.execute("update promptctl.allocations set reason = %s where name = 'vip'", [long_reason])
    sql.execute("alter table promptctl.allocations enable trigger user")
    sql.execute("select promptctl.record_use('vip', 1, 1, outcome => %s)", [long_outcome])
    assert as_owner("db", "migrate").code == 0
    assert value(sql, "select max(reason) from promptctl.allocations where name = 'vip'") == long_reason
    assert value(sql, "select max(outcome) from promptctl.uses where name = 'vip'") == long_outcome
    for type_name, text in (("reason_text", long_reason), ("outcome_name", long_outcome)):
        with pytest.raises(psycopg.errors.CheckViolation):
            run(sql, f"select '{text}'::promptctl.{type_name}")


@FROM_VERSION_4
def test_db_verify_accepts_a_limit_that_a_migration_did_not_check_and_no_other(
    as_owner: Promptctl, sql: Connection
) -> None:
    sql.execute("set session_replication_role = replica")
    sql.execute(
        "update promptctl.versions set metadata = jsonb_build_object('notes', (select string_agg(md5(n::text), '')"
        " from generate_series(1, 40000) n)) where name = 'vip'"
    )
    assert as_owner("db", "migrate").code == 0
    limits = "select conname::text from pg_constraint where not convalidated and conrelid <> 0"
    assert rows(sql, limits) == [("metadata_has_at_most_1_megabyte",)]

    def unchecked() -> list[str]:
        problems = json.loads(as_owner("db", "verify", "--json").out)["problems"]
        return [problem["rows"] for problem in problems if "never checked" in problem["reason"]]

    assert unchecked() == []
    again = "check (pg_column_size(metadata) <= 1000000) not valid"
    sql.execute("alter table promptctl.versions drop constraint metadata_has_at_most_1_megabyte")
    run(sql, f"alter table promptctl.versions add constraint metadata_has_at_most_1_megabyte {again}")
    assert unchecked() == ["constraint metadata_has_at_most_1_megabyte"]


# Settings that schema version 8 takes, though the keys have a meaning in version 9.
ODD_SETTINGS: tuple[dict[str, Any], ...] = (
    {"request": 5}, {"request": None}, {"request": [1], "cache": {}}, {"request": {"b": {"x": [1.50]}, "model": "x"}},
    {"request": {"messages": [3]}}, {"request": "not JSON"}, {"request": "[1]"}, {"cache": True}, {"cache": "9m"},
    {"request": '{"messages": [{"role": 3, "content": {}}]}'},
)  # fmt: skip


@FROM_VERSION_8
def test_a_migration_to_requests_keeps_versions_whose_settings_have_these_keys(
    as_owner: Promptctl, sql: Connection
) -> None:
    for place, settings in enumerate(ODD_SETTINGS):
        sql.execute(
            "select promptctl.create_version(%s, 'to {x}', %s, activated => true)",
            [f"odd{place}", json.dumps(settings)],
        )
    assert as_owner("db", "migrate").code == 0
    assert as_owner("db", "verify").code == 0
    unchecked = "select conname from pg_constraint where not convalidated and conrelid = 'promptctl.versions'::regclass"
    assert rows(sql, unchecked) == []
    for place, settings in enumerate(ODD_SETTINGS):
        name = f"odd{place}"
        assert json.loads(as_owner("show", f"{name}@1", "--json").out)["settings"] == settings
        sent = json.loads(as_owner("render", name, "--var", "x=1", "--request").out)
        assert sent == {"system": "to 1", "messages": []}
        refused = as_owner("export", "prompts", "--only", name)
        assert refused.code == 1
        assert f'a folder cannot represent all of "{name}": settings of @1: ' in refused.err
        for command in (["create", name, "other {x}", "--activate"], ["diff", f"{name}@1", f"{name}@2"]):
            assert as_owner(*command).code == 0
        # The rules hold for every other version.
        with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.InvalidTextRepresentation)):
            sql.execute("select promptctl.create_version(%s, 'new', %s)", [name, json.dumps(settings)])
        sql.execute("update promptctl.versions set metadata = '{\"a\": 1}' where name = %s and version = 1", [name])
        assert as_owner("delete", f"{name}@1").code == 0
        assert as_owner("erase", f"{name}@1", "--reason", "not needed").code == 0


@FROM_VERSION_8
def test_a_migration_to_requests_reads_the_versions_once_while_programs_wait(
    as_owner: Promptctl, sql: Connection
) -> None:
    scans = "select seq_scan from pg_stat_user_tables where relid = 'promptctl.versions'::regclass"
    before = int(value(sql, scans))
    assert as_owner("db", "migrate").code == 0
    # The server counts when the session of the command has ended.
    wait_until(lambda: int(value(sql, scans)) > before)
    assert int(value(sql, scans)) == before + 1


def test_a_dry_run_keeps_the_name_of_a_database_in_its_comment(capfd: pytest.CaptureFixture[str]) -> None:
    from promptctl.output import migration_view

    planned = migrating.PlannedMigration("0010_next.sql", 9, 10, [])
    migration_view.show_plan([planned], "a\ndrop schema promptctl;", 9, "plain")
    migration_view.show_plan([], "a\ndrop schema promptctl;", 9, "plain")
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) > 2
    assert all(line.startswith("--") for line in lines if line), lines


def test_db_migrate_says_what_it_did_and_does_nothing_twice(as_owner: Promptctl, start: int) -> None:
    refused = check_json_failure(as_owner("list", "--json"), 8)
    assert (refused["code"], refused["hint"]) == ("schema_older", "promptctl db migrate")
    migrated = json.loads(as_owner("db", "migrate", "--json").out)
    assert (migrated["previous_schema_version"], migrated["schema_version"], migrated["changed"]) == (
        start, schema.VERSION, True,
    )  # fmt: skip
    again = as_owner("db", "migrate", "--json")
    assert (again.code, json.loads(again.out)["changed"]) == (0, False)
    assert as_owner("list").code == 0
    status = json.loads(as_owner("db", "status", "--json").out)
    assert (status["state"], status["schema_version"]) == ("ready", schema.VERSION)


def test_two_migrations_at_once_happen_once(as_owner: Promptctl, sql: Connection) -> None:
    uses = value(sql, "select count(*) from promptctl.uses")
    processes = [as_owner.start("db", "migrate", "--json") for _ in range(4)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert [code for _, code in ended] == [0] * 4, ended
    assert {json.loads(out)["schema_version"] for (out, _), _ in ended} == {schema.VERSION}
    assert value(sql, "select count(*) from promptctl.uses") == uses
    assert as_owner("db", "migrate").code == 0


@pytest.mark.parametrize("killed", ["client", "server process"])
def test_a_killed_migration_has_happened_entirely_or_not_at_all(
    killed: str, as_owner: Promptctl, sql: Connection, start: int
) -> None:
    before = rows(sql, CATALOG)
    with psycopg.connect(sql.info.dsn, autocommit=False) as holder:
        # The migration stops in its middle, at an object that it changes late.
        holder.execute("lock table pg_catalog.pg_description in share mode")
        process = as_owner.start("db", "migrate", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pid = wait_for_waiting_session(sql)
        mode = "ShareRowExclusiveLock" if start == 9 else "AccessExclusiveLock"
        assert rows(sql, "select count(*) from pg_locks where pid = %s and mode = %s", pid, mode) != [(0,)]
        if killed == "client":
            process.send_signal(signal.SIGKILL)
        else:
            sql.execute("select pg_terminate_backend(%s)", [pid])
        process.wait(30)
        holder.rollback()
    until = time.monotonic() + 30
    while rows(sql, "select from pg_stat_activity where pid = %s", pid) and time.monotonic() < until:
        time.sleep(0.01)
    if version_of(sql) == start:
        assert rows(sql, CATALOG) == before
    ended = as_owner("db", "migrate")
    assert ended.code == 0, ended
    assert version_of(sql) == schema.VERSION


def wait_for_waiting_session(sql: Connection) -> int:
    """Return the process of the session that waits for a lock, as soon as there is one."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        waiting = rows(
            sql,
            "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            " and application_name = 'promptctl'",
        )
        if waiting:
            return int(waiting[0][0])
        time.sleep(0.005)
    raise AssertionError("no session waits for a lock")


def test_a_migration_gives_up_while_a_table_is_in_use_and_names_the_session(
    as_owner: Promptctl, old_database: str, logins: Server, sql: Connection, start: int,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    # One attempt in place of 40.
    code = (
        "from promptctl import schema\n"
        "read = schema.Migration.read_sql\n"
        "schema.Migration.read_sql = lambda self: read(self).replace('attempt >= 40', 'attempt >= 1')\n"
    )
    with psycopg.connect(logins.dsn(old_database), application_name="a long report") as reader:
        reader.execute(
            "select (select count(*) from promptctl.scores), (select count(*) from promptctl.versions),"
            " (select count(*) from promptctl.uses)"
        )
        if start == 9:
            # This migration waits for writers only.
            reader.execute("lock table promptctl.versions in row exclusive mode")
        time.sleep(1.1)
        failure = check_json_failure(as_owner("db", "migrate", "--json", env=startup_code(code)), 5)
    assert failure["code"] == "locked"
    assert "in use by a long report (postgres, pid " in failure["message"]
    assert version_of(sql) == start
    assert as_owner("db", "migrate").code == 0


@FROM_VERSION_4
def test_a_view_on_a_changed_column_is_named(as_owner: Promptctl, sql: Connection) -> None:
    sql.execute("create view report as select outcome from promptctl.uses")
    before = rows(sql, CATALOG)
    failure = check_json_failure(as_owner("db", "migrate", "--json"), 1)
    assert failure["code"] == "migration_failed"
    assert 'view public.report depends on column "outcome"' in failure["message"]
    assert rows(sql, CATALOG) == before
    sql.execute("drop view report")
    assert as_owner("db", "migrate").code == 0


@pytest.mark.parametrize("old_template", [10], indirect=True)
def test_a_function_that_uses_a_replaced_function_is_named(as_owner: Promptctl, sql: Connection) -> None:
    body = "begin atomic select promptctl.record_use(n, 1, 0); end"
    sql.execute(f"create function own(n text) returns uuid language sql {body}")
    failure = check_json_failure(as_owner("db", "migrate", "--json"), 1)
    assert failure["code"] == "migration_failed"
    assert "function public.own(text) depends on function promptctl.record_use" in failure["message"]
    sql.execute("drop function own")
    assert as_owner("db", "migrate").code == 0
    sql.execute(f"create function own(n text) returns uuid language sql {body}")


def test_a_login_that_does_not_own_the_schema_cannot_migrate(
    logins: Server, old_database: str, home: Path, sql: Connection
) -> None:
    before = rows(sql, CATALOG)
    for login in ACCESS:
        other = Promptctl(home, DATABASE_URL=logins.url(old_database, user=login))
        assert check_json_failure(other("db", "migrate", "--json"), 5)["code"] == "permission_denied"
    assert rows(sql, CATALOG) == before


@pytest.mark.parametrize("version", [3, 5, 6])
def test_a_version_that_was_in_no_release_is_refused(version: int, as_owner: Promptctl, sql: Connection) -> None:
    sql.execute("update promptctl.installation set version = %s", [version])
    for words in (("db", "migrate"), ("db", "migrate", "--dry-run")):
        failure = check_failure(as_owner(*words), 8)
        assert f"has schema version {version}, which was in no release: migrations start from version 4" in failure.err
        assert "hint:  run promptctl export" in failure.err
    assert check_json_failure(as_owner("db", "migrate", "--json"), 8)["code"] == "no_migration"


def test_a_dry_run_prints_sql_for_psql_and_changes_nothing(as_owner: Promptctl, sql: Connection, start: int) -> None:
    before = rows(sql, CATALOG)
    plan = as_owner("db", "migrate", "--dry-run")
    assert plan.code == 0
    head = plan.out.partition("\nbegin isolation level")[0]
    locked = "uses" if start == 10 else "versions" if start >= 8 else "served"
    corrected = ["scores"] if start < 8 else []
    lock = "share row exclusive lock, writes wait" if start == 9 else "access exclusive lock, reads and writes wait"
    assert f"-- promptctl.{locked}: {lock}" in head
    for table in corrected:
        assert f"-- promptctl.{table}: access exclusive lock, reads and writes wait, changes rows\n" in plan.out
    assert "-- no table is rewritten\n" in head
    assert rows(sql, CATALOG) == before
    document = json.loads(as_owner("db", "migrate", "--dry-run", "--json").out)
    assert document["schema_version"] == start
    planned = document["migrations"]
    statements = [statement for migration in planned for statement in migration["statements"]]
    effects = [effect for statement in statements for effect in statement["effects"]]
    assert not any(effect["rewrites_table"] for effect in effects)
    reading_waits = {e["table"] for part in planned[0]["statements"] for e in part["effects"] if e["blocks_reads"]}
    assert bool(reading_waits) is (start != 9)
    tables = {name for (name,) in rows(sql, "select oid::regclass::text from pg_class where relkind in ('r', 'v')")}
    assert {effect["table"] for effect in effects} <= tables
    changed = {effect["table"] for effect in effects if effect["changes_rows"]}
    corrected += ["versions", "fallbacks"] if start == 4 else []
    assert changed >= {f"promptctl.{table}" for table in corrected}
    assert as_owner("db", "migrate", "--dry-run", "-q").out == "".join(f"{m['name']}\n" for m in planned)
    run(sql, f"set session authorization {OWNER}")
    run(sql, plan.out)
    run(sql, "reset session authorization")
    assert version_of(sql) == schema.VERSION
    assert "nothing to migrate" in as_owner("db", "migrate", "--dry-run").out
    assert as_owner("db", "migrate", "--dry-run", "-q").out == ""


@FROM_VERSION_4
def test_the_texts_of_versions_are_read_before_the_locks_for_which_programs_wait(
    logins: Server, old_database: str, sql: Connection
) -> None:
    """Under the locks, only the versions that programs stored meanwhile get their variables computed."""
    [migration, *_] = schema.path_from(4) or []
    statements = sql_statements.split(migration.read_sql())
    locks = next(place for place, text in enumerate(statements) if "in access exclusive mode" in text)
    reading = [place for place, text in enumerate(statements) if "promptctl.template_variables(v.content" in text]
    assert reading
    assert max(reading) < locks
    calls = "select coalesce(sum(calls), 0) from pg_stat_xact_user_functions where funcname = 'template_variables'"
    before = 0
    with psycopg.connect(logins.dsn(old_database)) as session:
        run(session, "set track_functions = 'all'")
        for place, text in enumerate(statements):
            if place == locks:
                before = int(value(session, calls))
                # A program stores a version while this session waits for its locks.
                sql.execute("select promptctl.create_version('late', E'Write \\\\emph{item} to {name}.')")
            if place and "commit" not in sql_statements.without_comments(text)[:6]:
                run(session, text)
        assert before > 1
        assert int(value(session, calls)) == before + 1
        assert value(session, "select variables from promptctl.versions where name = 'late'") == ["name"]
        session.rollback()


# Of these modes, readers or writers wait.
BLOCKING = {
    "ShareLock": "share",
    "ShareRowExclusiveLock": "share row exclusive",
    "AccessExclusiveLock": "access exclusive",
}


def blocking_locks(connection: Connection) -> dict[str, str]:
    """Return the strongest blocking lock of this session, by table or view."""
    held: dict[str, str] = {}
    for table, mode in rows(
        connection,
        """
        select c.oid::regclass::text, l.mode from pg_locks l join pg_class c on c.oid = l.relation
        where l.pid = pg_backend_pid() and c.relnamespace = to_regnamespace('promptctl') and c.relkind in ('r', 'v')
        """,
    ):
        if mode in BLOCKING:
            held[table] = max(held.get(table, "share"), BLOCKING[mode], key=statement_locks.MODES.index)
    return held


def storage(connection: Connection) -> dict[str, int]:
    return dict(rows(
        connection,
        "select oid::regclass::text, relfilenode from pg_class"
        " where relnamespace = to_regnamespace('promptctl') and relkind = 'r'",
    ))  # fmt: skip


def test_the_analysis_of_a_statement_agrees_with_the_server(
    logins: Server, old_database: str, as_owner: Promptctl, sql: Connection
) -> None:
    """Run each statement of the first migration without the locks for which programs wait, and compare what it does.

    The statement that takes these locks runs in a transaction of its own, and its locks are compared, too.
    """
    document = json.loads(as_owner("db", "migrate", "--dry-run", "--json").out)
    statements = document["migrations"][0]["statements"]
    predicted: dict[str, str] = {}
    analysed = 0
    known = {name for (name,) in rows(sql, "select oid::regclass::text from pg_class")}
    with psycopg.connect(logins.dsn(old_database)) as session:
        for statement in statements:
            if "lock table" in sql_statements.without_comments(statement["sql"]):
                run(session, statement["sql"])
                blocking = {e["table"]: e["lock"] for e in statement["effects"] if e["blocks_writes"]}
                assert blocking_locks(session) == blocking, statement["sql"]
                session.rollback()
    with psycopg.connect(logins.dsn(old_database), autocommit=True) as session:
        session.execute("begin")
        for statement in statements:
            text = sql_statements.without_comments(statement["sql"])
            if text.startswith(("begin", "commit")):
                continue
            if "lock table" in text:
                continue
            files = storage(session)
            run(session, text)
            analysed += 1
            rewritten = {table for table, file in storage(session).items() if files.get(table, file) != file}
            assert {e["table"] for e in statement["effects"] if e["rewrites_table"]} == rewritten, text
            for effect in statement["effects"]:
                assert effect["lock"] in statement_locks.MODES, text
                if effect["blocks_writes"]:
                    strongest = max(
                        predicted.get(effect["table"], "share"), effect["lock"], key=statement_locks.MODES.index
                    )
                    predicted[effect["table"]] = strongest
            # Not the locks of a table that the migration makes.
            locks = {table: mode for table, mode in blocking_locks(session).items() if table in known}
            assert locks == predicted, text
        session.execute("rollback")
    assert analysed > (15 if document["schema_version"] in (8, 10) else 60)


@pytest.mark.parametrize(
    ("statement", "rewritten"),
    [
        ("alter table promptctl.uses add column cost numeric", False),
        ("alter table promptctl.uses add column cost numeric not null default 0", False),
        ("alter table promptctl.uses add column noted_at timestamptz not null default now()", False),
        ("alter table promptctl.uses add column noted_at timestamptz not null default clock_timestamp()", True),
        ("alter table promptctl.uses add column total bigint generated always as (input_tokens + 1) stored", True),
        ("alter table promptctl.fallbacks alter column input_tokens type numeric", True),
        ("alter table promptctl.versions alter column id set not null", False),
        ("alter table promptctl.uses drop constraint tokens_are_not_negative", False),
        ("create index uses_by_model on promptctl.uses (model)", False),
        ("create trigger another before insert on promptctl.uses execute function promptctl.refuse('no')", False),
        ("alter table promptctl.uses disable trigger uses_are_append_only", False),
    ],
)
def test_the_analysis_of_other_statements_agrees_with_the_server(
    statement: str, rewritten: bool, logins: Server, old_database: str, as_owner: Promptctl, sql: Connection
) -> None:
    from promptctl.postgres import connecting

    assert as_owner("db", "migrate").code == 0
    with connecting.connect(logins.url(old_database)) as database:
        effects = migrating.read_catalog(database).effects(statement)
    files = storage(sql)
    sql.execute("begin")
    run(sql, statement)
    assert {e.table for e in effects if statement_locks.REWRITES in e.works} == {
        table for table, file in storage(sql).items() if files[table] != file
    }
    assert any(statement_locks.REWRITES in e.works for e in effects) == rewritten
    assert {e.table: e.mode for e in effects} == blocking_locks(sql)
    sql.execute("rollback")


def test_a_statement_that_is_not_analysed_is_called_unknown() -> None:
    [effect] = statement_locks.Catalog({}, {}).effects("cluster promptctl.uses")
    assert effect.mode == statement_locks.UNKNOWN
    assert effect.who_waits == "reads and writes"
    # A known lock does not hide it.
    block = "do $$ begin lock table promptctl.uses in access exclusive mode; alter table promptctl.uses x y; end $$"
    assert [(e.table, e.mode) for e in statement_locks.Catalog({}, {}).effects(block)] == [
        ("promptctl.uses", statement_locks.UNKNOWN)
    ]


def test_a_lock_of_a_name_that_is_not_in_the_text_is_called_unknown() -> None:
    block = "do $$ begin execute format('lock table promptctl.%I in access exclusive mode', some.name); end $$"
    assert [(e.table, e.mode) for e in statement_locks.Catalog({}, {}).effects(block)] == [
        ("", statement_locks.UNKNOWN)
    ]


# A later release, whose migration stops the applications of version 11.
NEXT_RELEASE = """
from promptctl import schema
class Next(schema.Migration):
    def read_sql(self):
        return (
            "begin; lock table promptctl.installation in share row exclusive mode;"
            "update promptctl.installation set version = 12, compatible_version = 12, release = '9.9'; commit;"
        )
schema.MIGRATIONS.append(Next("0012_next.sql", start=11, version=12, compatible_version=12))
schema.VERSION = 12
"""


def test_a_migration_that_would_stop_a_connected_client_is_refused_and_names_it(
    database_url: str, sql_of_database: Connection, promptctl: Promptctl,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    from promptctl import Prompts

    assert promptctl("create", "x", "Text.", "--activate").code == 0
    next_release = startup_code(NEXT_RELEASE)
    with Prompts(f"{database_url}&application_name=billing") as client:
        assert client.get("x").version == 1
        failure = check_json_failure(promptctl("db", "migrate", "--json", env=next_release), 5)
        assert failure["code"] == "clients_connected"
        assert "billing (postgres, pid " in failure["message"]
        assert "schema version 11)" in failure["message"]
        assert failure["hint"] == "restart them with a newer promptctl, then run it again"
        assert version_of(sql_of_database) == 11
        # A client of version 4 announces nothing.
        with psycopg.connect(database_url, application_name="promptctl client"):
            failure = check_json_failure(promptctl("db", "migrate", "--json", env=next_release), 5)
        assert "2 connected clients" in failure["message"]
        assert "schema version 4 or older)" in failure["message"]
        assert promptctl("db", "migrate", "--force", env=next_release).code == 0
        assert version_of(sql_of_database) == 12
    failure = check_json_failure(promptctl("list", "--json"), 8)
    assert (failure["code"], failure["hint"]) == (
        "schema_newer", "upgrade promptctl to release 9.9, from where it was installed",
    )  # fmt: skip


def test_a_connected_client_that_the_new_schema_serves_does_not_stop_a_migration(
    database_url: str, sql_of_database: Connection, promptctl: Promptctl,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    from promptctl import Prompts

    assert promptctl("create", "x", "Text.", "--activate").code == 0
    with Prompts(database_url) as client:
        assert client.get("x").version == 1
        compatible = NEXT_RELEASE.replace("compatible_version = 12", "compatible_version = 11")
        compatible = compatible.replace("compatible_version=12", "compatible_version=11")
        assert promptctl("db", "migrate", env=startup_code(compatible)).code == 0
        # The client and the commands of this release work with the newer schema.
        with client.get("x").use() as use:
            use.record(input_tokens=1)
        assert client.flush()
    assert value(sql_of_database, "select count(*) from promptctl.uses") == 1
    assert promptctl("list").code == 0
    assert promptctl("activate", "x@1").code == 0
    assert json.loads(promptctl("db", "status", "--json").out)["state"] == "ready"
    assert json.loads(promptctl("db", "migrate", "--json").out)["changed"] is False


@pytest.fixture
def sql_of_database(server: Server, database_name: str) -> Iterator[Connection]:
    """A superuser's connection to the database with the current schema."""
    with psycopg.connect(server.dsn(database_name), autocommit=True) as connection:
        yield connection


def test_a_client_works_while_a_stranger_holds_its_announcement(
    database_url: str, promptctl: Promptctl, sql_of_database: Connection
) -> None:
    from promptctl import Prompts

    assert promptctl("create", "x", "Text.", "--activate").code == 0
    sql_of_database.execute("select pg_advisory_lock(%s, %s)", [schema.ANNOUNCEMENT, schema.VERSION])
    with Prompts(database_url, timeout_seconds=20) as client:
        assert client.get("x").version == 1
        assert client.is_connected


def test_every_migration_leads_to_this_version() -> None:
    for migration in schema.MIGRATIONS:
        assert migration.name.startswith(f"{migration.version:04}_")
        path = schema.path_from(migration.start)
        assert path is not None
        assert path[-1].version == schema.VERSION
        assert migration.compatible_version <= migration.version
        assert (DUMPS / f"version_{migration.start}.sql").exists()
    assert schema.path_from(schema.VERSION) == []
    assert schema.path_from(schema.VERSION + 1) is None


def test_old_clients_resolve_and_record_through_a_migration(
    logins: Server, old_database: str, as_owner: Promptctl, sql: Connection
) -> None:
    from tests.schema.version_4_client import Client

    ending = threading.Event()
    clients = [Client(logins.dsn(old_database, user="application_login")) for _ in range(4)]
    threads = [threading.Thread(target=client.work, args=[ending]) for client in clients]
    before = int(value(sql, "select count(*) from promptctl.uses"))
    for thread in threads:
        thread.start()
    wait_until(lambda: all(len(client.recorded) > 20 for client in clients))
    assert as_owner("db", "migrate").code == 0
    assert version_of(sql) == schema.VERSION
    marks = [len(client.recorded) for client in clients]
    wait_until(lambda: all(len(c.recorded) > mark + 50 for c, mark in zip(clients, marks, strict=True)))
    ending.set()
    for thread in threads:
        thread.join(30)
    assert [client.failure for client in clients] == [None] * len(clients)
    sent = [use_id for client in clients for use_id in client.recorded]
    stored = {str(use_id) for (use_id,) in rows(sql, "select id from promptctl.uses")}
    assert set(sent) <= stored
    assert len(stored) == before + len(sent)
    total = "select coalesce(sum((stats->>'total_uses')::bigint), 0) from promptctl.version_stats"
    while int(value(sql, "select promptctl.roll_up_uses()") or 0):
        pass
    dropped_or_old = before + len(sent)
    assert value(sql, total) == dropped_or_old
    assert all(client.resolved for client in clients)
    # A client that connects after the migration is served too.
    late = Client(logins.dsn(old_database, user="application_login"))
    ending.clear()
    thread = threading.Thread(target=late.work, args=[ending])
    thread.start()
    wait_until(lambda: len(late.recorded) > 5 or late.failure is not None)
    ending.set()
    thread.join(30)
    assert late.failure is None


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
