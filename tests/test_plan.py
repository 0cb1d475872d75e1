"""The plan, as the pure function that it is: three sides in, changes out."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from promptctl import plan
from promptctl.plan import ACTIVATE, CONFLICT, DESCRIBE, HELD, NEW, NOTE, StoredPrompt, StoredVersion
from promptctl.prompt_files import FileVersion, FolderPrompt

SOURCE = "example.com/prompts prompts"


def in_git(texts: dict[int, str], active: int | None = None, name: str = "a", **said: Any) -> FolderPrompt:
    versions = [
        FileVersion(
            number, f"prompts/{name}/v{number}.txt", text, said.get("settings", {}), said.get("metadata", {}), None
        )
        for number, text in texts.items()
    ]
    return FolderPrompt(name, f"prompts/{name}", versions, active)


def stored(
    texts: dict[int, str],
    active: int | None,
    applied: int | None = None,
    *,
    source: str | None = None,
    metadata: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    retired: tuple[int, ...] = (),
    needed: dict[int, str] | None = None,
) -> dict[str, StoredPrompt]:
    versions = {
        number: StoredVersion(
            hashlib.sha256(text.encode()).hexdigest(),
            settings or {},
            metadata or {},
            number in retired,
            (needed or {}).get(number, ""),
        )
        for number, text in texts.items()
    }
    known_source = source or (SOURCE if applied is not None else None)
    prompt = StoredPrompt(
        "a", active, max(texts) + 1, "bob@example.com", "rollback", "INC-412", "2026-11-12T09:30:00Z", known_source,
        applied, versions,
    )  # fmt: skip
    return {"a": prompt}


def changes(git: FolderPrompt, database: dict[str, StoredPrompt]) -> list[tuple[str, int]]:
    made = plan.make(SOURCE, [git], database, {name.lower(): name for name in database})
    return [(change.kind, change.version) for change in made.changes]


TWO = {1: "one", 2: "two"}


@pytest.mark.parametrize(
    ("git", "live", "applied", "expected"),
    [
        # Git says what is live, or says nothing.
        (None, None, None, []),
        (None, 2, None, []),
        (2, 2, None, []),
        (2, 2, 1, []),
        # Nothing is live and nothing was applied: Git may begin.
        (2, None, None, [(ACTIVATE, 2)]),
        # Something is live that Git never applied: it was somebody's, and stays.
        (2, 1, None, [(HELD, 2)]),
        # Git changed its mind.
        (2, 1, 1, [(ACTIVATE, 2)]),
        (1, 2, 2, [(ACTIVATE, 1)]),
        # An operator moved it since Git said so, also to nothing: Git has not changed its mind.
        (2, 1, 2, [(HELD, 2)]),
        (2, None, 2, [(HELD, 2)]),
        # Git changed its mind after the operator's move: it moves on.
        (2, 3, 1, [(ACTIVATE, 2)]),
    ],
)
def test_the_pointer_follows_git_only_where_git_changed_its_mind(
    git: int | None, live: int | None, applied: int | None, expected: list[tuple[str, int]]
) -> None:
    texts = {**TWO, 3: "three"}
    assert changes(in_git(texts, git), stored(texts, live, applied)) == expected


def test_a_new_prompt_is_stored_and_activated() -> None:
    assert changes(in_git(TWO, 1), {}) == [(NEW, 1), (NEW, 2), (ACTIVATE, 1)]


def test_a_file_that_is_gone_leaves_its_version_alone() -> None:
    assert changes(in_git({2: "two"}), stored(TWO, 1)) == []


def test_a_number_in_a_gap_is_stored_under_that_number() -> None:
    assert changes(in_git({1: "one", 2: "two", 3: "three"}), stored({1: "one", 3: "three"}, None)) == [(NEW, 2)]


def test_a_text_that_another_version_has_keeps_the_files_number_and_says_so() -> None:
    made = plan.make(SOURCE, [in_git({**TWO, 3: "one"})], stored(TWO, None), {"a": "a"})
    assert made.changes[0].why == "new, 3 bytes, same text as @1"


def test_an_edited_version_is_a_conflict_that_names_the_next_free_number() -> None:
    made = plan.make(SOURCE, [in_git({1: "one", 2: "edited", 7: "seven"})], stored(TWO, 1), {"a": "a"})
    [conflict] = made.of(CONFLICT)
    assert conflict.version == 2
    assert conflict.why.endswith("save it as v8")


@pytest.mark.parametrize(
    ("git", "database", "why"),
    [
        (in_git(TWO, 9), stored(TWO, 1), "should be active and is neither in the folder nor stored"),
        (in_git(TWO, 2), stored(TWO, 1, 1, retired=(2,)), "should be active and is retired"),
        (in_git(TWO), stored(TWO, 1, 1, source="elsewhere"), "comes from another source, elsewhere"),
        (in_git(TWO, name="A"), stored(TWO, 1), 'differs from "a" only in case'),
    ],
)
def test_what_cannot_be_is_a_conflict(git: FolderPrompt, database: dict[str, StoredPrompt], why: str) -> None:
    made = plan.make(SOURCE, [git], database, {"a": "a"})
    assert [change.why for change in made.of(CONFLICT)] == [why]


def test_metadata_is_corrected_and_what_git_does_not_say_is_kept() -> None:
    git = in_git({1: "one"}, metadata={"description": "Calm", "team": "core"})
    database = stored({1: "one"}, None, metadata={"description": "Clam", "ticket": 7})
    made = plan.make(SOURCE, [git], database, {"a": "a"})
    [change] = made.of(DESCRIBE)
    assert (change.why, change.metadata) == (
        "description, team",
        {"description": "Calm", "team": "core", "ticket": 7},
    )


def test_settings_of_a_stored_version_stay_and_the_plan_says_so() -> None:
    made = plan.make(
        SOURCE, [in_git({1: "one"}, settings={"model": "x"})], stored({1: "one"}, None, settings={"max_tokens": 1}),
        {"a": "a"},
    )  # fmt: skip
    assert [(change.kind, change.why) for change in made.changes] == [
        (NOTE, "is stored with other settings, which stay: max_tokens, model")
    ]
    assert not made.would_change


@pytest.mark.parametrize(
    ("active", "needed", "conflict"),
    [
        # What the version that goes live needs and the one that is live does not.
        (1, {2: "user.name city"}, "needs user.name, city, which the active version 1 does not"),
        (1, {1: "city", 2: "user.name city"}, "needs user.name, which the active version 1 does not"),
        # Nothing new, less, or nobody who would not give it.
        (1, {1: "city user.name", 2: "user.name city"}, None),
        (1, {1: "city"}, None),
        (None, {2: "city"}, None),
    ],
)
def test_an_activation_that_needs_a_new_variable_is_a_conflict(
    active: int | None, needed: dict[int, str], conflict: str | None
) -> None:
    folder, database = [in_git(TWO, 2)], stored(TWO, active, active, source=SOURCE, needed=needed)
    made = plan.make(SOURCE, folder, database, {"a": "a"})
    assert [change.why for change in made.of(CONFLICT)] == ([conflict] if conflict else [])
    assert made.would_change is (conflict is None)
    allowed = plan.make(SOURCE, folder, database, {"a": "a"}, allow_new_variables=True)
    assert [(change.kind, change.version) for change in allowed.changes] == [(ACTIVATE, 2)]


def test_the_variables_of_a_version_that_is_not_stored_yet_are_those_of_its_file() -> None:
    texts = {**TWO, 3: "Greet {user.name} from {city}."}
    said = {"variables": {"city": {"default": "Rom"}}}
    made = plan.make(SOURCE, [in_git(texts, 3, settings=said)], stored(TWO, 1, 1, settings=said), {"a": "a"})
    assert [(change.kind, change.why) for change in made.changes] == [
        (NEW, "new, 30 bytes; variables: user.name, city = Rom"),
        (CONFLICT, "needs user.name, which the active version 1 does not"),
    ]
    assert made.of(CONFLICT)[0].hint == plan.ALLOWING_NEW_VARIABLES
    in_no_style = plan.make(SOURCE, [in_git(texts, 3, settings={"template": "none"})], stored(TWO, 1, 1), {"a": "a"})
    assert in_no_style.of(CONFLICT) == []


def test_a_hold_is_no_conflict_whatever_the_version_needs() -> None:
    assert changes(in_git(TWO, 2), stored(TWO, 1, 2, needed={2: "city"})) == [(HELD, 2)]


def test_what_is_held_says_who_moved_it_and_why() -> None:
    made = plan.make(SOURCE, [in_git(TWO, 2)], stored(TWO, 1, 2), {"a": "a"})
    [held] = made.of(HELD)
    assert held.why == "held at 1, Git says 2: bob@example.com rolled back, INC-412"
    assert made.applied == {"a": 2}


def test_every_prompt_of_the_folder_is_claimed_by_its_source_and_a_hold_keeps_what_was_applied() -> None:
    for git, live, applied, remembered in (
        (None, 1, None, None), (None, 1, 1, None), (2, 1, None, None), (2, 1, 2, 2), (2, 1, 1, 2), (2, 2, None, 2),
    ):  # fmt: skip
        made = plan.make(SOURCE, [in_git(TWO, git)], stored(TWO, live, applied), {"a": "a"})
        assert made.applied == {"a": remembered}


def test_a_prompt_that_its_source_claimed_without_a_word_on_what_is_live_is_held_when_it_says_one() -> None:
    assert changes(in_git(TWO, 2), stored(TWO, 1, None, source=SOURCE)) == [(HELD, 2)]
