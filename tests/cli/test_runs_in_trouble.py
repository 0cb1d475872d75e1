"""`test` when it is killed, when the database, the disk or Claude fails, and when something limits it."""

from __future__ import annotations

import json
import os
import resource
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl.claude import prices
from tests.cli.test_database_trouble import wait_for_end, wait_until
from tests.cli.tested_prompt import CASES, SETTINGS, run, support
from tests.commands import check_failure, check_json_failure
from tests.evaluation.damaged_lines import NO_OUTCOME, SHA256, damaged_lines, reply

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.claude_api import ClaudeServer
    from tests.cli.tested_prompt import ClaudeEnv, Connection
    from tests.conftest import Ended, Promptctl, Templated

    Start = Callable[..., subprocess.Popen[bytes]]

# pytest finds fixtures by the names in a module.
__all__ = ["run", "support"]

# 6 cases with 3 replies on each side.
CALLS = 36


@pytest.fixture
def start(promptctl: Promptctl, claude_env: ClaudeEnv, support: None) -> Start:
    """Return a function that starts `test` against the test server."""

    def start_test(*words: str, file_bytes: int | None = None, **parameters: object) -> subprocess.Popen[bytes]:
        """Start it. With `file_bytes`, the system refuses to make a file longer than this, as a full disk does."""

        def limit() -> None:
            assert file_bytes is not None
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

        options: dict[str, Any] = {} if file_bytes is None else {"preexec_fn": limit}
        return promptctl.start("test", *words, env=claude_env("crowd", **parameters), **options)

    return start_test


@pytest.fixture
def lose_database(templated: Templated, database_name: str) -> Iterator[Callable[..., None]]:
    """Return a function that ends all connections to the database and refuses new ones, or accepts them again."""
    with psycopg.connect(templated.server.dsn(), autocommit=True) as other:

        def lose(*, is_lost: bool = True) -> None:
            other.execute(f"alter database {database_name} with allow_connections {not is_lost}".encode())
            if is_lost:
                other.execute(
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", [database_name]
                )

        yield lose
        lose(is_lost=False)


def result_of(ended: Ended, code: int = 0) -> dict[str, Any]:
    """Return the one run of a command with --json."""
    assert ended.code == code, ended
    [result] = json.loads(ended.out)["runs"]
    return result


def replies(claude: ClaudeServer, before: int) -> int:
    """Return how many replies the server has sent since it had so many requests."""
    return sum(one.status == 200 for one in claude.requests[before:])


def stored(number: int) -> str:
    return f"(select count(*) from promptctl.test_replies) >= {number}"


def test_a_run_that_is_killed_again_and_again_goes_on_and_repeats_no_stored_reply(
    run: Callable[..., Ended], start: Start, claude: ClaudeServer, sql: Connection
) -> None:
    before = len(claude.requests)
    process = start("support@4", rate=20, burst=4)
    wait_until(sql, stored(1))
    process.send_signal(signal.SIGINT)
    ended = wait_for_end(process)
    assert ended.code in (130, -signal.SIGINT)
    assert "the replies that came are stored: the same command goes on from there" in ended.err
    assert "Traceback" not in ended.err
    [(kept,)] = sql.execute("select count(*) from promptctl.test_replies").fetchall()
    # The calls that ran when the user interrupted have ended.
    assert kept == replies(claude, before)
    process = start("support@4", rate=20, burst=4, test="killed")
    wait_until(sql, stored(kept + 1))
    process.kill()
    process.communicate()
    process = start("support@4", rate=20, burst=4, test="terminated")
    [(kept,)] = sql.execute("select count(*) from promptctl.test_replies").fetchall()
    wait_until(sql, stored(kept + 1))
    process.terminate()
    assert wait_for_end(process).code in (143, -signal.SIGTERM)
    [(kept,)] = sql.execute("select count(*) from promptctl.test_replies").fetchall()
    result = result_of(run("support@4", "--json"))
    assert (result["calls"], result["kept_replies"]) == (CALLS - kept, kept)
    # SIGKILL loses what is not stored yet: at most the calls of half a second, and those that run.
    assert replies(claude, before) <= CALLS + 30
    outcomes = sql.execute("select failure, verdict is not null from promptctl.test_runs order by run").fetchall()
    assert outcomes == [("interrupted", False), (None, False), ("interrupted", False), (None, True)]


