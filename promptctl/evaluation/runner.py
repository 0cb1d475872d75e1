"""Run the cases of a prompt against a text and its baseline, in up to three stages, and judge the result.

Replies that were kept are used first, on both sides: a run that was interrupted goes on where it ended, and a run that
is repeated makes no call. The replies of the new side count in the order in which they were made, so a repeated run
comes to the same verdict.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol

from promptctl import errors
from promptctl.claude.api import Claude
from promptctl.evaluation import spool_upload
from promptctl.evaluation.batches import BatchCalls
from promptctl.evaluation.budget import Budget
from promptctl.evaluation.calls import Calls, failed, timestamp
from promptctl.evaluation.case_table import CaseTable
from promptctl.evaluation.checks import needs_time
from promptctl.evaluation.earlier_batches import EarlierBatches
from promptctl.evaluation.failed_calls import FailedCalls
from promptctl.evaluation.judge import Judge
from promptctl.evaluation.judging import Judging
from promptctl.evaluation.result_recorder import Recorder
from promptctl.evaluation.results import CaseResult, ModelNames, Progress, RunResult
from promptctl.evaluation.returned_models import ReturnedModels
from promptctl.evaluation.sides import Side, same_settings
from promptctl.records import Record
from promptctl.rules.assertions import RUBRIC
from promptctl.rules.test_cases import cases_hash
from promptctl.rules.test_replies import BATCH_PRICE
from promptctl.rules.test_verdicts import DEFAULT_MARGIN, FIRST_STAGE, MOST_BASELINE, MOST_MORE, Counts, Verdict
from promptctl.rules.use_ids import UseIds
from promptctl.store import test_runs
from promptctl.store.test_runs import NewRun, RunOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.evaluation.calls import Call
    from promptctl.evaluation.calls import Counts as CallCounts
    from promptctl.evaluation.results import Reply, Subject
    from promptctl.evaluation.storage import Storage
    from promptctl.rules.test_cases import Case

    class CallMaker(Protocol):
        """Makes calls: `calls.Calls` one by one, `batches.BatchCalls` in batches."""

        def make(
            self, calls: Sequence[Call], take: Callable[[Reply], Call | None], report: Callable[[CallCounts], None]
        ) -> Mapping[str, str]:
            """Make the calls, then those that `take` returns, and return those that failed."""
            ...


# After replies turn out to be of another model than the newest one, they are made again: at most so often.
_MOST_ROUNDS = 3
_MOST_PROBLEMS = 10


class Statistics(Protocol):
    """The functions that decide on a run."""

    def suspicious(self, counts: Sequence[Counts]) -> list[int]:
        """Return the indexes of the cases that look worse after the first stage."""
        ...

    def more_replies(self, stages: Sequence[Sequence[Counts]]) -> Mapping[int, int]:
        """Return how many more replies cases get in the next stage, by their index. `stages` are those so far."""
        ...

    def judge_run(self, stages: Sequence[Sequence[Counts]], margin: float) -> Verdict:
        """Return the verdict on a run. `stages` has the counts of each case after each stage."""
        ...


class Options(Record):
    """How to run. Costs are in US dollars.

    `model` and `max_tokens` replace those of both sides. `margin` is the drop that does not matter, a part of 1.
    `repeat` is the number of new replies to each case in the first stage, None for that of the case. With `is_replay`,
    kept replies are used and no call is made. With `is_batch`, calls are made in batches. `is_resumed`: first take the
    results that earlier runs left, in files of `directory` and in batches. `max_cost` is the most that the run may
    cost.
    """

    model: str | None = None
    max_tokens: int | None = None
    margin: float = DEFAULT_MARGIN
    repeat: int | None = None
    is_replay: bool = False
    is_batch: bool = False
    is_resumed: bool = False
    max_cost: float | None = None
    directory: str = "."


def execute(
    subject: Subject,
    against: Subject | None,
    cases: Sequence[Case],
    options: Options,
    progress: Callable[[Progress], None],
    storage: Storage,
    *,
    statistics: Statistics,
    judge_of: Callable[[str], Subject],
    open_claude: Callable[[], Claude] = Claude,
    origin: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Run the cases against both sides and return the result, which is stored too.

    The same text with the same settings needs no run: the result then has no id, and no call is made. `judge_of`
    returns the version that is the judge with a reference. `open_claude` is called when the first call is made. `say`
    gets the notes of a run that fails, for example that its results are in a file.

    Raises Usage (`invalid_cases`, `invalid_judge`, `latency_in_batch`, `no_cases`) before any call, Refused
    (`limit_too_low`, `price_unknown`), NotFound (`no_kept_replies`), ClaudeFailed
    if a failure would end every further call or if no reply can be judged, Unreachable if the database cannot be
    reached when the run begins, and KeyboardInterrupt. The replies that came are stored in any case.
    """
    _require_cases(subject, cases)
    if against is not None and same_settings(subject, against):
        return _unchanged(subject, against, cases, options)
    run = _Run(subject, against, cases, options, progress, storage, statistics, judge_of, open_claude, origin)
    return run.execute(say)


