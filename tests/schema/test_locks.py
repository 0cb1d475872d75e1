"""A prompt that another session holds: three seconds, then a refusal that says who. Each of these takes that long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import Statement, create, move

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]


def assert_held_by(error: psycopg.Error | None, prompt: str, *holders: Connection) -> None:
    assert error is not None
    assert (error.sqlstate, error.diag.constraint_name) == ("55P03", "a_prompt_is_changed_by_one_at_a_time")
    names = [f"postgres ({holder.info.get_parameters()['application_name']}, pid {holder.info.backend_pid})"
             for holder in holders]  # fmt: skip
    assert error.diag.message_primary == f'"{prompt}" is held by {" and ".join(names)}'


# Each waits for a prompt of its own: whoever queues behind one that waits can wait twice as long.
WAITING = {
    "activated": "select promptctl.activate('{activated}', '{2}')",
    "view": "update promptctl.prompts set is_active = true where name = 'view' and version = 1",
    "retired": "select promptctl.retire('retired', 1)",
    "created": "select promptctl.create_version('created', 'x')",
    "rolled": "select promptctl.rollback('{rolled}')",
    "described": "select promptctl.describe('described', 1, '{}')",
    "added": """select promptctl.add_versions('[{"name": "added", "version": 9, "content": "x"}]')""",
    "new": "select promptctl.create_version('new', 'x')",
}


@pytest.fixture
def held(connect: Connect, sql: Connection) -> list[Connection]:
    """Two sessions in transactions: `api` has moved the first four prompts, `shell` the next three."""
    for name in WAITING:
        if name != "new":
            create(sql, name, 2, activate=1)
    api, shell = (connect(autocommit=False, application_name=name) for name in ("api", "shell"))
    move(api, dict.fromkeys(("activated", "view", "retired", "created"), 2))
    for name in ("rolled", "described", "added"):
        shell.execute("update promptctl.prompts set is_active = true where name = %s and version = 2", [name])
    return [api, shell]


def test_whoever_waits_three_seconds_is_told_who_holds_the_prompt(
    connect: Connect, sql: Connection, held: list[Connection]
) -> None:
    api, shell = held
    newcomer = connect(autocommit=False, application_name="newcomer")
    newcomer.execute("select promptctl.create_version('new', 'x')")
    begun = time.monotonic()
    statements = {name: Statement(connect(), statement) for name, statement in WAITING.items()}
    errors = {name: statement.end() for name, statement in statements.items()}
    assert 2.9 < time.monotonic() - begun < 15
    for name in ("activated", "view", "retired", "created"):
        assert_held_by(errors[name], name, api)
    for name in ("rolled", "described", "added"):
        assert_held_by(errors[name], name, shell)
    # A row that is not to be seen yet: all that can be said is who is at work.
    error = errors["new"]
    assert error is not None
    assert (error.sqlstate, error.diag.constraint_name) == ("55P03", "a_prompt_is_changed_by_one_at_a_time")
    assert f"(newcomer, pid {newcomer.info.backend_pid})" in (error.diag.message_primary or "")


def test_a_row_that_was_locked_by_hand_names_its_holder_too(
    connect: Connect, sql: Connection, held: list[Connection]
) -> None:
    create(sql, "three", 1)
    by_hand = connect(autocommit=False, application_name="psql")
    by_hand.execute("select from promptctl.served where name = 'three' for update")
    waiting = Statement(connect(), "select promptctl.activate('{three,rolled}', '{1,1}')")
    error = waiting.end()
    assert error is not None
    assert error.diag.message_primary == (
        f'"three", "rolled" is held by postgres (psql, pid {by_hand.info.backend_pid}) '
        f"and postgres (shell, pid {held[1].info.backend_pid})"
    )
