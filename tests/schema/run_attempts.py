"""For each rule about cases, runs and replies of tests: raw SQL that tries to break it, as in `attempts`."""

from __future__ import annotations

from tests.schema.attempts import CHECK, FOREIGN_KEY, NO_DATA, NOT_UNIQUE, RESTRICT, Attempt

_TRIGGERS_OFF = "alter table promptctl.{} disable trigger user; "
_WRITING = "select set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true); "
_LAST = "(select max(run) from promptctl.test_runs)"
_HASH = "repeat('0', 64)"
# The text of version 2 of greeter, which is active, and the hashes of two cases.
_SHA256 = "encode(sha256('Be brief.'), 'hex')"
_CASES = """array['{"a":1}', '{"b":1}']"""
_CASE_HASH = """encode(sha256('{"a":1}'), 'hex')"""
_RUN = (
    "jsonb_build_object('name', 'greeter', 'version', 2, 'against_name', 'greeter', 'against_version', 1, "
    f"'margin', 0.05, 'cases_sha256', {_HASH})"
)

_SET = f"select promptctl.set_cases('greeter', {_CASES}, 0.1); "
BEGUN = _SET + f"select promptctl.begin_test_run({_RUN}, {_CASES}); "


def _replies(**fields: str) -> str:
    """Return a call that records one reply to the last run. The fields are SQL."""
    values = {
        "id": "gen_random_uuid()", "case_hash": _CASE_HASH, "request_hash": _HASH, "model": "'m'",
        "blocks": "'[]'::jsonb",
    } | fields  # fmt: skip
    pairs = ", ".join(f"'{name}', {value}" for name, value in values.items())
    return f"select promptctl.record_test_replies({_LAST}, {_SHA256}, jsonb_build_array(jsonb_build_object({pairs}))); "


def _judgements(**fields: str) -> str:
    """Return a call that records a judgement of every reply. The fields are SQL."""
    values = {"reply_id": "r.id", "judging_key": _HASH, "passed": "true", "score": "1", "calls": "1"} | fields
    pairs = ", ".join(f"'{name}', {value}" for name, value in values.items())
    return (
        f"select promptctl.record_test_judgements({_HASH}, jsonb_agg(jsonb_build_object({pairs}))) "
        "from promptctl.test_replies r; "
    )


def end(outcome: str = '{"verdict": "worse"}', cases: str = "[]") -> str:
    return f"select promptctl.end_test_run({_LAST}, '{outcome}', '{cases}'); "


_FAILED_CASE = '[{"place": 1, "baseline_passes": 0, "baseline_replies": 0, "new_passes": 0, "new_replies": 3, %s}]'
_RESULTS = _FAILED_CASE % '"failures": [{"label": "contains", "reason": "no", "times": 3}]'
_JUDGED = BEGUN + _replies() + _judgements()
_BATCH = f"select promptctl.record_test_batch({_LAST}, 'b1', '{{}}'); "
ENDED = _JUDGED + _BATCH + end(cases=_RESULTS)


def _change(table: str, changes: str) -> str:
    """Return an update of all rows of a table without its triggers, after a run that has ended."""
    return f"{ENDED}{_TRIGGERS_OFF.format(table)}update promptctl.{table} set {changes}"


def _again(table: str, changes: str = "{}") -> str:
    """Return an insert of the rows of a table again, with changes, without its triggers."""
    return (
        f"{ENDED}{_TRIGGERS_OFF.format(table)}insert into promptctl.{table} overriding system value "
        f"select (jsonb_populate_record(t, '{changes}')).* from promptctl.{table} t"
    )


