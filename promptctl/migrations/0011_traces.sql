-- promptctl: from schema version 10 to version 11: the trace of a use.
--
-- `promptctl db migrate` runs it. It is one transaction: it either happens entirely or not at all. No table is rewritten and
-- none is read. Programs that call record_use and record_uses as in versions 4 to 10 go on.

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
    if installed is distinct from 10 then
        raise exception using errcode = 'object_not_in_prerequisite_state', constraint = 'schema_version_matches',
            message = format('database "%s" has schema version %s, and this migration starts from version 10',
                             current_database(), coalesce(installed::text, 'unknown')),
            detail = coalesce(installed::text, '');
    end if;
end
$$;

-- Programs that record or read uses wait while this session waits for its lock. So it waits at most 300 ms, gives up, and
-- tries again.
do $$
declare
    attempt integer := 0;
begin
    perform set_config('lock_timeout', '300ms', true);
    loop
        begin
            lock table promptctl.uses in access exclusive mode;
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

-- The domain gets its constraint after the column: a new column whose type has a constraint would rewrite the table.
create domain promptctl.trace_id as uuid;
alter table promptctl.uses add column trace_id promptctl.trace_id;
alter domain promptctl.trace_id
    add constraint a_trace_id_is_not_zero check (value <> '00000000-0000-0000-0000-000000000000') not valid;

comment on domain promptctl.trace_id is
    'The identifier of a trace of the W3C and of OpenTelemetry: 16 bytes, not all of them zero.';
comment on constraint a_trace_id_is_not_zero on domain promptctl.trace_id is
    'OpenTelemetry has zeros where there is no trace. A use without a trace has null.';
comment on column promptctl.uses.trace_id is
    'The trace of the application to which the call belongs; null: none. Tracing systems write it without dashes.';

create or replace function promptctl.record_use(name text, version integer, epoch integer,
                                                input_tokens bigint default null, output_tokens bigint default null,
                                                response_ms double precision default null, model text default null,
                                                unit anycompatible default null::text, outcome text default 'ok',
                                                score double precision default null, use_id uuid default null,
                                                cache_read_tokens bigint default null,
                                                cache_write_tokens bigint default null,
                                                first_token_ms double precision default null,
                                                request_id text default null, trace_id uuid default null)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    recorded constant uuid := coalesce(use_id, promptctl.new_use_id());
    stored_epoch integer;
    seed text;
begin
    if has_function_privilege('public', 'promptctl.record_use'::regproc, 'execute') then
        perform promptctl.require_grants('promptctl.record_use'::regproc);
    end if;
    -- A database that was restored from a backup may get an epoch from its future: it becomes the current one.
    select case when record_use.epoch > s.epoch then s.epoch else record_use.epoch end, a.seed into stored_epoch, seed
    from promptctl.versions v
    join promptctl.served s on s.name = v.name
    left join promptctl.allocations a on a.name = v.name and a.epoch = record_use.epoch
    where v.name = record_use.name and v.version = record_use.version;
    if not found then
        perform promptctl.require_prompts(array[record_use.name]);
        perform promptctl.require_version(record_use.name, record_use.version, 'any');
    end if;
    insert into promptctl.uses (id, name, version, epoch, bucket, model, input_tokens, output_tokens, response_ms,
                                outcome, score, cache_read_tokens, cache_write_tokens, first_token_ms, request_id,
                                trace_id)
    values (recorded, record_use.name, record_use.version, stored_epoch,
            promptctl.bucket(coalesce(seed, record_use.name), promptctl.unit_text(unit)),
            promptctl.shorten(record_use.model),
            record_use.input_tokens, record_use.output_tokens, record_use.response_ms,
            promptctl.shorten(record_use.outcome), record_use.score, record_use.cache_read_tokens,
            record_use.cache_write_tokens, record_use.first_token_ms, promptctl.shorten(record_use.request_id),
            record_use.trace_id)
    on conflict do nothing;
    return recorded;
end
$$;

create or replace function promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[],
                                                 ages_ms double precision[], buckets smallint[], models text[],
                                                 input_tokens bigint[], output_tokens bigint[],
                                                 cache_read_tokens bigint[], cache_write_tokens bigint[],
                                                 response_ms double precision[], first_token_ms double precision[],
                                                 outcomes text[], scores double precision[], request_ids text[],
                                                 trace_ids uuid[] default null)
returns promptctl.recording_result
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    recording constant bigint := promptctl.recording_number();
    received_at constant timestamptz := clock_timestamp();
    kept_from constant timestamptz := coalesce((select r.dropped_before from promptctl.roll_up r), '-infinity');
    sent constant bigint := coalesce(cardinality(ids), 0);
    late bigint := 0;
    recorded bigint;
    invalid record;
