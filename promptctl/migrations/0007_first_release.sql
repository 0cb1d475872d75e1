-- promptctl: from schema version 4 to version 7, the schema of release 0.1.0.
--
-- `promptctl db migrate` runs it. It is one transaction: it either happens entirely or not at all. No table is rewritten,
-- and `uses` is not read. What takes time, such as reading the texts of all versions, comes before the locks for which
-- programs wait.
--
-- What applications of version 4 call keeps its name, its arguments and its columns: they go on resolving and recording.

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
    -- The lock of the installer of version 4. Any login can hold it, so it counts only if one that may install does.
    while not pg_try_advisory_xact_lock(7021771953286511)
        and exists (select from pg_catalog.pg_locks l
                    join pg_catalog.pg_stat_activity a on a.pid = l.pid and a.datname = current_database()
                    join pg_catalog.pg_namespace n on n.nspname = 'promptctl'
                    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
                      and (l.classid::bigint << 32) | l.objid::bigint = 7021771953286511
                      and pg_has_role(a.usesysid, n.nspowner, 'usage'))
    loop
        if clock_timestamp() > now() + interval '1 minute' then
            raise exception using errcode = 'lock_not_available', message = 'another session installs the schema';
        end if;
        perform pg_sleep(0.1);
    end loop;
    select version into installed from promptctl.installation;
    if installed is distinct from 4 then
        raise exception using errcode = 'object_not_in_prerequisite_state', constraint = 'schema_version_matches',
            message = format('database "%s" has schema version %s, and this migration starts from version 4',
                             current_database(), coalesce(installed::text, 'unknown')),
            detail = coalesce(installed::text, '');
    end if;
end
$$;

-- This lock conflicts with vacuum, which then ends, but not with programs that read or write.
lock table promptctl.served, promptctl.releases, promptctl.versions, promptctl.allocations, promptctl.corrections,
    promptctl.sources, promptctl.applied, promptctl.roll_up, promptctl.uses, promptctl.scores, promptctl.fallbacks,
    promptctl.totals in share update exclusive mode;

-- Corrections of stored rows. They happen here, where no program waits for this session: to read the texts of all versions
-- and to write rows with long texts takes seconds. Programs go on with the functions of version 4, because they do not see
-- those of this transaction.

-- Version 4 read the braces of shells, Git and LaTeX as variables.
create or replace function promptctl.brace_opens_argument(text_before text, follows_argument boolean) returns boolean
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
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
$$;

-- promptctl/rules/templates.py has the same grammar; a test compares the two.
create or replace function promptctl.template_variables(content text, settings jsonb) returns text[]
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
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
begin
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
$$;

-- Until it gets the body of version 7 below, this function lets this transaction change versions.
create or replace function promptctl.before_versions() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return new;
end
$$;

-- Not a temporary table, because the owner of the schema may have no right to create one.
create table promptctl.computed_variables as
select v.id, promptctl.template_variables(v.content, v.settings) as variables
from promptctl.versions v
where cardinality(v.variables) > 0;
create unique index computed_variables_by_id on promptctl.computed_variables (id);
update promptctl.versions v
set variables = c.variables, required_variables = promptctl.required_variables(c.variables, v.settings)
from promptctl.computed_variables c
where v.id = c.id and v.variables <> c.variables;

-- Version 4 stored names of calls that no prompt can have. They are written as record_fallbacks writes them now. The index
-- has the few different names, so that not all calls are read.
select set_config('promptctl.at_work', pg_current_xact_id()::text, true);
update promptctl.fallbacks
set name = case when length(name) between 1 and 200 then regexp_replace(name, '[^A-Za-z0-9._/-]', '~', 'g')
                else regexp_replace(left(name, 199), '[^A-Za-z0-9._/-]', '~', 'g') || '~' end
where name in (
    with recursive names as (
        (select f.name from promptctl.fallbacks f order by f.name limit 1)
        union all
        select (select f.name from promptctl.fallbacks f where f.name > n.name order by f.name limit 1)
        from names n where n.name is not null
    )
    select n.name from names n where n.name !~ '^[A-Za-z0-9._/~-]{1,200}$');

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
            foreach relation in array array[
                'uses', 'totals', 'scores', 'fallbacks', 'versions', 'allocations', 'served', 'releases', 'corrections',
                'sources', 'applied', 'roll_up', 'prompts', 'prompts_without_stats', 'version_stats', 'installation']
            loop
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

-- The same corrections for the few rows that programs stored since.
update promptctl.versions v
set variables = n.variables, required_variables = promptctl.required_variables(n.variables, v.settings)
from (select o.id, promptctl.template_variables(o.content, o.settings) as variables
      from promptctl.versions o
      where cardinality(o.variables) > 0
        and not exists (select from promptctl.computed_variables c where c.id = o.id) offset 0) n
where v.id = n.id and v.variables <> n.variables;
drop table promptctl.computed_variables;
update promptctl.fallbacks
set name = case when length(name) between 1 and 200 then regexp_replace(name, '[^A-Za-z0-9._/-]', '~', 'g')
                else regexp_replace(left(name, 199), '[^A-Za-z0-9._/-]', '~', 'g') || '~' end
where name in (
    with recursive names as (
        (select f.name from promptctl.fallbacks f order by f.name limit 1)
        union all
        select (select f.name from promptctl.fallbacks f where f.name > n.name order by f.name limit 1)
        from names n where n.name is not null
    )
    select n.name from names n where n.name !~ '^[A-Za-z0-9._/~-]{1,200}$');
select set_config('promptctl.at_work', '', true);

-- Views without the columns whose types change. They get their definitions again below, and keep their grants.
create or replace view promptctl.prompts_without_stats as
select v.id, v.name, v.version, v.content, false as is_active, v.created_at, null::text as created_by, v.metadata
from promptctl.versions v;
create or replace view promptctl.version_stats as
select v.name, v.version, null::jsonb as stats from promptctl.versions v;

alter type promptctl.booked rename to recording_result;
alter type promptctl.explained rename to resolve_explanation;
alter type promptctl.followed rename to followed_prompt;
alter type promptctl.read_version rename to pinned_version;
alter type promptctl.resolved rename to resolved_version;
alter type promptctl.undone rename to release_reversal;
create type promptctl.archival as (name text, version integer, changed boolean, active_version integer,
                                   previous_version integer, split_ended boolean, route_changed boolean);
create type promptctl.erasure as (name text, version integer, changed boolean, size integer, settings text[],
                                  metadata text[]);

alter function promptctl.begin_sync(text[]) rename to lock_prompts_to_sync;
alter function promptctl.catch_up() rename to catch_up_after_restore;
alter function promptctl.is_exact(numeric) rename to has_exact_double;
alter function promptctl.is_route(jsonb) rename to is_valid_route;
alter function promptctl.merged(promptctl.histogram[]) rename to merge_histograms;
alter function promptctl.next_number(promptctl.served) rename to next_version_number;
alter function promptctl.note_applied(text, jsonb, text, boolean) rename to record_applied;
alter function promptctl.note_source(text, text, timestamptz, text) rename to record_source;
alter function promptctl.open_prompts(text[]) rename to lock_or_create_prompts;
alter function promptctl.recording_place() rename to recording_number;
alter function promptctl.refuse_by_hand() rename to refuse_outside_triggers;
alter function promptctl.refuse_others() rename to refuse_outside_functions;
alter function promptctl.require_ages(double precision[]) rename to require_valid_ages;
alter function promptctl.require_kept(double precision[], timestamptz, timestamptz) rename to require_not_dropped;
alter function promptctl.require_route_leads_somewhere(text, jsonb) rename to require_valid_route_targets;
alter function promptctl.use_size(bigint) rename to price_tier;

alter table promptctl.installation
    add column compatible_version integer not null default 4,
    add column release text not null default '0.1.0';
alter table promptctl.installation
    alter column compatible_version drop default,
    alter column release drop default;

-- A domain without constraints changes the type of a column without reading the table.
create domain promptctl.short_text as text;
create domain promptctl.reason_text as text;
create domain promptctl.seed_text as text;
create domain promptctl.origin_object as jsonb;
create domain promptctl.outcome_name as promptctl.short_text;
create domain promptctl.score_number as double precision;
create domain promptctl.score_place as integer;
create domain promptctl.use_epoch as integer;
create domain promptctl.use_bucket as smallint;
create domain promptctl.fallback_name as text;

alter table promptctl.served rename constraint a_prompt_has_one_row_of_what_is_served to a_prompt_has_one_row;
alter table promptctl.served rename constraint a_name_has_no_segment_like_a_file to a_name_has_no_segment_like_a_file_name;
alter table promptctl.served rename constraint a_route_is_a_list_of_when_and_use to a_route_is_a_list_of_steps;
alter table promptctl.served rename constraint epochs_count_from_0 to epochs_start_at_0;
alter table promptctl.served
    rename constraint numbers_count_from_1 to version_numbers_are_from_1_to_2147483647;
alter table promptctl.served
    rename constraint an_active_version_exists_and_is_not_retired to an_active_version_exists_and_is_not_archived;
alter table promptctl.served
    rename constraint a_candidate_exists_and_is_not_retired to a_candidate_exists_and_is_not_archived;
alter table promptctl.served
    alter column seed type promptctl.seed_text,
    add column archived_at timestamptz,
    add constraint an_archived_prompt_serves_nothing check (
        archived_at is null or (active_version is null and candidate_version is null and route is null));

alter table promptctl.releases rename constraint a_release_has_one_number to a_release_number_is_unique;
alter table promptctl.releases
    rename constraint a_release_comes_from_somewhere to the_origin_of_a_release_is_an_object;
alter table promptctl.releases
    rename constraint a_release_rollback_is_of_an_earlier_one to a_release_rollback_undoes_an_earlier_release;
alter table promptctl.releases
    rename constraint a_release_rollback_is_of_a_known_one to a_release_rollback_undoes_an_existing_release;
alter table promptctl.releases
    drop constraint a_release_is_of_a_known_kind,
    alter column author type promptctl.short_text,
    alter column reason type promptctl.reason_text,
    alter column origin type promptctl.origin_object,
    add constraint a_release_has_a_known_kind check (
        kind in ('activate', 'deactivate', 'rollback', 'sync', 'release rollback'));

alter table promptctl.versions rename constraint an_id_is_used_once to a_version_id_is_unique;
alter table promptctl.versions
    rename constraint a_version_says_whether_it_is_retired to a_version_has_one_archived_state;
alter table promptctl.versions rename constraint versions_count_from_1 to a_version_number_is_at_least_1;
alter table promptctl.versions rename constraint a_template_is_of_a_known_style to a_template_has_a_known_style;
alter table promptctl.versions rename constraint a_model_is_named to a_model_is_a_nonempty_text;
alter table promptctl.versions rename constraint max_tokens_count_from_1 to max_tokens_is_at_least_1;
alter table promptctl.versions
    rename constraint a_version_has_a_date_of_creation to a_version_has_a_valid_creation_time;
