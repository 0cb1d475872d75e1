"""How versions, days or models did, as people and programs read it. `form` is plain, quiet, json or csv."""

from __future__ import annotations

from promptctl.output import messages, stream, tables
from promptctl.output.tables import Column
from promptctl.rules import shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.rules.statistics import Group

_BAR = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_HEADINGS = {"version": "VERSION", "day": "DAY (UTC)", "hour": "HOUR (UTC)", "model": "MODEL"}
# In the order of JSON and CSV; the names of the group's fields, except for the first.
_STATS = (
    "total_uses", "errors", "avg_tokens", "avg_input_tokens", "avg_output_tokens", "avg_response_time_ms",
    "p50_response_time_ms", "p95_response_time_ms", "p99_response_time_ms", "avg_first_token_ms", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd", "last_used_at", "avg_score", "scored",
    "without_unit",
)  # fmt: skip
_DIGITS = {"cost_usd": 6, "avg_score": 4}
# What is told of a version beside its numbers.
_SERVED = ("is_active", "is_candidate", "share_basis_points")
_NAMED_FALLBACKS = 3


def show(
    groups: Sequence[Group], by: Sequence[str], fallbacks: Mapping[str, int], form: str, *, with_names: bool
) -> None:
    """Show groups under the keys in `by`; on a terminal with bars and trends where there is room.

    `fallbacks` are calls with a text of the application's own, by name, the most first.
    """
    if form == "json":
        from promptctl.output import documents

        documents.show(_document(groups, by, fallbacks))
    elif form == "csv":
        _csv(groups, by)
    elif form == "quiet":
        stream.write("".join(_reference(group, by) + "\n" for group in groups))
    elif groups or not stream.to_terminal():
        _table(groups, by, with_names=with_names)
    if form in ("plain", "csv"):
        _say_what_else(groups, fallbacks, with_names=with_names)


