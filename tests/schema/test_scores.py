"""Scores that come after their use: the last one counts, once, whoever gives it and whatever was rolled up before."""

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
def scored(sql: Connection) -> Connection:
    """A database with its furniture."""
    add_samples(sql)
    return sql


def use(connection: Connection, **reported: Any) -> uuid.UUID:
    """Record a use of greeter@1."""
    identifier = uuid.uuid4()
    record(connection, [{"ids": identifier} | reported])
    return identifier


def told(connection: Connection) -> tuple[int, float | None]:
    """How many uses of greeter@1 have a score, and their average, by single scores and totals; as `prompts` has it."""
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
def test_the_last_score_counts_whatever_was_rolled_up_when(
    scored: Connection, rolled_up: set[int], first: float | None
) -> None:
    use(scored)
    identifier = use(scored, scores=first)
    for turn, score in enumerate((0.5, -2.0, 0.0)):
        if turn in rolled_up:
            scored.execute("select promptctl.roll_up_uses()")
        assert value(scored, SCORE, identifier, score) is True
        assert told(scored) == (1, score)
        assert value(scored, SCORE, identifier, score) is False
        assert told(scored) == (1, score)
    scored.execute("select promptctl.roll_up_uses()")
    assert told(scored) == (1, 0.0)
    chain = "select place, previous, score from promptctl.scores where use_id = %s order by place"
    assert rows(scored, chain, identifier) == [(1, first, 0.5), (2, 0.5, -2.0), (3, -2.0, 0.0)]


def test_a_score_that_a_use_came_with_is_not_given_again(scored: Connection) -> None:
    identifier = use(scored, scores=0.75)
    assert value(scored, SCORE, identifier, 0.75) is False
    assert value(scored, "select count(*) from promptctl.scores") == 0
    assert told(scored) == (1, 0.75)


def test_a_score_goes_to_the_hour_of_its_use(scored: Connection) -> None:
    identifier = use(scored, ages_ms=5 * 3_600_000.0, models="m", outcomes="timeout", input_tokens=150_000)
    scored.execute("select promptctl.roll_up_uses()")
    scored.execute(SCORE, [identifier, 0.5])
    scored.execute("select promptctl.roll_up_uses()")
    found = rows(
        scored,
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
    assert found == [("all", 1, 1, 0.5), ("day", 1, 1, 0.5), ("hour", 1, 1, 0.5)]


def test_a_score_that_is_rolled_up_ahead_of_its_use_is_counted(connect: Connect, scored: Connection) -> None:
    early, between = connect(), connect()
    early.execute("begin; select pg_current_xact_id()")
    between.execute("begin; select pg_current_xact_id()")
    identifier = use(scored)
    value(early, SCORE, identifier, 0.5)
    early.execute("commit")
    # The one in between is still open: the score's transaction is below it, the use's is not.
    scored.execute("select promptctl.roll_up_uses()")
    assert rows(scored, "select uses, with_score, score from promptctl.totals where grain = 'all' and version = 1") == [
        (0, 1, 0.5)
    ]
    assert told(scored) == (1, 0.5)
    between.execute("rollback")
    assert value(scored, "select promptctl.roll_up_uses()") == 1
    assert told(scored) == (1, 0.5)


def test_two_that_score_one_use_at_once_go_one_after_the_other(connect: Connect, scored: Connection) -> None:
    identifier = use(scored)
    first = connect()
    with first.transaction():
        assert value(first, SCORE, identifier, 0.5) is True
        second = Statement(connect(), SCORE, identifier, 0.25)
        third = Statement(connect(), SCORE, identifier, 0.25)
        second.wait_until_blocked(scored)
        third.wait_until_blocked(scored)
    assert (second.end(), third.end()) == (None, None)
    # One of them finds what the other gave.
    assert sorted([second.rows, third.rows]) == [[(False,)], [(True,)]]
    assert told(scored) == (1, 0.25)


def test_a_score_that_is_taken_back_was_never_given(connect: Connect, scored: Connection) -> None:
    identifier = use(scored)
    first = connect()
    with first.transaction(force_rollback=True):
        value(first, SCORE, identifier, 0.5)
        second = Statement(connect(), SCORE, identifier, 0.5)
        second.wait_until_blocked(scored)
    assert (second.end(), second.rows) == (None, [(True,)])
    assert told(scored) == (1, 0.5)


def test_many_that_score_at_once_leave_one_score_per_use(connect: Connect, scored: Connection) -> None:
    identifiers = [use(scored) for _ in range(3)]
    statements = [(connect(), SCORE, [identifiers[n % 3], n / 4]) for n in range(12)]
    statements += [(connect(), "select promptctl.roll_up_uses()", []) for _ in range(2)]
    assert run_concurrently(statements) == [None] * 14
    last = (
        "select sum(score) from (select distinct on (use_id) score from promptctl.scores order by use_id, place desc) s"
    )
    assert told(scored) == (3, value(scored, last) / 3)
    links = """
        select bool_and(o.previous is not distinct from
                        (select p.score from promptctl.scores p where p.use_id = o.use_id and p.place = o.place - 1))
        from promptctl.scores o
    """
    assert value(scored, links) is True


def test_a_use_that_is_dropped_or_about_to_be_cannot_be_scored(connect: Connect, scored: Connection) -> None:
    identifier = use(scored, ages_ms=50 * 3_600_000.0)
    value(scored, SCORE, identifier, 0.5)
    scored.execute("select promptctl.roll_up_uses()")
    # No pages: its scores are gone, the use itself is still there.
    assert value(scored, "select promptctl.drop_uses(now() - interval '1 day', 0, 0)") == 0
    assert value(scored, "select count(*) from promptctl.uses where id = %s", identifier) == 1
    assert refusal(scored, SCORE, identifier, 0.75) == ("P0002", "use_exists")
    assert value(scored, "select promptctl.drop_uses(now() - interval '1 day', 0)") == 1
    assert refusal(scored, SCORE, identifier, 0.75) == ("P0002", "use_exists")
    assert told(scored) == (1, 0.5)


def test_a_use_that_is_scored_while_it_is_dropped_is_scored_or_refused(connect: Connect, scored: Connection) -> None:
    identifier = use(scored, ages_ms=50 * 3_600_000.0)
    value(scored, SCORE, identifier, 0.5)
    scored.execute("select promptctl.roll_up_uses()")
    dropping, scoring = connect(), connect()
    with dropping.transaction():
        dropping.execute("select promptctl.drop_uses(now() - interval '1 day', 0)")
        assert value(scoring, SCORE, identifier, 0.75) is True  # not committed: it is there, with its score
    assert told(scored) == (1, 0.75)
    scored.execute("select promptctl.roll_up_uses()")
    scored.execute("select promptctl.drop_uses(now() - interval '1 day', 0)")
    assert told(scored) == (1, 0.75)
    assert value(scored, "select count(*) from promptctl.scores") == 0
