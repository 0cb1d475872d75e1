"""One turn of a conversation: a message, its reply, and the calls that it took."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from promptctl.claude.api import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from promptctl import errors
    from promptctl.claude.api import Claude, Request
    from promptctl.store.version_texts import ServedVersion

MOST_ATTEMPTS = 3


class Turn:
    """One message and its reply, with one version of the prompt. A call that fails may be retried.

    `attempts` has the calls in order. The caller sets `is_stopped` to stop after the current piece of the reply.
    `problem` is the exception that ended `send_to_end`.
    """

    def __init__(self, claude: Claude, served: ServedVersion, request: Request, report: Callable[[str], None]) -> None:
        self.served = served
        self.request = request
        self.attempts: list[Attempt] = []
        self.is_stopped = False
        self.problem: Exception | None = None
        self._claude = claude
        self._pieces: list[str] = []
        self._report = report

    @property
    def text(self) -> str:
        """The text of the reply so far."""
        return "".join(self._pieces)

    @property
    def last_attempt(self) -> Attempt:
        """The last call, which has the result of the turn."""
        return self.attempts[-1]

    @property
    def failure(self) -> errors.ClaudeFailed | None:
        """The error of the last call; None if no call has begun or the last one has not failed."""
        return self.last_attempt.failure if self.attempts else None

    def send(self) -> Iterator[str]:
        """Send the message and yield the reply piece by piece. Retry a call that fails before its first piece.

        A failure of Claude is not raised; `failure` has it. Raises KeyboardInterrupt.
        """
        while True:
            attempt = Attempt(self.request)
            self.attempts.append(attempt)
            for text in self._claude.call(attempt):
                self._pieces.append(text)
                yield text
                if self.is_stopped:
                    return
            delay = attempt.retry_after_seconds
            if attempt.failure is None or delay is None or self._pieces or len(self.attempts) >= MOST_ATTEMPTS:
                return
            when = f" in {delay:g} s" if delay else ""
            self._report(f"{attempt.failure.message}; retrying{when}")
            time.sleep(delay)
            if self.is_stopped:
                return

    def send_to_end(self) -> None:
        """Send the message and wait for the end of the reply. It runs in a thread, so an exception is stored."""
        try:
            for _ in self.send():
                pass
        except Exception as problem:  # noqa: BLE001 - `send_concurrently` raises it
            self.problem = problem


def send_concurrently(turns: Sequence[Turn]) -> None:
    """Send the messages of several turns at the same time and wait for every reply.

    Failures of Claude are stored in the turns. Raises the first other exception. KeyboardInterrupt stops all turns.
    """
    threads = [threading.Thread(target=turn.send_to_end, daemon=True) for turn in turns]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        for turn in turns:
            turn.is_stopped = True
        raise
    for turn in turns:
        if turn.problem is not None:
            raise turn.problem
