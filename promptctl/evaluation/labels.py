"""Compare a judge with people: read replies that people have labelled, and let the judge decide on the same ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from promptctl import errors
from promptctl.evaluation.budget import Budget
from promptctl.evaluation.calls import Calls, failed, timestamp
from promptctl.evaluation.judge import Voting
from promptctl.folder import strict_yaml
from promptctl.records import Record
from promptctl.rules import agreement
from promptctl.rules.assertions import RUBRIC
from promptctl.rules.test_cases import Assertion, Case
from promptctl.rules.test_replies import reply_of_text
from promptctl.rules.use_ids import UseIds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.claude.api import Claude
    from promptctl.evaluation.calls import Counts
    from promptctl.evaluation.judge import Judge
    from promptctl.evaluation.results import Reply
    from promptctl.rules.agreement import Agreement

MOST_LABELS = 10_000
_DEEPEST = 20
_KEYS = ("rubric", "message", "reply", "passes", "system")


class Labelled(Record):
    """A reply that people have labelled: `labels` has a value for each of them, whether the reply meets the rubric."""

    rubric: str
    message: str
    reply: str
    system: str
    labels: Sequence[bool]


class Comparison(Record):
    """How far a judge agrees with people.

    `verdicts` are those of the judge, None where it gave no usable answer. `with_people` is the agreement of the judge
    with all people, `among_people` that of the people alone. `cost` is in US dollars, None if a price is not known.
    """

    verdicts: Sequence[bool | None]
    with_people: Agreement
    among_people: Agreement
    calls: int
    cost: float | None


def parse(raw: bytes, path: str) -> list[Labelled]:
    """Return the labelled replies in a YAML or JSON file. Raises Failed (`invalid_labels`) with every problem."""
    problems: list[str] = []
    labelled: list[Labelled] = []
    try:
        document = strict_yaml.load_json(raw, _DEEPEST)
    except strict_yaml.Malformed as malformed:
        raise _invalid([f"{path}:{malformed.line}: {malformed.what}"]) from None
    if not isinstance(document, list) or not document:
        raise _invalid([f"{path}: has no list of labelled replies"])
    items = cast("list[object]", document)
    if len(items) > MOST_LABELS:
        raise _invalid([f"{path}: has {len(items)} labelled replies: at most {MOST_LABELS} are allowed"])
    for count, item in enumerate(items, 1):
        problem, one = _labelled(item)
        if one is None:
            problems.append(f"{path}: label {count} {problem}")
        else:
            labelled.append(one)
    if problems:
        raise _invalid(problems)
    return labelled


def compare(
    judge: Judge, labelled: Sequence[Labelled], claude: Claude, max_cost: float | None, report: Callable[[Counts], None]
) -> Comparison:
    """Return how far the judge agrees with the labels. Raises ClaudeFailed if no call returned a reply."""
    began = timestamp(time.time())
    budget = Budget(max_cost, began)
    budget.check_models({judge.model: None})
    calls = Calls(claude, budget, UseIds())
    votings = [_voting(judge, one, place) for place, one in enumerate(labelled)]
    count = 0
    while opened := [voting for voting in votings if voting.is_open]:
        waiting: dict[str, list[Voting]] = {}
        for voting in opened:
            waiting.setdefault(voting.call.request_hash, []).append(voting)

        def take(answer: Reply, waiting: dict[str, list[Voting]] = waiting) -> None:
            waiting[answer.request_hash].pop().add(answer)

        failures = calls.make([voting.call for voting in opened], take, report)
        missing = [(key, voting) for key, rest in waiting.items() for voting in rest]
        count += len(opened) - len(missing)
        for key, voting in missing:
            voting.fail(failures.get(key, "the call was not made"))
    judgements = [voting.judgement for voting in votings]
    if not any(judgements):
        raise failed(next((voting.error for voting in votings if voting.error), "there are no calls"))
    verdicts = [None if one is None else one.passed for one in judgements]
    units = [[verdict, *one.labels] for verdict, one in zip(verdicts, labelled, strict=True)]
    return Comparison(
        verdicts,
        agreement.agreement(units),
        agreement.agreement([list(one.labels) for one in labelled]),
        count,
        budget.spent,
    )


def _voting(judge: Judge, labelled: Labelled, place: int) -> Voting:
    case = Case(messages=({"role": "user", "content": labelled.message},))
    reply = reply_of_text(case.hash, labelled.reply, str(place))
    return Voting(judge, Assertion(RUBRIC, value=labelled.rubric), case, reply, labelled.system)


def _labelled(item: object) -> tuple[str, Labelled | None]:
    """Return an item of the file, or what is wrong with it as a clause without a subject."""
    if not isinstance(item, dict):
        return f"is not a mapping with the keys {', '.join(_KEYS)}", None
    keys = cast("dict[str, Any]", item)
    if unknown := [str(key) for key in keys if key not in _KEYS]:
        return f"has the unknown key {unknown[0]}: the keys are {', '.join(_KEYS)}", None
    for name in ("rubric", "message", "reply"):
        if not isinstance(keys.get(name), str) or not keys[name].strip():
            return f"has no text {name}", None
    system = keys.get("system", "")
    if not isinstance(system, str):
        return "has a system that is not a text", None
    passes: Any = keys.get("passes")
    labels: list[Any] = cast("list[Any]", passes) if isinstance(passes, list) else [passes]
    if not labels or not all(isinstance(label, bool) for label in labels):
        return "needs passes: true or false, or a list of them, one for each person", None
    return "", Labelled(keys["rubric"], keys["message"], keys["reply"], system, labels)


def _invalid(problems: Sequence[str]) -> errors.Failed:
    failure = errors.Failed("invalid_labels", problems[0], hint="docs/tests.md describes the file of --labels")
    failure.others = problems[1:]
    return failure
