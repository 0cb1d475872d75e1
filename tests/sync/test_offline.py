"""sync --check --offline: a folder is checked without a database, against the versions that Git has."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, Ended, Promptctl
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOWHERE = "postgresql://127.0.0.1:1/nowhere"
# Not a key: only its form is that of one.
SECRET = "sk-ant-" + "api03-Zq8vT2mX7cLrW4nB9kHs3JdF6gYpA1eU5iQoR0tM"


@pytest.fixture
def promptctl(home: Path) -> Promptctl:
    """The command line with a database that nobody can reach: an offline check must not try."""
    return Promptctl(home, DATABASE_URL=NOWHERE)


@pytest.fixture
def repository(promptctl: Promptctl) -> Repository:
    """A repository with a prompt that has two versions."""
    repository = Repository(promptctl.home / "repository", promptctl.home)
    files = {"v1.txt": "Be kind.\n", "v2.txt": "Be brief.\n", "prompt.yaml": "active: 1\n"}
    repository.commit({f"prompts/greeter/{name}": text for name, text in files.items()})
    return repository


@pytest.fixture
def check(promptctl: Promptctl, repository: Repository) -> Callable[..., Ended]:
    """Runs the check on the repository's folder."""

    def run(*words: str) -> Ended:
        return promptctl("sync", "repository/prompts", "--check", "--offline", *words)

    return run


def check_refused(ended: Ended, code: int, *parts: str) -> None:
    """Check that a command failed with an exit code, and that its error and hint have these parts."""
    assert ended.code == code, ended
    assert all(part in ended.err for part in parts), ended.err
    assert ended.err.count("error: ") == 1


def document(ended: Ended) -> dict[str, object]:
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def test_a_folder_as_it_is_committed_is_valid(repository: Repository, check: Callable[..., Ended]) -> None:
    answer = document(check("--json"))
    assert (answer["changes"], answer["unchanged"], answer["applied"]) == ([], 1, False)
    assert answer["base"] == answer["commit"] == repository.git("rev-parse", "HEAD")
    assert answer["unchecked"] == ["the versions, active versions and holds of the database"]
    plain = check()
    assert (plain.code, plain.out) == (0, "")
    assert "no changes\nchecked without a database: 1 prompt, 2 versions; not checked: the versions" in plain.err


def test_a_new_version_is_listed_and_no_failure(repository: Repository, check: Callable[..., Ended]) -> None:
    repository.write({"prompts/greeter/v3.txt": "Be {mood}.\n", "prompts/other/v1.txt": "Another.\n"})
    ended = check()
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "new\tgreeter@3\tnew, 11 bytes; variables: mood; not committed",
        "new\tother@1\tnew, 9 bytes; not committed",
    ]
    assert check("--quiet").out == "greeter@3\nother@1\n"


def test_an_edited_version_is_refused_with_a_command_that_saves_both_texts(
    promptctl: Promptctl, repository: Repository, check: Callable[..., Ended]
) -> None:
    repository.write({"prompts/greeter/v1.txt": "Be very kind.\n"})
    ended = check()
    assert ended.code == 5
    assert "conflict\tgreeter@1\trepository/prompts/greeter/v1.txt differs from HEAD (" in ended.out
    assert "-Be kind.\n+Be very kind.\n" in ended.err
    error = json.loads(check("--json").err)["error"]
    assert error["code"] == "conflict"
    assert "or name the branch that was applied, for example --base origin/main" in error["message"]
    subprocess.run(error["hint"], shell=True, cwd=promptctl.home, check=True, capture_output=True)
    folder = repository.path / "prompts" / "greeter"
    texts = {path.name: path.read_text() for path in folder.glob("v*")}
    assert texts == {"v1.txt": "Be kind.\n", "v2.txt": "Be brief.\n", "v3.txt": "Be very kind.\n"}
    assert check().code == 0


