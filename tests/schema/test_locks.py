"""A statement waits three seconds for a prompt that another session has locked, and then reports who holds it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from tests.conftest import ROOT
from tests.schema.support import Statement, add_samples, create, move, run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]


def assert_held_by(error: psycopg.Error | None, prompt: str, *holders: Connection) -> None:
    assert error is not None
    assert (error.sqlstate, error.diag.constraint_name) == ("55P03", "a_prompt_has_one_writer_at_a_time")
    names = [f"postgres ({holder.info.get_parameters()['application_name']}, pid {holder.info.backend_pid})"
             for holder in holders]  # fmt: skip
    assert error.diag.message_primary == f'"{prompt}" is locked by {" and ".join(names)}'


# Each statement waits for a prompt of its own, because a second waiter for a prompt can wait twice as long.
STATEMENTS = {
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
def lock_holders(connect: Connect, sql: Connection) -> list[Connection]:
    """Two sessions in transactions: `api` has moved the first four prompts, `shell` the next three."""
    for name in STATEMENTS:
        if name != "new":
            create(sql, name, 2, activate=1)
    api, shell = (connect(autocommit=False, application_name=name) for name in ("api", "shell"))
    move(api, dict.fromkeys(("activated", "view", "retired", "created"), 2))
    for name in ("rolled", "described", "added"):
        shell.execute("update promptctl.prompts set is_active = true where name = %s and version = 2", [name])
    return [api, shell]


def test_a_statement_that_waits_three_seconds_reports_who_holds_the_prompt(
    connect: Connect, sql: Connection, lock_holders: list[Connection]
) -> None:
    api, shell = lock_holders
    newcomer = connect(autocommit=False, application_name="newcomer")
    newcomer.execute("select promptctl.create_version('new', 'x')")
    start = time.monotonic()
    statements = {name: Statement(connect(), statement) for name, statement in STATEMENTS.items()}
    errors = {name: statement.end() for name, statement in statements.items()}
    assert 2.9 < time.monotonic() - start < 15
    for name in ("activated", "view", "retired", "created"):
        assert_held_by(errors[name], name, api)
    for name in ("rolled", "described", "added"):
        assert_held_by(errors[name], name, shell)
    # The row is not visible yet, so the error can only list the active sessions.
    error = errors["new"]
    assert error is not None
    assert (error.sqlstate, error.diag.constraint_name) == ("55P03", "a_prompt_has_one_writer_at_a_time")
    assert f"(newcomer, pid {newcomer.info.backend_pid})" in (error.diag.message_primary or "")


def test_the_holder_of_a_row_locked_by_plain_sql_is_reported(
    connect: Connect, sql: Connection, lock_holders: list[Connection]
) -> None:
    create(sql, "three", 1)
    psql = connect(autocommit=False, application_name="psql")
    psql.execute("select from promptctl.served where name = 'three' for update")
    statement = Statement(connect(), "select promptctl.activate('{three,rolled}', '{1,1}')")
    error = statement.end()
    assert error is not None
    assert error.diag.message_primary == (
        f'"three", "rolled" is locked by postgres (psql, pid {psql.info.backend_pid}) '
        f"and postgres (shell, pid {lock_holders[1].info.backend_pid})"
    )


def test_scoring_waits_three_seconds_for_another_score_of_the_same_use(connect: Connect, sql: Connection) -> None:
    add_samples(sql)
    use = value(sql, "select promptctl.record_use('greeter', 1, 1)")
    holder = connect(autocommit=False)
    holder.execute("select promptctl.score_use(%s, 1)", [use])
    start = time.monotonic()
    statements = [Statement(connect(), "select promptctl.score_use(%s, %s)", use, score) for score in (1, 2)]
    errors = [statement.end() for statement in statements]
    assert 2.9 < time.monotonic() - start < 15
    assert [error and error.sqlstate for error in errors] == ["55P03", "55P03"]
    holder.rollback()
    assert value(sql, "select promptctl.score_use(%s, 2)", use) is True


def test_a_login_that_may_only_connect_cannot_block_other_sessions(connect: Connect, sql: Connection) -> None:
    add_samples(sql)
    name = f"stranger_{sql.info.backend_pid}"
    run(sql, f"create role {name} login")
    try:
        use = value(sql, "select promptctl.record_use('greeter', 1, 1)")
        with connect(user=name, autocommit=False) as stranger, connect() as other:
            # The locks that earlier versions waited for.
            stranger.execute("select pg_advisory_xact_lock(7021771, hashtext(%s))", [str(use)])
            stranger.execute("select pg_advisory_xact_lock(7021771953286511), pg_advisory_xact_lock(7021771953286512)")
            other.execute("set statement_timeout = '20s'")
            assert value(other, "select promptctl.score_use(%s, 1)", use) is True
            run(other, schema.read_sql())
            assert value(other, "select promptctl.lock_out_other_syncs()") is None
            stranger.rollback()
    finally:
        run(sql, f"drop role {name}")
    # promptctl waits for no advisory lock, because every login of a database may hold any of them. It may try.
    paths = [ROOT / "schema.sql", *(ROOT / "promptctl").rglob("*.py"), *(ROOT / "promptctl").rglob("*.sql")]
    assert [path.name for path in paths if "pg_advisory_" in path.read_text()] == []


def test_a_second_sync_gets_the_name_of_the_session_that_syncs(connect: Connect, sql: Connection) -> None:
    first = connect(autocommit=False, application_name="pipeline")
    assert value(first, "select promptctl.lock_out_other_syncs()") is None
    assert value(sql, "select promptctl.lock_out_other_syncs()") == f"postgres (pipeline, pid {first.info.backend_pid})"
    statement = Statement(connect(), "select promptctl.lock_out_other_syncs(waits => true)")
    statement.wait_until_blocked(sql)
    first.rollback()
    assert statement.end() is None
    assert statement.rows == [(None,)]