alter table promptctl.versions
    rename constraint a_version_comes_from_somewhere to the_origin_of_a_version_is_an_object;
alter table promptctl.versions
    alter column created_by type promptctl.short_text,
    alter column origin type promptctl.origin_object,
    add column erased_at timestamptz;
alter table promptctl.versions
    drop constraint content_is_not_empty,
    add constraint content_is_not_empty check (
        left(content, 100) ~ '[^[:space:]]' or content ~ '[^[:space:]]' or erased_at is not null),
    add constraint an_erased_version_has_no_text check (
        erased_at is null
        or (content = '' and settings = '{}' and metadata = '{}' and variables = '{}' and required_variables = '{}'
            and retired_at is not null));
create index versions_erased on promptctl.versions (sha256) where erased_at is not null;

alter table promptctl.allocations
    rename constraint an_allocation_belongs_to_a_known_release to an_allocation_belongs_to_an_existing_release;
alter table promptctl.allocations
    drop constraint an_allocation_is_of_a_known_kind,
    add constraint an_allocation_has_a_known_kind check (
        kind in ('activate', 'deactivate', 'rollback', 'split', 'unsplit', 'route', 'archive', 'restore')),
    alter column seed type promptctl.seed_text,
    alter column origin type promptctl.origin_object,
    alter column author type promptctl.short_text,
    alter column reason type promptctl.reason_text;

alter table promptctl.corrections rename constraint a_correction_has_one_number to a_correction_number_is_unique;
alter table promptctl.corrections
    rename constraint a_correction_belongs_to_a_known_release to a_correction_belongs_to_an_existing_release;
alter table promptctl.corrections
    drop constraint a_correction_is_of_a_known_kind,
    alter column author type promptctl.short_text,
    alter column reason type promptctl.reason_text;
-- History is append-only, for everyone but a migration that renames a kind.
alter table promptctl.corrections disable trigger corrections_are_append_only;
update promptctl.corrections set kind = 'archive' where kind = 'retire';
alter table promptctl.corrections enable trigger corrections_are_append_only;
alter table promptctl.corrections
    add constraint a_correction_has_a_known_kind check (kind in ('describe', 'archive', 'restore', 'erase'));

alter table promptctl.sources rename constraint a_source_is_named to a_source_name_is_not_empty;
alter table promptctl.sources alter column applied_by type promptctl.short_text;

alter table promptctl.applied
    rename constraint what_was_applied_belongs_to_a_prompt to an_applied_state_belongs_to_a_prompt;
alter table promptctl.applied
    rename constraint what_was_applied_comes_from_a_source to an_applied_state_belongs_to_a_source;
alter table promptctl.applied rename column has_said_version to has_applied_version;
alter table promptctl.applied rename column has_said_route to has_applied_route;
alter table promptctl.applied alter column applied_by type promptctl.short_text;

alter table promptctl.roll_up rename column added to transaction_offset;

-- These rules are domains now. A constraint on a column would be checked again when the type of the column changes.
alter table promptctl.uses
    drop constraint a_bucket_is_one_of_10000,
    drop constraint a_model_has_at_most_200_characters,
    drop constraint a_score_is_a_number,
    drop constraint a_use_is_of_an_epoch,
    drop constraint an_outcome_is_named;
alter table promptctl.uses rename constraint a_first_token_takes_time to a_first_token_time_is_from_0_to_1e12_ms;
alter table promptctl.uses rename constraint a_response_takes_time to a_response_time_is_from_0_to_1e12_ms;
alter table promptctl.uses rename constraint a_use_has_a_date to a_use_has_a_valid_time;
alter table promptctl.uses rename constraint tokens_can_be_added_up to tokens_are_at_most_1e12;
alter index promptctl.uses_by_moment rename to uses_by_time;
alter table promptctl.uses
    alter column epoch type promptctl.use_epoch,
    alter column bucket type promptctl.use_bucket,
    alter column model type promptctl.short_text,
    alter column outcome type promptctl.outcome_name,
    alter column score type promptctl.score_number,
    alter column request_id type promptctl.short_text;

alter table promptctl.scores drop constraint a_later_score_is_a_number;
alter table promptctl.scores rename constraint a_use_has_one_score_at_a_time to a_use_has_one_score_per_place;
alter table promptctl.scores
    alter column place type promptctl.score_place,
    alter column model type promptctl.short_text,
    alter column score type promptctl.score_number;

alter table promptctl.fallbacks drop constraint the_outcome_of_a_fallback_is_named;
alter table promptctl.fallbacks
    rename constraint a_fallback_takes_time to a_fallback_response_time_is_from_0_to_1e12_ms;
alter table promptctl.fallbacks
    rename constraint tokens_of_a_fallback_can_be_added_up to tokens_of_a_fallback_are_at_most_1e12;
alter table promptctl.fallbacks
    alter column name type promptctl.fallback_name collate "C",
    alter column model type promptctl.short_text,
    alter column outcome type promptctl.outcome_name;

alter table promptctl.totals rename constraint uses_are_added_up_once to totals_have_one_row_per_group;
alter table promptctl.totals rename constraint a_total_is_of_a_known_grain to a_total_has_a_known_grain;

-- Not valid, because checking the stored rows would read all uses, calls and moves.
alter domain promptctl.short_text
    add constraint a_short_text_has_at_most_200_characters check (length(value) <= 200) not valid;
alter domain promptctl.outcome_name
    add constraint an_outcome_is_not_empty check (value <> '') not valid;
alter domain promptctl.score_number
    add constraint a_score_is_a_number check (value between -1e9 and 1e9) not valid;
alter domain promptctl.score_place
    add constraint a_use_is_scored_at_most_100_times check (value between 1 and 100) not valid;
alter domain promptctl.use_epoch
    add constraint the_epoch_of_a_use_is_not_negative check (value >= 0) not valid;
alter domain promptctl.use_bucket
    add constraint a_bucket_is_between_0_and_9999 check (value between 0 and 9999) not valid;
alter domain promptctl.fallback_name
    add constraint a_fallback_has_a_valid_name check (value ~ '^[A-Za-z0-9._/~-]{1,200}$') not valid;
alter domain promptctl.reason_text
    add constraint a_reason_has_at_most_2000_characters check (length(value) <= 2000) not valid;
alter domain promptctl.seed_text
    add constraint a_seed_has_at_most_300_characters check (length(value) <= 300) not valid;
alter domain promptctl.origin_object
    add constraint an_origin_has_at_most_100_kilobytes check (pg_column_size(value) <= 100000) not valid;
alter table promptctl.versions
    add constraint settings_have_at_most_1_megabyte check (pg_column_size(settings) <= 1000000) not valid,
    add constraint metadata_has_at_most_1_megabyte check (pg_column_size(metadata) <= 1000000) not valid;
alter table promptctl.sources
    add constraint a_source_has_at_most_1000_characters check (length(source) <= 1000 and length(commit) <= 1000) not valid;
-- Version 4 had none of these limits. Where a stored row exceeds one, the limit holds for new rows only.
do $$
begin
    begin
        alter table promptctl.versions validate constraint settings_have_at_most_1_megabyte;
    exception when check_violation then null;
    end;
    begin
        alter table promptctl.versions validate constraint metadata_has_at_most_1_megabyte;
    exception when check_violation then null;
    end;
    begin
        alter table promptctl.sources validate constraint a_source_has_at_most_1000_characters;
    exception when check_violation then null;
    end;
end
$$;

alter trigger history_is_never_emptied on promptctl.allocations rename to history_is_never_truncated;
alter trigger corrections_are_never_emptied on promptctl.corrections rename to corrections_are_never_truncated;
alter trigger fallbacks_are_never_emptied on promptctl.fallbacks rename to fallbacks_are_never_truncated;
alter trigger a_prompt_is_not_deleted on promptctl.prompts rename to prompts_cannot_be_deleted;
alter trigger releases_are_never_emptied on promptctl.releases rename to releases_are_never_truncated;
alter trigger how_far_totals_go_is_never_forgotten on promptctl.roll_up rename to the_watermark_is_never_truncated;
alter trigger how_far_totals_go_is_the_databases on promptctl.roll_up rename to the_watermark_is_moved_by_the_database;
alter trigger scores_are_given_by_score_use on promptctl.scores rename to scores_are_written_by_score_use;
alter trigger scores_are_never_emptied on promptctl.scores rename to scores_are_never_truncated;
alter trigger a_prompt_never_goes on promptctl.served rename to a_prompt_is_never_deleted;
alter trigger nothing_moves_without_a_trace on promptctl.served rename to every_move_is_recorded;
alter trigger prompts_are_never_emptied on promptctl.served rename to prompts_are_never_truncated;
alter trigger what_is_served_follows_the_rules on promptctl.served
    rename to epochs_and_positions_are_set_by_the_database;
alter trigger totals_are_added_up_by_the_database on promptctl.totals rename to totals_are_written_by_roll_up_uses;
alter trigger totals_are_never_emptied on promptctl.totals rename to totals_are_never_truncated;
alter trigger uses_are_never_emptied on promptctl.uses rename to uses_are_never_truncated;
alter trigger a_number_is_never_used_again on promptctl.versions rename to a_version_number_is_never_reused;
alter trigger a_version_never_goes on promptctl.versions rename to a_version_is_never_deleted;
alter trigger versions_are_never_emptied on promptctl.versions rename to versions_are_never_truncated;

-- Every function sets a search path that ends with pg_temp. With an empty path, temporary types are searched first: a
-- caller could create a temporary domain named "text", whose check would run with the rights of the owner.

create or replace function promptctl.expect_schema_version(expected integer) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

-- After a restore without grants (pg_dump --no-acl, or a grant to a role that does not exist), PUBLIC may execute our
-- functions, and they run with the rights of the owner. So each of them refuses to run in that state. The functions that
-- an application calls for each request check this inline, in less than a microsecond.
create or replace function promptctl.require_grants(routine regproc) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.open_to_everybody() returns setof text language sql stable
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

create or replace function promptctl.shorten(value text, most integer default 200) returns text
language sql immutable
begin atomic
    -- octet_length is stored and length counts; a text has at least as many bytes as characters.
    select case when octet_length(value) <= most then value
                when length(value) <= most then value
                else left(value, most - 1) || chr(8230) end;
end;

create or replace function promptctl.current_author() returns text language sql stable
begin atomic
    select left(coalesce(nullif(current_setting('promptctl.argument_author', true), ''),
                         nullif(current_setting('promptctl.author', true), ''), session_user::text), 200);
end;

create or replace function promptctl.current_reason() returns text language sql stable
begin atomic
    select left(coalesce(nullif(current_setting('promptctl.argument_reason', true), ''),
                         nullif(current_setting('promptctl.reason', true), '')), 2000);
end;

