"""promptctl db start and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.output import answers
from promptctl.postgres import settings
from promptctl.postgres.embedded import location

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def start(run: Run) -> None:
    """Start the embedded server.

    Creates the embedded database if it does not exist. The server keeps running.
    A command that needs the server starts it.
    """
    home = _home(run)
    with run.database(creates=True, names_embedded=True) as opened:
        # The first statement creates the schema.
        opened.run("select")
    answers.show_sentences([f"the embedded server is running, in {home}"], {"running": True}, run.form)


def stop(run: Run) -> None:
    """Stop the embedded server.

    No data is lost. The next command starts the server again.
    """
    home = _home(run)
    from promptctl.postgres.embedded import server

    outcome = "was stopped" if server.stop(home) else "is not running"
    answers.show_sentences([f"the embedded server {outcome}, in {home}"], {"running": False}, run.form)


def _home(run: Run) -> str:
    """Return the folder of the embedded database. Raises Usage if another database is configured."""
    target = settings.target(run.database_url)
    if not target.embedded:
        raise errors.Usage(
            "not_embedded",
            f"{target.origin} names a server that promptctl does not start or stop",
            hint=f"{'leave out' if target.origin.startswith('-') else 'unset'} {target.origin}",
        )
    return location.home()
