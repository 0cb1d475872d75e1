"""Every change is announced, and signed: what listeners hear, and whom the history names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import create, furnish, move, refusal, rows, run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]

SIGNED = "select author, reason, release, database_user from promptctl.allocations where name = %s order by epoch desc"


class Listener:
    """A session that listens."""

    def __init__(self, connection: Connection, sender: Connection) -> None:
        self._connection = connection
        self._sender = sender
        connection.execute("listen promptctl")

    def heard(self) -> list[Any]:
        """What was told since the last call."""
        self._sender.execute("select pg_notify('promptctl', '0')")
        told: list[Any] = []
        while 0 not in told:
            told += [json.loads(notify.payload) for notify in self._connection.notifies(timeout=10, stop_after=1)]
        return told[:-1]


@pytest.fixture
def listener(connect: Callable[..., Connection], sql: Connection) -> Listener:
    """A session that listens from here on."""
    furnish(sql)
    return Listener(connect(), connect())


def test_a_change_is_announced_with_name_and_epoch(sql: Connection, listener: Listener) -> None:
    move(sql, {"greeter": 1})
    assert listener.heard() == [{"name": "greeter", "epoch": 3}]


def test_taking_out_archiving_and_erasing_are_announced(sql: Connection, listener: Listener) -> None:
    sql.execute("select promptctl.deactivate('{greeter}'); select promptctl.archive('{greeter}', '{null}')")
    sql.execute("select promptctl.archive('{greeter}', '{null}', true)")
    sql.execute("select promptctl.erase('greeter', 1, 'ada', 'a key in it')")
    assert listener.heard() == [*({"name": "greeter", "epoch": epoch} for epoch in (3, 4, 5)), {"erased": "greeter@1"}]


def test_what_changes_nothing_that_is_served_is_not_announced(sql: Connection, listener: Listener) -> None:
    move(sql, {"greeter": 2})
    sql.execute("select promptctl.create_version('greeter', 'new')")
    sql.execute("select promptctl.describe('greeter', 1, '{}'), promptctl.retire('greeter', 1)")
    sql.execute("select promptctl.rollback('{greeter}', 2)")
    sql.execute("select promptctl.record_use('greeter', 2, 2)")
    sql.execute("update promptctl.served set updated_at = now()")
    assert listener.heard() == []


def test_nothing_is_announced_that_is_rolled_back(sql: Connection, listener: Listener) -> None:
    with sql.transaction(force_rollback=True):
        move(sql, {"greeter": 1})
    assert refusal(sql, "select promptctl.activate('{greeter,idle}', '{1,99}')")[1] == "version_exists"
    assert listener.heard() == []


def test_each_prompt_of_a_release_is_announced(sql: Connection, listener: Listener) -> None:
    move(sql, {"other": 1, "greeter": 1, "idle": 1})
    assert sorted(listener.heard(), key=str) == [{"name": "greeter", "epoch": 3}, {"name": "idle", "epoch": 1}]


@pytest.mark.parametrize("count", [100, 101])
def test_a_large_release_is_announced_once(sql: Connection, listener: Listener, count: int) -> None:
    names = [f"many/{number}" for number in range(count)]
    stored = [{"name": name, "version": version, "content": "x"} for name in names for version in (1, 2)]
    sql.execute("select promptctl.add_versions(%s)", [json.dumps(stored)])
    move(sql, dict.fromkeys(names, 1))
    first = listener.heard()
    move(sql, dict.fromkeys(names, 2))
    second = listener.heard()
    sql.execute("select promptctl.rollback(%s)", [names])
    third = listener.heard()
    if count == 100:
        assert sorted(first, key=str) == sorted(({"name": name, "epoch": 1} for name in names), key=str)
        assert (len(second), len(third)) == (100, 100)
    else:
        releases = rows(sql, "select release from promptctl.releases order by release desc limit 3")
        assert [third, second, first] == [[{"release": release}] for (release,) in releases]


def test_many_moves_that_are_no_release_are_announced_each(sql: Connection, listener: Listener) -> None:
    names = [f"many/{number}" for number in range(101)]
    stored = [{"name": name, "version": 1, "content": "x"} for name in names]
    sql.execute("select promptctl.add_versions(%s)", [json.dumps(stored)])
    sql.execute("update promptctl.served set active_version = 1 where name like 'many/%'")
    assert len(listener.heard()) == 101


def test_plain_sql_is_signed_by_the_session_user(furnished: Connection) -> None:
    furnished.execute("update promptctl.prompts set is_active = true where name = 'greeter' and version = 1")
    assert rows(furnished, SIGNED, "greeter")[0] == ("postgres", None, None, "postgres")


def test_plain_sql_can_say_who_and_why(furnished: Connection) -> None:
    with furnished.transaction():
        furnished.execute("select set_config('promptctl.author', 'ada', true)")
        furnished.execute("select set_config('promptctl.reason', 'because', true)")
        furnished.execute("update promptctl.prompts set is_active = true where name = 'greeter' and version = 1")
        furnished.execute("insert into promptctl.prompts (name, content) values ('greeter', 'signed')")
        furnished.execute("update promptctl.versions set metadata = '{}' where name = 'greeter' and version = 1")
    assert rows(furnished, SIGNED, "greeter")[0] == ("ada", "because", None, "postgres")
    assert value(furnished, "select created_by from promptctl.prompts where content = 'signed'") == "ada"
    found = rows(furnished, "select author, reason, database_user from promptctl.corrections order by id desc limit 1")
    assert found == [("ada", "because", "postgres")]


def test_functions_honour_what_the_session_says_unless_told_otherwise(furnished: Connection) -> None:
    furnished.execute("set promptctl.author = 'ada'")
    furnished.execute("set promptctl.reason = 'because'")
    furnished.execute("select promptctl.activate('{greeter}', '{1}')")
    assert rows(furnished, SIGNED, "greeter")[0][:2] == ("ada", "because")
    furnished.execute("select promptctl.activate('{greeter}', '{2}', 'bob', 'told')")
    assert rows(furnished, SIGNED, "greeter")[0][:2] == ("bob", "told")
    furnished.execute("update prompts set is_active = true where name = 'greeter' and version = 1")
    assert rows(furnished, SIGNED, "greeter")[0][:2] == ("ada", "because")
    furnished.execute("select promptctl.create_version('greeter', 'signed')")
    furnished.execute("""select promptctl.record_applied('git', '[{"name": "greeter", "active": 1}]')""")
    assert value(furnished, "select created_by from promptctl.prompts where content = 'signed'") == "ada"
    assert value(furnished, "select applied_by from promptctl.applied") == "ada"


def test_a_change_that_fails_signs_nothing_that_follows(furnished: Connection) -> None:
    assert refusal(furnished, "select promptctl.create_version('greeter', '', author => 'bob', reason => 'told')")[1]
    furnished.execute(
        """
        do $$ begin
            perform promptctl.create_version('greeter', '', author => 'bob', reason => 'told');
        exception when check_violation then
            null;
        end $$
        """
    )
    furnished.execute("update promptctl.served set active_version = 1 where name = 'idle'")
    assert rows(furnished, SIGNED, "idle") == [("postgres", None, None, "postgres")]


@pytest.mark.parametrize(
    "call",
    [
        "promptctl.activate('{greeter,other}', '{1,1}', 'bob', 'told')",
        "promptctl.rollback('{greeter}', null, null, 'bob', 'told')",
        "promptctl.create_version('greeter', 'new', author => 'bob', reason => 'told', activated => true)",
        "promptctl.retire('greeter', 1, author => 'bob', reason => 'told')",
        "promptctl.describe('greeter', 1, '{}', 'bob', 'told')",
        """promptctl.add_versions('[{"name": "greeter", "version": 50, "content": "x"}]', 'bob')""",
    ],
)
@pytest.mark.parametrize("said", ["", "ada"])
def test_who_and_why_do_not_leak_into_what_follows(furnished: Connection, call: str, said: str) -> None:
    with furnished.transaction():
        furnished.execute("select set_config('promptctl.author', %s, true)", [said])
        run(furnished, f"select {call}")
        settings = """
            select current_setting('promptctl.author'), coalesce(current_setting('promptctl.reason', true), ''),
                   coalesce(current_setting('promptctl.release', true), ''), promptctl.current_author(),
                   promptctl.current_reason(), current_setting('lock_timeout'), current_setting('enable_nestloop')
        """
        assert rows(furnished, settings) == [(said, "", "", said or "postgres", None, "0", "on")]
        furnished.execute("update promptctl.served set active_version = 1 where name = 'idle'")
    assert rows(furnished, SIGNED, "idle") == [(said or "postgres", None, None, "postgres")]


def test_the_session_user_stands_beside_what_is_claimed(furnished: Connection) -> None:
    create(furnished, "new", 1)
    furnished.execute("select promptctl.activate('{new}', '{1}', 'somebody else')")
    assert rows(furnished, SIGNED, "new") == [("somebody else", None, None, "postgres")]
