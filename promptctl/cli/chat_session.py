"""Hold a conversation at the terminal: read one message per line, run slash commands, leave."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.chat import transcripts
from promptctl.chat.tool_results import ToolResults
from promptctl.chat.transcripts import Transcript
from promptctl.cli import chat_answers, content, line_editor, variables
from promptctl.output import block_view, messages, reply_view, stream, text_width
from promptctl.rules import templates

if TYPE_CHECKING:
    from typing import Any

    from promptctl.chat.conversation import Conversation
    from promptctl.chat.turns import Content
    from promptctl.cli.chat_answers import Display
    from promptctl.cli.run import Run
    from promptctl.store.version_texts import ServedVersion

_COMMANDS = {
    "/help": "show this list",
    "/edit [TEXT]": "write the message in an editor; on a line, Ctrl-X Ctrl-E",
    "/retry": "send the last message again",
    "/result FILE": "answer the call of a tool with a file; or type the result",
    "/error TEXT": "answer the call of a tool with an error",
    "/cancel": "cancel the calls of tools, to send a message instead",
    "/show [request]": "show the prompt as it is sent, or the whole request as JSON",
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
    """A conversation at the terminal: reads lines, runs slash commands, and passes messages to `Answers`."""

    def __init__(self, run: Run, conversation: Conversation, transcript: Transcript | None, display: Display) -> None:
        self._conversation = conversation
        # The path is empty until /save sets it.
        self._answers = chat_answers.Answers(run, conversation, transcript or Transcript(""), display)
        # The results for the calls in the last reply; None if it has no calls.
        self._results: ToolResults | None = None
        # The messages for which `_results` are collected.
        self._answered: list[dict[str, Any]] = []
        self._editor = line_editor.LineEditor([command.partition(" ")[0] for command in _COMMANDS])

    def converse(self, label: str) -> None:
        """Read and answer messages until Ctrl-D or a command that leaves. `label` names the database."""
        self._banner(label)
        try:
            for call in self._conversation.calls():
                stream.write(block_view.call_lines(call, stream.width()))
            self._expect_results()
            while (message := self._next_message()) is not None:
                if message:
                    self._answers.answer(message)
                    self._expect_results()
        finally:
            self._editor.close()
        self._finish()

    def _banner(self, label: str) -> None:
        served = self._conversation.served
        assert served is not None
        version = "the active version" if self._conversation.reference.version is None else "this version"
        stream.write(
            stream.styled(stream.one_line(f"{_named(served)}, {self._conversation.model()}, {label}"), stream.BOLD)
            + "\n"
            + stream.styled(f"each message uses {version}; Ctrl-D leaves, /help lists commands", stream.DIM)
            + "\n"
        )
        if count := len(self._conversation.messages) // 2:
            messages.note(f"continuing after {count} {'reply' if count == 1 else 'replies'}")

    def _expect_results(self) -> None:
        """Ask for the results of the calls in the last reply, if it has calls.

        Results that got no reply can be sent again, or typed anew. Cancelled calls stay cancelled.
        """
        calls = self._conversation.calls()
        has_no_reply = self._results is not None and self._conversation.messages is self._answered
        if self._results is not None and has_no_reply and (self._results.is_cancelled or self._results.waiting):
            return
        self._answered = self._conversation.messages
        self._results = ToolResults(calls) if calls else None
        if calls and has_no_reply:
            messages.note("/retry sends the same results; to send others, type them now")
        elif calls:
            which = "the call" if len(calls) == 1 else "each call"
            messages.note(f"type the result of {which}, or /result FILE; /cancel sends a message instead")

    def _next_message(self) -> Content | None:
        """Return the next message, '' if there is nothing to send, None to leave."""
        stream.write("\n")
        stream.flush()
        style = stream.CYAN if stream.has_color(sys.stdout) else None
        try:
            line = self._editor.read(self._input_prompt(), style)
        except EOFError:
            stream.write("\n")
            return None
        except errors.Terminated:
            # A KeyboardInterrupt too, but it ends the process.
            raise
        except KeyboardInterrupt:
            stream.write("\n")
            messages.note("Ctrl-D leaves")
            return ""
        if line in _LEAVING:
            messages.note(f'to send "{line.strip()}" to Claude, write a space before it')
            return None
        if not line.startswith("/"):
            return self._message(line) if line.strip() else ""
        try:
            command = line[1:].split(None, 1)
            return self._command(*command) if command else self._help()
        except errors.PromptctlError as failure:
            messages.error(failure, as_json=False)
        except errors.Terminated:
            raise
        except KeyboardInterrupt:
            stream.write("\n")
            messages.note("stopped")
        return ""

    def _message(self, text: str, *, is_error: bool = False) -> Content:
        """Return the message to send for a text, which is the result of a call if one waits. '' if others wait too."""
        if self._results is None:
            return text
        if self._results.is_cancelled:
            return self._results.content(text)
        self._results.add(text, is_error=is_error)
        return self._results.content() if self._results.waiting is None else ""

    def _waiting_results(self) -> ToolResults:
        """Return the results for the calls that wait. Raises Usage if no call waits for a result."""
        if self._results is None or self._results.waiting is None:
            raise errors.Usage("usage", "no call of a tool waits for a result", hint="/help")
        return self._results

    def _input_prompt(self) -> str:
        if self._results is not None and (call := self._results.waiting) is not None:
            name = text_width.cut(stream.one_line(str(call["name"])), stream.width() // 3)
            return " ".join(filter(None, (name, self._results.position))) + "> "
        served = self._conversation.served
        assert served is not None
        whole = f"{served.name}@{served.version}> "
        return whole if len(whole) <= stream.width() // 3 else f"@{served.version}> "

    def _command(self, name: str, rest: str = "") -> Content | None:
        """Run a slash command. Return the message to send, '' for none, None to leave."""
        rest = rest.strip()
        if name == "quit":
            return None
        if name == "edit":
            message = content.compose(rest)
            self._editor.remember(message)
            return self._message(message)
        if name == "retry":
            return self._answers.retry()
        if name in ("result", "error"):
            return self._result(name, rest)
        if name == "cancel":
            self._waiting_results().cancel()
            messages.note("cancelled: the next message is sent in place of the results")
        elif name == "show":
            self._show(rest)
        elif name == "var":
            self._set_variable(rest)
        elif name == "usage":
            self._answers.shows_usage = not self._answers.shows_usage
            messages.note(f"tokens and times are {'on' if self._answers.shows_usage else 'off'}")
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
        """Print the slash commands. Return '', because there is no message to send."""
        for command, meaning in _COMMANDS.items():
            stream.write(f"  {command:<16}  {meaning}\n")
        stream.write(_KEYS + "\n")
        return ""

    def _result(self, command: str, rest: str) -> Content:
        """Answer the waiting call with a file or an error. Return the message to send, '' if there is none yet."""
        self._waiting_results()
        if not rest:
            what = "the name of a file" if command == "result" else "the message of the error"
            raise errors.Usage("usage", f"/{command} needs {what}", hint="/help")
        if command == "error":
            return self._message(rest, is_error=True)
        hint = "/result FILE sends the text of a regular file; /error TEXT sends an error"
        return self._message(content.regular_file(os.path.expanduser(rest), hint).rstrip("\n"))

    def _set_variable(self, assignment: str) -> None:
        """Set a variable of the chosen version. Raises Usage for any other name."""
        name, value = variables.pair(assignment, "/var")
        served = self._conversation.served
        assert served is not None
        accepted = self._conversation.request_template().accepted
        variables.check(accepted, f"{served.name}@{served.version}", {name: value}, in_conversation=True)
        self._conversation.values[name] = value

    def _show(self, what: str) -> None:
        """Print the prompt with its variables filled in: its text, or with `request` all that it sends."""
        conversation = self._conversation
        try:
            if what == "request":
                stream.write(stream.json_text(conversation.keywords(), 2) + "\n")
            else:
                stream.write_content(conversation.template().render(conversation.values))
        except templates.MissingValues as missing:
            raise variables.missing(missing, str(conversation.reference), f"/show {what}".rstrip()) from None

    def _save_as(self, path: str) -> None:
        if path:
            transcript = transcripts.begin(os.path.expanduser(path))
            transcript.messages = self._answers.transcript.messages
            transcript.save()
            self._answers.transcript = transcript
        elif not self._answers.transcript.path:
            raise errors.Usage("usage", "/save needs a file", hint="/save FILE")
        if self._answers.save():
            messages.note(f"saved in {self._answers.transcript.path}")

    def _finish(self) -> None:
        """Print a summary, retry to record uses that are not recorded, and save the transcript."""
        replies, transcript = self._answers.replies, self._answers.transcript
        if replies:
            saved = f", saved in {transcript.path}" if transcript.path else ""
            messages.note(f"{replies} {'reply' if replies == 1 else 'replies'}, {self._answers.tokens:,} tokens{saved}")
        if self._conversation.unrecorded and (failure := self._conversation.record([])):
            count = self._conversation.unrecorded
            messages.warning(f"{count} {'use is' if count == 1 else 'uses are'} not recorded: {failure.message}")
        if transcript.path and replies:
            # --save and /save promise the file, so the command fails if it cannot be written.
            transcript.save()


def _named(served: ServedVersion) -> str:
    return f"{served.name}@{served.version}{reply_view.version_status(served)}"
