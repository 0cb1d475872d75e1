"""A run of cases in a process of its own, which a test kills: `python -m tests.evaluation.killed_run DSN BATCH`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from promptctl.evaluation import batches, runner
from promptctl.evaluation.storage import DatabaseStorage
from promptctl.postgres import connecting
from tests.evaluation.conftest import GOOD, SimpleStatistics, case, rubric, subject

if TYPE_CHECKING:
    from promptctl.evaluation.results import RunResult

CASES = [case(number, rubric("It is good")) for number in range(4)]


def run(dsn: str, *, is_batch: bool) -> RunResult:
    """Run the cases, and print the progress."""
    batches.FIRST_POLL_SECONDS = 0.05
    with connecting.connect(dsn) as database:
        return runner.execute(
            subject("You are broken.", None),
            subject(GOOD, 1),
            CASES,
            runner.Options(is_batch=is_batch, is_resumed=is_batch),
            lambda progress: print(progress.stage, progress.calls, flush=True),
            DatabaseStorage(database, "ada@example.com"),
            statistics=SimpleStatistics(),
            judge_of=lambda _: subject("", None),
        )


if __name__ == "__main__":
    run(sys.argv[1], is_batch=sys.argv[2] == "batch")