create or replace function promptctl.new_variables_are_allowed() returns boolean language sql stable
begin atomic
    select coalesce(current_setting('promptctl.argument_allow_new_variables', true) = 'on', false)
           or coalesce(lower(current_setting('promptctl.allow_new_variables', true)) in ('on', 'true', 'yes', '1'),
                       false);
end;

create or replace function promptctl.is_valid_route(route jsonb) returns boolean
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
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
$$;

create or replace function promptctl.rolled_below() returns bigint language sql stable
begin atomic
    select coalesce((select r.rolled_below from promptctl.roll_up r), 0);
end;

create or replace function promptctl.recording_number() returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.refuse_outside_functions() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('promptctl.writing_transaction', true) is distinct from pg_current_xact_id()::text then
        raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
            schema = tg_table_schema, message = tg_argv[0];
    end if;
    return null;
end
$$;

create or replace function promptctl.require_no_new_variables(name text, active_version integer, version integer)
returns void language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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
$$;

-- Without JIT: the planner overestimates a recursion and would compile it, which takes half a second.
create or replace function promptctl.require_valid_route_targets(name text, route jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off as $$
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

create or replace function promptctl.require_not_archived(served promptctl.served) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if served.archived_at is not null then
        raise exception using errcode = 'restrict_violation', constraint = 'an_archived_prompt_does_not_change',
            message = format('"%s" is archived', served.name),
            hint = format('promptctl delete --undo %s', served.name);
    end if;
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
    new.updated_at := now();
    return new;
end
$$;

create or replace function promptctl.require_no_route_to(name text, is_archived boolean) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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
                                       seed, parent, position, route, release, origin, author, reason)
    select n.name, n.epoch, k.kind, o.active_version, n.active_version, n.candidate_version, n.basis_points, n.seed,
           case when k.kind in ('activate', 'deactivate', 'archive', 'restore') then o.position end, n.position, n.route, release,
           origins -> n.name, promptctl.current_author(), promptctl.current_reason()
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

create or replace function promptctl.require_erasable(version promptctl.versions) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.before_versions() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        -- Every writer locks the row of the prompt first, so that two writers do not take the same number. A release has
        -- locked all its prompts already.
        new.release := nullif(current_setting('promptctl.release', true), '')::bigint;
        if new.release is null then
            perform from promptctl.served s where s.name = new.name for no key update;
        end if;
        new.sha256 := sha256(convert_to(new.content, 'UTF8'));
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

-- By index: a large sync inserts many batches, and each would read every prompt.
create or replace function promptctl.after_insert_versions() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
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

create or replace function promptctl.after_update_versions() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp set enable_nestloop = off set enable_seqscan = off as $$
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
        perform pg_notify('promptctl', json_build_object('erased', format('%s@%s', n.name, n.version))::text)
        from new_rows n join old_rows o on o.name = n.name and o.version = n.version
        where n.erased_at is distinct from o.erased_at;
    end if;
    return null;
end
$$;

