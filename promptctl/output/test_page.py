"""The report of runs of tests for a browser: the verdict, and the matrix of cases and versions with the replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import diff_view, html_page, stream, table_layout, test_words, time_text
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.evaluation.results import CaseResult, Reply, RunResult
    from promptctl.output.test_words import Tested

_STYLE = """<style>
.cases td { vertical-align: top; } .cases td:first-child { white-space: normal; overflow-wrap: anywhere; }
.cases td:last-child { white-space: nowrap; }
details { margin: .15rem 0; } summary { cursor: pointer; } .cases details > div { margin: .4rem 0 .6rem; }
.reply { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid var(--line); padding-left: .6rem;
  margin: .4rem 0; font-size: .875rem; }
.reply .dim { display: block; white-space: normal; } .both { display: grid; gap: .75rem;
  grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
mark { background: none; color: inherit; font-weight: 700; text-decoration: underline; text-underline-offset: .2em; }
.checks { margin: .25rem 0; padding-left: 1.1rem; font-size: .875rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) { .both { grid-template-columns: minmax(0, 1fr); }
  .cases td:first-child, .runs td:first-child { grid-column: 1 / -1; white-space: normal; } }
a { color: var(--b); }
@media print { details:not([open]) > summary::after { content: " (folded)"; color: var(--dim); } }
</style>"""


class CaseReplies(Record):
    """All replies to one case, the one to show first at the beginning."""

    baseline: Sequence[Reply]
    new: Sequence[Reply]


def text(tests: Sequence[Tested], replies: Mapping[str, Sequence[CaseReplies]]) -> str:
    """Return the report as one HTML file without scripts that loads nothing.

    `replies` has the replies to each case of a run, by its id. For another run, the examples of its cases are shown.
    """
    title = test_words.heading(tests[0]) if len(tests) == 1 else f"{len(tests)} runs of tests"
    parts = [_STYLE]
    if len(tests) != 1:
        parts.append(f"<h1>{_escaped(title)}</h1>{_summary(tests)}")
    for place, tested in enumerate(tests, 1):
        parts.append(_run(tested, place, replies.get(tested.result.id), is_alone=len(tests) == 1))
    return html_page.text(title, "\n".join(parts))


def _summary(tests: Sequence[Tested]) -> str:
    rows = [
        f'<tr><td><a href="#run{place}">{_escaped(test_words.heading(tested))}</a></td>'
        f"<td>{_escaped(tested.result.models.requested)}</td>{_verdict_cell(tested.result.verdict.word)}"
        f"{_number(test_words.points(tested.result.verdict.change), 'points')}"
        f"{_number(test_words.money(tested.result.cost), 'cost')}</tr>"
        for place, tested in enumerate(tests, 1)
    ]
    head = '<th>Version</th><th>Model</th><th>Verdict</th><th class="number">Points</th><th class="number">Cost</th>'
    return f'<table class="wide runs"><thead><tr>{head}</tr></thead>{"".join(rows)}</table>'


def _run(tested: Tested, place: int, replies: Sequence[CaseReplies] | None, *, is_alone: bool) -> str:
    result = tested.result
    tag = "h1" if is_alone else "h2"
    parts = [
        f'<{tag} id="run{place}">{_escaped(test_words.heading(tested))}</{tag}>',
        f'<p class="sentence">{_escaped(test_words.verdict(result))}</p>',
        *(f'<p class="warning">{_escaped(note)}</p>' for note in result.notes),
    ]
    changed = sum(test_words.is_listed(result, case) for case in result.cases)
    sentences = [test_words.case_counts(result, changed), f"model {test_words.model(result)}"]
    if result.id:
        sentences += [test_words.pass_rates(result), f"run {result.id}"]
    sentences.append(test_words.effort(result))
    parts.append(f'<p class="dim">{"<br>".join(map(_escaped, sentences))}</p>')
    if result.id:
        parts.append(_matrix(tested, replies))
    return "\n".join(parts)


def _matrix(tested: Tested, replies: Sequence[CaseReplies] | None) -> str:
    result = tested.result
    all_replies = [_replies(case) for case in result.cases] if replies is None else replies
    order = sorted(range(len(all_replies)), key=lambda place: not test_words.is_listed(result, result.cases[place]))
    baseline = "" if result.against is None else f'<th class="number">{_escaped(result.against.label)}</th>'
    head = f'<th>Case</th>{baseline}<th class="number">{_escaped(tested.title)}</th><th>Result</th>'
    rows = [_row(result, result.cases[place], all_replies[place]) for place in order]
    return f'<table class="wide cases"><thead><tr>{head}</tr></thead>{"".join(rows)}</table>'


def _row(result: RunResult, case: CaseResult, replies: CaseReplies) -> str:
    cells = f"<td>{_case(case, replies)}</td>"
    if result.against is not None:
        cells += _number(test_words.share(case.baseline_passes, case.baseline_replies), "baseline")
    cells += _number(test_words.share(case.new_passes, case.new_replies), "new")
    return f"<tr>{cells}{_verdict_cell(test_words.outcome(case))}</tr>"


def _case(case: CaseResult, replies: CaseReplies) -> str:
    """Return a case: its title, the checks that fail, and its replies folded."""
    badge = ' <span class="dim">critical</span>' if case.case.is_critical else ""
    group = f' <span class="dim">{_escaped(case.case.group)}</span>' if case.case.group else ""
    title = f"{_escaped(case.case.title)}{badge}{group}"
    checks = "".join(f"<li>{_escaped(test_words.failed_check(check))}</li>" for check in case.failed_checks)
    if checks:
        checks = f'<ul class="checks">{checks}</ul>'
    if not replies.baseline and not replies.new:
        return title + checks
    first_old, first_new = (side[0] if side else None for side in (replies.baseline, replies.new))
    old, new = _highlighted(first_old, first_new)
    both = f'<div class="both">{_side("Baseline", old)}{_side("New", new)}</div>' if old and new else old + new
    others = "".join(_folded(label, side[1:]) for label, side in (("baseline", replies.baseline), ("new", replies.new)))
    return f"<details><summary>{title}</summary><div>{checks}{both}{others}</div></details>"


def _side(label: str, reply: str) -> str:
    return f'<div><span class="dim">{label}</span>{reply}</div>'


def _highlighted(old: Reply | None, new: Reply | None) -> tuple[str, ...]:
    """Return a reply of each side as HTML, with the words that differ marked. '' for a side without a reply."""
    if old is None or new is None:
        return tuple("" if one is None else _plain(one) for one in (old, new))
    parts = diff_view.changed_parts(test_words.reply_text(old), test_words.reply_text(new))
    return tuple(_reply(one, _marked(side)) for one, side in zip((old, new), parts, strict=True))


def _marked(parts: Sequence[tuple[str, bool]]) -> str:
    return "".join(f"<mark>{_safe(text)}</mark>" if differs else _safe(text) for text, differs in parts if text)


def _folded(label: str, replies: Sequence[Reply]) -> str:
    return "".join(
        f"<details><summary>{label}, reply {place}</summary>{_plain(reply)}</details>"
        for place, reply in enumerate(replies, 2)
    )


def _plain(reply: Reply) -> str:
    return _reply(reply, _safe(test_words.reply_text(reply)))


def _reply(reply: Reply, text: str) -> str:
    facts = [reply.model]
    if reply.output_tokens is not None:
        facts.append(test_words.counted(reply.output_tokens, "token"))
    if reply.response_ms is not None:
        facts.append(time_text.brief(reply.response_ms))
    if reply.cost is not None:
        facts.append(table_layout.money(reply.cost))
    if reply.stop_reason not in (None, "end_turn"):
        facts.append(f"stop reason {reply.stop_reason}")
    content = text or '<span class="dim">no text</span>'
    return f'<div class="reply">{content}<span class="dim">{_escaped(", ".join(facts))}</span></div>'


def _replies(case: CaseResult) -> CaseReplies:
    old, new = case.example_baseline, case.example_new
    return CaseReplies([] if old is None else [old], [] if new is None else [new])


def _verdict_cell(word: str) -> str:
    name = {"worse": "worse", "critical, fails": "worse", "fails": "worse", "better": "better", "not worse": "better"}
    return f'<td class="{name.get(word, "same")}">{_escaped(word)}</td>'


def _number(text: str, label: str) -> str:
    return f'<td class="number" data-label="{label}">{_escaped(text)}</td>'


def _escaped(text: str) -> str:
    return html_page.escaped(stream.one_line(text))


def _safe(text: str) -> str:
    """Return a text of several lines as HTML, with control characters escaped."""
    return html_page.escaped(stream.escape_controls(text))
