"""What was booked and is not known to be recorded, in memory and then in the spool. What is dropped is told."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from promptctl.client import use_records
from promptctl.store.uses import ScoreRecord

if TYPE_CHECKING:
    from promptctl import errors
    from promptctl.client.spool import Spool
    from promptctl.client.use import Use
    from promptctl.client.use_records import QueuedRecord
    from promptctl.store.uses import FallbackRecord, UseRecord

_LOG = logging.getLogger("promptctl")
_MOST_IN_BATCH = 2000
# An application waits while these are written: about 10 microseconds each.
_SPILLED_AT_ONCE = 32
# While another thread writes, a full queue may grow by such a part of its size before the next thread waits for that,
# for so long at most.
_GROWTH, _DISK_SECONDS = 0.25, 1.0
# Another process may send the use itself later than this one its score.
_EARLY_SECONDS, _EARLY_TURN_SECONDS = 60.0, 1.0


class Waiting:
    """Uses as the application books them, in `queue`, and as rows that are being sent; scores.

    One thread sends, others look, close and book at any time. The locks may be held by code that a signal's handler
    interrupts, and that closes or books something itself.
    """

    def __init__(self, queue_size: int, spool: Spool | None) -> None:
        self.queue: deque[Use] = deque()
        self.spool = spool
        self._queue_size = queue_size
        # Two of them are under way, a third may wait: together no more than there is room for.
        self.batch_size = max(1, min(_MOST_IN_BATCH, int(queue_size) // 4))
        # During an outage all goes into the spool as soon as so many wait.
        self.spool_from = max(self.batch_size, int(queue_size) // 2)
        self._began_anew(time.perf_counter())

    def _began_anew(self, at: float) -> None:
        self.queue.clear()
        self.dropped = 0
        # A use that began before a fork is the parent's, which ends it, too.
        self._began_at = at
        self._scores: deque[ScoreRecord] = deque()
        # What has left the queue and is not known to have arrived; its moments are of time.perf_counter.
        self._rows: deque[QueuedRecord] = deque()
        # How many are on their way there, and how often one was.
        self._moving = self._moved = 0
        # How many are on their way from a full queue into the spool, and who moves them.
        self._spilling = 0
        self._spills = threading.RLock()
        # Who moves rows there.
        self._to_spool = threading.RLock()
        # Scores of uses that were not there yet, by id, and when they were sent first.
        self._early: dict[str, ScoreRecord] = {}
        self._early_since: dict[str, float] = {}
        self._early_again_at = 0.0
        # The ids among the rows under way that the database has refused.
        self._refused: set[str] = set()
        self._lost_scores = 0
        self._told = 0
        self._why = {"uses": "", "scores": ""}
        self._lock = threading.RLock()

    def forked(self, at: float) -> None:
        """In a child process that was forked at this moment: what waits is the parent's to send."""
        if self.spool is not None:
            self.spool.forked()
        self._began_anew(at)

    def __len__(self) -> int:
        """How many uses and scores are in memory."""
        # Without the lock, which a signal's handler may find held here: counted again when something moved meanwhile.
        while True:
            moved = self._moved
            under_way = self._moving + self._spilling
            number = len(self.queue) + len(self._scores) + under_way + len(self._rows) + len(self._early)
            if moved == self._moved:
                return number

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be sent now, of the spool neither."""
        # In the order in which they move.
        return not (
            self.queue
            or self._scores
            or self._moving
            or self._spilling
            or self._rows
            or (self.spool is not None and self.spool.has_any)
        )

    def score(self, use_id: str, score: float) -> None:
        """Take a score; it follows the uses that were booked before it."""
        self._scores.append(ScoreRecord(use_id, score))
        while len(self._scores) > self._queue_size:
            self._scores.popleft()
            self._lose_score("the queue is full")

    def shorten(self) -> None:
        """Move the oldest uses of a full queue into the spool; drop those for which it has no room."""
        while (excess := len(self.queue) + len(self._rows) - self._queue_size) > 0:
            if self.spool is not None and self.spool.has_room:
                may_wait = excess > self._queue_size * _GROWTH
                if self._spills.acquire(blocking=may_wait, timeout=_DISK_SECONDS if may_wait else -1):
                    try:
                        self._spill(self.spool)
                    finally:
                        self._spills.release()
                    continue
                if not may_wait:
                    return
            if self._taken() is None:
                return
            self.drop(1, "the queue is full" if self.spool is None else "the queue and the spool are full")

    def _spill(self, spool: Spool) -> None:
        """Move a few uses from the queue into the spool; what it does not take is dropped.

        A signal's handler may interrupt this, move others itself, and close the spool or end what it interrupted.
        """
        rows: list[QueuedRecord] = []
        kept = None
        self._spilling += _SPILLED_AT_ONCE
        try:
            for _ in range(_SPILLED_AT_ONCE):
                use = self._taken()
                if use is None:
                    break
                if (row := self._row(use)) is not None:
                    rows.append(row)
            kept = spool.write(rows)
        finally:
            if kept is None:
                kept = spool.write(rows)
            self._spilling -= _SPILLED_AT_ONCE
            self._moved += 1
            self.drop(len(rows) - kept, "the queue and the spool are full")

    def collect(self, begun: int) -> list[QueuedRecord]:
        """Return the rows to send after those that are begun: what waits, else what was booked, uses before scores."""
        with self._lock:
            rows = self._rows
            if len(rows) <= begun:
                # Counted first: the uses that these are of have been booked by now.
                scores, booked = len(self._scores), len(self.queue)
                self._take_uses(min(booked, self.batch_size))
                if booked <= self.batch_size:
                    self._take_scores(scores)
            return list(itertools.islice(rows, begun, begun + self.batch_size))

    def finish(self, sent: list[QueuedRecord]) -> None:
        """Forget the first of what waits: it has arrived, or never will."""
        with self._lock:
            self._remove(sent)
            for row in sent:
                if isinstance(row, ScoreRecord) and row.id not in self._refused:
                    self._early.pop(row.id, None)
                    self._early_since.pop(row.id, None)
            self._refused.clear()

    def refuse(self, row: QueuedRecord, failure: errors.PromptctlError, *, ends: bool) -> None:
        """Note that the database does not take a row. After a lost connection it may be refused once more.

        The score of a use that is not there yet is tried again for a minute, unless the process `ends`.
        """
        use_id = row.id
        is_new = use_id not in self._refused
        self._refused.add(use_id)
        if not isinstance(row, ScoreRecord):
            if is_new:
                self.drop(1, failure.message)
            return
        with self._lock:
            since = self._early_since.setdefault(use_id, time.monotonic())
            if ends or time.monotonic() - since > _EARLY_SECONDS:
                self._early.pop(use_id, None)
                self._early_since.pop(use_id, None)
                self._lose_score(failure.message)
            else:
                self._early[use_id] = row

    def try_early(self, *, ends: bool) -> None:
        """Have scores of uses that were not there yet sent once more, now and then, and when the process `ends`."""
        now = time.monotonic()
        if self._early and (ends or now >= self._early_again_at):
            self._early_again_at = now + _EARLY_TURN_SECONDS
            with self._lock:
                self._rows.extend(self._early.values())
                self._early.clear()

    def make_room(self) -> None:
        """During an outage: from half of the queue on all goes into the spool; what does not fit is dropped."""
        if len(self.queue) + len(self._rows) >= self.spool_from:
            self.to_spool()
        self.shorten()

    def to_spool(self) -> None:
        """Put into the spool what it takes, if there is one."""
        if self.spool is None:
            return
        # No other lock is held while the spool is written. A signal handler that interrupts the writing thread waits a
        # while and then writes the same uses, which are counted once, by their ids.
        is_alone = self._to_spool.acquire(timeout=_DISK_SECONDS)
        try:
            self._move_to(self.spool)
        finally:
            if is_alone:
                self._to_spool.release()

    def _move_to(self, spool: Spool) -> None:
        # Counted first: the uses that these are of have been booked by now.
        scores, booked = len(self._scores), len(self.queue)
        left = len(self._rows) + booked + scores
        while left > 0:
            with self._lock:
                # A use leaves the queue only when those before it have found room, so that no more than a batch stays
                # behind outside the queue, whose size is watched. In parts also because an application's thread that
                # writes as well finds the disk free soon.
                if not self._rows:
                    moved = min(booked, self.batch_size)
                    self._take_uses(moved)
                    booked -= moved
                    if not booked:
                        self._take_scores(scores)
                        scores = 0
                part = list(itertools.islice(self._rows, self.batch_size))
            if not part and not booked:
                return
            taken = spool.write(part) if part else 0
            with self._lock:
                self._remove(part[:taken])
            if taken < len(part):
                return
            left -= taken

    def _remove(self, rows: list[QueuedRecord]) -> None:
        """Forget the first of the rows, unless another thread has done so."""
        for row in rows:
            if self._rows and self._rows[0] is row:
                self._rows.popleft()

    def drop_all(self, why: str) -> None:
        """Drop everything that is in memory."""
        with self._lock:
            self._take_uses(len(self.queue))
            self._take_scores(len(self._scores))
            self._rows.extend(self._early.values())
            self._early.clear()
            uses = sum(not isinstance(row, ScoreRecord) for row in self._rows)
            self.drop(uses, why)
            for _ in range(len(self._rows) - uses):
                self._lose_score(why)
            self._rows.clear()

    def drop(self, uses: int, why: str) -> None:
        """Count uses that will never be recorded."""
        if uses:
            with self._lock:
                self.dropped += uses
                self._why["uses"] = why

    def say_dropped(self) -> None:
        """Tell in the log what was dropped since it was told last."""
        with self._lock:
            lost = {"uses": self.dropped - self._told, "scores": self._lost_scores}
            self._told, self._lost_scores = self.dropped, 0
        for what, number in lost.items():
            if number:
                _LOG.warning("promptctl: %d %s were not recorded: %s", number, what, self._why[what])

    def _lose_score(self, why: str) -> None:
        with self._lock:
            self._lost_scores += 1
            self._why["scores"] = why

    def _take_uses(self, most: int) -> None:
        """Move uses from the queue to the rows; one that cannot be understood is dropped."""
        for _ in range(most):
            self._moving = 1
            use = self._taken()
            try:
                if use is None:
                    return
                if (row := self._row(use)) is not None:
                    self._rows.append(row)
            finally:
                self._moving = 0
                self._moved += 1

    def _row(self, use: Use) -> UseRecord | FallbackRecord | None:
        """Return what is sent of a use; None: it is the parent process's, or it cannot be understood and is dropped."""
        if use.began < self._began_at:
            return None
        try:
            return use_records.from_use(use)
        except Exception as problem:  # noqa: BLE001 - a reply may be of any kind
            self.drop(1, f"{type(problem).__name__}: {problem}")
            return None

    def _take_scores(self, most: int) -> None:
        for _ in range(most):
            self._moving = 1
            try:
                self._rows.append(self._scores.popleft())
            except IndexError:  # another thread was quicker
                return
            finally:
                self._moving = 0
                self._moved += 1

    def _taken(self) -> Use | None:
        try:
            return self.queue.popleft()
        except IndexError:  # another thread was quicker
            return None
