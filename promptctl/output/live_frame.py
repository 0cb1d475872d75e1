"""What stands around the table of a live screen: the header, why the database is lost, the keys, and the help. Pure."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

from promptctl import requirements
from promptctl.output import live_cells, live_table, stream
from promptctl.output.text_width import columns_of, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.output.live_cells import View
    from promptctl.output.live_table import Line, Piece

_OLD_SECONDS = 6
_GAP = "  "
_SHORTEST_LABEL = 8
# On a lower screen, the keys have one line.
_LINES_FOR_MORE_KEYS = 12
_MOST_LINES_OF_KEYS = 3
_KEYS = ("q quit", "? help", "enter open", "/ filter", "sort: u e p c m n")
_KEYS_OF_ONE = ("esc back", "up, down scroll", "q quit", "? help")
_HELP = (
    ("u e p c m n", "sort by uses, errors, p95, cost, last move, name; the same key again: the other direction"),
    ("up down k j", "select a prompt; page up, page down, home, end too"),
    ("enter", "open the selected prompt"),
    ("esc", "back; in the list: remove the filter"),
    ("/", "filter by a part of the name; enter keeps it"),
    ("q, ctrl-c", "quit"),
)
_ABOUT = (
    "USES, ERR, P95 and COST/H are those of the last {minutes} minutes. P95 is that of successful uses. - means that"
    " nothing was reported, and n/a that the price of a model is not known. The arrow is at the column that sorts:"
    " ↓ has the largest value on top, ↑ the smallest."
)
# The keys of the help stand beside their meaning from this width on, and take this many columns.
_COLUMNS_FOR_TWO, _KEY_COLUMNS = 36, 13


def header(view: View, width: int) -> Line:
    """Return the first line. The state of the connection and the minutes matter more than the name of the database."""
    label = stream.one_line(view.label)
    if view.lost_at is not None:
        since = time.strftime("%H:%M:%S", time.localtime(view.lost_at))
        age = f", data {live_cells.age(view.age_seconds)} old" if view.is_loaded else ""
        return live_table.fit([(f"lost since {since}{age}", "error"), (_GAP, ""), (label, "bold")], width)
    if not view.is_loaded:
        state = ("reading", "dim")
    elif view.age_seconds > _OLD_SECONDS:
        state = (f"data {live_cells.age(view.age_seconds)} old", "warning")
    else:
        state = ("connected", "good")
    period = f"{_GAP}last {view.minutes} min"
    clock = _GAP + time.strftime("%H:%M", time.localtime(view.now))
    room = width - len(state[0]) - len(period) - len(_GAP)
    if columns_of(label) + len(clock) > room:
        clock = ""
        if room < _SHORTEST_LABEL:
            if room < -len(_GAP):
                period = period.replace("last ", "")
            return live_table.fit([state, (period, "dim")], width)
    return live_table.fit([(cut(label, room), "bold"), (_GAP, ""), state, (clock + period, "dim")], width)


def notice(view: View, width: int, height: int) -> list[Line]:
    """Return why the database is lost, and the command that helps. On a low screen, the command is what remains."""
    if view.lost_at is None:
        return []
    lines = [live_table.fit([(text, "error")], width) for text in _wrapped(stream.one_line(view.problem), width)]
    room = height // 4
    if view.hint:
        command = live_table.fit([("hint:  ", "dim"), (stream.one_line(view.hint), "bold")], width)
        return [*lines[: max(room - 1, 0)], command][:room]
    return lines[:room]


def footer(view: View, width: int, height: int) -> list[Line]:
    """Return the lines with the keys, at least one."""
    if view.is_typing:
        return [live_table.fit([(f"filter: {stream.one_line(view.pattern)}_", "bold")], width)]
    if view.shows_help:
        return [live_table.fit([("any key: back", "dim")], width)]
    items: list[Piece] = [(key, "dim") for key in (_KEYS if view.opened is None else _KEYS_OF_ONE)]
    if view.pattern and view.opened is None:
        items.insert(0, (f"{len(view.lines)} of {view.total} match {stream.one_line(view.pattern)}, esc: all", "bold"))
    if view.cost_state == "missing":
        items.append(("no prices: ? says why", "warning"))
    return _flow(items, width, _MOST_LINES_OF_KEYS if height >= _LINES_FOR_MORE_KEYS else 1)


def help_lines(view: View, width: int) -> list[Line]:
    """Return the meaning of the keys and of the columns."""
    texts = [""]
    for keys, meaning in _HELP:
        if width < _COLUMNS_FOR_TWO:
            texts += [keys, *(f"{_GAP}{line}" for line in _wrapped(meaning, width - len(_GAP)))]
            continue
        first, *others = _wrapped(meaning, width - _KEY_COLUMNS)
        texts += [f"{keys:{_KEY_COLUMNS}}{first}", *(" " * _KEY_COLUMNS + line for line in others)]
    if view.cost_state == "missing":
        texts += ["", *_wrapped(f"{requirements.NO_PRICES}: {requirements.install_extra('chat')}", width)]
    texts += ["", *_wrapped(_ABOUT.format(minutes=view.minutes), width)]
    return [live_table.fit([(text, "")], width) for text in texts]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False) or [""]


def _flow(items: Sequence[Piece], width: int, most: int) -> list[Line]:
    """Return the items on as few lines as they need, but at most `most`. The last line is cut."""
    lines: list[list[Piece]] = [[]]
    used = 0
    for text, style in items:
        needed = columns_of(text) + (len(_GAP) if used else 0)
        if used and used + needed > width and len(lines) < most:
            lines.append([])
            used, needed = 0, columns_of(text)
        lines[-1].append(((_GAP if used else "") + text, style))
        used += needed
    return [live_table.fit(line, width) for line in lines]
