"""Every rule is broken once in plain SQL by the owner, whom no grant restricts."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from tests.schema import attempts, run_attempts
from tests.schema.attempts import COVERED_ELSEWHERE, Attempt
from tests.schema.support import refusal, rows, run

ATTEMPTS = [*attempts.ATTEMPTS, *run_attempts.ATTEMPTS]
REFUSALS = [*attempts.REFUSALS, *run_attempts.REFUSALS]
EFFECTS = attempts.EFFECTS | run_attempts.EFFECTS


@pytest.mark.parametrize("attempt", [*ATTEMPTS, *REFUSALS], ids=lambda attempt: attempt.rule)
def test_breaking_a_rule_is_refused_with_the_name_of_the_rule(
    database: psycopg.Connection[Any], attempt: Attempt
) -> None:
    assert refusal(database, attempt.sql) == (attempt.sqlstate, attempt.error_name or attempt.rule)


@pytest.mark.parametrize("rule", EFFECTS)
def test_a_trigger_does_what_its_name_says(database: psycopg.Connection[Any], rule: str) -> None:
    statement, question, answer = EFFECTS[rule]
    run(database, statement)
    assert rows(database, question) == [answer]


def test_every_constraint_trigger_rule_and_unique_index_is_attempted(database: psycopg.Connection[Any]) -> None:
    names = rows(
        database,
        """
        select conname from pg_constraint where connamespace = 'promptctl'::regnamespace and contype <> 'n'
        union
        select tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = 'promptctl'::regnamespace and not t.tgisinternal
        union
        select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
        where c.relnamespace = 'promptctl'::regnamespace and i.indisunique
        union
        select rulename from pg_rules where schemaname = 'promptctl' and rulename <> '_RETURN'
        """,
    )
    assert {name for (name,) in names} == {attempt.rule for attempt in ATTEMPTS} | set(EFFECTS)


def test_every_refusal_of_a_function_is_attempted(database: psycopg.Connection[Any]) -> None:
    sources = rows(database, "select prosrc from pg_proc where pronamespace = 'promptctl'::regnamespace")
    raised = {name for (source,) in sources for name in re.findall(r"constraint = '(\w+)'", source)}
    reported = {attempt.error_name or attempt.rule for attempt in [*ATTEMPTS, *REFUSALS]}
    assert raised - reported == set(COVERED_ELSEWHERE)


def test_every_raised_exception_has_a_constraint_name(database: psycopg.Connection[Any]) -> None:
    sources = rows(database, "select proname, prosrc from pg_proc where pronamespace = 'promptctl'::regnamespace")
    for name, source in sources:
        raised = source.count("raise exception")
        assert raised == len(re.findall(r"raise exception using errcode = '\w+',\s+constraint = ", source)), name
