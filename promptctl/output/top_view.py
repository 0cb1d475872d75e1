"""Present the uses of the last minutes: the table of `promptctl top --once`, and the cells that the screen shares."""

from __future__ import annotations

from promptctl.output import answers, stream, tables
from promptctl.output.table_columns import Column
from promptctl.rules import shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.rules.prompt_lines import PromptLine, ServedPrompt

UNKNOWN_COST = "n/a"


def show(lines: Sequence[PromptLine], minutes: int, form: str, *, with_cost: bool) -> None:
    """Show prompts and their uses of the last minutes. `with_cost` is False if costs were not calculated."""
    if form == "json":
        stream.write_json({"minutes": minutes, "prompts": [_document(line) for line in lines], "count": len(lines)})
    elif form == "quiet":
        answers.write_references([(line.prompt.name, None) for line in lines])
    elif lines or not stream.for_people():
        _show_table(lines, with_cost=with_cost)


def split_text(prompt: ServedPrompt) -> str | None:
    """Return the split of a prompt: `7 at 10%`, or `7 at 10%, paused` in a rollout; None without a split."""
    if prompt.candidate_version is None:
        return None
    state = f", {prompt.rollout_state}" if prompt.rollout_state else ""
    return f"{prompt.candidate_version} at {shares.percent(prompt.basis_points)}{state}"


def move_text(
    kind: str, previous: int | None, version: int | None, candidate: int | None, basis_points: int | None
) -> str:
    """Return what a move did: `activate 3 → 4`, `rollback 4 → 3`, `split 7 at 10%`, `route`."""
    if kind == "split" and candidate is not None:
        return f"split {candidate} at {shares.percent(basis_points or 0)}"
    if kind in ("activate", "rollback") and version is not None:
        return f"{kind} {version}" if previous is None else f"{kind} {previous} → {version}"
    if kind == "deactivate" and previous is not None:
        return f"{kind} {previous}"
    return kind


def last_move(prompt: ServedPrompt) -> str | None:
    """Return what the last move of a prompt did, None if it never moved."""
    if prompt.move_kind is None:
        return None
    return move_text(
        prompt.move_kind, prompt.move_from, prompt.move_to, prompt.move_candidate, prompt.move_basis_points
    )  # fmt: skip


def _show_table(lines: Sequence[PromptLine], *, with_cost: bool) -> None:
    columns = [
        Column("NAME", "name"), Column("ACTIVE", "number"), Column("SPLIT", "text"), Column("USES", "number"),
        Column("ERRORS", "number"), Column("P95", "brief"), Column("COST/H", "money"), Column("MOVED", "time"),
        Column("BY", "detail"), Column("MOVE", "detail"), Column("REASON", "detail"),
    ]  # fmt: skip
    rows = [
        [
            line.prompt.name, line.prompt.active_version, split_text(line.prompt), line.uses, line.errors,
            line.p95_response_time_ms, _cost(line) if with_cost else None, line.prompt.moved_at, line.prompt.moved_by,
            last_move(line.prompt), line.prompt.move_reason,
        ]
        for line in lines
    ]  # fmt: skip
    if stream.for_people():
        # People get the columns with values.
        places = [
            place
            for place, column in enumerate(columns)
            if column.heading not in ("SPLIT", "COST/H", "REASON") or any(row[place] is not None for row in rows)
        ]
        columns, rows = [columns[place] for place in places], [[row[place] for place in places] for row in rows]
    tables.show(columns, rows)


def _cost(line: PromptLine) -> float | str | None:
    if line.cost_per_hour_usd is None:
        return UNKNOWN_COST if line.with_tokens and stream.for_people() else None
    return line.cost_per_hour_usd


def _document(line: PromptLine) -> dict[str, Any]:
    prompt = line.prompt
    move = {
        "kind": prompt.move_kind, "previous_version": prompt.move_from, "version": prompt.move_to,
        "candidate_version": prompt.move_candidate, "basis_points": prompt.move_basis_points,
        "changed_at": prompt.moved_at, "author": prompt.moved_by, "reason": prompt.move_reason,
    }  # fmt: skip
    return {
        "name": prompt.name, "active_version": prompt.active_version, "candidate_version": prompt.candidate_version,
        "basis_points": prompt.basis_points, "route_steps": prompt.route_steps, "rollout": prompt.rollout,
        "rollout_state": prompt.rollout_state, "uses": line.uses, "errors": line.errors,
        "p95_response_time_ms": line.p95_response_time_ms, "cost_per_hour_usd": line.cost_per_hour_usd,
        "last_move": None if prompt.move_kind is None else move,
    }  # fmt: skip
