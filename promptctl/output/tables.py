"""Rows under headings on a terminal, the same columns tab-separated in a pipe.

Aligned here and not by Rich, which takes seconds for the ten thousand rows that this takes milliseconds for.
"""

from __future__ import annotations

from promptctl.output import stream
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Value = str | int | float | bool | None

NOTHING = "-"
# A cell of a row that stands for rows that are left out.
BLANK = " "
_GAP = "  "
_ELLIPSIS = "…"
_RIGHT = frozenset({"number", "duration", "brief", "spare", "extra", "money"})
# Columns that give room, with the widths below which they give none at each stage. Between the first stage and the
# second the columns that are for a terminal with room leave.
_STAGES: tuple[dict[str, int], ...] = (
    {"person": 10, "text": 28, "name": 40},
    {"person": 8, "text": 16, "name": 24},
    {"person": 8, "text": 8, "name": 16},
    {"name": 8, "person": 6, "text": 8},
)
# A terminal that is narrower shows a row on several lines before names are shortened to so little.
_COLUMNS_FOR_SHORT_NAMES = 72
_FOR_ROOM = ("detail", "trend", "recent", "graphic", "spare", "extra")
# A cell that is measured: no terminal shows more of it in one line, or in the lines of a narrow one.
_LONGEST = 2_000
_LINES_OF_A_CELL = 6
# Below it, apart from controls, a character takes one column.
_COMBINING = "\u0300"
# Headings whose values say by themselves what they are.
_SPEAKING = frozenset({"NAME", "WHEN", "WHAT"})


