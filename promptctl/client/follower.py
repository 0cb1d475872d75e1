"""The thread that keeps active versions up to date: it is notified of changes, and polls to be sure.

It alone reads the database, if a thread can be started. A caller that needs a prompt that is not in memory waits for
it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shlex
import threading
import time
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.client.exceptions import PromptNotFound, Unavailable, VersionNotFound
from promptctl.client.load_requests import Request
from promptctl.client.refresher import Refresher
from promptctl.postgres import connecting
from promptctl.store import administration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.client.link import Link
    from promptctl.client.memory import Memory
    from promptctl.client.snapshot import Snapshot
    from promptctl.client.state import State
    from promptctl.postgres.database import Database
    from promptctl.postgres.settings import Target

_LOG = logging.getLogger("promptctl")
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
# A server that accepts a connection and does not answer for this long is down.
ANSWER_SECONDS = 10.0


class _NoThread(RuntimeError):
    """The thread cannot be started: the system has none left, or the interpreter is ending."""


class Follower:
    """Keeps a client's memory up to date in a thread, and loads prompts on demand."""

    def __init__(
        self,
        target: Target,
        memory: Memory,
        link: Link,
        *,
        poll_seconds: float,
        connect_seconds: float,
        snapshot: Snapshot | None,
    ) -> None:
        self.label = "the database"
        self._target = target
        self._memory = memory
        self._longest_poll_seconds = poll_seconds
        self._connect_seconds = connect_seconds
        self._refresher = Refresher(memory, link, snapshot, self._mark_connected)
        self._waker = _Waker()
        self._begin()

    def _begin(self) -> None:
        """Start again, as in a process that has read nothing: no thread, no connection, no waiting caller."""
        # Each client has an interval of its own, a little below the promised one: processes do not poll at once.
        self._poll_seconds = self._longest_poll_seconds * random.uniform(0.9, 0.98)  # noqa: S311 - not a secret
        # Reentrant, because a signal handler may close the client where it interrupts this.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._database: Database | None = None
        self._is_stopping = False
        self._failure: errors.PromptctlError | None = None
        self.is_following = False
        self._refresher.begin()

    def forked(self) -> None:
        """In a child process: forget the parent's thread, and its connection without closing it."""
        if self._database is not None:
            self._database.abandon()
        self._waker.close()
        self._begin()

    def threads_replaced(self) -> bool:
        """Recreate the locks after a library such as gevent replaced `threading`; False: the thread already runs."""
        if self._thread is not None:
            return False
        if not self._is_stopping:
            self._begin()
        return True

    def start(self) -> None:
        """Start the thread unless it is running. Raises _NoThread."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is not None or self._is_stopping:
                return
            self._waker.open()
            thread = threading.Thread(target=self._run, name="promptctl-follower", daemon=True)
            try:
                thread.start()
            except RuntimeError as problem:
                self._waker.close()
                raise _NoThread(str(problem)) from None
            self._thread = thread

    def stop(self) -> None:
        """Have the thread end; `join` waits for it."""
        with self._lock:
            self._is_stopping = True
            self._waker.wake()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, at most this long."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def load(self, names: Sequence[str], seconds: float) -> State:
        """Return a state that has these names and pinned references.

        Does not wait for a database that cannot be reached. Raises PromptNotFound, VersionNotFound, Unavailable.
        """
        try:
            return self._load(names, seconds)
        except _NoThread as problem:
            return self._load_without_thread(names, str(problem))

    def _load(self, names: Sequence[str], seconds: float) -> State:
        not_loaded = self._memory.state.missing(names)
        if not_loaded and self._failure is None and not self._refresher.nonexistent.first(not_loaded):
            self._wait_for(not_loaded, seconds)
            not_loaded = self._memory.state.missing(names)
        else:
            self.start()
        if not not_loaded:
            return self._memory.state
        if nonexistent := self._refresher.nonexistent.first(not_loaded):
            raise nonexistent.error()
        failure = self._failure
        reason = failure.message if failure else f"no answer in {seconds:g} s"
        raise Unavailable(
            "prompt_unavailable",
            f'"{not_loaded[0]}" is not loaded and cannot be read: {reason}',
            hint=failure.hint if failure else None,
        )

    def _wait_for(self, names: Sequence[str], seconds: float) -> None:
        """Have the thread read these names, and wait; if it takes too long, load the snapshot."""
        request = Request(names)
        # Before the thread starts, so that its first query includes them.
        self._refresher.requests.add(request)
        try:
            self.start()
        except _NoThread:
            self._refresher.requests.remove(request)
            raise
        with self._lock:
            if self._is_stopping:
                return
            self._waker.wake()
        if not request.wait(seconds):
            self._refresher.load_snapshot()

    def _load_without_thread(self, names: Sequence[str], reason: str) -> State:
        """Return a state that has these names, read in the caller's thread. The next call reads it again."""
        try:
            with contextlib.closing(self._connect()) as database:
                return self._refresher.read_once(database, names)
        except (PromptNotFound, VersionNotFound):
            raise
        except errors.PromptctlError as failure:
            message = f"the active versions cannot be read: {failure.message} ({reason})"
            raise Unavailable("prompt_unavailable", message, hint=failure.hint) from None

    def _connect(self) -> Database:
        return connecting.connect_application(
            self._target, connect_timeout_seconds=self._connect_seconds, timeout_seconds=ANSWER_SECONDS
        )

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._is_stopping:
            try:
                self._database = database = self._connect()
                try:
                    self._follow(database)
                except errors.Refused as refused:
                    refused.hint = _grant_hint(database) or refused.hint
                    raise
                finally:
                    self._database = None
                    database.close()
            except errors.PromptctlError as failure:
                if self._failure is None:
                    # The first failure after a success.
                    pause = _FIRST_PAUSE_SECONDS
                self._mark_disconnected(failure)
            except Exception as bug:  # noqa: BLE001 - the thread must continue, and the log has the traceback
                _LOG.exception("promptctl: a bug in the thread that follows active versions")
                self._mark_disconnected(errors.Failed("bug", f"{type(bug).__name__}: {bug}"))
            if not self._is_stopping:
                self._pause(pause * random.uniform(0.5, 1))  # noqa: S311 - not a secret
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self.is_following = False
        with self._lock:
            self._waker.close()
        self._answer_all()
        self._refresher.save_at_end()

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt to connect. Requests do not shorten it: they would connect over and over."""
        until = time.monotonic() + seconds
        while not self._is_stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))

    def _follow(self, database: Database) -> None:
        # Listen before reading, so that no change in between is missed.
        listens = database.listen("promptctl")
        self.label = database.label
        # Read all prompts again: after a failover, the new server's epochs may be lower.
        self._refresher.refresh(database, anew=True)
        polls_at = time.monotonic() + self._poll_seconds
        while not self._is_stopping:
            seconds = min(polls_at - time.monotonic(), self._refresher.seconds_until_save())
            payloads, is_woken = database.notifications(
                0 if self._refresher.is_urgent else max(0.0, seconds), self._waker.descriptor
            )
            if is_woken:
                self._waker.drain()
            is_due = time.monotonic() >= polls_at
            if is_due and not listens:
                # A standby may have been promoted.
                listens = database.listen("promptctl")
            if is_due or self._refresher.is_urgent or any(map(self._refresher.concerns, payloads)):
                may_be_erased = is_due or any('"erased"' in payload for payload in payloads)
                self._refresher.refresh(database, may_be_erased=may_be_erased)
                polls_at = time.monotonic() + self._poll_seconds
            else:
                self._refresher.save(is_changed=False)

    def _mark_connected(self) -> None:
        self.is_following = True
        if self._failure is not None:
            _LOG.warning("promptctl: connected to %s again", self.label)
            self._failure = None

    def _mark_disconnected(self, failure: errors.PromptctlError) -> None:
        self.is_following = False
        if self._failure is None:
            self._refresher.load_snapshot()
            state = self._memory.state
            if state.plain or state.prompts:
                consequence = f"using the versions confirmed {self._memory.age_seconds:.0f} s ago"
            else:
                consequence = "no version is loaded"
            # Drop the part after the semicolon: only a writer needs to know whether the statement was executed.
            message = failure.message.partition(";")[0] if failure.code == "connection_lost" else failure.message
            _LOG.warning("promptctl: %s; %s", message, consequence)
        self._failure = failure
        self._answer_all()

    def _answer_all(self) -> None:
        for request in self._refresher.requests.take():
            request.answer()


class _Waker:
    """A pipe that wakes a waiting thread, which reads `descriptor`; -1 while it is closed."""

    def __init__(self) -> None:
        self.descriptor = self._writer = -1

    def open(self) -> None:
        """Open the pipe. Raises OSError."""
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        os.set_blocking(self.descriptor, False)

    def wake(self) -> None:
        """Wake the thread; nothing happens if the pipe is closed."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full of earlier calls
            if self._writer >= 0:
                os.write(self._writer, b"\0")

    def drain(self) -> None:
        """Read what earlier calls have written."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def close(self) -> None:
        """Close the pipe."""
        descriptors, self.descriptor, self._writer = (self.descriptor, self._writer), -1, -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def _grant_hint(database: Database) -> str | None:
    """Return a hint to grant the connected login an application's access, None if it has that or cannot be read."""
    try:
        login, owner, resolves = administration.read_login(database)
    except errors.PromptctlError:
        return None
    if owner is None or resolves:
        return None
    return f"ask {owner}, the owner of the schema, to run: promptctl db grant {shlex.quote(login)} --as application"
