"""Fixtures of evaluation: a storage in memory, verdicts by a simple rule, and runs of cases against the test server."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.claude.api import Claude
from promptctl.evaluation import batches, estimate, runner
from promptctl.evaluation.results import Subject
from promptctl.rules.test_cases import Assertion, Case
from promptctl.rules.test_verdicts import SECOND_STAGE, Counts, Verdict
from promptctl.store.test_runs import OpenBatch, text_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from promptctl.evaluation.results import Estimate, Judgement, Progress, Reply, RunResult
    from promptctl.store.test_runs import CaseOutcome, NewRun, RunOutcome
    from tests.claude_api import ClaudeServer

MODEL = "claude-haiku-5-5"
GOOD, BROKEN = "You are calm.", "You are broken."


class SimpleStatistics:
    """Verdicts by a rule that needs no statistics: a case is broken if it passes half as often."""

    def suspicious(self, counts: Sequence[Counts]) -> list[int]:
        return [
            index
            for index, one in enumerate(counts)
            if one.baseline_replies and one.new_passes * one.baseline_replies < one.baseline_passes * one.new_replies
        ]

    def more_replies(self, stages: Sequence[Sequence[Counts]]) -> dict[int, int]:
        return dict.fromkeys(self.suspicious(stages[0]), SECOND_STAGE) if len(stages) == 1 else {}

    def judge_run(self, stages: Sequence[Sequence[Counts]], margin: float) -> Verdict:
        assert 0 < margin < 1
        assert len({len(stage) for stage in stages}) == 1
        all_replies = stages[-1]
        broken = tuple(
            index
            for index, one in enumerate(all_replies)
            if 2 * one.new_passes * one.baseline_replies < one.baseline_passes * one.new_replies
        )
        word = "worse" if broken else "not worse"
        return Verdict(word, 0.0, (0.0, 0.0), None, broken, [None] * len(all_replies), None, None, "by a simple rule")


@dataclass
class MemoryStorage:
    """What the database keeps, with the same rules: a reply is stored once, and a run that ended takes no more."""

    replies: dict[str, Reply] = field(default_factory=dict[str, "Reply"])
    judgements: dict[tuple[str, str, str], Judgement] = field(default_factory=dict[tuple[str, str, str], "Judgement"])
    runs: dict[int, NewRun] = field(default_factory=dict[int, "NewRun"])
    outcomes: dict[int, RunOutcome] = field(default_factory=dict[int, "RunOutcome"])
    results: dict[int, list[CaseOutcome]] = field(default_factory=dict[int, "list[CaseOutcome]"])
    batches: dict[str, OpenBatch] = field(default_factory=dict[str, OpenBatch])
    ended_batches: set[str] = field(default_factory=set[str])
    is_lost: bool = False
    # The database is lost when the first replies are to be stored.
    is_lost_at_replies: bool = False

    def installation(self) -> str:
        return "memory"

    def kept_replies(self, request_hashes: Sequence[str], most: int) -> list[Reply]:
        self._check()
        by_hash: dict[str, list[Reply]] = defaultdict(list)
        for reply in self.replies.values():
            by_hash[reply.request_hash].append(reply)
        return [reply for one in request_hashes for reply in by_hash[one][-most:]]

    def kept_judgements(self, reply_ids: Sequence[str], judging_keys: Sequence[str]) -> list[Judgement]:
        self._check()
        return [
            one for one in self.judgements.values() if one.reply_id in reply_ids and one.judging_key in judging_keys
        ]

    def begin_run(self, new: NewRun, cases: Sequence[Case]) -> int:
        self._check()
        assert cases
        self.runs[len(self.runs) + 1] = new
        return len(self.runs)

    def standing_result(
        self,
        new: NewRun,  # noqa: ARG002 - a method of Storage
        request_hashes: Sequence[str],  # noqa: ARG002
        repeats: Sequence[int],  # noqa: ARG002
    ) -> RunResult | None:
        """Let every run be judged anew."""
        return None

    def record_replies(self, run: int, sha256: str, replies: Sequence[Reply]) -> None:
        self.is_lost = self.is_lost or self.is_lost_at_replies
        self._check()
        new = self.runs[run]
        assert run not in self.outcomes
        assert sha256 in (new.subject.sha256, new.against.sha256 if new.against else "")
        for reply in sorted(replies, key=lambda one: one.id):
            self.replies.setdefault(reply.id, reply)

    def record_judgements(self, judge_sha256: str, judgements: Sequence[Judgement]) -> None:
        self._check()
        assert len(judge_sha256) == 64
        for one in judgements:
            assert one.reply_id in self.replies
            self.judgements.setdefault((one.reply_id, one.judging_key, one.model), one)

    def record_batch(self, run: int, batch_id: str, requests: Mapping[str, Any]) -> None:
        self._check()
        self.batches[batch_id] = OpenBatch(batch_id, run, dict(requests))

    def open_batches(self, name: str) -> list[OpenBatch]:
        self._check()
        return [
            one
            for key, one in self.batches.items()
            if key not in self.ended_batches and self.runs[one.run].subject.name == name
        ]

    def end_batch(self, batch_id: str) -> None:
        self._check()
        self.ended_batches.add(batch_id)

    def end_run(self, run: int, outcome: RunOutcome, results: Sequence[CaseOutcome]) -> None:
        self._check()
        assert run not in self.outcomes
        self.outcomes[run] = outcome
        self.results[run] = list(results)

    def _check(self) -> None:
        if self.is_lost:
            raise errors.Unreachable("connection_lost", "lost the connection to the database")


@dataclass
class Runner:
    """Runs cases against the test server, with a storage in memory that lasts for the test."""

    claude: ClaudeServer
    monkeypatch: pytest.MonkeyPatch
    directory: Path
    storage: MemoryStorage = field(default_factory=MemoryStorage)
    progress: list[Progress] = field(default_factory=list["Progress"])
    judges: dict[str, Subject] = field(default_factory=dict[str, Subject])
    statistics: runner.Statistics = field(default_factory=SimpleStatistics)
    said: list[str] = field(default_factory=list[str])

    def serve(self, scenario: str = "crowd", **parameters: object) -> None:
        """Let the server answer in this way from now on."""
        self.monkeypatch.setenv("ANTHROPIC_API_KEY", self.claude.KEY)
        self.monkeypatch.setenv("ANTHROPIC_BASE_URL", self.claude.url(scenario, **parameters))

    def run(
        self,
        cases: Sequence[Case],
        new: Subject | None = None,
        against: Subject | None = None,
        **options: Any,
    ) -> RunResult:
        """Run cases. Without `against`, the baseline is a good text."""
        return runner.execute(
            new or subject("You are calm and kind.", 2),
            against or subject(GOOD, 1),
            cases,
            runner.Options(directory=str(self.directory), **options),
            self.progress.append,
            self.storage,
            statistics=self.statistics,
            judge_of=lambda reference: self.judges[reference],
            say=self.said.append,
        )


@pytest.fixture
def run_cases(claude: ClaudeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Runner]:
    """Return a function that returns a Runner for a way in which the server answers."""
    monkeypatch.setattr(batches, "FIRST_POLL_SECONDS", 0.01)

    def open_runner(scenario: str = "crowd", **parameters: object) -> Runner:
        made = Runner(claude, monkeypatch, tmp_path)
        made.serve(scenario, **parameters)
        return made

    return open_runner


def estimated(
    run: Runner, cases: Sequence[Case], new: Subject | None = None, against: Subject | None = None, **options: Any
) -> Estimate:
    """Return what a run of cases would take. Without `against`, the baseline is a good text."""
    return estimate.estimate(
        new or subject("You are calm and kind.", 2),
        against or subject(GOOD, 1),
        cases,
        runner.Options(**options),
        run.storage,
        Claude(),
        judge_of=lambda reference: run.judges[reference],
        report=pytest.fail,
    )


def subject(content: str, version: int | None, **settings: Any) -> Subject:
    """Return a side of a run with this text."""
    return Subject("support", version, text_hash(content), content, {"model": MODEL, "max_tokens": 500, **settings})


def case(number: int, *assertions: Assertion, **fields: Any) -> Case:
    """Return a case whose reply must contain `good`, or satisfy these assertions."""
    message = {"role": "user", "content": f"question {number}"}
    return Case(messages=(message,), assertions=assertions or (Assertion("contains", value="good"),), **fields)


def rubric(text: str = "It is good", **fields: Any) -> Assertion:
    """Return an assertion that a judge decides."""
    return Assertion("llm-rubric", value=text, **fields)
