"""Servers of the tests' own, which they may kill, and an application's client on a database of one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg
import pytest

from promptctl import database as promptctl_database
from promptctl.client import follower, recorder
from tests.client.support import FILLED
from tests.conftest import SERVERS, Templated
from tests.schema.support import run
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

NEWEST = list(SERVERS)[:1]
NO_SERVER = [pytest.param(None, marks=pytest.mark.skip("no server"))]


def with_template(server: Server) -> Templated:
    """A server with a database to copy from: the schema, and prompts."""
    name = f"template_{os.getpid()}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        run(connection, f"create database {name}")
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        run(connection, promptctl_database.schema_sql())
        run(connection, FILLED)
    return Templated(server, name)


@pytest.fixture(scope="session", params=NEWEST or NO_SERVER)
def templated(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """A server of the newest version that a test may stop or kill, if it starts it again; commits are kept."""
    server = Server.start(SERVERS[request.param], synchronous_commit="local", max_connections=30)
    try:
        yield with_template(server)
    finally:
        server.stop()


_counter = iter(range(1_000_000_000))


@pytest.fixture
def database_name(templated: Templated) -> Iterator[str]:
    """The name of a new database with our schema and prompts."""
    name = f"fault_{os.getpid()}_{next(_counter)}"
    with psycopg.connect(templated.server.dsn(), autocommit=True) as connection:
        run(connection, f"create database {name} template {templated.template}")
    yield name
    with psycopg.connect(templated.server.dsn(), autocommit=True) as connection:
        run(connection, f"drop database if exists {name} with (force)")


@pytest.fixture
def empty_database(templated: Templated) -> Iterator[str]:
    """The name of a new database without our schema."""
    name = f"empty_{os.getpid()}_{next(_counter)}"
    with psycopg.connect(templated.server.dsn(), autocommit=True) as connection:
        run(connection, f"create database {name}")
        yield name
        run(connection, f"drop database {name} with (force)")


@pytest.fixture
def application(server: Server, database_name: str) -> Iterator[str]:
    """The name of a login role that may do what an application may."""
    name = f"{database_name}_application"
    with psycopg.connect(server.dsn(database_name), autocommit=True) as connection:
        run(connection, f"create role {name} login")
        run(connection, "select promptctl.grant_access(%s, 'application')", [name])
    yield name
    with psycopg.connect(server.dsn(database_name), autocommit=True) as connection:
        run(connection, f"drop owned by {name} cascade")
        run(connection, f"drop role {name}")


@pytest.fixture
def application_url(server: Server, database_name: str, application: str) -> str:
    """The URL by which an application connects."""
    return server.url(database_name, user=application)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that rest no longer between their attempts than a test has time."""
    monkeypatch.setattr(follower, "_LONGEST_PAUSE_SECONDS", 0.4)
    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.4)


@pytest.fixture
def unanswered(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that soon take a server for lost which does not answer."""
    monkeypatch.setattr(follower, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(recorder, "_ANSWER_SECONDS", 1.0)
