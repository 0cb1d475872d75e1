"""promptctl erase."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import archive_view as output
from promptctl.rules import references
from promptctl.store import archiving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run


def erase(run: Run, reference: str, dry_run: bool = False) -> None:
    """Erase the text of a version permanently.

    Use it for a leaked key or for personal data. Erases the text, the settings and
    the metadata, and the replies to it in tests. You cannot undo this. The number,
    the hash, the history and the statistics are kept, and the history records the
    author and the reason. The version is archived. A text with the same hash is
    not stored again.

    Only the owner of the schema can erase, and --reason is required. A version
    that is active, a candidate or the target of a route is refused. Clients that
    pin the version stop serving it. The answer names the copies that promptctl
    cannot reach.

    Examples:
      promptctl erase default-system-prompt@2 --reason "a customer's address"
      promptctl erase default-system-prompt@2 --reason "a key" --dry-run
    """
    target = references.parse_with_version(reference, "erase")
    if run.reason is None or not run.reason.strip():
        raise errors.Usage(
            "reason_missing",
            f"erasing {target} needs a reason: the history keeps it instead of the text",
            hint=f'promptctl erase {target} --reason "why" --dry-run',
        )
    with run.database_to_change() as database, database.dry_run(is_enabled=dry_run):
        erased = archiving.erase(database, target, author=run.author(), reason=run.reason)
    output.show_erasure(erased, database.label, run.form, dry_run=dry_run)
    if erased.changed and not dry_run:
        run.log("Version erased", name=erased.name, version=erased.version, author=run.author())
