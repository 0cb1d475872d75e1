"""Keep a turn of a chat: its events in the log, its message and its reply in the transcript."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptctl.chat.conversation import Conversation
    from promptctl.chat.transcripts import Transcript
    from promptctl.chat.turns import Turn
    from promptctl.cli.run import Run
    from promptctl.store.version_texts import ServedVersion


def add_to_transcript(transcript: Transcript, conversation: Conversation, turn: Turn) -> None:
    """Add the message and the reply that a turn has added to its conversation to the transcript."""
    message, reply = conversation.messages[-2:]
    # Earlier attempts failed and were retried.
    last = turn.last_attempt
    transcript.add(
        message["content"],
        reply["content"],
        prompt=turn.served.name,
        version=turn.served.version,
        variables=dict(conversation.values) or None,
        model=last.model,
        outcome=last.outcome,
        input_tokens=last.input_tokens,
        output_tokens=last.output_tokens,
        response_time_ms=None if last.response_ms is None else round(last.response_ms, 1),
    )


def log_use(run: Run, served: ServedVersion) -> None:
    """Log the version with which a message is sent."""
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
