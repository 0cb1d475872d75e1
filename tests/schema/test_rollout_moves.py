"""Moves of a prompt by hand while a rollout is open: it pauses, stops or is promoted, by functions and by plain SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.schema.support import Statement, create, refusal, rows, run, serving_state, value

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

START = "select promptctl.start_rollout('p', 2, '{1000,2500,5000}', '1 hour', author => 'ada')"
ROLLOUT = (
    "select state, basis_points, step_epoch, why from promptctl.rollouts where name = 'p' order by rollout desc limit 1"
)
EVENTS = """
    select e.kind, e.basis_points, e.epoch, e.why, e.author
    from promptctl.rollout_events e join promptctl.rollouts r using (rollout) where r.name = 'p'
    order by e.rollout, e.place
"""
_SERVED = "update promptctl.served set {} where name = 'p'"

# A move by its function and by plain SQL, the state of the rollout after it, why, and the kind and share of the event.
MOVES: dict[str, tuple[list[str], str, str, str, int]] = {
    "a share": (
        ["select promptctl.split('p', 4000, author => 'bob')", _SERVED.format("basis_points = 4000")],
        "paused", "the share was set to 40% by bob", "pause", 4000,
    ),
    "a share of 0": (
        ["select promptctl.split('p', 0, author => 'bob')", _SERVED.format("basis_points = 0")],
        "paused", "the share was set to 0% by bob", "pause", 0,
    ),
    "the end of the split": (
        ["select promptctl.end_split('p', author => 'bob')", "select promptctl.rollback('{p}', author => 'bob')",
         "select promptctl.activate('{p}', '{1}', author => 'bob')", _SERVED.format("candidate_version = null")],
        "stopped", "the split was ended by bob", "stop", 0,
    ),
    "the candidate": (
        ["select promptctl.activate('{p}', '{2}', author => 'bob')", _SERVED.format("active_version = 2"),
         "update promptctl.prompts set is_active = true where name = 'p' and version = 2"],
        "promoted", "activated by bob", "promote", 10000,
    ),
    "a third version": (
        ["select promptctl.activate('{p}', '{3}', author => 'bob')", _SERVED.format("active_version = 3"),
         "update promptctl.prompts set is_active = true where name = 'p' and version = 3",
         "select promptctl.create_version('p', 'another', author => 'bob', version => 3, activated => true)"],
        "stopped", "version 3 was activated by bob", "stop", 0,
    ),
    "no version": (
        ["select promptctl.deactivate('{p}', author => 'bob')", _SERVED.format("active_version = null"),
         "update promptctl.prompts set is_active = false where name = 'p' and version = 1"],
        "stopped", "deactivated by bob", "stop", 0,
    ),
    "an archived prompt": (
        ["select promptctl.archive('{p}', '{null}', author => 'bob')", _SERVED.format("archived_at = now()")],
        "stopped", "the prompt was archived by bob", "stop", 0,
    ),
    "another candidate": (
        ["select promptctl.split('p', 500, 3, author => 'bob')",
         _SERVED.format("candidate_version = 3, basis_points = 500")],
        "stopped", "a split with version 3 was started by bob", "stop", 500,
    ),
    "another seed": (
        ["select promptctl.split('p', 1000, seed => 'mine', author => 'bob')", _SERVED.format("seed = 'mine'")],
        "stopped", "the seed of the split was changed by bob", "stop", 1000,
    ),
}  # fmt: skip


@pytest.fixture
def rollout(database: Connection) -> Connection:
    """A prompt p with versions 1 to 3, whose rollout from 1 to 2 serves version 2 to 10 % of the units in epoch 2."""
    create(database, "p", 3, activate=1)
    run(database, START)
    return database


def by_bob(connection: Connection, sql: str) -> None:
    """Run a statement whose author is bob. Version 3 is inserted if the statement creates it."""
    connection.execute("select set_config('promptctl.author', 'bob', true)")
    run(connection, sql.replace("version => 3", "version => 4") if "create_version" in sql else sql)


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize(
    ("move", "sql"), [(move, sql) for move, (statements, *_) in MOVES.items() for sql in statements]
)
def test_a_move_by_hand_pauses_stops_or_promotes_the_rollout(
    rollout: Connection, move: str, sql: str, is_paused: bool
) -> None:
    _, state, why, kind, share = MOVES[move]
    if "create_version" in sql:
        why = why.replace("version 3", "version 4")
    expected = [(kind, share, 3, why, "bob")]
    if is_paused:
        rollout.execute("select promptctl.pause_rollout('p', 'ada')")
        pause = ("pause", 1000, 2, "paused by ada", "ada")
        if state == "paused":
            why, expected = "paused by ada", [pause]
        else:
            expected.insert(0, pause)
    by_bob(rollout, sql)
    assert serving_state(rollout, "p")[3] == 3
    assert rows(rollout, ROLLOUT) == [(state, 1000, 2, why)]
    assert rows(rollout, EVENTS)[1:] == expected
    is_open = state == "paused"
    assert value(rollout, "select ended_at is null from promptctl.rollouts where name = 'p'") is is_open
    before = serving_state(rollout, "p")
    assert value(rollout, "select action from promptctl.tick_rollout('p')") == "nothing"
    assert serving_state(rollout, "p") == before


@pytest.mark.parametrize(
    "sql",
    [
        """select promptctl.set_routes('{p}', '[[{"when": {"plan": "x"}, "use": "p@1"}]]')""",
        """update promptctl.served set route = '[{"when": {"plan": "x"}, "use": "other"}]' where name = 'p'""",
        "select promptctl.create_version('p', 'another')",
        "select promptctl.retire('p', 3)",
        "select promptctl.describe('p', 2, '{\"description\": \"x\"}')",
        "select promptctl.split('p', 1000, 2)",
        "update promptctl.served set updated_at = now() where name = 'p'",
    ],
)
def test_other_changes_of_the_prompt_leave_the_rollout_as_it_is(rollout: Connection, sql: str) -> None:
    before = rows(rollout, ROLLOUT), rows(rollout, EVENTS)
    by_bob(rollout, sql)
    assert (rows(rollout, ROLLOUT), rows(rollout, EVENTS)) == before


def test_a_comparison_continues_over_a_change_of_the_route(rollout: Connection) -> None:
    run(rollout, """select promptctl.set_routes('{p}', '[[{"when": {"plan": "x"}, "use": "p@1"}]]')""")
    for epoch in (2, 3):
        run(
            rollout,
            """
            select promptctl.record_use('p', 1 + (n < 30)::integer, %s, response_ms => 900 + n,
                                        unit => 'user-' || n) from generate_series(1, 60) n
            """,
            [epoch],
        )
    total = value(
        rollout,
        """
        select sum(uses_a + uses_b) from promptctl.compare_versions('p', 1, 2)
        where metric in ('uses', 'out_of_place') and share is null
        """,
    )
    assert total == 120


def test_a_rollout_resumes_from_the_share_that_was_set_by_hand(rollout: Connection) -> None:
    rollout.execute("select promptctl.split('p', 4000)")
    assert value(rollout, "select basis_points from promptctl.resume_rollout('p')") == 4000
    assert rows(rollout, ROLLOUT) == [("running", 4000, 3, None)]
    # The next step is the first that is larger.
    assert value(rollout, "select next_basis_points from promptctl.explain_rollout('p')") == 5000
    rollout.execute("select promptctl.split('p', 6000)")
    rollout.execute("select promptctl.resume_rollout('p')")
    assert value(rollout, "select next_basis_points from promptctl.explain_rollout('p')") == 10000


@pytest.mark.parametrize("share", [0, 10000])
def test_a_rollout_does_not_resume_from_a_share_at_which_one_version_is_not_served(
    rollout: Connection, share: int
) -> None:
    run(rollout, f"select promptctl.split('p', {share})")
    rule = ("23001", "the_share_of_a_rollout_is_from_1_to_9999_basis_points")
    assert refusal(rollout, "select promptctl.resume_rollout('p')") == rule
    rollout.execute("select promptctl.split('p', 500)")
    assert value(rollout, "select state from promptctl.resume_rollout('p')") == "running"


def test_a_move_of_several_prompts_ends_the_rollout_of_each(rollout: Connection) -> None:
    create(rollout, "q", 3, activate=1)
    create(rollout, "r", 3, activate=1)
    rollout.execute("select promptctl.start_rollout('q', 2)")
    rollout.execute("select promptctl.activate('{p,q,r}', '{3,2,2}', author => 'bob')")
    assert rows(rollout, "select name, state, why from promptctl.rollouts where name in ('p', 'q') order by name") == [
        ("p", "stopped", "version 3 was activated by bob"), ("q", "promoted", "activated by bob")
    ]  # fmt: skip


def test_undoing_the_archiving_of_a_prompt_does_not_open_its_rollout_again(rollout: Connection) -> None:
    rollout.execute("select promptctl.archive('{p}', '{null}')")
    rollout.execute("select promptctl.archive('{p}', '{null}', undo => true)")
    assert serving_state(rollout, "p")[:3] == (1, None, 0)
    assert value(rollout, "select state from promptctl.rollouts where name = 'p'") == "stopped"
    run(rollout, START)
    assert value(rollout, "select count(*) from promptctl.rollouts where name = 'p'") == 2


def test_a_refused_move_leaves_the_rollout_running(rollout: Connection) -> None:
    assert (
        refusal(rollout, "select promptctl.activate('{p,greeter}', '{3,3}')")[1] == "an_archived_version_is_not_served"
    )
    assert value(rollout, "select state from promptctl.rollouts where name = 'p'") == "running"


def test_a_move_inside_a_function_that_writes_rollouts_keeps_its_rights(rollout: Connection) -> None:
    # The trigger must not end the permission to write of the transaction in which it fires.
    with rollout.transaction(force_rollback=True):
        rollout.execute("select set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true)")
        rollout.execute("select promptctl.split('p', 4000)")
        setting = "select current_setting('promptctl.writing_transaction') = pg_current_xact_id()::text"
        assert value(rollout, setting) is True
    rollout.execute("select promptctl.split('p', 4000)")
    assert refusal(rollout, "delete from promptctl.rollouts") == ("23001", "rollouts_are_written_by_functions")


def test_a_move_waits_for_a_rollout_that_another_session_starts_and_then_ends_it(
    connect: Connect, sql: Connection
) -> None:
    create(sql, "p", 3, activate=1)
    first = connect()
    with first.transaction():
        run(first, START)
        second = Statement(connect(), "update promptctl.served set active_version = 3 where name = 'p'")
        second.wait_until_blocked(sql)
    assert second.end() is None
    assert serving_state(sql, "p") == (3, None, 0, 3)
    assert value(sql, "select why from promptctl.rollouts") == "version 3 was activated by postgres"


def test_a_tick_that_is_not_committed_blocks_no_move_while_it_holds(connect: Connect, sql: Connection) -> None:
    create(sql, "p", 3, activate=1)
    run(sql, START)
    with (ticker := connect()).transaction():
        assert value(ticker, "select action from promptctl.tick_rollout('p')") == "hold"
        sql.execute("set lock_timeout = '10ms'")
        sql.execute("select promptctl.rollback('{p}', author => 'bob')")
    assert rows(sql, ROLLOUT) == [("stopped", 1000, 2, "the split was ended by bob")]
