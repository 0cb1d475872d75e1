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
    from promptctl.postgres.embedded.server import ServerStatus


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
            output.show_stopped(embedded.cluster, embedded.address, run.form)
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
            installation,
            database.label,
            target.origin,
            embedded.cluster if embedded else None,
            embedded.address if embedded else None,
            run.form,
        )
    if embedded is not None:
        _note_newer_postgresql(run, embedded)
    if installation.open_to_everybody:
        raise errors.SchemaMismatch(
            "grants_missing",
            f"the schema in {database.label} was restored without its grants: only its owner can use it",
            hint="promptctl db init",
        )
    return 0 if installation.is_usable else errors.SchemaMismatch.exit_code


def _note_newer_postgresql(run: Run, embedded: ServerStatus) -> None:
    """Print how to move an embedded database to a newer major version of PostgreSQL, if one is installed.

    The command destroys nothing: it dumps the database, renames its home, and restores the dump to a new home.
    """
    from promptctl.postgres.embedded import binaries

    newest = binaries.find()
    major = embedded.major_version
    if newest is None or major is None or newest.version.major <= major:
        return
    import os
    import shlex

    kept = f"{embedded.home}-postgresql-{major}"
    while os.path.lexists(kept):
        kept += "-old"
    dump = shlex.quote(f"{kept}.dump")
    commands = (
        f"promptctl db dump {dump}",
        "promptctl db stop",
        f"mv {shlex.quote(embedded.home)} {shlex.quote(kept)}",
        f"promptctl db restore {dump}",
    )
    run.note(
        f"the embedded database stays on PostgreSQL {major}, and {newest.version.major} is installed; to move it, stop "
        f"the applications and run: {' && '.join(commands)}"
    )
