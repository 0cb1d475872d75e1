"""Releases as operators and scripts meet them: listed, shown, put back whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Ended, Promptctl


@pytest.fixture
def released(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> Promptctl:
    """Three prompts: release 1 made version 1 live of a and b, release 2 made 2 live of these, and 1 of c."""
    for name in "abc":
        for number in (1, 2, 3):
            sql.execute("select promptctl.create_version(%s, %s)", [name, f"{name} {number}"])
    sql.execute("select promptctl.activate('{a,b}', '{1,1}', 'ada@example.com', 'the first')")
    sql.execute("select promptctl.activate('{a,b,c}', '{2,2,1}', 'ci@example.com', 'sync 9f3c2ab')")
    return promptctl


def live(sql: psycopg.Connection[Any]) -> dict[str, int | None]:
    return dict(sql.execute("select name, active_version from promptctl.served order by name").fetchall())


def documents(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def error(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ended.err.splitlines()[-1])["error"]
    return found


def test_a_release_is_put_back_whole_and_once(released: Promptctl, sql: psycopg.Connection[Any]) -> None:
    first = documents(released("release", "rollback", "2", "--reason", "INC-412", "--json"))
    assert [(each["name"], each["previous_version"], each["version"], each["changed"]) for each in first] == [
        ("a", 2, 1, True), ("b", 2, 1, True), ("c", 1, None, True),
    ]  # fmt: skip
    assert {each["release"] for each in first} == {3}
    assert [each["is_active"] for each in first] == [True, True, False]
    assert live(sql) == {"a": 1, "b": 1, "c": None}
    # A script that runs again finds it done.
    again = documents(released("release", "rollback", "2", "--json"))
    assert [(each["changed"], each["release"]) for each in again] == [(False, None)] * 3
    assert sql.execute("select count(*) from promptctl.releases").fetchone() == (3,)
    # The rollback is a release, and can be put back.
    documents(released("release", "rollback", "3", "--json"))
    assert live(sql) == {"a": 2, "b": 2, "c": 1}


def test_one_that_has_moved_since_is_named_and_nothing_is_put_back(
    released: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    released("activate", "b@3")
    before = live(sql)
    check_failure = released("release", "rollback", "2")
    assert check_failure.code == 5
    assert 'error: moved since release 2: "b" (activate by ada@example.com)' in check_failure.err
    assert check_failure.err.splitlines()[-1] == "hint:  promptctl release rollback 2 --skip-moved"
    assert error(released("release", "rollback", "2", "--json"))["code"] == "release_moved"
    assert live(sql) == before
    rest = documents(released("release", "rollback", "2", "--skip-moved", "--json"))
    assert [(each["name"], each["changed"], each["skipped"]) for each in rest] == [
        ("a", True, False), ("b", False, True), ("c", True, False),
    ]  # fmt: skip
    assert live(sql) == {"a": 1, "b": 3, "c": None}


def test_rollback_goes_on_from_where_the_release_was_put_back_to(
    released: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    released("activate", "a@3")
    released("rollback", "a")
    # Moved away and back is moved: whoever did it, did it for a reason.
    assert released("release", "rollback", "2").code == 5
    sql.execute("select promptctl.activate('{a,b}', '{3,3}')")
    released("release", "rollback", "3")
    assert live(sql)["a"] == 2
    released("rollback", "a")
    assert live(sql)["a"] == 1
    assert released("rollback", "a").code == 5


def test_what_the_release_came_from_is_retired(released: Promptctl, sql: psycopg.Connection[Any]) -> None:
    released("delete", "a@1")
    check_failure = released("release", "rollback", "2")
    assert (check_failure.code, check_failure.err.splitlines()[-1]) == (5, "hint:  promptctl delete --undo a@1")
    assert live(sql) == {"a": 2, "b": 2, "c": 1}


def test_a_version_that_needs_a_new_variable_is_not_put_back_without_a_word(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("select promptctl.create_version('a', 'Greet {name}.'), promptctl.create_version('b', 'x')")
    sql.execute("select promptctl.create_version('a', 'Greet.')")
    sql.execute("select promptctl.activate('{a,b}', '{1,1}')")
    sql.execute("select promptctl.activate('{a,b}', '{2,1}')")
    check_failure = promptctl("release", "rollback", "2")
    assert (check_failure.code, check_failure.err.splitlines()[-1]) == (
        5, "hint:  promptctl diff a@2 a@1",
    )  # fmt: skip
    assert promptctl("release", "rollback", "2", "--allow-new-variables").code == 0
    assert live(sql) == {"a": 1, "b": 1}


def test_a_split_is_no_move_of_the_pointer_and_ends(released: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sql.execute("update promptctl.served set candidate_version = 3, basis_points = 500 where name = 'a'")
    ended = released("release", "rollback", "2")
    assert ended.code == 0
    assert "rolled back a: 2 → 1 in " in ended.err
    assert "ended its split" in ended.err
    found = sql.execute("select active_version, candidate_version from promptctl.served where name = 'a'").fetchone()
    assert found == (1, None)


def test_routes_are_put_back_too(released: Promptctl, sql: psycopg.Connection[Any]) -> None:
    step = '[{"when": {"plan": "x"}, "use": "c"}]'
    with sql.transaction():
        sql.execute("select promptctl.open_release('ci@example.com')")
        sql.execute("select promptctl.activate('{a}', '{3}', release => 3)")
        sql.execute("select promptctl.set_routes('{a,b}', %s, release => 3)", [f"[{step}, {step}]"])
    # A route of somebody else's since is no move of a pointer that another release moved.
    assert json.loads(released("release", "show", "2", "--json").out)["changes"][1]["moved_since"] is False
    first = documents(released("release", "rollback", "3", "--json"))
    assert [(each["name"], each["version"], each["route_changed"]) for each in first] == [
        ("a", 2, True),
        ("b", 2, True),
    ]
    assert first[1]["message"].startswith("restored the route of b in ")
    assert sql.execute("select count(*) from promptctl.served where route is not null").fetchone() == (0,)
    assert [each["changed"] for each in documents(released("release", "rollback", "3", "--json"))] == [False, False]
    sql.execute("select promptctl.set_routes('{b}', %s)", ['[[{"when": {"plan": "y"}, "use": "c"}]]'])
    check_failure = released("release", "rollback", "3")
    assert (check_failure.code, 'error: moved since release 3: the route of "b"' in check_failure.err) == (5, True)


def test_a_release_that_moved_nothing_has_nothing_to_put_back(released: Promptctl) -> None:
    folder = released.home / "prompts" / "new"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_text("x")
    released("sync", "prompts")
    ended = released("release", "rollback", "3")
    assert (ended.code, ended.out) == (0, "")
    assert "release 3 moved no active version" in ended.err


@pytest.mark.parametrize("words", [("show", "9"), ("rollback", "9")])
def test_a_release_that_is_not_there_is_not_found(released: Promptctl, words: tuple[str, ...]) -> None:
    ended = released("release", *words)
    assert ended.code == 4
    assert "error: no release 9 in " in ended.err
    assert ended.err.splitlines()[-1] == "hint:  promptctl release list"
    assert error(released("release", *words, "--json"))["code"] == "release_not_found"


@pytest.mark.parametrize("number", ["0", "-1", "x", "01", "1.5", "99999999999999999999", "²"])
def test_what_is_no_number_of_a_release_is_refused(released: Promptctl, number: str) -> None:
    assert released("release", "show", "--", number).code == 2


def test_a_release_is_shown_with_what_has_moved_on(
    released: Promptctl, sql: psycopg.Connection[Any], snapshot: Callable[..., None]
) -> None:
    released("activate", "b@3")
    released("release", "rollback", "2", "--skip-moved", "--reason", "INC-412")
    sql.execute("select promptctl.activate('{a,b}', '{3,3}')")
    for name, words in {
        "list": ("list",),
        "show": ("show", "2"),
        "rollback": ("rollback", "4"),
        "rollback-again": ("rollback", "4"),
        "list-newest": ("list", "--limit", "2"),
    }.items():
        snapshot(released.on_terminal("release", *words).out, f"cli/release-{name}")
    for name, words in {"list": ("list",), "show": ("show", "2"), "rollback": ("rollback", "5")}.items():
        told: list[str] = []
        for form in ((), ("--quiet",), ("--json",)):
            ended = released("release", *words, *form)
            told.append(f"$ promptctl release {' '.join((*words, *form))}\n{ended.out}---\n{ended.err}")
        snapshot("\n".join(told), f"cli/release-{name}-piped")


def test_an_empty_database_has_no_release(promptctl: Promptctl) -> None:
    assert (promptctl("release", "list").out, promptctl("release", "list").code) == ("", 0)
    assert "no release yet in" in promptctl.on_terminal("release", "list").out
    assert json.loads(promptctl("release", "list", "--json").out) == {"releases": [], "count": 0}


def test_the_family_alone_says_what_it_has(promptctl: Promptctl) -> None:
    ended = promptctl("release")
    assert ended.code == 0
    assert "release rollback" in ended.out


def test_a_rollback_by_sync_and_release_is_told_in_the_next_plan(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    folder = promptctl.home / "prompts" / "a"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"v{number}.txt").write_text(f"{number}")
        (folder / "prompt.yaml").write_text(f"active: {number}\n")
        assert promptctl("sync", "prompts").code == 0
    promptctl("release", "rollback", "2", "--reason", "INC-412")
    held = promptctl("sync", "prompts")
    assert "held at 1, the folder names 2: ada@example.com rolled back release 2 at " in held.out
    assert held.code == 0
    assert live(sql) == {"a": 1}
