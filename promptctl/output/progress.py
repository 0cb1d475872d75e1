"""How far something long has come, on a terminal: one line on standard error that is written over, then gone."""

from __future__ import annotations

import sys
import time

from promptctl.output import stream

# What is over before anybody wonders needs no progress.
_PATIENCE_SECONDS = 0.5
_FEW = 100
_INTERVAL_SECONDS = 0.1


class Progress:
    """Shows `storing 3400 of 10000`; says nothing into a pipe, and nothing of what does not take long."""

    def __init__(self, *, shown: bool = True) -> None:
        self._is_shown = shown and stream.is_terminal(sys.stderr)
        self._next = 0.0
        self._is_there = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say that `done` of `total` are done; `total` 0: nobody knows."""
        if not self._is_shown or max(done, total) < _FEW or (now := time.monotonic()) < self._next:
            return
        if not self._next:
            self._next = now + _PATIENCE_SECONDS
            return
        self._next = now + _INTERVAL_SECONDS
        self._write(f"\r{what} {done}" + (f" of {total}" if total else "") + "\x1b[K")
        self._is_there = True

    def close(self) -> None:
        """Take the line away."""
        if self._is_there:
            self._write("\r\x1b[K")
            self._is_there = False

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._is_shown = False
