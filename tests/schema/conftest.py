"""A database with sample prompts, for tests whose changes are rolled back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import add_samples, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Templated


@pytest.fixture(scope="session")
def sample_database(templated: Templated) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the database with sample prompts that the tests of one worker share."""
    name = f"samples_{os.getpid()}"
    with psycopg.connect(templated.server.dsn(), autocommit=True) as administrator:
        run(administrator, f"create database {name} template {templated.template}")
        try:
            with psycopg.connect(templated.server.dsn(name), autocommit=True) as connection:
                add_samples(connection)
                connection.execute("set search_path = promptctl")
                yield connection
        finally:
            run(administrator, f"drop database {name} with (force)")


@pytest.fixture
def database(sample_database: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with sample prompts, in a transaction that is rolled back after the test."""
    with sample_database.transaction(force_rollback=True):
        yield sample_database
