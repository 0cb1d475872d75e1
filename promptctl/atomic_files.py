"""Writing files atomically."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile


def write(path: str, data: bytes, *, private: bool = False) -> None:
    """Create or replace a file atomically; an existing file keeps its mode.

    A new file has the mode of the umask, or 0600 if `private`. After a failure an existing file is unchanged. Writes
    directly to a terminal, a pipe or another device. Raises OSError.
    """
    # A symbolic link remains: its target is replaced.
    target = os.path.realpath(path)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            with open(path, "wb") as device:
                device.write(data)
            return
        mode = stat.S_IMODE(status.st_mode)
    except FileNotFoundError:
        mode = 0o600 if private else 0o666 & ~_umask()
    replace(target, data, mode)


def replace(path: str, data: bytes, mode: int) -> None:
    """Create or replace a file with this content and mode; a link is replaced, not followed. Raises OSError."""
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=".promptctl-", dir=os.path.dirname(path))
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
