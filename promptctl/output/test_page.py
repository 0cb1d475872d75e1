"""The report of runs of tests for a browser: the verdicts, and the matrix of cases, models and sides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from promptctl.output import html_page, reply_page, stream, test_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.evaluation.results import CaseReplies, CaseResult
    from promptctl.output.test_words import Tested
    from promptctl.rules.test_cases import Case

_STYLE = """<style>
.cases td, .cases th { vertical-align: top; } .cases thead th { vertical-align: bottom; overflow-wrap: anywhere; }
.cases td:first-child, .runs td:first-child { white-space: normal; overflow-wrap: anywhere; }
.cases td:last-child, .runs td:last-child { white-space: nowrap; }
.cases .first { padding-left: .6rem; border-left: 1px solid var(--line); } .cases .middle { text-align: center; }
.cases td.inner { white-space: normal; padding: 0 0 .5rem; } .cases tr.top td { border-bottom: 0; }
.cases tr.totals td { font-weight: 600; } .word { display: block; font-size: .8125rem; }
.number .word { white-space: normal; }
.cases .result { padding-left: .9rem; } .cases + .rest { margin-top: 1rem; }
details { margin: .15rem 0; } summary { cursor: pointer; } a { color: var(--b); }
.rest > summary { font-weight: 600; margin: 1.5rem 0 .5rem; }
@media (max-width: 40rem) { .cases td:first-child, .runs td:first-child, .cases td.inner { grid-column: 1 / -1; }
  .cases .first { border-left: 0; padding-left: 0; } .wide td[data-label] { overflow-wrap: anywhere; }
  .wide td[data-label]::before { display: block; } .wide.cases tr, .wide.runs tr {
  grid-template-columns: repeat(2, minmax(0, 1fr)); } .wide.cases tr.top { border-bottom: 0; padding-bottom: 0; } }
