"""Scores that are stored after their use: the last one counts once, before and after a roll-up."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.schema.support import Statement, add_samples, record, refusal, rows, run_concurrently, value

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

SCORE = "select promptctl.score_use(%s, %s)"


@pytest.fixture
def samples(sql: Connection) -> Connection:
    """A database with the sample data."""
    add_samples(sql)
    return sql


def record_use(connection: Connection, **reported: Any) -> uuid.UUID:
    """Record a use of greeter@1."""
    identifier = uuid.uuid4()
    record(connection, [{"ids": identifier} | reported])
    return identifier


def score_stats(connection: Connection) -> tuple[int, float | None]:
    """Return the number of scored uses of greeter@1 and their average; check that the view agrees."""
    [(count, total)] = rows(
        connection,
        """
        select sum(n)::integer, sum(s) from (
            select with_score, score from promptctl.totals where grain = 'all' and version = 1
            union all
            select count(score), sum(score) from promptctl.uses
            where version = 1 and recorded_in >= promptctl.rolled_below()
            union all
            select count(*) filter (where previous is null), sum(score - coalesce(previous, 0)) from promptctl.scores
            where version = 1 and recorded_in >= promptctl.rolled_below()
        ) t (n, s)
        """,
    )
    average = value(
        connection,
        "select (stats ->> 'avg_score')::float8 from promptctl.prompts where name = 'greeter' and version = 1",
    )
    assert average == (total / count if count else None)
    return count, average


@pytest.mark.parametrize("rolled_up", [frozenset[int](), {0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}])
@pytest.mark.parametrize("first", [None, 0.25])
def test_only_the_last_score_counts_at_any_time_of_the_roll_up(
    samples: Connection, rolled_up: set[int], first: float | None
) -> None:
    record_use(samples)
    identifier = record_use(samples, scores=first)
    for turn, score in enumerate((0.5, -2.0, 0.0)):
        if turn in rolled_up:
            samples.execute("select promptctl.roll_up_uses()")
        assert value(samples, SCORE, identifier, score) is True
        assert score_stats(samples) == (1, score)
        assert value(samples, SCORE, identifier, score) is False
        assert score_stats(samples) == (1, score)
    samples.execute("select promptctl.roll_up_uses()")
    assert score_stats(samples) == (1, 0.0)
    chain = "select place, previous, score from promptctl.scores where use_id = %s order by place"
    assert rows(samples, chain, identifier) == [(1, first, 0.5), (2, 0.5, -2.0), (3, -2.0, 0.0)]


def test_repeating_the_recorded_score_of_a_use_stores_nothing(samples: Connection) -> None:
    identifier = record_use(samples, scores=0.75)
    assert value(samples, SCORE, identifier, 0.75) is False
    assert value(samples, "select count(*) from promptctl.scores") == 0
    assert score_stats(samples) == (1, 0.75)


def test_a_later_score_is_added_to_the_hour_of_its_use(samples: Connection) -> None:
    identifier = record_use(samples, ages_ms=5 * 3_600_000.0, models="m", outcomes="timeout", input_tokens=150_000)
    samples.execute("select promptctl.roll_up_uses()")
    samples.execute(SCORE, [identifier, 0.5])
    samples.execute("select promptctl.roll_up_uses()")
    totals = rows(
        samples,
        """
        select t.grain, t.uses, t.with_score, t.score
        from promptctl.totals t
        join promptctl.uses u on u.id = %s and u.model = t.model
        where not t.is_ok and t.size = 1 and t.starts_at = case t.grain when 'all' then '-infinity'
            else date_trunc(t.grain, u.recorded_at, 'UTC') end
        order by t.grain
        """,
        identifier,
    )
    assert totals == [("all", 1, 1, 0.5), ("day", 1, 1, 0.5), ("hour", 1, 1, 0.5)]


def test_a_score_rolled_up_before_its_use_is_counted(connect: Connect, samples: Connection) -> None:
    early, between = connect(), connect()
    early.execute("begin; select pg_current_xact_id()")
    between.execute("begin; select pg_current_xact_id()")
    identifier = record_use(samples)
    value(early, SCORE, identifier, 0.5)
    early.execute("commit")
    # The transaction in between is open: the one of the score is older than it, the one of the use is not.
    samples.execute("select promptctl.roll_up_uses()")
    assert rows(
        samples, "select uses, with_score, score from promptctl.totals where grain = 'all' and version = 1"
    ) == [(0, 1, 0.5)]
    assert score_stats(samples) == (1, 0.5)
    between.execute("rollback")
    assert value(samples, "select promptctl.roll_up_uses()") == 1
    assert score_stats(samples) == (1, 0.5)


def test_concurrent_scores_of_one_use_wait_for_each_other(connect: Connect, samples: Connection) -> None:
    identifier = record_use(samples)
    first = connect()
    with first.transaction():
        assert value(first, SCORE, identifier, 0.5) is True
        second = Statement(connect(), SCORE, identifier, 0.25)
        third = Statement(connect(), SCORE, identifier, 0.25)
        second.wait_until_blocked(samples)
        third.wait_until_blocked(samples)
    assert (second.end(), third.end()) == (None, None)
    # The later one repeats the score of the other, which changes nothing.
    assert sorted([second.rows, third.rows]) == [[(False,)], [(True,)]]
    assert score_stats(samples) == (1, 0.25)


def test_a_rolled_back_score_does_not_count(connect: Connect, samples: Connection) -> None:
    identifier = record_use(samples)
    first = connect()
    with first.transaction(force_rollback=True):
        value(first, SCORE, identifier, 0.5)
        second = Statement(connect(), SCORE, identifier, 0.5)
        second.wait_until_blocked(samples)
    assert (second.end(), second.rows) == (None, [(True,)])
    assert score_stats(samples) == (1, 0.5)


def test_many_concurrent_scores_leave_one_per_use(connect: Connect, samples: Connection) -> None:
    identifiers = [record_use(samples) for _ in range(3)]
    statements = [(connect(), SCORE, [identifiers[n % 3], n / 4]) for n in range(12)]
    statements += [(connect(), "select promptctl.roll_up_uses()", []) for _ in range(2)]
    assert run_concurrently(statements) == [None] * 14
    last = (
        "select sum(score) from (select distinct on (use_id) score from promptctl.scores order by use_id, place desc) s"
    )
    assert score_stats(samples) == (3, value(samples, last) / 3)
    links = """
        select bool_and(o.previous is not distinct from
                        (select p.score from promptctl.scores p where p.use_id = o.use_id and p.place = o.place - 1))
        from promptctl.scores o
    """
    assert value(samples, links) is True


def test_a_use_older_than_the_retained_hours_cannot_be_scored(connect: Connect, samples: Connection) -> None:
    identifier = record_use(samples, ages_ms=50 * 3_600_000.0)
    value(samples, SCORE, identifier, 0.5)
    samples.execute("select promptctl.roll_up_uses()")
    # With a limit of no pages, the scores are dropped and the use is not.
    assert value(samples, "select promptctl.drop_uses(now() - interval '1 day', 0, 0)") == 0
    assert value(samples, "select count(*) from promptctl.uses where id = %s", identifier) == 1
    assert refusal(samples, SCORE, identifier, 0.75) == ("P0002", "use_exists")
    assert value(samples, "select promptctl.drop_uses(now() - interval '1 day', 0)") == 1
    assert refusal(samples, SCORE, identifier, 0.75) == ("P0002", "use_exists")
    assert score_stats(samples) == (1, 0.5)


def test_a_use_can_be_scored_until_its_drop_is_committed(connect: Connect, samples: Connection) -> None:
    identifier = record_use(samples, ages_ms=50 * 3_600_000.0)
    value(samples, SCORE, identifier, 0.5)
    samples.execute("select promptctl.roll_up_uses()")
    dropping, scoring = connect(), connect()
    with dropping.transaction():
        dropping.execute("select promptctl.drop_uses(now() - interval '1 day', 0)")
        assert value(scoring, SCORE, identifier, 0.75) is True  # the drop is not committed, so the use can be scored
    assert score_stats(samples) == (1, 0.75)
    samples.execute("select promptctl.roll_up_uses()")
    samples.execute("select promptctl.drop_uses(now() - interval '1 day', 0)")
    assert score_stats(samples) == (1, 0.75)
    assert value(samples, "select count(*) from promptctl.scores") == 0
