"""sync --check --offline compares request files with those that Git has."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Promptctl
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ended

FOLDER = "repository/prompts"


@pytest.fixture
def promptctl(home: Path) -> Promptctl:
    """The command line with a database that nobody can reach: an offline check must not try."""
    return Promptctl(home, DATABASE_URL="postgresql://127.0.0.1:1/nowhere")


@pytest.fixture
def repository(promptctl: Promptctl) -> Repository:
    """A repository in which version 1 has a request file, and version 2 the request of prompt.yaml."""
    repository = Repository(promptctl.home / "repository", promptctl.home)
    files = {
        "v1.txt": "Be kind.\n", "v1.request.yaml": "speed: fast\n", "v2.txt": "Be brief.\n",
        "prompt.yaml": "request: {speed: slow}\n",
    }  # fmt: skip
    repository.commit({f"prompts/a/{name}": text for name, text in files.items()})
    return repository


@pytest.fixture
def check(promptctl: Promptctl) -> Callable[..., Ended]:
    """Runs the check on the repository's folder."""
    return lambda *words: promptctl("sync", FOLDER, "--check", "--offline", *words)


def test_the_same_requests_are_no_edit(repository: Repository, check: Callable[..., Ended]) -> None:
    assert (check().code, check().out) == (0, "")
    # Another notation, and for version 2 the request that it had from prompt.yaml.
    repository.git("mv", "prompts/a/v1.request.yaml", "prompts/a/v1.request.json")
    repository.write(
        {"prompts/a/v1.request.json": '{"speed":"fast"}', "prompts/a/v2.request.yaml": "speed: slow  # x\n"}
    )
    assert (check().code, check().out) == (0, "")


def test_an_edited_request_file_is_a_conflict_with_the_command_that_saves_it(
    promptctl: Promptctl, repository: Repository, check: Callable[..., Ended]
) -> None:
    repository.write({"prompts/a/v1.request.yaml": "speed: other\n"})
    refused = check()
    assert refused.code == 5
    assert f"{FOLDER}/a/v1.request.yaml differs from HEAD" in refused.err
    assert "and a version never changes: save it as v3" in refused.err
    assert f"+++ {FOLDER}/a/v1.request.yaml\n@@ -1 +1 @@\n-speed: fast\n+speed: other\n" in refused.err
    assert "save it as v3, or name the branch that was applied, for example --base origin/main" in refused.err
    hint = refused.err.partition("hint:")[2].strip()
    assert hint == (
        f"cp {FOLDER}/a/v1.txt {FOLDER}/a/v3.txt && mv {FOLDER}/a/v1.request.yaml {FOLDER}/a/v3.request.yaml"
        f" && git -C {FOLDER} checkout HEAD -- a/v1.request.yaml"
    )
    subprocess.run(["sh", "-c", hint], cwd=promptctl.home, check=True)
    after = check()
    assert (after.code, after.out) == (0, "new\ta@3\tnew, 9 bytes, request of 18 bytes; not committed\n")


def test_an_edited_text_and_its_edited_request_are_saved_together(
    promptctl: Promptctl, repository: Repository, check: Callable[..., Ended]
) -> None:
    repository.write({"prompts/a/v1.txt": "Be calm.\n", "prompts/a/v1.request.yaml": "speed: other\n"})
    refused = check()
    assert (refused.code, refused.out.count("conflict\t")) == (5, 1)
    assert "-Be kind.\n+Be calm.\n" in refused.err
    assert "-speed: fast\n+speed: other\n" in refused.err
    hint = refused.err.partition("hint:")[2].strip()
    subprocess.run(["sh", "-c", hint], cwd=promptctl.home, check=True)
    assert repository.git("status", "--porcelain").split() == [
        "??", "prompts/a/v3.request.yaml", "??", "prompts/a/v3.txt",
    ]  # fmt: skip
    assert check().code == 0


def test_an_edited_text_is_saved_with_a_copy_of_its_request(
    promptctl: Promptctl, repository: Repository, check: Callable[..., Ended]
) -> None:
    repository.write({"prompts/a/v1.txt": "Be calm.\n"})
    hint = check().err.partition("hint:")[2].strip()
    subprocess.run(["sh", "-c", hint], cwd=promptctl.home, check=True)
    assert (check().code, check().out) == (0, "new\ta@3\tnew, 9 bytes, request of 17 bytes; not committed\n")
    assert repository.git("status", "--porcelain").split() == [
        "??", "prompts/a/v3.request.yaml", "??", "prompts/a/v3.txt",
    ]  # fmt: skip


def test_a_request_file_that_is_new_for_a_version_of_git_is_a_conflict(
    repository: Repository, check: Callable[..., Ended]
) -> None:
    repository.write({"prompts/a/v2.request.json": '{"speed": "other"}'})
    refused = check()
    assert (refused.code, "a/v2.request.json differs from HEAD" in refused.err) == (5, True)
    # Git has no such file to restore.
    assert "checkout" not in refused.err
    assert "-speed: slow\n+speed: other\n" in refused.err


def test_a_request_file_that_is_gone_is_a_note(repository: Repository, check: Callable[..., Ended]) -> None:
    repository.git("rm", "-q", "prompts/a/v1.request.yaml")
    removed = check()
    assert removed.code == 0
    assert "note\ta@1\thas another request in HEAD" in removed.out
    repository.write({"prompts/a/prompt.yaml": "request: {speed: fast}\n"})
    assert (check().code, check().out) == (0, "")


def test_an_invalid_request_of_git_may_be_corrected(repository: Repository, check: Callable[..., Ended]) -> None:
    repository.commit({"prompts/a/v1.request.yaml": "model: x\n"})
    assert check().code == 1
    repository.write({"prompts/a/v1.request.yaml": "speed: other\n"})
    assert check().code == 0
