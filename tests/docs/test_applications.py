"""The programs under examples/applications do what they say: on a real database, with a Claude of the tests' own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from tests.claude_replies import CALM, CONCISE
from tests.conftest import ROOT, SERVERS, Promptctl
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.claude_api import ClaudeServer

    ClaudeEnv = Callable[..., dict[str, str]]

APPLICATIONS = ROOT / "examples" / "applications"
NAME = "default-system-prompt"
QUESTION = 'What\'s a | "pointer"?'
SECONDS = 20
# Tests kill servers, and what these were told is still to be there.
KEEPS: dict[str, Any] = {"synchronous_commit": "on"}
# So long that only a notification tells of a change while a test runs.
NEVER_MS = 600_000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # The applications meet functions that meet every version of PostgreSQL in other tests: one is enough here.
    if "templated" in metafunc.fixturenames:
        versions = list(SERVERS)[:1] or [pytest.param(None, marks=pytest.mark.skip("no server"))]
        one = pytest.mark.parametrize("templated", versions, indirect=True, scope="session")
        metafunc.definition.add_marker(one)


@pytest.fixture
def loaded(promptctl: Promptctl) -> Promptctl:
    """The command line on a database with the example prompts, version 1 active."""
    shutil.copytree(ROOT / "prompts", promptctl.home / "prompts")
    assert promptctl("sync", "prompts").code == 0
    return promptctl


def ended(command: list[object], env: dict[str, str], folder: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [str(word) for word in command], env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def recorded_uses(sql: psycopg.Connection[Any]) -> list[Any]:
    """Every use: on what, its bucket, model, tokens, whether it took time, and how it ended."""
    return sql.execute("""
        select name, version, bucket, model, input_tokens, output_tokens, response_ms > 0, outcome
        from promptctl.uses order by recorded_at
        """).fetchall()


@pytest.mark.parametrize("program", ["answer.py", "answer.js", "answer.sh"])
def test_a_reply_is_recorded_with_the_version_that_was_active(
    program: str, loaded: Promptctl, sql: psycopg.Connection[Any], claude_env: ClaudeEnv, request: pytest.FixtureRequest
) -> None:
    env = loaded.environment() | claude_env("ok", input_tokens=149, output_tokens=90)
    command: list[object] = [APPLICATIONS / program]
    if program == "answer.py":
        command.insert(0, sys.executable)
    elif program == "answer.js":
        command = ["node", request.getfixturevalue("node_modules") / program]
    said = ended([*command, "user-42", QUESTION], env, loaded.home)
    assert said == (0, f"{NAME}@1: {CALM}\n", "")
    loaded("activate", f"{NAME}@2")
    assert ended([*command, "user-42", QUESTION], env, loaded.home) == (0, f"{NAME}@2: {CONCISE}\n", "")
    [bucket] = sql.execute("select promptctl.bucket(%s, 'user-42')", [NAME]).fetchone() or [None]
    model = "claude-sonnet-5-5"
    assert recorded_uses(sql) == [(NAME, version, bucket, model, 149, 90, True, "ok") for version in (1, 2)]


@pytest.mark.parametrize("program", ["answer.py", "answer.js", "answer.sh"])
def test_a_version_decides_what_is_sent(
    program: str,
    loaded: Promptctl,
    claude: ClaudeServer,
    claude_env: ClaudeEnv,
    request: pytest.FixtureRequest,
) -> None:
    """The model and the limit in a program are only for a version that has none."""
    words = ["--model", "claude-opus-5", "--max-tokens", "200", "--cache", "1h", "--activate"]
    words += ["--request-set", "thinking.type=adaptive"]
    words += ["--request-set", 'messages=[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]']
    assert loaded("create", NAME, "Be | brief.", *words).code == 0
    env = loaded.environment() | claude_env("ok", text="Yes.")
    folder = request.getfixturevalue("node_modules") if program == "answer.js" else APPLICATIONS
    by = {"answer.py": [sys.executable], "answer.js": ["node"], "answer.sh": []}[program]
    assert ended([*by, folder / program, "user-42", QUESTION], env, loaded.home) == (0, f"{NAME}@4: Yes.\n", "")
    sent = claude.requests[-1].body
    control = {"type": "ephemeral", "ttl": "1h"}
    assert {key: value for key, value in sent.items() if key != "stream"} == {
        "model": "claude-opus-5",
        "max_tokens": 200,
        "system": [{"type": "text", "text": "Be | brief.", "cache_control": control}],
        "thinking": {"type": "adaptive"},
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": QUESTION},
        ],
    }


@pytest.mark.parametrize(("program", "outcome"), [("answer.py", "InternalServerError"), ("answer.sh", "curl 22")])
def test_a_failed_call_is_recorded_with_its_outcome(
    program: str, outcome: str, loaded: Promptctl, sql: psycopg.Connection[Any], claude_env: ClaudeEnv
) -> None:
    env = loaded.environment() | claude_env("html_error")
    by = [sys.executable] if program == "answer.py" else []
    code, out, err = ended([*by, APPLICATIONS / program, "user-42", QUESTION], env, loaded.home)
    assert (code, out) == (1, "")
    assert "502" in err
    assert [use[1:2] + use[3:] for use in recorded_uses(sql)] == [(1, None, None, None, True, outcome)]


def test_the_spans_of_a_traced_call_name_the_prompt_and_the_worst_uses_name_the_trace(
    loaded: Promptctl, claude_env: ClaudeEnv
) -> None:
    env = loaded.environment() | claude_env("ok", input_tokens=149, output_tokens=90)
    code, out, err = ended([sys.executable, APPLICATIONS / "traced.py", "user-42", QUESTION], env, loaded.home)
    assert (code, out) == (0, f"{NAME}@1: {CALM}\n"), err
    decoder, spans, rest = json.JSONDecoder(), dict[str, Any](), err.lstrip()
    while rest:
        span, end = decoder.raw_decode(rest)
        spans[span["name"]] = span
        rest = rest[end:].lstrip()
    attributes = spans["anthropic.messages.create"]["attributes"]
    assert (attributes["gen_ai.prompt.name"], attributes["gen_ai.prompt.version"]) == (NAME, "1")
    assert not any("prompt" in name for name in spans["answer"]["attributes"])
    [use] = json.loads(loaded("stats", NAME, "--worst", "10", "--json").out)["slowest"]
    assert use["trace_id"] == spans["answer"]["context"]["trace_id"].removeprefix("0x")
    assert use["id"] == attributes["promptctl.use_id"]


class Service:
    """examples/applications/service.py, running."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self.log = folder / "service.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(APPLICATIONS / "service.py"), "0"],
                env=env, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def __call__(self, path: str, **asked: object) -> Any:
        request = urllib.request.Request(self.url + path, json.dumps(asked).encode())
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            return json.load(reply)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(SECONDS)


