"""The course of a difference over time as SVG, with its interval. The classes have their colors in `html_page`."""

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

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 200, 56, 12, 22, 24
# The chart shows differences up to this multiple of the tolerance. Early intervals are wider.
_MOST_TOLERANCES = 4.0


def text(metric: str, points: Sequence[Point], tolerance: float, changes: Sequence[tuple[Timestamp, str]]) -> str:
    """Return the course of a difference: its interval as a ribbon, the estimate as a line, the tolerance as a band.

    `points` are at least two, in the unit of the metric's kind. `changes` are vertical lines with a label: the times
    at which the share changed.
    """
    times = [datetime.fromisoformat(point[0]).timestamp() for point in points]
    first, last = times[0], max(times[-1], times[0] + 1)
    most = min(
        _MOST_TOLERANCES,
        max(1.5, *(abs(end) / tolerance for point in points for end in point[1:] if end is not None)),
    )

    def x(time: float) -> float:
        place = min(max((time - first) / (last - first), 0.0), 1.0)
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT)

    def y(difference: float) -> float:
        height = (_HEIGHT - _TOP - _BOTTOM) / 2
        return _TOP + height * (1 - max(-1.0, min(difference / tolerance / most, 1.0)))

    base = _HEIGHT - _BOTTOM
    top, bottom = y(tolerance), y(-tolerance)
    band = f'x="{_LEFT}" y="{top:.1f}" width="{_WIDTH - _LEFT - _RIGHT}" height="{bottom - top:.1f}"'
    parts = [f'<rect class="band" {band}/>']
    bounded = [
        (time, lower, upper)
        for time, (_, _, lower, upper) in zip(times, points, strict=True)
        if lower is not None and upper is not None
    ]
    if len(bounded) > 1:
        corners = [(time, upper) for time, _, upper in bounded] + [
            (time, lower) for time, lower, _ in reversed(bounded)
        ]
        ribbon = " ".join(f"{x(time):.1f},{y(end):.1f}" for time, end in corners)
        parts.append(f'<polygon class="same" fill-opacity="0.35" points="{ribbon}"/>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(0):.1f}" y2="{y(0):.1f}"/>')
    line = " ".join(
        f"{x(time):.1f},{y(point[1]):.1f}" for time, point in zip(times, points, strict=True) if point[1] is not None
    )
    parts.append(f'<polyline class="curve-b" points="{line}"/>')
    for time, label in changes:
        place = x(datetime.fromisoformat(time).timestamp())
        anchor = "end" if place > _WIDTH * 0.9 else "start"
        parts.append(f'<line class="mark-a" x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP - 4}" y2="{base}"/>')
        parts.append(f'<text x="{place:.1f}" y="{_TOP - 8}" text-anchor="{anchor}">{html_page.escaped(label)}</text>')
    for difference in (tolerance, 0.0, -tolerance):
        label = _label(metric, difference)
        parts.append(f'<text x="{_LEFT - 6}" y="{y(difference) + 4:.1f}" text-anchor="end">{label}</text>')
    for place, anchor, moment in ((_LEFT, "start", points[0][0]), (_WIDTH - _RIGHT, "end", points[-1][0])):
        minute = html_page.escaped(f"{moment[:10]} {moment[11:16]}")
        parts.append(f'<text x="{place}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{minute}</text>')
    description = html_page.escaped(f"course of the difference of {metric} with its interval")
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img"'
        f' aria-label="{description}">{"".join(parts)}</svg>'
    )


def _label(metric: str, difference: float) -> str:
    kind = margins.METRICS[metric].kind
    if difference == 0:
        return "0"
    number = math.expm1(difference) * 100 if kind == "ratio" else difference * 100 if kind == "rate" else difference
    return f"{number:+.3g}{'%' if kind == 'ratio' else ' pt' if kind == 'rate' else ''}"
