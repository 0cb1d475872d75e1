"""promptctl rollback."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import move_view as output
from promptctl.rules import references
from promptctl.store import moves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run


def rollback(
    run: Run,
    names: list[str],
    to: str | None = None,
    expect: str | None = None,
    allow_new_variables: bool = False,
    dry_run: bool = False,
    author: str | None = None,
    reason: str | None = None,
    allow_secrets: bool = False,
) -> None:
    """Activate the version that was active before.

    Each rollback moves one step back along the history and never toggles: after
    you activate 1, 2 and 3, it activates 2, then 1. Archived versions are skipped.
    While a split is running, a rollback without --to only ends the split.
    Several prompts are rolled back in one transaction.

    In a script that may run twice, use --to: if that version is active already,
    nothing changes, with exit code 0.

    Examples:
      promptctl rollback default-system-prompt --reason "too chatty, INC-412"
      promptctl rollback default-system-prompt --to 2 --expect 3
    """
    prompt_names = [references.check_name(_bare(name)) for name in names]
    target = None if to is None else references.parse_version(to)
    expected = None if expect is None else references.parse_version(expect)
    if (target is not None or expected is not None) and len(prompt_names) > 1:
        raise errors.Usage("usage", f"--{'to' if target is not None else 'expect'} is for one prompt")
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    run.author(author)
    with run.database() as database, database.dry_run(is_enabled=dry_run):
        results = moves.rollback(
            database,
            prompt_names,
            to_version=target,
            expected_version=expected,
            author=run.who(),
            reason=reason,
            allow_new_variables=allow_new_variables,
        )
    output.show_moves(results, "rolled back", database.label, run.form, dry_run=dry_run)
    for result in results:
        if result.changed and not dry_run:
            run.log(
                "Prompt rolled back", name=result.name, version=result.version, promptId=result.id, author=run.who()
            )


def _bare(name: str) -> str:
    bare, at, version = name.partition("@")
    if at:
        target = f" --to {version}" if version.isdigit() else ""
        raise errors.Usage(
            "usage", f"rollback needs a name without a version: {bare}", hint=f"promptctl rollback {bare}{target}"
        )
    return name
