"""The cost of an application's SQL: `resolve` against a look-up by key, recording against a bare INSERT.

    python benchmarks/resolve.py [--turns N] [--prompts N] [--uses N]

The statements are prepared and run in turn on one connection. Half of an application's wait is the round trip, so the
processor time of the server is printed, too.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from measure import Report, fill, install, ratio, start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connection = psycopg.Connection[Any]
    Call = Callable[[int], object]

_LOOK_UP = "select name, version, content, settings, metadata from promptctl.versions where name = $1 and version = $2"
_RESOLVE = "select * from promptctl.resolve($1, $2, $3)"
_UNIT_AND_ATTRIBUTES = ["user-42", '{"plan": "enterprise"}']
_ONE_USE = """
select promptctl.record_use('p00001', 3, 1, 120, 80, 950, 'claude-sonnet-5-5', 'user-42', use_id => $1,
                            cache_read_tokens => 20, first_token_ms => 300, request_id => 'req_1')
"""
# The row that this call inserts.
_BARE_INSERT = """
insert into promptctl.uses (id, name, version, epoch, bucket, model, input_tokens, output_tokens, response_ms, outcome,
                            cache_read_tokens, first_token_ms, request_id, recorded_in)
values ($1, 'p00001', 3, 1, 4457, 'claude-sonnet-5-5', 120, 80, 950, 'ok', 20, 300, 'req_1', 1)
"""
_MANY_USES = """
select * from promptctl.record_uses($1::uuid[], $2::text[], $3::integer[], $4::integer[], $5::double precision[],
    $6::smallint[], $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::double precision[],
    $13::double precision[], $14::text[], $15::double precision[], $16::text[])
"""
_BATCH = 1000


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=3000, help="how often each look-up is made")
    options.add_argument("--prompts", type=int, default=10_000, help="prompts in the large database")
    options.add_argument("--uses", type=int, default=100_000, help="how many uses are recorded a thousand at a time")
    arguments = options.parse_args()
    report = Report()
    with start_server(shared_buffers="256MB", max_wal_size="4GB") as server:
        small, large = install(server, "small"), install(server, "large")
        for dsn, prompts in ((small, 10), (large, arguments.prompts)):
            fill(dsn, prompts, 3)
            _add_split_and_route(dsn)
        with _connect(small) as few, _connect(large) as many:
            _against_a_look_up(report, few, arguments.turns)
            _flat(report, few, many, arguments.turns, arguments.prompts)
            _recording(report, few, arguments.turns, arguments.uses)
    return report.close()


def _connect(dsn: str) -> Connection:
    connection: Connection = psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor)
    connection.prepare_threshold = 0
    return connection


def _add_split_and_route(dsn: str) -> None:
    """Add a split, and a route whose second step leads to it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select promptctl.split('p00002', 5000, 2)")
        connection.execute(
            """
            select promptctl.set_routes('{p00003}', '[[{"when": {"plan": "free"}, "use": "p00001"},
                                                       {"when": {"plan": "enterprise"}, "use": "p00002"}]]')
            """
        )
        connection.execute("vacuum (analyze)")


def _calls(connection: Connection) -> dict[str, Call]:
    def send(sql: str, parameters: list[Any], _: int) -> None:
        connection.execute(sql.encode(), parameters).fetchall()

    return {
        "the look-up": functools.partial(send, _LOOK_UP, ["p00001", 3]),
        "resolve": functools.partial(send, _RESOLVE, ["p00001", *_UNIT_AND_ATTRIBUTES]),
        "resolve, while a split runs": functools.partial(send, _RESOLVE, ["p00002", *_UNIT_AND_ATTRIBUTES]),
        "resolve, by a route to a split": functools.partial(send, _RESOLVE, ["p00003", *_UNIT_AND_ATTRIBUTES]),
    }


def _against_a_look_up(report: Report, connection: Connection, turns: int) -> None:
    report.heading("Against a look-up of the same row by its primary key")
    calls = _calls(connection)
    look_up = calls.pop("the look-up")
    processor = _Processor(connection)
    for name, call in calls.items():
        ours, bare = _time_in_turn(call, look_up, turns)
        value, note = ratio(ours, bare)
        typical = f"{statistics.median(ours.values()):.0f} and {statistics.median(bare.values()):.0f} us"
        report.add(name, value, 2.2 if name == "resolve" else None, note=f"{note} {typical}")
        if processor.is_loaded:
            used, used_bare = (processor.used(function, turns) for function in (call, look_up))
            note = f"{used:.0f} and {used_bare:.0f} us"
            report.add("  the same, the server's processor time", used / used_bare, note=note)


