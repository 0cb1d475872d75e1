"""The directory of the embedded server: its owners, locks and leftover files.

    listen            the TCP address and its password, if there is one; only the owner can read it
    stopped           exists after `db stop`, until a command starts the server; an application does not start it
    start.lock        locked by the process that starts or stops the server
    migration.lock    locked by the process that dumps and migrates the database
    server.lock       locked by every process that uses the cluster: initdb, the server and its children
    pg18/             the cluster of PostgreSQL 18, owned by the server's user
    postgresql-18.6/  the programs
    run/              the socket, owned by the server's user
    dumps/            the dumps from before each migration; only the owner can read them
    *.conf, server.log

As root, the server runs as another user. Then root owns everything except `pg18` and `run`, the server's user cannot
write to it, and root never writes inside these two directories, because the user could put a link there.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptctl.errors import Failed
from promptctl.postgres.embedded import location

if TYPE_CHECKING:
    from collections.abc import Generator

_ROOT_RUNS_AS = ("promptctl", "postgres", "nobody")
# initdb and pg_ctl pass the path to a shell in double quotes, and settings are read line by line.
_FORBIDDEN = '"$`\\\x7f' + "".join(map(chr, range(32)))
_OWNER_ONLY = 0o700
_STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Account:
    """The user of the operating system that runs the server."""

    name: str
    uid: int
    gid: int

    def spawn(self, command: list[str], *, output: int, keep: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        """Start `command` as this user, with no open descriptors but `output` and `keep`.

        It has its own session, so that no terminal ends it, and a minimal environment: PG* variables would change
        PostgreSQL's behaviour, and a long-running process must not have secrets.
        """
        drop = os.geteuid() == 0
        return subprocess.Popen(
            command,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
            | {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o077,
            pass_fds=keep,
            user=self.uid if drop else None,
            group=self.gid if drop else None,
            extra_groups=[] if drop else None,
        )

    def run(self, *command: str) -> bool:
        """Run `command` as this user without output, and return whether it succeeds."""
        with open(os.devnull, "wb") as sink:
            return self.spawn(list(command), output=sink.fileno()).wait() == 0

    def make_directory(self, path: str) -> None:
        """Create a private directory of this user in a directory of ours. Raises OSError.

        It gets its name after its owner: a directory of root, left by a killed process, would block the next start.
        """
        unfinished = os.path.join(os.path.dirname(path), f".pg-{os.path.basename(path)}-{os.getpid()}")
        os.mkdir(unfinished, _OWNER_ONLY)
        if os.geteuid() == 0:
            os.chown(unfinished, self.uid, self.gid, follow_symlinks=False)
        os.rename(unfinished, path)


def server_account(cluster: str | None) -> Account:
    """Return the user that runs the server of `cluster`, or that would run a new server.

    Raises Failed (`no_server_user`) if this process runs as root and there is no other user to run it.
    """
    import pwd  # Windows has neither pwd nor fcntl, and must be able to import this module

    uid = os.stat(cluster).st_uid if cluster else os.geteuid()
    if uid != 0:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            raise Failed(
                "no_server_user",
                f"user id {uid} has no name, and PostgreSQL runs only as a named user",
                hint="add the user to /etc/passwd, or set DATABASE_URL",
            ) from None
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in _ROOT_RUNS_AS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise Failed(
        "no_server_user",
        f"PostgreSQL does not run as root, and there is no user {', '.join(_ROOT_RUNS_AS[:-1])} or {_ROOT_RUNS_AS[-1]}",
        hint="useradd --system promptctl",
    )


def create_and_check(home: str) -> None:
    """Create `home`. Raises Failed (`data_directory_unusable`) if it cannot hold a server safely."""
    forbidden = [character for character in home if character in _FORBIDDEN]
    if forbidden:
        raise location.unusable(home, f"the path contains {forbidden[0]!r}")
    ours = os.geteuid()
    os.makedirs(home, _home_mode(), exist_ok=True)
    names = set(os.listdir(home)) - {"start.lock"}
    status = os.stat(home)  # after the listing: the mode is set before the first file is created
    if names or status.st_uid != ours:
        location.check_own(home)
    if names and ours == 0 and not status.st_mode & 0o001:
        raise location.unusable(home, "the server does not run as root, and only root can enter it")


def set_mode_if_new(home: str) -> None:
    """Set the mode of a home that contains only the start lock, which the caller has. Raises OSError."""
    if not set(os.listdir(home)) - {"start.lock"}:
        os.chmod(home, _home_mode())


def require_reach(home: str, account: Account) -> None:
    """Raise Failed (`data_directory_unusable`) if the server's user cannot reach `home`."""
    if os.geteuid() == 0 and not account.run("/bin/sh", "-c", 'cd -- "$1"', "sh", home):
        raise location.unusable(home, f"the server's user {account.name} cannot reach it")


