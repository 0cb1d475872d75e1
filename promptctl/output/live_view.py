"""The lines of the live screen: a header, the table of prompts or one prompt, and the keys. Pure."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from promptctl.output import live_table, stream, time_text, top_view
from promptctl.output.live_table import LiveColumn
from promptctl.output.sparklines import sparkline
from promptctl.output.table_columns import NOTHING
from promptctl.output.table_layout import money
from promptctl.output.text_width import columns_of
from promptctl.records import Record
from promptctl.rules import shares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.output.live_table import Line, Piece
    from promptctl.rules.use_window import PromptLine, ServedPrompt, Tally
    from promptctl.store.recent_uses import Move

# Lines that are not rows of the table: the header, an empty line, the headings, and the keys.
CHROME_LINES = 4
_OLD_SECONDS = 6
_LONGEST_CELL = 200
_COLUMNS = [
    LiveColumn("NAME", 0, False, _LONGEST_CELL), LiveColumn("ACTIVE", 7, True, 10), LiveColumn("SPLIT", 4, False, 24),
    LiveColumn("USES", 10, True, 9, 5), LiveColumn("ERR", 11, True, 9), LiveColumn("P95", 8, True, 10, 6),
    LiveColumn("COST/H", 5, True, 9, 7), LiveColumn("MOVED", 9, True, 6), LiveColumn("MOVE", 3, False, 24),
    LiveColumn("BY", 2, False, 16), LiveColumn("REASON", 1, False, 40),
]  # fmt: skip
_SORTED_COLUMNS = {"uses": 3, "errors": 4, "p95": 5, "cost": 6, "moved": 7, "name": 0}
_KEYS = "q quit  enter open  / filter  ? help  sort: u e p c m n"
_HELP = [
    "u e p c m n    sort by uses, errors, p95, cost, last move, name",
    "               the same key again: the other direction",
    "up down k j    select a prompt; page up, page down, home, end too",
    "enter          open the selected prompt",
    "esc            back; in the list: remove the filter",
    "/              filter by a part of the name; enter keeps it",
    "q, ctrl-c      quit",
    "",
    "USES, ERR, P95 and COST/H are those of the last {minutes} minutes. P95 is",
    "that of successful uses. - means that nothing was reported, and n/a",
    "that the price of a model is not known.",
]
# Units of an age, and how many of each make the next one.
_UNITS = ((60, "s"), (60, "m"), (24, "h"), (1000, "d"))


class Detail(Record):
    """One prompt: its newest moves and versions, and its uses by version. The fields are those of PromptDetail."""

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
    answers. `opened` is the name of the prompt that is shown alone, `offset` the number of its lines that are scrolled
    away, and `detail` its data as soon as they were read.
    """

    label: str
    minutes: int
    now: float
    age_seconds: float
    is_loaded: bool
    lost_at: float | None
    problem: str
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


def screen(view: View, width: int, height: int) -> list[Line]:
    """Return the lines of a screen, at most `height`, each at most `width` columns wide."""
    body_height = max(height - 2, 0)
    if view.shows_help:
        body = [live_table.fit([(text.format(minutes=view.minutes), "")], width) for text in ["", *_HELP]]
    elif view.opened is not None:
        body = _detail(view, width)[view.offset :]
    else:
        body = _table(view, width, body_height)
    body = body[:body_height]
    body += [()] * (body_height - len(body))
    return [_header(view, width), *body, _footer(view, width)][:height]


def most_offset(view: View, width: int, height: int) -> int:
    """Return how many lines of the opened prompt can be scrolled away, 0 without one."""
    return 0 if view.opened is None else max(0, len(_detail(view, width)) - max(height - 2, 0))


def _header(view: View, width: int) -> Line:
    clock = time.strftime("%H:%M", time.localtime(view.now))
    label = stream.one_line(view.label)
    if view.lost_at is not None:
        since = time.strftime("%H:%M:%S", time.localtime(view.lost_at))
        age = f", data {_age(view.age_seconds)} old" if view.is_loaded else ""
        state: list[Piece] = [(f"lost since {since}{age}", "error"), (f"  {stream.one_line(view.problem)}", "error")]
    elif not view.is_loaded:
        state = [("reading", "dim")]
    elif view.age_seconds > _OLD_SECONDS:
        state = [(f"data {_age(view.age_seconds)} old", "warning")]
    else:
        state = [("connected", "good")]
    title: list[Piece] = [(label, "bold"), ("  ", "")]
    # The state matters more than the name of the database.
    room = width - columns_of(state[0][0]) - 2
    if view.lost_at is not None or room < len(label):
        return live_table.fit([*state, ("  ", ""), (label, "bold")], width)
    return live_table.fit([*title, *state, (f"  {clock}  last {view.minutes} min", "dim")], width)


