"""The replies to a case of a test, for a browser: each with whether it passes, and the assertions that it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import diff_view, html_page, stream, table_layout, test_words, time_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.evaluation.results import CaseReplies, CheckedReply

STYLE = """<style>
.inner details > div { margin: .4rem 0 .6rem; } .inner summary { font-size: .875rem; overflow-wrap: anywhere; }
.both { display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
.reply { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid var(--line); padding-left: .6rem;
  margin: .3rem 0; font-size: .875rem; }
.reply.passes { border-left-color: var(--better); } .reply.fails { border-left-color: var(--worse); }
.facts { color: var(--dim); font-size: .8125rem; margin: .2rem 0; }
.label { margin: .4rem 0 .1rem; font-size: .875rem; }
.label .passes { color: var(--better); font-weight: 600; } .label .fails { color: var(--worse); font-weight: 600; }
.checks { margin: .1rem 0 .3rem; padding-left: 1.1rem; font-size: .875rem; overflow-wrap: anywhere; }
mark { background: none; color: inherit; font-weight: 700; text-decoration: underline; text-underline-offset: .2em; }
@media (max-width: 40rem) { .both { grid-template-columns: minmax(0, 1fr); gap: .25rem; } }
@media print { .reply { break-inside: avoid; } }
</style>"""
_WORDS = {True: "passes", False: "fails", None: "not decided"}
_CLASSES = {True: "passes", False: "fails", None: "unknown"}


def replies(case: CaseReplies) -> str:
    """Return the first reply of each side beside each other, with the words that differ, then the others folded."""
    first_old, first_new = (side[0] if side else None for side in (case.baseline, case.new))
    old, new = _highlighted(first_old, first_new)
    first = f'<div class="both"><div>{old}</div><div>{new}</div></div>' if old and new else old + new
    folded = [_folded(label, side[1:]) for label, side in (("Baseline", case.baseline), ("New", case.new))]
    if all(folded):
        return f'{first}<div class="both"><div>{folded[0]}</div><div>{folded[1]}</div></div>'
    return first + "".join(folded)


def text_block(text: str) -> str:
    """Return a text of several lines as it is."""
    return f'<div class="reply">{_safe(text)}</div>'


def _highlighted(old: CheckedReply | None, new: CheckedReply | None) -> tuple[str, str]:
    """Return a reply of each side as HTML, with the words that differ marked. '' for a side without a reply."""
    if old is None or new is None:
        return "" if old is None else _reply("Baseline", old), "" if new is None else _reply("New", new)
    parts = diff_view.changed_parts(test_words.reply_text(old.reply), test_words.reply_text(new.reply))
    return _reply("Baseline", old, _marked(parts[0])), _reply("New", new, _marked(parts[1]))


def _marked(parts: Sequence[tuple[str, bool]]) -> str:
    return "".join(f"<mark>{_safe(text)}</mark>" if differs else _safe(text) for text, differs in parts if text)


def _folded(label: str, others: Sequence[CheckedReply]) -> str:
    return "".join(
        f"<details><summary>{label}, reply {place}: {_escaped(_result(checked))}</summary>"
        f"<div>{_body(checked)}</div></details>"
        for place, checked in enumerate(others, 2)
    )


def _result(checked: CheckedReply) -> str:
    """Return whether a reply passes, with the labels of the assertions that it fails."""
    labels = [fault.label for fault in checked.faults if fault.counts]
    word = _WORDS[checked.passes]
    return f"{word} {', '.join(labels)}" if labels and checked.passes is False else word


def _reply(label: str, checked: CheckedReply, content: str | None = None) -> str:
    word = f'<span class="{_CLASSES[checked.passes]}">{_WORDS[checked.passes]}</span>'
    return f'<p class="label">{label}: {word}</p>{_body(checked, content)}'


def _body(checked: CheckedReply, content: str | None = None) -> str:
    """Return the assertions that a reply fails, its text (`content` if it is marked) and its facts."""
    items = [
        test_words.storable(f"{fault.label}: {fault.reason}") + ("" if fault.counts else " (weight 0: does not count)")
        for fault in checked.faults
    ]
    items += map(test_words.storable, checked.unknown)
    if checked.score is not None:
        items.append(f"mean score {checked.score:.3g}")
    listed = "".join(f"<li>{_escaped(item)}</li>" for item in items)
    checks = f'<ul class="checks">{listed}</ul>' if listed else ""
    text = _safe(test_words.reply_text(checked.reply)) if content is None else content
    visible = text or '<span class="dim">no text</span>'
    facts = _escaped(_facts(checked))
    return f'{checks}<div class="reply {_CLASSES[checked.passes]}">{visible}</div><p class="facts">{facts}</p>'


def _facts(checked: CheckedReply) -> str:
    reply = checked.reply
    facts = [reply.model]
    if reply.output_tokens is not None:
        facts.append(test_words.counted(reply.output_tokens, "token"))
    if reply.response_ms is not None:
        facts.append(time_text.brief(reply.response_ms))
    if reply.cost is not None:
        facts.append(table_layout.money(reply.cost))
    if reply.stop_reason not in (None, "end_turn"):
        facts.append(f"stop reason {reply.stop_reason}")
    return ", ".join(facts)


def _escaped(text: str) -> str:
    return html_page.escaped(stream.one_line(text))


def _safe(text: str) -> str:
    """Return a text of several lines as HTML, with control characters escaped."""
    return html_page.escaped(stream.escape_controls(text))
