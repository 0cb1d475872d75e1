"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile


def write(path: str, data: bytes, *, private: bool = False) -> None:
    """Write a file, or put it in the place of the one that is there; it keeps the mode of that.

    A new one is readable as the umask says, or for its owner alone when it is `private`. Where it fails, what was there
    is there still. What is no file, a terminal or a pipe, is written to as it is. Raises OSError.
    """
    # A link stays a link: what it leads to is replaced.
    place = os.path.realpath(path)
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            with open(path, "wb") as device:
                device.write(data)
            return
        mode = stat.S_IMODE(found.st_mode)
    except FileNotFoundError:
        mode = 0o600 if private else 0o666 & ~_umask()
    replace(place, data, mode)


def replace(place: str, data: bytes, mode: int) -> None:
    """Put a file with this content and mode in a place; a link there is replaced, not followed. Raises OSError."""
    written: str | None = None
    try:
        handle, written = tempfile.mkstemp(prefix=".promptctl-", dir=os.path.dirname(place))
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        os.replace(written, place)
    except BaseException:
        if written is not None:
            with contextlib.suppress(OSError):
                os.unlink(written)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
