"""libpq through ctypes: each method does what psycopg's own does, and nothing that is allocated is left behind."""

from __future__ import annotations

import inspect
import resource
import select
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.pq import abc

from promptctl.postgres import ctypes_pq, libpq_library
from promptctl.postgres.connection import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers import Server

    PGconn = abc.PGconn

FIELDS = b"SVCMDHPpqWstcdnFLR"  # of an error, as libpq's PG_DIAG constants name them


def peak_kilobytes() -> int:
    """Return how much memory the process has had at most, in units of 1024 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_attempts_to_connect_during_an_outage_leave_nothing_behind(tmp_path: Path) -> None:
    """10.6 kB each were 240 MB in a day of outage."""
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
def test_a_class_has_the_methods_and_parameters_of_psycopgs_protocol(part: str) -> None:
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
def both(server: Server, database_name: str) -> Iterator[tuple[PGconn, PGconn]]:
    """A connection of ours and one of psycopg, to the same database."""
    url = server.url(database_name)
    ours = ctypes_pq.connect({"dbname": url})
    with psycopg.connect(url, autocommit=True) as theirs:
        yield ours.pgconn, theirs.pgconn
    ours.close()


def results(pgconn: PGconn, *, synced: bool = False) -> list[Any]:
    """Return all that the results of what was sent have, up to the end of the statements, or of the pipeline."""
    while pgconn.flush():
        select.select([pgconn.socket], [pgconn.socket], [], 10)
        pgconn.consume_input()
    seen: list[Any] = []
    while True:
        while pgconn.is_busy():
            assert select.select([pgconn.socket], [], [], 10)[0]
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if not synced:
                return seen
            seen.append(None)
            continue
        rows = [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
        types = [result.ftype(column) for column in range(result.nfields)]
        seen.append((int(result.status), types, rows, [result.error_field(field) for field in FIELDS]))
        result.clear()
        if seen[-1][0] == psycopg.pq.ExecStatus.PIPELINE_SYNC:
            return seen


def one(sql: bytes, values: list[bytes | None] | None = None, *arguments: Any) -> Callable[[PGconn], list[Any]]:
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
        seen = results(pgconn, synced=True)
        pgconn.exit_pipeline_mode()
        return seen

    return step


def notified(pgconn: PGconn) -> list[Any]:
    """Notify this very session, and return what arrives."""
    pgconn.send_query(b"listen ours; notify ours, 'text'; notify ours")
    seen = results(pgconn)
    while (notification := pgconn.notifies()) is not None:
        seen.append((notification.extra, getattr(notification, "relname", None)))
    return seen


STEPS: dict[str, Callable[[PGconn], list[Any]]] = {
    "values": one(b"select 1, 'x', null::text, '', 2.5::float8, array[1, null], '{\"a\": 1}'::jsonb"),
    "no rows": one(b"select 1 where false"),
    "no columns": one(b"select from generate_series(1, 3)"),
    "parameters": one(b"select $1::text, $2::integer, $3::text", ["ä".encode(), b"-3", None]),
    "types and formats": one(b"select $1, $2", [b"a\0\xff", b"5"], [17, 23], [1, 0]),
    "an error": one(b"select nonsense"),
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
    "where it is": lambda pgconn: [pgconn.db, pgconn.host, pgconn.port, pgconn.server_version, pgconn.nonblocking],
    "nothing to read": lambda pgconn: [pgconn.is_busy(), pgconn.get_result(), pgconn.notifies(), pgconn.flush()],
    "notifications": notified,
}


def test_each_statement_has_the_results_that_psycopg_gets(both: tuple[PGconn, PGconn]) -> None:
    ours, theirs = both
    for name, step in STEPS.items():
        # The name of the channel is not in the protocol, and psycopg has it all the same.
        assert step(ours) == step(theirs), name


def test_what_cannot_be_done_raises_an_error(both: tuple[PGconn, PGconn]) -> None:
    ours, theirs = both
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


def test_a_statement_is_cancelled(both: tuple[PGconn, PGconn]) -> None:
    for pgconn in both:
        pgconn.send_query(b"select pg_sleep(60)")
        while pgconn.flush():
            pass
        # The server ignores a request that arrives before the statement.
        while not select.select([pgconn.socket], [], [], 0.2)[0]:
            pgconn.get_cancel().cancel()
        [(status, _, _, fields)] = results(pgconn)
        assert (status, fields[FIELDS.index(b"C")]) == (psycopg.pq.ExecStatus.FATAL_ERROR, b"57014")