def _flat(report: Report, few: Connection, many: Connection, turns: int, prompts: int) -> None:
    report.heading(f"{prompts} prompts against 10")
    in_small = _calls(few)
    for name, call in _calls(many).items():
        # Twenty calls a turn, because alternating server processes evict each other's data from the processor's caches.
        value, note = ratio(*_time_in_turn(_twenty(call), _twenty(in_small[name]), turns // 20))
        report.add(name, value, 1.2, note=note)


def _twenty(call: Call) -> Call:
    def calls(turn: int) -> None:
        for _ in range(20):
            call(turn)

    return calls


def _recording(report: Report, connection: Connection, turns: int, uses: int) -> None:
    report.heading("Recording, on one connection, without waiting for the disk")

    def send(sql: str, _: int) -> None:
        connection.execute(sql.encode(), [uuid.uuid4()])

    ours, bare = _time_in_turn(functools.partial(send, _ONE_USE), functools.partial(send, _BARE_INSERT), turns)
    value, note = ratio(ours, bare)
    typical = f"{statistics.median(ours.values()):.0f} and {statistics.median(bare.values()):.0f} us"
    report.add("record_use / a bare INSERT of its row", value, note=f"{note} {typical}")
    passed = [_clock(functools.partial(_send_many, connection, batch)) for batch in _batches(uses)]
    typical_batch = statistics.median(passed)
    report.add("record_uses of 1000", typical_batch / 1000, 20, unit="ms", note=f"{_BATCH / typical_batch * 1e6:.0f}/s")
    report.add("a use of it / a bare INSERT", typical_batch / _BATCH / statistics.median(bare.values()))


def _batches(uses: int) -> Iterator[list[list[Any]]]:
    for batch in range(uses // _BATCH):
        # Like those of clients: UUIDs of version 7 in ascending order.
        first = time.time_ns() // 1_000_000 << 80 | 7 << 76 | 2 << 62 | batch * _BATCH
        yield [
            [uuid.UUID(int=first + n) for n in range(_BATCH)], ["p00001", "p00002"] * (_BATCH // 2),
            [3, 2] * (_BATCH // 2), [1] * _BATCH, [float(n) for n in range(_BATCH)],
            [n % 10_000 for n in range(_BATCH)],
            ["claude-sonnet-5-5"] * _BATCH, [120] * _BATCH, [80] * _BATCH, [20] * _BATCH, [0] * _BATCH,
            [950.5] * _BATCH, [300.5] * _BATCH, ["ok"] * _BATCH, [None] * _BATCH,
            [f"req_{n}" for n in range(_BATCH)],
        ]  # fmt: skip


def _send_many(connection: Connection, batch: list[list[Any]]) -> None:
    connection.execute(_MANY_USES.encode(), batch).fetchall()


def _time_in_turn(one: Call, another: Call, turns: int) -> tuple[dict[int, float], dict[int, float]]:
    """Return the microseconds of two calls, made in turn. The first twenty turns do not count."""
    of_one: dict[int, float] = {}
    of_another: dict[int, float] = {}
    pair = [(one, of_one), (another, of_another)]
    for turn in range(-20, turns):
        pair.reverse()
        for call, times in pair:
            passed = _clock(functools.partial(call, turn))
            if turn >= 0:
                times[turn] = passed
    return of_one, of_another


def _clock(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1e6


class _Processor:
    """The processor time of a connection's server process, as Linux reports it."""

    def __init__(self, connection: Connection) -> None:
        self._path = Path(f"/proc/{connection.info.backend_pid}/schedstat")
        self.is_loaded = self._path.exists()

    def used(self, call: Call, turns: int) -> float:
        """Return the microseconds of a call, the minimum of five rounds."""
        rounds: list[float] = []
        for _ in range(5):
            begin = self._microseconds()
            for turn in range(turns // 5):
                call(turn)
            rounds.append((self._microseconds() - begin) / (turns // 5))
        return min(rounds)

    def _microseconds(self) -> float:
        return int(self._path.read_text().split()[0]) / 1000


if __name__ == "__main__":
    sys.exit(main())
