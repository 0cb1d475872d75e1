"""Connections, with each driver: libpq through ctypes, and psycopg."""

from __future__ import annotations

import gc
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
import pytest

from promptctl.postgres import connecting, drivers, refusals, settings
from promptctl.postgres.connection import ConnectionFailed, ConnectionLost, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from promptctl.postgres.connection import Connection

    Statement = tuple[LiteralString, list[Any]]
    from promptctl.postgres.drivers import Driver
    from tests.servers import Server


@pytest.fixture
def open_connection(driver: Driver, server: Server, database_name: str) -> Iterator[Callable[[], Connection]]:
    """Return a function that opens a connection, which is closed at the end of the test."""
    connections: list[Connection] = []

    def open_connection() -> Connection:
        connections.append(driver.connect({"dbname": server.url(database_name), "client_encoding": "UTF8"}))
        return connections[-1]

    yield open_connection
    for connection in connections:
        connection.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_rows_are_converted_and_a_failed_pipeline_leaves_the_connection_usable(
    open_connection: Callable[[], Connection],
) -> None:
    connection = open_connection()
    [[row], []] = connection.pipeline(
        [
            ("select 1, 2.5::float8, true, 'ä', null, '{\"a\": [1]}'::jsonb, '[2]'::json, 1.5::numeric, $1, $2::text[]",
             [b"x", ["a", None, '"\\']]),
            ("select 1 where false", []),
        ]
    )  # fmt: skip
    assert row[:8] == (1, 2.5, True, "ä", None, {"a": [1]}, [2], 1.5)
    assert row[9] == '{a,NULL,"\\"\\\\"}'
    failing: list[list[Statement]] = [[("select 1/0", [])], [("select 1", []), ("select 1/0", []), ("select 2", [])]]
    for statements in failing:
        with pytest.raises(ServerError, match="division by zero") as failure:
            connection.pipeline(statements)
        assert failure.value.sqlstate == "22012"
    with pytest.raises(ServerError, match="division by zero"):
        connection.script("select 1; select 1/0")
    connection.send([("select $1::integer", [7])])
    assert connection.receive() == [[(7,)]]
    assert connection.server_version >= 150000
    assert (connection.reported("server_encoding"), connection.reported("work_mem")) == ("UTF8", None)


def test_notifications_arrive_and_another_thread_can_end_the_wait(open_connection: Callable[[], Connection]) -> None:
    connection, other = open_connection(), open_connection()
    connection.script("listen ours")
    reads, wakes = socket.socketpair()
    with reads, wakes:
        assert connection.notifications(0, reads.fileno()) == ([], False)
        other.script("notify ours, 'one'; notify ours, 'two'")
        assert connection.notifications(30, reads.fileno()) == (["one", "two"], False)
        thread = threading.Thread(target=wakes.send, args=(b"x",))
        thread.start()
        assert connection.notifications(30, reads.fileno()) == ([], True)
        thread.join()


def test_a_statement_can_be_cancelled_and_a_terminated_session_is_lost(
    open_connection: Callable[[], Connection],
) -> None:
    connection, other = open_connection(), open_connection()
    [[[pid]]] = connection.pipeline([("select pg_backend_pid()", [])])
    connection.send([("select pg_sleep(60)", [])])
    running: LiteralString = "select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'"
    until(lambda: other.pipeline([(running, [pid])]) == [[()]])
    connection.cancel()
    with pytest.raises(ServerError) as failure:
        connection.receive()
    assert failure.value.sqlstate == "57014"
    other.pipeline([("select pg_terminate_backend($1, 10000)", [pid])])
    with pytest.raises((ServerError, ConnectionLost)) as lost:
        connection.pipeline([("select 1", [])])
    assert getattr(lost.value, "sqlstate", "57P01") == "57P01"
    with pytest.raises(ConnectionLost):
        connection.pipeline([("select 1", []), ("select 2", [])])
    connection.cancel()
    connection.close()
    connection.close()
    with pytest.raises(ConnectionLost, match="the connection is closed"):
        connection.script("select 1")


