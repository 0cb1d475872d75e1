"""A file in the working directory for the results of a run whose database failed, and their upload.

Each line is a JSON object. A process that is killed leaves at most the last line incomplete, which is ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, cast

from promptctl import errors
from promptctl.rules.test_replies import Judgement, Reply
from promptctl.store.test_runs import CaseOutcome, Failure, RunOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from io import FileIO

    from promptctl.evaluation.storage import Storage

_PREFIX, _SUFFIX = "promptctl-test-", ".jsonl"


class SpooledResults:
    """The file of one run. It is created, readable for its owner only, when the first result is added."""

    def __init__(self, directory: str, run: int, installation: str) -> None:
        """Name the file in a directory. `installation` is the id of the database of the run."""
        self.path = os.path.join(directory, f"{_PREFIX}{run}{_SUFFIX}")
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
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with open(handle, "ab", buffering=0) as file:
                size = os.fstat(handle).st_size
                try:
                    _write(file, line)
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


def upload(directory: str, storage: Storage) -> list[str]:
    """Store the results of all files in a directory, and remove the files. Return notes for a person.

    What the database refuses is left out, for example the replies of a version that was erased meanwhile. A file of
    another database stays. Raises Unreachable and Failed, and then a file stays too: storing its replies again stores
    none twice.
    """
    notes: list[str] = []
    replies = 0
    for name in sorted(os.listdir(directory)):
        if not (name.startswith(_PREFIX) and name.endswith(_SUFFIX)):
            continue
        path = os.path.join(directory, name)
        try:
            documents = _documents(path)
            if documents is None or any(one["database"] != storage.installation() for one in documents):
                notes.append(f"{path} is not of this database, and stays")
                continue
            for document in documents:
                with contextlib.suppress(errors.Refused, errors.NotFound):
                    _store(document, storage)
                replies += len(document.get("replies", ()))
            os.unlink(path)
        except OSError as problem:
            notes.append(f"{path} stays: {problem.strerror}")
    if replies:
        count = "1 reply" if replies == 1 else f"{replies} replies"
        notes.insert(0, f"stored {count} that an earlier run left in a file")
    return notes


def _write(file: FileIO, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


def _documents(path: str) -> list[dict[str, Any]] | None:
    """Return the lines of a file, those with the outcome last: a run that has ended takes no more replies.

    None for a file of another program. Raises OSError.
    """
    documents: list[dict[str, Any]] = []
    with open(path, "rb") as file:
        for line in file:
            try:
                document: Any = json.loads(line)
            except (ValueError, RecursionError):
                # The process was killed while it wrote the last line.
                continue
            if not isinstance(document, dict) or not {"database", "run"} <= cast("dict[str, Any]", document).keys():
                return None
            documents.append(cast("dict[str, Any]", document))
    return sorted(documents, key=lambda document: "outcome" in document)


def _store(document: Mapping[str, Any], storage: Storage) -> None:
    run: int = document["run"]
    if "replies" in document:
        storage.record_replies(run, document["sha256"], [Reply(**fields) for fields in document["replies"]])
    elif "judgements" in document:
        storage.record_judgements(document["judge_sha256"], [Judgement(**fields) for fields in document["judgements"]])
    elif "batch" in document:
        storage.record_batch(run, document["batch"], document["requests"])
    elif "ended_batch" in document:
        storage.end_batch(document["ended_batch"])
    else:
        storage.end_run(run, RunOutcome(**document["outcome"]), list(map(_case_outcome, document["results"])))


def _case_outcome(fields: dict[str, Any]) -> CaseOutcome:
    failures: Any = [Failure(**failure) for failure in fields["failures"]]
    return CaseOutcome(**{**fields, "failures": failures})
