"""A connection to a database, and the statements that run on it.

A connection checks the schema's version. This check, the gate, is sent in one pipeline with the first statement, so it
costs no round trip. A pipeline is one transaction, so a statement never runs on a schema that it was not written for.
"""

from __future__ import annotations

from promptctl import errors, schema
from promptctl.postgres import drivers, refusals
from promptctl.postgres.connection import ConnectionLost, ServerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Any, LiteralString, Self

    from promptctl.postgres.connection import Connection
    from promptctl.postgres.values import Parameter, Row

_READ_ONLY, _NO_PRIVILEGE = "25006", "42501"
# A migration reads which clients are connected. A client only tries to lock, because any session could hold the lock
# exclusively.
_ANNOUNCE = f"select pg_try_advisory_lock_shared({schema.ANNOUNCEMENT}, {schema.VERSION})"
# The gate normally returns no row. For another version of the schema it calls `expect_schema_version`, which raises the
# error unless the schema serves ours. It is called only then, because the first call of a function costs a session a
# millisecond.
#
# With array_nulls off, arrays would store NULL as text, and with a small extra_float_digits, results would lose digits.
# If a database or a role has such a setting, the gate changes both for this transaction, and its row begins with true.
# It does not change the session, because a pooler shares that with other clients.
_GATE: LiteralString = """
    select current_setting('array_nulls') = 'off' or current_setting('extra_float_digits')::integer < 1,
           promptctl.expect_schema_version($1), set_config('array_nulls', 'on', true),
           set_config('extra_float_digits', '1', true)
    where not exists (select from promptctl.installation i where i.version = $1)
       or current_setting('array_nulls') = 'off' or current_setting('extra_float_digits')::integer < 1
    """


def client_libraries() -> list[str]:
    """Return the path or name of each libpq that this process has loaded, [] before its first connection."""
    return drivers.libraries()


