"""A conversation with Claude through a prompt: which version each turn is sent, and a record of every call."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from promptctl import errors
from promptctl.claude.api import Attempt, Call, Message
from promptctl.rules import buckets
from promptctl.rules.templates import Template
from promptctl.rules.use_ids import UseIds
from promptctl.store import prompts, uses
from promptctl.store.uses import UseRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from promptctl.claude.api import Claude
    from promptctl.postgres.database import Database
    from promptctl.rules.references import Reference
    from promptctl.store.prompts import Served

Answer = TypeVar("Answer")

DEFAULT_MODEL = "claude-sonnet-5-5"
DEFAULT_MAX_TOKENS = 8192
MOST_ATTEMPTS = 3


class Turn:
    """One message and its reply: sent with one version of the prompt, in one call or, where those fail, in several.

    `text` is the reply so far. `failure` is what the last call failed with, None while it goes well.
    """

    def __init__(self, claude: Claude, served: Served, call: Call, say: Callable[[str], None]) -> None:
        self.served = served
        self.call = call
        self.attempts: list[Attempt] = []
        self.is_stopped = False
        self.problem: Exception | None = None
        self._claude = claude
        self._pieces: list[str] = []
        self._say = say

    @property
    def text(self) -> str:
        """The reply so far."""
        return "".join(self._pieces)

    @property
    def last(self) -> Attempt:
        """The call that counts: the last one."""
        return self.attempts[-1]

    @property
    def failure(self) -> errors.ClaudeFailed | None:
        """What the reply failed with."""
        return self.last.failure if self.attempts else None

    def texts(self) -> Iterator[str]:
        """Ask, and yield the reply piece by piece. A call that fails before its first text may be tried again.

        Does not raise, other than what stopped it: Ctrl-C, or whatever the reader raises.
        """
        while True:
            attempt = Attempt(self.call)
            self.attempts.append(attempt)
            for text in self._claude.call(attempt):
                self._pieces.append(text)
                yield text
                if self.is_stopped:
                    return
            wait = attempt.retry_after_seconds
            if attempt.failure is None or wait is None or self._pieces or len(self.attempts) >= MOST_ATTEMPTS:
                return
            self._say(f"{attempt.failure.message}; trying again{f' in {wait:g} s' if wait else ''}")
            time.sleep(wait)
            if self.is_stopped:
                return

    def finish(self) -> None:
        """Ask, and keep the reply for later; for a thread, so what is raised is kept in `problem`."""
        try:
            for _ in self.texts():
                pass
        except Exception as problem:  # noqa: BLE001 - raised where the thread is waited for
            self.problem = problem


class Conversation:
    """Messages to and from Claude, each turn sent with the version that is live at that turn.

    `messages` are those that were answered; `interruption` is what was heard while a use was recorded, to be raised.
    """

    def __init__(
        self,
        connect: Callable[[], Database],
        claude: Claude,
        reference: Reference,
        *,
        unit: str | None,
        values: Mapping[str, str],
        model: str | None,
        max_tokens: int | None,
        say: Callable[[str], None],
    ) -> None:
        """`connect` opens a connection, again when one was lost; `say` gets a line when something takes a while."""
        self.reference = reference
        self.served: Served | None = None
        self.messages: list[Message] = []
        self.values = dict(values)
        self._connect = connect
        self._database: Database | None = None
        self._claude = claude
        self._unit = unit
        self._model = model
        self._max_tokens = max_tokens
        self._say = say
        self._unrecorded: list[UseRecord] = []
        self._use_ids = UseIds()
        self.interruption: KeyboardInterrupt | None = None

    @property
    def unrecorded(self) -> int:
        """How many uses are still to be booked."""
        return len(self._unrecorded)

    def look(self) -> Served:
        """Read which version is to be used now. Raises NotFound, Unreachable."""
        self.served = self.ask_database(lambda database: prompts.served(database, self.reference, self._unit))
        return self.served

    def template(self) -> Template:
        """Return the template of the version that was looked up last."""
        assert self.served is not None
        return Template(self.served.content, self.served.settings)

    def model(self) -> str:
        """Which model is asked: the one that was given, else the version's, else the default."""
        assert self.served is not None
        return self._model or str(self.served.settings.get("model") or DEFAULT_MODEL)

    def turn(self, message: str) -> Turn:
        """Prepare a turn with the version that was looked up last. Raises templates.MissingValues."""
        assert self.served is not None
        return Turn(
            self._claude,
            self.served,
            Call(
                self.template().render(self.values),
                [*self.messages, Message("user", message)],
                self.model(),
                self._max_tokens or int(self.served.settings.get("max_tokens") or DEFAULT_MAX_TOKENS),
            ),
            self._say,
        )

    def keep(self, turn: Turn) -> bool:
        """Go on from a reply, also from one that was stopped; False: there is none, and its message is forgotten."""
        if not turn.text.strip() or turn.failure is not None:
            return False
        self.messages = [*turn.call.messages, Message("assistant", turn.text)]
        return True

    def record(self, turns: Sequence[Turn]) -> errors.PromptctlError | None:
        """Book every call of these turns, and what could not be booked before; returns why it could not be.

        A first Ctrl-C or SIGTERM is kept waiting until it is done, and leaves `interruption`; a second one gives up on
        it. A lost connection is made anew, once.
        """
        for turn in turns:
            calls = [attempt for attempt in turn.attempts if attempt.is_sent]
            self._unrecorded += [
                _use_record(self._use_ids.new(attempt.began_at), turn.served, attempt, self._unit) for attempt in calls
            ]
        if not self._unrecorded:
            return None
        with _undisturbed() as heard:
            failure = self._book()
        ending = [number for number in heard if number != signal.SIGINT]
        self.interruption = errors.Terminated(ending[0]) if ending else KeyboardInterrupt() if heard else None
        return failure

    def _book(self) -> errors.PromptctlError | None:
        try:
            self.ask_database(lambda database: uses.record(database, self._unrecorded, time.perf_counter()))
        except errors.PromptctlError as failure:
            if not isinstance(failure, errors.Unreachable):
                # One that is refused would be refused again, and must not keep the others from being booked.
                waiting, self._unrecorded = self._unrecorded, []
                for use in waiting if len(waiting) > 1 else []:
                    self._unrecorded = [use]
                    self._book()
                self._unrecorded = []
            return failure
        except KeyboardInterrupt:
            # The connection was given up.
            self._database = None
            return errors.Failed("interrupted", "interrupted")
        self._unrecorded = []
        return None

    def ask_database(self, question: Callable[[Database], Answer]) -> Answer:
        """Put a question to the database, on a new connection when the one that was open turns out to be lost."""
        if self._database is not None:
            try:
                return question(self._database)
            except errors.Unreachable:
                self._database.close()
                self._database = None
        self._database = self._connect()
        return question(self._database)


