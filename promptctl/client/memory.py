"""What a client holds in memory, with one owner: the active versions, their age, and the queue of uses."""

from __future__ import annotations

import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from promptctl.client import fork_page, processes
from promptctl.client.state import State

if TYPE_CHECKING:
    from promptctl.client.use import Use

EMPTY = State({}, {})


class Memory:
    """The last state that was read, a page of memory from which most calls are answered, and the uses that have ended.

    `state` survives a fork, so that a child has what its parent loaded. The page has the same state, and a fork wipes
    it. It is empty where a call must look further: in a new child, in a closed client, and always when the age has to
    be checked.
    """

    def __init__(self, *, checks_age: bool) -> None:
        self.state = EMPTY
        self.queue: deque[Use] = deque()
        self.confirmed_at = time.monotonic()
        self.is_closed = False
        self.page = fork_page.take()
        weakref.finalize(self, fork_page.give_back, self.page).atexit = False
        self._checks_age = checks_age
        self._fill_page(EMPTY)

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the state, or since the client was made if it never did."""
        return max(0.0, time.monotonic() - self.confirmed_at)

    @property
    def page_state(self) -> State:
        """The state of the page. In a process that was forked without Python's hooks, the client restarts first."""
        try:
            return self.page.state
        except AttributeError:
            processes.check()
            return getattr(self.page, "state", EMPTY)

    def publish(self, state: State) -> None:
        """Replace the state."""
        # Update the page before `state`: callers read it first, so none sees the new state and then the old one.
        if not self._checks_age and not self.is_closed:
            self._fill_page(state)
            if self.is_closed:
                self._fill_page(EMPTY)
        self.state = state

    def close(self) -> None:
        """Empty the page, so that each call finds that the client is closed."""
        self.is_closed = True
        self._fill_page(EMPTY)

    def forked(self) -> None:
        """In a child process: empty the page until this process's own thread has read the database."""
        self._fill_page(EMPTY)

    def _fill_page(self, state: State) -> None:
        # No thread runs between the two assignments, so no caller sees a newer `state` and an older `plain`.
        page, plain = self.page, state.plain
        page.state, page.plain = state, plain
