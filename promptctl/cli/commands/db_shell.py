"""promptctl db shell."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from promptctl import bounded_input, errors
from promptctl.postgres import programs, settings
from promptctl.rules import references

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def shell(run: Run, command: str | None = None, file: str | None = None) -> None:
    """Open psql on the database.

    The search path includes the schema promptctl. psql reads statements from the
    terminal, from --command, from --file or from standard input. The exit code is
    psql's. If a statement fails, it is 1 with --command, and 3 without.

    Examples:
      promptctl db shell
      promptctl db shell -f report.sql
      promptctl db shell --command 'select name, version, is_active from prompts'
    """
    if command is not None and file is not None:
        raise errors.Usage("usage", "use only one of --command and --file")
    if file is not None:
        _check_file(file)
    # This starts the embedded server, and reports a missing schema as every other command does.
    with run.database() as opened:
        opened.run("select")
        sslmode, server_major = opened.required_sslmode(), int(opened.server_version.partition(".")[0])
    target = settings.target(run.database_url)
    connection, environment = programs.connection(target, sslmode)
    arguments = ["psql", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", *connection]
    environment["PGOPTIONS"] = f"{environment.get('PGOPTIONS', '')} -c search_path=promptctl,public".strip()
    if command is not None:
        arguments += ["--command", command]
    if file is not None:
        arguments += ["--file", file]
    program = programs.psql(target, server_major, needs_tls=sslmode is not None)
    sys.stdout.flush()
    # Python ignores SIGPIPE, and psql would inherit that: it would not end when its reader does.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(program, arguments, environment)


def _check_file(file: str) -> None:
    """Raise Failed (`cannot_read`) for an unreadable file."""
    if file == "-":
        return
    try:
        with open(file, "rb"):
            pass
    except (OSError, ValueError) as problem:
        hint = "pass -f a readable file, or - for standard input"
        raise bounded_input.unreadable(references.quoted(file), problem, hint) from None
