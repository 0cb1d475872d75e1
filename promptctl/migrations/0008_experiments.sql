-- promptctl: from schema version 7 to version 8: comparisons of versions, and guarded rollouts.
--
-- `promptctl db migrate` runs it. It is one transaction: it either happens entirely or not at all. No table is rewritten.
-- It only adds: what applications of versions 4 to 7 call keeps its name, its arguments and its columns.

-- Read committed, because this migration must see what another one committed while it waited.
begin isolation level read committed;

set local client_min_messages = warning;
set local lock_timeout = '60s';
set local search_path = '';
set local check_function_bodies = off;

-- A superuser may run this migration. The owner of the schema must own the new objects, because its functions call them.
select set_config('role', pg_get_userbyid(n.nspowner)::text, true)
from pg_catalog.pg_namespace n where n.nspname = 'promptctl';

do $$
declare
    installed integer;
begin
    -- The lock of installers. No program waits for a session that holds or wants it.
    lock table promptctl.installation in share row exclusive mode;
    select version into installed from promptctl.installation;
    if installed is distinct from 7 then
        raise exception using errcode = 'object_not_in_prerequisite_state', constraint = 'schema_version_matches',
            message = format('database "%s" has schema version %s, and this migration starts from version 7',
                             current_database(), coalesce(installed::text, 'unknown')),
            detail = coalesce(installed::text, '');
    end if;
end
$$;

-- This lock conflicts with vacuum, which then ends, but not with programs that read or write.
lock table promptctl.served, promptctl.allocations, promptctl.scores in share update exclusive mode;

-- Programs wait while this session waits for these locks. So it waits at most 300 ms for all of them, gives them up, and
-- tries again.
do $$
declare
    relation text;
    attempt integer := 0;
    until timestamptz;
begin
    loop
        begin
            until := clock_timestamp() + interval '300 ms';
            foreach relation in array array['scores', 'allocations', 'served'] loop
                perform set_config('lock_timeout',
                                   greatest(1, extract(milliseconds from until - clock_timestamp())::integer)::text, true);
                execute format('lock table promptctl.%I in access exclusive mode', relation);
            end loop;
            exit;
        exception when lock_not_available then
            attempt := attempt + 1;
            if attempt >= 40 then
                raise;
            end if;
        end;
        perform pg_sleep(1);
    end loop;
end
$$;

alter table promptctl.served add column slow_ms integer;
alter table promptctl.allocations add column slow_ms integer;
alter table promptctl.scores
    add column epoch integer not null default 0,
    add column bucket smallint;

-- Scores that are not rolled up yet.
select set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
update promptctl.scores o set epoch = u.epoch, bucket = u.bucket
from promptctl.uses u where u.id = o.use_id and o.recorded_in >= promptctl.rolled_below();
select set_config('promptctl.writing_transaction', '', true);

create table promptctl.bucket_totals (
    name text collate "C" not null,
    epoch integer not null,
    version integer not null,
    bucket smallint not null,
    size smallint not null,
    uses integer not null,
    errors integer not null,
    with_response integer not null,
    slow integer not null,
    with_first_token integer not null,
    with_output integer not null,
    billed integer not null,
    with_score integer not null,
    ln_response_ms double precision not null,
    ln_first_token_ms double precision not null,
    ln_output_tokens double precision not null,
    input_tokens double precision not null,
    output_tokens double precision not null,
    cache_read_tokens double precision not null,
    cache_write_tokens double precision not null,
    score double precision not null,
    model text,

    constraint bucket_totals_have_one_row_per_group unique nulls not distinct (
        name, epoch, version, bucket, model, size)
) with (fillfactor = 60);

comment on table promptctl.bucket_totals is
    'The sums of the uses that a split served, by group of neighbouring buckets. compare_versions reads them instead of '
    'single uses, which are dropped after some time. Only uses of an epoch whose share is between 0 and 100 % are in it. '
    'Rows are updated in place, for which each page keeps some space.';
comment on column promptctl.bucket_totals.bucket is
    'The group of buckets, by its lowest bucket: see bucket_group. -1: uses of units that belong to the other version.';
comment on column promptctl.bucket_totals.size is 'The price tier, as in totals.';
comment on column promptctl.bucket_totals.uses is
    'The number of uses; 0 where only a score was rolled up, which may happen before its use.';
comment on column promptctl.bucket_totals.errors is 'Uses whose outcome is not ok.';
comment on column promptctl.bucket_totals.with_response is 'Uses that succeeded and reported response_ms.';
comment on column promptctl.bucket_totals.slow is
    'Uses that succeeded and took longer than slow_ms of their allocation, or than 10 000 ms where it has none.';
comment on column promptctl.bucket_totals.with_first_token is 'Uses that succeeded and reported first_token_ms.';
comment on column promptctl.bucket_totals.with_output is 'Uses that succeeded and reported output_tokens.';
comment on column promptctl.bucket_totals.billed is
    'Uses that reported input or output tokens, including those that failed.';
comment on column promptctl.bucket_totals.with_score is 'Uses that have a score.';
comment on column promptctl.bucket_totals.ln_response_ms is
    'The sum of the natural logarithms of response_ms, each of at least 1 ms, of uses that succeeded.';
comment on column promptctl.bucket_totals.ln_first_token_ms is 'As ln_response_ms, of first_token_ms.';
comment on column promptctl.bucket_totals.ln_output_tokens is 'As ln_response_ms, of output_tokens.';
comment on column promptctl.bucket_totals.cache_read_tokens is 'The part of input_tokens that was read from a cache.';
comment on column promptctl.bucket_totals.cache_write_tokens is
    'The part of input_tokens that was written to a cache.';
comment on constraint bucket_totals_have_one_row_per_group on promptctl.bucket_totals is
    'A later roll-up adds to the same row.';

create or replace function promptctl.slow_response_ms(name text, version integer) returns integer
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    percentile double precision;
    magnitude double precision;
begin
    -- The middle of the bucket.
    select 2 ^ ((min(r.bucket) + 0.5) / 32) into percentile
    from (
        select h.bucket, sum(sum(h.number)) over (order by h.bucket) as up_to, sum(sum(h.number)) over () as total
        from promptctl.totals t
        cross join unnest((t.response_times).buckets, (t.response_times).counts) h (bucket, number)
        where t.grain = 'hour' and t.name = slow_response_ms.name and t.version = slow_response_ms.version and t.is_ok
          and t.starts_at >= date_trunc('hour', now() - interval '7 days', 'UTC')
        group by h.bucket
    ) r
    where r.total >= 100 and r.up_to >= 0.95 * r.total;
    if percentile is null then
        return 10000;
    end if;
    percentile := greatest(percentile, 1);
    magnitude := 10 ^ floor(log(percentile));
    return least(magnitude * case when percentile <= magnitude then 1 when percentile <= 2 * magnitude then 2
                                  when percentile <= 5 * magnitude then 5 else 10 end, 1e9);
end
$$;

create or replace function promptctl.before_served() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        if new.active_version is not null or new.candidate_version is not null or new.archived_at is not null then
            -- One statement could also store the version, because foreign keys are checked at its end.
            raise exception using errcode = 'restrict_violation', constraint = 'every_move_is_recorded',
                message = format('"%s" cannot be inserted with an active version: activate it afterwards', new.name);
        end if;
        new.epoch := 0;
        new.position := null;
        new.slow_ms := null;
        return new;
    end if;
    if new.name is distinct from old.name then
        raise exception using errcode = 'restrict_violation', constraint = 'a_prompt_keeps_its_name',
            message = format('"%s" cannot be renamed', old.name);
    end if;
    if new.epoch is distinct from old.epoch then
        raise exception using errcode = 'restrict_violation', constraint = 'epochs_are_counted_by_the_database',
            message = format('the epoch of "%s" cannot be set: the database counts it', old.name);
    end if;
    if new.slow_ms is distinct from old.slow_ms then
        raise exception using errcode = 'restrict_violation', constraint = 'slow_ms_is_set_by_the_database',
            message = format('slow_ms of "%s" cannot be set: the database sets it when a split begins', old.name);
    end if;
    if new.archived_at is not null then
        if old.archived_at is not null then
            perform promptctl.require_not_archived(old);
        end if;
        new.archived_at := now();
        new.active_version := null;
        new.candidate_version := null;
        new.route := null;
    end if;
    if new.next_version < old.next_version then
        raise exception using errcode = 'restrict_violation', constraint = 'a_version_number_is_never_reused',
            message = format('next_version of "%s" cannot decrease: a number is never reused', old.name);
    end if;

    if new.active_version is distinct from old.active_version then
        if new.position is distinct from old.position then
            if not exists (select from promptctl.allocations a
                           where a.name = new.name and a.epoch = new.position and a.version = new.active_version
                             and a.kind in ('activate', 'restore')) then
                raise exception using errcode = 'restrict_violation',
                    constraint = 'a_rollback_goes_to_an_earlier_active_version',
                    message = format('"%s" did not activate version %s in epoch %s',
                                     new.name, coalesce(new.active_version::text, 'none'), new.position);
            end if;
        else
            new.position := old.epoch + 1;
        end if;
        if new.candidate_version is not distinct from old.candidate_version then
            new.candidate_version := null;
        end if;
        if old.active_version is not null and new.active_version is not null then
            perform promptctl.require_no_new_variables(new.name, old.active_version, new.active_version);
        end if;
    elsif new.position is distinct from old.position then
        raise exception using errcode = 'restrict_violation', constraint = 'a_rollback_goes_to_an_earlier_active_version',
            message = format('the position of "%s" changes only with its active version', new.name);
    end if;

    -- The foreign keys enforce this. The check here waits for a session that archives the version and raises a better
    -- error. Our functions have made it already.
    if coalesce(current_setting('promptctl.in_change', true), '') = '' then
        if new.active_version is distinct from old.active_version and new.active_version is not null then
            perform promptctl.require_version(new.name, new.active_version, 'in use');
        end if;
        if new.candidate_version is distinct from old.candidate_version and new.candidate_version is not null
            and new.active_version is not null then
            perform promptctl.require_version(new.name, new.candidate_version, 'in use');
        end if;
    end if;

    if new.candidate_version is null then
        new.basis_points := 0;
        new.seed := null;
    elsif new.candidate_version is distinct from old.candidate_version then
        perform promptctl.require_no_new_variables(new.name, new.active_version, new.candidate_version);
        -- Another candidate is a new split and gets a new seed, unless the caller passed this one.
        if new.seed is not distinct from old.seed
            and new.seed is distinct from nullif(current_setting('promptctl.argument_seed', true), '') then
            new.seed := null;
        end if;
    end if;
    if (new.active_version, new.candidate_version, new.basis_points)
        is distinct from (old.active_version, old.candidate_version, old.basis_points)
        or new.seed is distinct from old.seed or new.route is distinct from old.route
        or (new.archived_at is null) <> (old.archived_at is null) then
        new.epoch := old.epoch + 1;
        if new.candidate_version is not null and new.seed is null then
            new.seed := new.name || '.' || new.epoch;
        end if;
    end if;
    if new.candidate_version is null then
        new.slow_ms := null;
    elsif (new.candidate_version, new.seed) is distinct from (old.candidate_version, old.seed) then
        new.slow_ms := promptctl.slow_response_ms(new.name, new.active_version);
    end if;
    new.updated_at := now();
    return new;
end
$$;

-- A session reuses the plan of its first change, which has mostly one row. With nested loops over the transition tables
-- each of two joins took 5 s when the same session later wrote 10 000 rows; with a hash join it takes milliseconds.
create or replace function promptctl.after_served() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_nestloop = off as $$
declare
    release constant bigint := nullif(current_setting('promptctl.release', true), '')::bigint;
    origins constant jsonb := nullif(current_setting('promptctl.argument_origins', true), '')::jsonb;
    moved integer;
begin
    insert into promptctl.allocations (name, epoch, kind, previous_version, version, candidate_version, basis_points,
                                       seed, slow_ms, parent, position, route, release, origin, author, reason)
    select n.name, n.epoch, k.kind, o.active_version, n.active_version, n.candidate_version, n.basis_points, n.seed,
           n.slow_ms, case when k.kind in ('activate', 'deactivate', 'archive', 'restore') then o.position end,
           n.position, n.route, release, origins -> n.name, promptctl.current_author(), promptctl.current_reason()
    from new_rows n
    join old_rows o on o.name = n.name and o.epoch <> n.epoch
    cross join lateral (
        select case
            when (n.archived_at is null) <> (o.archived_at is null)
                then case when n.archived_at is null then 'restore' else 'archive' end
            when n.active_version is not distinct from o.active_version
                then case when (n.candidate_version, n.basis_points, n.seed)
                               is not distinct from (o.candidate_version, o.basis_points, o.seed) then 'route'
                          when n.candidate_version is null then 'unsplit' else 'split' end
            when n.position <> n.epoch then 'rollback'
            when n.active_version is null then 'deactivate'
            else 'activate'
        end
    ) k (kind)
    order by n.name;
    get diagnostics moved = row_count;

    if exists (select from new_rows n join old_rows o on o.name = n.name where n.route is distinct from o.route) then
        perform promptctl.require_valid_route_targets(n.name, n.route)
        from new_rows n join old_rows o on o.name = n.name where n.route is distinct from o.route;
        update promptctl.applied a set is_settled = false
        where a.is_settled and a.name = any (array(
            select n.name from new_rows n join old_rows o on o.name = n.name where n.route is distinct from o.route));
    end if;

    if exists (select from new_rows n where n.active_version is null) then
        perform promptctl.require_no_route_to(n.name, n.archived_at is not null)
        from new_rows n join old_rows o on o.name = n.name
        where n.active_version is null and (o.active_version is not null
                                            or (n.archived_at is not null and o.archived_at is null))
        order by n.name;
        update promptctl.applied a set is_settled = false
        where a.is_settled and a.name = any (array(
            select n.name from new_rows n join old_rows o on o.name = n.name
            where (n.archived_at is null) <> (o.archived_at is null)));
    end if;

    -- After a large release a listener reloads everything once, instead of receiving hundreds of notifications.
    if moved > 100 and release is not null then
        perform pg_notify('promptctl', json_build_object('release', release)::text);
    else
        perform pg_notify('promptctl', json_build_object('name', n.name, 'epoch', n.epoch)::text)
        from new_rows n join old_rows o on o.name = n.name and o.epoch <> n.epoch;
    end if;
    return null;
end
$$;

create or replace trigger bucket_totals_are_written_by_roll_up_uses
    before insert or update or delete on promptctl.bucket_totals
    for each statement execute function promptctl.refuse_outside_functions('bucket_totals are written by roll_up_uses');
create or replace trigger bucket_totals_are_never_truncated before truncate on promptctl.bucket_totals
    for each statement execute function promptctl.refuse('bucket_totals are written by roll_up_uses');

create type promptctl.comparison as (metric text, share integer, uses_a bigint, uses_b bigint, units_a bigint,
                                     units_b bigint, strata integer, value_a double precision,
                                     value_b double precision, difference double precision,
                                     se_null double precision, se_free double precision,
                                     pooled double precision);

create or replace function promptctl.explain_resolve(name text, unit anycompatible default null::text,
                                                     attributes jsonb default '{}')
returns promptctl.resolve_explanation
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    answer promptctl.resolve_explanation;
    served promptctl.served;
    step jsonb;
begin
    perform promptctl.require_grants('promptctl.explain_resolve'::regproc);
    if jsonb_typeof(attributes) <> 'object' then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'attributes_are_an_object',
            message = format('attributes must be a JSON object, not %s', jsonb_typeof(attributes));
    end if;
    perform promptctl.unit_text(unit);
    perform promptctl.require_prompts(array[explain_resolve.name]);
    select * into served from promptctl.served s where s.name = explain_resolve.name;
    answer.asked_for := served.name;
    answer.route_step := promptctl.matching_step(served.route, attributes) + 1;
    if answer.route_step is not null then
        step := served.route -> (answer.route_step - 1);
        answer.route_when := step -> 'when';
        select * into served from promptctl.served s where s.name = split_part(step ->> 'use', '@', 1);
        answer.version := nullif(split_part(step ->> 'use', '@', 2), '');
    end if;
    answer.name := served.name;
    answer.epoch := case when answer.version is null then served.epoch else 0 end;
    answer.active_version := served.active_version;
    answer.basis_points := 0;
    if answer.version is null then
        answer.version := served.active_version;
        if served.candidate_version is not null then
            answer.candidate_version := served.candidate_version;
            answer.basis_points := served.basis_points;
            answer.seed := served.seed;
            answer.bucket := coalesce(promptctl.bucket(served.seed, unit::text), floor(random() * 10000));
            answer.is_candidate := answer.bucket < served.basis_points;
            if answer.is_candidate then
                answer.version := served.candidate_version;
            end if;
        end if;
    end if;
    if answer.bucket is null and unit is not null then
        answer.bucket := promptctl.bucket(served.name, unit::text);
    end if;
    select v.content, v.settings, v.metadata into answer.content, answer.settings, answer.metadata
    from promptctl.versions v where v.name = answer.name and v.version = answer.version;
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'a_version_is_active', detail = served.name,
            message = format(case when served.archived_at is null then '"%s" has no active version'
                                  else '"%s" is archived' end, served.name),
            hint = format(case when served.archived_at is null then 'promptctl activate %s@VERSION'
                               else 'promptctl show %s --archived' end, served.name);
    end if;
    return answer;
