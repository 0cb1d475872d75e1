"""The client: `Prompts().get(NAME)` returns the version to use from memory, and `prompt.use()` records a call."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from typing import TYPE_CHECKING, Any

from promptctl import errors
from promptctl.client import argument_checks, processes
from promptctl.client.exceptions import Closed, NoActiveVersion, TooOld
from promptctl.client.follower import Follower
from promptctl.client.memory import EMPTY, Memory
from promptctl.client.prompt import Prompt
from promptctl.client.recorder import Recorder
from promptctl.client.served_version import ServedVersion
from promptctl.client.sigterm import called_at_sigterm
from promptctl.client.snapshot import Snapshot
from promptctl.client.spool import Spool
from promptctl.client.state import for_unit
from promptctl.postgres import connecting, settings
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from promptctl.client.state import State

_LOG = logging.getLogger("promptctl")
_EMPTY_MAPPING: dict[str, Any] = {}
_FORK_FLUSH_SECONDS = 1.0
_EXIT_SECONDS = 5.0
# Names may come from an application's users.
_MOST_WARNINGS = 1000


class Prompts:
    """The prompts of one database, for an application. Safe in threads, in forked processes and in async code.

    The first `get` of a prompt reads it from the database. Later calls are answered from memory, which a thread keeps
    up to date by notifications and by polling every `poll_seconds`. While the database cannot be reached, the last
    versions that were read stay in use, and uses are kept for a retry.
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

        The first call connects. `timeout_seconds` limits how long the first `get` of a prompt waits. With
        `max_age_seconds`, versions that the database confirmed longer ago raise TooOld. `snapshot` is a file from which
        a process starts while the database is down. `spool` is a directory for uses that cannot be sent, limited to
        `spool_bytes` for each process; `queue_size` limits the uses in memory. Uses are sent after `flush_seconds`.
        Raises errors.Usage for a malformed URL or environment variable, ValueError for a number that is not positive.
        """
        argument_checks.check_positive(
            poll_seconds=poll_seconds,
            timeout_seconds=timeout_seconds,
            flush_seconds=flush_seconds,
            queue_size=queue_size,
            spool_bytes=spool_bytes,
            max_age_seconds=1 if max_age_seconds is None else max_age_seconds,
        )
        if max_age_seconds is not None:
            poll_seconds = min(poll_seconds, max_age_seconds / 3)
        target = settings.target(database_url, "database_url")
        # Imports psycopg before there are threads: a child that is forked during an import would wait without end.
        database = connecting.identity(target)
        self._timeout_seconds = timeout_seconds
        self._max_age_seconds = max_age_seconds
        self._warned_references: set[str] = set()
        self._memory = Memory(checks_age=max_age_seconds is not None)
        # Of the memory; each `get` reads it.
        self._page = self._memory.page
        self._recorder = Recorder(
            target,
            database,
            self._memory,
            connect_seconds=timeout_seconds,
            flush_seconds=flush_seconds,
            queue_size=queue_size,
            spool=None if spool is None else Spool(os.path.abspath(spool), spool_bytes),
        )
        self._follower = Follower(
            target,
            self._memory,
            self._recorder,
            poll_seconds=poll_seconds,
            connect_seconds=timeout_seconds,
            snapshot=None if snapshot is None else Snapshot(os.path.abspath(snapshot), database),
        )
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
        """Return the version to use now: the active version of NAME, or what its route and its split select.

        `unit` identifies whom a split is sticky to, for example a user: a string, an integer or a UUID. `attributes`
        select the step of a route: a mapping from strings to JSON values. NAME@VERSION is always that version.
        `default` is a text to use when no version is available; the prompt then has `is_default`, and its uses are
        recorded separately.

        Raises PromptNotFound, VersionNotFound, NoActiveVersion, Unavailable and TooOld without a `default`. Always
        raises errors.Usage for an invalid name; TypeError for a unit or an attribute of another type; ValueError for a
        unit that PostgreSQL cannot store as text and for an attribute that is NaN or infinite; Closed after `close`.
        """
        # Keyword-only parameters would take longer to pass than the rest of a call.
        if unit is None and attributes is None:
            try:
                return self._page.plain[reference]
            except (KeyError, AttributeError):
                pass
        elif unit.__class__ is str and attributes is None:
            try:
                prompt = self._page.state.prompts.get(reference)
            except AttributeError:
                prompt = None
            if prompt is not None:
                return prompt.choose(unit) or self._get(reference, unit, None, default)
        return self._get(reference, unit, attributes, default)

    def _get(self, reference: str, unit: object, attributes: Mapping[str, Any] | None, default: str | None) -> Prompt:
        unit_text = None if unit is None else argument_checks.unit_text(unit)
        if attributes is not None:
            argument_checks.check_attributes(attributes)
        try:
            state = self._memory.page_state
            if reference not in state.prompts and reference not in state.pinned:
                state = self._loaded((reference,))
            return self._choose(state, reference, unit_text, attributes)
        except errors.PromptctlError as failure:
            if default is None or isinstance(failure, (errors.Usage, Closed)):
                raise
            return self._default(reference, default, failure)

    def get_many(
        self, names: Sequence[str], *, unit: object = None, attributes: Mapping[str, Any] | None = None
    ) -> dict[str, Prompt]:
        """Return several prompts by the requested names, all as they were at one time.

        So a release that moves several of them takes effect as a whole. Raises what `get` raises.
        """
        unit_text = None if unit is None else argument_checks.unit_text(unit)
        if attributes is not None:
            argument_checks.check_attributes(attributes)
        state = self._loaded(names := argument_checks.prompt_names(names))
        return {name: self._choose(state, name, unit_text, attributes) for name in names}

    def preload(self, names: Sequence[str]) -> None:
        """Read prompts and the targets of their routes, so that no later `get` waits.

        Raises PromptNotFound, VersionNotFound, Unavailable, TooOld.
        """
        self._loaded(argument_checks.prompt_names(names))

    def score(self, use_id: str, score: float) -> None:
        """Score a use that was recorded earlier, in this process or another. The last score counts.

        If the database does not have the use a minute later, the score is dropped and a warning is logged. Raises
        ValueError for an invalid id or number.
        """
        self._recorder.score(str(uuid.UUID(str(use_id))), argument_checks.score_number(score))

    def flush(self, seconds: float = 5.0) -> bool:
        """Send the uses so far and wait; False: it took longer, or the database cannot be reached."""
        processes.check()
        return self._recorder.flush(seconds)

    def close(self, seconds: float = _EXIT_SECONDS) -> None:
        """Send the uses so far, for at most this long, and close the connections. This also happens at exit.

        Uses that cannot be sent are moved into the spool, if there is one; others are dropped and a warning is logged.
        """
        processes.check()
        self._begin_to_close(until := time.monotonic() + seconds)
        self._recorder.join()
        self._follower.join(max(0.1, until + 0.5 - time.monotonic()))
        processes.remove(self._member)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:  # noqa: ARG002 - frameworks pass it
        """Send uses when an ASGI server shuts down: `FastAPI(lifespan=prompts.lifespan)`.

        uvicorn ends its process by the signal that it received, so `atexit` functions do not run. Uses that cannot be
        sent within 5 seconds are moved into the spool, if there is one. After a SIGTERM, which the server's own handler
        still receives, uses are sent at once. The client is not closed, because an application may start again.
        """
        import asyncio

        with called_at_sigterm(self._recorder.hurry):
            try:
                yield
            finally:
                await asyncio.shield(asyncio.to_thread(self._settle))

    def _settle(self) -> None:
        processes.check()
        self._recorder.settle(_EXIT_SECONDS)

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the active versions."""
        processes.check()
        return self._memory.age_seconds

    @property
    def is_connected(self) -> bool:
        """Whether the client follows the database; otherwise the last versions that it read are used."""
        processes.check()
        return self._follower.is_following

    @property
    def dropped_uses(self) -> int:
        """The number of this process's uses that will never be recorded: the queue was full, or they were refused."""
        processes.check()
        return self._recorder.dropped

    @property
    def waiting_uses(self) -> int:
        """The number of uses and scores in memory that may not be recorded yet."""
        processes.check()
        return self._recorder.waiting

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _begin_to_close(self, until: float) -> None:
        self._memory.close()
        self._follower.stop()
        self._recorder.stop(until)

    def _loaded(self, names: Sequence[str]) -> State:
        """Return a state that has these names, from the database if necessary. Raises what `get` raises."""
        processes.check()
        memory = self._memory
        if memory.is_closed:
            raise Closed("client_closed", "this Prompts is closed")
        state = memory.state
        # An empty page: this process has not read the database, or the age has to be checked.
        if self._page.state is EMPTY or not all(name in state.prompts or name in state.pinned for name in names):
            for name in names:
                if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be unchecked
                    raise TypeError(f"the name of a prompt must be a string, not {name!r}")
                references.parse(name)
            self._recorder.start()
            state = self._follower.load(names, self._timeout_seconds)
        most, age = self._max_age_seconds, memory.age_seconds
        if most is not None and age > most and not all(name in state.pinned for name in names):
            raise TooOld(
                "prompt_too_old",
                f"the active versions were confirmed {age:.0f} s ago, and max_age_seconds is {most:g}",
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
                prompt = state.prompts[target].choose(unit)
                if prompt is None:
                    raise NoActiveVersion(
                        "no_active_version",
                        f'"{target}" has no active version in {self._follower.label}',
                        hint=f"promptctl activate {target}@VERSION",
                        name=None,
                    )
                return prompt
        return version if unit is None else for_unit(version, unit)

    def _default(self, reference: str, text: str, failure: errors.PromptctlError) -> Prompt:
        if reference not in self._warned_references and len(self._warned_references) < _MOST_WARNINGS:
            self._warned_references.add(reference)
            _LOG.warning("promptctl: %s; using the default text of the application", failure.message)
        name = reference.partition("@")[0]
        return Prompt(ServedVersion(self._recorder, name, None, None, text, _EMPTY_MAPPING, _EMPTY_MAPPING, name))

    def _before_fork(self) -> None:
        # Uses that have ended are the parent's. They are sent while the process is still one.
        if self._memory.queue and not self._recorder.is_down:
            self._recorder.flush(_FORK_FLUSH_SECONDS)

    def _in_child(self, forked_at: float) -> None:
        self._memory.forked()
        self._warned_references = set()
        self._recorder.forked(forked_at)
        self._follower.forked()

    def _threads_replaced(self) -> None:
        if not (self._follower.threads_replaced() and self._recorder.threads_replaced()):
            _LOG.warning(
                "promptctl: threads were replaced, for example by gevent, after this client had started its own: "
                "call monkey.patch_all() before Prompts is used"
            )
