"""Present statistics of versions, days, hours or models. `form` is plain, quiet, json or csv."""

from __future__ import annotations

from promptctl.output import messages, stream, tables
from promptctl.output.sparklines import bar, sparkline
from promptctl.output.table_columns import BLANK, NOTHING, Column
from promptctl.rules import shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.output.table_columns import Value
    from promptctl.rules.statistics import Group

    # A column, and the function from a group to its value.
    Field = tuple[Column, Callable[[Group], Value]]

_HEADINGS = {"version": "VERSION", "day": "DAY (UTC)", "hour": "HOUR (UTC)", "model": "MODEL"}
# The keys of JSON and CSV in order. They are the fields of Group; `total_uses` is the field `uses`.
_STATS = (
    "total_uses", "errors", "avg_tokens", "avg_input_tokens", "avg_output_tokens", "avg_response_time_ms",
    "p50_response_time_ms", "p95_response_time_ms", "p99_response_time_ms", "avg_first_token_ms", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_hit_rate", "cost_usd", "cache_saved_usd",
    "last_used_at", "avg_score", "scored", "without_unit",
)  # fmt: skip
_DIGITS = {"cost_usd": 6, "cache_saved_usd": 6, "avg_score": 4, "cache_hit_rate": 4}
# The keys about a version beside its statistics.
_STATE_KEYS = ("is_active", "is_candidate", "share_basis_points")
_NAMED_FALLBACKS = 3


def show(
    groups: Sequence[Group], by: Sequence[str], fallbacks: Mapping[str, int], form: str, *, with_names: bool
) -> None:
    """Show groups by the keys in `by`, with bars and trends on a wide terminal; quiet: the keys alone.

    `fallbacks` counts calls with an application's fallback text by name, the largest count first.
    """
    if form == "json":
        stream.write_json(_document(groups, by, fallbacks))
    elif form == "csv":
        _csv(groups, by)
    elif form == "quiet":
        stream.write("".join(_reference(group, by) + "\n" for group in groups))
    elif groups or not stream.to_terminal():
        _table(groups, by, with_names=with_names)
    if form in ("plain", "csv"):
        _note_exceptions(groups, fallbacks, with_names=with_names)


