"""promptctl db status."""

from __future__ import annotations

from promptctl import errors, settings
from promptctl.embedded import location
from promptctl.output import status as output
from promptctl.store import administration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run


def status(run: Run) -> int:
    """Say which database is meant, whether it answers, and what it holds.

    It starts nothing. The exit code is 6 when the database does not answer,
    8 when the schema is missing or of another version.
    """
    target = settings.target(run.database_url)
    embedded = None
    if target.embedded:
        from promptctl.embedded import server

        home = location.home()
        embedded = server.status(home)
        if not embedded.running:
            if embedded.cluster is None:
                raise errors.Unreachable(
                    "no_database",
                    f"no database: none is configured, and there is no embedded one in {home}",
                    hint="set DATABASE_URL, or run: promptctl db init",
                )
            output.stopped(embedded.cluster, run.form)
            return errors.Unreachable.exit_code
    with run.database() as database:
        found = administration.installation(database)
        output.answering(found, database.label, target.origin, embedded.cluster if embedded else None, run.form)
    return 0 if found.schema_version == found.expected_schema_version else errors.SchemaMismatch.exit_code
