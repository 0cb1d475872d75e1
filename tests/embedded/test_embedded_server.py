from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from promptctl.embedded import location, server
from promptctl.errors import Failed
from tests.embedded.support import (
    PRELUDE,
    ROOT,
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
    done = run(START, stopped, **settings)
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


@pytest.mark.parametrize(
    "name", ["it's  50% & (more); #1 prömpt", "a, " + "l" * 100], ids=["quote, spaces, signs", "comma, long"]
)
def test_a_home_with_an_unusual_name_works(place: Path, name: str) -> None:
    home = str(place / name)
    server.start(home, create=True)
    assert query(home, "select 1") == "1"
    assert server.stop(home)
    server.start(home, create=False)
    assert query(home, "select 1") == "1"


@pytest.mark.parametrize("character", ['"', "$", "`", "\\", "\n"])
def test_a_home_with_a_character_that_postgresql_cannot_take_is_refused(place: Path, character: str) -> None:
    home = str(place / f"a{character}b")
    with pytest.raises(Failed, match="the path contains") as caught:
        server.start(home, create=True)
    assert caught.value.code == "data_directory_unusable"
    assert "\n" not in caught.value.message
    assert not os.path.exists(home)


def test_a_home_that_is_a_file_is_refused(home: str) -> None:
    Path(home).touch()
    with pytest.raises(Failed) as caught:
        server.start(home, create=True)
    assert caught.value.code == "data_directory_unusable"
    assert home in caught.value.message


def test_a_home_that_others_may_write_in_is_refused(place: Path, home: str) -> None:
    Path(home).mkdir()
    Path(home, "something").touch()
    Path(home).chmod(0o777)
    with pytest.raises(Failed, match="others may write in it") as caught:
        server.start(home, create=True)
    assert caught.value.code == "data_directory_unusable"
    assert place


def test_an_empty_directory_of_ours_becomes_a_home_whatever_its_mode(home: str) -> None:
    Path(home).mkdir(mode=0o700)
    server.start(home, create=True)
    assert os.stat(home).st_mode & 0o777 == (0o755 if ROOT else 0o700)


@needs_root
def test_as_root_a_home_of_another_users_is_refused(ordinary: tuple[int, str]) -> None:
    uid, directory = ordinary
    assert uid
    with pytest.raises(Failed, match="it belongs to nobody") as caught:
        server.start(directory, create=True)
    assert caught.value.hint == "run as nobody"
    assert os.listdir(directory) == []


@needs_root
def test_as_root_a_home_that_the_server_user_cannot_reach_is_refused(place: Path) -> None:
    private = place / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(Failed, match="cannot reach it"):
        server.start(str(private / "home"), create=True)


def test_a_home_that_is_not_writable_is_an_error_that_names_it(ordinary: tuple[int, str]) -> None:
    uid, directory = ordinary
    os.chmod(directory, 0o500)
    script = PRELUDE + "try: server.start(home, create=True)\nexcept PromptctlError as e: print(e.code, e.message)"
    try:
        done = run(script, f"{directory}/home", uid=uid)
    finally:
        os.chmod(directory, 0o700)
    expected = f"data_directory_unusable '{directory}/home' cannot hold the embedded database: Permission denied\n"
    assert done.stdout == expected, done.stderr


def test_an_ordinary_user_has_a_server_that_root_may_use_too(ordinary: tuple[int, str]) -> None:
    uid, directory = ordinary
    home = f"{directory}/home"
    done = run(START + "print(server.status(home).running)", home, uid=uid)
    assert done.stdout == "True\n", done.stderr
    assert os.stat(home).st_uid == uid
    assert query(home, "select 1") == "1"


@needs_root
def test_an_ordinary_user_cannot_connect_to_roots_server(stopped: str, ordinary: tuple[int, str]) -> None:
    server.start(stopped, create=False)
    script = PRELUDE + (
        "import psycopg\n"
        "try: psycopg.connect(**location.conninfo(home))\n"
        "except psycopg.Error as e: print(location.server_is_absent(str(e)), e)"
    )
    uid = ordinary[0]
    if account_of(stopped).pw_uid == uid:
        pytest.skip("this user is the server's")
    done = run(script, stopped, uid=uid)
    assert done.stdout.startswith("False "), done.stderr
    assert "Permission denied" in done.stdout


def test_on_windows_every_call_names_the_setting(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    for call in (lambda: server.start(home, create=True), lambda: server.stop(home), lambda: server.status(home)):
        with pytest.raises(server.Unreachable) as caught:
            call()
        assert (caught.value.code, caught.value.hint) == ("embedded_unsupported", "set DATABASE_URL")


def test_a_status_while_a_server_comes_up_disturbs_nothing(stopped: str) -> None:
    starter = spawn(START, stopped)
    wait_until(lambda: server.status(stopped).running or starter.poll() is not None, "the server listens")
    assert starter.communicate(timeout=60) == ("", "")
    assert query(stopped, "select 1") == "1"
