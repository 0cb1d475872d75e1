"""Write a reply as it arrives. On a terminal, lines are broken between words and control characters escaped."""

from __future__ import annotations

import os
import re
import sys

from promptctl.output import stream
from promptctl.output.text_width import columns_of

_PARTS = re.compile(r"\n|[ \t]+|[^ \t\n]+")


class Writer:
    """Writes a reply as it arrives: unchanged into a pipe, escaped and wrapped on a terminal.

    Standard error gets an escaped text, dim on a terminal, because it is not the answer.
    """

    def __init__(self, *, to_stderr: bool = False) -> None:
        self._to_stderr = to_stderr
        self._wrapper = Wrapper() if stream.is_terminal(sys.stderr if to_stderr else sys.stdout) else None
        self._ends_line = True

    def write(self, text: str) -> None:
        """Write a piece and flush."""
        self._ends_line = text.endswith("\n")
        if self._to_stderr or self._wrapper is not None:
            text = escape_reply(text)
        self._write(text if self._wrapper is None else self._wrapper.add(text))

    def end(self) -> None:
        """Write a newline if the text did not end with one."""
        if not self._ends_line:
            self._write("\n" if self._wrapper is None else self._wrapper.add("\n"))
            self._ends_line = True

    def _write(self, text: str) -> None:
        if self._to_stderr:
            stream.write_stderr(stream.styled(text, stream.DIM, sys.stderr), end="")
        else:
            stream.write(text)
            stream.flush()


class Wrapper:
    """Breaks the lines of a text between words while the text arrives in pieces.

    A piece is written immediately. If the word at its end continues in the next piece and does not fit, the word is
    erased and written on the next line. On a terminal that cannot erase, the terminal breaks the lines.
    """

    def __init__(self) -> None:
        self._can_erase = os.environ.get("TERM", "") not in ("", "dumb")
        self._column = 0
        # What is written of the current word; empty for a word that is too long for a line.
        self._word = ""
        self._is_too_long = False

    def add(self, text: str) -> str:
        """Return the output for the next piece of a text without control characters except tabs and newlines."""
        if not self._can_erase:
            return text
        # Keep the last column free: after a character in it, terminals differ in where the cursor is.
        room = stream.width() - 1
        output: list[str] = []
        for part in _PARTS.findall(text):
            if part == "\n":
                output.append(part)
                self._begin_line()
            elif part[0] in " \t":
                self._add_blank(part.replace("\t", "    "), room, output)
            else:
                self._continue_word(part, room, output)
        return "".join(output)

    def _begin_line(self) -> None:
        self._column, self._word, self._is_too_long = 0, "", False

    def _add_blank(self, blank: str, room: int, output: list[str]) -> None:
        self._word, self._is_too_long = "", False
        if self._column + len(blank) > room:
            output.append("\n")
            self._begin_line()
        else:
            output.append(blank)
            self._column += len(blank)

    def _continue_word(self, part: str, room: int, output: list[str]) -> None:
        width, width_before = columns_of(part), columns_of(self._word)
        self._is_too_long = self._is_too_long or width_before + width > room
        if self._column + width > room and not self._is_too_long:
            if width_before:
                # Move the cursor to the beginning of the word, and erase the line from there.
                output.append(f"\x1b[{width_before}D\x1b[K")
            output.append(f"\n{self._word}")
            self._column = width_before
        output.append(part)
        self._column += width
        if self._is_too_long:
            # The terminal breaks this word after its last column.
            self._column %= room + 1
            self._word = ""
        else:
            self._word += part


def escape_reply(text: str) -> str:
    """Return a reply with its control characters escaped, and without carriage returns."""
    return stream.escape_controls(text.replace("\r", ""))
