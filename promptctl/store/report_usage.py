"""Sums and histograms of uses for a report: by prompt, version, model and cell, which is a whole hour or day.

The sums of a cell are the total of that hour or day, plus the uses and scores above the watermark, which are not in
totals yet. `store.usage` explains the watermark. A report has no parts of hours, so it needs no other single uses.

A report over ten million uses reads thousands of rows. So the rows of a prompt arrive as one JSON text,
which is parsed in a fraction of the time that single columns take.
"""

from __future__ import annotations

import json

from promptctl.records import Record
from promptctl.rules import report_periods
from promptctl.rules.usage_series import CellHistogram, CellSums

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, LiteralString

    from promptctl.postgres.connection import Row
    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp

    Statement = tuple[LiteralString, Sequence[Any]]


# One snapshot, and enough memory to group a million uses that are not rolled up in a hash table.
BEGIN: Sequence[Statement] = (
    ("begin isolation level repeatable read, read only", []),
    ("set local work_mem = '64MB'", []),
)
COMMIT: Statement = ("commit", [])


class Selection(Record):
    """What to read: the prompts (None: all), the first cell, the end, and the length of a cell in seconds."""

    names: Sequence[str] | None
    begin: int
    end: int
    cell: int


class CellUsage(Record):
    """The sums and the histograms of the cells of a selection."""

    sums: list[CellSums]
    histograms: list[CellHistogram]


class Clock(Record):
    """The time of the server, and the watermark."""

    now: Timestamp
    rolled_below: int


def clock() -> Statement:
    """Return the statement for a row of Clock."""
    return (
        "select now(), coalesce((select r.rolled_below from promptctl.roll_up r), 0)",
        [],
    )


def read_clock(database: Database) -> Clock:
    """Return the time of the server and the watermark."""
    sql, parameters = clock()
    return Clock(*database.run(sql, *parameters)[0])


def statements(selection: Selection, rolled_below: int) -> list[Statement]:
    """Return two statements, for the sums and the histograms of a selection. `parse` makes records of their rows."""
    parameters = [
        None if selection.names is None else list(selection.names),
        report_periods.timestamp(selection.begin),
        report_periods.timestamp(selection.end),
        "hour" if selection.cell == report_periods.HOUR else "day",
        selection.cell,
        rolled_below,
    ]
    return [(_SUMS, parameters), (_HISTOGRAMS, parameters)]


def fallbacks(selection: Selection) -> Statement:
    """Return the statement for the calls with an application's own text: the name of each prompt and their number."""
    return (
        """
        select f.name, count(*) from promptctl.fallbacks f
        where f.recorded_at >= $2::timestamptz and f.recorded_at < $3::timestamptz
          and ($1::text[] is null or f.name = any ($1))
        group by f.name
        """,
        [
            None if selection.names is None else list(selection.names),
            report_periods.timestamp(selection.begin),
            report_periods.timestamp(selection.end),
        ],
    )


def parse(sums: Sequence[Row], histograms: Sequence[Row]) -> CellUsage:
    """Return the records of the rows of both statements."""
    return CellUsage(
        [CellSums(name, *cell) for name, text in sums for cell in json.loads(text)],
        [CellHistogram(name, *cell) for name, text in histograms for cell in json.loads(text)],
    )


