"""Curves over time as SVG: panels with one time axis, and vertical marks that go through all of them.

A chart fills the width that it gets. So each is an SVG whose texts are placed by percentages and keep their size, and
in it another SVG without texts that is stretched: one step is two units wide, and the height is 250 units. Lines have
the same width on every screen. A value is a horizontal line from the begin to the end of its step, so that a curve does
not rise before the step that raised it, and a step without a number is a gap. `report_style` has the colors.
"""

from __future__ import annotations

import math

from promptctl.output import html_page
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HEIGHT = 72
_SCALE = 250
# The least width of a chart in pixels, on a wide page and on a narrow one: labels of marks are placed for both.
WIDE, NARROW = 600, 330
# The least space between two labels, in pixels.
_GAP = 4


class Line(Record):
    """One curve: a value for each step, None for a gap. `label` is drawn at its end, '' for none.

    `style` is solid, dashed or area. An area begins at zero, and a gap in it is zero.
    """

    label: str
    style: str
    values: Sequence[float | None]


class Mark(Record):
    """A vertical mark: its place from 0 to 1, the number of its first move, and how many moves it stands for.

    `is_series` is whether the numbers of these moves follow each other.
    """

    place: float
    number: int
    moves: int = 1
    is_series: bool = True

    @property
    def last(self) -> int:
        """The number of the last move, of a series."""
        return self.number + self.moves - 1


def panel(lines: Sequence[Line], format: Callable[[float], str], description: str) -> str:
    """Return the curves of one panel over an axis from zero to a round number.

    `description` replaces the chart for a reader who does not see it.
    """
    steps = len(lines[0].values)
    values = [value for line in lines for value in line.values if value is not None]
    least = min(0.0, *values) if values else 0.0
    top, bottom = _round_up(max(values, default=0.0)), -_round_up(-least)
    if top == bottom:
        top = bottom + 1
    width = 2 * steps

    def y(value: float) -> int:
        return round(_SCALE * (top - value) / (top - bottom))

    inner = [f'<path class="{_CLASS[line.style]}" d="{path}"/>' for line in lines if (path := _path(line, y))]
    inner.append(f'<path class="base" d="M0 {y(0)}H{width}"/>')
    texts = [text("0", "1em", format(top), "limit")]
    if bottom:
        texts.append(text("0", "100%", format(bottom), "limit low"))
    texts += _end_labels(lines, y)
    label = html_page.escaped(description)
    return (
        f'<svg class="panel" role="img" aria-label="{label}" height="{_HEIGHT}">'
        f"{_stretched(width, ''.join(inner))}{''.join(texts)}</svg>"
    )


def marks(all_marks: Sequence[Mark], grid: Sequence[float]) -> str:
    """Return the vertical lines that lie over all panels: those of marks, and fainter ones at places from 0 to 1.

    What the marks are is described in the lane.
    """
    # As fine as a thousandth of the width, so many moves are one line.
    lines = "".join(f"M{place} 0v1" for place in sorted({round(mark.place * 1000) for mark in all_marks}))
    faint = "".join(f"M{round(place * 1000)} 0v1" for place in grid)
    return (
        '<svg class="marks" aria-hidden="true"><svg viewBox="0 0 1000 1" preserveAspectRatio="none" width="100%"'
        f' height="100%"><path class="grid" d="{faint}"/><path d="{lines}"/></svg></svg>'
    )


def axis(labels: Sequence[tuple[float, str]]) -> str:
    """Return the time axis below the panels. Labels have places from 0 to 1."""
    last = len(labels) - 1
    texts: list[str] = []
    for number, (place, label) in enumerate(labels):
        anchor = "start" if place < 0.05 else "end" if place > 0.95 else "middle"
        # A narrow page has every other label.
        width = " w" if number % 2 and last > 3 else ""
        texts.append(text(percent(place), "13", label, f"tick {anchor}{width}"))
    return f'<svg class="axis-of-time" aria-hidden="true" height="18">{"".join(texts)}</svg>'


def sparkline(values: Sequence[float | None], description: str) -> str:
    """Return a small area of a curve for a table."""
    top = max((value for value in values if value is not None), default=0.0) or 1.0

    def y(value: float) -> int:
        return round(_SCALE * (1 - value / top))

    path = _path(Line("", "area", values), y)
    label = html_page.escaped(description)
    return (
        f'<svg class="spark" role="img" aria-label="{label}" viewBox="0 0 {2 * len(values)} {_SCALE}"'
        f' preserveAspectRatio="none" width="120" height="22"><path class="area" d="{path}"/></svg>'
    )


