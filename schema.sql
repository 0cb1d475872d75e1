-- promptctl: the whole database. PostgreSQL 15 to 18, a UTF-8 database, one schema, no extension.
--
-- Runs the same through `psql -v ON_ERROR_STOP=1 -f schema.sql` and through `promptctl db init`, and is safe to run
-- again: one transaction, one installer at a time, a gate that refuses any other version, then definitions. It leaves with
-- `drop schema promptctl cascade`.
--
-- Who may change what is enforced here and nowhere else. A rule is a named constraint or trigger; its name reads as a
-- sentence and arrives at the client as `constraint_name`, by which errors are told apart.

-- Read committed, whatever the database's default: what another installer committed while this one waited must be seen.
begin isolation level read committed;

set local client_min_messages = warning;
set local lock_timeout = '60s';
set local search_path = '';

do $$
declare
    expected constant integer := 5;
    installed integer;
    is_ours boolean := true;
    is_new boolean := false;
begin
    if current_setting('server_version_num')::integer < 150000 then
        raise exception using errcode = 'feature_not_supported', constraint = 'server_is_recent_enough',
            message = format('PostgreSQL %s is too old: promptctl needs 15 or later', current_setting('server_version'));
    end if;
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception using errcode = 'feature_not_supported', constraint = 'database_is_utf8',
            message = format('database "%s" is encoded in %s: promptctl needs UTF8',
                             current_database(), current_setting('server_encoding'));
    end if;
    loop
        begin
            if to_regnamespace('promptctl') is null then
                create schema promptctl;
            end if;
            exit when to_regclass('promptctl.installation') is not null;
            is_ours := not exists (select from pg_catalog.pg_class where relnamespace = to_regnamespace('promptctl'))
                and not exists (select from pg_catalog.pg_proc where pronamespace = to_regnamespace('promptctl'))
                and not exists (select from pg_catalog.pg_type where typnamespace = to_regnamespace('promptctl'));
            exit when not is_ours;
            create table promptctl.installation (
                singleton boolean default true,
                version integer not null,
                id uuid not null default gen_random_uuid(),
                installed_at timestamptz not null default now(),

                constraint an_installation_is_recorded_once primary key (singleton),
                constraint there_is_one_installation check (singleton)
            );
            is_new := true;
            exit;
        exception when unique_violation or duplicate_schema or duplicate_table or duplicate_object then
            null; -- After waiting for another session that made it first: look again.
        end;
    end loop;
    if not is_ours then
        raise exception using errcode = 'duplicate_schema', constraint = 'schema_is_ours',
            message = format('schema "promptctl" in database "%s" is not ours', current_database());
    end if;
    -- Two installers go one after the other. Not by an advisory lock, which every login of the database may hold.
    lock table promptctl.installation in share row exclusive mode;
    -- From here on, whoever waits for us must not wait long.
    perform set_config('lock_timeout', '3s', true);
    if not is_new then
        select version into installed from promptctl.installation;
        if installed is distinct from expected then
            raise exception using errcode = 'object_not_in_prerequisite_state', constraint = 'schema_version_matches',
                message = format('database "%s" holds schema version %s, this is version %s',
                                 current_database(), coalesce(installed::text, 'unknown'), expected),
                detail = coalesce(installed::text, '');
        end if;
    end if;
    insert into promptctl.installation (version) values (expected) on conflict do nothing;
end
$$;

comment on schema promptctl is 'System prompts as numbered versions that never change, and which of them is served.';
comment on table promptctl.installation is 'One row: the version of this schema. The command line refuses any other.';
comment on column promptctl.installation.id is 'Which database this is: a saved plan is for one.';
comment on constraint an_installation_is_recorded_once on promptctl.installation is 'A database has one schema of ours.';
comment on constraint there_is_one_installation on promptctl.installation is 'The key has one value.';

-- Every function names where it looks names up, pg_temp last: with an empty path temporary types come first, and whoever
-- made a temporary domain named "text" had its check run by our security definers as the owner.

create or replace function promptctl.expect_schema_version(expected integer) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.expect_schema_version is
    'Refuses a client made for another version of this schema. It goes ahead of the first statement, in its round trip.';

-- A dump without grants (pg_dump --no-acl) restores our functions, which run as the owner, with EXECUTE for everybody. So
-- does pg_restore with a grant to a role that is not there. So each of them looks at its own grants first. Those that an
-- application waits for do it in place, which takes less than a microsecond.
create or replace function promptctl.require_grants(routine regproc) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if has_function_privilege('public', routine, 'execute')
        -- The owner restored the schema, and goes on working with it.
        and not pg_has_role(coalesce(nullif(current_setting('role'), 'none'), session_user),
                            (select p.proowner from pg_catalog.pg_proc p where p.oid = routine), 'usage') then
        raise exception using errcode = 'insufficient_privilege', constraint = 'functions_are_not_open_to_everybody',
            message = format('%s was restored without its grants: everybody may execute it, and so it refuses all but '
                             'the owner of the schema', routine),
            hint = 'promptctl db init';
    end if;
end
$$;

comment on function promptctl.require_grants is
    'Refuses everybody but the owner while everybody may execute this function.';

create or replace function promptctl.open_to_everybody() returns setof text language sql stable
begin atomic
    select format('function %s', p.oid::regprocedure)
    from pg_catalog.pg_proc p
    cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    where p.pronamespace = (select n.oid from pg_catalog.pg_namespace n where n.nspname = 'promptctl') and a.grantee = 0
    union all
    select format('%s %s', case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end, c.oid::regclass)
    from pg_catalog.pg_class c
    cross join aclexplode(c.relacl) a -- Without any it is the owner's.
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

comment on function promptctl.open_to_everybody is
    'What everybody may use of this schema: nothing, as it is installed. A restore without grants opens functions, and '
    'installing again closes them.';

-- Domains, because the constraints of a table are read anew by every statement that writes to it, at some microseconds
-- each, and those of a domain once in a session.
do $$
begin
    if to_regtype('promptctl.short_text') is null then
        create domain promptctl.short_text as text
            constraint a_short_text_has_at_most_200_characters check (length(value) <= 200);
        create domain promptctl.reason_text as text
            constraint a_reason_has_at_most_2000_characters check (length(value) <= 2000);
        create domain promptctl.seed_text as text
            constraint a_seed_has_at_most_300_characters check (length(value) <= 300);
        create domain promptctl.origin_object as jsonb
            constraint an_origin_has_at_most_100_kilobytes check (pg_column_size(value) <= 100000);
        create domain promptctl.outcome_name as promptctl.short_text
            constraint an_outcome_is_named check (value <> '');
        create domain promptctl.score_number as double precision
            constraint a_score_is_a_number check (value between -1e9 and 1e9);
        create domain promptctl.score_place as integer
            constraint a_use_is_scored_at_most_100_times check (value between 1 and 100);
        create domain promptctl.use_epoch as integer
            constraint a_use_is_of_an_epoch check (value >= 0);
        create domain promptctl.use_bucket as smallint
            constraint a_bucket_is_one_of_10000 check (value between 0 and 9999);
    end if;
end
$$;

comment on domain promptctl.short_text is 'A name, an author, an outcome: what is kept with every use or change.';
comment on constraint a_short_text_has_at_most_200_characters on domain promptctl.short_text is
    'Large ones would fill the disk, and a key has to fit an index. Functions cut longer ones.';
comment on domain promptctl.reason_text is 'Why something was done.';
comment on constraint a_reason_has_at_most_2000_characters on domain promptctl.reason_text is
    'Some paragraphs. Functions cut longer ones.';
comment on domain promptctl.seed_text is 'What a unit is hashed with.';
comment on constraint a_seed_has_at_most_300_characters on domain promptctl.seed_text is
    'The history keeps a copy of each. Ours are a name, of at most 200, and an epoch.';
comment on domain promptctl.origin_object is 'Where something came from: a repository, a commit, a path.';
comment on constraint an_origin_has_at_most_100_kilobytes on domain promptctl.origin_object is
    'The history keeps a copy of each.';

comment on domain promptctl.outcome_name is '"ok", or the name of what went wrong.';
comment on constraint an_outcome_is_named on domain promptctl.outcome_name is 'A use went well or has a reason.';
comment on domain promptctl.score_number is 'How good an answer was.';
comment on constraint a_score_is_a_number on domain promptctl.score_number is
    'One NaN spoils averages; and one that is replaced is taken off again, which larger numbers would round away.';
comment on domain promptctl.score_place is 'Which score of its use it is.';
comment on constraint a_use_is_scored_at_most_100_times on domain promptctl.score_place is
    'Each score stays a row until its use is dropped.';
comment on domain promptctl.use_epoch is 'The epoch of a prompt in which a version was served.';
comment on constraint a_use_is_of_an_epoch on domain promptctl.use_epoch is 'Epochs count from 0: nothing was ever served.';
comment on domain promptctl.use_bucket is 'The bucket of a unit.';
comment on constraint a_bucket_is_one_of_10000 on domain promptctl.use_bucket is 'As promptctl.bucket gives it.';

create or replace function promptctl.shortened(value text, most integer default 200) returns text
language sql immutable
begin atomic
    -- A character has a byte or more, and bytes are counted already.
    select case when octet_length(value) <= most then value
                when length(value) <= most then value
                else left(value, most - 1) || chr(8230) end;
end;

comment on function promptctl.shortened is
    'A text with at most so many characters: one that is longer is cut, and then ends in an ellipsis.';

create or replace function promptctl.current_author() returns text language sql stable
begin atomic
    select left(coalesce(nullif(current_setting('promptctl.given_author', true), ''),
                         nullif(current_setting('promptctl.author', true), ''), session_user::text), 200);
end;

comment on function promptctl.current_author is
    'Who says to be doing this: a function''s argument, else the setting promptctl.author, else the database user.';

create or replace function promptctl.current_reason() returns text language sql stable
begin atomic
    select left(coalesce(nullif(current_setting('promptctl.given_reason', true), ''),
                         nullif(current_setting('promptctl.reason', true), '')), 2000);
end;

comment on function promptctl.current_reason is
    'Why this is being done, if it is said: a function''s argument, else the setting promptctl.reason.';


create or replace function promptctl.new_variables_are_allowed() returns boolean language sql stable
begin atomic
    select coalesce(current_setting('promptctl.given_allowance', true) = 'on', false)
           or coalesce(lower(current_setting('promptctl.allow_new_variables', true)) in ('on', 'true', 'yes', '1'),
                       false);
end;

comment on function promptctl.new_variables_are_allowed is
    'Whether a version may become active that needs a variable which the active one does not: by a function''s argument, '
    'or by the setting promptctl.allow_new_variables = on.';

create or replace function promptctl.ends_before_argument(text_before text, follows_argument boolean) returns boolean
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

comment on function promptctl.ends_before_argument is
    E'Whether a brace after this text, which has none, opens an argument of a LaTeX command: \\name{, \\name[...]{, or { '
    'right after such an argument. A command has two letters or more, because \\n{x} is an escaped line break before a '
    'variable.';

-- The grammar is that of promptctl/rules/templates.py; a test holds the two together.
create or replace function promptctl.template_variables(content text, settings jsonb) returns text[]
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
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
    has_commands constant boolean := strpos(content, E'\\') > 0;
    closed integer;
    depth integer := 0;
    -- Of the braces that are open, by depth: whether each opened an argument of a LaTeX command.
    arguments boolean[] := '{}';
    -- What the last closing brace closed.
    was_argument boolean := false;
    opens_argument boolean := false;
begin
    if style = 'none' or content not like '%{%' then
        return '{}';
    elsif style = 'mustache' then
        return array(
            select t.found[1] collate "C"
            from regexp_matches(content collate "C", E'[{][{][ \t]*(' || path || E')[ \t]*[}][}]', 'g')
                with ordinality t (found, place)
            group by t.found[1] collate "C" order by min(t.place));
    end if;
    -- Cut at the braces, so that a regular expression sees names and not the whole text, and without a query, which would
    -- take as long as all of this.
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
                else promptctl.ends_before_argument(split_part(before, '}', -1), was_argument) end;
            depth := depth + 1;
            arguments[depth] := opens_argument;
            was_argument := false;
        end if;
        if (cardinality(found) >= many or not name = any (found))
            and octet_length(piece) > octet_length(name) and name ~ whole_path
            and not opens_argument and right(before, 1) not in ('$', '@', '#', '%', '^')
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
$$;

comment on function promptctl.template_variables is
    'The variables of a template, each once, in the order of their first places: {path}, not {{path}}, nor right after one '
    'of $@#%^ or as an argument of a LaTeX command; in the style mustache {{path}}; in the style none, none. A path is '
    'identifiers joined by dots: letters of ASCII, digits, _.';

create or replace function promptctl.required_variables(variables text[], settings jsonb) returns text[]
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.required_variables is
    'Those of a template''s variables that whoever renders it has to give: without a default, and not said to be optional.';

create or replace function promptctl.is_exact(number numeric) returns boolean
language sql immutable strict set search_path = pg_catalog, pg_temp set extra_float_digits = 1
return case when trunc(number) = number then true
            -- The least there is; and beyond the other every one is whole.
            when abs(number) not between 5e-324 and 1e17 then false
            else to_jsonb(number::double precision)::numeric = number end;

