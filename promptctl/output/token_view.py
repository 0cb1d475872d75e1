"""Present the input tokens of versions by part, and what they cost. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import answers, messages, stream, table_layout, tables
from promptctl.output.table_columns import BLANK, NOTHING, Column
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.claude.token_counts import InputParts
    from promptctl.output.table_columns import Value

_PARTS = ("tools", "system", "few_shot", "other")
_ROWS = (*_PARTS, "input", "cacheable", "cost", "cost_of_write", "cost_of_read")
_LABELS = {"few_shot": "few-shot", "cost_of_write": "cost, written to cache", "cost_of_read": "cost, read from cache"}
# A terminal always has these rows, and the others if a version has such tokens.
_ALWAYS = ("system", "input", "cost")


class CountedVersion(Record):
    """A version with its tokens for a model. Costs are of the input of one call, in US dollars, None if unknown.

    `cost_of_write` is the cost of a call that writes the part before the breakpoint to the cache, and `cost_of_read`
    that of a call that reads it. They are None if nothing is cached.
    """

    name: str
    version: int
    model: str
    parts: InputParts
    cost: float | None
    cost_of_write: float | None
    cost_of_read: float | None
    warnings: Sequence[str]

    @property
    def reference(self) -> str:
        """`NAME@VERSION`."""
        return f"{self.name}@{self.version}"


def show(versions: Sequence[CountedVersion], form: str) -> None:
    """Show one version, or two beside each other. A terminal leaves out rows without a value."""
    if form == "json":
        stream.write_json({"versions": [_document(version) for version in versions]})
        return
    if form == "quiet":
        answers.write_references([(version.name, version.version) for version in versions])
        return
    models: list[Value] = ["model", *(version.model for version in versions)]
    columns = [Column("", "name"), *(Column(version.reference, "number") for version in versions)]
    if len(versions) > 1:
        columns.append(Column("CHANGE", "number"))
        models.append(BLANK if stream.for_people() else None)
    rows: list[list[Value]] = [models]
    for name in _ROWS:
        values = [_value(version, name) for version in versions]
        if not stream.for_people():
            rows.append([name, *values, *_change(values)])
        elif name in _ALWAYS or any(values):
            cells = [_text(value, name) for value in values]
            changes = [_text(change, name, "+") for change in _change(values)]
            rows.append([_LABELS.get(name, name), *cells, *changes])
    tables.show(columns, rows)
    for version in versions:
        for warning in version.warnings:
            messages.warning(f"{version.reference}: {warning}")


def _value(version: CountedVersion, row: str) -> int | float | None:
    if row in _PARTS:
        return getattr(version.parts, row)
    if row == "input":
        return version.parts.total
    return version.parts.cacheable if row == "cacheable" else getattr(version, row)


def _change(values: Sequence[int | float | None]) -> list[int | float | None]:
    """Return the difference of two values, as a list of one; None if one of them is not known."""
    if len(values) < 2:
        return []
    old, new = values
    return [None if old is None or new is None else new - old]


def _text(value: float | None, row: str, sign: str = "") -> str:
    if value is None:
        return "n/a" if row == "cost" and not sign else NOTHING
    plus = sign if value > 0 else ""
    return plus + (table_layout.money(value) if row.startswith("cost") else f"{value:,}")


def _document(version: CountedVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "model": version.model,
        "input_tokens": version.parts.total,
        **{f"{part}_tokens": getattr(version.parts, part) for part in _PARTS},
        "cacheable_tokens": version.parts.cacheable,
        **{key.replace("cost", "cost_usd", 1): _rounded(getattr(version, key)) for key in _ROWS if "cost" in key},
        "warnings": list(version.warnings),
    }


def _rounded(dollars: float | None) -> float | None:
    return None if dollars is None else round(dollars, 6)
