"""The words and numbers of a run of tests, for the terminal, Markdown, HTML and JUnit alike. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.evaluation.results import NO_VERDICT
from promptctl.output import stream, table_layout, time_text
from promptctl.records import Record
from promptctl.rules import margins
from promptctl.rules.test_verdicts import FIRST_STAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.evaluation.results import CaseResult, FailedCheck, Reply, RunResult

# What a run without a baseline has instead of a verdict, unless it is worse by rule.
KEPT = "kept as the baseline"
# The colors of verdicts and results on a terminal.
COLORS = {
    "worse": stream.RED, "better": stream.GREEN, "undecided": stream.YELLOW, "not worse": stream.GREEN,
    KEPT: stream.GREEN,
}  # fmt: skip
# The result of a case that did not change.
SAME = "as before"
_MISSING = "no reply"


class Tested(Record):
    """A run to show. `title` names its new side: `support@3`, or a name with a version file that is not stored.

    `next_command` is the command that makes the tested version active, '' if there is none.
    """

    title: str
    result: RunResult
    next_command: str = ""


def storable(text: str) -> str:
    """Return a text with U+FFFD for each lone surrogate, which a reply may have and no output can."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def reply_text(reply: Reply | None) -> str:
    """Return the text of a reply, '' without one."""
    return "" if reply is None else storable(reply.text)


def failed_check(check: FailedCheck) -> str:
    """Return an assertion that new replies fail, with the reason and the number of replies."""
    times = f" ({check.times} times)" if check.times > 1 else ""
    return storable(f"{check.label}: {check.reason}{times}")


def heading(tested: Tested) -> str:
    """Return what is compared: `support@3 against support@2`."""
    against = tested.result.against
    return tested.title if against is None else f"{tested.title} against {against.label}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 case`, `1,200 cases`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("ly") else f"{number:,} {noun}s"


def share(passes: int, replies: int) -> str:
    """Return how many replies pass, `9/10`, and `-` without replies."""
    return f"{passes}/{replies}" if replies else "-"


def points(change: float | None) -> str:
    """Return a change of the pass rate in percentage points, `-8.3`, and `-` if it is not known."""
    if change is None:
        return "-"
    text = f"{change * 100:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def money(dollars: float | None) -> str:
    """Return an amount in US dollars, `cost unknown` for None."""
    return "cost unknown" if dollars is None else table_layout.money(dollars)


def is_listed(result: RunResult, case: CaseResult) -> bool:
    """Whether a case is listed without --all: it changed, or lacks replies; without a baseline, a reply fails."""
    if case.is_changed or case.verdict is not None or case.errors:
        return True
    if result.against is None or not case.baseline_replies:
        return case.new_passes < case.new_replies
    return case.case.is_critical and case.new_passes < case.new_replies


def outcome(case: CaseResult) -> str:
    """Return the result of a case in a word or two. Only `worse` is proven."""
    if case.verdict is not None:
        return case.verdict
    if not case.new_replies:
        if any(check.reason == NO_VERDICT for check in case.failed_checks):
            return NO_VERDICT
        return _MISSING if case.errors else SAME
    if case.case.is_critical and case.new_passes < case.new_replies:
        return "critical, fails"
    if not case.baseline_replies:
        return "passes" if case.new_passes == case.new_replies else "fails"
    difference = case.new_passes * case.baseline_replies - case.baseline_passes * case.new_replies
    if not case.is_changed or difference == 0:
        return SAME
    return "fewer pass" if difference < 0 else "more pass"


def verdict(result: RunResult) -> str:
    """Return the verdict with its reason, as one line."""
    word, because = verdict_word(result), reason(result)
    return f"{word}: {because}" if because else word


def verdict_word(result: RunResult) -> str:
    """Return the verdict in a word; KEPT for a run that compares nothing."""
    is_kept = result.against is None and result.verdict.word == "undecided"
    return KEPT if is_kept else result.verdict.word


def reason(result: RunResult) -> str:
    """Return the reason for the verdict, '' if it has none; for a run that compares nothing, how many replies pass."""
    if verdict_word(result) != KEPT:
        return result.verdict.reason
    missing = sum(case.errors for case in result.cases)
    return pass_rates(result) + (f", {counted(missing, 'reply')} missing" if missing else "")


def pass_rates(result: RunResult) -> str:
    """Return how many replies pass on each side."""
    new = f"{sum(case.new_passes for case in result.cases)} of {sum(case.new_replies for case in result.cases)}"
    if result.against is None:
        return f"{new} replies pass"
    old_replies = sum(case.baseline_replies for case in result.cases)
    old = f"{sum(case.baseline_passes for case in result.cases)} of {old_replies}"
    return f"{new} replies pass, of the baseline {old}"


def change(result: RunResult) -> str:
    """Return by how much the pass rate changed, with its interval and the margin, '' if that is not known."""
    if result.against is None or result.verdict.change is None:
        return ""
    sentence = (
        f"change of the pass rate{_counted_replies(result)}, mean over the cases: "
        f"{points(result.verdict.change)} percentage points"
    )
    if (interval := result.verdict.interval) is not None:
        sentence += f", 90% interval for cases such as these {points(interval[0])} to {points(interval[1])}"
    return f"{sentence}; margin {margins.text('errors', result.margin)}"


