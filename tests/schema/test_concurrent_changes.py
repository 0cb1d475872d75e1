"""Concurrent changes: both are applied one after the other, or one is refused by the name of a rule."""

from __future__ import annotations

import itertools
import random
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import (
    Statement,
    active,
    create,
    history,
    move,
    rows,
    run,
    run_concurrently,
    serving_state,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

CREATE = "select version from promptctl.create_version('new', %s)"


def test_concurrent_creates_get_different_version_numbers(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 1)
    first = connect()
    with first.transaction():
        assert value(first, CREATE, "left") == 2
        second = Statement(connect(), CREATE, "right")
        second.wait_until_blocked(sql)
    assert (second.end(), second.rows) == (None, [(3,)])


def test_concurrent_first_versions_of_a_prompt_get_different_numbers(connect: Connect, sql: Connection) -> None:
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


def test_many_concurrent_first_versions_are_numbered_without_gaps(connect: Connect, sql: Connection) -> None:
    errors = run_concurrently((connect(), CREATE, [f"text {number}"]) for number in range(12))
    assert errors == [None] * 12
    assert rows(sql, "select version from promptctl.prompts order by version") == [(n,) for n in range(1, 13)]


def test_a_text_that_several_sessions_create_at_once_is_stored_once(connect: Connect, sql: Connection) -> None:
    assert run_concurrently((connect(), CREATE, ["same"]) for _ in range(8)) == [None] * 8
    assert value(sql, "select count(*) from promptctl.versions") == 1


def test_a_create_gets_the_name_of_a_concurrent_create_that_rolls_back(connect: Connect, sql: Connection) -> None:
    first = connect()
    with first.transaction(force_rollback=True):
        first.execute("select promptctl.create_version('NEW', 'x')")
        second = Statement(connect(), CREATE, "right")
        second.wait_until_blocked(sql)
    assert (second.end(), second.rows) == (None, [(1,)])


def test_concurrent_creates_of_names_that_differ_in_case_refuse_the_second(connect: Connect, sql: Connection) -> None:
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


def test_concurrent_activations_are_recorded_one_after_the_other(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 3, activate=1)
    first = connect()
    with first.transaction():
        move(first, {"new": 2})
        second = Statement(connect(), "select previous_version, epoch from promptctl.activate('{new}', '{3}')")
        second.wait_until_blocked(sql)
        assert active(sql, "new") == 1
    assert (second.end(), second.rows) == (None, [(2, 3)])
    assert history(sql, "new")[1:] == [(2, "activate", 1, 2), (3, "activate", 2, 3)]


def test_a_rollback_that_waited_starts_from_the_version_activated_meanwhile(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 3, activate=1)
    move(sql, {"new": 2})
    first = connect()
    with first.transaction():
        move(first, {"new": 3})
        second = Statement(connect(), "select version from promptctl.rollback('{new}')")
        second.wait_until_blocked(sql)
    assert (second.end(), second.rows) == (None, [(2,)])


def test_two_concurrent_rollbacks_to_one_version_make_one_move(connect: Connect, sql: Connection) -> None:
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
    ("first", "following"),
    [
        ("select promptctl.activate('{%s}', '{2}')", "select promptctl.retire('%s', 2)"),
        ("select promptctl.retire('%s', 2)", "select promptctl.activate('{%s}', '{2}')"),
        ("update promptctl.prompts set is_active = (version = 2) where name = '%s'",
         "select promptctl.retire('%s', 2)"),
        ("select promptctl.retire('%s', 2)",
         "update promptctl.prompts set is_active = (version = 2) where name = '%s'"),
        # Raw updates, which take no locks except those of the foreign keys.
        ("update promptctl.served set active_version = 2 where name = '%s'",
         "update promptctl.versions set retired_at = now() where name = '%s' and version = 2"),
        ("update promptctl.versions set retired_at = now() where name = '%s' and version = 2",
         "update promptctl.served set active_version = 2 where name = '%s'"),
        ("update promptctl.versions set retired_at = now() where name = '%s' and version = 2",
         "update promptctl.served set candidate_version = 2 where name = '%s'"),
    ],
)  # fmt: skip
def test_concurrent_sessions_cannot_both_activate_and_archive_a_version(
    connect: Connect, sql: Connection, first: str, following: str
) -> None:
    for name, isolation in (("committed", "read committed"), ("repeatable", "repeatable read")):
        create(sql, name, 2, activate=1)
        first_session, second_session = connect(), connect(autocommit=False)
        run(second_session, f"set transaction isolation level {isolation}")
        second_session.execute("select from promptctl.served")  # takes the snapshot of a repeatable read
        with first_session.transaction():
            run(first_session, first % name)
            second = Statement(second_session, following % name)
            second.wait_until_blocked(sql)
        error = second.end()
        second_session.rollback()
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
    served_and_archived = """
        select count(*) from promptctl.served s join promptctl.versions v
        on v.name = s.name and v.version in (s.active_version, s.candidate_version) and v.is_retired
    """
    assert value(sql, served_and_archived) == 0


def test_a_repeatable_read_session_cannot_overwrite_a_later_activation(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 3, activate=1)
    reader = connect(autocommit=False)
    reader.execute("set transaction isolation level repeatable read")
    assert active(reader, "new") == 1
    move(sql, {"new": 2})
    with pytest.raises(psycopg.errors.SerializationFailure):
        move(reader, {"new": 3})
    reader.rollback()
    assert serving_state(sql, "new")[0::3] == (2, 2)


