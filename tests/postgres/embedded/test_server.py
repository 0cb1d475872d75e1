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


def test_the_first_start_makes_a_cluster_and_says_so_and_the_second_does_nothing(home: str) -> None:
    said: list[str] = []
    server.start(home, create=True, say=said.append)
    assert said == [f"creating the embedded database in {home}"]
    pid = server.status(home).pid
    server.start(home, create=True, say=said.append)
    assert len(said) == 1
    assert server.status(home).pid == pid
    assert query(home, "select current_user || ' ' || current_database()") == "promptctl promptctl"


def test_without_the_call_that_flushes_a_file_system_a_first_start_works_too(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    def cannot(_: str) -> bool:
        return False

    monkeypatch.setattr(binaries, "flush_file_system", cannot)
    server.start(home, create=True)
    assert query(home, "select 1") == "1"


def test_a_start_a_stop_and_a_start_keep_what_was_committed(stopped: str) -> None:
    server.start(stopped, create=False)
    with psycopg.connect(make_conninfo(**location.conninfo(stopped))) as connection:
        connection.execute("create table kept as select 42 as answer")
    assert server.stop(stopped)
    assert not server.stop(stopped)
    server.start(stopped, create=False)
    assert query(stopped, "select answer from kept") == "42"


def test_the_status_tells_what_there_is(home: str, stopped: str, place: Path) -> None:
    assert server.status(str(place / "none")) == server.ServerStatus(
        str(place / "none"), None, None, running=False, pid=None, socket_directory=f"{place}/none/run", binaries=None
    )
    status = server.status(home)
    assert (status.home, status.cluster, status.running, status.pid) == (home, location.cluster(home), False, None)
    assert status.cluster == f"{home}/pg{status.major_version}"
    server.start(stopped, create=False)
    status = server.status(home)
    assert status.running
    assert status.pid
    assert str(status.pid) == Path(home, status.cluster or "", "postmaster.pid").read_text().splitlines()[0]
    assert status.binaries
    assert Path(status.binaries, "postgres").is_file()
    assert Path(status.binaries).is_relative_to(home)
    for program in ("psql", "pg_dump", "pg_restore"):
        done = subprocess.run([f"{status.binaries}/{program}", "--version"], capture_output=True, text=True, check=True)
        assert f"(PostgreSQL) {status.major_version}." in done.stdout


def test_stopping_where_there_is_nothing_is_no_error_and_makes_nothing(home: str) -> None:
    assert not server.stop(home)
    assert not os.path.exists(home)


def test_a_stop_does_not_wait_for_idle_clients(stopped: str) -> None:
    server.start(stopped, create=False)
    connection = psycopg.connect(make_conninfo(**location.conninfo(stopped)))
    connection.execute("select 1")
    assert server.stop(stopped)
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
def test_the_server_has_its_settings(running_once: str, setting: str, value: str) -> None:
    sql = "select datcollate from pg_database where datname = current_database()"
    assert query(running_once, sql if setting == "lc_collate" else f"show {setting}") == value


def test_the_superuser_may_connect_as_another_role(running_once: str) -> None:
    if int(query(running_once, "show server_version_num")) < 160000:
        pytest.skip("PostgreSQL 15 cannot map to all roles")
    with psycopg.connect(make_conninfo(**location.conninfo(running_once))) as connection:
        connection.execute("create role viewer login")
    assert query(running_once, "select current_user", user="viewer") == "viewer"


def test_nobody_else_can_enter_the_cluster_or_reach_the_socket(running_once: str) -> None:
    for directory in (location.cluster(running_once), location.socket_directory(running_once)):
        assert directory
        assert os.stat(directory).st_mode & 0o777 == 0o700


@needs_root
def test_as_root_the_server_is_another_users_and_all_but_two_directories_is_roots(running_once: str) -> None:
    account = account_of(running_once)
    assert account.pw_uid != 0
    theirs = {name for name in os.listdir(running_once) if os.lstat(f"{running_once}/{name}").st_uid == account.pw_uid}
    assert theirs == {Path(location.cluster(running_once) or "").name, "run"}
    for base, directories, files in os.walk(running_once):
        if base == running_once:
            directories[:] = sorted(set(directories) - theirs)
        for name in (*directories, *files):
            path = os.path.join(base, name)
            assert os.path.islink(path) or not os.stat(path).st_mode & 0o022, path


@needs_linux
def test_the_server_gets_nothing_of_the_callers_environment(stopped: str) -> None:
    settings = {"SOME_API_KEY": "secret", "PGDATA": "/nowhere", "PGPORT": "1", "PGUSER": "x", "PGOPTIONS": "-c a.b=c"}
    done = run(f"import os; os.environ.update({settings})\n" + START, stopped)
    assert done.returncode == 0, done.stderr
    environment = Path(f"/proc/{server.status(stopped).pid}/environ").read_bytes()
    assert not [name for name in settings if f"{name}={settings[name]}".encode() in environment]
    assert os.readlink(f"/proc/{server.status(stopped).pid}/cwd") == location.cluster(stopped)


def test_a_caller_that_lives_on_need_not_reap_the_server(stopped: str) -> None:
    server.start(stopped, create=False)
    pid = server.status(stopped).pid
    assert pid
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_the_server_survives_the_terminal_that_it_was_started_from(stopped: str) -> None:
    script = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', sys.argv[1], sys.argv[2]]))"
    done = run(script, START, stopped)
    assert done.returncode == 0, done.stderr + done.stdout
    assert query(stopped, "select 1") == "1"


def test_a_caller_with_closed_or_piped_standard_streams_is_not_kept_waiting(stopped: str) -> None:
    # communicate() in run() ends when nobody holds the pipes any more, so not if the server had them.
    assert run(START, stopped).returncode == 0
    assert run(STOP, stopped).returncode == 0
    assert run("import os; os.closerange(0, 3)\n" + START, stopped).returncode == 0
    assert query(stopped, "select 1") == "1"


def test_twenty_first_starts_at_once_make_one_cluster_and_all_succeed(home: str) -> None:
    script = START + "print(server.status(home).pid)"
    processes = [spawn(script, home) for _ in range(20)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 20, results
    assert len({out for out, _ in results}) == 1
    assert len([name for name in os.listdir(home) if name.lstrip(".").startswith(("pg1", "postgresql-"))]) == 2


def test_starts_and_stops_that_race_leave_a_server_that_starts(stopped: str) -> None:
    processes = [spawn((START + STOP) * 3 if number % 2 else (STOP + START) * 3, stopped) for number in range(4)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    server.start(stopped, create=False)
    assert query(stopped, "select 1") == "1"


def test_a_log_that_has_grown_is_begun_anew_and_kept_once(stopped: str) -> None:
    log = Path(stopped, "server.log")
    log.write_bytes(b"x" * (1 << 20) + b"y")
    server.start(stopped, create=False)
    assert log.stat().st_size < 10_000
    assert log.with_name("server.log.1").read_bytes().endswith(b"xy")


def test_a_statement_that_fails_is_not_in_the_log(stopped: str) -> None:
    server.start(stopped, create=False)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        query(stopped, "select the_text_of_a_prompt")
    assert "the_text_of_a_prompt" not in Path(stopped, "server.log").read_text()


def test_a_missing_database_is_made_again(stopped: str) -> None:
    server.start(stopped, create=False)
    with psycopg.connect(make_conninfo(**location.conninfo(stopped) | {"dbname": "template1"}), autocommit=True) as it:
        it.execute("drop database promptctl")
    server.start(stopped, create=False)
    assert query(stopped, "select count(*) from pg_database where datname in ('promptctl', 'postgres')") == "1"


def test_a_status_while_a_server_comes_up_disturbs_nothing(stopped: str) -> None:
    starter = spawn(START, stopped)
    wait_until(lambda: server.status(stopped).running or starter.poll() is not None, "the server listens")
    assert starter.communicate(timeout=60) == ("", "")
    assert query(stopped, "select 1") == "1"
