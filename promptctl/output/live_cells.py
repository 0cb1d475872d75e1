"""What the live screen shows: the values of a view, and the texts of its cells."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from promptctl.output import stream, time_text, top_view
from promptctl.output.table_columns import NOTHING
from promptctl.output.table_layout import money
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.rules.prompt_lines import PromptLine
    from promptctl.rules.use_window import Tally
    from promptctl.store.recent_uses import Move

LONGEST_CELL = 200
_LONGEST_DURATION = 10
# Units of an age, and how many of each make the next one.
_UNITS = ((60, "s"), (60, "m"), (24, "h"), (1000, "d"))


class Detail(Record):
    """One prompt: its newest moves and versions, its uses by version, and the course of its uses and errors."""

    name: str
    moves: Sequence[Move]
    versions: Sequence[int]
    by_version: Mapping[int, Tally]
    costs_usd: Mapping[int, float | None]
    total: Tally
    uses_course: Sequence[int]
    errors_course: Sequence[int]


class View(Record):
    """What is drawn. `age_seconds` is the age of the data; `now` is the time of this machine in seconds since 1970.

    `lines` are the listed prompts in their order, `total` is the number of all. `lost_at` is None while the database
    answers, else `problem` says why it is lost, and `hint` is a command that helps, or "". `opened` is the name of the
    prompt that is shown alone, `offset` the number of its lines that are scrolled away, and `detail` its data as soon
    as they were read.
    """

    label: str
    minutes: int
    now: float
    age_seconds: float
    is_loaded: bool
    lost_at: float | None
    problem: str
    hint: str
    cost_state: str
    lines: Sequence[PromptLine]
    total: int
    selected: int
    first: int
    sort: str
    is_reversed: bool
    pattern: str
    is_typing: bool
    shows_help: bool
    opened: str | None
    offset: int
    detail: Detail | None


def text(value: int | str | None) -> str:
    """Return a value on one line, without escapes; a dash for None."""
    return NOTHING if value is None or value == "" else stream.one_line(str(value)[:LONGEST_CELL])


def milliseconds(value: float | None) -> str:
    """Return a duration, in hours if it has more than 10 characters otherwise; a dash for None."""
    if value is None:
        return NOTHING
    text = time_text.brief(value)
    return text if len(text) <= _LONGEST_DURATION else f"{value / 3_600_000:.0f} h"


def cost(dollars: float | None, with_tokens: int, cost_state: str) -> str:
    """Return an amount: a dash without tokens, an ellipsis while prices are loaded, and n/a if a price is missing."""
    if not with_tokens:
        return NOTHING
    if cost_state == "loading":
        return "…"
    return top_view.UNKNOWN_COST if dollars is None else money(dollars)


def ago(timestamp: str | None, now: float) -> str:
    """Return the age of a time (RFC 3339) at `now` (seconds since 1970): `now`, `20s`, `5m`; a dash for None."""
    if timestamp is None:
        return NOTHING
    elapsed = now - datetime.fromisoformat(timestamp).astimezone(timezone.utc).timestamp()
    # Seconds would change the screen all the time.
    return "now" if elapsed < 10 else age(elapsed if elapsed >= 60 else elapsed // 10 * 10)


def age(seconds: float) -> str:
    """Return an age in one unit: `40s`, `5m`, `3h`, `12d`."""
    number = max(int(seconds), 0)
    for size, unit in _UNITS:
        if number < size or unit == "d":
            return f"{number}{unit}"
        number //= size
    raise AssertionError("the last unit takes every number")
