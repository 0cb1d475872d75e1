"""One connection to one database: open it, run statements on it, and say what went wrong in one line.

The schema's version is checked in the round trip of the first statement: both go in one pipeline, which is one
transaction, so a statement never runs on a schema that it was not written for.
"""

from __future__ import annotations

import os

from promptctl import errors, libpq, settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import LiteralString, Self

    from promptctl.libpq import Parameter, Row

SCHEMA_VERSION = 1
CONNECT_TIMEOUT_SECONDS = 10

# The function only says what is wrong: to have it say nothing would take a millisecond, a session's first.
_GATE: LiteralString = """
    select promptctl.expect_schema_version($1)
    where not exists (select from promptctl.installation i where i.version = $1)
    """

_NOT_FOUND, _REFUSED, _USAGE = errors.NotFound, errors.Refused, errors.Usage
_BY_CONSTRAINT: dict[str, tuple[type[errors.PromptctlError], str]] = {
    "prompt_exists": (_NOT_FOUND, "prompt_not_found"),
    "version_exists": (_NOT_FOUND, "version_not_found"),
    "a_version_is_active": (_NOT_FOUND, "no_active_version"),
    "login_role_exists": (_NOT_FOUND, "role_not_found"),
    "access_is_known": (_USAGE, "usage"),
    "a_prompt_is_named_once": (_USAGE, "named_twice"),
    "the_owner_has_every_access": (_REFUSED, "owner_has_every_access"),
    "a_retired_version_is_not_served": (_REFUSED, "version_retired"),
    "a_served_version_is_not_retired": (_REFUSED, "version_active"),
    "a_rollback_goes_to_what_was_active": (_REFUSED, "nothing_to_roll_back"),
    "the_active_version_is_as_expected": (_REFUSED, "active_version_moved"),
    "a_prompt_is_changed_by_one_at_a_time": (_REFUSED, "locked"),
    "names_differ_in_more_than_case": (_REFUSED, "name_differs_only_in_case"),
    "numbers_count_from_1": (_REFUSED, "no_number_left"),
    "a_version_never_changes": (_REFUSED, "version_never_changes"),
    "schema_version_matches": (errors.SchemaMismatch, "schema_version"),
    "schema_is_ours": (errors.SchemaMismatch, "schema_not_ours"),
    "server_is_recent_enough": (errors.SchemaMismatch, "server_too_old"),
    "database_is_utf8": (errors.SchemaMismatch, "database_not_utf8"),
}
# Constraints that PostgreSQL itself reports, in words of its own, get a message of ours.
_IN_OUR_WORDS: dict[str, tuple[type[errors.PromptctlError], str, str]] = {
    "content_is_not_empty": (_USAGE, "empty_content", "the text is empty"),
    "content_has_no_byte_order_mark": (_USAGE, "invalid_content", "the text begins with a byte order mark"),
    "content_has_no_crlf": (_USAGE, "invalid_content", "the text has CR LF line ends"),
    "a_name_is_segments_joined_by_slashes": (_USAGE, "invalid_name", "that cannot name a prompt"),
    "a_name_has_at_most_200_characters": (_USAGE, "invalid_name", "the name is too long"),
    "a_name_is_not_a_number": (_USAGE, "invalid_name", "a number cannot name a prompt"),
    "a_name_has_no_segment_like_a_file": (_USAGE, "invalid_name", "a file's name cannot name a prompt"),
    "a_number_is_used_once_in_a_prompt": (_REFUSED, "version_taken", "that number is taken"),
    "a_prompt_comes_from_one_source": (_REFUSED, "other_source", "another source has applied that prompt"),
    "an_active_version_exists_and_is_not_retired": (_REFUSED, "version_retired", "that version cannot be served"),
}
_BY_SQLSTATE: dict[str, tuple[type[errors.PromptctlError], str]] = {
    "42501": (_REFUSED, "permission_denied"),
    "25006": (_REFUSED, "read_only"),
    "55P03": (_REFUSED, "locked"),
    "40001": (_REFUSED, "conflict"),
    "40P01": (_REFUSED, "conflict"),
    "53100": (errors.Failed, "disk_full"),
    "57014": (errors.Failed, "canceled"),
    "otherwise": (errors.Failed, "database_error"),
}
# What to do where the server does not say.
_WAYS_OUT = {
    "locked": "run it again when that session has ended",
    "conflict": "run it again",
    "name_differs_only_in_case": "promptctl list",
    "no_number_left": "promptctl create under another name",
    "permission_denied": "have an administrator run: promptctl db grant LOGIN --as ACCESS",
    "schema_not_ours": "give the URL of another database",
    "server_too_old": "give the URL of a server that is recent enough",
    "database_not_utf8": "create database NAME template template0 encoding 'UTF8'",
    "disk_full": "free space on the server's disk",
    "canceled": "run it again",
    "database_error": "promptctl db status",
}


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

    def run_unchecked(self, sql: LiteralString, *parameters: Parameter) -> list[Row]:
        """As `run`, on a database whose schema may be missing or of another version."""
        return self._pipeline([(sql, parameters)])[0]

    def transaction(self) -> Transaction:
        """A block whose statements are one transaction: committed at its end, rolled back by an exception."""
        return Transaction(self)

    def install(self) -> None:
        """Run schema.sql. On the embedded database also make `prompts` mean our view in every session."""
        [(encoding,)] = self.run_unchecked("select current_setting('server_encoding')")
        if encoding != "UTF8":
            # Another encoding would refuse the script's own characters before the script can say so.
            code = "database_not_utf8"
            message = f"{self.label} is encoded in {encoding}: promptctl needs UTF8"
            raise errors.SchemaMismatch(code, message, hint=_WAYS_OUT[code])
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
        if not isinstance(value, _NOT_FOUND):
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
        return translated(failure, self.label)


