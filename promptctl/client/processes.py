"""What clients do when their process forks and when it ends."""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from promptctl.client.dropping_link import DroppingLink
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.client.link import Link

_LOG = logging.getLogger("promptctl")
_EXIT_SECONDS = 5.0


class Member(Record):
    """The callbacks of a client. At exit, all clients begin to close before the first is waited for."""

    before_fork: Callable[[], None]
    in_child: Callable[[float], None]
    threads_replaced: Callable[[], None]
    begin_to_close: Callable[[float], None]
    close: Callable[[float], None]
    link: Link


# Clients that are not closed. They are kept alive, so that their uses are sent at exit.
_members: list[Member] = []
# What modules renew in a child process, such as random state.
_renewals: list[Callable[[], object]] = []
# Reentrant, because a signal handler may close a client that the interrupted code is adding.
_lock = threading.RLock()
# The last process id that was seen, and a lock for each process that notices a new one.
_process = os.getpid()
_locks_of_children: dict[int, threading.RLock] = {}
# gevent and eventlet replace this function.
_start_thread = _thread.start_new_thread


def add(member: Member) -> None:
    """Register a client until it is closed."""
    with _lock:
        _members.append(member)
    _finalize_with_child()
    _register_with_multiprocessing()


def remove(member: Member) -> None:
    """Forget a closed client."""
    with _lock:
        if member in _members:
            _members.remove(member)


def renew_in_child(renew: Callable[[], object]) -> None:
    """Have a function called in each child process."""
    _renewals.append(renew)


def link_of(database: str) -> Link:
    """Return the link of this process's client for a database, for a prompt from another process."""
    for member in reversed(_members):
        if member.link.database == database:
            return member.link
    return DroppingLink(database)


def check() -> None:
    """Detect a fork that Python did not notice, and replaced threads; start again and log it once.

    uWSGI forks in C. gevent replaces threads in a worker of Gunicorn that was forked from a preloaded application.
    """
    global _start_thread
    process = os.getpid()
    if process != _process:
        # A lock for this process alone: the parent's may have been held when it forked.
        with _locks_of_children.setdefault(process, threading.RLock()):
            if process != _process:
                _start_in_child(_process_began_at())
                _LOG.warning(
                    "promptctl: this process was forked in C, as uWSGI does, and Python was not notified: "
                    "the client starts again"
                )
    if _thread.start_new_thread is not _start_thread:
        _start_thread = _thread.start_new_thread
        for member in tuple(_members):
            member.threads_replaced()


def _before_fork() -> None:
    for member in tuple(_members):
        member.before_fork()
    _register_with_multiprocessing()


def _after_fork_in_child() -> None:
    _start_in_child(time.perf_counter())


def _start_in_child(forked_at: float) -> None:
    """Start again in a child that was forked at `forked_at` (time.perf_counter)."""
    global _lock, _process
    _lock = threading.RLock()
    for renew in _renewals:
        renew()
    for member in tuple(_members):
        member.in_child(forked_at)
    _process = os.getpid()


def _process_began_at() -> float:
    """Return when this process began, by time.perf_counter: up to 10 ms too early, or 0 if it cannot be determined."""
    try:
        with open("/proc/self/stat", "rb") as file:
            # The name of the program, in parentheses, may contain spaces.
            fields = file.read().rpartition(b")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return 0.0
    return time.perf_counter() - age


def _at_exit() -> None:
    until = time.monotonic() + _EXIT_SECONDS
    members = tuple(_members)
    for member in members:
        member.begin_to_close(until)
    for member in members:
        member.close(0)


def _finalize_with_child(_: object = None) -> None:
    """In a child of multiprocessing, which does not run `atexit` functions, register a finalizer instead."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and sys.modules["multiprocessing.process"].parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


class _Registered:
    """An object that multiprocessing stores a weak reference to."""


_registered: _Registered | None = None


def _register_with_multiprocessing() -> None:
    # A child of multiprocessing first forgets its finalizers, the parent's and those of a fork server's imports.
    global _registered
    util = sys.modules.get("multiprocessing.util")
    if util is not None and _members and _registered is None:
        _registered = _Registered()
        util.register_after_fork(_registered, _finalize_with_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
