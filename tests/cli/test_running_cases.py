"""`test`: runs of versions and of folders, their output, their reports and their exit codes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from tests.cli.tested_prompt import CASES, run, support
from tests.commands import check_failure, check_json_failure
from tests.conftest import Promptctl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.claude_api import ClaudeServer
    from tests.conftest import Ended, Templated

    ClaudeEnv = Callable[..., dict[str, str | None]]
    Connection = psycopg.Connection[Any]

# pytest finds fixtures by the names in a module.
__all__ = ["run", "support"]


def test_a_broken_version_is_worse(run: Callable[..., Ended]) -> None:
    ended = run("support@3")
    assert ended.code == 3
    rows = [line.split("\t") for line in ended.out.splitlines()]
    assert len(rows) == 6
    for row in rows:
        assert row[:3] == ["support@3", "support@1", "claude-haiku-5-5"]
        assert row[6] == "0"
        assert row[9] in ("worse", "fewer pass")
    assert re.fullmatch(r"support@3 against support@1: worse: .+\n", ended.err)


def test_a_good_version_is_never_worse_and_a_second_run_costs_nothing(run: Callable[..., Ended]) -> None:
    first = run("support", "--json")
    [result] = json.loads(first.out)["runs"]
    assert first.code == 0
    assert (result["name"], result["version"], result["against_version"], result["run"]) == ("support", 4, 1, 1)
    assert result["calls"] == 36
    assert result["cost_usd"] > 0
    again = run("support@4", "--json", scenario="status", status=500)
    [second] = json.loads(again.out)["runs"]
    assert (again.code, second["calls"], second["cost_usd"]) == (first.code, 0, 0)
    assert second["verdict"] == result["verdict"]
    assert [case["new_passes"] for case in second["cases"]] == [case["new_passes"] for case in result["cases"]]
    assert second["run"] == 1
    assert second["notes"] == ["run 1 has used all replies that are kept, so its verdict stands"]
    assert result["verdict"] == "undecided"
    assert run("support@4", "--json", "--strict").code == 9


def test_the_active_version_is_run_alone(run: Callable[..., Ended]) -> None:
    ended = run("support@1", "--json", "--strict")
    [result] = json.loads(ended.out)["runs"]
    assert (ended.code, result["against_name"], result["calls"]) == (0, None, 18)
    assert (result["verdict"], result["reason"]) == (None, "18 of 18 replies pass")
    assert "support@1: kept as the baseline: 18 of 18 replies pass\n" in run("support@1").err
    assert {one["verdict"] for one in json.loads(run("list", "--json").out)["runs"]} == {None}
    assert [line.split("\t")[3] for line in run("list").out.splitlines()] == ["baseline"]


def test_another_baseline_can_be_chosen(run: Callable[..., Ended]) -> None:
    [result] = json.loads(run("support@4", "--against", "support@3", "--json").out)["runs"]
    assert (result["against_version"], result["cases"][0]["baseline_passes"]) == (3, 0)


def test_a_case_can_be_selected(run: Callable[..., Ended]) -> None:
    for pattern, titles in (("question 2", ["Question 2"]), ("*N [1-3]", []), ("quest?on 3", ["Question 3"])):
        ended = run("support@4", "--case", pattern, "--json")
        if titles:
            assert [case["title"] for case in json.loads(ended.out)["runs"][0]["cases"]] == titles
        else:
            assert check_json_failure(ended, 4)["code"] == "case_not_found"


def test_several_models_make_a_run_each(run: Callable[..., Ended]) -> None:
    ended = run(
        "support@4",
        "support@4",
        "--model",
        "claude-haiku-5-5",
        "--model",
        "claude-sonnet-5-5",
        "--model",
        "claude-haiku-5-5",
        "--case",
        "Question 1",
        "--json",
    )
    runs = json.loads(ended.out)["runs"]
    assert [one["model"] for one in runs] == ["claude-haiku-5-5", "claude-sonnet-5-5"]


def test_an_estimate_makes_no_call_but_counts(run: Callable[..., Ended], claude: ClaudeServer) -> None:
    ended = run("support@4", "--estimate", "--json")
    [estimate] = json.loads(ended.out)["estimates"]
    assert (ended.code, estimate["title"], estimate["calls"]) == (0, "support@4", 36)
    assert estimate["cost_usd"] > 0
    [row] = [line.split("\t") for line in run("support@4", "--estimate").out.splitlines()]
    assert row[:2] == ["support@4", "36"]


def test_a_replay_needs_no_key(run: Callable[..., Ended]) -> None:
    assert check_json_failure(run("support@4", "--replay", "--json"), 4)["code"] == "no_kept_replies"
    first = run("support@4")
    replayed = run("support@4", "--replay", ANTHROPIC_API_KEY=None)
    assert (replayed.code, replayed.out) == (first.code, first.out)


def test_a_limit_of_costs_is_kept(run: Callable[..., Ended]) -> None:
    assert check_json_failure(run("support@4", "--max-cost", "0.000001", "--json"), 5)["code"] == "limit_too_low"


def test_a_failure_of_claude_has_exit_code_7(run: Callable[..., Ended]) -> None:
    failed = run("support@4", "--json", scenario="status", status=401)
    assert failed.code == 7
    assert run("list", "--json").code == 0


def test_markdown_and_reports(run: Callable[..., Ended], tmp_path: Path) -> None:
    html, junit, summary = (tmp_path / name for name in ("r.html", "r.xml", "summary.md"))
    ended = run(
        "support@3", "--format", "markdown", "--html", str(html), "--junit", str(junit),
        GITHUB_STEP_SUMMARY=str(summary),
    )  # fmt: skip
    assert ended.code == 3
    assert ended.out.startswith("<!-- promptctl test -->\n")
    assert summary.read_text() == ended.out
    assert ElementTree.fromstring(junit.read_text()).get("tests") == "7"
    page = html.read_text()
    assert "<script" not in page
    # Ten replies of each side of a suspicious case.
    assert "New, reply 10: fails contains &quot;good&quot;" in page


def test_a_folder_is_compared_before_it_is_stored(
    run: Callable[..., Ended], promptctl: Promptctl, home: Path, sql: Connection
) -> None:
    assert promptctl("export", str(home / "prompts")).code == 0
    prompt = home / "prompts" / "support"
    (prompt / "v5.txt").write_text("You are broken again.")
    ended = run("prompts/", "--json")
    [result] = json.loads(ended.out)["runs"]
    assert (ended.code, result["verdict"], result["version"], result["against_version"]) == (3, "worse", None, 1)
    assert result["title"].endswith("support/v5.txt")
    assert sql.execute("select count(*) from promptctl.versions").fetchone() == (4,)


def test_an_unchanged_folder_makes_no_call(run: Callable[..., Ended], promptctl: Promptctl, home: Path) -> None:
    assert promptctl("export", str(home / "prompts")).code == 0
    ended = run("prompts/", scenario="status", status=500)
    assert (ended.code, ended.out, ended.err) == (
        0,
        "",
        "1 prompt has nothing that a sync would store, activate or roll out: no call\n",
    )


def test_a_folder_without_cases_is_reported(run: Callable[..., Ended], home: Path) -> None:
    folder = home / "prompts" / "fresh"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_text("You are new.")
    ended = run("prompts/", scenario="status", status=500)
    assert (ended.code, ended.err) == (0, "fresh has no test cases\n")
    assert run("prompts/", "--strict").code == 0
    (folder / "prompt.yaml").write_text("active: 1\n")
    warning = "warning: the active version of fresh would change without a test: there are no test cases\n"
    for words, code in ((["prompts/"], 0), (["prompts/", "--strict"], 9)):
        ended = run(*words)
        assert (ended.code, ended.err) == (code, warning)
    for reference in ("fresh@1", "fresh"):
        failure = check_json_failure(run(reference, "--json"), 4)
        assert "prompts/fresh/v1.txt is not stored yet" in failure["message"]
        assert failure["hint"] == "promptctl test prompts/"
    assert check_json_failure(run("fresh@2", "--json"), 4)["hint"] != failure["hint"]


def test_a_version_without_tests_is_an_error(run: Callable[..., Ended], sql: Connection) -> None:
    sql.execute("select promptctl.create_version('bare', 'Hello.')")
    failure = check_json_failure(run("bare@1", "--json"), 2)
    assert (failure["code"], failure["hint"]) == ("no_cases", "add prompts/bare/tests.yaml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["support", "--max-cost", "much"], "--max-cost \"much\" is not an amount of US dollars above 0"),
        (["support", "--max-cost", "0"], "--max-cost \"0\" is not an amount of US dollars above 0"),
        (["support", "--repeat", "0"], "--repeat is a whole number from 1 to 100, not 0"),
        (["support", "--replay", "--estimate"], "--replay makes no call and costs nothing: use it without --estimate"),
        (["support", "--replay", "--batch"], "--replay makes no call: use it without --batch and --resume"),
        (["support", "--format", "xml"], 'invalid format "xml": use text, markdown or json'),
        (["support", "--html", "-"], "--html needs the name of a file"),
        (["support", "--html", "r", "--junit", "./r"], "--html and --junit name the same file"),
        (["support", "--model", ""], "--model is empty"),
        (["support", "other", "--against", "support@1"],
         "--against needs one version: promptctl test NAME@VERSION --against NAME@OTHER"),
        (["shwo", "6"], 'test has no command "shwo": did you mean test show?'),
        (["judge", "builtin", "--labels", "x"], 'the judge of promptctl is built-in, not "builtin"'),
        (["show", "abc"], '"abc" is not the number of a run'),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(promptctl: Promptctl, words: list[str], message: str) -> None:
    ended = check_failure(promptctl("test", *words), 2)
    assert ended.err.startswith(f"error: {message}\n")


def test_a_wrong_margin_is_refused(promptctl: Promptctl) -> None:
    assert check_json_failure(promptctl("test", "support", "--margin", "5", "--json"), 2)["code"] == "invalid_margin"


def test_stored_runs_are_listed_and_shown(run: Callable[..., Ended], promptctl: Promptctl, tmp_path: Path) -> None:
    assert "no runs of test cases" in promptctl("test", "list").err
    tested = run("support@3")
    [row] = [line.split("\t") for line in promptctl("test", "list", "support").out.splitlines()]
    assert row[:5] == ["1", "support@3", "support@1", "worse", "6"]
    assert promptctl("test", "list", "--quiet").out == "1\n"
    [listed] = json.loads(promptctl("test", "list", "--json").out)["runs"]
    assert (listed["run"], listed["verdict"]) == (1, "worse")
    shown = promptctl("test", "show", "1")
    assert (shown.code, shown.out, shown.err) == (0, tested.out, tested.err)
    page = tmp_path / "r.html"
    assert promptctl("test", "show", "1", "--format", "markdown", "--html", str(page)).code == 0
    assert "New, reply 10: fails contains &quot;good&quot;" in page.read_text()


def test_the_page_of_a_stored_run_has_the_verdicts_of_its_judge(
    run: Callable[..., Ended], promptctl: Promptctl, sql: Connection, tmp_path: Path
) -> None:
    for text in ("Judge it.", "Judge it well."):
        sql.execute("select promptctl.create_version('judges/kind', %s, activated => true, author => 'me')", [text])
    rubric = {"type": "llm-rubric", "value": "It is good"}
    definition = {**CASES[0], "assert": [rubric], "judge": "judges/kind@1"}
    sql.execute(
        "select promptctl.set_cases('support', %s::text[], null, 'me')",
        [[json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)]],
    )
    models = [word for model in ("haiku", "sonnet") for word in ("--model", f"claude-{model}-5-5")]
    pages = [tmp_path / "run.html", tmp_path / "show.html"]
    assert run("support@3", *models, "--html", str(pages[0])).code == 3
    assert promptctl("test", "show", "2", "--html", str(pages[1])).code == 0
    for page in pages:
        text = page.read_text()
        assert "<summary>New, reply 2: fails llm-rubric &quot;It is good&quot;</summary>" in text
        assert "<summary>Baseline, reply 2: passes</summary>" in text
        assert "<li>llm-rubric &quot;It is good&quot;: The word is looked for.</li>" in text
        assert "no verdict of a judge" not in text
    assert pages[0].read_text().count("<th>Model</th>") == 1


def test_a_run_that_does_not_exist_or_has_no_verdict_is_an_error(
    run: Callable[..., Ended], promptctl: Promptctl
) -> None:
    assert check_json_failure(promptctl("test", "show", "7", "--json"), 4)["code"] == "run_not_found"
    assert check_json_failure(promptctl("test", "list", "absent", "--json"), 4)["code"] == "prompt_not_found"
    run("support@4", scenario="status", status=401)
    failure = check_json_failure(promptctl("test", "show", "1", "--json"), 1)
    assert failure["code"] == "run_without_verdict"


def test_a_terminal_shows_the_cases_and_the_verdict(
    promptctl: Promptctl, claude_env: ClaudeEnv, support: None, snapshot: Callable[..., None]
) -> None:
    ended = promptctl.on_terminal("test", "support@3", env=claude_env("crowd"))
    assert ended.code == 3
    snapshot(re.sub(r"\d+ ms$|[\d.]+ s$", "1.2 s", ended.out, flags=re.MULTILINE), "cli/test-run-terminal")


def test_a_viewer_sees_the_numbers_and_no_reply(
    run: Callable[..., Ended], promptctl: Promptctl, sql: Connection, templated: Templated, database_name: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    assert run("support@3").code == 3
    sql.execute("select promptctl.grant_access('app', 'viewer')")
    page = tmp_path / "r.html"
    viewer = Promptctl(promptctl.home, DATABASE_URL=templated.server.url(database_name, user="app"))
    try:
        ended = viewer("test", "show", "1", "--json", "--html", str(page))
        refused = viewer("test", "support@3", "--json")
        # A fork's job shows the verdict that stands, without a key and without the right to store a run.
        sql.execute("select promptctl.grant_access('app', 'reviewer')")
        replayed = viewer("test", "support@3", "--replay", "--json")
    finally:
        sql.execute("drop owned by app")
    [result] = json.loads(ended.out)["runs"]
    assert result["verdict"] == "worse"
    assert {(case["baseline_reply"], case["new_reply"], len(case["failed"])) for case in result["cases"]} == {
        (None, None, 0)
    }
    assert "poor reply" not in page.read_text()
    assert check_json_failure(refused, 5)["code"] == "permission_denied"
    assert (replayed.code, json.loads(replayed.out)["runs"][0]["run"]) == (3, 1)


def test_commands_that_begin_with_test_are_completed(promptctl: Promptctl) -> None:
    assert promptctl("__complete", "test", "").out.splitlines()[:4] == ["add", "judge", "list", "show"]
    assert promptctl("__complete", "te", "").out == ""
    assert promptctl("__complete", "te").out == "test\n"
    assert promptctl("__complete", "test", "support", "--margin", "").out == "1pt\n2pt\n5pt\n"
    assert promptctl("__complete", "test", "show", "1", "--junit", "").out == ":files\n"


def test_a_verdict_stands_until_there_are_other_replies_cases_or_a_higher_repeat(
    run: Callable[..., Ended], sql: Connection
) -> None:
    # The last case has the input of the first one, so the run makes replies to it that no case has used.
    same_input = {**CASES[0], "assert": [{"type": "contains", "value": "reply"}], "description": "The same"}
    sql.execute(
        "select promptctl.set_cases('support', %s::text[], null, 'me')",
        [[json.dumps(case, sort_keys=True, separators=(",", ":")) for case in (*CASES, same_input)]],
    )

    def result(*words: str, **options: Any) -> dict[str, Any]:
        return json.loads(run(*words, "--json", **options).out)["runs"][0]

    numbers = ("run", "calls", "verdict", "change", "lower", "upper", "cases")
    first = result("support@3")
    # The later stages gave the baseline replies, which a first stage would see if the run was judged anew.
    assert [case["baseline_replies"] for case in first["cases"]] == [10] * 6 + [9]
    again = result("support@3", scenario="status", status=500)
    assert [again[key] for key in numbers] == [first["run"], 0, *(first[key] for key in numbers[2:])]
    assert again["cost_usd"] == 0
    assert result("support@3", "--replay", scenario="status", status=500)["run"] == first["run"]
    for words in (["--case", "Question 1"], ["--margin", "9pt"], ["--repeat", "12"]):
        other = result("support@3", *words)
        assert other["run"] != first["run"], words
    # The last run made replies that the first one has not used.
    assert result("support@3", scenario="status", status=500)["run"] != first["run"]


def test_the_error_about_a_missing_judge_names_it(run: Callable[..., Ended], sql: Connection) -> None:
    definition = {**CASES[0], "assert": [{"type": "llm-rubric", "value": "Good"}], "judge": "judges/no@3"}
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    sql.execute("select promptctl.set_cases('support', %s::text[], null, 'me')", [[text]])
    failure = check_json_failure(run("support@3", "--json"), 4)
    assert failure["message"].startswith("the judge judges/no@3 that tests.yaml names: ")
