"""The thread that keeps what is served up to date: told by notifications, and asking now and then to be sure.

It alone reads from the database. Whoever asks for a prompt that is not known yet waits for it, once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import random
import shlex
import threading
import time
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.client import absent, reading, serving
from promptctl.client.failures import Unavailable
from promptctl.postgres import connecting
from promptctl.store import administration, following

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from promptctl.client.prompt import Link
    from promptctl.client.snapshot import Snapshot
    from promptctl.postgres.database import Database
    from promptctl.postgres.settings import Target

_LOG = logging.getLogger("promptctl")
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
# A server that is reached and does not answer for so long is not there.
ANSWER_SECONDS = 10.0


class _NoThread(RuntimeError):
    """No thread can be started: the system has none left, or the interpreter is ending."""


class _Request:
    """Names and pinned references that somebody waits for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        # Not an Event, which holds a lock while it begins to wait: a signal's handler may interrupt that.
        self.answers: queue.SimpleQueue[None] = queue.SimpleQueue()


class Follower:
    """What is served, followed; `state` is replaced as a whole. `publish` is told of every new one."""

    def __init__(
        self,
        target: Target,
        link: Link,
        publish: Callable[[serving.State], None],
        *,
        poll_seconds: float,
        connect_seconds: float,
        snapshot: Snapshot | None,
    ) -> None:
        self.state = serving.State({}, {})
        self.label = "the database"
        self._target = target
        self.link = link
        self._publish = publish
        self._longest_poll_seconds = poll_seconds
        self._connect_seconds = connect_seconds
        self._snapshot = snapshot
        self._confirmed_at = time.monotonic()
        self._ever_confirmed = False
        self._absences: Mapping[str, absent.Absence] = {}
        # What other processes that share the snapshot know: asked for once.
        self._others: Sequence[str] = ()
        self._asked_for_others: set[str] = set()
        self._wakes = self._waker = -1
        self._began_anew()

    def _began_anew(self) -> None:
        """As in a process that has not asked yet: no thread, no connection, nobody waiting."""
        # A little early, so that the answer is there in time; and not all processes that were told of a change at once.
        self._poll_seconds = self._longest_poll_seconds * random.uniform(0.9, 0.98)  # noqa: S311 - nothing secret
        # A signal's handler may close what the code that it interrupts is at.
        self._lock = threading.RLock()
        self._requests: list[_Request] = []
        self._thread: threading.Thread | None = None
        self._database: Database | None = None
        self._stops = False
        self._is_published = False
        self.failure: errors.PromptctlError | None = None
        self.is_following = False

    def forked(self) -> None:
        """In a child process: forget the parent's thread, and its connection without ending it."""
        if self._database is not None:
            self._database.abandon()
        self._close_pipe()
        self._began_anew()

    def threads_replaced(self) -> bool:
        """Begin anew with the threads and locks of gevent, say; False: the thread runs already."""
        if self._thread is not None:
            return False
        if not self._stops:
            self._began_anew()
        return True

    @property
    def age_seconds(self) -> float:
        """How long ago the database confirmed the state; of one that never was, since it was begun."""
        return max(0.0, time.monotonic() - self._confirmed_at)

    def start(self) -> None:
        """Start the thread, if it does not run. Raises _NoThread."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is not None or self._stops:
                return
            self._wakes, self._waker = os.pipe()
            os.set_blocking(self._waker, False)
            os.set_blocking(self._wakes, False)
            thread = threading.Thread(target=self._run, name="promptctl-follower", daemon=True)
            try:
                thread.start()
            except RuntimeError as problem:
                self._close_pipe()
                raise _NoThread(str(problem)) from None
            self._thread = thread

    def stop(self) -> None:
        """Have the thread end, and its connection; `join` waits for it."""
        with self._lock:
            self._stops = True
            self._wake()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, for at most so long."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def load(self, names: Sequence[str], seconds: float) -> serving.State:
        """Return a state that knows these names and pinned references.

        While the database cannot be reached nobody waits for it: what is not known from before is unavailable at once.
        Raises PromptNotFound, VersionNotFound, Unavailable.
        """
        try:
            return self._load(names, seconds)
        except _NoThread as refused:
            return self._read_here(names, str(refused))

    def _load(self, names: Sequence[str], seconds: float) -> serving.State:
        state = self.state
        missing = state.missing(names)
        if missing and self.failure is None and not self._absence(missing):
            self._ask(missing, seconds)
            state = self.state
            missing = state.missing(names)
        else:
            self.start()
        if not missing:
            return state
        if absence := self._absence(missing):
            raise absence.failure()
        failure = self.failure
        because = failure.message if failure else f"no answer in {seconds:g} s"
        raise Unavailable(
            "prompt_unavailable",
            f'"{missing[0]}" is not known yet, and the database does not say: {because}',
            hint=failure.hint if failure else None,
        )

    def _ask(self, names: Sequence[str], seconds: float) -> None:
        """Have the thread read these, and wait for it; where it takes too long, begin from the snapshot."""
        request = _Request(names)
        # Before the thread begins: then its first reading has it.
        with self._lock:
            self._requests.append(request)
        try:
            self.start()
        except _NoThread:
            with self._lock:
                self._requests = [each for each in self._requests if each is not request]
            raise
        with self._lock:
            if self._stops:
                return
            self._wake()
        try:
            request.answers.get(timeout=seconds)
        except queue.Empty:
            self._begin_from_snapshot()

    def _read_here(self, names: Sequence[str], refused: str) -> serving.State:
        """Return a state that has these names, read in this thread, because none can be started to follow them.

        It is not kept, so that the next call reads again. Raises PromptNotFound, VersionNotFound, Unavailable.
        """
        try:
            database = connecting.connect_application(
                self._target, connect_timeout_seconds=self._connect_seconds, timeout_seconds=ANSWER_SECONDS
            )
            with contextlib.closing(database):
                asked_at = time.monotonic()
                state = reading.read(database, serving.State({}, {}), names, self.link, anew=True)
                missing = state.missing(names)
                known = following.names(database) if missing else ()
        except errors.PromptctlError as failure:
            raise Unavailable(
                "prompt_unavailable", f"what is active cannot be read: {failure.message} ({refused})", hint=failure.hint
            ) from None
        if missing:
            raise absent.Absence(missing[0], known, database.label).failure()
        self._confirmed_at = asked_at
        return state

    def _absence(self, names: Sequence[str]) -> absent.Absence | None:
        absences = self._absences
        return next((absences[name] for name in names if name in absences), None)

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stops:
            try:
                self._database = database = connecting.connect_application(
                    self._target, connect_timeout_seconds=self._connect_seconds, timeout_seconds=ANSWER_SECONDS
                )
                try:
                    self._follow(database)
                except errors.Refused as refused:
                    refused.hint = _grant(database) or refused.hint
                    raise
                finally:
                    self._database = None
                    database.close()
            except errors.PromptctlError as failure:
                if self.failure is None:
                    pause = _FIRST_PAUSE_SECONDS
                self._down(failure)
            except Exception as bug:  # noqa: BLE001 - it must go on whatever comes, and says so
                _LOG.exception("promptctl: a bug in the thread that follows what is served")
                self._down(errors.Failed("bug", f"{type(bug).__name__}: {bug}"))
            if not self._stops:
                self._sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - nothing secret
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self.is_following = False
        with self._lock:
            self._close_pipe()
        self._answer(self._taken())
        if self._snapshot is not None and self._snapshot.is_behind and self._ever_confirmed:
            self._snapshot.keep(self.state, self.age_seconds, ends=True)

    def _sleep(self, seconds: float) -> None:
        """Wait; only stopping ends it, so that an application that keeps asking does not keep connecting."""
        until = time.monotonic() + seconds
        while not self._stops and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))

    def _follow(self, database: Database) -> None:
        # Listening comes before reading: what changes in between is heard.
        listens = database.listen("promptctl")
        self.label = database.label
        # A server that took the place of another may have lost what that one said last, and count on from there.
        self._refresh(database, anew=True)
        polls_at = time.monotonic() + self._poll_seconds
        while not self._stops:
            until = min(polls_at, self._snapshot.due_at if self._snapshot is not None else polls_at)
            payloads, woken = database.notifications(
                0 if self._others else max(0.0, until - time.monotonic()), self._wakes
            )
            if woken:
                self._drain()
            due = time.monotonic() >= polls_at
            if due and not listens:
                # A standby may have been promoted meanwhile.
                listens = database.listen("promptctl")
            if due or self._requests or self._others or self._concern_us(payloads):
                self._refresh(database, may_be_erased=due or any('"erased"' in payload for payload in payloads))
                polls_at = time.monotonic() + self._poll_seconds
            else:
                self._keep(changed=False)

    def _concern_us(self, payloads: Sequence[str]) -> bool:
        for payload in payloads:
            # `{"name" : "greeter", "epoch" : 7}`: a prompt's name has nothing that JSON would escape. Of whatever else
            # is said, by a release or by anybody who may connect, to look once more does no harm.
            parts = payload.split('"', 4)
            if len(parts) < 5 or parts[1] != "name" or parts[3] in self.state.prompts or parts[3] in self._absences:
                return True
        return False

    def _refresh(self, database: Database, *, anew: bool = False, may_be_erased: bool = False) -> None:
        """Read what has changed of all that is known, and what is asked for: in one statement, so of one moment.

        A pinned version never changes, so whether it was erased is asked only when it `may_be_erased`, or `anew`.

        When something is moved every process does this at the same time: what there is nothing of is passed over.
        """
        requests = self._taken() if self._requests else []
        asked = [name for request in requests for name in request.names]
        asked_at = time.monotonic()
        try:
            state = self.state
            wanted = [*asked, *self._absences, *self._others]
            kept = reading.without_erased(database, state) if anew or may_be_erased else state
            found = reading.read(database, kept, wanted, self.link, anew=anew)
            changed = found is not state
            if changed or not self._is_published:
                # The one that most look at comes first: what is served never seems to go back.
                with self._lock:
                    self._publish(found)
                    self.state = found
                    self._is_published = True
            if asked or self._absences:
                self._note_absent(database, found, asked)
        except BaseException:
            with self._lock:
                self._requests = requests + self._requests
            raise
        self._up(asked_at)
        if requests:
            self._answer(requests)
        self._keep(changed=changed)

    def _note_absent(self, database: Database, state: serving.State, asked: Sequence[str]) -> None:
        absences = {name: absence for name, absence in self._absences.items() if state.missing([name])}
        new = [
            name for name in asked if name not in absences and name not in state.prompts and name not in state.pinned
        ]
        self._absences = absent.noted(absences, new, following.names(database), database.label) if new else absences

    def _keep(self, *, changed: bool) -> None:
        """Write the snapshot, if it is time; what others have put there is read first."""
        self._others = ()
        if self._snapshot is not None and self._snapshot.is_due(changed=changed):
            # What is asked for and still missing then is not there any more.
            self._others = self._snapshot.keep(self.state, self.age_seconds, self._asked_for_others)
            self._asked_for_others.update(self._others)

    def _up(self, asked_at: float) -> None:
        self._confirmed_at = asked_at
        self._ever_confirmed = self.is_following = True
        if self.failure is not None:
            _LOG.warning("promptctl: %s is reached again", self.label)
            self.failure = None

    def _down(self, failure: errors.PromptctlError) -> None:
        self.is_following = False
        if self.failure is None:
            self._begin_from_snapshot()
            if self.state.plain or self.state.prompts:
                known = f"what was known {self.age_seconds:.0f} s ago goes on being served"
            else:
                known = "nothing is known yet"
            # What comes of a statement whose answer is lost is nothing to those who only read.
            told = failure.message.partition(";")[0] if failure.code == "connection_lost" else failure.message
            _LOG.warning("promptctl: %s; %s", told, known)
        self.failure = failure
        self._answer(self._taken())

    def _begin_from_snapshot(self) -> None:
        """Where the database has not said anything yet, serve what the snapshot says."""
        snapshot = self._snapshot
        if snapshot is None or self._has_begun:
            return
        kept = snapshot.load()
        if kept is None:
            return
        with self._lock:
            if self._has_begun:
                return
            found = self.state.with_rows(kept.prompts, kept.versions, self.link)
            self._confirmed_at = time.monotonic() - kept.age_seconds
            self._publish(found)
            self.state = found

    @property
    def _has_begun(self) -> bool:
        return self._is_published or self._ever_confirmed or bool(self.state.prompts)

    def _taken(self) -> list[_Request]:
        with self._lock:
            requests, self._requests = self._requests, []
        return requests

    def _answer(self, requests: Sequence[_Request]) -> None:
        for request in requests:
            request.answers.put(None)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has been woken many times already
            if self._waker >= 0:
                os.write(self._waker, b"\0")

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakes, 4096)

    def _close_pipe(self) -> None:
        ends, self._wakes, self._waker = (self._wakes, self._waker), -1, -1
        for end in ends:
            if end >= 0:
                os.close(end)


def _grant(database: Database) -> str | None:
    """Return how the connected login gets the access of an application; None: the database does not say."""
    try:
        login, owner, resolves = administration.connected_login(database)
    except errors.PromptctlError:
        return None
    if owner is None or resolves:
        return None
    return f"ask {owner}, the owner of the schema, to run: promptctl db grant {shlex.quote(login)} --as application"
