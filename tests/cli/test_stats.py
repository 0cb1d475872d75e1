"""Statistics of recorded uses: the numbers against what was put in, in every form and grouping."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import prices
from tests.cli.conftest import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl

    Connection = psycopg.Connection[Any]

INSERT = """
insert into promptctl.uses (id, name, version, epoch, model, input_tokens, output_tokens, cache_read_tokens,
                            response_ms, first_token_ms, outcome, recorded_at)
values (gen_random_uuid(), 'x', %s, 1, %s, %s, %s, %s, %s, %s, %s, %s)
"""
KNOWN, UNKNOWN = "claude-sonnet-4-5", "llama-of-ours"
# version, model, tokens in, out, cached, ms, first ms, outcome, when
USES: list[tuple[Any, ...]] = [
    (1, KNOWN, 1000, 500, 0, 100, 10, "ok", "2026-11-20 23:59:59.999+00"),
    (1, KNOWN, 2000, None, None, 200, None, "ok", "2026-11-21 00:00:00+00"),
    (1, KNOWN, None, None, None, None, None, "overloaded_error", "2026-11-21 10:15:00+00"),
    (1, KNOWN, 3000, 1, None, 9999, 10, "reply_cut", "2026-11-21 10:45:00+00"),
    (2, UNKNOWN, 10, 20, None, 300, 30, "ok", "2026-11-21 11:00:00+00"),
    *[(3, None, None, None, None, ms, None, "ok", "2026-11-22 12:00:00+00") for ms in range(1, 101)],
]


@pytest.fixture
def used(promptctl: Promptctl, sql: Connection) -> Promptctl:
    """The command line on a database with uses of three versions of one prompt; version 1 is live."""
    for content in ("one", "two", "three"):
        sql.execute("select promptctl.create_version('x', %s, author => 'me')", [content])
    sql.execute("select promptctl.create_version('idle', 'x', author => 'me')")
    sql.execute("select promptctl.activate('{x}', '{1}', 'me')")
    for use in USES:
        sql.execute(INSERT, use)
    return promptctl


def read(promptctl: Promptctl, *words: str) -> dict[str, Any]:
    return json.loads(promptctl("stats", *words, "--json").out)


def test_the_numbers_of_each_version_are_those_of_its_uses(used: Promptctl) -> None:
    document = read(used, "x")
    assert document["count"] == 3
    three, two, one = (version["stats"] for version in document["versions"])
    assert [version["is_active"] for version in document["versions"]] == [False, False, True]
    assert one == {
        "total_uses": 4, "errors": 2,
        # Of the two that went well, and reported both.
        "avg_tokens": 1500, "avg_input_tokens": 1500, "avg_output_tokens": 500, "avg_response_time_ms": 150,
        "p50_response_time_ms": 150, "p95_response_time_ms": 195, "p99_response_time_ms": 199,
        "avg_first_token_ms": 10,
        # What was billed for the one that was cut, too.
        "input_tokens": 6000, "output_tokens": 501, "cache_read_tokens": 0,
        "cost_usd": round(6000 * 3e-6 + 501 * 15e-6, 6), "last_used_at": "2026-11-21T10:45:00Z",
    }  # fmt: skip
    assert "cost_usd" not in two
    assert (three["avg_response_time_ms"], three["p50_response_time_ms"]) == (50.5, 50.5)
    assert (three["p95_response_time_ms"], three["p99_response_time_ms"]) == (95.05, 99.01)
    assert "avg_tokens" not in three
    assert "cost_usd" not in three


def test_a_price_has_steps_and_each_use_is_on_its_own_side_of_them(used: Promptctl, sql: Connection) -> None:
    sql.execute("delete from promptctl.uses")
    counts = (100_000, 100_001, 200_000, 200_001, 1_000_000, 0)
    for tokens in counts:
        for model in (KNOWN, "claude-haiku-5-5"):
            sql.execute(INSERT, (1, model, tokens, 10, None, 1, 1, "ok", "2026-11-21 00:00:00+00"))
    for group in read(used, "x", "--by", "model")["groups"]:
        each = [prices.cost_usd(group["model"], tokens, 10, 0, 0, "2026-11-21T00:00:00Z") or 0 for tokens in counts]
        assert group["stats"]["cost_usd"] == pytest.approx(sum(each), abs=1e-6)


def test_the_view_says_the_same_as_the_command(used: Promptctl, sql: Connection) -> None:
    for version in read(used)["versions"]:
        row = sql.execute(
            "select stats from promptctl.prompts where name = %s and version = %s",
            [version["name"], version["version"]],
        ).fetchone()
        assert row is not None
        for key in ("total_uses", "errors", "avg_tokens", "avg_response_time_ms"):
            assert row[0].get(key) == version["stats"].get(key)


def test_days_end_at_midnight_in_utc_whatever_the_time_zone(used: Promptctl) -> None:
    for zone in ("UTC", "Asia/Kathmandu"):
        document = json.loads(used("stats", "x", "--by", "day", "--json", env={"TZ": zone}).out)
        assert document["by"] == ["day"]
        found = [(group["day"], group["stats"]["total_uses"]) for group in document["groups"]]
        assert found == [("2026-11-22", 100), ("2026-11-21", 4), ("2026-11-20", 1)]


def test_hours_models_and_several_keys(used: Promptctl) -> None:
    hours = [(group["hour"], group["stats"]["total_uses"]) for group in read(used, "x", "--by", "hour")["groups"]]
    assert hours == [
        ("2026-11-22T12:00:00Z", 100), ("2026-11-21T11:00:00Z", 1), ("2026-11-21T10:00:00Z", 2),
        ("2026-11-21T00:00:00Z", 1), ("2026-11-20T23:00:00Z", 1),
    ]  # fmt: skip
    models = [(group["model"], group["stats"]["total_uses"]) for group in read(used, "--by", "model")["groups"]]
    assert models == [(None, 100), (KNOWN, 4), (UNKNOWN, 1)]
    both = read(used, "x", "--by", "day, version")["groups"]
    assert [(group["day"], group["version"]) for group in both] == [
        ("2026-11-22", 3), ("2026-11-21", 2), ("2026-11-21", 1), ("2026-11-20", 1),
    ]  # fmt: skip
    assert both[2]["stats"]["errors"] == 2


def test_since_takes_the_moment_itself_and_what_is_later(used: Promptctl) -> None:
    def uses(since: str) -> list[int]:
        return [version["stats"]["total_uses"] for version in read(used, "x", "--since", since)["versions"]]

    assert uses("2026-11-21T11:00:00Z") == [100, 1, 0]
    assert uses("2026-11-21T11:00:00.001Z") == [100, 0, 0]
    assert uses("2026-11-20") == [100, 1, 4]
    assert uses("1s") == [0, 0, 0]
    assert read(used, "x", "--by", "day", "--since", "1s")["groups"] == []


def test_retired_versions_are_not_listed_and_their_uses_still_count_by_day(used: Promptctl) -> None:
    assert used("delete", "x@3").code == 0
    assert [version["version"] for version in read(used, "x")["versions"]] == [2, 1]
    assert read(used, "x", "--by", "day")["groups"][0]["stats"]["total_uses"] == 100


def test_csv_is_read_back_as_it_was_written(used: Promptctl, sql: Connection) -> None:
    sql.execute(INSERT, (1, '=cmd|" /C",\n', 1, 1, None, 1, 1, "ok", "2026-11-23 00:00:00+00"))
    ended = used("stats", "x", "--by", "model", "--csv")
    rows = list(csv.DictReader(io.StringIO(ended.out, newline="")))
    assert [row["model"] for row in rows] == ["", '=cmd|" /C",\n', KNOWN, UNKNOWN]
    assert rows[2]["total_uses"] == "4"
    assert rows[3]["cost_usd"] == ""
    assert rows[0]["last_used_at"] == "2026-11-22T12:00:00Z"
    assert ended.out.startswith("name,model,total_uses,errors,avg_tokens,")
    assert used("stats", "idle", "--csv").out.splitlines()[1].startswith("idle,1,0,0,,")


def test_csv_on_a_terminal_is_shown_and_not_obeyed(used: Promptctl, sql: Connection) -> None:
    sql.execute(INSERT, (1, "\x1b]0;owned\x07\r\nx", 1, 1, None, 1, 1, "ok", "2026-11-23 00:00:00+00"))
    seen = used.on_terminal("stats", "x", "--by", "model", "--csv").out
    assert '\nx,"\\x1b]0;owned\\x07\\x0d\nx",1,0,2,' in seen
    assert not set(seen) & set("\x1b\x07\r")


def test_an_input_that_was_cached_whole_has_its_cost(promptctl: Promptctl, sql: Connection) -> None:
    sql.execute("select promptctl.create_version('x', 'one', author => 'me')")
    for cached, kept in [(333, 667)] * 5 + [(1, 1)]:
        sql.execute(
            "select promptctl.record_use('x', 1, 1, %s, 10, model => %s, cache_read_tokens => %s,"
            " cache_write_tokens => %s)",
            [cached + kept, KNOWN, cached, kept],
        )
    [version] = read(promptctl, "x")["versions"]
    # 1 666 tokens read from the cache, 3 336 written to it, 60 out.
    assert version["stats"]["cost_usd"] == round(1666 * 0.3e-6 + 3336 * 3.75e-6 + 60 * 15e-6, 6)


def test_a_pipe_gets_the_columns_without_the_pictures(used: Promptctl) -> None:
    lines = used("stats", "x").out.splitlines()
    assert lines[2] == "1\t4\t2\t1500\t150\t150\t195\t199\t10\t0.025515\t2026-11-21T10:45:00Z"
    assert used("stats", "x", "--by", "day").out.splitlines()[2] == (
        "2026-11-20\t1\t0\t1500\t100\t100\t100\t100\t10\t0.0105"
    )
    assert used("stats", "-q").out == "idle@1\nx@3\nx@2\nx@1\n"
    assert used("stats", "x", "--by", "day,model", "-q").out.splitlines()[0] == "x\t2026-11-22\t-"


@pytest.mark.parametrize("columns", [130, 100, 80, 40])
def test_a_terminal_shows_as_much_as_it_has_room_for(
    columns: int, used: Promptctl, sql: Connection, snapshot: Callable[..., None]
) -> None:
    sql.execute("update promptctl.uses set recorded_at = now() - interval '5 days' where version = 2")
    sql.execute(
        "update promptctl.uses set recorded_at = now() - interval '1 day' * ceil(response_ms / 20) where version = 3"
    )
    sql.execute("update promptctl.uses set recorded_at = now() where version = 1")
    told: list[str] = []
    for words in ("", "x", "x --by version,model"):
        seen = used.on_terminal("stats", *words.split(), columns=columns)
        told.append(f"$ promptctl stats {words}  # {columns} columns\n{seen.out}")
    snapshot("\n".join(told), f"cli/stats-{columns}")


def test_the_daily_report_on_a_terminal(used: Promptctl, snapshot: Callable[..., None]) -> None:
    snapshot(
        used.on_terminal("stats", "x", "--by", "day", columns=100).out
        + used.on_terminal("stats", "x", "--by", "hour", columns=100).out,
        "cli/stats-by-day",
    )
    assert used.on_terminal("stats", "x", "--by", "day", "--since", "1s").out == "no uses\n"


def test_what_cannot_be_a_grouping_is_refused(used: Promptctl) -> None:
    for by, message in (("week", 'no grouping "week"'), ("", 'no grouping ""'), ("day,day", "day is there twice")):
        ended = refused(used("stats", "--by", by), 2)
        takes = "--by takes version, day, hour, model, with commas between"
        assert ended.err == f"error: {message}: {takes}\nhint:  promptctl stats --help\n"
    for form in ("-q", "--json"):
        assert "--csv, --json and --quiet are forms of one answer" in used("stats", "--csv", form).err
    assert refused(used("stats", "--since", "yesterday"), 2).err.startswith('error: "yesterday" is no time')
    assert refused(used("stats", "nothing"), 4).err.startswith('error: no prompt "nothing"')
