"""A pipe that wakes a thread which waits for the database."""

from __future__ import annotations

import contextlib
import os


class Waker:
    """A pipe that wakes a waiting thread, which reads `descriptor`; -1 while it is closed."""

    def __init__(self) -> None:
        self.descriptor = self._writer = -1

    def open(self) -> None:
        """Open the pipe. Raises OSError."""
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        os.set_blocking(self.descriptor, False)

    def wake(self) -> None:
        """Wake the thread; nothing happens if the pipe is closed."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full of earlier calls
            if self._writer >= 0:
                os.write(self._writer, b"\0")

    def drain(self) -> None:
        """Read what earlier calls have written."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def close(self) -> None:
        """Close the pipe."""
        descriptors, self.descriptor, self._writer = (self.descriptor, self._writer), -1, -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)
