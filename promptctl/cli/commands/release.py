"""promptctl release list, show and rollback."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import messages, stream
from promptctl.output import release_view as output
from promptctl.rules import references
from promptctl.store import releases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run


def list_releases(run: Run, limit: int | None = None) -> None:
    """List releases, newest first.

    A release is the set of changes that one transaction made: one sync, or one
    activate or rollback of several prompts.

    Examples:
      promptctl release list
      promptctl release list --limit 1 --quiet
    """
    rows = run.row_limit(limit)
    with run.database() as database:
        newest_releases, total = releases.list_releases(database, rows)
    output.show_list(newest_releases, total, run.form)
    if not newest_releases and run.form == "plain" and stream.for_people():
        messages.note(f"no release yet in {database.label}")


def show(run: Run, release: str) -> None:
    """Show what a release changed.

    Lists the moves, the new versions and the corrections. Marks each prompt that
    has moved since, because release rollback would refuse it.

    Examples:
      promptctl release show 12
    """
    number = _number(release)
    with run.database() as database:
        summary, moves = releases.read_release(database, number)
    output.show_release(summary, moves, run.form)


def rollback(
    run: Run, release: str, skip_moved: bool = False, allow_new_variables: bool = False, dry_run: bool = False
) -> None:
    """Roll back every prompt that a release moved.

    Each prompt gets the version that was active before the release, all in one
    transaction. If a prompt has moved since, the rollback is refused, and the
    error names the prompt. --skip-moved leaves such a prompt as it is. Versions
    that the release stored are kept. The rollback is a release itself. If every
    prompt is rolled back already, nothing changes, with exit code 0.

    Examples:
      promptctl release rollback 12 --reason "INC-412"
      promptctl release rollback 12 --skip-moved
    """
    number = _number(release)
    with run.database_to_change() as database, database.dry_run(is_enabled=dry_run):
        undone = releases.rollback(
            database,
            number,
            skip_moved=skip_moved,
            author=run.author(),
            reason=run.reason,
            allow_new_variables=allow_new_variables,
        )
    output.show_rollback(undone, number, database.label, run.form, dry_run=dry_run)


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) < 19:
        return int(text)
    raise errors.Usage("usage", f"{references.quoted(text)} is not a release number", hint="promptctl release list")
