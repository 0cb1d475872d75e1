"""The cost of `sync` of a folder of 10 000 files, against reading and hashing the same files, and against MLflow.

    python benchmarks/sync.py [--turns N] [--loads N] [--large] [--mlflow PYTHON]

Each runs in a new process that measures its own time: the imports of promptctl count, the start of Python does not. The
folder is in a Git repository, as in production.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from measure import INTERPRETER, Report, environment, install, ratio, start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.servers import Server

    Times = dict[int, float]

# Linux keeps ru_maxrss over exec, so in a child it would include the memory of this process.
_PEAK = """
def peak():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except FileNotFoundError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
"""
_NOTHING = f"{_PEAK}\nprint(0, peak())"
_READ = f"""
import hashlib, os, sys, time
{_PEAK}
def read(folder):
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                read(entry.path)
            else:
                with open(entry.path, "rb") as file:
                    hashlib.sha256(file.read()).hexdigest()
began = time.perf_counter()
read(sys.argv[1])
print(time.perf_counter() - began, peak())
"""
# Like `__main__`.
_SYNC = f"""
import gc, os, sys, time
gc.disable()
{_PEAK}
answer = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
began = time.perf_counter()
from promptctl.cli import endings
code = endings.run(["sync", sys.argv[1], "--database-url", sys.argv[2]])
passed = time.perf_counter() - began
os.write(answer, f"{{passed}} {{peak()}}".encode())
sys.exit(code)
"""
# The first prompt is not timed, because MLflow creates its tables with it.
_MLFLOW = f"""
import pathlib, sys, time
import mlflow
{_PEAK}
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_registry_uri(sys.argv[1])
registry = getattr(mlflow, "genai", mlflow)
texts = [(pathlib.Path(path).parent.name, pathlib.Path(path).read_text("utf-8")) for path in sys.argv[2:]]
registry.register_prompt(name="first", template=texts[0][1])
began = time.perf_counter()
for name, text in texts:
    registry.register_prompt(name=name, template=text)
