"""A run of test cases: its time against the bound of a rate limit, its cost, its memory, and unchanged prompts.

    python benchmarks/tests_run.py [--cases N] [--rate CALLS]

A local server replaces Claude. It rejects one call in ten with 429 or 529, and has a rate limit of its own. The bound
is the time in which this limit admits the calls.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from measure import ROOT, Report, install, start_server

from promptctl.claude import prices
from tests.claude_api import ClaudeServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.claude_api import Request

_REPEAT = 3
_BURST = 10
_PROMPTS = 100
_MODEL = "claude-haiku-5-5"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=1000, help="how many cases are run, three times each")
    options.add_argument("--rate", type=int, default=40, help="calls a second that the rate limit admits")
    options.add_argument("--dsn", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.dsn is not None:
        return _run(arguments.dsn, arguments.cases)
    report = Report()
    with start_server() as server, ClaudeServer() as claude:
        dsn = install(server, "tests_run")
        _measure(report, claude, dsn, arguments.cases, arguments.rate)
    return report.close()


def _measure(report: Report, claude: ClaudeServer, dsn: str, cases: int, rate: int) -> None:
    environment = os.environ | {
        "ANTHROPIC_API_KEY": claude.KEY,
        "ANTHROPIC_BASE_URL": claude.url("crowd", rate=rate, burst=_BURST, reject_every=10, delay_ms=200),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, __file__, "--dsn", dsn, "--cases", str(cases)]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    calls, new_calls, seconds, megabytes, estimated, cost, first_cost, unchanged, unchanged_calls = (
        float(word) for word in output.splitlines()[-1].split()
    )
    sent = [request for request in claude.requests if request.status is not None]
    statuses = Counter(request.status for request in sent)
    replies = Counter(str(request.body["messages"]) for request in sent if request.status == 200)
    report.heading(f"{cases} cases, {_REPEAT} replies each; {rate} calls a second are admitted")
    report.add("time, to the bound of the rate limit", seconds / ((new_calls - _BURST) / rate), 1.3)
    report.add("calls that are lost", cases * _REPEAT - calls, 0, unit="")
    report.add("calls that succeeded and were made again", statuses[200] - cases * _REPEAT, 0, unit="")
    report.add("most replies to one case, to those that it needs", max(replies.values()) / _REPEAT, 1.0)
    report.add("rejected with 529", statuses[529], unit="")
    report.add("rejected with 429", statuses[429], unit="")
    report.add("memory of the process", megabytes, 200, unit="MB")
    billed = _billed(sent)
    report.add("difference of the cost from the bill", abs(first_cost + cost - billed) / billed * 100, 0.1, unit="%")
    report.add("difference of the cost from the estimate", abs(cost - estimated) / cost * 100, 2, unit="%")
    report.heading(f"{_PROMPTS} prompts that are not changed")
    report.add("time", unchanged, 1, unit="s")
    report.add("calls", unchanged_calls, 0, unit="")


def _billed(requests: Sequence[Request]) -> float:
    total = 0.0
    for request in requests:
        if (usage := request.usage) is not None:
            model = request.body["model"]
            cost = prices.cost_usd(model, usage["input_tokens"], usage["output_tokens"], 0, 0, "2026-11-30T00:00:00Z")
            assert cost is not None
            total += cost
    return total


def _run(dsn: str, count: int) -> int:
    """Estimate and run cases in this process, and print the figures."""
    from promptctl.claude.api import Claude
    from promptctl.evaluation import estimate, runner
    from promptctl.evaluation.results import Subject
    from promptctl.evaluation.storage import DatabaseStorage
    from promptctl.postgres import connecting
    from promptctl.rules.test_cases import Assertion, Case
    from promptctl.store.test_runs import text_hash
    from tests.evaluation.conftest import SimpleStatistics

    def side(name: str, content: str) -> Subject:
        return Subject(name, None, text_hash(content), content, {"model": _MODEL, "max_tokens": 500})

    def no_judge(reference: str) -> Subject:
        raise LookupError(reference)

    cases = [
        Case(
            messages=({"role": "user", "content": f"question {number}"},),
            assertions=(Assertion("contains", value="good"),),
        )
        for number in range(count)
    ]
    text = side("support", "You are calm. " * 200)
    with connecting.connect(dsn) as database:
        storage = DatabaseStorage(database, "benchmark@example.com")
        # A few kept replies tell how long a reply is.
        first = runner.Options(repeat=1)
        before = runner.execute(
            text, None, cases[:20], first, lambda _: None, storage, statistics=SimpleStatistics(), judge_of=no_judge
        ).cost
        options = runner.Options()
        expected = estimate.estimate(text, None, cases, options, storage, Claude(), judge_of=no_judge, report=print)
        began = time.perf_counter()
        result = runner.execute(
            text, None, cases, options, lambda _: None, storage, statistics=SimpleStatistics(), judge_of=no_judge
        )
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        calls = 0
        for number in range(_PROMPTS):
            same = side(f"prompt{number}", f"You are number {number}.")
            calls += runner.execute(
                same, same, cases, options, lambda _: None, storage, statistics=SimpleStatistics(), judge_of=no_judge
            ).new_calls
        unchanged = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1024)
    assert expected.cost is not None
    assert result.cost is not None
    total = result.new_calls + result.kept_replies
    print(total, result.new_calls, seconds, memory, expected.cost, result.cost, before, unchanged, calls)
    return 0


if __name__ == "__main__":
    sys.exit(main())
