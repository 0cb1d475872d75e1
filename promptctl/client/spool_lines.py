"""The lines of a spool's files. Each is a JSON array with a record's kind and its fields.

Another process may read the line, so the end of a use is written in seconds since 1970. In memory it is a value of
time.perf_counter, which has another origin in each process.

The line of a use ends with its trace. Without a trace it ends before it, as in clients of schema version 10 and older.
So each reads the lines of the other.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from promptctl.rules import json_documents
from promptctl.store.uses import FallbackRecord, ScoreRecord, UseRecord

if TYPE_CHECKING:
    from promptctl.client.use_records import QueuedRecord

_CLASSES: dict[str, type[QueuedRecord]] = {"use": UseRecord, "fallback": FallbackRecord, "score": ScoreRecord}
_KINDS = {record_class: kind for kind, record_class in _CLASSES.items()}
_NONE = type(None)
# The types that a decoded JSON value may have, by the annotation of its field.
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "str | None": (str, _NONE), "int": (int,), "int | None": (int, _NONE), "float": (int, float),
    "float | None": (int, float, _NONE),
}  # fmt: skip
_FIELD_TYPES = {cls: [_TYPES[annotation] for annotation in cls.__annotations__.values()] for cls in _KINDS}
# The forms of an id and of a trace: each 0 is any hexadecimal digit.
_ID_FORM = "00000000-0000-0000-0000-000000000000"
_TRACE_FORM = _ID_FORM.replace("-", "")
_HEXADECIMAL = frozenset("0123456789abcdef")
# The position of `ended_at` among the fields of a use, and of a fallback as well.
_ENDED_AT = UseRecord.fields.index("ended_at")


def encode(record: QueuedRecord) -> bytes:
    """Return the line of a record."""
    row = [_KINDS[type(record)], *record]
    if isinstance(record, UseRecord) and record.trace_id is None:
        row.pop()
    if not isinstance(record, ScoreRecord):
        # One place further, after the kind.
        row[_ENDED_AT + 1] = record.ended_at + time.time() - time.perf_counter()
    return json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> QueuedRecord | None:
    """Return the record of a line, or None if the line is damaged or is not a record."""
    try:
        row: Any = json_documents.parse(line)
    except json_documents.InvalidDocument:
        return None
    if not isinstance(row, list) or not row or not isinstance(row[0], str) or row[0] not in _CLASSES:
        return None
    values: list[Any] = row[1:]  # pyright: ignore[reportUnknownVariableType]
    record_class = _CLASSES[row[0]]
    if record_class is UseRecord and len(values) == len(UseRecord.fields) - 1:
        values.append(None)
    if not _is_valid(record_class, values):
        return None
    if record_class is not ScoreRecord:
        now = time.perf_counter()
        # At most `now`: after the clock was set back, the use would end in the future.
        values[_ENDED_AT] = min(now, values[_ENDED_AT] - time.time() + now)
    return record_class(*values)


def _is_valid(record_class: type[QueuedRecord], values: list[Any]) -> bool:
    """Return whether the fields have the right number and types, and an id and a trace have their form."""
    types = _FIELD_TYPES[record_class]
    if len(values) != len(types) or not all(
        type(value) in allowed for value, allowed in zip(values, types, strict=True)
    ):
        return False
    if record_class is UseRecord and values[-1] is not None and _form(values[-1]) != _TRACE_FORM:
        return False
    return _form(values[0]) == _ID_FORM


def _form(text: str) -> str:
    return "".join("0" if character in _HEXADECIMAL else character for character in text)
