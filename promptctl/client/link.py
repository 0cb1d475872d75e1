"""The interface of a client that its prompts and uses need.

It is a type of its own, because the modules of clients import those of prompts, and an import cycle is not possible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections import deque

    from promptctl.client.process_local import ProcessLocal


class Link(Protocol):
    """What records the uses and scores of a prompt: a client's Recorder, or a DroppingLink."""

    # The same for every login of a database. It has no password.
    database_identity: str
    # The uses that have ended. Each use appends itself.
    queue: deque[Any]
    # Has `wake_length`: a use that makes the queue at least this long calls `on_wake_length`. It is 0 where each use
    # has to call it, for example before the recorder's thread was started.
    process_local: ProcessLocal

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the active versions."""
        ...

    def age_seconds_at(self, at: float) -> float | None:
        """Return what `age_seconds` was at a time (time.monotonic); None if that is too long ago to know."""
        ...

    def restart_in_child(self) -> int:
        """Start again in a child process that Python did not fork, and return the wake length."""
        ...

    def on_wake_length(self) -> None:
        """Have the queue sent or shortened, because it has reached the wake length."""
        ...

    def score(self, use_id: str, score: float) -> None:
        """Record a score of a use."""
        ...
