"""A connection to a database, and the statements that run on it.

The round trip of the first statement also checks the schema's version. Both go in one pipeline, which is one
transaction, so a statement never runs on a schema that it was not written for.
"""

from __future__ import annotations

from promptctl import errors, schema
from promptctl.postgres import drivers, refusals
from promptctl.postgres.connection import ConnectionLost, ServerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any, LiteralString, Self

    from promptctl.postgres.connection import Connection
    from promptctl.postgres.values import Parameter, Row

_READ_ONLY = "25006"
# The function is called only to raise the error: a call that returns would cost a session's first millisecond. If a
# setting of the database or the role reads NULL in an array as text, or cuts digits off, both settings are changed for
# the transaction, and the query returns a row. For the transaction only, because a pooler shares the session.
_GATE: LiteralString = """
    select promptctl.expect_schema_version($1), set_config('array_nulls', 'on', true),
           set_config('extra_float_digits', '1', true)
    where not exists (select from promptctl.installation i where i.version = $1)
       or current_setting('array_nulls') = 'off' or current_setting('extra_float_digits')::integer < 1
    """


def client_libraries() -> list[str]:
    """Return the paths, or names, of the libpq that this process has loaded: none before its first connection."""
    return drivers.libraries()


class Database:
    """A connection, with a label of the database for people, for example `llm_app at db.prod`."""

    def __init__(self, connection: Connection, label: str, *, embedded: bool) -> None:
        self.label = label
        self.embedded = embedded
        self._connection = connection
        self._checked = False

    @property
    def server_version(self) -> str:
        """The server's version, for example `15.18`."""
        number = self._connection.server_version
        return f"{number // 10000}.{number % 10000}"

    @property
    def name(self) -> str:
        """The name of the database."""
        return self._connection.database

    def run(self, sql: LiteralString, *parameters: Parameter) -> list[Row]:
        """Run a statement in one round trip, in the open transaction or in its own, and return its rows."""
        return self.run_all((sql, parameters))[0]

    def run_all(self, *statements: tuple[LiteralString, Sequence[Parameter]]) -> list[list[Row]]:
        """Run statements in one round trip, outside `transaction` as one transaction, and return the rows of each."""
        if self._checked:
            return self._pipeline(statements)
        # After `begin`: the gate takes a snapshot, after which the isolation level cannot be set.
        position = 1 if statements and statements[0][0].startswith("begin ") else 0
        gated: list[tuple[LiteralString, Sequence[Parameter]]] = [
            *statements[:position],
            (_GATE, [schema.VERSION]),
            *statements[position:],
        ]
        try:
            answers = self._pipeline(gated)
        except errors.SchemaMismatch as mismatch:
            if not self.embedded or mismatch.code != "schema_missing":
                raise
            self.install()
            answers = self._pipeline(gated)
        # A gate that changed a setting precedes every later transaction too.
        self._checked = not answers.pop(position)
        return answers

    def start(self, sql: LiteralString, *parameters: Parameter) -> Callable[[], list[Row]]:
        """Send a statement in the open transaction, and return a function that waits for its rows."""
        gate: list[tuple[LiteralString, Sequence[Parameter]]] = [] if self._checked else [(_GATE, [schema.VERSION])]
        self._translating(self._connection.send, [*gate, (sql, parameters)])
        return lambda: self._translating(self._connection.receive)[-1]

    def run_unchecked(self, sql: LiteralString, *parameters: Parameter) -> list[Row]:
        """Run a statement as `run` does, without a check of the schema's version."""
        return self._pipeline([(sql, parameters)])[0]

    def listen(self, channel: LiteralString) -> bool:
        """Listen to a channel. Return False on a standby, which sends no notifications."""
        try:
            self._translating(self._connection.script, f"listen {channel}")
        except errors.PromptctlError as failure:
            if failure.sqlstate == _READ_ONLY:
                return False
            raise
        return True

    def notifications(self, seconds: float, wakes: int) -> tuple[list[str], bool]:
        """Wait for notifications, and return their payloads and whether the descriptor `wakes` is readable."""
        return self._translating(self._connection.notifications, seconds, wakes)

    def transaction(self, *, read_only: bool = False) -> Transaction:
        """Return a block whose statements are one transaction: committed at its end, rolled back by an exception.

        With `read_only`, all statements see one snapshot.
        """
        return Transaction(self, read_only=read_only)

    def dry_run(self, *, is_enabled: bool) -> DryRun:
        """Return a block whose statements are one transaction that is rolled back at its end, if `is_enabled`.

        A dry run executes the same code as a real run, and sends no notification. Otherwise the block has no effect.
        """
        return DryRun(self, is_enabled=is_enabled)

    def install(self) -> None:
        """Run schema.sql. In the embedded database, also put the schema on the search path of every session."""
        [(encoding,)] = self.run_unchecked("select current_setting('server_encoding')")
        if encoding != "UTF8":
            # Another encoding would reject characters of the script before the script can report it.
            code = "database_not_utf8"
            message = f"{self.label} is encoded in {encoding}: promptctl needs UTF8"
            raise errors.SchemaMismatch(code, message, hint=refusals.WAYS_OUT[code])
        self._translating(self._connection.script, schema.read_sql())
        if self.embedded:
            search_path = "alter database promptctl set search_path = promptctl, public"
            self._translating(self._connection.script, search_path)

    def set_timeout(self, seconds: float) -> None:
        """Treat a server that does not answer for so long as lost."""
        self._connection.timeout_seconds = seconds

    def abandon(self) -> None:
        """In a child process: drop the parent's connection without closing it for the parent."""
        self._connection.abandon()

    def close(self) -> None:
        """Close the connection. The server rolls back an open transaction."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # For these two errors the connection stays open: the hint needs a query for similar names or for the access.
        if not isinstance(value, errors.NotFound) and getattr(value, "code", "") != "permission_denied":
            self.close()

    def _pipeline(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> list[list[Row]]:
        return self._translating(self._connection.pipeline, statements)

    def _translating(self, call: Callable[..., Any], *arguments: object) -> Any:
        """Call a method of the connection, and raise what fails as an error for users."""
        try:
            return call(*arguments)
        except (ServerError, ConnectionLost) as failure:
            raise self._translated(failure) from None

    def _translated(self, failure: ServerError | ConnectionLost) -> errors.PromptctlError:
        if isinstance(failure, ConnectionLost):
            return errors.Unreachable(
                "connection_lost",
                f"the connection to {self.label} was lost; whether the last statement was executed is unknown",
                hint="promptctl db status",
            )
        translated = refusals.translated(failure, self.label)
        if failure.sqlstate == _READ_ONLY and self._is_read_only_by_setting():
            translated = refusals.read_only_by_setting(self.label)
        translated.sqlstate = failure.sqlstate
        return translated

    def _is_read_only_by_setting(self) -> bool:
        """Return whether a primary is read-only by its default_transaction_read_only; False where a pooler hides it."""
        reported = self._connection.reported
        return reported("default_transaction_read_only") == "on" and reported("in_hot_standby") == "off"


class EmptyDatabase(Database):
    """A database that does not exist yet: every query returns no rows, and nothing is sent."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.embedded = True

    def run_all(self, *statements: tuple[LiteralString, Sequence[Parameter]]) -> list[list[Row]]:
        """Return no rows for each statement."""
        return [[] for _ in statements]

    def _pipeline(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> list[list[Row]]:
        return [[] for _ in statements]

    def close(self) -> None:
        """Do nothing: there is no connection."""


class Transaction:
    """`begin` … `commit`, or `rollback` when the block raises."""

    def __init__(self, database: Database, *, read_only: bool) -> None:
        self._database = database
        self._read_only = read_only

    def __enter__(self) -> Database:
        # The gate runs first, because it may install the schema and because it takes a snapshot, after which the
        # isolation level cannot be set. Read committed: this transaction must see what others commit while it waits.
        self._database.run_all()
        if self._read_only:
            self._database.run_unchecked("begin isolation level repeatable read, read only")
        else:
            self._database.run_unchecked("begin isolation level read committed")
        return self._database

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._database.run_unchecked("commit")
        elif isinstance(value, errors.PromptctlError) and not isinstance(value, errors.Unreachable):
            try:
                self._database.run_unchecked("rollback")
            except errors.PromptctlError:
                # Report the first error; the server rolls back when the connection ends.
                return
        # Otherwise the connection is lost or was interrupted, and the server rolls back by itself.


class DryRun:
    """`begin` … `rollback`, with or without an exception; no effect if it is not enabled."""

    def __init__(self, database: Database, *, is_enabled: bool) -> None:
        self._database = database
        self._is_enabled = is_enabled

    def __enter__(self) -> None:
        if self._is_enabled:
            self._database.run_all()
            self._database.run_unchecked("begin isolation level read committed")
            # A release of a dry run uses no number of the sequence.
            self._database.run("set local promptctl.is_dry_run = on")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Roll back before the query for similar names. After a lost connection the server rolls back by itself.
        if self._is_enabled and (kind is None or isinstance(value, errors.PromptctlError)):
            try:
                self._database.run_unchecked("rollback")
            except errors.PromptctlError:
                if kind is None:
                    raise
