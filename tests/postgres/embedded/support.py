"""What the tests of the embedded server do over and over: other processes, other users, a server to end."""

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

needs_root = pytest.mark.skipif(not ROOT, reason="only root can be another user")
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def copy_home(source: Path, target: Path) -> None:
    """Copies a home; the programs, which nothing changes, are linked."""
    subprocess.run(["mkdir", target], check=True)
    for path in source.iterdir():
        how = "-al" if path.name.startswith("postgresql-") else "-a"
        subprocess.run(["cp", how, path, target], check=True)


def socket_directories(place: Path) -> list[str]:
    """The socket directories outside the homes in `place`."""
    found = [location.socket_directory(str(lock.parent)) for lock in place.rglob("start.lock")]
    return [directory for directory in found if directory.startswith("/tmp/promptctl-")]


def end_server(home: Path) -> None:
    """Ends whatever works in `home`, as its owner."""
    done = run(STOP, str(home), uid=home.stat().st_uid)
    assert done.returncode == 0, done.stderr


def query(home: str, sql: str, user: str = "promptctl") -> str:
    """The one value that `sql` gives on the embedded database."""
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
    """Another Python process, as another user if `uid` is given and we are root.

    It becomes that user once everything is imported: Python may lie where only root can read it.
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
    """The result of another Python process."""
    process = spawn(script, *arguments, uid=uid, **environment)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Returns as soon as `condition` holds; fails after half a minute."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.001)


def kill_server(home: str) -> int:
    """Ends the postmaster with SIGKILL, as the kernel does when memory runs out; gives its process id."""
    pid = server.status(home).pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid


def account_of(home: str) -> pwd.struct_passwd:
    """The user whom the cluster belongs to."""
    cluster = location.cluster(home)
    assert cluster
    return pwd.getpwuid(os.stat(cluster).st_uid)
