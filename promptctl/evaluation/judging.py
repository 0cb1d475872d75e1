"""Check replies: with the assertions of their case, and with judges, whose verdicts are kept."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.evaluation import checks
from promptctl.evaluation.checks import Check
from promptctl.evaluation.judge import Voting
from promptctl.evaluation.returned_models import ReturnedModels
from promptctl.rules.assertions import RUBRIC
from promptctl.rules.test_verdicts import MOST_BASELINE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from promptctl.evaluation.calls import Call
    from promptctl.evaluation.judge import Judge
    from promptctl.evaluation.result_recorder import Recorder
    from promptctl.evaluation.results import Judgement, Reply
    from promptctl.evaluation.storage import Storage
    from promptctl.rules.test_cases import Assertion, Case

    MakeCalls = Callable[[Sequence[Call], Callable[[Reply], Call | None]], Mapping[str, str]]

# A new rubric makes a judge judge the kept replies of the baseline again, which is paid for: at most so many of a case.
MOST_JUDGED_AGAIN = MOST_BASELINE


class Judging:
    """The checks of all replies of a run. `calls` is how many calls of judges it took, `errors` why
    replies of the last stage have no verdict.

    `answers` has answers of judges that an earlier run asked for, by the hash of the request. If there are any,
    `requests` has the hashes of all requests that decide on replies of this run. `unknown` has the ids of
    the replies that count neither as passed nor as failed because a time or a cost is not known, by the reason.
    """

    def __init__(
        self, judges: Sequence[Judge | None], storage: Storage, recorder: Recorder, make_calls: MakeCalls
    ) -> None:
        self.calls = 0
        self.errors: list[str] = []
        self.answers: dict[str, list[Reply]] = {}
        self.requests: set[str] = set()
        self.unknown: dict[str, set[str]] = {}
        self._storage = storage
        self._recorder = recorder
        self._make_calls = make_calls
        # By the id of the reply, the judging key and the model that judged.
        self._judgements: dict[tuple[str, str, str], Judgement] = {}
        self._returned = ReturnedModels()
        # The requested model of a judge, by judging key, and when its newest kept verdict was made, by that model.
        self._requested: dict[str, str] = {}
        self._newest: dict[str, str] = {}
        self._has_moved = False
        self._asked_for: set[tuple[str, str]] = set()
        self._has_judges = any(judge is not None for judge in judges)
        # By the hash of the case and the id of the reply; a check is None if it is not known.
        self._checks: dict[tuple[str, str], list[Check | None]] = {}
        # Why a check is not known.
        self._reasons: dict[tuple[str, str], str] = {}

    def affordable(self, case: Case, judge: Judge | None, replies: list[Reply], least: int) -> list[Reply]:
        """Return those of the kept replies of a baseline to compare, oldest first.

        Without a rubric these are all. With one, they are those that are judged already, and if these are few, the
        newest others.
        """
        if judge is None:
            return replies
        keys = [self._key(judge, assertion) for assertion in _rubrics(case)]
        self._load([reply.id for reply in replies], keys)
        judged = [reply for reply in replies if all(self._judgement(reply, key) for key in keys)]
        missing = max(0, min(MOST_JUDGED_AGAIN, max(least, 1)) - len(judged))
        others = [reply for reply in replies if reply not in judged]
        chosen = {reply.id for reply in judged + others[len(others) - min(missing, len(others)) :]}
        return [reply for reply in replies if reply.id in chosen]

    def judge(self, pairs: Sequence[tuple[Case, Judge | None, Reply, str]]) -> bool:
        """Get a verdict for each rubric of these cases and replies, from earlier runs or from the judges.

        A pair is a case, its judge, a reply, and the system prompt that the reply was made with. Return whether the
        model of a judge has moved. Verdicts of the model before then do not count, so what is affordable has changed.
        """
        if not self._has_judges:
            return False
        keys = sorted(
            {self._key(judge, one) for case, judge, *_ in pairs if judge is not None for one in _rubrics(case)}
        )
        if self.answers:
            self.requests |= {
                judge.call(one, case, reply, system).request_hash
                for case, judge, reply, system in pairs
                if judge is not None
                for one in _rubrics(case)
            }
        self._load(sorted({reply.id for _, _, reply, _ in pairs}), keys)
        if self._take_move():
            return True
        votings = [
            Voting(judge, assertion, case, reply, system)
            for case, judge, reply, system in pairs
            if judge is not None
            for assertion in _rubrics(case)
            if self._judgement(reply, self._key(judge, assertion)) is None
        ]
        # A reply may be one of both sides.
        votings = list({(voting.reply.id, voting.key): voting for voting in votings}.values())
        while opened := [voting for voting in votings if voting.is_open]:
            self._ask(opened)
        self.errors = [voting.error for voting in votings if voting.judgement is None and voting.error]
        self._recorder.end_judgements()
        return self._take_move()

    def checks(self, case: Case, judge: Judge | None, reply: Reply) -> Sequence[Check | None]:
        """Return the check of each assertion of a case for a reply, None for one that is not known."""
        key = case.hash, reply.id
        if key not in self._checks:
            self._checks[key] = [self._check(assertion, case, judge, reply) for assertion in case.assertions]
        return self._checks[key]

    def passes(self, case: Case, judge: Judge | None, reply: Reply) -> bool | None:
        """Return whether a reply passes; None if that depends on a check that is not known."""
        passes = checks.passes(case, self.checks(case, judge, reply))
        if passes is None and (reason := self._reasons.get((case.hash, reply.id))):
            self.unknown.setdefault(reason, set()).add(reply.id)
        return passes

    @property
    def notes(self) -> list[str]:
        """Return sentences for a person: why kept verdicts do not count, and why replies are no passes or failures."""
        counts = {1: "1 reply counts"}
        former: dict[str, set[str]] = {}
        for _, key, model in self._judgements:
            name = self._requested[key]
            if model != self._returned.current(name):
                former.setdefault(name, set()).add(model)
        return [
            f"{name} now returns {self._returned.current(name)}, so the verdicts of the judge from"
            f" {' and '.join(sorted(models))} are not compared"
            for name, models in sorted(former.items())
        ] + [
            f"{counts.get(len(ids), f'{len(ids)} replies count')} neither as passed nor as failed: {reason}"
            for reason, ids in self.unknown.items()
        ]

    def _ask(self, votings: Sequence[Voting]) -> None:
        """Make calls for each voting until it has a verdict, or a call fails.

        The calls of a voting follow each other, because an interruption loses the votes of those without a verdict.
        """
        # Votings with the same request share the calls. Each answer goes to the one that waits for the longest time, so
        # that all of them need as few batches as one does.
        waiting: dict[str, deque[Voting]] = {}

        def wait(voting: Voting) -> Call | None:
            """Use the answers that are there, and return the next call of a voting, None if it needs none."""
            answers = self.answers.get(voting.call.request_hash)
            while answers and voting.is_open:
                self._take(voting, answers.pop())
            if not voting.is_open:
                return None
            waiting.setdefault(voting.call.request_hash, deque()).append(voting)
            return voting.call

        def take(answer: Reply) -> Call | None:
            voting = waiting[answer.request_hash].popleft()
            self._take(voting, answer)
            return wait(voting)

        pending = [call for voting in votings if (call := wait(voting)) is not None]
        failures: Mapping[str, str] = self._make_calls(pending, take) if pending else {}
        for request_hash, rest in waiting.items():
            for voting in rest:
                voting.fail(failures.get(request_hash, "the call was not made"))

    def _take(self, voting: Voting, answer: Reply) -> None:
        self.calls += 1
        voting.add(answer)
        if (judgement := voting.judgement) is not None:
            self._judgements[judgement.reply_id, judgement.judging_key, judgement.model] = judgement
            self._has_moved |= self._returned.add(voting.judge.model, judgement.model)
            self._recorder.add_judgement(voting.judge.sha256, judgement)

    def _load(self, reply_ids: Sequence[str], keys: Sequence[str]) -> None:
        """Read the kept judgements of replies, each pair once."""
        unknown = sorted({one for one in reply_ids for key in keys if (one, key) not in self._asked_for})
        if not unknown or not keys:
            return
        self._asked_for |= {(one, key) for one in unknown for key in keys}
        try:
            kept = self._storage.kept_judgements(unknown, keys)
        except errors.Unreachable:
            # The run goes on without the database, and the judges are asked.
            return
        for judgement in kept:
            self._judgements[judgement.reply_id, judgement.judging_key, judgement.model] = judgement
            name = self._requested[judgement.judging_key]
            # Without the last letter, a time without a fraction of a second is before one with it.
            made_at = judgement.created_at.rstrip("Z")
            if made_at >= self._newest.get(name, ""):
                self._newest[name] = made_at
                self._has_moved |= self._returned.start(name, judgement.model)

    def _key(self, judge: Judge, assertion: Assertion) -> str:
        key = judge.key(assertion)
        self._requested[key] = judge.model
        return key

    def _judgement(self, reply: Reply, key: str) -> Judgement | None:
        """Return the verdict on a reply by the model that the judge's name returns now."""
        model = self._returned.current(self._requested[key])
        return None if model is None else self._judgements.get((reply.id, key, model))

    def _take_move(self) -> bool:
        """Return whether the model of a judge has moved since this was asked for the last time."""
        has_moved, self._has_moved = self._has_moved, False
        if has_moved:
            self._checks.clear()
        return has_moved

    def _check(self, assertion: Assertion, case: Case, judge: Judge | None, reply: Reply) -> Check | None:
        if assertion.kind == RUBRIC:
            assert judge is not None
            return checks.judged(self._judgement(reply, self._key(judge, assertion)))
        try:
            return checks.check(assertion, reply)
        except checks.NotKnown as reason:
            self._reasons[case.hash, reply.id] = str(reason)
            return None


def _rubrics(case: Case) -> list[Assertion]:
    return [assertion for assertion in case.assertions if assertion.kind == RUBRIC]
