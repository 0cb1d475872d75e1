from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from promptctl.errors import Failed, Usage
from promptctl.postgres.embedded import location
from tests.postgres.embedded.support import ROOT, run

linux_user = pytest.mark.skipif(ROOT or not sys.platform.startswith("linux"), reason="an ordinary user's on Linux")


def test_importing_the_location_loads_nothing_beyond_os_and_sys() -> None:
    script = "import sys; before = set(sys.modules); import promptctl.postgres.embedded.location\n"
    done = run(script + "print(*sorted(set(sys.modules) - before))")
    ours = {
        "promptctl",
        "promptctl.postgres",
        "promptctl.postgres.embedded",
        "promptctl.postgres.embedded.location",
        "promptctl.errors",
    }
    assert set(done.stdout.split()) <= ours | {"__future__"}, done.stderr


def test_the_home_is_the_setting_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTCTL_HOME", "here")
    assert location.home() == str(tmp_path / "here")


def test_a_home_set_to_nothing_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTCTL_HOME", "")
    with pytest.raises(Usage) as caught:
        location.home()
    assert (caught.value.code, caught.value.exit_code) == ("empty_setting", 2)


@pytest.mark.skipif(not ROOT, reason="root's")
def test_the_home_of_root_is_in_var_lib() -> None:
    assert location.home() == "/var/lib/promptctl"


@linux_user
def test_the_home_of_a_user_is_in_the_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_cluster_is_the_directory_named_by_the_newest_major_version(place: Path) -> None:
    for name in ("pg9", "pg15", ".pg18", "pg_hba.conf", "pgx"):
        (place / name).mkdir()
    assert location.cluster(str(place)) == str(place / "pg15")


def test_a_home_that_is_a_file_is_an_error_that_names_it(place: Path) -> None:
    (place / "file").touch()
    with pytest.raises(Failed, match="file' cannot hold the embedded database: Not a directory") as caught:
        location.cluster(str(place / "file"))
    assert caught.value.code == "data_directory_unusable"


def test_the_socket_is_in_the_home(home: str) -> None:
    assert location.conninfo(home) == {
        "host": f"{home}/run",
        "port": "5432",
        "user": "promptctl",
        "dbname": "promptctl",
    }


@pytest.mark.parametrize("name", ["l" * 90, "one,two"])
def test_the_socket_of_a_home_that_is_too_long_or_has_a_comma_is_elsewhere(place: Path, name: str) -> None:
    home = place / name
    home.mkdir()
    directory = location.conninfo(str(home))["host"]
    assert directory.startswith("/tmp/promptctl-")
    assert len(location.socket_path(str(home))) <= 100
    (place / "link").symlink_to(home)
    assert location.conninfo(f"{place}/link{'/.' * 50}")["host"] == directory


def test_the_longest_socket_path_in_a_home_has_100_bytes(place: Path) -> None:
    rest = 100 - len(f"{place}//run/.s.PGSQL.5432")
    assert location.socket_directory(str(place / ("l" * rest))).startswith(str(place))
    (place / ("é" * (rest // 2 + 1))).mkdir()
    assert location.socket_directory(str(place / ("é" * (rest // 2 + 1)))).startswith("/tmp/promptctl-")


@pytest.mark.parametrize("kind", ["open to others", "link", "file"])
def test_a_socket_directory_that_somebody_else_may_have_made_is_refused(place: Path, kind: str) -> None:
    home = place / ("l" * 90)
    (home / "pg18").mkdir(parents=True)
    directory = Path(location.socket_directory(str(home)))
    try:
        if kind == "link":
            directory.symlink_to(place)
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


@pytest.mark.skipif(not ROOT, reason="only root can give a directory away")
def test_a_socket_directory_of_another_user_is_refused(place: Path) -> None:
    home = place / ("l" * 90)
    (home / "pg18").mkdir(parents=True)
    directory = Path(location.socket_directory(str(home)))
    directory.mkdir(mode=0o700)
    try:
        os.chown(directory, 65534, -1)
        with pytest.raises(Failed):
            location.conninfo(str(home))
    finally:
        directory.rmdir()
