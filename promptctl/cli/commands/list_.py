"""promptctl list."""

from __future__ import annotations

from promptctl import references
from promptctl.output import messages, stream
from promptctl.output import prompts as output
from promptctl.store import prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import Pattern
    from promptctl.cli.run import Run


def list_prompts(run: Run, pattern: Pattern = None) -> None:
    """List the prompts, and which version of each is live.

    Examples:
      promptctl list
      promptctl list 'support/*'
      promptctl list --quiet | xargs -n 1 promptctl history
    """
    with run.database() as database:
        found = prompts.list_prompts(database, pattern)
    output.prompt_list(found, run.form)
    if not found and stream.to_terminal() and run.form == "plain":
        if pattern is None:
            messages.note(
                f"no prompt in {database.label} yet: promptctl create NAME or promptctl sync FOLDER makes one"
            )
        else:
            messages.note(f"no prompt like {references.shown(pattern)} in {database.label}")