def merged(all_marks: Sequence[Mark], width: int) -> list[Mark]:
    """Return marks whose labels do not cover each other on a page of a width in pixels.

    A merged mark is at the middle of its moves and counts them all.
    """
    # Each group is one mark already, with the places of its first and last moves, and the largest number in it.
    groups: list[tuple[float, float, int, Mark]] = []
    for mark in sorted(all_marks, key=lambda mark: (mark.place, mark.number)):
        begin, end, last, joined = mark.place, mark.place, mark.last, mark
        while groups and _covers(groups[-1][3], joined, width):
            begin, _, left_last, left = groups.pop()
            number, moves, last = min(left.number, joined.number), left.moves + joined.moves, max(left_last, last)
            joined = Mark((begin + end) / 2, number, moves, last - number + 1 == moves)
        groups.append((begin, end, last, joined))
    return [joined for *_, joined in groups]


def _covers(left: Mark, right: Mark, width: int) -> bool:
    labels = [(inside(mark.place, mark_label(mark), width), _half(mark_label(mark), width)) for mark in (left, right)]
    [(left_place, left_half), (right_place, right_half)] = labels
    return left_place + left_half + _GAP / width > right_place - right_half


def inside(place: float, label: str, width: int) -> float:
    """Return the place of a label so that all of it is on the page."""
    half = _half(label, width)
    return min(max(place, half), 1 - half)


def _half(label: str, width: int) -> float:
    """Return half of the width of a label, as a part of that of the page. A character has about seven pixels."""
    return 3.5 * len(label) / width


def mark_label(mark: Mark) -> str:
    """Return the label of a mark: `3`, `3-14`, or `12 moves` whose numbers do not follow each other."""
    if mark.moves == 1:
        return str(mark.number)
    return f"{mark.number}-{mark.last}" if mark.is_series else f"{mark.moves} moves"


_CLASS = {"solid": "line", "dashed": "line dashed", "area": "area"}


def _path(line: Line, y: Callable[[float], int]) -> str:
    """Return the path of a curve: each value is a horizontal line as wide as its step."""
    parts: list[str] = []
    if line.style == "area":
        zero = y(0)
        parts.append(f"M0 {zero}")
        before = zero
        for value in line.values:
            height = zero if value is None else y(value)
            if height != before:
                parts.append(_upright(before, height))
                before = height
            parts.append("h2")
        parts.append(f"V{zero}z")
        return _joined_steps(parts)
    before_height: int | None = None
    for step, value in enumerate(line.values):
        height = None if value is None else y(value)
        if height is not None:
            if before_height is None:
                parts.append(f"M{2 * step} {height}")
            elif height != before_height:
                parts.append(_upright(before_height, height))
            parts.append("h2")
        before_height = height
    return _joined_steps(parts)


def _upright(before: int, height: int) -> str:
    """Return the line from one height to another, absolute or relative, whichever is shorter."""
    absolute, relative = f"V{height}", f"v{height - before}"
    return relative if len(relative) < len(absolute) else absolute


def _joined_steps(parts: Sequence[str]) -> str:
    """Return a path in which steps of the same height are one."""
    joined: list[str] = []
    run = 0
    for part in parts:
        if part == "h2":
            run += 2
            continue
        if run:
            joined.append(f"h{run}")
            run = 0
        joined.append(part)
    if run:
        joined.append(f"h{run}")
    return "".join(joined)


def _end_labels(lines: Sequence[Line], y: Callable[[float], int]) -> list[str]:
    """Return the labels of curves at their last value, at least 13 pixels apart."""
    places: list[tuple[float, str]] = []
    for line in lines:
        last = next((value for value in reversed(line.values) if value is not None), None)
        if line.label and last is not None:
            places.append((y(last) / _SCALE * _HEIGHT, line.label))
    # The order of curves, where they end at the same height.
    places.sort(key=lambda one: one[0])
    texts: list[str] = []
    above = -13.0
    for number, (place, label) in enumerate(places):
        # Leave space for the labels that follow.
        most = _HEIGHT - 3 - 13 * (len(places) - 1 - number)
        above = min(max(place + 4, above + 13, 11), most)
        texts.append(text("100%", f"{above:.0f}", label, "name"))
    return texts


def _stretched(width: int, content: str) -> str:
    return f'<svg viewBox="0 0 {width} {_SCALE}" preserveAspectRatio="none" width="100%" height="100%">{content}</svg>'


def text(x: str, y: str, words: str, name: str) -> str:
    """Return a text of a chart. `name` is its class."""
    return f'<text x="{x}" y="{y}" class="{name}">{html_page.escaped(words)}</text>'


def percent(part: float) -> str:
    """Return a part of 1 as a length of SVG: `12.5%`."""
    return f"{_short(100 * part)}%"


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _round_up(value: float) -> float:
    """Return the least of 1, 1.5, 2, 3, 4, 5, 6 and 8 times a power of ten that is at least a value; 0 up to 0."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if value <= factor * power * (1 + 1e-9):
            return factor * power
    return 10 * power
