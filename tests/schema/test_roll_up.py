"""Rolling up: no use is lost or counted twice despite open or killed sessions, and no session waits."""

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
def samples(sql: Connection) -> Connection:
    """A database with the sample data, rolled up."""
    add_samples(sql)
    sql.execute(ROLL_UP)
    return sql


def count_uses(connection: Connection) -> int:
    """Count the uses of greeter@1 in the statistics, and check that every grain and the view agree."""
    counts = rows(
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
    assert len(counts) == 4
    numbers: set[int] = {number for _, number in counts}
    [count] = numbers
    return count


def count_single_uses(connection: Connection) -> int:
    """Count the uses of greeter@1 that are not in the totals yet."""
    count: int = value(
        connection,
        "select count(*) from promptctl.uses where version = 1 and recorded_in >= promptctl.rolled_below()",
    )
    return count


def test_each_use_is_rolled_up_once(samples: Connection) -> None:
    assert (count_uses(samples), value(samples, ROLL_UP)) == (0, 0)
    record(samples, [USE] * 5)
    assert (count_uses(samples), count_single_uses(samples)) == (5, 5)
    assert value(samples, ROLL_UP) == 5
    assert (count_uses(samples), count_single_uses(samples)) == (5, 0)
    assert value(samples, ROLL_UP) == 0
    record(samples, [USE] * 3)
    assert count_uses(samples) == 8
    assert value(samples, ROLL_UP) == 3
    assert (count_uses(samples), count_single_uses(samples)) == (8, 0)


def test_a_use_committed_late_is_counted_by_the_next_roll_up(connect: Connect, samples: Connection) -> None:
    late, later = connect(), connect()
    late.execute("begin")
    record(late, [USE])
    later.execute("begin")
    record(samples, [USE] * 2)
    record(later, [USE] * 4)
    assert value(samples, ROLL_UP) == 0  # the first transaction is still open
    assert (count_uses(samples), count_single_uses(samples)) == (2, 2)
    late.execute("commit")
    assert value(samples, ROLL_UP) == 3
    assert (count_uses(samples), count_single_uses(samples)) == (3, 0)
    later.execute("rollback")
    record(samples, [USE])
    assert value(samples, ROLL_UP) == 1
    assert count_uses(samples) == 4


def test_the_argument_of_roll_up_uses_limits_the_number_of_uses(samples: Connection) -> None:
    for _ in range(10):
        record(samples, [USE])
    rolled_up = [value(samples, "select promptctl.roll_up_uses(3)") for _ in range(5)]
    assert rolled_up == [3, 3, 3, 1, 0]
    assert count_uses(samples) == 10
    # The uses of one transaction are rolled up together.
    record(samples, [USE] * 5)
    record(samples, [USE])
    assert [value(samples, "select promptctl.roll_up_uses(3)") for _ in range(3)] == [5, 1, 0]
    assert count_uses(samples) == 16
    assert [value(samples, f"select promptctl.roll_up_uses({number})") for number in ("0", "null")] == [0, 0]


def test_concurrent_roll_ups_count_each_use_once(connect: Connect, samples: Connection) -> None:
    recorders = [connect() for _ in range(3)]
    maintainers = [connect() for _ in range(4)]
    done = threading.Event()
    answers: list[int | None] = []

    def record_until_done(connection: Connection) -> None:
        while not done.is_set():
            for recorder in range(3):
                record(connection, [USE] * (recorder + 1))

    def roll_up(connection: Connection) -> None:
        for _ in range(40):
            answers.append(value(connection, "select promptctl.roll_up_uses(20)"))

    threads = [threading.Thread(target=record_until_done, args=[connection]) for connection in recorders]
    rolling = [threading.Thread(target=roll_up, args=[connection]) for connection in maintainers]
    for thread in (*threads, *rolling):
        thread.start()
    for thread in rolling:
        thread.join(60)
    done.set()
    for thread in threads:
        thread.join(20)
    answers.append(value(samples, ROLL_UP))
    recorded = value(samples, "select count(*) from promptctl.uses where version = 1")
    assert (count_uses(samples), count_single_uses(samples)) == (recorded, 0)
    assert sum(answer or 0 for answer in answers) == recorded


def test_a_second_concurrent_roll_up_returns_null(connect: Connect, samples: Connection) -> None:
    record(samples, [USE])
    first, second = connect(), connect()
    second.execute("set statement_timeout = '5s'")
    with first.transaction():
        assert value(first, ROLL_UP) == 1
        assert value(second, ROLL_UP) is None
    assert value(second, ROLL_UP) == 0


def test_a_roll_up_killed_before_its_commit_changes_nothing(connect: Connect, samples: Connection) -> None:
    record(samples, [USE] * 7)
    before = rows(samples, "select * from promptctl.roll_up")
    killed = connect(autocommit=False)
    assert value(killed, ROLL_UP) == 7
    samples.execute("select pg_terminate_backend(%s, 10000)", [killed.info.backend_pid])
    assert rows(samples, "select * from promptctl.roll_up") == before
    assert (count_uses(samples), count_single_uses(samples)) == (7, 7)
    with pytest.raises(psycopg.OperationalError):
        killed.execute("commit")
    assert value(samples, ROLL_UP) == 7
    assert (count_uses(samples), count_single_uses(samples)) == (7, 0)


def test_a_roll_up_killed_while_it_runs_changes_nothing(connect: Connect, samples: Connection) -> None:
    record(samples, [USE] * 3)
    holding = connect(autocommit=False)
    # A lock on the totals blocks the roll-up in the middle.
    holding.execute("lock table promptctl.totals in share mode")
    killed = connect()
    rolling = Statement(killed, ROLL_UP)
    rolling.wait_until_blocked(samples)
    samples.execute("select pg_terminate_backend(%s, 10000)", [killed.info.backend_pid])
    assert isinstance(rolling.end(), psycopg.Error)
    holding.rollback()
    assert (count_uses(samples), count_single_uses(samples)) == (3, 3)
    assert value(samples, ROLL_UP) == 3


def test_other_statements_do_not_wait_for_a_roll_up(connect: Connect, samples: Connection) -> None:
    identifier = value(samples, "select promptctl.record_use('greeter', 1, 2)")
    record(samples, [USE] * 5)
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
        assert count_uses(other) == 9
    assert count_uses(samples) == 9
    assert value(samples, ROLL_UP) == 3


def test_a_roll_up_does_not_wait_for_recordings_or_activations(connect: Connect, samples: Connection) -> None:
    record(samples, [USE] * 5)
    busy, rolling = connect(), connect()
    rolling.execute("set statement_timeout = '5s'")
    with busy.transaction():
        busy.execute("select promptctl.activate('{greeter}', '{1}')")
        record(busy, [USE] * 2)
        assert value(rolling, ROLL_UP) == 5
        assert value(rolling, "select promptctl.drop_uses(now(), 0)") == 0
    assert count_uses(samples) == 7


def test_only_rolled_up_uses_are_dropped_in_whole_hours(samples: Connection) -> None:
    for age in (30.0, 26.0, 22.0, 0.0):
        record(samples, [{"ages_ms": age * HOUR_MS}] * 2)
    day = "now() - interval '24 hours'"
    assert value(samples, f"select promptctl.drop_uses({day}, 0)") == 0  # nothing is rolled up yet
    assert value(samples, ROLL_UP) == 8
    record(samples, [{"ages_ms": 23 * HOUR_MS}])
    assert value(samples, f"select promptctl.drop_uses({day}, 0)") == 4
    assert value(samples, f"select promptctl.drop_uses({day}, 0)") == 0
    assert count_uses(samples) == 9
    # A time in the future or in this hour drops what is older than this hour.
    assert value(samples, "select promptctl.drop_uses('infinity', 0)") == 2
    assert value(samples, "select dropped_before = date_trunc('hour', now(), 'UTC') from promptctl.roll_up") is True
    assert (count_uses(samples), count_single_uses(samples)) == (9, 1)
    assert value(samples, ROLL_UP) == 1
    assert value(samples, "select promptctl.drop_uses(now(), 0)") == 1
    assert count_uses(samples) == 9
    # An earlier time does not move the limit back.
    assert value(samples, "select promptctl.drop_uses(now() - interval '1 year', 0)") == 0
    assert value(samples, "select dropped_before = date_trunc('hour', now(), 'UTC') from promptctl.roll_up") is True


@pytest.mark.parametrize("arguments", ["null, 0", "now(), null", "now(), 0, null"])
def test_drop_uses_with_a_null_argument_drops_nothing(samples: Connection, arguments: str) -> None:
    record(samples, [{"ages_ms": 30 * HOUR_MS}])
    samples.execute(ROLL_UP)
    assert value(samples, f"select promptctl.drop_uses({arguments})") is None
    assert value(samples, "select count(*) from promptctl.uses where version = 1") == 1
    assert value(samples, "select dropped_before from promptctl.roll_up") is None


def test_drop_uses_works_page_by_page(samples: Connection) -> None:
    for _ in range(20):
        record(samples, [{"ages_ms": 30 * HOUR_MS}] * 20)
    samples.execute(ROLL_UP)
    pages = value(samples, "select pg_relation_size('promptctl.uses') / 8192")
    assert pages > 3
    drop = "select promptctl.drop_uses(now() - interval '1 day', %s, 2)"
    dropped = [value(samples, drop, page) for page in range(0, pages, 2)]
    assert (sum(dropped), count_uses(samples)) == (400, 400)
    assert all(0 < number < 400 for number in dropped[:-1])
    assert value(samples, drop, 10**6) == 0


# A watermark from a cluster with higher transaction ids.
FOREIGN_WATERMARK = 10**12


def simulate_restore(connection: Connection) -> None:
    """Set the watermark as the restore of a dump from another cluster does."""
    connection.execute(
        f"""
        alter table promptctl.roll_up disable trigger user;
        insert into promptctl.roll_up (rolled_below) values ({FOREIGN_WATERMARK}) on conflict (singleton) do update
        set rolled_below = greatest(roll_up.rolled_below, excluded.rolled_below), transaction_offset = 0;
        alter table promptctl.roll_up enable trigger user;
        """.encode()
    )


def test_a_restored_database_continues_to_count(samples: Connection) -> None:
    record(samples, [USE] * 2)
    samples.execute(ROLL_UP)
    simulate_restore(samples)
    record(samples, [USE] * 3)
    samples.execute("select promptctl.record_use('greeter', 1, 2)")
    assert (count_uses(samples), count_single_uses(samples)) == (6, 4)
    assert value(samples, ROLL_UP) == 0  # catches up
    record(samples, [USE])
    assert (count_uses(samples), count_single_uses(samples)) == (7, 5)
    assert value(samples, ROLL_UP) == 5
    assert (count_uses(samples), count_single_uses(samples)) == (7, 0)
    assert (
        value(samples, "select min(recorded_in) filter (where recorded_in > 1000000000) from promptctl.uses")
        == FOREIGN_WATERMARK
    )
    # The database is restored once more.
    simulate_restore(samples)
    record(samples, [USE])
    assert [value(samples, ROLL_UP), value(samples, ROLL_UP)] == [0, 1]
    assert count_uses(samples) == 8


def test_the_first_recordings_after_a_restore_do_not_wait(connect: Connect, samples: Connection) -> None:
    simulate_restore(samples)
    first, second, rolling = connect(), connect(), connect()
    second.execute("set lock_timeout = '100ms'")
    first.execute("begin")
    record(first, [USE])
    record(second, [USE] * 2)
    # A catch-up now would leave the use of the first transaction below the watermark.
    assert value(rolling, ROLL_UP) in (0, None)
    second.execute("begin")
    record(second, [USE] * 2)
    assert value(rolling, ROLL_UP) in (0, None)
    first.execute("commit")
    second.execute("commit")
    assert count_uses(samples) == 5
    assert [value(rolling, ROLL_UP), value(rolling, ROLL_UP)] == [0, 5]
    assert (count_uses(samples), count_single_uses(samples)) == (5, 0)


def test_concurrent_recordings_after_a_restore_are_all_counted(connect: Connect, samples: Connection) -> None:
    simulate_restore(samples)
    recorders = [connect() for _ in range(6)]
    statement = "select promptctl.record_use('greeter', 1, 2) from generate_series(1, 5)"
    for _ in range(5):
        statements: list[tuple[Connection, str, list[object]]] = [(recorder, statement, []) for recorder in recorders]
        statements += [(connect(), ROLL_UP, []) for _ in range(2)]
        assert run_concurrently(statements) == [None] * 8
    assert count_uses(samples) == 150
    while value(samples, "select transaction_offset from promptctl.roll_up") == 0 or value(samples, ROLL_UP):
        samples.execute(ROLL_UP)
    assert (count_uses(samples), count_single_uses(samples)) == (150, 0)


def test_recording_with_a_snapshot_from_before_the_catch_up_is_refused(connect: Connect, samples: Connection) -> None:
    simulate_restore(samples)
    old = connect()
    old.execute("begin isolation level repeatable read")
    old.execute("select 1")
    record(samples, [USE])
    samples.execute(ROLL_UP)
    with pytest.raises(psycopg.errors.SerializationFailure):
        record(old, [USE])
    old.execute("rollback")
    old.execute("begin isolation level repeatable read")
    record(old, [USE])
    old.execute("commit")
    samples.execute(ROLL_UP)
    assert (count_uses(samples), count_single_uses(samples)) == (2, 0)


def test_single_uses_of_a_dump_from_another_cluster_are_rolled_up(samples: Connection) -> None:
    run(
        samples,
        f"""
        insert into promptctl.uses (id, name, version, epoch, recorded_in)
        select promptctl.new_use_id(), 'greeter', 1, 1, {FOREIGN_WATERMARK} + n from generate_series(1, 5) n
        """,
    )
    record(samples, [USE])
    assert (count_uses(samples), count_single_uses(samples)) == (6, 6)
    assert [value(samples, ROLL_UP) for _ in range(4)] == [1, 0, 5, 0]
    assert (count_uses(samples), count_single_uses(samples)) == (6, 0)


def test_a_dump_with_uses_beyond_its_watermark_is_counted_once(samples: Connection) -> None:
    # Both the watermark and the uses beyond it are of another cluster.
    record(samples, [USE] * 2)
    samples.execute(ROLL_UP)
    simulate_restore(samples)
    run(
        samples,
        f"insert into promptctl.uses (id, name, version, epoch, recorded_in) "
        f"select promptctl.new_use_id(), 'greeter', 1, 1, {FOREIGN_WATERMARK} + n from generate_series(0, 4) n",
    )
    record(samples, [USE])
    assert (count_uses(samples), count_single_uses(samples)) == (8, 6)
    for _ in range(3):
        samples.execute(ROLL_UP)
    assert (count_uses(samples), count_single_uses(samples)) == (8, 0)


def test_uses_of_other_prompts_and_versions_are_not_counted(samples: Connection) -> None:
    create(samples, "new", 1, activate=1)
    record(samples, [{"names": "new"}, {"versions": 2}])
    samples.execute(ROLL_UP)
    assert count_uses(samples) == 0


def test_totals_separate_at_most_100_models_of_a_version(sql: Connection) -> None:
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
    # A score is counted under the same model as its use.
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
    # 60 models, "often" and 39 of the others have totals of their own.
    assert rows(sql, of_model.format("other models")) == [(2000 - 60 - 39 + 1, 1)]
    run(sql, record.format(3001, 3100))
    run(sql, "select promptctl.score_use(id, 1) from promptctl.uses where model = 'model-3001'")
    before = value(sql, stats)
    assert value(sql, ROLL_UP) == 100
    assert value(sql, stats) == before
    assert value(sql, models.format("all")) == 101
    assert rows(sql, of_model.format("other models")) == [(2000 - 60 - 39 + 1 + 100, 2)]
    assert value(sql, "select sum(uses) from promptctl.totals where grain = 'all'") == 60 + 2004 + 100