def test_each_form_of_the_output(
    repository: Repository, promptctl: Promptctl, check: Callable[..., Ended], snapshot: Callable[..., None]
) -> None:
    repository.write({"prompts/greeter/v3.txt": "Be {mood}.\n", "prompts/other/v1.txt": "Another.\n"})
    words = ("sync", "repository/prompts", "--check", "--offline")
    snapshot(promptctl.on_terminal(*words).out, "sync-offline/terminal")
    snapshot(check("--format", "markdown").out, "sync-offline/markdown")
    repository.write({"prompts/greeter/v1.txt": "Be very kind.\n"})
    snapshot(promptctl.on_terminal(*words).out, "sync-offline/edited-terminal")
    refused = check("--format", "markdown")
    assert refused.code == 5
    assert "> **sync would refuse this plan:** greeter@1:" in refused.out


def test_a_commit_of_the_pull_request_may_edit_a_version_that_the_base_does_not_have(
    repository: Repository, check: Callable[..., Ended]
) -> None:
    repository.git("checkout", "-q", "-b", "proposal")
    repository.commit({"prompts/greeter/v3.txt": "First.\n"})
    repository.commit({"prompts/greeter/v3.txt": "Second.\n"})
    assert check("--base", "main").code == 0
    repository.write({"prompts/greeter/v3.txt": "Third.\n"})
    assert check().code == 5
    answer = document(check("--base", "main", "--json"))
    assert answer["base"] == repository.git("rev-parse", "main")
    repository.commit({"prompts/greeter/v2.txt": "Be short.\n"})
    # The commit itself has this text: only the base shows that it was edited.
    assert check().code == 0
    refused = check("--base", "main")
    assert refused.code == 5
    assert "name the branch" not in refused.err


def test_a_version_may_be_removed_or_get_another_suffix(repository: Repository, check: Callable[..., Ended]) -> None:
    folder = repository.path / "prompts" / "greeter"
    (folder / "v1.txt").rename(folder / "v1.md")
    (folder / "v2.txt").unlink()
    assert document(check("--json"))["changes"] == []
    (folder / "v1.md").write_text("Be very kind.\n")
    assert check().code == 5


@pytest.mark.parametrize("committed", ["Be kind.\r\n", "\ufeffBe kind.\n"])
def test_line_ends_and_byte_order_marks_are_no_edit(
    committed: str, repository: Repository, check: Callable[..., Ended]
) -> None:
    path = repository.path / "prompts" / "greeter" / "v1.txt"
    path.write_bytes(b"Be kind.\r\n")
    assert check().code == 0
    path.write_bytes(committed.encode())
    repository.commit()
    path.write_bytes(b"Be kind.\n")
    assert check().code == 0


@pytest.mark.parametrize("committed", [b" \n", b"\xff\n", b"<<<<<<< a\n1\n=======\n2\n>>>>>>> b\n"])
def test_a_text_that_no_sync_could_store_may_be_corrected(
    committed: bytes, repository: Repository, check: Callable[..., Ended]
) -> None:
    path = repository.path / "prompts" / "greeter" / "v1.txt"
    path.write_bytes(committed)
    repository.commit()
    assert check().code == 1
    path.write_text("Be kind.\n")
    assert check().code == 0


def test_a_pointer_of_git_lfs_stands_for_its_text(repository: Repository, check: Callable[..., Ended]) -> None:
    path = repository.path / "prompts" / "greeter" / "v1.txt"
    text = b"Be kind.\r\n"
    oid = hashlib.sha256(text).hexdigest()
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(text)}\n")
    repository.commit()
    path.write_bytes(text)
    assert check().code == 0
    path.write_bytes(b"Be very kind.\n")
    assert check().code == 5


