"""Blocks of code that Ctrl-C and the signals that end a process do not cut in two."""

from __future__ import annotations

import contextlib
import signal
import threading

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


@contextlib.contextmanager
def deferred_signals() -> Generator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP in the yielded list during a block. The second signal interrupts the block.

    In a thread that is not the main one, nothing is collected: Python handles signals in the main thread.
    """
    signals: list[int] = []

    def collect(number: int, _: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    # A signal without a Python handler is not collected, because its default action may be to end the process.
    handlers = {number: signal.signal(number, collect) for number in numbers if callable(signal.getsignal(number))}
    try:
        yield signals
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def interruption(signals: Sequence[int]) -> KeyboardInterrupt | None:
    """Return what the signals that were collected raise outside such a block, None without any."""
    terminating = [number for number in signals if number != signal.SIGINT]
    if terminating:
        return errors.Terminated(terminating[0])
    return KeyboardInterrupt() if signals else None
