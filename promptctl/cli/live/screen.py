"""The loop of the live screen: it draws what the reader has read, and handles keys."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from promptctl.cli import interruption
from promptctl.cli.live.choices import Choices
from promptctl.cli.live.reader import Reader
from promptctl.cli.live.terminal import ENDING_SIGNALS, Terminal
from promptctl.output import live_cells, live_view, stream
from promptctl.output.live_display import LiveDisplay
from promptctl.rules import prompt_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.postgres.settings import Target
    from promptctl.rules.prompt_lines import PromptLine

# The ages of moves change slowly, the age of data that are old every second.
_CALM_SECONDS, _OLD_SECONDS = 5.0, 1.0


def run(target: Target, names: Sequence[str], minutes: int, sort: str, label: str) -> None:
    """Show the screen until the person quits. Raises KeyboardInterrupt, and Terminated for a signal that ends it."""
    display = LiveDisplay(sys.stdout.fileno(), has_color=stream.has_color(sys.stdout))
    terminal = Terminal(display.start, display.stop)
    reader = Reader(target, names, minutes, label, terminal.wake)
    screen = _Screen(reader, display, minutes, Choices(sort))
    with interruption.terminated(*ENDING_SIGNALS), terminal.opened():
        reader.start()
        while not screen.state.should_quit:
            if reader.bug is not None:
                raise reader.bug
            terminal.is_resized = False
            screen.draw()
            for key in terminal.wait(screen.seconds_until_change()):
                screen.press(key)


class _Screen:
    def __init__(self, reader: Reader, display: LiveDisplay, minutes: int, state: Choices) -> None:
        self.state = state
        self._reader, self._display, self._minutes = reader, display, minutes
        # The lines in their order, and what they come from.
        self._lines: list[PromptLine] = []
        self._names: list[str] = []
        self._source: tuple[object, ...] = ()
        self._page = 1

    def draw(self) -> None:
        """Draw the screen if it would differ."""
        columns, height = self._display.size()
        self._order()
        state, reading = self.state, self._reader.reading
        selected = state.place(self._names)
        fields: dict[str, Any] = {
            "label": reading.label, "minutes": self._minutes, "now": time.time(),
            "age_seconds": time.monotonic() - reading.read_at, "is_loaded": self._reader.is_loaded,
            "lost_at": reading.lost_at, "problem": reading.problem, "hint": reading.hint,
            "cost_state": reading.cost_state,
            "lines": self._lines, "total": len(reading.lines), "selected": selected, "sort": state.sort,
            "is_reversed": state.is_reversed, "pattern": state.pattern, "is_typing": state.is_typing,
            "shows_help": state.shows_help, "opened": state.opened,
            "detail": reading.detail,
        }  # fmt: skip
        unscrolled = live_cells.View(**fields, first=0, offset=0)
        self._page = live_view.rows(unscrolled, columns, height)
        first = state.scroll(len(self._names), selected, self._page)
        state.offset = min(state.offset, live_view.most_offset(unscrolled, columns, height))
        view = live_cells.View(**fields, first=first, offset=state.offset)
        self._display.draw(live_view.screen(view, columns, height), (columns, height))

    def press(self, key: str) -> None:
        """Handle a key."""
        self._order()
        self.state.press(key, self._names, self._page)
        self._reader.open(self.state.opened)

    def seconds_until_change(self) -> float:
        """Return how long the screen stays the same if nothing new is read."""
        reading = self._reader.reading
        is_old = reading.lost_at is not None or time.monotonic() - reading.read_at > _CALM_SECONDS
        return _OLD_SECONDS if is_old else _CALM_SECONDS

    def _order(self) -> None:
        lines, state = self._reader.reading.lines, self.state
        source = (lines, state.sort, state.is_reversed, state.pattern)
        if len(self._source) == len(source) and self._source[0] is lines and self._source[1:] == source[1:]:
            return
        self._source = source
        matching = [line for line in lines if state.matches(line.prompt.name)]
        self._lines = prompt_lines.ordered(matching, state.sort, is_reversed=state.is_reversed)
        self._names = [line.prompt.name for line in self._lines]
