"""Fixtures of tests that sync a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.commands import database_name, start_server
from tests.conftest import SERVERS, Templated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Ended, Promptctl
    from tests.repositories import Repository

# pytest finds fixtures by the names in a conftest.
__all__ = ["database_name"]


@pytest.fixture(scope="session", params=list(SERVERS) or [pytest.param(None, marks=pytest.mark.skip("no server"))])
def templated(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """A server of each version, with a database that the tests of this process reuse."""
    yield from start_server(request.param)


@pytest.fixture
def sync(promptctl: Promptctl, repository: Repository) -> Callable[..., Ended]:
    """Runs sync on the repository's folder, as a pipeline does."""

    def run(*words: str) -> Ended:
        return promptctl("sync", "repository/prompts", "--author", "pipeline@example.com", *words)

    return run
