"""`stats --worst`: the failed and the slowest uses, one by one."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import check_failure
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl

    Connection = psycopg.Connection[Any]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# An id, the version, what was reported, and the age in seconds.
USES = (
    ("a1", 1, "response_ms => 900, first_token_ms => 120, input_tokens => 100, output_tokens => 20", 5),
    (
        "a2",
        2,
        f"response_ms => 61250, model => 'claude-sonnet-5-5', request_id => 'req_1', trace_id => '{TRACE}'",
        20_000,
    ),
    ("a3", 1, "response_ms => 901.5, input_tokens => 7", 200_000),
    ("a4", 1, "output_tokens => 7", 5),
    ("b1", 1, f"outcome => 'InternalServerError', response_ms => 12, trace_id => '{TRACE}'", 3000),
    ("b2", 2, "outcome => E'x\\ty\\x1b[1m', response_ms => 30000", 90),
)


@pytest.fixture
def command(promptctl: Promptctl, sql: Connection) -> Promptctl:
    """The command line on a database with six uses of one prompt and one of another."""
    run(sql, "select promptctl.create_version('x', 'one', activated => true), promptctl.create_version('x', 'two'),"
             " promptctl.create_version('a/b', 'y', activated => true)")  # fmt: skip
    for number, version, fields, age in (*USES, ("c1", 0, "response_ms => 3000", 60)):
        name = "x" if version else "a/b"
        use_id = f"0190f000-0000-7000-8000-0000000000{number}"
        run(sql, f"select promptctl.record_use('{name}', {version or 1}, 1, use_id => '{use_id}', {fields})")
        run(sql, "set session_replication_role = replica")
        run(sql, f"update promptctl.uses set recorded_at = now() - interval '{age} s' where id = '{use_id}'")
        run(sql, "reset session_replication_role")
    return promptctl


def ids(command: Promptctl, *words: str) -> list[str]:
    return [line[-2:] for line in command("stats", *words, "-q").out.splitlines()]


def test_failed_uses_come_first_and_then_the_slowest(command: Promptctl, sql: Connection) -> None:
    assert ids(command, "x", "--worst", "10") == ["b2", "b1", "a2", "a1"]
    assert ids(command, "x", "--worst", "1") == ["b2", "a2"]
    assert ids(command, "x", "--worst", "1000", "--since", "9d") == ["b2", "b1", "a2", "a3", "a1"]
    assert ids(command, "--worst", "2", "--since", "1h") == ["b2", "b1", "c1", "a1"]
    document = json.loads(command("stats", "x", "--worst", "1", "--since", "2026-01-01", "--json").out)
    assert {key: document[key] for key in ("name", "kept_from", "count")} == {
        "name": "x",
        "kept_from": None,
        "count": 2,
    }
    assert document["since"].startswith(("2025-12-31", "2026-01-01"))
    [slowest] = document["slowest"]
    assert slowest.pop("recorded_at").endswith("Z")
    assert slowest == {
        "id": "0190f000-0000-7000-8000-0000000000a2", "name": "x", "version": 2, "epoch": 1, "outcome": "ok",
        "response_time_ms": 61250, "first_token_ms": None, "input_tokens": None, "output_tokens": None,
        "model": "claude-sonnet-5-5", "trace_id": TRACE, "request_id": "req_1",
    }  # fmt: skip
    assert [use["outcome"] for use in document["failed"]] == ["x\ty\x1b[1m"]
    rows = list(csv.DictReader(io.StringIO(command("stats", "x", "--worst", "9", "--csv").out)))
    assert list(rows[0]) == list(document["failed"][0])
    assert [(row["id"][-2:], row["trace_id"]) for row in rows] == [("b2", ""), ("b1", TRACE), ("a2", TRACE), ("a1", "")]
    piped = command("stats", "--worst", "1")
    assert piped.err == ""
    fields = [line.split("\t")[1:] for line in piped.out.splitlines()]
    assert fields[1] == ["x", "2", "ok", "61250", TRACE, "-", "-", "claude-sonnet-5-5", "req_1", slowest["id"]]
    assert "\x1b" not in piped.out
    screen = command.on_terminal("stats", "x", "--worst", "1").out
    assert re.search(r"^WHEN .*\n(\d+ \w+ )?\d\d:\d\d:\d\d +2 ", screen)
    assert "these are uses in the last 24h: --since sets another period" in screen
    # Uses that the database no longer keeps are not listed. A note says so.
    run(sql, "select promptctl.roll_up_uses()")
    run(sql, "select promptctl.drop_uses(now() - interval '2 h', 0)")
    kept = command("stats", "x", "--worst", "9", "--since", "9d")
    assert "single uses from before 20" in kept.err
    assert " UTC were deleted, and are not listed" in kept.err
    assert ids(command, "x", "--worst", "9", "--since", "9d") == ["b2", "b1", "a1"]
    assert command("stats", "x", "--worst", "9", "--since", "30m").err == ""
    nothing = command("stats", "x", "--worst", "9", "--since", "1s")
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == "no use in the last 1s failed, and none reported its response time\n"


def test_a_terminal_of_80_columns_has_the_whole_trace(
    command: Promptctl, sql: Connection, snapshot: Callable[..., None]
) -> None:
    run(sql, "set session_replication_role = replica")
    run(sql, "update promptctl.uses set recorded_at = ('2026-09-0' || version || ' 08:30:05Z')::timestamptz")
    outputs: list[str] = []
    for columns in (150, 80, 40):
        for words in ("x --worst 3 --since 2026-08-01", "--worst 1 --since 2026-08-01"):
            screen = command.on_terminal("stats", *words.split(), columns=columns)
            assert TRACE in screen.out
            outputs.append(f"$ promptctl stats {words}  # {columns} columns\n{screen.out}")
    outputs.append(command.on_terminal("stats", "x", "--worst", "3").out)
    markdown = command("stats", "x", "--worst", "3", "--since", "2026-08-01", "--format", "markdown")
    snapshot("\n".join([*outputs, markdown.out]), "cli/stats-worst")


def test_what_does_not_go_with_the_worst_uses_is_refused(command: Promptctl) -> None:
    for words, message in (
        ("--worst 0", "--worst is a whole number from 1 to 1000, not 0"),
        ("--worst 1001", "--worst is a whole number from 1 to 1000, not 1001"),
        ("--worst 3 --by day", "--worst lists single uses: leave out --by"),
        ("--worst 3 --all", "--worst lists single uses: leave out --all"),
        (
            "--worst 3 --format prometheus",
            "--format prometheus has the sums of all time of each version: leave out --worst",
        ),
    ):
        assert f"error: {message}\n" in check_failure(command("stats", *words.split()), 2).err
    assert check_failure(command("stats", "nothing", "--worst", "3"), 4).err.startswith('error: no prompt "nothing"')
