"""The section of one prompt in a report: its state, curves, moves and versions, its split or rollout, its last test."""

from __future__ import annotations

from promptctl.output import html_page, report_curves, report_words, stream
from promptctl.records import Record
from promptctl.rules import shares
from promptctl.store import report_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.output.comparison_view import Comparison
    from promptctl.output.test_words import Tested
    from promptctl.records import Timestamp
    from promptctl.rules.report_periods import ReportPeriod
    from promptctl.rules.usage_series import Numbers, PromptSeries
    from promptctl.store.report_states import OlderMoves, ReportMove, ReportState
    from promptctl.store.rollouts import Rollout, Tick

_MOST_VERSIONS = 12
_MOST_CASES = 20
# The rows of all tables of moves, but at least so many of each. A page of more than few sections has shorter reasons.
_MOST_ROWS, _LEAST_MOVES, _FEW_SECTIONS = 120, 5, 6
_MOST_CHARACTERS, _MOST_CHARACTERS_OF_MANY = 300, 100
# An author of so many characters fits on the narrowest page.
_MOST_KEPT = 32


class Room(Record):
    """How many moves the table of each section has, and how many characters of a reason, so that a page is small."""

    moves: int
    characters: int


def room(sections: int) -> Room:
    """Return the room of each section of a page with so many."""
    moves = min(max(_MOST_ROWS // max(sections, 1), _LEAST_MOVES), report_states.MOST_MOVES)
    return Room(moves, _MOST_CHARACTERS if sections <= _FEW_SECTIONS else _MOST_CHARACTERS_OF_MANY)


class PromptReport(Record):
    """Everything about one prompt. `moves` are in the order of the history, and `older` counts those between them.

    `comparison` is that of a split that runs, `rollout` an open one with what a tick would do, `ended_rollout` the last
    one that ended in the period, and `test` the last run of test cases that has a verdict, with its end. `fallbacks`
    counts calls with an application's own text.
    """

    state: ReportState
    series: PromptSeries | None
    moves: Sequence[ReportMove]
    older: Sequence[OlderMoves]
    comparison: Comparison | None = None
    rollout: tuple[Rollout, Tick] | None = None
    ended_rollout: Rollout | None = None
    test: tuple[Tested, Timestamp | None] | None = None
    fallbacks: int = 0

    @property
    def move_count(self) -> int:
        """The number of moves in the period."""
        return self.moves[-1].number if self.moves else 0


def text(prompt: PromptReport, period: ReportPeriod, place: int, room: Room) -> str:
    """Return the section as HTML. `place` is the number of the prompt on the page."""
    state = prompt.state
    parts = [
        f'<section><h2 id="p{place}">{escaped(state.name)}</h2>',
        f'<p class="state">{html_page.escaped(report_words.live(state, is_running=period.is_running))}</p>',
        report_curves.text(period, prompt.series, prompt.moves, prompt.older, state.before, state.served),
    ]
    if prompt.moves:
        parts.append(_moves(prompt, period, room))
    if prompt.series is not None and prompt.series.versions:
        parts.append(_versions(prompt, prompt.series))
    if prompt.fallbacks:
        calls = report_words.counted(prompt.fallbacks, "call")
        parts.append(f'<p class="warning">{calls} used the application\'s own text, because no prompt was at hand.</p>')
    for extra in (_rollout(prompt), _comparison(prompt), _test(prompt)):
        if extra:
            # Together on one page of paper.
            parts.append(f'<div class="extra">{"".join(extra)}</div>')
    parts.append("</section>")
    return "\n".join(parts)


def escaped(value: str) -> str:
    """Return a text of a user as HTML, on one line and with control characters escaped."""
    return html_page.escaped(stream.one_line(value))


def cell(value: str) -> str:
    """Return a cell of a table. The style of the table has the labels of its columns for narrow pages."""
    return f"<td>{html_page.escaped(value)}</td>"


def kept(value: str, most: int = _MOST_KEPT) -> str:
    """Return a text of a user that is not broken into lines if it has at most some characters."""
    text = escaped(value)
    return f'<span class="k">{text}</span>' if 0 < len(value) <= most else text


def cost(numbers: Numbers) -> str:
    """Return the cost, `n/a` if a price is not known, and `-` if no use reported tokens."""
    if numbers.is_unpriced:
        return "n/a"
    return "-" if numbers.cost is None else report_words.money(numbers.cost)


def failures(numbers: Numbers) -> str:
    """Return the number of failed uses, and their part if there are any."""
    rate = numbers.error_rate
    if rate is None:
        return "-"
    return f"{numbers.errors:,} ({report_words.percent(rate)})" if numbers.errors else "0"


def _moves(prompt: PromptReport, period: ReportPeriod, room: Room) -> str:
    listed = [move for move in reversed(prompt.moves) if move.number > prompt.move_count - room.moves]
    rows = [
        f'<tr><td class="number">{move.number}</td><td class="when">{report_words.minute(move.changed_at)}</td>'
        f'<td class="what">{html_page.escaped(report_words.what(move))}</td><td class="who">{kept(move.author)}</td>'
        f'<td class="why">{html_page.escaped(report_words.why(move, room.characters))}</td></tr>'
        for move in listed
    ]
    head = "<tr><th>Mark</th><th>When (UTC)</th><th>What</th><th>By</th><th>Why</th></tr>"
    left_out = prompt.move_count - len(listed)
    note = (
        f'<p class="dim">{report_words.counted(left_out, "older move")} of the period: promptctl history'
        f" {escaped(prompt.state.name)}</p>"
        if left_out
        else ""
    )
    note += _clock_note(prompt, period)
    return f'<h3>Moves</h3><table class="moves"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>{note}'


def _clock_note(prompt: PromptReport, period: ReportPeriod) -> str:
    """Return paragraphs about moves whose times are wrong; '' without any."""
    _, replaced = report_curves.ordered_times(period, prompt.moves)
    notes: list[str] = []
    if replaced:
        # The times of moves that are only counted are not known.
        least = "At least " if prompt.older else ""
        have, them = ("has a time that is", "it") if replaced == 1 else ("have times that are", "them")
        notes.append(
            f"{least}{report_words.counted(replaced, 'move')} {have} out of order, because a clock was wrong. The chart"
            f" has {them} in the order in which the moves were made."
        )
    if report_curves.is_broken(prompt.moves, prompt.state.before, prompt.state.served):
        notes.append(
            "A move of this period has a time outside it, or another one has a time in it, because a clock was wrong."
            f" All moves in their order: promptctl history {escaped(prompt.state.name)}"
        )
    return "".join(f'<p class="warning">{note}</p>' for note in notes)


def _versions(prompt: PromptReport, series: PromptSeries) -> str:
    state = prompt.state
    numbers = sorted(series.versions.items(), reverse=True)
    live = {state.active_version: "active", state.candidate_version: "candidate"}
    listed = [one for place, one in enumerate(numbers) if place < _MOST_VERSIONS or one[0] in live]
    heads = ("Uses", "Failed", "P50", "P95", "Input", "Output", "Cost", "A use", "Cache hits", "Saved", "Score (uses)")
    head = "<tr><th>Version</th>" + "".join(f"<th>{one}</th>" for one in heads) + "</tr>"
    rows = [_version_row(version, of, live.get(version, "")) for version, of in listed]
    if len(numbers) > 1:
        rows.append(_version_row(None, series.whole, ""))
    left_out = len(numbers) - len(listed)
    note = (
        f'<p class="dim">{report_words.counted(left_out, "older version")} with uses: promptctl stats'
        f" {escaped(state.name)}</p>"
        if left_out
        else ""
    )
    return (
        f'<h3>Versions in the period</h3><table class="wide versions"><thead>{head}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table>{note}"
    )


def _version_row(version: int | None, of: Numbers, state: str) -> str:
    label = "All" if version is None else f"@{version}{f', {state}' if state else ''}"
    score = "-" if of.score is None else f"{report_words.score(of.score)} ({of.scored:,})"
    per_use = "n/a" if of.is_unpriced else _optional(of.cost_per_use, report_words.money)
    cells = (
        f"{of.uses:,}", failures(of), _optional(of.p50, report_words.duration),
        _optional(of.p95, report_words.duration), _optional(of.input_tokens, report_words.count),
        _optional(of.output_tokens, report_words.count), cost(of), per_use,
        _optional(of.cache_hits, report_words.percent), _optional(of.cache_saved, report_words.money), score,
    )  # fmt: skip
    name = ' class="live"' if state == "active" else ""
    return f"<tr><td{name}>{label}</td>{''.join(map(cell, cells))}</tr>"


def _optional(value: float | None, format: Callable[[float], str]) -> str:
    return "-" if value is None else format(value)


def _rollout(prompt: PromptReport) -> list[str]:
    """Return the guards of an open rollout, or how the last one in the period ended."""
    name = escaped(prompt.state.name)
    if prompt.rollout is not None:
        from promptctl.output import rollout_page, rollout_view

        rollout, outlook = prompt.rollout
        steps = ", ".join(shares.percent(step) for step in rollout.steps)
        sentence = (
            f"Rollout {rollout.rollout} from version {rollout.baseline} to {rollout.candidate} is {rollout.state} at"
            f" {shares.percent(rollout.basis_points)}. Its steps are {steps}. {rollout.author} started it"
            f" {report_words.on(rollout.began_at)}."
        )
        parts = [f"<h3>Rollout</h3><p>{escaped(sentence)}</p>"]
        judgments = rollout_view.judgments(outlook.figures or ())
        if judgments:
            parts.append(rollout_page.guards(rollout, judgments))
            parts.append(_INTERVALS.replace("margin", "tolerance"))
            if any(judgment.verdict == "too few uses" for judgment in judgments):
                parts.append(f'<p class="dim">{_ENOUGH_USES}</p>')
        parts.append(f'<p class="dim">For its events and its next step: promptctl rollout status {name}</p>')
        return parts
    if prompt.ended_rollout is not None:
        return [f"<h3>Rollout</h3><p>{escaped(_end_of_rollout(prompt.ended_rollout))}</p>"]
    return []


def _end_of_rollout(rollout: Rollout) -> str:
    """Return how a rollout ended, as a sentence."""
    why = f": {rollout.why}" if rollout.why else ""
    ended = "" if rollout.ended_at is None else f" {report_words.on(rollout.ended_at)}"
    return (
        f"Rollout {rollout.rollout} from version {rollout.baseline} to {rollout.candidate}, which {rollout.author}"
        f" started {report_words.on(rollout.began_at)}, was {rollout.state}{ended}{why}."
    ).replace("..", ".")


def _comparison(prompt: PromptReport) -> list[str]:
    """Return the comparison of a split that runs."""
    if prompt.comparison is None:
        return []
    from promptctl.output import comparison_page

    comparison = prompt.comparison
    judgments = [judgment for judgment in comparison.judgments if judgment.value_a is not None]
    parts = [
        f"<h3>Split: version {comparison.period.b} beside {comparison.period.a}</h3>",
        f"<p>{escaped(comparison.sentence)}</p>",
    ]
    if judgments:
        parts += [comparison_page.table(comparison, judgments), _INTERVALS]
    return parts


_ENOUGH_USES = "A guard needs 100 uses of both versions, of 30 units each, that reported its number."
_INTERVALS = (
    '<p class="dim">The dot is the estimated difference. The bar is its interval, in which the true difference very'
    " probably lies. The grey band is the margin: a difference within it does not matter.</p>"
)


def _test(prompt: PromptReport) -> list[str]:
    """Return the last verdict of test cases with the matrix of the cases that changed."""
    if prompt.test is None:
        return []
    from promptctl.output import test_page, test_words

    tested, ended_at = prompt.test
    at = "" if ended_at is None else f", {report_words.minute(ended_at)} UTC"
    return [
        f"<h3>Last test: {escaped(test_words.heading(tested))}</h3>",
        f"<p>{escaped(test_words.verdict(tested.result))}</p>",
        test_page.short_matrix(tested, _MOST_CASES),
        f'<p class="dim">Run {escaped(tested.result.id)}{at}: promptctl test show {escaped(tested.result.id)}</p>',
    ]
