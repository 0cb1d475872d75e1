"""promptctl chat."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.chat import conversation as chatting
from promptctl.chat import transcripts
from promptctl.chat.turns import send_concurrently
from promptctl.claude import api
from promptctl.cli import chat_session, content, interruption, numbers, variables
from promptctl.output import messages, reply_view, stream
from promptctl.rules import references, templates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.chat.conversation import Conversation
    from promptctl.chat.turns import Turn
    from promptctl.cli.run import Run


def chat(
    run: Run,
    reference: str,
    message: str | None = None,
    file: str | None = None,
    text: str | None = None,
    against: str | None = None,
    model: str | None = None,
    max_tokens: int | None = None,
    var: list[str] | None = None,
    vars_file: str | None = None,
    unit: str | None = None,
    usage: bool = False,
    no_stream: bool = False,
    save: str | None = None,
    continue_: str | None = None,
    timeout: int | None = None,
) -> None:
    """Send messages to Claude with a prompt.

    With MESSAGE, -f FILE or - (standard input), chat prints one reply. Without a
    message, chat starts a conversation, and each message is sent with the version
    that is active at that time. NAME@VERSION uses one version, for example to try
    it before you activate it. Every call is recorded, including failed ones:
    promptctl stats shows them.

    Set ANTHROPIC_API_KEY to the API key. ANTHROPIC_BASE_URL changes the server.

    Examples:
      promptctl chat default-system-prompt
      promptctl chat default-system-prompt "What is a pointer?" --usage
      promptctl chat code_helper "Review this." -f change.diff
      promptctl chat code_helper@1 -f x.py --against code_helper@2
    """
    wanted = references.parse(reference)
    other = None if against is None else references.parse(against)
    numbers.check("--max-tokens", max_tokens)
    numbers.check("--timeout", timeout)
    message, file = _message(message, text, file, vars_file)
    for option, path in (("--save", save), ("--continue", continue_)):
        if path == "-":
            # A conversation is saved after each turn, and its replies are on standard output.
            raise errors.Usage(
                "usage", f"{option} takes the name of a file", hint=f"promptctl chat {wanted} {option} chat.json"
            )
    if save is not None and continue_ is not None:
        raise errors.Usage("usage", "--continue saves in its own file: --save is for a new one")
    if unit is not None and (wanted.version is not None or (other is not None and other.version is not None)):
        raise errors.Usage("usage", "--unit asks which version a unit is given: name the prompt without @VERSION")
    alone = message is None and file is None and sys.stdin is not None and sys.stdin.isatty()
    if other is not None and (alone or save is not None or continue_ is not None):
        raise errors.Usage(
            "usage",
            "--against compares the replies to one message",
            hint=f"promptctl chat {wanted} MESSAGE --against {other}",
        )
    if alone and (run.form != "plain" or not stream.to_terminal()):
        raise errors.Usage(
            "usage", "a conversation is for a terminal: give a message", hint=f"promptctl chat {wanted} MESSAGE"
        )
    values = variables.given(var, vars_file)
    transcript = (
        transcripts.begin(save) if save is not None else None if continue_ is None else transcripts.load(continue_)
    )
    asked = None if alone else content.message(message, file)

    client = api.Claude(timeout or api.SILENCE_SECONDS)
    with interruption.terminated_after_recording():
        _converse(
            run, client, wanted, other, transcript, asked, values, unit=unit, model=model, max_tokens=max_tokens,
            streams=not no_stream, usage=usage,
        )  # fmt: skip


def _converse(
    run: Run,
    client: api.Claude,
    wanted: references.Reference,
    other: references.Reference | None,
    transcript: transcripts.Transcript | None,
    asked: str | None,
    values: dict[str, str],
    *,
    unit: str | None,
    model: str | None,
    max_tokens: int | None,
    streams: bool,
    usage: bool,
) -> None:
    """Answer one message, that of two versions side by side, or hold a conversation where none is `asked`."""

    def converse(with_: references.Reference) -> Conversation:
        made = chatting.Conversation(
            run.database, client, with_, unit=unit, values=values, model=model, max_tokens=max_tokens,
            report=run.say,
        )  # fmt: skip
        made.messages = [] if transcript is None else transcript.for_claude()
        return made

    talk = converse(wanted)
    served = talk.choose_version()
    second = None if other is None else converse(other)
    if second is not None:
        second.choose_version()
    # Of two versions that are compared, one may have a variable that the other has not.
    known = frozenset[str]() if second is None else second.template().accepted
    own = {name: value for name, value in values.items() if name not in known}
    variables.check(talk.template(), f"{served.name}@{served.version}", own, "chat")
    if asked is None:
        assert run.connection is not None
        session = chat_session.Session(run, talk, transcript, streams=streams, usage=usage)
        with interruption.prompt_interrupts():
            session.converse(run.connection.label)
        return
    turn = _turn(talk, asked)
    if second is None:
        _answer(run, talk, turn, streams=streams, usage=usage)
        if transcript is not None and talk.append(turn):
            chat_session.note(transcript, asked, turn)
            transcript.save()
        return
    _compare(run, talk, [turn, _turn(second, asked)])


def _message(
    argument: str | None, literal: str | None, file: str | None, vars_file: str | None
) -> tuple[str | None, str | None]:
    """Return the message's text and its file; raises Usage where standard input is to be two things."""
    message, file = content.chosen(argument, literal, file)
    if file == "-" == vars_file:
        raise errors.Usage("usage", "standard input is either the message or the values of --vars-file")
    return message, file


