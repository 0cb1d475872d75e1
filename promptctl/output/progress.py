"""Show the progress of a long operation on a terminal: one line on standard error that is overwritten and erased."""

from __future__ import annotations

import sys
import time

from promptctl.output import stream

# Operations that end sooner show no progress.
_DELAY_SECONDS = 0.5
_FEW = 100
_INTERVAL_SECONDS = 0.1


class Progress:
    """Shows `storing 3400 of 10000`, only on a terminal and only for operations that take long."""

    def __init__(self, *, is_visible: bool = True) -> None:
        self._is_shown = is_visible and stream.is_terminal(sys.stderr)
        self._next = 0.0
        self._is_visible = False

    def __call__(self, operation: str, count: int, total: int) -> None:
        """Show that `count` of `total` items are done; `total` is 0 if it is not known."""
        if not self._is_shown or max(count, total) < _FEW or (now := time.monotonic()) < self._next:
            return
        if not self._next:
            self._next = now + _DELAY_SECONDS
            return
        self._next = now + _INTERVAL_SECONDS
        self._write(f"\r{operation} {count}" + (f" of {total}" if total else "") + "\x1b[K")
        self._is_visible = True

    def close(self) -> None:
        """Erase the line."""
        if self._is_visible:
            self._write("\r\x1b[K")
            self._is_visible = False

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._is_shown = False