@pytest.fixture
def service(loaded: Promptctl, claude_env: ClaudeEnv) -> Iterator[Service]:
    running = Service(loaded.environment() | claude_env("ok", delay_ms=20, output_tokens=9), loaded.home)
    yield running
    if running.process.returncode is None:
        running.process.kill()
        running.stop()


def test_a_service_follows_the_active_version_and_sends_all_uses_when_stopped(
    service: Service, loaded: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    asked = {"user": "ada", "plan": "free", "question": "What is a pointer?"}
    first = service("/answer", **asked)
    assert (first["answer"], first["prompt"]) == (CALM, f"{NAME}@1")
    loaded("activate", f"{NAME}@2")
    second = until(lambda: service("/answer", **asked), lambda said: said["prompt"] == f"{NAME}@2")
    assert second["answer"] == CONCISE
    service("/score", use=first["use"], score=0.8)
    # The last ones were booked a moment ago.
    assert service.stop() == 0, service.log.read_text()
    uses = recorded_uses(sql)
    assert uses[0][:2] == (NAME, 1)
    assert uses[-1][:2] == (NAME, 2)
    assert {use[3:5] + use[5:] for use in uses} == {("claude-sonnet-5-5", 12, 9, True, "ok")}
    scores = sql.execute("select use_id::text, score from promptctl.scores").fetchall()
    assert scores == [(first["use"], 0.8)]
    [slowest] = sql.execute("select min(first_token_ms) from promptctl.uses").fetchone() or [0]
    assert slowest >= 20


def test_an_asgi_service_sends_all_uses_when_a_signal_ends_uvicorn(
    loaded: Promptctl, claude_env: ClaudeEnv, sql: psycopg.Connection[Any]
) -> None:
    with socket.socket() as listens:
        listens.bind(("127.0.0.1", 0))
        listens.listen()
        listens.set_inheritable(True)
        # It takes over a socket that listens already: who asks too early waits.
        command = [sys.executable, "-m", "uvicorn", "--log-level=error", f"--fd={listens.fileno()}", "service_asgi:app"]
        process = subprocess.Popen(
            command, env=loaded.environment() | claude_env("ok", output_tokens=9), cwd=APPLICATIONS, text=True,
            stderr=subprocess.PIPE, pass_fds=[listens.fileno()],
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{listens.getsockname()[1]}/answer"
            asked = json.dumps({"user": "ada", "plan": "free", "question": "What is a pointer?"}).encode()
            for _ in range(20):
                with urllib.request.urlopen(url, asked, timeout=SECONDS) as reply:
                    assert json.load(reply)["prompt"] == f"{NAME}@1"
            process.terminate()
            _, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
            process.communicate()
    assert (process.returncode, err) == (-signal.SIGTERM, "")
    assert len(recorded_uses(sql)) == 20


def test_a_service_does_not_start_without_its_prompt(promptctl: Promptctl, claude_env: ClaudeEnv) -> None:
    code, out, err = ended(
        [sys.executable, APPLICATIONS / "service.py", 0], promptctl.environment() | claude_env(), promptctl.home
    )
    assert (code, out) == (1, "")
    told, hint = err.splitlines()[-2:]
    assert told.startswith("promptctl.client.exceptions.PromptNotFound: no prompt")
    assert hint == "hint: promptctl list"


# One line in, the arguments of `get`; one line out, what it says.
STEPS = """
const { Prompts } = require('./prompts.js');
const prompts = new Prompts(process.env.DATABASE_URL, JSON.parse(process.argv[1]));
require('readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  try {
    console.log(JSON.stringify(await prompts.get(...JSON.parse(line))));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}).on('close', () => prompts.close());
"""


class Node:
    """examples/applications/prompts.js in a process."""

    def __init__(self, folder: Path, url: str, **options: int) -> None:
        env = os.environ | {"DATABASE_URL": url}
        self._process = subprocess.Popen(
            ["node", "-e", STEPS, json.dumps(options)],
            env=env, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, *arguments: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def answers(self, seconds: float) -> bool:
        """Whether an answer comes within this time."""
        assert self._process.stdout is not None
        return bool(connection.wait([self._process.stdout.fileno()], seconds))

    def get(self, *arguments: object) -> Any:
        self.ask(*arguments)
        return self.answer()

    def version(self, unit: str | None = "user-42", name: str = "greeter") -> int:
        return self.get(name, unit)["version"]

    def close(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            return self._process.wait(SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()


@pytest.fixture
def node(node_modules: Path, database_url: str, sql: psycopg.Connection[Any]) -> Iterator[Callable[..., Node]]:
    """Return a function that starts prompts.js on a database with versions 1 to 3 of `greeter`, 1 active."""
    fill(sql)
    with contextlib.ExitStack() as opened:

        def start(**options: int) -> Node:
            started = Node(node_modules, database_url, **options)
            opened.callback(started.close)
            return started

        yield start


def fill(sql: psycopg.Connection[Any]) -> None:
    for version in (1, 2, 3):
        sql.execute(
            "insert into promptctl.prompts (name, version, content, is_active) values ('greeter', %s, %s, %s)",
            [version, f"Be kind, {version}.", version == 1],
        )


def activate(sql: psycopg.Connection[Any], version: int) -> None:
    statement = "update promptctl.prompts set is_active = true where name = 'greeter' and version = %s"
    sql.execute(statement, [version])


def until(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """Repeat a call until its result satisfies a condition, and return that result."""
    ends = time.monotonic() + SECONDS
    while not good(said := ask()):
        assert time.monotonic() < ends, said
    return said


def waited(prompts: Node) -> list[float]:
    """How many seconds the answers to two calls at once took; the first is quick."""
    began = time.monotonic()
    for _ in range(2):
        prompts.ask("greeter", "user-42")
    seconds = [time.monotonic() - began for _ in range(2) if prompts.answer()["version"] == 1]
    assert seconds[0] < 0.5, seconds
    return seconds


LISTENS = (
    "select pid from pg_stat_activity where datname = current_database() and query in ('listen promptctl', 'select 1')"
)


def listener(sql: psycopg.Connection[Any]) -> int:
    """The process that serves the connection which listens, once there is one."""
    return until(lambda: sql.execute(LISTENS.encode()).fetchone(), bool)[0]


def test_javascript_caches_a_unit_until_it_is_notified_of_a_change(
    node: Callable[..., Node], sql: psycopg.Connection[Any]
) -> None:
    prompts = node(checkMs=NEVER_MS)
    assert prompts.get("greeter", "user-42") == {
        "name": "greeter", "version": 1, "epoch": 1, "content": "Be kind, 1.", "settings": {}, "metadata": {},
    }  # fmt: skip
    listener(sql)
    prompts.version()
    # What is read from memory reads nothing from a table that nobody else may read.
    with sql.transaction():
        sql.execute("lock table promptctl.served in access exclusive mode")
        assert prompts.version() == 1
    activate(sql, 2)
    until(prompts.version, lambda version: version == 2)
    assert prompts.close() == 0


def test_javascript_does_not_cache_a_result_from_before_a_change(
    node: Callable[..., Node], sql: psycopg.Connection[Any], connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    prompts = node(checkMs=NEVER_MS)
    listener(sql)
    prompts.version("another")
    with sql.transaction():
        sql.execute("lock table promptctl.served in access exclusive mode")
        prompts.ask("greeter", "user-42")
        other = connect()
        waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        until(lambda: other.execute(waiting.encode()).fetchone() is not None, bool)
        activate(sql, 2)
    prompts.answer()  # from a moment before the change, perhaps
    until(prompts.version, lambda version: version == 2)


def test_javascript_assigns_a_random_version_without_a_unit(
    node: Callable[..., Node], sql: psycopg.Connection[Any]
) -> None:
    prompts = node(checkMs=NEVER_MS)
    sql.execute("select promptctl.split('greeter', 5000, 3)")
    until(lambda: prompts.version(None), lambda version: version == 3)
    until(lambda: prompts.version(None), lambda version: version == 1)
    sides = {unit: prompts.version(unit) for unit in map(str, range(30))}
    assert set(sides.values()) == {1, 3}
    assert sides == {unit: prompts.version(unit) for unit in sides}


def test_javascript_gets_changes_after_its_listener_was_disconnected(
    node: Callable[..., Node], sql: psycopg.Connection[Any]
) -> None:
    prompts = node(checkMs=200)
    prompts.version()
    lost = listener(sql)
    sql.execute("select pg_terminate_backend(%s)", [lost])
    activate(sql, 2)
    until(prompts.version, lambda version: version == 2)
    until(lambda: listener(sql), lambda another: another != lost)


def test_javascript_serves_cached_versions_while_the_database_is_down(node_modules: Path) -> None:
    with Server.start(next(iter(SERVERS.values())), **KEEPS) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as sql:
            sql.execute(schema.read_sql().encode())
            fill(sql)
        prompts = Node(node_modules, server.url(), checkMs=50)
        assert (prompts.version(), prompts.version(None)) == (1, 1)
        server.kill()
        assert (prompts.version(), prompts.version(None)) == (1, 1)
        assert "error" in prompts.get("greeter", "somebody else")
        server.restart()
        with psycopg.connect(server.dsn(), autocommit=True) as sql:
            activate(sql, 2)
            until(prompts.version, lambda version: version == 2)
            # That nothing is served is an answer, and not an outage.
            sql.execute("update promptctl.prompts set is_active = false where name = 'greeter' and version = 2")
        said = until(lambda: prompts.get("greeter", "user-42"), lambda said: "error" in said)
        assert said == {"error": '"greeter" has no active version'}
        # Nor does an outage bring back what was withdrawn.
        server.kill()
        assert "error" in prompts.get("greeter", "user-42")
        assert prompts.close() == 0


def test_javascript_makes_only_one_call_wait_for_a_server_that_hangs(node_modules: Path) -> None:
    with Server.start(next(iter(SERVERS.values())), **KEEPS) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as sql:
            sql.execute(schema.read_sql().encode())
            fill(sql)
        prompts = Node(node_modules, server.url(), checkMs=50)
        assert prompts.version() == 1
        server.freeze()
        try:
            assert prompts.version() == 1  # which waits
            # Of two calls one may ask whether the database is back; the other is answered at once.
            until(lambda: waited(prompts), lambda seconds: seconds[1] > 0.5)
        finally:
            server.thaw()
        assert prompts.close() == 0


def test_javascript_evicts_the_oldest_entries_of_a_full_cache(
    node: Callable[..., Node], sql: psycopg.Connection[Any]
) -> None:
    prompts = node(checkMs=NEVER_MS, most=2)
    listener(sql)
    for unit in ("one", "one", "two", "three"):
        prompts.version(unit)
    with sql.transaction():
        sql.execute("lock table promptctl.served in access exclusive mode")
        assert (prompts.version("two"), prompts.version("three")) == (1, 1)
        prompts.ask("greeter", "one")
        assert not prompts.answers(0.3)
    assert prompts.answer()["version"] == 1
