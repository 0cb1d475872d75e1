"""The places of the embedded server's files and its socket.

Every command on the embedded database imports this module, so it imports only what the interpreter has loaded already.
"""

from __future__ import annotations

import os
import stat
import sys

from promptctl.errors import Failed, Usage

DATABASE = "promptctl"
SUPERUSER = "promptctl"
PORT = "5432"  # part of the socket's file name, also if the server has another port on TCP

_SOCKET_NAME = f".s.PGSQL.{PORT}"
_MOST_LINKS = 40
_SOCKET_PATH_BYTES = 100  # the kernels' limits are 103 (macOS) and 107 (Linux)


def home() -> str:
    """Return the absolute path of the directory for the embedded server's files, which may not exist yet.

    Raises Usage (`empty_setting`) if PROMPTCTL_HOME is empty, Failed (`data_directory_unusable`) for a user without a
    home directory, and Failed (`cannot_read`) for a relative PROMPTCTL_HOME if the working directory was deleted.
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
        if not os.path.isabs(base):  # as the XDG specification requires for a relative path
            base = os.path.expanduser("~/.local/share")
    if not os.path.isabs(base):
        # HOME is relative, or is not set for a user id without a name: `~` would be created as a folder.
        raise Failed(
            "data_directory_unusable",
            "there is no home directory for the embedded database",
            hint="set PROMPTCTL_HOME to the path of a directory, or set DATABASE_URL",
        )
    return os.path.abspath(os.path.join(base, "promptctl"))


def major_version(cluster_directory: str) -> int:
    """Return the PostgreSQL major version in the name of a cluster directory (`…/pg18`: 18)."""
    return int(os.path.basename(cluster_directory)[2:])


def cluster(home: str) -> str | None:
    """Return the directory of the cluster in `home`, for example `pg18`, or None; the newest if there are several.

    A cluster gets this name only when it is complete. Raises Failed (`data_directory_unusable`) if `home` cannot be
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
    """Return the directory of the server's socket: in `home`, or in /tmp if that path is too long for a socket.

    A comma separates directories in the server's setting and hosts in libpq's, so a home with a comma uses /tmp too.
    The name in /tmp comes from the home's device and inode, so a symbolic link to the home gives the same directory.
    """
    directory = os.path.join(home, "run")
    if "," not in home and len(os.fsencode(os.path.join(directory, _SOCKET_NAME))) <= _SOCKET_PATH_BYTES:
        return directory
    try:
        identity = os.stat(home)
    except OSError:
        return directory  # without a home there is no server: the connection fails
    return f"/tmp/promptctl-{identity.st_dev:x}-{identity.st_ino:x}"  # noqa: S108 - its owner is checked


def socket_path(home: str) -> str:
    """Return the path of the server's socket."""
    return os.path.join(socket_directory(home), _SOCKET_NAME)


def conninfo(home: str) -> dict[str, str]:
    """Return libpq's keywords for the embedded database in `home`, whether or not its server runs.

    `requirepeer` requires that the server's user listens there. Raises Failed (`data_directory_unusable`) if another
    user, who could impersonate the server, owns the home or the socket's directory.
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
    """Raise Failed (`data_directory_unusable`) unless this user owns the home and no other user can write to it."""
    ours = os.geteuid()
    status = os.stat(home)
    if status.st_uid != ours:
        owner = user_name(status.st_uid)
        raise unusable(home, f"it belongs to {owner}", f"run as {owner}, or set PROMPTCTL_HOME")
    if status.st_mode & (0o022 if ours == 0 else 0o002):
        import shlex

        raise unusable(home, "other users can write to it", f"chmod go-w {shlex.quote(home)}")


def user_name(uid: int) -> str:
    """Return the name of a user, or for a user id without a name the text that libpq uses."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"


def is_trusted(path: str) -> bool:
    """Return whether only root and this user can replace the file at `path` or any part of its path.

    They must own each component, links included, and no directory may be writable by others, except one with the sticky
    bit such as /tmp, where users cannot rename the files of others.
    """
    ours = (0, os.geteuid())
    place, rest = "/", [part for part in os.path.abspath(path).split("/") if part]
    link_count = 0
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
            link_count += 1
            if link_count > _MOST_LINKS:
                return False
            target = os.path.join(os.path.dirname(place), os.readlink(place))
            # Not normalized: after a link, `..` is the parent of the target.
            rest = [part for part in target.split("/") if part not in ("", ".")] + rest
            place = "/"
        if not rest:
            return True
        place = os.path.join(place, rest.pop(0))


def check_private(directory: str, owner: int) -> bool:
    """Return whether `directory` exists. Raises Failed unless it is a private directory of `owner` and not a link."""
    try:
        status = os.lstat(directory)
    except FileNotFoundError:
        return False
    if status.st_uid != owner or status.st_mode & 0o170077 != 0o040000:
        raise unusable(directory, "it is not a private directory of the server's user")
    return True


def unusable(path: str, reason: str, hint: str = "set PROMPTCTL_HOME to another directory") -> Failed:
    """Return the error for a path that the embedded server cannot use."""
    return Failed("data_directory_unusable", f"{path!r} cannot hold the embedded database: {reason}", hint=hint)
