"""A conversation at the terminal: one message per line, slash commands, replies that Ctrl-C stops."""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.chat import transcripts
from promptctl.chat.transcripts import Transcript
from promptctl.claude import refusals
from promptctl.cli import content, line_editor, variables
from promptctl.output import messages, reply_view, reply_writer, stream, waiting_line
from promptctl.rules import templates
from promptctl.store import history_events

if TYPE_CHECKING:
    from typing import Any

    from promptctl.chat.conversation import Conversation
    from promptctl.chat.turns import Turn
    from promptctl.claude.api import Message
    from promptctl.cli.run import Run
    from promptctl.store.history_events import HistoryEvent
    from promptctl.store.version_texts import ServedVersion

_COMMANDS = {
    "/help": "show this list",
    "/edit [TEXT]": "write the message in an editor; on a line, Ctrl-X Ctrl-E",
    "/retry": "send the last message again",
    "/show": "show the prompt with its variables filled in",
    "/var NAME=VALUE": "set a variable of the prompt",
    "/usage": "turn tokens and times after each reply on or off",
    "/save [FILE]": "save the conversation now and after each reply",
    "/quit": "leave; also: exit, quit, Ctrl-D",
}
# How other programs are left. Compared with the whole line, because a message may contain these words.
_LEAVING = ("exit", "quit", "exit()", "quit()", ":q")
_KEYS = """\
To continue a message on the next line, end the line with \\ or press Esc Enter.
Ctrl-C stops a reply. To send a message that starts with a slash, or is exit or
quit, start it with a space."""


