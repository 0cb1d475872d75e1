"""The plan as a pure function of the folder, the database, and what was applied last."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.folder.prompt_files import FileVersion, FolderPrompt
from promptctl.rules import templates
from promptctl.rules.targeting import RouteGraph
from promptctl.store.syncs import LastMove, StoredPrompt, StoredVersion
from promptctl.sync import plan, serving_changes
from promptctl.sync.changes import (
    ACTIVATE,
    CONFLICT,
    DATABASE_ONLY,
    DESCRIBE,
    HELD,
    NEW,
    NOTE,
    ROUTE,
    Plan,
    PlanOptions,
)

if TYPE_CHECKING:
    from promptctl.store.rollouts import Rollout

SOURCE = "example.com/prompts prompts"
# The hint does not begin with a command that undoes the operator's move.
HINT_OF_HOLD = "to keep 1, write active: 1 in prompts/a/prompt.yaml; to follow the folder, activate 2"
HOLD = LastMove("bob@example.com", "rollback", "2026-11-12T09:30:00Z", "INC-412", None)
WHEN_ENTERPRISE = {"plan": "enterprise"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def folder_prompt(
    texts: dict[int, str], active: int | None = None, name: str = "a", route: Any = None, **keys: Any
) -> FolderPrompt:
    settings = keys.get("settings", {})
    versions: list[FileVersion] = []
    for number, text in texts.items():
        names = templates.variables(text, settings)
        metadata = keys.get("metadata", {})
        versions.append(
            FileVersion(
                number, f"prompts/{name}/v{number}.txt", digest(text), text.encode(), len(text.encode()), names,
                templates.required(names, settings), settings, metadata, None,
            )
        )  # fmt: skip
    return FolderPrompt(
        name, f"prompts/{name}", f"prompts/{name}/prompt.yaml", versions, active, route, "digest",
        rollout=keys.get("rollout"),
    )  # fmt: skip


def stored_prompt(
    texts: dict[int, str],
    active: int | None,
    applied: int | None = None,
    *,
    source: str | None = None,
    metadata: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    archived: tuple[int, ...] = (),
    needed: dict[int, str] | None = None,
    applied_metadata: dict[str, dict[str, Any]] | None = None,
    route: Any = None,
    applied_route: Any = None,
    was_ever_applied: bool | None = None,
    created_elsewhere: tuple[int, ...] = (),
) -> dict[str, StoredPrompt]:
    versions = {
        number: StoredVersion(
            digest(text),
            settings or {},
            metadata or {},
            number in archived,
            (needed or {}).get(number, ""),
            "ada@example.com",
            None if number in created_elsewhere else SOURCE,
        )
        for number, text in texts.items()
    }
    applied_source = source or (SOURCE if applied is not None else None)
    prompt = StoredPrompt(
        "a", active, max(texts) + 1, 7, route, HOLD, applied_source, applied, applied_route,
        applied is not None if was_ever_applied is None else was_ever_applied,
        applied_route is not None if was_ever_applied is None else was_ever_applied,
        applied_metadata or {}, versions,
    )  # fmt: skip
    return {"a": prompt}


def make(
    prompts: list[FolderPrompt],
    database: dict[str, StoredPrompt],
    options: PlanOptions = PlanOptions(),  # noqa: B008 - immutable
    *,
    graph: RouteGraph = RouteGraph({}, {}),  # noqa: B008 - immutable
    missing: dict[str, int | None] | None = None,
    unchanged: int = 0,
    missing_rollouts: dict[str, Rollout] | None = None,
) -> Plan:
    return plan.make(
        plan.Input(SOURCE, prompts, database, graph, missing or {}, unchanged, missing_rollouts or {}), options
    )


def plan_of(prompt: FolderPrompt, database: dict[str, StoredPrompt], **options: bool) -> Plan:
    return make([prompt], database, PlanOptions(**options))


def changes(prompt: FolderPrompt, database: dict[str, StoredPrompt], **options: bool) -> list[tuple[str, int]]:
    return [(change.kind, change.version) for change in plan_of(prompt, database, **options).changes]


TWO_TEXTS = {1: "one", 2: "two"}


@pytest.mark.parametrize(
    ("git", "active", "applied", "expected"),
    [
        # The folder sets the active version, or none.
        (None, None, None, []),
        (None, 2, None, []),
        (2, 2, None, []),
        (2, 2, 1, []),
        # No version is active and none was applied: sync activates.
        (2, None, None, [(ACTIVATE, 2)]),
        # A version that no sync applied stays active.
        (2, 1, None, [(HELD, 2)]),
        # The folder changed.
        (2, 1, 1, [(ACTIVATE, 2)]),
        (1, 2, 2, [(ACTIVATE, 1)]),
        # An operator moved or deactivated it since, and the folder is unchanged.
        (2, 1, 2, [(HELD, 2)]),
        (2, None, 2, [(HELD, 2)]),
        # The folder changed after the operator's move.
        (2, 3, 1, [(ACTIVATE, 2)]),
    ],
)
def test_the_active_version_follows_the_folder_only_where_the_folder_changed(
    git: int | None, active: int | None, applied: int | None, expected: list[tuple[str, int]]
) -> None:
    texts = {**TWO_TEXTS, 3: "three"}
    assert changes(folder_prompt(texts, git), stored_prompt(texts, active, applied)) == expected


def test_a_new_prompt_is_stored_and_activated() -> None:
    assert changes(folder_prompt(TWO_TEXTS, 1), {}) == [(NEW, 1), (NEW, 2), (ACTIVATE, 1)]


def test_a_file_that_is_gone_leaves_its_version_alone() -> None:
    assert changes(folder_prompt({2: "two"}), stored_prompt(TWO_TEXTS, 1)) == []


def test_a_number_in_a_gap_is_stored_under_that_number() -> None:
    assert changes(folder_prompt({1: "one", 2: "two", 3: "three"}), stored_prompt({1: "one", 3: "three"}, None)) == [
        (NEW, 2)
    ]


def test_a_text_that_another_version_has_keeps_its_number_and_has_a_note() -> None:
    result = plan_of(folder_prompt({**TWO_TEXTS, 3: "one"}), stored_prompt(TWO_TEXTS, None))
    assert result.changes[0].message == "new, 3 bytes, same text as @1"


def test_an_edited_version_is_a_conflict_that_names_the_next_free_number() -> None:
    result = plan_of(folder_prompt({1: "one", 2: "edited", 7: "seven"}), stored_prompt(TWO_TEXTS, 1))
    [conflict] = result.of(CONFLICT)
    assert conflict.version == 2
    assert conflict.message.endswith("save it as v8")


@pytest.mark.parametrize(
    ("git", "database", "message"),
    [
        (
            folder_prompt(TWO_TEXTS, 9),
            stored_prompt(TWO_TEXTS, 1),
            "is set as active, but is neither in the folder nor in the database",
        ),
        (
            folder_prompt(TWO_TEXTS, 2),
            stored_prompt(TWO_TEXTS, 1, 1, archived=(2,)),
            "is set as active, but is archived",
        ),
        (
            folder_prompt(TWO_TEXTS),
            stored_prompt(TWO_TEXTS, 1, 1, source="elsewhere"),
            "comes from another source, elsewhere",
        ),
        (folder_prompt(TWO_TEXTS, name="A"), stored_prompt(TWO_TEXTS, 1), 'differs from "a" only in case'),
    ],
)
def test_an_impossible_activation_source_or_name_is_a_conflict(
    git: FolderPrompt, database: dict[str, StoredPrompt], message: str
) -> None:
    result = plan_of(git, database)
    assert [change.message for change in result.of(CONFLICT)] == [message]


@pytest.mark.parametrize(
    ("applied", "in_folder", "in_database", "expected", "held"),
    [
        # A change in the folder is written, and other keys are kept.
        ({"d": "A"}, {"d": "B"}, {"d": "A", "ticket": 7}, {"d": "B", "ticket": 7}, None),
        ({}, {"d": "B", "team": "core"}, {"d": "A"}, {"d": "B", "team": "core"}, None),
        ({"d": "A"}, {"d": "B"}, {"d": "C"}, {"d": "B"}, None),
        # A key removed from the folder is removed, unless somebody has changed it since.
        ({"d": "A"}, {}, {"d": "A"}, {}, None),
        ({"d": "A"}, {}, {"d": "C"}, None, None),
        # A correction of a key that the folder did not change stays.
        ({"d": "A"}, {"d": "A"}, {"d": "C"}, None, "d"),
        ({"d": "A", "e": 1}, {"d": "A", "e": 2}, {"d": "C", "e": 1}, {"d": "C", "e": 2}, "d"),
        # Nothing to do.
        ({"d": "A"}, {"d": "A"}, {"d": "A"}, None, None),
        ({}, {"d": "A"}, {"d": "A"}, None, None),
        # JSON's true is not 1.
        ({"d": 1}, {"d": True}, {"d": 1}, {"d": True}, None),
        ({"d": [1]}, {"d": [1.0]}, {"d": [1]}, None, None),
    ],
)
def test_metadata_follows_the_folder_only_where_the_folder_changed(
    applied: dict[str, Any],
    in_folder: dict[str, Any],
    in_database: dict[str, Any],
    expected: dict[str, Any] | None,
    held: str | None,
) -> None:
    database = stored_prompt({1: "one"}, None, source=SOURCE, metadata=in_database, applied_metadata={"1": applied})
    result = plan_of(folder_prompt({1: "one"}, metadata=in_folder), database)
    assert [change.metadata for change in result.of(DESCRIBE)] == ([expected] if expected is not None else [])
    assert [change.message.partition(":")[0] for change in result.of(HELD)] == ([held] if held else [])
    assert result.applied_prompts[0].metadata == ({"1": in_folder} if in_folder else {})
    assert result.applied_prompts[0].is_settled == (held is None)


def test_metadata_from_outside_of_git_is_extended_and_replaced_only_with_adopt() -> None:
    git = folder_prompt({1: "one"}, metadata={"description": "Calm", "team": "core"})
    database = stored_prompt({1: "one"}, None, metadata={"description": "Clam", "ticket": 7})
    assert [change.metadata for change in plan_of(git, database).of(DESCRIBE)] == [
        {"description": "Clam", "team": "core", "ticket": 7}
    ]
    assert [change.metadata for change in plan_of(git, database, adopt=True).of(DESCRIBE)] == [
        {"description": "Calm", "team": "core", "ticket": 7}
    ]


def test_settings_of_a_stored_version_stay_and_the_plan_has_a_note() -> None:
    result = plan_of(
        folder_prompt({1: "one"}, settings={"model": "x"}), stored_prompt({1: "one"}, None, settings={"max_tokens": 1})
    )
    assert [(change.kind, change.message) for change in result.changes] == [
        (NOTE, "settings differ from the stored ones, which never change: max_tokens, model")
    ]
    assert not result.would_change


@pytest.mark.parametrize(
    ("active", "needed", "conflict"),
    [
        # Variables that the new version needs and the active one does not.
        (1, {2: "user.name city"}, "needs user.name, city, which the active version 1 does not"),
        (1, {1: "city", 2: "user.name city"}, "needs user.name, which the active version 1 does not"),
        # No new variable, fewer variables, or no active version.
        (1, {1: "city user.name", 2: "user.name city"}, None),
        (1, {1: "city"}, None),
        (None, {2: "city"}, None),
    ],
)
def test_an_activation_that_needs_a_new_variable_is_a_conflict(
    active: int | None, needed: dict[int, str], conflict: str | None
) -> None:
    database = stored_prompt(TWO_TEXTS, active, active, source=SOURCE, needed=needed)
    result = plan_of(folder_prompt(TWO_TEXTS, 2), database)
    assert [change.message for change in result.of(CONFLICT)] == ([conflict] if conflict else [])
    assert result.would_change is (conflict is None)
    assert changes(folder_prompt(TWO_TEXTS, 2), database, allow_new_variables=True) == [(ACTIVATE, 2)]


def test_the_variables_of_a_version_that_is_not_stored_yet_are_those_of_its_file() -> None:
    texts = {**TWO_TEXTS, 3: "Greet {user.name} from {city}."}
    settings = {"variables": {"city": {"default": "Rom"}}}
    result = plan_of(folder_prompt(texts, 3, settings=settings), stored_prompt(TWO_TEXTS, 1, 1, settings=settings))
    assert [(change.kind, change.message) for change in result.changes] == [
        (NEW, "new, 30 bytes; variables: user.name, city = Rom"),
        (CONFLICT, "needs user.name, which the active version 1 does not"),
    ]
    assert result.of(CONFLICT)[0].hint == (
        "if braces are text, set template: none in prompts/a/prompt.yaml; or set a default for user.name there; else "
        + serving_changes.ALLOW_NEW_VARIABLES_COMMAND
    )
    without_style = plan_of(folder_prompt(texts, 3, settings={"template": "none"}), stored_prompt(TWO_TEXTS, 1, 1))
    assert without_style.of(CONFLICT) == []


def test_a_hold_is_not_a_conflict_when_the_version_needs_variables() -> None:
    assert changes(folder_prompt(TWO_TEXTS, 2), stored_prompt(TWO_TEXTS, 1, 2, needed={2: "city"})) == [(HELD, 2)]


def test_a_hold_is_not_a_conflict_when_the_version_is_archived() -> None:
    result = plan_of(folder_prompt(TWO_TEXTS, 2), stored_prompt(TWO_TEXTS, 1, 2, archived=(2,)))
    [held] = result.of(HELD)
    assert held.hint == "to keep 1, write active: 1 in prompts/a/prompt.yaml; to follow the folder, activate 2"


def test_a_hold_names_the_move_and_what_ends_it() -> None:
    result = plan_of(folder_prompt(TWO_TEXTS, 2), stored_prompt(TWO_TEXTS, 1, 2))
    [held] = result.of(HELD)
    assert (held.message, held.hold, held.hint) == ("held at 1, the folder names 2", HOLD, HINT_OF_HOLD)
    assert [(prompt.active, prompt.is_settled) for prompt in result.applied_prompts] == [(2, False)]


def test_every_prompt_is_recorded_for_its_source_and_a_hold_keeps_the_earlier_record() -> None:
    for git, active, applied, recorded in (
        (None, 1, None, None), (None, 1, 1, None), (2, 1, None, 2), (2, 1, 2, 2), (2, 1, 1, 2), (2, 2, None, 2),
    ):  # fmt: skip
        result = plan_of(folder_prompt(TWO_TEXTS, git), stored_prompt(TWO_TEXTS, active, applied))
        is_held = git is not None and active not in (git, applied)
        assert [(prompt.name, prompt.active, prompt.is_held) for prompt in result.applied_prompts] == [
            ("a", recorded, is_held)
        ]


def test_a_first_active_in_a_folder_does_not_replace_the_active_version() -> None:
    database = stored_prompt(TWO_TEXTS, 1, None, source=SOURCE)
    assert changes(folder_prompt(TWO_TEXTS, 2), database) == [(HELD, 2)]
    [held] = plan_of(folder_prompt(TWO_TEXTS, 2), database).of(HELD)
    assert held.hint == HINT_OF_HOLD


def test_a_version_activated_outside_of_git_is_replaced_only_with_adopt() -> None:
    assert changes(folder_prompt(TWO_TEXTS, 2), stored_prompt(TWO_TEXTS, 1, None), adopt=True) == [(ACTIVATE, 2)]
    # adopt does not replace an operator's move after a sync.
    assert changes(folder_prompt(TWO_TEXTS, 2), stored_prompt(TWO_TEXTS, 1, 2), adopt=True) == [(HELD, 2)]


def test_a_prompt_of_another_source_is_taken_over_only_with_adopt() -> None:
    database = stored_prompt(TWO_TEXTS, 1, 1, source="elsewhere")
    same, other = folder_prompt(TWO_TEXTS, 1), folder_prompt(TWO_TEXTS, 2)
    assert changes(same, database) == [(CONFLICT, 0)]
    # A dry run of a folder equal to the database is not a conflict.
    assert changes(same, database, will_apply=False) == [(NOTE, 0)]
    assert changes(other, database, will_apply=False) == [(CONFLICT, 0)]
    assert plan_of(same, database, will_apply=False).applied_prompts == []
    assert changes(other, database, adopt=True) == [(ACTIVATE, 2), (NOTE, 0)]
    assert [prompt.name for prompt in plan_of(other, database, adopt=True).applied_prompts] == ["a"]
    # The plan has the note even if nothing else changes.
    [note] = plan_of(same, database, adopt=True).changes
    assert (note.kind, note.message) == (NOTE, "is taken over from another source, elsewhere")


def test_a_database_only_version_is_reported_at_every_sync() -> None:
    database = stored_prompt({**TWO_TEXTS, 3: "three"}, 1, 1, created_elsewhere=(3,))
    result = plan_of(folder_prompt(TWO_TEXTS, 1), database)
    assert [(change.kind, change.version, change.message) for change in result.changes] == [
        (DATABASE_ONLY, 3, "only in the database, created by ada@example.com")
    ]
    assert not result.would_change
    assert not result.applied_prompts[0].is_settled
    # A version whose file was removed came from the folder, and is not reported.
    assert changes(folder_prompt({1: "one"}, 1), stored_prompt(TWO_TEXTS, 1, 1)) == []
    assert (
        changes(
            folder_prompt(TWO_TEXTS, 1),
            stored_prompt({**TWO_TEXTS, 3: "three"}, 1, 1, created_elsewhere=(3,), archived=(3,)),
        )
        == []
    )


def test_a_prompt_that_left_the_folder_is_reported_as_active() -> None:
    result = make([], {}, missing={"a": 2, "b": None}, unchanged=5)
    assert [(change.kind, change.name, change.message) for change in result.changes] == [
        (DATABASE_ONLY, "a", "is no longer in the folder; version 2 stays active"),
    ]
    assert result.unchanged == 5
    assert not result.would_change


STEP = [{"when": WHEN_ENTERPRISE, "use": "b"}]
OTHER_STEP = [{"when": WHEN_ENTERPRISE, "use": "b@1"}]


@pytest.mark.parametrize(
    ("git", "in_database", "applied", "expected"),
    [
        (None, None, None, []),
        (None, STEP, STEP, []),
        (STEP, None, None, [ROUTE]),
        (STEP, STEP, None, []),
        ([], None, None, []),
        # The folder changed.
        (OTHER_STEP, STEP, STEP, [ROUTE]),
        ([], STEP, STEP, [ROUTE]),
        # Somebody changed it in the database.
        (STEP, None, STEP, [HELD]),
        (STEP, OTHER_STEP, STEP, [HELD]),
        # It was set outside of Git.
        (STEP, OTHER_STEP, None, [HELD]),
    ],
)
def test_a_route_follows_the_folder_only_where_the_folder_changed(
    git: Any, in_database: Any, applied: Any, expected: list[str]
) -> None:
    database = stored_prompt(TWO_TEXTS, 1, 1, route=in_database, applied_route=applied)
    graph = RouteGraph({"b": frozenset({1})}, {})
    result = make([folder_prompt(TWO_TEXTS, 1, route=git)], database, graph=graph)
    assert [change.kind for change in result.changes] == expected
    assert result.applied_prompts[0].route == (git if HELD not in expected else applied)


def test_a_folder_that_sets_active_or_a_route_again_has_changed() -> None:
    database = stored_prompt(TWO_TEXTS, 1, None, source=SOURCE, route=STEP, was_ever_applied=True)
    graph = RouteGraph({"b": frozenset({1})}, {})
    result = make([folder_prompt(TWO_TEXTS, 2, route=OTHER_STEP)], database, graph=graph)
    assert [change.kind for change in result.changes] == [ACTIVATE, ROUTE]


def test_the_record_of_a_version_whose_file_is_gone_stays() -> None:
    applied_metadata = {"1": {"d": "A"}, "2": {"d": "B"}}
    result = plan_of(
        folder_prompt({2: "two"}, metadata={"d": "C"}),
        stored_prompt(TWO_TEXTS, None, source=SOURCE, applied_metadata=applied_metadata),
    )
    assert result.applied_prompts[0].metadata == {"1": {"d": "A"}, "2": {"d": "C"}}


def test_a_held_route_is_not_part_of_the_graph() -> None:
    # The folder has no route for a, whose route to b is held; so b cannot lead to a.
    database = stored_prompt(TWO_TEXTS, None, None, source=SOURCE, route=STEP, applied_route=[], was_ever_applied=True)
    route_back = FolderPrompt("b", "b", "b/prompt.yaml", [], None, [{"when": WHEN_ENTERPRISE, "use": "a"}], "digest")
    graph = RouteGraph({"a": frozenset({1, 2}), "b": frozenset({1})}, {"a": STEP})
    result = make([folder_prompt(TWO_TEXTS, route=[]), route_back], database, graph=graph)
    assert [(change.kind, change.name) for change in result.changes] == [(HELD, "a"), (CONFLICT, "b")]


def test_a_route_cannot_lead_to_an_archived_version_in_the_folder() -> None:
    database = stored_prompt(TWO_TEXTS, 1, 1, archived=(2,))
    route = [{"when": WHEN_ENTERPRISE, "use": "a@2"}]
    graph = RouteGraph({"a": frozenset({1})}, {})
    result = make([folder_prompt(TWO_TEXTS, 1, route=route)], database, graph=graph)
    assert [change.message for change in result.of(CONFLICT)] == [
        "the route leads to a@2, which does not exist or is archived"
    ]


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ([{"when": WHEN_ENTERPRISE, "use": "nobody"}], "the route leads to nobody, which does not exist"),
        ([{"when": WHEN_ENTERPRISE, "use": "b@9"}], "the route leads to b@9, which does not exist or is archived"),
        ([{"when": WHEN_ENTERPRISE, "use": "a"}], "the route has a cycle: a → a"),
        ([{"when": WHEN_ENTERPRISE, "use": "b"}], "the route has a cycle: a → b → c → a"),
        ([{"when": WHEN_ENTERPRISE, "use": "b@1"}], None),
        ([{"when": WHEN_ENTERPRISE, "use": "a@2"}], None),
        ([{"when": WHEN_ENTERPRISE, "use": "d"}], None),
    ],
)
def test_a_route_to_a_missing_prompt_or_with_a_cycle_is_a_conflict(route: Any, message: str | None) -> None:
    graph = RouteGraph(
        {name: frozenset({1}) for name in "bcd"},
        {
            "b": [{"when": WHEN_ENTERPRISE, "use": "c"}],
            "c": [{"when": WHEN_ENTERPRISE, "use": "a"}],
            "d": [{"when": WHEN_ENTERPRISE, "use": "d"}],
        },
    )
    result = make([folder_prompt(TWO_TEXTS, route=route)], {}, graph=graph)
    assert [change.message for change in result.of(CONFLICT)] == ([message] if message else [])
