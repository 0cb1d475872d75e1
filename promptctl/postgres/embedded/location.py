"""Where the embedded server's files and its socket are.

Every command that uses the embedded database imports this module, also when the server already runs, so it imports
nothing that the interpreter has not loaded anyway.
"""

from __future__ import annotations

import os
import stat
import sys

from promptctl.errors import Failed, Usage

DATABASE = "promptctl"
SUPERUSER = "promptctl"
PORT = "5432"  # part of the socket's file name; nothing listens on TCP

_SOCKET_NAME = f".s.PGSQL.{PORT}"
_MOST_LINKS = 40
_SOCKET_PATH_BYTES = 100  # the kernels' limits are 103 (macOS) and 107 (Linux)


def home() -> str:
    """The absolute path of the directory for the embedded server's files; it need not exist.

    Raises Usage (`empty_setting`) when PROMPTCTL_HOME is set but empty, Failed (`data_directory_unusable`) for a user
    without a home directory, and Failed (`cannot_read`) for a relative PROMPTCTL_HOME below a directory that is gone.
    """
    setting = os.environ.get("PROMPTCTL_HOME")
    if setting is not None:
        if not setting:
            raise Usage("empty_setting", "PROMPTCTL_HOME is set but empty", hint="unset PROMPTCTL_HOME")
        if not os.path.isabs(setting):
            from promptctl import working_directory

            working_directory.require(setting)
        return os.path.abspath(setting)
    if os.geteuid() == 0:
        return "/var/lib/promptctl"
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME", "")
        if not os.path.isabs(base):  # what the XDG specification says about a relative path
            base = os.path.expanduser("~/.local/share")
    if not os.path.isabs(base):
        # HOME is relative, or there is none and the user id has no name: a folder called `~` would be made.
        raise Failed(
            "data_directory_unusable",
            "there is no home directory for the embedded database",
            hint="set PROMPTCTL_HOME to the path of a directory, or set DATABASE_URL",
        )
    return os.path.abspath(os.path.join(base, "promptctl"))


def major_version(cluster_directory: str) -> int:
    """The PostgreSQL major version that a cluster directory is named by (`…/pg18`: 18)."""
    return int(os.path.basename(cluster_directory)[2:])


def cluster(home: str) -> str | None:
    """The cluster's directory in `home` (`pg18`, say), or None; of several, that of the newest major version.

    A cluster gets this name only when it is complete. Raises Failed (`data_directory_unusable`) when `home` cannot be
    read.
    """
    try:
        names = os.listdir(home)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(home, error.strerror or str(error)) from error
    majors = [int(name[2:]) for name in names if name[:2] == "pg" and name[2:].isdecimal()]
    return os.path.join(home, f"pg{max(majors)}") if majors else None


def socket_directory(home: str) -> str:
    """The directory of the server's socket: in `home`, or a short one elsewhere where that is too long for a socket.

    A comma would separate two directories in the server's setting and two hosts in libpq's. The short directory is
    named by the home's identity, so it needs no record, and a symbolic link to the home leads to the same one.
    """
    directory = os.path.join(home, "run")
    if "," not in home and len(os.fsencode(os.path.join(directory, _SOCKET_NAME))) <= _SOCKET_PATH_BYTES:
        return directory
    try:
        identity = os.stat(home)
    except OSError:
        return directory  # no home, no server: connecting here says so
    return f"/tmp/promptctl-{identity.st_dev:x}-{identity.st_ino:x}"  # noqa: S108 -- its owner is checked


def socket_path(home: str) -> str:
    """The server's socket."""
    return os.path.join(socket_directory(home), _SOCKET_NAME)


def conninfo(home: str) -> dict[str, str]:
    """libpq's keywords for the embedded database in `home`, whether or not its server runs.

    Whoever listens there has to be the server's user (`requirepeer`). Raises Failed (`data_directory_unusable`) when
    the home or the socket's directory belongs to somebody else, who could pose as the server there.
    """
    directory = socket_directory(home)
    parameters = {"host": directory, "port": PORT, "user": SUPERUSER, "dbname": DATABASE}
    path = cluster(home)
    if path is not None:
        check_own(home)
        owner = os.lstat(path).st_uid
        check_private(directory, owner)
        parameters["requirepeer"] = user_name(owner)
    return parameters


def check_own(home: str) -> None:
    """Raise Failed (`data_directory_unusable`) unless the home is this user's, and nobody else may write in it."""
    ours = os.geteuid()
    status = os.stat(home)
    if status.st_uid != ours:
        owner = user_name(status.st_uid)
        raise unusable(home, f"it belongs to {owner}", f"run as {owner}, or set PROMPTCTL_HOME")
    if status.st_mode & (0o022 if ours == 0 else 0o002):
        import shlex

        raise unusable(home, "others may write in it", f"chmod go-w {shlex.quote(home)}")


def user_name(uid: int) -> str:
    """The name of a user; of one without a name, what libpq calls such a user's number."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"


def is_trusted(path: str) -> bool:
    """Whether nobody but root and this user could put another file here, whatever part of the path they change.

    Each component, links included, is to belong to one of them, and no directory is to be writable by others, but for
    one like /tmp, where they cannot rename what is not theirs.
    """
    ours = (0, os.geteuid())
    place, rest = "/", [part for part in os.path.abspath(path).split("/") if part]
    followed = 0
    while True:
        try:
            status = os.lstat(place)
        except OSError:
            return False
        if status.st_uid not in ours or (
            stat.S_IMODE(status.st_mode) & 0o022
            and not stat.S_ISLNK(status.st_mode)
            and not status.st_mode & stat.S_ISVTX
        ):
            return False
        if stat.S_ISLNK(status.st_mode):
            followed += 1
            if followed > _MOST_LINKS:
                return False
            target = os.path.join(os.path.dirname(place), os.readlink(place))
            # Not normalized: behind a link, `..` leads elsewhere than the text says.
            rest = [part for part in target.split("/") if part not in ("", ".")] + rest
            place = "/"
        if not rest:
            return True
        place = os.path.join(place, rest.pop(0))


def check_private(directory: str, owner: int) -> bool:
    """Whether `directory` exists. Raises Failed unless it is a directory of user id `owner`'s alone, and no link."""
    try:
        found = os.lstat(directory)
    except FileNotFoundError:
        return False
    if found.st_uid != owner or found.st_mode & 0o170077 != 0o040000:
        raise unusable(directory, "it is not a private directory of the server's user")
    return True


def unusable(path: str, reason: str, hint: str = "set PROMPTCTL_HOME to another directory") -> Failed:
    """The error for a path that the embedded server cannot use."""
    return Failed("data_directory_unusable", f"{path!r} cannot hold the embedded database: {reason}", hint=hint)
