"""Erasing a version: what is removed, what stays, and who may erase."""

from __future__ import annotations

import os
from typing import Any

import psycopg
import pytest

from tests.schema.support import refusal, rows, run, value

Connection = psycopg.Connection[Any]
ERASE = "select erase('greeter', 1, 'ada', 'a key in it')"


@pytest.fixture(autouse=True)
def _set_search_path(database: Connection) -> None:
    run(database, "set search_path = promptctl")


def test_erasing_removes_what_can_contain_a_secret_and_keeps_the_rest(database: Connection) -> None:
    run(database, """select describe('greeter', 1, '{"description": "key sk-1", "team": "a"}', 'ada', 'why')""")
    run(
        database,
        """select record_applied('git', '[{"name": "greeter", "active": 2, "digest": "00",
        "metadata": {"1": {"description": "key sk-1"}, "2": {"description": "kept"}}, "is_settled": true}]')""",
    )
    run(database, "select record_use('greeter', 1, 1, 17, 120, 80)")
    kept_columns = (
        "select id, sha256, created_at, created_by, version from versions where name = 'greeter' and version = 1"
    )
    before = rows(database, kept_columns)
    result = rows(database, ERASE.replace("select", "select name, version, changed, size, metadata from"))
    assert result == [("greeter", 1, True, 8, ["description", "team"])]
    assert rows(database, kept_columns) == before
    removed_columns = "select content, settings, metadata, variables, is_retired, erased_at is not null from versions"
    assert rows(database, f"{removed_columns} where name = 'greeter' and version = 1") == [("", {}, {}, [], True, True)]
    assert value(database, "select (stats ->> 'total_uses')::int from version_stats "
                            "where name = 'greeter' and version = 1") == 1  # fmt: skip
    # The history and the applied state of the folder do not contain the metadata either.
    assert rows(database, "select kind, previous_metadata, metadata, author, reason from corrections "
                           "where version = 1 and name = 'greeter' order by id") == [
        ("describe", None, None, "ada", "why"), ("archive", None, None, "ada", "a key in it"),
        ("erase", None, None, "ada", "a key in it"),
    ]  # fmt: skip
    assert rows(database, "select metadata, digest, is_settled from applied") == [
        ({"2": {"description": "kept"}}, None, False)
    ]  # fmt: skip
    tables = ("versions", "corrections", "applied", "allocations", "releases", "uses")
    all_rows = " ".join(str(rows(database, f"select t::text from {table} t")) for table in tables)
    assert "sk-1" not in all_rows
    # A second erasure changes nothing.
    assert value(database, "select changed from erase('greeter', 1, 'ada', 'again')") is False
    assert value(database, "select count(*) from corrections where kind = 'erase'") == 1


# A run of version 1 against version 2 of greeter, with a reply to each, judged by idle@1, and a failure.
RUN = """
select begin_test_run(jsonb_build_object(
    'name', 'greeter', 'version', 1, 'against_name', 'greeter', 'against_version', 2, 'margin', 0.05, 'cases_sha256',
    repeat('0', 64), 'judge_sha256', encode(sha256('Wait.'), 'hex')), array['{}']);
select record_test_replies((select max(run) from test_runs), encode(sha256(text::bytea), 'hex'), jsonb_build_array(
    jsonb_build_object('id', gen_random_uuid(), 'case_hash', encode(sha256('{}'), 'hex'), 'request_hash',
                       repeat('0', 64), 'model', 'm', 'blocks', '[{"type": "text", "text": "sk-1"}]'::jsonb)))
from (values ('Be kind.'), ('Be brief.')) t (text);
select record_test_judgements(encode(sha256('Wait.'), 'hex'), jsonb_agg(jsonb_build_object(
    'reply_id', id, 'judging_key', repeat('0', 64), 'passed', false, 'score', 0, 'reason', 'sk-1', 'calls', 3)))
from test_replies;
select end_test_run((select max(run) from test_runs), '{"verdict": "worse"}', '[{"place": 1, "baseline_passes": 1,
    "baseline_replies": 1, "new_passes": 0, "new_replies": 1,
    "failures": [{"label": "x", "reason": "sk-1", "times": 1}]}]')
"""
COUNTS = (
    "select (select count(*) from test_replies), (select count(*) from test_judgements), "
    "(select count(*) from test_failures), (select count(*) from test_run_cases), "
    "(select string_agg(encode(sha256, 'hex'), '') = encode(sha256('Be brief.'), 'hex') from test_replies)"
)


def test_erasing_deletes_what_may_quote_the_text_in_runs_of_tests(database: Connection) -> None:
    run(database, RUN)
    verdict = "select run, verdict from version_verdicts where name = 'greeter' and version = 1"
    before = rows(database, verdict)
    assert rows(database, COUNTS) == [(2, 2, 1, 1, False)]
    run(database, ERASE)
    # The reply to the other version stays with its judgement, and so does the verdict.
    assert rows(database, COUNTS) == [(1, 1, 0, 1, True)]
    assert before == rows(database, verdict)
    assert before[0][1] == "worse"


