"""Installing the schema: by psql or by the command line, once or again, alone or beside others, and taking it away."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from promptctl.postgres import drivers
from tests.schema.support import Statement, active, at_once, furnish, history, refused, rows, run, value
from tests.schema.test_catalog import CATALOG, OBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

    Connection = psycopg.Connection[Any]

SCHEMA = Path(__file__).parents[2] / "schema.sql"


@pytest.fixture
def empty(server: Server, empty_database: str) -> Iterator[Connection]:
    """A connection to a database without our schema."""
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        yield connection


def install(connection: Connection) -> None:
    run(connection, schema.read_sql())


def refusal(connection: Connection) -> tuple[str | None, str | None]:
    """How installing is refused; the transaction that the script began is ended."""
    try:
        install(connection)
    except psycopg.Error as error:
        connection.execute("rollback")
        return error.sqlstate, error.diag.constraint_name
    raise AssertionError("not refused")


def catalog(connection: Connection) -> list[tuple[Any, ...]]:
    """All that the schema is, with its comments and grants."""
    return [
        *rows(connection, CATALOG),
        *sorted(rows(connection, OBJECTS)),
        *rows(
            connection,
            """
            select relname, coalesce(relacl, acldefault('r', relowner))::text
            from pg_class where relnamespace = 'promptctl'::regnamespace and relkind <> 'S'
            union all
            select oid::regprocedure::text, proacl::text
            from pg_proc where pronamespace = 'promptctl'::regnamespace
            order by 1
            """,
        ),
    ]


def output(server: Server, program: str, *arguments: str, given: str = "") -> str:
    """What one of PostgreSQL's programs writes."""
    done = subprocess.run(
        [str(server.programs / program), *arguments], input=given.encode(), capture_output=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def psql(server: Server, database: str, *arguments: str, given: str = "") -> str:
    """Run psql, which stops at an error."""
    return output(
        server, "psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-d", server.dsn(database), *arguments,
        given=given,
    )  # fmt: skip


def test_psql_and_the_command_line_install_the_same(server: Server, empty: Connection, sql: Connection) -> None:
    assert psql(server, empty.info.dbname, "-f", str(SCHEMA)) == ""
    by_psql = catalog(empty)
    empty.execute("drop schema promptctl cascade")
    parameters = dict(part.split("=", 1) for part in server.dsn(empty.info.dbname).split())
    connection = drivers.for_command().connect(parameters)
    try:
        connection.script(schema.read_sql())
    finally:
        connection.close()
    assert catalog(empty) == by_psql == catalog(sql)


def test_installing_again_keeps_what_is_there(server: Server, sql: Connection) -> None:
    furnish(sql)
    before = catalog(sql)
    data = psql(server, sql.info.dbname, "-c", "select * from promptctl.prompts order by name, version")
    past = history(sql, "greeter")
    install(sql)
    psql(server, sql.info.dbname, "-f", str(SCHEMA))
    assert catalog(sql) == before
    assert psql(server, sql.info.dbname, "-c", "select * from promptctl.prompts order by name, version") == data
    sql.execute("select promptctl.activate('{greeter}', '{1}')")
    assert history(sql, "greeter") == [*past, (3, "activate", 2, 1)]


def test_fifty_installs_at_once_all_succeed(server: Server, empty: Connection) -> None:
    connections = [psycopg.connect(server.dsn(empty.info.dbname), autocommit=True) for _ in range(50)]
    try:
        assert at_once((connection, schema.read_sql(), []) for connection in connections) == [None] * 50
    finally:
        for connection in connections:
            connection.close()
    assert value(empty, "select count(*) from promptctl.installation") == 1


def test_an_install_that_waited_sees_what_the_other_committed_whatever_the_default_isolation(
    server: Server, empty: Connection
) -> None:
    database = empty.info.dbname
    run(empty, f"alter database {database} set default_transaction_isolation = 'serializable'")
    dsn = server.dsn(database)
    with psycopg.connect(dsn) as first, psycopg.connect(dsn, autocommit=True) as other:
        first.execute("create schema promptctl")
        second = Statement(other, schema.read_sql())
        second.wait_until_blocked(empty)
        first.execute("create table promptctl.installation (singleton boolean, version integer)")
        first.execute("insert into promptctl.installation values (true, 99)")
        first.commit()
        error = second.end()
    assert error is not None
    assert error.diag.message_primary is not None
    assert "has schema version 99" in error.diag.message_primary


def test_a_schema_of_another_version_is_refused_and_left_alone(sql: Connection) -> None:
    for version in ("version + 1", "version - 2"):
        run(sql, f"update promptctl.installation set version = {version}")
        before = catalog(sql)
        assert refusal(sql) == ("55000", "schema_version_matches")
        assert catalog(sql) == before
    sql.execute("delete from promptctl.installation")
    assert refusal(sql) == ("55000", "schema_version_matches")


def test_a_schema_of_that_name_that_is_not_ours_is_refused(empty: Connection) -> None:
    for content in (
        "create table promptctl.theirs ()",
        "create view promptctl.theirs as select 1",
        "create sequence promptctl.theirs",
        "create function promptctl.theirs() returns integer language sql return 1",
        "create type promptctl.theirs as enum ('a')",
        "create domain promptctl.theirs as text",
    ):
        run(empty, f"create schema promptctl; {content}")
        assert refusal(empty) == ("42P06", "schema_belongs_to_promptctl"), content
        assert value(empty, "select to_regclass('promptctl.served')") is None
        empty.execute("drop schema promptctl cascade")


def test_an_empty_schema_of_that_name_is_taken(empty: Connection) -> None:
    empty.execute("create schema promptctl")
    install(empty)
    furnish(empty)


def test_the_schema_is_ascii_so_that_any_database_can_read_why_it_is_refused() -> None:
    assert SCHEMA.read_bytes().isascii()


def test_a_database_of_another_encoding_is_refused(server: Server, empty: Connection) -> None:
    name = f"{empty.info.dbname}_latin"
    run(empty, f"create database {name} encoding 'LATIN1' template template0")
    try:
        with psycopg.connect(server.dsn(name), autocommit=True, client_encoding="UTF8") as connection:
            assert refusal(connection) == ("0A000", "database_is_utf8")
            assert value(connection, "select to_regnamespace('promptctl')") is None
    finally:
        run(empty, f"drop database {name} with (force)")


def test_names_are_compared_alike_in_a_database_of_any_language(server: Server, empty: Connection) -> None:
    # In Turkish the lower case of I is not i.
    name = f"{empty.info.dbname}_turkish"
    try:
        run(empty, f"create database {name} template template0 locale_provider icu icu_locale 'tr'")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server was built without ICU")
    try:
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            install(connection)
            connection.execute("select promptctl.create_version('kind', 'x')")
            for statement in (
                "select promptctl.create_version('KIND', 'x')",
                "insert into promptctl.prompts (name, content) values ('KIND', 'x')",
                """select promptctl.add_versions('[{"name": "KIND", "version": 1, "content": "x"}]')""",
            ):
                error = refused(connection, statement)
                assert error.diag.constraint_name == "names_differ_in_more_than_case", str(error)
    finally:
        run(empty, f"drop database {name} with (force)")


def test_dropping_the_schema_leaves_nothing(empty: Connection) -> None:
    counts = """
        select (select count(*) from pg_class), (select count(*) from pg_proc), (select count(*) from pg_type),
               (select count(*) from pg_trigger), (select count(*) from pg_constraint),
               (select count(*) from pg_namespace), (select count(*) from pg_description),
               (select count(*) from pg_default_acl), (select count(*) from pg_rewrite)
    """
    before = rows(empty, counts)
    install(empty)
    furnish(empty)
    assert rows(empty, counts) != before
    empty.execute("drop schema promptctl cascade")
    assert rows(empty, counts) == before


def test_installing_touches_nothing_outside_its_schema(empty: Connection) -> None:
    outside = """
        select 'pg_class'::regclass, oid, xmin from pg_class
        where relnamespace in ('pg_catalog'::regnamespace, 'public'::regnamespace)
        union all
        select 'pg_proc'::regclass, oid, xmin from pg_proc
        where pronamespace <> coalesce(to_regnamespace('promptctl'), 0)
        union all
        select 'pg_namespace'::regclass, oid, xmin from pg_namespace where nspname <> 'promptctl'
        union all
        select 'pg_database'::regclass, oid, xmin from pg_database where datname = current_database()
        order by 1, 2
    """
    before = rows(empty, outside)
    install(empty)
    assert rows(empty, outside) == before


def test_a_dump_restores_to_the_same(server: Server, empty: Connection, sql: Connection) -> None:
    furnish(sql)
    sql.execute("update promptctl.served set candidate_version = 1, basis_points = 500 where name = 'greeter'")
    sql.execute("select promptctl.roll_up_uses()")
    sql.execute("select promptctl.score_use(promptctl.record_use('greeter', 1, 2), 0.5)")
    sql.execute("insert into promptctl.fallbacks (id, name) values (gen_random_uuid(), 'nobody')")
    dump = output(server, "pg_dump", "-d", server.dsn(sql.info.dbname))
    psql(server, empty.info.dbname, given=dump)
    assert catalog(empty) == catalog(sql)
    for table in (
        "installation",
        "served",
        "versions",
        "releases",
        "allocations",
        "corrections",
        "sources",
        "applied",
        "uses",
        "roll_up",
        "totals",
        "scores",
        "fallbacks",
    ):
        statement = f"select t::text from promptctl.{table} t order by 1"
        assert rows(empty, statement) == rows(sql, statement), table
    install(empty)
    empty.execute("select promptctl.rollback('{greeter}', 1)")
    empty.execute("select promptctl.describe('greeter', 1, '{}')")
    empty.execute("update promptctl.prompts set is_active = true where name = 'idle'")
    assert (active(empty, "greeter"), active(empty, "idle")) == (1, 1)
    assert history(empty, "greeter")[:3] == history(sql, "greeter")
