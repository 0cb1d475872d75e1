"""Present a comparison of two versions. `form` is plain, quiet, json or markdown."""

from __future__ import annotations

import textwrap

from promptctl.output import comparison_numbers as numbers
from promptctl.output import messages, stream, table_columns, tables, time_text
from promptctl.records import Record
from promptctl.rules import experiments, margins, shares, verdict_sentences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from promptctl.output.table_columns import Value
    from promptctl.rules.experiments import Judgment, Traffic
    from promptctl.store.comparisons import Period

_WIDEST = 100
_SHARE_COLUMNS = table_columns.columns(SHARE="number", METRIC="text", DIFFERENCE="number", INTERVAL="number")
# The units of values in JSON.
_UNITS = {
    "errors": "fraction", "time": "ms", "slow": "fraction", "first": "ms", "output": "tokens", "cost": "usd",
    "score": "score",
}  # fmt: skip
_STYLES = {experiments.BETTER: stream.GREEN, experiments.WORSE: stream.RED}


class Comparison(Record):
    """What a comparison found out. `uses_a`, `uses_b` count the recorded uses that were served in the split.

    `shares` has the judgments of each share in basis points. `out_of_place` counts the uses of the other version than
    their bucket selects. `outside_a`, `outside_b` count other uses of the versions while the split ran. `p50_a`
    to `p95_b` are percentiles of the response time in milliseconds.
    """

    period: Period
    uses_a: int
    uses_b: int
    judgments: Sequence[Judgment]
    shares: Sequence[tuple[int, Sequence[Judgment]]]
    traffic: Traffic
    out_of_place: int
    outside_a: int
    outside_b: int
    p50_a: float | None
    p50_b: float | None
    p95_a: float | None
    p95_b: float | None

    @property
    def verdict(self) -> str:
        """The verdict on version B as a whole."""
        return experiments.whole_verdict(self.judgments, has_alarm=self.traffic.has_alarm)

    @property
    def sentence(self) -> str:
        """The verdict as sentences for a reader without statistics."""
        return verdict_sentences.sentence(
            self.period.a, self.period.b, self.uses_a, self.uses_b, self.judgments, self.verdict, self.traffic
        )


def show(comparison: Comparison, form: str, *, by_share: bool) -> None:
    """Show a comparison: the verdict as a sentence and a table. A pipe gets the rows, and the sentence as a note.

    Quiet: the verdict as a word.
    """
    if form == "json":
        stream.write_json(document(comparison))
    elif form == "quiet":
        stream.write(f"{comparison.verdict}\n")
    elif form == "markdown":
        stream.write(markdown(comparison, by_share=by_share))
    elif stream.to_terminal():
        _show_on_terminal(comparison, by_share=by_share)
    else:
        _write_rows(comparison, by_share=by_share)
        messages.note(heading(comparison))
        messages.note(comparison.sentence)
    if form not in ("json", "quiet"):
        for text in warnings(comparison):
            messages.warning(text)


def show_separate(period: Period, form: str, show_statistics: Callable[[], None]) -> None:
    """Report that two versions were never served side by side. `show_statistics` shows the numbers of each."""
    if form == "json":
        stream.write_json(_document_without_uses(period))
        return
    if form == "quiet":
        stream.write(f"{experiments.NOT_KNOWN}\n")
        return
    sentence = f"{period.name}: versions {period.a} and {period.b} were never served side by side"
    remark = "A difference between these numbers may come from the time, not from the version."
    if form == "markdown":
        from promptctl.output import markdown as markdown_parts

        stream.write(f"### {markdown_parts.escaped(sentence)}\n\n{remark}\n\n")
        show_statistics()
    elif stream.to_terminal():
        stream.write(f"{stream.one_line(sentence)}\n{remark}\n\n")
        show_statistics()
    else:
        show_statistics()
        messages.note(sentence)
        messages.note(remark)
    candidate = period.a if period.b == period.active else period.b
    messages.note(f"promptctl split {period.name}@{candidate} 10% starts a comparison with the active version")