def test_links_are_followed_in_the_commit_too(repository: Repository, check: Callable[..., Ended]) -> None:
    folder = repository.path / "prompts"
    (folder / "alias").symlink_to("greeter")
    (folder / "one").mkdir()
    (folder / "one" / "v1.txt").symlink_to("../greeter/v1.txt")
    repository.commit()
    assert document(check("--json"))["changes"] == []
    (folder / "greeter" / "v1.txt").write_text("Be very kind.\n")
    edited = [line.split("\t")[1] for line in check().out.splitlines()]
    assert edited == ["alias@1", "greeter@1", "one@1"]


def test_a_repository_with_sha256_hashes(promptctl: Promptctl) -> None:
    folder = promptctl.home / "repository"
    repository = Repository(folder, promptctl.home)
    shutil.rmtree(folder / ".git")
    repository.git("init", "-q", "-b", "main", "--object-format=sha256")
    repository.commit({"prompts/greeter/v1.txt": "Be kind.\n"})
    assert promptctl("sync", "repository/prompts", "--check", "--offline").code == 0
    repository.write({"prompts/greeter/v1.txt": "Be very kind.\n"})
    assert promptctl("sync", "repository/prompts", "--check", "--offline").code == 5


def test_before_the_first_commit_every_version_is_new(promptctl: Promptctl) -> None:
    Repository(promptctl.home / "repository", promptctl.home).write({"prompts/greeter/v1.txt": "Be kind.\n"})
    ended = promptctl("sync", "repository/prompts", "--check", "--offline", "--json")
    answer = json.loads(ended.out)
    assert (answer["commit"], answer["base"], len(answer["changes"])) == (None, None, 1)


def test_outside_of_git_the_answer_says_that_edits_were_not_checked(promptctl: Promptctl) -> None:
    shutil.copytree(ROOT / "prompts", promptctl.home / "prompts")
    ended = promptctl("sync", "--check", "--offline")
    assert (ended.code, ended.out) == (0, "")
    assert "not checked: edited versions (the folder is in no Git repository); the versions" in ended.err
    (promptctl.home / "prompts" / "code_helper" / "v2.txt").write_bytes(b"\xff")
    check_refused(promptctl("sync", "--check", "--offline"), 1, "prompts/code_helper/v2.txt is not UTF-8")


def test_a_base_without_a_repository_is_refused(promptctl: Promptctl) -> None:
    shutil.copytree(ROOT / "prompts", promptctl.home / "prompts")
    ended = promptctl("sync", "--check", "--offline", "--base", "main")
    check_refused(ended, 2, '--base "main": "prompts" is in no Git repository')


@pytest.mark.parametrize("base", ["nowhere", "--all", "", " ", "HEAD:prompts", "main..main", "\x1b[31m"])
def test_a_base_that_names_no_commit_is_refused(base: str, check: Callable[..., Ended]) -> None:
    ended = check(f"--base={base}")
    assert ended.code == 2
    assert "--base" in ended.err
    assert "\x1b" not in ended.err


