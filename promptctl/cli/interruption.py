"""Ctrl-C, and signals that end the process, while something is waited for."""

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
def recorded_first() -> Generator[None]:
    """In this block SIGTERM and SIGHUP raise errors.Terminated, so that a use is recorded before the process ends."""
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
def noticed_soon() -> Generator[None]:
    """In this block Ctrl-C is noticed within a quarter of a second.

    A signal that arrives just before a system call begins to wait does not break it off, and the interpreter looks only
    after it: after the next key, or the next piece of a reply, which may never come. So a timer breaks waiting off.
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