def test_a_batch_of_a_run_that_was_interrupted_and_killed_is_taken_up_and_not_sent_again(
    run: Callable[..., Ended], start: Start, claude: ClaudeServer, sql: Connection
) -> None:
    before = len(claude.batches)
    process = start("support@4", "--batch", polls=1_000_000)
    wait_until(sql, "exists (select from promptctl.test_batches)")
    process.send_signal(signal.SIGINT)
    ended = wait_for_end(process)
    assert ended.code in (130, -signal.SIGINT)
    assert "the replies that came are stored: the same command with --resume goes on from there" in ended.err
    polled = len(claude.requests)
    process = start("support@4", "--batch", "--resume")
    claude.wait_for(polled + 1)
    process.kill()
    process.communicate()
    replayed = run("support@4", "--replay", "--json")
    assert check_json_failure(replayed, 4)["code"] == "no_kept_replies"
    [batch] = claude.batches[before:]
    batch.polls = 0
    result = result_of(run("support@4", "--batch", "--resume", "--json"))
    assert (result["calls"], result["kept_replies"]) == (CALLS, 0)
    assert [len(batch.requests) for batch in claude.batches[before:]] == [CALLS]
    # Half of the price.
    cost = prices.cost_usd(
        "claude-haiku-5-5", result["input_tokens"], result["output_tokens"], 0, 0, "2026-11-30T00:00:00Z"
    )
    assert cost is not None
    assert result["cost_usd"] == pytest.approx(cost / 2, abs=1e-6)
    again = result_of(run("support@4", "--batch", "--resume", "--json", scenario="status", status=500))
    assert (again["calls"], again["kept_replies"]) == (0, CALLS)


def test_a_database_that_is_lost_loses_no_reply_and_resume_stores_them(
    run: Callable[..., Ended],
    start: Start,
    claude: ClaudeServer,
    connect: Callable[..., Connection],
    home: Path,
    lose_database: Callable[..., None],
) -> None:
    before = len(claude.requests)
    process = start("support@4", "--html", "page.html", rate=20, burst=4)
    claude.wait_for(before + 6)
    lose_database()
    ended = wait_for_end(process)
    lose_database(is_lost=False)
    assert ended.code == 0
    assert "the results are in ./promptctl-test-1.jsonl, and --resume stores them. The database failed: " in ended.err
    assert "the page of --html has no other replies than the output: " in ended.err
    assert "Question 1" in (home / "page.html").read_text()
    sql = connect()
    assert sql.execute("select verdict from promptctl.test_runs").fetchall() == [(None,)]
    path = home / "promptctl-test-1.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    resumed = result_of(run("support@4", "--resume", "--json", scenario="status", status=500))
    assert (resumed["calls"], resumed["kept_replies"]) == (0, CALLS)
    assert resumed["notes"][0].endswith(" replies that an earlier run left in a file")
    assert replies(claude, before) == CALLS
    assert not path.exists()
    # The first run has its verdict too.
    assert sql.execute("select count(verdict) from promptctl.test_runs").fetchone() == (2,)


