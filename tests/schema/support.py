"""What the tests of schema.sql share: a furnished database, refusals by name, statements in the background."""

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

# greeter: 1 and 2 in use, 2 active after 1, 3 retired; idle: version 1, nothing active; both have a past.
FURNITURE = """
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


def furnish(connection: Connection) -> None:
    """Fill a new database with prompts that have a past."""
    connection.execute(FURNITURE)


def run(
    connection: Connection, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> psycopg.Cursor[Any]:
    """Run one statement, whose text need not be literal; as bytes, it is that to the type checker, too."""
    return connection.execute(sql.encode(), parameters or None)


def rows(connection: Connection, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """The rows of one statement."""
    return run(connection, sql, parameters).fetchall()


def value(connection: Connection, sql: str, *parameters: object) -> Any:
    """The only value of one statement."""
    [(found,)] = rows(connection, sql, *parameters)
    return found


def refusal(connection: Connection, sql: str, *parameters: object) -> tuple[str | None, str | None]:
    """The SQLSTATE and the name of the rule by which a statement is refused; it must be."""
    error = refused(connection, sql, *parameters)
    return error.sqlstate, error.diag.constraint_name


def refused(connection: Connection, sql: str, *parameters: object) -> psycopg.Error:
    """The error with which a statement is refused; it must be."""
    try:
        with connection.transaction():
            run(connection, sql, parameters)
    except psycopg.Error as error:
        return error
    raise AssertionError(f"not refused: {sql}")


def served(connection: Connection, name: str) -> tuple[Any, ...]:
    """A prompt's active version, candidate, share and epoch."""
    [row] = rows(
        connection,
        "select active_version, candidate_version, basis_points, epoch from promptctl.served where name = %s",
        name,
    )
    return row


def active(connection: Connection, name: str) -> int | None:
    """A prompt's active version."""
    found: int | None = served(connection, name)[0]
    return found


def history(connection: Connection, name: str) -> list[tuple[Any, ...]]:
    """A prompt's history, oldest first: epoch, kind, version before, version after."""
    return rows(
        connection,
        "select epoch, kind, previous_version, version from promptctl.allocations where name = %s order by epoch",
        name,
    )


def create(connection: Connection, name: str, count: int, *, activate: int | None = None) -> None:
    """Store versions 1 to `count` of a prompt, and activate one."""
    for number in range(1, count + 1):
        connection.execute("select promptctl.create_version(%s, %s)", [name, f"text {number}"])
    if activate is not None:
        move(connection, {name: activate})


def move(connection: Connection, versions: dict[str, int], **options: Any) -> list[tuple[Any, ...]]:
    """Call activate."""
    return rows(
        connection,
        "select name, version, previous_version, changed from promptctl.activate(%s, %s, %s, %s)",
        list(versions),
        list(versions.values()),
        options.get("author"),
        options.get("reason"),
    )


# The fields of record_uses, with what stands for "not reported".
_FIELDS: dict[str, tuple[str, Any]] = {
    "ids": ("uuid", None), "names": ("text", "greeter"), "versions": ("integer", 1), "epochs": ("integer", 1),
    "ages_ms": ("double precision", 0.0), "buckets": ("smallint", None), "models": ("text", None),
    "input_tokens": ("bigint", None), "output_tokens": ("bigint", None), "cache_read_tokens": ("bigint", None),
    "cache_write_tokens": ("bigint", None), "response_ms": ("double precision", None),
    "first_token_ms": ("double precision", None), "outcomes": ("text", "ok"), "scores": ("double precision", None),
    "request_ids": ("text", None),
}  # fmt: skip
_FALLBACK_FIELDS = ("ids", "names", "ages_ms", "models", "input_tokens", "output_tokens", "response_ms", "outcomes")


def record(connection: Connection, uses: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Call record_uses, each use with the fields that differ from its being nothing but a use of greeter@1.

    Returns how many were recorded, repeated and late.
    """
    return _send(connection, "record_uses", tuple(_FIELDS), uses)


def record_fallbacks(connection: Connection, calls: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Call record_fallbacks, as `record`."""
    return _send(connection, "record_fallbacks", _FALLBACK_FIELDS, calls)


def _send(
    connection: Connection, function: str, fields: Sequence[str], uses: Sequence[Mapping[str, Any]]
) -> tuple[int, int, int]:
    columns: list[list[Any]] = [
        [use.get(field, uuid.uuid4() if field == "ids" else _FIELDS[field][1]) for use in uses] for field in fields
    ]
    places = ", ".join(f"{field} => %s::{_FIELDS[field][0]}[]" for field in fields)
    [(recorded, repeated, late)] = rows(connection, f"select * from promptctl.{function}({places})", *columns)
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
        """Return when it waits for a lock of another session."""
        deadline = time.monotonic() + _WAIT_SECONDS
        pid = self._connection.info.backend_pid
        while not value(observer, "select cardinality(pg_blocking_pids(%s)) > 0", pid):
            assert self.is_alive(), f"it did not wait: {self.error or self.rows}"
            assert time.monotonic() < deadline, "it neither waits nor ends"
            time.sleep(_POLL_SECONDS)

    def end(self) -> psycopg.Error | None:
        """Wait for its end; its error."""
        self.join(_WAIT_SECONDS)
        assert not self.is_alive(), "it does not end"
        return self.error


def at_once(statements: Iterable[tuple[Connection, str, Sequence[object]]]) -> list[psycopg.Error | None]:
    """Run each statement on its connection, all from one moment on; their errors, in order."""
    todo = list(statements)
    errors: list[psycopg.Error | None] = [None] * len(todo)
    barrier = threading.Barrier(len(todo))

    def start(place: int) -> None:
        connection, sql, parameters = todo[place]
        barrier.wait(_WAIT_SECONDS)
        try:
            run(connection, sql, parameters)
        except psycopg.Error as error:
            errors[place] = error

    threads = [threading.Thread(target=start, args=[place], daemon=True) for place in range(len(todo))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * _WAIT_SECONDS)
        assert not thread.is_alive(), "it does not end"
    return errors
