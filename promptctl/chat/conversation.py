"""A conversation with Claude: choose the version for each turn, keep the messages, record every call."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, TypeVar

from promptctl import errors
from promptctl.chat.turns import Turn
from promptctl.claude.api import Call, Message
from promptctl.rules import buckets
from promptctl.rules.templates import Template
from promptctl.rules.use_ids import UseIds
from promptctl.store import uses, version_texts
from promptctl.store.uses import UseRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from promptctl.claude.api import Attempt, Claude
    from promptctl.postgres.database import Database
    from promptctl.rules.references import Reference
    from promptctl.store.version_texts import ServedVersion

Answer = TypeVar("Answer")

DEFAULT_MODEL = "claude-sonnet-5-5"
DEFAULT_MAX_TOKENS = 8192


class Conversation:
    """A conversation with Claude. Each turn uses the version that is active when the turn begins.

    `messages` has the answered messages and their replies. `interruption` is the signal that arrived while a use was
    recorded; the caller raises it.
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
        report: Callable[[str], None],
    ) -> None:
        """`connect` opens a connection, also after one was lost. `report` is called with a line before a retry."""
        self.reference = reference
        self.served: ServedVersion | None = None
        self.messages: list[Message] = []
        self.values = dict(values)
        self._connect = connect
        self._database: Database | None = None
        self._claude = claude
        self._unit = unit
        self._model = model
        self._max_tokens = max_tokens
        self._report = report
        self._unrecorded: list[UseRecord] = []
        self._use_ids = UseIds()
        self.interruption: KeyboardInterrupt | None = None

    @property
    def unrecorded(self) -> int:
        """The number of uses that are not recorded yet."""
        return len(self._unrecorded)

    def choose_version(self) -> ServedVersion:
        """Read the version for the next turn from the database. Raises NotFound, Unreachable."""
        self.served = self.ask_database(
            lambda database: version_texts.read_served_version(database, self.reference, self._unit)
        )
        return self.served

    def template(self) -> Template:
        """Return the template of the chosen version."""
        assert self.served is not None
        return Template(self.served.content, self.served.settings)

    def model(self) -> str:
        """Return the model: of the option, else of the chosen version, else the default."""
        assert self.served is not None
        return self._model or str(self.served.settings.get("model") or DEFAULT_MODEL)

    def turn(self, message: str) -> Turn:
        """Return a turn with the chosen version; the caller sends it. Raises templates.MissingValues."""
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
            self._report,
        )

    def append(self, turn: Turn) -> bool:
        """Add the message and the reply of a turn, also of a stopped one. Return False if there is no reply to add."""
        if not turn.text.strip() or turn.failure is not None:
            return False
        self.messages = [*turn.call.messages, Message("assistant", turn.text)]
        return True

    def record(self, turns: Sequence[Turn]) -> errors.PromptctlError | None:
        """Record every call of these turns and all uses that could not be recorded before; return the error, if any.

        A first Ctrl-C or SIGTERM waits until the uses are recorded and is stored in `interruption`; a second one
        cancels the recording. Reconnects once after a lost connection.
        """
        for turn in turns:
            calls = [attempt for attempt in turn.attempts if attempt.is_sent]
            self._unrecorded += [
                _use_record(self._use_ids.new(attempt.began_at), turn.served, attempt, self._unit) for attempt in calls
            ]
        if not self._unrecorded:
            return None
        with _deferred_signals() as signals:
            failure = self._send_uses()
        ending = [number for number in signals if number != signal.SIGINT]
        self.interruption = errors.Terminated(ending[0]) if ending else KeyboardInterrupt() if signals else None
        return failure

    def _send_uses(self) -> errors.PromptctlError | None:
        try:
            self.ask_database(lambda database: uses.record(database, self._unrecorded, time.perf_counter()))
        except errors.PromptctlError as failure:
            if not isinstance(failure, errors.Unreachable):
                # The database would refuse the same use again. Record the others one by one.
                waiting, self._unrecorded = self._unrecorded, []
                for use in waiting if len(waiting) > 1 else []:
                    self._unrecorded = [use]
                    self._send_uses()
                self._unrecorded = []
            return failure
        except KeyboardInterrupt:
            # The cancelled connection cannot be used any more.
            self._database = None
            return errors.Failed("interrupted", "interrupted")
        self._unrecorded = []
        return None

    def ask_database(self, question: Callable[[Database], Answer]) -> Answer:
        """Return the result of `question` with a connection, a new one after the open one was lost."""
        if self._database is not None:
            try:
                return question(self._database)
            except errors.Unreachable:
                self._database.close()
                self._database = None
        self._database = self._connect()
        return question(self._database)


def _use_record(use_id: str, served: ServedVersion, attempt: Attempt, unit: str | None) -> UseRecord:
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
def _deferred_signals() -> Generator[list[int]]:
    """Add the first SIGINT, SIGTERM or SIGHUP in a block to the list. A second one raises KeyboardInterrupt."""
    signals: list[int] = []

    def note(number: int, _: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            raise KeyboardInterrupt

    # Only signals that have a handler; the others end the process as before.
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, note) for number in numbers if callable(signal.getsignal(number))}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
