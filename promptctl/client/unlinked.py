"""What a prompt from another process has where this one has no client: its uses cannot be recorded, which is logged."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from promptctl.client import fork_page

if TYPE_CHECKING:
    from promptctl.client.use import Use

_LOG = logging.getLogger("promptctl")
_warned: set[str] = set()
# Never given back: all of them share it.
_page = fork_page.take()


class Unlinked:
    """The link of a prompt to a database that no client in this process is of."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.queue: deque[Use] = deque(maxlen=1)
        self.page = _page
        self.begin_in_child()

    @property
    def age_seconds(self) -> float:
        """How long ago the database confirmed what is served: nobody asks it here."""
        return float("inf")

    def begin_in_child(self) -> int:
        """Have every use looked at."""
        _page.queue_limit = 0
        return 0

    def relieve(self) -> None:
        """Drop a use."""
        self.queue.clear()
        self._warn()

    def score(self, use_id: str, score: float) -> None:  # noqa: ARG002 - as a client's
        """Drop a score."""
        self._warn()

    def _warn(self) -> None:
        if self.database not in _warned:
            _warned.add(self.database)
            _LOG.warning(
                "promptctl: uses of a prompt that came from another process are not recorded: "
                "this process has no Prompts of its database; make one before the prompt is received"
            )
