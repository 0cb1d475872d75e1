"""Charts as SVG. The classes of the elements have their colors in `html_page`."""

from __future__ import annotations

import math

from promptctl.output import html_page, time_text
from promptctl.rules import experiments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# An interval: its width and height in pixels, and the margins that fit to each side of zero.
_WIDTH, _HEIGHT, _MARGINS = 240, 24, 4.0
# The histograms: the size, the space around the curves, and the buckets that one step of a curve adds up.
_PLOT_WIDTH, _PLOT_HEIGHT, _LEFT, _TOP, _BOTTOM = 560, 220, 8, 34, 28
_BUCKETS_PER_STEP = 4
_BUCKETS_PER_OCTAVE = 32
_CLASSES = {
    experiments.BETTER: "better",
    experiments.WORSE: "worse",
    experiments.SAME: "same",
    experiments.NOT_KNOWN: "unknown",
}


def verdict_class(verdict: str) -> str:
    """Return the class of a verdict, which has its color."""
    return _CLASSES[verdict]


def interval(difference: float, lower: float | None, upper: float | None, verdict: str, description: str) -> str:
    """Return an interval as a bar and the difference as a dot, before a band from -1 to 1.

    All numbers are multiples of the margin. Beyond four margins, an arrow replaces the end of the bar. The dot of a
    metric without a verdict is open. `description` replaces the chart for a reader who does not see it.
    """
    middle = _HEIGHT / 2
    parts = [
        f'<rect class="band" x="{_x(-1):.1f}" y="0" width="{_x(1) - _x(-1):.1f}" height="{_HEIGHT}"/>',
        f'<line class="axis" x1="{_x(0):.1f}" x2="{_x(0):.1f}" y1="0" y2="{_HEIGHT}"/>',
    ]
    name = verdict_class(verdict)
    if lower is not None and upper is not None:
        left, right = _x(lower), _x(upper)
        parts.append(
            f'<rect class="{name}" x="{left:.1f}" y="{middle - 2:.1f}" width="{max(right - left, 1):.1f}" height="4"/>'
        )
        for end, place, direction in ((lower, left, -1), (upper, right, 1)):
            if abs(end) > _MARGINS and end * direction > 0:
                points = f"{place + 7 * direction:.1f},{middle} {place:.1f},{middle - 6} {place:.1f},{middle + 6}"
                parts.append(f'<polygon class="{name}" points="{points}"/>')
    dot = "open" if verdict == experiments.NOT_KNOWN else name
    if verdict == experiments.WORSE:
        parts.append(f'<rect class="{dot}" x="{_x(difference) - 5:.1f}" y="{middle - 5}" width="10" height="10"/>')
    else:
        parts.append(f'<circle class="{dot}" cx="{_x(difference):.1f}" cy="{middle}" r="5"/>')
    return _svg(_WIDTH, _HEIGHT, description, parts)


def interval_axis() -> str:
    """Return the axis above intervals: less, zero, one margin to each side, more."""
    labels = ((-_MARGINS, "start", "less"), (-1.0, "middle", "-1"), (0.0, "middle", "0"), (1.0, "middle", "+1"),
              (_MARGINS, "end", "more"))  # fmt: skip
    parts = [
        f'<text x="{_x(place):.1f}" y="13" text-anchor="{anchor}">{label}</text>' for place, anchor, label in labels
    ]
    return _svg(_WIDTH, 18, "axis: multiples of the margin", parts)


def histograms(
    counts_a: Mapping[int, int], counts_b: Mapping[int, int], marks: Sequence[tuple[str, float | None, float | None]]
) -> str:
    """Return two histograms of response times over each other, on a logarithmic axis; '' without times.

    The counts are by bucket, as in `rules.measurements.Histogram`. Each curve has the share of the version's calls.
    `marks` are vertical lines: a label, and the times of A and B in milliseconds.
    """
    curves = [_steps(counts) for counts in (counts_a, counts_b)]
    places = sorted(place for curve in curves for place in curve)
    if not places:
        return ""
    first, last = places[0] - 1, places[-1] + 2
    highest = max(share for curve in curves for share in curve.values())
    width, height = _PLOT_WIDTH - 2 * _LEFT, _PLOT_HEIGHT - _TOP - _BOTTOM

    def x(step: float) -> float:
        return _LEFT + (step - first) / (last - first) * width

    def y(share: float) -> float:
        return _TOP + height * (1 - share / highest)

    parts: list[str] = []
    for name, curve in zip("ab", curves, strict=True):
        points = [(x(first), y(0))]
        for step in range(first, last):
            share = curve.get(step, 0.0)
            points += [(x(step), y(share)), (x(step + 1), y(share))]
        line = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
        parts.append(f'<polyline class="curve-{name}" points="{line}"/>')
    base = _TOP + height
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_PLOT_WIDTH - _LEFT}" y1="{base}" y2="{base}"/>')
    for milliseconds in _round_times(first, last):
        place = x(_step_of(milliseconds))
        parts.append(f'<line class="axis" x1="{place:.1f}" x2="{place:.1f}" y1="{base}" y2="{base + 4}"/>')
        label = html_page.escaped(_round_time(milliseconds))
        parts.append(f'<text x="{place:.1f}" y="{base + 18}" text-anchor="middle">{label}</text>')
    for label, *times in marks:
        for row, (name, time) in enumerate(zip("ab", times, strict=True)):
            if time is None or time <= 0:
                continue
            place = x(_step_of(time))
            top = 12 + 14 * row
            parts.append(f'<line class="mark-{name}" x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP - 4}" y2="{base}"/>')
            anchor = "end" if place > _PLOT_WIDTH * 0.8 else "start"
            text = html_page.escaped(f"{label} {time_text.brief(time)}")
            parts.append(f'<text x="{place:.1f}" y="{top}" text-anchor="{anchor}">{text}</text>')
    return _svg(_PLOT_WIDTH, _PLOT_HEIGHT, "histograms of the response times of both versions", parts)


def _x(margins: float) -> float:
    """Return the place of a difference, at most 8 pixels from the edge."""
    inner = _WIDTH / 2 - 8
    return _WIDTH / 2 + max(-1.0, min(margins / _MARGINS, 1.0)) * inner


def _steps(counts: Mapping[int, int]) -> dict[int, float]:
    """Return the share of all calls for each step of a curve."""
    total = sum(counts.values())
    shares: dict[int, float] = {}
    for bucket, count in counts.items():
        step = bucket // _BUCKETS_PER_STEP
        shares[step] = shares.get(step, 0.0) + count / total
    return shares


def _step_of(milliseconds: float) -> float:
    return math.log2(milliseconds) * _BUCKETS_PER_OCTAVE / _BUCKETS_PER_STEP


def _round_times(first: int, last: int) -> list[float]:
    """Return times for the axis between two steps: 1, 2 and 5 times powers of ten, or only the powers."""
    decades = range(-3, 13)
    fine = [
        factor * 10.0**power
        for power in decades
        for factor in (1, 2, 5)
        if first <= _step_of(factor * 10.0**power) < last
    ]
    return fine if len(fine) <= 9 else [time for time in fine if math.log10(time).is_integer()]


def _round_time(milliseconds: float) -> str:
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds:g} ms"


def _svg(width: int, height: int, description: str, parts: Sequence[str]) -> str:
    label = html_page.escaped(description)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )
