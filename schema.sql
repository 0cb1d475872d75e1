-- promptctl: the whole database. PostgreSQL 15 to 18, a UTF-8 database, one schema, no extension.
--
-- Run it with `psql -v ON_ERROR_STOP=1 -f schema.sql` or with `promptctl db init`. It is safe to run again: it is one
-- transaction, one installer runs at a time, and it refuses a schema of another version. `promptctl db migrate` changes
-- an older schema into this one. `drop schema promptctl cascade` removes it.
--
-- All rules about who may change what are enforced here. A rule is a named constraint or trigger, whose name is a
-- sentence. The server sends the name with the error as `constraint_name`, by which clients recognise the rule.

-- Read committed, because this installer must see what another one committed while it waited.
begin isolation level read committed;

set local client_min_messages = warning;
set local lock_timeout = '60s';
set local search_path = '';

do $$
declare
    expected constant integer := 11;
    -- Applications that were made for this version, or for one between the two, work with this schema.
    compatible constant integer := 4;
    -- The first release of promptctl that has this schema.
    release constant text := '0.1.0';
    installed integer;
    newer_release text;
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
                compatible_version integer not null,
                release text not null,

                constraint an_installation_is_recorded_once primary key (singleton),
                constraint there_is_one_installation check (singleton)
            );
            is_new := true;
            exit;
        exception when unique_violation or duplicate_schema or duplicate_table or duplicate_object then
            null; -- Another session created it first: look again.
        end;
    end loop;
    if not is_ours then
        raise exception using errcode = 'duplicate_schema', constraint = 'schema_belongs_to_promptctl',
            message = format('schema "promptctl" in database "%s" was not created by promptctl', current_database());
    end if;
    -- One installer at a time. A table lock: every login of the database may take an advisory lock, and could block us.
    lock table promptctl.installation in share row exclusive mode;
    -- Other sessions wait for our locks from here on, so this session must not wait long.
    perform set_config('lock_timeout', '3s', true);
    if not is_new then
        select version into installed from promptctl.installation;
        if installed is distinct from expected then
            if installed > expected then
                select to_jsonb(i) ->> 'release' into newer_release from promptctl.installation i;
            end if;
            raise exception using errcode = 'object_not_in_prerequisite_state', constraint = 'schema_version_matches',
                message = format('database "%s" has schema version %s, and this is version %s',
                                 current_database(), coalesce(installed::text, 'unknown'), expected),
                detail = coalesce(installed::text, ''), hint = coalesce(newer_release, '');
        end if;
    end if;
    insert into promptctl.installation (version, compatible_version, release) values (expected, compatible, release)
    on conflict do nothing;
end
$$;

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

comment on function promptctl.expect_schema_version is
    'Refuses a client that was made for a version which this schema does not serve. A client sends it before its first '
    'statement, in the same round trip.';

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

comment on function promptctl.require_grants is
    'Refuses every role except the owner while PUBLIC may execute the given routine.';

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

comment on function promptctl.open_to_everybody is
    'The objects of this schema that PUBLIC may use: none after an installation. A restore without grants opens '
    'functions to PUBLIC, and installing again closes them.';

-- Domains, because every statement that writes to a table reads the table's constraints again, which takes some
-- microseconds for each constraint, and a session reads those of a domain once.
--
-- They are "not valid": they hold for every row that is written from now on. A migration cannot check the rows of an older
-- schema, because it would read all uses, calls and moves, and recording would wait for it.
do $$
begin
    if to_regtype('promptctl.short_text') is null then
        create domain promptctl.short_text as text;
        alter domain promptctl.short_text
            add constraint a_short_text_has_at_most_200_characters check (length(value) <= 200) not valid;
        create domain promptctl.reason_text as text;
        alter domain promptctl.reason_text
            add constraint a_reason_has_at_most_2000_characters check (length(value) <= 2000) not valid;
        create domain promptctl.seed_text as text;
        alter domain promptctl.seed_text
            add constraint a_seed_has_at_most_300_characters check (length(value) <= 300) not valid;
        create domain promptctl.origin_object as jsonb;
        alter domain promptctl.origin_object
            add constraint an_origin_has_at_most_100_kilobytes check (pg_column_size(value) <= 100000) not valid;
        create domain promptctl.outcome_name as promptctl.short_text;
        alter domain promptctl.outcome_name
            add constraint an_outcome_is_not_empty check (value <> '') not valid;
        create domain promptctl.score_number as double precision;
        alter domain promptctl.score_number
            add constraint a_score_is_a_number check (value between -1e9 and 1e9) not valid;
        create domain promptctl.score_place as integer;
        alter domain promptctl.score_place
            add constraint a_use_is_scored_at_most_100_times check (value between 1 and 100) not valid;
        create domain promptctl.use_epoch as integer;
        alter domain promptctl.use_epoch
            add constraint the_epoch_of_a_use_is_not_negative check (value >= 0) not valid;
        create domain promptctl.use_bucket as smallint;
        alter domain promptctl.use_bucket
            add constraint a_bucket_is_between_0_and_9999 check (value between 0 and 9999) not valid;
        create domain promptctl.trace_id as uuid;
        alter domain promptctl.trace_id
            add constraint a_trace_id_is_not_zero check (value <> '00000000-0000-0000-0000-000000000000') not valid;
        create domain promptctl.fallback_name as text;
        alter domain promptctl.fallback_name
            add constraint a_fallback_has_a_valid_name check (value ~ '^[A-Za-z0-9._/~-]{1,200}$') not valid;
    end if;
end
$$;

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
comment on domain promptctl.trace_id is
    'The identifier of a trace of the W3C and of OpenTelemetry: 16 bytes, not all of them zero.';
comment on constraint a_trace_id_is_not_zero on domain promptctl.trace_id is
    'OpenTelemetry has zeros where there is no trace. A use without a trace has null.';
comment on domain promptctl.fallback_name is 'The name that an application requested.';
comment on constraint a_fallback_has_a_valid_name on domain promptctl.fallback_name is
    'The characters of a prompt''s name, and the ~ with which record_fallbacks replaces others.';

create or replace function promptctl.shorten(value text, most integer default 200) returns text
language sql immutable
begin atomic
    -- octet_length is stored and length counts; a text has at least as many bytes as characters.
    select case when octet_length(value) <= most then value
                when length(value) <= most then value
                else left(value, most - 1) || chr(8230) end;
end;

comment on function promptctl.shorten is
    'A text of at most this many characters. A longer text is cut and then ends in an ellipsis.';

create or replace function promptctl.current_author() returns text language sql stable
begin atomic
    select left(coalesce(nullif(current_setting('promptctl.argument_author', true), ''),
                         nullif(current_setting('promptctl.author', true), ''), session_user::text), 200);
end;

comment on function promptctl.current_author is
    'Who makes the change: a function''s argument, else the setting promptctl.author, else the database user.';

create or replace function promptctl.current_reason() returns text language sql stable
begin atomic
    select left(coalesce(nullif(current_setting('promptctl.argument_reason', true), ''),
                         nullif(current_setting('promptctl.reason', true), '')), 2000);
end;

comment on function promptctl.current_reason is
    'Why the change is made: a function''s argument, else the setting promptctl.reason, else null.';


create or replace function promptctl.new_variables_are_allowed() returns boolean language sql stable
begin atomic
    select coalesce(current_setting('promptctl.argument_allow_new_variables', true) = 'on', false)
           or coalesce(lower(current_setting('promptctl.allow_new_variables', true)) in ('on', 'true', 'yes', '1'),
                       false);
end;

comment on function promptctl.new_variables_are_allowed is
    'Whether a version may become active that needs a variable which the active version does not need: by a '
    'function''s argument, or by the setting promptctl.allow_new_variables = on.';

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

comment on function promptctl.brace_opens_argument is
    E'Whether a brace after this text opens an argument of a LaTeX command: \\name{, \\name[...]{, or { directly after such '
    'an argument. The text has no brace. A command has two letters or more, because \\n{x} is an escaped line break before a '
    'variable.';

create or replace function promptctl.json_number(written text) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp set extra_float_digits = 1 as $$
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
$$;

comment on function promptctl.json_number is
    'A JSON number as Python writes it: an integer as it is, any other as the shortest decimal that Python reads as the '
    'same double. A number that is too large for a double stays as it is.';

-- promptctl/rules/requests.py writes the same text; a test compares the two.
create or replace function promptctl.request_text(request jsonb) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
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
$$;

comment on function promptctl.request_text is
    'The text of a request, as it is stored: one space after each colon and comma, no other, the keys in their order, '
    'and numbers as json_number writes them. Requests are equal if these texts are. It takes the value of '
    'settings.request: a text, or an object.';

create or replace function promptctl.stored_settings(settings jsonb) returns jsonb
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.stored_settings is
    'Settings as they are stored: the request is a text, because jsonb does not keep the order of keys. A request '
    'without keys is left out.';

create or replace function promptctl.message_texts(settings jsonb) returns text[]
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.message_texts is
    'The texts in the messages of a request that are templates, in order: content, or the text of each block of type '
    'text, and the same in the content of each block of type tool_result.';

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
$$;

comment on function promptctl.template_variables is
    'The variables of a version, each once, in the order of their first occurrences: those of the text, then those of the '
    'messages in the request. In the style braces a variable '
    'is {path}, but not {{path}}, not directly after one of $@#%^, and not as an argument of a LaTeX command. In the '
    'style mustache it is {{path}}. In the style none there are no variables. A path is identifiers joined by dots; an '
    'identifier has ASCII letters, digits and _.';

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
    'The variables of a template that the caller must pass: those that have no default and are not optional.';

create or replace function promptctl.has_exact_double(number numeric) returns boolean
language sql immutable strict set search_path = pg_catalog, pg_temp set extra_float_digits = 1
return case when trunc(number) = number then true
            -- The smallest double; and above 1e17 every double is whole.
            when abs(number) not between 5e-324 and 1e17 then false
            else to_jsonb(number::double precision)::numeric = number end;

comment on function promptctl.has_exact_double is
    'Whether a number is whole or survives a conversion to floating point and back. Most languages read numbers as '
    'floating point.';

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

comment on function promptctl.is_valid_route is
    'Whether this is a list of 1 to 100 steps {"when": {attribute: text, number or boolean}, "use": "NAME" or '
    '"NAME@VERSION"}, of at most 100 kB. A fraction must survive a conversion to floating point and back, so that '
    'every language compares it alike.';


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
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- Always false: foreign keys to is_retired with it, so that an archived version cannot be served.
    serves_retired boolean generated always as (false) stored,
    archived_at timestamptz,
    slow_ms integer,

    constraint a_prompt_has_one_row primary key (name),
    constraint a_name_is_segments_joined_by_slashes check (
        name ~ '^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$'),
    constraint a_name_has_at_most_200_characters check (length(name) <= 200),
    constraint a_name_is_not_a_number check (name ~ '[^0-9]'),
    constraint a_name_has_no_segment_like_a_file_name check (
        name !~* '(^|/)(v[0-9]+[.](txt|md)|prompt[.]ya?ml)(/|$)'),
    constraint a_split_needs_an_active_version check (candidate_version is null or active_version is not null),
    constraint a_candidate_is_not_the_active_version check (candidate_version <> active_version),
    constraint a_share_is_at_most_10000_basis_points check (basis_points between 0 and 10000),
    constraint a_split_has_a_seed_and_a_share check (
        (candidate_version is null) = (seed is null) and (candidate_version is not null or basis_points = 0)),
    constraint a_route_is_a_list_of_steps check (promptctl.is_valid_route(route)),
    constraint an_archived_prompt_serves_nothing check (
        archived_at is null or (active_version is null and candidate_version is null and route is null)),
    constraint epochs_start_at_0 check (epoch >= 0),
    constraint version_numbers_are_from_1_to_2147483647 check (next_version between 1 and 2147483648)
);

