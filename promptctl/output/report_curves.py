"""The curves of one prompt in a report: a lane with what was active, panels over one time axis, and marks of moves."""

from __future__ import annotations

from promptctl.output import html_page, lane_chart, report_words, time_charts
from promptctl.output.lane_chart import Segment
from promptctl.output.time_charts import Line, Mark
from promptctl.rules import move_times, report_periods, shares
from promptctl.store.report_states import Served

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
# What was served for less than this part of the width of the lane is a part of many moves.
_NARROWEST = 0.004
_MOST_DESCRIBED = 8


def text(
    period: ReportPeriod,
    series: PromptSeries | None,
    moves: Sequence[ReportMove],
    older: Sequence[OlderMoves],
    before: Served,
    after: Served | None = None,
) -> str:
    """Return the chart of a prompt as HTML.

    `moves` are in the order of the history, and `older` counts those that are not among them. `before` is what was
    served when the period began, and `after` what was served at its end, None for what the last move served.
    """
    all_marks = marks(period, moves, older)
    segments = _segments(period, moves, before, after)
    parts = [lane_chart.text(segments, all_marks, _lane_description(segments, all_marks))]
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
        return max((min(moment, period.recent_end) - period.begin) / length, 0.0)

    times, _ = ordered_times(period, moves)
    all_marks = [Mark(place(time), move.number) for move, time in zip(moves, times, strict=True)]
    # Those between follow the first moves, whose numbers have no gap.
    number = next((place for place, move in enumerate(moves, 1) if move.number != place), len(moves) + 1)
    for one in older:
        all_marks.append(Mark(place(period.begin + one.hour * report_periods.HOUR), number, one.moves))
        number += one.moves
    return sorted(all_marks, key=lambda mark: (mark.place, mark.number))


def ordered_times(period: ReportPeriod, moves: Sequence[ReportMove]) -> tuple[list[float], int]:
    """Return the times of moves in seconds since 1970, and how many of them were replaced because a clock was wrong.

    `moves` are in the order of the history, and so are the times.
    """
    return move_times.in_order([report_periods.seconds(move.changed_at) for move in moves], period.recent_end)


def is_broken(moves: Sequence[ReportMove], before: Served, after: Served) -> bool:
    """Whether the moves of a period do not lead from what was served `before` it to what was served `after` it.

    Then a wrong clock has put the time of a move on the wrong side of the begin or of the end of the period. Moves that
    are only counted between those listed are not checked.
    """
    number, version = 0, before.version
    for move in moves:
        if move.number == number + 1 and move.previous_version != version:
            return True
        number, version = move.number, move.version
    return version != after.version


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


def _segments(period: ReportPeriod, moves: Sequence[ReportMove], before: Served, after: Served | None) -> list[Segment]:
    """Return what was served over time. `moves` are in the order of the history.

    The first move says what was served before it, and `after` what was served at the end, also where `is_broken`.
    """
    length = period.end - period.begin
    now = min((period.recent_end - period.begin) / length, 1.0)
    begin, number, served = 0.0, 0, before
    if moves and moves[0].previous_version != before.version:
        served = Served(moves[0].previous_version)
    styles = _Styles()
    segments: list[Segment] = []
    times, _ = ordered_times(period, moves)
    for move, time in zip(moves, times, strict=True):
        moment = (time - period.begin) / length
        skipped = move.number - number - 1
        if skipped:
            segments.append(Segment(begin, moment, [report_words.counted(skipped, "move")], "many"))
        elif moment - begin >= _NARROWEST:
            segments.append(_segment(begin, moment, served, styles))
        else:
            segments.append(Segment(begin, moment, [], "many"))
        begin, number, served = moment, move.number, move.served
    if after is not None and after.version != served.version:
        segments.append(_segment(begin, now, served, styles))
        begin, served = now, after
    # What is served at the end is always drawn.
    begin = min(begin, max(now - _NARROWEST, 0.0))
    segments = [
        Segment(one.begin, min(one.end, max(begin, one.begin)), one.labels, one.style, one.share) for one in segments
    ]
    segments.append(_segment(begin, now, served, styles))
    return _joined(segments)


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Join neighbors that look the same, and leave out what has no width."""
    joined: list[Segment] = []
    for segment in segments:
        if segment.end <= segment.begin:
            continue
        last = joined[-1] if joined else None
        if last is not None and (last.labels, last.style) == (segment.labels, segment.style):
            joined[-1] = Segment(last.begin, segment.end, segment.labels, segment.style, segment.share)
        else:
            joined.append(segment)
    return joined


class _Styles:
    """The styles of versions: one that follows another has a different one, and the same one as before if it can."""

    def __init__(self) -> None:
        self._by_version: dict[int, str] = {}
        self._last: int | None = None

    def of(self, version: int | None) -> str:
        """Return the style of the next version in the lane."""
        if version is None:
            return "none"
        before = None if self._last is None else self._by_version[self._last]
        if version != self._last:
            style = self._by_version.get(version, "odd")
            self._by_version[version] = ("even" if before == "odd" else "odd") if style == before else style
            self._last = version
        return self._by_version[version]


def _segment(begin: float, end: float, served: Served, styles: _Styles) -> Segment:
    version, candidate = served.version, served.candidate_version
    style = styles.of(version)
    if version is None:
        return Segment(begin, end, ["none"], style)
    if candidate is None:
        return Segment(begin, end, [f"@{version}"], style)
    share = shares.percent(served.basis_points)
    labels = [f"@{version} | @{candidate} {share}", f"@{candidate} {share}", share]
    return Segment(begin, end, labels, style, served.basis_points / shares.ALL)


def _lane_description(segments: Sequence[Segment], all_marks: Sequence[Mark]) -> str:
    labels = [segment.labels[0] for segment in segments if segment.labels]
    chain = " then ".join(labels[-_MOST_DESCRIBED:])
    before = f"{len(labels) - _MOST_DESCRIBED} others, then " if len(labels) > _MOST_DESCRIBED else ""
    moves = sum(mark.moves for mark in all_marks)
    return f"active over time: {before}{chain or 'none'}; {report_words.counted(moves, 'move')} in the period"
