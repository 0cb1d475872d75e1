"""promptctl delete."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import archive_view as output
from promptctl.rules import references
from promptctl.store import archiving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.cli.run import Run
    from promptctl.rules.references import Reference


def delete(run: Run, references_: list[str], undo: bool = False, dry_run: bool = False) -> None:
    """Archive versions or whole prompts.

    NAME@VERSION archives one version: it is hidden, and it cannot be
    activated. The active version cannot be archived. NAME archives the whole
    prompt, which then has no active version and cannot change. Names, numbers,
    texts, history and statistics are kept.

    Several versions or prompts are archived in one transaction. A prompt that is
    the target of a route is refused.

    --undo restores from the archive. A restored prompt has its previous active
    version and its route, but not its split.

    Examples:
      promptctl delete default-system-prompt@2 --reason "never worked"
      promptctl delete old-prompt --dry-run
      promptctl delete --undo old-prompt
    """
    targets = _targets(references_)
    with run.database_to_change() as database, database.dry_run(is_enabled=dry_run):
        results = archiving.archive(database, targets, undo=undo, author=run.author(), reason=run.reason)
    output.show_archivals(results, database.label, run.form, undo=undo, dry_run=dry_run)
    outcome = "restored" if undo else "archived"
    for result in results:
        if result.changed and not dry_run:
            kind = "Prompt" if result.version is None else "Version"
            run.log(f"{kind} {outcome}", name=result.name, version=result.version, author=run.author())


def _targets(words: Sequence[str]) -> list[Reference]:
    """Return the references. Raises Usage for a version in a separate word."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if following.isdigit() and "@" not in word:
            # "delete NAME 2" means one version, but NAME alone would archive the whole prompt.
            raise errors.Usage(
                "version_missing", f"{following} is a version: {word}@{following}",
                hint=f"promptctl delete {word}@{following}",
            )  # fmt: skip
    return [references.parse(word) for word in words]
