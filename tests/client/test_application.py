"""The client in an application: which database it uses, its types, and what it imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from promptctl import client
from tests.client.support import run_program
from tests.conftest import ROOT, environment

EMBEDDED_APPLICATION = """
import os, threading
from promptctl import PromptNotFound, Prompts
before, threads = dict(os.environ), threading.active_count()
with Prompts() as prompts:
    assert threading.active_count() == threads
    prompt = prompts.get("greeter", unit="user-42")
    with prompt.use() as use:
        use.record(input_tokens=7, output_tokens=3, model="m")
    try:
        prompts.get("greter")
    except PromptNotFound as problem:
        print(problem)
    print(prompt, prompts.flush(), prompts.is_connected)
assert dict(os.environ) == before
"""


def test_the_embedded_database_is_the_default(embedded_home: dict[str, str], home: Path) -> None:
    def promptctl(*words: str) -> str:
        command = [sys.executable, "-m", "promptctl", *words]
        result = subprocess.run(command, env=embedded_home, cwd=home, capture_output=True, text=True, check=True)
        return result.stdout

    before = run_program(EMBEDDED_APPLICATION, home, embedded_home)
    assert before.code == 1
    assert "there is no embedded database in" in before.err
    promptctl("create", "greeter", "Be kind.", "--activate")
    # The client starts a server that has crashed, but not one that `db stop` has stopped.
    for _ in range(2):
        result = run_program(EMBEDDED_APPLICATION, home, embedded_home)
        assert (result.code, result.err) == (0, "")
        assert (
            result.out == 'no prompt "greter" in the embedded database; the nearest is "greeter"\ngreeter@1 True True\n'
        )
        pid_file = Path(embedded_home["PROMPTCTL_HOME"], "pg18", "postmaster.pid")
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
    promptctl("db", "stop")
    after_stop = run_program(EMBEDDED_APPLICATION, home, embedded_home)
    assert (after_stop.code, "was stopped; only a command starts it again" in after_stop.err) == (1, True)
    [version] = json.loads(promptctl("show", "greeter", "--json"))["versions"]
    assert (version["stats"]["total_uses"], version["stats"]["avg_tokens"]) == (2, 10)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PROMPTCTL_DATABASE_URL": ""}, "PROMPTCTL_DATABASE_URL is set but empty"),
        ({"DATABASE_URL": " "}, "DATABASE_URL is set but empty"),
        ({"PGHOST": ""}, "PGHOST is set but empty"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL is not the URL of a PostgreSQL database"),
        ({"DATABASE_URL": "postgresql://[::1/x"}, "DATABASE_URL is not a valid database URL"),
    ],
    ids=str,
)
def test_an_invalid_database_setting_raises_in_the_constructor(
    home: Path, settings: dict[str, str], words: str
) -> None:
    result = run_program("from promptctl import Prompts; Prompts()", home, environment(home, **settings))
    assert result.code == 1
    message, hint = result.err.splitlines()[-2:]
    assert words in message
    assert hint.startswith("hint: ")


def test_an_import_of_the_package_does_not_import_the_client(home: Path) -> None:
    code = """
import sys
before = set(sys.modules)
import promptctl
print(sorted(name for name in set(sys.modules) - before if "promptctl" in name))
import promptctl.rules.references, promptctl.errors
print(any(name.startswith("promptctl.client") for name in sys.modules))
from promptctl import Prompts, PromptNotFound
heavy = {"psycopg", "anthropic", "typer", "rich", "yaml", "asyncio"}
print("promptctl.client.prompts" in sys.modules, sorted(heavy & set(sys.modules)))
try:
    promptctl.Nonsense
except AttributeError as problem:
    print(problem)