class Database:
    """A connection. `label` is the name of its database in messages, for example `llm_app at db.prod`.

    The attribute `migrate_older` may be set for the embedded database. It is called if the schema is older than this
    promptctl needs; without it, that is an error.
    """

    def __init__(self, connection: Connection, label: str, *, embedded: bool) -> None:
        self.label = label
        self.embedded = embedded
        self.migrate_older: Callable[[], object] | None = None
        self._connection = connection
        self._checked = False

    @property
    def server_version(self) -> str:
        """The server's version, for example `15.18`."""
        number = self._connection.server_version
        return f"{number // 10000}.{number % 10000}"

    def required_sslmode(self) -> str | None:
        """Return the sslmode that PostgreSQL's programs must use to be as safe, or None if they do not need TLS."""
        return None if self.embedded else self._connection.required_sslmode()

    @property
    def name(self) -> str:
        """The name of the database."""
        return self._connection.database

    def run(self, sql: LiteralString, *parameters: Parameter) -> list[Row]:
        """Run a statement in one round trip, in the open transaction or in its own, and return its rows."""
        return self.run_all((sql, parameters))[0]

    def run_all(self, *statements: tuple[LiteralString, Sequence[Parameter]]) -> list[list[Row]]:
        """Run statements in one round trip and return the rows of each.

        Outside `transaction` they are one transaction. It may begin with a `begin`, and then it ends with a `commit`.
        """
        try:
            return self._run_gated(statements)
        except errors.Unreachable:
            raise
        except errors.PromptctlError:
            if statements and statements[0][0].startswith("begin "):
                # Otherwise the session would refuse the next statement, which may look for a hint.
                self.run_unchecked("rollback")
            raise

    def _run_gated(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> list[list[Row]]:
        """Run statements, with the gate before the first ones of a connection."""
        if self._checked:
            return self._pipeline(statements)
        # A `begin` must be first: the gate takes a snapshot, after which the isolation level cannot be set.
        position = 1 if statements and statements[0][0].startswith("begin ") else 0
        gated: list[tuple[LiteralString, Sequence[Parameter]]] = [
            *statements[:position],
            (_GATE, [schema.VERSION]),
            *statements[position:],
        ]
        try:
            answers = self._pipeline(gated)
        except errors.SchemaMismatch as mismatch:
            if self.embedded and mismatch.code == "schema_missing":
                self.install()
            elif self.migrate_older is not None and mismatch.code == "schema_older":
                self.migrate_older()
            else:
                raise
            answers = self._pipeline(gated)
        # If the gate has changed settings for this transaction, the next transaction needs it again.
        gate_rows = answers.pop(position)
        self._checked = not any(changes_settings for changes_settings, *_ in gate_rows)
        return answers

    def start(self, sql: LiteralString, *parameters: Parameter) -> Callable[[], list[Row]]:
        """Send a statement in the open transaction, and return a function that waits for its rows."""
        gate: list[tuple[LiteralString, Sequence[Parameter]]] = [] if self._checked else [(_GATE, [schema.VERSION])]
        self._translating(self._connection.send, [*gate, (sql, parameters)])
        return lambda: self._translating(self._connection.receive)[-1]

    def run_unchecked(self, sql: LiteralString, *parameters: Parameter) -> list[Row]:
        """Run a statement as `run` does, but never with the gate."""
        return self._pipeline([(sql, parameters)])[0]

    def listen(self, channel: LiteralString) -> bool:
        """Listen to a channel, and announce the schema version of this client to migrations, in one round trip.

        Return False on a standby, which sends no notifications.
        """
        try:
            self._translating(self._connection.script, f"listen {channel}; {_ANNOUNCE}")
        except errors.PromptctlError as failure:
            if failure.sqlstate == _READ_ONLY:
                return False
            if failure.sqlstate != _NO_PRIVILEGE:
                raise
            # The administrator has revoked the advisory locks.
            self._translating(self._connection.script, f"listen {channel}")
        return True

    def notifications(self, seconds: float, wake_descriptor: int) -> tuple[list[str], bool]:
        """Wait for notifications, and return their payloads and whether `wake_descriptor` is readable."""
        return self._translating(self._connection.notifications, seconds, wake_descriptor)

    def transaction(self, *, read_only: bool = False) -> Transaction:
        """Return a block whose statements are one transaction.

        It is committed at the end of the block, and rolled back by an exception. With `read_only`, all statements see
        one snapshot.
        """
        return Transaction(self, read_only=read_only)

    def dry_run(self, *, is_enabled: bool) -> DryRun:
        """Return a block whose statements run as in a real run, and with `is_enabled` are rolled back at its end.

        They are then one transaction, which sends no notification. Without `is_enabled` the block has no effect.
        """
        return DryRun(self, is_enabled=is_enabled)

    def script(self, sql: str) -> None:
        """Run a text of several statements, without the gate. The first that fails ends it."""
        self._translating(self._connection.script, sql)

    def copy_in(self, sql: str, chunks: Iterable[bytes]) -> None:
        """Run a `COPY … FROM STDIN` with this data, without the gate. If `chunks` raises, close the connection."""
        self._translating(self._connection.copy_in, sql, chunks)

    def install(self) -> None:
        """Run schema.sql. In the embedded database, also put the schema on the search path of every session."""
        self.require_utf8()
        self._translating(self._connection.script, schema.read_sql())
        if self.embedded:
            self.set_search_path()

    def set_search_path(self) -> None:
        """Put the schema on the search path of every session of the embedded database."""
        self.script("alter database promptctl set search_path = promptctl, public")

    def require_utf8(self) -> None:
        """Raise SchemaMismatch (`database_not_utf8`) for a database with another encoding."""
        [(encoding,)] = self.run_unchecked("select current_setting('server_encoding')")
        if encoding != "UTF8":
            # The script checks the encoding as well, but a server with another encoding may reject the script's text.
            code = "database_not_utf8"
            message = f"{self.label} is encoded in {encoding}: promptctl needs UTF8"
            raise errors.SchemaMismatch(code, message, hint=refusals.WAYS_OUT[code])

    def run_script(self, sql: str) -> None:
        """Run a text that begins and ends its own transaction. After an error nothing of it has happened."""
        try:
            self._connection.script(sql)
        except (ServerError, ConnectionLost) as failure:
            translated = self._translated(failure)
            if isinstance(failure, ServerError):
                if failure.detail and isinstance(translated, errors.Failed):
                    # For example which view uses a column.
                    translated.message += f" ({' '.join(failure.detail.split())})"
                self.run_unchecked("rollback")
            raise translated from None

    def set_timeout(self, seconds: float) -> None:
        """Set how long to wait for an answer. After that, the connection counts as lost."""
        self._connection.timeout_seconds = seconds

    def abandon(self) -> None:
        """In a child process: drop the parent's connection without ending the parent's session."""
        self._connection.abandon()

    def close(self) -> None:
        """Close the connection. The server rolls back an open transaction."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After these two errors the connection stays open, because the hint needs a query: for prompts with similar
        # names, or for the access of the login.
        if not isinstance(value, errors.NotFound) and getattr(value, "code", "") != "permission_denied":
            self.close()

    def _pipeline(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> list[list[Row]]:
        return self._translating(self._connection.pipeline, statements)

    def _translating(self, call: Callable[..., Any], *arguments: object) -> Any:
        """Call a method of the connection. If it fails, raise an error for users instead."""
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
        """Return whether the server is a primary with default_transaction_read_only on; False if a pooler hides it."""
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
    """The block of `Database.transaction`."""

    def __init__(self, database: Database, *, read_only: bool) -> None:
        self._database = database
        self._read_only = read_only

    def __enter__(self) -> Database:
        # Run the gate before the transaction, because it may install the schema, and because it takes a snapshot, after
        # which the isolation level cannot be set.
        self._database.run_all()
        if self._read_only:
            self._database.run_unchecked("begin isolation level repeatable read, read only")
        else:
            # After waiting for a lock, this transaction must see what the other one has committed.
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
                # The block's own error is the one to report. The server rolls back when the connection ends.
                return
        # After any other exception the connection is lost or is about to be closed, so the server rolls back by itself.


class DryRun:
    """The block of `Database.dry_run`."""

    def __init__(self, database: Database, *, is_enabled: bool) -> None:
        self._database = database
        self._is_enabled = is_enabled

    def __enter__(self) -> None:
        if self._is_enabled:
            self._database.run_all()
            self._database.run_unchecked("begin isolation level read committed")
            # With this setting, a release takes no number from the sequence.
            self._database.run("set local promptctl.is_dry_run = on")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After a PromptctlError the hint may need a query, which the failed transaction would refuse. After any other
        # exception the server rolls back by itself when the connection is closed.
        if self._is_enabled and (kind is None or isinstance(value, errors.PromptctlError)):
            try:
                self._database.run_unchecked("rollback")
            except errors.PromptctlError:
                if kind is None:
                    raise
