"""A file with the active versions that a client has read, from which a process starts while the database is down.

Processes may share a file. Names that another process has put there are returned, so that the client reads and follows
them as well, and no process removes what another one needs.
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
# Larger than any snapshot; a larger file must not exhaust an application's memory.
_LARGEST_BYTES = 1 << 30
# An unchanged state is written this often, so that the file's age is at most so much too high.
_RENEW_AFTER_SECONDS = 60.0
# At most this part of the time is spent on writing, because active versions are not followed meanwhile.
_MOST_OF_THE_TIME = 0.05
_PAUSE_AFTER_FAILURE_SECONDS = 1.0
# How often, and after which pauses, a process tries to lock the directory while another one writes.
_TRIES, _PAUSE_SECONDS = 20, 0.01


class Snapshot:
    """The file and when to write it. It contains the texts of prompts, so only its owner can read it."""

    def __init__(self, path: str, identity: str) -> None:
        """`identity` names the database; a file of another database is not used."""
        self._path = path
        self._identity = identity
        self._saved_at = self._next_at = float("-inf")
        # Whether the state has changed since it was written.
        self.is_behind = False
        # The version of the file that this process wrote.
        self._own: tuple[int, int] | None = None
        self._has_warned = False

    def is_due(self, *, is_changed: bool) -> bool:
        """Return whether to write now: the state `is_changed`, or was not written for a minute."""
        self.is_behind = self.is_behind or is_changed
        now = time.monotonic()
        return now >= self._next_at and (self.is_behind or now - self._saved_at >= _RENEW_AFTER_SECONDS)

    @property
    def due_at(self) -> float:
        """When a changed state may be written (time.monotonic); infinity: the state has not changed."""
        return self._next_at if self.is_behind else float("inf")

    def save(
        self, state: State, age_seconds: float, gone: Collection[str] = (), *, is_ending: bool = False
    ) -> Sequence[str]:
        """Write a state of this age. A failure is logged.

        If another process has added names to the file that the state does not have, nothing is written and they are
        returned, except for those that are `gone`. If the process `is_ending`, the other process's entries are kept.
        """
        began = time.monotonic()
        try:
            with _locked(os.path.dirname(self._path)):
                others = None if self._file_version() in (None, self._own) else self._read(logs=False)
                new_names = [name for name in state.missing(others.names) if name not in gone] if others else []
                if new_names and not is_ending:
                    return new_names
                raw = snapshot_format.encode(self._identity, state, age_seconds, others if new_names else None)
                private_files.check_replaceable(self._path)
                atomic_files.replace(self._path, raw, self._mode())
                self._own = self._file_version()
        except BlockingIOError:  # another process is writing
            self._next_at = time.monotonic() + _PAUSE_SECONDS
            return ()
        except OSError as error:
            if not self._has_warned:
                _LOG.warning("promptctl: cannot write the snapshot %s: %s", self._path, error.strerror or error)
            self._has_warned = True
            self._next_at = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS
        else:
            self._saved_at = began
            self.is_behind = self._has_warned = False
            ended = time.monotonic()
            self._next_at = ended + (ended - began) / _MOST_OF_THE_TIME
        return ()

    def load(self) -> Contents | None:
        """Return the contents of the file; None, with a warning, if it cannot be used."""
        contents = self._read(logs=True)
        if contents is not None:
            _LOG.warning("promptctl: using the snapshot %s, confirmed %.0f s ago", self._path, contents.age_seconds)
        return contents

    def _read(self, *, logs: bool) -> Contents | None:
        try:
            with open(private_files.open_file(self._path), "rb") as file:
                raw = bounded_input.from_stream(file, _LARGEST_BYTES)
            return snapshot_format.decode(raw, self._identity)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, errors.Usage) as error:
            if logs:
                reason: object = getattr(error, "strerror", None) or error
                if isinstance(error, (LookupError, AttributeError)):
                    reason = f"it is damaged ({error!r})"
                _LOG.warning("promptctl: the snapshot %s cannot be used: %s", self._path, reason)
            return None

    def _mode(self) -> int:
        """Return the mode of the present file, so that a group that an operator has set can still read it."""
        try:
            return stat.S_IMODE(os.lstat(self._path).st_mode)
        except FileNotFoundError:
            return stat.S_IRUSR | stat.S_IWUSR

    def _file_version(self) -> tuple[int, int] | None:
        """Return what changes when the file is replaced; None: there is no file."""
        try:
            status = os.lstat(self._path)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


@contextlib.contextmanager
def _locked(directory: str) -> Generator[None]:
    """A block in which no other process writes a snapshot in this directory. Raises BlockingIOError after a while."""
    import fcntl

    descriptor = private_files.open_directory(directory)
    try:
        for number in range(_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if number == _TRIES - 1:
                    raise
                time.sleep(_PAUSE_SECONDS)
        yield
    finally:
        os.close(descriptor)
