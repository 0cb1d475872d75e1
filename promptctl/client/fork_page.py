"""Attributes that are gone in a child process, however it was forked.

`os.register_at_fork` is not called where a program forks in C, as uWSGI does, and to ask for the process id at every
`get` would take as long as all the rest of it. Linux can wipe a page of memory in a child (MADV_WIPEONFORK). An object
with slots keeps its attributes inside of itself, and a slot that holds zero is an AttributeError: so an object that is
larger than a page, and has the slots that matter in one that is wiped, tells of a fork without being asked.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptctl.client.prompt import Prompt
    from promptctl.client.serving import State

_WIPE_ON_FORK = 18
_HEADER_BYTES = 64
_SLOT_BYTES = 8
# With pages of 64 kB there would be 16 000 slots.
_LARGEST_PAGE = 16384


def padding() -> int:
    """Return how many unused slots have to stand on each side of those that are used; 0: no page can be wiped here."""
    if sys.platform != "linux" or sys.implementation.name != "cpython" or mmap.PAGESIZE > _LARGEST_PAGE:
        return 0
    return (mmap.PAGESIZE + _HEADER_BYTES) // _SLOT_BYTES


class ForkPage:
    """Attributes of this process alone: to read one in a child, before it was set there, raises AttributeError.

    Where the system cannot do that a child sees what the parent has set.
    """

    # Python sorts slots by name: these stand in the middle.
    __slots__ = (
        *(f"a{number}" for number in range(padding())),
        *("live", "plain", "process", "queue_limit"),
        *(f"z{number}" for number in range(padding())),
    )
    live: State
    plain: dict[str, Prompt]
    process: Any
    queue_limit: int


_NAMES = ("live", "plain", "process", "queue_limit")
# Never freed, because what the allocator makes of their memory next must not be wiped.
all_pages: list[ForkPage] = []
free_pages: list[ForkPage] = []


def take() -> ForkPage:
    """Return a page that nobody uses."""
    try:
        return free_pages.pop()
    except IndexError:
        pass
    page = ForkPage()
    all_pages.append(page)
    if padding():
        size = mmap.PAGESIZE
        start = (id(page) + _HEADER_BYTES + size - 1) // size * size
        end = (id(page) + ForkPage.__basicsize__) // size * size
        # An older kernel refuses it.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _WIPE_ON_FORK)
    return page


def give_back(page: ForkPage) -> None:
    """Let another client have a page."""
    for name in _NAMES:
        if hasattr(page, name):
            delattr(page, name)
    free_pages.append(page)
