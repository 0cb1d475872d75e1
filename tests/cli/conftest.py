"""Fixtures of the command line: a reused database, with or without the demo's prompts in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.commands import database_name, templated
from tests.conftest import Promptctl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Server

# pytest finds fixtures by the names in a conftest.
__all__ = ["database_name", "templated"]

# Code that a process runs first: ctypes cannot load a library.
NO_LIBPQ = "import ctypes\ndef fail(*_, **__):\n    raise OSError('none')\nctypes.CDLL = fail"


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
