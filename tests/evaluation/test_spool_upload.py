"""Results that runs left in files: what --resume stores, what it keeps aside, and what other processes do meanwhile."""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.evaluation import spool_upload
from promptctl.evaluation.result_recorder import Recorder
from promptctl.evaluation.spooled_results import SpooledResults
from tests.evaluation.conftest import MemoryStorage
from tests.evaluation.damaged_lines import NO_OUTCOME, SHA256, lines_of_each_kind, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from promptctl.rules.test_replies import Reply
    from promptctl.store.test_runs import CaseOutcome, RunOutcome


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


def numbers(replies: Iterable[str]) -> list[int]:
    """Return the numbers of replies by their ids."""
    return [uuid.UUID(one).int for one in replies]


def spool(directory: Path, run: int, *replies: int) -> SpooledResults:
    """Write replies with these numbers to the file of a run."""
    spooled = SpooledResults(str(directory), run, "memory")
    for number in replies:
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
    assert numbers(storage.replies) == [1, 2]
    assert names(tmp_path) == ["promptctl-test-1.jsonl.aside"]
    assert (tmp_path / "promptctl-test-1.jsonl.aside").read_bytes() == b"".join(damaged)
    assert spool_upload.upload(str(tmp_path), storage) == []


# What a run never writes, with the line of a run that it is in the place of.
NEVER_WRITTEN: list[tuple[str, Any]] = [
    ("run", True), ("run", "1"), ("run", 1.5), ("run", -1), ("run", 2**63), ("run", float("inf")), ("run", [1]),
    ("database", ["x"]), ("database", None), ("sha256", "00"), ("sha256", None), ("replies", {}), ("replies", [[]]),
    ("replies", [{**reply(1).as_dict(), "id": "1"}]), ("replies", [{**reply(1).as_dict(), "input_tokens": 1.5}]),
    ("replies", [{**reply(1).as_dict(), "cost": True}]), ("replies", [{**reply(1).as_dict(), "blocks": None}]),
    ("replies", [{**reply(1).as_dict(), "model": None}]), ("replies", [{"id": reply(1).id}]),
    ("batch", ""), ("batch", "\0"), ("batch", 1), ("requests", []), ("requests", {"x": None}),
    ("requests", {"x": [SHA256, SHA256]}), ("requests", {"x": [SHA256, None, ""]}), ("requests", {"\0": ["", "", ""]}),
    ("ended_batch", None), ("judgements", [None]), ("judge_sha256", "x" * 64), ("outcome", {}), ("outcome", None),
    ("outcome", {**NO_OUTCOME.as_dict(), "cost": float("nan")}), ("outcome", {**NO_OUTCOME.as_dict(), "notes": None}),
    ("results", None), ("results", [{}]),
]  # fmt: skip


def test_what_a_run_never_writes_is_kept_aside(tmp_path: Path) -> None:
    lines = lines_of_each_kind(tmp_path, 1, "memory")
    damaged = [{**next(line for line in lines if key in line), key: value} for key, value in NEVER_WRITTEN]
    damaged += [{key: one for key, one in lines[0].items() if key != other} for other in ("sha256", "replies")]
    damaged.append({**lines[0], "of_tomorrow": 1})
    path = tmp_path / "promptctl-test-1.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in damaged))
    spool(tmp_path, 2, 2)
    storage = RefusingStorage()
    assert spool_upload.upload(str(tmp_path), storage) == [
        "stored 1 reply that an earlier run left in a file",
        *(f"line {place} of {path} is damaged, and is kept in {path}.aside" for place in range(1, 11)),
        f"{len(damaged) - 10} more lines of {path} are kept in {path}.aside",
    ]
    kept = (tmp_path / f"{path.name}.aside").read_text().splitlines()
    assert sorted(kept) == sorted(map(json.dumps, damaged))
    assert numbers(storage.replies) == [2]


def test_a_file_that_has_nothing_but_damage_is_kept_aside_and_one_of_something_else_stays(tmp_path: Path) -> None:
    deep = b'{"a":' * 100_000
    for number, line in enumerate((b'{"database":["x"],"run":1}', b'{"database":"memory","run":1e999}', deep), 1):
        (tmp_path / f"promptctl-test-{number}.jsonl").write_bytes(line + b"\n")
    spool(tmp_path, 4, 1)
    storage = RefusingStorage()
    first, second, third = (f"{tmp_path}/promptctl-test-{number}.jsonl" for number in (1, 2, 3))
    assert spool_upload.upload(str(tmp_path), storage) == [
        "stored 1 reply that an earlier run left in a file",
        f"{third} is not of this database, and stays",
        f"line 1 of {first} is damaged, and is kept in {first}.aside",
        f"line 1 of {second} is damaged, and is kept in {second}.aside",
    ]
    assert numbers(storage.replies) == [1]


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
    assert (numbers(storage.replies), other.exists()) == ([1, 2], False)
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
    assert numbers(storage.replies) == [4]
    # What may be stored another time stays.
    spool(tmp_path, 4, 5)
    refusals[4] = errors.Refused("permission_denied", "permission denied")
    with pytest.raises(errors.Refused, match="permission denied"):
        spool_upload.upload(str(tmp_path), storage)
    del refusals[4]
    spool_upload.upload(str(tmp_path), storage)
    assert numbers(storage.replies) == [4, 5]


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
    assert sorted(numbers(storage.replies)) == [1, 2]
    assert storage.ended == [1]
    [name] = names(tmp_path)
    assert json.loads((tmp_path / name).read_text())["replies"][0]["id"] == reply(3).id
    spool_upload.upload(str(tmp_path), storage)
    assert sorted(numbers(storage.replies)) == [1, 2, 3]
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
