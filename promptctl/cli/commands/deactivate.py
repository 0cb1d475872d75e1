"""promptctl deactivate."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import move_view as output
from promptctl.rules import references
from promptctl.store import moves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run


def deactivate(
    run: Run,
    names: list[str],
    expect: str | None = None,
    dry_run: bool = False,
    author: str | None = None,
    reason: str | None = None,
    allow_secrets: bool = False,
) -> None:
    """Leave a prompt without an active version.

    Applications that ask for the prompt get an error, or their own default text.
    A running split ends. Several prompts are deactivated in one transaction, as
    one release. An inactive prompt stays inactive, with exit code 0. A prompt that
    is the target of a route is refused. To undo, run promptctl rollback.

    Examples:
      promptctl deactivate default-system-prompt --reason "unsafe, INC-412"
      promptctl deactivate default-system-prompt --expect 3 --dry-run
    """
    prompt_names = [references.check_name(_bare(name)) for name in names]
    expected = None if expect is None else references.parse_version(expect)
    if expected is not None and len(prompt_names) > 1:
        raise errors.Usage("usage", "--expect is for one prompt")
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    run.author(author)
    with run.database() as database, database.dry_run(is_enabled=dry_run):
        results = moves.deactivate(database, prompt_names, expected_version=expected, author=run.who(), reason=reason)
    output.show_moves(results, "deactivated", database.label, run.form, dry_run=dry_run)
    for result in results:
        if result.changed and not dry_run:
            run.log("Prompt deactivated", name=result.name, version=result.previous_version, author=run.who())


def _bare(name: str) -> str:
    bare, at, version = name.partition("@")
    if at:
        expected = f" --expect {version}" if version.isdigit() else ""
        raise errors.Usage(
            "usage", f"deactivate needs a name without a version: {bare}", hint=f"promptctl deactivate {bare}{expected}"
        )
    return name
