"""The connection that stores uses, fallbacks and scores in batches.

If the database refuses a batch because of some records, the others are stored. If it is not known whether a batch was
stored, it can be sent again: each record has an id from the client, and the database stores an id once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from promptctl import errors
from promptctl.postgres import connecting
from promptctl.store import uses as store
from promptctl.store.uses import FallbackRecord, ScoreRecord, UseRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.client.use_records import QueuedRecord
    from promptctl.postgres.database import Database
    from promptctl.postgres.settings import Target

AnyRecord = TypeVar("AnyRecord", UseRecord, FallbackRecord, ScoreRecord)

# The classes of SQLSTATE for errors that the data causes: invalid data, constraints, limits, and what our functions
# raise.
_SQLSTATE_CLASSES_OF_DATA = ("22", "23", "54", "P0")
# The scores in one statement. The uses that it scores stay locked until it ends, which blocks other writers of scores.
_MOST_SCORES = 50


class Batch:
    """A batch of records. Its uses were sent, its other records were not.

    `wait_for_uses` waits for the result of the uses, and is None if there are none.
    """

    __slots__ = ("records", "wait_for_uses")

    def __init__(self, records: list[QueuedRecord], wait_for_uses: Callable[[], store.Recorded] | None) -> None:
        self.records = records
        self.wait_for_uses = wait_for_uses


class Sender:
    """A connection for records, which is opened when it is needed.

    `on_refused` is called with each record that the database refuses, and the error. `on_late` is called with the
    number of records of a batch that the database did not store because they are too old: it no longer keeps such uses.
    """

    def __init__(
        self,
        target: Target,
        on_refused: Callable[[QueuedRecord, errors.PromptctlError], None],
        on_late: Callable[[int], None],
    ) -> None:
        self._target = target
        self._on_refused = on_refused
        self._on_late = on_late
        self._database: Database | None = None
        self._used_at = 0.0
        # In the batch that is being sent.
        self._late_uses = 0

    def connect(self, connect_seconds: float, answer_seconds: float) -> None:
        """Open the connection unless it is open. Raises errors.PromptctlError."""
        if self._database is None:
            self._database = connecting.connect_application(
                self._target, connect_timeout_seconds=connect_seconds, timeout_seconds=answer_seconds
            )
            self._database.run_all()
        else:
            self._database.set_timeout(answer_seconds)

    def begin_batch(self, records: list[QueuedRecord], arrays: list[str | None]) -> Batch:
        """Send the uses among the records and do not wait. `arrays` is what `use_arrays` returned for the records."""
        assert self._database is not None
        try:
            return Batch(records, store.begin_recording(self._database, arrays) if arrays else None)
        except errors.Usage as failure:  # a use cannot be sent at all: `end_batch` handles this like a refusal
            return Batch(records, _raising(failure))

    def end_batch(self, batch: Batch) -> None:
        """Wait for the uses of a batch, then send its fallbacks and scores.

        Raises errors.PromptctlError for a failure that no record causes, such as a lost connection.
        """
        self._late_uses = 0
        try:
            if batch.wait_for_uses is not None:
                self._late_uses += batch.wait_for_uses().late
        except errors.PromptctlError as failure:
            if not _is_caused_by_data(failure):
                raise
            self._bisect(_of_class(UseRecord, batch.records), self._record_uses)
        self._bisect(_of_class(FallbackRecord, batch.records), self._record_fallbacks)
        scores = _of_class(ScoreRecord, batch.records)
        for start in range(0, len(scores), _MOST_SCORES):
            self._bisect(scores[start : start + _MOST_SCORES], self._score)
        self._used_at = time.monotonic()
        # Last, so that they are counted once: after an error above, the batch is sent again.
        if self._late_uses:
            self._on_late(self._late_uses)

    def send_batch(self, records: list[QueuedRecord]) -> None:
        """Send a batch and wait for all of it. Raises what `end_batch` raises."""
        self.end_batch(self.begin_batch(records, use_arrays(records)))

    def disconnect(self) -> None:
        """Close the connection."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def disconnect_if_idle(self, seconds: float) -> None:
        """Close the connection if nothing was sent for this many seconds."""
        if time.monotonic() - self._used_at > seconds:
            self.disconnect()

    def abandon(self) -> None:
        """In a child process: forget the parent's connection without closing it."""
        if self._database is not None:
            self._database.abandon()
            self._database = None

    def _bisect(self, records: Sequence[AnyRecord], send: Callable[[Database, Sequence[AnyRecord]], None]) -> None:
        """Send records. If the database refuses them, send each half in the same way, down to the refused record."""
        if not records:
            return
        assert self._database is not None
        try:
            send(self._database, records)
        except errors.PromptctlError as failure:
            if not _is_caused_by_data(failure):
                raise
            if len(records) == 1:
                self._on_refused(records[0], failure)
                return
            half = len(records) // 2
            self._bisect(records[:half], send)
            self._bisect(records[half:], send)

    def _record_uses(self, database: Database, uses: Sequence[UseRecord]) -> None:
        self._late_uses += store.record(database, uses, time.perf_counter()).late

    def _record_fallbacks(self, database: Database, fallbacks: Sequence[FallbackRecord]) -> None:
        self._late_uses += store.record_fallbacks(database, fallbacks, time.perf_counter()).late

    def _score(self, database: Database, scores: Sequence[ScoreRecord]) -> None:
        store.score(database, scores)


def use_arrays(records: Sequence[QueuedRecord]) -> list[str | None]:
    """Return the uses among some records as the parameters of a statement.

    This is apart from `begin_batch`, because it can be done while another batch is being stored.
    """
    uses = _of_class(UseRecord, records)
    return store.arrays(uses, time.perf_counter()) if uses else []


def _raising(failure: errors.PromptctlError) -> Callable[[], store.Recorded]:
    def wait() -> store.Recorded:
        raise failure

    return wait


def _of_class(record_class: type[AnyRecord], records: Sequence[QueuedRecord]) -> list[AnyRecord]:
    return [record for record in records if isinstance(record, record_class)]


def _is_caused_by_data(failure: errors.PromptctlError) -> bool:
    """Return whether the database would refuse the same records again. After any other failure, they are retried."""
    if isinstance(failure, (errors.Unreachable, errors.SchemaMismatch)):
        return False
    return isinstance(failure, errors.Usage) or failure.sqlstate[:2] in _SQLSTATE_CLASSES_OF_DATA
