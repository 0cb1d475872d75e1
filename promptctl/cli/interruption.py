"""Ctrl-C while something is waited for."""

from __future__ import annotations

import contextlib
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

_SECONDS = 0.25


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
