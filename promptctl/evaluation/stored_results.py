"""Read the result of a stored run, as `runner.execute` returned it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.evaluation.results import CaseResult, ModelNames, RunResult, Subject
from promptctl.rules.test_verdicts import Verdict
from promptctl.store import test_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.evaluation.results import Reply
    from promptctl.postgres.database import Database
    from promptctl.rules.test_cases import Case
    from promptctl.store.test_runs import CaseOutcome, RunRecord

    # The replies to each case: of the baseline and of the new side, the one to show first at the beginning.
    Replies = list[tuple[list[Reply], list[Reply]]]


def read(database: Database, run: RunRecord, *, with_replies: bool = True) -> tuple[RunResult, Replies]:
    """Return the result of a run that has a verdict, and the replies to each of its cases, none if not `with_replies`.

    A login that may not read replies gets no reply and no failed check. Replies that were dropped are left out. The
    texts of both sides are '', because a run has their hashes only.
    """
    outcomes = test_runs.read_results(database, run.run)
    may_read = with_replies and not any(outcome.failures is None for _, outcome in outcomes)
    ids = sorted({one for _, outcome in outcomes for one in (*outcome.baseline_ids, *outcome.new_ids)})
    by_id = {reply.id: reply for reply in test_runs.read_replies(database, ids)} if may_read and ids else {}
    replies = [(_chosen(by_id, outcome.baseline_ids), _chosen(by_id, outcome.new_ids)) for _, outcome in outcomes]
    cases = [_case(case, outcome, *sides) for (case, outcome), sides in zip(outcomes, replies, strict=True)]
    against = None
    if run.against_name is not None:
        against = Subject(run.against_name, run.against_version, "", "", {})
    result = RunResult(
        id=str(run.run),
        subject=Subject(run.name, run.version, run.sha256, "", {}),
        against=against,
        cases=cases,
        verdict=_verdict(run, cases),
        new_calls=run.new_calls,
        kept_replies=run.kept_replies,
        judge_calls=run.judge_calls,
        cost=run.cost,
        input_tokens=run.input_tokens or 0,
        output_tokens=run.output_tokens or 0,
        started_at=run.began_at,
        seconds=run.seconds,
        models=ModelNames(run.requested_model or "", run.returned_models),
        is_stale=run.is_stale,
        notes=run.notes,
        margin=run.margin,
        judge=run.judge or "",
    )
    return result, replies


def _verdict(run: RunRecord, cases: Sequence[CaseResult]) -> Verdict:
    interval = None if run.lower is None or run.upper is None else (run.lower, run.upper)
    broken = tuple(place for place, case in enumerate(cases) if case.verdict == "worse")
    p_of_case = [case.p for case in cases]
    assert run.verdict in ("worse", "not worse", "undecided", "better")
    return Verdict(
        run.verdict, run.change, interval, run.p, broken, p_of_case, run.needed_cases, run.needed_repeats, run.why or ""
    )


def _case(case: Case, outcome: CaseOutcome, old: Sequence[Reply], new: Sequence[Reply]) -> CaseResult:
    assert outcome.verdict in (None, "worse")
    return CaseResult(
        case=case,
        baseline_passes=outcome.baseline_passes,
        baseline_replies=outcome.baseline_replies,
        new_passes=outcome.new_passes,
        new_replies=outcome.new_replies,
        errors=outcome.errors,
        failed_checks=outcome.failures or (),
        is_changed=outcome.is_changed,
        verdict=outcome.verdict,
        p=outcome.p,
        example_baseline=old[0] if old else None,
        example_new=new[0] if new else None,
    )


def _chosen(by_id: Mapping[str, Reply], ids: Sequence[str]) -> list[Reply]:
    return [by_id[one] for one in ids if one in by_id]
