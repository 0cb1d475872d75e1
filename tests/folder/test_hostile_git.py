"""Neither Git configuration nor environment variables change the origin of files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from promptctl import bounded_input
from promptctl.folder import git, remotes, texts
from promptctl.folder.provenance import Checkout
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = """\
[diff]
    relative = true
    orderFile = /nowhere/order
    external = false
    noprefix = true
    renames = copies
    ignoreSubmodules = all
[log]
    follow = true
    showSignature = true
    mailmap = true
    date = relative
    decorate = full
    abbrevCommit = true
[status]
    relativePaths = true
    showUntrackedFiles = no
    branch = true
    short = true
    showStash = true
[core]
    quotePath = true
    pager = false
    fsmonitor = /nowhere/fsmonitor
[color]
    ui = always
[column]
    ui = always
[format]
    pretty = oneline
[i18n]
    logOutputEncoding = latin1
[alias]
    log = shortlog
    status = stash
"""


def test_neither_configuration_nor_environment_changes_authors_or_what_is_dirty(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    repository = Repository(home / "repository", home)
    repository.commit({"prompts/ä b/v1.txt": "one", "prompts/a/v1.txt": "one", "x.txt": "x"}, "zoë")
    repository.commit({"prompts/a/v2.txt": "two"}, "bob")
    repository.write({"prompts/a/v3.txt": "three", "prompts/a/v2.txt": "edited"})
    folder = f"{repository.path}/prompts"
    paths = [f"{folder}/{name}" for name in ("ä b/v1.txt", "a/v1.txt", "a/v2.txt", "a/v3.txt")]

    def read_provenance() -> object:
        checkout = Checkout.start(folder)()
        return checkout.source, checkout.commit, checkout.is_dirty, checkout.origins(paths)

    expected = read_provenance()
    assert [origin["author"] for origin in Checkout.start(folder)().origins(paths).values()] == [
        "zoë@example.com", "zoë@example.com", "bob@example.com", None,
    ]  # fmt: skip
    (home / "hostile").write_text(HOSTILE)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "hostile"))
    assert read_provenance() == expected
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_TRACE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    assert read_provenance() == expected


def test_git_gets_the_path_and_no_secret_in_its_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n/usr/bin/env\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name in ("ANTHROPIC_API_KEY", "DATABASE_URL", "PROMPTCTL_DATABASE_URL", "PGPASSWORD", "GIT_DIR"):
        monkeypatch.setenv(name, "secret")
    environment = git.start("config", "user.email")() or ""
    assert "PATH=" in environment
    assert "secret" not in environment


def test_all_spellings_of_a_remote_have_one_canonical_name() -> None:
    for url in (
        "github.com:o/r", "git@github.com:o/r", "git@github.com:o/r.git", "git@github.com:/o/r", "github.com:o/r.git/",
        "https://github.com/o/r.git", "https://github.com:443/o/r", "https://user:token@github.com/o/r/",
        "HTTPS://GitHub.com/o/r", "http://github.com:80/o/r", "ssh://git@github.com:22/o/r", "ssh://github.com/o/r.git",
        "git+ssh://git@github.com/o/r", "git://github.com:9418/o/r", "https://github.com//o/r.git?x=y",
        "github.com/o/r", "github.com:22/o/r",
    ):  # fmt: skip
        assert remotes.canonical(url) == "github.com/o/r", url
    assert remotes.canonical("ssh://git@host:2222/o/r") == "host:2222/o/r" == remotes.canonical("host:2222/o/r")
    assert remotes.canonical("file:///srv/r.git") == remotes.canonical("/srv/r.git") == "/srv/r"


def test_pipes_devices_lfs_pointers_and_merge_conflicts_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        with pytest.raises(OSError, match="is not a regular file"):
            bounded_input.regular_file(path)
    with pytest.raises(bounded_input.TooLarge):
        bounded_input.any_file("/dev/zero", 1 << 20)
    conflict = "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> other\n"
    assert texts.git_problem(conflict) == "has an unresolved merge conflict, on line 2"
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"
    assert texts.git_problem(pointer) == "is a Git LFS pointer and not the text: run git lfs pull"
    for text in (
        "Heading\n=======\n", "<<<<<<< HEAD\n", "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n",
        ">>>>>>> a\n=======\n<<<<<<< b\n", "".join(f"  {line}\n" for line in conflict.splitlines()),
    ):  # fmt: skip
        assert texts.git_problem(text) is None
