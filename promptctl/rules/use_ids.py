"""Ids of uses: UUIDs of version 7 (RFC 9562), which sort by the time at which a use began."""

from __future__ import annotations

import itertools
import os
import time


class UseIds:
    """Ids for the uses of one process.

    An id has 48 bits of milliseconds since 1970, 42 random bits that stay the same in a process, and a 32-bit counter.
    """

    def __init__(self) -> None:
        # `next` on a count is atomic, so threads and signal handlers need no lock.
        self.next_number = itertools.count(1).__next__
        random_bits = int.from_bytes(os.urandom(6), "big") >> 6
        # The version (7) and 12 random bits, then the variant (binary 10) and the other 30 random bits.
        constant = f"{7 << 12 | random_bits >> 30:04x}{2 << 30 | random_bits & 0x3FFFFFFF:08x}"
        self._middle = f"-{constant[:4]}-{constant[4:8]}-{constant[8:]}"
        # The time at which `time.perf_counter` was 0, in milliseconds since 1970.
        self._epoch_ms = (time.time() - time.perf_counter()) * 1000

    def id(self, began: float, number: int) -> str:
        """Return the id of a use that began at `began` (time.perf_counter) and has this number."""
        ms = int(self._epoch_ms + began * 1000) & 0xFFFFFFFFFFFF
        # An f-string takes longer.
        return "%08x-%04x%s%08x" % (ms >> 16, ms & 0xFFFF, self._middle, number & 0xFFFFFFFF)  # noqa: UP031

    def new(self, began: float) -> str:
        """Return a new id for a use that began at `began` (time.perf_counter)."""
        return self.id(began, self.next_number())
