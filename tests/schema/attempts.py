"""For each rule of schema.sql, raw SQL with which the owner tries to break it in a database with sample prompts."""

from __future__ import annotations

from dataclasses import dataclass

NOT_UNIQUE, CHECK, FOREIGN_KEY, RESTRICT = "23505", "23514", "23503", "23001"
NO_DATA, INVALID, NULL = "P0002", "22023", "23502"

# Some triggers correct a value before a check constraint sees it. Without the triggers, the check must refuse it.
_TRIGGERS_OFF = "alter table promptctl.{} disable trigger user; "
_SERVED_OFF = _TRIGGERS_OFF.format("served")
_ALLOCATIONS_OFF = _TRIGGERS_OFF.format("allocations")
_CORRECTIONS_OFF = _TRIGGERS_OFF.format("corrections")


@dataclass(frozen=True)
class Attempt:
    """Statements that break a rule. The error has the name of the rule, or `error_name` if that is set."""

    rule: str
    sql: str
    sqlstate: str
    error_name: str | None = None


def _name(value: str) -> str:
    return f"insert into promptctl.served (name) values ({value})"


def _version(**columns: str) -> str:
    values = {"name": "'greeter'", "version": "9", "content": "'x'"} | columns
    return f"insert into promptctl.versions ({', '.join(values)}) values ({', '.join(values.values())})"


# Version 1 of greeter, which is not served, is erased.
_REASON = "select set_config('promptctl.reason', 'a key in it', true); "
_ERASED = "select promptctl.erase('greeter', 1, 'me', 'a key in it'); "
_ARCHIVED_IDLE = "select promptctl.archive('{idle}', '{null}'); "


def _use(**columns: str) -> str:
    values = {"id": "gen_random_uuid()", "name": "'greeter'", "version": "1", "epoch": "1"} | columns
    return f"insert into promptctl.uses ({', '.join(values)}) values ({', '.join(values.values())})"


def _request(text: str) -> str:
    """Return settings whose request is this text."""
    return f"jsonb_build_object('request', '{text}'::text)"


def _nested(brackets: str, levels: int) -> str:
    """Return the text of a request with so many levels inside."""
    inner = brackets[:-1]
    return f"'{{\"x\": ' || repeat('{inner}', {levels}) || '1' || repeat('{brackets[-1]}', {levels}) || '}}'"


# The arrays that record_uses expects, for two uses.
_FIELDS = {
    "ids": "array[gen_random_uuid(), gen_random_uuid()]", "names": "'{greeter,greeter}'", "versions": "'{1,1}'",
    "epochs": "'{1,1}'", "ages_ms": "'{5,0}'", "buckets": "'{7,null}'", "models": "'{m,null}'",
    "input_tokens": "'{5,null}'", "output_tokens": "'{5,null}'", "cache_read_tokens": "'{1,null}'",
    "cache_write_tokens": "'{1,null}'", "response_ms": "'{5,null}'", "first_token_ms": "'{5,null}'",
    "outcomes": "'{ok,ok}'", "scores": "'{0.5,null}'", "request_ids": "'{r,null}'",
    "trace_ids": "array[gen_random_uuid(), null]",
}  # fmt: skip
_FALLBACK_FIELDS = ("ids", "names", "ages_ms", "models", "input_tokens", "output_tokens", "response_ms", "outcomes")


def _uses(**fields: str) -> str:
    arguments = _FIELDS | fields
    return f"select promptctl.record_uses({', '.join(f'{name} => {value}' for name, value in arguments.items())})"


def _calls(**fields: str) -> str:
    arguments = {name: _FIELDS[name] for name in _FALLBACK_FIELDS} | fields
    return f"select promptctl.record_fallbacks({', '.join(f'{name} => {value}' for name, value in arguments.items())})"


def _total(grain: str = "'all'") -> str:
    return (
        _TRIGGERS_OFF.format("totals")
        + "insert into promptctl.totals (grain, name, version, starts_at, is_ok, size, uses, without_unit, with_tokens,"
        + " with_both, with_input, with_output, with_response, with_first_token, with_score)"
        + f" select {grain}, 'greeter', 1, now(), true, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1 from generate_series(1, 2)"
    )


_BUCKET_TOTALS = (
    "insert into promptctl.bucket_totals select 'greeter', 2, 1, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 "
    "from generate_series(1, 2)"
)
_score = (
    "insert into promptctl.scores (use_id, place, name, version, used_at, is_ok, size, score) select id, place, name, "
    "version, recorded_at, true, 0, {} from promptctl.uses, generate_series(1, 2) p (place) limit {}"
)
_SCORES_OFF = _TRIGGERS_OFF.format("scores")
_ROLL_UP_OFF = _TRIGGERS_OFF.format("roll_up")

# Version 9 of greeter needs a variable that the active version does not.
_NEW_VARIABLE = "select promptctl.create_version('greeter', 'Greet {user.name} and {user.name}.', version => 9); "
_ALLOWED_BEFORE = (
    "select promptctl.activate('{greeter}', '{9}', allow_new_variables => true); "
    "select promptctl.activate('{greeter}', '{2}'); "
)


# Greeter has an open rollout from version 2 to version 1.
_STARTED = "select promptctl.start_rollout('greeter', 1); "
_WRITING = "select set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true); "
_ROLLOUTS_OFF = _STARTED + _TRIGGERS_OFF.format("rollouts")


def _start(**arguments: str) -> str:
    values = {"name": "'greeter'", "candidate": "1"} | arguments
    return f"select promptctl.start_rollout({', '.join(f'{name} => {value}' for name, value in values.items())})"


def _second_rollout(changes: str) -> str:
    return (
        _ROLLOUTS_OFF
        + "insert into promptctl.rollouts overriding system value select (jsonb_populate_record(r, "
        + f"""'{changes}')).* from promptctl.rollouts r"""
    )


def _change_rollout(changes: str) -> str:
    return f"{_ROLLOUTS_OFF}update promptctl.rollouts set {changes}"


def _add_to_rollout(table: str, columns: str, values: str, repeats: int = 1) -> str:
    return (
        _STARTED + _TRIGGERS_OFF.format(table) + f"insert into promptctl.{table} (rollout, {columns}) "
        f"select r.rollout, {values} from promptctl.rollouts r, generate_series(1, {repeats})"
    )


_ID = "gen_random_uuid()"


def _large(size: int) -> str:
    """Return a JSON object of more than `size` bytes."""
    return f"jsonb_build_object('x', repeat('x', {size}))"


def _serve(name: str, changes: str) -> str:
    return f"update promptctl.served set {changes} where name = '{name}'"


def _update(changes: str) -> str:
    return f"update promptctl.versions set {changes} where name = 'greeter' and version = 1"


def _route(step: str) -> str:
    return f"update promptctl.served set route = '[{step}]' where name = 'greeter'"


_allocation = (
    "insert into promptctl.allocations (name, epoch, kind, basis_points, author, release) values ({}, 0, 'me', {})"
)
_correction = (
    "insert into promptctl.corrections (name, version, epoch, kind, author) values ('greeter', {}, 1, {}, 'me')"
)
_release = "insert into promptctl.releases (kind, author, {}) overriding system value values ({})"