def test_ctrl_c_cancels_the_statement_and_closes_the_connection(
    open_connection: Callable[[], Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, other = open_connection(), open_connection()
    [[[pid]]] = connection.pipeline([("select pg_backend_pid()", [])])

    running: LiteralString = "select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'"

    def interrupt(_: float | None) -> bool:
        # The server ignores a request to cancel that arrives before the statement.
        until(lambda: other.pipeline([(running, [pid])]) == [[()]])
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "_is_readable", interrupt)
    with pytest.raises(KeyboardInterrupt):
        connection.pipeline([("select pg_sleep(60)", [])])
    with pytest.raises(ConnectionLost):
        connection.script("select 1")
    until(lambda: other.pipeline([("select from pg_stat_activity where pid = $1", [pid])]) == [[]])


def test_waiting_for_a_host_does_not_block_other_threads(driver: Driver) -> None:
    turns = 0
    finished = threading.Event()

    def count_turns() -> None:
        nonlocal turns
        while not finished.wait(0.01):
            turns += 1

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        thread = threading.Thread(target=count_turns)
        thread.start()
        with pytest.raises(ConnectionFailed) as failure:
            driver.connect({"dbname": f"postgresql://u@127.0.0.1:{port},localhost:1/x", "connect_timeout": "2"})
        finished.set()
        thread.join()
    first, *rest = str(failure.value).splitlines()
    assert first == f'connection to server at "127.0.0.1", port {port} failed: timeout expired'
    assert rest[0].startswith('connection to server at "')
    assert turns > 20


FAILURES = {
    "postgresql://u@127.0.0.1:1/x": ("unreachable", "127.0.0.1, port 1: Connection refused"),
    "host=/nowhere,/nothing user=u": (
        "unreachable",
        'on socket "/nowhere/.s.PGSQL.5432": {0}; on socket "/nothing/.s.PGSQL.5432": {0}'.format(
            "No such file or directory"
        ),
    ),
    "postgresql://u@host.invalid/x": ("unreachable", "could not translate host name "),
    "postgresql://u:p@ss@127.0.0.1:1/x": ("invalid_database_url", None),
    "postgresql://u@h:port/x%zz": ("invalid_database_url", None),
    "postgresql://u@h/x?schema=public": ("invalid_database_url", "schema"),
    "postgresql://u@127.0.0.1:1/x?keepalives=x": ("invalid_database_url", "keepalives"),
    "postgresql://u@127.0.0.1:1/x?sslmode=foo": ("invalid_database_url", "invalid sslmode value"),
    "postgresql://u@127.0.0.1:99999/x": ("invalid_database_url", "invalid port number"),
    "service=nothing": ("invalid_database_url", 'definition of service "nothing" not found'),
}


def test_a_failed_connection_has_the_same_message_with_each_driver(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGUSER", "u")
    for url, (code, reason) in FAILURES.items():
        with pytest.raises(ConnectionFailed) as failure:
            driver.connect({"dbname": url, "connect_timeout": "5"})
        error = refusals.unreachable(failure.value, settings.Target(url, False, "DATABASE_URL"))
        assert error.code == code, url
        assert (reason or "") in error.message, (url, error.message)
        assert "ss@" not in f"{error.message}{error.hint}"


def test_a_connection_that_times_out_is_closed_at_once(driver: Driver) -> None:
    """Otherwise a server that answers later keeps a session for it until the collector runs."""
    gc.disable()
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = str(silent.getsockname()[1])
            with pytest.raises(ConnectionFailed, match="timeout expired"):
                driver.connect({"host": "127.0.0.1", "port": port, "user": "app", "connect_timeout": "2"})
            accepted, _ = silent.accept()
            with accepted:
                accepted.settimeout(10)
                while accepted.recv(1000):  # the request, then the end
                    pass
    finally:
        gc.enable()


def test_a_driver_parses_urls_and_lists_libpqs_variables(driver: Driver) -> None:
    for url in ("postgresql://u@h:port/x%zz", "host='open", "nonsense"):
        with pytest.raises(ConnectionFailed):
            driver.keywords(url)
    assert driver.keywords("postgresql://u@h:5/x?sslmode=require") == {
        "user": "u", "host": "h", "port": "5", "dbname": "x", "sslmode": "require",
    }  # fmt: skip
    assert driver.variables()["PGHOST"] == "host"


def test_a_command_uses_psycopg_if_ctypes_finds_no_libpq(
    database_url: str, monkeypatch: pytest.MonkeyPatch, sql: psycopg.Connection[Any]
) -> None:
    from promptctl.postgres import libpq_library, psycopg_pq

    def load(*, light: bool = False) -> None:
        raise libpq_library.missing("none")

    monkeypatch.setattr(libpq_library, "load", load)
    assert drivers.for_command(light=True) is psycopg_pq
    with connecting.connect(database_url) as database:
        assert database.run("select current_setting('timezone')") == [("UTC",)]
    assert any(library.startswith("psycopg (") for library in drivers.libraries())
