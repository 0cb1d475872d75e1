"""The embedded server on a TCP port: who can connect, who can read the password, and what a later start keeps."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from promptctl.errors import Failed, Refused, Usage
from promptctl.postgres.embedded import listening, location, server
from promptctl.postgres.embedded.listening import Listening
from tests.postgres.embedded.support import PRELUDE, REPOSITORY, needs_linux, needs_root, query, run, spawn

NO_SOCKET = "FATAL:  could not create any TCP/IP sockets\n"
FORMS = "write 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or off"
NO_TLS = "the embedded server has no TLS, so it listens only on 127.0.0.1 and [::1]"
START_LISTENING = PRELUDE + "server.start(home, create=True, listen=sys.argv[2])\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _stored(home: str) -> Listening:
    stored = listening.read(home)
    assert stored
    return stored


def _connect(home: str, **changes: str) -> psycopg.Connection:
    """Connect over TCP with what is stored, except for `changes`."""
    stored = _stored(home)
    keywords = {
        "host": stored.host, "port": str(stored.port), "user": "promptctl", "dbname": "promptctl",
        "password": stored.password, "passfile": "/dev/null",
    }  # fmt: skip
    return psycopg.connect(make_conninfo(**{**keywords, **changes}))


@pytest.fixture
def listening_home(stopped_home: str) -> str:
    """A home whose server runs and listens on a free port."""
    server.start(stopped_home, create=False, listen=f"127.0.0.1:{_free_port()}")
    return stopped_home


def test_the_password_is_needed_on_tcp_and_not_on_the_socket(
    listening_home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with _connect(listening_home) as connection:
        assert connection.execute("select current_user").fetchone() == ("promptctl",)
        connection.execute("create role ada login password 'hers'")
    with _connect(listening_home, user="ada", password="hers") as connection:
        assert connection.execute("select current_user").fetchone() == ("ada",)
    for password, reason in (("", "no password supplied"), ("wrong", "password authentication failed")):
        with pytest.raises(psycopg.OperationalError, match=reason):
            _connect(listening_home, password=password)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _connect(listening_home, user="postgres")
    with _connect(listening_home, require_auth="scram-sha-256") as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
    assert query(listening_home, "select current_user") == "promptctl"


def test_only_the_owner_can_read_the_password(listening_home: str) -> None:
    path = Path(listening_home, "listen")
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, os.geteuid())
    password = _stored(listening_home).password
    others = [other for other in Path(listening_home).glob("*.*") if other.is_file() and other != path]
    assert {"server.log", "postgresql.conf", "pg_hba.conf"} <= {other.name for other in others}
    assert not [other.name for other in others if password.encode() in other.read_bytes()]
    assert password not in query(listening_home, "select string_agg(rolpassword, ' ') from pg_authid")


@needs_root
def test_another_user_cannot_read_the_password(listening_home: str, ordinary_user: tuple[int, str]) -> None:
    script = PRELUDE + "print(os.path.exists(home))\nopen(home + '/listen')\n"
    result = run(script, listening_home, uid=ordinary_user[0])
    assert (result.returncode, result.stdout) == (1, "True\n")
    assert "PermissionError" in result.stderr
    cluster = location.cluster(listening_home)
    assert cluster
    result = run(script, listening_home, uid=os.stat(cluster).st_uid)  # the user that runs the server
    assert "PermissionError" in result.stderr


@needs_linux
def test_no_command_line_has_the_password(listening_home: str) -> None:
    password = _stored(listening_home).password.encode()
    pid = server.status(listening_home).pid
    assert pid
    assert b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    for name in ("cmdline", "environ"):
        assert password not in Path(f"/proc/{pid}/{name}").read_bytes()


def test_later_starts_keep_the_address_and_the_password(listening_home: str) -> None:
    before = _stored(listening_home)
    assert server.stop(listening_home)
    assert server.status(listening_home).address == before.address
    server.start(listening_home, create=False)
    assert _stored(listening_home) == before
    _connect(listening_home).close()
    assert server.stop(listening_home)
    server.start(listening_home, create=False, listen=f"localhost:{(port := _free_port())}")
    assert _stored(listening_home) == Listening("127.0.0.1", port, before.password)
    _connect(listening_home).close()
    assert query(listening_home, "select 1") == "1"


def test_off_removes_the_port_and_the_password(listening_home: str) -> None:
    before = _stored(listening_home)
    server.stop(listening_home)
    server.start(listening_home, create=False, listen="off")
    assert (listening.read(listening_home), server.status(listening_home).address) == (None, None)
    assert not Path(listening_home, "listen").exists()
    assert query(listening_home, "select rolpassword is null from pg_authid where rolname = 'promptctl'") == "True"
    assert "127.0.0.1" not in Path(listening_home, "pg_hba.conf").read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((before.host, before.port)).close()
    server.stop(listening_home)
    server.start(listening_home, create=False, listen=before.address)
    assert _stored(listening_home).password != before.password


def test_a_running_server_is_not_changed(listening_home: str) -> None:
    before, pid = _stored(listening_home), server.status(listening_home).pid
    server.start(listening_home, create=False, listen=before.address)
    for listen in ("off", "127.0.0.1:1", f"[::1]:{before.port}"):
        with pytest.raises(Refused) as caught:
            server.start(listening_home, create=False, listen=listen)
        assert (caught.value.code, caught.value.hint) == ("embedded_running", "promptctl db stop")
        assert f"listens on {before.address}" in caught.value.message
    assert (_stored(listening_home), server.status(listening_home).pid) == (before, pid)


def test_a_running_server_without_a_port_gets_none(running_home: str) -> None:
    server.start(running_home, create=False, listen="off")
    with pytest.raises(Refused) as caught:
        server.start(running_home, create=False, listen="127.0.0.1:5433")
    assert caught.value.code == "embedded_running"
    assert "does not listen on TCP" in caught.value.message
    assert listening.read(running_home) is None


@pytest.mark.parametrize("same", [True, False], ids=["same address", "two addresses"])
def test_of_two_starts_at_once_the_second_changes_nothing(stopped_home: str, same: bool) -> None:
    first = f"127.0.0.1:{_free_port()}"
    second = first if same else f"127.0.0.1:{_free_port()}"
    processes = [spawn(START_LISTENING, stopped_home, address) for address in (first, second)]
    endings = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    codes = sorted(code for _, code in endings)
    assert codes == ([0, 0] if same else [0, 1]), endings
    winner = second if endings[0][1] else first
    assert _stored(stopped_home).address == winner
    assert same or any("the embedded server is running and listens on" in errors for errors, _ in endings)
    _connect(stopped_home).close()


def test_a_port_in_use_is_an_error_and_no_setting_changes(listening_home: str) -> None:
    before = _stored(listening_home)
    server.stop(listening_home)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Failed) as caught:
            server.start(listening_home, create=False, listen=address)
    assert (caught.value.code, caught.value.exit_code) == ("address_unavailable", 1)
    assert caught.value.message.endswith(f"cannot listen on {address}: Address already in use")
    assert _stored(listening_home) == before
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((before.host, before.port))
        taken.listen()
        with pytest.raises(Failed) as caught:
            server.start(listening_home, create=False)
        assert (caught.value.code, before.address in caught.value.message) == ("address_unavailable", True)
        assert caught.value.hint
        assert caught.value.hint.endswith("promptctl db start --listen off")
        server.start(listening_home, create=False, listen="off")
    assert query(listening_home, "select 1") == "1"


def test_an_interrupted_change_can_be_repeated(stopped_home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    address = f"127.0.0.1:{_free_port()}"
    with monkeypatch.context() as patch:
        patch.setattr(listening, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            server.start(stopped_home, create=False, listen=address)
    assert listening.read(stopped_home) is None
    server.stop(stopped_home)
    server.start(stopped_home, create=False, listen=address)
    _connect(stopped_home).close()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
def test_a_server_can_listen_on_ipv6(stopped_home: str) -> None:
    port = _free_port()
    server.start(stopped_home, create=False, listen=f"[::1]:{port}")
    assert server.status(stopped_home).address == f"[::1]:{port}"
    with _connect(stopped_home) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("::1",)
    with pytest.raises(psycopg.OperationalError):
        _connect(stopped_home, password="wrong")


def _can_unshare() -> bool:
    return bool(shutil.which("unshare")) and subprocess.run(["unshare", "-n", "true"], check=False).returncode == 0


@needs_root
@needs_linux
@pytest.mark.skipif(not _can_unshare(), reason="no network namespaces here")
def test_ipv6_that_is_off_is_an_error(stopped_home: str) -> None:
    # A new network namespace has no address ::1, because its loopback interface is down.
    result = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", START_LISTENING, stopped_home, "[::1]:5433"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "cannot listen on [::1]:5433: Cannot assign requested address" in result.stderr
    assert listening.read(stopped_home) is None


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            'LOG:  could not create IPv6 socket for address "::1": Address family not supported by protocol\n'
            + NO_SOCKET,
            "Address family not supported by protocol",
        ),
        ('LOG:  could not bind IPv4 address "127.0.0.1": Permission denied\n' + NO_SOCKET, "Permission denied"),
        (NO_SOCKET, "its log has no reason"),
        ('FATAL:  could not open file "x": Permission denied\n', None),
    ],
)  # fmt: skip
def test_the_log_tells_why_an_address_is_unavailable(log: str, reason: str | None) -> None:
    assert listening.refusal(log) == reason


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:65535", "[::1]:5433"])
def test_a_loopback_address_is_accepted(address: str) -> None:
    parsed = listening.parse(address)
    assert parsed
    assert parsed.address == address
    assert len(parsed.password) == 32
    assert parsed.password not in repr(parsed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *[(text, f'invalid --listen "{text}": {FORMS}')
          for text in ("", "on", "5433", ":5433", "127.0.0.1", "::1", "::1:5433", "[::1]", ":::5433")],
        *[(text, f'invalid --listen "{text}": {NO_TLS}')
          for text in ("0.0.0.0:5433", "[::]:5433", "192.168.1.7:5433", "db.example:5433", "127.0.0.2:5433",
                       "127.1:5433", "*:5433", "[::ffff:127.0.0.1]:5433", "LOCALHOST.evil:5433")],
        *[(f"127.0.0.1:{port}", f'invalid port "{port}" in --listen: use 1 to 65535')
          for port in ("", "0", "65536", "-1", "+1", " 5433", "http", "٥٤٣٣", "000005433")],
    ],
)  # fmt: skip
def test_another_address_is_refused_and_creates_nothing(home: str, text: str, message: str) -> None:
    with pytest.raises(Usage) as caught:
        server.start(home, create=True, listen=text)
    assert (caught.value.code, caught.value.message) == ("usage", message)
    assert not Path(home).exists()


@pytest.mark.parametrize(
    "content", ["", "127.0.0.1:5433\n", "0.0.0.0:5433\nsecret\n", "127.0.0.1:x\nsecret\n", "a\nb\nc\n"]
)
def test_a_damaged_setting_stops_the_start(stopped_home: str, content: str) -> None:
    Path(stopped_home, "listen").write_text(content)
    with pytest.raises(Failed) as caught:
        server.start(stopped_home, create=False)
    assert (caught.value.code, "it is damaged" in caught.value.message) == ("data_directory_unusable", True)
    Path(stopped_home, "listen").unlink()
    assert not server.status(stopped_home).running
    server.start(stopped_home, create=False)
