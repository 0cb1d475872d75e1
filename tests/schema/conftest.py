"""A furnished database for tests that change nothing for good."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import furnish, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Templated


@pytest.fixture(scope="session")
def furnished_database(templated: Templated) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the one furnished database of this worker."""
    name = f"furnished_{os.getpid()}"
    with psycopg.connect(templated.server.dsn(), autocommit=True) as administrator:
        run(administrator, f"create database {name} template {templated.template}")
        try:
            with psycopg.connect(templated.server.dsn(name), autocommit=True) as connection:
                furnish(connection)
                connection.execute("set search_path = promptctl")
                yield connection
        finally:
            run(administrator, f"drop database {name} with (force)")


@pytest.fixture
def furnished(furnished_database: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a furnished database, in a transaction that is rolled back after the test."""
    with furnished_database.transaction(force_rollback=True):
        yield furnished_database