end
$$;

create or replace function promptctl.resolve(name text, unit anycompatible default null::text,
                                             attributes jsonb default '{}')
returns setof promptctl.resolved_version
language plpgsql stable security definer set search_path = pg_catalog, pg_temp rows 1 as $$
declare
    served promptctl.served;
    target text;
begin
    if has_function_privilege('public', 'promptctl.resolve'::regproc, 'execute') then
        perform promptctl.require_grants('promptctl.resolve'::regproc);
    end if;
    if pg_typeof(unit) <> 'text'::regtype then
        perform promptctl.unit_text(unit); -- Refuses other types, also without a split.
    end if;
    -- The same as explain_resolve, but faster, because every request of an application waits for it.
    select * into served from promptctl.served s where s.name = resolve.name;
    if served.route is not null then
        target := served.route -> promptctl.matching_step(served.route, attributes) ->> 'use';
        if target is not null then
            select * into served from promptctl.served s where s.name = split_part(target, '@', 1);
            if strpos(target, '@') > 0 then
                served.active_version := split_part(target, '@', 2);
                served.candidate_version := null;
                served.epoch := 0;
            end if;
        end if;
    end if;
    if served.candidate_version is not null
        and coalesce(promptctl.bucket(served.seed, unit::text), floor(random() * 10000))
            < served.basis_points then
        served.active_version := served.candidate_version;
    end if;
    return query
        select v.name, v.version, served.epoch, v.content, v.settings, v.metadata
        from promptctl.versions v where v.name = served.name and v.version = served.active_version;
    if not found or jsonb_typeof(attributes) <> 'object' then
        perform promptctl.explain_resolve(resolve.name, unit, attributes); -- It raises the error.
    end if;
end
$$;

create or replace function promptctl.read_versions(names text[], versions integer[])
returns setof promptctl.pinned_version
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off as $$
begin
    perform promptctl.require_grants('promptctl.read_versions'::regproc);
    return query
        select v.name, v.version, 0, v.content, v.settings, v.metadata
        from unnest(names, versions) n (name, version)
        join promptctl.versions v on v.name = n.name and v.version = n.version and v.erased_at is null;
end
$$;

create or replace function promptctl.score_use(use_id uuid, score double precision) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    most constant integer := 100;
    scored record;
begin
    perform promptctl.require_grants('promptctl.score_use'::regproc);
    if score is null then
        raise exception using errcode = 'not_null_violation', constraint = 'a_score_is_a_number',
            message = 'a score must be a number, not null';
    end if;
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    loop
        -- In one statement, and so in one snapshot: drop_uses may delete the scores of a use before the use itself, and
        -- without them the score to replace is unknown.
        select u.name, u.version, u.epoch, u.bucket, u.recorded_at, u.model, u.outcome = 'ok' as is_ok,
               promptctl.price_tier(u.input_tokens) as size, coalesce(o.place, 0) as place,
               coalesce(o.score, u.score) as score
        into scored
        from promptctl.uses u
        left join lateral (select l.place, l.score from promptctl.scores l
                           where l.use_id = u.id order by l.place desc limit 1) o on true
        where u.id = score_use.use_id
          and u.recorded_at >= coalesce((select r.dropped_before from promptctl.roll_up r), '-infinity');
        if not found then
            raise exception using errcode = 'no_data_found', constraint = 'use_exists',
                message = format('use %s does not exist or was dropped', use_id);
        elsif scored.score = score_use.score then
            perform set_config('promptctl.writing_transaction', '', true);
            return false;
        elsif scored.place >= most then
            raise exception using errcode = 'restrict_violation', constraint = 'a_use_is_scored_at_most_100_times',
                message = format('use %s has %s scores, which is the limit', use_id, most);
        end if;
        insert into promptctl.scores (use_id, place, name, version, epoch, bucket, used_at, model, is_ok, size, score,
                                      previous)
        values (score_use.use_id, scored.place + 1, scored.name, scored.version, scored.epoch, scored.bucket,
                scored.recorded_at, scored.model, scored.is_ok, scored.size, score_use.score, scored.score)
        on conflict on constraint a_use_has_one_score_per_place do nothing;
        -- Another session inserted a score of this use meanwhile: read it and try again.
        exit when found;
    end loop;
    perform set_config('promptctl.writing_transaction', '', true);
    return true;
end
$$;

create or replace function promptctl.buckets_per_group(basis_points integer) returns integer language sql immutable
begin atomic
    -- Each number divides 10, so that the groups of one share can be added to those of another.
    select case when least(basis_points, 10000 - basis_points) >= 500 then 10
                when least(basis_points, 10000 - basis_points) >= 250 then 5
                when least(basis_points, 10000 - basis_points) >= 100 then 2 else 1 end;
end;

create or replace function promptctl.bucket_group(use_id uuid, version integer, bucket smallint,
                                                  allocation promptctl.allocations)
returns smallint language sql immutable
begin atomic
    select case
        -- The buckets of the candidate are below the share.
        when version = allocation.candidate_version and bucket < allocation.basis_points
          or version = allocation.version and bucket >= allocation.basis_points
            then bucket / promptctl.buckets_per_group(allocation.basis_points)
                 * promptctl.buckets_per_group(allocation.basis_points)
        when bucket is not null then -1
        when version = allocation.candidate_version
            then 10000 + (uuid_hash(use_id)::bigint + 2147483648) * allocation.basis_points / 4294967296
                 / promptctl.buckets_per_group(allocation.basis_points)
                 * promptctl.buckets_per_group(allocation.basis_points)
        when version = allocation.version
            then 10000 + (allocation.basis_points + (uuid_hash(use_id)::bigint + 2147483648)
                          * (10000 - allocation.basis_points) / 4294967296)
                 / promptctl.buckets_per_group(allocation.basis_points)
                 * promptctl.buckets_per_group(allocation.basis_points)
        else -1 end::smallint;
end;

create or replace view promptctl.split_uses as
select u.name, u.epoch, u.version, promptctl.bucket_group(u.id, u.version, u.bucket, a) as bucket, u.model::text as model,
       promptctl.price_tier(u.input_tokens) as size, true as is_use, u.outcome <> 'ok' as is_error,
       u.outcome = 'ok' and u.response_ms > coalesce(a.slow_ms, 10000) as is_slow,
       coalesce(u.input_tokens, u.output_tokens) is not null as is_billed,
       -- Not the greatest of null and 1, which is 1.
       case when u.outcome = 'ok' and u.response_ms is not null then ln(greatest(u.response_ms, 1)) end
           as ln_response_ms,
       case when u.outcome = 'ok' and u.first_token_ms is not null then ln(greatest(u.first_token_ms, 1)) end
           as ln_first_token_ms,
       case when u.outcome = 'ok' and u.output_tokens is not null
            then ln(greatest(u.output_tokens, 1)::double precision) end as ln_output_tokens,
       u.input_tokens::double precision as input_tokens, u.output_tokens::double precision as output_tokens,
       u.cache_read_tokens::double precision as cache_read_tokens,
       u.cache_write_tokens::double precision as cache_write_tokens, (u.score is not null)::integer as with_score,
       u.score::double precision as score, u.recorded_in,
       a.ctid as allocation
from promptctl.uses u
join promptctl.allocations a on a.name = u.name and a.epoch = u.epoch
 and a.candidate_version is not null and a.basis_points between 1 and 9999
union all
select o.name, o.epoch, o.version, promptctl.bucket_group(o.use_id, o.version, o.bucket, a), o.model::text, o.size, false,
       false, false, false, null, null, null, null, null, null, null, (o.previous is null)::integer,
       o.score - coalesce(o.previous, 0), o.recorded_in, a.ctid
from promptctl.scores o
join promptctl.allocations a on a.name = o.name and a.epoch = o.epoch
 and a.candidate_version is not null and a.basis_points between 1 and 9999;

comment on view promptctl.split_uses is
    'What each single use that a split served, and each score that arrived after its use, adds to bucket_totals.';
comment on column promptctl.split_uses.bucket is 'The group of buckets, see bucket_group.';
comment on column promptctl.split_uses.size is 'The price tier, as in totals.';
comment on column promptctl.split_uses.is_use is 'Whether it is a use; false: it is a score.';
comment on column promptctl.split_uses.is_error is 'Whether the outcome is not ok.';
comment on column promptctl.split_uses.is_slow is 'As slow in bucket_totals.';
comment on column promptctl.split_uses.is_billed is 'As billed in bucket_totals.';
comment on column promptctl.split_uses.ln_response_ms is
    'The natural logarithm of response_ms, of at least 1 ms; null: not reported, or the use failed.';
comment on column promptctl.split_uses.ln_first_token_ms is 'As ln_response_ms, of first_token_ms.';
comment on column promptctl.split_uses.ln_output_tokens is 'As ln_response_ms, of output_tokens.';
comment on column promptctl.split_uses.cache_read_tokens is 'The part of input_tokens that was read from a cache.';
comment on column promptctl.split_uses.cache_write_tokens is 'The part of input_tokens that was written to a cache.';
comment on column promptctl.split_uses.with_score is '1 for a score; 0: no score, or one that replaces another.';
comment on column promptctl.split_uses.score is 'The score, less the one that it replaces.';
comment on column promptctl.split_uses.recorded_in is 'As in uses.';
comment on column promptctl.split_uses.allocation is
    'The row of the epoch in allocations, by its place in the table: a shorter key than name and epoch.';

-- By hash, as roll_up_uses. The rows are written in the order in which compare_versions reads them: otherwise those of one
-- prompt are in as many pages as there are rows.
create or replace function promptctl.add_to_bucket_totals(from_number bigint, to_number bigint, names text[])
returns void
language plpgsql set search_path = pg_catalog, pg_temp
set enable_nestloop = off set enable_mergejoin = off as $$
begin
    if not exists (select from promptctl.allocations a
                   where a.name = any (names) and a.candidate_version is not null
                     and a.basis_points between 1 and 9999) then
        return;
    end if;
    -- Materialized: otherwise all uses are sorted for the order below, because the planner expects few. Uses are grouped
    -- by allocation and by the model that they name, and then by name, epoch and counted model: a hash of several texts
    -- for each use takes a fifth of the time.
    with counted as materialized (
        select c.allocation, c.version, c.bucket, c.model, c.size, count(*) filter (where c.is_use) as uses,
               count(*) filter (where c.is_error) as errors, count(c.ln_response_ms) as with_response,
               count(*) filter (where c.is_slow) as slow, count(c.ln_first_token_ms) as with_first_token,
               count(c.ln_output_tokens) as with_output, count(*) filter (where c.is_billed) as billed,
               sum(c.with_score) as with_score, sum(c.ln_response_ms) as ln_response_ms,
               sum(c.ln_first_token_ms) as ln_first_token_ms, sum(c.ln_output_tokens) as ln_output_tokens,
               sum(c.input_tokens) as input_tokens, sum(c.output_tokens) as output_tokens,
               sum(c.cache_read_tokens) as cache_read_tokens, sum(c.cache_write_tokens) as cache_write_tokens,
               sum(c.score) as score
        from (
            select u.* from promptctl.split_uses u
            where u.recorded_in >= from_number and u.recorded_in < to_number
            offset 0 -- Otherwise each logarithm is computed twice.
        ) c
        group by 1, 2, 3, 4, 5
    ), groups (name, epoch, version, bucket) as materialized (
        select a.name, a.epoch, c.version, c.bucket,
               case when c.model is null or k.model is not null then c.model else 'other models' end, c.size,
               sum(c.uses), sum(c.errors), sum(c.with_response), sum(c.slow), sum(c.with_first_token), sum(c.with_output),
               sum(c.billed), sum(c.with_score), coalesce(sum(c.ln_response_ms), 0),
               coalesce(sum(c.ln_first_token_ms), 0), coalesce(sum(c.ln_output_tokens), 0),
               coalesce(sum(c.input_tokens), 0), coalesce(sum(c.output_tokens), 0), coalesce(sum(c.cache_read_tokens), 0),
               coalesce(sum(c.cache_write_tokens), 0), coalesce(sum(c.score), 0)
        from counted c
        join promptctl.allocations a on a.ctid = c.allocation
        left join (select distinct o.name, o.version, o.model
                   from promptctl.totals o where o.grain = 'all') k
            on k.name = a.name and k.version = c.version and k.model = c.model
        group by 1, 2, 3, 4, 5, 6
    )
    insert into promptctl.bucket_totals as t (
        name, epoch, version, bucket, model, size, uses, errors, with_response, slow, with_first_token, with_output, billed,
        with_score, ln_response_ms, ln_first_token_ms, ln_output_tokens, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, score)
    select * from groups g
    order by g.name, g.epoch, g.version, g.bucket
    on conflict on constraint bucket_totals_have_one_row_per_group do update
    set uses = t.uses + excluded.uses, errors = t.errors + excluded.errors,
        with_response = t.with_response + excluded.with_response, slow = t.slow + excluded.slow,
        with_first_token = t.with_first_token + excluded.with_first_token,
        with_output = t.with_output + excluded.with_output, billed = t.billed + excluded.billed,
        with_score = t.with_score + excluded.with_score,
        ln_response_ms = t.ln_response_ms + excluded.ln_response_ms,
        ln_first_token_ms = t.ln_first_token_ms + excluded.ln_first_token_ms,
        ln_output_tokens = t.ln_output_tokens + excluded.ln_output_tokens,
        input_tokens = t.input_tokens + excluded.input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens,
        cache_read_tokens = t.cache_read_tokens + excluded.cache_read_tokens,
        cache_write_tokens = t.cache_write_tokens + excluded.cache_write_tokens, score = t.score + excluded.score;
end
$$;

-- By hash: the planner overestimates the number of hours and would sort all uses, which takes three times as long.
create or replace function promptctl.roll_up_uses(at_most bigint default 1000000) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = 0 set work_mem = '128MB'
set enable_sort = off set enable_incremental_sort = off set jit = off
set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off as $$
declare
    mark promptctl.roll_up;
    horizon bigint;
    last_place bigint;
    waiting bigint;
    names text[];
    added bigint := 0;
