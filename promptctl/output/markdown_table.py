"""Lay out a table in Markdown, for a ticket or a chat.

It has the columns of the widest terminal, without bars and trends. Cells are not shortened, and a time is the time in
UTC, because a ticket is read later.
"""

from __future__ import annotations

from promptctl.output import markdown, table_layout, time_text
from promptctl.output.table_columns import BLANK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from promptctl.output.table_columns import Column, Value

_GRAPHICS = ("graphic", "trend")
_TIMES = ("time", "recent")


def text(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Value]],
    marked: Callable[[int], bool] | None = None,
    mark: str = "",
) -> str:
    """Return a table with a heading.

    In the rows for whose position `marked` is true, the version is bold and has the word `mark`. In a table without
    versions it is the first cell.
    """
    places = [place for place, column in enumerate(columns) if column.kind not in _GRAPHICS]
    marked_place = next((place for place, column in enumerate(columns) if column.heading == "VERSION"), places[0])
    word = f" ({mark})" if mark else ""
    lines = [
        _line([markdown.escaped(columns[place].heading) for place in places]),
        _line(["--:" if columns[place].kind in table_layout.RIGHT_ALIGNED else "---" for place in places]),
    ]
    for number, row in enumerate(rows):
        cells = {place: _cell(row[place], columns[place].kind) for place in places}
        if marked is not None and marked(number):
            cells[marked_place] = f"**{cells[marked_place]}**{word}"
        lines.append(_line([*cells.values()]))
    return "".join(f"{line}\n" for line in lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Value, kind: str) -> str:
    if value == BLANK:
        return ""
    if kind in _TIMES and value:
        return time_text.utc(str(value))
    return markdown.escaped(value if isinstance(value, str) and value else table_layout.cell(value, kind))
