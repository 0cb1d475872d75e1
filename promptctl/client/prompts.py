"""The client: `Prompts().get(NAME)` answers from memory what is live, `use()` books how it went."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from promptctl import errors
from promptctl.client import processes, serving
from promptctl.client import use as uses
from promptctl.client.failures import Closed, NoActiveVersion, TooOld
from promptctl.client.follower import Follower
from promptctl.client.given import check_attributes, unit_text
from promptctl.client.prompt import Prompt, Version
from promptctl.client.recorder import Recorder
from promptctl.client.snapshot import Snapshot, identity
from promptctl.client.spool import Spool
from promptctl.postgres import settings
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from promptctl.client.serving import State

_LOG = logging.getLogger("promptctl")
_NONE: dict[str, Any] = {}
_NOTHING = serving.State({}, {})
_FORK_FLUSH_SECONDS = 1.0
_EXIT_SECONDS = 5.0
# An application may take names from its users.
_MOST_WARNINGS = 1000


class Prompts:
    """What is live, for an application. Safe in threads, in forks and in async code.

    The first `get` of a prompt reads it from the database; every later one is answered from memory, which is kept up
    to date by notifications and, where those do not pass, by asking every `poll_seconds`. When the database cannot be
    reached the last known state goes on being served, and uses wait.
    """

    def __init__(
        self,
        database_url: str | None = None,
        *,
        poll_seconds: float = 5.0,
        timeout_seconds: float = 5.0,
        max_age_seconds: float | None = None,
        snapshot: str | os.PathLike[str] | None = None,
        spool: str | os.PathLike[str] | None = None,
        queue_size: int = 100_000,
        flush_seconds: float = 0.5,
        spool_bytes: int = 64_000_000,
    ) -> None:
        """Choose the database as the command line does: `database_url`, PROMPTCTL_DATABASE_URL, DATABASE_URL, PG*.

        `timeout_seconds` is how long a first `get` waits. With `max_age_seconds`, what was confirmed longer ago is an
        error. `snapshot` is a file by which a process starts while the database is down. `spool` is a directory for
        uses that cannot be sent, at most `spool_bytes` of each process; `queue_size` is how many wait in memory.
        Connects only when it is first asked. Raises errors.Usage for a setting that is malformed, ValueError for a
        number that is.
        """
        for name, number in (
            ("poll_seconds", poll_seconds),
            ("timeout_seconds", timeout_seconds),
            ("flush_seconds", flush_seconds),
            ("queue_size", queue_size),
            ("spool_bytes", spool_bytes),
            ("max_age_seconds", 1 if max_age_seconds is None else max_age_seconds),
        ):
            if not 0 < number < float("inf"):
                raise ValueError(f"{name} is a positive number, not {number!r}")
        if max_age_seconds is not None:
            poll_seconds = min(poll_seconds, max_age_seconds / 3)
        target = settings.target(database_url, "database_url")
        which = identity(target)
        self._timeout_seconds = timeout_seconds
        self._max_age_seconds = max_age_seconds
        self._is_closed = False
        self._warned: set[str] = set()
        self._recorder = Recorder(
            target,
            which,
            connect_seconds=timeout_seconds,
            flush_seconds=flush_seconds,
            queue_size=queue_size,
            spool=None if spool is None else Spool(os.path.abspath(spool), spool_bytes),
        )
        # What every call is answered from, most of them from the look-up in it; empty where a call has to look further.
        self._page = self._recorder.page
        self._answer_from(_NOTHING)
        self._follower = Follower(
            target,
            self._recorder,
            self._publish,
            poll_seconds=poll_seconds,
            connect_seconds=timeout_seconds,
            snapshot=None if snapshot is None else Snapshot(os.path.abspath(snapshot), which),
        )
        self._recorder.age = lambda: self._follower.age_seconds
        self._member = processes.Member(
            self._before_fork,
            self._in_child,
            self._threads_replaced,
            self._begin_to_close,
            self.close,
            self._recorder,
        )
        processes.add(self._member)

    def get(
        self,
        reference: str,
        unit: object = None,
        attributes: Mapping[str, Any] | None = None,
        default: str | None = None,
    ) -> Prompt:
        """Return the prompt to use now: the active version of NAME, or what its split or route gives this user.

        `unit` is what a split is sticky on, a user's id say: a text, an integer or a UUID, which are the same as their
        texts. `attributes` choose the step of a route: a mapping from texts to values that JSON has; a step's
        conditions are texts, numbers and truths, and what is nested meets none. `NAME@VERSION` is that version, for
        ever. Where nothing can be served, `default` is, if it is given: `is_default` tells it, and its uses are booked
        apart.

        Raises PromptNotFound, VersionNotFound, NoActiveVersion, Unavailable, TooOld; and, with a `default` as well,
        errors.Usage for what cannot name a prompt, TypeError for a unit or an attribute of another kind, ValueError for
        a unit with a NUL character or half of a surrogate pair and for an attribute that is NaN or infinite,
        Closed after `close`.
        """
        # Positional, not by keyword only: filling in those took longer than all the rest.
        if unit is None and attributes is None:
            try:
                return self._page.plain[reference]
            except (KeyError, AttributeError):
                pass
        elif unit.__class__ is str and attributes is None:
            try:
                served = self._page.live.prompts.get(reference)
            except AttributeError:
                served = None
            if served is not None:
                return served.choose(unit) or self._get(reference, unit, None, default)  # pyright: ignore[reportArgumentType] - it is a str
        return self._get(reference, unit, attributes, default)

    def _get(self, reference: str, unit: object, attributes: Mapping[str, Any] | None, default: str | None) -> Prompt:
        key = None if unit is None else unit_text(unit)
        if attributes is not None:
            check_attributes(attributes)
        try:
            state = self._known_so_far()
            if reference not in state.prompts and reference not in state.pinned:
                state = self._known((reference,))
            return self._choose(state, reference, key, attributes)
        except errors.PromptctlError as failure:
            if default is None or isinstance(failure, (errors.Usage, Closed)):
                raise
            return self._fallback(reference, default, failure)

    def get_many(
        self, names: Sequence[str], *, unit: object = None, attributes: Mapping[str, Any] | None = None
    ) -> dict[str, Prompt]:
        """Return several prompts by the names that were asked for, all as they were served at one moment.

        A release that moves several of them is seen as a whole or not at all. Raises what `get` does.
        """
        key = None if unit is None else unit_text(unit)
        if attributes is not None:
            check_attributes(attributes)
        state = self._known(names := _several(names))
        return {name: self._choose(state, name, key, attributes) for name in names}

    def preload(self, names: Sequence[str]) -> None:
        """Read prompts, and what their routes lead to, so that no later `get` waits.

        Raises PromptNotFound, VersionNotFound, Unavailable, TooOld.
        """
        self._known(_several(names))

    def score(self, use_id: str, score: float) -> None:
        """Attach a score to a use that was booked earlier, in this process or another: the last one counts.

        A use that the database does not have a minute later is told in the log. Raises ValueError for what is no id or
        no number.
        """
        import uuid

        self._recorder.score(str(uuid.UUID(str(use_id))), uses.checked_score(score))

    def flush(self, seconds: float = 5.0) -> bool:
        """Send what was booked so far, and wait; False: it took longer, or the database cannot be reached."""
        processes.check()
        return self._recorder.flush(seconds)

    def close(self, seconds: float = _EXIT_SECONDS) -> None:
        """Send what was booked, for at most so long, and end the connections. Done at exit, too.

        What cannot be sent goes into the spool, if there is one; the rest is told in the log.
        """
        processes.check()
        self._begin_to_close(until := time.monotonic() + seconds)
        self._recorder.join()
        self._follower.join(max(0.1, until + 0.5 - time.monotonic()))
        processes.remove(self._member)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:  # noqa: ARG002 - frameworks pass it
        """Send what was recorded when an ASGI server shuts down: `FastAPI(lifespan=prompts.lifespan)`.

        uvicorn ends its process by the signal that it received, so nothing is sent by `atexit`. What cannot be sent
        within 5 seconds goes into the spool, if there is one. From a SIGTERM on, which the server's own handler
        receives as before, uses are sent at once. The client is not closed: an application may be started again.
        """
        import asyncio

        from promptctl.client.hurrying import hurries_at_sigterm

        with hurries_at_sigterm(self._recorder.hurry):
            try:
                yield
            finally:
                await asyncio.shield(asyncio.to_thread(self._settle))

    def _settle(self) -> None:
        processes.check()
        self._recorder.settle(_EXIT_SECONDS)

    @property
    def age_seconds(self) -> float:
        """How long ago the database confirmed what is served."""
        processes.check()
        return self._follower.age_seconds

    @property
    def is_connected(self) -> bool:
        """Whether what is served is being followed; if not, the last known state is served."""
        processes.check()
        return self._follower.is_following

    @property
    def dropped_uses(self) -> int:
        """How many uses of this process will never be recorded: the queue was full, or they were refused."""
        processes.check()
        return self._recorder.dropped

    @property
    def waiting_uses(self) -> int:
        """How many uses and scores are in memory and not known to be recorded."""
        processes.check()
        return self._recorder.waiting

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _begin_to_close(self, until: float) -> None:
        self._is_closed = True
        self._answer_from(_NOTHING)
        self._follower.stop()
        self._recorder.stop(until)

    def _publish(self, state: State) -> None:
        # With an age to watch, every call looks at the clock.
        if self._max_age_seconds is None and not self._is_closed:
            self._answer_from(state)
            if self._is_closed:
                self._answer_from(_NOTHING)

    def _answer_from(self, state: State) -> None:
        # No thread looks in between, so nobody sees the newer of the one and then the older of the other.
        page, plain = self._page, state.plain
        page.live, page.plain = state, plain

    def _known_so_far(self) -> State:
        """Return what calls are answered from; in a child that was forked unnoticed, begin anew first."""
        try:
            return self._page.live
        except AttributeError:
            processes.check()
            return getattr(self._page, "live", _NOTHING)

    def _known(self, names: Sequence[str]) -> State:
        """Return what is known now, which has these names; the database is asked only for what is not."""
        processes.check()
        follower = self._follower
        if self._is_closed:
            raise Closed("client_closed", "this Prompts is closed")
        state = follower.state
        if self._page.live is _NOTHING or not all(name in state.prompts or name in state.pinned for name in names):
            for name in names:
                if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are not all checked
                    raise TypeError(f"a prompt is named by a text, not {name!r}")
                references.parse(name)
            self._recorder.start()
            state = follower.load(names, self._timeout_seconds)
        most, age = self._max_age_seconds, follower.age_seconds
        if most is not None and age > most and not all(name in state.pinned for name in names):
            raise TooOld(
                "prompt_too_old",
                f"what is live was confirmed {age:.0f} s ago, more than {most:g} s",
                hint="promptctl db status",
            )
        return state

    def _choose(self, state: State, name: str, unit: str | None, attributes: Mapping[str, Any] | None) -> Prompt:
        version = state.pinned.get(name)
        if version is None:
            target = name
            if attributes:
                target = state.target(name, attributes)
                version = state.routed.get(target)
            if version is None:
                chosen = state.prompts[target].choose(unit)
                if chosen is None:
                    raise NoActiveVersion(
                        "no_active_version",
                        f'"{target}" has no active version in {self._follower.label}',
                        hint=f"promptctl activate {target}@VERSION",
                        name=None,
                    )
                return chosen
        return version if unit is None else serving.for_unit(version, unit)

    def _fallback(self, reference: str, text: str, failure: errors.PromptctlError) -> Prompt:
        if reference not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(reference)
            _LOG.warning("promptctl: %s; the application's own text is used", failure.message)
        name = reference.partition("@")[0]
        return Prompt(Version(self._follower.link, name, None, None, text, _NONE, _NONE, name))

    def _before_fork(self) -> None:
        # What was booked before is the parent's, and is sent before there are two of it.
        if self._recorder.queue and not self._recorder.is_down:
            self._recorder.flush(_FORK_FLUSH_SECONDS)

    def _in_child(self, forked_at: float) -> None:
        self._answer_from(_NOTHING)
        self._warned = set()
        self._recorder.forked(forked_at)
        self._follower.forked()

    def _threads_replaced(self) -> None:
        if not (self._follower.threads_replaced() and self._recorder.threads_replaced()):
            _LOG.warning(
                "promptctl: threads were replaced (by gevent, for example) after this client had started its own: "
                "call monkey.patch_all() before Prompts is used"
            )


def _several(names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        # Its characters are not meant.
        raise TypeError(f"several names are asked for in a list: [{names!r}]")
    return tuple(names)