class Column(Record):
    """A heading and how its values are shown.

    `kind` is name (shortened in the middle when the terminal is narrow), text and person (cut at the end then, a person
    first), number, time (RFC 3339 in UTC), duration (milliseconds), brief (milliseconds, rounded) or money (dollars).
    Some are for a terminal with room, and go in this order where there is none: detail (a text), trend, recent (a
    time), graphic, spare (a brief duration), extra (a number). A pipe gets neither trend nor graphic.
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
    return stream.tsv_field(str(value))


def _align(columns: Sequence[Column], rows: list[Sequence[Value]], marked: Callable[[int], bool] | None) -> None:
    indent = "" if marked is None else _GAP
    cells = [[_shown(value, column.kind) for value, column in zip(row, columns, strict=True)] for row in rows]
    natural = [
        max([len(column.heading), *(columns_of(row[place]) for row in cells)]) for place, column in enumerate(columns)
    ]
    fitted = _fitted(columns, natural, stream.width() - len(indent))
    if fitted is None:
        kept = [place for place, column in enumerate(columns) if column.kind not in ("trend", "graphic")]
        _flow([columns[place] for place in kept], [[row[place] for place in kept] for row in cells], marked)
        return
    kept, widths = fitted
    shortened = {
        place: _shortened([row[place] for row in cells], width)
        for place, width in zip(kept, widths, strict=True)
        if columns[place].kind == "name" and width < natural[place]
    }
    columns = [columns[place] for place in kept]

    header = _line([column.heading for column in columns], columns, widths)
    stream.write(indent + stream.styled(header, stream.DIM) + "\n")
    for number, row in enumerate(cells):
        star = marked is not None and marked(number)
        line = _line(
            [shortened[place][number] if place in shortened else row[place] for place in kept], columns, widths
        )
        stream.write((stream.styled("* ", stream.GREEN) if star else indent) + line + "\n")


def _shown(value: Value, kind: str) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, str):
        if kind in ("time", "recent") and value != BLANK:
            from promptctl.output import times

            return times.ago(value)
        return stream.one_line(value if len(value) <= _LONGEST else value[:_LONGEST] + _ELLIPSIS)
    if kind in ("duration", "brief", "spare"):
        from promptctl.output import times

        return times.duration(value) if kind == "duration" else times.brief(value)
    if kind == "money":
        return money(value)
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _line(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    parts: list[str] = []
    for text, column, width in zip(row, columns, widths, strict=True):
        short = cut(text, width)
        padding = " " * (width - columns_of(short))
        parts.append(padding + short if column.kind in _RIGHT else short + padding)
    return _GAP.join(parts).rstrip()


def _flow(columns: Sequence[Column], rows: list[list[str]], marked: Callable[[int], bool] | None) -> None:
    """Write each row as its headings and values, on as many lines as it takes: a terminal too narrow for columns."""
    for place, row in enumerate(rows):
        lines, used = [""], 0
        for text, column in zip(row, columns, strict=True):
            if text == NOTHING:
                continue
            text = cut(text, _LINES_OF_A_CELL * stream.width())  # noqa: PLW2901 - all that is shown of it
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


def _fitted(columns: Sequence[Column], natural: Sequence[int], available: int) -> tuple[list[int], list[int]] | None:
    """Return which columns there is room for, and how wide each is; None: not even for those that have to be shown."""
    kept = list(range(len(columns)))
    for stage, smallest in enumerate(_STAGES):
        if stage > 1 and available < _COLUMNS_FOR_SHORT_NAMES:
            return None
        while True:
            kinds = [columns[place].kind for place in kept]
            widths = [natural[place] for place in kept]
            if _shrink(widths, kinds, smallest, available - len(_GAP) * (len(kept) - 1)):
                return kept, widths
            # Of those that a narrow terminal can do without, the last goes first.
            spare = [place for kind in _FOR_ROOM for place in reversed(kept) if columns[place].kind == kind]
            if stage or not spare:
                break
            kept.remove(spare[0])
    return None


def _shrink(widths: list[int], kinds: Sequence[str], smallest: Mapping[str, int], available: int) -> bool:
    """Take what is missing from the columns that give room, kind after kind, the widest of a kind first.

    False: they do not have so much to give.
    """
    for kind, least in smallest.items():
        excess = sum(widths) - available
        if excess <= 0:
            return True
        giving = sorted((place for place, each in enumerate(kinds) if each == kind), key=lambda place: widths[place])
        # What the others keep when all that are wider are made equally wide.
        left = sum(widths[place] for place in giving) - excess
        for position, place in enumerate(giving):
            width = min(widths[place], max(least, left // (len(giving) - position)))
            left -= min(width, widths[place])
            widths[place] = min(widths[place], width)
    return sum(widths) <= available


def _shortened(texts: Sequence[str], width: int) -> list[str]:
    """Shorten names in the middle; two names that differ look different as long as that can be had."""
    short = {text: middle(text, width) for text in texts}
    if len(set(short.values())) < len(short):
        seen: dict[str, int] = {}
        for text in short.values():
            seen[text] = seen.get(text, 0) + 1
        # What they begin with is the same, so that the end says more.
        short = {text: _last(text, width) if seen[each] > 1 else each for text, each in short.items()}
    return [short[text] for text in texts]


def middle(text: str, width: int) -> str:
    """Return a name of at most `width` columns: `support/…/triage` where it has folders, else `suppor…triage`."""
    if columns_of(text) <= width:
        return text
    parts = text.split("/")
    for place in range(2, len(parts)):
        short = "/".join([parts[0], _ELLIPSIS, *parts[place:]])
        if columns_of(short) <= width:
            return short
    if len(parts) > 1 and columns_of(parts[-1]) + 2 <= width:
        return f"{_ELLIPSIS}/{parts[-1]}"
    half = (width - 1) // 2
    return _first(text, width - 1 - half) + _last(text, half + 1)


def _first(text: str, width: int) -> str:
    if text.isascii():
        return text[:width]
    from rich.cells import set_cell_size

    return set_cell_size(text, width)


def _last(text: str, width: int) -> str:
    """Return the end of a text behind an ellipsis, in at most `width` columns."""
    end = text[-(width - 1) :] if width > 1 else ""
    while end and columns_of(end) > width - 1:
        end = end[1:]
    return _ELLIPSIS + end


def money(dollars: float) -> str:
    """`$1,204`, `$12.40`, `$0.18`, `$0.0042`: two digits that say something, or all that are there."""
    if dollars >= 1000:
        return f"${dollars:,.0f}"
    if dollars >= 0.1 or dollars == 0:
        return f"${dollars:.2f}"
    return f"${dollars:.4f}" if dollars >= 0.0001 else "<$0.0001"


def columns_of(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii() or max(text) < _COMBINING:
        return len(text)
    plain = text.replace(_ELLIPSIS, ".").replace("→", ">")
    if plain.isascii():
        return len(plain)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Return a text that does not fit into `width` columns with an ellipsis at its end; one that fits as it is."""
    return text if columns_of(text) <= width else _first(text, width - 1) + _ELLIPSIS
