"""What a client has in memory: the active versions, their age, and the queue of uses."""

from __future__ import annotations

import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from promptctl.client import process_local, processes
from promptctl.client.state import State

if TYPE_CHECKING:
    from promptctl.client.use import Use

EMPTY = State({}, {})
# A trace asks for the age at which a call began, which may have taken minutes. These are of an hour, if nothing moves.
_MOST_CONFIRMATIONS = 1000


class Memory:
    """The last state that was read, and the queue of uses that have ended.

    The state is stored twice. `state` survives a fork, so a child has what its parent loaded. `process_local` has the
    state from which `get` answers most calls. It is the same state, or EMPTY where a call needs a further check: in a
    child that has not read the database yet, in a closed client, and always if `checks_age`.
    """

    def __init__(self, *, checks_age: bool) -> None:
        self.state = EMPTY
        self.queue: deque[Use] = deque()
        # The times at which the client knew of a confirmation, each with the time of the confirmation.
        self._confirmations = ((now := time.monotonic(), now),)
        self.is_closed = False
        self.process_local = process_local.take()
        weakref.finalize(self, process_local.give_back, self.process_local).atexit = False
        self._checks_age = checks_age
        self._set_process_local(EMPTY)

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the state, or since the client was made if it never did."""
        return max(0.0, time.monotonic() - self._confirmations[-1][1])

    def age_seconds_at(self, at: float) -> float | None:
        """Return what `age_seconds` was at a time (time.monotonic); None if that is too long ago to know."""
        for known_at, confirmed_at in reversed(self._confirmations):
            if known_at <= at:
                return max(0.0, at - confirmed_at)
        return None

    def confirm(self, confirmed_at: float) -> None:
        """Note that the database had confirmed the state at a time (time.monotonic)."""
        earlier = self._confirmations[1 - _MOST_CONFIRMATIONS :]
        self._confirmations = (*earlier, (time.monotonic(), confirmed_at))

    @property
    def process_local_state(self) -> State:
        """The state in `process_local`. In a child that was forked in C, the client starts again first."""
        try:
            return self.process_local.state
        except AttributeError:
            processes.check()
            return getattr(self.process_local, "state", EMPTY)

    def publish(self, state: State) -> None:
        """Replace the state."""
        # `process_local` first, because callers read it first. Otherwise one could read the new state and then the old.
        if not self._checks_age and not self.is_closed:
            self._set_process_local(state)
            if self.is_closed:  # another thread has called `close` meanwhile
                self._set_process_local(EMPTY)
        self.state = state

    def close(self) -> None:
        """Mark the client as closed, and have each call check that."""
        self.is_closed = True
        self._set_process_local(EMPTY)

    def clear_process_local(self) -> None:
        """In a child process: have each call wait until this process's own thread has read the database."""
        self._set_process_local(EMPTY)

    def _set_process_local(self, state: State) -> None:
        # The interpreter does not change threads between the two assignments of the last line. So no caller sees a
        # newer `state` and an older `plain`.
        process_local, plain = self.process_local, state.plain
        process_local.state, process_local.plain = state, plain
