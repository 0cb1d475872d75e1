"""Read files, pipes and streams up to a limit in bytes, so that no input exhausts the memory."""

from __future__ import annotations

import errno
import os
import stat

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

LARGEST_BYTES = 100 * 1024 * 1024
_PIECE_BYTES = 1 << 16


class TooLarge(OSError):
    """The input has more bytes than the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(errno.EFBIG, f"has more than {limit} bytes")


def unreadable(name: str, problem: Exception, hint: str) -> errors.Failed:
    """Return the error for a file that cannot be opened or read; `name` is its name in quotes."""
    # `open` raises ValueError for a path with a NUL character, and ValueError has no strerror.
    reason = getattr(problem, "strerror", None) or str(problem)
    return errors.Failed("cannot_read", f"cannot read {name}: {reason}", hint=hint)


def regular_file(path: str, limit: int = LARGEST_BYTES) -> bytes:
    """Return the content of a regular file. Raises OSError, also for a pipe or a device. TooLarge is an OSError."""
    # Without O_NONBLOCK, opening a pipe that has no writer would block.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
        if status.st_size > limit:
            raise TooLarge(limit)
        content = os.read(descriptor, status.st_size + 1)
        # Other sizes are those of a file that grows, or that is made while it is read.
        return content if len(content) == status.st_size else from_descriptor(descriptor, limit, content)
    finally:
        os.close(descriptor)


def any_file(path: str, limit: int = LARGEST_BYTES) -> bytes:
    """Return the content of a file, a pipe or a device. Raises OSError; TooLarge is one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return from_descriptor(descriptor, limit)
    finally:
        os.close(descriptor)


def from_stream(stream: BinaryIO, limit: int = LARGEST_BYTES) -> bytes:
    """Return the content of a buffered stream. Raises OSError; TooLarge is one."""
    pieces: list[bytes] = []
    size = 0
    while True:
        piece = stream.read(_PIECE_BYTES)
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLarge(limit)
        # A buffered stream returns a short piece only at its end. Reading again, until an empty piece, would make a
        # person at a terminal type Ctrl-D twice.
        if len(piece) < _PIECE_BYTES:
            return b"".join(pieces)


def from_descriptor(descriptor: int, limit: int = LARGEST_BYTES, start: bytes = b"") -> bytes:
    """Return `start`, which was read already, and the rest of a file descriptor. Raises OSError; TooLarge is one."""
    pieces = [start]
    size = len(start)
    while piece := os.read(descriptor, _PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLarge(limit)
    return b"".join(pieces)
