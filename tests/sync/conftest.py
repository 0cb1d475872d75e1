"""Fixtures of tests that sync a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Ended, Promptctl
    from tests.repositories import Repository


@pytest.fixture
def sync(promptctl: Promptctl, repository: Repository) -> Callable[..., Ended]:
    """Runs sync on the repository's folder, as a pipeline does."""

    def run(*words: str) -> Ended:
        return promptctl("sync", "repository/prompts", "--author", "pipeline@example.com", *words)

    return run
