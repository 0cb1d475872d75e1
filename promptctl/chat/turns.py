"""One turn of a conversation: a message, its reply, and the calls that it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from promptctl import threads
from promptctl.claude import retries
from promptctl.claude.api import Attempt
from promptctl.claude.content_blocks import REDACTED_THINKING, TEXT, THINKING, calls, kind_of, to_send_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from promptctl import errors
    from promptctl.claude.api import Claude
    from promptctl.claude.content_blocks import Piece
    from promptctl.store.version_texts import ServedVersion

# How often a reply that pauses is continued.
MOST_PAUSES = 5
# The content of a message, as Claude's API has it: a text, or a list of content blocks.
Content: TypeAlias = "str | list[dict[str, Any]]"


class Turn:
    """One message and its reply, with one version of the prompt. A call that fails may be retried.

    `messages` has the conversation up to this message; `request` has the few-shot messages of the version before it.
    `attempts` has the calls in order. The caller sets `is_stopped` to stop after the current piece of the reply.
    `problem` is the exception that ended `send_to_end`.
    """

    def __init__(
        self,
        claude: Claude,
        served: ServedVersion,
        messages: list[dict[str, Any]],
        request: Mapping[str, Any],
        report: Callable[[str], None],
    ) -> None:
        self.served = served
        self.messages = messages
        self.request = request
        self.attempts: list[Attempt] = []
        self.is_stopped = False
        self.problem: Exception | None = None
        self._claude = claude
        # The blocks before the last pause of the reply.
        self._earlier: list[dict[str, Any]] = []
        self._texts: list[str] = []
        self._has_answer = False
        # Whether another block follows the last text.
        self._is_text_over = False
        self._report = report

    @property
    def text(self) -> str:
        """The text of the reply so far. Where another block stands between two texts, a line ends."""
        return "".join(self._texts)

    @property
    def blocks(self) -> list[dict[str, Any]]:
        """The content blocks of the reply so far, as Claude sent them."""
        return [*self._earlier, *self.last_attempt.blocks] if self.attempts else []

    @property
    def is_empty(self) -> bool:
        """Whether the reply has neither a text with a word nor a call nor another block, except thinking."""
        kinds = {kind_of(block) for block in self.blocks}
        return not self.text.strip() and kinds <= {TEXT, THINKING, REDACTED_THINKING}

    @property
    def calls(self) -> list[Mapping[str, Any]]:
        """The calls of tools in the reply."""
        return calls(self.blocks)

    @property
    def last_attempt(self) -> Attempt:
        """The last call, which has the result of the turn."""
        return self.attempts[-1]

    @property
    def failure(self) -> errors.ClaudeFailed | None:
        """The error of the last call; None if no call has begun or the last one has not failed."""
        return self.last_attempt.failure if self.attempts else None

    def send(self) -> Iterator[Piece]:
        """Send the message and yield the reply piece by piece. Retry a call that fails before the reply begins.

        Thinking is not part of the reply, so it may begin anew. If Claude pauses while a tool runs on its server, the
        reply so far is sent back and continued. A failure of Claude is not raised; `failure` has it. Raises
        KeyboardInterrupt.
        """
        request, pauses = self.request, 0
        while True:
            attempt = Attempt(request)
            self.attempts.append(attempt)
            for piece in self._claude.call(attempt):
                self._keep(piece)
                yield piece
                if self.is_stopped:
                    return
            if attempt.stop_reason == "pause_turn" and attempt.failure is None and pauses < MOST_PAUSES:
                pauses += 1
                self._earlier = self.blocks
                reply = {"role": "assistant", "content": to_send_back(self._earlier)}
                request = {**self.request, "messages": [*self.request["messages"], reply]}
                continue
            if attempt.failure is None or self._has_answer:
                return
            if not retries.wait(attempt.failure, attempt.retry_after_seconds, len(self.attempts), self._report):
                return
            if self.is_stopped:
                return

    def _keep(self, piece: Piece) -> None:
        if piece.kind in (THINKING, REDACTED_THINKING):
            return
        # Nothing is shown at the beginning of a call.
        self._has_answer = self._has_answer or bool(piece.text) or piece.block is not None
        if piece.kind != TEXT:
            self._is_text_over = True
            return
        if self._is_text_over and self._texts and not self._texts[-1].endswith("\n"):
            self._texts.append("\n")
        self._is_text_over = False
        self._texts.append(piece.text)

    def send_to_end(self) -> None:
        """Send the message and wait for the end of the reply. It runs in a thread, so an exception is stored."""
        try:
            for _ in self.send():
                pass
        except Exception as problem:  # noqa: BLE001 - `send_concurrently` raises it
            self.problem = problem


def send_concurrently(turns: Sequence[Turn]) -> None:
    """Send the messages of several turns at the same time and wait for every reply.

    Failures of Claude are stored in the turns. Raises the first other exception. KeyboardInterrupt stops all turns.
    """
    try:
        threads.run_all([turn.send_to_end for turn in turns])
    except KeyboardInterrupt:
        for turn in turns:
            turn.is_stopped = True
        raise
    for turn in turns:
        if turn.problem is not None:
            raise turn.problem