print(time.perf_counter() - began, peak())
"""

_NUMBERS = itertools.count(1)
_BYTES_PER_FILE = 2600
_LEADS = ("Always", "Never", "When in doubt,", "If you are asked,", "Unless told otherwise,", "Before you answer,")
_VERBS = ("explain", "summarise", "quote", "confirm", "compare", "repeat", "translate", "question", "cite", "rephrase")
_THINGS = (
    "the terms of the contract",
    "what was said earlier",
    "the figures in the last report",
    "an open request",
    "the steps that were tried",
    "prices and dates",
    "the name of the product",
    "the reason for a refusal",
    "a résumé of the case",
    "the next step",
)
_ENDINGS = (
    "in one sentence",
    "for {user.name}",
    "once",
    "at the end",
    "without a greeting",
    "in two paragraphs",
    "word for word",
    "as a table",
    "without jargon",
    "— and say so",
    "with an example",
    "in plain words",
    "as a short list",
    "before anything else",
)


class _Corpus:
    """A repository with a folder of prompts, the same in every run, to which versions can be added."""

    def __init__(
        self, directory: Path, prompts: int, versions: int, *, has_requests: bool = False, has_tests: bool = False
    ) -> None:
        """Write the folder.

        With `has_requests`, the newest version of each prompt has a request file. With `has_tests`, each prompt has
        five test cases.
        """
        self.repository = directory
        self.folder = directory / "prompts"
        self.names = [f"team-{place % 20:02}/prompt-{place:05}" for place in range(prompts)]
        self.newest = dict.fromkeys(self.names, versions)
        # The texts make up for the small prompt.yaml, so that the total size is fixed.
        self._text_bytes = (_BYTES_PER_FILE * (versions + 1) - 250) // versions
        for name in self.names:
            (self.folder / name).mkdir(parents=True)
            for version in range(1, versions + 1):
                self._write(name, version)
            self._describe(name)
            if has_requests:
                (self.folder / name / f"v{versions}.request.yaml").write_text(_request(name), encoding="utf-8")
            if has_tests:
                (self.folder / name / "tests.yaml").write_text(_tests(name), encoding="utf-8")
        _git(directory, "init", "-q", "-b", "main")
        self.commit()

    @property
    def versions(self) -> int:
        """The number of version files."""
        return sum(self.newest.values())

    @property
    def paths(self) -> list[Path]:
        """The paths of all files."""
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def change(self, turn: int) -> None:
        """Add a version to one prompt in a hundred, make it the active one, and commit."""
        for name in random.Random(turn).sample(self.names, len(self.names) // 100):
            self.newest[name] += 1
            self._write(name, self.newest[name])
            self._describe(name)
        self.commit()

    def commit(self) -> None:
        """Commit all changes."""
        _git(self.repository, "add", "-A")
        _git(self.repository, "commit", "-q", "-m", "prompts")

    def _write(self, name: str, version: int) -> None:
        """Write a version: the lines of the prompt, a few of them different in each version."""
        lines = _lines(random.Random(name), self._text_bytes)
        generator = random.Random(f"{name} {version}")
        for _ in range(3):
            lines[generator.randrange(len(lines))] = _line(generator)
        # Every version needs the same variables, because a further variable would be a conflict.
        head = f"You are {name}, the assistant of {{company.name}}, version {version}.\n"
        head += "You talk to {user.name}, in {user.locale}.\n\n"
        (self.folder / name / f"v{version}.txt").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")

    def _describe(self, name: str) -> None:
        newest = self.newest[name]
        described = {1: "The first one, as it was reviewed", 2: "Shorter, and firm about refunds"}
        lines = [f"description: Answers questions for {name.partition('/')[0]}", f"active: {newest}"]
        lines += ["model: claude-sonnet-5-5", "versions:"]
        for version in range(1, min(newest, 2) + 1):
            lines += [f"  {version}:", f"    description: {described[version]}"]
        (self.folder / name / "prompt.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _request(name: str) -> str:
    """Return a request of 1 kB with two tools. Every prompt has another one."""
    generator = random.Random(f"{name} request")
    lines = ["# As it was reviewed", "thinking: {type: adaptive}", 'stop_sequences: ["END"]', "tools:"]
    for tool in ("search", "escalate"):
        lines += [f"  - name: {tool}", "    description: |", *(f"      {_line(generator)}" for _ in range(3))]
        lines += ["    input_schema:", "      type: object", "      properties:"]
        for key in ("query", "locale"):
            lines.append(f'        {key}: {{type: string, description: "{_line(generator)}"}}')
        lines.append("      required: [query]")
    return "\n".join(lines) + "\n"


def _tests(name: str) -> str:
    """Return a file of five test cases. Every prompt has others."""
    generator = random.Random(f"{name} tests")
    lines = ["tests:"]
    for number in range(5):
        lines += [f"- description: case {number}", "  vars: {company.name: Acme, user.name: Ada, user.locale: en}"]
        lines += [f'  message: "{_line(generator)}"', "  assert:", f'  - contains: "{_line(generator)}"']
        lines += ["  - type: not-contains", "    value: As an AI"]
    return "\n".join(lines) + "\n"


def _lines(generator: random.Random, size: int) -> list[str]:
    lines: list[str] = []
    left = size - 120  # the head
    while left > 0:
        lines.append(_line(generator))
        left -= len(lines[-1].encode()) + 1
    return lines


def _line(generator: random.Random) -> str:
    sentence = " ".join(generator.choice(words) for words in (_LEADS, _VERBS, _THINGS, _ENDINGS)) + "."
    return f"- {sentence}" if generator.random() < 0.5 else sentence


@dataclass(frozen=True, slots=True)
class _Cost:
    """The time and memory that a process reports."""

    seconds: float
    peak_mb: float


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=9, help="how often each sync is run")
    options.add_argument("--loads", type=int, default=5, help="how often a first load is run")
    options.add_argument("--large", action="store_true", help="100 000 files, too")
    options.add_argument("--mlflow", metavar="PYTHON", help="the interpreter of an environment with mlflow, to compare")
    arguments = options.parse_args()
    report = Report()
    interpreter = arguments.mlflow and os.path.abspath(arguments.mlflow)
    with start_server(shared_buffers="512MB", max_wal_size="4GB") as server, _temporary() as directory:
        bare = statistics.median(_run(_NOTHING).peak_mb for _ in range(5))
        many_versions = _Corpus(directory / "a", 1000, 9)
        load = _corpus(report, server, many_versions, bare, arguments)
        _corpus(report, server, _Corpus(directory / "b", 5000, 1), bare, arguments)
        alone = _Corpus(directory / "alone", 1000, 10)
        with_requests = _Corpus(directory / "requests", 1000, 10, has_requests=True)
        with_tests = _Corpus(directory / "tests", 1000, 10, has_tests=True)
        _beside(report, server, with_requests, alone, "request files", arguments.loads, 1.2)
        _beside(report, server, with_tests, alone, "tests.yaml", arguments.loads, None)
        if interpreter:
            _mlflow(report, server, many_versions, interpreter, load)
        if arguments.large:
            _large(report, server, directory, bare)
    return report.close()


def _corpus(report: Report, server: Server, corpus: _Corpus, bare: float, arguments: argparse.Namespace) -> float:
    """Measure all figures of one folder, and return the seconds of its first load per version."""
    _heading(report, corpus)
    versions = corpus.versions
    loading = _turns(corpus, arguments.loads, lambda _: _load(server, corpus))
    seconds = _add_figures(report, "first load", loading, 8, bare)

    with _loaded(server, corpus) as dsn:
        unchanged = _turns(corpus, arguments.turns, lambda _: _sync(corpus, dsn))
        _add_figures(report, "nothing changed", unchanged, 2.2, bare)
        changed = _turns(corpus, arguments.turns, lambda _: _sync(corpus, dsn), before=corpus.change)
        _add_figures(report, "1 % changed", changed, 3, None)
        _check(dsn, corpus)
    with _no_repository(corpus), _loaded(server, corpus) as dsn:
        outside = _turns(corpus, arguments.turns, lambda _: _sync(corpus, dsn))
        _add_figures(report, "nothing changed, in no Git repository", outside, 2.2, None)
    return seconds / versions


@dataclass(slots=True)
class _Turns:
    """The seconds of a sync and of reading the same files by turn, and the peak memory of a sync."""

    sync: Times
    read: Times
    peak_mb: float = 0


def _turns(
    corpus: _Corpus, turns: int, sync: Callable[[int], _Cost], before: Callable[[int], object] = lambda _: None
) -> _Turns:
    """Run a sync and the reading in turn, each first in every other turn. Turn 0 does not count."""
    turns_so_far = _Turns({}, {})

    def run_sync(turn: int) -> None:
        cost = sync(turn)
        if turn:
            turns_so_far.sync[turn] = cost.seconds
            turns_so_far.peak_mb = max(turns_so_far.peak_mb, cost.peak_mb)

    def read(turn: int) -> None:
        cost = _run(_READ, str(corpus.folder))
        if turn:
            turns_so_far.read[turn] = cost.seconds

    pair = [run_sync, read]
    for turn in range(turns + 1):
        before(turn)
        pair.reverse()
        for call in pair:
            call(turn)
    return turns_so_far


def _add_figures(report: Report, label: str, turns: _Turns, limit: float, bare: float | None) -> float:
    """Add the figures of a sync, and return the median of its seconds."""
    value, note = ratio(turns.sync, turns.read)
    seconds = statistics.median(turns.sync.values())
    typical = f"{seconds * 1000:.0f} and {statistics.median(turns.read.values()) * 1000:.0f} ms"
    report.add(f"{label} / reading and hashing", value, limit, note=f"{note} {typical}".strip())
    if bare is not None:
        report.add(f"{label}, peak memory above the interpreter's", turns.peak_mb - bare, 150, unit="MB")
    return seconds


def _beside(
    report: Report, server: Server, corpus: _Corpus, alone: _Corpus, files: str, loads: int, limit: float | None
) -> None:
    """Compare the first load of 10 000 texts and 1 000 other files with that of the texts alone."""
    _heading(report, corpus)
    with_files: Times = {}
    without: Times = {}
    for turn in range(loads + 1):
        pair = [(with_files, corpus), (without, alone)]
        # Each is first in every other turn.
        for times, loaded in pair if turn % 2 else reversed(pair):
            seconds = _load(server, loaded).seconds
            # Turn 0 does not count.
            if turn:
                times[turn] = seconds
    value, note = ratio(with_files, without)
    typical = f"{statistics.median(with_files.values()):.2f} and {statistics.median(without.values()):.2f} s"
    report.add(f"first load / that without the 1,000 {files}", value, limit, note=f"{note} {typical}".strip())


def _large(report: Report, server: Server, directory: Path, bare: float) -> None:
    """Compare ten times as many prompts with the usual number, in turn."""
    small, large = _Corpus(directory / "small", 1000, 9), _Corpus(directory / "large", 10_000, 9)
    _heading(report, large)
    # The first load does not count: it creates files of the write-ahead log, which the next ones reuse.
    loads = [(_load(server, small), _load(server, large)) for _ in range(4)][1:]
    with _loaded(server, small) as few, _loaded(server, large) as many:
        unchanged = [(_sync(small, few), _sync(large, many)) for _ in range(5)]
    for label, pairs, limit in (("first load", loads, 10.5), ("nothing changed", unchanged, 10.5)):
        of_small = {turn: one.seconds for turn, (one, _) in enumerate(pairs)}
        of_large = {turn: one.seconds for turn, (_, one) in enumerate(pairs)}
        value, note = ratio(of_large, of_small)
        typical = f"{statistics.median(of_large.values()):.1f} and {statistics.median(of_small.values()):.2f} s"
        report.add(f"{label} / that of a tenth of the files", value, limit, note=f"{note} {typical}".strip())
        peak = max(one.peak_mb for _, one in pairs)
        report.add(f"{label}, peak memory above the interpreter's", peak - bare, unit="MB")


def _load(server: Server, corpus: _Corpus) -> _Cost:
    """Run a first load, into a new database."""
    with _database(server) as dsn:
        return _sync(corpus, dsn)


def _mlflow(report: Report, server: Server, corpus: _Corpus, interpreter: str, load: float) -> None:
    """Store some of the same texts in MLflow's prompt registry on the same server, one call each."""
    sample = [str(corpus.folder / name / "v1.txt") for name in corpus.names[:300]]
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("create database mlflow")
    # With the driver's name, because the default driver depends on the version of SQLAlchemy.
    url = server.url("mlflow").replace("postgresql:", "postgresql+psycopg2:", 1)
    cost = _run(_MLFLOW, url, *sample, interpreter=interpreter)
    own, other = load * 1000, cost.seconds / len(sample) * 1000
    report.heading(f"MLflow registers {len(sample)} of the same texts on the same server")
    report.add("promptctl's first load, a version", own, unit="ms")
    report.add("MLflow's register_prompt, a version", other, unit="ms")
    report.add("MLflow / promptctl, per version", other / own)