begin
    perform promptctl.require_grants('promptctl.roll_up_uses'::regproc);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    select * into mark from promptctl.roll_up;
    -- A difference of up to a thousand transactions closes by itself.
    if pg_snapshot_xmax(pg_current_snapshot())::text::bigint + mark.transaction_offset + 1000 < mark.rolled_below then
        perform promptctl.catch_up_after_restore();
    end if;
    -- One session at a time; a second one returns null.
    select * into mark from promptctl.roll_up for no key update skip locked;
    if not found then
        begin
            if exists (select from promptctl.roll_up) then
                raise lock_not_available;
            end if;
            -- The first roll-up has no row to lock. Recorders and readers do not wait for this lock.
            lock table promptctl.roll_up in share row exclusive mode nowait;
            select * into mark from promptctl.roll_up for no key update skip locked;
        exception when lock_not_available then
            perform set_config('promptctl.writing_transaction', '', true);
            return null;
        end;
        mark.rolled_below := coalesce(mark.rolled_below, 0);
        mark.transaction_offset := coalesce(mark.transaction_offset, 0);
    end if;
    -- Every transaction below it has ended and can record no more uses.
    horizon := pg_snapshot_xmin(pg_current_snapshot())::text::bigint + mark.transaction_offset;
    -- Read about at_most uses in physical order, which is nearly the order of recording, and roll up all that were recorded
    -- no later than these. In the order of an index they would be the uses of one prompt.
    select count(*), max(f.recorded_in) into waiting, last_place
    from (select u.recorded_in from promptctl.uses u
          where u.recorded_in >= mark.rolled_below and u.recorded_in < horizon limit at_most) f;
    horizon := greatest(mark.rolled_below, case when waiting = at_most then last_place + 1 else horizon end);

    if waiting > 0 then
        with hours as materialized (
            select u.name, u.version, date_bin('1 hour', u.recorded_at, '2000-01-01 00:00:00+00') as starts_at, u.model,
                   u.outcome = 'ok' as is_ok, promptctl.price_tier(u.input_tokens) as size,
                   count(*) as uses, count(*) - count(u.bucket) as without_unit,
                   count(coalesce(u.input_tokens, u.output_tokens)) as with_tokens,
                   count(u.input_tokens + u.output_tokens) as with_both,
                   sum((u.input_tokens + u.output_tokens)::double precision) as tokens,
                   count(u.input_tokens) as with_input, sum(u.input_tokens::double precision) as input_tokens,
                   count(u.output_tokens) as with_output, sum(u.output_tokens::double precision) as output_tokens,
                   sum(u.cache_read_tokens::double precision) as cache_read_tokens,
                   sum(u.cache_write_tokens::double precision) as cache_write_tokens,
                   count(u.response_ms) as with_response, sum(u.response_ms) as response_ms,
                   min(u.response_ms) as fastest_ms, max(u.response_ms) as slowest_ms,
                   count(u.first_token_ms) as with_first_token,
                   sum(u.first_token_ms) as first_token_ms, count(u.score) as with_score, sum(u.score) as score,
                   max(u.recorded_at) as last_used_at, array_agg(promptctl.histogram_bucket(u.response_ms)) as buckets
            from promptctl.uses u
            where u.recorded_in >= mark.rolled_below and u.recorded_in < horizon
            group by 1, 2, 3, 4, 5, 6
        ), counted as materialized (
            select h.*, case when t.buckets is not null then row(t.buckets, t.counts)::promptctl.histogram end
                            as response_times
            from hours h
            -- Hour by hour: sorting and counting all buckets at once took as long as the rest.
            cross join lateral (
                select array_agg(b.bucket) as buckets, array_agg(b.number) as counts
                from (select e.bucket, count(*) as number from unnest(h.buckets) e (bucket)
                      where e.bucket is not null group by e.bucket order by e.bucket) b) t
        ), kept as materialized (
            select k.name, k.version, k.model
            from (select array_agg(h.name) as names, array_agg(h.version) as versions,
                         array_agg(h.model::text) as models, array_agg(h.uses) as uses
                  from hours h where h.model is not null) m
            cross join lateral promptctl.models_in_totals(m.names, m.versions, m.models, m.uses) k
        ), sums as (
            select g.grain, c.name, c.version, g.starts_at,
                   case when c.model is null or k.model is not null then c.model else 'other models' end as model,
                   c.is_ok, c.size, sum(c.uses) as uses,
                   sum(c.without_unit) as without_unit, sum(c.with_tokens) as with_tokens,
                   sum(c.with_both) as with_both, sum(c.tokens) as tokens, sum(c.with_input) as with_input,
                   sum(c.input_tokens) as input_tokens, sum(c.with_output) as with_output,
                   sum(c.output_tokens) as output_tokens,
                   sum(c.cache_read_tokens) as cache_read_tokens, sum(c.cache_write_tokens) as cache_write_tokens,
                   sum(c.with_response) as with_response, sum(c.response_ms) as response_ms,
                   min(c.fastest_ms) as fastest_ms, max(c.slowest_ms) as slowest_ms,
                   array_agg(c.response_times) as response_times,
                   sum(c.with_first_token) as with_first_token, sum(c.first_token_ms) as first_token_ms,
                   sum(c.with_score) as with_score, sum(c.score) as score, max(c.last_used_at) as last_used_at
            from counted c
            left join kept k on k.name = c.name and k.version = c.version and k.model = c.model
            cross join lateral (values ('hour', c.starts_at), ('day', date_trunc('day', c.starts_at, 'UTC')),
                                       ('all', '-infinity'::timestamptz)) g (grain, starts_at)
            group by 1, 2, 3, 4, 5, 6, 7
        ), written as (
            insert into promptctl.totals as t (
                grain, name, version, starts_at, model, is_ok, size, uses, without_unit, with_tokens, with_both, tokens,
                with_input, input_tokens, with_output, output_tokens, cache_read_tokens, cache_write_tokens,
                with_response, response_ms, fastest_ms, slowest_ms, response_times, with_first_token, first_token_ms,
                with_score, score, last_used_at)
            select s.grain, s.name, s.version, s.starts_at, s.model, s.is_ok, s.size, s.uses, s.without_unit,
                   s.with_tokens, s.with_both, s.tokens, s.with_input, s.input_tokens, s.with_output, s.output_tokens,
                   s.cache_read_tokens, s.cache_write_tokens, s.with_response, s.response_ms, s.fastest_ms,
                   s.slowest_ms, case when cardinality(s.response_times) = 1 then s.response_times[1]
                       else promptctl.merge_histograms(s.response_times) end,
                   s.with_first_token, s.first_token_ms, s.with_score, s.score, s.last_used_at
            from sums s
            on conflict on constraint totals_have_one_row_per_group do update
            set uses = t.uses + excluded.uses, without_unit = t.without_unit + excluded.without_unit,
                with_tokens = t.with_tokens + excluded.with_tokens, with_both = t.with_both + excluded.with_both,
                tokens = coalesce(t.tokens + excluded.tokens, t.tokens, excluded.tokens),
                with_input = t.with_input + excluded.with_input,
                input_tokens = coalesce(t.input_tokens + excluded.input_tokens, t.input_tokens, excluded.input_tokens),
                with_output = t.with_output + excluded.with_output,
                output_tokens = coalesce(t.output_tokens + excluded.output_tokens, t.output_tokens,
                                         excluded.output_tokens),
                cache_read_tokens = coalesce(t.cache_read_tokens + excluded.cache_read_tokens, t.cache_read_tokens,
                                             excluded.cache_read_tokens),
                cache_write_tokens = coalesce(t.cache_write_tokens + excluded.cache_write_tokens, t.cache_write_tokens,
                                              excluded.cache_write_tokens),
                with_response = t.with_response + excluded.with_response,
                response_ms = coalesce(t.response_ms + excluded.response_ms, t.response_ms, excluded.response_ms),
                fastest_ms = least(t.fastest_ms, excluded.fastest_ms),
                slowest_ms = greatest(t.slowest_ms, excluded.slowest_ms),
                response_times = promptctl.merge_histograms(array[t.response_times, excluded.response_times]),
                with_first_token = t.with_first_token + excluded.with_first_token,
                first_token_ms = coalesce(t.first_token_ms + excluded.first_token_ms, t.first_token_ms,
                                          excluded.first_token_ms),
                with_score = t.with_score + excluded.with_score,
                score = coalesce(t.score + excluded.score, t.score, excluded.score),
                last_used_at = greatest(t.last_used_at, excluded.last_used_at)
        )
        select sum(h.uses), array_agg(distinct h.name) into added, names from hours h;
    end if;

    -- A score may be rolled up before its use, whose transaction may have begun later.
    insert into promptctl.totals as t (
        grain, name, version, starts_at, model, is_ok, size, uses, without_unit, with_tokens, with_both, with_input,
        with_output, with_response, with_first_token, with_score, score)
    select g.grain, o.name, o.version, g.starts_at,
           case when o.model is null or k.model is not null then o.model else 'other models' end as model, o.is_ok,
           o.size, 0, 0, 0, 0, 0, 0, 0, 0,
           count(*) filter (where o.previous is null), sum(o.score - coalesce(o.previous, 0))
    from promptctl.scores o
    left join (
        select f.name, f.version, f.model
        from (select array_agg(m.name) as names, array_agg(m.version) as versions,
                     array_agg(m.model::text) as models, array_agg(1::bigint) as uses
              from promptctl.scores m
              where m.recorded_in >= mark.rolled_below and m.recorded_in < horizon and m.model is not null) n
        cross join lateral promptctl.models_in_totals(n.names, n.versions, n.models, n.uses) f
    ) k on k.name = o.name and k.version = o.version and k.model = o.model
    cross join lateral (values ('hour', date_trunc('hour', o.used_at, 'UTC')),
                               ('day', date_trunc('day', o.used_at, 'UTC')),
                               ('all', '-infinity'::timestamptz)) g (grain, starts_at)
    where o.recorded_in >= mark.rolled_below and o.recorded_in < horizon
    group by 1, 2, 3, 4, 5, 6, 7
    on conflict on constraint totals_have_one_row_per_group do update
    set with_score = t.with_score + excluded.with_score,
        score = coalesce(t.score + excluded.score, t.score, excluded.score);

    perform promptctl.add_to_bucket_totals(mark.rolled_below, horizon, names || array(
        select o.name from promptctl.scores o
        where o.recorded_in >= mark.rolled_below and o.recorded_in < horizon group by 1));

    if added = 0 then
        -- Uses from a cluster with larger transaction numbers would not be rolled up until this cluster reaches them.
        update promptctl.uses u set recorded_in = horizon
        where u.recorded_in > greatest(horizon, pg_snapshot_xmax(pg_current_snapshot())::text::bigint + mark.transaction_offset);
        update promptctl.scores o set recorded_in = horizon
        where o.recorded_in > greatest(horizon, pg_snapshot_xmax(pg_current_snapshot())::text::bigint + mark.transaction_offset);
    end if;
    if mark.singleton then
        update promptctl.roll_up r set rolled_below = horizon, rolled_up_at = clock_timestamp()
        where r.rolled_below <> horizon;
    elsif waiting > 0 or exists (select from promptctl.totals) then
        insert into promptctl.roll_up (rolled_below, rolled_up_at) values (horizon, clock_timestamp());
    end if;
    perform set_config('promptctl.writing_transaction', '', true);
    return added;
end
$$;

create or replace function promptctl.half_width(v double precision, tau double precision, alpha double precision)
returns double precision language sql immutable
begin atomic
    select case when v > 0 then sqrt((v + tau ^ 2) * v / tau ^ 2 * (ln(1 + tau ^ 2 / v) - 2 * ln(alpha))) end;
end;

create or replace function promptctl.valid_interval(d double precision, se_null double precision,
                                                    se_free double precision, tau double precision,
                                                    alpha double precision, out lower double precision,
                                                    out upper double precision)
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
    v_null constant double precision := se_null ^ 2;
    v_free constant double precision := greatest(se_null, se_free) ^ 2;
    near double precision := abs(d) - promptctl.half_width(v_null, tau, alpha);
    far constant double precision := abs(d) + promptctl.half_width(v_free, tau, alpha);
    low double precision := 0;
    high double precision := abs(d);
    middle double precision;
begin
    if near > 0 and v_free > v_null then
        -- The difference at which the estimate is at the end of its interval, with a variance between the two.
        for step in 1 .. 60 loop
            middle := (low + high) / 2;
            if abs(d) - middle > promptctl.half_width(v_null + (v_free - v_null) * middle / abs(d), tau, alpha) then
                low := middle;
            else
                high := middle;
            end if;
        end loop;
        near := low;
    end if;
    lower := case when d < 0 then -far else near end;
    upper := case when d < 0 then -near else far end;
end
$$;

create or replace function promptctl.compare_versions(name text, a integer, b integer, epochs integer[] default null,
                                                      prices jsonb default '[]', cap double precision default 0.05,
                                                      group_size integer default null)
returns setof promptctl.comparison
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set work_mem = '64MB' set jit = off
set plan_cache_mode = 'force_custom_plan' set max_parallel_workers_per_gather = 0 set enable_nestloop = off
set enable_mergejoin = off set enable_sort = off set enable_incremental_sort = off as $$
declare
    watermark constant bigint := promptctl.rolled_below();
    splits promptctl.allocations[];
    buckets integer := group_size;