create unique index if not exists names_differ_in_more_than_case on promptctl.served (lower(name));
create index if not exists served_by_route on promptctl.served (name) where route is not null;

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
comment on column promptctl.served.slow_ms is
    'A call of the split is slow if it takes longer than this, in milliseconds. It is fixed when the split begins; null: '
    'no split runs, or it began before schema version 8 and 10 000 applies.';
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

    constraint a_release_number_is_unique primary key (release),
    constraint a_release_has_a_known_kind check (
        kind in ('activate', 'deactivate', 'rollback', 'sync', 'release rollback')),
    constraint the_origin_of_a_release_is_an_object check (jsonb_typeof(origin) = 'object'),
    constraint a_release_rollback_undoes_an_earlier_release check (undoes < release),
    constraint a_release_rollback_undoes_an_existing_release foreign key (undoes) references promptctl.releases (release)
);

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
    is_retired boolean not null generated always as (retired_at is not null) stored,
    erased_at timestamptz,

    constraint a_number_is_used_once_in_a_prompt primary key (name, version),
    constraint a_version_id_is_unique unique (id),
    constraint a_version_has_one_archived_state unique (name, version, is_retired),
    constraint a_version_belongs_to_a_prompt foreign key (name) references promptctl.served (name),
    constraint a_version_number_is_at_least_1 check (version >= 1),
    -- A regular expression reads a whole text before it starts, and most texts begin with a character.
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
    -- The request has a limit of its own.
    constraint settings_have_at_most_1_megabyte check (
        case when settings ? 'request' then pg_column_size(settings - 'request') <= 1000000
            else pg_column_size(settings) <= 1000000 end),
    constraint metadata_has_at_most_1_megabyte check (pg_column_size(metadata) <= 1000000),
    constraint a_template_has_a_known_style check (
        coalesce(settings -> 'template', '"braces"') in ('"braces"', '"mustache"', '"none"')),
    constraint a_variable_is_described_by_required_and_default check (
        coalesce(jsonb_typeof(settings -> 'variables'), 'object') = 'object'
        -- Strict, because a lax filter tests the elements of a list and not the list. The filter is unknown for a missing
        -- key, and the result is null without variables.
        and coalesce(not jsonb_path_exists(settings, 'strict $.variables.* ? (@.type() <> "object"
            || @.required.type() <> "boolean" || @.default.type() <> "string")', '{}', true), true)),
    constraint a_model_is_a_nonempty_text check (
        jsonb_typeof(coalesce(settings -> 'model', '"x"')) = 'string' and coalesce(settings ->> 'model', 'x') <> ''),
    constraint max_tokens_is_at_least_1 check (
        case when settings ? 'max_tokens'
            then jsonb_typeof(settings -> 'max_tokens') = 'number' and settings ->> 'max_tokens' ~ '^[1-9][0-9]{0,8}$'
            else true end),
    constraint a_request_is_an_object check (
        case when settings ? 'request'
            then case when jsonb_typeof(settings -> 'request') = 'string'
                      then jsonb_typeof((settings ->> 'request')::jsonb) = 'object' else false end
            else true end),
    constraint a_request_has_at_most_1_megabyte check (octet_length(settings ->> 'request') <= 1000000),
    constraint a_request_has_at_most_100_levels check (
        case when settings ? 'request'
            then not jsonb_path_exists((settings ->> 'request')::jsonb,
                                       'strict $.**{100} ? (@.type() == "object" || @.type() == "array")')
            else true end),
    constraint a_request_has_no_other_settings check (
        case when settings ? 'request'
            then not (settings ->> 'request')::jsonb ?| '{model,max_tokens,system,stream,metadata}'
            else true end),
    constraint the_numbers_of_a_request_are_finite check (
        case when settings ? 'request'
            then not jsonb_path_exists((settings ->> 'request')::jsonb,
                'strict $.** ? (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308)')
            else true end),
    constraint the_messages_of_a_request_have_a_role_and_content check (
        case when (settings ->> 'request')::jsonb ? 'messages'
            then coalesce(jsonb_path_exists((settings ->> 'request')::jsonb, 'strict $.messages[0]', '{}', true), false)
                and not jsonb_path_exists((settings ->> 'request')::jsonb, 'strict $.messages[*] ? (
                    !((@.role == "user" || @.role == "assistant")
                        && (@.content.type() == "string" || @.content.type() == "array"))
                    || ((@.role == "user" || @.role == "assistant")
                        && (@.content.type() == "string" || @.content.type() == "array")) is unknown)')
            else true end),
    constraint a_cache_lasts_5m_or_1h check (coalesce(settings -> 'cache', '"5m"') in ('"5m"', '"1h"')),
    constraint a_version_has_a_valid_creation_time check (
        created_at between timestamptz '0001-01-01 00:00:00+00' and timestamptz '9999-12-31 00:00:00+00'),
    constraint a_version_has_an_author check (created_by <> ''),
    -- No foreign key for release: a trigger sets it to the release that begin_change has checked, and releases are never
    -- deleted. A foreign key would check it again for each of ten thousand versions.
    constraint the_origin_of_a_version_is_an_object check (jsonb_typeof(origin) = 'object')
);

-- Out of line, so that listing versions does not read their texts, and uncompressed: compressing ten thousand texts takes
-- as long as the rest of their sync.
alter table promptctl.versions alter column content set storage external;

create index if not exists versions_by_content on promptctl.versions (name, sha256);
create index if not exists versions_erased on promptctl.versions (sha256) where erased_at is not null;
create index if not exists versions_by_release on promptctl.versions (release) where release is not null;

comment on table promptctl.versions is
    'Every version of every prompt. Content and settings are fixed when a version is created.';
comment on column promptctl.versions.sha256 is
    'SHA-256 of the content in UTF-8. It is not unique, because a later version may have the text of an earlier one.';
comment on column promptctl.versions.settings is
    'What a version carries besides its content: template, variables, model, max_tokens, cache, request. The request is a '
    'JSON object as text, because jsonb does not keep the order of keys: (settings ->> ''request'')::json.';
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
comment on constraint settings_have_at_most_1_megabyte on promptctl.versions is
    'Clients hold settings in memory. The request has a limit of its own.';
comment on constraint metadata_has_at_most_1_megabyte on promptctl.versions is
    'The history stores a copy of each value.';
comment on constraint a_template_has_a_known_style on promptctl.versions is 'Every client must be able to render it.';
comment on constraint a_variable_is_described_by_required_and_default on promptctl.versions is
    'Each variable has an object. In it, required is a boolean and default is a text.';
comment on constraint a_model_is_a_nonempty_text on promptctl.versions is
    'Any name is accepted, because models come and go.';
comment on constraint max_tokens_is_at_least_1 on promptctl.versions is 'A reply has at least one token.';
comment on constraint a_request_is_an_object on promptctl.versions is
    'It has the keyword arguments of a call of Claude. It is stored as text, which keeps the order of keys.';
comment on constraint a_request_has_at_most_1_megabyte on promptctl.versions is 'Clients hold requests in memory.';
comment on constraint a_request_has_at_most_100_levels on promptctl.versions is
    'The object itself is the first level, and each object or array in it another. Parsers have limits.';
comment on constraint a_request_has_no_other_settings on promptctl.versions is
    'model and max_tokens are settings, system is the text, and an application passes stream and metadata.';
comment on constraint the_numbers_of_a_request_are_finite on promptctl.versions is
    'Clients in JavaScript and Python would read a larger number as infinity.';
comment on constraint the_messages_of_a_request_have_a_role_and_content on promptctl.versions is
    'There is at least one, and each has the role user or assistant, and a content that is a text or an array. The rest is '
    'for Claude to check.';
comment on constraint a_cache_lasts_5m_or_1h on promptctl.versions is 'Claude keeps a cache for 5 minutes or an hour.';
comment on constraint a_version_has_a_valid_creation_time on promptctl.versions is
    'RFC 3339 has years of four digits and no infinity.';
comment on constraint a_version_has_an_author on promptctl.versions is
    'If the client reports none, it is the database user.';
comment on constraint the_origin_of_a_version_is_an_object on promptctl.versions is 'An origin has keys and values.';

do $$
begin
    if to_regclass('promptctl.versions') is not null
        and not exists (select from pg_catalog.pg_constraint
                        where conrelid = 'promptctl.served'::regclass and contype = 'f') then
        alter table promptctl.served
            add constraint an_active_version_exists_and_is_not_archived
                foreign key (name, active_version, serves_retired)
                references promptctl.versions (name, version, is_retired),
            add constraint a_candidate_exists_and_is_not_archived
                foreign key (name, candidate_version, serves_retired)
                references promptctl.versions (name, version, is_retired);
    end if;
end
$$;

comment on constraint an_active_version_exists_and_is_not_archived on promptctl.served is
    'A foreign key, because it holds for every order of concurrent writers.';
comment on constraint a_candidate_exists_and_is_not_archived on promptctl.served is
    'A foreign key, because it holds for every order of concurrent writers.';


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
    slow_ms integer,

    constraint an_epoch_has_one_allocation primary key (name, epoch),
    constraint an_allocation_belongs_to_a_prompt foreign key (name) references promptctl.served (name),
    constraint an_allocation_belongs_to_an_existing_release foreign key (release) references promptctl.releases (release),
    constraint an_allocation_has_a_known_kind check (
        kind in ('activate', 'deactivate', 'rollback', 'split', 'unsplit', 'route', 'archive', 'restore'))
);

create index if not exists allocations_by_release on promptctl.allocations (release) where release is not null;


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
comment on column promptctl.allocations.slow_ms is 'As in served, after the change.';
comment on index promptctl.allocations_by_release is 'The moves of a release.';
comment on constraint an_epoch_has_one_allocation on promptctl.allocations is
    'The history of a prompt is a line and not a tree.';
comment on constraint an_allocation_belongs_to_a_prompt on promptctl.allocations is
    'Each prompt has a row in the table served.';
comment on constraint an_allocation_belongs_to_an_existing_release on promptctl.allocations is
    'Each release has a row.';
comment on constraint an_allocation_has_a_known_kind on promptctl.allocations is
    'What can change in what a prompt serves.';

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

    constraint a_correction_number_is_unique primary key (id),
    constraint a_correction_belongs_to_a_version foreign key (name, version)
        references promptctl.versions (name, version),
    constraint a_correction_has_a_known_kind check (kind in ('describe', 'archive', 'restore', 'erase')),
    constraint a_correction_belongs_to_an_existing_release foreign key (release) references promptctl.releases (release)
);

create index if not exists corrections_by_prompt on promptctl.corrections (name, id);
create index if not exists corrections_by_release on promptctl.corrections (release) where release is not null;

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


create table if not exists promptctl.sources (
    source text,
    commit text,
    committed_at timestamptz,
    applied_at timestamptz not null default now(),
    applied_by promptctl.short_text not null,

    constraint a_source_has_one_row primary key (source),
    constraint a_source_name_is_not_empty check (source <> ''),
    constraint a_source_has_at_most_1000_characters check (length(source) <= 1000 and length(commit) <= 1000)
);

comment on table promptctl.sources is 'Folders that were synced, each with the commit that was applied last.';
comment on column promptctl.sources.commit is 'The full hash; null: the folder is in no repository.';
comment on column promptctl.sources.committed_at is
    'The time of that commit, for a clone whose history does not reach back to it.';
comment on constraint a_source_has_one_row on promptctl.sources is 'Only the last state is stored.';
comment on constraint a_source_has_at_most_1000_characters on promptctl.sources is 'The name is part of a key.';
comment on constraint a_source_name_is_not_empty on promptctl.sources is
    'A source is named by its repository and folder, or by a name of its own.';

create table if not exists promptctl.applied (
    name text collate "C",
    source text not null,
    active_version integer,
    route jsonb,
    metadata jsonb not null default '{}',
    has_applied_version boolean not null default false,
    has_applied_route boolean not null default false,
    digest bytea,
    is_settled boolean not null default false,
    next_version bigint,
    applied_at timestamptz not null default now(),
    applied_by promptctl.short_text not null,

    constraint a_prompt_comes_from_one_source primary key (name),
    constraint an_applied_state_belongs_to_a_prompt foreign key (name) references promptctl.served (name),
    constraint an_applied_state_belongs_to_a_source foreign key (source) references promptctl.sources (source)
);

