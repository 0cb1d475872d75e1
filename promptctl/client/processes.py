"""What becomes of clients when their process forks, and when it ends."""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from promptctl.client import serving, unlinked
from promptctl.client import use as uses
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.client.prompt import Link

_LOG = logging.getLogger("promptctl")
_EXIT_SECONDS = 5.0


class Member(Record):
    """What a client does around a fork, and at the end: all begin to close before any is waited for."""

    __slots__ = ()
    before_fork: Callable[[], None]
    in_child: Callable[[float], None]
    threads_replaced: Callable[[], None]
    begin_to_close: Callable[[float], None]
    close: Callable[[float], None]
    link: Link


# Until they are closed: what was booked is sent at exit, whoever has let go of the client.
_open: list[Member] = []
# A signal's handler may close what the code that it interrupts is at.
_lock = threading.RLock()
# The process that the clients are in, as far as is known; and who noticed that it is another.
_process = os.getpid()
_noticing: dict[int, threading.RLock] = {}
# What threads are started by: gevent and eventlet replace it.
_start_thread = _thread.start_new_thread


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


def link_of(database: str) -> Link:
    """Return what records the uses of a prompt of this database, which another process has got."""
    for member in reversed(_open):
        if member.link.database == database:
            return member.link
    return unlinked.Unlinked(database)


def _before_fork() -> None:
    for member in tuple(_open):
        member.before_fork()
    _tell_children_of_multiprocessing()


def _in_child() -> None:
    _begin_in_child(time.perf_counter())


def _begin_in_child(forked_at: float) -> None:
    """Begin anew in a child that was forked at this moment of time.perf_counter."""
    global _lock, _process
    _lock = threading.RLock()
    uses.renew_ids()
    serving.renew_draws()
    for member in tuple(_open):
        member.in_child(forked_at)
    _process = os.getpid()


def check() -> None:
    """Notice a fork that Python did not see, and threads that were replaced since: begin anew, and log it once.

    uWSGI forks in C. gevent replaces threads in a worker of Gunicorn that was forked from a preloaded application.
    """
    global _start_thread
    process = os.getpid()
    if process != _process:
        # A lock of this process alone: one of the parent's may have been held when it forked.
        with _noticing.setdefault(process, threading.RLock()):
            if process != _process:
                _begin_in_child(_forked_at())
                _LOG.warning(
                    "promptctl: this process was forked without a word to Python, as uWSGI does: its client begins anew"
                )
    if _thread.start_new_thread is not _start_thread:
        _start_thread = _thread.start_new_thread
        for member in tuple(_open):
            member.threads_replaced()


def _forked_at() -> float:
    """Return when this process began, by time.perf_counter: up to 10 ms too early, and 0 where that is not known."""
    try:
        with open("/proc/self/stat", "rb") as file:
            # The name of the program, in parentheses, may hold anything.
            fields = file.read().rpartition(b")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return 0.0
    return time.perf_counter() - age


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