comment on function promptctl.is_exact is
    'Whether a number is the same to whoever reads its digits as a floating point number, as most languages do.';

create or replace function promptctl.is_route(route jsonb) returns boolean
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
begin
    -- The history keeps a copy of each.
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
                                             when 'number' then not promptctl.is_exact(w.value::numeric) else true end)
                              from jsonb_each(r.step -> 'when') w), true)
                 or r.step ->> 'use' !~ '^[^@]+(@[1-9][0-9]{0,9})?$'
                 or coalesce(substring(r.step ->> 'use' from '@(.*)$')::bigint > 2147483647, false)
            else true end);
end
$$;

comment on function promptctl.is_route is
    'Whether this is a list of 1 to 100 steps {"when": {attribute: text, number or truth}, "use": "NAME" or "NAME@VERSION"}, '
    'of at most 100 kB. A fraction is one that has a floating point number of its own, so that it is compared alike everywhere.';


create table if not exists promptctl.served (
    name text collate "C",
    active_version integer,
    candidate_version integer,
    basis_points integer not null default 0,
    seed promptctl.seed_text,
    position integer,
    epoch integer not null default 0,
    next_version bigint not null default 1,
    route jsonb,
    archived_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- Never true: the other half of the foreign keys that keep a retired version from being served.
    serves_retired boolean generated always as (false) stored,

    constraint a_prompt_has_one_row_of_what_is_served primary key (name),
    constraint a_name_is_segments_joined_by_slashes check (
        name ~ '^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$'),
    constraint a_name_has_at_most_200_characters check (length(name) <= 200),
    constraint a_name_is_not_a_number check (name ~ '[^0-9]'),
    constraint a_name_has_no_segment_like_a_file check (
        name !~* '(^|/)(v[0-9]+[.](txt|md)|prompt[.]ya?ml)(/|$)'),
    constraint a_split_needs_an_active_version check (candidate_version is null or active_version is not null),
    constraint a_candidate_is_not_the_active_version check (candidate_version <> active_version),
    constraint a_share_is_at_most_10000_basis_points check (basis_points between 0 and 10000),
    constraint a_split_has_a_seed_and_a_share check (
        (candidate_version is null) = (seed is null) and (candidate_version is not null or basis_points = 0)),
    constraint a_route_is_a_list_of_when_and_use check (promptctl.is_route(route)),
    constraint an_archived_prompt_serves_nothing check (
        archived_at is null or (active_version is null and candidate_version is null and route is null)),
    constraint epochs_count_from_0 check (epoch >= 0),
    constraint numbers_count_from_1 check (next_version between 1 and 2147483648)
);

create unique index if not exists names_differ_in_more_than_case on promptctl.served (lower(name));
create index if not exists served_by_route on promptctl.served (name) where route is not null;

comment on table promptctl.served is
    'What is served: one row per prompt, from its creation on. Every writer locks this row first, several in name order.';
comment on column promptctl.served.active_version is 'The version served by default; null: none.';
comment on column promptctl.served.candidate_version is 'A second version that gets a share of the traffic; null: no split.';
comment on column promptctl.served.basis_points is 'The candidate''s share, out of 10 000.';
comment on column promptctl.served.seed is 'What a unit is hashed with; kept while the share changes.';
comment on column promptctl.served.position is
    'The epoch of the move at which the prompt stands in its history; rollback walks to that move''s parent.';
comment on column promptctl.served.epoch is 'Counts the changes of who gets what, from 1; 0: nothing was ever served.';
comment on column promptctl.served.next_version is 'The highest number + 1; it never falls, so no number is used twice.';
comment on column promptctl.served.route is
    'Other prompts for other users: a list of {"when": {attribute: value}, "use": "NAME"}, of which the first that matches is '
    'resolved instead; null: none.';
comment on column promptctl.served.archived_at is
    'Since when the prompt is archived: it is not listed, serves nothing and cannot change; null: it is in use.';
comment on constraint an_archived_prompt_serves_nothing on promptctl.served is
    'Neither a version nor the route to another prompt.';
comment on constraint a_prompt_has_one_row_of_what_is_served on promptctl.served is
    'One active version per prompt, by structure: there is one place to write it.';
comment on constraint a_name_is_segments_joined_by_slashes on promptctl.served is
    'A name is also a folder path and is written in shells: letters, digits, dot, dash, underscore.';
comment on constraint a_name_has_at_most_200_characters on promptctl.served is 'It has to fit a file system.';
comment on constraint a_name_is_not_a_number on promptctl.served is 'A bare number is a forgotten name.';
comment on constraint a_name_has_no_segment_like_a_file on promptctl.served is
    'v3.txt and prompt.yaml are files of the folder in Git.';
comment on index promptctl.names_differ_in_more_than_case is 'Some file systems cannot hold both.';
comment on index promptctl.served_by_route is 'Before a version is retired, and for circles: routes are few.';
comment on constraint a_route_is_a_list_of_when_and_use on promptctl.served is
    'Flat scalars only, which every language compares alike.';
comment on constraint a_split_needs_an_active_version on promptctl.served is 'A share of nothing is no split.';
comment on constraint a_candidate_is_not_the_active_version on promptctl.served is 'A split is between two versions.';
comment on constraint a_share_is_at_most_10000_basis_points on promptctl.served is 'Basis points: 10 000 is everyone.';
comment on constraint a_split_has_a_seed_and_a_share on promptctl.served is 'Candidate and seed come and go together.';
comment on constraint epochs_count_from_0 on promptctl.served is 'Counted by the database.';
comment on constraint numbers_count_from_1 on promptctl.served is 'A version is 1 to 2147483647.';


create table if not exists promptctl.releases (
    release bigint generated always as identity,
    kind text not null,
    author promptctl.short_text not null,
    reason promptctl.reason_text,
    source text,
    origin promptctl.origin_object,
    undoes bigint,
    database_user text not null default session_user,
    opened_in xid8 not null default pg_current_xact_id(),
    released_at timestamptz not null default clock_timestamp(),

    constraint a_release_has_one_number primary key (release),
    constraint a_release_is_of_a_known_kind check (
        kind in ('activate', 'deactivate', 'rollback', 'sync', 'release rollback')),
    constraint a_release_comes_from_somewhere check (jsonb_typeof(origin) = 'object'),
    constraint a_release_rollback_is_of_an_earlier_one check (undoes < release),
    constraint a_release_rollback_is_of_a_known_one foreign key (undoes) references promptctl.releases (release)
);

comment on table promptctl.releases is 'The changes of several prompts that were made in one transaction.';
comment on column promptctl.releases.source is 'Of a sync: which folder it was.';
comment on column promptctl.releases.origin is 'Of a sync: repository, commit, folder, and whether the tree was dirty.';
comment on column promptctl.releases.undoes is 'Of a release rollback: which release was put back.';
comment on column promptctl.releases.opened_in is 'The transaction that made it: no other one adds to it.';
comment on constraint a_release_has_one_number on promptctl.releases is 'Numbers may have gaps; they only grow.';
comment on constraint a_release_is_of_a_known_kind on promptctl.releases is 'The command that made it.';
comment on constraint a_release_comes_from_somewhere on promptctl.releases is 'Keys and values.';
comment on constraint a_release_rollback_is_of_an_earlier_one on promptctl.releases is 'Nothing undoes what is yet to come.';
comment on constraint a_release_rollback_is_of_a_known_one on promptctl.releases is 'A release has its row.';


