"""What an application's author meets: the settings of the command line, the types, the cost of an import."""

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
from tests.client.support import program
from tests.conftest import ROOT, environment

EMBEDDED = """
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
        done = subprocess.run(command, env=embedded_home, cwd=home, capture_output=True, text=True, check=True)
        return done.stdout

    before = program(EMBEDDED, home, embedded_home)
    assert before.code == 1
    assert "there is no embedded database in" in before.err
    promptctl("create", "greeter", "Be kind.", "--activate")
    # The second time it starts the server itself, which has crashed; one that somebody stopped stays so.
    for _ in range(2):
        ended = program(EMBEDDED, home, embedded_home)
        assert (ended.code, ended.err) == (0, "")
        assert (
            ended.out == 'no prompt "greter" in the embedded database; the nearest is "greeter"\ngreeter@1 True True\n'
        )
        pid_file = Path(embedded_home["PROMPTCTL_HOME"], "pg18", "postmaster.pid")
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
    promptctl("db", "stop")
    stopped = program(EMBEDDED, home, embedded_home)
    assert (stopped.code, "was stopped; only a command starts it again" in stopped.err) == (1, True)
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
def test_a_wrong_setting_raises_in_the_constructor(home: Path, settings: dict[str, str], words: str) -> None:
    ended = program("from promptctl import Prompts; Prompts()", home, environment(home, **settings))
    assert ended.code == 1
    message, hint = ended.err.splitlines()[-2:]
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
    ended = program(code, home, environment(home))
    assert ended.out == (
        "['promptctl']\nFalse\nTrue []\nmodule 'promptctl' has no attribute 'Nonsense'\n"
    )  # fmt: skip


def test_the_client_needs_no_dependency_but_psycopg(home: Path, env: dict[str, str]) -> None:
    """An image that has to be small installs the distribution without the others."""
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
    ended = program(code, home, env)
    assert (ended.out, ended.err) == ("Be kind, Ada. m-1 True\n", "")


TYPED = '''
"""All that an application uses, as it would."""

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
        booked: Use = use
        booked.first_token()
        booked.record(object(), input_tokens=7, output_tokens=3, model="m")
        booked.failed("refused")
        booked.score(0.5)
    prompts.score(booked.id, 1)
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
        age: float = prompts.age_seconds + sum(each.age_seconds for each in several.values())
        counts: int = prompts.dropped_uses + prompts.waiting_uses
        done: bool = prompts.flush(1) and prompts.is_connected
        print(age, counts, done, answer(prompts, uuid.uuid4(), "x"))
        prompts.close()


class Own(PromptctlError):
    pass
'''


@pytest.mark.parametrize(
    ("wrong", "rules"),
    [
        ("", []),
        ("Prompts().nonsense()", ["reportAttributeAccessIssue"]),
        ("print(Prompts().get('greeter').version + 1)", ["reportOptionalOperand"]),
        ("Prompts().get('greeter').use().record(input_tokens='7')", ["reportArgumentType"]),
    ],
    ids=["right", "a name", "a result", "an argument"],
)
def test_what_an_application_uses_is_typed(tmp_path: Path, wrong: str, rules: list[str]) -> None:
    pytest.importorskip("basedpyright", reason="the types are checked where basedpyright is")
    (tmp_path / "application.py").write_text(TYPED + wrong + "\n")
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.basedpyright]\ntypeCheckingMode = "strict"\npythonVersion = "3.11"\nextraPaths = ["{ROOT}"]\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "application.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [each["rule"] for each in json.loads(done.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    assert [rule for rule in found if "Unknown" not in rule] == rules


def test_the_package_says_that_it_is_typed() -> None:
    assert resources.files("promptctl").joinpath("py.typed").is_file()
    assert client.__doc__ is not None
