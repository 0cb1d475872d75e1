"""The curves of one prompt in a report: a lane with what was active, panels over one time axis, and marks of moves."""

from __future__ import annotations

import bisect

from promptctl.output import html_page, report_words, time_charts
from promptctl.output.time_charts import Line, Mark, Segment
from promptctl.rules import report_periods, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.rules.report_periods import ReportPeriod
    from promptctl.rules.usage_series import Numbers, PromptSeries
    from promptctl.store.report_states import OlderMoves, ReportMove

    # The label of a curve, its style, and its value in a step.
    Curve = tuple[str, str, Callable[[Numbers], float | None]]
    # The heading of a panel, its curves, how a value is written, and what the first curve is called in a sentence.
    Panel = tuple[str, Sequence[Curve], Callable[[float], str], str]

_COST = "Cost of a use"
_PANELS: Sequence[Panel] = (
    ("Uses", [("", "area", lambda step: float(step.uses))], report_words.count, ""),
    ("Failed uses", [("", "solid", lambda step: step.error_rate)], report_words.percent, ""),
    (
        "Response time",
        [("P95", "solid", lambda step: step.p95), ("P50", "dashed", lambda step: step.p50)],
        report_words.duration,
        "P95",
    ),
    (
        "Tokens of a use",
        [("input", "solid", lambda step: step.input_tokens), ("output", "dashed", lambda step: step.output_tokens)],
        report_words.count,
        "input",
    ),
    (_COST, [("", "solid", lambda step: step.cost_per_use)], report_words.money, ""),
    ("Score", [("", "solid", lambda step: step.score)], report_words.score, ""),
)
# A part of the lane that is narrower than this part of its width joins its neighbors.
_NARROWEST = 0.004
_MOST_DESCRIBED = 8


def text(
    period: ReportPeriod,
    series: PromptSeries | None,
    moves: Sequence[ReportMove],
    older: Sequence[OlderMoves],
    active: int | None,
) -> str:
    """Return the chart of a prompt as HTML.

    `moves` are in the order of the history, and `older` counts those that are not among them. `active` is the active
    version of a period without moves.
    """
    all_marks = marks(period, moves, older)
    segments = _segments(period, moves, active)
    parts = [time_charts.lane(segments, all_marks, _lane_description(segments, all_marks))]
    grid = [place for place, _ in report_words.ticks(period)]
    missing: list[str] = []
    panels: list[str] = []
    for panel in _PANELS if series is not None and series.whole.uses else ():
        chart = None if series is None else _panel(period, series, panel)
        if chart is None:
            missing.append(panel[0].lower())
        else:
            panels.append(chart)
    if panels:
        parts.append(f'<div class="panels">{"".join(panels)}{time_charts.marks(all_marks, grid)}</div>')
    else:
        parts.append('<p class="dim">No use was recorded in this period.</p>')
    parts.append(time_charts.axis(report_words.ticks(period)))
    if panels and series is not None:
        parts.append(_missing_note(missing, is_unpriced=series.whole.is_unpriced))
    return "\n".join(parts)


def _missing_note(missing: Sequence[str], *, is_unpriced: bool) -> str:
    """Return a paragraph about panels that are missing, and about costs that are not known; '' if there is none."""
    cost = _COST.lower()
    unreported = [heading for heading in missing if heading != cost or not is_unpriced]
    sentences = [f"Not reported by any use: {', '.join(unreported)}."] if unreported else []
    if is_unpriced and cost in missing:
        sentences.append("Cost of a use: n/a, because a price is not known.")
    elif is_unpriced:
        sentences.append("Cost of a use has a gap where a price is not known.")
    return f'<p class="dim">{" ".join(sentences)}</p>' if sentences else ""


def marks(period: ReportPeriod, moves: Sequence[ReportMove], older: Sequence[OlderMoves]) -> list[Mark]:
    """Return a mark for each move, and one for all moves of an hour that are only counted."""
    length = period.end - period.begin

    def place(moment: float) -> float:
        return min(max((moment - period.begin) / length, 0.0), 1.0)

    all_marks = [Mark(place(report_periods.seconds(move.changed_at)), move.number) for move in moves]
    # Those between follow the first moves, whose numbers have no gap.
    number = next((place for place, move in enumerate(moves, 1) if move.number != place), len(moves) + 1)
    for one in older:
        all_marks.append(Mark(place(period.begin + one.hour * report_periods.HOUR), number, one.moves))
        number += one.moves
    return sorted(all_marks, key=lambda mark: (mark.place, mark.number))


