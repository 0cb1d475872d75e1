"""A connection to PostgreSQL: pipelines, timeouts, cancellation and notifications.

It calls libpq through the methods of psycopg's PGconn. `ctypes_pq` implements the methods that are called here.
"""

from __future__ import annotations

import os
import select

from promptctl.postgres import values, waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import LiteralString

    from psycopg.pq.abc import PGconn, PGresult

    from promptctl.postgres.values import Parameter, Row

# Members of psycopg.pq.ExecStatus, PollingStatus and DiagnosticField, which cannot be imported here: see ctypes_pq.
_COMMAND_OK, _TUPLES_OK, _COPY_IN, _PIPELINE_SYNC, _PIPELINE_ABORTED = 1, 2, 4, 10, 11
_POLLING_READING, _POLLING_WRITING = 1, 2
_SQLSTATE, _MESSAGE, _DETAIL, _HINT, _CONSTRAINT = b"C"[0], b"M"[0], b"D"[0], b"H"[0], b"n"[0]
_CANCEL_SECONDS = 1.0
# The values of sslmode that allow no connection without TLS.
_ENCRYPTED = (b"require", b"verify-ca", b"verify-full")


class ServerError(Exception):
    """PostgreSQL refused a statement. The attributes are the fields of its error, '' for a field that is absent."""

    def __init__(self, sqlstate: str, message: str, detail: str, hint: str, constraint: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail
        self.hint = hint
        self.constraint = constraint


class ConnectionFailed(Exception):
    """No connection could be made. The message is libpq's."""


class ConnectionLost(Exception):
    """The connection ended. A statement that was running may or may not have been executed."""


class Connection:
    """One connection. Rows are tuples of int, float, bool, str, RFC 3339 times in UTC, parsed JSON and None.

    The attribute `timeout_seconds` may be set. If the server does not answer within this time, ConnectionLost is
    raised. None waits without a limit.
    """

    def __init__(self, pgconn: PGconn, error_class: type[Exception]) -> None:
        """Use an open connection, whose methods raise `error_class` when they fail."""
        # If the server hangs, a blocking send would wait in C without a limit. `_flush` waits with one.
        pgconn.nonblocking = 1
        self._pgconn: PGconn | None = pgconn
        self.error_class = error_class
        self.database = _text(pgconn.db)
        self.host = _text(pgconn.host)
        self.port = _text(pgconn.port)
        self.timeout_seconds: float | None = None
        self._socket = pgconn.socket
        self._wake_descriptor = -1
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """Close the connection; the server rolls an open transaction back."""
        # The attribute is cleared before the PGconn is closed. Otherwise, if another thread forks in between, `abandon`
        # in the child would close a descriptor that another file may already reuse.
        pgconn, self._pgconn = self._pgconn, None
        if pgconn is not None:
            pgconn.finish()

    def abandon(self) -> None:
        """In a child process: drop the parent's connection without ending the parent's session."""
        if self._pgconn is not None:
            # Close this process's copy of the descriptor, and leave the PGconn open: closing it would end the session.
            os.close(self._socket)
            self._pgconn = None

    @property
    def server_version(self) -> int:
        """The server's version as a number: 150018 is 15.18."""
        return self.pgconn.server_version

    def required_sslmode(self) -> str | None:
        """Return the sslmode with which another program is as safe: None if this connection does not need TLS.

        libpq's default `prefer` uses TLS if it can. For such a connection, `require` is returned.
        """
        for option in self.pgconn.info:
            if option.keyword == b"sslmode" and option.val in _ENCRYPTED:
                return option.val.decode()
        return "require" if self.pgconn.ssl_in_use else None

    def reported(self, setting: str) -> str | None:
        """Return a setting that the server reports without a query, or None if it or a pooler does not report it."""
        value = self.pgconn.parameter_status(setting.encode())
        return None if value is None else value.decode()

    def pipeline(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> list[list[Row]]:
        """Send statements together and return the rows of each: one round trip, and one transaction if none is open.

        Raises ServerError for the first statement that fails. The statements after it are not run, and those before it
        are rolled back. Raises ConnectionLost.
        """
        if len(statements) != 1:
            self.send(statements)
            return self.receive()
        # For one statement, a pipeline would only be slower.
        message = values.query_arguments(*statements[0])
        with _Exchange(self) as pgconn:
            pgconn.send_query_params(*message)
            self._flush(pgconn)
            results, error = self._results(pgconn, until_sync=False)
        if error is not None:
            raise error
        return results

    def send(self, statements: Sequence[tuple[LiteralString, Sequence[Parameter]]]) -> None:
        """Send statements together, without waiting for their results; `receive` must follow."""
        # Encoded before anything is sent: an invalid value must not leave half a pipeline behind.
        messages = [values.query_arguments(sql, parameters) for sql, parameters in statements]
        with _Exchange(self) as pgconn:
            pgconn.enter_pipeline_mode()
            for message in messages:
                pgconn.send_query_params(*message)
            pgconn.pipeline_sync()
            self._flush(pgconn)

    def receive(self) -> list[list[Row]]:
        """Return the rows of each statement of the last `send`. Raises what `pipeline` does."""
        with _Exchange(self) as pgconn:
            results, error = self._results(pgconn, until_sync=True)
            pgconn.exit_pipeline_mode()
        if error is not None:
            raise error
        return results

    def script(self, sql: str) -> None:
        """Run a text of several statements, without parameters. The first that fails ends it with ServerError."""
        with _Exchange(self) as pgconn:
            pgconn.send_query(sql.encode())
            self._flush(pgconn)
            _, error = self._results(pgconn, until_sync=False)
        if error is not None:
            raise error

    def copy_in(self, sql: str, chunks: Iterable[bytes]) -> None:
        """Run a `COPY … FROM STDIN` with this data. Raises ServerError, ConnectionLost, and what `chunks` raises.

        If `chunks` raises, the connection is left in the middle of the COPY, and must be closed.
        """
        with _Exchange(self) as pgconn:
            pgconn.send_query(sql.encode())
            self._flush(pgconn)
            result = self._next_result(pgconn)
            if result is not None and result.status == _COPY_IN:
                result.clear()
                self._put(pgconn, chunks)
                error = self._results(pgconn, until_sync=False)[1]
            else:
                error = None if result is None else _server_error(pgconn, result)
                if result is not None:
                    result.clear()
                error = self._results(pgconn, until_sync=False)[1] or error
        if error is not None:
            raise error

    def _put(self, pgconn: PGconn, chunks: Iterable[bytes]) -> None:
        """Send the data of a COPY. If the server refuses it, stop: `_results` has the reason."""
        for chunk in chunks:
            try:
                while not pgconn.put_copy_data(chunk):
                    self._flush(pgconn)
            except self.error_class:
                return
            self._flush(pgconn)
        try:
            while not pgconn.put_copy_end():
                self._flush(pgconn)
        except self.error_class:
            return
        self._flush(pgconn)

    def notifications(self, seconds: float, wake_descriptor: int) -> tuple[list[str], bool]:
        """Wait for notifications, and return their payloads and whether `wake_descriptor` is readable.

        `wake_descriptor` is a pipe or a socket: another thread ends the wait by writing to it. After `seconds` without
        either, return [] and False. Raises ConnectionLost.
        """
        with _Exchange(self) as pgconn:
            payloads = _payloads(pgconn)
            if payloads:
                return payloads, False
            ready = self._wait_for_both(wake_descriptor, seconds)
            if self._socket in ready:
                pgconn.consume_input()
                payloads = _payloads(pgconn)
        return payloads, wake_descriptor in ready

    def cancel(self) -> None:
        """Ask the server to cancel the running statement. Return after a second if the server does not answer."""
        pgconn = self.pgconn
        try:
            request = pgconn.cancel_conn()
        except self.error_class:  # libpq before 17, and ctypes_pq, cannot cancel without blocking
            waiting.run_interruptibly(self._cancel_blocking, _CANCEL_SECONDS)
            return
        import time

        until = time.monotonic() + _CANCEL_SECONDS
        try:
            request.start()
            while (status := request.poll()) in (_POLLING_READING, _POLLING_WRITING):
                seconds = max(0.0, until - time.monotonic())
                if not waiting.ready([request.socket], seconds, writable=status == _POLLING_WRITING):
                    break
        except self.error_class:
            pass  # the server is gone
        finally:
            request.finish()

    def _cancel_blocking(self) -> None:
        try:  # noqa: SIM105 - a command need not import contextlib
            self.pgconn.get_cancel().cancel()
        except (self.error_class, ConnectionLost):
            pass  # the server is gone, or the connection is closed meanwhile

    @property
    def pgconn(self) -> PGconn:
        """The PGconn. Raises ConnectionLost after `close`."""
        if self._pgconn is None:
            raise ConnectionLost("the connection is closed")
        return self._pgconn

    def _wait_for_both(self, wake_descriptor: int, seconds: float) -> list[int]:
        """Wait until the server's socket or `wake_descriptor` is readable, and return the readable ones."""
        if self._poll is None:
            return waiting.ready([self._socket, wake_descriptor], seconds)
        if self._wake_descriptor != wake_descriptor:
            # Kept for the next call, which waits for the same two descriptors.
            self._wake_descriptor, self._poll_both = wake_descriptor, select.poll()
            self._poll_both.register(self._socket, select.POLLIN)
            self._poll_both.register(wake_descriptor, select.POLLIN)
        return [descriptor for descriptor, _ in self._poll_both.poll(round(seconds * 1000))]

    def _flush(self, pgconn: PGconn) -> None:
        """Wait until the operating system has accepted everything that was sent."""
        try:
            while pgconn.flush():
                if not waiting.ready([self._socket], self.timeout_seconds, writable=True):
                    raise ConnectionLost(f"nothing was accepted for {self.timeout_seconds:g} s")
                # The server may be waiting until we read its output, and read nothing before that.
                pgconn.consume_input()
        except self.error_class:
            pass  # `_results` raises the reason

    def _results(self, pgconn: PGconn, *, until_sync: bool) -> tuple[list[list[Row]], ServerError | None]:
        """Return the rows of each statement before the first that failed, and the error of that one.

        `until_sync` is for a pipeline, whose last result is the answer to its sync message.
        """
        results: list[list[Row]] = []
        error: ServerError | None = None
        is_statement_over = False
        while True:
            result = self._next_result(pgconn)
            if result is None:
                if not until_sync:
                    return results, error
                # In a pipeline, None ends the results of one statement. A second None means that the connection is
                # lost. 57P is the reason, if the server sent one: a shutdown, or an administrator ended the session.
                if is_statement_over and error is not None and error.sqlstate.startswith("57P"):
                    raise error
                if is_statement_over:
                    raise ConnectionLost(_failure(pgconn))
                is_statement_over = True
                continue
            is_statement_over = False
            try:
                status = result.status
                if status == _PIPELINE_SYNC:
                    return results, error
                if status in (_COMMAND_OK, _TUPLES_OK):
                    results.append(values.rows(result))
                elif status != _PIPELINE_ABORTED and error is None:
                    error = _server_error(pgconn, result)
            finally:
                result.clear()

    def _next_result(self, pgconn: PGconn) -> PGresult | None:
        while pgconn.is_busy():
            if not self._is_readable(self.timeout_seconds):
                raise ConnectionLost(f"no answer in {self.timeout_seconds:g} s")
            try:
                pgconn.consume_input()
            except self.error_class:
                break  # the result, or its absence, is the reason
        return pgconn.get_result()

    def _is_readable(self, seconds: float | None) -> bool:
        """Wait until the server has sent something, and return True. Return False after `seconds`."""
        if self._poll is not None:
            return bool(self._poll.poll(None if seconds is None else round(seconds * 1000)))
        return bool(waiting.ready([self._socket], seconds))


class _Exchange:
    """A block that exchanges messages with the server and handles what interrupts the exchange.

    An error of the PGconn becomes ConnectionLost. Ctrl-C cancels the running statement and closes the connection.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> PGconn:
        return self._connection.pgconn

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        connection = self._connection
        if isinstance(error, connection.error_class):
            raise ConnectionLost(str(error)) from None
        if isinstance(error, KeyboardInterrupt):
            connection.cancel()
            connection.close()


def _payloads(pgconn: PGconn) -> list[str]:
    """Return the payloads of the notifications that were read from the socket."""
    payloads: list[str] = []
    while (notification := pgconn.notifies()) is not None:
        payloads.append(_text(notification.extra))
    return payloads


def _server_error(pgconn: PGconn, result: PGresult) -> ServerError:
    sqlstate, *fields = [
        _text(result.error_field(field)) for field in (_SQLSTATE, _MESSAGE, _DETAIL, _HINT, _CONSTRAINT)
    ]
    if not sqlstate:  # an error of libpq itself
        raise ConnectionLost(_failure(pgconn))
    return ServerError(sqlstate, *fields)


def _failure(pgconn: PGconn) -> str:
    return _text(pgconn.error_message).strip()


def _text(raw: bytes | None) -> str:
    return raw.decode(errors="replace") if raw else ""