create or replace function promptctl.before_corrections() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.lock_holders(names text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.lock_prompts(names text[]) returns setof promptctl.served
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' set enable_seqscan = off as $$
begin
    return query
        select s.* from promptctl.served s where s.name = any (lock_prompts.names) order by s.name for no key update;
exception when lock_not_available then
    raise exception using errcode = 'lock_not_available', constraint = 'a_prompt_has_one_writer_at_a_time',
        message = format('%s is locked by %s', '"' || array_to_string(names[:3], '", "') || '"',
                         promptctl.lock_holders(names));
end
$$;

create or replace function promptctl.lock_or_create_prompts(names text[]) returns setof promptctl.served
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

-- Its plan and that of lock_prompts are kept by the session and used for all callers, so each has its own setting.
create or replace function promptctl.require_prompts(names text[]) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
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

create or replace function promptctl.require_version(name text, version integer, lifecycle text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.next_version_number(served promptctl.served) returns integer
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if served.next_version > 2147483647 then
        raise exception using errcode = 'restrict_violation', constraint = 'version_numbers_are_from_1_to_2147483647',
            message = format('"%s" has no version number left', served.name);
    end if;
    return served.next_version;
end
$$;

-- set_config, because only a superuser can create a function with `set promptctl.... = ...`. The settings are empty outside
-- of a change; if a change fails, they are rolled back with it.
create or replace function promptctl.begin_change(author text, reason text, release_kind text default null,
                                                  allow_new_variables boolean default false, release bigint default null,
                                                  origins jsonb default null, undoes bigint default null)
returns bigint language plpgsql set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.end_change() returns void language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('promptctl.argument_author', '', true), set_config('promptctl.argument_reason', '', true),
            set_config('promptctl.argument_allow_new_variables', '', true), set_config('promptctl.argument_origins', '', true),
            set_config('promptctl.argument_seed', '', true), set_config('promptctl.release', '', true),
            set_config('promptctl.in_change', '', true);
end
$$;

-- plan_cache_mode: on a connection that stays open, planning for the values of each call took as long as the change itself,
-- and longer with larger tables. A generic plan overestimates the number of prompts, so sequential scans are disabled.
create or replace function promptctl.activate(names text[], versions integer[], author text default null,
                                              reason text default null, allow_new_variables boolean default false,
                                              release bigint default null, origins jsonb default null)
returns setof promptctl.move
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off as $$
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

create or replace function promptctl.rollback(names text[], to_version integer default null,
                                              expected_version integer default null, author text default null,
                                              reason text default null,
                                              allow_new_variables boolean default false)
returns setof promptctl.move
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off as $$
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

create or replace function promptctl.deactivate(names text[], expected_version integer default null,
                                                author text default null, reason text default null)
returns setof promptctl.move
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off as $$
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

create or replace function promptctl.create_version(name text, content text, settings jsonb default '{}',
                                                    metadata jsonb default '{}', author text default null,
                                                    version integer default null, activated boolean default false,
                                                    reason text default null,
                                                    allow_new_variables boolean default false)
returns setof promptctl.created_version
language plpgsql security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_generic_plan' set lock_timeout = '3s' as $$
declare
    served promptctl.served;
    stored promptctl.versions;
    is_new boolean := false;
begin
    perform promptctl.require_grants('promptctl.create_version'::regproc);
    perform promptctl.begin_change(author, reason, null, allow_new_variables);
    select * into served from promptctl.lock_or_create_prompts(array[create_version.name]);
    perform promptctl.require_not_archived(served);

    if create_version.version is null then
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

create or replace function promptctl.retire(name text, version integer, undo boolean default false,
                                            author text default null, reason text default null)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.archive(names text[], versions integer[], undo boolean default false,
                                             author text default null, reason text default null)
returns setof promptctl.archival
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.erase(name text, version integer, author text default null,
                                           reason text default null)
returns promptctl.erasure
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
    moved text[];
    number bigint;
begin
    perform promptctl.require_grants('promptctl.rollback_release'::regproc);
    perform from promptctl.releases r where r.release = rollback_release.release;
    if not found then
        raise exception using errcode = 'no_data_found', constraint = 'release_exists',
            message = format('no release %s', release), hint = 'promptctl release list';
    end if;
    perform promptctl.lock_prompts(array(select distinct a.name from promptctl.allocations a
                                         where a.release = rollback_release.release));

    with changes as (
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
        from changes o group by o.name
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
        where b.moves or b.routes
    ), reversal as (
        select n.*, (n.is_elsewhere and not n.is_back) or n.has_another_route as skips,
               n.moves and not n.is_elsewhere as goes_back
        from since n
    )
    select array_agg((f.name, case when f.goes_back and not f.skips then f.version else f.active_version end,
                      f.active_version, (f.goes_back or f.restores_route) and not f.skips, f.skips,
                      f.goes_back and not f.skips and f.candidate_version is not null,
                      f.restores_route and not f.skips, null, f.epoch)::promptctl.release_reversal order by f.name),
           array_agg(f.position order by f.name),
           array_agg(f.route_before order by f.name),
           array_agg(case when f.has_another_route then format('the route of "%s"', f.name)
                          else format('"%s" (%s by %s)', f.name, f.kind, f.author) end order by f.name)
               filter (where f.skips)
    into reversals, positions, routes, moved
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
            candidate_version = case when u.version is distinct from s.active_version then null
                                    else s.candidate_version end,
            position = case when u.version is null or u.version is not distinct from s.active_version then s.position
                           else u.position end,
            route = case when u.route_changed then u.route else s.route end
        from unnest(reversals, positions, routes)
            u (name, version, previous_version, changed, skipped, split_ended, route_changed, release, epoch, position,
               route)
        where s.name = u.name and u.changed;
        perform promptctl.end_change();
    end if;

    return query
        select u.name, u.version, u.previous_version, u.changed, u.skipped, u.split_ended, u.route_changed, number, s.epoch
        from unnest(reversals) u
        join promptctl.served s on s.name = u.name order by u.name;
end
$$;

create or replace function promptctl.open_release(author text default null, reason text default null,
                                                  source text default null, origin jsonb default null)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.add_versions(versions jsonb, author text default null,
                                                  release bigint default null, contents bytea default null)
returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '3s' set enable_seqscan = off as $$
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
$$;

create or replace function promptctl.describe_versions(versions jsonb, author text default null,
                                                       reason text default null, release bigint default null)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.describe(name text, version integer, metadata jsonb, author text default null,
                                              reason text default null)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform promptctl.require_grants('promptctl.describe'::regproc);
    return promptctl.describe_versions(
        jsonb_build_array(jsonb_build_object('name', name, 'version', version, 'metadata', metadata)), author, reason) > 0;
end
$$;

create or replace function promptctl.set_routes(names text[], routes jsonb, author text default null,
                                                reason text default null, release bigint default null,
                                                origins jsonb default null)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.split(name text, basis_points integer, candidate integer default null,
                                           seed text default null, author text default null, reason text default null,
                                           allow_new_variables boolean default false)
returns promptctl.split_change
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.end_split(name text, author text default null, reason text default null)
returns promptctl.split_change
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.lock_prompts_to_sync(names text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform promptctl.require_grants('promptctl.lock_prompts_to_sync'::regproc);
    perform promptctl.lock_or_create_prompts(names);
end
$$;

create or replace function promptctl.lock_out_other_syncs(waits boolean default false) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.record_source(source text, commit text default null,
                                                 committed_at timestamptz default null, author text default null)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.record_applied(source text, prompts jsonb, author text default null,
                                                  adopts boolean default false)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.bucket(seed text, unit text) returns integer
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
    number constant bigint :=
        ('x' || encode(substring(sha256(convert_to(seed || '.' || unit, 'UTF8')) for 8), 'hex'))::bit(64)::bigint;
begin
    -- PostgreSQL has no unsigned integers: 2^64 is added to a negative number, and 2^64 modulo 10000 is 1616.
    return case when number < 0 then (number % 10000 + 11616) % 10000 else number % 10000 end;
end
$$;

create or replace function promptctl.unit_text(unit anycompatible) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
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
    answer.epoch := served.epoch;
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

-- Not "language sql", which is planned at every call before PostgreSQL 18. By index, for a few of many prompts.
create or replace function promptctl.follow(names text[], epochs integer[] default null)
returns setof promptctl.followed_prompt
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off as $$
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

create or replace function promptctl.read_versions(names text[], versions integer[])
returns setof promptctl.pinned_version
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off as $$
begin
    perform promptctl.require_grants('promptctl.read_versions'::regproc);
    return query
        select v.name, v.version, s.epoch, v.content, v.settings, v.metadata
        from unnest(names, versions) n (name, version)
        join promptctl.versions v on v.name = n.name and v.version = n.version and v.erased_at is null
        join promptctl.served s on s.name = v.name;
end
$$;

create or replace function promptctl.erased_versions(names text[], versions integer[]) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off as $$
begin
    perform promptctl.require_grants('promptctl.erased_versions'::regproc);
    return query
        select format('%s@%s', v.name, v.version)
        from unnest(names, versions) n (name, version)
        join promptctl.versions v on v.name = n.name and v.version = n.version and v.erased_at is not null;
end
$$;

create or replace function promptctl.prompt_names() returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform promptctl.require_grants('promptctl.prompt_names'::regproc);
    return query select s.name from promptctl.served s order by s.name limit 10000;
end
$$;

create or replace function promptctl.record_use(name text, version integer, epoch integer,
                                                input_tokens bigint default null, output_tokens bigint default null,
                                                response_ms double precision default null, model text default null,
                                                unit anycompatible default null::text, outcome text default 'ok',
                                                score double precision default null, use_id uuid default null,
                                                cache_read_tokens bigint default null,
                                                cache_write_tokens bigint default null,
                                                first_token_ms double precision default null,
                                                request_id text default null)
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

create or replace function promptctl.require_valid_ages(ages_ms double precision[]) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    -- A negative age, from a clock that was set back, counts as 0. NaN is greater than any number.
    if exists (select from unnest(ages_ms) a (age) where a.age > 1e12) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'an_age_is_at_most_31_years',
            message = 'an age must be a number of milliseconds up to 1e12';
    end if;
end
$$;

create or replace function promptctl.require_not_dropped(ages_ms double precision[], received_at timestamptz,
                                                  kept_from timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from promptctl.roll_up r, unnest(ages_ms) a (age)
               where r.dropped_before > kept_from
                 and received_at - make_interval(secs => greatest(a.age, 0) / 1000) < r.dropped_before) then
        raise exception using errcode = 'serialization_failure', constraint = 'uses_are_not_dropped_during_recording',
            message = 'uses of that time were dropped meanwhile, and one of these may have been among them';
    end if;
end
$$;

create or replace function promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[],
                                                 ages_ms double precision[], buckets smallint[], models text[],
                                                 input_tokens bigint[], output_tokens bigint[],
                                                 cache_read_tokens bigint[], cache_write_tokens bigint[],
                                                 response_ms double precision[], first_token_ms double precision[],
                                                 outcomes text[], scores double precision[], request_ids text[])
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

create or replace function promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[],
                                                      models text[], input_tokens bigint[], output_tokens bigint[],
                                                      response_ms double precision[], outcomes text[])
returns promptctl.recording_result
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
        select u.name, u.version, u.recorded_at, u.model, u.outcome = 'ok' as is_ok,
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
        insert into promptctl.scores (use_id, place, name, version, used_at, model, is_ok, size, score, previous)
        values (score_use.use_id, scored.place + 1, scored.name, scored.version, scored.recorded_at, scored.model,
                scored.is_ok, scored.size, score_use.score, scored.score)
        on conflict on constraint a_use_has_one_score_per_place do nothing;
        -- Another session inserted a score of this use meanwhile: read it and try again.
        exit when found;
    end loop;
    perform set_config('promptctl.writing_transaction', '', true);
    return true;
end
$$;

create or replace function promptctl.catch_up_after_restore() returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
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

create or replace function promptctl.models_in_totals(names text[], versions integer[], models text[], uses bigint[])
returns table (name text, version integer, model text)
language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    with requested as materialized (
        select a.name collate "C" as name, a.version, a.model, sum(a.uses) as uses
        from unnest(names, versions, models, uses) a (name, version, model, uses)
        where a.model <> 'other models'
        group by 1, 2, 3
    ), ranked as (
        select c.name, c.version, c.model,
               row_number() over (partition by c.name, c.version
                                  order by bool_or(c.is_in_totals) desc, sum(c.uses) desc, c.model) as place
        from (
            select a.name, a.version, a.model, a.uses, false as is_in_totals from requested a
            union all
            select t.name, t.version, t.model::text, 0, true
            from (select distinct a.name, a.version from requested a) v
            join promptctl.totals t on t.grain = 'all' and t.name = v.name and t.version = v.version
            where t.model <> 'other models'
        ) c
        group by 1, 2, 3
    )
    select r.name, r.version, r.model from ranked r where r.place <= 100;
end;

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
        select sum(h.uses) into added from hours h;
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

create or replace function promptctl.drop_uses(before timestamptz, from_page bigint, pages integer default 500)
returns bigint
language plpgsql strict security definer set search_path = pg_catalog, pg_temp as $$
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

create or replace function promptctl.write_prompts() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

create or replace function promptctl.grant_access(login text, access text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    routine regprocedure;
begin
    if not exists (select from pg_catalog.pg_roles r where r.rolname = login) then
        raise exception using errcode = 'undefined_object', constraint = 'login_role_exists',
            message = format('no role "%s"', login);
    end if;
    if access not in ('viewer', 'application', 'operator') then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'access_is_known',
            message = format('unknown access "%s": use viewer, application or operator', access);
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
              || case when access in ('application', 'operator')
                      then array['resolve', 'record_use', 'record_uses', 'record_fallbacks', 'score_use', 'bucket',
                                 'new_use_id', 'follow', 'read_versions', 'erased_versions', 'prompt_names'] end
              || case when access = 'operator'
                      then array['activate', 'deactivate', 'rollback', 'rollback_release', 'create_version',
                                 'add_versions', 'retire', 'archive', 'describe', 'describe_versions', 'set_routes',
                                 'lock_prompts_to_sync', 'lock_out_other_syncs', 'open_release', 'record_source',
                                 'record_applied', 'split', 'end_split', 'roll_up_uses', 'drop_uses'] end)
    loop
        execute format('grant execute on function %s to %I', routine, login);
    end loop;
    if access in ('viewer', 'operator') then
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

-- The argument unit has another type, so these are other functions. Whoever could call the old ones can call the new ones.
do $$
declare
    old regprocedure;
    granted record;
begin
    foreach old in array array[
        'promptctl.explain_resolve(text, text, jsonb)',
        'promptctl.resolve(text, text, jsonb)',
        'promptctl.record_use(text, integer, integer, bigint, bigint, double precision, text, text, text, double precision, '
        || 'uuid, bigint, bigint, double precision, text)']::regprocedure[]
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

create or replace trigger a_prompt_is_never_deleted before delete on promptctl.served
    for each row execute function promptctl.refuse('a prompt cannot be deleted: archive it');
create or replace trigger prompts_are_never_truncated before truncate on promptctl.served
    for each statement execute function promptctl.refuse('prompts cannot be deleted: archive them');
create or replace trigger a_version_is_never_deleted before delete on promptctl.versions
    for each row execute function promptctl.refuse('a version cannot be deleted: archive it');
create or replace trigger versions_are_never_truncated before truncate on promptctl.versions
    for each statement execute function promptctl.refuse('versions cannot be deleted: archive them');
create or replace trigger corrections_are_append_only before update or delete on promptctl.corrections
    for each row execute function promptctl.before_corrections('history is append-only');
create constraint trigger a_dry_run_is_rolled_back after insert on promptctl.releases
    deferrable initially deferred
    for each row when (new.release > 9223372034707292160)
    execute function promptctl.refuse('the release of a dry run must be rolled back');
create or replace trigger the_watermark_is_moved_by_the_database before insert or update or delete on promptctl.roll_up
    for each statement execute function promptctl.refuse_outside_functions('the watermark is moved by roll_up_uses');
create or replace trigger the_watermark_is_never_truncated before truncate on promptctl.roll_up
    for each statement execute function promptctl.refuse('the watermark is moved by roll_up_uses');
create or replace trigger scores_are_written_by_score_use before insert or update or delete on promptctl.scores
    for each statement execute function promptctl.refuse_outside_functions('scores are written by score_use');
create or replace trigger scores_are_never_truncated before truncate on promptctl.scores
    for each statement execute function promptctl.refuse('scores are written by score_use');
create or replace trigger totals_are_written_by_roll_up_uses before insert or update or delete on promptctl.totals
    for each statement execute function promptctl.refuse_outside_functions('totals are written by roll_up_uses');
create or replace trigger totals_are_never_truncated before truncate on promptctl.totals
    for each statement execute function promptctl.refuse('totals are written by roll_up_uses');
create or replace trigger prompts_cannot_be_deleted instead of delete on promptctl.prompts
    for each row execute function promptctl.refuse('a version cannot be deleted: archive it');

create or replace view promptctl.prompts_without_stats as
select v.id, v.name, v.version, v.content, coalesce(s.active_version = v.version, false) as is_active, v.created_at,
       v.created_by::text, v.metadata
from promptctl.versions v
join promptctl.served s on s.name = v.name
where not v.is_retired and s.archived_at is null;

create or replace view promptctl.version_stats as
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

create or replace view promptctl.prompts as
select p.*,
       (select x.stats from promptctl.version_stats x where x.name = p.name and x.version = p.version) as stats
from promptctl.prompts_without_stats p;

create or replace rule an_update_computes_no_stats as on update to promptctl.prompts do instead
    update promptctl.prompts_without_stats p
    set id = new.id, name = new.name, version = new.version, content = new.content, is_active = new.is_active,
        created_at = new.created_at, created_by = new.created_by, metadata = new.metadata
    where p.name = old.name and p.version = old.version
    returning p.*, (select r.stats from promptctl.prompts r where r.name = p.name and r.version = p.version);

-- Since version 5, the table has no row before the first roll-up.
select set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true);
delete from promptctl.roll_up r
where r.rolled_below = 0 and r.dropped_before is null and not exists (select from promptctl.totals);
select set_config('promptctl.writing_transaction', '', true);

comment on schema promptctl is 'System prompts as numbered versions that never change, and the active version of each.';
comment on table promptctl.installation is
    'One row: the version of this schema, and which promptctl it serves.';
comment on column promptctl.installation.version is
    'The version of this schema. Every change of the schema raises it.';
comment on column promptctl.installation.compatible_version is
    'The oldest version whose applications this schema serves: they resolve and record until they are restarted.';
