"""What the recorded uses add up to: sums and percentiles by version, day, hour or model."""

from __future__ import annotations

from promptctl.statistics import Day, Listed, Measured, Percentiles, Sums
from promptctl.store import prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from promptctl.database import Database
    from promptctl.records import Timestamp


def measure(
    database: Database, name: str | None, since: Timestamp | None, by: Collection[str], *, trend: bool
) -> Measured:
    """Read the uses of a prompt or, without a name, of all, from a moment on, grouped by version, day, hour, model.

    `trend` asks for the uses of the last 14 days too. One round trip. Raises NotFound.

    A size is grouped by as truths: of a number that is reckoned from a column PostgreSQL expects as many groups as the
    column has values, and sorts a million rows instead of counting them in place.
    """
    keys = [name, since, "version" in by, "day" in by, "hour" in by, "model" in by]
    versions, sums, percentiles, days = database.run_all(
        (
            """
            select v.name, v.version, coalesce(v.version = s.active_version, false)
            from promptctl.versions v
            join promptctl.served s on s.name = v.name
            where ($1::text is null or v.name = $1) and not v.is_retired
            order by v.name, v.version desc
            """,
            [name],
        ),
        (
            """
            select u.name, case when $3 then u.version end,
                   case when $4 then (u.recorded_at at time zone 'UTC')::date end,
                   case when $5 then date_trunc('hour', u.recorded_at, 'UTC') end,
                   u.model, u.outcome = 'ok', coalesce(u.input_tokens > 100000, false)::integer
                                              + coalesce(u.input_tokens > 200000, false)::integer,
                   count(*)::integer, count(coalesce(u.input_tokens, u.output_tokens))::integer,
                   count(u.input_tokens + u.output_tokens)::integer, sum((u.input_tokens + u.output_tokens)::float8),
                   count(u.input_tokens)::integer, sum(u.input_tokens::float8),
                   count(u.output_tokens)::integer, sum(u.output_tokens::float8),
                   sum(u.cache_read_tokens::float8), sum(u.cache_write_tokens::float8),
                   count(u.response_ms)::integer, sum(u.response_ms),
                   count(u.first_token_ms)::integer, sum(u.first_token_ms), max(u.recorded_at)
            from promptctl.uses u
            where ($1::text is null or u.name = $1) and ($2::timestamptz is null or u.recorded_at >= $2) and $6 = $6
            group by 1, 2, 3, 4, 5, 6, coalesce(u.input_tokens > 100000, false),
                     coalesce(u.input_tokens > 200000, false)
            """,
            keys,
        ),
        (
            """
            select p.name, p.version, p.day, p.hour, p.model, p.ms[1], p.ms[2], p.ms[3]
            from (
                select u.name, case when $3 then u.version end,
                       case when $4 then (u.recorded_at at time zone 'UTC')::date end,
                       case when $5 then date_trunc('hour', u.recorded_at, 'UTC') end,
                       case when $6 then u.model end,
                       percentile_cont(array[0.5, 0.95, 0.99]) within group (order by u.response_ms)
                from promptctl.uses u
                where ($1::text is null or u.name = $1) and ($2::timestamptz is null or u.recorded_at >= $2)
                  and u.outcome = 'ok' and u.response_ms is not null
                group by 1, 2, 3, 4, 5
            ) p (name, version, day, hour, model, ms)
            """,
            keys,
        ),
        (
            """
            select u.name, u.version, t.today - (u.recorded_at at time zone 'UTC')::date, count(*)::integer
            from promptctl.uses u
            cross join (select (now() at time zone 'UTC')::date) t (today)
            where $3 and ($1::text is null or u.name = $1)
              and u.recorded_at >= greatest((t.today - 13)::timestamp at time zone 'UTC', $2::timestamptz)
            group by 1, 2, 3
            """,
            [name, since, trend],
        ),
    )
    if not versions and name is not None:
        prompts.raise_if_unknown(database, name)
    return Measured(
        [Listed(*row) for row in versions],
        [Sums(*row) for row in sums],
        [Percentiles(*row) for row in percentiles],
        [Day(*row) for row in days],
    )
