"""Helpers for the tests of schema.sql: sample prompts, refusals by name, statements in the background."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Connection = psycopg.Connection[Any]

_POLL_SECONDS = 0.005
_WAIT_SECONDS = 20.0

# greeter: version 2 is active, 1 was active before, and 3 is archived. idle: version 1 was never active.
SAMPLES = """
    select promptctl.create_version('greeter', 'Be kind.', metadata => '{"description": "the first"}');
    select promptctl.create_version('greeter', 'Be brief.');
    select promptctl.create_version('greeter', 'Be loud.');
    select promptctl.create_version('idle', 'Wait.');
    select promptctl.create_version('other', 'Something else.', activated => true);
    select promptctl.activate('{greeter}', '{1}');
    select promptctl.activate('{greeter,other}', '{2,1}');
    select promptctl.retire('greeter', 3);
    select promptctl.record_source('git', '9f3c2ab', '2026-11-12 09:30:00+00');
    select promptctl.record_applied('git', '[{"name": "greeter", "active": 2, "digest": "00"}]');
    select promptctl.record_use('greeter', 2, 2, 17, 120, 80);
"""


def add_samples(connection: Connection) -> None:
    """Add the sample prompts and their history to a new database."""
    connection.execute(SAMPLES)


def run(
    connection: Connection, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> psycopg.Cursor[Any]:
    """Run one statement. It is passed as bytes, because the type checker accepts only literal strings."""
    return connection.execute(sql.encode(), parameters or None)


def rows(connection: Connection, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Return the rows of one statement."""
    return run(connection, sql, parameters).fetchall()


def value(connection: Connection, sql: str, *parameters: object) -> Any:
    """Return the only value of one statement."""
    [(only_value,)] = rows(connection, sql, *parameters)
    return only_value


def refusal(connection: Connection, sql: str, *parameters: object) -> tuple[str | None, str | None]:
    """Return the SQLSTATE and the name of the rule with which a statement is refused. Fail if it is accepted."""
    error = refusal_error(connection, sql, *parameters)
    return error.sqlstate, error.diag.constraint_name


def refusal_error(connection: Connection, sql: str, *parameters: object) -> psycopg.Error:
    """Return the error with which a statement is refused. Fail if it is accepted."""
    try:
        with connection.transaction():
            run(connection, sql, parameters)
    except psycopg.Error as error:
        return error
    raise AssertionError(f"not refused: {sql}")


def serving_state(connection: Connection, name: str) -> tuple[Any, ...]:
    """Return a prompt's active version, candidate, share and epoch."""
    [row] = rows(
        connection,
        "select active_version, candidate_version, basis_points, epoch from promptctl.served where name = %s",
        name,
    )
    return row


def active(connection: Connection, name: str) -> int | None:
    """Return a prompt's active version."""
    version: int | None = serving_state(connection, name)[0]
    return version


def history(connection: Connection, name: str) -> list[tuple[Any, ...]]:
    """Return a prompt's history, oldest first: epoch, kind, previous version, version."""
    return rows(
        connection,
        "select epoch, kind, previous_version, version from promptctl.allocations where name = %s order by epoch",
        name,
    )


def create(connection: Connection, name: str, count: int, *, activate: int | None = None) -> None:
    """Store versions 1 to `count` of a prompt, and activate one of them."""
    for number in range(1, count + 1):
        connection.execute("select promptctl.create_version(%s, %s)", [name, f"text {number}"])
    if activate is not None:
        move(connection, {name: activate})


def move(connection: Connection, versions: dict[str, int], **options: Any) -> list[tuple[Any, ...]]:
    """Call the function activate."""
    return rows(
        connection,
        "select name, version, previous_version, changed from promptctl.activate(%s, %s, %s, %s)",
        list(versions),
        list(versions.values()),
        options.get("author"),
        options.get("reason"),
    )


# The fields of record_uses, with their types and default values.
_FIELDS: dict[str, tuple[str, Any]] = {
    "ids": ("uuid", None), "names": ("text", "greeter"), "versions": ("integer", 1), "epochs": ("integer", 1),
    "ages_ms": ("double precision", 0.0), "buckets": ("smallint", None), "models": ("text", None),
    "input_tokens": ("bigint", None), "output_tokens": ("bigint", None), "cache_read_tokens": ("bigint", None),
    "cache_write_tokens": ("bigint", None), "response_ms": ("double precision", None),
    "first_token_ms": ("double precision", None), "outcomes": ("text", "ok"), "scores": ("double precision", None),
    "request_ids": ("text", None), "trace_ids": ("uuid", None),
}  # fmt: skip
_FALLBACK_FIELDS = ("ids", "names", "ages_ms", "models", "input_tokens", "output_tokens", "response_ms", "outcomes")


def record(connection: Connection, uses: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Call record_uses. A use has the fields that differ from those of a plain use of greeter@1.

    Return the numbers of recorded, repeated and late uses.
    """
    return _record(connection, "record_uses", tuple(_FIELDS), uses)


def record_fallbacks(connection: Connection, calls: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Call record_fallbacks, like `record`."""
    return _record(connection, "record_fallbacks", _FALLBACK_FIELDS, calls)


def _record(
    connection: Connection, function: str, fields: Sequence[str], uses: Sequence[Mapping[str, Any]]
) -> tuple[int, int, int]:
    columns: list[list[Any]] = [
        [use.get(field, uuid.uuid4() if field == "ids" else _FIELDS[field][1]) for use in uses] for field in fields
    ]
    arguments = ", ".join(f"{field} => %s::{_FIELDS[field][0]}[]" for field in fields)
    [(recorded, repeated, late)] = rows(connection, f"select * from promptctl.{function}({arguments})", *columns)
    return recorded, repeated, late


class Statement(threading.Thread):
    """A statement that runs in the background on a connection of its own."""

    def __init__(self, connection: Connection, sql: str, *parameters: object) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._sql = sql
        self._parameters = parameters
        self.rows: list[tuple[Any, ...]] = []
        self.error: psycopg.Error | None = None
        self.start()

    def run(self) -> None:
        try:
            cursor = run(self._connection, self._sql, self._parameters)
            self.rows = cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            self.error = error

    def wait_until_blocked(self, observer: Connection) -> None:
        """Return when the statement waits for a lock of another session."""
        deadline = time.monotonic() + _WAIT_SECONDS
        pid = self._connection.info.backend_pid
        while not value(observer, "select cardinality(pg_blocking_pids(%s)) > 0", pid):
            assert self.is_alive(), f"the statement did not wait: {self.error or self.rows}"
            assert time.monotonic() < deadline, "the statement neither waits nor ends"
            time.sleep(_POLL_SECONDS)

    def end(self) -> psycopg.Error | None:
        """Wait until the statement ends, and return its error."""
        self.join(_WAIT_SECONDS)
        assert not self.is_alive(), "the statement does not end"
        return self.error


def run_concurrently(statements: Iterable[tuple[Connection, str, Sequence[object]]]) -> list[psycopg.Error | None]:
    """Start each statement on its connection at the same time, and return the errors in order."""
    jobs = list(statements)
    errors: list[psycopg.Error | None] = [None] * len(jobs)
    barrier = threading.Barrier(len(jobs))

    def start(index: int) -> None:
        connection, sql, parameters = jobs[index]
        barrier.wait(_WAIT_SECONDS)
        try:
            run(connection, sql, parameters)
        except psycopg.Error as error:
            errors[index] = error

    threads = [threading.Thread(target=start, args=[index], daemon=True) for index in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * _WAIT_SECONDS)
        assert not thread.is_alive(), "the statement does not end"
    return errors
