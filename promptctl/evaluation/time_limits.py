"""End a calculation that takes too long, such as a regular expression that backtracks without end."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType


class TookTooLong(Exception):
    """A calculation was ended at its limit."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Generator[None]:
    """Raise TookTooLong in the block once `seconds` have passed. It works in the main thread only.

    A timer of the process sends a signal, which Python's `re` looks for while it matches. That costs a few microseconds
    for each block. A timer that was set before goes on afterwards.
    """
    is_running = True

    def end(_number: int, _frame: FrameType | None) -> None:
        if is_running:
            raise TookTooLong

    earlier_handler = signal.signal(signal.SIGALRM, end)
    earlier_timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        # From here on, a signal that has arrived already does not raise.
        is_running = False
        signal.setitimer(signal.ITIMER_REAL, *earlier_timer)
        signal.signal(signal.SIGALRM, earlier_handler)
