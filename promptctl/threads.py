"""Start threads where the system may allow no further one, as in a container with a limit of processes."""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def start(work: Callable[[], object]) -> bool:
    """Run a function in a new thread. Return whether the system allows one: else the function is not called."""
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        return False
    return True


def run_all(works: Sequence[Callable[[], object]]) -> None:
    """Run functions beside each other, and wait for all of them. They must not raise an Exception.

    Those for which the system allows no further thread run in the present one, one after the other.
    """
    import threading

    threads: list[threading.Thread] = []
    remaining: list[Callable[[], object]] = []
    for work in works:
        thread = threading.Thread(target=work, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            remaining.append(work)
        else:
            threads.append(thread)
    for work in remaining:
        work()
    for thread in threads:
        thread.join()
