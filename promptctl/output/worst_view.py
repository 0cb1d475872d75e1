"""Present the worst uses. `form` is plain, quiet, json or csv."""

from __future__ import annotations

from promptctl.output import messages, stream, tables
from promptctl.output.table_columns import Column

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.output.table_columns import Value
    from promptctl.store.worst_uses import WorstUse, WorstUses

# The keys of JSON and CSV in order. They are the fields of WorstUse; `response_time_ms` is the field `response_ms`.
_KEYS = (
    "id", "recorded_at", "name", "version", "epoch", "outcome", "response_time_ms", "first_token_ms", "input_tokens",
    "output_tokens", "model", "trace_id", "request_id",
)  # fmt: skip


def show(worst: WorstUses, name: str | None, form: str) -> None:
    """Show the failed uses and then the slowest ones; quiet: their ids alone."""
    uses = [*worst.failed, *worst.slowest]
    if form == "json":
        stream.write_json(
            {
                "name": name,
                "since": worst.since,
                "kept_from": worst.kept_from,
                "failed": [_document(use) for use in worst.failed],
                "slowest": [_document(use) for use in worst.slowest],
                "count": len(uses),
            }
        )
    elif form == "csv":
        _csv(uses)
    elif form == "quiet":
        stream.write("".join(f"{use.id}\n" for use in uses))
    elif uses or not stream.for_people():
        _table(uses, with_names=name is None)


def note_period(worst: WorstUses, period: str, *, is_default: bool) -> None:
    """Say on standard error which uses can be in the answer. `period` is in words: `in the last 24h`."""
    if not worst.failed and not worst.slowest:
        messages.note(f"no use {period} failed, and none reported its response time")
    elif is_default and stream.for_people():
        messages.note(f"these are uses {period}: --since sets another period")
    if worst.kept_from is not None and worst.kept_from > worst.since:
        from promptctl.output import time_text

        messages.note(f"single uses from before {time_text.utc(worst.kept_from)} were deleted, and are not listed")


def _table(uses: Sequence[WorstUse], *, with_names: bool) -> None:
    is_terminal = stream.to_terminal()
    has_traces = not is_terminal or any(use.trace_id for use in uses)
    columns = [
        Column("WHEN", "exact" if is_terminal else "time"),
        *([Column("NAME", "name")] if with_names else []),
        Column("VERSION", "number"),
        Column("OUTCOME", "text"),
        Column("TIME", "duration"),
        *([Column("TRACE", "exact")] if has_traces else []),
        Column("FIRST", "spare"),
        Column("TOKENS", "extra"),
        Column("MODEL", "detail"),
        Column("REQUEST", "detail"),
    ]
    if not is_terminal:
        columns.append(Column("ID", "exact"))
    tables.show(
        columns, [_row(use, with_names=with_names, has_traces=has_traces, is_terminal=is_terminal) for use in uses]
    )


def _row(use: WorstUse, *, with_names: bool, has_traces: bool, is_terminal: bool) -> list[Value]:
    return [
        _clock(use.recorded_at) if is_terminal else use.recorded_at,
        *([use.name] if with_names else []),
        use.version,
        use.outcome,
        use.response_ms,
        *([use.trace_id] if has_traces else []),
        use.first_token_ms,
        None if use.input_tokens is None or use.output_tokens is None else use.input_tokens + use.output_tokens,
        use.model,
        use.request_id,
        *([] if is_terminal else [use.id]),
    ]


def _clock(timestamp: str) -> str:
    """Return a time for a search in a log: the local time of today, else with the day."""
    from datetime import datetime

    local = datetime.fromisoformat(timestamp).astimezone()
    if local.date() == datetime.now().astimezone().date():
        return f"{local:%H:%M:%S}"
    return f"{local.day} {local:%b %H:%M:%S}"


def _document(use: WorstUse) -> dict[str, Any]:
    return dict(zip(_KEYS, use, strict=True))


def _csv(uses: Sequence[WorstUse]) -> None:
    """Write CSV (RFC 4180) with a header; an empty field is a value that was not reported."""
    import csv
    import io

    text = io.StringIO()
    is_terminal = stream.to_terminal()
    writer = csv.writer(text, lineterminator="\n" if is_terminal else "\r\n")
    writer.writerow(_KEYS)
    writer.writerows(use for use in uses)
    stream.write(stream.escape_controls(text.getvalue()) if is_terminal else text.getvalue())