"""
    result = run_program(code, home, environment(home))
    assert result.out == (
        "['promptctl']\nFalse\nTrue []\nmodule 'promptctl' has no attribute 'Nonsense'\n"
    )  # fmt: skip


def test_the_client_needs_no_dependency_but_psycopg(home: Path, env: dict[str, str]) -> None:
    """A small container image leaves out the other dependencies."""
    code = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"typer", "rich", "yaml", "anthropic", "httpx2", "genai_prices", "pydantic"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
from promptctl import Prompts
with Prompts(snapshot="snapshot.json", spool="spool") as prompts:
    prompt = prompts.get("greeter", unit="user-42", attributes={"plan": "free"})
    with prompt.use() as use:
        use.record({"usage": {"input_tokens": 7}})
    prompts.score(use.id, 1)
    print(prompt.render({"user.name": "Ada"}), prompt.settings["model"], prompts.flush())
"""
    result = run_program(code, home, env)
    assert (result.out, result.err) == ("Be kind, Ada. m-1 True\n", "")


TYPED_APPLICATION = '''
"""Every part of the API that an application uses."""

import logging
import uuid

from promptctl import (
    MissingVariables,
    NoActiveVersion,
    Prompt,
    PromptNotFound,
    Prompts,
    TooOld,
    Unavailable,
    Use,
    VersionNotFound,
)
from promptctl.errors import PromptctlError


def answer(prompts: Prompts, user: uuid.UUID, plan: str) -> str | None:
    try:
        prompt: Prompt = prompts.get("greeter", unit=user, attributes={"plan": plan}, default="Be kind.")
    except (PromptNotFound, VersionNotFound, NoActiveVersion, Unavailable, TooOld) as problem:
        logging.warning("%s %s %s", problem.code, problem.message, problem.hint)
        return None
    number: int | None = prompt.version
    with prompt.use() as use:
        typed_use: Use = use
        typed_use.first_token()
        typed_use.record(object(), input_tokens=7, output_tokens=3, model="m")
        typed_use.failed("refused")
        typed_use.score(0.5)
    prompts.score(typed_use.id, 1)
    try:
        return prompt.render({"user.name": "Ada"}) + str(number)
    except MissingVariables as missing:
        return ", ".join(missing.names)


def main() -> None:
    with Prompts(
        "postgresql:///x", poll_seconds=5, timeout_seconds=2.5, max_age_seconds=None, snapshot="s", spool="t",
        queue_size=10, flush_seconds=1, spool_bytes=10,
    ) as prompts:
        prompts.preload(["greeter"])
        several: dict[str, Prompt] = prompts.get_many(["greeter", "other"], unit=5)
        age: float = prompts.age_seconds + sum(other.age_seconds for other in several.values())
        counts: int = prompts.dropped_uses + prompts.waiting_uses
        is_sent: bool = prompts.flush(1) and prompts.is_connected
        print(age, counts, is_sent, answer(prompts, uuid.uuid4(), "x"))
        prompts.close()


class Own(PromptctlError):
    pass
'''


@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        ("", []),
        ("Prompts().nonsense()", ["reportAttributeAccessIssue"]),
        ("print(Prompts().get('greeter').version + 1)", ["reportOptionalOperand"]),
        ("Prompts().get('greeter').use().record(input_tokens='7')", ["reportArgumentType"]),
    ],
    ids=["no mistake", "unknown method", "optional version", "wrong argument type"],
)
def test_a_type_checker_finds_mistakes_in_an_application(tmp_path: Path, statement: str, rules: list[str]) -> None:
    pytest.importorskip("basedpyright", reason="basedpyright is not installed")
    (tmp_path / "application.py").write_text(TYPED_APPLICATION + statement + "\n")
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.basedpyright]\ntypeCheckingMode = "strict"\npythonVersion = "3.11"\nextraPaths = ["{ROOT}"]\n'
    )
    result = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "application.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    diagnostics = json.loads(result.stdout)["generalDiagnostics"]
    errors = [diagnostic["rule"] for diagnostic in diagnostics if diagnostic["severity"] == "error"]
    assert [rule for rule in errors if "Unknown" not in rule] == rules


def test_the_package_has_a_py_typed_marker() -> None:
    assert resources.files("promptctl").joinpath("py.typed").is_file()
    assert client.__doc__ is not None
