"""Servers that a test may stop or kill, and clients of their databases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg
import pytest

from promptctl.client import delivery, follower, recorder
from tests.client.support import application_role, with_template
from tests.conftest import SERVERS, Templated
from tests.schema.support import run
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

NEWEST = list(SERVERS)[:1]
NO_SERVER = [pytest.param(None, marks=pytest.mark.skip("no server"))]


@pytest.fixture(scope="session", params=NEWEST or NO_SERVER)
def templated(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """A server of the newest version. A test that stops or kills it starts it again. It keeps what was committed."""
    server = Server.start(SERVERS[request.param], synchronous_commit="local", max_connections=30)
    try:
        yield with_template(server)
    finally:
        server.stop()


_counter = iter(range(1_000_000_000))


@pytest.fixture
def database_name(templated: Templated) -> Iterator[str]:
    """The name of a new database with the schema and a few prompts."""
    name = f"fault_{os.getpid()}_{next(_counter)}"
    with psycopg.connect(templated.server.dsn(), autocommit=True) as connection:
        run(connection, f"create database {name} template {templated.template}")
    yield name
    with psycopg.connect(templated.server.dsn(), autocommit=True) as connection:
        run(connection, f"drop database if exists {name} with (force)")


@pytest.fixture
def empty_database(templated: Templated) -> Iterator[str]:
    """The name of a new database without the schema."""
    name = f"empty_{os.getpid()}_{next(_counter)}"
    with psycopg.connect(templated.server.dsn(), autocommit=True) as connection:
        run(connection, f"create database {name}")
        yield name
        run(connection, f"drop database {name} with (force)")


@pytest.fixture
def application(server: Server, database_name: str) -> Iterator[str]:
    """The name of a login role with the access of an application."""
    with application_role(server.dsn(database_name), f"{database_name}_application") as name:
        yield name


@pytest.fixture
def application_url(server: Server, database_name: str, application: str) -> str:
    """The URL that an application connects to."""
    return server.url(database_name, user=application)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between the attempts of the client's threads."""
    monkeypatch.setattr(follower, "_LONGEST_PAUSE_SECONDS", 0.4)
    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.4)


@pytest.fixture
def short_timeouts(short_pauses: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses, and short timeouts for the answers of a server."""
    monkeypatch.setattr(follower, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(delivery, "_ANSWER_SECONDS", 1.0)