def _footer(view: View, width: int) -> Line:
    if view.is_typing:
        return live_table.fit([(f"filter: {stream.one_line(view.pattern)}_", "bold")], width)
    if view.shows_help:
        return live_table.fit([("any key: back", "dim")], width)
    if view.opened is not None:
        return live_table.fit([("esc back  up, down scroll  q quit  ? help", "dim")], width)
    pieces: list[Piece] = []
    if view.pattern:
        pieces.append((f"{len(view.lines)} of {view.total} match {stream.one_line(view.pattern)}, esc: all  ", "bold"))
    return live_table.fit([*pieces, (_KEYS, "dim")], width)


def _table(view: View, width: int, height: int) -> list[Line]:
    if not view.lines:
        if not view.is_loaded:
            return []
        return [(), live_table.fit([("no prompt matches" if view.pattern else "no prompt yet", "dim")], width)]
    visible = list(view.lines[view.first : view.first + max(height - 2, 1)])
    cells = [_cells(line, view) for line in visible]
    # A split and a reason are shown if a prompt has one. Names do not change their width while the rows scroll.
    hidden = {
        place
        for place, is_absent in (
            (2, all(line.prompt.candidate_version is None for line in view.lines)),
            (10, not any(line.prompt.move_reason for line in view.lines)),
        )
        if is_absent
    }
    columns = [column if place not in hidden else LiveColumn("", 1, False, 0) for place, column in enumerate(_COLUMNS)]
    longest = max(len(line.prompt.name) for line in view.lines)
    names = ["x" * longest, *[""] * (len(_COLUMNS) - 1)]
    chosen = [
        (place, wide) for place, wide in live_table.layout(columns, [*cells, names], width) if place not in hidden
    ]
    headings = [column.heading for column in columns]
    texts = live_table.row_text(headings, columns, chosen)
    sorted_place = _SORTED_COLUMNS[view.sort]
    heading = [
        (text, "heading" if place == sorted_place else "dim") for text, (place, _) in zip(texts, chosen, strict=True)
    ]
    result: list[Line] = [(), live_table.fit(heading, width)]
    for number, (line, row) in enumerate(zip(visible, cells, strict=True), view.first):
        texts = live_table.row_text(row, columns, chosen)
        if number == view.selected:
            text = "".join(texts)
            result.append(((text + " " * (width - columns_of(text)), "selected"),))
            continue
        result.append(
            live_table.fit(
                [
                    (text, "error" if place == 4 and line.errors else "")
                    for text, (place, _) in zip(texts, chosen, strict=True)
                ],
                width,
            )
        )
    return result


def _cells(line: PromptLine, view: View) -> list[str]:
    prompt = line.prompt
    return [
        prompt.name,
        _text(prompt.active_version),
        _text(_short_split(prompt)),
        str(line.uses),
        str(line.errors),
        _milliseconds(line.p95_response_time_ms),
        _cost(line.cost_per_hour_usd, line.with_tokens, view.cost_state),
        _ago(prompt.moved_at, view.now),
        _text(top_view.last_move(prompt)),
        _text(prompt.moved_by),
        _text(prompt.move_reason),
    ]


def _short_split(prompt: ServedPrompt) -> str | None:
    """Return the split of a prompt as `7 10%`, or `7 10% paused` in a rollout; None without a split."""
    if prompt.candidate_version is None:
        return None
    return " ".join(
        filter(None, (str(prompt.candidate_version), shares.percent(prompt.basis_points), prompt.rollout_state))
    )


def _detail(view: View, width: int) -> list[Line]:
    """Return the lines about one prompt."""
    detail = view.detail
    assert view.opened is not None
    if detail is None or detail.name != view.opened:
        text = "not read yet: the database is lost" if view.lost_at is not None else "reading"
        return [(), live_table.fit([(view.opened, "bold")], width), live_table.fit([(text, "dim")], width)]
    prompt = next((line.prompt for line in view.lines if line.prompt.name == detail.name), None)
    active = None if prompt is None else prompt.active_version
    split = None if prompt is None else top_view.split_text(prompt)
    state = "no version is active" if active is None else f"version {active} is active"
    if split is not None:
        state += f"; split: {split}"
    result: list[Line] = [(), live_table.fit([(detail.name, "bold"), (f"  {state}", "")], width), ()]
    result += [
        _course("uses    ", detail.uses_course, detail.total.uses, "", width),
        _course("errors  ", detail.errors_course, detail.total.errors, "error", width),
    ]
    outcomes = sorted(detail.total.outcomes.items(), key=lambda item: (-item[1], item[0]))
    result += [
        live_table.fit([(f"        {stream.one_line(outcome)}", "error"), (f"  {count}", "")], width)
        for outcome, count in outcomes[:5]
    ]
    result += [(), *_versions(view, detail, active, None if prompt is None else prompt.candidate_version, width)]
    return [*result, (), *_moves(view, detail, width)]


