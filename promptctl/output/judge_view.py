"""Present how far a judge agrees with people. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import answers, stream, tables, test_words
from promptctl.output.table_columns import Column

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.evaluation.labels import Comparison, Labelled
    from promptctl.output.table_columns import Value
    from promptctl.rules.agreement import Agreement


def show(reference: str, labelled: Sequence[Labelled], comparison: Comparison, form: str) -> None:
    """Show the replies on which the judge and most people differ, and the agreement."""
    if form == "json":
        stream.write_json(_document(reference, labelled, comparison))
        return
    if form == "quiet":
        answers.write_references([(reference, None)])
        return
    different = [
        (one, verdict)
        for one, verdict in zip(labelled, comparison.verdicts, strict=True)
        if verdict is not None and _majority(one) not in (None, verdict)
    ]
    missing = comparison.verdicts.count(None)
    if different:
        columns = [Column("JUDGE", "text"), Column("PEOPLE", "text"), Column("RUBRIC", "text"), Column("REPLY", "text")]
        rows: list[list[Value]] = [
            [_word(passes=verdict), _word(passes=not verdict), one.rubric, " ".join(one.reply.split())]
            for one, verdict in different
        ]
        tables.show(columns, rows)
        stream.write("\n" if stream.is_markdown() else "")
    if not stream.for_people():
        _note(reference, comparison, len(labelled) - missing, len(different))
        return
    for line in _lines(reference, comparison, len(labelled) - missing, len(different)):
        answers.write_line(line)


def _note(reference: str, comparison: Comparison, judged: int, different: int) -> None:
    for line in _lines(reference, comparison, judged, different):
        stream.write_stderr(stream.one_line(line))


def _lines(reference: str, comparison: Comparison, judged: int, different: int) -> list[str]:
    missing = comparison.verdicts.count(None)
    lines = [f"{reference} with people: {_agreement(comparison.with_people)}"]
    if comparison.among_people.units:
        lines.append(f"people with each other: {_agreement(comparison.among_people)}")
    verb = "differs from that" if different == 1 else "differ from those"
    lines.append(f"{test_words.counted(different, 'verdict')} of {judged} {verb} of most people")
    if missing:
        lines.append(f"no usable answer to {missing} of {judged + missing} replies")
    lines.append(f"{test_words.counted(comparison.calls, 'call')}, {test_words.money(comparison.cost)}")
    return lines


def _agreement(agreement: Agreement) -> str:
    if agreement.alpha is None:
        return "alpha is not known: all labels are equal, or too few replies have two labels"
    text = f"alpha {agreement.alpha:.2f}"
    if agreement.interval is not None:
        text += f", 95% interval {agreement.interval[0]:.2f} to {agreement.interval[1]:.2f}"
    return f"{text}, {agreement.units} replies"


def _majority(labelled: Labelled) -> bool | None:
    """Return what most people say, None if they are equally divided."""
    double = 2 * sum(labelled.labels)
    return None if double == len(labelled.labels) else double > len(labelled.labels)


def _word(*, passes: bool) -> str:
    return "passes" if passes else "fails"


def _document(reference: str, labelled: Sequence[Labelled], comparison: Comparison) -> dict[str, Any]:
    return {
        "judge": reference,
        "with_people": _agreement_document(comparison.with_people),
        "among_people": _agreement_document(comparison.among_people),
        "calls": comparison.calls,
        "cost_usd": comparison.cost,
        "replies": [
            {"rubric": one.rubric, "reply": one.reply, "labels": list(one.labels), "verdict": verdict}
            for one, verdict in zip(labelled, comparison.verdicts, strict=True)
        ],
    }


def _agreement_document(agreement: Agreement) -> dict[str, Any]:
    interval = agreement.interval
    return {
        "alpha": agreement.alpha,
        "lower": None if interval is None else interval[0],
        "upper": None if interval is None else interval[1],
        "replies": agreement.units,
        "labels": agreement.labels,
    }
