"""Wait for descriptors and for blocking functions of C. Meanwhile Ctrl-C is handled, and other greenlets run."""

from __future__ import annotations

import _thread
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


def ready(descriptors: Sequence[int], seconds: float | None, *, writable: bool = False) -> list[int]:
    """Wait until at least one descriptor is readable, and return the readable ones, or [] after `seconds`.

    With `writable`, a descriptor that is writable counts too. If `seconds` is None, wait without a limit.
    """
    # Unlike select, poll accepts descriptors above 1023, which an application with many open files has. But on macOS it
    # does not accept terminals.
    is_macos = sys.platform == "darwin"
    if not hasattr(select, "poll") or (is_macos and max(descriptors) <= 1023):
        readable, writables, _ = select.select(descriptors, descriptors if writable else [], [], seconds)
        return [descriptor for descriptor in descriptors if descriptor in readable or descriptor in writables]
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | (select.POLLOUT if writable else 0))
    return [descriptor for descriptor, _ in poll.poll(None if seconds is None else round(seconds * 1000))]


def run_interruptibly(call: Callable[[], Any], seconds: float = -1) -> Any:
    """Run a blocking C function in a thread, so that Ctrl-C interrupts the wait. Return its result.

    After `seconds` return None; -1 waits without a limit. An interpreter that exits starts no thread: the function then
    runs in the present thread.
    """
    if are_threads_replaced():
        return run_beside_greenlets(call, seconds)
    running = _thread.allocate_lock()
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        finally:
            running.release()

    running.acquire()
    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:
        return call()
    # Wait until the thread releases the lock.
    running.acquire(True, seconds)
    return result[0] if result else None


def are_threads_replaced() -> bool:
    """Return whether gevent, eventlet or another library has replaced the threads of Python."""
    # Python's function is built in, a replacement is written in Python.
    return type(_thread.start_new_thread) is not type(len)


def run_beside_greenlets(call: Callable[[], Any], seconds: float = -1) -> Any:
    """Run a blocking function in a thread of the operating system, for a program whose threads gevent has replaced.

    Called in a greenlet, the function would block all others. They run while this greenlet waits for the thread.
    `seconds` is that of `run_interruptibly`.
    """
    import sys

    if gevent := sys.modules.get("gevent.monkey"):
        start = gevent.get_original("_thread", "start_new_thread")
    elif eventlet := sys.modules.get("eventlet.patcher"):
        start = eventlet.original("_thread").start_new_thread
    else:  # an unknown library
        return call()
    # The thread ends the wait by closing its end of a pipe.
    read_end, write_end = os.pipe()
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        finally:
            os.close(write_end)

    try:
        try:
            start(run, ())
        except RuntimeError:
            os.close(write_end)
            return call()
        ready([read_end], None if seconds < 0 else seconds)
    finally:
        os.close(read_end)
    return result[0] if result else None
