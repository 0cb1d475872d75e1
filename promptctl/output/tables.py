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
# Headings whose values say by themselves what they are.
_SPEAKING = frozenset({"NAME", "WHEN", "WHAT"})


class Column(Record):
    """A heading and how its values are shown.

    `kind` is name (never cut), text (cut when the terminal is narrow), number, time (RFC 3339 in UTC) or duration
    (milliseconds).
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
    else:
        stream.write("".join(["\t".join(map(_piped, row)) + "\n" for row in rows]))


def _piped(value: Value) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return stream.cell(str(value))


def _align(columns: Sequence[Column], rows: list[Sequence[Value]], marked: Callable[[int], bool] | None) -> None:
    from promptctl.output import times

    def shown(value: Value, kind: str) -> str:
        if value is None or value == "":
            return NOTHING
        if kind == "time":
            return times.ago(str(value))
        if kind == "duration" and not isinstance(value, str):
            return times.duration(value)
        if isinstance(value, float):
            return f"{value:.0f}"
        return stream.one_line(str(value))

    cells = [[shown(value, column.kind) for value, column in zip(row, columns, strict=True)] for row in rows]
    widths = [
        max([len(column.heading), *(_width(row[place]) for row in cells)]) for place, column in enumerate(columns)
    ]
    indent = "" if marked is None else _GAP
    if not _fit(columns, widths, stream.width() - len(indent)):
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
        cut = text if _width(text) <= width else _cut(text, width)
        padding = " " * (width - _width(cut))
        parts.append(padding + cut if column.kind in ("number", "duration") else cut + padding)
    return _GAP.join(parts).rstrip()


def _flow(columns: Sequence[Column], rows: list[list[str]], marked: Callable[[int], bool] | None) -> None:
    """Write each row as its headings and values, on as many lines as it takes: a terminal too narrow for columns."""
    for place, row in enumerate(rows):
        lines, used = [""], 0
        for text, column in zip(row, columns, strict=True):
            if text == NOTHING:
                continue
            heading = "" if column.heading in _SPEAKING else column.heading.lower() + " "
            taken = len(heading) + _width(text)
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


def _width(text: str) -> int:
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
