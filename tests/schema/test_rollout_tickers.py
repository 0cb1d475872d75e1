"""Many tickers at once, killed at random, beside moves by hand: each step happens once."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.rollout_traffic import feed, let_time_pass
from tests.schema.support import Statement, create, rows, run, run_concurrently, serving_state, value

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

START = "select promptctl.start_rollout('p', 2, hold => %s::interval, least_uses => 0, guards => '[]')"
TICK = "select action from promptctl.tick_rollout('p')"
KINDS = """
    select array_agg(e.kind order by e.place) from promptctl.rollout_events e join promptctl.rollouts r using (rollout)
    where r.name = 'p'
"""
MOVES = "select array_agg(kind order by epoch) from promptctl.allocations where name = 'p' and kind <> 'route'"
SHARES = "select array_agg(basis_points order by epoch) from promptctl.allocations where name = 'p' and kind = 'split'"
PROMOTED = "select state = 'promoted' from promptctl.rollouts"
DEADLINE_SECONDS = 60.0
TICKS_AFTER_THE_END = 50


@pytest.fixture
def prompt(sql: Connection) -> Connection:
    """A prompt p with versions 1 and 2. Version 1 is active."""
    create(sql, "p", 2, activate=1)
    return sql


def race(
    connect: Connect,
    observer: Connection,
    until: str,
    operator: Callable[[Connection, random.Random], None] | None = None,
) -> list[str]:
    """Tick from eight sessions until a query returns true, then a little longer, and return the errors.

    Some sessions end inside their transactions.
    """
    errors: list[str] = []
    ticks: list[str] = []
    stop = threading.Event()

    def repeat(number: int, act: Callable[[Connection, random.Random], None]) -> None:
        chance, connection = random.Random(number), connect()
        while not stop.is_set():
            try:
                act(connection, chance)
            except psycopg.Error as error:
                errors.append(f"{type(error).__name__}: {error}")
            if connection.closed:
                connection = connect()

    def tick(connection: Connection, chance: random.Random) -> None:
        if chance.random() < 0.1:
            connection.execute("begin")
            run(connection, TICK)
            connection.close()  # the server rolls back what the tick did
        else:
            ticks.append(value(connection, TICK))

    threads = [threading.Thread(target=repeat, args=[number, tick], daemon=True) for number in range(8)]
    if operator:
        threads.append(threading.Thread(target=repeat, args=[99, operator], daemon=True))
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not value(observer, until):
        assert time.monotonic() < deadline, (ticks[-10:], errors)
    last = len(ticks) + TICKS_AFTER_THE_END
    while len(ticks) < last:
        assert time.monotonic() < deadline, (ticks[-10:], errors)
        value(observer, until)
    stop.set()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
    return errors


def test_eight_tickers_take_each_step_once(connect: Connect, prompt: Connection) -> None:
    run(prompt, START, ["0.2 s"])
    assert race(connect, prompt, PROMOTED) == []
    assert value(prompt, KINDS) == ["start", "advance", "advance", "promote"]
    assert value(prompt, MOVES) == ["activate", "split", "split", "split", "activate"]
    assert serving_state(prompt, "p") == (2, None, 0, 5)


def test_eight_tickers_take_each_step_once_while_the_route_changes(connect: Connect, prompt: Connection) -> None:
    run(prompt, START, ["0.2 s"])

    def change_route(connection: Connection, chance: random.Random) -> None:
        route = f'[[{{"when": {{"a": {chance.randrange(10**9)}}}, "use": "p@1"}}]]'
        connection.execute("select promptctl.set_routes('{p}', %s)", [route])

    assert race(connect, prompt, PROMOTED, change_route) == []
    assert value(prompt, KINDS) == ["start", "advance", "advance", "promote"]
    assert value(prompt, MOVES) == ["activate", "split", "split", "split", "activate"]


def test_tickers_beside_an_operator_who_sets_the_share_lose_no_event(connect: Connect, prompt: Connection) -> None:
    run(prompt, START, ["1 hour"])

    def set_share(connection: Connection, chance: random.Random) -> None:
        connection.execute("select promptctl.split('p', %s)", [chance.randrange(500, 1000)])
        connection.execute("select promptctl.resume_rollout('p')")

    until = "select count(*) >= 5 from promptctl.rollout_events where kind = 'resume'"
    assert race(connect, prompt, until, set_share) == []
    kinds = value(prompt, KINDS)
    pauses = kinds.count("pause")
    # A share that is set again pauses nothing.
    assert kinds == ["start"] + ["pause", "resume"] * pauses
    assert value(prompt, "select state from promptctl.rollouts") == "running"
    assert value(prompt, "select basis_points from promptctl.rollouts") == serving_state(prompt, "p")[2]


def test_a_tick_that_is_killed_inside_its_transaction_leaves_all_as_it_was(
    connect: Connect, prompt: Connection
) -> None:
    run(prompt, START, ["0"])
    # Each name is a statement of tick_rollout at which the session is ended.
    for table, operation in (
        ("rollouts", "update"), ("rollout_events", "insert"), ("served", "update"), ("allocations", "insert"),
        ("rollout_ticks", "update"),
    ):  # fmt: skip
        run(
            prompt,
            f"""
            create or replace function public.die() returns trigger language plpgsql as $$
            begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(9); return null; end $$;
            create trigger zz_die after {operation} on promptctl.{table}
                for each statement execute function public.die()
            """,
        )
        before = (
            rows(prompt, "select r::text, s::text from promptctl.rollouts r, promptctl.served s"),
            rows(prompt, KINDS),
        )
        with pytest.raises(psycopg.errors.AdminShutdown):
            run(connect(), TICK)
        run(prompt, f"drop trigger zz_die on promptctl.{table}")
        after = (
            rows(prompt, "select r::text, s::text from promptctl.rollouts r, promptctl.served s"),
            rows(prompt, KINDS),
        )
        assert after == before
    assert value(prompt, TICK) == "advance"


def test_a_tick_does_not_wait_for_a_session_that_changes_the_prompt(connect: Connect, prompt: Connection) -> None:
    run(prompt, START, ["0"])
    prompt.execute("set lock_timeout = '10ms'")
    with (other := connect()).transaction():
        other.execute("select promptctl.split('p', 4000)")
        assert rows(prompt, "select action, state, why from promptctl.tick_rollout('p')") == [
            ("busy", "running", "another session is changing the prompt")
        ]
    assert value(prompt, TICK) == "nothing"


def test_two_ticks_at_the_same_time_take_one_step(connect: Connect, prompt: Connection) -> None:
    run(prompt, START, ["1 hour"])
    let_time_pass(prompt, "p")
    assert run_concurrently((connect(), TICK, []) for _ in range(6)) == [None] * 6
    assert value(prompt, SHARES) == [1000, 2500]


def test_a_decision_does_not_hold_for_a_rollout_that_changed_meanwhile(connect: Connect, prompt: Connection) -> None:
    run(prompt, START, ["0"])
    feed(prompt, "p", 10)
    # The comparison of the tick waits here, before any lock.
    with (blocking := connect()).transaction():
        blocking.execute("lock table promptctl.uses in access exclusive mode")
        tick = Statement(connect(), "select action, state, why from promptctl.tick_rollout('p')")
        tick.wait_until_blocked(prompt)
        prompt.execute("select promptctl.pause_rollout('p')")
    assert tick.end() is None
    assert tick.rows == [("busy", "paused", "another session has changed the rollout")]
    assert value(prompt, KINDS) == ["start", "pause"]


def test_a_tick_in_repeatable_read_is_refused_if_the_rollout_has_changed(connect: Connect, prompt: Connection) -> None:
    run(prompt, START, ["0"])
    ticker = connect()
    ticker.execute("begin isolation level repeatable read")
    ticker.execute("select from promptctl.served")
    prompt.execute("select promptctl.split('p', 4000)")
    with pytest.raises(psycopg.errors.SerializationFailure):
        run(ticker, TICK)
    ticker.execute("rollback")
    assert serving_state(prompt, "p") == (1, 2, 4000, 3)