begin
    perform promptctl.require_grants('promptctl.compare_versions'::regproc);
    perform promptctl.require_prompts(array[compare_versions.name]);
    splits := array(
        select l from promptctl.allocations l
        where l.name = compare_versions.name and l.basis_points between 1 and 9999
          and (l.version = a and l.candidate_version = b or l.version = b and l.candidate_version = a)
          and (epochs is null or l.epoch = any (epochs)));
    if buckets is null then
        -- The least number that the numbers of all shares divide.
        select case when bool_or(n.number = 10) or bool_or(n.number = 5) and bool_or(n.number = 2) then 10
                    else max(n.number) end
        into buckets
        from unnest(splits) s cross join promptctl.buckets_per_group(s.basis_points) n (number);
    end if;
    return query
    with strata as materialized (
        -- Epochs of one split with the same share are one stratum.
        select s.epoch, s.seed::text as seed,
               case when s.candidate_version = b then s.basis_points else 10000 - s.basis_points end as share,
               dense_rank() over (order by s.seed, s.basis_points, s.candidate_version)::integer as stratum
        from unnest(splits) s
    ), price as materialized (
        select p.model, p.size, p.input, p.output, coalesce(p.cache_read, p.input) as cache_read,
               coalesce(p.cache_write, p.input) as cache_write
        from jsonb_to_recordset(prices) as p (model text, size smallint, input double precision,
                                              output double precision, cache_read double precision,
                                              cache_write double precision)
    ), parts as (
        select t.epoch, t.version, t.bucket, t.model, t.size, t.uses, t.errors, t.with_response, t.slow,
               t.with_first_token, t.with_output, t.billed, t.with_score, t.ln_response_ms, t.ln_first_token_ms,
               t.ln_output_tokens, t.input_tokens, t.output_tokens, t.cache_read_tokens, t.cache_write_tokens, t.score
        from promptctl.bucket_totals t
        where t.name = compare_versions.name and t.version in (a, b)
        union all
        select u.epoch, u.version, u.bucket, u.model, u.size, u.is_use::integer, u.is_error::integer,
               (u.ln_response_ms is not null)::integer, coalesce(u.is_slow, false)::integer,
               (u.ln_first_token_ms is not null)::integer, (u.ln_output_tokens is not null)::integer,
               u.is_billed::integer, u.with_score, coalesce(u.ln_response_ms, 0), coalesce(u.ln_first_token_ms, 0),
               coalesce(u.ln_output_tokens, 0), coalesce(u.input_tokens, 0), coalesce(u.output_tokens, 0),
               coalesce(u.cache_read_tokens, 0), coalesce(u.cache_write_tokens, 0), coalesce(u.score, 0)
        from promptctl.split_uses u
        where u.name = compare_versions.name and u.version in (a, b) and u.recorded_in >= watermark
    ), groups as materialized (
        select s.stratum, p.version = b as is_b, case when p.bucket < 0 then -1 else p.bucket / buckets end as place,
               sum(p.uses)::double precision as uses, sum(p.errors) as errors, sum(p.with_response) as with_response,
               sum(p.ln_response_ms) as ln_response_ms, sum(p.slow) as slow,
               sum(p.with_first_token) as with_first_token, sum(p.ln_first_token_ms) as ln_first_token_ms,
               sum(p.with_output) as with_output, sum(p.ln_output_tokens) as ln_output_tokens, sum(p.billed) as billed,
               coalesce(sum((p.input_tokens - p.cache_read_tokens - p.cache_write_tokens) * c.input
                            + p.output_tokens * c.output + p.cache_read_tokens * c.cache_read
                            + p.cache_write_tokens * c.cache_write), 0) as cost,
               coalesce(sum(p.billed) filter (where c.input is null or c.output is null), 0) as without_price,
               sum(p.with_score) as with_score, sum(p.score) as score
        from parts p
        join strata s on s.epoch = p.epoch
        left join price c on c.model = p.model and c.size = p.size
        group by 1, 2, 3
    ), sizes as materialized (
        select h.stratum, h.seed, h.share,
               coalesce(sum(g.uses) filter (where not g.is_b and g.place >= 0), 0) as uses_a,
               coalesce(sum(g.uses) filter (where g.is_b and g.place >= 0), 0) as uses_b,
               -- A use without a unit is a unit of its own.
               coalesce(sum(case when g.place < 10000 / buckets then 1 else g.uses end)
                        filter (where not g.is_b and g.place >= 0), 0) as units_a,
               coalesce(sum(case when g.place < 10000 / buckets then 1 else g.uses end)
                        filter (where g.is_b and g.place >= 0), 0) as units_b,
               coalesce(sum(g.uses) filter (where not g.is_b and g.place < 0), 0) as misplaced_a,
               coalesce(sum(g.uses) filter (where g.is_b and g.place < 0), 0) as misplaced_b,
               coalesce(sum(g.without_price), 0) as without_price
        from (select distinct s.stratum, s.seed, s.share from strata s) h
        left join groups g on g.stratum = h.stratum
        group by 1, 2, 3
    ), capped as materialized (
        -- The metrics are in columns, because a row for each metric takes twice as long.
        select c.stratum, c.seed, c.share, c.is_b, c.place, c.uses * c.factor as n1, c.errors * c.factor as s1,
               c.with_response * c.factor as n2, c.ln_response_ms * c.factor as s2, c.with_response * c.factor as n3,
               c.slow * c.factor as s3, c.with_first_token * c.factor as n4, c.ln_first_token_ms * c.factor as s4,
               c.with_output * c.factor as n5, c.ln_output_tokens * c.factor as s5, c.billed * c.factor as n6,
               c.cost * c.factor as s6, c.with_score * c.factor as n7, c.score * c.factor as s7
        from (
            select g.*, z.seed, z.share,
                   coalesce(least(1, cap * coalesce(nullif(least(z.uses_a, z.uses_b), 0), greatest(z.uses_a, z.uses_b))
                                         / nullif(g.uses, 0)), 1) as factor
            from groups g join sizes z on z.stratum = g.stratum
            where g.place >= 0
            offset 0
        ) c
    ), moments as (
        select c.stratum, c.is_b,
               count(*) filter (where c.n1 > 0) as u1, sum(c.n1) as n1, sum(c.s1) as s1,
               sum(c.s1 * c.s1) as ss1, sum(c.s1 * c.n1) as sn1, sum(c.n1 * c.n1) as nn1,
               count(*) filter (where c.n2 > 0) as u2, sum(c.n2) as n2, sum(c.s2) as s2,
               sum(c.s2 * c.s2) as ss2, sum(c.s2 * c.n2) as sn2, sum(c.n2 * c.n2) as nn2,
               count(*) filter (where c.n3 > 0) as u3, sum(c.n3) as n3, sum(c.s3) as s3,
               sum(c.s3 * c.s3) as ss3, sum(c.s3 * c.n3) as sn3, sum(c.n3 * c.n3) as nn3,
               count(*) filter (where c.n4 > 0) as u4, sum(c.n4) as n4, sum(c.s4) as s4,
               sum(c.s4 * c.s4) as ss4, sum(c.s4 * c.n4) as sn4, sum(c.n4 * c.n4) as nn4,
               count(*) filter (where c.n5 > 0) as u5, sum(c.n5) as n5, sum(c.s5) as s5,
               sum(c.s5 * c.s5) as ss5, sum(c.s5 * c.n5) as sn5, sum(c.n5 * c.n5) as nn5,
               count(*) filter (where c.n6 > 0) as u6, sum(c.n6) as n6, sum(c.s6) as s6,
               sum(c.s6 * c.s6) as ss6, sum(c.s6 * c.n6) as sn6, sum(c.n6 * c.n6) as nn6,
               count(*) filter (where c.n7 > 0) as u7, sum(c.n7) as n7, sum(c.s7) as s7,
               sum(c.s7 * c.s7) as ss7, sum(c.s7 * c.n7) as sn7, sum(c.n7 * c.n7) as nn7
        from capped c group by 1, 2
    ), sides as materialized (
        select m.stratum, m.is_b, v.metric, v.units::double precision as units, v.n, v.s, v.ss, v.sn, v.nn
        from moments m
        cross join lateral (values
            (1, m.u1, m.n1, m.s1, m.ss1, m.sn1, m.nn1),
            (2, m.u2, m.n2, m.s2, m.ss2, m.sn2, m.nn2),
            (3, m.u3, m.n3, m.s3, m.ss3, m.sn3, m.nn3),
            (4, m.u4, m.n4, m.s4, m.ss4, m.sn4, m.nn4),
            (5, m.u5, m.n5, m.s5, m.ss5, m.sn5, m.nn5),
            (6, m.u6, m.n6, m.s6, m.ss6, m.sn6, m.nn6),
            (7, m.u7, m.n7, m.s7, m.ss7, m.sn7, m.nn7)
        ) v (metric, units, n, s, ss, sn, nn)
        where v.units > 1
    ), compared as materialized (
        select q.metric, q.stratum, q.weight, q.n_a, q.n_b, q.value_a, q.value_b, q.pooled,
               -- The sum of (s - value * n)^2 over the groups, which is negative only by rounding.
               greatest(q.ss_a + q.ss_b - 2 * q.pooled * (q.sn_a + q.sn_b) + q.pooled ^ 2 * (q.nn_a + q.nn_b), 0)
                   / (q.units_a + q.units_b - 1) * (q.units_a / q.n_a ^ 2 + q.units_b / q.n_b ^ 2) as v_null,
               greatest(q.ss_a - 2 * q.value_a * q.sn_a + q.value_a ^ 2 * q.nn_a, 0) / q.n_a ^ 2
                   + greatest(q.ss_b - 2 * q.value_b * q.sn_b + q.value_b ^ 2 * q.nn_b, 0) / q.n_b ^ 2 as v_free
        from (
            select o.metric, o.stratum, o.units as units_a, c.units as units_b, o.n as n_a, c.n as n_b,
                   o.s / o.n as value_a, c.s / c.n as value_b, (o.s + c.s) / (o.n + c.n) as pooled, o.ss as ss_a,
                   c.ss as ss_b, o.sn as sn_a, c.sn as sn_b, o.nn as nn_a, c.nn as nn_b,
                   o.n * c.n / (o.n + c.n) / sum(o.n * c.n / (o.n + c.n)) over (partition by o.metric) as weight
            from sides o
            join sides c on c.metric = o.metric and c.stratum = o.stratum and c.is_b
            where not o.is_b
        ) q
    ), factors as materialized (
        -- What a group adds to the difference is f * (s - r * n).
        select k.stratum, t.is_b,
               max(t.f) filter (where k.metric = 1) as f1, max(t.r) filter (where k.metric = 1) as r1,
               max(t.f) filter (where k.metric = 2) as f2, max(t.r) filter (where k.metric = 2) as r2,
               max(t.f) filter (where k.metric = 3) as f3, max(t.r) filter (where k.metric = 3) as r3,
               max(t.f) filter (where k.metric = 4) as f4, max(t.r) filter (where k.metric = 4) as r4,
               max(t.f) filter (where k.metric = 5) as f5, max(t.r) filter (where k.metric = 5) as r5,
               max(t.f) filter (where k.metric = 6) as f6, max(t.r) filter (where k.metric = 6) as r6,
               max(t.f) filter (where k.metric = 7) as f7, max(t.r) filter (where k.metric = 7) as r7
        from compared k
        cross join lateral (values (false, -k.weight / k.n_a, k.value_a), (true, k.weight / k.n_b, k.value_b))
            t (is_b, f, r)
        where (select count(*) > 1 from sizes)
        group by 1, 2
    ), unit_sums as (
        -- The same units are in several strata of a seed.
        select p.seed, p.place,
               sum(p.p1) as t1, sum(p.p1 ^ 2) as q1, sum(p.p2) as t2, sum(p.p2 ^ 2) as q2,
               sum(p.p3) as t3, sum(p.p3 ^ 2) as q3, sum(p.p4) as t4, sum(p.p4 ^ 2) as q4,
               sum(p.p5) as t5, sum(p.p5 ^ 2) as q5, sum(p.p6) as t6, sum(p.p6 ^ 2) as q6,
               sum(p.p7) as t7, sum(p.p7 ^ 2) as q7
        from (
            select c.seed, c.place,
                   f.f1 * (c.s1 - f.r1 * c.n1) as p1, f.f2 * (c.s2 - f.r2 * c.n2) as p2,
                   f.f3 * (c.s3 - f.r3 * c.n3) as p3, f.f4 * (c.s4 - f.r4 * c.n4) as p4,
                   f.f5 * (c.s5 - f.r5 * c.n5) as p5, f.f6 * (c.s6 - f.r6 * c.n6) as p6,
                   f.f7 * (c.s7 - f.r7 * c.n7) as p7
            from capped c join factors f on f.stratum = c.stratum and f.is_b = c.is_b
            where c.place < 10000 / buckets
            offset 0
        ) p
        group by 1, 2
    ), cross_terms as materialized (
        select v.metric, greatest(v.v, 0) as v
        from (
            select
                   sum(u.t1 ^ 2 - u.q1) as v1, sum(u.t2 ^ 2 - u.q2) as v2, sum(u.t3 ^ 2 - u.q3) as v3,
                   sum(u.t4 ^ 2 - u.q4) as v4, sum(u.t5 ^ 2 - u.q5) as v5, sum(u.t6 ^ 2 - u.q6) as v6,
                   sum(u.t7 ^ 2 - u.q7) as v7
            from unit_sums u
        ) u
        cross join lateral (values (1, u.v1), (2, u.v2), (3, u.v3), (4, u.v4), (5, u.v5), (6, u.v6), (7, u.v7)) v (metric, v)
    ), traffic as (
        -- Uses for each bucket of a version: a group without uses counts. A version without uses is taken to have half of
        -- the uses of an average group.
        select q.stratum, q.uses_a, q.uses_b, q.uses_a / (10000 - q.share) as value_a, q.uses_b / q.share as value_b,
               ln(coalesce(nullif(q.uses_b, 0), q.half) / q.share
                  / (coalesce(nullif(q.uses_a, 0), q.half) / (10000 - q.share))) as difference,
               sqrt(greatest(q.ss - 2 * q.mean * buckets * (q.uses_a + q.uses_b) + q.mean ^ 2 * buckets * 10000, 0)
                    / (10000 / buckets - 1)
                    * (1.0 / (buckets * q.share) + 1.0 / (buckets * (10000 - q.share)))) / q.mean as se
        from (
            select c.stratum, c.share, coalesce(sum(c.n) filter (where not c.is_b), 0) as uses_a,
                   coalesce(sum(c.n) filter (where c.is_b), 0) as uses_b, sum(c.n ^ 2) as ss, sum(c.n) / 10000 as mean,
                   avg(c.n) / 2 as half
            -- Uses without a unit are in the groups of their buckets.
            from (select g.stratum, g.share, g.is_b, sum(g.n1) as n from capped g
                  group by g.stratum, g.share, g.is_b, g.place % (10000 / buckets)) c
            where c.n > 0
            group by 1, 2
        ) q
    )
    select n.metric, null::integer, sum(k.n_a)::bigint, sum(k.n_b)::bigint, max(z.units_a)::bigint, max(z.units_b)::bigint,
           count(*)::integer, sum(k.weight * k.value_a), sum(k.weight * k.value_b),
           sum(k.weight * (k.value_b - k.value_a)), sqrt(sum(k.weight ^ 2 * k.v_null) + coalesce(max(c.v), 0)),
           sqrt(sum(k.weight ^ 2 * k.v_free) + coalesce(max(c.v), 0)), sum(k.weight * k.pooled)
    from compared k
    join sizes z on z.stratum = k.stratum
    join unnest(array['errors', 'time', 'slow', 'first', 'output', 'cost', 'score']) with ordinality n (metric, place)
        on n.place = k.metric
    left join cross_terms c on c.metric = k.metric
    where k.metric <> 6 or (select sum(w.without_price) = 0 from sizes w)
    group by 1
    union all
    select n.metric, z.share, k.n_a::bigint, k.n_b::bigint, z.units_a::bigint, z.units_b::bigint, 1, k.value_a, k.value_b,
           k.value_b - k.value_a, sqrt(k.v_null), sqrt(k.v_free), k.pooled
    from compared k
    join sizes z on z.stratum = k.stratum
    join unnest(array['errors', 'time', 'slow', 'first', 'output', 'cost', 'score']) with ordinality n (metric, place)
        on n.place = k.metric
    where k.metric <> 6 or z.without_price = 0
    union all
    select 'traffic', z.share, t.uses_a::bigint, t.uses_b::bigint, null, null, 1, t.value_a, t.value_b, t.difference, t.se,
           t.se, 1
    from traffic t join sizes z on z.stratum = t.stratum
    union all
    select c.metric, c.share, c.uses_a::bigint, c.uses_b::bigint, c.units_a::bigint, c.units_b::bigint, c.strata::integer,
           null, null, null, null, null, null
    from (
        select 'uses' as metric, z.share, z.uses_a, z.uses_b, z.units_a, z.units_b, 1 as strata from sizes z
        union all
        select 'uses', null, sum(z.uses_a), sum(z.uses_b), max(z.units_a), max(z.units_b), count(*) from sizes z
        union all
        select 'out_of_place', z.share, z.misplaced_a, z.misplaced_b, null, null, 1 from sizes z
        union all
        select 'out_of_place', null, sum(z.misplaced_a), sum(z.misplaced_b), null, null, count(*) from sizes z
    ) c
    where c.uses_a is not null;
end
$$;

create or replace function promptctl.are_valid_steps(steps integer[]) returns boolean
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
    previous integer := 0;
    step integer;
begin
    if array_ndims(steps) is distinct from 1 or array_lower(steps, 1) <> 1 or cardinality(steps) > 20 then
        return false;
    end if;
    foreach step in array steps loop
        if step is null or step <= previous or step > 9999 then
            return false;
        end if;
        previous := step;
    end loop;
    return true;
end
$$;

comment on function promptctl.are_valid_steps is
    'Whether these are the shares of a rollout: 1 to 20 of them, each larger than the one before, from 1 to 9999 basis '
    'points.';

create or replace function promptctl.are_valid_guards(guards jsonb) returns boolean
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
    guard jsonb;
    metrics text[] := '{}';
    most numeric;
begin
    if jsonb_typeof(guards) <> 'array' then
        return false;
    end if;
    for guard in select e.guard from jsonb_array_elements(guards) e (guard) loop
        if jsonb_typeof(guard) <> 'object' or not guard ?& '{metric,tolerance}' or guard - '{metric,tolerance}'::text[] <> '{}'
            or jsonb_typeof(guard -> 'tolerance') <> 'number' or guard ->> 'metric' = any (metrics) then
            return false;
        end if;
        most := case guard ->> 'metric' when 'errors' then 1 when 'slow' then 1 when 'score' then 1e9
                    when 'time' then 5 when 'first' then 5 when 'output' then 5 when 'cost' then 5 end;
        if not coalesce((guard ->> 'tolerance')::numeric between 0.0001 and most, false) then
            return false;
        end if;
        metrics := metrics || (guard ->> 'metric');
    end loop;
    return true;
end
$$;

comment on function promptctl.are_valid_guards is
    'Whether this is a list of {"metric": name, "tolerance": number} with each metric at most once. A tolerance is a '
    'difference of rates, of logarithms or of scores, as in compare_versions.';

create or replace function promptctl.are_valid_prices(prices jsonb) returns boolean
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
    price jsonb;
    key text;
begin
    if jsonb_typeof(prices) <> 'array' or pg_column_size(prices) > 100000 then
        return false;
    end if;
    for price in select e.price from jsonb_array_elements(prices) e (price) loop
        if jsonb_typeof(price) <> 'object' or jsonb_typeof(price -> 'model') is distinct from 'string' then
            return false;
        end if;
        foreach key in array array['size', 'input', 'output', 'cache_read', 'cache_write'] loop
            -- Without a price of its own, a cached token costs as much as any other.
            continue when key like 'cache%' and coalesce(price -> key, 'null') = 'null';
            if jsonb_typeof(price -> key) is distinct from 'number'
                or (price ->> key)::numeric not between 0 and (case key when 'size' then 9 else 1 end)
                or key = 'size' and (price ->> key)::numeric <> trunc((price ->> key)::numeric) then
                return false;
            end if;
        end loop;
    end loop;
    return true;
end
$$;

comment on function promptctl.are_valid_prices is
    'Whether this is a list of prices as compare_versions takes them: the model, the price tier and US dollars for each '
    'token.';

create table promptctl.rollouts (
    rollout bigint generated always as identity,
    name text collate "C" not null,
    baseline integer not null,
    candidate integer not null,
    seed promptctl.seed_text not null,
    steps integer[] not null,
    hold interval not null,
    least_uses integer not null,
    patience interval not null,
    in_doubt text not null,
    guards jsonb not null,
    alpha double precision not null,
    prices jsonb not null,
    allow_new_variables boolean not null,
    state text not null default 'running',
    basis_points integer not null,
    first_epoch integer not null,
    step_epoch integer not null,
    alarm text,
    why promptctl.reason_text,
    release bigint,
    origin promptctl.origin_object,
    author promptctl.short_text not null,
    reason promptctl.reason_text,
    database_user text not null default session_user,
    began_at timestamptz not null default clock_timestamp(),
    step_began_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,

    -- No foreign keys for versions and releases: start_rollout has checked them, and they are never deleted.
    constraint a_rollout_has_one_number primary key (rollout),
    constraint a_rollout_belongs_to_a_prompt foreign key (name) references promptctl.served (name),
    constraint a_rollout_leads_to_another_version check (candidate <> baseline),
    constraint the_shares_of_a_rollout_grow check (promptctl.are_valid_steps(steps)),
    constraint the_share_of_a_rollout_is_from_1_to_9999_basis_points check (basis_points between 1 and 9999),
    constraint a_hold_is_from_0_to_366_days check (hold between '0' and '366 days'),
    constraint a_rollout_waits_for_0_to_1e9_uses check (least_uses between 0 and 1000000000),
    constraint patience_is_from_the_hold_to_3660_days check (patience between hold and '3660 days'),
    constraint a_doubt_ends_in_a_pause_or_a_rollback check (in_doubt in ('pause', 'roll back')),
    constraint guards_are_metrics_with_tolerances check (promptctl.are_valid_guards(guards)),
    constraint alpha_is_from_0_0001_to_0_5 check (alpha between 0.0001 and 0.5),
    constraint prices_are_dollars_per_token check (promptctl.are_valid_prices(prices)),
    constraint a_cost_guard_has_prices check (prices <> '[]' or not guards @> '[{"metric": "cost"}]'),
    constraint a_rollout_has_a_known_state check (state in ('running', 'paused', 'promoted', 'rolled back', 'stopped')),
    constraint a_rollout_that_is_not_open_has_an_end check ((state in ('running', 'paused')) = (ended_at is null)),
    constraint an_alarm_is_known check (alarm in ('traffic', 'out of place', 'traffic, out of place'))
);

