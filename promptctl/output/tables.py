"""Rows under headings on a terminal, the same columns tab-separated in a pipe.

Aligned here and not by Rich, which takes seconds for the ten thousand rows that this takes milliseconds for.
"""

from __future__ import annotations

from promptctl.output import stream
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Value = str | int | float | bool | None

NOTHING = "-"
_GAP = "  "
_SHORTEST = 8
_RIGHT = frozenset({"number", "duration", "brief", "spare", "extra", "money"})
# Headings whose values say by themselves what they are.
_SPEAKING = frozenset({"NAME", "WHEN", "WHAT"})


class Column(Record):
    """A heading and how its values are shown.

    `kind` is name (never cut), text (cut when the terminal is narrow), number, time (RFC 3339 in UTC), duration
    (milliseconds), brief (milliseconds, rounded) or money (US dollars). Some are for a terminal with room, and go in
    this order where there is none: detail (a text), trend, recent (a time), graphic, spare (a brief duration), extra (a
    number). A pipe gets neither trend nor graphic.
    """

    __slots__ = ()
    heading: str
    kind: str


def show(
    columns: Sequence[Column], rows: Iterable[Sequence[Value]], marked: Callable[[int], bool] | None = None
) -> None:
    """Write a table to standard output; `marked` says which rows (by position) get a star on a terminal."""
    if stream.to_terminal():
        _align(columns, list(rows), marked)
        return
    graphic = [place for place, column in enumerate(columns) if column.kind in ("graphic", "trend")]
    if graphic:
        rows = [[value for place, value in enumerate(row) if place not in graphic] for row in rows]
    stream.write("".join(["\t".join(map(_piped, row)) + "\n" for row in rows]))


def _piped(value: Value) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, float):
        # Of what is less than a cent, too, something has to be left.
        return f"{value:.{2 if value >= 0.1 else 6}f}".rstrip("0").rstrip(".")
    return stream.cell(str(value))


def _align(columns: Sequence[Column], rows: list[Sequence[Value]], marked: Callable[[int], bool] | None) -> None:
    from promptctl.output import times

    def shown(value: Value, kind: str) -> str:
        if value is None or value == "":
            return NOTHING
        if kind in ("time", "recent"):
            return times.ago(str(value))
        if kind in ("duration", "brief", "spare") and not isinstance(value, str):
            return times.duration(value) if kind == "duration" else times.brief(value)
        if kind == "money" and not isinstance(value, str):
            return money(value)
        if isinstance(value, float):
            return f"{value:.0f}"
        return stream.one_line(str(value))

    cells = [[shown(value, column.kind) for value, column in zip(row, columns, strict=True)] for row in rows]
    widths = [
        max([len(column.heading), *(columns_of(row[place]) for row in cells)]) for place, column in enumerate(columns)
    ]
    indent = "" if marked is None else _GAP
    kept = list(range(len(columns)))
    for kind in ("detail", "trend", "recent", "graphic", "spare", "extra"):
        # Of those that a narrow terminal can do without, the last goes first.
        spare = [place for place in kept if columns[place].kind == kind]
        while not _fit([columns[n] for n in kept], [widths[n] for n in kept], stream.width() - len(indent)) and spare:
            kept.remove(spare.pop())
    widths = [widths[place] for place in kept]
    fits = _fit([columns[place] for place in kept], widths, stream.width() - len(indent))
    if not fits:
        kept = [place for place, column in enumerate(columns) if column.kind not in ("trend", "graphic")]
    columns = [columns[place] for place in kept]
    cells = [[row[place] for place in kept] for row in cells]
    if not fits:
        _flow(columns, cells, marked)
        return

    header = _line([column.heading for column in columns], columns, widths)
    stream.write(indent + stream.styled(header, stream.DIM) + "\n")
    for place, row in enumerate(cells):
        star = marked is not None and marked(place)
        line = _line(row, columns, widths)
        stream.write((stream.styled("* ", stream.GREEN) if star else indent) + line + "\n")


def _line(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    parts: list[str] = []
    for text, column, width in zip(row, columns, widths, strict=True):
        cut = text if columns_of(text) <= width else _cut(text, width)
        padding = " " * (width - columns_of(cut))
        parts.append(padding + cut if column.kind in _RIGHT else cut + padding)
    return _GAP.join(parts).rstrip()


def _flow(columns: Sequence[Column], rows: list[list[str]], marked: Callable[[int], bool] | None) -> None:
    """Write each row as its headings and values, on as many lines as it takes: a terminal too narrow for columns."""
    for place, row in enumerate(rows):
        lines, used = [""], 0
        for text, column in zip(row, columns, strict=True):
            if text == NOTHING:
                continue
            heading = "" if column.heading in _SPEAKING else column.heading.lower() + " "
            taken = len(heading) + columns_of(text)
            if used and used + len(_GAP) + taken > stream.width() - 2 * len(_GAP):
                lines.append("")
                used = 0
            lines[-1] += _GAP * bool(used) + stream.styled(heading, stream.DIM) * bool(heading) + text
            used += len(_GAP) * bool(used) + taken
        indent = "" if marked is None else _GAP
        first = stream.styled("* ", stream.GREEN) if marked is not None and marked(place) else indent
        stream.write("".join(f"{indent + _GAP if number else first}{line}\n" for number, line in enumerate(lines)))


def _fit(columns: Sequence[Column], widths: list[int], available: int) -> bool:
    """Take what is missing from the columns of text, the widest first; False: they cannot give so much."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - available
    while excess > 0:
        texts = [place for place, column in enumerate(columns) if column.kind == "text" and widths[place] > _SHORTEST]
        if not texts:
            return False
        widest = max(texts, key=lambda place: widths[place])
        widths[widest] -= 1
        excess -= 1
    return True


def money(dollars: float) -> str:
    """`$1,204`, `$12.40`, `$0.18`, `$0.0042`: two digits that say something, or all that are there."""
    if dollars >= 1000:
        return f"${dollars:,.0f}"
    if dollars >= 0.1 or dollars == 0:
        return f"${dollars:.2f}"
    return f"${dollars:.4f}" if dollars >= 0.0001 else "<$0.0001"


def columns_of(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _cut(text: str, width: int) -> str:
    if text.isascii():
        return text[: width - 1] + "…"
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1) + "…"
