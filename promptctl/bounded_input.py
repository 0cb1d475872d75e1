"""Reading what people give, in pieces and up to a bound: no file and no pipe exhausts the memory."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

LARGEST_BYTES = 100 * 1024 * 1024
_PIECE_BYTES = 1 << 16


class TooLarge(OSError):
    """An input with more bytes than are read."""

    def __init__(self, most: int) -> None:
        super().__init__(errno.EFBIG, f"has more than {most} bytes")


def regular_file(path: str, most: int = LARGEST_BYTES) -> bytes:
    """Return what is in a regular file. Raises OSError for a pipe and a device, and TooLarge (an OSError)."""
    # A pipe without a writer would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "is a folder" if stat.S_ISDIR(about.st_mode) else "is not a regular file")
        if about.st_size > most:
            raise TooLarge(most)
        return from_descriptor(descriptor, most)
    finally:
        os.close(descriptor)


def any_file(path: str, most: int = LARGEST_BYTES) -> bytes:
    """Return what a file, a pipe or a device gives until its end. Raises OSError, and TooLarge (an OSError)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return from_descriptor(descriptor, most)
    finally:
        os.close(descriptor)


def from_stream(stream: BinaryIO, most: int = LARGEST_BYTES) -> bytes:
    """Return what a buffered stream gives until its end. Raises OSError, and TooLarge (an OSError)."""
    pieces: list[bytes] = []
    size = 0
    while True:
        pieces.append(piece := stream.read(_PIECE_BYTES))
        size += len(piece)
        if size > most:
            raise TooLarge(most)
        # It is the end. To read once more would ask a person at a terminal for a second one.
        if len(piece) < _PIECE_BYTES:
            return b"".join(pieces)


def from_descriptor(descriptor: int, most: int = LARGEST_BYTES) -> bytes:
    """Return what a descriptor gives until its end. Raises OSError, and TooLarge (an OSError)."""
    data = os.read(descriptor, _PIECE_BYTES)
    # Most files end within the first piece; of a large one not every piece is to move all before it.
    pieces = [data]
    size = len(data)
    while piece := os.read(descriptor, _PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise TooLarge(most)
    return data if len(pieces) == 1 else b"".join(pieces)