def test_no_damage_of_a_file_ends_a_resumed_run_or_hinders_the_other_files(
    run: Callable[..., Ended], sql: Connection, home: Path
) -> None:
    [(database, sha256)] = sql.execute(
        "select i.id::text, encode(v.sha256, 'hex') from promptctl.installation i, promptctl.versions v"
        " where (v.name, v.version) = ('support', 4)"
    ).fetchall()
    begin: dict[str, Any] = {
        "name": "support", "version": 4, "sha256": sha256, "settings": {}, "cases_sha256": SHA256, "judge": None,
        "judge_sha256": None, "requested_model": "m", "margin": 0.05, "origin": None,
    }  # fmt: skip
    case = json.dumps(CASES[0], sort_keys=True, separators=(",", ":"))
    for _ in range(2):
        sql.execute("select promptctl.begin_test_run(%s::jsonb, %s::text[], 'me')", [json.dumps(begin), [case]])
    # Deep in a place that may have anything, beside what the database cannot store.
    block: Any = "\0"
    for _ in range(700):
        block = [block]
    lines = damaged_lines(home, 1, database)
    lines.append(
        {"database": database, "run": 1, "sha256": SHA256, "replies": [{**reply(1).as_dict(), "blocks": block}]}
    )
    text = "".join(json.dumps(line) + "\n" for line in lines).replace(f'"sha256": "{SHA256}"', f'"sha256": "{sha256}"')
    (home / "promptctl-test-1.jsonl").write_text(text)
    (home / "promptctl-test-2.jsonl").write_text(
        json.dumps({"database": database, "run": 2, "outcome": NO_OUTCOME.as_dict(), "results": []}) + "\n"
    )
    resumed = result_of(run("support@4", "--resume", "--json"))
    assert (resumed["calls"], len(lines) > 1000) == (CALLS, True)
    kept = (home / "promptctl-test-1.jsonl.aside").read_text().splitlines()
    assert len(kept) > 1000
    assert sorted(path.name for path in home.iterdir() if path.suffix == ".jsonl") == []
    assert sql.execute("select failure from promptctl.test_runs where run = 2").fetchall() == [("interrupted",)]


def test_a_verdict_that_stands_repeats_notes_about_the_data_but_not_about_files_and_batches(
    run: Callable[..., Ended], sql: Connection, home: Path
) -> None:
    for text, active in (("You greet {name}.", True), ("You greet.", False)):
        sql.execute(
            "select promptctl.create_version('greet', %s, settings => %s::jsonb, activated => %s)",
            [text, SETTINGS, active],
        )
    cases = [json.dumps(case, sort_keys=True, separators=(",", ":")) for case in CASES]
    sql.execute("select promptctl.set_cases('greet', %s::text[], null, 'me')", [cases])
    (home / "promptctl-test-9.jsonl").mkdir()
    data = (
        "greet@1 cannot be called with 6 of the 6 cases, which have no value for its variables: there is nothing to "
        "compare these cases with"
    )
    first = result_of(run("greet@2", "--resume", "--json"))
    assert first["notes"] == ["./promptctl-test-9.jsonl stays: Is a directory", data]
    (home / "promptctl-test-9.jsonl").rmdir()
    second = result_of(run("greet@2", "--json"))
    assert second["notes"] == [data, "run 1 has used all replies that are kept, so its verdict stands"]


def test_a_disk_that_fills_leaves_whole_results_in_the_file_of_a_lost_database(
    run: Callable[..., Ended],
    start: Start,
    claude: ClaudeServer,
    connect: Callable[..., Connection],
    home: Path,
    lose_database: Callable[..., None],
) -> None:
    before = len(claude.requests)
    process = start("support@4", rate=10, burst=4, file_bytes=7000)
    claude.wait_for(before + 4)
    lose_database()
    ended = wait_for_end(process)
    lose_database(is_lost=False)
    assert (ended.code, ended.out) == (1, "")
    note, error, _ = ended.err.splitlines()
    assert note.startswith("the results are in ./promptctl-test-1.jsonl, and --resume stores them. ")
    assert error == (
        "error: the database failed, and the replies cannot be written to ./promptctl-test-1.jsonl: File too large"
    )
    lines = (home / "promptctl-test-1.jsonl").read_text().splitlines(keepends=True)
    assert all(line.endswith("\n") for line in lines)
    written = sum(len(json.loads(line)["replies"]) for line in lines)
    [(kept,)] = connect().execute("select count(*) from promptctl.test_replies").fetchall()
    resumed = result_of(run("support@4", "--resume", "--json"))
    assert written + kept > 0
    assert (resumed["calls"], resumed["kept_replies"]) == (CALLS - written - kept, written + kept)
    assert not (home / "promptctl-test-1.jsonl").exists()