ATTEMPTS = [
    # installation
    Attempt("an_installation_is_recorded_once",
            "insert into promptctl.installation select * from promptctl.installation", NOT_UNIQUE),
    Attempt("there_is_one_installation",
            "insert into promptctl.installation select false, version, id, now(), 1, '' from promptctl.installation",
            CHECK),
    *(
        Attempt("a_route_is_a_list_of_steps", f"update promptctl.served set route = '{route}'", CHECK)
        for route in (
            *(
                f'[{{"when": {{"a": {number}}}, "use": "idle"}}]'
                for number in ("0.10000000000000000001", "4e-324", "1e-400", "9007199254740992.5")
            ),
            "{}", "[]", "null", "1", "[1]", "[[]]", '[[{"when": {"a": 1}, "use": "idle"}]]', '[{"when": {"a": 1}}]',
            '[{"use": "idle"}]', '[{"when": {}, "use": "idle"}]', '[{"when": [], "use": "idle"}]',
            '[{"when": {"a": null}, "use": "idle"}]', '[{"when": {"a": [1]}, "use": "idle"}]',
            '[{"when": {"a": {"b": 1}}, "use": "idle"}]', '[{"when": {"a": 1}, "use": 1}]',
            '[{"when": {"a": 1}, "use": "idle@0"}]', '[{"when": {"a": 1}, "use": "idle@2147483648"}]',
            '[{"when": {"a": 1}, "use": "idle@1@2"}]', '[{"when": {"a": 1}, "use": "idle", "x": 1}]',
            "[" + ", ".join(['{"when": {"a": 1}, "use": "idle"}'] * 101) + "]",
        )
    ),
    # served: names
    Attempt("a_prompt_has_one_row", _name("'greeter'"), NOT_UNIQUE),
    *(
        Attempt("a_name_is_segments_joined_by_slashes", _name(name), CHECK)
        for name in (
            "'/a'", "'a/'", "'a//b'", "'a b'", "'.hidden'", "'a/.hidden'", "'-a'", r"E'a\n'", r"E'a\nb'", "'zoë'",
            "'../a'", "'a@1'", r"'a\b'", "U&'\\FEFFa'",
        )
    ),
    Attempt("a_name_has_at_most_200_characters", _name("repeat('a', 201)"), CHECK),
    Attempt("a_name_is_not_a_number", _name("'123'"), CHECK),
    Attempt("a_name_is_not_a_number", _name("''"), CHECK),
    *(
        Attempt("a_name_has_no_segment_like_a_file_name", _name(name), CHECK)
        for name in ("'v3.txt'", "'a/V12.MD'", "'v1.md/a'", "'prompt.yaml'", "'a/Prompt.YML/b'")
    ),
    Attempt("names_differ_in_more_than_case", _name("'Greeter'"), NOT_UNIQUE),
    # served: active versions, candidates and routes
    Attempt("a_split_needs_an_active_version", _serve("idle", "candidate_version = 1"), CHECK),
    Attempt("a_candidate_is_not_the_active_version", _serve("greeter", "candidate_version = 2"), CHECK),
    Attempt("a_share_is_at_most_10000_basis_points",
            _serve("greeter", "candidate_version = 1, basis_points = 10001"), CHECK),
    Attempt("a_share_is_at_most_10000_basis_points",
            _serve("greeter", "candidate_version = 1, basis_points = -1"), CHECK),
    Attempt("a_split_has_a_seed_and_a_share", _SERVED_OFF + _serve("greeter", "seed = 'x'"), CHECK),
    Attempt("a_split_has_a_seed_and_a_share", _SERVED_OFF + _serve("greeter", "basis_points = 5"), CHECK),
    Attempt("a_split_has_a_seed_and_a_share", _SERVED_OFF + _serve("greeter", "candidate_version = 1"), CHECK),
    Attempt("epochs_start_at_0", _SERVED_OFF + _serve("greeter", "epoch = -1"), CHECK),
    Attempt("version_numbers_are_from_1_to_2147483647",
            "insert into promptctl.served (name, next_version) values ('new', 0)", CHECK),
    Attempt("version_numbers_are_from_1_to_2147483647", _serve("greeter", "next_version = 2147483649"), CHECK),
    *(
        Attempt("epochs_and_positions_are_set_by_the_database", _serve("greeter", changes), sqlstate, rule)
        for changes, sqlstate, rule in (
            ("active_version = 99", NO_DATA, "version_exists"),
            ("active_version = 3", RESTRICT, "an_archived_version_is_not_served"),
            ("candidate_version = 99", NO_DATA, "version_exists"),
            ("candidate_version = 3, basis_points = 100", RESTRICT, "an_archived_version_is_not_served"),
        )
    ),
    Attempt("epochs_and_positions_are_set_by_the_database",
            "insert into promptctl.served (name) values ('greeter') on conflict (name) do update set active_version=3",
            RESTRICT, "an_archived_version_is_not_served"),
    *(
        Attempt("a_version_never_changes", sql, RESTRICT, "a_served_version_is_not_archived")
        for sql in (
            "update promptctl.versions set retired_at = now() where name = 'greeter' and version = 2",
            _serve("greeter", "active_version = 1") + ";" + _update("retired_at = now()"),
            _serve("greeter", "candidate_version = 1") + ";" + _update("retired_at = now()"),
        )
    ),
    # Without the triggers, the foreign keys refuse.
    *(
        Attempt("an_active_version_exists_and_is_not_archived", sql, FOREIGN_KEY)
        for sql in (
            _SERVED_OFF + _serve("greeter", "active_version = 99"),
            _SERVED_OFF + _serve("greeter", "active_version = 3"),
            "set local promptctl.in_change = 'on'; " + _serve("greeter", "active_version = 3"),
            _TRIGGERS_OFF.format("versions")
            + "update promptctl.versions set retired_at = now() where name = 'greeter' and version = 2",
        )
    ),
    *(
        Attempt("a_candidate_exists_and_is_not_archived", sql, FOREIGN_KEY)
        for sql in (
            _SERVED_OFF + _serve("greeter", "candidate_version = 99, seed = 's'"),
            _SERVED_OFF + _serve("greeter", "candidate_version = 3, seed = 's'"),
            _serve("greeter", "candidate_version = 1") + ";" + _TRIGGERS_OFF.format("versions")
            + _update("retired_at = now()"),
        )
    ),
    Attempt("epochs_and_positions_are_set_by_the_database", _serve("greeter", "name = 'renamed'"), RESTRICT,
            "a_prompt_keeps_its_name"),
    Attempt("epochs_and_positions_are_set_by_the_database", _serve("greeter", "epoch = 9"), RESTRICT,
            "epochs_are_counted_by_the_database"),
    Attempt("epochs_and_positions_are_set_by_the_database",
            "insert into promptctl.served (name) values ('greeter') on conflict (name) do update set epoch = 0",
            RESTRICT, "epochs_are_counted_by_the_database"),
    Attempt("epochs_and_positions_are_set_by_the_database", _serve("greeter", "slow_ms = 9"), RESTRICT,
            "slow_ms_is_set_by_the_database"),
    Attempt("a_version_number_is_never_reused", _serve("greeter", "next_version = 1"), RESTRICT),
    *(
        Attempt("epochs_and_positions_are_set_by_the_database", _serve("greeter", changes), RESTRICT,
                "a_rollback_goes_to_an_earlier_active_version")
        for changes in (
            "position = 1",  # without its version
            "position = null",
            "active_version = 1, position = 77",
            "active_version = null, position = 1",
            "active_version = 1, position = null",
        )
    ),
    # The statement also stores the version, so the foreign key alone would accept it.
    Attempt("every_move_is_recorded",
            "with s as (insert into promptctl.served (name, active_version) values ('new', 1) returning name) "
            "insert into promptctl.versions (name, version, content) select name, 1, 'x' from s", RESTRICT),
    Attempt("every_move_is_recorded",
            "insert into promptctl.served (name, candidate_version, seed) values ('new', 1, 'x')", RESTRICT),
    Attempt("every_move_is_recorded",
            "insert into promptctl.served as s (name, active_version) values ('greeter', 1) "
            "on conflict (name) do update set active_version = excluded.active_version", RESTRICT),
    Attempt("a_prompt_is_never_deleted", "delete from promptctl.served where name = 'idle'", RESTRICT),
    Attempt("prompts_are_never_truncated", "truncate promptctl.served cascade", RESTRICT),
    # versions
    Attempt("a_number_is_used_once_in_a_prompt", _version(version="1"), NOT_UNIQUE),
    Attempt("a_version_id_is_unique", _version(id="(select id from promptctl.versions limit 1)"), NOT_UNIQUE),
    # The primary key refuses first. Without it, this constraint must refuse.
    Attempt("a_version_has_one_archived_state",
            "alter table promptctl.versions drop constraint a_number_is_used_once_in_a_prompt cascade; "
            + _version(version="1"), NOT_UNIQUE),
    Attempt("a_version_belongs_to_a_prompt", _version(name="'nobody'"), FOREIGN_KEY),
    Attempt("a_version_number_is_at_least_1", _version(version="0"), CHECK),
    Attempt("a_version_number_is_at_least_1", _version(version="-1"), CHECK),
    *(
        Attempt("content_is_not_empty", _version(content=content), CHECK)
        for content in ("''", "' '", r"E' \n\t\r\f\x0b '")
    ),
    Attempt("content_has_no_byte_order_mark", _version(content=r"U&'\FEFFx'"), CHECK),
    Attempt("content_has_no_crlf", _version(content=r"E'a\r\nb'"), CHECK),
    *(Attempt("settings_are_an_object", _version(settings=json), CHECK) for json in ("'[]'", "'1'", "'null'")),
    *(
        Attempt("a_template_has_a_known_style", _version(settings=f"'{{\"template\": {json}}}'"), CHECK)
        for json in ('"jinja"', '"Braces"', '""', "null", "1", '["none"]')
    ),
    *(
        Attempt("a_variable_is_described_by_required_and_default",
                _version(settings=f"'{{\"variables\": {json}}}'"), CHECK)
        for json in (
            "[]", "null", '"x"', '["x"]', '{"x": true}', '{"x": null}', '{"x": []}', '{"x": [{}]}',
            '{"x": {"required": "yes"}}', '{"x": {"required": null}}', '{"x": {"required": []}}',
            '{"x": {"default": 1}}', '{"x": {"default": null}}', '{"x": {"default": ["a"]}}',
            '{"a": {"default": "fine"}, "x": {"required": true, "default": {}}}',
        )
    ),
    *(
        Attempt("a_model_is_a_nonempty_text", _version(settings=f"'{{\"model\": {json}}}'"), CHECK)
        for json in ('""', "null", "1", '["m"]')
    ),
    *(
        Attempt("max_tokens_is_at_least_1", _version(settings=f"'{{\"max_tokens\": {json}}}'"), CHECK)
        for json in ("0", "-1", "null", '"4096"', "1.5", "4096.0", "1000000000")
    ),
    *(
        Attempt("a_request_is_an_object", _version(settings=f"'{{\"request\": {json}}}'"), CHECK)
        for json in ("null", "7", "true", "[]", '"[]"', '"7"', '"null"', r'"\"{}\""', '"yes"', r'"{\"a\": 1e-1000000}"')
    ),
    Attempt("a_request_has_at_most_1_megabyte",
            _version(settings="jsonb_build_object('request', jsonb_build_object('x', repeat('a', 1000000)))"), CHECK),
    *(
        Attempt("a_request_has_at_most_100_levels",
                _version(settings=f"jsonb_build_object('request', {_nested(brackets, 100)})"), CHECK)
        for brackets in ("[]", '{"x":}')
    ),
    *(
        Attempt("a_request_has_no_other_settings", _version(settings=_request(f'{{"x": 1, "{key}": null}}')), CHECK)
        for key in ("model", "max_tokens", "system", "stream", "metadata")
    ),
    *(
        Attempt("the_numbers_of_a_request_are_finite",
                _version(settings=_request(f'{{"x": [{{"y": {number}}}]}}')), CHECK)
        for number in ("1e309", "-1e309", "1" + "0" * 309, "1.5e400")
    ),
    *(
        Attempt("the_messages_of_a_request_have_a_role_and_content",
                _version(settings=_request(f'{{"messages": {json}}}')), CHECK)
        for json in (
            "null", "{}", "[]", '"x"', '["x"]', "[[]]", '[[{"role": "user", "content": "x"}]]', '[{"content": "x"}]',
            '[{"role": "system", "content": "x"}]', '[{"role": ["user"], "content": "x"}]',
            '[{"role": 1, "content": "x"}]',
            '[{"role": "user"}]', '[{"role": "user", "content": null}]', '[{"role": "user", "content": {}}]',
            '[{"role": "user", "content": "x"}, {"role": "assistant", "content": 1}]',
        )
    ),
    *(
        Attempt("a_cache_lasts_5m_or_1h", _version(settings=f"'{{\"cache\": {json}}}'"), CHECK)
        for json in ('"2h"', '""', "null", "5", '["5m"]')
    ),
    *(Attempt("metadata_is_an_object", _version(metadata=json), CHECK) for json in ("'[]'", "'1'", "'null'")),
    Attempt("metadata_is_an_object", _update("metadata = '[]'"), CHECK),
    Attempt("metadata_has_at_most_1_megabyte", _version(metadata=_large(1_000_000)), CHECK),
    Attempt("metadata_has_at_most_1_megabyte", _update(f"metadata = {_large(1_000_000)}"), CHECK),
    Attempt("settings_have_at_most_1_megabyte", _version(settings=_large(1_000_000)), CHECK),
    Attempt("an_origin_has_at_most_100_kilobytes", _version(origin=_large(100_000)), CHECK),
    Attempt("an_origin_has_at_most_100_kilobytes",
            _release.format("origin", f"'sync', 'me', {_large(100_000)}"), CHECK),
    Attempt("a_short_text_has_at_most_200_characters",
            _TRIGGERS_OFF.format("versions") + _version(created_by="repeat('a', 201)", sha256=r"'\x00'"), CHECK),
    Attempt("a_short_text_has_at_most_200_characters",
            _release.format("reason", "'sync', repeat('a', 201), ''"), CHECK),
    *(
        Attempt("a_reason_has_at_most_2000_characters", sql, CHECK)
        for sql in (
            _release.format("reason", "'sync', 'me', repeat('a', 2001)"),
            _ALLOCATIONS_OFF + "insert into promptctl.allocations (name, epoch, kind, basis_points, author, reason) "
            "values ('greeter', 9, 'route', 0, 'me', repeat('a', 2001))",
            _CORRECTIONS_OFF + "insert into promptctl.corrections (name, version, epoch, kind, author, reason) "
            "values ('greeter', 1, 1, 'retire', 'me', repeat('a', 2001))",
        )
    ),
    Attempt("a_short_text_has_at_most_200_characters",
            _ALLOCATIONS_OFF + _allocation.replace("'me'", "repeat('a', 201)").format("'greeter', 9, 'route'", "null"),
            CHECK),
    Attempt("a_short_text_has_at_most_200_characters",
            _CORRECTIONS_OFF + _correction.replace("'me'", "repeat('a', 201)").format("1", "'retire'"), CHECK),
    Attempt("a_source_has_at_most_1000_characters", "select promptctl.record_source(repeat('a', 1001))", CHECK),
    Attempt("a_source_has_at_most_1000_characters", "select promptctl.record_source('a', repeat('a', 1001))", CHECK),
    Attempt("a_route_is_a_list_of_steps",
            """select promptctl.set_routes('{greeter}', jsonb_build_array(jsonb_build_array(jsonb_build_object(
                   'when', jsonb_build_object('plan', repeat('a', 100000)), 'use', 'other'))))""", CHECK),
    Attempt("a_seed_has_at_most_300_characters",
            "select promptctl.split('greeter', 500, 1, seed => repeat('a', 301))", CHECK),
    Attempt("a_version_has_an_author", _version(created_by="''"), CHECK),
    Attempt("the_origin_of_a_version_is_an_object", _version(origin="'[]'"), CHECK),
    *(
        Attempt("a_version_has_a_valid_creation_time", _version(created_at=time), CHECK)
        for time in ("'infinity'", "'0044-03-15 BC'", "'10000-01-01'")
    ),
    *(
        Attempt("a_version_never_changes", sql, RESTRICT)
        for sql in (
            _update("content = 'y'"), _update("settings = '{\"model\": \"m\"}'"), _update("version = 7"),
            _update("name = 'idle'"), _update("id = gen_random_uuid()"), _update(r"sha256 = '\x00'"),
            _update("created_at = now() - interval '1 day'"), _update("created_by = 'me'"),
            _update("origin = '{}'"), _update("release = 1"), _update("database_user = 'me'"),
            _update("variables = '{a}'"), _update("required_variables = '{a}'"),
            _version(version="1") + " on conflict (name, version) do update set content = 'y'",
            "with v as (update promptctl.versions set content = 'y' returning *) select * from v",
            "merge into promptctl.versions using (select 1 as n) x on n = version when matched then update set id=null",
            "update promptctl.prompts set content = 'y' where name = 'greeter' and version = 1",
            "update promptctl.prompts set name = 'idle' where name = 'greeter' and version = 1",
            "update promptctl.prompts set metadata = '{\"a\": 1}' where name = 'greeter' and version = 1",
            "update promptctl.prompts set is_active = true, version = 7 where name = 'greeter' and version = 1",
        )
    ),
    Attempt("a_version_is_never_deleted", "delete from promptctl.versions where name = 'idle'", RESTRICT),
    Attempt("versions_are_never_truncated", _SERVED_OFF + "truncate promptctl.versions cascade", RESTRICT),
    Attempt("prompts_can_be_updated", "update promptctl.prompts set content = 'y'", RESTRICT,
            "a_version_never_changes"),
    Attempt("an_update_computes_no_stats", "update promptctl.prompts set id = gen_random_uuid()", RESTRICT,
            "a_version_never_changes"),
    Attempt("prompts_can_be_updated", "update promptctl.prompts set is_active = null", NULL,
            "is_active_is_not_null"),
    Attempt("prompts_can_be_inserted",
            "insert into promptctl.prompts (name, version, content) values ('greeter', 1, 'x')", NOT_UNIQUE,
            "a_number_is_used_once_in_a_prompt"),
    Attempt("prompts_can_be_inserted", "insert into promptctl.prompts (name, content) values ('GREETER', 'x')",
            NOT_UNIQUE, "names_differ_in_more_than_case"),
    Attempt("prompts_cannot_be_deleted", "delete from promptctl.prompts where name = 'idle'", RESTRICT),
    # releases
    Attempt("a_release_number_is_unique", _release.format("release", "'sync', 'me', 1"), NOT_UNIQUE),
    Attempt("a_release_has_a_known_kind", _release.format("reason", "'whim', 'me', ''"), CHECK),
    Attempt("the_origin_of_a_release_is_an_object", _release.format("origin", "'sync', 'me', '[]'"), CHECK),
    Attempt("a_release_rollback_undoes_an_earlier_release",
            _release.format("release, undoes", "'sync', 'me', 9, 9"), CHECK),
    Attempt("a_release_rollback_undoes_an_existing_release", _release.format("release, undoes", "'sync', 'me', 9, 8"),
            FOREIGN_KEY),
    Attempt("releases_are_append_only", "update promptctl.releases set author = 'me'", RESTRICT),
    Attempt("releases_are_append_only", "delete from promptctl.releases", RESTRICT),
    Attempt("releases_are_never_truncated", _ALLOCATIONS_OFF + "truncate promptctl.releases cascade", RESTRICT),
    # allocations
    Attempt("an_epoch_has_one_allocation",
            _ALLOCATIONS_OFF + _allocation.format("'greeter', 1, 'activate'", "null"), NOT_UNIQUE),
    Attempt("an_allocation_belongs_to_a_prompt",
            _ALLOCATIONS_OFF + _allocation.format("'nobody', 1, 'activate'", "null"), FOREIGN_KEY),
    Attempt("an_allocation_belongs_to_an_existing_release",
            _ALLOCATIONS_OFF + _allocation.format("'greeter', 9, 'activate'", "77"), FOREIGN_KEY),
    Attempt("an_allocation_has_a_known_kind",
            _ALLOCATIONS_OFF + _allocation.format("'greeter', 9, 'whim'", "null"), CHECK),
    Attempt("history_is_append_only", "update promptctl.allocations set author = 'me'", RESTRICT),
    Attempt("history_is_append_only", "delete from promptctl.allocations", RESTRICT),
    Attempt("history_is_never_truncated", "truncate promptctl.allocations", RESTRICT),
    Attempt("history_is_written_by_the_database", _allocation.format("'greeter', 9, 'activate'", "null"), RESTRICT),
    Attempt("history_is_written_by_the_database",
            _allocation.format("'greeter', 1, 'activate'", "null")
            + " on conflict (name, epoch) do update set author = 'me'", RESTRICT),
    # corrections
    Attempt("a_correction_number_is_unique",
            _CORRECTIONS_OFF + "insert into promptctl.corrections (id, name, version, epoch, kind, author) "
            "overriding system value select id, name, version, epoch, kind, author from promptctl.corrections",
            NOT_UNIQUE),
    Attempt("a_correction_belongs_to_a_version", _CORRECTIONS_OFF + _correction.format("99", "'archive'"), FOREIGN_KEY),
    Attempt("a_correction_belongs_to_an_existing_release", _CORRECTIONS_OFF
            + "insert into promptctl.corrections (name, version, epoch, kind, author, release) "
            "values ('greeter', 1, 1, 'archive', 'me', 77)", FOREIGN_KEY),
    Attempt("a_correction_has_a_known_kind", _CORRECTIONS_OFF + _correction.format("1", "'whim'"), CHECK),
    Attempt("corrections_are_append_only", "update promptctl.corrections set author = 'me'", RESTRICT),
    Attempt("corrections_are_append_only", "delete from promptctl.corrections", RESTRICT),
    Attempt("corrections_are_never_truncated", "truncate promptctl.corrections", RESTRICT),
    Attempt("an_archived_prompt_serves_nothing", _SERVED_OFF + _serve("greeter", "archived_at = now()"), CHECK),
    Attempt("an_erased_version_has_no_text", _TRIGGERS_OFF.format("versions") + _update("erased_at = now()"), CHECK),
    *(
        Attempt("an_erased_version_has_no_text", _ERASED + _update(columns), CHECK)
        for columns in ("retired_at = null", "metadata = '{\"description\": \"again\"}'")
    ),
    Attempt("a_dry_run_is_rolled_back",
            "insert into promptctl.releases (release, kind, author) overriding system value "
            "values (9223372036854775800, 'activate', 'me'); set constraints all immediate", RESTRICT),
    Attempt("a_dry_run_is_rolled_back",
            "set local promptctl.is_dry_run = on; select promptctl.deactivate('{greeter,other}');"
            "set constraints all immediate", RESTRICT),
    *(
        Attempt("a_version_never_changes", _ERASED + _update(columns), RESTRICT)
        for columns in ("erased_at = null", "content = 'again', erased_at = null", "content = 'again'",
                        "erased_at = now() + interval '1 day'", "settings = '{\"model\": \"x\"}'")
    ),
    Attempt("a_version_never_changes",
            _REASON + _update("content = '', erased_at = now()"), RESTRICT),
    *(
        Attempt("corrections_are_append_only", sql, RESTRICT)
        for sql in (_ERASED + "update promptctl.corrections set reason = null where version = 1",
                    _ERASED + "update promptctl.corrections set metadata = null where version = 1",
                    _ERASED + "delete from promptctl.corrections where version = 1")
    ),
    Attempt("corrections_are_written_by_the_database", _correction.format("1", "'archive'"), RESTRICT),
    # sources and applied
    Attempt("a_source_has_one_row", "insert into promptctl.sources (source, applied_by) values ('git', 'me')",
            NOT_UNIQUE),
    Attempt("a_source_name_is_not_empty", "select promptctl.record_source('')", CHECK),
    Attempt("a_prompt_comes_from_one_source",
            "insert into promptctl.applied (source, name, applied_by) values ('git', 'greeter', 'me')", NOT_UNIQUE),
    Attempt("a_prompt_comes_from_one_source", """select promptctl.record_source('other');
            select promptctl.record_applied('other', '[{"name": "greeter", "active": 1}]')""", NOT_UNIQUE),
    Attempt("an_applied_state_belongs_to_a_prompt",
            "insert into promptctl.applied (source, name, applied_by) values ('git', 'nobody', 'me')", FOREIGN_KEY),
    Attempt("an_applied_state_belongs_to_a_source",
            """select promptctl.record_applied('nowhere', '[{"name": "idle"}]')""", FOREIGN_KEY),
    # uses
    Attempt("a_use_is_recorded_once", _use(id="(select id from promptctl.uses limit 1)"), NOT_UNIQUE),
    Attempt("tokens_are_not_negative", _use(input_tokens="-1"), CHECK),
    Attempt("tokens_are_not_negative", _use(output_tokens="-1"), CHECK),
    Attempt("tokens_are_at_most_1e12", _use(input_tokens="9223372036854775807", output_tokens="1"), CHECK),
    Attempt("tokens_are_at_most_1e12", _use(output_tokens="1000000000001"), CHECK),
    *(
        Attempt("a_response_time_is_from_0_to_1e12_ms", _use(response_ms=number), CHECK)
        for number in ("-0.1", "'NaN'", "'Infinity'", "'-Infinity'", "1e200")
    ),
    *(
        Attempt("cached_tokens_are_part_of_the_input", _use(**tokens), CHECK)
        for tokens in (
            {"input_tokens": "5", "cache_read_tokens": "-1"},
            {"input_tokens": "5", "cache_write_tokens": "-1", "cache_read_tokens": "3"},
            {"input_tokens": "5", "cache_read_tokens": "3", "cache_write_tokens": "3"},
            {"cache_read_tokens": "1"},
        )
    ),
    *(
        Attempt("a_first_token_time_is_from_0_to_1e12_ms", _use(first_token_ms=number), CHECK)
        for number in ("-0.1", "'NaN'", "'Infinity'", "'-Infinity'", "1e200")
    ),
    Attempt("an_outcome_is_not_empty", _use(outcome="''"), CHECK),
    Attempt("a_short_text_has_at_most_200_characters", _use(outcome="repeat('x', 201)"), CHECK),
    Attempt("a_short_text_has_at_most_200_characters", _use(request_id="repeat('x', 201)"), CHECK),
    *(
        Attempt("a_score_is_a_number", _use(score=number), CHECK)
        for number in ("'NaN'", "'Infinity'", "'-Infinity'", "1e10")
    ),
    Attempt("the_epoch_of_a_use_is_not_negative", _use(epoch="-1"), CHECK),
    *(Attempt("a_bucket_is_between_0_and_9999", _use(bucket=number), CHECK) for number in ("-1", "10000")),
    Attempt("a_trace_id_is_not_zero", _use(trace_id="'00000000000000000000000000000000'"), CHECK),
    Attempt("a_short_text_has_at_most_200_characters", _use(model="repeat('m', 201)"), CHECK),
    *(
        Attempt("a_use_has_a_valid_time", _use(recorded_at=time), CHECK)
        for time in ("'infinity'", "'-infinity'", "'0044-03-15 BC'", "'10000-01-01'")
    ),
    Attempt("uses_are_append_only", "update promptctl.uses set response_ms = 1", RESTRICT),
    Attempt("uses_are_append_only", "delete from promptctl.uses", RESTRICT),
    Attempt("uses_are_append_only",
            "set local promptctl.writing_transaction = 'on'; delete from promptctl.uses", RESTRICT),
    # The permission that a function of promptctl sets ends when it returns.
    Attempt("uses_are_append_only", "select promptctl.roll_up_uses(); delete from promptctl.uses", RESTRICT),
    Attempt("uses_are_append_only", "select promptctl.drop_uses(now(), 0); delete from promptctl.uses", RESTRICT),
    Attempt("uses_are_append_only", "select promptctl.score_use((select id from promptctl.uses limit 1), 1); "
            "delete from promptctl.uses", RESTRICT),
    Attempt("uses_are_append_only", _use(id="(select id from promptctl.uses limit 1)")
            + " on conflict (id) do update set response_ms = 1", RESTRICT),
    Attempt("uses_are_never_truncated", "truncate promptctl.uses", RESTRICT),
    # scores
    Attempt("a_use_has_one_score_per_place", _SCORES_OFF + _score.format("1", 1) + ";" + _score.format("1", 1),
            NOT_UNIQUE),
    *(
        Attempt("a_score_is_a_number", f"select promptctl.score_use(id, {number}) from promptctl.uses", CHECK)
        for number in ("'NaN'", "'Infinity'", "'-Infinity'", "1e10")
    ),
    *(
        Attempt("a_use_is_scored_at_most_100_times",
                _SCORES_OFF + _score.replace("generate_series(1, 2)", f"(values ({place}))").format("1", 1), CHECK)
        for place in ("0", "101")
    ),
    Attempt("scores_are_written_by_score_use", _score.format("1", 1), RESTRICT),
    Attempt("scores_are_written_by_score_use", "update promptctl.scores set previous = 1", RESTRICT),
    Attempt("scores_are_written_by_score_use", "delete from promptctl.scores", RESTRICT),
    Attempt("scores_are_never_truncated", "truncate promptctl.scores", RESTRICT),
    # fallbacks
    Attempt("a_fallback_is_recorded_once", _calls() + "; insert into promptctl.fallbacks (id, name) "
            "select id, 'x' from promptctl.fallbacks", NOT_UNIQUE),
    Attempt("tokens_of_a_fallback_are_not_negative", _calls(input_tokens="'{-1,0}'"), CHECK),
    Attempt("tokens_of_a_fallback_are_not_negative", _calls(output_tokens="'{0,-1}'"), CHECK),
    Attempt("tokens_of_a_fallback_are_at_most_1e12", _calls(input_tokens="'{1000000000001,0}'"), CHECK),
    Attempt("tokens_of_a_fallback_are_at_most_1e12", _calls(output_tokens="'{9223372036854775807,0}'"), CHECK),
    *(
        Attempt("a_fallback_response_time_is_from_0_to_1e12_ms", _calls(response_ms=f"'{{{number},null}}'"), CHECK)
        for number in ("-0.1", "NaN", "Infinity", "-Infinity", "1e200")
    ),
    Attempt("an_outcome_is_not_empty", _calls(outcomes="""'{ok,""}'"""), CHECK),
    *(
        Attempt("a_fallback_has_a_valid_name",
                f"insert into promptctl.fallbacks (id, name) values ({_ID}, {name})", CHECK)
        for name in ("''", "repeat('a', 201)", r"E'a\x1b[31m'", "'a b'", r"E'a\n'", "'zo\u00eb'")
    ),
    *(
        Attempt("a_short_text_has_at_most_200_characters",
                f"insert into promptctl.fallbacks (id, name, {column}) values ({_ID}, 'a', repeat('x', 201))", CHECK)
        for column in ("outcome", "model")
    ),
    Attempt("fallbacks_are_append_only", "update promptctl.fallbacks set outcome = 'ok'", RESTRICT),
    Attempt("fallbacks_are_append_only", "delete from promptctl.fallbacks", RESTRICT),
    Attempt("fallbacks_are_never_truncated", "truncate promptctl.fallbacks", RESTRICT),
    # roll_up and totals
    Attempt("a_roll_up_has_one_watermark",
            _ROLL_UP_OFF + "insert into promptctl.roll_up select true from generate_series(1, 2)", NOT_UNIQUE),
    Attempt("there_is_one_watermark", _ROLL_UP_OFF + "insert into promptctl.roll_up (singleton) values (false)", CHECK),
    Attempt("the_watermark_is_moved_by_the_database", "insert into promptctl.roll_up default values", RESTRICT),
    Attempt("the_watermark_is_moved_by_the_database", "update promptctl.roll_up set rolled_below = 0", RESTRICT),
    Attempt("the_watermark_is_moved_by_the_database", "delete from promptctl.roll_up", RESTRICT),
    Attempt("the_watermark_is_never_truncated", "truncate promptctl.roll_up", RESTRICT),
    Attempt("totals_have_one_row_per_group", _total(), NOT_UNIQUE),
    Attempt("a_total_has_a_known_grain", _total("'week'"), CHECK),
    Attempt("totals_are_written_by_roll_up_uses", _total().partition(";")[2], RESTRICT),
    Attempt("totals_are_written_by_roll_up_uses", "update promptctl.totals set uses = 0", RESTRICT),
    Attempt("totals_are_written_by_roll_up_uses", "delete from promptctl.totals", RESTRICT),
    Attempt("totals_are_never_truncated", "truncate promptctl.totals", RESTRICT),
    Attempt("bucket_totals_have_one_row_per_group", _TRIGGERS_OFF.format("bucket_totals") + _BUCKET_TOTALS, NOT_UNIQUE),
    Attempt("bucket_totals_are_written_by_roll_up_uses", _BUCKET_TOTALS, RESTRICT),
    Attempt("bucket_totals_are_written_by_roll_up_uses", "update promptctl.bucket_totals set uses = 0", RESTRICT),
    Attempt("bucket_totals_are_written_by_roll_up_uses", "delete from promptctl.bucket_totals", RESTRICT),
    Attempt("bucket_totals_are_never_truncated", "truncate promptctl.bucket_totals", RESTRICT),
    # rollouts
    Attempt("a_rollout_has_one_number", _second_rollout('{"name": "other"}'), NOT_UNIQUE),
    Attempt("a_prompt_has_one_open_rollout", _second_rollout('{"rollout": 0}'), NOT_UNIQUE),
    Attempt("a_rollout_belongs_to_a_prompt",
            _change_rollout("name = 'nobody'"), FOREIGN_KEY),
    *(
        Attempt(rule, _change_rollout(changes), CHECK)
        for rule, changes in (
            ("a_rollout_leads_to_another_version", "candidate = baseline"),
            ("the_shares_of_a_rollout_grow", "steps = '{}'"),
            ("the_share_of_a_rollout_is_from_1_to_9999_basis_points", "basis_points = 0"),
            ("the_share_of_a_rollout_is_from_1_to_9999_basis_points", "basis_points = 10000"),
            ("a_hold_is_from_0_to_366_days", "hold = '-1 hour'"),
            ("a_rollout_waits_for_0_to_1e9_uses", "least_uses = -1"),
            ("patience_is_from_the_hold_to_3660_days", "patience = '59 minutes'"),
            ("a_doubt_ends_in_a_pause_or_a_rollback", "in_doubt = 'promote'"),
            ("guards_are_metrics_with_tolerances", "guards = 'null'"),
            ("alpha_is_from_0_0001_to_0_5", "alpha = 0"),
            ("prices_are_dollars_per_token", "prices = '{}'"),
            ("a_cost_guard_has_prices", """guards = '[{"metric": "cost", "tolerance": 0.1}]'"""),
            ("a_rollout_has_a_known_state", "state = 'done', ended_at = now()"),
            ("a_rollout_that_is_not_open_has_an_end", "state = 'stopped'"),
            ("a_rollout_that_is_not_open_has_an_end", "ended_at = now()"),
            ("an_alarm_is_known", "alarm = 'smoke'"),
        )
    ),
    Attempt("an_event_of_a_rollout_has_one_place",
            _add_to_rollout("rollout_events", "place, kind, basis_points, epoch, author", "1, 'stop', 0, 1, 'me'"),
            NOT_UNIQUE),
    Attempt("an_event_belongs_to_a_rollout",
            _STARTED + _TRIGGERS_OFF.format("rollout_events") + "update promptctl.rollout_events set rollout = 0",
            FOREIGN_KEY),
    Attempt("an_event_of_a_rollout_has_a_known_kind",
            _add_to_rollout("rollout_events", "place, kind, basis_points, epoch, author", "2, 'end', 0, 1, 'me'"),
            CHECK),
    Attempt("a_look_has_one_row_per_metric",
            _add_to_rollout("rollout_looks", "looked_at, metric, basis_points", "now(), 'errors', 1", 2), NOT_UNIQUE),
    Attempt("a_look_belongs_to_a_rollout",
            _add_to_rollout("rollout_looks", "looked_at, metric, basis_points", "now(), 'errors', 1")
            .replace("r.rollout,", "0,"), FOREIGN_KEY),
    Attempt("the_last_tick_of_a_rollout_has_one_row", _add_to_rollout("rollout_ticks", "why", "''"), NOT_UNIQUE),
    Attempt("a_tick_belongs_to_a_rollout",
            _STARTED + _TRIGGERS_OFF.format("rollout_ticks") + "update promptctl.rollout_ticks set rollout = 0",
            FOREIGN_KEY),
    *(
        Attempt(rule, _STARTED + sql, RESTRICT)
        for rule, sql in (
            ("rollouts_are_written_by_functions", "update promptctl.rollouts set hold = '0'"),
            ("rollouts_are_written_by_functions", "delete from promptctl.rollouts"),
            ("rollouts_are_written_by_functions",
             "insert into promptctl.rollouts overriding system value select * from promptctl.rollouts"),
            ("rollouts_are_never_truncated", "truncate promptctl.rollouts cascade"),
            ("rollout_events_are_written_by_functions",
             "insert into promptctl.rollout_events select * from promptctl.rollout_events"),
            ("rollout_events_are_append_only", "update promptctl.rollout_events set author = 'me'"),
            ("rollout_events_are_append_only", "delete from promptctl.rollout_events"),
            ("rollout_events_are_never_truncated", "truncate promptctl.rollout_events"),
            ("rollout_looks_are_written_by_ticks",
             "insert into promptctl.rollout_looks select * from promptctl.rollout_looks"),
            ("rollout_looks_are_append_only",
             "select promptctl.tick_rollout('greeter'); update promptctl.rollout_looks set lower = 0"),
            ("rollout_looks_are_append_only",
             "select promptctl.tick_rollout('greeter'); delete from promptctl.rollout_looks"),
            ("rollout_looks_are_never_truncated", "truncate promptctl.rollout_looks"),
            ("the_last_tick_is_written_by_ticks", "update promptctl.rollout_ticks set ticked_at = now()"),
            ("the_last_tick_is_written_by_ticks", "delete from promptctl.rollout_ticks"),
            ("the_last_tick_is_never_truncated", "truncate promptctl.rollout_ticks"),
            ("rollouts_are_never_deleted", _WRITING + "delete from promptctl.rollouts"),
        )
    ),
]  # fmt: skip

