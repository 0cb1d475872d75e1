"""Uses that could not be sent, in files: they outlive the process.

A directory with files of the processes that share it, each locked while its process lives. What a process left behind
is sent by the next one that begins; a use that is sent twice counts once, by its id.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING

from promptctl.client import own_files, spool_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from promptctl.client.use_records import QueuedRecord

_LOG = logging.getLogger("promptctl")
_SUFFIX = ".uses"
# More than a row takes whose texts are as long as they may be.
_LONGEST_LINE_BYTES = 8000


class Spool:
    """The directory, and this process's files in it: what is waiting, as JSON arrays, one a line.

    Any thread may write at any time, and a signal's handler in the middle of that: each writes into a file of its own,
    and the lock is held for bookkeeping alone.
    """

    def __init__(self, directory: str, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        # Files to be sent, by path, with the descriptors that hold their locks: this process's, and those left behind.
        self._held: dict[str, int] = {}
        # How much of this process's is in which file, the one that the next writer appends to, and those that are being
        # written now.
        self._bytes: dict[str, int] = {}
        self._current: str | None = None
        self._written: set[str] = set()
        self._is_closed = False
        self._warned = False
        self._lock = threading.RLock()

    def forked(self) -> None:
        """In a child process: the files, and the locks on them, are the parent's."""
        self._lock = threading.RLock()
        self._written = set()
        # Closing a descriptor leaves the lock, which belongs to the open file, to the parent.
        self.close()
        self._is_closed = False

    @property
    def has_any(self) -> bool:
        """Whether there are files to be sent."""
        return bool(self._held)

    @property
    def has_room(self) -> bool:
        """Whether a few uses fit, by the limit in bytes."""
        return sum(list(self._bytes.values())) + _LONGEST_LINE_BYTES <= self._most_bytes

    def write(self, records: Sequence[QueuedRecord]) -> int:
        """Append records and return how many were written: fewer when there is no room or an error."""
        lines = [spool_lines.encode(record) for record in records]
        try:
            path, descriptor, lines = self._begin(lines)
        except OSError as error:
            self._warn(error)
            return 0
        data = memoryview(b"".join(lines))
        written = 0
        failure: OSError | None = None
        try:
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError as error:
            failure = error
        finally:
            taken, whole = _whole_lines(lines, written)
            self._end(path, len(data), whole, torn=written - whole)
        if failure is None:
            self._warned = False
        else:
            self._warn(failure)
        return taken

    def _begin(self, lines: list[bytes]) -> tuple[str, int, list[bytes]]:
        """Return a file that nobody else writes now, and those of the lines that fit. Raises OSError."""
        with self._lock:
            path, self._current = self._current, None
            if path is not None:
                self._written.add(path)
        if path is None:
            path = self._made()
        with self._lock:
            left = self._most_bytes - sum(self._bytes.values())
            taken, size = _whole_lines(lines, left)
            self._bytes[path] += size
            return path, self._held[path], lines[:taken]

    def _end(self, path: str, reserved: int, written: int, *, torn: int) -> None:
        """Give a file back after so many bytes of whole lines were written of those that were reserved."""
        with self._lock:
            self._bytes[path] -= reserved - written
            if torn:
                # What a full disk cut off is no use, and would spoil the one after it.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._held[path], self._bytes[path])
            self._written.discard(path)
            if self._is_closed:
                os.close(self._held.pop(path))
                self._bytes.pop(path)
            elif self._current is None:
                self._current = path

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            _LOG.warning("promptctl: cannot keep uses in %s: %s", self._directory, error.strerror or error)
        self._warned = True

    def adopt(self) -> None:
        """Take over what processes that are gone have left in the directory."""
        try:
            descriptor = own_files.open_directory(self._directory)
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
                if name.endswith(_SUFFIX) and path not in self._held:
                    self._adopt(path)

    def files(self) -> list[str]:
        """Return what is to be sent, the oldest first; what is written from now on goes elsewhere."""
        with self._lock:
            self._current = None
            return [path for path in self._held if path not in self._written]

    def read(self, path: str, most: int) -> Iterator[list[QueuedRecord]]:
        """Yield the records of a file, at most `most` at a time, without damaged lines, as a killed process leaves."""
        records: list[QueuedRecord] = []
        skipped = 0
        try:
            with open(os.dup(self._held[path]), "rb") as file:
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
        """Remove a file whose uses were sent."""
        with self._lock:
            with contextlib.suppress(OSError):
                os.unlink(path)
            self._bytes.pop(path, None)
            descriptor = self._held.pop(path, None)
            if descriptor is not None:
                os.close(descriptor)

    def close(self) -> None:
        """Leave what could not be sent to the next process."""
        with self._lock:
            # Who is writing closes that file afterwards.
            self._is_closed = True
            for path in [path for path in self._held if path not in self._written]:
                os.close(self._held.pop(path))
                self._bytes.pop(path, None)
            self._current = None

    def _adopt(self, path: str) -> None:
        """Hold a file from now on, if the process that wrote it is gone."""
        try:
            descriptor = own_files.open_file(path, os.O_RDWR)
        except FileNotFoundError:
            return
        except OSError as error:
            _LOG.warning("promptctl: %s is left alone: %s", path, error.strerror or error)
            return
        if _lock(descriptor) and _is_at(descriptor, path):
            self._held[path] = descriptor
        else:
            os.close(descriptor)

    def _made(self) -> str:
        """Make a file to append to, and hold it as one that is being written. Raises OSError."""
        while True:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            os.close(own_files.open_directory(self._directory))
            path = os.path.join(self._directory, f"{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}")
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            # Before it was locked another process may have taken it for one that was left behind.
            if not (_lock(descriptor) and _is_at(descriptor, path)):
                os.close(descriptor)
                continue
            with self._lock:
                self._written.add(path)
                self._held[path] = descriptor
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
    """Whether a file is still where it was opened: another process may have sent and removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _whole_lines(lines: Sequence[bytes], written: int) -> tuple[int, int]:
    """Return how many lines so many bytes have whole, and their bytes."""
    taken = whole = 0
    for line in lines:
        if whole + len(line) > written:
            break
        whole += len(line)
        taken += 1
    return taken, whole
