"""Write runs of tests as Markdown, for a comment on a pull request or the summary of a workflow."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from promptctl.output import case_view, diff_view, markdown, stream, test_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from promptctl.evaluation.results import CaseResult
    from promptctl.output.test_words import Tested

# A workflow can find and replace its earlier comment by this line.
_MARK = "<!-- promptctl test -->"
_MOST_BYTES = markdown.MOST_CHARACTERS
_MOST_ROWS = 100
# In bytes. A matrix of many models takes no more than this from the other parts.
_LARGEST_MATRIX = 20_000
# What a line about the parts that are left out takes.
_RESERVED = 200
_SIGNS = {"worse": "❌", "better": "✅", "not worse": "✅", "undecided": "❔", test_words.KEPT: "✅"}
# Which parts are left out last.
_VERDICT, _MATRIX, _EXAMPLE = 0, 1, 2


def text(tests: Sequence[Tested], remarks: Sequence[str] = ()) -> str:
    """Return the runs as a comment of less than 60 kB. Cases and examples that do not fit are left out and counted."""
    parts = [f"{_MARK}\n### promptctl test\n"]
    if tests:
        head = "| | version | model | change of the pass rate (90% interval) | cost |\n|---|---|---|--:|--:|"
        parts.append("\n".join([head, *_summary(tests)]) + "\n")
        if len(tests) > _MOST_ROWS:
            parts.append(f"… and {len(tests) - _MOST_ROWS} more runs.\n")
    parts = [test_words.storable(part) for part in [*parts, *(f"{markdown.escaped(one)}\n" for one in remarks)]]
    size = sum(len(part.encode()) + 1 for part in parts) + _RESERVED
    sections = [section for group in test_words.groups(tests) for section in _sections(group)]
    fitting: dict[int, str] = {}
    misfits = 0
    for place in sorted(range(len(sections)), key=lambda place: sections[place][0]):
        section = test_words.storable(sections[place][1]())
        length = len(section.encode()) + 1
        if size + length <= _MOST_BYTES:
            fitting[place] = section
            size += length
        else:
            misfits += 1
            if misfits == markdown.MOST_MISFITS:
                break
    parts += [fitting[place] for place in sorted(fitting)]
    if omitted := len(sections) - len(fitting):
        parts.append(f"{omitted} more parts are left out because they are too long for this comment.\n")
    return "\n".join(parts)


def _summary(tests: Sequence[Tested]) -> Iterator[str]:
    for tested in tests[:_MOST_ROWS]:
        result = tested.result
        word = test_words.verdict_word(result)
        yield (
            f"| {_SIGNS[word]} **{word}** | `{markdown.code(test_words.heading(tested))}` "
            f"| {markdown.escaped(result.models.requested)} | {test_words.short_change(result)} "
            f"| {test_words.money(result.cost)} |"
        )


def _sections(group: Sequence[Tested]) -> Iterator[tuple[int, Callable[[], str]]]:
    """Yield the parts of a run, or of the runs of one text with several models, each with its rank, as functions.

    These are the verdicts, the matrix of the cases that changed, and a folded part for each of these cases.
    """
    yield _VERDICT, partial(_verdicts, group)
    if not group[0].result.id:
        return
    places = [
        place
        for place in range(len(group[0].result.cases))
        if any(test_words.is_listed(tested.result, tested.result.cases[place]) for tested in group)
    ]
    if places:
        yield _MATRIX, partial(_matrix, group, places)
        for place in places:
            for tested in group:
                case = tested.result.cases[place]
                if test_words.is_listed(tested.result, case) and _has_example(case):
                    yield _EXAMPLE, partial(_example, tested, case, group)


def _verdicts(group: Sequence[Tested]) -> str:
    facts = "\n".join(_facts(one, group) for one in group)
    return f"#### `{markdown.code(test_words.heading(group[0]))}`\n\n{facts}"


def _facts(tested: Tested, group: Sequence[Tested]) -> str:
    result = tested.result
    listed = sum(test_words.is_listed(result, case) for case in result.cases)
    model = f"{markdown.escaped(result.models.requested)}: " if len(group) > 1 else ""
    word = test_words.verdict_word(result)
    sentences = [f"{model}**{word}**{markdown.escaped(test_words.verdict(result)[len(word) :])}"]
    sentences += [markdown.escaped(note) for note in result.notes]
    sentences.append(markdown.escaped(test_words.case_counts(result, listed)))
    if result.id:
        sentences += [test_words.pass_rates(result), test_words.change(result)]
    sentences.append(markdown.escaped(test_words.effort(result)))
    separator = "\n\n" if len(group) == 1 else "<br>\n"
    return separator.join(sentence for sentence in sentences if sentence) + "\n"


def _matrix(group: Sequence[Tested], places: Sequence[int]) -> str:
    """Return the table of these cases: with several models, both sides of each model."""
    names: list[str] = []
    for tested in group:
        labels = [tested.title] if tested.result.against is None else [tested.result.against.label, tested.title]
        if len(group) == 1:
            names += [f"`{markdown.code(label)}`" for label in labels]
        else:
            model = markdown.escaped(tested.result.models.requested)
            names += [f"{model}<br>`{markdown.code(label)}`" for label in labels]
    result_head, result_rule = ("result |", "---|") if len(group) == 1 else ("", "")
    lines = [f"| case | {' | '.join(names)} | {result_head}".rstrip(), f"|---|{'--:|' * len(names)}{result_rule}"]
    totals = _row(f"**all {test_words.counted(len(group[0].result.cases), 'case')}**", [_totals(one) for one in group])
    size = sum(len(line.encode()) + 1 for line in [*lines, totals])
    count = 0
    for place in places[:_MOST_ROWS]:
        cases = [tested.result.cases[place] for tested in group]
        cells = [_cells(tested, case) for tested, case in zip(group, cases, strict=True)]
        line = _row(markdown.escaped(cases[0].case.title), cells)
        size += len(line.encode()) + 1
        if size > _LARGEST_MATRIX:
            break
        lines.append(line)
        count += 1
    lines.append(totals)
    more = f"\n… and {len(places) - count} more cases that changed.\n" if count < len(places) else ""
    return "\n".join(lines) + "\n" + more


def _row(title: str, cells: Sequence[tuple[list[str], str]]) -> str:
    """Return a row: with several models, the result of each is beside its passes."""
    if len(cells) == 1:
        [(numbers, word)] = cells
        return f"| {title} | {' | '.join(numbers)} | {word} |"
    texts: list[str] = []
    for numbers, word in cells:
        note = "" if word == test_words.SAME else f" {word}"
        texts += [*numbers[:-1], numbers[-1] + note]
    return f"| {title} | {' | '.join(texts)} |"


def _cells(tested: Tested, case: CaseResult) -> tuple[list[str], str]:
    """Return the passes of each side of a case, and its result."""
    numbers = [test_words.share(case.new_passes, case.new_replies)]
    if tested.result.against is not None:
        numbers.insert(0, test_words.share(case.baseline_passes, case.baseline_replies))
    return numbers, test_words.outcome(case)


def _totals(tested: Tested) -> tuple[list[str], str]:
    old, new = test_words.totals(tested.result)
    return ([new] if tested.result.against is None else [old, new]), f"**{test_words.verdict_word(tested.result)}**"


def _lines(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _has_example(case: CaseResult) -> bool:
    return bool(
        case.failed_checks or test_words.reply_text(case.example_baseline) != test_words.reply_text(case.example_new)
    )


def _example(tested: Tested, case: CaseResult, group: Sequence[Tested]) -> str:
    """Return a folded part with the checks that fail and a reply of each side."""
    lines = [f"! {test_words.failed_check(check)}\n" for check in case.failed_checks]
    old, new = map(test_words.reply_text, (case.example_baseline, case.example_new))
    diff = diff_view.unified(_lines(old), _lines(new), "baseline", "new")
    text = stream.escape_controls("".join(lines) + diff)
    excerpts = case_view.excerpts(case)
    if len(text.encode()) > _MOST_BYTES // 10 and excerpts is not None:
        checks = "".join(lines)[: _MOST_BYTES // 20]
        text = stream.escape_controls(checks) + f"\n-{excerpts[0]}\n+{excerpts[1]}\n"
    model = f" ({tested.result.models.requested})" if len(group) > 1 else ""
    return markdown.details(case.case.title + model, text)