class Session:
    """A conversation at the terminal: its file, how replies are shown, and the last message."""

    def __init__(
        self, run: Run, conversation: Conversation, transcript: Transcript | None, *, streams: bool, usage: bool
    ) -> None:
        self._run = run
        self._conversation = conversation
        # An empty path until /save sets one.
        self._transcript = transcript or Transcript("")
        self._streams = streams
        self._usage = usage
        self._editor = line_editor.LineEditor([command.partition(" ")[0] for command in _COMMANDS])
        self._last = ""
        # The error in which Claude asked to wait, and the end of that time on the monotonic clock, in seconds.
        self._refusal: errors.ClaudeFailed | None = None
        self._not_before = 0.0
        self._turns = 0
        self._tokens = 0
        self._was_answered = False
        self._replaced: tuple[list[Message], list[dict[str, Any]]] | None = None

    def converse(self, label: str) -> None:
        """Read and answer messages until end of file or /quit. `label` names the database."""
        self._banner(label)
        try:
            while (message := self._next_message()) is not None:
                if message:
                    self._try(message)
        finally:
            self._editor.close()
        self._leave()

    def _try(self, message: str) -> None:
        """Answer a message. Ctrl-C only stops the reply. Without a new reply, /retry keeps the old one."""
        replies_before = self._turns
        try:
            self._answer(message)
        except errors.Terminated:
            raise
        except KeyboardInterrupt:
            messages.note("stopped")
        finally:
            if self._replaced is not None and self._turns == replies_before:
                self._conversation.messages, self._transcript.messages = self._replaced
            self._replaced = None

    def _banner(self, label: str) -> None:
        served = self._conversation.served
        assert served is not None
        version = "the active version" if self._conversation.reference.version is None else "this version"
        stream.write(
            stream.styled(stream.one_line(f"{_named(served)}, {self._conversation.model()}, {label}"), stream.BOLD)
            + "\n"
            + stream.styled(f"each message is sent with {version}; Ctrl-D leaves, /help lists commands", stream.DIM)
            + "\n"
        )
        if count := len(self._conversation.messages) // 2:
            messages.note(f"continuing after {count} {'reply' if count == 1 else 'replies'}")

    def _next_message(self) -> str | None:
        """Return the next message, '' if there is nothing to send, None to leave."""
        stream.write("\n")
        stream.flush()
        style = stream.CYAN if stream.has_color(sys.stdout) else None
        try:
            line = self._editor.read(self._prompt(), style)
        except EOFError:
            stream.write("\n")
            return None
        except errors.Terminated:
            raise
        except KeyboardInterrupt:
            stream.write("\n")
            messages.note("Ctrl-D leaves")
            return ""
        if line in _LEAVING:
            messages.note(f'to send "{line.strip()}" to Claude, write a space before it')
            return None
        if not line.startswith("/"):
            return line if line.strip() else ""
        try:
            return self._command(*line[1:].split(None, 1)) if line[1:].strip() else self._help()
        except errors.PromptctlError as failure:
            messages.error(failure, as_json=False)
            return ""

    def _prompt(self) -> str:
        served = self._conversation.served
        assert served is not None
        whole = f"{served.name}@{served.version}> "
        return whole if len(whole) <= stream.width() // 3 else f"@{served.version}> "

    def _command(self, name: str, rest: str = "") -> str | None:
        """Run a slash command; return the message to send, '' for none, None to leave."""
        rest = rest.strip()
        if name == "quit":
            return None
        if name == "edit":
            message = content.compose(rest)
            self._editor.remember(message)
            return message
        if name == "retry":
            if not self._last:
                messages.note("no message was sent yet")
            elif self._was_answered:
                # The old reply is dropped as soon as there is a new one.
                self._replaced = (self._conversation.messages, self._transcript.messages)
                self._conversation.messages = self._conversation.messages[:-2]
                self._transcript.messages = self._transcript.messages[:-2]
            return self._last
        if name == "show":
            self._show()
        elif name == "var":
            self._conversation.values |= variables.read([rest], None)
        elif name == "usage":
            self._usage = not self._usage
            messages.note(f"tokens and times are {'on' if self._usage else 'off'}")
        elif name == "save":
            self._save_as(rest)
        elif name == "help":
            self._help()
        else:
            raise errors.Usage(
                "usage", f"no command /{name}", hint="/help; to send this as a message, start it with a space"
            )
        return ""

    def _help(self) -> str:
        for command, meaning in _COMMANDS.items():
            stream.write(f"  {command:<16}  {meaning}\n")
        stream.write(_KEYS + "\n")
        return ""

    def _show(self) -> None:
        try:
            text = self._conversation.template().render(self._conversation.values)
        except templates.MissingValues as missing:
            raise variables.missing(missing, self._prompt_name(), "/var") from None
        stream.write_content(text)

    def _prompt_name(self) -> str:
        return str(self._conversation.reference)

    def _answer(self, message: str) -> None:
        """Send a message with the version that is active now; show, record and keep the reply."""
        self._last = message
        self._was_answered = self._replaced is not None
        if self._is_too_early():
            return
        before = self._conversation.served
        try:
            served = self._conversation.choose_version()
            if before is not None and (served.version, served.name) != (before.version, before.name):
                self._announce_change(before, served)
            elif before is not None and served.retired_at != before.retired_at and served.retired_at is not None:
                messages.warning(f"{served.name}@{served.version} was archived")
            turn = self._conversation.turn(message)
        except templates.MissingValues as missing:
            served = self._conversation.served
            assert served is not None
            messages.error(variables.missing(missing, f"{served.name}@{served.version}", "/var"), as_json=False)
            return
        except errors.PromptctlError as failure:
            failure.hint = failure.hint or "/retry"
            messages.error(failure, as_json=False)
            return
        log_use(self._run, served)
        self._show_reply(turn)
        self._record(turn)
        self._keep(message, turn)

    def _is_too_early(self) -> bool:
        """Return whether Claude still asks to wait; if so, print for how long."""
        left = self._not_before - time.monotonic()
        if self._refusal is None or left <= 0:
            return False
        message = f"nothing was sent: Claude asks to wait {refusals.duration(left)}"
        failure = errors.ClaudeFailed(self._refusal.code, message, hint="/retry sends it after that")
        messages.error(failure, as_json=False)
        return True

    def _announce_change(self, before: ServedVersion, current: ServedVersion) -> None:
        hide_waiting = (
            f"{before.name}: {before.version}" if before.name == current.name else f"{before.name}@{before.version}"
        )
        after = str(current.version) if before.name == current.name else f"{current.name}@{current.version}"
        change = f"{hide_waiting} → {after} is active now"
        try:
            events, _ = self._conversation.ask_database(
                lambda database: history_events.read_history(database, current.name, 1)
            )
        except errors.PromptctlError:
            events = []
        messages.note(change + (_by(events[0]) if events else ""))

    def _show_reply(self, turn: Turn) -> None:
        writer = reply_writer.Writer()
        try:
            with waiting_line.waiting(turn.call.model, self._run.form) as hide_waiting:
                for text in turn.texts():
                    if self._streams:
                        hide_waiting()
                        writer.write(text)
        except errors.Terminated:
            writer.end()
            self._record(turn)
            raise
        except KeyboardInterrupt:
            turn.is_stopped = True
        if not self._streams and turn.text:
            writer.write(turn.text)
        writer.end()
        if turn.failure is not None:
            messages.error(turn.failure, as_json=False)
            self._refusal, self._not_before = turn.failure, time.monotonic() + turn.failure.wait_seconds
        elif turn.is_stopped:
            messages.note("stopped")
        else:
            reply_view.warn_if_cut(turn)
        if self._usage:
            reply_view.note_usage(turn)

    def _record(self, turn: Turn) -> None:
        log_calls(self._run, turn)
        if failure := self._conversation.record([turn]):
            waiting = "; promptctl retries after the next reply" if self._conversation.unrecorded else ""
            messages.warning(f"this use is not recorded{waiting}: {failure.message}")
        if isinstance(self._conversation.interruption, errors.Terminated):
            raise self._conversation.interruption

    def _keep(self, message: str, turn: Turn) -> None:
        self._tokens += sum((attempt.input_tokens or 0) + (attempt.output_tokens or 0) for attempt in turn.attempts)
        if not self._conversation.append(turn):
            messages.note("this message is not part of the conversation; /retry sends it again")
            return
        self._turns += 1
        self._was_answered = True
        if self._turns == 1:
            # A conversation lasts long enough to collect garbage, but not among the modules that are loaded now.
            gc.freeze()
            gc.enable()
        note(self._transcript, message, turn)
        if self._transcript.path:
            self._save()

    def _save_as(self, path: str) -> None:
        if path:
            transcript = transcripts.begin(os.path.expanduser(path))
            transcript.messages = self._transcript.messages
            transcript.save()
            self._transcript = transcript
        elif not self._transcript.path:
            raise errors.Usage("usage", "/save needs a file", hint="/save FILE")
        if self._save():
            messages.note(f"saved in {self._transcript.path}")

    def _save(self) -> bool:
        try:
            self._transcript.save()
        except errors.Failed as failure:
            failure.hint = "/save FILE saves it elsewhere"
            messages.error(failure, as_json=False)
            return False
        return True

    def _leave(self) -> None:
        replied = f"{self._turns} {'reply' if self._turns == 1 else 'replies'}, {self._tokens:,} tokens"
        saved = f", saved in {self._transcript.path}" if self._transcript.path else ""
        if self._turns:
            messages.note(f"{replied}{saved}")
        if self._conversation.unrecorded and (failure := self._conversation.record([])):
            count = self._conversation.unrecorded
            messages.warning(f"{count} {'use is' if count == 1 else 'uses are'} not recorded: {failure.message}")
        if self._transcript.path and self._turns:
            # Fail if the file could not be written: --save and /save promise it.
            self._transcript.save()


