"""Lay out a table for a terminal: choose and shrink columns, or show each row on several lines.

Rich is not used, because it takes seconds for ten thousand rows. This module takes milliseconds.
"""

from __future__ import annotations

from promptctl.output import stream
from promptctl.output.table_columns import BLANK, NOTHING
from promptctl.output.text_width import ELLIPSIS, columns_of, cut, cut_middle, cut_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from promptctl.output.table_columns import Column, Value

_GAP = "  "
RIGHT_ALIGNED = frozenset({"number", "duration", "brief", "spare", "extra", "money"})
# The kinds of columns that shrink, in this order, and their minimum width at each stage. The optional columns are left
# out between the first and the second stage.
_STAGES: tuple[dict[str, int], ...] = (
    {"person": 10, "text": 28, "name": 40},
    {"person": 8, "text": 16, "name": 24},
    {"person": 8, "text": 8, "name": 16},
    {"name": 8, "person": 6, "text": 8},
)
# On a terminal with fewer columns, rows are shown on several lines instead of shrinking names to the third stage.
_COLUMNS_FOR_SHORT_NAMES = 72
_OPTIONAL = ("detail", "trend", "recent", "graphic", "spare", "extra")
# Only this many characters of a cell are processed, because a terminal shows fewer.
_LONGEST = 2_000
_LINES_OF_A_CELL = 6
# Headings that a row on several lines leaves out, because their values are clear without them.
_IMPLIED_HEADINGS = frozenset({"NAME", "WHEN", "WHAT"})


def show(columns: Sequence[Column], rows: Sequence[Sequence[Value]], marked: Callable[[int], bool] | None) -> None:
    """Write a table to the terminal; the rows for whose position `marked` is true get a star."""
    indent = "" if marked is None else _GAP
    cells = [[cell(value, column.kind) for value, column in zip(row, columns, strict=True)] for row in rows]
    full_widths = [
        max([len(column.heading), *(columns_of(row[place]) for row in cells)]) for place, column in enumerate(columns)
    ]
    layout = _fit(columns, full_widths, stream.width() - len(indent))
    if layout is None:
        places = [place for place, column in enumerate(columns) if column.kind not in ("trend", "graphic")]
        _show_on_several_lines(
            [columns[place] for place in places], [[row[place] for place in places] for row in cells], marked
        )
        return
    places, widths = layout
    short_names = {
        place: _distinct_names([row[place] for row in cells], width)
        for place, width in zip(places, widths, strict=True)
        if columns[place].kind == "name" and width < full_widths[place]
    }
    columns = [columns[place] for place in places]

    header = _line([column.heading for column in columns], columns, widths)
    stream.write(indent + stream.styled(header, stream.DIM) + "\n")
    for number, row in enumerate(cells):
        texts = [short_names[place][number] if place in short_names else row[place] for place in places]
        has_star = marked is not None and marked(number)
        prefix = stream.styled("* ", stream.GREEN) if has_star else indent
        stream.write(prefix + _line(texts, columns, widths) + "\n")


def money(dollars: float) -> str:
    """Return an amount as `$1,204`, `$12.40`, `-$0.18` or `$0.0042`: at least two significant digits."""
    if dollars < 0:
        return f"-{money(-dollars)}" if dollars <= -0.0001 else ">-$0.0001"
    if dollars >= 1000:
        return f"${dollars:,.0f}"
    if dollars >= 0.1 or dollars == 0:
        return f"${dollars:.2f}"
    return f"${dollars:.4f}" if dollars >= 0.0001 else "<$0.0001"