# Refusals by functions, with names that no constraint or trigger has.
REFUSALS = [
    *(
        Attempt("a_request_has_each_key_once", _version(settings=_request(json)), CHECK)
        for json in ('{"a": 1, "a": 2}', '{"a": 1, "a": 1}', r'{"x": [{"a": 1, "\u0061": 1e22}]}')
    ),
    Attempt("schema_version_matches", "select promptctl.expect_schema_version(99)", "55000"),
    Attempt("schema_version_matches",
            "delete from promptctl.installation; select promptctl.expect_schema_version(8)", "55000"),
    *(
        Attempt("prompt_exists", sql, NO_DATA)
        for sql in (
            "select promptctl.activate('{greeter,nobody}', '{1,1}')",
            "select promptctl.rollback('{nobody}')",
            "select promptctl.retire('nobody', 1)",
            "select promptctl.describe('nobody', 1, '{}')",
            "select promptctl.resolve('nobody')",
            "select promptctl.resolve(null)",
            "select promptctl.explain_resolve('nobody')",
            "select promptctl.record_use('nobody', 1, 1)",
            _uses(names="'{greeter,nobody}'"),
            _uses(names="'{greeter,null}'"),
            "select promptctl.split('nobody', 1, 1)",
            "select promptctl.end_split('nobody')",
            "select promptctl.activate('{null}', '{1}')",
            "select promptctl.activate('{Greeter}', '{1}')",
        )
    ),
    *(
        Attempt("version_exists", sql, NO_DATA)
        for sql in (
            "select promptctl.activate('{greeter}', '{99}')",
            "select promptctl.activate('{greeter}', '{null}')",
            "select promptctl.rollback('{greeter}', 99)",
            "select promptctl.retire('greeter', 99)",
            "select promptctl.describe('greeter', 99, '{}')",
            "select promptctl.record_use('greeter', 99, 1)",
            _uses(versions="'{1,99}'"),
            _uses(versions="'{1,null}'"),
            "select promptctl.split('greeter', 1, 99)",
        )
    ),
    Attempt("a_share_needs_a_running_split", "select promptctl.split('greeter', 500)", RESTRICT),
    Attempt("a_split_needs_an_active_version", "select promptctl.split('idle', 500, 1)", RESTRICT),
    Attempt("a_candidate_is_not_the_active_version", "select promptctl.split('greeter', 500, 2)", RESTRICT),
    Attempt("an_archived_version_is_not_served", "select promptctl.split('greeter', 500, 3)", RESTRICT),
    *(
        Attempt("a_share_is_at_most_10000_basis_points", f"select promptctl.split('greeter', {share}, 1)", INVALID)
        for share in ("-1", "10001", "null")
    ),
    *(
        Attempt("attributes_are_an_object", f"select promptctl.{name}('{prompt}', 'u', '{json}')", INVALID)
        for name in ("resolve", "explain_resolve")
        for prompt in ("greeter", "idle", "nobody")
        for json in ("[]", "1", '"x"', "true", "null", '[{"plan": "x"}]')
    ),
    *(
        Attempt("arrays_of_uses_are_equal_in_length", record(**{name: value}), INVALID)
        for record, fields in ((_uses, tuple(_FIELDS)), (_calls, _FALLBACK_FIELDS))
        for name in fields
        for value in ("'{}'", "null", f"({_FIELDS[name]})[1:1]" if name == "ids" else "'{null}'")
        # Applications of schema version 10 and older do not pass the traces.
        if (name, value) != ("trace_ids", "null")
    ),
    *(
        Attempt("an_age_is_at_most_31_years", record(ages_ms=f"'{{0,{age}}}'"), INVALID)
        for record in (_uses, _calls)
        for age in ("NaN", "Infinity", "1.1e12", "1e300")
    ),
    Attempt("a_use_is_scored_at_most_100_times",
            "select promptctl.score_use((select id from promptctl.uses limit 1), g) from generate_series(1, 101) g",
            RESTRICT),
    *(
        Attempt("a_unit_is_a_text_an_integer_or_a_uuid", sql.format(unit), INVALID)
        for sql in (
            "select promptctl.resolve('greeter', {})", "select promptctl.explain_resolve('greeter', {})",
            "select promptctl.record_use('greeter', 1, 1, unit => {})",
        )
        for unit in ("1.5", "true", "now()", "42::float8", "'{}'::jsonb", r"'\\x00'::bytea", "'{{a}}'::text[]")
    ),
    Attempt("use_exists", "select promptctl.score_use(gen_random_uuid(), 1)", NO_DATA),
    Attempt("use_exists", "select promptctl.score_use(null, 1)", NO_DATA),
    Attempt("a_score_is_a_number", "select promptctl.score_use((select id from promptctl.uses limit 1), null)", NULL),
    Attempt("a_prompt_is_named_once", "select promptctl.activate('{greeter,greeter}', '{1,1}')", INVALID),
    Attempt("a_prompt_is_named_once", "select promptctl.rollback('{greeter,greeter}')", INVALID),
    Attempt("names_and_versions_are_equal_in_number", "select promptctl.activate('{greeter}', '{1,2}')", INVALID),
    Attempt("names_and_versions_are_equal_in_number", "select promptctl.activate('{greeter}', null)", INVALID),
    Attempt("an_archived_version_is_not_served", "select promptctl.activate('{greeter}', '{3}')", RESTRICT),
    Attempt("an_archived_version_is_not_served", "select promptctl.rollback('{greeter}', 3)", RESTRICT),
    *(
        Attempt("a_version_needs_no_new_variable", _NEW_VARIABLE + sql, RESTRICT)
        for sql in (
            "select promptctl.activate('{other,greeter}', '{1,9}')",
            "select promptctl.create_version('greeter', 'Be kind to {user}.', activated => true)",
            _serve("greeter", "active_version = 9"),
            "select promptctl.split('greeter', 500, 9)",
            _serve("greeter", "candidate_version = 9"),
            "update promptctl.prompts set is_active = true where name = 'greeter' and version = 9",
            "insert into promptctl.prompts (name, content, is_active) values ('greeter', 'Of {user}.', true)",
            # A permission that an earlier call had, or that is turned off, does not apply.
            _ALLOWED_BEFORE + "select promptctl.activate('{greeter}', '{9}')",
            "set local promptctl.allow_new_variables = off; select promptctl.activate('{greeter}', '{9}')",
            "set local promptctl.allow_new_variables = ''; select promptctl.activate('{greeter}', '{9}')",
            # A rollback is checked too.
            _ALLOWED_BEFORE + "select promptctl.rollback('{greeter}')",
            _ALLOWED_BEFORE + "select promptctl.rollback('{greeter}', 9)",
            _ALLOWED_BEFORE + _ALLOWED_BEFORE.partition(";")[0]
            + "; select promptctl.activate('{greeter,other}', '{2,1}'); "
            + "select promptctl.rollback_release((select max(release) from promptctl.releases))",
        )
    ),
    Attempt("release_exists", "select promptctl.rollback_release(77)", NO_DATA),
    Attempt("a_rolled_back_release_has_no_later_moves",
            "select promptctl.rollback('{greeter}'); select promptctl.rollback_release(1)", RESTRICT),
    Attempt("a_rolled_back_release_has_no_later_moves", """
            select promptctl.open_release(); select promptctl.set_routes('{idle}',
                '[[{"when": {"a": 1}, "use": "other"}]]', release => (select max(release) from promptctl.releases));
            select promptctl.set_routes('{idle}', '[[{"when": {"a": 2}, "use": "other"}]]');
            select promptctl.rollback_release((select max(release) from promptctl.releases))""", RESTRICT),
    Attempt("an_archived_version_is_not_served",
            "select promptctl.retire('greeter', 1); select promptctl.rollback_release(1)", RESTRICT),
    *(
        Attempt("a_release_is_made_in_one_transaction", sql, RESTRICT)
        for sql in (
            "select promptctl.activate('{greeter}', '{1}', release => 77)",
            # Release 1 was opened by an earlier transaction, the one that added the samples.
            "select promptctl.activate('{greeter}', '{1}', release => 1)",
            """select promptctl.add_versions('[{"name": "new", "version": 1, "content": "x"}]', release => 1)""",
            """select promptctl.describe_versions('[{"name": "idle", "version": 1, "metadata": {}}]', release => 1)""",
            "select promptctl.set_routes('{greeter}', '[[]]', release => 1)",
        )
    ),
    *(
        Attempt("a_route_leads_to_a_prompt", _route(step), RESTRICT)
        for step in (
            '{"when": {"plan": "x"}, "use": "nobody"}', '{"when": {"plan": "x"}, "use": "idle@9"}',
            '{"when": {"plan": "x"}, "use": "greeter@3"}',
        )
    ),
    Attempt("a_route_has_no_cycle", _route('{"when": {"plan": "x"}, "use": "greeter"}'), RESTRICT),
    Attempt("a_route_has_no_cycle", _route('{"when": {"plan": "x"}, "use": "idle"}') + "; "
            + """update promptctl.served set route = '[{"when": {"a": 1}, "use": "greeter"}]' where name = 'idle'""",
            RESTRICT),
    Attempt("a_served_version_is_not_archived", _route('{"when": {"plan": "x"}, "use": "idle@1"}')
            + "; select promptctl.retire('idle', 1)", RESTRICT),
    Attempt("a_served_version_is_not_archived", _route('{"when": {"plan": "x"}, "use": "idle@1"}')
            + "; update promptctl.versions set retired_at = now() where name = 'idle'", RESTRICT),
    *(
        Attempt("a_route_target_stays_in_service", _route('{"when": {"plan": "x"}, "use": "other"}') + sql,
                RESTRICT)
        for sql in ("; select promptctl.deactivate('{other}')", "; select promptctl.archive('{other}', '{null}')",
                    "; update promptctl.served set active_version = null where name = 'other'",
                    "; update promptctl.served set archived_at = now() where name = 'other'",
                    "; update promptctl.prompts set is_active = false where name = 'other'")
    ),
    Attempt("a_route_target_stays_in_service", _route('{"when": {"plan": "x"}, "use": "idle@1"}')
            + "; select promptctl.archive('{idle}', '{null}')", RESTRICT),
    Attempt("a_route_leads_to_a_prompt",
            _ARCHIVED_IDLE + _route('{"when": {"plan": "x"}, "use": "idle"}'), RESTRICT),
    *(
        Attempt("an_archived_prompt_does_not_change", _ARCHIVED_IDLE + sql, RESTRICT)
        for sql in (
            "select promptctl.activate('{idle}', '{1}')", "select promptctl.rollback('{idle}')",
            "select promptctl.split('idle', 100, 1)", "select promptctl.create_version('idle', 'Wait.')",
            "select promptctl.create_version('idle', 'Another.')",
            """select promptctl.add_versions('[{"name": "idle", "version": 9, "content": "x"}]')""",
            """select promptctl.set_routes('{idle}', '[[{"when": {"a": 1}, "use": "other"}]]')""",
            "insert into promptctl.prompts (name, content) values ('idle', 'x')",
            _version(name="'idle'"),
            _serve("idle", "active_version = 1"), _serve("idle", "archived_at = now()"),
        )
    ),
    Attempt("names_and_versions_are_equal_in_number", "select promptctl.archive('{greeter}', '{}')", INVALID),
    Attempt("a_target_or_expected_version_is_for_one_prompt",
            "select promptctl.deactivate('{greeter,other}', 1)", INVALID),
    Attempt("the_active_version_is_as_expected", "select promptctl.deactivate('{greeter}', 1)", RESTRICT),
    Attempt("an_erasure_has_a_reason", "select promptctl.erase('greeter', 1)", RESTRICT),
    Attempt("an_erasure_has_a_reason", _update("erased_at = now()"), RESTRICT),
    *(
        Attempt("a_served_version_is_not_erased", sql, RESTRICT)
        for sql in (
            "select promptctl.erase('greeter', 2, 'me', 'why')",
            _serve("greeter", "candidate_version = 1") + "; select promptctl.erase('greeter', 1, 'me', 'why')",
            _route('{"when": {"plan": "x"}, "use": "idle@1"}') + "; select promptctl.erase('idle', 1, 'me', 'why')",
            _REASON + _serve("greeter", "candidate_version = 1") + ";" + _update("erased_at = now()"),
        )
    ),
    *(
        Attempt("an_erased_text_is_not_stored_again", _ERASED + sql, RESTRICT)
        for sql in (
            "select promptctl.create_version('greeter', 'Be kind.')",
            "select promptctl.create_version('new', 'Be kind.')",
            """select promptctl.add_versions('[{"name": "new", "version": 1, "content": "x"},
                                               {"name": "new", "version": 2, "content": "Be kind."}]')""",
            _version(content="'Be kind.'"),
            "insert into promptctl.prompts (name, content) values ('new', 'Be kind.')",
        )
    ),
    *(
        Attempt("an_erased_version_has_no_text", _ERASED + sql, NO_DATA)
        for sql in ("select promptctl.activate('{greeter}', '{1}')", "select promptctl.rollback('{greeter}', 1)",
                    "select promptctl.split('greeter', 100, 1)", "select promptctl.retire('greeter', 1, true)")
    ),
    Attempt("names_and_routes_are_equal_in_number", "select promptctl.set_routes('{greeter,idle}', '[[]]')", INVALID),
    Attempt("names_and_routes_are_equal_in_number", "select promptctl.set_routes('{greeter}', '{}')", INVALID),
    Attempt("a_served_version_is_not_archived", "select promptctl.retire('greeter', 2)", RESTRICT),
    Attempt("a_served_version_is_not_archived",
            _serve("greeter", "candidate_version = 1") + "; select promptctl.retire('greeter', 1)", RESTRICT),
    *(
        Attempt("a_target_or_expected_version_is_for_one_prompt", f"select promptctl.rollback({arguments})", INVALID)
        for arguments in ("'{greeter,other}', 1", "'{greeter,other}', null, 1")
    ),
    Attempt("the_active_version_is_as_expected", "select promptctl.rollback('{greeter}', null, 1)", RESTRICT),
    Attempt("the_active_version_is_as_expected", "select promptctl.rollback('{idle}', null, 1)", RESTRICT),
    Attempt("a_rollback_goes_to_an_earlier_active_version", "select promptctl.rollback('{idle}')", RESTRICT),
    Attempt("a_rollback_goes_to_an_earlier_active_version", "select promptctl.rollback('{idle}', 1)", RESTRICT),
    Attempt("a_version_is_active", "select promptctl.resolve('idle')", NO_DATA),
    *(
        Attempt("names_differ_in_more_than_case", sql, NOT_UNIQUE)
        for sql in (
            "select promptctl.create_version('GREETER', 'x')",
            """select promptctl.add_versions('[{"name": "GREETER", "version": 1, "content": "x"}]')""",
            """select promptctl.add_versions('[{"name": "new", "version": 1, "content": "x"},
                                               {"name": "NEW", "version": 1, "content": "x"}]')""",
        )
    ),
    *(
        Attempt("version_numbers_are_from_1_to_2147483647", _version(version="2147483647") + ";" + sql, RESTRICT)
        for sql in (
            "select promptctl.create_version('greeter', 'y')",
            "insert into promptctl.prompts (name, content) values ('greeter', 'y')",
        )
    ),
    Attempt("a_number_is_used_once_in_a_prompt", "select promptctl.create_version('greeter', 'x', version => 3)",
            NOT_UNIQUE),
    Attempt("login_role_exists", "select promptctl.grant_access('nobody-here', 'viewer')", "42704"),
    Attempt("login_role_exists", "select promptctl.grant_access('public', 'viewer')", "42704"),
    Attempt("access_is_known", "select promptctl.grant_access(session_user, 'admin')", INVALID),
    Attempt("the_owner_has_every_access", "select promptctl.grant_access(session_user, 'viewer')", RESTRICT),
    *(
        Attempt("the_shares_of_a_rollout_grow", _start(steps=f"'{steps}'"), INVALID)
        for steps in (
            "{}", "{null}", "{1000,null}", "{0}", "{-1}", "{10000}", "{1000,500}", "{1000,1000}", "{{1000,2000}}",
            "[0:1]={1000,2000}", "{1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21}",
        )
    ),
    *(
        Attempt(rule, _start(**{name: value}), CHECK)
        for rule, name, value in (
            ("a_hold_is_from_0_to_366_days", "hold", "'-1 hour'"),
            ("a_hold_is_from_0_to_366_days", "hold", "'367 days'"),
            ("a_hold_is_from_0_to_366_days", "hold", "'178000000 years'"),
            ("a_rollout_waits_for_0_to_1e9_uses", "least_uses", "-1"),
            ("a_rollout_waits_for_0_to_1e9_uses", "least_uses", "1000000001"),
            ("patience_is_from_the_hold_to_3660_days", "patience", "'59 minutes'"),
            ("patience_is_from_the_hold_to_3660_days", "patience", "'3661 days'"),
            ("a_doubt_ends_in_a_pause_or_a_rollback", "in_doubt", "'promote'"),
            ("alpha_is_from_0_0001_to_0_5", "alpha", "0"),
            ("alpha_is_from_0_0001_to_0_5", "alpha", "0.6"),
            ("alpha_is_from_0_0001_to_0_5", "alpha", "'NaN'"),
            ("a_cost_guard_has_prices", "guards", """'[{"metric": "cost", "tolerance": 0.1}]'"""),
            *(
                ("guards_are_metrics_with_tolerances", "guards", f"'{guards}'")
                for guards in (
                    "null", "{}", "1", "[1]", "[[]]", "[{}]", '[{"metric": "errors"}]', '[{"tolerance": 0.1}]',
                    '[{"metric": "errors", "tolerance": "0.1"}]', '[{"metric": "errors", "tolerance": null}]',
                    '[{"metric": "errors", "tolerance": 0}]', '[{"metric": "errors", "tolerance": -0.1}]',
                    '[{"metric": "errors", "tolerance": 1.1}]', '[{"metric": "time", "tolerance": 5.1}]',
                    '[{"metric": "score", "tolerance": 1e10}]', '[{"metric": "score", "tolerance": 1e400}]',
                    '[{"metric": "time", "tolerance": 1e-400}]', '[{"metric": "speed", "tolerance": 0.1}]',
                    '[{"metric": null, "tolerance": 0.1}]', '[{"metric": 1, "tolerance": 0.1}]',
                    '[{"metric": "errors", "tolerance": 0.1, "x": 1}]',
                    '[{"metric": "errors", "tolerance": 0.1}, {"metric": "errors", "tolerance": 0.2}]',
                )
            ),
        )
    ),
    *(
        Attempt("prices_are_dollars_per_token", _start(prices=f"'{prices}'"), INVALID)
        for prices in (
            "null", "{}", "1", "[1]", "[{}]", '[{"model": "m"}]', '[{"model": 1, "size": 0, "input": 0, "output": 0}]',
            '[{"model": "m", "size": 0.5, "input": 0, "output": 0}]',
            '[{"model": "m", "size": -1, "input": 0, "output": 0}]',
            '[{"model": "m", "size": 0, "input": -1, "output": 0}]',
            '[{"model": "m", "size": 0, "input": 0, "output": "0"}]',
            '[{"model": "m", "size": 0, "input": 0, "output": 2}]',
            '[{"model": "m", "size": 0, "input": 0, "output": 0, "cache_read": "x"}]',
        )
    ),
    Attempt("an_origin_has_at_most_100_kilobytes", _start(origin=_large(100_000)), CHECK),
    Attempt("a_release_is_made_in_one_transaction", _start(release="1"), RESTRICT),
    Attempt("a_prompt_has_one_open_rollout",
            "select promptctl.create_version('greeter', 'x', version => 9); " + _STARTED + _start(candidate="9"),
            RESTRICT),
    Attempt("a_rollout_has_a_candidate", _start(candidate="null"), RESTRICT),
    Attempt("a_candidate_is_not_the_active_version", _start(candidate="2"), RESTRICT),
    Attempt("a_split_needs_an_active_version", _start(name="'idle'"), RESTRICT),
    Attempt("an_archived_version_is_not_served", _start(candidate="3"), RESTRICT),
    Attempt("an_erased_version_has_no_text", _ERASED + _start(), NO_DATA),
    Attempt("an_archived_prompt_does_not_change", _ARCHIVED_IDLE + _start(name="'idle'"), RESTRICT),
    Attempt("version_exists", _start(candidate="99"), NO_DATA),
    Attempt("a_version_needs_no_new_variable", _NEW_VARIABLE + _start(candidate="9"), RESTRICT),
    *(
        Attempt("prompt_exists", f"select promptctl.{name}_rollout('nobody')", NO_DATA)
        for name in ("tick", "explain", "pause", "resume", "stop")
    ),
    Attempt("prompt_exists", _start(name="'nobody'"), NO_DATA),
    Attempt("prompt_exists", _start(name="null"), NO_DATA),
    *(
        Attempt("rollout_exists", f"select promptctl.{name}_rollout('greeter')", NO_DATA)
        for name in ("pause", "resume", "stop")
    ),
    *(
        Attempt("the_share_of_a_rollout_is_from_1_to_9999_basis_points",
                _STARTED + f"select promptctl.split('greeter', {share}); select promptctl.resume_rollout('greeter')",
                RESTRICT)
        for share in (0, 10000)
    ),
]  # fmt: skip

