"""The report of prompts for a browser: an overview of all, and a section for each.

The page has no script and loads nothing. It has no time but those of the data and of its period, so the same data give
the same bytes.
"""

from __future__ import annotations

from promptctl.output import html_page, report_section, report_style, report_words, stream, time_charts
from promptctl.output.report_section import cell, escaped, kept
from promptctl.records import Record
from promptctl.rules import report_periods, worsenings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.output.report_section import PromptReport
    from promptctl.rules.report_periods import ReportPeriod
    from promptctl.rules.worsenings import Findings, Worsening
    from promptctl.store.report_states import ReportMove

_MOST_FINDINGS = 40
# Of a reason in the overview.
_MOST_CHARACTERS = 120
_METRICS = {
    worsenings.ERRORS: ("Failed uses", report_words.percent, "uses"),
    worsenings.TIME: ("P95", report_words.duration, "timed uses"),
    worsenings.COST: ("Cost of a use", report_words.money, "uses with tokens"),
    worsenings.SCORE: ("Score", report_words.score, "scores"),
}


class Report(Record):
    """Everything that a page shows.

    `where` names the database. `prompts` are by name, and each has a section if its name is in `sections`. `recent` are
    the newest moves of the last 24 hours, of `recent_moves` in all. `is_of_all` is False if prompts were named.
    `unpriced` are models without a price, and `has_prices` is whether prices are installed.
    """

    where: str
    period: ReportPeriod
    prompts: Sequence[PromptReport]
    sections: Sequence[str]
    recent: Sequence[ReportMove]
    recent_moves: int
    findings: Findings
    unpriced: Sequence[str]
    has_prices: bool
    is_of_all: bool


def text(report: Report) -> str:
    """Return the report as one HTML file without scripts that loads nothing."""
    period = report.period
    names = [prompt.state.name for prompt in report.prompts]
    what = names[0] if len(names) == 1 and not report.is_of_all else report_words.counted(len(names), "prompt")
    title = f"{what}: {report_words.span(period)}"
    places = {name: place for place, name in enumerate(report.sections, 1)}
    parts = [
        report_style.TEXT,
        f"<h1>{escaped(title)}</h1>",
        f'<p class="dim">From {escaped(report.where)}. {_period_note(period)}</p>',
    ]
    if any(prompt.test is not None for prompt in report.prompts):
        from promptctl.output import test_page

        parts.insert(1, test_page.STYLE)
    if not report.prompts:
        parts.append('<p class="sentence">There is no prompt yet.</p>')
    parts += _worse(report, places)
    parts += _recent(report, places)
    if report.prompts:
        parts += _table(report, places)
    room = report_section.room(len(report.sections))
    parts += [
        report_section.text(prompt, period, places[prompt.state.name], room)
        for prompt in report.prompts
        if prompt.state.name in places
    ]
    return html_page.text(title, "\n".join(parts))


def _period_note(period: ReportPeriod) -> str:
    """Return what the steps of the curves are, and that the last one has not ended."""
    note = (
        f"Each step of a curve is one {period.step_name} in UTC, so a move changes the whole {period.step_name} that it"
        " is in."
    )
    if period.is_running:
        note += f" The last {period.step_name} has not ended."
    return note


def _worse(report: Report, places: dict[str, int]) -> list[str]:
    """Return what got worse, with how many prompts could be compared."""
    findings = report.findings
    parts = [f"<h2>What got worse in {report_words.last_day(report.period)}</h2>"]
    compared = report_words.counted(findings.compared, "prompt")
    few = (
        f" {report_words.counted(findings.few, 'other prompt')} had too few uses (fewer than {worsenings.LEAST_USES})."
        if findings.few
        else ""
    )
    if findings.worse:
        items = "".join(f"<li>{_finding(one, places)}</li>" for one in findings.worse[:_MOST_FINDINGS])
        parts.append(f'<ul class="found">{items}</ul>')
        if len(findings.worse) > _MOST_FINDINGS:
            left_out = report_words.counted(len(findings.worse) - _MOST_FINDINGS, "more number")
            parts.append(f"<p>{left_out} got worse, of prompts whose names come later.</p>")
    elif findings.compared:
        parts.append("<p><b>Nothing</b> that is beyond chance and large enough to matter.</p>")
    else:
        parts.append("<p>Not known: no prompt had enough uses in these hours and before.</p>")
    missing = "" if report.has_prices else f" C{escaped(report_words.needs_prices())[1:]}"
    end = report_words.end_of_last_day(report.period)
    parts.append(
        f'<p class="dim">Each prompt is compared with itself: the 24 hours until {end}, with'
        f" {_time_before(report.period)}. {compared} had enough uses.{few}{_tested(findings)}{missing}</p>"
    )
    return parts


def _tested(findings: Findings) -> str:
    """Return of how many prompts each number was tested, and why it was not of the others."""
    if not findings.compared:
        return ""
    numbers = ", ".join(
        f"{label if label == 'P95' else label.lower()} of {report_words.counted(findings.tested[metric], 'prompt')}"
        for metric, (label, _, _) in _METRICS.items()
    )
    is_short = min(findings.tested[worsenings.COST], findings.tested[worsenings.SCORE]) < findings.compared
    needed = (
        f" Cost and score need {worsenings.LEAST_USES} uses that have them, and {worsenings.LEAST_DAYS} whole days"
        " before with so many each."
        if is_short
        else ""
    )
    return f" Tested: {numbers}.{needed} If nothing changes, about one report in a hundred has a finding."


