"""Adding uses up: none lost, none counted twice, whoever is still at work or is killed; and nobody has to wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import Statement, add_samples, create, record, rows, run, run_concurrently, value

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

HOUR_MS = 3_600_000.0
USE: dict[str, Any] = {}
ROLL_UP = "select promptctl.roll_up_uses()"


@pytest.fixture
def used(sql: Connection) -> Connection:
    """A database with its furniture, all of it rolled up."""
    add_samples(sql)
    sql.execute(ROLL_UP)
    return sql


def counted(connection: Connection) -> int:
    """The uses of greeter@1, as statistics have them; each grain and the view agree."""
    found = rows(
        connection,
        """
        select g.grain, coalesce((select sum(t.uses) from promptctl.totals t
                                  where t.grain = g.grain and t.name = 'greeter' and t.version = 1), 0)::integer
               + (select count(*) from promptctl.uses u
                  where u.name = 'greeter' and u.version = 1 and u.recorded_in >= promptctl.rolled_below())::integer
        from unnest(array['hour', 'day', 'all']) g (grain)
        union all
        select 'view', (stats ->> 'total_uses')::integer from promptctl.prompts where name = 'greeter' and version = 1
        """,
    )
    assert len(found) == 4
    numbers: set[int] = {number for _, number in found}
    [count] = numbers
    return count


def single(connection: Connection) -> int:
    """Uses of greeter@1 that are in no totals."""
    found: int = value(
        connection,
        "select count(*) from promptctl.uses where version = 1 and recorded_in >= promptctl.rolled_below()",
    )
    return found


def test_what_is_rolled_up_is_rolled_up_once(used: Connection) -> None:
    assert (counted(used), value(used, ROLL_UP)) == (0, 0)
    record(used, [USE] * 5)
    assert (counted(used), single(used)) == (5, 5)
    assert value(used, ROLL_UP) == 5
    assert (counted(used), single(used)) == (5, 0)
    assert value(used, ROLL_UP) == 0
    record(used, [USE] * 3)
    assert counted(used) == 8
    assert value(used, ROLL_UP) == 3
    assert (counted(used), single(used)) == (8, 0)


def test_a_transaction_that_ends_late_is_counted_by_the_next(connect: Connect, used: Connection) -> None:
    late, later = connect(), connect()
    late.execute("begin")
    record(late, [USE])
    later.execute("begin")
    record(used, [USE] * 2)
    record(later, [USE] * 4)
    assert value(used, ROLL_UP) == 0  # the first one is still at work
    assert (counted(used), single(used)) == (2, 2)
    late.execute("commit")
    assert value(used, ROLL_UP) == 3
    assert (counted(used), single(used)) == (3, 0)
    later.execute("rollback")
    record(used, [USE])
    assert value(used, ROLL_UP) == 1
    assert counted(used) == 4


def test_so_many_are_rolled_up_at_a_time(used: Connection) -> None:
    for _ in range(10):
        record(used, [USE])
    rolled_up = [value(used, "select promptctl.roll_up_uses(3)") for _ in range(5)]
    assert rolled_up == [3, 3, 3, 1, 0]
    assert counted(used) == 10
    # What one transaction recorded goes together.
    record(used, [USE] * 5)
    record(used, [USE])
    assert [value(used, "select promptctl.roll_up_uses(3)") for _ in range(3)] == [5, 1, 0]
    assert counted(used) == 16
    assert [value(used, f"select promptctl.roll_up_uses({number})") for number in ("0", "null")] == [0, 0]


def test_several_at_once_add_up_once(connect: Connect, used: Connection) -> None:
    recorders = [connect() for _ in range(3)]
    maintainers = [connect() for _ in range(4)]
    done = threading.Event()
    answers: list[int | None] = []

    def keep(connection: Connection) -> None:
        while not done.is_set():
            for recorder in range(3):
                record(connection, [USE] * (recorder + 1))

    def roll_up(connection: Connection) -> None:
        for _ in range(40):
            answers.append(value(connection, "select promptctl.roll_up_uses(20)"))

    threads = [threading.Thread(target=keep, args=[connection]) for connection in recorders]
    rolling = [threading.Thread(target=roll_up, args=[connection]) for connection in maintainers]
    for thread in (*threads, *rolling):
        thread.start()
    for thread in rolling:
        thread.join(60)
    done.set()
    for thread in threads:
        thread.join(20)
    answers.append(value(used, ROLL_UP))
    recorded = value(used, "select count(*) from promptctl.uses where version = 1")
    assert (counted(used), single(used)) == (recorded, 0)
    assert sum(answer or 0 for answer in answers) == recorded


def test_whoever_comes_second_has_nothing_to_do(connect: Connect, used: Connection) -> None:
    record(used, [USE])
    first, second = connect(), connect()
    second.execute("set statement_timeout = '5s'")
    with first.transaction():
        assert value(first, ROLL_UP) == 1
        assert value(second, ROLL_UP) is None
    assert value(second, ROLL_UP) == 0


def test_a_roll_up_that_is_killed_leaves_all_as_it_was(connect: Connect, used: Connection) -> None:
    record(used, [USE] * 7)
    before = rows(used, "select * from promptctl.roll_up")
    killed = connect(autocommit=False)
    assert value(killed, ROLL_UP) == 7
    used.execute("select pg_terminate_backend(%s, 10000)", [killed.info.backend_pid])
    assert rows(used, "select * from promptctl.roll_up") == before
    assert (counted(used), single(used)) == (7, 7)
    with pytest.raises(psycopg.OperationalError):
        killed.execute("commit")
    assert value(used, ROLL_UP) == 7
    assert (counted(used), single(used)) == (7, 0)


def test_one_that_is_killed_in_the_middle_of_its_work_does_too(connect: Connect, used: Connection) -> None:
    record(used, [USE] * 3)
    holding = connect(autocommit=False)
    # Another session is at the totals' only index, so that the roll-up stands still in the middle.
    holding.execute("lock table promptctl.totals in share mode")
    killed = connect()
    rolling = Statement(killed, ROLL_UP)
    rolling.wait_until_blocked(used)
    used.execute("select pg_terminate_backend(%s, 10000)", [killed.info.backend_pid])
    assert isinstance(rolling.end(), psycopg.Error)
    holding.rollback()
    assert (counted(used), single(used)) == (3, 3)
    assert value(used, ROLL_UP) == 3


def test_nobody_waits_for_a_roll_up(connect: Connect, used: Connection) -> None:
    identifier = value(used, "select promptctl.record_use('greeter', 1, 2)")
    record(used, [USE] * 5)
    rolling, other = connect(), connect()
    other.execute("set lock_timeout = '100ms'")
    with rolling.transaction():
        assert value(rolling, ROLL_UP) == 6
        record(other, [USE] * 2)
        other.execute("select promptctl.record_use('greeter', 1, 2)")
        other.execute("select promptctl.score_use(%s, 0.5)", [identifier])
        for statement in (
            "select promptctl.activate('{greeter}', '{1}')",
            "select promptctl.rollback('{greeter}')",
            "select promptctl.split('greeter', 500, 1)",
            "select promptctl.create_version('greeter', 'new')",
            "select promptctl.resolve('greeter', 'u')",
            "select * from promptctl.prompts",
        ):
            other.execute(statement.encode())
        assert counted(other) == 9
    assert counted(used) == 9
    assert value(used, ROLL_UP) == 3


def test_a_roll_up_waits_for_nobody_who_records_or_activates(connect: Connect, used: Connection) -> None:
    record(used, [USE] * 5)
    busy, rolling = connect(), connect()
    rolling.execute("set statement_timeout = '5s'")
    with busy.transaction():
        busy.execute("select promptctl.activate('{greeter}', '{1}')")
        record(busy, [USE] * 2)
        assert value(rolling, ROLL_UP) == 5
        assert value(rolling, "select promptctl.drop_uses(now(), 0)") == 0
    assert counted(used) == 7


def test_only_what_totals_have_is_dropped_hour_by_hour(used: Connection) -> None:
    for age in (30.0, 26.0, 22.0, 0.0):
        record(used, [{"ages_ms": age * HOUR_MS}] * 2)
    day = "now() - interval '24 hours'"
    assert value(used, f"select promptctl.drop_uses({day}, 0)") == 0  # nothing is rolled up yet
    assert value(used, ROLL_UP) == 8
    record(used, [{"ages_ms": 23 * HOUR_MS}])
    assert value(used, f"select promptctl.drop_uses({day}, 0)") == 4
    assert value(used, f"select promptctl.drop_uses({day}, 0)") == 0
    assert counted(used) == 9
    # Of the future, or of this hour: what is older than this hour.
    assert value(used, "select promptctl.drop_uses('infinity', 0)") == 2
    assert value(used, "select dropped_before = date_trunc('hour', now(), 'UTC') from promptctl.roll_up") is True
    assert (counted(used), single(used)) == (9, 1)
    assert value(used, ROLL_UP) == 1
    assert value(used, "select promptctl.drop_uses(now(), 0)") == 1
    assert counted(used) == 9
    # Going back to keeping more brings nothing back.
    assert value(used, "select promptctl.drop_uses(now() - interval '1 year', 0)") == 0
    assert value(used, "select dropped_before = date_trunc('hour', now(), 'UTC') from promptctl.roll_up") is True


@pytest.mark.parametrize("arguments", ["null, 0", "now(), null", "now(), 0, null"])
def test_nothing_is_dropped_before_no_moment(used: Connection, arguments: str) -> None:
    record(used, [{"ages_ms": 30 * HOUR_MS}])
    used.execute(ROLL_UP)
    assert value(used, f"select promptctl.drop_uses({arguments})") is None
    assert value(used, "select count(*) from promptctl.uses where version = 1") == 1
    assert value(used, "select dropped_before from promptctl.roll_up") is None


def test_pages_are_dropped_one_after_the_other(used: Connection) -> None:
    for _ in range(20):
        record(used, [{"ages_ms": 30 * HOUR_MS}] * 20)
    used.execute(ROLL_UP)
    pages = value(used, "select pg_relation_size('promptctl.uses') / 8192")
    assert pages > 3
    drop = "select promptctl.drop_uses(now() - interval '1 day', %s, 2)"
    dropped = [value(used, drop, page) for page in range(0, pages, 2)]
    assert (sum(dropped), counted(used)) == (400, 400)
    assert all(0 < number < 400 for number in dropped[:-1])
    assert value(used, drop, 10**6) == 0


# A database that was dumped in a cluster that had counted further is what its watermark says.
FURTHER = 10**12


def restore(connection: Connection) -> None:
    """Have all that is recorded be as a dump from another cluster leaves it."""
    connection.execute(
        f"""
        alter table promptctl.roll_up disable trigger user;
        insert into promptctl.roll_up (rolled_below) values ({FURTHER}) on conflict (singleton) do update
        set rolled_below = greatest(roll_up.rolled_below, excluded.rolled_below), transaction_offset = 0;
        alter table promptctl.roll_up enable trigger user;
        """.encode()
    )


def test_a_database_that_is_restored_goes_on_counting(used: Connection) -> None:
    record(used, [USE] * 2)
    used.execute(ROLL_UP)
    restore(used)
    record(used, [USE] * 3)
    used.execute("select promptctl.record_use('greeter', 1, 2)")
    assert (counted(used), single(used)) == (6, 4)
    assert value(used, ROLL_UP) == 0  # catches up
    record(used, [USE])
    assert (counted(used), single(used)) == (7, 5)
    assert value(used, ROLL_UP) == 5
    assert (counted(used), single(used)) == (7, 0)
    assert value(used, "select min(recorded_in) filter (where recorded_in > 1000000000) from promptctl.uses") == FURTHER
    # It was restored into a still younger one.
    restore(used)
    record(used, [USE])
    assert [value(used, ROLL_UP), value(used, ROLL_UP)] == [0, 1]
    assert counted(used) == 8


def test_the_first_who_record_after_a_restore_wait_for_nobody(connect: Connect, used: Connection) -> None:
    restore(used)
    first, second, rolling = connect(), connect(), connect()
    second.execute("set lock_timeout = '100ms'")
    first.execute("begin")
    record(first, [USE])
    record(second, [USE] * 2)
    # Catching up would have the first one's use end up below the watermark.
    assert value(rolling, ROLL_UP) in (0, None)
    second.execute("begin")
    record(second, [USE] * 2)
    assert value(rolling, ROLL_UP) in (0, None)
    first.execute("commit")
    second.execute("commit")
    assert counted(used) == 5
    assert [value(rolling, ROLL_UP), value(rolling, ROLL_UP)] == [0, 5]
    assert (counted(used), single(used)) == (5, 0)


def test_many_who_record_while_a_restored_database_catches_up_are_all_counted(
    connect: Connect, used: Connection
) -> None:
    restore(used)
    recorders = [connect() for _ in range(6)]
    statement = "select promptctl.record_use('greeter', 1, 2) from generate_series(1, 5)"
    for _ in range(5):
        statements: list[tuple[Connection, str, list[object]]] = [(recorder, statement, []) for recorder in recorders]
        statements += [(connect(), ROLL_UP, []) for _ in range(2)]
        assert run_concurrently(statements) == [None] * 8
    assert counted(used) == 150
    while value(used, "select transaction_offset from promptctl.roll_up") == 0 or value(used, ROLL_UP):
        used.execute(ROLL_UP)
    assert (counted(used), single(used)) == (150, 0)


def test_one_that_sees_the_database_as_it_was_before_it_caught_up_is_refused(
    connect: Connect, used: Connection
) -> None:
    restore(used)
    old = connect()
    old.execute("begin isolation level repeatable read")
    old.execute("select 1")
    record(used, [USE])
    used.execute(ROLL_UP)
    with pytest.raises(psycopg.errors.SerializationFailure):
        record(old, [USE])
    old.execute("rollback")
    old.execute("begin isolation level repeatable read")
    record(old, [USE])
    old.execute("commit")
    used.execute(ROLL_UP)
    assert (counted(used), single(used)) == (2, 0)


def test_single_uses_of_a_cluster_that_had_counted_further_do_not_stay_single(used: Connection) -> None:
    run(
        used,
        f"""
        insert into promptctl.uses (id, name, version, epoch, recorded_in)
        select promptctl.new_use_id(), 'greeter', 1, 1, {FURTHER} + n from generate_series(1, 5) n
        """,
    )
    record(used, [USE])
    assert (counted(used), single(used)) == (6, 6)
    assert [value(used, ROLL_UP) for _ in range(4)] == [1, 0, 5, 0]
    assert (counted(used), single(used)) == (6, 0)


def test_a_dump_in_the_middle_of_things_is_counted_where_it_is_restored(used: Connection) -> None:
    # The watermark and what lies beyond it, both of another cluster.
    record(used, [USE] * 2)
    used.execute(ROLL_UP)
    restore(used)
    run(
        used,
        f"insert into promptctl.uses (id, name, version, epoch, recorded_in) "
        f"select promptctl.new_use_id(), 'greeter', 1, 1, {FURTHER} + n from generate_series(0, 4) n",
    )
    record(used, [USE])
    assert (counted(used), single(used)) == (8, 6)
    for _ in range(3):
        used.execute(ROLL_UP)
    assert (counted(used), single(used)) == (8, 0)


def test_uses_of_other_prompts_are_no_ones_business(used: Connection) -> None:
    create(used, "new", 1, activate=1)
    record(used, [{"names": "new"}, {"versions": 2}])
    used.execute(ROLL_UP)
    assert counted(used) == 0


def test_at_most_100_models_of_a_version_are_added_up_apart(sql: Connection) -> None:
    create(sql, "greeter", 1)
    stats = "select stats from promptctl.version_stats where name = 'greeter' and version = 1"
    models = "select count(distinct model) from promptctl.totals where grain = '{}'"
    record = """
        select promptctl.record_use('greeter', 1, 1, 10, 5, 100, model => 'model-' || n)
        from generate_series({}, {}) n
    """
    run(sql, record.format(1, 60))
    assert value(sql, ROLL_UP) == 60
    run(sql, "select promptctl.record_use('greeter', 1, 1, 10, 5, 100, model => m)"
             " from unnest(array['often', 'often', 'other models', null]) m")  # fmt: skip
    run(sql, record.format(1, 2000))
    # A score of a use stays with the use, wherever that is counted.
    scored = rows(
        sql, "select promptctl.score_use(id, 0.5), model from promptctl.uses where model in ('model-7', 'model-1999')"
    )
    assert len(scored) == 3
    before = value(sql, stats)
    assert value(sql, ROLL_UP) == 2004
    assert value(sql, stats) == before
    for grain in ("hour", "day", "all"):
        assert value(sql, models.format(grain)) == 101
    of_model = (
        "select sum(uses)::integer, sum(with_score)::integer from promptctl.totals where grain = 'all' and model = '{}'"
    )
    assert rows(sql, of_model.format("often")) == [(2, 0)]
    assert rows(sql, of_model.format("model-7")) == [(2, 2)]
    # 60 and "often" were kept, and 39 of the others.
    assert rows(sql, of_model.format("other models")) == [(2000 - 60 - 39 + 1, 1)]
    run(sql, record.format(3001, 3100))
    run(sql, "select promptctl.score_use(id, 1) from promptctl.uses where model = 'model-3001'")
    before = value(sql, stats)
    assert value(sql, ROLL_UP) == 100
    assert value(sql, stats) == before
    assert value(sql, models.format("all")) == 101
    assert rows(sql, of_model.format("other models")) == [(2000 - 60 - 39 + 1 + 100, 2)]
    assert value(sql, "select sum(uses) from promptctl.totals where grain = 'all'") == 60 + 2004 + 100
