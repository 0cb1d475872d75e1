"""The plan as a pure function of the folder, the database, and what was applied last."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from promptctl.folder.prompt_files import FileVersion, FolderPrompt
from promptctl.rules import templates
from promptctl.rules.targeting import RouteGraph
from promptctl.store.syncs import LastMove, StoredPrompt, StoredVersion
from promptctl.sync import plan
from promptctl.sync.changes import ACTIVATE, CONFLICT, DATABASE_ONLY, DESCRIBE, HELD, NEW, NOTE, ROUTE, Plan
from promptctl.sync.plan import PlanOptions

SOURCE = "example.com/prompts prompts"
# The hint never begins with a command that would undo the operator's move.
TWO_WAYS_OUT = "to keep 1, write active: 1 in prompts/a/prompt.yaml; to follow the folder, activate 2"
HOLD = LastMove("bob@example.com", "rollback", "2026-11-12T09:30:00Z", "INC-412", None)
PLAN_SAYS = {"plan": "enterprise"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def in_git(
    texts: dict[int, str], active: int | None = None, name: str = "a", route: Any = None, **said: Any
) -> FolderPrompt:
    settings = said.get("settings", {})
    versions: list[FileVersion] = []
    for number, text in texts.items():
        names = templates.variables(text, settings)
        metadata = said.get("metadata", {})
        versions.append(
            FileVersion(
                number, f"prompts/{name}/v{number}.txt", digest(text), text.encode(), len(text.encode()), names,
                templates.required(names, settings), settings, metadata, None,
            )
        )  # fmt: skip
    return FolderPrompt(name, f"prompts/{name}", f"prompts/{name}/prompt.yaml", versions, active, route, "digest")


def stored(
    texts: dict[int, str],
    active: int | None,
    applied: int | None = None,
    *,
    source: str | None = None,
    metadata: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    archived: tuple[int, ...] = (),
    needed: dict[int, str] | None = None,
    said: dict[str, dict[str, Any]] | None = None,
    route: Any = None,
    said_route: Any = None,
    ever: bool | None = None,
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
    known_source = source or (SOURCE if applied is not None else None)
    prompt = StoredPrompt(
        "a", active, max(texts) + 1, 7, route, HOLD, known_source, applied, said_route,
        applied is not None if ever is None else ever, said_route is not None if ever is None else ever,
        said or {}, versions,
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
) -> Plan:
    return plan.make(plan.Input(SOURCE, prompts, database, graph, missing or {}, unchanged), options)


def plan_of(prompt: FolderPrompt, database: dict[str, StoredPrompt], **options: bool) -> Plan:
    return make([prompt], database, PlanOptions(**options))


def changes(prompt: FolderPrompt, database: dict[str, StoredPrompt], **options: bool) -> list[tuple[str, int]]:
    return [(change.kind, change.version) for change in plan_of(prompt, database, **options).changes]


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
def test_the_active_version_follows_the_folder_only_where_the_folder_changed(
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


def test_a_text_that_another_version_has_keeps_its_number_and_has_a_note() -> None:
    result = plan_of(in_git({**TWO, 3: "one"}), stored(TWO, None))
    assert result.changes[0].message == "new, 3 bytes, same text as @1"


def test_an_edited_version_is_a_conflict_that_names_the_next_free_number() -> None:
    result = plan_of(in_git({1: "one", 2: "edited", 7: "seven"}), stored(TWO, 1))
    [conflict] = result.of(CONFLICT)
    assert conflict.version == 2
    assert conflict.message.endswith("save it as v8")


@pytest.mark.parametrize(
    ("git", "database", "why"),
    [
        (in_git(TWO, 9), stored(TWO, 1), "is set as active, but is neither in the folder nor in the database"),
        (in_git(TWO, 2), stored(TWO, 1, 1, archived=(2,)), "is set as active, but is archived"),
        (in_git(TWO), stored(TWO, 1, 1, source="elsewhere"), "comes from another source, elsewhere"),
        (in_git(TWO, name="A"), stored(TWO, 1), 'differs from "a" only in case'),
    ],
)
def test_an_impossible_activation_source_or_name_is_a_conflict(
    git: FolderPrompt, database: dict[str, StoredPrompt], why: str
) -> None:
    result = plan_of(git, database)
    assert [change.message for change in result.of(CONFLICT)] == [why]


@pytest.mark.parametrize(
    ("then", "now", "live", "wanted", "held"),
    [
        # Git says something else than it did: it is written, and what Git never spoke of is kept.
        ({"d": "A"}, {"d": "B"}, {"d": "A", "ticket": 7}, {"d": "B", "ticket": 7}, None),
        ({}, {"d": "B", "team": "core"}, {"d": "A"}, {"d": "B", "team": "core"}, None),
        ({"d": "A"}, {"d": "B"}, {"d": "C"}, {"d": "B"}, None),
        # Git stopped saying it: it goes, unless somebody has changed it since.
        ({"d": "A"}, {}, {"d": "A"}, {}, None),
        ({"d": "A"}, {}, {"d": "C"}, None, None),
        # Somebody corrected what Git still says: it stays.
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
    then: dict[str, Any], now: dict[str, Any], live: dict[str, Any], wanted: dict[str, Any] | None, held: str | None
) -> None:
    database = stored({1: "one"}, None, source=SOURCE, metadata=live, said={"1": then})
    result = plan_of(in_git({1: "one"}, metadata=now), database)
    assert [change.metadata for change in result.of(DESCRIBE)] == ([wanted] if wanted is not None else [])
    assert [change.message.partition(":")[0] for change in result.of(HELD)] == ([held] if held else [])
    assert result.applied_prompts[0].metadata == ({"1": now} if now else {})
    assert result.applied_prompts[0].is_settled == (held is None)


def test_metadata_from_outside_of_git_is_extended_and_replaced_only_with_adopt() -> None:
    git = in_git({1: "one"}, metadata={"description": "Calm", "team": "core"})
    database = stored({1: "one"}, None, metadata={"description": "Clam", "ticket": 7})
    assert [change.metadata for change in plan_of(git, database).of(DESCRIBE)] == [
        {"description": "Clam", "team": "core", "ticket": 7}
    ]
    assert [change.metadata for change in plan_of(git, database, adopt=True).of(DESCRIBE)] == [
        {"description": "Calm", "team": "core", "ticket": 7}
    ]


def test_settings_of_a_stored_version_stay_and_the_plan_has_a_note() -> None:
    result = plan_of(in_git({1: "one"}, settings={"model": "x"}), stored({1: "one"}, None, settings={"max_tokens": 1}))
    assert [(change.kind, change.message) for change in result.changes] == [
        (NOTE, "settings differ from the stored ones, which never change: max_tokens, model")
    ]
    assert not result.would_change


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
    database = stored(TWO, active, active, source=SOURCE, needed=needed)
    result = plan_of(in_git(TWO, 2), database)
    assert [change.message for change in result.of(CONFLICT)] == ([conflict] if conflict else [])
    assert result.would_change is (conflict is None)
    assert changes(in_git(TWO, 2), database, allow_new_variables=True) == [(ACTIVATE, 2)]


def test_the_variables_of_a_version_that_is_not_stored_yet_are_those_of_its_file() -> None:
    texts = {**TWO, 3: "Greet {user.name} from {city}."}
    said = {"variables": {"city": {"default": "Rom"}}}
    result = plan_of(in_git(texts, 3, settings=said), stored(TWO, 1, 1, settings=said))
    assert [(change.kind, change.message) for change in result.changes] == [
        (NEW, "new, 30 bytes; variables: user.name, city = Rom"),
        (CONFLICT, "needs user.name, which the active version 1 does not"),
    ]
    assert result.of(CONFLICT)[0].hint == (
        "if braces are text, set template: none in prompts/a/prompt.yaml; or set a default for user.name there; else "
        + plan.ALLOW_NEW_VARIABLES_COMMAND
    )
    in_no_style = plan_of(in_git(texts, 3, settings={"template": "none"}), stored(TWO, 1, 1))
    assert in_no_style.of(CONFLICT) == []


def test_a_hold_is_not_a_conflict_when_the_version_needs_variables() -> None:
    assert changes(in_git(TWO, 2), stored(TWO, 1, 2, needed={2: "city"})) == [(HELD, 2)]


def test_a_hold_is_not_a_conflict_when_the_version_is_archived() -> None:
    result = plan_of(in_git(TWO, 2), stored(TWO, 1, 2, archived=(2,)))
    [held] = result.of(HELD)
    assert held.hint == "to keep 1, write active: 1 in prompts/a/prompt.yaml; to follow the folder, activate 2"


def test_a_hold_names_the_move_and_what_ends_it() -> None:
    result = plan_of(in_git(TWO, 2), stored(TWO, 1, 2))
    [held] = result.of(HELD)
    assert (held.message, held.hold, held.hint) == ("held at 1, the folder names 2", HOLD, TWO_WAYS_OUT)
    assert [(prompt.active, prompt.is_settled) for prompt in result.applied_prompts] == [(2, False)]


def test_every_prompt_is_recorded_for_its_source_and_a_hold_keeps_the_earlier_record() -> None:
    for git, live, applied, remembered in (
        (None, 1, None, None), (None, 1, 1, None), (2, 1, None, 2), (2, 1, 2, 2), (2, 1, 1, 2), (2, 2, None, 2),
    ):  # fmt: skip
        result = plan_of(in_git(TWO, git), stored(TWO, live, applied))
        is_held = git is not None and live not in (git, applied)
        assert [(prompt.name, prompt.active, prompt.is_held) for prompt in result.applied_prompts] == [
            ("a", remembered, is_held)
        ]


def test_a_prompt_whose_source_never_set_active_is_held_when_it_does() -> None:
    database = stored(TWO, 1, None, source=SOURCE)
    assert changes(in_git(TWO, 2), database) == [(HELD, 2)]
    [held] = plan_of(in_git(TWO, 2), database).of(HELD)
    assert held.hint == TWO_WAYS_OUT


def test_a_version_activated_outside_of_git_is_replaced_only_with_adopt() -> None:
    assert changes(in_git(TWO, 2), stored(TWO, 1, None), adopt=True) == [(ACTIVATE, 2)]
    # What an operator moved since Git said so is not from elsewhere.
    assert changes(in_git(TWO, 2), stored(TWO, 1, 2), adopt=True) == [(HELD, 2)]


def test_a_prompt_of_another_source_is_taken_over_only_with_adopt() -> None:
    database = stored(TWO, 1, 1, source="elsewhere")
    same, other = in_git(TWO, 1), in_git(TWO, 2)
    assert changes(same, database) == [(CONFLICT, 0)]
    # To look at it is no claim: a folder that says what is stored has nothing to change.
    assert changes(same, database, will_apply=False) == [(NOTE, 0)]
    assert changes(other, database, will_apply=False) == [(CONFLICT, 0)]
    assert plan_of(same, database, will_apply=False).applied_prompts == []
    assert changes(other, database, adopt=True) == [(ACTIVATE, 2), (NOTE, 0)]
    assert [prompt.name for prompt in plan_of(other, database, adopt=True).applied_prompts] == ["a"]
    # Also where nothing else changes, the plan says so.
    [note] = plan_of(same, database, adopt=True).changes
    assert (note.kind, note.message) == (NOTE, "is taken over from another source, elsewhere")


def test_a_database_only_version_is_reported_at_every_sync() -> None:
    database = stored({**TWO, 3: "three"}, 1, 1, created_elsewhere=(3,))
    result = plan_of(in_git(TWO, 1), database)
    assert [(change.kind, change.version, change.message) for change in result.changes] == [
        (DATABASE_ONLY, 3, "only in the database, created by ada@example.com")
    ]
    assert not result.would_change
    assert not result.applied_prompts[0].is_settled
    # One whose file is gone is none: the folder had it.
    assert changes(in_git({1: "one"}, 1), stored(TWO, 1, 1)) == []
    assert changes(in_git(TWO, 1), stored({**TWO, 3: "three"}, 1, 1, created_elsewhere=(3,), archived=(3,))) == []


def test_a_prompt_that_left_the_folder_is_reported_as_active() -> None:
    result = make([], {}, missing={"a": 2, "b": None}, unchanged=5)
    assert [(change.kind, change.name, change.message) for change in result.changes] == [
        (DATABASE_ONLY, "a", "is no longer in the folder; version 2 stays active"),
    ]
    assert result.unchanged == 5
    assert not result.would_change


STEP = [{"when": PLAN_SAYS, "use": "b"}]
OTHER_STEP = [{"when": PLAN_SAYS, "use": "b@1"}]


@pytest.mark.parametrize(
    ("git", "live", "applied", "expected"),
    [
        (None, None, None, []),
        (None, STEP, STEP, []),
        (STEP, None, None, [ROUTE]),
        (STEP, STEP, None, []),
        ([], None, None, []),
        # Git changed its mind.
        (OTHER_STEP, STEP, STEP, [ROUTE]),
        ([], STEP, STEP, [ROUTE]),
        # Somebody else did.
        (STEP, None, STEP, [HELD]),
        (STEP, OTHER_STEP, STEP, [HELD]),
        # It is from elsewhere.
        (STEP, OTHER_STEP, None, [HELD]),
    ],
)
def test_a_route_follows_the_folder_only_where_the_folder_changed(
    git: Any, live: Any, applied: Any, expected: list[str]
) -> None:
    database = stored(TWO, 1, 1, route=live, said_route=applied)
    graph = RouteGraph({"b": frozenset({1})}, {})
    result = make([in_git(TWO, 1, route=git)], database, graph=graph)
    assert [change.kind for change in result.changes] == expected
    assert result.applied_prompts[0].route == (git if HELD not in expected else applied)


def test_a_folder_that_sets_active_or_a_route_again_has_changed() -> None:
    database = stored(TWO, 1, None, source=SOURCE, route=STEP, ever=True)
    graph = RouteGraph({"b": frozenset({1})}, {})
    result = make([in_git(TWO, 2, route=OTHER_STEP)], database, graph=graph)
    assert [change.kind for change in result.changes] == [ACTIVATE, ROUTE]


def test_the_record_of_a_version_whose_file_is_gone_stays() -> None:
    said = {"1": {"d": "A"}, "2": {"d": "B"}}
    result = plan_of(in_git({2: "two"}, metadata={"d": "C"}), stored(TWO, None, source=SOURCE, said=said))
    assert result.applied_prompts[0].metadata == {"1": {"d": "A"}, "2": {"d": "C"}}


def test_a_held_route_is_not_part_of_the_graph() -> None:
    # a: Git says none, and is held at the way to b; so b cannot lead to a.
    database = stored(TWO, None, None, source=SOURCE, route=STEP, said_route=[], ever=True)
    back = FolderPrompt("b", "b", "b/prompt.yaml", [], None, [{"when": PLAN_SAYS, "use": "a"}], "digest")
    graph = RouteGraph({"a": frozenset({1, 2}), "b": frozenset({1})}, {"a": STEP})
    result = make([in_git(TWO, route=[]), back], database, graph=graph)
    assert [(change.kind, change.name) for change in result.changes] == [(HELD, "a"), (CONFLICT, "b")]


def test_a_route_cannot_lead_to_an_archived_version_in_the_folder() -> None:
    database = stored(TWO, 1, 1, archived=(2,))
    route = [{"when": PLAN_SAYS, "use": "a@2"}]
    graph = RouteGraph({"a": frozenset({1})}, {})
    result = make([in_git(TWO, 1, route=route)], database, graph=graph)
    assert [change.message for change in result.of(CONFLICT)] == [
        "the route leads to a@2, which does not exist or is archived"
    ]


@pytest.mark.parametrize(
    ("route", "why"),
    [
        ([{"when": PLAN_SAYS, "use": "nobody"}], "the route leads to nobody, which does not exist"),
        ([{"when": PLAN_SAYS, "use": "b@9"}], "the route leads to b@9, which does not exist or is archived"),
        ([{"when": PLAN_SAYS, "use": "a"}], "the route has a cycle: a → a"),
        ([{"when": PLAN_SAYS, "use": "b"}], "the route has a cycle: a → b → c → a"),
        ([{"when": PLAN_SAYS, "use": "b@1"}], None),
        ([{"when": PLAN_SAYS, "use": "a@2"}], None),
        ([{"when": PLAN_SAYS, "use": "d"}], None),
    ],
)
def test_a_route_to_a_missing_prompt_or_with_a_cycle_is_a_conflict(route: Any, why: str | None) -> None:
    graph = RouteGraph(
        {name: frozenset({1}) for name in "bcd"},
        {
            "b": [{"when": PLAN_SAYS, "use": "c"}],
            "c": [{"when": PLAN_SAYS, "use": "a"}],
            "d": [{"when": PLAN_SAYS, "use": "d"}],
        },
    )
    result = make([in_git(TWO, route=route)], {}, graph=graph)
    assert [change.message for change in result.of(CONFLICT)] == ([why] if why else [])
