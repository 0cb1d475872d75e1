"""Estimate the calls, the tokens and the cost of a run, without any call but counts of tokens, which are free."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from promptctl import threads
from promptctl.evaluation.budget import Budget, TokensUsed
from promptctl.evaluation.calls import timestamp
from promptctl.evaluation.judge import MOST_CALLS, Judge
from promptctl.evaluation.results import Estimate
from promptctl.evaluation.returned_models import ReturnedModels
from promptctl.evaluation.sides import Side, same_settings
from promptctl.rules.assertions import RUBRIC
from promptctl.rules.test_replies import BATCH_PRICE, canonical_json, reply_of_text
from promptctl.rules.test_verdicts import FIRST_STAGE, MOST_BASELINE, MOST_MORE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.claude.api import Claude
    from promptctl.evaluation.results import Reply, Subject
    from promptctl.evaluation.runner import Options
    from promptctl.evaluation.storage import Storage
    from promptctl.rules.test_cases import Assertion, Case

# So many counts of tokens run beside each other.
_MOST_COUNTS = 8
# What the answer of a judge takes: a sentence or two, a verdict and a score.
_JUDGE_OUTPUT = 80
# A token of a reply takes at most so many as a part of a JSON text, where a quotation mark and a line end are escaped.
_QUOTED_TOKENS = 2
# Stands for a reply.
_MARK = "the-reply-to-judge"


def estimate(
    subject: Subject,
    against: Subject | None,
    cases: Sequence[Case],
    options: Options,
    storage: Storage,
    claude: Claude,
    *,
    judge_of: Callable[[str], Subject],
    report: Callable[[str], None],
) -> Estimate:
    """Return what a run would take. `report` gets a message before a count of tokens is repeated.

    The output of a call is estimated by the kept replies to the same case, else by those to the other cases, else by
    `max_tokens`. Nothing is taken to be cached by Claude, and a rubric to pass at the first call of its judge. Raises
    ClaudeFailed and Usage.
    """
    is_same = against is not None and same_settings(subject, against)
    sides = (
        [] if is_same else [Side(one, cases, options.model, options.max_tokens) for one in (subject, against) if one]
    )
    budget = Budget(None, timestamp(time.time()), BATCH_PRICE if options.is_batch else 1.0)
    plan = _Plan(subject, budget, claude, storage, judge_of)
    most = max([MOST_BASELINE, *((options.repeat or case.repeat or FIRST_STAGE) + MOST_MORE for case in cases)])
    for side in sides:
        side.add_kept(storage, most)
    returned = ReturnedModels()
    returned.add_kept(sides)
    for side in sides:
        returned.drop_others(side)
    # A new text has no replies yet: those of the baseline are about as long.
    outputs = [
        _mean_output([reply for side in sides for reply in side.replies_of(index)]) for index in range(len(cases))
    ]
    for side in sides:
        plan.add_side(side, cases, options, outputs)
    plan.count(report)
    return plan.estimate()


class _Item:
    """Calls of one request: how many are certain, how many there may be, and their keywords."""

    def __init__(self, keywords: Mapping[str, Any], calls: int, most: int, output: float | None) -> None:
        self.keywords = keywords
        self.calls = calls
        self.most = most
        self.output = output
        self.input_tokens = 0
        self.is_judge = False
        # How many more tokens the input may have than `input_tokens`.
        self.more_input = 0


class _Plan:
    """The calls of a run, as far as they are known before."""

    def __init__(
        self, subject: Subject, budget: Budget, claude: Claude, storage: Storage, judge_of: Callable[[str], Subject]
    ) -> None:
        self._subject = subject
        self._budget = budget
        self._storage = storage
        self._claude = claude
        self._judge_of = judge_of
        self._judges: dict[str | None, Judge] = {}
        self._items: dict[str, _Item] = {}
        self._kept = 0

    def add_side(self, side: Side, cases: Sequence[Case], options: Options, outputs: Sequence[float | None]) -> None:
        """Add the calls of one side. `outputs` has the usual number of output tokens of each case, if it is known."""
        kept = [reply for replies in side.replies.values() for reply in replies]
        self._kept += len(kept)
        numbers = [output for output in outputs if output is not None]
        usual = sum(numbers) / len(numbers) if numbers else None
        for index, case in enumerate(cases):
            request_hash = side.request_hashes[index]
            if request_hash is None:
                continue
            replies = side.replies_of(index)
            repeat = options.repeat or case.repeat or FIRST_STAGE
            # A baseline has at most so many replies.
            most_replies = repeat + MOST_MORE if side.subject is self._subject else MOST_BASELINE
            calls = side.missing(index, min(repeat, most_replies))
            most = side.missing(index, min(repeat + MOST_MORE, most_replies))
            output = _mean_output(replies) or outputs[index] or usual
            self._add(request_hash, side.keywords(case), calls, most, output)
            for assertion in case.assertions:
                if assertion.kind == RUBRIC:
                    self._add_judge(side, case, assertion, replies, repeat, output)

    def _add(self, key: str, keywords: Mapping[str, Any], calls: int, most: int, output: float | None) -> _Item:
        """Add calls. Those of a case give replies to the cases with the same input too, so the larger number counts."""
        item = self._items.setdefault(key, _Item(keywords, 0, 0, output))
        item.calls, item.most = max(item.calls, calls), max(item.most, most)
        return item

    def _add_judge(
        self, side: Side, case: Case, assertion: Assertion, replies: Sequence[Reply], repeat: int, output: float | None
    ) -> None:
        if case.judge not in self._judges:
            self._judges[case.judge] = Judge.of(None if case.judge is None else self._judge_of(case.judge))
        judge = self._judges[case.judge]
        # A reply that is not there yet is taken to be as long as the others are.
        words = int(output if output is not None else side.keywords(case)["max_tokens"])
        reply = replies[-1] if replies else reply_of_text(case.hash, " ".join(["word"] * words))
        keywords = judge.keywords(assertion, case, reply, side.system(case))
        judging_key = judge.key(assertion)
        judgements = self._storage.kept_judgements([one.id for one in replies], [judging_key]) if replies else []
        # Verdicts of a model that the name of the judge returned before are asked for again.
        kept = sum(one.model == judgements[-1].model for one in judgements)
        calls, most = max(0, repeat - kept), max(0, repeat + MOST_MORE - kept) * MOST_CALLS
        key = f"{side.subject.label} {case.hash} {judging_key}"
        item = self._add(key, keywords, calls, most, float(_JUDGE_OUTPUT))
        item.is_judge = True
        # The kept replies, which it is composed of, may be short.
        places = canonical_json(
            judge.keywords(assertion, case, reply_of_text(case.hash, _MARK), side.system(case))
        ).count(_MARK)
        item.more_input = places * _QUOTED_TOKENS * int(side.keywords(case)["max_tokens"])

    def count(self, report: Callable[[str], None]) -> None:
        """Count the input tokens of every request that is called, several beside each other."""
        pending: SimpleQueue[_Item] = SimpleQueue()
        items = [item for item in self._items.values() if item.most]
        for item in items:
            pending.put(item)
        problems: list[Exception] = []

        def work() -> None:
            try:
                while not problems:
                    item = pending.get_nowait()
                    item.input_tokens = self._claude.count_tokens(item.keywords, report)
            except Empty:
                pass
            except Exception as problem:  # noqa: BLE001 - raised below
                problems.append(problem)

        threads.run_all([work] * min(_MOST_COUNTS, len(items)))
        if problems:
            raise problems[0]

    def estimate(self) -> Estimate:
        items = list(self._items.values())
        judged = [item for item in items if item.is_judge]
        unjudged = [item for item in items if not item.is_judge]
        unpriced = sorted(
            {str(item.keywords["model"]) for item in items if item.most and self._cost(item, 1.0) is None}
        )
        return Estimate(
            calls=sum(item.calls for item in unjudged),
            kept_replies=self._kept,
            judge_calls=sum(item.calls for item in judged),
            most_calls=sum(item.most for item in unjudged),
            most_judge_calls=sum(item.most for item in judged),
            input_tokens=sum(item.calls * item.input_tokens for item in items),
            output_tokens=round(sum(item.calls * self._output(item) for item in items)),
            is_output_known=all(item.output is not None for item in unjudged if item.calls),
            cost=None if unpriced else sum(item.calls * self._priced(item, self._output(item)) for item in items),
            most_cost=None if unpriced else sum(item.most * self._most_priced(item) for item in items),
            unpriced_models=unpriced,
        )

    @staticmethod
    def _output(item: _Item) -> float:
        return float(item.keywords["max_tokens"]) if item.output is None else item.output

    def _most_priced(self, item: _Item) -> float:
        size = item.input_tokens + item.more_input
        # Claude may write all of the input to its cache, which costs more.
        written = size if '"cache_control"' in canonical_json(item.keywords) else 0
        tokens = TokensUsed(size, int(item.keywords["max_tokens"]), 0, written)
        cost = self._budget.call_cost(item.keywords, str(item.keywords["model"]), tokens)
        assert cost is not None
        return cost

    def _cost(self, item: _Item, output: float) -> float | None:
        # genai-prices calculates with fractions of tokens too, but an average is rounded to a whole number.
        return self._budget.cost(str(item.keywords["model"]), TokensUsed(item.input_tokens, round(output)))

    def _priced(self, item: _Item, output: float) -> float:
        cost = self._cost(item, output)
        assert cost is not None
        return cost


def _mean_output(replies: Sequence[Reply]) -> float | None:
    counts = [reply.output_tokens for reply in replies if reply.output_tokens is not None]
    return sum(counts) / len(counts) if counts else None
