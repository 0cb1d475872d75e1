"""A file with the active versions that a client has read, from which a process starts while the database is down.

Processes may share a file. If another process has added names to it, `save` returns them and the client reads these
prompts, too. So no process removes what another one needs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from typing import TYPE_CHECKING

from promptctl import atomic_files, bounded_input, errors
from promptctl.client import private_files, snapshot_format

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence

    from promptctl.client.snapshot_format import Contents
    from promptctl.client.state import State

_LOG = logging.getLogger("promptctl")
# No snapshot is as large as this. A larger file is not read, because it could exhaust the application's memory.
_LARGEST_BYTES = 1 << 30
# An unchanged state is written again after this time, because the file has the time at which the database confirmed it.
_RENEW_AFTER_SECONDS = 60.0
# At most this part of the time is spent on writing, because the thread does not follow changes meanwhile.
_LARGEST_PART_OF_TIME = 0.05
_PAUSE_AFTER_FAILURE_SECONDS = 1.0
# While another process writes, a process tries this often to lock the directory, with a pause after each attempt.
_LOCK_ATTEMPTS, _LOCK_PAUSE_SECONDS = 20, 0.01


class Snapshot:
    """The file, and when to write it. It contains the texts of prompts, so only its owner can read it."""

    def __init__(self, path: str, database_identity: str) -> None:
        """A file for another `database_identity` is not used."""
        self._path = path
        self._identity = database_identity
        # When the file was written last, and from when on it may be written again (time.monotonic).
        self._saved_at = self._next_write_at = float("-inf")
        # Whether the state has changed since it was written.
        self.is_outdated = False
        # The version of the file that this process wrote. If it differs, another process has replaced the file.
        self._own_file_version: tuple[int, int] | None = None
        self._has_warned = False

    def is_due(self, *, is_changed: bool) -> bool:
        """Return whether to write now, because the state `is_changed` or was not written for a minute.

        A changed state that may not be written yet stays due.
        """
        self.is_outdated = self.is_outdated or is_changed
        now = time.monotonic()
        return now >= self._next_write_at and (self.is_outdated or now - self._saved_at >= _RENEW_AFTER_SECONDS)

    @property
    def due_at(self) -> float:
        """When a changed state may be written (time.monotonic), or infinity if the state has not changed."""
        return self._next_write_at if self.is_outdated else float("inf")

    def save(
        self, state: State, age_seconds: float, nonexistent: Collection[str] = (), *, is_ending: bool = False
    ) -> Sequence[str]:
        """Write a state of this age, or return names to read first. A failure is logged.

        If another process has added names to the file that the state does not have, nothing is written and these names
        are returned, except those in `nonexistent`. If the process `is_ending`, the state is written together with the
        other process's entries.
        """
        began = time.monotonic()
        try:
            with _locked(os.path.dirname(self._path)):
                is_of_others = self._file_version() not in (None, self._own_file_version)
                others = self._read(should_log=False) if is_of_others else None
                names = () if others is None else state.not_loaded(others.names)
                new_names = [name for name in names if name not in nonexistent]
                if new_names and not is_ending:
                    return new_names
                raw = snapshot_format.encode(self._identity, state, age_seconds, others if new_names else None)
                private_files.check_replaceable(self._path)
                atomic_files.replace(self._path, raw, self._mode())
                self._own_file_version = self._file_version()
        except BlockingIOError:  # another process is writing
            self._next_write_at = time.monotonic() + _LOCK_PAUSE_SECONDS
            return ()
        except OSError as error:
            if not self._has_warned:
                _LOG.warning("promptctl: cannot write the snapshot %s: %s", self._path, error.strerror or error)
            self._has_warned = True
            self._next_write_at = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS
        else:
            self._saved_at = began
            self.is_outdated = self._has_warned = False
            ended = time.monotonic()
            self._next_write_at = ended + (ended - began) / _LARGEST_PART_OF_TIME
        return ()

    def load(self) -> Contents | None:
        """Return the contents of the file, and log that it is used. Return None without a file that can be used."""
        contents = self._read(should_log=True)
        if contents is not None:
            _LOG.warning("promptctl: using the snapshot %s, confirmed %.0f s ago", self._path, contents.age_seconds)
        return contents

    def _read(self, *, should_log: bool) -> Contents | None:
        try:
            with open(private_files.open_file(self._path), "rb") as file:
                raw = bounded_input.from_stream(file, _LARGEST_BYTES)
            return snapshot_format.decode(raw, self._identity)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, errors.Usage) as error:
            if should_log:
                reason: object = getattr(error, "strerror", None) or error
                if isinstance(error, (LookupError, AttributeError)):
                    reason = f"it is damaged ({error!r})"
                _LOG.warning("promptctl: the snapshot %s cannot be used: %s", self._path, reason)
            return None

    def _mode(self) -> int:
        """Return the permissions of the existing file, or those of a new one.

        An operator may have permitted a group to read the file, and the file that replaces it keeps this.
        """
        try:
            return stat.S_IMODE(os.lstat(self._path).st_mode)
        except FileNotFoundError:
            return stat.S_IRUSR | stat.S_IWUSR

    def _file_version(self) -> tuple[int, int] | None:
        """Return the file's inode and time of modification, which change when it is replaced; None without a file."""
        try:
            status = os.lstat(self._path)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


@contextlib.contextmanager
def _locked(directory: str) -> Generator[None]:
    """A block in which no other process writes a snapshot in this directory.

    Raises BlockingIOError if another process keeps the lock during all attempts, for 0.2 seconds.
    """
    import fcntl

    descriptor = private_files.open_directory(directory)
    try:
        for attempt in range(1, _LOCK_ATTEMPTS + 1):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _LOCK_ATTEMPTS:
                    raise
                time.sleep(_LOCK_PAUSE_SECONDS)
        yield
    finally:
        # This also releases the lock.
        os.close(descriptor)
