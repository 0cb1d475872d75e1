"""What the recorded uses add up to, by version, day, hour or model: from totals, and from uses that are not in them."""

from __future__ import annotations

from promptctl.rules.measurements import DailyUses, Histogram, LateScores, ListedVersion, Measurements, UseSums
from promptctl.store import prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp

    Statement = tuple[LiteralString, Sequence[Any]]


def measure(
    database: Database,
    name: str | None,
    since: Timestamp | None,
    by: Collection[str],
    *,
    trend: bool,
    price_days: Sequence[str] = (),
) -> Measurements:
    """Read the uses of a prompt or, without a name, of all, from a moment on, grouped by version, day, hour, model.

    `since` is RFC 3339, or `-2h`: so long ago by the server's clock. The sums of a group are told apart by `price_days`
    (2026-03-13, UTC), from each of which on some model has another price.

    `trend` asks for the uses of the last 14 days too. All is as it was at one moment. Where the single uses of the
    first hour are dropped, that hour counts whole. Raises NotFound.

    How far totals go is asked first, so that it is a constant to whoever plans the rest: the uses beyond may be none,
    and may be all there are. The transaction asks again, for that may have moved meanwhile. Two round trips.
    """
    [known] = database.run_all(_bounds(name, since))
    while True:
        (rolled_below, versions, *whole), (_, _, *recent) = known
        # An age was counted from the clock of the first answer: in the next it would be another moment.
        since = whole[0]
        tail = (name, versions, rolled_below, whole, by)
        _, _, found, listed, totals, in_totals, uses, in_uses, scores, days, fallbacks, _ = database.run_all(
            ("begin isolation level repeatable read, read only", []),
            # A million uses by the hour are counted in place, and not sorted on disk.
            ("set local work_mem = '64MB'", []),
            _bounds(name, since),
            _listed(name),
            _totals(name, whole, by, price_days),
            _histograms_of_totals(name, whole, by),
            _uses(*tail, price_days),
            _histograms_of_uses(*tail),
            _scores(*tail),
            _days(name, versions, rolled_below, recent, wanted=trend),
            _fallbacks(name, since),
            ("commit", []),
        )
        if found == known:
            break
        known = found
    if not listed and name is not None:
        prompts.raise_if_unknown(database, name)
    return Measurements(
        [ListedVersion(*row) for row in listed],
        [UseSums(*row) for row in [*totals, *uses]],
        [Histogram(*row[:5], *map(_numbers, row[5:])) for row in [*in_totals, *in_uses]],
        [LateScores(*row) for row in scores],
        [DailyUses(*row) for row in days],
        dict(fallbacks),
    )


def _bounds(name: str | None, since: Timestamp | None) -> Statement:
    """Two rows, for all and for the trend: how far totals go, the prompt's versions, and three moments.

    They are: from when on uses count (null: always), and from when on whole hours and whole days do.
    """
    return (
        """
        select coalesce(r.rolled_below, 0), case when $1::text is not null then
                   array(select v.version from promptctl.versions v where v.name = $1 order by v.version)::text end,
               m.moment, date_trunc('hour', m.moment - interval '1 us', 'UTC') + interval '1 hour',
               date_trunc('day', m.moment - interval '1 us', 'UTC') + interval '1 day'
        from (select) one
        left join promptctl.roll_up r on true
        cross join lateral (
            select case when date_trunc('hour', g.since, 'UTC') < r.dropped_before
                        then date_trunc('hour', g.since, 'UTC') else g.since end
            from (select case when $2 like '-%' then now() + $2::interval else $2::timestamptz end) g (since)
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
               {prompts.HELD_VERSION}
        from promptctl.versions v
        join promptctl.served s on s.name = v.name
        left join promptctl.applied p on p.name = s.name
        where ($1::text is null or v.name = $1) and not v.is_retired
        order by v.name, v.version desc
        """,  # noqa: S608 - of constants
        [name],
    )


def _from_totals(
    moments: Sequence[Timestamp | None], by: Collection[str], price_days: Sequence[str] = ()
) -> list[str | None]:
    """The coarsest totals that will do, from when on they are whole, and from when on hours before that are."""
    since, hours_from, days_from = moments
    if "hour" in by:
        return ["hour", hours_from, None]
    return ["all" if since is None and "day" not in by and not price_days else "day", days_from, hours_from]


