"""promptctl chat."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.chat import tool_results, transcripts
from promptctl.chat.conversation import Conversation
from promptctl.chat.turns import send_concurrently
from promptctl.claude import api, content_blocks
from promptctl.cli import chat_log, chat_session, content, interruption, numbers, variables
from promptctl.cli.chat_answers import Display
from promptctl.output import messages, reply_pieces, reply_view, stream, waiting_line
from promptctl.rules import references, templates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.chat.turns import Content, Turn
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
    thinking: bool = False,
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
    target = references.parse(reference)
    other = None if against is None else references.parse(against)
    numbers.check("--max-tokens", max_tokens)
    numbers.check("--timeout", timeout)
    message, file = content.chosen(message, text, file)
    if file == "-" and vars_file == "-":
        raise errors.Usage("usage", "standard input cannot be both the message and the file of --vars-file")
    is_conversation = message is None and file is None and sys.stdin is not None and sys.stdin.isatty()
    _check(run, target, other, save, continue_, unit=unit, is_conversation=is_conversation)
    values = variables.read(var, vars_file)
    transcript = None
    if save is not None:
        transcript = transcripts.begin(save)
    elif continue_ is not None:
        transcript = transcripts.load(continue_)
    first_message = None if is_conversation else content.message(message, file)

    client = api.Claude(timeout or api.SILENCE_SECONDS)
    conversations = [
        Conversation(
            run.database, client, side, unit=unit, values=values, model=model, max_tokens=max_tokens, report=run.note
        )
        for side in (target, other)
        if side is not None
    ]
    if transcript is not None:
        conversations[0].messages = transcript.for_claude()
    with interruption.terminated():
        display = Display(streams=not no_stream, thinking=thinking, usage=usage)
        _converse(run, conversations, transcript, first_message, display)


def _check(
    run: Run,
    target: references.Reference,
    other: references.Reference | None,
    save: str | None,
    continue_: str | None,
    *,
    unit: str | None,
    is_conversation: bool,
) -> None:
    """Raise Usage for options that cannot be combined."""
    for option, path in (("--save", save), ("--continue", continue_)):
        if path == "-":
            # Standard output is for the replies.
            raise errors.Usage(
                "usage", f"{option} needs the name of a file", hint=f"promptctl chat {target} {option} chat.json"
            )
    if save is not None and continue_ is not None:
        raise errors.Usage(
            "usage", "--continue saves in the file that it continues: use only one of --save and --continue"
        )
    if unit is not None and (target.version is not None or (other is not None and other.version is not None)):
        raise errors.Usage("usage", "--unit selects the version: use the name without @VERSION")
    if other is not None and (is_conversation or save is not None or continue_ is not None):
        raise errors.Usage(
            "usage",
            "--against needs one message, and no --save or --continue",
            hint=f"promptctl chat {target} MESSAGE --against {other}",
        )
    if is_conversation and (run.form != "plain" or not stream.to_terminal()):
        raise errors.Usage(
            "usage", "a conversation needs a terminal: pass a message", hint=f"promptctl chat {target} MESSAGE"
        )


def _converse(
    run: Run,
    conversations: Sequence[Conversation],
    transcript: transcripts.Transcript | None,
    first_message: str | None,
    display: Display,
) -> None:
    """Answer `first_message`, with each of the versions. If it is None, start a conversation."""
    conversation, *others = conversations
    served, *_ = [side.choose_version() for side in conversations]
    # With --against, a variable may be in only one of the versions. Check those that the other version does not have.
    other_variables = {name for other in others for name in other.request_template().accepted}
    own = {name: value for name, value in conversation.values.items() if name not in other_variables}
    variables.check(conversation.request_template().accepted, f"{served.name}@{served.version}", own)
    if first_message is None:
        assert run.connection is not None
        session = chat_session.Session(run, conversation, transcript, display)
        with interruption.timely_interrupts():
            session.converse(run.connection.label)
        return
    content = first_message if transcript is None else _result_or_message(run, conversation, transcript, first_message)
    turns = [_turn(side, content) for side in conversations]
    if others:
        _compare(run, conversation, turns, display)
        return
    _answer(run, conversation, turns[0], display)
    if transcript is None:
        return
    if conversation.append(turns[0]):
        chat_log.add_to_transcript(transcript, conversation, turns[0])
        transcript.save()
    elif not turns[0].is_empty:
        # The warning for an empty reply says it already.
        path = references.quoted(transcript.path)
        messages.warning(f"nothing is saved in {path}: the reply has nothing that a conversation can keep")


def _result_or_message(
    run: Run, conversation: Conversation, transcript: transcripts.Transcript, message: str
) -> Content:
    """Return the message, or the result of the tool that the last reply of the transcript calls.

    Raises Usage for a reply with several calls, because one message has one result.
    """
    calls = conversation.calls()
    if not calls:
        return message
    names = ", ".join(str(call["name"]) for call in calls)
    if len(calls) > 1:
        raise errors.Usage(
            "several_calls",
            f"the last reply in {references.quoted(transcript.path)} calls {len(calls)} tools: {names}",
            hint="continue the conversation on a terminal, which reads one result after the other",
        )
    if run.form == "plain":
        messages.note(f"the message is sent as the result of {names}")
    return [tool_results.result(calls[0], message)]


def _turn(conversation: Conversation, content: Content) -> Turn:
    try:
        return conversation.turn(content)
    except templates.MissingValues as missing:
        assert conversation.served is not None
        raise variables.missing(missing, f"{conversation.served.name}@{conversation.served.version}") from None


def _answer(run: Run, conversation: Conversation, turn: Turn, display: Display) -> None:
    """Show the reply, and record its calls even if it fails or is interrupted."""
    chat_log.log_use(run, turn.served)
    reply_view.announce(turn.served, conversation.model())
    is_shown = run.form == "plain"
    writer = reply_pieces.PieceWriter(shows_thinking=display.thinking)
    try:
        with interruption.timely_interrupts(), waiting_line.show(turn.request["model"], run.form) as hide_waiting:
            writer.before_writing = hide_waiting
            for piece in turn.send():
                if display.streams and is_shown:
                    writer.write(piece)
        # The reply ends before `_record` may print a warning.
        writer.end(is_whole=turn.failure is None)
    finally:
        # An interrupted reply is billed too.
        _record(run, conversation, [turn])
    if is_shown and not display.streams:
        for piece in content_blocks.pieces(turn.blocks):
            writer.write(piece)
        writer.end(is_whole=turn.failure is None)
    if turn.failure is not None:
        raise turn.failure
    if run.form == "json":
        stream.write_json(reply_view.document(turn))
    elif run.form == "quiet":
        stream.write(f"{turn.served.name}@{turn.served.version}\n")
    if turn.is_empty:
        messages.warning("the reply is empty, and is not part of a conversation")
    elif run.form == "plain" and not stream.to_terminal():
        reply_view.note_what_is_not_shown(turn)
    reply_view.warn_if_cut(turn)
    if display.usage:
        reply_view.note_usage(turn)


def _compare(run: Run, conversation: Conversation, turns: Sequence[Turn], display: Display) -> None:
    for turn in turns:
        chat_log.log_use(run, turn.served)
        if stream.to_terminal():
            messages.note(f"asking {turn.served.name}@{turn.served.version} …")
    try:
        with interruption.timely_interrupts():
            send_concurrently(turns)
    finally:
        _record(run, conversation, turns)
    reply_view.show_comparison(turns, run.form, shows_thinking=display.thinking)
    for turn in turns:
        reply_view.warn_if_cut(turn)
    failed = [turn.failure for turn in turns if turn.failure is not None]
    if failed:
        raise failed[0]


def _record(run: Run, conversation: Conversation, turns: Sequence[Turn]) -> None:
    for turn in turns:
        chat_log.log_calls(run, turn)
    if failure := conversation.record(turns):
        messages.warning(f"the use is not recorded: {failure.message}")
    if conversation.interruption is not None:
        raise conversation.interruption
