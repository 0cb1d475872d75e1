"""Show rows as a table: aligned on a terminal, tab-separated and without headings in a pipe, or in Markdown."""

from __future__ import annotations

from promptctl.output import stream
from promptctl.output.table_columns import NOTHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from promptctl.output.table_columns import Column, Value


def show(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Value]],
    marked: Callable[[int], bool] | None = None,
    mark: str = "active",
) -> None:
    """Write a table to standard output. On a terminal, the rows for whose position `marked` is true get a star.

    In Markdown, these rows are bold and have the word `mark`. Without rows, nothing is written in Markdown.
    """
    if stream.to_terminal():
        from promptctl.output import table_layout

        table_layout.show(columns, list(rows), marked)
        return
    if stream.is_markdown():
        from promptctl.output import markdown_table

        rows = list(rows)
        stream.write(markdown_table.text(columns, rows, marked, mark) if rows else "")
        return
    graphic_places = [place for place, column in enumerate(columns) if column.kind in ("graphic", "trend")]
    if graphic_places:
        rows = [[value for place, value in enumerate(row) if place not in graphic_places] for row in rows]
    stream.write("".join(["\t".join(map(_field, row)) + "\n" for row in rows]))


def _field(value: Value) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, float):
        # A cost of less than a cent needs more decimals.
        decimals = 2 if abs(value) >= 0.1 else 6
        return f"{value:z.{decimals}f}".rstrip("0").rstrip(".")
    return stream.tsv_field(str(value))
