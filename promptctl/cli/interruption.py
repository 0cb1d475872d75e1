"""Handle Ctrl-C and the signals that end the process while a command waits."""

from __future__ import annotations

import contextlib
import signal

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

_SECONDS = 0.25
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def terminated_after_recording() -> Generator[None]:
    """Raise errors.Terminated for SIGTERM and SIGHUP in this block: a use is recorded before the process ends."""
    numbers = [number for number in _ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, _: object) -> None:
    raise errors.Terminated(number)


@contextlib.contextmanager
def prompt_interrupts() -> Generator[None]:
    """Raise KeyboardInterrupt within a quarter of a second after Ctrl-C in this block.

    A signal that arrives just before a system call starts to wait does not interrupt the call, and Python handles the
    signal only when the call returns: at the next key or the next piece of a reply. So a timer interrupts the call.
    """
    before = signal.signal(signal.SIGALRM, _go_on)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _go_on(_: int, __: object) -> None:
    pass
