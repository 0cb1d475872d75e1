"""What is sent of a use, as one row of plain values: it can wait in memory and in a file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from promptctl.client import replies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from promptctl.client.use import Use

# A kind; then of a use and of a fallback an id, a name, a moment of time.perf_counter and what the store takes, of a
# score the use's id and the score.
Row = list[Any]
USE, FALLBACK, SCORE = "use", "fallback", "score"
_LONGEST_TEXT = 200


def to_keep(rows: Iterable[Row]) -> list[Row]:
    """Return rows with their moments as seconds since 1970: the process's own clock ends with it."""
    offset = time.time() - time.perf_counter()
    return [row if row[0] == SCORE else [*row[:3], row[3] + offset, *row[4:]] for row in rows]


def kept(rows: Iterable[Row]) -> list[Row]:
    """Return rows that were kept, as this process has them; none is from the future, where the clock was set back."""
    offset, now = time.time() - time.perf_counter(), time.perf_counter()
    return [row if row[0] == SCORE else [*row[:3], min(now, row[3] - offset), *row[4:]] for row in rows]


def is_row(row: object) -> bool:
    """Whether something that was read from a file is a row: numbers where they have to be, an id in its usual form."""
    if not isinstance(row, list):
        return False
    values: list[Any] = row  # pyright: ignore[reportUnknownVariableType]
    kinds = _KINDS.get(values[0]) if values and isinstance(values[0], str) else None
    return (
        kinds is not None
        and len(values) == len(kinds) + 1
        and all(type(value) in kind for value, kind in zip(values[1:], kinds, strict=True))
        and len(values[1]) == len(_ID)
        and all(c in _HEXADECIMAL if digit == "0" else c == "-" for c, digit in zip(values[1], _ID, strict=True))
    )


_NONE = type(None)
_NUMBER, _COUNT, _TEXT = (int, float), (int, _NONE), (str, _NONE)
_MEASURE = (*_NUMBER, _NONE)
_KINDS: dict[str, tuple[tuple[type, ...], ...]] = {
    USE: (
        (str,), (str,), _NUMBER, (int,), (int,), _COUNT, _TEXT, _COUNT, _COUNT, _COUNT, _COUNT, _MEASURE, _MEASURE,
        (str,), _MEASURE, _TEXT,
    ),
    FALLBACK: ((str,), (str,), _NUMBER, _TEXT, _COUNT, _COUNT, _MEASURE, (str,)),
    SCORE: ((str,), _NUMBER),
}  # fmt: skip
_ID = "00000000-0000-0000-0000-000000000000"
_HEXADECIMAL = frozenset("0123456789abcdef")


def of_use(use: Use) -> Row:
    """Return what is sent of a use: its kind, id, prompt, moment (time.perf_counter), and then what the store takes."""
    version = use.prompt.source
    cached: tuple[int | None, int | None] = (None, None)
    tokens_in, tokens_out = use.input_tokens, use.output_tokens
    if use.usage is not None:
        replied_in, replied_out, *parts = replies.total((*use.earlier_usages, use.usage))
        tokens_in = replied_in if tokens_in is None else tokens_in
        tokens_out = replied_out if tokens_out is None else tokens_out
        if tokens_in is not None and sum(part or 0 for part in parts) <= tokens_in:
            cached = parts[0], parts[1]
    took = max(0.0, (use.ended - use.began) * 1000)
    if version.version is None:
        return [
            FALLBACK, use.id, version.name, use.ended, _text(use.model), tokens_in, tokens_out, took,
            _text(use.outcome) or "failed",
        ]  # fmt: skip
    first = use.first_token_at
    return [
        USE, use.id, version.name, use.ended, version.version, version.epoch, use.prompt.bucket, _text(use.model),
        tokens_in, tokens_out, *cached, took, None if first is None else max(0.0, (first - use.began) * 1000),
        _text(use.outcome) or "failed", use.score_given, _text(use.request_id),
    ]  # fmt: skip


def _text(value: Any) -> str | None:
    """A name that a reply or an exception gives, as the database can store it."""
    if value is None or value == "ok":
        return value
    if value.__class__ is str and value.isascii() and value.isprintable() and len(value) <= _LONGEST_TEXT:
        return value
    return str(value).replace("\0", "")[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
