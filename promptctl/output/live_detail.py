"""The lines of one prompt on the live screen: its course, errors, versions and moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import live_cells, live_table, stream, top_view
from promptctl.output.live_table import LiveColumn
from promptctl.output.stats_view import sparkline
from promptctl.output.table_columns import NOTHING
from promptctl.output.text_width import columns_of
from promptctl.rules import use_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.output.live_cells import Detail, View
    from promptctl.output.live_table import Line

# The width of the labels of the sparklines, and that of a sum with its gap.
_MARGIN, _COLUMNS_OF_A_SUM = 8, 8


def lines(view: View, width: int) -> list[Line]:
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
        _course("uses", detail.uses_course, detail.total.uses, "", view, width),
        _course("errors", detail.errors_course, detail.total.errors, "error", view, width),
        _axis(len(detail.uses_course), view, width),
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
        cost = live_cells.cost(detail.costs_usd.get(number), tally.with_tokens, view.cost_state)
        rows.append(
            [f"{number}{mark}", str(tally.uses), str(tally.errors), live_cells.milliseconds(tally.p95_ms()), cost]
        )
    return _plain_table(columns, rows, width)


def _moves(view: View, detail: Detail, width: int) -> list[Line]:
    columns = [
        LiveColumn("MOVE", 0, False, 30), LiveColumn("WHEN", 3, True, 6), LiveColumn("BY", 2, False, 30),
        LiveColumn("REASON", 1, False, live_cells.LONGEST_CELL),
    ]  # fmt: skip
    rows = [
        [
            top_view.move_text(
                move.kind, move.previous_version, move.version, move.candidate_version, move.basis_points
            ),
            live_cells.ago(move.changed_at, view.now),
            live_cells.text(move.author),
            live_cells.text(move.reason),
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


def _course(label: str, values: Sequence[int], total: int, style: str, view: View, width: int) -> Line:
    """Return a sparkline of the slots of the window, its sum, and the value of its highest sign."""
    newest = values[-_signs(len(values), width) :]
    largest = max(newest, default=0)
    scale = f", at most {largest} in {view.minutes * 60 // use_window.SLOTS} s" if largest else ""
    pieces = [(f"{label:{_MARGIN}}", "dim"), (sparkline(newest, largest), style), (f"  {total}", "")]
    if sum(columns_of(text) for text, _ in pieces) + len(scale) <= width:
        pieces.append((scale, "dim"))
    return live_table.fit(pieces, width)


def _axis(count: int, view: View, width: int) -> Line:
    """Return the ends of the time below the sparklines."""
    signs = _signs(count, width)
    seconds = signs * view.minutes * 60 // use_window.SLOTS
    begin, end = f"{seconds // 60} min ago" if seconds % 60 == 0 else f"{seconds} s ago", "now"
    if len(begin) + len(end) >= signs:
        begin = ""
    axis = f"{begin}{end:>{max(signs - len(begin), 0)}}"
    return live_table.fit([(" " * _MARGIN + axis, "dim")], width)


def _signs(count: int, width: int) -> int:
    """Return how many of `count` slots are drawn. A narrow screen has the newest ones, and room for their sum."""
    return max(min(count, width - _MARGIN - _COLUMNS_OF_A_SUM), 1)
