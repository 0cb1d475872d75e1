"""promptctl db status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.output import status_view as output
from promptctl.postgres import settings
from promptctl.postgres.embedded import location
from promptctl.store import administration

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def status(run: Run) -> int:
    """Show which database is used and what it contains.

    Never starts a server. The exit code is 6 if the database does not answer. It
    is 8 if the schema is missing, has another version or was restored without its
    grants.
    """
    target = settings.target(run.database_url)
    embedded = None
    if target.embedded:
        from promptctl.postgres.embedded import server

        home = location.home()
        embedded = server.status(home)
        if not embedded.running:
            if embedded.cluster is None:
                raise errors.Unreachable(
                    "no_embedded_database",
                    f"no database is configured and there is no embedded one in {home!r}",
                    hint="set DATABASE_URL, or run: promptctl db start",
                )
            output.show_stopped(embedded.cluster, run.form)
            return errors.Unreachable.exit_code
    try:
        opened = run.database()
    except errors.Unreachable as failure:
        # The usual hint is to run this command.
        failure.hint = f"check {target.origin}, and that the server is running"
        raise
    with opened as database:
        installation = administration.read_installation(database)
        output.show_installation(
            installation, database.label, target.origin, embedded.cluster if embedded else None, run.form
        )
    if installation.open_to_everybody:
        raise errors.SchemaMismatch(
            "grants_missing",
            f"the schema in {database.label} was restored without its grants: only its owner can use it",
            hint="promptctl db init",
        )
    return 0 if installation.is_usable else errors.SchemaMismatch.exit_code
