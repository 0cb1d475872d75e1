"""The time to dump and to restore recorded uses, against pg_dump and pg_restore alone.

    python benchmarks/backup.py [--uses N] [--turns N]

The uses are rolled up, so that the checks after a restore compare all of them with their totals. pg_dump and pg_restore
run with the same options, on the same server, in turn with our commands.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from measure import Report, environment, fill, install, parse_arguments, start_server
from uses import record

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uses", type=int, default=10_000_000, help="how many uses are recorded")
    options.add_argument("--turns", type=int, default=3, help="how often each command runs")
    arguments, own = parse_arguments(options)
    report = Report()
    with start_server(shared_buffers="1GB", max_wal_size="8GB") as server, tempfile.TemporaryDirectory() as folder:
        dsn = install(server, "backup")
        fill(dsn, 100, 3)
        record(dsn, arguments.uses)
        _run([own, "db", "maintain", "--database-url", dsn])
        programs, admin = Path(server.programs), server.dsn()
        restored = server.dsn("restored")
        ours, bare = Path(folder, "ours.dump"), Path(folder, "bare.dump")
        commands: dict[str, Callable[[], list[str]]] = {
            "db dump": lambda: [own, "db", "dump", "--force", str(ours), "--database-url", dsn],
            "pg_dump": lambda: [
                str(programs / "pg_dump"), "-Fc", "--schema=promptctl", f"--file={bare}", f"--dbname={dsn}",
            ],
            "pg_restore": lambda: [str(programs / "pg_restore"), "--no-owner", f"--dbname={restored}", str(ours)],
            "db restore": lambda: [own, "db", "restore", str(ours), "--database-url", restored],
            "db verify": lambda: [own, "db", "verify", "--database-url", restored],
        }  # fmt: skip
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.turns):
            for name, command in commands.items():
                if "restore" in name:
                    _empty(admin)
                words = command()
                began = time.perf_counter()
                _run(words)
                seconds[name].append(time.perf_counter() - began)
        report.heading(f"dumping and restoring {arguments.uses:,} uses")
        median = {name: statistics.median(values) for name, values in seconds.items()}
        for ours_name, bare_name in (("db dump", "pg_dump"), ("db restore", "pg_restore")):
            ratios = [a / b for a, b in zip(seconds[ours_name], seconds[bare_name], strict=True)]
            note = f"{median[ours_name]:.1f} s / {median[bare_name]:.1f} s"
            report.add(f"{ours_name} / {bare_name}", statistics.median(ratios), 1.5, note=note)
        report.add("db verify alone / pg_restore", median["db verify"] / median["pg_restore"])
    return report.close()


def _empty(admin: str) -> None:
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("drop database if exists restored with (force)")
        connection.execute("create database restored")


def _run(words: list[str]) -> None:
    subprocess.run(words, env=environment(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


if __name__ == "__main__":
    raise SystemExit(main())
