"""The scripts under examples/ci do what they say, in a repository of their own; the workflow calls what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.conftest import ROOT, SERVERS, Ended, Promptctl

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SCRIPTS = ROOT / "examples" / "ci"
WORKFLOW = ROOT / "examples" / "github" / "promptctl.yml"
README = ROOT / "examples" / "README.md"
MARK = "<!-- promptctl sync -->"
BOT = "github-actions[bot]"
NOWHERE = "postgresql://127.0.0.1:1/nowhere"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # The scripts meet promptctl, which meets every version of PostgreSQL in other tests: one is enough here.
    if "templated" in metafunc.fixturenames:
        versions = list(SERVERS)[:1] or [pytest.param(None, marks=pytest.mark.skip("no server"))]
        one = pytest.mark.parametrize("templated", versions, indirect=True, scope="session")
        metafunc.definition.add_marker(one)


class Repository:
    """A Git repository with a folder of prompts, and the scripts run in it."""

    def __init__(self, promptctl: Promptctl) -> None:
        self.path = promptctl.home / "repository"
        self.env = promptctl.environment()
        self.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.env['PATH']}"
        shutil.copytree(ROOT / "prompts", self.path / "prompts")
        self.git("init", "-q", "-b", "main")
        self.commit()

    def __call__(self, script: str, *words: str, **env: str) -> Ended:
        done = subprocess.run(
            [SCRIPTS / script, *words],
            env=self.env | env,
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def git(self, *words: str) -> None:
        who = ("-c", "user.name=Grace", "-c", "user.email=grace@example.com")
        subprocess.run(["git", *who, *words], env=self.env, cwd=self.path, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "--all", "prompts")
        self.git("commit", "-q", "-m", "prompts")

    def write(self, file: str, text: str) -> None:
        path = self.path / "prompts" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def activate(self, version: int) -> None:
        path = self.path / "prompts" / "default-system-prompt" / "prompt.yaml"
        path.write_text(re.sub(r"(?m)^active: \d+$", f"active: {version}", path.read_text()), encoding="utf-8")

    def propose(self) -> None:
        """A pull request: a new version, and that it goes live."""
        self.write("default-system-prompt/v4.txt", "You are brief.\n")
        self.activate(4)
        self.commit()


@pytest.fixture
def repository(promptctl: Promptctl) -> Repository:
    """The example prompts, committed and not deployed."""
    return Repository(promptctl)


@pytest.fixture
def deployed(repository: Repository) -> Repository:
    """The example prompts, committed and deployed: version 1 is active by release 1."""
    assert repository("deploy.sh").code == 0
    return repository


RECIPES: dict[str, tuple[list[str], int]] = {
    "deploy.sh": ([], 2), "deploy-reviewed-plan.sh": (["plan"], 6), "pull-request-check.sh": ([], 2),
    "nightly-drift.sh": ([], 2), "nightly-report.sh": ([], 6), "pager-rollback.sh": (["default-system-prompt"], 6),
}  # fmt: skip


def test_recipes_fail_without_a_database_and_create_none(repository: Repository) -> None:
    """Whether CI is set or not: a secret that is missing is not a green job."""
    assert {path.name for path in SCRIPTS.iterdir()} == set(RECIPES)
    del repository.env["DATABASE_URL"]
    for script, (words, code) in RECIPES.items():
        for env in ({}, {"CI": "true"}):
            ended = repository(script, *words, **env, INCIDENT="INC-1", GITHUB_STEP_SUMMARY=os.devnull)
            assert ended.code == code, (script, ended)
            assert "no database is configured" in ended.err
    assert not Path(repository.env["PROMPTCTL_HOME"]).exists()


INJECTIONS = (
    "::error title=gotcha::you are owned\n::add-mask::x\n::set-output name=a::b\n"
    "  ::warning::indented\n::stop-commands::mine\n::mine::\n##[command]echo\n"
)


def commands_of(text: str) -> list[str]:
    """What GitHub carries out of a job's output: lines that begin with `::`, but for those between stop and go."""
    found: list[str] = []
    token = None
    for line in text.splitlines():
        stripped = line.strip()
        if token is not None:
            token = None if stripped == f"::{token}::" else token
        elif stripped.startswith("::stop-commands::"):
            token = stripped.removeprefix("::stop-commands::")
        elif stripped.startswith(("::", "##[")):
            found.append(stripped)
    assert token is None, "commands were stopped and never started again"
    return found


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("pull-request-check.sh", []),
        ("deploy-reviewed-plan.sh", ["plan"]),
        ("deploy.sh", []),
        ("nightly-drift.sh", []),
    ],
)
def test_text_of_a_prompt_is_not_executed_as_a_github_workflow_command(
    deployed: Repository, script: str, words: list[str]
) -> None:
    deployed.write("default-system-prompt/v4.txt", f"You are brief.\n{INJECTIONS}")
    deployed.write("new/v1.txt", INJECTIONS)
    deployed.write("new/prompt.yaml", f"versions:\n  1: {{description: {json.dumps(INJECTIONS)}}}\n")
    deployed.activate(4)
    deployed.commit()
    done = subprocess.run(
        [SCRIPTS / script, *words],
        env=deployed.env | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": os.devnull, "GITHUB_EVENT_NAME": "push"},
        cwd=deployed.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    carried_out = commands_of(done.stdout)
    assert not [line for line in carried_out if "promptctl" not in line or "gotcha" in line or "owned" in line], done


def test_the_nightly_check_reports_only_prompts_of_its_own_source(deployed: Repository) -> None:
    other = deployed.path / "other" / "triage"
    other.mkdir(parents=True)
    (other / "v1.txt").write_text("Sort tickets.\n")
    deployed.git("add", "--all", "other")
    deployed.git("commit", "-q", "-m", "other")
    assert deployed("deploy.sh", "other").code == 0
    for folder, foreign in (("prompts/", "triage"), ("other", "code_helper")):
        night = deployed("nightly-drift.sh", folder)
        assert (night.code, foreign in night.out + night.err) == (0, False), night


def live(sql: psycopg.Connection[Any], name: str = "default-system-prompt") -> int | None:
    row = sql.execute("select active_version from promptctl.served where name = %s", [name]).fetchone()
    return None if row is None else row[0]


def moves(sql: psycopg.Connection[Any]) -> int:
    [(count,)] = sql.execute("select count(*) from promptctl.allocations").fetchall()
    return count


@dataclass
class GitHub:
    """What a stand-in for GitHub's API got, and the comments that it has."""

    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    requests: list[str] = field(default_factory=list[str])
    tokens: set[str] = field(default_factory=set[str])
    broken: bool = False

    def add(self, body: str, login: str = BOT) -> None:
        self.comments.append({"id": 1000 + len(self.comments), "user": {"login": login}, "body": body})

    def env(self, **more: str) -> dict[str, str]:
        return {
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": "team/prompts",
            "GITHUB_TOKEN": "t0ken",
            "PR_NUMBER": "7",
            **more,
        }


@pytest.fixture
def github() -> Iterator[GitHub]:
    """A server on loopback with the three calls that the check makes."""
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.path != "/repos/team/prompts/issues/7/comments":
                return self.answer(404, {})
            query = {name: int(values[0]) for name, values in parse_qs(asked.query).items()}
            start = (query["page"] - 1) * query["per_page"]
            return self.answer(200, state.comments[start : start + query["per_page"]])

        def do_POST(self) -> None:
            if self.path != "/repos/team/prompts/issues/7/comments":
                return self.answer(404, {})
            state.add(self.body())
            return self.answer(201, state.comments[-1])

        def do_PATCH(self) -> None:
            number = int(self.path.removeprefix("/repos/team/prompts/issues/comments/"))
            [comment] = [each for each in state.comments if each["id"] == number]
            comment["body"] = self.body()
            return self.answer(200, comment)

        def body(self) -> str:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]

        def answer(self, code: int, document: object) -> None:
            state.requests.append(f"{self.command} {code}")
            state.tokens.add(self.headers["Authorization"])
            data = json.dumps(document).encode()
            self.send_response(403 if state.broken else code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


# The check of a pull request.


def test_a_pull_request_gets_its_plan_as_a_comment_and_the_next_push_replaces_it(
    deployed: Repository, github: GitHub, sql: psycopg.Connection[Any]
) -> None:
    deployed.propose()
    summary = deployed.path / "summary.md"
    first = deployed("pull-request-check.sh", **github.env(GITHUB_STEP_SUMMARY=str(summary)))
    assert (first.code, first.out) == (0, "posted a comment\n"), first.err
    [comment] = github.comments
    assert comment["body"].startswith(MARK)
    assert "| **becomes active** | `default-system-prompt` | activate 4 (1 active) |" in comment["body"]
    assert "+You are brief." in comment["body"]
    assert comment["body"] == summary.read_text() == (deployed.path / "plan.md").read_text()
    deployed.write("default-system-prompt/v4.txt", "You are terse: “so”.\n")
    deployed.commit()
    assert deployed("pull-request-check.sh", **github.env()).out == f"updated comment {comment['id']}\n"
    assert len(github.comments) == 1
    assert "+You are terse: “so”." in comment["body"]
    assert github.tokens == {"Bearer t0ken"}
    assert (live(sql), moves(sql)) == (1, 1)


def test_without_a_token_the_plan_is_printed(deployed: Repository) -> None:
    deployed.propose()
    done = deployed("pull-request-check.sh")
    assert (done.code, done.out.startswith(MARK), "activate 4" in done.out) == (0, True, True)


def test_an_empty_plan_posts_no_comment_but_updates_an_existing_one(deployed: Repository, github: GitHub) -> None:
    assert deployed("pull-request-check.sh", **github.env()).code == 0
    assert github.comments == []
    github.add(f"{MARK}\nan older plan")
    assert deployed("pull-request-check.sh", **github.env()).code == 0
    assert "no changes" in github.comments[0]["body"]


def test_the_comment_is_found_on_any_page_and_other_comments_are_kept(deployed: Repository, github: GitHub) -> None:
    github.add(f"{MARK}\nnot the plan", login="mallory")
    for number in range(110):
        github.add(f"comment {number}")
    github.add(f"{MARK}\nan older plan")
    deployed.propose()
    assert deployed("pull-request-check.sh", **github.env()).code == 0
    assert github.requests == ["GET 200", "GET 200", "PATCH 200"]
    assert github.comments[0]["body"] == f"{MARK}\nnot the plan"
    assert "activate 4" in github.comments[-1]["body"]


def test_an_edited_version_fails_and_is_named_in_the_comment(deployed: Repository, github: GitHub) -> None:
    deployed.write("default-system-prompt/v2.txt", "Edited.\n")
    deployed.commit()
    assert deployed("pull-request-check.sh", **github.env()).code == 5
    assert "**conflict** | `default-system-prompt@2`" in github.comments[0]["body"]


def test_an_invalid_folder_fails_and_the_comment_has_the_error(deployed: Repository, github: GitHub) -> None:
    deployed.write("code_helper/v2.txt", "")
    deployed.commit()
    github.add(f"{MARK}\nan older plan")
    assert deployed("pull-request-check.sh", **github.env()).code == 1
    [comment] = github.comments
    assert comment["body"].startswith(f"{MARK}\n")
    assert "    error: prompts/code_helper/v2.txt is empty" in comment["body"]


def test_an_unreachable_database_fails_and_the_comment_hides_its_address(deployed: Repository, github: GitHub) -> None:
    done = deployed("pull-request-check.sh", **github.env(DATABASE_URL=NOWHERE))
    assert (done.code, "127.0.0.1, port 1" in done.err) == (6, True)
    assert "exit code 6" in github.comments[0]["body"]
    assert "127.0.0.1" not in github.comments[0]["body"]


def test_a_comment_that_cannot_be_posted_fails_unless_the_check_failed(deployed: Repository, github: GitHub) -> None:
    github.broken = True
    deployed.propose()
    done = deployed("pull-request-check.sh", **github.env())
    assert (done.code, "could not be posted; it is in plan.md" in done.err) == (1, True)
    deployed.write("default-system-prompt/v2.txt", "Edited.\n")
    assert deployed("pull-request-check.sh", **github.env()).code == 5


# Deployments.


def test_a_deployment_applies_the_plan_and_a_second_has_no_changes(
    repository: Repository, sql: psycopg.Connection[Any]
) -> None:
    first = repository("deploy.sh", "prompts/")
    assert (first.code, "activate\tdefault-system-prompt@1\t" in first.out) == (0, True)
    assert "applied as release 1" in first.err
    second = repository("deploy.sh")
    assert (second.code, second.out, "no changes" in second.err) == (0, "", True)
    assert (live(sql), moves(sql)) == (1, 1)


def test_a_deployment_keeps_a_rollback_by_an_operator_and_warns(
    deployed: Repository, promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    deployed.propose()
    assert deployed("deploy.sh").code == 0
    promptctl("rollback", "default-system-prompt", "--reason", "INC-412, 50% slower")
    done = deployed("deploy.sh", GITHUB_ACTIONS="true")
    assert (done.code, live(sql)) == (0, 1)
    assert "deploy: default-system-prompt@4 is held: held at 1, the folder names 4" in done.err
    [warning] = [line for line in done.out.splitlines() if line.startswith("::warning ")]
    assert warning.startswith("::warning title=promptctl::default-system-prompt@4 is held")
    assert warning.endswith("INC-412, 50%25 slower")
    assert "::" not in deployed("deploy.sh").out


def test_deploying_an_older_commit_is_refused_unless_forced(deployed: Repository, sql: psycopg.Connection[Any]) -> None:
    deployed.propose()
    assert deployed("deploy.sh").code == 0
    deployed.git("checkout", "-q", "HEAD~1")
    deployed.activate(2)
    deployed.git("commit", "-qam", "on a side branch")
    refused = deployed("deploy.sh", GITHUB_ACTIONS="true")
    assert (refused.code, live(sql)) == (5, 4)
    assert "deploy: refused, nothing was applied." in refused.err
    assert "::error title=promptctl::refused" in refused.out
    assert deployed("deploy.sh", "prompts/", "--force").code == 0
    assert live(sql) == 2


def test_a_deployment_without_a_database_or_a_valid_folder_has_its_exit_code(repository: Repository) -> None:
    unreachable = repository("deploy.sh", DATABASE_URL=NOWHERE)
    assert (unreachable.code, "run this again" in unreachable.err) == (6, True)
    repository.write("code_helper/v2.txt", "")
    assert repository("deploy.sh").code == 1


def test_a_reviewed_plan_is_applied_unchanged_or_refused(
    deployed: Repository, promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    deployed.propose()
    summary = deployed.path / "summary.md"
    planned = deployed("deploy-reviewed-plan.sh", "plan", GITHUB_STEP_SUMMARY=str(summary))
    assert (planned.code, "activate 4 (1 active)" in planned.out, live(sql)) == (0, True, 1)
    assert summary.read_text() == planned.out
    promptctl("activate", "default-system-prompt@3")
    outdated = deployed("deploy-reviewed-plan.sh", "apply", GITHUB_ACTIONS="true")
    assert (outdated.code, live(sql)) == (5, 3)
    assert "plan again" in outdated.err
    assert "::error title=promptctl::refused" in outdated.out
    assert deployed("deploy-reviewed-plan.sh", "plan").code == 0
    # What is applied is the plan, whatever became of the folder.
    shutil.rmtree(deployed.path / "prompts")
    assert deployed("deploy-reviewed-plan.sh", "apply").code == 0
    assert live(sql) == 4


def test_a_plan_with_a_conflict_is_not_saved_for_review(deployed: Repository) -> None:
    deployed.write("default-system-prompt/v2.txt", "Edited.\n")
    refused = deployed("deploy-reviewed-plan.sh", "plan")
    assert (refused.code, "**conflict**" in refused.out) == (5, True)
    assert not (deployed.path / "plan.json").exists()
    assert deployed("deploy-reviewed-plan.sh").code == 2


# The night.


def test_the_check_without_drift_lists_held_prompts_and_saves_an_export(
    deployed: Repository, promptctl: Promptctl
) -> None:
    quiet = deployed("nightly-drift.sh")
    assert (quiet.code, quiet.out) == (0, "no drift\n")
    promptctl("activate", "default-system-prompt@3")
    promptctl("create", "code_helper", "Written at night.")
    promptctl("create", "team/greeter", "Hello.")
    done = deployed("nightly-drift.sh", GITHUB_ACTIONS="true")
    assert (done.code, done.out.splitlines()[-1]) == (0, "no drift")
    assert "\ndefault-system-prompt@1: held at 3, the folder names 1" in done.out
    assert "\ncode_helper@2: only in the database, created by ada@example.com" in done.out
    assert "\nteam/greeter: the prompt is only in the database" in done.out
    assert done.out.count("::notice title=promptctl::") == 3
    assert (deployed.path / "backup" / "team" / "greeter" / "v1.txt").read_text() == "Hello."
    assert "active: 3" in (deployed.path / "backup" / "default-system-prompt" / "prompt.yaml").read_text()


def test_drift_exits_with_3_after_the_plan(deployed: Repository, sql: psycopg.Connection[Any]) -> None:
    deployed.propose()
    done = deployed("nightly-drift.sh")
    assert (done.code, "activate\tdefault-system-prompt@4\tactivate 4 (1 active)" in done.out) == (3, True)
    assert "drift: promptctl sync prompts/ would make the changes above" in done.err
    assert (live(sql), (deployed.path / "backup").is_dir()) == (1, True)


def test_the_nightly_check_fails_without_a_database_or_a_place_for_the_export(deployed: Repository) -> None:
    assert deployed("nightly-drift.sh", DATABASE_URL=NOWHERE).code == 6
    (deployed.path / "backup").write_text("a file")
    done = deployed("nightly-drift.sh")
    assert (done.code, "the export to backup/ failed" in done.err) == (1, True)


# The pager.


@pytest.fixture
def incident(deployed: Repository, promptctl: Promptctl) -> Repository:
    """Versions 1, 2 and 3 were active one after another, and 3 is bad."""
    deployed.env |= {"INCIDENT": "INC-412", "PAUSE": "0"}
    promptctl("activate", "default-system-prompt@2")
    promptctl("activate", "default-system-prompt@3")
    return deployed


def test_a_retry_and_a_second_person_do_not_roll_back_twice(
    incident: Repository, promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    first = incident("pager-rollback.sh", "default-system-prompt")
    assert (first.code, live(sql)) == (0, 2), first.err
    assert first.out.startswith("rolled back default-system-prompt: 3 → 2 in ")
    assert sql.execute("select reason from promptctl.allocations order by epoch desc limit 1").fetchone() == (
        "INC-412",
    )
    again = incident("pager-rollback.sh", "default-system-prompt")
    assert (again.code, live(sql), "was rolled back already, 2 is active: ada@example.com" in again.out) == (0, 2, True)
    other = incident("pager-rollback.sh", "default-system-prompt", INCIDENT="INC-413")
    assert (other.code, live(sql)) == (5, 2)
    assert "INC-412; to roll back further, add --to N" in other.err
    # A correction of metadata is not a move.
    promptctl("delete", "default-system-prompt@3")
    assert incident("pager-rollback.sh", "default-system-prompt").code == 0
    for _ in range(2):
        assert incident("pager-rollback.sh", "default-system-prompt", "--to", "1", INCIDENT="INC-413").code == 0
    assert (live(sql), moves(sql)) == (1, 5)


def test_a_concurrent_move_is_not_undone(incident: Repository, tmp_path: Path, sql: psycopg.Connection[Any]) -> None:
    between(incident, tmp_path, "rollback", "promptctl activate default-system-prompt@1 &>/dev/null && promptctl")
    done = incident("pager-rollback.sh", "default-system-prompt")
    assert (done.code, live(sql), "active_version_moved" in done.err) == (5, 1, True)


def test_two_people_at_once_roll_back_once(incident: Repository, tmp_path: Path, sql: psycopg.Connection[Any]) -> None:
    between(incident, tmp_path, "rollback", "promptctl rollback default-system-prompt &>/dev/null && promptctl")
    done = incident("pager-rollback.sh", "default-system-prompt")
    assert (done.code, live(sql), "default-system-prompt@2 is already active" in done.out) == (0, 2, True)


def test_a_deactivated_prompt_is_activated_again(incident: Repository, sql: psycopg.Connection[Any]) -> None:
    sql.execute("update promptctl.prompts set is_active = false where name = 'default-system-prompt' and version = 3")
    assert incident("pager-rollback.sh", "default-system-prompt").code == 0
    assert live(sql) == 3


def test_the_incident_script_reports_no_earlier_version_and_unknown_prompts(
    incident: Repository, promptctl: Promptctl
) -> None:
    promptctl("activate", "code_helper@1")
    first = incident("pager-rollback.sh", "code_helper")
    assert (first.code, "no version was active before code_helper@1" in first.err) == (5, True)
    assert incident("pager-rollback.sh", "nobody").code == 4
    assert incident("pager-rollback.sh", "default-system-prompt", "--to", "9").code == 4


def test_the_pager_refuses_other_arguments_and_needs_an_incident(unconfigured: Promptctl) -> None:
    for words in (
        [],
        [""],
        ["--release"],
        ["a", "--to"],
        ["a", "b", "1"],
        ["--to", "1", "a"],
        ["-h"],
        ["a", "", "", ""],
    ):
        assert pager_usage(unconfigured, *words, INCIDENT="INC-412")
    assert pager_usage(unconfigured, "default-system-prompt", INCIDENT="")


def pager_usage(promptctl: Promptctl, *words: str, INCIDENT: str) -> bool:  # noqa: N803 - the variable's name
    env = promptctl.environment({"INCIDENT": INCIDENT})
    done = subprocess.run([SCRIPTS / "pager-rollback.sh", *words], env=env, capture_output=True, text=True, check=False)
    return (done.returncode, done.stderr[:7]) == (2, "usage: ")


def test_a_release_is_rolled_back_once(deployed: Repository, sql: psycopg.Connection[Any]) -> None:
    deployed.env |= {"INCIDENT": "INC-412", "PAUSE": "0"}
    deployed.propose()
    assert deployed("deploy.sh").code == 0
    for _ in range(2):
        done = deployed("pager-rollback.sh", "--release", "2")
        assert (done.code, "release 2 is rolled back" in done.out, live(sql)) == (0, True, 1), done.err
    assert moves(sql) == 3
    assert deployed("pager-rollback.sh", "--release", "9").code == 4
    assert deployed("deploy.sh").code == 0
    assert live(sql) == 1


def test_an_unreachable_database_is_retried_as_often_as_configured(incident: Repository) -> None:
    done = incident("pager-rollback.sh", "default-system-prompt", DATABASE_URL=NOWHERE, ATTEMPTS="3")
    assert (done.code, done.err.count('"code": "unreachable"')) == (6, 3)


def test_only_a_locked_prompt_is_retried(incident: Repository, tmp_path: Path, sql: psycopg.Connection[Any]) -> None:
    refusal = '{"error": {"code": "%s", "message": "no", "hint": null}}'
    once = f"mkdir {tmp_path}/once 2>/dev/null && {{ echo '{refusal}' >&2; exit 5; }}; promptctl"
    between(incident, tmp_path, "rollback", once.replace("%s", "locked"))
    assert incident("pager-rollback.sh", "default-system-prompt").code == 0
    assert live(sql) == 2
    (tmp_path / "once").rmdir()
    between(incident, tmp_path, "rollback", once.replace("%s", "read_only"))
    done = incident("pager-rollback.sh", "default-system-prompt", "--to", "1")
    assert (done.code, done.err.count("read_only"), live(sql)) == (5, 1, 2)


def between(repository: Repository, tmp_path: Path, command: str, then: str) -> None:
    """Put another `promptctl` before the real one: before `command` it does something else, too."""
    real = shutil.which("promptctl", path=os.pathsep.join(repository.env["PATH"].split(os.pathsep)[-1:]))
    real = real or shutil.which("promptctl", path=str(Path(sys.executable).parent))
    shim = tmp_path / "shims" / "promptctl"
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(
        f'#!/usr/bin/env bash\npromptctl() {{ "{real}" "$@"; }}\n'
        f'if [ "$1" = {command} ]; then {then} "$@"; else promptctl "$@"; fi\n'
    )
    shim.chmod(0o755)
    path = repository.env["PATH"]
    if not path.startswith(str(shim.parent)):
        repository.env["PATH"] = f"{shim.parent}{os.pathsep}{path}"


# The workflow.


def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", job["steps"])


def test_the_workflow_declares_its_triggers_and_permissions() -> None:
    document = workflow()
    # YAML 1.1 reads a plain `on` as true.
    assert set(document[True]) == {"pull_request", "push", "schedule"}
    assert document[True]["push"]["branches"] == document[True]["pull_request"]["branches"] == ["main"]
    assert document["permissions"] == {}
    jobs = document["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "check": {"contents": "read", "pull-requests": "write"},
        "deploy": {"contents": "read"},
        "drift": {"contents": "read"},
    }
    assert jobs["deploy"]["environment"] == "production"
    assert jobs["deploy"]["concurrency"] == {"group": "promptctl-production", "cancel-in-progress": False}


def test_the_workflow_calls_the_action_with_inputs_that_it_has_and_with_full_history() -> None:
    inputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    commands: dict[str, str] = {}
    for name, job in workflow()["jobs"].items():
        [checkout] = [step for step in steps(job) if step.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"]["fetch-depth"] == 0
        [action] = [step for step in steps(job) if step.get("uses") == "OWNER/promptctl@COMMIT"]
        assert action["with"].keys() <= inputs.keys()
        assert action["with"]["database-url"].startswith("${{ secrets.")
        commands[name] = action["with"].get("command", inputs["command"]["default"])
        assert all("${{" not in step.get("run", "") for step in steps(job))
    assert commands == {"check": "check", "deploy": "sync", "drift": "check"}
    for script in SCRIPTS.iterdir():
        assert os.access(script, os.X_OK), script.name


@pytest.mark.parametrize("path", [WORKFLOW, README], ids=lambda path: path.name)
def test_actions_are_pinned_by_the_full_hash_of_a_commit(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    uses = [line.strip(" -") for line in text.splitlines() if line.strip(" -").startswith("uses:")]
    assert len(uses) > 2
    for line in uses:
        assert line == "uses: OWNER/promptctl@COMMIT" or re.fullmatch(
            r"uses: actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line
        )


def test_the_page_names_every_script_and_its_jobs_are_of_the_same_kind() -> None:
    text = README.read_text(encoding="utf-8")
    for script in SCRIPTS.iterdir():
        assert f"(ci/{script.name})" in text
    [block] = re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.M | re.S)
    jobs = yaml.safe_load(block)
    assert [re.findall(r"ci/(\S+) ?(\w*)", str(steps(job))) for job in jobs.values()]
    assert jobs["apply"]["concurrency"] == workflow()["jobs"]["deploy"]["concurrency"]
    assert jobs["apply"]["needs"] == "plan"


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.iterdir()))
def test_bash_parses_every_script(script: str) -> None:
    done = subprocess.run(["bash", "-n", SCRIPTS / script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_timeout_of_the_database_is_not_commented(
    deployed: Repository, github: GitHub, sql: psycopg.Connection[Any]
) -> None:
    deployed.propose()
    url = deployed.env["DATABASE_URL"] + "&options=-c%20statement_timeout%3D50ms"
    with sql.transaction():
        for (table,) in sql.execute(
            "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace = 'promptctl'::regnamespace"
        ).fetchall():
            sql.execute(cast("Any", f"lock table {table} in access exclusive mode"))
        ended = deployed("pull-request-check.sh", DATABASE_URL=url, **github.env())
    assert (ended.code, "statement timeout" in ended.err) == (1, True), ended
    [comment] = github.comments
    assert comment["body"].endswith("ended with exit code 1.\n\nSee the log of this check.\n")
