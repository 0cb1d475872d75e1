"""Two at once: whatever the order, both are carried out one after the other, or one is refused by name."""

from __future__ import annotations

import itertools
import random
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import Statement, active, at_once, create, history, move, rows, run, served, value

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

CREATE = "select version from promptctl.create_version('new', %s)"


def test_two_creates_get_two_numbers(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 1)
    first = connect()
    with first.transaction():
        assert value(first, CREATE, "left") == 2
        second = Statement(connect(), CREATE, "right")
        second.wait_until_blocked(sql)
    assert (second.end(), second.rows) == (None, [(3,)])


def test_two_first_versions_of_a_new_prompt_get_two_numbers(connect: Connect, sql: Connection) -> None:
    first = connect()
    with first.transaction():
        assert value(first, CREATE, "left") == 1
        second = Statement(connect(), CREATE, "right")
        insert = "insert into promptctl.prompts (name, content) values ('new', 'r') returning version"
        third = Statement(connect(), insert)
        second.wait_until_blocked(sql)
        third.wait_until_blocked(sql)
    assert (second.end(), third.end()) == (None, None)
    assert sorted(second.rows + third.rows) == [(2,), (3,)]


def test_many_first_versions_at_once_are_numbered_without_a_gap(connect: Connect, sql: Connection) -> None:
    errors = at_once((connect(), CREATE, [f"text {number}"]) for number in range(12))
    assert errors == [None] * 12
    assert rows(sql, "select version from promptctl.prompts order by version") == [(n,) for n in range(1, 13)]


def test_a_text_that_two_create_at_once_is_stored_once(connect: Connect, sql: Connection) -> None:
    assert at_once((connect(), CREATE, ["same"]) for _ in range(8)) == [None] * 8
    assert value(sql, "select count(*) from promptctl.versions") == 1


def test_a_first_version_takes_the_name_over_from_one_that_was_given_up(connect: Connect, sql: Connection) -> None:
    first = connect()
    with first.transaction(force_rollback=True):
        first.execute("select promptctl.create_version('NEW', 'x')")
        second = Statement(connect(), CREATE, "right")
        second.wait_until_blocked(sql)
    assert (second.end(), second.rows) == (None, [(1,)])


def test_two_names_that_differ_in_case_do_not_both_come_to_be(connect: Connect, sql: Connection) -> None:
    for name, statement in (
        ("created", "select promptctl.create_version('created', 'x')"),
        ("inserted", "insert into promptctl.prompts (name, content) values ('inserted', 'x')"),
        ("added", """select promptctl.add_versions('[{"name": "added", "version": 1, "content": "x"}]')"""),
    ):
        first = connect()
        with first.transaction():
            first.execute("select promptctl.create_version(%s, 'x')", [name.upper()])
            second = Statement(connect(), statement)
            second.wait_until_blocked(sql)
        error = second.end()
        assert error is not None
        assert (error.sqlstate, error.diag.constraint_name) == ("23505", "names_differ_in_more_than_case")
        assert error.diag.message_primary == f'"{name}" differs from "{name.upper()}" only in case'


def test_two_activations_are_both_recorded_in_one_order(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 3, activate=1)
    first = connect()
    with first.transaction():
        move(first, {"new": 2})
        second = Statement(connect(), "select previous_version, epoch from promptctl.activate('{new}', '{3}')")
        second.wait_until_blocked(sql)
        assert active(sql, "new") == 1
    assert (second.end(), second.rows) == (None, [(2, 3)])
    assert history(sql, "new")[1:] == [(2, "activate", 1, 2), (3, "activate", 2, 3)]


def test_a_rollback_goes_back_from_what_was_activated_while_it_waited(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 3, activate=1)
    move(sql, {"new": 2})
    first = connect()
    with first.transaction():
        move(first, {"new": 3})
        second = Statement(connect(), "select version from promptctl.rollback('{new}')")
        second.wait_until_blocked(sql)
    assert (second.end(), second.rows) == (None, [(2,)])


