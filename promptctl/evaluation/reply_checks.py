"""Check the replies of a run that is stored: whether each passes, and which assertions it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.evaluation import checks
from promptctl.evaluation.checks import Check
from promptctl.evaluation.judge import Judge
from promptctl.evaluation.results import CaseReplies, CheckedReply, ReplyFault
from promptctl.rules.assertions import RUBRIC
from promptctl.store import test_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from promptctl.evaluation.results import Judgement, Reply, RunResult, Subject
    from promptctl.postgres.database import Database
    from promptctl.rules.test_cases import Assertion, Case

    Sides = Sequence[tuple[Sequence[Reply], Sequence[Reply]]]


def check_all(
    database: Database, result: RunResult, sides: Sides, judge_of: Callable[[str], Subject]
) -> list[CaseReplies]:
    """Return the replies to each case of a run with their checks, which are made again, in the main thread only.

    No judge is asked: the kept verdicts count. `judge_of` returns the version that is the judge with a reference.
    Raises Unreachable if the database is lost.
    """
    judges = _Judges(result, judge_of)
    ids = sorted({reply.id for pair in sides for side in pair for reply in side})
    # A login that may not read replies may not read judgements either.
    keys = sorted({key for case in result.cases for key in judges.keys(case.case)}) if ids else []
    kept = test_runs.kept_judgements(database, ids, keys) if keys else []
    return _checked(result, sides, judges, kept)


def check_examples(result: RunResult) -> list[CaseReplies]:
    """Return the example replies of each case of a run with their checks, without the verdicts of judges."""

    def side(example: Reply | None) -> list[Reply]:
        return [] if example is None else [example]

    sides = [(side(case.example_baseline), side(case.example_new)) for case in result.cases]
    return _checked(result, sides, None, ())


def _checked(result: RunResult, sides: Sides, judges: _Judges | None, kept: Iterable[Judgement]) -> list[CaseReplies]:
    judgements = {(one.reply_id, one.judging_key): one for one in kept}

    def check(case: Case, assertion: Assertion, reply: Reply) -> Check | str:
        """Return the check of an assertion, or why it is not known."""
        if assertion.kind != RUBRIC:
            try:
                return checks.check(assertion, reply)
            except checks.NotKnown as reason:
                return str(reason)
        key = None if judges is None else judges.key(case, assertion)
        judged = None if key is None else checks.judged(judgements.get((reply.id, key)))
        return judged or "no verdict of a judge is kept"

    def checked(case: Case, reply: Reply) -> CheckedReply:
        pairs = [(assertion, check(case, assertion, reply)) for assertion in case.assertions]
        results = [one if isinstance(one, Check) else None for _, one in pairs]
        decided = [one for one in results if one is not None]
        return CheckedReply(
            reply,
            checks.passes(case, results),
            [
                ReplyFault(assertion.label, one.reason, assertion.weight != 0)
                for assertion, one in pairs
                if isinstance(one, Check) and not one.passed
            ],
            [f"{assertion.label}: {one}" for assertion, one in pairs if isinstance(one, str)],
            checks.mean_score(case, decided) if case.threshold is not None and len(decided) == len(results) else None,
        )

    return [
        CaseReplies([checked(case.case, reply) for reply in old], [checked(case.case, reply) for reply in new])
        for case, (old, new) in zip(result.cases, sides, strict=True)
    ]


class _Judges:
    """The judges of a run, each read once. A judge that cannot be read, for example an erased one, has no verdicts."""

    def __init__(self, result: RunResult, judge_of: Callable[[str], Subject]) -> None:
        self._pinned = result.judge.split(", ")
        self._judge_of = judge_of
        self._by_reference: dict[str | None, Judge | None] = {}

    def keys(self, case: Case) -> list[str]:
        """Return the keys of the verdicts on a case."""
        keys = [self.key(case, assertion) for assertion in case.assertions if assertion.kind == RUBRIC]
        return [key for key in keys if key is not None]

    def key(self, case: Case, assertion: Assertion) -> str | None:
        """Return the key of the verdicts on a rubric of a case, None without a judge."""
        if case.judge not in self._by_reference:
            self._by_reference[case.judge] = self._read(case.judge)
        judge = self._by_reference[case.judge]
        return None if judge is None else judge.key(assertion)

    def _read(self, reference: str | None) -> Judge | None:
        if reference is None:
            return Judge.of(None)
        # The case may name a prompt alone. The run has the number of the version that judged.
        pinned = next((one for one in self._pinned if one.startswith(f"{reference}@")), reference)
        try:
            return Judge.of(self._judge_of(pinned))
        except (errors.NotFound, errors.Usage):
            return None
