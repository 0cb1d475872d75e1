"""Installing the schema with psql or promptctl, once, again or concurrently, and dropping it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from promptctl.postgres import drivers
from tests.schema.support import (
    Statement,
    active,
    add_samples,
    history,
    refusal_error,
    rows,
    run,
    run_concurrently,
    value,
)
from tests.schema.test_catalog import CATALOG, OBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

    Connection = psycopg.Connection[Any]

SCHEMA = Path(__file__).parents[2] / "schema.sql"


@pytest.fixture
def empty_connection(server: Server, empty_database: str) -> Iterator[Connection]:
    """A connection to a database without the schema."""
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        yield connection


def install(connection: Connection) -> None:
    run(connection, schema.read_sql())


def refusal(connection: Connection) -> tuple[str | None, str | None]:
    """Return the SQLSTATE and the rule with which installing is refused, and end the transaction of the script."""
    try:
        install(connection)
    except psycopg.Error as error:
        connection.execute("rollback")
        return error.sqlstate, error.diag.constraint_name
    raise AssertionError("not refused")


def catalog(connection: Connection) -> list[tuple[Any, ...]]:
    """Return the definitions of the objects of the schema, with their comments and grants."""
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


def output(server: Server, program: str, *arguments: str, standard_input: str = "") -> str:
    """Run one of PostgreSQL's programs, and return its standard output."""
    process = subprocess.run(
        [str(server.programs / program), *arguments],
        input=standard_input.encode(),
        capture_output=True,
        check=False,
        cwd="/",
    )
    assert process.returncode == 0, process.stderr.decode()
    return process.stdout.decode()


def psql(server: Server, database: str, *arguments: str, standard_input: str = "") -> str:
    """Run psql, which stops at an error, and return its standard output."""
    return output(
        server, "psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-d", server.dsn(database), *arguments,
        standard_input=standard_input,
    )  # fmt: skip


def test_psql_and_promptctl_install_the_same_schema(
    server: Server, empty_connection: Connection, sql: Connection
) -> None:
    assert psql(server, empty_connection.info.dbname, "-f", str(SCHEMA)) == ""
    by_psql = catalog(empty_connection)
    empty_connection.execute("drop schema promptctl cascade")
    parameters = dict(part.split("=", 1) for part in server.dsn(empty_connection.info.dbname).split())
    connection = drivers.for_command().connect(parameters)
    try:
        connection.script(schema.read_sql())
    finally:
        connection.close()
    assert catalog(empty_connection) == by_psql == catalog(sql)


def test_installing_again_keeps_prompts_and_history(server: Server, sql: Connection) -> None:
    add_samples(sql)
    before = catalog(sql)
    data = psql(server, sql.info.dbname, "-c", "select * from promptctl.prompts order by name, version")
    history_before = history(sql, "greeter")
    install(sql)
    psql(server, sql.info.dbname, "-f", str(SCHEMA))
    assert catalog(sql) == before
    assert psql(server, sql.info.dbname, "-c", "select * from promptctl.prompts order by name, version") == data
    sql.execute("select promptctl.activate('{greeter}', '{1}')")
    assert history(sql, "greeter") == [*history_before, (3, "activate", 2, 1)]


def test_fifty_concurrent_installations_all_succeed(server: Server, empty_connection: Connection) -> None:
    connections = [psycopg.connect(server.dsn(empty_connection.info.dbname), autocommit=True) for _ in range(50)]
    try:
        assert run_concurrently((connection, schema.read_sql(), []) for connection in connections) == [None] * 50
    finally:
        for connection in connections:
            connection.close()
    assert value(empty_connection, "select count(*) from promptctl.installation") == 1


def test_an_installation_that_waited_sees_the_schema_that_was_committed(
    server: Server, empty_connection: Connection
) -> None:
    database = empty_connection.info.dbname
    run(empty_connection, f"alter database {database} set default_transaction_isolation = 'serializable'")
    dsn = server.dsn(database)
    with psycopg.connect(dsn) as first, psycopg.connect(dsn, autocommit=True) as other:
        first.execute("create schema promptctl")
        second = Statement(other, schema.read_sql())
        second.wait_until_blocked(empty_connection)
        first.execute("create table promptctl.installation (singleton boolean, version integer)")
        first.execute("insert into promptctl.installation values (true, 99)")
        first.commit()
        error = second.end()
    assert error is not None
    assert error.diag.message_primary is not None
    assert "has schema version 99" in error.diag.message_primary


def test_a_schema_of_another_version_is_refused_and_not_changed(sql: Connection) -> None:
    for version in ("version + 1", "version - 2"):
        run(sql, f"update promptctl.installation set version = {version}")
        before = catalog(sql)
        assert refusal(sql) == ("55000", "schema_version_matches")
        assert catalog(sql) == before
    sql.execute("delete from promptctl.installation")
    assert refusal(sql) == ("55000", "schema_version_matches")


