"""Draw lines on the alternate screen of a terminal, with Rich."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from promptctl.output import serving_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.output.live_table import Line

# Of the eight colors that every terminal has.
STYLES = {
    "": "", "bold": "bold", "dim": "dim", "error": "red", "warning": "yellow", "good": "green", "selected": "reverse",
    "heading": "bold",
}  # fmt: skip
# For a terminal that does not show UTF-8.
_ASCII = str.maketrans({
    "…": "~", "→": ">", "·": "-", "↑": "^", "↓": "v", "▁": "_", "▂": ".", "▃": ".", "▄": "-", "▅": "-", "▆": "=",
    "▇": "=", "█": "#",
})  # fmt: skip


class LiveDisplay:
    """The screen. `start` and `stop` may alternate. `draw` writes only what differs from the last drawing."""

    def __init__(self, descriptor: int, *, has_color: bool) -> None:
        """Write to this descriptor of a terminal. Nothing else may write there meanwhile."""
        self._descriptor = descriptor
        self._is_utf8 = serving_graph.has_unicode()
        self._file = io.TextIOWrapper(
            os.fdopen(os.dup(descriptor), "wb"), "utf-8" if self._is_utf8 else "ascii", "replace", newline=""
        )
        self._console = Console(
            file=self._file, force_terminal=True, color_system="standard",
            no_color=not has_color, highlight=False, markup=False, emoji=False, legacy_windows=False,
            width=80, height=24, _environ={"TERM": os.environ.get("TERM", "")},
        )  # fmt: skip
        self._live: Live | None = None
        self._drawn: tuple[object, ...] | None = None

    def size(self) -> tuple[int, int]:
        """Return the columns and lines of the terminal, 80 and 24 if they are not known."""
        try:
            columns, lines = os.get_terminal_size(self._descriptor)
        except OSError:
            columns, lines = 0, 0
        return columns or 80, lines or 24

    def start(self) -> None:
        """Change to the alternate screen and hide the cursor."""
        self._console.size = self.size()
        self._live = Live(
            Text(""), console=self._console, screen=True, auto_refresh=False, redirect_stdout=False,
            redirect_stderr=False, vertical_overflow="crop",
        )  # fmt: skip
        self._drawn = None
        self._live.start()

    def stop(self) -> None:
        """Show what the terminal showed before, and the cursor. Raises OSError if the terminal is gone."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
            self._file.flush()

    def draw(self, lines: Sequence[Line], size: tuple[int, int]) -> bool:
        """Draw lines on a screen of this size, and return whether it was necessary."""
        drawing = (size, tuple(lines))
        if self._live is None or drawing == self._drawn:
            return False
        self._drawn = drawing
        self._console.size = size
        texts = [self._text(line) for line in lines[: size[1]]]
        self._live.update(Group(*texts), refresh=True)
        return True

    def _text(self, line: Line) -> Text:
        text = Text(no_wrap=True, overflow="crop", end="")
        for content, style in line:
            text.append(content if self._is_utf8 else content.translate(_ASCII), STYLES[style])
        text.append("\n")
        return text
