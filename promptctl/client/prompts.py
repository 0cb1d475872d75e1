"""The client for applications: `Prompts().get(NAME)` returns the version to use, `prompt.use()` records a call."""

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
from promptctl.client.state import with_bucket
from promptctl.postgres import connecting, settings
from promptctl.rules import prompt_fields, references

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from typing import Self

    from promptctl.client.metrics import Metrics
    from promptctl.client.state import State

_LOG = logging.getLogger("promptctl")
_EMPTY_MAPPING: dict[str, Any] = {}
# The longest wait for uses to be sent before a fork.
_FORK_FLUSH_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
# Of references: they may come from an application's users, and the set of those that were logged must not grow forever.
_MOST_WARNINGS = 1000


class Prompts:
    """The prompts of one database, for an application. Safe in threads, in forked processes and in async code.

    The first `get` of a prompt reads it from the database. Later calls are answered from memory. A thread keeps the
    memory up to date: the database notifies it of changes, and it polls every `poll_seconds`. While the database cannot
    be reached, `get` returns the last versions that were read, and uses are kept until they can be sent.
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
        """Select the database: `database_url`, or PROMPTCTL_DATABASE_URL, DATABASE_URL or PG* as on the command line.

        The constructor does not connect; the first `get` does.

        - `timeout_seconds`: how long the first `get` of a prompt waits.
        - `max_age_seconds`: `get` raises TooOld if the database last confirmed the active versions longer ago.
        - `snapshot`: a file with the last versions, from which a process starts while the database is down.
        - `spool`: a directory for uses that cannot be sent. Each process writes at most `spool_bytes` to it.
        - `queue_size`: the largest number of uses in memory.
        - `flush_seconds`: the longest delay before a use is sent.

        Raises errors.Usage for a malformed URL or environment variable, ValueError for a number that is not positive.
        """
        argument_checks.check_positive(
            poll_seconds=poll_seconds,
            timeout_seconds=timeout_seconds,
            flush_seconds=flush_seconds,
            queue_size=queue_size,
            spool_bytes=spool_bytes,
        )
        if max_age_seconds is not None:
            argument_checks.check_positive(max_age_seconds=max_age_seconds)
            # Poll three times in that period, so that one late answer does not make the versions too old.
            poll_seconds = min(poll_seconds, max_age_seconds / 3)
        target = settings.target(database_url, "database_url")
        # This imports psycopg. It must not be imported later, in a thread: a child that is forked during the import
        # would wait forever for the parent's import lock.
        database_identity = connecting.identity(target)
        self._timeout_seconds = timeout_seconds
        self._max_age_seconds = max_age_seconds
        self._warned_references: set[str] = set()
        self._memory = Memory(checks_age=max_age_seconds is not None)
        # Each `get` reads it, and a lookup through `_memory` would take longer.
        self._process_local = self._memory.process_local
        self._recorder = Recorder(
            target,
            database_identity,
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
            snapshot=None if snapshot is None else Snapshot(os.path.abspath(snapshot), database_identity),
        )
        self._member = processes.Member(
            before_fork=self._before_fork,
            after_fork_in_child=self._after_fork_in_child,
            after_threads_were_replaced=self._after_threads_were_replaced,
            begin_to_close=self._begin_to_close,
            close=self.close,
            link=self._recorder,
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

        NAME@VERSION is always that version.

        - `unit`: whom the request is for, for example a user: a string, an integer or a UUID. A split is sticky to it.
        - `attributes`: facts that a route tests: a mapping from strings to JSON values.
        - `default`: a text to use when no version is available. The prompt then has `is_default`, and its uses are
          recorded separately.

        Raises PromptNotFound, VersionNotFound, NoActiveVersion, Unavailable and TooOld, unless `default` is passed.
        With or without it, raises errors.Usage for an invalid name, TypeError for a unit or an attribute of another
        type, ValueError for a unit that PostgreSQL cannot store as text and for an attribute that is NaN or infinite,
        and Closed after `close`.
        """
        # No parameter is keyword-only, because passing one would take longer than the rest of a call. The two most
        # frequent kinds of calls are answered here. An AttributeError means that this is a new child process.
        if unit is None and attributes is None:
            try:
                return self._process_local.plain[reference]
            except (KeyError, AttributeError):
                pass
        elif unit.__class__ is str and attributes is None:
            try:
                prompt_state = self._process_local.state.prompts.get(reference)
            except AttributeError:
                prompt_state = None
            if prompt_state is not None and (prompt := prompt_state.choose(unit)) is not None:
                return prompt
        return self._get(reference, unit, attributes, default)

    def _get(self, reference: str, unit: object, attributes: Mapping[str, Any] | None, default: str | None) -> Prompt:
        unit_text = None if unit is None else argument_checks.unit_text(unit)
        if attributes is not None:
            argument_checks.check_attributes(attributes)
        try:
            state = self._memory.process_local_state
            if reference not in state:
                state = self._state_with((reference,))
            return self._choose(state, reference, unit_text, attributes)
        except errors.PromptctlError as failure:
            if default is None or isinstance(failure, (errors.Usage, Closed)):
                raise
            return self._default_prompt(reference, default, failure)

    def get_many(
        self, names: Sequence[str], *, unit: object = None, attributes: Mapping[str, Any] | None = None
    ) -> dict[str, Prompt]:
        """Return several prompts, by name, all as they were at one time.

        So if a release moves several of them, either all of its moves have taken effect or none. Raises what `get`
        raises.
        """
        unit_text = None if unit is None else argument_checks.unit_text(unit)
        if attributes is not None:
            argument_checks.check_attributes(attributes)
        names = argument_checks.prompt_names(names)
        state = self._state_with(names)
        return {name: self._choose(state, name, unit_text, attributes) for name in names}

    def preload(self, names: Sequence[str]) -> None:
        """Read prompts and the targets of their routes, so that no later `get` waits.

        Raises PromptNotFound, VersionNotFound, Unavailable, TooOld.
        """
        self._state_with(argument_checks.prompt_names(names))

    def score(self, use_id: str, score: float) -> None:
        """Score a use that was recorded earlier, in this process or another. The last score counts.

        If the database does not have the use a minute later, the score is dropped and a warning is logged. Raises
        ValueError for an invalid id or number.
        """
        self._recorder.score(str(uuid.UUID(str(use_id))), argument_checks.score_number(score))

    def flush(self, seconds: float = 5.0) -> bool:
        """Send the uses so far and wait. Return False if this takes longer, or the database cannot be reached."""
        processes.check()
        return self._recorder.flush(seconds)

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Send the uses so far, for at most this long, and close the connections. This also happens at exit.

        Uses that cannot be sent are moved into the spool. Without a spool they are dropped and a warning is logged.
        """
        processes.check()
        until = time.monotonic() + seconds
        self._begin_to_close(until)
        self._recorder.join()
        # The thread needs a moment to end, even if no time is left.
        self._follower.join(max(0.1, until + 0.5 - time.monotonic()))
        processes.remove(self._member)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:  # noqa: ARG002 - frameworks pass it
        """Send uses when an ASGI server shuts down: `FastAPI(lifespan=prompts.lifespan)`.

        uvicorn ends its process by the signal that it received, so `atexit` functions do not run. Uses that cannot be
        sent within 5 seconds are moved into the spool, if there is one. From a SIGTERM on, uses are sent at once; the
        server's own handler is called as well. The client is not closed, because an application may start again.
        """
        import asyncio

        with called_at_sigterm(self._recorder.send_without_delay):
            try:
                yield
            finally:
                await asyncio.shield(asyncio.to_thread(self._flush_or_spool))

    def _flush_or_spool(self) -> None:
        processes.check()
        self._recorder.flush_or_spool(_CLOSE_SECONDS)

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the active versions."""
        processes.check()
        return self._memory.age_seconds

    @property
    def is_connected(self) -> bool:
        """Whether the client is connected and follows changes. If not, it returns the last versions that it read."""
        processes.check()
        return self._follower.is_following

    @property
    def dropped_uses(self) -> int:
        """The number of this process's uses that were dropped: the queue was full, or the database refused them."""
        processes.check()
        return self._recorder.dropped_uses

    @property
    def waiting_uses(self) -> int:
        """The number of uses and scores in memory that may not be recorded yet."""
        processes.check()
        return self._recorder.waiting_items

    def metrics(self, client: str = "") -> Metrics:
        """Return a collector for prometheus_client: `REGISTRY.register(prompts.metrics())`. The extra is `metrics`.

        Uses are counted from this call on, in this process. `client` is the value of a label with that name, which
        distinguishes several clients in a process: `REGISTRY.register(a.metrics("a") + b.metrics("b"))`. Raises
        TypeError or ValueError if it is not printable text, and errors.Failed if prometheus_client is not installed.
        """
        argument_checks.check_label("client", client)
        try:
            from promptctl.client import metrics
        except ModuleNotFoundError as failure:
            from promptctl import requirements

            raise (requirements.missing_extra(failure) or failure) from None
        return metrics.collector(client, self._memory, self._follower, self._recorder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _begin_to_close(self, until: float) -> None:
        self._memory.close()
        self._follower.stop()
        self._recorder.stop(until)

    def _state_with(self, names: Sequence[str]) -> State:
        """Return a state that has these names. Read them if they are not in memory. Raises what `get` raises."""
        processes.check()
        memory = self._memory
        if memory.is_closed:
            raise Closed("client_closed", "this Prompts is closed")
        state = memory.state
        # EMPTY: this process has not read the database yet, or the client checks the age at each call.
        if self._process_local.state is EMPTY or not all(name in state for name in names):
            for name in names:
                if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be unchecked
                    raise TypeError(f"the name of a prompt must be a string, not {name!r}")
                references.parse(name)
            # Now and not at the first use, so that the spool of an ended process is sent.
            self._recorder.start()
            state = self._follower.load(names, self._timeout_seconds)
        max_age, age = self._max_age_seconds, memory.age_seconds
        if max_age is not None and age > max_age and not all(name in state.pinned for name in names):
            raise TooOld(
                "prompt_too_old",
                f"the active versions were confirmed {age:.0f} s ago, and max_age_seconds is {max_age:g}",
                hint="promptctl db status",
            )
        return state

    def _choose(self, state: State, name: str, unit: str | None, attributes: Mapping[str, Any] | None) -> Prompt:
        target = state.route_target(name, attributes) if attributes else name
        pinned = state.pinned.get(target)
        if pinned is not None:
            return pinned if unit is None else with_bucket(pinned, unit)
        prompt = state.prompts[target].choose(unit)
        if prompt is None:
            raise NoActiveVersion(
                "no_active_version",
                f'"{target}" has no active version in {self._follower.label}',
                hint=f"promptctl activate {target}@VERSION",
            )
        return prompt

    def _default_prompt(self, reference: str, text: str, failure: errors.PromptctlError) -> Prompt:
        name = reference.partition("@")[0]
        if reference not in self._warned_references and len(self._warned_references) < _MOST_WARNINGS:
            self._warned_references.add(reference)
            _LOG.warning(
                "promptctl: %s; using the default text of the application",
                failure.message,
                extra=prompt_fields.of_version(name, None, None),
            )
        return Prompt(ServedVersion(self._recorder, name, None, None, text, _EMPTY_MAPPING, _EMPTY_MAPPING, name))

    def _before_fork(self) -> None:
        # The child drops the uses that have ended, because the parent sends them. Send them before the fork, in case
        # the parent never does: a process that becomes a daemon forks and ends without its exit handlers.
        if self._memory.queue and not self._recorder.is_down:
            self._recorder.flush(_FORK_FLUSH_SECONDS)

    def _after_fork_in_child(self, forked_at: float) -> None:
        self._memory.clear_process_local()
        self._warned_references = set()
        self._recorder.reset_in_child(forked_at)
        self._follower.reset_in_child()

    def _after_threads_were_replaced(self) -> None:
        if not (self._follower.recreate_locks() and self._recorder.recreate_locks()):
            _LOG.warning(
                "promptctl: threads were replaced, for example by gevent, after this client had started its own: "
                "call monkey.patch_all() before Prompts is used"
            )
