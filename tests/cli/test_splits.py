"""`split`: start, change, end and show a split, and refused splits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import check_failure, check_json_failure
from tests.conftest import stable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.conftest import Ended, Promptctl

FORMS = "write 10%, 0.5% or 12.25%, from 0% to 100%"


def document(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended
    parsed: dict[str, Any] = json.loads(ended.out)
    return parsed


def serving_state(sql: psycopg.Connection[Any], name: str = "default-system-prompt") -> Any:
    return sql.execute(
        "select active_version, candidate_version, basis_points, seed, epoch from promptctl.served where name = %s",
        [name],
    ).fetchone()


def test_starting_growing_and_ending_a_split_each_start_an_epoch(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    name = "default-system-prompt"
    before = serving_state(sql)
    assert before == (2, None, 0, None, 4)
    started = document(demo("split", f"{name}@3", "10%", "--reason", "does it help?", "--json"))
    assert stable(started.pop("message")) == (
        "default-system-prompt: version 3 gets 10% (was none), version 2 the rest, in llm_app at db.prod"
    )
    assert started == {
        "name": name, "version": 2, "candidate_version": 3, "previous_candidate_version": None, "basis_points": 1000,
        "previous_basis_points": 0, "seed": f"{name}.5", "epoch": 5, "changed": True,
        "rollout": None, "rollout_state": None,
    }  # fmt: skip
    # A larger share keeps the seed, so units that have the candidate keep it.
    assert demo("split", name, "12.25%").code == 0
    assert serving_state(sql) == (2, 3, 1225, f"{name}.5", 6)
    # Repeating the command changes nothing.
    again = document(demo("split", name, "12.25%", "--json"))
    assert (again["changed"], again["epoch"]) == (False, 6)
    # Another candidate is another split.
    other = document(demo("split", f"{name}@1", "12.25%", "--json"))
    assert other["seed"] == f"{name}.7"
    assert " version 1 gets 12.25% (version 3 had 12.25%), version 2 the rest, " in other["message"]
    everybody = document(demo("split", name, "100%", "--json"))
    assert " version 1 gets 100% (was 12.25%), version 2 none, " in everybody["message"]
    ended = document(demo("split", name, "--off", "--author", "bob@example.com", "--json"))
    assert (ended["candidate_version"], ended["seed"], ended["changed"]) == (None, None, True)
    assert serving_state(sql) == (2, None, 0, None, 9)
    assert document(demo("split", name, "--off", "--json"))["changed"] is False
    assert serving_state(sql) == (2, None, 0, None, 9)
    events = document(demo("history", name, "--limit", "5", "--json"))["events"]
    assert [(e["kind"], e["candidate_version"], e["basis_points"], e["author"], e["reason"]) for e in events] == [
        ("unsplit", None, 0, "bob@example.com", None),
        ("split", 1, 10000, "ada@example.com", None),
        ("split", 1, 1225, "ada@example.com", None),
        ("split", 3, 1225, "ada@example.com", None),
        ("split", 3, 1000, "ada@example.com", "does it help?"),
    ]
    piped = [line.split("\t")[1:3] for line in demo("history", name, "--limit", "5").out.splitlines()]
    assert piped[0] == ["unsplit", "2 alone"]
    assert piped[3:] == [["split", "2 | 3 at 12.25%"], ["split", "2 | 3 at 10%"]]


def test_the_seed_of_a_split_can_be_set_and_changed(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    first = document(demo("split", "default-system-prompt@3", "50%", "--seed", "spring", "--json"))
    assert first["seed"] == "spring"
    second = document(demo("split", "default-system-prompt", "50%", "--seed", "zoë 😀", "--json"))
    assert (second["seed"], second["changed"]) == ("zoë 😀", True)
    assert " gets 50% as before, with a new seed, " in second["message"]
    assert document(demo("split", "default-system-prompt", "50%", "--seed", "zoë 😀", "--json"))["changed"] is False
    assert serving_state(sql)[3] == "zoë 😀"


def test_activation_and_rollback_end_a_split_and_report_it(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    rolled_back = document(demo("rollback", "support/triage", "--json"))
    assert rolled_back["message"].startswith("ended the split of ")
    assert serving_state(sql, "support/triage")[1] is None
    demo("split", "support/triage@2", "10%")
    activated = document(demo("activate", "support/triage@2", "--json"))
    assert activated["message"].endswith("; ended its split")
    assert serving_state(sql, "support/triage")[:3] == (2, None, 0)
    # An ended split has no time of its last change.
    assert document(demo("split", "support/triage", "--json"))["changed_at"] is None


def test_a_sync_plan_names_the_split_that_its_activation_ends(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    folder = demo.home / "prompts" / "a"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_text("one")
    (folder / "v2.txt").write_text("two")
    (folder / "prompt.yaml").write_text("active: 1\n")
    assert demo("sync", "prompts").code == 0
    demo("split", "a@2", "12.25%")
    # The folder names the active version, so the split continues.
    assert "no changes" in demo("sync", "prompts").err
    assert serving_state(sql, "a")[1] == 2
    (folder / "prompt.yaml").write_text("active: 2\n")
    reason = "activate 2 (1 active); ends the split, 12.25% for version 2"
    assert reason in demo("sync", "prompts", "--dry-run").out
    changes = document(demo("sync", "prompts", "--json"))["changes"]
    assert [change["why"] for change in changes if change["kind"] == "activate"] == [reason]
    assert serving_state(sql, "a")[:2] == (2, None)


def test_list_and_show_print_splits(demo: Promptctl) -> None:
    prompts = {prompt["name"]: prompt for prompt in document(demo("list", "--json"))["prompts"]}
    assert [prompts[name]["candidate_version"] for name in sorted(prompts)] == [None, None, 2]
    assert [prompts[name]["basis_points"] for name in sorted(prompts)] == [0, 0, 2500]
    assert [line.split("\t")[5] for line in demo("list").out.splitlines()] == ["-", "-", "2 at 25%"]
    assert "SPLIT" in demo.on_terminal("list").out.splitlines()[0]
    # Empty columns are omitted.
    demo("split", "support/triage", "--off")
    assert "SPLIT" not in demo.on_terminal("list").out
    assert "SHARE" not in demo.on_terminal("show", "support/triage").out
    shown = document(demo("show", "support/triage", "--json"))
    assert (shown["candidate_version"], shown["basis_points"]) == (None, 0)
    demo("split", "support/triage@2", "0%")
    shown = document(demo("show", "support/triage", "--limit", "1", "--json"))
    assert (shown["candidate_version"], shown["basis_points"]) == (2, 0)
    assert " 0% " in demo.on_terminal("show", "support/triage").out


def test_a_candidate_cannot_be_archived_until_its_split_ends(demo: Promptctl) -> None:
    assert check_json_failure(demo("delete", "support/triage@2", "--json"), 5)["code"] == "version_active"
    demo("split", "support/triage", "--off")
    assert demo("delete", "support/triage@2").code == 0
    error = check_json_failure(demo("split", "support/triage@2", "5%", "--json"), 5)
    assert (error["code"], error["hint"]) == ("version_archived", "promptctl delete --undo support/triage@2")


INVALID_ARGUMENTS: dict[tuple[str, ...], tuple[str, str]] = {
    ("split", "a@2", "10"): ('"10" is not a share: ' + FORMS, "promptctl split a@2 10%"),
    ("split", "a", "25 %"): ('"25 %" is not a share: ' + FORMS, "promptctl split a 25%"),
    ("split", "a", ".5%"): ('".5%" is not a share: ' + FORMS, "promptctl split a 0.5%"),
    ("split", "a", "12,5%"): ('"12,5%" is not a share: ' + FORMS, "promptctl split a 12.5%"),
    ("split", "a", "0.125%"): ('"0.125%" is not a share: ' + FORMS, "promptctl split --help"),
    ("split", "a", "101%"): ('"101%" is not a share: ' + FORMS, "promptctl split --help"),
    ("split", "a", "half"): ('"half" is not a share: ' + FORMS, "promptctl split --help"),
    ("split", "a", ""): ('"" is not a share: ' + FORMS, "promptctl split --help"),
    ("split", "a", "-5%"): ('promptctl split has no option "-5"', "promptctl split --help"),
    ("split", "a", "--", "-5%"): ('"-5%" is not a share: ' + FORMS, "promptctl split --help"),
    ("split", "a@2"): ("a@2 needs a share", "promptctl split a@2 10%"),
    ("split", "a", "2", "10%"): ("too many arguments: 10%", "promptctl split a@2 10%"),
    ("split", "a", "10%", "--off"): ("use only one of SHARE and --off", "promptctl split a --off"),
    ("split", "a@2", "--off"): ("--off ends the split of any candidate: use the name without @VERSION",
                              "promptctl split a --off"),
    ("split", "a", "--seed", "x"): ("--seed needs a share", "promptctl split a@VERSION 10%"),
    ("split", "a", "--off", "--seed", "x"): ("--seed needs a share", "promptctl split a@VERSION 10%"),
    ("split", "a@2", "5%", "--seed", ""): ("--seed is empty", "promptctl split --help"),
    ("split", "a@2", "5%", "--author", " "): ("--author is empty", "promptctl split --help"),
    ("split",): ("promptctl split needs NAME[@VERSION]", "promptctl split --help"),
    ("split", "a@0", "5%"): ('"0" is not a version: versions are 1 to 2147483647', "promptctl show a"),
}  # fmt: skip


@pytest.mark.parametrize("words", INVALID_ARGUMENTS, ids=" ".join)
def test_invalid_arguments_are_refused_without_a_database(words: tuple[str, ...], unconfigured: Promptctl) -> None:
    message, hint = INVALID_ARGUMENTS[words]
    assert check_failure(unconfigured(*words), 2).err == f"error: {message}\nhint:  {hint}\n"


def test_invalid_arguments_have_error_codes(unconfigured: Promptctl) -> None:
    for words, code in ((("a@2", "10"), "invalid_share"), (("a@2",), "share_missing"), (("a", "--off", "5%"), "usage")):
        assert check_json_failure(unconfigured("split", *words, "--json"), 2)["code"] == code


REFUSED = {
    "split support/triage@1 5%": (5, "version_active",
                                  "support/triage@1 is the active version: a split needs another one",
                                  "promptctl show support/triage"),
    "split default-system-prompt 5%": (5, "no_split", '"default-system-prompt" has no split',
                                       "promptctl split default-system-prompt@CANDIDATE 10%"),
    "split code_helper@1 5%": (4, "no_active_version",
                               '"code_helper" has no active version to split with in llm_app at db.prod',
                               "promptctl activate code_helper@VERSION"),
    "split code_helper@9 5%": (4, "no_active_version",
                               '"code_helper" has no active version to split with in llm_app at db.prod',
                               "promptctl activate code_helper@VERSION"),
    "split support/triage@9 5%": (4, "version_not_found", '"support/triage" has no version 9 in llm_app at db.prod',
                                  "promptctl show support/triage"),
    **{
        f"split suport/triage{rest}": (4, "prompt_not_found", 'no prompt "suport/triage" in llm_app at db.prod',
                                       "promptctl show support/triage")
        for rest in ("@2 5%", " 5%", " --off", "")
    },
}  # fmt: skip


@pytest.mark.parametrize("line", REFUSED)
def test_an_invalid_split_is_refused_and_changes_nothing(
    line: str, demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    before = sql.execute("select count(*) from promptctl.allocations").fetchone()
    exit_code, code, message, hint = REFUSED[line]
    error = check_json_failure(demo(*line.split(), "--json"), exit_code)
    assert (error["code"], stable(error["message"]), error["hint"]) == (code, message, hint)
    assert stable(check_failure(demo(*line.split()), exit_code).err) == f"error: {message}\nhint:  {hint}\n"
    assert sql.execute("select count(*) from promptctl.allocations").fetchone() == before


def test_a_candidate_with_new_variables_needs_an_option(demo: Promptctl) -> None:
    demo("create", "support/triage", "Sort for {team}.")
    error = check_json_failure(demo("split", "support/triage@3", "5%", "--json"), 5)
    assert error["code"] == "new_variables"
    assert error["message"].startswith("support/triage@3 needs team, which the active version 1 does not; if every")
    assert error["hint"] == "promptctl diff support/triage@1 support/triage@3"
    assert demo("split", "support/triage@3", "5%", "--allow-new-variables").code == 0
    # After that, its share can change without the option.
    assert demo("split", "support/triage", "10%").code == 0


def test_changes_of_a_split_are_logged(demo: Promptctl) -> None:
    started = demo("split", "default-system-prompt@3", "0.5%", "-q", "--log-format", "json")
    assert json.loads(started.err) | {"time": ""} == {
        "time": "", "level": "info", "message": "Split changed", "name": "default-system-prompt", "version": 3,
        "basisPoints": 50, "author": "ada@example.com",
    }  # fmt: skip
    ended = demo("split", "default-system-prompt", "--off", "-q", "--log-format", "json")
    assert (json.loads(ended.err)["message"], ended.out) == ("Split ended", "default-system-prompt@2\n")
    assert demo("split", "default-system-prompt", "--off", "-q", "--log-format", "json").err == ""


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


def test_only_operators_may_change_splits_and_routes(
    demo: Promptctl, promptctl_on: Callable[..., Promptctl], database_name: str, role: Callable[[str], str]
) -> None:
    (demo.home / "route.yaml").write_text("[]")
    changes = (
        ["split", "default-system-prompt@3", "5%"], ["split", "support/triage", "--off"],
        ["route", "set", "code_helper", "-f", "route.yaml"],
    )  # fmt: skip
    looks = (["split", "support/triage"], ["route", "show", "support/triage"])
    for access in ("viewer", "application", "operator"):
        restricted = promptctl_on(database_name, role(access))
        assert restricted("resolve", "support/triage", "--unit", "user-7", "-q").out == "support/triage@1\n", access
        for words in looks:
            assert restricted(*words).code == (5 if access == "application" else 0), (access, words)
        for words in changes:
            ended = restricted(*words, "--json")
            if access == "operator":
                assert ended.code == 0, words
            else:
                assert check_json_failure(ended, 5)["code"] == "permission_denied", (access, words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["split", "s"], ["support/triage"]),
        (["split", "support/triage@"], ["support/triage@2", "support/triage@1"]),
        (["split", "support/triage", ""], []),
        (["route", ""], ["set", "show", "unset"]),
        (["route", "show", "c"], ["code_helper"]),
        (["route", "set", "c"], ["code_helper"]),
        (["route", "set", "code_helper", "-f", ""], [":files"]),
        (["resolve", "d"], ["default-system-prompt"]),
        (["resolve", "code_helper", "--attribute", ""], []),
    ],
)
def test_completion_offers_names_and_candidates(words: list[str], expected: list[str], demo: Promptctl) -> None:
    assert demo("__complete", *words).out.splitlines() == expected


def test_splits_and_routes_fit_a_narrow_terminal_and_use_colors(demo: Promptctl, snapshot: Callable[..., None]) -> None:
    (demo.home / "route.yaml").write_text("[{when: {plan: enterprise, seats: 50}, use: default-system-prompt}]")
    lines = (
        ["split", "support/triage"], ["split", "support/triage@2", "50%"], ["show", "support/triage"],
        ["route", "set", "support/triage", "-f", "route.yaml"], ["route", "show", "support/triage"],
        ["resolve", "support/triage", "--unit", "user-7"],
    )  # fmt: skip
    outputs = [f"$ promptctl {' '.join(words)}\n{demo.on_terminal(*words, columns=40).out}" for words in lines]
    snapshot("\n".join(outputs), "cli/narrow-split")
    for words in lines:
        coloured = demo.on_terminal(*words, env={"TERM": "xterm-256color"}).out
        assert "\\x1b" not in coloured
        assert "\x1b" not in demo.on_terminal(*words, env={"TERM": "xterm-256color", "NO_COLOR": "1"}).out
    assert (
        "\x1b[2mseed\x1b[0m  support/triage.2" in demo.on_terminal("split", "support/triage", env={"TERM": "xterm"}).out
    )
