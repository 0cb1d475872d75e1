"""promptctl db migrate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import answers
from promptctl.output import migration_view as output
from promptctl.postgres import migrating, self_migration

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def migrate(run: Run, dry_run: bool = False, force: bool = False) -> None:
    """Migrate the schema to the version that this promptctl needs.

    Each migration is one transaction. You can run it again after any failure, and
    several at once: each migration happens once. Applications keep resolving and
    recording. A migration that would stop a connected application is refused.

    Examples:
      promptctl db migrate --dry-run
      promptctl db migrate
    """
    with run.database() as database:
        if dry_run:
            planned = migrating.plan(database)
            output.show_plan(planned, database.label, migrating.installed_version(database), run.form)
            return
        if database.embedded:
            before, after = self_migration.migrate(database, run.note, force=force)
        else:
            before, after = migrating.migrate(database, force=force, say=run.note)
        if before == after:
            sentence = f"{database.label} has schema version {after} already: nothing to migrate"
        else:
            sentence = f"migrated {database.label} from schema version {before} to {after}"
        document = {
            "database": database.name,
            "schema_version": after,
            "previous_schema_version": before,
            "changed": before != after,
        }
        answers.show_sentences([sentence], document, run.form, quiet=f"{database.name}\n")
