"""Databases for tests of commands, and checks of how a command fails; for tests/cli and tests/chat."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from tests.conftest import SERVERS, Ended, Templated, copied_database
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

NEWEST: list[Any] = list(SERVERS)[:1] or [pytest.param(None, marks=pytest.mark.skip("no server"))]

CLEAR = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid();
set session_replication_role = replica;
do $$
declare
    place regclass;
begin
    for place in
        select oid from pg_class
        where relnamespace = 'promptctl'::regnamespace and relkind = 'r' and relname not in ('installation', 'roll_up')
    loop
        -- TRUNCATE makes new files for a table and its indexes, which takes longer than to delete a few rows.
        execute format(case when pg_relation_size(place) < 500000 then 'delete from %s' else 'truncate %s cascade' end,
                       place);
    end loop;
    for place in select oid from pg_class where relnamespace = 'promptctl'::regnamespace and relkind = 'S' loop
        execute format('alter sequence %s restart', place);
    end loop;
end
$$;
update promptctl.roll_up set rolled_below = 0, dropped_before = null, rolled_up_at = null;
"""
# Three prompts: one that was moved and rolled back, one that was never activated, one with a split. Times are far
# enough in the past that ages are printed the same during the hour that a test may take.
FILL = """
select promptctl.create_version('default-system-prompt', E'You are a helpful assistant.\\n', '{}',
                                '{"description": "Original"}', 'ada@example.com');
select promptctl.create_version('default-system-prompt', E'You are a concise assistant.\\n', '{}',
                                '{"description": "More concise", "experiment": "conciseness_test"}', 'ada@example.com');
select promptctl.create_version('default-system-prompt', E'You are an enthusiastic assistant!\\n', '{}',
                                '{"description": "Enthusiastic"}', 'bob@example.com');
select promptctl.create_version('code_helper', 'You help with {language} code: {"a": 1}', '{}', '{}', 'ci@example.com');
select promptctl.create_version('support/triage', E'Sort tickets.\\n', '{}', '{}', 'ci@example.com');
select promptctl.create_version('support/triage', E'Sort tickets by urgency.\\n', '{}', '{}', 'ci@example.com');
select promptctl.activate('{default-system-prompt}', '{1}', 'ada@example.com', null);
select promptctl.activate('{default-system-prompt}', '{2}', 'ada@example.com', null);
select promptctl.activate('{default-system-prompt,support/triage}', '{3,1}', 'ci@example.com', 'sync 9f3c2ab');
select promptctl.rollback('{default-system-prompt}', null, null, 'bob@example.com', 'too chatty, INC-412');
update promptctl.served set candidate_version = 2, basis_points = 2500 where name = 'support/triage';
select promptctl.record_use('default-system-prompt', 2, 2, 300, 150, 1100);
select promptctl.record_use('default-system-prompt', 2, 2, 350, 100, 1300);
select promptctl.record_use('default-system-prompt', 2, 2, outcome => 'overloaded_error');
select promptctl.record_use('default-system-prompt', 3, 3, 400, 121, 1350.5);
set session_replication_role = replica;
update promptctl.versions set created_at = '2026-01-03 09:30:00+00';
update promptctl.versions set created_at = now() - interval '2 days 1 hour' where version = 3;
update promptctl.served set created_at = '2026-01-03 09:30:00+00', updated_at = now() - interval '2 hours 1 minute';
update promptctl.allocations set changed_at = '2026-01-03 09:30:00+00'::timestamptz + epoch * interval '1 minute';
update promptctl.allocations set changed_at = now() - interval '2 hours 1 minute' where kind = 'rollback';
update promptctl.uses set recorded_at = now() - interval '3 hours 1 minute';
reset session_replication_role;
"""

HINT = re.compile(r"hint: {2}\S.*\n")


def start_server(version: str) -> Iterator[Templated]:
    """Yield a server with a template database and one database that all tests of this process reuse."""
    server = Server.start(SERVERS[version])
    try:
        name = f"template_{os.getpid()}"
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            connection.execute(schema.read_sql().encode())
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {_reused_name()} template {name}".encode())
            connection.execute("create role app login")
        yield Templated(server, name)
    finally:
        server.stop()