class Transaction:
    """`begin` … `commit`, or `rollback` when the block raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Database:
        # The gate goes ahead, in time for an embedded database to be initialised, and because it takes a snapshot,
        # after which the level can no longer be chosen. Read committed: what others commit while this one waits must
        # be seen.
        self._database.run_all()
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


def translated(error: libpq.ServerError, label: str) -> errors.PromptctlError:
    """Return the error that a server's refusal means: by the name of the broken rule, else by SQLSTATE."""
    hint = error.hint or None
    if error.constraint in _IN_OUR_WORDS:
        kind, code, message = _IN_OUR_WORDS[error.constraint]
        return kind(code, message if kind is _USAGE else f"{message}, in {label}", hint=hint)
    if error.constraint in _BY_CONSTRAINT:
        kind, code = _BY_CONSTRAINT[error.constraint]
        if code == "schema_version":
            return _schema_version_mismatch(error, label)
        if kind is _NOT_FOUND:
            missing = error.detail if code == "prompt_not_found" else None
            if code == "version_not_found" and error.detail:
                hint = f"promptctl show {error.detail}"
            return errors.NotFound(code, f"{_one_line(error.message)} in {label}", hint=hint, name=missing)
        return kind(code, _one_line(error.message), hint=hint or _WAYS_OUT.get(code))
    if error.sqlstate in ("3F000", "42P01", "42883"):
        return errors.SchemaMismatch("schema_missing", f"{label} has no promptctl schema", hint="promptctl db init")
    if error.sqlstate[:2] == "08" or error.sqlstate in ("57P01", "57P02", "57P03"):
        return errors.Unreachable(
            "connection_lost",
            f"{label} ended the connection: {_one_line(error.message)}; promptctl history tells whether it was in time",
            hint="promptctl db status",
        )
    kind, code = _BY_SQLSTATE.get(error.sqlstate, _BY_SQLSTATE["otherwise"])
    message = _one_line(error.message)
    if code == "read_only":
        return kind(code, f"{label} is read-only", hint="give the URL of a server that takes writes")
    if code == "permission_denied" and "for database" in message:
        # Nobody can be granted access to a schema that is not there yet.
        return kind(code, f"{label}: {message}", hint="grant create on database NAME to ROLE, in psql, by its owner")
    # The server's own hint is for whoever reads its log.
    return kind(code, f"{label}: {message}", hint=_WAYS_OUT.get(code))


def _schema_version_mismatch(error: libpq.ServerError, label: str) -> errors.PromptctlError:
    installed = int(error.detail) if error.detail.isdigit() else None
    if installed is not None and installed > SCHEMA_VERSION:
        return errors.SchemaMismatch(
            "schema_newer",
            f"{label} has schema version {installed}; this promptctl knows {SCHEMA_VERSION}",
            hint="pip install --upgrade promptctl",
        )
    return errors.SchemaMismatch(
        "schema_older",
        f"{label} has schema version {'unknown' if installed is None else installed}; "
        f"this promptctl needs {SCHEMA_VERSION}",
        hint="promptctl db migrate",
    )


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
        raise _unreachable(failure, target) from None
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
                raise _embedded_unreachable(failure) from None
    elif not starts:
        raise errors.Unreachable("no_embedded_database", f"there is no embedded database in {home}")
    from promptctl.embedded import server

    server.start(home, create=creates, say=say)
    try:
        return _open_embedded(home)
    except libpq.ConnectionFailed as failure:
        raise _embedded_unreachable(failure) from None


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


def _unreachable(failure: libpq.ConnectionFailed, target: settings.Target) -> errors.PromptctlError:
    said, words = str(failure), _reason(str(failure))
    if "definition of service" in said or "service file" in said:
        return errors.Usage("invalid_database_url", f"{target.origin}: {words}", hint=f"correct {target.origin}")
    # Of a URL that it cannot read libpq quotes a part, or takes a part for the host, and that may be the password.
    misread = any(line.startswith("could not translate host name") and "@" in line for line in said.splitlines())
    if misread or not said.startswith(("connection to server", "could not")):
        what = said.partition('"')[0].strip(" :\n") if said.startswith("invalid ") else ""
        return errors.Usage(
            "invalid_database_url",
            f"{target.origin} is not a valid database URL{what and ': '}{what}",
            hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, in the password %40 for @ and %25 for %",
        )
    if "too many" in words or "remaining connection slots" in words:
        return errors.Unreachable(
            "too_many_connections", f"the database of {target.origin} takes no more connections: {words}",
            hint="run it again when others have ended, or raise max_connections",
        )  # fmt: skip
    wrong = any(
        part in words for part in ("does not exist", "authentication failed", "password", "translate host name")
    )
    return errors.Unreachable(
        "unreachable",
        f"cannot reach the database of {target.origin}: {words}",
        hint=f"correct {target.origin}" if wrong else "promptctl db status",
    )


def _embedded_unreachable(failure: libpq.ConnectionFailed) -> errors.PromptctlError:
    return errors.Unreachable(
        "unreachable", f"cannot reach the embedded database: {_reason(str(failure))}", hint="promptctl db status"
    )


def _reason(message: str) -> str:
    """libpq's message as one line: `db.prod, port 5432: Connection refused`."""
    tried = [line for line in message.splitlines() if line and not line.startswith("\t")]
    parts = [
        line.removeprefix("connection to server ")
        .removeprefix("at ")
        .replace('"', "", 2 * line.startswith("connection to server at"))
        .replace(" failed: ", ": ")
        .replace("FATAL:  ", "")
        for line in tried
    ]
    return _one_line("; ".join(dict.fromkeys(parts)))


def _one_line(text: str) -> str:
    return " ".join(text.split())