def _totals(
    name: str | None, moments: Sequence[Timestamp | None], by: Collection[str], price_days: Sequence[str]
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
          and (t.grain = $2 and ($3::timestamptz is null or t.starts_at >= $3)
               or t.grain = 'hour' and t.starts_at >= $4 and t.starts_at < $3)
        group by 1, 2, 3, 4, 5, 6, 7, case when $8::timestamptz[] <> '{}' then width_bucket(t.starts_at, $8) end
        """,
        [
            name,
            *_from_totals(moments, by, price_days),
            "version" in by,
            "day" in by,
            "hour" in by,
            _midnights(price_days),
        ],
    )


def _histograms_of_totals(name: str | None, moments: Sequence[Timestamp | None], by: Collection[str]) -> Statement:
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
              and (t.grain = $2 and ($3::timestamptz is null or t.starts_at >= $3)
                   or t.grain = 'hour' and t.starts_at >= $4 and t.starts_at < $3)
            group by 1, 2, 3, 4, 5, 6
        ) b (name, version, day, hour, model, bucket, number)
        group by 1, 2, 3, 4, 5
        """,
        [name, *_from_totals(moments, by), "version" in by, "day" in by, "hour" in by, "model" in by],
    )


def _uses(
    name: str | None,
    versions: str | None,
    rolled_below: int,
    moments: Sequence[Timestamp | None],
    by: Collection[str],
    price_days: Sequence[str],
) -> Statement:
    """Uses that are in no totals, and those before the first whole hour.

    A size is grouped by as truths: of a number that is reckoned from a column PostgreSQL expects as many groups as the
    column has values, and sorts a million rows instead of counting them in place.
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
          and (u.recorded_in >= $3 or u.recorded_at >= $4 and u.recorded_at < $5)
          and ($4::timestamptz is null or u.recorded_at >= $4)
        group by 1, 2, 3, 4, 5, 6, coalesce(u.input_tokens > 100000, false), coalesce(u.input_tokens > 200000, false),
                 case when $9::timestamptz[] <> '{}' then width_bucket(u.recorded_at, $9) end
        """,
        [
            name,
            versions,
            rolled_below,
            *moments[:2],
            "version" in by,
            "day" in by,
            "hour" in by,
            _midnights(price_days),
        ],
    )


def _midnights(days: Sequence[str]) -> list[str]:
    return [f"{day}T00:00:00Z" for day in days]


def _histograms_of_uses(
    name: str | None, versions: str | None, rolled_below: int, moments: Sequence[Timestamp | None], by: Collection[str]
) -> Statement:
    """Response times of the same uses, by the buckets that promptctl.histogram_bucket gives and not everybody may ask.

    A moment and a bucket are behind `offset 0`, or one would be expected for every use.
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
                  and (u.recorded_in >= $3 or u.recorded_at >= $4 and u.recorded_at < $5)
                  and ($4::timestamptz is null or u.recorded_at >= $4)
                  and u.outcome = 'ok' and u.response_ms is not null
                offset 0
            ) u
            group by 1, 2, 3, 4, 5
        ) b (name, version, moment, model, bucket, number)
        group by b.name, b.version, b.moment, b.model
        """,
        [name, versions, rolled_below, *moments[:2], "version" in by, "day" in by, "hour" in by, "model" in by],
    )


def _scores(
    name: str | None, versions: str | None, rolled_below: int, moments: Sequence[Timestamp | None], by: Collection[str]
) -> Statement:
    """Scores that came after their uses, of the same two kinds; one that replaces another counts as the difference."""
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
        [name, versions, rolled_below, *moments[:2], "version" in by, "day" in by, "hour" in by],
    )


def _days(
    name: str | None, versions: str | None, rolled_below: int, moments: Sequence[Timestamp | None], *, wanted: bool
) -> Statement:
    return (
        """
        select d.name, d.version, (now() at time zone 'UTC')::date - d.day, sum(d.uses)::bigint
        from (
            select t.name, t.version, (t.starts_at at time zone 'UTC')::date, t.uses
            from promptctl.totals t
            where $7 and ($1::text is null or t.name = $1)
              and (t.grain = 'day' and t.starts_at >= $6
                   or t.grain = 'hour' and t.starts_at >= $5 and t.starts_at < $6)
            union all
            select u.name, u.version, (u.recorded_at at time zone 'UTC')::date, count(*)
            from promptctl.uses u
            where $7 and ($1::text is null or u.name = $1 and u.version = any ($2::integer[]))
              and (u.recorded_in >= $3 or u.recorded_at >= $4 and u.recorded_at < $5) and u.recorded_at >= $4
            group by 1, 2, 3
        ) d (name, version, day, uses)
        group by 1, 2, 3
        """,
        [name, versions, rolled_below, *moments, wanted],
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
    return [int(number) for number in array[1:-1].split(",")]