create index if not exists applied_by_source on promptctl.applied (source);

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


create table if not exists promptctl.roll_up (
    singleton boolean default true,
    rolled_below bigint not null default 0,
    transaction_offset bigint not null default 0,
    dropped_before timestamptz,
    rolled_up_at timestamptz,

    constraint a_roll_up_has_one_watermark primary key (singleton),
    constraint there_is_one_watermark check (singleton)
);

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

create or replace function promptctl.rolled_below() returns bigint language sql stable
begin atomic
    select coalesce((select r.rolled_below from promptctl.roll_up r), 0);
end;

comment on function promptctl.rolled_below is
    'The watermark, and 0 before the first roll-up. A query should call this function instead of reading roll_up in a '
    'subquery: the planner evaluates a stable function, so it expects only the few uses above the watermark.';

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

comment on function promptctl.recording_number is
    'The number of this transaction among those that record uses. It is not below the watermark, and no roll-up passes '
    'it before this transaction has ended.';

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
    recorded_in bigint not null default promptctl.recording_number(),
    trace_id promptctl.trace_id,

    constraint a_use_is_recorded_once primary key (id),
    constraint tokens_are_not_negative check (input_tokens >= 0 and output_tokens >= 0),
    constraint tokens_are_at_most_1e12 check (input_tokens <= 1000000000000 and output_tokens <= 1000000000000),
    constraint cached_tokens_are_part_of_the_input check (
        cache_read_tokens >= 0 and cache_write_tokens >= 0
        and coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0) <= greatest(input_tokens, 0)),
    constraint a_response_time_is_from_0_to_1e12_ms check (response_ms >= 0 and response_ms <= 1e12),
    constraint a_first_token_time_is_from_0_to_1e12_ms check (first_token_ms >= 0 and first_token_ms <= 1e12),
    constraint a_use_has_a_valid_time check (
        recorded_at between timestamptz '0001-01-01 00:00:00+00' and timestamptz '9999-12-31 00:00:00+00')
);

create index if not exists uses_by_version on promptctl.uses (name, version, recorded_in);
create index if not exists uses_by_time on promptctl.uses using brin (recorded_in, recorded_at)
    with (pages_per_range = 32);

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
comment on column promptctl.uses.trace_id is
    'The trace of the application to which the call belongs; null: none. Tracing systems write it without dashes.';
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
    recorded_in bigint not null default promptctl.recording_number(),
    epoch integer not null default 0,
    bucket smallint,

    constraint a_use_has_one_score_per_place primary key (use_id, place)
);

create index if not exists scores_by_version on promptctl.scores (name, version, recorded_in);

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
comment on column promptctl.scores.epoch is
    'The epoch of the use; 0: no split chose the version, or a program stored the score during the migration to schema '
    'version 8.';
comment on column promptctl.scores.bucket is 'The bucket of the unit of the use; null: the use has no unit.';
comment on index promptctl.scores_by_version is 'The scores of one version that are not yet in its totals.';
comment on constraint a_use_has_one_score_per_place on promptctl.scores is
    'Of two scores that arrive at the same time, the second takes the next place.';


create table if not exists promptctl.fallbacks (
    id uuid not null,
    name promptctl.fallback_name collate "C" not null,
    model promptctl.short_text,
    input_tokens bigint,
    output_tokens bigint,
    response_ms double precision,
    outcome promptctl.outcome_name not null default 'ok',
    recorded_at timestamptz not null default clock_timestamp(),

    constraint a_fallback_is_recorded_once primary key (id),
    constraint tokens_of_a_fallback_are_not_negative check (input_tokens >= 0 and output_tokens >= 0),
    constraint tokens_of_a_fallback_are_at_most_1e12 check (
        input_tokens <= 1000000000000 and output_tokens <= 1000000000000),
    constraint a_fallback_response_time_is_from_0_to_1e12_ms check (response_ms >= 0 and response_ms <= 1e12)
);

create index if not exists fallbacks_by_name on promptctl.fallbacks (name);
create index if not exists fallbacks_by_time on promptctl.fallbacks (recorded_at);

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


do $$
begin
    if to_regtype('promptctl.histogram') is null then
        create type promptctl.histogram as (buckets smallint[], counts bigint[]);
    end if;
end
$$;

comment on type promptctl.histogram is
    'Counts by bucket, in the order of the buckets and without empty ones. Bucket b has the values from 2^(b/32) to '
    '2^((b+1)/32).';

create or replace function promptctl.histogram_bucket(value double precision) returns smallint language sql immutable
begin atomic
    -- 2^-10 and smaller values share a bucket. Not "strict", which would prevent inlining and cost a microsecond a value.
    select case when value > 0.0009765625 then floor(ln(value) * 46.16624130844683)::smallint
                when value is not null then -320 end;
end;

comment on function promptctl.histogram_bucket is
    'floor(32 * log2(value)). The middle of the bucket, 2^((b+0.5)/32), is at most 1.1 % off.';

create or replace function promptctl.merge_histograms(parts promptctl.histogram[]) returns promptctl.histogram
language sql immutable
begin atomic
    select row(array_agg(m.bucket), array_agg(m.number))::promptctl.histogram
    from (select c.bucket, sum(c.number)::bigint as number
          from unnest(parts) p
          cross join unnest(p.buckets, p.counts) c (bucket, number)
          group by c.bucket order by c.bucket) m
    having count(*) > 0;
end;

comment on function promptctl.merge_histograms is 'The sum of histograms, some of which may be null; null: all are.';

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

    constraint totals_have_one_row_per_group unique nulls not distinct (grain, name, version, starts_at, model, is_ok, size),
    constraint a_total_has_a_known_grain check (grain in ('hour', 'day', 'all'))
);

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


