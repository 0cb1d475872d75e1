"""`stats`: the statistics of recorded uses, in every form and grouping."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.claude import prices
from tests.commands import check_failure

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
EMPTIED = """
set session_replication_role = replica;
delete from promptctl.uses;
delete from promptctl.totals;
reset session_replication_role;
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


@pytest.fixture(params=["single", "rolled up", "both"])
def promptctl_with_uses(promptctl: Promptctl, sql: Connection, request: pytest.FixtureRequest) -> Promptctl:
    """The command line on a database with uses of three versions of one prompt; version 1 is active.

    The statistics are the same whether or not the uses are rolled up.
    """
    for content in ("one", "two", "three"):
        sql.execute("select promptctl.create_version('x', %s, author => 'me')", [content])
    sql.execute("select promptctl.create_version('idle', 'x', author => 'me')")
    sql.execute("select promptctl.activate('{x}', '{1}', 'me')")
    for number, use in enumerate(USES):
        if request.param == "both" and number == len(USES) // 2:
            sql.execute("select promptctl.roll_up_uses()")
        sql.execute(INSERT, use)
    if request.param == "rolled up":
        sql.execute("select promptctl.roll_up_uses()")
    return promptctl


def read(promptctl: Promptctl, *words: str) -> dict[str, Any]:
    return json.loads(promptctl("stats", *words, "--json").out)


def test_the_statistics_of_a_version_match_its_uses(promptctl_with_uses: Promptctl) -> None:
    document = read(promptctl_with_uses, "x")
    assert document["count"] == 3
    three, two, one = (version["stats"] for version in document["versions"])
    assert [version["is_active"] for version in document["versions"]] == [False, False, True]
    assert one == {
        "total_uses": 4, "errors": 2,
        # The averages of the two successful uses that reported both token counts.
        "avg_tokens": 1500, "avg_input_tokens": 1500, "avg_output_tokens": 500, "avg_response_time_ms": 150,
        # Percentiles by nearest rank: of two values, the first and the second.
        "p50_response_time_ms": 100, "p95_response_time_ms": 200, "p99_response_time_ms": 200,
        "avg_first_token_ms": 10,
        # What was billed for the one that was cut, too.
        "input_tokens": 6000, "output_tokens": 501, "cache_read_tokens": 0, "cache_hit_rate": 0,
        "cost_usd": round(6000 * 3e-6 + 501 * 15e-6, 6), "last_used_at": "2026-11-21T10:45:00Z",
        "scored": 0, "without_unit": 4,
    }  # fmt: skip
    assert "cost_usd" not in two
    assert [two[f"p{percent}_response_time_ms"] for percent in (50, 95, 99)] == [300, 300, 300]
    assert three["avg_response_time_ms"] == 50.5
    for percent in (50, 95, 99):
        assert three[f"p{percent}_response_time_ms"] == pytest.approx(percent, rel=0.011)
    assert "avg_tokens" not in three
    assert "cost_usd" not in three


def test_costs_apply_the_price_tier_of_each_use(promptctl_with_uses: Promptctl, sql: Connection) -> None:
    sql.execute(EMPTIED)
    counts = (100_000, 100_001, 200_000, 200_001, 1_000_000, 0)
    for tokens in counts:
        for model in (KNOWN, "claude-haiku-5-5"):
            sql.execute(INSERT, (1, model, tokens, 10, None, 1, 1, "ok", "2026-11-21 00:00:00+00"))
    for group in read(promptctl_with_uses, "x", "--by", "model")["groups"]:
        costs = [prices.cost_usd(group["model"], tokens, 10, 0, 0, "2026-11-21T00:00:00Z") or 0 for tokens in counts]
        assert group["stats"]["cost_usd"] == pytest.approx(sum(costs), abs=1e-6)


def test_the_view_prompts_has_the_same_statistics_as_the_command(
    promptctl_with_uses: Promptctl, sql: Connection
) -> None:
    for version in read(promptctl_with_uses)["versions"]:
        row = sql.execute(
            "select stats from promptctl.prompts where name = %s and version = %s",
            [version["name"], version["version"]],
        ).fetchone()
        assert row is not None
        for key in ("total_uses", "errors", "avg_tokens", "avg_response_time_ms"):
            assert row[0].get(key) == version["stats"].get(key)


