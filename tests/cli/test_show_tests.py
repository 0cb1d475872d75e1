"""`show NAME@VERSION`, its --json and `stats` have the last verdict of a version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.schema.run_attempts import BEGUN, end

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

OUTCOME = '{"verdict": "%s", "change": -0.25, "lower": -0.5, "upper": 0}'


def test_show_has_the_last_verdict_of_a_version(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sql.execute("select promptctl.create_version('greeter', 'Be kind.', activated => true)")
    sql.execute("select promptctl.create_version('greeter', 'Be brief.')")
    assert json.loads(promptctl("show", "greeter@2", "--json").out)["last_test"] is None
    assert "test:" not in promptctl("show", "greeter@2").err
    for verdict, sentence in (
        ("not worse", "not worse than greeter@1"),
        ("undecided", "undecided, against greeter@1"),
        ("worse", "worse than greeter@1"),
    ):
        sql.execute(BEGUN.encode())
        sql.execute(end(OUTCOME % verdict).encode())
        [(run, ended_at)] = sql.execute(
            "select run, to_char(ended_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') from promptctl.test_runs "
            "order by run desc limit 1"
        ).fetchall()
        shown = promptctl("show", "greeter@2")
        assert (shown.code, shown.out) == (0, "Be brief.")
        assert shown.err.endswith(f"\ntest: {sentence}, at {ended_at}Z, run {run}\n")
        test = json.loads(promptctl("show", "greeter@2", "--json").out)["last_test"]
        assert test.pop("ended_at").startswith(ended_at)
        assert test == {
            "run": run, "verdict": verdict, "against_name": "greeter", "against_version": 1, "change": -0.25,
            "lower": -0.5, "upper": 0,
        }  # fmt: skip
        versions = json.loads(promptctl("show", "greeter", "--json").out)["versions"]
        assert [version["last_test"] and version["last_test"]["run"] for version in versions] == [run, None]


def test_stats_on_a_terminal_has_the_last_verdict_of_each_version(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("select promptctl.create_version('greeter', 'Be kind.', activated => true)")
    sql.execute("select promptctl.create_version('greeter', 'Be brief.')")
    assert "test:" not in promptctl.on_terminal("stats", "greeter").out
    sql.execute(BEGUN.encode())
    sql.execute(end(OUTCOME % "worse").encode())
    [(run,)] = sql.execute("select run from promptctl.test_runs").fetchall()
    shown = promptctl.on_terminal("stats", "greeter").out
    assert shown.endswith(f"\ngreeter@2 test: worse than greeter@1, just now, run {run}\n")
    assert "test:" not in promptctl("stats", "greeter").err
