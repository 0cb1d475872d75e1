"""A process starts, works and ends while the database is down; a later process sends its uses once."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psycopg

from tests.client.faults.load import SLACK_SECONDS, check_recorded_once
from tests.client.faults.proxy import Proxy
from tests.conftest import environment
from tests.schema.support import value

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

# The application prints the id of each use as soon as it has ended.
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
    """Run a process that records a number of uses, and return their ids."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", APPLICATION, str(uses), end],
        cwd=folder, env=environment(folder, URL=url), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == (-9 if end == "killed" else 0), result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert {version for _, version in lines} <= {"1"}
    return [use_id for use_id, _ in lines]


def test_uses_of_processes_that_ran_while_the_database_was_down_are_counted_once(
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
        check_recorded_once(sql, ids)
        assert list((home / "spool").iterdir()) == []
        # Nothing is sent again.
        ids += run_application(home, application_url, 1, "flushes")
        check_recorded_once(sql, ids)


def test_a_process_without_answers_ends_in_time_and_the_next_one_sends_its_uses(
    server: Server, database_name: str, application: str, home: Path
) -> None:
    with Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy:
        url = proxy.url(database_name, application)
        ids = run_application(home, url, 1, "flushes")
        proxy.pause()
        began = time.monotonic()
        ids += run_application(home, url, 50, "ends")
        # The first prompt takes up to 1 s, sending the uses up to 5 s.
        assert time.monotonic() - began < 6.5 + 2 * SLACK_SECONDS
        proxy.resume()
        ids += run_application(home, url, 1, "flushes")
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        check_recorded_once(sql, ids)
