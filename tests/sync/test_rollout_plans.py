"""What a sync plans for a prompt whose versions are rolled out, as a pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from promptctl.rules.rollout_plans import RolloutPlan
from promptctl.store.syncs import LastRollout, Promotion, StoredPrompt
from promptctl.sync.changes import ACTIVATE, CONFLICT, HELD, NEW, NOTE, ROLLOUT, STOP, Change, PlanOptions
from tests.sync.test_plan import SOURCE, folder_prompt, make, stored_prompt

if TYPE_CHECKING:
    from promptctl.folder.prompt_files import FolderPrompt

TEXTS = {1: "one", 2: "two", 3: "three", 4: "four"}
DEFAULT = RolloutPlan()


def rolling_out(
    candidate: int, state: str = "running", why: str | None = None, *, is_newest: bool = True
) -> LastRollout:
    return LastRollout(7, candidate, state, why, is_newest)


def changes(
    git: int | None,
    plan: RolloutPlan | None,
    active: int | None,
    applied: int | None,
    rollout: LastRollout | None = None,
    *,
    options: PlanOptions = PlanOptions(),  # noqa: B008 - immutable
    texts: dict[int, str] | None = None,
    split: tuple[int, int] | None = None,
) -> tuple[list[Change], int | None]:
    """Return the changes of a plan, and the version that it would record as applied."""
    database = stored(active, applied, rollout, texts=texts, split=split)
    made = make([folder_prompt(TEXTS, git, rollout=plan)], {"a": database}, options)
    assert len(made.applied_prompts) == 1
    return made.changes, made.applied_prompts[0].active


def stored(
    active: int | None,
    applied: int | None,
    rollout: LastRollout | None = None,
    *,
    texts: dict[int, str] | None = None,
    split: tuple[int, int] | None = None,
) -> StoredPrompt:
    """Return what the database has; an open rollout has a share of 25%."""
    database = stored_prompt(texts or TEXTS, active, applied)
    if rollout is not None and rollout.is_open:
        split = (rollout.candidate, 2500)
    fields: dict[str, Any] = database["a"].as_dict() | {"last_rollout": rollout}
    if split is not None:
        fields |= {"candidate_version": split[0], "basis_points": split[1]}
    return StoredPrompt(**fields)


def after_sync(database: StoredPrompt, prompt: FolderPrompt, options: PlanOptions) -> tuple[list[Change], StoredPrompt]:
    """Return the changes of a sync, and the database as `promptctl.record_applied` leaves it, with nothing moved."""
    made = make([prompt], {"a": database}, options)
    [recorded] = made.applied_prompts
    has_applied = database.has_applied_version or (recorded.active is not None and not recorded.is_held)
    fields: dict[str, Any] = database.as_dict() | {
        "applied_version": recorded.active, "has_applied_version": has_applied, "applied_source": SOURCE,
    }  # fmt: skip
    return made.changes, StoredPrompt(**fields)


def with_rollout(database: StoredPrompt, rollout: LastRollout) -> StoredPrompt:
    """Return the database with another state of the rollout of a prompt."""
    is_open = rollout.is_open
    fields: dict[str, Any] = database.as_dict() | {
        "last_rollout": rollout,
        "candidate_version": rollout.candidate if is_open else None,
        "basis_points": 2500 if is_open else 0,
    }
    return StoredPrompt(**fields)


def lines(found: list[Change]) -> list[tuple[str, int, str]]:
    return [(change.kind, change.version, change.message) for change in found]


def test_another_version_is_rolled_out_and_not_activated() -> None:
    plan = RolloutPlan([500, 5000], 60)
    found, applied = changes(3, plan, 2, 2)
    assert lines(found) == [(ROLLOUT, 3, "roll out 3 (2 active): 5% → 50% → 100%")]
    assert (found[0].rollout, found[0].previous_version, found[0].subject) == (plan, 2, "a")
    assert found[0].yaml_path == "prompts/a/prompt.yaml"
    assert applied == 3
    assert lines(changes(3, DEFAULT, 2, 2)[0]) == [(ROLLOUT, 3, "roll out 3 (2 active): 10% → 25% → 50% → 100%")]


def test_a_new_version_is_stored_and_rolled_out() -> None:
    found, _ = changes(3, DEFAULT, 2, 2, texts={1: "one", 2: "two", 4: "four"})
    assert [(change.kind, change.version) for change in found] == [(NEW, 3), (ROLLOUT, 3)]


def test_without_an_active_version_it_is_activated() -> None:
    assert lines(changes(3, DEFAULT, None, None)[0]) == [(ACTIVATE, 3, "activate 3 (none active)")]


@pytest.mark.parametrize("applied", [2, 3])
def test_an_open_rollout_to_the_folders_version_is_a_note(applied: int) -> None:
    found, recorded = changes(3, DEFAULT, 2, applied, rolling_out(3))
    assert lines(found) == [(NOTE, 3, "rolling out, 25% now")]
    assert recorded == 3
    paused = rolling_out(3, state="paused", why="the share was set to 25% by bob")
    assert lines(changes(3, DEFAULT, 2, applied, paused)[0]) == [
        (NOTE, 3, "rolling out, 25% now, paused (the share was set to 25% by bob)")
    ]


@pytest.mark.parametrize("applied", [2, 3])
def test_an_operators_rollout_is_held_without_the_key(applied: int) -> None:
    [held], recorded = changes(3, None, 2, applied, rolling_out(3))
    assert (held.kind, held.version, held.hold) == (HELD, 3, None)
    assert held.message == "held at 2, the folder names 3: rollout 7 is rolling it out, 25% now"
    assert held.hint == "promptctl rollout status a"
    # So a failed rollout is not followed by an activation.
    assert recorded == 3


@pytest.mark.parametrize("adopt", [False, True])
@pytest.mark.parametrize("was_held_before", [False, True])
@pytest.mark.parametrize("state", ["rolled back", "stopped"])
def test_an_operators_rollout_that_the_first_sync_finds_stays_held_after_its_failure(
    state: str, *, was_held_before: bool, adopt: bool
) -> None:
    options, folder = PlanOptions(adopt=adopt), folder_prompt(TEXTS, 3)
    database = stored(2, None)
    if was_held_before:
        found, database = after_sync(database, folder, PlanOptions())
        assert [change.kind for change in found] == [HELD]
        assert (database.applied_version, database.has_applied_version) == (3, False)
    found, database = after_sync(with_rollout(database, rolling_out(3)), folder, options)
    assert [change.kind for change in found] == [HELD]
    assert (database.applied_version, database.has_applied_version) == (3, True)
    found, _ = after_sync(with_rollout(database, rolling_out(3, state=state)), folder, options)
    assert [change.kind for change in found] == [HELD]
    # A commit names the active version: the rollout ends, and no tick activates its candidate.
    found, _ = after_sync(database, folder_prompt(TEXTS, 2), options)
    assert [change.kind for change in found] == [STOP]


@pytest.mark.parametrize("plan", [None, DEFAULT])
@pytest.mark.parametrize(
    ("state", "why", "cause"),
    [
        ("rolled back", "errors: 6.1%", "rollout 7 was rolled back: errors: 6.1%"),
        ("stopped", "stopped by bob", "rollout 7 has ended: stopped by bob"),
        ("stopped", None, "rollout 7 has ended"),
    ],
)
def test_a_failed_rollout_is_held_until_git_names_another_version(
    plan: RolloutPlan | None, state: str, why: str | None, cause: str
) -> None:
    failed = rolling_out(3, state=state, why=why)
    [held], recorded = changes(3, plan, 2, 3, failed)
    assert (held.kind, held.hold) == (HELD, None)
    assert held.message == f"held at 2, the folder names 3: {cause}"
    assert held.hint == "to keep 2, write active: 2 in prompts/a/prompt.yaml; to try 3 again, start a rollout of it"
    assert recorded == 3
    assert changes(2, plan, 2, 3, failed) == ([], 2)
    kind = ROLLOUT if plan else ACTIVATE
    assert [change.kind for change in changes(4, plan, 2, 3, failed)[0]] == [kind]
    # Git names it again, after another version: that is a new decision.
    assert [change.kind for change in changes(3, plan, 2, 2, failed)[0]] == [kind]


def test_a_hold_names_the_last_move_if_that_is_newer_than_the_rollout() -> None:
    [held], _ = changes(3, DEFAULT, 2, 3, rolling_out(3, state="rolled back", why="errors", is_newest=False))
    assert held.message == "held at 2, the folder names 3"
    assert held.hold is not None
    # Promoted, then rolled back by an operator.
    [held], _ = changes(3, DEFAULT, 2, 3, rolling_out(3, state="promoted"))
    assert held.hold is not None


@pytest.mark.parametrize("plan", [None, DEFAULT])
def test_a_revert_stops_the_rollout(plan: RolloutPlan | None) -> None:
    found, recorded = changes(2, plan, 2, 3, rolling_out(3))
    assert lines(found) == [(STOP, 3, "stop rollout 7, 25% for version 3 (2 active)")]
    assert (found[0].subject, found[0].reference, found[0].previous_version, recorded) == ("a", "a@3", 2, 2)


@pytest.mark.parametrize("plan", [None, DEFAULT])
@pytest.mark.parametrize("applied", [2, None])
def test_an_operators_rollout_runs_on_while_the_folder_is_unchanged(
    plan: RolloutPlan | None, applied: int | None
) -> None:
    assert changes(2, plan, 2, applied, rolling_out(3))[0] == []


def test_another_version_ends_an_open_rollout() -> None:
    assert lines(changes(4, DEFAULT, 2, 3, rolling_out(3))[0]) == [
        (STOP, 3, "stop rollout 7, 25% for version 3 (2 active)"),
        (ROLLOUT, 4, "roll out 4 (2 active): 10% → 25% → 50% → 100%"),
    ]
    assert lines(changes(4, None, 2, 3, rolling_out(3))[0]) == [
        (ACTIVATE, 4, "activate 4 (2 active); ends rollout 7, 25% for version 3")
    ]


def test_a_rollout_says_what_becomes_of_a_split() -> None:
    start = "roll out 3 (2 active): 10% → 25% → 50% → 100%"
    assert lines(changes(3, DEFAULT, 2, 2, split=(4, 500))[0]) == [
        (ROLLOUT, 3, f"{start}; ends the split, 5% for version 4")
    ]
    assert lines(changes(3, DEFAULT, 2, 2, split=(3, 500))[0]) == [
        (ROLLOUT, 3, f"{start}; replaces the share of the split, 5% for version 3")
    ]


def test_an_operators_version_stays_as_without_rollouts() -> None:
    [held], _ = changes(3, DEFAULT, 2, None)
    assert (held.kind, held.message) == (HELD, "held at 2, the folder names 3")
    adopted = changes(3, DEFAULT, 2, None, options=PlanOptions(adopt=True))[0]
    assert [change.kind for change in adopted] == [ROLLOUT]


def with_promotion(database: StoredPrompt, promotion: Promotion) -> dict[str, StoredPrompt]:
    fields: dict[str, Any] = database.as_dict() | {"promotion": promotion}
    return {"a": StoredPrompt(**fields)}


def test_a_revert_after_the_promotion_is_activated_at_once() -> None:
    database = with_promotion(stored(3, 3, rolling_out(3, state="promoted")), Promotion(7, 2))
    found = make([folder_prompt(TEXTS, 2, rollout=DEFAULT)], database).changes
    assert lines(found) == [(ACTIVATE, 2, "activate 2 (3 active) at once, as it was before rollout 7")]
    # A later rollout that is open ends.
    database = with_promotion(stored(3, 4, rolling_out(4)), Promotion(6, 2))
    found = make([folder_prompt(TEXTS, 2, rollout=DEFAULT)], database).changes
    assert lines(found) == [
        (ACTIVATE, 2, "activate 2 (3 active) at once, as it was before rollout 6; ends rollout 7, 25% for version 4")
    ]
    # Any other version is rolled out.
    found = make([folder_prompt(TEXTS, 1, rollout=DEFAULT)], database).changes
    assert [change.kind for change in found] == [STOP, ROLLOUT]
    # Without the key, there is nothing to explain.
    database = with_promotion(stored(3, 3), Promotion(7, 2))
    assert lines(make([folder_prompt(TEXTS, 2)], database).changes) == [(ACTIVATE, 2, "activate 2 (3 active)")]


@pytest.mark.parametrize("plan", [None, DEFAULT])
def test_a_note_says_what_a_rollout_will_do_that_the_folder_names_no_more(plan: RolloutPlan | None) -> None:
    [note], recorded = changes(None, plan, 2, 3, rolling_out(3))
    assert (note.kind, note.subject, note.hint) == (NOTE, "a", "promptctl rollout stop a")
    assert note.message == (
        "prompt.yaml names no active version now; version 2 stays active, and rollout 7 continues, with 25% for "
        "version 3, and can activate it"
    )
    assert recorded is None
    [note], _ = changes(None, plan, 2, 3, rolling_out(3, state="paused"))
    assert note.message.endswith("and rollout 7 stays paused, with 25% for version 3")
    # The next sync has no note. Neither has one for an operator's rollout, or for one that has ended.
    assert changes(None, plan, 2, None, rolling_out(3)) == ([], None)
    assert changes(None, plan, 2, 3, rolling_out(3, state="stopped")) == ([], None)
    # A commit that names the active version again stops it.
    _, database = after_sync(stored(2, 3, rolling_out(3)), folder_prompt(TEXTS, None, rollout=plan), PlanOptions())
    again, _ = after_sync(database, folder_prompt(TEXTS, 2, rollout=plan), PlanOptions())
    assert [change.kind for change in again] == [STOP]


def test_a_failed_rollout_of_a_prompt_without_an_active_version_can_only_be_activated() -> None:
    [held], _ = changes(3, DEFAULT, None, 3, rolling_out(3, state="stopped"))
    assert held.hint is not None
    assert held.hint.endswith("; to try 3 again, activate it")


def test_a_revert_of_a_later_commit_tries_a_failed_version_again() -> None:
    failed = rolling_out(3, state="rolled back")
    _, database = after_sync(stored(2, 3, failed), folder_prompt(TEXTS, 4, rollout=DEFAULT), PlanOptions())
    again, _ = after_sync(database, folder_prompt(TEXTS, 3, rollout=DEFAULT), PlanOptions())
    assert [change.kind for change in again] == [ROLLOUT]


def test_new_variables_are_the_same_conflict_as_for_an_activation() -> None:
    prompt = folder_prompt({1: "one", 2: "two {name}"}, 2, rollout=DEFAULT)
    database = stored_prompt({1: "one"}, 1, 1)
    found = make([prompt], database).changes
    assert [change.kind for change in found] == [NEW, CONFLICT]
    assert found[1].needs_new_variables
    allowed = make([prompt], database, PlanOptions(allow_new_variables=True)).changes
    assert [change.kind for change in allowed] == [NEW, ROLLOUT]
