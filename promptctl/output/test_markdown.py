"""Write runs of tests as Markdown, for a comment on a pull request or the summary of a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import diff_view, markdown, stream, test_view, test_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from promptctl.evaluation.results import CaseResult
    from promptctl.output.test_words import Tested

# A workflow can find and replace its earlier comment by this line.
_MARK = "<!-- promptctl test -->"
_MOST_BYTES = markdown.MOST_CHARACTERS
_MOST_ROWS = 100
# What a line about the parts that are left out takes.
_RESERVED = 200
_SIGNS = {"worse": "❌", "better": "✅", "not worse": "✅", "undecided": "❔"}


def text(tests: Sequence[Tested], remarks: Sequence[str] = ()) -> str:
    """Return the runs as a comment of less than 60 kB. Cases and examples that do not fit are left out and counted."""
    parts = [f"{_MARK}\n### promptctl test\n"]
    if tests:
        parts.append(
            "\n".join(["| | version | model | points | cost |", "|---|---|---|--:|--:|", *_summary(tests)]) + "\n"
        )
    parts += [f"{markdown.escaped(remark)}\n" for remark in remarks]
    size = sum(len(part.encode()) + 1 for part in parts) + _RESERVED
    omitted = 0
    for section in [one for tested in tests for one in _sections(tested)]:
        length = len(section.encode()) + 1
        if size + length > _MOST_BYTES:
            omitted += 1
            continue
        parts.append(section)
        size += length
    if omitted:
        parts.append(f"{omitted} more parts are left out because they are too long for this comment.\n")
    return "\n".join(parts)


def _summary(tests: Sequence[Tested]) -> Iterator[str]:
    for tested in tests[:_MOST_ROWS]:
        result = tested.result
        word = result.verdict.word
        yield (
            f"| {_SIGNS[word]} **{word}** | `{markdown.code(test_words.heading(tested))}` "
            f"| {markdown.escaped(result.models.requested)} | {test_words.points(result.verdict.change)} "
            f"| {test_words.money(result.cost)} |"
        )


def _sections(tested: Tested) -> Iterator[str]:
    """Yield the parts of a run: its verdict, its cases, and a folded part for each case that changed."""
    result = tested.result
    changed = [case for case in result.cases if test_words.is_listed(result, case)]
    sentences = [f"**{result.verdict.word}**: {markdown.escaped(result.verdict.reason)}"]
    sentences += [markdown.escaped(note) for note in result.notes]
    sentences.append(markdown.escaped(test_words.case_counts(result, len(changed))))
    if result.id:
        sentences.append(markdown.escaped(test_words.pass_rates(result)))
    sentences.append(markdown.escaped(test_words.effort(result)))
    yield f"#### `{markdown.code(test_words.heading(tested))}`\n\n" + "\n\n".join(sentences) + "\n"
    if changed and result.id:
        rows = [_row(case) for case in changed[:_MOST_ROWS]]
        table = "\n".join(["| case | baseline | new | |", "|---|--:|--:|---|", *rows]) + "\n"
        more = f"\n… and {len(changed) - _MOST_ROWS} more.\n" if len(changed) > _MOST_ROWS else ""
        yield table + more
        for case in changed:
            if section := _example(case):
                yield section


def _lines(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _row(case: CaseResult) -> str:
    return (
        f"| {markdown.escaped(case.case.title)} | {test_words.share(case.baseline_passes, case.baseline_replies)} "
        f"| {test_words.share(case.new_passes, case.new_replies)} | {test_words.outcome(case)} |"
    )


def _example(case: CaseResult) -> str:
    """Return a folded part with the checks that fail and a reply of each side, '' without a reply."""
    lines = [f"! {test_words.failed_check(check)}\n" for check in case.failed_checks]
    old, new = map(test_words.reply_text, (case.example_baseline, case.example_new))
    diff = diff_view.unified(_lines(old), _lines(new), "baseline", "new")
    text = stream.escape_controls("".join(lines) + diff)
    if not text:
        return ""
    excerpts = test_view.excerpts(case)
    if len(text.encode()) > _MOST_BYTES // 10 and excerpts is not None:
        text = stream.escape_controls("".join(lines)[: _MOST_BYTES // 20]) + f"\n-{excerpts[0]}\n+{excerpts[1]}\n"
    return markdown.details(markdown.escaped(case.case.title), text)
