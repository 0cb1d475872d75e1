"""The lines of the live screen: a header, the table of prompts or one prompt, and the keys. Pure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from promptctl.output import live_cells, live_detail, live_table, stream, top_view
from promptctl.output.live_table import LiveColumn
from promptctl.output.text_width import columns_of
from promptctl.rules import shares

if TYPE_CHECKING:
    from promptctl.output.live_cells import View
    from promptctl.output.live_table import Line, Piece
    from promptctl.rules.use_window import PromptLine, ServedPrompt

# Lines that are not rows of the table: the header, an empty line, the headings, and the keys.
CHROME_LINES = 4
_OLD_SECONDS = 6
_COLUMNS = [
    LiveColumn("NAME", 0, False, live_cells.LONGEST_CELL), LiveColumn("ACTIVE", 7, True, 10),
    LiveColumn("SPLIT", 4, False, 24), LiveColumn("USES", 10, True, 9, 5), LiveColumn("ERR", 11, True, 9),
    LiveColumn("P95", 8, True, 10, 6), LiveColumn("COST/H", 5, True, 9, 7), LiveColumn("MOVED", 9, True, 6),
    LiveColumn("MOVE", 3, False, 24), LiveColumn("BY", 2, False, 16), LiveColumn("REASON", 1, False, 40),
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


def screen(view: View, width: int, height: int) -> list[Line]:
    """Return the lines of a screen, at most `height`, each at most `width` columns wide."""
    body_height = max(height - 2, 0)
    if view.shows_help:
        body = [live_table.fit([(text.format(minutes=view.minutes), "")], width) for text in ["", *_HELP]]
    elif view.opened is not None:
        body = live_detail.lines(view, width)[view.offset :]
    else:
        body = _table(view, width, body_height)
    body = body[:body_height]
    body += [()] * (body_height - len(body))
    return [_header(view, width), *body, _footer(view, width)][:height]


def most_offset(view: View, width: int, height: int) -> int:
    """Return how many lines of the opened prompt can be scrolled away, 0 without one."""
    return 0 if view.opened is None else max(0, len(live_detail.lines(view, width)) - max(height - 2, 0))


def _header(view: View, width: int) -> Line:
    clock = time.strftime("%H:%M", time.localtime(view.now))
    label = stream.one_line(view.label)
    if view.lost_at is not None:
        since = time.strftime("%H:%M:%S", time.localtime(view.lost_at))
        age = f", data {live_cells.age(view.age_seconds)} old" if view.is_loaded else ""
        state: list[Piece] = [(f"lost since {since}{age}", "error"), (f"  {stream.one_line(view.problem)}", "error")]
    elif not view.is_loaded:
        state = [("reading", "dim")]
    elif view.age_seconds > _OLD_SECONDS:
        state = [(f"data {live_cells.age(view.age_seconds)} old", "warning")]
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
        live_cells.text(prompt.active_version),
        live_cells.text(_short_split(prompt)),
        str(line.uses),
        str(line.errors),
        live_cells.milliseconds(line.p95_response_time_ms),
        live_cells.cost(line.cost_per_hour_usd, line.with_tokens, view.cost_state),
        live_cells.ago(prompt.moved_at, view.now),
        live_cells.text(top_view.last_move(prompt)),
        live_cells.text(prompt.moved_by),
        live_cells.text(prompt.move_reason),
    ]


def _short_split(prompt: ServedPrompt) -> str | None:
    """Return the split of a prompt as `7 10%`, or `7 10% paused` in a rollout; None without a split."""
    if prompt.candidate_version is None:
        return None
    return " ".join(
        filter(None, (str(prompt.candidate_version), shares.percent(prompt.basis_points), prompt.rollout_state))
    )