def test_days_end_at_midnight_in_utc_in_every_time_zone(promptctl_with_uses: Promptctl) -> None:
    for zone in ("UTC", "Asia/Kathmandu"):
        document = json.loads(promptctl_with_uses("stats", "x", "--by", "day", "--json", env={"TZ": zone}).out)
        assert document["by"] == ["day"]
        days = [(group["day"], group["stats"]["total_uses"]) for group in document["groups"]]
        assert days == [("2026-11-22", 100), ("2026-11-21", 4), ("2026-11-20", 1)]


def test_statistics_by_hour_by_model_and_by_two_keys(promptctl_with_uses: Promptctl) -> None:
    hours = [
        (group["hour"], group["stats"]["total_uses"])
        for group in read(promptctl_with_uses, "x", "--by", "hour")["groups"]
    ]
    assert hours == [
        ("2026-11-22T12:00:00Z", 100), ("2026-11-21T11:00:00Z", 1), ("2026-11-21T10:00:00Z", 2),
        ("2026-11-21T00:00:00Z", 1), ("2026-11-20T23:00:00Z", 1),
    ]  # fmt: skip
    models = [
        (group["model"], group["stats"]["total_uses"]) for group in read(promptctl_with_uses, "--by", "model")["groups"]
    ]
    assert models == [(None, 100), (KNOWN, 4), (UNKNOWN, 1)]
    both = read(promptctl_with_uses, "x", "--by", "day, version")["groups"]
    assert [(group["day"], group["version"]) for group in both] == [
        ("2026-11-22", 3), ("2026-11-21", 2), ("2026-11-21", 1), ("2026-11-20", 1),
    ]  # fmt: skip
    assert both[2]["stats"]["errors"] == 2


def test_since_includes_uses_at_that_time_and_later(promptctl_with_uses: Promptctl) -> None:
    def uses(since: str) -> list[int]:
        return [
            version["stats"]["total_uses"] for version in read(promptctl_with_uses, "x", "--since", since)["versions"]
        ]

    assert uses("2026-11-21T11:00:00Z") == [100, 1, 0]
    assert uses("2026-11-21T11:00:00.001Z") == [100, 0, 0]
    assert uses("2026-11-20") == [100, 1, 4]
    assert uses("1s") == [0, 0, 0]
    assert read(promptctl_with_uses, "x", "--by", "day", "--since", "1s")["groups"] == []


def test_archived_versions_are_not_listed_but_count_by_day(promptctl_with_uses: Promptctl) -> None:
    assert promptctl_with_uses("delete", "x@3").code == 0
    assert [version["version"] for version in read(promptctl_with_uses, "x")["versions"]] == [2, 1]
    assert read(promptctl_with_uses, "x", "--by", "day")["groups"][0]["stats"]["total_uses"] == 100


def test_csv_output_parses_to_the_same_values(promptctl_with_uses: Promptctl, sql: Connection) -> None:
    sql.execute(INSERT, (1, '=cmd|" /C",\n', 1, 1, None, 1, 1, "ok", "2026-11-23 00:00:00+00"))
    ended = promptctl_with_uses("stats", "x", "--by", "model", "--csv")
    rows = list(csv.DictReader(io.StringIO(ended.out, newline="")))
    assert [row["model"] for row in rows] == ["", '=cmd|" /C",\n', KNOWN, UNKNOWN]
    assert rows[2]["total_uses"] == "4"
    assert rows[3]["cost_usd"] == ""
    assert rows[0]["last_used_at"] == "2026-11-22T12:00:00Z"
    assert ended.out.startswith("name,model,total_uses,errors,avg_tokens,")
    assert ended.out.splitlines()[0].endswith(",last_used_at,avg_score,scored,without_unit")
    [idle] = csv.DictReader(io.StringIO(promptctl_with_uses("stats", "idle", "--csv").out))
    assert (idle["total_uses"], idle["avg_tokens"], idle["avg_score"], idle["without_unit"]) == ("0", "", "", "0")
    assert (idle["is_active"], idle["is_candidate"], idle["share_basis_points"]) == ("false", "false", "0")


