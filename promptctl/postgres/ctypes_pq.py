"""The driver of commands: libpq through ctypes.

It replaces psycopg, because nine tenths of a command's time would be the import of psycopg (ARCHITECTURE.md has the
figures). The classes have the names and the methods of psycopg's protocol, as far as `connection` uses them. The
functions of libpq: https://www.postgresql.org/docs/current/libpq.html
"""

from __future__ import annotations

import ctypes

from promptctl.postgres import libpq_library, waiting
from promptctl.postgres.connection import Connection, ConnectionFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Never

_CONNECTION_OK = 0


class OperationalError(Exception):
    """A function of libpq failed; the message is libpq's."""


def connect(parameters: Mapping[str, str], *, light: bool = False) -> Connection:
    """Connect with libpq's keywords; `dbname` may be a whole URL. Raises ConnectionFailed.

    `light` prefers a libpq that is faster to load (libpq_library.load). Raises Failed (`libpq_missing`).
    """
    library = libpq_library.load(light=light)
    keywords = [*(keyword.encode() for keyword in parameters), None]
    values = [*(value.encode("utf-8", "surrogateescape") for value in parameters.values()), None]
    array = ctypes.c_char_p * len(keywords)
    # The 1 lets libpq expand a URL in `dbname`.
    pointer = waiting.run_interruptibly(lambda: library.PQconnectdbParams(array(*keywords), array(*values), 1))
    pgconn = PGconn(library, pointer)
    if library.PQstatus(ctypes.c_void_p(pointer)) != _CONNECTION_OK:
        message = pgconn.error_message.decode(errors="replace").strip()
        pgconn.finish()
        raise ConnectionFailed(message)
    # Any, because PGconn lacks the methods that are not used. A test compares the others with psycopg's protocol.
    part_of_protocol: Any = pgconn
    return Connection(part_of_protocol, OperationalError)


def keywords(conninfo: str) -> dict[str, str]:
    """Return the values in a URL or a keyword string, by keyword. Raises ConnectionFailed if it is malformed."""
    library = libpq_library.load()
    pointer = library.PQconninfoParse(conninfo.encode("utf-8", "surrogateescape"), None)
    if not pointer:
        raise ConnectionFailed("the connection string is malformed")
    return {keyword: value for keyword, _, value in _options(library, pointer) if value is not None}


def variables() -> dict[str, str]:
    """Return the environment variables that libpq reads, with the keyword of each."""
    library = libpq_library.load()
    return {variable: keyword for keyword, variable, _ in _options(library, library.PQconndefaults()) if variable}


def _options(library: libpq_library.Library, pointer: int) -> list[tuple[str, str | None, str | None]]:
    """Return the keyword, the environment variable and the value of each option in a C array, and free the array."""
    options: list[tuple[str, str | None, str | None]] = []
    try:
        for option in ctypes.cast(pointer, ctypes.POINTER(libpq_library.Option)):
            if option.keyword is None:
                return options
            variable = option.envvar.decode() if option.envvar is not None else None
            value = option.val.decode() if option.val is not None else None
            options.append((option.keyword.decode(), variable, value))
        return options
    finally:
        library.PQconninfoFree(ctypes.c_void_p(pointer))


class PGresult:
    """The result of one statement. `clear` frees it."""

    __slots__ = ("_handle", "_library")

    def __init__(self, library: libpq_library.Library, pointer: int) -> None:
        self._library = library
        self._handle = ctypes.c_void_p(pointer)

    def clear(self) -> None:
        """Free the result. Afterwards it has no rows."""
        handle, self._handle = self._handle, ctypes.c_void_p()
        self._library.PQclear(handle)

    @property
    def status(self) -> int:
        """The status, as a number of psycopg.pq.ExecStatus."""
        return self._library.PQresultStatus(self._handle)

    @property
    def ntuples(self) -> int:
        """The number of rows."""
        return self._library.PQntuples(self._handle)

    @property
    def nfields(self) -> int:
        """The number of columns."""
        return self._library.PQnfields(self._handle)

    def ftype(self, column_number: int) -> int:
        """Return the oid of a column's type."""
        return self._library.PQftype(self._handle, column_number)

    def get_value(self, row_number: int, column_number: int) -> bytes | None:
        """Return a value in the text format; None for NULL."""
        value: bytes = self._library.PQgetvalue(self._handle, row_number, column_number)
        # PQgetvalue returns b"" for NULL too, so only an empty value needs the second call.
        if not value and self._library.PQgetisnull(self._handle, row_number, column_number):
            return None
        return value

    def error_field(self, fieldcode: int) -> bytes | None:
        """Return a field of the server's error, by the number of psycopg.pq.DiagnosticField; None if it is absent."""
        return self._library.PQresultErrorField(self._handle, fieldcode)


class PGnotify:
    """A notification: the channel, the process id of the sender, and the payload."""

    __slots__ = ("be_pid", "extra", "relname")

    def __init__(self, relname: bytes, be_pid: int, extra: bytes) -> None:
        self.relname = relname
        self.be_pid = be_pid
        self.extra = extra


class ConninfoOption:
    """An option of a connection: its keyword, and its value or None."""

    __slots__ = ("keyword", "val")

    def __init__(self, keyword: bytes, val: bytes | None) -> None:
        self.keyword = keyword
        self.val = val


class PGcancel:
    """A request to cancel the statement of a connection."""

    __slots__ = ("_handle", "_library")

    def __init__(self, library: libpq_library.Library, pointer: int) -> None:
        self._library = library
        self._handle = ctypes.c_void_p(pointer)

    def cancel(self) -> None:
        """Send the request, wait until the server has received it, and free it. Raises OperationalError."""
        buffer = ctypes.create_string_buffer(256)
        handle, self._handle = self._handle, ctypes.c_void_p()
        succeeded = self._library.PQcancel(handle, buffer, 256)
        self._library.PQfreeCancel(handle)
        if not succeeded:
            raise OperationalError(buffer.value.decode(errors="replace"))


class PGconn:
    """A connection. A method that fails raises OperationalError, as does one that needs a connection after `finish`."""

    __slots__ = ("_handle", "_library")

    def __init__(self, library: libpq_library.Library, pointer: int) -> None:
        self._library = library
        self._handle = ctypes.c_void_p(pointer)
        library.PQsetNoticeProcessor(self._handle, libpq_library.SILENCE, None)

    def finish(self) -> None:
        """Close the connection and free it."""
        handle, self._handle = self._handle, ctypes.c_void_p()
        if handle:
            self._library.PQfinish(handle)

    @property
    def db(self) -> bytes:
        """The name of the database."""
        return self._library.PQdb(self._handle) or b""

    @property
    def host(self) -> bytes:
        """The name of the host, or the directory of the socket."""
        return self._library.PQhost(self._handle) or b""

    @property
    def port(self) -> bytes:
        """The port, as text."""
        return self._library.PQport(self._handle) or b""

    @property
    def socket(self) -> int:
        """The file descriptor. Raises OperationalError where there is none."""
        descriptor: int = self._library.PQsocket(self._handle)
        if descriptor < 0:
            raise OperationalError("the connection is lost")
        return descriptor

    @property
    def server_version(self) -> int:
        """The version of the server: 150018 is 15.18."""
        return self._library.PQserverVersion(self._handle)

    @property
    def error_message(self) -> bytes:
        """The message of the last function that failed, which may have several lines."""
        return self._library.PQerrorMessage(self._handle) or b""

    @property
    def ssl_in_use(self) -> bool:
        """Whether the connection is encrypted with TLS."""
        return bool(self._library.PQsslInUse(self._handle))

    @property
    def info(self) -> list[ConninfoOption]:
        """The options in effect: those of the caller, of a service file, of the environment, and libpq's defaults."""
        options = _options(self._library, self._library.PQconninfo(self._handle))
        return [ConninfoOption(keyword.encode(), None if val is None else val.encode()) for keyword, _, val in options]

    @property
    def nonblocking(self) -> int:
        """1 if sending never blocks."""
        return self._library.PQisnonblocking(self._handle)

    @nonblocking.setter
    def nonblocking(self, arg: int) -> None:
        self._check(not self._library.PQsetnonblocking(self._handle, arg))

    def parameter_status(self, name: bytes) -> bytes | None:
        """Return a setting that the server reports without a query, or None if it does not report it."""
        return self._library.PQparameterStatus(self._handle, name)

    def send_query(self, command: bytes) -> None:
        """Send a text of one or more statements."""
        self._check(self._library.PQsendQuery(self._handle, command))

    def send_query_params(
        self,
        command: bytes,
        param_values: Sequence[bytes | None] | None,
        param_types: Sequence[int] | None = None,
        param_formats: Sequence[int] | None = None,
        result_format: int = 0,
    ) -> None:
        """Send a statement with parameters. A format is 0 for text, and 1 for binary, which may contain NUL bytes."""
        count = len(param_values or ())
        types = values = lengths = formats = None
        if param_values:
            values = (ctypes.c_char_p * count)(*param_values)
        if param_types:
            types = (ctypes.c_uint * count)(*param_types)
        if param_values and param_formats:
            lengths = (ctypes.c_int * count)(*[len(value or b"") for value in param_values])
            formats = (ctypes.c_int * count)(*param_formats)
        self._check(
            self._library.PQsendQueryParams(
                self._handle, command, count, types, values, lengths, formats, result_format
            )
        )

    def put_copy_data(self, buffer: bytes) -> int:
        """Send data of a COPY; return 0 if libpq's buffer is full."""
        accepted: int = self._library.PQputCopyData(self._handle, buffer, len(buffer))
        self._check(accepted >= 0)
        return accepted

    def put_copy_end(self, error: bytes | None = None) -> int:
        """End the data of a COPY, which fails on the server with `error`; return 0 if libpq's buffer is full."""
        accepted: int = self._library.PQputCopyEnd(self._handle, error)
        self._check(accepted >= 0)
        return accepted

    def enter_pipeline_mode(self) -> None:
        """Begin a pipeline, in which statements are sent without waiting for their results."""
        self._check(self._library.PQenterPipelineMode(self._handle))

    def exit_pipeline_mode(self) -> None:
        """End the pipeline mode, once all results are read."""
        self._check(self._library.PQexitPipelineMode(self._handle))

    def pipeline_sync(self) -> None:
        """Mark the end of a pipeline; its result has the status PIPELINE_SYNC."""
        self._check(self._library.PQpipelineSync(self._handle))

    def flush(self) -> int:
        """Send what is buffered; return 1 if some of it is left."""
        left: int = self._library.PQflush(self._handle)
        self._check(left >= 0)
        return left

    def consume_input(self) -> None:
        """Read what the server has sent."""
        self._check(self._library.PQconsumeInput(self._handle))

    def is_busy(self) -> int:
        """Return 1 if `get_result` would block."""
        return self._library.PQisBusy(self._handle)

    def get_result(self) -> PGresult | None:
        """Return the next result, or None at the end of a statement."""
        pointer: int | None = self._library.PQgetResult(self._handle)
        return None if pointer is None else PGresult(self._library, pointer)

    def notifies(self) -> PGnotify | None:
        """Return the next notification that was read, or None."""
        pointer = self._library.PQnotifies(self._handle)
        if not pointer:
            return None
        notification = pointer.contents
        copy = PGnotify(notification.channel, notification.process, notification.payload)
        self._library.PQfreemem(pointer)
        return copy

    def get_cancel(self) -> PGcancel:
        """Return a request to cancel the statement that runs."""
        pointer: int | None = self._library.PQgetCancel(self._handle)
        if pointer is None:
            raise OperationalError("the connection is closed")
        return PGcancel(self._library, pointer)

    def cancel_conn(self) -> Never:
        """Raise OperationalError: only libpq 17 and later can cancel without blocking. Use `get_cancel`."""
        raise OperationalError("cancelling without blocking is not supported")

    def _check(self, has_succeeded: int) -> None:
        """Raise OperationalError with libpq's message for 0 or False."""
        if not has_succeeded:
            raise OperationalError(self.error_message.decode(errors="replace").strip())
