"""The thread that sends uses in batches and retries while they cannot be sent."""

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

if TYPE_CHECKING:
    from promptctl.client.memory import Memory
    from promptctl.client.spool import Spool
    from promptctl.postgres.settings import Target

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
# How soon uses are sent once the process was asked to end.
_HURRIED_SECONDS = 0.02
_IDLE_SECONDS = 30.0
# Reasons to wake the thread: the first use after a pause, a full batch, a caller that waits or the end.
_FIRST, _BATCH, _NOW = "first", "batch", "now"


class Recorder:
    """Records what a client's prompts were used for: they hand it their uses and scores, and its thread sends them."""

    def __init__(
        self,
        target: Target,
        database: str,
        memory: Memory,
        *,
        connect_seconds: float,
        flush_seconds: float,
        queue_size: int,
        spool: Spool | None,
    ) -> None:
        """`database` identifies the database without a password, for prompts from another process."""
        self.database = database
        self._memory = memory
        # Each use reads these two, so they are attributes of the link as well.
        self.page = memory.page
        self.queue = memory.queue
        self._backlog = Backlog(memory.queue, queue_size, spool)
        self._delivery = Delivery(target, self._backlog, connect_seconds=connect_seconds)
        self._batch_size = self._backlog.batch_size
        self._flush_seconds = flush_seconds
        self._begin()

    def _begin(self) -> None:
        """Start again, as in a process that has recorded nothing: the first use starts the thread."""
        self.page.queue_limit = 0
        self._is_idle = False
        # Reentrant, because a signal handler may start or stop the thread where it interrupts this.
        self._lock = threading.RLock()
        # Held during a turn. Not `_lock`: a signal handler may interrupt `start`, which holds it, and wait for a turn.
        self._turn_lock = threading.RLock()
        # Callers that wait for a turn. A Condition would not do: a signal handler may interrupt its owner.
        self._waiters: deque[queue.SimpleQueue[None]] = deque()
        self._wakes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._batch_is_announced = False
        self._thread: threading.Thread | None = None
        self._has_reported_end = False

    def forked(self, at: float) -> None:
        """In a child process that was forked at `at` (time.perf_counter): the parent sends the backlog."""
        self._delivery.forked()
        self._backlog.forked(at)
        self._begin()

    def begin_in_child(self) -> int:
        """Start again in a child process that Python did not fork, and return the queue's limit."""
        processes.check()
        # A closed client is not registered any more and has no limit: each use calls `relieve`.
        return getattr(self.page, "queue_limit", 0)

    def threads_replaced(self) -> bool:
        """Recreate the locks after a library such as gevent replaced `threading`; False: the thread already runs."""
        if self._thread is not None:
            return False
        if not self._delivery.is_stopping:
            self._delivery.begin()
            self._begin()
        return True

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the active versions."""
        return self._memory.age_seconds

    @property
    def is_down(self) -> bool:
        """Whether the last attempt to send failed."""
        return self._delivery.failure is not None

    @property
    def waiting(self) -> int:
        """The number of uses and scores in memory that may not be stored yet."""
        return len(self._backlog)

    @property
    def dropped(self) -> int:
        """The number of uses that will never be recorded."""
        return self._backlog.losses.dropped_uses

    def relieve(self) -> None:
        """Start or wake the thread; have it send a full batch; shorten a full queue."""
        processes.check()
        if self._delivery.has_ended:
            self._drop_after_end()
            return
        self.start()
        self._wake()
        if len(self.queue) >= self._batch_size and not self._batch_is_announced:
            self._batch_is_announced = True
            self._wakes.put(_BATCH)
        self._backlog.shorten()

    def score(self, use_id: str, score: float) -> None:
        """Add a score, which is sent after the uses that ended before it."""
        processes.check()
        self._backlog.score(use_id, score)
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
                self._thread, self.page.queue_limit = thread, self._batch_size
                try:
                    thread.start()
                except BaseException as failure:
                    if thread.ident is None:
                        self._thread, self.page.queue_limit = None, 0
                    # No thread is available, or the interpreter is ending: `stop` sends the backlog.
                    if not isinstance(failure, RuntimeError):
                        raise

    def flush(self, seconds: float) -> bool:
        """Send everything so far; False: it took longer than this, or the database cannot be reached."""
        until = time.monotonic() + seconds
        self.start()
        turn_ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        while not self._backlog.is_empty:
            left = until - time.monotonic()
            if left <= 0 or self._delivery.has_ended:
                return False
            self._waiters.append(turn_ended)
            self._wakes.put(_NOW)
            with contextlib.suppress(queue.Empty):
                turn_ended.get(timeout=min(left, 0.1))
                return not self.is_down
        return True

    def settle(self, seconds: float) -> None:
        """Send everything so far, as `flush`, and move what cannot be sent into the spool."""
        if not self.flush(seconds):
            self._backlog.move_to_spool()

    def hurry(self) -> None:
        """Send uses at once from now on, because the process will end soon. Takes no lock, for signal handlers."""
        self._flush_seconds = min(self._flush_seconds, _HURRIED_SECONDS)
        self._wakes.put(_NOW)

    def stop(self, until: float) -> None:
        """Begin to end: send until this time (time.monotonic), then move the rest into the spool."""
        with self._lock:
            if self._delivery.is_stopping:
                return
            self._delivery.stop(until)
            # From now on each use calls `relieve`.
            self.page.queue_limit = 0
            thread = self._thread
        self._wakes.put(_NOW)
        # A thread that a signal handler finds half started is not waited for.
        if (thread is None or not thread.is_alive()) and not self._backlog.is_empty:
            self._end()

    def join(self) -> None:
        """Wait for the end. A thread that waits for a server that does not answer is left behind."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join(max(0.0, self._delivery.stops_at + 0.5 - time.monotonic()))
        self._delivery.give_up()

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._delivery.is_stopping:
            if self._wait_for_use() != _NOW:
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
        """Send what is there, and notify the callers that wait for it."""
        self._batch_is_announced = False
        with contextlib.suppress(queue.Empty):
            while True:
                self._wakes.get_nowait()
        # Only the present waiters, whose uses are in the backlog.
        waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
        was_down = self.is_down
        self._delivery.take_turn()
        if self.is_down:
            # While the database is down, a use wakes the thread only when the queue is long enough to be spooled.
            self._set_limit(self._backlog.spool_from)
        elif was_down:
            self._set_limit(self._batch_size)
        for turn_ended in waiters:
            turn_ended.put(None)

    def _end(self) -> None:
        with self._turn_lock:
            # A second turn for uses that ended during the first.
            self._turn()
            if not self.is_down and not self._backlog.is_empty:
                self._turn()
            self._delivery.give_up()
            self._delivery.close()
        # A second thread may have been started meanwhile.
        self._wakes.put(_NOW)

    def _wait_for_use(self) -> str:
        """Sleep while there is nothing to send, so that a process that only reads is not woken. Return the reason."""
        if self._delivery.is_stopping or self._delivery.has_work:
            return _BATCH
        self._is_idle = True
        self._set_limit(1)
        reason = _FIRST
        # A use that ended before the limit was set has not woken the thread.
        if not self._delivery.has_work and not self._delivery.is_stopping:
            with contextlib.suppress(queue.Empty):
                reason = self._wakes.get(timeout=_IDLE_SECONDS)
        self._leave_idle()
        return reason

    def _wake(self) -> None:
        if self._is_idle:
            # Send the wake-up last, and also if this is interrupted: an idle thread would miss one that came earlier.
            try:
                self._leave_idle()
            finally:
                self._wakes.put(_FIRST)

    def _leave_idle(self) -> None:
        if self._is_idle:
            self._set_limit(self._batch_size)
            self._is_idle = False

    def _set_limit(self, number: int) -> None:
        # Without a lock: a signal handler may call this while the code that it interrupted holds the lock.
        self.page.queue_limit = number
        if self._delivery.is_stopping:
            self.page.queue_limit = 0

    def _sleep(self, seconds: float) -> None:
        """Wait until the time has passed, a batch is full, a caller waits, or the end begins."""
        until = time.monotonic() + seconds
        while not self._delivery.is_stopping and (left := until - time.monotonic()) > 0:
            try:
                if self._wakes.get(timeout=left) in (_BATCH, _NOW):
                    return
            except queue.Empty:
                return

    def _pause_after_failure(self, seconds: float) -> None:
        """Wait until the time has passed or a caller waits; meanwhile move uses into the spool."""
        until = time.monotonic() + seconds
        while not self._delivery.is_stopping and (left := until - time.monotonic()) > 0:
            try:
                reason = self._wakes.get(timeout=left)
            except queue.Empty:
                return
            if reason == _NOW:
                return
            spool = self._backlog.spool
            if reason == _BATCH and spool is not None and spool.has_room:
                self._backlog.make_room()
                self._batch_is_announced = False