_TABLES_OF_TRUNCATE = {
    "cases_are_never_truncated": "test_cases", "lists_of_cases_are_never_truncated": "prompt_tests",
    "cases_of_prompts_are_never_truncated": "prompt_cases", "runs_are_never_truncated": "test_runs",
    "results_are_never_truncated": "test_run_cases", "failures_are_never_truncated": "test_failures",
    "batches_are_never_truncated": "test_batches", "replies_are_never_truncated": "test_replies",
    "judgements_are_never_truncated": "test_judgements",
}  # fmt: skip
_CHECKS = (
    ("a_hash_has_32_bytes", "test_runs", "cases_sha256 = '\\x00'"),
    ("a_case_is_an_object", "test_cases", "definition = '[]'"),
    ("a_case_has_at_most_1_megabyte", "test_cases", """definition = '{"x": "' || repeat('x', 1000000) || '"}'"""),
    ("the_margin_of_a_prompt_is_from_0_to_1", "prompt_tests", "margin = 1.5"),
    ("a_prompt_has_at_most_10000_cases", "prompt_cases", "place = place + 10000"),
    ("a_prompt_has_at_most_10000_cases", "prompt_cases", "place = place - 1"),
    ("a_run_has_the_name_of_a_prompt", "test_runs", "name = 'a b', version = null"),
    ("a_run_has_the_name_of_a_prompt", "test_runs", "name = repeat('x', 201), version = null"),
    ("a_baseline_has_a_name_and_a_text", "test_runs", "against_sha256 = null"),
    ("a_baseline_has_a_name_and_a_text", "test_runs", "against_name = null, against_version = null"),
    ("a_baseline_has_a_name_and_a_text", "test_runs",
     "against_name = null, against_sha256 = null, against_settings_sha256 = null"),
    ("a_baseline_has_a_name_and_a_text", "test_runs", "against_name = repeat('x', 201), against_version = null"),
    ("the_margin_of_a_run_is_from_0_to_1", "test_runs", "margin = 'NaN'"),
    ("a_run_has_a_known_verdict", "test_runs", "verdict = 'same'"),
    ("a_run_ends_with_a_verdict_or_a_failure", "test_runs", "verdict = null"),
    ("a_run_ends_with_a_verdict_or_a_failure", "test_runs", "failure = 'no_replies'"),
    ("a_run_ends_with_a_verdict_or_a_failure", "test_runs", "ended_at = null"),
    ("the_change_of_a_run_is_in_its_interval", "test_runs", "change = 0.5, lower = 0, upper = 0.4"),
    ("the_change_of_a_run_is_in_its_interval", "test_runs", "change = 0.5, lower = 0, upper = 1.5"),
    ("the_change_of_a_run_is_in_its_interval", "test_runs", "change = 0, lower = -1.5, upper = 1"),
    ("the_p_of_a_run_is_from_0_to_1", "test_runs", "p = 1.5"),
    *(("the_numbers_of_a_run_are_not_negative", "test_runs", f"{column} = -1")
      for column in ("needed_cases", "needed_repeats", "new_calls", "kept_replies", "judge_calls", "errors",
                     "input_tokens", "output_tokens")),
    ("the_cost_of_a_run_is_from_0_to_1e12", "test_runs", "cost = -1"),
    ("the_cost_of_a_run_is_from_0_to_1e12", "test_runs", "cost = 'NaN'"),
    ("the_notes_of_a_run_have_at_most_100_kilobytes", "test_runs", "notes = array[repeat('x', 100000)]"),
    ("the_notes_of_a_run_have_at_most_100_kilobytes", "test_runs", "returned_models = array[repeat('x', 100000)]"),
    ("the_origin_of_a_run_is_an_object", "test_runs", "origin = '[]'"),
    ("a_run_has_at_most_10000_cases", "test_run_cases", "place = place + 10000"),
    ("passes_are_among_the_replies", "test_run_cases", "new_passes = 4"),
    ("passes_are_among_the_replies", "test_run_cases", "baseline_passes = -1"),
    ("the_errors_of_a_case_are_not_negative", "test_run_cases", "errors = -1"),
    ("a_case_has_a_known_verdict", "test_run_cases", "verdict = 'undecided'"),
    ("the_p_of_a_case_is_from_0_to_1", "test_run_cases", "p = -0.1"),
    ("a_case_has_at_most_10000_replies", "test_run_cases",
     "new_ids = array(select gen_random_uuid() from generate_series(1, 10001))"),
    ("a_failure_happened_at_least_once", "test_failures", "times = 0"),
    ("the_requests_of_a_batch_have_at_most_10_megabytes", "test_batches", "requests = '[]'"),
    ("the_requests_of_a_batch_have_at_most_10_megabytes", "test_batches",
     "requests = jsonb_build_object('x', repeat('x', 10000000))"),
    ("a_reply_is_a_list_of_blocks", "test_replies", "blocks = '{}'"),
    ("a_reply_has_at_most_10_megabytes", "test_replies", "blocks = jsonb_build_array(repeat('x', 10000000))"),
    *(("the_numbers_of_a_reply_are_not_negative", "test_replies", f"{column} = -1")
      for column in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "response_ms",
                     "cost")),
    ("the_numbers_of_a_reply_are_not_negative", "test_replies", "response_ms = 'NaN'"),
    ("the_score_of_a_judgement_is_from_0_to_1", "test_judgements", "score = 1.5"),
    ("the_numbers_of_a_judgement_are_not_negative", "test_judgements", "calls = 0"),
    ("the_numbers_of_a_judgement_are_not_negative", "test_judgements", "cost = -1"),
    ("a_reason_has_at_most_2000_characters", "test_judgements", "reason = repeat('x', 2001)"),
    ("a_short_text_has_at_most_200_characters", "test_replies", "model = repeat('x', 201)"),
)  # fmt: skip
_FOREIGN_KEYS = (
    ("a_case_of_a_prompt_is_in_its_list", "prompt_cases", "update promptctl.prompt_cases set name = 'idle'"),
    ("a_case_of_a_prompt_is_stored", "prompt_cases", "update promptctl.prompt_cases set hash = sha256('x')"),
    ("a_run_names_an_existing_version", "test_runs", "update promptctl.test_runs set version = 9"),
    ("a_run_is_against_an_existing_version", "test_runs", "update promptctl.test_runs set against_version = 9"),
    ("a_case_of_a_run_belongs_to_a_run", "test_run_cases",
     "update promptctl.test_run_cases set run = 0 where place = 2"),
    ("a_case_of_a_run_is_stored", "test_run_cases", "update promptctl.test_run_cases set case_hash = sha256('x')"),
    ("a_failure_belongs_to_a_case_of_a_run", "test_failures", "update promptctl.test_failures set place = 3"),
    ("a_batch_belongs_to_a_run", "test_batches", "update promptctl.test_batches set run = 0"),
    ("a_reply_belongs_to_a_run", "test_replies", "update promptctl.test_replies set run = 0"),
    ("the_case_of_a_reply_is_stored", "test_replies", "update promptctl.test_replies set case_hash = sha256('x')"),
    ("a_judgement_belongs_to_a_reply", "test_judgements",
     "update promptctl.test_judgements set reply_id = gen_random_uuid()"),
)  # fmt: skip
_KEYS = {
    "a_case_is_stored_once": "test_cases", "a_prompt_has_one_list_of_cases": "prompt_tests",
    "a_case_of_a_prompt_has_one_place": "prompt_cases", "a_run_has_one_number": "test_runs",
    "a_case_of_a_run_has_one_place": "test_run_cases", "a_failure_of_a_case_has_one_place": "test_failures",
    "a_batch_is_stored_once": "test_batches", "a_reply_is_stored_once": "test_replies",
    "a_judging_key_judges_a_reply_once": "test_judgements",
}  # fmt: skip
# A trigger that refuses a change by plain SQL. With _WRITING, those for single rows refuse it, too.
_CHANGES = (
    ("cases_are_written_by_functions", "insert into promptctl.test_cases (definition) values ('{}')"),
    ("a_case_never_changes", "update promptctl.test_cases set definition = '{}'"),
    ("a_case_never_changes", _WRITING + "delete from promptctl.test_cases"),
    ("lists_of_cases_are_written_by_set_cases", "update promptctl.prompt_tests set margin = 0"),
    ("lists_of_cases_are_written_by_set_cases", "delete from promptctl.prompt_tests"),
    ("cases_of_prompts_are_written_by_set_cases", "update promptctl.prompt_cases set place = 3"),
    ("cases_of_prompts_are_written_by_set_cases", "delete from promptctl.prompt_cases"),
    ("runs_are_written_by_functions", "update promptctl.test_runs set verdict = 'better'"),
    ("runs_are_written_by_functions", "insert into promptctl.test_runs (name, sha256) values ('x', sha256('x'))"),
    ("a_run_that_ended_never_changes", _WRITING + "update promptctl.test_runs set verdict = 'better'"),
    ("a_run_that_ended_never_changes", _WRITING + "update promptctl.test_runs set ended_at = null, verdict = null"),
    ("a_run_is_never_deleted", _WRITING + "delete from promptctl.test_runs"),
    ("results_are_written_by_functions", "update promptctl.test_run_cases set new_passes = 3"),
    ("the_cases_of_a_run_never_change", _WRITING + "update promptctl.test_run_cases set new_passes = 3"),
    ("the_cases_of_a_run_never_change",
     f"{_WRITING}insert into promptctl.test_run_cases (run, place, case_hash) values ({_LAST}, 3, sha256('x'))"),
    ("a_result_is_never_deleted", _WRITING + "delete from promptctl.test_run_cases"),
    ("failures_are_written_by_end_test_run", "delete from promptctl.test_failures"),
    ("failures_are_written_by_end_test_run",
     "insert into promptctl.test_failures select * from promptctl.test_failures"),
    ("a_failure_never_changes", _WRITING + "update promptctl.test_failures set times = 1"),
    ("batches_are_written_by_functions", "delete from promptctl.test_batches"),
    ("batches_are_written_by_functions", "update promptctl.test_batches set ended_at = null"),
    ("replies_are_written_by_functions", "delete from promptctl.test_replies"),
    ("replies_are_written_by_functions", "insert into promptctl.test_replies select * from promptctl.test_replies"),
    ("a_reply_never_changes", _WRITING + "update promptctl.test_replies set cost = 0"),
    ("judgements_are_written_by_functions", "delete from promptctl.test_judgements"),
    ("judgements_are_written_by_functions",
     "insert into promptctl.test_judgements select * from promptctl.test_judgements"),
    ("a_judgement_never_changes", _WRITING + "update promptctl.test_judgements set passed = false"),
)  # fmt: skip

