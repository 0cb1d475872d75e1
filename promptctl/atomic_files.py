"""Write files atomically: a reader finds the old content or the new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BufferedWriter


def write(path: str, data: bytes, *, private: bool = False) -> None:
    """Create or replace a file atomically, or write directly to a terminal, a pipe with a reader or another device.

    An existing file keeps its mode, and after a failure also its content. A new file gets the mode that the umask
    allows, or 0600 if `private`. Raises OSError.
    """
    # Of a symbolic link, the target is replaced, and the link remains.
    target = os.path.realpath(path)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            with open_device(path) as device:
                device.write(data)
            return
        mode = stat.S_IMODE(status.st_mode)
    except FileNotFoundError:
        mode = 0o600 if private else 0o666 & ~umask()
    replace(target, data, mode)


def open_device(path: str, flags: int = 0) -> BufferedWriter:
    """Open a file for writing without truncating it, with more flags of os.open.

    Raises OSError, also for a pipe that nobody reads: this would block.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | flags, 0o666)
    except OSError as problem:
        if problem.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads this pipe") from None
        raise
    os.set_blocking(handle, True)
    return open(handle, "wb")


def replace(path: str, data: bytes, mode: int) -> None:
    """Create or replace a file with this content and mode. A link is replaced itself. Raises OSError."""
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


def umask() -> int:
    """Return the umask. The only way to read it is to set another one."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
