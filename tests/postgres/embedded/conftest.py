"""Homes for embedded servers: absent, stopped and running."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptctl.postgres.embedded import server
from tests.postgres.embedded.support import ROOT, copy_home, socket_directories, stop_as_owner


@pytest.fixture(autouse=True)
def clear_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the PostgreSQL and promptctl settings of the caller from the environment."""
    for name in [name for name in os.environ if name.startswith(("PG", "PROMPTCTL_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory with a short path that every user can reach; its servers are stopped after the test."""
    directory = Path(tempfile.mkdtemp(prefix="pc-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    for lock in directory.rglob("server.lock"):
        stop_as_owner(lock.parent)
    for short in socket_directories(directory):
        shutil.rmtree(short, ignore_errors=True)
    shutil.rmtree(directory)


@pytest.fixture
def home(short_directory: Path) -> str:
    """A home that does not exist yet."""
    return str(short_directory / "home")


@pytest.fixture(scope="session")
def template_home() -> Iterator[Path]:
    """A home with a stopped cluster, to copy from: a copy takes a fraction of the time of `initdb`."""
    directory = Path(tempfile.mkdtemp(prefix="pc-", dir="/tmp"))
    directory.chmod(0o755)
    server.start(str(directory / "home"), create=True)
    server.stop(str(directory / "home"))
    yield directory / "home"
    shutil.rmtree(directory)


@pytest.fixture
def stopped_home(template_home: Path, home: str) -> str:
    """A new home with a cluster whose server is stopped."""
    copy_home(template_home, Path(home))
    return home


@pytest.fixture
def ordinary_user(short_directory: Path) -> tuple[int, str]:
    """The id of an ordinary user, which is ours unless we are root, and a directory that belongs to that user."""
    uid = pwd.getpwnam("nobody").pw_uid if ROOT else os.geteuid()
    directory = short_directory / "theirs"
    directory.mkdir(mode=0o755)
    os.chown(directory, uid, -1)
    return uid, str(directory)


@pytest.fixture(scope="session")
def running_home(template_home: Path) -> Iterator[str]:
    """A home with a running server, for tests that do not change it."""
    home = template_home.with_name("running")
    copy_home(template_home, home)
    server.start(str(home), create=False)
    yield str(home)
    server.stop(str(home))
