"""Noticing that a process was asked to end, beside the handler that the server has for it."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType


@contextlib.contextmanager
def hurries_at_sigterm(hurry: Callable[[], None]) -> Generator[None]:
    """A block in which a SIGTERM calls `hurry`, and then the handler that was there before; nothing else changes.

    Only where Python handles the signal already, as in a server that shuts down gracefully, and in the main thread,
    where alone that can be changed. A handler that is set within the block stays.
    """
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        hurry()
        before(number, frame)

    signal.signal(signal.SIGTERM, handle)
    # An event loop writes its handled signals to a file descriptor, which this leaves as it is.
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, before)
