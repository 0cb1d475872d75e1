"""promptctl activate, deactivate and rollback."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import move_view as output
from promptctl.rules import references
from promptctl.store import moves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.cli.run import Run
    from promptctl.output.move_view import Verb
    from promptctl.store.moves import Move


def activate(run: Run, references_: list[str], allow_new_variables: bool = False, dry_run: bool = False) -> None:
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
    # The word after a reference may be its version, `activate D 3`. The error then names D@3.
    following = [*references_[1:], None]
    targets = [
        references.parse_with_version(word, "activate", next_word)
        for word, next_word in zip(references_, following, strict=True)
    ]
    with run.database_to_change() as database, database.dry_run(is_enabled=dry_run):
        results = moves.activate(
            database, targets, author=run.author(), reason=run.reason, allow_new_variables=allow_new_variables
        )
    _answer(run, results, "activated", database.label, dry_run=dry_run)


def deactivate(run: Run, names: list[str], expect: str | None = None, dry_run: bool = False) -> None:
    """Leave a prompt without an active version.

    Applications that ask for the prompt get an error, or their own default text.
    A running split ends. Several prompts are deactivated in one transaction, as
    one release. An inactive prompt stays inactive, with exit code 0. A prompt that
    is the target of a route is refused. To undo, run promptctl rollback.

    Examples:
      promptctl deactivate default-system-prompt --reason "unsafe, INC-412"
      promptctl deactivate default-system-prompt --expect 3 --dry-run
    """
    prompt_names = [_without_version(name, "deactivate", "--expect") for name in names]
    expected = _version("--expect", expect, names)
    with run.database_to_change() as database, database.dry_run(is_enabled=dry_run):
        results = moves.deactivate(
            database, prompt_names, expected_version=expected, author=run.author(), reason=run.reason
        )
    _answer(run, results, "deactivated", database.label, dry_run=dry_run)


def rollback(
    run: Run,
    names: list[str],
    to: str | None = None,
    expect: str | None = None,
    allow_new_variables: bool = False,
    dry_run: bool = False,
) -> None:
    """Activate the version that was active before.

    Each rollback moves one step back along the history: after you activate 1, 2
    and 3, the first rollback activates 2, the second 1. Archived versions are
    skipped. While a split is running, a rollback without --to only ends the split.
    Several prompts are rolled back in one transaction.

    In a script that may run twice, use --to: if that version is active already,
    nothing changes, with exit code 0.

    Examples:
      promptctl rollback default-system-prompt --reason "too chatty, INC-412"
      promptctl rollback default-system-prompt --to 2 --expect 3
    """
    prompt_names = [_without_version(name, "rollback", "--to") for name in names]
    target = _version("--to", to, names)
    expected = _version("--expect", expect, names)
    with run.database_to_change() as database, database.dry_run(is_enabled=dry_run):
        results = moves.rollback(
            database,
            prompt_names,
            to_version=target,
            expected_version=expected,
            author=run.author(),
            reason=run.reason,
            allow_new_variables=allow_new_variables,
        )
    _answer(run, results, "rolled back", database.label, dry_run=dry_run)


def _without_version(name: str, command: str, option: str) -> str:
    """Return a name. Raises Usage for a reference, with a hint that passes its version to the option."""
    bare, at, version = name.partition("@")
    if at:
        selected = f" {option} {version}" if version.isdigit() else ""
        raise errors.Usage(
            "usage", f"{command} needs a name without a version: {bare}", hint=f"promptctl {command} {bare}{selected}"
        )
    return references.check_name(name)


def _version(option: str, text: str | None, names: Sequence[str]) -> int | None:
    """Return the version that an option selects. Raises Usage if there are several prompts."""
    if text is None:
        return None
    version = references.parse_version(text)
    if len(names) > 1:
        raise errors.Usage("usage", f"{option} is for one prompt")
    return version


def _answer(run: Run, results: Sequence[Move], verb: Verb, label: str, *, dry_run: bool) -> None:
    output.show_moves(results, verb, label, run.form, dry_run=dry_run)
    changed = [] if dry_run else [result for result in results if result.changed]
    for result in changed:
        if verb == "deactivated":
            run.log("Prompt deactivated", name=result.name, version=result.previous_version, author=run.author())
        else:
            run.log(f"Prompt {verb}", name=result.name, version=result.version, promptId=result.id, author=run.author())
