"""Whether a server that cannot be reached is absent: decided by its socket, not by messages that may be translated."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from promptctl.postgres.embedded import location, server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GERMAN = "Verbindung zum Server fehlgeschlagen: Datei oder Verzeichnis nicht gefunden"


def test_without_a_listening_socket_the_server_is_absent(short_directory: Path) -> None:
    (short_directory / "run").mkdir()
    for message in (GERMAN, "", "No such file or directory", "timeout expired"):
        assert server.is_absent(str(short_directory), message)
    with socket.socket(socket.AF_UNIX) as unused_socket:
        unused_socket.bind(location.socket_path(str(short_directory)))
    assert server.is_absent(str(short_directory), GERMAN)


@pytest.mark.parametrize("state", ["starting up", "shutting down", "in recovery mode"])
def test_a_server_that_starts_or_stops_is_absent(running_home: str, state: str) -> None:
    assert server.is_absent(running_home, f"connection failed: FATAL:  the database system is {state}")


@pytest.mark.parametrize(
    "message",
    [
        "FATAL:  sorry, too many clients already",
        'FATAL:  role "u" does not exist',
        'FATAL:  database "other" does not exist',
        'FATAL:  Peer authentication failed for user "promptctl"',
        GERMAN,
        "",
    ],
)
def test_a_ready_server_is_not_absent_whatever_the_error_is(running_home: str, message: str) -> None:
    assert not server.is_absent(running_home, message)


def test_a_command_starts_the_server_in_any_language(stopped_home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq translates its messages, so their text must not be compared."""
    from promptctl.postgres import connecting, ctypes_pq
    from promptctl.postgres.connection import Connection, ConnectionFailed

    connect = ctypes_pq.connect

    def connect_in_german(parameters: Mapping[str, str], *, light: bool = False) -> Connection:
        try:
            return connect(parameters, light=light)
        except ConnectionFailed as failure:
            if "FATAL" in str(failure):
                raise
            raise ConnectionFailed(GERMAN) from None

    monkeypatch.setattr(ctypes_pq, "connect", connect_in_german)
    monkeypatch.setenv("PROMPTCTL_HOME", stopped_home)
    for name in ("DATABASE_URL", "PROMPTCTL_DATABASE_URL", *(name for name in os.environ if name.startswith("PG"))):
        monkeypatch.delenv(name, raising=False)
    with connecting.connect(None) as database:
        assert database.run_unchecked("select 1") == [(1,)]
