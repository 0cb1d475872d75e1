"""libpq through psycopg: for applications, and for a command that can load no libpq by itself."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo as psycopg_conninfo
from psycopg import pq

from promptctl.postgres import waiting
from promptctl.postgres.connection import Connection, ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

# Parts of psycopg's messages.
_SEVERAL = "\nMultiple connection attempts failed. All failures were:\n"
_UNRESOLVED = "failed to resolve host '"


class _Connecting(psycopg.Connection[Any]):
    """A connection of psycopg that is used only to connect: our Connection takes over its PGconn, and closes it."""

    def __del__(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - its other parameter is private
        """Do not warn that the PGconn is still open, as psycopg does."""


def connect(parameters: Mapping[str, str], *, light: bool = False) -> Connection:  # noqa: ARG001 - as ctypes_pq does it
    """Connect with libpq's keywords; `dbname` may be a whole URL. Raises ConnectionFailed.

    `psycopg.connect` resolves names, tries several hosts and applies `connect_timeout`, and releases the interpreter's
    lock while it waits. `psycopg.pq.PGconn.connect` would keep that lock until the server has answered.
    """
    values = dict(parameters)
    # psycopg takes a URL as its first argument, and the mere name of a database as `dbname`.
    url = values.pop("dbname") if _is_conninfo(values.get("dbname", "")) else ""
    if waiting.are_threads_replaced():
        result = waiting.run_beside_greenlets(lambda: _attempt_in_thread(url, values))
    else:
        result = _attempt(url, values)
    if isinstance(result, str):
        raise ConnectionFailed(result)
    result.notice_handler = None
    return Connection(result, psycopg.Error)


def keywords(conninfo: str) -> dict[str, str]:
    """Return the values in a URL or a keyword string, by keyword. Raises ConnectionFailed if it is malformed."""
    try:
        return {keyword: str(value) for keyword, value in psycopg_conninfo.conninfo_to_dict(conninfo).items()}
    except (psycopg.Error, UnicodeEncodeError):
        raise ConnectionFailed("the connection string is malformed") from None


def variables() -> dict[str, str]:
    """Return the environment variables that libpq reads, with the keyword of each."""
    options = pq.Conninfo.get_defaults()
    return {option.envvar.decode(): option.keyword.decode() for option in options if option.envvar}


def library() -> str:
    """Return the implementation of psycopg and the version of its libpq: `psycopg (binary), libpq 18.0.6`."""
    return f"psycopg ({pq.__impl__}), libpq {pq.version_pretty(pq.version())}"


def _is_conninfo(dbname: str) -> bool:
    return "=" in dbname or dbname.startswith(("postgresql://", "postgres://"))


def _attempt(url: str, values: dict[str, Any]) -> pq.abc.PGconn | str:
    """Return the connection or, if it fails, the message that libpq has for the failure."""
    try:
        return _Connecting.connect(url, **values).pgconn
    except psycopg.Error as failure:
        # A cycle in psycopg's frames keeps the socket of a failed attempt open until the collector runs.
        traceback.clear_frames(failure.__traceback__)
        message = str(failure)
        if isinstance(failure, psycopg.errors.ConnectionTimeout) and _SEVERAL not in message:
            # psycopg does not name the host of a single attempt.
            return _timeout_of_one(url, values)
        return _in_words_of_libpq(message)
    except UnicodeEncodeError:
        return "invalid connection string"


def _attempt_in_thread(url: str, values: dict[str, Any]) -> pq.abc.PGconn | str:
    """Connect in a thread of the operating system. gevent makes an event loop for the thread, which is freed here."""
    try:
        return _attempt(url, values)
    finally:
        if gevent := sys.modules.get("gevent"):
            gevent.get_hub().destroy()


def _in_words_of_libpq(message: str) -> str:
    """Return libpq's part of psycopg's message, which adds an introduction, or a list of the attempts."""
    lines = message.partition(_SEVERAL)[2].splitlines() if _SEVERAL in message else [message]
    return "\n".join(_line_of_libpq(line) for line in lines).strip()


def _line_of_libpq(line: str) -> str:
    if line.startswith("- host: "):
        # An attempt in the list: `- host: 'db1', port: '5433', hostaddr: '192.0.2.1': connection failed: …`
        attempt, _, rest = line.partition(": connection ")
        if rest == "timeout expired":
            host, port, address = [part.partition(": ")[2].strip("'") for part in attempt.split(", ")]
            return _timeout(host if address == "None" else address, port.replace("None", ""))
        line = f"connection {rest}"
    for introduction in ("connection failed: ", "connection is bad: "):
        line = line.removeprefix(introduction)
    if line.startswith(_UNRESOLVED):
        host, _, reason = line.removeprefix(_UNRESOLVED).partition("': ")
        return f'could not translate host name "{host}" to address: {reason.partition("] ")[2] or reason}'
    return line


def _timeout_of_one(url: str, values: dict[str, Any]) -> str:
    parameters = psycopg_conninfo.conninfo_to_dict(url, **values)
    host = parameters.get("host") or os.environ.get("PGHOST") or "localhost"
    return _timeout(str(host), str(parameters.get("port") or os.environ.get("PGPORT") or ""))


def _timeout(host: str, port: str) -> str:
    port = port or "5432"
    if host.startswith("/"):
        return f'connection to server on socket "{host}/.s.PGSQL.{port}" failed: timeout expired'
    return f'connection to server at "{host}", port {port} failed: timeout expired'
