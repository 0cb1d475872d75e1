"""Uses and scores that are not recorded yet: in memory, and in the spool when they cannot be sent."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from promptctl.client import use_records
from promptctl.client.losses import Losses
from promptctl.client.use_counts import UseCounts
from promptctl.rules import prompt_fields
from promptctl.store.uses import ScoreRecord

if TYPE_CHECKING:
    from promptctl import errors
    from promptctl.client.spool import Spool
    from promptctl.client.use import Use
    from promptctl.client.use_records import QueuedRecord
    from promptctl.store.uses import FallbackRecord, UseRecord

_LARGEST_BATCH = 2000
# An application's thread moves so many uses of a full queue into the spool. It waits about 10 microseconds for each.
_SPILLED_AT_ONCE = 32
# While another thread writes to the spool, a full queue may grow by this part of its size. Then the thread that adds a
# use waits for the writer.
_GROWTH = 0.25
# The longest wait for another thread that writes to the spool.
_DISK_SECONDS = 1.0
# For a score whose use is not recorded yet.
_RETRY_FOR_SECONDS, _RETRY_EVERY_SECONDS = 60.0, 1.0


class Backlog:
    """The queue of uses, the queue of scores, and the records that are made from both to be sent.

    The recorder's thread sends the records. Other threads add uses and scores, count them and close the client at any
    time. The locks are reentrant, because a signal handler may do the same while the interrupted code holds them. It
    may also raise an exception, such as SystemExit. So an item leaves one place only when it is in the next one.
    """

    def __init__(self, queue: deque[Use], queue_size: int, spool: Spool | None) -> None:
        self.queue = queue
        self.spool = spool
        self._queue_size = queue_size
        # None until the application asks for metrics.
        self.counts: UseCounts | None = None
        # While one batch is being stored, the next is prepared and a third may collect. All must fit into the queue's
        # size.
        self.batch_size = max(1, min(_LARGEST_BATCH, int(queue_size) // 4))
        # During an outage, everything is moved into the spool once the backlog has this length.
        self.spooling_length = max(self.batch_size, int(queue_size) // 2)
        self._reset(time.perf_counter())

    def _reset(self, began_at: float) -> None:
        self.queue.clear()
        self.losses = Losses()
        if self.counts is not None:
            self.counts = UseCounts()
        # When this process began. An earlier use began in the parent, where it ends as well, so the parent records it.
        self._began_at = began_at
        self._scores: deque[ScoreRecord] = deque()
        # Records that have left the queue and may not be stored yet.
        self._records: deque[QueuedRecord] = deque()
        # Uses that have left the queue and are not among the records yet.
        self._moving: deque[Use] = deque()
        # The number of uses that have left a full queue and are not in the spool yet. `_spill_lock` is held meanwhile.
        self._spilling = 0
        self._spill_lock = threading.RLock()
        # How often items have moved, for `__len__`.
        self._moves = 0
        # Held while everything is moved to the spool.
        self._to_spool_lock = threading.RLock()
        self._score_retries = _ScoreRetries()
        # The ids of the records that the database has refused among those being sent.
        self._refused_ids: set[str] = set()
        # Held while the records change.
        self._lock = threading.RLock()

    def reset_in_child(self, forked_at: float) -> None:
        """In a child that was forked at `forked_at` (time.perf_counter): forget the items, which the parent sends."""
        if self.spool is not None:
            self.spool.reset_in_child()
        self._reset(forked_at)

    def __len__(self) -> int:
        """Return the number of uses and scores in memory."""
        # Without a lock, because a signal handler may call this while the interrupted code holds it. Instead, count
        # again if an item has moved meanwhile: it could have been counted twice or not at all.
        while True:
            moves = self._moves
            spilling = self._spilling
            uses = len(self.queue) + len(self._moving) + spilling
            number = uses + len(self._scores) + len(self._records) + len(self._score_retries)
            if moves == self._moves:
                return number

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send now, in memory and in the spool."""
        # In the order in which items move, so that an item that moves meanwhile is not overlooked.
        return not (
            self.queue
            or self._scores
            or self._moving
            or self._spilling
            or self._records
            or (self.spool is not None and self.spool.has_files)
        )

    def add_score(self, use_id: str, score: float) -> None:
        """Add a score, which is sent after the uses that ended before it."""
        self._scores.append(ScoreRecord(use_id, score))
        while len(self._scores) > self._queue_size:
            self._scores.popleft()
            self.losses.drop_scores(1, "the queue is full")

    def shorten_queue(self) -> None:
        """Move the oldest uses of a full queue into the spool. Drop them if there is no spool or it has no room."""
        while (excess := len(self.queue) + len(self._records) - self._queue_size) > 0:
            if self.spool is not None and self.spool.has_room:
                may_wait = excess > self._queue_size * _GROWTH
                was_held, is_locked = _is_held(self._spill_lock), False
                try:
                    is_locked = self._spill_lock.acquire(blocking=may_wait, timeout=_DISK_SECONDS if may_wait else -1)
                    if is_locked:
                        self._spill(self.spool)
                        continue
                finally:
                    if is_locked:
                        self._spill_lock.release()
                    else:
                        _restore(self._spill_lock, was_held=was_held)
                if not may_wait:  # another thread moves uses
                    return
            dropped: deque[Use] = deque()
            try:
                self._take(1, dropped)
            finally:
                reason = "the queue is full" if self.spool is None else "the queue and the spool are full"
                self.losses.drop_uses(len(dropped), reason)
            if not dropped:
                return

    def _spill(self, spool: Spool) -> None:
        """Move a few uses from the queue into the spool, and drop those for which it has no room.

        A signal handler may interrupt this at any point. It may spill uses itself, close the spool, or raise an
        exception. So the uses that have left the queue are written in any case.
        """
        uses: deque[Use] = deque()
        records: deque[QueuedRecord] = deque()
        written: int | None = None
        self._spilling += _SPILLED_AT_ONCE
        try:
            self._take(_SPILLED_AT_ONCE, uses)
            self._make_records(uses, records)
            written = spool.write(records)
        finally:
            if written is None:  # an exception was raised before or during the write
                self._make_records(uses, records)
                written = spool.write(records)
            self._spilling -= _SPILLED_AT_ONCE
            self._moves += 1
            self.losses.drop_uses(len(records) - written, "the queue and the spool are full")

    def next_batch(self, skip: int) -> list[QueuedRecord]:
        """Return the next records to send, at most a batch, after the first `skip`, which are being sent.

        A score comes after its use.
        """
        with self._lock:
            records = self._records
            if len(records) <= skip:
                # Count the scores first: then the use of each counted score is among the counted uses.
                scores, uses = len(self._scores), len(self._moving) + len(self.queue)
                self._move_uses(min(uses, self.batch_size))
                if uses <= self.batch_size:
                    self._move_scores(scores)
            # `list` runs no bytecode here: a signal handler must not change the records meanwhile.
            return list(records)[skip : skip + self.batch_size]

    def finish(self, sent: list[QueuedRecord]) -> None:
        """Remove records that were stored or refused: the first ones of the backlog, or records from the spool."""
        with self._lock:
            self._remove(sent)
            for record in sent:
                if isinstance(record, ScoreRecord) and record.id not in self._refused_ids:
                    self._score_retries.forget(record.id)
            self._refused_ids.clear()

    def refuse(self, record: QueuedRecord, failure: errors.PromptctlError, *, is_ending: bool) -> None:
        """Drop a record that the database refuses.

        A score whose use is not recorded yet is retried for a minute, unless the process `is_ending`.
        """
        # A batch is sent again after a lost connection, and a record that is refused again counts once.
        is_new = record.id not in self._refused_ids
        self._refused_ids.add(record.id)
        if not isinstance(record, ScoreRecord):
            if is_new:
                self.losses.drop_uses(1, failure.message, use_records.fields(record))
            return
        with self._lock:
            if not self._score_retries.add(record, is_last_try=is_ending):
                self.losses.drop_scores(1, failure.message)

    def retry_scores(self, *, is_ending: bool) -> None:
        """Add refused scores to the records again if a retry is due, or if the process `is_ending`."""
        if self._score_retries.are_due(is_last_try=is_ending):
            with self._lock:
                self._score_retries.move_to(self._records)

    def shorten_in_outage(self) -> None:
        """Move everything into the spool once the queue is half full. Drop what does not fit from a full queue."""
        if len(self.queue) + len(self._records) >= self.spooling_length:
            self.move_to_spool()
        self.shorten_queue()

    def move_to_spool(self) -> None:
        """Move everything into the spool, if there is one, until it has no room."""
        if self.spool is None:
            return
        # If another thread writes for longer than a second, for example because a signal handler keeps it from going
        # on, write as well. A use that is written twice is stored once, by its id.
        was_held, is_locked = _is_held(self._to_spool_lock), False
        try:
            is_locked = self._to_spool_lock.acquire(timeout=_DISK_SECONDS)
            self._write_all(self.spool)
        finally:
            if is_locked:
                self._to_spool_lock.release()
            else:
                _restore(self._to_spool_lock, was_held=was_held)

    def _write_all(self, spool: Spool) -> None:
        # Count the scores first, as in `next_batch`.
        scores, uses = len(self._scores), len(self._moving) + len(self.queue)
        left = len(self._records) + uses + scores
        while left > 0:
            # The lock is not held during the write.
            with self._lock:
                # One batch at a time: the others stay in the queue, where they count for its limit, and an
                # application's thread that writes as well soon finds the disk free.
                if not self._records:
                    moved = min(uses, self.batch_size)
                    self._move_uses(moved)
                    uses -= moved
                    if not uses:
                        self._move_scores(scores)
                        scores = 0
                batch = list(self._records)[: self.batch_size]
            if not batch and not uses:
                return
            written = spool.write(batch) if batch else 0
            with self._lock:
                self._remove(batch[:written])
            if written < len(batch):
                return
            left -= written

    def _remove(self, records: list[QueuedRecord]) -> None:
        """Remove these records from the front of the backlog, except those that another thread has removed."""
        for record in records:
            if self._records and self._records[0] is record:
                self._records.popleft()

    def drop_all(self, reason: str) -> None:
        """Drop everything in memory."""
        with self._lock:
            self._move_uses(len(self._moving) + len(self.queue))
            self._move_scores(len(self._scores))
            self._score_retries.move_to(self._records)
            records = list(self._records)
            scores = sum(isinstance(record, ScoreRecord) for record in records)
            self.losses.drop_uses(len(records) - scores, reason)
            self.losses.drop_scores(scores, reason)
            self._records.clear()

    def _move_uses(self, most: int) -> None:
        """Make records of the first uses, at most so many."""
        self._take(most - len(self._moving), self._moving)
        self._make_records(self._moving, self._records)

    def _take(self, most: int, uses: deque[Use]) -> None:
        """Move the first uses in the queue to the end of `uses`, at most so many."""
        # `extend` runs no bytecode here, so no signal handler and no other thread runs while a use moves.
        with contextlib.suppress(IndexError):  # the queue is empty
            uses.extend(itertools.starmap(self.queue.popleft, itertools.repeat((), most)))

    def _make_records(self, uses: deque[Use], records: deque[QueuedRecord]) -> None:
        """Move uses to the end of `records`, as records.

        If a signal handler interrupts this, a use may be in both, or twice among the records. It is stored once, by its
        id.
        """
        while uses:
            try:
                use = uses[0]
            except IndexError:  # a signal handler has moved the last use meanwhile
                return
            if (record := self._record(use)) is not None:
                records.append(record)
            if uses and uses[0] is use:  # no signal handler has moved it meanwhile
                uses.popleft()
                self._moves += 1
                if self.counts is not None and record is not None:
                    self.counts.add(record)

    def _move_scores(self, most: int) -> None:
        # As in `_take`.
        with contextlib.suppress(IndexError):
            self._records.extend(itertools.starmap(self._scores.popleft, itertools.repeat((), most)))
        self._moves += 1

    def _record(self, use: Use) -> UseRecord | FallbackRecord | None:
        """Return the record of a use, or None if the parent process records it or it is unreadable, and so dropped."""
        if use.began < self._began_at:
            return None
        try:
            return use_records.from_use(use)
        except Exception as problem:  # noqa: BLE001 - a reply may be any object
            fields = use.prompt.served_version.fields | {prompt_fields.USE_ID: use.id}
            self.losses.drop_uses(1, f"{type(problem).__name__}: {problem}", fields)
            return None


