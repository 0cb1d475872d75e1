"""Git commands, and canonical names of repositories."""

from __future__ import annotations

import os

import pytest

from promptctl.folder import git, remotes


@pytest.mark.parametrize(
    "url",
    [
        "https://ci:s3cret@git.example.com/team/prompts.git",
        "https://git.example.com/team/prompts",
        "https://git.example.com/team/prompts/",
        "ssh://git@git.example.com/team/prompts.git",
        "git@git.example.com:team/prompts.git",
        "https://Git.Example.com/team/prompts.git?private_token=s3cret",
    ],
)
def test_all_urls_of_a_repository_have_one_canonical_name(url: str) -> None:
    assert remotes.canonical(url) == "git.example.com/team/prompts"


def test_a_path_is_kept_as_it_is() -> None:
    assert remotes.canonical("/srv/git/prompts.git") == "/srv/git/prompts"


def test_a_failing_git_command_returns_none() -> None:
    assert git.start("config", "no.such-key")() is None
    assert git.start("no-such-command")() is None


def test_an_answer_that_nobody_reads_leaves_no_open_file() -> None:
    files = set(os.listdir("/dev/fd"))
    answer = git.start("cat-file", "--batch")
    assert len(set(os.listdir("/dev/fd")) - files) == 1
    del answer
    assert set(os.listdir("/dev/fd")) == files


def test_a_missing_git_program_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git.start("config", "user.email")() is None