def _counted_replies(result: RunResult) -> str:
    """Return which new replies the change counts, '' if it counts all: the later ones are of chosen cases only."""
    compared = [case for case in result.cases if case.baseline_replies]
    replies = [case.new_replies for case in compared if case.new_replies]
    change = result.verdict.change
    if not replies or change is None:
        return ""
    rates = [
        case.new_passes / max(1, case.new_replies) - case.baseline_passes / case.baseline_replies for case in compared
    ]
    if abs(sum(rates) / len(rates) - change) < 1e-9:
        return ""
    least = min(replies)
    # Where all cases have more replies, or numbers of their own, the first ones of each are not known from the result.
    if least == max(replies) or least == 1 or any(case.case.repeat for case in compared):
        return " in the first replies to each case"
    return f" in the first {least} replies to each case"


def short_change(result: RunResult) -> str:
    """Return the change of the pass rate for a cell: `-8.3 points (-20.0 to +3.4)`, and `-` if it is not known."""
    text, interval = _change_cells(result)
    return "-" if text is None else text if interval is None else f"{text} ({interval})"


def totals(result: RunResult) -> tuple[str, str]:
    """Return how many replies of the baseline and of the new side pass: `("30/40", "0/10")`."""
    cases = result.cases
    return (
        share(sum(case.baseline_passes for case in cases), sum(case.baseline_replies for case in cases)),
        share(sum(case.new_passes for case in cases), sum(case.new_replies for case in cases)),
    )


def case_counts(result: RunResult, listed: int) -> str:
    """Return how many cases there are, and how many of them are as before."""
    parts = [counted(len(result.cases), "case")]
    worse = sum(case.verdict == "worse" for case in result.cases)
    missing = sum(case.errors for case in result.cases)
    if worse:
        parts.append(f"{worse} proven worse")
    if missing:
        parts.append(f"{counted(missing, 'reply')} missing")
    if rest := len(result.cases) - listed:
        parts.append(f"{rest} as before" if result.against is not None else f"{rest} with all replies passing")
    return ", ".join(parts)


def effort(result: RunResult) -> str:
    """Return what a run took: calls, kept replies, tokens, cost and time."""
    parts = [counted(result.new_calls, "call")]
    if result.kept_replies:
        parts.append(counted(result.kept_replies, "kept reply"))
    if result.judge_calls:
        parts.append(f"{counted(result.judge_calls, 'call')} of the judge {result.judge}")
    if result.input_tokens or result.output_tokens:
        parts.append(f"{result.input_tokens:,} input and {result.output_tokens:,} output tokens")
    parts += [money(result.cost), time_text.brief(result.seconds * 1000)]
    return ", ".join(parts)


def model(result: RunResult) -> str:
    """Return the requested model, with those that Claude returned if they have other names."""
    requested, returned = result.models
    others = [name for name in returned if name != requested]
    return f"{requested} (returned {', '.join(others)})" if others else str(requested)


def groups(tests: Sequence[Tested]) -> list[list[Tested]]:
    """Return the runs by what they compare: the runs of one text with several models are a group, in their order."""
    grouped: list[list[Tested]] = []
    for tested in tests:
        last = grouped[-1] if grouped else []
        if last and _is_same_matrix(last, tested):
            last.append(tested)
        else:
            grouped.append([tested])
    return grouped


def _is_same_matrix(group: Sequence[Tested], tested: Tested) -> bool:
    """Whether a run has the cases and the sides of those of a group, and another model."""
    first, result = group[0].result, tested.result
    return (
        bool(first.id and result.id)
        and heading(group[0]) == heading(tested)
        and [case.case.hash for case in first.cases] == [case.case.hash for case in result.cases]
        and result.models.requested not in [one.result.models.requested for one in group]
    )


def next_step(tested: Tested) -> str:
    """Return what to do after a verdict, '' if there is nothing to do."""
    result = tested.result
    word = verdict_word(result)
    if word in ("better", "not worse"):
        return tested.next_command if result.id else ""
    if word == "worse":
        return f"promptctl test show {result.id} --html report.html" if result.id else ""
    if any(case.errors and (case.case.is_critical or not case.new_replies) for case in result.cases):
        return "remove the reason, and run the test again: only the missing calls are made"
    if word == KEPT:
        return tested.next_command if all(case.new_passes == case.new_replies for case in result.cases) else ""
    cases, repeats = result.verdict.needed_cases, result.verdict.needed_repeats
    answered = [case for case in result.cases if case.new_replies]
    # Each further look at more replies to the same cases adds to the error of the verdict, so one is proposed.
    is_repeated = bool(answered) and all(case.new_replies > (case.case.repeat or FIRST_STAGE) for case in answered)
    if repeats and not is_repeated:
        number = min((case.new_replies for case in answered), default=0) + repeats
        once = f"once {repeats} more replies to each case (--repeat {number})"
        return f"{cases} more cases may decide, or {once}" if cases else f"{once} may decide"
    if cases:
        return f"{cases} more cases may decide"
    return "add cases" if is_repeated else "add cases, or use --repeat once for more replies to each case"


def summary_rows(tests: Sequence[Tested]) -> list[list[str | float | None]]:
    """Return a row for each run: what was compared, model, verdict, change of the pass rate, its interval, cost.

    The cost is in US dollars.
    """
    return [
        [
            heading(tested), tested.result.models.requested, verdict_word(tested.result), *_change_cells(tested.result),
            tested.result.cost,
        ]
        for tested in tests
    ]  # fmt: skip


def _change_cells(result: RunResult) -> tuple[str | None, str | None]:
    change, interval = result.verdict.change, result.verdict.interval
    if result.against is None or change is None:
        return None, None
    lower_upper = None if interval is None else f"{points(interval[0])} to {points(interval[1])}"
    return f"{points(change)} points", lower_upper
