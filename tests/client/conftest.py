"""Clients of a database that has a few prompts."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import Prompts
from tests.client.support import with_template
from tests.client.wire import Wire
from tests.conftest import SERVERS, Templated, environment
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session", params=list(SERVERS)[:1] or [pytest.param(None, marks=pytest.mark.skip("no server"))])
def templated(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """A server of the newest version. A module that tests every version parametrizes this fixture."""
    server = Server.start(SERVERS[request.param], max_connections=200)
    try:
        yield with_template(server)
    finally:
        server.stop()


@pytest.fixture
def make_client(database_url: str, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Prompts]]:
    """Return a function that creates a client, by default of this test's database, and close it after the test."""
    caplog.set_level(logging.INFO, "promptctl")
    clients: list[Prompts] = []

    def make(url: str | None = None, **options: Any) -> Prompts:
        settings: Any = {"flush_seconds": 0.02, "timeout_seconds": 20.0} | options
        clients.append(Prompts(url or database_url, **settings))
        return clients[-1]

    yield make
    for client in clients:
        client.close(0.1)


@pytest.fixture
def prompts(make_client: Callable[..., Prompts]) -> Prompts:
    """A client of this test's database."""
    return make_client()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], int]:
    """Return a function that counts the lines of the log that contain a text."""
    return lambda text: sum(text in record.getMessage() for record in caplog.records)


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    """A proxy that records the traffic of the server."""
    with Wire(server.socket_directory / ".s.PGSQL.5432") as wire:
        yield wire


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """The URL of a database on a port that refuses connections."""
    with socket.socket() as bound:
        # A bound port does not listen, and no other process gets it.
        bound.bind(("127.0.0.1", 0))
        yield f"postgresql://postgres@127.0.0.1:{bound.getsockname()[1]}/nothing"


@pytest.fixture
def env(home: Path, database_url: str) -> dict[str, str]:
    """The environment of an application that uses this test's database."""
    # From 3.12 on Python warns of every fork of a process that has threads. The client's threads support forks.
    return environment(home, DATABASE_URL=database_url, PYTHONWARNINGS="ignore:This process:DeprecationWarning")
