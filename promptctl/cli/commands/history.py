"""promptctl history."""

from __future__ import annotations

from promptctl.output import messages, stream
from promptctl.output import move_view as output
from promptctl.rules import references
from promptctl.store import moves, prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import Limit, OptionalName
    from promptctl.cli.run import Run


def history(run: Run, name: OptionalName = None, limit: Limit = None) -> None:
    """Show who moved what, when and why.

    Every move is there, also one made with SQL. The newest is first, in the
    order of the prompt's epochs; without a name, in the order of time.

    Examples:
      promptctl history default-system-prompt
      promptctl history --limit 5 --json
    """
    if name is not None:
        references.check_name(name)
    newest = run.newest(limit)
    with run.database() as database:
        events, total = moves.history(database, name, newest)
        if not events and name is not None:
            prompts.raise_if_unknown(database, name)
    output.show_history(events, total, run.form, with_names=name is None)
    if not events and run.form == "plain" and stream.to_terminal():
        messages.note(f"{'nothing has' if name is None else f'{name} has not'} moved yet in {database.label}")