def test_reports_that_cannot_be_written_leave_the_old_ones(
    run: Callable[..., Ended], start: Start, claude: ClaudeServer, home: Path
) -> None:
    for name in ("r.html", "r.xml"):
        (home / name).write_text("old")
    process = start("support@1", "--html", "r.html", "--junit", "r.xml", file_bytes=100)
    ended = wait_for_end(process)
    assert (ended.code, len(ended.out.splitlines())) == (1, 6)
    assert "error: cannot write " in ended.err
    assert {path.name: path.read_text() for path in home.iterdir()} == {"r.html": "old", "r.xml": "old"}
    # What certainly cannot be written is found before any call.
    before = len(claude.requests)
    for option, path in (("--html", "missing/r.html"), ("--junit", str(home))):
        failure = check_json_failure(run("support@4", option, path, "--json"), 1)
        assert failure["code"] == "cannot_write"
    assert len(claude.requests) == before
    ended = run("support@1", "--replay", GITHUB_STEP_SUMMARY=str(home))
    assert ended.code == 0
    assert f'warning: cannot write "{home}": Is a directory\n' in ended.err
    os.mkfifo(home / "pipe")
    assert run("support@3").code == 3
    ended = run("support@3", "--replay", "--html", "pipe", "--junit", "/dev/full", GITHUB_STEP_SUMMARY="pipe")
    # The verdict stays.
    assert (ended.code, ended.out.splitlines()[0].split("\t")[0]) == (3, "support@3")
    assert 'warning: cannot write "pipe": nobody reads this pipe\n' in ended.err
    assert 'error: cannot write "/dev/full": No space left on device\n' in ended.err
    ended = run("support@1", "--replay", "--html", "pipe")
    assert (ended.code, 'error: cannot write "pipe": nobody reads this pipe\n' in ended.err) == (1, True)


def test_runs_of_several_models_share_one_limit_of_costs(run: Callable[..., Ended], claude: ClaudeServer) -> None:
    before = len(claude.requests)
    models = ["--model", "claude-haiku-5-5", "--model", "claude-sonnet-5-5"]
    ended = run("support@4", *models, "--max-cost", "0.00042")
    assert ended.code == 5
    assert "the calls ended at the limit of 0.00042 US dollars\n" in ended.err
    assert "error: the first call could exceed --max-cost: with max_tokens 500 one call may cost 0.00" in ended.err
    # The run that ended at the limit is shown.
    assert {tuple(line.split("\t")[:3]) for line in ended.out.splitlines()} == {
        ("support@4", "support@1", "claude-haiku-5-5")
    }
    sent = [one for one in claude.requests[before:] if one.usage]
    assert {one.body["model"] for one in sent} == {"claude-haiku-5-5"}
    costs = [
        prices.cost_usd(
            one.body["model"], one.usage["input_tokens"], one.usage["output_tokens"], 0, 0, "2026-11-30T00:00:00Z"
        )
        for one in sent
        if one.usage
    ]
    assert 0 < len(costs) < CALLS
    assert sum(cost or 0.0 for cost in costs) <= 0.00042


def test_unknown_prices_and_models_are_reported(run: Callable[..., Ended], claude: ClaudeServer) -> None:
    before = len(claude.requests)
    refused = check_json_failure(run("support@4", "--model", "house-model", "--max-cost", "1", "--json"), 5)
    assert (refused["code"], "the price of house-model is not known" in refused["message"]) == ("price_unknown", True)
    # The price of a later model is checked before the first one is paid for.
    models = ["--model", "claude-haiku-5-5", "--model", "house-model"]
    several = check_json_failure(run("support@4", *models, "--max-cost", "1", "--json"), 5)
    assert several == refused
    assert len(claude.requests) == before
    assert result_of(run("support@4", "--model", "house-model", "--case", "Question 1", "--json"))["cost_usd"] is None
    # What the first model cost is shown, and the command fails with the second.
    failed = run(
        "support@4", "--model", "claude-haiku-5-5", "--model", "claude-nope", "--case", "Question 1",
        missing_models="claude-nope",
    )  # fmt: skip
    assert failed.code == 7
    assert failed.out.startswith("support@4\tsupport@1\tclaude-haiku-5-5\t")
    assert "error: Claude does not have the model: model: claude-nope\n" in failed.err


