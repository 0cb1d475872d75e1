from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from promptctl.errors import Failed
from promptctl.postgres.embedded import binaries, location, server
from tests.postgres.embedded.support import START, account_of, kill_server, needs_root, query, run, spawn, wait_until


def test_a_start_after_a_killed_postmaster_keeps_the_data(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    with psycopg.connect(make_conninfo(**location.conninfo(stopped_home))) as connection:
        connection.execute("create table kept as select 42 as answer")
    killed_pid = kill_server(stopped_home)
    server.start(stopped_home, create=False)
    assert server.status(stopped_home).pid != killed_pid
    assert query(stopped_home, "select answer from kept") == "42"


def test_a_killed_server_with_clients_is_started_again(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    connection = psycopg.connect(make_conninfo(**location.conninfo(stopped_home)))
    connection.execute("select 1")
    kill_server(stopped_home)
    server.start(stopped_home, create=False)
    connection.close()
    assert query(stopped_home, "select 1") == "1"


def test_a_stop_after_a_killed_postmaster_succeeds(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    kill_server(stopped_home)
    server.stop(stopped_home)  # True or False: its last process may have just ended
    assert not server.status(stopped_home).running


def _copying_has_begun(home: Path) -> object:
    return any(home.glob(".postgresql-*"))


def _initdb_has_begun(home: Path) -> object:
    return any(home.glob(".pg1*"))


def _initdb_is_half_done(home: Path) -> object:
    return any(home.glob(".pg1*/base/1/*"))


def _the_cluster_exists(home: Path) -> object:
    return location.cluster(str(home)) if home.exists() else None


def _the_server_has_begun(home: Path) -> object:
    return (home / "server.log").exists()


@pytest.mark.parametrize(
    "step", [_copying_has_begun, _initdb_has_begun, _initdb_is_half_done, _the_cluster_exists, _the_server_has_begun]
)
def test_a_first_start_that_is_killed_at_any_step_can_be_repeated(home: str, step: Callable[[Path], object]) -> None:
    starter = spawn(START, home)
    wait_until(lambda: step(Path(home)), step.__name__)
    starter.kill()
    starter.communicate()
    server.start(home, create=True)
    assert query(home, "select 1") == "1"
    assert not [name for name in os.listdir(home) if name.startswith(".")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes directories for another user")
def test_an_interrupted_change_of_owner_of_the_socket_directory_is_repeated(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chown = os.chown

    def interrupt(path: str, *owner: int, **options: bool) -> None:
        if "run" in os.path.basename(path):
            raise KeyboardInterrupt
        chown(path, *owner, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "chown", interrupt)
        with pytest.raises(KeyboardInterrupt):
            server.start(home, create=True)
    server.start(home, create=True)
    assert query(home, "select 1") == "1"


def test_an_interrupted_first_start_leaves_no_process_and_can_be_repeated(home: str) -> None:
    starter = spawn(START, home)
    wait_until(lambda: _initdb_has_begun(Path(home)), "initdb begins")
    starter.send_signal(signal.SIGINT)
    _, err = starter.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    lock = Path(home, "server.lock")
    wait_until(lambda: subprocess.run(["flock", "-n", str(lock), "true"], check=False).returncode == 0, "lock is free")
    server.start(home, create=True)
    assert query(home, "select 1") == "1"


def _write_pid_file(home: str, content: str) -> None:
    cluster = location.cluster(home)
    assert cluster
    path = Path(cluster, "postmaster.pid")
    path.write_text(content.replace("CLUSTER", cluster))
    account = account_of(home)
    os.chown(path, account.pw_uid, account.pw_gid)


@pytest.mark.parametrize("content", ["", "12", "-1\n", "PID\n", "PID\nCLUSTER\n1\n5432\n/tmp\n\n1 1\nready   \n"])
def test_a_truncated_or_outdated_process_id_file_does_not_prevent_a_start(stopped_home: str, content: str) -> None:
    account = account_of(stopped_home)
    sleeper = subprocess.Popen(["sleep", "60"], user=account.pw_uid if os.geteuid() == 0 else None)
    try:
        _write_pid_file(stopped_home, content.replace("PID", str(sleeper.pid)))
        socket_lock = Path(stopped_home, "run", ".s.PGSQL.5432.lock")
        socket_lock.write_text(f"{sleeper.pid}\n")
        os.chown(socket_lock, account.pw_uid, account.pw_gid)
        assert not server.stop(stopped_home)
        server.start(stopped_home, create=False)
        assert query(stopped_home, "select 1") == "1"
        assert server.stop(stopped_home)
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_files_of_an_interrupted_creation_are_removed(stopped_home: str) -> None:
    account = account_of(stopped_home)
    for name in (".pg18", ".postgresql-18.6"):
        Path(stopped_home, name, "base").mkdir(parents=True)
        Path(stopped_home, name, "base", "1").write_text("x")
    for path in (Path(stopped_home, ".pg18"), Path(stopped_home, ".pg18/base"), Path(stopped_home, ".pg18/base/1")):
        os.chown(path, account.pw_uid, account.pw_gid)
    server.start(stopped_home, create=False)
    assert not [name for name in os.listdir(stopped_home) if name.startswith(".")]


def test_the_server_runs_after_the_directory_of_its_programs_is_removed(
    monkeypatch: pytest.MonkeyPatch, short_directory: Path, home: str
) -> None:
    supplier = binaries.find()
    assert supplier
    programs = Path(supplier.directory)
    if programs.parts[-2:] != ("pginstall", "bin"):
        pytest.skip("the embedded extra is not installed")
    package = programs.parent.parent
    site = short_directory / "site"
    shutil.copytree(programs.parent, site / package.name / "pginstall", ignore=shutil.ignore_patterns("include", "*.a"))
    if package.with_name(package.name + ".libs").is_dir():
        shutil.copytree(package.with_name(package.name + ".libs"), site / f"{package.name}.libs")
    monkeypatch.setenv("PROMPTCTL_PG_BIN", str(site / package.name / "pginstall" / "bin"))
    server.start(home, create=True)
    shutil.rmtree(site)
    monkeypatch.delenv("PROMPTCTL_PG_BIN")
    monkeypatch.setattr(binaries, "PACKAGES", ())
    monkeypatch.setattr(binaries, "DEBIAN_DIRECTORY", "/nowhere")
    monkeypatch.setenv("PATH", "/bin")
    for _ in range(2):
        zone = "select timestamptz '2026-07-01 12:00Z' at time zone 'Europe/Amsterdam'"
        assert query(home, zone) == "2026-07-01 14:00:00"
        assert query(home, "select to_tsvector('english', 'prompts')") == "'prompt':1"
        assert server.stop(home)
        server.start(home, create=False)


def test_a_failed_start_reports_its_reason_in_one_line(stopped_home: str) -> None:
    cluster = location.cluster(stopped_home)
    assert cluster
    os.rename(f"{cluster}/global/pg_control", f"{cluster}/global/pg_control.away")
    with pytest.raises(Failed) as caught:
        server.start(stopped_home, create=False)
    assert caught.value.code == "embedded_start_failed"
    assert "could not find the database system" in caught.value.message or "pg_control" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint == f"see {stopped_home}/server.log"


def test_a_server_whose_socket_is_lost_can_be_stopped(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    os.unlink(location.socket_path(stopped_home))
    assert not server.status(stopped_home).running
    assert server.stop(stopped_home)
    server.start(stopped_home, create=False)
    assert query(stopped_home, "select 1") == "1"


@pytest.fixture
def small_disk(short_directory: Path) -> Iterator[Callable[[int], Path]]:
    """Return a function that mounts a file system with a size in megabytes."""
    disk = short_directory / "disk"

    def mount(megabytes: int) -> Path:
        disk.mkdir()
        result = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "none", disk],
            check=False,
            capture_output=True,
        )
        if result.returncode != 0:
            disk.rmdir()
            pytest.skip("no file system can be mounted here")
        return disk

    yield mount
    if disk.exists():
        server.stop(str(disk / "home"))
        subprocess.run(["umount", disk], check=True)


@needs_root
@pytest.mark.parametrize("megabytes", [4, 40], ids=["while copying", "in initdb"])
def test_a_disk_that_is_too_small_is_an_error_of_one_line_without_leftovers(
    small_disk: Callable[[int], Path], megabytes: int
) -> None:
    home = small_disk(megabytes) / "home"
    with pytest.raises(Failed, match=r"(?i)no space left on") as caught:
        server.start(str(home), create=True)
    assert "\n" not in caught.value.message
    assert location.cluster(str(home)) is None
    assert not [name for name in os.listdir(home) if name.startswith(".")]


def _fill(path: Path, size: int) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(size))


@needs_root
def test_a_start_on_a_full_disk_fails_until_there_is_space(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(120)
    home = str(disk / "home")
    server.start(home, create=True)
    server.stop(home)
    for name, size in (("filler", 1 << 20), ("rest", 4096)):
        with pytest.raises(OSError, match="No space left"):
            _fill(disk / name, size)
    with pytest.raises(Failed, match=r"(?i)no space left on device") as caught:
        server.start(home, create=False)
    assert "\n" not in caught.value.message
    (disk / "filler").unlink()
    server.start(home, create=False)
    assert query(home, "select 1") == "1"


def test_a_first_start_without_programs_can_be_repeated_with_them(short_directory: Path, home: str) -> None:
    script = (
        "from promptctl.postgres.embedded import binaries\n"
        "binaries.PACKAGES, binaries.DEBIAN_DIRECTORY = (), '/nowhere'\n" + START
    )
    result = run(script, home, PATH=str(short_directory), PROMPTCTL_HOME=home)
    assert "no PostgreSQL 15 or newer was found" in result.stderr
    assert run(START, home).returncode == 0
    assert query(home, "select 1") == "1"