comment on column promptctl.installation.release is
    'The first release of promptctl that has this version of the schema. A program that is too old names it in its '
    'error.';
comment on column promptctl.installation.id is
    'Identifies this database. A saved plan can be applied to one database only.';
comment on constraint an_installation_is_recorded_once on promptctl.installation is
    'A database has one promptctl schema.';
comment on constraint there_is_one_installation on promptctl.installation is
    'The key has only one value, so the table has at most one row.';
comment on function promptctl.expect_schema_version is
    'Refuses a client that was made for a version which this schema does not serve. A client sends it before its first '
    'statement, in the same round trip.';
comment on function promptctl.require_grants is
    'Refuses every role except the owner while PUBLIC may execute the given routine.';
comment on function promptctl.open_to_everybody is
    'The objects of this schema that PUBLIC may use: none after an installation. A restore without grants opens '
    'functions to PUBLIC, and installing again closes them.';
comment on domain promptctl.short_text is 'A name, an author or an outcome, which is stored with every use or change.';
comment on constraint a_short_text_has_at_most_200_characters on domain promptctl.short_text is
    'Longer texts could fill the disk, and a key must fit an index. Functions cut longer texts.';
comment on domain promptctl.reason_text is 'Why a change was made.';
comment on constraint a_reason_has_at_most_2000_characters on domain promptctl.reason_text is
    'Some paragraphs. Functions cut longer reasons.';
comment on domain promptctl.seed_text is 'The text that is hashed with a unit.';
comment on constraint a_seed_has_at_most_300_characters on domain promptctl.seed_text is
    'The history stores a copy of each seed. A generated seed is a name of at most 200 characters and an epoch.';
comment on domain promptctl.origin_object is
    'Where a version or a change came from: a repository, a commit and a path.';
comment on constraint an_origin_has_at_most_100_kilobytes on domain promptctl.origin_object is
    'The history stores a copy of each origin.';
comment on domain promptctl.outcome_name is '"ok", or the name of the error that a call ended in.';
comment on constraint an_outcome_is_not_empty on domain promptctl.outcome_name is
    'A call either succeeds or ends in an error that has a name.';
comment on domain promptctl.score_number is 'How good a reply was.';
comment on constraint a_score_is_a_number on domain promptctl.score_number is
    'One NaN would spoil every average. A score that is replaced is subtracted from a sum, which would be inexact for '
    'larger numbers.';
comment on domain promptctl.score_place is 'The position of a score among the scores of its use, from 1.';
comment on constraint a_use_is_scored_at_most_100_times on domain promptctl.score_place is
    'Each score is a row until its use is dropped.';
comment on domain promptctl.use_epoch is 'The epoch of the prompt in which the version was served.';
comment on constraint the_epoch_of_a_use_is_not_negative on domain promptctl.use_epoch is
    'Epochs start at 0, before the first change of a prompt.';
comment on domain promptctl.use_bucket is 'The bucket of a unit.';
comment on constraint a_bucket_is_between_0_and_9999 on domain promptctl.use_bucket is
    'The range of the function promptctl.bucket.';
comment on domain promptctl.fallback_name is 'The name that an application requested.';
comment on constraint a_fallback_has_a_valid_name on domain promptctl.fallback_name is
    'The characters of a prompt''s name, and the ~ with which record_fallbacks replaces others.';
comment on function promptctl.shorten is
    'A text of at most this many characters. A longer text is cut and then ends in an ellipsis.';
comment on function promptctl.current_author is
    'Who makes the change: a function''s argument, else the setting promptctl.author, else the database user.';
comment on function promptctl.current_reason is
    'Why the change is made: a function''s argument, else the setting promptctl.reason, else null.';
comment on function promptctl.new_variables_are_allowed is
    'Whether a version may become active that needs a variable which the active version does not need: by a '
    'function''s argument, or by the setting promptctl.allow_new_variables = on.';
comment on function promptctl.brace_opens_argument is
    E'Whether a brace after this text opens an argument of a LaTeX command: \\name{, \\name[...]{, or { directly after such '
    'an argument. The text has no brace. A command has two letters or more, because \\n{x} is an escaped line break before a '
    'variable.';
comment on function promptctl.template_variables is
    'The variables of a template, each once, in the order of their first occurrences. In the style braces a variable '
    'is {path}, but not {{path}}, not directly after one of $@#%^, and not as an argument of a LaTeX command. In the '
    'style mustache it is {{path}}. In the style none there are no variables. A path is identifiers joined by dots; an '
    'identifier has ASCII letters, digits and _.';
comment on function promptctl.required_variables is
    'The variables of a template that the caller must pass: those that have no default and are not optional.';
comment on function promptctl.has_exact_double is
    'Whether a number is whole or survives a conversion to floating point and back. Most languages read numbers as '
    'floating point.';
comment on function promptctl.is_valid_route is
    'Whether this is a list of 1 to 100 steps {"when": {attribute: text, number or boolean}, "use": "NAME" or '
    '"NAME@VERSION"}, of at most 100 kB. A fraction must survive a conversion to floating point and back, so that '
    'every language compares it alike.';
comment on table promptctl.served is
    'What each prompt serves: its active version, its split and its route. One row per prompt, from its creation on. '
    'Every writer locks this row first, and several rows in the order of their names.';
comment on column promptctl.served.active_version is 'The version that a bare name stands for; null: none.';
comment on column promptctl.served.candidate_version is
    'The version that a split serves to a share of the units; null: no split runs.';
comment on column promptctl.served.basis_points is 'The share of the candidate, out of 10 000.';
comment on column promptctl.served.seed is 'The text that is hashed with a unit. It stays while the share changes.';
comment on column promptctl.served.position is
    'The epoch of the move that the prompt is at in its history. A rollback goes to the parent of that move.';
comment on column promptctl.served.epoch is
    'Counts the changes of the version that a unit gets, from 1; 0: there was none yet.';
comment on column promptctl.served.next_version is
    'The highest number that was ever used, plus 1. It never decreases, so no number is used twice.';
comment on column promptctl.served.route is
    'Targeting rules: a list of {"when": {attribute: value}, "use": "NAME"}. The first step that matches a request '
    'leads it to the named prompt; null: no route.';
comment on column promptctl.served.archived_at is
    'When the prompt was archived. An archived prompt is not listed, serves nothing and cannot change; null: it is in '
    'use.';
comment on constraint an_archived_prompt_serves_nothing on promptctl.served is
    'It has no active version, no candidate and no route.';
comment on constraint a_prompt_has_one_row on promptctl.served is
    'A prompt has at most one active version, because there is one place to store it.';
comment on constraint a_name_is_segments_joined_by_slashes on promptctl.served is
    'A name is also a folder path and is typed in shells: letters, digits, dots, dashes and underscores.';
comment on constraint a_name_has_at_most_200_characters on promptctl.served is 'A name must fit a file system.';
comment on constraint a_name_is_not_a_number on promptctl.served is
    'A bare number is a version whose prompt was left out.';
comment on constraint a_name_has_no_segment_like_a_file_name on promptctl.served is
    'v3.txt and prompt.yaml are files in the folder of a prompt in Git.';
comment on index promptctl.names_differ_in_more_than_case is
    'Some file systems cannot hold two names that differ only in case.';
comment on index promptctl.served_by_route is
    'For the checks before a version is archived, and for cycles. Few prompts have a route.';
comment on constraint a_route_is_a_list_of_steps on promptctl.served is
    'Conditions are scalars only, which every language compares alike.';
comment on constraint a_split_needs_an_active_version on promptctl.served is
    'A split divides the units between the candidate and the active version.';
comment on constraint a_candidate_is_not_the_active_version on promptctl.served is 'A split is between two versions.';
comment on constraint a_share_is_at_most_10000_basis_points on promptctl.served is '10 000 basis points are all units.';
comment on constraint a_split_has_a_seed_and_a_share on promptctl.served is
    'Without a split there is neither a seed nor a share.';
comment on constraint epochs_start_at_0 on promptctl.served is 'The database counts epochs.';
comment on constraint version_numbers_are_from_1_to_2147483647 on promptctl.served is
    'next_version is one more than the last number that was used.';
comment on table promptctl.releases is 'The changes that one transaction made to several prompts.';
comment on column promptctl.releases.source is 'For a sync: its source.';
comment on column promptctl.releases.origin is
    'For a sync: repository, commit, folder, and whether the working tree had uncommitted changes.';
comment on column promptctl.releases.undoes is 'For a rollback of a release: the release that it reversed.';
comment on column promptctl.releases.opened_in is
    'The transaction that made the release. No other transaction can add to it.';
comment on constraint a_release_number_is_unique on promptctl.releases is 'Numbers increase and may have gaps.';
comment on constraint a_release_has_a_known_kind on promptctl.releases is 'The command that made the release.';
comment on constraint the_origin_of_a_release_is_an_object on promptctl.releases is 'An origin has keys and values.';
comment on constraint a_release_rollback_undoes_an_earlier_release on promptctl.releases is
    'A release cannot reverse itself or a later one.';
comment on constraint a_release_rollback_undoes_an_existing_release on promptctl.releases is 'Each release has a row.';
comment on table promptctl.versions is
    'Every version of every prompt. Content and settings are fixed when a version is created.';
comment on column promptctl.versions.sha256 is
    'SHA-256 of the content in UTF-8. It is not unique, because a later version may have the text of an earlier one.';
comment on column promptctl.versions.settings is
    'What a version carries besides its content: template, variables, model, max_tokens.';
comment on column promptctl.versions.variables is
    'The variables of the template, in the order of their first occurrences.';
comment on column promptctl.versions.required_variables is 'The variables that the caller must pass.';
comment on column promptctl.versions.metadata is
    'A JSON object. Lists show its key "description". It may be corrected.';
comment on column promptctl.versions.created_by is 'The author, as the client reported it.';
comment on column promptctl.versions.database_user is
    'The session_user that stored the version. A client cannot choose it.';
comment on column promptctl.versions.origin is
    'Where the version came from: repository, commit, path, author of the file''s last commit, dirty; null: not from a '
    'folder.';
comment on column promptctl.versions.release is 'The release in which the version was stored; null: none.';
comment on column promptctl.versions.retired_at is
    'When the version was archived. An archived version is not listed and cannot be activated; null: it is in use.';
comment on column promptctl.versions.erased_at is
    'When the text, the settings and the metadata were erased; null: they were not. The number and the hash stay.';
comment on index promptctl.versions_erased is 'For the check that an erased text is not stored again. There are few.';
comment on constraint an_erased_version_has_no_text on promptctl.versions is
    'It has no settings and no metadata either, because they may contain a secret as well. It stays archived, so that '
    'it cannot be served.';
comment on index promptctl.versions_by_release is 'The versions that a release stored.';
comment on index promptctl.versions_by_content is 'create_version looks for a version that already has the text.';
comment on constraint a_number_is_used_once_in_a_prompt on promptctl.versions is
    'NAME@VERSION always means the same text.';