def heading(comparison: Comparison) -> str:
    """Return what was compared: `support: version 3 (10%) beside version 2, for 4 days, 18,240 uses`."""
    period = comparison.period
    share = shares.percent(period.share_of_b)
    uses = verdict_sentences.counted(comparison.uses_a + comparison.uses_b, "use")
    end = "" if period.is_running else ", ended"
    return f"{period.name}: version {period.b} ({share}) beside version {period.a}, for {_span(period)}{end}, {uses}"


def warnings(comparison: Comparison) -> list[str]:
    """Return what may make a comparison wrong, as sentences."""
    period, traffic = comparison.period, comparison.traffic
    problems: list[str] = []
    if traffic.has_alarm and traffic.difference is not None:
        clause = verdict_sentences.share_of_uses(traffic.difference)
        cause = "uses of it are lost" if traffic.difference < 0 else "uses of the other version are lost"
        problems.append(
            f"version {period.b} gets {clause} than its share: either {cause}, or people make"
            f" {'fewer' if traffic.difference < 0 else 'more'} calls with it"
        )
    total = comparison.uses_a + comparison.uses_b
    if experiments.is_out_of_place(comparison.out_of_place, total):
        problems.append(
            f"{verdict_sentences.counted(comparison.out_of_place, 'use')} of units that belong to the other version"
            " are left out: an application calculates the bucket in another way"
        )
    for version, uses, outside in (
        (period.a, comparison.uses_a, comparison.outside_a),
        (period.b, comparison.uses_b, comparison.outside_b),
    ):
        if not uses and not comparison.out_of_place and outside:
            counted = verdict_sentences.counted(outside, "use")
            problems.append(
                f"version {version} has {counted} while the split ran, but none with the epoch of the split: an"
                f" application requests {period.name}@{version}, or does not record the epoch that it got"
            )
    if period.is_whole:
        problems.append("the first share began before --since: all of its uses are counted")
    return problems


def document(comparison: Comparison) -> dict[str, Any]:
    """Return the JSON of a comparison."""
    period = comparison.period
    return {
        "name": period.name,
        "a": period.a,
        "b": period.b,
        "since": period.began_at,
        "until": period.epochs[-1].ended_at,
        "share_basis_points": period.share_of_b,
        "uses_a": comparison.uses_a,
        "uses_b": comparison.uses_b,
        "verdict": comparison.verdict,
        "sentence": comparison.sentence,
        "metrics": [_metric_document(judgment) for judgment in comparison.judgments],
        "shares": [
            {"share_basis_points": share, "metrics": [_share_document(judgment) for judgment in judgments]}
            for share, judgments in comparison.shares
        ],
        "traffic": {"difference": comparison.traffic.difference, "alarm": comparison.traffic.has_alarm},
        "out_of_place": comparison.out_of_place,
        "level": experiments.LEVEL,
        "warnings": warnings(comparison),
    }


def markdown(comparison: Comparison, *, by_share: bool) -> str:
    """Return a comparison as Markdown, for a comment on a pull request."""
    from promptctl.output import markdown as markdown_parts
    from promptctl.output import markdown_table

    lines = [
        f"### {markdown_parts.escaped(heading(comparison))}",
        "",
        *(f"> **warning:** {markdown_parts.escaped(text)}\n" for text in warnings(comparison)),
        f"**{markdown_parts.escaped(comparison.sentence)}**",
        "",
        markdown_table.text(*_table(comparison)),
    ]
    if by_share:
        lines.append(markdown_table.text(_SHARE_COLUMNS, _share_rows(comparison)))
    return "\n".join([*lines, *(f"{remark}\n" for remark in remarks(comparison))])


def needs(comparison: Comparison) -> str | None:
    """Return how many more uses the open verdicts take, as a list; None if that is not known."""
    parts = [
        f"{numbers.label(judgment.metric, comparison.period.slow_ms)} for about"
        f" {_more(comparison, judgment.needed_uses)}"
        for judgment in comparison.judgments
        if judgment.needed_uses is not None
    ]
    return ", ".join(parts) if parts else None


