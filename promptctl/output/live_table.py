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
# A name is cut before other columns are left out, to this width.
_SHORT_NAME, _SHORTEST_NAME = 18, 6


class LiveColumn(Record):
    """A column. Columns are left out in the order of `drop`, the smallest first; 0 is never left out.

    Text is aligned to the right if `is_number`, and cut to `longest` characters.
    """

    heading: str
    drop: int
    is_number: bool
    longest: int


def layout(columns: Sequence[LiveColumn], cells: Sequence[Sequence[str]], width: int) -> list[tuple[int, int]]:
    """Return the places of the columns that fit, and their widths. The first column takes what the others leave."""
    widths = [
        min(max([len(column.heading), *(columns_of(row[place]) for row in cells)]), column.longest)
        for place, column in enumerate(columns)
    ]
    places = list(range(len(columns)))
    for least in (min(widths[0], _SHORT_NAME), min(widths[0], _SHORTEST_NAME)):
        places = list(range(len(columns)))
        while True:
            others = sum(widths[place] + len(_GAP) for place in places[1:])
            if others + least <= width:
                return [(0, min(widths[0], width - others)), *((place, widths[place]) for place in places[1:])]
            droppable = [place for place in places if columns[place].drop]
            # A name is cut to the shortest before the last two columns go.
            if not droppable or (least > _SHORTEST_NAME and len(places) <= 3):
                break
            places.remove(min(droppable, key=lambda place: columns[place].drop))
    return [(0, min(widths[0], width))]


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
