"""A link that drops uses: that of a prompt from another process, if this process has no client of the same database."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from promptctl.client import process_local

if TYPE_CHECKING:
    from typing import Any

_LOG = logging.getLogger("promptctl")
_warned_databases: set[str] = set()
# All such links share it. It is never given back.
_process_local = process_local.take()


class DroppingLink:
    """A link that drops uses and scores, and logs one warning for each database."""

    def __init__(self, database_identity: str) -> None:
        self.database_identity = database_identity
        self.queue: deque[Any] = deque(maxlen=1)
        self.process_local = _process_local
        self.restart_in_child()

    @property
    def age_seconds(self) -> float:
        """Infinity, because this process does not read the active versions."""
        return float("inf")

    def age_seconds_at(self, at: float) -> None:
        """Return None, because it is not known."""

    def restart_in_child(self) -> int:
        """Set the wake length to 0, so that each use calls `on_wake_length`."""
        _process_local.wake_length = 0
        return 0

    def on_wake_length(self) -> None:
        """Drop the use that has just ended."""
        self.queue.clear()
        self._warn()

    def score(self, use_id: str, score: float) -> None:  # noqa: ARG002 - the signature of a link
        """Drop a score."""
        self._warn()

    def _warn(self) -> None:
        if self.database_identity not in _warned_databases:
            _warned_databases.add(self.database_identity)
            _LOG.warning(
                "promptctl: uses of a prompt from another process are not recorded: this process has no Prompts "
                "for its database; create one before the prompt is received"
            )