create unique index a_prompt_has_one_open_rollout on promptctl.rollouts (name)
    where state in ('running', 'paused');
create index rollouts_by_prompt on promptctl.rollouts (name, rollout);
create index rollouts_by_release on promptctl.rollouts (release) where release is not null;

comment on table promptctl.rollouts is
    'Guarded rollouts: each serves a candidate to growing shares of the units, and promotes it or rolls it back. Only '
    'functions and triggers write it.';
comment on column promptctl.rollouts.rollout is 'The number of the rollout. Numbers increase and may have gaps.';
comment on column promptctl.rollouts.baseline is 'The active version while the rollout is open.';
comment on column promptctl.rollouts.candidate is 'The version that the rollout promotes.';
comment on column promptctl.rollouts.seed is 'The seed of the split, by which its epochs are recognised.';
comment on column promptctl.rollouts.steps is
    'The shares in basis points. The next step is the first that is above the present share; after the last one the '
    'candidate is promoted.';
comment on column promptctl.rollouts.hold is 'How long a share lasts at least.';
comment on column promptctl.rollouts.least_uses is 'How many uses of the candidate a share needs at least.';
comment on column promptctl.rollouts.patience is 'After which time at one share the rollout ends in in_doubt.';
comment on column promptctl.rollouts.in_doubt is 'What a tick does when the patience is over: pause or roll back.';
comment on column promptctl.rollouts.guards is
    'A list of {"metric": name, "tolerance": number}: how much worse the candidate may be. A tolerance is a difference '
    'of rates (errors, slow), of logarithms (time, first, output, cost: ln 1.15 is 15 %) or of scores.';
comment on column promptctl.rollouts.alpha is
    'The risk that the guards together roll back a candidate that does not differ from the baseline.';
comment on column promptctl.rollouts.prices is 'The prices at the start, by which the guard of the cost is calculated.';
comment on column promptctl.rollouts.allow_new_variables is
    'Whether the candidate may need a variable that the baseline does not need.';
comment on column promptctl.rollouts.state is 'running or paused, while the rollout is open; promoted, rolled back or stopped.';
comment on column promptctl.rollouts.basis_points is 'The share that the rollout set last.';
comment on column promptctl.rollouts.first_epoch is 'The first epoch of the comparison.';
comment on column promptctl.rollouts.step_epoch is 'The epoch in which the present share began.';
comment on column promptctl.rollouts.alarm is
    'Why a tick paused the rollout: traffic or out of place. A resumed rollout ignores this alarm until its next step; '
    'null: no alarm.';
comment on column promptctl.rollouts.why is 'Why the rollout is paused or has ended; null: it runs.';
comment on column promptctl.rollouts.step_began_at is 'When the present share began, or the rollout was resumed last.';
comment on column promptctl.rollouts.began_at is 'When the rollout was started.';
comment on column promptctl.rollouts.ended_at is 'When it was promoted, rolled back or stopped; null: it is open.';
comment on column promptctl.rollouts.release is 'The release that started the rollout; null: none.';
comment on column promptctl.rollouts.origin is
    'The commit and the file that asked for the rollout. The promotion has the same origin.';
comment on index promptctl.a_prompt_has_one_open_rollout is 'Two rollouts would set each other''s share.';
comment on index promptctl.rollouts_by_prompt is 'The rollouts of one prompt.';
comment on index promptctl.rollouts_by_release is 'The rollouts that a release started.';
comment on constraint a_rollout_has_one_number on promptctl.rollouts is 'History and events refer to it.';
comment on constraint a_rollout_belongs_to_a_prompt on promptctl.rollouts is 'Each prompt has a row in the table served.';
comment on constraint a_rollout_leads_to_another_version on promptctl.rollouts is
    'A rollout compares two versions.';
comment on constraint the_shares_of_a_rollout_grow on promptctl.rollouts is
    'A unit that gets the candidate keeps it. There are 1 to 20 shares, from 1 to 9999 basis points.';
comment on constraint the_share_of_a_rollout_is_from_1_to_9999_basis_points on promptctl.rollouts is
    'Both versions must be served to be compared.';
comment on constraint a_hold_is_from_0_to_366_days on promptctl.rollouts is
    'Larger times could not be added to a date.';
comment on constraint a_rollout_waits_for_0_to_1e9_uses on promptctl.rollouts is 'A number of uses is not negative.';
comment on constraint patience_is_from_the_hold_to_3660_days on promptctl.rollouts is
    'A shorter patience would end before the hold.';
comment on constraint a_doubt_ends_in_a_pause_or_a_rollback on promptctl.rollouts is
    'A rollout that nobody can decide must not go on.';
comment on constraint guards_are_metrics_with_tolerances on promptctl.rollouts is
    'The metrics of compare_versions, each at most once.';
comment on constraint alpha_is_from_0_0001_to_0_5 on promptctl.rollouts is 'It is divided among the guards.';
comment on constraint prices_are_dollars_per_token on promptctl.rollouts is 'The cost is calculated from tokens.';
comment on constraint a_cost_guard_has_prices on promptctl.rollouts is
    'Without prices the guard would never be decided.';
comment on constraint a_rollout_has_a_known_state on promptctl.rollouts is 'Open, or how it ended.';
comment on constraint a_rollout_that_is_not_open_has_an_end on promptctl.rollouts is
    'A rollout that has ended does not start again.';
comment on constraint an_alarm_is_known on promptctl.rollouts is
    'Uses that are missing or too many, or that have the bucket of the other version.';

create table promptctl.rollout_events (
    rollout bigint not null,
    place integer not null,
    kind text not null,
    basis_points integer not null,
    epoch integer not null,
    why promptctl.reason_text,
    evidence jsonb,
    author promptctl.short_text not null,
    database_user text not null default session_user,
    happened_at timestamptz not null default clock_timestamp(),

    constraint an_event_of_a_rollout_has_one_place primary key (rollout, place),
    constraint an_event_belongs_to_a_rollout foreign key (rollout) references promptctl.rollouts (rollout),
    constraint an_event_of_a_rollout_has_a_known_kind check (
        kind in ('start', 'advance', 'pause', 'resume', 'promote', 'roll back', 'stop'))
);

comment on table promptctl.rollout_events is 'What happened to each rollout, in order. Rows are appended and never edited.';
comment on column promptctl.rollout_events.rollout is 'The rollout.';
comment on column promptctl.rollout_events.place is 'The position of the event in its rollout, from 1.';
comment on column promptctl.rollout_events.why is 'Why it happened, in words.';
comment on column promptctl.rollout_events.evidence is
    'The guards at that time, as in explain_rollout; null: the event was no decision of a tick.';
comment on column promptctl.rollout_events.happened_at is 'When it happened.';
comment on constraint an_event_of_a_rollout_has_one_place on promptctl.rollout_events is 'Events are in a line.';
comment on constraint an_event_belongs_to_a_rollout on promptctl.rollout_events is 'Each rollout has a row.';
comment on constraint an_event_of_a_rollout_has_a_known_kind on promptctl.rollout_events is
    'What can happen to a rollout.';

create table promptctl.rollout_looks (
    rollout bigint not null,
    looked_at timestamptz not null,
    metric text not null,
    basis_points integer not null,
    uses_a bigint,
    uses_b bigint,
    difference double precision,
    lower double precision,
    upper double precision,

    constraint a_look_has_one_row_per_metric primary key (rollout, looked_at, metric),
    constraint a_look_belongs_to_a_rollout foreign key (rollout) references promptctl.rollouts (rollout)
);

comment on table promptctl.rollout_looks is
    'What ticks saw of each guard, some hundreds of times in a rollout: the course of the differences over time.';
comment on column promptctl.rollout_looks.rollout is 'The rollout.';
comment on column promptctl.rollout_looks.looked_at is 'When the tick was.';
comment on column promptctl.rollout_looks.metric is 'The metric of the guard.';
comment on column promptctl.rollout_looks.uses_a is 'Uses of the baseline that reported the metric.';
comment on column promptctl.rollout_looks.uses_b is 'Uses of the candidate that reported the metric.';
comment on column promptctl.rollout_looks.difference is
    'The candidate minus the baseline, in the unit of the tolerance; null: not known.';
comment on column promptctl.rollout_looks.lower is 'The lower end of the interval of the difference.';
comment on column promptctl.rollout_looks.upper is 'The upper end of the interval of the difference.';
comment on constraint a_look_has_one_row_per_metric on promptctl.rollout_looks is 'A tick looks at each guard once.';
comment on constraint a_look_belongs_to_a_rollout on promptctl.rollout_looks is 'Each rollout has a row.';

create table promptctl.rollout_ticks (
    rollout bigint not null,
    ticked_at timestamptz,
    action text,
    why text,

    constraint the_last_tick_of_a_rollout_has_one_row primary key (rollout),
    constraint a_tick_belongs_to_a_rollout foreign key (rollout) references promptctl.rollouts (rollout)
);

comment on table promptctl.rollout_ticks is
    'The last tick of each rollout. It is a table of its own, so that a tick which holds locks nothing for which a move '
    'of the prompt waits.';
comment on column promptctl.rollout_ticks.rollout is 'The rollout.';
comment on column promptctl.rollout_ticks.ticked_at is 'When the last tick was; null: there was none.';
comment on column promptctl.rollout_ticks.action is 'What it did, as in tick_rollout.';
comment on column promptctl.rollout_ticks.why is 'Why it did that.';
comment on constraint the_last_tick_of_a_rollout_has_one_row on promptctl.rollout_ticks is 'Only the last one is kept.';
comment on constraint a_tick_belongs_to_a_rollout on promptctl.rollout_ticks is 'Each rollout has a row.';

create type promptctl.rollout_change as (
    rollout bigint, name text, baseline integer, candidate integer, state text, previous_state text,
    basis_points integer, steps integer[], hold interval, least_uses integer, patience interval, in_doubt text,
    guards jsonb, epoch integer, changed boolean, why text);
create type promptctl.rollout_tick as (
    rollout bigint, name text, action text, state text, basis_points integer, previous_basis_points integer,
    next_basis_points integer, next_at timestamptz, why text, evidence jsonb, alarm text);

comment on type promptctl.rollout_change is
    'The effect of start_rollout, pause_rollout, resume_rollout or stop_rollout: the rollout after it, with its plan. '
    'changed is false where nothing changed.';
comment on type promptctl.rollout_tick is
    'The result of tick_rollout and explain_rollout: the action (hold, advance, promote, roll back, pause, busy or '
    'nothing), the share after and before, the next share (10000: promotion) and the earliest time of the next step, '
    'why, and the evidence: a list with each guard, its numbers and its verdict (fine, worse, doubtful, too few uses).';

create or replace function promptctl.share_text(basis_points integer) returns text language sql immutable
begin atomic
    select trim_scale(basis_points / 100.0) || '%';
end;

comment on function promptctl.share_text is 'A share in percent, for people: 12.5%.';

create or replace function promptctl.metric_text(metric text, value double precision) returns text
language sql immutable
begin atomic
    select case
        when metric in ('errors', 'slow') then round(100 * value::numeric, 1) || '%'
        when metric in ('time', 'first') then round(exp(value)::numeric) || ' ms'
        when metric = 'output' then round(exp(value)::numeric) || ' tokens'
        when metric = 'cost' then '$' || trim_scale(round(value::numeric, 6))
        else trim_scale(round(value::numeric, 3))::text
    end;
end;

comment on function promptctl.metric_text is 'A value of compare_versions, for people.';

create or replace function promptctl.tolerance_text(metric text, tolerance double precision) returns text
language sql immutable
begin atomic
    select case
        when metric in ('errors', 'slow') then trim_scale(round(100 * tolerance::numeric, 2)) || case when tolerance = 0.01 then ' point more' else ' points more' end
        when metric = 'score' then trim_scale(round(tolerance::numeric, 4)) || ' less'
        else trim_scale(round(100 * (exp(tolerance) - 1)::numeric, 1)) || '% more'
    end;
end;

comment on function promptctl.tolerance_text is 'The tolerance of a guard, for people.';

create or replace function promptctl.add_rollout_event(r promptctl.rollouts, kind text, basis_points integer,
                                                       epoch integer, why text default null,
                                                       evidence jsonb default null)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into promptctl.rollout_events (rollout, place, kind, basis_points, epoch, why, evidence, author)
    values (r.rollout,
            (select coalesce(max(e.place), 0) + 1 from promptctl.rollout_events e where e.rollout = r.rollout),
            add_rollout_event.kind, add_rollout_event.basis_points, add_rollout_event.epoch,
            promptctl.shorten(add_rollout_event.why, 2000), add_rollout_event.evidence, promptctl.current_author());
    -- A payload has at most 8000 bytes.
    perform pg_notify('promptctl_rollouts', json_build_object(
        'rollout', r.rollout, 'name', r.name, 'kind', add_rollout_event.kind,
        'why', promptctl.shorten(add_rollout_event.why, 500))::text);
end
$$;

comment on function promptctl.add_rollout_event is
    'Appends an event of a rollout whose row is locked, and notifies the channel "promptctl_rollouts".';

-- By hash, as in after_served.
create or replace function promptctl.rollouts_give_way() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_nestloop = off as $$
declare
    names constant text[] := array(select x.name from promptctl.rollouts x where x.state in ('running', 'paused'));
    writing constant text := coalesce(current_setting('promptctl.writing_transaction', true), '');
    r promptctl.rollouts;
    moved promptctl.served;
    next_state text;
    cause text;
begin
    if names = '{}' then
        return null;
    end if;
    for moved in
        select n.* from new_rows n join old_rows o on o.name = n.name and o.epoch <> n.epoch
        where n.name = any (names) order by n.name
    loop
        select * into r from promptctl.rollouts x
        where x.name = moved.name and x.state in ('running', 'paused') for no key update;
        continue when not found or (moved.active_version, moved.candidate_version, moved.basis_points)
                                   is not distinct from (r.baseline, r.candidate, r.basis_points)
                               and moved.seed is not distinct from r.seed;
        if moved.active_version = r.candidate then
            next_state := 'promoted';
            cause := 'activated by ';
        elsif moved.archived_at is not null then
            next_state := 'stopped';
            cause := 'the prompt was archived by ';
        elsif moved.active_version is null then
            next_state := 'stopped';
            cause := 'deactivated by ';
        elsif moved.active_version <> r.baseline then
            next_state := 'stopped';
            cause := format('version %s was activated by ', moved.active_version);
        elsif moved.candidate_version is null then
            next_state := 'stopped';
            cause := 'the split was ended by ';
        elsif moved.candidate_version <> r.candidate then
            next_state := 'stopped';
            cause := format('a split with version %s was started by ', moved.candidate_version);
        elsif moved.seed <> r.seed then
            next_state := 'stopped';
            cause := 'the seed of the split was changed by ';
        else
            -- A share that is set while the rollout is paused changes nothing more.
            continue when r.state = 'paused';
            next_state := 'paused';
            cause := format('the share was set to %s by ', promptctl.share_text(moved.basis_points));
        end if;
        cause := promptctl.shorten(concat_ws(': ', cause || promptctl.current_author(), promptctl.current_reason()), 2000);
        perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
        update promptctl.rollouts x
        set state = next_state, why = cause, ended_at = case when next_state <> 'paused' then clock_timestamp() end
        where x.rollout = r.rollout returning x.* into r;
        perform promptctl.add_rollout_event(
            r, case next_state when 'paused' then 'pause' when 'promoted' then 'promote' else 'stop' end,
            case when next_state = 'promoted' then 10000 else moved.basis_points end, moved.epoch, cause);
        perform set_config('promptctl.writing_transaction', writing, true);
    end loop;
    return null;
end
$$;

comment on function promptctl.rollouts_give_way is
    'Pauses, stops or ends the rollout of a prompt that somebody else moves, in the transaction of that move. A rollout '
    'writes its own row before it moves the prompt, so that its own moves are as expected.';

