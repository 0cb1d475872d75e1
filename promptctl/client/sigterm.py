"""A callback for SIGTERM that runs before the handler that a server has installed."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType


@contextlib.contextmanager
def called_at_sigterm(callback: Callable[[], None]) -> Generator[None]:
    """A block in which SIGTERM calls `callback` and then the handler that was installed before.

    It has no effect where no Python handler is installed, and outside the main thread, where handlers cannot be set. A
    handler that is installed within the block stays.
    """
    previous = signal.getsignal(signal.SIGTERM)
    if not callable(previous) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        callback()
        previous(number, frame)

    # An event loop also learns of signals through a file descriptor, which signal.signal does not change.
    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, previous)