def _turn(talk: Conversation, message: str) -> Turn:
    try:
        return talk.turn(message)
    except templates.MissingValues as missing:
        assert talk.served is not None
        raise variables.missing(missing, f"{talk.served.name}@{talk.served.version}", "chat") from None


def _answer(run: Run, talk: Conversation, turn: Turn, *, streams: bool, usage: bool) -> None:
    """Show the reply and book its calls, however it ends."""
    chat_session.log_use(run, turn.served)
    reply_view.announce(turn.served, talk.model())
    shows_text = run.form == "plain"
    writer = reply_view.Writer()
    try:
        with interruption.prompt_interrupts(), reply_view.waiting(turn.call.model, run.form) as came:
            for text in turn.texts():
                if streams and shows_text:
                    came()
                    writer.write(text)
        # Before anything is said about the record.
        writer.end()
    finally:
        # Also when it was interrupted, or nobody reads any more: what was billed is booked.
        _book(run, talk, [turn])
    if shows_text and not streams:
        writer.write(turn.text)
    if shows_text:
        writer.end()
    if turn.failure is not None:
        raise turn.failure
    if run.form == "json":
        from promptctl.output import documents

        documents.show(reply_view.document(turn))
    elif run.form == "quiet":
        stream.write(f"{turn.served.name}@{turn.served.version}\n")
    if not turn.text.strip():
        messages.warning("the reply is empty, and is not part of a conversation")
    reply_view.warn_if_cut(turn)
    if usage:
        reply_view.note_usage(turn)


def _compare(run: Run, talk: Conversation, turns: Sequence[Turn]) -> None:
    for turn in turns:
        chat_session.log_use(run, turn.served)
        if stream.to_terminal():
            messages.note(f"asking {turn.served.name}@{turn.served.version} …")
    try:
        with interruption.prompt_interrupts():
            send_concurrently(turns)
    finally:
        _book(run, talk, turns)
    reply_view.show_comparison(turns, run.form)
    for turn in turns:
        reply_view.warn_if_cut(turn)
    failed = [turn.failure for turn in turns if turn.failure is not None]
    if failed:
        raise failed[0]


def _book(run: Run, talk: Conversation, turns: Sequence[Turn]) -> None:
    for turn in turns:
        chat_session.log_calls(run, turn)
    if failure := talk.record(turns):
        messages.warning(f"the use is not recorded: {failure.message}")
    if talk.interruption is not None:
        raise talk.interruption
