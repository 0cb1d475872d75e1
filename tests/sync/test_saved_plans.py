"""Saved plans: applied exactly as saved, or refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

from promptctl.sync import plan_documents
from tests.conftest import Ended, Promptctl


def write(home: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = home / "prompts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def planned(promptctl: Promptctl) -> Promptctl:
    """A folder that was applied and then changed, with the plan of the changes saved."""
    write(promptctl.home, {"a/v1.txt": "one", "a/prompt.yaml": "active: 1\n", "b/v1.txt": "one"})
    assert promptctl("sync", "prompts").code == 0
    route = "route:\n- {when: {plan: x}, use: b}\n"
    described = "versions: {1: {description: The first}}\n"
    write(
        promptctl.home,
        {"a/v2.txt": "Grüße, {name}!\n", "a/prompt.yaml": f"active: 2\n{route}{described}", "c/d/v7.md": "new"},
    )
    ended = promptctl("sync", "prompts", "--save-plan", "plan.json", "--allow-new-variables")
    assert ended.code == 0, ended.err
    assert "saved in plan.json: promptctl sync --apply-plan plan.json applies it" in ended.err
    return promptctl


def state(sql: psycopg.Connection[Any]) -> list[Any]:
    """Everything that a sync writes, except times."""
    return [
        sql.execute(statement).fetchall()
        for statement in (
            "select name, version, content, metadata, origin, release from promptctl.versions order by 1, 2",
            "select name, active_version, epoch, route from promptctl.served order by 1",
            "select name, active_version, route, metadata, digest, next_version from promptctl.applied order by 1",
            "select name, kind, version, release, origin, author, reason from promptctl.allocations order by 1, epoch",
            "select name, version, metadata, release from promptctl.corrections order by id",
        )
    ]


def code(ended: Ended) -> str:
    return json.loads(ended.err.splitlines()[-1])["error"]["code"]


def test_saving_a_plan_changes_nothing_in_the_database(planned: Promptctl, sql: psycopg.Connection[Any]) -> None:
    assert sql.execute("select count(*) from promptctl.versions").fetchone() == (2,)
    assert sql.execute("select count(*) from promptctl.releases").fetchone() == (1,)


def test_a_saved_plan_is_applied_without_the_folder(planned: Promptctl, sql: psycopg.Connection[Any]) -> None:
    (planned.home / "prompts").rename(planned.home / "gone")
    applied = planned("sync", "--apply-plan", "plan.json")
    assert applied.code == 0, applied.err
    assert "2 new, 1 activation, 1 correction, 1 route; applied as release 2" in applied.err
    assert planned("show", "a").out == "Grüße, {name}!\n"
    (planned.home / "gone").rename(planned.home / "prompts")
    second = planned("sync", "prompts")
    assert (second.code, second.out) == (0, "")


def test_a_saved_plan_has_the_same_result_as_the_folder(
    separate_database: None, planned: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    assert planned("sync", "--apply-plan", "plan.json").code == 0
    by_plan = state(sql)
    sql.execute("drop schema promptctl cascade")
    assert planned("db", "init").code == 0
    for name in ("a/v2.txt", "c/d/v7.md"):
        (planned.home / "prompts" / name).unlink()
    write(planned.home, {"a/prompt.yaml": "active: 1\n"})
    planned("sync", "prompts")
    route = "route:\n- {when: {plan: x}, use: b}\n"
    described = "versions: {1: {description: The first}}\n"
    write(
        planned.home,
        {"a/v2.txt": "Grüße, {name}!\n", "a/prompt.yaml": f"active: 2\n{route}{described}", "c/d/v7.md": "new"},
    )
    assert planned("sync", "prompts", "--allow-new-variables").code == 0
    assert state(sql) == by_plan


@pytest.mark.parametrize(
    "moved",
    [
        "update promptctl.served set active_version = null where name = 'a'",
        "select promptctl.create_version('a', 'another')",
        "select promptctl.create_version('c/d', 'another')",
        "select promptctl.describe('a', 1, '{\"description\": \"Mine\"}')",
        'select promptctl.set_routes(\'{a}\', \'[[{"when": {"plan": "y"}, "use": "b"}]]\')',
        "update promptctl.sources set commit = '9f3c2ab'",
    ],
)
def test_a_plan_is_refused_when_the_database_has_changed_since(
    planned: Promptctl, sql: psycopg.Connection[Any], moved: str
) -> None:
    sql.execute(moved.encode())
    before = state(sql)
    refused = planned("sync", "--apply-plan", "plan.json", "--json")
    assert (refused.code, refused.out, code(refused)) == (5, "", "plan_outdated")
    assert state(sql) == before


@pytest.mark.parametrize(
    "moved",
    [
        "select promptctl.activate('{a}', '{1}')",
        "select promptctl.create_version('b', 'two', activated => true)",
        "select promptctl.record_source('elsewhere')",
    ],
)
def test_a_plan_is_applied_after_changes_of_other_prompts(
    planned: Promptctl, sql: psycopg.Connection[Any], moved: str
) -> None:
    sql.execute(moved.encode())
    assert planned("sync", "--apply-plan", "plan.json").code == 0


def test_an_applied_plan_is_refused_the_second_time(planned: Promptctl) -> None:
    planned("sync", "--apply-plan", "plan.json")
    refused = planned("sync", "--apply-plan", "plan.json")
    assert refused.code == 5
    assert "has changed since the plan was made; nothing was applied" in refused.err


def test_a_plan_is_refused_by_another_database(planned: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sql.execute("update promptctl.installation set id = gen_random_uuid()")
    refused = planned("sync", "--apply-plan", "plan.json")
    assert (refused.code, "made for another database" in refused.err) == (5, True)


def test_a_plan_that_is_refused_is_not_saved(planned: Promptctl) -> None:
    write(planned.home, {"a/v1.txt": "edited"})
    refused = planned("sync", "prompts", "--save-plan", "other.json")
    assert refused.code == 5
    assert not (planned.home / "other.json").exists()


def test_a_plan_with_nothing_to_do_can_be_saved_and_applied(promptctl: Promptctl) -> None:
    write(promptctl.home, {"a/v1.txt": "one"})
    promptctl("sync", "prompts")
    promptctl("sync", "prompts", "--save-plan", "plan.json")
    applied = promptctl("sync", "--apply-plan", "plan.json")
    assert (applied.code, "no changes" in applied.err) == (0, True)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[" * 100_000, "\xff"])
def test_a_file_that_is_not_a_plan_is_refused(planned: Promptctl, text: str) -> None:
    (planned.home / "plan.json").write_bytes(text.encode("latin-1"))
    refused = planned("sync", "--apply-plan", "plan.json", "--json")
    assert (refused.code, code(refused)) == (1, "invalid_plan")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"promptctl_plan": 5', '"promptctl_plan": 99'),
        ('"changes"', '"chances"'),
        ('"kind": "new"', '"kin": "new"'),
        ('"unchanged": ', '"unchanged": "many", "x": '),
        ('"version": 7', '"version": "7"'),
        ('"expected": {', '"expected": ["a", "b"], "x": {'),
        ("}\n", ""),
    ],
)
def test_a_damaged_plan_is_refused(planned: Promptctl, old: str, new: str) -> None:
    path = planned.home / "plan.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    refused = planned("sync", "--apply-plan", "plan.json", "--json")
    assert (refused.code, code(refused)) == (1, "invalid_plan")


def test_an_edited_plan_is_refused_even_with_a_right_digest(planned: Promptctl, sql: psycopg.Connection[Any]) -> None:
    path = planned.home / "plan.json"
    document = json.loads(path.read_bytes())
    before = state(sql)
    change, applied = ("work", "plan", "changes", 0), ("work", "plan", "applied", 0)
    edits: list[tuple[tuple[str | int, ...], Any]] = [
        (("title",), "\ud800"), (("title",), 5), ((*change, "why"), 1), ((*change, "why"), "\0"),
        ((*change, "version"), 1e9), ((*change, "name"), None), (("work", "plan", "changes"), {}), (("expected",), []),
        ((*change, "needs_new_variables"), 0), ((*applied, "is_held"), "no"), ((*applied, "active"), True),
        ((*applied, "metadata"), {"1": 5}), (("work", "origins"), {"a": 1}), (("work", "commit"), "9f3c2ab"),
    ]  # fmt: skip
    for place, value in edits:
        edited = json.loads(path.read_bytes())
        inner: Any = edited
        for key in place[:-1]:
            inner = inner[key]
        assert place[-1] in inner, place
        inner[place[-1]] = value
        for is_signed in (False, True):
            if is_signed:
                edited["digest"] = plan_documents.digest(edited)
            (planned.home / "edited.json").write_text(json.dumps(edited), encoding="utf-8")
            refused = planned("sync", "--apply-plan", "edited.json", "--json")
            assert (refused.code, code(refused)) == (1, "invalid_plan"), (place, value, is_signed)
    assert json.loads(path.read_bytes()) == document
    assert state(sql) == before


def test_a_file_that_cannot_be_read_or_written_is_reported(planned: Promptctl) -> None:
    assert code(planned("sync", "--apply-plan", "nowhere.json", "--json")) == "cannot_read"
    refused = planned("sync", "prompts", "--save-plan", "nowhere/plan.json", "--json", "--allow-new-variables")
    assert (refused.code, code(refused)) == (1, "cannot_save")
