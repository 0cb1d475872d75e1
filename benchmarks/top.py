"""The cost of `promptctl top`: `--once` against `list`, the screen at rest, and the screen while many uses arrive.

python benchmarks/top.py [--uses N] [--seconds N] [--turns N]
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import re
import select
import statistics
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from measure import Command, Report, environment, fill, install, instructions, parse_arguments, ratio, run_in_turn
from measure import start_server as start

if TYPE_CHECKING:
    from collections.abc import Callable

_PROMPTS = 500
# Old uses, before the minutes that are shown, and a few in them.
_USES = """
insert into promptctl.uses (id, name, version, epoch, model, input_tokens, output_tokens, response_ms, recorded_at)
select gen_random_uuid(), 'p' || to_char(1 + n %% 500, 'FM00000'), 1 + n %% 3, 0, 'claude-sonnet-5-5', n %% 3000,
       n %% 700, 100 + n %% 5000, now() - (%(count)s - n) * interval '1 second'
from generate_series(1, %(count)s) n
"""
_RECORD = """
insert into promptctl.uses (id, name, version, epoch, model, input_tokens, output_tokens, response_ms, outcome)
select gen_random_uuid(), 'p' || to_char(1 + n % 500, 'FM00000'), 3, 0, 'claude-sonnet-5-5', n, n, 10 * n,
       case when n % 50 = 0 then 'overloaded_error' else 'ok' end
from generate_series(1, 200) n
"""
# Uses of the last five minutes, which one statement of --once adds up.
_IN_THE_WINDOW = """
insert into promptctl.uses (id, name, version, epoch, model, input_tokens, output_tokens, response_ms, recorded_at)
select gen_random_uuid(), 'p' || to_char(1 + n %% 500, 'FM00000'), 3, 0, 'claude-sonnet-5-5', n %% 3000, n %% 700,
       exp(7 + 1.4 * (random() + random() + random() + random() - 2)), now() - n * interval '290 s' / %(count)s
