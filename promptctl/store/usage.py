"""Statistics of uses by version, day, hour or model, from totals and from the uses that are not in totals.

A total is a sum of uses for a grain: an hour, a day or all time. Statistics that begin at a time add the totals of
whole days, the totals of the hours before the first whole day, and the single uses before the first whole hour. All
statistics add the single uses above the watermark, which are not in totals yet.

`recorded_in` is the number of the transaction that recorded a use or a score. The watermark is such a number: uses and
scores with a smaller one are in totals.

Each `_function` returns a statement with its parameters. `times` are three times: that of the first use (None: of all
time), the first whole hour, and the first whole day.
"""

from __future__ import annotations

from promptctl.rules.measurements import DailyUses, Histogram, LateScores, ListedVersion, Measurements, UseSums
from promptctl.store import prompt_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp

    Statement = tuple[LiteralString, Sequence[Any]]


def read_measurements(
    database: Database,
    name: str | None,
    since: Timestamp | None,
    by: Collection[str],
    *,
    trend: bool,
    price_days: Sequence[str] = (),
) -> Measurements:
    """Return the statistics of a prompt or, without a name, of all prompts, in one snapshot. Raises NotFound.

    `since` is RFC 3339, or `-2h` for two hours ago by the server's clock. If single uses of its first hour were
    dropped, all of that hour counts. `by` is a subset of version, day, hour, model. `trend` also reads the uses of each
    of the last 14 days. `price_days` (2026-03-13, UTC) separates the sums of a group at the days on which prices
    change.

    A first round trip reads the watermark. The other statements get it as a constant, so that the planner can estimate
    how many uses are above it: there may be none, or all uses may be. A second round trip reads the rest and the
    watermark again. It is repeated if the watermark has moved.
    """
    [bounds] = database.run_all(_bounds(name, since))
    while True:
        (rolled_below, versions, *times), (_, _, *trend_times) = bounds
        # The first answer has turned an age into a time, so that the next answers use the same time.
        since = times[0]
        selection = (name, versions, rolled_below, times, by)
        _, _, bounds_now, listed, totals, total_histograms, uses, use_histograms, scores, days, fallbacks, _ = (
            database.run_all(
                ("begin isolation level repeatable read, read only", []),
                # Enough to group a million uses by hour in a hash table instead of sorting them on disk.
                ("set local work_mem = '64MB'", []),
                _bounds(name, since),
                _listed(name),
                _totals(name, times, by, price_days),
                _histograms_of_totals(name, times, by),
                _uses(*selection, price_days),
                _histograms_of_uses(*selection),
                _scores(*selection),
                _days(name, versions, rolled_below, trend_times, is_requested=trend),
                _fallbacks(name, since),
                ("commit", []),
            )
        )
        if bounds_now == bounds:
            break
        bounds = bounds_now
    if not listed and name is not None:
        prompt_states.require_prompt(database, name)
    return Measurements(
        [ListedVersion(*row) for row in listed],
        [UseSums(*row) for row in [*totals, *uses]],
        [Histogram(*row[:5], *map(_numbers, row[5:])) for row in [*total_histograms, *use_histograms]],
        [LateScores(*row) for row in scores],
        [DailyUses(*row) for row in days],
        dict(fallbacks),
    )


def _bounds(name: str | None, since: Timestamp | None) -> Statement:
    """Return the statement for two rows, for the statistics and for the trend.

    Each has the watermark, the versions of the prompt as an array in text, and the three times. If single uses of the
    first hour were dropped, the first time is the beginning of that hour, so that its total is added. The other two
    times are the first one rounded up: `date_trunc` rounds down, so it gets the microsecond before, and one unit is
    added.
    """
    return (
        """
        select coalesce(r.rolled_below, 0), case when $1::text is not null then
                   array(select v.version from promptctl.versions v where v.name = $1 order by v.version)::text end,
               m.moment, date_trunc('hour', m.moment - interval '1 us', 'UTC') + interval '1 hour',
               date_trunc('day', m.moment - interval '1 us', 'UTC') + interval '1 day'
        from (select) one_row
        left join promptctl.roll_up r on true -- without a row before the first roll-up
        cross join lateral (
            select case when date_trunc('hour', q.requested, 'UTC') < r.dropped_before
                        then date_trunc('hour', q.requested, 'UTC') else q.requested end
            from (select case when t.time like '-%' then now() + t.time::interval else t.time::timestamptz end
                  from (select $2::text) t (time)) q (requested)
        ) s (since)
        cross join lateral (
            values (1, s.since), (2, greatest(s.since, date_trunc('day', now(), 'UTC') - interval '13 days'))
        ) m (place, moment)
        order by m.place
        """,
        [name, since],
    )


