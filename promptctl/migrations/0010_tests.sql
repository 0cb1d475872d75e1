-- promptctl: from schema version 9 to version 10: cases, runs and replies of tests.
--
-- `promptctl db migrate` runs it. It is one transaction: it either happens entirely or not at all. No table is rewritten.
-- It only adds: what applications of versions 4 to 9 call keeps its name, its arguments and its columns.

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
    if installed is distinct from 9 then
        raise exception using errcode = 'object_not_in_prerequisite_state', constraint = 'schema_version_matches',
            message = format('database "%s" has schema version %s, and this migration starts from version 9',
                             current_database(), coalesce(installed::text, 'unknown')),
            detail = coalesce(installed::text, '');
    end if;
end
$$;

-- The foreign keys of the new tables need these locks, with which reading goes on. Writers wait while this session waits for
-- them. So it waits at most 300 ms, gives up, and tries again.
do $$
declare
    attempt integer := 0;
begin
    perform set_config('lock_timeout', '300ms', true);
    loop
        begin
            lock table promptctl.served, promptctl.versions in share row exclusive mode;
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

create table promptctl.test_cases (
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

create table promptctl.prompt_tests (
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

create table promptctl.prompt_cases (
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

create table promptctl.test_runs (
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

create index test_runs_by_text on promptctl.test_runs (name, sha256, run);
create index test_runs_by_prompt on promptctl.test_runs (name, run);

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

create table promptctl.test_run_cases (
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

create table promptctl.test_failures (
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

create table promptctl.test_batches (
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

create index test_batches_open on promptctl.test_batches (run) where ended_at is null;

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

create table promptctl.test_replies (
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

create index test_replies_by_request on promptctl.test_replies (request_hash, recorded_at);
create index test_replies_by_run on promptctl.test_replies (run);
create index test_replies_by_time on promptctl.test_replies (recorded_at);

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

create table promptctl.test_judgements (
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

-- A login gets what is new, by the access that it has: activate is for operators, tick_rollout for tickers, record_uses for
-- applications, and the table served for viewers.
do $$
declare
    login record;
begin
    for login in
        select r.rolname as name,
               case when bool_or(g.object = 'activate') then 'operator'
                    when bool_or(g.object = 'tick_rollout') then 'ticker'
                    when bool_or(g.object = 'record_uses') then 'application' else 'viewer' end as access
        from (select a.grantee, p.proname as object, p.proowner as owner
              from pg_catalog.pg_proc p cross join aclexplode(p.proacl) a
              where p.pronamespace = 'promptctl'::regnamespace
                and p.proname in ('activate', 'tick_rollout', 'record_uses')
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

update promptctl.installation set version = 10, release = '0.1.0';

commit;
