"""Results that runs left in files: what --resume stores, what it keeps aside, and what other processes do meanwhile."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.evaluation import spool_upload
from promptctl.evaluation.result_recorder import Recorder
from promptctl.evaluation.spooled_results import SpooledResults
from promptctl.rules.test_replies import Reply
from promptctl.store.test_runs import RunOutcome
from tests.evaluation.conftest import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from promptctl.store.test_runs import CaseOutcome

SHA256 = "00" * 32
_FIELDS: dict[str, Any] = dict.fromkeys(RunOutcome.fields)
NO_OUTCOME = RunOutcome(**_FIELDS)


class RefusingStorage(MemoryStorage):
    """Calls `answer` with the number of each run that gets replies, and keeps them."""

    def __init__(self, answer: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        self.answer = answer
        self.ended: list[int] = []

    def record_replies(self, run: int, sha256: str, replies: Sequence[Reply]) -> None:
        assert sha256 == SHA256
        self.answer(run)
        self.replies.update({reply.id: reply for reply in replies})

    def end_run(self, run: int, outcome: RunOutcome, results: Sequence[CaseOutcome]) -> None:
        assert (outcome.verdict, list(results)) == (None, [])
        self.ended.append(run)


def reply(number: int) -> Reply:
    return Reply("", SHA256, "m", [], "", None, None, None, None, None, None, None, "", str(number))


def spool(directory: Path, run: int, *numbers: int) -> SpooledResults:
    """Write replies with these numbers to the file of a run."""
    spooled = SpooledResults(str(directory), run, "memory")
    for number in numbers:
        spooled.add_replies(SHA256, [reply(number)])
    return spooled


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_lines_that_are_damaged_are_kept_aside_and_the_others_are_stored(tmp_path: Path) -> None:
    spool(tmp_path, 1, 1)
    path = tmp_path / "promptctl-test-1.jsonl"
    damaged = [
        b'{"database": "memory", "run": 1}\n', b"nonsense\n", b"[]\n",
        b'{"database": "memory", "run": 1, "sha256": "no", "replies": []}\n',
        b'{"database": "memory", "run": 1, "sha256": "00", "replies": [{"id": 1}]}\n',
        b'{"database": "memory", "run": {}, "batch": 1, "requests": 2}\n',
    ]  # fmt: skip
    with path.open("ab") as file:
        file.write(b"".join(damaged))
    spool(tmp_path, 1, 2)
    with path.open("ab") as file:
        # The process was killed.
        file.write(b'{"database": "mem')
    storage = RefusingStorage()
    aside = f"{path}.aside"
    assert spool_upload.upload(str(tmp_path), storage) == [
        "stored 2 replies that an earlier run left in a file",
        *(f"line {number} of {path} is damaged, and is kept in {aside}" for number in range(2, 8)),
    ]
    assert list(storage.replies) == ["1", "2"]
    assert names(tmp_path) == ["promptctl-test-1.jsonl.aside"]
    assert (tmp_path / "promptctl-test-1.jsonl.aside").read_bytes() == b"".join(damaged)
    assert spool_upload.upload(str(tmp_path), storage) == []


def test_a_name_that_is_taken_by_something_else_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other"
    os.mkfifo(tmp_path / "promptctl-test-1.jsonl")
    (tmp_path / "promptctl-test-1-2.jsonl").symlink_to(other)
    (tmp_path / "promptctl-test-2.jsonl").symlink_to("/dev/zero")
    spooled = spool(tmp_path, 1, 1, 2)
    assert spooled.path == str(tmp_path / "promptctl-test-1-3.jsonl")
    storage = RefusingStorage()
    assert spool_upload.upload(str(tmp_path), storage) == [
        "stored 2 replies that an earlier run left in a file",
        f"{tmp_path}/promptctl-test-1-2.jsonl stays: Too many levels of symbolic links",
        f"{tmp_path}/promptctl-test-1.jsonl stays: it is not a regular file",
        f"{tmp_path}/promptctl-test-2.jsonl stays: Too many levels of symbolic links",
    ]
    assert (list(storage.replies), other.exists()) == (["1", "2"], False)
    # Something takes the name while the run goes on.
    os.mkfifo(spooled.path)
    with pytest.raises(errors.Failed, match=r"cannot be written to .*: it is not a regular file"):
        spooled.add_replies(SHA256, [reply(3)])


def test_replies_that_the_database_refuses_are_not_reported_as_stored(tmp_path: Path) -> None:
    spool(tmp_path, 1, 1, 2)
    spool(tmp_path, 2, 3)
    spool(tmp_path, 3, 4)
    refusals = {
        1: errors.Refused("text_erased", "the text that run 1 tests was erased"),
        2: errors.Refused("run_ended", "run 2 has ended"),
    }
    storage = RefusingStorage()

    def answer(run: int) -> None:
        if run in refusals:
            raise refusals[run]

    storage.answer = answer
    second = tmp_path / "promptctl-test-2.jsonl"
    assert spool_upload.upload(str(tmp_path), storage) == [
        "stored 1 reply that an earlier run left in a file",
        f"1 reply of line 1 of {second} is not stored, and is kept in {second}.aside: run 2 has ended",
        "2 replies of an earlier run are not stored: the text that run 1 tests was erased",
    ]
    assert names(tmp_path) == ["promptctl-test-2.jsonl.aside"]
    assert list(storage.replies) == ["4"]
    # What may be stored another time stays.
    spool(tmp_path, 4, 5)
    refusals[4] = errors.Refused("permission_denied", "permission denied")
    with pytest.raises(errors.Refused, match="permission denied"):
        spool_upload.upload(str(tmp_path), storage)
    del refusals[4]
    spool_upload.upload(str(tmp_path), storage)
    assert list(storage.replies) == ["4", "5"]


def test_a_run_that_goes_on_while_its_file_is_stored_loses_nothing(tmp_path: Path) -> None:
    running = spool(tmp_path, 1, 1)
    storage = RefusingStorage()

    def go_on(run: int) -> None:
        assert run == 1
        storage.answer = RefusingStorage().answer
        running.add_replies(SHA256, [reply(2)])
        running.add_end(NO_OUTCOME, [])
        # A second --resume takes the new file, and ends the run.
        spool_upload.upload(str(tmp_path), storage)
        running.add_replies(SHA256, [reply(3)])

    storage.answer = go_on
    spool_upload.upload(str(tmp_path), storage)
    assert sorted(storage.replies) == ["1", "2"]
    assert storage.ended == [1]
    [name] = names(tmp_path)
    assert json.loads((tmp_path / name).read_text())["replies"][0]["id"] == "3"
    spool_upload.upload(str(tmp_path), storage)
    assert sorted(storage.replies) == ["1", "2", "3"]
    assert names(tmp_path) == []


def test_replies_to_an_erased_text_are_kept_nowhere_and_no_failure_of_the_database(tmp_path: Path) -> None:
    storage = RefusingStorage()

    def refuse(run: int) -> None:
        raise errors.Refused("text_erased", f"the text that run {run} tests was erased")

    storage.answer = refuse
    recorder = Recorder(storage, 13, str(tmp_path))
    for number in range(40):
        recorder.add_reply(SHA256, reply(number))
    recorder.flush()
    assert recorder.notes == ["the replies to it are not kept: the text that run 13 tests was erased"]
    assert names(tmp_path) == []