create table if not exists promptctl.bucket_totals (
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


create or replace function promptctl.refuse() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
        schema = tg_table_schema, message = tg_argv[0];
end
$$;

comment on function promptctl.refuse is 'For a rule without exceptions. The argument of the trigger is the message.';

create or replace function promptctl.refuse_outside_triggers() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if pg_trigger_depth() < 2 then
        raise exception using errcode = 'restrict_violation', constraint = tg_name, table = tg_table_name,
            schema = tg_table_schema, message = tg_argv[0];
    end if;
    return null;
end
$$;

comment on function promptctl.refuse_outside_triggers is
    'For a table that only triggers write: refuses a direct insert.';

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

comment on function promptctl.refuse_outside_functions is
    'For a table that only our functions write. A function sets promptctl.writing_transaction to its transaction. Rows '
    'that were written directly would be counted twice, or not at all.';

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

comment on function promptctl.require_no_new_variables is
    'Refuses a version that needs a variable which the active version does not need, because the running application '
    'would not pass it.';

create or replace function promptctl.route_targets(route jsonb) returns setof text language sql immutable
begin atomic
    select r.step ->> 'use' from jsonb_array_elements(coalesce(route, '[]')) with ordinality r (step, place)
    order by r.place;
end;

comment on function promptctl.route_targets is
    'The targets of the steps of a route, in their order: NAME or NAME@VERSION.';

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

comment on function promptctl.require_valid_route_targets is
    'Refuses a route to a prompt or version that does not exist or is archived, and a route with a cycle.';

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

comment on function promptctl.require_not_archived is 'Refuses an archived prompt.';

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

comment on function promptctl.slow_response_ms is
    'The response time, in milliseconds, above which a call is slow: the 95th percentile of the version in the totals of '
    'the last 7 days, rounded up to 1, 2 or 5 times a power of 10. 10 000 where fewer than 100 uses reported a time.';

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

comment on function promptctl.before_served is
    'Counts epochs, maintains the position in the history, ends a split when the active version changes, and sets what '
    'is slow when a split begins. An archived prompt serves nothing and does not change until it is restored.';

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

comment on function promptctl.require_no_route_to is
    'Refuses to deactivate or to archive a prompt while a route of another prompt leads to it.';

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

comment on function promptctl.after_served is
    'Appends a row of history for every change and notifies the channel "promptctl", in the same transaction.';

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

comment on function promptctl.require_erasable is
    'Refuses to erase a version: for a role other than the owner of the schema, without a reason, and while the '
    'version can be served.';

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

comment on function promptctl.before_versions is
    'Hashes a new version and extracts its variables. Later it lets only the metadata and the archived state change, '
    'and lets the owner of the schema erase a version that cannot be served.';

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

comment on function promptctl.after_insert_versions is
    'Keeps next_version above every number that was used, and refuses a text that was erased.';

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

comment on function promptctl.after_update_versions is
    'Records every correction: of metadata, archiving, restoring and erasing. Makes the next sync compare the prompt '
    'again. An erasure also removes the metadata from the recorded corrections, deletes the replies to the text in runs '
    'of tests, and notifies clients, which may hold the version.';

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
    'Refuses to change history, except that the erasure of a version removes the metadata of its corrections.';

create or replace trigger epochs_and_positions_are_set_by_the_database before insert or update on promptctl.served
    for each row execute function promptctl.before_served();
create or replace trigger every_move_is_recorded after update on promptctl.served
    referencing old table as old_rows new table as new_rows
    for each statement execute function promptctl.after_served();
create or replace trigger a_prompt_is_never_deleted before delete on promptctl.served
    for each row execute function promptctl.refuse('a prompt cannot be deleted: archive it');
create or replace trigger prompts_are_never_truncated before truncate on promptctl.served
    for each statement execute function promptctl.refuse('prompts cannot be deleted: archive them');

create or replace trigger a_version_never_changes before insert or update on promptctl.versions
    for each row execute function promptctl.before_versions();
create or replace trigger a_version_number_is_never_reused after insert on promptctl.versions
    referencing new table as new_rows
    for each statement execute function promptctl.after_insert_versions();
create or replace trigger a_correction_is_recorded after update on promptctl.versions
    referencing old table as old_rows new table as new_rows
    for each statement execute function promptctl.after_update_versions();
create or replace trigger a_version_is_never_deleted before delete on promptctl.versions
    for each row execute function promptctl.refuse('a version cannot be deleted: archive it');
create or replace trigger versions_are_never_truncated before truncate on promptctl.versions
    for each statement execute function promptctl.refuse('versions cannot be deleted: archive them');

create or replace trigger history_is_append_only before update or delete on promptctl.allocations
    for each row execute function promptctl.refuse('history is append-only');
create or replace trigger history_is_never_truncated before truncate on promptctl.allocations
    for each statement execute function promptctl.refuse('history is append-only');
create or replace trigger history_is_written_by_the_database before insert on promptctl.allocations
    for each statement execute function promptctl.refuse_outside_triggers('history is written by the database');

create or replace trigger corrections_are_append_only before update or delete on promptctl.corrections
    for each row execute function promptctl.before_corrections('history is append-only');
create or replace trigger corrections_are_never_truncated before truncate on promptctl.corrections
    for each statement execute function promptctl.refuse('history is append-only');
create or replace trigger corrections_are_written_by_the_database before insert on promptctl.corrections
    for each statement execute function promptctl.refuse_outside_triggers('history is written by the database');

create or replace trigger releases_are_append_only before update or delete on promptctl.releases
    for each row execute function promptctl.refuse('history is append-only');
create or replace trigger releases_are_never_truncated before truncate on promptctl.releases
    for each statement execute function promptctl.refuse('history is append-only');

do $$
begin
    -- A constraint trigger has no "create or replace".
    if not exists (select from pg_catalog.pg_trigger where tgname = 'a_dry_run_is_rolled_back') then
        create constraint trigger a_dry_run_is_rolled_back after insert on promptctl.releases
            deferrable initially deferred
            for each row when (new.release > 9223372034707292160)
            execute function promptctl.refuse('the release of a dry run must be rolled back');
    end if;
end
$$;

create or replace trigger the_watermark_is_moved_by_the_database before insert or update or delete on promptctl.roll_up
    for each statement execute function promptctl.refuse_outside_functions('the watermark is moved by roll_up_uses');
create or replace trigger the_watermark_is_never_truncated before truncate on promptctl.roll_up
    for each statement execute function promptctl.refuse('the watermark is moved by roll_up_uses');
create or replace trigger uses_are_append_only before update or delete on promptctl.uses
    for each statement execute function promptctl.refuse_outside_functions('uses are append-only: drop_uses deletes old ones');
create or replace trigger uses_are_never_truncated before truncate on promptctl.uses
    for each statement execute function promptctl.refuse('uses are append-only: drop_uses deletes old ones');
create or replace trigger scores_are_written_by_score_use before insert or update or delete on promptctl.scores
    for each statement execute function promptctl.refuse_outside_functions('scores are written by score_use');
create or replace trigger scores_are_never_truncated before truncate on promptctl.scores
    for each statement execute function promptctl.refuse('scores are written by score_use');
create or replace trigger totals_are_written_by_roll_up_uses before insert or update or delete on promptctl.totals
    for each statement execute function promptctl.refuse_outside_functions('totals are written by roll_up_uses');
create or replace trigger totals_are_never_truncated before truncate on promptctl.totals
    for each statement execute function promptctl.refuse('totals are written by roll_up_uses');
create or replace trigger bucket_totals_are_written_by_roll_up_uses
    before insert or update or delete on promptctl.bucket_totals
    for each statement execute function promptctl.refuse_outside_functions('bucket_totals are written by roll_up_uses');
create or replace trigger bucket_totals_are_never_truncated before truncate on promptctl.bucket_totals
    for each statement execute function promptctl.refuse('bucket_totals are written by roll_up_uses');
create or replace trigger fallbacks_are_append_only before update or delete on promptctl.fallbacks
    for each statement execute function promptctl.refuse_outside_functions('calls are append-only: drop_uses deletes old ones');
create or replace trigger fallbacks_are_never_truncated before truncate on promptctl.fallbacks
    for each statement execute function promptctl.refuse('calls are append-only: drop_uses deletes old ones');

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
comment on trigger bucket_totals_are_written_by_roll_up_uses on promptctl.bucket_totals is
    'Nobody can add uses that did not happen.';
comment on trigger bucket_totals_are_never_truncated on promptctl.bucket_totals is
    'The single uses may have been dropped.';
comment on trigger fallbacks_are_append_only on promptctl.fallbacks is 'A call stays as it was recorded.';
comment on trigger fallbacks_are_never_truncated on promptctl.fallbacks is 'A call stays as it was recorded.';


-- Composite types, because a function with output columns cannot have an argument of the same name.
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
    if to_regtype('promptctl.release_reversal') is null then
        create type promptctl.release_reversal as (name text, version integer, previous_version integer, changed boolean,
                                         skipped boolean, split_ended boolean, route_changed boolean, release bigint,
                                         epoch integer);
    end if;
    if to_regtype('promptctl.resolved_version') is null then
        create type promptctl.resolved_version as (name text, version integer, epoch integer, content text, settings jsonb,
                                           metadata jsonb);
    end if;
    if to_regtype('promptctl.resolve_explanation') is null then
        create type promptctl.resolve_explanation as (name text, version integer, epoch integer, content text, settings jsonb,
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
    if to_regtype('promptctl.followed_prompt') is null then
        create type promptctl.followed_prompt as (name text, epoch integer, active_version integer, candidate_version integer,
                                           basis_points integer, seed text, route jsonb, content text, settings jsonb,
                                           metadata jsonb, candidate_content text, candidate_settings jsonb,
                                           candidate_metadata jsonb);
    end if;
    if to_regtype('promptctl.pinned_version') is null then
        create type promptctl.pinned_version as (name text, version integer, epoch integer, content text, settings jsonb,
                                               metadata jsonb);
    end if;
    if to_regtype('promptctl.recording_result') is null then
        create type promptctl.recording_result as (recorded bigint, repeated bigint, late bigint);
    end if;
    if to_regtype('promptctl.comparison') is null then
        create type promptctl.comparison as (metric text, share integer, uses_a bigint, uses_b bigint, units_a bigint,
                                             units_b bigint, strata integer, value_a double precision,
                                             value_b double precision, difference double precision,
                                             se_null double precision, se_free double precision,
                                             pooled double precision);
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
    'One version for a client that pins it; epoch: 0, because no split chose the version.';
comment on type promptctl.recording_result is
    'How many of the sent uses were recorded, were repeated (stored before), and were late (older than the single uses '
    'that are stored, and so not counted).';
comment on type promptctl.comparison is
    'What compare_versions computes for one metric: over all shares where share is null, or in the split that gave b this '
    'share, in basis points. uses_a, uses_b: the uses that report the metric, after the cap. units_a, units_b: groups of '
    'buckets, and uses without a unit. strata: how many shares and seeds are in it. se_null, se_free: standard errors of '
    'the difference, if there is none and without that assumption. pooled: the value of both versions together.';
comment on type promptctl.created_version is
    'The result of create_version; created is false where a version already had the text.';

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

comment on function promptctl.lock_holders is 'The sessions that lock the rows of these prompts, as a text for people.';

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

comment on function promptctl.lock_prompts is
    'Locks the rows of these prompts in the order of their names. Waits at most 3 s and then raises an error that '
    'names the holder.';

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

comment on function promptctl.lock_or_create_prompts is
    'Locks the rows of these prompts and inserts the rows that do not exist yet.';

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

comment on function promptctl.require_prompts is
    'Refuses a name that is not a prompt, and a name that is listed twice.';

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

comment on function promptctl.require_version is
    'Refuses a version that does not exist or, for the lifecycle ''in use'', that is archived or erased.';

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

comment on function promptctl.next_version_number is 'The next number of a prompt whose row is locked.';

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

comment on function promptctl.begin_change is
    'Sets the author, the reason and the origins that triggers write into the history. With a kind it opens a release '
    'and returns its number; with a release of this transaction it continues that release.';

create or replace function promptctl.end_change() returns void language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('promptctl.argument_author', '', true), set_config('promptctl.argument_reason', '', true),
            set_config('promptctl.argument_allow_new_variables', '', true), set_config('promptctl.argument_origins', '', true),
            set_config('promptctl.argument_seed', '', true), set_config('promptctl.release', '', true),
            set_config('promptctl.in_change', '', true);
end
$$;

comment on function promptctl.end_change is
    'Clears what begin_change has set, so that later statements of the transaction have their own author and reason.';


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

comment on function promptctl.activate is
    'Makes each version the active one, all or none. Several prompts make a release, unless they are added to a '
    'release that this transaction has opened. origins has, by name, where each activation came from.';

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

comment on function promptctl.rollback is
    'Rolls back along the history, all prompts or none: to the move before the one that the prompt is at. It skips '
    'moves to no version, to an archived version, to the active version and, with to_version, to any other version. It '
    'never toggles. While a split runs it only ends the split, unless to_version is another version.';

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

comment on function promptctl.deactivate is
    'Leaves each prompt without an active version, all or none. Several prompts make a release. rollback restores the '
    'version that was active.';

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

comment on function promptctl.create_version is
    'Stores a text as the next version, or under a number that is not used yet. Without a number, and if versions in '
    'use have the same text and settings, it returns the newest of them. settings.request is an object, or the text of '
    'one, which keeps the order of its keys.';

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

comment on function promptctl.retire is
    'Archives a version, or with undo restores it. Its text, history and uses stay. Returns false where nothing '
    'changed.';

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

comment on function promptctl.archive is
    'Archives versions and, where the version is null, prompts, all or none. An archived prompt is not listed and '
    'serves nothing. Its name, texts, history and statistics stay. With undo it restores them: a prompt with the '
    'version that was active and with its route, but without its split.';

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
    'Removes the text, the settings and the metadata of a version permanently, and archives it. The number, the hash, '
    'the history and the statistics stay. Only the owner of the schema can erase, with a reason, and not a version '
    'that can be served.';

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
    'Opens the release of a sync. The transaction then adds versions, corrections, routes and activations to it.';

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

comment on function promptctl.add_versions is
    'Stores many versions with numbers of their own, all or none. versions is a JSON array of objects with name, '
    'version and content, and optionally settings, metadata, created_by and origin. Large texts are faster in '
    'contents, one after the other; each object then has start and size in bytes. Within a release the prompts must '
    'exist (lock_prompts_to_sync): creating them here would take a subtransaction for each batch, and more than 64 slow '
    'down every session. Returns the number of versions.';

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

comment on function promptctl.describe_versions is
    'Corrects the metadata of versions and records the corrections. versions is a JSON array of objects with name, '
    'version and metadata. Returns how many changed.';

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

comment on function promptctl.describe is
    'Corrects the metadata of a version and records the correction. Returns false where nothing changed.';

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

comment on function promptctl.set_routes is
    'Sets the route of each prompt, all or none. null or an empty list removes the route. Returns how many changed.';

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

comment on function promptctl.split is
    'Serves a candidate to a share of the units, in basis points, or changes the share of the split that runs. The '
    'seed, by default <name>.<epoch>, stays while the share changes: a unit that gets the candidate keeps it as the '
    'share grows.';

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
    'Serves the active version to all units again. changed is false where no split ran.';


create or replace function promptctl.lock_prompts_to_sync(names text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform promptctl.require_grants('promptctl.lock_prompts_to_sync'::regproc);
    perform promptctl.lock_or_create_prompts(names);
end
$$;

comment on function promptctl.lock_prompts_to_sync is
    'Locks every prompt that a sync may change, before it is planned and in the order of the names, so that no other '
    'session moves one of them until it is applied.';

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

comment on function promptctl.lock_out_other_syncs is
    'Makes other syncs wait until this transaction ends. Returns the session that runs another sync, or null if there '
    'is none. With waits it waits for that session, at most lock_timeout.';

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

comment on function promptctl.record_source is 'Stores which commit of a source was applied last.';

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

comment on function promptctl.record_applied is
    'Stores what a source set for its prompts, which the next sync compares with: a JSON array of objects with name, '
    'active, route, metadata, digest, is_settled and is_held. Refuses a prompt of another source, unless it is '
    'adopted.';


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
    'The index, from 0, of the first step of a route whose conditions are all among the attributes; null: none.';

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

comment on function promptctl.unit_text is
    'A unit as the text that decides its bucket: a text, the digits of an integer, or the usual form of a UUID. Other '
    'types are refused, because each language formats them in its own way.';

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

comment on function promptctl.explain_resolve is
    'The result of resolve with its reasons. First the route: its first step whose conditions are all among the '
    'attributes, as jsonb contains them, selects the target. The route of the target is not followed. Then the split: '
    'the candidate is served when the bucket of the unit is below the share. Without a unit, the bucket is random.';

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

comment on function promptctl.resolve is
    'The version of a prompt to use now. The unit decides which side of a split it gets, and the attributes select a '
    'step of the route. A version that a step names has epoch 0, because no split chose it. Raises an error when there is '
    'no version to serve. explain_resolve returns the reasons.';

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

comment on function promptctl.follow is
    'What these prompts serve, with the texts, in one snapshot. Leaves out the prompts whose epoch is still the one in '
    'epochs. A name that is not a prompt has no row.';

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

comment on function promptctl.read_versions is
    'These versions, including archived ones, in epoch 0. A version that does not exist or was erased has no row.';

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

comment on function promptctl.erased_versions is
    'Which of these versions were erased, so that a client can discard them.';

create or replace function promptctl.prompt_names() returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform promptctl.require_grants('promptctl.prompt_names'::regproc);
    return query select s.name from promptctl.served s order by s.name limit 10000;
end
$$;

comment on function promptctl.prompt_names is
    'The names of the prompts, at most 10 000, from which a client suggests one for a mistyped name.';

create or replace function promptctl.new_use_id() returns uuid language sql volatile
begin atomic
    -- RFC 9562, version 7: 48 bits of milliseconds since 1970, then random bits, so new rows go to the end of the index.
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

comment on function promptctl.record_use is
    'Records one call of a model with the version that was served: tokens, milliseconds, and an outcome, "ok" or the '
    'name of an error. input_tokens is all of the input, including cache_read_tokens and cache_write_tokens. A number '
    'that was not reported is null. A use that is sent again with the same use_id is stored once. trace_id is the trace of '
    'the call. Returns the use_id.';

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

comment on function promptctl.require_valid_ages is 'Refuses an age that is not a number of milliseconds up to 1e12.';

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

comment on function promptctl.require_not_dropped is
    'Refuses uses that were dropped while they were recorded, because they may have been stored before. The client '
    'sends them again.';

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

comment on function promptctl.record_uses is
    'Records many uses, all or none, from arrays of one length; see record_use. Each use has a bucket instead of a '
    'unit, and instead of a time an age in milliseconds, because clocks differ. A use that is stored already is not '
    'stored again. A use that is older than the stored single uses is not counted, because it may have been counted '
    'before. Without trace_ids, no use has a trace.';

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

comment on function promptctl.record_fallbacks is
    'Records calls of a model with a text of the application''s own; see record_uses.';

create or replace function promptctl.price_tier(input_tokens bigint) returns smallint language sql immutable
begin atomic
    select (coalesce(input_tokens > 100000, false)::integer
            + coalesce(input_tokens > 200000, false)::integer)::smallint;
end;

comment on function promptctl.price_tier is
    'How many of the steps of the prices, at 100 000 and 200 000 tokens, an input exceeds.';

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

comment on function promptctl.score_use is
    'Sets the score of a use. The last score counts. Returns false where nothing changed. Refuses a use that was '
    'dropped, and more than 100 scores.';

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

comment on function promptctl.catch_up_after_restore is
    'After a restore into a cluster with smaller transaction numbers: makes the numbers of new uses continue where the '
    'old ones end.';

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

comment on function promptctl.models_in_totals is
    'The models of each version that totals count separately, at most 100: first those that are in totals, then those '
    'with the most of these uses. All others are counted as "other models", because an application can report any '
    'number of names. A model that was counted there stays there.';

create or replace function promptctl.buckets_per_group(basis_points integer) returns integer language sql immutable
begin atomic
    -- Each number divides 10, so that the groups of one share can be added to those of another.
    select case when least(basis_points, 10000 - basis_points) >= 500 then 10
                when least(basis_points, 10000 - basis_points) >= 250 then 5
                when least(basis_points, 10000 - basis_points) >= 100 then 2 else 1 end;
end;

comment on function promptctl.buckets_per_group is
    'How many neighbouring buckets bucket_totals add up, for a share in basis points: as many as leave at least 50 groups '
    'on the smaller side, and at most 10.';

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

comment on function promptctl.bucket_group is
    'The group that a use belongs to in bucket_totals: the lowest bucket of its group. A use without a unit gets a bucket '
    'of its version by a hash of its id, plus 10 000, so that its groups are as large as those of units. -1: the bucket '
    'belongs to the other version, or the version is neither of the two.';

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

comment on function promptctl.add_to_bucket_totals is
    'Adds the uses and the scores of a range of recorded_in to bucket_totals. roll_up_uses calls it after it has written '
    'totals, which decide what models are counted separately. names: the prompts that have uses or scores in the range; '
    'uses are not read if none of these prompts has had a split.';

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

comment on function promptctl.roll_up_uses is
    'Adds uses that are not yet in totals to totals and to bucket_totals, about at_most of them, and returns how many; '
    'null: another session is rolling up. The watermark moves in the same transaction, so the session can be killed at any time. It adds '
    'only uses of transactions that have ended, with all before them; the others follow in the next roll-up.';

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

comment on function promptctl.drop_uses is
    'Deletes single uses that are in totals and are older than an hour, in a range of pages of the table; returns how '
    'many. With the first page it also deletes their scores and old calls with a text of the application''s own.';


create or replace function promptctl.half_width(v double precision, tau double precision, alpha double precision)
returns double precision language sql immutable
begin atomic
    select case when v > 0 then sqrt((v + tau ^ 2) * v / tau ^ 2 * (ln(1 + tau ^ 2 / v) - 2 * ln(alpha))) end;
end;

comment on function promptctl.half_width is
    'Half the width of an interval that holds at every look, at the level 1 - alpha, for an estimate of variance v: the '
    'mixture of normal distributions of standard deviation tau (Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021). '
    'Null where v is not positive.';

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

comment on function promptctl.valid_interval is
    'The interval of a difference d that holds at every look, at the level 1 - alpha. It leaves out 0 exactly where the '
    'difference is proven: the end near 0 uses se_null, the standard error if there is no difference, and the other end '
    'the larger of the two. See half_width for tau. Null where an error is not known.';

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

comment on function promptctl.compare_versions is
    'Compares version b with version a where one was the candidate beside the other, in the given epochs or in all: the '
    'metrics errors, time, slow, first, output, cost and score over all shares, and for each split with its share. A '
    'group of buckets is the unit of the errors; none counts more than cap of a side. In rows of traffic the difference '
    'is the logarithm of the ratio of uses per bucket, in rows of uses and out_of_place only uses are counted. prices: '
    'dollars per token, as an array of objects with model, size, input, output, cache_read and cache_write.';


create or replace view promptctl.prompts_without_stats as
select v.id, v.name, v.version, v.content, coalesce(s.active_version = v.version, false) as is_active, v.created_at,
       v.created_by::text, v.metadata
from promptctl.versions v
join promptctl.served s on s.name = v.name
where not v.is_retired and s.archived_at is null;

comment on view promptctl.prompts_without_stats is
    'The view prompts without its statistics, and the target of its updates: a trigger gets whole rows, so a trigger '
    'on prompts would compute stats for each row.';

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
    'The statistics of each version, including archived ones: its totals and the uses that are not in them yet.';
comment on column promptctl.version_stats.stats is 'As in prompts.';

create or replace view promptctl.prompts as
select p.*,
       (select x.stats from promptctl.version_stats x where x.name = p.name and x.version = p.version) as stats
from promptctl.prompts_without_stats p;


comment on view promptctl.prompts is
    'Every version in use. Public. insert stores a version, setting is_active activates or deactivates it, and every '
    'other change is refused.';
comment on column promptctl.prompts.is_active is 'Whether it is the active version. It can be updated.';
comment on column promptctl.prompts.stats is
    'total_uses, errors, avg_tokens (input + output), avg_response_time_ms, avg_score, last_used_at. Averages are over '
    'the uses that succeeded and reported the number, avg_score over all that have a score. A number that no use '
    'reported is absent.';

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

comment on function promptctl.write_prompts is 'Carries out an insert into the view or an update of it.';

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
create or replace trigger prompts_cannot_be_deleted instead of delete on promptctl.prompts
    for each row execute function promptctl.refuse('a version cannot be deleted: archive it');

comment on trigger prompts_can_be_inserted on promptctl.prompts is 'Stores a version.';
comment on trigger prompts_can_be_updated on promptctl.prompts_without_stats is 'Only is_active can be changed.';
comment on rule an_update_computes_no_stats on promptctl.prompts is
    'An activation must not become slower as uses accumulate.';
comment on trigger prompts_cannot_be_deleted on promptctl.prompts is 'A version can be archived instead.';


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

create table if not exists promptctl.rollouts (
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

create unique index if not exists a_prompt_has_one_open_rollout on promptctl.rollouts (name)
    where state in ('running', 'paused');
create index if not exists rollouts_by_prompt on promptctl.rollouts (name, rollout);
create index if not exists rollouts_by_release on promptctl.rollouts (release) where release is not null;

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

create table if not exists promptctl.rollout_events (
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

create table if not exists promptctl.rollout_looks (
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

create table if not exists promptctl.rollout_ticks (
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

do $$
begin
    if to_regtype('promptctl.rollout_change') is null then
        create type promptctl.rollout_change as (
            rollout bigint, name text, baseline integer, candidate integer, state text, previous_state text,
            basis_points integer, steps integer[], hold interval, least_uses integer, patience interval, in_doubt text,
            guards jsonb, epoch integer, changed boolean, why text);
    end if;
    if to_regtype('promptctl.rollout_tick') is null then
        create type promptctl.rollout_tick as (
            rollout bigint, name text, action text, state text, basis_points integer, previous_basis_points integer,
            next_basis_points integer, next_at timestamptz, why text, evidence jsonb, alarm text);
    end if;
end
$$;

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


do $$
begin
    if to_regtype('promptctl.sha256_hash') is null then
        create domain promptctl.sha256_hash as bytea
            constraint a_hash_has_32_bytes check (octet_length(value) = 32);
    end if;
end
$$;

comment on domain promptctl.sha256_hash is 'A SHA-256. encode(hash, ''hex'') is its usual form.';
comment on constraint a_hash_has_32_bytes on domain promptctl.sha256_hash is 'A SHA-256 has 256 bits.';

create table if not exists promptctl.test_cases (
    hash promptctl.sha256_hash not null,
    definition text not null,
    created_at timestamptz not null default clock_timestamp(),

    constraint a_case_is_stored_once primary key (hash),
    constraint a_case_is_an_object check (json_typeof(definition::json) = 'object'),
    constraint a_case_has_at_most_1_megabyte check (octet_length(definition) <= 1000000)
);

comment on table promptctl.test_cases is
    'Every case that a prompt has or had, or that a run has run. A case never changes: another definition is another case.';
comment on column promptctl.test_cases.hash is 'SHA-256 of the definition in UTF-8. The database calculates it.';
comment on column promptctl.test_cases.definition is
    'The values, the messages and the assertions, as a JSON object in its canonical text: sorted keys, and no space after '
    'a colon or a comma.';
comment on constraint a_case_is_stored_once on promptctl.test_cases is 'Prompts and runs share equal cases.';
comment on constraint a_case_is_an_object on promptctl.test_cases is 'A case has keys and values.';
comment on constraint a_case_has_at_most_1_megabyte on promptctl.test_cases is 'A test holds its cases in memory.';

create table if not exists promptctl.prompt_tests (
    name text collate "C" not null,
    margin double precision,
    changed_at timestamptz not null default clock_timestamp(),
    author promptctl.short_text not null,
    database_user text not null default session_user,

    constraint a_prompt_has_one_list_of_cases primary key (name),
    constraint a_list_of_cases_belongs_to_a_prompt foreign key (name) references promptctl.served (name),
    constraint the_margin_of_a_prompt_is_from_0_to_1 check (margin between 0 and 1)
);

comment on table promptctl.prompt_tests is 'The prompts that have cases, and what holds for all cases of a prompt.';
comment on column promptctl.prompt_tests.margin is
    'By how much the pass rate may be lower, as a part of 1; null: the folder names no margin.';
comment on constraint a_prompt_has_one_list_of_cases on promptctl.prompt_tests is
    'The rows of prompt_cases are its cases. Two sessions that set them wait for each other here.';
comment on constraint a_list_of_cases_belongs_to_a_prompt on promptctl.prompt_tests is
    'Each prompt has a row in the table served.';
comment on constraint the_margin_of_a_prompt_is_from_0_to_1 on promptctl.prompt_tests is 'A pass rate is a part of 1.';

create table if not exists promptctl.prompt_cases (
    name text collate "C" not null,
    place integer not null,
    hash promptctl.sha256_hash not null,

    constraint a_case_of_a_prompt_has_one_place primary key (name, place),
    constraint a_case_of_a_prompt_is_in_its_list foreign key (name) references promptctl.prompt_tests (name),
    constraint a_case_of_a_prompt_is_stored foreign key (hash) references promptctl.test_cases (hash),
    constraint a_prompt_has_at_most_10000_cases check (place between 1 and 10000)
);

comment on table promptctl.prompt_cases is 'The cases that a prompt has now, in the order of its folder.';
comment on column promptctl.prompt_cases.place is 'The position of the case, from 1.';
comment on column promptctl.prompt_cases.hash is 'The case.';
comment on constraint a_case_of_a_prompt_has_one_place on promptctl.prompt_cases is 'Cases are in a line.';
comment on constraint a_case_of_a_prompt_is_in_its_list on promptctl.prompt_cases is
    'Each prompt that has cases has a row in prompt_tests.';
comment on constraint a_case_of_a_prompt_is_stored on promptctl.prompt_cases is 'Each case has a row in test_cases.';
comment on constraint a_prompt_has_at_most_10000_cases on promptctl.prompt_cases is
    'Every case of a run costs calls. More cases than that are a mistake.';

create table if not exists promptctl.test_runs (
    run bigint generated always as identity,
    name text collate "C" not null,
    version integer,
    sha256 promptctl.sha256_hash not null,
    settings_sha256 promptctl.sha256_hash not null,
    against_name text collate "C",
    against_version integer,
    against_sha256 promptctl.sha256_hash,
    against_settings_sha256 promptctl.sha256_hash,
    cases_sha256 promptctl.sha256_hash not null,
    judge promptctl.short_text,
    judge_sha256 promptctl.sha256_hash,
    requested_model promptctl.short_text,
    returned_models text[] not null default '{}',
    margin double precision not null,
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
    new_calls bigint not null default 0,
    kept_replies bigint not null default 0,
    judge_calls bigint not null default 0,
    errors bigint not null default 0,
    input_tokens bigint,
    output_tokens bigint,
    cost double precision,
    is_stale boolean not null default false,
    notes text[] not null default '{}',
    author promptctl.short_text not null,
    database_user text not null default session_user,
    began_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,

    constraint a_run_has_one_number primary key (run),
    constraint a_run_has_the_name_of_a_prompt check (
        name ~ '^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$' and length(name) <= 200),
    constraint a_run_names_an_existing_version foreign key (name, version)
        references promptctl.versions (name, version),
    constraint a_run_is_against_an_existing_version foreign key (against_name, against_version)
        references promptctl.versions (name, version),
    constraint a_baseline_has_a_name_and_a_text check (
        num_nulls(against_name, against_sha256, against_settings_sha256) in (0, 3)
        and (against_version is null or against_name is not null)
        and (length(against_name) <= 200)),
    constraint the_margin_of_a_run_is_from_0_to_1 check (margin between 0 and 1),
    constraint a_run_has_a_known_verdict check (verdict in ('better', 'not worse', 'undecided', 'worse')),
    constraint a_run_ends_with_a_verdict_or_a_failure check (
        case when ended_at is null then verdict is null and failure is null
            else (verdict is null) <> (failure is null) end),
    constraint the_change_of_a_run_is_in_its_interval check (
        lower >= -1 and upper <= 1 and lower <= change and change <= upper),
    constraint the_p_of_a_run_is_from_0_to_1 check (p between 0 and 1),
    constraint the_numbers_of_a_run_are_not_negative check (
        needed_cases >= 0 and needed_repeats >= 0 and new_calls >= 0 and kept_replies >= 0 and judge_calls >= 0
        and errors >= 0 and input_tokens >= 0 and output_tokens >= 0),
    constraint the_cost_of_a_run_is_from_0_to_1e12 check (cost >= 0 and cost <= 1e12),
    constraint the_notes_of_a_run_have_at_most_100_kilobytes check (
        pg_column_size(notes) <= 100000 and pg_column_size(returned_models) <= 100000),
    constraint the_origin_of_a_run_is_an_object check (jsonb_typeof(origin) = 'object')
);

create index if not exists test_runs_by_text on promptctl.test_runs (name, sha256, run);
create index if not exists test_runs_by_prompt on promptctl.test_runs (name, run);

comment on table promptctl.test_runs is
    'Executions of the cases of a prompt against one text, the new one, beside a baseline. A run without ended_at is in '
    'progress or was interrupted. Runs are never deleted.';
comment on column promptctl.test_runs.run is 'The number of the run. Numbers increase and may have gaps.';
comment on column promptctl.test_runs.version is 'The version that was tested; null: a text that was not stored then.';
comment on column promptctl.test_runs.sha256 is 'SHA-256 of the text that was tested, as in versions.';
comment on column promptctl.test_runs.settings_sha256 is
    'SHA-256 of its settings, as versions has them, as text. A text that is stored later has the same.';
comment on column promptctl.test_runs.against_name is 'The prompt of the baseline; null: there was none.';
comment on column promptctl.test_runs.against_version is
    'The version of the baseline; null: there was none, or its text was not stored then.';
comment on column promptctl.test_runs.against_sha256 is 'As sha256, of the baseline.';
comment on column promptctl.test_runs.against_settings_sha256 is 'As settings_sha256, of the baseline.';
comment on column promptctl.test_runs.cases_sha256 is 'SHA-256 of the hashes of all its cases.';
comment on column promptctl.test_runs.judge is 'The prompt that judged replies, NAME@VERSION or built-in; null: none did.';
comment on column promptctl.test_runs.judge_sha256 is 'SHA-256 of the text of the judge; null: none, or several.';
comment on column promptctl.test_runs.requested_model is 'The model that Claude was asked for.';
comment on column promptctl.test_runs.returned_models is 'The models that replied, as Claude named them.';
comment on column promptctl.test_runs.margin is
    'By how much the pass rate may be lower, as a part of 1, for the verdict "not worse".';
comment on column promptctl.test_runs.origin is
    'The repository, commit and folder that the tested text came from; null: not from a folder.';
comment on column promptctl.test_runs.verdict is
    'What was proven of the new text: better, not worse, worse, or undecided; null: the run has not ended, or failed.';
comment on column promptctl.test_runs.failure is 'Why the run ended without a verdict, as a code; null: it has a verdict.';
comment on column promptctl.test_runs.why is 'The reason for the verdict, in words.';
comment on column promptctl.test_runs.change is 'The pass rate of the new text minus that of the baseline, from -1 to 1.';
comment on column promptctl.test_runs.lower is 'The lower end of the interval of the change.';
comment on column promptctl.test_runs.upper is 'The upper end of the interval of the change.';
comment on column promptctl.test_runs.p is
    'How probable a drop of this size is if the new text is as good as the baseline; null: not calculated.';
comment on column promptctl.test_runs.needed_cases is 'For undecided: how many more cases could decide; null: not known.';
comment on column promptctl.test_runs.needed_repeats is
    'For undecided: how many more replies for each case could decide; null: not known.';
comment on column promptctl.test_runs.new_calls is 'How many calls of Claude the run made, without those of the judge.';
comment on column promptctl.test_runs.kept_replies is 'How many replies of earlier runs it used.';
comment on column promptctl.test_runs.judge_calls is 'How many calls of the judge it made.';
comment on column promptctl.test_runs.errors is 'How many replies are missing, because a call failed.';
comment on column promptctl.test_runs.cost is 'The cost of all calls in US dollars; null: a price is not known.';
comment on column promptctl.test_runs.is_stale is
    'Whether replies of the baseline were left out because another model replies now under the same name.';
comment on column promptctl.test_runs.notes is 'What else the program reported.';
comment on column promptctl.test_runs.began_at is 'When the run began.';
comment on column promptctl.test_runs.ended_at is 'When it ended; null: it has not ended.';
comment on index promptctl.test_runs_by_text is 'The last verdict of a version.';
comment on index promptctl.test_runs_by_prompt is 'The runs of one prompt.';
comment on constraint a_run_has_one_number on promptctl.test_runs is 'Replies and results refer to it.';
comment on constraint a_run_has_the_name_of_a_prompt on promptctl.test_runs is
    'The prompt of a folder that was tested may not be stored yet.';
comment on constraint a_run_names_an_existing_version on promptctl.test_runs is
    'A text that is not stored has a hash and no version.';
comment on constraint a_run_is_against_an_existing_version on promptctl.test_runs is
    'A text that is not stored has a hash and no version.';
comment on constraint a_baseline_has_a_name_and_a_text on promptctl.test_runs is
    'A run has a baseline with its hashes, or none.';
comment on constraint the_margin_of_a_run_is_from_0_to_1 on promptctl.test_runs is 'A pass rate is a part of 1.';
comment on constraint a_run_has_a_known_verdict on promptctl.test_runs is 'What a test can prove.';
comment on constraint a_run_ends_with_a_verdict_or_a_failure on promptctl.test_runs is
    'A run in progress has neither, and a run that has ended has one of them.';
comment on constraint the_change_of_a_run_is_in_its_interval on promptctl.test_runs is
    'Pass rates are from 0 to 1, and so their difference is from -1 to 1.';
comment on constraint the_p_of_a_run_is_from_0_to_1 on promptctl.test_runs is 'It is a probability.';
comment on constraint the_numbers_of_a_run_are_not_negative on promptctl.test_runs is
    'A number that is not known is null, never -1.';
comment on constraint the_cost_of_a_run_is_from_0_to_1e12 on promptctl.test_runs is
    'One absurd number would spoil every sum.';
comment on constraint the_notes_of_a_run_have_at_most_100_kilobytes on promptctl.test_runs is
    'Runs are never deleted.';
comment on constraint the_origin_of_a_run_is_an_object on promptctl.test_runs is 'An origin has keys and values.';

create table if not exists promptctl.test_run_cases (
    run bigint not null,
    place integer not null,
    case_hash promptctl.sha256_hash not null,
    baseline_passes integer not null default 0,
    baseline_replies integer not null default 0,
    new_passes integer not null default 0,
    new_replies integer not null default 0,
    errors integer not null default 0,
    is_changed boolean not null default false,
    verdict text,
    p double precision,
    baseline_ids uuid[] not null default '{}',
    new_ids uuid[] not null default '{}',

    constraint a_case_of_a_run_has_one_place primary key (run, place),
    constraint a_case_of_a_run_belongs_to_a_run foreign key (run) references promptctl.test_runs (run),
    constraint a_case_of_a_run_is_stored foreign key (case_hash) references promptctl.test_cases (hash),
    constraint a_run_has_at_most_10000_cases check (place between 1 and 10000),
    constraint passes_are_among_the_replies check (
        baseline_passes >= 0 and baseline_passes <= baseline_replies and new_passes >= 0 and new_passes <= new_replies),
    constraint the_errors_of_a_case_are_not_negative check (errors >= 0),
    constraint a_case_has_a_known_verdict check (verdict in ('better', 'worse')),
    constraint the_p_of_a_case_is_from_0_to_1 check (p between 0 and 1),
    constraint a_case_has_at_most_10000_replies check (cardinality(baseline_ids) + cardinality(new_ids) <= 10000)
);

comment on table promptctl.test_run_cases is
    'The cases that a run ran, and from its end on how many replies passed of how many.';
comment on column promptctl.test_run_cases.run is 'The run.';
comment on column promptctl.test_run_cases.place is 'The position of the case in the run, from 1.';
comment on column promptctl.test_run_cases.case_hash is 'The case, in test_cases.';
comment on column promptctl.test_run_cases.baseline_passes is 'How many replies of the baseline passed.';
comment on column promptctl.test_run_cases.baseline_replies is
    'How many replies of the baseline there are.';
comment on column promptctl.test_run_cases.new_passes is 'How many replies of the new text passed.';
comment on column promptctl.test_run_cases.new_replies is
    'How many replies of the new text there are.';
comment on column promptctl.test_run_cases.errors is 'How many replies are missing, because a call failed. They are in no other number.';
comment on column promptctl.test_run_cases.is_changed is 'Whether the pass rates of the two texts differ.';
comment on column promptctl.test_run_cases.verdict is
    'What was proven of the case alone: better or worse; null: neither.';
comment on column promptctl.test_run_cases.p is
    'How probable this drop of the case is if the new text is as good as the baseline; null: not calculated.';
comment on column promptctl.test_run_cases.baseline_ids is
    'The replies of the baseline, the one to show first. Some may have been dropped since.';
comment on column promptctl.test_run_cases.new_ids is 'As baseline_ids, of the new text.';
comment on constraint a_case_of_a_run_has_one_place on promptctl.test_run_cases is 'Cases are in a line.';
comment on constraint a_case_of_a_run_belongs_to_a_run on promptctl.test_run_cases is 'Each run has a row.';
comment on constraint a_case_of_a_run_is_stored on promptctl.test_run_cases is
    'What a run ran can be read at any later time.';
comment on constraint a_run_has_at_most_10000_cases on promptctl.test_run_cases is 'As a prompt.';
comment on constraint passes_are_among_the_replies on promptctl.test_run_cases is
    'A reply passes or does not pass.';
comment on constraint the_errors_of_a_case_are_not_negative on promptctl.test_run_cases is 'It is a number of replies.';
comment on constraint a_case_has_a_known_verdict on promptctl.test_run_cases is 'What can be proven of one case.';
comment on constraint the_p_of_a_case_is_from_0_to_1 on promptctl.test_run_cases is 'It is a probability.';
comment on constraint a_case_has_at_most_10000_replies on promptctl.test_run_cases is 'Runs are never deleted.';

create table if not exists promptctl.test_failures (
    run bigint not null,
    place integer not null,
    failure_place integer not null,
    label promptctl.short_text not null,
    reason promptctl.reason_text not null,
    times integer not null,

    constraint a_failure_of_a_case_has_one_place primary key (run, place, failure_place),
    constraint a_failure_belongs_to_a_case_of_a_run foreign key (run, place)
        references promptctl.test_run_cases (run, place),
    constraint a_failure_happened_at_least_once check (times >= 1)
);

comment on table promptctl.test_failures is
    'The assertions that replies of the new text did not meet in a run. Reasons may quote replies, so they are dropped '
    'with them.';
comment on column promptctl.test_failures.run is 'The run.';
comment on column promptctl.test_failures.place is 'The position of the case in the run.';
comment on column promptctl.test_failures.failure_place is 'The position of the failure among those of its case, from 1.';
comment on column promptctl.test_failures.label is 'The assertion, for example: contains "30 days".';
comment on column promptctl.test_failures.reason is 'Why a reply did not meet it.';
comment on column promptctl.test_failures.times is 'How many replies did not meet it.';
comment on constraint a_failure_of_a_case_has_one_place on promptctl.test_failures is 'Failures are in a line.';
comment on constraint a_failure_belongs_to_a_case_of_a_run on promptctl.test_failures is
    'Each case of a run has a row.';
comment on constraint a_failure_happened_at_least_once on promptctl.test_failures is
    'An assertion that every reply met has no row.';

create table if not exists promptctl.test_batches (
    id promptctl.short_text not null,
    run bigint not null,
    requests jsonb not null,
    began_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,

    constraint a_batch_is_stored_once primary key (id),
    constraint a_batch_belongs_to_a_run foreign key (run) references promptctl.test_runs (run),
    constraint the_requests_of_a_batch_have_at_most_10_megabytes check (
        jsonb_typeof(requests) = 'object' and pg_column_size(requests) <= 10000000)
);

create index if not exists test_batches_open on promptctl.test_batches (run) where ended_at is null;

comment on table promptctl.test_batches is
    'Batches of messages that runs sent to Claude, so that another process can collect their replies.';
comment on column promptctl.test_batches.id is 'The id that Claude gave the batch.';
comment on column promptctl.test_batches.run is 'The run.';
comment on column promptctl.test_batches.requests is
    'For each request of the batch, by its custom_id, the hashes that its reply is stored with. Empty after the end.';
comment on column promptctl.test_batches.began_at is 'When the batch was stored.';
comment on column promptctl.test_batches.ended_at is 'When all its replies were stored; null: they are not.';
comment on index promptctl.test_batches_open is 'The batches whose replies are not stored. There are few.';
comment on constraint a_batch_is_stored_once on promptctl.test_batches is 'Claude gives each batch its own id.';
comment on constraint a_batch_belongs_to_a_run on promptctl.test_batches is 'Each run has a row.';
comment on constraint the_requests_of_a_batch_have_at_most_10_megabytes on promptctl.test_batches is
    'They are an object of hashes and not of texts.';

create table if not exists promptctl.test_replies (
    id uuid not null,
    run bigint not null,
    case_hash promptctl.sha256_hash not null,
    request_hash promptctl.sha256_hash not null,
    sha256 promptctl.sha256_hash not null,
    model promptctl.short_text not null,
    blocks jsonb not null,
    stop_reason promptctl.short_text,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    response_ms double precision,
    cost double precision,
    recorded_at timestamptz not null default clock_timestamp(),

    constraint a_reply_is_stored_once primary key (id),
    constraint a_reply_belongs_to_a_run foreign key (run) references promptctl.test_runs (run),
    constraint the_case_of_a_reply_is_stored foreign key (case_hash) references promptctl.test_cases (hash),
    constraint a_reply_is_a_list_of_blocks check (jsonb_typeof(blocks) = 'array'),
    constraint a_reply_has_at_most_10_megabytes check (pg_column_size(blocks) <= 10000000),
    constraint the_numbers_of_a_reply_are_not_negative check (
        input_tokens >= 0 and output_tokens >= 0 and cache_read_tokens >= 0 and cache_write_tokens >= 0
        and response_ms >= 0 and response_ms <= 1e12 and cost >= 0 and cost <= 1e12)
);

create index if not exists test_replies_by_request on promptctl.test_replies (request_hash, recorded_at);
create index if not exists test_replies_by_run on promptctl.test_replies (run);
create index if not exists test_replies_by_time on promptctl.test_replies (recorded_at);

comment on table promptctl.test_replies is
    'What Claude returned in runs. Equal requests share their replies: those to the active version are the baseline of '
    'later runs. drop_test_replies deletes old ones, and erasing a version those to its text.';
comment on column promptctl.test_replies.id is 'An id that the client makes, ordered by time (UUID version 7).';
comment on column promptctl.test_replies.run is 'The run that made the call.';
comment on column promptctl.test_replies.case_hash is 'The case, in test_cases.';
comment on column promptctl.test_replies.request_hash is
    'SHA-256 of all arguments of the call in canonical JSON, the model among them.';
comment on column promptctl.test_replies.sha256 is 'SHA-256 of the text of the prompt, as in versions.';
comment on column promptctl.test_replies.model is 'The model that replied, as Claude named it.';
comment on column promptctl.test_replies.blocks is 'The content blocks of the reply.';
comment on column promptctl.test_replies.stop_reason is 'Why the reply ended, as Claude named it.';
comment on column promptctl.test_replies.cache_read_tokens is
    'The part of input_tokens that was read from a cache; null: not reported.';
comment on column promptctl.test_replies.cache_write_tokens is
    'The part of input_tokens that was written to a cache; null: not reported.';
comment on column promptctl.test_replies.cost is 'The cost of the call in US dollars; null: the price is not known.';
comment on index promptctl.test_replies_by_request is 'The last replies to a request.';
comment on index promptctl.test_replies_by_run is 'The replies of one run.';
comment on index promptctl.test_replies_by_time is 'The old replies to drop.';
comment on constraint a_reply_is_stored_once on promptctl.test_replies is
    'A reply that is sent twice with one id is stored once.';
comment on constraint a_reply_belongs_to_a_run on promptctl.test_replies is 'Each run has a row.';
comment on constraint the_case_of_a_reply_is_stored on promptctl.test_replies is 'Each case has a row in test_cases.';
comment on constraint a_reply_is_a_list_of_blocks on promptctl.test_replies is 'Claude returns a list.';
comment on constraint a_reply_has_at_most_10_megabytes on promptctl.test_replies is 'A test holds replies in memory.';
comment on constraint the_numbers_of_a_reply_are_not_negative on promptctl.test_replies is
    'A number that was not reported is null, never 0 or -1.';

create table if not exists promptctl.test_judgements (
    reply_id uuid not null,
    judging_key promptctl.sha256_hash not null,
    judge_sha256 promptctl.sha256_hash not null,
    passed boolean not null,
    score double precision not null,
    reason promptctl.reason_text not null,
    calls integer not null,
    cost double precision,
    model promptctl.short_text not null,
    recorded_at timestamptz not null default clock_timestamp(),

    constraint a_judging_key_judges_a_reply_once primary key (reply_id, judging_key, model),
    constraint a_judgement_belongs_to_a_reply foreign key (reply_id) references promptctl.test_replies (id)
        on delete cascade,
    constraint the_score_of_a_judgement_is_from_0_to_1 check (score between 0 and 1),
    constraint the_numbers_of_a_judgement_are_not_negative check (
        calls >= 1 and cost >= 0 and cost <= 1e12)
);

comment on table promptctl.test_judgements is
    'Judgements of replies. Reasons may quote replies, so they are dropped with them.';
comment on column promptctl.test_judgements.reply_id is 'The reply.';
comment on column promptctl.test_judgements.judging_key is
    'SHA-256 of what the judgement depends on besides the reply: the judge''s text, settings and model, and the assertion.';
comment on column promptctl.test_judgements.judge_sha256 is 'SHA-256 of the text of the judge, as in versions.';
comment on column promptctl.test_judgements.passed is 'Whether the reply meets the assertion.';
comment on column promptctl.test_judgements.score is 'How well it meets the assertion, from 0 to 1.';
comment on column promptctl.test_judgements.calls is 'How many calls of the judge it took.';
comment on column promptctl.test_judgements.cost is 'The cost of the calls in US dollars; null: the price is not known.';
comment on column promptctl.test_judgements.model is 'The model that judged, as Claude named it.';
comment on constraint a_judging_key_judges_a_reply_once on promptctl.test_judgements is
    'Of two runs that judge one reply with one model at the same time, the first one''s judgement is kept.';
comment on constraint a_judgement_belongs_to_a_reply on promptctl.test_judgements is 'It is dropped with the reply.';
comment on constraint the_score_of_a_judgement_is_from_0_to_1 on promptctl.test_judgements is
    'Scores of all assertions are averaged.';
comment on constraint the_numbers_of_a_judgement_are_not_negative on promptctl.test_judgements is
    'A cost that is not known is null.';

create or replace function promptctl.before_test_cases() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.hash := sha256(convert_to(new.definition, 'UTF8'));
    new.created_at := clock_timestamp();
    return new;
end
$$;

comment on function promptctl.before_test_cases is 'Calculates the hash of a new case.';

create or replace function promptctl.before_test_runs() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.before_test_runs is
    'Refuses to change a run that has ended, or what a run tests, and sets when a run ends.';

create or replace function promptctl.before_test_run_cases() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from promptctl.test_runs r where r.run = new.run and r.ended_at is not null)
        or tg_op = 'UPDATE' and (new.run, new.place, new.case_hash) is distinct from (old.run, old.place, old.case_hash) then
        raise exception using errcode = 'restrict_violation', constraint = tg_name,
            message = format('the cases of run %s do not change', new.run);
    end if;
    return new;
end
$$;

comment on function promptctl.before_test_run_cases is
    'Refuses other cases or results for a run that has ended, and other cases for a run that has begun.';

create or replace trigger cases_are_written_by_functions before insert on promptctl.test_cases
    for each statement execute function promptctl.refuse_outside_functions('cases are written by set_cases and begin_test_run');
create or replace trigger the_hash_of_a_case_is_set_by_the_database before insert on promptctl.test_cases
    for each row execute function promptctl.before_test_cases();
create or replace trigger a_case_never_changes before update or delete on promptctl.test_cases
    for each row execute function promptctl.refuse('a case never changes');
create or replace trigger cases_are_never_truncated before truncate on promptctl.test_cases
    for each statement execute function promptctl.refuse('a case never changes');
create or replace trigger lists_of_cases_are_written_by_set_cases before insert or update or delete on promptctl.prompt_tests
    for each statement execute function promptctl.refuse_outside_functions('the cases of a prompt are written by set_cases');
create or replace trigger lists_of_cases_are_never_truncated before truncate on promptctl.prompt_tests
    for each statement execute function promptctl.refuse('the cases of a prompt are written by set_cases');
create or replace trigger cases_of_prompts_are_written_by_set_cases
    before insert or update or delete on promptctl.prompt_cases
    for each statement execute function promptctl.refuse_outside_functions('the cases of a prompt are written by set_cases');
create or replace trigger cases_of_prompts_are_never_truncated before truncate on promptctl.prompt_cases
    for each statement execute function promptctl.refuse('the cases of a prompt are written by set_cases');
create or replace trigger runs_are_written_by_functions before insert or update on promptctl.test_runs
    for each statement execute function promptctl.refuse_outside_functions('runs are written by begin_test_run and end_test_run');
create or replace trigger a_run_that_ended_never_changes before update on promptctl.test_runs
    for each row execute function promptctl.before_test_runs();
create or replace trigger a_run_is_never_deleted before delete on promptctl.test_runs
    for each row execute function promptctl.refuse('a run cannot be deleted');
create or replace trigger runs_are_never_truncated before truncate on promptctl.test_runs
    for each statement execute function promptctl.refuse('a run cannot be deleted');
create or replace trigger results_are_written_by_functions before insert or update on promptctl.test_run_cases
    for each statement execute function promptctl.refuse_outside_functions('results are written by begin_test_run and end_test_run');
create or replace trigger the_cases_of_a_run_never_change before insert or update on promptctl.test_run_cases
    for each row execute function promptctl.before_test_run_cases();
create or replace trigger a_result_is_never_deleted before delete on promptctl.test_run_cases
    for each row execute function promptctl.refuse('a run cannot be deleted');
create or replace trigger results_are_never_truncated before truncate on promptctl.test_run_cases
    for each statement execute function promptctl.refuse('a run cannot be deleted');
create or replace trigger failures_are_written_by_end_test_run before insert or delete on promptctl.test_failures
    for each statement execute function promptctl.refuse_outside_functions('failures are written by end_test_run');
create or replace trigger a_failure_never_changes before update on promptctl.test_failures
    for each row execute function promptctl.refuse('a run that has ended does not change');
create or replace trigger failures_are_never_truncated before truncate on promptctl.test_failures
    for each statement execute function promptctl.refuse('a run that has ended does not change');
create or replace trigger batches_are_written_by_functions before insert or update or delete on promptctl.test_batches
    for each statement execute function promptctl.refuse_outside_functions(
        'batches are written by record_test_batch and end_test_batch');
create or replace trigger batches_are_never_truncated before truncate on promptctl.test_batches
    for each statement execute function promptctl.refuse('batches are written by record_test_batch and end_test_batch');
create or replace trigger replies_are_written_by_functions before insert or delete on promptctl.test_replies
    for each statement execute function promptctl.refuse_outside_functions(
        'replies are written by record_test_replies: drop_test_replies deletes old ones');
create or replace trigger a_reply_never_changes before update on promptctl.test_replies
    for each row execute function promptctl.refuse('a reply never changes');
create or replace trigger replies_are_never_truncated before truncate on promptctl.test_replies
    for each statement execute function promptctl.refuse('a reply never changes: drop_test_replies deletes old ones');
create or replace trigger judgements_are_written_by_functions before insert or delete on promptctl.test_judgements
    for each statement execute function promptctl.refuse_outside_functions(
        'judgements are written by record_test_judgements: drop_test_replies deletes old ones');
create or replace trigger a_judgement_never_changes before update on promptctl.test_judgements
    for each row execute function promptctl.refuse('a judgement never changes');
create or replace trigger judgements_are_never_truncated before truncate on promptctl.test_judgements
    for each statement execute function promptctl.refuse('a judgement never changes: drop_test_replies deletes old ones');

comment on trigger cases_are_written_by_functions on promptctl.test_cases is 'Each case belongs to a prompt or a run.';
comment on trigger the_hash_of_a_case_is_set_by_the_database on promptctl.test_cases is
    'A case is found by the hash of its definition.';
comment on trigger a_case_never_changes on promptctl.test_cases is 'A run names what it ran.';
comment on trigger cases_are_never_truncated on promptctl.test_cases is 'Row triggers do not fire for truncate.';
comment on trigger lists_of_cases_are_written_by_set_cases on promptctl.prompt_tests is
    'A list of cases is replaced as a whole.';
comment on trigger lists_of_cases_are_never_truncated on promptctl.prompt_tests is
    'A list of cases is replaced as a whole.';
comment on trigger cases_of_prompts_are_written_by_set_cases on promptctl.prompt_cases is
    'A list of cases is replaced as a whole.';
comment on trigger cases_of_prompts_are_never_truncated on promptctl.prompt_cases is
    'A list of cases is replaced as a whole.';
comment on trigger runs_are_written_by_functions on promptctl.test_runs is 'Nobody can add a run that did not happen.';
comment on trigger a_run_that_ended_never_changes on promptctl.test_runs is
    'A verdict stays as it was. The database sets when the run ended.';
comment on trigger a_run_is_never_deleted on promptctl.test_runs is 'A verdict can be read at any later time.';
comment on trigger runs_are_never_truncated on promptctl.test_runs is 'Row triggers do not fire for truncate.';
comment on trigger results_are_written_by_functions on promptctl.test_run_cases is
    'Nobody can add a result that did not happen.';
comment on trigger the_cases_of_a_run_never_change on promptctl.test_run_cases is 'A run names what it ran.';
comment on trigger a_result_is_never_deleted on promptctl.test_run_cases is 'A verdict rests on its results.';
comment on trigger results_are_never_truncated on promptctl.test_run_cases is 'Row triggers do not fire for truncate.';
comment on trigger failures_are_written_by_end_test_run on promptctl.test_failures is
    'Nobody can add a failure that did not happen.';
comment on trigger a_failure_never_changes on promptctl.test_failures is 'A failure stays as it was recorded.';
comment on trigger failures_are_never_truncated on promptctl.test_failures is 'Row triggers do not fire for truncate.';
comment on trigger batches_are_written_by_functions on promptctl.test_batches is
    'A batch that is lost would be paid for and not be used.';
comment on trigger batches_are_never_truncated on promptctl.test_batches is
    'A batch that is lost would be paid for and not be used.';
comment on trigger replies_are_written_by_functions on promptctl.test_replies is
    'Nobody can add a reply that Claude did not return.';
comment on trigger a_reply_never_changes on promptctl.test_replies is 'A reply stays as Claude returned it.';
comment on trigger replies_are_never_truncated on promptctl.test_replies is 'Row triggers do not fire for truncate.';
comment on trigger judgements_are_written_by_functions on promptctl.test_judgements is
    'Nobody can add a judgement that no judge made.';
comment on trigger a_judgement_never_changes on promptctl.test_judgements is 'A judgement stays as it was recorded.';
comment on trigger judgements_are_never_truncated on promptctl.test_judgements is
    'Row triggers do not fire for truncate.';

create or replace function promptctl.add_test_cases(definitions text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.add_test_cases is 'Stores the cases that are not stored yet.';

-- enable_seqscan, enable_hashjoin: a sync stores the cases of a thousand prompts in one transaction, and the plans that are
-- made for empty tables would read all cases for each of them.
create or replace function promptctl.set_cases(name text, definitions text[], margin double precision default null,
                                               author text default null)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s'
set enable_seqscan = off set enable_hashjoin = off as $$
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

comment on function promptctl.set_cases is
    'Replaces the cases of a prompt by these, in their order, and its margin. Each definition is a JSON object in its '
    'canonical text. Without cases and a margin, the prompt has no tests. Returns whether anything changed.';

create or replace function promptctl.require_open_test_run(run bigint) returns promptctl.test_runs
language plpgsql set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.require_open_test_run is
    'The run, locked against its end. Refuses a number that no run has, and a run that has ended.';

create or replace function promptctl.is_erased_text(name text, version integer, sha256 bytea) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.is_erased_text is
    'Whether a version was erased. Without a version: whether the prompt had the text with this hash and every version of '
    'it was erased; without a name, of all prompts. Another prompt may still have the text of an erased version.';

create or replace function promptctl.begin_test_run(run jsonb, definitions text[], author text default null)
returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s'
set enable_seqscan = off set enable_hashjoin = off as $$
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

comment on function promptctl.begin_test_run is
    'Begins a run with these cases, and returns its number. run is a JSON object with name, version or sha256 and settings, '
    'the same of the baseline (against_name ...), cases_sha256, judge, judge_sha256, requested_model, margin and origin. '
    'Hashes are hexadecimal.';

create or replace function promptctl.record_test_batch(run bigint, id text, requests jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

comment on function promptctl.record_test_batch is
    'Stores the id of a batch of messages of a run that has not ended, and its requests, so that another process can '
    'collect the replies. A batch that is sent twice is stored once.';

create or replace function promptctl.end_test_batch(id text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

comment on function promptctl.end_test_batch is
    'Ends a batch whose replies are stored. Returns false where it had ended, or is not stored.';

create or replace function promptctl.record_test_replies(run bigint, sha256 text, replies jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

comment on function promptctl.record_test_replies is
    'Stores replies to a text of a run that has not ended, all or none, and returns how many were not stored before. '
    'replies is a JSON array of objects with id, case_hash, request_hash, model, blocks, stop_reason, input_tokens, '
    'output_tokens, cache_read_tokens, cache_write_tokens, response_ms and cost. sha256 is that of the text of the prompt. '
    'Hashes are hexadecimal.';

create or replace function promptctl.record_test_judgements(judge_sha256 text, judgements jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

comment on function promptctl.record_test_judgements is
    'Stores the judgements of stored replies by one judge, all or none, and returns how many were not stored before. judgements is '
    'a JSON array of objects with reply_id, judging_key, passed, score, reason, calls, cost and model; judge_sha256 is that of '
    'the text of the judge. Hashes are hexadecimal. A judgement of a reply that was dropped is left out.';

create or replace function promptctl.end_test_run(run bigint, outcome jsonb, cases jsonb default '[]') returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
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

comment on function promptctl.end_test_run is
    'Ends a run. outcome is a JSON object with the columns of test_runs from verdict on, cases a JSON array of objects '
    'with place, the columns of test_run_cases, and failures, a list of objects with label, reason and times.';

create or replace function promptctl.drop_test_replies(before timestamptz, at_most integer default 10000) returns bigint
language plpgsql strict security definer set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.drop_test_replies is
    'Deletes replies that were recorded before a time, with their judgements, at most this many, and returns how many. The '
    'last call also deletes the failures of runs that ended before. Runs and their results stay.';

create or replace view promptctl.version_verdicts as
select v.name, v.version, r.run, r.verdict, r.against_name, r.against_version, r.change, r.lower, r.upper, r.ended_at,
       r.author::text
from promptctl.versions v
cross join lateral (
    select t.* from promptctl.test_runs t
    where t.name = v.name and t.sha256 = v.sha256 and t.verdict is not null
      -- A run without a baseline that breaks no critical case compares nothing: it only keeps replies.
      and (t.against_name is not null or t.verdict <> 'undecided')
      and (t.version = v.version or t.settings_sha256 = sha256(convert_to(v.settings::text, 'UTF8')))
    -- A run of some of the cases does not replace one of all cases that the prompt has now.
    order by exists (
        select from promptctl.prompt_cases p
        where p.name = t.name
          and not exists (select from promptctl.test_run_cases c where c.run = t.run and c.case_hash = p.hash)
    ), t.run desc limit 1
) r;

comment on view promptctl.version_verdicts is
    'The last verdict of each version that was tested, also before it was stored: a run of the same text and settings. A run '
    'of all cases that the prompt has now comes before a run of some of them.';
comment on column promptctl.version_verdicts.run is 'The run, in test_runs. The other columns are from there.';
comment on column promptctl.version_verdicts.verdict is 'better, not worse, worse or undecided.';
comment on column promptctl.version_verdicts.against_name is 'The prompt of the baseline; null: there was none.';
comment on column promptctl.version_verdicts.against_version is 'The version of the baseline.';
comment on column promptctl.version_verdicts.change is 'The pass rate of the version minus that of the baseline.';
comment on column promptctl.version_verdicts.lower is 'The lower end of the interval of the change.';
comment on column promptctl.version_verdicts.upper is 'The upper end of the interval of the change.';
comment on column promptctl.version_verdicts.ended_at is 'When the run ended.';



create or replace function promptctl.grant_access(login text, access text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
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

comment on function promptctl.grant_access is
    'Grants a login role exactly what it needs and revokes the rest: viewer reads, except the replies in runs of tests; '
    'reviewer reads all; application resolves and records; ticker reads as viewer, rolls up uses and ticks rollouts; '
    'operator reads all, resolves, records, creates, activates, rolls back, archives, syncs, tests and controls rollouts.';

revoke all on all routines in schema promptctl from public;
revoke all on all tables in schema promptctl from public;
revoke all on schema promptctl from public;

commit;