def _listed(name: str | None) -> Statement:
    return (
        f"""
        select v.name, v.version, coalesce(v.version = s.active_version, false),
               coalesce(v.version = s.candidate_version, false),
               case v.version when s.active_version then 10000 - s.basis_points
                              when s.candidate_version then s.basis_points else 0 end,
               coalesce(jsonb_array_length(s.route), 0),
               {prompt_states.SOURCE_VERSION}
        from promptctl.versions v
        join promptctl.served s on s.name = v.name
        left join promptctl.applied p on p.name = s.name
        where ($1::text is null or v.name = $1) and not v.is_retired
        order by v.name, v.version desc
        """,  # noqa: S608 - of constants
        [name],
    )


def _grain_and_times(
    times: Sequence[Timestamp | None], by: Collection[str], price_days: Sequence[str] = ()
) -> list[str | None]:
    """Return the coarsest grain whose totals can be added up for these groups, and two times.

    Totals of that grain are added from the first time on (None: of all time). Before it, totals of hours are added from
    the second time on (None: no totals of hours are added).
    """
    since, hours_from, days_from = times
    if "hour" in by:
        return ["hour", hours_from, None]
    is_all_time = since is None and "day" not in by and not price_days
    return ["all" if is_all_time else "day", days_from, hours_from]


def _totals(
    name: str | None, times: Sequence[Timestamp | None], by: Collection[str], price_days: Sequence[str]
) -> Statement:
    return (
        """
        select t.name, case when $5 then t.version end, case when $6 then (t.starts_at at time zone 'UTC')::date end,
               case when $7 then t.starts_at end, t.model, t.is_ok, t.size,
               sum(t.uses)::bigint, sum(t.without_unit)::bigint, sum(t.with_tokens)::bigint, sum(t.with_both)::bigint,
               sum(t.tokens), sum(t.with_input)::bigint, sum(t.input_tokens), sum(t.with_output)::bigint,
               sum(t.output_tokens), sum(t.cache_read_tokens), sum(t.cache_write_tokens), sum(t.with_response)::bigint,
               sum(t.response_ms), min(t.fastest_ms), max(t.slowest_ms), sum(t.with_first_token)::bigint,
               sum(t.first_token_ms), sum(t.with_score)::bigint, sum(t.score), max(t.last_used_at)
        from promptctl.totals t
        where ($1::text is null or t.name = $1)
          and ((t.grain = $2 and ($3::timestamptz is null or t.starts_at >= $3))
               or (t.grain = 'hour' and t.starts_at >= $4 and t.starts_at < $3))
        group by 1, 2, 3, 4, 5, 6, 7, case when $8::timestamptz[] <> '{}' then width_bucket(t.starts_at, $8) end
        """,
        [name, *_grain_and_times(times, by, price_days), *_groups(by), _midnights(price_days)],
    )


