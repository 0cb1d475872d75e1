"""The cost of the store's calls on an open connection: against psycopg, and in a small and a large database.

    python benchmarks/moves.py [--turns N] [--prompts N] [--versions N]

The large database takes a minute or two to fill, because triggers run for a million versions.
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
# These return a line for each version, so they take longer with more versions.
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
    """Compare with psycopg, which sends the recorded statements and parameters of the store in one pipeline."""
    for prepares in (False, True):
        report.heading(f"Against psycopg, which prepares {'what it has sent five times' if prepares else 'nothing'}")
        with connecting.connect(dsn) as ours, psycopg.connect(dsn, autocommit=True) as theirs:
            # By default psycopg prepares a statement that it has sent five times. A command sends each once.
            theirs.prepare_threshold = 5 if prepares else None
            cursor = psycopg.RawCursor(theirs)
            for name, call in _reversible_calls(ours, "p00001").items():
                # Each uses its own prompt, so that neither changes what the other moves.
                sent = _rename_prompt(_record_statements(ours, call), "p00001", "p00002")
                own, other = _time_in_turn(call, functools.partial(_send, cursor, sent), turns)
                value, note = ratio(own, other)
                report.add(name, value, None if prepares else 1.5, note=f"{note} {_medians(own, other)}")


def _time_in_turn(one: Call, another: Call, turns: int) -> tuple[dict[int, float], dict[int, float]]:
    """Return the milliseconds of two calls, made in turn. The first turn does not count."""
    of_one: dict[int, float] = {}
    of_another: dict[int, float] = {}
    pair = [(one, of_one), (another, of_another)]
    for turn in range(turns + 1):
        pair.reverse()  # the second of a pair finds data in the processor's caches
        for call, times in pair:
            passed = _clock(functools.partial(call, turn))
            if turn:
                times[turn] = passed
    return of_one, of_another


def _medians(one: dict[int, float], another: dict[int, float]) -> str:
    return f"{statistics.median(one.values()):.2f} and {statistics.median(another.values()):.2f} ms"


def _reversible_calls(opened: Database, name: str) -> Calls:
    """Return calls that leave the prompt with the active version that it had."""
    return {
        "show": lambda _: version_texts.read_text(opened, Reference(name, None)),
        # The time is that of two moves.
        "activate, then rollback": lambda _: (
            moves.activate(opened, [Reference(name, 1)], author=_AUTHOR),
            moves.rollback(opened, [name], author=_AUTHOR),
        ),
    }


def _record_statements(opened: Database, call: Call) -> list[Statements]:
    """Make a call, and return the statements that it sent in each round trip."""
    connection = opened._connection  # pyright: ignore[reportPrivateUsage] - to record the statements
    pipeline = connection.pipeline
    sent: list[Statements] = []

    def record(statements: Statements) -> list[list[Row]]:
        sent.append(statements)
        return pipeline(statements)

    opened.run("select 1")  # the first statement also checks the schema's version
    connection.pipeline = record
    try:
        call(0)
    finally:
        connection.pipeline = pipeline
    return sent


def _rename_prompt(sent: Sequence[Statements], name: str, new: str) -> list[Statements]:
    """Return the statements with the name of another prompt."""

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
    """Compare calls in both databases, in turn: on similar prompts, and on one with many versions."""
    _add_small_prompt(large)
    cases = (
        ("a prompt of 3 versions in each", "small", "p00003"),
        (f"one of {arguments.versions} versions, one of 3", f"p{arguments.prompts // 2:05}", "p00004"),
    )
    with connecting.connect(small) as few, connecting.connect(large) as many:
        for label, of_many, of_few in cases:
            report.heading(f"{arguments.prompts} prompts of {arguments.versions} versions, against 10 of 3: {label}")
            other = _calls(few, of_few)
            for name, call in _calls(many, of_many).items():
                in_large, in_small = _time_in_turn(call, other[name], arguments.turns)
                value, note = ratio(in_large, in_small)
                longer = of_many != "small" and name in _LONGER_WITH_VERSIONS
                report.add(name, value, None if longer else 1.2, note=f"{note} {_medians(in_large, in_small)}")


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
        # Each turn activates the other version, and so gives a rollback a move to undo.
        "activate NAME@VERSION": lambda turn: moves.activate(opened, [Reference(name, 1 + turn % 2)], author=_AUTHOR),
        "rollback NAME": lambda _: moves.rollback(opened, [name], author=_AUTHOR),
        "history NAME, 20 lines": lambda _: history_events.read_history(opened, name, 20),
        "show NAME, 20 lines": lambda _: version_details.read_overview(opened, name, 20),
        "show NAME, 20 lines with days": lambda _: version_details.read_overview(opened, name, 20, with_days=True),
        "stats NAME": lambda _: uses.read_measurements(opened, name, None, ["version"], trend=False),
        "create NAME": lambda turn: versions.create(
            opened, name, f"{name} in turn {turn} at {time.time_ns()}", author=_AUTHOR, metadata={}
        ),
    }


def _list(report: Report, dsn: str, count: int) -> None:
    """Print the cost of `list`. It returns every prompt, so it has no limit."""
    report.heading(f"list of {count} prompts")
    with connecting.connect(dsn) as opened, psycopg.connect(dsn, autocommit=True) as theirs:
        sent = _record_statements(opened, lambda _: prompt_lists.list_prompts(opened))
        send = functools.partial(_send, psycopg.RawCursor(theirs), sent)
        queried, bare = _time_in_turn(lambda _: prompt_lists.list_prompts(opened), send, 9)
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
