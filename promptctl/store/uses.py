"""Uses: recording calls of a model."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database


class Use(Record):
    """One call of a model with a version, as it is booked; None: not known.

    `use_id` is a UUID of the caller's, so that it counts once however often it is sent. `input_tokens` is all of the
    input, of which the cached ones are parts; times are in milliseconds; `outcome` is "ok" or the name of an error.
    """

    __slots__ = ()
    use_id: str
    name: str
    version: int
    epoch: int
    model: str | None
    unit: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    first_token_ms: float | None
    response_ms: float | None
    outcome: str
    request_id: str | None


def record(database: Database, uses: Sequence[Use]) -> None:
    """Book uses, all or none, in one round trip; one that is there already counts once."""
    statements: list[tuple[LiteralString, Sequence[str | float | None]]] = [
        (
            """
            select promptctl.record_use(
                name => $1, version => $2, epoch => $3, input_tokens => $4, output_tokens => $5, response_ms => $6,
                model => $7, unit => $8, outcome => $9, use_id => $10, cache_read_tokens => $11,
                cache_write_tokens => $12, first_token_ms => $13, request_id => $14)
            """,
            [
                use.name, use.version, use.epoch, use.input_tokens, use.output_tokens, use.response_ms, use.model,
                use.unit, use.outcome, use.use_id, use.cache_read_tokens, use.cache_write_tokens, use.first_token_ms,
                use.request_id,
            ],
        )
        for use in uses
    ]  # fmt: skip
    database.run_all(*statements)


class Booked(Record):
    """What became of uses that were sent: `late` are from before what the database keeps, and are not counted."""

    __slots__ = ()
    recorded: int
    repeated: int
    late: int


def prepared(rows: Sequence[Sequence[Any]], now: float) -> list[str]:
    """Return what `begin_many` sends of uses.

    Each is an id, name, moment in seconds on the clock of `now`, version, epoch, bucket, model, input, output, cache
    read and cache write tokens, response and first token in milliseconds, outcome, score and request id.
    """
    (
        ids, names, moments, versions, epochs, buckets, models, tokens_in, tokens_out, cache_reads, cache_writes,
        responses, first_tokens, outcomes, scores, request_ids,
    ) = zip(*rows, strict=True)  # fmt: skip
    return [
        _array(ids), _texts(names), _array(versions), _array(epochs),
        "{" + ",".join([str((now - moment) * 1000) for moment in moments]) + "}", _array(buckets), _texts(models),
        _array(tokens_in), _array(tokens_out), _array(cache_reads), _array(cache_writes), _array(responses),
        _array(first_tokens), _texts(outcomes), _array(scores), _texts(request_ids),
    ]  # fmt: skip


def begin_many(database: Database, prepared: Sequence[str]) -> Callable[[], Booked]:
    """Send many uses, to be booked all or none; the function returned waits for what became of them."""
    wait = database.start(
        """
        select (b).recorded, (b).repeated, (b).late
        from promptctl.record_uses($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) b
        """,
        *prepared,
    )

    def booked() -> Booked:
        return Booked(*wait()[0])

    return booked


def record_fallbacks(database: Database, rows: Sequence[Sequence[Any]], now: float) -> Booked:
    """Book calls with an application's own text: id, name, moment, model, input and output tokens, ms, outcome."""
    ids, names, moments, *others = _columns(rows)
    ages = [(now - moment) * 1000 for moment in moments]
    statement = "select * from promptctl.record_fallbacks($1, $2, $3, $4, $5, $6, $7, $8)"
    return Booked(*database.run(statement, ids, names, ages, *others)[0])


def score(database: Database, scores: Sequence[tuple[str, float]]) -> None:
    """Give uses, by their ids, their scores, all or none, in one round trip. Refused for a use that is not kept."""
    # In one order, because each is locked until all are there.
    ordered = sorted(scores, key=lambda score: score[0])
    statements: list[tuple[LiteralString, Sequence[str | float]]] = [
        ("select promptctl.score_use($1, $2)", [use_id, score]) for use_id, score in ordered
    ]
    database.run_all(*statements)


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _array(values: Sequence[object]) -> str:
    """An array of numbers or ids, as PostgreSQL reads it: nothing in them needs quotes."""
    absent = values.count(None)
    if absent == len(values):
        # What nobody reports is most of what could be.
        return "{" + ",".join(["NULL"] * absent) + "}"
    if not absent:
        return "{" + ",".join(map(str, values)) + "}"
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _texts(values: Sequence[str | None]) -> str:
    """An array of texts. Most are the same few, which are quoted once."""
    quoted = {value: "NULL" if value is None else _quoted(value) for value in set(values)}
    return "{" + ",".join([quoted[value] for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
