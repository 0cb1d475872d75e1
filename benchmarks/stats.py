"""The cost of `stats NAME` over many uses that are not rolled up, against bare SQL for the same numbers.

    python benchmarks/stats.py [--uses N] [--turns N]

The bare SQL computes counts, averages, percentiles, sums and the last use of each version. Both are sent through
psycopg, in turn; then whole processes are compared with psql. At last, percentiles of histograms are compared with
the exact ones. maintain.py measures uses that are rolled up.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
from measure import Command, Report, environment, fill, install, parse_arguments, psql, ratio, run_in_turn, start_server
from uses import NAME, record, time_stats

from promptctl.rules.statistics import percentile

if TYPE_CHECKING:
    from collections.abc import Callable

_BARE = """
select version, count(*), count(*) filter (where outcome <> 'ok'),
       avg(input_tokens + output_tokens) filter (where outcome = 'ok'),
       avg(input_tokens) filter (where outcome = 'ok'), avg(output_tokens) filter (where outcome = 'ok'),
       avg(response_ms) filter (where outcome = 'ok'), avg(first_token_ms) filter (where outcome = 'ok'),
       percentile_disc(array[0.5, 0.95, 0.99]) within group (order by response_ms) filter (where outcome = 'ok'),
       sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), avg(score),
       count(*) - count(bucket), max(recorded_at)
from promptctl.uses where name = 'p00001' group by version order by version desc
"""
_VALUES = 20_000


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uses", type=int, default=1_000_000, help="how many uses are recorded")
    options.add_argument("--turns", type=int, default=9, help="how often each is run")
    arguments, own = parse_arguments(options)
    report = Report()
    _errors(report)
    with start_server(shared_buffers="1GB", max_wal_size="4GB") as server:
        dsn = install(server, "stats")
        fill(dsn, 3, 3)
        record(dsn, arguments.uses)
        report.heading(f"stats NAME over {arguments.uses:,} single uses of three versions")
        _queries(report, dsn, arguments.turns)
        words = psql(server)
        if words is not None:
            bare = Command("psql with the bare SQL", [words, "-XAtq", "-c", _BARE, dsn])
            ours = Command("stats NAME, the whole process", [own, "stats", NAME, "--database-url", dsn])
            run_in_turn([ours, bare], arguments.turns, environment())
            value, note = ratio(ours.wall, bare.wall)
            report.add("stats NAME, the whole process / psql with the bare SQL", value, note=note)
    return report.close()


def _queries(report: Report, dsn: str, turns: int) -> None:
    ours: dict[int, float] = {}
    bare: dict[int, float] = {}
    with psycopg.connect(dsn, autocommit=True) as connection:
        for turn in range(turns + 1):
            seconds = time_stats(dsn, trend=False)
            began = time.perf_counter()
            connection.execute(_BARE.encode(), prepare=False).fetchall()
            if turn:
                ours[turn], bare[turn] = seconds, time.perf_counter() - began
    value, note = ratio(ours, bare)
    report.add("the statements of stats NAME / the bare SQL", value, 1.2, note=note)
    report.add("the statements of stats NAME", statistics.median(ours.values()) * 1000, unit="ms")
    report.add("the bare SQL", statistics.median(bare.values()) * 1000, unit="ms")


def _errors(report: Report) -> None:
    generator = random.Random(0)
    edge = 2 ** (1 / 32)
    distributions: dict[str, Callable[[], float]] = {
        "log-normal": lambda: generator.lognormvariate(7, 0.8),
        "log-normal, narrow": lambda: generator.lognormvariate(7, 0.005),
        "uniform": lambda: generator.uniform(1, 60_000),
        "exponential": lambda: generator.expovariate(1 / 900) + 0.01,
        "Pareto, heavy": lambda: generator.paretovariate(0.8),
        "two values": lambda: generator.choice([10.0, 10_000.0]),
        "the edges of buckets": lambda: edge ** generator.randrange(1, 600) * (1 + generator.choice([-1e-12, 1e-12])),
    }
    report.heading(f"errors of percentiles: {_VALUES:,} values of each distribution")
    for name, draw in distributions.items():
        values = sorted(draw() for _ in range(_VALUES))
        counts = Counter(math.floor(math.log2(value) * 32) for value in values)
        worst = 0.0
        for percent in range(1, 101):
            exact = values[-(-percent * _VALUES // 100) - 1]
            estimate = percentile(counts, percent, values[0], values[-1])
            worst = max(worst, abs((estimate or 0) - exact) / exact)
        report.add(f"{name}, the worst of 100 percentiles", worst * 100, 1.1, unit="%")


if __name__ == "__main__":
    raise SystemExit(main())
