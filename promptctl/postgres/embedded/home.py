"""The directory that holds the embedded server: who owns what in it, its locks, its leftovers.

    stopped           is there after `db stop`, until a command starts the server: an application does not
    start.lock        held by the process that starts or stops the server
    server.lock       held by whatever works on the cluster: initdb, the server and each process of the server's
    pg18/             the cluster of PostgreSQL 18, the server user's own
    postgresql-18.6/  the programs
    run/              the socket, the server user's own
    *.conf, server.log

As root the server runs as another user. Then all but `pg18` and `run` is root's and not to be written by that user, and
root never writes inside these two: the user could put a link there.
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
# initdb and pg_ctl put the path through a shell in double quotes; settings are read by line.
_FORBIDDEN = '"$`\\\x7f' + "".join(map(chr, range(32)))
_OWNER_ONLY = 0o700
_STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user that the server runs as."""

    name: str
    uid: int
    gid: int

    def spawn(self, command: list[str], *, output: int, keep: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        """Starts `command` as this user, with nothing of ours but the descriptors `output` and `keep`.

        It gets a session of its own, so no terminal ends it, and a bare environment: PG* variables would change what
        PostgreSQL does, and secrets have no business in a process that stays.
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
        """Whether `command`, run as this user with its output thrown away, succeeds."""
        with open(os.devnull, "wb") as nothing:
            return self.spawn(list(command), output=nothing.fileno()).wait() == 0

    def make_directory(self, path: str) -> None:
        """Makes a private directory of this user's in a directory of ours. Raises OSError.

        It gets its name when it has its owner: one of root's, left by a process that was killed, would be in the way.
        """
        unfinished = os.path.join(os.path.dirname(path), f".pg-{os.path.basename(path)}-{os.getpid()}")
        os.mkdir(unfinished, _OWNER_ONLY)
        if os.geteuid() == 0:
            os.chown(unfinished, self.uid, self.gid, follow_symlinks=False)
        os.rename(unfinished, path)


def server_account(cluster: str | None) -> Account:
    """The user that the server of `cluster` runs as, or that of a new one would.

    Raises Failed (`no_server_user`) when this process is root's and there is no other user for it.
    """
    import pwd  # this and fcntl in the functions: Windows has neither, and imports this module to be told so

    uid = os.stat(cluster).st_uid if cluster else os.geteuid()
    if uid != 0:
        try:
            found = pwd.getpwuid(uid)
        except KeyError:
            raise Failed(
                "no_server_user",
                f"user id {uid} has no name, and PostgreSQL runs only as a named user",
                hint="add the user to /etc/passwd, or set DATABASE_URL",
            ) from None
        return Account(found.pw_name, found.pw_uid, found.pw_gid)
    for name in _ROOT_RUNS_AS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(found.pw_name, found.pw_uid, found.pw_gid)
    raise Failed(
        "no_server_user",
        f"PostgreSQL does not run as root, and there is no user {', '.join(_ROOT_RUNS_AS[:-1])} or {_ROOT_RUNS_AS[-1]}",
        hint="useradd --system promptctl",
    )


def require(home: str) -> None:
    """Makes `home`, or raises Failed (`data_directory_unusable`) when it cannot hold a server safely."""
    forbidden = [character for character in home if character in _FORBIDDEN]
    if forbidden:
        raise location.unusable(home, f"the path contains {forbidden[0]!r}")
    ours = os.geteuid()
    os.makedirs(home, _home_mode(), exist_ok=True)
    names = set(os.listdir(home)) - {"start.lock"}
    found = os.stat(home)  # after listing: whoever makes the first file has set the mode before
    if names or found.st_uid != ours:
        location.check_own(home)
    if names and ours == 0 and not found.st_mode & 0o001:
        raise location.unusable(home, "the server does not run as root, and only root may enter it")


def open_up(home: str) -> None:
    """Gives a new home its mode; the caller holds the start lock and has made nothing else yet. Raises OSError."""
    if not set(os.listdir(home)) - {"start.lock"}:
        os.chmod(home, _home_mode())


def require_reach(home: str, account: Account) -> None:
    """Raises Failed (`data_directory_unusable`) when the server's user cannot get to `home`."""
    if os.geteuid() == 0 and not account.run("/bin/sh", "-c", 'cd -- "$1"', "sh", home):
        raise location.unusable(home, f"the server's user {account.name} cannot reach it")


def _home_mode() -> int:
    return 0o755 if os.geteuid() == 0 else _OWNER_ONLY  # the server's user must get through root's to its own


@contextmanager
def failures(home: str) -> Generator[None]:
    """Turns an error of the operating system's (permissions, a full disk) into Failed."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            # The error of a copy names the file that is read, which is on another disk.
            reason = "no space left on its disk"
            raise location.unusable(home, reason, "free some space, or set PROMPTCTL_HOME") from error
        path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else home
        raise location.unusable(path, error.strerror or str(error)) from error


@contextmanager
def start_lock(home: str) -> Generator[None]:
    """Keeps every other start and stop out; waits for one that is under way. Raises OSError."""
    import fcntl

    descriptor = _open(home, "start.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def take_server_lock(home: str) -> int | None:
    """The descriptor of the server lock, to be handed to a process that is started, or None while one has it.

    A lock is told from a process id by what it survives: it is let go when the last process that inherited it ends,
    however that ends, it cannot be recycled, and it is seen from every container. Raises OSError.
    """
    return _try(home, shared=False)


def server_lives(home: str) -> bool:
    """Whether initdb or a process of the server's is alive. Raises OSError."""
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
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open(home: str, name: str) -> int:
    import fcntl

    descriptor = open_regular(os.path.join(home, name), os.O_RDONLY | os.O_CREAT)
    if descriptor > 2:
        return descriptor
    try:  # we have no standard streams, but a process that inherits this is given some in its place
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def open_regular(path: str, flags: int) -> int:
    """Open a file of a home; raise Failed (`data_directory_unusable`) for a link, a pipe or whatever else is there.

    Nothing is waited for, and nothing is written through a link. Raises OSError.
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
    """Whether somebody stopped the server, and no command has started it since."""
    return os.path.lexists(os.path.join(home, _STOPPED))


def note_stop(home: str) -> None:
    """Remember that somebody stopped the server. Raises OSError."""
    os.close(open_regular(os.path.join(home, _STOPPED), os.O_WRONLY | os.O_CREAT))


def forget_stop(home: str) -> None:
    """Forget that somebody stopped the server. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(home, _STOPPED))


def sweep(home: str) -> None:
    """Removes what an interrupted creation left; the caller holds the server lock, so nobody is at work on it."""
    for name in os.listdir(home):
        if name.startswith((".pg", ".postgresql-")):
            remove(os.path.join(home, name))
        elif name.startswith(".promptctl-"):
            with suppress(OSError):
                os.unlink(os.path.join(home, name))


def remove(path: str) -> None:
    """Removes a directory in a home, as far as it can be; what belongs to the server's user, as that user."""
    try:
        owner = os.lstat(path).st_uid
        if os.geteuid() == 0 and owner != 0:
            server_account(path).run("rm", "-rf", "--", path)
            os.rmdir(path)
        else:
            shutil.rmtree(path)
    except OSError:
        pass  # what is in the way of a new one is reported there
