"""One connection to one database: open it, and run statements on it.

The schema's version is checked in the round trip of the first statement: both go in one pipeline, which is one
transaction, so a statement never runs on a schema that it was not written for.
"""

from __future__ import annotations

import os

from promptctl import SCHEMA_VERSION, errors, libpq, refusals, settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import LiteralString, Self

    from promptctl.libpq import Parameter, Row

CONNECT_TIMEOUT_SECONDS = 10

# The function only says what is wrong: to have it say nothing would take a millisecond, a session's first.
_GATE: LiteralString = """
    select promptctl.expect_schema_version($1)
    where not exists (select from promptctl.installation i where i.version = $1)
    """


class Database:
    """A connection and the name by which people know the database, `llm_app at db.prod`."""

    def __init__(self, connection: libpq.Connection, label: str, *, embedded: bool) -> None:
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
        gate: list[tuple[LiteralString, Sequence[Parameter]]] = [] if self._checked else [(_GATE, [SCHEMA_VERSION])]
        try:
            answers = self._pipeline([*gate, *statements])
        except errors.SchemaMismatch as mismatch:
            if not self.embedded or mismatch.code != "schema_missing":
                raise
            self.install()
            answers = self._pipeline([*gate, *statements])
        self._checked = True
        return answers[len(gate) :]

    def start(self, sql: LiteralString, *parameters: Parameter) -> Callable[[], list[Row]]:
        """Send one statement in the open transaction; the function returned waits for its rows."""
        try:
            self._connection.send([(sql, parameters)])
        except (libpq.ServerError, libpq.ConnectionLost) as failure:
            raise self._translated(failure) from None

        def wait() -> list[Row]:
            try:
                return self._connection.receive()[0]
            except (libpq.ServerError, libpq.ConnectionLost) as failure:
                raise self._translated(failure) from None

        return wait

    def run_unchecked(self, sql: LiteralString, *parameters: Parameter) -> list[Row]:
        """As `run`, on a database whose schema may be missing or of another version."""
        return self._pipeline([(sql, parameters)])[0]

    def transaction(self, *, read_only: bool = False) -> Transaction:
        """A block whose statements are one transaction: committed at its end, rolled back by an exception.

        One that is `read_only` sees the database as it was at one moment.
        """
        return Transaction(self, read_only=read_only)

    def install(self) -> None:
        """Run schema.sql. On the embedded database also make `prompts` mean our view in every session."""
        [(encoding,)] = self.run_unchecked("select current_setting('server_encoding')")
        if encoding != "UTF8":
            # Another encoding would refuse the script's own characters before the script can say so.
            code = "database_not_utf8"
            message = f"{self.label} is encoded in {encoding}: promptctl needs UTF8"
            raise errors.SchemaMismatch(code, message, hint=refusals.WAYS_OUT[code])
        try:
            self._connection.script(schema_sql())
            if self.embedded:
                self._connection.script("alter database promptctl set search_path = promptctl, public")
        except (libpq.ServerError, libpq.ConnectionLost) as failure:
            raise self._translated(failure) from None

    def close(self) -> None:
        """End the connection; what is not committed is rolled back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Where a prompt was not found, the nearest name is still to be looked up.
        if not isinstance(value, errors.NotFound):
            self.close()

    def _pipeline(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> list[list[Row]]:
        try:
            return self._connection.pipeline(statements)
        except (libpq.ServerError, libpq.ConnectionLost) as failure:
            raise self._translated(failure) from None

    def _translated(self, failure: libpq.ServerError | libpq.ConnectionLost) -> errors.PromptctlError:
        if isinstance(failure, libpq.ConnectionLost):
            return errors.Unreachable(
                "connection_lost",
                f"the connection to {self.label} was lost; whether the last statement was carried out is not known",
                hint="promptctl db status",
            )
        return refusals.translated(failure, self.label)


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
            self._database.run("begin isolation level repeatable read, read only")
        else:
            self._database.run("begin isolation level read committed")
        return self._database

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._database.run("commit")
        elif isinstance(value, errors.PromptctlError) and not isinstance(value, errors.Unreachable):
            try:
                self._database.run_unchecked("rollback")
            except errors.PromptctlError:
                # What went wrong first is what is told; the server rolls back when the connection ends.
                return
        # Else the connection is lost, or was given up to an interruption: the server rolls back by itself.


def connect(
    database_url: str | None,
    *,
    creates: bool = False,
    starts: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Database:
    """Connect to the database that was chosen.

    `creates` allows making an embedded cluster where there is none, `starts` starting the server of one that exists.
    `say` gets a line when something slow begins. Raises Usage for a malformed setting, Unreachable.
    """
    target = settings.target(database_url)
    if target.embedded:
        return _connect_embedded(creates, starts, say)
    parameters = _common()
    if target.url is not None:
        # libpq expands a URL or a keyword string that stands for the database's name; later keywords win.
        parameters["dbname"] = target.url
    parameters["client_encoding"] = "UTF8"
    try:
        connection = _connected(parameters)
    except libpq.ConnectionFailed as failure:
        raise refusals.unreachable(failure, target) from None
    return Database(connection, _label(connection), embedded=False)


def keywords(url: str) -> dict[str, str]:
    """Return what a URL or a keyword string says, by libpq's keywords; one that a connection was made with."""
    return libpq.keywords(url)