def test_a_shallow_clone_is_told_how_to_get_the_base(promptctl: Promptctl, repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.commit()
    repository.git("clone", "-q", "--depth=1", f"file://{repository.path}", "../clone")
    ended = promptctl("sync", "clone/prompts", "--check", "--offline", "--base", first)
    check_refused(ended, 2, f'--base: this clone has no commit "{first}"', "git fetch --unshallow")


def test_a_commit_that_cannot_be_read_is_no_valid_folder(repository: Repository, check: Callable[..., Ended]) -> None:
    blob = repository.git("rev-parse", "HEAD:prompts/greeter/v1.txt")
    repository.write({"prompts/greeter/v1.txt": "Be very kind.\n"})
    (repository.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    ended = check()
    check_refused(ended, 1, "git cannot read greeter/v1.txt of the commit HEAD (")
    tree = repository.git("rev-parse", "HEAD:prompts")
    (repository.path / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    assert json.loads(check("--json").err)["error"]["code"] == "git_failed"


def test_an_invalid_folder_fails_with_every_problem(repository: Repository, check: Callable[..., Ended]) -> None:
    repository.write(
        {
            "prompts/greeter/v3.txt": "<<<<<<< a\n1\n=======\n2\n>>>>>>> b\n",
            "prompts/greeter/prompt.yaml": "activ: 1\nroute: [{when: {plan: pro}, use: 'not a name'}]\n",
            "prompts/no name/v1.txt": "x\n",
        }
    )
    error = json.loads(check("--json").err)["error"]
    assert error["code"] == "invalid_folder"
    problems = [error["message"], *error["others"]]
    assert len(problems) == 4
    assert all(any(part in problem for problem in problems) for part in ("no name", "v3.txt", "activ", "route"))


def test_a_secret_is_refused_also_if_it_is_committed(repository: Repository, check: Callable[..., Ended]) -> None:
    repository.commit({"prompts/greeter/v3.txt": f"The key is {SECRET}\n"})
    ended = check()
    assert ended.code == 5
    assert SECRET not in ended.err
    assert json.loads(check("--json").err)["error"]["code"] == "secret_found"
    assert check("--allow-secrets").code == 0
    repository.write({"prompts/greeter/prompt.yaml": "active: 1\nallow_secrets: {v3: an example}\n"})
    assert check().code == 0


def test_a_route_with_a_cycle_in_the_folder_is_refused(repository: Repository, check: Callable[..., Ended]) -> None:
    route = "route: [{{when: {{plan: pro}}, use: {}}}]\n"
    repository.write({"prompts/greeter/prompt.yaml": route.format("elsewhere")})
    # A prompt that is not in the folder may be in the database.
    assert check().code == 0
    repository.write({"prompts/other/v1.txt": "x\n", "prompts/other/prompt.yaml": route.format("greeter")})
    assert check().code == 0
    repository.write({"prompts/greeter/prompt.yaml": route.format("other")})
    check_refused(check(), 5, "the route has a cycle: greeter → other → greeter")


def test_an_active_version_without_a_file_is_noted(repository: Repository, check: Callable[..., Ended]) -> None:
    repository.write({"prompts/greeter/prompt.yaml": "active: 9\n"})
    ended = check()
    assert ended.code == 0
    assert ended.out == "note\tgreeter@9\tis set as active, but has no file: sync needs it in the database\n"
    repository.write({"prompts/greeter/prompt.yaml": "active: 2\n"})
    (repository.path / "prompts" / "greeter" / "v2.txt").unlink()
    assert "has a file only in HEAD (" in check().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--offline"], "--offline needs --check"),
        (["--offline", "--dry-run"], "--offline needs --check"),
        (["--check", "--base", "main"], "--base needs --check --offline"),
        (["--check", "--offline", "--save-plan", "plan.json"], "--offline cannot be combined with --save-plan"),
        (["--check", "--offline", "--source", "x"], "--offline cannot be combined with --source"),
        (["--check", "--offline", "--adopt"], "--offline cannot be combined with --adopt"),
        (["--check", "--offline", "--force"], "--offline cannot be combined with --force"),
        (["--check", "--offline", "--allow-new-variables"], "--offline cannot be combined with --allow-new-variables"),
        (["--check", "--offline", "--database-url", NOWHERE], "--offline cannot be combined with --database-url"),
        (["--offline", "--apply-plan", "plan.json"], "--offline needs --check"),
    ],
)
def test_options_that_need_the_database_are_refused(words: list[str], message: str, promptctl: Promptctl) -> None:
    check_refused(promptctl("sync", *words), 2, message)


def test_the_check_needs_no_driver(
    promptctl: Promptctl, repository: Repository, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    forbidden = "import sys\nsys.modules['psycopg'] = None\nsys.modules['typer'] = None\nsys.modules['rich'] = None\n"
    ended = promptctl(
        "sync", "repository/prompts", "--check", "--offline", env=startup_code(forbidden) | {"DATABASE_URL": None}
    )
    assert ended.code == 0, ended
    assert not (promptctl.home / "promptctl").exists()
