"""Fixtures: a database for each test, copied from a template, on each PostgreSQL version that is installed."""

from __future__ import annotations

import compileall
import contextlib
import fcntl
import importlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

from promptctl import schema
from tests.claude_api import ClaudeServer
from tests.preloaded import Preloaded
from tests.servers import Server, available_servers
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from promptctl.postgres.drivers import Driver

# A process that a shell starts in the background ignores Ctrl-C, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The same for SIGHUP under nohup.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# The limit of open files that most systems have. With more, a leak of descriptors would not be noticed.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (1024 if _soft == resource.RLIM_INFINITY else min(_soft, 1024), _hard))

ROOT = Path(__file__).parent.parent
SNAPSHOTS = Path(__file__).parent / "snapshots"
SERVERS = available_servers()
AUTHOR = "ada@example.com"


def pytest_configure(config: pytest.Config) -> None:
    """Compile the package once: the commands under test write no bytecode, so each would compile what it imports."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(ROOT / "promptctl", quiet=2)


@dataclass(frozen=True)
class Templated:
    """A running server with a database `template` that has the schema only."""

    server: Server
    template: str


@pytest.fixture(scope="session", params=list(SERVERS) or [pytest.param(None, marks=pytest.mark.skip("no server"))])
def templated(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """One server of each version for this worker."""
    server = Server.start(SERVERS[request.param])
    try:
        name = f"template_{os.getpid()}"
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            connection.execute(schema.read_sql().encode())
        yield Templated(server, name)
    finally:
        server.stop()


_counter = iter(range(1_000_000_000))


@pytest.fixture
def server(templated: Templated) -> Server:
    """The server of this test's database."""
    return templated.server


@pytest.fixture
def empty_database(templated: Templated) -> Iterator[str]:
    """The name of a new database without our schema."""
    with copied_database(templated.server, "template1") as name:
        yield name


@pytest.fixture
def database_name(templated: Templated) -> Iterator[str]:
    """The name of a new database with our schema."""
    with copied_database(templated.server, templated.template) as name:
        yield name


@contextlib.contextmanager
def copied_database(server: Server, template: str) -> Generator[str]:
    """Yield the name of a new database that is a copy of another."""
    name = f"test_{os.getpid()}_{next(_counter)}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}".encode())
        yield name
        connection.execute(f"drop database if exists {name} with (force)".encode())


@pytest.fixture
def database_url(server: Server, database_name: str) -> str:
    """The URL of a new database with our schema."""
    return server.url(database_name)


