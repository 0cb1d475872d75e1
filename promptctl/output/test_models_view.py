"""Show the runs of one text with several models on a terminal, as one matrix of cases and models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import case_view, stream, test_words
from promptctl.output.text_width import columns_of, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.evaluation.results import CaseResult
    from promptctl.output.test_words import Tested

# The columns that the titles of cases keep. With less, each model of a case has a line of its own.
_LEAST_TITLE = 20
_GAP = "  "


def show(group: Sequence[Tested], *, all_cases: bool) -> None:
    """Show the cases that changed with any of the models, or with `all_cases` all of them, then each verdict."""
    first = group[0].result
    stream.write(stream.styled(stream.one_line(test_words.heading(group[0])), stream.BOLD) + "\n")
    changed = [
        place
        for place in range(len(first.cases))
        if any(test_words.is_listed(tested.result, tested.result.cases[place]) for tested in group)
    ]
    _show_cases(group, range(len(first.cases)) if all_cases else changed)
    if not all_cases and len(changed) < len(first.cases):
        rest = test_words.counted(len(first.cases) - len(changed), "other case")
        case_view.write_wrapped(
            f"{rest} as before (--all lists them)"
            if first.against is not None
            else f"{rest} with all replies passing (--all lists them)"
        )
    is_good = all(
        test_words.verdict_word(tested.result) in ("better", "not worse", test_words.KEPT) for tested in group
    )
    for tested in group:
        _show_verdict(tested, has_step=not is_good)
    if is_good and (step := test_words.next_step(group[0])):
        _write_step(step)


def _show_verdict(tested: Tested, *, has_step: bool) -> None:
    """Write the verdict of a model, then what it rests on. With `has_step`, a bad verdict ends with the next step."""
    result = tested.result
    word = test_words.verdict_word(result)
    stream.write("\n")
    lead = f"{stream.one_line(test_words.model(result))}: "
    lines = case_view.wrapped(lead + test_words.verdict(result), stream.width())
    styled = stream.styled(word, f"1;{test_words.COLORS[word]}")
    lines[0] = lines[0].replace(lead + word, lead + styled, 1)
    stream.write("".join(f"{line}\n" for line in lines))
    for note in result.notes:
        case_view.write_wrapped(note)
    for sentence in (test_words.change(result), test_words.effort(result)):
        if sentence:
            case_view.write_wrapped(sentence)
    if has_step and word in ("worse", "undecided") and (step := test_words.next_step(tested)):
        _write_step(step)


def _write_step(step: str) -> None:
    stream.write(f"{stream.styled('next:', stream.CYAN)} {stream.one_line(step)}\n")


def _show_cases(group: Sequence[Tested], places: Sequence[int]) -> None:
    """Write the cases at these places: as a matrix if it fits the terminal, else with a line for each model."""
    against = group[0].result.against
    sides = group[0].title if against is None else f"{against.label} → {group[0].title}"
    case_view.write_wrapped(f"replies that pass: {sides}")
    stream.write("\n")
    models = [stream.one_line(tested.result.models.requested) for tested in group]
    titles = [stream.one_line(group[0].result.cases[place].case.title) for place in places]
    rows = [[_cell(tested.result.cases[place]) for tested in group] for place in places]
    titles.append(f"all {test_words.counted(len(group[0].result.cases), 'case')}")
    rows.append([_total(tested) for tested in group])
    columns = zip(models, *rows, strict=True)
    widths = [max(map(columns_of, texts)) for texts in columns]
    title_width = max(map(columns_of, titles))
    room = stream.width() - sum(widths) - len(_GAP) * len(widths)
    if room >= min(_LEAST_TITLE, title_width):
        _show_matrix(["CASE", *titles], [models, *rows], [min(title_width, room), *widths])
        for place, title in zip(places, titles, strict=False):
            if any(case_view.has_details(tested.result.cases[place]) for tested in group):
                stream.write("\n" + stream.styled(cut(title, stream.width()), stream.BOLD) + "\n")
                for model, tested in zip(models, group, strict=True):
                    _show_details(tested.result.cases[place], model)
    else:
        width = max(map(columns_of, models))
        for number, (title, row) in enumerate(zip(titles, rows, strict=True)):
            stream.write(stream.styled(cut(title, stream.width()), stream.BOLD) + "\n")
            for model, tested, text in zip(models, group, row, strict=True):
                stream.write(cut(f"{_GAP}{_padded(model, width)}{_GAP}{text}", stream.width()) + "\n")
                if number < len(places):
                    case_view.show(tested.result.cases[places[number]], _GAP * 2)
    stream.write("\n")


def _show_matrix(titles: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    """Write the lines of a matrix. The first row has the headings, the last one the totals."""
    for number, (title, row) in enumerate(zip(titles, rows, strict=True)):
        line = _GAP.join(_padded(text, width) for text, width in zip([title, *row], widths, strict=True)).rstrip()
        style = stream.DIM if number == 0 else stream.BOLD if number == len(rows) - 1 else ""
        stream.write((stream.styled(line, style) if style else line) + "\n")


def _show_details(case: CaseResult, model: str) -> None:
    if case_view.has_details(case):
        stream.write(f"{_GAP}{stream.styled(cut(model, stream.width() - len(_GAP)), stream.DIM)}\n")
        case_view.show(case, _GAP * 2)


def _cell(case: CaseResult) -> str:
    """Return the passes of both sides with the result: `30/30 → 0/10 worse`."""
    new = test_words.share(case.new_passes, case.new_replies)
    word = test_words.outcome(case)
    text = f"{test_words.share(case.baseline_passes, case.baseline_replies)} → {new}" if case.baseline_replies else new
    return text if word == test_words.SAME else f"{text} {word}"


def _total(tested: Tested) -> str:
    old, new = test_words.totals(tested.result)
    word = test_words.verdict_word(tested.result)
    return f"{new} {word}" if tested.result.against is None else f"{old} → {new} {word}"


def _padded(text: str, width: int) -> str:
    short = cut(text, width)
    return short + " " * (width - columns_of(short))
