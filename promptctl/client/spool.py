"""Files with uses that could not be sent, which outlive the process.

Processes share the directory. Each locks the files that it writes, and the next client adopts the files of processes
that have ended. A use that is sent twice is stored once, by its id.
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
    """The directory and this process's files in it, with one JSON array per line.

    Any thread may write at any time, and a signal handler may interrupt it and write, too. So each writer has a file of
    its own, and the lock is held only while the bookkeeping changes.
    """

    def __init__(self, directory: str, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        # Files to send, this process's and adopted ones, by path, with the descriptors that hold their locks.
        self._descriptors: dict[str, int] = {}
        # The bytes in each file of this process, the file for the next writer, and the files being written now.
        self._bytes: dict[str, int] = {}
        self._current: str | None = None
        self._being_written: set[str] = set()
        self._is_closed = False
        self._has_warned = False
        self._lock = threading.RLock()

    def forked(self) -> None:
        """In a child process: the files, and the locks on them, are the parent's."""
        self._lock = threading.RLock()
        self._being_written = set()
        # The lock belongs to the open file, so the parent keeps it when its child closes the descriptor.
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
        """Append records and return how many were written: fewer if there is no room, or after an error."""
        lines = [spool_lines.encode(record) for record in records]
        try:
            path, descriptor, lines = self._begin_write(lines)
        except OSError as error:
            self._warn(error)
            return 0
        data = memoryview(b"".join(lines))
        written_bytes = 0
        failure: OSError | None = None
        try:
            while written_bytes < len(data):
                written_bytes += os.write(descriptor, data[written_bytes:])
        except OSError as error:
            failure = error
        finally:
            written, whole_bytes = _whole_lines(lines, written_bytes)
            self._end_write(path, len(data), whole_bytes, is_torn=written_bytes > whole_bytes)
        if failure is None:
            self._has_warned = False
        else:
            self._warn(failure)
        return written

    def _begin_write(self, lines: list[bytes]) -> tuple[str, int, list[bytes]]:
        """Reserve a file and room for the lines that fit; return its path, its descriptor and those lines."""
        with self._lock:
            path, self._current = self._current, None
            if path is not None:
                self._being_written.add(path)
        if path is None:
            path = self._create()
        with self._lock:
            left = self._most_bytes - sum(self._bytes.values())
            number, size = _whole_lines(lines, left)
            self._bytes[path] += size
            return path, self._descriptors[path], lines[:number]

    def _end_write(self, path: str, reserved: int, written: int, *, is_torn: bool) -> None:
        """Release a file after writing so many of the reserved bytes as whole lines."""
        with self._lock:
            self._bytes[path] -= reserved - written
            if is_torn:
                # The next line must not be appended to the part of a line that fitted on a full disk.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptors[path], self._bytes[path])
            self._being_written.discard(path)
            if self._is_closed:
                os.close(self._descriptors.pop(path))
                self._bytes.pop(path)
            elif self._current is None:
                self._current = path

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
        """Return the files to send, the oldest first. Later records go into another file."""
        with self._lock:
            self._current = None
            return [path for path in self._descriptors if path not in self._being_written]

    def read(self, path: str, most: int) -> Iterator[list[QueuedRecord]]:
        """Yield the records of a file, at most `most` at a time. A line that a killed process cut off is skipped."""
        records: list[QueuedRecord] = []
        skipped = 0
        try:
            with open(os.dup(self._descriptors[path]), "rb") as file:
                file.seek(0)
                for line in file:
                    record = spool_lines.decode(line)
                    if record is None:
                        skipped += 1
                        continue
                    records.append(record)
                    if len(records) == most:
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
        """Unlock the files for the next process."""
        with self._lock:
            # A thread that is writing closes its file when it ends.
            self._is_closed = True
            for path in [path for path in self._descriptors if path not in self._being_written]:
                os.close(self._descriptors.pop(path))
                self._bytes.pop(path, None)
            self._current = None

    def _adopt(self, path: str) -> None:
        """Lock a file if the process that wrote it has ended."""
        try:
            descriptor = private_files.open_file(path, os.O_RDWR)
        except FileNotFoundError:
            return
        except OSError as error:
            _LOG.warning("promptctl: %s is left alone: %s", path, error.strerror or error)
            return
        if _lock(descriptor) and _is_at(descriptor, path):
            self._descriptors[path] = descriptor
        else:
            os.close(descriptor)

    def _create(self) -> str:
        """Create and lock a file, which counts as being written. Raises OSError."""
        while True:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            os.close(private_files.open_directory(self._directory))
            path = os.path.join(self._directory, f"{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}")
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            # Another process may have adopted the file before it was locked.
            if not (_lock(descriptor) and _is_at(descriptor, path)):
                os.close(descriptor)
                continue
            with self._lock:
                self._being_written.add(path)
                self._descriptors[path] = descriptor
                self._bytes[path] = 0
            return path


def _lock(descriptor: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    """Return whether a path is still that of an open file: another process may have sent and removed it."""
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
