"""Counts of dropped uses and scores, which will never be recorded, and a log entry with the last reason."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from promptctl.rules import prompt_fields

if TYPE_CHECKING:
    from promptctl.rules.prompt_fields import Fields

_LOG = logging.getLogger("promptctl")


class Losses:
    """Counts of dropped uses and scores. Any thread may drop some."""

    def __init__(self) -> None:
        self.dropped_uses = 0
        # How many of them were logged.
        self._reported_uses = 0
        self._unreported_scores = 0
        self._reason_for_uses = self._reason_for_scores = ""
        # What the uses have in common that were dropped since the last report; None: none was dropped.
        self._fields: Fields | None = None
        # Reentrant, because a signal handler may drop uses while the interrupted code holds it.
        self._lock = threading.RLock()

    def drop_uses(self, number: int, reason: str, fields: Fields | None = None) -> None:
        """Count dropped uses. `fields` names what they have in common, by which the log record can be found."""
        if number:
            with self._lock:
                self.dropped_uses += number
                self._reason_for_uses = reason
                fields = fields or {}
                self._fields = fields if self._fields is None else prompt_fields.common(self._fields, fields)

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
            fields, self._fields = self._fields, None
        if uses:
            _LOG.warning("promptctl: %d uses were not recorded: %s", uses, self._reason_for_uses, extra=fields)
        if scores:
            _LOG.warning("promptctl: %d scores were not recorded: %s", scores, self._reason_for_scores)
