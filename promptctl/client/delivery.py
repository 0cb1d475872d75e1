"""Sending the backlog and the spool to the database, one turn after the other."""

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
_ANSWER_SECONDS = 15.0
# A connection that is not used for about this long is closed.
_IDLE_SECONDS = 30.0
# After so many unexpected exceptions in a row the backlog is dropped.
_MOST_BUGS = 3


class Delivery:
    """What a recorder's thread does in each turn. `stop` sets a time at which it gives up."""

    def __init__(self, target: Target, backlog: Backlog, *, connect_seconds: float) -> None:
        self._backlog = backlog
        self._spool = backlog.spool
        self._sender = Sender(target, self._refuse, self._drop_late)
        self._connect_seconds = connect_seconds
        self.begin()

    def begin(self) -> None:
        """Start again, as in a process that has recorded nothing."""
        self.failure: errors.PromptctlError | None = None
        self.is_stopping = self.has_ended = False
        self.stops_at = float("inf")
        self._has_adopted_spool = False
        self._bugs = 0

    def forked(self) -> None:
        """In a child process: forget the parent's connection."""
        self._sender.abandon()
        self.begin()

    @property
    def has_work(self) -> bool:
        """Whether another turn is needed, even if nothing new is recorded."""
        must_adopt = self._spool is not None and not self._has_adopted_spool
        return must_adopt or bool(self.failure or self._bugs or len(self._backlog)) or not self._backlog.is_empty

    def stop(self, until: float) -> None:
        """Have a running turn give up at this time (time.monotonic)."""
        self.stops_at = until
        self.is_stopping = True

    def take_turn(self) -> None:
        """Send what is there, and log what is lost. Does not raise."""
        try:
            self._send_all()
            self._bugs = 0
        except Exception as bug:  # noqa: BLE001 - the thread must continue, and the log has the traceback
            _LOG.exception("promptctl: a bug in the thread that records uses")
            self._sender.close()
            self._bugs += 1
            if self._bugs >= _MOST_BUGS:
                self._backlog.drop_all(f"{type(bug).__name__}: {bug}")
        self._backlog.losses.report()

    def give_up(self) -> None:
        """At the end: move what was not sent into the spool, or drop it."""
        self._backlog.move_to_spool()
        if self._spool is not None:
            self._spool.close()
        self.has_ended = True
        self._backlog.drop_all("the client was closed before they could be sent")
        self._backlog.losses.report()

    def close(self) -> None:
        """Close the connection."""
        self._sender.close()

    def _send_all(self) -> None:
        try:
            self._send_spool()
            self._backlog.retry_scores(is_ending=self.is_stopping)
            self._send_backlog()
        except errors.PromptctlError as failure:
            self._sender.close()
            if self.failure is None:
                _LOG.warning("promptctl: cannot record uses: %s; retrying", failure.message)
            self.failure = failure
            self._backlog.make_room()
            return
        if self.failure is not None:
            _LOG.warning("promptctl: recording uses again")
            self.failure = None
        self._sender.close_if_idle(_IDLE_SECONDS)

    def _send_backlog(self) -> None:
        # Uses that end meanwhile are sent in the next turn.
        left = len(self._backlog)
        records = self._backlog.collect(0)
        if records:
            # Before the arrays are made, because they contain the ages of the uses.
            self._connect()
        arrays = use_arrays(records)
        while records and time.monotonic() < self.stops_at:
            self._connect()
            if self.has_ended:  # connecting took so long that the backlog was given up
                return
            batch = self._sender.begin(records, arrays)
            left -= len(records)
            # The next batch is prepared while the server stores this one.
            records = self._backlog.collect(len(records)) if left > 0 else []
            arrays = use_arrays(records)
            self._sender.end(batch)
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
                self._sender.send(records)
                self._backlog.finish(records)
            spool.remove(path)

    def _connect(self) -> None:
        left = max(0.1, self.stops_at - time.monotonic())
        self._sender.connect(min(self._connect_seconds, left), min(_ANSWER_SECONDS, left))

    def _refuse(self, record: QueuedRecord, failure: errors.PromptctlError) -> None:
        self._backlog.refuse(record, failure, is_ending=self.is_stopping)

    def _drop_late(self, number: int) -> None:
        self._backlog.losses.drop_uses(number, "they are older than what the database keeps")