def _time_before(period: ReportPeriod) -> str:
    """Return what the last 24 hours are compared with, in words."""
    if report_periods.for_comparison(period) == period:
        return "the rest of the period before them"
    return "the week before them, because the period has no day before them"


def _finding(one: Worsening, places: dict[str, int]) -> str:
    label, written, noun = _METRICS[one.metric]
    return (
        f"{_link(one.name, places)}: {label} {html_page.escaped(written(one.before))} →"
        f" <b>{html_page.escaped(written(one.after))}</b> ({one.uses_before:,} {noun} before,"
        f" {one.uses:,} in these 24 hours)"
    )


def _recent(report: Report, places: dict[str, int]) -> list[str]:
    """Return the moves of the last 24 hours, newest first."""
    parts = [f"<h2>What changed in {report_words.last_day(report.period)}</h2>"]
    if not report.recent:
        return [*parts, f"<p>Nothing moved in the 24 hours until {report_words.end_of_last_day(report.period)}.</p>"]
    if len(report.prompts) == 1 and report.prompts[0].state.name in places:
        # Its section has the list.
        moves = report_words.counted(report.recent_moves, "move")
        last = report.recent[0]
        sentence = f"{report_words.what(last)}, {report_words.on(last.changed_at)}, by {stream.one_line(last.author)}"
        return [*parts, f'<p><a href="#p1">{moves}</a>, the last one: {html_page.escaped(sentence)}.</p>']
    rows = [
        f'<tr><td class="when">{report_words.minute(move.changed_at)}</td>'
        f'<td class="name">{_link(move.name, places)}</td>'
        f'<td class="what">{html_page.escaped(report_words.what(move))}</td><td class="who">'
        f"{kept(move.author)}</td>"
        f'<td class="why">{html_page.escaped(report_words.why(move, _MOST_CHARACTERS))}</td></tr>'
        for move in report.recent
    ]
    head = "<tr><th>When (UTC)</th><th>Prompt</th><th>What</th><th>By</th><th>Why</th></tr>"
    parts.append(f'<table class="moves recent"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>')
    left_out = report.recent_moves - len(report.recent)
    if left_out:
        parts.append(
            f'<p class="dim">{report_words.counted(left_out, "other move")} in these hours: promptctl history</p>'
        )
    return parts


def _table(report: Report, places: dict[str, int]) -> list[str]:
    """Return the table of all prompts, and what is left out of the page."""
    heads = ("Uses", "Failed", "P95", "Cost", "Cache hits")
    head = (
        "<tr><th>Prompt</th><th>Active</th><th>Since (UTC)</th><th>By</th><th>Commit</th>"
        + "".join(f"<th>{one}</th>" for one in heads)
        + f"<th>Uses by {report.period.step_name}</th></tr>"
    )
    rows = "".join(_row(prompt, places) for prompt in report.prompts)
    parts = [
        f'<h2>Prompts</h2><table class="wide prompts"><thead>{head}</thead><tbody>{rows}</tbody></table>',
    ]
    left_out = [prompt for prompt in report.prompts if prompt.state.name not in places]
    busy = sum(prompt.series is not None or bool(prompt.moves) for prompt in left_out)
    quiet = len(left_out) - busy
    notes: list[str] = []
    if quiet:
        notes.append(
            f"{report_words.counted(quiet, 'prompt')} had neither uses nor moves, and {_has(quiet)} no section."
        )
    if busy:
        notes.append(
            f"{report_words.counted(busy, 'prompt')} with fewer uses {_has(busy)} no section: promptctl report NAME"
            " --html FILE makes one."
        )
    if report.unpriced:
        models = ", ".join(escaped(model) for model in report.unpriced)
        notes.append(
            f"n/a is a cost that is not known: there is no price of {models}."
            if report.has_prices
            else f"n/a is a cost that is not known: {escaped(report_words.needs_prices())}"
        )
    return [*parts, *(f'<p class="dim">{note}</p>' for note in notes)]


def _has(count: int) -> str:
    return "has" if count == 1 else "have"


def _row(prompt: PromptReport, places: dict[str, int]) -> str:
    state, series = prompt.state, prompt.series
    is_split = state.candidate_version is not None or state.archived_at is not None
    since, by = (state.changed_at, state.changed_by) if is_split else (state.moved_at, state.author)
    cells = [
        f"<td>{_link(state.name, places)}</td>",
        f"<td>{kept(report_words.served(state))}</td>",
        f"<td>{kept('' if since is None else report_words.minute(since))}</td>",
        f"<td>{kept(by or '')}</td>",
        cell(report_words.commit(state.origin)),
    ]
    if series is None or not series.whole.uses:
        cells += ["<td>0</td>", "<td></td>" * 4, '<td class="chart"></td>']
    else:
        whole = series.whole
        uses = [float(step.uses) for step in series.steps]
        spark = time_charts.sparkline(uses, f"uses over time, at most {max(uses):,.0f}, last {uses[-1]:,.0f}")
        cells += [
            cell(f"{whole.uses:,}"),
            cell(report_section.failures(whole)),
            cell("-" if whole.p95 is None else report_words.duration(whole.p95)),
            cell(report_section.cost(whole)),
            cell("-" if whole.cache_hits is None else report_words.percent(whole.cache_hits)),
            f'<td class="chart">{spark}</td>',
        ]
    return f"<tr>{''.join(cells)}</tr>"


def _link(name: str, places: dict[str, int]) -> str:
    place = places.get(name)
    return escaped(name) if place is None else f'<a href="#p{place}">{escaped(name)}</a>'
