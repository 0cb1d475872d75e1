"""Which version a rollback activates, and when it is refused."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.schema.support import active, create, history, move, refusal, rows, serving_state

Connection = psycopg.Connection[Any]

NO_EARLIER_VERSION = ("23001", "a_rollback_goes_to_an_earlier_active_version")


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


def roll_back(connection: Connection, **options: int) -> int | None:
    """Roll `new` back and return its active version."""
    rollback(connection, "new", **options)
    return active(connection, "new")


def rollback_refusal(
    connection: Connection, to: int | None = None, expect: int | None = None
) -> tuple[str | None, str | None]:
    """Return the error of a refused rollback of `new`, and check that it changed nothing."""
    before = serving_state(connection, "new")
    error = refusal(connection, "select promptctl.rollback('{new}', %s, %s)", to, expect)
    assert serving_state(connection, "new") == before
    return error


@pytest.fixture
def prompt(database: Connection) -> Connection:
    """A prompt `new` of four versions; 1, 2 and 3 were activated in turn."""
    create(database, "new", 4)
    for version in (1, 2, 3):
        move(database, {"new": version})
    return database


def split(connection: Connection, candidate: int | None) -> None:
    """Split `new` with a candidate, or end the split."""
    connection.execute(
        "update promptctl.served set candidate_version = %s, basis_points = 1000 where name = 'new'", [candidate]
    )


def test_rollback_goes_back_step_by_step_and_never_toggles(prompt: Connection) -> None:
    assert rollback(prompt, "new") == [("new", 2, 3, True, False, False, 4)]
    assert rollback(prompt, "new") == [("new", 1, 2, True, False, False, 5)]
    assert rollback_refusal(prompt) == NO_EARLIER_VERSION
    assert history(prompt, "new")[-2:] == [(4, "rollback", 3, 2), (5, "rollback", 2, 1)]


def test_a_rollback_records_its_author_and_reason(prompt: Connection) -> None:
    rollback(prompt, "new")
    allocations = rows(prompt, "select author, reason, release from allocations where name = 'new' and epoch = 4")
    assert allocations == [("me", "why", None)]


def test_rollback_reverses_an_activation_made_after_a_rollback(prompt: Connection) -> None:
    assert roll_back(prompt) == 2
    move(prompt, {"new": 4})
    assert [roll_back(prompt), roll_back(prompt)] == [2, 1]
    assert rollback_refusal(prompt) == NO_EARLIER_VERSION


def test_activating_the_active_version_again_adds_no_rollback_step(prompt: Connection) -> None:
    assert move(prompt, {"new": 3}) == [("new", 3, 3, False)]
    assert roll_back(prompt) == 2


def test_rollback_follows_repeated_activations_one_by_one(prompt: Connection) -> None:
    move(prompt, {"new": 2})
    move(prompt, {"new": 3})
    assert [roll_back(prompt), roll_back(prompt), roll_back(prompt), roll_back(prompt)] == [2, 3, 2, 1]


def test_rollback_skips_a_time_without_an_active_version(prompt: Connection) -> None:
    prompt.execute("update prompts set is_active = false where name = 'new' and version = 3")
    move(prompt, {"new": 4})
    assert [roll_back(prompt), roll_back(prompt)] == [3, 2]


def test_rollback_of_a_deactivated_prompt_restores_its_last_version(prompt: Connection) -> None:
    prompt.execute("update prompts set is_active = false where name = 'new' and version = 3")
    assert active(prompt, "new") is None
    assert rollback(prompt, "new") == [("new", 3, None, True, False, False, 5)]
    assert roll_back(prompt) == 2


def test_rollback_of_a_never_activated_prompt_is_refused(prompt: Connection) -> None:
    create(prompt, "never", 1)
    assert refusal(prompt, "select promptctl.rollback('{never}')") == NO_EARLIER_VERSION


def test_rollback_of_the_first_activation_is_refused(prompt: Connection) -> None:
    create(prompt, "never", 2, activate=1)
    assert refusal(prompt, "select promptctl.rollback('{never}')") == NO_EARLIER_VERSION


def test_rollback_skips_an_archived_version(prompt: Connection) -> None:
    prompt.execute("select retire('new', 2)")
    assert roll_back(prompt) == 1


def test_rollback_returns_to_a_version_restored_from_the_archive(prompt: Connection) -> None:
    prompt.execute("select retire('new', 2)")
    prompt.execute("select retire('new', 2, true)")
    assert roll_back(prompt) == 2


def test_rollback_is_refused_if_all_earlier_versions_are_archived(prompt: Connection) -> None:
    prompt.execute("select retire('new', 1), retire('new', 2)")
    assert rollback_refusal(prompt) == NO_EARLIER_VERSION


def test_rollback_to_a_version_skips_those_between(prompt: Connection) -> None:
    assert roll_back(prompt, to=1) == 1
    assert rollback_refusal(prompt) == NO_EARLIER_VERSION


def test_rollback_to_a_version_goes_to_its_latest_activation(prompt: Connection) -> None:
    move(prompt, {"new": 1})
    move(prompt, {"new": 4})
    assert [roll_back(prompt, to=1), roll_back(prompt), roll_back(prompt)] == [1, 3, 2]


def test_rollback_to_a_version_that_was_never_active_is_refused(prompt: Connection) -> None:
    assert rollback_refusal(prompt, to=4) == NO_EARLIER_VERSION


def test_rollback_to_a_later_version_of_the_history_is_refused(prompt: Connection) -> None:
    roll_back(prompt, to=1)
    assert rollback_refusal(prompt, to=3) == NO_EARLIER_VERSION


def test_rollback_to_an_archived_version_reports_that_it_is_archived(prompt: Connection) -> None:
    prompt.execute("select retire('new', 2)")
    assert rollback_refusal(prompt, to=2) == ("23001", "an_archived_version_is_not_served")


def test_rollback_to_the_active_version_writes_no_history(prompt: Connection) -> None:
    before = history(prompt, "new")
    assert rollback(prompt, "new", to=3) == [("new", 3, 3, False, False, False, 3)]
    assert rollback(prompt, "new", to=3, expect=1) == [("new", 3, 3, False, False, False, 3)]
    assert history(prompt, "new") == before
    assert roll_back(prompt) == 2


def test_rollback_succeeds_if_the_expected_version_is_active(prompt: Connection) -> None:
    assert roll_back(prompt, expect=3) == 2


def test_rollback_is_refused_if_the_expected_version_is_not_active(prompt: Connection) -> None:
    for to in (None, 1):
        assert rollback_refusal(prompt, to=to, expect=2) == ("23001", "the_active_version_is_as_expected")


def test_rollback_during_a_split_only_ends_the_split(prompt: Connection) -> None:
    split(prompt, 4)
    assert rollback(prompt, "new") == [("new", 3, 3, True, True, False, 5)]
    assert serving_state(prompt, "new") == (3, None, 0, 5)
    assert history(prompt, "new")[-2:] == [(4, "split", 3, 3), (5, "unsplit", 3, 3)]
    assert roll_back(prompt) == 2


def test_rollback_to_the_active_version_during_a_split_ends_it(prompt: Connection) -> None:
    split(prompt, 4)
    assert rollback(prompt, "new", to=3) == [("new", 3, 3, True, True, False, 5)]
    assert serving_state(prompt, "new")[:2] == (3, None)


def test_rollback_to_another_version_during_a_split_moves_and_ends_it(prompt: Connection) -> None:
    split(prompt, 4)
    assert rollback(prompt, "new", to=1) == [("new", 1, 3, True, True, False, 5)]
    assert serving_state(prompt, "new")[:2] == (1, None)


def test_rollback_to_a_candidate_is_refused_unless_it_was_active(prompt: Connection) -> None:
    split(prompt, 4)
    assert rollback_refusal(prompt, to=4) == NO_EARLIER_VERSION
    split(prompt, 2)
    assert roll_back(prompt, to=2) == 2


def test_rollback_skips_splits(prompt: Connection) -> None:
    for candidate in (4, 2, None):
        split(prompt, candidate)
    assert [roll_back(prompt), roll_back(prompt)] == [2, 1]


def test_activating_another_version_ends_the_split(prompt: Connection) -> None:
    split(prompt, 4)
    move(prompt, {"new": 4})
    assert serving_state(prompt, "new") == (4, None, 0, 5)
    assert roll_back(prompt) == 3


def test_activating_the_active_version_ends_the_split(prompt: Connection) -> None:
    split(prompt, 4)
    assert move(prompt, {"new": 3}) == [("new", 3, 3, True)]
    assert history(prompt, "new")[-1] == (5, "unsplit", 3, 3)


def test_creating_and_activating_the_active_text_ends_the_split(prompt: Connection) -> None:
    split(prompt, 4)
    prompt.execute("select create_version('new', 'text 3', activated => true)")
    assert serving_state(prompt, "new") == (3, None, 0, 5)


def test_a_rollback_of_several_prompts_is_one_release(prompt: Connection) -> None:
    create(prompt, "two", 2, activate=1)
    move(prompt, {"two": 2})
    assert rollback(prompt, "two", "new") == [
        ("two", 1, 2, True, False, True, 3),
        ("new", 2, 3, True, False, True, 4),
    ]
    releases = rows(
        prompt,
        """
        select count(distinct release), min(r.kind) from allocations a join releases r using (release)
        where a.kind = 'rollback'
        """,
    )
    assert releases == [(1, "rollback")]


def test_a_rollback_of_several_prompts_is_atomic(prompt: Connection) -> None:
    create(prompt, "two", 1, activate=1)
    before = serving_state(prompt, "new")
    assert refusal(prompt, "select promptctl.rollback('{new,two}')") == NO_EARLIER_VERSION
    assert serving_state(prompt, "new") == before


def test_rollback_reverses_moves_made_by_plain_sql(prompt: Connection) -> None:
    prompt.execute("update served set active_version = 4 where name = 'new'")
    prompt.execute("update prompts set is_active = true where name = 'new' and version = 1")
    assert [roll_back(prompt), roll_back(prompt), roll_back(prompt)] == [4, 3, 2]


def test_an_update_to_an_earlier_position_is_a_rollback(prompt: Connection) -> None:
    prompt.execute("update served set active_version = 2, position = 2 where name = 'new'")
    assert history(prompt, "new")[-1] == (4, "rollback", 3, 2)
    assert roll_back(prompt) == 1
