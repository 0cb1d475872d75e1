"""Helpers for the tests of the embedded server: other processes, other users, and killing a server."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from promptctl.postgres.embedded import location, server

REPOSITORY = Path(__file__).parents[3]
ROOT = os.geteuid() == 0
PRELUDE = """
import os, sys
from promptctl.postgres.embedded import location, server
from promptctl.errors import PromptctlError
home = sys.argv[1]
"""
START = PRELUDE + "server.start(home, create=True)\n"
STOP = PRELUDE + "server.stop(home)\n"

needs_root = pytest.mark.skipif(not ROOT, reason="only root can run a process as another user")
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def copy_home(source: Path, target: Path) -> None:
    """Copy a home; hard-link its programs, which no test changes."""
    subprocess.run(["mkdir", target], check=True)
    for path in source.iterdir():
        option = "-al" if path.name.startswith("postgresql-") else "-a"
        subprocess.run(["cp", option, path, target], check=True)


def socket_directories(directory: Path) -> list[str]:
    """Return the socket directories outside the homes in `directory`."""
    paths = [location.socket_directory(str(lock.parent)) for lock in directory.rglob("start.lock")]
    return [path for path in paths if path.startswith("/tmp/promptctl-")]


def stop_as_owner(home: Path) -> None:
    """Stop the server of a home, as the owner of the home."""
    result = run(STOP, str(home), uid=home.stat().st_uid)
    assert result.returncode == 0, result.stderr


def query(home: str, sql: str, user: str = "promptctl") -> str:
    """Return the one value that a query returns on the embedded database, as text."""
    with psycopg.connect(make_conninfo(**location.conninfo(home) | {"user": user})) as connection:
        row = connection.execute(sql.encode()).fetchone()
        assert row is not None
        return str(row[0])


_BECOME = """
import fcntl, os, pwd, sys, psycopg
from promptctl.postgres.embedded import server
os.setgroups([])
os.setgid(pwd.getpwuid({uid}).pw_gid)
os.setuid({uid})
"""


def spawn(script: str, *arguments: str, uid: int | None = None, **environment: str) -> subprocess.Popen[str]:
    """Start another Python process, as user `uid` if we are root.

    It changes its user after the imports: Python may be in a directory that only root can read.
    """
    path = filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))
    return subprocess.Popen(
        [sys.executable, "-c", (_BECOME.format(uid=uid) if ROOT and uid else "") + script, *arguments],
        cwd="/",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script: str, *arguments: str, uid: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run another Python process and return its result."""
    process = spawn(script, *arguments, uid=uid, **environment)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_until(condition: Callable[[], object], description: str) -> None:
    """Wait until `condition` is true; fail after 30 seconds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"timed out: {description}"
        time.sleep(0.001)


def kill_server(home: str) -> int:
    """End the postmaster with SIGKILL, as the kernel does when memory runs out; return its process id."""
    pid = server.status(home).pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid


def account_of(home: str) -> pwd.struct_passwd:
    """Return the user who owns the cluster."""
    cluster = location.cluster(home)
    assert cluster
    return pwd.getpwuid(os.stat(cluster).st_uid)
