"""promptctl stats."""

from __future__ import annotations

from promptctl import references
from promptctl.output import messages, stream
from promptctl.output import prompts as output
from promptctl.store import uses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import OptionalName
    from promptctl.cli.run import Run


def stats(run: Run, name: OptionalName = None) -> None:
    """Show how each version did: uses, errors, tokens, response time.

    Averages are over the uses that went well and reported the number; errors
    are counted apart.

    Examples:
      promptctl stats default-system-prompt
      promptctl stats --json
    """
    if name is not None:
        references.check_name(name)
    with run.database() as database:
        found = uses.statistics(database, name)
    output.statistics(found, run.form, with_names=name is None)
    if not found and stream.to_terminal() and run.form == "plain":
        messages.note(f"{'no prompt' if name is None else f'no version of {name}'} in {database.label} yet")