ATTEMPTS = [
    *(Attempt(rule, _change(table, changes), CHECK) for rule, table, changes in _CHECKS),
    *(
        Attempt(rule, f"{ENDED}{_TRIGGERS_OFF.format(table)}{statement}", FOREIGN_KEY)
        for rule, table, statement in _FOREIGN_KEYS
    ),
    Attempt("a_list_of_cases_belongs_to_a_prompt", _again("prompt_tests", '{"name": "nobody"}'), FOREIGN_KEY),
    *(Attempt(rule, _again(table), NOT_UNIQUE) for rule, table in _KEYS.items()),
    *(Attempt(rule, f"{ENDED}truncate promptctl.{table} cascade", RESTRICT)
      for rule, table in _TABLES_OF_TRUNCATE.items() if table not in ("test_cases", "prompt_tests", "test_runs",
                                                                      "test_run_cases", "test_replies")),
    # The tables that refer to these have triggers of their own.
    *(Attempt(rule, ENDED + "".join(_TRIGGERS_OFF.format(other) for other in _KEYS.values() if other != table)
              + f"truncate promptctl.{table} cascade", RESTRICT)
      for rule, table in _TABLES_OF_TRUNCATE.items()),
    *(Attempt(rule, ENDED + statement, RESTRICT) for rule, statement in _CHANGES),
    # A call that fails leaves no permission, and neither does one that succeeds.
    Attempt("replies_are_written_by_functions",
            _JUDGED + "select promptctl.drop_test_replies('-infinity'); delete from promptctl.test_replies", RESTRICT),
]  # fmt: skip

