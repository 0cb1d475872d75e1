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

STYLE = """<style>
.cases td, .cases th { vertical-align: top; } .cases thead th { vertical-align: bottom; overflow-wrap: anywhere; }
.cases td:first-child, .runs td:first-child { white-space: normal; overflow-wrap: anywhere; }
.cases td:first-child { min-width: 8rem; } .cases td:last-child, .runs td:last-child { white-space: nowrap; }
.cases .first { padding-left: .6rem; border-left: 1px solid var(--line); } .cases .middle { text-align: center; }
.cases td.inner { white-space: normal; padding: 0 0 .5rem; } .cases tr.top td { border-bottom: 0; }
.cases tr.totals td { font-weight: 600; } .word { display: block; font-size: .8125rem; }
.number .word { white-space: normal; }
.cases .result { padding-left: .9rem; } .cases + .rest { margin-top: 1rem; }
p, h3, li { overflow-wrap: anywhere; } details { margin: .15rem 0; } summary { cursor: pointer; } a { color: var(--b); }
.rest > summary { font-weight: 600; margin: 1.5rem 0 .5rem; }
@media (max-width: 40rem) { .cases td:first-child, .runs td:first-child, .cases td.inner { grid-column: 1 / -1; }
  .cases .first { border-left: 0; padding-left: 0; } .cases .result { padding-left: 0; }
  .wide td[data-label] { overflow-wrap: anywhere; }
  .wide td[data-label]::before { display: block; } .wide.cases tr, .wide.runs tr {
  grid-template-columns: repeat(2, minmax(0, 1fr)); } .wide.cases tr.top { border-bottom: 0; padding-bottom: 0; } }
.scroll { overflow-x: auto; }
@media print { .cases tr.replies { break-inside: auto; } .cases tr.top { break-after: avoid; }
  .scroll { overflow: visible; } details:not([open]) > summary::after { content: " (folded)"; color: var(--dim); } }
</style>"""
# With more models, each has a row of its own below a case.
_MOST_COLUMNS = 4
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
    parts = [STYLE, reply_page.STYLE]
    if len(groups) != 1:
        parts.append(f"<h1>{_escaped(title)}</h1>{_summary(groups)}")
    for place, group in enumerate(groups, 1):
        parts.append(_group(group, place, replies, is_alone=len(groups) == 1))
    return test_words.storable(html_page.text(title, "\n".join(parts)))


def short_matrix(tested: Tested, most: int) -> str:
    """Return a table with the cases of a run that changed, at most `most` of them, and the totals, without replies.

    The page needs STYLE.
    """
    group = [tested]
    places = [place for place, case in enumerate(tested.result.cases) if test_words.is_listed(tested.result, case)]
    rows = [*(_rows(group, place, {}) for place in places[:most]), _totals(group)]
    left_out = len(places) - most
    note = f'<p class="dim">{test_words.counted(left_out, "more case")} changed.</p>' if left_out > 0 else ""
    return test_words.storable(_table("cases", _head(group), rows) + note)


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
    labels = [group[0].title] if against is None else [against.label, group[0].title]
    names = ["number first", "number"]
    if not 1 < len(group) <= _MOST_COLUMNS:
        model = "<th>Model</th>" if len(group) > 1 else ""
        sides = "".join(f'<th class="number">{_escaped(label)}</th>' for label in labels)
        return f'<tr><th>Case</th>{model}{sides}<th class="result">Result</th></tr>'
    span = f' colspan="{len(labels)}"' if len(labels) > 1 else ""
    models = "".join(
        f'<th{span} class="first middle" scope="colgroup">{_escaped(one.result.models.requested)}</th>' for one in group
    )
    sides = "".join(f'<th class="{name}">{_escaped(label)}</th>' for name, label in zip(names, labels, strict=False))
    return f'<tr><th rowspan="2">Case</th>{models}</tr><tr>{sides * len(group)}</tr>'


def _rows(group: Sequence[Tested], place: int, replies: Mapping[str, Sequence[CaseReplies]]) -> str:
    """Return the row of a case, and below it a row with its replies, folded."""
    cases = [tested.result.cases[place] for tested in group]
    results = [
        (
            test_words.share(case.baseline_passes, case.baseline_replies),
            test_words.share(case.new_passes, case.new_replies),
            test_words.outcome(case),
        )
        for case in cases
    ]
    inner = _details(group, place, replies)
    rows = _lines(group, _title(cases[0].case), results, "top" if inner else "")
    if not inner:
        return rows
    columns = rows.split("</tr>", 1)[0].count("<td")
    return f'{rows}<tr class="replies"><td class="inner" colspan="{columns}">{inner}</td></tr>'


def _totals(group: Sequence[Tested]) -> str:
    """Return the row of all cases: how many replies pass, and the verdict."""
    results = [(*test_words.totals(tested.result), test_words.verdict_word(tested.result)) for tested in group]
    title = f"All {test_words.counted(len(group[0].result.cases), 'case')}"
    return _lines(group, title, results, "totals")


def _lines(group: Sequence[Tested], title: str, results: Sequence[tuple[str, str, str]], name: str) -> str:
    """Return a row with the passes of both sides and the result of each model, or with many models a row for each.

    `title` is HTML, and `name` the class of the row.
    """
    has_baseline = group[0].result.against is not None
    row = f'<tr class="{name}">' if name else "<tr>"
    if 1 < len(group) <= _MOST_COLUMNS:
        cells = ""
        for tested, (old, new, word) in zip(group, results, strict=True):
            model = tested.result.models.requested
            note = "" if word == test_words.SAME else f'<span class="word {_color(word)}">{_escaped(word)}</span>'
            cells += _number(old, f"{model} baseline", name="first") if has_baseline else ""
            cells += _number(new, f"{model} new", note, name="" if has_baseline else "first")
        return f"{row}<td>{title}</td>{cells}</tr>"
    rows: list[str] = []
    for tested, (old, new, word) in zip(group, results, strict=True):
        span = f' rowspan="{len(group)}"' if len(group) > 1 else ""
        cells = "" if rows else f"<td{span}>{title}</td>"
        if len(group) > 1:
            cells += f"<td>{_escaped(tested.result.models.requested)}</td>"
        cells += _number(old, "baseline") if has_baseline else ""
        cells += f'{_number(new, "new")}<td class="result {_color(word)}" data-label="result">{_escaped(word)}</td>'
        rows.append(f"{row}{cells}</tr>")
    return "".join(rows)


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
    word = test_words.verdict_word(result)
    old, new = test_words.totals(result)
    return (
        f'<td class="{_color(word)}" data-label="verdict">{_escaped(word)}</td>{_number(old, "baseline")}'
        f"{_number(new, 'new')}{_number(test_words.short_change(result), 'change of the pass rate (90% interval)')}"
        f"{_number(test_words.money(result.cost), 'cost')}"
    )


def _table(name: str, head: str, rows: Sequence[str]) -> str:
    table = f'<table class="wide {name}"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    # A table of many models scrolls, and the page does not.
    return f'<div class="scroll">{table}</div>'


def _color(word: str) -> str:
    return _COLORS.get(word, "same")


def _number(text: str, label: str, note: str = "", name: str = "") -> str:
    """Return a cell with a number and a note below it, which is HTML. `name` is another class of the cell."""
    return f'<td class="{f"number {name}".rstrip()}" data-label="{_escaped(label)}">{_escaped(text)}{note}</td>'


def _escaped(text: str) -> str:
    return html_page.escaped(stream.one_line(text))
