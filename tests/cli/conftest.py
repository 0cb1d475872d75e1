"""The command line as its users meet it: processes, terminals, a database with something in it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from tests.conftest import SERVERS, Ended, Promptctl, Templated
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

# Run before a command: ctypes can load no library.
NO_LIBPQ = "import ctypes\ndef none(*_, **__):\n    raise OSError('none')\nctypes.CDLL = none"
# Three prompts as a team would have them: one moved and rolled back, one never activated, one with a split. Times lie
# far enough back to read the same for the hour that a test may take.
EMPTIED = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid();
set session_replication_role = replica;
truncate promptctl.served, promptctl.versions, promptctl.allocations, promptctl.corrections, promptctl.applied,
         promptctl.sources, promptctl.releases, promptctl.uses, promptctl.totals, promptctl.scores, promptctl.fallbacks
    restart identity;
update promptctl.roll_up set rolled_below = 0, dropped_before = null, rolled_up_at = null;
reset session_replication_role;
"""
FILLED = """
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


@pytest.fixture(scope="session", params=list(SERVERS)[:1] or [pytest.param(None, marks=pytest.mark.skip("no server"))])
def templated(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """A server of the newest version: what differs between versions, the modules test that ask for every server."""
    yield from serving(request.param)


def serving(version: str) -> Iterator[Templated]:
    """A server with a database to copy from, and one that test after test uses."""
    server = Server.start(SERVERS[version])
    try:
        name = f"template_{os.getpid()}"
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            connection.execute(schema.read_sql().encode())
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {_shared()} template {name}".encode())
            connection.execute("create role app login")
        yield Templated(server, name)
    finally:
        server.stop()


def _shared() -> str:
    return f"test_{os.getpid()}_999999999"


def empty(dsn: str) -> None:
    """Take everything out of a database, and out of the hands of whoever is still at work in it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(EMPTIED)


def fill(dsn: str) -> None:
    """Put the prompts, their history and their uses into a database in place of whatever it holds."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(EMPTIED)
        connection.execute(FILLED)


@pytest.fixture
def own_database() -> None:
    """For a test that changes more of its database than what is in the tables."""


@pytest.fixture
def database_name(request: pytest.FixtureRequest, templated: Templated) -> Iterator[str]:
    """The name of a database with our schema; with prompts in it for a test that uses `filled`.

    Emptied and not made anew, which takes ten times as long, unless the test asks for `own_database`.
    """
    own = "own_database" in request.fixturenames
    with copied(templated.server, templated.template) if own else contextlib.nullcontext(_shared()) as name:
        (fill if "filled" in request.fixturenames else empty)(templated.server.dsn(name))
        yield name


@contextlib.contextmanager
def copied(server: Server, template: str) -> Generator[str]:
    """The name of a new database that is a copy of another."""
    name = f"test_{os.getpid()}_{next(_counter)}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}".encode())
        yield name
        connection.execute(f"drop database if exists {name} with (force)".encode())


_counter = itertools.count(500_000_000)


@pytest.fixture
def filled(promptctl: Promptctl) -> Promptctl:
    """The command line on a database with three prompts, their history, and uses."""
    return promptctl


@pytest.fixture
def on(home: Path, server: Server) -> Callable[..., Promptctl]:
    """The command line on a database of this name, as this role."""

    def choose(name: str, user: str = "postgres") -> Promptctl:
        return Promptctl(home, DATABASE_URL=server.url(name, user=user))

    return choose


def refused(ended: Ended, code: int) -> Ended:
    """Check that a command failed as every failure looks: nothing answered, one line of error, at most one of hint."""
    assert ended.code == code, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    error, _, hint = ended.err.partition("\n")
    assert error.startswith("error: "), ended.err
    assert not hint or HINT.fullmatch(hint), ended.err
    return ended


def refused_in_json(ended: Ended, code: int) -> dict[str, Any]:
    """Check that a command with --json failed as every failure looks, and return what it says of itself."""
    assert ended.code == code, ended
    assert ended.out == ""
    assert ended.err.count("\n") == 1, ended.err
    document = json.loads(ended.err)
    assert list(document) == ["error"]
    assert list(document["error"]) == ["code", "message", "hint"]
    return document["error"]


@pytest.fixture
def sabotaged(tmp_path: Path) -> Callable[[str], dict[str, str | None]]:
    """Returns the environment of a process in which this Python runs before ours: a fault that no user can make."""

    def plant(code: str) -> dict[str, str | None]:
        folder = tmp_path / "sabotage"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
        return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)}

    return plant
