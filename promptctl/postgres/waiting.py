"""Waiting for sockets, and for calls of C that block: Ctrl-C is handled, and other greenlets run meanwhile."""

from __future__ import annotations

import _thread
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


def ready(descriptors: Sequence[int], seconds: float | None, *, writable: bool = False) -> list[int]:
    """Wait until descriptors can be read, or with `writable` also written, and return these; none after `seconds`."""
    if not hasattr(select, "poll"):
        readable, writables, _ = select.select(descriptors, descriptors if writable else [], [], seconds)
        return [descriptor for descriptor in descriptors if descriptor in readable or descriptor in writables]
    # Unlike select it accepts descriptors from 1024 on, and an application may have many.
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | (select.POLLOUT if writable else 0))
    return [descriptor for descriptor, _ in poll.poll(None if seconds is None else round(seconds * 1000))]


def run_interruptibly(call: Callable[[], Any], seconds: float = -1) -> Any:
    """Run a blocking C function in a thread, so that Ctrl-C interrupts the wait; return None after `seconds`.

    The interpreter starts no thread while it exits: then the function runs in this one.
    """
    if are_threads_replaced():
        return run_beside_greenlets(call, seconds)
    finished = _thread.allocate_lock()
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        finally:
            finished.release()

    finished.acquire()
    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:
        return call()
    finished.acquire(True, seconds)
    return result[0] if result else None


def are_threads_replaced() -> bool:
    """Return whether gevent, eventlet or another library has replaced the threads of Python."""
    return type(_thread.start_new_thread) is not type(len)


def run_beside_greenlets(call: Callable[[], Any], seconds: float = -1) -> Any:
    """Run a blocking function in a thread of the operating system, for a program whose threads gevent has replaced.

    In a greenlet the function would block all others. This greenlet waits in gevent's `select`, so the others run.
    """
    import sys

    if gevent := sys.modules.get("gevent.monkey"):
        start = gevent.get_original("_thread", "start_new_thread")
    elif eventlet := sys.modules.get("eventlet.patcher"):
        start = eventlet.original("_thread").start_new_thread
    else:  # an unknown library
        return call()
    reads, writes = os.pipe()
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        finally:
            os.close(writes)

    try:
        try:
            start(run, ())
        except RuntimeError:
            os.close(writes)
            return call()
        ready([reads], None if seconds < 0 else seconds)
    finally:
        os.close(reads)
    return result[0] if result else None
