"""Answer messages of a conversation at the terminal: send each one, show its reply, record and keep it."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.claude import content_blocks, refusals
from promptctl.cli import chat_log, variables
from promptctl.output import messages, reply_pieces, reply_view, waiting_line
from promptctl.records import Record
from promptctl.rules import templates
from promptctl.store import history_events

if TYPE_CHECKING:
    from typing import Any

    from promptctl.chat.conversation import Conversation
    from promptctl.chat.transcripts import Transcript
    from promptctl.chat.turns import Content, Turn
    from promptctl.cli.run import Run
    from promptctl.store.history_events import HistoryEvent
    from promptctl.store.version_texts import ServedVersion


class Display(Record):
    """How replies are shown: while they arrive or at their end, with thinking, with tokens and times."""

    streams: bool
    thinking: bool
    usage: bool


class Answers:
    """Answers the messages of a conversation, and counts the replies and their tokens."""

    def __init__(self, run: Run, conversation: Conversation, transcript: Transcript, display: Display) -> None:
        self.conversation = conversation
        self.transcript = transcript
        self.shows_usage = display.usage
        self.replies = 0
        self.tokens = 0
        self._run = run
        self._streams = display.streams
        self._shows_thinking = display.thinking
        # A conversation that goes on from a file has a last message and its reply.
        self._last_message: Content = conversation.messages[-2]["content"] if conversation.messages else ""
        self._has_reply = bool(conversation.messages)
        # The messages of the conversation and of the transcript, before a retry removed the last one and its reply.
        self._before_retry: tuple[list[dict[str, Any]], list[dict[str, Any]]] | None = None
        # The last error of Claude, and the time before which it asks for no request, in seconds of the monotonic clock.
        self._refusal: errors.ClaudeFailed | None = None
        self._not_before = 0.0

    def answer(self, message: Content) -> None:
        """Answer a message, which is a text or the results of tools. Ctrl-C stops only the reply.

        If a retry gets no new reply, the old one is restored.
        """
        replies_before = self.replies
        try:
            self._answer(message)
        except errors.Terminated:
            # A KeyboardInterrupt too, but it ends the process.
            raise
        except KeyboardInterrupt:
            messages.note("stopped")
        finally:
            if self._before_retry is not None and self.replies == replies_before:
                self.conversation.messages, self.transcript.messages = self._before_retry
            self._before_retry = None

    def retry(self) -> Content:
        """Remove the last message and its reply, and return the message to send it again, or '' if there is none.

        `answer` restores both if there is no new reply.
        """
        if not self._last_message:
            messages.note("no message was sent yet")
        elif self._has_reply:
            self._before_retry = (self.conversation.messages, self.transcript.messages)
            self.conversation.messages = self.conversation.messages[:-2]
            self.transcript.messages = self.transcript.messages[:-2]
        return self._last_message

    def save(self) -> bool:
        """Save the transcript. If that fails, print the error and return False."""
        try:
            self.transcript.save()
        except errors.Failed as failure:
            failure.hint = "/save FILE saves it elsewhere"
            messages.error(failure, as_json=False)
            return False
        return True

    def _answer(self, message: Content) -> None:
        """Send a message with the version that is active now. Show, record and keep the reply."""
        self._last_message = message
        # During a retry there is the old reply.
        self._has_reply = self._before_retry is not None
        if self._is_too_early():
            return
        before = self.conversation.served
        try:
            served = self.conversation.choose_version()
            if before is not None and (served.version, served.name) != (before.version, before.name):
                self._announce_change(before, served)
            elif before is not None and served.retired_at != before.retired_at and served.retired_at is not None:
                messages.warning(f"{served.name}@{served.version} was archived")
            turn = self.conversation.turn(message)
        except templates.MissingValues as missing:
            served = self.conversation.served
            assert served is not None
            messages.error(variables.missing(missing, f"{served.name}@{served.version}", "/retry"), as_json=False)
            return
        except errors.PromptctlError as failure:
            failure.hint = failure.hint or "/retry"
            messages.error(failure, as_json=False)
            return
        chat_log.log_use(self._run, served)
        self._show_reply(turn)
        self._record(turn)
        self._keep(turn)

    def _is_too_early(self) -> bool:
        """Return whether Claude still asks to wait. If it does, print for how long."""
        left = self._not_before - time.monotonic()
        if self._refusal is None or left <= 0:
            return False
        message = f"nothing was sent: Claude asks to wait {refusals.duration(left)}"
        failure = errors.ClaudeFailed(self._refusal.code, message, hint="/retry sends it after that")
        messages.error(failure, as_json=False)
        return True

    def _announce_change(self, before: ServedVersion, current: ServedVersion) -> None:
        if before.name == current.name:
            change = f"{before.name}: {before.version} → {current.version} is active now"
        else:
            change = f"{before.name}@{before.version} → {current.name}@{current.version} is active now"
        try:
            events, _ = self.conversation.ask_database(
                lambda database: history_events.read_history(database, current.name, 1)
            )
        except errors.PromptctlError:
            events = []
        messages.note(change + (_by(events[0]) if events else ""))

    def _show_reply(self, turn: Turn) -> None:
        writer = reply_pieces.PieceWriter(shows_thinking=self._shows_thinking)
        try:
            with waiting_line.show(turn.request["model"], self._run.form) as hide_waiting:
                writer.before_writing = hide_waiting
                for piece in turn.send():
                    if self._streams:
                        writer.write(piece)
        except errors.Terminated:
            writer.end()
            self._record(turn)
            raise
        except KeyboardInterrupt:
            turn.is_stopped = True
        if not self._streams:
            for piece in content_blocks.pieces(turn.blocks):
                writer.write(piece)
        writer.end()
        if turn.failure is not None:
            messages.error(turn.failure, as_json=False)
            self._refusal, self._not_before = turn.failure, time.monotonic() + turn.failure.wait_seconds
        elif turn.is_stopped:
            messages.note("stopped")
        else:
            reply_view.warn_if_cut(turn)
        if self.shows_usage:
            reply_view.note_usage(turn)

    def _record(self, turn: Turn) -> None:
        chat_log.log_calls(self._run, turn)
        if failure := self.conversation.record([turn]):
            retry = "; promptctl retries after the next reply" if self.conversation.unrecorded else ""
            messages.warning(f"this use is not recorded{retry}: {failure.message}")
        if isinstance(self.conversation.interruption, errors.Terminated):
            raise self.conversation.interruption

    def _keep(self, turn: Turn) -> None:
        self.tokens += sum((attempt.input_tokens or 0) + (attempt.output_tokens or 0) for attempt in turn.attempts)
        if not self.conversation.append(turn):
            messages.note("this message is not part of the conversation; /retry sends it again")
            return
        self.replies += 1
        self._has_reply = True
        if self.replies == 1:
            # A conversation may last for hours, so collect garbage. freeze() excludes the modules that are loaded now.
            gc.freeze()
            gc.enable()
        chat_log.add_to_transcript(self.transcript, self.conversation, turn)
        if self.transcript.path:
            self.save()


def _by(event: HistoryEvent) -> str:
    """Return who made a change, how and why, in parentheses."""
    how = {"rollback": "rolled back", "activate": "activated it"}.get(event.kind, "moved it")
    why = f", {event.reason}" if event.reason else ""
    return f" ({event.author} {how}{why})"
