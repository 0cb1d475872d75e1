"""Show a reply while it arrives: its text and its calls as the answer, thinking and other blocks on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from promptctl.claude.content_blocks import CALL, TEXT, THINKING, is_whole_call
from promptctl.output import block_view, stream
from promptctl.output.reply_writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from promptctl.claude.content_blocks import Piece


class PieceWriter:
    """Shows the pieces of a reply: text and calls on standard output; on standard error thinking and other blocks.

    Thinking is one line, and only on a terminal, unless `shows_thinking`. So is a block of another kind. In a pipe, a
    call is written at the end of the reply, and only if both are whole, because a program would run it. The caller may
    set `before_writing`, which is called before a piece that takes the place of a waiting line.
    """

    def __init__(self, *, shows_thinking: bool) -> None:
        self.before_writing: Callable[[], None] = _do_nothing
        self._shows_thinking = shows_thinking
        self._writer = Writer()
        self._thinking_writer = Writer(to_stderr=True)
        # In a pipe, the first call and what follows it.
        self._held: list[Piece] = []

    def write(self, piece: Piece) -> None:
        """Show a piece, if it is shown at all, or hold it until the end."""
        if self._held or (piece.kind == CALL and piece.block is not None and not stream.to_terminal()):
            self._held.append(piece)
        else:
            self._write(piece)

    def _write(self, piece: Piece) -> None:
        if piece.kind == TEXT:
            self.before_writing()
            self._writer.write(piece.text)
        elif piece.block is not None:
            self._writer.end()
            self._write_block(piece.kind, piece.block)
        elif piece.kind == THINKING and self._shows_thinking:
            self.before_writing()
            self._writer.end()
            self._thinking_writer.write(piece.text)

    def end(self, *, is_whole: bool = True) -> None:
        """End the line on standard output and on standard error. `is_whole` is whether the reply came to its end."""
        held, self._held = self._held, []
        for piece in held:
            if piece.kind != CALL or (is_whole and piece.block is not None and is_whole_call(piece.block)):
                self._write(piece)
        self._thinking_writer.end()
        self._writer.end()

    def _write_block(self, kind: str, block: dict[str, Any]) -> None:
        if kind == CALL:
            self.before_writing()
            if stream.to_terminal():
                name, _, arguments = block_view.call_lines(block, stream.width()).partition("\n")
                stream.write(f"{stream.styled(name, stream.BOLD)}\n{arguments}")
            else:
                stream.write(block_view.call_line(block))
            stream.flush()
        elif kind == THINKING and self._shows_thinking and block.get("thinking"):
            self._thinking_writer.end()
        elif stream.is_terminal(sys.stderr):
            # The waiting line comes back after this line.
            stream.write_stderr(stream.styled(block_view.summary(block), stream.DIM, sys.stderr))


def _do_nothing() -> None:
    pass