def test_a_foreign_schema_named_promptctl_is_refused(empty_connection: Connection) -> None:
    for content in (
        "create table promptctl.theirs ()",
        "create view promptctl.theirs as select 1",
        "create sequence promptctl.theirs",
        "create function promptctl.theirs() returns integer language sql return 1",
        "create type promptctl.theirs as enum ('a')",
        "create domain promptctl.theirs as text",
    ):
        run(empty_connection, f"create schema promptctl; {content}")
        assert refusal(empty_connection) == ("42P06", "schema_belongs_to_promptctl"), content
        assert value(empty_connection, "select to_regclass('promptctl.served')") is None
        empty_connection.execute("drop schema promptctl cascade")


def test_an_empty_schema_named_promptctl_is_used(empty_connection: Connection) -> None:
    empty_connection.execute("create schema promptctl")
    install(empty_connection)
    add_samples(empty_connection)


def test_schema_sql_is_ascii_so_that_any_encoding_can_represent_its_errors() -> None:
    assert SCHEMA.read_bytes().isascii()


def test_a_database_whose_encoding_is_not_utf8_is_refused(server: Server, empty_connection: Connection) -> None:
    name = f"{empty_connection.info.dbname}_latin"
    run(empty_connection, f"create database {name} encoding 'LATIN1' template template0")
    try:
        with psycopg.connect(server.dsn(name), autocommit=True, client_encoding="UTF8") as connection:
            assert refusal(connection) == ("0A000", "database_is_utf8")
            assert value(connection, "select to_regnamespace('promptctl')") is None
    finally:
        run(empty_connection, f"drop database {name} with (force)")


def test_names_that_differ_in_case_are_refused_in_a_turkish_database(
    server: Server, empty_connection: Connection
) -> None:
    # In Turkish, the lower case of I is not i.
    name = f"{empty_connection.info.dbname}_turkish"
    try:
        run(empty_connection, f"create database {name} template template0 locale_provider icu icu_locale 'tr'")
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
                error = refusal_error(connection, statement)
                assert error.diag.constraint_name == "names_differ_in_more_than_case", str(error)
    finally:
        run(empty_connection, f"drop database {name} with (force)")


def test_dropping_the_schema_leaves_nothing_behind(empty_connection: Connection) -> None:
    counts = """
        select (select count(*) from pg_class), (select count(*) from pg_proc), (select count(*) from pg_type),
               (select count(*) from pg_trigger), (select count(*) from pg_constraint),
               (select count(*) from pg_namespace), (select count(*) from pg_description),
               (select count(*) from pg_default_acl), (select count(*) from pg_rewrite)
    """
    before = rows(empty_connection, counts)
    install(empty_connection)
    add_samples(empty_connection)
    assert rows(empty_connection, counts) != before
    empty_connection.execute("drop schema promptctl cascade")
    assert rows(empty_connection, counts) == before


def test_installing_changes_nothing_outside_its_schema(empty_connection: Connection) -> None:
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
    before = rows(empty_connection, outside)
    install(empty_connection)
    assert rows(empty_connection, outside) == before


def test_a_restored_dump_equals_the_original_and_can_be_changed(
    server: Server, empty_connection: Connection, sql: Connection
) -> None:
    add_samples(sql)
    sql.execute("update promptctl.served set candidate_version = 1, basis_points = 500 where name = 'greeter'")
    sql.execute("select promptctl.roll_up_uses()")
    sql.execute("select promptctl.score_use(promptctl.record_use('greeter', 1, 2), 0.5)")
    sql.execute("insert into promptctl.fallbacks (id, name) values (gen_random_uuid(), 'nobody')")
    dump = output(server, "pg_dump", "-d", server.dsn(sql.info.dbname))
    psql(server, empty_connection.info.dbname, standard_input=dump)
    assert catalog(empty_connection) == catalog(sql)
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
        "rollouts",
        "rollout_events",
        "rollout_looks",
        "rollout_ticks",
    ):
        statement = f"select t::text from promptctl.{table} t order by 1"
        assert rows(empty_connection, statement) == rows(sql, statement), table
    install(empty_connection)
    empty_connection.execute("select promptctl.rollback('{greeter}', 1)")
    empty_connection.execute("select promptctl.describe('greeter', 1, '{}')")
    empty_connection.execute("update promptctl.prompts set is_active = true where name = 'idle'")
    assert (active(empty_connection, "greeter"), active(empty_connection, "idle")) == (1, 1)
    assert history(empty_connection, "greeter")[:3] == history(sql, "greeter")