begin
    if has_function_privilege('public', 'promptctl.record_uses'::regproc, 'execute') then
        perform promptctl.require_grants('promptctl.record_uses'::regproc);
    end if;
    if exists (select from unnest(array[
            cardinality(names), cardinality(versions), cardinality(epochs), cardinality(ages_ms), cardinality(buckets),
            cardinality(models), cardinality(input_tokens), cardinality(output_tokens), cardinality(cache_read_tokens),
            cardinality(cache_write_tokens), cardinality(response_ms), cardinality(first_token_ms),
            cardinality(outcomes), cardinality(scores), cardinality(request_ids),
            -- Applications of schema version 10 and older do not pass them.
            case when trace_ids is null then sent else cardinality(trace_ids) end]) f (number)
               where coalesce(f.number, 0) <> sent) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'arrays_of_uses_are_equal_in_length',
            message = 'the arrays of the uses differ in length';
    end if;
    perform promptctl.require_valid_ages(ages_ms);
    select u.name, u.version, not u.has_version as lacks_version into invalid
    from (select g.name, g.version, s.epoch >= g.epoch as has_epoch,
                 exists (select from promptctl.versions v where v.name = g.name and v.version = g.version) as has_version
          from (select f.name, f.version, max(f.epoch) as epoch
                from unnest(names, versions, epochs) f (name, version, epoch) group by 1, 2) g
          left join promptctl.served s on s.name = g.name) u
    where not (u.has_version and u.has_epoch) order by u.has_version limit 1;
    if found and invalid.lacks_version then
        perform promptctl.require_prompts(array[invalid.name]);
        perform promptctl.require_version(invalid.name, invalid.version, 'any');
    elsif found then
        -- A database that was restored from a backup may get an epoch from its future: it becomes the current one.
        epochs := array(select case when e.epoch > s.epoch then s.epoch else e.epoch end
                        from unnest(names, epochs) with ordinality e (name, epoch, place)
                        join promptctl.served s on s.name = e.name order by e.place);
    end if;
    if kept_from > '-infinity' then
        select count(*) into late from unnest(ages_ms) a (age)
        where received_at - make_interval(secs => greatest(a.age, 0) / 1000) < kept_from;
    end if;
    insert into promptctl.uses (id, name, version, epoch, recorded_at, bucket, model, input_tokens, output_tokens,
                                cache_read_tokens, cache_write_tokens, response_ms, first_token_ms, outcome, score,
                                request_id, recorded_in, trace_id)
    select u.id, u.name, u.version, u.epoch, received_at - make_interval(secs => greatest(u.age, 0) / 1000), u.bucket,
           promptctl.shorten(u.model), u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens,
           u.response_ms, u.first_token_ms, promptctl.shorten(u.outcome), u.score, promptctl.shorten(u.request_id),
           recording, u.trace_id
    from unnest(ids, names, versions, epochs, ages_ms, buckets, models, input_tokens, output_tokens, cache_read_tokens,
                cache_write_tokens, response_ms, first_token_ms, outcomes, scores, request_ids, trace_ids)
        u (id, name, version, epoch, age, bucket, model, input_tokens, output_tokens, cache_read_tokens,
           cache_write_tokens, response_ms, first_token_ms, outcome, score, request_id, trace_id)
    where late = 0 or received_at - make_interval(secs => greatest(u.age, 0) / 1000) >= kept_from
    -- In one order, so that two sessions that send the same uses do not deadlock.
    order by u.id
    on conflict do nothing;
    get diagnostics recorded = row_count;
    perform promptctl.require_not_dropped(ages_ms, received_at, kept_from);
    return (recorded, sent - recorded - late, late)::promptctl.recording_result;
end
$$;

-- They have another argument, so these are other functions. Whoever could call the old ones can call the new ones.
do $$
declare
    old regprocedure;
    granted record;
begin
    foreach old in array array[
        'promptctl.record_use(text, integer, integer, bigint, bigint, double precision, text, anycompatible, text, '
        || 'double precision, uuid, bigint, bigint, double precision, text)',
        'promptctl.record_uses(uuid[], text[], integer[], integer[], double precision[], smallint[], text[], bigint[], '
        || 'bigint[], bigint[], bigint[], double precision[], double precision[], text[], double precision[], text[])'
        ]::regprocedure[]
    loop
        for granted in
            select n.oid::regprocedure as routine, r.rolname as login,
                   case when a.is_grantable then ' with grant option' else '' end as option
            from pg_catalog.pg_proc o
            cross join aclexplode(o.proacl) a
            join pg_catalog.pg_roles r on r.oid = a.grantee
            join pg_catalog.pg_proc n on n.pronamespace = o.pronamespace and n.proname = o.proname and n.oid <> o.oid
            where o.oid = old and a.grantee <> o.proowner
        loop
            execute format('grant execute on function %s to %I%s', granted.routine, granted.login, granted.option);
        end loop;
        execute format('drop function %s', old);
    end loop;
end
$$;

comment on function promptctl.record_use is
    'Records one call of a model with the version that was served: tokens, milliseconds, and an outcome, "ok" or the '
    'name of an error. input_tokens is all of the input, including cache_read_tokens and cache_write_tokens. A number '
    'that was not reported is null. A use that is sent again with the same use_id is stored once. trace_id is the trace of '
    'the call. Returns the use_id.';

comment on function promptctl.record_uses is
    'Records many uses, all or none, from arrays of one length; see record_use. Each use has a bucket instead of a '
    'unit, and instead of a time an age in milliseconds, because clocks differ. A use that is stored already is not '
    'stored again. A use that is older than the stored single uses is not counted, because it may have been counted '
    'before. Without trace_ids, no use has a trace.';

revoke all on all routines in schema promptctl from public;
revoke all on all tables in schema promptctl from public;
revoke all on schema promptctl from public;

update promptctl.installation set version = 11, release = '0.1.0';

commit;
