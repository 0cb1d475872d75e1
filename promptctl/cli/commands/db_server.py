"""promptctl db start and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.output import messages, stream
from promptctl.postgres import settings
from promptctl.postgres.embedded import location

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def start(run: Run) -> None:
    """Start the embedded server.

    Creates the embedded database if it does not exist. The server keeps running.
    Every command starts it when it needs it.
    """
    home = _home(run)
    with run.database(creates=True, names_embedded=True) as opened:
        # The first statement creates the schema.
        opened.run("select")
    _answer(run, f"the embedded server is running, in {home}", running=True)


def stop(run: Run) -> None:
    """Stop the embedded server.

    No data is lost. The next command starts the server again.
    """
    home = _home(run)
    from promptctl.postgres.embedded import server

    stopped = server.stop(home)
    _answer(run, f"the embedded server {'was stopped' if stopped else 'is not running'}, in {home}", running=False)


def _home(run: Run) -> str:
    target = settings.target(run.database_url)
    if not target.embedded:
        raise errors.Usage(
            "not_embedded",
            f"{target.origin} names a server that promptctl does not start or stop",
            hint=f"{'leave out' if target.origin.startswith('-') else 'unset'} {target.origin}",
        )
    return location.home()


def _answer(run: Run, sentence: str, *, running: bool) -> None:
    if run.form == "json":
        stream.write_json({"message": sentence, "running": running})
    elif run.form == "plain" and stream.to_terminal():
        stream.write(sentence + "\n")
    elif run.form == "plain":
        messages.note(sentence)