def missing_units(comparison: Comparison) -> list[str]:
    """Return for which metrics groups of units are missing, and how many there are, as a sentence for each number."""
    period = comparison.period
    by_units: dict[tuple[int | None, int | None], list[str]] = {}
    for judgment in comparison.judgments:
        if judgment.lacks_units:
            key = (judgment.units_a, judgment.units_b)
            by_units.setdefault(key, []).append(numbers.label(judgment.metric, period.slow_ms))
    return [
        f"not known, and no interval: {', '.join(labels)}: a verdict takes {experiments.LEAST_UNITS} groups of units"
        f" (for example users) of each version; version {period.a} has {a}, version {period.b} has {b}"
        for (a, b), labels in by_units.items()
    ]


def _show_on_terminal(comparison: Comparison, *, by_share: bool) -> None:
    stream.write("".join(f"{line}\n" for line in _wrapped(heading(comparison))))
    style = _STYLES.get(comparison.verdict)
    for line in _wrapped(comparison.sentence):
        stream.write((stream.styled(line, style) if style else line) + "\n")
    fewest = min(comparison.uses_a, comparison.uses_b)
    if fewest < experiments.LEAST_USES:
        if fewest:
            more = (comparison.uses_a + comparison.uses_b) * (experiments.LEAST_USES - fewest) / fewest
            stream.write(f"That takes about {_more(comparison, round(more) or 1)}.\n")
        return
    stream.write("\n")
    tables.show(*_table(comparison))
    if by_share:
        stream.write("\n")
        tables.show(_SHARE_COLUMNS, _share_rows(comparison))
    stream.write("\n")
    for remark in remarks(comparison):
        for line in _wrapped(remark):
            stream.write(stream.styled(line, stream.DIM) + "\n")


def _table(comparison: Comparison) -> tuple[list[table_columns.Column], list[list[Value]]]:
    """Return the columns and the rows of the table of the metrics, for people."""
    period = comparison.period
    columns = [
        *table_columns.columns(METRIC="text"),
        *(table_columns.Column(f"@{version}", "number") for version in (period.a, period.b)),
        *table_columns.columns(DIFFERENCE="number", INTERVAL="number", VERDICT="name"),
    ]
    return columns, [_cells(judgment, period.slow_ms) for judgment in _listed(comparison.judgments)]


def _write_rows(comparison: Comparison, *, by_share: bool) -> None:
    """Write tab-separated rows: of each metric, or with `by_share` of each share and metric."""
    if by_share:
        names = table_columns.columns(
            SHARE="number", METRIC="name", A="number", B="number", DIFFERENCE="number", LOWER="number", UPPER="number"
        )
        tables.show(
            names,
            [
                (shares.percent(share), judgment.metric, *_figures(judgment))
                for share, judgments in comparison.shares
                for judgment in judgments
            ],
        )
        return
    names = table_columns.columns(
        METRIC="name", A="number", B="number", DIFFERENCE="number", LOWER="number", UPPER="number", VERDICT="name",
        NEEDED="number",
    )  # fmt: skip
    tables.show(
        names,
        [
            (judgment.metric, *_figures(judgment), judgment.verdict, judgment.needed_uses)
            for judgment in comparison.judgments
        ],
    )


def _figures(judgment: Judgment) -> list[Value]:
    """Return the two values, the difference and the ends of the interval as text, as in JSON."""
    figures = [judgment.value_a, judgment.value_b]
    differences = [judgment.difference, judgment.lower, judgment.upper]
    figures += [numbers.document_value(judgment.metric, number) for number in differences]
    return [None if number is None else f"{number:.6g}" for number in figures]


def _cells(judgment: Judgment, slow_ms: Sequence[int]) -> list[Value]:
    return [
        numbers.label(judgment.metric, slow_ms),
        numbers.value(judgment.metric, judgment.value_a),
        numbers.value(judgment.metric, judgment.value_b),
        numbers.difference(judgment),
        numbers.interval(judgment),
        judgment.verdict,
    ]


