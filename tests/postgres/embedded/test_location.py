from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from promptctl.errors import Failed, Usage
from promptctl.postgres.embedded import location
from tests.postgres.embedded.support import ROOT, run

linux_user = pytest.mark.skipif(ROOT or not sys.platform.startswith("linux"), reason="for an ordinary user on Linux")


def test_importing_the_location_imports_no_other_modules() -> None:
    script = "import sys; before = set(sys.modules); import promptctl.postgres.embedded.location\n"
    result = run(script + "print(*sorted(set(sys.modules) - before))")
    ours = {
        "promptctl",
        "promptctl.postgres",
        "promptctl.postgres.embedded",
        "promptctl.postgres.embedded.location",
        "promptctl.errors",
    }
    assert set(result.stdout.split()) <= ours | {"__future__"}, result.stderr


def test_a_relative_setting_of_the_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTCTL_HOME", "here")
    assert location.home() == str(tmp_path / "here")


def test_an_empty_setting_of_the_home_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTCTL_HOME", "")
    with pytest.raises(Usage) as caught:
        location.home()
    assert (caught.value.code, caught.value.exit_code) == ("empty_setting", 2)


@pytest.mark.skipif(not ROOT, reason="for root")
def test_roots_home_is_in_var_lib() -> None:
    assert location.home() == "/var/lib/promptctl"


@linux_user
def test_a_users_home_is_in_the_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert location.home() == "/home/ada/.local/share/promptctl"
    monkeypatch.setenv("XDG_DATA_HOME", "/data/ada")
    assert location.home() == "/data/ada/promptctl"


@linux_user
def test_a_relative_data_directory_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert location.home() == "/home/ada/.local/share/promptctl"


def test_there_is_no_cluster_without_a_home(home: str) -> None:
    assert location.cluster(home) is None


def test_the_cluster_is_the_directory_named_by_the_newest_major_version(short_directory: Path) -> None:
    for name in ("pg9", "pg15", ".pg18", "pg_hba.conf", "pgx"):
        (short_directory / name).mkdir()
    assert location.cluster(str(short_directory)) == str(short_directory / "pg15")


def test_an_error_names_a_home_that_is_a_file(short_directory: Path) -> None:
    (short_directory / "file").touch()
    with pytest.raises(Failed, match="file' cannot hold the embedded database: Not a directory") as caught:
        location.cluster(str(short_directory / "file"))
    assert caught.value.code == "data_directory_unusable"


def test_the_socket_is_in_the_home(home: str) -> None:
    assert location.conninfo(home) == {
        "host": f"{home}/run",
        "port": "5432",
        "user": "promptctl",
        "dbname": "promptctl",
    }


@pytest.mark.parametrize("name", ["l" * 90, "one,two"])
def test_a_home_with_a_long_path_or_a_comma_has_its_socket_in_tmp(short_directory: Path, name: str) -> None:
    home = short_directory / name
    home.mkdir()
    directory = location.conninfo(str(home))["host"]
    assert directory.startswith("/tmp/promptctl-")
    assert len(location.socket_path(str(home))) <= 100
    (short_directory / "link").symlink_to(home)
    assert location.conninfo(f"{short_directory}/link{'/.' * 50}")["host"] == directory


def test_the_longest_socket_path_in_a_home_has_100_bytes(short_directory: Path) -> None:
    rest = 100 - len(f"{short_directory}//run/.s.PGSQL.5432")
    assert location.socket_directory(str(short_directory / ("l" * rest))).startswith(str(short_directory))
    (short_directory / ("é" * (rest // 2 + 1))).mkdir()
    assert location.socket_directory(str(short_directory / ("é" * (rest // 2 + 1)))).startswith("/tmp/promptctl-")


@pytest.mark.parametrize("kind", ["open to others", "link", "file"])
def test_a_socket_directory_that_is_not_private_is_refused(short_directory: Path, kind: str) -> None:
    home = short_directory / ("l" * 90)
    (home / "pg18").mkdir(parents=True)
    directory = Path(location.socket_directory(str(home)))
    try:
        if kind == "link":
            directory.symlink_to(short_directory)
        elif kind == "file":
            directory.touch(0o600)
        else:
            directory.mkdir()
            directory.chmod(0o750)
        with pytest.raises(Failed, match="is not a private directory") as caught:
            location.conninfo(str(home))
        assert caught.value.code == "data_directory_unusable"
    finally:
        directory.rmdir() if kind == "open to others" else directory.unlink()


@pytest.mark.skipif(not ROOT, reason="only root can change the owner of a directory")
def test_a_socket_directory_of_another_user_is_refused(short_directory: Path) -> None:
    home = short_directory / ("l" * 90)
    (home / "pg18").mkdir(parents=True)
    directory = Path(location.socket_directory(str(home)))
    directory.mkdir(mode=0o700)
    try:
        os.chown(directory, 65534, -1)
        with pytest.raises(Failed):
            location.conninfo(str(home))
    finally:
        directory.rmdir()
