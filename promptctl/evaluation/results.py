"""Records of a run: its two sides, the result of each case, and the result of the whole."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.test_replies import NO_VERDICT, FailedCheck, Judgement, Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal

    from promptctl.records import Timestamp
    from promptctl.rules.test_cases import Case
    from promptctl.rules.test_verdicts import Verdict

__all__ = [
    "NO_VERDICT",
    "CaseReplies",
    "CaseResult",
    "CheckedReply",
    "Estimate",
    "FailedCheck",
    "Judgement",
    "ModelNames",
    "Progress",
    "Reply",
    "ReplyFault",
    "RunResult",
    "Subject",
]


class Subject(Record):
    """One side of a run: a version, or a text of a folder that is not stored, whose `version` is None.

    `sha256` is the hash of the content and the settings, in hexadecimal.
    """

    name: str
    version: int | None
    sha256: str
    content: str
    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The reference of a version, `support@3`; for a text that is not stored, the name alone."""
        return self.name if self.version is None else f"{self.name}@{self.version}"


class CaseResult(Record):
    """The result of one case: how many replies of each side there are, and how many of them pass.

    Both baseline counts are 0 if nothing is compared. `errors` is how many new replies are missing, because a call
    failed, a judge gave no usable answer, or a cost is not known: they are in no other count. `verdict` is what is
    proven for this case alone, and `p` the p-value of its test, None without one. `is_changed` is whether the case
    passes and fails in other shares than before. The examples are a reply of each side, for a changed case one that
    shows the change.
    """

    case: Case
    baseline_passes: int
    baseline_replies: int
    new_passes: int
    new_replies: int
    errors: int
    failed_checks: Sequence[FailedCheck]
    is_changed: bool
    verdict: Literal["worse"] | None
    p: float | None
    example_baseline: Reply | None
    example_new: Reply | None


class ReplyFault(Record):
    """An assertion that one reply fails: its `label` and the reason. An assertion of weight 0 does not count."""

    label: str
    reason: str
    counts: bool


class CheckedReply(Record):
    """A reply with what its case says of it.

    `passes` is None if that depends on an assertion that is not known, without a verdict of a judge or without a time;
    `unknown` has these, each with the reason. `score` is the mean score, from 0 to 1, of a case with a threshold, else
    None.
    """

    reply: Reply
    passes: bool | None
    faults: Sequence[ReplyFault]
    unknown: Sequence[str]
    score: float | None


class CaseReplies(Record):
    """All replies to one case, the one to show first at the beginning of each side."""

    baseline: Sequence[CheckedReply]
    new: Sequence[CheckedReply]


class ModelNames(Record):
    """The models of a run: the one that was requested, and those that Claude returned, sorted."""

    requested: str
    returned: Sequence[str]


class RunResult(Record):
    """The result of a run.

    `against` is None if there is no version to compare with. `new_calls` counts the calls that returned a reply in
    this run, `kept_replies` the replies that earlier runs had made, `judge_calls` the calls of judges. `cost` is what
    this run cost in US dollars, None if the price of a model is not known; `input_tokens` and `output_tokens` are
    sums over its calls. `seconds` is its duration. `is_stale` is whether kept replies of the baseline came from
    another model than the same name returns now, so that they were made again. `notes` are sentences for a person.
    `judge` is the reference of the judge, "built-in", or '' if no case has a rubric. `has_failed` is whether calls of
    Claude failed, so that cases have no replies to compare and the run is undecided; it is False for a stored run.
    """

    id: str
    subject: Subject
    against: Subject | None
    cases: Sequence[CaseResult]
    verdict: Verdict
    new_calls: int
    kept_replies: int
    judge_calls: int
    cost: float | None
    input_tokens: int
    output_tokens: int
    started_at: Timestamp
    seconds: float
    models: ModelNames
    is_stale: bool
    notes: Sequence[str]
    margin: float
    judge: str
    has_failed: bool = False


class Estimate(Record):
    """What a run would take, before any call.

    `calls` and `judge_calls` are those of the first stage. `most_calls` and `most_judge_calls` are those of all
    stages, if every case gets the replies of each stage and every rubric three calls. Tokens and `cost` belong to the
    first stage; the output is estimated from kept replies, or is the most that a call can return where there are none
    (`is_output_known` is False). `most_cost` is an upper bound. Costs are in US dollars, None if `unpriced_models` has
    a model whose price is not known.
    """

    calls: int
    kept_replies: int
    judge_calls: int
    most_calls: int
    most_judge_calls: int
    input_tokens: int
    output_tokens: int
    is_output_known: bool
    cost: float | None
    most_cost: float | None
    unpriced_models: Sequence[str]


class Progress(Record):
    """How far a run is. `waiting_seconds` is above 0 while a rate limit makes every call wait.

    `stage` is "replies", "more replies", "judge" or "batch". `calls` counts the calls of this stage that have
    ended, and `total` all of them. `running` is how many run now, and `cost` what the whole run has cost so far in US
    dollars, None if a price is not known.
    """

    stage: Literal["replies", "more replies", "judge", "batch"]
    calls: int
    total: int
    cost: float | None
    running: int
    waiting_seconds: float
