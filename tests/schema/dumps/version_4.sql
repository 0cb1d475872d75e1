-- A database of schema version 4: pg_dump --no-owner --schema=promptctl --rows-per-insert=100, without comments.
-- It has versions, moves, a split, a route, releases of a sync, a hold, an archived version, uses, scores, calls with an
-- application's own text, totals and uses that are not rolled up. The logins have the access that their names say.

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

COMMENT ON SCHEMA promptctl IS 'System prompts as numbered versions that never change, and which of them is served.';

CREATE TYPE promptctl.booked AS (
	recorded bigint,
	repeated bigint,
	late bigint
);

COMMENT ON TYPE promptctl.booked IS 'What became of uses that were sent: recorded; repeated, those that were there already; late, those from before what is kept, which are not counted.';

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

COMMENT ON TYPE promptctl.created_version IS 'What create_version answers; created is false for a text that was there already.';

CREATE TYPE promptctl.explained AS (
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

COMMENT ON TYPE promptctl.explained IS 'What resolve answers, and why: which prompt was asked for, the step of its route that leads elsewhere (from 1) and its conditions, the unit''s bucket, the share and what it is a share of; is_candidate: the bucket is within it.';

CREATE TYPE promptctl.followed AS (
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

COMMENT ON TYPE promptctl.followed IS 'What is served of one prompt, with the versions that a client needs to answer for itself.';

CREATE TYPE promptctl.histogram AS (
	buckets smallint[],
	counts bigint[]
);

COMMENT ON TYPE promptctl.histogram IS 'Counts by bucket, in the order of the buckets, without empty ones: bucket b holds values from 2^(b/32) to 2^((b+1)/32).';

CREATE TYPE promptctl.move AS (
	name text,
	version integer,
	previous_version integer,
	changed boolean,
	split_ended boolean,
	release bigint,
	epoch integer
);

COMMENT ON TYPE promptctl.move IS 'What activate and rollback did to one prompt; changed is false when it was there already.';

CREATE TYPE promptctl.read_version AS (
	name text,
	version integer,
	epoch integer,
	content text,
	settings jsonb,
	metadata jsonb
);

COMMENT ON TYPE promptctl.read_version IS 'One version as whoever pins it needs it; epoch: the prompt''s at this moment.';

CREATE TYPE promptctl.resolved AS (
	name text,
	version integer,
	epoch integer,
	content text,
	settings jsonb,
	metadata jsonb
);

COMMENT ON TYPE promptctl.resolved IS 'What resolve answers: the version to use now, and the epoch in which it was served.';

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

COMMENT ON TYPE promptctl.split_change IS 'What split and end_split did: the split now and before; changed is false when it was so already.';

CREATE TYPE promptctl.undone AS (
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

COMMENT ON TYPE promptctl.undone IS 'What rollback_release did to one prompt; skipped: it had moved since, and stays where it is.';

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
    if cardinality(names) is distinct from cardinality(versions) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'every_prompt_has_its_version',
            message = 'names and versions differ in number';
    end if;
    perform promptctl.require_prompts(names);
    perform promptctl.lock_prompts(names);
    -- Each by its key: a join with what was locked looks, for each name, through all the others.
    select array_agg((s.name, t.version, s.active_version,
                      s.active_version is distinct from t.version or s.candidate_version is not null,
                      s.candidate_version is not null, null, s.epoch)::promptctl.move order by t.place)
    into moves
    from unnest(names, versions) with ordinality t (name, version, place)
    join promptctl.served s on s.name = t.name;

    -- After the lock: nobody can retire one of them from here on.
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

COMMENT ON FUNCTION promptctl.activate(names text[], versions integer[], author text, reason text, allow_new_variables boolean, release bigint, origins jsonb) IS 'Makes each version the one that is served, all or none. Several prompts make a release, unless they go into one that this transaction has opened; origins says by name where each activation came from.';

CREATE FUNCTION promptctl.add_versions(versions jsonb, author text DEFAULT NULL::text, release bigint DEFAULT NULL::bigint, contents bytea DEFAULT NULL::bytea) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    SET enable_seqscan TO 'off'
    AS $_$
declare
    added bigint;
begin
    perform promptctl.begin_change(author, null, release => release);
    if release is null then
        perform promptctl.open_prompts(
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

COMMENT ON FUNCTION promptctl.add_versions(versions jsonb, author text, release bigint, contents bytea) IS 'Stores many versions under numbers of their own, all or none: a JSON array of objects with name, version, content and, optional, settings, metadata, created_by, origin. Many large texts go faster beside it, all in one after the other, of which each object has start and size in bytes. In a release the prompts were opened by begin_sync: each time it would be a subtransaction, and of more than 64 every other session feels it. Returns how many.';

CREATE FUNCTION promptctl.after_insert_versions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
begin
    update promptctl.served s set next_version = greatest(s.next_version, n.highest + 1)
    from (select name, max(version)::bigint as highest from new_rows group by name) n
    where s.name = n.name and s.name = any (array(select name from new_rows));
    return null;
end
$$;

COMMENT ON FUNCTION promptctl.after_insert_versions() IS 'Keeps the next number above every number that was used.';

CREATE FUNCTION promptctl.after_served() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_nestloop TO 'off'
    AS $$
declare
    of_release constant bigint := nullif(current_setting('promptctl.release', true), '')::bigint;
    origins constant jsonb := nullif(current_setting('promptctl.given_origins', true), '')::jsonb;
    moved integer;
begin
    insert into promptctl.allocations (name, epoch, kind, previous_version, version, candidate_version, basis_points,
                                       seed, parent, position, route, release, origin, author, reason)
    select n.name, n.epoch, k.kind, o.active_version, n.active_version, n.candidate_version, n.basis_points, n.seed,
           case when k.kind in ('activate', 'deactivate') then o.position end, n.position, n.route, of_release,
           origins -> n.name, promptctl.current_author(), promptctl.current_reason()
    from new_rows n
    join old_rows o on o.name = n.name and o.epoch <> n.epoch
    cross join lateral (
        select case
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
        perform promptctl.require_route_leads_somewhere(n.name, n.route)
        from new_rows n join old_rows o on o.name = n.name where n.route is distinct from o.route;
        update promptctl.applied a set is_settled = false
        where a.is_settled and a.name = any (array(
            select n.name from new_rows n join old_rows o on o.name = n.name where n.route is distinct from o.route));
    end if;

    -- Listeners of a large release re-read everything once, instead of being told a hundred things.
    if moved > 100 and of_release is not null then
        perform pg_notify('promptctl', json_build_object('release', of_release)::text);
    else
        perform pg_notify('promptctl', json_build_object('name', n.name, 'epoch', n.epoch)::text)
        from new_rows n join old_rows o on o.name = n.name and o.epoch <> n.epoch;
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION promptctl.after_served() IS 'Appends the allocation of every change and announces it on the channel "promptctl" in the same transaction.';

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
        select 'describe' where n.metadata is distinct from o.metadata
        union all
        select case when n.is_retired then 'retire' else 'restore' end where n.is_retired <> o.is_retired
    ) k (kind)
    order by n.name, n.version;
    update promptctl.applied a set is_settled = false
    where a.is_settled and a.name = any (array(
        select n.name from new_rows n join old_rows o on o.name = n.name and o.version = n.version
        where n.metadata is distinct from o.metadata));
    return null;
end
$$;

COMMENT ON FUNCTION promptctl.after_update_versions() IS 'Records every correction of metadata, retirement and return, and has the next sync compare them again.';

CREATE FUNCTION promptctl.before_served() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if tg_op = 'INSERT' then
        if new.active_version is not null or new.candidate_version is not null then
            -- Possible where one statement stores the version as well: foreign keys are checked at its end.
            raise exception using errcode = 'restrict_violation', constraint = 'nothing_moves_without_a_trace',
                message = format('"%s" begins with nothing served: activate a version of it', new.name);
        end if;
        new.epoch := 0;
        new.position := null;
        return new;
    end if;
    if new.name is distinct from old.name then
        raise exception using errcode = 'restrict_violation', constraint = 'a_prompt_keeps_its_name',
            message = format('a prompt keeps its name: "%s"', old.name);
    end if;
    if new.epoch is distinct from old.epoch then
        raise exception using errcode = 'restrict_violation', constraint = 'epochs_are_counted_by_the_database',
            message = format('epochs are counted by the database: "%s"', old.name);
    end if;
    if new.next_version < old.next_version then
        raise exception using errcode = 'restrict_violation', constraint = 'a_number_is_never_used_again',
            message = format('a number is never used again: "%s"', old.name);
    end if;

    if new.active_version is distinct from old.active_version then
        if new.position is distinct from old.position then
            if not exists (select from promptctl.allocations a
                           where a.name = new.name and a.epoch = new.position and a.version = new.active_version
                             and a.kind = 'activate') then
                raise exception using errcode = 'restrict_violation',
                    constraint = 'a_rollback_goes_to_what_was_active',
                    message = format('"%s" was not at version %s in epoch %s',
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
        raise exception using errcode = 'restrict_violation', constraint = 'a_rollback_goes_to_what_was_active',
            message = format('the position of "%s" moves with its active version only', new.name);
    end if;

    if new.candidate_version is null then
        new.basis_points := 0;
        new.seed := null;
    elsif new.candidate_version is distinct from old.candidate_version then
        perform promptctl.require_no_new_variables(new.name, new.active_version, new.candidate_version);
        -- Another candidate is another split: who is in it is drawn anew, unless just that seed was asked for.
        if new.seed is not distinct from old.seed
            and new.seed is distinct from nullif(current_setting('promptctl.given_seed', true), '') then
            new.seed := null;
        end if;
    end if;
    if (new.active_version, new.candidate_version, new.basis_points)
        is distinct from (old.active_version, old.candidate_version, old.basis_points)
        or new.seed is distinct from old.seed or new.route is distinct from old.route then
        new.epoch := old.epoch + 1;
        if new.candidate_version is not null and new.seed is null then
            new.seed := new.name || '.' || new.epoch;
        end if;
    end if;
    new.updated_at := now();
    return new;
end
$$;

COMMENT ON FUNCTION promptctl.before_served() IS 'Counts epochs, keeps the position in the history, ends a split when the active version moves.';

CREATE FUNCTION promptctl.before_versions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if tg_op = 'INSERT' then
        -- Every writer locks the prompt's row first, so that two that take the next number go one after the other; what
        -- goes into a release has locked all of them.
        new.release := nullif(current_setting('promptctl.release', true), '')::bigint;
        if new.release is null then
            perform from promptctl.served s where s.name = new.name for no key update;
        end if;
        new.sha256 := sha256(convert_to(new.content, 'UTF8'));
        new.variables := coalesce(promptctl.template_variables(new.content, new.settings), '{}');
        new.required_variables := coalesce(promptctl.required_variables(new.variables, new.settings), '{}');
        new.created_by := coalesce(new.created_by, promptctl.current_author());
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
    if new.retired_at is not null and old.retired_at is null
        and exists (select from promptctl.served s cross join promptctl.route_targets(s.route) t (target)
                    where s.route is not null and t.target = format('%s@%s', old.name, old.version)) then
        raise exception using errcode = 'restrict_violation', constraint = 'a_served_version_is_not_retired',
            message = format('%s@%s is what a route leads to', old.name, old.version),
            hint = format('promptctl show %s', old.name);
    end if;
    return new;
end
$$;

COMMENT ON FUNCTION promptctl.before_versions() IS 'Hashes a new version and finds its variables; lets only metadata and retirement change later.';

CREATE FUNCTION promptctl.begin_change(author text, reason text, release_kind text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false, release bigint DEFAULT NULL::bigint, origins jsonb DEFAULT NULL::jsonb, undoes bigint DEFAULT NULL::bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    number bigint;
begin
    perform set_config('promptctl.given_author', coalesce(author, ''), true);
    perform set_config('promptctl.given_reason', coalesce(reason, ''), true);
    perform set_config('promptctl.given_allowance', case when allow_new_variables then 'on' else '' end, true);
    perform set_config('promptctl.given_origins', coalesce(origins::text, ''), true);
    if release is not null then
        if not exists (select from promptctl.releases r
                       where r.release = begin_change.release and r.opened_in = pg_current_xact_id()) then
            raise exception using errcode = 'restrict_violation', constraint = 'a_release_is_made_in_one_transaction',
                message = format('release %s is not of this transaction', release);
        end if;
        number := release;
    elsif release_kind is not null then
        insert into promptctl.releases as r (kind, author, reason, undoes)
        values (release_kind, promptctl.current_author(), promptctl.current_reason(), begin_change.undoes)
        returning r.release into number;
    end if;
    perform set_config('promptctl.release', coalesce(number::text, ''), true);
    return number;
end
$$;

COMMENT ON FUNCTION promptctl.begin_change(author text, reason text, release_kind text, allow_new_variables boolean, release bigint, origins jsonb, undoes bigint) IS 'Sets the author, reason and origin that the triggers write into the history; with a kind, opens a release and returns it, with a release of this transaction, goes on with it.';

CREATE FUNCTION promptctl.begin_sync(names text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform promptctl.open_prompts(names);
end
$$;

COMMENT ON FUNCTION promptctl.begin_sync(names text[]) IS 'Locks every prompt that a sync may change before it is planned, in name order, so that nobody moves one while it is applied.';

CREATE FUNCTION promptctl.bucket(seed text, unit text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    number constant bigint :=
        ('x' || encode(substring(sha256(convert_to(seed || '.' || unit, 'UTF8')) for 8), 'hex'))::bit(64)::bigint;
begin
    -- PostgreSQL has no unsigned integers: a negative number stands for itself + 2^64, which leaves 1616 modulo 10000.
    return case when number < 0 then (number % 10000 + 11616) % 10000 else number % 10000 end;
end
$$;

COMMENT ON FUNCTION promptctl.bucket(seed text, unit text) IS 'The bucket of a unit, 0 to 9999: the first 8 bytes of sha256(seed + "." + unit), big-endian, modulo 10000.';

CREATE FUNCTION promptctl.catch_up() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '200ms'
    AS $$
declare
    mark promptctl.roll_up;
begin
    -- Whoever records meanwhile waits as long, once after a restore: from here on each counts from where we say, and
    -- nobody who began earlier is at work any more.
    select * into mark from promptctl.roll_up for no key update;
    update promptctl.roll_up r
    set added = r.rolled_below - pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
exception when lock_not_available then
    null; -- The next roll-up will find a moment.
end
$$;

COMMENT ON FUNCTION promptctl.catch_up() IS 'After a restore into a cluster that has counted less: has new uses counted from where the old ones end.';

CREATE FUNCTION promptctl.create_version(name text, content text, settings jsonb DEFAULT '{}'::jsonb, metadata jsonb DEFAULT '{}'::jsonb, author text DEFAULT NULL::text, version integer DEFAULT NULL::integer, activated boolean DEFAULT false, reason text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false) RETURNS SETOF promptctl.created_version
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET lock_timeout TO '3s'
    AS $$
declare
    served promptctl.served;
    stored promptctl.versions;
    made boolean := false;
begin
    perform promptctl.begin_change(author, reason, null, allow_new_variables);
    select * into served from promptctl.open_prompts(array[create_version.name]);

    if create_version.version is null then
        select v.* into stored from promptctl.versions v
        where v.name = served.name and v.sha256 = sha256(convert_to(create_version.content, 'UTF8'))
          and v.settings = coalesce(create_version.settings, '{}') and not v.is_retired
        order by v.version desc limit 1;
    end if;
    if stored.version is null then
        insert into promptctl.versions as v (name, version, content, settings, metadata)
        values (served.name, coalesce(create_version.version, promptctl.next_number(served)), create_version.content,
                coalesce(create_version.settings, '{}'), coalesce(create_version.metadata, '{}'))
        returning v.* into stored;
        made := true;
    end if;
    if activated and (served.active_version is distinct from stored.version
                      or served.candidate_version is not null) then
        update promptctl.served s set active_version = stored.version, candidate_version = null
        where s.name = stored.name;
    end if;
    perform promptctl.end_change();
    return query select stored.id, stored.name, stored.version, stored.content,
        coalesce(activated or served.active_version = stored.version, false), stored.created_at, stored.created_by,
        stored.metadata, made, served.active_version, stored.settings, stored.variables;
end
$$;

COMMENT ON FUNCTION promptctl.create_version(name text, content text, settings jsonb, metadata jsonb, author text, version integer, activated boolean, reason text, allow_new_variables boolean) IS 'Stores a text as the next version, or under a given number that is free. Without a number, a text and settings that a version already has return the newest such version.';

CREATE FUNCTION promptctl.current_author() RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE(NULLIF(current_setting('promptctl.given_author'::text, true), ''::text), NULLIF(current_setting('promptctl.author'::text, true), ''::text), (SESSION_USER)::text) AS "coalesce";
END;

COMMENT ON FUNCTION promptctl.current_author() IS 'Who says to be doing this: a function''s argument, else the setting promptctl.author, else the database user.';

CREATE FUNCTION promptctl.current_reason() RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE(NULLIF(current_setting('promptctl.given_reason'::text, true), ''::text), NULLIF(current_setting('promptctl.reason'::text, true), ''::text)) AS "coalesce";
END;

COMMENT ON FUNCTION promptctl.current_reason() IS 'Why this is being done, if it is said: a function''s argument, else the setting promptctl.reason.';

CREATE FUNCTION promptctl.describe(name text, version integer, metadata jsonb, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return promptctl.describe_versions(
        jsonb_build_array(jsonb_build_object('name', name, 'version', version, 'metadata', metadata)), author, reason) > 0;
end
$$;

COMMENT ON FUNCTION promptctl.describe(name text, version integer, metadata jsonb, author text, reason text) IS 'Corrects a version''s metadata, which is recorded. False: it was so already.';

CREATE FUNCTION promptctl.describe_versions(versions jsonb, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, release bigint DEFAULT NULL::bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    names constant text[] := array(select distinct v ->> 'name' from jsonb_array_elements(versions) v);
    described record;
    changed bigint := 0;
begin
    perform promptctl.require_prompts(names);
    perform promptctl.lock_prompts(names);
    perform promptctl.begin_change(author, reason, release => release);
    -- One by one: a planner that does not know how few there are would read every version.
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

COMMENT ON FUNCTION promptctl.describe_versions(versions jsonb, author text, reason text, release bigint) IS 'Corrects the metadata of versions, which is recorded: a JSON array of objects with name, version, metadata. Returns how many were not so already.';

CREATE FUNCTION promptctl.drop_uses(before timestamp with time zone, from_page bigint, pages integer DEFAULT 500) RETURNS bigint
    LANGUAGE plpgsql STRICT SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    moment constant timestamptz := date_trunc('hour', least(before, now()), 'UTC');
    first constant tid := format('(%s,0)', from_page)::tid;
    after constant tid := format('(%s,0)', from_page + pages)::tid;
    dropped bigint;
begin
    perform set_config('promptctl.at_work', pg_current_xact_id()::text, true);
    -- Known before the first one goes: from now on what is as old is refused.
    update promptctl.roll_up r set dropped_before = moment
    where r.dropped_before is null or r.dropped_before < moment;
    delete from promptctl.uses u
    where u.ctid >= first and u.ctid < after and u.recorded_at < moment
      and u.recorded_in < (select r.rolled_below from promptctl.roll_up r);
    get diagnostics dropped = row_count;
    if from_page = 0 then
        delete from promptctl.scores o
        where o.used_at < moment and o.recorded_in < (select r.rolled_below from promptctl.roll_up r);
        delete from promptctl.fallbacks f where f.recorded_at < moment;
    end if;
    perform set_config('promptctl.at_work', '', true);
    return dropped;
end
$$;

COMMENT ON FUNCTION promptctl.drop_uses(before timestamp with time zone, from_page bigint, pages integer) IS 'Deletes single uses, of those that totals have, from before an hour, in so many pages of the table; returns how many. With the first page their scores go, and calls with a text of the application''s own.';

CREATE FUNCTION promptctl.end_change() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform set_config('promptctl.given_author', '', true), set_config('promptctl.given_reason', '', true),
            set_config('promptctl.given_allowance', '', true), set_config('promptctl.given_origins', '', true),
            set_config('promptctl.given_seed', '', true), set_config('promptctl.release', '', true);
end
$$;

COMMENT ON FUNCTION promptctl.end_change() IS 'What follows in the transaction is signed by itself again.';

CREATE FUNCTION promptctl.end_split(name text, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS promptctl.split_change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    before promptctl.served;
    epoch integer;
begin
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

COMMENT ON FUNCTION promptctl.end_split(name text, author text, reason text) IS 'Serves the active version to everybody again. changed is false when nothing ran.';

CREATE FUNCTION promptctl.expect_schema_version(expected integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    installed integer;
begin
    select i.version into installed from promptctl.installation i;
    if installed is distinct from expected then
        raise exception using errcode = 'object_not_in_prerequisite_state', constraint = 'schema_version_matches',
            message = format('database "%s" holds schema version %s, this promptctl needs %s',
                             current_database(), coalesce(installed::text, 'unknown'), expected),
            detail = coalesce(installed::text, '');
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.expect_schema_version(expected integer) IS 'Refuses a client made for another version of this schema. It goes ahead of the first statement, in its round trip.';

CREATE FUNCTION promptctl.explain_resolve(name text, unit text DEFAULT NULL::text, attributes jsonb DEFAULT '{}'::jsonb) RETURNS promptctl.explained
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    answer promptctl.explained;
    served promptctl.served;
    step jsonb;
begin
    if jsonb_typeof(attributes) <> 'object' then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'attributes_are_an_object',
            message = format('attributes are a JSON object, not %s', jsonb_typeof(attributes));
    end if;
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
    answer.epoch := served.epoch;
    answer.active_version := served.active_version;
    answer.basis_points := 0;
    if answer.version is null then
        answer.version := served.active_version;
        if served.candidate_version is not null then
            answer.candidate_version := served.candidate_version;
            answer.basis_points := served.basis_points;
            answer.seed := served.seed;
            answer.bucket := coalesce(promptctl.bucket(served.seed, unit), floor(random() * 10000));
            answer.is_candidate := answer.bucket < served.basis_points;
            if answer.is_candidate then
                answer.version := served.candidate_version;
            end if;
        end if;
    end if;
    if answer.bucket is null and unit is not null then
        answer.bucket := promptctl.bucket(served.name, unit);
    end if;
    select v.content, v.settings, v.metadata into answer.content, answer.settings, answer.metadata
    from promptctl.versions v where v.name = answer.name and v.version = answer.version;
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'a_version_is_active', detail = served.name,
            message = format('"%s" has no active version', served.name),
            hint = format('promptctl activate %s@VERSION', served.name);
    end if;
    return answer;
end
$$;

COMMENT ON FUNCTION promptctl.explain_resolve(name text, unit text, attributes jsonb) IS 'What resolve answers, and why. First the route, of which the first step counts whose conditions are all among the attributes, as jsonb contains; one step only. Then the split: the candidate serves when the unit''s bucket is below the share. Without a unit a bucket is drawn for this call.';

CREATE FUNCTION promptctl.follow(names text[], epochs integer[] DEFAULT NULL::integer[]) RETURNS SETOF promptctl.followed
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
begin
    return query
        select s.name, s.epoch, s.active_version, s.candidate_version, s.basis_points, s.seed, s.route, a.content,
               a.settings, a.metadata, c.content, c.settings, c.metadata
        from unnest(names, epochs) n (name, epoch)
        join promptctl.served s on s.name = n.name and s.epoch is distinct from n.epoch
        left join promptctl.versions a on a.name = s.name and a.version = s.active_version
        left join promptctl.versions c on c.name = s.name and c.version = s.candidate_version;
end
$$;

COMMENT ON FUNCTION promptctl.follow(names text[], epochs integer[]) IS 'What is served of these prompts, all at one moment, with its texts; without those whose epoch is still the one that is given. A name that is no prompt has no row.';

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
    if access not in ('viewer', 'application', 'operator') then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'access_is_known',
            message = format('no access "%s": viewer, application or operator', access);
    end if;
    if login = (select pg_get_userbyid(n.nspowner) from pg_catalog.pg_namespace n where n.nspname = 'promptctl') then
        -- Taking away what it does not need would take it from the triggers and foreign keys, which run as the owner.
        raise exception using errcode = 'restrict_violation', constraint = 'the_owner_has_every_access',
            message = format('"%s" owns the schema: it may do everything', login);
    end if;
    execute format('revoke all on all tables in schema promptctl from %I', login);
    execute format('revoke all on all routines in schema promptctl from %I', login);
    execute format('grant usage on schema promptctl to %I', login);
    for routine in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'promptctl'::regnamespace
          and p.proname = any (
              array['expect_schema_version', 'current_author', 'current_reason', 'explain_resolve', 'rolled_below']
              || case when access in ('application', 'operator')
                      then array['resolve', 'record_use', 'record_uses', 'record_fallbacks', 'score_use', 'bucket',
                                 'new_use_id', 'follow', 'read_versions', 'prompt_names'] end
              || case when access = 'operator'
                      then array['activate', 'rollback', 'rollback_release', 'create_version', 'add_versions', 'retire',
                                 'describe', 'describe_versions', 'set_routes', 'begin_sync', 'open_release', 'note_source',
                                 'note_applied', 'split', 'end_split', 'roll_up_uses', 'drop_uses'] end)
    loop
        execute format('grant execute on function %s to %I', routine, login);
    end loop;
    if access in ('viewer', 'operator') then
        execute format('grant select on all tables in schema promptctl to %I', login);
    else
        execute format('grant select on promptctl.installation to %I', login);
    end if;
    if access = 'operator' then
        -- Not stats, which would be passed over in silence.
        execute format('grant insert, update (id, name, version, content, is_active, created_at, created_by, metadata) '
                       'on promptctl.prompts to %I', login);
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.grant_access(login text, access text) IS 'Gives a login role just what it needs and takes back the rest: viewer reads; application resolves and records; operator reads, resolves, records, creates, activates, rolls back, retires and syncs.';

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

COMMENT ON FUNCTION promptctl.histogram_bucket(value double precision) IS 'floor(32 * log2(value)): whoever takes the middle of the bucket, 2^((b+0.5)/32), is at most 1.1 % off.';

CREATE FUNCTION promptctl.is_exact(number numeric) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET extra_float_digits TO '1'
    RETURN CASE WHEN (trunc(number) = number) THEN true WHEN ((abs(number) < 0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000005) OR (abs(number) > '100000000000000000'::numeric)) THEN false ELSE ((to_jsonb((number)::double precision))::numeric = number) END;

COMMENT ON FUNCTION promptctl.is_exact(number numeric) IS 'Whether a number is the same to whoever reads its digits as a floating point number, as most languages do.';

CREATE FUNCTION promptctl.is_route(route jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    if jsonb_typeof(route) <> 'array' then
        return false;
    end if;
    return jsonb_array_length(route) between 1 and 100 and not exists (
        select from jsonb_array_elements(route) r (step)
        where case when jsonb_typeof(r.step) = 'object'
                       and jsonb_typeof(coalesce(r.step -> 'when', 'null')) = 'object'
                       and jsonb_typeof(coalesce(r.step -> 'use', 'null')) = 'string'
            then (select count(*) from jsonb_object_keys(r.step)) <> 2
                 or coalesce((select bool_or(case jsonb_typeof(w.value) when 'string' then false when 'boolean' then false
                                             when 'number' then not promptctl.is_exact(w.value::numeric) else true end)
                              from jsonb_each(r.step -> 'when') w), true)
                 or r.step ->> 'use' !~ '^[^@]+(@[1-9][0-9]{0,9})?$'
                 or coalesce(substring(r.step ->> 'use' from '@(.*)$')::bigint > 2147483647, false)
            else true end);
end
$_$;

COMMENT ON FUNCTION promptctl.is_route(route jsonb) IS 'Whether this is a list of 1 to 100 steps {"when": {attribute: text, number or truth}, "use": "NAME" or "NAME@VERSION"}. A fraction is one that has a floating point number of its own, so that it is compared alike everywhere.';

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
            -- A row that was locked in a subtransaction, as lock_prompts does, and then changed bears both, as a set.
            marks := marks || array(select m.xid from pg_get_multixact_members(mark) m);
        exception when others then
            null; -- It is no set: a single transaction id.
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
        -- Locked and not changed, or not yet visible to us: name whoever has the table in hand.
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

COMMENT ON FUNCTION promptctl.lock_holders(names text[]) IS 'Who holds the rows of these prompts, for people to read.';

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE promptctl.served (
    name text NOT NULL COLLATE pg_catalog."C",
    active_version integer,
    candidate_version integer,
    basis_points integer DEFAULT 0 NOT NULL,
    seed text,
    "position" integer,
    epoch integer DEFAULT 0 NOT NULL,
    next_version bigint DEFAULT 1 NOT NULL,
    route jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    serves_retired boolean GENERATED ALWAYS AS (false) STORED,
    CONSTRAINT a_candidate_is_not_the_active_version CHECK ((candidate_version <> active_version)),
    CONSTRAINT a_name_has_at_most_200_characters CHECK ((length(name) <= 200)),
    CONSTRAINT a_name_has_no_segment_like_a_file CHECK ((name !~* '(^|/)(v[0-9]+[.](txt|md)|prompt[.]ya?ml)(/|$)'::text)),
    CONSTRAINT a_name_is_not_a_number CHECK ((name ~ '[^0-9]'::text)),
    CONSTRAINT a_name_is_segments_joined_by_slashes CHECK ((name ~ '^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$'::text)),
    CONSTRAINT a_route_is_a_list_of_when_and_use CHECK (promptctl.is_route(route)),
    CONSTRAINT a_share_is_at_most_10000_basis_points CHECK (((basis_points >= 0) AND (basis_points <= 10000))),
    CONSTRAINT a_split_has_a_seed_and_a_share CHECK ((((candidate_version IS NULL) = (seed IS NULL)) AND ((candidate_version IS NOT NULL) OR (basis_points = 0)))),
    CONSTRAINT a_split_needs_an_active_version CHECK (((candidate_version IS NULL) OR (active_version IS NOT NULL))),
    CONSTRAINT epochs_count_from_0 CHECK ((epoch >= 0)),
    CONSTRAINT numbers_count_from_1 CHECK (((next_version >= 1) AND (next_version <= '2147483648'::bigint)))
);

COMMENT ON TABLE promptctl.served IS 'What is served: one row per prompt, from its creation on. Every writer locks this row first, several in name order.';

COMMENT ON COLUMN promptctl.served.active_version IS 'The version served by default; null: none.';

COMMENT ON COLUMN promptctl.served.candidate_version IS 'A second version that gets a share of the traffic; null: no split.';

COMMENT ON COLUMN promptctl.served.basis_points IS 'The candidate''s share, out of 10 000.';

COMMENT ON COLUMN promptctl.served.seed IS 'What a unit is hashed with; kept while the share changes.';

COMMENT ON COLUMN promptctl.served."position" IS 'The epoch of the move at which the prompt stands in its history; rollback walks to that move''s parent.';

COMMENT ON COLUMN promptctl.served.epoch IS 'Counts the changes of who gets what, from 1; 0: nothing was ever served.';

COMMENT ON COLUMN promptctl.served.next_version IS 'The highest number + 1; it never falls, so no number is used twice.';

COMMENT ON COLUMN promptctl.served.route IS 'Other prompts for other users: a list of {"when": {attribute: value}, "use": "NAME"}, of which the first that matches is resolved instead; null: none.';

COMMENT ON CONSTRAINT a_candidate_is_not_the_active_version ON promptctl.served IS 'A split is between two versions.';

COMMENT ON CONSTRAINT a_name_has_at_most_200_characters ON promptctl.served IS 'It has to fit a file system.';

COMMENT ON CONSTRAINT a_name_has_no_segment_like_a_file ON promptctl.served IS 'v3.txt and prompt.yaml are files of the folder in Git.';

COMMENT ON CONSTRAINT a_name_is_not_a_number ON promptctl.served IS 'A bare number is a forgotten name.';

COMMENT ON CONSTRAINT a_name_is_segments_joined_by_slashes ON promptctl.served IS 'A name is also a folder path and is written in shells: letters, digits, dot, dash, underscore.';

COMMENT ON CONSTRAINT a_route_is_a_list_of_when_and_use ON promptctl.served IS 'Flat scalars only, which every language compares alike.';

COMMENT ON CONSTRAINT a_share_is_at_most_10000_basis_points ON promptctl.served IS 'Basis points: 10 000 is everyone.';

COMMENT ON CONSTRAINT a_split_has_a_seed_and_a_share ON promptctl.served IS 'Candidate and seed come and go together.';

COMMENT ON CONSTRAINT a_split_needs_an_active_version ON promptctl.served IS 'A share of nothing is no split.';

COMMENT ON CONSTRAINT epochs_count_from_0 ON promptctl.served IS 'Counted by the database.';

COMMENT ON CONSTRAINT numbers_count_from_1 ON promptctl.served IS 'A version is 1 to 2147483647.';

CREATE FUNCTION promptctl.lock_prompts(names text[]) RETURNS SETOF promptctl.served
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
begin
    return query
        select s.* from promptctl.served s where s.name = any (lock_prompts.names) order by s.name for no key update;
exception when lock_not_available then
    raise exception using errcode = 'lock_not_available', constraint = 'a_prompt_is_changed_by_one_at_a_time',
        message = format('%s is held by %s', '"' || array_to_string(names[:3], '", "') || '"',
                         promptctl.lock_holders(names));
end
$$;

COMMENT ON FUNCTION promptctl.lock_prompts(names text[]) IS 'Locks the rows of these prompts in name order, waits at most 3 s, and names the holder after that.';

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

COMMENT ON FUNCTION promptctl.matching_step(route jsonb, attributes jsonb) IS 'The first step of a route, from 0, whose conditions are all among the attributes; null: none.';

CREATE FUNCTION promptctl.merged(parts promptctl.histogram[]) RETURNS promptctl.histogram
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ROW(array_agg(m.bucket), array_agg(m.number))::promptctl.histogram AS "row"
    FROM ( SELECT c.bucket,
             (sum(c.number))::bigint AS number
            FROM (unnest(merged.parts) p(buckets, counts)
              CROSS JOIN LATERAL UNNEST(p.buckets, p.counts) c(bucket, number))
           GROUP BY c.bucket
           ORDER BY c.bucket) m
  HAVING (count(*) > 0);
END;

COMMENT ON FUNCTION promptctl.merged(parts promptctl.histogram[]) IS 'Histograms, of which some may be missing, as one; null: all are.';

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
 SELECT (COALESCE((current_setting('promptctl.given_allowance'::text, true) = 'on'::text), false) OR COALESCE((lower(current_setting('promptctl.allow_new_variables'::text, true)) = ANY (ARRAY['on'::text, 'true'::text, 'yes'::text, '1'::text])), false));
END;

COMMENT ON FUNCTION promptctl.new_variables_are_allowed() IS 'Whether a version may become active that needs a variable which the active one does not: by a function''s argument, or by the setting promptctl.allow_new_variables = on.';

CREATE FUNCTION promptctl.next_number(served promptctl.served) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if served.next_version > 2147483647 then
        raise exception using errcode = 'restrict_violation', constraint = 'numbers_count_from_1',
            message = format('"%s" has no number left', served.name);
    end if;
    return served.next_version;
end
$$;

COMMENT ON FUNCTION promptctl.next_number(served promptctl.served) IS 'The next number of a prompt whose row is locked.';

CREATE FUNCTION promptctl.note_applied(source text, prompts jsonb, author text DEFAULT NULL::text, adopts boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    claimed text;
begin
    if not adopts then
        select format('"%s" comes from another source, %s', a.name, a.source) into claimed
        from jsonb_to_recordset(prompts) as p (name text)
        join promptctl.applied a on a.name = p.name where a.source <> note_applied.source limit 1;
        if found then
            raise exception using errcode = 'unique_violation', constraint = 'a_prompt_comes_from_one_source',
                message = claimed;
        end if;
    end if;
    insert into promptctl.applied as a (source, name, active_version, route, metadata, has_said_version, has_said_route,
                                        digest, is_settled, next_version, applied_by)
    select note_applied.source, p.name, p.active, nullif(p.route, 'null'), coalesce(p.metadata, '{}'),
           p.active is not null, nullif(p.route, 'null') is not null, decode(p.digest, 'hex'),
           coalesce(p.is_settled and p.digest is not null, false), s.next_version,
           coalesce(nullif(note_applied.author, ''), promptctl.current_author())
    from jsonb_to_recordset(prompts)
        as p (name text, active integer, route jsonb, metadata jsonb, digest text, is_settled boolean)
    join promptctl.served s on s.name = p.name
    order by p.name collate "C"
    on conflict on constraint a_prompt_comes_from_one_source do update
        set source = excluded.source, active_version = excluded.active_version, route = excluded.route,
            metadata = excluded.metadata, has_said_version = a.has_said_version or excluded.has_said_version,
            has_said_route = a.has_said_route or excluded.has_said_route, digest = excluded.digest,
            is_settled = excluded.is_settled, next_version = excluded.next_version, applied_by = excluded.applied_by,
            applied_at = now()
        where (a.source, a.active_version, a.route, a.metadata, a.digest, a.is_settled, a.next_version)
              is distinct from (excluded.source, excluded.active_version, excluded.route, excluded.metadata,
                                excluded.digest, excluded.is_settled, excluded.next_version);
end
$$;

COMMENT ON FUNCTION promptctl.note_applied(source text, prompts jsonb, author text, adopts boolean) IS 'Remembers what a source said of prompts, as the third side of its next sync: a JSON array of objects with name, active, route, metadata, digest, is_settled. A prompt of another source is refused, unless it is adopted.';

CREATE FUNCTION promptctl.note_source(source text, commit text DEFAULT NULL::text, committed_at timestamp with time zone DEFAULT NULL::timestamp with time zone, author text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    insert into promptctl.sources (source, commit, committed_at, applied_by)
    values (note_source.source, note_source.commit, note_source.committed_at,
            coalesce(nullif(note_source.author, ''), promptctl.current_author()))
    on conflict on constraint a_source_has_one_row do update
        -- A copy without Git does not make forgotten which commit came last.
        set commit = coalesce(excluded.commit, sources.commit),
            committed_at = case when excluded.commit is null then sources.committed_at else excluded.committed_at end,
            applied_at = now(),
            applied_by = excluded.applied_by;
end
$$;

COMMENT ON FUNCTION promptctl.note_source(source text, commit text, committed_at timestamp with time zone, author text) IS 'Remembers which commit of a source was applied last.';

CREATE FUNCTION promptctl.open_prompts(names text[]) RETURNS SETOF promptctl.served
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
        raise exception using errcode = 'lock_not_available', constraint = 'a_prompt_is_changed_by_one_at_a_time',
            message = format('%s is held by %s', '"' || array_to_string(names[:3], '", "') || '"',
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

COMMENT ON FUNCTION promptctl.open_prompts(names text[]) IS 'Locks the rows of these prompts, and makes those that are not there yet.';

CREATE FUNCTION promptctl.open_release(author text DEFAULT NULL::text, reason text DEFAULT NULL::text, source text DEFAULT NULL::text, origin jsonb DEFAULT NULL::jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    number bigint;
begin
    perform promptctl.begin_change(author, reason);
    insert into promptctl.releases as r (kind, author, reason, source, origin)
    values ('sync', promptctl.current_author(), promptctl.current_reason(), open_release.source, open_release.origin)
    returning r.release into number;
    perform promptctl.end_change();
    return number;
end
$$;

COMMENT ON FUNCTION promptctl.open_release(author text, reason text, source text, origin jsonb) IS 'Begins the release of a sync, to which this transaction then adds versions, corrections, routes and activations.';

CREATE FUNCTION promptctl.prompt_names() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT s.name
    FROM promptctl.served s
   ORDER BY s.name
  LIMIT 10000;
END;

COMMENT ON FUNCTION promptctl.prompt_names() IS 'The names there are, at most 10 000, for whoever mistyped one.';

CREATE FUNCTION promptctl.read_versions(names text[], versions integer[]) RETURNS SETOF promptctl.read_version
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
begin
    return query
        select v.name, v.version, s.epoch, v.content, v.settings, v.metadata
        from unnest(names, versions) n (name, version)
        join promptctl.versions v on v.name = n.name and v.version = n.version
        join promptctl.served s on s.name = v.name;
end
$$;

COMMENT ON FUNCTION promptctl.read_versions(names text[], versions integer[]) IS 'These versions, those that are retired too; one that is not there has no row.';

CREATE FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) RETURNS promptctl.booked
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
    if exists (select from unnest(array[
            cardinality(names), cardinality(ages_ms), cardinality(models), cardinality(input_tokens),
            cardinality(output_tokens), cardinality(response_ms), cardinality(outcomes)]) f (number)
               where coalesce(f.number, 0) <> sent) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'every_use_has_every_field',
            message = 'the fields of the calls differ in number';
    end if;
    perform promptctl.require_ages(ages_ms);
    select count(*) into late from unnest(ages_ms) a (age)
    where received_at - make_interval(secs => greatest(a.age, 0) / 1000) < kept_from;
    insert into promptctl.fallbacks (id, name, recorded_at, model, input_tokens, output_tokens, response_ms, outcome)
    select f.id, left(f.name, 300), received_at - make_interval(secs => greatest(f.age, 0) / 1000), f.model,
           f.input_tokens, f.output_tokens, f.response_ms, f.outcome
    from unnest(ids, names, ages_ms, models, input_tokens, output_tokens, response_ms, outcomes)
        f (id, name, age, model, input_tokens, output_tokens, response_ms, outcome)
    where received_at - make_interval(secs => greatest(f.age, 0) / 1000) >= kept_from
    order by f.id
    on conflict do nothing;
    get diagnostics recorded = row_count;
    perform promptctl.require_kept(ages_ms, received_at, kept_from);
    return (recorded, sent - recorded - late, late)::promptctl.booked;
end
$$;

COMMENT ON FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) IS 'Books calls of a model with a text of the application''s own; see record_uses.';

CREATE FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint DEFAULT NULL::bigint, output_tokens bigint DEFAULT NULL::bigint, response_ms double precision DEFAULT NULL::double precision, model text DEFAULT NULL::text, unit text DEFAULT NULL::text, outcome text DEFAULT 'ok'::text, score double precision DEFAULT NULL::double precision, use_id uuid DEFAULT NULL::uuid, cache_read_tokens bigint DEFAULT NULL::bigint, cache_write_tokens bigint DEFAULT NULL::bigint, first_token_ms double precision DEFAULT NULL::double precision, request_id text DEFAULT NULL::text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    recorded constant uuid := coalesce(use_id, promptctl.new_use_id());
    seed text;
begin
    perform from promptctl.versions v where v.name = record_use.name and v.version = record_use.version;
    if not found then
        perform promptctl.require_prompts(array[record_use.name]);
        perform promptctl.require_version(record_use.name, record_use.version, 'any');
    end if;
    if unit is not null then
        select a.seed into seed from promptctl.allocations a
        where a.name = record_use.name and a.epoch = record_use.epoch;
    end if;
    insert into promptctl.uses (id, name, version, epoch, bucket, model, input_tokens, output_tokens, response_ms,
                                outcome, score, cache_read_tokens, cache_write_tokens, first_token_ms, request_id)
    values (recorded, record_use.name, record_use.version, record_use.epoch,
            promptctl.bucket(coalesce(seed, record_use.name), unit), record_use.model, record_use.input_tokens,
            record_use.output_tokens, record_use.response_ms, record_use.outcome, record_use.score,
            record_use.cache_read_tokens, record_use.cache_write_tokens, record_use.first_token_ms,
            record_use.request_id)
    on conflict do nothing;
    return recorded;
end
$$;

COMMENT ON FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint, output_tokens bigint, response_ms double precision, model text, unit text, outcome text, score double precision, use_id uuid, cache_read_tokens bigint, cache_write_tokens bigint, first_token_ms double precision, request_id text) IS 'Books one call of a model on the version that was served: tokens, milliseconds, and an outcome, "ok" or the name of an error. input_tokens is all of the input, of which cache_read_tokens and cache_write_tokens are parts. What was not reported is null. Sent again with the same use_id it counts once. Returns the use_id.';

CREATE FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) RETURNS promptctl.booked
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    place constant bigint := promptctl.recording_place();
    received_at constant timestamptz := clock_timestamp();
    kept_from constant timestamptz := coalesce((select r.dropped_before from promptctl.roll_up r), '-infinity');
    sent constant bigint := coalesce(cardinality(ids), 0);
    late bigint := 0;
    recorded bigint;
    unknown record;
begin
    if exists (select from unnest(array[
            cardinality(names), cardinality(versions), cardinality(epochs), cardinality(ages_ms), cardinality(buckets),
            cardinality(models), cardinality(input_tokens), cardinality(output_tokens), cardinality(cache_read_tokens),
            cardinality(cache_write_tokens), cardinality(response_ms), cardinality(first_token_ms),
            cardinality(outcomes), cardinality(scores), cardinality(request_ids)]) f (number)
               where coalesce(f.number, 0) <> sent) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'every_use_has_every_field',
            message = 'the fields of the uses differ in number';
    end if;
    perform promptctl.require_ages(ages_ms);
    select u.name, u.version into unknown from (select distinct * from unnest(names, versions)) u (name, version)
    where not exists (select from promptctl.versions v where v.name = u.name and v.version = u.version) limit 1;
    if found then
        perform promptctl.require_prompts(array[unknown.name]);
        perform promptctl.require_version(unknown.name, unknown.version, 'any');
    end if;
    if kept_from > '-infinity' then
        select count(*) into late from unnest(ages_ms) a (age)
        where received_at - make_interval(secs => greatest(a.age, 0) / 1000) < kept_from;
    end if;
    insert into promptctl.uses (id, name, version, epoch, recorded_at, bucket, model, input_tokens, output_tokens,
                                cache_read_tokens, cache_write_tokens, response_ms, first_token_ms, outcome, score,
                                request_id, recorded_in)
    select u.id, u.name, u.version, u.epoch, received_at - make_interval(secs => greatest(u.age, 0) / 1000), u.bucket,
           u.model, u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens, u.response_ms,
           u.first_token_ms, u.outcome, u.score, u.request_id, place
    from unnest(ids, names, versions, epochs, ages_ms, buckets, models, input_tokens, output_tokens, cache_read_tokens,
                cache_write_tokens, response_ms, first_token_ms, outcomes, scores, request_ids)
        u (id, name, version, epoch, age, bucket, model, input_tokens, output_tokens, cache_read_tokens,
           cache_write_tokens, response_ms, first_token_ms, outcome, score, request_id)
    where late = 0 or received_at - make_interval(secs => greatest(u.age, 0) / 1000) >= kept_from
    -- Two that send the same in another order would each wait for what the other has.
    order by u.id
    on conflict do nothing;
    get diagnostics recorded = row_count;
    perform promptctl.require_kept(ages_ms, received_at, kept_from);
    return (recorded, sent - recorded - late, late)::promptctl.booked;
end
$$;

COMMENT ON FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) IS 'Books many uses at once, all or none, from arrays of one length; see record_use. Each has a bucket instead of a unit, and an age: how many milliseconds ago it was, because clocks differ. What is there already counts once, and what is older than single uses are kept for does not count: it may have been there.';

CREATE FUNCTION promptctl.recording_place() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    number constant bigint := pg_current_xact_id()::text::bigint;
    mark promptctl.roll_up;
begin
    select * into mark from promptctl.roll_up;
    if number + mark.added >= mark.rolled_below then
        return number + mark.added;
    end if;
    -- In a cluster that has counted less than the one where these rows were dumped. catch_up waits for whoever holds
    -- this lock, so that what we read is still so when we end.
    select * into mark from promptctl.roll_up for share;
    return greatest(number + mark.added, mark.rolled_below);
end
$$;

COMMENT ON FUNCTION promptctl.recording_place() IS 'The number of this transaction among those that record uses: not below roll_up.rolled_below, and no roll-up goes beyond it before this transaction has ended.';

CREATE FUNCTION promptctl.refuse() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
        schema = tg_table_schema, message = tg_argv[0];
end
$$;

COMMENT ON FUNCTION promptctl.refuse() IS 'A rule that has no exception: the trigger''s argument is its message.';

CREATE FUNCTION promptctl.refuse_by_hand() RETURNS trigger
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

COMMENT ON FUNCTION promptctl.refuse_by_hand() IS 'A table that only triggers write: a direct insert is refused.';

CREATE FUNCTION promptctl.refuse_others() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if current_setting('promptctl.at_work', true) is distinct from pg_current_xact_id()::text then
        raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
            schema = tg_table_schema, message = tg_argv[0];
    end if;
    return null;
end
$$;

COMMENT ON FUNCTION promptctl.refuse_others() IS 'A table that only our functions write, which say so for their transaction: what is written by hand would be counted twice, or not at all.';

CREATE FUNCTION promptctl.require_ages(ages_ms double precision[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    -- A negative one is of a clock that was set back: now. NaN is greater than any number.
    if exists (select from unnest(ages_ms) a (age) where a.age > 1e12) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'an_age_is_at_most_31_years',
            message = 'an age is a number of milliseconds, at most 1e12';
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_ages(ages_ms double precision[]) IS 'Refuses what is not so many milliseconds ago.';

CREATE FUNCTION promptctl.require_kept(ages_ms double precision[], received_at timestamp with time zone, kept_from timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if exists (select from promptctl.roll_up r, unnest(ages_ms) a (age)
               where r.dropped_before > kept_from
                 and received_at - make_interval(secs => greatest(a.age, 0) / 1000) < r.dropped_before) then
        raise exception using errcode = 'serialization_failure', constraint = 'uses_are_not_dropped_as_they_arrive',
            message = 'uses of that time were dropped meanwhile: one of these may have been there';
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_kept(ages_ms double precision[], received_at timestamp with time zone, kept_from timestamp with time zone) IS 'Refuses what was dropped while it was being booked, because it can have been there before: it is sent again.';

CREATE FUNCTION promptctl.require_no_new_variables(name text, active_version integer, version integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    needed text[];
    known text[];
begin
    select v.required_variables into needed from promptctl.versions v
    where v.name = require_no_new_variables.name and v.version = require_no_new_variables.version;
    if cardinality(needed) > 0 then
        select v.required_variables into known from promptctl.versions v
        where v.name = require_no_new_variables.name and v.version = require_no_new_variables.active_version;
        if not needed <@ known and not promptctl.new_variables_are_allowed() then
            raise exception using errcode = 'restrict_violation', constraint = 'a_version_needs_no_new_variable',
                message = format('%s@%s needs %s, which the active version %s does not', name, version,
                    (select string_agg(n.variable, ', ' order by n.place)
                     from unnest(needed) with ordinality n (variable, place) where not n.variable = any (known)),
                    active_version),
                hint = 'set promptctl.allow_new_variables = on, when the application gives it';
        end if;
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_no_new_variables(name text, active_version integer, version integer) IS 'Refuses a version that needs a variable which the active one does not: the running application would not give it.';

CREATE FUNCTION promptctl.require_prompts(names text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
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

COMMENT ON FUNCTION promptctl.require_prompts(names text[]) IS 'Refuses a name that is not there, or that is there twice.';

CREATE FUNCTION promptctl.require_route_leads_somewhere(name text, route jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
declare
    target text;
    around text;
begin
    for target in select promptctl.route_targets(route) loop
        if not exists (select from promptctl.served s where s.name = split_part(target, '@', 1)) then
            raise exception using errcode = 'restrict_violation', constraint = 'a_route_leads_to_a_prompt',
                message = format('the route of "%s" leads to "%s", which is no prompt', name, target);
        elsif target ~ '@' and not exists (select from promptctl.versions v
                                           where v.name = split_part(target, '@', 1) and not v.is_retired
                                             and v.version = split_part(target, '@', 2)::integer) then
            raise exception using errcode = 'restrict_violation', constraint = 'a_route_leads_to_a_prompt',
                message = format('the route of "%s" leads to %s, which is no version in use', name, target);
        end if;
    end loop;
    -- A step to a version of the prompt itself ends there.
    with recursive reached (name, path) as (
        select t.target, array[require_route_leads_somewhere.name, t.target]
        from promptctl.route_targets(require_route_leads_somewhere.route) t (target) where t.target !~ '@'
        union all
        select t.target, r.path || t.target
        from reached r
        join promptctl.served s on s.name = r.name
        cross join promptctl.route_targets(s.route) t (target)
        where t.target !~ '@' and r.name <> require_route_leads_somewhere.name and not t.target = any (r.path[2:])
    )
    select array_to_string(r.path, ' -> ') into around from reached r
    where r.name = require_route_leads_somewhere.name limit 1;
    if found then
        raise exception using errcode = 'restrict_violation', constraint = 'a_route_leads_not_in_a_circle',
            message = format('the route of "%s" leads in a circle: %s', name, around);
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_route_leads_somewhere(name text, route jsonb) IS 'Refuses a route to a prompt or version that is not there, and one that leads back to where it begins.';

CREATE FUNCTION promptctl.require_version(name text, version integer, lifecycle text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    is_retired boolean;
begin
    select v.is_retired into is_retired from promptctl.versions v
    where v.name = require_version.name and v.version = require_version.version;
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'version_exists', detail = name,
            message = format('"%s" has no version %s', name, version);
    end if;
    if is_retired and lifecycle = 'in use' then
        raise exception using errcode = 'restrict_violation', constraint = 'a_retired_version_is_not_served',
            message = format('%s@%s is retired', name, version),
            hint = format('promptctl delete --undo %s@%s', name, version);
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.require_version(name text, version integer, lifecycle text) IS 'Refuses a version that is not there or, for the lifecycle ''in use'', that is retired.';

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

COMMENT ON FUNCTION promptctl.required_variables(variables text[], settings jsonb) IS 'Those of a template''s variables that whoever renders it has to give: without a default, and not said to be optional.';

CREATE FUNCTION promptctl.resolve(name text, unit text DEFAULT NULL::text, attributes jsonb DEFAULT '{}'::jsonb) RETURNS SETOF promptctl.resolved
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    served promptctl.served;
    target text;
begin
    -- As explain_resolve, but every request of an application waits for it: two look-ups by key, and what is due.
    select * into served from promptctl.served s where s.name = resolve.name;
    if served.route is not null then
        target := served.route -> promptctl.matching_step(served.route, attributes) ->> 'use';
        if target is not null then
            select * into served from promptctl.served s where s.name = split_part(target, '@', 1);
            if strpos(target, '@') > 0 then
                served.active_version := split_part(target, '@', 2);
                served.candidate_version := null;
            end if;
        end if;
    end if;
    if served.candidate_version is not null
        and coalesce(promptctl.bucket(served.seed, unit), floor(random() * 10000)) < served.basis_points then
        served.active_version := served.candidate_version;
    end if;
    return query
        select v.name, v.version, served.epoch, v.content, v.settings, v.metadata
        from promptctl.versions v where v.name = served.name and v.version = served.active_version;
    if not found or jsonb_typeof(attributes) <> 'object' then
        perform promptctl.explain_resolve(resolve.name, unit, attributes); -- It says what is wrong.
    end if;
end
$$;

COMMENT ON FUNCTION promptctl.resolve(name text, unit text, attributes jsonb) IS 'The version of a prompt to use now for a unit, what a split is sticky on, with these attributes, which choose the step of a route. Raises when nothing can be served. explain_resolve says why.';

CREATE FUNCTION promptctl.retire(name text, version integer, undo boolean DEFAULT false, author text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    served promptctl.served;
    changed bigint;
begin
    perform promptctl.require_prompts(array[retire.name]);
    select * into served from promptctl.lock_prompts(array[retire.name]);
    perform promptctl.require_version(retire.name, retire.version, 'any');
    perform promptctl.begin_change(author, reason);
    if not undo and retire.version in (served.active_version, served.candidate_version) then
        raise exception using errcode = 'restrict_violation', constraint = 'a_served_version_is_not_retired',
            message = format('%s@%s is %s', served.name, retire.version,
                case when served.active_version = retire.version then 'active' else 'a candidate' end),
            -- Not the command that would move it: whoever mistyped the number would move what is live.
            hint = format('promptctl show %s', served.name);
    end if;
    update promptctl.versions v set retired_at = case when undo then null else now() end
    where v.name = retire.name and v.version = retire.version and v.is_retired = undo;
    get diagnostics changed = row_count;
    perform promptctl.end_change();
    return changed > 0;
end
$$;

COMMENT ON FUNCTION promptctl.retire(name text, version integer, undo boolean, author text, reason text) IS 'Takes a version out of use, or with undo back in; its text, history and uses stay. False: it was so already.';

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
    added bigint := 0;
begin
    perform set_config('promptctl.at_work', pg_current_xact_id()::text, true);
    select * into mark from promptctl.roll_up;
    -- Those who are within a thousand transactions catch up by themselves, and may have.
    if pg_snapshot_xmax(pg_current_snapshot())::text::bigint + mark.added + 1000 < mark.rolled_below then
        perform promptctl.catch_up();
    end if;
    -- One at a time; whoever comes second has nothing to do.
    select * into mark from promptctl.roll_up for no key update skip locked;
    if not found then
        perform set_config('promptctl.at_work', '', true);
        return null;
    end if;
    -- Every transaction below has ended: none of them can still record one.
    horizon := pg_snapshot_xmin(pg_current_snapshot())::text::bigint + mark.added;
    -- They lie in about the order of recording, and are read as they lie, or the first so many would be those of one
    -- prompt: whatever was recorded no later than these.
    select count(*), max(f.recorded_in) into waiting, last_place
    from (select u.recorded_in from promptctl.uses u
          where u.recorded_in >= mark.rolled_below and u.recorded_in < horizon limit at_most) f;
    horizon := greatest(mark.rolled_below, case when waiting = at_most then last_place + 1 else horizon end);

    if waiting > 0 then
        with hours as materialized (
            select u.name, u.version, date_bin('1 hour', u.recorded_at, '2000-01-01 00:00:00+00') as starts_at, u.model,
                   u.outcome = 'ok' as is_ok, promptctl.use_size(u.input_tokens) as size,
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
            -- Hour by hour: sorting and counting all of them at once took as long as all the rest.
            cross join lateral (
                select array_agg(b.bucket) as buckets, array_agg(b.number) as counts
                from (select e.bucket, count(*) as number from unnest(h.buckets) e (bucket)
                      where e.bucket is not null group by e.bucket order by e.bucket) b) t
        ), sums as (
            select g.grain, c.name, c.version, g.starts_at, c.model, c.is_ok, c.size, sum(c.uses) as uses,
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
                       else promptctl.merged(s.response_times) end,
                   s.with_first_token, s.first_token_ms, s.with_score, s.score, s.last_used_at
            from sums s
            on conflict on constraint uses_are_added_up_once do update
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
                response_times = promptctl.merged(array[t.response_times, excluded.response_times]),
                with_first_token = t.with_first_token + excluded.with_first_token,
                first_token_ms = coalesce(t.first_token_ms + excluded.first_token_ms, t.first_token_ms,
                                          excluded.first_token_ms),
                with_score = t.with_score + excluded.with_score,
                score = coalesce(t.score + excluded.score, t.score, excluded.score),
                last_used_at = greatest(t.last_used_at, excluded.last_used_at)
        )
        select sum(h.uses) into added from hours h;
    end if;

    -- A score may be rolled up ahead of its use, whose transaction can have begun later.
    insert into promptctl.totals as t (
        grain, name, version, starts_at, model, is_ok, size, uses, without_unit, with_tokens, with_both, with_input,
        with_output, with_response, with_first_token, with_score, score)
    select g.grain, o.name, o.version, g.starts_at, o.model, o.is_ok, o.size, 0, 0, 0, 0, 0, 0, 0, 0,
           count(*) filter (where o.previous is null), sum(o.score - coalesce(o.previous, 0))
    from promptctl.scores o
    cross join lateral (values ('hour', date_trunc('hour', o.used_at, 'UTC')),
                               ('day', date_trunc('day', o.used_at, 'UTC')),
                               ('all', '-infinity'::timestamptz)) g (grain, starts_at)
    where o.recorded_in >= mark.rolled_below and o.recorded_in < horizon
    group by 1, 2, 3, 4, 5, 6, 7
    on conflict on constraint uses_are_added_up_once do update
    set with_score = t.with_score + excluded.with_score,
        score = coalesce(t.score + excluded.score, t.score, excluded.score);

    if added = 0 then
        -- What was recorded in a cluster that had counted further would stay single until this one has, too.
        update promptctl.uses u set recorded_in = horizon
        where u.recorded_in > greatest(horizon, pg_snapshot_xmax(pg_current_snapshot())::text::bigint + mark.added);
        update promptctl.scores o set recorded_in = horizon
        where o.recorded_in > greatest(horizon, pg_snapshot_xmax(pg_current_snapshot())::text::bigint + mark.added);
    end if;
    update promptctl.roll_up r set rolled_below = horizon, rolled_up_at = clock_timestamp()
    where r.rolled_below <> horizon;
    perform set_config('promptctl.at_work', '', true);
    return added;
end
$$;

COMMENT ON FUNCTION promptctl.roll_up_uses(at_most bigint) IS 'Adds uses that are not yet in totals to them, about so many, and returns how many; null: another session is at it. In one transaction with the watermark, so that it can be killed at any moment. Only uses of transactions that have ended with all before them: one that comes late comes with the next.';

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
    perform promptctl.require_prompts(names);
    if (to_version is not null or expected_version is not null) and cardinality(names) <> 1 then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'a_goal_is_for_one_prompt',
            message = 'a goal or an expected version is for one prompt';
    end if;
    for served in select * from promptctl.lock_prompts(names) loop
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
            -- No row: an empty node, whose parent is null.
            select a.* into node from promptctl.allocations a where a.name = served.name and a.epoch = node.parent;
            exit when not found;
            exit when node.version <> coalesce(served.active_version, 0)
                and node.version = coalesce(to_version, node.version)
                and not exists (select from promptctl.versions v
                                where v.name = node.name and v.version = node.version and v.is_retired);
        end loop;
        if node.epoch is null then
            raise exception using errcode = 'restrict_violation', constraint = 'a_rollback_goes_to_what_was_active',
                message = case
                    when to_version is not null
                        then format('"%s" has no version %s behind it to roll back to', served.name, to_version)
                    else format('"%s" has nothing to roll back to', served.name)
                end,
                hint = case
                    when to_version is not null then format('promptctl activate %s@%s', served.name, to_version)
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

COMMENT ON FUNCTION promptctl.rollback(names text[], to_version integer, expected_version integer, author text, reason text, allow_new_variables boolean) IS 'Goes back along the history, all prompts or none: to the move before the one at which the prompt stands, past moves to nothing, to a retired version, to the active one and, with to_version, to any other. It never toggles. With a split running and no other goal it ends the split.';

CREATE FUNCTION promptctl.rollback_release(release bigint, skip_moved boolean DEFAULT false, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false) RETURNS SETOF promptctl.undone
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
declare
    undone promptctl.undone[];
    positions integer[];
    routes jsonb[];
    moved text[];
    number bigint;
begin
    perform from promptctl.releases r where r.release = rollback_release.release;
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'release_exists',
            message = format('no release %s', release), hint = 'promptctl release list';
    end if;
    perform promptctl.lock_prompts(array(select distinct a.name from promptctl.allocations a
                                         where a.release = rollback_release.release));

    with ours as (
        select a.name, a.epoch, a.version is distinct from a.previous_version as moves,
               a.route is distinct from b.route as routes, a.previous_version, a.route, b.route as route_before,
               b.position as position_before
        from promptctl.allocations a
        left join promptctl.allocations b on b.name = a.name and b.epoch = a.epoch - 1
        where a.release = rollback_release.release
    ), before as (
        select o.name, bool_or(o.moves) as moves, bool_or(o.routes) as routes,
               (array_agg(o.previous_version order by o.epoch) filter (where o.moves))[1] as version,
               (array_agg(o.position_before order by o.epoch) filter (where o.moves))[1] as position,
               max(o.epoch) filter (where o.moves) as moved_in,
               (array_agg(o.route_before order by o.epoch) filter (where o.routes))[1] as route_before,
               (array_agg(o.route order by o.epoch desc) filter (where o.routes))[1] as route_after
        from ours o group by o.name
    ), since as (
        select b.*, s.active_version, s.candidate_version, s.route as route_now, s.epoch,
               b.moves and c.epoch is distinct from b.moved_in as is_elsewhere,
               -- By an earlier call of this function, and not moved since.
               b.moves and c.epoch is distinct from b.moved_in and exists (
                   select from promptctl.releases r
                   where r.release = c.release and r.undoes = rollback_release.release) as is_back,
               b.routes and s.route is distinct from b.route_after and s.route is distinct from b.route_before
                   as has_another_route,
               b.routes and s.route is distinct from b.route_before as has_its_route,
               c.kind, c.author
        from before b
        join promptctl.served s on s.name = b.name
        left join lateral (
            select a.epoch, a.release, a.kind, a.author from promptctl.allocations a
            where a.name = b.name and a.version is distinct from a.previous_version
            order by a.epoch desc limit 1
        ) c on true
        where b.moves or b.routes
    ), found as (
        select n.*, (n.is_elsewhere and not n.is_back) or n.has_another_route as skips,
               n.moves and not n.is_elsewhere as goes_back
        from since n
    )
    select array_agg((f.name, case when f.goes_back and not f.skips then f.version else f.active_version end,
                      f.active_version, (f.goes_back or f.has_its_route) and not f.skips, f.skips,
                      f.goes_back and not f.skips and f.candidate_version is not null,
                      f.has_its_route and not f.skips, null, f.epoch)::promptctl.undone order by f.name),
           array_agg(f.position order by f.name),
           array_agg(f.route_before order by f.name),
           array_agg(case when f.has_another_route then format('the route of "%s"', f.name)
                          else format('"%s" (%s by %s)', f.name, f.kind, f.author) end order by f.name)
               filter (where f.skips)
    into undone, positions, routes, moved
    from found f;

    if moved is not null and not skip_moved then
        raise exception using errcode = 'restrict_violation', constraint = 'a_release_is_put_back_where_nothing_moved_since',
            message = format('%s moved since release %s%s', array_to_string(moved[:3], ', '), release,
                             case when cardinality(moved) > 3
                                 then format(', and %s more', cardinality(moved) - 3) else '' end);
    end if;
    perform promptctl.require_version(u.name, u.version, 'in use') from unnest(undone) u
    where u.version is distinct from u.previous_version and u.version is not null;

    if exists (select from unnest(undone) u where u.changed) then
        number := promptctl.begin_change(author, reason, 'release rollback', allow_new_variables, undoes => release);
        update promptctl.served s
        set active_version = u.version,
            candidate_version = case when u.version is distinct from s.active_version then null
                                    else s.candidate_version end,
            position = case when u.version is null or u.version is not distinct from s.active_version then s.position
                           else u.position end,
            route = case when u.route_changed then u.route else s.route end
        from unnest(undone, positions, routes)
            u (name, version, previous_version, changed, skipped, split_ended, route_changed, release, epoch, position,
               route)
        where s.name = u.name and u.changed;
        perform promptctl.end_change();
    end if;

    return query
        select u.name, u.version, u.previous_version, u.changed, u.skipped, u.split_ended, u.route_changed, number, s.epoch
        from unnest(undone) u
        join promptctl.served s on s.name = u.name order by u.name;
end
$$;

COMMENT ON FUNCTION promptctl.rollback_release(release bigint, skip_moved boolean, author text, reason text, allow_new_variables boolean) IS 'Puts back the pointers and routes that a release moved, all or none: each to where it was before. Where one has moved since it refuses, or with skip_moved leaves that prompt. What an earlier call put back counts as done. A split that the release ended does not begin again, and one that began since ends.';

CREATE TABLE promptctl.roll_up (
    singleton boolean DEFAULT true NOT NULL,
    rolled_below bigint DEFAULT 0 NOT NULL,
    added bigint DEFAULT 0 NOT NULL,
    dropped_before timestamp with time zone,
    rolled_up_at timestamp with time zone,
    CONSTRAINT there_is_one_watermark CHECK (singleton)
);

COMMENT ON TABLE promptctl.roll_up IS 'One row: how far the uses are added up in totals, moved in the transaction that adds them.';

COMMENT ON COLUMN promptctl.roll_up.rolled_below IS 'Uses with a smaller recorded_in are in totals, all others are not.';

COMMENT ON COLUMN promptctl.roll_up.added IS 'What is added to a transaction''s number: a database restored into a younger cluster goes on counting where it was.';

COMMENT ON COLUMN promptctl.roll_up.dropped_before IS 'Single uses before this moment are gone, and one that arrives as late as that is refused: it may be there already.';

COMMENT ON COLUMN promptctl.roll_up.rolled_up_at IS 'When that moved last.';

COMMENT ON CONSTRAINT there_is_one_watermark ON promptctl.roll_up IS 'The key has one value.';

CREATE FUNCTION promptctl.rolled_below() RETURNS bigint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT r.rolled_below
    FROM promptctl.roll_up r;
END;

COMMENT ON FUNCTION promptctl.rolled_below() IS 'As roll_up has it. Whoever plans a query asks a function, and learns how few uses may lie beyond; a subquery it does not.';

CREATE FUNCTION promptctl.route_targets(route jsonb) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (r.step ->> 'use'::text)
    FROM jsonb_array_elements(COALESCE(route_targets.route, '[]'::jsonb)) WITH ORDINALITY r(step, place)
   ORDER BY r.place;
END;

COMMENT ON FUNCTION promptctl.route_targets(route jsonb) IS 'What the steps of a route use, in their order: NAME or NAME@VERSION.';

CREATE FUNCTION promptctl.score_use(use_id uuid, score double precision) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    scored record;
begin
    if score is null then
        raise exception using errcode = 'not_null_violation', constraint = 'a_score_is_a_number',
            message = 'a score is a number, not null';
    end if;
    perform pg_advisory_xact_lock(7021771, hashtext(use_id::text));
    -- All in one statement, and so of one moment: what is about to be dropped has lost its scores, and with them what
    -- this one would replace.
    select u.name, u.version, u.recorded_at, u.model, u.outcome = 'ok' as is_ok,
           promptctl.use_size(u.input_tokens) as size, coalesce(o.place, 0) as place,
           coalesce(o.score, u.score) as score
    into scored
    from promptctl.uses u
    left join lateral (select l.place, l.score from promptctl.scores l
                       where l.use_id = u.id order by l.place desc limit 1) o on true
    where u.id = score_use.use_id
      and u.recorded_at >= coalesce((select r.dropped_before from promptctl.roll_up r), '-infinity');
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'use_exists',
            message = format('no use %s is kept', use_id);
    elsif scored.score = score_use.score then
        return false;
    end if;
    perform set_config('promptctl.at_work', pg_current_xact_id()::text, true);
    insert into promptctl.scores (use_id, place, name, version, used_at, model, is_ok, size, score, previous)
    values (score_use.use_id, scored.place + 1, scored.name, scored.version, scored.recorded_at, scored.model,
            scored.is_ok, scored.size, score_use.score, scored.score);
    perform set_config('promptctl.at_work', '', true);
    return true;
end
$$;

COMMENT ON FUNCTION promptctl.score_use(use_id uuid, score double precision) IS 'Gives a use its score, or another one: the last counts. False: it was so already. Refused when the use is not kept any more.';

CREATE FUNCTION promptctl.set_routes(names text[], routes jsonb, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, release bigint DEFAULT NULL::bigint, origins jsonb DEFAULT NULL::jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    changed bigint;
begin
    perform promptctl.require_prompts(names);
    if jsonb_typeof(routes) is distinct from 'array' or jsonb_array_length(routes) <> cardinality(names) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'every_prompt_has_its_route',
            message = 'names and routes differ in number';
    end if;
    -- The targets too, so that none of them is retired meanwhile.
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

COMMENT ON FUNCTION promptctl.set_routes(names text[], routes jsonb, author text, reason text, release bigint, origins jsonb) IS 'Gives each prompt its route, null or an empty list being none, all or none of them. Returns how many were not so already.';

CREATE FUNCTION promptctl.split(name text, basis_points integer, candidate integer DEFAULT NULL::integer, seed text DEFAULT NULL::text, author text DEFAULT NULL::text, reason text DEFAULT NULL::text, allow_new_variables boolean DEFAULT false) RETURNS promptctl.split_change
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    before promptctl.served;
    after promptctl.served;
begin
    perform promptctl.require_prompts(array[split.name]);
    select * into before from promptctl.lock_prompts(array[split.name]);
    candidate := coalesce(candidate, before.candidate_version);
    if candidate is null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_share_is_of_a_running_split',
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
            message = 'a share is 0 to 10000 basis points';
    end if;
    perform promptctl.require_version(before.name, candidate, 'in use');
    perform promptctl.begin_change(author, reason, allow_new_variables => allow_new_variables);
    perform set_config('promptctl.given_seed', coalesce(split.seed, ''), true);
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

COMMENT ON FUNCTION promptctl.split(name text, basis_points integer, candidate integer, seed text, author text, reason text, allow_new_variables boolean) IS 'Gives a candidate a share of the traffic of the active version, in basis points, or changes the share of the one that runs. The seed, <name>.<epoch> unless given, stays while the share changes: who has the candidate keeps it as it grows.';

CREATE FUNCTION promptctl.template_variables(content text, settings jsonb) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    style constant text := coalesce(settings ->> 'template', 'braces');
    path constant text := '[A-Za-z_][A-Za-z0-9_]*(?:[.][A-Za-z_][A-Za-z0-9_]*)*';
    whole_path constant text := '^' || path || '$';
    -- Of more than so many, each is looked for once, at the end.
    many constant integer := 50;
    pieces text[];
    piece text;
    before text;
    name text;
    found text[] := '{}';
    is_first boolean := true;
begin
    if style = 'none' or content not like '%{%' then
        return '{}';
    elsif style = 'mustache' then
        return array(
            select t.found[1] collate "C"
            from regexp_matches(content collate "C", '[{][{][ \t]*(' || path || ')[ \t]*[}][}]', 'g')
                with ordinality t (found, place)
            group by t.found[1] collate "C" order by min(t.place));
    end if;
    -- Cut at the braces, so that a regular expression sees names and not the whole text, and without a query, which would
    -- take as long as all of this.
    pieces := string_to_array(content, '{');
    foreach piece in array pieces[2:] loop
        name := split_part(piece, '}', 1);
        if (cardinality(found) >= many or not name = any (found))
            and octet_length(piece) > octet_length(name) and name ~ whole_path
            -- Nothing stands between two braces that open.
            and not (before = '' and not is_first and substr(piece, length(name) + 2, 1) = '}') then
            found := found || name;
        end if;
        before := piece;
        is_first := false;
    end loop;
    if cardinality(found) < many then
        return found;
    end if;
    return array(select v.name collate "C" from unnest(found) with ordinality v (name, place)
                 group by v.name collate "C" order by min(v.place));
end
$_$;

COMMENT ON FUNCTION promptctl.template_variables(content text, settings jsonb) IS 'The variables of a template, each once, in the order of their first places: {path}, not {{path}}; in the style mustache {{path}}; in the style none, none. A path is identifiers joined by dots: letters of ASCII, digits, _.';

CREATE FUNCTION promptctl.use_size(input_tokens bigint) RETURNS smallint
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (((COALESCE((input_tokens > 100000), false))::integer + (COALESCE((input_tokens > 200000), false))::integer))::smallint AS int2;
END;

COMMENT ON FUNCTION promptctl.use_size(input_tokens bigint) IS 'How many of the prices'' steps, at 100 000 and 200 000 tokens, an input is beyond.';

CREATE FUNCTION promptctl.write_prompts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '3s'
    AS $$
declare
    served promptctl.served;
begin
    -- A release is what our functions open; a setting of the session's own is none.
    perform set_config('promptctl.release', '', true);
    if tg_op = 'INSERT' then
        select * into served from promptctl.open_prompts(array[new.name]);
        new.version := coalesce(new.version, promptctl.next_number(served));
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
        raise exception using errcode = 'not_null_violation', constraint = 'a_version_is_active_or_not',
            message = format('is_active of %s@%s is true or false, not null', old.name, old.version);
    elsif new.is_active then
        update promptctl.served s set active_version = old.version
        where s.name = old.name and s.active_version is distinct from old.version;
    else
        -- Only while it is still the active one: another row of this statement may have activated its own.
        update promptctl.served s set active_version = null where s.name = old.name and s.active_version = old.version;
    end if;
    return new;
end
$$;

COMMENT ON FUNCTION promptctl.write_prompts() IS 'What writing to the view does.';

CREATE TABLE promptctl.allocations (
    name text NOT NULL COLLATE pg_catalog."C",
    epoch integer NOT NULL,
    kind text NOT NULL,
    previous_version integer,
    version integer,
    candidate_version integer,
    basis_points integer NOT NULL,
    seed text,
    parent integer,
    "position" integer,
    route jsonb,
    release bigint,
    origin jsonb,
    author text NOT NULL,
    reason text,
    database_user text DEFAULT SESSION_USER NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT an_allocation_is_of_a_known_kind CHECK ((kind = ANY (ARRAY['activate'::text, 'deactivate'::text, 'rollback'::text, 'split'::text, 'unsplit'::text, 'route'::text])))
);

COMMENT ON TABLE promptctl.allocations IS 'Who got what, and who changed it: one row per change, ordered by epoch and not by clock. Written by trigger.';

COMMENT ON COLUMN promptctl.allocations.previous_version IS 'The active version before this change.';

COMMENT ON COLUMN promptctl.allocations.version IS 'The active version after it; null: none.';

COMMENT ON COLUMN promptctl.allocations.parent IS 'For activate and deactivate: the position at which the prompt stood, to which rollback returns.';

COMMENT ON COLUMN promptctl.allocations."position" IS 'The position at which the prompt stands after this change.';

COMMENT ON COLUMN promptctl.allocations.route IS 'Who else gets what after this change; null: nobody.';

COMMENT ON COLUMN promptctl.allocations.origin IS 'Which commit of which file said so: repository, commit, path, author of the file''s last commit, dirty.';

COMMENT ON COLUMN promptctl.allocations.author IS 'Who says to have done it.';

COMMENT ON COLUMN promptctl.allocations.database_user IS 'The session_user that did it, which cannot be claimed.';

COMMENT ON CONSTRAINT an_allocation_is_of_a_known_kind ON promptctl.allocations IS 'What can happen to a pointer.';

CREATE TABLE promptctl.applied (
    name text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL,
    active_version integer,
    route jsonb,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    has_said_version boolean DEFAULT false NOT NULL,
    has_said_route boolean DEFAULT false NOT NULL,
    digest bytea,
    is_settled boolean DEFAULT false NOT NULL,
    next_version bigint,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_by text NOT NULL
);

COMMENT ON TABLE promptctl.applied IS 'Which source a prompt comes from, and what that source said when it was last applied: the third side of a sync.';

COMMENT ON COLUMN promptctl.applied.active_version IS 'What it said was live; null: nothing.';

COMMENT ON COLUMN promptctl.applied.route IS 'The route it said; null: nothing, []: that there is none.';

COMMENT ON COLUMN promptctl.applied.metadata IS 'The metadata it said, by version.';

COMMENT ON COLUMN promptctl.applied.has_said_version IS 'Whether it ever said what is live: one that fell silent and speaks again has changed its mind.';

COMMENT ON COLUMN promptctl.applied.has_said_route IS 'Whether it ever said a route.';

COMMENT ON COLUMN promptctl.applied.digest IS 'SHA-256 of the prompt''s files.';

COMMENT ON COLUMN promptctl.applied.is_settled IS 'Whether nothing was left to say of the prompt; else, or when it was corrected since, it is compared again.';

COMMENT ON COLUMN promptctl.applied.next_version IS 'The prompt''s next number then: another one now means versions that the source does not know.';

CREATE TABLE promptctl.corrections (
    id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    epoch integer NOT NULL,
    kind text NOT NULL,
    previous_metadata jsonb,
    metadata jsonb,
    release bigint,
    author text NOT NULL,
    reason text,
    database_user text DEFAULT SESSION_USER NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_correction_is_of_a_known_kind CHECK ((kind = ANY (ARRAY['describe'::text, 'retire'::text, 'restore'::text])))
);

COMMENT ON TABLE promptctl.corrections IS 'What may change about a version, its metadata and whether it is retired, and who changed it. Written by trigger.';

COMMENT ON COLUMN promptctl.corrections.epoch IS 'The prompt''s epoch at that moment: its place in the history.';

COMMENT ON CONSTRAINT a_correction_is_of_a_known_kind ON promptctl.corrections IS 'What may change about a version.';

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
    name text NOT NULL COLLATE pg_catalog."C",
    model text,
    input_tokens bigint,
    output_tokens bigint,
    response_ms double precision,
    outcome text DEFAULT 'ok'::text NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_fallback_takes_time CHECK (((response_ms >= (0)::double precision) AND (response_ms <= ('1000000000000'::numeric)::double precision))),
    CONSTRAINT the_outcome_of_a_fallback_is_named CHECK ((outcome <> ''::text)),
    CONSTRAINT tokens_of_a_fallback_are_not_negative CHECK (((input_tokens >= 0) AND (output_tokens >= 0))),
    CONSTRAINT tokens_of_a_fallback_can_be_added_up CHECK (((input_tokens <= '1000000000000'::bigint) AND (output_tokens <= '1000000000000'::bigint)))
);

COMMENT ON TABLE promptctl.fallbacks IS 'Calls of a model with a text of the application''s own, because no version could be served: no use of any version. In no totals: they are kept as long as single uses.';

COMMENT ON COLUMN promptctl.fallbacks.name IS 'What was asked for; there may be no such prompt.';

COMMENT ON COLUMN promptctl.fallbacks.outcome IS '"ok", or the name of what went wrong.';

COMMENT ON CONSTRAINT a_fallback_takes_time ON promptctl.fallbacks IS 'In milliseconds; not reported is null.';

COMMENT ON CONSTRAINT the_outcome_of_a_fallback_is_named ON promptctl.fallbacks IS 'A call went well or has a reason.';

COMMENT ON CONSTRAINT tokens_of_a_fallback_are_not_negative ON promptctl.fallbacks IS 'Not reported is null, never 0 or -1.';

COMMENT ON CONSTRAINT tokens_of_a_fallback_can_be_added_up ON promptctl.fallbacks IS 'One absurd number would spoil every sum.';

CREATE TABLE promptctl.installation (
    singleton boolean DEFAULT true NOT NULL,
    version integer NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    installed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT there_is_one_installation CHECK (singleton)
);

COMMENT ON TABLE promptctl.installation IS 'One row: the version of this schema. The command line refuses any other.';

COMMENT ON COLUMN promptctl.installation.id IS 'Which database this is: a saved plan is for one.';

COMMENT ON CONSTRAINT there_is_one_installation ON promptctl.installation IS 'The key has one value.';

CREATE TABLE promptctl.versions (
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    content text NOT NULL,
    sha256 bytea NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    database_user text DEFAULT SESSION_USER NOT NULL,
    variables text[] DEFAULT '{}'::text[] NOT NULL,
    required_variables text[] DEFAULT '{}'::text[] NOT NULL,
    origin jsonb,
    release bigint,
    retired_at timestamp with time zone,
    is_retired boolean GENERATED ALWAYS AS ((retired_at IS NOT NULL)) STORED NOT NULL,
    CONSTRAINT a_model_is_named CHECK (((jsonb_typeof(COALESCE((settings -> 'model'::text), '"x"'::jsonb)) = 'string'::text) AND (COALESCE((settings ->> 'model'::text), 'x'::text) <> ''::text))),
    CONSTRAINT a_template_is_of_a_known_style CHECK ((COALESCE((settings -> 'template'::text), '"braces"'::jsonb) = ANY (ARRAY['"braces"'::jsonb, '"mustache"'::jsonb, '"none"'::jsonb]))),
    CONSTRAINT a_variable_is_described_by_required_and_default CHECK (((COALESCE(jsonb_typeof((settings -> 'variables'::text)), 'object'::text) = 'object'::text) AND COALESCE((NOT jsonb_path_exists(settings, 'strict $."variables".*?((@.type() != "object" || @."required".type() != "boolean") || @."default".type() != "string")'::jsonpath, '{}'::jsonb, true)), true))),
    CONSTRAINT a_version_comes_from_somewhere CHECK ((jsonb_typeof(origin) = 'object'::text)),
    CONSTRAINT a_version_has_a_date_of_creation CHECK (((created_at >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-31 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT a_version_has_an_author CHECK ((created_by <> ''::text)),
    CONSTRAINT content_has_no_byte_order_mark CHECK (("left"(content, 1) !~ '\uFEFF'::text)),
    CONSTRAINT content_has_no_crlf CHECK ((POSITION((E'\r\n'::text) IN (content)) = 0)),
    CONSTRAINT content_is_not_empty CHECK ((("left"(content, 100) ~ '[^[:space:]]'::text) OR (content ~ '[^[:space:]]'::text))),
    CONSTRAINT max_tokens_count_from_1 CHECK (
CASE
    WHEN (settings ? 'max_tokens'::text) THEN ((jsonb_typeof((settings -> 'max_tokens'::text)) = 'number'::text) AND ((settings ->> 'max_tokens'::text) ~ '^[1-9][0-9]{0,8}$'::text))
    ELSE true
END),
    CONSTRAINT metadata_is_an_object CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT settings_are_an_object CHECK ((jsonb_typeof(settings) = 'object'::text)),
    CONSTRAINT versions_count_from_1 CHECK ((version >= 1))
);
ALTER TABLE ONLY promptctl.versions ALTER COLUMN content SET STORAGE EXTERNAL;

COMMENT ON TABLE promptctl.versions IS 'Every version of every prompt. Content and settings are fixed when it is created.';

COMMENT ON COLUMN promptctl.versions.sha256 IS 'SHA-256 of the content in UTF-8; not unique: going back to a text is allowed.';

COMMENT ON COLUMN promptctl.versions.settings IS 'What belongs to a version beside its content: template, variables, model, max_tokens.';

COMMENT ON COLUMN promptctl.versions.metadata IS 'A JSON object; its key "description" is shown in lists. May be corrected.';

COMMENT ON COLUMN promptctl.versions.created_by IS 'Who says to have written it.';

COMMENT ON COLUMN promptctl.versions.database_user IS 'The session_user that stored it, which cannot be claimed.';

COMMENT ON COLUMN promptctl.versions.variables IS 'The variables of the template, in the order of their first places.';

COMMENT ON COLUMN promptctl.versions.required_variables IS 'Those that whoever renders it has to give.';

COMMENT ON COLUMN promptctl.versions.origin IS 'Where it came from: repository, commit, path, author of the file''s last commit, dirty; null: not from a folder.';

COMMENT ON COLUMN promptctl.versions.release IS 'The release in which it was stored; null: on its own.';

COMMENT ON COLUMN promptctl.versions.retired_at IS 'Since when it is listed no more and cannot be activated; null: in use.';

COMMENT ON CONSTRAINT a_model_is_named ON promptctl.versions IS 'Any name: models come and go.';

COMMENT ON CONSTRAINT a_template_is_of_a_known_style ON promptctl.versions IS 'Whoever renders it has to know how.';

COMMENT ON CONSTRAINT a_variable_is_described_by_required_and_default ON promptctl.versions IS 'An object each: required is true or false, default is a text.';

COMMENT ON CONSTRAINT a_version_comes_from_somewhere ON promptctl.versions IS 'Keys and values.';

COMMENT ON CONSTRAINT a_version_has_a_date_of_creation ON promptctl.versions IS 'RFC 3339 has years of four digits, and no infinity.';

COMMENT ON CONSTRAINT a_version_has_an_author ON promptctl.versions IS 'Unknown is the database user.';

COMMENT ON CONSTRAINT content_has_no_byte_order_mark ON promptctl.versions IS 'Writers drop it: one normalisation for all.';

COMMENT ON CONSTRAINT content_has_no_crlf ON promptctl.versions IS 'Writers turn CR LF into LF: one normalisation for all.';

COMMENT ON CONSTRAINT content_is_not_empty ON promptctl.versions IS 'A prompt of nothing but white space is a mistake.';

COMMENT ON CONSTRAINT max_tokens_count_from_1 ON promptctl.versions IS 'A reply has at least one token.';

COMMENT ON CONSTRAINT metadata_is_an_object ON promptctl.versions IS 'Keys and values.';

COMMENT ON CONSTRAINT settings_are_an_object ON promptctl.versions IS 'Keys and values.';

COMMENT ON CONSTRAINT versions_count_from_1 ON promptctl.versions IS 'A version is 1 to 2147483647.';

CREATE VIEW promptctl.prompts_without_stats AS
 SELECT v.id,
    v.name,
    v.version,
    v.content,
    COALESCE((s.active_version = v.version), false) AS is_active,
    v.created_at,
    v.created_by,
    v.metadata
   FROM (promptctl.versions v
     JOIN promptctl.served s ON ((s.name = v.name)))
  WHERE (NOT v.is_retired);

COMMENT ON VIEW promptctl.prompts_without_stats IS 'What prompts is made of, and where its updates go: a trigger is given whole rows, so that one on prompts itself would compute stats for each.';

CREATE TABLE promptctl.scores (
    use_id uuid NOT NULL,
    place integer NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    used_at timestamp with time zone NOT NULL,
    model text,
    is_ok boolean NOT NULL,
    size smallint NOT NULL,
    score double precision NOT NULL,
    previous double precision,
    scored_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    recorded_in bigint DEFAULT promptctl.recording_place() NOT NULL,
    CONSTRAINT a_later_score_is_a_number CHECK (((score >= ('-1000000000'::numeric)::double precision) AND (score <= ('1000000000'::numeric)::double precision)))
);

COMMENT ON TABLE promptctl.scores IS 'Scores that came after their use: the last one counts. Appended, with what it replaces, so that totals can follow.';

COMMENT ON COLUMN promptctl.scores.use_id IS 'Whose score it is.';

COMMENT ON COLUMN promptctl.scores.place IS 'The first score of a use is 1, one that replaces it 2.';

COMMENT ON COLUMN promptctl.scores.used_at IS 'When it was used: the hour and day whose totals the score belongs to.';

COMMENT ON COLUMN promptctl.scores.is_ok IS 'Whether the use went well.';

COMMENT ON COLUMN promptctl.scores.size IS 'As in totals, of the use.';

COMMENT ON COLUMN promptctl.scores.previous IS 'The score that this one replaces; null: there was none.';

COMMENT ON COLUMN promptctl.scores.scored_at IS 'When the score came.';

COMMENT ON COLUMN promptctl.scores.recorded_in IS 'As in uses: what is below roll_up.rolled_below is in totals.';

COMMENT ON CONSTRAINT a_later_score_is_a_number ON promptctl.scores IS 'As a_score_is_a_number.';

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
    CONSTRAINT a_total_is_of_a_known_grain CHECK ((grain = ANY (ARRAY['hour'::text, 'day'::text, 'all'::text])))
);

COMMENT ON TABLE promptctl.totals IS 'What the uses add up to, of an hour, a day (UTC) and of all time: what statistics read instead of single uses. With the uses that are not yet rolled up, and only with those, it is everything.';

COMMENT ON COLUMN promptctl.totals.grain IS 'hour, day or all: each use is in one total of each.';

COMMENT ON COLUMN promptctl.totals.starts_at IS 'When the hour or day begins; -infinity: of all time.';

COMMENT ON COLUMN promptctl.totals.is_ok IS 'Uses that went well, or those that did not.';

COMMENT ON COLUMN promptctl.totals.size IS 'How many of the prices'' steps, at 100 000 and 200 000 tokens, the input is beyond.';

COMMENT ON COLUMN promptctl.totals.uses IS 'How many there were.';

COMMENT ON COLUMN promptctl.totals.without_unit IS 'Uses that nobody can be told apart by.';

COMMENT ON COLUMN promptctl.totals.with_tokens IS 'Uses that reported any tokens.';

COMMENT ON COLUMN promptctl.totals.with_both IS 'Uses that reported input and output.';

COMMENT ON COLUMN promptctl.totals.tokens IS 'Input and output of the uses that reported both; null, as everywhere here: nobody did.';

COMMENT ON COLUMN promptctl.totals.with_input IS 'Uses that reported input_tokens.';

COMMENT ON COLUMN promptctl.totals.with_output IS 'Uses that reported output_tokens.';

COMMENT ON COLUMN promptctl.totals.cache_read_tokens IS 'The part of input_tokens that was read from a cache.';

COMMENT ON COLUMN promptctl.totals.cache_write_tokens IS 'The part of input_tokens that was written to a cache.';

COMMENT ON COLUMN promptctl.totals.with_response IS 'Uses that reported response_ms.';

COMMENT ON COLUMN promptctl.totals.fastest_ms IS 'The shortest response_ms.';

COMMENT ON COLUMN promptctl.totals.slowest_ms IS 'The longest response_ms.';

COMMENT ON COLUMN promptctl.totals.response_times IS 'How often each response_ms was reported.';

COMMENT ON COLUMN promptctl.totals.with_first_token IS 'Uses that reported first_token_ms.';

COMMENT ON COLUMN promptctl.totals.first_token_ms IS 'The sum of it.';

COMMENT ON COLUMN promptctl.totals.with_score IS 'Uses that have a score.';

COMMENT ON COLUMN promptctl.totals.score IS 'The sum of the scores.';

COMMENT ON COLUMN promptctl.totals.last_used_at IS 'When the last of them was.';

COMMENT ON CONSTRAINT a_total_is_of_a_known_grain ON promptctl.totals IS 'Each use is in one total of each grain.';

CREATE TABLE promptctl.uses (
    id uuid NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    epoch integer NOT NULL,
    bucket smallint,
    model text,
    input_tokens bigint,
    output_tokens bigint,
    response_ms double precision,
    outcome text DEFAULT 'ok'::text NOT NULL,
    score double precision,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    first_token_ms double precision,
    request_id text,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    recorded_in bigint DEFAULT promptctl.recording_place() NOT NULL,
    CONSTRAINT a_bucket_is_one_of_10000 CHECK (((bucket >= 0) AND (bucket <= 9999))),
    CONSTRAINT a_first_token_takes_time CHECK (((first_token_ms >= (0)::double precision) AND (first_token_ms <= ('1000000000000'::numeric)::double precision))),
    CONSTRAINT a_model_has_at_most_200_characters CHECK ((length(model) <= 200)),
    CONSTRAINT a_response_takes_time CHECK (((response_ms >= (0)::double precision) AND (response_ms <= ('1000000000000'::numeric)::double precision))),
    CONSTRAINT a_score_is_a_number CHECK (((score >= ('-1000000000'::numeric)::double precision) AND (score <= ('1000000000'::numeric)::double precision))),
    CONSTRAINT a_use_has_a_date CHECK (((recorded_at >= '0001-01-01 00:00:00+00'::timestamp with time zone) AND (recorded_at <= '9999-12-31 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT a_use_is_of_an_epoch CHECK ((epoch >= 0)),
    CONSTRAINT an_outcome_is_named CHECK ((outcome <> ''::text)),
    CONSTRAINT cached_tokens_are_part_of_the_input CHECK (((cache_read_tokens >= 0) AND (cache_write_tokens >= 0) AND ((COALESCE(cache_read_tokens, (0)::bigint) + COALESCE(cache_write_tokens, (0)::bigint)) <= GREATEST(input_tokens, (0)::bigint)))),
    CONSTRAINT tokens_are_not_negative CHECK (((input_tokens >= 0) AND (output_tokens >= 0))),
    CONSTRAINT tokens_can_be_added_up CHECK (((input_tokens <= '1000000000000'::bigint) AND (output_tokens <= '1000000000000'::bigint)))
);

COMMENT ON TABLE promptctl.uses IS 'One row per call of a model with a version. Appended, never counted in place: a use waits for no other use, and for no activation. That the version exists is checked by record_use; versions never go.';

COMMENT ON COLUMN promptctl.uses.bucket IS 'The unit''s bucket, 0 to 9999; the unit itself is never stored.';

COMMENT ON COLUMN promptctl.uses.input_tokens IS 'All of the input, what was read from and written to a cache included.';

COMMENT ON COLUMN promptctl.uses.outcome IS '"ok", or the name of what went wrong.';

COMMENT ON COLUMN promptctl.uses.cache_read_tokens IS 'The part of input_tokens that was read from a cache; null: not reported.';

COMMENT ON COLUMN promptctl.uses.cache_write_tokens IS 'The part of input_tokens that was written to a cache; null: not reported.';

COMMENT ON COLUMN promptctl.uses.first_token_ms IS 'From the request to the first text of the reply.';

COMMENT ON COLUMN promptctl.uses.request_id IS 'What the model''s provider calls this request, for its support.';

COMMENT ON COLUMN promptctl.uses.recorded_at IS 'When it was used, by this server''s clock: the moment of recording less the age that the client told.';

COMMENT ON COLUMN promptctl.uses.recorded_in IS 'The transaction that recorded it, as a number that only grows: what is below roll_up.rolled_below is in totals.';

COMMENT ON CONSTRAINT a_bucket_is_one_of_10000 ON promptctl.uses IS 'As promptctl.bucket gives it.';

COMMENT ON CONSTRAINT a_first_token_takes_time ON promptctl.uses IS 'In milliseconds, from the request to the first text of the reply; not reported is null.';

COMMENT ON CONSTRAINT a_model_has_at_most_200_characters ON promptctl.uses IS 'It is part of a key: one that is too long for an index would fail every roll-up.';

COMMENT ON CONSTRAINT a_response_takes_time ON promptctl.uses IS 'In milliseconds, at most 31 years, as averages square them; not reported is null.';

COMMENT ON CONSTRAINT a_score_is_a_number ON promptctl.uses IS 'One NaN spoils averages; and one that is replaced is taken off again, which larger numbers would round away.';

COMMENT ON CONSTRAINT a_use_has_a_date ON promptctl.uses IS 'It falls into an hour and a day.';

COMMENT ON CONSTRAINT a_use_is_of_an_epoch ON promptctl.uses IS 'Epochs count from 0: nothing was ever served.';

COMMENT ON CONSTRAINT an_outcome_is_named ON promptctl.uses IS 'A use went well or has a reason.';

COMMENT ON CONSTRAINT cached_tokens_are_part_of_the_input ON promptctl.uses IS 'input_tokens is all of the input; the cached parts have other prices.';

COMMENT ON CONSTRAINT tokens_are_not_negative ON promptctl.uses IS 'Not reported is null, never 0 or -1.';

COMMENT ON CONSTRAINT tokens_can_be_added_up ON promptctl.uses IS 'One absurd number would fail every reading of stats.';

CREATE VIEW promptctl.version_stats AS
 SELECT v.name,
    v.version,
    ( SELECT jsonb_strip_nulls(jsonb_build_object('total_uses', COALESCE(sum(t.uses), (0)::numeric), 'errors', COALESCE(sum(t.uses) FILTER (WHERE (NOT t.is_ok)), (0)::numeric), 'avg_tokens', trim_scale(round(((sum(t.tokens) FILTER (WHERE t.is_ok) / (NULLIF(sum(t.with_both) FILTER (WHERE t.is_ok), (0)::numeric))::double precision))::numeric, 2)), 'avg_response_time_ms', trim_scale(round(((sum(t.response_ms) FILTER (WHERE t.is_ok) / (NULLIF(sum(t.with_response) FILTER (WHERE t.is_ok), (0)::numeric))::double precision))::numeric, 2)), 'avg_score', trim_scale(round(((sum(t.score) / (NULLIF(sum(t.with_score), (0)::numeric))::double precision))::numeric, 4)), 'last_used_at', max(t.last_used_at))) AS jsonb_strip_nulls
           FROM ( SELECT a.is_ok,
                    a.uses,
                    a.tokens,
                    a.with_both,
                    a.response_ms,
                    a.with_response,
                    a.score,
                    a.with_score,
                    a.last_used_at
                   FROM promptctl.totals a
                  WHERE ((a.grain = 'all'::text) AND (a.name = v.name) AND (a.version = v.version))
                UNION ALL
                 SELECT (u.outcome = 'ok'::text),
                    count(*) AS count,
                    sum(((u.input_tokens + u.output_tokens))::double precision) AS sum,
                    count((u.input_tokens + u.output_tokens)) AS count,
                    sum(u.response_ms) AS sum,
                    count(u.response_ms) AS count,
                    sum(u.score) AS sum,
                    count(u.score) AS count,
                    max(u.recorded_at) AS max
                   FROM promptctl.uses u
                  WHERE ((u.name = v.name) AND (u.version = v.version) AND (u.recorded_in >= promptctl.rolled_below()))
                  GROUP BY (u.outcome = 'ok'::text)
                UNION ALL
                 SELECT o.is_ok,
                    0,
                    NULL::double precision,
                    0,
                    NULL::double precision,
                    0,
                    sum((o.score - COALESCE(o.previous, (0)::double precision))) AS sum,
                    count(*) FILTER (WHERE (o.previous IS NULL)) AS count,
                    NULL::timestamp with time zone
                   FROM promptctl.scores o
                  WHERE ((o.name = v.name) AND (o.version = v.version) AND (o.recorded_in >= promptctl.rolled_below()))
                  GROUP BY o.is_ok) t) AS stats
   FROM promptctl.versions v;

COMMENT ON VIEW promptctl.version_stats IS 'What the uses of each version add up to, retired ones too: its totals, and the uses that are not in them yet.';

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

COMMENT ON VIEW promptctl.prompts IS 'Every version in use. Public: insert stores a version, setting is_active activates or deactivates it, all else is refused.';

COMMENT ON COLUMN promptctl.prompts.is_active IS 'Whether it is the one that is served; settable.';

COMMENT ON COLUMN promptctl.prompts.stats IS 'total_uses, errors, avg_tokens (input + output), avg_response_time_ms, avg_score, last_used_at. Averages are of the uses that went well and reported the number, of scores all that have one; one that nobody reported is absent.';

CREATE TABLE promptctl.releases (
    release bigint NOT NULL,
    kind text NOT NULL,
    author text NOT NULL,
    reason text,
    source text,
    origin jsonb,
    undoes bigint,
    database_user text DEFAULT SESSION_USER NOT NULL,
    opened_in xid8 DEFAULT pg_current_xact_id() NOT NULL,
    released_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_release_comes_from_somewhere CHECK ((jsonb_typeof(origin) = 'object'::text)),
    CONSTRAINT a_release_is_of_a_known_kind CHECK ((kind = ANY (ARRAY['activate'::text, 'rollback'::text, 'sync'::text, 'release rollback'::text]))),
    CONSTRAINT a_release_rollback_is_of_an_earlier_one CHECK ((undoes < release))
);

COMMENT ON TABLE promptctl.releases IS 'The changes of several prompts that were made in one transaction.';

COMMENT ON COLUMN promptctl.releases.source IS 'Of a sync: which folder it was.';

COMMENT ON COLUMN promptctl.releases.origin IS 'Of a sync: repository, commit, folder, and whether the tree was dirty.';

COMMENT ON COLUMN promptctl.releases.undoes IS 'Of a release rollback: which release was put back.';

COMMENT ON COLUMN promptctl.releases.opened_in IS 'The transaction that made it: no other one adds to it.';

COMMENT ON CONSTRAINT a_release_comes_from_somewhere ON promptctl.releases IS 'Keys and values.';

COMMENT ON CONSTRAINT a_release_is_of_a_known_kind ON promptctl.releases IS 'The command that made it.';

COMMENT ON CONSTRAINT a_release_rollback_is_of_an_earlier_one ON promptctl.releases IS 'Nothing undoes what is yet to come.';

ALTER TABLE promptctl.releases ALTER COLUMN release ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME promptctl.releases_release_seq
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
    applied_by text NOT NULL,
    CONSTRAINT a_source_is_named CHECK ((source <> ''::text))
);

COMMENT ON TABLE promptctl.sources IS 'Folders that were synced, and the commit that was applied last.';

COMMENT ON COLUMN promptctl.sources.commit IS 'The whole hash; null: the folder is in no repository.';

COMMENT ON COLUMN promptctl.sources.committed_at IS 'When that commit was made, for where history does not reach back to it.';

COMMENT ON CONSTRAINT a_source_is_named ON promptctl.sources IS 'By its repository and folder, or by a name of its own.';

INSERT INTO promptctl.allocations VALUES
	('support', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:00.994744+00'),
	('support', 2, 'activate', 1, 2, NULL, 0, NULL, 1, 2, NULL, NULL, NULL, 'ada@example.com', 'INC-1', 'schema_owner', '2026-11-29 21:47:01.308944+00'),
	('support', 3, 'rollback', 2, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', 'too short', 'schema_owner', '2026-11-29 21:47:01.608031+00'),
	('support', 4, 'split', 1, 1, 3, 2500, 'support.4', NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:03.014356+00'),
	('shell', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:03.254623+00'),
	('plain', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:03.543666+00'),
	('vip', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', NULL, 'operator_login', '2026-11-29 21:47:03.781237+00'),
	('support', 5, 'route', 1, 1, 3, 2500, 'support.4', NULL, 1, '[{"use": "vip", "when": {"plan": "enterprise", "seats": 10.5}}, {"use": "support@1", "when": {"beta": true}}]', NULL, NULL, 'ada@example.com', NULL, 'schema_owner', '2026-11-29 21:47:04.070927+00'),
	('greeting', 1, 'activate', NULL, 1, NULL, 0, NULL, NULL, 1, NULL, 1, '{"path": "prompts/greeting/prompt.yaml", "dirty": false, "author": "ada@example.com", "commit": "e917b4bac1d8a2c69a2b3df613eabe5492ecd332", "repository": "git.example.com/shop/prompts"}', 'ada@example.com', 'sync e917b4b', 'schema_owner', '2026-11-29 21:47:04.891735+00'),
	('greeting', 2, 'activate', 1, 2, NULL, 0, NULL, 1, 2, NULL, 2, '{"path": "prompts/greeting/prompt.yaml", "dirty": false, "author": "ada@example.com", "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', 'ada@example.com', 'sync abf67b8', 'schema_owner', '2026-11-29 21:47:05.387353+00'),
	('shop/checkout', 1, 'activate', NULL, 2, NULL, 0, NULL, NULL, 1, NULL, 2, '{"path": "prompts/shop/checkout/prompt.yaml", "dirty": false, "author": "ada@example.com", "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', 'ada@example.com', 'sync abf67b8', 'schema_owner', '2026-11-29 21:47:05.387406+00'),
	('greeting', 3, 'rollback', 2, 1, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, 'ada@example.com', 'held', 'schema_owner', '2026-11-29 21:47:06.066612+00');

INSERT INTO promptctl.applied VALUES
	('greeting', 'git.example.com/shop/prompts prompts', 2, NULL, '{}', true, false, '\xa22f6177c091387709117fcfbd79b40f647a0fc652ace233d390e70de1de6b38', true, 3, '2026-11-29 21:47:05.235731+00', 'ada@example.com'),
	('shop/checkout', 'git.example.com/shop/prompts prompts', 2, NULL, '{}', true, false, '\x7d4ff479ce0cd9323ddfd1c66ff09577f58ff0aea118fa14b30aa635e7d190aa', true, 3, '2026-11-29 21:47:05.235731+00', 'ada@example.com');

INSERT INTO promptctl.corrections OVERRIDING SYSTEM VALUE VALUES
	(1, 'support', 4, 3, 'retire', NULL, NULL, NULL, 'ada@example.com', 'mistake', 'schema_owner', '2026-11-29 21:47:02.775196+00');

INSERT INTO promptctl.fallbacks VALUES
	('01a22946-a95f-73aa-be7c-100600000024', 'gone', NULL, 1, 2, 0.0020129996300966013, 'ok', '2026-11-29 21:47:06.464163+00'),
	('620ed2fa-c3de-4032-ba8b-9d65622888a2', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', NULL, 2, 2, 2, 'ok', '2026-11-29 21:47:06.701005+00'),
	('bf418257-e3c6-4017-ad1b-fd71dfdefa1e', 'no such prompt!', NULL, 1, 1, 1, 'ok', '2026-11-29 21:47:06.702005+00');

INSERT INTO promptctl.installation VALUES
	(true, 4, 'ad2d0966-6baa-45ae-ac08-fbe2c664bca2', '2026-11-29 21:47:00.310326+00');

INSERT INTO promptctl.releases OVERRIDING SYSTEM VALUE VALUES
	(1, 'sync', 'ada@example.com', 'sync e917b4b', 'git.example.com/shop/prompts prompts', '{"path": "prompts", "dirty": false, "commit": "e917b4bac1d8a2c69a2b3df613eabe5492ecd332", "repository": "git.example.com/shop/prompts"}', NULL, 'schema_owner', '1348', '2026-11-29 21:47:04.866142+00'),
	(2, 'sync', 'ada@example.com', 'sync abf67b8', 'git.example.com/shop/prompts prompts', '{"path": "prompts", "dirty": false, "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', NULL, 'schema_owner', '1352', '2026-11-29 21:47:05.338865+00');

INSERT INTO promptctl.roll_up VALUES
	(true, 1362, 0, NULL, '2026-11-29 21:47:06.6703+00');

INSERT INTO promptctl.scores VALUES
	('01a22946-a95d-73aa-be7c-100600000001', 1, 'support', 1, '2026-11-29 21:47:06.468242+00', NULL, true, 0, 0.5, NULL, '2026-11-29 21:47:06.509683+00', 1361),
	('01a22946-a95d-73aa-be7c-100600000001', 2, 'support', 1, '2026-11-29 21:47:06.468242+00', NULL, true, 0, 1, 0.5, '2026-11-29 21:47:06.510187+00', 1361),
	('01a22946-a95d-73aa-be7c-100600000008', 1, 'support', 1, '2026-11-29 21:47:06.468329+00', 'claude-sonnet-4-5', true, 0, 0.25, NULL, '2026-11-29 21:47:06.510424+00', 1361),
	('01a22946-a95d-73aa-be7c-100600000001', 3, 'support', 1, '2026-11-29 21:47:06.468242+00', NULL, true, 0, 0, 1, '2026-11-29 21:47:06.690144+00', 1364),
	('01a22946-a95d-73aa-be7c-100600000004', 1, 'support', 1, '2026-11-29 21:47:06.468301+00', NULL, true, 0, 0.75, NULL, '2026-11-29 21:47:06.69037+00', 1364);

INSERT INTO promptctl.served VALUES
	('shell', 1, NULL, 0, NULL, 1, 1, 2, NULL, '2026-11-29 21:47:03.220603+00', '2026-11-29 21:47:03.220603+00', DEFAULT),
	('plain', 1, NULL, 0, NULL, 1, 1, 2, NULL, '2026-11-29 21:47:03.502144+00', '2026-11-29 21:47:03.502144+00', DEFAULT),
	('vip', 1, NULL, 0, NULL, 1, 1, 2, NULL, '2026-11-29 21:47:03.741313+00', '2026-11-29 21:47:03.741313+00', DEFAULT),
	('support', 1, 3, 2500, 'support.4', 1, 5, 5, '[{"use": "vip", "when": {"plan": "enterprise", "seats": 10.5}}, {"use": "support@1", "when": {"beta": true}}]', '2026-11-29 21:47:00.948944+00', '2026-11-29 21:47:04.04818+00', DEFAULT),
	('shop/checkout', 2, NULL, 0, NULL, 1, 1, 3, NULL, '2026-11-29 21:47:04.781277+00', '2026-11-29 21:47:05.235731+00', DEFAULT),
	('greeting', 1, NULL, 0, NULL, 1, 3, 3, NULL, '2026-11-29 21:47:04.781277+00', '2026-11-29 21:47:06.032727+00', DEFAULT);

INSERT INTO promptctl.sources VALUES
	('git.example.com/shop/prompts prompts', 'abf67b8c4e903dfe6ff8821dadf45ff2c2af0472', '2026-11-29 21:47:04+00', '2026-11-29 21:47:05.235731+00', 'ada@example.com');

INSERT INTO promptctl.totals VALUES
	('day', 'support', 1, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 256, 2, 218, 2, 38, NULL, NULL, 2, 0.0030649994187115226, 0.0008419997357123066, 0.002222999682999216, '("{-320,-283}","{1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468367+00'),
	('all', 'support', 3, '-infinity', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 316, 2, 248, 2, 68, NULL, NULL, 2, 0.0012119999155402184, 0.0006010000106471125, 0.0006109999048931058, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468431+00'),
	('day', 'greeting', 1, '2026-11-29 00:00:00+00', NULL, true, 0, 1, 1, 1, 0, NULL, 1, 5, 0, NULL, NULL, NULL, 1, 0.0022729996089765336, 0.0022729996089765336, 0.0022729996089765336, '({-281},{1})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.46909+00'),
	('all', 'vip', 1, '-infinity', NULL, true, 0, 2, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 2, 0.0007500007086491678, 0.0003500003913359251, 0.0004000003173132427, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468602+00'),
	('hour', 'support', 1, '2026-11-29 21:00:00+00', NULL, false, 0, 2, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 2, 0.0014020001799508464, 0.000490999809699133, 0.0009110003702517133, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468409+00'),
	('day', 'vip', 1, '2026-11-29 00:00:00+00', NULL, true, 0, 2, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 2, 0.0007500007086491678, 0.0003500003913359251, 0.0004000003173132427, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468602+00'),
	('hour', 'support', 3, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 316, 2, 248, 2, 68, NULL, NULL, 2, 0.0012119999155402184, 0.0006010000106471125, 0.0006109999048931058, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468431+00'),
	('hour', 'greeting', 1, '2026-11-29 21:00:00+00', NULL, true, 0, 1, 1, 1, 0, NULL, 1, 5, 0, NULL, NULL, NULL, 1, 0.0022729996089765336, 0.0022729996089765336, 0.0022729996089765336, '({-281},{1})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.46909+00'),
	('all', 'greeting', 1, '-infinity', NULL, true, 0, 1, 1, 1, 0, NULL, 1, 5, 0, NULL, NULL, NULL, 1, 0.0022729996089765336, 0.0022729996089765336, 0.0022729996089765336, '({-281},{1})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.46909+00'),
	('all', 'support', 3, '-infinity', 'claude-sonnet-4-5', true, 0, 6, 0, 6, 6, 838, 6, 689, 6, 149, NULL, NULL, 6, 0.00508599987369962, 0.00038999996831989847, 0.002013000084843952, '("{-320,-318,-287}","{4,1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468427+00'),
	('day', 'support', 3, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', true, 0, 6, 0, 6, 6, 838, 6, 689, 6, 149, NULL, NULL, 6, 0.00508599987369962, 0.00038999996831989847, 0.002013000084843952, '("{-320,-318,-287}","{4,1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468427+00'),
	('day', 'support', 1, '2026-11-29 00:00:00+00', NULL, false, 0, 2, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 2, 0.0014020001799508464, 0.000490999809699133, 0.0009110003702517133, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468409+00'),
	('day', 'vip', 1, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', true, 0, 2, 0, 2, 2, 226, 2, 203, 2, 23, NULL, NULL, 2, 0.0014420002116821706, 0.0006310001481324434, 0.0008110000635497272, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468591+00'),
	('hour', 'support', 1, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 256, 2, 218, 2, 38, NULL, NULL, 2, 0.0030649994187115226, 0.0008419997357123066, 0.002222999682999216, '("{-320,-283}","{1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468367+00'),
	('hour', 'support', 3, '2026-11-29 21:00:00+00', NULL, true, 0, 1, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 1, 0.000279999767371919, 0.000279999767371919, 0.000279999767371919, '({-320},{1})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468359+00'),
	('all', 'support', 1, '-infinity', NULL, false, 0, 2, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 2, 0.0014020001799508464, 0.000490999809699133, 0.0009110003702517133, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468409+00'),
	('hour', 'support', 3, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', true, 0, 6, 0, 6, 6, 838, 6, 689, 6, 149, NULL, NULL, 6, 0.00508599987369962, 0.00038999996831989847, 0.002013000084843952, '("{-320,-318,-287}","{4,1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468427+00'),
	('hour', 'vip', 1, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', true, 0, 2, 0, 2, 2, 226, 2, 203, 2, 23, NULL, NULL, 2, 0.0014420002116821706, 0.0006310001481324434, 0.0008110000635497272, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468591+00'),
	('hour', 'vip', 1, '2026-11-29 21:00:00+00', NULL, true, 0, 2, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 2, 0.0007500007086491678, 0.0003500003913359251, 0.0004000003173132427, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468602+00'),
	('day', 'support', 3, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 316, 2, 248, 2, 68, NULL, NULL, 2, 0.0012119999155402184, 0.0006010000106471125, 0.0006109999048931058, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468431+00'),
	('all', 'support', 3, '-infinity', NULL, true, 0, 1, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 1, 0.000279999767371919, 0.000279999767371919, 0.000279999767371919, '({-320},{1})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468359+00'),
	('day', 'support', 3, '2026-11-29 00:00:00+00', NULL, true, 0, 1, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 1, 0.000279999767371919, 0.000279999767371919, 0.000279999767371919, '({-320},{1})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468359+00'),
	('all', 'vip', 1, '-infinity', 'claude-sonnet-4-5', true, 0, 2, 0, 2, 2, 226, 2, 203, 2, 23, NULL, NULL, 2, 0.0014420002116821706, 0.0006310001481324434, 0.0008110000635497272, '({-320},{2})', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468591+00'),
	('all', 'support', 1, '-infinity', 'claude-sonnet-4-5', false, 0, 2, 0, 2, 2, 256, 2, 218, 2, 38, NULL, NULL, 2, 0.0030649994187115226, 0.0008419997357123066, 0.002222999682999216, '("{-320,-283}","{1,1}")', 0, NULL, 0, NULL, '2026-11-29 21:47:06.468367+00'),
	('day', 'support', 1, '2026-11-29 00:00:00+00', 'claude-sonnet-4-5', true, 0, 10, 0, 10, 10, 1390, 10, 1145, 10, 245, NULL, NULL, 10, 0.011565000022528693, 0.0003699997250805609, 0.00446700005340972, '("{-320,-305,-289,-250}","{7,1,1,1}")', 0, NULL, 1, 0.25, '2026-11-29 21:47:06.468421+00'),
	('day', 'support', 1, '2026-11-29 00:00:00+00', NULL, true, 0, 7, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 7, 0.0031650006349082105, 0.00017999991541728377, 0.0017819997992774006, '("{-320,-293}","{6,1}")', 0, NULL, 1, 1, '2026-11-29 21:47:06.468424+00'),
	('hour', 'support', 1, '2026-11-29 21:00:00+00', 'claude-sonnet-4-5', true, 0, 10, 0, 10, 10, 1390, 10, 1145, 10, 245, NULL, NULL, 10, 0.011565000022528693, 0.0003699997250805609, 0.00446700005340972, '("{-320,-305,-289,-250}","{7,1,1,1}")', 0, NULL, 1, 0.25, '2026-11-29 21:47:06.468421+00'),
	('hour', 'support', 1, '2026-11-29 21:00:00+00', NULL, true, 0, 7, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 7, 0.0031650006349082105, 0.00017999991541728377, 0.0017819997992774006, '("{-320,-293}","{6,1}")', 0, NULL, 1, 1, '2026-11-29 21:47:06.468424+00'),
	('all', 'support', 1, '-infinity', 'claude-sonnet-4-5', true, 0, 10, 0, 10, 10, 1390, 10, 1145, 10, 245, NULL, NULL, 10, 0.011565000022528693, 0.0003699997250805609, 0.00446700005340972, '("{-320,-305,-289,-250}","{7,1,1,1}")', 0, NULL, 1, 0.25, '2026-11-29 21:47:06.468421+00'),
	('all', 'support', 1, '-infinity', NULL, true, 0, 7, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL, NULL, 7, 0.0031650006349082105, 0.00017999991541728377, 0.0017819997992774006, '("{-320,-293}","{6,1}")', 0, NULL, 1, 1, '2026-11-29 21:47:06.468424+00');

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
	('01a22946-aa39-73aa-be7c-10060000002f', 'support', 1, 5, 8651, NULL, 110, 20, 0.0003909999577444978, 'ok', NULL, NULL, NULL, NULL, NULL, '2026-11-29 21:47:06.685343+00', 1363);

INSERT INTO promptctl.versions VALUES
	('support', 1, '5434e4ab-659a-4456-a9f9-7b1fe0b1d7ba', 'Answer {user.name} politely.', '\xc98ed7b6b0c106461443ebfef6b6c703a84da9ef50e14f1dfd9c255459499746', '{}', '{"description": "first"}', '2026-11-29 21:47:00.948944+00', 'ada@example.com', 'schema_owner', '{user.name}', '{user.name}', NULL, NULL, NULL, DEFAULT),
	('support', 2, '8615a263-e42d-4f19-8bfd-3db1a53c9722', 'Answer {user.name} briefly.', '\x87295f52fa2c4da710ecd70ff606d3ba99c8554360269041f68a319d706e13f7', '{"model": "claude-sonnet-4-5", "variables": {"user.name": {"default": "friend"}}, "max_tokens": 500}', '{}', '2026-11-29 21:47:01.173325+00', 'ada@example.com', 'schema_owner', '{user.name}', '{}', NULL, NULL, NULL, DEFAULT),
	('support', 3, 'e2ff15a5-9cd4-4fa3-b20f-ca2c16fe5d22', 'Answer {user.name} at length.', '\x14aa589f99ea55982d69e59eee1c894cde33b3aeabf6ce6cc9e69c1fbeddfd88', '{}', '{}', '2026-11-29 21:47:01.432191+00', 'ada@example.com', 'schema_owner', '{user.name}', '{user.name}', NULL, NULL, NULL, DEFAULT),
	('support', 4, 'b315e182-d83d-4693-a165-1c138544c4e4', 'A text that was a mistake, for {user.name}.', '\xc59a960b0682826f34c9354d2123121edd49976b7fd18bd72eeaf2e990d88875', '{}', '{}', '2026-11-29 21:47:01.723373+00', 'ada@example.com', 'schema_owner', '{user.name}', '{user.name}', NULL, NULL, '2026-11-29 21:47:01.889722+00', DEFAULT),
	('shell', 1, '469e16fd-cbda-4532-9914-e5403a07acb3', 'Run ${HOME}/bin and git stash@{0}, then \frac{a}{b}. Hello {name}.', '\xcf8b8c073d5ed46671f3b689515d975aca3587eb92e995008db3aa6af52f3a8b', '{}', '{}', '2026-11-29 21:47:03.220603+00', 'ada@example.com', 'schema_owner', '{HOME,a,b,name}', '{HOME,a,b,name}', NULL, NULL, NULL, DEFAULT),
	('plain', 1, '74a46954-0b11-40f9-9b31-85dae08e0615', 'No {variables} here: $ awk ''{print $1}''', '\x631236524fb20b71d2ce37721d7a5b61b8905f9f2cb1e78b0aa3cf5f083a3b2f', '{"template": "none"}', '{}', '2026-11-29 21:47:03.502144+00', 'ada@example.com', 'schema_owner', '{}', '{}', NULL, NULL, NULL, DEFAULT),
	('vip', 1, 'b819d537-c3a6-4341-93e1-2eec9ef23c6c', 'Dear {name}.', '\x5a33e4927ff4f8795a84101a8b6aab7fcc9b94fa505bf07a5c16b082963651ad', '{}', '{}', '2026-11-29 21:47:03.741313+00', 'ada@example.com', 'operator_login', '{name}', '{name}', NULL, NULL, NULL, DEFAULT),
	('greeting', 1, 'a7e66555-277b-44a3-bd31-f3b91fd8ffc4', 'Hello {name}.
', '\xce7dfa8bb9666ce29bb0aecf292a405804e895736e5b2600fe768e4884d2eb03', '{}', '{}', '2026-11-29 21:47:04.781277+00', 'ada@example.com', 'schema_owner', '{name}', '{name}', '{"path": "prompts/greeting/v1.txt", "dirty": false, "author": "ada@example.com", "commit": "e917b4bac1d8a2c69a2b3df613eabe5492ecd332", "repository": "git.example.com/shop/prompts"}', 1, NULL, DEFAULT),
	('shop/checkout', 1, 'ca6f38a0-8668-49bd-bdc2-d6354ad4eede', 'Sell {{item}}.
', '\x4aed40dbef4d49956e4d371d02d33dfdcc20e9fc0798cd0dc625f512d2bad774', '{"template": "mustache"}', '{}', '2026-11-29 21:47:04.781277+00', 'ada@example.com', 'schema_owner', '{item}', '{item}', '{"path": "prompts/shop/checkout/v1.txt", "dirty": false, "author": "ada@example.com", "commit": "e917b4bac1d8a2c69a2b3df613eabe5492ecd332", "repository": "git.example.com/shop/prompts"}', 1, NULL, DEFAULT),
	('greeting', 2, 'f08f1b86-83d4-49e3-ad0d-f8abec503dd5', 'Good day, {name}.
', '\x34236d3c3751be2e0113936710bc00808f342021e73b8b135989d2d853fa5c6e', '{}', '{}', '2026-11-29 21:47:05.235731+00', 'ada@example.com', 'schema_owner', '{name}', '{name}', '{"path": "prompts/greeting/v2.txt", "dirty": false, "author": "ada@example.com", "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', 2, NULL, DEFAULT),
	('shop/checkout', 2, 'e3946bc7-4045-4faa-a3d1-278be8afd560', 'Sell {{item}} for {{price}}.
', '\x24340a4c14ae0d4072b082467f3d86d37d4e4f78c662dba079abc21ea9a3d195', '{"template": "mustache"}', '{}', '2026-11-29 21:47:05.235731+00', 'ada@example.com', 'schema_owner', '{item,price}', '{item,price}', '{"path": "prompts/shop/checkout/v2.txt", "dirty": false, "author": "ada@example.com", "commit": "abf67b8c4e903dfe6ff8821dadf45ff2c2af0472", "repository": "git.example.com/shop/prompts"}', 2, NULL, DEFAULT);

SELECT pg_catalog.setval('promptctl.corrections_id_seq', 1, true);

SELECT pg_catalog.setval('promptctl.releases_release_seq', 2, true);

ALTER TABLE ONLY promptctl.corrections
    ADD CONSTRAINT a_correction_has_one_number PRIMARY KEY (id);

COMMENT ON CONSTRAINT a_correction_has_one_number ON promptctl.corrections IS 'In the order in which they were made.';

ALTER TABLE ONLY promptctl.fallbacks
    ADD CONSTRAINT a_fallback_is_recorded_once PRIMARY KEY (id);

COMMENT ON CONSTRAINT a_fallback_is_recorded_once ON promptctl.fallbacks IS 'Sent twice with one id, it counts once.';

ALTER TABLE ONLY promptctl.versions
    ADD CONSTRAINT a_number_is_used_once_in_a_prompt PRIMARY KEY (name, version);

COMMENT ON CONSTRAINT a_number_is_used_once_in_a_prompt ON promptctl.versions IS 'NAME@VERSION means one text for ever.';

ALTER TABLE ONLY promptctl.applied
    ADD CONSTRAINT a_prompt_comes_from_one_source PRIMARY KEY (name);

COMMENT ON CONSTRAINT a_prompt_comes_from_one_source ON promptctl.applied IS 'Two sources would undo each other for ever.';

ALTER TABLE ONLY promptctl.served
    ADD CONSTRAINT a_prompt_has_one_row_of_what_is_served PRIMARY KEY (name);

COMMENT ON CONSTRAINT a_prompt_has_one_row_of_what_is_served ON promptctl.served IS 'One active version per prompt, by structure: there is one place to write it.';

ALTER TABLE ONLY promptctl.releases
    ADD CONSTRAINT a_release_has_one_number PRIMARY KEY (release);

COMMENT ON CONSTRAINT a_release_has_one_number ON promptctl.releases IS 'Numbers may have gaps; they only grow.';

ALTER TABLE ONLY promptctl.roll_up
    ADD CONSTRAINT a_roll_up_has_one_watermark PRIMARY KEY (singleton);

COMMENT ON CONSTRAINT a_roll_up_has_one_watermark ON promptctl.roll_up IS 'Several would disagree.';

ALTER TABLE ONLY promptctl.sources
    ADD CONSTRAINT a_source_has_one_row PRIMARY KEY (source);

COMMENT ON CONSTRAINT a_source_has_one_row ON promptctl.sources IS 'The last word only.';

ALTER TABLE ONLY promptctl.scores
    ADD CONSTRAINT a_use_has_one_score_at_a_time PRIMARY KEY (use_id, place);

COMMENT ON CONSTRAINT a_use_has_one_score_at_a_time ON promptctl.scores IS 'Two that come at once go one after the other.';

ALTER TABLE ONLY promptctl.uses
    ADD CONSTRAINT a_use_is_recorded_once PRIMARY KEY (id);

COMMENT ON CONSTRAINT a_use_is_recorded_once ON promptctl.uses IS 'Sent twice with one id, it counts once.';

ALTER TABLE ONLY promptctl.versions
    ADD CONSTRAINT a_version_says_whether_it_is_retired UNIQUE (name, version, is_retired);

COMMENT ON CONSTRAINT a_version_says_whether_it_is_retired ON promptctl.versions IS 'For the foreign keys of served.';

ALTER TABLE ONLY promptctl.allocations
    ADD CONSTRAINT an_epoch_has_one_allocation PRIMARY KEY (name, epoch);

COMMENT ON CONSTRAINT an_epoch_has_one_allocation ON promptctl.allocations IS 'History is a line, not a tree.';

ALTER TABLE ONLY promptctl.versions
    ADD CONSTRAINT an_id_is_used_once UNIQUE (id);

COMMENT ON CONSTRAINT an_id_is_used_once ON promptctl.versions IS 'The id is a second way to say NAME@VERSION.';

ALTER TABLE ONLY promptctl.installation
    ADD CONSTRAINT an_installation_is_recorded_once PRIMARY KEY (singleton);

COMMENT ON CONSTRAINT an_installation_is_recorded_once ON promptctl.installation IS 'A database has one schema of ours.';

ALTER TABLE ONLY promptctl.totals
    ADD CONSTRAINT uses_are_added_up_once UNIQUE NULLS NOT DISTINCT (grain, name, version, starts_at, model, is_ok, size);

COMMENT ON CONSTRAINT uses_are_added_up_once ON promptctl.totals IS 'What is rolled up twice is added to the same row.';

CREATE INDEX allocations_by_release ON promptctl.allocations USING btree (release) WHERE (release IS NOT NULL);

COMMENT ON INDEX promptctl.allocations_by_release IS 'What a release moved.';

CREATE INDEX applied_by_source ON promptctl.applied USING btree (source);

COMMENT ON INDEX promptctl.applied_by_source IS 'Everything that comes from one folder.';

CREATE INDEX corrections_by_prompt ON promptctl.corrections USING btree (name, id);

COMMENT ON INDEX promptctl.corrections_by_prompt IS 'For the history of one prompt.';

CREATE INDEX corrections_by_release ON promptctl.corrections USING btree (release) WHERE (release IS NOT NULL);

COMMENT ON INDEX promptctl.corrections_by_release IS 'What a release corrected.';

CREATE INDEX fallbacks_by_name ON promptctl.fallbacks USING btree (name);

COMMENT ON INDEX promptctl.fallbacks_by_name IS 'For the numbers of one prompt.';

CREATE INDEX fallbacks_by_time ON promptctl.fallbacks USING btree (recorded_at);

COMMENT ON INDEX promptctl.fallbacks_by_time IS 'For those of a time, and to drop old ones.';

CREATE UNIQUE INDEX names_differ_in_more_than_case ON promptctl.served USING btree (lower(name));

COMMENT ON INDEX promptctl.names_differ_in_more_than_case IS 'Some file systems cannot hold both.';

CREATE INDEX scores_by_version ON promptctl.scores USING btree (name, version, recorded_in);

COMMENT ON INDEX promptctl.scores_by_version IS 'For the numbers of one version that are not yet in its totals.';

CREATE INDEX served_by_route ON promptctl.served USING btree (name) WHERE (route IS NOT NULL);

COMMENT ON INDEX promptctl.served_by_route IS 'Before a version is retired, and for circles: routes are few.';

CREATE INDEX uses_by_moment ON promptctl.uses USING brin (recorded_in, recorded_at) WITH (pages_per_range='32');

COMMENT ON INDEX promptctl.uses_by_moment IS 'For the roll-up and for what goes: rows come in nearly this order, and such an index costs a recording nothing.';

CREATE INDEX uses_by_version ON promptctl.uses USING btree (name, version, recorded_in);

COMMENT ON INDEX promptctl.uses_by_version IS 'For the numbers of one version that are not yet in its totals.';

CREATE INDEX versions_by_content ON promptctl.versions USING btree (name, sha256);

COMMENT ON INDEX promptctl.versions_by_content IS 'create_version looks for a version that has the text already.';

CREATE INDEX versions_by_release ON promptctl.versions USING btree (release) WHERE (release IS NOT NULL);

COMMENT ON INDEX promptctl.versions_by_release IS 'What a release stored.';

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

COMMENT ON RULE an_update_computes_no_stats ON promptctl.prompts IS 'Activation has to be as cheap as on the first day.';

CREATE TRIGGER a_correction_is_recorded AFTER UPDATE ON promptctl.versions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION promptctl.after_update_versions();

COMMENT ON TRIGGER a_correction_is_recorded ON promptctl.versions IS 'Who changed a description, and what it said before.';

CREATE TRIGGER a_number_is_never_used_again AFTER INSERT ON promptctl.versions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION promptctl.after_insert_versions();

COMMENT ON TRIGGER a_number_is_never_used_again ON promptctl.versions IS 'NAME@VERSION means one text for ever.';

CREATE TRIGGER a_prompt_is_not_deleted INSTEAD OF DELETE ON promptctl.prompts FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a version never goes: it can be retired');

COMMENT ON TRIGGER a_prompt_is_not_deleted ON promptctl.prompts IS 'A version never goes.';

CREATE TRIGGER a_prompt_never_goes BEFORE DELETE ON promptctl.served FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a prompt never goes: its versions can be retired');

COMMENT ON TRIGGER a_prompt_never_goes ON promptctl.served IS 'Its history and uses would hang in the air.';

CREATE TRIGGER a_version_never_changes BEFORE INSERT OR UPDATE ON promptctl.versions FOR EACH ROW EXECUTE FUNCTION promptctl.before_versions();

COMMENT ON TRIGGER a_version_never_changes ON promptctl.versions IS 'What was served can be read for ever.';

CREATE TRIGGER a_version_never_goes BEFORE DELETE ON promptctl.versions FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('a version never goes: it can be retired');

COMMENT ON TRIGGER a_version_never_goes ON promptctl.versions IS 'What was served can be read for ever.';

CREATE TRIGGER corrections_are_append_only BEFORE DELETE OR UPDATE ON promptctl.corrections FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER corrections_are_append_only ON promptctl.corrections IS 'What happened, happened.';

CREATE TRIGGER corrections_are_never_emptied BEFORE TRUNCATE ON promptctl.corrections FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER corrections_are_never_emptied ON promptctl.corrections IS 'Row triggers do not see truncate.';

CREATE TRIGGER corrections_are_written_by_the_database BEFORE INSERT ON promptctl.corrections FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_by_hand('history is written by the database');

COMMENT ON TRIGGER corrections_are_written_by_the_database ON promptctl.corrections IS 'Nobody can add what did not happen.';

CREATE TRIGGER fallbacks_are_append_only BEFORE DELETE OR UPDATE ON promptctl.fallbacks FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_others('calls are append-only: drop_uses deletes old ones');

COMMENT ON TRIGGER fallbacks_are_append_only ON promptctl.fallbacks IS 'What happened, happened.';

CREATE TRIGGER fallbacks_are_never_emptied BEFORE TRUNCATE ON promptctl.fallbacks FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('calls are append-only: drop_uses deletes old ones');

COMMENT ON TRIGGER fallbacks_are_never_emptied ON promptctl.fallbacks IS 'What happened, happened.';

CREATE TRIGGER history_is_append_only BEFORE DELETE OR UPDATE ON promptctl.allocations FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER history_is_append_only ON promptctl.allocations IS 'What happened, happened.';

CREATE TRIGGER history_is_never_emptied BEFORE TRUNCATE ON promptctl.allocations FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER history_is_never_emptied ON promptctl.allocations IS 'Row triggers do not see truncate.';

CREATE TRIGGER history_is_written_by_the_database BEFORE INSERT ON promptctl.allocations FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_by_hand('history is written by the database');

COMMENT ON TRIGGER history_is_written_by_the_database ON promptctl.allocations IS 'Nobody can add what did not happen.';

CREATE TRIGGER how_far_totals_go_is_never_forgotten BEFORE TRUNCATE ON promptctl.roll_up FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('how far totals go is the database''s to say');

COMMENT ON TRIGGER how_far_totals_go_is_never_forgotten ON promptctl.roll_up IS 'Uses would count twice.';

CREATE TRIGGER how_far_totals_go_is_the_databases BEFORE DELETE OR UPDATE ON promptctl.roll_up FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_others('how far totals go is the database''s to say');

COMMENT ON TRIGGER how_far_totals_go_is_the_databases ON promptctl.roll_up IS 'Uses would count twice, or not at all.';

CREATE TRIGGER nothing_moves_without_a_trace AFTER UPDATE ON promptctl.served REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION promptctl.after_served();

COMMENT ON TRIGGER nothing_moves_without_a_trace ON promptctl.served IS 'Raw SQL leaves its row in the history as well.';

CREATE TRIGGER prompts_are_never_emptied BEFORE TRUNCATE ON promptctl.served FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('prompts never go: their versions can be retired');

COMMENT ON TRIGGER prompts_are_never_emptied ON promptctl.served IS 'Row triggers do not see truncate.';

CREATE TRIGGER prompts_can_be_inserted INSTEAD OF INSERT ON promptctl.prompts FOR EACH ROW EXECUTE FUNCTION promptctl.write_prompts();

COMMENT ON TRIGGER prompts_can_be_inserted ON promptctl.prompts IS 'Stores a version.';

CREATE TRIGGER prompts_can_be_updated INSTEAD OF UPDATE ON promptctl.prompts_without_stats FOR EACH ROW EXECUTE FUNCTION promptctl.write_prompts();

COMMENT ON TRIGGER prompts_can_be_updated ON promptctl.prompts_without_stats IS 'Only is_active can be set.';

CREATE TRIGGER releases_are_append_only BEFORE DELETE OR UPDATE ON promptctl.releases FOR EACH ROW EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER releases_are_append_only ON promptctl.releases IS 'What happened, happened.';

CREATE TRIGGER releases_are_never_emptied BEFORE TRUNCATE ON promptctl.releases FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('history is append-only');

COMMENT ON TRIGGER releases_are_never_emptied ON promptctl.releases IS 'Row triggers do not see truncate.';

CREATE TRIGGER scores_are_given_by_score_use BEFORE INSERT OR DELETE OR UPDATE ON promptctl.scores FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_others('scores are given by score_use');

COMMENT ON TRIGGER scores_are_given_by_score_use ON promptctl.scores IS 'Each has to say what it replaces.';

CREATE TRIGGER scores_are_never_emptied BEFORE TRUNCATE ON promptctl.scores FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('scores are given by score_use');

COMMENT ON TRIGGER scores_are_never_emptied ON promptctl.scores IS 'The next score of a use would count as its first.';

CREATE TRIGGER totals_are_added_up_by_the_database BEFORE INSERT OR DELETE OR UPDATE ON promptctl.totals FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_others('totals are added up by roll_up_uses');

COMMENT ON TRIGGER totals_are_added_up_by_the_database ON promptctl.totals IS 'Nobody can add what was not used.';

CREATE TRIGGER totals_are_never_emptied BEFORE TRUNCATE ON promptctl.totals FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('totals are added up by roll_up_uses');

COMMENT ON TRIGGER totals_are_never_emptied ON promptctl.totals IS 'What they have can have been dropped elsewhere.';

CREATE TRIGGER uses_are_append_only BEFORE DELETE OR UPDATE ON promptctl.uses FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse_others('uses are append-only: drop_uses deletes old ones');

COMMENT ON TRIGGER uses_are_append_only ON promptctl.uses IS 'For a statement, not for each row of millions. What was used, was used.';

CREATE TRIGGER uses_are_never_emptied BEFORE TRUNCATE ON promptctl.uses FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('uses are append-only: drop_uses deletes old ones');

COMMENT ON TRIGGER uses_are_never_emptied ON promptctl.uses IS 'What was used, was used.';

CREATE TRIGGER versions_are_never_emptied BEFORE TRUNCATE ON promptctl.versions FOR EACH STATEMENT EXECUTE FUNCTION promptctl.refuse('versions never go: they can be retired');

COMMENT ON TRIGGER versions_are_never_emptied ON promptctl.versions IS 'Row triggers do not see truncate.';

CREATE TRIGGER what_is_served_follows_the_rules BEFORE INSERT OR UPDATE ON promptctl.served FOR EACH ROW EXECUTE FUNCTION promptctl.before_served();

COMMENT ON TRIGGER what_is_served_follows_the_rules ON promptctl.served IS 'Epochs and positions are the database''s.';

ALTER TABLE ONLY promptctl.served
    ADD CONSTRAINT a_candidate_exists_and_is_not_retired FOREIGN KEY (name, candidate_version, serves_retired) REFERENCES promptctl.versions(name, version, is_retired);

COMMENT ON CONSTRAINT a_candidate_exists_and_is_not_retired ON promptctl.served IS 'Structural, so that no order of concurrent writers gets round it.';

ALTER TABLE ONLY promptctl.corrections
    ADD CONSTRAINT a_correction_belongs_to_a_known_release FOREIGN KEY (release) REFERENCES promptctl.releases(release);

COMMENT ON CONSTRAINT a_correction_belongs_to_a_known_release ON promptctl.corrections IS 'A release has its row.';

ALTER TABLE ONLY promptctl.corrections
    ADD CONSTRAINT a_correction_belongs_to_a_version FOREIGN KEY (name, version) REFERENCES promptctl.versions(name, version);

COMMENT ON CONSTRAINT a_correction_belongs_to_a_version ON promptctl.corrections IS 'No history of nothing.';

ALTER TABLE ONLY promptctl.releases
    ADD CONSTRAINT a_release_rollback_is_of_a_known_one FOREIGN KEY (undoes) REFERENCES promptctl.releases(release);

COMMENT ON CONSTRAINT a_release_rollback_is_of_a_known_one ON promptctl.releases IS 'A release has its row.';

ALTER TABLE ONLY promptctl.versions
    ADD CONSTRAINT a_version_belongs_to_a_prompt FOREIGN KEY (name) REFERENCES promptctl.served(name);

COMMENT ON CONSTRAINT a_version_belongs_to_a_prompt ON promptctl.versions IS 'Every prompt has its row of what is served.';

ALTER TABLE ONLY promptctl.served
    ADD CONSTRAINT an_active_version_exists_and_is_not_retired FOREIGN KEY (name, active_version, serves_retired) REFERENCES promptctl.versions(name, version, is_retired);

COMMENT ON CONSTRAINT an_active_version_exists_and_is_not_retired ON promptctl.served IS 'Structural, so that no order of concurrent writers gets round it.';

ALTER TABLE ONLY promptctl.allocations
    ADD CONSTRAINT an_allocation_belongs_to_a_known_release FOREIGN KEY (release) REFERENCES promptctl.releases(release);

COMMENT ON CONSTRAINT an_allocation_belongs_to_a_known_release ON promptctl.allocations IS 'A release has its row.';

ALTER TABLE ONLY promptctl.allocations
    ADD CONSTRAINT an_allocation_belongs_to_a_prompt FOREIGN KEY (name) REFERENCES promptctl.served(name);

COMMENT ON CONSTRAINT an_allocation_belongs_to_a_prompt ON promptctl.allocations IS 'No history of nothing.';

ALTER TABLE ONLY promptctl.applied
    ADD CONSTRAINT what_was_applied_belongs_to_a_prompt FOREIGN KEY (name) REFERENCES promptctl.served(name);

COMMENT ON CONSTRAINT what_was_applied_belongs_to_a_prompt ON promptctl.applied IS 'No memory of nothing.';

ALTER TABLE ONLY promptctl.applied
    ADD CONSTRAINT what_was_applied_comes_from_a_source FOREIGN KEY (source) REFERENCES promptctl.sources(source);

COMMENT ON CONSTRAINT what_was_applied_comes_from_a_source ON promptctl.applied IS 'A source has its row.';

GRANT USAGE ON SCHEMA promptctl TO viewer_login;
GRANT USAGE ON SCHEMA promptctl TO application_login;
GRANT USAGE ON SCHEMA promptctl TO operator_login;

REVOKE ALL ON FUNCTION promptctl.activate(names text[], versions integer[], author text, reason text, allow_new_variables boolean, release bigint, origins jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.activate(names text[], versions integer[], author text, reason text, allow_new_variables boolean, release bigint, origins jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.add_versions(versions jsonb, author text, release bigint, contents bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.add_versions(versions jsonb, author text, release bigint, contents bytea) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.after_insert_versions() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.after_served() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.after_update_versions() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.before_served() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.before_versions() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.begin_change(author text, reason text, release_kind text, allow_new_variables boolean, release bigint, origins jsonb, undoes bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.begin_sync(names text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.begin_sync(names text[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.bucket(seed text, unit text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.bucket(seed text, unit text) TO application_login;
GRANT ALL ON FUNCTION promptctl.bucket(seed text, unit text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.catch_up() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.create_version(name text, content text, settings jsonb, metadata jsonb, author text, version integer, activated boolean, reason text, allow_new_variables boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.create_version(name text, content text, settings jsonb, metadata jsonb, author text, version integer, activated boolean, reason text, allow_new_variables boolean) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.current_author() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.current_author() TO viewer_login;
GRANT ALL ON FUNCTION promptctl.current_author() TO application_login;
GRANT ALL ON FUNCTION promptctl.current_author() TO operator_login;

REVOKE ALL ON FUNCTION promptctl.current_reason() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.current_reason() TO viewer_login;
GRANT ALL ON FUNCTION promptctl.current_reason() TO application_login;
GRANT ALL ON FUNCTION promptctl.current_reason() TO operator_login;

REVOKE ALL ON FUNCTION promptctl.describe(name text, version integer, metadata jsonb, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.describe(name text, version integer, metadata jsonb, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.describe_versions(versions jsonb, author text, reason text, release bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.describe_versions(versions jsonb, author text, reason text, release bigint) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.drop_uses(before timestamp with time zone, from_page bigint, pages integer) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.drop_uses(before timestamp with time zone, from_page bigint, pages integer) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.end_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.end_split(name text, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.end_split(name text, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.expect_schema_version(expected integer) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.expect_schema_version(expected integer) TO viewer_login;
GRANT ALL ON FUNCTION promptctl.expect_schema_version(expected integer) TO application_login;
GRANT ALL ON FUNCTION promptctl.expect_schema_version(expected integer) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.explain_resolve(name text, unit text, attributes jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.explain_resolve(name text, unit text, attributes jsonb) TO viewer_login;
GRANT ALL ON FUNCTION promptctl.explain_resolve(name text, unit text, attributes jsonb) TO application_login;
GRANT ALL ON FUNCTION promptctl.explain_resolve(name text, unit text, attributes jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.follow(names text[], epochs integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.follow(names text[], epochs integer[]) TO application_login;
GRANT ALL ON FUNCTION promptctl.follow(names text[], epochs integer[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.grant_access(login text, access text) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.histogram_bucket(value double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.is_exact(number numeric) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.is_route(route jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.lock_holders(names text[]) FROM PUBLIC;

GRANT SELECT ON TABLE promptctl.served TO viewer_login;
GRANT SELECT ON TABLE promptctl.served TO operator_login;

REVOKE ALL ON FUNCTION promptctl.lock_prompts(names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.matching_step(route jsonb, attributes jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.merged(parts promptctl.histogram[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.new_use_id() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.new_use_id() TO application_login;
GRANT ALL ON FUNCTION promptctl.new_use_id() TO operator_login;

REVOKE ALL ON FUNCTION promptctl.new_variables_are_allowed() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.next_number(served promptctl.served) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.note_applied(source text, prompts jsonb, author text, adopts boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.note_applied(source text, prompts jsonb, author text, adopts boolean) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.note_source(source text, commit text, committed_at timestamp with time zone, author text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.note_source(source text, commit text, committed_at timestamp with time zone, author text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.open_prompts(names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.open_release(author text, reason text, source text, origin jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.open_release(author text, reason text, source text, origin jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.prompt_names() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.prompt_names() TO application_login;
GRANT ALL ON FUNCTION promptctl.prompt_names() TO operator_login;

REVOKE ALL ON FUNCTION promptctl.read_versions(names text[], versions integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.read_versions(names text[], versions integer[]) TO application_login;
GRANT ALL ON FUNCTION promptctl.read_versions(names text[], versions integer[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) TO application_login;
GRANT ALL ON FUNCTION promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[], models text[], input_tokens bigint[], output_tokens bigint[], response_ms double precision[], outcomes text[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint, output_tokens bigint, response_ms double precision, model text, unit text, outcome text, score double precision, use_id uuid, cache_read_tokens bigint, cache_write_tokens bigint, first_token_ms double precision, request_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint, output_tokens bigint, response_ms double precision, model text, unit text, outcome text, score double precision, use_id uuid, cache_read_tokens bigint, cache_write_tokens bigint, first_token_ms double precision, request_id text) TO application_login;
GRANT ALL ON FUNCTION promptctl.record_use(name text, version integer, epoch integer, input_tokens bigint, output_tokens bigint, response_ms double precision, model text, unit text, outcome text, score double precision, use_id uuid, cache_read_tokens bigint, cache_write_tokens bigint, first_token_ms double precision, request_id text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) TO application_login;
GRANT ALL ON FUNCTION promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[], ages_ms double precision[], buckets smallint[], models text[], input_tokens bigint[], output_tokens bigint[], cache_read_tokens bigint[], cache_write_tokens bigint[], response_ms double precision[], first_token_ms double precision[], outcomes text[], scores double precision[], request_ids text[]) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.recording_place() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.refuse() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.refuse_by_hand() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.refuse_others() FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_ages(ages_ms double precision[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_kept(ages_ms double precision[], received_at timestamp with time zone, kept_from timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_no_new_variables(name text, active_version integer, version integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_prompts(names text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_route_leads_somewhere(name text, route jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.require_version(name text, version integer, lifecycle text) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.required_variables(variables text[], settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.resolve(name text, unit text, attributes jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.resolve(name text, unit text, attributes jsonb) TO application_login;
GRANT ALL ON FUNCTION promptctl.resolve(name text, unit text, attributes jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.retire(name text, version integer, undo boolean, author text, reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.retire(name text, version integer, undo boolean, author text, reason text) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.roll_up_uses(at_most bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.roll_up_uses(at_most bigint) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.rollback(names text[], to_version integer, expected_version integer, author text, reason text, allow_new_variables boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.rollback(names text[], to_version integer, expected_version integer, author text, reason text, allow_new_variables boolean) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.rollback_release(release bigint, skip_moved boolean, author text, reason text, allow_new_variables boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.rollback_release(release bigint, skip_moved boolean, author text, reason text, allow_new_variables boolean) TO operator_login;

GRANT SELECT ON TABLE promptctl.roll_up TO viewer_login;
GRANT SELECT ON TABLE promptctl.roll_up TO operator_login;

REVOKE ALL ON FUNCTION promptctl.rolled_below() FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.rolled_below() TO viewer_login;
GRANT ALL ON FUNCTION promptctl.rolled_below() TO application_login;
GRANT ALL ON FUNCTION promptctl.rolled_below() TO operator_login;

REVOKE ALL ON FUNCTION promptctl.route_targets(route jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.score_use(use_id uuid, score double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.score_use(use_id uuid, score double precision) TO application_login;
GRANT ALL ON FUNCTION promptctl.score_use(use_id uuid, score double precision) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.set_routes(names text[], routes jsonb, author text, reason text, release bigint, origins jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.set_routes(names text[], routes jsonb, author text, reason text, release bigint, origins jsonb) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.split(name text, basis_points integer, candidate integer, seed text, author text, reason text, allow_new_variables boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION promptctl.split(name text, basis_points integer, candidate integer, seed text, author text, reason text, allow_new_variables boolean) TO operator_login;

REVOKE ALL ON FUNCTION promptctl.template_variables(content text, settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.use_size(input_tokens bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION promptctl.write_prompts() FROM PUBLIC;

GRANT SELECT ON TABLE promptctl.allocations TO viewer_login;
GRANT SELECT ON TABLE promptctl.allocations TO operator_login;

GRANT SELECT ON TABLE promptctl.applied TO viewer_login;
GRANT SELECT ON TABLE promptctl.applied TO operator_login;

GRANT SELECT ON TABLE promptctl.corrections TO viewer_login;
GRANT SELECT ON TABLE promptctl.corrections TO operator_login;

GRANT SELECT ON TABLE promptctl.fallbacks TO viewer_login;
GRANT SELECT ON TABLE promptctl.fallbacks TO operator_login;

GRANT SELECT ON TABLE promptctl.installation TO viewer_login;
GRANT SELECT ON TABLE promptctl.installation TO application_login;
GRANT SELECT ON TABLE promptctl.installation TO operator_login;

GRANT SELECT ON TABLE promptctl.versions TO viewer_login;
GRANT SELECT ON TABLE promptctl.versions TO operator_login;

GRANT SELECT ON TABLE promptctl.prompts_without_stats TO viewer_login;
GRANT SELECT ON TABLE promptctl.prompts_without_stats TO operator_login;

GRANT SELECT ON TABLE promptctl.scores TO viewer_login;
GRANT SELECT ON TABLE promptctl.scores TO operator_login;

GRANT SELECT ON TABLE promptctl.totals TO viewer_login;
GRANT SELECT ON TABLE promptctl.totals TO operator_login;

GRANT SELECT ON TABLE promptctl.uses TO viewer_login;
GRANT SELECT ON TABLE promptctl.uses TO operator_login;

GRANT SELECT ON TABLE promptctl.version_stats TO viewer_login;
GRANT SELECT ON TABLE promptctl.version_stats TO operator_login;

GRANT SELECT ON TABLE promptctl.prompts TO viewer_login;
GRANT SELECT,INSERT ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(id) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(name) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(version) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(content) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(is_active) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(created_at) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(created_by) ON TABLE promptctl.prompts TO operator_login;

GRANT UPDATE(metadata) ON TABLE promptctl.prompts TO operator_login;

GRANT SELECT ON TABLE promptctl.releases TO viewer_login;
GRANT SELECT ON TABLE promptctl.releases TO operator_login;

GRANT SELECT ON TABLE promptctl.sources TO viewer_login;
GRANT SELECT ON TABLE promptctl.sources TO operator_login;
