"""promptctl activate."""

from __future__ import annotations

from promptctl.output import move_view as output
from promptctl.rules import references
from promptctl.store import moves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run


def activate(
    run: Run,
    references_: list[str],
    allow_new_variables: bool = False,
    dry_run: bool = False,
    author: str | None = None,
    reason: str | None = None,
    allow_secrets: bool = False,
) -> None:
    """Make a version the active one.

    The change takes effect at once, for every application. Several references
    are activated in one transaction, as one release. A version that is active
    already stays active, with exit code 0.

    A version that needs variables which the active version does not need is
    refused, because running applications do not pass them.
    --allow-new-variables allows it.

    Examples:
      promptctl activate default-system-prompt@3
      promptctl activate support/triage@4 support/reply@2 --reason "new tone"
    """
    following = [*references_[1:], None]
    targets = [
        references.parse_with_version(word, "activate", next_word)
        for word, next_word in zip(references_, following, strict=True)
    ]
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    run.author(author)
    with run.database() as database, database.dry_run(is_enabled=dry_run):
        results = moves.activate(
            database, targets, author=run.who(), reason=reason, allow_new_variables=allow_new_variables
        )
    output.show_moves(results, "activated", database.label, run.form, dry_run=dry_run)
    for result in results:
        if result.changed and not dry_run:
            run.log("Prompt activated", name=result.name, version=result.version, promptId=result.id, author=run.who())
