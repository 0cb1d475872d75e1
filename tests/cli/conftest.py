"""Fixtures of the command line: a reused database, with or without the demo's prompts in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.commands import NEWEST, reusable_database, start_server
from tests.conftest import Promptctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Templated
    from tests.servers import Server

# Code that a process runs first: ctypes cannot load a library.
NO_LIBPQ = "import ctypes\ndef fail(*_, **__):\n    raise OSError('none')\nctypes.CDLL = fail"


@pytest.fixture(scope="session", params=NEWEST)
def templated(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """A server of the newest installed version. Modules whose subject differs between versions use every server."""
    yield from start_server(request.param)


@pytest.fixture
def database_name(request: pytest.FixtureRequest, templated: Templated) -> Iterator[str]:
    """The name of a database with our schema, empty unless the test uses `demo`."""
    with reusable_database(request, templated) as name:
        yield name


@pytest.fixture
def demo(promptctl: Promptctl) -> Promptctl:
    """The command line on a database with three prompts, their history, and uses."""
    return promptctl


@pytest.fixture
def promptctl_on(home: Path, server: Server) -> Callable[..., Promptctl]:
    """Return a function that makes the command line for a database and a role, by their names."""

    def choose(name: str, user: str = "postgres") -> Promptctl:
        return Promptctl(home, DATABASE_URL=server.url(name, user=user))

    return choose
