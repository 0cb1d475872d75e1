"""Attributes that are unset in a child process, even one that Python did not fork.

`os.register_at_fork` is not called where a program forks in C, as uWSGI does, and a call of `getpid` in each `get`
would take as long as the rest of it. Linux can wipe a page of memory in a child (MADV_WIPEONFORK). An object with slots
stores its attributes inside itself, and reading a slot that holds zero raises AttributeError. So an object that is
larger than a page, with the important slots in its middle, detects a fork at no cost.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from promptctl.rules.use_ids import UseIds

_WIPE_ON_FORK = 18
_HEADER_BYTES = 64
_SLOT_BYTES = 8
# A page of 64 kB would need 16 000 slots.
_LARGEST_PAGE = 16384


def padding() -> int:
    """Return the number of unused slots on each side of the used ones; 0: this system cannot wipe a page."""
    if sys.platform != "linux" or sys.implementation.name != "cpython" or mmap.PAGESIZE > _LARGEST_PAGE:
        return 0
    return (mmap.PAGESIZE + _HEADER_BYTES) // _SLOT_BYTES


class ForkPage:
    """Attributes of one process: reading one in a child, before it is set there, raises AttributeError.

    On a system that cannot wipe a page, a child inherits the parent's values.
    """

    # Python sorts slots by name, so these are in the middle.
    __slots__ = (
        *(f"a{number}" for number in range(padding())),
        *("ids", "plain", "queue_limit", "state"),
        *(f"z{number}" for number in range(padding())),
    )
    ids: UseIds
    # The prompts of promptctl.client.prompt and the State of promptctl.client.state, which import this module.
    plain: Mapping[str, Any]
    state: Any
    queue_limit: int


_NAMES = ("ids", "plain", "queue_limit", "state")
# Pages are never freed, because the allocator would reuse their memory for objects that must not be wiped.
all_pages: list[ForkPage] = []
free_pages: list[ForkPage] = []


def take() -> ForkPage:
    """Return a page that is not in use."""
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
        # Kernels before 4.14 refuse it, and then a fork in C is not detected.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _WIPE_ON_FORK)
    return page


def give_back(page: ForkPage) -> None:
    """Make a page available to the next client."""
    for name in _NAMES:
        if hasattr(page, name):
            delattr(page, name)
    free_pages.append(page)
