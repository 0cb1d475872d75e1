"""--dry-run reports what a command would do, is refused like the command, and changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl

TABLES = ("served", "versions", "allocations", "corrections", "releases", "applied", "uses")
COMMANDS = (
    "activate default-system-prompt@3 support/triage@2", "rollback default-system-prompt", "rollback support/triage",
    "deactivate default-system-prompt support/triage", "release rollback 1 --skip-moved",
    "delete default-system-prompt code_helper@1", "erase default-system-prompt@1 --reason x",
)  # fmt: skip


def contents(sql: psycopg.Connection[Any]) -> list[Any]:
    rows = [sql.execute(f"select t::text from promptctl.{table} t order by 1".encode()).fetchall() for table in TABLES]
    return [*rows, sql.execute("select last_value from promptctl.releases_release_seq").fetchall()]


def test_a_dry_run_changes_nothing_and_predicts_the_result_of_the_command(
    demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    for command in COMMANDS:
        before = contents(sql)
        rehearsed = demo(*command.split(), "--dry-run", "--json")
        assert rehearsed.code == 0, rehearsed
        answers = [json.loads(line) for line in rehearsed.out.splitlines()]
        assert all(each["dry_run"] is True and each.get("release") is None for each in answers)
        assert contents(sql) == before
    real = demo("deactivate", "default-system-prompt", "support/triage", "--json")
    assert [json.loads(line)["release"] for line in real.out.splitlines()] == [2, 2]


def test_an_operator_may_not_erase(
    demo: Promptctl, promptctl_on: Callable[..., Promptctl], database_name: str, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("select promptctl.grant_access('app', 'operator')")
    before = contents(sql)
    check_failure = promptctl_on(database_name, "app")("erase", "default-system-prompt@1", "--reason", "x", "--json")
    assert (check_failure.code, json.loads(check_failure.err)["error"]["code"]) == (5, "not_the_owner")
    assert contents(sql) == before
