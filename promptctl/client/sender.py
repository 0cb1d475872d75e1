"""The connection that records uses in batches and drops only the records that the database refuses.

The client makes the ids and the database stores each once, so a batch whose result is unknown can be sent again.
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

Kind = TypeVar("Kind", UseRecord, FallbackRecord, ScoreRecord)

# Classes of SQLSTATE that blame the data: invalid data, constraints, limits, and what our functions raise.
_SQLSTATES_OF_DATA = ("22", "23", "54", "P0")
# Scored uses stay locked until all scores of a statement are stored, and block other writers of scores.
_MOST_SCORES = 50


class Batch:
    """Records whose uses were sent. `wait` waits for the result; None: the batch has no uses."""

    __slots__ = ("records", "wait")

    def __init__(self, records: list[QueuedRecord], wait: Callable[[], store.Recorded] | None) -> None:
        self.records = records
        self.wait = wait


class Sender:
    """A connection that is opened when it is needed.

    `refused` is called with each record that the database refuses and the error, `late` with the number of uses that
    are older than what the database keeps.
    """

    def __init__(
        self,
        target: Target,
        refused: Callable[[QueuedRecord, errors.PromptctlError], None],
        late: Callable[[int], None],
    ) -> None:
        self._target = target
        self._refused = refused
        self._late = late
        self._database: Database | None = None
        self._used_at = 0.0
        self._late_uses = 0

    def connect(self, connect_seconds: float, answer_seconds: float) -> None:
        """Open the connection unless it is open. Raises errors.PromptctlError, which no record is to blame for."""
        if self._database is None:
            self._database = connecting.connect_application(
                self._target, connect_timeout_seconds=connect_seconds, timeout_seconds=answer_seconds
            )
            self._database.run_all()
        else:
            self._database.set_timeout(answer_seconds)

    def begin(self, records: list[QueuedRecord], arrays: list[str]) -> Batch:
        """Send the uses of a batch without waiting; `arrays` is what `use_arrays` returned for it."""
        assert self._database is not None
        try:
            return Batch(records, store.begin_recording(self._database, arrays) if arrays else None)
        except errors.Usage as failure:  # one of them cannot be sent at all
            return Batch(records, _raising(failure))

    def end(self, batch: Batch) -> None:
        """Wait for the uses of a batch and send the rest of it. Raises errors that no record is to blame for."""
        self._late_uses = 0
        try:
            if batch.wait is not None:
                self._late_uses += batch.wait().late
        except errors.PromptctlError as failure:
            if not _blames_data(failure):
                raise
            self._bisect(_of_class(UseRecord, batch.records), self._record_uses)
        self._bisect(_of_class(FallbackRecord, batch.records), self._record_fallbacks)
        scores = _of_class(ScoreRecord, batch.records)
        for start in range(0, len(scores), _MOST_SCORES):
            self._bisect(scores[start : start + _MOST_SCORES], self._score)
        self._used_at = time.monotonic()
        # Reported last: a batch that is sent again counts them again.
        if self._late_uses:
            self._late(self._late_uses)

    def send(self, records: list[QueuedRecord]) -> None:
        """Send records and wait. Raises errors that no record is to blame for."""
        self.end(self.begin(records, use_arrays(records)))

    def close(self) -> None:
        """Close the connection."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def close_if_idle(self, seconds: float) -> None:
        """Close the connection if nothing was sent for this many seconds."""
        if time.monotonic() - self._used_at > seconds:
            self.close()

    def abandon(self) -> None:
        """In a child process: forget the parent's connection without closing it."""
        if self._database is not None:
            self._database.abandon()
            self._database = None

    def _bisect(self, records: Sequence[Kind], send: Callable[[Database, Sequence[Kind]], None]) -> None:
        """Send records; when they are refused, send each half, down to the record that is to blame."""
        if not records:
            return
        assert self._database is not None
        try:
            send(self._database, records)
        except errors.PromptctlError as failure:
            if not _blames_data(failure):
                raise
            if len(records) == 1:
                self._refused(records[0], failure)
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


def use_arrays(records: Sequence[QueuedRecord]) -> list[str]:
    """Return the parameters for the uses among some records; they can be prepared while another batch is sent."""
    uses = _of_class(UseRecord, records)
    return store.arrays(uses, time.perf_counter()) if uses else []


def _raising(failure: errors.PromptctlError) -> Callable[[], store.Recorded]:
    def wait() -> store.Recorded:
        raise failure

    return wait


def _of_class(record_class: type[Kind], records: Sequence[QueuedRecord]) -> list[Kind]:
    return [record for record in records if isinstance(record, record_class)]


def _blames_data(failure: errors.PromptctlError) -> bool:
    """Return whether the same records would be refused again. Otherwise sending is retried until it succeeds."""
    if isinstance(failure, (errors.Unreachable, errors.SchemaMismatch)):
        return False
    return isinstance(failure, errors.Usage) or failure.sqlstate[:2] in _SQLSTATES_OF_DATA