comment on constraint a_version_id_is_unique on promptctl.versions is
    'An id identifies the same version as NAME@VERSION.';
comment on constraint a_version_has_one_archived_state on promptctl.versions is
    'The foreign keys of the table served refer to it.';
comment on constraint a_version_belongs_to_a_prompt on promptctl.versions is
    'Every prompt has its row in the table served.';
comment on constraint a_version_number_is_at_least_1 on promptctl.versions is
    'A version is a number from 1 to 2147483647.';
comment on constraint content_is_not_empty on promptctl.versions is 'A text of white space alone is a mistake.';
comment on constraint content_has_no_byte_order_mark on promptctl.versions is
    'Clients remove it, so that equal texts have equal hashes.';
comment on constraint content_has_no_crlf on promptctl.versions is
    'Clients replace CR LF by LF, so that equal texts have equal hashes.';
comment on constraint settings_are_an_object on promptctl.versions is 'Settings have keys and values.';
comment on constraint metadata_is_an_object on promptctl.versions is 'Metadata has keys and values.';
comment on constraint settings_have_at_most_1_megabyte on promptctl.versions is 'Clients hold settings in memory.';
comment on constraint metadata_has_at_most_1_megabyte on promptctl.versions is
    'The history stores a copy of each value.';
comment on constraint a_template_has_a_known_style on promptctl.versions is 'Every client must be able to render it.';
comment on constraint a_variable_is_described_by_required_and_default on promptctl.versions is
    'Each variable has an object. In it, required is a boolean and default is a text.';
comment on constraint a_model_is_a_nonempty_text on promptctl.versions is
    'Any name is accepted, because models come and go.';
comment on constraint max_tokens_is_at_least_1 on promptctl.versions is 'A reply has at least one token.';
comment on constraint a_version_has_a_valid_creation_time on promptctl.versions is
    'RFC 3339 has years of four digits and no infinity.';
comment on constraint a_version_has_an_author on promptctl.versions is
    'If the client reports none, it is the database user.';
comment on constraint the_origin_of_a_version_is_an_object on promptctl.versions is 'An origin has keys and values.';
comment on constraint an_active_version_exists_and_is_not_archived on promptctl.served is
    'A foreign key, because it holds for every order of concurrent writers.';
comment on constraint a_candidate_exists_and_is_not_archived on promptctl.served is
    'A foreign key, because it holds for every order of concurrent writers.';
comment on table promptctl.allocations is
    'The history: what a prompt served after each change, and who made the change. One row per change, ordered by '
    'epoch and not by clock. Only triggers write it.';
comment on column promptctl.allocations.previous_version is 'The active version before the change.';
comment on column promptctl.allocations.version is 'The active version after the change; null: none.';
comment on column promptctl.allocations.parent is
    'For activate, deactivate, archive and restore: the position of the prompt before the change, to which a rollback '
    'returns.';
comment on column promptctl.allocations.position is 'The position of the prompt after the change.';
comment on column promptctl.allocations.route is 'The route after the change; null: none.';
comment on column promptctl.allocations.origin is
    'The commit and the file that caused the change: repository, commit, path, author of the file''s last commit, '
    'dirty.';
comment on column promptctl.allocations.author is 'Who made the change, as the client reported it.';
comment on column promptctl.allocations.database_user is
    'The session_user that made the change. A client cannot choose it.';
comment on index promptctl.allocations_by_release is 'The moves of a release.';
comment on constraint an_epoch_has_one_allocation on promptctl.allocations is
    'The history of a prompt is a line and not a tree.';
comment on constraint an_allocation_belongs_to_a_prompt on promptctl.allocations is
    'Each prompt has a row in the table served.';
comment on constraint an_allocation_belongs_to_an_existing_release on promptctl.allocations is
    'Each release has a row.';
comment on constraint an_allocation_has_a_known_kind on promptctl.allocations is
    'What can change in what a prompt serves.';
comment on index promptctl.corrections_by_prompt is 'The history of one prompt.';
comment on index promptctl.corrections_by_release is 'The corrections of a release.';
comment on table promptctl.corrections is
    'The changes of what may change in a version: its metadata, whether it is archived, and whether it is erased; and '
    'who made them. Only triggers write it.';
comment on column promptctl.corrections.epoch is
    'The epoch of the prompt at that time. It places the correction in the history.';
comment on constraint a_correction_number_is_unique on promptctl.corrections is
    'Numbers are in the order of the corrections.';
comment on constraint a_correction_belongs_to_a_version on promptctl.corrections is 'Each version has a row.';
comment on constraint a_correction_belongs_to_an_existing_release on promptctl.corrections is 'Each release has a row.';
comment on constraint a_correction_has_a_known_kind on promptctl.corrections is 'What may change in a version.';
comment on table promptctl.sources is 'Folders that were synced, each with the commit that was applied last.';
comment on column promptctl.sources.commit is 'The full hash; null: the folder is in no repository.';
comment on column promptctl.sources.committed_at is
    'The time of that commit, for a clone whose history does not reach back to it.';
comment on constraint a_source_has_one_row on promptctl.sources is 'Only the last state is stored.';
comment on constraint a_source_has_at_most_1000_characters on promptctl.sources is 'The name is part of a key.';
comment on constraint a_source_name_is_not_empty on promptctl.sources is
    'A source is named by its repository and folder, or by a name of its own.';
comment on table promptctl.applied is
    'The source of each prompt, and what that source set when it was applied last. A sync compares it with the folder '
    'and with the database.';
comment on column promptctl.applied.active_version is
    'The active version that the source set; null: none. While has_applied_version is false, it is the version that '
    'the folder names while another version is held.';
comment on column promptctl.applied.route is
    'The route that the source set; null: it set none; []: it set an empty one.';
comment on column promptctl.applied.metadata is 'The metadata that the source set, by version.';
comment on column promptctl.applied.has_applied_version is
    'Whether the source ever set an active version. If it stops naming one and names one again, it has changed.';
comment on column promptctl.applied.has_applied_route is 'Whether the source ever set a route.';
comment on column promptctl.applied.digest is 'SHA-256 of the files of the prompt.';
comment on column promptctl.applied.is_settled is
    'Whether the last sync left nothing to report about the prompt. If it did, or if the prompt was corrected since, '
    'the next sync compares the prompt again.';
comment on column promptctl.applied.next_version is
    'The next number of the prompt at that time. Another number now means that there are versions which the source '
    'does not have.';
comment on index promptctl.applied_by_source is 'The prompts of one source.';
comment on constraint a_prompt_comes_from_one_source on promptctl.applied is
    'Two sources would undo each other''s changes.';
comment on constraint an_applied_state_belongs_to_a_prompt on promptctl.applied is
    'Each prompt has a row in the table served.';
comment on constraint an_applied_state_belongs_to_a_source on promptctl.applied is 'Each source has a row.';
comment on table promptctl.roll_up is
    'The watermark: how far the uses are in totals. The transaction that adds uses to totals moves it. Before the '
    'first roll-up there is no row, because a row would conflict with the dumped one when the data alone is restored, '
    'and the uses in totals would be counted again.';
comment on column promptctl.roll_up.rolled_below is
    'The watermark: uses with a smaller recorded_in are in totals, and no others are.';
comment on column promptctl.roll_up.transaction_offset is
    'Is added to the number of a transaction, so that a database that was restored into a younger cluster continues '
    'from its old numbers.';
comment on column promptctl.roll_up.rolled_up_at is 'When the watermark moved last.';
comment on column promptctl.roll_up.dropped_before is
    'Single uses from before this time were dropped. A use that arrives with such a time is not stored, because it may '
    'have been counted already.';
comment on constraint a_roll_up_has_one_watermark on promptctl.roll_up is 'Several watermarks could disagree.';
comment on constraint there_is_one_watermark on promptctl.roll_up is 'The key has only one value.';
comment on function promptctl.rolled_below is
    'The watermark, and 0 before the first roll-up. A query should call this function instead of reading roll_up in a '
    'subquery: the planner evaluates a stable function, so it expects only the few uses above the watermark.';
comment on function promptctl.recording_number is
    'The number of this transaction among those that record uses. It is not below the watermark, and no roll-up passes '
    'it before this transaction has ended.';
comment on table promptctl.uses is
    'One row per call of a model with a version. Rows are appended and no counter is shared, so recording a use waits '
    'for no other use and for no activation. record_use checks that the version exists, and versions are never '
    'deleted.';
comment on index promptctl.uses_by_version is 'The uses of one version that are not yet in its totals.';
comment on index promptctl.uses_by_time is
    'For the roll-up and for dropping old uses. Rows arrive nearly in this order, and a BRIN index costs a recording '
    'nothing.';
comment on column promptctl.uses.recorded_at is
    'When the use ended, by the clock of this server: the time of recording minus the age that the client sent.';
comment on column promptctl.uses.recorded_in is
    'The transaction that recorded the use, as a number that only grows. Uses below the watermark are in totals.';
comment on column promptctl.uses.bucket is 'The bucket of the unit, 0 to 9999. The unit itself is not stored.';
comment on column promptctl.uses.input_tokens is
    'All of the input, including what was read from and written to a cache.';
comment on column promptctl.uses.cache_read_tokens is
    'The part of input_tokens that was read from a cache; null: not reported.';
comment on column promptctl.uses.cache_write_tokens is
    'The part of input_tokens that was written to a cache; null: not reported.';
comment on column promptctl.uses.first_token_ms is 'From the request to the first text of the reply.';
comment on column promptctl.uses.request_id is
    'The identifier of the request at the provider of the model, for its support.';
comment on column promptctl.uses.outcome is '"ok", or the name of the error that the call ended in.';
comment on constraint a_use_has_a_valid_time on promptctl.uses is 'Each use belongs to an hour and a day.';
comment on constraint a_use_is_recorded_once on promptctl.uses is
    'A use that is sent twice with one id is stored once.';
comment on constraint tokens_are_not_negative on promptctl.uses is
    'A number that was not reported is null, never 0 or -1.';
comment on constraint tokens_are_at_most_1e12 on promptctl.uses is
    'One absurd number would make every sum in the statistics fail.';
comment on constraint a_response_time_is_from_0_to_1e12_ms on promptctl.uses is
    'At most 31 years, because averages square the times; null: not reported.';
comment on constraint cached_tokens_are_part_of_the_input on promptctl.uses is
    'input_tokens is all of the input. The cached parts have other prices.';
comment on constraint a_first_token_time_is_from_0_to_1e12_ms on promptctl.uses is
    'From the request to the first text of the reply; null: not reported.';
comment on table promptctl.scores is
    'Scores that arrived after their uses. The last score of a use counts. Each row has the score that it replaces, so '
    'that totals can follow. Rows are appended.';
comment on column promptctl.scores.use_id is 'The use that has the score.';
comment on column promptctl.scores.place is
    'The first score of a use has place 1, the score that replaces it has place 2.';