def test_control_characters_in_csv_are_escaped_on_a_terminal(promptctl_with_uses: Promptctl, sql: Connection) -> None:
    sql.execute(INSERT, (1, "\x1b]0;owned\x07\r\nx", 1, 1, None, 1, 1, "ok", "2026-11-23 00:00:00+00"))
    screen_text = promptctl_with_uses.on_terminal("stats", "x", "--by", "model", "--csv").out
    assert '\nx,"\\x1b]0;owned\\x07\\x0d\nx",1,0,2,' in screen_text
    assert not set(screen_text) & set("\x1b\x07\r")


def test_the_cost_of_input_that_is_entirely_cached(promptctl: Promptctl, sql: Connection) -> None:
    sql.execute("select promptctl.create_version('x', 'one', author => 'me')")
    for cached, written in [(333, 667)] * 5 + [(1, 1)]:
        sql.execute(
            "select promptctl.record_use('x', 1, 1, %s, 10, model => %s, cache_read_tokens => %s,"
            " cache_write_tokens => %s)",
            [cached + written, KNOWN, cached, written],
        )
    [version] = read(promptctl, "x")["versions"]
    # 1 666 tokens read from the cache, 3 336 written to it, 60 out.
    assert version["stats"]["cost_usd"] == round(1666 * 0.3e-6 + 3336 * 3.75e-6 + 60 * 15e-6, 6)


CACHED = """
select promptctl.create_version('x', content, author => 'me') from unnest(array['one', 'two', 'three']) content;
select promptctl.record_use('x', 1, 1, 10000, 10, model => 'claude-sonnet-4-5', cache_write_tokens => 8000);
select promptctl.record_use('x', 1, 1, 10000, 10, model => 'claude-sonnet-4-5', cache_read_tokens => 8000)
from generate_series(1, 19);
select promptctl.record_use('x', 2, 1, 10000, 10, model => 'claude-sonnet-4-5', cache_read_tokens => 0,
                            cache_write_tokens => 8000);
select promptctl.record_use('x', 3, 1, 10000, 10, model => 'llama-of-ours', cache_read_tokens => 10000);
"""


def test_the_hit_rate_and_what_caching_saved(promptctl: Promptctl, sql: Connection) -> None:
    sql.execute(CACHED)
    three, two, one = (version["stats"] for version in read(promptctl, "x")["versions"])
    assert one["cache_hit_rate"] == 0.76
    # A read costs 0.30 dollars a million tokens, a write 3.75, and plain input 3.
    saved = 19 * 8000 * 2.7e-6 - 8000 * 0.75e-6
    assert one["cache_saved_usd"] == round(saved, 6)
    assert (two["cache_hit_rate"], two["cache_saved_usd"]) == (0, -0.006)
    assert (three["cache_hit_rate"], "cache_saved_usd" in three) == (1, False)
    rows = [line.split("\t") for line in promptctl("stats", "x").out.splitlines()]
    assert [row[-2:] for row in rows] == [["100", "-"], ["0", "-0.006"], ["76", "0.4"]]
    rows = list(csv.DictReader(io.StringIO(promptctl("stats", "x", "--csv").out)))
    assert [row["cache_saved_usd"] for row in rows] == ["", "-0.006", "0.4044"]
    [group] = [group for group in read(promptctl, "--by", "model")["groups"] if group["model"] == KNOWN]
    assert group["stats"]["cache_saved_usd"] == round(saved - 0.006, 6)


@pytest.mark.parametrize("columns", [120, 80, 40])
def test_a_terminal_shows_the_hit_rate_if_tokens_were_cached(
    columns: int, promptctl: Promptctl, sql: Connection, snapshot: Callable[..., None]
) -> None:
    sql.execute(CACHED)
    sql.execute(
        "set session_replication_role = replica;"
        # Still "just now" in a while.
        "update promptctl.uses set recorded_at = now() + interval '1 minute';"
        "reset session_replication_role"
    )
    outputs = [
        f"$ promptctl stats {words}  # {columns} columns\n"
        + promptctl.on_terminal("stats", *words.split(), columns=columns).out
        for words in ("", "x", "x --by model")
    ]
    snapshot("\n".join(outputs), f"cli/stats-cached-{columns}")


