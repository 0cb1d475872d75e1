"""promptctl list."""

from __future__ import annotations

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
      promptctl list --quiet | while read -r name; do promptctl history "$name"; done
    """
    with run.database() as database:
        found = prompts.list_prompts(database, pattern)
    output.prompt_list(found, run.form)
    if not found and stream.to_terminal() and run.form == "plain":
        what = "no prompt" if pattern is None else f"no prompt like {pattern!r}"
        messages.note(f"{what} in {database.label}; promptctl sync prompts/ or promptctl create NAME makes one")