# Rules that other tests cover, because they need a second session or login.
COVERED_ELSEWHERE = {
    "functions_are_not_open_to_everybody": "test_restore",
    "a_prompt_has_one_writer_at_a_time": "test_locks",
    "only_the_owner_erases": "test_erasing",
    "uses_are_not_dropped_during_recording": "test_recording",
}

# Triggers that change data instead of refusing: a statement, a query to run after it, and its row.
EFFECTS: dict[str, tuple[str, str, tuple[object, ...]]] = {
    "every_move_is_recorded": (
        _serve("greeter", "active_version = 1"),
        ("select epoch, kind, previous_version, version, author = session_user, release from promptctl.allocations "
         "where name = 'greeter' and epoch = 3"),
        (3, "activate", 2, 1, True, None),
    ),
    "a_version_number_is_never_reused": (
        _version(version="40"),
        "select next_version from promptctl.served where name = 'greeter'",
        (41,),
    ),
    "a_correction_is_recorded": (
        _update("metadata = '{}'"),
        ("select version, epoch, kind, previous_metadata, metadata, author = session_user from promptctl.corrections "
         "order by id desc limit 1"),
        (1, 2, "describe", {"description": "the first"}, {}, True),
    ),
    "a_version_never_changes": (
        _version(created_by="null", database_user="'somebody else'", release="77"),
        ("select created_by = session_user, database_user = session_user, sha256 = sha256('x'), release "
         "from promptctl.versions where name = 'greeter' and version = 9"),
        (True, True, True, None),
    ),
    "epochs_and_positions_are_set_by_the_database": (
        _serve("greeter", "candidate_version = 1, basis_points = 50"),
        "select epoch, seed, basis_points from promptctl.served where name = 'greeter'",
        (3, "greeter.3", 50),
    ),
    "rollouts_give_way": (
        _STARTED + _serve("greeter", "basis_points = 4000"),
        "select state, basis_points, why from promptctl.rollouts where name = 'greeter'",
        ("paused", 1000, "the share was set to 40% by postgres"),
    ),
    "prompts_can_be_inserted": (
        "insert into promptctl.prompts (name, content, is_active) values ('greeter', 'x', true)",
        "select version, is_active from promptctl.prompts where name = 'greeter' order by version desc limit 1",
        (4, True),
    ),
    "prompts_can_be_updated": (
        "update promptctl.prompts_without_stats set is_active = true where name = 'greeter' and version = 1",
        "select active_version from promptctl.served where name = 'greeter'",
        (1,),
    ),
    "an_update_computes_no_stats": (
        "update promptctl.prompts set is_active = true where name = 'greeter' and version = 1",
        "select active_version from promptctl.served where name = 'greeter'",
        (1,),
    ),
}  # fmt: skip
