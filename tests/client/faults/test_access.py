"""An application's role: what it needs, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.client.faults.load import all_recorded, check_each_counted_once, moves
from tests.conftest import Promptctl
from tests.schema.support import refusal, rows, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from promptctl import Prompts
    from tests.servers import Server


@pytest.fixture
def login(server: Server, database_name: str, home: Path) -> str:
    """A role that an administrator gives access by the command line."""
    name = f"{database_name}_login"
    with psycopg.connect(server.dsn(), autocommit=True) as sql:
        run(sql, f"create role {name} login")
    granted = Promptctl(home, DATABASE_URL=server.url(database_name))("db", "grant", name, "--as", "application")
    assert granted.code == 0, granted
    return name


def test_an_application_gets_follows_records_and_scores(
    server: Server, database_name: str, login: str, serve: Callable[..., Prompts]
) -> None:
    client = serve(server.url(database_name, user=login))
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        moves(sql, client, 0.5)
        assert client.get("greeter@1").content == "Be kind, {user.name}."
        with client.get("greeter").use() as use:
            pass
        use.score(0.5)
        client.score(use.id, 0.75)
        with client.get("nobody", default="My own.").use():
            pass
        all_recorded(client)
        check_each_counted_once(sql, [use.id])
        assert rows(sql, "select score from promptctl.scores order by place") == [(0.5,), (0.75,)]
        assert rows(sql, "select name from promptctl.fallbacks") == [("nobody",)]


@pytest.mark.parametrize(
    "statement",
    [
        "select promptctl.activate('{greeter}', '{2}')",
        "select promptctl.rollback('{greeter}')",
        "select promptctl.split('greeter', 1000, 2)",
        "select promptctl.create_version('greeter', 'Mine.')",
        "select promptctl.set_routes('{greeter}', '[null]')",
        "select promptctl.roll_up_uses()",
        "update promptctl.prompts set is_active = true where name = 'greeter' and version = 2",
        "update promptctl.served set active_version = 2",
        "insert into promptctl.versions (name, version, content) values ('greeter', 9, 'Mine.')",
        "insert into promptctl.uses (id, name, version, epoch) values (gen_random_uuid(), 'greeter', 1, 1)",
        "delete from promptctl.uses",
        "truncate promptctl.uses",
    ],
)
def test_an_application_changes_nothing_else(server: Server, database_name: str, login: str, statement: str) -> None:
    with psycopg.connect(server.dsn(database_name, user=login), autocommit=True) as sql:
        assert refusal(sql, statement)[0] == "42501"


@pytest.mark.parametrize(
    "words",
    [["activate", "greeter@2"], ["rollback", "greeter"], ["split", "greeter@2", "10%"], ["create", "greeter", "Mine."]],
    ids=lambda words: words[0],
)
def test_an_application_that_tries_is_told_in_one_line(
    server: Server, database_name: str, login: str, home: Path, words: list[str]
) -> None:
    ended = Promptctl(home, DATABASE_URL=server.url(database_name, user=login))(*words)
    assert ended.code == 5
    error, hint = ended.err.splitlines()
    assert "permission denied" in error
    assert hint.startswith("hint:  ask postgres, the owner of the schema, to run: promptctl db grant ")
    assert hint.endswith(" --as operator")
