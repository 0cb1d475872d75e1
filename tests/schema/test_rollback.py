"""Where a rollback leads, exactly."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.schema.support import active, create, history, move, refusal, rows, serving_state

Connection = psycopg.Connection[Any]

NOTHING_BEHIND = ("23001", "a_rollback_goes_to_an_earlier_active_version")


def rollback(connection: Connection, *names: str, to: int | None = None, expect: int | None = None) -> list[Any]:
    """Call rollback."""
    return rows(
        connection,
        """
        select name, version, previous_version, changed, split_ended, release is not null, epoch
        from promptctl.rollback(%s, %s, %s, 'me', 'why')
        """,
        list(names),
        to,
        expect,
    )


def back(connection: Connection, **options: int) -> int | None:
    """Roll `new` back; its active version after that."""
    rollback(connection, "new", **options)
    return active(connection, "new")


def refused(connection: Connection, to: int | None = None, expect: int | None = None) -> tuple[str | None, str | None]:
    """How rolling `new` back is refused; nothing is changed by it."""
    before = serving_state(connection, "new")
    found = refusal(connection, "select promptctl.rollback('{new}', %s, %s)", to, expect)
    assert serving_state(connection, "new") == before
    return found


@pytest.fixture
def moved(database: Connection) -> Connection:
    """A prompt `new` of four versions; 1, 2 and 3 were activated in turn."""
    create(database, "new", 4)
    for version in (1, 2, 3):
        move(database, {"new": version})
    return database


def split(connection: Connection, candidate: int | None) -> None:
    """Give a candidate of `new` a share, or end the split."""
    connection.execute(
        "update promptctl.served set candidate_version = %s, basis_points = 1000 where name = 'new'", [candidate]
    )


def test_it_goes_back_step_by_step_and_never_toggles(moved: Connection) -> None:
    assert rollback(moved, "new") == [("new", 2, 3, True, False, False, 4)]
    assert rollback(moved, "new") == [("new", 1, 2, True, False, False, 5)]
    assert refused(moved) == NOTHING_BEHIND
    assert history(moved, "new")[-2:] == [(4, "rollback", 3, 2), (5, "rollback", 2, 1)]


def test_who_and_why_stand_in_the_history(moved: Connection) -> None:
    rollback(moved, "new")
    found = rows(moved, "select author, reason, release from allocations where name = 'new' and epoch = 4")
    assert found == [("me", "why", None)]


def test_after_an_activation_it_goes_back_to_where_the_prompt_stood(moved: Connection) -> None:
    assert back(moved) == 2
    move(moved, {"new": 4})
    assert [back(moved), back(moved)] == [2, 1]
    assert refused(moved) == NOTHING_BEHIND


def test_activating_the_active_version_again_is_no_step(moved: Connection) -> None:
    assert move(moved, {"new": 3}) == [("new", 3, 3, False)]
    assert back(moved) == 2


def test_it_passes_over_the_same_version(moved: Connection) -> None:
    move(moved, {"new": 2})
    move(moved, {"new": 3})
    assert [back(moved), back(moved), back(moved), back(moved)] == [2, 3, 2, 1]


def test_it_passes_over_having_nothing(moved: Connection) -> None:
    moved.execute("update prompts set is_active = false where name = 'new' and version = 3")
    move(moved, {"new": 4})
    assert [back(moved), back(moved)] == [3, 2]


def test_from_having_nothing_it_goes_back_to_the_last_version(moved: Connection) -> None:
    moved.execute("update prompts set is_active = false where name = 'new' and version = 3")
    assert active(moved, "new") is None
    assert rollback(moved, "new") == [("new", 3, None, True, False, False, 5)]
    assert back(moved) == 2


def test_a_prompt_that_never_had_anything_has_nothing_behind_it(moved: Connection) -> None:
    create(moved, "never", 1)
    assert refusal(moved, "select promptctl.rollback('{never}')") == NOTHING_BEHIND


def test_the_first_activation_has_nothing_behind_it(moved: Connection) -> None:
    create(moved, "never", 2, activate=1)
    assert refusal(moved, "select promptctl.rollback('{never}')") == NOTHING_BEHIND


def test_it_passes_over_a_retired_version(moved: Connection) -> None:
    moved.execute("select retire('new', 2)")
    assert back(moved) == 1


def test_a_version_that_returned_is_met_again(moved: Connection) -> None:
    moved.execute("select retire('new', 2)")
    moved.execute("select retire('new', 2, true)")
    assert back(moved) == 2


def test_when_all_behind_it_are_retired_it_is_refused(moved: Connection) -> None:
    moved.execute("select retire('new', 1), retire('new', 2)")
    assert refused(moved) == NOTHING_BEHIND


def test_a_goal_passes_over_all_others(moved: Connection) -> None:
    assert back(moved, to=1) == 1
    assert refused(moved) == NOTHING_BEHIND


def test_a_goal_is_met_where_it_was_last(moved: Connection) -> None:
    move(moved, {"new": 1})
    move(moved, {"new": 4})
    assert [back(moved, to=1), back(moved), back(moved)] == [1, 3, 2]


def test_a_goal_that_was_never_active_is_refused(moved: Connection) -> None:
    assert refused(moved, to=4) == NOTHING_BEHIND


def test_a_goal_that_lies_ahead_is_refused(moved: Connection) -> None:
    back(moved, to=1)
    assert refused(moved, to=3) == NOTHING_BEHIND


def test_a_retired_goal_is_refused_by_that_name(moved: Connection) -> None:
    moved.execute("select retire('new', 2)")
    assert refused(moved, to=2) == ("23001", "an_archived_version_is_not_served")


def test_being_there_already_writes_no_history(moved: Connection) -> None:
    before = history(moved, "new")
    assert rollback(moved, "new", to=3) == [("new", 3, 3, False, False, False, 3)]
    assert rollback(moved, "new", to=3, expect=1) == [("new", 3, 3, False, False, False, 3)]
    assert history(moved, "new") == before
    assert back(moved) == 2


def test_an_expected_version_that_is_active_lets_it_pass(moved: Connection) -> None:
    assert back(moved, expect=3) == 2


def test_another_active_version_than_the_expected_one_refuses_it(moved: Connection) -> None:
    for to in (None, 1):
        assert refused(moved, to=to, expect=2) == ("23001", "the_active_version_is_as_expected")


def test_during_a_split_it_only_ends_the_split(moved: Connection) -> None:
    split(moved, 4)
    assert rollback(moved, "new") == [("new", 3, 3, True, True, False, 5)]
    assert serving_state(moved, "new") == (3, None, 0, 5)
    assert history(moved, "new")[-2:] == [(4, "split", 3, 3), (5, "unsplit", 3, 3)]
    assert back(moved) == 2


def test_during_a_split_the_active_version_as_goal_ends_the_split(moved: Connection) -> None:
    split(moved, 4)
    assert rollback(moved, "new", to=3) == [("new", 3, 3, True, True, False, 5)]
    assert serving_state(moved, "new")[:2] == (3, None)


def test_during_a_split_another_goal_is_gone_to(moved: Connection) -> None:
    split(moved, 4)
    assert rollback(moved, "new", to=1) == [("new", 1, 3, True, True, False, 5)]
    assert serving_state(moved, "new")[:2] == (1, None)


def test_during_a_split_the_candidate_is_no_goal_unless_it_was_active(moved: Connection) -> None:
    split(moved, 4)
    assert refused(moved, to=4) == NOTHING_BEHIND
    split(moved, 2)
    assert back(moved, to=2) == 2


def test_splits_are_no_steps(moved: Connection) -> None:
    for candidate in (4, 2, None):
        split(moved, candidate)
    assert [back(moved), back(moved)] == [2, 1]


def test_a_move_ends_the_split(moved: Connection) -> None:
    split(moved, 4)
    move(moved, {"new": 4})
    assert serving_state(moved, "new") == (4, None, 0, 5)
    assert back(moved) == 3


def test_activating_the_active_version_ends_the_split(moved: Connection) -> None:
    split(moved, 4)
    assert move(moved, {"new": 3}) == [("new", 3, 3, True)]
    assert history(moved, "new")[-1] == (5, "unsplit", 3, 3)


def test_creating_and_activating_the_active_text_ends_the_split(moved: Connection) -> None:
    split(moved, 4)
    moved.execute("select create_version('new', 'text 3', activated => true)")
    assert serving_state(moved, "new") == (3, None, 0, 5)


def test_several_prompts_go_back_together(moved: Connection) -> None:
    create(moved, "two", 2, activate=1)
    move(moved, {"two": 2})
    assert rollback(moved, "two", "new") == [
        ("two", 1, 2, True, False, True, 3),
        ("new", 2, 3, True, False, True, 4),
    ]
    found = rows(
        moved,
        """
        select count(distinct release), min(r.kind) from allocations a join releases r using (release)
        where a.kind = 'rollback'
        """,
    )
    assert found == [(1, "rollback")]


def test_several_prompts_go_back_all_or_none(moved: Connection) -> None:
    create(moved, "two", 1, activate=1)
    before = serving_state(moved, "new")
    assert refusal(moved, "select promptctl.rollback('{new,two}')") == NOTHING_BEHIND
    assert serving_state(moved, "new") == before


def test_moves_by_plain_sql_are_steps_like_any_other(moved: Connection) -> None:
    moved.execute("update served set active_version = 4 where name = 'new'")
    moved.execute("update prompts set is_active = true where name = 'new' and version = 1")
    assert [back(moved), back(moved), back(moved)] == [4, 3, 2]


def test_plain_sql_can_go_back_to_a_position(moved: Connection) -> None:
    moved.execute("update served set active_version = 2, position = 2 where name = 'new'")
    assert history(moved, "new")[-1] == (4, "rollback", 3, 2)
    assert back(moved) == 1
