"""The spool: a directory with files of uses and scores that could not be sent. They outlive the process.

Processes may share the directory. Each locks the files that it writes. When a client starts, it adopts the files that
are not locked, because the processes that wrote them have ended: it locks these files, and sends and removes them. A
use that is sent twice is stored once, by its id.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING

from promptctl.client import private_files, spool_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from promptctl.client.use_records import QueuedRecord

_LOG = logging.getLogger("promptctl")
_SUFFIX = ".uses"
# More than the line of a record with the longest texts.
_LONGEST_LINE_BYTES = 8000


class Spool:
    """The directory and this process's files in it.

    Any thread may write at any time, and a signal handler that interrupts it may write as well. So each writer has a
    file of its own while it writes, and the lock is held only while the attributes below change.
    """

    def __init__(self, directory: str, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        # The descriptor of each file to send, by path: this process's files and adopted ones. It holds the file's lock.
        self._descriptors: dict[str, int] = {}
        # The size of each of this process's files, by path. It includes what is reserved for a writer.
        self._bytes: dict[str, int] = {}
        # The file that the next writer appends to, and the files that are being written now.
        self._next_path: str | None = None
        # With the bytes that are reserved for its writer.
        self._being_written: dict[str, int] = {}
        self._is_closed = False
        self._has_warned = False
        self._lock = threading.RLock()

    def reset_in_child(self) -> None:
        """In a child process: forget the files, which the parent sends."""
        self._lock = threading.RLock()
        self._being_written = {}
        # This closes the child's copies of the descriptors. The parent still has the files open, so they stay locked.
        self.close()
        self._is_closed = False

    @property
    def has_files(self) -> bool:
        """Whether there are files to send."""
        return bool(self._descriptors)

    @property
    def has_room(self) -> bool:
        """Whether the limit in bytes allows a few more records."""
        return sum(list(self._bytes.values())) + _LONGEST_LINE_BYTES <= self._most_bytes

    def write(self, records: Sequence[QueuedRecord]) -> int:
        """Append records and return how many of them were written. After an error, or without room, this is not all."""
        lines = [spool_lines.encode(record) for record in records]
        # The path of the file while it is reserved. A signal handler may raise an exception at any point, and then the
        # file must be released as well.
        reserved: list[str] = []
        written_bytes = 0
        failure: OSError | None = None
        try:
            try:
                descriptor, lines = self._begin_write(lines, reserved)
                data = memoryview(b"".join(lines))
                while written_bytes < len(data):
                    written_bytes += os.write(descriptor, data[written_bytes:])
            except OSError as error:
                failure = error
            written, whole_bytes = _whole_lines(lines, written_bytes)
            if reserved:
                self._end_write(reserved, whole_bytes, is_torn=written_bytes > whole_bytes)
        finally:
            if reserved:
                self._abandon(reserved)
        if failure is None:
            self._has_warned = False
        else:
            self._warn(failure)
        return written

    def _begin_write(self, lines: list[bytes], reserved: list[str]) -> tuple[int, list[bytes]]:
        """Reserve a file, and room for the lines that fit. Return the file's descriptor and those lines.

        The file's path is added to `reserved`.
        """
        with self._lock:
            path = self._next_path
            if path is not None:
                # No signal handler runs between these.
                self._being_written[path] = 0
                self._next_path = None
                reserved.append(path)
        if path is None:
            path = self._create(reserved)
        with self._lock:
            left = self._most_bytes - sum(self._bytes.values())
            number, size = _whole_lines(lines, left)
            self._being_written[path] = size
            self._bytes[path] += size
            return self._descriptors[path], lines[:number]

    def _end_write(self, reserved: list[str], whole_bytes: int, *, is_torn: bool) -> None:
        """Release the reserved file. `whole_bytes` of the reserved bytes were written as whole lines.

        If the file `is_torn`, a part of a line follows, for example because the disk is full. It is cut off, so that
        the next line is not appended to it.
        """
        [path] = reserved
        with self._lock:
            self._bytes[path] -= self._being_written[path] - whole_bytes
            if is_torn:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptors[path], self._bytes[path])
            self._release(reserved)
            if not self._is_closed and self._next_path is None:
                self._next_path = path

    def _abandon(self, reserved: list[str]) -> None:
        """Release the reserved file after an exception. Nothing is appended to it: its last line may be torn."""
        [path] = reserved
        with self._lock:
            self._bytes[path] = os.fstat(self._descriptors[path]).st_size
            self._release(reserved)

    def _release(self, reserved: list[str]) -> None:
        [path] = reserved
        # No signal handler runs between these two.
        del self._being_written[path]
        reserved.clear()
        if self._is_closed:
            os.close(self._descriptors.pop(path))
            self._bytes.pop(path)

    def _warn(self, error: OSError) -> None:
        if not self._has_warned:
            _LOG.warning("promptctl: cannot write to the spool %s: %s", self._directory, error.strerror or error)
        self._has_warned = True

    def adopt(self) -> None:
        """Take over the files of processes that have ended."""
        try:
            descriptor = private_files.open_directory(self._directory)
        except FileNotFoundError:
            return
        except OSError as error:
            _LOG.warning("promptctl: the spool cannot be used: %s", error.strerror or error)
            return
        try:
            names = sorted(os.listdir(descriptor))
        finally:
            os.close(descriptor)
        with self._lock:
            for name in names:
                path = os.path.join(self._directory, name)
                if name.endswith(_SUFFIX) and path not in self._descriptors:
                    self._adopt(path)

    def files(self) -> list[str]:
        """Return the paths of the files to send, in the order in which they were opened. Nothing is added to them."""
        with self._lock:
            self._next_path = None
            return [path for path in self._descriptors if path not in self._being_written]

    def read(self, path: str, batch_size: int) -> Iterator[list[QueuedRecord]]:
        """Yield the records of a file in batches. Skips invalid lines, such as a part of one from a killed process."""
        records: list[QueuedRecord] = []
        skipped = 0
        try:
            with open(os.dup(self._descriptors[path]), "rb") as file:
                file.seek(0)
                for record in spool_lines.decode(file):
                    if record is None:
                        skipped += 1
                        continue
                    records.append(record)
                    if len(records) == batch_size:
                        yield records
                        records = []
        except OSError as error:
            _LOG.warning("promptctl: cannot read %s: %s", path, error.strerror or error)
        if skipped:
            _LOG.warning("promptctl: %d lines of %s are not uses and were skipped", skipped, path)
        if records:
            yield records

    def remove(self, path: str) -> None:
        """Remove a file whose records were sent."""
        with self._lock:
            with contextlib.suppress(OSError):
                os.unlink(path)
            self._bytes.pop(path, None)
            descriptor = self._descriptors.pop(path, None)
            if descriptor is not None:
                os.close(descriptor)

    def close(self) -> None:
        """Close the files, so that the next process can lock them."""
        with self._lock:
            # A file that is being written is closed by its writer, in `_end_write`.
            self._is_closed = True
            for path in [path for path in self._descriptors if path not in self._being_written]:
                os.close(self._descriptors.pop(path))
                self._bytes.pop(path, None)
            self._next_path = None

    def _adopt(self, path: str) -> None:
        """Lock a file if the process that wrote it has ended."""
        try:
            descriptor = private_files.open_file(path, os.O_RDWR)
        except FileNotFoundError:
            return
        except OSError as error:
            _LOG.warning("promptctl: %s is left alone: %s", path, error.strerror or error)
            return
        # Another process may have sent and removed the file before it was locked here.
        if _lock(descriptor) and _is_at(descriptor, path):
            self._descriptors[path] = descriptor
        else:
            os.close(descriptor)

    def _create(self, reserved: list[str]) -> str:
        """Create and lock a file, reserve it, and return its path, which is added to `reserved`. Raises OSError."""
        while True:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            os.close(private_files.open_directory(self._directory))
            path = os.path.join(self._directory, f"{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}")
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            # Another process may have adopted the empty file before it was locked here.
            if not (_lock(descriptor) and _is_at(descriptor, path)):
                os.close(descriptor)
                continue
            with self._lock:
                self._being_written[path] = 0
                self._bytes[path] = 0
                self._descriptors[path] = descriptor
                reserved.append(path)
            return path


def _lock(descriptor: int) -> bool:
    """Lock a file. Return False if another process has locked it."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    """Return whether an open file still has this path, and was not removed."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _whole_lines(lines: Sequence[bytes], most_bytes: int) -> tuple[int, int]:
    """Return how many lines fit into so many bytes, and the bytes of those lines."""
    number = size = 0
    for line in lines:
        if size + len(line) > most_bytes:
            break
        size += len(line)
        number += 1
    return number, size
