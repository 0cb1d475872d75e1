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

_LEAST_SECONDS = 3600


def maintain(run: Run, keep: str | None = None) -> None:
    """Roll up recorded uses to keep statistics fast.

    Adds recorded uses to totals by hour, by day and overall. With --keep, it then
    deletes single uses that are older than AGE; the totals still count them.

    Run it every hour, for example from cron. You can stop it at any time and run
    several at once. Recording and activating continue while it runs.

    Examples:
      promptctl db maintain
      promptctl db maintain --keep 30d
    """
    seconds = None if keep is None else _age(keep)
    done = output.Maintained()
    with run.database() as database:
        shown = progress.Progress(shown=run.form == "plain")
        try:
            _roll_up(database, done, shown)
            if seconds is not None:
                _drop(database, done, seconds, shown)
        except errors.Unreachable as failure:
            # Not whether it was in time: each transaction is whole, and the next run goes on where this one was.
            message = f"{failure.message.partition(';')[0]}; what was done until then stays"
            raise errors.Unreachable(failure.code, message, hint="run it again: it goes on from there") from None
        finally:
            shown.close()
        output.show(done, database.label, run.form)


def _age(keep: str) -> int:
    from promptctl.cli import times

    seconds = times.age(keep)
    if seconds < _LEAST_SECONDS:
        message = f"--keep is at least 1h, not {references.quoted(keep)}: a use may be recorded that late"
        raise errors.Usage("invalid_time", message, hint="promptctl db maintain --keep 30d")
    return seconds


def _roll_up(database: Database, done: output.Maintained, shown: progress.Progress) -> None:
    """Go as far as one could when this began: whoever waits until nothing is left may wait for ever."""
    total = maintenance.waiting(database)
    goal = 0
    while True:
        shown("rolling up", done.rolled_up, total)
        added = maintenance.roll_up(database)
        if added is None:
            done.another_session = True
            return
        done.rolled_up += added.uses
        goal = goal or added.horizon
        if not added.uses or added.rolled_below >= goal:
            done.waiting = max(0, total - done.rolled_up)
            return


def _drop(database: Database, done: output.Maintained, seconds: int, shown: progress.Progress) -> None:
    done.dropped_before = before = maintenance.announce_drop(database, seconds)
    found = maintenance.droppable(database, before)
    total = sum(found.values())
    for page in found:
        shown("dropping", done.dropped, total)
        done.dropped += maintenance.drop(database, before, page)
