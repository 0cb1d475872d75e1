"""Uses and scores that are not recorded yet, in memory and then in the spool."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from promptctl.client import use_records
from promptctl.client.losses import Losses
from promptctl.store.uses import ScoreRecord

if TYPE_CHECKING:
    from promptctl import errors
    from promptctl.client.spool import Spool
    from promptctl.client.use import Use
    from promptctl.client.use_records import QueuedRecord
    from promptctl.store.uses import FallbackRecord, UseRecord

_MOST_IN_BATCH = 2000
# An application waits while it moves these into the spool, about 10 microseconds each.
_SPILLED_AT_ONCE = 32
# While another thread writes to the spool, a full queue may grow by this part of its size before a thread waits for the
# writer, for at most so many seconds.
_GROWTH, _DISK_SECONDS = 0.25, 1.0
_RETRY_FOR_SECONDS, _RETRY_EVERY_SECONDS = 60.0, 1.0


class Backlog:
    """The queue of uses, the records made from them, and scores.

    One thread sends, and other threads add, look and close at any time. The locks are reentrant, because a signal
    handler may do the same where it interrupts code that holds them.
    """

    def __init__(self, queue: deque[Use], queue_size: int, spool: Spool | None) -> None:
        self.queue = queue
        self.spool = spool
        self._queue_size = queue_size
        # Two batches are sent while a third waits, and all three must fit into the queue's size.
        self.batch_size = max(1, min(_MOST_IN_BATCH, int(queue_size) // 4))
        # During an outage, everything moves into the spool once the backlog has this length.
        self.spool_from = max(self.batch_size, int(queue_size) // 2)
        self._begin(time.perf_counter())

    def _begin(self, at: float) -> None:
        self.queue.clear()
        self.losses = Losses()
        # A use that began before a fork is recorded by the parent, where it ends as well.
        self._began_at = at
        self._scores: deque[ScoreRecord] = deque()
        # Records that have left the queue and may not be stored yet.
        self._records: deque[QueuedRecord] = deque()
        # The number of items on their way from the queues to the records, and a count of such moves.
        self._moving = self._moves = 0
        # The number of uses on their way from a full queue to the spool, and a lock for the thread that moves them.
        self._spilling = 0
        self._spill_lock = threading.RLock()
        # A lock for the thread that moves everything to the spool.
        self._to_spool_lock = threading.RLock()
        self._score_retries = _ScoreRetries()
        # The ids among the records being sent that the database has refused.
        self._refused_ids: set[str] = set()
        self._lock = threading.RLock()

    def forked(self, at: float) -> None:
        """In a child process that was forked at `at` (time.perf_counter): the backlog is the parent's to send."""
        if self.spool is not None:
            self.spool.forked()
        self._begin(at)

    def __len__(self) -> int:
        """Return the number of uses and scores in memory."""
        # Without the lock, which may be held by what a signal handler interrupts: count again if something moved.
        while True:
            moves = self._moves
            moving = self._moving + self._spilling
            number = len(self.queue) + len(self._scores) + moving + len(self._records) + len(self._score_retries)
            if moves == self._moves:
                return number

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send now, in memory and in the spool."""
        # In the order in which items move.
        return not (
            self.queue
            or self._scores
            or self._moving
            or self._spilling
            or self._records
            or (self.spool is not None and self.spool.has_files)
        )

    def score(self, use_id: str, score: float) -> None:
        """Add a score, which is sent after the uses that ended before it."""
        self._scores.append(ScoreRecord(use_id, score))
        while len(self._scores) > self._queue_size:
            self._scores.popleft()
            self.losses.drop_scores(1, "the queue is full")

    def shorten(self) -> None:
        """Move the oldest uses of a full queue into the spool, or drop them if it has no room."""
        while (excess := len(self.queue) + len(self._records) - self._queue_size) > 0:
            if self.spool is not None and self.spool.has_room:
                may_wait = excess > self._queue_size * _GROWTH
                if self._spill_lock.acquire(blocking=may_wait, timeout=_DISK_SECONDS if may_wait else -1):
                    try:
                        self._spill(self.spool)
                    finally:
                        self._spill_lock.release()
                    continue
                if not may_wait:
                    return
            if self._next_use() is None:
                return
            self.losses.drop_uses(1, "the queue is full" if self.spool is None else "the queue and the spool are full")

    def _spill(self, spool: Spool) -> None:
        """Move a few uses from the queue into the spool, and drop those that it does not accept.

        A signal handler may interrupt this, spill uses itself, close the spool, or raise an exception.
        """
        records: list[UseRecord | FallbackRecord] = []
        written = None
        self._spilling += _SPILLED_AT_ONCE
        try:
            for _ in range(_SPILLED_AT_ONCE):
                use = self._next_use()
                if use is None:
                    break
                if (record := self._record(use)) is not None:
                    records.append(record)
            written = spool.write(records)
        finally:
            if written is None:
                written = spool.write(records)
            self._spilling -= _SPILLED_AT_ONCE
            self._moves += 1
            self.losses.drop_uses(len(records) - written, "the queue and the spool are full")

    def collect(self, skip: int) -> list[QueuedRecord]:
        """Return the next batch of records after the first `skip`, uses before the scores that followed them."""
        with self._lock:
            records = self._records
            if len(records) <= skip:
                # Scores are counted first, so that the uses that they belong to are among the counted uses.
                scores, uses = len(self._scores), len(self.queue)
                self._move_uses(min(uses, self.batch_size))
                if uses <= self.batch_size:
                    self._move_scores(scores)
            return list(itertools.islice(records, skip, skip + self.batch_size))

    def finish(self, sent: list[QueuedRecord]) -> None:
        """Forget the first records, which were stored or refused."""
        with self._lock:
            self._remove(sent)
            for record in sent:
                if isinstance(record, ScoreRecord) and record.id not in self._refused_ids:
                    self._score_retries.forget(record.id)
            self._refused_ids.clear()

    def refuse(self, record: QueuedRecord, failure: errors.PromptctlError, *, is_ending: bool) -> None:
        """Drop a record that the database refuses; after a lost connection it may be refused again.

        A score whose use is not recorded yet is retried for a minute, unless the process `is_ending`.
        """
        is_new = record.id not in self._refused_ids
        self._refused_ids.add(record.id)
        if not isinstance(record, ScoreRecord):
            if is_new:
                self.losses.drop_uses(1, failure.message)
            return
        with self._lock:
            if not self._score_retries.add(record, is_last_try=is_ending):
                self.losses.drop_scores(1, failure.message)

    def retry_scores(self, *, is_ending: bool) -> None:
        """Queue refused scores again if it is time, or if the process `is_ending`."""
        if self._score_retries.are_due(is_last_try=is_ending):
            with self._lock:
                self._records.extend(self._score_retries.take())

    def make_room(self) -> None:
        """During an outage: move everything into the spool once the queue is half full; drop what does not fit."""
        if len(self.queue) + len(self._records) >= self.spool_from:
            self.move_to_spool()
        self.shorten()

    def move_to_spool(self) -> None:
        """Move everything into the spool, as far as there is one and it has room."""
        if self.spool is None:
            return
        # No other lock is held during the write. A signal handler that interrupts the writer waits for a second, then
        # writes the same uses, which are stored once, by their ids.
        is_alone = self._to_spool_lock.acquire(timeout=_DISK_SECONDS)
        try:
            self._write_all(self.spool)
        finally:
            if is_alone:
                self._to_spool_lock.release()

    def _write_all(self, spool: Spool) -> None:
        # Scores are counted first, as in `collect`.
        scores, uses = len(self._scores), len(self.queue)
        left = len(self._records) + uses + scores
        while left > 0:
            with self._lock:
                # Uses leave the queue batch by batch, so that the queue's length stays a measure of the memory in use,
                # and so that an application's thread that writes as well soon finds the disk free.
                if not self._records:
                    moved = min(uses, self.batch_size)
                    self._move_uses(moved)
                    uses -= moved
                    if not uses:
                        self._move_scores(scores)
                        scores = 0
                batch = list(itertools.islice(self._records, self.batch_size))
            if not batch and not uses:
                return
            written = spool.write(batch) if batch else 0
            with self._lock:
                self._remove(batch[:written])
            if written < len(batch):
                return
            left -= written

    def _remove(self, records: list[QueuedRecord]) -> None:
        """Remove the first records, unless another thread has removed them."""
        for record in records:
            if self._records and self._records[0] is record:
                self._records.popleft()

    def drop_all(self, reason: str) -> None:
        """Drop everything in memory."""
        with self._lock:
            self._move_uses(len(self.queue))
            self._move_scores(len(self._scores))
            self._records.extend(self._score_retries.take())
            scores = sum(isinstance(record, ScoreRecord) for record in self._records)
            self.losses.drop_uses(len(self._records) - scores, reason)
            self.losses.drop_scores(scores, reason)
            self._records.clear()

    def _move_uses(self, most: int) -> None:
        """Move uses from the queue to the records."""
        for _ in range(most):
            self._moving = 1
            use = self._next_use()
            try:
                if use is None:
                    return
                if (record := self._record(use)) is not None:
                    self._records.append(record)
            finally:
                self._moving = 0
                self._moves += 1

    def _move_scores(self, most: int) -> None:
        for _ in range(most):
            self._moving = 1
            try:
                self._records.append(self._scores.popleft())
            except IndexError:  # another thread was quicker
                return
            finally:
                self._moving = 0
                self._moves += 1

    def _record(self, use: Use) -> UseRecord | FallbackRecord | None:
        """Return the record of a use; None: the parent process records it, or it is unreadable and dropped."""
        if use.began < self._began_at:
            return None
        try:
            return use_records.from_use(use)
        except Exception as problem:  # noqa: BLE001 - a reply may be any object
            self.losses.drop_uses(1, f"{type(problem).__name__}: {problem}")
            return None

    def _next_use(self) -> Use | None:
        try:
            return self.queue.popleft()
        except IndexError:  # another thread was quicker
            return None


class _ScoreRetries:
    """Scores that the database refused, by the id of their use, which are sent again for a minute.

    Another process may still send the use.
    """

    def __init__(self) -> None:
        self._scores: dict[str, ScoreRecord] = {}
        self._refused_since: dict[str, float] = {}
        self._next_at = 0.0

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, score: ScoreRecord, *, is_last_try: bool) -> bool:
        """Store a refused score for a retry; False: it is given up, after a minute or if this `is_last_try`."""
        now = time.monotonic()
        since = self._refused_since.setdefault(score.id, now)
        if is_last_try or now - since > _RETRY_FOR_SECONDS:
            self.forget(score.id)
            return False
        self._scores[score.id] = score
        return True

    def forget(self, use_id: str) -> None:
        """Forget the score of a use, which was stored or given up."""
        self._scores.pop(use_id, None)
        self._refused_since.pop(use_id, None)

    def are_due(self, *, is_last_try: bool) -> bool:
        """Return whether it is time to send the scores again: once a second, and if this `is_last_try`."""
        now = time.monotonic()
        if not self._scores or not (is_last_try or now >= self._next_at):
            return False
        self._next_at = now + _RETRY_EVERY_SECONDS
        return True

    def take(self) -> list[ScoreRecord]:
        """Remove and return all scores."""
        scores = list(self._scores.values())
        self._scores.clear()
        return scores
