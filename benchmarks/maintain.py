"""What it takes to roll millions of uses up, what statistics cost then, and what waits meanwhile.

    python benchmarks/maintain.py [--uses N] [--turns N]

`promptctl db maintain` is run as it is from cron. Against bare SQL that only counts and sums the same uses by hour, and
keeps nothing. While it runs one client records uses and another activates versions, one call after the other; their
p99 is printed beside that of the same two on a server that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import psycopg
from measure import Command, Report, environment, fill, install, parsed, start_server, take_turns
from uses import DAYS, NAME, asked, record

if TYPE_CHECKING:
    from collections.abc import Callable

_BARE = """
select count(*) from (
    select name, version, date_trunc('hour', recorded_at), model, outcome = 'ok', count(*), sum(input_tokens),
           sum(output_tokens), sum(response_ms), min(response_ms), max(response_ms), max(recorded_at)
    from promptctl.uses group by 1, 2, 3, 4, 5) h
"""
_AGAIN = """
set session_replication_role = replica;
truncate promptctl.totals;
update promptctl.roll_up set rolled_below = 0;
reset session_replication_role
"""
_WAITS = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and query ~ 'record_use|activate'
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uses", type=int, default=10_000_000, help="how many uses are recorded")
    options.add_argument("--turns", type=int, default=9, help="how often statistics are asked for")
    arguments, own = parsed(options)
    report = Report()
    with start_server(shared_buffers="1GB", max_wal_size="8GB") as server:
        dsn = install(server, "maintain")
        fill(dsn, 3, 3)
        record(dsn, arguments.uses)
        maintain = [own, "db", "maintain", "--database-url", dsn]
        report.heading(f"rolling up {arguments.uses:,} uses of {DAYS} days")
        _roll_up(report, dsn, maintain, arguments.uses)
        report.heading(f"stats over {arguments.uses:,} uses that are rolled up")
        _statistics(report, dsn, own, arguments.turns)
        report.heading("recording and activating beside it")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_AGAIN)
        _beside(report, dsn, maintain)
        report.heading("dropping single uses older than 30 days")
        began = time.perf_counter()
        _run([*maintain, "--keep", "30d"])
        with psycopg.connect(dsn, autocommit=True) as connection:
            left = _count(connection, "select count(*) from promptctl.uses")
            seconds = time.perf_counter() - began
            total = _count(connection, "select sum(uses) from promptctl.totals where grain = 'all'")
        dropped = total - left
        report.add("a million single uses", seconds / dropped * 1e9, unit="ms")
    return report.close()


def _roll_up(report: Report, dsn: str, maintain: list[str], uses: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        bare = _timed(lambda: connection.execute(_BARE).fetchone())
        ours = _timed(lambda: _run(maintain))
        assert _count(connection, "select sum(uses) from promptctl.totals where grain = 'all'") == uses
        size = _count(connection, "select pg_total_relation_size('promptctl.totals')")
        raw = _count(connection, "select pg_total_relation_size('promptctl.uses')")
    # Half a million a second.
    report.add("db maintain, the whole process: a million uses", ours / uses * 1e9, 2000, unit="ms")
    report.add("db maintain / counting and summing by hour as bare SQL", ours / bare)
    report.add("room that totals take / room that uses take", size / raw, 0.1)
    report.add("db maintain again, with nothing to do", _timed(lambda: _run(maintain)) * 1000, unit="ms")


def _statistics(report: Report, dsn: str, own: str, turns: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("vacuum (analyze) promptctl.totals")
        week = connection.execute("select (now() - interval '7 days')::text").fetchone()
    assert week is not None
    for what, by, since, limit in (
        ("stats NAME, database time", ["version"], None, 60),
        ("stats NAME --since 7d", ["version"], week[0], 60),
        ("stats NAME --by day", ["day"], None, None),
        ("stats NAME --by hour --since 7d", ["hour"], week[0], None),
    ):
        took = [asked(dsn, by, since) * 1000 for _ in range(turns + 1)][1:]
        report.add(what, statistics.median(took), limit, unit="ms", note=f"(at most {max(took):.0f})")
    whole = Command("stats NAME, the whole process", [own, "stats", NAME, "--database-url", dsn])
    take_turns([whole], turns, environment())
    report.add(whole.name, statistics.median(whole.wall.values()), unit="ms", note="prices of models included")
    listed = Command("show NAME, the whole process", [own, "show", f"{NAME}@1", "--json", "--database-url", dsn])
    take_turns([listed], turns, environment())
    report.add(listed.name, statistics.median(listed.wall.values()), unit="ms")


def _beside(report: Report, dsn: str, maintain: list[str]) -> None:
    """Time calls on a server that does nothing else, then while uses are rolled up, and count who waits for a lock."""
    during: dict[str, list[float]] = {}
    waits = 0
    idle = _called(dsn, lambda: time.sleep(8))
    with psycopg.connect(dsn, autocommit=True) as watching:
        process = subprocess.Popen(maintain, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def watch() -> None:
            nonlocal waits
            while process.poll() is None:
                waits += _count(watching, _WAITS)
                time.sleep(0.005)

        during = _called(dsn, watch)
    # The two cores are shared by three then, and by four with the one that counts.
    for what, values in during.items():
        quiet, busy = _p99(idle[what]), _p99(values)
        note = f"{quiet:.1f} ms idle, {busy:.1f} ms during, {len(values)} calls"
        report.add(f"{what}, p99 during a roll-up / idle", busy / quiet, note=note)
    report.add("calls that were seen to wait for a lock", waits, 0, unit="")


def _called(dsn: str, meanwhile: Callable[[], None]) -> dict[str, list[float]]:
    stop = threading.Event()
    took: dict[str, list[float]] = {"record_use": [], "activate": []}
    calls = {
        "record_use": "select promptctl.record_use('p00002', 1, 1, 100, 50, 900)",
        "activate": "select promptctl.activate('{p00003}', array[1 + (%s %% 3)], 'benchmark')",
    }

    def call(what: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not stop.is_set():
                number = len(took[what])
                sql = calls[what].replace("%s", str(number)).replace("%%", "%")
                began = time.perf_counter()
                connection.execute(sql.encode())
                took[what].append((time.perf_counter() - began) * 1000)
                # As many calls as it may be in a busy application, and not as many as there can be.
                time.sleep(0.005)

    threads = [threading.Thread(target=call, args=[what]) for what in calls]
    for thread in threads:
        thread.start()
    meanwhile()
    stop.set()
    for thread in threads:
        thread.join()
    return took


def _p99(values: list[float]) -> float:
    return sorted(values)[-(-99 * len(values) // 100) - 1]


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _run(words: list[str]) -> None:
    subprocess.run(words, env=environment(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _count(connection: psycopg.Connection[tuple[int]], sql: str) -> int:
    row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    raise SystemExit(main())