def schema_sql() -> str:
    """The text of schema.sql: beside the package in a wheel, at the repository's root in an editable install."""
    folder = os.path.dirname(os.path.abspath(__file__))
    for path in (os.path.join(folder, "schema.sql"), os.path.join(os.path.dirname(folder), "schema.sql")):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return file.read()
    raise errors.Failed(
        "installation_damaged",
        "schema.sql is missing from this installation of promptctl",
        hint="pip install --force-reinstall promptctl",
    )


def _connect_embedded(creates: bool, starts: bool, say: Callable[[str], None]) -> Database:
    from promptctl.embedded import location

    home = location.home()
    if location.cluster(home) is not None:
        try:
            return _open_embedded(home)
        except libpq.ConnectionFailed as failure:
            if not starts or not location.server_is_absent(str(failure)):
                raise refusals.embedded_unreachable(failure) from None
    elif not starts:
        raise errors.Unreachable("no_embedded_database", f"there is no embedded database in {home}")
    from promptctl.embedded import server

    server.start(home, create=creates, say=say)
    try:
        return _open_embedded(home)
    except libpq.ConnectionFailed as failure:
        raise refusals.embedded_unreachable(failure) from None


def _open_embedded(home: str) -> Database:
    from promptctl.embedded import location

    parameters = {**_common(), **location.conninfo(home), "client_encoding": "UTF8"}
    return Database(_connected(parameters, location.client_library(home)), "the embedded database", embedded=True)


def _common() -> dict[str, str]:
    # A host that vanishes in the middle of a statement is noticed within half a minute instead of two hours.
    parameters = {
        "fallback_application_name": "promptctl",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": "30000",
    }
    if not os.environ.get("PGCONNECT_TIMEOUT"):
        parameters["connect_timeout"] = str(CONNECT_TIMEOUT_SECONDS)
    return parameters


def _connected(parameters: dict[str, str], library: str | None = None) -> libpq.Connection:
    # libpq sends these with its first message: times come as RFC 3339 needs them, for no round trip of their own.
    for name, value in (("PGTZ", "UTC"), ("PGDATESTYLE", "ISO")):
        os.environ[name] = value
    return libpq.Connection(parameters, library)


def _label(connection: libpq.Connection) -> str:
    host = "localhost" if connection.host.startswith("/") or not connection.host else connection.host
    port = "" if connection.port in ("", "5432") else f":{connection.port}"
    return f"{connection.database} at {host}{port}"