def _say_what_else(groups: Sequence[Group], fallbacks: Mapping[str, int], *, with_names: bool) -> None:
    shared = {group.name for group in groups if group.is_candidate}
    compared = [group for group in groups if group.name in shared and group.share_basis_points]
    without_unit = sum(group.without_unit for group in compared)
    if without_unit:
        uses = sum(group.uses for group in compared)
        messages.note(f"{without_unit} of {_counted(uses, 'use')} had no unit: a split deals those out one by one")
    calls = sum(fallbacks.values())
    if calls:
        names = [f"{name} {count}" for name, count in fallbacks.items()]
        more = f" and {len(names) - _NAMED_FALLBACKS} more" if len(names) > _NAMED_FALLBACKS else ""
        which = f": {', '.join(names[:_NAMED_FALLBACKS])}{more}" if with_names else ""
        messages.note(f"also {_counted(calls, 'call')} with an application's own text{which}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what if number == 1 else what + 's'}"


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
    piped = not stream.to_terminal()
    # A pipe has the same columns whatever there is; a terminal has those that say something.
    with_shares = by_version and not piped and any(group.is_candidate for group in groups)
    with_scores = not piped and any(group.scored for group in groups)
    slowest = max((group.avg_response_time_ms or 0 for group in groups), default=0)
    most = max((group.uses for group in groups), default=0)
    busiest = max((uses for group in groups for uses in group.trend), default=0)
    columns = [Column("NAME", "name")] if with_names else []
    columns += [Column(_HEADINGS[key], "number" if key == "version" else "name") for key in by]
    if with_shares:
        columns.append(Column("SHARE", "extra"))
    columns.append(Column("USES", "number"))
    if not by_version:
        columns.append(Column("", "graphic"))
    columns.append(Column("ERRORS", "number"))
    if with_scores:
        columns.append(Column("SCORE", "extra"))
    columns += [Column("TOKENS", "number"), Column("TIME", "duration")]
    if by_version:
        columns.append(Column("", "graphic"))
    columns += [Column("P50", "spare"), Column("P95", "brief"), Column("P99", "spare"), Column("FIRST", "spare")]
    columns.append(Column("COST", "money"))
    if by_version:
        columns += [Column("LAST USED", "recent"), Column("14 DAYS", "trend")]
    if piped:
        columns += [Column("SCORE", "extra"), *[Column("SHARE", "extra")] * by_version]
    rows: list[list[str | int | float | None]] = []
    for group in groups:
        row: list[str | int | float | None] = [group.name] if with_names else []
        row += [_key(group, key) for key in by]
        if with_shares:
            row.append(_share(group))
        row.append(group.uses)
        if not by_version:
            row.append(bar(group.uses, most) or None)
        row.append(group.errors)
        if with_scores:
            row.append(_score(group))
        row += [group.avg_tokens, group.avg_response_time_ms]
        if by_version:
            row.append(bar(group.avg_response_time_ms, slowest) or " ")
        row += [group.p50_response_time_ms, group.p95_response_time_ms, group.p99_response_time_ms]
        row += [group.avg_first_token_ms, _cost(group)]
        if by_version:
            row += [group.last_used_at, sparkline(group.trend, busiest) or " "]
        if piped:
            row += [_score(group), *[_share(group)] * by_version]
        rows.append(row)

    def is_active(place: int) -> bool:
        return groups[place].is_active

    tables.show(columns, rows, marked=is_active if "version" in by else None)


def _share(group: Group) -> str | float:
    """What a version is served of its prompt: `90%`, `0.25%`; in a pipe 90."""
    points = group.share_basis_points
    return (shares.percent(points) if points else tables.NOTHING) if stream.to_terminal() else points / 100


def _score(group: Group) -> str | float | None:
    """`0.823`: scores are mostly from 0 to 1, and two versions differ by little."""
    score = group.avg_score
    if score is None or not stream.to_terminal():
        return score
    return f"{score:.3f}" if abs(score) < 10 else f"{score:.1f}" if abs(score) < 1000 else f"{score:.3g}"


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
    others = [stream.tsv_field(str(getattr(group, key) or tables.NOTHING)) for key in by if key != "version"]
    return "\t".join([f"{group.name}{version}", *others])


def _document(groups: Sequence[Group], by: Sequence[str], fallbacks: Mapping[str, int]) -> dict[str, Any]:
    own_texts = [{"name": name, "calls": calls} for name, calls in fallbacks.items()]
    if tuple(by) == ("version",):
        versions = [
            {"name": group.name, "version": group.version}
            | {key: getattr(group, key) for key in _SERVED}
            | {"stats": _stats(group)}
            for group in groups
        ]
        return {"versions": versions, "count": len(versions), "fallbacks": own_texts}
    found = [
        {"name": group.name, **{key: getattr(group, key) for key in by}, "stats": _stats(group)} for group in groups
    ]
    return {"by": list(by), "groups": found, "count": len(found), "fallbacks": own_texts}


def _csv(groups: Sequence[Group], by: Sequence[str]) -> None:
    """Write RFC 4180, with a header: raw numbers, nothing for what is not known. A terminal obeys none of it."""
    import csv
    import io

    text = io.StringIO()
    seen = stream.to_terminal()
    writer = csv.writer(text, lineterminator="\n" if seen else "\r\n")
    served = _SERVED if tuple(by) == ("version",) else ()
    writer.writerow(["name", *by, *_STATS, *served])
    for group in groups:
        stats = _stats(group)
        told = [stats.get(key) for key in _STATS] + [str(getattr(group, key)).lower() for key in served]
        writer.writerow([group.name, *(getattr(group, key) for key in by), *told])
    stream.write(stream.escape_controls(text.getvalue()) if seen else text.getvalue())


def _stats(group: Group) -> dict[str, Any]:
    """Return a group's numbers by their public names, without what is not known."""
    told: dict[str, Any] = {}
    for key in _STATS:
        value = getattr(group, "uses" if key == "total_uses" else key)
        if isinstance(value, float):
            value = round(value, _DIGITS.get(key, 2))
            value = int(value) if value == int(value) and key not in _DIGITS else value
        if value is not None:
            told[key] = value
    return told