def note(transcript: Transcript, message: str, turn: Turn) -> None:
    """Add a message and its reply to the transcript."""
    last = turn.last
    transcript.add(
        message,
        turn.text,
        prompt=turn.served.name,
        version=turn.served.version,
        model=last.model,
        outcome=last.outcome,
        input_tokens=last.input_tokens,
        output_tokens=last.output_tokens,
        response_time_ms=None if last.response_ms is None else round(last.response_ms, 1),
    )


def log_use(run: Run, served: ServedVersion) -> None:
    """Log which version is sent."""
    run.log("Using prompt", name=served.name, version=served.version, promptId=served.id)


def log_calls(run: Run, turn: Turn) -> None:
    """Log every call of a turn, the failed ones too."""
    for attempt in turn.attempts:
        if not attempt.is_sent:
            continue
        tokens = (attempt.input_tokens or 0) + (attempt.output_tokens or 0)
        run.log(
            "Claude request completed" if attempt.failure is None else "Claude request failed",
            **({} if attempt.failure is None else {"level": "error"}),
            name=turn.served.name,
            version=turn.served.version,
            promptId=turn.served.id,
            model=attempt.model,
            outcome=attempt.outcome,
            totalTokens=None if attempt.input_tokens is None else tokens,
            responseTimeMs=None if attempt.response_ms is None else round(attempt.response_ms),
            requestId=attempt.request_id,
        )


def _named(served: ServedVersion) -> str:
    return f"{served.name}@{served.version}{reply_view.version_status(served)}"


def _by(event: HistoryEvent) -> str:
    how = {"rollback": "rolled back", "activate": "activated it"}.get(event.kind, "moved it")
    why = f", {event.reason}" if event.reason else ""
    return f" ({event.author} {how}{why})"
