"""Applications on a database of their own, which has a few prompts."""

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
    """A server of the newest version: what differs between versions, the modules test that ask for every server."""
    server = Server.start(SERVERS[request.param], max_connections=200)
    try:
        yield with_template(server)
    finally:
        server.stop()


@pytest.fixture
def serve(database_url: str, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Prompts]]:
    """Makes clients, by default of this test's database, which are closed at the end of the test."""
    caplog.set_level(logging.INFO, "promptctl")
    opened: list[Prompts] = []

    def make(url: str | None = None, **options: Any) -> Prompts:
        settings: Any = {"flush_seconds": 0.02, "timeout_seconds": 20.0} | options
        opened.append(Prompts(url or database_url, **settings))
        return opened[-1]

    yield make
    for client in opened:
        client.close(0.1)


@pytest.fixture
def prompts(serve: Callable[..., Prompts]) -> Prompts:
    """A client of this test's database."""
    return serve()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], int]:
    """Counts the lines of the log that contain these words."""
    return lambda words: sum(words in record.getMessage() for record in caplog.records)


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    """Another way to the server, on which all is heard."""
    with Wire(server.socket_directory / ".s.PGSQL.5432") as wire:
        yield wire


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a database at whose port nobody listens."""
    with socket.socket() as kept:
        # Bound and not listening: nobody else gets it.
        kept.bind(("127.0.0.1", 0))
        yield f"postgresql://postgres@127.0.0.1:{kept.getsockname()[1]}/nothing"


@pytest.fixture
def env(home: Path, database_url: str) -> dict[str, str]:
    """The environment of an application, which is on this test's database."""
    # From 3.12 on Python warns of every fork beside threads; the client's are made for it.
    return environment(home, DATABASE_URL=database_url, PYTHONWARNINGS="ignore:This process:DeprecationWarning")