def test_concurrent_releases_do_not_deadlock_whatever_their_order_of_prompts(connect: Connect, sql: Connection) -> None:
    names = [f"many/{number}" for number in range(6)]
    for name in names:
        create(sql, name, 3, activate=1)
    errors: list[psycopg.Error] = []
    move_counts = [0] * 4

    def release(worker: int, connection: Connection) -> None:
        generator = random.Random(worker)
        for turn in range(40):
            sample = generator.sample(names, generator.randint(2, 6))
            try:
                if turn % 3:
                    changes = rows(
                        connection,
                        "select changed from promptctl.activate(%s, %s)",
                        sample,
                        [generator.randint(1, 3) for _ in sample],
                    )
                else:
                    changes = rows(connection, "select changed from promptctl.rollback(%s)", sample)
                move_counts[worker] += sum(changed for (changed,) in changes)
            except psycopg.Error as error:
                if error.diag.constraint_name != "a_rollback_goes_to_an_earlier_active_version":
                    errors.append(error)

    threads = [threading.Thread(target=release, args=[n, connect()], daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    epochs = {name: [epoch for epoch, *_ in history(sql, name)] for name in names}
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in epochs.values())
    assert sum(len(numbers) for numbers in epochs.values()) == sum(move_counts) + len(names)
    for name in names:
        moves = history(sql, name)
        assert all(before[3] == after[2] for before, after in itertools.pairwise(moves))


def test_concurrent_add_versions_calls_do_not_deadlock_in_any_order(connect: Connect, sql: Connection) -> None:
    names = [f"many/{number}" for number in range(8)]
    add = """
        select promptctl.add_versions((select jsonb_agg(jsonb_build_object('name', n, 'version', %s::integer,
                                                                          'content', 'x')) from unnest(%s::text[]) n))
    """
    statements = [
        (connect(), add, [worker + 1, random.Random(worker).sample(names, len(names))]) for worker in range(8)
    ]
    assert run_concurrently(statements) == [None] * 8
    assert value(sql, "select count(*) from promptctl.versions") == 64
    assert rows(sql, "select distinct next_version from promptctl.served") == [(9,)]


def test_recording_a_use_waits_for_no_activation_and_no_other_use(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 2, activate=1)
    record = "select promptctl.record_use('new', 1, 1, 10, 20, 100, unit => 'user-1')"
    operator, application, other_application = connect(), connect(), connect()
    other_application.execute("set lock_timeout = '1ms'")
    with operator.transaction(), application.transaction():
        move(operator, {"new": 2})
        application.execute(record)
        other_application.execute(record)
        assert value(other_application, "select version from promptctl.resolve('new')") == 1
    assert value(sql, "select (stats ->> 'total_uses')::integer from promptctl.prompts where version = 1") == 2


def test_a_use_that_is_sent_several_times_at_once_is_recorded_once(connect: Connect, sql: Connection) -> None:
    create(sql, "new", 1, activate=1)
    record = "select promptctl.record_use('new', 1, 1, use_id => '01234567-89ab-7def-8123-456789abcdef')"
    assert run_concurrently((connect(), record, []) for _ in range(8)) == [None] * 8
    assert value(sql, "select count(*) from promptctl.uses") == 1


def test_readers_see_a_release_atomically(connect: Connect, sql: Connection) -> None:
    names = [f"many/{number}" for number in range(20)]
    for name in names:
        create(sql, name, 2, activate=1)
    writer, is_finished = connect(), threading.Event()

    def write() -> None:
        for turn in range(40):
            writer.execute("select promptctl.activate(%s, %s)", [names, [turn % 2 + 1] * len(names)])
        is_finished.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    read = "select count(distinct version) from unnest(%s::text[]) n cross join promptctl.resolve(n)"
    counts: set[int] = set()
    while not is_finished.is_set():
        counts.add(value(sql, read, names))
    thread.join()
    assert counts == {1}


def test_a_raw_activation_concurrent_with_archiving_is_refused_by_the_rule(connect: Connect, sql: Connection) -> None:
    create(sql, "x", 3, activate=1)
    archiver, operator = connect(autocommit=False), connect()
    for activation in (
        "update promptctl.served set active_version = 2 where name = 'x'",
        "update promptctl.served set candidate_version = 2 where name = 'x'",
        "update promptctl.prompts set is_active = true where name = 'x' and version = 2",
    ):
        archiver.execute("select promptctl.retire('x', 2)")
        statement = Statement(operator, activation)
        statement.wait_until_blocked(sql)
        archiver.commit()
        error = statement.end()
        assert error is not None
        assert error.diag.constraint_name == "an_archived_version_is_not_served", str(error)
        sql.execute("select promptctl.retire('x', 2, undo => true)")
    first = connect(autocommit=False)
    first.execute("update promptctl.served set active_version = 3 where name = 'x'")
    statement = Statement(
        connect(), "update promptctl.versions set retired_at = now() where name = 'x' and version = 3"
    )
    statement.wait_until_blocked(sql)
    first.commit()
    error = statement.end()
    assert error is not None
    assert error.diag.constraint_name == "a_served_version_is_not_archived", str(error)
