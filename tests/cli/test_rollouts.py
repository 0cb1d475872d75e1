"""`rollout`: start, tick, watch, pause, resume, stop, their screens, exit codes and refusals."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.commands import check_json_failure
from tests.conftest import Promptctl, stable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Generator, Iterator

    from tests.conftest import Ended

NAME = "default-system-prompt"
# A plan whose steps need no time. The guard needs 100 uses of each version.
QUICK = ("--hold", "0s", "--uses", "3", "--guard", "errors=1pt", "--steps", "40%,60%,80%")


def document(ended: Ended, code: int = 0) -> dict[str, Any]:
    assert ended.code == code, ended
    parsed: dict[str, Any] = json.loads(ended.out)
    return parsed


def use(
    sql: psycopg.Connection[Any], number: int, *, name: str = NAME, failing: str | None = None, slow: float = 1.0
) -> None:
    """Record uses of a prompt by as many units.

    Those of the candidate fail with `failing`, or take `slow` times as long.
    """
    sql.execute(
        """
        select promptctl.record_use(
            %(name)s, r.version, r.epoch, 300, 150,
            (1000 + 100 * (i %% 7)) * case when r.version = s.candidate_version then %(slow)s::float8 else 1 end,
            outcome => case when r.version = s.candidate_version then coalesce(%(failing)s, 'ok') else 'ok' end,
            unit => 'user-' || i)
        from promptctl.served s, generate_series(1, %(number)s) i,
             lateral promptctl.resolve(%(name)s, 'user-' || i) r
        where s.name = %(name)s
        """,
        {"name": name, "number": number, "failing": failing, "slow": slow},
    )


def make_older(sql: psycopg.Connection[Any], interval: str) -> None:
    """Move the open rollouts into the past."""
    sql.execute("set session_replication_role = replica")
    for column in ("began_at", "step_began_at"):
        sql.execute(f"update promptctl.rollouts set {column} = {column} - %s::interval".encode(), [interval])
    sql.execute("update promptctl.rollout_ticks set ticked_at = ticked_at - %s::interval", [interval])
    sql.execute("update promptctl.rollout_events set happened_at = happened_at - %s::interval", [interval])
    sql.execute("reset session_replication_role")


def served(sql: psycopg.Connection[Any], name: str = NAME) -> Any:
    return sql.execute(
        "select active_version, candidate_version, basis_points from promptctl.served where name = %s", [name]
    ).fetchone()


def state(sql: psycopg.Connection[Any]) -> Any:
    row = sql.execute("select state from promptctl.rollouts order by rollout desc limit 1").fetchone()
    return row and row[0]


def test_a_rollout_goes_through_its_steps_to_the_activation(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    started = demo("rollout", "start", f"{NAME}@3", *QUICK, "--reason", "does it help?")
    assert (started.code, started.out) == (0, f"1\t{NAME}\tstart\trunning\t40%\t-\n")
    assert stable(started.err) == (f"started rollout 1 of {NAME}: 2 → 3 in llm_app at db.prod; 3 gets 40%\n")
    steps: list[Any] = []
    ticked = started
    for _ in range(3):
        assert demo("rollout", "tick", NAME).out == ""
        use(sql, 400)
        ticked = demo("rollout", "tick")
        assert ticked.code == 0
        steps.append((served(sql), ticked.out.split("\t")[2:5]))
    assert steps == [
        ((2, 3, 6000), ["advance", "running", "60%"]),
        ((2, 3, 8000), ["advance", "running", "80%"]),
        ((3, None, 0), ["promote", "promoted", "100%"]),
    ]
    assert re.fullmatch(
        rf"{NAME}: activated version 3 in llm_app at db.prod after \d+ s: \d+ uses, no guard worse than tolerated\n",
        stable(ticked.err),
    )
    assert demo("rollout", "tick") == demo("rollout", "tick", NAME)
    assert demo("rollout", "tick").out == ""
    assert demo("rollout", "status", NAME).out.split("\t")[4:6] == ["promoted", "100%"]
    # The history has ordinary moves, and a rollback goes back to the baseline.
    events = document(demo("history", NAME, "--limit", "4", "--json"))["events"]
    assert [(event["kind"], event["version"], event["basis_points"]) for event in events] == [
        ("activate", 3, 0), ("split", 2, 8000), ("split", 2, 6000), ("split", 2, 4000),
    ]  # fmt: skip
    assert all(event["reason"].startswith("rollout 1") for event in events)
    assert demo("rollback", NAME, "-q").out == f"{NAME}@2\n"


def test_the_plan_is_printed_with_its_defaults(demo: Promptctl, snapshot: Callable[..., None]) -> None:
    shown = [
        demo.on_terminal("rollout", "start", f"{NAME}@3", "--dry-run").out,
        demo.on_terminal("rollout", "start", f"{NAME}@3", "--steps", "0.5%,5%", "--hold", "90m", "--uses", "1000",
                         "--guard", "errors=0.5pt", "--guard", "score=0.1", "--patience", "3d", "--in-doubt",
                         "rollback", "--reason", "does it help?").out,
        demo.on_terminal("rollout", "start", f"{NAME}@3").out,
    ]  # fmt: skip
    snapshot("\n\n".join(shown), "cli/rollout-start-terminal")


def test_a_start_says_which_split_it_ends(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    assert demo("split", f"{NAME}@1", "30%").code == 0
    started = demo("rollout", "start", f"{NAME}@3", *QUICK)
    assert started.out == f"1\t{NAME}\tstart\trunning\t40%\tends the split, 30% for version 1\n"
    assert started.err.endswith("; 3 gets 40%; ends the split, 30% for version 1\n")
    assert served(sql) == (2, 3, 4000)


def test_a_dry_run_starts_nothing(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    planned = document(demo("rollout", "start", f"{NAME}@3", "--dry-run", "--json"))
    assert (planned["rollout"], planned["dry_run"], planned["state"]) == (None, True, "running")
    assert planned["steps"] == [1000, 2500, 5000]
    assert (planned["hold_seconds"], planned["least_uses"], planned["patience_seconds"]) == (3600, 200, 604800)
    assert planned["in_doubt"] == "pause"
    assert planned["guards"][0] == {"metric": "errors", "tolerance": 0.01}
    assert (state(sql), served(sql)) == (None, (2, None, 0))
    ended = demo("rollout", "start", f"{NAME}@3", "--dry-run")
    assert ended.out == f"-\t{NAME}\tstart\trunning\t10%\t-\n"
    assert stable(ended.err) == (
        f"would start a rollout of {NAME}: 2 → 3 in llm_app at db.prod; 3 would get 10%\ndry run: nothing was changed\n"
    )
    # Refused as the real run is.
    assert (
        check_json_failure(demo("rollout", "start", f"{NAME}@2", "--dry-run", "--json"), 5)["code"] == "version_active"
    )


def test_the_plan_comes_from_a_prompt_yaml(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    (demo.home / "prompt.yaml").write_text(
        "active: 2\nrollout: {steps: [5%, 40%], hold: 2h, uses: 7, guards: {errors: 2pt}, in_doubt: rollback}\n"
    )
    planned = document(demo("rollout", "start", f"{NAME}@3", "--file", "prompt.yaml", "--dry-run", "--json"))
    assert (planned["steps"], planned["hold_seconds"], planned["least_uses"]) == ([500, 4000], 7200, 7)
    assert (planned["guards"], planned["in_doubt"]) == ([{"metric": "errors", "tolerance": 0.02}], "roll back")
    # Options take precedence, and the file can be standard input.
    words = ("rollout", "start", f"{NAME}@3", "-f", "-", "--uses", "9", "--json")
    started = document(demo(*words, stdin="rollout: {steps: [5%], uses: 7}"))
    assert (started["steps"], started["least_uses"]) == ([500], 9)
    assert served(sql) == (2, 3, 500)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("active: 2\n", "p.yaml has no key rollout"),
        ("- rollout\n", "p.yaml has no key rollout"),
        ("rollout: {holds: 1h}\n", "p.yaml: rollout: unknown key 'holds': did you mean 'hold'?"),
        ("a: 1\na: 2\n", "p.yaml:2: the key 'a' appears twice"),
        ("<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n", "p.yaml has an unresolved merge conflict"),
    ],
)
def test_a_file_without_a_valid_plan_is_refused(unconfigured: Promptctl, text: str, message: str) -> None:
    (unconfigured.home / "p.yaml").write_text(text)
    error = check_json_failure(unconfigured("rollout", "start", f"{NAME}@3", "-f", "p.yaml", "--json"), 2)
    assert (error["code"], message in error["message"]) == ("malformed_rollout", True), error
    assert error["hint"].startswith("write rollout: default, or rollout: {steps: ")


def test_starting_again_changes_nothing_and_another_candidate_is_refused(
    demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    assert document(demo("rollout", "start", f"{NAME}@3", "--steps", "5%", "--json"))["changed"] is True
    again = document(demo("rollout", "start", f"{NAME}@3", "--json"))
    assert (again["changed"], again["steps"]) == (False, [500])
    assert "is already running at 5%" in again["message"]
    error = check_json_failure(demo("rollout", "start", f"{NAME}@1", "--json"), 5)
    assert (error["code"], error["hint"]) == ("rollout_open", f"promptctl rollout status {NAME}")
    assert error["message"] == f'rollout 1 of "{NAME}" is open: it serves version 3 to 5% of the units'
    assert served(sql) == (2, 3, 500)


INVALID: dict[tuple[str, ...], tuple[str, str, str]] = {
    ("start", "a"): ("version_missing", "rollout start needs a version: a@VERSION", "promptctl show a"),
    ("start", "a@2", "--steps", "10%,0%"): ("invalid_steps", '--steps "10%,0%": a step is above 0%', ""),
    ("start", "a@2", "--steps", "50%,100%"): (
        "invalid_steps",
        '--steps "50%,100%": a step is below 100%: after the last step the candidate is activated',
        "",
    ),
    ("start", "a@2", "--steps", "50%,25%"): (
        "invalid_steps", '--steps "50%,25%": each step must be larger than the one before: 25% follows 50%', "",
    ),
    ("start", "a@2", "--steps", "half"): ("invalid_steps", '--steps "half": "half" is not a share', ""),
    ("start", "a@2", "--hold", "-1h"): ("invalid_time", '--hold: "-1h" is not an age', "write 90s, 15m, 2h or 3d"),
    ("start", "a@2", "--hold=-1h"): ("invalid_time", '--hold: "-1h" is not an age', "write 90s, 15m, 2h or 3d"),
    ("start", "a@2", "--hold", "soon"): ("invalid_time", '--hold: "soon" is not an age', "write 90s, 15m, 2h or 3d"),
    ("start", "a@2", "--patience", "0s"): ("invalid_time", "--patience must be at least 1s",
                                           "write 90s, 15m, 2h or 3d"),
    ("start", "a@2", "--uses", "-3"): ("usage", "--uses is a whole number from 0 to 999999999, not -3",
                                       "promptctl rollout start --help"),
    ("start", "a@2", "--uses", "many"): ("usage", '--uses is a whole number from 0 to 999999999, not "many"',
                                         "promptctl rollout start --help"),
    ("start", "a@2", "--in-doubt", "panic"): ("usage", '--in-doubt is pause or rollback, not "panic"',
                                              "promptctl rollout start --help"),
    ("start", "a@2", "--guard", "speed=15%"): (
        "invalid_margin", '--guard "speed=15%" names no metric',
        "write METRIC=MARGIN, a METRIC of errors, time, slow, first, output, cost, score",
    ),
    ("start", "a@2", "--guard", "time=15%", "--guard", "time=20%"): (
        "invalid_margin", "--guard appears twice for time", "promptctl rollout start --help",
    ),
    ("start", "a@2", "--guard", "errors=0.005pt"): (
        "invalid_margin", "--guard: errors has a tolerance that is too small",
        "write percentage points from 0.01pt to 100pt, for example errors=0.5pt",
    ),
    ("start", "a@2", "--hold", "400d", "--patience", "500d"): (
        "invalid_time", "hold must be at most 366d",
        "set --hold and --patience, for example --hold 8d --patience 14d",
    ),
    ("start", "a@2", "--hold", "8d"): (
        "invalid_time", "patience, which is 7d by default, must be at least as long as hold",
        "set --hold and --patience, for example --hold 8d --patience 14d",
    ),
    ("tick", "a@2"): ("usage", "rollout tick needs a name without a version: a", "promptctl rollout tick a"),
    ("pause", "a@2"): ("usage", "rollout pause needs a name without a version: a", "promptctl rollout pause a"),
    ("status", "a@2"): ("usage", "rollout status needs a name without a version: a", "promptctl rollout status a"),
    ("watch", "a", "--every", "0s"): ("invalid_time", "--every must be at least 1s", "write 90s, 15m, 2h or 3d"),
    ("watch", "a", "--timeout", "1.5h"): ("invalid_time", '--timeout: "1.5h" is not an age',
                                          "write 90s, 15m, 2h or 3d"),
    ("stop",): ("usage", "promptctl rollout stop needs NAME", "promptctl rollout stop --help"),
}  # fmt: skip


@pytest.mark.parametrize("words", INVALID, ids=" ".join)
def test_invalid_arguments_are_refused_without_a_database(words: tuple[str, ...], unconfigured: Promptctl) -> None:
    code, message, hint = INVALID[words]
    hint = hint or "write growing shares above 0% and below 100%, for example --steps 10%,25%,50%"
    error = check_json_failure(unconfigured("rollout", *words, "--json"), 2)
    # A hint that corrects the command line keeps its options.
    assert (error["code"], error["message"], error["hint"].removesuffix(" --json")) == (code, message, hint)


REFUSED: dict[str, tuple[int, str, str, str | None]] = {
    f"start {NAME}@2": (5, "version_active", f"{NAME}@2 is the active version: a rollout needs another one",
                        f"promptctl show {NAME}"),
    f"start {NAME}@9": (4, "version_not_found", f'"{NAME}" has no version 9 in llm_app at db.prod',
                        f"promptctl show {NAME}"),
    "start code_helper@1": (4, "no_active_version",
                            '"code_helper" has no active version from which to roll out in llm_app at db.prod',
                            "promptctl activate code_helper@VERSION"),
    **{
        f"{command} {NAME}": (4, "rollout_not_found", f'"{NAME}" has no open rollout in llm_app at db.prod',
                              f"promptctl rollout status {NAME}")
        for command in ("pause", "resume", "stop")
    },
    f"watch {NAME}": (4, "rollout_not_found", f'"{NAME}" has no rollout in llm_app at db.prod',
                      f"promptctl rollout start {NAME}@VERSION"),
    **{
        f"{command} suport/triage{version}": (4, "prompt_not_found", 'no prompt "suport/triage" in llm_app at db.prod',
                                              "promptctl show support/triage")
        for command, version in (("start", "@2"), *((command, "") for command in (
            "status", "tick", "watch", "pause", "resume", "stop")))
    },
}  # fmt: skip


@pytest.mark.parametrize("line", REFUSED)
def test_an_invalid_rollout_is_refused_and_changes_nothing(
    line: str, demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    exit_code, code, message, hint = REFUSED[line]
    error = check_json_failure(demo("rollout", *line.split(), "--json"), exit_code)
    assert (error["code"], stable(error["message"])) == (code, message)
    if hint is not None:
        assert error["hint"] == hint
    assert (state(sql), served(sql)) == (None, (2, None, 0))


def test_an_archived_candidate_and_new_variables_are_refused(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("delete", f"{NAME}@1")
    error = check_json_failure(demo("rollout", "start", f"{NAME}@1", "--json"), 5)
    assert (error["code"], error["hint"]) == ("version_archived", f"promptctl delete --undo {NAME}@1")
    demo("create", NAME, "Answer in {language}.")
    assert check_json_failure(demo("rollout", "start", f"{NAME}@4", *QUICK, "--json"), 5)["code"] == "new_variables"
    assert demo("rollout", "start", f"{NAME}@4", *QUICK, "--allow-new-variables").code == 0
    # The promotion needs no option: the start remembers it.
    for _ in range(3):
        use(sql, 400)
        assert demo("rollout", "tick", "-q").out == f"{NAME}@4\n"
    assert served(sql) == (4, None, 0)
    # The candidate of an open rollout cannot be archived.
    demo("rollout", "start", f"{NAME}@3", *QUICK)
    assert check_json_failure(demo("delete", f"{NAME}@3", "--json"), 5)["code"] == "version_active"


def test_proven_harm_rolls_back_once_with_exit_code_3(
    demo: Promptctl, sql: psycopg.Connection[Any], snapshot: Callable[..., None]
) -> None:
    demo("rollout", "start", f"{NAME}@3", *QUICK, "--steps", "50%")
    use(sql, 400, failing="overloaded_error")
    ended = demo("rollout", "tick")
    assert ended.code == 3
    assert ended.out.split("\t")[:5] == ["1", NAME, "roll back", "rolled back", "0%"]
    assert re.fullmatch(
        rf"{NAME}: rolled back to version 2 in llm_app at db.prod: errors: 100.0% with version 3, 0.0% with 2, "
        r"tolerated 1 point more\n",
        stable(ended.err),
    )
    assert served(sql) == (2, None, 0)
    assert demo("rollout", "tick").code == 0
    assert demo("rollout", "tick", NAME).code == 0
    assert demo("rollout", "status", NAME).out.split("\t")[4:6] == ["rolled back", "0%"]
    shown = demo.on_terminal("rollout", "status", NAME)
    snapshot(steady(shown.out), "cli/rollout-status-rolled-back-terminal")
    assert document(demo("rollout", "status", NAME, "--json"))["rollouts"][0]["state"] == "rolled back"


def test_a_rollout_without_a_decision_pauses_once_with_exit_code_9(
    demo: Promptctl, sql: psycopg.Connection[Any], snapshot: Callable[..., None]
) -> None:
    demo("rollout", "start", f"{NAME}@3", "--patience", "2h")
    make_older(sql, "3 hours")
    ended = demo("rollout", "tick", "--json")
    ticked = document(ended, 9)
    assert (ticked["action"], ticked["state"], ticked["basis_points"]) == ("pause", "paused", 1000)
    assert ticked["why"].startswith("not decided in ")
    # The next tick finds nothing to do, and reports nothing.
    again = demo("rollout", "tick", NAME)
    assert (again.code, again.out, again.err) == (0, "", "")
    assert served(sql) == (2, 3, 1000)
    shown = demo.on_terminal("rollout", "status", NAME)
    snapshot(steady(shown.out), "cli/rollout-status-paused-terminal")
    assert demo("rollout", "watch", NAME).code == 9
    assert demo("rollout", "resume", NAME).code == 0
    assert demo("rollout", "tick", NAME).code == 0


def test_a_rollback_counts_more_than_a_pause_in_the_exit_code(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("split", "support/triage", "--off")
    demo("rollout", "start", "support/triage@2", "--patience", "2h")
    make_older(sql, "3 hours")
    demo("rollout", "start", f"{NAME}@3", *QUICK, "--steps", "50%")
    use(sql, 400, failing="overloaded_error")
    # Without names, all rollouts that run, by name.
    ended = demo("rollout", "tick")
    assert ended.code == 3
    assert [line.split("\t")[1:3] for line in ended.out.splitlines()] == [
        [NAME, "roll back"], ["support/triage", "pause"],
    ]  # fmt: skip


def test_an_error_of_one_rollout_does_not_stop_the_others(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("rollout", "start", f"{NAME}@3", *QUICK)
    use(sql, 400)
    ended = demo("rollout", "tick", "nothing-like-it", NAME)
    assert ended.code == 4
    assert ended.out.split("\t")[1:3] == [NAME, "advance"]
    assert stable(ended.err).splitlines()[-2:] == [
        'error: no prompt "nothing-like-it" in llm_app at db.prod', "hint:  promptctl list",
    ]  # fmt: skip


def test_a_tick_does_not_wait_for_a_session_that_changes_the_prompt(
    demo: Promptctl, sql: psycopg.Connection[Any], connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    demo("rollout", "start", f"{NAME}@3", *QUICK)
    use(sql, 400)
    other = connect(autocommit=False)
    other.execute("select from promptctl.served where name = %s for update", [NAME])
    ticked = document(demo("rollout", "tick", NAME, "--json"))
    assert (ticked["action"], ticked["why"]) == ("busy", "another session is changing the prompt")
    other.rollback()
    assert document(demo("rollout", "tick", NAME, "--json"))["action"] == "advance"


def test_ticks_at_once_take_one_step(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("rollout", "start", f"{NAME}@3", *QUICK)
    use(sql, 400)
    ticks = [demo.start("rollout", "tick", "--json") for _ in range(4)]
    actions: list[str] = []
    for tick in ticks:
        out, err = tick.communicate(timeout=60)
        assert (tick.returncode, err) == (0, b"")
        actions += [json.loads(line)["action"] for line in out.splitlines()]
    # A tick that begins after the step waits for uses of that step.
    assert actions.count("advance") == 1
    assert set(actions) <= {"advance", "hold", "busy"}
    assert served(sql) == (2, 3, 6000)


def test_a_tick_that_holds_logs_why_with_verbose(demo: Promptctl) -> None:
    demo("rollout", "start", f"{NAME}@3")
    ended = demo("rollout", "tick", "-v")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == (
        f"Rollout ticked  name={NAME}  version=3  action=hold  basisPoints=1000  why=waits for uses: 0 of 200"
        "  author=ada@example.com\n"
    )
    logged = json.loads(demo("rollout", "tick", "--log-format", "json").err)
    assert (logged["message"], logged["action"]) == ("Rollout ticked", "hold")


def test_pausing_resuming_and_stopping(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("rollout", "start", f"{NAME}@3", *QUICK)
    use(sql, 400)
    paused = document(demo("rollout", "pause", NAME, "--reason", "release freeze", "--json"))
    assert stable(paused["message"]) == f"paused rollout 1 of {NAME} at 40% in llm_app at db.prod"
    assert (paused["state"], paused["changed"], paused["why"]) == (
        "paused", True, "paused by ada@example.com: release freeze",
    )  # fmt: skip
    assert document(demo("rollout", "pause", NAME, "--json"))["changed"] is False
    assert demo("rollout", "tick").out == ""
    assert served(sql) == (2, 3, 4000)
    resumed = demo("rollout", "resume", NAME)
    assert resumed.out == f"1\t{NAME}\tresume\trunning\t40%\t-\n"
    again = demo("rollout", "resume", NAME)
    assert stable(again.err) == f"rollout 1 of {NAME} is already running in llm_app at db.prod\n"
    assert demo("rollout", "tick", "-q").out == f"{NAME}@3\n"
    stopped = demo("rollout", "stop", NAME, "--reason", "too terse")
    assert stopped.out == f"1\t{NAME}\tstop\tstopped\t60%\tstopped by ada@example.com: too terse\n"
    assert stable(stopped.err) == f"stopped rollout 1 of {NAME} in llm_app at db.prod: all units get version 2\n"
    assert served(sql) == (2, None, 0)
    assert check_json_failure(demo("rollout", "stop", NAME, "--json"), 4)["code"] == "rollout_not_found"
    messages = [
        json.loads(demo("rollout", *words, "-q", "--log-format", "json").err)["message"]
        for words in (["start", f"{NAME}@3"], ["pause", NAME], ["resume", NAME], ["stop", NAME])
    ]
    assert messages == ["Rollout started", "Rollout paused", "Rollout resumed", "Rollout stopped"]


def test_show_names_the_open_rollout(demo: Promptctl) -> None:
    demo("rollout", "start", f"{NAME}@3")
    assert "; version 3 gets 10% in rollout 1, running" in demo("show", NAME).err
    assert "; version 3 gets 10% in rollout 1, running" in demo.on_terminal("show", NAME).out
    demo("rollout", "pause", NAME)
    shown = document(demo("show", NAME, "--json"))
    assert (shown["rollout"], shown["rollout_state"], shown["basis_points"]) == (1, "paused", 1000)
    # The active version is what serves after a stop.
    assert demo("rollout", "stop", NAME, "--quiet").out == f"{NAME}@2\n"
    assert document(demo("show", NAME, "--json"))["rollout"] is None


def test_a_share_of_0_percent_cannot_be_resumed(demo: Promptctl) -> None:
    demo("rollout", "start", f"{NAME}@3")
    demo("split", NAME, "0%")
    error = check_json_failure(demo("rollout", "resume", NAME, "--json"), 5)
    assert (error["code"], error["hint"]) == ("one_version_served", f"promptctl rollout status {NAME}")


@pytest.mark.parametrize("share", ["0%", "100%"])
def test_a_rollout_with_one_version_names_commands_that_work(demo: Promptctl, share: str) -> None:
    demo("rollout", "start", f"{NAME}@3")
    commands = [
        f"promptctl activate {NAME}@3 activates it for all units",
        f"promptctl rollout stop {NAME} ends the rollout and the split",
    ]
    assert demo("split", NAME, share).err.splitlines()[2:] == commands
    shown = demo.on_terminal("rollout", "status", NAME).out
    assert all(command in shown for command in commands)
    assert "rollout resume" not in shown


def test_a_tick_works_without_a_roll_up(separate_database: None, demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("rollout", "start", f"{NAME}@3", "--hold", "0s", "--uses", "0", "--guard", "errors=1pt")
    use(sql, 2000)
    sql.execute("alter function promptctl.roll_up_uses(bigint) rename to roll_up_uses_of_another_schema")
    ticked = demo("rollout", "tick")
    assert (ticked.code, "cannot roll uses up, so the tick takes longer: " in ticked.err) == (0, True), ticked
    assert served(sql) == (2, 3, 2500)


def test_split_reports_what_it_did_to_the_rollout(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("rollout", "start", f"{NAME}@3")
    changed = demo("split", NAME, "40%")
    assert changed.err.splitlines()[1:] == [
        f"rollout 1 of {NAME} is paused", f"promptctl rollout resume {NAME} continues it at this share",
    ]  # fmt: skip
    assert document(demo("split", NAME, "40%", "--json"))["rollout"] is None
    assert document(demo("rollout", "resume", NAME, "--json"))["basis_points"] == 4000
    ended = document(demo("split", NAME, "--off", "--json"))
    assert (ended["rollout"], ended["rollout_state"]) == (1, "stopped")
    assert state(sql) == "stopped"


def test_the_status_of_a_running_rollout(
    demo: Promptctl, sql: psycopg.Connection[Any], snapshot: Callable[..., None]
) -> None:
    demo("rollout", "start", f"{NAME}@3", "--hold", "1h", "--uses", "30", "--reason", "does it help?")
    use(sql, 2000, slow=1.02)
    make_older(sql, "62 minutes")
    assert demo("rollout", "tick", "-q").out == f"{NAME}@3\n"
    use(sql, 600, slow=1.02)
    make_older(sql, "10 minutes")
    screens = [demo.on_terminal("rollout", "status", *words).out for words in ([NAME], [])]
    snapshot(steady("\n\n".join(screens)), "cli/rollout-status-terminal")
    piped = demo("rollout", "status", NAME)
    assert (piped.out, piped.err) == (f"1\t{NAME}\t2\t3\trunning\t25%\t-\n", "")
    assert demo("rollout", "status").out == piped.out
    assert demo("rollout", "status", "-q").out == demo("rollout", "status", NAME, "-q").out == f"{NAME}@3\n"
    [shown] = document(demo("rollout", "status", NAME, "--json"))["rollouts"]
    assert (shown["state"], shown["basis_points"], shown["outlook"]["action"]) == ("running", 2500, "hold")
    assert [event["kind"] for event in shown["events"]] == ["start", "advance"]
    time = next(guard for guard in shown["guards"] if guard["metric"] == "time")
    assert 1200 < time["value_a"] < 1400
    assert time["lower"] < time["difference"] < time["upper"] < time["tolerance"] == pytest.approx(0.15)
    listed = document(demo("rollout", "status", "--json"))
    assert (listed["count"], listed["rollouts"][0]["next_at"]) == (1, shown["next_at"])


def test_the_report_is_one_file_that_loads_nothing_and_escapes_texts(
    demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    demo("rollout", "start", f"{NAME}@3", *QUICK, "--reason", '<b>faster</b> & "shorter"')
    for number in (400, 500):
        use(sql, number, slow=1.05)
        make_older(sql, "10 minutes")
        demo("rollout", "tick")
    ended = demo("rollout", "status", NAME, "--html", "report.html", "-q")
    assert (ended.code, ended.out) == (0, f"{NAME}@3\n")
    page = (demo.home / "report.html").read_text(encoding="utf-8")
    assert f"<h1>{NAME}: rollout 1, 2 → 3, running at 80%</h1>" in page
    assert "&lt;b&gt;faster&lt;/b&gt; &amp; &quot;shorter&quot;" in page
    assert not re.search(r"<script|<link|<img|src=|href=|<b>", page)
    # The interval of the guard, and its course over the ticks.
    assert page.count("<svg") == 2
    assert "Difference over time: errors" in page
    assert re.findall(r"<td>(start|advance)</td>", page) == ["start", "advance", "advance"]


def test_the_report_needs_a_name_and_a_place(demo: Promptctl) -> None:
    assert check_json_failure(demo("rollout", "status", "--html", "x.html", "--json"), 2)["code"] == "usage"
    demo("rollout", "start", f"{NAME}@3")
    error = check_json_failure(demo("rollout", "status", NAME, "--html", "none/x.html", "--json"), 1)
    assert (error["code"], error["message"]) == (
        "cannot_write", 'cannot write "none/x.html": No such file or directory',
    )  # fmt: skip


def test_prices_decide_whether_the_cost_is_a_guard(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("create", "priced", "One.", "--activate")
    demo("create", "priced", "Two.", "--model", "claude-haiku-5-5")

    def planned(*options: str) -> dict[str, float]:
        plan = document(demo("rollout", "start", "priced@2", *options, "--dry-run", "--json"))
        return {guard["metric"]: guard["tolerance"] for guard in plan["guards"]}

    record = "select promptctl.record_use('priced', 1, 1, 300, 150, 1000, model => %s)"
    sql.execute(record, ["claude-sonnet-5-5"])
    assert planned()["cost"] == pytest.approx(0.1, abs=1e-5)
    assert planned("--guard", "cost=20%") == {"cost": pytest.approx(0.2)}
    # A model without a price.
    sql.execute(record, ["our-own"])
    assert "cost" not in planned()
    # No model is known at all.
    error = check_json_failure(demo("rollout", "start", f"{NAME}@3", "--guard", "cost=10%", "--json"), 5)
    assert (error["code"], stable(error["message"])) == (
        "price_missing", "a guard of the cost needs the price of each model, in llm_app at db.prod",
    )  # fmt: skip


def test_the_status_without_a_rollout(demo: Promptctl) -> None:
    assert stable(demo.on_terminal("rollout", "status").out) == "no rollout is open in llm_app at db.prod\n"
    assert stable(demo.on_terminal("rollout", "status", NAME).out) == (
        f"{NAME} had no rollout in llm_app at db.prod\npromptctl rollout start {NAME}@VERSION starts one\n"
    )
    for words in ([], [NAME]):
        assert demo("rollout", "status", *words).out == ""
        assert document(demo("rollout", "status", *words, "--json")) == {"rollouts": [], "count": 0}


def test_a_warning_is_printed_if_nothing_ticks_for_a_quarter_of_an_hour(
    demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    demo("rollout", "start", f"{NAME}@3")
    assert demo("rollout", "status").err == ""
    make_older(sql, "16 minutes")
    warning = "warning: no tick for 16 min: run promptctl rollout tick every few minutes, for example from cron\n"
    assert demo("rollout", "status").err == demo("rollout", "status", NAME).err == warning
    assert demo("rollout", "status", "--json").err == ""
    demo("rollout", "tick")
    assert demo("rollout", "status").err == ""
    demo("rollout", "pause", NAME)
    make_older(sql, "16 minutes")
    assert demo("rollout", "status").err == ""


def test_watch_ends_with_the_activation(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("rollout", "start", f"{NAME}@3", *QUICK, "--steps", "50%")
    use(sql, 400)
    ended = demo("rollout", "watch", NAME)
    assert (ended.code, ended.out.split("\t")[2:5]) == (0, ["promote", "promoted", "100%"])
    again = demo("rollout", "watch", NAME)
    assert (again.code, again.out) == (0, "")
    assert again.err.startswith(f"{NAME}: rollout 1 is promoted: ")


def test_watch_ends_with_a_rollback_or_a_stop(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("rollout", "start", f"{NAME}@3", *QUICK, "--steps", "50%")
    use(sql, 400, failing="overloaded_error")
    assert demo("rollout", "watch", NAME, "-q").code == 3
    assert demo("rollout", "watch", NAME, "-q").code == 3
    demo("rollout", "start", f"{NAME}@3", *QUICK)
    demo("rollout", "stop", NAME)
    assert demo("rollout", "watch", NAME).code == 9


def test_watch_ends_after_its_timeout_and_the_rollout_continues(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("rollout", "start", f"{NAME}@3")
    ended = demo("rollout", "watch", NAME, "--timeout", "1s")
    assert (ended.code, ended.out) == (9, "")
    assert ended.err == f"not decided in 1 s: the rollout of {NAME} continues at the next tick\n"
    assert state(sql) == "running"


@contextlib.contextmanager
def watching(demo: Promptctl, sql: psycopg.Connection[Any], *words: str) -> Generator[subprocess.Popen[bytes]]:
    """Start `rollout watch`, and yield its process after its first tick."""
    process = demo.start("rollout", "watch", NAME, "--log-format", "json", *words)
    assert process.stderr is not None
    assert b"Rollout ticked" in process.stderr.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_watch_and_not_the_rollout(
    number: signal.Signals, code: int, demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    demo("rollout", "start", f"{NAME}@3")
    with watching(demo, sql) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert err.decode().splitlines()[0] == (
        f"the rollout of {NAME} continues at the next tick: promptctl rollout tick {NAME}"
    )
    assert (state(sql), served(sql)) == ("running", (2, 3, 1000))


def test_watch_connects_again_after_its_connection_was_lost(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    demo("rollout", "start", f"{NAME}@3", *QUICK, "--steps", "50%")
    with watching(demo, sql, "--every", "1s") as process:
        sql.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        use(sql, 400)
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out.split(b"\t")[2]) == (0, b"promote")


def test_an_unreachable_database_ends_a_tick_and_the_start_of_watch(unconfigured: Promptctl) -> None:
    env: dict[str, str | None] = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    for words in (["tick"], ["watch", NAME], ["status"]):
        assert check_json_failure(unconfigured("rollout", *words, "--json", env=env), 6)["code"] == "unreachable"


def test_a_read_only_database_refuses_a_tick(demo: Promptctl) -> None:
    demo("rollout", "start", f"{NAME}@3")
    env: dict[str, str | None] = {"PGOPTIONS": "-c default_transaction_read_only=on"}
    for words in (["tick"], ["start", "support/triage@2"], ["pause", NAME]):
        assert check_json_failure(demo("rollout", *words, "--json", env=env), 5)["code"] == "read_only"
    assert demo("rollout", "status", env=env).code == 0


@pytest.fixture
def role(sql: psycopg.Connection[Any], database_name: str) -> Iterator[Callable[[str], str]]:
    """Return a function that creates a login role for this test with an access."""
    names: list[str] = []

    def make(access: str) -> str:
        name = f"{database_name}_{access}"
        sql.execute(f"create role {name} login".encode())
        names.append(name)
        sql.execute("select promptctl.grant_access(%s, %s)", [name, access])
        return name

    yield make
    for name in names:
        sql.execute(f"drop owned by {name}; drop role {name}".encode())


def test_a_ticker_may_tick_and_change_nothing_else(
    demo: Promptctl, sql: psycopg.Connection[Any], promptctl_on: Callable[..., Promptctl], database_name: str,
    role: Callable[[str], str],
) -> None:  # fmt: skip
    demo("rollout", "start", f"{NAME}@3", *QUICK)
    use(sql, 400)
    viewer = promptctl_on(database_name, role("viewer"))
    error = check_json_failure(viewer("rollout", "tick", NAME, "--json"), 5)
    assert error["code"] == "permission_denied"
    assert error["hint"].endswith("_viewer --as ticker")
    assert viewer("rollout", "status", NAME, "-q").out == f"{NAME}@3\n"
    ticker = promptctl_on(database_name, role("ticker"))
    for words in (
        ["start", f"{NAME}@3"], ["pause", NAME], ["resume", NAME], ["stop", NAME],
    ):  # fmt: skip
        assert check_json_failure(ticker("rollout", *words, "--json"), 5)["code"] == "permission_denied"
    for words in (["activate", f"{NAME}@3"], ["split", NAME, "50%"], ["rollback", NAME], ["create", "x", "text"]):
        assert check_json_failure(ticker(*words, "--json"), 5)["code"] == "permission_denied"
    assert ticker("rollout", "tick").out.split("\t")[2] == "advance"
    assert document(ticker("rollout", "status", NAME, "--json"))["rollouts"][0]["basis_points"] == 6000
    # Rolled up before the tick.
    assert sql.execute("select sum(uses) from promptctl.totals where grain = 'hour'").fetchone() != (None,)
    operator = promptctl_on(database_name, role("operator"))
    assert operator("rollout", "stop", NAME).code == 0


def steady(text: str) -> str:
    """Replace times that differ between runs."""
    text = re.sub(r"(?<![.\d])\d+ s\b", "0 s", text)
    return re.sub(r"last tick (just now|\d+ \w+ ago)", "last tick just now", text)