def test_erasing_a_judge_deletes_its_judgements(database: Connection) -> None:
    run(database, RUN)
    run(database, "select erase('idle', 1, 'ada', 'a key in it')")
    assert rows(database, COUNTS) == [(2, 0, 0, 1, False)]


def test_another_prompt_that_has_an_erased_text_keeps_the_results_of_its_own_runs(database: Connection) -> None:
    run(database, "select create_version('twin', 'Be kind.', activated => true);"
                  "select create_version('twins-judge', 'Wait.', activated => true)")  # fmt: skip
    of_both = RUN.partition("select end_test_run")[0]
    run(database, of_both.replace("'name', 'greeter', 'version', 1", "'name', 'greeter', 'version', null, 'sha256', "
                                  "encode(sha256('Be kind.'), 'hex'), 'settings', '{}'::jsonb"))  # fmt: skip
    run(database, f"{ERASE}; select erase('idle', 1, 'ada', 'a key in it')")
    assert rows(database, COUNTS) == [(1, 0, 0, 1, True)]
    run(database, RUN.replace("'name', 'greeter', 'version', 1", "'name', 'twin', 'version', 1"))
    assert rows(database, COUNTS) == [(3, 3, 1, 2, False)]
    # The text belongs to the erased prompt too, where the folder still has it.
    record = (
        "select record_test_replies((select min(run) from test_runs), encode(sha256('Be kind.'), 'hex'), '[]')",
        "select record_test_replies((select max(run) from test_runs), encode(sha256('Be kind.'), 'hex'), '[]')",
    )
    assert refusal(database, record[0]) == ("23001", "an_erased_text_gets_no_replies")
    assert refusal(database, record[1]) == ("23001", "a_run_that_ended_never_changes")


def test_setting_erased_at_by_plain_sql_erases_like_the_function(database: Connection) -> None:
    run(database, "select set_config('promptctl.reason', 'a key in it', false)")
    run(database, "update versions set erased_at = '2000-01-01' where name = 'greeter' and version = 3")
    assert rows(database, "select content, erased_at > now() - interval '1 hour' from versions "
                           "where name = 'greeter' and version = 3") == [("", True)]  # fmt: skip
    assert value(database, "select reason from corrections where kind = 'erase'") == "a key in it"
    # A new version cannot be stored as erased.
    run(database, "insert into versions (name, version, content, erased_at) values ('greeter', 8, 'x', now())")
    assert value(database, "select erased_at is null from versions where version = 8")


def test_erased_versions_returns_which_of_the_callers_versions_are_erased(database: Connection) -> None:
    run(database, ERASE)
    result = rows(database, "select erased_versions('{greeter,greeter,idle}', '{1,2,1}')")
    assert result == [("greeter@1",)]
    assert rows(database, "select version from read_versions('{greeter,greeter}', '{1,2}')") == [(2,)]


@pytest.mark.parametrize("access", ["viewer", "application", "operator", "none", "operator with every right"])
def test_only_the_owner_erases(database: Connection, access: str) -> None:
    login = f"eraser_{os.getpid()}"
    with database.transaction(force_rollback=True):
        run(database, f"create role {login} login; grant usage on schema promptctl to {login}")
        if access == "operator with every right":
            run(database, f"grant all on all tables in schema promptctl to {login};"
                           f"grant execute on all functions in schema promptctl to {login}")  # fmt: skip
        elif access != "none":
            run(database, f"select grant_access('{login}', '{access}')")
        run(database, f"set local session authorization {login}; set local promptctl.reason = 'x'")
        statements = (ERASE, "update versions set erased_at = now() where name = 'greeter' and version = 1",
                      "update versions set content = 'x' where name = 'greeter' and version = 1")  # fmt: skip
        expected = (
            [("42501", "only_the_owner_erases")] * 2 + [("23001", "a_version_never_changes")]
            if access == "operator with every right"
            else [("42501", None)] * 3
        )
        assert [refusal(database, statement) for statement in statements] == expected
    assert value(database, "select content from versions where name = 'greeter' and version = 1") == "Be kind."


def test_a_member_of_the_owning_role_can_erase(database: Connection) -> None:
    login = f"member_{os.getpid()}"
    with database.transaction(force_rollback=True):
        owner = value(database, "select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'promptctl'")
        run(database, f"create role {login} login; grant {owner} to {login}")
        run(database, f"set local session authorization {login}")
        assert value(database, f"select changed from ({ERASE}) t (e), lateral (select (e).changed) c") is True