def test_piped_statistics_are_plain_columns(promptctl_with_uses: Promptctl) -> None:
    lines = promptctl_with_uses("stats", "x").out.splitlines()
    assert lines[2] == "1\t4\t2\t1500\t150\t100\t200\t200\t10\t0.025515\t2026-11-21T10:45:00Z\t-\t100\t0\t-"
    assert lines[0].endswith("\t2026-11-22T12:00:00Z\t-\t0\t-\t-")
    assert promptctl_with_uses("stats", "x", "--by", "day").out.splitlines()[2] == (
        "2026-11-20\t1\t0\t1500\t100\t100\t100\t100\t10\t0.0105\t-\t0\t-"
    )
    assert promptctl_with_uses("stats", "-q").out == "x@3\nx@2\nx@1\n"
    assert promptctl_with_uses("stats", "-q", "--all").out == "idle@1\nx@3\nx@2\nx@1\n"
    assert promptctl_with_uses("stats", "x", "--by", "day,model", "-q").out.splitlines()[0] == "x\t2026-11-22\t-"


MOVED = """
set session_replication_role = replica;
update promptctl.uses set recorded_at = now() - interval '5 days' where version = 2;
update promptctl.uses set recorded_at = now() - interval '1 day' * ceil(response_ms / 20) where version = 3;
update promptctl.uses set recorded_at = now() + interval '1 minute' where version = 1; -- still "just now" in a while
delete from promptctl.totals;
update promptctl.roll_up set rolled_below = 0;
reset session_replication_role;
"""
SPLIT = """
select promptctl.split('x', 1000, 2, 'me');
select promptctl.record_use('x', 2, 2, 100, 20, 250, unit => 'ada', score => 0.75, use_id => gen_random_uuid());
select promptctl.score_use(id, 0.5) from promptctl.uses where version = 1 and outcome = 'ok';
"""


@pytest.mark.parametrize("columns", [130, 100, 80, 40])
@pytest.mark.parametrize("promptctl_with_uses", ["single"], indirect=True)
def test_a_terminal_shows_the_columns_that_fit(
    columns: int, promptctl_with_uses: Promptctl, sql: Connection, snapshot: Callable[..., None]
) -> None:
    sql.execute(MOVED)
    outputs: list[str] = []
    for words in ("", "x", "x --by version,model"):
        screen = promptctl_with_uses.on_terminal("stats", *words.split(), columns=columns)
        outputs.append(f"$ promptctl stats {words}  # {columns} columns\n{screen.out}")
    snapshot("\n".join(outputs), f"cli/stats-{columns}")


@pytest.mark.parametrize("columns", [120, 80, 40])
def test_a_terminal_compares_the_two_versions_of_a_split(
    columns: int, promptctl_with_uses: Promptctl, sql: Connection, snapshot: Callable[..., None]
) -> None:
    sql.execute(SPLIT)
    sql.execute(MOVED)
    sql.execute("select promptctl.roll_up_uses()")
    screen_text = (
        promptctl_with_uses.on_terminal("stats", "x", columns=columns).out
        + promptctl_with_uses.on_terminal("stats", columns=columns).out
    )
    snapshot(f"$ promptctl stats x; promptctl stats  # {columns} columns\n{screen_text}", f"cli/stats-split-{columns}")


def test_json_statistics_contain_the_shares_of_a_split(promptctl_with_uses: Promptctl, sql: Connection) -> None:
    versions = read(promptctl_with_uses, "x")["versions"]
    assert [(version["is_active"], version["is_candidate"], version["share_basis_points"]) for version in versions] == [
        (False, False, 0), (False, False, 0), (True, False, 10_000),
    ]  # fmt: skip
    sql.execute(SPLIT)
    three, two, one = read(promptctl_with_uses, "x")["versions"]
    assert (three["is_candidate"], three["share_basis_points"]) == (False, 0)
    assert (two["is_active"], two["is_candidate"], two["share_basis_points"]) == (False, True, 1000)
    assert (one["is_active"], one["is_candidate"], one["share_basis_points"]) == (True, False, 9000)
    assert (two["stats"]["avg_score"], two["stats"]["scored"], two["stats"]["without_unit"]) == (0.75, 1, 1)
    assert (one["stats"]["avg_score"], one["stats"]["scored"], one["stats"]["without_unit"]) == (0.5, 2, 4)
    rows = [line.split("\t") for line in promptctl_with_uses("stats", "x").out.splitlines()]
    assert [row[-4:-2] for row in rows] == [["-", "0"], ["0.75", "10"], ["0.5", "90"]]
    rows = list(csv.DictReader(io.StringIO(promptctl_with_uses("stats", "x", "--csv").out)))
    assert [(row["avg_score"], row["share_basis_points"], row["is_candidate"]) for row in rows] == [
        ("", "0", "false"), ("0.75", "1000", "true"), ("0.5", "9000", "false"),
    ]  # fmt: skip
    assert (
        promptctl_with_uses("stats", "x").err
        == "5 of 6 uses had no unit: a split assigns each of those calls at random\n"
    )
    for words in (["--json"], ["--by", "day"], ["-q"]):
        assert promptctl_with_uses("stats", "x", *words).err == ""
    # Other groupings have no shares.
    assert "share_basis_points" not in read(promptctl_with_uses, "x", "--by", "version,model")["groups"][0]


