"""promptctl delete."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import archive_view as output
from promptctl.rules import references
from promptctl.store import archiving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.cli.options import AllowSecrets, Author, PromptsOrVersions, Reason, Rehearse, Undo
    from promptctl.cli.run import Run
    from promptctl.rules.references import Reference


def delete(
    run: Run,
    references_: PromptsOrVersions,
    undo: Undo = False,
    dry_run: Rehearse = False,
    author: Author = None,
    reason: Reason = None,
    allow_secrets: AllowSecrets = False,
) -> None:
    """Archive versions, or whole prompts.

    NAME@VERSION is not listed any more and cannot be activated; the active
    version cannot be archived. NAME is the whole prompt: it is not listed,
    nothing of it is served, and it cannot change. Names, numbers, texts,
    history and statistics stay. Several go together or not at all. A prompt
    that a route leads to is refused.

    --undo takes them back into use: a prompt with the version that was active
    and with its route, without its split.

    Examples:
      promptctl delete default-system-prompt@2 --reason "never worked"
      promptctl delete old-prompt --dry-run
      promptctl delete --undo old-prompt
    """
    wanted = _wanted(references_)
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    run.author(author)
    with run.database() as database, database.rehearsal(is_wanted=dry_run):
        done = archiving.archive(database, wanted, undo=undo, author=run.who(), reason=reason)
    output.show_archivals(done, database.label, run.form, undo=undo, dry_run=dry_run)
    what = "restored" if undo else "archived"
    for each in done:
        if each.changed and not dry_run:
            kind = "Prompt" if each.version is None else "Version"
            run.log(f"{kind} {what}", name=each.name, version=each.version, author=run.who())


def _wanted(words: Sequence[str]) -> list[Reference]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if following.isdigit() and "@" not in word:
            # "delete NAME 2" is about one version, and NAME alone would be the whole prompt.
            raise errors.Usage(
                "version_missing", f"{following} is a version: {word}@{following}",
                hint=f"promptctl delete {word}@{following}",
            )  # fmt: skip
    return [references.parse(word) for word in words]
