"""The wheel and the source distribution: their files, and that two builds give equal bytes."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from promptctl import __version__
from tests.packaging.conftest import STEM, Distributions, build

if TYPE_CHECKING:
    from pathlib import Path


def files(folder: Path) -> list[str]:
    """The paths of all files in a folder, relative to it."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def test_two_builds_in_other_places_times_and_settings_are_equal(distributions: Distributions, tmp_path: Path) -> None:
    sources = tmp_path / "another place"
    shutil.copytree(distributions.sources, sources)
    for folder, _, names in os.walk(sources):
        for name in names:
            path = os.path.join(folder, name)
            os.utime(path, (1_000_000_000, 1_000_000_000))
            os.chmod(path, 0o700 if os.access(path, os.X_OK) else 0o600)
        os.chmod(folder, 0o700)
    (sources / "promptctl" / "__pycache__").mkdir()
    (sources / "promptctl" / "__pycache__" / "left.cpython-311.pyc").write_bytes(b"left over")
    settings = {"LC_ALL": "C", "LANG": "C", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    again = build(sources, tmp_path / "dist", umask=0o077, env=settings)
    assert again.wheel.read_bytes() == distributions.wheel.read_bytes()
    assert again.sdist.read_bytes() == distributions.sdist.read_bytes()


def test_the_wheel_has_the_package_the_schema_the_command_and_the_license(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in wheel.infolist()}
        command = wheel.read(f"{STEM}.data/scripts/promptctl")
        metadata = HeaderParser().parsestr(wheel.read(f"{STEM}.dist-info/METADATA").decode())
    package = {path for path in files(distributions.sources) if path.startswith("promptctl/")}
    assert {"promptctl/py.typed", "promptctl/cli/commands/list_.py"} <= package
    assert any(path.startswith("promptctl/migrations/") and path.endswith(".sql") for path in package)
    info = {f"{STEM}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    data = {
        path: mode for path, mode in modes.items() if path.startswith((f"{STEM}.data/", f"{STEM}.dist-info/"))
    }  # fmt: skip
    assert modes.keys() - data.keys() == package | {"promptctl/schema.sql"}
    manuals = {f"{STEM}.data/data/share/man/man1/{path.name}" for path in (distributions.sources / "man").glob("*.1")}
    assert data.keys() == info | {f"{STEM}.data/scripts/promptctl"} | manuals
    assert {path for path, mode in modes.items() if mode & 0o111} == {f"{STEM}.data/scripts/promptctl"}
    assert command == (distributions.sources / "scripts" / "promptctl").read_bytes()
    assert (metadata["Name"], metadata["Version"]) == ("promptctl-pg", __version__)
    assert metadata["License-Expression"] == "MIT"
    base = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert base == ["psycopg[binary]<4,>=3.2.2"]
    # Without a reference to itself, an installer looks up no name of ours in an index.
    assert [line for line in metadata.get_all("Requires-Dist", []) if "promptctl" in line] == []


def test_the_source_distribution_has_every_file_that_the_tests_need(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        members = sdist.getmembers()
    assert {member.name for member in members} == {
        f"{STEM}/{path}" for path in [*files(distributions.sources), "PKG-INFO"]
    }
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, members[0].mtime)}
