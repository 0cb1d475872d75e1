"""Helpers for the tests of the client: waiting, running programs, reading the database."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from tests.conftest import Ended, Templated
from tests.schema.support import rows, run, value

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from tests.servers import Server

    Connection = psycopg.Connection[Any]

WAIT_SECONDS = 60.0

# greeter: version 1 is active, 2 is not, 3 is archived; other: 1 is active; idle: no version is active.
SAMPLE_PROMPTS = """
    select promptctl.create_version('greeter', 'Be kind, {user.name}.', '{"model": "m-1"}',
                                    '{"description": "the first"}', activated => true);
    select promptctl.create_version('greeter', 'Be brief, {user.name}.');
    select promptctl.create_version('greeter', 'Be loud.');
    select promptctl.retire('greeter', 3);
    select promptctl.create_version('other', 'Something else.', activated => true);
    select promptctl.create_version('other', 'Something else again.');
    select promptctl.create_version('idle', 'Wait.');
"""


def with_template(server: Server) -> Templated:
    """Create a database with the schema and a few prompts, which tests copy."""
    name = f"template_{os.getpid()}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        run(connection, f"create database {name}")
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        run(connection, schema.read_sql())
        run(connection, SAMPLE_PROMPTS)
    return Templated(server, name)


@contextlib.contextmanager
def application_role(dsn: str, name: str) -> Generator[str]:
    """Create a login role with the access of an application. The server may be restarted meanwhile."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        run(connection, f"create role {name} login")
        run(connection, "select promptctl.grant_access(%s, 'application')", [name])
    yield name
    with psycopg.connect(dsn, autocommit=True) as connection:
        run(connection, f"drop owned by {name} cascade")
        run(connection, f"drop role {name}")


@contextlib.contextmanager
def small_disk(size: str) -> Generator[Path]:
    """Mount a disk of a size such as `64k`, or skip the test where that is not possible."""
    disk = Path(tempfile.mkdtemp(prefix="disk-", dir="/tmp"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        disk.rmdir()
        pytest.skip("a disk cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


def until(
    condition: Callable[[], object], failure: str = "the condition did not come true", seconds: float = WAIT_SECONDS
) -> float:
    """Wait until the condition is true, and return how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, failure
        time.sleep(0.002)
    return time.monotonic() - began


def activate(sql: Connection, name: str, version: int) -> None:
    """Activate a version."""
    run(sql, "select promptctl.activate(array[%s], array[%s::integer])", [name, version])


def uses(sql: Connection, columns: str) -> list[tuple[Any, ...]]:
    """Return some columns of all uses, in the order of their times."""
    return rows(sql, f"select {columns} from promptctl.uses order by recorded_at, id")


def count(sql: Connection, table: str = "uses") -> int:
    """Return the number of rows of a table in the schema promptctl."""
    return value(sql, f"select count(*) from promptctl.{table}")


def run_program(code: str, folder: Path, environment: Mapping[str, str], *words: str, seconds: float = 60) -> Ended:
    """Run a Python program to its end."""
    result = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Ended(result.returncode, result.stdout, result.stderr)


def start_program(code: str, folder: Path, environment: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    """Start a Python program whose standard input, output and errors are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=environment,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_of_spool(directory: Path) -> list[list[Any]]:
    """Return the lines of all files of a spool."""
    return [json.loads(line) for file in sorted(directory.glob("*.uses")) for line in file.read_text().splitlines()]