comment on column promptctl.scores.used_at is
    'The time of the use. The score belongs to the totals of that hour and day.';
comment on column promptctl.scores.is_ok is 'Whether the use succeeded.';
comment on column promptctl.scores.scored_at is 'When the score arrived.';
comment on column promptctl.scores.recorded_in is 'As in uses: scores below the watermark are in totals.';
comment on column promptctl.scores.previous is 'The score that this one replaces; null: none.';
comment on column promptctl.scores.size is 'The price tier of the use, as in totals.';
comment on index promptctl.scores_by_version is 'The scores of one version that are not yet in its totals.';
comment on constraint a_use_has_one_score_per_place on promptctl.scores is
    'Of two scores that arrive at the same time, the second takes the next place.';
comment on table promptctl.fallbacks is
    'Calls of a model with a text of the application''s own, because no version could be served. They are not uses of '
    'a version and are in no totals. They are stored as long as single uses.';
comment on column promptctl.fallbacks.name is
    'The name that the application requested. There may be no such prompt. A ~ replaces a character that a name cannot '
    'have, or the end of a name that was cut.';
comment on column promptctl.fallbacks.outcome is '"ok", or the name of the error that the call ended in.';
comment on index promptctl.fallbacks_by_name is 'The calls of one prompt.';
comment on index promptctl.fallbacks_by_time is 'The calls of a period, and the old calls to drop.';
comment on constraint a_fallback_is_recorded_once on promptctl.fallbacks is
    'A call that is sent twice with one id is stored once.';
comment on constraint tokens_of_a_fallback_are_not_negative on promptctl.fallbacks is
    'A number that was not reported is null, never 0 or -1.';
comment on constraint tokens_of_a_fallback_are_at_most_1e12 on promptctl.fallbacks is
    'One absurd number would spoil every sum.';
comment on constraint a_fallback_response_time_is_from_0_to_1e12_ms on promptctl.fallbacks is 'Null: not reported.';
comment on type promptctl.histogram is
    'Counts by bucket, in the order of the buckets and without empty ones. Bucket b has the values from 2^(b/32) to '
    '2^((b+1)/32).';
comment on function promptctl.histogram_bucket is
    'floor(32 * log2(value)). The middle of the bucket, 2^((b+0.5)/32), is at most 1.1 % off.';
comment on function promptctl.merge_histograms is 'The sum of histograms, some of which may be null; null: all are.';
comment on table promptctl.totals is
    'The sums of uses by hour, by day (UTC) and of all time. Statistics read them instead of single uses. Totals and '
    'the uses that are not yet rolled up are together all uses.';
comment on column promptctl.totals.starts_at is 'When the hour or the day begins; -infinity: all time.';
comment on column promptctl.totals.grain is 'hour, day or all. Each use is in one total of each grain.';
comment on column promptctl.totals.is_ok is 'Whether the uses succeeded.';
comment on column promptctl.totals.uses is 'The number of uses.';
comment on column promptctl.totals.size is
    'The price tier: how many of the steps of the prices, at 100 000 and 200 000 tokens, the input exceeds.';
comment on column promptctl.totals.without_unit is 'Uses that have no unit.';
comment on column promptctl.totals.with_tokens is 'Uses that reported input or output tokens.';
comment on column promptctl.totals.with_both is 'Uses that reported input and output tokens.';
comment on column promptctl.totals.tokens is
    'Input and output tokens of the uses that reported both; null, as in all sums of this table: no use reported it.';
comment on column promptctl.totals.with_input is 'Uses that reported input_tokens.';
comment on column promptctl.totals.with_output is 'Uses that reported output_tokens.';
comment on column promptctl.totals.cache_read_tokens is 'The part of input_tokens that was read from a cache.';
comment on column promptctl.totals.cache_write_tokens is 'The part of input_tokens that was written to a cache.';
comment on column promptctl.totals.with_response is 'Uses that reported response_ms.';
comment on column promptctl.totals.fastest_ms is 'The shortest response_ms.';
comment on column promptctl.totals.slowest_ms is 'The longest response_ms.';
comment on column promptctl.totals.response_times is 'The histogram of response_ms.';
comment on column promptctl.totals.with_first_token is 'Uses that reported first_token_ms.';
comment on column promptctl.totals.first_token_ms is 'The sum of first_token_ms.';
comment on column promptctl.totals.with_score is 'Uses that have a score.';
comment on column promptctl.totals.score is 'The sum of the scores.';
comment on column promptctl.totals.last_used_at is 'The time of the last of these uses.';
comment on constraint totals_have_one_row_per_group on promptctl.totals is 'A later roll-up adds to the same row.';
comment on constraint a_total_has_a_known_grain on promptctl.totals is 'Each use is in one total of each grain.';
comment on function promptctl.refuse is 'For a rule without exceptions. The argument of the trigger is the message.';
comment on function promptctl.refuse_outside_triggers is
    'For a table that only triggers write: refuses a direct insert.';
comment on function promptctl.refuse_outside_functions is
    'For a table that only our functions write. A function sets promptctl.writing_transaction to its transaction. Rows '
    'that were written directly would be counted twice, or not at all.';
comment on function promptctl.require_no_new_variables is
    'Refuses a version that needs a variable which the active version does not need, because the running application '
    'would not pass it.';
comment on function promptctl.route_targets is
    'The targets of the steps of a route, in their order: NAME or NAME@VERSION.';
comment on function promptctl.require_valid_route_targets is
    'Refuses a route to a prompt or version that does not exist or is archived, and a route with a cycle.';
comment on function promptctl.require_not_archived is 'Refuses an archived prompt.';
comment on function promptctl.before_served is
    'Counts epochs, maintains the position in the history, and ends a split when the active version changes. An '
    'archived prompt serves nothing and does not change until it is restored.';
comment on function promptctl.require_no_route_to is
    'Refuses to deactivate or to archive a prompt while a route of another prompt leads to it.';
comment on function promptctl.after_served is
    'Appends a row of history for every change and notifies the channel "promptctl", in the same transaction.';
comment on function promptctl.require_erasable is
    'Refuses to erase a version: for a role other than the owner of the schema, without a reason, and while the '
    'version can be served.';
comment on function promptctl.before_versions is
    'Hashes a new version and extracts its variables. Later it lets only the metadata and the archived state change, '
    'and lets the owner of the schema erase a version that cannot be served.';
comment on function promptctl.after_insert_versions is
    'Keeps next_version above every number that was used, and refuses a text that was erased.';
comment on function promptctl.after_update_versions is
    'Records every correction: of metadata, archiving, restoring and erasing. Makes the next sync compare the prompt '
    'again. An erasure also removes the metadata from the recorded corrections and notifies clients, which may hold '
    'the version.';
comment on function promptctl.before_corrections is
    'Refuses to change history, except that the erasure of a version removes the metadata of its corrections.';
comment on trigger epochs_and_positions_are_set_by_the_database on promptctl.served is
    'A client chooses the versions, the split and the route, and nothing else.';
comment on trigger every_move_is_recorded on promptctl.served is 'A change by plain SQL is in the history as well.';
comment on trigger a_prompt_is_never_deleted on promptctl.served is 'Its history and its uses refer to it.';
comment on trigger prompts_are_never_truncated on promptctl.served is 'Row triggers do not fire for truncate.';
comment on trigger a_version_never_changes on promptctl.versions is
    'A text that was served can be read at any later time.';
comment on trigger a_version_number_is_never_reused on promptctl.versions is 'NAME@VERSION always means the same text.';
comment on trigger a_correction_is_recorded on promptctl.versions is
    'Stores who changed a description, and the previous description.';
comment on trigger a_version_is_never_deleted on promptctl.versions is
    'A text that was served can be read at any later time.';
comment on trigger versions_are_never_truncated on promptctl.versions is 'Row triggers do not fire for truncate.';
comment on trigger history_is_append_only on promptctl.allocations is 'A change stays as it was recorded.';
comment on trigger history_is_never_truncated on promptctl.allocations is 'Row triggers do not fire for truncate.';
comment on trigger history_is_written_by_the_database on promptctl.allocations is
    'Nobody can add a change that did not happen.';
comment on trigger corrections_are_append_only on promptctl.corrections is
    'A change stays as it was recorded, except for the metadata of an erased version.';
comment on trigger corrections_are_never_truncated on promptctl.corrections is 'Row triggers do not fire for truncate.';
comment on trigger corrections_are_written_by_the_database on promptctl.corrections is
    'Nobody can add a change that did not happen.';
comment on trigger releases_are_append_only on promptctl.releases is 'A change stays as it was recorded.';
comment on trigger releases_are_never_truncated on promptctl.releases is 'Row triggers do not fire for truncate.';
comment on trigger a_dry_run_is_rolled_back on promptctl.releases is
    'Checked at commit. The release of a dry run has a number outside of the sequence, after all others.';
comment on trigger the_watermark_is_moved_by_the_database on promptctl.roll_up is
    'Otherwise uses would be counted twice, or not at all.';
comment on trigger the_watermark_is_never_truncated on promptctl.roll_up is 'Otherwise uses would be counted twice.';
comment on trigger uses_are_append_only on promptctl.uses is
    'For each statement, because a trigger for each of millions of rows would be slow.';
comment on trigger uses_are_never_truncated on promptctl.uses is 'A use stays as it was recorded.';
comment on trigger scores_are_written_by_score_use on promptctl.scores is
    'Each score must have the score that it replaces.';
comment on trigger scores_are_never_truncated on promptctl.scores is
    'The next score of a use would count as its first.';
comment on trigger totals_are_written_by_roll_up_uses on promptctl.totals is 'Nobody can add uses that did not happen.';
comment on trigger totals_are_never_truncated on promptctl.totals is 'The single uses may have been dropped.';
comment on trigger fallbacks_are_append_only on promptctl.fallbacks is 'A call stays as it was recorded.';
comment on trigger fallbacks_are_never_truncated on promptctl.fallbacks is 'A call stays as it was recorded.';
comment on type promptctl.move is
    'The effect of activate, deactivate or rollback on one prompt. version is null where none is active now; changed '
    'is false where nothing changed.';
comment on type promptctl.archival is
    'The effect of archive on a version or, where version is null, on a prompt: its active version after and before, '
    'and whether its route was removed or restored.';
comment on type promptctl.erasure is
    'What erase removed: the size of the text in bytes, and the keys of settings and metadata. changed is false where '
    'the version was erased already.';
comment on type promptctl.release_reversal is
    'The effect of rollback_release on one prompt; skipped: it has moved since the release and stays where it is.';
comment on type promptctl.resolved_version is
    'The result of resolve: the version to use now, and the epoch in which it was served.';
comment on type promptctl.resolve_explanation is
    'The result of resolve with its reasons: the requested prompt, the step of its route that matched (from 1) and its '
    'conditions, the bucket of the unit, and the split. is_candidate: the bucket is below the share.';
