"""Store the results that runs left in files, because their database failed."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

from promptctl import errors
from promptctl.evaluation import spooled_lines
from promptctl.evaluation.spooled_results import PREFIX, SUFFIX, locked, write
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from promptctl.evaluation.storage import Storage

# Beside the file, with what cannot be stored. Its name is not that of a file to store.
_ASIDE = ".aside"
# The database refuses these results for ever: the run has its outcome already, or is not in this database.
_FINAL = ("run_ended", "other_text", "run_not_found")


# A run keeps its notes, and a file may have thousands of damaged lines.
_MOST_NOTES_OF_FILE = 10


class _Line(Record):
    """A line of a file: `result` is its JSON object, None if it has none with a database and a run."""

    path: str
    number: int
    raw: bytes
    result: dict[str, Any] | None


def upload(directory: str, storage: Storage) -> list[str]:
    """Store the results of all files in a directory, and remove the files. Return notes for a person.

    The replies to a text that was erased meanwhile are left out. Lines that are damaged, and replies that the database
    refuses for another reason, are kept in a file beside. A file of another database stays. Another process may write
    to a file meanwhile: it goes on with a new one. Raises Unreachable, Failed and Refused, and then the rest stays:
    storing its replies again stores none twice.
    """
    upload = _Upload(storage)
    for name in sorted(os.listdir(directory)):
        if name.startswith(PREFIX) and name.endswith(SUFFIX):
            upload.add_file(os.path.join(directory, name))
    return upload.store()


class _Upload:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._notes: list[str] = []
        self._lines: list[_Line] = []
        # The paths of the files, with their original ones, which notes name.
        self._names: dict[str, str] = {}
        self._stored = 0
        # How many lines are kept aside, by the path of the file.
        self._kept: dict[str, int] = {}
        # How many replies are left out, by the reason.
        self._erased: dict[str, int] = {}

    def add_file(self, path: str) -> None:
        """Read a file, and rename it, so that a run that still writes begins another one."""
        try:
            with locked(path, 0) as file:
                # It sorts before the next file of the run, which has the outcome.
                name = f"{path.removesuffix(SUFFIX).partition('.0-')[0]}.0-{uuid.uuid4().hex[:8]}{SUFFIX}"
                lines = list(_lines(name, file.read()))
                results = [line.result for line in lines if line.result is not None]
                # Of a damaged line, the name of the database may be anything.
                databases = {str(result["database"]) for result in results if isinstance(result["database"], str)}
                if databases - {self._storage.installation()} or (lines and not results):
                    self._notes.append(f"{path} is not of this database, and stays")
                    return
                os.rename(path, name)
        except FileNotFoundError:
            # Another process has taken it.
            return
        except OSError as problem:
            self._notes.append(f"{path} stays: {problem.strerror}")
            return
        self._names[name] = path
        self._lines += lines

    def store(self) -> list[str]:
        """Store all lines, those with an outcome last: a run that has ended takes no more replies."""
        aside: dict[str, list[_Line]] = {}
        for line in sorted(self._lines, key=lambda line: "outcome" in (line.result or ())):
            if not self._store(line):
                aside.setdefault(line.path, []).append(line)
        for path, name in self._names.items():
            try:
                if path in aside:
                    self._set_aside(name, aside[path])
                os.unlink(path)
            except FileNotFoundError:
                # Another process has stored the same lines.
                pass
            except OSError as problem:
                self._notes.append(f"{path} stays: {problem.strerror}")
        self._notes += [
            f"{kept - _MOST_NOTES_OF_FILE} more lines of {path} are kept in {path}{_ASIDE}"
            for path, kept in self._kept.items()
            if kept > _MOST_NOTES_OF_FILE
        ]
        self._notes += [
            f"{_count(replies)} of an earlier run {_are(replies)} not stored: {reason}"
            for reason, replies in self._erased.items()
            if replies
        ]
        if self._stored:
            self._notes.insert(0, f"stored {_count(self._stored)} that an earlier run left in a file")
        return self._notes

    def _store(self, line: _Line) -> bool:
        """Store a line. Return whether it is done with, which a line is not that must be kept aside."""
        place = f"line {line.number} of {self._names[line.path]}"
        try:
            if line.result is None:
                raise ValueError("no JSON object of a result")  # noqa: TRY301 - one answer to each kind of damage
            record, replies = spooled_lines.action(line.result, self._storage)
        except ValueError:
            return self._keep(line, f"{place} is damaged, and is kept in")
        try:
            record()
        except RecursionError:
            return self._keep(line, f"{place} is damaged, and is kept in")
        except (errors.Refused, errors.NotFound) as refusal:
            if refusal.code == "text_erased":
                self._erased[refusal.message] = self._erased.get(refusal.message, 0) + replies
                return True
            if refusal.code not in _FINAL:
                raise
            if replies:
                note = f"{_count(replies)} of {place} {_are(replies)} not stored, and {_are(replies)} kept in"
                self._keep(line, note, f": {refusal.message}")
            return not replies
        except (errors.Usage, errors.Failed) as problem:
            if isinstance(problem, errors.Failed) and problem.code != "database_error":
                raise
            return self._keep(line, f"{place} cannot be stored, and is kept in", f": {problem.message}")
        self._stored += replies
        return True

    def _keep(self, line: _Line, beginning: str, end: str = "") -> bool:
        """Note that a line is kept aside, and return False."""
        path = self._names[line.path]
        self._kept[path] = self._kept.get(path, 0) + 1
        if self._kept[path] <= _MOST_NOTES_OF_FILE:
            self._notes.append(f"{beginning} {path}{_ASIDE}{end}")
        return False

    @staticmethod
    def _set_aside(path: str, lines: Sequence[_Line]) -> None:
        with locked(path + _ASIDE) as file:
            for line in lines:
                write(file, line.raw)


def _lines(path: str, content: bytes) -> Iterator[_Line]:
    """Yield the lines of a file, but for a last one that a killed process left incomplete."""
    for number, raw in enumerate(content.splitlines(keepends=True), 1):
        try:
            result = spooled_lines.parse(raw)
        except ValueError:
            if not raw.endswith(b"\n"):
                continue
            result = None
        yield _Line(path, number, raw, result)


def _count(replies: int) -> str:
    return "1 reply" if replies == 1 else f"{replies} replies"


def _are(replies: int) -> str:
    return "is" if replies == 1 else "are"