@pytest.fixture
def connect(server: Server, database_name: str) -> Iterator[Callable[..., psycopg.Connection[Any]]]:
    """Return a function that connects to this test's database as the superuser or another role, with autocommit."""
    opened: list[psycopg.Connection[Any]] = []

    def open_one(user: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        settings: Any = {"autocommit": True} | options
        connection: psycopg.Connection[Any] = psycopg.connect(server.dsn(database_name, user=user), **settings)
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def sql(connect: Callable[..., psycopg.Connection[Any]]) -> psycopg.Connection[Any]:
    """A superuser's connection to this test's database, in autocommit."""
    return connect()


@dataclass(frozen=True)
class Ended:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def environment(home: Path, **extra: str | None) -> dict[str, str]:
    """Return the environment of a command under test: no settings of the developer, no colors, a fixed author."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "PYTHONPATH") if name in os.environ}
    ours: dict[str, str | None] = {
        "HOME": str(home),
        "PROMPTCTL_HOME": str(home / "promptctl"),
        "PROMPTCTL_AUTHOR": AUTHOR,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": "UTC",
        "TERM": "dumb",
    }
    return {name: value for name, value in (inherited | ours | extra).items() if value is not None}


def watched(command: list[str], env: dict[str, str], folder: Path, columns: int = 80, typed: bytes = b"") -> Ended:
    """Run a command on a terminal with `columns`; return what stays on the screen, with LF line ends."""
    ended = drawn(command, env, folder, columns, typed)
    return Ended(ended.code, left_on_screen(ended.out), "")


def drawn(command: list[str], env: dict[str, str], folder: Path, columns: int = 80, typed: bytes = b"") -> Ended:
    """Run a command on a terminal with `columns`; return everything that was written to it, with LF line ends."""
    with Terminal(command, env, folder, columns) as terminal:
        if typed:
            terminal.type(typed)
        code = terminal.end()
    return Ended(code, terminal.raw.decode().replace("\r\n", "\n"), "")


def left_on_screen(text: str) -> str:
    """Return the final content of a terminal, without the lines that were erased."""
    return re.sub(r"[^\n]*\r\x1b\[K", "", text)


CALLS_CLAUDE = (("chat",), ("test",), ("tokens",))


class Promptctl:
    """Run the command line as a process, through pipes or on a terminal."""

    # From which commands are forked: those that call Claude, and the others.
    preloaded: Preloaded | None = None
    preloaded_commands: Preloaded | None = None

    def __init__(self, home: Path, **extra: str | None) -> None:
        self.home = home
        self.extra = extra

    def __call__(self, *words: str, stdin: str | bytes = b"", env: dict[str, str | None] | None = None) -> Ended:
        """Run through pipes. `env` adds variables to the environment; the value None removes one."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        variables = self.environment(env)
        # Python reads some variables at its start only.
        is_plain = not any(name.startswith(("PYTHON", "LANG", "LC_")) for name in (self.extra | (env or {})))
        preloaded = self.preloaded if words[:1] in CALLS_CLAUDE else self.preloaded_commands
        if preloaded is not None and is_plain:
            ended = preloaded.run("promptctl", words, variables, self.home, data, 60)
            if ended is not None:
                return Ended(ended[0], ended[1].decode(), ended[2].decode())
        done = subprocess.run(
            self.command(*words),
            input=data,
            capture_output=True,
            env=variables,
            cwd=self.home,
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *words: str, env: dict[str, str | None] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """Start without waiting, for tests that kill the process or race it."""
        streams: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        settings: Any = {"env": self.environment(env), "cwd": self.home} | streams | options
        return cast("subprocess.Popen[bytes]", subprocess.Popen(self.command(*words), **settings))

    def on_terminal(
        self, *words: str, columns: int = 80, typed: bytes = b"", env: dict[str, str | None] | None = None
    ) -> Ended:
        """Run on a terminal with `columns`; return what stays on the screen, with LF line ends."""
        ended = self.drawn_on_terminal(*words, columns=columns, typed=typed, env=env)
        return Ended(ended.code, left_on_screen(ended.out), "")

    def drawn_on_terminal(
        self, *words: str, columns: int = 80, typed: bytes = b"", env: dict[str, str | None] | None = None
    ) -> Ended:
        """Run on a terminal; return everything that was written to it, with erased lines."""
        return drawn(self.command(*words), self.environment(env), self.home, columns, typed)

    def command(self, *words: str) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "promptctl", *words]

    def environment(self, env: dict[str, str | None] | None = None) -> dict[str, str]:
        """Return the environment of the process."""
        return environment(self.home, **(self.extra | (env or {})))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home directory."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture(params=["ctypes_pq", "psycopg_pq"])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each of the two implementations by which connections are opened."""
    return importlib.import_module(f"promptctl.postgres.{request.param}")  # pyright: ignore[reportReturnType]


@pytest.fixture
def promptctl(home: Path, database_url: str, preloaded: Preloaded, preloaded_commands: Preloaded) -> Promptctl:
    """The command line on this test's database."""
    command = Promptctl(home, DATABASE_URL=database_url)
    command.preloaded, command.preloaded_commands = preloaded, preloaded_commands
    return command


@pytest.fixture
def unconfigured(home: Path) -> Promptctl:
    """The command line without a configured database and without an embedded one."""
    return Promptctl(home)


@pytest.fixture
def embedded_home(home: Path) -> Iterator[dict[str, str]]:
    """The environment of a shell with `promptctl` and an embedded database whose server can reach its files."""
    place = Path(tempfile.mkdtemp(prefix="readme-", dir="/tmp"))
    place.chmod(0o755)
    env = environment(home, PROMPTCTL_HOME=str(place / "db"), TERM="xterm", NO_COLOR="1")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    yield env
    subprocess.run([sys.executable, "-m", "promptctl", "db", "stop"], env=env, check=False, capture_output=True)
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def claude() -> Iterator[ClaudeServer]:
    """A local server for Claude's API; the URL selects how it answers."""
    with ClaudeServer() as server:
        yield server


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    """A process that has imported Claude's SDK, from which tests fork programs."""
    with Preloaded(calls_claude=True) as process:
        yield process


@pytest.fixture(scope="session")
def preloaded_commands() -> Iterator[Preloaded]:
    """A process that has imported what the other commands need, from which tests fork them."""
    with Preloaded(calls_claude=False) as process:
        yield process


@pytest.fixture
def claude_env(claude: ClaudeServer) -> Callable[..., dict[str, str | None]]:
    """Return a function that returns the environment of `chat` for that server and a scenario."""

    def choose(scenario: str = "ok", **parameters: object) -> dict[str, str | None]:
        return {
            "ANTHROPIC_API_KEY": claude.KEY,
            "ANTHROPIC_BASE_URL": claude.url(scenario, **parameters),
            "PROMPTCTL_CHAT_HISTORY": "",
        }

    return choose


@pytest.fixture
def separate_database() -> None:
    """Marks a test of a command that changes more of its database than the rows of the tables."""


@pytest.fixture
def startup_code(tmp_path: Path) -> Callable[[str], dict[str, str | None]]:
    """Return a function that returns the environment of a process in which Python runs this code first.

    Tests inject faults with it that no user can cause.
    """

    def install(code: str) -> dict[str, str | None]:
        folder = tmp_path / "startup_code"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
        return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)}

    return install


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the JavaScript examples and their npm packages, one for all workers."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm here")
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "javascript"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "answer.js").exists():
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "pg@8", "@anthropic-ai/sdk@1"]
            if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode != 0:
                pytest.skip("npm's registry cannot be reached")
            for path in (ROOT / "examples" / "applications").glob("*.js"):
                shutil.copy(path, folder)
    return folder


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Compare a text with its snapshot under tests/snapshots; UPDATE_SNAPSHOTS=1 updates the snapshot.

    Values that differ between runs are replaced first: ids, times, the database's name and host.
    """

    def check(text: str, name: str) -> None:
        normalized = stable(text)
        path = SNAPSHOTS / f"{name}.txt"
        if os.environ.get("UPDATE_SNAPSHOTS"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(normalized, encoding="utf-8")
        assert path.exists(), f"{path.name} does not exist: run with UPDATE_SNAPSHOTS=1 and read it"
        assert normalized == path.read_text(encoding="utf-8")

    return check


def stable(text: str) -> str:
    """Replace values that differ between runs; columns of times keep their alignment."""
    for pattern, replacement in (
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "00000000-0000-0000-0000-000000000000"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-11-12T09:30:00Z"),
        (r"test_\d+_\d+ at localhost(:\d+)?", "llm_app at db.prod"),
        (r"test_\d+_\d+", "llm_app"),
    ):
        text = re.sub(pattern, replacement, text)
    lines = text.split("\n")
    for heading in ("WHEN", "UPDATED", "CREATED", "LAST USED"):
        for place, line in enumerate(lines):
            # The times of a table in Markdown are not aligned.
            if heading in line and line == line.upper() and not line.startswith("| "):
                _make_recent(lines, place, heading)
    return "\n".join(lines)


def _make_recent(lines: list[str], place: int, heading: str) -> None:
    """Replace the times in the column under a heading by `just now`."""
    start = lines[place].index(heading)
    following = re.search(r"\S", lines[place][start + len(heading) :])
    end = start + len(heading) + following.start() if following else None
    ends = (n for n in range(place, len(lines)) if len(lines[n]) <= start or lines[n].startswith("$ "))
    rows = range(place, next(ends, len(lines)))
    cells = [re.sub(r"^(just now|\d+ (second|minute)s? ago)$", "just now", lines[n][start:end].strip()) for n in rows]
    width = max(map(len, cells)) + 2
    for n, cell in zip(rows, cells, strict=True):
        lines[n] = lines[n][:start] + (cell.ljust(width) + lines[n][end:] if end is not None else cell)
