"""`show NAME@VERSION`, its --json and `stats` have the last verdict of a version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.commands import check_failure, check_json_failure
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


def test_a_run_that_was_killed_has_the_command_that_goes_on_with_it(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("select promptctl.create_version('greeter', 'Be kind.', activated => true)")
    sql.execute("select promptctl.create_version('greeter', 'Be brief.')")
    sql.execute(BEGUN.encode())
    [(run,)] = sql.execute("select run from promptctl.test_runs").fetchall()
    listed = promptctl("test", "list")
    assert listed.out.split("\t")[3] == "not ended"
    assert (
        listed.err
        == f"run {run} is running or was killed: promptctl test show {run} has the command that goes on with it\n"
    )
    assert promptctl("test", "list", "--quiet").out == f"{run}\n"
    assert promptctl("test", "list", "--json").err == ""
    command = "promptctl test greeter@2 --against greeter@1"
    failure = check_failure(promptctl("test", "show", str(run)), 1).err
    goes_on = "the same test goes on from its replies. Give it the same --case, --repeat and --max-cost"
    assert f"run {run} of greeter@2 has not ended: it is running, or was killed. Then {goes_on}\n" in failure
    assert f"hint:  {command}\n" in failure
    sql.execute(f"select promptctl.record_test_batch({run}, 'b1', '{{}}')".encode())
    sql.execute(BEGUN.replace("'margin', 0.05", "'requested_model', 'claude-opus-5', 'margin', 0.035").encode())
    hints = [
        check_json_failure(promptctl("test", "show", str(number), "--json"), 1)["hint"] for number in (run, run + 1)
    ]
    assert hints == [f"{command} --batch --resume", f"{command} --model claude-opus-5 --margin 3.5pt"]
    assert f"runs {run + 1}, {run} are running or were killed" in promptctl("test", "list").err
    # A batch of an interrupted run has ended, so it needs no --resume, but the next calls cost half again.
    sql.execute(f"select promptctl.record_test_batch({run + 1}, 'b2', '{{}}')".encode())
    sql.execute("select promptctl.end_test_batch('b2')")
    sql.execute(end('{"failure": "interrupted"}').encode())
    failure = check_json_failure(promptctl("test", "show", str(run + 1), "--json"), 1)
    assert failure["message"] == f"run {run + 1} of greeter@2 was interrupted: {goes_on}"
    assert failure["hint"] == f"{command} --model claude-opus-5 --margin 3.5pt --batch"
    # The same test has ended since.
    sql.execute(BEGUN.encode())
    sql.execute(end(OUTCOME % "worse").encode())
    assert promptctl("test", "list").err == ""
