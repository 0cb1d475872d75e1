"""Attributes that belong to one process: in a forked child they are unset, even if Python did not notice the fork.

So `get` and a use detect a fork without a check of their own: reading an unset attribute raises AttributeError.
`os.register_at_fork` is not enough, because it does nothing where a program forks in C, as uWSGI does. Comparing
`os.getpid()` in each `get` would take as long as the rest of `get`.

Linux can fill a page of memory with zeros in a child (MADV_WIPEONFORK). An object with slots stores its attributes
inside itself, and a slot that is zero is unset. So the object is made larger than a page of memory, and the attributes
are in the middle of it, on the page that is wiped.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from promptctl.rules.use_ids import UseIds

_MADV_WIPEONFORK = 18
# At least what an object has before its first slot.
_HEADER_BYTES = 64
_SLOT_BYTES = 8
# A page of 64 kB would need 16 000 slots.
_LARGEST_PAGE_BYTES = 16384


def padding_slots() -> int:
    """Return the number of unused slots on each side of the used ones, or 0 if this system cannot wipe a page."""
    if sys.platform != "linux" or sys.implementation.name != "cpython" or mmap.PAGESIZE > _LARGEST_PAGE_BYTES:
        return 0
    return (mmap.PAGESIZE + _HEADER_BYTES) // _SLOT_BYTES


_ATTRIBUTES = ("ids", "plain", "state", "wake_length")


class ProcessLocal:
    """An object whose attributes are unset in a child process, until the child sets them.

    On a system that cannot wipe a page, a child inherits the parent's values.
    """

    # Python sorts slots by name. The unused slots begin with "a" and "z", so the attributes are in the middle.
    __slots__ = (
        *(f"a{number}" for number in range(padding_slots())),
        *_ATTRIBUTES,
        *(f"z{number}" for number in range(padding_slots())),
    )
    ids: UseIds
    # Their types are Mapping[str, Prompt] and State. The modules of these classes import this one.
    plain: Mapping[str, Any]
    state: Any
    wake_length: int


# Instances are never freed, because the allocator would reuse their memory for objects that must not be wiped.
all_instances: list[ProcessLocal] = []
free_instances: list[ProcessLocal] = []


def take() -> ProcessLocal:
    """Return an instance that no client uses."""
    try:
        return free_instances.pop()
    except IndexError:
        pass
    instance = ProcessLocal()
    all_instances.append(instance)
    if padding_slots():
        # The first and the last boundary of pages within the object. In CPython, `id` is the object's address.
        size = mmap.PAGESIZE
        start = (id(instance) + _HEADER_BYTES + size - 1) // size * size
        end = (id(instance) + ProcessLocal.__basicsize__) // size * size
        # Kernels before 4.14 refuse this. Then a fork in C is not detected.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_WIPEONFORK)
    return instance


def give_back(instance: ProcessLocal) -> None:
    """Make an instance available to the next client."""
    for name in _ATTRIBUTES:
        if hasattr(instance, name):
            delattr(instance, name)
    free_instances.append(instance)