def _histograms_of_totals(name: str | None, times: Sequence[Timestamp | None], by: Collection[str]) -> Statement:
    return (
        """
        select b.name, b.version, b.day, b.hour, b.model, array_agg(b.bucket order by b.bucket)::text,
               array_agg(b.number order by b.bucket)::text
        from (
            select t.name, case when $5 then t.version end,
                   case when $6 then (t.starts_at at time zone 'UTC')::date end, case when $7 then t.starts_at end,
                   case when $8 then t.model end, h.bucket, sum(h.number)::bigint
            from promptctl.totals t
            cross join lateral unnest((t.response_times).buckets, (t.response_times).counts) h (bucket, number)
            where ($1::text is null or t.name = $1) and t.is_ok
              and ((t.grain = $2 and ($3::timestamptz is null or t.starts_at >= $3))
                   or (t.grain = 'hour' and t.starts_at >= $4 and t.starts_at < $3))
            group by 1, 2, 3, 4, 5, 6
        ) b (name, version, day, hour, model, bucket, number)
        group by 1, 2, 3, 4, 5
        """,
        [name, *_grain_and_times(times, by), *_groups(by), "model" in by],
    )


def _uses(
    name: str | None,
    versions: str | None,
    rolled_below: int,
    times: Sequence[Timestamp | None],
    by: Collection[str],
    price_days: Sequence[str],
) -> Statement:
    """Return the statement for the uses above the watermark and the uses before the first whole hour.

    The 7th column is the price tier, the sum of two comparisons. The statement groups by the comparisons instead: for a
    number that is calculated from a column, PostgreSQL expects as many groups as the column has values, and would sort
    a million rows instead of using a hash table.
    """
    return (
        """
        select u.name, case when $6 then u.version end, case when $7 then (u.recorded_at at time zone 'UTC')::date end,
               case when $8 then date_trunc('hour', u.recorded_at, 'UTC') end, u.model, u.outcome = 'ok',
               coalesce(u.input_tokens > 100000, false)::integer + coalesce(u.input_tokens > 200000, false)::integer,
               count(*), count(*) - count(u.bucket), count(coalesce(u.input_tokens, u.output_tokens)),
               count(u.input_tokens + u.output_tokens), sum((u.input_tokens + u.output_tokens)::float8),
               count(u.input_tokens), sum(u.input_tokens::float8), count(u.output_tokens), sum(u.output_tokens::float8),
               sum(u.cache_read_tokens::float8), sum(u.cache_write_tokens::float8), count(u.response_ms),
               sum(u.response_ms), min(u.response_ms), max(u.response_ms), count(u.first_token_ms),
               sum(u.first_token_ms), count(u.score), sum(u.score), max(u.recorded_at)
        from promptctl.uses u
        where ($1::text is null or u.name = $1 and u.version = any ($2::integer[]))
          and (u.recorded_in >= $3 or (u.recorded_at >= $4 and u.recorded_at < $5))
          and ($4::timestamptz is null or u.recorded_at >= $4)
        group by 1, 2, 3, 4, 5, 6, coalesce(u.input_tokens > 100000, false), coalesce(u.input_tokens > 200000, false),
                 case when $9::timestamptz[] <> '{}' then width_bucket(u.recorded_at, $9) end
        """,
        [name, versions, rolled_below, *times[:2], *_groups(by), _midnights(price_days)],
    )


def _groups(by: Collection[str]) -> list[bool]:
    """Return whether to group by version, by day and by hour."""
    return [key in by for key in ("version", "day", "hour")]


def _midnights(days: Sequence[str]) -> list[str]:
    return [f"{day}T00:00:00Z" for day in days]