create or replace function promptctl.open_rollout(name text) returns promptctl.rollouts
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    r promptctl.rollouts;
begin
    select * into r from promptctl.rollouts x
    where x.name = open_rollout.name and x.state in ('running', 'paused') for no key update;
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'rollout_exists',
            message = format('"%s" has no open rollout', name), hint = format('promptctl rollout status %s', name);
    end if;
    return r;
end
$$;

comment on function promptctl.open_rollout is
    'Locks the open rollout of a prompt whose row is locked. Refuses a prompt without one.';

create or replace function promptctl.rollout_effect(r promptctl.rollouts, previous_state text, epoch integer,
                                                    changed boolean)
returns promptctl.rollout_change language sql immutable
begin atomic
    select (r.rollout, r.name, r.baseline, r.candidate, r.state, previous_state, r.basis_points, r.steps, r.hold,
            r.least_uses, r.patience, r.in_doubt, r.guards, epoch, changed, r.why)::promptctl.rollout_change;
end;

comment on function promptctl.rollout_effect is 'A rollout as its functions return it.';

create or replace function promptctl.default_guards(name text, baseline integer, candidate integer, prices jsonb)
returns jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    uses bigint;
    with_response bigint;
    with_score bigint;
    mean_score double precision;
    has_prices boolean;
begin
    with recent as (
        select t.uses, t.with_response, t.with_score, t.score, t.with_tokens, t.model, t.size
        from promptctl.totals t
        where t.grain = 'hour' and t.name = default_guards.name and t.version = baseline
          and t.starts_at >= now() - interval '7 days'
        union all
        select 1, (u.response_ms is not null)::integer, (u.score is not null)::integer, u.score,
               (coalesce(u.input_tokens, u.output_tokens) is not null)::integer, u.model, promptctl.price_tier(u.input_tokens)
        from promptctl.uses u
        where u.name = default_guards.name and u.version = baseline and u.recorded_in >= promptctl.rolled_below()
          and u.recorded_at >= now() - interval '7 days'
    )
    select coalesce(sum(r.uses), 0), coalesce(sum(r.with_response), 0), coalesce(sum(r.with_score), 0),
           abs(sum(r.score) / nullif(sum(r.with_score), 0)),
           bool_and(r.with_tokens = 0 or exists (
               select from jsonb_array_elements(prices) p (price)
               where p.price ->> 'model' = r.model and (p.price ->> 'size')::integer = r.size))
               and sum(r.with_tokens) > 0
    into uses, with_response, with_score, mean_score, has_prices
    from recent r;
    -- The candidate may name another model.
    has_prices := coalesce(has_prices, false) and exists (
        select from promptctl.versions v
        where v.name = default_guards.name and v.version = candidate
          and (not v.settings ? 'model' or prices @> jsonb_build_array(jsonb_build_object('model', v.settings -> 'model'))));
    return '[{"metric": "errors", "tolerance": 0.01}]'
        || case when with_response >= 100 or uses < 100
               then jsonb_build_array(jsonb_build_object('metric', 'time', 'tolerance', round(ln(1.15), 6)))
               else '[]' end
        || case when has_prices
               then jsonb_build_array(jsonb_build_object('metric', 'cost', 'tolerance', round(ln(1.10), 6)))
               else '[]' end
        || case when with_score >= 100
               then jsonb_build_array(jsonb_build_object('metric', 'score', 'tolerance', 0.02 * case
                   when mean_score <= 1 then 1 when mean_score <= 5 then 5
                   else 10 ^ ceil(log(mean_score::numeric)) end))
               else '[]' end;
end
$$;

comment on function promptctl.default_guards is
    'The guards of a rollout for which none are named: errors +1 point; time +15 %, unless the baseline reports no '
    'times; cost +10 %, if each model has a price; score -2 % of its scale, if the baseline has 100 scores of the last '
    '7 days. A guard that nobody reports would hold the rollout forever.';

create or replace function promptctl.start_rollout(name text, candidate integer default null,
                                                   steps integer[] default null, hold interval default null,
                                                   least_uses integer default null, patience interval default null,
                                                   in_doubt text default null, guards jsonb default null,
                                                   alpha double precision default null, prices jsonb default null,
                                                   author text default null, reason text default null,
                                                   allow_new_variables boolean default false,
                                                   release bigint default null, origin jsonb default null)
returns promptctl.rollout_change
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before promptctl.served;
    r promptctl.rollouts;
    effect promptctl.rollout_change;
    other_values text[];
    number bigint;
    moves boolean;
begin
    perform promptctl.require_grants('promptctl.start_rollout'::regproc);
    perform promptctl.require_prompts(array[start_rollout.name]);
    select * into before from promptctl.lock_prompts(array[start_rollout.name]);
    perform promptctl.require_not_archived(before);
    select * into r from promptctl.rollouts x where x.name = before.name and x.state in ('running', 'paused');
    if found then
        other_values := array_remove(array[
            case when start_rollout.steps <> r.steps then 'steps' end,
            case when start_rollout.hold <> r.hold then 'hold' end,
            case when start_rollout.least_uses <> r.least_uses then 'uses' end,
            case when start_rollout.patience <> r.patience then 'patience' end,
            case when start_rollout.in_doubt <> r.in_doubt then 'in_doubt' end,
            case when start_rollout.guards <> r.guards then 'guards' end,
            case when start_rollout.alpha <> r.alpha then 'alpha' end], null);
        if coalesce(start_rollout.candidate, r.candidate) = r.candidate and other_values = '{}' then
            return promptctl.rollout_effect(r, r.state, before.epoch, false);
        elsif coalesce(start_rollout.candidate, r.candidate) = r.candidate then
            raise exception using errcode = 'restrict_violation', constraint = 'a_prompt_has_one_open_rollout',
                message = format('rollout %s of "%s" to version %s is open with another plan: it differs in %s',
                                 r.rollout, r.name, r.candidate, array_to_string(other_values, ', ')),
                hint = format('promptctl rollout status %s', r.name);
        end if;
        raise exception using errcode = 'restrict_violation', constraint = 'a_prompt_has_one_open_rollout',
            message = format('rollout %s of "%s" is open: it serves version %s to %s of the units', r.rollout, r.name,
                             r.candidate, promptctl.share_text(before.basis_points)),
            hint = format('promptctl rollout status %s', r.name);
    end if;
    candidate := coalesce(start_rollout.candidate, before.candidate_version);
    if candidate is null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_rollout_has_a_candidate',
            message = format('"%s" has no split, so its rollout must name a version', before.name),
            hint = format('promptctl list %s', before.name);
    elsif before.active_version is null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_split_needs_an_active_version',
            message = format('"%s" has no active version from which to roll out', before.name),
            hint = format('promptctl activate %s@VERSION', before.name);
    elsif candidate = before.active_version then
        raise exception using errcode = 'restrict_violation', constraint = 'a_candidate_is_not_the_active_version',
            message = format('%s@%s is the active version: a rollout needs another one', before.name, candidate),
            hint = format('promptctl show %s', before.name);
    end if;
    perform promptctl.require_version(before.name, candidate, 'in use');
    steps := coalesce(start_rollout.steps, '{1000,2500,5000}');
    prices := coalesce(start_rollout.prices, '[]');
    if not promptctl.are_valid_steps(steps) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'the_shares_of_a_rollout_grow',
            message = 'steps must be 1 to 20 growing shares from 1 to 9999 basis points';
    elsif not promptctl.are_valid_prices(prices) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'prices_are_dollars_per_token',
            message = 'prices must be a list of objects with model, size, input, output, cache_read and cache_write';
    end if;
    moves := (before.candidate_version, before.basis_points) is distinct from (candidate, steps[1]);
    number := nextval(pg_get_serial_sequence('promptctl.rollouts', 'rollout'));
    perform promptctl.begin_change(
        author, format('rollout %s starts%s', number, ': ' || reason), allow_new_variables => allow_new_variables,
        release => release,
        origins => case when origin is not null then jsonb_build_object(before.name, origin) end);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    insert into promptctl.rollouts as x (
        rollout, name, baseline, candidate, seed, steps, hold, least_uses, patience, in_doubt, guards, alpha, prices,
        allow_new_variables, basis_points, first_epoch, step_epoch, release, origin, author, reason)
    overriding system value
    values (number, before.name, before.active_version, candidate,
            case when before.candidate_version = candidate then before.seed
                 else before.name || '.' || (before.epoch + 1) end,
            steps, coalesce(start_rollout.hold, '1 hour'), coalesce(start_rollout.least_uses, 200),
            coalesce(start_rollout.patience, '7 days'), coalesce(start_rollout.in_doubt, 'pause'),
            coalesce(start_rollout.guards,
                     promptctl.default_guards(before.name, before.active_version, candidate, prices)),
            coalesce(start_rollout.alpha, 0.05), prices, coalesce(start_rollout.allow_new_variables, false), steps[1],
            before.epoch + moves::integer, before.epoch + moves::integer, release, origin, promptctl.current_author(),
            promptctl.shorten(reason, 2000))
    returning x.* into r;
    insert into promptctl.rollout_ticks (rollout) values (r.rollout);
    perform promptctl.add_rollout_event(r, 'start', r.basis_points, r.first_epoch, r.reason);
    if moves then
        update promptctl.served s set candidate_version = r.candidate, basis_points = r.basis_points, seed = r.seed
        where s.name = r.name;
    end if;
    perform set_config('promptctl.writing_transaction', '', true);
    perform promptctl.end_change();
    effect := promptctl.rollout_effect(r, null, r.step_epoch, true);
    if moves and before.candidate_version is not null then
        effect.why := format('%s the split, %s for version %s',
                             case when before.candidate_version = r.candidate then 'replaces the share of' else 'ends' end,
                             promptctl.share_text(before.basis_points), before.candidate_version);
    end if;
    return effect;
end
$$;

comment on function promptctl.start_rollout is
    'Starts a guarded rollout of a version: a split with the first share, which tick_rollout enlarges step by step. '
    'An argument that is null has its default: the candidate of the split that runs; steps of 10, 25 and 50 %; a hold '
    'of 1 hour; 200 uses; a patience of 7 days, then a pause; an alpha of 0.05; the guards of default_guards. Starting '
    'the same rollout again changes nothing, and with another plan it is refused. why: what became of a split.';

create or replace function promptctl.age_text(age interval) returns text language sql immutable
begin atomic
    select case when s.seconds % 86400 = 0 and s.seconds > 0 then s.seconds / 86400 || 'd'
                when s.seconds % 3600 = 0 and s.seconds > 0 then s.seconds / 3600 || 'h'
                when s.seconds % 60 = 0 and s.seconds > 0 then s.seconds / 60 || 'm'
                else s.seconds || 's' end
    from (select ceil(extract(epoch from age))::bigint as seconds) s;
end;

comment on function promptctl.age_text is
    'An interval as options have it: 7d, 1h, 90m, 20s. It has one unit, and no fractions of a second.';

create or replace function promptctl.judge_rollout(r promptctl.rollouts) returns promptctl.rollout_tick
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    checked_at constant timestamptz := clock_timestamp();
    number_of_guards constant integer := greatest(1, jsonb_array_length(r.guards));
    -- Half for the whole, half for the present share. Each share is looked at once more.
    alpha_whole constant double precision := r.alpha / number_of_guards / 2;
    alpha_share constant double precision := alpha_whole / (
        select count(*) from (select unnest(r.steps) union
                              select e.basis_points from promptctl.rollout_events e
                              where e.rollout = r.rollout and e.kind = 'resume') s);
    next_share constant integer := coalesce(
        (select min(s.step) from unnest(r.steps) s (step) where s.step > r.basis_points), 10000);
    compared promptctl.comparison[];
    guard record;
    whole promptctl.comparison;
    present promptctl.comparison;
    misplaced promptctl.comparison;
    traffic promptctl.comparison;
    harm integer;
    difference double precision;
    lower double precision;
    upper double precision;
    share_difference double precision;
    share_lower double precision;
    share_upper double precision;
    verdict text;
    evidence jsonb := '[]';
    worse text[] := '{}';
    doubts text[] := '{}';
    action text := 'hold';
    why text;
    alarms text[] := '{}';
    alarm_texts text[] := '{}';
    uses bigint;
begin
    compared := array(
        select c from promptctl.compare_versions(
            r.name, r.baseline, r.candidate,
            array(select a.epoch from promptctl.allocations a
                  where a.name = r.name and a.epoch >= r.first_epoch and a.seed = r.seed), r.prices) c
        where c.share is null or c.share = r.basis_points);

    for guard in
        select g.metric, g.tolerance
        from rows from (jsonb_to_recordset(r.guards) as (metric text, tolerance double precision)) with ordinality
            g (metric, tolerance, place)
        order by g.place
    loop
        select * into whole from unnest(compared) c where c.metric = guard.metric and c.share is null;
        select * into present from unnest(compared) c where c.metric = guard.metric and c.share is not null;
        harm := case guard.metric when 'score' then -1 else 1 end;
        if guard.metric = 'cost' then
            whole := promptctl.as_ratio(whole);
            present := promptctl.as_ratio(present);
        end if;
        difference := whole.difference * harm;
        share_difference := present.difference * harm;
        select null, null, null, null into lower, upper, share_lower, share_upper;
        if promptctl.has_enough_uses(whole) and whole.se_null > 0 then
            select i.lower, i.upper into lower, upper
            from promptctl.valid_interval(difference, whole.se_null, whole.se_free, guard.tolerance, alpha_whole) i;
        end if;
        if promptctl.has_enough_uses(present) and present.se_null > 0 then
            select i.lower, i.upper into share_lower, share_upper
            from promptctl.valid_interval(share_difference, present.se_null, present.se_free, guard.tolerance,
                                          alpha_share) i;
        end if;
        verdict := case
            when lower > 0 and difference > guard.tolerance then 'worse'
            when share_lower > 0 and share_difference > guard.tolerance then 'worse at this share'
            when guard.metric = 'cost' and whole.metric is null
                and exists (select from unnest(compared) c where c.metric = 'output' and c.share is null) then 'no price'
            when not promptctl.has_enough_uses(whole) then 'too few uses'
            when difference <= guard.tolerance then 'fine'
            else 'doubtful'
        end;
        if verdict = 'worse' then
            worse := worse || format('%s: %s with version %s, %s with %s, tolerated %s', guard.metric,
                                     promptctl.metric_text(guard.metric, whole.value_b), r.candidate,
                                     promptctl.metric_text(guard.metric, whole.value_a), r.baseline,
                                     promptctl.tolerance_text(guard.metric, guard.tolerance));
        elsif verdict = 'worse at this share' then
            worse := worse || format('%s at %s: %s with version %s, %s with %s, tolerated %s', guard.metric,
                                     promptctl.share_text(r.basis_points),
                                     promptctl.metric_text(guard.metric, present.value_b), r.candidate,
                                     promptctl.metric_text(guard.metric, present.value_a), r.baseline,
                                     promptctl.tolerance_text(guard.metric, guard.tolerance));
            verdict := 'worse';
        elsif verdict = 'too few uses' then
            doubts := doubts || format('%s: too few uses reported it', guard.metric);
        elsif verdict = 'no price' then
            doubts := doubts || 'cost: a model that was used had no price when the rollout began'::text;
        elsif verdict = 'doubtful' then
            doubts := doubts || format('%s: looks worse than tolerated, not proven', guard.metric);
        end if;
        evidence := evidence || jsonb_build_object(
            'metric', guard.metric, 'tolerance', guard.tolerance, 'verdict', verdict,
            'uses_a', coalesce(whole.uses_a, 0), 'uses_b', coalesce(whole.uses_b, 0),
            'value_a', whole.value_a, 'value_b', whole.value_b, 'pooled', whole.pooled, 'difference', whole.difference,
            'lower', case when harm > 0 then lower else -upper end,
            'upper', case when harm > 0 then upper else -lower end,
            'share_difference', present.difference,
            'share_lower', case when harm > 0 then share_lower else -share_upper end,
            'share_upper', case when harm > 0 then share_upper else -share_lower end);
    end loop;

    select * into present from unnest(compared) c where c.metric = 'uses' and c.share is not null;
    uses := coalesce(present.uses_b, 0);
    select * into misplaced from unnest(compared) c where c.metric = 'out_of_place' and c.share is not null;
    select * into traffic from unnest(compared) c where c.metric = 'traffic' and c.share is not null;
    if traffic.uses_a + traffic.uses_b >= 100
        and abs(traffic.difference) > promptctl.half_width(traffic.se_null ^ 2, ln(1.1::double precision), 0.001) then
        alarms := array['traffic'];
        alarm_texts := array[case when traffic.uses_b = 0 then format('version %s gets no uses', r.candidate)
            else format('version %s gets %s%% %s uses than its share', r.candidate,
                        round(100 * abs(exp(traffic.difference) - 1)::numeric, 1),
                        case when traffic.difference > 0 then 'more' else 'fewer' end) end];
    end if;
    if present.uses_a + present.uses_b + misplaced.uses_a + misplaced.uses_b >= 100
        and misplaced.uses_a + misplaced.uses_b
            > 0.05 * (present.uses_a + present.uses_b + misplaced.uses_a + misplaced.uses_b) then
        alarms := alarms || 'out of place'::text;
        alarm_texts := alarm_texts
            || format('%s uses have the bucket of the other version', misplaced.uses_a + misplaced.uses_b);
    end if;

    if worse <> '{}' then
        action := 'roll back';
        why := array_to_string(worse, '; ');
    elsif not alarms <@ string_to_array(coalesce(r.alarm, ''), ', ') then
        action := 'pause';
        why := array_to_string(alarm_texts, ', ');
    elsif checked_at >= r.step_began_at + r.hold and uses >= r.least_uses and doubts = '{}' then
        action := case next_share when 10000 then 'promote' else 'advance' end;
        why := format('%s uses, no guard worse than tolerated', uses);
    elsif checked_at >= r.step_began_at + r.patience then
        action := r.in_doubt;
        why := format('not decided in %s: %s', promptctl.age_text(r.patience),
                      case when doubts = '{}' then format('%s of %s uses', uses, r.least_uses)
                           else array_to_string(doubts, ', ') end);
    elsif uses < r.least_uses then
        why := format('waits for uses: %s of %s', uses, r.least_uses);
    elsif doubts <> '{}' then
        why := array_to_string(doubts, ', ');
    else
        why := format('this share has lasted less than %s', promptctl.age_text(r.hold));
    end if;
    return (r.rollout, r.name, action, r.state,
            case action when 'advance' then next_share when 'promote' then 10000 when 'roll back' then 0
                        else r.basis_points end,
            r.basis_points, next_share, r.step_began_at + r.hold, why, evidence,
            case action when 'pause' then nullif(array_to_string(alarms, ', '), '') end)::promptctl.rollout_tick;
