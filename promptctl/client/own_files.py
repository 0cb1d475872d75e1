"""Files of this user alone: what an application reads back, no other user may have written.

A snapshot decides which prompt is served, and a spool what is recorded. Both may lie in a directory where other users
write, so a file is checked through the descriptor by which it is read: it is regular, it belongs to this user, and
nobody else may write it. A link is never followed. No open waits, whatever lies in the file's place.
"""

from __future__ import annotations

import errno
import os
import stat

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_file(path: str, flags: int = os.O_RDONLY) -> int:
    """Return a descriptor of a file that only this user can have written. Raises OSError."""
    try:
        descriptor = os.open(path, flags | _OPEN)
    except OSError as failure:
        if failure.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link") from None
        if failure.errno in (errno.ENXIO, errno.EISDIR):
            raise OSError(failure.errno, "it is not a regular file") from None
        raise
    try:
        _check(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def check_place(path: str) -> None:
    """Check that a file can be put here: nothing is here yet, or a file of this user alone. Raises OSError."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    _check(status)


def open_directory(path: str) -> int:
    """Return a descriptor of a directory. Raises OSError, also for a link that another user has made."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid()):
        raise OSError(errno.ELOOP, f"{path} is a link that belongs to another user")
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)


def _check(status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "it is a link")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise PermissionError(errno.EPERM, "other users may write it")
