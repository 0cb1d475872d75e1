"""promptctl db maintain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.output import maintenance_view as output
from promptctl.output import progress
from promptctl.rules import references
from promptctl.store import maintenance

if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database

# The shortest age of --keep and --keep-replies.
_LEAST_SECONDS = 3600


def maintain(run: Run, keep: str | None = None, keep_replies: str | None = None) -> None:
    """Roll up recorded uses to keep statistics fast.

    Adds recorded uses to totals by hour, by day and overall. With --keep, it then
    deletes single uses that are older than AGE. The totals still count them. With
    --keep-replies, it deletes replies of tests that are older than AGE. The runs
    keep their verdicts and results.

    Run it every hour, for example from cron. You can stop it at any time and run
    several at once. Recording and activating continue while it runs.

    Examples:
      promptctl db maintain
      promptctl db maintain --keep 30d
      promptctl db maintain --keep 30d --keep-replies 90d
    """
    seconds = None if keep is None else _age("--keep", keep, "uses are recorded up to an hour late")
    reply_seconds = None
    if keep_replies is not None:
        reply_seconds = _age("--keep-replies", keep_replies, "a run needs its replies until it ends")
    report = output.Maintained()
    with run.database() as database:
        progress_bar = progress.Progress(is_enabled=run.form == "plain")
        try:
            _roll_up(database, report, progress_bar)
            if seconds is not None:
                _drop(database, report, seconds, progress_bar)
            if reply_seconds is not None:
                _drop_replies(database, report, reply_seconds, progress_bar)
        except errors.Unreachable as failure:
            # Each batch is a transaction of its own, so the next run continues after the last complete one.
            message = f"{failure.message.partition(';')[0]}; the completed part is kept"
            raise errors.Unreachable(failure.code, message, hint="run it again: it continues from there") from None
        finally:
            progress_bar.close()
        output.show(report, database.label, run.form)


def _age(option: str, keep: str, why: str) -> int:
    from promptctl.rules import ages

    seconds = ages.parse(keep)
    if seconds < _LEAST_SECONDS:
        message = f"{option} must be at least 1h, not {references.quoted(keep)}: {why}"
        raise errors.Usage("invalid_time", message, hint=f"promptctl db maintain {option} 30d")
    return seconds


def _roll_up(database: Database, report: output.Maintained, progress_bar: progress.Progress) -> None:
    """Roll up the uses that exist at the start. New uses arrive all the time, so do not wait until none are left."""
    total = maintenance.count_uses_to_roll_up(database)
    # The watermark that covers the uses at the start, from the first batch.
    goal = 0
    while True:
        progress_bar("rolling up", report.rolled_up, total)
        added = maintenance.roll_up(database)
        if added is None:
            report.another_session = True
            return
        report.rolled_up += added.uses
        goal = goal or added.horizon
        if not added.uses or added.rolled_below >= goal:
            report.waiting = max(0, total - report.rolled_up)
            return


def _drop(database: Database, report: output.Maintained, seconds: int, progress_bar: progress.Progress) -> None:
    """Delete single uses that are older than `seconds`, page by page of the table."""
    report.dropped_before = before = maintenance.begin_dropping(database, seconds)
    pages = maintenance.count_uses_to_drop(database, before)
    total = sum(pages.values())
    for page in pages:
        progress_bar("dropping", report.dropped, total)
        report.dropped += maintenance.drop_uses(database, before, page)


def _drop_replies(database: Database, report: output.Maintained, seconds: int, progress_bar: progress.Progress) -> None:
    """Delete replies of tests that are older than `seconds`, oldest first."""
    report.replies_dropped_before, total = maintenance.count_replies_to_drop(database, seconds)
    while True:
        progress_bar("dropping replies", report.dropped_replies, total)
        dropped = maintenance.drop_replies(database, report.replies_dropped_before)
        report.dropped_replies += dropped
        if maintenance.is_last_batch_of_replies(dropped):
            return
