"""Lay out a table for a screen that is drawn again and again: one line per row, never wrapped. Pure.

Unlike `table_layout`, it leaves columns out until the rest fits, down to a name that is cut.
"""

from __future__ import annotations

from promptctl.output.text_width import columns_of, cut, cut_middle
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    # Text and its style, a name of `live_display.STYLES`.
    Piece = tuple[str, str]
    Line = tuple[Piece, ...]

_GAP = "  "
# How columns are chosen, by stage: the width to which names are cut, and the last column that may be left out.
_STAGES = ((32, 3), (18, 100), (6, 100))
_SHORTEST_NAME = 6
# The column that is left out first is cut to this width before.
_SHORT_TEXT = 12
_WIDE = 70


class LiveColumn(Record):
    """A column. Columns are left out in the order of `drop`, the smallest first; 0 is never left out.

    Text is aligned to the right if `is_number`, and cut to `longest` characters. On a wide screen, a column has at
    least `least` characters, so that it does not move when rows scroll.
    """

    heading: str
    drop: int
    is_number: bool
    longest: int
    least: int = 0


def layout(columns: Sequence[LiveColumn], cells: Sequence[Sequence[str]], width: int) -> list[tuple[int, int]]:
    """Return the places of the columns that fit, and their widths. The first column takes what the others leave."""
    widths = [
        min(
            max(
                [len(column.heading), column.least if width >= _WIDE else 0, *(columns_of(row[place]) for row in cells)]
            ),
            column.longest,
        )
        for place, column in enumerate(columns)
    ]
    shortened = [min(wide, _SHORT_TEXT) if columns[place].drop == 1 else wide for place, wide in enumerate(widths)]
    for longest_name, most in _STAGES:
        least = min(widths[0], longest_name)
        places = list(range(len(columns)))
        while True:
            left = width - least - sum(shortened[place] + len(_GAP) for place in places[1:])
            if left >= 0:
                places, left = _with_room(columns, shortened, places, left)
                return _widened(places, widths, shortened, least, left)
            droppable = [place for place in places if 0 < columns[place].drop <= most]
            # A name is cut to the shortest before the last two columns go.
            if not droppable or (longest_name > _SHORTEST_NAME and len(places) <= 3):
                break
            places.remove(min(droppable, key=lambda place: columns[place].drop))
    return [(0, min(widths[0], width))]


def _with_room(
    columns: Sequence[LiveColumn], shortened: Sequence[int], places: Sequence[int], left: int
) -> tuple[list[int], int]:
    """Return the places with those of narrower columns that were left out before a wide one, and what is still left."""
    chosen = set(places)
    for place in sorted(set(range(len(columns))) - chosen, key=lambda place: -columns[place].drop):
        if (needed := shortened[place] + len(_GAP)) <= left:
            chosen.add(place)
            left -= needed
    return sorted(chosen), left


def _widened(
    places: Sequence[int], widths: Sequence[int], shortened: Sequence[int], least: int, left: int
) -> list[tuple[int, int]]:
    """Return the places and widths of a layout. What is left goes to the text that is cut, then to the name."""
    chosen: list[tuple[int, int]] = []
    for place in places[1:]:
        more = min(left, widths[place] - shortened[place])
        left -= more
        chosen.append((place, shortened[place] + more))
    return [(0, min(widths[0], least + left)), *chosen]


def row_text(texts: Sequence[str], columns: Sequence[LiveColumn], chosen: Sequence[tuple[int, int]]) -> list[str]:
    """Return the cells of a row as texts of exactly their width. A gap stands before each but the first."""
    result: list[str] = []
    for place, width in chosen:
        text = cut_middle(texts[place], width) if place == 0 and width > 4 else cut(texts[place], width)
        padding = " " * (width - columns_of(text))
        result.append((_GAP if result else "") + (padding + text if columns[place].is_number else text + padding))
    return result


def fit(pieces: Sequence[Piece], width: int) -> Line:
    """Return a line that takes at most `width` columns. What is wider is cut, with an ellipsis."""
    result: list[Piece] = []
    left = width
    for text, style in pieces:
        if left <= 0:
            break
        short = cut(text, left)
        result.append((short, style))
        left -= columns_of(short)
    return tuple(result)
