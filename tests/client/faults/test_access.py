"""A role with the access of an application can get and record, and change nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.client.faults.load import activate_other_version, check_recorded_once, wait_until_recorded
from tests.conftest import Promptctl
from tests.schema.support import refusal, rows, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from promptctl import Prompts
    from tests.servers import Server


@pytest.fixture
def login(server: Server, database_name: str, home: Path) -> str:
    """A role to which `db grant` has granted the access of an application."""
    name = f"{database_name}_login"
    with psycopg.connect(server.dsn(), autocommit=True) as sql:
        run(sql, f"create role {name} login")
    granted = Promptctl(home, DATABASE_URL=server.url(database_name))("db", "grant", name, "--as", "application")
    assert granted.code == 0, granted
    return name


def test_an_application_role_can_get_follow_record_and_score(
    server: Server, database_name: str, login: str, make_client: Callable[..., Prompts]
) -> None:
    client = make_client(server.url(database_name, user=login))
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        activate_other_version(sql, client, 0.5)
        assert client.get("greeter@1").content == "Be kind, {user.name}."
        with client.get("greeter").use() as use:
            pass
        use.score(0.5)
        client.score(use.id, 0.75)
        with client.get("nobody", default="My own.").use():
            pass
        wait_until_recorded(client)
        check_recorded_once(sql, [use.id])
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
def test_an_application_role_is_denied_every_other_change(
    server: Server, database_name: str, login: str, statement: str
) -> None:
    with psycopg.connect(server.dsn(database_name, user=login), autocommit=True) as sql:
        assert refusal(sql, statement)[0] == "42501"


@pytest.mark.parametrize(
    "words",
    [["activate", "greeter@2"], ["rollback", "greeter"], ["split", "greeter@2", "10%"], ["create", "greeter", "Mine."]],
    ids=lambda words: words[0],
)
def test_a_denied_command_reports_one_line_and_a_hint(
    server: Server, database_name: str, login: str, home: Path, words: list[str]
) -> None:
    result = Promptctl(home, DATABASE_URL=server.url(database_name, user=login))(*words)
    assert result.code == 5
    error, hint = result.err.splitlines()
    assert "permission denied" in error
    assert hint.startswith("hint:  ask postgres, the owner of the schema, to run: promptctl db grant ")
    assert hint.endswith(" --as operator")
