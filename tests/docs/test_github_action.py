"""action.yml, and the script behind it: with a stand-in for GitHub's API, and a real database."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from promptctl import __version__
from tests.conftest import ROOT, Ended, Promptctl
from tests.docs.test_recipes import (
    BOT,
    INJECTIONS,
    NOWHERE,
    GitHub,
    Repository,
    commands_of,
    github,
    live,
    pytest_generate_tests,
)

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

__all__ = ["github", "pytest_generate_tests"]

ACTION = ROOT / "action.yml"
SCRIPT = ROOT / "scripts" / "github-action.sh"
MARK = "<!-- promptctl sync: prompts -->"


class Action:
    """Runs the script as the action does, in a repository with a pull request."""

    def __init__(self, repository: Repository, github: GitHub) -> None:
        self.repository = repository
        self.github = github
        self.base = self.head()
        self.summary = repository.path.parent / "summary.md"
        self._output = repository.path.parent / "output"
        self._event = repository.path.parent / "event.json"

    def head(self) -> str:
        words = ["git", "rev-parse", "HEAD"]
        return subprocess.run(
            words, cwd=self.repository.path, env=self.repository.env, check=True, capture_output=True, text=True
        ).stdout.strip()

    def __call__(
        self, *, event: str = "pull_request", fork: str | None = None, details: dict[str, Any] | None = None, **env: str
    ) -> Ended:
        document: dict[str, Any] = {"ref": "refs/heads/main", **(details or {})}
        if event == "pull_request":
            head = {"repo": {"full_name": fork or "team/prompts"}}
            document = {"pull_request": {"number": 7, "base": {"sha": self.base}, "head": head}}
        self._event.write_text(json.dumps(document))
        self._output.write_text("")
        self.summary.write_text("")
        settings = {
            "GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "octocat", "GITHUB_EVENT_PATH": str(self._event),
            "GITHUB_OUTPUT": str(self._output), "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_API_URL": self.github.url, "GITHUB_REPOSITORY": "team/prompts", "GITHUB_TOKEN": "t0ken",
            # The inputs have their defaults.
            "COMMAND": "check", "FOLDER": "prompts/", "OFFLINE": "false", "FAIL_ON_CHANGES": "false",
            "COMMENT": "true", "COMMENT_AUTHOR": BOT,
        }  # fmt: skip
        inherited = {name: value for name, value in self.repository.env.items() if name != "PROMPTCTL_AUTHOR"}
        done = subprocess.run(
            [SCRIPT], env=inherited | settings | env, cwd=self.repository.path, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self._output.read_text().splitlines())

    @property
    def bodies(self) -> list[str]:
        return [comment["body"] for comment in self.github.comments]


@pytest.fixture
def action(promptctl: Promptctl, github: GitHub) -> Action:
    """A repository whose prompts were applied: version 1 is active."""
    repository = Repository(promptctl)
    assert promptctl("sync", str(repository.path / "prompts")).code == 0
    return Action(repository, github)


def test_the_first_check_comments_and_the_next_updates_the_comment(
    action: Action, sql: psycopg.Connection[Any]
) -> None:
    action.repository.propose()
    first = action()
    assert (first.code, action.outputs) == (0, {"outcome": "changes", "exit-code": "3"}), first
    [body] = action.bodies
    assert body.startswith(f"{MARK}\n### promptctl sync\n")
    assert "| **becomes active** | `default-system-prompt` | activate 4 (1 active) |" in body
    assert action.summary.read_text() == body
    action.repository.write("default-system-prompt/v4.txt", "You are terse: “so”.\n")
    action.repository.commit()
    assert action().code == 0
    [body] = action.bodies
    assert "+You are terse: “so”." in body
    assert action.github.tokens == {"Bearer t0ken"}
    assert live(sql) == 1
    action.repository.git("reset", "-q", "--hard", action.base)
    unchanged = action()
    assert (unchanged.code, action.outputs["outcome"]) == (0, "unchanged")
    assert "no changes" in action.bodies[0]


def test_without_changes_no_comment_is_made(action: Action) -> None:
    ended = action()
    assert (ended.code, action.outputs["outcome"], action.bodies) == (0, "unchanged", [])
    assert "no changes, and no earlier comment to update" in ended.out


def test_two_folders_of_a_pull_request_have_a_comment_each(action: Action) -> None:
    path = action.repository.path / "other -->" / "greeter" / "v1.txt"
    path.parent.mkdir(parents=True)
    path.write_text("Hello.\n")
    action.repository.propose()
    for _ in range(2):
        assert action().code == action(FOLDER="./other -->/").code == 0
    first, second = action.bodies
    assert first.startswith(f"{MARK}\n")
    assert second.startswith("<!-- promptctl sync: other%20--%3E -->\n")
    assert ("activate 4" in first, "greeter" in first) == (True, False)
    assert ("activate 4" in second, "greeter" in second) == (False, True)


def test_the_comment_is_found_on_any_page_and_comments_of_others_are_kept(action: Action) -> None:
    action.github.add(f"{MARK}\nnot ours", login="mallory")
    for number in range(110):
        action.github.add(f"comment {number}")
    action.github.add(f"{MARK}\nan older plan")
    action.repository.propose()
    assert action().code == 0
    assert action.github.requests == ["GET 200", "GET 200", "PATCH 200"]
    assert action.bodies[0] == f"{MARK}\nnot ours"
    assert "activate 4" in action.bodies[-1]


def test_a_fork_is_checked_offline_and_its_plan_is_only_in_the_summary(action: Action) -> None:
    action.github.broken = True
    action.repository.propose()
    ended = action(fork="mallory/prompts", DATABASE_URL="")
    assert (ended.code, action.outputs["outcome"], action.bodies) == (0, "unchanged", []), ended
    assert "::notice title=promptctl::The token may not comment (status 403)" in ended.out
    assert "::warning" not in ended.out
    assert "| new version | `default-system-prompt@4` |" in action.summary.read_text()
    assert f"compared with {action.base[:7]}" in action.summary.read_text()
    # What the pull request edited differs from the base, although it is committed.
    action.repository.write("default-system-prompt/v2.txt", "Edited.\n")
    action.repository.commit()
    assert action(fork="mallory/prompts", DATABASE_URL="").code == 5
    assert action.outputs == {"outcome": "refused", "exit-code": "5"}


@pytest.mark.parametrize("event", ["push", "merge_group"])
def test_an_offline_check_finds_a_version_that_a_commit_of_the_event_edited(event: str, action: Action) -> None:
    details = {"push": {"before": action.base}, "merge_group": {"merge_group": {"base_sha": action.base}}}[event]
    action.repository.propose()
    ended = action(event=event, details=details, OFFLINE="true")
    assert (ended.code, action.outputs["outcome"], "::warning" in ended.out) == (0, "unchanged", False), ended
    action.repository.write("default-system-prompt/v1.txt", "Edited.\n")
    action.repository.commit()
    ended = action(event=event, details=details, OFFLINE="true")
    assert (ended.code, action.outputs["outcome"]) == (5, "refused"), ended


@pytest.mark.parametrize(
    "details",
    [{}, {"before": "0" * 40}, {"before": "1" * 40, "forced": True}],
    ids=["schedule", "new-branch", "forced-push"],
)
def test_an_offline_check_warns_if_no_earlier_commit_can_be_compared(details: dict[str, Any], action: Action) -> None:
    ended = action(event="push", details=details, OFFLINE="true")
    assert (ended.code, action.outputs["outcome"]) == (0, "unchanged"), ended
    assert "::warning title=promptctl::Versions were compared with HEAD only" in ended.out
    action.repository.write("default-system-prompt/v1.txt", "Edited.\n")
    assert action(event="push", details=details, OFFLINE="true").code == 5


def test_an_offline_check_fails_if_the_clone_does_not_have_the_commit_before_the_push(action: Action) -> None:
    ended = action(event="push", details={"before": "1" * 40}, OFFLINE="true")
    assert (ended.code, action.outputs["outcome"]) == (2, "failed"), ended


def test_a_job_without_the_permission_is_told_which_one_it_needs(action: Action) -> None:
    action.github.broken = True
    action.repository.propose()
    ended = action()
    assert ended.code == 0
    assert "::warning title=promptctl::Give the job the permission pull-requests: write" in ended.out
    assert "activate 4" in action.summary.read_text()


def test_a_comment_that_cannot_be_posted_fails_unless_the_check_failed(action: Action) -> None:
    action.repository.propose()
    ended = action(GITHUB_API_URL="http://127.0.0.1:1")
    assert (ended.code, action.outputs["outcome"]) == (1, "changes")
    assert "::error title=promptctl::The plan could not be posted (status 000)" in ended.out
    action.repository.write("default-system-prompt/v2.txt", "Edited.\n")
    assert action(GITHUB_API_URL="http://127.0.0.1:1").code == 5


def test_a_plan_that_is_too_long_is_cut_in_the_comment(action: Action) -> None:
    for number in range(700):
        action.repository.write(f"a/{'x' * 60}{number}/v1.txt", "")
    ended = action()
    assert (ended.code, action.outputs["outcome"]) == (1, "invalid")
    [body] = action.bodies
    assert len(body) <= 65_536
    if len(action.summary.read_text()) > 65_536:
        assert body.endswith("The rest is in the summary of the job.\n")
    action.repository.git("clean", "-qfd")
    for number in range(40):
        action.repository.write(f"b{number}/v1.txt", f"{'word ' * 35}\n" * 30)
    assert action().code == 0
    assert len(action.bodies[0]) <= 65_536
    assert "more texts are left out" in action.bodies[0]


def test_errors_of_the_folder_are_commented_and_those_of_the_database_are_not(action: Action) -> None:
    action.repository.write("code_helper/v2.txt", "")
    assert (action().code, action.outputs["outcome"]) == (1, "invalid")
    assert "    error: prompts/code_helper/v2.txt is empty" in action.bodies[0]
    action.repository.git("clean", "-qfd")
    assert (action(DATABASE_URL=NOWHERE).code, action.outputs["outcome"]) == (6, "unreachable")
    assert "exit code 6" in action.bodies[0]
    assert "127.0.0.1" not in action.bodies[0] + action.summary.read_text()


@pytest.mark.parametrize("command", ["check", "sync"])
def test_a_timeout_of_the_database_is_no_invalid_folder_and_is_not_commented(
    command: str, action: Action, sql: psycopg.Connection[Any]
) -> None:
    action.repository.propose()
    url = action.repository.env["DATABASE_URL"] + "&options=-c%20statement_timeout%3D50ms"
    with sql.transaction():
        for (table,) in sql.execute(
            "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = 'promptctl'::regnamespace"
        ).fetchall():
            sql.execute(cast("Any", f"lock table {table} in access exclusive mode"))
        ended = action(COMMAND=command, DATABASE_URL=url)
    assert (ended.code, action.outputs) == (1, {"outcome": "failed", "exit-code": "1"}), ended
    assert "statement timeout" in ended.err
    if command == "check":
        [body] = action.bodies
        assert body == (
            f"{MARK}\n### promptctl sync\n\n**There is no plan:** promptctl sync --check ended with exit code 1.\n\n"
            "See the log of this check.\n"
        )
        assert action.summary.read_text() == body


def test_a_login_without_access_is_refused_and_not_named_in_the_comment(
    action: Action, sql: psycopg.Connection[Any]
) -> None:
    [(login,)] = sql.execute("select 'nobody_' || pg_backend_pid()").fetchall()
    sql.execute(cast("Any", f"create role {login} login"))
    try:
        url = re.sub(r"(?<=//)[^@/]*@|(?<=//)(?=/)", f"{login}@", action.repository.env["DATABASE_URL"], count=1)
        ended = action(DATABASE_URL=url)
    finally:
        sql.execute(cast("Any", f"drop role {login}"))
    assert (ended.code, action.outputs["outcome"]) == (5, "refused"), ended
    assert login in ended.err
    assert login not in action.bodies[0] + action.summary.read_text()


def test_a_secret_in_the_folder_is_commented_without_its_text(action: Action) -> None:
    key = "sk-ant-api03-" + "aB3dE5fG7h" * 5
    action.repository.write("code_helper/v2.txt", f"Use {key}.\n")
    assert (action().code, action.outputs["outcome"]) == (5, "refused")
    assert "    error: " in action.bodies[0]
    assert "code_helper/v2.txt" in action.bodies[0]
    assert key not in action.bodies[0]


def test_an_invalid_folder_is_the_outcome_of_a_sync(action: Action) -> None:
    action.repository.write("code_helper/v2.txt", "")
    assert action(event="push", COMMAND="sync").code == 1
    assert action.outputs == {"outcome": "invalid", "exit-code": "1"}


def test_a_check_can_fail_on_changes_without_a_pull_request(action: Action) -> None:
    assert action(event="schedule", FAIL_ON_CHANGES="true").code == 0
    action.repository.propose()
    ended = action(event="schedule", FAIL_ON_CHANGES="true")
    assert (ended.code, action.outputs, action.bodies) == (3, {"outcome": "changes", "exit-code": "3"}, [])
    assert "activate 4" in ended.out
    assert action(COMMENT="false").code == 0
    assert action.github.requests == []


def test_a_sync_applies_and_warns_of_a_hold(action: Action, promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    action.repository.propose()
    first = action(event="push", COMMAND="sync")
    assert (first.code, action.outputs, live(sql)) == (0, {"outcome": "applied", "exit-code": "0"}, 4)
    assert "applied as release 2" in action.summary.read_text()
    [(author,)] = sql.execute("select author from promptctl.releases where release = 2").fetchall()
    assert author == "octocat"
    promptctl("rollback", "default-system-prompt", "--reason", "INC-412, 50% slower")
    again = action(event="push", COMMAND="sync")
    assert (again.code, action.outputs["outcome"], live(sql)) == (0, "unchanged", 1)
    [warning] = [line for line in again.out.splitlines() if line.startswith("::warning ")]
    assert warning.startswith("::warning title=promptctl::default-system-prompt@4 is held: held at 1")
    assert warning.endswith("INC-412, 50%25 slower")


def test_a_sync_that_is_refused_or_fails_has_its_exit_code_and_outcome(action: Action) -> None:
    action.repository.write("default-system-prompt/v2.txt", "Edited.\n")
    refused = action(event="push", COMMAND="sync")
    assert (refused.code, action.outputs) == (5, {"outcome": "refused", "exit-code": "5"})
    assert "::error title=promptctl::error: default-system-prompt@2: " in refused.out
    assert action(event="push", COMMAND="sync", DATABASE_URL=NOWHERE).code == 6
    assert action.outputs["outcome"] == "unreachable"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"DATABASE_URL": ""}, "the input database-url is empty"),
        ({"DATABASE_URL": "", "COMMAND": "sync", "fork": "mallory/prompts"}, "the input database-url is empty"),
        ({"COMMAND": "deploy"}, "the input command must be check, sync or install"),
        ({"OFFLINE": "yes"}, "the input offline must be true or false"),
        ({"COMMENT": "no"}, "the input comment must be true or false"),
    ],
)
def test_wrong_inputs_fail(env: dict[str, Any], message: str, action: Action) -> None:
    ended = action(**env)
    assert (ended.code, action.outputs["outcome"]) == (2, "failed")
    assert f"::error title=promptctl::{message}" in ended.out


@pytest.mark.parametrize("command", ["check", "sync"])
def test_text_of_a_prompt_is_not_executed_as_a_workflow_command(command: str, action: Action) -> None:
    action.repository.write("default-system-prompt/v4.txt", f"You are brief.\n{INJECTIONS}")
    action.repository.write("new/v1.txt", INJECTIONS)
    action.repository.write("new/prompt.yaml", f"versions:\n  1: {{description: {json.dumps(INJECTIONS)}}}\n")
    action.repository.activate(4)
    action.repository.commit()
    ended = action(event="push", COMMAND=command)
    assert ended.code == 0
    assert commands_of(ended.out) == commands_of(ended.err) == []


def test_a_folder_that_looks_like_an_option_or_a_command_is_a_path(action: Action, tmp_path: Path) -> None:
    for folder in ("--force", f"$(touch {tmp_path}/executed)", f"; touch {tmp_path}/executed"):
        ended = action(FOLDER=folder)
        assert (ended.code, action.outputs["outcome"]) == (1, "invalid"), ended
        assert "does not exist" in ended.err
    assert not (tmp_path / "executed").exists()


def test_the_token_and_the_url_are_on_no_command_line(action: Action, tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    for program in ("curl", "promptctl", "python3"):
        shim = shims / program
        shim.write_text(
            f'#!/bin/bash\nprintf "%s\\n" "{program} $*" >>"{tmp_path}/words"\nPATH=${{PATH#*:}} exec {program} "$@"\n'
        )
        shim.chmod(0o755)
    action.repository.propose()
    url = action.repository.env["DATABASE_URL"]
    assert action(PATH=f"{shims}:{action.repository.env['PATH']}", GITHUB_TOKEN="t0ken-s3cret").code == 0
    words = (tmp_path / "words").read_text()
    assert all(program in words for program in ("curl --silent", "promptctl sync", "python3 -c"))
    assert "t0ken-s3cret" not in words
    assert url not in words


def document() -> dict[str, Any]:
    return yaml.safe_load(ACTION.read_text(encoding="utf-8"))


def test_the_action_pins_actions_by_hash_and_has_no_expression_in_a_script() -> None:
    steps = cast("list[dict[str, Any]]", document()["runs"]["steps"])
    for step in steps:
        assert "${{" not in step.get("run", "")
        assert ("run" in step) == ("shell" in step)
    lines = ACTION.read_text(encoding="utf-8").splitlines()
    uses = [line for line in lines if "uses:" in line]
    assert uses
    assert all(re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line) for line in uses)


# Stands for Python: makes a virtual environment whose pip installs nothing but the command.
PYTHON = """#!/bin/sh
[ "$2" = venv ] || exit 9
mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" "$3/bin/pip"
cat >"$3/bin/python" <<'END'
#!/bin/sh
[ "$2" != pip ] || exec cp {root}/scripts/promptctl "${{0%/*}}/promptctl"
exec {python} "$@"
END
chmod +x "$3/bin/python"
"""


def test_later_steps_get_the_command_and_keep_their_python(tmp_path: Path) -> None:
    setup, install, _ = cast("list[dict[str, Any]]", document()["runs"]["steps"])
    assert setup["with"]["update-environment"] is False
    assert install["env"] == {"PYTHON": "${{ steps.python.outputs.python-path }}"}
    (python := tmp_path / "python").write_text(PYTHON.format(root=ROOT, python=sys.executable))
    python.chmod(0o755)
    (temp := tmp_path / "runner temp").mkdir()
    env = {
        "PATH": "/usr/bin:/bin", "PYTHON": str(python), "RUNNER_TEMP": str(temp), "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_PATH": str(tmp_path / "path"),
    }  # fmt: skip
    # A job may use the action twice.
    for _ in range(2):
        subprocess.run(["bash", "-eo", "pipefail", "-c", install["run"]], env=env, cwd=tmp_path, check=True)
    [folder] = set((tmp_path / "path").read_text().splitlines())
    assert os.listdir(folder) == ["promptctl"]
    done = subprocess.run(
        ["promptctl", "--version"], env={"PATH": f"{folder}:/usr/bin:/bin"}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"promptctl {__version__}\n"), done


def test_every_input_of_the_action_reaches_the_script() -> None:
    action = document()
    [run] = [step for step in action["runs"]["steps"] if step.get("id") == "run"]
    used = set(re.findall(r"inputs\.([\w-]+)", ACTION.read_text(encoding="utf-8")))
    assert used == set(action["inputs"])
    script = SCRIPT.read_text(encoding="utf-8")
    assert all(re.search(rf"\b{name}\b", script) for name in run["env"])
    assert r"printf 'outcome=%s\nexit-code=%s\n'" in script
    assert set(action["outputs"]) == {"outcome", "exit-code"}
    # A description names every outcome.
    outcomes = set(re.findall(r"(?:echo|finish|outcome=) ?([a-z]+)\b", script))
    named = set(re.findall(r"\w+", action["outputs"]["outcome"]["description"]))
    assert {"unchanged", "changes", "applied", "invalid", "refused", "unreachable", "failed"} <= outcomes & named
