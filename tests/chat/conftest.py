"""Fixtures of chat: a prompt with three versions whose replies differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import database_name, templated

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

# pytest finds fixtures by the names in a conftest.
__all__ = ["database_name", "templated"]

CALM, CONCISE, ENTHUSIASTIC = "You are a calm assistant.\n", "You are concise.\n", "You are enthusiastic!\n"


@pytest.fixture
def persona(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> Promptctl:
    """The command line on a database with a prompt `persona` of three versions; version 1 is active."""
    for content in (CALM, CONCISE, ENTHUSIASTIC):
        sql.execute("select promptctl.create_version('persona', %s, author => 'ada@example.com')", [content])
    sql.execute("select promptctl.activate('{persona}', '{1}', 'ada@example.com')")
    return promptctl
