"""The course of a difference over time as SVG, with its intervals. The classes have their colors in `html_page`."""

from __future__ import annotations

import math
from datetime import datetime

from promptctl.output import html_page
from promptctl.rules import margins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.records import Timestamp

    # The time, the difference, and the lower and upper end of its interval.
    Point = tuple[Timestamp, float | None, float | None, float | None]
    # The begin, the end, and the lower and upper end of the interval.
    Box = tuple[Timestamp, Timestamp, float, float]

# The chart shows differences up to this multiple of the tolerance. Early intervals are wider.
MOST_TOLERANCES = 4.0
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 200, 56, 12, 22, 24
# About the width of a character of a label, and the least space between two labels.
_CHARACTER, _SPACE = 7, 6


def text(
    metric: str,
    points: Sequence[Point],
    tolerance: float,
    changes: Sequence[tuple[Timestamp, str]],
    *,
    boxes: Sequence[Box] = (),
    span: tuple[Timestamp, Timestamp] | None = None,
    description: str = "",
) -> str:
    """Return the course of a difference: the estimate as a line, intervals as a ribbon and as boxes, and a band.

    The differences of `points` and `boxes` are in the unit of the metric's kind. The line has a gap where a point has
    no difference. The ribbon connects the intervals of the points, and a box is the interval of a time. The band is the
    tolerance, to both sides. `changes` are vertical lines with a label, oldest first: the times at which the share
    changed. `span` is the time of the chart; without it, that from the first to the last of `points`, which are at
    least two. `description` replaces the chart for a reader who does not see it.
    """
    begin, end = span or (points[0][0], points[-1][0])
    first = _seconds(begin)
    last = max(_seconds(end), first + 1)
    differences = [number for point in points for number in point[1:] if number is not None]
    differences += [number for box in boxes for number in box[2:]]
    most = min(MOST_TOLERANCES, max([1.5, *(abs(number) / tolerance for number in differences)]))

    def x(moment: Timestamp) -> float:
        place = min(max((_seconds(moment) - first) / (last - first), 0.0), 1.0)
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT)

    def y(difference: float) -> float:
        height = (_HEIGHT - _TOP - _BOTTOM) / 2
        return _TOP + height * (1 - max(-1.0, min(difference / tolerance / most, 1.0)))

    parts = [_rectangle("band", _LEFT, _WIDTH - _RIGHT, y(tolerance), y(-tolerance))]
    for box_begin, box_end, lower, upper in boxes:
        parts.append(_rectangle("interval", x(box_begin), x(box_end), y(upper), y(lower)))
    ribbon = [
        (x(moment), y(lower), y(upper)) for moment, _, lower, upper in points if lower is not None and upper is not None
    ]
    if len(ribbon) > 1:
        corners = [(place, top) for place, _, top in ribbon] + [
            (place, bottom) for place, bottom, _ in reversed(ribbon)
        ]
        parts.append(f'<polygon class="interval" points="{_corners(corners)}"/>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(0):.1f}" y2="{y(0):.1f}"/>')
    places = [None if point[1] is None else (x(point[0]), y(point[1])) for point in points]
    parts += [_line(piece) for piece in _pieces(places)]
    parts += _changes([(x(moment), label) for moment, label in changes])
    for difference in (tolerance, 0.0, -tolerance):
        label = _label(metric, difference)
        parts.append(f'<text x="{_LEFT - 6}" y="{y(difference) + 4:.1f}" text-anchor="end">{label}</text>')
    for place, anchor, moment in ((_LEFT, "start", begin), (_WIDTH - _RIGHT, "end", end)):
        minute = html_page.escaped(f"{moment[:10]} {moment[11:16]}")
        parts.append(f'<text x="{place}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{minute}</text>')
    described = html_page.escaped(description or f"course of the difference of {metric} with its interval")
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img"'
        f' aria-label="{described}">{"".join(parts)}</svg>'
    )


def _seconds(moment: Timestamp) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _rectangle(name: str, left: float, right: float, top: float, bottom: float) -> str:
    width, height = max(right - left, 1.0), max(bottom - top, 1.0)
    return f'<rect class="{name}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _pieces(places: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Return the places between gaps, which are None."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for place in places:
        if place is not None:
            pieces[-1].append(place)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _line(piece: Sequence[tuple[float, float]]) -> str:
    if len(piece) > 1:
        return f'<polyline class="curve-b" points="{_corners(piece)}"/>'
    [(left, top)] = piece
    return f'<circle class="dot-b" cx="{left:.1f}" cy="{top:.1f}" r="2.5"/>'


def _corners(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{left:.1f},{top:.1f}" for left, top in places)


def _changes(changes: Sequence[tuple[float, str]]) -> list[str]:
    """Return vertical lines with labels. A label that would cover the one before it is left out."""
    parts: list[str] = []
    free = 0.0
    for place, label in changes:
        parts.append(
            f'<line class="mark-a" x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP - 4}" y2="{_HEIGHT - _BOTTOM}"/>'
        )
        width = _CHARACTER * len(label)
        anchor = "end" if place > _WIDTH * 0.9 else "start"
        left = place - width if anchor == "end" else place
        if left >= free:
            parts.append(
                f'<text x="{place:.1f}" y="{_TOP - 8}" text-anchor="{anchor}">{html_page.escaped(label)}</text>'
            )
            free = left + width + _SPACE
    return parts


def _label(metric: str, difference: float) -> str:
    kind = margins.METRICS[metric].kind
    if difference == 0:
        return "0"
    number = math.expm1(difference) * 100 if kind == "ratio" else difference * 100 if kind == "rate" else difference
    return f"{number:+.3g}{'%' if kind == 'ratio' else ' pt' if kind == 'rate' else ''}"
