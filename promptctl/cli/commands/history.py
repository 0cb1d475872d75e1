"""promptctl history."""

from __future__ import annotations

from promptctl import errors, references
from promptctl.output import messages, stream
from promptctl.output import moves as output
from promptctl.store import moves, prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import Limit, OptionalName
    from promptctl.cli.run import Run

_ON_A_TERMINAL = 20


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
    if limit is not None and limit < 0:
        raise errors.Usage("usage", f"--limit is a number from 0, not {limit}")
    newest = limit if limit is not None else _ON_A_TERMINAL if stream.to_terminal() and run.form == "plain" else 0
    with run.database() as database:
        events, total = moves.history(database, name, newest)
        if not events and name is not None:
            prompts.raise_if_unknown(database, name)
    output.history(events, total, run.form, with_names=name is None)
    if not events and run.form == "plain" and stream.to_terminal():
        messages.note(f"nothing has moved yet in {database.label}")