@media print { details:not([open]) > summary::after { content: " (folded)"; color: var(--dim); } }
</style>"""
_COLORS = {
    "worse": "worse", "critical, fails": "worse", "fails": "worse", "no reply": "worse", "better": "better",
    "not worse": "better",
}  # fmt: skip


def text(tests: Sequence[Tested], replies: Mapping[str, Sequence[CaseReplies]]) -> str:
    """Return the report as one HTML file without scripts that loads nothing.

    `replies` has the replies to each case of a run, by its id.
    """
    groups = test_words.groups(tests)
    title = test_words.heading(tests[0]) if len(groups) == 1 else f"{len(groups)} tests of prompts"
    parts = [_STYLE, reply_page.STYLE]
    if len(groups) != 1:
        parts.append(f"<h1>{_escaped(title)}</h1>{_summary(groups)}")
    for place, group in enumerate(groups, 1):
        parts.append(_group(group, place, replies, is_alone=len(groups) == 1))
    return test_words.storable(html_page.text(title, "\n".join(parts)))


def _summary(groups: Sequence[Sequence[Tested]]) -> str:
    """Return a table with a row for each run, which links to its part of the page."""
    rows = [
        f'<tr><td><a href="#run{place}">{_escaped(test_words.heading(tested))}</a></td>'
        f'<td data-label="model">{_escaped(tested.result.models.requested)}</td>{_result_cells(tested)}</tr>'
        for place, group in enumerate(groups, 1)
        for tested in group
    ]
    return _table("runs", f"<tr><th>Version</th><th>Model</th>{_RESULT_HEADS}</tr>", rows)


def _group(group: Sequence[Tested], place: int, replies: Mapping[str, Sequence[CaseReplies]], *, is_alone: bool) -> str:
    """Return the part of one run, or of the runs of one text with several models."""
    tag = "h1" if is_alone else "h2"
    parts = [f'<{tag} id="run{place}">{_escaped(test_words.heading(group[0]))}</{tag}>']
    if len(group) == 1:
        parts.append(f'<p class="sentence">{_escaped(test_words.verdict(group[0].result))}</p>')
    else:
        rows = [
            f"<tr><td>{_escaped(tested.result.models.requested)}</td>{_result_cells(tested)}</tr>" for tested in group
        ]
        parts.append(_table("runs", f"<tr><th>Model</th>{_RESULT_HEADS}</tr>", rows))
    parts += [_facts(tested, has_model=len(group) > 1) for tested in group]
    if group[0].result.id:
        parts.append(_matrix(group, replies))
    return "\n".join(parts)


def _facts(tested: Tested, *, has_model: bool) -> str:
    """Return the notes and totals of a run: with `has_model` those that a table of several models does not have."""
    result = tested.result
    notes = "".join(f'<p class="warning">{_escaped(note)}</p>' for note in result.notes)
    listed = sum(test_words.is_listed(result, case) for case in result.cases)
    counts = test_words.case_counts(result, listed)
    run = f", run {result.id}" if result.id else ""
    if has_model:
        lead = f"<p><b>{_escaped(test_words.model(result))}</b>: {_escaped(test_words.verdict(result))}<br>"
        return f'{lead}<span class="dim">{_escaped(f"{counts}; {test_words.effort(result)}{run}")}</span></p>{notes}'
    sentences = [f"model {test_words.model(result)}{run}", counts]
    if result.id:
        sentences += [test_words.pass_rates(result), test_words.change(result)]
    sentences.append(test_words.effort(result))
    return f'{notes}<p class="dim">{"<br>".join(_escaped(one) for one in sentences if one)}</p>'


def _matrix(group: Sequence[Tested], replies: Mapping[str, Sequence[CaseReplies]]) -> str:
    """Return the cases that changed, then the others folded. The last row has the totals."""
    cases = range(len(group[0].result.cases))
    listed = [
        place for place in cases if any(test_words.is_listed(one.result, one.result.cases[place]) for one in group)
    ]
    others = [place for place in cases if place not in set(listed)]
    head = _head(group)
    parts: list[str] = []
    if listed or not others:
        parts.append(_table("cases", head, [*(_rows(group, place, replies) for place in listed), _totals(group)]))
    if others:
        rows = [_rows(group, place, replies) for place in others]
        if listed:
            kind = "as before" if group[0].result.against is not None else "with all replies passing"
            summary = f"{test_words.counted(len(others), 'case')} {kind}"
            parts.append(f'<details class="rest"><summary>{summary}</summary>{_table("cases", head, rows)}</details>')
        else:
            parts.append(_table("cases", head, [*rows, _totals(group)]))
    return "\n".join(parts)


def _head(group: Sequence[Tested]) -> str:
    """Return the heading of the matrix: the sides, with several models below the model that they belong to."""
    against = group[0].result.against
    new = f"<th{{}}>{_escaped(group[0].title)}</th>"
    old = "" if against is None else f"<th{{}}>{_escaped(against.label)}</th>"
    if len(group) == 1:
        number = ' class="number"'
        return f'<tr><th>Case</th>{old.format(number)}{new.format(number)}<th class="result">Result</th></tr>'
    span = "" if against is None else ' colspan="2"'
    models = "".join(
        f'<th{span} class="first middle" scope="colgroup">{_escaped(one.result.models.requested)}</th>' for one in group
    )
    first, other = ' class="number first"', ' class="number"'
    sides = old.format(first) + new.format(other) if old else new.format(first)
    return f'<tr><th rowspan="2">Case</th>{models}</tr><tr>{sides * len(group)}</tr>'


def _rows(group: Sequence[Tested], place: int, replies: Mapping[str, Sequence[CaseReplies]]) -> str:
    """Return the row of a case, and below it a row with its replies, folded."""
    case = group[0].result.cases[place].case
    cells = f"<td>{_title(case)}</td>" + "".join(
        _cells(tested, tested.result.cases[place], is_alone=len(group) == 1) for tested in group
    )
    inner = _details(group, place, replies)
    if not inner:
        return f"<tr>{cells}</tr>"
    columns = 1 + cells.count('data-label="')
    return f'<tr class="top">{cells}</tr><tr><td class="inner" colspan="{columns}">{inner}</td></tr>'


def _cells(tested: Tested, case: CaseResult, *, is_alone: bool) -> str:
    """Return the passes of both sides, and the result in its own cell, or with several models below the new passes."""
    word = test_words.outcome(case)
    new = test_words.share(case.new_passes, case.new_replies)
    model = "" if is_alone else f"{tested.result.models.requested} "
    cells = ""
    if tested.result.against is not None:
        old = test_words.share(case.baseline_passes, case.baseline_replies)
        cells = _number(old, f"{model}baseline", name="" if is_alone else "first")
    if is_alone:
        return (
            f'{cells}{_number(new, "new")}<td class="result {_color(word)}" data-label="result">{_escaped(word)}</td>'
        )
    first = "" if cells else "first"
    note = "" if word == test_words.SAME else f'<span class="word {_color(word)}">{_escaped(word)}</span>'
    return cells + _number(new, f"{model}new", note, name=first)


def _totals(group: Sequence[Tested]) -> str:
    """Return the row of all cases: how many replies pass, and the verdict."""
    every = f"All {test_words.counted(len(group[0].result.cases), 'case')}"
    cells = f"<td>{every}</td>"
    for tested in group:
        old, new = test_words.totals(tested.result)
        word = tested.result.verdict.word
        model = "" if len(group) == 1 else f"{tested.result.models.requested} "
        first = "" if len(group) == 1 else "first"
        if tested.result.against is not None:
            cells += _number(old, f"{model}baseline", name=first)
            first = ""
        if len(group) == 1:
            cells += (
                f'{_number(new, "new")}<td class="result {_color(word)}" data-label="verdict">{_escaped(word)}</td>'
            )
        else:
            note = f'<span class="word {_color(word)}">{_escaped(word)}</span>'
            cells += _number(new, f"{model}new", note, name=first)
    return f'<tr class="totals">{cells}</tr>'


def _title(case: Case) -> str:
    badges = [*(["critical"] if case.is_critical else []), *([f"group {case.group}"] if case.group else [])]
    dim = f' <span class="dim">{_escaped(", ".join(badges))}</span>' if badges else ""
    return f"{_escaped(case.title)}{dim}"


def _details(group: Sequence[Tested], place: int, replies: Mapping[str, Sequence[CaseReplies]]) -> str:
    """Return what a case consists of and the replies to it, folded; '' without replies."""
    parts: list[str] = []
    old = new = 0
    for tested in group:
        of_run = replies.get(tested.result.id)
        if of_run is None or not (of_run[place].baseline or of_run[place].new):
            continue
        case = tested.result.cases[place]
        model = tested.result.models.requested
        if len(group) > 1:
            parts.append(f"<h3>{_escaped(model)}: {_escaped(test_words.outcome(case))}</h3>")
        parts.append(_failed_checks(case) + reply_page.replies(of_run[place]))
        old += len(of_run[place].baseline)
        new += len(of_run[place].new)
    if not parts:
        return ""
    counts = f"{test_words.counted(new, 'new reply')}" if new else "no new replies"
    counts += f", {old} of the baseline" if old else ""
    return (
        f"<details><summary>{counts}</summary>"
        f"<div>{_definition(group[0].result.cases[place].case)}{''.join(parts)}</div></details>"
    )


def _failed_checks(case: CaseResult) -> str:
    items = "".join(f"<li>{_escaped(test_words.failed_check(check))}</li>" for check in case.failed_checks)
    return f'<p class="label">New replies fail:</p><ul class="checks">{items}</ul>' if items else ""


def _definition(case: Case) -> str:
    """Return the input and the assertions of a case."""
    parts = [f"{name} = {value}" for name, value in case.values.items()]
    parts += [f"{message.get('role')}: {_content(message.get('content'))}" for message in case.messages]
    inputs = reply_page.text_block("\n".join(parts)) if parts else ""
    checks = "".join(f"<li>{_escaped(one.label)}</li>" for one in case.assertions)
    if case.threshold is not None:
        checks += f"<li>mean score of at least {case.threshold:g}</li>"
    checks = f'<p class="label">Assertions</p><ul class="checks">{checks}</ul>' if checks else ""
    return f'<details class="definition"><summary>Input and assertions</summary>{inputs}{checks}</details>'


def _content(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


_RESULT_HEADS = (
    '<th>Verdict</th><th class="number">Baseline</th><th class="number">New</th>'
    '<th class="number">Change of the pass rate (90% interval)</th><th class="number">Cost</th>'
)


def _result_cells(tested: Tested) -> str:
    """Return the cells of a run: verdict, passes of both sides, change of the pass rate with its interval, cost."""
    result = tested.result
    word = result.verdict.word
    old, new = test_words.totals(result)
    return (
        f'<td class="{_color(word)}" data-label="verdict">{_escaped(word)}</td>{_number(old, "baseline")}'
        f"{_number(new, 'new')}{_number(test_words.short_change(result), 'change of the pass rate (90% interval)')}"
        f"{_number(test_words.money(result.cost), 'cost')}"
    )


def _table(name: str, head: str, rows: Sequence[str]) -> str:
    return f'<table class="wide {name}"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _color(word: str) -> str:
    return _COLORS.get(word, "same")


def _number(text: str, label: str, note: str = "", name: str = "") -> str:
    """Return a cell with a number and a note below it, which is HTML. `name` is another class of the cell."""
    return f'<td class="{f"number {name}".rstrip()}" data-label="{_escaped(label)}">{_escaped(text)}{note}</td>'


def _escaped(text: str) -> str:
    return html_page.escaped(stream.one_line(text))
