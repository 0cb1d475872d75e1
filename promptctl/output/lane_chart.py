"""The lane above the curves of a prompt as SVG: which version was active over time, and the numbers of the marks.

Two versions that follow each other have different colors. The candidate of a split is a dark part at the bottom, whose
height is its share.
"""

from __future__ import annotations

from promptctl.output import html_page, time_charts
from promptctl.output.time_charts import NARROW, WIDE
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.output.time_charts import Mark

_TOP, _HEIGHT = 18, 20
# The units of the stretched part.
_WIDTH = 1000
# The least height of the part of a candidate.
_LEAST_PART = 3.0
# The width of a character and of the space around a label, in pixels.
_CHARACTER, _SPACE = 7, 5


class Segment(Record):
    """A part of the lane: from and to a place from 0 to 1, its labels, its style, and the share of a candidate.

    `labels` are the same text in a long form and in shorter ones, and the longest that fits is drawn. `style` is even
    or odd, which alternate, none for a time without a version, or many for a time of many moves. `share` is from 0 to
    1.
    """

    begin: float
    end: float
    labels: Sequence[str]
    style: str
    share: float = 0.0


def text(segments: Sequence[Segment], all_marks: Sequence[Mark], description: str) -> str:
    """Return the lane. The last segment is what is served at the end: if its label does not fit, it is below the lane.

    Marks whose numbers would cover each other are merged into one, whose label has the first and the last number or, if
    a clock was set and others are between them, how many there are.
    """
    labels: list[str] = []
    height = _TOP + _HEIGHT + 4
    for segment in segments:
        fitting = {width: _fitting(segment, width) for width in (WIDE, NARROW)}
        middle = time_charts.percent(segment.begin + (segment.end - segment.begin) / 2)
        labels += _by_width(fitting, middle, "32", "in")
        if segment is segments[-1] and segment.labels:
            missing = {
                width: "" if label == segment.labels[0] else f"{segment.labels[0]} ↑"
                for width, label in fitting.items()
            }
            below = _by_width(missing, time_charts.percent(segment.end), "51", "last")
            if below:
                height += 13
                labels += below
    numbers = [
        time_charts.text(
            time_charts.percent(time_charts.inside(mark.place, time_charts.mark_label(mark), width)),
            "13",
            time_charts.mark_label(mark),
            f"mark {name}",
        )
        for name, width in (("w", WIDE), ("n", NARROW))
        for mark in time_charts.merged(all_marks, width)
    ]
    return (
        f'<svg class="lane" role="img" aria-label="{html_page.escaped(description)}" height="{height}">'
        f"{_boxes(segments)}{''.join(labels)}{''.join(numbers)}</svg>"
    )


def _boxes(segments: Sequence[Segment]) -> str:
    """Return the parts of the lane. Those of one style are one path, so a lane with many moves is short."""
    paths: dict[str, list[str]] = {}
    for segment in segments:
        begin, end = (round(_WIDTH * place) for place in (segment.begin, segment.end))
        width = max(end - begin, 1)
        paths.setdefault(segment.style, []).append(f"M{begin} 0h{width}v{_HEIGHT}h-{width}z")
        if segment.share:
            part = round(max(_LEAST_PART, _HEIGHT * segment.share), 1)
            paths.setdefault("part", []).append(f"M{begin} {_HEIGHT}h{width}v-{part:g}h-{width}z")
    # The part of a candidate lies over that of its version.
    inner = "".join(
        f'<path class="{style}" d="{"".join(paths[style])}"/>' for style in sorted(paths, key="part".__eq__)
    )
    return (
        f'<svg y="{_TOP}" height="{_HEIGHT}" width="100%" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none">'
        f"{inner}</svg>"
    )


def _fitting(segment: Segment, width: int) -> str:
    """Return the longest label that fits into a segment of a page of a width, '' if none does."""
    space = (segment.end - segment.begin) * width
    return next((label for label in segment.labels if _CHARACTER * len(label) + _SPACE <= space), "")


def _by_width(labels: dict[int, str], x: str, y: str, name: str) -> list[str]:
    """Return the texts of a wide and of a narrow page. Where they are the same, one text is for both."""
    wide, narrow = labels[WIDE], labels[NARROW]
    if wide == narrow:
        return [time_charts.text(x, y, wide, name)] if wide else []
    return [time_charts.text(x, y, label, f"{name} {of}") for label, of in ((wide, "w"), (narrow, "n")) if label]
