"""libpq, the client library of PostgreSQL, through ctypes: a connection, a pipeline, an error's fields.

A command is a new process each time, and importing the driver would be nine tenths of it (ARCHITECTURE.md has the
figures); the same library without the driver around it answers in a sixth of that time. Its C interface:
https://www.postgresql.org/docs/current/libpq.html
"""

from __future__ import annotations

import _thread
import ctypes
import os
import select

from promptctl import errors
from promptctl.postgres import libpq_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, LiteralString

    Parameter = (
        bytes | str | int | float | bool | None | Sequence[str | None] | Sequence[int | None] | Mapping[str, Any]
    )
    Row = tuple[Any, ...]

_OK, _COMMAND_OK, _TUPLES_OK = 0, 1, 2
_PIPELINE_SYNC, _PIPELINE_ABORTED = 10, 11
_CANCEL_SECONDS = 1.0
_SQLSTATE, _MESSAGE, _DETAIL, _HINT, _CONSTRAINT = b"C"[0], b"M"[0], b"D"[0], b"H"[0], b"n"[0]


class ServerError(Exception):
    """PostgreSQL refused a statement: its SQLSTATE and the fields of its message, '' where it gave none."""

    def __init__(self, sqlstate: str, message: str, detail: str, hint: str, constraint: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail
        self.hint = hint
        self.constraint = constraint


class ConnectionFailed(Exception):
    """No connection could be made; libpq's own words, which never hold the password."""


class ConnectionLost(Exception):
    """The connection ended under a statement: whether that was carried out is not known."""


def keywords(conninfo: str) -> dict[str, str]:
    """Return what a URL or a keyword string says, by keyword. Raises ConnectionFailed for one that cannot be read."""
    library = libpq_library.load()
    pointer = library.PQconninfoParse(conninfo.encode("utf-8", "surrogateescape"), None)
    if not pointer:
        raise ConnectionFailed("it cannot be read")
    return {keyword: value for keyword, _, value in _options(library, pointer) if value is not None}


def variables() -> dict[str, str]:
    """Return the keyword of each environment variable that libpq reads."""
    library = libpq_library.load()
    return {variable: keyword for keyword, variable, _ in _options(library, library.PQconndefaults()) if variable}


def _options(library: libpq_library.Library, pointer: int) -> list[tuple[str, str | None, str | None]]:
    """Return keyword, environment variable and value of each option in an array, and free it."""
    found: list[tuple[str, str | None, str | None]] = []
    try:
        for option in ctypes.cast(pointer, ctypes.POINTER(libpq_library.Option)):
            if option.keyword is None:
                return found
            variable = None if option.envvar is None else option.envvar.decode()
            found.append((option.keyword.decode(), variable, None if option.val is None else option.val.decode()))
        return found
    finally:
        library.PQconninfoFree(ctypes.c_void_p(pointer))


def _interruptibly(call: Callable[[], Any], seconds: float = -1) -> Any:
    """Run a blocking C function in a thread, so that Ctrl-C is heard while it waits; None: it took too long.

    While the interpreter ends, it may start no thread: then the function runs in this one.
    """
    start = _thread.start_new_thread
    if type(start) is not type(len):
        return _beside_greenlets(call, seconds)
    done = _thread.allocate_lock()
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        finally:
            done.release()

    done.acquire()
    try:
        start(run, ())
    except RuntimeError:
        return call()
    done.acquire(True, seconds)
    return result[0] if result else None


def _beside_greenlets(call: Callable[[], Any], seconds: float) -> Any:
    """Run a blocking C function where gevent or eventlet has replaced threads: in one of the system's all the same.

    In one of theirs it would stop every other. `select` is theirs too, so others run while this one waits.
    """
    import sys

    if gevent := sys.modules.get("gevent.monkey"):
        start = gevent.get_original("_thread", "start_new_thread")
    elif eventlet := sys.modules.get("eventlet.patcher"):
        start = eventlet.original("_thread").start_new_thread
    else:  # somebody else's, of which nothing is known
        return call()
    reads, writes = os.pipe()
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        finally:
            os.close(writes)

    try:
        try:
            start(run, ())
        except RuntimeError:
            os.close(writes)
            return call()
        _ready([reads], None if seconds < 0 else seconds)
    finally:
        os.close(reads)
    return result[0] if result else None


def _ready(descriptors: Sequence[int], seconds: float | None, *, writable: bool = False) -> list[int]:
    """Wait until one of these can be read, or `writable` written, and return those; none: it took longer."""
    if not hasattr(select, "poll"):
        readable, written, _ = select.select(descriptors, descriptors if writable else [], [], seconds)
        return readable + written
    # Unlike select it takes descriptors from 1024 on, of which an application may have many.
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | (select.POLLOUT if writable else 0))
    return [descriptor for descriptor, _ in poll.poll(None if seconds is None else round(seconds * 1000))]


