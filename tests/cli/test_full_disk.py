"""A server with a full disk refuses a change completely, and the active version stays."""

from __future__ import annotations

import os
import random
import string
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.conftest import SERVERS, Promptctl
from tests.servers import Server, unprivileged

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A directory of the server's user on a disk of 40 MB."""
    disk = Path(tempfile.mkdtemp(prefix="disk-", dir="/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m,mode=755", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        disk.rmdir()
        pytest.skip("a disk cannot be mounted here")
    try:
        place = disk / "tablespace"
        place.mkdir()
        if user := unprivileged():
            os.chown(place, user.pw_uid, user.pw_gid)
        yield place
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


def test_a_change_on_a_full_disk_fails_and_keeps_the_active_version(small_disk: Path, home: Path) -> None:
    with Server.start(next(iter(SERVERS.values()))) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as sql:
            sql.execute(f"create tablespace small location '{small_disk}'".encode())
            sql.execute("create database full_disk tablespace small")
        promptctl = Promptctl(home, DATABASE_URL=server.url("full_disk"))
        assert promptctl("db", "init").code == 0
        assert promptctl("create", "x", "one", "--activate").code == 0
        # Of a kind that does not compress to what fits.
        text = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=40_000_000))
        check_failure = promptctl("create", "x", "-f", "-", "--activate", stdin=text)
        assert (check_failure.code, check_failure.out) == (1, "")
        assert "No space left on device\nhint:  free space on the server's disk\n" in check_failure.err
        assert promptctl("show", "x", "-q").out == "x@1\n"
        assert len(promptctl("history", "x").out.splitlines()) == 1
        assert promptctl("create", "x", "two").out == "x@2\n"
