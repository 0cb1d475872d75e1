"""Lines of a file of results as a run writes them, and with each damage that leaves them JSON."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, cast

from promptctl.evaluation.spooled_results import SpooledResults
from promptctl.rules.test_replies import FailedCheck, Judgement, Reply
from promptctl.store.test_runs import CaseOutcome, RunOutcome

if TYPE_CHECKING:
    from pathlib import Path

SHA256 = "00" * 32
_OTHERS: list[Any] = [
    None, True, -1, 1.5, 2**63, 10**400, float("inf"), float("nan"), "\0", "\ud800", "x" * 300, "no uuid",
    ["x"], [["x"]], {"x": 1},
]  # fmt: skip
_FIELDS: dict[str, Any] = {
    **dict.fromkeys(RunOutcome.fields), **dict.fromkeys(("new_calls", "kept_replies", "judge_calls", "errors"), 0),
    "failure": "interrupted", "is_stale": False, "notes": [], "returned_models": [],
}  # fmt: skip
NO_OUTCOME = RunOutcome(**_FIELDS)


def reply(number: int) -> Reply:
    """Return a reply whose id has this number."""
    return Reply(SHA256, SHA256, "m", [], "", None, None, None, None, None, None, None, "", str(uuid.UUID(int=number)))


def lines_of_each_kind(directory: Path, run: int, database: str) -> list[dict[str, Any]]:
    """Return the JSON objects of lines that a run wrote to a file of this directory, which is removed."""
    spooled = SpooledResults(str(directory), run, database)
    spooled.add_replies(SHA256, [reply(1)])
    spooled.add_judgements(SHA256, [Judgement(reply(1).id, SHA256, True, 0.5, "It is.", 1, None, "m", "")])
    spooled.add_batch("msgbatch_1", {"request-1": [SHA256, SHA256, ""]})
    spooled.add_batch_end("msgbatch_1")
    failure = FailedCheck("contains x", "It lacks x.", 1)
    ids = [reply(1).id], [reply(2).id]
    spooled.add_end(NO_OUTCOME, [CaseOutcome(1, 3, 3, 2, 3, 0, True, "worse", 0.5, *ids, [failure])])
    path = directory / f"promptctl-test-{run}.jsonl"
    lines = path.read_text().splitlines()
    path.unlink()
    return [json.loads(line) for line in lines]


def damaged_lines(directory: Path, run: int, database: str) -> list[Any]:
    """Return JSON values with one value of another type in one of these lines, or one key less or more.

    A line that has the name of another database is left out.
    """
    values: list[Any] = []
    for line in lines_of_each_kind(directory, run, database):
        values += _damaged({key: value for key, value in line.items() if key != "database"}, {"database": database})
        values += [{**line, "database": other} for other in _OTHERS if not isinstance(other, str)]
    return values


def _damaged(value: Any, head: dict[str, Any] | None = None) -> list[Any]:
    """Return other values. With the head of a line, each of them has it."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        missing = [{key: one for key, one in fields.items() if key != other} for other in fields]
        parts = [{**fields, key: other} for key, one in fields.items() for other in _damaged(one)]
        objects: list[dict[str, Any]] = [*missing, *parts, {**fields, "of_tomorrow": 1}]
        return [*_OTHERS, *objects] if head is None else [{**head, **one} for one in objects]
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [*_OTHERS, *([*items[:-1], other] for other in (_damaged(items[-1]) if items else ()))]
    return _OTHERS
