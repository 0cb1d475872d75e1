"""Requests to read prompts: callers add them and wait, and the thread that reads the database answers them."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Request:
    """Names and pinned references that one caller waits for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        # Not an Event, which takes a lock of its own when it begins to wait. A signal handler may interrupt it there
        # and wait for the thread that answers, which would wait for that lock.
        self._answered: queue.SimpleQueue[None] = queue.SimpleQueue()

    def answer(self) -> None:
        """Let the caller continue."""
        self._answered.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait for the answer. Return False if this takes longer than `seconds`."""
        try:
            self._answered.get(timeout=seconds)
        except queue.Empty:
            return False
        return True


class Requests:
    """Requests that are not answered yet. Its lock is reentrant, because a signal handler may close the client."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._requests: list[Request] = []

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request) -> None:
        """Add a request."""
        with self._lock:
            self._requests.append(request)

    def remove(self, request: Request) -> None:
        """Remove a request that no thread will answer."""
        with self._lock:
            self._requests = [other for other in self._requests if other is not request]

    def take(self) -> list[Request]:
        """Remove and return all requests."""
        with self._lock:
            requests, self._requests = self._requests, []
        return requests

    def put_back(self, requests: list[Request]) -> None:
        """Add requests again that were taken and could not be answered."""
        with self._lock:
            self._requests = requests + self._requests
