"""Setting is_active through the view: any form of UPDATE works, and none reads the uses."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import active, create, history, refusal, rows, run, value

if TYPE_CHECKING:
    Connection = psycopg.Connection[Any]


MOST_USED = """
    update prompts set is_active = true where (name, version) = (
        select name, version from prompts where name = 'new' order by (stats ->> 'total_uses')::integer desc limit 1
    )
"""


def plan(connection: Connection, sql: str) -> str:
    """The plan of a statement, as text."""
    return "\n".join(line for (line,) in rows(connection, "explain (verbose) " + sql))


@pytest.mark.parametrize("versions", list(itertools.permutations((1, 2, 3))), ids=str)
@pytest.mark.parametrize("before", [None, 1, 2, 3])
def test_an_update_of_all_rows_leaves_one_active_in_any_order(
    database: Connection, versions: tuple[int, ...], before: int | None
) -> None:
    for version in versions:
        database.execute("insert into prompts (name, version, content) values ('new', %s, 'x')", [version])
    if before:
        database.execute("update prompts set is_active = true where name = 'new' and version = %s", [before])
    database.execute("set local enable_indexscan = off; set local enable_bitmapscan = off")
    cursor = database.execute("update prompts set is_active = (version = 2) where name = 'new'")
    assert (cursor.rowcount, active(database, "new")) == (3, 2)
    states = rows(database, "select version, is_active from prompts where name = 'new' order by version")
    assert states == [(1, False), (2, True), (3, False)]
    epochs = [epoch for epoch, *_ in history(database, "new")]
    assert epochs == list(range(1, len(epochs) + 1))


@pytest.mark.parametrize(
    "statement",
    [
        "update prompts set is_active = true where id = (select id from prompts where name = 'new' and version = 2)",
        "update prompts p set is_active = true from (values ('new', 2)) v (n, k) where name = n and version = k",
        "with u as (update prompts set is_active = true where name = 'new' and version = 2 returning *) table u",
        "update prompts set (is_active, metadata) = (true, metadata) where name = 'new' and version = 2",
        "update prompts set is_active = not is_active where name = 'new' and version = 2",
        "update prompts set is_active = (version = 2)",
        MOST_USED,
    ],
)
def test_an_update_of_any_form_activates(database: Connection, statement: str) -> None:
    create(database, "new", 3, activate=1)
    database.execute("select record_use('new', 2, 1)")
    run(database, statement)
    assert active(database, "new") == 2


def test_an_update_returns_the_new_values(database: Connection) -> None:
    update = """
        update prompts set is_active = true where name = 'greeter' and version = 1
        returning name, version, is_active, content, (stats ->> 'total_uses')::integer
    """
    assert rows(database, update) == [("greeter", 1, True, "Be kind.", 0)]


def test_an_update_that_matches_no_row_changes_nothing(database: Connection) -> None:
    before = history(database, "greeter")
    for condition in ("version = 99", "name = 'nobody'", "false"):
        cursor = run(database, "update prompts set is_active = true where name = 'greeter' and " + condition)
        assert cursor.statusmessage == "UPDATE 0"
    assert history(database, "greeter") == before


def test_statements_that_the_view_does_not_support_are_refused(database: Connection) -> None:
    for statement in (
        "insert into prompts (name, version, content) values ('greeter', 1, 'x') on conflict do nothing",
        "insert into prompts (name, content) values ('greeter', 'x') on conflict (id) do update set is_active = true",
        "merge into prompts using (values (1)) v (n) on version = n when matched then update set is_active = true",
        "truncate prompts",
    ):
        state, _ = refusal(database, statement)
        assert state in ("0A000", "42809", "42P10"), statement


def test_uses_are_read_only_for_the_column_stats(database: Connection) -> None:
    database.execute(
        """
        insert into uses (id, name, version, epoch, input_tokens, output_tokens, response_ms)
        select gen_random_uuid(), 'greeter', 2, 2, 10, 20, 100 from generate_series(1, 1000)
        """
    )
    for statement in (
        "select name, version, is_active, content from prompts",
        "select count(*) from prompts",
        "select name from prompts where is_active",
        "update prompts set is_active = true where name = 'greeter' and version = 2",
        "update prompts set is_active = false where name = 'greeter'",
        "update prompts set is_active = (version = 2)",
        "update prompts set is_active = true where name = 'greeter' and version = 2 returning name, version",
    ):
        assert "uses" not in plan(database, statement), statement
    assert "uses" in plan(database, "select stats from prompts")


def test_activating_through_the_view_does_not_scan_uses(sql: Connection) -> None:
    create(sql, "new", 2, activate=1)
    sql.execute(
        """
        insert into promptctl.uses (id, name, version, epoch)
        select gen_random_uuid(), 'new', 2, 1 from generate_series(1, 20000)
        """
    )
    sql.execute("analyze")
    scans = """
        select seq_scan + idx_scan from pg_stat_xact_user_tables where schemaname = 'promptctl' and relname = 'uses'
    """
    with sql.transaction():
        sql.execute("update promptctl.prompts set is_active = (version = 2) where name = 'new'")
        assert value(sql, scans) == 0
    assert active(sql, "new") == 2