def test_two_rollbacks_with_one_goal_are_one_move(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 2, activate=1)
    move(sql, {"new": 2})
    roll_back = "select changed from promptctl.rollback('{new}', 1, 2)"
    first = connect()
    with first.transaction():
        assert value(first, roll_back) is True
        second = Statement(connect(), roll_back)
        second.wait_until_blocked(sql)
    assert (second.end(), second.rows) == (None, [(False,)])
    assert len(history(sql, "new")) == 3


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("select promptctl.activate('{%s}', '{2}')", "select promptctl.retire('%s', 2)"),
        ("select promptctl.retire('%s', 2)", "select promptctl.activate('{%s}', '{2}')"),
        ("update promptctl.prompts set is_active = (version = 2) where name = '%s'",
         "select promptctl.retire('%s', 2)"),
        ("select promptctl.retire('%s', 2)",
         "update promptctl.prompts set is_active = (version = 2) where name = '%s'"),
        # By hand, with no lock but those of the foreign keys.
        ("update promptctl.served set active_version = 2 where name = '%s'",
         "update promptctl.versions set retired_at = now() where name = '%s' and version = 2"),
        ("update promptctl.versions set retired_at = now() where name = '%s' and version = 2",
         "update promptctl.served set active_version = 2 where name = '%s'"),
        ("update promptctl.versions set retired_at = now() where name = '%s' and version = 2",
         "update promptctl.served set candidate_version = 2 where name = '%s'"),
    ],
)  # fmt: skip
def test_a_version_is_not_both_activated_and_retired(connect: Connect, sql: Connection, first: str, then: str) -> None:
    for name, isolation in (("committed", "read committed"), ("repeatable", "repeatable read")):
        create(sql, name, 2, activate=1)
        one, two = connect(), connect(autocommit=False)
        run(two, f"set transaction isolation level {isolation}")
        two.execute("select from promptctl.served")  # repeatable from here on, if it is to be
        with one.transaction():
            run(one, first % name)
            second = Statement(two, then % name)
            second.wait_until_blocked(sql)
        error = second.end()
        two.rollback()
        assert error is not None
        if name == "committed":
            assert error.sqlstate in ("23001", "23503")
            assert error.diag.constraint_name in (
                "a_served_version_is_not_archived",
                "an_archived_version_is_not_served",
                "an_active_version_exists_and_is_not_archived",
                "a_candidate_exists_and_is_not_archived",
            )
        else:
            assert error.sqlstate in ("40001", "23001", "23503")
    both = """
        select count(*) from promptctl.served s join promptctl.versions v
        on v.name = s.name and v.version in (s.active_version, s.candidate_version) and v.is_retired
    """
    assert value(sql, both) == 0


def test_a_repeatable_read_never_writes_over_what_it_did_not_see(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 3, activate=1)
    reader = connect(autocommit=False)
    reader.execute("set transaction isolation level repeatable read")
    assert active(reader, "new") == 1
    move(sql, {"new": 2})
    with pytest.raises(psycopg.errors.SerializationFailure):
        move(reader, {"new": 3})
    reader.rollback()
    assert served(sql, "new")[0::3] == (2, 2)