create table if not exists promptctl.versions (
    name text collate "C" not null,
    version integer not null,
    id uuid not null default gen_random_uuid(),
    content text not null,
    sha256 bytea not null,
    settings jsonb not null default '{}',
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    created_by promptctl.short_text not null,
    database_user text not null default session_user,
    variables text[] not null default '{}',
    required_variables text[] not null default '{}',
    origin promptctl.origin_object,
    release bigint,
    retired_at timestamptz,
    erased_at timestamptz,
    is_retired boolean not null generated always as (retired_at is not null) stored,

    constraint a_number_is_used_once_in_a_prompt primary key (name, version),
    constraint an_id_is_used_once unique (id),
    constraint a_version_says_whether_it_is_retired unique (name, version, is_retired),
    constraint a_version_belongs_to_a_prompt foreign key (name) references promptctl.served (name),
    constraint versions_count_from_1 check (version >= 1),
    -- A regular expression reads a whole text before it begins; most say something in their first line.
    constraint content_is_not_empty check (
        left(content, 100) ~ '[^[:space:]]' or content ~ '[^[:space:]]' or erased_at is not null),
    constraint an_erased_version_has_no_text check (
        erased_at is null
        or (content = '' and settings = '{}' and metadata = '{}' and variables = '{}' and required_variables = '{}'
            and retired_at is not null)),
    constraint content_has_no_byte_order_mark check (left(content, 1) !~ E'\\uFEFF'),
    constraint content_has_no_crlf check (position(E'\r\n' in content) = 0),
    constraint settings_are_an_object check (jsonb_typeof(settings) = 'object'),
    constraint metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
    constraint settings_have_at_most_1_megabyte check (pg_column_size(settings) <= 1000000),
    constraint metadata_has_at_most_1_megabyte check (pg_column_size(metadata) <= 1000000),
    constraint a_template_is_of_a_known_style check (
        coalesce(settings -> 'template', '"braces"') in ('"braces"', '"mustache"', '"none"')),
    constraint a_variable_is_described_by_required_and_default check (
        coalesce(jsonb_typeof(settings -> 'variables'), 'object') = 'object'
        -- Strict, because a lax filter looks at what is in a list and not at the list. A key that is not there is unknown
        -- to it, and where there are no variables at all it is silent.
        and coalesce(not jsonb_path_exists(settings, 'strict $.variables.* ? (@.type() <> "object"
            || @.required.type() <> "boolean" || @.default.type() <> "string")', '{}', true), true)),
    constraint a_model_is_named check (
        jsonb_typeof(coalesce(settings -> 'model', '"x"')) = 'string' and coalesce(settings ->> 'model', 'x') <> ''),
    constraint max_tokens_count_from_1 check (
        case when settings ? 'max_tokens'
            then jsonb_typeof(settings -> 'max_tokens') = 'number' and settings ->> 'max_tokens' ~ '^[1-9][0-9]{0,8}$'
            else true end),
    constraint a_version_has_a_date_of_creation check (
        created_at between timestamptz '0001-01-01 00:00:00+00' and timestamptz '9999-12-31 00:00:00+00'),
    constraint a_version_has_an_author check (created_by <> ''),
    -- No foreign key for release: it is written by trigger, from what begin_change has looked up, and a release never goes;
    -- for each of ten thousand versions it would be looked up again.
    constraint a_version_comes_from_somewhere check (jsonb_typeof(origin) = 'object')
);

-- Out of line and as it is: a sync of ten thousand texts would spend as long on compressing them as on all else, and
-- whoever reads what versions there are does not read their texts.
alter table promptctl.versions alter column content set storage external;

create index if not exists versions_by_content on promptctl.versions (name, sha256);
create index if not exists versions_erased on promptctl.versions (sha256) where erased_at is not null;
create index if not exists versions_by_release on promptctl.versions (release) where release is not null;

comment on table promptctl.versions is 'Every version of every prompt. Content and settings are fixed when it is created.';
comment on column promptctl.versions.sha256 is 'SHA-256 of the content in UTF-8; not unique: going back to a text is allowed.';
comment on column promptctl.versions.settings is 'What belongs to a version beside its content: template, variables, model, max_tokens.';
comment on column promptctl.versions.variables is 'The variables of the template, in the order of their first places.';
comment on column promptctl.versions.required_variables is 'Those that whoever renders it has to give.';
comment on column promptctl.versions.metadata is 'A JSON object; its key "description" is shown in lists. May be corrected.';
comment on column promptctl.versions.created_by is 'Who says to have written it.';
comment on column promptctl.versions.database_user is 'The session_user that stored it, which cannot be claimed.';
comment on column promptctl.versions.origin is
    'Where it came from: repository, commit, path, author of the file''s last commit, dirty; null: not from a folder.';
comment on column promptctl.versions.release is 'The release in which it was stored; null: on its own.';
comment on column promptctl.versions.retired_at is 'Since when it is listed no more and cannot be activated; null: in use.';
comment on column promptctl.versions.erased_at is
    'When its text, settings and metadata were erased, for good; null: they are there. Number and hash stay.';
comment on index promptctl.versions_erased is 'So that an erased text is not stored again: there are few.';
comment on constraint an_erased_version_has_no_text on promptctl.versions is
    'Nor settings nor metadata, which may hold a secret as well; it stays archived, so nothing can serve it.';
comment on index promptctl.versions_by_release is 'What a release stored.';
comment on index promptctl.versions_by_content is 'create_version looks for a version that has the text already.';
comment on constraint a_number_is_used_once_in_a_prompt on promptctl.versions is 'NAME@VERSION means one text for ever.';
comment on constraint an_id_is_used_once on promptctl.versions is 'The id is a second way to say NAME@VERSION.';
comment on constraint a_version_says_whether_it_is_retired on promptctl.versions is 'For the foreign keys of served.';
comment on constraint a_version_belongs_to_a_prompt on promptctl.versions is 'Every prompt has its row of what is served.';
comment on constraint versions_count_from_1 on promptctl.versions is 'A version is 1 to 2147483647.';
comment on constraint content_is_not_empty on promptctl.versions is 'A prompt of nothing but white space is a mistake.';
comment on constraint content_has_no_byte_order_mark on promptctl.versions is 'Writers drop it: one normalisation for all.';
comment on constraint content_has_no_crlf on promptctl.versions is 'Writers turn CR LF into LF: one normalisation for all.';
comment on constraint settings_are_an_object on promptctl.versions is 'Keys and values.';
comment on constraint metadata_is_an_object on promptctl.versions is 'Keys and values.';
comment on constraint settings_have_at_most_1_megabyte on promptctl.versions is 'Clients hold them in memory.';
comment on constraint metadata_has_at_most_1_megabyte on promptctl.versions is 'The history keeps a copy of each.';
comment on constraint a_template_is_of_a_known_style on promptctl.versions is 'Whoever renders it has to know how.';
comment on constraint a_variable_is_described_by_required_and_default on promptctl.versions is
    'An object each: required is true or false, default is a text.';
comment on constraint a_model_is_named on promptctl.versions is 'Any name: models come and go.';
comment on constraint max_tokens_count_from_1 on promptctl.versions is 'A reply has at least one token.';
comment on constraint a_version_has_a_date_of_creation on promptctl.versions is
    'RFC 3339 has years of four digits, and no infinity.';
comment on constraint a_version_has_an_author on promptctl.versions is 'Unknown is the database user.';
comment on constraint a_version_comes_from_somewhere on promptctl.versions is 'Keys and values.';

do $$
begin
    if to_regclass('promptctl.versions') is not null
        and not exists (select from pg_catalog.pg_constraint
                        where conrelid = 'promptctl.served'::regclass and contype = 'f') then
        alter table promptctl.served
            add constraint an_active_version_exists_and_is_not_retired
                foreign key (name, active_version, serves_retired)
                references promptctl.versions (name, version, is_retired),
            add constraint a_candidate_exists_and_is_not_retired
                foreign key (name, candidate_version, serves_retired)
                references promptctl.versions (name, version, is_retired);
    end if;
end
$$;

comment on constraint an_active_version_exists_and_is_not_retired on promptctl.served is
    'Structural, so that no order of concurrent writers gets round it.';
comment on constraint a_candidate_exists_and_is_not_retired on promptctl.served is
    'Structural, so that no order of concurrent writers gets round it.';


create table if not exists promptctl.allocations (
    name text collate "C" not null,
    epoch integer not null,
    kind text not null,
    previous_version integer,
    version integer,
    candidate_version integer,
    basis_points integer not null,
    seed promptctl.seed_text,
    parent integer,
    position integer,
    route jsonb,
    release bigint,
    origin promptctl.origin_object,
    author promptctl.short_text not null,
    reason promptctl.reason_text,
    database_user text not null default session_user,
    changed_at timestamptz not null default clock_timestamp(),

    constraint an_epoch_has_one_allocation primary key (name, epoch),
    constraint an_allocation_belongs_to_a_prompt foreign key (name) references promptctl.served (name),
    constraint an_allocation_belongs_to_a_known_release foreign key (release) references promptctl.releases (release),
    constraint an_allocation_is_of_a_known_kind check (
        kind in ('activate', 'deactivate', 'rollback', 'split', 'unsplit', 'route', 'archive', 'restore'))
);

create index if not exists allocations_by_release on promptctl.allocations (release) where release is not null;


comment on table promptctl.allocations is
    'Who got what, and who changed it: one row per change, ordered by epoch and not by clock. Written by trigger.';
comment on column promptctl.allocations.previous_version is 'The active version before this change.';
comment on column promptctl.allocations.version is 'The active version after it; null: none.';
comment on column promptctl.allocations.parent is
    'For activate, deactivate, archive and restore: the position at which the prompt stood, to which rollback returns.';
comment on column promptctl.allocations.position is 'The position at which the prompt stands after this change.';
comment on column promptctl.allocations.route is 'Who else gets what after this change; null: nobody.';
comment on column promptctl.allocations.origin is
    'Which commit of which file said so: repository, commit, path, author of the file''s last commit, dirty.';
comment on column promptctl.allocations.author is 'Who says to have done it.';
comment on column promptctl.allocations.database_user is 'The session_user that did it, which cannot be claimed.';
comment on index promptctl.allocations_by_release is 'What a release moved.';
comment on constraint an_epoch_has_one_allocation on promptctl.allocations is 'History is a line, not a tree.';
comment on constraint an_allocation_belongs_to_a_prompt on promptctl.allocations is 'No history of nothing.';
comment on constraint an_allocation_belongs_to_a_known_release on promptctl.allocations is 'A release has its row.';
comment on constraint an_allocation_is_of_a_known_kind on promptctl.allocations is 'What can happen to a pointer.';

create table if not exists promptctl.corrections (
    id bigint generated always as identity,
    name text collate "C" not null,
    version integer not null,
    epoch integer not null,
    kind text not null,
    previous_metadata jsonb,
    metadata jsonb,
    release bigint,
    author promptctl.short_text not null,
    reason promptctl.reason_text,
    database_user text not null default session_user,
    changed_at timestamptz not null default clock_timestamp(),

    constraint a_correction_has_one_number primary key (id),
    constraint a_correction_belongs_to_a_version foreign key (name, version)
        references promptctl.versions (name, version),
    constraint a_correction_is_of_a_known_kind check (kind in ('describe', 'archive', 'restore', 'erase')),
    constraint a_correction_belongs_to_a_known_release foreign key (release) references promptctl.releases (release)
);

create index if not exists corrections_by_prompt on promptctl.corrections (name, id);
create index if not exists corrections_by_release on promptctl.corrections (release) where release is not null;

comment on index promptctl.corrections_by_prompt is 'For the history of one prompt.';
comment on index promptctl.corrections_by_release is 'What a release corrected.';
comment on table promptctl.corrections is
    'What may change about a version: its metadata, whether it is archived, whether it is erased; and who changed it. '
    'Written by trigger.';
comment on column promptctl.corrections.epoch is 'The prompt''s epoch at that moment: its place in the history.';
comment on constraint a_correction_has_one_number on promptctl.corrections is 'In the order in which they were made.';
comment on constraint a_correction_belongs_to_a_version on promptctl.corrections is 'No history of nothing.';
comment on constraint a_correction_belongs_to_a_known_release on promptctl.corrections is 'A release has its row.';
comment on constraint a_correction_is_of_a_known_kind on promptctl.corrections is 'What may change about a version.';


create table if not exists promptctl.sources (
    source text,
    commit text,
    committed_at timestamptz,
    applied_at timestamptz not null default now(),
    applied_by promptctl.short_text not null,

    constraint a_source_has_one_row primary key (source),
    constraint a_source_is_named check (source <> ''),
    constraint a_source_has_at_most_1000_characters check (length(source) <= 1000 and length(commit) <= 1000)
);

comment on table promptctl.sources is 'Folders that were synced, and the commit that was applied last.';
comment on column promptctl.sources.commit is 'The whole hash; null: the folder is in no repository.';
comment on column promptctl.sources.committed_at is 'When that commit was made, for where history does not reach back to it.';
comment on constraint a_source_has_one_row on promptctl.sources is 'The last word only.';
comment on constraint a_source_has_at_most_1000_characters on promptctl.sources is 'It is part of a key.';
comment on constraint a_source_is_named on promptctl.sources is 'By its repository and folder, or by a name of its own.';

create table if not exists promptctl.applied (
    name text collate "C",
    source text not null,
    active_version integer,
    route jsonb,
    metadata jsonb not null default '{}',
    has_said_version boolean not null default false,
    has_said_route boolean not null default false,
    digest bytea,
    is_settled boolean not null default false,
    next_version bigint,
    applied_at timestamptz not null default now(),
    applied_by promptctl.short_text not null,

    constraint a_prompt_comes_from_one_source primary key (name),
    constraint what_was_applied_belongs_to_a_prompt foreign key (name) references promptctl.served (name),
    constraint what_was_applied_comes_from_a_source foreign key (source) references promptctl.sources (source)
);

create index if not exists applied_by_source on promptctl.applied (source);

comment on table promptctl.applied is
    'Which source a prompt comes from, and what that source said when it was last applied: the third side of a sync.';
comment on column promptctl.applied.active_version is
    'What it said was live; null: nothing. Before has_said_version it is what the folder says while another version is held.';
comment on column promptctl.applied.route is 'The route it said; null: nothing, []: that there is none.';
comment on column promptctl.applied.metadata is 'The metadata it said, by version.';
comment on column promptctl.applied.has_said_version is
    'Whether it ever said what is live: one that fell silent and speaks again has changed its mind.';
comment on column promptctl.applied.has_said_route is 'Whether it ever said a route.';
comment on column promptctl.applied.digest is 'SHA-256 of the prompt''s files.';
comment on column promptctl.applied.is_settled is
    'Whether nothing was left to say of the prompt; else, or when it was corrected since, it is compared again.';
comment on column promptctl.applied.next_version is
    'The prompt''s next number then: another one now means versions that the source does not know.';
comment on index promptctl.applied_by_source is 'Everything that comes from one folder.';
comment on constraint a_prompt_comes_from_one_source on promptctl.applied is 'Two sources would undo each other for ever.';
comment on constraint what_was_applied_belongs_to_a_prompt on promptctl.applied is 'No memory of nothing.';
comment on constraint what_was_applied_comes_from_a_source on promptctl.applied is 'A source has its row.';


create table if not exists promptctl.roll_up (
    singleton boolean default true,
    rolled_below bigint not null default 0,
    added bigint not null default 0,
    dropped_before timestamptz,
    rolled_up_at timestamptz,

    constraint a_roll_up_has_one_watermark primary key (singleton),
    constraint there_is_one_watermark check (singleton)
);

comment on table promptctl.roll_up is
    'One row from the first roll-up on: how far the uses are added up in totals, moved in the transaction that adds '
    'them. No row before that: it would keep the dumped one out of a restore of the data alone, and uses that are in '
    'totals would count again.';
comment on column promptctl.roll_up.rolled_below is
    'Uses with a smaller recorded_in are in totals, all others are not.';
comment on column promptctl.roll_up.added is
    'What is added to a transaction''s number: a database restored into a younger cluster goes on counting where it '
    'was.';
comment on column promptctl.roll_up.rolled_up_at is 'When that moved last.';
comment on column promptctl.roll_up.dropped_before is
    'Single uses before this moment are gone, and one that arrives as late as that is refused: it may be there '
    'already.';
comment on constraint a_roll_up_has_one_watermark on promptctl.roll_up is 'Several would disagree.';
comment on constraint there_is_one_watermark on promptctl.roll_up is 'The key has one value.';

create or replace function promptctl.rolled_below() returns bigint language sql stable
begin atomic
    select coalesce((select r.rolled_below from promptctl.roll_up r), 0);
end;

comment on function promptctl.rolled_below is
    'As roll_up has it, and 0 before the first roll-up. Whoever plans a query asks a function, and learns how few uses may lie beyond; a subquery it '
    'does not.';

create or replace function promptctl.recording_place() returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    number constant bigint := pg_current_xact_id()::text::bigint;
    mark promptctl.roll_up;
begin
    select * into mark from promptctl.roll_up;
    if not found then
        return number;
    elsif number + mark.added >= mark.rolled_below then
        return number + mark.added;
    end if;
    -- In a cluster that has counted less than the one where these rows were dumped. catch_up waits for whoever holds
    -- this lock, so that what we read is still so when we end.
    select * into mark from promptctl.roll_up for share;
    return greatest(number + mark.added, mark.rolled_below);
end
$$;

comment on function promptctl.recording_place is
    'The number of this transaction among those that record uses: not below roll_up.rolled_below, and no roll-up goes '
    'beyond it before this transaction has ended.';

create table if not exists promptctl.uses (
    id uuid not null,
    name text collate "C" not null,
    version integer not null,
    epoch promptctl.use_epoch not null,
    bucket promptctl.use_bucket,
    model promptctl.short_text,
    input_tokens bigint,
    output_tokens bigint,
    response_ms double precision,
    outcome promptctl.outcome_name not null default 'ok',
    score promptctl.score_number,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    first_token_ms double precision,
    request_id promptctl.short_text,
    recorded_at timestamptz not null default clock_timestamp(),
    recorded_in bigint not null default promptctl.recording_place(),

    constraint a_use_is_recorded_once primary key (id),
    constraint tokens_are_not_negative check (input_tokens >= 0 and output_tokens >= 0),
    constraint tokens_can_be_added_up check (input_tokens <= 1000000000000 and output_tokens <= 1000000000000),
    constraint cached_tokens_are_part_of_the_input check (
        cache_read_tokens >= 0 and cache_write_tokens >= 0
        and coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0) <= greatest(input_tokens, 0)),
    constraint a_response_takes_time check (response_ms >= 0 and response_ms <= 1e12),
    constraint a_first_token_takes_time check (first_token_ms >= 0 and first_token_ms <= 1e12),
    constraint a_use_has_a_date check (
        recorded_at between timestamptz '0001-01-01 00:00:00+00' and timestamptz '9999-12-31 00:00:00+00')
);

create index if not exists uses_by_version on promptctl.uses (name, version, recorded_in);
create index if not exists uses_by_moment on promptctl.uses using brin (recorded_in, recorded_at)
    with (pages_per_range = 32);

comment on table promptctl.uses is
    'One row per call of a model with a version. Appended, never counted in place: a use waits for no other use, and for '
    'no activation. That the version exists is checked by record_use; versions never go.';
comment on index promptctl.uses_by_version is 'For the numbers of one version that are not yet in its totals.';
comment on index promptctl.uses_by_moment is
    'For the roll-up and for what goes: rows come in nearly this order, and such an index costs a recording nothing.';
comment on column promptctl.uses.recorded_at is
    'When it was used, by this server''s clock: the moment of recording less the age that the client told.';
comment on column promptctl.uses.recorded_in is
    'The transaction that recorded it, as a number that only grows: what is below roll_up.rolled_below is in totals.';
comment on column promptctl.uses.bucket is 'The unit''s bucket, 0 to 9999; the unit itself is never stored.';
comment on column promptctl.uses.input_tokens is 'All of the input, what was read from and written to a cache included.';
comment on column promptctl.uses.cache_read_tokens is 'The part of input_tokens that was read from a cache; null: not reported.';
comment on column promptctl.uses.cache_write_tokens is 'The part of input_tokens that was written to a cache; null: not reported.';
comment on column promptctl.uses.first_token_ms is 'From the request to the first text of the reply.';
comment on column promptctl.uses.request_id is 'What the model''s provider calls this request, for its support.';
comment on column promptctl.uses.outcome is '"ok", or the name of what went wrong.';
comment on constraint a_use_has_a_date on promptctl.uses is 'It falls into an hour and a day.';
comment on constraint a_use_is_recorded_once on promptctl.uses is 'Sent twice with one id, it counts once.';
comment on constraint tokens_are_not_negative on promptctl.uses is 'Not reported is null, never 0 or -1.';
comment on constraint tokens_can_be_added_up on promptctl.uses is 'One absurd number would fail every reading of stats.';
comment on constraint a_response_takes_time on promptctl.uses is
    'In milliseconds, at most 31 years, as averages square them; not reported is null.';
comment on constraint cached_tokens_are_part_of_the_input on promptctl.uses is
    'input_tokens is all of the input; the cached parts have other prices.';
comment on constraint a_first_token_takes_time on promptctl.uses is
    'In milliseconds, from the request to the first text of the reply; not reported is null.';


create table if not exists promptctl.scores (
    use_id uuid not null,
    place promptctl.score_place not null,
    name text collate "C" not null,
    version integer not null,
    used_at timestamptz not null,
    model promptctl.short_text,
    is_ok boolean not null,
    size smallint not null,
    score promptctl.score_number not null,
    previous double precision,
    scored_at timestamptz not null default clock_timestamp(),
    recorded_in bigint not null default promptctl.recording_place(),

    constraint a_use_has_one_score_at_a_time primary key (use_id, place)
);

create index if not exists scores_by_version on promptctl.scores (name, version, recorded_in);

comment on table promptctl.scores is
    'Scores that came after their use: the last one counts. Appended, with what it replaces, so that totals can '
    'follow.';
comment on column promptctl.scores.use_id is 'Whose score it is.';
comment on column promptctl.scores.place is 'The first score of a use is 1, one that replaces it 2.';
comment on column promptctl.scores.used_at is 'When it was used: the hour and day whose totals the score belongs to.';
comment on column promptctl.scores.is_ok is 'Whether the use went well.';
comment on column promptctl.scores.scored_at is 'When the score came.';
comment on column promptctl.scores.recorded_in is 'As in uses: what is below roll_up.rolled_below is in totals.';
comment on column promptctl.scores.previous is 'The score that this one replaces; null: there was none.';
comment on column promptctl.scores.size is 'As in totals, of the use.';
comment on index promptctl.scores_by_version is 'For the numbers of one version that are not yet in its totals.';
comment on constraint a_use_has_one_score_at_a_time on promptctl.scores is
    'Two that come at once go one after the other.';


create table if not exists promptctl.fallbacks (
    id uuid not null,
    name text collate "C" not null,
    model promptctl.short_text,
    input_tokens bigint,
    output_tokens bigint,
    response_ms double precision,
    outcome promptctl.outcome_name not null default 'ok',
    recorded_at timestamptz not null default clock_timestamp(),

    constraint a_fallback_is_recorded_once primary key (id),
    constraint tokens_of_a_fallback_are_not_negative check (input_tokens >= 0 and output_tokens >= 0),
    constraint tokens_of_a_fallback_can_be_added_up check (
        input_tokens <= 1000000000000 and output_tokens <= 1000000000000),
    constraint a_fallback_takes_time check (response_ms >= 0 and response_ms <= 1e12),
    constraint a_fallback_asks_for_a_name check (name ~ '^[A-Za-z0-9._/~-]{1,200}$')
);

create index if not exists fallbacks_by_name on promptctl.fallbacks (name);
create index if not exists fallbacks_by_time on promptctl.fallbacks (recorded_at);

comment on table promptctl.fallbacks is
    'Calls of a model with a text of the application''s own, because no version could be served: no use of any '
    'version. In no totals: they are kept as long as single uses.';
comment on column promptctl.fallbacks.name is
    'What was asked for; there may be no such prompt. A ~ stands for a character that no name has, or for a cut end.';
comment on column promptctl.fallbacks.outcome is '"ok", or the name of what went wrong.';
comment on index promptctl.fallbacks_by_name is 'For the numbers of one prompt.';
comment on index promptctl.fallbacks_by_time is 'For those of a time, and to drop old ones.';
comment on constraint a_fallback_is_recorded_once on promptctl.fallbacks is 'Sent twice with one id, it counts once.';
comment on constraint tokens_of_a_fallback_are_not_negative on promptctl.fallbacks is
    'Not reported is null, never 0 or -1.';
comment on constraint tokens_of_a_fallback_can_be_added_up on promptctl.fallbacks is
    'One absurd number would spoil every sum.';
comment on constraint a_fallback_takes_time on promptctl.fallbacks is 'In milliseconds; not reported is null.';
comment on constraint a_fallback_asks_for_a_name on promptctl.fallbacks is
    'Like a prompt''s, and ~, by which record_fallbacks replaces what no name has.';


do $$
begin
    if to_regtype('promptctl.histogram') is null then
        create type promptctl.histogram as (buckets smallint[], counts bigint[]);
    end if;
end
$$;

comment on type promptctl.histogram is
    'Counts by bucket, in the order of the buckets, without empty ones: bucket b holds values from 2^(b/32) to '
    '2^((b+1)/32).';

create or replace function promptctl.histogram_bucket(value double precision) returns smallint language sql immutable
begin atomic
    -- 2^-10 and all that is less share one. Not "strict": that would keep it from being inlined, at a microsecond each.
    select case when value > 0.0009765625 then floor(ln(value) * 46.16624130844683)::smallint
                when value is not null then -320 end;
end;

comment on function promptctl.histogram_bucket is
    'floor(32 * log2(value)): whoever takes the middle of the bucket, 2^((b+0.5)/32), is at most 1.1 % off.';

create or replace function promptctl.merged(parts promptctl.histogram[]) returns promptctl.histogram
language sql immutable
begin atomic
    select row(array_agg(m.bucket), array_agg(m.number))::promptctl.histogram
    from (select c.bucket, sum(c.number)::bigint as number
          from unnest(parts) p
          cross join unnest(p.buckets, p.counts) c (bucket, number)
          group by c.bucket order by c.bucket) m
    having count(*) > 0;
end;

comment on function promptctl.merged is 'Histograms, of which some may be missing, as one; null: all are.';

create table if not exists promptctl.totals (
    grain text not null,
    name text collate "C" not null,
    version integer not null,
    starts_at timestamptz not null,
    model text,
    is_ok boolean not null,
    size smallint not null,
    uses bigint not null,
    without_unit bigint not null,
    with_tokens bigint not null,
    with_both bigint not null,
    tokens double precision,
    with_input bigint not null,
    input_tokens double precision,
    with_output bigint not null,
    output_tokens double precision,
    cache_read_tokens double precision,
    cache_write_tokens double precision,
    with_response bigint not null,
    response_ms double precision,
    fastest_ms double precision,
    slowest_ms double precision,
    response_times promptctl.histogram,
    with_first_token bigint not null,
    first_token_ms double precision,
    with_score bigint not null,
    score double precision,
    last_used_at timestamptz,

    constraint uses_are_added_up_once unique nulls not distinct (grain, name, version, starts_at, model, is_ok, size),
    constraint a_total_is_of_a_known_grain check (grain in ('hour', 'day', 'all'))
);

comment on table promptctl.totals is
    'What the uses add up to, of an hour, a day (UTC) and of all time: what statistics read instead of single uses. '
    'With the uses that are not yet rolled up, and only with those, it is everything.';
comment on column promptctl.totals.starts_at is 'When the hour or day begins; -infinity: of all time.';
comment on column promptctl.totals.grain is 'hour, day or all: each use is in one total of each.';
comment on column promptctl.totals.is_ok is 'Uses that went well, or those that did not.';
comment on column promptctl.totals.uses is 'How many there were.';
comment on column promptctl.totals.size is
    'How many of the prices'' steps, at 100 000 and 200 000 tokens, the input is beyond.';
comment on column promptctl.totals.without_unit is 'Uses that nobody can be told apart by.';
comment on column promptctl.totals.with_tokens is 'Uses that reported any tokens.';
comment on column promptctl.totals.with_both is 'Uses that reported input and output.';
comment on column promptctl.totals.tokens is
    'Input and output of the uses that reported both; null, as everywhere here: nobody did.';
comment on column promptctl.totals.with_input is 'Uses that reported input_tokens.';
comment on column promptctl.totals.with_output is 'Uses that reported output_tokens.';
comment on column promptctl.totals.cache_read_tokens is 'The part of input_tokens that was read from a cache.';
comment on column promptctl.totals.cache_write_tokens is 'The part of input_tokens that was written to a cache.';
comment on column promptctl.totals.with_response is 'Uses that reported response_ms.';
comment on column promptctl.totals.fastest_ms is 'The shortest response_ms.';
comment on column promptctl.totals.slowest_ms is 'The longest response_ms.';
comment on column promptctl.totals.response_times is 'How often each response_ms was reported.';
comment on column promptctl.totals.with_first_token is 'Uses that reported first_token_ms.';
comment on column promptctl.totals.first_token_ms is 'The sum of it.';
comment on column promptctl.totals.with_score is 'Uses that have a score.';
comment on column promptctl.totals.score is 'The sum of the scores.';
comment on column promptctl.totals.last_used_at is 'When the last of them was.';
comment on constraint uses_are_added_up_once on promptctl.totals is 'What is rolled up twice is added to the same row.';
comment on constraint a_total_is_of_a_known_grain on promptctl.totals is 'Each use is in one total of each grain.';


create or replace function promptctl.refuse() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
        schema = tg_table_schema, message = tg_argv[0];
end
$$;

comment on function promptctl.refuse is 'A rule that has no exception: the trigger''s argument is its message.';

create or replace function promptctl.refuse_by_hand() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if pg_trigger_depth() < 2 then
        raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
            schema = tg_table_schema, message = tg_argv[0];
    end if;
    return null;
end
$$;

comment on function promptctl.refuse_by_hand is 'A table that only triggers write: a direct insert is refused.';

create or replace function promptctl.refuse_others() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('promptctl.at_work', true) is distinct from pg_current_xact_id()::text then
        raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
            schema = tg_table_schema, message = tg_argv[0];
    end if;
    return null;
end
$$;

comment on function promptctl.refuse_others is
    'A table that only our functions write, which say so for their transaction: what is written by hand would be '
    'counted twice, or not at all.';

create or replace function promptctl.require_no_new_variables(name text, active_version integer, version integer)
returns void language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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
                detail = format('%1$s@%2$s %1$s@%3$s', name, active_version, version),
                hint = 'set promptctl.allow_new_variables = on, when the application gives it';
        end if;
    end if;
end
$$;

comment on function promptctl.require_no_new_variables is
    'Refuses a version that needs a variable which the active one does not: the running application would not give it.';

create or replace function promptctl.route_targets(route jsonb) returns setof text language sql immutable
begin atomic
    select r.step ->> 'use' from jsonb_array_elements(coalesce(route, '[]')) with ordinality r (step, place)
    order by r.place;
end;

comment on function promptctl.route_targets is 'What the steps of a route use, in their order: NAME or NAME@VERSION.';

-- The planner expects of a recursion so much that it would compile it, for half a second.
create or replace function promptctl.require_route_leads_somewhere(name text, route jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    target text;
    around text;
begin
    for target in select promptctl.route_targets(route) loop
        if not exists (select from promptctl.served s where s.name = split_part(target, '@', 1)) then
            raise exception using errcode = 'restrict_violation', constraint = 'a_route_leads_to_a_prompt',
                message = format('the route of "%s" leads to "%s", which is no prompt', name, target);
        elsif exists (select from promptctl.served s
                      where s.name = split_part(target, '@', 1) and s.archived_at is not null) then
            raise exception using errcode = 'restrict_violation', constraint = 'a_route_leads_to_a_prompt',
                message = format('the route of "%s" leads to %s, which is archived', name, target),
                hint = format('promptctl delete --undo %s', split_part(target, '@', 1));
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

comment on function promptctl.require_route_leads_somewhere is
    'Refuses a route to a prompt or version that is not there, and one that leads back to where it begins.';

create or replace function promptctl.require_in_use(served promptctl.served) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if served.archived_at is not null then
        raise exception using errcode = 'restrict_violation', constraint = 'an_archived_prompt_does_not_change',
            message = format('"%s" is archived', served.name),
            hint = format('promptctl delete --undo %s', served.name);
    end if;
end
$$;

comment on function promptctl.require_in_use is 'Refuses a prompt that is archived.';

create or replace function promptctl.before_served() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        if new.active_version is not null or new.candidate_version is not null or new.archived_at is not null then
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
    if new.archived_at is not null then
        if old.archived_at is not null then
            perform promptctl.require_in_use(old);
        end if;
        new.archived_at := now();
        new.active_version := null;
        new.candidate_version := null;
        new.route := null;
    end if;
    if new.next_version < old.next_version then
        raise exception using errcode = 'restrict_violation', constraint = 'a_number_is_never_used_again',
            message = format('a number is never used again: "%s"', old.name);
    end if;

    if new.active_version is distinct from old.active_version then
        if new.position is distinct from old.position then
            if not exists (select from promptctl.allocations a
                           where a.name = new.name and a.epoch = new.position and a.version = new.active_version
                             and a.kind in ('activate', 'restore')) then
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

    -- The foreign keys hold it. This tells it in the rule's words, after waiting for whoever retires the version; our
    -- functions have looked already.
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
        -- Another candidate is another split: who is in it is drawn anew, unless just that seed was asked for.
        if new.seed is not distinct from old.seed
            and new.seed is distinct from nullif(current_setting('promptctl.given_seed', true), '') then
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

comment on function promptctl.before_served is
    'Counts epochs, keeps the position in the history, ends a split when the active version moves. An archived prompt '
    'serves nothing and does not change until it is restored.';

create or replace function promptctl.require_no_route_leads_to(name text, is_archived boolean) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    owner_of_route text;
begin
    -- Whoever is led to a certain version is served it without an active one; of an archived prompt nothing is served.
    select s.name into owner_of_route
    from promptctl.served s cross join promptctl.route_targets(s.route) t (target)
    where s.route is not null and s.name <> require_no_route_leads_to.name
      and (t.target = require_no_route_leads_to.name
           or (is_archived and split_part(t.target, '@', 1) = require_no_route_leads_to.name))
    order by s.name limit 1;
    if found then
        raise exception using errcode = 'restrict_violation', constraint = 'what_a_route_leads_to_stays_in_service',
            message = format('"%s" is what the route of "%s" leads to', name, owner_of_route),
            hint = format('promptctl route show %s', owner_of_route);
    end if;
end
$$;

comment on function promptctl.require_no_route_leads_to is
    'Refuses to take a prompt out of service, or to archive it, while a route of another prompt leads to it.';

-- A session keeps the plan that it made for its first change, of one row mostly. As nested loops over the transition
-- tables that plan took 5 s for each of two joins when the same session later wrote 10 000 rows; hashed, milliseconds.
create or replace function promptctl.after_served() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_nestloop = off as $$
declare
    of_release constant bigint := nullif(current_setting('promptctl.release', true), '')::bigint;
    origins constant jsonb := nullif(current_setting('promptctl.given_origins', true), '')::jsonb;
    moved integer;
begin
    insert into promptctl.allocations (name, epoch, kind, previous_version, version, candidate_version, basis_points,
                                       seed, parent, position, route, release, origin, author, reason)
    select n.name, n.epoch, k.kind, o.active_version, n.active_version, n.candidate_version, n.basis_points, n.seed,
           case when k.kind in ('activate', 'deactivate', 'archive', 'restore') then o.position end, n.position, n.route, of_release,
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
        perform promptctl.require_route_leads_somewhere(n.name, n.route)
        from new_rows n join old_rows o on o.name = n.name where n.route is distinct from o.route;
        update promptctl.applied a set is_settled = false
        where a.is_settled and a.name = any (array(
            select n.name from new_rows n join old_rows o on o.name = n.name where n.route is distinct from o.route));
    end if;

    if exists (select from new_rows n where n.active_version is null) then
        perform promptctl.require_no_route_leads_to(n.name, n.archived_at is not null)
        from new_rows n join old_rows o on o.name = n.name
        where n.active_version is null and (o.active_version is not null
                                            or (n.archived_at is not null and o.archived_at is null))
        order by n.name;
        update promptctl.applied a set is_settled = false
        where a.is_settled and a.name = any (array(
            select n.name from new_rows n join old_rows o on o.name = n.name
            where (n.archived_at is null) <> (o.archived_at is null)));
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

comment on function promptctl.after_served is
    'Appends the allocation of every change and announces it on the channel "promptctl" in the same transaction.';

create or replace function promptctl.require_erasable(version promptctl.versions) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    owner constant text := (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'promptctl');
    asking constant text := coalesce(nullif(current_setting('role'), 'none'), session_user);
    needed_by text;
begin
    -- A trigger of ours runs as the owner: the session's role is who asks.
    if not pg_has_role(asking, owner, 'usage') then
        raise exception using errcode = 'insufficient_privilege', constraint = 'only_the_owner_erases',
            message = format('only "%s", which owns the schema, erases a version: this is "%s"', owner, asking);
    end if;
    if version.erased_at is not null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_version_never_changes',
            message = format('%s@%s was erased, for good', version.name, version.version);
    end if;
    if promptctl.current_reason() is null then
        raise exception using errcode = 'restrict_violation', constraint = 'an_erasure_has_a_reason',
            message = format('erasing %s@%s needs a reason', version.name, version.version);
    end if;
    select case when s.active_version = version.version then 'active' else 'a candidate' end into needed_by
    from promptctl.served s
    where s.name = version.name and version.version in (s.active_version, s.candidate_version);
    if not found then
        select format('what the route of "%s" leads to', s.name) into needed_by
        from promptctl.served s cross join promptctl.route_targets(s.route) t (target)
        where s.route is not null and t.target = format('%s@%s', version.name, version.version)
        order by s.name limit 1;
    end if;
    if needed_by is not null then
        raise exception using errcode = 'restrict_violation', constraint = 'a_served_version_is_not_erased',
            message = format('%s@%s is %s', version.name, version.version, needed_by),
            hint = format('promptctl show %s', version.name);
    end if;
end
$$;

comment on function promptctl.require_erasable is
    'Refuses to erase a version: to all but the owner of the schema, without a reason, and while something serves it.';

create or replace function promptctl.before_versions() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
        new.erased_at := null;
        new.created_by := coalesce(promptctl.shortened(new.created_by), promptctl.current_author());
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
        raise exception using errcode = 'restrict_violation', constraint = 'a_served_version_is_not_retired',
            message = format('%s@%s is active or a candidate', old.name, old.version),
            hint = format('promptctl show %s', old.name);
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

comment on function promptctl.before_versions is
    'Hashes a new version and finds its variables. Later it lets only metadata and archiving change, and the owner of '
    'the schema erase a version that nothing serves.';

-- By index: for each of the many batches of a large sync every prompt would be read.
create or replace function promptctl.after_insert_versions() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    told text;
    erased text;
begin
    update promptctl.served s set next_version = greatest(s.next_version, n.highest + 1)
    from (select name, max(version)::bigint as highest from new_rows group by name) n
    where s.name = n.name and s.name = any (array(select name from new_rows));

    if exists (select from promptctl.versions v where v.erased_at is not null) then
        select format('the text of %s@%s is that of %s@%s, which was erased', n.name, n.version, v.name, v.version),
               v.name
        into told, erased
        from new_rows n join promptctl.versions v on v.sha256 = n.sha256 and v.erased_at is not null
        order by v.name <> n.name, n.name, n.version limit 1;
        if found then
            raise exception using errcode = 'restrict_violation', constraint = 'an_erased_text_is_not_stored_again',
                message = told, hint = format('promptctl history %s', erased);
        end if;
    end if;
    return null;
end
$$;

comment on function promptctl.after_insert_versions is
    'Keeps the next number above every number that was used, and refuses a text that was erased.';

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

comment on function promptctl.after_update_versions is
    'Records every correction of metadata, archiving, return and erasure, and has the next sync compare them again. What '
    'was erased of a version also goes from its recorded corrections, and clients that hold it are notified.';

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

comment on function promptctl.before_corrections is
    'Refuses to change history, but for the erasure of a version, which takes away what its corrections said.';

create or replace trigger what_is_served_follows_the_rules before insert or update on promptctl.served
    for each row execute function promptctl.before_served();
create or replace trigger nothing_moves_without_a_trace after update on promptctl.served
    referencing old table as old_rows new table as new_rows
    for each statement execute function promptctl.after_served();
create or replace trigger a_prompt_never_goes before delete on promptctl.served
    for each row execute function promptctl.refuse('a prompt never goes: it can be archived');
create or replace trigger prompts_are_never_emptied before truncate on promptctl.served
    for each statement execute function promptctl.refuse('prompts never go: they can be archived');

create or replace trigger a_version_never_changes before insert or update on promptctl.versions
    for each row execute function promptctl.before_versions();
create or replace trigger a_number_is_never_used_again after insert on promptctl.versions
    referencing new table as new_rows
    for each statement execute function promptctl.after_insert_versions();
create or replace trigger a_correction_is_recorded after update on promptctl.versions
    referencing old table as old_rows new table as new_rows
    for each statement execute function promptctl.after_update_versions();
create or replace trigger a_version_never_goes before delete on promptctl.versions
    for each row execute function promptctl.refuse('a version never goes: it can be archived');
create or replace trigger versions_are_never_emptied before truncate on promptctl.versions
    for each statement execute function promptctl.refuse('versions never go: they can be archived');

create or replace trigger history_is_append_only before update or delete on promptctl.allocations
    for each row execute function promptctl.refuse('history is append-only');
create or replace trigger history_is_never_emptied before truncate on promptctl.allocations
    for each statement execute function promptctl.refuse('history is append-only');
create or replace trigger history_is_written_by_the_database before insert on promptctl.allocations
    for each statement execute function promptctl.refuse_by_hand('history is written by the database');

create or replace trigger corrections_are_append_only before update or delete on promptctl.corrections
    for each row execute function promptctl.before_corrections('history is append-only');
create or replace trigger corrections_are_never_emptied before truncate on promptctl.corrections
    for each statement execute function promptctl.refuse('history is append-only');
create or replace trigger corrections_are_written_by_the_database before insert on promptctl.corrections
    for each statement execute function promptctl.refuse_by_hand('history is written by the database');

create or replace trigger releases_are_append_only before update or delete on promptctl.releases
    for each row execute function promptctl.refuse('history is append-only');
create or replace trigger releases_are_never_emptied before truncate on promptctl.releases
    for each statement execute function promptctl.refuse('history is append-only');

do $$
begin
    -- There is no "create or replace" for one that is deferred.
    if not exists (select from pg_catalog.pg_trigger where tgname = 'a_rehearsal_is_rolled_back') then
        create constraint trigger a_rehearsal_is_rolled_back after insert on promptctl.releases
            deferrable initially deferred
            for each row when (new.release > 9223372034707292160)
            execute function promptctl.refuse('a rehearsal is rolled back');
    end if;
end
$$;

create or replace trigger how_far_totals_go_is_the_databases before insert or update or delete on promptctl.roll_up
    for each statement execute function promptctl.refuse_others('how far totals go is the database''s to say');
create or replace trigger how_far_totals_go_is_never_forgotten before truncate on promptctl.roll_up
    for each statement execute function promptctl.refuse('how far totals go is the database''s to say');
create or replace trigger uses_are_append_only before update or delete on promptctl.uses
    for each statement execute function promptctl.refuse_others('uses are append-only: drop_uses deletes old ones');
create or replace trigger uses_are_never_emptied before truncate on promptctl.uses
    for each statement execute function promptctl.refuse('uses are append-only: drop_uses deletes old ones');
create or replace trigger scores_are_given_by_score_use before insert or update or delete on promptctl.scores
    for each statement execute function promptctl.refuse_others('scores are given by score_use');
create or replace trigger scores_are_never_emptied before truncate on promptctl.scores
    for each statement execute function promptctl.refuse('scores are given by score_use');
create or replace trigger totals_are_added_up_by_the_database before insert or update or delete on promptctl.totals
    for each statement execute function promptctl.refuse_others('totals are added up by roll_up_uses');
create or replace trigger totals_are_never_emptied before truncate on promptctl.totals
    for each statement execute function promptctl.refuse('totals are added up by roll_up_uses');
create or replace trigger fallbacks_are_append_only before update or delete on promptctl.fallbacks
    for each statement execute function promptctl.refuse_others('calls are append-only: drop_uses deletes old ones');
create or replace trigger fallbacks_are_never_emptied before truncate on promptctl.fallbacks
    for each statement execute function promptctl.refuse('calls are append-only: drop_uses deletes old ones');

comment on trigger what_is_served_follows_the_rules on promptctl.served is 'Epochs and positions are the database''s.';
comment on trigger nothing_moves_without_a_trace on promptctl.served is 'Raw SQL leaves its row in the history as well.';
comment on trigger a_prompt_never_goes on promptctl.served is 'Its history and uses would hang in the air.';
comment on trigger prompts_are_never_emptied on promptctl.served is 'Row triggers do not see truncate.';
comment on trigger a_version_never_changes on promptctl.versions is 'What was served can be read for ever.';
comment on trigger a_number_is_never_used_again on promptctl.versions is 'NAME@VERSION means one text for ever.';
comment on trigger a_correction_is_recorded on promptctl.versions is 'Who changed a description, and what it said before.';
comment on trigger a_version_never_goes on promptctl.versions is 'What was served can be read for ever.';
comment on trigger versions_are_never_emptied on promptctl.versions is 'Row triggers do not see truncate.';
comment on trigger history_is_append_only on promptctl.allocations is 'What happened, happened.';
comment on trigger history_is_never_emptied on promptctl.allocations is 'Row triggers do not see truncate.';
comment on trigger history_is_written_by_the_database on promptctl.allocations is 'Nobody can add what did not happen.';
comment on trigger corrections_are_append_only on promptctl.corrections is
    'What happened, happened; what was erased of a version is erased here as well.';
comment on trigger corrections_are_never_emptied on promptctl.corrections is 'Row triggers do not see truncate.';
comment on trigger corrections_are_written_by_the_database on promptctl.corrections is 'Nobody can add what did not happen.';
comment on trigger releases_are_append_only on promptctl.releases is 'What happened, happened.';
comment on trigger releases_are_never_emptied on promptctl.releases is 'Row triggers do not see truncate.';
comment on trigger a_rehearsal_is_rolled_back on promptctl.releases is
    'Checked when a transaction commits. The number of its release is none: one that stays would come after all others.';
comment on trigger how_far_totals_go_is_the_databases on promptctl.roll_up is 'Uses would count twice, or not at all.';
comment on trigger how_far_totals_go_is_never_forgotten on promptctl.roll_up is 'Uses would count twice.';
comment on trigger uses_are_append_only on promptctl.uses is
    'For a statement, not for each row of millions. What was used, was used.';
comment on trigger uses_are_never_emptied on promptctl.uses is 'What was used, was used.';
comment on trigger scores_are_given_by_score_use on promptctl.scores is 'Each has to say what it replaces.';
comment on trigger scores_are_never_emptied on promptctl.scores is 'The next score of a use would count as its first.';
comment on trigger totals_are_added_up_by_the_database on promptctl.totals is 'Nobody can add what was not used.';
comment on trigger totals_are_never_emptied on promptctl.totals is 'What they have can have been dropped elsewhere.';
comment on trigger fallbacks_are_append_only on promptctl.fallbacks is 'What happened, happened.';
comment on trigger fallbacks_are_never_emptied on promptctl.fallbacks is 'What happened, happened.';


-- Composite types, so that a function can take an argument and return a column of the same name.
do $$
begin
    if to_regtype('promptctl.move') is null then
        create type promptctl.move as (name text, version integer, previous_version integer, changed boolean,
                                       split_ended boolean, release bigint, epoch integer);
    end if;
    if to_regtype('promptctl.archival') is null then
        create type promptctl.archival as (name text, version integer, changed boolean, active_version integer,
                                           previous_version integer, split_ended boolean, route_changed boolean);
    end if;
    if to_regtype('promptctl.erasure') is null then
        create type promptctl.erasure as (name text, version integer, changed boolean, size integer, settings text[],
                                          metadata text[]);
    end if;
    if to_regtype('promptctl.undone') is null then
        create type promptctl.undone as (name text, version integer, previous_version integer, changed boolean,
                                         skipped boolean, split_ended boolean, route_changed boolean, release bigint,
                                         epoch integer);
    end if;
    if to_regtype('promptctl.resolved') is null then
        create type promptctl.resolved as (name text, version integer, epoch integer, content text, settings jsonb,
                                           metadata jsonb);
    end if;
    if to_regtype('promptctl.explained') is null then
        create type promptctl.explained as (name text, version integer, epoch integer, content text, settings jsonb,
                                            metadata jsonb, asked_for text, route_step integer, route_when jsonb,
                                            active_version integer, candidate_version integer, basis_points integer,
                                            seed text, bucket integer, is_candidate boolean);
    end if;
    if to_regtype('promptctl.split_change') is null then
        create type promptctl.split_change as (name text, version integer, candidate_version integer,
                                               previous_candidate integer, basis_points integer,
                                               previous_basis_points integer, seed text, changed boolean,
                                               epoch integer);
    end if;
    if to_regtype('promptctl.followed') is null then
        create type promptctl.followed as (name text, epoch integer, active_version integer, candidate_version integer,
                                           basis_points integer, seed text, route jsonb, content text, settings jsonb,
                                           metadata jsonb, candidate_content text, candidate_settings jsonb,
                                           candidate_metadata jsonb);
    end if;
    if to_regtype('promptctl.read_version') is null then
        create type promptctl.read_version as (name text, version integer, epoch integer, content text, settings jsonb,
                                               metadata jsonb);
    end if;
    if to_regtype('promptctl.booked') is null then
        create type promptctl.booked as (recorded bigint, repeated bigint, late bigint);
    end if;
    if to_regtype('promptctl.created_version') is null then
        create type promptctl.created_version as (id uuid, name text, version integer, content text,
                                                  is_active boolean, created_at timestamptz, created_by text,
                                                  metadata jsonb, created boolean, previous_version integer,
                                                  settings jsonb, variables text[]);
    end if;
end
$$;

comment on type promptctl.move is
    'What activate, deactivate and rollback did to one prompt; version is null where nothing is active now, changed is '
    'false when it was so already.';
comment on type promptctl.archival is
    'What archive did to a version or, where version is null, to a prompt: its active version now and before, and '
    'whether its route was taken away or put back.';
comment on type promptctl.erasure is
    'What erase took away: the bytes of the text, the keys of settings and metadata; changed is false when it was so '
    'already.';
comment on type promptctl.undone is
    'What rollback_release did to one prompt; skipped: it had moved since, and stays where it is.';
comment on type promptctl.resolved is 'What resolve answers: the version to use now, and the epoch in which it was served.';
comment on type promptctl.explained is
    'What resolve answers, and why: which prompt was asked for, the step of its route that leads elsewhere (from 1) '
    'and its conditions, the unit''s bucket, the share and what it is a share of; is_candidate: the bucket is within '
    'it.';
comment on type promptctl.split_change is
    'What split and end_split did: the split now and before; changed is false when it was so already.';
comment on type promptctl.followed is
    'What is served of one prompt, with the versions that a client needs to answer for itself.';
comment on type promptctl.read_version is
    'One version as whoever pins it needs it; epoch: the prompt''s at this moment.';
comment on type promptctl.booked is
    'What became of uses that were sent: recorded; repeated, those that were there already; late, those from before '
    'what is kept, which are not counted.';
comment on type promptctl.created_version is 'What create_version answers; created is false for a text that was there already.';

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

comment on function promptctl.lock_holders is 'Who holds the rows of these prompts, for people to read.';

create or replace function promptctl.lock_prompts(names text[]) returns setof promptctl.served
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
begin
    return query
        select s.* from promptctl.served s where s.name = any (lock_prompts.names) order by s.name for no key update;
exception when lock_not_available then
    raise exception using errcode = 'lock_not_available', constraint = 'a_prompt_is_changed_by_one_at_a_time',
        message = format('%s is held by %s', '"' || array_to_string(names[:3], '", "') || '"',
                         promptctl.lock_holders(names));
end
$$;

comment on function promptctl.lock_prompts is
    'Locks the rows of these prompts in name order, waits at most 3 s, and names the holder after that.';

create or replace function promptctl.open_prompts(names text[]) returns setof promptctl.served
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

comment on function promptctl.open_prompts is 'Locks the rows of these prompts, and makes those that are not there yet.';

create or replace function promptctl.require_prompts(names text[]) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.require_prompts is 'Refuses a name that is not there, or that is there twice.';

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
        raise exception using errcode = 'restrict_violation', constraint = 'a_retired_version_is_not_served',
            message = format('%s@%s is archived', name, version),
            hint = format('promptctl delete --undo %s@%s', name, version);
    end if;
end
$$;

comment on function promptctl.require_version is
    'Refuses a version that is not there or, for the lifecycle ''in use'', that is archived or erased.';

create or replace function promptctl.next_number(served promptctl.served) returns integer
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if served.next_version > 2147483647 then
        raise exception using errcode = 'restrict_violation', constraint = 'numbers_count_from_1',
            message = format('"%s" has no number left', served.name);
    end if;
    return served.next_version;
end
$$;

comment on function promptctl.next_number is 'The next number of a prompt whose row is locked.';

-- A function's own `set promptctl.... = ...` would need a superuser to create it. These settings are empty outside of the
-- functions that begin and end a change; where one fails in between, so does what it set.
create or replace function promptctl.begin_change(author text, reason text, release_kind text default null,
                                                  allow_new_variables boolean default false, release bigint default null,
                                                  origins jsonb default null, undoes bigint default null)
returns bigint language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    number bigint;
begin
    perform set_config('promptctl.given_author', coalesce(promptctl.shortened(author), ''), true);
    perform set_config('promptctl.given_reason', coalesce(promptctl.shortened(reason, 2000), ''), true);
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
        if current_setting('promptctl.rehearses', true) = 'on' then
            -- Rolled back in a moment: it takes no number away from those that stay.
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

comment on function promptctl.begin_change is
    'Sets the author, reason and origin that the triggers write into the history; with a kind, opens a release and returns '
    'it, with a release of this transaction, goes on with it.';

create or replace function promptctl.end_change() returns void language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('promptctl.given_author', '', true), set_config('promptctl.given_reason', '', true),
            set_config('promptctl.given_allowance', '', true), set_config('promptctl.given_origins', '', true),
            set_config('promptctl.given_seed', '', true), set_config('promptctl.release', '', true),
            set_config('promptctl.in_change', '', true);
end
$$;

comment on function promptctl.end_change is 'What follows in the transaction is signed by itself again.';


-- plan_cache_mode, in the functions that change what is served: on a connection that stays open, planning for the very
-- values at each call took as long as the change itself, the more so the larger the tables were. A generic plan does
-- not know how few prompts are named; it is kept from reading all of them.
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

    -- After the lock: nobody can archive one of them from here on.
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

comment on function promptctl.activate is
    'Makes each version the one that is served, all or none. Several prompts make a release, unless they go into one that '
    'this transaction has opened; origins says by name where each activation came from.';

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
        raise exception using errcode = 'invalid_parameter_value', constraint = 'a_goal_is_for_one_prompt',
            message = 'a goal or an expected version is for one prompt';
    end if;
    for served in select * from promptctl.lock_prompts(names) loop
        if served.archived_at is not null then
            perform promptctl.require_in_use(served);
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
                    when served.active_version is not null then format('promptctl deactivate %s', served.name)
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

comment on function promptctl.rollback is
    'Goes back along the history, all prompts or none: to the move before the one at which the prompt stands, past moves '
    'to nothing, to a retired version, to the active one and, with to_version, to any other. It never toggles. With a '
    'split running and no other goal it ends the split.';

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
        raise exception using errcode = 'invalid_parameter_value', constraint = 'a_goal_is_for_one_prompt',
            message = 'an expected version is for one prompt';
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

comment on function promptctl.deactivate is
    'Takes the active version of each prompt out of service, all or none: nothing is served until another is activated. '
    'Several prompts make a release. rollback goes back to what was active.';

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
    made boolean := false;
begin
    perform promptctl.require_grants('promptctl.create_version'::regproc);
    perform promptctl.begin_change(author, reason, null, allow_new_variables);
    select * into served from promptctl.open_prompts(array[create_version.name]);
    perform promptctl.require_in_use(served);

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
        coalesce(activated or served.active_version = stored.version, false), stored.created_at, stored.created_by::text,
        stored.metadata, made, served.active_version, stored.settings, stored.variables;
end
$$;

comment on function promptctl.create_version is
    'Stores a text as the next version, or under a given number that is free. Without a number, a text and settings '
    'that a version already has return the newest such version.';

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
        raise exception using errcode = 'restrict_violation', constraint = 'a_served_version_is_not_retired',
            message = case when served.active_version = retire.version
                then format('%s@%s is active, and "%s" would serve nothing without it', served.name, retire.version,
                            served.name)
                else format('%s@%s is a candidate', served.name, retire.version) end,
            hint = case when served.active_version = retire.version
                -- Which version it means, so that whoever comes between is not undone.
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

comment on function promptctl.retire is
    'Archives a version, or with undo takes it back into use; its text, history and uses stay. False: it was so already.';

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
        raise exception using errcode = 'invalid_parameter_value', constraint = 'every_prompt_has_its_version',
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
            -- What the archiving took away comes back, as far as it is there to be served.
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

comment on function promptctl.archive is
    'Archives versions and, where the version is null, whole prompts, all or none. An archived prompt is not listed and '
    'serves nothing; its name, texts, history and statistics stay. With undo they come back: a prompt with the version '
    'that was active and with its route, without the split.';

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

comment on function promptctl.erase is
    'Replaces the text, settings and metadata of a version by nothing, for good, and archives it; number, hash, history '
    'and statistics stay. For the owner of the schema, with a reason, never for a version that something serves.';

create or replace function promptctl.rollback_release(release bigint, skip_moved boolean default false,
                                                      author text default null, reason text default null,
                                                      allow_new_variables boolean default false)
returns setof promptctl.undone
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off as $$
declare
    undone promptctl.undone[];
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

comment on function promptctl.rollback_release is
    'Puts back the pointers and routes that a release moved, all or none: each to where it was before. Where one has moved '
    'since it refuses, or with skip_moved leaves that prompt. What an earlier call put back counts as done. A split that '
    'the release ended does not begin again, and one that began since ends.';

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

comment on function promptctl.open_release is
    'Begins the release of a sync, to which this transaction then adds versions, corrections, routes and activations.';

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
$$;

comment on function promptctl.add_versions is
    'Stores many versions under numbers of their own, all or none: a JSON array of objects with name, version, content '
    'and, optional, settings, metadata, created_by, origin. Many large texts go faster beside it, all in one after the '
    'other, of which each object has start and size in bytes. In a release the prompts were opened by begin_sync: each '
    'time it would be a subtransaction, and of more than 64 every other session feels it. Returns how many.';

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

comment on function promptctl.describe_versions is
    'Corrects the metadata of versions, which is recorded: a JSON array of objects with name, version, metadata. Returns '
    'how many were not so already.';

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

comment on function promptctl.describe is 'Corrects a version''s metadata, which is recorded. False: it was so already.';

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

comment on function promptctl.set_routes is
    'Gives each prompt its route, null or an empty list being none, all or none of them. Returns how many were not so '
    'already.';

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
    perform promptctl.require_in_use(before);
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

comment on function promptctl.split is
    'Gives a candidate a share of the traffic of the active version, in basis points, or changes the share of the one '
    'that runs. The seed, <name>.<epoch> unless given, stays while the share changes: who has the candidate keeps it '
    'as it grows.';

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

comment on function promptctl.end_split is
    'Serves the active version to everybody again. changed is false when nothing ran.';


create or replace function promptctl.begin_sync(names text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform promptctl.require_grants('promptctl.begin_sync'::regproc);
    perform promptctl.open_prompts(names);
end
$$;

comment on function promptctl.begin_sync is
    'Locks every prompt that a sync may change before it is planned, in name order, so that nobody moves one while it is '
    'applied.';

create or replace function promptctl.begin_sync_alone(waits boolean default false) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    holder text;
begin
    perform promptctl.require_grants('promptctl.begin_sync_alone'::regproc);
    -- A row, because every login of the database may hold an advisory lock.
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

comment on function promptctl.begin_sync_alone is
    'Has one sync at a time go on until its transaction ends. Returns who else is at it, or null: nobody; with waits it '
    'waits for that session, as long as lock_timeout says.';

create or replace function promptctl.note_source(source text, commit text default null,
                                                 committed_at timestamptz default null, author text default null)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform promptctl.require_grants('promptctl.note_source'::regproc);
    insert into promptctl.sources (source, commit, committed_at, applied_by)
    values (note_source.source, note_source.commit, note_source.committed_at,
            coalesce(promptctl.shortened(nullif(note_source.author, '')), promptctl.current_author()))
    on conflict on constraint a_source_has_one_row do update
        -- A copy without Git does not make forgotten which commit came last.
        set commit = coalesce(excluded.commit, sources.commit),
            committed_at = case when excluded.commit is null then sources.committed_at else excluded.committed_at end,
            applied_at = now(),
            applied_by = excluded.applied_by;
end
$$;

comment on function promptctl.note_source is 'Remembers which commit of a source was applied last.';

create or replace function promptctl.note_applied(source text, prompts jsonb, author text default null,
                                                  adopts boolean default false)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    claimed text;
begin
    perform promptctl.require_grants('promptctl.note_applied'::regproc);
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
           p.active is not null and not coalesce(p.is_held, false), nullif(p.route, 'null') is not null,
           decode(p.digest, 'hex'),
           coalesce(p.is_settled and p.digest is not null, false), s.next_version,
           coalesce(promptctl.shortened(nullif(note_applied.author, '')), promptctl.current_author())
    from jsonb_to_recordset(prompts)
        as p (name text, active integer, route jsonb, metadata jsonb, digest text, is_settled boolean,
              is_held boolean)
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

comment on function promptctl.note_applied is
    'Remembers what a source said of prompts, as the third side of its next sync: a JSON array of objects with name, active, '
    'route, metadata, digest, is_settled, is_held. A prompt of another source is refused, unless it is adopted.';


create or replace function promptctl.bucket(seed text, unit text) returns integer
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
    number constant bigint :=
        ('x' || encode(substring(sha256(convert_to(seed || '.' || unit, 'UTF8')) for 8), 'hex'))::bit(64)::bigint;
begin
    -- PostgreSQL has no unsigned integers: a negative number stands for itself + 2^64, which leaves 1616 modulo 10000.
    return case when number < 0 then (number % 10000 + 11616) % 10000 else number % 10000 end;
end
$$;

comment on function promptctl.bucket is
    'The bucket of a unit, 0 to 9999: the first 8 bytes of sha256(seed + "." + unit), big-endian, modulo 10000.';

create or replace function promptctl.matching_step(route jsonb, attributes jsonb) returns integer
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
begin
    for place in 0 .. jsonb_array_length(route) - 1 loop
        if attributes @> (route -> place -> 'when') then
            return place;
        end if;
    end loop;
    return null;
end
$$;

comment on function promptctl.matching_step is
    'The first step of a route, from 0, whose conditions are all among the attributes; null: none.';

create or replace function promptctl.unit_text(unit anycompatible) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
    kind regtype := pg_typeof(unit);
begin
    if kind in ('text', 'integer', 'bigint', 'uuid') then
        return unit::text;
    end if;
    -- Of a domain it is what the domain is of.
    select coalesce(nullif(t.typbasetype, 0), t.oid) into kind from pg_catalog.pg_type t where t.oid = kind;
    if kind in ('text', 'varchar', 'character', 'name', 'smallint', 'integer', 'bigint', 'uuid')
        or kind = 'numeric'::regtype and unit::text !~ '[^-0-9]' then
        return unit::text;
    end if;
    raise exception using errcode = 'invalid_parameter_value', constraint = 'a_unit_is_a_text_an_integer_or_a_uuid',
        message = format('a unit is a text, an integer or a UUID, not %s', kind);
end
$$;

comment on function promptctl.unit_text is
    'A unit as the text that decides its bucket: a text, the digits of an integer, the usual form of a UUID. Anything else '
    'is refused, because each language shows it in its own way.';

create or replace function promptctl.explain_resolve(name text, unit anycompatible default null::text,
                                                     attributes jsonb default '{}')
returns promptctl.explained
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    answer promptctl.explained;
    served promptctl.served;
    step jsonb;
begin
    perform promptctl.require_grants('promptctl.explain_resolve'::regproc);
    if jsonb_typeof(attributes) <> 'object' then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'attributes_are_an_object',
            message = format('attributes are a JSON object, not %s', jsonb_typeof(attributes));
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
                               else 'promptctl delete --undo %s' end, served.name);
    end if;
    return answer;
end
$$;

comment on function promptctl.explain_resolve is
    'What resolve answers, and why. First the route, of which the first step counts whose conditions are all among '
    'the attributes, as jsonb contains; one step only. Then the split: the candidate serves when the unit''s bucket '
    'is below the share. Without a unit a bucket is drawn for this call.';

create or replace function promptctl.resolve(name text, unit anycompatible default null::text,
                                             attributes jsonb default '{}')
returns setof promptctl.resolved
language plpgsql stable security definer set search_path = pg_catalog, pg_temp rows 1 as $$
declare
    served promptctl.served;
    target text;
begin
    if has_function_privilege('public', 'promptctl.resolve'::regproc, 'execute') then
        perform promptctl.require_grants('promptctl.resolve'::regproc);
    end if;
    if pg_typeof(unit) <> 'text'::regtype then
        perform promptctl.unit_text(unit); -- Refused whether a split runs or not.
    end if;
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
        and coalesce(promptctl.bucket(served.seed, unit::text), floor(random() * 10000))
            < served.basis_points then
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

comment on function promptctl.resolve is
    'The version of a prompt to use now for a unit, what a split is sticky on, with these attributes, which choose '
    'the step of a route. Raises when nothing can be served. explain_resolve says why.';

-- Not "language sql", which before PostgreSQL 18 is planned at every call; by index, for a few of many prompts.
create or replace function promptctl.follow(names text[], epochs integer[] default null)
returns setof promptctl.followed
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

comment on function promptctl.follow is
    'What is served of these prompts, all at one moment, with its texts; without those whose epoch is still the one '
    'that is given. A name that is no prompt has no row.';

create or replace function promptctl.read_versions(names text[], versions integer[])
returns setof promptctl.read_version
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

comment on function promptctl.read_versions is
    'These versions, those that are archived too; one that is not there, or was erased, has no row.';

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

comment on function promptctl.erased_versions is 'Which of these versions were erased: whoever holds one lets go of it.';

create or replace function promptctl.prompt_names() returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform promptctl.require_grants('promptctl.prompt_names'::regproc);
    return query select s.name from promptctl.served s order by s.name limit 10000;
end
$$;

comment on function promptctl.prompt_names is 'The names there are, at most 10 000, for whoever mistyped one.';

create or replace function promptctl.new_use_id() returns uuid language sql volatile
begin atomic
    -- RFC 9562, version 7: 48 bits of milliseconds since 1970, then random bits; so new rows go to the index's end.
    select encode(set_byte(t.bytes, 6, (get_byte(t.bytes, 6) & 15) | 112), 'hex')::uuid
    from (select substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                 || substring(uuid_send(gen_random_uuid()) from 7)) t (bytes);
end;

comment on function promptctl.new_use_id is 'A new id for a use, ordered by time.';

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
    happened integer;
    seed text;
begin
    if has_function_privilege('public', 'promptctl.record_use'::regproc, 'execute') then
        perform promptctl.require_grants('promptctl.record_use'::regproc);
    end if;
    -- An epoch that is yet to come, as a database that was set back is told of, is the one of now.
    select case when record_use.epoch > s.epoch then s.epoch else record_use.epoch end, a.seed into happened, seed
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
    values (recorded, record_use.name, record_use.version, happened,
            promptctl.bucket(coalesce(seed, record_use.name), promptctl.unit_text(unit)),
            promptctl.shortened(record_use.model),
            record_use.input_tokens, record_use.output_tokens, record_use.response_ms,
            promptctl.shortened(record_use.outcome), record_use.score, record_use.cache_read_tokens,
            record_use.cache_write_tokens, record_use.first_token_ms, promptctl.shortened(record_use.request_id))
    on conflict do nothing;
    return recorded;
end
$$;

comment on function promptctl.record_use is
    'Books one call of a model on the version that was served: tokens, milliseconds, and an outcome, "ok" or the name of '
    'an error. input_tokens is all of the input, of which cache_read_tokens and cache_write_tokens are parts. What was not '
    'reported is null. Sent again with the same use_id it counts once. Returns the use_id.';

create or replace function promptctl.require_ages(ages_ms double precision[]) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    -- A negative one is of a clock that was set back: now. NaN is greater than any number.
    if exists (select from unnest(ages_ms) a (age) where a.age > 1e12) then
        raise exception using errcode = 'invalid_parameter_value', constraint = 'an_age_is_at_most_31_years',
            message = 'an age is a number of milliseconds, at most 1e12';
    end if;
end
$$;

comment on function promptctl.require_ages is 'Refuses what is not so many milliseconds ago.';

create or replace function promptctl.require_kept(ages_ms double precision[], received_at timestamptz,
                                                  kept_from timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from promptctl.roll_up r, unnest(ages_ms) a (age)
               where r.dropped_before > kept_from
                 and received_at - make_interval(secs => greatest(a.age, 0) / 1000) < r.dropped_before) then
        raise exception using errcode = 'serialization_failure', constraint = 'uses_are_not_dropped_as_they_arrive',
            message = 'uses of that time were dropped meanwhile: one of these may have been there';
    end if;
end
$$;

comment on function promptctl.require_kept is
    'Refuses what was dropped while it was being booked, because it can have been there before: it is sent again.';

create or replace function promptctl.record_uses(ids uuid[], names text[], versions integer[], epochs integer[],
                                                 ages_ms double precision[], buckets smallint[], models text[],
                                                 input_tokens bigint[], output_tokens bigint[],
                                                 cache_read_tokens bigint[], cache_write_tokens bigint[],
                                                 response_ms double precision[], first_token_ms double precision[],
                                                 outcomes text[], scores double precision[], request_ids text[])
returns promptctl.booked
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    place constant bigint := promptctl.recording_place();
    received_at constant timestamptz := clock_timestamp();
    kept_from constant timestamptz := coalesce((select r.dropped_before from promptctl.roll_up r), '-infinity');
    sent constant bigint := coalesce(cardinality(ids), 0);
    late bigint := 0;
    recorded bigint;
    strange record;
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
        raise exception using errcode = 'invalid_parameter_value', constraint = 'every_use_has_every_field',
            message = 'the fields of the uses differ in number';
    end if;
    perform promptctl.require_ages(ages_ms);
    select u.name, u.version, not u.is_known as is_unknown into strange
    from (select g.name, g.version, s.epoch >= g.epoch as has_been,
                 exists (select from promptctl.versions v where v.name = g.name and v.version = g.version) as is_known
          from (select f.name, f.version, max(f.epoch) as epoch
                from unnest(names, versions, epochs) f (name, version, epoch) group by 1, 2) g
          left join promptctl.served s on s.name = g.name) u
    where not (u.is_known and u.has_been) order by u.is_known limit 1;
    if found and strange.is_unknown then
        perform promptctl.require_prompts(array[strange.name]);
        perform promptctl.require_version(strange.name, strange.version, 'any');
    elsif found then
        -- An epoch that is yet to come, as a database that was set back is told of, is the one of now.
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
           promptctl.shortened(u.model), u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens,
           u.response_ms, u.first_token_ms, promptctl.shortened(u.outcome), u.score, promptctl.shortened(u.request_id),
           place
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

comment on function promptctl.record_uses is
    'Books many uses at once, all or none, from arrays of one length; see record_use. Each has a bucket instead of a '
    'unit, and an age: how many milliseconds ago it was, because clocks differ. What is there already counts once, '
    'and what is older than single uses are kept for does not count: it may have been there.';

create or replace function promptctl.record_fallbacks(ids uuid[], names text[], ages_ms double precision[],
                                                      models text[], input_tokens bigint[], output_tokens bigint[],
                                                      response_ms double precision[], outcomes text[])
returns promptctl.booked
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
        raise exception using errcode = 'invalid_parameter_value', constraint = 'every_use_has_every_field',
            message = 'the fields of the calls differ in number';
    end if;
    perform promptctl.require_ages(ages_ms);
    select count(*) into late from unnest(ages_ms) a (age)
    where received_at - make_interval(secs => greatest(a.age, 0) / 1000) < kept_from;
    insert into promptctl.fallbacks (id, name, recorded_at, model, input_tokens, output_tokens, response_ms, outcome)
    select f.id, case when length(f.name) between 1 and 200 then regexp_replace(f.name, '[^A-Za-z0-9._/-]', '~', 'g')
                      else regexp_replace(left(f.name, 199), '[^A-Za-z0-9._/-]', '~', 'g') || '~' end,
           received_at - make_interval(secs => greatest(f.age, 0) / 1000), promptctl.shortened(f.model),
           f.input_tokens, f.output_tokens, f.response_ms, promptctl.shortened(f.outcome)
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

comment on function promptctl.record_fallbacks is
    'Books calls of a model with a text of the application''s own; see record_uses.';

create or replace function promptctl.use_size(input_tokens bigint) returns smallint language sql immutable
begin atomic
    select (coalesce(input_tokens > 100000, false)::integer
            + coalesce(input_tokens > 200000, false)::integer)::smallint;
end;

comment on function promptctl.use_size is
    'How many of the prices'' steps, at 100 000 and 200 000 tokens, an input is beyond.';

create or replace function promptctl.score_use(use_id uuid, score double precision) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    most constant integer := 100;
    scored record;
begin
    perform promptctl.require_grants('promptctl.score_use'::regproc);
    if score is null then
        raise exception using errcode = 'not_null_violation', constraint = 'a_score_is_a_number',
            message = 'a score is a number, not null';
    end if;
    perform set_config('promptctl.at_work', pg_current_xact_id()::text, true);
    loop
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
            perform set_config('promptctl.at_work', '', true);
            return false;
        elsif scored.place >= most then
            raise exception using errcode = 'restrict_violation', constraint = 'a_use_is_scored_at_most_100_times',
                message = format('use %s was scored %s times: its last score stays', use_id, most);
        end if;
        insert into promptctl.scores (use_id, place, name, version, used_at, model, is_ok, size, score, previous)
        values (score_use.use_id, scored.place + 1, scored.name, scored.version, scored.recorded_at, scored.model,
                scored.is_ok, scored.size, score_use.score, scored.score)
        on conflict on constraint a_use_has_one_score_at_a_time do nothing;
        -- Nothing was inserted after waiting for another score of this use, for 3 s at most: look again.
        exit when found;
    end loop;
    perform set_config('promptctl.at_work', '', true);
    return true;
end
$$;

comment on function promptctl.score_use is
    'Gives a use its score, or another one: the last counts. False: it was so already. Refused when the use is not '
    'kept any more, and after 100 scores.';

create or replace function promptctl.catch_up() returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
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

comment on function promptctl.catch_up is
    'After a restore into a cluster that has counted less: has new uses counted from where the old ones end.';

create or replace function promptctl.kept_models(names text[], versions integer[], models text[], uses bigint[])
returns table (name text, version integer, model text)
language sql stable set search_path = pg_catalog, pg_temp
begin atomic
    with asked as materialized (
        select a.name collate "C" as name, a.version, a.model, sum(a.uses) as uses
        from unnest(names, versions, models, uses) a (name, version, model, uses)
        where a.model <> 'other models'
        group by 1, 2, 3
    ), ranked as (
        select c.name, c.version, c.model,
               row_number() over (partition by c.name, c.version
                                  order by bool_or(c.is_known) desc, sum(c.uses) desc, c.model) as place
        from (
            select a.name, a.version, a.model, a.uses, false as is_known from asked a
            union all
            select t.name, t.version, t.model::text, 0, true
            from (select distinct a.name, a.version from asked a) v
            join promptctl.totals t on t.grain = 'all' and t.name = v.name and t.version = v.version
            where t.model <> 'other models'
        ) c
        group by 1, 2, 3
    )
    select r.name, r.version, r.model from ranked r where r.place <= 100;
end;

comment on function promptctl.kept_models is
    'The models of each version that totals keep apart, at most 100: those that are in totals, then those with most of '
    'these uses. All others are counted as "other models", because an application can report any number of names. A model '
    'that was counted there stays there.';

-- By hash: a planner that does not know how few hours there are would sort all uses, in three times the time.
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
    perform set_config('promptctl.at_work', pg_current_xact_id()::text, true);
    select * into mark from promptctl.roll_up;
    -- Those who are within a thousand transactions catch up by themselves, and may have.
    if pg_snapshot_xmax(pg_current_snapshot())::text::bigint + mark.added + 1000 < mark.rolled_below then
        perform promptctl.catch_up();
    end if;
    -- One at a time; whoever comes second has nothing to do.
    select * into mark from promptctl.roll_up for no key update skip locked;
    if not found then
        begin
            if exists (select from promptctl.roll_up) then
                raise lock_not_available;
            end if;
            -- The first roll-up has no row to lock. Whoever records or reads does not wait for this lock.
            lock table promptctl.roll_up in share row exclusive mode nowait;
            select * into mark from promptctl.roll_up for no key update skip locked;
        exception when lock_not_available then
            perform set_config('promptctl.at_work', '', true);
            return null;
        end;
        mark.rolled_below := coalesce(mark.rolled_below, 0);
        mark.added := coalesce(mark.added, 0);
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
        ), kept as materialized (
            select k.name, k.version, k.model
            from (select array_agg(h.name) as names, array_agg(h.version) as versions,
                         array_agg(h.model::text) as models, array_agg(h.uses) as uses
                  from hours h where h.model is not null) m
            cross join lateral promptctl.kept_models(m.names, m.versions, m.models, m.uses) k
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
        cross join lateral promptctl.kept_models(n.names, n.versions, n.models, n.uses) f
    ) k on k.name = o.name and k.version = o.version and k.model = o.model
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
    if mark.singleton then
        update promptctl.roll_up r set rolled_below = horizon, rolled_up_at = clock_timestamp()
        where r.rolled_below <> horizon;
    elsif waiting > 0 or exists (select from promptctl.totals) then
        insert into promptctl.roll_up (rolled_below, rolled_up_at) values (horizon, clock_timestamp());
    end if;
    perform set_config('promptctl.at_work', '', true);
    return added;
end
$$;

comment on function promptctl.roll_up_uses is
    'Adds uses that are not yet in totals to them, about so many, and returns how many; null: another session is at '
    'it. In one transaction with the watermark, so that it can be killed at any moment. Only uses of transactions '
    'that have ended with all before them: one that comes late comes with the next.';

create or replace function promptctl.drop_uses(before timestamptz, from_page bigint, pages integer default 500)
returns bigint
language plpgsql strict security definer set search_path = pg_catalog, pg_temp as $$
declare
    moment constant timestamptz := date_trunc('hour', least(before, now()), 'UTC');
    first constant tid := format('(%s,0)', from_page)::tid;
    after constant tid := format('(%s,0)', from_page + pages)::tid;
    dropped bigint;
begin
    perform promptctl.require_grants('promptctl.drop_uses'::regproc);
    perform set_config('promptctl.at_work', pg_current_xact_id()::text, true);
    -- Known before the first one goes: from now on what is as old is refused.
    update promptctl.roll_up r set dropped_before = moment
    where r.dropped_before is null or r.dropped_before < moment;
    if not found and not exists (select from promptctl.roll_up)
       and (exists (select from promptctl.uses) or exists (select from promptctl.fallbacks)) then
        insert into promptctl.roll_up (dropped_before) values (moment)
        on conflict on constraint a_roll_up_has_one_watermark do update
        set dropped_before = greatest(roll_up.dropped_before, excluded.dropped_before);
    end if;
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

comment on function promptctl.drop_uses is
    'Deletes single uses, of those that totals have, from before an hour, in so many pages of the table; returns how '
    'many. With the first page their scores go, and calls with a text of the application''s own.';


create or replace view promptctl.prompts_without_stats as
select v.id, v.name, v.version, v.content, coalesce(s.active_version = v.version, false) as is_active, v.created_at,
       v.created_by::text, v.metadata
from promptctl.versions v
join promptctl.served s on s.name = v.name
where not v.is_retired and s.archived_at is null;

comment on view promptctl.prompts_without_stats is
    'What prompts is made of, and where its updates go: a trigger is given whole rows, so that one on prompts itself would '
    'compute stats for each.';

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

comment on view promptctl.version_stats is
    'What the uses of each version add up to, retired ones too: its totals, and the uses that are not in them yet.';
comment on column promptctl.version_stats.stats is 'As in prompts.';

create or replace view promptctl.prompts as
select p.*,
       (select x.stats from promptctl.version_stats x where x.name = p.name and x.version = p.version) as stats
from promptctl.prompts_without_stats p;


comment on view promptctl.prompts is
    'Every version in use. Public: insert stores a version, setting is_active activates or deactivates it, all else is '
    'refused.';
comment on column promptctl.prompts.is_active is 'Whether it is the one that is served; settable.';
comment on column promptctl.prompts.stats is
    'total_uses, errors, avg_tokens (input + output), avg_response_time_ms, avg_score, last_used_at. Averages are of '
    'the uses that went well and reported the number, of scores all that have one; one that nobody reported is absent.';

create or replace function promptctl.write_prompts() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

comment on function promptctl.write_prompts is 'What writing to the view does.';

create or replace trigger prompts_can_be_inserted instead of insert on promptctl.prompts
    for each row execute function promptctl.write_prompts();
create or replace trigger prompts_can_be_updated instead of update on promptctl.prompts_without_stats
    for each row execute function promptctl.write_prompts();
create or replace rule an_update_computes_no_stats as on update to promptctl.prompts do instead
    update promptctl.prompts_without_stats p
    set id = new.id, name = new.name, version = new.version, content = new.content, is_active = new.is_active,
        created_at = new.created_at, created_by = new.created_by, metadata = new.metadata
    where p.name = old.name and p.version = old.version
    returning p.*, (select r.stats from promptctl.prompts r where r.name = p.name and r.version = p.version);
create or replace trigger a_prompt_is_not_deleted instead of delete on promptctl.prompts
    for each row execute function promptctl.refuse('a version never goes: it can be archived');

comment on trigger prompts_can_be_inserted on promptctl.prompts is 'Stores a version.';
comment on trigger prompts_can_be_updated on promptctl.prompts_without_stats is 'Only is_active can be set.';
comment on rule an_update_computes_no_stats on promptctl.prompts is 'Activation has to be as cheap as on the first day.';
comment on trigger a_prompt_is_not_deleted on promptctl.prompts is 'A version never goes.';


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
            message = format('no access "%s": viewer, application or operator', access);
    end if;
    if login = (select pg_get_userbyid(n.nspowner) from pg_catalog.pg_namespace n where n.nspname = 'promptctl') then
        -- Taking away what it does not need would take it from the triggers and foreign keys, which run as the owner.
        raise exception using errcode = 'restrict_violation', constraint = 'the_owner_has_every_access',
            message = format('"%s" owns the schema: it may do everything', login);
    end if;
    -- A restore without grants opened them; what one login is granted must not be what everybody has.
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
                                 'begin_sync', 'begin_sync_alone', 'open_release', 'note_source',
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

comment on function promptctl.grant_access is
    'Gives a login role just what it needs and takes back the rest: viewer reads; application resolves and records; '
    'operator reads, resolves, records, creates, activates, rolls back, retires and syncs.';

revoke all on all routines in schema promptctl from public;
revoke all on all tables in schema promptctl from public;
revoke all on schema promptctl from public;

commit;
