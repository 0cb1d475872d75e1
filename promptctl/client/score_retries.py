"""Scores that the database refused because their use is not recorded yet: another process may still send it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptctl.store.uses import ScoreRecord

_RETRY_FOR_SECONDS, _RETRY_EVERY_SECONDS = 60.0, 1.0


class ScoreRetries:
    """Refused scores by the id of their use, which are sent again for a minute."""

    def __init__(self) -> None:
        self._scores: dict[str, ScoreRecord] = {}
        self._refused_since: dict[str, float] = {}
        self._next_at = 0.0

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, score: ScoreRecord, *, is_last_try: bool) -> bool:
        """Store a refused score for a retry; False: it is given up, after a minute or if this `is_last_try`."""
        now = time.monotonic()
        since = self._refused_since.setdefault(score.id, now)
        if is_last_try or now - since > _RETRY_FOR_SECONDS:
            self.forget(score.id)
            return False
        self._scores[score.id] = score
        return True

    def forget(self, use_id: str) -> None:
        """Forget the score of a use, which was stored or given up."""
        self._scores.pop(use_id, None)
        self._refused_since.pop(use_id, None)

    def are_due(self, *, is_last_try: bool) -> bool:
        """Return whether it is time to send the scores again: once a second, and if this `is_last_try`."""
        now = time.monotonic()
        if not self._scores or not (is_last_try or now >= self._next_at):
            return False
        self._next_at = now + _RETRY_EVERY_SECONDS
        return True

    def take(self) -> list[ScoreRecord]:
        """Remove and return all scores."""
        scores = list(self._scores.values())
        self._scores.clear()
        return scores
