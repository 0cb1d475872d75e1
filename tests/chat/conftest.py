"""Fixtures of chat: a prompt with three versions whose replies differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import NEWEST, reusable_database, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.conftest import Promptctl, Templated

CALM, CONCISE, ENTHUSIASTIC = "You are a calm assistant.\n", "You are concise.\n", "You are enthusiastic!\n"


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
def persona(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> Promptctl:
    """The command line on a database with a prompt `persona` of three versions; version 1 is active."""
    for content in (CALM, CONCISE, ENTHUSIASTIC):
        sql.execute("select promptctl.create_version('persona', %s, author => 'ada@example.com')", [content])
    sql.execute("select promptctl.activate('{persona}', '{1}', 'ada@example.com')")
    return promptctl