def check(
    subject: Subject,
    against: Subject | None,
    cases: Sequence[Case],
    options: Options,
    storage: Storage,
    *,
    statistics: Statistics,
    judge_of: Callable[[str], Subject],
) -> None:
    """Raise what `execute` raises before any call: Usage, Refused (`price_unknown`), and NotFound for a judge.

    So a command with several runs can refuse one of them before the first is paid.
    """
    _require_cases(subject, cases)
    if against is None or not same_settings(subject, against):
        _Run(subject, against, cases, options, lambda _: None, storage, statistics, judge_of, Claude, None)


def _require_cases(subject: Subject, cases: Sequence[Case]) -> None:
    if not cases:
        raise errors.Usage(
            "no_cases", f"{subject.label} has no test cases", hint=f"add prompts/{subject.name}/tests.yaml"
        )


class _Run:
    """One run. Lists of cases and of results have the order of the cases."""

    def __init__(
        self,
        subject: Subject,
        against: Subject | None,
        cases: Sequence[Case],
        options: Options,
        progress: Callable[[Progress], None],
        storage: Storage,
        statistics: Statistics,
        judge_of: Callable[[str], Subject],
        open_claude: Callable[[], Claude],
        origin: Mapping[str, Any] | None,
    ) -> None:
        self._subject, self._against, self._cases, self._options = subject, against, cases, options
        self._progress, self._storage, self._statistics = progress, storage, statistics
        self._open_claude, self._origin = open_claude, origin
        self._began = time.monotonic()
        self._started_at = timestamp(time.time())
        self._new = Side(subject, cases, options.model, options.max_tokens)
        self._baseline = None if against is None else Side(against, cases, options.model, options.max_tokens)
        self._notes: list[str] = []
        # About files and batches of earlier runs: they hold for this moment only, so they are not stored.
        self._passing_notes: list[str] = []
        self._check_cases()
        self._judges = self._make_judges(judge_of)
        self._ids = UseIds()
        self._budget = Budget(options.max_cost, self._started_at, BATCH_PRICE if options.is_batch else 1.0)
        self._check_prices()
        self._maker: CallMaker | None = None
        self._failed_calls = FailedCalls()
        self._kept = self._new_calls = 0
        self._is_stale = False
        self._returned = ReturnedModels()
        self._moves = 0

    def execute(self, say: Callable[[str], None]) -> RunResult:
        options = self._options
        if options.is_resumed:
            self._passing_notes += spool_upload.upload(options.directory, self._storage)
        elif (standing := self._standing_result()) is not None:
            return standing
        number = self._storage.begin_run(self._new_run(), self._cases)
        self._recorder = Recorder(self._storage, number, options.directory)
        self._judging = Judging(self._judges, self._storage, self._recorder, self._make_judge_calls)
        self._earlier = EarlierBatches(self._storage, self._recorder, self._judging, self._sides(), self._passing_notes)
        try:
            return self._evaluate(number, say)
        except (errors.PromptctlError, KeyboardInterrupt) as problem:
            try:
                self._recorder.flush()
                # A run that has ended takes no more replies, and those of the batch are still to come.
                if not self._recorder.open_batches:
                    code = getattr(problem, "code", "interrupted")
                    self._recorder.end(self._outcome(None, code, (), 0), ())
            finally:
                for note in (*self._passing_notes, *self._notes, *self._recorder.notes):
                    say(note)
            raise

    def _standing_result(self) -> RunResult | None:
        """Return the result of an earlier run that this one would only repeat: its verdict stands, and costs nothing.

        To judge anew could bring another verdict, because the baseline has gained replies in the later stages of that
        run, which the first stage would see now.
        """
        hashes = sorted({one for side in self._sides() for one in side.request_hashes if one is not None})
        repeats = [self._repeat_of(index) for index in range(len(self._cases))]
        stored = self._storage.standing_result(self._new_run(), hashes, repeats)
        if stored is None:
            return None
        used = sum(case.baseline_replies + case.new_replies for case in stored.cases)
        note = f"run {stored.id} has used all replies that are kept, so its verdict stands"
        changed: dict[str, Any] = {
            "subject": self._subject, "against": self._against, "new_calls": 0, "kept_replies": used, "judge_calls": 0,
            "cost": 0.0, "input_tokens": 0, "output_tokens": 0, "seconds": time.monotonic() - self._began,
            "notes": [*stored.notes, note],
        }  # fmt: skip
        return RunResult(**{name: getattr(stored, name) for name in RunResult.fields} | changed)

    def _evaluate(self, number: int, say: Callable[[str], None]) -> RunResult:
        self._load_kept_replies()
        self._take_open_batches(say)
        self._drop_stale()
        every, stages, suspicious = self._make_stages(_MOST_ROUNDS)
        self._recorder.flush()
        self._earlier.end_judge_batches()
        if not any(table.counts().new_replies for table in every):
            self._raise_no_replies()
        self._notes += self._judging.notes
        verdict = self._statistics.judge_run(stages, self._options.margin)
        problems = self._failed_calls.notes(self._judging.errors)
        self._notes += problems
        has_failed = bool(problems) and self._may_call and self._has_empty_cases(every)
        results = [table.result(verdict, index, is_suspicious=index in suspicious) for index, table in enumerate(every)]
        missing = sum(table.errors for table in every)
        self._recorder.end(
            self._outcome(verdict, None, self._all_models(), missing),
            [table.outcome(place, result) for place, (table, result) in enumerate(zip(every, results, strict=True), 1)],
        )
        return RunResult(
            id=str(number),
            subject=self._subject,
            against=self._against,
            cases=results,
            verdict=verdict,
            new_calls=self._new_calls,
            kept_replies=self._kept,
            judge_calls=self._judging.calls,
            cost=self._budget.spent,
            input_tokens=self._budget.input_tokens,
            output_tokens=self._budget.output_tokens,
            started_at=self._started_at,
            seconds=time.monotonic() - self._began,
            models=ModelNames(self._new.model, self._all_models()),
            is_stale=self._is_stale,
            notes=[*self._passing_notes, *self._notes, *self._recorder.notes],
            margin=self._options.margin,
            judge=self._judge_name(),
            has_failed=has_failed and verdict.word == "undecided",
        )

    def _make_stages(self, rounds: int) -> tuple[list[CaseTable], list[list[Counts]], list[int]]:
        """Make the replies of all stages. Return those of each case, the counts of the stages, and suspicious cases.

        A model that moves in a later stage leaves the other cases without replies to compare. The stages are then made
        again from the first one on, in at most so many `rounds`.
        """
        repeats = {index: self._repeat_of(index) for index in range(len(self._cases))}
        self._make_replies("replies", repeats)
        every = self._tables(repeats)
        stages = [[table.counts() for table in every]]
        if self._baseline is None:
            return every, stages, []
        moves = self._moves
        while more := self._statistics.more_replies(stages):
            repeats |= {index: repeats[index] + number for index, number in more.items()}
            self._make_replies("more replies", {index: repeats[index] for index in more})
            every = self._tables(repeats)
            if self._moves != moves and rounds > 1:
                return self._make_stages(rounds - 1)
            stages.append([table.counts() for table in every])
        return every, stages, list(self._statistics.suspicious(stages[0]))

    def _check_cases(self) -> None:
        """Raise Usage if a case cannot be run with the new side. Note those that the baseline cannot be called with."""
        problems = [
            f"case {place} ({case.title}) {problem}"
            for place, case in enumerate(self._cases, 1)
            for problem in self._new.problems(case)
        ]
        if problems:
            more = len(problems) - _MOST_PROBLEMS
            problem = errors.Usage(
                "invalid_cases",
                problems[0],
                hint=f"correct the tests of {self._subject.name}, and run the command again",
            )
            problem.others = problems[1:_MOST_PROBLEMS] + ([f"{more} more problems"] if more > 0 else [])
            raise problem
        timed = [f"case {place} ({case.title})" for place, case in enumerate(self._cases, 1) if needs_time(case)]
        if timed and self._options.is_batch:
            raise errors.Usage(
                "latency_in_batch",
                f"{timed[0]} has an assertion of type latency, but the time of a reply in a batch is not known",
                hint="run the command without --batch, or select other cases with --case",
            )
        if self._baseline is not None and (count := self._baseline.request_hashes.count(None)):
            assert self._against is not None
            self._notes.append(
                f"{self._against.label} cannot be called with {count} of the {len(self._cases)} cases, which have no"
                " value for its variables: there is nothing to compare these cases with"
            )

    def _make_judges(self, judge_of: Callable[[str], Subject]) -> list[Judge | None]:
        """Return the judge of each case, None for a case without a rubric."""
        by_reference: dict[str | None, Judge] = {}
        judges: list[Judge | None] = []
        for case in self._cases:
            if not any(assertion.kind == RUBRIC for assertion in case.assertions):
                judges.append(None)
                continue
            if case.judge not in by_reference:
                by_reference[case.judge] = Judge.of(None if case.judge is None else judge_of(case.judge))
            judges.append(by_reference[case.judge])
        return judges

    def _check_prices(self) -> None:
        sides = self._sides()
        models = [side.model for side in sides] + [judge.model for judge in self._judges if judge is not None]
        self._budget.check_models(dict.fromkeys(models))
        self._budget.check_requests(
            side.keywords(case)
            for side in sides
            for case, request_hash in zip(self._cases, side.request_hashes, strict=True)
            if request_hash is not None
        )

    def _new_run(self) -> NewRun:
        judges = {judge.sha256 for judge in self._judges if judge is not None}
        return NewRun(
            subject=self._stored_side(self._new),
            against=None if self._baseline is None else self._stored_side(self._baseline),
            cases_sha256=cases_hash(self._cases),
            judge=self._judge_name() or None,
            judge_sha256=next(iter(judges)) if len(judges) == 1 else None,
            requested_model=self._new.model,
            margin=self._options.margin,
            origin=self._origin,
        )

    @staticmethod
    def _stored_side(side: Side) -> test_runs.Side:
        subject = side.subject
        return test_runs.Side(subject.name, subject.version, side.text_hash, subject.settings)

    def _judge_name(self) -> str:
        references = sorted({judge.reference for judge in self._judges if judge is not None})
        return ", ".join(references)

    def _repeat_of(self, index: int) -> int:
        return self._options.repeat or self._cases[index].repeat or FIRST_STAGE

    def _load_kept_replies(self) -> None:
        sides = [self._new] if self._baseline is None else [self._baseline, self._new]
        # The new side needs as many as a run makes, and the baseline has more of them.
        most = max(MOST_BASELINE, *(self._repeat_of(index) + MOST_MORE for index in range(len(self._cases))))
        for side in sides:
            side.add_kept(self._storage, most)
        self._returned.add_kept(sides)

    def _take_open_batches(self, say: Callable[[str], None]) -> None:
        """Take the replies of batches that earlier runs of the prompt began, if this run is resumed.

        Otherwise `say` gets a note before the run makes the same calls again.
        """
        batches = self._storage.open_batches(self._subject.name)
        if not batches:
            return
        if self._options.is_resumed:
            self._earlier.take(batches, self._batch_maker(), self._add_earlier, self._report_as("batch"))
        elif (warning := self._earlier.warning(batches)) is not None:
            say(warning)

    def _sides(self) -> list[Side]:
        return [self._new] if self._baseline is None else [self._new, self._baseline]

    def _add_earlier(self, reply: Reply) -> None:
        self._new_calls += 1
        self._recorder.reply_ids.add(reply.id)
        self._add_fresh(reply)

    def _add_fresh(self, reply: Reply) -> None:
        for side in self._sides():
            if side.sends(reply.request_hash):
                self._returned.add(side.model, reply.model)
                side.add([reply])

    def _make_replies(self, stage: Any, repeats: Mapping[int, int]) -> None:
        """Make the calls that are missing for so many replies to each case, on both sides."""
        for _ in range(_MOST_ROUNDS):
            self._make_missing(stage, repeats)
            if not self._drop_stale():
                return

    def _make_missing(self, stage: Any, repeats: Mapping[int, int]) -> None:
        sides = self._sides()
        pending: list[Call] = []
        compared = {index: min(number, MOST_BASELINE) for index, number in repeats.items()}
        missing = [side.missing_calls(self._cases, repeats if side is self._new else compared) for side in sides]
        # A call is of the side whose request it is. Where both sides send the same, they share the replies, and the
        # calls are those of the side that needs more.
        numbers = [Counter(call.request_hash for call in calls) for calls in missing]
        side_of = {
            request_hash: max(zip(sides, numbers, strict=True), key=lambda pair: pair[1][request_hash])[0]
            for request_hash in {one for counts in numbers for one in counts}
        }
        # The sides take turns, so that calls that end early leave something to compare.
        for pair in zip_longest(*missing):
            for side, call in zip(sides, pair, strict=True):
                if call is None or call.request_hash in self._failed_calls.sentences:
                    continue
                if side_of[call.request_hash] is side:
                    pending.append(call)
        if not pending or not self._may_call:
            return
        replies: Counter[str] = Counter()

        def take(reply: Reply) -> None:
            self._new_calls += 1
            replies[reply.request_hash] += 1
            self._add_fresh(reply)
            self._recorder.add_reply(side_of[reply.request_hash].text_hash, reply)

        maker = self._call_maker()
        if isinstance(maker, BatchCalls):
            maker.text_hashes = {one: side.text_hash for one, side in side_of.items()}
        self._failed_calls.add(pending, replies, maker.make(pending, take, self._report_as(stage)))
        self._recorder.flush()
        for side in sides:
            side.sort(self._recorder.place)
        if self._budget.is_exhausted:
            began = "the calls ended at" if self._new_calls else "no call was made, because one could exceed"
            end = f"{began} the limit of {self._options.max_cost:g} US dollars"
            if self._budget.spent is None:
                end = "the calls ended, because a model that Claude returned has no known price to limit"
            self._notes.append(end)

    def _make_judge_calls(self, calls: Sequence[Call], take: Callable[[Reply], Call | None]) -> Mapping[str, str]:
        """Make calls of judges. Return the failures, None of them if no call may be made."""
        if not self._may_call:
            sentence = (
                "it was not asked, for the replies are kept ones" if self._options.is_replay else "the limit ended"
            )
            return {call.request_hash: sentence for call in calls}
        maker = self._call_maker()
        if isinstance(maker, BatchCalls):
            maker.text_hashes = {}
        return maker.make(calls, take, self._report_as("judge"))

    def _drop_stale(self) -> bool:
        """Drop replies of other models than their name returns now, on both sides. Return whether there were any."""
        is_stale = False
        for side in self._sides():
            if not (former := self._returned.drop_others(side)):
                continue
            is_stale = True
            note = (
                f"{side.model} now returns {self._returned.current(side.model)}, so the replies of {side.subject.label}"
                f" from {' and '.join(former)} are not compared"
            )
            if note not in self._notes:
                self._notes.append(note)
            self._is_stale = self._is_stale or side is self._baseline
        self._moves += is_stale
        return is_stale

    def _tables(self, repeats: Mapping[int, int]) -> list[CaseTable]:
        """Judge the replies of both sides, and return how many of each case pass."""
        chosen, pairs = self._chosen(repeats)
        for _ in range(_MOST_ROUNDS):
            has_moved = self._judging.judge(pairs)
            self._moves += has_moved
            if not has_moved:
                break
            chosen, pairs = self._chosen(repeats)
        tables: list[CaseTable] = []
        for index, (old, new) in enumerate(chosen):
            tables.append(CaseTable(self._cases[index], old, new, repeats[index], self._judging, self._judges[index]))
        self._kept = self._count_kept(chosen)
        return tables

    def _chosen(
        self, repeats: Mapping[int, int]
    ) -> tuple[list[tuple[list[Reply], list[Reply]]], list[tuple[Case, Judge | None, Reply, str]]]:
        """Return the replies of both sides to each case that are compared, and those that judges decide on."""
        pairs: list[tuple[int, Reply, str]] = []
        chosen: list[tuple[list[Reply], list[Reply]]] = []
        for index, case in enumerate(self._cases):
            new = list(self._new.replies_of(index))[: repeats[index]]
            old: list[Reply] = []
            if self._baseline is not None:
                old = self._judging.affordable(
                    case, self._judges[index], list(self._baseline.replies_of(index))[-MOST_BASELINE:], repeats[index]
                )
            chosen.append((old, new))
            if self._judges[index] is not None:
                pairs += [(index, reply, self._new.system(case)) for reply in new]
                if self._baseline is not None and old:
                    system = self._baseline.system(case)
                    pairs += [(index, reply, system) for reply in old]
        judged = [(self._cases[index], self._judges[index], reply, system) for index, reply, system in pairs]
        return chosen, judged

    def _count_kept(self, chosen: Sequence[tuple[Sequence[Reply], Sequence[Reply]]]) -> int:
        ids = {reply.id for sides in chosen for side in sides for reply in side}
        return len(ids - self._recorder.reply_ids)

    def _has_empty_cases(self, tables: Sequence[CaseTable]) -> bool:
        """Return whether cases have no replies to compare."""
        for index, table in enumerate(tables):
            counts = table.counts()
            is_compared = self._baseline is not None and self._baseline.request_hashes[index] is not None
            if not counts.new_replies or (is_compared and not counts.baseline_replies):
                return True
        return False

    def _raise_no_replies(self) -> None:
        if self._options.is_replay:
            raise errors.NotFound(
                "no_kept_replies",
                f"no replies to the cases of {self._subject.label} are kept",
                hint="run the command without --replay",
            )
        if self._budget.is_exhausted:
            greatest, max_tokens = self._budget.refused
            cost = (
                ""
                if greatest is None
                else f": with max_tokens {max_tokens:,} one call may cost {greatest:.4g} US dollars"
            )
            raise errors.Refused(
                "limit_too_low",
                f"the first call could exceed --max-cost{cost}",
                hint="raise --max-cost, or give the version a lower max_tokens",
            )
        if self._judging.unknown and not self._failed_calls.sentences:
            raise errors.Refused(
                "price_unknown",
                f"no reply can be checked: {next(iter(self._judging.unknown))}",
                hint="remove the assertions of type cost, or choose another model with --model",
            )
        notes = self._failed_calls.notes(self._judging.errors)
        raise failed(notes[0] if notes else "there are no calls", notes[1:])

    @property
    def _may_call(self) -> bool:
        return not (self._options.is_replay or self._budget.is_exhausted)

    def _all_models(self) -> Sequence[str]:
        sides = self._sides()
        return sorted({reply.model for side in sides for replies in side.replies.values() for reply in replies})

    def _outcome(self, verdict: Verdict | None, failure: str | None, models: Sequence[str], missing: int) -> RunOutcome:
        interval = None if verdict is None else verdict.interval
        return RunOutcome(
            verdict=None if verdict is None else verdict.word,
            failure=failure,
            why=None if verdict is None else verdict.reason,
            change=None if verdict is None else verdict.change,
            lower=None if interval is None else interval[0],
            upper=None if interval is None else interval[1],
            p=None if verdict is None else verdict.p_overall,
            needed_cases=None if verdict is None else verdict.needed_cases,
            needed_repeats=None if verdict is None else verdict.needed_repeats,
            new_calls=self._new_calls,
            kept_replies=self._kept,
            judge_calls=self._judging.calls,
            errors=missing,
            input_tokens=self._budget.input_tokens,
            output_tokens=self._budget.output_tokens,
            cost=self._budget.spent,
            is_stale=self._is_stale,
            notes=list(self._notes),
            returned_models=list(models),
        )

    def _call_maker(self) -> CallMaker:
        if self._maker is None:
            if self._options.is_batch:
                self._maker = self._batch_maker()
            else:
                self._maker = Calls(self._open_claude(), self._budget, self._ids)
        return self._maker

    def _batch_maker(self) -> BatchCalls:
        return BatchCalls(self._open_claude(), self._budget, self._recorder)

    def _report_as(self, stage: Any) -> Callable[[CallCounts], None]:
        def report(counts: CallCounts) -> None:
            self._recorder.flush_if_due()
            self._progress(
                Progress(stage, counts.ended, counts.total, self._budget.spent, counts.running, counts.waiting_seconds)
            )

        return report


def _unchanged(subject: Subject, against: Subject, cases: Sequence[Case], options: Options) -> RunResult:
    """Return the result for a text that is the same as its baseline, which needs no call."""
    reason = f"the text and the settings are those of {against.label}"
    return RunResult(
        id="",
        subject=subject,
        against=against,
        cases=[CaseResult(case, 0, 0, 0, 0, 0, (), False, None, None, None, None) for case in cases],
        verdict=Verdict("not worse", 0.0, (0.0, 0.0), None, (), (), None, None, reason),
        new_calls=0,
        kept_replies=0,
        judge_calls=0,
        cost=0.0,
        input_tokens=0,
        output_tokens=0,
        started_at=timestamp(time.time()),
        seconds=0.0,
        models=ModelNames(options.model or str(subject.settings.get("model") or ""), ()),
        is_stale=False,
        notes=(),
        margin=options.margin,
        judge="",
    )