def _array(items: Sequence[str | int | None]) -> str:
    quoted = [
        "NULL" if item is None else '"' + str(item).replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items
    ]
    return "{" + ",".join(quoted) + "}"


def _encoded(value: Parameter) -> bytes | None:
    """A parameter in PostgreSQL's text format: None, truth, numbers, text, arrays of text or numbers, JSON objects.

    Bytes, which are sent in its binary format, are themselves.
    """
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "t" if value else "f"
    elif isinstance(value, (int, float)):
        text = str(value)
    elif isinstance(value, (list, tuple)):
        text = _array(value)
    else:
        import json

        text = json.dumps(value, ensure_ascii=False)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        # The byte 0xff of an argument that is not UTF-8 arrives as the lone surrogate dcff.
        told = text[:80].encode("utf-8", "backslashreplace").decode()
        raise errors.Usage("not_utf8", f'"{told}" is not UTF-8') from None
    if b"\0" in encoded:
        raise errors.Usage("nul_in_text", "the text has a NUL character, which PostgreSQL cannot store")
    return encoded


def _ready_to_send(sql: str, parameters: Sequence[Parameter]) -> tuple[bytes, int, Any, Any, Any]:
    """A statement, how many values it has, and these as C takes them: the values, their lengths, their formats."""
    count = len(parameters)
    if not count:
        return sql.encode(), 0, None, None, None
    values = [_encoded(each) for each in parameters]
    lengths = formats = None
    if bytes in map(type, parameters):
        lengths = (ctypes.c_int * count)(*(len(each or b"") for each in values))
        formats = (ctypes.c_int * count)(*(isinstance(each, bytes) for each in parameters))
    return sql.encode(), count, (ctypes.c_char_p * count)(*values), lengths, formats


def _json(raw: bytes) -> Any:
    import json

    return json.loads(raw)


def _jsonb(raw: bytes) -> Any:
    """JSON as the server writes it: `render` reads a version's settings, and `json` imports `re`, 7 ms with it.

    Python's scanner is private: where it is missing, or asks for what it does not ask for today, `json` decodes.
    """
    if raw == b"{}":  # as mostly
        return {}
    try:
        from _json import make_scanner

        scan = make_scanner(_Numbers)  # pyright: ignore[reportArgumentType] - all that it looks at
    except (ImportError, AttributeError, TypeError):
        return _json(raw)
    return scan(raw.decode(), 0)[0]


