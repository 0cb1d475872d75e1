"""A callback for SIGTERM, which is called before the handler that a server has installed."""

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

    It has no effect if no Python handler is installed, or outside the main thread, where handlers cannot be set. If
    other code installs a handler within the block, the end of the block does not remove it.
    """
    previous = signal.getsignal(signal.SIGTERM)
    if not callable(previous) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        callback()
        previous(number, frame)

    # An event loop that handles SIGTERM with `add_signal_handler` still does so: it reads signals from a file
    # descriptor, which signal.signal does not change.
    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, previous)
