"""promptctl release list, show and rollback."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import messages, stream
from promptctl.output import release_view as output
from promptctl.rules import references
from promptctl.store import releases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import (
        AllowNewVariables,
        AllowSecrets,
        Author,
        Limit,
        Reason,
        Rehearse,
        Release,
        SkipMoved,
    )
    from promptctl.cli.run import Run


def list_releases(run: Run, limit: Limit = None) -> None:
    """List the releases, newest first.

    A release is what one sync did, or one activate or rollback of several
    prompts: changes that were made in one transaction.

    Examples:
      promptctl release list
      promptctl release list --limit 1 --quiet
    """
    newest = run.newest(limit)
    with run.database() as database:
        found, total = releases.newest(database, newest)
    output.show_list(found, total, run.form)
    if not found and run.form == "plain" and stream.to_terminal():
        messages.note(f"no release yet in {database.label}")


def show(run: Run, release: Release) -> None:
    """Show what a release moved, stored and corrected.

    A prompt that has moved on since says so: it would not be put back.

    Examples:
      promptctl release show 12
    """
    wanted = _number(release)
    with run.database() as database:
        summary, moves = releases.one(database, wanted)
    output.show_release(summary, moves, run.form)


def rollback(
    run: Run,
    release: Release,
    skip_moved: SkipMoved = False,
    allow_new_variables: AllowNewVariables = False,
    dry_run: Rehearse = False,
    author: Author = None,
    reason: Reason = None,
    allow_secrets: AllowSecrets = False,
) -> None:
    """Put back what a release moved, each prompt to where it was before.

    All of them in one transaction, or none: when one has moved since, it is
    named and nothing is put back, unless --skip-moved leaves that one alone.
    Versions that the release stored stay. Run again it finds everything back
    already, which is exit code 0; the rollback is a release itself.

    Examples:
      promptctl release rollback 12 --reason "INC-412"
      promptctl release rollback 12 --skip-moved
    """
    wanted = _number(release)
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    run.author(author)
    with run.database() as database, database.rehearsal(is_wanted=dry_run):
        undone = releases.rollback(
            database,
            wanted,
            skip_moved=skip_moved,
            author=run.who(),
            reason=reason,
            allow_new_variables=allow_new_variables,
        )
    output.show_rollback(undone, wanted, database.label, run.form, dry_run=dry_run)


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) < 19:
        return int(text)
    raise errors.Usage("usage", f"{references.quoted(text)} is no number of a release", hint="promptctl release list")
