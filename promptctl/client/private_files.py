"""Open files that only this user can write to: snapshots and the files of spools.

A client trusts these files: a snapshot decides which prompt is used, and a spool decides which uses are recorded. But
both may be in a directory where other users can write, too. So each file is checked after it is opened, by its
descriptor. It must be a regular file that belongs to this user and that other users cannot write to. Symbolic links are
not followed, and opening never blocks.
"""

from __future__ import annotations

import errno
import os
import stat

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_file(path: str, flags: int = os.O_RDONLY) -> int:
    """Return a descriptor of a file that only this user can write to. Raises OSError for any other file."""
    try:
        descriptor = os.open(path, flags | _OPEN_FLAGS)
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


def check_replaceable(path: str) -> None:
    """Check that there is no file at a path, or one that only this user can write to. Raises OSError."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    _check(status)


def open_directory(path: str) -> int:
    """Return a descriptor of a directory, also through a link of this user or root. Raises OSError for other links."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid()):
        raise OSError(errno.ELOOP, f"{path} is a link that belongs to another user")
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)


def _check(status: os.stat_result) -> None:
    """Raise OSError unless this is the status of a regular file that only this user can write to."""
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "it is a link")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise PermissionError(errno.EPERM, "other users can write to it")