def _versions(view: View, detail: Detail, active: int | None, candidate: int | None, width: int) -> list[Line]:
    columns = [
        LiveColumn("VERSION", 0, False, 30), LiveColumn("USES", 4, True, 9), LiveColumn("ERRORS", 5, True, 9),
        LiveColumn("P95", 3, True, 10), LiveColumn("COST/H", 2, True, 9),
    ]  # fmt: skip
    numbers = sorted({*detail.versions[:5], *detail.by_version, *filter(None, (active, candidate))}, reverse=True)
    rows: list[list[str]] = []
    for number in numbers:
        mark = " active" if number == active else " candidate" if number == candidate else ""
        tally = detail.by_version.get(number)
        if tally is None:
            rows.append([f"{number}{mark}", "0", "0", NOTHING, NOTHING])
            continue
        cost = _cost(detail.costs_usd.get(number), tally.with_tokens, view.cost_state)
        rows.append([f"{number}{mark}", str(tally.uses), str(tally.errors), _milliseconds(tally.p95_ms()), cost])
    return _plain_table(columns, rows, width)


def _moves(view: View, detail: Detail, width: int) -> list[Line]:
    columns = [
        LiveColumn("MOVE", 0, False, 30), LiveColumn("WHEN", 3, True, 6), LiveColumn("BY", 2, False, 30),
        LiveColumn("REASON", 1, False, _LONGEST_CELL),
    ]  # fmt: skip
    rows = [
        [
            top_view.move_text(
                move.kind, move.previous_version, move.version, move.candidate_version, move.basis_points
            ),
            _ago(move.changed_at, view.now),
            _text(move.author),
            _text(move.reason),
        ]
        for move in detail.moves
    ]
    if not rows:
        return [live_table.fit([("no move yet", "dim")], width)]
    return _plain_table(columns, rows, width)


def _plain_table(columns: Sequence[LiveColumn], rows: Sequence[Sequence[str]], width: int) -> list[Line]:
    chosen = live_table.layout(columns, rows, width)
    heading = "".join(live_table.row_text([column.heading for column in columns], columns, chosen))
    result = [live_table.fit([(heading, "dim")], width)]
    return [
        *result,
        *(live_table.fit([("".join(live_table.row_text(row, columns, chosen)), "")], width) for row in rows),
    ]


def _course(label: str, values: Sequence[int], total: int, style: str, width: int) -> Line:
    """Return a sparkline of the slots of the window and its sum. A narrow screen has the newest slots."""
    end = f"  {total}"
    newest = values[-max(width - len(label) - len(end), 1) :]
    return live_table.fit([(label, "dim"), (sparkline(newest, max(newest, default=0)), style), (end, "")], width)


def _text(value: int | str | None) -> str:
    return NOTHING if value is None or value == "" else stream.one_line(str(value)[:_LONGEST_CELL])


def _milliseconds(value: float | None) -> str:
    return NOTHING if value is None else time_text.brief(value)


def _cost(dollars: float | None, with_tokens: int, cost_state: str) -> str:
    if not with_tokens:
        return NOTHING
    if cost_state == "loading":
        return "…"
    return top_view.UNKNOWN_COST if dollars is None else money(dollars)


def _ago(timestamp: str | None, now: float) -> str:
    if timestamp is None:
        return NOTHING
    elapsed = now - datetime.fromisoformat(timestamp).astimezone(timezone.utc).timestamp()
    # Seconds would change the screen all the time.
    return "now" if elapsed < 10 else _age(elapsed if elapsed >= 60 else elapsed // 10 * 10)


def _age(seconds: float) -> str:
    """Return an age in one unit: `40s`, `5m`, `3h`, `12d`."""
    number = max(int(seconds), 0)
    for size, unit in _UNITS:
        if number < size or unit == "d":
            return f"{number}{unit}"
        number //= size
    raise AssertionError("the last unit takes every number")
