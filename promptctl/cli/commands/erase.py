"""promptctl erase."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import archive_view as output
from promptctl.rules import references
from promptctl.store import archiving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import AllowSecrets, Author, Reason, Rehearse, VersionReference
    from promptctl.cli.run import Run


def erase(
    run: Run,
    reference: VersionReference,
    dry_run: Rehearse = False,
    author: Author = None,
    reason: Reason = None,
    allow_secrets: AllowSecrets = False,
) -> None:
    """Erase the text of a version for good.

    For a leaked key or personal data: text, settings and metadata are
    replaced by nothing, and nobody can take that back. The number, the hash,
    the history and the statistics stay, and the history says who erased it
    and why. The version is archived. A text with the same hash is not stored
    again.

    Only the owner of the schema may, with --reason, and never for a version
    that is active, a candidate or the target of a route. Clients that pin the
    version stop serving it. Copies elsewhere are out of reach: the answer
    names them.

    Examples:
      promptctl erase default-system-prompt@2 --reason "a customer's address"
      promptctl erase default-system-prompt@2 --reason "a key" --dry-run
    """
    wanted = references.parse_with_version(reference, "erase")
    if reason is None or not reason.strip():
        raise errors.Usage(
            "reason_missing",
            f"erasing {wanted} needs a reason: it stands in the history in place of the text",
            hint=f'promptctl erase {wanted} --reason "it holds a key"',
        )
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    run.author(author)
    with run.database() as database, database.rehearsal(is_wanted=dry_run):
        erased = archiving.erase(database, wanted, author=run.who(), reason=reason)
    output.show_erasure(erased, database.label, run.form, dry_run=dry_run)
    if erased.changed and not dry_run:
        run.log("Version erased", name=erased.name, version=erased.version, author=run.who())
