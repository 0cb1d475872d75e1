"""promptctl history."""

from __future__ import annotations

from promptctl.output import messages, stream
from promptctl.output import move_view as output
from promptctl.rules import references
from promptctl.store import history_events, prompt_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run


def history(run: Run, name: str | None = None, limit: int | None = None) -> None:
    """Show who changed what, when and why.

    Lists moves, splits, changes of routes, and archiving. Changes that were made
    with SQL are included. The newest change is first. With NAME, the newest
    change is the one that was made last, even if a clock was wrong. Without NAME,
    it is the one with the latest time.

    Examples:
      promptctl history default-system-prompt
      promptctl history --limit 5 --json
    """
    if name is not None:
        references.check_name(name)
    rows = run.row_limit(limit)
    with run.database() as database:
        events, total = history_events.read_history(database, name, rows)
        if not events and name is not None:
            prompt_states.require_prompt(database, name)
    output.show_history(events, total, run.form, with_names=name is None)
    if not events and run.form == "plain" and stream.for_people():
        messages.note(f"{'nothing has' if name is None else f'{name} has not'} moved yet in {database.label}")
