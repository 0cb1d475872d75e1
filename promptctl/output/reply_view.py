"""Replies as they arrive, and what is said about them. Nothing that a model wrote is obeyed by the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from typing import TYPE_CHECKING

from promptctl.output import messages, stream, tables, times
from promptctl.output.tables import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Any

    from promptctl.chat.turns import Turn
    from promptctl.claude.api import Attempt
    from promptctl.store.prompts import Served

_PARTS = re.compile(r"\n|[ \t]+|[^ \t\n]+")
# Two columns that are narrower than this are read more slowly than one reply after the other.
_NARROWEST_COLUMN = 30
_GAP = 3
_PATIENCE_SECONDS = 0.4
_STEP_SECONDS = 0.15
_SIGNS = "|/-\\"


class Writer:
    """Writes a reply to standard output as it comes: into a pipe as it is, on a terminal harmless and by the word."""

    def __init__(self) -> None:
        self._wrapped = Wrapped() if stream.to_terminal() else None
        self._ends_line = True

    def write(self, text: str) -> None:
        """Write a piece at once."""
        self._ends_line = text.endswith("\n")
        stream.write(text if self._wrapped is None else self._wrapped.add(_harmless(text)))
        stream.flush()

    def end(self) -> None:
        """End the last line, where the reply did not."""
        if not self._ends_line:
            stream.write("\n")
            stream.flush()
            self._ends_line = True


class Wrapped:
    """Breaks a text that arrives in pieces between words.

    A piece is shown at once; when the word at its end goes on and does not fit, the word is taken back from its line
    and begins the next one. A terminal that cannot do that breaks lines by itself.
    """

    def __init__(self) -> None:
        self._can_erase = os.environ.get("TERM", "") not in ("", "dumb")
        self._column = 0
        self._word = ""
        self._is_too_long = False

    def add(self, text: str) -> str:
        """Return what to write for the next piece of a text without controls other than tab and line end."""
        if not self._can_erase:
            return text
        # The last column stays free: with the cursor behind it a terminal does not go back from where it seems to be.
        room = stream.width() - 1
        shown: list[str] = []
        for part in _PARTS.findall(text):
            if part == "\n":
                shown.append(part)
                self._begin_line()
            elif part[0] in " \t":
                self._blank(part.replace("\t", "    "), room, shown)
            else:
                self._go_on(part, room, shown)
        return "".join(shown)

    def _begin_line(self) -> None:
        self._column, self._word, self._is_too_long = 0, "", False

    def _blank(self, blank: str, room: int, shown: list[str]) -> None:
        self._word, self._is_too_long = "", False
        if self._column + len(blank) > room:
            shown.append("\n")
            self._begin_line()
        else:
            shown.append(blank)
            self._column += len(blank)

    def _go_on(self, part: str, room: int, shown: list[str]) -> None:
        width, before = tables.columns_of(part), tables.columns_of(self._word)
        self._is_too_long = self._is_too_long or before + width > room
        if self._column + width > room and not self._is_too_long:
            if before:
                shown.append(f"\x1b[{before}D\x1b[K")
            shown.append(f"\n{self._word}")
            self._column = before
        shown.append(part)
        self._column += width
        if self._is_too_long:
            self._column %= room + 1
            self._word = ""
        else:
            self._word += part


@contextlib.contextmanager
def waiting(model: str, form: str) -> Generator[Callable[[], None]]:
    """Show on a terminal that a reply is waited for; what is yielded takes that away, and so does the block's end.

    Nothing is shown in a form other than plain, into a pipe, or on a terminal that cannot erase.
    """
    shown = _Waiting(model) if form == "plain" and stream.can_erase(sys.stderr) else None
    try:
        yield _nothing if shown is None else shown.end
    finally:
        if shown is not None:
            shown.end()


def _nothing() -> None:
    pass


class _Waiting:
    """A line on standard error that moves, written by a thread, from when a wait becomes noticeable."""

    def __init__(self, model: str) -> None:
        self._label = stream.one_line(f"waiting for {model}")
        self._ends = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._move, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take the line away."""
        if not self._ends.is_set():
            self._ends.set()
            self._thread.join()

    def _move(self) -> None:
        place = 0
        while not self._ends.wait(_PATIENCE_SECONDS if place == 0 else _STEP_SECONDS):
            seconds = int(time.monotonic() - self._began)
            line = f"{_SIGNS[place % len(_SIGNS)]} {self._label}{f', {seconds} s' if seconds else ''}"
            stream.show_transient(line[: stream.width() - 1])
            place += 1
        stream.clear_transient()