def test_the_price_of_the_judge_of_a_later_run_is_checked_before_the_first_call(
    run: Callable[..., Ended], claude: ClaudeServer, sql: Connection
) -> None:
    for name, settings in (("judge", '{"model": "house-judge", "max_tokens": 9}'), ("other", SETTINGS)):
        sql.execute("select promptctl.create_version(%s, 'Be fair.', settings => %s::jsonb)", [name, settings])
    judged = {
        "messages": [{"role": "user", "content": "question 9"}],
        "assert": [{"type": "llm-rubric", "value": "It is good"}],
        "judge": "judge@1",
    }
    definition = json.dumps(judged, sort_keys=True, separators=(",", ":"))
    sql.execute("select promptctl.set_cases('other', %s::text[], null, 'me')", [[definition]])
    before = len(claude.requests)
    refused = check_json_failure(run("support@4", "other@1", "--max-cost", "1", "--json"), 5)
    assert "the price of house-judge is not known" in refused["message"]
    # What makes a later run impossible is found before the first one too.
    del judged["messages"]
    definition = json.dumps(judged, sort_keys=True, separators=(",", ":"))
    sql.execute("select promptctl.set_cases('other', %s::text[], null, 'me')", [[definition]])
    assert check_json_failure(run("support@4", "other@1", "--json"), 2)["code"] == "invalid_cases"
    assert check_json_failure(run("support@4", "judge@1", "--json"), 2)["code"] == "no_cases"
    assert len(claude.requests) == before


def test_no_other_run_begins_after_one_with_an_unknown_price(run: Callable[..., Ended], claude: ClaudeServer) -> None:
    before = len(claude.requests)
    models = ["--model", "claude-haiku-5-5", "--model", "claude-sonnet-5-5"]
    ended = run("support@4", *models, "--max-cost", "1", alias="house-model")
    assert ended.code == 5, ended
    assert "error: the cost of the run of support@4" in ended.err
    assert {one.body["model"] for one in claude.requests[before:]} == {"claude-haiku-5-5"}


def test_a_judge_that_answers_nonsense_gives_no_verdict(run: Callable[..., Ended], sql: Connection) -> None:
    rubric = {
        "messages": [{"role": "user", "content": "question 9"}],
        "assert": [{"type": "llm-rubric", "value": "It is good"}],
    }
    cases = [json.dumps(case, sort_keys=True, separators=(",", ":")) for case in (rubric, *CASES)]
    sql.execute("select promptctl.set_cases('support', %s::text[], null, 'me')", [cases[:1]])
    failure = check_json_failure(run("support@4", "--json", judge="nonsense"), 7)
    reason = "6 replies have no verdict: the judge built-in gave no usable answer"
    assert failure["message"] == f"nothing can be compared: {reason}"
    sql.execute("select promptctl.set_cases('support', %s::text[], null, 'me')", [cases])
    result = result_of(run("support@4", "--json", judge="nonsense"), 7)
    assert (result["verdict"], result["cases"][0]["errors"]) == ("undecided", 3)
    assert result["cases"][0]["failed"] == [
        {"check": 'llm-rubric "It is good"', "reason": "no verdict of the judge", "times": 3}
    ]
    assert (result["notes"], "1 of 7 cases have no replies to compare" in result["reason"]) == ([reason], True)
    shown = run("show", str(result["run"]))
    assert "\t3\tno verdict of the judge\t" in shown.out.splitlines()[0]


def test_each_report_says_which_calls_failed_and_why(run: Callable[..., Ended], home: Path) -> None:
    files = ["--html", "report.html", "--junit", "report.xml"]
    ended = run("support@4", *files, reject_text="question 1", GITHUB_STEP_SUMMARY=str(home / "summary.md"))
    assert ended.code == 7
    reason = "6 replies are missing: Claude rejected the request: max"
    assert f"support@4 against support@1: {reason}" in ended.err
    assert "undecided: 1 of 6 cases have no replies to compare" in ended.err
    for name in ("report.html", "report.xml", "summary.md"):
        assert reason in (home / name).read_text(), name
    assert '<error type="no reply" message="3 replies missing"/>' in (home / "report.xml").read_text()
    # A verdict that the other cases prove stays.
    assert run("support@3", reject_text="question 1").code == 3


