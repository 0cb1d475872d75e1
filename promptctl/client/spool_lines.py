"""The lines of a spool's files: a JSON array with a record's kind and its fields, with times as seconds since 1970."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from promptctl.rules import json_documents
from promptctl.store.uses import FallbackRecord, ScoreRecord, UseRecord

if TYPE_CHECKING:
    from promptctl.client.use_records import QueuedRecord

_CLASSES: dict[str, type[QueuedRecord]] = {"use": UseRecord, "fallback": FallbackRecord, "score": ScoreRecord}
_KINDS = {record: kind for kind, record in _CLASSES.items()}
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "None": (type(None),)}
# The JSON types of each class's fields, from their annotations.
_FIELD_TYPES = {
    record: [sum((_TYPES[name] for name in kind.split(" | ")), ()) for kind in record.__annotations__.values()]
    for record in _KINDS
}
_ID = "00000000-0000-0000-0000-000000000000"
_HEXADECIMAL = frozenset("0123456789abcdef")
# The place of `ended_at` among a record's fields.
_ENDED_AT = UseRecord.fields.index("ended_at")


def encode(record: QueuedRecord) -> bytes:
    """Return a record as a line."""
    # time.perf_counter has another origin in each process.
    row = [_KINDS[type(record)], *record]
    if not isinstance(record, ScoreRecord):
        row[_ENDED_AT + 1] = record.ended_at + time.time() - time.perf_counter()
    return json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> QueuedRecord | None:
    """Return the record of a line; None: the line is damaged or is not a record."""
    try:
        row: Any = json_documents.parse(line)
    except json_documents.InvalidDocument:
        return None
    if not isinstance(row, list) or not row or not isinstance(row[0], str) or row[0] not in _CLASSES:
        return None
    values: list[Any] = row[1:]  # pyright: ignore[reportUnknownVariableType]
    record = _CLASSES[row[0]]
    if not _is_valid(record, values):
        return None
    if record is not ScoreRecord:
        # A clock that was set back must not put a use into the future.
        now = time.perf_counter()
        values[_ENDED_AT] = min(now, values[_ENDED_AT] - time.time() + now)
    return record(*values)


def _is_valid(record: type[QueuedRecord], values: list[Any]) -> bool:
    """Check the number and the types of the fields, and that the id has the usual form."""
    types = _FIELD_TYPES[record]
    return (
        len(values) == len(types)
        and all(type(value) in allowed for value, allowed in zip(values, types, strict=True))
        and len(values[0]) == len(_ID)
        and all(c in _HEXADECIMAL if digit == "0" else c == "-" for c, digit in zip(values[0], _ID, strict=True))
    )
