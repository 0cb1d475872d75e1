"""The cost of frequent and urgent statements does not grow with the history and the number of prompts."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.schema.support import rows, run

Connection = psycopg.Connection[Any]

PROMPTS, MOVES = 1000, 400


@pytest.fixture
def large_database(database: Connection) -> Connection:
    """A database with many prompts. The prompt `deep` has a long history."""
    versions = [
        {"name": f"many/{number}", "version": version, "content": f"{version}"}
        for number in range(PROMPTS)
        for version in (1, 2)
    ]
    versions += [
        {"name": "deep", "version": version, "content": f"{version}: {{user.name}}, {{task}}"} for version in (1, 2, 3)
    ]
    database.execute("select add_versions(%s)", [json.dumps(versions)])
    database.execute("update served set active_version = 1 where name like 'many/%'")
    for move in range(MOVES):
        database.execute("select activate('{deep}', array[%s::integer])", [move % 3 + 1])
    database.execute("select split('many/1', 5000, 2)")
    database.execute("select create_version('routed', 'x', activated => true)")
    database.execute("""select set_routes('{routed}', '[[{"when": {"plan": "x"}, "use": "many/1"}]]')""")
    database.execute(
        "insert into uses (id, name, version, epoch) select new_use_id(), 'deep', 1, 1 from generate_series(1, 2000)"
    )
    database.execute("analyze served, versions, allocations, corrections, uses, scores")
    return database


def rows_read(connection: Connection) -> dict[str, tuple[int, int]]:
    """Return the rows that this transaction has read of each table: by scans, and by an index."""
    counters = rows(
        connection,
        """
        select relname, seq_tup_read, coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables
        where schemaname = 'promptctl'
        """,
    )
    return {table: (scanned, fetched) for table, scanned, fetched in counters}


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


def test_frequent_statements_read_few_rows_and_only_by_index(large_database: Connection) -> None:
    for statement in STATEMENTS:
        before = rows_read(large_database)
        run(large_database, statement)
        for table, (scanned, fetched) in rows_read(large_database).items():
            scanned_before, fetched_before = before.get(table, (0, 0))
            # roll_up has one row on one page, so a scan is the best plan.
            assert scanned - scanned_before <= (2 if table == "roll_up" else 0), (statement, table)
            assert fetched - fetched_before < 40, (statement, table)


@pytest.mark.parametrize("helper", ["require_prompts", "lock_prompts"])
def test_a_helper_uses_an_index_whatever_planner_settings_its_first_caller_had(
    large_database: Connection, helper: str
) -> None:
    # A session keeps the generic plan of a function's first callers, and their settings are not those of the next.
    large_database.execute("set local plan_cache_mode = force_generic_plan")
    large_database.execute("set local random_page_cost = 1000")
    before = rows_read(large_database)
    run(large_database, f"select {helper}('{{deep}}')")
    assert rows_read(large_database)["served"][0] == before["served"][0]


def test_triggers_that_join_changed_rows_disable_nested_loops(database: Connection) -> None:
    # A session caches the plan of its first change, of one row, for later changes of many rows.
    functions = rows(
        database,
        """
        select proname, coalesce(proconfig, '{}') from pg_proc
        where pronamespace = 'promptctl'::regnamespace and prosrc ~ 'new_rows' and prosrc ~ 'old_rows'
        """,
    )
    assert len(functions) == 3
    for name, settings in functions:
        assert "enable_nestloop=off" in settings, name
