"""The thread that keeps active versions up to date. It is notified of changes, and polls too.

It polls because a notification can be lost.

Only this thread reads the database. A caller that needs a prompt that is not in memory waits until the thread has read
it. Where no thread can be started, the caller reads the database itself.
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
# Between attempts to connect. Each pause is twice as long as the one before.
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
        self._reset()

    def _reset(self) -> None:
        """Start again, as in a process that has read nothing: no thread, no connection, no waiting caller."""
        # A random interval, a little shorter than the documented one, so that processes do not all poll at the same
        # time.
        self._poll_seconds = self._longest_poll_seconds * random.uniform(0.9, 0.98)  # noqa: S311 - not a secret
        # Reentrant: a signal handler may close the client, which takes this lock, while the interrupted code holds it.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._database: Database | None = None
        self._is_stopping = False
        # Why the database cannot be read; None after it was read.
        self._failure: errors.PromptctlError | None = None
        self.is_following = False
        self._refresher.reset()

    @property
    def is_started(self) -> bool:
        """Whether the thread was started in this process."""
        return self._thread is not None

    def reset_in_child(self) -> None:
        """In a child process: forget the parent's thread, and its connection without closing it."""
        if self._database is not None:
            self._database.abandon()
        self._waker.close()
        self._reset()

    def recreate_locks(self) -> bool:
        """Recreate the locks after a library such as gevent replaced `threading`.

        Return False, and keep the locks, if the thread was started: it uses them. Otherwise return True. A client that
        was stopped before its thread started keeps its locks too, because a reset would undo the stop.
        """
        if self._thread is not None:
            return False
        if not self._is_stopping:
            self._reset()
        return True

    def start(self) -> None:
        """Start the thread unless it runs. Raises _NoThread if the system grants no thread or no file descriptor."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is not None or self._is_stopping:
                return
            thread = threading.Thread(target=self._run, name="promptctl-follower", daemon=True)
            try:
                self._waker.open()
                thread.start()
            except (RuntimeError, OSError) as problem:
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
        """Return a state that has each of `names`: the name of a prompt, or a reference such as `support@3`.

        Does not wait if the last attempt to read the database failed. Raises PromptNotFound, VersionNotFound,
        Unavailable.
        """
        try:
            return self._load_in_thread(names, seconds)
        except _NoThread as problem:
            return self._load_without_thread(names, str(problem))

    def _load_in_thread(self, names: Sequence[str], seconds: float) -> State:
        missing = self._memory.state.not_loaded(names)
        # Do not wait for a database that cannot be read, or for a name that it does not have.
        is_readable = self._failure is None and self._refresher.nonexistent.first(missing) is None
        if missing and is_readable:
            self._request(missing, seconds)
            missing = self._memory.state.not_loaded(names)
        else:
            self.start()
        if not missing:
            return self._memory.state
        if nonexistent := self._refresher.nonexistent.first(missing):
            raise nonexistent.error()
        failure = self._failure
        reason = failure.message if failure else f"no answer in {seconds:g} s"
        raise Unavailable(
            "prompt_unavailable",
            f'"{missing[0]}" is not loaded and cannot be read: {reason}',
            hint=failure.hint if failure else None,
        )

    def _request(self, names: Sequence[str], seconds: float) -> None:
        """Have the thread read these names, and wait. If this takes longer than `seconds`, load the snapshot."""
        request = Request(names)
        # Before the thread starts, so that its first query has these names.
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
        """Read these names in the caller's thread. They are not kept in memory, so the next call reads them again.

        `reason` is why no thread can be started.
        """
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
                if self._failure is None:  # the first failure after a success
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
        """Wait before the next attempt to connect. Requests do not shorten this, or each would cause an attempt."""
        until = time.monotonic() + seconds
        while not self._is_stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))

    def _follow(self, database: Database) -> None:
        """Refresh the state at each notification, poll and request, until the client stops or the connection fails."""
        # Listen before reading, so that a change between the two is notified. A standby refuses to listen.
        is_listening = database.listen("promptctl")
        self.label = database.label
        # Later refreshes read only the prompts whose epoch has changed. This one reads all, because epochs can
        # repeat after a failover: the new server may have lost the change with epoch 7 and given 7 to a later change.
        self._refresher.refresh(database, is_full=True)
        poll_at = time.monotonic() + self._poll_seconds
        while not self._is_stopping:
            seconds = min(poll_at - time.monotonic(), self._refresher.seconds_until_save())
            payloads, is_woken = database.notifications(
                0 if self._refresher.has_names_to_read else max(0.0, seconds), self._waker.descriptor
            )
            if is_woken:
                self._waker.drain()
            must_poll = time.monotonic() >= poll_at
            if must_poll and not is_listening:
                # Try again: a standby may have become the primary.
                is_listening = database.listen("promptctl")
            if must_poll or self._refresher.has_names_to_read or any(map(self._refresher.is_relevant, payloads)):
                # Pinned versions never change, but they can be erased. Each poll checks this, because the notification
                # of an erasure can be lost.
                should_check_erased = must_poll or any('"erased"' in payload for payload in payloads)
                self._refresher.refresh(database, should_check_erased=should_check_erased)
                poll_at = time.monotonic() + self._poll_seconds
            else:
                # Nothing was read, so the state has not changed. The snapshot may still be due.
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
            if self._memory.state.is_empty:
                consequence = "no version is loaded"
            else:
                consequence = f"using the versions confirmed {self._memory.age_seconds:.0f} s ago"
            # Drop the part after the semicolon: it is about whether a change was made, and this thread only reads.
            message = failure.message.partition(";")[0] if failure.code == "connection_lost" else failure.message
            _LOG.warning("promptctl: %s; %s", message, consequence)
        self._failure = failure
        self._answer_all()

    def _answer_all(self) -> None:
        """Let all waiting callers continue. They raise an error if their names were not loaded."""
        for request in self._refresher.requests.take():
            request.answer()


class _Waker:
    """A pipe that wakes a thread. The thread waits until `descriptor` can be read. It is -1 while there is no pipe."""

    def __init__(self) -> None:
        self.descriptor = self._writer = -1

    def open(self) -> None:
        """Open the pipe. Raises OSError."""
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        os.set_blocking(self.descriptor, False)

    def wake(self) -> None:
        """Wake the thread. Does nothing if the pipe is closed."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full of bytes from earlier calls
            if self._writer >= 0:
                os.write(self._writer, b"\0")

    def drain(self) -> None:
        """Empty the pipe, so that the thread can wait again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def close(self) -> None:
        """Close the pipe."""
        descriptors = (self.descriptor, self._writer)
        # Forget the numbers first: as soon as a descriptor is closed, its number may belong to another file.
        self.descriptor = self._writer = -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def _grant_hint(database: Database) -> str | None:
    """Return a hint to grant the connected login the access `application`.

    Return None if the login has this access, if there is no schema, or if this cannot be read.
    """
    try:
        login, owner, may_resolve = administration.read_login(database)
    except errors.PromptctlError:
        return None
    if owner is None or may_resolve:
        return None
    return f"ask {owner}, the owner of the schema, to run: promptctl db grant {shlex.quote(login)} --as application"
