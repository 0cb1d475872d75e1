"""The thread that sends uses and scores in batches, and retries while they cannot be sent.

It works in turns: in each turn it sends the whole backlog. Between two turns it waits for `flush_seconds`, or until it
is woken if there is nothing to send.
"""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from promptctl.client import processes
from promptctl.client.backlog import Backlog
from promptctl.client.delivery import Delivery
from promptctl.client.use_counts import UseCounts

if TYPE_CHECKING:
    from promptctl.client.memory import Memory
    from promptctl.client.spool import Spool
    from promptctl.postgres.settings import Target

# After a failure. Each pause is twice as long as the one before.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
# Not 0: uses that end at almost the same time are still sent as one batch.
_FLUSH_SECONDS_AFTER_SIGTERM = 0.02
# The thread wakes this often when there is nothing to send. A turn then closes a connection that was not used.
_IDLE_SECONDS = 30.0
# Reasons to wake the thread: the first use after a pause; a full batch; a caller that waits, or the end.
_FIRST_USE, _FULL_BATCH, _SEND_NOW = "first use", "full batch", "send now"


class Recorder:
    """The link through which a client's prompts record uses and scores, and the thread that sends them."""

    def __init__(
        self,
        target: Target,
        database_identity: str,
        memory: Memory,
        *,
        connect_seconds: float,
        flush_seconds: float,
        queue_size: int,
        spool: Spool | None,
    ) -> None:
        """`database_identity` has no password. A prompt that another process has sent finds its client by it."""
        self.database_identity = database_identity
        self._memory = memory
        # Each use reads these two, and a lookup through `_memory` would take longer.
        self.process_local = memory.process_local
        self.queue = memory.queue
        self._backlog = Backlog(memory.queue, queue_size, spool)
        self._delivery = Delivery(target, self._backlog, connect_seconds=connect_seconds)
        self._batch_size = self._backlog.batch_size
        self._flush_seconds = flush_seconds
        self._reset()

    def _reset(self) -> None:
        """Start again, as in a process that has recorded nothing: the first use starts the thread."""
        self.process_local.wake_length = 0
        self._is_idle = False
        # For starting and stopping the thread. Reentrant, because a signal handler may do either while it is held.
        self._lock = threading.RLock()
        # Held during a turn. It is another lock, because a signal handler may interrupt `start`, which holds `_lock`,
        # and wait for a turn.
        self._turn_lock = threading.RLock()
        # One queue for each caller of `flush`, which receives None at the end of the next turn. Unlike a Condition, it
        # has no lock that a signal handler could find held.
        self._waiters: deque[queue.SimpleQueue[None]] = deque()
        # The reasons for which the thread was woken.
        self._wake_reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Whether the thread was woken for a full batch since the last turn.
        self._batch_is_announced = False
        self._thread: threading.Thread | None = None
        self._has_reported_end = False

    def reset_in_child(self, forked_at: float) -> None:
        """In a child that was forked at `forked_at` (time.perf_counter): forget the backlog, which the parent sends."""
        self._delivery.reset_in_child()
        self._backlog.reset_in_child(forked_at)
        self._reset()

    def restart_in_child(self) -> int:
        """Start again in a child process that Python did not fork, and return the wake length."""
        processes.check()
        # `check` does not restart a closed client. With 0, each of its uses calls `on_wake_length`, which drops it.
        return getattr(self.process_local, "wake_length", 0)

    def recreate_locks(self) -> bool:
        """Recreate the locks after a library such as gevent replaced `threading`. Return False if a thread has them."""
        if self._thread is not None:
            return False
        if not self._delivery.is_stopping:
            self._delivery.reset()
            self._reset()
        return True

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the active versions."""
        return self._memory.age_seconds

    def age_seconds_at(self, at: float) -> float | None:
        """Return what `age_seconds` was at a time (time.monotonic); None if that is too long ago to know."""
        return self._memory.age_seconds_at(at)

    @property
    def is_down(self) -> bool:
        """Whether the last attempt to send failed."""
        return self._delivery.failure is not None

    @property
    def use_counts(self) -> UseCounts | None:
        """The counts of this process's uses since `count_uses` was called, None before."""
        return self._backlog.counts

    def count_uses(self) -> None:
        """Count uses from now on, for metrics."""
        if self._backlog.counts is None:
            self._backlog.counts = UseCounts()

    @property
    def waiting_items(self) -> int:
        """The number of uses and scores in memory that may not be stored yet."""
        return len(self._backlog)

    @property
    def dropped_uses(self) -> int:
        """The number of uses that will never be recorded."""
        return self._backlog.losses.dropped_uses

    def on_wake_length(self) -> None:
        """Start or wake the thread, which sends a full batch at once. Move uses out of a queue that is full."""
        processes.check()
        if self._delivery.has_ended:
            self._drop_after_end()
            return
        self.start()
        self._wake()
        if len(self.queue) >= self._batch_size and not self._batch_is_announced:
            self._batch_is_announced = True
            self._wake_reasons.put(_FULL_BATCH)
        self._backlog.shorten_queue()

    def score(self, use_id: str, score: float) -> None:
        """Add a score, which is sent after the uses that ended before it."""
        processes.check()
        self._backlog.add_score(use_id, score)
        if self._delivery.has_ended:
            self._drop_after_end()
        else:
            self.start()
            self._wake()

    def _drop_after_end(self) -> None:
        self._backlog.drop_all("the client is closed")
        if not self._has_reported_end:
            self._has_reported_end = True
            self._backlog.losses.report()

    def start(self) -> None:
        """Start the thread unless it is running."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._delivery.is_stopping:
                thread = threading.Thread(target=self._run, name="promptctl-recorder", daemon=True)
                self._thread, self.process_local.wake_length = thread, self._batch_size
                try:
                    thread.start()
                except BaseException as failure:
                    if thread.ident is None:
                        self._thread, self.process_local.wake_length = None, 0
                    # RuntimeError: the system has no thread left, or the interpreter is ending. `stop` then sends the
                    # backlog.
                    if not isinstance(failure, RuntimeError):
                        raise

    def flush(self, seconds: float) -> bool:
        """Send everything so far. Return False if this takes longer, or the database cannot be reached."""
        until = time.monotonic() + seconds
        self.start()
        turn_ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        while not self._backlog.is_empty:
            left = until - time.monotonic()
            if left <= 0 or self._delivery.has_ended:
                return False
            self._waiters.append(turn_ended)
            self._wake_reasons.put(_SEND_NOW)
            with contextlib.suppress(queue.Empty):
                turn_ended.get(timeout=min(left, 0.1))
                return not self.is_down
        return True

    def flush_or_spool(self, seconds: float) -> None:
        """Send everything so far, as `flush` does, then move what was not sent into the spool."""
        if not self.flush(seconds):
            self._backlog.move_to_spool()

    def send_without_delay(self) -> None:
        """Send uses at once from now on, because the process will end soon. Takes no lock, for signal handlers."""
        self._flush_seconds = min(self._flush_seconds, _FLUSH_SECONDS_AFTER_SIGTERM)
        self._wake_reasons.put(_SEND_NOW)

    def stop(self, until: float) -> None:
        """Have the thread end: it sends until `until` (time.monotonic), then moves the rest into the spool."""
        with self._lock:
            if self._delivery.is_stopping:
                return
            self._delivery.stop(until)
            # From now on each use calls `on_wake_length`.
            self.process_local.wake_length = 0
            thread = self._thread
        self._wake_reasons.put(_SEND_NOW)
        # Send here if no thread runs, or if this is a signal handler that interrupted the start of the thread.
        if (thread is None or not thread.is_alive()) and not self._backlog.is_empty:
            self._end()

    def join(self) -> None:
        """Wait until the thread has ended, then end the delivery. Leave a thread that a hanging server blocks."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join(max(0.0, self._delivery.stops_at + 0.5 - time.monotonic()))
        self._delivery.end()

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._delivery.is_stopping:
            if self._wait_for_use() != _SEND_NOW:
                self._sleep(self._flush_seconds)
            with self._turn_lock:
                self._turn()
            if not self.is_down:
                pause = _FIRST_PAUSE_SECONDS
            else:
                self._pause_after_failure(pause * random.uniform(0.5, 1))  # noqa: S311 - not a secret
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self._end()

    def _turn(self) -> None:
        """Send the backlog, and notify the callers that wait for it."""
        self._batch_is_announced = False
        with contextlib.suppress(queue.Empty):
            while True:
                self._wake_reasons.get_nowait()
        # Not those that begin to wait during the turn: it may not send their uses.
        waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
        was_down = self.is_down
        self._delivery.take_turn()
        if self.is_down:
            # While the database is down, a use wakes the thread only when the queue is long enough to be spooled.
            self._set_wake_length(self._backlog.spooling_length)
        elif was_down:
            self._set_wake_length(self._batch_size)
        for turn_ended in waiters:
            turn_ended.put(None)

    def _end(self) -> None:
        with self._turn_lock:
            self._turn()
            if not self.is_down and not self._backlog.is_empty:
                # For uses that ended during the first turn.
                self._turn()
            self._delivery.end()
            self._delivery.disconnect()
        # For a thread that was being started when `stop` called this: `_turn` has removed the reason that woke it.
        self._wake_reasons.put(_SEND_NOW)

    def _wait_for_use(self) -> str:
        """Sleep while there is nothing to send. Return the reason for which the thread goes on.

        While the thread sleeps, the wake length is 1. So a process that only reads prompts is hardly ever woken, and
        the next use wakes the thread.
        """
        if self._delivery.is_stopping or self._delivery.has_work:
            return _FULL_BATCH
        self._is_idle = True
        self._set_wake_length(1)
        reason = _FIRST_USE
        # Check again: a use that ended before the wake length was set has not woken the thread.
        if not self._delivery.has_work and not self._delivery.is_stopping:
            with contextlib.suppress(queue.Empty):
                reason = self._wake_reasons.get(timeout=_IDLE_SECONDS)
        self._leave_idle()
        return reason

    def _wake(self) -> None:
        if self._is_idle:
            # Put the reason last. If the thread woke earlier, it could be idle again before `_leave_idle` runs, and the
            # next use would not wake it. In `finally`, because a signal handler may raise an exception.
            try:
                self._leave_idle()
            finally:
                self._wake_reasons.put(_FIRST_USE)

    def _leave_idle(self) -> None:
        if self._is_idle:
            self._set_wake_length(self._batch_size)
            self._is_idle = False

    def _set_wake_length(self, length: int) -> None:
        # Without a lock, because a signal handler may call this while the interrupted code holds it. So `stop` may run
        # between the two statements, and its 0 must not be overwritten.
        self.process_local.wake_length = length
        if self._delivery.is_stopping:
            self.process_local.wake_length = 0

    def _sleep(self, seconds: float) -> None:
        """Wait until the time has passed, a batch is full, a caller waits, or the end begins."""
        until = time.monotonic() + seconds
        while not self._delivery.is_stopping and (left := until - time.monotonic()) > 0:
            try:
                if self._wake_reasons.get(timeout=left) in (_FULL_BATCH, _SEND_NOW):
                    return
            except queue.Empty:
                return

    def _pause_after_failure(self, seconds: float) -> None:
        """Wait until the time has passed, a caller waits, or the end begins. Meanwhile move uses into the spool."""
        until = time.monotonic() + seconds
        while not self._delivery.is_stopping and (left := until - time.monotonic()) > 0:
            try:
                reason = self._wake_reasons.get(timeout=left)
            except queue.Empty:
                return
            if reason == _SEND_NOW:
                return
            spool = self._backlog.spool
            if reason == _FULL_BATCH and spool is not None and spool.has_room:
                self._backlog.shorten_in_outage()
                self._batch_is_announced = False
