"""What becomes of clients when their process forks, and when it ends."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from promptctl.client import serving
from promptctl.client import use as uses
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

_EXIT_SECONDS = 5.0


class Member(Record):
    """What a client does around a fork, and at the end: all begin to close before any is waited for."""

    __slots__ = ()
    before_fork: Callable[[], None]
    in_child: Callable[[], None]
    begin_to_close: Callable[[float], None]
    close: Callable[[float], None]


# Until they are closed: what was booked is sent at exit, whoever has let go of the client.
_open: list[Member] = []
# A signal's handler may close what the code that it interrupts is at.
_lock = threading.RLock()


def add(member: Member) -> None:
    """Have a client take part, until it is closed."""
    with _lock:
        _open.append(member)
    _end_with_child()
    _tell_children_of_multiprocessing()


def remove(member: Member) -> None:
    """Forget a client, which is closed."""
    with _lock:
        if member in _open:
            _open.remove(member)


def _before_fork() -> None:
    for member in tuple(_open):
        member.before_fork()
    _tell_children_of_multiprocessing()


def _in_child() -> None:
    global _lock
    _lock = threading.RLock()
    uses.renew_identity()
    serving.renew_draws()
    for member in tuple(_open):
        member.in_child()


def _at_exit() -> None:
    until = time.monotonic() + _EXIT_SECONDS
    members = tuple(_open)
    for member in members:
        member.begin_to_close(until)
    for member in members:
        member.close(0)


def _end_with_child(_: object = None) -> None:
    """In a child of multiprocessing, which ends without what `atexit` was told: be among what it does do."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and sys.modules["multiprocessing.process"].parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


class _Registered:
    """What multiprocessing keeps a weak reference to."""


_registered: _Registered | None = None


def _tell_children_of_multiprocessing() -> None:
    # As they begin they forget the finalizers there are: a parent's, and those of what a fork server imports for them.
    global _registered
    util = sys.modules.get("multiprocessing.util")
    if util is not None and _open and _registered is None:
        _registered = _Registered()
        util.register_after_fork(_registered, _end_with_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_in_child)
atexit.register(_at_exit)
