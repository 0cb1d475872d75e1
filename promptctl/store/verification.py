"""Checks of the stored data, for after a restore or a fault of a disk: what the rules of the schema guarantee."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptctl import schema
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class Problem(Record):
    """A rule that the data breaks: the `check`, the rows that break it, and how."""

    check: str
    rows: str
    reason: str


def find_problems(database: Database) -> list[Problem]:
    """Return the problems of all data in one snapshot, at most a hundred of each check. Changes nothing."""
    with database.transaction(read_only=True):
        return [
            Problem(check, *row)
            for check, rows in (
                ("texts", _texts(database)),
                ("active versions", _active_versions(database)),
                ("history", _history(database)),
                ("references", _references(database)),
                ("numbers", _numbers(database)),
                ("totals", _totals(database)),
                ("uses", _uses(database)),
                ("tests", _tests(database)),
                ("schema", _schema(database) + _changed_functions(database)),
                ("grants", _grants(database)),
            )
            for row in rows
        ]


def _texts(database: Database) -> list[tuple[str, str]]:
    return database.run(
        """
        select format('%s@%s', v.name, v.version),
               case when v.erased_at is null then 'the text does not have the stored SHA-256'
                    else 'it is erased, but still has a text, settings, metadata or variables' end
        from promptctl.versions v
        where case when v.erased_at is null then v.sha256 <> sha256(convert_to(v.content, 'UTF8'))
                   else v.content <> '' or v.settings <> '{}' or v.metadata <> '{}' or v.variables <> '{}'
                        or v.required_variables <> '{}' or v.retired_at is null end
        order by v.name, v.version limit 100
        """
    )


def _active_versions(database: Database) -> list[tuple[str, str]]:
    return database.run(
        """
        select s.name,
               case when s.epoch <> coalesce(a.epoch, 0)
                    then format('it is at epoch %s, and the history ends at epoch %s', s.epoch, coalesce(a.epoch, 0))
                    when s.active_version is distinct from a.version
                    then format('version %s is active, and version %s in the history',
                                coalesce(s.active_version::text, 'none'), coalesce(a.version::text, 'none'))
                    else 'its split, its route or its position differs from the history' end
        from promptctl.served s
        left join lateral (
            select h.* from promptctl.allocations h where h.name = s.name order by h.epoch desc limit 1
        ) a on true
        where s.epoch <> coalesce(a.epoch, 0) or s.active_version is distinct from a.version
           or s.candidate_version is distinct from a.candidate_version
           or s.basis_points <> coalesce(a.basis_points, 0) or s.seed is distinct from a.seed
           or s.position is distinct from a.position or s.route is distinct from a.route
        order by s.name limit 100
        """
    )


def _history(database: Database) -> list[tuple[str, str]]:
    return database.run(
        """
        select format('%s, epoch %s', h.name, h.epoch),
               case when h.epoch <> coalesce(h.epoch_before, 0) + 1
                    then format('the epoch before it is %s', coalesce(h.epoch_before::text, 'missing'))
                    else format('it follows version %s, and the change before it led to version %s',
                                coalesce(h.previous_version::text, 'none'),
                                coalesce(h.version_before::text, 'none')) end
        from (select a.name, a.epoch, a.previous_version, lag(a.version) over w as version_before,
                     lag(a.epoch) over w as epoch_before
              from promptctl.allocations a window w as (partition by a.name order by a.epoch)) h
        where h.epoch <> coalesce(h.epoch_before, 0) + 1 or h.previous_version is distinct from h.version_before
        order by h.name, h.epoch limit 100
        """
    )


def _references(database: Database) -> list[tuple[str, str]]:
    """Return the rows that refer to rows which do not exist. Foreign keys do not check rows that exist already."""
    return database.run(
        """
        select r.place, r.reason from (
            select s.name, format('the active version %s does not exist or is archived', s.active_version)
            from promptctl.served s
            where s.active_version is not null and not exists (
                select from promptctl.versions v
                where v.name = s.name and v.version = s.active_version and not v.is_retired)
            union all
            select s.name, format('the candidate version %s does not exist or is archived', s.candidate_version)
            from promptctl.served s
            where s.candidate_version is not null and not exists (
                select from promptctl.versions v
                where v.name = s.name and v.version = s.candidate_version and not v.is_retired)
            union all
            select s.name, format('its route leads to %s, which does not exist or is archived', t.step ->> 'use')
            from promptctl.served s cross join jsonb_array_elements(s.route) t (step)
            where jsonb_typeof(s.route) = 'array' and not exists (
                select from promptctl.served p
                where p.name = split_part(t.step ->> 'use', '@', 1) and p.archived_at is null
                  and (t.step ->> 'use' not like '%@%' or exists (
                      select from promptctl.versions v
                      where v.name = p.name and v.version::text = split_part(t.step ->> 'use', '@', 2)
                        and not v.is_retired)))
            union all
            select format('%s@%s', v.name, v.version), 'there is no such prompt'
            from promptctl.versions v
            where not exists (select from promptctl.served s where s.name = v.name)
            union all
            select format('%s@%s', v.name, v.version), format('release %s does not exist', v.release)
            from promptctl.versions v
            where v.release is not null and not exists (select from promptctl.releases e where e.release = v.release)
            union all
            select format('%s, epoch %s', a.name, a.epoch), 'there is no such prompt'
            from promptctl.allocations a
            where not exists (select from promptctl.served s where s.name = a.name)
            union all
            select format('%s, epoch %s', a.name, a.epoch), format('version %s does not exist', a.version)
            from promptctl.allocations a
            where a.version is not null and not exists (
                select from promptctl.versions v where v.name = a.name and v.version = a.version)
            union all
            select format('%s, epoch %s', a.name, a.epoch), format('release %s does not exist', a.release)
            from promptctl.allocations a
            where a.release is not null and not exists (select from promptctl.releases e where e.release = a.release)
            union all
            select format('correction %s', c.id), format('%s@%s does not exist', c.name, c.version)
            from promptctl.corrections c
            where not exists (select from promptctl.versions v where v.name = c.name and v.version = c.version)
            union all
            select format('correction %s', c.id), format('release %s does not exist', c.release)
            from promptctl.corrections c
            where c.release is not null and not exists (select from promptctl.releases e where e.release = c.release)
            union all
            select format('release %s', e.release), format('release %s, which it reversed, does not exist', e.undoes)
            from promptctl.releases e
            where e.undoes is not null and not exists (select from promptctl.releases u where u.release = e.undoes)
            union all
            select format('source of %s', a.name), 'the prompt or the source does not exist'
            from promptctl.applied a
            where not exists (select from promptctl.served s where s.name = a.name)
               or not exists (select from promptctl.sources o where o.source = a.source)
        ) r (place, reason)
        order by 1, 2 limit 100
        """
    )


def _numbers(database: Database) -> list[tuple[str, str]]:
    """Return what would give a number a second time."""
    return database.run(
        """
        select s.name, format('its next version is %s, and version %s exists', s.next_version, v.highest)
        from promptctl.served s
        join (select w.name, max(w.version) as highest from promptctl.versions w group by w.name) v on v.name = s.name
        where s.next_version <= v.highest
        union all
        -- `last_value` is null for a sequence that was never used, and for a role that may not read it.
        select format('sequence %s', q.sequencename),
               format('it is at %s, and number %s exists', coalesce(q.last_value, 0), m.highest)
        from (select 'releases_release_seq', max(e.release) from promptctl.releases e
              union all
              select 'corrections_id_seq', max(c.id) from promptctl.corrections c) m (sequence, highest)
        join pg_catalog.pg_sequences q on q.schemaname = 'promptctl' and q.sequencename = m.sequence
        where coalesce(q.last_value, 0) < m.highest
          and has_sequence_privilege(format('promptctl.%I', q.sequencename), 'select, usage')
        order by 1 limit 100
        """
    )


def _totals(database: Database) -> list[tuple[str, str]]:
    """Return the totals by hour that differ from their uses, and the others that differ from those by hour."""
    marks = database.run("select r.rolled_below, r.dropped_before from promptctl.roll_up r")
    rolled_below, dropped_before = marks[0] if marks else (0, None)
    # One scan of the uses. It calls no function of ours, because it would then not be parallel.
    by_hour = database.run(
        """
        with recorded as (
            select u.name, u.version, date_bin('1 hour', u.recorded_at, '2000-01-01 00:00:00+00') as starts_at,
                   u.outcome = 'ok' as is_ok, count(*) as uses, count(u.bucket) as with_unit,
                   count(u.input_tokens) as with_input, count(u.output_tokens) as with_output,
                   count(u.response_ms) as with_response, count(u.first_token_ms) as with_first_token,
                   count(u.score) as with_score, sum(u.input_tokens::double precision) as input_tokens,
                   sum(u.output_tokens::double precision) as output_tokens,
                   sum(u.cache_read_tokens::double precision) as cache_read_tokens,
                   sum(u.cache_write_tokens::double precision) as cache_write_tokens,
                   sum(u.response_ms) as response_ms, min(u.response_ms) as fastest_ms,
                   max(u.response_ms) as slowest_ms, sum(u.first_token_ms) as first_token_ms, sum(u.score) as score,
                   max(u.recorded_at) as last_used_at
            from promptctl.uses u
            where u.recorded_in < $1::bigint
            group by 1, 2, 3, 4
        ), scored as (
            select o.name, o.version, date_bin('1 hour', o.used_at, '2000-01-01 00:00:00+00') as starts_at, o.is_ok,
                   count(*) filter (where o.previous is null) as with_score,
                   sum(o.score - coalesce(o.previous, 0)) as score
            from promptctl.scores o
            where o.recorded_in < $1::bigint
            group by 1, 2, 3, 4
        ), summed as (
            select t.name, t.version, t.starts_at, t.is_ok, sum(t.uses) as uses,
                   sum(t.uses - t.without_unit) as with_unit,
                   sum(t.with_input) as with_input, sum(t.with_output) as with_output,
                   sum(t.with_response) as with_response, sum(t.with_first_token) as with_first_token,
                   sum(t.with_score) as with_score, sum(t.input_tokens) as input_tokens,
                   sum(t.output_tokens) as output_tokens, sum(t.cache_read_tokens) as cache_read_tokens,
                   sum(t.cache_write_tokens) as cache_write_tokens, sum(t.response_ms) as response_ms,
                   min(t.fastest_ms) as fastest_ms, max(t.slowest_ms) as slowest_ms,
                   sum(t.first_token_ms) as first_token_ms, sum(t.score) as score, max(t.last_used_at) as last_used_at
            from promptctl.totals t
            where t.grain = 'hour'
            group by 1, 2, 3, 4
        ), compared as (
            select coalesce(t.name, r.name, o.name) as name, coalesce(t.version, r.version, o.version) as version,
                   coalesce(t.starts_at, r.starts_at, o.starts_at) as starts_at, coalesce(t.uses, 0) as in_totals,
                   coalesce(r.uses, 0) as recorded,
                   (coalesce(t.with_unit, 0), coalesce(t.with_input, 0), coalesce(t.with_output, 0),
                    coalesce(t.with_response, 0), coalesce(t.with_first_token, 0), coalesce(t.with_score, 0),
                    t.fastest_ms, t.slowest_ms, t.last_used_at)
                   is distinct from
                   (coalesce(r.with_unit, 0), coalesce(r.with_input, 0), coalesce(r.with_output, 0),
                    coalesce(r.with_response, 0), coalesce(r.with_first_token, 0),
                    coalesce(r.with_score, 0) + coalesce(o.with_score, 0), r.fastest_ms, r.slowest_ms,
                    r.last_used_at)
                   -- The order of adding changes the last digits of a sum.
                   or exists (
                       select from (values (t.input_tokens, r.input_tokens), (t.output_tokens, r.output_tokens),
                                           (t.cache_read_tokens, r.cache_read_tokens),
                                           (t.cache_write_tokens, r.cache_write_tokens),
                                           (t.response_ms, r.response_ms), (t.first_token_ms, r.first_token_ms),
                                           (t.score, coalesce(r.score + o.score, r.score, o.score))
                                   ) s (stored, expected)
                       where s.stored is distinct from s.expected
                         and coalesce(abs(s.stored - s.expected) > 1e-7 * greatest(abs(s.stored), abs(s.expected), 1),
                                      true)) as differs
            from summed t
            full join recorded r using (name, version, starts_at, is_ok)
            full join scored o using (name, version, starts_at, is_ok)
        )
        select format('%s@%s, hour %s', c.name, c.version,
                      to_char(c.starts_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')),
               case when c.in_totals <> c.recorded
                    then format('%s uses are in totals, and %s are recorded', c.in_totals, c.recorded)
                    else 'the sums in totals differ from those of the uses' end
        from compared c
        -- Of the hours before this time, single uses may have been dropped.
        where case when c.starts_at < $2::timestamptz then c.recorded > c.in_totals
                   else c.recorded <> c.in_totals or c.differs end
        order by c.name, c.version, c.starts_at limit 100
        """,
        rolled_below,
        dropped_before,
    )
    return [*by_hour, *_longer_totals(database), *_bucket_totals(database, rolled_below, dropped_before)]


def _longer_totals(database: Database) -> list[tuple[str, str]]:
    """Return the totals by day and of all time that differ from those by hour, and histograms that are incomplete."""
    return database.run(
        """
        with summed as (
            select g.grain, t.name, t.version, g.starts_at, t.model, t.is_ok, t.size, sum(t.uses) as uses,
                   sum(t.without_unit) as without_unit, sum(t.with_tokens) as with_tokens,
                   sum(t.with_both) as with_both,
                   sum(t.with_response) as with_response, sum(t.with_score) as with_score, sum(t.tokens) as tokens,
                   sum(t.response_ms) as response_ms, sum(t.score) as score
            from promptctl.totals t
            cross join lateral (values ('day', date_trunc('day', t.starts_at, 'UTC')),
                                       ('all', '-infinity'::timestamptz)) g (grain, starts_at)
            where t.grain = 'hour'
            group by 1, 2, 3, 4, 5, 6, 7
        ), longer as (
            select t.grain, t.name, t.version, t.starts_at, coalesce(t.model, '') as model, t.is_ok, t.size, t.uses,
                   t.without_unit, t.with_tokens, t.with_both, t.with_response, t.with_score, t.tokens, t.response_ms,
                   t.score
            from promptctl.totals t where t.grain in ('day', 'all')
        ), hours as (
            select s.grain, s.name, s.version, s.starts_at, coalesce(s.model, '') as model, s.is_ok, s.size, s.uses,
                   s.without_unit, s.with_tokens, s.with_both, s.with_response, s.with_score, s.tokens, s.response_ms,
                   s.score
            from summed s
        )
        select format('%s@%s, total of %s', coalesce(l.name, h.name), coalesce(l.version, h.version),
                      case coalesce(l.grain, h.grain) when 'all' then 'all time'
                          else to_char(coalesce(l.starts_at, h.starts_at) at time zone 'UTC', 'YYYY-MM-DD') end),
               format('it has %s uses, and its hours have %s, or their sums differ', coalesce(l.uses, 0),
                      coalesce(h.uses, 0))
        from longer l
        full join hours h on (h.grain, h.name, h.version, h.starts_at, h.model, h.is_ok, h.size)
                           = (l.grain, l.name, l.version, l.starts_at, l.model, l.is_ok, l.size)
        where (l.uses, l.without_unit, l.with_tokens, l.with_both, l.with_response, l.with_score)
              is distinct from (h.uses, h.without_unit, h.with_tokens, h.with_both, h.with_response, h.with_score)
           or exists (
               select from (values (l.tokens, h.tokens), (l.response_ms, h.response_ms), (l.score, h.score)) s (a, b)
               where s.a is distinct from s.b
                 and coalesce(abs(s.a - s.b) > 1e-7 * greatest(abs(s.a), abs(s.b), 1), true))
        union all
        select format('%s@%s, total of %s', t.name, t.version,
                      case t.grain when 'all' then 'all time'
                          when 'day' then to_char(t.starts_at at time zone 'UTC', 'YYYY-MM-DD')
                          else to_char(t.starts_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') end),
               format('its histogram does not have the %s times of the total', t.with_response)
        from promptctl.totals t
        where coalesce((select sum(c.number) from unnest((t.response_times).counts) c (number)), 0) <> t.with_response
           or cardinality((t.response_times).counts) <> cardinality((t.response_times).buckets)
        order by 1 limit 100
        """
    )


def _bucket_totals(database: Database, rolled_below: int, dropped_before: Timestamp | None) -> list[tuple[str, str]]:
    """Return the sums for comparisons that differ from the uses of their split.

    A split that began before schema version 8 has no slow_ms. It is left out, because its uses were in totals already.
    """
    return database.run(
        """
        with recorded as (
            select u.name, u.epoch, u.version, u.bucket, count(*) filter (where u.is_use) as uses,
                   count(*) filter (where u.is_error) as errors, count(*) filter (where u.is_slow) as slow,
                   count(u.ln_response_ms) as with_response, count(u.ln_first_token_ms) as with_first_token,
                   count(u.ln_output_tokens) as with_output, count(*) filter (where u.is_billed) as billed,
                   sum(u.with_score) as with_score, sum(u.ln_response_ms) as ln_response_ms,
                   sum(u.input_tokens) as input_tokens, sum(u.output_tokens) as output_tokens, sum(u.score) as score
            from promptctl.split_uses u
            where u.recorded_in < $1::bigint
            group by 1, 2, 3, 4
        ), summed as (
            select t.name, t.epoch, t.version, t.bucket, sum(t.uses) as uses, sum(t.errors) as errors,
                   sum(t.slow) as slow, sum(t.with_response) as with_response,
                   sum(t.with_first_token) as with_first_token, sum(t.with_output) as with_output,
                   sum(t.billed) as billed, sum(t.with_score) as with_score, sum(t.ln_response_ms) as ln_response_ms,
                   sum(t.input_tokens) as input_tokens, sum(t.output_tokens) as output_tokens, sum(t.score) as score
            from promptctl.bucket_totals t
            group by 1, 2, 3, 4
        ), compared as (
            select coalesce(t.name, r.name) as name, coalesce(t.epoch, r.epoch) as epoch,
                   coalesce(t.version, r.version) as version,
                   coalesce(t.uses, 0) as in_totals, coalesce(r.uses, 0) as recorded,
                   (t.errors, t.slow, t.with_response, t.with_first_token, t.with_output, t.billed, t.with_score)
                   is distinct from
                   (r.errors, r.slow, r.with_response, r.with_first_token, r.with_output, r.billed, r.with_score)
                   or exists (
                       select from (values (t.ln_response_ms, r.ln_response_ms), (t.input_tokens, r.input_tokens),
                                           (t.output_tokens, r.output_tokens), (t.score, r.score)) s (stored, expected)
                       where abs(s.stored - coalesce(s.expected, 0)) > 1e-7 * greatest(abs(s.stored), 1)) as differs
            from summed t
            full join recorded r on (r.name, r.epoch, r.version, r.bucket) = (t.name, t.epoch, t.version, t.bucket)
        )
        select format('%s@%s, epoch %s', c.name, c.version, c.epoch),
               case when sum(c.in_totals) <> sum(c.recorded)
                    then format('%s uses are in the sums for comparisons, and %s are recorded', sum(c.in_totals),
                                sum(c.recorded))
                    else 'the sums for comparisons differ from those of the uses' end
        from compared c
        join promptctl.allocations a on a.name = c.name and a.epoch = c.epoch
        -- Of an epoch that began before this time, single uses may have been dropped.
        where a.slow_ms is not null
          and case when a.changed_at < $2::timestamptz then c.recorded > c.in_totals
                        else c.recorded <> c.in_totals or c.differs end
        group by c.name, c.version, c.epoch
        order by c.name, c.version, c.epoch limit 100
        """,
        rolled_below,
        dropped_before,
    )


def _uses(database: Database) -> list[tuple[str, str]]:
    return database.run(
        """
        select format('uses of %s@%s', u.name, u.version), 'there is no such version'
        from (
            -- Each version is one look-up in the index, not a scan of all its uses.
            with recursive used as (
                (select u.name, u.version from promptctl.uses u order by u.name, u.version limit 1)
                union all
                select n.name, n.version
                from used b
                cross join lateral (select u.name, u.version from promptctl.uses u
                                    where (u.name, u.version) > (b.name, b.version)
                                    order by u.name, u.version limit 1) n
            )
            select used.name, used.version from used
            union
            select t.name, t.version from promptctl.totals t where t.grain = 'all'
        ) u
        where not exists (select from promptctl.versions v where v.name = u.name and v.version = u.version)
        order by 1 limit 100
        """
    )


def _tests(database: Database) -> list[tuple[str, str]]:
    """Return cases whose hash is wrong, and rows of runs that refer to rows which do not exist."""
    return database.run(
        """
        select p.place, p.reason from (
            select format('case %s', encode(c.hash, 'hex')), 'its definition does not have that SHA-256'
            from promptctl.test_cases c where c.hash <> sha256(convert_to(c.definition, 'UTF8'))
            union all
            select format('case %s of %s', c.place, c.name), 'the case or the list of cases does not exist'
            from promptctl.prompt_cases c
            where not exists (select from promptctl.test_cases d where d.hash = c.hash)
               or not exists (select from promptctl.prompt_tests t where t.name = c.name)
            union all
            select format('tests of %s', t.name), 'there is no such prompt'
            from promptctl.prompt_tests t where not exists (select from promptctl.served s where s.name = t.name)
            union all
            select format('run %s', r.run), 'a version that it names does not exist'
            from promptctl.test_runs r
            where (r.version is not null and not exists (
                       select from promptctl.versions v where v.name = r.name and v.version = r.version))
               or (r.against_version is not null and not exists (
                       select from promptctl.versions v
                       where v.name = r.against_name and v.version = r.against_version))
            union all
            select format('run %s, case %s', c.run, c.place), 'the run or the case does not exist'
            from promptctl.test_run_cases c
            where not exists (select from promptctl.test_runs r where r.run = c.run)
               or not exists (select from promptctl.test_cases d where d.hash = c.case_hash)
            union all
            select format('run %s, case %s', f.run, f.place), 'a failure belongs to no case of the run'
            from promptctl.test_failures f
            where not exists (select from promptctl.test_run_cases c where c.run = f.run and c.place = f.place)
            union all
            select format('batch %s', b.id), format('run %s does not exist', b.run)
            from promptctl.test_batches b where not exists (select from promptctl.test_runs r where r.run = b.run)
            union all
            select format('reply %s', t.id), 'the run or the case does not exist'
            from promptctl.test_replies t
            where not exists (select from promptctl.test_runs r where r.run = t.run)
               or not exists (select from promptctl.test_cases d where d.hash = t.case_hash)
            union all
            select format('reply %s', t.id), 'its text was erased'
            from promptctl.test_replies t
            where exists (select from promptctl.versions v where v.sha256 = t.sha256 and v.erased_at is not null)
            union all
            select format('judgement of reply %s', j.reply_id), 'there is no such reply'
            from promptctl.test_judgements j
            where not exists (select from promptctl.test_replies t where t.id = j.reply_id)
        ) p (place, reason)
        order by 1, 2 limit 100
        """
    )


def _changed_functions(database: Database) -> list[tuple[str, str]]:
    """Return the functions whose bodies are not in schema.sql, for example after a fault of a disk."""
    text = schema.read_sql()
    rows = database.run(
        """
        select p.proname::text, p.prosrc from pg_catalog.pg_proc p
        where p.pronamespace = 'promptctl'::regnamespace
        order by p.proname
        """
    )
    return [(f"function {name}", "its body is not that of schema.sql") for name, body in rows if body not in text]


def _schema(database: Database) -> list[tuple[str, str]]:
    """Return the rules of schema.sql that are missing or switched off, by their names."""
    text = schema.read_sql()
    migrations = "".join(migration.read_sql() for migration in schema.MIGRATIONS)
    return database.run(
        """
        select format('%s %s', e.kind, e.name), 'it does not exist'
        from (select 'constraint', c.name from unnest($1::text[]) c (name)
              where not exists (select from pg_catalog.pg_constraint k
                                where k.connamespace = 'promptctl'::regnamespace and k.conname = c.name)
              union all
              select 'trigger', t.name from unnest($2::text[]) t (name)
              where not exists (select from pg_catalog.pg_trigger g join pg_catalog.pg_class r on r.oid = g.tgrelid
                                where r.relnamespace = 'promptctl'::regnamespace and g.tgname = t.name)
              union all
              select 'index', i.name from unnest($3::text[]) i (name)
              where not exists (select from pg_catalog.pg_class x
                                where x.relnamespace = 'promptctl'::regnamespace and x.relname = i.name)
              union all
              select 'function', f.name from unnest($4::text[]) f (name)
              where not exists (select from pg_catalog.pg_proc p
                                where p.pronamespace = 'promptctl'::regnamespace and p.proname = f.name)) e (kind, name)
        union all
        select format('constraint %s', k.conname), 'it was never checked, or is not enforced'
        from pg_catalog.pg_constraint k
        -- Constraints of domains were not checked when they were created, and hold for what is written since.
        where k.connamespace = 'promptctl'::regnamespace and k.conrelid <> 0
          and (to_jsonb(k) ->> 'conenforced' = 'false'
               -- A migration does not check a new limit that stored rows exceed. A constraint that somebody else
               -- dropped and added again has lost its comment.
               or (not k.convalidated
                   and (k.conname <> all ($5::text[]) or obj_description(k.oid, 'pg_constraint') is null)))
        union all
        select format('trigger %s', coalesce(k.conname, g.tgname)), format('it is disabled on %s', g.tgrelid::regclass)
        from pg_catalog.pg_trigger g
        join pg_catalog.pg_class r on r.oid = g.tgrelid
        left join pg_catalog.pg_constraint k on k.oid = g.tgconstraint and g.tgisinternal
        where r.relnamespace = 'promptctl'::regnamespace and g.tgenabled not in ('O', 'A')
        union all
        select format('index %s', i.indexrelid::regclass), 'it is not valid'
        from pg_catalog.pg_index i join pg_catalog.pg_class r on r.oid = i.indrelid
        where r.relnamespace = 'promptctl'::regnamespace and not (i.indisvalid and i.indisready)
        order by 1 limit 100
        """,
        list(_names(text, r"\bconstraint (\w+)\s+(?:primary key|unique|check|foreign key)\b")),
        list(_names(text, r"create (?:or replace |constraint )trigger (\w+)")),
        list(_names(text, r"create (?:unique )?index if not exists (\w+)")),
        list(_names(text, r"create or replace function promptctl\.(\w+)")),
        list(_names(migrations, r"\badd constraint (\w+) check \([^;]*?\) not valid\b")),
    )


def _names(text: str, pattern: str) -> Iterator[str]:
    return iter(sorted(set(re.findall(pattern, text))))


def _grants(database: Database) -> list[tuple[str, str]]:
    return database.run(
        "select o.name, 'every login may use it' from promptctl.open_to_everybody() o (name) order by 1 limit 100"
    )