def _histograms_of_uses(
    name: str | None, versions: str | None, rolled_below: int, times: Sequence[Timestamp | None], by: Collection[str]
) -> Statement:
    """Return the statement for the histograms of the uses that `_uses` selects.

    The statement repeats the expression of promptctl.histogram_bucket, because a viewer may not call that function. A
    bucket is floor(32 * log2(time)), and 46.166… is 32 / ln 2. For times of 2^-10 ms or less it is -320. The time and
    the bucket are calculated in a subquery with `offset 0`. Without it the planner would expect one group for every
    use.
    """
    return (
        """
        select b.name, b.version, case when $7 then (b.moment at time zone 'UTC')::date end,
               case when $8 then b.moment end, b.model, array_agg(b.bucket order by b.bucket)::text,
               array_agg(b.number order by b.bucket)::text
        from (
            select u.name, case when $6 then u.version end, case when $7 or $8 then u.moment end,
                   case when $9 then u.model end, u.bucket, count(*)
            from (
                select u.name, u.version, u.model,
                       date_trunc(case when $8 then 'hour' else 'day' end, u.recorded_at, 'UTC') as moment,
                       case when u.response_ms > 0.0009765625
                            then floor(ln(u.response_ms) * 46.16624130844683)::smallint else -320 end as bucket
                from promptctl.uses u
                where ($1::text is null or u.name = $1 and u.version = any ($2::integer[]))
                  and (u.recorded_in >= $3 or (u.recorded_at >= $4 and u.recorded_at < $5))
                  and ($4::timestamptz is null or u.recorded_at >= $4)
                  and u.outcome = 'ok' and u.response_ms is not null
                offset 0
            ) u
            group by 1, 2, 3, 4, 5
        ) b (name, version, moment, model, bucket, number)
        group by b.name, b.version, b.moment, b.model
        """,
        [name, versions, rolled_below, *times[:2], *_groups(by), "model" in by],
    )


def _scores(
    name: str | None, versions: str | None, rolled_below: int, times: Sequence[Timestamp | None], by: Collection[str]
) -> Statement:
    """Return the statement for scores that arrived after their uses and are in none of the totals that are added.

    It reads every score above the watermark, and the scores of uses before the first whole hour. A score that replaces
    another counts as the difference.
    """
    return (
        """
        select s.name, case when $6 then s.version end, case when $7 then (s.used_at at time zone 'UTC')::date end,
               case when $8 then date_trunc('hour', s.used_at, 'UTC') end, s.model,
               count(*) filter (where s.previous is null), sum(s.score - coalesce(s.previous, 0))
        from (
            select o.name, o.version, o.used_at, o.model, o.score, o.previous
            from promptctl.scores o
            where ($1::text is null or o.name = $1 and o.version = any ($2::integer[])) and o.recorded_in >= $3
              and ($4::timestamptz is null or o.used_at >= $4)
            union all
            select o.name, o.version, o.used_at, o.model, o.score, o.previous
            from promptctl.uses u
            join promptctl.scores o on o.use_id = u.id
            where ($1::text is null or u.name = $1) and u.recorded_at >= $4 and u.recorded_at < $5
              and o.recorded_in < $3
        ) s
        group by 1, 2, 3, 4, 5
        """,
        [name, versions, rolled_below, *times[:2], *_groups(by)],
    )


def _days(
    name: str | None, versions: str | None, rolled_below: int, times: Sequence[Timestamp | None], *, is_requested: bool
) -> Statement:
    return (
        """
        select d.name, d.version, (now() at time zone 'UTC')::date - d.day, sum(d.uses)::bigint
        from (
            select t.name, t.version, (t.starts_at at time zone 'UTC')::date, t.uses
            from promptctl.totals t
            where $7 and ($1::text is null or t.name = $1)
              and ((t.grain = 'day' and t.starts_at >= $6)
                   or (t.grain = 'hour' and t.starts_at >= $5 and t.starts_at < $6))
            union all
            select u.name, u.version, (u.recorded_at at time zone 'UTC')::date, count(*)
            from promptctl.uses u
            where $7 and ($1::text is null or u.name = $1 and u.version = any ($2::integer[]))
              and (u.recorded_in >= $3 or (u.recorded_at >= $4 and u.recorded_at < $5)) and u.recorded_at >= $4
            group by 1, 2, 3
        ) d (name, version, day, uses)
        group by 1, 2, 3
        """,
        [name, versions, rolled_below, *times, is_requested],
    )


def _fallbacks(name: str | None, since: Timestamp | None) -> Statement:
    return (
        """
        select f.name, count(*) from promptctl.fallbacks f
        where ($1::text is null or f.name = $1) and ($2::timestamptz is null or f.recorded_at >= $2)
        group by f.name order by count(*) desc, f.name
        """,
        [name, since],
    )


def _numbers(array: str) -> list[int]:
    """Return the numbers of an array in PostgreSQL's text format, `{1,2}`."""
    return [int(number) for number in array[1:-1].split(",")]
