"""The origin of a folder: in a repository, without one, in a shallow clone, and with uncommitted files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.folder.provenance import DIVERGED, NEWER, OLDER, UNKNOWN, Checkout
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

REMOTE = "git.example.com/team/prompts"


@pytest.fixture
def repository(home: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    repository = Repository(home / "repository", home)
    repository.commit({"prompts/a/v1.txt": "one", "prompts/a/prompt.yaml": "active: 1\n", "README.md": "x"}, "ada")
    repository.commit({"prompts/a/v2.txt": "two"}, "bob")
    return repository


def checkout_of(folder: Path | str, name: str | None = None) -> Checkout:
    return Checkout.start(str(folder), name)()


def authors(checkout: Checkout, folder: Path, *files: str) -> list[Any]:
    paths = [f"{folder}/{file}" for file in files]
    origins = checkout.origins(paths)
    return [origins[path]["author"] for path in paths]


def test_a_folder_of_a_repository_is_named_by_its_remote_and_place(repository: Repository) -> None:
    folder = repository.path / "prompts"
    checkout = checkout_of(folder)
    head = repository.git("rev-parse", "HEAD")
    assert (checkout.source, checkout.repository) == (f"{REMOTE} prompts", REMOTE)
    assert checkout.commit is not None
    assert (checkout.commit.hash, checkout.commit.short) == (head, head[:7])
    assert checkout.origin() == {"repository": REMOTE, "commit": head, "path": "prompts", "dirty": False}
    assert checkout_of(folder, "team").source == "team"
    assert checkout_of(f"{folder}/").source == f"{REMOTE} prompts"
    assert checkout_of(repository.path).source == f"{REMOTE} ."


def test_each_file_has_the_author_of_its_last_commit(repository: Repository) -> None:
    folder = repository.path / "prompts"
    head = repository.git("rev-parse", "HEAD")
    path = f"{folder}/a/v1.txt"
    assert checkout_of(folder).origins([path]) == {
        path: {
            "repository": REMOTE, "commit": head, "path": "prompts/a/v1.txt", "author": "ada@example.com",
            "dirty": False,
        }
    }  # fmt: skip
    assert authors(checkout_of(folder), folder, "a/v2.txt", "a/prompt.yaml") == ["bob@example.com", "ada@example.com"]
    repository.commit({"prompts/a/prompt.yaml": "active: 2\n"}, "eve")
    assert authors(checkout_of(folder), folder, "a/v1.txt", "a/prompt.yaml") == ["ada@example.com", "eve@example.com"]
    # The folder may be the repository, be given with a slash, and have a name that git would quote.
    repository.commit({"b é/v1.txt": "x"}, "zoë")
    assert authors(checkout_of(repository.path), repository.path, "prompts/a/v2.txt", "b é/v1.txt") == [
        "bob@example.com", "zoë@example.com",
    ]  # fmt: skip
    found = checkout_of(f"{folder}/").origins([f"{folder}/a/v1.txt"])
    assert [each["path"] for each in found.values()] == ["prompts/a/v1.txt"]


def test_an_uncommitted_file_is_dirty(repository: Repository) -> None:
    folder = repository.path / "prompts"
    repository.write({"prompts/a/v3.txt": "new", "prompts/a/prompt.yaml": "active: 3\n", "README.md": "y"})
    checkout = checkout_of(folder)
    paths = [f"{folder}/a/{name}" for name in ("v1.txt", "v3.txt", "prompt.yaml")]
    found = checkout.origins(paths)
    assert [found[path]["dirty"] for path in paths] == [False, True, True]
    # Git knows nothing of the one; of the other it knows who wrote what is not there any more.
    assert [found[path]["author"] for path in paths] == ["ada@example.com", None, "ada@example.com"]
    assert checkout.is_dirty
    repository.commit()
    repository.write({"README.md": "z"})
    assert not checkout_of(folder).is_dirty


def test_an_ignored_file_is_dirty(repository: Repository) -> None:
    folder = repository.path / "prompts"
    repository.commit({".gitignore": "ignored/\nv9.txt\n"})
    repository.write({"prompts/ignored/v1.txt": "x", "prompts/a/v9.txt": "x"})
    found = checkout_of(folder).origins([f"{folder}/ignored/v1.txt", f"{folder}/a/v9.txt", f"{folder}/a/v1.txt"])
    assert [each["dirty"] for each in found.values()] == [True, True, False]


def test_without_git_the_origin_is_the_path_alone(home: Path) -> None:
    folder = home / "prompts"
    (folder / "a").mkdir(parents=True)
    checkout = checkout_of(folder)
    assert (checkout.source, checkout.repository, checkout.commit) == (str(folder), None, None)
    assert not checkout.is_dirty
    path = f"{folder}/a/v1.txt"
    assert checkout.origins([path]) == {
        path: {"repository": None, "commit": None, "path": "prompts/a/v1.txt", "author": None, "dirty": None}
    }
    assert checkout.relation_to("9f3c2ab") == UNKNOWN
    assert checkout.is_older("2030-01-01T00:00:00Z") is False


def test_a_repository_without_a_commit_has_no_commit(home: Path) -> None:
    repository = Repository(home / "repository", home)
    repository.write({"prompts/a/v1.txt": "x"})
    checkout = checkout_of(repository.path / "prompts")
    assert (checkout.source, checkout.commit) == (f"{REMOTE} prompts", None)
    [found] = checkout.origins([f"{repository.path}/prompts/a/v1.txt"]).values()
    assert (found["commit"], found["author"], found["dirty"]) == (None, None, True)


def test_a_repository_without_a_remote_is_named_by_its_folder(repository: Repository) -> None:
    repository.git("remote", "remove", "origin")
    assert checkout_of(repository.path / "prompts").source == "repository prompts"


def test_the_times_of_commits_are_compared_where_history_is_missing(repository: Repository, home: Path) -> None:
    applied = repository.git("rev-parse", "HEAD")
    repository.commit({"prompts/a/v3.txt": "three"}, "eve")
    shallow = home / "shallow"
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.path}", str(shallow), cwd=home)
    checkout = checkout_of(shallow / "prompts")
    assert checkout.is_shallow
    assert (checkout.relation_to(applied), checkout.has(applied)) == (UNKNOWN, False)
    # A minute older, of the same moment, hours newer.
    for time, is_older in (
        ("2026-11-12T09:02:00Z", False),
        ("2026-11-12T11:03:00+02:00", False),
        ("2026-11-12T23:00:00+02:00", True),
        (None, False),
    ):
        assert checkout.is_older(time) is is_older
    # Rewritten history: a commit that nobody has.
    assert checkout_of(repository.path / "prompts").relation_to("0" * 40) == UNKNOWN


def test_the_relation_of_two_commits(repository: Repository) -> None:
    folder = repository.path / "prompts"
    first, second = repository.git("rev-parse", "HEAD~1"), repository.git("rev-parse", "HEAD")
    assert (checkout_of(folder).relation_to(second), checkout_of(folder).relation_to(first)) == (NEWER, NEWER)
    repository.git("checkout", "-q", first)
    assert checkout_of(folder).relation_to(second) == OLDER
    # A branch that was cut before is newer and does not come after.
    repository.git("checkout", "-q", "-b", "other")
    repository.commit({"prompts/a/v7.txt": "seven"})
    assert checkout_of(folder).relation_to(second) == DIVERGED
    repository.git("merge", "-q", "--no-edit", second)
    assert checkout_of(folder).relation_to(second) == NEWER


def test_a_shallow_clone_has_only_the_authors_of_its_history(repository: Repository, home: Path) -> None:
    repository.commit({"prompts/a/v3.txt": "three"}, "eve")
    for depth, expected in ((1, [None, None, None]), (2, [None, None, "eve@example.com"])):
        shallow = home / f"shallow-{depth}"
        repository.git("clone", "-q", "--depth", str(depth), f"file://{repository.path}", str(shallow), cwd=home)
        folder = shallow / "prompts"
        # The oldest commit of a shallow clone seems to have made every file.
        assert authors(checkout_of(folder), folder, "a/v1.txt", "a/v2.txt", "a/v3.txt") == expected


def test_a_repository_in_which_git_fails_is_refused_unless_the_source_is_named(home: Path) -> None:
    (home / "prompts").mkdir()
    (home / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(errors.Failed) as caught:
        checkout_of(home / "prompts")
    assert caught.value.code == "git_failed"
    assert checkout_of(home / "prompts", "team").source == "team"
