"""A database as months of work leave it: prompts with versions, moves and rolled-up uses; for tests and benchmarks."""

from __future__ import annotations

# Prompts `team/prompt-01`, … with four versions. Each has moves through the period and a total for each day, and for
# each hour of the last three days, as the roll-up writes them. Version 4 came with the last move: it fails more often
# and is slower. Response times are log-normal. All numbers come from sines, so they are the same in every run.
_FILL = """
set session_replication_role = replica;
insert into promptctl.served (name, active_version, epoch, next_version, created_at)
select 'team/prompt-' || to_char(p, 'FM00'), 4, %(moves)s, 5, '2020-01-01'
from generate_series(1, %(prompts)s) p;
insert into promptctl.versions (name, version, content, sha256, created_by, created_at, origin)
select 'team/prompt-' || to_char(p, 'FM00'), v, 'text ' || v, sha256(convert_to('text ' || v, 'UTF8')),
       'ada@example.com', '2020-01-01', json_build_object('commit', md5(p || ' ' || v), 'path', 'prompts/v.txt')::jsonb
from generate_series(1, %(prompts)s) p, generate_series(1, 4) v;
insert into promptctl.allocations (name, epoch, kind, previous_version, version, basis_points, author, reason,
                                   changed_at, origin)
select 'team/prompt-' || to_char(p, 'FM00'), m,
       case when m > 1 and (m + p) %% 4 = 0 then 'rollback' else 'activate' end,
       case when m > 1 then coalesce(nullif((m + 3 - %(moves)s + 400) %% 4, 0), 4) end,
       1 + (m + 3 - %(moves)s + 400) %% 4, 0, case when m %% 2 = 0 then 'ada@example.com' else 'bob@example.com' end,
       case when m %% 3 = 0 then 'INC-' || m || ': too many wrong answers about refunds' end,
       '%(end)s'::timestamptz - interval '20 hours'
           - (%(moves)s - m) * (interval '1 day' * %(days)s * 0.93 / %(moves)s) - p * interval '7 minutes',
       case when m %% 2 = 0 then json_build_object('commit', md5(p || ' ' || m))::jsonb end
from generate_series(1, %(prompts)s) p, generate_series(1, %(moves)s) m;
insert into promptctl.totals (grain, name, version, starts_at, model, is_ok, size, uses, without_unit, with_tokens,
    with_both, tokens, with_input, input_tokens, with_output, output_tokens, cache_read_tokens, cache_write_tokens,
    with_response, response_ms, fastest_ms, slowest_ms, response_times, with_first_token, first_token_ms, with_score,
    score, last_used_at)
select c.grain, c.name, c.version, c.at, m.model, c.is_ok, 0, c.n, 0, c.n, c.n, c.n * 1500, c.n, c.n * 1300, c.n,
       c.n * (180 + 20 * c.version), c.n * 900, c.n * 20, c.n, c.n * c.typical, c.typical / 9, c.typical * 9,
       case when c.is_ok then row(h.buckets, h.counts)::promptctl.histogram end, 0, null, c.n / 5,
       c.n / 5 * (0.8 + 0.03 * sin(c.place)), c.at + interval '10 minutes'
from (
    select 'day' as grain, d as place, '%(end)s'::timestamptz - d * interval '1 day' as at, %(uses)s as uses
    from generate_series(1, %(days)s) d
    union all
    select 'hour', h, '%(end)s'::timestamptz - h * interval '1 hour', %(uses)s / 24 from generate_series(1, 72) h
) t
cross join lateral (
    select t.grain, t.at, t.place, 'team/prompt-' || to_char(p, 'FM00') as name, v.version, k.is_ok,
           (t.uses * (1 + 0.4 * sin(t.place * 0.9 + p)) / v.parts
               * case when k.is_ok then 1 - v.rate else v.rate end)::bigint as n,
           (900 + 40 * p) * (1 + 0.08 * sin(t.place * 1.3 + p)) * case when v.version = 4 then 1.5 else 1 end as typical
    from generate_series(1, %(prompts)s) p
    cross join lateral (
        -- On the day of a move both versions have uses. The last move was less than a day ago.
        select case when (t.grain = 'day' and t.place = 1) or (t.grain = 'hour' and t.place <= 20) then 4
                    else 1 + (t.place / 9 + p) %% 3 end, 1, 0.01 + 0.004 * sin(t.place + p)
                    + case when p = 3 and ((t.grain = 'day' and t.place = 1) or (t.grain = 'hour' and t.place <= 20))
                        then 0.05 else 0 end
    ) v (version, parts, rate)
    cross join (values (true), (false)) k (is_ok)
    -- A prompt that was not used for five weeks.
    where not (p = 2 and t.grain = 'day' and t.place between 20 and 55)
) c
cross join (values ('claude-sonnet-5-5')) m (model)
cross join lateral (
    select array_agg(b order by b), array_agg(n order by b) from (
        select b::smallint,
               round(c.n * exp(-power((b - 32 * ln(c.typical) / ln(2)) / 27.0, 2)) / 47.8)::bigint
                                + (b %% 3 = 0)::int
        from generate_series(-%(buckets)s, %(buckets)s) o
        cross join lateral (select (32 * ln(c.typical) / ln(2))::int + o) w (b)
    ) s (b, n) where n > 0
) h (buckets, counts)
where c.n > 0;
update promptctl.roll_up set rolled_below = 0;
reset session_replication_role;
"""


def fill_sql(
    end: str, *, prompts: int = 20, days: int = 90, moves: int = 10, uses: int = 5500, buckets: int = 75
) -> str:
    """Return SQL that fills an empty database.

    `end` is the day after the last one, `uses` those of a prompt a day, and a histogram has twice as many `buckets`.
    """
    return _FILL % {
        "end": end, "prompts": prompts, "days": days, "moves": moves, "uses": uses, "buckets": buckets,
    }  # fmt: skip
