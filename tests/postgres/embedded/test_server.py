from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from promptctl.postgres.embedded import binaries, location, server
from tests.postgres.embedded.support import (
    START,
    STOP,
    account_of,
    needs_linux,
    needs_root,
    query,
    run,
    spawn,
    wait_until,
)


def test_the_first_start_reports_a_new_cluster_and_the_second_does_nothing(home: str) -> None:
    messages: list[str] = []
    server.start(home, create=True, say=messages.append)
    assert messages == [f"creating the embedded database in {home}"]
    pid = server.status(home).pid
    server.start(home, create=True, say=messages.append)
    assert len(messages) == 1
    assert server.status(home).pid == pid
    assert query(home, "select current_user || ' ' || current_database()") == "promptctl promptctl"


def test_a_first_start_works_without_flushing_the_file_system(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    def fail_to_flush(_: str) -> bool:
        return False

    monkeypatch.setattr(binaries, "flush_file_system", fail_to_flush)
    server.start(home, create=True)
    assert query(home, "select 1") == "1"


def test_committed_data_survives_a_stop_and_a_start(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    with psycopg.connect(make_conninfo(**location.conninfo(stopped_home))) as connection:
        connection.execute("create table kept as select 42 as answer")
    assert server.stop(stopped_home)
    assert not server.stop(stopped_home)
    server.start(stopped_home, create=False)
    assert query(stopped_home, "select answer from kept") == "42"


def test_the_status_describes_the_cluster_server_and_programs(
    home: str, stopped_home: str, short_directory: Path
) -> None:
    assert server.status(str(short_directory / "none")) == server.ServerStatus(
        str(short_directory / "none"),
        None,
        None,
        running=False,
        pid=None,
        socket_directory=f"{short_directory}/none/run",
        binaries=None,
    )
    status = server.status(home)
    assert (status.home, status.cluster, status.running, status.pid) == (home, location.cluster(home), False, None)
    assert status.cluster == f"{home}/pg{status.major_version}"
    server.start(stopped_home, create=False)
    status = server.status(home)
    assert status.running
    assert status.pid
    assert str(status.pid) == Path(home, status.cluster or "", "postmaster.pid").read_text().splitlines()[0]
    assert status.binaries
    assert Path(status.binaries, "postgres").is_file()
    assert Path(status.binaries).is_relative_to(home)
    for program in ("psql", "pg_dump", "pg_restore"):
        result = subprocess.run(
            [f"{status.binaries}/{program}", "--version"], capture_output=True, text=True, check=True
        )
        assert f"(PostgreSQL) {status.major_version}." in result.stdout


def test_stopping_without_a_home_succeeds_and_creates_nothing(home: str) -> None:
    assert not server.stop(home)
    assert not os.path.exists(home)


def test_a_stop_does_not_wait_for_idle_clients(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    connection = psycopg.connect(make_conninfo(**location.conninfo(stopped_home)))
    connection.execute("select 1")
    assert server.stop(stopped_home)
    connection.close()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("dynamic_shared_memory_type", "mmap"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("data_checksums", "on"),
        ("TimeZone", "UTC"),
    ],
)
def test_the_server_has_its_settings(running_home: str, setting: str, value: str) -> None:
    sql = "select datcollate from pg_database where datname = current_database()"
    assert query(running_home, sql if setting == "lc_collate" else f"show {setting}") == value


def test_the_superuser_may_connect_as_another_role(running_home: str) -> None:
    if int(query(running_home, "show server_version_num")) < 160000:
        pytest.skip("PostgreSQL 15 cannot map to all roles")
    with psycopg.connect(make_conninfo(**location.conninfo(running_home))) as connection:
        connection.execute("create role viewer login")
    assert query(running_home, "select current_user", user="viewer") == "viewer"


def test_other_users_cannot_access_the_cluster_or_the_socket(running_home: str) -> None:
    for directory in (location.cluster(running_home), location.socket_directory(running_home)):
        assert directory
        assert os.stat(directory).st_mode & 0o777 == 0o700


@needs_root
def test_under_root_the_servers_user_owns_only_two_directories(running_home: str) -> None:
    account = account_of(running_home)
    assert account.pw_uid != 0
    server_owned = {
        name for name in os.listdir(running_home) if os.lstat(f"{running_home}/{name}").st_uid == account.pw_uid
    }
    assert server_owned == {Path(location.cluster(running_home) or "").name, "run"}
    for base, directories, files in os.walk(running_home):
        if base == running_home:
            directories[:] = sorted(set(directories) - server_owned)
        for name in (*directories, *files):
            path = os.path.join(base, name)
            assert os.path.islink(path) or not os.stat(path).st_mode & 0o022, path


@needs_linux
def test_the_server_does_not_inherit_the_callers_environment(stopped_home: str) -> None:
    settings = {"SOME_API_KEY": "secret", "PGDATA": "/nowhere", "PGPORT": "1", "PGUSER": "x", "PGOPTIONS": "-c a.b=c"}
    result = run(f"import os; os.environ.update({settings})\n" + START, stopped_home)
    assert result.returncode == 0, result.stderr
    environment = Path(f"/proc/{server.status(stopped_home).pid}/environ").read_bytes()
    assert not [name for name in settings if f"{name}={settings[name]}".encode() in environment]
    assert os.readlink(f"/proc/{server.status(stopped_home).pid}/cwd") == location.cluster(stopped_home)


def test_the_server_is_not_a_child_of_its_caller(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    pid = server.status(stopped_home).pid
    assert pid
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_the_server_survives_its_callers_terminal(stopped_home: str) -> None:
    script = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', sys.argv[1], sys.argv[2]]))"
    result = run(script, START, stopped_home)
    assert result.returncode == 0, result.stderr + result.stdout
    assert query(stopped_home, "select 1") == "1"


def test_a_caller_with_closed_or_piped_standard_streams_does_not_hang(stopped_home: str) -> None:
    # communicate() in run() waits until all processes have closed the pipes, so it hangs if the server inherits them.
    assert run(START, stopped_home).returncode == 0
    assert run(STOP, stopped_home).returncode == 0
    assert run("import os; os.closerange(0, 3)\n" + START, stopped_home).returncode == 0
    assert query(stopped_home, "select 1") == "1"


def test_twenty_concurrent_first_starts_succeed_with_one_cluster(home: str) -> None:
    script = START + "print(server.status(home).pid)"
    processes = [spawn(script, home) for _ in range(20)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 20, results
    assert len({out for out, _ in results}) == 1
    assert len([name for name in os.listdir(home) if name.lstrip(".").startswith(("pg1", "postgresql-"))]) == 2


def test_concurrent_starts_and_stops_leave_a_server_that_starts(stopped_home: str) -> None:
    processes = [spawn((START + STOP) * 3 if number % 2 else (STOP + START) * 3, stopped_home) for number in range(4)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    server.start(stopped_home, create=False)
    assert query(stopped_home, "select 1") == "1"


def test_a_large_log_is_rotated_once(stopped_home: str) -> None:
    log = Path(stopped_home, "server.log")
    log.write_bytes(b"x" * (1 << 20) + b"y")
    server.start(stopped_home, create=False)
    assert log.stat().st_size < 10_000
    assert log.with_name("server.log.1").read_bytes().endswith(b"xy")


def test_a_failed_statement_is_not_logged(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        query(stopped_home, "select the_text_of_a_prompt")
    assert "the_text_of_a_prompt" not in Path(stopped_home, "server.log").read_text()


def test_a_missing_database_is_created_again(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    with psycopg.connect(
        make_conninfo(**location.conninfo(stopped_home) | {"dbname": "template1"}), autocommit=True
    ) as sql:
        sql.execute("drop database promptctl")
    server.start(stopped_home, create=False)
    assert query(stopped_home, "select count(*) from pg_database where datname in ('promptctl', 'postgres')") == "1"


def test_reading_the_status_does_not_disturb_a_start(stopped_home: str) -> None:
    starter = spawn(START, stopped_home)
    wait_until(lambda: server.status(stopped_home).running or starter.poll() is not None, "the server listens")
    assert starter.communicate(timeout=60) == ("", "")
    assert query(stopped_home, "select 1") == "1"