def _share_rows(comparison: Comparison) -> list[list[Value]]:
    return [
        [
            shares.percent(share),
            numbers.label(judgment.metric, comparison.period.slow_ms),
            numbers.difference(judgment),
            numbers.interval(judgment),
        ]
        for share, judgments in comparison.shares
        for judgment in _listed(judgments)
    ]


def _listed(judgments: Sequence[Judgment]) -> list[Judgment]:
    """Return the metrics that have values."""
    return [judgment for judgment in judgments if judgment.value_a is not None]


def remarks(comparison: Comparison) -> list[str]:
    """Return what explains the table."""
    lines: list[str] = []
    listed = _listed(comparison.judgments)
    by_margin: dict[str, list[str]] = {}
    for judgment in listed:
        by_margin.setdefault(margins.text(judgment.metric, judgment.margin), []).append(
            numbers.label(judgment.metric, comparison.period.slow_ms)
        )
    limits = "; ".join(f"{margin} for {', '.join(labels)}" for margin, labels in by_margin.items())
    if limits:
        lines.append(f"margins: {limits} (same: the interval is within the margin)")
    if (needed := needs(comparison)) is not None:
        lines.append(f"not known: {needed}")
    lines += missing_units(comparison)
    few_events = [
        numbers.label(judgment.metric, comparison.period.slow_ms) for judgment in listed if judgment.lacks_events
    ]
    if few_events:
        labels = ", ".join(few_events)
        lines.append(f"no interval without {experiments.LEAST_EVENTS} failed or slow calls: {labels}")
    if any(judgment.metric in ("time", "first", "output") for judgment in listed):
        lines.append("times and tokens are typical ones (geometric means)" + _p95(comparison))
    return lines


def _p95(comparison: Comparison) -> str:
    if comparison.p95_a is None or comparison.p95_b is None:
        return ""
    a, b = time_text.brief(comparison.p95_a), time_text.brief(comparison.p95_b)
    return f"; P95 of the time: {a} with version {comparison.period.a}, {b} with {comparison.period.b}"


def _more(comparison: Comparison, uses: int) -> str:
    """Return a number of uses and, while the split runs, how long they take at the rate so far."""
    text = f"{verdict_sentences.about(uses)} more uses"
    total, seconds = comparison.uses_a + comparison.uses_b, comparison.period.seconds
    if not comparison.period.is_running or not total or seconds <= 0:
        return text
    return f"{text} ({time_text.span(uses * seconds / total)})"


def _span(period: Period) -> str:
    return time_text.span(period.seconds)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(stream.one_line(text), min(stream.width(), _WIDEST))


def _metric_document(judgment: Judgment) -> dict[str, Any]:
    return _share_document(judgment) | {"verdict": judgment.verdict, "needed_uses": judgment.needed_uses}


def _share_document(judgment: Judgment) -> dict[str, Any]:
    def in_json(number: float | None) -> float | None:
        return numbers.document_value(judgment.metric, number)

    return {
        "metric": judgment.metric,
        "unit": _UNITS[judgment.metric],
        "value_a": None if judgment.value_a is None else numbers.rounded(judgment.value_a),
        "value_b": None if judgment.value_b is None else numbers.rounded(judgment.value_b),
        "uses_a": judgment.uses_a,
        "uses_b": judgment.uses_b,
        "difference": in_json(judgment.difference),
        "lower": in_json(judgment.lower),
        "upper": in_json(judgment.upper),
        "margin": in_json(judgment.margin),
    }


def _document_without_uses(period: Period) -> dict[str, Any]:
    return {
        "name": period.name, "a": period.a, "b": period.b, "since": None, "until": None, "share_basis_points": None,
        "uses_a": 0, "uses_b": 0, "verdict": experiments.NOT_KNOWN,
        "sentence": f"Versions {period.a} and {period.b} were never served side by side.", "metrics": [], "shares": [],
        "traffic": {"difference": None, "alarm": False}, "out_of_place": 0, "level": experiments.LEVEL, "warnings": [],
    }  # fmt: skip