def test_two_runs_at_once_are_both_kept_and_share_their_replies(
    run: Callable[..., Ended], start: Start, sql: Connection
) -> None:
    processes = [start("support@4", delay_ms=50, number=number) for number in range(2)]
    assert [wait_for_end(process).code for process in processes] == [0, 0]
    [(verdicts, kept)] = sql.execute(
        "select (select count(verdict) from promptctl.test_runs), (select count(*) from promptctl.test_replies)"
    ).fetchall()
    assert verdicts == 2
    assert kept > CALLS
    replayed = result_of(run("support@4", "--replay", "--json", ANTHROPIC_API_KEY=None))
    assert replayed["calls"] == 0
    # Of the baseline, all replies of both runs.
    assert sum(case["baseline_replies"] for case in replayed["cases"]) == kept // 2
    assert [case["new_replies"] for case in replayed["cases"]] == [3] * 6


def test_a_folder_whose_only_change_is_a_rollout_or_an_activation_is_tested(
    run: Callable[..., Ended], promptctl: Promptctl, home: Path
) -> None:
    assert promptctl("export", str(home / "prompts")).code == 0
    assert promptctl("sync", "prompts/").code == 0
    settings = home / "prompts" / "support" / "prompt.yaml"
    text = settings.read_text()
    assert "active: 1" in text
    settings.write_text(text.replace("active: 1", "active: 3"))
    activated = result_of(run("prompts/", "--json"), 3)
    assert (activated["version"], activated["against_version"], activated["verdict"]) == (3, 1, "worse")
    rollout = "active: 3\nrollout: {steps: [40%, 60%], hold: 0s, uses: 3, guards: {errors: 1pt}}"
    settings.write_text(text.replace("active: 1", rollout))
    rolled_out = result_of(run("prompts/", "--json", scenario="status", status=500), 3)
    assert (rolled_out["version"], rolled_out["calls"], rolled_out["verdict"]) == (3, 0, "worse")
    # A move of an operator, which a sync keeps.
    settings.write_text(text)
    assert promptctl("activate", "support@2").code == 0
    held = run("prompts/", scenario="status", status=500)
    assert (held.code, held.out, held.err) == (
        0, "", "a sync would not move support, because somebody else did: promptctl sync prompts/ --dry-run\n"
    )  # fmt: skip


FILES_OF_TESTS = {
    "1.yaml": "- message: one\n  assert: [contains: good]",
    "2.yml": """\
tests:
  - vars: {name: "{other} {{x}} ${y}"}
    message: two {name}
    assert: [contains: good]
  - message: three
    vars: {name: z}
    assert: [{type: regex, value: "^(a+)+$"}, contains: good]
""",
}  # fmt: skip


def test_a_folder_of_files_of_tests_is_tested_before_it_is_stored(
    run: Callable[..., Ended], claude: ClaudeServer, home: Path, sql: Connection
) -> None:
    prompt = home / "prompts" / "fresh"
    (prompt / "tests").mkdir(parents=True)
    (prompt / "v1.txt").write_text("You serve {name}.")
    for name, text in FILES_OF_TESTS.items():
        (prompt / "tests" / name).write_text(text)
    ended = check_failure(run("prompts/"), 2)
    assert "case 1 (one) has no value for the variable name" in ended.err
    (prompt / "tests" / "1.yaml").write_text("- message: one\n  vars: {name: x}\n  assert: [contains: good]")
    before = len(claude.requests)
    result = result_of(run("prompts/", "--json"))
    assert [(case["title"], case["new_replies"]) for case in result["cases"]] == [
        ("one", 3),
        ("two {name}", 3),
        ("three", 3),
    ]
    sent = {json.dumps(one.body["system"]) for one in claude.requests[before:]}
    assert any("You serve {other} {{x}} ${y}." in text for text in sent)
    assert sql.execute("select count(*) from promptctl.versions where name = 'fresh'").fetchone() == (0,)
