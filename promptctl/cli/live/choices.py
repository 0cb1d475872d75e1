"""What the person at a live screen has chosen: the order, the selected prompt, the filter. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SORT_KEYS = {"u": "uses", "e": "errors", "p": "p95", "c": "cost", "m": "moved", "n": "name"}


class Choices:
    """The choices of one person. `press` changes them.

    `opened` is the name of the prompt that is shown alone, or None. `pattern` is the filter, and `is_typing` whether it
    is being typed. `first` is the position of the first row that is shown, and `offset` the number of lines of an
    opened prompt that are scrolled away.
    """

    def __init__(self, sort: str) -> None:
        self.sort = sort
        self.is_reversed = False
        self.opened: str | None = None
        self.pattern = ""
        self.is_typing = False
        self.shows_help = False
        self.should_quit = False
        self.first = 0
        self.offset = 0
        # None selects the first row, whichever prompt it has.
        self._selected: str | None = None

    def matches(self, name: str) -> bool:
        """Whether the filter lets this prompt through."""
        return self.pattern.lower() in name.lower()

    def place(self, names: Sequence[str]) -> int:
        """Return the position of the selected prompt among the names that are listed, 0 if it is not there."""
        return names.index(self._selected) if self._selected in names else 0

    def scroll(self, count: int, selected: int, rows: int) -> int:
        """Return the position of the first of `rows` rows to show of `count`, so that the selected row is shown."""
        rows = max(rows, 1)
        self.first = max(0, min(self.first, selected, count - rows))
        if selected >= self.first + rows:
            self.first = selected - rows + 1
        return self.first

    def press(self, key: str, names: Sequence[str], page: int) -> None:
        """Handle a key. `names` are those of the listed prompts in their order, `page` is the number of their rows."""
        if self.is_typing:
            self._type(key)
        elif key == "q":
            self.should_quit = True
        elif self.shows_help:
            self.shows_help = False
        elif key == "?":
            self.shows_help = True
        elif self.opened is not None:
            if key in ("escape", "backspace", "left"):
                self.opened = None
            self._scroll_opened(key, page)
        elif key in _SORT_KEYS:
            sort = _SORT_KEYS[key]
            self.is_reversed = not self.is_reversed if sort == self.sort else False
            self.sort = sort
            # Without a selection, the new first row is selected.
            self.first = 0
        elif key == "/":
            self.is_typing = True
        elif key == "escape":
            self.pattern = ""
        elif key in ("enter", "right"):
            if names:
                self.opened = self._selected = names[self.place(names)]
                self.offset = 0
        else:
            self._move(key, names, page)

    def _scroll_opened(self, key: str, page: int) -> None:
        self.offset = 0 if key in ("home", "g") else max(0, self.offset + _steps(page).get(key, 0))

    def _move(self, key: str, names: Sequence[str], page: int) -> None:
        steps = _steps(page)
        if not names:
            return
        if key in ("home", "g"):
            self._selected = None
        elif key in ("end", "G"):
            self._selected = names[-1]
        elif key in steps:
            target = self.place(names) + steps[key]
            self._selected = names[max(0, min(target, len(names) - 1))]

    def _type(self, key: str) -> None:
        if key == "enter":
            self.is_typing = False
        elif key == "escape":
            self.is_typing, self.pattern = False, ""
        elif key == "backspace":
            self.pattern = self.pattern[:-1]
        elif len(key) == 1:
            self.pattern += key


def _steps(page: int) -> dict[str, int]:
    """Return how far each key moves. `page` is the number of rows on the screen."""
    return {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -page, "page down": page}
