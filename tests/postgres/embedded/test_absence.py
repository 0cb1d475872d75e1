"""Whether a server that cannot be reached is to be started: by who listens, and in no language but the server's."""

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


def test_a_missing_socket_and_one_that_nobody_listens_on_mean_absent(place: Path) -> None:
    (place / "run").mkdir()
    for message in (GERMAN, "", "No such file or directory", "timeout expired"):
        assert server.is_absent(str(place), message)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(location.socket_path(str(place)))
    assert server.is_absent(str(place), GERMAN)


@pytest.mark.parametrize("state", ["starting up", "shutting down", "in recovery mode"])
def test_a_server_that_comes_or_goes_counts_as_absent(running_once: str, state: str) -> None:
    assert server.is_absent(running_once, f"connection failed: FATAL:  the database system is {state}")


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
def test_a_server_that_listens_and_is_ready_is_not_started_whatever_was_wrong(running_once: str, message: str) -> None:
    assert not server.is_absent(running_once, message)


def test_a_command_in_another_language_starts_the_server(stopped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq translates its messages: the text of none of them is compared."""
    from promptctl.postgres import connecting, ctypes_pq
    from promptctl.postgres.connection import Connection, ConnectionFailed

    connect = ctypes_pq.connect

    def in_german(parameters: Mapping[str, str], *, light: bool = False) -> Connection:
        try:
            return connect(parameters, light=light)
        except ConnectionFailed as failure:
            if "FATAL" in str(failure):
                raise
            raise ConnectionFailed(GERMAN) from None

    monkeypatch.setattr(ctypes_pq, "connect", in_german)
    monkeypatch.setenv("PROMPTCTL_HOME", stopped)
    for name in ("DATABASE_URL", "PROMPTCTL_DATABASE_URL", *(name for name in os.environ if name.startswith("PG"))):
        monkeypatch.delenv(name, raising=False)
    with connecting.connect(None) as database:
        assert database.run_unchecked("select 1") == [(1,)]
