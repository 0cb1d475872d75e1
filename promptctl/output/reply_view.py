"""Present replies of Claude, their tokens and times. `form` is plain, quiet or json."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from promptctl.claude import content_blocks
from promptctl.output import answers, block_view, messages, reply_writer, stream, tables, time_text
from promptctl.output.reply_writer import escape_reply
from promptctl.output.table_columns import Column

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.chat.turns import Turn
    from promptctl.claude.api import Attempt
    from promptctl.store.version_texts import ServedVersion

# With narrower columns, two replies are shown one after the other.
_NARROWEST_COLUMN = 30
_GAP = 3


def announce(served: ServedVersion, model: str) -> None:
    """Write the version and the model of a reply to a terminal, before the reply."""
    if stream.is_terminal(sys.stderr):
        line = f"{served.name}@{served.version}{version_status(served)}, {model}"
        stream.write_stderr(stream.styled(stream.one_line(line), stream.DIM, sys.stderr))


def version_status(served: ServedVersion) -> str:
    """Return ` (archived)` or ` (not active)`; '' for the active version."""
    if served.retired_at is not None:
        return " (archived)"
    return "" if served.is_active else " (not active)"


def note_usage(turn: Turn) -> None:
    """Report the tokens and times of a reply."""
    stream.write_stderr(stream.styled(_usage(turn.last_attempt), stream.DIM, sys.stderr))


def warn_if_cut(turn: Turn) -> None:
    """Warn if the reply was cut at a limit of tokens, or a call in it is incomplete."""
    if turn.last_attempt.stop_reason == "max_tokens":
        messages.warning(f"the reply was cut at {turn.request['max_tokens']} tokens; --max-tokens sets the limit")
    elif turn.last_attempt.stop_reason == "model_context_window_exceeded":
        messages.warning(f"the reply was cut because the context window of {turn.last_attempt.model} is full")
    elif turn.last_attempt.stop_reason == "pause_turn":
        messages.warning("Claude paused the reply while a tool ran on its server; the rest is missing")
    for call in content_blocks.incomplete_calls(turn.blocks):
        name = stream.one_line(str(call.get("name")))
        messages.warning(f"the call of {name} is incomplete, so it is not kept and cannot have a result")


def note_what_is_not_shown(turn: Turn) -> None:
    """Note the blocks of a reply that prints nothing in a pipe, because it has no word and no call."""
    if turn.text.strip() or any(block.get("type") == content_blocks.CALL for block in turn.blocks):
        return
    kinds = dict.fromkeys(content_blocks.kind_of(block) or "a block without a type" for block in turn.blocks)
    names = ", ".join(stream.one_line(kind) for kind in kinds if kind != content_blocks.TEXT)
    messages.note(f"the reply has no text and no call, only {names}; --json prints its blocks")


def document(turn: Turn) -> dict[str, Any]:
    """Return a reply as a JSON document."""
    last = turn.last_attempt
    return {
        "name": turn.served.name,
        "version": turn.served.version,
        "is_active": turn.served.is_active,
        "model": last.model,
        "reply": turn.text,
        "blocks": turn.blocks,
        "outcome": last.outcome,
        "stop_reason": last.stop_reason,
        "input_tokens": last.input_tokens,
        "output_tokens": last.output_tokens,
        "cache_read_tokens": last.cache_read_tokens,
        "cache_write_tokens": last.cache_write_tokens,
        "first_token_ms": _rounded(last.first_token_ms),
        "response_time_ms": _rounded(last.response_ms),
        "attempts": len(turn.attempts),
        "request_id": last.request_id,
    }


def show_comparison(turns: Sequence[Turn], form: str, *, shows_thinking: bool) -> None:
    """Show the replies to one message: side by side, or one after the other on a narrow terminal.

    A terminal shows a failed reply up to the failure, with the error. A pipe gets a row per reply. Quiet: the
    references.
    """
    if form == "json":
        stream.write_json({"replies": [document(turn) for turn in turns]})
    elif form == "quiet":
        answers.write_references([(turn.served.name, turn.served.version) for turn in turns])
    elif not stream.to_terminal():
        columns = [Column(heading, "name") for heading in ("VERSION", "IN", "OUT", "TIME", "FIRST", "OUTCOME", "REPLY")]
        tables.show(columns, [_row(turn) for turn in turns])
    elif (width := (stream.width() - _GAP) // 2) >= _NARROWEST_COLUMN:
        _side_by_side(turns, width, shows_thinking=shows_thinking)
    else:
        for turn in turns:
            stream.write(stream.styled(stream.one_line(_heading(turn)), stream.BOLD) + "\n")
            writer = reply_writer.Writer()
            writer.write(_reply_text(turn, stream.width(), shows_thinking=shows_thinking))
            writer.end()
            stream.write(stream.styled(_usage(turn.last_attempt), stream.DIM) + "\n\n")


def _side_by_side(turns: Sequence[Turn], width: int, *, shows_thinking: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    has_color = stream.has_color(sys.stdout)
    console = Console(
        file=sys.stdout, highlight=False, markup=False, emoji=False, width=stream.width(),
        # Otherwise Rich would decide from the environment, by its own rules, and ignore --color.
        force_terminal=has_color, no_color=not has_color, color_system="standard" if has_color else None,
    )  # fmt: skip
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    for _ in turns:
        grid.add_column(width=width, overflow="fold")
    grid.add_row(*(Text(stream.one_line(_heading(turn)), "bold") for turn in turns))
    replies = [_reply_text(turn, width, shows_thinking=shows_thinking) for turn in turns]
    grid.add_row(*(Text(reply.rstrip("\n") + "\n") for reply in replies))
    grid.add_row(*(Text(_usage(turn.last_attempt), "dim") for turn in turns))
    with console.capture() as captured:
        console.print(grid)
    stream.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _heading(turn: Turn) -> str:
    return f"{turn.served.name}@{turn.served.version}{version_status(turn.served)}, {turn.last_attempt.model}"


def _reply_text(turn: Turn, width: int, *, shows_thinking: bool) -> str:
    failure = f"\n[{turn.failure.message}]" if turn.failure is not None else ""
    return escape_reply(block_view.reply_text(turn.blocks, width, shows_thinking=shows_thinking) + failure)


def _row(turn: Turn) -> tuple[str | float | None, ...]:
    last = turn.last_attempt
    reference = f"{turn.served.name}@{turn.served.version}"
    durations = (_rounded(last.response_ms), _rounded(last.first_token_ms))
    return (
        reference,
        last.input_tokens,
        last.output_tokens,
        *durations,
        last.outcome,
        # A program must not run the calls of a reply that failed.
        block_view.reply_text(turn.blocks if turn.failure is None else content_blocks.without_calls(turn.blocks), None),
    )


def _usage(attempt: Attempt) -> str:
    """Return `120 + 80 tokens (40 cached), 1.20 s, first 350 ms`: input, output, and times. Omit unknown numbers."""
    parts: list[str] = []
    counts = [f"{count:,}" for count in (attempt.input_tokens, attempt.output_tokens) if count is not None]
    if counts:
        cached = f" ({attempt.cache_read_tokens:,} cached)" if attempt.cache_read_tokens else ""
        parts.append(f"{' + '.join(counts)} tokens{cached}")
    if attempt.response_ms is not None:
        parts.append(time_text.duration(attempt.response_ms))
    if attempt.first_token_ms is not None:
        parts.append(f"first {time_text.duration(attempt.first_token_ms)}")
    return ", ".join(parts)


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
