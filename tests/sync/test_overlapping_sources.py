"""The same files under two sources: folders above and below, copies, two spellings of one repository."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.repositories import Repository

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

FILES = {
    "prompts/greeter/v1.txt": "Be kind.\n",
    "prompts/greeter/prompt.yaml": "active: 1\n",
    "prompts/team/bot/v1.txt": "Bot.\n",
    "other/x/v1.txt": "Other.\n",
}


@pytest.fixture
def repository(promptctl: Promptctl) -> Repository:
    repository = Repository(promptctl.home / "repository", promptctl.home)
    repository.commit(FILES)
    return repository


def names(sql: psycopg.Connection[Any]) -> list[str]:
    return [name for (name,) in sql.execute("select name from promptctl.served order by name").fetchall()]


def test_a_parent_or_subfolder_of_an_applied_folder_is_a_conflict(
    promptctl: Promptctl, repository: Repository, sql: psycopg.Connection[Any]
) -> None:
    assert promptctl("sync", "repository/prompts").code == 0
    (repository.path / "link").symlink_to("prompts")
    for folder, relation in (
        ("repository", "contains"), ("repository/.", "contains"), ("repository/prompts/team", "is inside"),
        ("repository/link/team", "is inside"),
    ):  # fmt: skip
        for options in ((), ("--dry-run",), ("--check",), ("--save-plan", "plan.json"), ("--source", "another")):
            refused = promptctl("sync", folder, *options)
            assert (refused.code, refused.out) == (5, ""), refused.err
            assert f"the folder {relation} repository/prompts, which was applied as another source" in refused.err
            assert refused.err.splitlines()[-1] == "hint:  promptctl sync repository/prompts"
    assert names(sql) == ["greeter", "team/bot"]
    assert sql.execute("select count(*), max(release) from promptctl.releases").fetchone() == (1, 1)
    # A link to the same folder and a sibling folder are not conflicts.
    assert "no changes" in promptctl("sync", "repository/link").err
    assert promptctl("sync", "repository/other").code == 0
    # A source with a name of its own is identified by its release.
    assert promptctl("sync", "repository/prompts", "--source", "mine", "--adopt").code == 0
    refused = promptctl("sync", "repository")
    assert refused.err.splitlines()[-1].startswith("hint:  promptctl sync repository/")
    assert promptctl("sync", "repository", "--force").code == 0
    assert "prompts/greeter" in names(sql)


def test_the_other_direction_is_a_conflict_too(promptctl: Promptctl, repository: Repository) -> None:
    assert promptctl("sync", "repository").code == 0
    refused = promptctl("sync", "repository/prompts")
    assert (refused.code, refused.err.splitlines()[-1]) == (5, "hint:  promptctl sync repository")


def test_a_copy_in_another_place_is_a_conflict(promptctl: Promptctl, repository: Repository) -> None:
    assert promptctl("sync", "repository/prompts").code == 0
    shutil.copytree(repository.path / "prompts", promptctl.home / "copy" / "prompts")
    refused = promptctl("sync", "copy")
    assert refused.code == 5
    assert '"prompts/greeter" has the text of "greeter", which comes from another source' in refused.err
    # Without Git too, and in the other direction.
    assert promptctl("sync", "copy/prompts").code == 5
    shutil.copytree(promptctl.home / "copy", promptctl.home / "second" / "copy")
    shutil.copytree(repository.path / "prompts" / "team", promptctl.home / "team")
    assert promptctl("sync", "team").code == 5
    # A text that two prompts of the same last name share is no copy of a folder.
    for name in ("eu/greeter", "eu/first", "eu/second"):
        path = promptctl.home / "branches" / name / "v1.txt"
        path.parent.mkdir(parents=True)
        path.write_text("Be kind.\n" if name == "eu/greeter" else name)
    assert promptctl("sync", "branches").code == 0


def test_a_copy_with_shorter_or_longer_names_is_a_conflict(promptctl: Promptctl) -> None:
    home = promptctl.home
    for number in range(3):
        path = home / "all" / "shop" / f"prompt{number}" / "v1.txt"
        path.parent.mkdir(parents=True)
        path.write_text(f"Text {number}.\n")
    shutil.copytree(home / "all" / "shop", home / "shorter")
    shutil.copytree(home / "all", home / "longer" / "eu")
    assert promptctl("sync", "all").code == 0
    for copy, name in (("shorter", "prompt0"), ("longer", "eu/shop/prompt0")):
        refused = promptctl("sync", copy)
        assert (refused.code, f'"{name}" has the text of "shop/prompt0"' in refused.err) == (5, True), refused.err


@pytest.mark.parametrize("applied_as", ["git.example.com:team/prompts", "git.example.com:22/team/prompts"])
def test_an_older_spelling_of_a_repository_is_the_same_source(
    promptctl: Promptctl, repository: Repository, sql: psycopg.Connection[Any], applied_as: str
) -> None:
    assert promptctl("sync", "repository/prompts").code == 0
    older = f"{applied_as} prompts"
    sql.execute("insert into promptctl.sources select %s, commit, committed_at, applied_at, applied_by"
                " from promptctl.sources", [older])  # fmt: skip
    sql.execute("update promptctl.applied set source = %s", [older])
    sql.execute("delete from promptctl.sources where source <> %s", [older])
    for url in ("git@git.example.com:team/prompts", "https://x:y@git.example.com/team/prompts.git", applied_as):
        repository.git("remote", "set-url", "origin", url)
        repository.commit()
        ended = promptctl("sync", "repository/prompts")
        assert (ended.code, "no changes" in ended.err) == (0, True), ended.err
        head = repository.git("rev-parse", "HEAD")
        assert sql.execute("select source, commit from promptctl.sources").fetchall() == [(older, head)]


def test_after_a_squash_merge_the_commit_on_main_is_recorded_and_not_refused(
    promptctl: Promptctl, repository: Repository, sql: psycopg.Connection[Any]
) -> None:
    repository.git("checkout", "-q", "-b", "feature")
    repository.commit({"prompts/greeter/v2.txt": "Be brief.\n"})
    assert promptctl("sync", "repository/prompts").code == 0
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--squash", "feature")
    squashed = repository.commit()
    assert "no changes" in promptctl("sync", "repository/prompts").err
    assert sql.execute("select commit from promptctl.sources").fetchone() == (squashed,)
    repository.commit({"prompts/greeter/v3.txt": "Be both.\n"})
    assert promptctl("sync", "repository/prompts").code == 0


def test_the_hint_for_a_branch_without_the_applied_commit_is_to_merge_it(
    promptctl: Promptctl, repository: Repository, sql: psycopg.Connection[Any]
) -> None:
    repository.git("branch", "feature")
    applied = repository.commit({"prompts/greeter/v2.txt": "Be brief.\n"})
    assert promptctl("sync", "repository/prompts").code == 0
    repository.git("checkout", "-q", "feature")
    repository.commit({"prompts/greeter/v3.txt": "Be both.\n"})
    refused = promptctl("sync", "repository/prompts")
    assert refused.code == 5
    assert refused.err.splitlines()[-1] == f"hint:  merge main into the branch: git merge {applied[:7]}"
    # What is refused uses no number.
    repository.git("merge", "-q", "--no-edit", applied)
    assert "release 2" in promptctl("sync", "repository/prompts").err
    # A shallow clone says that it is one.
    repository.git("checkout", "-q", applied)
    repository.git("branch", "old")
    clone = promptctl.home / "shallow" / "repository"
    repository.git("clone", "-q", "--depth", "1", "-b", "old", f"file://{repository.path}", str(clone))
    sql.execute("update promptctl.sources set committed_at = '2030-01-01', commit = repeat('0', 40)")
    (clone / "prompts/greeter/v9.txt").write_text("x")
    shallow = promptctl("sync", "shallow/repository/prompts", "--source", "git.example.com/team/prompts prompts")
    assert shallow.code == 5
    assert "shallow clone" in shallow.err
    assert "fetch-depth: 0" in shallow.err
    # Commits of the same second: neither is older.
    [(time,)] = [(repository.git("show", "-s", "--format=%cI", "old"),)]
    sql.execute("update promptctl.sources set committed_at = %s", [time])
    assert promptctl("sync", "shallow/repository/prompts", "--source", "git.example.com/team/prompts prompts").code == 0
