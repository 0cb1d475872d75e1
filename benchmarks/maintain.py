"""The cost of rolling up millions of uses, of statistics over them, and of other calls during a roll-up.

    python benchmarks/maintain.py [--uses N] [--turns N]

`promptctl db maintain` runs as from cron, against bare SQL that only counts and sums the same uses by hour and stores
nothing. While it runs, one client records uses and another activates versions. Their p99 is printed beside that of the
same calls on an idle server.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import psycopg
from measure import Command, Report, environment, fill, install, parse_arguments, run_in_turn, start_server
from uses import DAYS, NAME, record, time_stats

if TYPE_CHECKING:
    from collections.abc import Callable

_BARE = """
select count(*) from (
    select name, version, date_trunc('hour', recorded_at), model, outcome = 'ok', count(*), sum(input_tokens),
           sum(output_tokens), sum(response_ms), min(response_ms), max(response_ms), max(recorded_at)
    from promptctl.uses group by 1, 2, 3, 4, 5) h
"""
_RESET_TOTALS = """
set session_replication_role = replica;
truncate promptctl.totals;
update promptctl.roll_up set rolled_below = 0;
reset session_replication_role
"""
_LOCK_WAITS = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and query ~ 'record_use|activate'
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uses", type=int, default=10_000_000, help="how many uses are recorded")
    options.add_argument("--turns", type=int, default=9, help="how often statistics are asked for")
    arguments, own = parse_arguments(options)
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
        report.heading("recording and activating during a roll-up")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_RESET_TOTALS)
        _time_calls_during_roll_up(report, dsn, maintain)
        report.heading("deleting single uses older than 30 days")
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
        bare = _seconds(lambda: connection.execute(_BARE).fetchone())
        ours = _seconds(lambda: _run(maintain))
        assert _count(connection, "select sum(uses) from promptctl.totals where grain = 'all'") == uses
        size = _count(connection, "select pg_total_relation_size('promptctl.totals')")
        raw = _count(connection, "select pg_total_relation_size('promptctl.uses')")
    # Half a million a second.
    report.add("db maintain, the whole process: a million uses", ours / uses * 1e9, 2000, unit="ms")
    report.add("db maintain / counting and summing by hour as bare SQL", ours / bare)
    report.add("size of the totals / size of the uses", size / raw, 0.1)
    report.add("db maintain again, with nothing to do", _seconds(lambda: _run(maintain)) * 1000, unit="ms")


def _statistics(report: Report, dsn: str, own: str, turns: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("vacuum (analyze) promptctl.totals")
        week = connection.execute("select (now() - interval '7 days')::text").fetchone()
    assert week is not None
    for label, by, since, limit in (
        ("stats NAME, database time", ["version"], None, 60),
        ("stats NAME --since 7d", ["version"], week[0], 60),
        ("stats NAME --by day", ["day"], None, None),
        ("stats NAME --by hour --since 7d", ["hour"], week[0], None),
    ):
        durations = [time_stats(dsn, by, since) * 1000 for _ in range(turns + 1)][1:]
        report.add(label, statistics.median(durations), limit, unit="ms", note=f"(at most {max(durations):.0f})")
    whole = Command("stats NAME, the whole process", [own, "stats", NAME, "--database-url", dsn])
    run_in_turn([whole], turns, environment())
    report.add(whole.name, statistics.median(whole.wall.values()), unit="ms", note="prices of models included")
    listed = Command("show NAME, the whole process", [own, "show", f"{NAME}@1", "--json", "--database-url", dsn])
    run_in_turn([listed], turns, environment())
    report.add(listed.name, statistics.median(listed.wall.values()), unit="ms")


def _time_calls_during_roll_up(report: Report, dsn: str, maintain: list[str]) -> None:
    """Time calls on an idle server, then during a roll-up, and count the calls that wait for a lock."""
    during: dict[str, list[float]] = {}
    waits = 0
    idle = _time_calls(dsn, lambda: time.sleep(8))
    with psycopg.connect(dsn, autocommit=True) as watching:
        process = subprocess.Popen(maintain, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def watch() -> None:
            nonlocal waits
            while process.poll() is None:
                waits += _count(watching, _LOCK_WAITS)
                time.sleep(0.005)

        during = _time_calls(dsn, watch)
    # Three processes share two cores then, four with the one that counts.
    for label, values in during.items():
        quiet, busy = _p99(idle[label]), _p99(values)
        note = f"{quiet:.1f} ms idle, {busy:.1f} ms during, {len(values)} calls"
        report.add(f"{label}, p99 during a roll-up / idle", busy / quiet, note=note)
    report.add("calls that waited for a lock", waits, 0, unit="")


def _time_calls(dsn: str, meanwhile: Callable[[], None]) -> dict[str, list[float]]:
    stop = threading.Event()
    durations: dict[str, list[float]] = {"record_use": [], "activate": []}
    calls = {
        "record_use": "select promptctl.record_use('p00002', 1, 1, 100, 50, 900)",
        "activate": "select promptctl.activate('{p00003}', array[1 + (%s %% 3)], 'benchmark')",
    }

    def call(function: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not stop.is_set():
                number = len(durations[function])
                sql = calls[function].replace("%s", str(number)).replace("%%", "%")
                began = time.perf_counter()
                connection.execute(sql.encode())
                durations[function].append((time.perf_counter() - began) * 1000)
                # At most 200 calls a second, as in a busy application.
                time.sleep(0.005)

    threads = [threading.Thread(target=call, args=[function]) for function in calls]
    for thread in threads:
        thread.start()
    meanwhile()
    stop.set()
    for thread in threads:
        thread.join()
    return durations


def _p99(values: list[float]) -> float:
    return sorted(values)[-(-99 * len(values) // 100) - 1]


def _seconds(call: Callable[[], object]) -> float:
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
