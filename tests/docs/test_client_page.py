"""docs/client.md, run from top to bottom as one application would: what it says is printed is printed.

In a block of Python, what stands behind two blanks and a # is what that line prints. A comment of HTML, which readers
do not see, is a directive: `until:` an expression is true, the database stops or is back, else a statement.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

import promptctl
from promptctl import Prompt, Prompts, Use, schema
from promptctl.client import exceptions
from tests.conftest import ROOT, SERVERS, environment, stable, watched
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGE = ROOT / "docs" / "client.md"
PIECES = re.compile(r"^```(\w+)\n(.*?)^```$|^<!-- (.*?) -->$", re.M | re.S)
PRINTED = re.compile(r"  # (.*)$", re.M)
LOGGED = re.compile(r"\d+ s ago")
COLUMNS = 100

# Reads a line, runs what it holds in one namespace, writes a line.
APPLICATION = """
import contextlib, io, json, sys, time, traceback

said, names = sys.stdout, {"__name__": "application"}
for line in sys.stdin:
    kind, text = json.loads(line)
    printed, failed = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed):
            if kind == "until":
                ends = time.monotonic() + 20
                while not eval(text, names):
                    assert time.monotonic() < ends, text
                    time.sleep(0.01)
            else:
                exec(compile(text, "docs/client.md", "exec"), names)
    except BaseException:
        failed = traceback.format_exc()
    said.write(json.dumps([printed.getvalue(), failed]) + "\\n")
    said.flush()
"""


class Application:
    """A process that has run the blocks so far."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self._log = folder / "application.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", APPLICATION],
                env=env, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def __call__(self, kind: str, text: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([kind, text]) + "\n")
        self.process.stdin.flush()
        printed, failed = json.loads(self.process.stdout.readline())
        assert failed is None, failed + self.log
        return printed

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            assert self.process.wait(30) == 0
        finally:
            self.process.kill()
            self.process.stdout.close()


@pytest.fixture
def own_server() -> Iterator[tuple[Server, str]]:
    """A server that can be stopped, and the name of a database there with our schema; an application is `app` there."""
    if not SERVERS:
        pytest.skip("no server")
    with Server.start(next(iter(SERVERS.values())), synchronous_commit="on") as server:
        name = f"test_{os.getpid()}_0"
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
            connection.execute("create role app login")
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            connection.execute(schema.read_sql().encode())
        yield server, name


def test_the_page_runs_from_top_to_bottom(
    own_server: tuple[Server, str],
    home: Path,
    claude_env: Callable[..., dict[str, str]],
    request: pytest.FixtureRequest,
) -> None:
    server, name = own_server
    env = environment(home, DATABASE_URL=server.url(name)) | claude_env()
    env["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{env['PATH']}"
    applications = env | {"DATABASE_URL": server.url(name, user="app")}
    text = PAGE.read_text(encoding="utf-8")
    application = Application(applications, home)
    try:
        for piece in PIECES.finditer(text):
            language, block, directive = piece.groups()
            if directive == "the database stops":
                server.kill()
            elif directive == "the database is back":
                server.restart()
            elif directive is not None:
                kind, _, expression = directive.partition(": ")
                application("until", expression) if kind == "until" else application("run", directive)
            elif language == "python":
                assert stable(application("run", block)).splitlines() == PRINTED.findall(block), block
            elif language == "console":
                told = _told(block, env, home)
                if os.environ.get("UPDATE_SNAPSHOTS"):
                    text = text.replace(piece.group(), f"```console\n{told}```", 1)
                    PAGE.write_text(text, encoding="utf-8")
                else:
                    assert told == block
            elif language == "text":
                assert LOGGED.sub("", block) in LOGGED.sub("", stable(application.log)), application.log
            elif language == "sql":
                with psycopg.connect(server.dsn(name, user="app"), autocommit=True) as connection:
                    connection.execute(block.encode())
            else:
                assert language == "javascript"
                _run_javascript(block, applications, request)
    finally:
        application.close()
    assert "Traceback" not in application.log, application.log
    # Every use is there, through the outage, the fork and the end: `answer` is called twice.
    booked = text.count(".use() as use:") + 1 + text.count("SELECT promptctl.record_use(")
    with psycopg.connect(server.dsn(name)) as connection:
        assert connection.execute("select count(*) from promptctl.uses").fetchone() == (booked,)


def test_the_page_lists_every_setting_with_its_default() -> None:
    told = re.findall(r"^\| `(\w+)` \| ([\w. ]+) \|", _section("Settings"), flags=re.M)
    parameters = list(inspect.signature(Prompts.__init__).parameters.values())[2:]
    assert [(name, default.replace(" ", "")) for name, default in told] == [
        (
            each.name,
            "none" if each.default is None else f"{each.default:g}" if each.default < 1000 else str(each.default),
        )
        for each in parameters
    ]


def test_the_page_lists_every_exception_with_its_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", _section("The log, and errors"), flags=re.M)
    classes = [
        each for each in vars(exceptions).values() if isinstance(each, type) and each is not promptctl.PromptctlError
    ]
    assert [name for name, _ in rows] == [each.__name__ for each in classes]
    assert [getattr(promptctl, name) for name, _ in rows] == classes
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "promptctl" / "client").glob("*.py"))
    assert [code for _, code in rows if f'"{code}"' not in source] == []


def test_the_page_documents_every_public_method() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for kind in (Prompts, Prompt, Use):
        names = [name for name, each in vars(kind).items() if callable(each) or isinstance(each, property)]
        assert [name for name in names if not name.startswith("_") and not re.search(rf"\b{name}\b", page)] == []


def _section(heading: str) -> str:
    return PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]


def _told(block: str, env: dict[str, str], folder: Path) -> str:
    """What a block of commands looks like on a terminal now."""
    commands = re.findall(r"^\$ (.*)$", block, flags=re.M)
    said = "".join(f"$ {command}\n{watched(['bash', '-c', command], env, folder, COLUMNS).out}" for command in commands)
    return stable(said)


def _run_javascript(block: str, env: dict[str, str], request: pytest.FixtureRequest) -> None:
    try:
        folder: Path = request.getfixturevalue("node_modules")
    except pytest.skip.Exception:
        return  # tests/test_applications.py says so
    program = f"(async () => {{ {block} }})()"
    done = subprocess.run(["node", "-e", program], cwd=folder, env=env, capture_output=True, text=True, check=False)
    printed = re.findall(r"console\.log.*// (.*)$", block, flags=re.M)
    assert (done.stdout.splitlines(), done.stderr) == (printed, "")
