"""A register of the clients of this process. It calls them when the process forks and when it ends."""

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
# At exit, all clients together may send their uses for this long.
_EXIT_SECONDS = 5.0


class Member(Record):
    """The callbacks of a client.

    `after_fork_in_child` receives the time of the fork (time.perf_counter). `begin_to_close` receives the time until
    which uses are sent (time.monotonic). At exit, all clients begin to close before the first `close` waits.
    """

    before_fork: Callable[[], None]
    after_fork_in_child: Callable[[float], None]
    after_threads_were_replaced: Callable[[], None]
    begin_to_close: Callable[[float], None]
    close: Callable[[float], None]
    link: Link


# Clients that are not closed. This keeps them alive, so that their uses are sent at exit.
_members: list[Member] = []
# Functions of modules that have state which a child must not share with its parent, such as a random generator.
_renewals: list[Callable[[], object]] = []
# Held while `_members` changes. Reentrant, because a signal handler may close a client while another is being added.
_lock = threading.RLock()
# The process in which the clients last started. If `os.getpid()` differs, the process was forked in C.
_process_id = os.getpid()
# By process id. Held while a process that was forked in C starts its clients again.
_locks_of_children: dict[int, threading.RLock] = {}
# gevent and eventlet replace this function. If it differs, threads were replaced.
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


def link_of(database_identity: str) -> Link:
    """Return the link of this process's newest client for a database, for a prompt from another process.

    Without such a client, return a link that drops uses.
    """
    for member in reversed(_members):
        if member.link.database_identity == database_identity:
            return member.link
    return DroppingLink(database_identity)


def check() -> None:
    """Start the clients again if Python was not notified of a fork. Recreate their locks if threads were replaced.

    uWSGI forks in C. gevent replaces threads in a worker of Gunicorn that was forked from a preloaded application.
    """
    global _start_thread
    process_id = os.getpid()
    if process_id != _process_id:
        # Not `_lock`: a thread of the parent may have held it at the fork, and the child's copy is then never released.
        with _locks_of_children.setdefault(process_id, threading.RLock()):
            if process_id != _process_id:
                _start_in_child(_process_began_at())
                _LOG.warning(
                    "promptctl: this process was forked in C, as uWSGI does, and Python was not notified: "
                    "the client starts again"
                )
    if _thread.start_new_thread is not _start_thread:
        _start_thread = _thread.start_new_thread
        for member in tuple(_members):
            member.after_threads_were_replaced()


def _before_fork() -> None:
    for member in tuple(_members):
        member.before_fork()
    _register_with_multiprocessing()


def _after_fork_in_child() -> None:
    _start_in_child(time.perf_counter())


def _start_in_child(forked_at: float) -> None:
    """Start the clients again in a child that was forked at `forked_at` (time.perf_counter)."""
    global _lock, _process_id
    _lock = threading.RLock()
    for renew in _renewals:
        renew()
    for member in tuple(_members):
        member.after_fork_in_child(forked_at)
    # Last, because another thread that calls `check` does not wait any more from then on.
    _process_id = os.getpid()


def _process_began_at() -> float:
    """Return when this process began (time.perf_counter).

    The time may be up to 10 ms too early. It is 0 if the system does not report it.
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            # Skip the process id and the name of the program, in parentheses, which may contain spaces.
            fields = file.read().rpartition(b")")[2].split()
        # Field 22 of the file, in clock ticks since the system was booted.
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
        # 0 does not shorten this: the time until which uses are sent is set.
        member.close(0)


def _finalize_with_child(_: object = None) -> None:
    """In a child of multiprocessing, have `_at_exit` called at its end. Such a child runs no `atexit` functions."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and sys.modules["multiprocessing.process"].parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


class _AfterForkKey:
    """A key for `register_after_fork` of multiprocessing, which needs an object that can have weak references."""


_after_fork_key: _AfterForkKey | None = None


def _register_with_multiprocessing() -> None:
    """Have each child of multiprocessing call `_finalize_with_child` after it has cleared its finalizers.

    It clears those that it inherited, from its parent or from the imports of a fork server.
    """
    global _after_fork_key
    util = sys.modules.get("multiprocessing.util")
    if util is not None and _members and _after_fork_key is None:
        _after_fork_key = _AfterForkKey()
        util.register_after_fork(_after_fork_key, _finalize_with_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
