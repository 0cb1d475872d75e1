"""Show that a report was written. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import messages, report_words, stream
from promptctl.rules import report_periods

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.output.report_page import Report


def write_page(page: str) -> None:
    """Write the page to standard output."""
    stream.write(page)


def show(path: str, page: str, report: Report, form: str) -> None:
    """Show a summary on standard error. Quiet and in a pipe, standard output gets the path of the file."""
    period = report.period
    prompts = report_words.counted(len(report.prompts), "prompt")
    message = f"{prompts} from {report.where} in {path}: {report_words.span(period)}"
    if form == "json":
        stream.write_json(
            {
                "message": message,
                "file": path,
                "bytes": len(page.encode()),
                "since": report_periods.timestamp(period.begin),
                "until": report_periods.timestamp(period.end),
                "step": period.step_name,
                "prompts": len(report.prompts),
                "sections": len(report.sections),
                "moves": report.recent_moves,
                "worse": [
                    {"name": one.name, "metric": one.metric, "before": one.before, "after": one.after}
                    for one in report.findings.worse
                ],
                "tested": report.findings.tested,
            }
        )
        return
    if form == "quiet" or not stream.to_terminal():
        stream.write(f"{stream.tsv_field(path)}\n")
    if form != "quiet":
        messages.note(message)
        worse = len(report.findings.worse)
        if worse:
            messages.note(f"{report_words.counted(worse, 'number')} got worse in {report_words.last_day(period)}")
        if not report.has_prices:
            messages.note(report_words.needs_prices())