def test_fallbacks_are_reported_and_are_not_counted_as_uses(promptctl: Promptctl, sql: Connection) -> None:
    sql.execute("select promptctl.create_version('x', 'one', author => 'me')")

    def fall_back(name: str, calls: int) -> None:
        for _ in range(calls):
            sql.execute(
                "select promptctl.record_fallbacks(array[gen_random_uuid()], array[%s], '{0}', '{null}', '{1}', '{1}',"
                " '{1}', '{ok}')",
                [name],
            )

    assert promptctl("stats", "x").err == ""
    assert read(promptctl)["fallbacks"] == []
    fall_back("x", 1)
    assert promptctl("stats", "x").err == "also 1 call with an application's fallback text\n"
    fall_back("x", 11)
    fall_back("typo", 2)
    for words in ([], ["--csv"], ["--by", "day"], ["--since", "2h"]):
        assert promptctl("stats", "x", *words).err == "also 12 calls with an application's fallback text\n"
    assert promptctl("stats").err == "also 14 calls with an application's fallback text: x 12, typo 2\n"
    assert "also 14 calls" in promptctl.on_terminal("stats").out
    for name in ("a", "b\x1b[31m", "c"):
        fall_back(name, 1)
    assert promptctl("stats").err == "also 17 calls with an application's fallback text: x 12, typo 2, a 1 and 2 more\n"
    document = read(promptctl, "x")
    assert document["fallbacks"] == [{"name": "x", "calls": 12}]
    assert document["versions"][0]["stats"]["total_uses"] == 0
    assert read(promptctl, "--by", "day") == {
        "by": ["day"], "groups": [], "count": 0,
        "fallbacks": [
            {"name": name, "calls": calls}
            for name, calls in (("x", 12), ("typo", 2), ("a", 1), ("b~~31m", 1), ("c", 1))
        ],
    }  # fmt: skip
    assert promptctl("stats", "-q").err == ""


def test_statistics_by_day_and_hour_on_a_terminal(
    promptctl_with_uses: Promptctl, snapshot: Callable[..., None]
) -> None:
    snapshot(
        promptctl_with_uses.on_terminal("stats", "x", "--by", "day", columns=100).out
        + promptctl_with_uses.on_terminal("stats", "x", "--by", "hour", columns=100).out,
        "cli/stats-by-day",
    )
    assert promptctl_with_uses.on_terminal("stats", "x", "--by", "day", "--since", "1s").out == "no uses\n"


def test_invalid_groupings_and_options_are_refused(promptctl_with_uses: Promptctl) -> None:
    for by, message in (("week", 'invalid key "week"'), ("", 'invalid key ""'), ("day,day", "day appears twice")):
        ended = check_failure(promptctl_with_uses("stats", "--by", by), 2)
        accepted = "--by accepts version, day, hour, model, separated by commas"
        assert ended.err == f"error: {message}: {accepted}\nhint:  promptctl stats --help\n"
    for form in ("-q", "--json"):
        assert "use only one of --csv, --json and --quiet" in promptctl_with_uses("stats", "--csv", form).err
    assert check_failure(promptctl_with_uses("stats", "--since", "yesterday"), 2).err.startswith(
        'error: "yesterday" is not a time'
    )
    assert check_failure(promptctl_with_uses("stats", "nothing"), 4).err.startswith('error: no prompt "nothing"')
