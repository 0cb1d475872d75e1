"""The section of a comparison's report about time: how each difference developed, and its interval in each share."""

from __future__ import annotations

from promptctl.output import comparison_numbers as numbers
from promptctl.output import course_chart, html_page
from promptctl.rules import courses, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.output.comparison_view import Comparison
    from promptctl.output.course_chart import Box
    from promptctl.rules.courses import Course, Step
    from promptctl.rules.experiments import Judgment

_escaped = html_page.escaped


def section(comparison: Comparison, course: Course) -> list[str]:
    """Return the section as parts of a page. It is empty if no metric has an interval, or uses enough for a line."""
    period = comparison.period
    steps = courses.steps(
        [
            courses.Step(epoch.began_at, epoch.ended_at or course.ended_at, epoch.share_of(period.b))
            for epoch in period.epochs
        ]
    )
    # A comparison of several splits has no intervals by share.
    by_share = bool(comparison.shares) and len({step.share for step in steps}) > 1
    charts: list[str] = []
    for place, whole in enumerate(comparison.judgments):
        if whole.metric in courses.METRICS and whole.difference is not None:
            of_shares = {share: judgments[place] for share, judgments in comparison.shares} if by_share else None
            charts += _chart(course, steps, whole, of_shares)
    if not charts:
        return []
    explanation = (
        f"The line is the difference in each {course.grain} alone, so it swings; it also counts uses of a version that"
        f" somebody chose. The box is what is proven about {'a share' if by_share else 'the whole period'}: the"
        " interval that has the true difference. The grey band is the margin. What is beyond"
        f" {course_chart.MOST_TOLERANCES:g} margins is at the edge of a chart."
    )
    return ["<h2>Difference over time</h2>", f'<p class="dim">{explanation}</p>', *charts]


def _chart(
    course: Course, steps: Sequence[Step], whole: Judgment, of_shares: Mapping[int, Judgment] | None
) -> list[str]:
    """Return the heading and the chart of a metric, nothing if there is nothing to draw.

    `of_shares` has the judgments by share. None: every step has the interval of the whole.
    """
    boxes: list[Box] = []
    described: list[str] = []
    for step in steps:
        judgment = whole if of_shares is None else of_shares.get(step.share)
        interval = None if judgment is None else numbers.interval(judgment)
        described.append(f"{interval or 'none'} at {shares.percent(step.share)}")
        if judgment is not None and judgment.lower is not None and judgment.upper is not None:
            boxes.append((step.began_at, step.ended_at, judgment.lower, judgment.upper))
    points = [(point.time, point.difference, None, None) for point in course.differences[whole.metric]]
    if not boxes and all(difference is None for _, difference, *_ in points):
        return []
    label = numbers.label(whole.metric)
    chart = course_chart.text(
        whole.metric,
        points,
        whole.margin,
        [(step.began_at, shares.percent(step.share)) for step in steps],
        boxes=boxes,
        span=(course.began_at, course.ended_at),
        description=f"difference of {label} by {course.grain}, with the interval: {'; '.join(described)}",
    )
    return [f"<h3>{_escaped(label)}</h3>", chart]
