"""promptctl db start and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.output import answers
from promptctl.postgres import connecting, settings
from promptctl.postgres.embedded import location

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def start(run: Run, listen: str | None = None) -> None:
    """Start the embedded server.

    Creates the embedded database if it does not exist. The server keeps running.
    A command that needs the server starts it.

    The server listens on a socket, which accepts only the user of the system that
    it belongs to, and root. --listen adds a TCP port on this machine for programs
    that cannot use a socket. They connect as the owner of the database, with a
    password: `promptctl db url --password` prints the URL. Later starts keep the
    port and the password, until --listen off removes both. A running server is not
    changed: stop it first with `promptctl db stop`.

    Examples:
      promptctl db start
      promptctl db start --listen 127.0.0.1:5433
      promptctl db start --listen off
    """
    home = _home(run)
    if listen is not None:
        connecting.listen_embedded(listen, run.note)
    with run.database(creates=True, names_embedded=True) as opened:
        # The first statement creates the schema.
        opened.run("select")
    from promptctl.postgres.embedded import listening

    tcp = listening.stored(home)
    where = f"in {home}, and listens on {tcp.address}" if tcp else f"in {home}"
    document = {"running": True, "address": tcp.address if tcp else None}
    answers.show_sentences([f"the embedded server is running, {where}"], document, run.form)


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
