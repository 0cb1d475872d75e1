"""The replies to one case that a run compares, and which of them pass."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from promptctl.evaluation.results import NO_VERDICT, CaseResult, FailedCheck
from promptctl.rules.assertions import RUBRIC
from promptctl.rules.test_verdicts import Counts
from promptctl.store.test_runs import CaseOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.evaluation.judge import Judge
    from promptctl.evaluation.judging import Judging
    from promptctl.evaluation.results import Reply
    from promptctl.rules.test_cases import Case
    from promptctl.rules.test_verdicts import Verdict


class CaseTable:
    """The replies to one case that are compared, and which of them pass."""

    def __init__(
        self,
        case: Case,
        old: Sequence[Reply],
        new: Sequence[Reply],
        repeats: int,
        judging: Judging,
        judge: Judge | None,
    ) -> None:
        self._case = case
        self._judging = judging
        self._judge = judge
        self._old = [(reply, passes) for reply in old if (passes := judging.passes(case, judge, reply)) is not None]
        self._new = [(reply, passes) for reply in new if (passes := judging.passes(case, judge, reply)) is not None]
        judged = {reply.id for reply, _ in self._new}
        self._unjudged = [reply for reply in new if reply.id not in judged]
        self.errors = max(0, repeats - len(self._new))

    def counts(self) -> Counts:
        """Return how many replies pass, and how many there are, of each side."""
        return Counts(
            sum(passes for _, passes in self._old),
            len(self._old),
            sum(passes for _, passes in self._new),
            len(self._new),
            self._case.group,
            self._case.is_critical,
            self.errors,
        )

    def result(self, verdict: Verdict, index: int, *, is_suspicious: bool) -> CaseResult:
        """Return the result of the case, which has the place `index` in the verdict, for views."""
        counts = self.counts()
        is_worse = index in verdict.broken
        was_good = 2 * counts.baseline_passes > counts.baseline_replies
        is_good = 2 * counts.new_passes > counts.new_replies
        has_both = bool(counts.baseline_replies and counts.new_replies)
        is_better = has_both and is_good and not was_good
        is_changed = is_worse or is_suspicious or (has_both and is_good != was_good)
        return CaseResult(
            case=self._case,
            baseline_passes=counts.baseline_passes,
            baseline_replies=counts.baseline_replies,
            new_passes=counts.new_passes,
            new_replies=counts.new_replies,
            errors=self.errors,
            failed_checks=self._failed_checks(),
            is_changed=is_changed,
            verdict="worse" if is_worse else None,
            p=verdict.p_of_case[index] if index < len(verdict.p_of_case) else None,
            example_baseline=_example(self._old, passes=not is_better),
            example_new=_example(self._new, passes=is_better or not is_changed),
        )

    def outcome(self, place: int, result: CaseResult) -> CaseOutcome:
        """Return the result of the case as it is stored. `place` counts from 1."""
        return CaseOutcome(
            place=place,
            baseline_passes=result.baseline_passes,
            baseline_replies=result.baseline_replies,
            new_passes=result.new_passes,
            new_replies=result.new_replies,
            errors=result.errors,
            is_changed=result.is_changed,
            verdict=result.verdict,
            p=result.p,
            baseline_ids=_ids(self._old, result.example_baseline),
            new_ids=_ids(self._new, result.example_new),
            failures=result.failed_checks,
        )

    def _failed_checks(self) -> list[FailedCheck]:
        reasons: dict[int, list[str]] = {}
        unknown: Counter[int] = Counter()
        for reply, _ in self._new:
            for place, check in enumerate(self._judging.checks(self._case, self._judge, reply)):
                if check is not None and not check.passed:
                    reasons.setdefault(place, []).append(check.reason)
        for reply in self._unjudged:
            for place, check in enumerate(self._judging.checks(self._case, self._judge, reply)):
                if check is None and self._case.assertions[place].kind == RUBRIC:
                    unknown[place] += 1
        failed = [(place, texts[0], len(texts)) for place, texts in reasons.items()]
        failed += [(place, NO_VERDICT, number) for place, number in unknown.items()]
        return [
            FailedCheck(self._case.assertions[place].label, reason, number) for place, reason, number in sorted(failed)
        ]


def _example(replies: Sequence[tuple[Reply, bool]], *, passes: bool) -> Reply | None:
    """Return the first reply that passes, or does not; else the first one."""
    for reply, is_passing in replies:
        if is_passing == passes:
            return reply
    return replies[0][0] if replies else None


def _ids(replies: Sequence[tuple[Reply, bool]], first: Reply | None) -> list[str]:
    ids = [reply.id for reply, _ in replies]
    if first is not None:
        ids.remove(first.id)
        ids.insert(0, first.id)
    return ids
