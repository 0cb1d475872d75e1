"""Fixtures: the wheel and the source distribution, which are built once for all workers."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptctl import __version__
from tests.source_files import copy_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

STEM = f"promptctl_pg-{__version__}"


@dataclass(frozen=True)
class Distributions:
    """The paths of the two files that are published, and of the folder that they were built from."""

    sources: Path
    wheel: Path
    sdist: Path


def build(sources: Path, destination: Path, umask: int = 0o022, env: Mapping[str, str] | None = None) -> Distributions:
    """Build both distributions from a folder of source files."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", destination],
        cwd=sources, env={**os.environ, **(env or {})}, umask=umask, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in destination.iterdir()) == [f"{STEM}-py3-none-any.whl", f"{STEM}.tar.gz"]
    return Distributions(sources, destination / f"{STEM}-py3-none-any.whl", destination / f"{STEM}.tar.gz")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers of one run of the tests share."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "packaging"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def distributions(shared_folder: Path) -> Distributions:
    """The wheel and the source distribution. Built from a copy, because a file may be edited during the tests."""
    sources, output = shared_folder / "sources", shared_folder / "dist"
    with (shared_folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            copy_sources(sources)
            building = shared_folder / "building"
            build(sources, building)
            building.rename(output)
    return Distributions(sources, output / f"{STEM}-py3-none-any.whl", output / f"{STEM}.tar.gz")
