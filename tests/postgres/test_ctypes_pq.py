"""libpq through ctypes: each method behaves like psycopg's, and all memory is freed."""

from __future__ import annotations

import inspect
import resource
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.pq import abc

from promptctl.postgres import ctypes_pq, libpq_library, waiting
from promptctl.postgres.connection import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers import Server

    PGconn = abc.PGconn

FIELDS = b"SVCMDHPpqWstcdnFLR"  # of an error, as libpq's PG_DIAG constants name them


def peak_kilobytes() -> int:
    """Return the peak memory of the process, in units of 1024 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_failed_attempts_to_connect_leak_no_memory(tmp_path: Path) -> None:
    """A leak of 10.6 kB in each attempt was 240 MB in a day of outage."""
    url = f"postgresql://app:secret@/llm_app?host={tmp_path}&connect_timeout=2&application_name={'x' * 500}"

    def attempt(times: int) -> None:
        for _ in range(times):
            assert ctypes_pq.keywords(url)["user"] == "app"
            assert ctypes_pq.variables()["PGHOST"] == "host"
            with pytest.raises(ConnectionFailed):
                ctypes_pq.connect({"dbname": url})

    attempt(200)
    before = peak_kilobytes()
    attempt(2000)
    # A leak of one kilobyte in an attempt would be 2 000.
    assert peak_kilobytes() - before < 1000


def test_a_library_is_loaded_once() -> None:
    assert libpq_library.load() is libpq_library.load()
    assert libpq_library.load(light=True) is libpq_library.load(light=True)


@pytest.mark.parametrize("part", ["PGconn", "PGresult", "PGcancel"])
def test_each_class_has_the_methods_and_parameters_of_psycopgs(part: str) -> None:
    ours: Any = getattr(ctypes_pq, part)
    documented: Any = getattr(abc, part)
    names = [name for name in dir(ours) if not name.startswith("_")]
    assert names
    for name in names:
        theirs: Any = inspect.getattr_static(documented, name)
        implemented: Any = inspect.getattr_static(ours, name)
        assert isinstance(implemented, property) == isinstance(theirs, property), name
        if not isinstance(theirs, property):
            assert [*inspect.signature(implemented).parameters] == [*inspect.signature(theirs).parameters], name


@pytest.fixture
def connections(server: Server, database_name: str) -> Iterator[tuple[PGconn, PGconn]]:
    """A connection through ctypes and one of psycopg, to the same database."""
    url = server.url(database_name)
    ours = ctypes_pq.connect({"dbname": url})
    with psycopg.connect(url, autocommit=True) as theirs:
        yield ours.pgconn, theirs.pgconn
    ours.close()


def results(pgconn: PGconn, *, synced: bool = False) -> list[Any]:
    """Return the contents of all results, up to the end of the statements or of the pipeline."""
    while pgconn.flush():
        assert waiting.ready([pgconn.socket], 10, writable=True)
        pgconn.consume_input()
    contents: list[Any] = []
    while True:
        while pgconn.is_busy():
            assert waiting.ready([pgconn.socket], 10)
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if not synced:
                return contents
            contents.append(None)
            continue
        rows = [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
        types = [result.ftype(column) for column in range(result.nfields)]
        contents.append((int(result.status), types, rows, [result.error_field(field) for field in FIELDS]))
        result.clear()
        if contents[-1][0] == psycopg.pq.ExecStatus.PIPELINE_SYNC:
            return contents


def statement(sql: bytes, values: list[bytes | None] | None = None, *arguments: Any) -> Callable[[PGconn], list[Any]]:
    """Return a step that sends one statement."""

    def step(pgconn: PGconn) -> list[Any]:
        pgconn.send_query_params(sql, values, *arguments)
        return results(pgconn)

    return step


def script(sql: bytes) -> Callable[[PGconn], list[Any]]:
    """Return a step that sends several statements in one text."""

    def step(pgconn: PGconn) -> list[Any]:
        pgconn.send_query(sql)
        return results(pgconn)

    return step


def pipeline(*statements: bytes) -> Callable[[PGconn], list[Any]]:
    """Return a step that sends a pipeline."""

    def step(pgconn: PGconn) -> list[Any]:
        pgconn.enter_pipeline_mode()
        for sql in statements:
            pgconn.send_query_params(sql, [b"7"])
        pgconn.pipeline_sync()
        contents = results(pgconn, synced=True)
        pgconn.exit_pipeline_mode()
        return contents

    return step


def notify_itself(pgconn: PGconn) -> list[Any]:
    """Notify the same session, and return the notifications that arrive."""
    pgconn.send_query(b"listen ours; notify ours, 'text'; notify ours")
    contents = results(pgconn)
    while (notification := pgconn.notifies()) is not None:
        contents.append((notification.extra, getattr(notification, "relname", None)))
    return contents


STEPS: dict[str, Callable[[PGconn], list[Any]]] = {
    "values": statement(b"select 1, 'x', null::text, '', 2.5::float8, array[1, null], '{\"a\": 1}'::jsonb"),
    "no rows": statement(b"select 1 where false"),
    "no columns": statement(b"select from generate_series(1, 3)"),
    "parameters": statement(b"select $1::text, $2::integer, $3::text", ["ä".encode(), b"-3", None]),
    "types and formats": statement(b"select $1, $2", [b"a\0\xff", b"5"], [17, 23], [1, 0]),
    "an error": statement(b"select nonsense"),
    "an error with its fields": script(
        b"do $$begin raise exception using message = 'm', detail = 'd', hint = 'h', errcode = '22003',"
        b" constraint = 'c', schema = 's', table = 't'; end$$"
    ),
    "a script": script(b"select 1; select 2; notify other"),
    "a script that fails": script(b"select 1; select 1/0; select 3"),
    "an empty statement": script(b""),
    "a pipeline": pipeline(b"select $1::integer", b"select 'x' where $1 = '8'"),
    "a pipeline that fails": pipeline(b"select $1::integer", b"select $1::integer / 0", b"select $1"),
    "a setting that is reported": lambda pgconn: [pgconn.parameter_status(b"server_encoding")],
    "a setting that is not": lambda pgconn: [pgconn.parameter_status(b"work_mem")],
    "the server and the database": lambda pgconn: [
        pgconn.db,
        pgconn.host,
        pgconn.port,
        pgconn.server_version,
        pgconn.nonblocking,
    ],
    "nothing to read": lambda pgconn: [pgconn.is_busy(), pgconn.get_result(), pgconn.notifies(), pgconn.flush()],
    "notifications": notify_itself,
}


def test_each_statement_has_the_same_results_as_with_psycopg(connections: tuple[PGconn, PGconn]) -> None:
    ours, theirs = connections
    for name, step in STEPS.items():
        # psycopg also has the name of the channel, although its protocol class does not declare it.
        assert step(ours) == step(theirs), name


def test_an_impossible_call_raises_an_error(connections: tuple[PGconn, PGconn]) -> None:
    ours, theirs = connections
    impossible: list[Callable[[PGconn], object]] = [
        lambda pgconn: pgconn.pipeline_sync(),
        lambda pgconn: (pgconn.send_query(b"select 1"), pgconn.send_query(b"select 2")),
        lambda pgconn: pgconn.exit_pipeline_mode(),
    ]
    for step in impossible:
        messages: list[str] = []
        for pgconn, error_class in ((ours, ctypes_pq.OperationalError), (theirs, psycopg.OperationalError)):
            with pytest.raises(error_class) as failure:
                step(pgconn)
            messages.append(str(failure.value))
        assert all(messages)
    assert results(ours) == results(theirs)
    for pgconn, error_class in ((ours, ctypes_pq.OperationalError), (theirs, psycopg.OperationalError)):
        pgconn.finish()
        pgconn.finish()
        with pytest.raises(error_class):
            pgconn.send_query(b"select 1")
        with pytest.raises(error_class):
            pgconn.flush()
        with pytest.raises(error_class):
            assert pgconn.socket
        assert pgconn.get_result() is None


def test_a_running_statement_can_be_cancelled(connections: tuple[PGconn, PGconn]) -> None:
    for pgconn in connections:
        pgconn.send_query(b"select pg_sleep(60)")
        while pgconn.flush():
            pass
        # The server ignores a request that arrives before the statement.
        while not waiting.ready([pgconn.socket], 0.2):
            pgconn.get_cancel().cancel()
        [(status, _, _, fields)] = results(pgconn)
        assert (status, fields[FIELDS.index(b"C")]) == (psycopg.pq.ExecStatus.FATAL_ERROR, b"57014")
