"""promptctl delete."""

from __future__ import annotations

from promptctl import references
from promptctl.output import messages, stream
from promptctl.store import versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import AllowSecrets, Author, Reason, Undo, VersionReference
    from promptctl.cli.run import Run


def delete(
    run: Run,
    reference: VersionReference,
    undo: Undo = False,
    author: Author = None,
    reason: Reason = None,
    allow_secrets: AllowSecrets = False,
) -> None:
    """Retire a version: it is listed no more and cannot be activated.

    Its number stays taken; its text, its history and its uses stay on record,
    and --undo takes it back into use. What is live cannot be retired.

    Examples:
      promptctl delete default-system-prompt@2 --reason "never worked"
      promptctl delete --undo default-system-prompt@2
    """
    wanted = references.parse_with_version(reference, "delete")
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    run.author(author)
    with run.database() as database:
        changed = versions.retire(database, wanted, undo=undo, author=run.who(), reason=reason)
    done, state = ("restored", "in use") if undo else ("retired", "retired")
    sentence = f"{done} {wanted} in {database.label}" if changed else f"{wanted} is {state} already in {database.label}"
    if changed:
        run.log(f"Version {done}", name=wanted.name, version=wanted.version, author=run.who())
    if run.form == "json":
        from promptctl.output import documents

        documents.show(
            {
                "message": sentence,
                "name": wanted.name,
                "version": wanted.version,
                "is_retired": not undo,
                "changed": changed,
            }
        )
    elif run.form == "plain" and stream.to_terminal():
        stream.write(sentence + "\n")
    else:
        stream.write(f"{wanted}\n")
        if run.form == "plain":
            messages.note(sentence)
