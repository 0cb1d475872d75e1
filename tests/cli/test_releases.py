"""`release`: list and show releases, and roll them back completely or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Ended, Promptctl


@pytest.fixture
def promptctl_with_releases(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> Promptctl:
    """Three prompts: release 1 activated a@1 and b@1, release 2 activated a@2, b@2 and c@1."""
    for name in "abc":
        for number in (1, 2, 3):
            sql.execute("select promptctl.create_version(%s, %s)", [name, f"{name} {number}"])
    sql.execute("select promptctl.activate('{a,b}', '{1,1}', 'ada@example.com', 'the first')")
    sql.execute("select promptctl.activate('{a,b,c}', '{2,2,1}', 'ci@example.com', 'sync 9f3c2ab')")
    return promptctl


def active_versions(sql: psycopg.Connection[Any]) -> dict[str, int | None]:
    return dict(sql.execute("select name, active_version from promptctl.served order by name").fetchall())


def documents(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def error(ended: Ended) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ended.err.splitlines()[-1])["error"]
    return document


def test_release_rollback_reverses_all_moves_once(
    promptctl_with_releases: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    first = documents(promptctl_with_releases("release", "rollback", "2", "--reason", "INC-412", "--json"))
    assert [(change["name"], change["previous_version"], change["version"], change["changed"]) for change in first] == [
        ("a", 2, 1, True), ("b", 2, 1, True), ("c", 1, None, True),
    ]  # fmt: skip
    assert {change["release"] for change in first} == {3}
    assert [change["is_active"] for change in first] == [True, True, False]
    assert active_versions(sql) == {"a": 1, "b": 1, "c": None}
    # A repeated rollback changes nothing.
    again = documents(promptctl_with_releases("release", "rollback", "2", "--json"))
    assert [(change["changed"], change["release"]) for change in again] == [(False, None)] * 3
    assert sql.execute("select count(*) from promptctl.releases").fetchone() == (3,)
    # The rollback is a release too, and can be rolled back.
    documents(promptctl_with_releases("release", "rollback", "3", "--json"))
    assert active_versions(sql) == {"a": 2, "b": 2, "c": 1}


def test_release_rollback_refuses_if_a_prompt_has_moved_since(
    promptctl_with_releases: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    promptctl_with_releases("activate", "b@3")
    before = active_versions(sql)
    refusal = promptctl_with_releases("release", "rollback", "2")
    assert refusal.code == 5
    assert 'error: moved since release 2: "b" (activate by ada@example.com)' in refusal.err
    assert refusal.err.splitlines()[-1] == "hint:  promptctl release rollback 2 --skip-moved"
    assert error(promptctl_with_releases("release", "rollback", "2", "--json"))["code"] == "release_moved"
    assert active_versions(sql) == before
    rest = documents(promptctl_with_releases("release", "rollback", "2", "--skip-moved", "--json"))
    assert [(change["name"], change["changed"], change["skipped"]) for change in rest] == [
        ("a", True, False), ("b", False, True), ("c", True, False),
    ]  # fmt: skip
    assert active_versions(sql) == {"a": 1, "b": 3, "c": None}


def test_rollback_continues_from_the_version_that_release_rollback_restored(
    promptctl_with_releases: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    promptctl_with_releases("activate", "a@3")
    promptctl_with_releases("rollback", "a")
    # A prompt that moved and moved back counts as moved.
    assert promptctl_with_releases("release", "rollback", "2").code == 5
    sql.execute("select promptctl.activate('{a,b}', '{3,3}')")
    promptctl_with_releases("release", "rollback", "3")
    assert active_versions(sql)["a"] == 2
    promptctl_with_releases("rollback", "a")
    assert active_versions(sql)["a"] == 1
    assert promptctl_with_releases("rollback", "a").code == 5


def test_release_rollback_to_an_archived_version_is_refused_with_a_hint(
    promptctl_with_releases: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    promptctl_with_releases("delete", "a@1")
    refusal = promptctl_with_releases("release", "rollback", "2")
    assert (refusal.code, refusal.err.splitlines()[-1]) == (5, "hint:  promptctl delete --undo a@1")
    assert active_versions(sql) == {"a": 2, "b": 2, "c": 1}


def test_release_rollback_to_a_version_with_new_variables_needs_an_option(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("select promptctl.create_version('a', 'Greet {name}.'), promptctl.create_version('b', 'x')")
    sql.execute("select promptctl.create_version('a', 'Greet.')")
    sql.execute("select promptctl.activate('{a,b}', '{1,1}')")
    sql.execute("select promptctl.activate('{a,b}', '{2,1}')")
    refusal = promptctl("release", "rollback", "2")
    assert (refusal.code, refusal.err.splitlines()[-1]) == (
        5, "hint:  promptctl diff a@2 a@1",
    )  # fmt: skip
    assert promptctl("release", "rollback", "2", "--allow-new-variables").code == 0
    assert active_versions(sql) == {"a": 1, "b": 1}


def test_release_rollback_ends_a_split_which_does_not_count_as_a_move(
    promptctl_with_releases: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("update promptctl.served set candidate_version = 3, basis_points = 500 where name = 'a'")
    ended = promptctl_with_releases("release", "rollback", "2")
    assert ended.code == 0
    assert "rolled back a: 2 → 1 in " in ended.err
    assert "ended its split" in ended.err
    row = sql.execute("select active_version, candidate_version from promptctl.served where name = 'a'").fetchone()
    assert row == (1, None)


def test_release_rollback_restores_routes(promptctl_with_releases: Promptctl, sql: psycopg.Connection[Any]) -> None:
    step = '[{"when": {"plan": "x"}, "use": "c"}]'
    with sql.transaction():
        sql.execute("select promptctl.open_release('ci@example.com')")
        sql.execute("select promptctl.activate('{a}', '{3}', release => 3)")
        sql.execute("select promptctl.set_routes('{a,b}', %s, release => 3)", [f"[{step}, {step}]"])
    # A later route does not count as a move of the active version.
    assert (
        json.loads(promptctl_with_releases("release", "show", "2", "--json").out)["changes"][1]["moved_since"] is False
    )
    first = documents(promptctl_with_releases("release", "rollback", "3", "--json"))
    assert [(change["name"], change["version"], change["route_changed"]) for change in first] == [
        ("a", 2, True),
        ("b", 2, True),
    ]
    assert first[1]["message"].startswith("restored the route of b in ")
    assert sql.execute("select count(*) from promptctl.served where route is not null").fetchone() == (0,)
    assert [
        change["changed"] for change in documents(promptctl_with_releases("release", "rollback", "3", "--json"))
    ] == [False, False]
    sql.execute("select promptctl.set_routes('{b}', %s)", ['[[{"when": {"plan": "y"}, "use": "c"}]]'])
    refusal = promptctl_with_releases("release", "rollback", "3")
    assert (refusal.code, 'error: moved since release 3: the route of "b"' in refusal.err) == (5, True)


def test_rollback_of_a_release_without_moves_changes_nothing(promptctl_with_releases: Promptctl) -> None:
    folder = promptctl_with_releases.home / "prompts" / "new"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_text("x")
    promptctl_with_releases("sync", "prompts")
    ended = promptctl_with_releases("release", "rollback", "3")
    assert (ended.code, ended.out) == (0, "")
    assert "release 3 moved no active version" in ended.err


@pytest.mark.parametrize("words", [("show", "9"), ("rollback", "9")])
def test_an_unknown_release_is_not_found(promptctl_with_releases: Promptctl, words: tuple[str, ...]) -> None:
    ended = promptctl_with_releases("release", *words)
    assert ended.code == 4
    assert "error: no release 9 in " in ended.err
    assert ended.err.splitlines()[-1] == "hint:  promptctl release list"
    assert error(promptctl_with_releases("release", *words, "--json"))["code"] == "release_not_found"


@pytest.mark.parametrize("number", ["0", "-1", "x", "01", "1.5", "99999999999999999999", "²"])
def test_an_invalid_release_number_is_refused(promptctl_with_releases: Promptctl, number: str) -> None:
    assert promptctl_with_releases("release", "show", "--", number).code == 2


def test_the_output_of_release_commands_in_every_form(
    promptctl_with_releases: Promptctl, sql: psycopg.Connection[Any], snapshot: Callable[..., None]
) -> None:
    promptctl_with_releases("activate", "b@3")
    promptctl_with_releases("release", "rollback", "2", "--skip-moved", "--reason", "INC-412")
    sql.execute("select promptctl.activate('{a,b}', '{3,3}')")
    for name, words in {
        "list": ("list",),
        "show": ("show", "2"),
        "rollback": ("rollback", "4"),
        "rollback-again": ("rollback", "4"),
        "list-newest": ("list", "--limit", "2"),
    }.items():
        snapshot(promptctl_with_releases.on_terminal("release", *words).out, f"cli/release-{name}")
    for name, words in {"list": ("list",), "show": ("show", "2"), "rollback": ("rollback", "5")}.items():
        outputs: list[str] = []
        for form in ((), ("--quiet",), ("--json",)):
            ended = promptctl_with_releases("release", *words, *form)
            outputs.append(f"$ promptctl release {' '.join((*words, *form))}\n{ended.out}---\n{ended.err}")
        snapshot("\n".join(outputs), f"cli/release-{name}-piped")


def test_release_list_of_an_empty_database_is_empty(promptctl: Promptctl) -> None:
    assert (promptctl("release", "list").out, promptctl("release", "list").code) == ("", 0)
    assert "no release yet in" in promptctl.on_terminal("release", "list").out
    assert json.loads(promptctl("release", "list", "--json").out) == {"releases": [], "count": 0}


def test_release_without_a_command_prints_its_commands(promptctl: Promptctl) -> None:
    ended = promptctl("release")
    assert ended.code == 0
    assert "release rollback" in ended.out


def test_the_next_plan_names_the_release_rollback_that_holds_a_prompt(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    folder = promptctl.home / "prompts" / "a"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"v{number}.txt").write_text(f"{number}")
        (folder / "prompt.yaml").write_text(f"active: {number}\n")
        assert promptctl("sync", "prompts").code == 0
    promptctl("release", "rollback", "2", "--reason", "INC-412")
    plan = promptctl("sync", "prompts")
    assert "held at 1, the folder names 2: ada@example.com rolled back release 2 at " in plan.out
    assert plan.code == 0
    assert active_versions(sql) == {"a": 1}
