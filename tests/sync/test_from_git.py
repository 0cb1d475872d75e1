"""Sync from a Git repository: the stored origin, refusals, holds, and adoption from another source."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Ended, Promptctl

REMOTE = "git.example.com/team/prompts"


@pytest.fixture
def repository(promptctl: Promptctl) -> Repository:
    repository = Repository(promptctl.home / "repository", promptctl.home)
    repository.commit({"prompts/greeter/v1.txt": "Be kind.\n", "prompts/greeter/prompt.yaml": "active: 1\n"}, "ada")
    return repository


def active_versions(sql: psycopg.Connection[Any]) -> dict[str, int | None]:
    return dict(sql.execute("select name, active_version from promptctl.served order by name").fetchall())


def active(version: int) -> dict[str, str]:
    return {"prompts/greeter/prompt.yaml": f"active: {version}\n"}


def test_versions_and_activations_store_their_origin(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended]
) -> None:
    commit = repository.commit({"prompts/greeter/v2.txt": "Be brief.\n"} | active(2), "bob")
    assert sync().code == 0
    version = json.loads(promptctl("show", "greeter@2", "--json").out)
    assert version["created_by"] == "bob@example.com"
    assert version["release"] == 1
    assert version["origin"] == {
        "repository": REMOTE, "commit": commit, "path": "prompts/greeter/v2.txt", "author": "bob@example.com",
        "dirty": False,
    }  # fmt: skip
    assert json.loads(promptctl("show", "greeter@1", "--json").out)["origin"]["author"] == "ada@example.com"
    [event] = json.loads(promptctl("history", "greeter", "--json").out)["events"]
    assert (event["author"], event["reason"], event["release"]) == ("pipeline@example.com", f"sync {commit[:7]}", 1)
    assert event["origin"]["path"] == "prompts/greeter/prompt.yaml"
    assert event["origin"]["author"] == "bob@example.com"
    release = json.loads(promptctl("release", "list", "--json").out)["releases"][0]
    assert (release["kind"], release["source"]) == ("sync", f"{REMOTE} prompts")
    assert release["origin"] == {"repository": REMOTE, "commit": commit, "path": "prompts", "dirty": False}


def test_the_output_on_a_terminal(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], snapshot: Callable[..., None]
) -> None:
    sync()
    repository.commit({"prompts/greeter/v2.txt": "Be kind, and brief.\n"} | active(2), "bob")
    repository.write({"prompts/greeter/v3.txt": "Be {mood}.\n", "prompts/other/v1.txt": "Another.\n"})
    for name, words in {
        "plan": ("sync", "repository/prompts", "--dry-run"),
        "applied": ("sync", "repository/prompts", "--author", "pipeline@example.com"),
        "version": ("show", "greeter@3"),
        "prompt": ("show", "greeter"),
        "history": ("history", "greeter"),
        "releases": ("release", "list"),
        "release": ("release", "show", "2"),
    }.items():
        seen = promptctl.on_terminal(*words, columns=100).out
        snapshot(re.sub(r"\b(?!0{7}\b)[0-9a-f]{7}\b", "9f3c2ab", seen), f"sync-from-git/{name}")


def test_authors_in_prompt_yaml_take_precedence(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended]
) -> None:
    repository.commit({"prompts/greeter/prompt.yaml": "versions: {1: {author: zoe@example.com}}\n"})
    sync()
    assert json.loads(promptctl("show", "greeter@1", "--json").out)["created_by"] == "zoe@example.com"


def test_a_rerun_of_an_old_pipeline_moves_nothing_back(
    repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    old = repository.git("rev-parse", "HEAD")
    new = repository.commit({"prompts/greeter/v2.txt": "Be brief.\n"} | active(2))
    assert sync().code == 0
    repository.git("checkout", "-q", old)
    refused = sync()
    assert refused.code == 5
    assert f"{old[:7]} does not come after {new[:7]}, which was applied last" in refused.err
    assert refused.err.splitlines()[-1] == f"hint:  git merge --ff-only {new[:7]}"
    assert active_versions(sql) == {"greeter": 2}
    # To look is allowed, and says so.
    looked = sync("--dry-run")
    assert looked.code == 0
    assert "warning: sync would refuse this" in looked.err
    assert json.loads(sync("--dry-run", "--json").out)["refused"]["code"] == "older_commit"
    assert sync("--force").code == 0
    assert active_versions(sql) == {"greeter": 1}
    assert sql.execute("select commit from promptctl.sources").fetchone() == (old,)


def test_an_older_commit_that_changes_nothing_succeeds_and_is_not_recorded(
    repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    old = repository.git("rev-parse", "HEAD")
    new = repository.commit({"README.md": "x"})
    sync()
    repository.git("checkout", "-q", old)
    assert (sync().code, sql.execute("select commit from promptctl.sources").fetchone()) == (0, (new,))


def test_a_commit_that_changes_nothing_is_recorded(
    repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    sync()
    commit = repository.commit({"README.md": "x"})
    assert "no changes" in sync().err
    assert sql.execute("select commit, applied_by from promptctl.sources").fetchone() == (
        commit, "pipeline@example.com",
    )  # fmt: skip
    assert sql.execute("select count(*) from promptctl.releases").fetchone() == (1,)


def test_an_older_commit_in_a_shallow_clone_is_refused_by_its_time(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended]
) -> None:
    repository.git("branch", "old")
    repository.commit({"prompts/greeter/v2.txt": "Be brief.\n"} | active(2))
    sync()
    for branch, code in (("old", 5), ("main", 0)):
        clone = promptctl.home / branch / "repository"
        repository.git("clone", "-q", "--depth", "1", "-b", branch, f"file://{repository.path}", str(clone))
        ended = promptctl("sync", f"{branch}/repository/prompts", "--source", f"{REMOTE} prompts")
        assert ended.code == code, ended.err


def test_a_version_that_was_activated_outside_of_git_is_held_until_it_is_adopted(
    promptctl: Promptctl, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    promptctl("create", "greeter", "Be kind.\n")
    promptctl("create", "greeter", "Be loud.\n", "--activate", "--reason", "by hand")
    held = sync()
    assert held.code == 0
    assert "held at 2, the folder names 1: ada@example.com moved it at " in held.out
    assert (
        "to keep 2, write active: 2 in repository/prompts/greeter/prompt.yaml; to follow the folder, activate 1"
        in held.err
    )
    assert active_versions(sql) == {"greeter": 2}
    assert sync("--adopt").code == 0
    assert active_versions(sql) == {"greeter": 1}


def test_another_source_is_refused_until_it_adopts(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    assert sync("--source", "one").code == 0
    # To look at it is no claim.
    looked = sync("--source", "two", "--check")
    assert looked.code == 0
    assert "comes from another source, one: this folder cannot be applied" in looked.out
    refused = sync("--source", "two")
    assert (refused.code, json.loads(sync("--source", "two", "--json").err)["error"]["code"]) == (5, "conflict")
    assert "comes from another source, one" in refused.err
    assert sync("--source", "two", "--adopt").code == 0
    assert sql.execute("select source from promptctl.applied").fetchall() == [("two",)]
    assert sync("--source", "one").code == 5


def files_of_prompts(repository: Repository, version: int, count: int = 12) -> dict[str, str]:
    """Return the files of a number of prompts that set this version as active."""
    files = {f"prompts/many/p{n}/v{v}.txt": f"{n}: {v}\n" for n in range(count) for v in (1, 2)}
    return files | {f"prompts/many/p{n}/prompt.yaml": f"active: {version}\n" for n in range(count)}


def test_a_plan_that_moves_more_than_a_third_of_ten_or_more_is_refused_without_force(
    repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(files_of_prompts(repository, 1))
    # A first activation is not a move.
    assert sync().code == 0
    repository.commit(files_of_prompts(repository, 2))
    refused = sync()
    assert refused.code == 5
    assert "the plan moves 12 of 13 active prompts at once, which is more than a third" in refused.err
    assert set(active_versions(sql).values()) == {1}
    assert json.loads(sync("--json").err)["error"]["code"] == "too_many_moves"
    # To look at it is allowed; a check says what sync would.
    assert sync("--dry-run").code == 0
    assert (sync("--check").code, sync("--check", "--force").code) == (5, 3)
    # In JSON, the answer is either a plan or an error.
    for options in (("--check",), ("--save-plan", "plan.json"), ("--save-plan", "plan.json", "--dry-run")):
        checked = sync(*options, "--json")
        assert (checked.code, checked.out) == (5, "")
        assert json.loads(checked.err)["error"]["code"] == "too_many_moves"
    # A third is allowed.
    repository.git("checkout", "-q", "HEAD~1", "--", "prompts")
    repository.commit({f"prompts/many/p{n}/prompt.yaml": "active: 2\n" for n in range(4)})
    assert sync().code == 0
    repository.commit(files_of_prompts(repository, 2))
    assert sync("--force").code == 0
    assert list(active_versions(sql).values()).count(2) == 12


def test_a_plan_may_move_all_of_fewer_than_ten_prompts(repository: Repository, sync: Callable[..., Ended]) -> None:
    repository.commit(files_of_prompts(repository, 1, 8))
    sync()
    repository.commit(files_of_prompts(repository, 2, 8))
    assert sync().code == 0


def test_secrets_are_refused_by_file_and_line_and_masked(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    key = "sk-ant-" + "api03-Zq8vT2mX7cLrW4nB9kHs3JdF6gYpA1eU5iQoR0tM"
    repository.commit(
        {
            "prompts/greeter/v2.txt": f"Be kind.\nUse {key}.\n",
            "prompts/greeter/prompt.yaml": f"description: with {key}\n",
        }
    )
    refused = sync()
    assert refused.code == 5
    assert re.search(r"error: repository/prompts/greeter/prompt\.yaml:1: sk-ant-\S* looks like an? ", refused.err)
    assert re.search(r"(?m)^repository/prompts/greeter/v2\.txt:2: sk-ant-\S* looks like an? ", refused.err)
    assert key[12:] not in refused.err + refused.out
    assert refused.err.splitlines()[-1].startswith("hint:  remove it from repository/prompts/greeter/")
    assert "--allow-secrets" not in refused.err
    assert active_versions(sql) == {}
    assert json.loads(sync("--json").err.splitlines()[-1])["error"]["code"] == "secret_found"
    assert sync("--allow-secrets").code == 0
    # What is stored is not looked at again.
    repository.commit({"prompts/greeter/prompt.yaml": "description: without\n"})
    assert sync().code == 0


TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"


def test_a_key_in_an_edited_version_is_not_shown_as_a_difference(
    repository: Repository, sync: Callable[..., Ended]
) -> None:
    sync()
    repository.commit({"prompts/greeter/v1.txt": f"password {TOKEN}\n"})
    refused = sync()
    assert refused.code == 5
    assert "prompts/greeter/v1.txt:1: ghp_" in refused.err
    assert TOKEN not in refused.err + refused.out


def test_an_allowed_secret_stays_allowed_while_the_file_is_unchanged(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended]
) -> None:
    yaml = f"active: 1\ndescription: with {TOKEN}\n"
    repository.commit({"prompts/greeter/v2.txt": "Be brief.\n", "prompts/greeter/prompt.yaml": yaml})
    assert sync("--allow-secrets").code == 0
    promptctl("activate", "greeter@2")
    # The operator's move makes sync scan the prompt again.
    held = sync()
    assert (held.code, "held at 2, the folder names 1" in held.out) == (0, True)


def test_a_copy_without_git_moves_nothing_and_keeps_the_recorded_commit(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    commit = repository.commit({"prompts/greeter/v2.txt": "Be brief.\n"} | active(2))
    sync()
    copy = shutil.copytree(repository.path / "prompts", promptctl.home / "copy")
    command = ("sync", str(copy), "--source", f"{REMOTE} prompts")
    assert "no changes" in promptctl(*command).err
    (copy / "greeter" / "prompt.yaml").write_text("active: 1\n")
    refused = promptctl(*command)
    assert refused.code == 5
    assert "a folder without a commit does not come after" in refused.err
    assert sql.execute("select commit from promptctl.sources").fetchone() == (commit,)
    assert promptctl(*command, "--force").code == 0
    assert active_versions(sql) == {"greeter": 1}


def test_the_environment_of_a_git_hook_does_not_select_the_repository(
    promptctl: Promptctl, repository: Repository, sql: psycopg.Connection[Any]
) -> None:
    env: dict[str, str | None] = {"GIT_DIR": str(promptctl.home / "nowhere"), "GIT_INDEX_FILE": "/nowhere"}
    assert promptctl("sync", "repository/prompts", env=env).code == 0
    assert sql.execute("select source from promptctl.sources").fetchone() == (f"{REMOTE} prompts",)


def test_json_has_every_conflict_and_every_problem(repository: Repository, sync: Callable[..., Ended]) -> None:
    repository.commit({"prompts/other/v1.txt": "One.\n"})
    sync()
    repository.commit({"prompts/other/v1.txt": "Two.\n", "prompts/greeter/v1.txt": "Three.\n"})
    error = json.loads(sync("--check", "--json").err)["error"]
    assert (error["code"], error["message"].partition(":")[0]) == ("conflict", "greeter@1")
    assert [message.partition(":")[0] for message in error["others"]] == ["other@1"]
    repository.commit({"prompts/other/v02.txt": "x", "prompts/greeter/v3.txt": ""})
    error = json.loads(sync("--json").err)["error"]
    assert (error["code"], len(error["others"])) == ("invalid_folder", 1)


def test_a_folder_that_sets_active_again_activates_it(
    repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    sync()
    repository.commit({"prompts/greeter/prompt.yaml": "description: x\n", "prompts/greeter/v2.txt": "Be brief.\n"})
    sync()
    repository.commit(active(2))
    sync()
    assert active_versions(sql) == {"greeter": 2}


def test_the_plan_as_markdown(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], snapshot: Callable[..., None]
) -> None:
    sync()
    promptctl("create", "other", "One.", "--activate")
    fenced = "Be brief.\n```python\nprint('|')\n```\n<b>@ada</b>\n"
    repository.commit({"prompts/greeter/v2.txt": fenced, "prompts/other/v1.txt": "One."} | active(2), "bob")
    repository.write({"prompts/other/prompt.yaml": "active: 2\n", "prompts/other/v2.txt": "Two."})
    checked = sync("--check", "--format", "markdown")
    assert checked.code == 3
    snapshot(re.sub(r"\b[0-9a-f]{7}\b", "9f3c2ab", checked.out), "sync-markdown")
    assert sync("--format", "json", "--dry-run").out == sync("--json", "--dry-run").out


def test_markdown_of_a_large_plan_fits_into_a_comment(repository: Repository, sync: Callable[..., Ended]) -> None:
    texts = {v: f"{v}\n" + "".join(f"line {n} of {v}: {'x' * 60}\n" for n in range(200)) for v in (1, 2)}
    files = {f"prompts/p{n}/v1.txt": texts[1] for n in range(250)}
    repository.commit(files | {f"prompts/p{n}/prompt.yaml": "active: 1\n" for n in range(250)})
    sync()
    repository.commit({f"prompts/p{n}/v2.txt": texts[2] for n in range(250)})
    text = sync("--dry-run", "--format", "markdown").out
    assert 20_000 < len(text) < 65_536
    assert "… and 50 more." in text
    assert re.search(r"\d+ more texts are left out because they are too long for this comment\.", text)


def test_contradictory_formats_are_refused(sync: Callable[..., Ended]) -> None:
    for words in (
        ("--format", "xml"), ("--format", "markdown", "--json"), ("--format", "json", "--quiet"), ("--save-plan", ""),
        ("--apply-plan", "x", "--dry-run"), ("--apply-plan", "x", "--check"), ("--apply-plan", "x"),
    ):  # fmt: skip
        assert sync(*words).code == 2, words
