"""Homes for embedded servers."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptctl.postgres.embedded import server
from tests.postgres.embedded.support import ROOT, copy_home, end_server, socket_directories


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the caller's PostgreSQL and promptctl settings out."""
    for name in [name for name in os.environ if name.startswith(("PG", "PROMPTCTL_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory that every user can reach, and no server is left in afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="pc-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    for lock in directory.rglob("server.lock"):
        end_server(lock.parent)
    for short in socket_directories(directory):
        shutil.rmtree(short, ignore_errors=True)
    shutil.rmtree(directory)


@pytest.fixture
def home(place: Path) -> str:
    """A home that does not exist yet."""
    return str(place / "home")


@pytest.fixture(scope="session")
def made_once() -> Iterator[Path]:
    """A home with a stopped cluster, to be copied: that takes a fraction of the time of making one."""
    directory = Path(tempfile.mkdtemp(prefix="pc-", dir="/tmp"))
    directory.chmod(0o755)
    server.start(str(directory / "home"), create=True)
    server.stop(str(directory / "home"))
    yield directory / "home"
    shutil.rmtree(directory)


@pytest.fixture
def stopped(made_once: Path, home: str) -> str:
    """A home with a cluster whose server does not run."""
    copy_home(made_once, Path(home))
    return home


@pytest.fixture
def ordinary(place: Path) -> tuple[int, str]:
    """An ordinary user's id and a directory of theirs: our own, unless we are root."""
    uid = pwd.getpwnam("nobody").pw_uid if ROOT else os.geteuid()
    directory = place / "theirs"
    directory.mkdir(mode=0o755)
    os.chown(directory, uid, -1)
    return uid, str(directory)


@pytest.fixture(scope="session")
def running_once(made_once: Path) -> Iterator[str]:
    """A home with a running server, for tests that only look."""
    home = made_once.with_name("running")
    copy_home(made_once, home)
    server.start(str(home), create=False)
    yield str(home)
    server.stop(str(home))
