"""Counts of dropped uses and scores, which will never be recorded, and a log entry with the last reason."""

from __future__ import annotations

import logging
import threading

_LOG = logging.getLogger("promptctl")


class Losses:
    """Counts of dropped uses and scores. Any thread may drop some."""

    def __init__(self) -> None:
        self.dropped_uses = 0
        # How many of them were logged.
        self._reported_uses = 0
        self._unreported_scores = 0
        self._reason_for_uses = self._reason_for_scores = ""
        # Reentrant, because a signal handler may drop uses while the interrupted code holds it.
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
        """Log how many uses and scores were dropped since the last report, and the last reason for each."""
        with self._lock:
            uses, scores = self.dropped_uses - self._reported_uses, self._unreported_scores
            self._reported_uses, self._unreported_scores = self.dropped_uses, 0
        if uses:
            _LOG.warning("promptctl: %d uses were not recorded: %s", uses, self._reason_for_uses)
        if scores:
            _LOG.warning("promptctl: %d scores were not recorded: %s", scores, self._reason_for_scores)