_NO_VERSION = f"""select promptctl.begin_test_run({_RUN} || '{{"version": 9}}', {_CASES})"""
_NO_PROMPT = f"""select promptctl.begin_test_run({_RUN} || '{{"name": "nobody"}}', {_CASES})"""

REFUSALS = [
    *(Attempt("test_run_exists", f"select promptctl.{call}", NO_DATA)
      for call in ("end_test_run(0, '{}')", f"record_test_replies(0, {_SHA256}, '[]')",
                   "record_test_batch(0, 'b', '{}')")),
    *(Attempt("a_run_that_ended_never_changes", ENDED + statement, RESTRICT)
      for statement in (end(), _replies(), _BATCH)),
    Attempt("a_run_keeps_what_it_tested", f"{BEGUN}{_WRITING}update promptctl.test_runs set version = 1", RESTRICT),
    Attempt("a_run_keeps_what_it_tested", f"{BEGUN}{_WRITING}update promptctl.test_runs set author = 'me'", RESTRICT),
    Attempt("a_reply_is_to_a_text_of_its_run",
            f"{BEGUN}select promptctl.record_test_replies({_LAST}, {_HASH}, '[]')", RESTRICT),
    Attempt("an_erased_text_gets_no_replies",
            BEGUN + "select promptctl.erase('greeter', 1, 'me', 'a key in it'); "
            f"select promptctl.record_test_replies({_LAST}, encode(sha256('Be kind.'), 'hex'), '[]')", RESTRICT),
    Attempt("a_result_is_of_a_case_of_its_run", BEGUN + end(cases=_RESULTS.replace('"place": 1', '"place": 3')),
            RESTRICT),
    Attempt("a_result_is_of_a_case_of_its_run",
            BEGUN + end(cases=f"{_RESULTS[:-1]}, {_RESULTS[1:]}"), RESTRICT),
    Attempt("a_prompt_has_at_most_10000_cases",
            "select promptctl.set_cases('greeter', array_fill('{}'::text, array[10001]))", "54000"),
    Attempt("a_run_names_an_existing_version",
            _NO_VERSION, NO_DATA, "version_exists"),
    Attempt("a_run_names_an_existing_version",
            _NO_PROMPT, NO_DATA, "prompt_exists"),
    Attempt("a_run_names_an_existing_version",
            "select promptctl.erase('greeter', 1, 'me', 'a key in it'); "
            f"select promptctl.begin_test_run({_RUN}, {_CASES})", NO_DATA, "an_erased_version_has_no_text"),
]  # fmt: skip

# As in `attempts`. The hash is that of the definition, whatever the statement sets.
EFFECTS: dict[str, tuple[str, str, tuple[object, ...]]] = {
    "the_hash_of_a_case_is_set_by_the_database": (
        _WRITING + "insert into promptctl.test_cases (hash, definition) values (sha256('x'), '{}')",
        "select hash = sha256('{}') from promptctl.test_cases where definition = '{}'",
        (True,),
    ),
}