from generate_series(1, %(count)s) n
"""
# Uses a second.
_RATES = (20, 50, 200, 2000)
# Each use of the window is read, so the limit cannot hold at any rate.
_BOUNDED_RATE = 50
_WINDOW_SECONDS = 300
_BATCHES_A_SECOND = 10
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uses", type=int, default=1_000_000, help="how many uses are recorded before")
    options.add_argument("--seconds", type=int, default=60, help="how long the screen is measured")
    options.add_argument("--turns", type=int, default=25, help="how often each command is run")
    arguments, own = parse_arguments(options)
    report = Report()
    with start(shared_buffers="512MB", max_wal_size="4GB") as server:
        dsn = install(server, "top")
        fill(dsn, _PROMPTS, 3)
        with psycopg.connect(dsn, autocommit=True) as sql:
            sql.execute(_USES, {"count": arguments.uses})
            sql.execute("vacuum (analyze)")
            url = ["--database-url", dsn]
            report.heading(f"{_PROMPTS} prompts, {arguments.uses:,} uses")
            _once(report, own, url, arguments.turns)
            screen = Screen([own, "top", "--sort", "moved", *url], sql)
            try:
                _screen(report, screen, sql, dsn, arguments.seconds)
            finally:
                screen.end()
            _busy(report, own, url, sql, arguments.turns)
    return report.close()


def _once(report: Report, own: str, url: list[str], turns: int) -> None:
    listing = Command("list", [own, "list", *url])
    once = Command("top --once", [own, "top", "--once", *url])
    cost = Command("top --once --cost", [own, "top", "--once", "--cost", *url], every=min(turns, 5))
    run_in_turn([listing, once, cost], turns, environment())
    for command, limit in ((once, 1.5), (cost, None)):
        value, note = ratio(command.wall, listing.wall)
        report.add(f"{command.name} / list, time", value, limit, note=note)
    counts = [instructions(command.at(1), environment()) for command in (once, listing)]
    if counts[0] and counts[1]:
        report.add("top --once / list, instructions", counts[0] / counts[1], 1.5, note=f"{counts[0] / 1e6:.0f} M")


def _busy(report: Report, own: str, url: list[str], sql: psycopg.Connection, turns: int) -> None:
    report.heading("top --once with uses in its five minutes")
    for rate in _RATES:
        sql.execute("set session_replication_role = replica")
        sql.execute("truncate promptctl.uses")
        sql.execute("reset session_replication_role")
        sql.execute(_IN_THE_WINDOW, {"count": rate * _WINDOW_SECONDS})
        sql.execute("vacuum (analyze) promptctl.uses")
        listing, once = Command("list", [own, "list", *url]), Command("top --once", [own, "top", "--once", *url])
        run_in_turn([listing, once], turns, environment())
        value, note = ratio(once.wall, listing.wall)
        report.add(f"{rate} uses a second, / list, time", value, 1.5 if rate <= _BOUNDED_RATE else None, note=note)


def _screen(report: Report, screen: Screen, sql: psycopg.Connection, dsn: str, seconds: int) -> None:
    # The prices are loaded, and the first lines drawn.
    screen.wait_for(re.compile(r"\$"))
    time.sleep(3)
    report.heading(f"The screen for {seconds} s, in percent of a core")
    drawn = len(screen.output)
    process, backend = screen.load(seconds)
    report.add("at rest, the process and its backend", process + backend, 1, unit="%", note=f"backend {backend:.2f}")
    report.add("at rest, bytes written to the terminal a second", (len(screen.output) - drawn) / seconds, unit="B")

    stopping = threading.Event()
    recording = threading.Thread(target=_record, args=(dsn, stopping))
    recording.start()
    try:
        process, backend = screen.load(seconds)
    finally:
        stopping.set()
        recording.join()
    label = f"with {200 * _BATCHES_A_SECOND:,} uses a second of {_PROMPTS} prompts"
    report.add(f"{label}, the process", process, unit="%")
    report.add(f"{label}, its backend", backend, unit="%")

    delays: list[float] = []
    for turn in range(20):
        # A move within a tenth of a second after another one is read together with it.
        time.sleep(0.3)
        reason = f"move {turn} "
        began = time.monotonic()
        sql.execute(
            "select promptctl.activate('{p00001}', array[%s::integer], 'benchmark', %s)", [1 + turn % 2, reason]
        )
        screen.wait_for(re.compile(reason))
        delays.append((time.monotonic() - began) * 1000)
    report.add("from a move to the screen, median", statistics.median(delays), unit="ms", note=f"max {max(delays):.0f}")


def _record(dsn: str, stopping: threading.Event) -> None:
    with psycopg.connect(dsn, autocommit=True) as sql:
        while not stopping.wait(1 / _BATCHES_A_SECOND):
            sql.execute(_RECORD)


class Screen:
    """A `top` on a terminal of 160 columns, and what it writes."""

    def __init__(self, words: list[str], sql: psycopg.Connection) -> None:
        self.output = b""
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self._process = subprocess.Popen(
            words, stdin=follower, stdout=follower, stderr=follower, env=environment(TERM="xterm")
        )
        os.close(follower)
        self._sql = sql
        self._seen = 0

    def read(self, seconds: float) -> None:
        """Read what the screen writes within this time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([self._leader], [], [], left)[0]:
                return
            self.output += os.read(self._leader, 65536)

    def wait_for(self, pattern: re.Pattern[str]) -> None:
        """Wait until a text is shown after the last one. Raises RuntimeError after 30 seconds."""
        until = time.monotonic() + 30
        while not (match := pattern.search(self.output[self._seen :].decode(errors="replace"))):
            if time.monotonic() > until:
                raise RuntimeError(f"{pattern.pattern!r} is not shown")
            if select.select([self._leader], [], [], 1)[0]:
                self.output += os.read(self._leader, 65536)
        self._seen = len(self.output) if match else self._seen

    def load(self, seconds: float) -> tuple[float, float]:
        """Return the load of the process and of its backend during this time, in percent of a core."""
        [(backend,)] = self._sql.execute(
            "select pid from pg_stat_activity"
            " where datname = current_database() and application_name = 'promptctl client'"
        ).fetchall()
        measured: tuple[Callable[[], float], ...] = (
            lambda: _processor_seconds(self._process.pid), lambda: _processor_seconds(backend)
        )  # fmt: skip
        before, began = [read() for read in measured], time.monotonic()
        until = began + seconds
        while time.monotonic() < until:
            self.read(until - time.monotonic())
        passed = time.monotonic() - began
        process, server = [(read() - start) / passed * 100 for read, start in zip(measured, before, strict=True)]
        return process, server

    def end(self) -> None:
        """Quit as a person does."""
        os.write(self._leader, b"q")
        with contextlib.suppress(OSError):  # the terminal has no process any more
            while self._process.poll() is None:
                self.read(0.1)
        self._process.wait()
        os.close(self._leader)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    raise SystemExit(main())