end
$$;

comment on function promptctl.judge_rollout is
    'What a tick would do with a running rollout, and why. It locks nothing. A guard is worse if the interval of its '
    'difference is above 0 and the difference above the tolerance: over all shares, or at the present share, for harm '
    'that begins with a larger share.';

create or replace function promptctl.has_enough_uses(compared promptctl.comparison) returns boolean
language sql immutable
begin atomic
    select coalesce(least((compared).uses_a, (compared).uses_b) >= 100
                    and least((compared).units_a, (compared).units_b) >= 30, false);
end;

comment on function promptctl.has_enough_uses is
    'Whether 100 uses and 30 groups of units of both versions reported the metric, which a verdict needs.';

create or replace function promptctl.as_ratio(compared promptctl.comparison) returns promptctl.comparison
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if compared.pooled > 0 then
        compared.difference := case when compared.value_a > 0 and compared.value_b > 0
                                    then ln(compared.value_b / compared.value_a) end;
        compared.se_null := compared.se_null / compared.pooled;
        compared.se_free := compared.se_free / compared.pooled;
    end if;
    return compared;
end
$$;

comment on function promptctl.as_ratio is
    'A comparison of costs with the logarithm of their ratio as its difference, in place of dollars.';

create or replace function promptctl.explain_rollout(name text) returns promptctl.rollout_tick
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    r promptctl.rollouts;
    answer promptctl.rollout_tick;
begin
    perform promptctl.require_grants('promptctl.explain_rollout'::regproc);
    perform promptctl.require_prompts(array[explain_rollout.name]);
    select * into r from promptctl.rollouts x where x.name = explain_rollout.name order by x.rollout desc limit 1;
    if not found then
        return (null, explain_rollout.name, 'nothing', null, null, null, null, null, 'it has no rollout', null,
                null)::promptctl.rollout_tick;
    end if;
    if r.state = 'running' then
        return promptctl.judge_rollout(r);
    elsif r.state = 'paused' then
        -- Somebody may have set the share.
        r.basis_points := (select s.basis_points from promptctl.served s where s.name = r.name);
        answer := promptctl.judge_rollout(r);
        answer.action := 'nothing';
        answer.basis_points := r.basis_points;
        answer.next_at := null;
        answer.why := r.why;
        answer.alarm := r.alarm;
        return answer;
    end if;
    return (r.rollout, r.name, 'nothing', r.state,
            case r.state when 'promoted' then 10000 else 0 end, r.basis_points, null, null, r.why,
            (select e.evidence from promptctl.rollout_events e
             where e.rollout = r.rollout and e.evidence is not null order by e.place desc limit 1),
            null)::promptctl.rollout_tick;
end
$$;

comment on function promptctl.explain_rollout is
    'What tick_rollout would do now with the last rollout of a prompt, and why. It changes nothing. For a rollout that '
    'has ended: its end, with the evidence of the last decision.';

create or replace function promptctl.record_tick(tick promptctl.rollout_tick) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    moment constant timestamptz := clock_timestamp();
    r promptctl.rollouts;
begin
    -- Of two ticks at once, one is recorded.
    perform from promptctl.rollout_ticks t where t.rollout = tick.rollout for no key update skip locked;
    if not found then
        return;
    end if;
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    update promptctl.rollout_ticks t set ticked_at = moment, action = tick.action, why = tick.why
    where t.rollout = tick.rollout;
    select * into r from promptctl.rollouts x where x.rollout = tick.rollout;
    if tick.action <> 'hold' or not exists (
        select from promptctl.rollout_looks l
        where l.rollout = tick.rollout
          -- A look of the future was recorded before the clock was set back.
          and l.looked_at between moment - greatest(interval '1 minute', (moment - r.began_at) / 50) and moment) then
        insert into promptctl.rollout_looks (rollout, looked_at, metric, basis_points, uses_a, uses_b, difference,
                                             lower, upper)
        select tick.rollout, moment, g.metric, tick.previous_basis_points, g.uses_a, g.uses_b,
               g.difference, g.lower, g.upper
        from jsonb_to_recordset(tick.evidence) g (
            metric text, uses_a bigint, uses_b bigint, difference double precision, lower double precision,
            upper double precision);
    end if;
    perform set_config('promptctl.writing_transaction', '', true);
end
$$;

comment on function promptctl.record_tick is
    'Stores the time of the last tick and, at most once a minute and in a fiftieth of the age of the rollout, what it '
    'saw.';

create or replace function promptctl.tick_rollout(name text, author text default null) returns promptctl.rollout_tick
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    r promptctl.rollouts;
    now_open promptctl.rollouts;
    before promptctl.served;
    tick promptctl.rollout_tick;
begin
    perform promptctl.require_grants('promptctl.tick_rollout'::regproc);
    perform promptctl.require_prompts(array[tick_rollout.name]);
    select * into r from promptctl.rollouts x where x.name = tick_rollout.name order by x.rollout desc limit 1;
    if r.state is distinct from 'running' then
        return (r.rollout, tick_rollout.name, 'nothing', r.state,
                case r.state when 'promoted' then 10000 when 'paused' then r.basis_points else 0 end, r.basis_points, null,
                null,
                case when r.state is null then 'it has no rollout'
                     else format('rollout %s is %s: %s', r.rollout, r.state, r.why) end,
                null, null)::promptctl.rollout_tick;
    end if;
    -- Before any lock, because a move of the prompt must not wait for it. What it decides holds only for the share that it
    -- has seen, which is compared again under the lock.
    tick := promptctl.judge_rollout(r);
    if tick.action = 'hold' then
        perform promptctl.record_tick(tick);
        return tick;
    end if;

    select * into before from promptctl.served s where s.name = r.name for no key update skip locked;
    if found then
        select * into now_open from promptctl.rollouts x where x.rollout = r.rollout for no key update;
    end if;
    if (now_open.state, now_open.basis_points, now_open.step_epoch, now_open.step_began_at)
        is distinct from (r.state, r.basis_points, r.step_epoch, r.step_began_at) then
        tick.action := 'busy';
        tick.state := coalesce(now_open.state, r.state);
        tick.basis_points := r.basis_points;
        tick.why := case when before.name is null then 'another session is changing the prompt'
                         else 'another session has changed the rollout' end;
        tick.alarm := null;
        return tick;
    end if;

    perform promptctl.begin_change(
        author, format('rollout %s: %s', r.rollout, tick.why), allow_new_variables => r.allow_new_variables,
        origins => case when r.origin is not null and tick.action = 'promote'
                        then jsonb_build_object(r.name, r.origin) end);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    -- First the row of the rollout, then the prompt: rollouts_give_way then finds the prompt as expected.
    if tick.action = 'advance' then
        update promptctl.rollouts x
        set basis_points = tick.basis_points, step_epoch = before.epoch + 1, step_began_at = clock_timestamp(),
            alarm = null
        where x.rollout = r.rollout returning x.* into r;
    else
        update promptctl.rollouts x
        set state = case tick.action when 'pause' then 'paused' when 'promote' then 'promoted' else 'rolled back' end,
            why = promptctl.shorten(tick.why, 2000), alarm = coalesce(tick.alarm, x.alarm),
            ended_at = case when tick.action <> 'pause' then clock_timestamp() end
        where x.rollout = r.rollout returning x.* into r;
    end if;
    perform promptctl.add_rollout_event(r, tick.action, tick.basis_points,
                                        before.epoch + (tick.action <> 'pause')::integer, tick.why, tick.evidence);
    if tick.action <> 'pause' then
        update promptctl.served s
        set active_version = case tick.action when 'promote' then r.candidate else s.active_version end,
            candidate_version = case tick.action when 'advance' then r.candidate end,
            basis_points = case tick.action when 'advance' then tick.basis_points else 0 end
        where s.name = r.name;
    end if;
    perform promptctl.end_change();
    perform promptctl.record_tick(tick);
    tick.state := r.state;
    tick.next_basis_points := (
        select coalesce(min(s.step), 10000) from unnest(r.steps) s (step) where s.step > r.basis_points);
    tick.next_at := case when tick.action = 'advance' then r.step_began_at + r.hold end;
    return tick;
end
$$;

comment on function promptctl.tick_rollout is
    'Looks at the running rollout of a prompt and takes at most one step: it enlarges the share, promotes the '
    'candidate, rolls it back, pauses, or holds. Call it every few minutes, from any number of sessions. Where another '
    'session changes the prompt it returns busy and does not wait; without a running rollout it returns nothing. '
    'roll_up_uses before it makes it faster.';

create or replace function promptctl.pause_rollout(name text, author text default null, reason text default null)
returns promptctl.rollout_change
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before promptctl.served;
    r promptctl.rollouts;
begin
    perform promptctl.require_grants('promptctl.pause_rollout'::regproc);
    perform promptctl.require_prompts(array[pause_rollout.name]);
    select * into before from promptctl.lock_prompts(array[pause_rollout.name]);
    r := promptctl.open_rollout(before.name);
    if r.state = 'paused' then
        return promptctl.rollout_effect(r, r.state, before.epoch, false);
    end if;
    perform promptctl.begin_change(author, reason);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    update promptctl.rollouts x
    set state = 'paused',
        why = promptctl.shorten(concat_ws(': ', 'paused by ' || promptctl.current_author(), pause_rollout.reason), 2000)
    where x.rollout = r.rollout returning x.* into r;
    perform promptctl.add_rollout_event(r, 'pause', before.basis_points, before.epoch, r.why);
    perform set_config('promptctl.writing_transaction', '', true);
    perform promptctl.end_change();
    return promptctl.rollout_effect(r, 'running', before.epoch, true);
end
$$;

comment on function promptctl.pause_rollout is
    'Pauses a rollout: ticks move nothing until it is resumed, and the share stays. A paused rollout stays paused.';

create or replace function promptctl.resume_rollout(name text, author text default null, reason text default null)
returns promptctl.rollout_change
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before promptctl.served;
    r promptctl.rollouts;
begin
    perform promptctl.require_grants('promptctl.resume_rollout'::regproc);
    perform promptctl.require_prompts(array[resume_rollout.name]);
    select * into before from promptctl.lock_prompts(array[resume_rollout.name]);
    r := promptctl.open_rollout(before.name);
    if r.state = 'running' then
        return promptctl.rollout_effect(r, r.state, before.epoch, false);
    end if;
    if before.basis_points not between 1 and 9999 then
        raise exception using errcode = 'restrict_violation',
            constraint = 'the_share_of_a_rollout_is_from_1_to_9999_basis_points',
            message = format('%s@%s has a share of %s: a rollout compares two versions that are both served', r.name,
                             r.candidate, promptctl.share_text(before.basis_points)),
            hint = format('promptctl rollout status %s', r.name);
    end if;
    perform promptctl.begin_change(author, reason);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    update promptctl.rollouts x
    set state = 'running', why = null, basis_points = before.basis_points, step_epoch = before.epoch,
        step_began_at = clock_timestamp(),
        alarm = case when x.basis_points = before.basis_points then x.alarm end
    where x.rollout = r.rollout returning x.* into r;
    perform promptctl.add_rollout_event(r, 'resume', r.basis_points, before.epoch, promptctl.current_reason());
    perform set_config('promptctl.writing_transaction', '', true);
    perform promptctl.end_change();
    return promptctl.rollout_effect(r, 'paused', before.epoch, true);
end
$$;

comment on function promptctl.resume_rollout is
    'Continues a paused rollout at the share that the candidate has now. Hold and patience begin again. An alarm for '
    'which a tick paused it is ignored until the next step.';

create or replace function promptctl.stop_rollout(name text, author text default null, reason text default null)
returns promptctl.rollout_change
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before promptctl.served;
    r promptctl.rollouts;
    previous_state text;
begin
    perform promptctl.require_grants('promptctl.stop_rollout'::regproc);
    perform promptctl.require_prompts(array[stop_rollout.name]);
    select * into before from promptctl.lock_prompts(array[stop_rollout.name]);
    r := promptctl.open_rollout(before.name);
    previous_state := r.state;
    perform promptctl.begin_change(author, format('rollout %s stopped%s', r.rollout, ': ' || reason));
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    update promptctl.rollouts x
    set state = 'stopped', ended_at = clock_timestamp(),
        why = promptctl.shorten(concat_ws(': ', 'stopped by ' || promptctl.current_author(), stop_rollout.reason), 2000)
    where x.rollout = r.rollout returning x.* into r;
    perform promptctl.add_rollout_event(r, 'stop', 0, before.epoch + 1, r.why);
    update promptctl.served s set candidate_version = null where s.name = r.name;
    perform set_config('promptctl.writing_transaction', '', true);
    perform promptctl.end_change();
    return promptctl.rollout_effect(r, previous_state, before.epoch + 1, true);
end
$$;

comment on function promptctl.stop_rollout is
    'Stops an open rollout and ends its split: the baseline is served to all units again.';

create or replace trigger rollouts_give_way after update on promptctl.served
    referencing old table as old_rows new table as new_rows
    for each statement execute function promptctl.rollouts_give_way();
create or replace trigger rollouts_are_written_by_functions before insert or update or delete on promptctl.rollouts
    for each statement execute function promptctl.refuse_outside_functions(
        'rollouts are written by start_rollout, tick_rollout, pause_rollout, resume_rollout and stop_rollout');
create or replace trigger rollouts_are_never_deleted before delete on promptctl.rollouts
    for each row execute function promptctl.refuse('a rollout cannot be deleted');
create or replace trigger rollouts_are_never_truncated before truncate on promptctl.rollouts
    for each statement execute function promptctl.refuse('a rollout cannot be deleted');
create or replace trigger rollout_events_are_written_by_functions before insert on promptctl.rollout_events
    for each statement execute function promptctl.refuse_outside_functions('events of rollouts are written by the database');
create or replace trigger rollout_events_are_append_only before update or delete on promptctl.rollout_events
    for each row execute function promptctl.refuse('events of rollouts are append-only');
create or replace trigger rollout_events_are_never_truncated before truncate on promptctl.rollout_events
    for each statement execute function promptctl.refuse('events of rollouts are append-only');
create or replace trigger rollout_looks_are_written_by_ticks before insert on promptctl.rollout_looks
    for each statement execute function promptctl.refuse_outside_functions('looks are written by tick_rollout');
create or replace trigger rollout_looks_are_append_only before update or delete on promptctl.rollout_looks
    for each row execute function promptctl.refuse('looks are append-only');
create or replace trigger rollout_looks_are_never_truncated before truncate on promptctl.rollout_looks
    for each statement execute function promptctl.refuse('looks are append-only');
create or replace trigger the_last_tick_is_written_by_ticks before insert or update or delete on promptctl.rollout_ticks
    for each statement execute function promptctl.refuse_outside_functions('the last tick is written by tick_rollout');
