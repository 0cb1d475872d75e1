"""How versions, days or models did, as people and programs read it. `form` is plain, quiet, json or csv."""

from __future__ import annotations

from promptctl.output import stream, tables
from promptctl.output.tables import Column

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.statistics import Group

_BAR = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_HEADINGS = {"version": "VERSION", "day": "DAY (UTC)", "hour": "HOUR (UTC)", "model": "MODEL"}
# In the order of JSON and CSV; the names of the group's fields, except for the first.
_STATS = (
    "total_uses", "errors", "avg_tokens", "avg_input_tokens", "avg_output_tokens", "avg_response_time_ms",
    "p50_response_time_ms", "p95_response_time_ms", "p99_response_time_ms", "avg_first_token_ms", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd", "last_used_at",
)  # fmt: skip


def show(groups: Sequence[Group], by: Sequence[str], form: str, *, with_names: bool) -> None:
    """Show groups under the keys in `by`; on a terminal with bars and trends where there is room."""
    if form == "json":
        from promptctl.output import documents

        documents.show(_document(groups, by))
    elif form == "csv":
        _csv(groups, by)
    elif form == "quiet":
        stream.write("".join(_reference(group, by) + "\n" for group in groups))
    elif groups or not stream.to_terminal():
        _table(groups, by, with_names=with_names)


def bar(value: float | None, largest: float) -> str:
    """Return a bar of at most eight characters, in eighths of one; '' for nothing."""
    if not value or largest <= 0:
        return ""
    eighths = max(1, round(value / largest * _BAR * 8))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def sparkline(values: Sequence[int], largest: int) -> str:
    """Return a line of one character a value, each as high as its value; a blank for none."""
    return "".join(
        " " if not value else _LEVELS[min(len(_LEVELS) - 1, value * len(_LEVELS) // (largest + 1))] for value in values
    )


def _table(groups: Sequence[Group], by: Sequence[str], *, with_names: bool) -> None:
    by_version = tuple(by) == ("version",)
    slowest = max((group.avg_response_time_ms or 0 for group in groups), default=0)
    most = max((group.uses for group in groups), default=0)
    busiest = max((uses for group in groups for uses in group.trend), default=0)
    columns = [Column("NAME", "name")] if with_names else []
    columns += [Column(_HEADINGS[key], "number" if key == "version" else "name") for key in by]
    columns.append(Column("USES", "number"))
    if not by_version:
        columns.append(Column("", "graphic"))
    columns += [Column("ERRORS", "number"), Column("TOKENS", "number"), Column("TIME", "duration")]
    if by_version:
        columns.append(Column("", "graphic"))
    columns += [Column("P50", "spare"), Column("P95", "brief"), Column("P99", "spare"), Column("FIRST", "spare")]
    columns.append(Column("COST", "money"))
    if by_version:
        columns += [Column("LAST USED", "recent"), Column("14 DAYS", "trend")]
    rows: list[list[str | int | float | None]] = []
    for group in groups:
        row: list[str | int | float | None] = [group.name] if with_names else []
        row += [_key(group, key) for key in by]
        row.append(group.uses)
        if not by_version:
            row.append(bar(group.uses, most) or None)
        row += [group.errors, group.avg_tokens, group.avg_response_time_ms]
        if by_version:
            row.append(bar(group.avg_response_time_ms, slowest) or " ")
        row += [group.p50_response_time_ms, group.p95_response_time_ms, group.p99_response_time_ms]
        row += [group.avg_first_token_ms, _cost(group)]
        if by_version:
            row += [group.last_used_at, sparkline(group.trend, busiest) or " "]
        rows.append(row)

    def is_active(place: int) -> bool:
        return groups[place].is_active

    tables.show(columns, rows, marked=is_active if "version" in by else None)


def _key(group: Group, key: str) -> str | int | None:
    value: str | int | None = getattr(group, key)
    if key == "hour" and value is not None and stream.to_terminal():
        return str(value).removesuffix(":00Z").replace("T", " ")
    return value


def _cost(group: Group) -> float | str | None:
    """The cost; n/a where there is something to pay and no price for it."""
    if group.cost_usd is None and (group.input_tokens or group.output_tokens):
        return "n/a" if stream.to_terminal() else None
    return group.cost_usd


def _reference(group: Group, by: Sequence[str]) -> str:
    version = f"@{group.version}" if "version" in by else ""
    others = [stream.cell(str(getattr(group, key) or tables.NOTHING)) for key in by if key != "version"]
    return "\t".join([f"{group.name}{version}", *others])


def _document(groups: Sequence[Group], by: Sequence[str]) -> dict[str, Any]:
    if tuple(by) == ("version",):
        versions = [
            {"name": group.name, "version": group.version, "is_active": group.is_active, "stats": _stats(group)}
            for group in groups
        ]
        return {"versions": versions, "count": len(versions)}
    found = [
        {"name": group.name, **{key: getattr(group, key) for key in by}, "stats": _stats(group)} for group in groups
    ]
    return {"by": list(by), "groups": found, "count": len(found)}


def _csv(groups: Sequence[Group], by: Sequence[str]) -> None:
    """Write RFC 4180, with a header: raw numbers, nothing for what is not known. A terminal obeys none of it."""
    import csv
    import io

    text = io.StringIO()
    seen = stream.to_terminal()
    writer = csv.writer(text, lineterminator="\n" if seen else "\r\n")
    writer.writerow(["name", *by, *_STATS])
    for group in groups:
        stats = _stats(group)
        writer.writerow([group.name, *(getattr(group, key) for key in by), *(stats.get(key) for key in _STATS)])
    stream.write(stream.harmless(text.getvalue()) if seen else text.getvalue())


def _stats(group: Group) -> dict[str, Any]:
    """Return a group's numbers by their public names, without what is not known."""
    told: dict[str, Any] = {}
    for key in _STATS:
        value = getattr(group, "uses" if key == "total_uses" else key)
        if isinstance(value, float):
            value = round(value, 6 if key == "cost_usd" else 2)
            value = int(value) if value == int(value) and key != "cost_usd" else value
        if value is not None:
            told[key] = value
    return told
