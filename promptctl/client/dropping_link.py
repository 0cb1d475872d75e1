"""The link of a prompt from another process where this process has no client of its database."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from promptctl.client import fork_page

if TYPE_CHECKING:
    from typing import Any

_LOG = logging.getLogger("promptctl")
_warned_databases: set[str] = set()
# All such links share a page, which is never given back.
_page = fork_page.take()


class DroppingLink:
    """A link that drops uses and scores and logs one warning for each database."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.queue: deque[Any] = deque(maxlen=1)
        self.page = _page
        self.begin_in_child()

    @property
    def age_seconds(self) -> float:
        """Infinite, because this process does not ask the database."""
        return float("inf")

    def begin_in_child(self) -> int:
        """Set the queue's limit so that each use calls `relieve`."""
        _page.queue_limit = 0
        return 0

    def relieve(self) -> None:
        """Drop a use."""
        self.queue.clear()
        self._warn()

    def score(self, use_id: str, score: float) -> None:  # noqa: ARG002 - the signature of a link
        """Drop a score."""
        self._warn()

    def _warn(self) -> None:
        if self.database not in _warned_databases:
            _warned_databases.add(self.database)
            _LOG.warning(
                "promptctl: uses of a prompt from another process are not recorded: this process has no Prompts "
                "for its database; create one before the prompt is received"
            )
