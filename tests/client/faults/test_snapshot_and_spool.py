"""A process starts, works and ends while the database is down; the next one sends its uses once."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psycopg

from tests.client.faults.load import SLACK_SECONDS, check_each_counted_once
from tests.client.faults.proxy import Proxy
from tests.conftest import environment
from tests.schema.support import value

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

# Prints a use's id as soon as it has ended.
APPLICATION = """
import os, sys
from promptctl import Prompts
prompts = Prompts(os.environ["URL"], snapshot="snapshot", spool="spool", timeout_seconds=1)
for _ in range(int(sys.argv[1])):
    prompt = prompts.get("greeter")
    with prompt.use() as use:
        use.record(input_tokens=7, output_tokens=3)
    print(use.id, prompt.version, flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
assert sys.argv[2] == "ends" or prompts.flush(20)
"""


def run_application(folder: Path, url: str, uses: int, end: str) -> list[str]:
    """Run a process that uses so many, and return their ids."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", APPLICATION, str(uses), end],
        cwd=folder, env=environment(folder, URL=url), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == (-9 if end == "killed" else 0), done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {version for _, version in lines} <= {"1"}
    return [use_id for use_id, _ in lines]


def test_uses_of_processes_that_began_and_ended_while_the_database_was_down_are_counted_once(
    server: Server, database_name: str, application_url: str, home: Path
) -> None:
    ids = run_application(home, application_url, 1, "flushes")
    server.stop(keep=True)
    for _ in range(3):
        ids += run_application(home, application_url, 50, "ends")
    assert len(list((home / "spool").iterdir())) == 3
    server.restart()
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        assert value(sql, "select count(*) from promptctl.uses") == 1
        ids += run_application(home, application_url, 1, "flushes")
        check_each_counted_once(sql, ids)
        assert list((home / "spool").iterdir()) == []
        # Nothing is sent again.
        ids += run_application(home, application_url, 1, "flushes")
        check_each_counted_once(sql, ids)


def test_a_process_ends_in_time_although_nothing_answers_and_the_next_one_sends_what_it_booked(
    server: Server, database_name: str, application: str, home: Path
) -> None:
    with Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy:
        url = proxy.url(database_name, application)
        ids = run_application(home, url, 1, "flushes")
        proxy.fall_silent()
        began = time.monotonic()
        ids += run_application(home, url, 50, "ends")
        # A second for the first prompt, five to send what there is.
        assert time.monotonic() - began < 6.5 + 2 * SLACK_SECONDS
        proxy.speak()
        ids += run_application(home, url, 1, "flushes")
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        check_each_counted_once(sql, ids)
