"""The cost of a release of 200 prompts, and whether a reader can see a part of one.

    python benchmarks/releases.py [--turns N] [--releases N] [--readers N]

A read is torn if it has version 1 of one prompt and version 2 of another, because no release has both.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from measure import Report, fill, install, ratio, start_server

from promptctl.postgres import connecting
from promptctl.rules.references import Reference
from promptctl.store import moves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection, PipeConnection
    from multiprocessing.process import BaseProcess
    from multiprocessing.synchronize import Event

    from promptctl.postgres.database import Database

    Call = Callable[[], object]
    Move = Callable[[Database, int], None]

_AUTHOR = "benchmark"
_PROMPTS = 200
_NAMES = [f"p{place:05}" for place in range(1, _PROMPTS + 1)]
_READS = {
    "the pointers": "select active_version from promptctl.served",
    "the view": "select version from promptctl.prompts where is_active",
}


@dataclass(frozen=True, slots=True)
class _Reads:
    """The number of reads, of torn reads, and of reads that returned another release than the one before."""

    reads: int
    torn: int
    changes: int


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=30, help="how often each way of moving is timed")
    options.add_argument("--releases", type=int, default=300, help="how many releases are made under the readers")
    options.add_argument("--readers", type=int, default=4, help="how many processes read at once")
    arguments = options.parse_args()
    report = Report()
    with start_server(shared_buffers="256MB") as server:
        dsn = install(server, "releases")
        fill(dsn, _PROMPTS, 2)
        _time(report, dsn, arguments.turns)
        for source, statement in _READS.items():
            report.heading(
                f"{arguments.releases} releases of {_PROMPTS} prompts, while {arguments.readers} read {source}"
            )
            reads = _move_during_reads(dsn, statement, arguments.readers, _release, arguments.releases)
            report.add("reads", reads.reads, unit="", note=f"{reads.changes} saw another release than the one before")
            report.add("torn reads", reads.torn, 0, unit="")
            if not reads.changes:
                raise RuntimeError("no reader saw a release, so the count of torn reads proves nothing")
        # A control: single activations must produce torn reads.
        turns = max(2, arguments.releases // 30)
        report.heading(f"{turns} times {_PROMPTS} single activations, while {arguments.readers} read the pointers")
        reads = _move_during_reads(dsn, _READS["the pointers"], arguments.readers, _activate_singly, turns)
        report.add("torn reads of the control", reads.torn, unit="", note=f"of {reads.reads}")
        if not reads.torn:
            raise RuntimeError(
                "no read saw a part of the single activations, so the count of torn reads proves nothing"
            )
    return report.close()


def _time(report: Report, dsn: str, turns: int) -> None:
    """Time a release, an update of a similar table without triggers, and single activations."""
    report.heading(f"A release of {_PROMPTS} prompts")
    with connecting.connect(dsn) as ours, psycopg.connect(dsn, autocommit=True) as theirs:
        theirs.execute("create table bare (like promptctl.served including all excluding generated)")
        theirs.execute("insert into bare select * from promptctl.served")
        theirs.execute("vacuum (analyze) bare")
        # Each call moves every prompt to its other version.
        calls: list[Call] = [
            functools.partial(_release, ours, 1),
            functools.partial(_update, psycopg.RawCursor(theirs)),
            functools.partial(_activate_singly, ours, 2),
        ]
        release, bare, singly = _time_in_turn(calls, turns)
    value, note = ratio(release, bare)
    report.add(f"a release / a bare update of {_PROMPTS} rows", value, note=f"{note} {_medians(release, bare)}")
    value, note = ratio(release, singly)
    report.add(f"a release / {_PROMPTS} single activations", value, note=f"{note} {_medians(release, singly)}")


def _release(opened: Database, version: int) -> None:
    moves.activate(opened, [Reference(name, version) for name in _NAMES], author=_AUTHOR)


def _activate_singly(opened: Database, version: int) -> None:
    for name in _NAMES:
        moves.activate(opened, [Reference(name, version)], author=_AUTHOR)


def _update(cursor: psycopg.RawCursor[Any]) -> None:
    cursor.execute("update bare set active_version = 3 - active_version where name = any ($1)", [_NAMES], prepare=False)


def _time_in_turn(calls: Sequence[Call], turns: int) -> list[dict[int, float]]:
    """Return the milliseconds of calls, made in turn. The first turn does not count."""
    times: list[dict[int, float]] = [{} for _ in calls]
    for turn in range(turns + 1):
        for call, durations in zip(calls, times, strict=True):
            began = time.perf_counter()
            call()
            if turn:
                durations[turn] = (time.perf_counter() - began) * 1000
    return times


def _medians(one: dict[int, float], another: dict[int, float]) -> str:
    return f"{statistics.median(one.values()):.2f} and {statistics.median(another.values()):.2f} ms"


def _move_during_reads(dsn: str, statement: str, readers: int, move: Move, turns: int) -> _Reads:
    """Move all prompts back and forth while processes read them, and return the sum of their reads."""
    # Processes, because threads would wait for each other.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pipes: list[Connection | PipeConnection] = []
    processes: list[BaseProcess] = []
    try:
        for _ in range(readers):
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_keep_reading, args=(dsn, statement, stop, there), daemon=True)
            process.start()
            there.close()  # else the end of a failed reader would not be detected
            pipes.append(here)
            processes.append(process)
        for pipe in pipes:
            pipe.recv()
        with connecting.connect(dsn) as opened:
            for turn in range(turns):
                move(opened, 1 + turn % 2)
        stop.set()
        reads: list[_Reads] = [pipe.recv() for pipe in pipes]
    finally:
        stop.set()
        for process in processes:
            process.join()
    return _Reads(sum(one.reads for one in reads), sum(one.torn for one in reads), sum(one.changes for one in reads))


def _keep_reading(dsn: str, statement: str, stop: Event, answer: Connection) -> None:
    """Read without a pause; send None to `answer` after the first read, and the counts at the end."""
    reads = torn = changes = 0
    last: set[int] = set()
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not stop.is_set():
            rows = connection.execute(statement.encode()).fetchall()
            versions = {row[0] for row in rows}
            torn += len(versions) != 1 or len(rows) != _PROMPTS
            changes += bool(last) and versions != last
            last = versions
            if not reads:
                answer.send(None)
            reads += 1
    answer.send(_Reads(reads, torn, changes))


if __name__ == "__main__":
    raise SystemExit(main())
