-- promptctl: from schema version 8 to version 9: requests of versions.
--
-- `promptctl db migrate` runs it. It is one transaction: it either happens entirely or not at all. No table is rewritten.
-- It only adds: what applications of versions 4 to 8 call keeps its name, its arguments and its columns. Versions that are
-- stored are not changed.

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
    if installed is distinct from 8 then
        raise exception using errcode = 'object_not_in_prerequisite_state', constraint = 'schema_version_matches',
            message = format('database "%s" has schema version %s, and this migration starts from version 8',
                             current_database(), coalesce(installed::text, 'unknown')),
            detail = coalesce(installed::text, '');
    end if;
end
$$;

-- This lock conflicts with vacuum, which then ends, but not with programs that read or write.
lock table promptctl.versions in share update exclusive mode;

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

revoke all on all routines in schema promptctl from public;

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

-- Programs wait while this session waits for this lock. So it waits at most 300 ms, gives up, and tries again.
do $$
declare
    attempt integer := 0;
begin
    perform set_config('lock_timeout', '300ms', true);
    loop
        begin
            lock table promptctl.versions in access exclusive mode;
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

alter table promptctl.versions drop constraint settings_have_at_most_1_megabyte;
alter table promptctl.versions
    add constraint settings_have_at_most_1_megabyte check (
        case when settings ? 'request' then pg_column_size(settings - 'request') <= 1000000
            else pg_column_size(settings) <= 1000000 end) not valid,
    add constraint a_request_is_an_object check (
        case when settings ? 'request'
            then case when jsonb_typeof(settings -> 'request') = 'string'
                      then jsonb_typeof((settings ->> 'request')::jsonb) = 'object' else false end
            else true end) not valid,
    add constraint a_request_has_at_most_1_megabyte check (octet_length(settings ->> 'request') <= 1000000) not valid,
    add constraint a_request_has_at_most_100_levels check (
        case when settings ? 'request'
            then not jsonb_path_exists((settings ->> 'request')::jsonb,
                                       'strict $.**{100} ? (@.type() == "object" || @.type() == "array")')
            else true end) not valid,
    add constraint a_request_has_no_other_settings check (
        case when settings ? 'request'
            then not (settings ->> 'request')::jsonb ?| '{model,max_tokens,system,stream,metadata}'
            else true end) not valid,
    add constraint the_numbers_of_a_request_are_finite check (
        case when settings ? 'request'
            then not jsonb_path_exists((settings ->> 'request')::jsonb,
                'strict $.** ? (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308)')
            else true end) not valid,
    add constraint the_messages_of_a_request_have_a_role_and_content check (
        case when (settings ->> 'request')::jsonb ? 'messages'
            then coalesce(jsonb_path_exists((settings ->> 'request')::jsonb, 'strict $.messages[0]', '{}', true), false)
                and not jsonb_path_exists((settings ->> 'request')::jsonb, 'strict $.messages[*] ? (
                    !((@.role == "user" || @.role == "assistant")
                        && (@.content.type() == "string" || @.content.type() == "array"))
                    || ((@.role == "user" || @.role == "assistant")
                        && (@.content.type() == "string" || @.content.type() == "array")) is unknown)')
            else true end) not valid,
    add constraint a_cache_lasts_5m_or_1h check (coalesce(settings -> 'cache', '"5m"') in ('"5m"', '"1h"')) not valid;
-- Programs wait while these rules are checked, so one scan checks them all. Until version 8, settings could have any value for
-- the keys request and cache. A version with a value that breaks a rule keeps it: then the rules name the versions with these
-- keys, so that they can be archived and erased like any other.
do $$
declare
    old_versions uuid[];
    rule text;
    condition text;
begin
    begin
        alter table promptctl.versions
            validate constraint settings_have_at_most_1_megabyte,
            validate constraint a_request_is_an_object,
            validate constraint a_request_has_at_most_1_megabyte,
            validate constraint a_request_has_at_most_100_levels,
            validate constraint a_request_has_no_other_settings,
            validate constraint the_numbers_of_a_request_are_finite,
            validate constraint the_messages_of_a_request_have_a_role_and_content,
            validate constraint a_cache_lasts_5m_or_1h;
        return;
    exception when check_violation or data_exception or statement_too_complex then
        old_versions := array(
            select v.id from promptctl.versions v where v.settings ?| '{request,cache}' order by v.id);
    end;
    if old_versions <> '{}' then
        foreach rule in array array[
            'a_request_is_an_object', 'a_request_has_at_most_1_megabyte', 'a_request_has_at_most_100_levels',
            'a_request_has_no_other_settings', 'the_numbers_of_a_request_are_finite',
            'the_messages_of_a_request_have_a_role_and_content', 'a_cache_lasts_5m_or_1h'] loop
            select format('case when id = any (%L) then true else %s end', old_versions, pg_get_expr(c.conbin, c.conrelid))
            into condition from pg_constraint c where c.conrelid = 'promptctl.versions'::regclass and c.conname = rule;
            execute format('alter table promptctl.versions drop constraint %I', rule);
            execute format('alter table promptctl.versions add constraint %I check (%s) not valid', rule, condition);
        end loop;
    end if;
    alter table promptctl.versions
        validate constraint a_request_is_an_object,
        validate constraint a_request_has_at_most_1_megabyte,
        validate constraint a_request_has_at_most_100_levels,
        validate constraint a_request_has_no_other_settings,
        validate constraint the_numbers_of_a_request_are_finite,
        validate constraint the_messages_of_a_request_have_a_role_and_content,
        validate constraint a_cache_lasts_5m_or_1h;
    begin
        alter table promptctl.versions validate constraint settings_have_at_most_1_megabyte;
    exception when check_violation then null;
    end;
end
$$;

comment on column promptctl.versions.settings is
    'What a version carries besides its content: template, variables, model, max_tokens, cache, request. The request is a '
    'JSON object as text, because jsonb does not keep the order of keys: (settings ->> ''request'')::json.';
comment on constraint settings_have_at_most_1_megabyte on promptctl.versions is
    'Clients hold settings in memory. The request has a limit of its own.';
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
comment on function promptctl.json_number is
    'A JSON number as Python writes it: an integer as it is, any other as the shortest decimal that Python reads as the '
    'same double. A number that is too large for a double stays as it is.';
comment on function promptctl.request_text is
    'The text of a request, as it is stored: one space after each colon and comma, no other, the keys in their order, '
    'and numbers as json_number writes them. Requests are equal if these texts are. It takes the value of '
    'settings.request: a text, or an object.';
comment on function promptctl.stored_settings is
    'Settings as they are stored: the request is a text, because jsonb does not keep the order of keys. A request '
    'without keys is left out.';
comment on function promptctl.message_texts is
    'The texts in the messages of a request that are templates, in order: content, or the text of each block of type '
    'text, and the same in the content of each block of type tool_result.';
comment on function promptctl.template_variables is
    'The variables of a version, each once, in the order of their first occurrences: those of the text, then those of the '
    'messages in the request. In the style braces a variable '
    'is {path}, but not {{path}}, not directly after one of $@#%^, and not as an argument of a LaTeX command. In the '
    'style mustache it is {{path}}. In the style none there are no variables. A path is identifiers joined by dots; an '
    'identifier has ASCII letters, digits and _.';
comment on function promptctl.create_version is
    'Stores a text as the next version, or under a number that is not used yet. Without a number, and if versions in '
    'use have the same text and settings, it returns the newest of them. settings.request is an object, or the text of '
    'one, which keeps the order of its keys.';

update promptctl.installation set version = 9, release = '0.1.0';

commit;
