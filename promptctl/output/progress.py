"""Show the progress of a long operation on a terminal: one line on standard error that is overwritten and erased."""

from __future__ import annotations

import sys
import time

from promptctl.output import stream

# A shorter operation, or one with fewer items, shows no progress.
_DELAY_SECONDS = 0.5
_LEAST_ITEMS = 100
_INTERVAL_SECONDS = 0.1


class Progress:
    """Shows `storing 3400 of 10000`, only on a terminal and only for operations that take long.

    `unit` follows the numbers, for example `MB`. Without a unit they count items.
    """

    def __init__(self, *, is_enabled: bool = True, unit: str = "") -> None:
        self._unit = f" {unit}" if unit else ""
        self._least = 1 if unit else _LEAST_ITEMS
        self._is_enabled = is_enabled and stream.is_terminal(sys.stderr)
        self._next_update = 0.0
        self._is_on_screen = False

    def __call__(self, operation: str, count: int, total: int) -> None:
        """Show that `count` of `total` items are done; `total` is 0 if it is not known."""
        if not self._is_enabled or max(count, total) < self._least or (now := time.monotonic()) < self._next_update:
            return
        if not self._next_update:  # the first call
            self._next_update = now + _DELAY_SECONDS
            return
        self._next_update = now + _INTERVAL_SECONDS
        self._write(f"\r{operation} {count}" + (f" of {total}" if total else "") + self._unit + "\x1b[K")
        self._is_on_screen = True

    def close(self) -> None:
        """Erase the line."""
        if self._is_on_screen:
            self._write("\r\x1b[K")
            self._is_on_screen = False

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._is_enabled = False
