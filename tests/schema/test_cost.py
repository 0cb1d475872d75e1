"""What is done on every request or under pressure costs the same with much history and many prompts."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.schema.support import rows, run

Connection = psycopg.Connection[Any]

PROMPTS, MOVES = 1000, 400


@pytest.fixture
def large(furnished: Connection) -> Connection:
    """Many prompts, of which `deep` has a long history."""
    versions = [{"name": f"many/{n}", "version": v, "content": f"{v}"} for n in range(PROMPTS) for v in (1, 2)]
    versions += [{"name": "deep", "version": v, "content": f"{v}: {{user.name}}, {{task}}"} for v in (1, 2, 3)]
    furnished.execute("select add_versions(%s)", [json.dumps(versions)])
    furnished.execute("update served set active_version = 1 where name like 'many/%'")
    for move in range(MOVES):
        furnished.execute("select activate('{deep}', array[%s::integer])", [move % 3 + 1])
    furnished.execute("select split('many/1', 5000, 2)")
    furnished.execute("select create_version('routed', 'x', activated => true)")
    furnished.execute("""select set_routes('{routed}', '[[{"when": {"plan": "x"}, "use": "many/1"}]]')""")
    furnished.execute(
        "insert into uses (id, name, version, epoch) select new_use_id(), 'deep', 1, 1 from generate_series(1, 2000)"
    )
    furnished.execute("analyze served, versions, allocations, corrections, uses, scores")
    return furnished


def read(connection: Connection) -> dict[str, tuple[int, int]]:
    """How many rows this transaction has read of each table: by scanning it, and by an index."""
    found = rows(
        connection,
        """
        select relname, seq_tup_read, coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables
        where schemaname = 'promptctl'
        """,
    )
    return {table: (scanned, fetched) for table, scanned, fetched in found}


STATEMENTS = [
    "select * from resolve('deep', 'user-1', '{}')",
    "select * from resolve('routed', 'user-1', '{\"plan\": \"x\"}')",
    "select * from resolve('routed', 'user-1', '{\"plan\": \"y\"}')",
    "select * from resolve('many/1', 'user-1', '{}')",
    "select * from explain_resolve('routed', 'user-1', '{\"plan\": \"x\"}')",
    "select * from follow('{deep,routed,many/1}', null)",
    "select * from read_versions('{deep,many/3}', '{2,1}')",
    "select record_use('deep', 1, 5, 1, 1, 1, unit => 'user-1')",
    "select score_use((select id from uses order by id limit 1), 0.5)",
    "select split('many/2', 500, 2)",
    "select split('many/1', 500)",
    "select end_split('many/1')",
    "select * from activate('{deep}', '{1}')",
    "select * from activate('{deep}', '{3}')",
    "select * from rollback('{deep}')",
    "select * from rollback('{deep}', 3)",
    "update prompts set is_active = true where name = 'deep' and version = 1",
    "update prompts set is_active = (version = 1) where name = 'deep'",
    "select create_version('deep', 'new', activated => true)",
    "insert into prompts (name, content) values ('new', 'x')",
    "select retire('many/5', 2)",
    "select describe('many/5', 1, '{\"description\": \"d\"}')",
]


def test_each_reads_a_handful_of_rows_by_index(large: Connection) -> None:
    for statement in STATEMENTS:
        before = read(large)
        run(large, statement)
        for table, (scanned, fetched) in read(large).items():
            scanned_before, fetched_before = before.get(table, (0, 0))
            # roll_up has one row, on one page: that is read as it is.
            assert scanned - scanned_before <= (2 if table == "roll_up" else 0), (statement, table)
            assert fetched - fetched_before < 40, (statement, table)


@pytest.mark.parametrize("helper", ["require_prompts", "lock_prompts"])
def test_a_helper_keeps_an_index_scan_whatever_its_first_caller_set(large: Connection, helper: str) -> None:
    # A session keeps the generic plan of a function's first callers, and their settings are not those of the next.
    large.execute("set local plan_cache_mode = force_generic_plan")
    large.execute("set local random_page_cost = 1000")
    before = read(large)
    run(large, f"select {helper}('{{deep}}')")
    assert read(large)["served"][0] == before["served"][0]


def test_no_trigger_keeps_a_plan_that_grows_with_the_square_of_the_rows(furnished: Connection) -> None:
    # The plan of a session's first change, of one row, is kept for all that follow.
    found = rows(
        furnished,
        """
        select proname, coalesce(proconfig, '{}') from pg_proc
        where pronamespace = 'promptctl'::regnamespace and prosrc ~ 'new_rows' and prosrc ~ 'old_rows'
        """,
    )
    assert len(found) == 2
    for name, settings in found:
        assert "enable_nestloop=off" in settings, name