def _home_mode() -> int:
    return 0o755 if os.geteuid() == 0 else _OWNER_ONLY  # the server's user needs to pass through root's directory


@contextmanager
def failures(home: str) -> Generator[None]:
    """Convert an OSError, for example of permissions or a full disk, to Failed."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            # The error of a copy names the source file, which is on another disk.
            reason = "no space left on its disk"
            raise location.unusable(home, reason, "free some space, or set PROMPTCTL_HOME") from error
        path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else home
        raise location.unusable(path, error.strerror or str(error)) from error


@contextmanager
def start_lock(home: str) -> Generator[None]:
    """Exclude other starts and stops; wait for one that is in progress. Raises OSError."""
    with _locked(home, "start.lock"):
        yield


@contextmanager
def migration_lock(home: str) -> Generator[None]:
    """Exclude other migrations; wait for one that is in progress. Raises OSError."""
    with _locked(home, "migration.lock"):
        yield


@contextmanager
def _locked(home: str, name: str) -> Generator[None]:
    import fcntl

    descriptor = _open(home, name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def take_server_lock(home: str) -> int | None:
    """Return the descriptor of the server lock, which a new process inherits, or None if another process has the lock.

    A lock is more reliable than a process id: the kernel releases it when the last process that inherited it ends, it
    cannot be reused, and every container sees it. Raises OSError.
    """
    return _try(home, shared=False)


def server_lives(home: str) -> bool:
    """Return whether initdb or a process of the server is alive. Raises OSError."""
    if not os.path.exists(os.path.join(home, "server.lock")):
        return False
    descriptor = _try(home, shared=True)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _try(home: str, *, shared: bool) -> int | None:
    import fcntl

    descriptor = _open(home, "server.lock")
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def _open(home: str, name: str) -> int:
    import fcntl

    descriptor = open_regular(os.path.join(home, name), os.O_RDONLY | os.O_CREAT)
    if descriptor > 2:
        return descriptor
    try:  # this process has no standard streams; a child that inherits the descriptor would use it as one
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def open_regular(path: str, flags: int) -> int:
    """Open a regular file in a home. Raises Failed (`data_directory_unusable`) for a link, a pipe or a device.

    It does not block, and does not write through a link. Raises OSError.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _not_regular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def _not_regular(path: str) -> Failed:
    return location.unusable(path, "it is not a regular file", "remove it, or set PROMPTCTL_HOME to another directory")


def was_stopped(home: str) -> bool:
    """Return whether the server was stopped and no command has started it since."""
    return os.path.lexists(os.path.join(home, _STOPPED))


def note_stop(home: str) -> None:
    """Store that the server was stopped. Raises OSError."""
    os.close(open_regular(os.path.join(home, _STOPPED), os.O_WRONLY | os.O_CREAT))


def forget_stop(home: str) -> None:
    """Clear what `note_stop` stored. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(home, _STOPPED))


def remove_unfinished(home: str) -> None:
    """Remove the files of an interrupted creation. The caller has the server lock, so no process uses them."""
    for name in os.listdir(home):
        if name.startswith((".pg", ".postgresql-")):
            remove(os.path.join(home, name))
        elif name.startswith(".promptctl-"):
            with suppress(OSError):
                os.unlink(os.path.join(home, name))


def remove(path: str) -> None:
    """Remove a directory in a home as far as possible; as the server's user if that user owns it."""
    try:
        owner = os.lstat(path).st_uid
        if os.geteuid() == 0 and owner != 0:
            server_account(path).run("rm", "-rf", "--", path)
            os.rmdir(path)
        else:
            shutil.rmtree(path)
    except OSError:
        pass  # the next creation reports what is left
