"""promptctl list."""

from __future__ import annotations

from promptctl.output import messages, stream
from promptctl.output import prompt_view as output
from promptctl.rules import references
from promptctl.store import prompt_lists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run


def list_prompts(run: Run, pattern: str | None = None, archived: bool = False, limit: int | None = None) -> None:
    """List prompts and their active versions.

    Examples:
      promptctl list
      promptctl list 'support/*'
      promptctl list --archived
      promptctl list --limit 10
      promptctl list --quiet | xargs -n 1 promptctl history
    """
    # Without --limit all prompts, on a terminal too.
    rows = 0 if limit is None else run.row_limit(limit)
    if archived:
        _list_archived(run, pattern, rows)
        return
    with run.database() as database:
        if rows:
            matches, total = prompt_lists.list_first_prompts(database, pattern, rows)
        else:
            matches = prompt_lists.list_prompts(database, pattern)
            total = len(matches)
    output.show_list(matches, total, run.form)
    if not matches and stream.for_people() and run.form == "plain":
        if pattern is None:
            messages.note(
                f"no prompt in {database.label} yet: promptctl create NAME or promptctl sync FOLDER creates one"
            )
        else:
            messages.note(f"no prompt matches {references.quoted(pattern)} in {database.label}")


def _list_archived(run: Run, pattern: str | None, rows: int) -> None:
    from promptctl.output import archive_view as archiving_output
    from promptctl.store import archiving

    with run.database() as database:
        matches = archiving.list_archived_prompts(database, pattern)
    archiving_output.show_prompts(matches[:rows] if rows else matches, len(matches), run.form)
    if not matches and stream.for_people() and run.form == "plain":
        like = "" if pattern is None else f" like {references.quoted(pattern)}"
        messages.note(f"no archived prompt{like} in {database.label}")
