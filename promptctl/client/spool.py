"""Uses that could not be sent, in files: they outlive the process.

A directory with files of the processes that share it, each locked while its process lives. What a process left behind
is sent by the next one that begins; a use that is sent twice counts once, by its id.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, cast

from promptctl.client.rows import is_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from promptctl.client.rows import Row

_LOG = logging.getLogger("promptctl")
_SUFFIX = ".uses"


class Spool:
    """The directory, and this process's files in it: what is waiting, as JSON arrays, one a line."""

    def __init__(self, directory: str, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        # Files to be sent, by path, with the descriptors that hold their locks: this process's, and those left behind.
        self._held: dict[str, int] = {}
        # How much of this process's is in which file, and the one that is appended to.
        self._bytes: dict[str, int] = {}
        self._current: str | None = None
        self._warned = False
        self._lock = threading.RLock()

    def forked(self) -> None:
        """In a child process: the files, and the locks on them, are the parent's."""
        self._lock = threading.RLock()
        # Closing a descriptor leaves the lock, which belongs to the open file, to the parent.
        self.close()

    @property
    def has_any(self) -> bool:
        """Whether there are files to be sent."""
        return bool(self._held)

    def write(self, rows: Sequence[Row]) -> int:
        """Append rows and return how many were taken: fewer when there is no room, or no writing."""
        with self._lock:
            left = self._most_bytes - sum(self._bytes.values())
            lines: list[bytes] = []
            for row in rows:
                line = json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
                left -= len(line)
                if left < 0:
                    break
                lines.append(line)
            return self._append(lines) if lines else 0

    def _append(self, lines: Sequence[bytes]) -> int:
        data = memoryview(b"".join(lines))
        written = 0
        try:
            path, descriptor = self._opened()
            try:
                while written < len(data):
                    written += os.write(descriptor, data[written:])
            finally:
                taken, whole = _whole_lines(lines, written)
                if whole < written:
                    # What a full disk cut off is no use, and would spoil the one after it.
                    os.ftruncate(descriptor, self._bytes[path] + whole)
                self._bytes[path] += whole
        except OSError as error:
            if not self._warned:
                _LOG.warning("promptctl: cannot keep uses in %s: %s", self._directory, error.strerror or error)
            self._warned = True
            return _whole_lines(lines, written)[0]
        self._warned = False
        return taken

    def adopt(self) -> None:
        """Take over what processes that are gone have left in the directory."""
        with contextlib.suppress(OSError), self._lock:
            for name in sorted(os.listdir(self._directory)):
                path = os.path.join(self._directory, name)
                if name.endswith(_SUFFIX) and path not in self._held:
                    self._adopt(path)

    def files(self) -> list[str]:
        """Return what is to be sent, the oldest first; what is written from now on goes elsewhere."""
        with self._lock:
            self._current = None
            return list(self._held)

    def read(self, path: str, most: int) -> Iterator[list[Row]]:
        """Return the rows of a file, so many at a time. What is none, as a killed process cuts one off, is left out."""
        rows: list[Row] = []
        passed_over = 0
        try:
            with open(path, "rb") as file:
                for line in file:
                    row = _row(line)
                    if row is None:
                        passed_over += 1
                        continue
                    rows.append(row)
                    if len(rows) == most:
                        yield rows
                        rows = []
        except OSError as error:
            _LOG.warning("promptctl: cannot read %s: %s", path, error.strerror or error)
        if passed_over:
            _LOG.warning("promptctl: %d lines of %s are no uses", passed_over, path)
        if rows:
            yield rows

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
            for descriptor in self._held.values():
                os.close(descriptor)
            self._held = {}
            self._bytes = {}
            self._current = None

    def _adopt(self, path: str) -> None:
        """Hold a file from now on, if the process that wrote it is gone."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            return
        if _lock(descriptor) and _is_at(descriptor, path):
            self._held[path] = descriptor
        else:
            os.close(descriptor)

    def _opened(self) -> tuple[str, int]:
        """Return the file that is appended to, and make it where there is none. Raises OSError."""
        while self._current is None:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            path = os.path.join(self._directory, f"{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}")
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            # Before it was locked another process may have taken it for one that was left behind.
            if _can_lock() and not (_lock(descriptor) and _is_at(descriptor, path)):
                os.close(descriptor)
                continue
            self._held[path] = descriptor
            self._bytes[path] = 0
            self._current = path
        return self._current, self._held[self._current]


def _can_lock() -> bool:
    # Where there are no such locks each process sends what it wrote itself.
    return os.name == "posix"


def _lock(descriptor: int) -> bool:
    if not _can_lock():
        return False
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


def _row(line: bytes) -> Row | None:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("Row", row) if is_row(row) else None
