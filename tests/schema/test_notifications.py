"""The notifications of changes, and the authors that the history records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import add_samples, create, move, refusal, rows, run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]

AUTHORS = "select author, reason, release, database_user from promptctl.allocations where name = %s order by epoch desc"


class Listener:
    """A session that listens for notifications."""

    def __init__(self, connection: Connection, sender: Connection) -> None:
        self._connection = connection
        self._sender = sender
        connection.execute("listen promptctl")

    def new_payloads(self) -> list[Any]:
        """Return the payloads of the notifications since the last call."""
        self._sender.execute("select pg_notify('promptctl', '0')")
        payloads: list[Any] = []
        while 0 not in payloads:
            payloads += [json.loads(notify.payload) for notify in self._connection.notifies(timeout=10, stop_after=1)]
        return payloads[:-1]


@pytest.fixture
def listener(connect: Callable[..., Connection], sql: Connection) -> Listener:
    """A session that listens from now on, in a database with sample prompts."""
    add_samples(sql)
    return Listener(connect(), connect())


def test_a_change_is_notified_with_name_and_epoch(sql: Connection, listener: Listener) -> None:
    move(sql, {"greeter": 1})
    assert listener.new_payloads() == [{"name": "greeter", "epoch": 3}]


def test_deactivating_archiving_restoring_and_erasing_are_notified(sql: Connection, listener: Listener) -> None:
    sql.execute("select promptctl.deactivate('{greeter}'); select promptctl.archive('{greeter}', '{null}')")
    sql.execute("select promptctl.archive('{greeter}', '{null}', true)")
    sql.execute("select promptctl.erase('greeter', 1, 'ada', 'a key in it')")
    assert listener.new_payloads() == [
        *({"name": "greeter", "epoch": epoch} for epoch in (3, 4, 5)),
        {"erased": "greeter@1"},
    ]


def test_changes_that_do_not_affect_serving_are_not_notified(sql: Connection, listener: Listener) -> None:
    move(sql, {"greeter": 2})
    sql.execute("select promptctl.create_version('greeter', 'new')")
    sql.execute("select promptctl.describe('greeter', 1, '{}'), promptctl.retire('greeter', 1)")
    sql.execute("select promptctl.rollback('{greeter}', 2)")
    sql.execute("select promptctl.record_use('greeter', 2, 2)")
    sql.execute("update promptctl.served set updated_at = now()")
    assert listener.new_payloads() == []


def test_a_change_that_is_rolled_back_is_not_notified(sql: Connection, listener: Listener) -> None:
    with sql.transaction(force_rollback=True):
        move(sql, {"greeter": 1})
    assert refusal(sql, "select promptctl.activate('{greeter,idle}', '{1,99}')")[1] == "version_exists"
    assert listener.new_payloads() == []


def test_each_changed_prompt_of_a_release_is_notified(sql: Connection, listener: Listener) -> None:
    move(sql, {"other": 1, "greeter": 1, "idle": 1})
    assert sorted(listener.new_payloads(), key=str) == [{"name": "greeter", "epoch": 3}, {"name": "idle", "epoch": 1}]


@pytest.mark.parametrize("count", [100, 101])
def test_a_release_of_more_than_100_prompts_is_notified_once(sql: Connection, listener: Listener, count: int) -> None:
    names = [f"many/{number}" for number in range(count)]
    versions = [{"name": name, "version": version, "content": "x"} for name in names for version in (1, 2)]
    sql.execute("select promptctl.add_versions(%s)", [json.dumps(versions)])
    move(sql, dict.fromkeys(names, 1))
    first = listener.new_payloads()
    move(sql, dict.fromkeys(names, 2))
    second = listener.new_payloads()
    sql.execute("select promptctl.rollback(%s)", [names])
    third = listener.new_payloads()
    if count == 100:
        assert sorted(first, key=str) == sorted(({"name": name, "epoch": 1} for name in names), key=str)
        assert (len(second), len(third)) == (100, 100)
    else:
        releases = rows(sql, "select release from promptctl.releases order by release desc limit 3")
        assert [third, second, first] == [[{"release": release}] for (release,) in releases]


def test_many_moves_without_a_release_are_notified_one_by_one(sql: Connection, listener: Listener) -> None:
    names = [f"many/{number}" for number in range(101)]
    versions = [{"name": name, "version": 1, "content": "x"} for name in names]
    sql.execute("select promptctl.add_versions(%s)", [json.dumps(versions)])
    sql.execute("update promptctl.served set active_version = 1 where name like 'many/%'")
    assert len(listener.new_payloads()) == 101


def test_changes_by_plain_sql_have_the_session_user_as_author(database: Connection) -> None:
    database.execute("update promptctl.prompts set is_active = true where name = 'greeter' and version = 1")
    assert rows(database, AUTHORS, "greeter")[0] == ("postgres", None, None, "postgres")


def test_plain_sql_can_set_author_and_reason(database: Connection) -> None:
    with database.transaction():
        database.execute("select set_config('promptctl.author', 'ada', true)")
        database.execute("select set_config('promptctl.reason', 'because', true)")
        database.execute("update promptctl.prompts set is_active = true where name = 'greeter' and version = 1")
        database.execute("insert into promptctl.prompts (name, content) values ('greeter', 'signed')")
        database.execute("update promptctl.versions set metadata = '{}' where name = 'greeter' and version = 1")
    assert rows(database, AUTHORS, "greeter")[0] == ("ada", "because", None, "postgres")
    assert value(database, "select created_by from promptctl.prompts where content = 'signed'") == "ada"
    corrections = rows(
        database, "select author, reason, database_user from promptctl.corrections order by id desc limit 1"
    )
    assert corrections == [("ada", "because", "postgres")]


def test_arguments_of_functions_override_author_and_reason_of_the_session(database: Connection) -> None:
    database.execute("set promptctl.author = 'ada'")
    database.execute("set promptctl.reason = 'because'")
    database.execute("select promptctl.activate('{greeter}', '{1}')")
    assert rows(database, AUTHORS, "greeter")[0][:2] == ("ada", "because")
    database.execute("select promptctl.activate('{greeter}', '{2}', 'bob', 'typo')")
    assert rows(database, AUTHORS, "greeter")[0][:2] == ("bob", "typo")
    database.execute("update prompts set is_active = true where name = 'greeter' and version = 1")
    assert rows(database, AUTHORS, "greeter")[0][:2] == ("ada", "because")
    database.execute("select promptctl.create_version('greeter', 'signed')")
    database.execute("""select promptctl.record_applied('git', '[{"name": "greeter", "active": 1}]')""")
    assert value(database, "select created_by from promptctl.prompts where content = 'signed'") == "ada"
    assert value(database, "select applied_by from promptctl.applied") == "ada"


def test_the_author_of_a_failed_change_does_not_affect_the_next_change(database: Connection) -> None:
    assert refusal(database, "select promptctl.create_version('greeter', '', author => 'bob', reason => 'typo')")[1]
    database.execute(
        """
        do $$ begin
            perform promptctl.create_version('greeter', '', author => 'bob', reason => 'typo');
        exception when check_violation then
            null;
        end $$
        """
    )
    database.execute("update promptctl.served set active_version = 1 where name = 'idle'")
    assert rows(database, AUTHORS, "idle") == [("postgres", None, None, "postgres")]


@pytest.mark.parametrize(
    "call",
    [
        "promptctl.activate('{greeter,other}', '{1,1}', 'bob', 'typo')",
        "promptctl.rollback('{greeter}', null, null, 'bob', 'typo')",
        "promptctl.create_version('greeter', 'new', author => 'bob', reason => 'typo', activated => true)",
        "promptctl.retire('greeter', 1, author => 'bob', reason => 'typo')",
        "promptctl.describe('greeter', 1, '{}', 'bob', 'typo')",
        """promptctl.add_versions('[{"name": "greeter", "version": 50, "content": "x"}]', 'bob')""",
    ],
)
@pytest.mark.parametrize("session_author", ["", "ada"])
def test_author_and_reason_of_a_call_do_not_affect_the_next_change(
    database: Connection, call: str, session_author: str
) -> None:
    with database.transaction():
        database.execute("select set_config('promptctl.author', %s, true)", [session_author])
        run(database, f"select {call}")
        settings = """
            select current_setting('promptctl.author'), coalesce(current_setting('promptctl.reason', true), ''),
                   coalesce(current_setting('promptctl.release', true), ''), promptctl.current_author(),
                   promptctl.current_reason(), current_setting('lock_timeout'), current_setting('enable_nestloop')
        """
        assert rows(database, settings) == [(session_author, "", "", session_author or "postgres", None, "0", "on")]
        database.execute("update promptctl.served set active_version = 1 where name = 'idle'")
    assert rows(database, AUTHORS, "idle") == [(session_author or "postgres", None, None, "postgres")]


def test_the_session_user_is_recorded_beside_the_claimed_author(database: Connection) -> None:
    create(database, "new", 1)
    database.execute("select promptctl.activate('{new}', '{1}', 'somebody else')")
    assert rows(database, AUTHORS, "new") == [("somebody else", None, None, "postgres")]
