"""One connection to one database: run statements on it.

The schema's version is checked in the round trip of the first statement: both go in one pipeline, which is one
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
    from typing import LiteralString, Self

    from promptctl.postgres.connection import Connection, Parameter, Row

_READ_ONLY = "25006"
# The function only says what is wrong: to have it say nothing would take a millisecond, a session's first. Where a
# setting of the database or the role would read NULL in an array as a text, or cut digits off, both are set for the
# transaction and a row says so. For the transaction alone, because behind a pooler the session is others' as well.
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
    """A connection and the name by which people know the database, `llm_app at db.prod`."""

    def __init__(self, connection: Connection, label: str, *, embedded: bool) -> None:
        self.label = label
        self.embedded = embedded
        self._connection = connection
        self._checked = False

    @property
    def server_version(self) -> str:
        """The server's version as people write it, `15.18`."""
        number = self._connection.server_version
        return f"{number // 10000}.{number % 10000}"

    @property
    def name(self) -> str:
        """The database's own name."""
        return self._connection.database

    def run(self, sql: LiteralString, *parameters: Parameter) -> list[Row]:
        """Run one statement in a transaction of its own (or the open one) and return its rows; one round trip."""
        return self.run_all((sql, parameters))[0]

    def run_all(self, *statements: tuple[LiteralString, Sequence[Parameter]]) -> list[list[Row]]:
        """Run statements in one round trip and, outside `transaction`, as one transaction; the rows of each."""
        if self._checked:
            return self._pipeline(statements)
        # It takes a snapshot, and after that the isolation level can no longer be chosen.
        place = 1 if statements and statements[0][0].startswith("begin ") else 0
        gated: list[tuple[LiteralString, Sequence[Parameter]]] = [
            *statements[:place],
            (_GATE, [schema.VERSION]),
            *statements[place:],
        ]
        try:
            answers = self._pipeline(gated)
        except errors.SchemaMismatch as mismatch:
            if not self.embedded or mismatch.code != "schema_missing":
                raise
            self.install()
            answers = self._pipeline(gated)
        # A gate that has set something goes ahead of every transaction.
        self._checked = not answers.pop(place)
        return answers

    def start(self, sql: LiteralString, *parameters: Parameter) -> Callable[[], list[Row]]:
        """Send one statement in the open transaction; the function returned waits for its rows."""
        gate: list[tuple[LiteralString, Sequence[Parameter]]] = [] if self._checked else [(_GATE, [schema.VERSION])]
        try:
            self._connection.send([*gate, (sql, parameters)])
        except (ServerError, ConnectionLost) as failure:
            raise self._translated(failure) from None

        def wait() -> list[Row]:
            try:
                return self._connection.receive()[-1]
            except (ServerError, ConnectionLost) as failure:
                raise self._translated(failure) from None

        return wait

    def run_unchecked(self, sql: LiteralString, *parameters: Parameter) -> list[Row]:
        """As `run`, on a database whose schema may be missing or of another version."""
        return self._pipeline([(sql, parameters)])[0]

    def listen(self, channel: LiteralString) -> bool:
        """Ask for the notifications of a channel, once for the connection; False: a standby gives none."""
        try:
            self._connection.script(f"listen {channel}")
        except ServerError as failure:
            if failure.sqlstate == _READ_ONLY:
                return False
            raise self._translated(failure) from None
        except ConnectionLost as failure:
            raise self._translated(failure) from None
        return True

    def notifications(self, seconds: float, wakes: int) -> tuple[list[str], bool]:
        """Wait for what was listened for, and return it and whether the descriptor `wakes` can be read."""
        try:
            return self._connection.notifications(seconds, wakes)
        except ConnectionLost as failure:
            raise self._translated(failure) from None

    def transaction(self, *, read_only: bool = False) -> Transaction:
        """A block whose statements are one transaction: committed at its end, rolled back by an exception.

        One that is `read_only` sees the database as it was at one moment.
        """
        return Transaction(self, read_only=read_only)

    def rehearsal(self, *, is_wanted: bool) -> Rehearsal:
        """A block whose statements, if it `is_wanted`, are one transaction that is rolled back at its end.

        What it does is done by the same code as otherwise, and nobody is notified; without it, nothing is added.
        """
        return Rehearsal(self, is_wanted=is_wanted)

    def install(self) -> None:
        """Run schema.sql. On the embedded database also make `prompts` mean our view in every session."""
        [(encoding,)] = self.run_unchecked("select current_setting('server_encoding')")
        if encoding != "UTF8":
            # Another encoding would refuse the script's own characters before the script can say so.
            code = "database_not_utf8"
            message = f"{self.label} is encoded in {encoding}: promptctl needs UTF8"
            raise errors.SchemaMismatch(code, message, hint=refusals.WAYS_OUT[code])
        try:
            self._connection.script(schema.read_sql())
            if self.embedded:
                self._connection.script("alter database promptctl set search_path = promptctl, public")
        except (ServerError, ConnectionLost) as failure:
            raise self._translated(failure) from None

    def set_timeout(self, seconds: float) -> None:
        """Treat a server that does not answer for so long as lost."""
        self._connection.timeout_seconds = seconds

    def abandon(self) -> None:
        """In a child process: drop the parent's connection without closing it for the parent."""
        self._connection.abandon()

    def close(self) -> None:
        """End the connection; what is not committed is rolled back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The hint is still to be looked up: the nearest name of a prompt, or the access that the login lacks.
        if not isinstance(value, errors.NotFound) and getattr(value, "code", "") != "permission_denied":
            self.close()

    def _pipeline(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> list[list[Row]]:
        try:
            return self._connection.pipeline(statements)
        except (ServerError, ConnectionLost) as failure:
            raise self._translated(failure) from None

    def _translated(self, failure: ServerError | ConnectionLost) -> errors.PromptctlError:
        if isinstance(failure, ConnectionLost):
            return errors.Unreachable(
                "connection_lost",
                f"the connection to {self.label} was lost; whether the last statement was carried out is not known",
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
        # The gate goes ahead, in time for an embedded database to be initialised, and because it takes a snapshot,
        # after which the level can no longer be chosen. Read committed: what others commit while this one waits must
        # be seen.
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
                # What went wrong first is what is told; the server rolls back when the connection ends.
                return
        # Else the connection is lost, or was given up to an interruption: the server rolls back by itself.


class Rehearsal:
    """`begin` … `rollback`, whatever the block did; nothing at all unless it is wanted."""

    def __init__(self, database: Database, *, is_wanted: bool) -> None:
        self._database = database
        self._is_wanted = is_wanted

    def __enter__(self) -> None:
        if self._is_wanted:
            self._database.run_all()
            self._database.run_unchecked("begin isolation level read committed")
            # A release that does not stay takes no number.
            self._database.run("set local promptctl.is_dry_run = on")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Before a missing name's neighbours are looked up; a connection that is lost rolls back by itself.
        if self._is_wanted and (kind is None or isinstance(value, errors.PromptctlError)):
            try:
                self._database.run_unchecked("rollback")
            except errors.PromptctlError:
                if kind is None:
                    raise
