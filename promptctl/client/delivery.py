"""What the recorder's thread does in each turn: it sends the spool and the backlog to the database."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.client.sender import Sender, use_arrays

if TYPE_CHECKING:
    from promptctl.client.backlog import Backlog
    from promptctl.client.use_records import QueuedRecord
    from promptctl.postgres.settings import Target

_LOG = logging.getLogger("promptctl")
# A server that does not answer for this long is down.
_ANSWER_SECONDS = 15.0
# A connection that is not used for about this long is closed.
_IDLE_SECONDS = 30.0
# After so many unexpected exceptions in a row the backlog is dropped, because a record in it may cause them.
_MOST_BUGS = 3


class Delivery:
    """Sends the spool and the backlog, and handles failures.

    `failure` is that of the last turn, or None. `stop` limits how long turns send; `end` is called after the last turn.
    """

    def __init__(self, target: Target, backlog: Backlog, *, connect_seconds: float) -> None:
        self._backlog = backlog
        self._spool = backlog.spool
        self._sender = Sender(target, self._refuse, self._count_late)
        self._connect_seconds = connect_seconds
        self.reset()

    def reset(self) -> None:
        """Start again, as in a process that has recorded nothing."""
        self.failure: errors.PromptctlError | None = None
        self.is_stopping = self.has_ended = False
        self.stops_at = float("inf")
        self._has_adopted_spool = False
        self._bugs_in_a_row = 0

    def reset_in_child(self) -> None:
        """In a child process: forget the parent's connection."""
        self._sender.abandon()
        self.reset()

    @property
    def has_work(self) -> bool:
        """Whether another turn is needed, even if no use ends before it."""
        must_adopt = self._spool is not None and not self._has_adopted_spool
        must_retry = self.failure is not None or self._bugs_in_a_row > 0
        # `len` includes scores that wait for a retry; `is_empty` includes the spool.
        return must_adopt or must_retry or len(self._backlog) > 0 or not self._backlog.is_empty

    def stop(self, until: float) -> None:
        """Have a turn that is running at `until` (time.monotonic) send nothing more."""
        self.stops_at = until
        self.is_stopping = True

    def take_turn(self) -> None:
        """Send the spool and the backlog, and log what was dropped. Logs exceptions instead of raising them."""
        try:
            self._send_all()
            self._bugs_in_a_row = 0
        except Exception as bug:  # noqa: BLE001 - the thread must continue, and the log has the traceback
            _LOG.exception("promptctl: a bug in the thread that records uses")
            self._sender.disconnect()
            self._bugs_in_a_row += 1
            if self._bugs_in_a_row >= _MOST_BUGS:
                self._backlog.drop_all(f"{type(bug).__name__}: {bug}")
        self._backlog.losses.report()

    def end(self) -> None:
        """After the last turn: move what was not sent into the spool, or drop it."""
        self._backlog.move_to_spool()
        if self._spool is not None:
            self._spool.close()
        self.has_ended = True
        self._backlog.drop_all("the client was closed before they could be sent")
        self._backlog.losses.report()

    def disconnect(self) -> None:
        """Close the connection."""
        self._sender.disconnect()

    def _send_all(self) -> None:
        try:
            self._send_spool()
            self._backlog.retry_scores(is_ending=self.is_stopping)
            self._send_backlog()
        except errors.PromptctlError as failure:
            self._sender.disconnect()
            if self.failure is None:
                _LOG.warning("promptctl: cannot record uses: %s; retrying", failure.message)
            self.failure = failure
            self._backlog.shorten_in_outage()
            return
        if self.failure is not None:
            _LOG.warning("promptctl: recording uses again")
            self.failure = None
        self._sender.disconnect_if_idle(_IDLE_SECONDS)

    def _send_backlog(self) -> None:
        # Only what is there now. Uses that end meanwhile are sent in the next turn.
        left = len(self._backlog)
        records = self._backlog.next_batch(skip=0)
        if records:
            # Connect before the arrays are made: they contain the ages of the uses, which grow while connecting.
            self._connect()
        arrays = use_arrays(records)
        while records and time.monotonic() < self.stops_at:
            self._connect()
            if self.has_ended:  # while connecting: another thread has called `end`
                return
            batch = self._sender.begin_batch(records, arrays)
            left -= len(records)
            # Prepare the next batch while the server stores this one.
            records = self._backlog.next_batch(skip=len(records)) if left > 0 else []
            arrays = use_arrays(records)
            self._sender.end_batch(batch)
            self._backlog.finish(batch.records)

    def _send_spool(self) -> None:
        spool = self._spool
        if spool is None:
            return
        if not self._has_adopted_spool:
            self._has_adopted_spool = True
            spool.adopt()
        if not spool.has_files:
            return
        self._connect()
        for path in spool.files():
            for records in spool.read(path, self._backlog.batch_size):
                if time.monotonic() > self.stops_at:
                    return
                self._sender.send_batch(records)
                self._backlog.finish(records)
            spool.remove(path)

    def _connect(self) -> None:
        left = max(0.1, self.stops_at - time.monotonic())
        self._sender.connect(min(self._connect_seconds, left), min(_ANSWER_SECONDS, left))

    def _refuse(self, record: QueuedRecord, failure: errors.PromptctlError) -> None:
        self._backlog.refuse(record, failure, is_ending=self.is_stopping)

    def _count_late(self, number: int) -> None:
        self._backlog.losses.drop_uses(number, "they are older than what the database keeps")