def _note_exceptions(groups: Sequence[Group], fallbacks: Mapping[str, int], *, with_names: bool) -> None:
    """Report calls without a unit during a split, and calls with an application's fallback text."""
    split_prompts = {group.name for group in groups if group.is_candidate}
    compared_groups = [group for group in groups if group.name in split_prompts and group.share_basis_points]
    without_unit = sum(group.without_unit for group in compared_groups)
    if without_unit:
        uses = sum(group.uses for group in compared_groups)
        messages.note(
            f"{without_unit} of {_counted(uses, 'use')} had no unit: a split assigns each of those calls at random"
        )
    calls = sum(fallbacks.values())
    if calls:
        names = [f"{name} {count}" for name, count in fallbacks.items()]
        more = f" and {len(names) - _NAMED_FALLBACKS} more" if len(names) > _NAMED_FALLBACKS else ""
        names_clause = f": {', '.join(names[:_NAMED_FALLBACKS])}{more}" if with_names else ""
        messages.note(f"also {_counted(calls, 'call')} with an application's fallback text{names_clause}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"


def _table(groups: Sequence[Group], by: Sequence[str], *, with_names: bool) -> None:
    fields = _fields(groups, by, with_names=with_names)

    def is_active(place: int) -> bool:
        return groups[place].is_active

    tables.show(
        [column for column, _ in fields],
        [[value(group) for _, value in fields] for group in groups],
        marked=is_active if "version" in by else None,
    )


def _fields(groups: Sequence[Group], by: Sequence[str], *, with_names: bool) -> list[Field]:
    """Return the columns of the table, each with the function from a group to its value.

    A pipe always has the same columns. People get the columns with values.
    """
    by_version = tuple(by) == ("version",)
    for_people = stream.for_people()
    most = max((group.uses for group in groups), default=0)
    fields: list[Field] = [(Column("NAME", "name"), lambda group: group.name)] if with_names else []
    fields += [_key_field(key) for key in by]
    if by_version and for_people and any(group.is_candidate for group in groups):
        fields.append((Column("SHARE", "extra"), _share))
    fields.append((Column("USES", "number"), lambda group: group.uses))
    if not by_version:
        fields.append((Column("", "graphic"), lambda group: bar(group.uses, most) or None))
    fields.append((Column("ERRORS", "number"), lambda group: group.errors))
    if for_people and any(group.scored for group in groups):
        fields.append((Column("SCORE", "extra"), _score))
    fields.append((Column("TOKENS", "number"), lambda group: group.avg_tokens))
    shows_cache = for_people and any(group.cache_read_tokens or group.cache_write_tokens for group in groups)
    if shows_cache:
        fields.append((Column("HIT", "extra"), _hit_rate))
    fields += _time_fields(groups, with_bar=by_version)
    fields.append((Column("COST", "money"), _cost))
    if shows_cache:
        fields.append((Column("SAVED", "extra"), _saved))
    if by_version:
        busiest = max((uses for group in groups for uses in group.trend), default=0)
        fields.append((Column("LAST USED", "recent"), lambda group: group.last_used_at))
        fields.append((Column("14 DAYS", "trend"), lambda group: sparkline(group.trend, busiest) or BLANK))
    if not for_people:
        fields.append((Column("SCORE", "extra"), _score))
        if by_version:
            fields.append((Column("SHARE", "extra"), _share))
        fields += [(Column("HIT", "extra"), _hit_rate), (Column("SAVED", "extra"), _saved)]
    return fields


def _key_field(key: str) -> Field:
    return Column(_HEADINGS[key], "number" if key == "version" else "name"), lambda group: _key_value(group, key)


def _time_fields(groups: Sequence[Group], *, with_bar: bool) -> list[Field]:
    slowest = max((group.avg_response_time_ms or 0 for group in groups), default=0)
    fields: list[Field] = [(Column("TIME", "duration"), lambda group: group.avg_response_time_ms)]
    if with_bar:
        fields.append((Column("", "graphic"), lambda group: bar(group.avg_response_time_ms, slowest) or BLANK))
    return [
        *fields,
        (Column("P50", "spare"), lambda group: group.p50_response_time_ms),
        (Column("P95", "brief"), lambda group: group.p95_response_time_ms),
        (Column("P99", "spare"), lambda group: group.p99_response_time_ms),
        (Column("FIRST", "spare"), lambda group: group.avg_first_token_ms),
    ]


def _share(group: Group) -> str | float:
    """Return the share of a version: `90%`, `0.25%`; in a pipe the number 90."""
    points = group.share_basis_points
    if not stream.for_people():
        return points / 100
    return shares.percent(points) if points else NOTHING


def _score(group: Group) -> str | float | None:
    """Return the average score, on a terminal with three decimals, because most scores are between 0 and 1."""
    score = group.avg_score
    if score is None or not stream.for_people():
        return score
    if abs(score) < 10:
        return f"{score:.3f}"
    return f"{score:.1f}" if abs(score) < 1000 else f"{score:.3g}"


def _key_value(group: Group, key: str) -> str | int | None:
    value: str | int | None = getattr(group, key)
    if key == "hour" and value is not None and stream.for_people():
        return str(value).removesuffix(":00Z").replace("T", " ")
    return value


def _cost(group: Group) -> float | str | None:
    """Return the cost; on a terminal n/a if the group has tokens but no price."""
    if group.cost_usd is None and (group.input_tokens or group.output_tokens):
        return "n/a" if stream.for_people() else None
    return group.cost_usd


def _hit_rate(group: Group) -> str | float | None:
    """Return the part of the input that was read from a cache: `97.3%`; in a pipe the number 97.3."""
    if group.cache_hit_rate is None:
        return None
    percent = 100 * group.cache_hit_rate
    return f"{percent:.1f}".removesuffix(".0") + "%" if stream.for_people() else percent


def _saved(group: Group) -> str | float | None:
    """Return what caching saved; on a terminal as an amount, n/a if tokens were cached whose price is not known."""
    if not stream.for_people():
        return group.cache_saved_usd
    if group.cache_saved_usd is None:
        return "n/a" if group.cache_read_tokens or group.cache_write_tokens else None
    from promptctl.output import table_layout

    return table_layout.money(group.cache_saved_usd)


def _reference(group: Group, by: Sequence[str]) -> str:
    version = f"@{group.version}" if "version" in by else ""
    others = [stream.tsv_field(str(getattr(group, key) or NOTHING)) for key in by if key != "version"]
    return "\t".join([f"{group.name}{version}", *others])


def _document(groups: Sequence[Group], by: Sequence[str], fallbacks: Mapping[str, int]) -> dict[str, Any]:
    fallback_documents = [{"name": name, "calls": calls} for name, calls in fallbacks.items()]
    if tuple(by) == ("version",):
        versions = [
            {"name": group.name, "version": group.version}
            | {key: getattr(group, key) for key in _STATE_KEYS}
            | {"stats": _stats(group)}
            for group in groups
        ]
        return {"versions": versions, "count": len(versions), "fallbacks": fallback_documents}
    documents_by_key = [
        {"name": group.name, **{key: getattr(group, key) for key in by}, "stats": _stats(group)} for group in groups
    ]
    return {"by": list(by), "groups": documents_by_key, "count": len(documents_by_key), "fallbacks": fallback_documents}


def _csv(groups: Sequence[Group], by: Sequence[str]) -> None:
    """Write CSV (RFC 4180) with a header and unrounded numbers; an empty field is a number that is not known."""
    import csv
    import io

    text = io.StringIO()
    is_terminal = stream.to_terminal()
    writer = csv.writer(text, lineterminator="\n" if is_terminal else "\r\n")
    state_keys = _STATE_KEYS if tuple(by) == ("version",) else ()
    writer.writerow(["name", *by, *_STATS, *state_keys])
    for group in groups:
        stats = _stats(group)
        values = [stats.get(key) for key in _STATS] + [str(getattr(group, key)).lower() for key in state_keys]
        writer.writerow([group.name, *(getattr(group, key) for key in by), *values])
    stream.write(stream.escape_controls(text.getvalue()) if is_terminal else text.getvalue())


def _stats(group: Group) -> dict[str, Any]:
    """Return the numbers of a group by their public names, without those that are not known."""
    numbers: dict[str, Any] = {}
    for key in _STATS:
        value = getattr(group, "uses" if key == "total_uses" else key)
        if isinstance(value, float):
            value = round(value, _DIGITS.get(key, 2))
            value = int(value) if value == int(value) and key not in _DIGITS else value
        if value is not None:
            numbers[key] = value
    return numbers