create or replace trigger the_last_tick_is_never_truncated before truncate on promptctl.rollout_ticks
    for each statement execute function promptctl.refuse('the last tick is written by tick_rollout');

comment on trigger rollouts_give_way on promptctl.served is
    'A move of the prompt that is not by its rollout, also by plain SQL, pauses or ends the rollout.';
comment on trigger rollouts_are_written_by_functions on promptctl.rollouts is
    'A rollout that somebody edits would move the prompt by a plan that nobody started.';
comment on trigger rollouts_are_never_deleted on promptctl.rollouts is 'Its moves in the history refer to it.';
comment on trigger rollouts_are_never_truncated on promptctl.rollouts is 'Row triggers do not fire for truncate.';
comment on trigger rollout_events_are_written_by_functions on promptctl.rollout_events is
    'Nobody can add an event that did not happen.';
comment on trigger rollout_events_are_append_only on promptctl.rollout_events is 'An event stays as it was recorded.';
comment on trigger rollout_events_are_never_truncated on promptctl.rollout_events is
    'Row triggers do not fire for truncate.';
comment on trigger rollout_looks_are_written_by_ticks on promptctl.rollout_looks is
    'Nobody can add a look that did not happen.';
comment on trigger rollout_looks_are_append_only on promptctl.rollout_looks is 'A look stays as it was recorded.';
comment on trigger rollout_looks_are_never_truncated on promptctl.rollout_looks is
    'Row triggers do not fire for truncate.';
comment on trigger the_last_tick_is_written_by_ticks on promptctl.rollout_ticks is
    'status warns if nobody ticks.';
comment on trigger the_last_tick_is_never_truncated on promptctl.rollout_ticks is
    'Row triggers do not fire for truncate.';


create or replace function promptctl.rollback_release(release bigint, skip_moved boolean default false,
                                                      author text default null, reason text default null,
                                                      allow_new_variables boolean default false)
returns setof promptctl.release_reversal
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off as $$
declare
    reversals promptctl.release_reversal[];
    positions integer[];
    routes jsonb[];
    ends_rollout boolean[];
    moved text[];
    number bigint;
begin
    perform promptctl.require_grants('promptctl.rollback_release'::regproc);
    perform from promptctl.releases r where r.release = rollback_release.release;
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'release_exists',
            message = format('no release %s', release), hint = 'promptctl release list';
    end if;
    perform promptctl.lock_prompts(array(select a.name from promptctl.allocations a
                                         where a.release = rollback_release.release
                                         union
                                         select r.name from promptctl.rollouts r
                                         where r.release = rollback_release.release));

    with changes as (
        select a.name, a.epoch, a.version is distinct from a.previous_version as moves,
               a.route is distinct from b.route as routes, a.previous_version, a.route, b.route as route_before,
               b.position as position_before
        from (select l.name, l.epoch from promptctl.allocations l where l.release = rollback_release.release
              union
              -- The promotions of rollouts that the release has started.
              select r.name, e.epoch from promptctl.rollouts r
              join promptctl.rollout_events e on e.rollout = r.rollout and e.kind = 'promote'
              where r.release = rollback_release.release) m
        join promptctl.allocations a on a.name = m.name and a.epoch = m.epoch
        left join promptctl.allocations b on b.name = a.name and b.epoch = a.epoch - 1
    ), rollouts as (
        select r.name from promptctl.rollouts r
        where r.release = rollback_release.release and r.state in ('running', 'paused')
    ), before as (
        select n.name, coalesce(bool_or(o.moves), false) as moves, coalesce(bool_or(o.routes), false) as routes,
               exists (select from rollouts r where r.name = n.name) as ends_rollout,
               (array_agg(o.previous_version order by o.epoch) filter (where o.moves))[1] as version,
               (array_agg(o.position_before order by o.epoch) filter (where o.moves))[1] as position,
               max(o.epoch) filter (where o.moves) as moved_in,
               (array_agg(o.route_before order by o.epoch) filter (where o.routes))[1] as route_before,
               (array_agg(o.route order by o.epoch desc) filter (where o.routes))[1] as route_after
        from (select o.name from changes o union select r.name from rollouts r) n
        left join changes o on o.name = n.name group by n.name
    ), since as (
        select b.*, s.active_version, s.candidate_version, s.route as route_now, s.epoch,
               b.moves and c.epoch is distinct from b.moved_in as is_elsewhere,
               -- An earlier call of this function restored it, and it has not moved since.
               b.moves and c.epoch is distinct from b.moved_in and exists (
                   select from promptctl.releases r
                   where r.release = c.release and r.undoes = rollback_release.release) as is_back,
               b.routes and s.route is distinct from b.route_after and s.route is distinct from b.route_before
                   as has_another_route,
               b.routes and s.route is distinct from b.route_before as restores_route,
               c.kind, c.author
        from before b
        join promptctl.served s on s.name = b.name
        left join lateral (
            select a.epoch, a.release, a.kind, a.author from promptctl.allocations a
            where a.name = b.name and a.version is distinct from a.previous_version
            order by a.epoch desc limit 1
        ) c on true
        where b.moves or b.routes or b.ends_rollout
    ), reversal as (
        select n.*, (n.is_elsewhere and not n.is_back) or n.has_another_route as skips,
               n.moves and not n.is_elsewhere as goes_back
        from since n
    )
    select array_agg((f.name, case when f.goes_back and not f.skips then f.version else f.active_version end,
                      f.active_version, (f.goes_back or f.restores_route or f.ends_rollout) and not f.skips, f.skips,
                      (f.goes_back or f.ends_rollout) and not f.skips and f.candidate_version is not null,
                      f.restores_route and not f.skips, null, f.epoch)::promptctl.release_reversal order by f.name),
           array_agg(f.position order by f.name),
           array_agg(f.route_before order by f.name),
           array_agg(f.ends_rollout order by f.name),
           array_agg(case when f.has_another_route then format('the route of "%s"', f.name)
                          else format('"%s" (%s by %s)', f.name, f.kind, f.author) end order by f.name)
               filter (where f.skips)
    into reversals, positions, routes, ends_rollout, moved
    from reversal f;

    if moved is not null and not skip_moved then
        raise exception using errcode = 'restrict_violation', constraint = 'a_rolled_back_release_has_no_later_moves',
            message = format('moved since release %s: %s%s', release, array_to_string(moved[:3], ', '),
                             case when cardinality(moved) > 3
                                 then format(', and %s more', cardinality(moved) - 3) else '' end);
    end if;
    perform promptctl.require_version(u.name, u.version, 'in use') from unnest(reversals) u
    where u.version is distinct from u.previous_version and u.version is not null;

    if exists (select from unnest(reversals) u where u.changed) then
        number := promptctl.begin_change(author, reason, 'release rollback', allow_new_variables, undoes => release);
        update promptctl.served s
        set active_version = u.version,
            candidate_version = case when u.version is distinct from s.active_version or u.ends_rollout then null
                                    else s.candidate_version end,
            position = case when u.version is null or u.version is not distinct from s.active_version then s.position
                           else u.position end,
            route = case when u.route_changed then u.route else s.route end
        from unnest(reversals, positions, routes, ends_rollout)
            u (name, version, previous_version, changed, skipped, split_ended, route_changed, release, epoch, position,
               route, ends_rollout)
        where s.name = u.name and u.changed;
        perform promptctl.end_change();
    end if;

    return query
        select u.name, u.version, u.previous_version, u.changed, u.skipped, u.split_ended, u.route_changed, number, s.epoch
        from unnest(reversals) u
        join promptctl.served s on s.name = u.name order by u.name;
end
$$;

comment on function promptctl.rollback_release is
    'Restores the active versions and the routes that a release changed, all or none. Where a prompt has moved since, '
    'it refuses or, with skip_moved, skips the prompt. A prompt that an earlier call restored is done. A split that '
    'the release ended does not start again, and a split that started since ends. Rollouts that the release started '
    'and that are open stop.';



create or replace function promptctl.grant_access(login text, access text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    routine regprocedure;
begin
    if not exists (select from pg_catalog.pg_roles r where r.rolname = login) then
        raise exception using errcode = 'undefined_object', constraint = 'login_role_exists',
            message = format('no role "%s"', login);
    end if;
    if access not in ('viewer', 'application', 'ticker', 'operator') then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'access_is_known',
            message = format('unknown access "%s": use viewer, application, ticker or operator', access);
    end if;
    if login = (select pg_get_userbyid(n.nspowner) from pg_catalog.pg_namespace n where n.nspname = 'promptctl') then
        -- Revoking rights of the owner would break the triggers and foreign keys, which run as the owner.
        raise exception using errcode = 'restrict_violation', constraint = 'the_owner_has_every_access',
            message = format('"%s" owns the schema and has every right already', login);
    end if;
    -- A restore without grants may have granted them to PUBLIC.
    revoke all on all routines in schema promptctl from public;
    revoke all on all tables in schema promptctl from public;
    revoke all on schema promptctl from public;
    execute format('revoke all on all tables in schema promptctl from %I', login);
    execute format('revoke all on all routines in schema promptctl from %I', login);
    execute format('grant usage on schema promptctl to %I', login);
    for routine in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'promptctl'::regnamespace
          and p.proname = any (
              array['expect_schema_version', 'current_author', 'current_reason', 'explain_resolve', 'rolled_below',
                    'open_to_everybody']
              || case when access <> 'application'
                      then array['compare_versions', 'explain_rollout', 'half_width', 'valid_interval',
                                 -- The view split_uses calls these.
                                 'bucket_group', 'buckets_per_group', 'price_tier'] end
              || case when access in ('ticker', 'operator') then array['tick_rollout', 'roll_up_uses'] end
              || case when access in ('application', 'operator')
                      then array['resolve', 'record_use', 'record_uses', 'record_fallbacks', 'score_use', 'bucket',
                                 'new_use_id', 'follow', 'read_versions', 'erased_versions', 'prompt_names'] end
              || case when access = 'operator'
                      then array['activate', 'deactivate', 'rollback', 'rollback_release', 'create_version',
                                 'add_versions', 'retire', 'archive', 'describe', 'describe_versions', 'set_routes',
                                 'lock_prompts_to_sync', 'lock_out_other_syncs', 'open_release', 'record_source',
                                 'record_applied', 'split', 'end_split', 'start_rollout', 'pause_rollout',
                                 'resume_rollout', 'stop_rollout', 'drop_uses'] end)
    loop
        execute format('grant execute on function %s to %I', routine, login);
    end loop;
    if access <> 'application' then
        execute format('grant select on all tables in schema promptctl to %I', login);
    else
        execute format('grant select on promptctl.installation to %I', login);
    end if;
    if access = 'operator' then
        -- Not stats: an update of it would be ignored silently.
        execute format('grant insert, update (id, name, version, content, is_active, created_at, created_by, metadata) '
                       'on promptctl.prompts to %I', login);
    end if;
end
$$;

comment on column promptctl.served.slow_ms is
    'A call of the split is slow if it takes longer than this, in milliseconds. It is fixed when the split begins; null: '
    'no split runs, or it began before schema version 8 and 10 000 applies.';
comment on column promptctl.allocations.slow_ms is 'As in served, after the change.';
comment on column promptctl.scores.epoch is
    'The epoch of the use; 0: no split chose the version, or a program stored the score during the migration to schema '
    'version 8.';
comment on column promptctl.scores.bucket is 'The bucket of the unit of the use; null: the use has no unit.';
comment on function promptctl.slow_response_ms is
    'The response time, in milliseconds, above which a call is slow: the 95th percentile of the version in the totals of '
    'the last 7 days, rounded up to 1, 2 or 5 times a power of 10. 10 000 where fewer than 100 uses reported a time.';
comment on function promptctl.before_served is
    'Counts epochs, maintains the position in the history, ends a split when the active version changes, and sets what '
    'is slow when a split begins. An archived prompt serves nothing and does not change until it is restored.';
comment on trigger bucket_totals_are_written_by_roll_up_uses on promptctl.bucket_totals is
    'Nobody can add uses that did not happen.';
comment on trigger bucket_totals_are_never_truncated on promptctl.bucket_totals is
    'The single uses may have been dropped.';
comment on type promptctl.comparison is
    'What compare_versions computes for one metric: over all shares where share is null, or in the split that gave b this '
    'share, in basis points. uses_a, uses_b: the uses that report the metric, after the cap. units_a, units_b: groups of '
    'buckets, and uses without a unit. strata: how many shares and seeds are in it. se_null, se_free: standard errors of '
    'the difference, if there is none and without that assumption. pooled: the value of both versions together.';
comment on type promptctl.pinned_version is
    'One version for a client that pins it; epoch: 0, because no split chose the version.';
comment on function promptctl.resolve is
    'The version of a prompt to use now. The unit decides which side of a split it gets, and the attributes select a '
    'step of the route. A version that a step names has epoch 0, because no split chose it. Raises an error when there is '
    'no version to serve. explain_resolve returns the reasons.';
comment on function promptctl.read_versions is
    'These versions, including archived ones, in epoch 0. A version that does not exist or was erased has no row.';
comment on function promptctl.buckets_per_group is
    'How many neighbouring buckets bucket_totals add up, for a share in basis points: as many as leave at least 50 groups '
    'on the smaller side, and at most 10.';
comment on function promptctl.bucket_group is
    'The group that a use belongs to in bucket_totals: the lowest bucket of its group. A use without a unit gets a bucket '
    'of its version by a hash of its id, plus 10 000, so that its groups are as large as those of units. -1: the bucket '
    'belongs to the other version, or the version is neither of the two.';
comment on function promptctl.add_to_bucket_totals is
    'Adds the uses and the scores of a range of recorded_in to bucket_totals. roll_up_uses calls it after it has written '
    'totals, which decide what models are counted separately. names: the prompts that have uses or scores in the range; '
    'uses are not read if none of these prompts has had a split.';
comment on function promptctl.roll_up_uses is
    'Adds uses that are not yet in totals to totals and to bucket_totals, about at_most of them, and returns how many; '
    'null: another session is rolling up. The watermark moves in the same transaction, so the session can be killed at any time. It adds '
    'only uses of transactions that have ended, with all before them; the others follow in the next roll-up.';
comment on function promptctl.half_width is
    'Half the width of an interval that holds at every look, at the level 1 - alpha, for an estimate of variance v: the '
    'mixture of normal distributions of standard deviation tau (Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021). '
    'Null where v is not positive.';
comment on function promptctl.valid_interval is
    'The interval of a difference d that holds at every look, at the level 1 - alpha. It leaves out 0 exactly where the '
    'difference is proven: the end near 0 uses se_null, the standard error if there is no difference, and the other end '
    'the larger of the two. See half_width for tau. Null where an error is not known.';
comment on function promptctl.compare_versions is
    'Compares version b with version a where one was the candidate beside the other, in the given epochs or in all: the '
    'metrics errors, time, slow, first, output, cost and score over all shares, and for each split with its share. A '
    'group of buckets is the unit of the errors; none counts more than cap of a side. In rows of traffic the difference '
    'is the logarithm of the ratio of uses per bucket, in rows of uses and out_of_place only uses are counted. prices: '
    'dollars per token, as an array of objects with model, size, input, output, cache_read and cache_write.';
comment on function promptctl.grant_access is
    'Grants a login role exactly what it needs and revokes the rest: viewer reads; application resolves and records; '
    'ticker reads, rolls up uses and ticks rollouts; operator reads, resolves, records, creates, activates, rolls back, '
    'archives, syncs and controls rollouts.';

-- A login gets the functions that are new, by the access that it has: activate is for operators, record_uses for
-- applications, and the table served for viewers.
do $$
declare
    login record;
begin
    for login in
        select r.rolname as name,
               case when bool_or(g.object = 'activate') then 'operator'
                    when bool_or(g.object = 'record_uses') then 'application' else 'viewer' end as access
        from (select a.grantee, p.proname as object, p.proowner as owner
              from pg_catalog.pg_proc p cross join aclexplode(p.proacl) a
              where p.pronamespace = 'promptctl'::regnamespace and p.proname in ('activate', 'record_uses')
              union all
              select a.grantee, c.relname, c.relowner
              from pg_catalog.pg_class c cross join aclexplode(c.relacl) a
              where c.oid = 'promptctl.served'::regclass and a.privilege_type = 'SELECT') g
        join pg_catalog.pg_roles r on r.oid = g.grantee
        where g.grantee <> g.owner
        group by r.rolname
    loop
        perform promptctl.grant_access(login.name, login.access);
    end loop;
end
$$;

revoke all on all routines in schema promptctl from public;
revoke all on all tables in schema promptctl from public;
revoke all on schema promptctl from public;

update promptctl.installation set version = 8, release = '0.1.0';

commit;