def ask_at_once(turns: Sequence[Turn]) -> None:
    """Ask all of them at the same time, and wait for every reply. Ctrl-C stops them and passes through."""
    threads = [threading.Thread(target=turn.finish, daemon=True) for turn in turns]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        for turn in turns:
            turn.is_stopped = True
        raise
    for turn in turns:
        if turn.problem is not None:
            raise turn.problem


def _use_record(use_id: str, served: Served, attempt: Attempt, unit: str | None) -> UseRecord:
    return UseRecord(
        id=use_id,
        name=served.name,
        ended_at=attempt.ended_at,
        version=served.version,
        epoch=served.epoch,
        bucket=None if unit is None else buckets.bucket(served.seed, unit),
        model=attempt.model,
        input_tokens=attempt.input_tokens,
        output_tokens=attempt.output_tokens,
        cache_read_tokens=attempt.cache_read_tokens,
        cache_write_tokens=attempt.cache_write_tokens,
        response_ms=attempt.response_ms,
        first_token_ms=attempt.first_token_ms,
        outcome=attempt.outcome,
        score=None,
        request_id=attempt.request_id,
    )


@contextlib.contextmanager
def _undisturbed() -> Generator[list[int]]:
    """Keep the first signal to stop in a block from taking effect, and note it; the second one interrupts."""
    heard: list[int] = []

    def note(number: int, _: object) -> None:
        heard.append(number)
        if len(heard) > 1:
            raise KeyboardInterrupt

    # SIGTERM and SIGHUP where the caller takes them.
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, note) for number in numbers if callable(signal.getsignal(number))}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