def _panel(period: ReportPeriod, series: PromptSeries, panel: Panel) -> str | None:
    """Return a panel with its heading, None if no use reported its numbers."""
    heading, curves, written, first_name = panel
    lines = [Line(label, style, [value(step) for step in series.steps]) for label, style, value in curves]
    finding = _finding(period, lines[0], written, first_name)
    if finding is None and all(value is None for line in lines for value in line.values):
        return None
    for line in lines[1:]:
        more = _finding(period, line, written, line.label)
        finding = "; ".join(part for part in (finding, more) if part)
    chart = time_charts.panel(lines, written, f"{heading} by {period.step_name}: {finding}")
    caption = f"<b>{heading}</b> <span>{html_page.escaped(finding or '')}</span>"
    return f"<figure><figcaption>{caption}</figcaption>{chart}</figure>"


def _finding(period: ReportPeriod, line: Line, format: Callable[[float], str], name: str) -> str | None:
    """Return the least, the greatest and the last value of a curve in words; None without values."""
    values = [(value, place) for place, value in enumerate(line.values) if value is not None]
    if not values:
        return None
    lead = f"{name} " if name else ""
    (least, _), (most, place), (last, last_place) = (
        min(values, key=lambda one: (one[0], one[1])),
        max(values, key=lambda one: (one[0], -one[1])),
        values[-1],
    )
    if len(values) == 1:
        return f"{lead}{format(last)} {report_words.step(period, last_place)}"
    texts = f"{lead}last {format(last)}"
    if last_place != period.steps - 1:
        texts += f" {report_words.step(period, last_place)}"
    if format(least) == format(most):
        return f"{texts}, the same throughout"
    return f"{texts}, lowest {format(least)}, highest {format(most)} {report_words.step(period, place)}"


def _segments(period: ReportPeriod, moves: Sequence[ReportMove], active: int | None) -> list[Segment]:
    """Return what was active over time. `moves` are in the order of the history."""
    length = period.end - period.begin
    now = min((period.recent_end - period.begin) / length, 1.0)
    begin = 0.0
    version = moves[0].previous_version if moves else active
    label = _version_label(version, None, 0)
    number = 0
    segments: list[Segment] = []
    seconds = [report_periods.seconds(move.changed_at) - period.begin for move in moves]
    for move, place in zip(moves, _ascending(seconds), strict=True):
        moment = min(place / length, now)
        skipped = move.number - number - 1
        if skipped:
            segments.append(Segment(begin, moment, report_words.counted(skipped, "move"), "many"))
        else:
            segments.append(Segment(begin, moment, label, _lane_style(version)))
        begin, number, version = moment, move.number, move.version
        label = _version_label(version, move.candidate_version, move.basis_points)
    segments.append(Segment(begin, max(now, begin), label, _lane_style(version)))
    return _without_narrow(segments)


def _ascending(times: Sequence[int]) -> list[int]:
    """Return times of which some may be wrong, because a clock was set, in ascending order.

    As many as possible are kept: those of a longest ascending part. Each other one becomes the one before it.
    """
    # For each length, the place of the least last time of an ascending part; and the place before each in its part.
    ends: list[int] = []
    before: list[int | None] = []
    for place, time in enumerate(times):
        length = bisect.bisect_right([times[end] for end in ends], time)
        before.append(ends[length - 1] if length else None)
        ends[length : length + 1] = [place]
    kept: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        kept.add(last)
        last = before[last]
    latest = times[min(kept)] if kept else 0
    ordered: list[int] = []
    for place, time in enumerate(times):
        latest = time if place in kept else latest
        ordered.append(latest)
    return ordered


def _without_narrow(segments: Sequence[Segment]) -> list[Segment]:
    """Join what is too narrow to be seen, and neighbors that look the same."""
    joined: list[Segment] = []
    for segment in segments:
        size = segment.end - segment.begin
        if size <= 0:
            continue
        kept = segment if size >= _NARROWEST else Segment(segment.begin, segment.end, "", "many")
        last = joined[-1] if joined else None
        if last is not None and (last.label, last.style) == (kept.label, kept.style):
            joined[-1] = Segment(last.begin, kept.end, kept.label, kept.style)
        else:
            joined.append(kept)
    return joined


def _version_label(version: int | None, candidate: int | None, basis_points: int) -> str:
    if version is None:
        return "none"
    return f"@{version}" if candidate is None else f"@{version} | @{candidate} {shares.percent(basis_points)}"


def _lane_style(version: int | None) -> str:
    return "none" if version is None else "odd" if version % 2 else "even"


def _lane_description(segments: Sequence[Segment], all_marks: Sequence[Mark]) -> str:
    labels = [segment.label for segment in segments if segment.label]
    chain = " then ".join(labels[-_MOST_DESCRIBED:])
    before = f"{len(labels) - _MOST_DESCRIBED} others, then " if len(labels) > _MOST_DESCRIBED else ""
    moves = sum(mark.moves for mark in all_marks)
    return f"active over time: {before}{chain or 'none'}; {report_words.counted(moves, 'move')} in the period"
