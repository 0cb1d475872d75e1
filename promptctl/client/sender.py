"""The connection by which uses are recorded: batches, of which what is refused is left out alone.

Ids are made by the client, and the database takes each once: so what may or may not have arrived is sent again.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from promptctl import errors
from promptctl.client.rows import FALLBACK, SCORE, USE
from promptctl.postgres import connecting
from promptctl.store import uses as store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.client.rows import Row
    from promptctl.postgres.database import Database
    from promptctl.postgres.settings import Target

_LOG = logging.getLogger("promptctl")
# The classes of SQLSTATE that are about what was sent: data, constraints, limits, and what our functions raise of it.
_OF_THE_ROW = ("22", "23", "54", "P0")
# Whoever scores one of these uses as well waits until all are there.
_MOST_SCORES = 50


class Batch:
    """Rows whose uses were sent; `wait` waits for the answer, None: there are no uses among them."""

    __slots__ = ("rows", "wait")

    def __init__(self, rows: list[Row], wait: Callable[[], store.Booked] | None) -> None:
        self.rows = rows
        self.wait = wait


class Sender:
    """A connection that is made when it is needed. `refused` is told of each row that will never be taken, and why.

    `late` is told of how many were from before what the database keeps.
    """

    def __init__(
        self, target: Target, refused: Callable[[Row, errors.PromptctlError], None], late: Callable[[int], None]
    ) -> None:
        self._target = target
        self._refused = refused
        self._late = late
        self._database: Database | None = None
        self._used_at = 0.0
        self._late_ones = 0

    def connect(self, connect_seconds: float, answer_seconds: float) -> None:
        """Be connected, to a database that can be recorded in. Raises what is no fault of what will be sent."""
        if self._database is None:
            self._database = connecting.connect_application(
                self._target, connect_timeout_seconds=connect_seconds, timeout_seconds=answer_seconds
            )
            self._database.run_all()
        else:
            self._database.set_timeout(answer_seconds)

    def begin(self, rows: list[Row], prepared: list[Any]) -> Batch:
        """Send the uses among some rows, and do not wait; `prepared` is what `prepare` made of them."""
        assert self._database is not None
        try:
            return Batch(rows, store.begin_many(self._database, prepared) if prepared else None)
        except errors.Usage as failure:  # one of them cannot even be sent
            return Batch(rows, _raising(failure))

    def end(self, batch: Batch) -> None:
        """Wait for the uses, and send what else is in a batch. Raises what is no fault of what was sent."""
        self._late_ones = 0
        try:
            if batch.wait is not None:
                self._late_ones += batch.wait().late
        except errors.PromptctlError as failure:
            if not _is_of_a_row(failure):
                raise
            self._send(USE, _of_kind(USE, batch.rows))
        self._send(FALLBACK, _of_kind(FALLBACK, batch.rows))
        scores = _of_kind(SCORE, batch.rows)
        for start in range(0, len(scores), _MOST_SCORES):
            self._send(SCORE, scores[start : start + _MOST_SCORES])
        self._used_at = time.monotonic()
        # Of a batch that has to be sent once more they will be told again.
        if self._late_ones:
            self._late(self._late_ones)

    def send(self, rows: list[Row]) -> None:
        """Send rows and wait. Raises what is no fault of what was sent."""
        self.end(self.begin(rows, prepare(rows)))

    def close(self) -> None:
        """End the connection."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def close_if_idle(self, seconds: float) -> None:
        """Give the connection back when nothing was sent for so long."""
        if time.monotonic() - self._used_at > seconds:
            self.close()

    def abandon(self) -> None:
        """In a child process: let go of the parent's connection."""
        if self._database is not None:
            self._database.abandon()
            self._database = None

    def _send(self, kind: str, rows: Sequence[Row]) -> None:
        """Send rows of one kind; of refused ones each half, down to the one that is to blame."""
        if not rows:
            return
        database = self._database
        assert database is not None
        values = [row[1:] for row in rows]
        try:
            if kind == USE:
                self._late_ones += store.begin_many(database, store.prepared(values, time.perf_counter()))().late
            elif kind == FALLBACK:
                self._late_ones += store.record_fallbacks(database, values, time.perf_counter()).late
            else:
                store.score(database, [(use_id, score) for use_id, score in values])
        except errors.PromptctlError as failure:
            if not _is_of_a_row(failure):
                raise
            if len(rows) == 1:
                self._refused(rows[0], failure)
                return
            half = len(rows) // 2
            self._send(kind, rows[:half])
            self._send(kind, rows[half:])


def _raising(failure: errors.PromptctlError) -> Callable[[], store.Booked]:
    def wait() -> store.Booked:
        raise failure

    return wait


def prepare(rows: Sequence[Row]) -> list[Any]:
    """Return what is sent of the uses among some rows, which can be made ready while others are under way."""
    uses = [row[1:] for row in rows if row[0] == USE]
    return store.prepared(uses, time.perf_counter()) if uses else []


def _of_kind(kind: str, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row[0] == kind]


def _is_of_a_row(failure: errors.PromptctlError) -> bool:
    """Whether something is refused for what it is, and always will be. Else it is tried again until it is taken."""
    if isinstance(failure, (errors.Unreachable, errors.SchemaMismatch)):
        return False
    return isinstance(failure, errors.Usage) or failure.sqlstate[:2] in _OF_THE_ROW