comment on type promptctl.split_change is
    'The effect of split or end_split: the split after and before. changed is false where nothing changed.';
comment on type promptctl.followed_prompt is
    'What one prompt serves, with the texts that a client needs to resolve it.';
comment on type promptctl.pinned_version is
    'One version for a client that pins it; epoch: the current epoch of the prompt.';
comment on type promptctl.recording_result is
    'How many of the sent uses were recorded, were repeated (stored before), and were late (older than the single uses '
    'that are stored, and so not counted).';
comment on type promptctl.created_version is
    'The result of create_version; created is false where a version already had the text.';
comment on function promptctl.lock_holders is 'The sessions that lock the rows of these prompts, as a text for people.';
comment on function promptctl.lock_prompts is
    'Locks the rows of these prompts in the order of their names. Waits at most 3 s and then raises an error that '
    'names the holder.';
comment on function promptctl.lock_or_create_prompts is
    'Locks the rows of these prompts and inserts the rows that do not exist yet.';
comment on function promptctl.require_prompts is
    'Refuses a name that is not a prompt, and a name that is listed twice.';
comment on function promptctl.require_version is
    'Refuses a version that does not exist or, for the lifecycle ''in use'', that is archived or erased.';
comment on function promptctl.next_version_number is 'The next number of a prompt whose row is locked.';
comment on function promptctl.begin_change is
    'Sets the author, the reason and the origins that triggers write into the history. With a kind it opens a release '
    'and returns its number; with a release of this transaction it continues that release.';
comment on function promptctl.end_change is
    'Clears what begin_change has set, so that later statements of the transaction have their own author and reason.';
comment on function promptctl.activate is
    'Makes each version the active one, all or none. Several prompts make a release, unless they are added to a '
    'release that this transaction has opened. origins has, by name, where each activation came from.';
comment on function promptctl.rollback is
    'Rolls back along the history, all prompts or none: to the move before the one that the prompt is at. It skips '
    'moves to no version, to an archived version, to the active version and, with to_version, to any other version. It '
    'never toggles. While a split runs it only ends the split, unless to_version is another version.';
comment on function promptctl.deactivate is
    'Leaves each prompt without an active version, all or none. Several prompts make a release. rollback restores the '
    'version that was active.';
comment on function promptctl.create_version is
    'Stores a text as the next version, or under a number that is not used yet. Without a number, and if versions in '
    'use have the same text and settings, it returns the newest of them.';
comment on function promptctl.retire is
    'Archives a version, or with undo restores it. Its text, history and uses stay. Returns false where nothing '
    'changed.';
comment on function promptctl.archive is
    'Archives versions and, where the version is null, prompts, all or none. An archived prompt is not listed and '
    'serves nothing. Its name, texts, history and statistics stay. With undo it restores them: a prompt with the '
    'version that was active and with its route, but without its split.';
comment on function promptctl.erase is
    'Removes the text, the settings and the metadata of a version permanently, and archives it. The number, the hash, '
    'the history and the statistics stay. Only the owner of the schema can erase, with a reason, and not a version '
    'that can be served.';
comment on function promptctl.rollback_release is
    'Restores the active versions and the routes that a release changed, all or none. Where a prompt has moved since, '
    'it refuses or, with skip_moved, skips the prompt. A prompt that an earlier call restored is done. A split that '
    'the release ended does not start again, and a split that started since ends.';
comment on function promptctl.open_release is
    'Opens the release of a sync. The transaction then adds versions, corrections, routes and activations to it.';
comment on function promptctl.add_versions is
    'Stores many versions with numbers of their own, all or none. versions is a JSON array of objects with name, '
    'version and content, and optionally settings, metadata, created_by and origin. Large texts are faster in '
    'contents, one after the other; each object then has start and size in bytes. Within a release the prompts must '
    'exist (lock_prompts_to_sync): creating them here would take a subtransaction for each batch, and more than 64 slow '
    'down every session. Returns the number of versions.';
comment on function promptctl.describe_versions is
    'Corrects the metadata of versions and records the corrections. versions is a JSON array of objects with name, '
    'version and metadata. Returns how many changed.';
comment on function promptctl.describe is
    'Corrects the metadata of a version and records the correction. Returns false where nothing changed.';
comment on function promptctl.set_routes is
    'Sets the route of each prompt, all or none. null or an empty list removes the route. Returns how many changed.';
comment on function promptctl.split is
    'Serves a candidate to a share of the units, in basis points, or changes the share of the split that runs. The '
    'seed, by default <name>.<epoch>, stays while the share changes: a unit that gets the candidate keeps it as the '
    'share grows.';
comment on function promptctl.end_split is
    'Serves the active version to all units again. changed is false where no split ran.';
comment on function promptctl.lock_prompts_to_sync is
    'Locks every prompt that a sync may change, before it is planned and in the order of the names, so that no other '
    'session moves one of them until it is applied.';
comment on function promptctl.lock_out_other_syncs is
    'Makes other syncs wait until this transaction ends. Returns the session that runs another sync, or null if there '
    'is none. With waits it waits for that session, at most lock_timeout.';
comment on function promptctl.record_source is 'Stores which commit of a source was applied last.';
comment on function promptctl.record_applied is
    'Stores what a source set for its prompts, which the next sync compares with: a JSON array of objects with name, '
    'active, route, metadata, digest, is_settled and is_held. Refuses a prompt of another source, unless it is '
    'adopted.';
comment on function promptctl.bucket is
    'The bucket of a unit, 0 to 9999: the first 8 bytes of sha256(seed + "." + unit), big-endian, modulo 10000.';
comment on function promptctl.matching_step is
    'The index, from 0, of the first step of a route whose conditions are all among the attributes; null: none.';
comment on function promptctl.unit_text is
    'A unit as the text that decides its bucket: a text, the digits of an integer, or the usual form of a UUID. Other '
    'types are refused, because each language formats them in its own way.';
comment on function promptctl.explain_resolve is
    'The result of resolve with its reasons. First the route: its first step whose conditions are all among the '
    'attributes, as jsonb contains them, selects the target. The route of the target is not followed. Then the split: '
    'the candidate is served when the bucket of the unit is below the share. Without a unit, the bucket is random.';
comment on function promptctl.resolve is
    'The version of a prompt to use now. The unit decides which side of a split it gets, and the attributes select a '
    'step of the route. Raises an error when there is no version to serve. explain_resolve returns the reasons.';
comment on function promptctl.follow is
    'What these prompts serve, with the texts, in one snapshot. Leaves out the prompts whose epoch is still the one in '
    'epochs. A name that is not a prompt has no row.';
comment on function promptctl.read_versions is
    'These versions, including archived ones. A version that does not exist or was erased has no row.';
comment on function promptctl.erased_versions is
    'Which of these versions were erased, so that a client can discard them.';
comment on function promptctl.prompt_names is
    'The names of the prompts, at most 10 000, from which a client suggests one for a mistyped name.';
comment on function promptctl.new_use_id is 'A new id for a use, ordered by time.';
comment on function promptctl.record_use is
    'Records one call of a model with the version that was served: tokens, milliseconds, and an outcome, "ok" or the '
    'name of an error. input_tokens is all of the input, including cache_read_tokens and cache_write_tokens. A number '
    'that was not reported is null. A use that is sent again with the same use_id is stored once. Returns the use_id.';
comment on function promptctl.require_valid_ages is 'Refuses an age that is not a number of milliseconds up to 1e12.';
comment on function promptctl.require_not_dropped is
    'Refuses uses that were dropped while they were recorded, because they may have been stored before. The client '
    'sends them again.';
comment on function promptctl.record_uses is
    'Records many uses, all or none, from arrays of one length; see record_use. Each use has a bucket instead of a '
    'unit, and instead of a time an age in milliseconds, because clocks differ. A use that is stored already is not '
    'stored again. A use that is older than the stored single uses is not counted, because it may have been counted '
    'before.';
comment on function promptctl.record_fallbacks is
    'Records calls of a model with a text of the application''s own; see record_uses.';
comment on function promptctl.price_tier is
    'How many of the steps of the prices, at 100 000 and 200 000 tokens, an input exceeds.';
comment on function promptctl.score_use is
    'Sets the score of a use. The last score counts. Returns false where nothing changed. Refuses a use that was '
    'dropped, and more than 100 scores.';
comment on function promptctl.catch_up_after_restore is
    'After a restore into a cluster with smaller transaction numbers: makes the numbers of new uses continue where the '
    'old ones end.';
comment on function promptctl.models_in_totals is
    'The models of each version that totals count separately, at most 100: first those that are in totals, then those '
    'with the most of these uses. All others are counted as "other models", because an application can report any '
    'number of names. A model that was counted there stays there.';
comment on function promptctl.roll_up_uses is
    'Adds uses that are not yet in totals to them, about at_most of them, and returns how many; null: another session '
    'is rolling up. The watermark moves in the same transaction, so the session can be killed at any time. It adds '
    'only uses of transactions that have ended, with all before them; the others follow in the next roll-up.';
comment on function promptctl.drop_uses is
    'Deletes single uses that are in totals and are older than an hour, in a range of pages of the table; returns how '
    'many. With the first page it also deletes their scores and old calls with a text of the application''s own.';
comment on view promptctl.prompts_without_stats is
    'The view prompts without its statistics, and the target of its updates: a trigger gets whole rows, so a trigger '
    'on prompts would compute stats for each row.';
comment on view promptctl.version_stats is
    'The statistics of each version, including archived ones: its totals and the uses that are not in them yet.';
comment on column promptctl.version_stats.stats is 'As in prompts.';
comment on view promptctl.prompts is
    'Every version in use. Public. insert stores a version, setting is_active activates or deactivates it, and every '
    'other change is refused.';
comment on column promptctl.prompts.is_active is 'Whether it is the active version. It can be updated.';
comment on column promptctl.prompts.stats is
    'total_uses, errors, avg_tokens (input + output), avg_response_time_ms, avg_score, last_used_at. Averages are over '
    'the uses that succeeded and reported the number, avg_score over all that have a score. A number that no use '
    'reported is absent.';
comment on function promptctl.write_prompts is 'Carries out an insert into the view or an update of it.';
comment on trigger prompts_can_be_inserted on promptctl.prompts is 'Stores a version.';
comment on trigger prompts_can_be_updated on promptctl.prompts_without_stats is 'Only is_active can be changed.';
comment on rule an_update_computes_no_stats on promptctl.prompts is
    'An activation must not become slower as uses accumulate.';
comment on trigger prompts_cannot_be_deleted on promptctl.prompts is 'A version can be archived instead.';
comment on function promptctl.grant_access is
    'Grants a login role exactly what it needs and revokes the rest: viewer reads; application resolves and records; '
    'operator reads, resolves, records, creates, activates, rolls back, archives and syncs.';

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

update promptctl.installation set version = 7;

commit;