@pytest.fixture(scope="session", params=NEWEST)
def templated(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """A server of the newest installed version. Modules whose subject differs between versions use every server."""
    yield from start_server(request.param)


@pytest.fixture
def database_name(request: pytest.FixtureRequest, templated: Templated) -> Iterator[str]:
    """The name of a database with our schema, empty unless the test uses `demo`."""
    with reusable_database(request, templated) as name:
        yield name


@contextlib.contextmanager
def reusable_database(request: pytest.FixtureRequest, templated: Templated) -> Generator[str]:
    """Yield the name of a database with our schema: one that is cleared before each test.

    A copy of the template takes ten times as long; a test that uses `separate_database` gets one. A test that uses
    `demo` gets prompts, history and uses.
    """
    separate = "separate_database" in request.fixturenames
    database = (
        copied_database(templated.server, templated.template) if separate else contextlib.nullcontext(_reused_name())
    )
    with database as name:
        (fill if "demo" in request.fixturenames else clear)(templated.server.dsn(name))
        yield name


def _reused_name() -> str:
    return f"test_{os.getpid()}_999999999"


def clear(dsn: str) -> None:
    """Delete everything from the tables of a database, and end other connections to it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(CLEAR)


def fill(dsn: str) -> None:
    """Replace the content of a database with the demo's prompts, their history and their uses."""
    global _demo
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(CLEAR)
        if _demo is not None and time.monotonic() - _demo.filled_at < _DEMO_SECONDS:
            connection.execute(_demo.sql.encode())
            return
        connection.execute("reset session_replication_role")
        connection.execute(FILL)
        _demo = _Demo(_statements(connection), time.monotonic())


@dataclass(frozen=True)
class _Demo:
    """SQL that inserts the rows that FILL has made, in a fourth of the time, and when they were made."""

    sql: str
    filled_at: float


_demo: _Demo | None = None
# Ages of the rows are printed the same for an hour.
_DEMO_SECONDS = 1800.0


def _statements(connection: psycopg.Connection[Any]) -> str:
    """Return statements that insert all rows of a database into empty tables without triggers."""
    statements: list[str] = []
    tables = connection.execute("""
        select c.relname, string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'promptctl'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
          and a.attgenerated = '' and c.relname not in ('installation', 'roll_up')
        group by c.relname
    """)
    for table, columns in tables.fetchall():
        rows = f"select quote_literal(json_agg(t)::text) from (select {columns} from promptctl.{table}) t"
        [literal] = connection.execute(rows.encode()).fetchone() or [None]
        if literal is not None:
            statements.append(
                f"insert into promptctl.{table} ({columns}) overriding system value"
                f" select {columns} from json_populate_recordset(null::promptctl.{table}, {literal})"
            )
    sequences = connection.execute("""
        select quote_literal(format('%I.%I', schemaname, sequencename)), last_value from pg_sequences
        where schemaname = 'promptctl' and last_value is not null
    """)
    statements += [f"select setval({name}, {last})" for name, last in sequences.fetchall()]
    return ";\n".join(statements)


def check_failure(ended: Ended, code: int) -> Ended:
    """Check that a command failed with nothing on stdout, one line of error and at most one hint; return its result."""
    assert ended.code == code, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    error, _, hint = ended.err.partition("\n")
    assert error.startswith("error: "), ended.err
    assert not hint or HINT.fullmatch(hint), ended.err
    return ended


def check_json_failure(ended: Ended, code: int) -> dict[str, Any]:
    """Check that a command with --json failed with one JSON document on stderr; return its error."""
    assert ended.code == code, ended
    assert ended.out == ""
    assert ended.err.count("\n") == 1, ended.err
    document = json.loads(ended.err)
    assert list(document) == ["error"]
    assert list(document["error"]) == ["code", "message", "hint"]
    return document["error"]
