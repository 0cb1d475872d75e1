"""Handle Ctrl-C and the signals that end the process while a command waits."""

from __future__ import annotations

import contextlib
import signal

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

_TIMER_SECONDS = 0.25
_ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def terminated(*others: signal.Signals) -> Generator[None]:
    """Raise errors.Terminated for SIGTERM, SIGHUP and `others` in this block, so that it cleans up before the end."""
    numbers = [number for number in (*_ENDING_SIGNALS, *others) if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def handle_termination() -> None:
    """Raise errors.Terminated for SIGTERM and SIGHUP from now on."""
    for number in _ENDING_SIGNALS:
        signal.signal(number, _terminate)


def _terminate(number: int, _: object) -> None:
    raise errors.Terminated(number)


@contextlib.contextmanager
def timely_interrupts() -> Generator[None]:
    """Raise KeyboardInterrupt within a quarter of a second after Ctrl-C in this block.

    A signal that arrives just before a system call starts to wait does not interrupt the call. Python would handle the
    signal only after the call: at the next key, or at the next piece of a reply. So a timer interrupts the call.
    """
    previous_handler = signal.signal(signal.SIGALRM, _ignore)
    signal.setitimer(signal.ITIMER_REAL, _TIMER_SECONDS, _TIMER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous_handler)


def _ignore(_: int, __: object) -> None:
    pass