# $1 names, $2 begin, $3 end, $4 the grain, $5 the length of a cell, $6 the watermark.
_PLACE: LiteralString = "floor(extract(epoch from c.starts_at - $2::timestamptz) / $5)::integer"
_SUMS = f"""
    select p.name, json_agg(p.cell)::text
    from (
        select c.name, json_build_array(
            c.version, {_PLACE}, c.model, c.size, sum(c.uses), sum(c.uses) filter (where not c.is_ok),
            coalesce(sum(c.with_input) filter (where c.is_ok), 0),
            coalesce(sum(c.input_tokens) filter (where c.is_ok), 0),
            coalesce(sum(c.with_output) filter (where c.is_ok), 0),
            coalesce(sum(c.output_tokens) filter (where c.is_ok), 0),
            sum(c.with_tokens), coalesce(sum(c.input_tokens), 0), coalesce(sum(c.output_tokens), 0),
            sum(c.cache_read_tokens), sum(c.cache_write_tokens), sum(c.with_score), coalesce(sum(c.score), 0)
        ) as cell
        from (
            select t.name, t.version, t.starts_at, t.model, t.is_ok, t.size, t.uses, t.with_input, t.input_tokens,
                   t.with_output, t.output_tokens, t.with_tokens, t.cache_read_tokens, t.cache_write_tokens,
                   t.with_score, t.score
            from promptctl.totals t
            where t.grain = $4 and t.starts_at >= $2 and t.starts_at < $3 and ($1::text[] is null or t.name = any ($1))
            union all
            select u.name, u.version, date_trunc($4, u.recorded_at, 'UTC'), u.model, u.outcome = 'ok',
                   case when u.input_tokens > 200000 then 2 when u.input_tokens > 100000 then 1 else 0 end, count(*),
                   count(u.input_tokens), sum(u.input_tokens::float8), count(u.output_tokens),
                   sum(u.output_tokens::float8), count(coalesce(u.input_tokens, u.output_tokens)),
                   sum(u.cache_read_tokens::float8), sum(u.cache_write_tokens::float8), count(u.score), sum(u.score)
            from promptctl.uses u
            where u.recorded_in >= $6 and u.recorded_at >= $2 and u.recorded_at < $3
              and ($1::text[] is null or u.name = any ($1))
            group by 1, 2, 3, 4, 5, 6
            union all
            select s.name, s.version, date_trunc($4, s.used_at, 'UTC'), null, true, 0, 0, 0, null, 0, null, 0, null,
                   null, count(*) filter (where s.previous is null), sum(s.score - coalesce(s.previous, 0))
            from promptctl.scores s
            where s.recorded_in >= $6 and s.used_at >= $2 and s.used_at < $3
              and ($1::text[] is null or s.name = any ($1))
            group by 1, 2, 3
        ) c
        group by c.name, c.version, c.starts_at, c.model, c.size
        order by c.name, c.version, c.starts_at, c.model, c.size
    ) p
    group by p.name order by p.name
"""  # noqa: S608 - of constants
# The time and the bucket are calculated as in `store.usage`.
_HISTOGRAMS = f"""
    select c.name, json_agg(
        json_build_array(c.version, {_PLACE}, c.buckets, c.counts, c.fastest, c.slowest)
        order by c.version, c.starts_at, c.fastest, c.slowest)::text
    from (
        select t.name, t.version, t.starts_at, (t.response_times).buckets, (t.response_times).counts,
               t.fastest_ms, t.slowest_ms
        from promptctl.totals t
        where t.grain = $4 and t.starts_at >= $2 and t.starts_at < $3 and ($1::text[] is null or t.name = any ($1))
          and t.is_ok and t.response_times is not null
        union all
        select b.name, b.version, b.starts_at, array_agg(b.bucket order by b.bucket),
               array_agg(b.number order by b.bucket), min(b.fastest), max(b.slowest)
        from (
            select u.name, u.version, u.starts_at, u.bucket, count(*), min(u.response_ms), max(u.response_ms)
            from (
                select u.name, u.version, date_trunc($4, u.recorded_at, 'UTC') as starts_at, u.response_ms,
                       case when u.response_ms > 0.0009765625
                            then floor(ln(u.response_ms) * 46.16624130844683)::smallint else -320 end as bucket
                from promptctl.uses u
                where u.recorded_in >= $6 and u.recorded_at >= $2 and u.recorded_at < $3
                  and ($1::text[] is null or u.name = any ($1)) and u.outcome = 'ok' and u.response_ms is not null
                offset 0
            ) u
            group by 1, 2, 3, 4
        ) b (name, version, starts_at, bucket, number, fastest, slowest)
        group by 1, 2, 3
    ) c (name, version, starts_at, buckets, counts, fastest, slowest)
    group by c.name order by c.name
"""  # noqa: S608 - of constants
