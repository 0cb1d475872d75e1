"""The columns of a table, and the values of its cells."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    Value = str | int | float | bool | None

# The text of a missing value.
NOTHING = "-"
# The value of a cell that stays empty, in a column of any kind.
BLANK = " "


class Column(Record):
    """A heading, and the kind of the values.

    `kind` is one of: name (shortened in the middle on a narrow terminal), text and person (cut at the end on a narrow
    terminal, a person first), number, time (RFC 3339 in UTC), duration (milliseconds), brief (milliseconds, rounded),
    money (US dollars), exact (a text that is never shortened, because people copy it).

    Columns of these kinds are left out of a narrow terminal, in this order: detail (a text), trend, recent (a time),
    graphic, spare (milliseconds, rounded), extra (a number). Trend and graphic are for terminals only.
    """

    heading: str
    kind: str


def columns(**kinds: str) -> list[Column]:
    """Return columns by their headings, for example `NAME="name"`, in this order."""
    return [Column(heading, kind) for heading, kind in kinds.items()]
