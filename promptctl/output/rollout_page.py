"""The report of a rollout for a browser: its steps, its guards, the course of each difference, and its events."""

from __future__ import annotations

from datetime import datetime, timezone

from promptctl.output import charts, course_chart, html_page, rollout_view
from promptctl.output import comparison_numbers as numbers
from promptctl.rules import experiments, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.output.course_chart import Point
    from promptctl.rules.experiments import Judgment
    from promptctl.store.rollouts import Look, Rollout, RolloutEvent, Tick

_escaped = html_page.escaped
_NUMBERS = ("Difference", "Tolerated", "Interval")
# The verdict of a comparison whose color the verdict of a guard has.
_COLORS = {"worse": experiments.WORSE, "fine": experiments.SAME}


def text(
    rollout: Rollout,
    events: Sequence[RolloutEvent],
    step_uses: Mapping[int, int],
    outlook: Tick,
    looks: Sequence[Look],
) -> str:
    """Return the report as one HTML file without scripts that loads nothing.

    The first four arguments are those of `rollout_view.show_status`. `looks` are what ticks saw of the guards, oldest
    first.
    """
    state = f"{rollout.state} at {shares.percent(rollout.basis_points)}" if rollout.ended_at is None else rollout.state
    heading = f"{rollout.name}: rollout {rollout.rollout}, {rollout.baseline} → {rollout.candidate}, {state}"
    reason = f": {rollout.reason}" if rollout.reason else ""
    now = datetime.now(timezone.utc).isoformat()
    origin = f"Started {_minute(rollout.began_at)} by {rollout.author}{reason}. This is the state of {_minute(now)}."
    parts = [
        f"<h1>{_escaped(heading)}</h1>",
        f'<p class="sentence">{_escaped(str(outlook.why))}</p>',
        f'<p class="dim">{_escaped(origin)}</p>',
    ]
    parts += ["<h2>Steps</h2>", _steps(rollout, events, step_uses)]
    judgments = rollout_view.judgments(outlook.figures or ())
    if judgments:
        parts += ["<h2>Guards</h2>", guards(rollout, judgments)]
        parts.append(
            '<p class="dim">The dot is the estimated difference. The bar is its interval, in which the true difference'
            " very probably lies. The grey band is the tolerance, to both sides.</p>"
        )
    courses = [(judgment, points) for judgment in judgments if len(points := _points(looks, judgment.metric)) > 1]
    if courses:
        parts.append(
            '<p class="dim">Below, the line is the difference of all uses up to a time, and the ribbon its interval. A'
            " vertical line is a change of the share.</p>"
        )
    changes = share_changes(events)
    for judgment, points in courses:
        parts.append(f"<h2>Difference over time: {_escaped(numbers.label(judgment.metric))}</h2>")
        parts.append(course_chart.text(judgment.metric, points, judgment.margin, changes))
    parts += ["<h2>Events</h2>", _events(events)]
    return html_page.text(heading, "\n".join(parts))


def _points(looks: Sequence[Look], metric: str) -> list[Point]:
    return [
        (look.looked_at, look.difference, look.lower, look.upper)
        for look in looks
        if look.metric == metric and look.difference is not None
    ]


def share_changes(events: Sequence[RolloutEvent]) -> list[tuple[str, str]]:
    """Return the time and the new share of each event that changed the share. A pause and a resumption keep it."""
    return [
        (event.happened_at, shares.percent(event.basis_points))
        for place, event in enumerate(events)
        if place == 0 or event.basis_points != events[place - 1].basis_points
    ]


def _steps(rollout: Rollout, events: Sequence[RolloutEvent], step_uses: Mapping[int, int]) -> str:
    rows = [_head("Share", "Step", "Time", "Uses")]
    for step in rollout_view.steps(rollout, events, step_uses):
        cells = (shares.percent(step.basis_points), step.state, step.time, "" if step.uses is None else str(step.uses))
        rows.append(f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in cells)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def guards(rollout: Rollout, judgments: Sequence[Judgment]) -> str:
    """Return the table of the guards with their intervals as HTML."""
    a, b = f"@{rollout.baseline}", f"@{rollout.candidate}"
    rows = [_head("Guard", a, b, "Difference", "Tolerated", "", "Interval", "State")]
    for judgment in judgments:
        verdict = _COLORS.get(judgment.verdict, experiments.NOT_KNOWN)
        chart = ""
        if judgment.difference is not None:
            described = numbers.interval(judgment) or numbers.difference(judgment) or ""
            lower, upper = (None if end is None else end / judgment.margin for end in (judgment.lower, judgment.upper))
            chart = charts.interval(judgment.difference / judgment.margin, lower, upper, verdict, described)
        rows.append(
            f"<tr><td>{_escaped(numbers.label(judgment.metric))}</td>"
            f"{_number(numbers.value(judgment.metric, judgment.value_a), a)}"
            f"{_number(numbers.value(judgment.metric, judgment.value_b), b)}"
            f"{_number(numbers.difference(judgment), 'difference')}"
            f"{_number(rollout_view.tolerance_text(judgment.metric, judgment.margin), 'tolerated')}"
            f'<td class="chart">{chart}</td>'
            f"{_number(numbers.interval(judgment), 'interval')}"
            f'<td class="{charts.verdict_class(verdict)}">{_escaped(judgment.verdict)}</td></tr>'
        )
    return f'<table class="wide">{"".join(rows)}</table>'


def _events(events: Sequence[RolloutEvent]) -> str:
    rows = [_head("When", "What", "Share", "By", "Why")]
    for event in events:
        cells = (
            _minute(event.happened_at),
            event.kind,
            shares.percent(event.basis_points),
            event.author,
            event.why or "",
        )
        rows.append(f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in cells)}</tr>")
    return f'<table class="text">{"".join(rows)}</table>'


def _head(*labels: str) -> str:
    cells = [
        f'<th class="number">{_escaped(label)}</th>'
        if label in _NUMBERS or "@" in label
        else f"<th>{_escaped(label)}</th>"
        for label in labels
    ]
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _minute(time: str) -> str:
    """Return a time as `2026-11-26 01:18 UTC`."""
    return f"{time[:10]} {time[11:16]} UTC"


def _number(text: str | None, label: str) -> str:
    return f'<td class="number" data-label="{_escaped(label)}">{_escaped(text or "-")}</td>'