def announce(served: Served, model: str) -> None:
    """Say on a terminal which version a reply is from, before it comes."""
    if stream.is_terminal(sys.stderr):
        line = f"{served.name}@{served.version}{version_status(served)}, {model}"
        stream.write_stderr(stream.styled(stream.one_line(line), stream.DIM, sys.stderr))


def version_status(served: Served) -> str:
    """Return what is to be known of a version that is not the one that is live."""
    return " (retired)" if served.retired_at is not None else "" if served.is_active else " (not live)"


def note_usage(turn: Turn) -> None:
    """Say what a reply took: tokens and times."""
    stream.write_stderr(stream.styled(_usage(turn.last), stream.DIM, sys.stderr))


def warn_if_cut(turn: Turn) -> None:
    """Say it when a reply is complete for the API and not for a reader."""
    if turn.last.stop_reason == "max_tokens":
        messages.warning(f"the reply was cut at {turn.call.max_tokens} tokens; --max-tokens sets the limit")
    elif turn.last.stop_reason == "model_context_window_exceeded":
        messages.warning(f"the reply was cut because the context window of {turn.last.model} is full")


def document(turn: Turn) -> dict[str, Any]:
    """Return a reply in JSON."""
    last = turn.last
    return {
        "name": turn.served.name,
        "version": turn.served.version,
        "is_active": turn.served.is_active,
        "model": last.model,
        "reply": turn.text,
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


def show_comparison(turns: Sequence[Turn], form: str) -> None:
    """Show the replies to one message: side by side, or below each other where it is too narrow; in a pipe a row each.

    A reply that failed is shown as far as it came, with what it failed of.
    """
    if form == "json":
        from promptctl.output import documents

        documents.show({"replies": [document(turn) for turn in turns]})
    elif form == "quiet":
        stream.write("".join(f"{turn.served.name}@{turn.served.version}\n" for turn in turns))
    elif not stream.to_terminal():
        columns = [Column(heading, "name") for heading in ("VERSION", "IN", "OUT", "TIME", "FIRST", "OUTCOME", "REPLY")]
        tables.show(columns, [_row(turn) for turn in turns])
    elif (width := (stream.width() - _GAP) // 2) >= _NARROWEST_COLUMN:
        _side_by_side(turns, width)
    else:
        for turn in turns:
            stream.write(stream.styled(stream.one_line(_heading(turn)), stream.BOLD) + "\n")
            writer = Writer()
            writer.write(_reply(turn))
            writer.end()
            stream.write(stream.styled(_usage(turn.last), stream.DIM) + "\n\n")


def _side_by_side(turns: Sequence[Turn], width: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    has_color = stream.has_color(sys.stdout)
    console = Console(
        file=sys.stdout, highlight=False, markup=False, emoji=False, width=stream.width(),
        # Rich reads the environment's variables in its own way, and knows no --color.
        force_terminal=has_color, no_color=not has_color, color_system="standard" if has_color else None,
    )  # fmt: skip
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    for _ in turns:
        grid.add_column(width=width, overflow="fold")
    grid.add_row(*(Text(stream.one_line(_heading(turn)), "bold") for turn in turns))
    grid.add_row(*(Text(_reply(turn).rstrip("\n") + "\n") for turn in turns))
    grid.add_row(*(Text(_usage(turn.last), "dim") for turn in turns))
    with console.capture() as captured:
        console.print(grid)
    stream.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _heading(turn: Turn) -> str:
    return f"{turn.served.name}@{turn.served.version}{version_status(turn.served)}, {turn.last.model}"


def _reply(turn: Turn) -> str:
    failed = f"\n[{turn.failure.message}]" if turn.failure is not None else ""
    return _harmless(turn.text + failed)


def _row(turn: Turn) -> tuple[str | float | None, ...]:
    last = turn.last
    reference = f"{turn.served.name}@{turn.served.version}"
    times_taken = (_rounded(last.response_ms), _rounded(last.first_token_ms))
    return (reference, last.input_tokens, last.output_tokens, *times_taken, last.outcome, turn.text)


def _usage(attempt: Attempt) -> str:
    """`120 + 80 tokens (40 cached), 1.20 s, first 350 ms`; what is not known is left out."""
    told: list[str] = []
    known = [f"{count:,}" for count in (attempt.input_tokens, attempt.output_tokens) if count is not None]
    if known:
        cached = f" ({attempt.cache_read_tokens:,} cached)" if attempt.cache_read_tokens else ""
        told.append(f"{' + '.join(known)} tokens{cached}")
    if attempt.response_ms is not None:
        told.append(times.duration(attempt.response_ms))
    if attempt.first_token_ms is not None:
        told.append(f"first {times.duration(attempt.first_token_ms)}")
    return ", ".join(told)


def _harmless(text: str) -> str:
    return stream.escape_controls(text.replace("\r", ""))


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