class _Numbers:
    """What `json.JSONDecoder` is to the scanner behind it."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None  # from Python 3.15 on
    parse_float = float
    parse_int = int
    parse_constant = float


def _timestamp(raw: bytes) -> str:
    """`2026-11-12 09:30:00.5+00`, as a session in UTC writes it, as RFC 3339."""
    return raw.decode().replace(" ", "T", 1).removesuffix("+00") + "Z"


_CONVERSIONS: dict[int, Callable[[bytes], Any]] = {
    16: lambda raw: raw == b"t",
    20: int,
    21: int,
    23: int,
    700: float,
    701: float,
    1700: float,
    114: _json,
    3802: _jsonb,
    1184: _timestamp,
}


class Connection:
    """One connection. Rows come as tuples: int, float, bool, str, RFC 3339 times in UTC, JSON parsed, None."""

    def __init__(self, parameters: Mapping[str, str], *, light: bool = False) -> None:
        """Connect; `parameters` are libpq's keywords, and `dbname` may be a whole URL. Raises ConnectionFailed.

        `light` prefers the libpq without TLS and Kerberos, for a command (libpq_library.load). A server that does not
        answer for `timeout_seconds`, an attribute, counts as lost; None: it is waited for.
        """
        self._lib = lib = libpq_library.load(light=light)
        keywords = [*(key.encode() for key in parameters), None]
        values = [*(value.encode("utf-8", "surrogateescape") for value in parameters.values()), None]
        array = ctypes.c_char_p * len(keywords)
        handle = _interruptibly(lambda: lib.PQconnectdbParams(array(*keywords), array(*values), 1))
        self._handle = ctypes.c_void_p(handle)
        if lib.PQstatus(self._handle) != _OK:
            message = self._message()
            self.close()
            raise ConnectionFailed(message)
        lib.PQsetNoticeProcessor(self._handle, libpq_library.SILENCE, None)
        # Else sending would wait in C, for ever, for a server that hangs: see _flush.
        lib.PQsetnonblocking(self._handle, 1)
        self.database = self._text(lib.PQdb(self._handle))
        self.host = self._text(lib.PQhost(self._handle))
        self.port = self._text(lib.PQport(self._handle))
        self.timeout_seconds: float | None = None
        self._socket: int = lib.PQsocket(self._handle)
        self._wakes = -1
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """End the connection; an open transaction is rolled back by the server."""
        # Given up first: a child that is forked meanwhile must not close what it finds under the socket's number.
        handle, self._handle = self._handle, ctypes.c_void_p()
        if handle:
            self._lib.PQfinish(handle)

    def abandon(self) -> None:
        """In a child process: let go of the parent's connection. Closing it would end it for the parent too."""
        if self._handle:
            os.close(self._socket)
            self._handle = ctypes.c_void_p()

    @property
    def server_version(self) -> int:
        """The server's version as a number: 150018 is 15.18."""
        return self._lib.PQserverVersion(self._handle)

    def reported(self, setting: str) -> str | None:
        """Return the value of a setting that the server reports by itself; None: it does not, or a pooler does not."""
        value: bytes | None = self._lib.PQparameterStatus(self._handle, setting.encode())
        return None if value is None else value.decode()

    def pipeline(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> list[list[Row]]:
        """Send statements together and return the rows of each: one round trip and, outside `begin`, one transaction.

        The first that fails keeps those after it from being run, undoes those before it, and is raised as ServerError.
        """
        if len(statements) == 1:
            # A pipeline of one would only be slower.
            self._send(*_ready_to_send(*statements[0]))
            self._flush()
            answers, error = self._answers(until_sync=False)
            if error is not None:
                raise error
            return answers
        self.send(statements)
        return self.receive()

    def send(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> None:
        """Send statements together, without waiting for what they answer; `receive` has to follow."""
        lib, handle = self._lib, self._handle
        # Before anything is sent: a value that cannot be must not leave half a pipeline behind.
        ready = [_ready_to_send(sql, parameters) for sql, parameters in statements]
        if not lib.PQenterPipelineMode(handle):
            raise ConnectionLost(self._message())
        for each in ready:
            self._send(*each)
        if not lib.PQpipelineSync(handle):
            raise ConnectionLost(self._message())
        self._flush()

    def _send(self, sql: bytes, count: int, values: Any, lengths: Any, formats: Any) -> None:
        if not self._lib.PQsendQueryParams(self._handle, sql, count, None, values, lengths, formats, 0):
            raise ConnectionLost(self._message())

    def receive(self) -> list[list[Row]]:
        """Return the rows of each statement that was sent last. Raises what `pipeline` does."""
        answers, error = self._answers(until_sync=True)
        self._lib.PQexitPipelineMode(self._handle)
        if error is not None:
            raise error
        return answers

    def script(self, sql: str) -> None:
        """Run a text of several statements, without parameters; stops at the first that fails (ServerError)."""
        if not self._lib.PQsendQuery(self._handle, sql.encode()):
            raise ConnectionLost(self._message())
        self._flush()
        _, error = self._answers(until_sync=False)
        if error is not None:
            raise error

    def notifications(self, seconds: float, wakes: int) -> tuple[list[str], bool]:
        """Wait for notifications, and return what they say and whether the descriptor `wakes` can be read.

        Neither: the time is over. By `wakes`, a pipe or socket, another thread ends the waiting. Raises ConnectionLost.
        """
        lib, handle = self._lib, self._handle
        found = self._notified()
        if found:
            return found, False
        ready = self._ready_of_both(wakes, seconds)
        if self._socket in ready:
            if not lib.PQconsumeInput(handle):
                raise ConnectionLost(self._message())
            found = self._notified()
        return found, wakes in ready

    def _ready_of_both(self, wakes: int, seconds: float) -> list[int]:
        if self._poll is None:
            return _ready([self._socket, wakes], seconds)
        if self._wakes != wakes:
            # Kept: it is waited with again and again.
            self._wakes, self._poll_both = wakes, select.poll()
            self._poll_both.register(self._socket, select.POLLIN)
            self._poll_both.register(wakes, select.POLLIN)
        return [descriptor for descriptor, _ in self._poll_both.poll(round(seconds * 1000))]

    def _notified(self) -> list[str]:
        found: list[str] = []
        while notification := self._lib.PQnotifies(self._handle):
            found.append(self._text(notification.contents.payload))
            self._lib.PQfreemem(notification)
        return found

    def cancel(self) -> None:
        """Ask the server to stop what this connection is doing."""
        request = self._lib.PQgetCancel(self._handle)
        if request:
            cancel, buffer = ctypes.c_void_p(request), ctypes.create_string_buffer(256)
            self._lib.PQcancel(cancel, buffer, 256)
            self._lib.PQfreeCancel(cancel)

    def _flush(self) -> None:
        """Wait until the server's side has taken all that was sent."""
        lib, handle = self._lib, self._handle
        try:
            while lib.PQflush(handle) == 1:
                if not _ready([self._socket], self.timeout_seconds, writable=True):
                    raise ConnectionLost(f"nothing was taken for {self.timeout_seconds:g} s")
                # One that has much to say takes no more until it is heard.
                if not lib.PQconsumeInput(handle):
                    break  # the answer tells why
        except KeyboardInterrupt:
            self.close()
            raise

    def _answers(self, *, until_sync: bool) -> tuple[list[list[Row]], ServerError | None]:
        lib = self._lib
        answers: list[list[Row]] = []
        error: ServerError | None = None
        ended = False
        while True:
            pointer = self._next_result()
            if pointer is None:
                # In a pipeline a null result ends one statement, twice in a row it means that the connection is gone.
                if not until_sync:
                    return answers, error
                if ended:
                    raise error if error and error.sqlstate.startswith("57P") else ConnectionLost(self._message())
                ended = True
                continue
            ended = False
            result = ctypes.c_void_p(pointer)
            try:
                status = lib.PQresultStatus(result)
                if status == _PIPELINE_SYNC:
                    return answers, error
                if status in (_COMMAND_OK, _TUPLES_OK):
                    answers.append(self._rows(result))
                elif status != _PIPELINE_ABORTED and error is None:
                    error = self._error(result)
            finally:
                lib.PQclear(result)

    def _next_result(self) -> int | None:
        lib, handle = self._lib, self._handle
        try:
            lib.PQflush(handle)
            while lib.PQisBusy(handle):
                if not self._readable(self.timeout_seconds):
                    raise ConnectionLost(f"no answer in {self.timeout_seconds:g} s")
                if not lib.PQconsumeInput(handle):
                    break
            return lib.PQgetResult(handle)
        except KeyboardInterrupt:
            # It takes a connection of its own, which a server that hangs never answers.
            _interruptibly(self.cancel, _CANCEL_SECONDS)
            self.close()
            raise

    def _readable(self, seconds: float | None) -> bool:
        """Wait until the server has sent something; False: it took longer."""
        if self._poll is not None:
            return bool(self._poll.poll(None if seconds is None else round(seconds * 1000)))
        return bool(_ready([self._socket], seconds))

    def _rows(self, result: ctypes.c_void_p) -> list[Row]:
        lib = self._lib
        columns = range(lib.PQnfields(result))
        conversions = [_CONVERSIONS.get(lib.PQftype(result, column), bytes.decode) for column in columns]
        value, is_null = lib.PQgetvalue, lib.PQgetisnull
        rows: list[Row] = []
        for row in range(lib.PQntuples(result)):
            cells: list[Any] = []
            for column in columns:
                raw = value(result, row, column)
                # A null is an empty string here: only then is the second call needed.
                if not raw and is_null(result, row, column):
                    cells.append(None)
                else:
                    cells.append(conversions[column](raw))
            rows.append(tuple(cells))
        return rows

    def _error(self, result: ctypes.c_void_p) -> ServerError:
        def field(code: int) -> str:
            return self._text(self._lib.PQresultErrorField(result, code))

        sqlstate = field(_SQLSTATE)
        if not sqlstate:
            raise ConnectionLost(self._message())
        return ServerError(sqlstate, field(_MESSAGE), field(_DETAIL), field(_HINT), field(_CONSTRAINT))

    def _message(self) -> str:
        return self._text(self._lib.PQerrorMessage(self._handle)).strip()

    @staticmethod
    def _text(raw: bytes | None) -> str:
        return raw.decode(errors="replace") if raw else ""
