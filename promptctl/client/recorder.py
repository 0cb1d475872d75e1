"""The thread that sends uses, soon and in batches, and goes on trying while they cannot be sent."""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.client import fork_page, processes
from promptctl.client.sender import Sender, use_arrays
from promptctl.client.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.client.spool import Spool
    from promptctl.client.use_records import QueuedRecord
    from promptctl.postgres.settings import Target

_LOG = logging.getLogger("promptctl")
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_ANSWER_SECONDS = 15.0
# How soon uses leave once a process was asked to end.
_HURRIED_SECONDS = 0.02
# A connection that is not used for about so long is given back.
_IDLE_SECONDS = 30.0
# So often is tried again what fails for no reason that is foreseen.
_MOST_BUGS = 3
# What the thread is woken for: the first use after a rest; a batch waits; somebody waits for it, or it is to end.
_FIRST, _WORK, _HURRY = "first", "work", "hurry"


class Recorder:
    """A bounded queue of uses, and what sends them. `queue` and `page` are the application's side of it."""

    def __init__(
        self,
        target: Target,
        database: str,
        *,
        connect_seconds: float,
        flush_seconds: float,
        queue_size: int,
        spool: Spool | None,
    ) -> None:
        # Which one it is, without a password: a prompt that comes from another process finds its client by this.
        self.database = database
        # `queue_limit`, at which the application's thread looks after the queue, is not found by a child.
        self.page = fork_page.take()
        weakref.finalize(self, fork_page.give_back, self.page).atexit = False
        self._waiting = Waiting(queue_size, spool)
        self.queue = self._waiting.queue
        self.age: Callable[[], float] = lambda: 0.0
        self._sender = Sender(target, self._refuse, self._note_late)
        self._connect_seconds = connect_seconds
        self._flush_seconds = flush_seconds
        self._batch_size = self._waiting.batch_size
        self._spool = spool
        self._began_anew()

    def _began_anew(self) -> None:
        """As in a process that has booked nothing: the first use that is booked has the thread started."""
        self.page.queue_limit = 0
        self._is_idle = False
        self._looks_for_spooled = True
        # As of Waiting: what they keep may be looked at by a signal's handler.
        self._lock = threading.RLock()
        # One sends at a time: a handler that interrupts `start` ends by itself what the new thread has begun.
        self._sends = threading.RLock()
        # Who waits for a turn. Not a Condition: a signal's handler may have interrupted one that holds it.
        self._waiters: deque[queue.SimpleQueue[None]] = deque()
        self._wakes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._is_woken = False
        self._thread: threading.Thread | None = None
        self._failure: errors.PromptctlError | None = None
        self._bugs = 0
        self._stops = self._is_over = self._has_told = False
        self._stops_at = float("inf")

    def forked(self, at: float) -> None:
        """In a child process that was forked at this moment: what waits is the parent's to send."""
        self._sender.abandon()
        self._waiting.forked(at)
        self._began_anew()

    def begin_in_child(self) -> int:
        """Begin anew in a child process that was forked unnoticed, and return the queue's limit in it."""
        processes.check()
        # A client that is closed takes no part any more: what is booked is looked at one by one.
        return getattr(self.page, "queue_limit", 0)

    def threads_replaced(self) -> bool:
        """Begin anew with the threads and locks of gevent, say; False: the thread runs already."""
        if self._thread is not None:
            return False
        if not self._stops:
            self._began_anew()
        return True

    @property
    def age_seconds(self) -> float:
        """How long ago the database confirmed what is served."""
        return self.age()

    @property
    def is_down(self) -> bool:
        """Whether the last attempt to send failed."""
        return self._failure is not None

    @property
    def waiting(self) -> int:
        """How many uses and scores are not known to have arrived; those in the spool are not counted."""
        return len(self._waiting)

    @property
    def dropped(self) -> int:
        """How many uses will never be recorded."""
        return self._waiting.dropped

    def relieve(self) -> None:
        """Start the thread, wake it, or have it send a batch at once; of a queue that is full, drop the oldest."""
        processes.check()
        if self._is_over:
            self._refuse_all()
            return
        self.start()
        self._wake()
        if len(self.queue) >= self._batch_size and not self._is_woken:
            self._is_woken = True
            self._wakes.put(_WORK)
        self._waiting.shorten()

    def score(self, use_id: str, score: float) -> None:
        """Take a score; it follows the uses that were booked before it."""
        processes.check()
        self._waiting.score(use_id, score)
        if self._is_over:
            self._refuse_all()
        else:
            self.start()
            self._wake()

    def _refuse_all(self) -> None:
        self._waiting.drop_all("the client is closed")
        if not self._has_told:
            self._has_told = True
            self._waiting.say_dropped()

    def start(self) -> None:
        """Start the thread, if it does not run."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._stops:
                thread = threading.Thread(target=self._run, name="promptctl-recorder", daemon=True)
                self._thread, self.page.queue_limit = thread, self._batch_size
                try:
                    thread.start()
                except BaseException as failure:
                    if thread.ident is None:
                        self._thread, self.page.queue_limit = None, 0
                    # There is none left, or the interpreter is ending: stop sends what there is.
                    if not isinstance(failure, RuntimeError):
                        raise

    def flush(self, seconds: float) -> bool:
        """Send what was booked so far; False: it took longer than this, or the database cannot be reached."""
        until = time.monotonic() + seconds
        self.start()
        ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        while not self._waiting.is_empty:
            left = until - time.monotonic()
            if left <= 0 or self._is_over:
                return False
            self._waiters.append(ended)
            self._wakes.put(_HURRY)
            with contextlib.suppress(queue.Empty):
                ended.get(timeout=min(left, 0.1))
                return self._failure is None
        return True

    def settle(self, seconds: float) -> bool:
        """Send what was booked so far, as `flush`; what cannot be sent in this time goes into the spool, if any."""
        is_sent = self.flush(seconds)
        if not is_sent:
            self._waiting.to_spool()
        return is_sent

    def hurry(self) -> None:
        """Send what is booked from now on at once: the process will end soon. Takes no lock: a signal's handler may."""
        self._flush_seconds = min(self._flush_seconds, _HURRIED_SECONDS)
        self._wakes.put(_HURRY)

    def stop(self, until: float) -> None:
        """Begin to end: send what there is until then (time.monotonic), and put the rest into the spool."""
        with self._lock:
            if self._stops:
                return
            self._stops_at = until
            self._stops = True
            # What is booked from now on is looked at one by one.
            self.page.queue_limit = 0
            thread = self._thread
        self._wakes.put(_HURRY)
        # One that a signal has interrupted may be just starting it: then it is not waited for.
        if (thread is None or not thread.is_alive()) and not self._waiting.is_empty:
            self._end()

    def join(self) -> None:
        """Wait for the end. A thread that waits for a server which does not answer is left alone."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join(max(0.0, self._stops_at + 0.5 - time.monotonic()))
        self._give_up()

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stops:
            if self._wait_for_use() != _HURRY:
                self._rest(self._flush_seconds, _WORK, _HURRY)
            with self._sends:
                self._turn()
            if self._failure is None:
                pause = _FIRST_PAUSE_SECONDS
            else:
                self._wait_out(pause * random.uniform(0.5, 1))  # noqa: S311 - nothing secret
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self._end()

    def _wait_for_use(self) -> str:
        """While nothing is to be sent, sleep until there is, so that a process that only reads is not woken for this.

        Return what ended it.
        """
        if self._stops or not self._has_nothing_to_do():
            return _WORK
        self._is_idle = True
        self._limit(1)
        reason = _FIRST
        # One that was booked before the limit was set has not woken anybody.
        if self._has_nothing_to_do() and not self._stops:
            with contextlib.suppress(queue.Empty):
                reason = self._wakes.get(timeout=_IDLE_SECONDS)
        self._leave_idle()
        return reason

    def _has_nothing_to_do(self) -> bool:
        looks = self._spool is not None and self._looks_for_spooled
        return not (looks or self._failure or self._bugs or len(self._waiting)) and self._waiting.is_empty

    def _wake(self) -> None:
        if self._is_idle:
            # It is woken last, and in any case: had it gone idle again, that would be lost.
            try:
                self._leave_idle()
            finally:
                self._wakes.put(_FIRST)

    def _leave_idle(self) -> None:
        if self._is_idle:
            self._limit(self._batch_size)
            self._is_idle = False

    def _limit(self, number: int) -> None:
        # Without a lock: the thread takes none that a signal's handler may have found held by what it interrupted.
        self.page.queue_limit = number
        if self._stops:
            self.page.queue_limit = 0

    def _rest(self, seconds: float, *reasons: str) -> None:
        """Wait for so long, or until woken for one of these reasons, or to end."""
        ends = time.monotonic() + seconds
        while not self._stops and (left := ends - time.monotonic()) > 0:
            try:
                if self._wakes.get(timeout=left) in reasons:
                    return
            except queue.Empty:
                return

    def _wait_out(self, seconds: float) -> None:
        """Wait so long after a failure, or until somebody asks for a turn; meanwhile move uses into the spool."""
        ends = time.monotonic() + seconds
        while not self._stops and (left := ends - time.monotonic()) > 0:
            try:
                reason = self._wakes.get(timeout=left)
            except queue.Empty:
                return
            if reason == _HURRY:
                return
            if reason == _WORK and self._spool is not None and self._spool.has_room:
                self._waiting.make_room()
                self._is_woken = False

    def _end(self) -> None:
        with self._sends:
            # All that was booked before the end began; and once more, for what was booked meanwhile.
            self._turn()
            if self._failure is None and not self._waiting.is_empty:
                self._turn()
            self._give_up()
            self._sender.close()
        # There may be another one, that was being started.
        self._wakes.put(_HURRY)

    def _turn(self) -> None:
        """Send what there is, and tell those who wait for it."""
        self._is_woken = False
        with contextlib.suppress(queue.Empty):
            while True:
                self._wakes.get_nowait()
        # Those of now: what they booked is there to be sent.
        waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
        try:
            self._send_all()
            self._bugs = 0
        except Exception as bug:  # noqa: BLE001 - it must go on whatever comes, and says so
            _LOG.exception("promptctl: a bug in the thread that records uses")
            self._sender.close()
            self._bugs += 1
            if self._bugs >= _MOST_BUGS:
                self._waiting.drop_all(f"{type(bug).__name__}: {bug}")
        self._waiting.say_dropped()
        for ended in waiters:
            ended.put(None)

    def _send_all(self) -> None:
        try:
            self._send_spooled()
            self._waiting.try_early(ends=self._stops)
            # What is booked meanwhile is for the next turn.
            left = len(self._waiting)
            rows = self._waiting.collect(0)
            if rows:
                # First, because how long ago a use was is reckoned when it is made ready.
                self._connect()
            arrays = use_arrays(rows)
            while rows and time.monotonic() < self._stops_at:
                self._connect()
                if self._is_over:  # it took so long that they were given up
                    return
                batch = self._sender.begin(rows, arrays)
                left -= len(rows)
                # The next ones are made ready while the server stores these.
                rows = self._waiting.collect(len(rows)) if left > 0 else []
                arrays = use_arrays(rows)
                self._sender.end(batch)
                self._waiting.finish(batch.records)
        except errors.PromptctlError as failure:
            self._sender.close()
            if self._failure is None:
                _LOG.warning("promptctl: uses cannot be recorded now: %s; they wait", failure.message)
            self._failure = failure
            self._waiting.make_room()
            # Until then nothing is done with more uses.
            self._limit(self._waiting.spool_from)
            return
        if self._failure is not None:
            _LOG.warning("promptctl: uses are recorded again")
            self._failure = None
            self._limit(self._batch_size)
        self._sender.close_if_idle(_IDLE_SECONDS)

    def _connect(self) -> None:
        left = max(0.1, self._stops_at - time.monotonic())
        self._sender.connect(min(self._connect_seconds, left), min(_ANSWER_SECONDS, left))

    def _send_spooled(self) -> None:
        spool = self._spool
        if spool is None:
            return
        if self._looks_for_spooled:
            self._looks_for_spooled = False
            spool.adopt()
        if not spool.has_any:
            return
        self._connect()
        for path in spool.files():
            for rows in spool.read(path, self._batch_size):
                if time.monotonic() > self._stops_at:
                    return
                self._sender.send(rows)
                self._waiting.finish(rows)
            spool.remove(path)

    def _refuse(self, row: QueuedRecord, failure: errors.PromptctlError) -> None:
        self._waiting.refuse(row, failure, ends=self._stops)

    def _note_late(self, number: int) -> None:
        self._waiting.drop(number, "they are from before what the database keeps")

    def _give_up(self) -> None:
        """At the end: what was not sent goes into the spool, or is dropped."""
        self._waiting.to_spool()
        if self._spool is not None:
            self._spool.close()
        self._is_over = True
        self._waiting.drop_all("the client was closed before they could be sent")
        self._waiting.say_dropped()
