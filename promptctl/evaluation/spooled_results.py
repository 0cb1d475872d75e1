"""A file in the working directory for the results of a run whose database failed.

Each line is a JSON object. A process that is killed leaves at most the last line incomplete.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import stat
from typing import TYPE_CHECKING

from promptctl import errors

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from io import FileIO
    from typing import Any

    from promptctl.rules.test_replies import Judgement, Reply
    from promptctl.store.test_runs import CaseOutcome, RunOutcome

PREFIX, SUFFIX = "promptctl-test-", ".jsonl"


class SpooledResults:
    """The file of one run. It is created, readable for its owner only, when the first result is added."""

    def __init__(self, directory: str, run: int, installation: str) -> None:
        """Name the file in a directory. `installation` is the id of the database of the run."""
        self.path = _free_path(os.path.join(directory, f"{PREFIX}{run}"))
        self._head = {"database": installation, "run": run}

    def add_replies(self, sha256: str, replies: Sequence[Reply]) -> None:
        """Add replies to the text with this hash. Raises Failed (`spool_failed`)."""
        self._add({"sha256": sha256, "replies": [reply.as_dict() for reply in replies]})

    def add_judgements(self, judge_sha256: str, judgements: Sequence[Judgement]) -> None:
        """Add judgements of one judge. Raises Failed (`spool_failed`)."""
        self._add({"judge_sha256": judge_sha256, "judgements": [one.as_dict() for one in judgements]})

    def add_end(self, outcome: RunOutcome, results: Sequence[CaseOutcome]) -> None:
        """Add the outcome of the run. Raises Failed (`spool_failed`)."""
        cases = [
            result.as_dict() | {"failures": [failure.as_dict() for failure in result.failures or ()]}
            for result in results
        ]
        self._add({"outcome": outcome.as_dict(), "results": cases})

    def add_batch(self, batch_id: str, requests: Mapping[str, Any]) -> None:
        """Add the id of a batch of messages, and what its replies need. Raises Failed (`spool_failed`)."""
        self._add({"batch": batch_id, "requests": dict(requests)})

    def add_batch_end(self, batch_id: str) -> None:
        """Add that the replies of a batch were taken. Raises Failed (`spool_failed`)."""
        self._add({"ended_batch": batch_id})

    def _add(self, document: Mapping[str, Any]) -> None:
        line = json.dumps({**self._head, **document}).encode() + b"\n"
        try:
            with locked(self.path) as file:
                size = os.fstat(file.fileno()).st_size
                try:
                    write(file, line)
                except OSError:
                    # Without a part of a line, into which the next one would be written.
                    with contextlib.suppress(OSError):
                        file.truncate(size)
                    raise
        except OSError as problem:
            raise errors.Failed(
                "spool_failed",
                f"the database failed, and the replies cannot be written to {self.path}: {problem.strerror}",
                hint="run the command in a directory that you may write to",
            ) from problem


@contextlib.contextmanager
def locked(path: str, flags: int = os.O_APPEND | os.O_CREAT) -> Generator[FileIO]:
    """Open the file at a path to read and to add lines, and lock it.

    Another process may rename or remove it while this one waits for the lock. Then the file that has the path now is
    opened. Raises OSError, also for a link, which would be followed to another file, and for a pipe or a device, which
    could block.
    """
    import fcntl  # Windows has none, and must be able to import this module

    while True:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o600)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "it is not a regular file")
        with open(handle, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                is_current = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
            except FileNotFoundError:
                is_current = False
            if is_current:
                yield file
                return


def _free_path(start: str) -> str:
    """Return the path of a file that does not exist, or of a regular file of this user."""
    for number in itertools.count(1):
        path = f"{start}{SUFFIX}" if number == 1 else f"{start}-{number}{SUFFIX}"
        try:
            status = os.lstat(path)
        except OSError:
            # If it cannot be made, the first result says why.
            return path
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
            return path
    raise AssertionError("a path is free")


def write(file: FileIO, line: bytes) -> None:
    """Write a line to the disk. Raises OSError."""
    rest = memoryview(line)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())
