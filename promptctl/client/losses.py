"""Counts of uses and scores that will never be recorded, with the reason, for the log."""

from __future__ import annotations

import logging
import threading

_LOG = logging.getLogger("promptctl")


class Losses:
    """Counts that any thread may increase."""

    def __init__(self) -> None:
        self.dropped_uses = 0
        self._reported_uses = 0
        self._unreported_scores = 0
        self._reason_for_uses = self._reason_for_scores = ""
        # Reentrant, because a signal handler may drop uses where it interrupts this.
        self._lock = threading.RLock()

    def drop_uses(self, number: int, reason: str) -> None:
        """Count dropped uses."""
        if number:
            with self._lock:
                self.dropped_uses += number
                self._reason_for_uses = reason

    def drop_scores(self, number: int, reason: str) -> None:
        """Count dropped scores."""
        if number:
            with self._lock:
                self._unreported_scores += number
                self._reason_for_scores = reason

    def report(self) -> None:
        """Log what was dropped since the last report."""
        with self._lock:
            uses, scores = self.dropped_uses - self._reported_uses, self._unreported_scores
            self._reported_uses, self._unreported_scores = self.dropped_uses, 0
        if uses:
            _LOG.warning("promptctl: %d uses were not recorded: %s", uses, self._reason_for_uses)
        if scores:
            _LOG.warning("promptctl: %d scores were not recorded: %s", scores, self._reason_for_scores)
