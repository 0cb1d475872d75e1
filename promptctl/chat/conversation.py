"""A conversation with Claude: choose the version for each turn, keep the messages, record every call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from promptctl import errors
from promptctl.chat.turns import Turn
from promptctl.claude import content_blocks
from promptctl.claude import settings as claude_settings
from promptctl.claude.api import OK
from promptctl.deferred_signals import deferred_signals, interruption
from promptctl.rules import buckets
from promptctl.rules.message_requests import RequestTemplate
from promptctl.rules.templates import Template
from promptctl.rules.use_ids import UseIds
from promptctl.store import uses, version_texts
from promptctl.store.uses import UseRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.chat.turns import Content
    from promptctl.claude.api import Attempt, Claude
    from promptctl.postgres.database import Database
    from promptctl.rules.references import Reference
    from promptctl.store.version_texts import ServedVersion

Result = TypeVar("Result")


class Conversation:
    """A conversation with Claude. Each turn uses the version that is active when the turn begins.

    `messages` has the answered messages and their replies, in the format of Claude's API. `interruption` is set when a
    signal arrived while uses were recorded. The caller raises it.
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
        """`connect` opens a connection, also after one was lost. `report` gets a message before each retry."""
        self.reference = reference
        self.served: ServedVersion | None = None
        self.messages: list[dict[str, Any]] = []
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
        """Return the template of the text of the chosen version."""
        assert self.served is not None
        return Template(self.served.content, self.served.settings)

    def request_template(self) -> RequestTemplate:
        """Return the template of everything that the chosen version sends."""
        assert self.served is not None
        return RequestTemplate(self.served.content, self.served.settings)

    def model(self) -> str:
        """Return the `model` of the conversation, else that of the chosen version, else the default."""
        assert self.served is not None
        return self._model or str(self.served.settings.get("model") or claude_settings.DEFAULT_MODEL)

    def calls(self) -> list[Mapping[str, Any]]:
        """Return the calls of tools in the last reply. The next message must have the results of all of them."""
        content = self.messages[-1]["content"] if self.messages else ""
        return [] if isinstance(content, str) else content_blocks.calls(content)

    def keywords(self, messages: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Return everything that is sent with these messages, as keywords of the SDK's `messages.create`.

        Raises templates.MissingValues.
        """
        assert self.served is not None
        return self.request_template().keywords(
            self.values,
            messages,
            model=self.model(),
            max_tokens=self._max_tokens
            or int(self.served.settings.get("max_tokens") or claude_settings.DEFAULT_MAX_TOKENS),
        )

    def turn(self, content: Content) -> Turn:
        """Return a turn with the chosen version, for a text or a list of blocks. The caller sends it.

        Raises templates.MissingValues.
        """
        assert self.served is not None
        messages = [*self.messages, {"role": "user", "content": content}]
        return Turn(self._claude, self.served, messages, self.keywords(messages), self._report)

    def append(self, turn: Turn) -> bool:
        """Add the message and the reply of a turn to `messages`, also if the reply was stopped.

        A reply that was stopped is kept as its text. Adds nothing and returns False if the turn failed, or if nothing
        of its reply can be sent back to Claude.
        """
        if turn.failure is not None:
            return False
        is_whole = turn.last_attempt.outcome == OK
        content = content_blocks.to_send_back(turn.blocks) if is_whole else turn.text
        if not (content.strip() if isinstance(content, str) else content):
            return False
        self.messages = [*turn.messages, {"role": "assistant", "content": content}]
        return True

    def record(self, turns: Sequence[Turn]) -> errors.PromptctlError | None:
        """Record every call of these turns, and the uses that could not be recorded before. Return the error, if any.

        The first Ctrl-C or SIGTERM is stored in `interruption` and does not stop the recording. A second one cancels
        it. Reconnects once after a lost connection.
        """
        for turn in turns:
            for attempt in turn.attempts:
                if attempt.is_sent:
                    use_id = self._use_ids.new(attempt.began_at)
                    self._unrecorded.append(_use_record(use_id, turn.served, attempt, self._unit))
        if not self._unrecorded:
            return None
        with deferred_signals() as signals:
            failure = self._send_uses()
        self.interruption = interruption(signals)
        return failure

    def _send_uses(self) -> errors.PromptctlError | None:
        """Record the unrecorded uses and return the error, if any. Uses that the database refuses are dropped."""
        try:
            self.ask_database(lambda database: uses.record(database, self._unrecorded, time.perf_counter()))
        except errors.PromptctlError as failure:
            if not isinstance(failure, errors.Unreachable):
                # One refused use makes the whole batch fail, and would again. Send each use alone to record the others.
                batch = self._unrecorded
                if len(batch) > 1:
                    for use in batch:
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

    def ask_database(self, query: Callable[[Database], Result]) -> Result:
        """Call `query` with the open connection and return its result. If it was lost, reconnect and repeat."""
        if self._database is not None:
            try:
                return query(self._database)
            except errors.Unreachable:
                self._database.close()
                self._database = None
        self._database = self._connect()
        return query(self._database)


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
        trace_id=None,
    )
