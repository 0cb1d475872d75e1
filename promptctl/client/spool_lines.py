"""The lines of a spool's files. Each is a JSON array with a record's kind and its fields.

Another process may read the line, so the end of a use is written in seconds since 1970. In memory it is a value of
time.perf_counter, which has another origin in each process.

The trace of a use is a line of its own before that of the use: clients of schema version 10 and older skip it, and take
the use. Both lines are written as one, so that no limit and no full disk separates them.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from promptctl.records import Record
from promptctl.rules import json_documents
from promptctl.store.uses import FallbackRecord, ScoreRecord, UseRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from promptctl.client.use_records import QueuedRecord


class Trace(Record):
    """The trace of the use in the next line."""

    use_id: str
    trace_id: str


_CLASSES: dict[str, type[QueuedRecord | Trace]] = {
    "use": UseRecord,
    "fallback": FallbackRecord,
    "score": ScoreRecord,
    "trace": Trace,
}
_KINDS = {record_class: kind for kind, record_class in _CLASSES.items()}
_NONE = type(None)
# The types that a decoded JSON value may have, by the annotation of its field.
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "str | None": (str, _NONE), "int": (int,), "int | None": (int, _NONE), "float": (int, float),
    "float | None": (int, float, _NONE),
}  # fmt: skip
_FIELD_TYPES = {cls: [_TYPES[annotation] for annotation in cls.__annotations__.values()] for cls in _KINDS}
# The trace is the last field of a use, and not in its line.
_FIELD_TYPES[UseRecord].pop()
# The forms of an id and of a trace: each 0 is any hexadecimal digit.
_ID_FORM = "00000000-0000-0000-0000-000000000000"
_TRACE_FORM = _ID_FORM.replace("-", "")
_HEXADECIMAL = frozenset("0123456789abcdef")
# The position of `ended_at` among the fields of a use, and of a fallback as well.
_ENDED_AT = UseRecord.fields.index("ended_at")


def encode(record: QueuedRecord) -> bytes:
    """Return the line of a record, after the line of its trace if it has one."""
    row = [_KINDS[type(record)], *record]
    trace = b""
    if isinstance(record, UseRecord):
        row.pop()
        if record.trace_id is not None:
            trace = _line(["trace", record.id, record.trace_id])
    if not isinstance(record, ScoreRecord):
        # One place further, after the kind.
        row[_ENDED_AT + 1] = record.ended_at + time.time() - time.perf_counter()
    return trace + _line(row)


def _line(row: list[Any]) -> bytes:
    return json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def decode(lines: Iterable[bytes]) -> Iterator[QueuedRecord | None]:
    """Yield the record of each line, with its trace. Yield None for a line that is damaged or is not a record."""
    trace: Trace | None = None
    for line in lines:
        record = _decoded(line)
        if isinstance(record, Trace):
            trace = record
            continue
        if isinstance(record, UseRecord) and trace is not None and trace.use_id == record.id:
            values: list[Any] = [*record[:-1], trace.trace_id]
            record = UseRecord(*values)
        trace = None
        yield record


def _decoded(line: bytes) -> QueuedRecord | Trace | None:
    try:
        row: Any = json_documents.parse(line)
    except json_documents.InvalidDocument:
        return None
    if not isinstance(row, list) or not row or not isinstance(row[0], str) or row[0] not in _CLASSES:
        return None
    values: list[Any] = row[1:]  # pyright: ignore[reportUnknownVariableType]
    record_class = _CLASSES[row[0]]
    if not _is_valid(record_class, values):
        return None
    if record_class is UseRecord:
        values.append(None)
    if record_class is UseRecord or record_class is FallbackRecord:
        now = time.perf_counter()
        # At most `now`: after the clock was set back, the use would end in the future.
        values[_ENDED_AT] = min(now, values[_ENDED_AT] - time.time() + now)
    return record_class(*values)


def _is_valid(record_class: type[QueuedRecord | Trace], values: list[Any]) -> bool:
    """Return whether the fields have the right number and types, and an id and a trace have their form."""
    types = _FIELD_TYPES[record_class]
    return (
        len(values) == len(types)
        and all(type(value) in allowed for value, allowed in zip(values, types, strict=True))
        and _form(values[0]) == _ID_FORM
        and (record_class is not Trace or _form(values[1]) == _TRACE_FORM)
    )


def _form(text: str) -> str:
    return "".join("0" if character in _HEXADECIMAL else character for character in text)
