"""Uses: record calls of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database


class UseRecord(Record):
    """One call of a model with a version; None: not reported.

    This is the one list of the columns of a use: SQL's parameters and the lines of a spool follow its order. `id` is a
    UUID that the caller makes, so that a use that is sent twice is stored once. `ended_at` is a time of
    time.perf_counter. `input_tokens` is all of the input, which includes the cached parts. `outcome` is "ok" or the
    name of an error.
    """

    id: str
    name: str
    ended_at: float
    version: int
    epoch: int
    bucket: int | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    response_ms: float | None
    first_token_ms: float | None
    outcome: str
    score: float | None
    request_id: str | None


class FallbackRecord(Record):
    """One call of a model with an application's own text; the fields are those of UseRecord."""

    id: str
    name: str
    ended_at: float
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    response_ms: float | None
    outcome: str


class ScoreRecord(Record):
    """A score for a use that was recorded earlier."""

    id: str
    score: float


class Recorded(Record):
    """The numbers of sent uses that were stored, that had been stored before, and that were too old to be stored."""

    stored: int
    repeated: int
    late: int


def record(database: Database, uses: Sequence[UseRecord], now: float) -> Recorded:
    """Record uses, all or none, in one round trip. `now` is the present time of the clock of `ended_at`."""
    return begin_recording(database, arrays(uses, now))()


def arrays(records: Sequence[UseRecord] | Sequence[FallbackRecord], now: float) -> list[str]:
    """Return one PostgreSQL array for each field of the records, with ages in milliseconds instead of `ended_at`."""
    return [
        _ages(column, now) if field == "ended_at" else _texts(column) if kind.startswith("str") else _array(column)
        for (field, kind), column in zip(_kinds(type(records[0])), zip(*records, strict=True), strict=True)
    ]


def begin_recording(database: Database, arrays: Sequence[str]) -> Callable[[], Recorded]:
    """Send uses, as `arrays` returns them, and return a function that waits for the result."""
    # $3, the age, comes after $5, the epoch, because record_uses has it there.
    wait = database.start(
        """
        select (b).recorded, (b).repeated, (b).late
        from promptctl.record_uses($1, $2, $4, $5, $3, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) b
        """,
        *arrays,
    )
    return lambda: Recorded(*wait()[0])


def record_fallbacks(database: Database, fallbacks: Sequence[FallbackRecord], now: float) -> Recorded:
    """Record calls that used an application's own text; like `record`."""
    statement = "select * from promptctl.record_fallbacks($1, $2, $3, $4, $5, $6, $7, $8)"
    return Recorded(*database.run(statement, *arrays(fallbacks, now))[0])


def score(database: Database, scores: Sequence[ScoreRecord]) -> None:
    """Store scores of uses, all or none, in one round trip. Raises errors.PromptctlError for an unknown use."""
    # Sorted by id, because each use stays locked until all are stored. `sorted` keeps the order of a use's scores, of
    # which the last counts.
    statements: list[tuple[LiteralString, Sequence[str | float]]] = [
        ("select promptctl.score_use($1, $2)", score) for score in sorted(scores, key=lambda score: score.id)
    ]
    database.run_all(*statements)


def _kinds(record: type[Record]) -> list[tuple[str, str]]:
    """Return the fields of a record with their types. The type of `id` is empty, so that it is not quoted."""
    return [(field, "" if field == "id" else kind) for field, kind in record.__annotations__.items()]


def _ages(times: Sequence[float], now: float) -> str:
    return "{" + ",".join([str((now - time) * 1000) for time in times]) + "}"


def _array(values: Sequence[Any]) -> str:
    """Return a PostgreSQL array of numbers or ids, which need no quotes."""
    unset = values.count(None)
    if unset == len(values):
        # Frequent: few applications report every field.
        return "{" + ",".join(["NULL"] * unset) + "}"
    if not unset:
        return "{" + ",".join(map(str, values)) + "}"
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _texts(values: Sequence[str | None]) -> str:
    """Return a PostgreSQL array of texts. Most of them repeat, so each distinct text is quoted only once."""
    quoted = {value: "NULL" if value is None else _quoted(value) for value in set(values)}
    return "{" + ",".join([quoted[value] for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
