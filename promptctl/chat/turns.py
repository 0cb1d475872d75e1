"""One turn of a conversation: a message, its reply, and the calls that it took."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from promptctl.claude.api import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from promptctl import errors
    from promptctl.claude.api import Call, Claude
    from promptctl.store.version_texts import ServedVersion

MOST_ATTEMPTS = 3


class Turn:
    """One message and its reply, with one version of the prompt. A call that fails may be retried.

    `attempts` has the calls in order. `is_stopped` is set from outside to stop after the current piece of the reply.
    """

    def __init__(self, claude: Claude, served: ServedVersion, call: Call, report: Callable[[str], None]) -> None:
        self.served = served
        self.call = call
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
    def last(self) -> Attempt:
        """The last call, which has the result of the turn."""
        return self.attempts[-1]

    @property
    def failure(self) -> errors.ClaudeFailed | None:
        """The error of the last call; None if it has not failed or not begun."""
        return self.last.failure if self.attempts else None

    def texts(self) -> Iterator[str]:
        """Send the message and yield the reply piece by piece. Retry a call that fails before its first piece.

        A failure of Claude is not raised but stored in `failure`. KeyboardInterrupt passes through.
        """
        while True:
            attempt = Attempt(self.call)
            self.attempts.append(attempt)
            for text in self._claude.call(attempt):
                self._pieces.append(text)
                yield text
                if self.is_stopped:
                    return
            wait = attempt.retry_after_seconds
            if attempt.failure is None or wait is None or self._pieces or len(self.attempts) >= MOST_ATTEMPTS:
                return
            self._report(f"{attempt.failure.message}; retrying{f' in {wait:g} s' if wait else ''}")
            time.sleep(wait)
            if self.is_stopped:
                return

    def finish(self) -> None:
        """Send the message and read the whole reply, in a thread: an exception is stored in `problem`."""
        try:
            for _ in self.texts():
                pass
        except Exception as problem:  # noqa: BLE001 - raised by the thread that joins
            self.problem = problem


def send_concurrently(turns: Sequence[Turn]) -> None:
    """Send the messages of several turns at the same time and wait for every reply.

    KeyboardInterrupt stops all of them and passes through. Raises the first exception other than a failure of Claude.
    """
    threads = [threading.Thread(target=turn.finish, daemon=True) for turn in turns]
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
