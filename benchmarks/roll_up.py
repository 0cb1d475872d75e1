"""The cost of rolling up recorded uses, and its effect on recording.

    python benchmarks/roll_up.py [--uses N] [--turns N]

The uses are of 30 days, two prompts (one with a split) and two models. Each turn rolls up all of them in a transaction
that it rolls back, and counts them for comparison.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from typing import Any

import psycopg
from measure import Report, fill, install, spread, start_server

Connection = psycopg.Connection[Any]

_USES = """
insert into promptctl.uses (id, name, version, epoch, bucket, model, input_tokens, output_tokens, response_ms,
                            first_token_ms, outcome, recorded_at, recorded_in)
select gen_random_uuid(), case when i %% 3 = 0 then 'p00002' else 'p00001' end, case when i %% 3 = 1 then 2 else 3 end,
       1, i %% 10000, case when i %% 5 = 0 then 'claude-haiku-5-5' else 'claude-sonnet-5-5' end,
       (random() * 3000)::bigint, (random() * 800)::bigint, exp(6.5 + random() * 2), 300 + random() * 300,
       case when i %% 50 = 0 then 'overloaded_error' else 'ok' end,
       now() - interval '30 days' * (1 - i / %s::double precision), promptctl.recording_number()
from generate_series(1, %s) i
"""
_RECORD = "select promptctl.record_use('p00001', 3, 1, 120, 80, 950)"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uses", type=int, default=1_000_000, help="how many uses are recorded")
    options.add_argument("--turns", type=int, default=7, help="how often they are rolled up")
    arguments = options.parse_args()
    report = Report()
    with start_server(shared_buffers="512MB", max_wal_size="4GB") as server:
        dsn = install(server, "roll_up")
        fill(dsn, 2, 3)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_USES, [arguments.uses, arguments.uses])
            connection.execute("vacuum (analyze) promptctl.uses")
            report.heading(f"Rolling up {arguments.uses:,} uses")
            _roll_up(report, connection, arguments.uses, arguments.turns)
            report.heading("Recording during a roll-up")
            with psycopg.connect(dsn, autocommit=True) as other:
                _record_during_roll_up(report, connection, other)
    return report.close()


def _roll_up(report: Report, connection: Connection, uses: int, turns: int) -> None:
    counting: list[float] = []
    adding: list[float] = []
    for _ in range(turns):
        began = time.perf_counter()
        connection.execute("select count(*) from promptctl.uses")
        counting.append(time.perf_counter() - began)
        with connection.transaction(force_rollback=True):
            began = time.perf_counter()
            [count] = connection.execute("select promptctl.roll_up_uses(%s)", [uses + 1]).fetchone() or [None]
            adding.append(time.perf_counter() - began)
            assert count == uses
    passed = statistics.median(adding)
    # At least 500 000 a second.
    limit = uses / 500_000
    report.add("roll_up_uses", passed, limit, unit="s", note=f"{spread(adding)} {uses / passed:,.0f} a second")
    report.add("select count(*)", statistics.median(counting), unit="s", note=spread(counting))
    ratios = [one / another for one, another in zip(adding, counting, strict=True)]
    report.add("roll_up_uses / select count(*)", statistics.median(ratios), note=spread(ratios))
    connection.execute("select promptctl.roll_up_uses(%s)", [uses + 1])
    began = time.perf_counter()
    connection.execute("select promptctl.roll_up_uses()")
    report.add("roll_up_uses without new uses", time.perf_counter() - began, unit="s")


def _record_during_roll_up(report: Report, connection: Connection, other: Connection) -> None:
    """Time recording alone, and while another session rolls up uses and keeps its transaction open."""
    alone = _p99(other, threading.Event(), 2000)
    other.execute("set lock_timeout = '100ms'")
    finished = threading.Event()

    def roll_up() -> None:
        with connection.transaction(force_rollback=True):
            connection.execute("select promptctl.roll_up_uses()")
            time.sleep(1)
        finished.set()

    thread = threading.Thread(target=roll_up)
    thread.start()
    during = _p99(other, finished, None)
    thread.join()
    report.add("record_use alone, p99", alone, unit="ms")
    report.add("record_use during an open roll-up, p99", during, unit="ms")


def _p99(connection: Connection, finished: threading.Event, count: int | None) -> float:
    passed: list[float] = []
    while not finished.is_set() and (count is None or len(passed) < count):
        began = time.perf_counter()
        connection.execute(_RECORD)
        passed.append((time.perf_counter() - began) * 1000)
    return statistics.quantiles(passed, n=100)[98]


if __name__ == "__main__":
    sys.exit(main())