def _heading(report: Report, corpus: _Corpus) -> None:
    paths = corpus.paths
    size = sum(path.stat().st_size for path in paths) / 1e6
    report.heading(
        f"{len(corpus.names):,} prompts, {corpus.versions:,} versions: {len(paths):,} files of {size:.0f} MB"
    )


def _sync(corpus: _Corpus, dsn: str) -> _Cost:
    return _run(_SYNC, str(corpus.folder), dsn)


def _run(code: str, *words: str, interpreter: str = INTERPRETER) -> _Cost:
    """Run Python code in a new process, and return the cost that it prints. Raises RuntimeError if it fails."""
    process = subprocess.run(
        [interpreter, "-c", code, *words],
        env=_variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"failed ({process.returncode}): {' '.join(words[:2])}\n{process.stderr[-2000:]}")
    seconds, kib = process.stdout.split()[-2:]
    return _Cost(float(seconds), int(kib) / 1024)


def _variables() -> dict[str, str]:
    """Return the environment without settings of Git and MLflow, such as hooks, signatures and servers."""
    own = {name: value for name, value in environment().items() if not name.startswith(("GIT_", "MLFLOW_"))}
    return own | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def _git(repository: Path, *words: str) -> None:
    # No compression, and no garbage collection in the background, which would disturb the measurements.
    settings = ("user.name=benchmark", "user.email=benchmark@localhost", "core.compression=0", "gc.auto=0")
    arguments = [word for setting in settings for word in ("-c", setting)]
    subprocess.run(["git", "-C", repository, *arguments, *words], env=_variables(), check=True)


