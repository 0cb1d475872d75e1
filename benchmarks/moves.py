"""What a statement costs on an open connection: against bare psycopg, and with a thousand times as many prompts.

    python benchmarks/moves.py [--turns N] [--prompts N] [--versions N]

The large database takes a minute or two to fill: a million versions go through their triggers.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import statistics
import sys
import time
from typing import TYPE_CHECKING

import psycopg
from measure import Report, fill, install, ratio, start_server

from promptctl.output import prompt_view as output
from promptctl.postgres import connecting
from promptctl.rules.references import Reference
from promptctl.store import history_events, moves, prompt_lists, version_details, version_texts, versions
from promptctl.store import usage as uses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import LiteralString

    from promptctl.postgres.database import Database
    from promptctl.postgres.values import Parameter, Row

    Statements = Sequence[tuple[LiteralString, Sequence[Parameter]]]
    Call = Callable[[int], object]
    Calls = dict[str, Call]

_AUTHOR = "benchmark"
# Their answers have a line for each version: with more versions there is more to tell.
_LONGER_WITH_VERSIONS = ("show NAME, 20 lines", "stats NAME")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=300, help="how often each call is made")
    options.add_argument("--prompts", type=int, default=10_000, help="prompts in the large database")
    options.add_argument("--versions", type=int, default=100, help="versions of each of them")
    arguments = options.parse_args()
    report = Report()
    with start_server(shared_buffers="256MB") as server:
        small, large = install(server, "small"), install(server, "large")
        fill(small, 10, 3)
        begin = time.perf_counter()
        fill(large, arguments.prompts, arguments.versions)
        report.heading(f"Filling {arguments.prompts} prompts of {arguments.versions} versions, through the triggers")
        report.add("to insert, activate, vacuum and analyze", time.perf_counter() - begin, unit="s")

        _against_psycopg(report, small, arguments.turns)
        _flat(report, small, large, arguments)
        _list(report, large, arguments.prompts)
    return report.close()


def _against_psycopg(report: Report, dsn: str, turns: int) -> None:
    """The very statements that the store sends, sent by psycopg: one pipeline each, the same parameters."""
    for prepares in (False, True):
        report.heading(f"Against psycopg, which prepares {'what it has sent five times' if prepares else 'nothing'}")
        with connecting.connect(dsn) as ours, psycopg.connect(dsn, autocommit=True) as theirs:
            # As it comes, psycopg prepares a statement that it has sent five times. A command lives for one.
            theirs.prepare_threshold = 5 if prepares else None
            cursor = psycopg.RawCursor(theirs)
            for name, call in _round(ours, "p00001").items():
                # On two prompts that are alike, so that each finds what it left.
                sent = _renamed(_recorded(ours, call), "p00001", "p00002")
                own, other = _in_turn(call, functools.partial(_send, cursor, sent), turns)
                value, note = ratio(own, other)
                report.add(name, value, None if prepares else 1.5, note=f"{note} {_typical(own, other)}")


def _in_turn(one: Call, another: Call, turns: int) -> tuple[dict[int, float], dict[int, float]]:
    """The milliseconds that two calls take, made in turn; the first of each is not noted."""
    of_one: dict[int, float] = {}
    of_another: dict[int, float] = {}
    pair = [(one, of_one), (another, of_another)]
    for turn in range(turns + 1):
        pair.reverse()  # neither is always the one that finds the other's data in the processor's caches
        for call, times in pair:
            passed = _clock(functools.partial(call, turn))
            if turn:
                times[turn] = passed
    return of_one, of_another


def _typical(one: dict[int, float], another: dict[int, float]) -> str:
    return f"{statistics.median(one.values()):.2f} and {statistics.median(another.values()):.2f} ms"


def _round(opened: Database, name: str) -> Calls:
    """Calls that leave a prompt as they find it, once both have been made."""
    return {
        "show": lambda _: version_texts.read_text(opened, Reference(name, None)),
        # There and back: what is timed is two moves, one of them a rollback.
        "activate, then rollback": lambda _: (
            moves.activate(opened, [Reference(name, 1)], author=_AUTHOR),
            moves.rollback(opened, [name], author=_AUTHOR),
        ),
    }


def _recorded(opened: Database, call: Call) -> list[Statements]:
    """Make a call, and return what it sent: the statements of each round trip."""
    connection = opened._connection  # pyright: ignore[reportPrivateUsage] - to see what is sent
    pipeline = connection.pipeline
    sent: list[Statements] = []

    def record(statements: Statements) -> list[list[Row]]:
        sent.append(statements)
        return pipeline(statements)

    opened.run("select 1")  # the schema's version is checked with the first statement only
    connection.pipeline = record
    try:
        call(0)
    finally:
        connection.pipeline = pipeline
    return sent


def _renamed(sent: Sequence[Statements], name: str, new: str) -> list[Statements]:
    """The same statements for another prompt."""

    def value(parameter: Parameter) -> Parameter:
        if isinstance(parameter, list):
            return [new if item == name else item for item in parameter]  # pyright: ignore - parameters are of any type
        return new if parameter == name else parameter

    return [[(sql, [value(parameter) for parameter in values]) for sql, values in statements] for statements in sent]


def _send(cursor: psycopg.RawCursor, sent: Sequence[Statements], _: int = 0) -> None:
    for statements in sent:
        with cursor.connection.pipeline():
            for sql, values in statements:
                cursor.execute(sql, values)
        cursor.fetchall()


def _flat(report: Report, small: str, large: str, arguments: argparse.Namespace) -> None:
    """The same calls in both databases, in turn: on prompts that are alike, and on one that has many versions."""
    _add_small_prompt(large)
    cases = (
        ("a prompt of 3 versions in each", "small", "p00003"),
        (f"one of {arguments.versions} versions, one of 3", f"p{arguments.prompts // 2:05}", "p00004"),
    )
    with connecting.connect(small) as few, connecting.connect(large) as many:
        for what, of_many, of_few in cases:
            report.heading(f"{arguments.prompts} prompts of {arguments.versions} versions, against 10 of 3: {what}")
            other = _calls(few, of_few)
            for name, call in _calls(many, of_many).items():
                in_large, in_small = _in_turn(call, other[name], arguments.turns)
                value, note = ratio(in_large, in_small)
                longer = of_many != "small" and name in _LONGER_WITH_VERSIONS
                report.add(name, value, None if longer else 1.2, note=f"{note} {_typical(in_large, in_small)}")


def _add_small_prompt(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("insert into promptctl.served (name) values ('small')")
        connection.execute(
            "insert into promptctl.versions (name, version, content, created_by)"
            " select 'small', v, 'You are small, in words ' || v || '.', 'benchmark' from generate_series(1, 3) v"
        )
        connection.execute("update promptctl.served set active_version = 3 where name = 'small'")
        connection.execute("vacuum (analyze)")


def _calls(opened: Database, name: str) -> Calls:
    reference = Reference(name, None)

    return {
        "show NAME, the text": lambda _: version_texts.read_text(opened, reference),
        "show NAME@VERSION --json": lambda _: version_details.read_version(opened, Reference(name, 2)),
        # One move a turn, each another one; the rollbacks then find as many to undo.
        "activate NAME@VERSION": lambda turn: moves.activate(opened, [Reference(name, 1 + turn % 2)], author=_AUTHOR),
        "rollback NAME": lambda _: moves.rollback(opened, [name], author=_AUTHOR),
        "history NAME, 20 lines": lambda _: history_events.read_history(opened, name, 20),
        "show NAME, 20 lines": lambda _: version_details.read_overview(opened, name, 20),
        "stats NAME": lambda _: uses.read_measurements(opened, name, None, ["version"], trend=False),
        "create NAME": lambda turn: versions.create(
            opened, name, f"{name} in turn {turn} at {time.time_ns()}", author=_AUTHOR, metadata={}
        ),
    }


def _list(report: Report, dsn: str, count: int) -> None:
    """`list` answers with every prompt, so it is printed without a limit."""
    report.heading(f"list of {count} prompts")
    with connecting.connect(dsn) as opened, psycopg.connect(dsn, autocommit=True) as theirs:
        sent = _recorded(opened, lambda _: prompt_lists.list_prompts(opened))
        send = functools.partial(_send, psycopg.RawCursor(theirs), sent)
        queried, bare = _in_turn(lambda _: prompt_lists.list_prompts(opened), send, 9)
        listed = prompt_lists.list_prompts(opened)
    durations: list[float] = []
    for _ in range(9):
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
            durations.append(_clock(lambda: output.show_list(listed, len(listed), "plain")))
    report.add("the query and its records", statistics.median(queried.values()), unit="ms")
    report.add("the same statement through psycopg", statistics.median(bare.values()), unit="ms")
    report.add("writing the lines", statistics.median(durations), unit="ms")


def _clock(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1000


if __name__ == "__main__":
    sys.exit(main())
