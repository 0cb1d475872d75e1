"""The lines of the live screen: what `live_frame` has around the table of prompts, or around one prompt. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import live_cells, live_detail, live_frame, live_table, top_view
from promptctl.output.live_table import LiveColumn
from promptctl.output.text_width import columns_of
from promptctl.rules import shares

if TYPE_CHECKING:
    from promptctl.output.live_cells import View
    from promptctl.output.live_table import Line
    from promptctl.rules.prompt_lines import PromptLine, ServedPrompt

_COLUMNS = [
    LiveColumn("NAME", 0, False, live_cells.LONGEST_CELL), LiveColumn("ACTIVE", 8, True, 10),
    LiveColumn("SPLIT", 7, False, 24), LiveColumn("USES", 10, True, 9, 5), LiveColumn("ERR", 11, True, 9),
    LiveColumn("P95", 5, True, 10, 6), LiveColumn("COST/H", 4, True, 9, 7), LiveColumn("MOVED", 6, True, 6),
    LiveColumn("MOVE", 3, False, 24), LiveColumn("BY", 2, False, 16), LiveColumn("REASON", 1, False, 40),
]  # fmt: skip
_SORTED_COLUMNS = {"uses": 3, "errors": 4, "p95": 5, "cost": 6, "moved": 7, "name": 0}
# An age is small where the time is late.
_SMALLEST_FIRST = ("moved", "name")
# The column that sorts is left out last.
_LAST = 12


def screen(view: View, width: int, height: int) -> list[Line]:
    """Return the lines of a screen, at most `height`, each at most `width` columns wide."""
    above, below = _around(view, width, height)
    body_height = max(height - len(above) - len(below), 0)
    if view.shows_help:
        body = live_frame.help_lines(view, width)
    elif view.opened is not None:
        body = live_detail.lines(view, width)[view.offset :]
    else:
        body = _table(view, width, body_height)
    body = body[:body_height]
    body += [()] * (body_height - len(body))
    return [*above, *body, *below][:height]


def rows(view: View, width: int, height: int) -> int:
    """Return how many rows of the table fit, at least 1. The others are those around it, a blank and the headings."""
    above, below = _around(view, width, height)
    return max(height - len(above) - len(below) - 2, 1)


def most_offset(view: View, width: int, height: int) -> int:
    """Return how many lines of the opened prompt can be scrolled away, 0 without one."""
    if view.opened is None:
        return 0
    above, below = _around(view, width, height)
    return max(0, len(live_detail.lines(view, width)) - max(height - len(above) - len(below), 0))


def _around(view: View, width: int, height: int) -> tuple[list[Line], list[Line]]:
    """Return the lines above the body and those below it."""
    above = [live_frame.header(view, width), *live_frame.notice(view, width, height)]
    return above, live_frame.footer(view, width, height)


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
    sorted_place = _SORTED_COLUMNS[view.sort]
    columns[sorted_place] = _with_arrow(columns[sorted_place], view)
    longest = max(len(line.prompt.name) for line in view.lines)
    names = ["x" * longest, *[""] * (len(_COLUMNS) - 1)]
    chosen = [
        (place, wide) for place, wide in live_table.layout(columns, [*cells, names], width) if place not in hidden
    ]
    headings = [column.heading for column in columns]
    texts = live_table.row_text(headings, columns, chosen)
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


def _with_arrow(column: LiveColumn, view: View) -> LiveColumn:
    """Return the column that sorts, with an arrow down if its largest value is on top."""
    is_ascending = (view.sort in _SMALLEST_FIRST) != view.is_reversed
    heading = f"{column.heading}{'↑' if is_ascending else '↓'}"
    return LiveColumn(heading, column.drop and _LAST, column.is_number, max(column.longest, len(heading)), column.least)


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
