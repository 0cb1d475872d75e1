"""Record uses, which are calls of a model, their scores, and calls with an application's own text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database


class UseRecord(Record):
    """One call of a model with a version. A field is None if the application did not report it.

    The parameters of the SQL and the lines of a spool have the order of these fields. `id` is a UUID that the caller
    makes, so that a use that is sent twice is stored once. `ended_at` is a time of time.perf_counter. `input_tokens` is
    all of the input, with the cached parts. `outcome` is "ok" or the name of an error. `trace_id` has 32 hexadecimal
    digits.
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
    trace_id: str | None


class FallbackRecord(Record):
    """One call of a model with an application's own text. The fields have the meaning of those of UseRecord."""

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
    """How many of the uses were stored now, how many had been stored before, and how many were too old."""

    stored: int
    repeated: int
    late: int


def record(database: Database, uses: Sequence[UseRecord], now: float) -> Recorded:
    """Record uses, all or none, in one round trip. `now` is the present time.perf_counter()."""
    return begin_recording(database, arrays(uses, now))()


def arrays(records: Sequence[UseRecord] | Sequence[FallbackRecord], now: float) -> list[str | None]:
    """Return one PostgreSQL array for each field of the records, with ages in milliseconds instead of `ended_at`.

    That of `trace_id` is None if no use has a trace: most applications are not traced, and the server has less to read.
    """
    return [
        _age_array(column, now)
        if field == "ended_at"
        else None
        if field == "trace_id" and column.count(None) == len(column)
        else _quoted_array(column)
        if kind.startswith("str")
        else _unquoted_array(column)
        for (field, kind), column in zip(_kinds(type(records[0])), zip(*records, strict=True), strict=True)
    ]


def begin_recording(database: Database, arrays: Sequence[str | None]) -> Callable[[], Recorded]:
    """Send uses, as `arrays` returns them, and return a function that waits for the result."""
    # $3, the age, comes after $5, the epoch, because record_uses has it there.
    wait = database.start(
        """
        select (b).recorded, (b).repeated, (b).late
        from promptctl.record_uses($1, $2, $4, $5, $3, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) b
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
    # Sorted by id: each use stays locked until all are stored, and two sessions with different orders would deadlock.
    # `sorted` keeps the order of the scores of one use: the last one counts.
    statements: list[tuple[LiteralString, Sequence[str | float]]] = [
        ("select promptctl.score_use($1, $2)", record) for record in sorted(scores, key=lambda record: record.id)
    ]
    database.run_all(*statements)


def _kinds(record: type[Record]) -> list[tuple[str, str]]:
    """Return the fields of a record with their types. The type of `id` is '', because an id needs no quotes."""
    return [(field, "" if field == "id" else kind) for field, kind in record.__annotations__.items()]


def _age_array(times: Sequence[float], now: float) -> str:
    return "{" + ",".join([str((now - time) * 1000) for time in times]) + "}"


def _unquoted_array(values: Sequence[Any]) -> str:
    """Return a PostgreSQL array of numbers or ids, which need no quotes."""
    null_count = values.count(None)
    if null_count == len(values):
        # Frequent: few applications report every field.
        return "{" + ",".join(["NULL"] * null_count) + "}"
    if not null_count:
        return "{" + ",".join(map(str, values)) + "}"
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _quoted_array(values: Sequence[str | None]) -> str:
    """Return a PostgreSQL array of texts. Most of them repeat, so each distinct text is quoted only once."""
    quoted = {value: "NULL" if value is None else _quoted(value) for value in set(values)}
    return "{" + ",".join([quoted[value] for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