@contextlib.contextmanager
def _no_repository(corpus: _Corpus) -> Generator[None]:
    """Hide the Git repository."""
    visible, hidden = corpus.repository / ".git", corpus.repository / "no-git"
    visible.rename(hidden)
    try:
        yield
    finally:
        hidden.rename(visible)


@contextlib.contextmanager
def _database(server: Server) -> Generator[str]:
    """Create a database with the schema, and drop it at the end."""
    name = f"sync{next(_NUMBERS)}"
    try:
        yield install(server, name)
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f'drop database "{name}" with (force)'.encode())


@contextlib.contextmanager
def _loaded(server: Server, corpus: _Corpus) -> Generator[str]:
    """Create a database that has the folder, with current statistics for the planner."""
    with _database(server) as dsn:
        _sync(corpus, dsn)
        _check(dsn, corpus)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("vacuum (analyze)")
        yield dsn


def _check(dsn: str, corpus: _Corpus) -> None:
    """Check that the database has the folder. Raises RuntimeError if it does not."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        versions = connection.execute("select count(*) from promptctl.versions").fetchone()
        active = connection.execute("select name, active_version from promptctl.served").fetchall()
    if versions != (corpus.versions,) or dict(active) != corpus.newest:
        raise RuntimeError("the database does not have the versions of the folder")


@contextlib.contextmanager
def _temporary() -> Generator[Path]:
    """Create a temporary directory and make it the working directory."""
    with tempfile.TemporaryDirectory(prefix="promptctl-sync-") as directory, contextlib.chdir(directory):
        yield Path(directory).resolve()


if __name__ == "__main__":
    raise SystemExit(main())
