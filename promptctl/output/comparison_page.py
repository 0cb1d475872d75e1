"""The report of a comparison for a browser: the verdict, the interval of each metric, its course, and the times."""

from __future__ import annotations

from promptctl.output import charts, comparison_courses, html_page
from promptctl.output import comparison_numbers as numbers
from promptctl.output import comparison_view as view
from promptctl.rules import experiments, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.output.comparison_view import Comparison
    from promptctl.rules.courses import Course
    from promptctl.rules.experiments import Judgment
    from promptctl.rules.measurements import Histogram

_escaped = html_page.escaped


def text(comparison: Comparison, histograms: Sequence[Histogram], course: Course) -> str:
    """Return the report as one HTML file without scripts that loads nothing.

    `histograms` are of the response times, by version. `course` is of the period of the comparison.
    """
    period = comparison.period
    heading = view.heading(comparison)
    parts = [f"<h1>{_escaped(heading)}</h1>", f'<p class="sentence">{_escaped(comparison.sentence)}</p>']
    parts += [f'<p class="warning">{_escaped(warning)}</p>' for warning in view.warnings(comparison)]
    parts.append(f'<p class="dim">{_escaped(_times(comparison))}</p>')
    judgments = [judgment for judgment in comparison.judgments if judgment.value_a is not None]
    if judgments:
        parts.append(f"<h2>Version {period.b} beside version {period.a}</h2>")
        parts.append(table(comparison, judgments))
        parts.append(
            '<p class="dim">The dot is the estimated difference. The bar is its interval, in which the true difference'
            " very probably lies. The grey band is the margin: a difference within it does not matter.</p>"
        )
        parts += [f'<p class="dim">{_escaped(remark)}</p>' for remark in view.remarks(comparison)]
    if len(comparison.shares) > 1:
        parts.append("<h2>By share</h2>")
        parts.append(_share_table(comparison))
        parts.append(
            '<p class="dim">A difference that fades from share to share may be a novelty. A share has fewer uses than'
            " the whole, so its intervals are wider. The verdicts are about the whole.</p>"
        )
    parts += comparison_courses.section(comparison, course)
    counts_a, counts_b = (_counts(histograms, version) for version in (period.a, period.b))
    if counts_a or counts_b:
        marks = [("P50", comparison.p50_a, comparison.p50_b), ("P95", comparison.p95_a, comparison.p95_b)]
        parts.append("<h2>Response times</h2>")
        parts.append(
            f'<p class="dim"><span class="key a"></span>version {period.a}<span class="key"></span>version {period.b}.'
            " All successful uses since the split began, as shares of the version's calls.</p>"
        )
        parts.append(charts.histograms(counts_a, counts_b, marks))
    return html_page.text(heading, "\n".join(parts))


def _times(comparison: Comparison) -> str:
    began_at, ended_at = comparison.period.began_at, comparison.period.epochs[-1].ended_at
    end = "and still runs" if ended_at is None else f"and ended {_minute(ended_at)}"
    return f"The split began {_minute(began_at)} {end}."


def _minute(time: str) -> str:
    """Return a time as `2026-11-26 01:18 UTC`."""
    return f"{time[:10]} {time[11:16]} UTC"


def table(comparison: Comparison, judgments: Sequence[Judgment]) -> str:
    """Return the table of the metrics with their intervals as HTML."""
    period = comparison.period
    a, b = f"@{period.a}", f"@{period.b}"
    rows = [_heading("Metric", a, b, "Difference", None, "Interval", "Verdict")]
    for judgment in judgments:
        name = charts.verdict_class(judgment.verdict)
        rows.append(
            f"<tr><td>{_escaped(numbers.label(judgment.metric, period.slow_ms))}</td>"
            f"{_number(numbers.value(judgment.metric, judgment.value_a), a)}"
            f"{_number(numbers.value(judgment.metric, judgment.value_b), b)}"
            f"{_number(numbers.difference(judgment), 'difference')}"
            f'<td class="chart">{_chart(judgment, judgment.verdict)}</td>'
            f"{_number(numbers.interval(judgment), 'interval')}"
            f'<td class="{name}">{_escaped(judgment.verdict)}</td></tr>'
        )
    return f'<table class="wide">{"".join(rows)}</table>'


def _share_table(comparison: Comparison) -> str:
    rows = [_heading("Metric", "Share", None, "Interval")]
    for place, whole in enumerate(comparison.judgments):
        for share, judgments in comparison.shares:
            judgment = judgments[place]
            if judgment.difference is None:
                continue
            rows.append(
                f"<tr><td>{_escaped(numbers.label(whole.metric, comparison.period.slow_ms))}</td>"
                f'<td>{shares.percent(share)}</td><td class="chart">{_chart(judgment, experiments.SAME)}</td>'
                f"{_number(numbers.interval(judgment), 'interval')}</tr>"
            )
    return f'<table class="wide">{"".join(rows)}</table>'


def _heading(*labels: str | None) -> str:
    """Return the head of a table; None is the axis of the charts."""
    cells = [
        f"<th>{charts.interval_axis()}</th>"
        if label is None
        else f"<th>{label}</th>"
        if label in ("Metric", "Share", "Verdict")
        else f'<th class="number">{label}</th>'
        for label in labels
    ]
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _chart(judgment: Judgment, verdict: str) -> str:
    if judgment.difference is None:
        return ""
    margin = judgment.margin
    lower = None if judgment.lower is None else judgment.lower / margin
    upper = None if judgment.upper is None else judgment.upper / margin
    described = numbers.interval(judgment) or numbers.difference(judgment) or ""
    return charts.interval(judgment.difference / margin, lower, upper, verdict, described)


def _number(text: str | None, label: str) -> str:
    return f'<td class="number" data-label="{_escaped(label)}">{_escaped(text or "-")}</td>'


def _counts(histograms: Sequence[Histogram], version: int) -> dict[int, int]:
    """Return the counts by bucket of a version."""
    counts: dict[int, int] = {}
    for histogram in histograms:
        if histogram.version == version:
            for bucket, count in zip(histogram.buckets, histogram.counts, strict=True):
                counts[bucket] = counts.get(bucket, 0) + count
    return counts
