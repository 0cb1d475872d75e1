"""What prompts and uses need of their client, as a type, so that modules need not import each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections import deque

    from promptctl.client.fork_page import ForkPage


class Link(Protocol):
    """The client that a prompt came from."""

    # Identifies the database, without a password.
    database: str
    # Uses that have ended.
    queue: deque[Any]
    # Its `queue_limit` is the length of the queue from which `relieve` is called.
    page: ForkPage

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the active versions."""
        ...

    def begin_in_child(self) -> int:
        """Start again in a child process that Python did not fork, and return the queue's limit."""
        ...

    def relieve(self) -> None:
        """Shorten the queue, which has reached its limit."""
        ...

    def score(self, use_id: str, score: float) -> None:
        """Record a score of a use."""
        ...