def _is_held(lock: Any) -> bool:
    """Return whether this thread holds a reentrant lock, which signal handlers may acquire as well."""
    return lock._is_owned()


def _restore(lock: Any, *, was_held: bool) -> None:
    """Release a reentrant lock if this thread holds it and did not before.

    After `acquire` has locked it, a signal handler may raise an exception before the code can note that. A lock that
    `was_held` by code which a handler has interrupted is released by that code.
    """
    while not was_held and lock._is_owned():
        lock.release()


class _ScoreRetries:
    """Scores whose use is not in the database. They are sent again for a minute, because another process may send it.

    There is one score for each use, the last one.
    """

    def __init__(self) -> None:
        self._scores: dict[str, ScoreRecord] = {}
        self._refused_since: dict[str, float] = {}
        self._next_at = 0.0

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, score: ScoreRecord, *, is_last_try: bool) -> bool:
        """Keep a refused score for a retry. Return False if it was refused for a minute or this `is_last_try`."""
        now = time.monotonic()
        refused_since = self._refused_since.setdefault(score.id, now)
        if is_last_try or now - refused_since > _RETRY_FOR_SECONDS:
            self.forget(score.id)
            return False
        self._scores[score.id] = score
        return True

    def forget(self, use_id: str) -> None:
        """Forget the score of a use, because it was stored or is dropped."""
        self._scores.pop(use_id, None)
        self._refused_since.pop(use_id, None)

    def are_due(self, *, is_last_try: bool) -> bool:
        """Return whether to send the scores again now: once a second, and if this `is_last_try`."""
        now = time.monotonic()
        if not self._scores or not (is_last_try or now >= self._next_at):
            return False
        self._next_at = now + _RETRY_EVERY_SECONDS
        return True

    def move_to(self, records: deque[QueuedRecord]) -> None:
        """Move all scores to the end of `records`."""
        records.extend(self._scores.values())
        self._scores.clear()
