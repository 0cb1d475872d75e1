"""`compare`: verdicts, screens, exit codes, and what may be wrong with the uses."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from tests.commands import check_failure, check_json_failure
from tests.conftest import stable
from tests.split_uses import TWO_DAYS_AGO, uses_sql

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Ended, Promptctl

    Connection = psycopg.Connection[Any]


@pytest.fixture
def support(promptctl: Promptctl, sql: Connection) -> Promptctl:
    """The command line on a database with the prompt `support`: version 2 is active, 3 is the candidate with 50%."""
    for content in ("one", "two", "three"):
        sql.execute("select promptctl.create_version('support', %s, author => 'ada@example.com')", [content])
    sql.execute("select promptctl.activate('{support}', '{2}', 'ada@example.com')")
    split(sql, 5000)
    return promptctl


def split(sql: Connection, basis_points: int, candidate: int | None = 3) -> None:
    sql.execute("select promptctl.split('support', %s, %s, author => 'ada@example.com')", [basis_points, candidate])


def record(sql: Connection, **settings: Any) -> None:
    """Record uses of the split, see `uses_sql`."""
    sql.execute(uses_sql("support", **settings).encode())


def document(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended
    parsed: dict[str, Any] = json.loads(ended.out)
    return parsed


def compared(promptctl: Promptctl, *words: str) -> dict[str, Any]:
    """Return the JSON of a comparison, with its metrics by name."""
    answer = document(promptctl("compare", "support", *words, "--json"))
    return answer | {"metrics": {metric["metric"]: metric for metric in answer["metrics"]}}


def verdicts(answer: dict[str, Any]) -> dict[str, str]:
    return {name: metric["verdict"] for name, metric in answer["metrics"].items()}


def test_a_slower_version_is_worse_and_the_check_ends_with_3(support: Promptctl, sql: Connection) -> None:
    record(sql, slower=1.3)
    answer = compared(support)
    assert answer["verdict"] == "worse"
    assert answer["sentence"].startswith("Version 3 is worse: it is ")
    time = answer["metrics"]["time"]
    assert time["lower"] < 0.3 < time["upper"]
    assert time["difference"] == pytest.approx(0.3, abs=0.02)
    assert (time["unit"], time["margin"], time["needed_uses"]) == ("ms", 0.1, None)
    assert answer["metrics"]["output"]["verdict"] == "same"
    assert [support("compare", "support", *words).code for words in ([], ["--check"], ["--check", "--strict"])] == [
        0,
        3,
        3,
    ]
    assert support("compare", "support", "--quiet").out == "worse\n"


def test_a_faster_version_is_better_and_the_check_ends_with_0(support: Promptctl, sql: Connection) -> None:
    record(sql, slower=0.7)
    answer = compared(support)
    assert (answer["verdict"], answer["a"], answer["b"]) == ("better", 2, 3)
    assert answer["sentence"].startswith("Version 3 is better: it is 2")
    assert answer["sentence"].endswith("Nothing is worse. Not known yet: errors and score.")
    assert support("compare", "support", "--check").code == 0
    # Errors and score take more uses.
    assert support("compare", "support", "--check", "--strict").code == 9
    # In the other direction, the same difference is a harm.
    other = compared(support, "@3", "@2")
    assert (other["verdict"], other["a"], other["share_basis_points"]) == ("worse", 3, 5000)
    assert other["metrics"]["time"]["difference"] == pytest.approx(1 / 0.7 - 1, rel=0.02)


def test_equal_versions_are_the_same_once_all_metrics_are_known(support: Promptctl, sql: Connection) -> None:
    record(sql, errors_a=0, errors_b=0, score=0.0)
    answer = compared(support)
    assert answer["verdict"] == "same"
    assert answer["sentence"] == "Versions 2 and 3 are the same: no difference that matters."
    assert set(verdicts(answer).values()) == {"same"}
    assert support("compare", "support", "--check", "--strict").code == 0


def test_few_uses_decide_nothing_and_the_answer_says_how_many_more_it_takes(
    support: Promptctl, sql: Connection
) -> None:
    assert (
        compared(support)["sentence"] == "Nothing is known yet: no uses were recorded while both versions were served."
    )
    assert support("compare", "support", "--check", "--strict", "--quiet").code == 9
    record(sql, units=160, uses_of_unit=1, slower=2.0)
    sql.execute(TWO_DAYS_AGO.encode())
    answer = compared(support)
    assert answer["verdict"] == "not known"
    assert set(verdicts(answer).values()) == {"not known"}
    assert answer["metrics"]["time"]["needed_uses"] > 0
    assert answer["metrics"]["time"]["lower"] is None
    lines = support.on_terminal("compare", "support").out.splitlines()
    assert lines == [
        "support: version 3 (50%) beside version 2, for 2 days, 160 uses",
        "Nothing is known yet: version 3 has 80 uses, and a verdict takes at least 100.",
        "That takes about 40 more uses (14 hours).",
    ]


def test_the_screen_of_a_comparison(support: Promptctl, sql: Connection, snapshot: Callable[..., None]) -> None:
    split(sql, 1000)
    record(sql, slower=1.3, errors_b=60, units=2000)
    split(sql, 5000)
    record(sql, slower=1.3, errors_b=60, units=2000)
    sql.execute(TWO_DAYS_AGO.encode())
    snapshot(stable(support.on_terminal("compare", "support").out), "cli/compare-terminal")
    snapshot(stable(support.on_terminal("compare", "support", "--by", "share").out), "cli/compare-by-share")
    piped = support("compare", "support")
    snapshot(stable(piped.out + piped.err), "cli/compare-piped")
    snapshot(stable(support("compare", "support", "--by", "share").out), "cli/compare-by-share-piped")
    snapshot(stable(support("compare", "support", "--format", "markdown").out), "cli/compare-markdown")


def test_the_columns_of_a_comparison_fit_80_columns_and_narrow_terminals(support: Promptctl, sql: Connection) -> None:
    record(sql, slower=1.3)
    for columns in (40, 80):
        screen = support.on_terminal("compare", "support", "--by", "share", columns=columns).out
        assert max(map(len, screen.splitlines())) <= columns


def test_the_comparison_is_the_same_before_and_after_a_roll_up(support: Promptctl, sql: Connection) -> None:
    record(sql, slower=1.1)
    before = compared(support)
    sql.execute("select promptctl.roll_up_uses()")
    after = compared(support)
    assert before == after


def test_margins_decide_what_matters(support: Promptctl, sql: Connection) -> None:
    record(sql, slower=1.08)
    assert verdicts(compared(support, "--margin", "time=5%"))["time"] == "worse"
    wide = compared(support, "--margin", "time=20%", "--margin", "score=0.5")
    assert verdicts(wide)["time"] == "same"
    assert wide["metrics"]["time"]["margin"] == pytest.approx(0.2)
    assert wide["metrics"]["score"]["margin"] == 0.5
    error = check_json_failure(support("compare", "support", "--margin", "errors=1%", "--json"), 2)
    assert error["code"] == "invalid_margin"
    assert error["hint"] == "write percentage points above 0pt and up to 100pt, for example errors=0.5pt"


def test_lost_uses_of_the_candidate_are_reported_before_any_winner(support: Promptctl, sql: Connection) -> None:
    record(sql, slower=0.7, lost=60, units=4000)
    answer = compared(support)
    assert answer["traffic"]["alarm"] is True
    assert answer["traffic"]["difference"] == pytest.approx(-0.6, abs=0.05)
    assert answer["verdict"] == "not known"
    assert verdicts(answer)["time"] == "better"
    assert answer["sentence"].startswith("Nothing is decided: version 3 gets ")
    [warning] = answer["warnings"]
    assert warning.endswith("fewer uses than its share: either uses of it are lost, or people make fewer calls with it")
    assert support("compare", "support", "--check", "--strict").code == 9
    assert support("compare", "support").err.splitlines()[-1] == f"warning: {warning}"


def test_uses_on_the_wrong_side_are_left_out_and_reported(support: Promptctl, sql: Connection) -> None:
    record(sql)
    sql.execute("set session_replication_role = replica")
    sql.execute("update promptctl.uses set version = 3 where bucket between 5000 and 5500")
    sql.execute("reset session_replication_role")
    answer = compared(support)
    assert answer["out_of_place"] > 100
    assert answer["uses_a"] + answer["uses_b"] + answer["out_of_place"] == 4000
    assert answer["warnings"][-1] == (
        f"{answer['out_of_place']} uses of units that belong to the other version are left out: an application"
        " calculates the bucket in another way"
    )


def test_a_wrong_epoch_is_noticed(support: Promptctl, sql: Connection) -> None:
    record(sql, epoch=1)
    answer = compared(support)
    assert (answer["uses_a"], answer["uses_b"], answer["verdict"]) == (0, 0, "not known")
    assert [warning.partition(" uses while ")[0] for warning in answer["warnings"]] == [
        "version 2 has 2,000", "version 3 has 2,000",
    ]  # fmt: skip
    assert "does not record the epoch that it got" in answer["warnings"][0]


def test_uses_after_the_split_are_no_sign_of_a_wrong_epoch(support: Promptctl, sql: Connection) -> None:
    sql.execute("select promptctl.end_split('support', 'ada@example.com')")
    sql.execute("select promptctl.record_use('support', 2, s.epoch) from promptctl.served s, generate_series(1, 200)")
    assert compared(support)["warnings"] == []


def test_few_users_are_named_and_not_uses(support: Promptctl, sql: Connection) -> None:
    record(sql, units=20, uses_of_unit=100, errors_a=20, errors_b=20)
    answer = compared(support)
    assert answer["sentence"].endswith("groups of units, and a verdict takes at least 30.")
    assert {metric["needed_uses"] for metric in answer["metrics"].values()} == {None}
    screen = " ".join(support.on_terminal("compare", "support").out.split())
    assert "a verdict takes 30 groups of units (for example users) of each version; version 2 has " in screen
    assert "more uses" not in screen
    assert "failed or slow calls" not in screen


def test_the_shares_of_several_splits_and_a_future_start_are_refused(support: Promptctl, sql: Connection) -> None:
    split(sql, 1000, None)
    sql.execute("select promptctl.end_split('support', 'ada@example.com')")
    split(sql, 2500)
    error = check_json_failure(support("compare", "support", "--since", "1h", "--by", "share", "--json"), 2)
    assert error["message"].startswith("--since takes in 2 splits, and --by needs one")
    assert error["hint"] == "promptctl compare support @2 @3 --by share"
    error = check_json_failure(support("compare", "support", "--since", "2099-01-01", "--json"), 2)
    assert (error["code"], error["message"][-16:]) == ("invalid_time", "is in the future")


def test_a_model_without_a_price_is_named(support: Promptctl, sql: Connection) -> None:
    record(sql)
    sql.execute("set session_replication_role = replica")
    sql.execute("update promptctl.uses set model = 'unpriced-1'")
    sql.execute("reset session_replication_role")
    assert "no cost, because no price is known for unpriced-1\n" in support("compare", "support").err


def test_versions_that_were_never_served_side_by_side(support: Promptctl, sql: Connection) -> None:
    ended = support.on_terminal("compare", "support", "@1", "@2")
    assert ended.out.startswith(
        "support: versions 1 and 2 were never served side by side\n"
        "A difference between these numbers may come from the time, not from the version.\n\n"
    )
    assert ended.out.endswith("promptctl split support@1 10% starts a comparison with the active version\n")
    assert support("compare", "support", "@1", "@2", "--check", "--strict").code == 9
    assert support("compare", "support", "@1", "@2", "--quiet").out == "not known\n"
    answer = compared(support, "@1", "@2")
    assert (answer["verdict"], answer["since"], answer["metrics"]) == ("not known", None, {})
    assert support("compare", "support", "@1", "@2", "--format", "markdown").out.startswith("### support: versions 1")


def test_which_versions_are_compared(support: Promptctl, sql: Connection) -> None:
    pairs = {
        (): (2, 3), ("@3",): (2, 3), ("@2",): (3, 2), ("@2", "@3"): (2, 3), ("support@3", "support@2"): (3, 2),
        ("@1",): (2, 1),
    }  # fmt: skip
    for words, pair in pairs.items():
        answer = document(support("compare", "support", *words, "--json"))
        assert (answer["a"], answer["b"]) == pair, words
    assert document(support("compare", "support@2", "support@3", "--json"))["b"] == 3
    # After the split, the last two versions are compared.
    record(sql)
    sql.execute("select promptctl.activate('{support}', '{3}', 'ada@example.com')")
    answer = compared(support)
    assert (answer["a"], answer["b"], answer["uses_a"]) == (2, 3, 2000)
    assert answer["until"] is not None
    assert ", ended, 4,000 uses" in support.on_terminal("compare", "support").out
    # Archiving a version does not remove its uses.
    sql.execute("select promptctl.archive('{support}', '{2}', author => 'ada@example.com')")
    assert compared(support)["uses_a"] == 2000


def test_since_and_all_choose_the_splits(support: Promptctl, sql: Connection) -> None:
    record(sql, units=200)
    sql.execute("select promptctl.end_split('support', 'ada@example.com')")
    split(sql, 2500)
    record(sql, units=400)
    split(sql, 5000, None)
    record(sql, units=100)
    assert compared(support)["uses_a"] + compared(support)["uses_b"] == 2000
    everything = compared(support, "--all")
    assert everything["uses_a"] + everything["uses_b"] == 2800
    assert everything["shares"] == []
    assert [share["share_basis_points"] for share in compared(support)["shares"]] == [2500, 5000]
    sql.execute(TWO_DAYS_AGO.encode())
    last = compared(support, "--since", "1d")
    assert last["uses_a"] + last["uses_b"] == 400
    assert last["warnings"] == ["the first share began before --since: all of its uses are counted"]
    sql.execute("select promptctl.end_split('support', 'ada@example.com')")
    sql.execute(TWO_DAYS_AGO.encode())
    error = check_json_failure(support("compare", "support", "--since", "1d", "--json"), 4)
    assert error["code"] == "nothing_to_compare"
    assert error["message"] == "versions 2 and 3 of support were not served side by side after --since"
    assert error["hint"] == "promptctl compare support @2 @3"


@pytest.mark.parametrize(
    ("words", "code", "error_code", "message"),
    [
        (["nobody"], 4, "prompt_not_found", 'no prompt "nobody"'),
        (["support", "@9"], 4, "version_not_found", '"support" has no version 9'),
        (["support", "@2", "@9"], 4, "version_not_found", '"support" has no version 9'),
        (["single"], 4, "nothing_to_compare", '"single" has had no split'),
        (["single@1"], 4, "nothing_to_compare", '"single" has had no split'),
        (["support@2", "@2"], 2, "usage", "support@2 cannot be compared with itself"),
        (["support@1", "@2", "@3"], 2, "usage", "two versions are compared, not more"),
        (["support@2", "other@3"], 2, "usage", "versions of one prompt are compared, not of support and other"),
        (["support", "3"], 2, "version_missing", '"3" names no version'),
        (["support", "@x"], 2, "invalid_version", '"x" is not a version'),
        (["support", "--since", "yesterday"], 2, "invalid_time", '"yesterday" is not a time'),
        (["support", "--since", "9999999999d"], 2, "invalid_time", '"9999999999d" is out of range'),
        (["support", "--by", "day"], 2, "usage", 'invalid key "day": --by accepts share'),
        (["support", "--by", "share", "--all"], 2, "usage", "use only one of --by and --all"),
        (["support", "--strict"], 2, "usage", "--strict needs --check"),
        (["support", "--html", ""], 2, "usage", "--html needs the name of a file"),
        (["support", "--html", "-"], 2, "usage", "--html needs the name of a file"),
        (["support", "--format", "xml"], 2, "usage", 'invalid format "xml"'),
        (["support", "--format", "markdown"], 2, "usage", "use only one of --format markdown and --json"),
        (["support", "--margin", "latency=1%"], 2, "invalid_margin", '--margin "latency=1%" names no metric'),
        (["support", "--html", "/nowhere/report.html"], 1, "cannot_write", 'cannot write "/nowhere/report.html"'),
    ],
)  # fmt: skip
def test_bad_words_have_one_clear_error(
    support: Promptctl, sql: Connection, words: list[str], code: int, error_code: str, message: str
) -> None:
    sql.execute("select promptctl.create_version('single', 'x', author => 'me')")
    sql.execute("select promptctl.activate('{single}', '{1}', 'me')")
    error = check_json_failure(support("compare", *words, "--json"), code)
    assert error["code"] == error_code
    assert error["message"].startswith(message)
    if error["hint"] is not None and words[1:2] != ["3"]:
        assert error["hint"] != ""


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["3"], "promptctl compare support@3"),
        (["2", "3"], "promptctl compare support@2 @3"),
        (["@1", "@2", "@3"], "promptctl compare support@1 @2"),
        (["@2", "@2"], "promptctl compare support@2"),
    ],
)
def test_the_hint_for_wrong_versions_is_a_line_that_runs(support: Promptctl, words: list[str], hint: str) -> None:
    assert check_failure(support("compare", "support", *words), 2).err.endswith(f"hint:  {hint}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_error_and_no_answer(support: Promptctl) -> None:
    ended = check_failure(support("compare", "support", "--html", "/dev/full"), 1)
    assert ended.err.splitlines()[0] == 'error: cannot write "/dev/full": No space left on device'


def test_calls_without_a_unit_are_compared(support: Promptctl, sql: Connection) -> None:
    record(sql, with_unit=False, slower=1.3)
    assert verdicts(compared(support))["time"] == "worse"


def test_one_unit_with_a_third_of_the_calls_decides_nothing_by_itself(support: Promptctl, sql: Connection) -> None:
    record(sql)
    # The unit of bucket 0 belongs to version 3, and all of its calls fail.
    record(sql, units=1, uses_of_unit=2000, errors_a=1000, errors_b=1000, salt="bot")
    answer = compared(support)
    assert (answer["uses_a"], answer["uses_b"]) == (2000, 4000)
    assert answer["metrics"]["errors"]["uses_b"] < 2500
    assert answer["metrics"]["errors"]["verdict"] == "not known"


def test_missing_times_are_missing_and_never_zero(support: Promptctl, sql: Connection) -> None:
    record(sql, with_times=False)
    answer = compared(support)
    for name in ("time", "slow", "first"):
        assert answer["metrics"][name]["value_a"] is None
        assert answer["metrics"][name]["verdict"] == "not known"
    # They do not keep the rest from being decided.
    assert verdicts(answer)["output"] == "same"
    record(sql, salt="with times", slower=1.3)
    assert compared(support)["metrics"]["time"]["difference"] == pytest.approx(0.3, abs=0.02)


def test_scores_of_a_billion(support: Promptctl, sql: Connection) -> None:
    record(sql, score=500_000_000.0, more_score=2.0)
    score = compared(support)["metrics"]["score"]
    assert score["verdict"] == "better"
    assert score["difference"] == pytest.approx(1e9, rel=0.1)
    assert "score" in support.on_terminal("compare", "support").out


def test_a_model_without_a_price_gives_no_cost(support: Promptctl, sql: Connection) -> None:
    record(sql, model="llama-of-ours")
    answer = compared(support)
    assert answer["metrics"]["cost"]["value_a"] is None
    record(sql, salt="priced")
    assert compared(support)["metrics"]["cost"]["value_a"] is None


def test_costs_are_those_of_stats(support: Promptctl, sql: Connection) -> None:
    record(sql)
    cost = compared(support)["metrics"]["cost"]
    versions = document(support("stats", "support", "--json"))["versions"]
    [two] = [version["stats"] for version in versions if version["version"] == 2]
    assert cost["value_a"] == pytest.approx(two["cost_usd"] / two["total_uses"], rel=1e-4)
    assert cost["verdict"] == "same"


def test_a_share_of_half_a_percent_is_compared(support: Promptctl, sql: Connection) -> None:
    sql.execute("select promptctl.end_split('support', 'ada@example.com')")
    split(sql, 50)
    record(sql, units=10_000, uses_of_unit=3, slower=1.6)
    answer = compared(support)
    assert (answer["share_basis_points"], answer["uses_b"]) == (50, 150)
    assert verdicts(answer)["time"] == "worse"


def test_a_viewer_may_compare(
    support: Promptctl, sql: Connection, promptctl_on: Callable[..., Promptctl], database_name: str
) -> None:
    record(sql)
    sql.execute("select promptctl.grant_access('app', 'viewer')")
    try:
        assert promptctl_on(database_name, "app")("compare", "support", "--quiet").out in ("same\n", "not known\n")
    finally:
        sql.execute("drop owned by app")


def test_a_report_is_one_file_without_scripts(support: Promptctl, sql: Connection) -> None:
    record(sql, slower=1.3)
    path = support.home / "report.html"
    assert support("compare", "support", "--html", str(path), "--quiet").out == "worse\n"
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "Version 3 is worse: it is" in page
    assert page.count("<svg") >= 8
    for forbidden in ("<script", "http://", "https://", "url(", "@import", " src=", "<link"):
        assert forbidden not in page
    mode = os.stat(path).st_mode & 0o777
    assert mode == 0o666 & ~_umask()


def spread(sql: Connection, begin: str, end: str) -> None:
    """Move the begin of the present epoch and its uses into the past, evenly from one age to another."""
    sql.execute(
        f"""
        set session_replication_role = replica;
        update promptctl.allocations a set changed_at = now() - interval '{begin}'
        from promptctl.served s where (s.name, s.epoch) = (a.name, a.epoch);
        update promptctl.uses u
        set recorded_at = now() - interval '{begin}' + (interval '{begin}' - interval '{end}') * (p.place / p.uses)
        from (select id, epoch, row_number() over (order by id) - 1.0 as place, count(*) over () as uses
              from promptctl.uses where epoch = (select max(epoch) from promptctl.uses)) p
        where u.id = p.id;
        reset session_replication_role;
        """.encode()
    )


def courses(support: Promptctl, *words: str) -> dict[str, Any]:
    """Return the charts of the differences over time of a report, by metric."""
    path = support.home / "courses.html"
    assert support("compare", "support", *words, "--html", str(path), "--quiet").code == 0
    page = path.read_text(encoding="utf-8")
    charts = re.findall(r"<h3>(.*?)</h3>\s*(<svg.*?</svg>)", page)
    assert bool(charts) == ("<h2>Difference over time</h2>" in page)
    return {metric: ElementTree.fromstring(chart) for metric, chart in charts}


def boxes(chart: ElementTree.Element) -> int:
    return len(chart.findall("rect[@class='interval']"))


def line(chart: ElementTree.Element) -> list[tuple[float, float]]:
    [polyline] = chart.findall("polyline")
    return [(float(x), float(y)) for x, y in re.findall(r"(\S+),(\S+)", polyline.attrib["points"])]


def test_a_report_has_the_differences_by_hour_also_when_single_uses_are_gone(
    support: Promptctl, sql: Connection
) -> None:
    split(sql, 1000)
    record(sql, slower=1.3, units=2000)
    spread(sql, "30 hours", "20 hours")
    split(sql, 5000)
    record(sql, slower=1.1, units=2000)
    spread(sql, "20 hours", "1 minute")
    since = ("--since", "30h")
    charts = courses(support, *since)
    assert list(charts) == ["errors", "time", "cost", "score"]
    assert [boxes(chart) for chart in charts.values()] == [2, 2, 2, 2]
    labels = [text.text for text in charts["time"].findall("text")]
    assert labels[:2] == ["10%", "50%"]
    before = line(charts["time"])
    assert len(before) >= 28
    # The difference is smaller at the second share, and zero is in the middle.
    assert before[5][1] < before[-5][1] < 99
    sql.execute("select promptctl.roll_up_uses()")
    sql.execute("set session_replication_role = replica; delete from promptctl.uses; reset session_replication_role")
    # Without the functions that drop uses, the part of the first hour is missing.
    after = line(courses(support, *since)["time"])[-20:-2]
    assert after == [(pytest.approx(x, abs=0.2), pytest.approx(y, abs=0.2)) for x, y in before[-20:-2]]


def test_a_report_of_more_than_three_days_has_the_differences_by_day(support: Promptctl, sql: Connection) -> None:
    record(sql, slower=1.1)
    spread(sql, "10 days", "1 minute")
    time = courses(support)["time"]
    assert boxes(time) == 1
    assert len(line(time)) in (10, 11)
    assert time.attrib["aria-label"].startswith("difference of time by day, with the interval: +")


def test_a_report_without_uses_enough_has_no_differences_over_time(support: Promptctl, sql: Connection) -> None:
    assert courses(support) == {}
    record(sql, units=20, uses_of_unit=1)
    assert courses(support) == {}


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