def test_releases_that_name_their_prompts_in_any_order_do_not_deadlock(connect: Connect, sql: Connection) -> None:
    names = [f"many/{number}" for number in range(6)]
    for name in names:
        create(sql, name, 3, activate=1)
    failed: list[psycopg.Error] = []
    moved = [0] * 4

    def release(worker: int, connection: Connection) -> None:
        chance = random.Random(worker)
        for turn in range(40):
            some = chance.sample(names, chance.randint(2, 6))
            try:
                if turn % 3:
                    done = rows(
                        connection,
                        "select changed from promptctl.activate(%s, %s)",
                        some,
                        [chance.randint(1, 3) for _ in some],
                    )
                else:
                    done = rows(connection, "select changed from promptctl.rollback(%s)", some)
                moved[worker] += sum(changed for (changed,) in done)
            except psycopg.Error as error:
                if error.diag.constraint_name != "a_rollback_goes_to_an_earlier_active_version":
                    failed.append(error)

    threads = [threading.Thread(target=release, args=[n, connect()], daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    epochs = {name: [epoch for epoch, *_ in history(sql, name)] for name in names}
    assert all(found == list(range(1, len(found) + 1)) for found in epochs.values())
    assert sum(len(found) for found in epochs.values()) == sum(moved) + len(names)
    for name in names:
        line = history(sql, name)
        assert all(before[3] == after[2] for before, after in itertools.pairwise(line))


def test_stores_of_many_versions_in_any_order_do_not_deadlock(connect: Connect, sql: Connection) -> None:
    names = [f"many/{number}" for number in range(8)]
    add = """
        select promptctl.add_versions((select jsonb_agg(jsonb_build_object('name', n, 'version', %s::integer,
                                                                          'content', 'x')) from unnest(%s::text[]) n))
    """
    statements = [
        (connect(), add, [worker + 1, random.Random(worker).sample(names, len(names))]) for worker in range(8)
    ]
    assert at_once(statements) == [None] * 8
    assert value(sql, "select count(*) from promptctl.versions") == 64
    assert rows(sql, "select distinct next_version from promptctl.served") == [(9,)]


def test_a_use_waits_neither_for_an_activation_nor_for_another_use(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 2, activate=1)
    record = "select promptctl.record_use('new', 1, 1, 10, 20, 100, unit => 'user-1')"
    activating, using, third = connect(), connect(), connect()
    third.execute("set lock_timeout = '1ms'")
    with activating.transaction(), using.transaction():
        move(activating, {"new": 2})
        using.execute(record)
        third.execute(record)
        assert value(third, "select version from promptctl.resolve('new')") == 1
    assert value(sql, "select (stats ->> 'total_uses')::integer from promptctl.prompts where version = 1") == 2


def test_a_use_that_is_sent_twice_at_once_counts_once(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 1, activate=1)
    record = "select promptctl.record_use('new', 1, 1, use_id => '01234567-89ab-7def-8123-456789abcdef')"
    assert at_once((connect(), record, []) for _ in range(8)) == [None] * 8
    assert value(sql, "select count(*) from promptctl.uses") == 1


def test_readers_see_a_release_whole_or_not_at_all(connect: Connect, sql: Connection) -> None:
    names = [f"many/{number}" for number in range(20)]
    for name in names:
        create(sql, name, 2, activate=1)
    writer, done = connect(), threading.Event()

    def write() -> None:
        for turn in range(40):
            writer.execute("select promptctl.activate(%s, %s)", [names, [turn % 2 + 1] * len(names)])
        done.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    read = "select count(distinct version) from unnest(%s::text[]) n cross join promptctl.resolve(n)"
    seen: set[int] = set()
    while not done.is_set():
        seen.add(value(sql, read, names))
    thread.join()
    assert seen == {1}


def test_a_raw_activation_that_races_a_retirement_is_refused_by_the_rule(connect: Connect, sql: Connection) -> None:
    create(sql, "x", 3, activate=1)
    retiring, activating = connect(autocommit=False), connect()
    for activation in (
        "update promptctl.served set active_version = 2 where name = 'x'",
        "update promptctl.served set candidate_version = 2 where name = 'x'",
        "update promptctl.prompts set is_active = true where name = 'x' and version = 2",
    ):
        retiring.execute("select promptctl.retire('x', 2)")
        waiting = Statement(activating, activation)
        waiting.wait_until_blocked(sql)
        retiring.commit()
        error = waiting.end()
        assert error is not None
        assert error.diag.constraint_name == "an_archived_version_is_not_served", str(error)
        sql.execute("select promptctl.retire('x', 2, undo => true)")
    first = connect(autocommit=False)
    first.execute("update promptctl.served set active_version = 3 where name = 'x'")
    waiting = Statement(connect(), "update promptctl.versions set retired_at = now() where name = 'x' and version = 3")
    waiting.wait_until_blocked(sql)
    first.commit()
    error = waiting.end()
    assert error is not None
    assert error.diag.constraint_name == "a_served_version_is_not_archived", str(error)