def cell(value: Value, kind: str) -> str:
    """Return a value of a kind of column as people read it on one line, without controls."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, str):
        if kind in ("time", "recent") and value != BLANK:
            from promptctl.output import time_text

            return time_text.ago(value)
        return stream.one_line(value if len(value) <= _LONGEST else value[:_LONGEST] + ELLIPSIS)
    if kind in ("duration", "brief", "spare"):
        from promptctl.output import time_text

        return time_text.duration(value) if kind == "duration" else time_text.brief(value)
    if kind == "money":
        return money(value)
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _line(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    parts: list[str] = []
    for text, column, width in zip(row, columns, widths, strict=True):
        short = cut(text, width)
        padding = " " * (width - columns_of(short))
        parts.append(padding + short if column.kind in RIGHT_ALIGNED else short + padding)
    return _GAP.join(parts).rstrip()


def _show_on_several_lines(
    columns: Sequence[Column], rows: list[list[str]], marked: Callable[[int], bool] | None
) -> None:
    """Write each row as pairs of heading and value, wrapped, for a terminal that is too narrow for columns."""
    for place, row in enumerate(rows):
        lines, used = [""], 0
        for cell, column in zip(row, columns, strict=True):
            if cell == NOTHING:
                continue
            text = cut(cell, _LINES_OF_A_CELL * stream.width())
            heading = "" if column.heading in _IMPLIED_HEADINGS else column.heading.lower() + " "
            needed = len(heading) + columns_of(text)
            if used and used + len(_GAP) + needed > stream.width() - 2 * len(_GAP):
                lines.append("")
                used = 0
            gap = _GAP if used else ""
            lines[-1] += gap + (stream.styled(heading, stream.DIM) if heading else "") + text
            used += len(gap) + needed
        indent = "" if marked is None else _GAP
        first_indent = stream.styled("* ", stream.GREEN) if marked is not None and marked(place) else indent
        stream.write(first_indent + f"\n{indent}{_GAP}".join(lines) + "\n")


def _fit(columns: Sequence[Column], full_widths: Sequence[int], available: int) -> tuple[list[int], list[int]] | None:
    """Return the places of the columns that fit, and their widths; None if the required columns do not fit."""
    places = list(range(len(columns)))
    for stage, minimum in enumerate(_STAGES):
        if stage > 1 and available < _COLUMNS_FOR_SHORT_NAMES:
            return None
        while True:
            kinds = [columns[place].kind for place in places]
            widths = [full_widths[place] for place in places]
            if _shrink(widths, kinds, minimum, available - len(_GAP) * (len(places) - 1)):
                return places, widths
            # In the first stage, leave out one optional column and try again: the last one of the first kind.
            optional = [place for kind in _OPTIONAL for place in reversed(places) if columns[place].kind == kind]
            if stage > 0 or not optional:
                break
            places.remove(optional[0])
    return None


def _shrink(widths: list[int], kinds: Sequence[str], minimum: Mapping[str, int], available: int) -> bool:
    """Shrink columns in place to the available width, one kind after the other, the widest of a kind first.

    Returns False if the minimum widths are still too wide.
    """
    for kind, least in minimum.items():
        excess = sum(widths) - available
        if excess <= 0:
            return True
        shrinking = sorted((place for place, other in enumerate(kinds) if other == kind), key=widths.__getitem__)
        # The width that remains for these columns. From the narrowest on, each gets at most an equal part of the rest.
        remaining = sum(widths[place] for place in shrinking) - excess
        for position, place in enumerate(shrinking):
            widths[place] = min(widths[place], max(least, remaining // (len(shrinking) - position)))
            remaining -= widths[place]
    return sum(widths) <= available


def _distinct_names(texts: Sequence[str], width: int) -> list[str]:
    """Shorten names in the middle, and at the start where different names would look the same."""
    short = {text: cut_middle(text, width) for text in texts}
    if len(set(short.values())) < len(short):
        counts: dict[str, int] = {}
        for name in short.values():
            counts[name] = counts.get(name, 0) + 1
        # Such names begin alike, so a longer end distinguishes them.
        short = {text: cut_start(text, width) if counts[name] > 1 else name for text, name in short.items()}
    return [short[text] for text in texts]
