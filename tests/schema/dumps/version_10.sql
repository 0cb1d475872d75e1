-- A database of schema version 10: pg_dump --no-owner --schema=promptctl --rows-per-insert=100, without comments.
-- It is the one of version_9.sql, migrated, with a prompt that has test cases and a run of them. The logins have the access
-- that their names say. version_stats and open_to_everybody are as in schema.sql, because the server reads pg_dump's text of
-- them differently.

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA promptctl;

COMMENT ON SCHEMA promptctl IS 'System prompts as numbered versions that never change, and the active version of each.';

CREATE TYPE promptctl.archival AS (
	name text,
	version integer,
	changed boolean,
	active_version integer,
	previous_version integer,
	split_ended boolean,
	route_changed boolean
);

COMMENT ON TYPE promptctl.archival IS 'The effect of archive on a version or, where version is null, on a prompt: its active version after and before, and whether its route was removed or restored.';

CREATE TYPE promptctl.comparison AS (
	metric text,
	share integer,
	uses_a bigint,
	uses_b bigint,
	units_a bigint,
	units_b bigint,
	strata integer,
	value_a double precision,
	value_b double precision,
	difference double precision,
	se_null double precision,
	se_free double precision,
	pooled double precision
);

COMMENT ON TYPE promptctl.comparison IS 'What compare_versions computes for one metric: over all shares where share is null, or in the split that gave b this share, in basis points. uses_a, uses_b: the uses that report the metric, after the cap. units_a, units_b: groups of buckets, and uses without a unit. strata: how many shares and seeds are in it. se_null, se_free: standard errors of the difference, if there is none and without that assumption. pooled: the value of both versions together.';

CREATE TYPE promptctl.created_version AS (
	id uuid,
	name text,
	version integer,
	content text,
	is_active boolean,
	created_at timestamp with time zone,
	created_by text,
	metadata jsonb,
	created boolean,
	previous_version integer,
	settings jsonb,
	variables text[]
);

COMMENT ON TYPE promptctl.created_version IS 'The result of create_version; created is false where a version already had the text.';

CREATE TYPE promptctl.erasure AS (
	name text,
	version integer,
	changed boolean,
	size integer,
	settings text[],
	metadata text[]
);

COMMENT ON TYPE promptctl.erasure IS 'What erase removed: the size of the text in bytes, and the keys of settings and metadata. changed is false where the version was erased already.';

CREATE DOMAIN promptctl.fallback_name AS text;

COMMENT ON DOMAIN promptctl.fallback_name IS 'The name that an application requested.';

CREATE TYPE promptctl.followed_prompt AS (
	name text,
	epoch integer,
	active_version integer,
	candidate_version integer,
	basis_points integer,
	seed text,
	route jsonb,
	content text,
	settings jsonb,
	metadata jsonb,
	candidate_content text,
	candidate_settings jsonb,
	candidate_metadata jsonb
);

COMMENT ON TYPE promptctl.followed_prompt IS 'What one prompt serves, with the texts that a client needs to resolve it.';

CREATE TYPE promptctl.histogram AS (
	buckets smallint[],
	counts bigint[]
);

COMMENT ON TYPE promptctl.histogram IS 'Counts by bucket, in the order of the buckets and without empty ones. Bucket b has the values from 2^(b/32) to 2^((b+1)/32).';

CREATE TYPE promptctl.move AS (
	name text,
	version integer,
	previous_version integer,
	changed boolean,
	split_ended boolean,
	release bigint,
	epoch integer
);

COMMENT ON TYPE promptctl.move IS 'The effect of activate, deactivate or rollback on one prompt. version is null where none is active now; changed is false where nothing changed.';

CREATE DOMAIN promptctl.origin_object AS jsonb;

COMMENT ON DOMAIN promptctl.origin_object IS 'Where a version or a change came from: a repository, a commit and a path.';

CREATE DOMAIN promptctl.short_text AS text;

COMMENT ON DOMAIN promptctl.short_text IS 'A name, an author or an outcome, which is stored with every use or change.';

CREATE DOMAIN promptctl.outcome_name AS promptctl.short_text;

COMMENT ON DOMAIN promptctl.outcome_name IS '"ok", or the name of the error that a call ended in.';

CREATE TYPE promptctl.pinned_version AS (
	name text,
	version integer,
	epoch integer,
	content text,
	settings jsonb,
	metadata jsonb
);

COMMENT ON TYPE promptctl.pinned_version IS 'One version for a client that pins it; epoch: 0, because no split chose the version.';

CREATE DOMAIN promptctl.reason_text AS text;

COMMENT ON DOMAIN promptctl.reason_text IS 'Why a change was made.';

CREATE TYPE promptctl.recording_result AS (
	recorded bigint,
	repeated bigint,
	late bigint
);

COMMENT ON TYPE promptctl.recording_result IS 'How many of the sent uses were recorded, were repeated (stored before), and were late (older than the single uses that are stored, and so not counted).';

CREATE TYPE promptctl.release_reversal AS (
	name text,
	version integer,
	previous_version integer,
	changed boolean,
	skipped boolean,
	split_ended boolean,
	route_changed boolean,
	release bigint,
	epoch integer
);

COMMENT ON TYPE promptctl.release_reversal IS 'The effect of rollback_release on one prompt; skipped: it has moved since the release and stays where it is.';

CREATE TYPE promptctl.resolve_explanation AS (
	name text,
	version integer,
	epoch integer,
	content text,
	settings jsonb,
	metadata jsonb,
	asked_for text,
	route_step integer,
	route_when jsonb,
	active_version integer,
	candidate_version integer,
	basis_points integer,
	seed text,
	bucket integer,
	is_candidate boolean
);

COMMENT ON TYPE promptctl.resolve_explanation IS 'The result of resolve with its reasons: the requested prompt, the step of its route that matched (from 1) and its conditions, the bucket of the unit, and the split. is_candidate: the bucket is below the share.';

CREATE TYPE promptctl.resolved_version AS (
	name text,
	version integer,
	epoch integer,
	content text,
	settings jsonb,
	metadata jsonb
);

COMMENT ON TYPE promptctl.resolved_version IS 'The result of resolve: the version to use now, and the epoch in which it was served.';

CREATE TYPE promptctl.rollout_change AS (
	rollout bigint,
	name text,
	baseline integer,
	candidate integer,
	state text,
	previous_state text,
	basis_points integer,
	steps integer[],
	hold interval,
	least_uses integer,
	patience interval,
	in_doubt text,
	guards jsonb,
	epoch integer,
	changed boolean,
	why text
);

COMMENT ON TYPE promptctl.rollout_change IS 'The effect of start_rollout, pause_rollout, resume_rollout or stop_rollout: the rollout after it, with its plan. changed is false where nothing changed.';

CREATE TYPE promptctl.rollout_tick AS (
	rollout bigint,
	name text,
	action text,
	state text,
	basis_points integer,
	previous_basis_points integer,
	next_basis_points integer,
	next_at timestamp with time zone,
	why text,
	evidence jsonb,
	alarm text
);

COMMENT ON TYPE promptctl.rollout_tick IS 'The result of tick_rollout and explain_rollout: the action (hold, advance, promote, roll back, pause, busy or nothing), the share after and before, the next share (10000: promotion) and the earliest time of the next step, why, and the evidence: a list with each guard, its numbers and its verdict (fine, worse, doubtful, too few uses).';

CREATE DOMAIN promptctl.score_number AS double precision;

COMMENT ON DOMAIN promptctl.score_number IS 'How good a reply was.';

CREATE DOMAIN promptctl.score_place AS integer;

COMMENT ON DOMAIN promptctl.score_place IS 'The position of a score among the scores of its use, from 1.';

CREATE DOMAIN promptctl.seed_text AS text;

COMMENT ON DOMAIN promptctl.seed_text IS 'The text that is hashed with a unit.';

CREATE DOMAIN promptctl.sha256_hash AS bytea
	CONSTRAINT a_hash_has_32_bytes CHECK ((octet_length(VALUE) = 32));

COMMENT ON DOMAIN promptctl.sha256_hash IS 'A SHA-256. encode(hash, ''hex'') is its usual form.';

COMMENT ON CONSTRAINT a_hash_has_32_bytes ON DOMAIN promptctl.sha256_hash IS 'A SHA-256 has 256 bits.';

CREATE TYPE promptctl.split_change AS (
	name text,
	version integer,
	candidate_version integer,
	previous_candidate integer,
	basis_points integer,
	previous_basis_points integer,
	seed text,
	changed boolean,
	epoch integer
);

COMMENT ON TYPE promptctl.split_change IS 'The effect of split or end_split: the split after and before. changed is false where nothing changed.';

CREATE DOMAIN promptctl.use_bucket AS smallint;

COMMENT ON DOMAIN promptctl.use_bucket IS 'The bucket of a unit.';

CREATE DOMAIN promptctl.use_epoch AS integer;

COMMENT ON DOMAIN promptctl.use_epoch IS 'The epoch of the prompt in which the version was served.';

CREATE FUNCTION promptctl.activate(names text[], versions integer[], author text DEFAULT NULL::text, reason text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false, release bigint DEFAULT NULL::bigint, origins jsonb DEFAULT NULL::jsonb) RETURNS SETOF promptctl.move
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
declare
    moves promptctl.move[];
    number bigint;
begin
    perform promptctl.require_grants('promptctl.activate'::regproc);
    if cardinality(names) is distinct from cardinality(versions) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'names_and_versions_are_equal_in_number',
            message = 'names and versions differ in number';
    end if;
    perform promptctl.require_prompts(names);
    perform promptctl.lock_prompts(names);
    -- By primary key: a join with the result of lock_prompts would compare each name with all others.
    select array_agg((s.name, t.version, s.active_version,
                      s.active_version is distinct from t.version or s.candidate_version is not null,
                      s.candidate_version is not null, null, s.epoch)::promptctl.move order by t.place)
    into moves
    from unnest(names, versions) with ordinality t (name, version, place)
    join promptctl.served s on s.name = t.name;

    -- After the lock, because no session can archive one of them from here on.
    perform promptctl.require_version(m.name, m.version, 'in use') from unnest(moves) m;

    if exists (select from unnest(moves) m where m.changed) then
        number := promptctl.begin_change(author, reason, case when cardinality(names) > 1 then 'activate' end,
                                         allow_new_variables, release, origins);
        update promptctl.served s
        set active_version = m.version, candidate_version = null
        from unnest(moves) m where s.name = m.name and m.changed;
        perform promptctl.end_change();
    end if;

    return query
        select m.name, m.version, m.previous_version, m.changed, m.split_ended, number, s.epoch
        from unnest(moves) with ordinality m
        join promptctl.served s on s.name = m.name order by m.ordinality;
end
$$;

COMMENT ON FUNCTION promptctl.activate(names text[], versions integer[], author text, reason text, allow_new_variables boolean, release bigint, origins jsonb) IS 'Makes each version the active one, all or none. Several prompts make a release, unless they are added to a release that this transaction has opened. origins has, by name, where each activation came from.';

CREATE FUNCTION promptctl.are_valid_guards(guards jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.are_valid_guards(guards jsonb) IS 'Whether this is a list of {"metric": name, "tolerance": number} with each metric at most once. A tolerance is a difference of rates, of logarithms or of scores, as in compare_versions.';

CREATE FUNCTION promptctl.are_valid_prices(prices jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.are_valid_prices(prices jsonb) IS 'Whether this is a list of prices as compare_versions takes them: the model, the price tier and US dollars for each token.';

CREATE FUNCTION promptctl.are_valid_steps(steps integer[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.are_valid_steps(steps integer[]) IS 'Whether these are the shares of a rollout: 1 to 20 of them, each larger than the one before, from 1 to 9999 basis points.';

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE promptctl.rollouts (
    rollout bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    baseline integer NOT NULL,
    candidate integer NOT NULL,
    seed promptctl.seed_text NOT NULL,
    steps integer[] NOT NULL,
    hold interval NOT NULL,
    least_uses integer NOT NULL,
    patience interval NOT NULL,
    in_doubt text NOT NULL,
    guards jsonb NOT NULL,
    alpha double precision NOT NULL,
    prices jsonb NOT NULL,
    allow_new_variables boolean NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    basis_points integer NOT NULL,
    first_epoch integer NOT NULL,
    step_epoch integer NOT NULL,
    alarm text,
    why promptctl.reason_text,
    release bigint,
    origin promptctl.origin_object,
    author promptctl.short_text NOT NULL,
    reason promptctl.reason_text,
    database_user text DEFAULT SESSION_USER NOT NULL,
    began_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    step_began_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT a_cost_guard_has_prices CHECK (((prices <> '[]'::jsonb) OR (NOT (guards @> '[{"metric": "cost"}]'::jsonb)))),
    CONSTRAINT a_doubt_ends_in_a_pause_or_a_rollback CHECK ((in_doubt = ANY (ARRAY['pause'::text, 'roll back'::text]))),
    CONSTRAINT a_hold_is_from_0_to_366_days CHECK (((hold >= '00:00:00'::interval) AND (hold <= '366 days'::interval))),
    CONSTRAINT a_rollout_has_a_known_state CHECK ((state = ANY (ARRAY['running'::text, 'paused'::text, 'promoted'::text, 'rolled back'::text, 'stopped'::text]))),
    CONSTRAINT a_rollout_leads_to_another_version CHECK ((candidate <> baseline)),
    CONSTRAINT a_rollout_that_is_not_open_has_an_end CHECK (((state = ANY (ARRAY['running'::text, 'paused'::text])) = (ended_at IS NULL))),
    CONSTRAINT a_rollout_waits_for_0_to_1e9_uses CHECK (((least_uses >= 0) AND (least_uses <= 1000000000))),
    CONSTRAINT alpha_is_from_0_0001_to_0_5 CHECK (((alpha >= (0.0001)::double precision) AND (alpha <= (0.5)::double precision))),
    CONSTRAINT an_alarm_is_known CHECK ((alarm = ANY (ARRAY['traffic'::text, 'out of place'::text, 'traffic, out of place'::text]))),
    CONSTRAINT guards_are_metrics_with_tolerances CHECK (promptctl.are_valid_guards(guards)),
    CONSTRAINT patience_is_from_the_hold_to_3660_days CHECK (((patience >= hold) AND (patience <= '3660 days'::interval))),
    CONSTRAINT prices_are_dollars_per_token CHECK (promptctl.are_valid_prices(prices)),
    CONSTRAINT the_share_of_a_rollout_is_from_1_to_9999_basis_points CHECK (((basis_points >= 1) AND (basis_points <= 9999))),
    CONSTRAINT the_shares_of_a_rollout_grow CHECK (promptctl.are_valid_steps(steps))
);

COMMENT ON TABLE promptctl.rollouts IS 'Guarded rollouts: each serves a candidate to growing shares of the units, and promotes it or rolls it back. Only functions and triggers write it.';

COMMENT ON COLUMN promptctl.rollouts.rollout IS 'The number of the rollout. Numbers increase and may have gaps.';

COMMENT ON COLUMN promptctl.rollouts.baseline IS 'The active version while the rollout is open.';

COMMENT ON COLUMN promptctl.rollouts.candidate IS 'The version that the rollout promotes.';

COMMENT ON COLUMN promptctl.rollouts.seed IS 'The seed of the split, by which its epochs are recognised.';

COMMENT ON COLUMN promptctl.rollouts.steps IS 'The shares in basis points. The next step is the first that is above the present share; after the last one the candidate is promoted.';

COMMENT ON COLUMN promptctl.rollouts.hold IS 'How long a share lasts at least.';

COMMENT ON COLUMN promptctl.rollouts.least_uses IS 'How many uses of the candidate a share needs at least.';

COMMENT ON COLUMN promptctl.rollouts.patience IS 'After which time at one share the rollout ends in in_doubt.';

COMMENT ON COLUMN promptctl.rollouts.in_doubt IS 'What a tick does when the patience is over: pause or roll back.';

COMMENT ON COLUMN promptctl.rollouts.guards IS 'A list of {"metric": name, "tolerance": number}: how much worse the candidate may be. A tolerance is a difference of rates (errors, slow), of logarithms (time, first, output, cost: ln 1.15 is 15 %) or of scores.';

COMMENT ON COLUMN promptctl.rollouts.alpha IS 'The risk that the guards together roll back a candidate that does not differ from the baseline.';

COMMENT ON COLUMN promptctl.rollouts.prices IS 'The prices at the start, by which the guard of the cost is calculated.';

COMMENT ON COLUMN promptctl.rollouts.allow_new_variables IS 'Whether the candidate may need a variable that the baseline does not need.';

COMMENT ON COLUMN promptctl.rollouts.state IS 'running or paused, while the rollout is open; promoted, rolled back or stopped.';

COMMENT ON COLUMN promptctl.rollouts.basis_points IS 'The share that the rollout set last.';

COMMENT ON COLUMN promptctl.rollouts.first_epoch IS 'The first epoch of the comparison.';

COMMENT ON COLUMN promptctl.rollouts.step_epoch IS 'The epoch in which the present share began.';

COMMENT ON COLUMN promptctl.rollouts.alarm IS 'Why a tick paused the rollout: traffic or out of place. A resumed rollout ignores this alarm until its next step; null: no alarm.';

COMMENT ON COLUMN promptctl.rollouts.why IS 'Why the rollout is paused or has ended; null: it runs.';

COMMENT ON COLUMN promptctl.rollouts.release IS 'The release that started the rollout; null: none.';

COMMENT ON COLUMN promptctl.rollouts.origin IS 'The commit and the file that asked for the rollout. The promotion has the same origin.';

COMMENT ON COLUMN promptctl.rollouts.began_at IS 'When the rollout was started.';

COMMENT ON COLUMN promptctl.rollouts.step_began_at IS 'When the present share began, or the rollout was resumed last.';

COMMENT ON COLUMN promptctl.rollouts.ended_at IS 'When it was promoted, rolled back or stopped; null: it is open.';

COMMENT ON CONSTRAINT a_cost_guard_has_prices ON promptctl.rollouts IS 'Without prices the guard would never be decided.';

COMMENT ON CONSTRAINT a_doubt_ends_in_a_pause_or_a_rollback ON promptctl.rollouts IS 'A rollout that nobody can decide must not go on.';

COMMENT ON CONSTRAINT a_hold_is_from_0_to_366_days ON promptctl.rollouts IS 'Larger times could not be added to a date.';

COMMENT ON CONSTRAINT a_rollout_has_a_known_state ON promptctl.rollouts IS 'Open, or how it ended.';

COMMENT ON CONSTRAINT a_rollout_leads_to_another_version ON promptctl.rollouts IS 'A rollout compares two versions.';

COMMENT ON CONSTRAINT a_rollout_that_is_not_open_has_an_end ON promptctl.rollouts IS 'A rollout that has ended does not start again.';

COMMENT ON CONSTRAINT a_rollout_waits_for_0_to_1e9_uses ON promptctl.rollouts IS 'A number of uses is not negative.';

COMMENT ON CONSTRAINT alpha_is_from_0_0001_to_0_5 ON promptctl.rollouts IS 'It is divided among the guards.';

COMMENT ON CONSTRAINT an_alarm_is_known ON promptctl.rollouts IS 'Uses that are missing or too many, or that have the bucket of the other version.';

COMMENT ON CONSTRAINT guards_are_metrics_with_tolerances ON promptctl.rollouts IS 'The metrics of compare_versions, each at most once.';

COMMENT ON CONSTRAINT patience_is_from_the_hold_to_3660_days ON promptctl.rollouts IS 'A shorter patience would end before the hold.';

COMMENT ON CONSTRAINT prices_are_dollars_per_token ON promptctl.rollouts IS 'The cost is calculated from tokens.';

COMMENT ON CONSTRAINT the_share_of_a_rollout_is_from_1_to_9999_basis_points ON promptctl.rollouts IS 'Both versions must be served to be compared.';

COMMENT ON CONSTRAINT the_shares_of_a_rollout_grow ON promptctl.rollouts IS 'A unit that gets the candidate keeps it. There are 1 to 20 shares, from 1 to 9999 basis points.';

CREATE FUNCTION promptctl.add_rollout_event(r promptctl.rollouts, kind text, basis_points integer, epoch integer, why text DEFAULT NULL::text, evidence jsonb DEFAULT NULL::jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.add_rollout_event(r promptctl.rollouts, kind text, basis_points integer, epoch integer, why text, evidence jsonb) IS 'Appends an event of a rollout whose row is locked, and notifies the channel "promptctl_rollouts".';

CREATE FUNCTION promptctl.add_test_cases(definitions text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if cardinality(definitions) > 10000 then
        raise exception using errcode = 'program_limit_exceeded', constraint = 'a_prompt_has_at_most_10000_cases',
            message = format('%s cases are too many: a prompt has at most 10000', cardinality(definitions));
    end if;
    -- In one order, so that two sessions that store the same cases do not deadlock.
    insert into promptctl.test_cases (definition)
    select d from (select distinct d collate "C" from unnest(definitions) d) n (d)
    where not exists (select from promptctl.test_cases c where c.hash = sha256(convert_to(n.d, 'UTF8')))
    order by d
    on conflict do nothing;
end
$$;

COMMENT ON FUNCTION promptctl.add_test_cases(definitions text[]) IS 'Stores the cases that are not stored yet.';

CREATE FUNCTION promptctl.add_to_bucket_totals(from_number bigint, to_number bigint, names text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
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

COMMENT ON FUNCTION promptctl.add_to_bucket_totals(from_number bigint, to_number bigint, names text[]) IS 'Adds the uses and the scores of a range of recorded_in to bucket_totals. roll_up_uses calls it after it has written totals, which decide what models are counted separately. names: the prompts that have uses or scores in the range; uses are not read if none of these prompts has had a split.';

CREATE FUNCTION promptctl.add_versions(versions jsonb, author text DEFAULT NULL::text, release bigint DEFAULT NULL::bigint, contents bytea DEFAULT NULL::bytea) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    SET enable_seqscan TO 'off'
    AS $_$
declare
    added bigint;
begin
    perform promptctl.require_grants('promptctl.add_versions'::regproc);
    perform promptctl.begin_change(author, null, release => release);
    if release is null then
        perform promptctl.lock_or_create_prompts(
            array(select distinct n #>> '{}' from jsonb_path_query(versions, '$[*].name') n));
    end if;
    insert into promptctl.versions (name, version, content, settings, metadata, created_by, origin)
    select v.name, v.version,
           case when contents is null then v.content
               else convert_from(substring(contents from v.start + 1 for v.size), 'UTF8') end,
           coalesce(v.settings, '{}'), coalesce(v.metadata, '{}'), v.created_by, v.origin
    from jsonb_to_recordset(versions)
        as v (name text, version integer, content text, start integer, size integer, settings jsonb, metadata jsonb,
              created_by text, origin jsonb);
    get diagnostics added = row_count;
    perform promptctl.end_change();
    return added;
end
$_$;

COMMENT ON FUNCTION promptctl.add_versions(versions jsonb, author text, release bigint, contents bytea) IS 'Stores many versions with numbers of their own, all or none. versions is a JSON array of objects with name, version and content, and optionally settings, metadata, created_by and origin. Large texts are faster in contents, one after the other; each object then has start and size in bytes. Within a release the prompts must exist (lock_prompts_to_sync): creating them here would take a subtransaction for each batch, and more than 64 slow down every session. Returns the number of versions.';

CREATE FUNCTION promptctl.after_insert_versions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
declare
    conflict_message text;
    erased_name text;
begin
    update promptctl.served s set next_version = greatest(s.next_version, n.highest + 1)
    from (select name, max(version)::bigint as highest from new_rows group by name) n
    where s.name = n.name and s.name = any (array(select name from new_rows));

    if exists (select from promptctl.versions v where v.erased_at is not null) then
        select format('the text of %s@%s is the text of %s@%s, which was erased', n.name, n.version, v.name, v.version),
               v.name
        into conflict_message, erased_name
        from new_rows n join promptctl.versions v on v.sha256 = n.sha256 and v.erased_at is not null
        order by v.name <> n.name, n.name, n.version limit 1;
        if found then
            raise exception using errcode = 'restrict_violation', constraint = 'an_erased_text_is_not_stored_again',
                message = conflict_message, hint = format('promptctl history %s', erased_name);
        end if;
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION promptctl.after_insert_versions() IS 'Keeps next_version above every number that was used, and refuses a text that was erased.';

CREATE FUNCTION promptctl.after_served() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_nestloop TO 'off'
    AS $$
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

COMMENT ON FUNCTION promptctl.after_served() IS 'Appends a row of history for every change and notifies the channel "promptctl", in the same transaction.';

CREATE FUNCTION promptctl.after_update_versions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_nestloop TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
    insert into promptctl.corrections (name, version, epoch, kind, previous_metadata, metadata, release, author, reason)
    select n.name, n.version, (select s.epoch from promptctl.served s where s.name = n.name), k.kind,
           case when k.kind = 'describe' then o.metadata end, case when k.kind = 'describe' then n.metadata end,
           nullif(current_setting('promptctl.release', true), '')::bigint, promptctl.current_author(),
           promptctl.current_reason()
    from new_rows n
    join old_rows o on o.name = n.name and o.version = n.version
    cross join lateral (
        select 'describe' where n.metadata is distinct from o.metadata and n.erased_at is null
        union all
        select case when n.is_retired then 'archive' else 'restore' end where n.is_retired <> o.is_retired
        union all
        select 'erase' where n.erased_at is distinct from o.erased_at
    ) k (kind)
    order by n.name, n.version;
    update promptctl.applied a set is_settled = false
    where a.is_settled and a.name = any (array(
        select n.name from new_rows n join old_rows o on o.name = n.name and o.version = n.version
        where n.metadata is distinct from o.metadata or n.erased_at is distinct from o.erased_at));
    if exists (select from new_rows n where n.erased_at is not null) then
        update promptctl.corrections c set previous_metadata = null, metadata = null
        from new_rows n join old_rows o on o.name = n.name and o.version = n.version
        where n.erased_at is distinct from o.erased_at and c.name = n.name and c.version = n.version
          and c.kind = 'describe';
        update promptctl.applied a set metadata = a.metadata - n.version::text, digest = null
        from new_rows n join old_rows o on o.name = n.name and o.version = n.version
        where n.erased_at is distinct from o.erased_at and a.name = n.name;
        -- Replies and reasons may quote the text.
        perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
        delete from promptctl.test_failures f
        using promptctl.test_runs r, new_rows n join old_rows o on o.name = n.name and o.version = n.version
        where n.erased_at is distinct from o.erased_at and r.run = f.run
          and n.sha256 in (r.sha256, r.against_sha256, r.judge_sha256);
        delete from promptctl.test_judgements j
        using new_rows n join old_rows o on o.name = n.name and o.version = n.version
        where n.erased_at is distinct from o.erased_at and j.judge_sha256 = n.sha256;
        delete from promptctl.test_replies t
        using promptctl.test_runs r, new_rows n join old_rows o on o.name = n.name and o.version = n.version
        where n.erased_at is distinct from o.erased_at and n.sha256 in (r.sha256, r.against_sha256)
          and t.run = r.run and t.sha256 = n.sha256;
        perform set_config('promptctl.writing_transaction', '', true);
        perform pg_notify('promptctl', json_build_object('erased', format('%s@%s', n.name, n.version))::text)
        from new_rows n join old_rows o on o.name = n.name and o.version = n.version
        where n.erased_at is distinct from o.erased_at;
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION promptctl.after_update_versions() IS 'Records every correction: of metadata, archiving, restoring and erasing. Makes the next sync compare the prompt again. An erasure also removes the metadata from the recorded corrections, deletes the replies to the text in runs of tests, and notifies clients, which may hold the version.';

CREATE FUNCTION promptctl.age_text(age interval) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (((s.seconds % (86400)::bigint) = 0) AND (s.seconds > 0)) THEN ((s.seconds / 86400) || 'd'::text)
             WHEN (((s.seconds % (3600)::bigint) = 0) AND (s.seconds > 0)) THEN ((s.seconds / 3600) || 'h'::text)
             WHEN (((s.seconds % (60)::bigint) = 0) AND (s.seconds > 0)) THEN ((s.seconds / 60) || 'm'::text)
             ELSE (s.seconds || 's'::text)
         END AS "case"
    FROM ( SELECT (ceil(EXTRACT(epoch FROM age_text.age)))::bigint AS seconds) s;
END;

COMMENT ON FUNCTION promptctl.age_text(age interval) IS 'An interval as options have it: 7d, 1h, 90m, 20s. It has one unit, and no fractions of a second.';

CREATE FUNCTION promptctl.archive(names text[], versions integer[], undo boolean DEFAULT false, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS SETOF promptctl.archival
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    before promptctl.served;
    after promptctl.served;
    archived promptctl.allocations;
    answer promptctl.archival;
    route_before jsonb;
begin
    perform promptctl.require_grants('promptctl.archive'::regproc);
    if cardinality(names) is distinct from cardinality(versions) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'names_and_versions_are_equal_in_number',
            message = 'names and versions differ in number';
    end if;
    perform promptctl.require_prompts(array(select distinct n from unnest(names) n));
    perform promptctl.lock_prompts(names);
    for answer in select t.name, t.version, false, null, null, false, false
                  from unnest(names, versions) with ordinality t (name, version, place) order by t.place
    loop
        if answer.version is not null then
            answer.changed := promptctl.retire(answer.name, answer.version, undo, author, reason);
            select s.active_version, s.active_version into answer.active_version, answer.previous_version
            from promptctl.served s where s.name = answer.name;
            return next answer;
            continue;
        end if;
        select * into before from promptctl.served s where s.name = answer.name;
        if (before.archived_at is null) = undo then
            answer.active_version := before.active_version;
            answer.previous_version := before.active_version;
            return next answer;
            continue;
        end if;
        perform promptctl.begin_change(author, reason);
        if undo then
            -- Restore what archiving removed, unless the version was archived meanwhile.
            select * into archived from promptctl.allocations a where a.name = before.name and a.epoch = before.epoch;
            select a.route into route_before from promptctl.allocations a
            where a.name = before.name and a.epoch = before.epoch - 1;
            if archived.previous_version is not null and exists (
                select from promptctl.versions v
                where v.name = before.name and v.version = archived.previous_version and v.is_retired) then
                archived.previous_version := null;
            end if;
            update promptctl.served s
            set archived_at = null, active_version = archived.previous_version, route = route_before,
                position = case when archived.previous_version is null then s.position else archived.parent end
            where s.name = before.name returning s.* into after;
        else
            update promptctl.served s set archived_at = now() where s.name = before.name returning s.* into after;
        end if;
        perform promptctl.end_change();
        answer.changed := true;
        answer.active_version := after.active_version;
        answer.previous_version := before.active_version;
        answer.split_ended := before.candidate_version is not null;
        answer.route_changed := after.route is distinct from before.route;
        return next answer;
    end loop;
end
$$;

COMMENT ON FUNCTION promptctl.archive(names text[], versions integer[], undo boolean, author text, reason text) IS 'Archives versions and, where the version is null, prompts, all or none. An archived prompt is not listed and serves nothing. Its name, texts, history and statistics stay. With undo it restores them: a prompt with the version that was active and with its route, but without its split.';

CREATE FUNCTION promptctl.as_ratio(compared promptctl.comparison) RETURNS promptctl.comparison
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.as_ratio(compared promptctl.comparison) IS 'A comparison of costs with the logarithm of their ratio as its difference, in place of dollars.';

CREATE FUNCTION promptctl.before_corrections() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if tg_op = 'UPDATE' then
        if pg_trigger_depth() > 1 and new.previous_metadata is null and new.metadata is null
            and (new.id, new.name, new.version, new.epoch, new.kind, new.release, new.author, new.reason,
                 new.database_user, new.changed_at)
                is not distinct from (old.id, old.name, old.version, old.epoch, old.kind, old.release, old.author,
                                      old.reason, old.database_user, old.changed_at)
            and exists (select from promptctl.versions v
                        where v.name = old.name and v.version = old.version and v.erased_at is not null) then
            return new;
        end if;
    end if;
    raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
        schema = tg_table_schema, message = tg_argv[0];
end
$$;

COMMENT ON FUNCTION promptctl.before_corrections() IS 'Refuses to change history, except that the erasure of a version removes the metadata of its corrections.';

CREATE FUNCTION promptctl.before_served() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.before_served() IS 'Counts epochs, maintains the position in the history, ends a split when the active version changes, and sets what is slow when a split begins. An archived prompt serves nothing and does not change until it is restored.';

CREATE FUNCTION promptctl.before_test_cases() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    new.hash := sha256(convert_to(new.definition, 'UTF8'));
    new.created_at := clock_timestamp();
    return new;
end
$$;

COMMENT ON FUNCTION promptctl.before_test_cases() IS 'Calculates the hash of a new case.';

CREATE FUNCTION promptctl.before_test_run_cases() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if exists (select from promptctl.test_runs r where r.run = new.run and r.ended_at is not null)
        or tg_op = 'UPDATE' and (new.run, new.place, new.case_hash) is distinct from (old.run, old.place, old.case_hash) then
        raise exception using errcode = 'restrict_violation', constraint = tg_name,
            message = format('the cases of run %s do not change', new.run);
    end if;
    return new;
end
$$;

COMMENT ON FUNCTION promptctl.before_test_run_cases() IS 'Refuses other cases or results for a run that has ended, and other cases for a run that has begun.';

CREATE FUNCTION promptctl.before_test_runs() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if old.ended_at is not null then
        raise exception using errcode = 'restrict_violation', constraint = tg_name,
            message = format('run %s has ended and does not change', old.run);
    end if;
    if (new.run, new.name, new.version, new.sha256, new.settings_sha256, new.against_name, new.against_version,
        new.against_sha256, new.against_settings_sha256, new.cases_sha256, new.author, new.database_user, new.began_at)
        is distinct from (old.run, old.name, old.version, old.sha256, old.settings_sha256, old.against_name,
                          old.against_version, old.against_sha256, old.against_settings_sha256, old.cases_sha256,
                          old.author, old.database_user, old.began_at) then
        raise exception using errcode = 'restrict_violation', constraint = 'a_run_keeps_what_it_tested',
            message = format('what run %s tests does not change: begin another run', old.run);
    end if;
    if new.ended_at is not null then
        new.ended_at := clock_timestamp();
    end if;
    return new;
end
$$;

COMMENT ON FUNCTION promptctl.before_test_runs() IS 'Refuses to change a run that has ended, or what a run tests, and sets when a run ends.';

CREATE FUNCTION promptctl.before_versions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if tg_op = 'INSERT' then
        -- Every writer locks the row of the prompt first, so that two writers do not take the same number. A release has
        -- locked all its prompts already.
        new.release := nullif(current_setting('promptctl.release', true), '')::bigint;
        if new.release is null then
            perform from promptctl.served s where s.name = new.name for no key update;
        end if;
        new.sha256 := sha256(convert_to(new.content, 'UTF8'));
        new.settings := promptctl.stored_settings(new.settings);
        new.variables := coalesce(promptctl.template_variables(new.content, new.settings), '{}');
        new.required_variables := coalesce(promptctl.required_variables(new.variables, new.settings), '{}');
        new.erased_at := null;
        new.created_by := coalesce(promptctl.shorten(new.created_by), promptctl.current_author());
        new.database_user := session_user;
        return new;
    end if;
    if (new.name, new.version, new.id, new.content, new.sha256, new.settings, new.variables, new.required_variables,
        new.created_at, new.created_by, new.database_user, new.origin, new.release)
        is distinct from (old.name, old.version, old.id, old.content, old.sha256, old.settings, old.variables,
                          old.required_variables, old.created_at, old.created_by, old.database_user, old.origin,
                          old.release) then
        raise exception using errcode = 'restrict_violation', constraint = 'a_version_never_changes',
            message = format('%s@%s never changes: create a new version', old.name, old.version),
            hint = format('promptctl create %s', old.name);
    end if;
    if new.erased_at is distinct from old.erased_at then
        perform promptctl.require_erasable(old);
        new.content := '';
        new.settings := '{}';
        new.metadata := '{}';
        new.variables := '{}';
        new.required_variables := '{}';
        new.erased_at := now();
        new.retired_at := coalesce(old.retired_at, now());
    end if;
    if new.retired_at is not null and old.retired_at is null
        and exists (select from promptctl.served s
                    where s.name = old.name and old.version in (s.active_version, s.candidate_version)) then
        raise exception using errcode = 'restrict_violation', constraint = 'a_served_version_is_not_archived',
            message = format('%s@%s is active or a candidate', old.name, old.version),
            hint = format('promptctl show %s', old.name);
    end if;
    if new.retired_at is not null and old.retired_at is null
        and exists (select from promptctl.served s cross join promptctl.route_targets(s.route) t (target)
                    where s.route is not null and t.target = format('%s@%s', old.name, old.version)) then
        raise exception using errcode = 'restrict_violation', constraint = 'a_served_version_is_not_archived',
            message = format('%s@%s is a target of a route', old.name, old.version),
            hint = format('promptctl show %s', old.name);
    end if;
    return new;
end
$$;

COMMENT ON FUNCTION promptctl.before_versions() IS 'Hashes a new version and extracts its variables. Later it lets only the metadata and the archived state change, and lets the owner of the schema erase a version that cannot be served.';

CREATE FUNCTION promptctl.begin_change(author text, reason text, release_kind text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false, release bigint DEFAULT NULL::bigint, origins jsonb DEFAULT NULL::jsonb, undoes bigint DEFAULT NULL::bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    number bigint;
begin
    perform set_config('promptctl.argument_author', coalesce(promptctl.shorten(author), ''), true);
    perform set_config('promptctl.argument_reason', coalesce(promptctl.shorten(reason, 2000), ''), true);
    perform set_config('promptctl.argument_allow_new_variables', case when allow_new_variables then 'on' else '' end, true);
    perform set_config('promptctl.argument_origins', coalesce(origins::text, ''), true);
    if release is not null then
        if not exists (select from promptctl.releases r
                       where r.release = begin_change.release and r.opened_in = pg_current_xact_id()) then
            raise exception using errcode = 'restrict_violation', constraint = 'a_release_is_made_in_one_transaction',
                message = format('release %s was not opened by this transaction', release);
        end if;
        number := release;
    elsif release_kind is not null then
        if current_setting('promptctl.is_dry_run', true) = 'on' then
            -- It is rolled back, so it takes no number from the sequence.
            insert into promptctl.releases as r (release, kind, author, reason, undoes)
            overriding system value
            values (9223372036854775807 - pg_backend_pid(), release_kind, promptctl.current_author(),
                    promptctl.current_reason(), begin_change.undoes)
            returning r.release into number;
        else
            insert into promptctl.releases as r (kind, author, reason, undoes)
            values (release_kind, promptctl.current_author(), promptctl.current_reason(), begin_change.undoes)
            returning r.release into number;
        end if;
    end if;
    perform set_config('promptctl.release', coalesce(number::text, ''), true),
            set_config('promptctl.in_change', 'on', true);
    return number;
end
$$;

COMMENT ON FUNCTION promptctl.begin_change(author text, reason text, release_kind text, allow_new_variables boolean, release bigint, origins jsonb, undoes bigint) IS 'Sets the author, the reason and the origins that triggers write into the history. With a kind it opens a release and returns its number; with a release of this transaction it continues that release.';

CREATE FUNCTION promptctl.begin_test_run(run jsonb, definitions text[], author text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    AS $$
declare
    side record;
    sides jsonb := '[]';
    number bigint;
begin
    perform promptctl.require_grants('promptctl.begin_test_run'::regproc);
    for side in
        select s.name, s.version, coalesce(v.sha256, decode(s.sha256, 'hex')) as sha256, s.is_needed, v.erased_at,
               v.version is not null as is_stored, coalesce(v.settings, promptctl.stored_settings(nullif(s.settings, 'null')), '{}') as settings
        from (values (1, true, run ->> 'name', (run ->> 'version')::integer, run ->> 'sha256', run -> 'settings'),
                     (2, false, run ->> 'against_name', (run ->> 'against_version')::integer, run ->> 'against_sha256',
                      run -> 'against_settings')) s (place, is_needed, name, version, sha256, settings)
        left join promptctl.versions v on v.name = s.name and v.version = s.version
        order by s.place
    loop
        if side.version is not null and not side.is_stored then
            perform promptctl.require_prompts(array[side.name]);
            perform promptctl.require_version(side.name, side.version, 'any');
        elsif side.erased_at is not null then
            perform promptctl.require_version(side.name, side.version, 'in use');
        end if;
        sides := sides || jsonb_build_object(
            'name', side.name, 'version', side.version, 'sha256', encode(side.sha256, 'hex'),
            'settings_sha256',
            case when side.name is not null then encode(sha256(convert_to(side.settings::text, 'UTF8')), 'hex') end);
    end loop;
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    perform promptctl.add_test_cases(definitions);
    insert into promptctl.test_runs as r (
        name, version, sha256, settings_sha256, against_name, against_version, against_sha256, against_settings_sha256,
        cases_sha256, judge, judge_sha256, requested_model, margin, origin, author)
    values (sides -> 0 ->> 'name', (sides -> 0 ->> 'version')::integer, decode(sides -> 0 ->> 'sha256', 'hex'),
            decode(sides -> 0 ->> 'settings_sha256', 'hex'), sides -> 1 ->> 'name', (sides -> 1 ->> 'version')::integer,
            decode(sides -> 1 ->> 'sha256', 'hex'), decode(sides -> 1 ->> 'settings_sha256', 'hex'),
            decode(run ->> 'cases_sha256', 'hex'), promptctl.shorten(run ->> 'judge'), decode(run ->> 'judge_sha256', 'hex'),
            promptctl.shorten(run ->> 'requested_model'), (run ->> 'margin')::double precision,
            nullif(run -> 'origin', 'null'),
            coalesce(promptctl.shorten(begin_test_run.author), promptctl.current_author()))
    returning r.run into number;
    insert into promptctl.test_run_cases (run, place, case_hash)
    select number, d.place, sha256(convert_to(d.definition, 'UTF8'))
    from unnest(definitions) with ordinality d (definition, place);
    perform set_config('promptctl.writing_transaction', '', true);
    return number;
end
$$;

COMMENT ON FUNCTION promptctl.begin_test_run(run jsonb, definitions text[], author text) IS 'Begins a run with these cases, and returns its number. run is a JSON object with name, version or sha256 and settings, the same of the baseline (against_name ...), cases_sha256, judge, judge_sha256, requested_model, margin and origin. Hashes are hexadecimal.';

CREATE FUNCTION promptctl.brace_opens_argument(text_before text, follows_argument boolean) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    rest text := text_before;
    optional text;
    command text;
begin
    if right(rest, 1) = ']' then
        optional := split_part(rest, '[', -1);
        if length(optional) = length(rest) or strpos(optional, ']') < length(optional) then
            return false;
        end if;
        rest := left(rest, - length(optional) - 1);
    end if;
    if rest = '' then
        return follows_argument;
    end if;
    command := split_part(rest, E'\\', -1);
    return length(command) < length(rest) and command ~ '^[A-Za-z]{2,}[*]?$';
end
$_$;

COMMENT ON FUNCTION promptctl.brace_opens_argument(text_before text, follows_argument boolean) IS 'Whether a brace after this text opens an argument of a LaTeX command: \name{, \name[...]{, or { directly after such an argument. The text has no brace. A command has two letters or more, because \n{x} is an escaped line break before a variable.';

CREATE FUNCTION promptctl.bucket(seed text, unit text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    number constant bigint :=
        ('x' || encode(substring(sha256(convert_to(seed || '.' || unit, 'UTF8')) for 8), 'hex'))::bit(64)::bigint;
begin
    -- PostgreSQL has no unsigned integers: 2^64 is added to a negative number, and 2^64 modulo 10000 is 1616.
    return case when number < 0 then (number % 10000 + 11616) % 10000 else number % 10000 end;
end
$$;

COMMENT ON FUNCTION promptctl.bucket(seed text, unit text) IS 'The bucket of a unit, 0 to 9999: the first 8 bytes of sha256(seed + "." + unit), big-endian, modulo 10000.';

CREATE FUNCTION promptctl.buckets_per_group(basis_points integer) RETURNS integer
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (LEAST(basis_points, (10000 - basis_points)) >= 500) THEN 10
             WHEN (LEAST(basis_points, (10000 - basis_points)) >= 250) THEN 5
             WHEN (LEAST(basis_points, (10000 - basis_points)) >= 100) THEN 2
             ELSE 1
         END AS "case";
END;

COMMENT ON FUNCTION promptctl.buckets_per_group(basis_points integer) IS 'How many neighbouring buckets bucket_totals add up, for a share in basis points: as many as leave at least 50 groups on the smaller side, and at most 10.';

CREATE TABLE promptctl.allocations (
    name text NOT NULL COLLATE pg_catalog."C",
    epoch integer NOT NULL,
    kind text NOT NULL,
    previous_version integer,
    version integer,
    candidate_version integer,
    basis_points integer NOT NULL,
    seed promptctl.seed_text,
    parent integer,
    "position" integer,
    route jsonb,
    release bigint,
    origin promptctl.origin_object,
    author promptctl.short_text NOT NULL,
    reason promptctl.reason_text,
    database_user text DEFAULT SESSION_USER NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    slow_ms integer,
    CONSTRAINT an_allocation_has_a_known_kind CHECK ((kind = ANY (ARRAY['activate'::text, 'deactivate'::text, 'rollback'::text, 'split'::text, 'unsplit'::text, 'route'::text, 'archive'::text, 'restore'::text])))
);

COMMENT ON TABLE promptctl.allocations IS 'The history: what a prompt served after each change, and who made the change. One row per change, ordered by epoch and not by clock. Only triggers write it.';

COMMENT ON COLUMN promptctl.allocations.previous_version IS 'The active version before the change.';

COMMENT ON COLUMN promptctl.allocations.version IS 'The active version after the change; null: none.';

COMMENT ON COLUMN promptctl.allocations.parent IS 'For activate, deactivate, archive and restore: the position of the prompt before the change, to which a rollback returns.';

COMMENT ON COLUMN promptctl.allocations."position" IS 'The position of the prompt after the change.';

COMMENT ON COLUMN promptctl.allocations.route IS 'The route after the change; null: none.';

COMMENT ON COLUMN promptctl.allocations.origin IS 'The commit and the file that caused the change: repository, commit, path, author of the file''s last commit, dirty.';

COMMENT ON COLUMN promptctl.allocations.author IS 'Who made the change, as the client reported it.';

COMMENT ON COLUMN promptctl.allocations.database_user IS 'The session_user that made the change. A client cannot choose it.';

COMMENT ON COLUMN promptctl.allocations.slow_ms IS 'As in served, after the change.';

COMMENT ON CONSTRAINT an_allocation_has_a_known_kind ON promptctl.allocations IS 'What can change in what a prompt serves.';

CREATE FUNCTION promptctl.bucket_group(use_id uuid, version integer, bucket smallint, allocation promptctl.allocations) RETURNS smallint
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (
         CASE
             WHEN (((version = (allocation).candidate_version) AND (bucket < (allocation).basis_points)) OR ((version = (allocation).version) AND (bucket >= (allocation).basis_points))) THEN (((bucket / promptctl.buckets_per_group((allocation).basis_points)) * promptctl.buckets_per_group((allocation).basis_points)))::bigint
             WHEN (bucket IS NOT NULL) THEN ('-1'::integer)::bigint
             WHEN (version = (allocation).candidate_version) THEN (10000 + ((((((uuid_hash(use_id))::bigint + '2147483648'::bigint) * (allocation).basis_points) / '4294967296'::bigint) / promptctl.buckets_per_group((allocation).basis_points)) * promptctl.buckets_per_group((allocation).basis_points)))
             WHEN (version = (allocation).version) THEN (10000 + ((((allocation).basis_points + ((((uuid_hash(use_id))::bigint + '2147483648'::bigint) * (10000 - (allocation).basis_points)) / '4294967296'::bigint)) / promptctl.buckets_per_group((allocation).basis_points)) * promptctl.buckets_per_group((allocation).basis_points)))
             ELSE ('-1'::integer)::bigint
         END)::smallint AS int2;
END;

COMMENT ON FUNCTION promptctl.bucket_group(use_id uuid, version integer, bucket smallint, allocation promptctl.allocations) IS 'The group that a use belongs to in bucket_totals: the lowest bucket of its group. A use without a unit gets a bucket of its version by a hash of its id, plus 10 000, so that its groups are as large as those of units. -1: the bucket belongs to the other version, or the version is neither of the two.';

CREATE FUNCTION promptctl.catch_up_after_restore() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '200ms'
    AS $$
declare
    mark promptctl.roll_up;
begin
    -- Recorders wait for this lock, which happens once after a restore. Later transactions count from the new offset, and
    -- no earlier one is running any more.
    select * into mark from promptctl.roll_up for no key update;
    update promptctl.roll_up r
    set transaction_offset = r.rolled_below - pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
exception when lock_not_available then
    null; -- The next roll-up tries again.
end
$$;

COMMENT ON FUNCTION promptctl.catch_up_after_restore() IS 'After a restore into a cluster with smaller transaction numbers: makes the numbers of new uses continue where the old ones end.';

CREATE FUNCTION promptctl.compare_versions(name text, a integer, b integer, epochs integer[] DEFAULT NULL::integer[], prices jsonb DEFAULT '[]'::jsonb, cap double precision DEFAULT 0.05, group_size integer DEFAULT NULL::integer) RETURNS SETOF promptctl.comparison
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET work_mem TO '64MB'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET max_parallel_workers_per_gather TO '0'
    SET enable_nestloop TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET enable_incremental_sort TO 'off'
    AS $$
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

COMMENT ON FUNCTION promptctl.compare_versions(name text, a integer, b integer, epochs integer[], prices jsonb, cap double precision, group_size integer) IS 'Compares version b with version a where one was the candidate beside the other, in the given epochs or in all: the metrics errors, time, slow, first, output, cost and score over all shares, and for each split with its share. A group of buckets is the unit of the errors; none counts more than cap of a side. In rows of traffic the difference is the logarithm of the ratio of uses per bucket, in rows of uses and out_of_place only uses are counted. prices: dollars per token, as an array of objects with model, size, input, output, cache_read and cache_write.';

CREATE FUNCTION promptctl.create_version(name text, content text, settings jsonb DEFAULT '{}'::jsonb, metadata jsonb DEFAULT '{}'::jsonb, author text DEFAULT NULL::text, version integer DEFAULT NULL::integer, activated boolean DEFAULT false, reason text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false) RETURNS SETOF promptctl.created_version
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET lock_timeout TO '3s'
    AS $$
declare
    served promptctl.served;
    stored promptctl.versions;
    is_new boolean := false;
begin
    perform promptctl.require_grants('promptctl.create_version'::regproc);
    perform promptctl.begin_change(author, reason, null, allow_new_variables);
    select * into served from promptctl.lock_or_create_prompts(array[create_version.name]);
    perform promptctl.require_not_archived(served);
    if create_version.version is null and exists (
        select from promptctl.versions v
        where v.name = served.name and v.sha256 = sha256(convert_to(create_version.content, 'UTF8'))
          and not v.is_retired) then
        create_version.settings := promptctl.stored_settings(create_version.settings);
        select v.* into stored from promptctl.versions v
        where v.name = served.name and v.sha256 = sha256(convert_to(create_version.content, 'UTF8'))
          and v.settings = coalesce(create_version.settings, '{}') and not v.is_retired
        order by v.version desc limit 1;
    end if;
    if stored.version is null then
        insert into promptctl.versions as v (name, version, content, settings, metadata)
        values (served.name, coalesce(create_version.version, promptctl.next_version_number(served)), create_version.content,
                coalesce(create_version.settings, '{}'), coalesce(create_version.metadata, '{}'))
        returning v.* into stored;
        is_new := true;
    end if;
    if activated and (served.active_version is distinct from stored.version
                      or served.candidate_version is not null) then
        update promptctl.served s set active_version = stored.version, candidate_version = null
        where s.name = stored.name;
    end if;
    perform promptctl.end_change();
    return query select stored.id, stored.name, stored.version, stored.content,
        coalesce(activated or served.active_version = stored.version, false), stored.created_at, stored.created_by::text,
        stored.metadata, is_new, served.active_version, stored.settings, stored.variables;
end
$$;

COMMENT ON FUNCTION promptctl.create_version(name text, content text, settings jsonb, metadata jsonb, author text, version integer, activated boolean, reason text, allow_new_variables boolean) IS 'Stores a text as the next version, or under a number that is not used yet. Without a number, and if versions in use have the same text and settings, it returns the newest of them. settings.request is an object, or the text of one, which keeps the order of its keys.';

CREATE FUNCTION promptctl.current_author() RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT "left"(COALESCE(NULLIF(current_setting('promptctl.argument_author'::text, true), ''::text), NULLIF(current_setting('promptctl.author'::text, true), ''::text), (SESSION_USER)::text), 200) AS "left";
END;

COMMENT ON FUNCTION promptctl.current_author() IS 'Who makes the change: a function''s argument, else the setting promptctl.author, else the database user.';

CREATE FUNCTION promptctl.current_reason() RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT "left"(COALESCE(NULLIF(current_setting('promptctl.argument_reason'::text, true), ''::text), NULLIF(current_setting('promptctl.reason'::text, true), ''::text)), 2000) AS "left";
END;

COMMENT ON FUNCTION promptctl.current_reason() IS 'Why the change is made: a function''s argument, else the setting promptctl.reason, else null.';

CREATE FUNCTION promptctl.deactivate(names text[], expected_version integer DEFAULT NULL::integer, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS SETOF promptctl.move
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
declare
    moves promptctl.move[];
    unexpected promptctl.move;
    number bigint;
begin
    perform promptctl.require_grants('promptctl.deactivate'::regproc);
    perform promptctl.require_prompts(names);
    if expected_version is not null and cardinality(names) <> 1 then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'a_target_or_expected_version_is_for_one_prompt',
            message = 'an expected version needs exactly one prompt';
    end if;
    perform promptctl.lock_prompts(names);
    select array_agg((s.name, null, s.active_version, s.active_version is not null, s.candidate_version is not null,
                      null, s.epoch)::promptctl.move order by t.place)
    into moves
    from unnest(names) with ordinality t (name, place)
    join promptctl.served s on s.name = t.name;

    select * into unexpected from unnest(moves) m
    where m.changed and m.previous_version is distinct from expected_version and expected_version is not null;
    if found then
        raise exception using errcode = 'restrict_violation', constraint = 'the_active_version_is_as_expected',
            message = format('the active version of "%s" is %s, not %s', unexpected.name, unexpected.previous_version,
                             expected_version),
            hint = format('promptctl history %s', unexpected.name);
    end if;
    if exists (select from unnest(moves) m where m.changed) then
        number := promptctl.begin_change(author, reason, case when cardinality(names) > 1 then 'deactivate' end);
        update promptctl.served s set active_version = null, candidate_version = null
        from unnest(moves) m where s.name = m.name and m.changed;
        perform promptctl.end_change();
    end if;

    return query
        select m.name, m.version, m.previous_version, m.changed, m.split_ended, number, s.epoch
        from unnest(moves) with ordinality m
        join promptctl.served s on s.name = m.name order by m.ordinality;
end
$$;

COMMENT ON FUNCTION promptctl.deactivate(names text[], expected_version integer, author text, reason text) IS 'Leaves each prompt without an active version, all or none. Several prompts make a release. rollback restores the version that was active.';

CREATE FUNCTION promptctl.default_guards(name text, baseline integer, candidate integer, prices jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.default_guards(name text, baseline integer, candidate integer, prices jsonb) IS 'The guards of a rollout for which none are named: errors +1 point; time +15 %, unless the baseline reports no times; cost +10 %, if each model has a price; score -2 % of its scale, if the baseline has 100 scores of the last 7 days. A guard that nobody reports would hold the rollout forever.';

CREATE FUNCTION promptctl.describe(name text, version integer, metadata jsonb, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform promptctl.require_grants('promptctl.describe'::regproc);
    return promptctl.describe_versions(
        jsonb_build_array(jsonb_build_object('name', name, 'version', version, 'metadata', metadata)), author, reason) > 0;
end
$$;

COMMENT ON FUNCTION promptctl.describe(name text, version integer, metadata jsonb, author text, reason text) IS 'Corrects the metadata of a version and records the correction. Returns false where nothing changed.';

CREATE FUNCTION promptctl.describe_versions(versions jsonb, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, release bigint DEFAULT NULL::bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    names constant text[] := array(select distinct v ->> 'name' from jsonb_array_elements(versions) v);
    described record;
    changed bigint := 0;
begin
    perform promptctl.require_grants('promptctl.describe_versions'::regproc);
    perform promptctl.require_prompts(names);
    perform promptctl.lock_prompts(names);
    perform promptctl.begin_change(author, reason, release => release);
    -- One by one: the planner overestimates their number and would read every version.
    for described in
        select d.* from jsonb_to_recordset(versions) as d (name text, version integer, metadata jsonb)
    loop
        perform promptctl.require_version(described.name, described.version, 'any');
        update promptctl.versions v set metadata = described.metadata
        where v.name = described.name and v.version = described.version
          and v.metadata is distinct from described.metadata;
        if found then
            changed := changed + 1;
        end if;
    end loop;
    perform promptctl.end_change();
    return changed;
end
$$;

COMMENT ON FUNCTION promptctl.describe_versions(versions jsonb, author text, reason text, release bigint) IS 'Corrects the metadata of versions and records the corrections. versions is a JSON array of objects with name, version and metadata. Returns how many changed.';

CREATE FUNCTION promptctl.drop_test_replies(before timestamp with time zone, at_most integer DEFAULT 10000) RETURNS bigint
    LANGUAGE plpgsql STRICT SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    cutoff constant timestamptz := least(before, now());
    dropped bigint;
begin
    perform promptctl.require_grants('promptctl.drop_test_replies'::regproc);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    delete from promptctl.test_replies t
    where t.id = any (array(select o.id from promptctl.test_replies o where o.recorded_at < cutoff
                            order by o.recorded_at limit at_most));
    get diagnostics dropped = row_count;
    if dropped < at_most then
        delete from promptctl.test_failures f using promptctl.test_runs r where r.run = f.run and r.ended_at < cutoff;
    end if;
    perform set_config('promptctl.writing_transaction', '', true);
    return dropped;
end
$$;

COMMENT ON FUNCTION promptctl.drop_test_replies(before timestamp with time zone, at_most integer) IS 'Deletes replies that were recorded before a time, with their judgements, at most this many, and returns how many. The last call also deletes the failures of runs that ended before. Runs and their results stay.';

CREATE FUNCTION promptctl.drop_uses(before timestamp with time zone, from_page bigint, pages integer DEFAULT 500) RETURNS bigint
    LANGUAGE plpgsql STRICT SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    cutoff constant timestamptz := date_trunc('hour', least(before, now()), 'UTC');
    first constant tid := format('(%s,0)', from_page)::tid;
    after constant tid := format('(%s,0)', from_page + pages)::tid;
    dropped bigint;
begin
    perform promptctl.require_grants('promptctl.drop_uses'::regproc);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    -- Set before the first deletion, so that an older use is not stored from now on.
    update promptctl.roll_up r set dropped_before = cutoff
    where r.dropped_before is null or r.dropped_before < cutoff;
    if not found and not exists (select from promptctl.roll_up)
       and (exists (select from promptctl.uses) or exists (select from promptctl.fallbacks)) then
        insert into promptctl.roll_up (dropped_before) values (cutoff)
        on conflict on constraint a_roll_up_has_one_watermark do update
        set dropped_before = greatest(roll_up.dropped_before, excluded.dropped_before);
    end if;
    delete from promptctl.uses u
    where u.ctid >= first and u.ctid < after and u.recorded_at < cutoff
      and u.recorded_in < (select r.rolled_below from promptctl.roll_up r);
    get diagnostics dropped = row_count;
    if from_page = 0 then
        delete from promptctl.scores o
        where o.used_at < cutoff and o.recorded_in < (select r.rolled_below from promptctl.roll_up r);
        delete from promptctl.fallbacks f where f.recorded_at < cutoff;
    end if;
    perform set_config('promptctl.writing_transaction', '', true);
    return dropped;
end
$$;

COMMENT ON FUNCTION promptctl.drop_uses(before timestamp with time zone, from_page bigint, pages integer) IS 'Deletes single uses that are in totals and are older than an hour, in a range of pages of the table; returns how many. With the first page it also deletes their scores and old calls with a text of the application''s own.';

CREATE FUNCTION promptctl.end_change() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform set_config('promptctl.argument_author', '', true), set_config('promptctl.argument_reason', '', true),
            set_config('promptctl.argument_allow_new_variables', '', true), set_config('promptctl.argument_origins', '', true),
            set_config('promptctl.argument_seed', '', true), set_config('promptctl.release', '', true),
            set_config('promptctl.in_change', '', true);
end
$$;

COMMENT ON FUNCTION promptctl.end_change() IS 'Clears what begin_change has set, so that later statements of the transaction have their own author and reason.';

CREATE FUNCTION promptctl.end_split(name text, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS promptctl.split_change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    before promptctl.served;
    epoch integer;
begin
    perform promptctl.require_grants('promptctl.end_split'::regproc);
    perform promptctl.require_prompts(array[end_split.name]);
    select * into before from promptctl.lock_prompts(array[end_split.name]);
    perform promptctl.begin_change(author, reason);
    update promptctl.served s set candidate_version = null
    where s.name = before.name and s.candidate_version is not null returning s.epoch into epoch;
    perform promptctl.end_change();
    return (before.name, before.active_version, null, before.candidate_version, 0, before.basis_points, null,
            before.candidate_version is not null, coalesce(epoch, before.epoch))::promptctl.split_change;
end
$$;

COMMENT ON FUNCTION promptctl.end_split(name text, author text, reason text) IS 'Serves the active version to all units again. changed is false where no split ran.';

CREATE FUNCTION promptctl.end_test_batch(id text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
declare
    is_ended boolean;
begin
    perform promptctl.require_grants('promptctl.end_test_batch'::regproc);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    update promptctl.test_batches b set ended_at = clock_timestamp(), requests = '{}'
    where b.id = end_test_batch.id and b.ended_at is null;
    is_ended := found;
    perform set_config('promptctl.writing_transaction', '', true);
    return is_ended;
end
$$;

COMMENT ON FUNCTION promptctl.end_test_batch(id text) IS 'Ends a batch whose replies are stored. Returns false where it had ended, or is not stored.';

CREATE FUNCTION promptctl.end_test_run(run bigint, outcome jsonb, cases jsonb DEFAULT '[]'::jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
declare
    stored promptctl.test_runs;
    written bigint;
begin
    perform promptctl.require_grants('promptctl.end_test_run'::regproc);
    perform from promptctl.test_runs r where r.run = end_test_run.run for no key update;
    stored := promptctl.require_open_test_run(end_test_run.run);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    update promptctl.test_run_cases c
    set baseline_passes = n.baseline_passes, baseline_replies = n.baseline_replies, new_passes = n.new_passes,
        new_replies = n.new_replies, errors = coalesce(n.errors, 0), is_changed = coalesce(n.is_changed, false),
        verdict = n.verdict, p = n.p, baseline_ids = coalesce(n.baseline_ids, '{}'), new_ids = coalesce(n.new_ids, '{}')
    from jsonb_to_recordset(cases) as n (
        place integer, baseline_passes integer, baseline_replies integer, new_passes integer, new_replies integer,
        errors integer, is_changed boolean, verdict text, p double precision, baseline_ids uuid[], new_ids uuid[])
    where c.run = end_test_run.run and c.place = n.place;
    get diagnostics written = row_count;
    if written <> jsonb_array_length(cases) then
        raise exception using errcode = 'restrict_violation', constraint = 'a_result_is_of_a_case_of_its_run',
            message = format('%s of the results are of no case of run %s, or of one case twice',
                             jsonb_array_length(cases) - written, run);
    end if;
    insert into promptctl.test_failures (run, place, failure_place, label, reason, times)
    select end_test_run.run, n.place, f.failure_place, promptctl.shorten(f.failure ->> 'label'),
           promptctl.shorten(f.failure ->> 'reason', 2000), (f.failure ->> 'times')::integer
    from jsonb_to_recordset(cases) as n (place integer, failures jsonb)
    cross join jsonb_array_elements(n.failures) with ordinality f (failure, failure_place)
    where jsonb_typeof(n.failures) = 'array'
      and not promptctl.is_erased_text(stored.name, stored.version, stored.sha256)
      and (stored.against_name is null
           or not promptctl.is_erased_text(stored.against_name, stored.against_version, stored.against_sha256))
      and not promptctl.is_erased_text(null, null, stored.judge_sha256);
    update promptctl.test_runs r
    set ended_at = clock_timestamp(), verdict = outcome ->> 'verdict', failure = promptctl.shorten(outcome ->> 'failure'),
        why = promptctl.shorten(outcome ->> 'why', 2000), change = (outcome ->> 'change')::double precision,
        lower = (outcome ->> 'lower')::double precision, upper = (outcome ->> 'upper')::double precision,
        p = (outcome ->> 'p')::double precision, needed_cases = (outcome ->> 'needed_cases')::bigint,
        needed_repeats = (outcome ->> 'needed_repeats')::bigint,
        new_calls = coalesce((outcome ->> 'new_calls')::bigint, 0),
        kept_replies = coalesce((outcome ->> 'kept_replies')::bigint, 0),
        judge_calls = coalesce((outcome ->> 'judge_calls')::bigint, 0),
        errors = coalesce((outcome ->> 'errors')::bigint, 0),
        input_tokens = (outcome ->> 'input_tokens')::bigint, output_tokens = (outcome ->> 'output_tokens')::bigint,
        cost = (outcome ->> 'cost')::double precision, is_stale = coalesce((outcome ->> 'is_stale')::boolean, false),
        notes = array(select jsonb_array_elements_text(coalesce(outcome -> 'notes', '[]'))),
        returned_models = array(select jsonb_array_elements_text(coalesce(outcome -> 'returned_models', '[]')))
    where r.run = end_test_run.run;
    perform set_config('promptctl.writing_transaction', '', true);
end
$$;

COMMENT ON FUNCTION promptctl.end_test_run(run bigint, outcome jsonb, cases jsonb) IS 'Ends a run. outcome is a JSON object with the columns of test_runs from verdict on, cases a JSON array of objects with place, the columns of test_run_cases, and failures, a list of objects with label, reason and times.';

CREATE FUNCTION promptctl.erase(name text, version integer, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS promptctl.erasure
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    before promptctl.versions;
begin
    perform promptctl.require_grants('promptctl.erase'::regproc);
    perform promptctl.require_prompts(array[erase.name]);
    perform promptctl.lock_prompts(array[erase.name]);
    perform promptctl.require_version(erase.name, erase.version, 'any');
    select * into before from promptctl.versions v where v.name = erase.name and v.version = erase.version;
    if before.erased_at is null then
        perform promptctl.begin_change(author, reason);
        update promptctl.versions v set erased_at = now() where v.name = erase.name and v.version = erase.version;
        perform promptctl.end_change();
    end if;
    return (before.name, before.version, before.erased_at is null, octet_length(before.content),
            array(select k from jsonb_object_keys(before.settings) k order by k),
            array(select k from jsonb_object_keys(before.metadata) k order by k))::promptctl.erasure;
end
$$;

COMMENT ON FUNCTION promptctl.erase(name text, version integer, author text, reason text) IS 'Removes the text, the settings and the metadata of a version permanently, and archives it. The number, the hash, the history and the statistics stay. Only the owner of the schema can erase, with a reason, and not a version that can be served.';

CREATE FUNCTION promptctl.erased_versions(names text[], versions integer[]) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
begin
    perform promptctl.require_grants('promptctl.erased_versions'::regproc);
    return query
        select format('%s@%s', v.name, v.version)
        from unnest(names, versions) n (name, version)
        join promptctl.versions v on v.name = n.name and v.version = n.version and v.erased_at is not null;
end
$$;

COMMENT ON FUNCTION promptctl.erased_versions(names text[], versions integer[]) IS 'Which of these versions were erased, so that a client can discard them.';

CREATE FUNCTION promptctl.expect_schema_version(expected integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    installed record;
begin
    select i.version, i.compatible_version, i.release into installed from promptctl.installation i;
    if not coalesce(expected between installed.compatible_version and installed.version, false) then
        raise exception using errcode = 'object_not_in_prerequisite_state', constraint = 'schema_version_matches',
            message = format('database "%s" has schema version %s, and this promptctl needs %s',
                             current_database(), coalesce(installed.version::text, 'unknown'), expected),
            -- Programs of every version read the detail as the version. The hint is the release to install.
            detail = coalesce(installed.version::text, ''), hint = coalesce(installed.release, '');
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.expect_schema_version(expected integer) IS 'Refuses a client that was made for a version which this schema does not serve. A client sends it before its first statement, in the same round trip.';

CREATE FUNCTION promptctl.explain_resolve(name text, unit anycompatible DEFAULT NULL::text, attributes jsonb DEFAULT '{}'::jsonb) RETURNS promptctl.resolve_explanation
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.explain_resolve(name text, unit anycompatible, attributes jsonb) IS 'The result of resolve with its reasons. First the route: its first step whose conditions are all among the attributes, as jsonb contains them, selects the target. The route of the target is not followed. Then the split: the candidate is served when the bucket of the unit is below the share. Without a unit, the bucket is random.';

CREATE FUNCTION promptctl.explain_rollout(name text) RETURNS promptctl.rollout_tick
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.explain_rollout(name text) IS 'What tick_rollout would do now with the last rollout of a prompt, and why. It changes nothing. For a rollout that has ended: its end, with the evidence of the last decision.';

CREATE FUNCTION promptctl.follow(names text[], epochs integer[] DEFAULT NULL::integer[]) RETURNS SETOF promptctl.followed_prompt
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
begin
    perform promptctl.require_grants('promptctl.follow'::regproc);
    return query
        select s.name, s.epoch, s.active_version, s.candidate_version, s.basis_points, s.seed::text, s.route, a.content,
               a.settings, a.metadata, c.content, c.settings, c.metadata
        from unnest(names, epochs) n (name, epoch)
        join promptctl.served s on s.name = n.name and s.epoch is distinct from n.epoch
        left join promptctl.versions a on a.name = s.name and a.version = s.active_version
        left join promptctl.versions c on c.name = s.name and c.version = s.candidate_version;
end
$$;

COMMENT ON FUNCTION promptctl.follow(names text[], epochs integer[]) IS 'What these prompts serve, with the texts, in one snapshot. Leaves out the prompts whose epoch is still the one in epochs. A name that is not a prompt has no row.';

CREATE FUNCTION promptctl.grant_access(login text, access text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    routine regprocedure;
begin
    if not exists (select from pg_catalog.pg_roles r where r.rolname = login) then
        raise exception using errcode = 'undefined_object', constraint = 'login_role_exists',
            message = format('no role "%s"', login);
    end if;
    if access not in ('viewer', 'reviewer', 'application', 'ticker', 'operator') then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'access_is_known',
            message = format('unknown access "%s": use viewer, reviewer, application, ticker or operator', access);
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
                                 'resume_rollout', 'stop_rollout', 'drop_uses', 'set_cases', 'begin_test_run',
                                 'record_test_batch', 'end_test_batch', 'record_test_replies',
                                 'record_test_judgements', 'end_test_run', 'drop_test_replies'] end)
    loop
        execute format('grant execute on function %s to %I', routine, login);
    end loop;
    if access <> 'application' then
        execute format('grant select on all tables in schema promptctl to %I', login);
        if access in ('viewer', 'ticker') then
            execute format('revoke select on promptctl.test_replies, promptctl.test_judgements, promptctl.test_failures '
                           'from %I', login);
        end if;
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

COMMENT ON FUNCTION promptctl.grant_access(login text, access text) IS 'Grants a login role exactly what it needs and revokes the rest: viewer reads, except the replies in runs of tests; reviewer reads all; application resolves and records; ticker reads as viewer, rolls up uses and ticks rollouts; operator reads all, resolves, records, creates, activates, rolls back, archives, syncs, tests and controls rollouts.';

CREATE FUNCTION promptctl.half_width(v double precision, tau double precision, alpha double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (v > (0)::double precision) THEN sqrt(((((v + (tau ^ (2)::double precision)) * v) / (tau ^ (2)::double precision)) * (ln(((1)::double precision + ((tau ^ (2)::double precision) / v))) - ((2)::double precision * ln(alpha)))))
             ELSE NULL::double precision
         END AS "case";
END;

COMMENT ON FUNCTION promptctl.half_width(v double precision, tau double precision, alpha double precision) IS 'Half the width of an interval that holds at every look, at the level 1 - alpha, for an estimate of variance v: the mixture of normal distributions of standard deviation tau (Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021). Null where v is not positive.';

CREATE FUNCTION promptctl.has_enough_uses(compared promptctl.comparison) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT COALESCE(((LEAST((compared).uses_a, (compared).uses_b) >= 100) AND (LEAST((compared).units_a, (compared).units_b) >= 30)), false) AS "coalesce";
END;

COMMENT ON FUNCTION promptctl.has_enough_uses(compared promptctl.comparison) IS 'Whether 100 uses and 30 groups of units of both versions reported the metric, which a verdict needs.';

CREATE FUNCTION promptctl.has_exact_double(number numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET extra_float_digits TO '1'
    RETURN CASE WHEN (trunc(number) = number) THEN true WHEN ((abs(number) < 0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000005) OR (abs(number) > '100000000000000000'::numeric)) THEN false ELSE ((to_jsonb((number)::double precision))::numeric = number) END;

COMMENT ON FUNCTION promptctl.has_exact_double(number numeric) IS 'Whether a number is whole or survives a conversion to floating point and back. Most languages read numbers as floating point.';

CREATE FUNCTION promptctl.histogram_bucket(value double precision) RETURNS smallint
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (value > (0.0009765625)::double precision) THEN ((floor((ln(value) * (46.16624130844683)::double precision)))::smallint)::integer
             WHEN (value IS NOT NULL) THEN '-320'::integer
             ELSE NULL::integer
         END AS "case";
END;

COMMENT ON FUNCTION promptctl.histogram_bucket(value double precision) IS 'floor(32 * log2(value)). The middle of the bucket, 2^((b+0.5)/32), is at most 1.1 % off.';

CREATE FUNCTION promptctl.is_erased_text(name text, version integer, sha256 bytea) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select case
        when is_erased_text.version is not null then exists (
            select from promptctl.versions v
            where v.name = is_erased_text.name and v.version = is_erased_text.version and v.erased_at is not null)
        else exists (
            select from promptctl.versions v
            where v.sha256 = is_erased_text.sha256 and v.erased_at is not null
              and (is_erased_text.name is null or v.name = is_erased_text.name))
        and not exists (
            select from promptctl.versions v
            where v.sha256 = is_erased_text.sha256 and v.erased_at is null
              and (is_erased_text.name is null or v.name = is_erased_text.name))
    end
$$;

COMMENT ON FUNCTION promptctl.is_erased_text(name text, version integer, sha256 bytea) IS 'Whether a version was erased. Without a version: whether the prompt had the text with this hash and every version of it was erased; without a name, of all prompts. Another prompt may still have the text of an erased version.';

CREATE FUNCTION promptctl.is_valid_route(route jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    -- The history stores a copy of each route.
    if jsonb_typeof(route) <> 'array' or pg_column_size(route) > 100000 then
        return false;
    end if;
    return jsonb_array_length(route) between 1 and 100 and not exists (
        select from jsonb_array_elements(route) r (step)
        where case when jsonb_typeof(r.step) = 'object'
                       and jsonb_typeof(coalesce(r.step -> 'when', 'null')) = 'object'
                       and jsonb_typeof(coalesce(r.step -> 'use', 'null')) = 'string'
            then (select count(*) from jsonb_object_keys(r.step)) <> 2
                 or coalesce((select bool_or(case jsonb_typeof(w.value) when 'string' then false when 'boolean' then false
                                             when 'number' then not promptctl.has_exact_double(w.value::numeric) else true end)
                              from jsonb_each(r.step -> 'when') w), true)
                 or r.step ->> 'use' !~ '^[^@]+(@[1-9][0-9]{0,9})?$'
                 or coalesce(substring(r.step ->> 'use' from '@(.*)$')::bigint > 2147483647, false)
            else true end);
end
$_$;

COMMENT ON FUNCTION promptctl.is_valid_route(route jsonb) IS 'Whether this is a list of 1 to 100 steps {"when": {attribute: text, number or boolean}, "use": "NAME" or "NAME@VERSION"}, of at most 100 kB. A fraction must survive a conversion to floating point and back, so that every language compares it alike.';

CREATE FUNCTION promptctl.json_number(written text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET extra_float_digits TO '1'
    AS $_$
declare
    exact constant numeric := written;
    number double precision;
    shortest text;
    shorter text;
    digits integer;
begin
    if written ~ '^-?[0-9]+$' then
        return exact::text;
    elsif exact = 0 or abs(exact) between 1e-300 and 1e300 then
        number := written;
    else
        begin
            number := written;
        exception when numeric_value_out_of_range then
            return case when abs(exact) > 1 then written when left(written, 1) = '-' then '-0.0' else '0.0' end;
        end;
    end if;
    shortest := number::text;
    -- Python also writes a decimal that is exactly halfway between two doubles, if a reader rounds it to this one.
    -- PostgreSQL does not. Such a decimal is shorter only in this range: elsewhere it has 17 digits or more.
    if abs(number) between 9e15 and 1e41 then
        digits := length(regexp_replace(shortest, '[-.]|e.*', '', 'g'));
        if digits >= 16 then
            shorter := trim(to_char(number, '9.' || repeat('9', digits - 2) || 'EEEE'));
            if shorter::double precision = number then
                shortest := regexp_replace(shorter, '[.]?0*e', 'e');
            end if;
        end if;
    end if;
    -- Python writes an exponent from 1e16 on, and PostgreSQL from 1e15 on.
    if shortest ~ 'e[+]15$' then
        shortest := shortest::numeric::text;
    end if;
    return case when shortest ~ '[.e]' then shortest else shortest || '.0' end;
end
$_$;

COMMENT ON FUNCTION promptctl.json_number(written text) IS 'A JSON number as Python writes it: an integer as it is, any other as the shortest decimal that Python reads as the same double. A number that is too large for a double stays as it is.';

CREATE FUNCTION promptctl.judge_rollout(r promptctl.rollouts) RETURNS promptctl.rollout_tick
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.judge_rollout(r promptctl.rollouts) IS 'What a tick would do with a running rollout, and why. It locks nothing. A guard is worse if the interval of its difference is above 0 and the difference above the tolerance: over all shares, or at the present share, for harm that begins with a larger share.';

CREATE FUNCTION promptctl.lock_holders(names text[]) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    mark xid;
    marks xid[] := '{}';
    holders text;
begin
    for mark in select s.xmax from promptctl.served s where s.name = any (lock_holders.names) loop
        marks := marks || mark;
        begin
            -- A row that was locked in a subtransaction, as in lock_prompts, and then changed has a multixact of both.
            marks := marks || array(select m.xid from pg_get_multixact_members(mark) m);
        exception when others then
            null; -- It is a single transaction id.
        end;
    end loop;
    select string_agg(distinct format('%s (%s)', coalesce(a.usename, 'a prepared transaction'),
                                      concat_ws(', ', nullif(a.application_name, ''), 'pid ' || a.pid)), ' and ')
    into holders
    from pg_catalog.pg_locks l
    left join pg_catalog.pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'transactionid' and l.granted and l.transactionid = any (marks)
      and l.pid is distinct from pg_backend_pid();
    if holders is null then
        -- The row was locked but not changed, or is not visible to us: name the sessions that write to the table.
        select string_agg(distinct format('%s (%s)', a.usename,
                                          concat_ws(', ', nullif(a.application_name, ''), 'pid ' || a.pid)), ' or ')
        into holders
        from pg_catalog.pg_locks l
        join pg_catalog.pg_stat_activity a on a.pid = l.pid
        where l.relation = 'promptctl.served'::regclass and l.granted and l.pid <> pg_backend_pid()
          and l.mode in ('RowShareLock', 'RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                         'AccessExclusiveLock');
    end if;
    return coalesce(holders, 'another session');
end
$$;

COMMENT ON FUNCTION promptctl.lock_holders(names text[]) IS 'The sessions that lock the rows of these prompts, as a text for people.';

CREATE TABLE promptctl.served (
    name text NOT NULL COLLATE pg_catalog."C",
    active_version integer,
    candidate_version integer,
    basis_points integer DEFAULT 0 NOT NULL,
    seed promptctl.seed_text,
    "position" integer,
    epoch integer DEFAULT 0 NOT NULL,
    next_version bigint DEFAULT 1 NOT NULL,
    route jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    serves_retired boolean GENERATED ALWAYS AS (false) STORED,
    archived_at timestamp with time zone,
    slow_ms integer,
    CONSTRAINT a_candidate_is_not_the_active_version CHECK ((candidate_version <> active_version)),
    CONSTRAINT a_name_has_at_most_200_characters CHECK ((length(name) <= 200)),
    CONSTRAINT a_name_has_no_segment_like_a_file_name CHECK ((name !~* '(^|/)(v[0-9]+[.](txt|md)|prompt[.]ya?ml)(/|$)'::text)),
    CONSTRAINT a_name_is_not_a_number CHECK ((name ~ '[^0-9]'::text)),
    CONSTRAINT a_name_is_segments_joined_by_slashes CHECK ((name ~ '^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$'::text)),
    CONSTRAINT a_route_is_a_list_of_steps CHECK (promptctl.is_valid_route(route)),
    CONSTRAINT a_share_is_at_most_10000_basis_points CHECK (((basis_points >= 0) AND (basis_points <= 10000))),
    CONSTRAINT a_split_has_a_seed_and_a_share CHECK ((((candidate_version IS NULL) = (seed IS NULL)) AND ((candidate_version IS NOT NULL) OR (basis_points = 0)))),
    CONSTRAINT a_split_needs_an_active_version CHECK (((candidate_version IS NULL) OR (active_version IS NOT NULL))),
    CONSTRAINT an_archived_prompt_serves_nothing CHECK (((archived_at IS NULL) OR ((active_version IS NULL) AND (candidate_version IS NULL) AND (route IS NULL)))),
    CONSTRAINT epochs_start_at_0 CHECK ((epoch >= 0)),
    CONSTRAINT version_numbers_are_from_1_to_2147483647 CHECK (((next_version >= 1) AND (next_version <= '2147483648'::bigint)))
);

COMMENT ON TABLE promptctl.served IS 'What each prompt serves: its active version, its split and its route. One row per prompt, from its creation on. Every writer locks this row first, and several rows in the order of their names.';

COMMENT ON COLUMN promptctl.served.active_version IS 'The version that a bare name stands for; null: none.';

COMMENT ON COLUMN promptctl.served.candidate_version IS 'The version that a split serves to a share of the units; null: no split runs.';

COMMENT ON COLUMN promptctl.served.basis_points IS 'The share of the candidate, out of 10 000.';

COMMENT ON COLUMN promptctl.served.seed IS 'The text that is hashed with a unit. It stays while the share changes.';

COMMENT ON COLUMN promptctl.served."position" IS 'The epoch of the move that the prompt is at in its history. A rollback goes to the parent of that move.';

COMMENT ON COLUMN promptctl.served.epoch IS 'Counts the changes of the version that a unit gets, from 1; 0: there was none yet.';

COMMENT ON COLUMN promptctl.served.next_version IS 'The highest number that was ever used, plus 1. It never decreases, so no number is used twice.';

COMMENT ON COLUMN promptctl.served.route IS 'Targeting rules: a list of {"when": {attribute: value}, "use": "NAME"}. The first step that matches a request leads it to the named prompt; null: no route.';

COMMENT ON COLUMN promptctl.served.archived_at IS 'When the prompt was archived. An archived prompt is not listed, serves nothing and cannot change; null: it is in use.';

COMMENT ON COLUMN promptctl.served.slow_ms IS 'A call of the split is slow if it takes longer than this, in milliseconds. It is fixed when the split begins; null: no split runs, or it began before schema version 8 and 10 000 applies.';

COMMENT ON CONSTRAINT a_candidate_is_not_the_active_version ON promptctl.served IS 'A split is between two versions.';

COMMENT ON CONSTRAINT a_name_has_at_most_200_characters ON promptctl.served IS 'A name must fit a file system.';

COMMENT ON CONSTRAINT a_name_has_no_segment_like_a_file_name ON promptctl.served IS 'v3.txt and prompt.yaml are files in the folder of a prompt in Git.';

COMMENT ON CONSTRAINT a_name_is_not_a_number ON promptctl.served IS 'A bare number is a version whose prompt was left out.';

COMMENT ON CONSTRAINT a_name_is_segments_joined_by_slashes ON promptctl.served IS 'A name is also a folder path and is typed in shells: letters, digits, dots, dashes and underscores.';

COMMENT ON CONSTRAINT a_route_is_a_list_of_steps ON promptctl.served IS 'Conditions are scalars only, which every language compares alike.';

COMMENT ON CONSTRAINT a_share_is_at_most_10000_basis_points ON promptctl.served IS '10 000 basis points are all units.';

COMMENT ON CONSTRAINT a_split_has_a_seed_and_a_share ON promptctl.served IS 'Without a split there is neither a seed nor a share.';

COMMENT ON CONSTRAINT a_split_needs_an_active_version ON promptctl.served IS 'A split divides the units between the candidate and the active version.';

COMMENT ON CONSTRAINT an_archived_prompt_serves_nothing ON promptctl.served IS 'It has no active version, no candidate and no route.';

COMMENT ON CONSTRAINT epochs_start_at_0 ON promptctl.served IS 'The database counts epochs.';

COMMENT ON CONSTRAINT version_numbers_are_from_1_to_2147483647 ON promptctl.served IS 'next_version is one more than the last number that was used.';

CREATE FUNCTION promptctl.lock_or_create_prompts(names text[]) RETURNS SETOF promptctl.served
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
declare
    locked bigint;
    clash text;
begin
    begin
        insert into promptctl.served (name)
        select n from unnest(names) n order by lower(n collate "C"), n collate "C" on conflict do nothing;
    exception when lock_not_available then
        raise exception using errcode = 'lock_not_available', constraint = 'a_prompt_has_one_writer_at_a_time',
            message = format('%s is locked by %s', '"' || array_to_string(names[:3], '", "') || '"',
                             promptctl.lock_holders(names));
    end;
    return query select * from promptctl.lock_prompts(names);
    get diagnostics locked = row_count;
    if locked < (select count(distinct n) from unnest(names) n) then
        select format('"%s" differs from "%s" only in case', n, s.name) into clash
        from unnest(names) n
        join promptctl.served s on lower(s.name) = lower(n collate "C") and s.name <> n collate "C" limit 1;
        raise exception using errcode = 'unique_violation', constraint = 'names_differ_in_more_than_case',
            message = clash;
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.lock_or_create_prompts(names text[]) IS 'Locks the rows of these prompts and inserts the rows that do not exist yet.';

CREATE FUNCTION promptctl.lock_out_other_syncs(waits boolean DEFAULT false) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    holder text;
begin
    perform promptctl.require_grants('promptctl.lock_out_other_syncs'::regproc);
    -- A row lock: every login of the database may take an advisory lock, and could block us.
    if waits then
        perform from promptctl.installation for no key update;
        return null;
    end if;
    perform from promptctl.installation for no key update skip locked;
    if found then
        return null;
    end if;
    select string_agg(format('%s (%s)', a.usename, concat_ws(', ', nullif(a.application_name, ''), 'pid ' || a.pid)), ' or ')
    into holder
    from promptctl.installation i
    join pg_catalog.pg_locks l on l.locktype = 'transactionid' and l.granted and l.transactionid = i.xmax
    join pg_catalog.pg_stat_activity a on a.pid = l.pid;
    return coalesce(holder, 'another session');
end
$$;

COMMENT ON FUNCTION promptctl.lock_out_other_syncs(waits boolean) IS 'Makes other syncs wait until this transaction ends. Returns the session that runs another sync, or null if there is none. With waits it waits for that session, at most lock_timeout.';

CREATE FUNCTION promptctl.lock_prompts(names text[]) RETURNS SETOF promptctl.served
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    SET enable_seqscan TO 'off'
    AS $$
begin
    return query
        select s.* from promptctl.served s where s.name = any (lock_prompts.names) order by s.name for no key update;
exception when lock_not_available then
    raise exception using errcode = 'lock_not_available', constraint = 'a_prompt_has_one_writer_at_a_time',
        message = format('%s is locked by %s', '"' || array_to_string(names[:3], '", "') || '"',
                         promptctl.lock_holders(names));
end
$$;

COMMENT ON FUNCTION promptctl.lock_prompts(names text[]) IS 'Locks the rows of these prompts in the order of their names. Waits at most 3 s and then raises an error that names the holder.';

CREATE FUNCTION promptctl.lock_prompts_to_sync(names text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform promptctl.require_grants('promptctl.lock_prompts_to_sync'::regproc);
    perform promptctl.lock_or_create_prompts(names);
end
$$;

COMMENT ON FUNCTION promptctl.lock_prompts_to_sync(names text[]) IS 'Locks every prompt that a sync may change, before it is planned and in the order of the names, so that no other session moves one of them until it is applied.';

CREATE FUNCTION promptctl.matching_step(route jsonb, attributes jsonb) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    for place in 0 .. jsonb_array_length(route) - 1 loop
        if attributes @> (route -> place -> 'when') then
            return place;
        end if;
    end loop;
    return null;
end
$$;

COMMENT ON FUNCTION promptctl.matching_step(route jsonb, attributes jsonb) IS 'The index, from 0, of the first step of a route whose conditions are all among the attributes; null: none.';

CREATE FUNCTION promptctl.merge_histograms(parts promptctl.histogram[]) RETURNS promptctl.histogram
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ROW(array_agg(m.bucket), array_agg(m.number))::promptctl.histogram AS "row"
    FROM ( SELECT c.bucket,
             (sum(c.number))::bigint AS number
            FROM (unnest(merge_histograms.parts) p(buckets, counts)
              CROSS JOIN LATERAL UNNEST(p.buckets, p.counts) c(bucket, number))
           GROUP BY c.bucket
           ORDER BY c.bucket) m
  HAVING (count(*) > 0);
END;

COMMENT ON FUNCTION promptctl.merge_histograms(parts promptctl.histogram[]) IS 'The sum of histograms, some of which may be null; null: all are.';

CREATE FUNCTION promptctl.message_texts(settings jsonb) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    messages jsonb;
    message jsonb;
    block jsonb;
    part jsonb;
    texts text[] := '{}';
begin
    if jsonb_typeof(settings -> 'request') is distinct from 'string' then
        return texts;
    end if;
    messages := (settings ->> 'request')::jsonb -> 'messages';
    if jsonb_typeof(messages) is distinct from 'array' then
        return texts;
    end if;
    for message in select jsonb_array_elements(messages) loop
        if jsonb_typeof(message -> 'content') = 'string' then
            texts := texts || (message ->> 'content');
        elsif jsonb_typeof(message -> 'content') = 'array' then
            for block in select jsonb_array_elements(message -> 'content') loop
                if block ->> 'type' = 'text' and jsonb_typeof(block -> 'text') = 'string' then
                    texts := texts || (block ->> 'text');
                elsif block ->> 'type' = 'tool_result' and jsonb_typeof(block -> 'content') = 'string' then
                    texts := texts || (block ->> 'content');
                elsif block ->> 'type' = 'tool_result' and jsonb_typeof(block -> 'content') = 'array' then
                    for part in select jsonb_array_elements(block -> 'content') loop
                        if part ->> 'type' = 'text' and jsonb_typeof(part -> 'text') = 'string' then
                            texts := texts || (part ->> 'text');
                        end if;
                    end loop;
                end if;
            end loop;
        end if;
    end loop;
    return texts;
end
$$;

COMMENT ON FUNCTION promptctl.message_texts(settings jsonb) IS 'The texts in the messages of a request that are templates, in order: content, or the text of each block of type text, and the same in the content of each block of type tool_result.';

CREATE FUNCTION promptctl.metric_text(metric text, value double precision) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (metric = ANY (ARRAY['errors'::text, 'slow'::text])) THEN (round(((100)::numeric * (value)::numeric), 1) || '%'::text)
             WHEN (metric = ANY (ARRAY['time'::text, 'first'::text])) THEN (round((exp(value))::numeric) || ' ms'::text)
             WHEN (metric = 'output'::text) THEN (round((exp(value))::numeric) || ' tokens'::text)
             WHEN (metric = 'cost'::text) THEN ('$'::text || trim_scale(round((value)::numeric, 6)))
             ELSE (trim_scale(round((value)::numeric, 3)))::text
         END AS trim_scale;
END;

COMMENT ON FUNCTION promptctl.metric_text(metric text, value double precision) IS 'A value of compare_versions, for people.';

CREATE TABLE promptctl.totals (
    grain text NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    model text,
    is_ok boolean NOT NULL,
    size smallint NOT NULL,
    uses bigint NOT NULL,
    without_unit bigint NOT NULL,
    with_tokens bigint NOT NULL,
    with_both bigint NOT NULL,
    tokens double precision,
    with_input bigint NOT NULL,
    input_tokens double precision,
    with_output bigint NOT NULL,
    output_tokens double precision,
    cache_read_tokens double precision,
    cache_write_tokens double precision,
    with_response bigint NOT NULL,
    response_ms double precision,
    fastest_ms double precision,
    slowest_ms double precision,
    response_times promptctl.histogram,
    with_first_token bigint NOT NULL,
    first_token_ms double precision,
    with_score bigint NOT NULL,
    score double precision,
    last_used_at timestamp with time zone,
    CONSTRAINT a_total_has_a_known_grain CHECK ((grain = ANY (ARRAY['hour'::text, 'day'::text, 'all'::text])))
);

COMMENT ON TABLE promptctl.totals IS 'The sums of uses by hour, by day (UTC) and of all time. Statistics read them instead of single uses. Totals and the uses that are not yet rolled up are together all uses.';

COMMENT ON COLUMN promptctl.totals.grain IS 'hour, day or all. Each use is in one total of each grain.';

COMMENT ON COLUMN promptctl.totals.starts_at IS 'When the hour or the day begins; -infinity: all time.';

COMMENT ON COLUMN promptctl.totals.is_ok IS 'Whether the uses succeeded.';

COMMENT ON COLUMN promptctl.totals.size IS 'The price tier: how many of the steps of the prices, at 100 000 and 200 000 tokens, the input exceeds.';

COMMENT ON COLUMN promptctl.totals.uses IS 'The number of uses.';

COMMENT ON COLUMN promptctl.totals.without_unit IS 'Uses that have no unit.';

COMMENT ON COLUMN promptctl.totals.with_tokens IS 'Uses that reported input or output tokens.';

COMMENT ON COLUMN promptctl.totals.with_both IS 'Uses that reported input and output tokens.';

COMMENT ON COLUMN promptctl.totals.tokens IS 'Input and output tokens of the uses that reported both; null, as in all sums of this table: no use reported it.';

COMMENT ON COLUMN promptctl.totals.with_input IS 'Uses that reported input_tokens.';

COMMENT ON COLUMN promptctl.totals.with_output IS 'Uses that reported output_tokens.';

COMMENT ON COLUMN promptctl.totals.cache_read_tokens IS 'The part of input_tokens that was read from a cache.';

COMMENT ON COLUMN promptctl.totals.cache_write_tokens IS 'The part of input_tokens that was written to a cache.';

COMMENT ON COLUMN promptctl.totals.with_response IS 'Uses that reported response_ms.';

COMMENT ON COLUMN promptctl.totals.fastest_ms IS 'The shortest response_ms.';

COMMENT ON COLUMN promptctl.totals.slowest_ms IS 'The longest response_ms.';

COMMENT ON COLUMN promptctl.totals.response_times IS 'The histogram of response_ms.';

COMMENT ON COLUMN promptctl.totals.with_first_token IS 'Uses that reported first_token_ms.';

COMMENT ON COLUMN promptctl.totals.first_token_ms IS 'The sum of first_token_ms.';

COMMENT ON COLUMN promptctl.totals.with_score IS 'Uses that have a score.';

COMMENT ON COLUMN promptctl.totals.score IS 'The sum of the scores.';

COMMENT ON COLUMN promptctl.totals.last_used_at IS 'The time of the last of these uses.';

COMMENT ON CONSTRAINT a_total_has_a_known_grain ON promptctl.totals IS 'Each use is in one total of each grain.';

CREATE FUNCTION promptctl.models_in_totals(names text[], versions integer[], models text[], uses bigint[]) RETURNS TABLE(name text, version integer, model text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 WITH requested AS MATERIALIZED (
          SELECT (a.name COLLATE "C") AS name,
             a.version,
             a.model,
             sum(a.uses) AS uses
            FROM UNNEST(models_in_totals.names, models_in_totals.versions, models_in_totals.models, models_in_totals.uses) a(name, version, model, uses)
           WHERE (a.model <> 'other models'::text)
           GROUP BY (a.name COLLATE "C"), a.version, a.model
         ), ranked AS (
          SELECT c.name,
             c.version,
             c.model,
             row_number() OVER (PARTITION BY c.name, c.version ORDER BY (bool_or(c.is_in_totals)) DESC, (sum(c.uses)) DESC, c.model) AS place
            FROM ( SELECT a.name,
                     a.version,
                     a.model,
                     a.uses,
                     false AS is_in_totals
                    FROM requested a
                 UNION ALL
                  SELECT t.name,
                     t.version,
                     t.model,
                     0,
                     true
                    FROM (( SELECT DISTINCT a.name,
                             a.version
                            FROM requested a) v
                      JOIN promptctl.totals t ON (((t.grain = 'all'::text) AND (t.name = v.name) AND (t.version = v.version))))
                   WHERE (t.model <> 'other models'::text)) c
           GROUP BY c.name, c.version, c.model
         )
  SELECT r.name,
     r.version,
     r.model
    FROM ranked r
   WHERE (r.place <= 100);
END;

COMMENT ON FUNCTION promptctl.models_in_totals(names text[], versions integer[], models text[], uses bigint[]) IS 'The models of each version that totals count separately, at most 100: first those that are in totals, then those with the most of these uses. All others are counted as "other models", because an application can report any number of names. A model that was counted there stays there.';

CREATE FUNCTION promptctl.new_use_id() RETURNS uuid
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT (encode(set_byte(t.bytes, 6, ((get_byte(t.bytes, 6) & 15) | 112)), 'hex'::text))::uuid AS encode
    FROM ( SELECT (SUBSTRING(int8send(((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric))::bigint) FROM 3) || SUBSTRING(uuid_send(gen_random_uuid()) FROM 7)) AS "?column?") t(bytes);
END;

COMMENT ON FUNCTION promptctl.new_use_id() IS 'A new id for a use, ordered by time.';

CREATE FUNCTION promptctl.new_variables_are_allowed() RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (COALESCE((current_setting('promptctl.argument_allow_new_variables'::text, true) = 'on'::text), false) OR COALESCE((lower(current_setting('promptctl.allow_new_variables'::text, true)) = ANY (ARRAY['on'::text, 'true'::text, 'yes'::text, '1'::text])), false));
END;

COMMENT ON FUNCTION promptctl.new_variables_are_allowed() IS 'Whether a version may become active that needs a variable which the active version does not need: by a function''s argument, or by the setting promptctl.allow_new_variables = on.';

CREATE FUNCTION promptctl.next_version_number(served promptctl.served) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if served.next_version > 2147483647 then
        raise exception using errcode = 'restrict_violation', constraint = 'version_numbers_are_from_1_to_2147483647',
            message = format('"%s" has no version number left', served.name);
    end if;
    return served.next_version;
end
$$;

COMMENT ON FUNCTION promptctl.next_version_number(served promptctl.served) IS 'The next number of a prompt whose row is locked.';

CREATE FUNCTION promptctl.open_release(author text DEFAULT NULL::text, reason text DEFAULT NULL::text, source text DEFAULT NULL::text, origin jsonb DEFAULT NULL::jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    number bigint;
begin
    perform promptctl.require_grants('promptctl.open_release'::regproc);
    perform promptctl.begin_change(author, reason);
    insert into promptctl.releases as r (kind, author, reason, source, origin)
    values ('sync', promptctl.current_author(), promptctl.current_reason(), open_release.source, open_release.origin)
    returning r.release into number;
    perform promptctl.end_change();
    return number;
end
$$;

COMMENT ON FUNCTION promptctl.open_release(author text, reason text, source text, origin jsonb) IS 'Opens the release of a sync. The transaction then adds versions, corrections, routes and activations to it.';

CREATE FUNCTION promptctl.open_rollout(name text) RETURNS promptctl.rollouts
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.open_rollout(name text) IS 'Locks the open rollout of a prompt whose row is locked. Refuses a prompt without one.';

CREATE FUNCTION promptctl.open_to_everybody() returns setof text language sql stable
begin atomic
    select format('function %s', p.oid::regprocedure)
    from pg_catalog.pg_proc p
    cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    where p.pronamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'promptctl') and a.grantee = 0
    union all
    select format('%s %s', case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end, c.oid::regclass)
    from pg_catalog.pg_class c
    cross join aclexplode(c.relacl) a -- Null means the rights of the owner alone.
    where c.relnamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'promptctl')
      and c.relkind in ('r', 'v', 'S') and a.grantee = 0
    union all
    select format('column %s of %s', t.attname, c.oid::regclass)
    from pg_catalog.pg_class c
    join pg_catalog.pg_attribute t on t.attrelid = c.oid
    cross join aclexplode(t.attacl) a
    where c.relnamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'promptctl') and a.grantee = 0
    union all
    select 'schema promptctl'
    from pg_catalog.pg_namespace n
    cross join aclexplode(n.nspacl) a
    where n.nspname = 'promptctl' and a.grantee = 0;
end;

COMMENT ON FUNCTION promptctl.open_to_everybody() IS 'The objects of this schema that PUBLIC may use: none after an installation. A restore without grants opens functions to PUBLIC, and installing again closes them.';

CREATE FUNCTION promptctl.pause_rollout(name text, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS promptctl.rollout_change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.pause_rollout(name text, author text, reason text) IS 'Pauses a rollout: ticks move nothing until it is resumed, and the share stays. A paused rollout stays paused.';

CREATE FUNCTION promptctl.price_tier(input_tokens bigint) RETURNS smallint
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (((COALESCE((input_tokens > 100000), false))::integer + (COALESCE((input_tokens > 200000), false))::integer))::smallint AS int2;
END;

COMMENT ON FUNCTION promptctl.price_tier(input_tokens bigint) IS 'How many of the steps of the prices, at 100 000 and 200 000 tokens, an input exceeds.';

CREATE FUNCTION promptctl.prompt_names() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform promptctl.require_grants('promptctl.prompt_names'::regproc);
    return query select s.name from promptctl.served s order by s.name limit 10000;
end
$$;

COMMENT ON FUNCTION promptctl.prompt_names() IS 'The names of the prompts, at most 10 000, from which a client suggests one for a mistyped name.';

CREATE FUNCTION promptctl.read_versions(names text[], versions integer[]) RETURNS SETOF promptctl.pinned_version
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
begin
    perform promptctl.require_grants('promptctl.read_versions'::regproc);
    return query
        select v.name, v.version, 0, v.content, v.settings, v.metadata
        from unnest(names, versions) n (name, version)
        join promptctl.versions v on v.name = n.name and v.version = n.version and v.erased_at is null;
end
$$;

COMMENT ON FUNCTION promptctl.read_versions(names text[], versions integer[]) IS 'These versions, including archived ones, in epoch 0. A version that does not exist or was erased has no row.';

CREATE FUNCTION promptctl.record_applied(source text, prompts jsonb, author text DEFAULT NULL::text, adopts boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    conflict_message text;
begin
    perform promptctl.require_grants('promptctl.record_applied'::regproc);
    if not adopts then
        select format('"%s" comes from another source, %s', a.name, a.source) into conflict_message
        from jsonb_to_recordset(prompts) as p (name text)
        join promptctl.applied a on a.name = p.name where a.source <> record_applied.source limit 1;
        if found then
            raise exception using errcode = 'unique_violation', constraint = 'a_prompt_comes_from_one_source',
                message = conflict_message;
        end if;
    end if;
    insert into promptctl.applied as a (source, name, active_version, route, metadata, has_applied_version, has_applied_route,
                                        digest, is_settled, next_version, applied_by)
    select record_applied.source, p.name, p.active, nullif(p.route, 'null'), coalesce(p.metadata, '{}'),
           p.active is not null and not coalesce(p.is_held, false), nullif(p.route, 'null') is not null,
           decode(p.digest, 'hex'),
           coalesce(p.is_settled and p.digest is not null, false), s.next_version,
           coalesce(promptctl.shorten(nullif(record_applied.author, '')), promptctl.current_author())
    from jsonb_to_recordset(prompts)
        as p (name text, active integer, route jsonb, metadata jsonb, digest text, is_settled boolean,
              is_held boolean)
    join promptctl.served s on s.name = p.name
    order by p.name collate "C"
    on conflict on constraint a_prompt_comes_from_one_source do update
        set source = excluded.source, active_version = excluded.active_version, route = excluded.route,
            metadata = excluded.metadata, has_applied_version = a.has_applied_version or excluded.has_applied_version,
            has_applied_route = a.has_applied_route or excluded.has_applied_route, digest = excluded.digest,
            is_settled = excluded.is_settled, next_version = excluded.next_version, applied_by = excluded.applied_by,
            applied_at = now()
        where (a.source, a.active_version, a.route, a.metadata, a.digest, a.is_settled, a.next_version)
              is distinct from (excluded.source, excluded.active_version, excluded.route, excluded.metadata,
                                excluded.digest, excluded.is_settled, excluded.next_version);
end
$$;

COMMENT ON FUNCTION promptctl.record_applied(source text, prompts jsonb, author text, adopts boolean) IS 'Stores what a source set for its prompts, which the next sync compares with: a JSON array of objects with name, active, route, metadata, digest, is_settled and is_held. Refuses a prompt of another source, unless it is adopted.';

CREATE FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) RETURNS promptctl.recording_result
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    received_at constant timestamptz := clock_timestamp();
    kept_from constant timestamptz := coalesce((select r.dropped_before from promptctl.roll_up r), '-infinity');
    sent constant bigint := coalesce(cardinality(ids), 0);
    late bigint;
    recorded bigint;
begin
    perform promptctl.require_grants('promptctl.record_fallbacks'::regproc);
    if exists (select from unnest(array[
            cardinality(names), cardinality(ages_ms), cardinality(models), cardinality(input_tokens),
            cardinality(output_tokens), cardinality(response_ms), cardinality(outcomes)]) f (number)
               where coalesce(f.number, 0) <> sent) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'arrays_of_uses_are_equal_in_length',
            message = 'the arrays of the calls differ in length';
    end if;
    perform promptctl.require_valid_ages(ages_ms);
    select count(*) into late from unnest(ages_ms) a (age)
    where received_at - make_interval(secs => greatest(a.age, 0) / 1000) < kept_from;
    insert into promptctl.fallbacks (id, name, recorded_at, model, input_tokens, output_tokens, response_ms, outcome)
    select f.id, case when length(f.name) between 1 and 200 then regexp_replace(f.name, '[^A-Za-z0-9._/-]', '~', 'g')
                      else regexp_replace(left(f.name, 199), '[^A-Za-z0-9._/-]', '~', 'g') || '~' end,
           received_at - make_interval(secs => greatest(f.age, 0) / 1000), promptctl.shorten(f.model),
           f.input_tokens, f.output_tokens, f.response_ms, promptctl.shorten(f.outcome)
    from unnest(ids, names, ages_ms, models, input_tokens, output_tokens, response_ms, outcomes)
        f (id, name, age, model, input_tokens, output_tokens, response_ms, outcome)
    where received_at - make_interval(secs => greatest(f.age, 0) / 1000) >= kept_from
    order by f.id
    on conflict do nothing;
    get diagnostics recorded = row_count;
    perform promptctl.require_not_dropped(ages_ms, received_at, kept_from);
    return (recorded, sent - recorded - late, late)::promptctl.recording_result;
end
$$;

COMMENT ON FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) IS 'Records calls of a model with a text of the application''s own; see record_uses.';

CREATE FUNCTION promptctl.record_source(source text, commit text DEFAULT NULL::text, committed_at timestamp with time zone DEFAULT NULL::timestamp with time zone, author text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform promptctl.require_grants('promptctl.record_source'::regproc);
    insert into promptctl.sources (source, commit, committed_at, applied_by)
    values (record_source.source, record_source.commit, record_source.committed_at,
            coalesce(promptctl.shorten(nullif(record_source.author, '')), promptctl.current_author()))
    on conflict on constraint a_source_has_one_row do update
        -- A folder without Git leaves the last commit as it is.
        set commit = coalesce(excluded.commit, sources.commit),
            committed_at = case when excluded.commit is null then sources.committed_at else excluded.committed_at end,
            applied_at = now(),
            applied_by = excluded.applied_by;
end
$$;

COMMENT ON FUNCTION promptctl.record_source(source text, commit text, committed_at timestamp with time zone, author text) IS 'Stores which commit of a source was applied last.';

CREATE FUNCTION promptctl.record_test_batch(run bigint, id text, requests jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
begin
    perform promptctl.require_grants('promptctl.record_test_batch'::regproc);
    perform promptctl.require_open_test_run(record_test_batch.run);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    insert into promptctl.test_batches (id, run, requests)
    values (record_test_batch.id, record_test_batch.run, record_test_batch.requests)
    on conflict do nothing;
    perform set_config('promptctl.writing_transaction', '', true);
end
$$;

COMMENT ON FUNCTION promptctl.record_test_batch(run bigint, id text, requests jsonb) IS 'Stores the id of a batch of messages of a run that has not ended, and its requests, so that another process can collect the replies. A batch that is sent twice is stored once.';

CREATE FUNCTION promptctl.record_test_judgements(judge_sha256 text, judgements jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
declare
    content_hash constant bytea := decode(record_test_judgements.judge_sha256, 'hex');
    added bigint;
begin
    perform promptctl.require_grants('promptctl.record_test_judgements'::regproc);
    -- Erasing a version of the judge waits, and then deletes the judgements. Afterwards none are added.
    perform from promptctl.versions v where v.sha256 = content_hash order by v.name, v.version for share;
    if promptctl.is_erased_text(null, null, content_hash) then
        return 0;
    end if;
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    insert into promptctl.test_judgements (reply_id, judging_key, judge_sha256, passed, score, reason, calls, cost, model)
    select n.reply_id, decode(n.judging_key, 'hex'), content_hash, n.passed, n.score,
           promptctl.shorten(coalesce(n.reason, ''), 2000), n.calls, n.cost, promptctl.shorten(coalesce(n.model, ''))
    from jsonb_to_recordset(judgements) as n (
        reply_id uuid, judging_key text, passed boolean, score double precision, reason text, calls integer,
        cost double precision, model text)
    -- A reply may have been dropped or erased meanwhile.
    where exists (select from promptctl.test_replies r where r.id = n.reply_id)
    order by n.reply_id, decode(n.judging_key, 'hex'), n.model
    on conflict do nothing;
    get diagnostics added = row_count;
    perform set_config('promptctl.writing_transaction', '', true);
    return added;
end
$$;

COMMENT ON FUNCTION promptctl.record_test_judgements(judge_sha256 text, judgements jsonb) IS 'Stores the judgements of stored replies by one judge, all or none, and returns how many were not stored before. judgements is a JSON array of objects with reply_id, judging_key, passed, score, reason, calls, cost and model; judge_sha256 is that of the text of the judge. Hashes are hexadecimal. A judgement of a reply that was dropped is left out.';

CREATE FUNCTION promptctl.record_test_replies(run bigint, sha256 text, replies jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
declare
    stored promptctl.test_runs;
    content_hash constant bytea := decode(record_test_replies.sha256, 'hex');
    added bigint;
begin
    perform promptctl.require_grants('promptctl.record_test_replies'::regproc);
    stored := promptctl.require_open_test_run(record_test_replies.run);
    if content_hash is distinct from stored.sha256 and content_hash is distinct from stored.against_sha256 then
        raise exception using errcode = 'restrict_violation', constraint = 'a_reply_is_to_a_text_of_its_run',
            message = format('run %s does not test a text with this hash', run);
    end if;
    -- Erasing one of these versions waits, and then deletes the replies. Afterwards none are added.
    perform from promptctl.versions v
    where v.name in (stored.name, stored.against_name) and v.sha256 = content_hash
    order by v.name, v.version for share;
    if content_hash = stored.sha256 and promptctl.is_erased_text(stored.name, stored.version, content_hash)
       or content_hash = stored.against_sha256
          and promptctl.is_erased_text(stored.against_name, stored.against_version, content_hash) then
        raise exception using errcode = 'restrict_violation', constraint = 'an_erased_text_gets_no_replies',
            message = format('the text that run %s tests was erased', run);
    end if;
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    insert into promptctl.test_replies (
        id, run, case_hash, request_hash, sha256, model, blocks, stop_reason, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, response_ms, cost)
    select n.id, record_test_replies.run, decode(n.case_hash, 'hex'), decode(n.request_hash, 'hex'), content_hash,
           promptctl.shorten(n.model), n.blocks, promptctl.shorten(n.stop_reason), n.input_tokens,
           n.output_tokens, n.cache_read_tokens, n.cache_write_tokens, n.response_ms, n.cost
    from jsonb_to_recordset(replies) as n (
        id uuid, case_hash text, request_hash text, model text, blocks jsonb, stop_reason text, input_tokens bigint,
        output_tokens bigint, cache_read_tokens bigint, cache_write_tokens bigint, response_ms double precision,
        cost double precision)
    -- In one order, so that two sessions that send the same replies do not deadlock.
    order by n.id
    on conflict do nothing;
    get diagnostics added = row_count;
    perform set_config('promptctl.writing_transaction', '', true);
    return added;
end
$$;

COMMENT ON FUNCTION promptctl.record_test_replies(run bigint, sha256 text, replies jsonb) IS 'Stores replies to a text of a run that has not ended, all or none, and returns how many were not stored before. replies is a JSON array of objects with id, case_hash, request_hash, model, blocks, stop_reason, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, response_ms and cost. sha256 is that of the text of the prompt. Hashes are hexadecimal.';

CREATE FUNCTION promptctl.record_tick(tick promptctl.rollout_tick) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.record_tick(tick promptctl.rollout_tick) IS 'Stores the time of the last tick and, at most once a minute and in a fiftieth of the age of the rollout, what it saw.';

CREATE FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint DEFAULT NULL::bigint, output_tokens bigint DEFAULT NULL::bigint, response_ms double precision DEFAULT NULL::double precision, model text DEFAULT NULL::text, unit anycompatible DEFAULT NULL::text, outcome text DEFAULT 'ok'::text, score double precision DEFAULT NULL::double precision, use_id uuid DEFAULT NULL::uuid, cache_read_tokens bigint DEFAULT NULL::bigint, cache_write_tokens bigint DEFAULT NULL::bigint, first_token_ms double precision DEFAULT NULL::double precision, request_id text DEFAULT NULL::text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
                                outcome, score, cache_read_tokens, cache_write_tokens, first_token_ms, request_id)
    values (recorded, record_use.name, record_use.version, stored_epoch,
            promptctl.bucket(coalesce(seed, record_use.name), promptctl.unit_text(unit)),
            promptctl.shorten(record_use.model),
            record_use.input_tokens, record_use.output_tokens, record_use.response_ms,
            promptctl.shorten(record_use.outcome), record_use.score, record_use.cache_read_tokens,
            record_use.cache_write_tokens, record_use.first_token_ms, promptctl.shorten(record_use.request_id))
    on conflict do nothing;
    return recorded;
end
$$;

COMMENT ON FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint, output_tokens bigint, response_ms double precision, model text, unit anycompatible, outcome text, score double precision, use_id uuid, cache_read_tokens bigint, cache_write_tokens bigint, first_token_ms double precision, request_id text) IS 'Records one call of a model with the version that was served: tokens, milliseconds, and an outcome, "ok" or the name of an error. input_tokens is all of the input, including cache_read_tokens and cache_write_tokens. A number that was not reported is null. A use that is sent again with the same use_id is stored once. Returns the use_id.';

CREATE FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) RETURNS promptctl.recording_result
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
            cardinality(outcomes), cardinality(scores), cardinality(request_ids)]) f (number)
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
                                request_id, recorded_in)
    select u.id, u.name, u.version, u.epoch, received_at - make_interval(secs => greatest(u.age, 0) / 1000), u.bucket,
           promptctl.shorten(u.model), u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens,
           u.response_ms, u.first_token_ms, promptctl.shorten(u.outcome), u.score, promptctl.shorten(u.request_id),
           recording
    from unnest(ids, names, versions, epochs, ages_ms, buckets, models, input_tokens, output_tokens, cache_read_tokens,
                cache_write_tokens, response_ms, first_token_ms, outcomes, scores, request_ids)
        u (id, name, version, epoch, age, bucket, model, input_tokens, output_tokens, cache_read_tokens,
           cache_write_tokens, response_ms, first_token_ms, outcome, score, request_id)
    where late = 0 or received_at - make_interval(secs => greatest(u.age, 0) / 1000) >= kept_from
    -- In one order, so that two sessions that send the same uses do not deadlock.
    order by u.id
    on conflict do nothing;
    get diagnostics recorded = row_count;
    perform promptctl.require_not_dropped(ages_ms, received_at, kept_from);
    return (recorded, sent - recorded - late, late)::promptctl.recording_result;
end
$$;

COMMENT ON FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) IS 'Records many uses, all or none, from arrays of one length; see record_use. Each use has a bucket instead of a unit, and instead of a time an age in milliseconds, because clocks differ. A use that is stored already is not stored again. A use that is older than the stored single uses is not counted, because it may have been counted before.';

CREATE FUNCTION promptctl.recording_number() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    number constant bigint := pg_current_xact_id()::text::bigint;
    mark promptctl.roll_up;
begin
    select * into mark from promptctl.roll_up;
    if not found then
        return number;
    elsif number + mark.transaction_offset >= mark.rolled_below then
        return number + mark.transaction_offset;
    end if;
    -- This cluster has smaller transaction numbers than the one where these rows were dumped. catch_up_after_restore waits
    -- for this lock, so the row stays as we read it until we end.
    select * into mark from promptctl.roll_up for share;
    return greatest(number + mark.transaction_offset, mark.rolled_below);
end
$$;

COMMENT ON FUNCTION promptctl.recording_number() IS 'The number of this transaction among those that record uses. It is not below the watermark, and no roll-up passes it before this transaction has ended.';

CREATE FUNCTION promptctl.refuse() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
        schema = tg_table_schema, message = tg_argv[0];
end
$$;

COMMENT ON FUNCTION promptctl.refuse() IS 'For a rule without exceptions. The argument of the trigger is the message.';

CREATE FUNCTION promptctl.refuse_outside_functions() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if current_setting('promptctl.writing_transaction', true) is distinct from pg_current_xact_id()::text then
        raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
            schema = tg_table_schema, message = tg_argv[0];
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION promptctl.refuse_outside_functions() IS 'For a table that only our functions write. A function sets promptctl.writing_transaction to its transaction. Rows that were written directly would be counted twice, or not at all.';

CREATE FUNCTION promptctl.refuse_outside_triggers() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if pg_trigger_depth() < 2 then
        raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
            schema = tg_table_schema, message = tg_argv[0];
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION promptctl.refuse_outside_triggers() IS 'For a table that only triggers write: refuses a direct insert.';

CREATE FUNCTION promptctl.request_text(request jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    written text := request #>> '{}';
    parsed jsonb;
    without_numbers text;
    -- Of what is outside of texts: another form than the usual one. Most texts have nothing that looks like it.
    other_form constant text := '[:,][^ ]|[0-9][eE]|[.][0-9]+0[],}]|[0-9.]{17}|[^0-9]0[.]0000';
begin
    begin
        parsed := written;
    exception when data_exception or statement_too_complex then
        raise exception using errcode = 'check_violation', constraint = 'a_request_is_an_object',
            message = format('the request is not a JSON object: %s', sqlerrm);
    end;
    if jsonb_typeof(parsed) <> 'object' then
        raise exception using errcode = 'check_violation', constraint = 'a_request_is_an_object',
            message = format('the request is not a JSON object: it is of the type %s', jsonb_typeof(parsed));
    end if;
    -- The usual case: the text of a client, or an object of an SQL caller. Where each colon and comma is followed by a space
    -- and no number has an exponent, jsonb writes a text of another length if there is anything else to change. It keeps the
    -- digits of a number, and an escape has digits in upper or lower case.
    if length(written) = length(parsed::text) and written !~ '\\u00[01][A-F]'
        and (written !~ other_form or regexp_replace(written, '"(?:[^"\\]|\\.)*"', '""', 'g') !~ other_form) then
        return written;
    end if;
    select string_agg(t.piece, '' order by t.place),
           string_agg(case when t.is_number then '0' else t.piece end, '' order by t.place)
    into written, without_numbers
    from (select m.place, m.words[1] ~ '^[-0-9]' as is_number,
                 case when left(m.words[1], 1) = '"' then m.words[1]::jsonb::text
                      when m.words[1] = ',' then ', ' when m.words[1] = ':' then ': '
                      when m.words[1] ~ '^-?[1-9][0-9]*$' then m.words[1]
                      when m.words[1] ~ '^[-0-9]' then promptctl.json_number(m.words[1])
                      else m.words[1] end as piece
          from regexp_matches(written, '"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9eE]*|[a-z]+|[][{}:,]', 'g')
              with ordinality m (words, place)) t;
    -- jsonb keeps the last one of equal keys.
    if length(without_numbers) <> length(without_numbers::jsonb::text) then
        raise exception using errcode = 'check_violation', constraint = 'a_request_has_each_key_once',
            message = 'a key appears twice in an object of the request';
    end if;
    return written;
end
$_$;

COMMENT ON FUNCTION promptctl.request_text(request jsonb) IS 'The text of a request, as it is stored: one space after each colon and comma, no other, the keys in their order, and numbers as json_number writes them. Requests are equal if these texts are. It takes the value of settings.request: a text, or an object.';

CREATE TABLE promptctl.versions (
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    content text NOT NULL,
    sha256 bytea NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by promptctl.short_text NOT NULL,
    database_user text DEFAULT SESSION_USER NOT NULL,
    variables text[] DEFAULT '{}'::text[] NOT NULL,
    required_variables text[] DEFAULT '{}'::text[] NOT NULL,
    origin promptctl.origin_object,
    release bigint,
    retired_at timestamp with time zone,
    is_retired boolean GENERATED ALWAYS AS ((retired_at IS NOT NULL)) STORED NOT NULL,
    erased_at timestamp with time zone,
    CONSTRAINT a_cache_lasts_5m_or_1h CHECK ((COALESCE((settings -> 'cache'::text), '"5m"'::jsonb) = ANY (ARRAY['"5m"'::jsonb, '"1h"'::jsonb]))),
    CONSTRAINT a_model_is_a_nonempty_text CHECK (((jsonb_typeof(COALESCE((settings -> 'model'::text), '"x"'::jsonb)) = 'string'::text) AND (COALESCE((settings ->> 'model'::text), 'x'::text) <> ''::text))),
    CONSTRAINT a_request_has_at_most_100_levels CHECK (
CASE
    WHEN (settings ? 'request'::text) THEN (NOT jsonb_path_exists(((settings ->> 'request'::text))::jsonb, 'strict $.**{100}?(@.type() == "object" || @.type() == "array")'::jsonpath))
    ELSE true
END),
    CONSTRAINT a_request_has_at_most_1_megabyte CHECK ((octet_length((settings ->> 'request'::text)) <= 1000000)),
    CONSTRAINT a_request_has_no_other_settings CHECK (
CASE
    WHEN (settings ? 'request'::text) THEN (NOT (((settings ->> 'request'::text))::jsonb ?| '{model,max_tokens,system,stream,metadata}'::text[]))
    ELSE true
END),
    CONSTRAINT a_request_is_an_object CHECK (
CASE
    WHEN (settings ? 'request'::text) THEN
    CASE
        WHEN (jsonb_typeof((settings -> 'request'::text)) = 'string'::text) THEN (jsonb_typeof(((settings ->> 'request'::text))::jsonb) = 'object'::text)
        ELSE false
    END
    ELSE true
END),
    CONSTRAINT a_template_has_a_known_style CHECK ((COALESCE((settings -> 'template'::text), '"braces"'::jsonb) = ANY (ARRAY['"braces"'::jsonb, '"mustache"'::jsonb, '"none"'::jsonb]))),
    CONSTRAINT a_variable_is_described_by_required_and_default CHECK (((COALESCE(jsonb_typeof((settings -> 'variables'::text)), 'object'::text) = 'object'::text) AND COALESCE((NOT jsonb_path_exists(settings, 'strict $."variables".*?((@.type() != "object" || @."required".type() != "boolean") || @."default".type() != "string")'::jsonpath, '{}'::jsonb, true)), true))),
    CONSTRAINT a_version_has_a_valid_creation_time CHECK (((created_at >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-31 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT a_version_has_an_author CHECK (((created_by)::text <> ''::text)),
    CONSTRAINT a_version_number_is_at_least_1 CHECK ((version >= 1)),
    CONSTRAINT an_erased_version_has_no_text CHECK (((erased_at IS NULL) OR ((content = ''::text) AND (settings = '{}'::jsonb) AND (metadata = '{}'::jsonb) AND (variables = '{}'::text[]) AND (required_variables = '{}'::text[]) AND (retired_at IS NOT NULL)))),
    CONSTRAINT content_has_no_byte_order_mark CHECK (("left"(content, 1) !~ '\uFEFF'::text)),
    CONSTRAINT content_has_no_crlf CHECK ((POSITION((E'\r\n'::text) IN (content)) = 0)),
    CONSTRAINT content_is_not_empty CHECK ((("left"(content, 100) ~ '[^[:space:]]'::text) OR (content ~ '[^[:space:]]'::text) OR (erased_at IS NOT NULL))),
    CONSTRAINT max_tokens_is_at_least_1 CHECK (
CASE
    WHEN (settings ? 'max_tokens'::text) THEN ((jsonb_typeof((settings -> 'max_tokens'::text)) = 'number'::text) AND ((settings ->> 'max_tokens'::text) ~ '^[1-9][0-9]{0,8}$'::text))
    ELSE true
END),
    CONSTRAINT metadata_has_at_most_1_megabyte CHECK ((pg_column_size(metadata) <= 1000000)),
    CONSTRAINT metadata_is_an_object CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT settings_are_an_object CHECK ((jsonb_typeof(settings) = 'object'::text)),
    CONSTRAINT settings_have_at_most_1_megabyte CHECK (
CASE
    WHEN (settings ? 'request'::text) THEN (pg_column_size((settings - 'request'::text)) <= 1000000)
    ELSE (pg_column_size(settings) <= 1000000)
END),
    CONSTRAINT the_messages_of_a_request_have_a_role_and_content CHECK (
CASE
    WHEN (((settings ->> 'request'::text))::jsonb ? 'messages'::text) THEN (COALESCE(jsonb_path_exists(((settings ->> 'request'::text))::jsonb, 'strict $."messages"[0]'::jsonpath, '{}'::jsonb, true), false) AND (NOT jsonb_path_exists(((settings ->> 'request'::text))::jsonb, 'strict $."messages"[*]?(!((@."role" == "user" || @."role" == "assistant") && (@."content".type() == "string" || @."content".type() == "array")) || ((@."role" == "user" || @."role" == "assistant") && (@."content".type() == "string" || @."content".type() == "array")) is unknown)'::jsonpath)))
    ELSE true
END),
    CONSTRAINT the_numbers_of_a_request_are_finite CHECK (
CASE
    WHEN (settings ? 'request'::text) THEN (NOT jsonb_path_exists(((settings ->> 'request'::text))::jsonb, 'strict $.**?(@ > 179769313486231570000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 || @ < -179769313486231570000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000)'::jsonpath))
    ELSE true
END),
    CONSTRAINT the_origin_of_a_version_is_an_object CHECK ((jsonb_typeof((origin)::jsonb) = 'object'::text))
);
ALTER TABLE ONLY promptctl.versions ALTER COLUMN content SET STORAGE EXTERNAL;

COMMENT ON TABLE promptctl.versions IS 'Every version of every prompt. Content and settings are fixed when a version is created.';

COMMENT ON COLUMN promptctl.versions.sha256 IS 'SHA-256 of the content in UTF-8. It is not unique, because a later version may have the text of an earlier one.';

COMMENT ON COLUMN promptctl.versions.settings IS 'What a version carries besides its content: template, variables, model, max_tokens, cache, request. The request is a JSON object as text, because jsonb does not keep the order of keys: (settings ->> ''request'')::json.';

COMMENT ON COLUMN promptctl.versions.metadata IS 'A JSON object. Lists show its key "description". It may be corrected.';

COMMENT ON COLUMN promptctl.versions.created_by IS 'The author, as the client reported it.';

COMMENT ON COLUMN promptctl.versions.database_user IS 'The session_user that stored the version. A client cannot choose it.';

COMMENT ON COLUMN promptctl.versions.variables IS 'The variables of the template, in the order of their first occurrences.';

COMMENT ON COLUMN promptctl.versions.required_variables IS 'The variables that the caller must pass.';

COMMENT ON COLUMN promptctl.versions.origin IS 'Where the version came from: repository, commit, path, author of the file''s last commit, dirty; null: not from a folder.';

COMMENT ON COLUMN promptctl.versions.release IS 'The release in which the version was stored; null: none.';

COMMENT ON COLUMN promptctl.versions.retired_at IS 'When the version was archived. An archived version is not listed and cannot be activated; null: it is in use.';

COMMENT ON COLUMN promptctl.versions.erased_at IS 'When the text, the settings and the metadata were erased; null: they were not. The number and the hash stay.';

COMMENT ON CONSTRAINT a_cache_lasts_5m_or_1h ON promptctl.versions IS 'Claude keeps a cache for 5 minutes or an hour.';

COMMENT ON CONSTRAINT a_model_is_a_nonempty_text ON promptctl.versions IS 'Any name is accepted, because models come and go.';

COMMENT ON CONSTRAINT a_request_has_at_most_100_levels ON promptctl.versions IS 'The object itself is the first level, and each object or array in it another. Parsers have limits.';

COMMENT ON CONSTRAINT a_request_has_at_most_1_megabyte ON promptctl.versions IS 'Clients hold requests in memory.';

COMMENT ON CONSTRAINT a_request_has_no_other_settings ON promptctl.versions IS 'model and max_tokens are settings, system is the text, and an application passes stream and metadata.';

COMMENT ON CONSTRAINT a_request_is_an_object ON promptctl.versions IS 'It has the keyword arguments of a call of Claude. It is stored as text, which keeps the order of keys.';

COMMENT ON CONSTRAINT a_template_has_a_known_style ON promptctl.versions IS 'Every client must be able to render it.';

COMMENT ON CONSTRAINT a_variable_is_described_by_required_and_default ON promptctl.versions IS 'Each variable has an object. In it, required is a boolean and default is a text.';

COMMENT ON CONSTRAINT a_version_has_a_valid_creation_time ON promptctl.versions IS 'RFC 3339 has years of four digits and no infinity.';

COMMENT ON CONSTRAINT a_version_has_an_author ON promptctl.versions IS 'If the client reports none, it is the database user.';

COMMENT ON CONSTRAINT a_version_number_is_at_least_1 ON promptctl.versions IS 'A version is a number from 1 to 2147483647.';

COMMENT ON CONSTRAINT an_erased_version_has_no_text ON promptctl.versions IS 'It has no settings and no metadata either, because they may contain a secret as well. It stays archived, so that it cannot be served.';

COMMENT ON CONSTRAINT content_has_no_byte_order_mark ON promptctl.versions IS 'Clients remove it, so that equal texts have equal hashes.';

COMMENT ON CONSTRAINT content_has_no_crlf ON promptctl.versions IS 'Clients replace CR LF by LF, so that equal texts have equal hashes.';

COMMENT ON CONSTRAINT content_is_not_empty ON promptctl.versions IS 'A text of white space alone is a mistake.';

COMMENT ON CONSTRAINT max_tokens_is_at_least_1 ON promptctl.versions IS 'A reply has at least one token.';

COMMENT ON CONSTRAINT metadata_has_at_most_1_megabyte ON promptctl.versions IS 'The history stores a copy of each value.';

COMMENT ON CONSTRAINT metadata_is_an_object ON promptctl.versions IS 'Metadata has keys and values.';

COMMENT ON CONSTRAINT settings_are_an_object ON promptctl.versions IS 'Settings have keys and values.';

COMMENT ON CONSTRAINT settings_have_at_most_1_megabyte ON promptctl.versions IS 'Clients hold settings in memory. The request has a limit of its own.';

COMMENT ON CONSTRAINT the_messages_of_a_request_have_a_role_and_content ON promptctl.versions IS 'There is at least one, and each has the role user or assistant, and a content that is a text or an array. The rest is for Claude to check.';

COMMENT ON CONSTRAINT the_numbers_of_a_request_are_finite ON promptctl.versions IS 'Clients in JavaScript and Python would read a larger number as infinity.';

COMMENT ON CONSTRAINT the_origin_of_a_version_is_an_object ON promptctl.versions IS 'An origin has keys and values.';

CREATE FUNCTION promptctl.require_erasable(version promptctl.versions) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    owner constant text := (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'promptctl');
    caller constant text := coalesce(nullif(current_setting('role'), 'none'), session_user);
    usage text;
begin
    -- Our triggers run as the owner, so the role of the session is checked.
    if not pg_has_role(caller, owner, 'usage') then
        raise exception using errcode = 'insufficient_privilege', constraint = 'only_the_owner_erases',
            message = format('only "%s", the owner of the schema, can erase a version, and this is "%s"', owner, caller);
    end if;
    if version.erased_at is not null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_version_never_changes',
            message = format('%s@%s was erased permanently', version.name, version.version);
    end if;
    if promptctl.current_reason() is null then
        raise exception using errcode = 'restrict_violation', constraint = 'an_erasure_has_a_reason',
            message = format('erasing %s@%s needs a reason', version.name, version.version);
    end if;
    select case when s.active_version = version.version then 'active' else 'a candidate' end into usage
    from promptctl.served s
    where s.name = version.name and version.version in (s.active_version, s.candidate_version);
    if not found then
        select format('a target of the route of "%s"', s.name) into usage
        from promptctl.served s cross join promptctl.route_targets(s.route) t (target)
        where s.route is not null and t.target = format('%s@%s', version.name, version.version)
        order by s.name limit 1;
    end if;
    if usage is not null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_served_version_is_not_erased',
            message = format('%s@%s is %s', version.name, version.version, usage),
            hint = format('promptctl show %s', version.name);
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_erasable(version promptctl.versions) IS 'Refuses to erase a version: for a role other than the owner of the schema, without a reason, and while the version can be served.';

CREATE FUNCTION promptctl.require_grants(routine regproc) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if has_function_privilege('public', routine, 'execute')
        -- The owner restored the schema and may use it.
        and not pg_has_role(coalesce(nullif(current_setting('role'), 'none'), session_user),
                            (select p.proowner from pg_catalog.pg_proc p where p.oid = routine), 'usage') then
        raise exception using errcode = 'insufficient_privilege', constraint = 'functions_are_not_open_to_everybody',
            message = format('%s was restored without its grants: every role may execute it, so it refuses all roles '
                             'except the owner of the schema', routine),
            hint = 'promptctl db init';
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_grants(routine regproc) IS 'Refuses every role except the owner while PUBLIC may execute the given routine.';

CREATE FUNCTION promptctl.require_no_new_variables(name text, active_version integer, version integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    needed text[];
    present text[];
begin
    select v.required_variables into needed from promptctl.versions v
    where v.name = require_no_new_variables.name and v.version = require_no_new_variables.version;
    if cardinality(needed) > 0 then
        select v.required_variables into present from promptctl.versions v
        where v.name = require_no_new_variables.name and v.version = require_no_new_variables.active_version;
        if not needed <@ present and not promptctl.new_variables_are_allowed() then
            raise exception using errcode = 'restrict_violation', constraint = 'a_version_needs_no_new_variable',
                message = format('%s@%s needs %s, which the active version %s does not', name, version,
                    (select string_agg(n.variable, ', ' order by n.place)
                     from unnest(needed) with ordinality n (variable, place) where not n.variable = any (present)),
                    active_version),
                detail = format('%1$s@%2$s %1$s@%3$s', name, active_version, version),
                hint = 'set promptctl.allow_new_variables = on, if the application passes it';
        end if;
    end if;
end
$_$;

COMMENT ON FUNCTION promptctl.require_no_new_variables(name text, active_version integer, version integer) IS 'Refuses a version that needs a variable which the active version does not need, because the running application would not pass it.';

CREATE FUNCTION promptctl.require_no_route_to(name text, is_archived boolean) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    owner_of_route text;
begin
    -- A step to NAME@VERSION needs no active version, but it cannot lead to an archived prompt.
    select s.name into owner_of_route
    from promptctl.served s cross join promptctl.route_targets(s.route) t (target)
    where s.route is not null and s.name <> require_no_route_to.name
      and (t.target = require_no_route_to.name
           or (is_archived and split_part(t.target, '@', 1) = require_no_route_to.name))
    order by s.name limit 1;
    if found then
        raise exception using errcode = 'restrict_violation', constraint = 'a_route_target_stays_in_service',
            message = format('"%s" is a target of the route of "%s"', name, owner_of_route),
            hint = format('promptctl route show %s', owner_of_route);
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_no_route_to(name text, is_archived boolean) IS 'Refuses to deactivate or to archive a prompt while a route of another prompt leads to it.';

CREATE FUNCTION promptctl.require_not_archived(served promptctl.served) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if served.archived_at is not null then
        raise exception using errcode = 'restrict_violation', constraint = 'an_archived_prompt_does_not_change',
            message = format('"%s" is archived', served.name),
            hint = format('promptctl delete --undo %s', served.name);
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_not_archived(served promptctl.served) IS 'Refuses an archived prompt.';

CREATE FUNCTION promptctl.require_not_dropped(ages_ms double precision[], received_at timestamp with time zone, kept_from timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if exists (select from promptctl.roll_up r, unnest(ages_ms) a (age)
               where r.dropped_before > kept_from
                 and received_at - make_interval(secs => greatest(a.age, 0) / 1000) < r.dropped_before) then
        raise exception using errcode = 'serialization_failure', constraint = 'uses_are_not_dropped_during_recording',
            message = 'uses of that time were dropped meanwhile, and one of these may have been among them';
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_not_dropped(ages_ms double precision[], received_at timestamp with time zone, kept_from timestamp with time zone) IS 'Refuses uses that were dropped while they were recorded, because they may have been stored before. The client sends them again.';

CREATE TABLE promptctl.test_runs (
    run bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    version integer,
    sha256 promptctl.sha256_hash NOT NULL,
    settings_sha256 promptctl.sha256_hash NOT NULL,
    against_name text COLLATE pg_catalog."C",
    against_version integer,
    against_sha256 promptctl.sha256_hash,
    against_settings_sha256 promptctl.sha256_hash,
    cases_sha256 promptctl.sha256_hash NOT NULL,
    judge promptctl.short_text,
    judge_sha256 promptctl.sha256_hash,
    requested_model promptctl.short_text,
    returned_models text[] DEFAULT '{}'::text[] NOT NULL,
    margin double precision NOT NULL,
    origin promptctl.origin_object,
    verdict text,
    failure promptctl.short_text,
    why promptctl.reason_text,
    change double precision,
    lower double precision,
    upper double precision,
    p double precision,
    needed_cases bigint,
    needed_repeats bigint,
    new_calls bigint DEFAULT 0 NOT NULL,
    kept_replies bigint DEFAULT 0 NOT NULL,
    judge_calls bigint DEFAULT 0 NOT NULL,
    errors bigint DEFAULT 0 NOT NULL,
    input_tokens bigint,
    output_tokens bigint,
    cost double precision,
    is_stale boolean DEFAULT false NOT NULL,
    notes text[] DEFAULT '{}'::text[] NOT NULL,
    author promptctl.short_text NOT NULL,
    database_user text DEFAULT SESSION_USER NOT NULL,
    began_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT a_baseline_has_a_name_and_a_text CHECK (((num_nulls(against_name, against_sha256, against_settings_sha256) = ANY (ARRAY[0, 3])) AND ((against_version IS NULL) OR (against_name IS NOT NULL)) AND (length(against_name) <= 200))),
    CONSTRAINT a_run_ends_with_a_verdict_or_a_failure CHECK (
CASE
    WHEN (ended_at IS NULL) THEN ((verdict IS NULL) AND (failure IS NULL))
    ELSE ((verdict IS NULL) <> (failure IS NULL))
END),
    CONSTRAINT a_run_has_a_known_verdict CHECK ((verdict = ANY (ARRAY['better'::text, 'not worse'::text, 'undecided'::text, 'worse'::text]))),
    CONSTRAINT a_run_has_the_name_of_a_prompt CHECK (((name ~ '^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$'::text) AND (length(name) <= 200))),
    CONSTRAINT the_change_of_a_run_is_in_its_interval CHECK (((lower >= ('-1'::integer)::double precision) AND (upper <= (1)::double precision) AND (lower <= change) AND (change <= upper))),
    CONSTRAINT the_cost_of_a_run_is_from_0_to_1e12 CHECK (((cost >= (0)::double precision) AND (cost <= ('1000000000000'::numeric)::double precision))),
    CONSTRAINT the_margin_of_a_run_is_from_0_to_1 CHECK (((margin >= (0)::double precision) AND (margin <= (1)::double precision))),
    CONSTRAINT the_notes_of_a_run_have_at_most_100_kilobytes CHECK (((pg_column_size(notes) <= 100000) AND (pg_column_size(returned_models) <= 100000))),
    CONSTRAINT the_numbers_of_a_run_are_not_negative CHECK (((needed_cases >= 0) AND (needed_repeats >= 0) AND (new_calls >= 0) AND (kept_replies >= 0) AND (judge_calls >= 0) AND (errors >= 0) AND (input_tokens >= 0) AND (output_tokens >= 0))),
    CONSTRAINT the_origin_of_a_run_is_an_object CHECK ((jsonb_typeof((origin)::jsonb) = 'object'::text)),
    CONSTRAINT the_p_of_a_run_is_from_0_to_1 CHECK (((p >= (0)::double precision) AND (p <= (1)::double precision)))
);

COMMENT ON TABLE promptctl.test_runs IS 'Executions of the cases of a prompt against one text, the new one, beside a baseline. A run without ended_at is in progress or was interrupted. Runs are never deleted.';

COMMENT ON COLUMN promptctl.test_runs.run IS 'The number of the run. Numbers increase and may have gaps.';

COMMENT ON COLUMN promptctl.test_runs.version IS 'The version that was tested; null: a text that was not stored then.';

COMMENT ON COLUMN promptctl.test_runs.sha256 IS 'SHA-256 of the text that was tested, as in versions.';

COMMENT ON COLUMN promptctl.test_runs.settings_sha256 IS 'SHA-256 of its settings, as versions has them, as text. A text that is stored later has the same.';

COMMENT ON COLUMN promptctl.test_runs.against_name IS 'The prompt of the baseline; null: there was none.';

COMMENT ON COLUMN promptctl.test_runs.against_version IS 'The version of the baseline; null: there was none, or its text was not stored then.';

COMMENT ON COLUMN promptctl.test_runs.against_sha256 IS 'As sha256, of the baseline.';

COMMENT ON COLUMN promptctl.test_runs.against_settings_sha256 IS 'As settings_sha256, of the baseline.';

COMMENT ON COLUMN promptctl.test_runs.cases_sha256 IS 'SHA-256 of the hashes of all its cases.';

COMMENT ON COLUMN promptctl.test_runs.judge IS 'The prompt that judged replies, NAME@VERSION or built-in; null: none did.';

COMMENT ON COLUMN promptctl.test_runs.judge_sha256 IS 'SHA-256 of the text of the judge; null: none, or several.';

COMMENT ON COLUMN promptctl.test_runs.requested_model IS 'The model that Claude was asked for.';

COMMENT ON COLUMN promptctl.test_runs.returned_models IS 'The models that replied, as Claude named them.';

COMMENT ON COLUMN promptctl.test_runs.margin IS 'By how much the pass rate may be lower, as a part of 1, for the verdict "not worse".';

COMMENT ON COLUMN promptctl.test_runs.origin IS 'The repository, commit and folder that the tested text came from; null: not from a folder.';

COMMENT ON COLUMN promptctl.test_runs.verdict IS 'What was proven of the new text: better, not worse, worse, or undecided; null: the run has not ended, or failed.';

COMMENT ON COLUMN promptctl.test_runs.failure IS 'Why the run ended without a verdict, as a code; null: it has a verdict.';

COMMENT ON COLUMN promptctl.test_runs.why IS 'The reason for the verdict, in words.';

COMMENT ON COLUMN promptctl.test_runs.change IS 'The pass rate of the new text minus that of the baseline, from -1 to 1.';

COMMENT ON COLUMN promptctl.test_runs.lower IS 'The lower end of the interval of the change.';

COMMENT ON COLUMN promptctl.test_runs.upper IS 'The upper end of the interval of the change.';

COMMENT ON COLUMN promptctl.test_runs.p IS 'How probable a drop of this size is if the new text is as good as the baseline; null: not calculated.';

COMMENT ON COLUMN promptctl.test_runs.needed_cases IS 'For undecided: how many more cases could decide; null: not known.';

COMMENT ON COLUMN promptctl.test_runs.needed_repeats IS 'For undecided: how many more replies for each case could decide; null: not known.';

COMMENT ON COLUMN promptctl.test_runs.new_calls IS 'How many calls of Claude the run made, without those of the judge.';

COMMENT ON COLUMN promptctl.test_runs.kept_replies IS 'How many replies of earlier runs it used.';

COMMENT ON COLUMN promptctl.test_runs.judge_calls IS 'How many calls of the judge it made.';

COMMENT ON COLUMN promptctl.test_runs.errors IS 'How many replies are missing, because a call failed.';

COMMENT ON COLUMN promptctl.test_runs.cost IS 'The cost of all calls in US dollars; null: a price is not known.';

COMMENT ON COLUMN promptctl.test_runs.is_stale IS 'Whether replies of the baseline were left out because another model replies now under the same name.';

COMMENT ON COLUMN promptctl.test_runs.notes IS 'What else the program reported.';

COMMENT ON COLUMN promptctl.test_runs.began_at IS 'When the run began.';

COMMENT ON COLUMN promptctl.test_runs.ended_at IS 'When it ended; null: it has not ended.';

COMMENT ON CONSTRAINT a_baseline_has_a_name_and_a_text ON promptctl.test_runs IS 'A run has a baseline with its hashes, or none.';

COMMENT ON CONSTRAINT a_run_ends_with_a_verdict_or_a_failure ON promptctl.test_runs IS 'A run in progress has neither, and a run that has ended has one of them.';

COMMENT ON CONSTRAINT a_run_has_a_known_verdict ON promptctl.test_runs IS 'What a test can prove.';

COMMENT ON CONSTRAINT a_run_has_the_name_of_a_prompt ON promptctl.test_runs IS 'The prompt of a folder that was tested may not be stored yet.';

COMMENT ON CONSTRAINT the_change_of_a_run_is_in_its_interval ON promptctl.test_runs IS 'Pass rates are from 0 to 1, and so their difference is from -1 to 1.';

COMMENT ON CONSTRAINT the_cost_of_a_run_is_from_0_to_1e12 ON promptctl.test_runs IS 'One absurd number would spoil every sum.';

COMMENT ON CONSTRAINT the_margin_of_a_run_is_from_0_to_1 ON promptctl.test_runs IS 'A pass rate is a part of 1.';

COMMENT ON CONSTRAINT the_notes_of_a_run_have_at_most_100_kilobytes ON promptctl.test_runs IS 'Runs are never deleted.';

COMMENT ON CONSTRAINT the_numbers_of_a_run_are_not_negative ON promptctl.test_runs IS 'A number that is not known is null, never -1.';

COMMENT ON CONSTRAINT the_origin_of_a_run_is_an_object ON promptctl.test_runs IS 'An origin has keys and values.';

COMMENT ON CONSTRAINT the_p_of_a_run_is_from_0_to_1 ON promptctl.test_runs IS 'It is a probability.';

CREATE FUNCTION promptctl.require_open_test_run(run bigint) RETURNS promptctl.test_runs
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    stored promptctl.test_runs;
begin
    -- Nobody can end the run while this transaction adds to it.
    select * into stored from promptctl.test_runs r where r.run = require_open_test_run.run for share;
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'test_run_exists',
            message = format('no run %s', run), hint = 'promptctl test list';
    end if;
    if stored.ended_at is not null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_run_that_ended_never_changes',
            message = format('run %s has ended and does not change', run), hint = format('promptctl test show %s', run);
    end if;
    return stored;
end
$$;

COMMENT ON FUNCTION promptctl.require_open_test_run(run bigint) IS 'The run, locked against its end. Refuses a number that no run has, and a run that has ended.';

CREATE FUNCTION promptctl.require_prompts(names text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
declare
    missing text;
begin
    select n into missing from unnest(names) n
    where not exists (select from promptctl.served s where s.name = n) limit 1;
    if found then
        raise exception using errcode = 'no_data_found', constraint = 'prompt_exists', detail = coalesce(missing, ''),
            message = format('no prompt "%s"', missing);
    end if;
    if cardinality(names) <> (select count(distinct n) from unnest(names) n) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'a_prompt_is_named_once',
            message = format('"%s" is named twice',
                             (select n from unnest(names) n group by n having count(*) > 1 order by n limit 1));
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_prompts(names text[]) IS 'Refuses a name that is not a prompt, and a name that is listed twice.';

CREATE FUNCTION promptctl.require_valid_ages(ages_ms double precision[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    -- A negative age, from a clock that was set back, counts as 0. NaN is greater than any number.
    if exists (select from unnest(ages_ms) a (age) where a.age > 1e12) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'an_age_is_at_most_31_years',
            message = 'an age must be a number of milliseconds up to 1e12';
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_valid_ages(ages_ms double precision[]) IS 'Refuses an age that is not a number of milliseconds up to 1e12.';

CREATE FUNCTION promptctl.require_valid_route_targets(name text, route jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
declare
    target text;
    cycle text;
begin
    for target in select promptctl.route_targets(route) loop
        if not exists (select from promptctl.served s where s.name = split_part(target, '@', 1)) then
            raise exception using errcode = 'restrict_violation', constraint = 'a_route_leads_to_a_prompt',
                message = format('the route of "%s" leads to "%s", which is not a prompt', name, target);
        elsif exists (select from promptctl.served s
                      where s.name = split_part(target, '@', 1) and s.archived_at is not null) then
            raise exception using errcode = 'restrict_violation', constraint = 'a_route_leads_to_a_prompt',
                message = format('the route of "%s" leads to %s, which is archived', name, target),
                hint = format('promptctl delete --undo %s', split_part(target, '@', 1));
        elsif target ~ '@' and not exists (select from promptctl.versions v
                                           where v.name = split_part(target, '@', 1) and not v.is_retired
                                             and v.version = split_part(target, '@', 2)::integer) then
            raise exception using errcode = 'restrict_violation', constraint = 'a_route_leads_to_a_prompt',
                message = format('the route of "%s" leads to %s, which does not exist or is archived', name, target);
        end if;
    end loop;
    -- A step to a version of the prompt itself is not a cycle.
    with recursive reached (name, path) as (
        select t.target, array[require_valid_route_targets.name, t.target]
        from promptctl.route_targets(require_valid_route_targets.route) t (target) where t.target !~ '@'
        union all
        select t.target, r.path || t.target
        from reached r
        join promptctl.served s on s.name = r.name
        cross join promptctl.route_targets(s.route) t (target)
        where t.target !~ '@' and r.name <> require_valid_route_targets.name and not t.target = any (r.path[2:])
    )
    select array_to_string(r.path, ' -> ') into cycle from reached r
    where r.name = require_valid_route_targets.name limit 1;
    if found then
        raise exception using errcode = 'restrict_violation', constraint = 'a_route_has_no_cycle',
            message = format('the route of "%s" has a cycle: %s', name, cycle);
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_valid_route_targets(name text, route jsonb) IS 'Refuses a route to a prompt or version that does not exist or is archived, and a route with a cycle.';

CREATE FUNCTION promptctl.require_version(name text, version integer, lifecycle text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    is_retired boolean;
    erased_at timestamptz;
begin
    select v.is_retired, v.erased_at into is_retired, erased_at from promptctl.versions v
    where v.name = require_version.name and v.version = require_version.version;
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'version_exists', detail = name,
            message = format('"%s" has no version %s', name, version);
    end if;
    if erased_at is not null and lifecycle = 'in use' then
        raise exception using errcode = 'no_data_found', constraint = 'an_erased_version_has_no_text',
            message = format('%s@%s was erased', name, version), hint = format('promptctl history %s', name);
    end if;
    if is_retired and lifecycle = 'in use' then
        raise exception using errcode = 'restrict_violation', constraint = 'an_archived_version_is_not_served',
            message = format('%s@%s is archived', name, version),
            hint = format('promptctl delete --undo %s@%s', name, version);
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_version(name text, version integer, lifecycle text) IS 'Refuses a version that does not exist or, for the lifecycle ''in use'', that is archived or erased.';

CREATE FUNCTION promptctl.required_variables(variables text[], settings jsonb) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if not settings ? 'variables' then
        return variables;
    end if;
    return array(
        select v.name from unnest(variables) with ordinality v (name, place)
        where not coalesce((settings -> 'variables' -> v.name) ? 'default', false)
          and coalesce(settings -> 'variables' -> v.name -> 'required', 'true') <> 'false'
        order by v.place);
end
$$;

COMMENT ON FUNCTION promptctl.required_variables(variables text[], settings jsonb) IS 'The variables of a template that the caller must pass: those that have no default and are not optional.';

CREATE FUNCTION promptctl.resolve(name text, unit anycompatible DEFAULT NULL::text, attributes jsonb DEFAULT '{}'::jsonb) RETURNS SETOF promptctl.resolved_version
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.resolve(name text, unit anycompatible, attributes jsonb) IS 'The version of a prompt to use now. The unit decides which side of a split it gets, and the attributes select a step of the route. A version that a step names has epoch 0, because no split chose it. Raises an error when there is no version to serve. explain_resolve returns the reasons.';

CREATE FUNCTION promptctl.resume_rollout(name text, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS promptctl.rollout_change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.resume_rollout(name text, author text, reason text) IS 'Continues a paused rollout at the share that the candidate has now. Hold and patience begin again. An alarm for which a tick paused it is ignored until the next step.';

CREATE FUNCTION promptctl.retire(name text, version integer, undo boolean DEFAULT false, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    served promptctl.served;
    changed bigint;
begin
    perform promptctl.require_grants('promptctl.retire'::regproc);
    perform promptctl.require_prompts(array[retire.name]);
    select * into served from promptctl.lock_prompts(array[retire.name]);
    perform promptctl.require_version(retire.name, retire.version, 'any');
    perform promptctl.begin_change(author, reason);
    if not undo and retire.version in (served.active_version, served.candidate_version) then
        raise exception using errcode = 'restrict_violation', constraint = 'a_served_version_is_not_archived',
            message = case when served.active_version = retire.version
                then format('%s@%s is active, and "%s" would have no active version without it', served.name, retire.version,
                            served.name)
                else format('%s@%s is a candidate', served.name, retire.version) end,
            hint = case when served.active_version = retire.version
                -- With --expect, so that it does not undo the move of another session.
                then format('promptctl deactivate %s --expect %s', served.name, retire.version)
                else format('promptctl split %s', served.name) end;
    end if;
    if undo then
        perform promptctl.require_version(retire.name, v.version, 'in use') from promptctl.versions v
        where v.name = retire.name and v.version = retire.version and v.erased_at is not null;
    end if;
    update promptctl.versions v set retired_at = case when undo then null else now() end
    where v.name = retire.name and v.version = retire.version and v.is_retired = undo;
    get diagnostics changed = row_count;
    perform promptctl.end_change();
    return changed > 0;
end
$$;

COMMENT ON FUNCTION promptctl.retire(name text, version integer, undo boolean, author text, reason text) IS 'Archives a version, or with undo restores it. Its text, history and uses stay. Returns false where nothing changed.';

CREATE FUNCTION promptctl.roll_up_uses(at_most bigint DEFAULT 1000000) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '0'
    SET work_mem TO '128MB'
    SET enable_sort TO 'off'
    SET enable_incremental_sort TO 'off'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_indexscan TO 'off'
    SET enable_indexonlyscan TO 'off'
    AS $$
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

COMMENT ON FUNCTION promptctl.roll_up_uses(at_most bigint) IS 'Adds uses that are not yet in totals to totals and to bucket_totals, about at_most of them, and returns how many; null: another session is rolling up. The watermark moves in the same transaction, so the session can be killed at any time. It adds only uses of transactions that have ended, with all before them; the others follow in the next roll-up.';

CREATE FUNCTION promptctl.rollback(names text[], to_version integer DEFAULT NULL::integer, expected_version integer DEFAULT NULL::integer, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false) RETURNS SETOF promptctl.move
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
declare
    served promptctl.served;
    node promptctl.allocations;
    moves promptctl.move[] := '{}';
    positions integer[] := '{}';
    number bigint;
begin
    perform promptctl.require_grants('promptctl.rollback'::regproc);
    perform promptctl.require_prompts(names);
    if (to_version is not null or expected_version is not null) and cardinality(names) <> 1 then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'a_target_or_expected_version_is_for_one_prompt',
            message = 'a target or an expected version needs exactly one prompt';
    end if;
    for served in select * from promptctl.lock_prompts(names) loop
        if served.archived_at is not null then
            perform promptctl.require_not_archived(served);
        end if;
        if to_version is not null then
            perform promptctl.require_version(served.name, to_version, 'in use');
        end if;
        if served.active_version = to_version and served.candidate_version is null then
            moves := moves || (served.name, to_version, to_version, false, false, null, served.epoch)::promptctl.move;
            positions := positions || served.position;
            continue;
        end if;
        if expected_version is not null and served.active_version is distinct from expected_version then
            raise exception using errcode = 'restrict_violation', constraint = 'the_active_version_is_as_expected',
                message = format('the active version of "%s" is %s, not %s', served.name,
                                 coalesce(served.active_version::text, 'none'), expected_version),
                hint = format('promptctl history %s', served.name);
        end if;
        if served.candidate_version is not null and coalesce(to_version = served.active_version, true) then
            moves := moves || (served.name, served.active_version, served.active_version, true, true, null,
                               served.epoch)::promptctl.move;
            positions := positions || served.position;
            continue;
        end if;

        select a.* into node from promptctl.allocations a
        where a.name = served.name and a.epoch = served.position;
        loop
            -- Without a row, node is empty and its parent is null.
            select a.* into node from promptctl.allocations a where a.name = served.name and a.epoch = node.parent;
            exit when not found;
            exit when node.version <> coalesce(served.active_version, 0)
                and node.version = coalesce(to_version, node.version)
                and not exists (select from promptctl.versions v
                                where v.name = node.name and v.version = node.version and v.is_retired);
        end loop;
        if node.epoch is null then
            raise exception using errcode = 'restrict_violation', constraint = 'a_rollback_goes_to_an_earlier_active_version',
                message = case
                    when to_version is not null
                        then format('"%s" has no earlier move to version %s', served.name, to_version)
                    else format('"%s" has nothing to roll back to', served.name)
                end,
                hint = case
                    when to_version is not null then format('promptctl activate %s@%s', served.name, to_version)
                    when served.active_version is not null
                        then format('promptctl deactivate %s --expect %s', served.name, served.active_version)
                    else format('promptctl history %s', served.name)
                end;
        end if;
        moves := moves || (served.name, node.version, served.active_version, true,
                           served.candidate_version is not null, null, served.epoch)::promptctl.move;
        positions := positions || node.epoch;
    end loop;

    if exists (select from unnest(moves) m where m.changed) then
        number := promptctl.begin_change(author, reason, case when cardinality(names) > 1 then 'rollback' end,
                                         allow_new_variables);
        update promptctl.served s
        set active_version = m.version, position = m.position, candidate_version = null
        from unnest(moves, positions)
            m (name, version, previous_version, changed, split_ended, release, epoch, position)
        where s.name = m.name and m.changed;
        perform promptctl.end_change();
    end if;

    return query
        select m.name, m.version, m.previous_version, m.changed, m.split_ended, number, s.epoch
        from unnest(names) with ordinality n (name, place)
        join unnest(moves) m on m.name = n.name
        join promptctl.served s on s.name = m.name order by n.place;
end
$$;

COMMENT ON FUNCTION promptctl.rollback(names text[], to_version integer, expected_version integer, author text, reason text, allow_new_variables boolean) IS 'Rolls back along the history, all prompts or none: to the move before the one that the prompt is at. It skips moves to no version, to an archived version, to the active version and, with to_version, to any other version. It never toggles. While a split runs it only ends the split, unless to_version is another version.';

CREATE FUNCTION promptctl.rollback_release(release bigint, skip_moved boolean DEFAULT false, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false) RETURNS SETOF promptctl.release_reversal
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
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

COMMENT ON FUNCTION promptctl.rollback_release(release bigint, skip_moved boolean, author text, reason text, allow_new_variables boolean) IS 'Restores the active versions and the routes that a release changed, all or none. Where a prompt has moved since, it refuses or, with skip_moved, skips the prompt. A prompt that an earlier call restored is done. A split that the release ended does not start again, and a split that started since ends. Rollouts that the release started and that are open stop.';

CREATE TABLE promptctl.roll_up (
    singleton boolean DEFAULT true NOT NULL,
    rolled_below bigint DEFAULT 0 NOT NULL,
    transaction_offset bigint DEFAULT 0 NOT NULL,
    dropped_before timestamp with time zone,
    rolled_up_at timestamp with time zone,
    CONSTRAINT there_is_one_watermark CHECK (singleton)
);

COMMENT ON TABLE promptctl.roll_up IS 'The watermark: how far the uses are in totals. The transaction that adds uses to totals moves it. Before the first roll-up there is no row, because a row would conflict with the dumped one when the data alone is restored, and the uses in totals would be counted again.';

COMMENT ON COLUMN promptctl.roll_up.rolled_below IS 'The watermark: uses with a smaller recorded_in are in totals, and no others are.';

COMMENT ON COLUMN promptctl.roll_up.transaction_offset IS 'Is added to the number of a transaction, so that a database that was restored into a younger cluster continues from its old numbers.';

COMMENT ON COLUMN promptctl.roll_up.dropped_before IS 'Single uses from before this time were dropped. A use that arrives with such a time is not stored, because it may have been counted already.';

COMMENT ON COLUMN promptctl.roll_up.rolled_up_at IS 'When the watermark moved last.';

COMMENT ON CONSTRAINT there_is_one_watermark ON promptctl.roll_up IS 'The key has only one value.';

CREATE FUNCTION promptctl.rolled_below() RETURNS bigint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE(( SELECT r.rolled_below
            FROM promptctl.roll_up r), (0)::bigint) AS "coalesce";
END;

COMMENT ON FUNCTION promptctl.rolled_below() IS 'The watermark, and 0 before the first roll-up. A query should call this function instead of reading roll_up in a subquery: the planner evaluates a stable function, so it expects only the few uses above the watermark.';

CREATE FUNCTION promptctl.rollout_effect(r promptctl.rollouts, previous_state text, epoch integer, changed boolean) RETURNS promptctl.rollout_change
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ROW((r).rollout, (r).name, (r).baseline, (r).candidate, (r).state, previous_state, (r).basis_points, (r).steps, (r).hold, (r).least_uses, (r).patience, (r).in_doubt, (r).guards, epoch, changed, ((r).why)::text)::promptctl.rollout_change AS "row";
END;

COMMENT ON FUNCTION promptctl.rollout_effect(r promptctl.rollouts, previous_state text, epoch integer, changed boolean) IS 'A rollout as its functions return it.';

CREATE FUNCTION promptctl.rollouts_give_way() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_nestloop TO 'off'
    AS $$
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

COMMENT ON FUNCTION promptctl.rollouts_give_way() IS 'Pauses, stops or ends the rollout of a prompt that somebody else moves, in the transaction of that move. A rollout writes its own row before it moves the prompt, so that its own moves are as expected.';

CREATE FUNCTION promptctl.route_targets(route jsonb) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (r.step ->> 'use'::text)
    FROM jsonb_array_elements(COALESCE(route_targets.route, '[]'::jsonb)) WITH ORDINALITY r(step, place)
   ORDER BY r.place;
END;

COMMENT ON FUNCTION promptctl.route_targets(route jsonb) IS 'The targets of the steps of a route, in their order: NAME or NAME@VERSION.';

CREATE FUNCTION promptctl.score_use(use_id uuid, score double precision) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
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

COMMENT ON FUNCTION promptctl.score_use(use_id uuid, score double precision) IS 'Sets the score of a use. The last score counts. Returns false where nothing changed. Refuses a use that was dropped, and more than 100 scores.';

CREATE FUNCTION promptctl.set_cases(name text, definitions text[], margin double precision DEFAULT NULL::double precision, author text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    AS $$
declare
    stored promptctl.prompt_tests;
    is_empty constant boolean := coalesce(cardinality(definitions), 0) = 0 and margin is null;
    after constant bytea[] := array(select sha256(convert_to(d, 'UTF8'))
                                    from unnest(definitions) with ordinality t (d, place) order by place);
begin
    perform promptctl.require_grants('promptctl.set_cases'::regproc);
    perform promptctl.require_prompts(array[set_cases.name]);
    perform set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
    select * into stored from promptctl.prompt_tests t where t.name = set_cases.name for update;
    if not found and not is_empty then
        -- Of two sessions that do this at the same time, one waits here.
        insert into promptctl.prompt_tests as t (name, author) values (set_cases.name, '')
        on conflict on constraint a_prompt_has_one_list_of_cases do update set author = t.author
        returning t.* into stored;
    end if;
    if stored.name is null
        or stored.margin is not distinct from set_cases.margin and not is_empty
           and after = array(select c.hash::bytea from promptctl.prompt_cases c where c.name = set_cases.name order by c.place)
    then
        perform set_config('promptctl.writing_transaction', '', true);
        return false;
    end if;
    delete from promptctl.prompt_cases c where c.name = set_cases.name;
    if is_empty then
        delete from promptctl.prompt_tests t where t.name = set_cases.name;
    else
        perform promptctl.add_test_cases(definitions);
        insert into promptctl.prompt_cases (name, place, hash)
        select set_cases.name, h.place, h.hash from unnest(after) with ordinality h (hash, place);
        update promptctl.prompt_tests t
        set margin = set_cases.margin, changed_at = clock_timestamp(), database_user = session_user,
            author = coalesce(promptctl.shorten(set_cases.author), promptctl.current_author())
        where t.name = set_cases.name;
    end if;
    perform set_config('promptctl.writing_transaction', '', true);
    return true;
end
$$;

COMMENT ON FUNCTION promptctl.set_cases(name text, definitions text[], margin double precision, author text) IS 'Replaces the cases of a prompt by these, in their order, and its margin. Each definition is a JSON object in its canonical text. Without cases and a margin, the prompt has no tests. Returns whether anything changed.';

CREATE FUNCTION promptctl.set_routes(names text[], routes jsonb, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, release bigint DEFAULT NULL::bigint, origins jsonb DEFAULT NULL::jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    changed bigint;
begin
    perform promptctl.require_grants('promptctl.set_routes'::regproc);
    perform promptctl.require_prompts(names);
    if jsonb_typeof(routes) is distinct from 'array' or jsonb_array_length(routes) <> cardinality(names) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'names_and_routes_are_equal_in_number',
            message = 'names and routes differ in number';
    end if;
    -- The targets too, so that none of them is archived meanwhile.
    perform promptctl.lock_prompts(names || array(
        select split_part(t.target, '@', 1)
        from jsonb_array_elements(routes) r (route)
        cross join promptctl.route_targets(case when jsonb_typeof(r.route) = 'array' then r.route end) t (target)
        where t.target is not null));
    perform promptctl.begin_change(author, reason, null, release => release, origins => origins);
    update promptctl.served s set route = nullif(nullif(r.route, '[]'), 'null')
    from unnest(names) with ordinality n (name, place)
    join jsonb_array_elements(routes) with ordinality r (route, place) on r.place = n.place
    where s.name = n.name and s.route is distinct from nullif(nullif(r.route, '[]'), 'null');
    get diagnostics changed = row_count;
    perform promptctl.end_change();
    return changed;
end
$$;

COMMENT ON FUNCTION promptctl.set_routes(names text[], routes jsonb, author text, reason text, release bigint, origins jsonb) IS 'Sets the route of each prompt, all or none. null or an empty list removes the route. Returns how many changed.';

CREATE FUNCTION promptctl.share_text(basis_points integer) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (trim_scale(((basis_points)::numeric / 100.0)) || '%'::text);
END;

COMMENT ON FUNCTION promptctl.share_text(basis_points integer) IS 'A share in percent, for people: 12.5%.';

CREATE FUNCTION promptctl.shorten(value text, most integer DEFAULT 200) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (octet_length(value) <= most) THEN value
             WHEN (length(value) <= most) THEN value
             ELSE ("left"(value, (most - 1)) || chr(8230))
         END AS "case";
END;

COMMENT ON FUNCTION promptctl.shorten(value text, most integer) IS 'A text of at most this many characters. A longer text is cut and then ends in an ellipsis.';

CREATE FUNCTION promptctl.slow_response_ms(name text, version integer) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.slow_response_ms(name text, version integer) IS 'The response time, in milliseconds, above which a call is slow: the 95th percentile of the version in the totals of the last 7 days, rounded up to 1, 2 or 5 times a power of 10. 10 000 where fewer than 100 uses reported a time.';

CREATE FUNCTION promptctl.split(name text, basis_points integer, candidate integer DEFAULT NULL::integer, seed text DEFAULT NULL::text, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false) RETURNS promptctl.split_change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    before promptctl.served;
    after promptctl.served;
begin
    perform promptctl.require_grants('promptctl.split'::regproc);
    perform promptctl.require_prompts(array[split.name]);
    select * into before from promptctl.lock_prompts(array[split.name]);
    perform promptctl.require_not_archived(before);
    candidate := coalesce(candidate, before.candidate_version);
    if candidate is null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_share_needs_a_running_split',
            message = format('"%s" has no split', before.name),
            hint = format('promptctl split %s@CANDIDATE 10%%', before.name);
    elsif before.active_version is null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_split_needs_an_active_version',
            message = format('"%s" has no active version to split with', before.name),
            hint = format('promptctl activate %s@VERSION', before.name);
    elsif candidate = before.active_version then
        raise exception using errcode = 'restrict_violation', constraint = 'a_candidate_is_not_the_active_version',
            message = format('%s@%s is the active version: a split needs another one', before.name, candidate),
            hint = format('promptctl show %s', before.name);
    elsif basis_points is null or basis_points not between 0 and 10000 then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'a_share_is_at_most_10000_basis_points',
            message = 'a share must be from 0 to 10000 basis points';
    end if;
    perform promptctl.require_version(before.name, candidate, 'in use');
    perform promptctl.begin_change(author, reason, allow_new_variables => allow_new_variables);
    perform set_config('promptctl.argument_seed', coalesce(split.seed, ''), true);
    update promptctl.served s
    set candidate_version = candidate, basis_points = split.basis_points,
        seed = coalesce(split.seed, case when s.candidate_version = candidate then s.seed end)
    where s.name = before.name
      and (s.candidate_version is distinct from candidate or s.basis_points <> split.basis_points
           or s.seed is distinct from coalesce(split.seed, s.seed))
    returning s.* into after;
    perform promptctl.end_change();
    if after.name is null then
        after := before;
    end if;
    return (after.name, after.active_version, after.candidate_version, before.candidate_version, after.basis_points,
            before.basis_points, after.seed, after.epoch <> before.epoch, after.epoch)::promptctl.split_change;
end
$$;

COMMENT ON FUNCTION promptctl.split(name text, basis_points integer, candidate integer, seed text, author text, reason text, allow_new_variables boolean) IS 'Serves a candidate to a share of the units, in basis points, or changes the share of the split that runs. The seed, by default <name>.<epoch>, stays while the share changes: a unit that gets the candidate keeps it as the share grows.';

CREATE FUNCTION promptctl.start_rollout(name text, candidate integer DEFAULT NULL::integer, steps integer[] DEFAULT NULL::integer[], hold interval DEFAULT NULL::interval, least_uses integer DEFAULT NULL::integer, patience interval DEFAULT NULL::interval, in_doubt text DEFAULT NULL::text, guards jsonb DEFAULT NULL::jsonb, alpha double precision DEFAULT NULL::double precision, prices jsonb DEFAULT NULL::jsonb, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false, release bigint DEFAULT NULL::bigint, origin jsonb DEFAULT NULL::jsonb) RETURNS promptctl.rollout_change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.start_rollout(name text, candidate integer, steps integer[], hold interval, least_uses integer, patience interval, in_doubt text, guards jsonb, alpha double precision, prices jsonb, author text, reason text, allow_new_variables boolean, release bigint, origin jsonb) IS 'Starts a guarded rollout of a version: a split with the first share, which tick_rollout enlarges step by step. An argument that is null has its default: the candidate of the split that runs; steps of 10, 25 and 50 %; a hold of 1 hour; 200 uses; a patience of 7 days, then a pause; an alpha of 0.05; the guards of default_guards. Starting the same rollout again changes nothing, and with another plan it is refused. why: what became of a split.';

CREATE FUNCTION promptctl.stop_rollout(name text, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS promptctl.rollout_change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.stop_rollout(name text, author text, reason text) IS 'Stops an open rollout and ends its split: the baseline is served to all units again.';

CREATE FUNCTION promptctl.stored_settings(settings jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    request constant jsonb := settings -> 'request';
    written text;
begin
    if request is null or jsonb_typeof(request) not in ('string', 'object') then
        return settings;
    end if;
    written := promptctl.request_text(request);
    return case when written = '{}' then settings - 'request'
                when jsonb_typeof(request) = 'string' and written = request #>> '{}' then settings
                else jsonb_set(settings, '{request}', to_jsonb(written)) end;
end
$$;

COMMENT ON FUNCTION promptctl.stored_settings(settings jsonb) IS 'Settings as they are stored: the request is a text, because jsonb does not keep the order of keys. A request without keys is left out.';

CREATE FUNCTION promptctl.template_variables(content text, settings jsonb) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    style constant text := coalesce(settings ->> 'template', 'braces');
    path constant text := '[A-Za-z_][A-Za-z0-9_]*(?:[.][A-Za-z_][A-Za-z0-9_]*)*';
    whole_path constant text := '^' || path || '$';
    -- Beyond this number of variables, duplicates are removed once, at the end.
    many constant integer := 50;
    pieces text[];
    piece text;
    before text;
    name text;
    variables text[] := '{}';
    is_first boolean := true;
    has_commands constant boolean := strpos(content, E'\\') > 0;
    closed integer;
    depth integer := 0;
    -- For each open brace, by depth: whether it opened an argument of a LaTeX command.
    arguments boolean[] := '{}';
    -- Whether the last closing brace closed an argument.
    was_argument boolean := false;
    opens_argument boolean := false;
    texts text[];
    settings_of_texts jsonb;
begin
    -- Most requests have no messages. An escape can hide the key.
    if strpos(settings ->> 'request', '"messages"') > 0 or strpos(settings ->> 'request', E'\\u') > 0 then
        texts := promptctl.message_texts(settings);
        if texts <> '{}' then
            settings_of_texts := settings - 'request';
            return array(
                select v.name collate "C"
                from unnest(content || texts) with ordinality t (text, text_place)
                cross join unnest(promptctl.template_variables(t.text, settings_of_texts))
                    with ordinality v (name, name_place)
                group by v.name collate "C" order by min(array[t.text_place, v.name_place]));
        end if;
    end if;
    if style = 'none' or content not like '%{%' then
        return '{}';
    elsif style = 'mustache' then
        return array(
            select t.variables[1] collate "C"
            from regexp_matches(content collate "C", E'[{][{][ \t]*(' || path || E')[ \t]*[}][}]', 'g')
                with ordinality t (variables, place)
            group by t.variables[1] collate "C" order by min(t.place));
    end if;
    -- Split at the braces, so that a regular expression reads names and not the whole text. A query would take as long as
    -- the rest of this function.
    pieces := string_to_array(content, '{');
    before := pieces[1];
    foreach piece in array pieces[2:] loop
        name := split_part(piece, '}', 1);
        if has_commands then
            closed := length(before) - length(replace(before, '}', ''));
            if closed > 0 then
                depth := depth - closed;
                was_argument := depth >= 0 and arguments[depth + 1];
                depth := greatest(depth, 0);
            end if;
            opens_argument := case
                when right(before, 1) = '}' then was_argument
                when right(before, 1) <> ']' and strpos(before, E'\\') = 0 then false
                else promptctl.brace_opens_argument(split_part(before, '}', -1), was_argument) end;
            depth := depth + 1;
            arguments[depth] := opens_argument;
            was_argument := false;
        end if;
        if (cardinality(variables) >= many or not name = any (variables))
            and octet_length(piece) > octet_length(name) and name ~ whole_path
            and not opens_argument and right(before, 1) not in ('$', '@', '#', '%', '^')
            -- The second of two opening braces opens no variable.
            and not (before = '' and not is_first and substr(piece, length(name) + 2, 1) = '}') then
            variables := variables || name;
        end if;
        before := piece;
        is_first := false;
    end loop;
    if cardinality(variables) < many then
        return variables;
    end if;
    return array(select v.name collate "C" from unnest(variables) with ordinality v (name, place)
                 group by v.name collate "C" order by min(v.place));
end
$_$;

COMMENT ON FUNCTION promptctl.template_variables(content text, settings jsonb) IS 'The variables of a version, each once, in the order of their first occurrences: those of the text, then those of the messages in the request. In the style braces a variable is {path}, but not {{path}}, not directly after one of $@#%^, and not as an argument of a LaTeX command. In the style mustache it is {{path}}. In the style none there are no variables. A path is identifiers joined by dots; an identifier has ASCII letters, digits and _.';

CREATE FUNCTION promptctl.tick_rollout(name text, author text DEFAULT NULL::text) RETURNS promptctl.rollout_tick
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.tick_rollout(name text, author text) IS 'Looks at the running rollout of a prompt and takes at most one step: it enlarges the share, promotes the candidate, rolls it back, pauses, or holds. Call it every few minutes, from any number of sessions. Where another session changes the prompt it returns busy and does not wait; without a running rollout it returns nothing. roll_up_uses before it makes it faster.';

CREATE FUNCTION promptctl.tolerance_text(metric text, tolerance double precision) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (metric = ANY (ARRAY['errors'::text, 'slow'::text])) THEN (trim_scale(round(((100)::numeric * (tolerance)::numeric), 2)) ||
             CASE
                 WHEN (tolerance = (0.01)::double precision) THEN ' point more'::text
                 ELSE ' points more'::text
             END)
             WHEN (metric = 'score'::text) THEN (trim_scale(round((tolerance)::numeric, 4)) || ' less'::text)
             ELSE (trim_scale(round(((100)::numeric * ((exp(tolerance) - (1)::double precision))::numeric), 1)) || '% more'::text)
         END AS "case";
END;

COMMENT ON FUNCTION promptctl.tolerance_text(metric text, tolerance double precision) IS 'The tolerance of a guard, for people.';

CREATE FUNCTION promptctl.unit_text(unit anycompatible) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    kind regtype := pg_typeof(unit);
begin
    if kind in ('text', 'integer', 'bigint', 'uuid') then
        return unit::text;
    end if;
    -- The base type of a domain decides.
    select coalesce(nullif(t.typbasetype, 0), t.oid) into kind from pg_catalog.pg_type t where t.oid = kind;
    if kind in ('text', 'varchar', 'character', 'name', 'smallint', 'integer', 'bigint', 'uuid')
        or kind = 'numeric'::regtype and unit::text !~ '[^-0-9]' then
        return unit::text;
    end if;
    raise exception using errcode = 'invalid_parameter_value', constraint = 'a_unit_is_a_text_an_integer_or_a_uuid',
        message = format('a unit must be a text, an integer or a UUID, not %s', kind);
end
$$;

COMMENT ON FUNCTION promptctl.unit_text(unit anycompatible) IS 'A unit as the text that decides its bucket: a text, the digits of an integer, or the usual form of a UUID. Other types are refused, because each language formats them in its own way.';

CREATE FUNCTION promptctl.valid_interval(d double precision, se_null double precision, se_free double precision, tau double precision, alpha double precision, OUT lower double precision, OUT upper double precision) RETURNS record
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION promptctl.valid_interval(d double precision, se_null double precision, se_free double precision, tau double precision, alpha double precision, OUT lower double precision, OUT upper double precision) IS 'The interval of a difference d that holds at every look, at the level 1 - alpha. It leaves out 0 exactly where the difference is proven: the end near 0 uses se_null, the standard error if there is no difference, and the other end the larger of the two. See half_width for tau. Null where an error is not known.';

CREATE FUNCTION promptctl.write_prompts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
declare
    served promptctl.served;
begin
    -- Only our functions open a release, so a setting of the session is ignored.
    perform set_config('promptctl.release', '', true);
    if tg_op = 'INSERT' then
        select * into served from promptctl.lock_or_create_prompts(array[new.name]);
        new.version := coalesce(new.version, promptctl.next_version_number(served));
        insert into promptctl.versions as v (id, name, version, content, metadata, created_at, created_by)
        values (coalesce(new.id, gen_random_uuid()), new.name, new.version, new.content, coalesce(new.metadata, '{}'),
                coalesce(new.created_at, now()), new.created_by)
        returning v.id, v.metadata, v.created_at, v.created_by
        into new.id, new.metadata, new.created_at, new.created_by;
        if new.is_active then
            update promptctl.served s set active_version = new.version where s.name = new.name;
        end if;
        new.is_active := coalesce(new.is_active, false);
        return new;
    end if;

    if (new.id, new.name, new.version, new.content, new.created_at, new.created_by, new.metadata)
        is distinct from (old.id, old.name, old.version, old.content, old.created_at, old.created_by, old.metadata) then
        raise exception using errcode = 'restrict_violation', constraint = 'a_version_never_changes',
            message = format('%s@%s never changes: only is_active can be set', old.name, old.version);
    end if;
    perform promptctl.lock_prompts(array[old.name]);
    if new.is_active is null then
        raise exception using errcode = 'not_null_violation', constraint = 'is_active_is_not_null',
            message = format('is_active of %s@%s must be true or false, not null', old.name, old.version);
    elsif new.is_active then
        update promptctl.served s set active_version = old.version
        where s.name = old.name and s.active_version is distinct from old.version;
    else
        -- Only while it is the active version: another row of this statement may have activated another one.
        update promptctl.served s set active_version = null where s.name = old.name and s.active_version = old.version;
    end if;
    return new;
end
$$;

COMMENT ON FUNCTION promptctl.write_prompts() IS 'Carries out an insert into the view or an update of it.';

CREATE TABLE promptctl.applied (
    name text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL,
    active_version integer,
    route jsonb,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    has_applied_version boolean DEFAULT false NOT NULL,
    has_applied_route boolean DEFAULT false NOT NULL,
    digest bytea,
    is_settled boolean DEFAULT false NOT NULL,
    next_version bigint,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_by promptctl.short_text NOT NULL
);

COMMENT ON TABLE promptctl.applied IS 'The source of each prompt, and what that source set when it was applied last. A sync compares it with the folder and with the database.';

COMMENT ON COLUMN promptctl.applied.active_version IS 'The active version that the source set; null: none. While has_applied_version is false, it is the version that the folder names while another version is held.';

COMMENT ON COLUMN promptctl.applied.route IS 'The route that the source set; null: it set none; []: it set an empty one.';

COMMENT ON COLUMN promptctl.applied.metadata IS 'The metadata that the source set, by version.';

COMMENT ON COLUMN promptctl.applied.has_applied_version IS 'Whether the source ever set an active version. If it stops naming one and names one again, it has changed.';

COMMENT ON COLUMN promptctl.applied.has_applied_route IS 'Whether the source ever set a route.';

COMMENT ON COLUMN promptctl.applied.digest IS 'SHA-256 of the files of the prompt.';

COMMENT ON COLUMN promptctl.applied.is_settled IS 'Whether the last sync left nothing to report about the prompt. If it did, or if the prompt was corrected since, the next sync compares the prompt again.';

COMMENT ON COLUMN promptctl.applied.next_version IS 'The next number of the prompt at that time. Another number now means that there are versions which the source does not have.';

CREATE TABLE promptctl.bucket_totals (
    name text NOT NULL COLLATE pg_catalog."C",
    epoch integer NOT NULL,
    version integer NOT NULL,
    bucket smallint NOT NULL,
    size smallint NOT NULL,
    uses integer NOT NULL,
    errors integer NOT NULL,
    with_response integer NOT NULL,
    slow integer NOT NULL,
    with_first_token integer NOT NULL,
    with_output integer NOT NULL,
    billed integer NOT NULL,
    with_score integer NOT NULL,
    ln_response_ms double precision NOT NULL,
    ln_first_token_ms double precision NOT NULL,
    ln_output_tokens double precision NOT NULL,
    input_tokens double precision NOT NULL,
    output_tokens double precision NOT NULL,
    cache_read_tokens double precision NOT NULL,
    cache_write_tokens double precision NOT NULL,
    score double precision NOT NULL,
    model text
)
WITH (fillfactor='60');

COMMENT ON TABLE promptctl.bucket_totals IS 'The sums of the uses that a split served, by group of neighbouring buckets. compare_versions reads them instead of single uses, which are dropped after some time. Only uses of an epoch whose share is between 0 and 100 % are in it. Rows are updated in place, for which each page keeps some space.';

COMMENT ON COLUMN promptctl.bucket_totals.bucket IS 'The group of buckets, by its lowest bucket: see bucket_group. -1: uses of units that belong to the other version.';

COMMENT ON COLUMN promptctl.bucket_totals.size IS 'The price tier, as in totals.';

COMMENT ON COLUMN promptctl.bucket_totals.uses IS 'The number of uses; 0 where only a score was rolled up, which may happen before its use.';

COMMENT ON COLUMN promptctl.bucket_totals.errors IS 'Uses whose outcome is not ok.';

COMMENT ON COLUMN promptctl.bucket_totals.with_response IS 'Uses that succeeded and reported response_ms.';

COMMENT ON COLUMN promptctl.bucket_totals.slow IS 'Uses that succeeded and took longer than slow_ms of their allocation, or than 10 000 ms where it has none.';

COMMENT ON COLUMN promptctl.bucket_totals.with_first_token IS 'Uses that succeeded and reported first_token_ms.';

COMMENT ON COLUMN promptctl.bucket_totals.with_output IS 'Uses that succeeded and reported output_tokens.';

COMMENT ON COLUMN promptctl.bucket_totals.billed IS 'Uses that reported input or output tokens, including those that failed.';

COMMENT ON COLUMN promptctl.bucket_totals.with_score IS 'Uses that have a score.';

COMMENT ON COLUMN promptctl.bucket_totals.ln_response_ms IS 'The sum of the natural logarithms of response_ms, each of at least 1 ms, of uses that succeeded.';

COMMENT ON COLUMN promptctl.bucket_totals.ln_first_token_ms IS 'As ln_response_ms, of first_token_ms.';

COMMENT ON COLUMN promptctl.bucket_totals.ln_output_tokens IS 'As ln_response_ms, of output_tokens.';

COMMENT ON COLUMN promptctl.bucket_totals.cache_read_tokens IS 'The part of input_tokens that was read from a cache.';

COMMENT ON COLUMN promptctl.bucket_totals.cache_write_tokens IS 'The part of input_tokens that was written to a cache.';

CREATE TABLE promptctl.corrections (
    id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    epoch integer NOT NULL,
    kind text NOT NULL,
    previous_metadata jsonb,
    metadata jsonb,
    release bigint,
    author promptctl.short_text NOT NULL,
    reason promptctl.reason_text,
    database_user text DEFAULT SESSION_USER NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_correction_has_a_known_kind CHECK ((kind = ANY (ARRAY['describe'::text, 'archive'::text, 'restore'::text, 'erase'::text])))
);

COMMENT ON TABLE promptctl.corrections IS 'The changes of what may change in a version: its metadata, whether it is archived, and whether it is erased; and who made them. Only triggers write it.';

COMMENT ON COLUMN promptctl.corrections.epoch IS 'The epoch of the prompt at that time. It places the correction in the history.';

COMMENT ON CONSTRAINT a_correction_has_a_known_kind ON promptctl.corrections IS 'What may change in a version.';

ALTER TABLE promptctl.corrections ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME promptctl.corrections_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE promptctl.fallbacks (
    id uuid NOT NULL,
    name promptctl.fallback_name NOT NULL COLLATE pg_catalog."C",
    model promptctl.short_text,
    input_tokens bigint,
    output_tokens bigint,
    response_ms double precision,
    outcome promptctl.outcome_name DEFAULT 'ok'::text NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_fallback_response_time_is_from_0_to_1e12_ms CHECK (((response_ms >= (0)::double precision) AND (response_ms <= ('1000000000000'::numeric)::double precision))),
    CONSTRAINT tokens_of_a_fallback_are_at_most_1e12 CHECK (((input_tokens <= '1000000000000'::bigint) AND (output_tokens <= '1000000000000'::bigint))),
    CONSTRAINT tokens_of_a_fallback_are_not_negative CHECK (((input_tokens >= 0) AND (output_tokens >= 0)))
);

COMMENT ON TABLE promptctl.fallbacks IS 'Calls of a model with a text of the application''s own, because no version could be served. They are not uses of a version and are in no totals. They are stored as long as single uses.';

COMMENT ON COLUMN promptctl.fallbacks.name IS 'The name that the application requested. There may be no such prompt. A ~ replaces a character that a name cannot have, or the end of a name that was cut.';

COMMENT ON COLUMN promptctl.fallbacks.outcome IS '"ok", or the name of the error that the call ended in.';

COMMENT ON CONSTRAINT a_fallback_response_time_is_from_0_to_1e12_ms ON promptctl.fallbacks IS 'Null: not reported.';

COMMENT ON CONSTRAINT tokens_of_a_fallback_are_at_most_1e12 ON promptctl.fallbacks IS 'One absurd number would spoil every sum.';

COMMENT ON CONSTRAINT tokens_of_a_fallback_are_not_negative ON promptctl.fallbacks IS 'A number that was not reported is null, never 0 or -1.';

CREATE TABLE promptctl.installation (
    singleton boolean DEFAULT true NOT NULL,
    version integer NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    installed_at timestamp with time zone DEFAULT now() NOT NULL,
    compatible_version integer NOT NULL,
    release text NOT NULL,
    CONSTRAINT there_is_one_installation CHECK (singleton)
);

COMMENT ON TABLE promptctl.installation IS 'One row: the version of this schema, and which promptctl it serves.';

COMMENT ON COLUMN promptctl.installation.version IS 'The version of this schema. Every change of the schema raises it.';

COMMENT ON COLUMN promptctl.installation.id IS 'Identifies this database. A saved plan can be applied to one database only.';

COMMENT ON COLUMN promptctl.installation.compatible_version IS 'The oldest version whose applications this schema serves: they resolve and record until they are restarted.';

COMMENT ON COLUMN promptctl.installation.release IS 'The first release of promptctl that has this version of the schema. A program that is too old names it in its error.';

COMMENT ON CONSTRAINT there_is_one_installation ON promptctl.installation IS 'The key has only one value, so the table has at most one row.';

CREATE TABLE promptctl.prompt_cases (
    name text NOT NULL COLLATE pg_catalog."C",
    place integer NOT NULL,
    hash promptctl.sha256_hash NOT NULL,
    CONSTRAINT a_prompt_has_at_most_10000_cases CHECK (((place >= 1) AND (place <= 10000)))
);

COMMENT ON TABLE promptctl.prompt_cases IS 'The cases that a prompt has now, in the order of its folder.';

COMMENT ON COLUMN promptctl.prompt_cases.place IS 'The position of the case, from 1.';

COMMENT ON COLUMN promptctl.prompt_cases.hash IS 'The case.';

COMMENT ON CONSTRAINT a_prompt_has_at_most_10000_cases ON promptctl.prompt_cases IS 'Every case of a run costs calls. More cases than that are a mistake.';

CREATE TABLE promptctl.prompt_tests (
    name text NOT NULL COLLATE pg_catalog."C",
    margin double precision,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    author promptctl.short_text NOT NULL,
    database_user text DEFAULT SESSION_USER NOT NULL,
    CONSTRAINT the_margin_of_a_prompt_is_from_0_to_1 CHECK (((margin >= (0)::double precision) AND (margin <= (1)::double precision)))
);

COMMENT ON TABLE promptctl.prompt_tests IS 'The prompts that have cases, and what holds for all cases of a prompt.';

COMMENT ON COLUMN promptctl.prompt_tests.margin IS 'By how much the pass rate may be lower, as a part of 1; null: the folder names no margin.';

COMMENT ON CONSTRAINT the_margin_of_a_prompt_is_from_0_to_1 ON promptctl.prompt_tests IS 'A pass rate is a part of 1.';

CREATE VIEW promptctl.prompts_without_stats AS
 SELECT v.id,
    v.name,
    v.version,
    v.content,
    COALESCE((s.active_version = v.version), false) AS is_active,
    v.created_at,
    (v.created_by)::text AS created_by,
    v.metadata
   FROM (promptctl.versions v
     JOIN promptctl.served s ON ((s.name = v.name)))
  WHERE ((NOT v.is_retired) AND (s.archived_at IS NULL));

COMMENT ON VIEW promptctl.prompts_without_stats IS 'The view prompts without its statistics, and the target of its updates: a trigger gets whole rows, so a trigger on prompts would compute stats for each row.';

CREATE TABLE promptctl.scores (
    use_id uuid NOT NULL,
    place promptctl.score_place NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    used_at timestamp with time zone NOT NULL,
    model promptctl.short_text,
    is_ok boolean NOT NULL,
    size smallint NOT NULL,
    score promptctl.score_number NOT NULL,
    previous double precision,
    scored_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    recorded_in bigint DEFAULT promptctl.recording_number() NOT NULL,
    epoch integer DEFAULT 0 NOT NULL,
    bucket smallint
);

COMMENT ON TABLE promptctl.scores IS 'Scores that arrived after their uses. The last score of a use counts. Each row has the score that it replaces, so that totals can follow. Rows are appended.';

COMMENT ON COLUMN promptctl.scores.use_id IS 'The use that has the score.';

COMMENT ON COLUMN promptctl.scores.place IS 'The first score of a use has place 1, the score that replaces it has place 2.';

COMMENT ON COLUMN promptctl.scores.used_at IS 'The time of the use. The score belongs to the totals of that hour and day.';

COMMENT ON COLUMN promptctl.scores.is_ok IS 'Whether the use succeeded.';

COMMENT ON COLUMN promptctl.scores.size IS 'The price tier of the use, as in totals.';

COMMENT ON COLUMN promptctl.scores.previous IS 'The score that this one replaces; null: none.';

COMMENT ON COLUMN promptctl.scores.scored_at IS 'When the score arrived.';

COMMENT ON COLUMN promptctl.scores.recorded_in IS 'As in uses: scores below the watermark are in totals.';

COMMENT ON COLUMN promptctl.scores.epoch IS 'The epoch of the use; 0: no split chose the version, or a program stored the score during the migration to schema version 8.';

COMMENT ON COLUMN promptctl.scores.bucket IS 'The bucket of the unit of the use; null: the use has no unit.';

CREATE TABLE promptctl.uses (
    id uuid NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    epoch promptctl.use_epoch NOT NULL,
    bucket promptctl.use_bucket,
    model promptctl.short_text,
    input_tokens bigint,
    output_tokens bigint,
    response_ms double precision,
    outcome promptctl.outcome_name DEFAULT 'ok'::text NOT NULL,
    score promptctl.score_number,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    first_token_ms double precision,
    request_id promptctl.short_text,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    recorded_in bigint DEFAULT promptctl.recording_number() NOT NULL,
    CONSTRAINT a_first_token_time_is_from_0_to_1e12_ms CHECK (((first_token_ms >= (0)::double precision) AND (first_token_ms <= ('1000000000000'::numeric)::double precision))),
    CONSTRAINT a_response_time_is_from_0_to_1e12_ms CHECK (((response_ms >= (0)::double precision) AND (response_ms <= ('1000000000000'::numeric)::double precision))),
    CONSTRAINT a_use_has_a_valid_time CHECK (((recorded_at >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (recorded_at <= '9999-12-31 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT cached_tokens_are_part_of_the_input CHECK (((cache_read_tokens >= 0) AND (cache_write_tokens >= 0) AND ((COALESCE(cache_read_tokens, (0)::bigint) + COALESCE(cache_write_tokens, (0)::bigint)) <= GREATEST(input_tokens, (0)::bigint)))),
    CONSTRAINT tokens_are_at_most_1e12 CHECK (((input_tokens <= '1000000000000'::bigint) AND (output_tokens <= '1000000000000'::bigint))),
    CONSTRAINT tokens_are_not_negative CHECK (((input_tokens >= 0) AND (output_tokens >= 0)))
);

COMMENT ON TABLE promptctl.uses IS 'One row per call of a model with a version. Rows are appended and no counter is shared, so recording a use waits for no other use and for no activation. record_use checks that the version exists, and versions are never deleted.';

COMMENT ON COLUMN promptctl.uses.bucket IS 'The bucket of the unit, 0 to 9999. The unit itself is not stored.';

COMMENT ON COLUMN promptctl.uses.input_tokens IS 'All of the input, including what was read from and written to a cache.';

COMMENT ON COLUMN promptctl.uses.outcome IS '"ok", or the name of the error that the call ended in.';

COMMENT ON COLUMN promptctl.uses.cache_read_tokens IS 'The part of input_tokens that was read from a cache; null: not reported.';

COMMENT ON COLUMN promptctl.uses.cache_write_tokens IS 'The part of input_tokens that was written to a cache; null: not reported.';

COMMENT ON COLUMN promptctl.uses.first_token_ms IS 'From the request to the first text of the reply.';

COMMENT ON COLUMN promptctl.uses.request_id IS 'The identifier of the request at the provider of the model, for its support.';

COMMENT ON COLUMN promptctl.uses.recorded_at IS 'When the use ended, by the clock of this server: the time of recording minus the age that the client sent.';

COMMENT ON COLUMN promptctl.uses.recorded_in IS 'The transaction that recorded the use, as a number that only grows. Uses below the watermark are in totals.';

COMMENT ON CONSTRAINT a_first_token_time_is_from_0_to_1e12_ms ON promptctl.uses IS 'From the request to the first text of the reply; null: not reported.';

COMMENT ON CONSTRAINT a_response_time_is_from_0_to_1e12_ms ON promptctl.uses IS 'At most 31 years, because averages square the times; null: not reported.';

COMMENT ON CONSTRAINT a_use_has_a_valid_time ON promptctl.uses IS 'Each use belongs to an hour and a day.';

COMMENT ON CONSTRAINT cached_tokens_are_part_of_the_input ON promptctl.uses IS 'input_tokens is all of the input. The cached parts have other prices.';

COMMENT ON CONSTRAINT tokens_are_at_most_1e12 ON promptctl.uses IS 'One absurd number would make every sum in the statistics fail.';

COMMENT ON CONSTRAINT tokens_are_not_negative ON promptctl.uses IS 'A number that was not reported is null, never 0 or -1.';

CREATE VIEW promptctl.version_stats as
select v.name, v.version,
       (select jsonb_strip_nulls(jsonb_build_object(
                   'total_uses', coalesce(sum(t.uses), 0),
                   'errors', coalesce(sum(t.uses) filter (where not t.is_ok), 0),
                   'avg_tokens', trim_scale(round((sum(t.tokens) filter (where t.is_ok)
                                                   / nullif(sum(t.with_both) filter (where t.is_ok), 0))::numeric, 2)),
                   'avg_response_time_ms', trim_scale(round((sum(t.response_ms) filter (where t.is_ok)
                                               / nullif(sum(t.with_response) filter (where t.is_ok), 0))::numeric, 2)),
                   'avg_score', trim_scale(round((sum(t.score) / nullif(sum(t.with_score), 0))::numeric, 4)),
                   'last_used_at', max(t.last_used_at)))
        from (
            select a.is_ok, a.uses, a.tokens, a.with_both, a.response_ms, a.with_response, a.score, a.with_score,
                   a.last_used_at
            from promptctl.totals a
            where a.grain = 'all' and a.name = v.name and a.version = v.version
            union all
            select u.outcome = 'ok', count(*), sum((u.input_tokens + u.output_tokens)::double precision),
                   count(u.input_tokens + u.output_tokens), sum(u.response_ms), count(u.response_ms), sum(u.score),
                   count(u.score), max(u.recorded_at)
            from promptctl.uses u
            where u.name = v.name and u.version = v.version
              and u.recorded_in >= promptctl.rolled_below()
            group by 1
            union all
            select o.is_ok, 0, null, 0, null, 0, sum(o.score - coalesce(o.previous, 0)),
                   count(*) filter (where o.previous is null), null
            from promptctl.scores o
            where o.name = v.name and o.version = v.version
              and o.recorded_in >= promptctl.rolled_below()
            group by 1
        ) t) as stats
from promptctl.versions v;

COMMENT ON VIEW promptctl.version_stats IS 'The statistics of each version, including archived ones: its totals and the uses that are not in them yet.';

COMMENT ON COLUMN promptctl.version_stats.stats IS 'As in prompts.';

CREATE VIEW promptctl.prompts AS
 SELECT p.id,
    p.name,
    p.version,
    p.content,
    p.is_active,
    p.created_at,
    p.created_by,
    p.metadata,
    ( SELECT x.stats
           FROM promptctl.version_stats x
          WHERE ((x.name = p.name) AND (x.version = p.version))) AS stats
   FROM promptctl.prompts_without_stats p;

COMMENT ON VIEW promptctl.prompts IS 'Every version in use. Public. insert stores a version, setting is_active activates or deactivates it, and every other change is refused.';

COMMENT ON COLUMN promptctl.prompts.is_active IS 'Whether it is the active version. It can be updated.';

COMMENT ON COLUMN promptctl.prompts.stats IS 'total_uses, errors, avg_tokens (input + output), avg_response_time_ms, avg_score, last_used_at. Averages are over the uses that succeeded and reported the number, avg_score over all that have a score. A number that no use reported is absent.';

CREATE TABLE promptctl.releases (
    release bigint NOT NULL,
    kind text NOT NULL,
    author promptctl.short_text NOT NULL,
    reason promptctl.reason_text,
    source text,
    origin promptctl.origin_object,
    undoes bigint,
    database_user text DEFAULT SESSION_USER NOT NULL,
    opened_in xid8 DEFAULT pg_current_xact_id() NOT NULL,
    released_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_release_has_a_known_kind CHECK ((kind = ANY (ARRAY['activate'::text, 'deactivate'::text, 'rollback'::text, 'sync'::text, 'release rollback'::text]))),
    CONSTRAINT a_release_rollback_undoes_an_earlier_release CHECK ((undoes < release)),
    CONSTRAINT the_origin_of_a_release_is_an_object CHECK ((jsonb_typeof((origin)::jsonb) = 'object'::text))
);

COMMENT ON TABLE promptctl.releases IS 'The changes that one transaction made to several prompts.';

COMMENT ON COLUMN promptctl.releases.source IS 'For a sync: its source.';

COMMENT ON COLUMN promptctl.releases.origin IS 'For a sync: repository, commit, folder, and whether the working tree had uncommitted changes.';

COMMENT ON COLUMN promptctl.releases.undoes IS 'For a rollback of a release: the release that it reversed.';

COMMENT ON COLUMN promptctl.releases.opened_in IS 'The transaction that made the release. No other transaction can add to it.';

COMMENT ON CONSTRAINT a_release_has_a_known_kind ON promptctl.releases IS 'The command that made the release.';

COMMENT ON CONSTRAINT a_release_rollback_undoes_an_earlier_release ON promptctl.releases IS 'A release cannot reverse itself or a later one.';

COMMENT ON CONSTRAINT the_origin_of_a_release_is_an_object ON promptctl.releases IS 'An origin has keys and values.';

ALTER TABLE promptctl.releases ALTER COLUMN release ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME promptctl.releases_release_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE promptctl.rollout_events (
    rollout bigint NOT NULL,
    place integer NOT NULL,
    kind text NOT NULL,
    basis_points integer NOT NULL,
    epoch integer NOT NULL,
    why promptctl.reason_text,
    evidence jsonb,
    author promptctl.short_text NOT NULL,
    database_user text DEFAULT SESSION_USER NOT NULL,
    happened_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT an_event_of_a_rollout_has_a_known_kind CHECK ((kind = ANY (ARRAY['start'::text, 'advance'::text, 'pause'::text, 'resume'::text, 'promote'::text, 'roll back'::text, 'stop'::text])))
);

COMMENT ON TABLE promptctl.rollout_events IS 'What happened to each rollout, in order. Rows are appended and never edited.';

COMMENT ON COLUMN promptctl.rollout_events.rollout IS 'The rollout.';

COMMENT ON COLUMN promptctl.rollout_events.place IS 'The position of the event in its rollout, from 1.';

COMMENT ON COLUMN promptctl.rollout_events.why IS 'Why it happened, in words.';

COMMENT ON COLUMN promptctl.rollout_events.evidence IS 'The guards at that time, as in explain_rollout; null: the event was no decision of a tick.';

COMMENT ON COLUMN promptctl.rollout_events.happened_at IS 'When it happened.';

COMMENT ON CONSTRAINT an_event_of_a_rollout_has_a_known_kind ON promptctl.rollout_events IS 'What can happen to a rollout.';

CREATE TABLE promptctl.rollout_looks (
    rollout bigint NOT NULL,
    looked_at timestamp with time zone NOT NULL,
    metric text NOT NULL,
    basis_points integer NOT NULL,
    uses_a bigint,
    uses_b bigint,
    difference double precision,
    lower double precision,
    upper double precision
);

COMMENT ON TABLE promptctl.rollout_looks IS 'What ticks saw of each guard, some hundreds of times in a rollout: the course of the differences over time.';

COMMENT ON COLUMN promptctl.rollout_looks.rollout IS 'The rollout.';

COMMENT ON COLUMN promptctl.rollout_looks.looked_at IS 'When the tick was.';

COMMENT ON COLUMN promptctl.rollout_looks.metric IS 'The metric of the guard.';

COMMENT ON COLUMN promptctl.rollout_looks.uses_a IS 'Uses of the baseline that reported the metric.';

COMMENT ON COLUMN promptctl.rollout_looks.uses_b IS 'Uses of the candidate that reported the metric.';

COMMENT ON COLUMN promptctl.rollout_looks.difference IS 'The candidate minus the baseline, in the unit of the tolerance; null: not known.';

COMMENT ON COLUMN promptctl.rollout_looks.lower IS 'The lower end of the interval of the difference.';

COMMENT ON COLUMN promptctl.rollout_looks.upper IS 'The upper end of the interval of the difference.';

CREATE TABLE promptctl.rollout_ticks (
    rollout bigint NOT NULL,
    ticked_at timestamp with time zone,
    action text,
    why text
);

COMMENT ON TABLE promptctl.rollout_ticks IS 'The last tick of each rollout. It is a table of its own, so that a tick which holds locks nothing for which a move of the prompt waits.';

COMMENT ON COLUMN promptctl.rollout_ticks.rollout IS 'The rollout.';

COMMENT ON COLUMN promptctl.rollout_ticks.ticked_at IS 'When the last tick was; null: there was none.';

COMMENT ON COLUMN promptctl.rollout_ticks.action IS 'What it did, as in tick_rollout.';

COMMENT ON COLUMN promptctl.rollout_ticks.why IS 'Why it did that.';

ALTER TABLE promptctl.rollouts ALTER COLUMN rollout ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME promptctl.rollouts_rollout_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE promptctl.sources (
    source text NOT NULL,
    commit text,
    committed_at timestamp with time zone,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_by promptctl.short_text NOT NULL,
    CONSTRAINT a_source_has_at_most_1000_characters CHECK (((length(source) <= 1000) AND (length(commit) <= 1000))),
    CONSTRAINT a_source_name_is_not_empty CHECK ((source <> ''::text))
);

COMMENT ON TABLE promptctl.sources IS 'Folders that were synced, each with the commit that was applied last.';

COMMENT ON COLUMN promptctl.sources.commit IS 'The full hash; null: the folder is in no repository.';

COMMENT ON COLUMN promptctl.sources.committed_at IS 'The time of that commit, for a clone whose history does not reach back to it.';

COMMENT ON CONSTRAINT a_source_has_at_most_1000_characters ON promptctl.sources IS 'The name is part of a key.';

COMMENT ON CONSTRAINT a_source_name_is_not_empty ON promptctl.sources IS 'A source is named by its repository and folder, or by a name of its own.';

CREATE VIEW promptctl.split_uses AS
 SELECT u.name,
    u.epoch,
    u.version,
    promptctl.bucket_group(u.id, u.version, (u.bucket)::smallint, a.*) AS bucket,
    (u.model)::text AS model,
    promptctl.price_tier(u.input_tokens) AS size,
    true AS is_use,
    ((u.outcome)::text <> 'ok'::text) AS is_error,
    (((u.outcome)::text = 'ok'::text) AND (u.response_ms > (COALESCE(a.slow_ms, 10000))::double precision)) AS is_slow,
    (COALESCE(u.input_tokens, u.output_tokens) IS NOT NULL) AS is_billed,
        CASE
            WHEN (((u.outcome)::text = 'ok'::text) AND (u.response_ms IS NOT NULL)) THEN ln(GREATEST(u.response_ms, (1)::double precision))
            ELSE NULL::double precision
        END AS ln_response_ms,
        CASE
            WHEN (((u.outcome)::text = 'ok'::text) AND (u.first_token_ms IS NOT NULL)) THEN ln(GREATEST(u.first_token_ms, (1)::double precision))
            ELSE NULL::double precision
        END AS ln_first_token_ms,
        CASE
            WHEN (((u.outcome)::text = 'ok'::text) AND (u.output_tokens IS NOT NULL)) THEN ln((GREATEST(u.output_tokens, (1)::bigint))::double precision)
            ELSE NULL::double precision
        END AS ln_output_tokens,
    (u.input_tokens)::double precision AS input_tokens,
    (u.output_tokens)::double precision AS output_tokens,
    (u.cache_read_tokens)::double precision AS cache_read_tokens,
    (u.cache_write_tokens)::double precision AS cache_write_tokens,
    ((u.score IS NOT NULL))::integer AS with_score,
    (u.score)::double precision AS score,
    u.recorded_in,
    a.ctid AS allocation
   FROM (promptctl.uses u
     JOIN promptctl.allocations a ON (((a.name = u.name) AND (a.epoch = (u.epoch)::integer) AND (a.candidate_version IS NOT NULL) AND ((a.basis_points >= 1) AND (a.basis_points <= 9999)))))
UNION ALL
 SELECT o.name,
    o.epoch,
    o.version,
    promptctl.bucket_group(o.use_id, o.version, o.bucket, a.*) AS bucket,
    (o.model)::text AS model,
    o.size,
    false AS is_use,
    false AS is_error,
    false AS is_slow,
    false AS is_billed,
    NULL::double precision AS ln_response_ms,
    NULL::double precision AS ln_first_token_ms,
    NULL::double precision AS ln_output_tokens,
    NULL::double precision AS input_tokens,
    NULL::double precision AS output_tokens,
    NULL::double precision AS cache_read_tokens,
    NULL::double precision AS cache_write_tokens,
    ((o.previous IS NULL))::integer AS with_score,
    ((o.score)::double precision - COALESCE(o.previous, (0)::double precision)) AS score,
    o.recorded_in,
    a.ctid AS allocation
   FROM (promptctl.scores o
     JOIN promptctl.allocations a ON (((a.name = o.name) AND (a.epoch = o.epoch) AND (a.candidate_version IS NOT NULL) AND ((a.basis_points >= 1) AND (a.basis_points <= 9999)))));

COMMENT ON VIEW promptctl.split_uses IS 'What each single use that a split served, and each score that arrived after its use, adds to bucket_totals.';

COMMENT ON COLUMN promptctl.split_uses.bucket IS 'The group of buckets, see bucket_group.';

COMMENT ON COLUMN promptctl.split_uses.size IS 'The price tier, as in totals.';

COMMENT ON COLUMN promptctl.split_uses.is_use IS 'Whether it is a use; false: it is a score.';

COMMENT ON COLUMN promptctl.split_uses.is_error IS 'Whether the outcome is not ok.';

COMMENT ON COLUMN promptctl.split_uses.is_slow IS 'As slow in bucket_totals.';

COMMENT ON COLUMN promptctl.split_uses.is_billed IS 'As billed in bucket_totals.';

COMMENT ON COLUMN promptctl.split_uses.ln_response_ms IS 'The natural logarithm of response_ms, of at least 1 ms; null: not reported, or the use failed.';

COMMENT ON COLUMN promptctl.split_uses.ln_first_token_ms IS 'As ln_response_ms, of first_token_ms.';

COMMENT ON COLUMN promptctl.split_uses.ln_output_tokens IS 'As ln_response_ms, of output_tokens.';

COMMENT ON COLUMN promptctl.split_uses.cache_read_tokens IS 'The part of input_tokens that was read from a cache.';

COMMENT ON COLUMN promptctl.split_uses.cache_write_tokens IS 'The part of input_tokens that was written to a cache.';

COMMENT ON COLUMN promptctl.split_uses.with_score IS '1 for a score; 0: no score, or one that replaces another.';

COMMENT ON COLUMN promptctl.split_uses.score IS 'The score, less the one that it replaces.';

COMMENT ON COLUMN promptctl.split_uses.recorded_in IS 'As in uses.';

COMMENT ON COLUMN promptctl.split_uses.allocation IS 'The row of the epoch in allocations, by its place in the table: a shorter key than name and epoch.';

CREATE TABLE promptctl.test_batches (
    id promptctl.short_text NOT NULL,
    run bigint NOT NULL,
    requests jsonb NOT NULL,
    began_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT the_requests_of_a_batch_have_at_most_10_megabytes CHECK (((jsonb_typeof(requests) = 'object'::text) AND (pg_column_size(requests) <= 10000000)))
);

COMMENT ON TABLE promptctl.test_batches IS 'Batches of messages that runs sent to Claude, so that another process can collect their replies.';

COMMENT ON COLUMN promptctl.test_batches.id IS 'The id that Claude gave the batch.';

COMMENT ON COLUMN promptctl.test_batches.run IS 'The run.';

COMMENT ON COLUMN promptctl.test_batches.requests IS 'For each request of the batch, by its custom_id, the hashes that its reply is stored with. Empty after the end.';

COMMENT ON COLUMN promptctl.test_batches.began_at IS 'When the batch was stored.';

COMMENT ON COLUMN promptctl.test_batches.ended_at IS 'When all its replies were stored; null: they are not.';

COMMENT ON CONSTRAINT the_requests_of_a_batch_have_at_most_10_megabytes ON promptctl.test_batches IS 'They are an object of hashes and not of texts.';

CREATE TABLE promptctl.test_cases (
    hash promptctl.sha256_hash NOT NULL,
    definition text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_case_has_at_most_1_megabyte CHECK ((octet_length(definition) <= 1000000)),
    CONSTRAINT a_case_is_an_object CHECK ((json_typeof((definition)::json) = 'object'::text))
);

COMMENT ON TABLE promptctl.test_cases IS 'Every case that a prompt has or had, or that a run has run. A case never changes: another definition is another case.';

COMMENT ON COLUMN promptctl.test_cases.hash IS 'SHA-256 of the definition in UTF-8. The database calculates it.';

COMMENT ON COLUMN promptctl.test_cases.definition IS 'The values, the messages and the assertions, as a JSON object in its canonical text: sorted keys, and no space after a colon or a comma.';

COMMENT ON CONSTRAINT a_case_has_at_most_1_megabyte ON promptctl.test_cases IS 'A test holds its cases in memory.';

COMMENT ON CONSTRAINT a_case_is_an_object ON promptctl.test_cases IS 'A case has keys and values.';

CREATE TABLE promptctl.test_failures (
    run bigint NOT NULL,
    place integer NOT NULL,
    failure_place integer NOT NULL,
    label promptctl.short_text NOT NULL,
    reason promptctl.reason_text NOT NULL,
    times integer NOT NULL,
    CONSTRAINT a_failure_happened_at_least_once CHECK ((times >= 1))
);

COMMENT ON TABLE promptctl.test_failures IS 'The assertions that replies of the new text did not meet in a run. Reasons may quote replies, so they are dropped with them.';

COMMENT ON COLUMN promptctl.test_failures.run IS 'The run.';

COMMENT ON COLUMN promptctl.test_failures.place IS 'The position of the case in the run.';

COMMENT ON COLUMN promptctl.test_failures.failure_place IS 'The position of the failure among those of its case, from 1.';

COMMENT ON COLUMN promptctl.test_failures.label IS 'The assertion, for example: contains "30 days".';

COMMENT ON COLUMN promptctl.test_failures.reason IS 'Why a reply did not meet it.';

COMMENT ON COLUMN promptctl.test_failures.times IS 'How many replies did not meet it.';

COMMENT ON CONSTRAINT a_failure_happened_at_least_once ON promptctl.test_failures IS 'An assertion that every reply met has no row.';

CREATE TABLE promptctl.test_judgements (
    reply_id uuid NOT NULL,
    judging_key promptctl.sha256_hash NOT NULL,
    judge_sha256 promptctl.sha256_hash NOT NULL,
    passed boolean NOT NULL,
    score double precision NOT NULL,
    reason promptctl.reason_text NOT NULL,
    calls integer NOT NULL,
    cost double precision,
    model promptctl.short_text NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT the_numbers_of_a_judgement_are_not_negative CHECK (((calls >= 1) AND (cost >= (0)::double precision) AND (cost <= ('1000000000000'::numeric)::double precision))),
    CONSTRAINT the_score_of_a_judgement_is_from_0_to_1 CHECK (((score >= (0)::double precision) AND (score <= (1)::double precision)))
);

COMMENT ON TABLE promptctl.test_judgements IS 'Judgements of replies. Reasons may quote replies, so they are dropped with them.';

COMMENT ON COLUMN promptctl.test_judgements.reply_id IS 'The reply.';

COMMENT ON COLUMN promptctl.test_judgements.judging_key IS 'SHA-256 of what the judgement depends on besides the reply: the judge''s text, settings and model, and the assertion.';

COMMENT ON COLUMN promptctl.test_judgements.judge_sha256 IS 'SHA-256 of the text of the judge, as in versions.';

COMMENT ON COLUMN promptctl.test_judgements.passed IS 'Whether the reply meets the assertion.';

COMMENT ON COLUMN promptctl.test_judgements.score IS 'How well it meets the assertion, from 0 to 1.';

COMMENT ON COLUMN promptctl.test_judgements.calls IS 'How many calls of the judge it took.';

COMMENT ON COLUMN promptctl.test_judgements.cost IS 'The cost of the calls in US dollars; null: the price is not known.';

COMMENT ON COLUMN promptctl.test_judgements.model IS 'The model that judged, as Claude named it.';

COMMENT ON CONSTRAINT the_numbers_of_a_judgement_are_not_negative ON promptctl.test_judgements IS 'A cost that is not known is null.';

COMMENT ON CONSTRAINT the_score_of_a_judgement_is_from_0_to_1 ON promptctl.test_judgements IS 'Scores of all assertions are averaged.';

CREATE TABLE promptctl.test_replies (
    id uuid NOT NULL,
    run bigint NOT NULL,
    case_hash promptctl.sha256_hash NOT NULL,
    request_hash promptctl.sha256_hash NOT NULL,
    sha256 promptctl.sha256_hash NOT NULL,
    model promptctl.short_text NOT NULL,
    blocks jsonb NOT NULL,
    stop_reason promptctl.short_text,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    response_ms double precision,
    cost double precision,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_reply_has_at_most_10_megabytes CHECK ((pg_column_size(blocks) <= 10000000)),
    CONSTRAINT a_reply_is_a_list_of_blocks CHECK ((jsonb_typeof(blocks) = 'array'::text)),
    CONSTRAINT the_numbers_of_a_reply_are_not_negative CHECK (((input_tokens >= 0) AND (output_tokens >= 0) AND (cache_read_tokens >= 0) AND (cache_write_tokens >= 0) AND (response_ms >= (0)::double precision) AND (response_ms <= ('1000000000000'::numeric)::double precision) AND (cost >= (0)::double precision) AND (cost <= ('1000000000000'::numeric)::double precision)))
);

COMMENT ON TABLE promptctl.test_replies IS 'What Claude returned in runs. Equal requests share their replies: those to the active version are the baseline of later runs. drop_test_replies deletes old ones, and erasing a version those to its text.';

COMMENT ON COLUMN promptctl.test_replies.id IS 'An id that the client makes, ordered by time (UUID version 7).';

COMMENT ON COLUMN promptctl.test_replies.run IS 'The run that made the call.';

COMMENT ON COLUMN promptctl.test_replies.case_hash IS 'The case, in test_cases.';

COMMENT ON COLUMN promptctl.test_replies.request_hash IS 'SHA-256 of all arguments of the call in canonical JSON, the model among them.';

COMMENT ON COLUMN promptctl.test_replies.sha256 IS 'SHA-256 of the text of the prompt, as in versions.';

COMMENT ON COLUMN promptctl.test_replies.model IS 'The model that replied, as Claude named it.';

COMMENT ON COLUMN promptctl.test_replies.blocks IS 'The content blocks of the reply.';

COMMENT ON COLUMN promptctl.test_replies.stop_reason IS 'Why the reply ended, as Claude named it.';

COMMENT ON COLUMN promptctl.test_replies.cache_read_tokens IS 'The part of input_tokens that was read from a cache; null: not reported.';

COMMENT ON COLUMN promptctl.test_replies.cache_write_tokens IS 'The part of input_tokens that was written to a cache; null: not reported.';

COMMENT ON COLUMN promptctl.test_replies.cost IS 'The cost of the call in US dollars; null: the price is not known.';

COMMENT ON CONSTRAINT a_reply_has_at_most_10_megabytes ON promptctl.test_replies IS 'A test holds replies in memory.';

COMMENT ON CONSTRAINT a_reply_is_a_list_of_blocks ON promptctl.test_replies IS 'Claude returns a list.';

COMMENT ON CONSTRAINT the_numbers_of_a_reply_are_not_negative ON promptctl.test_replies IS 'A number that was not reported is null, never 0 or -1.';

CREATE TABLE promptctl.test_run_cases (
    run bigint NOT NULL,
    place integer NOT NULL,
    case_hash promptctl.sha256_hash NOT NULL,
    baseline_passes integer DEFAULT 0 NOT NULL,
    baseline_replies integer DEFAULT 0 NOT NULL,
    new_passes integer DEFAULT 0 NOT NULL,
    new_replies integer DEFAULT 0 NOT NULL,
    errors integer DEFAULT 0 NOT NULL,
    is_changed boolean DEFAULT false NOT NULL,
    verdict text,
    p double precision,
    baseline_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    new_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    CONSTRAINT a_case_has_a_known_verdict CHECK ((verdict = ANY (ARRAY['better'::text, 'worse'::text]))),
    CONSTRAINT a_case_has_at_most_10000_replies CHECK (((cardinality(baseline_ids) + cardinality(new_ids)) <= 10000)),
    CONSTRAINT a_run_has_at_most_10000_cases CHECK (((place >= 1) AND (place <= 10000))),
    CONSTRAINT passes_are_among_the_replies CHECK (((baseline_passes >= 0) AND (baseline_passes <= baseline_replies) AND (new_passes >= 0) AND (new_passes <= new_replies))),
    CONSTRAINT the_errors_of_a_case_are_not_negative CHECK ((errors >= 0)),
    CONSTRAINT the_p_of_a_case_is_from_0_to_1 CHECK (((p >= (0)::double precision) AND (p <= (1)::double precision)))
);

COMMENT ON TABLE promptctl.test_run_cases IS 'The cases that a run ran, and from its end on how many replies passed of how many.';

COMMENT ON COLUMN promptctl.test_run_cases.run IS 'The run.';

COMMENT ON COLUMN promptctl.test_run_cases.place IS 'The position of the case in the run, from 1.';

COMMENT ON COLUMN promptctl.test_run_cases.case_hash IS 'The case, in test_cases.';

COMMENT ON COLUMN promptctl.test_run_cases.baseline_passes IS 'How many replies of the baseline passed.';

COMMENT ON COLUMN promptctl.test_run_cases.baseline_replies IS 'How many replies of the baseline there are.';

COMMENT ON COLUMN promptctl.test_run_cases.new_passes IS 'How many replies of the new text passed.';

COMMENT ON COLUMN promptctl.test_run_cases.new_replies IS 'How many replies of the new text there are.';

COMMENT ON COLUMN promptctl.test_run_cases.errors IS 'How many replies are missing, because a call failed. They are in no other number.';

COMMENT ON COLUMN promptctl.test_run_cases.is_changed IS 'Whether the pass rates of the two texts differ.';

COMMENT ON COLUMN promptctl.test_run_cases.verdict IS 'What was proven of the case alone: better or worse; null: neither.';

COMMENT ON COLUMN promptctl.test_run_cases.p IS 'How probable this drop of the case is if the new text is as good as the baseline; null: not calculated.';

COMMENT ON COLUMN promptctl.test_run_cases.baseline_ids IS 'The replies of the baseline, the one to show first. Some may have been dropped since.';

COMMENT ON COLUMN promptctl.test_run_cases.new_ids IS 'As baseline_ids, of the new text.';

COMMENT ON CONSTRAINT a_case_has_a_known_verdict ON promptctl.test_run_cases IS 'What can be proven of one case.';

COMMENT ON CONSTRAINT a_case_has_at_most_10000_replies ON promptctl.test_run_cases IS 'Runs are never deleted.';

COMMENT ON CONSTRAINT a_run_has_at_most_10000_cases ON promptctl.test_run_cases IS 'As a prompt.';

COMMENT ON CONSTRAINT passes_are_among_the_replies ON promptctl.test_run_cases IS 'A reply passes or does not pass.';

COMMENT ON CONSTRAINT the_errors_of_a_case_are_not_negative ON promptctl.test_run_cases IS 'It is a number of replies.';

COMMENT ON CONSTRAINT the_p_of_a_case_is_from_0_to_1 ON promptctl.test_run_cases IS 'It is a probability.';

ALTER TABLE promptctl.test_runs ALTER COLUMN run ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME promptctl.test_runs_run_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW promptctl.version_verdicts AS
 SELECT v.name,
    v.version,
    r.run,
    r.verdict,
    r.against_name,
    r.against_version,
    r.change,
    r.lower,
    r.upper,
    r.ended_at,
    (r.author)::text AS author
   FROM (promptctl.versions v
     CROSS JOIN LATERAL ( SELECT t.run,
            t.name,
            t.version,
            t.sha256,
            t.settings_sha256,
            t.against_name,
            t.against_version,
            t.against_sha256,
            t.against_settings_sha256,
            t.cases_sha256,
            t.judge,
            t.judge_sha256,
            t.requested_model,
            t.returned_models,
            t.margin,
            t.origin,
            t.verdict,
            t.failure,
            t.why,
            t.change,
            t.lower,
            t.upper,
            t.p,
            t.needed_cases,
            t.needed_repeats,
            t.new_calls,
            t.kept_replies,
            t.judge_calls,
            t.errors,
            t.input_tokens,
            t.output_tokens,
            t.cost,
            t.is_stale,
            t.notes,
            t.author,
            t.database_user,
            t.began_at,
            t.ended_at
           FROM promptctl.test_runs t
          WHERE ((t.name = v.name) AND ((t.sha256)::bytea = v.sha256) AND (t.verdict IS NOT NULL) AND ((t.against_name IS NOT NULL) OR (t.verdict <> 'undecided'::text)) AND ((t.version = v.version) OR ((t.settings_sha256)::bytea = sha256(convert_to((v.settings)::text, 'UTF8'::name)))))
          ORDER BY (EXISTS ( SELECT
                   FROM promptctl.prompt_cases p
                  WHERE ((p.name = t.name) AND (NOT (EXISTS ( SELECT
                           FROM promptctl.test_run_cases c
                          WHERE ((c.run = t.run) AND ((c.case_hash)::bytea = (p.hash)::bytea)))))))), t.run DESC
         LIMIT 1) r);

COMMENT ON VIEW promptctl.version_verdicts IS 'The last verdict of each version that was tested, also before it was stored: a run of the same text and settings. A run of all cases that the prompt has now comes before a run of some of them.';

COMMENT ON COLUMN promptctl.version_verdicts.run IS 'The run, in test_runs. The other columns are from there.';

COMMENT ON COLUMN promptctl.version_verdicts.verdict IS 'better, not worse, worse or undecided.';

COMMENT ON COLUMN promptctl.version_verdicts.against_name IS 'The prompt of the baseline; null: there was none.';

COMMENT ON COLUMN promptctl.version_verdicts.against_version IS 'The version of the baseline.';

COMMENT ON COLUMN promptctl.version_verdicts.change IS 'The pass rate of the version minus that of the baseline.';

COMMENT ON COLUMN promptctl.version_verdicts.lower IS 'The lower end of the interval of the change.';

COMMENT ON COLUMN promptctl.version_verdicts.upper IS 'The upper end of the interval of the change.';

COMMENT ON COLUMN promptctl.version_verdicts.ended_at IS 'When the run ended.';

INSERT INTO promptctl.allocations VALUES
	('support', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:00.994744+00', NULL),
	('support', 2, 'activate', 1, 2, NULL, 0, NULL, 1, 2, NULL, NULL, NULL, 'ada@example.com', 'INC-1', 'schema_owner', '2026-11-29 21:47:01.308944+00', NULL),
	('support', 3, 'rollback', 2, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', 'too short', 'schema_owner', '2026-11-29 21:47:01.608031+00', NULL),
	('support', 4, 'split', 1, 1, 3, 2500, 'support.4', NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:03.014356+00', NULL),
	('shell', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:03.254623+00', NULL),
	('plain', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:03.543666+00', NULL),
	('vip', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'operator_login', '2026-11-29 21:47:03.781237+00', NULL),
	('support', 5, 'route', 1, 1, 3, 2500, 'support.4', NULL, 1, '[{"use": "vip", "when": {"plan": "enterprise", "seats": 10.5}}, {"use": "support@1", "when": {"beta": true}}]', NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:04.070927+00', NULL),
	('greeting', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, 1, '{"path": "prompts/greeting/prompt.yaml", "dirty": false, "author": "ada@example.com", "commit": "e917b4bac1d8a2c69a2b3df613eabe5492ecd332", "repository": "git.example.com/shop/prompts"}', 'ada@example.com', 'sync e917b4b', 'schema_owner', '2026-11-29 21:47:04.891735+00', NULL),
	('greeting', 2, 'activate', 1, 2, NULL, 0, NULL, 1, 2, NULL, 2, '{"path": "prompts/greeting/prompt.yaml", "dirty": false, "author": "ada@example.com", "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', 'ada@example.com', 'sync abf67b8', 'schema_owner', '2026-11-29 21:47:05.387353+00', NULL),
	('shop/checkout', 1, 'activate', NULL, 2, NULL, 0, NULL, NULL, 1, NULL, 2, '{"path": "prompts/shop/checkout/prompt.yaml", "dirty": false, "author": "ada@example.com", "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', 'ada@example.com', 'sync abf67b8', 'schema_owner', '2026-11-29 21:47:05.387406+00', NULL),
	('greeting', 3, 'rollback', 2, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', 'held', 'schema_owner', '2026-11-29 21:47:06.066612+00', NULL),
	('checkout', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada', 'first', 'operator_login', '2026-11-30 01:08:56.780863+00', NULL),
	('plain', 2, 'archive', 1, NULL, NULL, 0, NULL, 1, 2, NULL, NULL, NULL, 'ada', NULL, 'operator_login', '2026-11-30 01:08:56.787399+00', NULL),
	('plain', 3, 'restore', NULL, 1, NULL, 0, NULL, 2, 1, NULL, NULL, NULL, 'ada', NULL, 'operator_login', '2026-11-30 01:08:56.984278+00', NULL),
	('checkout', 2, 'split', 1, 1, 2, 1000, 'checkout.2', NULL, 1, NULL, NULL, NULL, 'ada', 'a first try', 'operator_login', '2026-11-30 01:08:56.98637+00', NULL),
	('checkout', 3, 'split', 1, 1, 2, 2500, 'checkout.2', NULL, 1, NULL, NULL, NULL, 'ada', NULL, 'operator_login', '2026-11-30 01:08:57.623103+00', NULL),
	('tour', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'schema_owner', NULL, 'schema_owner', '2026-11-30 05:20:47.70327+00', NULL),
	('tour', 2, 'split', 1, 1, 2, 1000, 'tour.2', NULL, 1, NULL, NULL, NULL, 'schema_owner', 'rollout 1 starts', 'schema_owner', '2026-11-30 05:20:47.768233+00', 10000),
	('agent', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada', NULL, 'schema_owner', '2026-11-30 07:38:36.159384+00', NULL);

INSERT INTO promptctl.applied VALUES
	('greeting', 'git.example.com/shop/prompts prompts', 2, NULL, '{}', true, false, '\xa22f6177c091387709117fcfbd79b40f647a0fc652ace233d390e70de1de6b38', true, 3, '2026-11-29 21:47:05.235731+00', 'ada@example.com'),
	('shop/checkout', 'git.example.com/shop/prompts prompts', 2, NULL, '{}', true, false, '\x7d4ff479ce0cd9323ddfd1c66ff09577f58ff0aea118fa14b30aa635e7d190aa', true, 3, '2026-11-29 21:47:05.235731+00', 'ada@example.com');

INSERT INTO promptctl.corrections OVERRIDING SYSTEM VALUE VALUES
	(1, 'support', 4, 3, 'archive', NULL, NULL, NULL, 'ada@example.com', 'mistake', 'schema_owner', '2026-11-29 21:47:02.775196+00');

INSERT INTO promptctl.fallbacks VALUES
	('01a22946-a95f-73aa-be7c-100600000024', 'gone', NULL, 1, 2, 0.0020129996300966013, 'ok', '2026-11-29 21:47:06.464163+00'),
	('620ed2fa-c3de-4032-ba8b-9d65622888a2', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx~', NULL, 2, 2, 2, 'ok', '2026-11-29 21:47:06.701005+00'),
	('bf418257-e3c6-4017-ad1b-fd71dfdefa1e', 'no~such~prompt~', NULL, 1, 1, 1, 'ok', '2026-11-29 21:47:06.702005+00');

INSERT INTO promptctl.installation VALUES
	(true, 10, 'ad2d0966-6baa-45ae-ac08-fbe2c664bca2', '2026-11-29 21:47:00.310326+00', 4, '0.1.0');

INSERT INTO promptctl.prompt_cases VALUES
	('greeting', 1, '\x6dbe2c8cb354fc0a5a0a98486c8f5f980a4ae24d1691e280b4c48bf86677ec5b'),
	('greeting', 2, '\x814a9c2fedb15f94926c1f946ed73bedb05cb776f7f173758917cc678742e866');

INSERT INTO promptctl.prompt_tests VALUES
	('greeting', 0.1, '2026-11-30 13:52:46.110681+00', 'ada', 'schema_owner');

INSERT INTO promptctl.releases OVERRIDING SYSTEM VALUE VALUES
	(1, 'sync', 'ada@example.com', 'sync e917b4b', 'git.example.com/shop/prompts prompts', '{"path": "prompts", "dirty": false, "commit": "e917b4bac1d8a2c69a2b3df613eabe5492ecd332", "repository": "git.example.com/shop/prompts"}', NULL, 'schema_owner', '1348', '2026-11-29 21:47:04.866142+00'),
	(2, 'sync', 'ada@example.com', 'sync abf67b8', 'git.example.com/shop/prompts prompts', '{"path": "prompts", "dirty": false, "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', NULL, 'schema_owner', '1352', '2026-11-29 21:47:05.338865+00');

INSERT INTO promptctl.roll_up VALUES
	(true, 4125, 0, NULL, '2026-11-30 01:08:57.616928+00');

INSERT INTO promptctl.rollout_events VALUES
	(1, 1, 'start', 1000, 2, NULL, NULL, 'schema_owner', 'schema_owner', '2026-11-30 05:20:47.74916+00');

INSERT INTO promptctl.rollout_looks VALUES
	(1, '2026-11-30 05:20:47.880704+00', 'errors', 1000, 0, 0, NULL, NULL, NULL),
	(1, '2026-11-30 05:20:47.880704+00', 'time', 1000, 0, 0, NULL, NULL, NULL);

INSERT INTO promptctl.rollout_ticks VALUES
	(1, '2026-11-30 05:20:47.880704+00', 'hold', 'waits for uses: 0 of 200');

INSERT INTO promptctl.rollouts OVERRIDING SYSTEM VALUE VALUES
	(1, 'tour', 1, 2, 'tour.2', '{1000,2500,5000}', '01:00:00', 200, '7 days', 'pause', '[{"metric": "errors", "tolerance": 0.01}, {"metric": "time", "tolerance": 0.139762}]', 0.05, '[]', false, 'running', 1000, 2, 2, NULL, NULL, NULL, NULL, 'schema_owner', NULL, 'schema_owner', '2026-11-30 05:20:47.737499+00', '2026-11-30 05:20:47.737499+00', NULL);

INSERT INTO promptctl.scores VALUES
	('01a22946-a95d-73aa-be7c-100600000001', 1, 'support', 1, '2026-11-29 21:47:06.468242+00', NULL, true, 0, 0.5, NULL, '2026-11-29 21:47:06.509683+00', 1361, 0, NULL),
	('01a22946-a95d-73aa-be7c-100600000001', 2, 'support', 1, '2026-11-29 21:47:06.468242+00', NULL, true, 0, 1, 0.5, '2026-11-29 21:47:06.510187+00', 1361, 0, NULL),
	('01a22946-a95d-73aa-be7c-100600000008', 1, 'support', 1, '2026-11-29 21:47:06.468329+00', 'claude-sonnet-4-5', true, 0, 0.25, NULL, '2026-11-29 21:47:06.510424+00', 1361, 0, NULL),
	('01a22946-a95d-73aa-be7c-100600000001', 3, 'support', 1, '2026-11-29 21:47:06.468242+00', NULL, true, 0, 0, 1, '2026-11-29 21:47:06.690144+00', 1364, 0, NULL),
	('01a22946-a95d-73aa-be7c-100600000004', 1, 'support', 1, '2026-11-29 21:47:06.468301+00', NULL, true, 0, 0.75, NULL, '2026-11-29 21:47:06.69037+00', 1364, 0, NULL),
	('01a229ff-742e-7a8e-a9ee-f7383a0dc454', 1, 'checkout', 1, '2026-11-30 01:08:57.008015+00', 'claude-sonnet-4-5', false, 0, 0.25, 0.5, '2026-11-30 01:08:58.236896+00', 4158, 2, NULL),
	('01a229ff-7441-7cb3-96e9-89ad200603dc', 1, 'checkout', 1, '2026-11-30 01:08:57.027564+00', 'claude-sonnet-4-5', true, 0, 0.25, NULL, '2026-11-30 01:08:58.237108+00', 4158, 2, 4209),
	('01a229ff-745a-76e9-843a-4c9603a0d21a', 1, 'checkout', 1, '2026-11-30 01:08:57.052222+00', 'claude-sonnet-4-5', true, 0, 0.25, NULL, '2026-11-30 01:08:58.237336+00', 4158, 2, 9682),
	('01a229ff-76aa-7ca9-824f-16df3dc83650', 1, 'checkout', 1, '2026-11-30 01:08:57.644058+00', 'claude-sonnet-4-5', true, 0, 1, NULL, '2026-11-30 01:08:58.229979+00', 4158, 3, NULL),
	('01a229ff-76b6-718b-9814-563aeb94e904', 1, 'checkout', 1, '2026-11-30 01:08:57.656841+00', 'claude-sonnet-4-5', true, 0, 1, NULL, '2026-11-30 01:08:58.234226+00', 4158, 3, 5886),
	('01a229ff-76ca-7882-8bd5-227a33c9c2d0', 1, 'checkout', 2, '2026-11-30 01:08:57.676452+00', 'claude-sonnet-4-5', true, 0, 1, 0.5, '2026-11-30 01:08:58.234848+00', 4158, 3, 1618),
	('01a229ff-76e2-7b31-9f2b-0f5f9a7421e3', 1, 'checkout', 1, '2026-11-30 01:08:57.7006+00', 'claude-sonnet-4-5', true, 0, 1, NULL, '2026-11-30 01:08:58.235266+00', 4158, 3, 7847),
	('01a229ff-76f7-7407-b9ef-b11b11fe6b07', 1, 'checkout', 1, '2026-11-30 01:08:57.720886+00', 'claude-sonnet-4-5', true, 0, 1, NULL, '2026-11-30 01:08:58.235641+00', 4158, 3, 2629),
	('01a229ff-770a-7f1e-8a2d-d2d16391f431', 1, 'checkout', 1, '2026-11-30 01:08:57.740491+00', 'claude-sonnet-4-5', true, 0, 1, NULL, '2026-11-30 01:08:58.236063+00', 4158, 3, 4469);

INSERT INTO promptctl.served VALUES
	('shell', 1, NULL, 0, NULL, 1, 1, 2, NULL, '2026-11-29 21:47:03.220603+00', '2026-11-29 21:47:03.220603+00', DEFAULT, NULL, NULL),
	('vip', 1, NULL, 0, NULL, 1, 1, 2, NULL, '2026-11-29 21:47:03.741313+00', '2026-11-29 21:47:03.741313+00', DEFAULT, NULL, NULL),
	('support', 1, 3, 2500, 'support.4', 1, 5, 5, '[{"use": "vip", "when": {"plan": "enterprise", "seats": 10.5}}, {"use": "support@1", "when": {"beta": true}}]', '2026-11-29 21:47:00.948944+00', '2026-11-29 21:47:04.04818+00', DEFAULT, NULL, NULL),
	('shop/checkout', 2, NULL, 0, NULL, 1, 1, 3, NULL, '2026-11-29 21:47:04.781277+00', '2026-11-29 21:47:05.235731+00', DEFAULT, NULL, NULL),
	('greeting', 1, NULL, 0, NULL, 1, 3, 3, NULL, '2026-11-29 21:47:04.781277+00', '2026-11-29 21:47:06.032727+00', DEFAULT, NULL, NULL),
	('plain', 1, NULL, 0, NULL, 1, 3, 2, NULL, '2026-11-29 21:47:03.502144+00', '2026-11-30 01:08:56.982713+00', DEFAULT, NULL, NULL),
	('checkout', 1, 2, 2500, 'checkout.2', 1, 3, 3, NULL, '2026-11-30 01:08:56.761515+00', '2026-11-30 01:08:57.622+00', DEFAULT, NULL, NULL),
	('tour', 1, 2, 1000, 'tour.2', 1, 2, 3, NULL, '2026-11-30 05:20:47.659106+00', '2026-11-30 05:20:47.716232+00', DEFAULT, NULL, 10000),
	('agent', 1, NULL, 0, NULL, 1, 1, 3, NULL, '2026-11-30 07:38:36.109497+00', '2026-11-30 07:38:36.169617+00', DEFAULT, NULL, NULL);

INSERT INTO promptctl.sources VALUES
	('git.example.com/shop/prompts prompts', 'abf67b8c4e903dfe6ff8821dadf45ff2c2af0472', '2026-11-29 21:47:04+00', '2026-11-29 21:47:05.235731+00', 'ada@example.com');

INSERT INTO promptctl.test_cases VALUES
	('\x6dbe2c8cb354fc0a5a0a98486c8f5f980a4ae24d1691e280b4c48bf86677ec5b', '{"assert":[{"type":"contains","value":"30 days"}],"description":"Refund","vars":{"user":"{Ada}"}}', '2026-11-30 13:52:46.109764+00'),
	('\x814a9c2fedb15f94926c1f946ed73bedb05cb776f7f173758917cc678742e866', '{"critical":true,"description":"A \"quoted\" \\ text, é 😀","group":"g"}', '2026-11-30 13:52:46.109967+00');

INSERT INTO promptctl.test_failures VALUES
	(2, 1, 1, 'contains "30 days"', 'not in the reply', 3);

INSERT INTO promptctl.test_replies VALUES
	('48fb8da8-aaf0-4c36-953b-64dc0446cd4f', 2, '\x6dbe2c8cb354fc0a5a0a98486c8f5f980a4ae24d1691e280b4c48bf86677ec5b', '\x0000000000000000000000000000000000000000000000000000000000000001', '\x34236d3c3751be2e0113936710bc00808f342021e73b8b135989d2d853fa5c6e', 'claude-sonnet-4-5-20250929', '[{"text": "Hi.", "type": "text"}]', 'end_turn', 30, 4, 5, 6, 7.5, 0.001, '2026-11-30 13:52:57.799736+00');

INSERT INTO promptctl.test_run_cases VALUES
	(1, 1, '\x6dbe2c8cb354fc0a5a0a98486c8f5f980a4ae24d1691e280b4c48bf86677ec5b', 0, 0, 0, 0, 0, false, NULL, NULL, '{}', '{}'),
	(1, 2, '\x814a9c2fedb15f94926c1f946ed73bedb05cb776f7f173758917cc678742e866', 0, 0, 0, 0, 0, false, NULL, NULL, '{}', '{}'),
	(2, 1, '\x6dbe2c8cb354fc0a5a0a98486c8f5f980a4ae24d1691e280b4c48bf86677ec5b', 3, 3, 0, 3, 1, true, 'worse', 0.01, '{ac1c38cd-aebc-448e-a4e3-7910ebe8d15e}', '{a3beca30-d12e-433d-8787-68327c3ac08c,35749a3d-046a-4196-b815-008a66feb7b9}'),
	(2, 2, '\x814a9c2fedb15f94926c1f946ed73bedb05cb776f7f173758917cc678742e866', 3, 3, 0, 3, 1, false, NULL, NULL, '{c6f5b0ab-67b7-46a7-9413-65fe3d2b4ab2}', '{ea34b310-87ca-416f-9a1a-8633acde7606,4250ded5-f072-4a72-bfe7-66d91e28a397}');

INSERT INTO promptctl.test_runs OVERRIDING SYSTEM VALUE VALUES
	(1, 'greeting', 2, '\x34236d3c3751be2e0113936710bc00808f342021e73b8b135989d2d853fa5c6e', '\x44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'greeting', 1, '\xce7dfa8bb9666ce29bb0aecf292a405804e895736e5b2600fe768e4884d2eb03', '\x44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', '\x9c663595624cba78fbc43a4ba03f6aa46a87f14843051187635d33531d870645', 'judges/helpful@3', '\x0000000000000000000000000000000000000000000000000000000000000009', 'claude-sonnet-4-5', '{}', 0.05, '{"commit": "9f3c2ab"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, false, '{}', 'ada', 'schema_owner', '2026-11-30 13:52:46.114822+00', NULL),
	(2, 'greeting', 2, '\x34236d3c3751be2e0113936710bc00808f342021e73b8b135989d2d853fa5c6e', '\x44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'greeting', 1, '\xce7dfa8bb9666ce29bb0aecf292a405804e895736e5b2600fe768e4884d2eb03', '\x44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', '\x9c663595624cba78fbc43a4ba03f6aa46a87f14843051187635d33531d870645', 'judges/helpful@3', '\x0000000000000000000000000000000000000000000000000000000000000009', 'claude-sonnet-4-5', '{claude-sonnet-4-5-20250929}', 0.05, '{"commit": "9f3c2ab"}', 'worse', NULL, 'a case broke', -0.5, -0.75, -0.25, 0.001, NULL, 4, 6, 3, 2, 1, 300, 40, 0.01, true, '{"another model replies"}', 'ada', 'schema_owner', '2026-11-30 13:52:57.796629+00', '2026-11-30 13:52:57.803585+00');

INSERT INTO promptctl.totals VALUES
	('day', 'support', 1, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 256, 2, 218, 2, 38, NULL, NULL, 2, 0.0030649994187115226, 0.0008419997357123066, 0.002222999682999216, '("{-320,-283}","{1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468367+00'),
	('all', 'support', 3, '-infinity', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 316, 2, 248, 2, 68, NULL, NULL, 2, 0.0012119999155402184, 0.0006010000106471125, 0.0006109999048931058, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468431+00'),
	('day', 'greeting', 1, '2026-11-29 00:00:00+00', NULL, true, 0, 1, 1, 1, 0, NULL, 1, 5, 0, NULL, NULL, NULL, 1, 0.0022729996089765336, 0.0022729996089765336, 0.0022729996089765336, '({-281},{1})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.46909+00'),
	('all', 'vip', 1, '-infinity', NULL, true, 0, 2, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 2, 0.0007500007086491678, 0.0003500003913359251, 0.0004000003173132427, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468602+00'),
	('day', 'vip', 1, '2026-11-29 00:00:00+00', NULL, true, 0, 2, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 2, 0.0007500007086491678, 0.0003500003913359251, 0.0004000003173132427, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468602+00'),
	('hour', 'support', 3, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 316, 2, 248, 2, 68, NULL, NULL, 2, 0.0012119999155402184, 0.0006010000106471125, 0.0006109999048931058, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468431+00'),
	('hour', 'greeting', 1, '2026-11-29 21:00:00+00', NULL, true, 0, 1, 1, 1, 0, NULL, 1, 5, 0, NULL, NULL, NULL, 1, 0.0022729996089765336, 0.0022729996089765336, 0.0022729996089765336, '({-281},{1})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.46909+00'),
	('all', 'greeting', 1, '-infinity', NULL, true, 0, 1, 1, 1, 0, NULL, 1, 5, 0, NULL, NULL, NULL, 1, 0.0022729996089765336, 0.0022729996089765336, 0.0022729996089765336, '({-281},{1})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.46909+00'),
	('all', 'support', 3, '-infinity', 'claude-sonnet-4-5', true, 0, 6, 0, 6, 6, 838, 6, 689, 6, 149, NULL, NULL, 6, 0.00508599987369962, 0.00038999996831989847, 0.002013000084843952, '("{-320,-318,-287}","{4,1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468427+00'),
	('day', 'support', 3, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', true, 0, 6, 0, 6, 6, 838, 6, 689, 6, 149, NULL, NULL, 6, 0.00508599987369962, 0.00038999996831989847, 0.002013000084843952, '("{-320,-318,-287}","{4,1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468427+00'),
	('day', 'vip', 1, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', true, 0, 2, 0, 2, 2, 226, 2, 203, 2, 23, NULL, NULL, 2, 0.0014420002116821706, 0.0006310001481324434, 0.0008110000635497272, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468591+00'),
	('hour', 'support', 1, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 256, 2, 218, 2, 38, NULL, NULL, 2, 0.0030649994187115226, 0.0008419997357123066, 0.002222999682999216, '("{-320,-283}","{1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468367+00'),
	('hour', 'support', 3, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', true, 0, 6, 0, 6, 6, 838, 6, 689, 6, 149, NULL, NULL, 6, 0.00508599987369962, 0.00038999996831989847, 0.002013000084843952, '("{-320,-318,-287}","{4,1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468427+00'),
	('hour', 'vip', 1, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', true, 0, 2, 0, 2, 2, 226, 2, 203, 2, 23, NULL, NULL, 2, 0.0014420002116821706, 0.0006310001481324434, 0.0008110000635497272, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468591+00'),
	('hour', 'vip', 1, '2026-11-29 21:00:00+00', NULL, true, 0, 2, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 2, 0.0007500007086491678, 0.0003500003913359251, 0.0004000003173132427, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468602+00'),
	('day', 'support', 3, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 316, 2, 248, 2, 68, NULL, NULL, 2, 0.0012119999155402184, 0.0006010000106471125, 0.0006109999048931058, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468431+00'),
	('all', 'vip', 1, '-infinity', 'claude-sonnet-4-5', true, 0, 2, 0, 2, 2, 226, 2, 203, 2, 23, NULL, NULL, 2, 0.0014420002116821706, 0.0006310001481324434, 0.0008110000635497272, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468591+00'),
	('all', 'support', 1, '-infinity', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 256, 2, 218, 2, 38, NULL, NULL, 2, 0.0030649994187115226, 0.0008419997357123066, 0.002222999682999216, '("{-320,-283}","{1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468367+00'),
	('day', 'support', 1, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', true, 0, 10, 0, 10, 10, 1390, 10, 1145, 10, 245, NULL, NULL, 10, 0.011565000022528693, 0.0003699997250805609, 0.00446700005340972, '("{-320,-305,-289,-250}","{7,1,1,1}")', 0, NULL, 1, 0.25, '2026-11-29 21:47:06.468421+00'),
	('hour', 'support', 1, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', true, 0, 10, 0, 10, 10, 1390, 10, 1145, 10, 245, NULL, NULL, 10, 0.011565000022528693, 0.0003699997250805609, 0.00446700005340972, '("{-320,-305,-289,-250}","{7,1,1,1}")', 0, NULL, 1, 0.25, '2026-11-29 21:47:06.468421+00'),
	('all', 'support', 3, '-infinity', NULL, true, 0, 3, 0, 2, 2, 246, 2, 213, 2, 33, NULL, NULL, 3, 0.0011919996723008808, 0.000279999767371919, 0.0005110000529384706, '({-320},{3})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.685335+00'),
	('all', 'support', 1, '-infinity', 'claude-sonnet-4-5', true, 0, 10, 0, 10, 10, 1390, 10, 1145, 10, 245, NULL, NULL, 10, 0.011565000022528693, 0.0003699997250805609, 0.00446700005340972, '("{-320,-305,-289,-250}","{7,1,1,1}")', 0, NULL, 1, 0.25, '2026-11-29 21:47:06.468421+00'),
	('day', 'checkout', 1, '2026-11-30 00:00:00+00', 'claude-sonnet-4-5', false, 0, 4, 2, 4, 4, 546, 4, 454, 4, 92, NULL, NULL, 3, 1740, 490, 670, '("{285,293,300}","{1,1,1}")', 0, NULL, 1, 0.5, '2026-11-30 01:08:57.544173+00'),
	('day', 'checkout', 2, '2026-11-30 00:00:00+00', 'claude-sonnet-4-5', true, 0, 1, 0, 1, 1, 151, 1, 126, 1, 25, NULL, NULL, 1, 660, 660, 660, '({299},{1})', 0, NULL, 0, NULL, '2026-11-30 01:08:57.524322+00'),
	('day', 'support', 1, '2026-11-29 00:00:00+00', NULL, false, 0, 4, 0, 1, 1, 118, 1, 104, 1, 14, NULL, NULL, 4, 0.004587000148603693, 0.000490999809699133, 0.001823000275180675, '("{-320,-305,-292}","{2,1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.685339+00'),
	('day', 'checkout', 1, '2026-11-30 00:00:00+00', 'claude-sonnet-4-5', true, 0, 25, 3, 25, 25, 3423, 25, 2855, 25, 568, NULL, NULL, 20, 10800, 410, 690, '("{277,278,279,281,283,284,285,287,288,289,290,292,294,296,297,298,301}","{1,1,1,1,1,1,1,1,1,1,1,2,1,2,1,1,2}")', 0, NULL, 7, 3.5, '2026-11-30 01:08:57.59634+00'),
	('all', 'checkout', 2, '-infinity', 'claude-sonnet-4-5', true, 0, 1, 0, 1, 1, 151, 1, 126, 1, 25, NULL, NULL, 1, 660, 660, 660, '({299},{1})', 0, NULL, 0, NULL, '2026-11-30 01:08:57.524322+00'),
	('hour', 'support', 3, '2026-11-29 21:00:00+00', NULL, true, 0, 3, 0, 2, 2, 246, 2, 213, 2, 33, NULL, NULL, 3, 0.0011919996723008808, 0.000279999767371919, 0.0005110000529384706, '({-320},{3})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.685335+00'),
	('all', 'support', 1, '-infinity', NULL, false, 0, 4, 0, 1, 1, 118, 1, 104, 1, 14, NULL, NULL, 4, 0.004587000148603693, 0.000490999809699133, 0.001823000275180675, '("{-320,-305,-292}","{2,1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.685339+00'),
	('hour', 'support', 1, '2026-11-29 21:00:00+00', NULL, false, 0, 4, 0, 1, 1, 118, 1, 104, 1, 14, NULL, NULL, 4, 0.004587000148603693, 0.000490999809699133, 0.001823000275180675, '("{-320,-305,-292}","{2,1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.685339+00'),
	('all', 'checkout', 1, '-infinity', 'claude-sonnet-4-5', true, 0, 25, 3, 25, 25, 3423, 25, 2855, 25, 568, NULL, NULL, 20, 10800, 410, 690, '("{277,278,279,281,283,284,285,287,288,289,290,292,294,296,297,298,301}","{1,1,1,1,1,1,1,1,1,1,1,2,1,2,1,1,2}")', 0, NULL, 7, 3.5, '2026-11-30 01:08:57.59634+00'),
	('hour', 'checkout', 1, '2026-11-30 01:00:00+00', 'claude-sonnet-4-5', false, 0, 4, 2, 4, 4, 546, 4, 454, 4, 92, NULL, NULL, 3, 1740, 490, 670, '("{285,293,300}","{1,1,1}")', 0, NULL, 1, 0.5, '2026-11-30 01:08:57.544173+00'),
	('hour', 'checkout', 2, '2026-11-30 01:00:00+00', 'claude-sonnet-4-5', true, 0, 1, 0, 1, 1, 151, 1, 126, 1, 25, NULL, NULL, 1, 660, 660, 660, '({299},{1})', 0, NULL, 0, NULL, '2026-11-30 01:08:57.524322+00'),
	('hour', 'checkout', 1, '2026-11-30 01:00:00+00', 'claude-sonnet-4-5', true, 0, 25, 3, 25, 25, 3423, 25, 2855, 25, 568, NULL, NULL, 20, 10800, 410, 690, '("{277,278,279,281,283,284,285,287,288,289,290,292,294,296,297,298,301}","{1,1,1,1,1,1,1,1,1,1,1,2,1,2,1,1,2}")', 0, NULL, 7, 3.5, '2026-11-30 01:08:57.59634+00'),
	('all', 'checkout', 1, '-infinity', 'claude-sonnet-4-5', false, 0, 4, 2, 4, 4, 546, 4, 454, 4, 92, NULL, NULL, 3, 1740, 490, 670, '("{285,293,300}","{1,1,1}")', 0, NULL, 1, 0.5, '2026-11-30 01:08:57.544173+00'),
	('day', 'support', 3, '2026-11-29 00:00:00+00', NULL, true, 0, 3, 0, 2, 2, 246, 2, 213, 2, 33, NULL, NULL, 3, 0.0011919996723008808, 0.000279999767371919, 0.0005110000529384706, '({-320},{3})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.685335+00'),
	('day', 'support', 1, '2026-11-29 00:00:00+00', NULL, true, 0, 14, 0, 4, 4, 480, 4, 420, 4, 60, NULL, NULL, 14, 0.012298000910959672, 0.00017999991541728377, 0.0044660000639851205, '("{-320,-293,-276,-250}","{11,1,1,1}")', 0, NULL, 2, 0.75, '2026-11-29 21:47:06.685343+00'),
	('all', 'support', 1, '-infinity', NULL, true, 0, 14, 0, 4, 4, 480, 4, 420, 4, 60, NULL, NULL, 14, 0.012298000910959672, 0.00017999991541728377, 0.0044660000639851205, '("{-320,-293,-276,-250}","{11,1,1,1}")', 0, NULL, 2, 0.75, '2026-11-29 21:47:06.685343+00'),
	('hour', 'support', 1, '2026-11-29 21:00:00+00', NULL, true, 0, 14, 0, 4, 4, 480, 4, 420, 4, 60, NULL, NULL, 14, 0.012298000910959672, 0.00017999991541728377, 0.0044660000639851205, '("{-320,-293,-276,-250}","{11,1,1,1}")', 0, NULL, 2, 0.75, '2026-11-29 21:47:06.685343+00');

INSERT INTO promptctl.uses VALUES
	('01a22946-a95d-73aa-be7c-100600000001', 'support', 1, 5, 9678, NULL, NULL, NULL, 0.0017819997992774006, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468242+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000002', 'support', 1, 5, 3098, 'claude-sonnet-4-5', 101, 11, 0.00446700005340972, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468287+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000003', 'support', 1, 5, 6341, 'claude-sonnet-4-5', 102, 12, 0.001362000148219522, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468296+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000004', 'support', 1, 5, 7976, NULL, NULL, NULL, 0.0003210002432751935, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468301+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000005', 'support', 1, 5, 3483, 'claude-sonnet-4-5', 104, 14, 0.002222999682999216, 'overloaded_error', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468308+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000006', 'support', 3, 5, 1881, 'claude-sonnet-4-5', 105, 15, 0.0007209996510937344, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468313+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000007', 'support', 1, 5, 6825, NULL, NULL, NULL, 0.00025000008463393897, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468317+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000008', 'support', 1, 5, 9267, 'claude-sonnet-4-5', 107, 17, 0.001942999915627297, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468329+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000009', 'support', 3, 5, 146, 'claude-sonnet-4-5', 108, 18, 0.0010310000106983352, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468339+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000000a', 'support', 1, 5, 7995, NULL, NULL, NULL, 0.0009110003702517133, 'overloaded_error', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468344+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000000b', 'support', 1, 5, 8651, 'claude-sonnet-4-5', 110, 20, 0.0007710000318184029, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468349+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000000c', 'support', 3, 5, 1866, 'claude-sonnet-4-5', 111, 21, 0.002013000084843952, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468355+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000000d', 'support', 3, 5, 1805, NULL, NULL, NULL, 0.000279999767371919, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468359+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000000e', 'support', 1, 5, 7970, 'claude-sonnet-4-5', 113, 23, 0.0007809999260643963, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468363+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000000f', 'support', 1, 5, 7469, 'claude-sonnet-4-5', 114, 24, 0.0008419997357123066, 'overloaded_error', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468367+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000010', 'support', 1, 5, 6795, NULL, NULL, NULL, 0.00017999991541728377, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.46837+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000011', 'support', 1, 5, 4531, 'claude-sonnet-4-5', 116, 26, 0.0005599999894911889, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468373+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000012', 'support', 3, 5, 2227, 'claude-sonnet-4-5', 117, 27, 0.0004309999894758221, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468377+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000013', 'support', 1, 5, 7843, NULL, NULL, NULL, 0.0002710003172978759, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.46838+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000014', 'support', 3, 5, 1363, 'claude-sonnet-4-5', 119, 29, 0.0006010000106471125, 'overloaded_error', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468388+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000015', 'support', 3, 5, 1063, 'claude-sonnet-4-5', 120, 30, 0.00038999996831989847, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468392+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000016', 'support', 1, 5, 9334, NULL, NULL, NULL, 0.0001809999048418831, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468394+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000017', 'support', 1, 5, 9463, 'claude-sonnet-4-5', 122, 32, 0.0003800000740739051, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468398+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000018', 'support', 1, 5, 9522, 'claude-sonnet-4-5', 123, 33, 0.00041000021155923605, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468401+00', 1359),
	('01a22946-a95d-73aa-be7c-100600000019', 'support', 1, 5, 2576, NULL, NULL, NULL, 0.000490999809699133, 'overloaded_error', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468409+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000001a', 'support', 1, 5, 2648, 'claude-sonnet-4-5', 125, 35, 0.000520999947184464, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468417+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000001b', 'support', 1, 5, 7935, 'claude-sonnet-4-5', 126, 36, 0.0003699997250805609, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468421+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000001c', 'support', 1, 5, 9137, NULL, NULL, NULL, 0.00018000037016463466, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468424+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000001d', 'support', 3, 5, 1607, 'claude-sonnet-4-5', 128, 38, 0.0005000001692678779, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468427+00', 1359),
	('01a22946-a95d-73aa-be7c-10060000001e', 'support', 3, 5, 2160, 'claude-sonnet-4-5', 129, 39, 0.0006109999048931058, 'overloaded_error', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468431+00', 1359),
	('01a22946-a95e-73aa-be7c-10060000001f', 'vip', 1, 1, 1700, NULL, NULL, NULL, 0.0004000003173132427, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468563+00', 1359),
	('01a22946-a95e-73aa-be7c-100600000020', 'vip', 1, 1, 5464, 'claude-sonnet-4-5', 101, 11, 0.0008110000635497272, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468579+00', 1359),
	('01a22946-a95e-73aa-be7c-100600000021', 'vip', 1, 1, 1040, 'claude-sonnet-4-5', 102, 12, 0.0006310001481324434, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468591+00', 1359),
	('01a22946-a95e-73aa-be7c-100600000022', 'vip', 1, 1, 8517, NULL, NULL, NULL, 0.0003500003913359251, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.468602+00', 1359),
	('01a22946-a95e-73aa-be7c-100600000023', 'greeting', 1, 3, NULL, NULL, 5, NULL, 0.0022729996089765336, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.46909+00', 1359),
	('01a22946-aa39-73aa-be7c-100600000025', 'support', 1, 5, 9678, NULL, NULL, NULL, 0.0044660000639851205, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685248+00', 1363),
	('01a22946-aa39-73aa-be7c-100600000026', 'support', 1, 5, 3098, NULL, 101, 11, 0.0025529998310958035, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685299+00', 1363),
	('01a22946-aa39-73aa-be7c-100600000027', 'support', 1, 5, 6341, NULL, 102, 12, 0.000681000074109761, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685305+00', 1363),
	('01a22946-aa39-73aa-be7c-100600000028', 'support', 1, 5, 7976, NULL, NULL, NULL, 0.00027000032787327655, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.68531+00', 1363),
	('01a22946-aa39-73aa-be7c-100600000029', 'support', 1, 5, 3483, NULL, 104, 14, 0.001823000275180675, 'overloaded_error', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685314+00', 1363),
	('01a22946-aa39-73aa-be7c-10060000002a', 'support', 3, 5, 1881, NULL, 105, 15, 0.0005110000529384706, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685318+00', 1363),
	('01a22946-aa39-73aa-be7c-10060000002b', 'support', 1, 5, 6825, NULL, NULL, NULL, 0.00021100004232721403, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685322+00', 1363),
	('01a22946-aa39-73aa-be7c-10060000002c', 'support', 1, 5, 9267, NULL, 107, 17, 0.0005609999789157882, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685331+00', 1363),
	('01a22946-aa39-73aa-be7c-10060000002d', 'support', 3, 5, 146, NULL, 108, 18, 0.00040099985199049115, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685335+00', 1363),
	('01a22946-aa39-73aa-be7c-10060000002e', 'support', 1, 5, 7995, NULL, NULL, NULL, 0.0013619996934721712, 'overloaded_error', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685339+00', 1363),
	('01a22946-aa39-73aa-be7c-10060000002f', 'support', 1, 5, 8651, NULL, 110, 20, 0.0003909999577444978, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685343+00', 1363),
	('01a229ff-742e-7a8e-a9ee-f7383a0dc454', 'checkout', 1, 2, NULL, 'claude-sonnet-4-5', 100, 20, NULL, 'TimeoutError', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.008015+00', 4095),
	('01a229ff-7441-7cb3-96e9-89ad200603dc', 'checkout', 1, 2, 4209, 'claude-sonnet-4-5', 101, 21, 410, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.027564+00', 4096),
	('01a229ff-745a-76e9-843a-4c9603a0d21a', 'checkout', 1, 2, 9682, 'claude-sonnet-4-5', 102, 22, 420, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.052222+00', 4097),
	('01a229ff-7469-7654-adb7-39d898a26bf0', 'checkout', 1, 2, 6136, 'claude-sonnet-4-5', 103, 23, 430, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.072238+00', 4098),
	('01a229ff-7480-7404-ab8d-814d01b35b0e', 'checkout', 1, 2, 7832, 'claude-sonnet-4-5', 104, 24, 440, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.092763+00', 4099),
	('01a229ff-7496-7541-8fa8-0c9fb1a0c840', 'checkout', 1, 2, 4153, 'claude-sonnet-4-5', 105, 25, NULL, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.113634+00', 4100),
	('01a229ff-74af-7041-adb3-bd0dbabfcb7f', 'checkout', 1, 2, NULL, 'claude-sonnet-4-5', 106, 26, 460, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.136869+00', 4101),
	('01a229ff-74c1-7145-9163-a597492f7c97', 'checkout', 1, 2, 9760, 'claude-sonnet-4-5', 107, 20, 470, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.155163+00', 4102),
	('01a229ff-74d3-7249-b577-0eae952b6a8c', 'checkout', 1, 2, 7008, 'claude-sonnet-4-5', 108, 21, 480, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.173122+00', 4103),
	('01a229ff-74e1-7eb4-ba29-2c1ba8eb7cce', 'checkout', 1, 2, 2792, 'claude-sonnet-4-5', 109, 22, 490, 'TimeoutError', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.18735+00', 4104),
	('01a229ff-74f9-7d5c-a6a0-c6ef02abc41a', 'checkout', 1, 2, 2548, 'claude-sonnet-4-5', 110, 23, NULL, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.211655+00', 4105),
	('01a229ff-7509-7c76-bb84-4de85f82c3ee', 'checkout', 1, 2, 6225, 'claude-sonnet-4-5', 111, 24, 510, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.227438+00', 4106),
	('01a229ff-751e-7441-9426-b146a904e86e', 'checkout', 1, 2, NULL, 'claude-sonnet-4-5', 112, 25, 520, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.251131+00', 4107),
	('01a229ff-752c-7801-b0bf-bf16a6eafa1f', 'checkout', 1, 2, 4178, 'claude-sonnet-4-5', 113, 26, 530, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.262236+00', 4108),
	('01a229ff-753e-728f-b0ef-a4a3e499a432', 'checkout', 1, 2, 3224, 'claude-sonnet-4-5', 114, 20, 540, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.279806+00', 4109),
	('01a229ff-7558-7581-a3c7-6c18000c07c8', 'checkout', 1, 2, 3086, 'claude-sonnet-4-5', 115, 21, NULL, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.306637+00', 4110),
	('01a229ff-756a-7008-b478-3e39a5fc466e', 'checkout', 1, 2, 4217, 'claude-sonnet-4-5', 116, 22, 560, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.324071+00', 4111),
	('01a229ff-7582-7977-937e-6d600761c191', 'checkout', 1, 2, 8617, 'claude-sonnet-4-5', 117, 23, 570, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.348418+00', 4112),
	('01a229ff-758f-707c-92c9-bf76e23c5eaa', 'checkout', 1, 2, NULL, 'claude-sonnet-4-5', 118, 24, 580, 'TimeoutError', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.365624+00', 4113),
	('01a229ff-75a6-7b6d-91e3-08ed04a3bf91', 'checkout', 1, 2, 1176, 'claude-sonnet-4-5', 119, 25, 590, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.384351+00', 4114),
	('01a229ff-75b4-7dbf-b55e-b2cb20a1cc4f', 'checkout', 1, 2, 8214, 'claude-sonnet-4-5', 120, 26, NULL, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.402098+00', 4115),
	('01a229ff-75c6-780b-ade2-7e42adfc1df4', 'checkout', 1, 2, 4775, 'claude-sonnet-4-5', 121, 20, 610, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.416388+00', 4116),
	('01a229ff-75d6-7e10-84fa-fa9a73f5a257', 'checkout', 1, 2, 3355, 'claude-sonnet-4-5', 122, 21, 620, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.432288+00', 4117),
	('01a229ff-75f2-7737-b58c-5f4b37d4a03c', 'checkout', 1, 2, 5113, 'claude-sonnet-4-5', 123, 22, 630, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.460489+00', 4118),
	('01a229ff-7606-7a65-8cd2-533ea52bdef5', 'checkout', 1, 2, NULL, 'claude-sonnet-4-5', 124, 23, 640, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.479876+00', 4119),
	('01a229ff-761a-71d7-a344-af64ecf40ed4', 'checkout', 1, 2, 5019, 'claude-sonnet-4-5', 125, 24, NULL, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.50031+00', 4120),
	('01a229ff-7632-7d46-a493-ca1574445d7a', 'checkout', 2, 2, 433, 'claude-sonnet-4-5', 126, 25, 660, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.524322+00', 4121),
	('01a229ff-7646-74af-b83e-dec0b524e805', 'checkout', 1, 2, 8127, 'claude-sonnet-4-5', 127, 26, 670, 'TimeoutError', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.544173+00', 4122),
	('01a229ff-765e-78e9-964c-eb4df207c242', 'checkout', 1, 2, 8638, 'claude-sonnet-4-5', 128, 20, 680, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.570545+00', 4123),
	('01a229ff-767a-7c71-b9e0-5fb1459cb302', 'checkout', 1, 2, 8553, 'claude-sonnet-4-5', 129, 21, 690, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.59634+00', 4124),
	('01a229ff-76aa-7ca9-824f-16df3dc83650', 'checkout', 1, 3, NULL, 'claude-sonnet-4-5', 130, 22, NULL, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.644058+00', 4128),
	('01a229ff-76b6-718b-9814-563aeb94e904', 'checkout', 1, 3, 5886, 'claude-sonnet-4-5', 131, 23, 710, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.656841+00', 4129),
	('01a229ff-76ca-7882-8bd5-227a33c9c2d0', 'checkout', 2, 3, 1618, 'claude-sonnet-4-5', 132, 24, 720, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.676452+00', 4130),
	('01a229ff-76e2-7b31-9f2b-0f5f9a7421e3', 'checkout', 1, 3, 7847, 'claude-sonnet-4-5', 133, 25, 730, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.7006+00', 4131),
	('01a229ff-76f7-7407-b9ef-b11b11fe6b07', 'checkout', 1, 3, 2629, 'claude-sonnet-4-5', 134, 26, 740, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.720886+00', 4132),
	('01a229ff-770a-7f1e-8a2d-d2d16391f431', 'checkout', 1, 3, 4469, 'claude-sonnet-4-5', 135, 20, NULL, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.740491+00', 4133),
	('01a229ff-771e-7cec-955a-9ef23f40e81c', 'checkout', 1, 3, NULL, 'claude-sonnet-4-5', 136, 21, 760, 'TimeoutError', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.759842+00', 4134),
	('01a229ff-772e-7743-a604-eedb4672946c', 'checkout', 1, 3, 7302, 'claude-sonnet-4-5', 137, 22, 770, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.776365+00', 4135),
	('01a229ff-7740-7538-8f37-a52f29355088', 'checkout', 1, 3, 3417, 'claude-sonnet-4-5', 138, 23, 780, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.799218+00', 4136),
	('01a229ff-7752-7007-8418-a0c641ea909c', 'checkout', 1, 3, 9328, 'claude-sonnet-4-5', 139, 24, 790, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.812392+00', 4137),
	('01a229ff-7764-7267-a887-23c9fc129e59', 'checkout', 1, 3, 4625, 'claude-sonnet-4-5', 140, 25, NULL, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.830652+00', 4138),
	('01a229ff-7778-708a-a719-f99d9b908d5c', 'checkout', 2, 3, 1870, 'claude-sonnet-4-5', 141, 26, 810, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.850605+00', 4139),
	('01a229ff-778e-76db-97e2-135d902db3d6', 'checkout', 1, 3, NULL, 'claude-sonnet-4-5', 142, 20, 820, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.872449+00', 4140),
	('01a229ff-77a2-7992-88c0-3107b9ec25c3', 'checkout', 2, 3, 1228, 'claude-sonnet-4-5', 143, 21, 830, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.892162+00', 4141),
	('01a229ff-77af-7064-8f23-df499ea6fb16', 'checkout', 1, 3, 7831, 'claude-sonnet-4-5', 144, 22, 840, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.90507+00', 4142),
	('01a229ff-77ca-753c-903b-9176a1218344', 'checkout', 1, 3, 2805, 'claude-sonnet-4-5', 145, 23, NULL, 'TimeoutError', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.932866+00', 4143),
	('01a229ff-77e5-7743-a73e-bf13a6044f4c', 'checkout', 1, 3, 4293, 'claude-sonnet-4-5', 146, 24, 860, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.958828+00', 4144),
	('01a229ff-77f6-7c1d-b094-aa05139c75d5', 'checkout', 2, 3, 1121, 'claude-sonnet-4-5', 147, 25, 870, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.976167+00', 4145),
	('01a229ff-780a-7f90-9eb9-e6593c3bcf06', 'checkout', 1, 3, NULL, 'claude-sonnet-4-5', 148, 26, 880, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:57.996318+00', 4146),
	('01a229ff-781a-7dde-bf98-e4d5326a5d42', 'checkout', 1, 3, 3569, 'claude-sonnet-4-5', 149, 20, 890, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.012269+00', 4147),
	('01a229ff-7828-75d9-a93b-df55fc581fc8', 'checkout', 2, 3, 1543, 'claude-sonnet-4-5', 150, 21, NULL, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.026743+00', 4148),
	('01a229ff-783d-7d62-b49e-316f269eb245', 'checkout', 1, 3, 9243, 'claude-sonnet-4-5', 151, 22, 910, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.04708+00', 4149),
	('01a229ff-784c-7fcd-bc22-e24314ea6fa4', 'checkout', 1, 3, 5906, 'claude-sonnet-4-5', 152, 23, 920, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.066365+00', 4150),
	('01a229ff-7860-7f84-9250-096923516277', 'checkout', 2, 3, 2489, 'claude-sonnet-4-5', 153, 24, 930, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.083005+00', 4151);
INSERT INTO promptctl.uses VALUES
	('01a229ff-787a-7b02-8cb3-d9195c681ab8', 'checkout', 1, 3, NULL, 'claude-sonnet-4-5', 154, 25, 940, 'TimeoutError', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.107965+00', 4152),
	('01a229ff-7892-7ba4-a53f-1eecaf1a6f93', 'checkout', 1, 3, 7918, 'claude-sonnet-4-5', 155, 26, NULL, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.132274+00', 4153),
	('01a229ff-78a6-70f8-a2b3-79eebb105c50', 'checkout', 1, 3, 4140, 'claude-sonnet-4-5', 156, 20, 960, 'ok', 0.5, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.152872+00', 4154),
	('01a229ff-78b4-7275-9415-d8cf63226c59', 'checkout', 2, 3, 1643, 'claude-sonnet-4-5', 157, 21, 970, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.167036+00', 4155),
	('01a229ff-78ca-7c1e-b1a5-cefeb44a325d', 'checkout', 1, 3, 3165, 'claude-sonnet-4-5', 158, 22, 980, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.18869+00', 4156),
	('01a229ff-78dd-7008-a7ed-fb4779ee5859', 'checkout', 1, 3, 8160, 'claude-sonnet-4-5', 159, 23, 990, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 01:08:58.207015+00', 4157),
	('01a22ae6-06a1-7ea9-a54b-6b656e6b4be6', 'tour', 1, 2, 3351, 'claude-sonnet-5-5', 5, 5, 5, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-30 05:20:47.778255+00', 4125),
	('01a22b64-310f-7892-a2b5-688f42e51d6a', 'agent', 1, 1, 7739, 'claude-sonnet-4-5', 900, 40, 700, 'ok', NULL, 600, 100, 300, 'req_1', '2026-11-30 07:38:36.176562+00', 4125),
	('01a22b64-3116-707b-81c6-a1145d2f77c7', 'agent', 1, 1, 9463, 'claude-sonnet-4-5', 905, 41, 710, 'overloaded_error', NULL, NULL, NULL, NULL, NULL, '2026-11-30 07:38:36.183004+00', 4125);

INSERT INTO promptctl.versions VALUES
	('support', 1, '5434e4ab-659a-4456-a9f9-7b1fe0b1d7ba', 'Answer {user.name} politely.', '\xc98ed7b6b0c106461443ebfef6b6c703a84da9ef50e14f1dfd9c255459499746', '{}', '{"description": "first"}', '2026-11-29 21:47:00.948944+00', 'ada@example.com', 'schema_owner', '{user.name}', '{user.name}', NULL, NULL, NULL, DEFAULT, NULL),
	('support', 2, '8615a263-e42d-4f19-8bfd-3db1a53c9722', 'Answer {user.name} briefly.', '\x87295f52fa2c4da710ecd70ff606d3ba99c8554360269041f68a319d706e13f7', '{"model": "claude-sonnet-4-5", "variables": {"user.name": {"default": "friend"}}, "max_tokens": 500}', '{}', '2026-11-29 21:47:01.173325+00', 'ada@example.com', 'schema_owner', '{user.name}', '{}', NULL, NULL, NULL, DEFAULT, NULL),
	('support', 3, 'e2ff15a5-9cd4-4fa3-b20f-ca2c16fe5d22', 'Answer {user.name} at length.', '\x14aa589f99ea55982d69e59eee1c894cde33b3aeabf6ce6cc9e69c1fbeddfd88', '{}', '{}', '2026-11-29 21:47:01.432191+00', 'ada@example.com', 'schema_owner', '{user.name}', '{user.name}', NULL, NULL, NULL, DEFAULT, NULL),
	('support', 4, 'b315e182-d83d-4693-a165-1c138544c4e4', 'A text that was a mistake, for {user.name}.', '\xc59a960b0682826f34c9354d2123121edd49976b7fd18bd72eeaf2e990d88875', '{}', '{}', '2026-11-29 21:47:01.723373+00', 'ada@example.com', 'schema_owner', '{user.name}', '{user.name}', NULL, NULL, '2026-11-29 21:47:01.889722+00', DEFAULT, NULL),
	('plain', 1, '74a46954-0b11-40f9-9b31-85dae08e0615', 'No {variables} here: $ awk ''{print $1}''', '\x631236524fb20b71d2ce37721d7a5b61b8905f9f2cb1e78b0aa3cf5f083a3b2f', '{"template": "none"}', '{}', '2026-11-29 21:47:03.502144+00', 'ada@example.com', 'schema_owner', '{}', '{}', NULL, NULL, NULL, DEFAULT, NULL),
	('vip', 1, 'b819d537-c3a6-4341-93e1-2eec9ef23c6c', 'Dear {name}.', '\x5a33e4927ff4f8795a84101a8b6aab7fcc9b94fa505bf07a5c16b082963651ad', '{}', '{}', '2026-11-29 21:47:03.741313+00', 'ada@example.com', 'operator_login', '{name}', '{name}', NULL, NULL, NULL, DEFAULT, NULL),
	('greeting', 1, 'a7e66555-277b-44a3-bd31-f3b91fd8ffc4', 'Hello {name}.
', '\xce7dfa8bb9666ce29bb0aecf292a405804e895736e5b2600fe768e4884d2eb03', '{}', '{}', '2026-11-29 21:47:04.781277+00', 'ada@example.com', 'schema_owner', '{name}', '{name}', '{"path": "prompts/greeting/v1.txt", "dirty": false, "author": "ada@example.com", "commit": "e917b4bac1d8a2c69a2b3df613eabe5492ecd332", "repository": "git.example.com/shop/prompts"}', 1, NULL, DEFAULT, NULL),
	('shop/checkout', 1, 'ca6f38a0-8668-49bd-bdc2-d6354ad4eede', 'Sell {{item}}.
', '\x4aed40dbef4d49956e4d371d02d33dfdcc20e9fc0798cd0dc625f512d2bad774', '{"template": "mustache"}', '{}', '2026-11-29 21:47:04.781277+00', 'ada@example.com', 'schema_owner', '{item}', '{item}', '{"path": "prompts/shop/checkout/v1.txt", "dirty": false, "author": "ada@example.com", "commit": "e917b4bac1d8a2c69a2b3df613eabe5492ecd332", "repository": "git.example.com/shop/prompts"}', 1, NULL, DEFAULT, NULL),
	('greeting', 2, 'f08f1b86-83d4-49e3-ad0d-f8abec503dd5', 'Good day, {name}.
', '\x34236d3c3751be2e0113936710bc00808f342021e73b8b135989d2d853fa5c6e', '{}', '{}', '2026-11-29 21:47:05.235731+00', 'ada@example.com', 'schema_owner', '{name}', '{name}', '{"path": "prompts/greeting/v2.txt", "dirty": false, "author": "ada@example.com", "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', 2, NULL, DEFAULT, NULL),
	('shop/checkout', 2, 'e3946bc7-4045-4faa-a3d1-278be8afd560', 'Sell {{item}} for {{price}}.
', '\x24340a4c14ae0d4072b082467f3d86d37d4e4f78c662dba079abc21ea9a3d195', '{"template": "mustache"}', '{}', '2026-11-29 21:47:05.235731+00', 'ada@example.com', 'schema_owner', '{item,price}', '{item,price}', '{"path": "prompts/shop/checkout/v2.txt", "dirty": false, "author": "ada@example.com", "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', 2, NULL, DEFAULT, NULL),
	('shell', 1, '469e16fd-cbda-4532-9914-e5403a07acb3', 'Run ${HOME}/bin and git stash@{0}, then \frac{a}{b}. Hello {name}.', '\xcf8b8c073d5ed46671f3b689515d975aca3587eb92e995008db3aa6af52f3a8b', '{}', '{}', '2026-11-29 21:47:03.220603+00', 'ada@example.com', 'schema_owner', '{name}', '{name}', NULL, NULL, NULL, DEFAULT, NULL),
	('checkout', 1, 'b77de056-b02e-43a5-b265-e506b811e689', 'Be short.', '\x815fa947e71551c5fefb89ea26ab23a35717f96473cb6a6e513ae828fcaeac0a', '{"model": "claude-sonnet-4-5"}', '{}', '2026-11-30 01:08:56.761515+00', 'operator_login', 'operator_login', '{}', '{}', NULL, NULL, NULL, DEFAULT, NULL),
	('checkout', 2, 'a773b377-2e8c-44df-b23c-be43964ffa75', 'Be very short.', '\x575eeecffe104cabf53734ce659efc95fad033591935b805b6833baf598217bc', '{}', '{}', '2026-11-30 01:08:56.761515+00', 'operator_login', 'operator_login', '{}', '{}', NULL, NULL, NULL, DEFAULT, NULL),
	('tour', 1, '9e0e4863-6eab-416e-861a-b8e3aaedadf8', 'Guide {visitor} {tone}.', '\xb867b786dd51160502c03fa034a05d8535f245fbfb4f8e05fdda7cb9b0d94026', '{"model": "claude-sonnet-5-5", "variables": {"tone": {"default": "kindly"}}, "max_tokens": 500}', '{}', '2026-11-30 05:20:47.659106+00', 'schema_owner', 'schema_owner', '{visitor,tone}', '{visitor}', NULL, NULL, NULL, DEFAULT, NULL),
	('tour', 2, '9a23e8d7-07c3-4710-87ef-2885d94a0d5f', 'Guide {visitor} briefly.', '\x9ba31bcbfd27f500fb9bf77674a2fb782e127bbe6c11cb49339a6dd8ec9321e9', '{"model": "claude-sonnet-5-5"}', '{}', '2026-11-30 05:20:47.707682+00', 'schema_owner', 'schema_owner', '{visitor}', '{visitor}', NULL, NULL, NULL, DEFAULT, NULL),
	('agent', 1, '0bc3109c-74b0-43ac-9ac6-c47ffe469647', 'Answer {user}.', '\xd6870addb0c9aa9b5b02216bae71be2d993bcb0ee1ff316371ba7a3ad792f7db', '{"cache": "1h", "model": "claude-sonnet-4-5", "request": "{\"tools\": [{\"name\": \"find\", \"input_schema\": {\"type\": \"object\"}}], \"messages\": [{\"role\": \"user\", \"content\": \"For {order}\"}, {\"role\": \"assistant\", \"content\": [{\"text\": \"Yes.\", \"type\": \"text\"}]}], \"thinking\": {\"type\": \"adaptive\"}}", "max_tokens": 500}', '{}', '2026-11-30 07:38:36.109497+00', 'ada', 'schema_owner', '{user,order}', '{user,order}', NULL, NULL, NULL, DEFAULT, NULL),
	('agent', 2, '23111d0f-db69-4e03-bf4c-78748e13f620', 'Answer {user} briefly.', '\x7eee0f10def9090d2cf4e1f4e28240c899ecb5c978d2e1947f6e87bf655557a8', '{"model": "claude-sonnet-4-5", "request": "{\"messages\": [{\"role\": \"user\", \"content\": \"For {order}\"}]}", "max_tokens": 500}', '{}', '2026-11-30 07:38:36.169617+00', 'ada', 'schema_owner', '{user,order}', '{user,order}', NULL, NULL, NULL, DEFAULT, NULL);

SELECT pg_catalog.setval('promptctl.corrections_id_seq', 1, true);

SELECT pg_catalog.setval('promptctl.releases_release_seq', 2, true);

SELECT pg_catalog.setval('promptctl.rollouts_rollout_seq', 1, true);

SELECT pg_catalog.setval('promptctl.test_runs_run_seq', 2, true);

ALTER TABLE ONLY promptctl.test_batches
    ADD CONSTRAINT a_batch_is_stored_once PRIMARY KEY (id);

COMMENT ON CONSTRAINT a_batch_is_stored_once ON promptctl.test_batches IS 'Claude gives each batch its own id.';

ALTER DOMAIN promptctl.use_bucket
    ADD CONSTRAINT a_bucket_is_between_0_and_9999 CHECK (((VALUE >= 0) AND (VALUE <= 9999))) NOT VALID;

COMMENT ON CONSTRAINT a_bucket_is_between_0_and_9999 ON DOMAIN promptctl.use_bucket IS 'The range of the function promptctl.bucket.';

ALTER TABLE ONLY promptctl.test_cases
    ADD CONSTRAINT a_case_is_stored_once PRIMARY KEY (hash);

COMMENT ON CONSTRAINT a_case_is_stored_once ON promptctl.test_cases IS 'Prompts and runs share equal cases.';

ALTER TABLE ONLY promptctl.prompt_cases
    ADD CONSTRAINT a_case_of_a_prompt_has_one_place PRIMARY KEY (name, place);

COMMENT ON CONSTRAINT a_case_of_a_prompt_has_one_place ON promptctl.prompt_cases IS 'Cases are in a line.';

ALTER TABLE ONLY promptctl.test_run_cases
    ADD CONSTRAINT a_case_of_a_run_has_one_place PRIMARY KEY (run, place);

COMMENT ON CONSTRAINT a_case_of_a_run_has_one_place ON promptctl.test_run_cases IS 'Cases are in a line.';

ALTER TABLE ONLY promptctl.corrections
    ADD CONSTRAINT a_correction_number_is_unique PRIMARY KEY (id);

COMMENT ON CONSTRAINT a_correction_number_is_unique ON promptctl.corrections IS 'Numbers are in the order of the corrections.';

ALTER TABLE ONLY promptctl.test_failures
    ADD CONSTRAINT a_failure_of_a_case_has_one_place PRIMARY KEY (run, place, failure_place);

COMMENT ON CONSTRAINT a_failure_of_a_case_has_one_place ON promptctl.test_failures IS 'Failures are in a line.';

ALTER DOMAIN promptctl.fallback_name
    ADD CONSTRAINT a_fallback_has_a_valid_name CHECK ((VALUE ~ '^[A-Za-z0-9._/~-]{1,200}$'::text)) NOT VALID;

COMMENT ON CONSTRAINT a_fallback_has_a_valid_name ON DOMAIN promptctl.fallback_name IS 'The characters of a prompt''s name, and the ~ with which record_fallbacks replaces others.';

ALTER TABLE ONLY promptctl.fallbacks
    ADD CONSTRAINT a_fallback_is_recorded_once PRIMARY KEY (id);

COMMENT ON CONSTRAINT a_fallback_is_recorded_once ON promptctl.fallbacks IS 'A call that is sent twice with one id is stored once.';

ALTER TABLE ONLY promptctl.test_judgements
    ADD CONSTRAINT a_judging_key_judges_a_reply_once PRIMARY KEY (reply_id, judging_key, model);

COMMENT ON CONSTRAINT a_judging_key_judges_a_reply_once ON promptctl.test_judgements IS 'Of two runs that judge one reply with one model at the same time, the first one''s judgement is kept.';

ALTER TABLE ONLY promptctl.rollout_looks
    ADD CONSTRAINT a_look_has_one_row_per_metric PRIMARY KEY (rollout, looked_at, metric);

COMMENT ON CONSTRAINT a_look_has_one_row_per_metric ON promptctl.rollout_looks IS 'A tick looks at each guard once.';

ALTER TABLE ONLY promptctl.versions
    ADD CONSTRAINT a_number_is_used_once_in_a_prompt PRIMARY KEY (name, version);

COMMENT ON CONSTRAINT a_number_is_used_once_in_a_prompt ON promptctl.versions IS 'NAME@VERSION always means the same text.';

ALTER TABLE ONLY promptctl.applied
    ADD CONSTRAINT a_prompt_comes_from_one_source PRIMARY KEY (name);

COMMENT ON CONSTRAINT a_prompt_comes_from_one_source ON promptctl.applied IS 'Two sources would undo each other''s changes.';

ALTER TABLE ONLY promptctl.prompt_tests
    ADD CONSTRAINT a_prompt_has_one_list_of_cases PRIMARY KEY (name);

COMMENT ON CONSTRAINT a_prompt_has_one_list_of_cases ON promptctl.prompt_tests IS 'The rows of prompt_cases are its cases. Two sessions that set them wait for each other here.';

ALTER TABLE ONLY promptctl.served
    ADD CONSTRAINT a_prompt_has_one_row PRIMARY KEY (name);

COMMENT ON CONSTRAINT a_prompt_has_one_row ON promptctl.served IS 'A prompt has at most one active version, because there is one place to store it.';

ALTER DOMAIN promptctl.reason_text
    ADD CONSTRAINT a_reason_has_at_most_2000_characters CHECK ((length(VALUE) <= 2000)) NOT VALID;

COMMENT ON CONSTRAINT a_reason_has_at_most_2000_characters ON DOMAIN promptctl.reason_text IS 'Some paragraphs. Functions cut longer reasons.';

ALTER TABLE ONLY promptctl.releases
    ADD CONSTRAINT a_release_number_is_unique PRIMARY KEY (release);

COMMENT ON CONSTRAINT a_release_number_is_unique ON promptctl.releases IS 'Numbers increase and may have gaps.';

ALTER TABLE ONLY promptctl.test_replies
    ADD CONSTRAINT a_reply_is_stored_once PRIMARY KEY (id);

COMMENT ON CONSTRAINT a_reply_is_stored_once ON promptctl.test_replies IS 'A reply that is sent twice with one id is stored once.';

ALTER TABLE ONLY promptctl.roll_up
    ADD CONSTRAINT a_roll_up_has_one_watermark PRIMARY KEY (singleton);

COMMENT ON CONSTRAINT a_roll_up_has_one_watermark ON promptctl.roll_up IS 'Several watermarks could disagree.';

ALTER TABLE ONLY promptctl.rollouts
    ADD CONSTRAINT a_rollout_has_one_number PRIMARY KEY (rollout);

COMMENT ON CONSTRAINT a_rollout_has_one_number ON promptctl.rollouts IS 'History and events refer to it.';

ALTER TABLE ONLY promptctl.test_runs
    ADD CONSTRAINT a_run_has_one_number PRIMARY KEY (run);

COMMENT ON CONSTRAINT a_run_has_one_number ON promptctl.test_runs IS 'Replies and results refer to it.';

ALTER DOMAIN promptctl.score_number
    ADD CONSTRAINT a_score_is_a_number CHECK (((VALUE >= ('-1000000000'::numeric)::double precision) AND (VALUE <= ('1000000000'::numeric)::double precision))) NOT VALID;

COMMENT ON CONSTRAINT a_score_is_a_number ON DOMAIN promptctl.score_number IS 'One NaN would spoil every average. A score that is replaced is subtracted from a sum, which would be inexact for larger numbers.';

ALTER DOMAIN promptctl.seed_text
    ADD CONSTRAINT a_seed_has_at_most_300_characters CHECK ((length(VALUE) <= 300)) NOT VALID;

COMMENT ON CONSTRAINT a_seed_has_at_most_300_characters ON DOMAIN promptctl.seed_text IS 'The history stores a copy of each seed. A generated seed is a name of at most 200 characters and an epoch.';

ALTER DOMAIN promptctl.short_text
    ADD CONSTRAINT a_short_text_has_at_most_200_characters CHECK ((length(VALUE) <= 200)) NOT VALID;

COMMENT ON CONSTRAINT a_short_text_has_at_most_200_characters ON DOMAIN promptctl.short_text IS 'Longer texts could fill the disk, and a key must fit an index. Functions cut longer texts.';

ALTER TABLE ONLY promptctl.sources
    ADD CONSTRAINT a_source_has_one_row PRIMARY KEY (source);

COMMENT ON CONSTRAINT a_source_has_one_row ON promptctl.sources IS 'Only the last state is stored.';

ALTER TABLE ONLY promptctl.scores
    ADD CONSTRAINT a_use_has_one_score_per_place PRIMARY KEY (use_id, place);

COMMENT ON CONSTRAINT a_use_has_one_score_per_place ON promptctl.scores IS 'Of two scores that arrive at the same time, the second takes the next place.';

ALTER TABLE ONLY promptctl.uses
    ADD CONSTRAINT a_use_is_recorded_once PRIMARY KEY (id);

COMMENT ON CONSTRAINT a_use_is_recorded_once ON promptctl.uses IS 'A use that is sent twice with one id is stored once.';

ALTER DOMAIN promptctl.score_place
    ADD CONSTRAINT a_use_is_scored_at_most_100_times CHECK (((VALUE >= 1) AND (VALUE <= 100))) NOT VALID;

COMMENT ON CONSTRAINT a_use_is_scored_at_most_100_times ON DOMAIN promptctl.score_place IS 'Each score is a row until its use is dropped.';

ALTER TABLE ONLY promptctl.versions
    ADD CONSTRAINT a_version_has_one_archived_state UNIQUE (name, version, is_retired);

COMMENT ON CONSTRAINT a_version_has_one_archived_state ON promptctl.versions IS 'The foreign keys of the table served refer to it.';

ALTER TABLE ONLY promptctl.versions
    ADD CONSTRAINT a_version_id_is_unique UNIQUE (id);

COMMENT ON CONSTRAINT a_version_id_is_unique ON promptctl.versions IS 'An id identifies the same version as NAME@VERSION.';

ALTER TABLE ONLY promptctl.allocations
    ADD CONSTRAINT an_epoch_has_one_allocation PRIMARY KEY (name, epoch);

COMMENT ON CONSTRAINT an_epoch_has_one_allocation ON promptctl.allocations IS 'The history of a prompt is a line and not a tree.';

ALTER TABLE ONLY promptctl.rollout_events
    ADD CONSTRAINT an_event_of_a_rollout_has_one_place PRIMARY KEY (rollout, place);

COMMENT ON CONSTRAINT an_event_of_a_rollout_has_one_place ON promptctl.rollout_events IS 'Events are in a line.';

ALTER TABLE ONLY promptctl.installation
    ADD CONSTRAINT an_installation_is_recorded_once PRIMARY KEY (singleton);

COMMENT ON CONSTRAINT an_installation_is_recorded_once ON promptctl.installation IS 'A database has one promptctl schema.';

ALTER DOMAIN promptctl.origin_object
    ADD CONSTRAINT an_origin_has_at_most_100_kilobytes CHECK ((pg_column_size(VALUE) <= 100000)) NOT VALID;

COMMENT ON CONSTRAINT an_origin_has_at_most_100_kilobytes ON DOMAIN promptctl.origin_object IS 'The history stores a copy of each origin.';

ALTER DOMAIN promptctl.outcome_name
    ADD CONSTRAINT an_outcome_is_not_empty CHECK (((VALUE)::text <> ''::text)) NOT VALID;

COMMENT ON CONSTRAINT an_outcome_is_not_empty ON DOMAIN promptctl.outcome_name IS 'A call either succeeds or ends in an error that has a name.';

ALTER TABLE ONLY promptctl.bucket_totals
    ADD CONSTRAINT bucket_totals_have_one_row_per_group UNIQUE NULLS NOT DISTINCT (name, epoch, version, bucket, model, size);

COMMENT ON CONSTRAINT bucket_totals_have_one_row_per_group ON promptctl.bucket_totals IS 'A later roll-up adds to the same row.';

ALTER DOMAIN promptctl.use_epoch
    ADD CONSTRAINT the_epoch_of_a_use_is_not_negative CHECK ((VALUE >= 0)) NOT VALID;

COMMENT ON CONSTRAINT the_epoch_of_a_use_is_not_negative ON DOMAIN promptctl.use_epoch IS 'Epochs start at 0, before the first change of a prompt.';

ALTER TABLE ONLY promptctl.rollout_ticks
    ADD CONSTRAINT the_last_tick_of_a_rollout_has_one_row PRIMARY KEY (rollout);

COMMENT ON CONSTRAINT the_last_tick_of_a_rollout_has_one_row ON promptctl.rollout_ticks IS 'Only the last one is kept.';

ALTER TABLE ONLY promptctl.totals
    ADD CONSTRAINT totals_have_one_row_per_group UNIQUE NULLS NOT DISTINCT (grain, name, version, starts_at, model, is_ok, size);

COMMENT ON CONSTRAINT totals_have_one_row_per_group ON promptctl.totals IS 'A later roll-up adds to the same row.';

CREATE UNIQUE INDEX a_prompt_has_one_open_rollout ON promptctl.rollouts USING btree (name) WHERE (state = ANY (ARRAY['running'::text, 'paused'::text]));

COMMENT ON INDEX promptctl.a_prompt_has_one_open_rollout IS 'Two rollouts would set each other''s share.';

CREATE INDEX allocations_by_release ON promptctl.allocations USING btree (release) WHERE (release IS NOT NULL);

COMMENT ON INDEX promptctl.allocations_by_release IS 'The moves of a release.';

CREATE INDEX applied_by_source ON promptctl.applied USING btree (source);

COMMENT ON INDEX promptctl.applied_by_source IS 'The prompts of one source.';

CREATE INDEX corrections_by_prompt ON promptctl.corrections USING btree (name, id);

COMMENT ON INDEX promptctl.corrections_by_prompt IS 'The history of one prompt.';

CREATE INDEX corrections_by_release ON promptctl.corrections USING btree (release) WHERE (release IS NOT NULL);

COMMENT ON INDEX promptctl.corrections_by_release IS 'The corrections of a release.';

CREATE INDEX fallbacks_by_name ON promptctl.fallbacks USING btree (name);

COMMENT ON INDEX promptctl.fallbacks_by_name IS 'The calls of one prompt.';

CREATE INDEX fallbacks_by_time ON promptctl.fallbacks USING btree (recorded_at);

COMMENT ON INDEX promptctl.fallbacks_by_time IS 'The calls of a period, and the old calls to drop.';

CREATE UNIQUE INDEX names_differ_in_more_than_case ON promptctl.served USING btree (lower(name));

COMMENT ON INDEX promptctl.names_differ_in_more_than_case IS 'Some file systems cannot hold two names that differ only in case.';

CREATE INDEX rollouts_by_prompt ON promptctl.rollouts USING btree (name, rollout);

COMMENT ON INDEX promptctl.rollouts_by_prompt IS 'The rollouts of one prompt.';

CREATE INDEX rollouts_by_release ON promptctl.rollouts USING btree (release) WHERE (release IS NOT NULL);

COMMENT ON INDEX promptctl.rollouts_by_release IS 'The rollouts that a release started.';

CREATE INDEX scores_by_version ON promptctl.scores USING btree (name, version, recorded_in);

COMMENT ON INDEX promptctl.scores_by_version IS 'The scores of one version that are not yet in its totals.';

CREATE INDEX served_by_route ON promptctl.served USING btree (name) WHERE (route IS NOT NULL);

COMMENT ON INDEX promptctl.served_by_route IS 'For the checks before a version is archived, and for cycles. Few prompts have a route.';

CREATE INDEX test_batches_open ON promptctl.test_batches USING btree (run) WHERE (ended_at IS NULL);

COMMENT ON INDEX promptctl.test_batches_open IS 'The batches whose replies are not stored. There are few.';

CREATE INDEX test_replies_by_request ON promptctl.test_replies USING btree (request_hash, recorded_at);

COMMENT ON INDEX promptctl.test_replies_by_request IS 'The last replies to a request.';

CREATE INDEX test_replies_by_run ON promptctl.test_replies USING btree (run);

COMMENT ON INDEX promptctl.test_replies_by_run IS 'The replies of one run.';

CREATE INDEX test_replies_by_time ON promptctl.test_replies USING btree (recorded_at);

COMMENT ON INDEX promptctl.test_replies_by_time IS 'The old replies to drop.';

CREATE INDEX test_runs_by_prompt ON promptctl.test_runs USING btree (name, run);

COMMENT ON INDEX promptctl.test_runs_by_prompt IS 'The runs of one prompt.';

CREATE INDEX test_runs_by_text ON promptctl.test_runs USING btree (name, sha256, run);

COMMENT ON INDEX promptctl.test_runs_by_text IS 'The last verdict of a version.';

CREATE INDEX uses_by_time ON promptctl.uses USING brin (recorded_in, recorded_at) WITH (pages_per_range='32');

COMMENT ON INDEX promptctl.uses_by_time IS 'For the roll-up and for dropping old uses. Rows arrive nearly in this order, and a BRIN index costs a recording nothing.';

CREATE INDEX uses_by_version ON promptctl.uses USING btree (name, version, recorded_in);

COMMENT ON INDEX promptctl.uses_by_version IS 'The uses of one version that are not yet in its totals.';

CREATE INDEX versions_by_content ON promptctl.versions USING btree (name, sha256);

COMMENT ON INDEX promptctl.versions_by_content IS 'create_version looks for a version that already has the text.';

CREATE INDEX versions_by_release ON promptctl.versions USING btree (release) WHERE (release IS NOT NULL);

COMMENT ON INDEX promptctl.versions_by_release IS 'The versions that a release stored.';

CREATE INDEX versions_erased ON promptctl.versions USING btree (sha256) WHERE (erased_at IS NOT NULL);

COMMENT ON INDEX promptctl.versions_erased IS 'For the check that an erased text is not stored again. There are few.';

CREATE RULE an_update_computes_no_stats AS
    ON UPDATE TO promptctl.prompts DO INSTEAD  UPDATE promptctl.prompts_without_stats p SET id = new.id, name = new.name, version = new.version, content = new.content, is_active = new.is_active, created_at = new.created_at, created_by = new.created_by, metadata = new.metadata
  WHERE ((p.name = old.name) AND (p.version = old.version))
  RETURNING p.id,
    p.name,
    p.version,
    p.content,
    p.is_active,
    p.created_at,
    p.created_by,
    p.metadata,
    ( SELECT r.stats
           FROM promptctl.prompts r
          WHERE ((r.name = p.name) AND (r.version = p.version))) AS stats;

COMMENT ON RULE an_update_computes_no_stats ON promptctl.prompts IS 'An activation must not become slower as uses accumulate.';

CREATE TRIGGER a_case_never_changes BEFORE DELETE OR UPDATE ON promptctl.test_cases FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a case never changes');

COMMENT ON TRIGGER a_case_never_changes ON promptctl.test_cases IS 'A run names what it ran.';

CREATE TRIGGER a_correction_is_recorded AFTER UPDATE ON promptctl.versions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION promptctl.after_update_versions();

COMMENT ON TRIGGER a_correction_is_recorded ON promptctl.versions IS 'Stores who changed a description, and the previous description.';

CREATE CONSTRAINT TRIGGER a_dry_run_is_rolled_back AFTER INSERT ON promptctl.releases DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.release > '9223372034707292160'::bigint)) EXECUTE FUNCTION promptctl.refuse('the release of a dry run must be rolled back');

COMMENT ON TRIGGER a_dry_run_is_rolled_back ON promptctl.releases IS 'Checked at commit. The release of a dry run has a number outside of the sequence, after all others.';

CREATE TRIGGER a_failure_never_changes BEFORE UPDATE ON promptctl.test_failures FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a run that has ended does not change');

COMMENT ON TRIGGER a_failure_never_changes ON promptctl.test_failures IS 'A failure stays as it was recorded.';

CREATE TRIGGER a_judgement_never_changes BEFORE UPDATE ON promptctl.test_judgements FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a judgement never changes');

COMMENT ON TRIGGER a_judgement_never_changes ON promptctl.test_judgements IS 'A judgement stays as it was recorded.';

CREATE TRIGGER a_prompt_is_never_deleted BEFORE DELETE ON promptctl.served FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a prompt cannot be deleted: archive it');

COMMENT ON TRIGGER a_prompt_is_never_deleted ON promptctl.served IS 'Its history and its uses refer to it.';

CREATE TRIGGER a_reply_never_changes BEFORE UPDATE ON promptctl.test_replies FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a reply never changes');

COMMENT ON TRIGGER a_reply_never_changes ON promptctl.test_replies IS 'A reply stays as Claude returned it.';

CREATE TRIGGER a_result_is_never_deleted BEFORE DELETE ON promptctl.test_run_cases FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a run cannot be deleted');

COMMENT ON TRIGGER a_result_is_never_deleted ON promptctl.test_run_cases IS 'A verdict rests on its results.';

CREATE TRIGGER a_run_is_never_deleted BEFORE DELETE ON promptctl.test_runs FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a run cannot be deleted');

COMMENT ON TRIGGER a_run_is_never_deleted ON promptctl.test_runs IS 'A verdict can be read at any later time.';

CREATE TRIGGER a_run_that_ended_never_changes BEFORE UPDATE ON promptctl.test_runs FOR EACH ROW EXECUTE FUNCTION promptctl.before_test_runs();

COMMENT ON TRIGGER a_run_that_ended_never_changes ON promptctl.test_runs IS 'A verdict stays as it was. The database sets when the run ended.';

CREATE TRIGGER a_version_is_never_deleted BEFORE DELETE ON promptctl.versions FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a version cannot be deleted: archive it');

COMMENT ON TRIGGER a_version_is_never_deleted ON promptctl.versions IS 'A text that was served can be read at any later time.';

CREATE TRIGGER a_version_never_changes BEFORE INSERT OR UPDATE ON promptctl.versions FOR EACH ROW EXECUTE FUNCTION promptctl.before_versions();

COMMENT ON TRIGGER a_version_never_changes ON promptctl.versions IS 'A text that was served can be read at any later time.';

CREATE TRIGGER a_version_number_is_never_reused AFTER INSERT ON promptctl.versions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION promptctl.after_insert_versions();

COMMENT ON TRIGGER a_version_number_is_never_reused ON promptctl.versions IS 'NAME@VERSION always means the same text.';

CREATE TRIGGER batches_are_never_truncated BEFORE TRUNCATE ON promptctl.test_batches FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('batches are written by record_test_batch and end_test_batch');

COMMENT ON TRIGGER batches_are_never_truncated ON promptctl.test_batches IS 'A batch that is lost would be paid for and not be used.';

CREATE TRIGGER batches_are_written_by_functions BEFORE INSERT OR DELETE OR UPDATE ON promptctl.test_batches FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('batches are written by record_test_batch and end_test_batch');

COMMENT ON TRIGGER batches_are_written_by_functions ON promptctl.test_batches IS 'A batch that is lost would be paid for and not be used.';

CREATE TRIGGER bucket_totals_are_never_truncated BEFORE TRUNCATE ON promptctl.bucket_totals FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('bucket_totals are written by roll_up_uses');

COMMENT ON TRIGGER bucket_totals_are_never_truncated ON promptctl.bucket_totals IS 'The single uses may have been dropped.';

CREATE TRIGGER bucket_totals_are_written_by_roll_up_uses BEFORE INSERT OR DELETE OR UPDATE ON promptctl.bucket_totals FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('bucket_totals are written by roll_up_uses');

COMMENT ON TRIGGER bucket_totals_are_written_by_roll_up_uses ON promptctl.bucket_totals IS 'Nobody can add uses that did not happen.';

CREATE TRIGGER cases_are_never_truncated BEFORE TRUNCATE ON promptctl.test_cases FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('a case never changes');

COMMENT ON TRIGGER cases_are_never_truncated ON promptctl.test_cases IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER cases_are_written_by_functions BEFORE INSERT ON promptctl.test_cases FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('cases are written by set_cases and begin_test_run');

COMMENT ON TRIGGER cases_are_written_by_functions ON promptctl.test_cases IS 'Each case belongs to a prompt or a run.';

CREATE TRIGGER cases_of_prompts_are_never_truncated BEFORE TRUNCATE ON promptctl.prompt_cases FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('the cases of a prompt are written by set_cases');

COMMENT ON TRIGGER cases_of_prompts_are_never_truncated ON promptctl.prompt_cases IS 'A list of cases is replaced as a whole.';

CREATE TRIGGER cases_of_prompts_are_written_by_set_cases BEFORE INSERT OR DELETE OR UPDATE ON promptctl.prompt_cases FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('the cases of a prompt are written by set_cases');

COMMENT ON TRIGGER cases_of_prompts_are_written_by_set_cases ON promptctl.prompt_cases IS 'A list of cases is replaced as a whole.';

CREATE TRIGGER corrections_are_append_only BEFORE DELETE OR UPDATE ON promptctl.corrections FOR EACH ROW EXECUTE FUNCTION promptctl.before_corrections('history is append-only');

COMMENT ON TRIGGER corrections_are_append_only ON promptctl.corrections IS 'A change stays as it was recorded, except for the metadata of an erased version.';

CREATE TRIGGER corrections_are_never_truncated BEFORE TRUNCATE ON promptctl.corrections FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER corrections_are_never_truncated ON promptctl.corrections IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER corrections_are_written_by_the_database BEFORE INSERT ON promptctl.corrections FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_triggers('history is written by the database');

COMMENT ON TRIGGER corrections_are_written_by_the_database ON promptctl.corrections IS 'Nobody can add a change that did not happen.';

CREATE TRIGGER epochs_and_positions_are_set_by_the_database BEFORE INSERT OR UPDATE ON promptctl.served FOR EACH ROW EXECUTE FUNCTION promptctl.before_served();

COMMENT ON TRIGGER epochs_and_positions_are_set_by_the_database ON promptctl.served IS 'A client chooses the versions, the split and the route, and nothing else.';

CREATE TRIGGER every_move_is_recorded AFTER UPDATE ON promptctl.served REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION promptctl.after_served();

COMMENT ON TRIGGER every_move_is_recorded ON promptctl.served IS 'A change by plain SQL is in the history as well.';

CREATE TRIGGER failures_are_never_truncated BEFORE TRUNCATE ON promptctl.test_failures FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('a run that has ended does not change');

COMMENT ON TRIGGER failures_are_never_truncated ON promptctl.test_failures IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER failures_are_written_by_end_test_run BEFORE INSERT OR DELETE ON promptctl.test_failures FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('failures are written by end_test_run');

COMMENT ON TRIGGER failures_are_written_by_end_test_run ON promptctl.test_failures IS 'Nobody can add a failure that did not happen.';

CREATE TRIGGER fallbacks_are_append_only BEFORE DELETE OR UPDATE ON promptctl.fallbacks FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('calls are append-only: drop_uses deletes old ones');

COMMENT ON TRIGGER fallbacks_are_append_only ON promptctl.fallbacks IS 'A call stays as it was recorded.';

CREATE TRIGGER fallbacks_are_never_truncated BEFORE TRUNCATE ON promptctl.fallbacks FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('calls are append-only: drop_uses deletes old ones');

COMMENT ON TRIGGER fallbacks_are_never_truncated ON promptctl.fallbacks IS 'A call stays as it was recorded.';

CREATE TRIGGER history_is_append_only BEFORE DELETE OR UPDATE ON promptctl.allocations FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER history_is_append_only ON promptctl.allocations IS 'A change stays as it was recorded.';

CREATE TRIGGER history_is_never_truncated BEFORE TRUNCATE ON promptctl.allocations FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER history_is_never_truncated ON promptctl.allocations IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER history_is_written_by_the_database BEFORE INSERT ON promptctl.allocations FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_triggers('history is written by the database');

COMMENT ON TRIGGER history_is_written_by_the_database ON promptctl.allocations IS 'Nobody can add a change that did not happen.';

CREATE TRIGGER judgements_are_never_truncated BEFORE TRUNCATE ON promptctl.test_judgements FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('a judgement never changes: drop_test_replies deletes old ones');

COMMENT ON TRIGGER judgements_are_never_truncated ON promptctl.test_judgements IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER judgements_are_written_by_functions BEFORE INSERT OR DELETE ON promptctl.test_judgements FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('judgements are written by record_test_judgements: drop_test_replies deletes old ones');

COMMENT ON TRIGGER judgements_are_written_by_functions ON promptctl.test_judgements IS 'Nobody can add a judgement that no judge made.';

CREATE TRIGGER lists_of_cases_are_never_truncated BEFORE TRUNCATE ON promptctl.prompt_tests FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('the cases of a prompt are written by set_cases');

COMMENT ON TRIGGER lists_of_cases_are_never_truncated ON promptctl.prompt_tests IS 'A list of cases is replaced as a whole.';

CREATE TRIGGER lists_of_cases_are_written_by_set_cases BEFORE INSERT OR DELETE OR UPDATE ON promptctl.prompt_tests FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('the cases of a prompt are written by set_cases');

COMMENT ON TRIGGER lists_of_cases_are_written_by_set_cases ON promptctl.prompt_tests IS 'A list of cases is replaced as a whole.';

CREATE TRIGGER prompts_are_never_truncated BEFORE TRUNCATE ON promptctl.served FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('prompts cannot be deleted: archive them');

COMMENT ON TRIGGER prompts_are_never_truncated ON promptctl.served IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER prompts_can_be_inserted INSTEAD OF INSERT ON promptctl.prompts FOR EACH ROW EXECUTE FUNCTION promptctl.write_prompts();

COMMENT ON TRIGGER prompts_can_be_inserted ON promptctl.prompts IS 'Stores a version.';

CREATE TRIGGER prompts_can_be_updated INSTEAD OF UPDATE ON promptctl.prompts_without_stats FOR EACH ROW EXECUTE FUNCTION promptctl.write_prompts();

COMMENT ON TRIGGER prompts_can_be_updated ON promptctl.prompts_without_stats IS 'Only is_active can be changed.';

CREATE TRIGGER prompts_cannot_be_deleted INSTEAD OF DELETE ON promptctl.prompts FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a version cannot be deleted: archive it');

COMMENT ON TRIGGER prompts_cannot_be_deleted ON promptctl.prompts IS 'A version can be archived instead.';

CREATE TRIGGER releases_are_append_only BEFORE DELETE OR UPDATE ON promptctl.releases FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER releases_are_append_only ON promptctl.releases IS 'A change stays as it was recorded.';

CREATE TRIGGER releases_are_never_truncated BEFORE TRUNCATE ON promptctl.releases FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER releases_are_never_truncated ON promptctl.releases IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER replies_are_never_truncated BEFORE TRUNCATE ON promptctl.test_replies FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('a reply never changes: drop_test_replies deletes old ones');

COMMENT ON TRIGGER replies_are_never_truncated ON promptctl.test_replies IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER replies_are_written_by_functions BEFORE INSERT OR DELETE ON promptctl.test_replies FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('replies are written by record_test_replies: drop_test_replies deletes old ones');

COMMENT ON TRIGGER replies_are_written_by_functions ON promptctl.test_replies IS 'Nobody can add a reply that Claude did not return.';

CREATE TRIGGER results_are_never_truncated BEFORE TRUNCATE ON promptctl.test_run_cases FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('a run cannot be deleted');

COMMENT ON TRIGGER results_are_never_truncated ON promptctl.test_run_cases IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER results_are_written_by_functions BEFORE INSERT OR UPDATE ON promptctl.test_run_cases FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('results are written by begin_test_run and end_test_run');

COMMENT ON TRIGGER results_are_written_by_functions ON promptctl.test_run_cases IS 'Nobody can add a result that did not happen.';

CREATE TRIGGER rollout_events_are_append_only BEFORE DELETE OR UPDATE ON promptctl.rollout_events FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('events of rollouts are append-only');

COMMENT ON TRIGGER rollout_events_are_append_only ON promptctl.rollout_events IS 'An event stays as it was recorded.';

CREATE TRIGGER rollout_events_are_never_truncated BEFORE TRUNCATE ON promptctl.rollout_events FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('events of rollouts are append-only');

COMMENT ON TRIGGER rollout_events_are_never_truncated ON promptctl.rollout_events IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER rollout_events_are_written_by_functions BEFORE INSERT ON promptctl.rollout_events FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('events of rollouts are written by the database');

COMMENT ON TRIGGER rollout_events_are_written_by_functions ON promptctl.rollout_events IS 'Nobody can add an event that did not happen.';

CREATE TRIGGER rollout_looks_are_append_only BEFORE DELETE OR UPDATE ON promptctl.rollout_looks FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('looks are append-only');

COMMENT ON TRIGGER rollout_looks_are_append_only ON promptctl.rollout_looks IS 'A look stays as it was recorded.';

CREATE TRIGGER rollout_looks_are_never_truncated BEFORE TRUNCATE ON promptctl.rollout_looks FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('looks are append-only');

COMMENT ON TRIGGER rollout_looks_are_never_truncated ON promptctl.rollout_looks IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER rollout_looks_are_written_by_ticks BEFORE INSERT ON promptctl.rollout_looks FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('looks are written by tick_rollout');

COMMENT ON TRIGGER rollout_looks_are_written_by_ticks ON promptctl.rollout_looks IS 'Nobody can add a look that did not happen.';

CREATE TRIGGER rollouts_are_never_deleted BEFORE DELETE ON promptctl.rollouts FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a rollout cannot be deleted');

COMMENT ON TRIGGER rollouts_are_never_deleted ON promptctl.rollouts IS 'Its moves in the history refer to it.';

CREATE TRIGGER rollouts_are_never_truncated BEFORE TRUNCATE ON promptctl.rollouts FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('a rollout cannot be deleted');

COMMENT ON TRIGGER rollouts_are_never_truncated ON promptctl.rollouts IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER rollouts_are_written_by_functions BEFORE INSERT OR DELETE OR UPDATE ON promptctl.rollouts FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('rollouts are written by start_rollout, tick_rollout, pause_rollout, resume_rollout and stop_rollout');

COMMENT ON TRIGGER rollouts_are_written_by_functions ON promptctl.rollouts IS 'A rollout that somebody edits would move the prompt by a plan that nobody started.';

CREATE TRIGGER rollouts_give_way AFTER UPDATE ON promptctl.served REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION promptctl.rollouts_give_way();

COMMENT ON TRIGGER rollouts_give_way ON promptctl.served IS 'A move of the prompt that is not by its rollout, also by plain SQL, pauses or ends the rollout.';

CREATE TRIGGER runs_are_never_truncated BEFORE TRUNCATE ON promptctl.test_runs FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('a run cannot be deleted');

COMMENT ON TRIGGER runs_are_never_truncated ON promptctl.test_runs IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER runs_are_written_by_functions BEFORE INSERT OR UPDATE ON promptctl.test_runs FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('runs are written by begin_test_run and end_test_run');

COMMENT ON TRIGGER runs_are_written_by_functions ON promptctl.test_runs IS 'Nobody can add a run that did not happen.';

CREATE TRIGGER scores_are_never_truncated BEFORE TRUNCATE ON promptctl.scores FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('scores are written by score_use');

COMMENT ON TRIGGER scores_are_never_truncated ON promptctl.scores IS 'The next score of a use would count as its first.';

CREATE TRIGGER scores_are_written_by_score_use BEFORE INSERT OR DELETE OR UPDATE ON promptctl.scores FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('scores are written by score_use');

COMMENT ON TRIGGER scores_are_written_by_score_use ON promptctl.scores IS 'Each score must have the score that it replaces.';

CREATE TRIGGER the_cases_of_a_run_never_change BEFORE INSERT OR UPDATE ON promptctl.test_run_cases FOR EACH ROW EXECUTE FUNCTION promptctl.before_test_run_cases();

COMMENT ON TRIGGER the_cases_of_a_run_never_change ON promptctl.test_run_cases IS 'A run names what it ran.';

CREATE TRIGGER the_hash_of_a_case_is_set_by_the_database BEFORE INSERT ON promptctl.test_cases FOR EACH ROW EXECUTE FUNCTION promptctl.before_test_cases();

COMMENT ON TRIGGER the_hash_of_a_case_is_set_by_the_database ON promptctl.test_cases IS 'A case is found by the hash of its definition.';

CREATE TRIGGER the_last_tick_is_never_truncated BEFORE TRUNCATE ON promptctl.rollout_ticks FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('the last tick is written by tick_rollout');

COMMENT ON TRIGGER the_last_tick_is_never_truncated ON promptctl.rollout_ticks IS 'Row triggers do not fire for truncate.';

CREATE TRIGGER the_last_tick_is_written_by_ticks BEFORE INSERT OR DELETE OR UPDATE ON promptctl.rollout_ticks FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('the last tick is written by tick_rollout');

COMMENT ON TRIGGER the_last_tick_is_written_by_ticks ON promptctl.rollout_ticks IS 'status warns if nobody ticks.';

CREATE TRIGGER the_watermark_is_moved_by_the_database BEFORE INSERT OR DELETE OR UPDATE ON promptctl.roll_up FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('the watermark is moved by roll_up_uses');

COMMENT ON TRIGGER the_watermark_is_moved_by_the_database ON promptctl.roll_up IS 'Otherwise uses would be counted twice, or not at all.';

CREATE TRIGGER the_watermark_is_never_truncated BEFORE TRUNCATE ON promptctl.roll_up FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('the watermark is moved by roll_up_uses');

COMMENT ON TRIGGER the_watermark_is_never_truncated ON promptctl.roll_up IS 'Otherwise uses would be counted twice.';

CREATE TRIGGER totals_are_never_truncated BEFORE TRUNCATE ON promptctl.totals FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('totals are written by roll_up_uses');

COMMENT ON TRIGGER totals_are_never_truncated ON promptctl.totals IS 'The single uses may have been dropped.';

CREATE TRIGGER totals_are_written_by_roll_up_uses BEFORE INSERT OR DELETE OR UPDATE ON promptctl.totals FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('totals are written by roll_up_uses');

COMMENT ON TRIGGER totals_are_written_by_roll_up_uses ON promptctl.totals IS 'Nobody can add uses that did not happen.';

CREATE TRIGGER uses_are_append_only BEFORE DELETE OR UPDATE ON promptctl.uses FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_outside_functions('uses are append-only: drop_uses deletes old ones');

COMMENT ON TRIGGER uses_are_append_only ON promptctl.uses IS 'For each statement, because a trigger for each of millions of rows would be slow.';

CREATE TRIGGER uses_are_never_truncated BEFORE TRUNCATE ON promptctl.uses FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('uses are append-only: drop_uses deletes old ones');

COMMENT ON TRIGGER uses_are_never_truncated ON promptctl.uses IS 'A use stays as it was recorded.';

CREATE TRIGGER versions_are_never_truncated BEFORE TRUNCATE ON promptctl.versions FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('versions cannot be deleted: archive them');

COMMENT ON TRIGGER versions_are_never_truncated ON promptctl.versions IS 'Row triggers do not fire for truncate.';

ALTER TABLE ONLY promptctl.test_batches
    ADD CONSTRAINT a_batch_belongs_to_a_run FOREIGN KEY (run) REFERENCES promptctl.test_runs(run);

COMMENT ON CONSTRAINT a_batch_belongs_to_a_run ON promptctl.test_batches IS 'Each run has a row.';

ALTER TABLE ONLY promptctl.served
    ADD CONSTRAINT a_candidate_exists_and_is_not_archived FOREIGN KEY (name, candidate_version, serves_retired) REFERENCES promptctl.versions(name, version, is_retired);

COMMENT ON CONSTRAINT a_candidate_exists_and_is_not_archived ON promptctl.served IS 'A foreign key, because it holds for every order of concurrent writers.';

ALTER TABLE ONLY promptctl.prompt_cases
    ADD CONSTRAINT a_case_of_a_prompt_is_in_its_list FOREIGN KEY (name) REFERENCES promptctl.prompt_tests(name);

COMMENT ON CONSTRAINT a_case_of_a_prompt_is_in_its_list ON promptctl.prompt_cases IS 'Each prompt that has cases has a row in prompt_tests.';

ALTER TABLE ONLY promptctl.prompt_cases
    ADD CONSTRAINT a_case_of_a_prompt_is_stored FOREIGN KEY (hash) REFERENCES promptctl.test_cases(hash);

COMMENT ON CONSTRAINT a_case_of_a_prompt_is_stored ON promptctl.prompt_cases IS 'Each case has a row in test_cases.';

ALTER TABLE ONLY promptctl.test_run_cases
    ADD CONSTRAINT a_case_of_a_run_belongs_to_a_run FOREIGN KEY (run) REFERENCES promptctl.test_runs(run);

COMMENT ON CONSTRAINT a_case_of_a_run_belongs_to_a_run ON promptctl.test_run_cases IS 'Each run has a row.';

ALTER TABLE ONLY promptctl.test_run_cases
    ADD CONSTRAINT a_case_of_a_run_is_stored FOREIGN KEY (case_hash) REFERENCES promptctl.test_cases(hash);

COMMENT ON CONSTRAINT a_case_of_a_run_is_stored ON promptctl.test_run_cases IS 'What a run ran can be read at any later time.';

ALTER TABLE ONLY promptctl.corrections
    ADD CONSTRAINT a_correction_belongs_to_a_version FOREIGN KEY (name, version) REFERENCES promptctl.versions(name, version);

COMMENT ON CONSTRAINT a_correction_belongs_to_a_version ON promptctl.corrections IS 'Each version has a row.';

ALTER TABLE ONLY promptctl.corrections
    ADD CONSTRAINT a_correction_belongs_to_an_existing_release FOREIGN KEY (release) REFERENCES promptctl.releases(release);

COMMENT ON CONSTRAINT a_correction_belongs_to_an_existing_release ON promptctl.corrections IS 'Each release has a row.';

ALTER TABLE ONLY promptctl.test_failures
    ADD CONSTRAINT a_failure_belongs_to_a_case_of_a_run FOREIGN KEY (run, place) REFERENCES promptctl.test_run_cases(run, place);

COMMENT ON CONSTRAINT a_failure_belongs_to_a_case_of_a_run ON promptctl.test_failures IS 'Each case of a run has a row.';

ALTER TABLE ONLY promptctl.test_judgements
    ADD CONSTRAINT a_judgement_belongs_to_a_reply FOREIGN KEY (reply_id) REFERENCES promptctl.test_replies(id) ON DELETE CASCADE;

COMMENT ON CONSTRAINT a_judgement_belongs_to_a_reply ON promptctl.test_judgements IS 'It is dropped with the reply.';

ALTER TABLE ONLY promptctl.prompt_tests
    ADD CONSTRAINT a_list_of_cases_belongs_to_a_prompt FOREIGN KEY (name) REFERENCES promptctl.served(name);

COMMENT ON CONSTRAINT a_list_of_cases_belongs_to_a_prompt ON promptctl.prompt_tests IS 'Each prompt has a row in the table served.';

ALTER TABLE ONLY promptctl.rollout_looks
    ADD CONSTRAINT a_look_belongs_to_a_rollout FOREIGN KEY (rollout) REFERENCES promptctl.rollouts(rollout);

COMMENT ON CONSTRAINT a_look_belongs_to_a_rollout ON promptctl.rollout_looks IS 'Each rollout has a row.';

ALTER TABLE ONLY promptctl.releases
    ADD CONSTRAINT a_release_rollback_undoes_an_existing_release FOREIGN KEY (undoes) REFERENCES promptctl.releases(release);

COMMENT ON CONSTRAINT a_release_rollback_undoes_an_existing_release ON promptctl.releases IS 'Each release has a row.';

ALTER TABLE ONLY promptctl.test_replies
    ADD CONSTRAINT a_reply_belongs_to_a_run FOREIGN KEY (run) REFERENCES promptctl.test_runs(run);

COMMENT ON CONSTRAINT a_reply_belongs_to_a_run ON promptctl.test_replies IS 'Each run has a row.';

ALTER TABLE ONLY promptctl.rollouts
    ADD CONSTRAINT a_rollout_belongs_to_a_prompt FOREIGN KEY (name) REFERENCES promptctl.served(name);

COMMENT ON CONSTRAINT a_rollout_belongs_to_a_prompt ON promptctl.rollouts IS 'Each prompt has a row in the table served.';

ALTER TABLE ONLY promptctl.test_runs
    ADD CONSTRAINT a_run_is_against_an_existing_version FOREIGN KEY (against_name, against_version) REFERENCES promptctl.versions(name, version);

COMMENT ON CONSTRAINT a_run_is_against_an_existing_version ON promptctl.test_runs IS 'A text that is not stored has a hash and no version.';

ALTER TABLE ONLY promptctl.test_runs
    ADD CONSTRAINT a_run_names_an_existing_version FOREIGN KEY (name, version) REFERENCES promptctl.versions(name, version);

COMMENT ON CONSTRAINT a_run_names_an_existing_version ON promptctl.test_runs IS 'A text that is not stored has a hash and no version.';

ALTER TABLE ONLY promptctl.rollout_ticks
    ADD CONSTRAINT a_tick_belongs_to_a_rollout FOREIGN KEY (rollout) REFERENCES promptctl.rollouts(rollout);

COMMENT ON CONSTRAINT a_tick_belongs_to_a_rollout ON promptctl.rollout_ticks IS 'Each rollout has a row.';

ALTER TABLE ONLY promptctl.versions
    ADD CONSTRAINT a_version_belongs_to_a_prompt FOREIGN KEY (name) REFERENCES promptctl.served(name);

COMMENT ON CONSTRAINT a_version_belongs_to_a_prompt ON promptctl.versions IS 'Every prompt has its row in the table served.';

ALTER TABLE ONLY promptctl.served
    ADD CONSTRAINT an_active_version_exists_and_is_not_archived FOREIGN KEY (name, active_version, serves_retired) REFERENCES promptctl.versions(name, version, is_retired);

COMMENT ON CONSTRAINT an_active_version_exists_and_is_not_archived ON promptctl.served IS 'A foreign key, because it holds for every order of concurrent writers.';

ALTER TABLE ONLY promptctl.allocations
    ADD CONSTRAINT an_allocation_belongs_to_a_prompt FOREIGN KEY (name) REFERENCES promptctl.served(name);

COMMENT ON CONSTRAINT an_allocation_belongs_to_a_prompt ON promptctl.allocations IS 'Each prompt has a row in the table served.';

ALTER TABLE ONLY promptctl.allocations
    ADD CONSTRAINT an_allocation_belongs_to_an_existing_release FOREIGN KEY (release) REFERENCES promptctl.releases(release);

COMMENT ON CONSTRAINT an_allocation_belongs_to_an_existing_release ON promptctl.allocations IS 'Each release has a row.';

ALTER TABLE ONLY promptctl.applied
    ADD CONSTRAINT an_applied_state_belongs_to_a_prompt FOREIGN KEY (name) REFERENCES promptctl.served(name);

COMMENT ON CONSTRAINT an_applied_state_belongs_to_a_prompt ON promptctl.applied IS 'Each prompt has a row in the table served.';

ALTER TABLE ONLY promptctl.applied
    ADD CONSTRAINT an_applied_state_belongs_to_a_source FOREIGN KEY (source) REFERENCES promptctl.sources(source);

COMMENT ON CONSTRAINT an_applied_state_belongs_to_a_source ON promptctl.applied IS 'Each source has a row.';

ALTER TABLE ONLY promptctl.rollout_events
    ADD CONSTRAINT an_event_belongs_to_a_rollout FOREIGN KEY (rollout) REFERENCES promptctl.rollouts(rollout);

COMMENT ON CONSTRAINT an_event_belongs_to_a_rollout ON promptctl.rollout_events IS 'Each rollout has a row.';

ALTER TABLE ONLY promptctl.test_replies
    ADD CONSTRAINT the_case_of_a_reply_is_stored FOREIGN KEY (case_hash) REFERENCES promptctl.test_cases(hash);

COMMENT ON CONSTRAINT the_case_of_a_reply_is_stored ON promptctl.test_replies IS 'Each case has a row in test_cases.';

GRANT USAGE ON SCHEMA promptctl TO viewer_login;
GRANT USAGE ON SCHEMA promptctl TO application_login;
GRANT USAGE ON SCHEMA promptctl TO operator_login;

REVOKE ALL ON FUNCTION promptctl.activate(names text[], versions integer[], author text, reason text, allow_new_variables boolean, release bigint, origins jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.activate(names text[], versions integer[], author text, reason text, allow_new_variables boolean, release bigint, origins jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.are_valid_guards(guards jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.are_valid_prices(prices jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.are_valid_steps(steps integer[]) FROM PUBLIC;

GRANT SELECT ON TABLE promptctl.rollouts TO operator_login;
GRANT SELECT ON TABLE promptctl.rollouts TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.add_rollout_event(r promptctl.rollouts, kind text, basis_points integer, epoch integer, why text, evidence jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.add_test_cases(definitions text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.add_to_bucket_totals(from_number bigint, to_number bigint, names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.add_versions(versions jsonb, author text, release bigint, contents bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.add_versions(versions jsonb, author text, release bigint, contents bytea) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.after_insert_versions() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.after_served() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.after_update_versions() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.age_text(age interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.archive(names text[], versions integer[], undo boolean, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.archive(names text[], versions integer[], undo boolean, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.as_ratio(compared promptctl.comparison) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.before_corrections() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.before_served() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.before_test_cases() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.before_test_run_cases() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.before_test_runs() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.before_versions() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.begin_change(author text, reason text, release_kind text, allow_new_variables boolean, release bigint, origins jsonb, undoes bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.begin_test_run(run jsonb, definitions text[], author text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.begin_test_run(run jsonb, definitions text[], author text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.brace_opens_argument(text_before text, follows_argument boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.bucket(seed text, unit text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.bucket(seed text, unit text) TO application_login;
GRANT ALL ON FUNCTION promptctl.bucket(seed text, unit text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.buckets_per_group(basis_points integer) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.buckets_per_group(basis_points integer) TO operator_login;
GRANT ALL ON FUNCTION promptctl.buckets_per_group(basis_points integer) TO viewer_login;

GRANT SELECT ON TABLE promptctl.allocations TO operator_login;
GRANT SELECT ON TABLE promptctl.allocations TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.bucket_group(use_id uuid, version integer, bucket smallint, allocation promptctl.allocations) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.bucket_group(use_id uuid, version integer, bucket smallint, allocation promptctl.allocations) TO operator_login;
GRANT ALL ON FUNCTION promptctl.bucket_group(use_id uuid, version integer, bucket smallint, allocation promptctl.allocations) TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.catch_up_after_restore() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.compare_versions(name text, a integer, b integer, epochs integer[], prices jsonb, cap double precision, group_size integer) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.compare_versions(name text, a integer, b integer, epochs integer[], prices jsonb, cap double precision, group_size integer) TO operator_login;
GRANT ALL ON FUNCTION promptctl.compare_versions(name text, a integer, b integer, epochs integer[], prices jsonb, cap double precision, group_size integer) TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.create_version(name text, content text, settings jsonb, metadata jsonb, author text, version integer, activated boolean, reason text, allow_new_variables boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.create_version(name text, content text, settings jsonb, metadata jsonb, author text, version integer, activated boolean, reason text, allow_new_variables boolean) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.current_author() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.current_author() TO application_login;
GRANT ALL ON FUNCTION promptctl.current_author() TO operator_login;
GRANT ALL ON FUNCTION promptctl.current_author() TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.current_reason() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.current_reason() TO application_login;
GRANT ALL ON FUNCTION promptctl.current_reason() TO operator_login;
GRANT ALL ON FUNCTION promptctl.current_reason() TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.deactivate(names text[], expected_version integer, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.deactivate(names text[], expected_version integer, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.default_guards(name text, baseline integer, candidate integer, prices jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.describe(name text, version integer, metadata jsonb, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.describe(name text, version integer, metadata jsonb, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.describe_versions(versions jsonb, author text, reason text, release bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.describe_versions(versions jsonb, author text, reason text, release bigint) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.drop_test_replies(before timestamp with time zone, at_most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.drop_test_replies(before timestamp with time zone, at_most integer) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.drop_uses(before timestamp with time zone, from_page bigint, pages integer) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.drop_uses(before timestamp with time zone, from_page bigint, pages integer) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.end_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.end_split(name text, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.end_split(name text, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.end_test_batch(id text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.end_test_batch(id text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.end_test_run(run bigint, outcome jsonb, cases jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.end_test_run(run bigint, outcome jsonb, cases jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.erase(name text, version integer, author text, reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.erased_versions(names text[], versions integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.erased_versions(names text[], versions integer[]) TO application_login;
GRANT ALL ON FUNCTION promptctl.erased_versions(names text[], versions integer[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.expect_schema_version(expected integer) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.expect_schema_version(expected integer) TO application_login;
GRANT ALL ON FUNCTION promptctl.expect_schema_version(expected integer) TO operator_login;
GRANT ALL ON FUNCTION promptctl.expect_schema_version(expected integer) TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.explain_resolve(name text, unit anycompatible, attributes jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.explain_resolve(name text, unit anycompatible, attributes jsonb) TO application_login;
GRANT ALL ON FUNCTION promptctl.explain_resolve(name text, unit anycompatible, attributes jsonb) TO operator_login;
GRANT ALL ON FUNCTION promptctl.explain_resolve(name text, unit anycompatible, attributes jsonb) TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.explain_rollout(name text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.explain_rollout(name text) TO operator_login;
GRANT ALL ON FUNCTION promptctl.explain_rollout(name text) TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.follow(names text[], epochs integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.follow(names text[], epochs integer[]) TO application_login;
GRANT ALL ON FUNCTION promptctl.follow(names text[], epochs integer[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.grant_access(login text, access text) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.half_width(v double precision, tau double precision, alpha double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.half_width(v double precision, tau double precision, alpha double precision) TO operator_login;
GRANT ALL ON FUNCTION promptctl.half_width(v double precision, tau double precision, alpha double precision) TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.has_enough_uses(compared promptctl.comparison) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.has_exact_double(number numeric) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.histogram_bucket(value double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.is_erased_text(name text, version integer, sha256 bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.is_valid_route(route jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.json_number(written text) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.judge_rollout(r promptctl.rollouts) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.lock_holders(names text[]) FROM PUBLIC;

GRANT SELECT ON TABLE promptctl.served TO operator_login;
GRANT SELECT ON TABLE promptctl.served TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.lock_or_create_prompts(names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.lock_out_other_syncs(waits boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.lock_out_other_syncs(waits boolean) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.lock_prompts(names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.lock_prompts_to_sync(names text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.lock_prompts_to_sync(names text[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.matching_step(route jsonb, attributes jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.merge_histograms(parts promptctl.histogram[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.message_texts(settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.metric_text(metric text, value double precision) FROM PUBLIC;

GRANT SELECT ON TABLE promptctl.totals TO operator_login;
GRANT SELECT ON TABLE promptctl.totals TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.models_in_totals(names text[], versions integer[], models text[], uses bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.new_use_id() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.new_use_id() TO application_login;
GRANT ALL ON FUNCTION promptctl.new_use_id() TO operator_login;

REVOKE ALL ON FUNCTION promptctl.new_variables_are_allowed() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.next_version_number(served promptctl.served) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.open_release(author text, reason text, source text, origin jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.open_release(author text, reason text, source text, origin jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.open_rollout(name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.open_to_everybody() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.open_to_everybody() TO application_login;
GRANT ALL ON FUNCTION promptctl.open_to_everybody() TO operator_login;
GRANT ALL ON FUNCTION promptctl.open_to_everybody() TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.pause_rollout(name text, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.pause_rollout(name text, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.price_tier(input_tokens bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.price_tier(input_tokens bigint) TO operator_login;
GRANT ALL ON FUNCTION promptctl.price_tier(input_tokens bigint) TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.prompt_names() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.prompt_names() TO application_login;
GRANT ALL ON FUNCTION promptctl.prompt_names() TO operator_login;

REVOKE ALL ON FUNCTION promptctl.read_versions(names text[], versions integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.read_versions(names text[], versions integer[]) TO application_login;
GRANT ALL ON FUNCTION promptctl.read_versions(names text[], versions integer[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_applied(source text, prompts jsonb, author text, adopts boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_applied(source text, prompts jsonb, author text, adopts boolean) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) TO application_login;
GRANT ALL ON FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_source(source text, commit text, committed_at timestamp with time zone, author text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_source(source text, commit text, committed_at timestamp with time zone, author text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_test_batch(run bigint, id text, requests jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_test_batch(run bigint, id text, requests jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_test_judgements(judge_sha256 text, judgements jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_test_judgements(judge_sha256 text, judgements jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_test_replies(run bigint, sha256 text, replies jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_test_replies(run bigint, sha256 text, replies jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_tick(tick promptctl.rollout_tick) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint, output_tokens bigint, response_ms double precision, model text, unit anycompatible, outcome text, score double precision, use_id uuid, cache_read_tokens bigint, cache_write_tokens bigint, first_token_ms double precision, request_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint, output_tokens bigint, response_ms double precision, model text, unit anycompatible, outcome text, score double precision, use_id uuid, cache_read_tokens bigint, cache_write_tokens bigint, first_token_ms double precision, request_id text) TO application_login;
GRANT ALL ON FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint, output_tokens bigint, response_ms double precision, model text, unit anycompatible, outcome text, score double precision, use_id uuid, cache_read_tokens bigint, cache_write_tokens bigint, first_token_ms double precision, request_id text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) TO application_login;
GRANT ALL ON FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.recording_number() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.refuse() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.refuse_outside_functions() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.refuse_outside_triggers() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.request_text(request jsonb) FROM PUBLIC;

GRANT SELECT ON TABLE promptctl.versions TO operator_login;
GRANT SELECT ON TABLE promptctl.versions TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.require_erasable(version promptctl.versions) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_grants(routine regproc) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_no_new_variables(name text, active_version integer, version integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_no_route_to(name text, is_archived boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_not_archived(served promptctl.served) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_not_dropped(ages_ms double precision[], received_at timestamp with time zone, kept_from timestamp with time zone) FROM PUBLIC;

GRANT SELECT ON TABLE promptctl.test_runs TO operator_login;
GRANT SELECT ON TABLE promptctl.test_runs TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.require_open_test_run(run bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_prompts(names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_valid_ages(ages_ms double precision[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_valid_route_targets(name text, route jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_version(name text, version integer, lifecycle text) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.required_variables(variables text[], settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.resolve(name text, unit anycompatible, attributes jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.resolve(name text, unit anycompatible, attributes jsonb) TO application_login;
GRANT ALL ON FUNCTION promptctl.resolve(name text, unit anycompatible, attributes jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.resume_rollout(name text, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.resume_rollout(name text, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.retire(name text, version integer, undo boolean, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.retire(name text, version integer, undo boolean, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.roll_up_uses(at_most bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.roll_up_uses(at_most bigint) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.rollback(names text[], to_version integer, expected_version integer, author text, reason text, allow_new_variables boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.rollback(names text[], to_version integer, expected_version integer, author text, reason text, allow_new_variables boolean) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.rollback_release(release bigint, skip_moved boolean, author text, reason text, allow_new_variables boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.rollback_release(release bigint, skip_moved boolean, author text, reason text, allow_new_variables boolean) TO operator_login;

GRANT SELECT ON TABLE promptctl.roll_up TO operator_login;
GRANT SELECT ON TABLE promptctl.roll_up TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.rolled_below() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.rolled_below() TO application_login;
GRANT ALL ON FUNCTION promptctl.rolled_below() TO operator_login;
GRANT ALL ON FUNCTION promptctl.rolled_below() TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.rollout_effect(r promptctl.rollouts, previous_state text, epoch integer, changed boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.rollouts_give_way() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.route_targets(route jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.score_use(use_id uuid, score double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.score_use(use_id uuid, score double precision) TO application_login;
GRANT ALL ON FUNCTION promptctl.score_use(use_id uuid, score double precision) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.set_cases(name text, definitions text[], margin double precision, author text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.set_cases(name text, definitions text[], margin double precision, author text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.set_routes(names text[], routes jsonb, author text, reason text, release bigint, origins jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.set_routes(names text[], routes jsonb, author text, reason text, release bigint, origins jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.share_text(basis_points integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.shorten(value text, most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.slow_response_ms(name text, version integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.split(name text, basis_points integer, candidate integer, seed text, author text, reason text, allow_new_variables boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.split(name text, basis_points integer, candidate integer, seed text, author text, reason text, allow_new_variables boolean) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.start_rollout(name text, candidate integer, steps integer[], hold interval, least_uses integer, patience interval, in_doubt text, guards jsonb, alpha double precision, prices jsonb, author text, reason text, allow_new_variables boolean, release bigint, origin jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.start_rollout(name text, candidate integer, steps integer[], hold interval, least_uses integer, patience interval, in_doubt text, guards jsonb, alpha double precision, prices jsonb, author text, reason text, allow_new_variables boolean, release bigint, origin jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.stop_rollout(name text, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.stop_rollout(name text, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.stored_settings(settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.template_variables(content text, settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.tick_rollout(name text, author text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.tick_rollout(name text, author text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.tolerance_text(metric text, tolerance double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.unit_text(unit anycompatible) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.valid_interval(d double precision, se_null double precision, se_free double precision, tau double precision, alpha double precision, OUT lower double precision, OUT upper double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.valid_interval(d double precision, se_null double precision, se_free double precision, tau double precision, alpha double precision, OUT lower double precision, OUT upper double precision) TO operator_login;
GRANT ALL ON FUNCTION promptctl.valid_interval(d double precision, se_null double precision, se_free double precision, tau double precision, alpha double precision, OUT lower double precision, OUT upper double precision) TO viewer_login;

REVOKE ALL ON FUNCTION promptctl.write_prompts() FROM PUBLIC;

GRANT SELECT ON TABLE promptctl.applied TO operator_login;
GRANT SELECT ON TABLE promptctl.applied TO viewer_login;

GRANT SELECT ON TABLE promptctl.bucket_totals TO operator_login;
GRANT SELECT ON TABLE promptctl.bucket_totals TO viewer_login;

GRANT SELECT ON TABLE promptctl.corrections TO operator_login;
GRANT SELECT ON TABLE promptctl.corrections TO viewer_login;

GRANT SELECT ON TABLE promptctl.fallbacks TO operator_login;
GRANT SELECT ON TABLE promptctl.fallbacks TO viewer_login;

GRANT SELECT ON TABLE promptctl.installation TO application_login;
GRANT SELECT ON TABLE promptctl.installation TO operator_login;
GRANT SELECT ON TABLE promptctl.installation TO viewer_login;

GRANT SELECT ON TABLE promptctl.prompt_cases TO operator_login;
GRANT SELECT ON TABLE promptctl.prompt_cases TO viewer_login;

GRANT SELECT ON TABLE promptctl.prompt_tests TO operator_login;
GRANT SELECT ON TABLE promptctl.prompt_tests TO viewer_login;

GRANT SELECT ON TABLE promptctl.prompts_without_stats TO operator_login;
GRANT SELECT ON TABLE promptctl.prompts_without_stats TO viewer_login;

GRANT SELECT ON TABLE promptctl.scores TO operator_login;
GRANT SELECT ON TABLE promptctl.scores TO viewer_login;

GRANT SELECT ON TABLE promptctl.uses TO operator_login;
GRANT SELECT ON TABLE promptctl.uses TO viewer_login;

GRANT SELECT ON TABLE promptctl.version_stats TO operator_login;
GRANT SELECT ON TABLE promptctl.version_stats TO viewer_login;

GRANT SELECT,INSERT ON TABLE promptctl.prompts TO operator_login;
GRANT SELECT ON TABLE promptctl.prompts TO viewer_login;

GRANT UPDATE(id) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(name) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(version) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(content) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(is_active) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(created_at) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(created_by) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(metadata) ON TABLE promptctl.prompts TO operator_login;

GRANT SELECT ON TABLE promptctl.releases TO operator_login;
GRANT SELECT ON TABLE promptctl.releases TO viewer_login;

GRANT SELECT ON TABLE promptctl.rollout_events TO operator_login;
GRANT SELECT ON TABLE promptctl.rollout_events TO viewer_login;

GRANT SELECT ON TABLE promptctl.rollout_looks TO operator_login;
GRANT SELECT ON TABLE promptctl.rollout_looks TO viewer_login;

GRANT SELECT ON TABLE promptctl.rollout_ticks TO operator_login;
GRANT SELECT ON TABLE promptctl.rollout_ticks TO viewer_login;

GRANT SELECT ON TABLE promptctl.sources TO operator_login;
GRANT SELECT ON TABLE promptctl.sources TO viewer_login;

GRANT SELECT ON TABLE promptctl.split_uses TO operator_login;
GRANT SELECT ON TABLE promptctl.split_uses TO viewer_login;

GRANT SELECT ON TABLE promptctl.test_batches TO operator_login;
GRANT SELECT ON TABLE promptctl.test_batches TO viewer_login;

GRANT SELECT ON TABLE promptctl.test_cases TO operator_login;
GRANT SELECT ON TABLE promptctl.test_cases TO viewer_login;

GRANT SELECT ON TABLE promptctl.test_failures TO operator_login;

GRANT SELECT ON TABLE promptctl.test_judgements TO operator_login;

GRANT SELECT ON TABLE promptctl.test_replies TO operator_login;

GRANT SELECT ON TABLE promptctl.test_run_cases TO operator_login;
GRANT SELECT ON TABLE promptctl.test_run_cases TO viewer_login;

GRANT SELECT ON TABLE promptctl.version_verdicts TO operator_login;
GRANT SELECT ON TABLE promptctl.version_verdicts TO viewer_login;
