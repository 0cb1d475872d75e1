"""The cost of a report over ten million rolled-up uses, beside `stats` of the same prompts.

    python benchmarks/report.py [--turns N] [--promptctl PROGRAM]

The totals are those of ten million uses of 20 prompts in 90 days: a row for each version, day and outcome, with
histograms of 150 buckets. The whole process counts, from its start to the file. `stats --since 90d` reads the same
totals and prints one line per version.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import psycopg
from measure import Command, Report, environment, install, parse_arguments, ratio, run_in_turn, start_server

from tests.report_data import fill_sql

DAYS = 90


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=9, help="how often each is run")
    arguments, own = parse_arguments(options)
    report = Report()
    tomorrow = datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=1)
    with start_server() as server, tempfile.TemporaryDirectory() as folder:
        dsn = install(server, "report")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(fill_sql(f"{tomorrow}T00:00:00Z").encode())
            connection.execute("vacuum (analyze)")
            uses = connection.execute("select sum(uses) from promptctl.totals where grain = 'day'").fetchone()
        page = Path(folder) / "page.html"
        words = [own, "report", "--since", f"{DAYS}d", "--html", str(page), "--database-url", dsn]
        report.heading(f"report over {uses[0] if uses else 0:,} rolled-up uses of 20 prompts in {DAYS} days")
        ours = Command("report", words)
        stats = Command("stats", [own, "stats", "--since", f"{DAYS}d", "--database-url", dsn])
        run_in_turn([ours, stats], arguments.turns, environment())
        value, note = ratio(ours.wall, stats.wall)
        report.add("report / stats --since 90d, the whole process", value, 2, note=note)
        # The fastest turn, because other processes only add to the others.
        report.add("report, the whole process", min(ours.wall.values()), 1000, unit="ms")
        report.add("report, processor time without the server", statistics.median(ours.cpu.values()), unit="ms")
        report.add("report, memory", _memory(words), 150, unit="MB")
        report.add("the page", page.stat().st_size / 1000, 300, unit="kB")
    return report.close()


def _memory(words: list[str]) -> float:
    """Return the largest resident memory of the process in MB."""
    process = subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"failed ({status}): {' '.join(words)}")
    return used.ru_maxrss / 1024


if __name__ == "__main__":
    raise SystemExit(main())
