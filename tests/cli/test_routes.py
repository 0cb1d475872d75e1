"""`route`: a file replaces the list of steps, whose targets are checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import check_failure, check_json_failure
from tests.conftest import stable

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Ended, Promptctl

ENTERPRISE = {"when": {"plan": "enterprise"}, "use": "default-system-prompt"}
PAID = {"when": {"paid": True, "seats": 50}, "use": "code_helper@1"}
YAML = """
route:
- when: {plan: enterprise}
  use: default-system-prompt
- when: {paid: true, seats: 50}
  use: code_helper@1
"""


def document(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended
    parsed: dict[str, Any] = json.loads(ended.out)
    return parsed


@pytest.fixture
def set_support_route(demo: Promptctl) -> Callable[..., Ended]:
    """Return a function that sets the route of support/triage from a file with a text."""

    def set_route(text: str | bytes, *more: str, file: str = "route.yaml") -> Ended:
        (demo.home / file).write_bytes(text.encode() if isinstance(text, str) else text)
        return demo("route", "set", "support/triage", "-f", file, *more)

    return set_route


def test_a_route_is_set_shown_changed_and_removed(
    demo: Promptctl, set_support_route: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    first = document(set_support_route(YAML, "--json", "--reason", "the contract"))
    assert stable(first.pop("message")) == "set the route of support/triage in llm_app at db.prod: 2 steps (was none)"
    assert first == {
        "name": "support/triage", "route": [ENTERPRISE, PAID], "previous_route": [], "epoch": 3, "changed": True,
    }  # fmt: skip
    assert document(demo("route", "show", "support/triage", "--json")) == {
        "name": "support/triage", "route": [ENTERPRISE, PAID],
    }  # fmt: skip
    assert list(document(demo("route", "show", "support/triage", "--json"))["route"][0]) == ["when", "use"]
    # The same values in JSON and in other spellings are no change.
    repeated = document(
        set_support_route(json.dumps([ENTERPRISE, PAID | {"when": {"seats": 50.0, "paid": True}}]), "--json")
    )
    assert (repeated["changed"], repeated["epoch"], repeated["previous_route"]) == (False, 3, [ENTERPRISE, PAID])
    # The order of the steps matters.
    reversed_order = document(set_support_route(json.dumps({"route": [PAID, ENTERPRISE]}), "--json"))
    assert (reversed_order["changed"], reversed_order["previous_route"]) == (True, [ENTERPRISE, PAID])
    removed = document(set_support_route("[]", "--json"))
    assert (removed["route"], removed["previous_route"], removed["changed"]) == ([], [PAID, ENTERPRISE], True)
    assert stable(removed["message"]) == "removed the route of support/triage in llm_app at db.prod (was 2 steps)"
    assert document(set_support_route("[]", "--json"))["changed"] is False
    assert sql.execute("select route, epoch from promptctl.served where name = 'support/triage'").fetchone() == (
        None,
        5,
    )
    # The split continues with its seed.
    split = document(demo("split", "support/triage", "--json"))
    assert (split["candidate_version"], split["seed"]) == (2, "support/triage.2")
    events = document(demo("history", "support/triage", "--limit", "3", "--json"))["events"]
    assert [(e["kind"], e["version"], e["route"], e["reason"]) for e in events] == [
        ("route", 1, [], None), ("route", 1, [PAID, ENTERPRISE], None),
        ("route", 1, [ENTERPRISE, PAID], "the contract"),
    ]  # fmt: skip
    assert [line.split("\t")[2] for line in demo("history", "support/triage").out.splitlines()[:2]] == [
        "→ none", "→ 2 steps",
    ]  # fmt: skip


def test_a_route_is_read_from_standard_input(demo: Promptctl) -> None:
    ended = demo("route", "set", "code_helper", "-f", "-", stdin=json.dumps([ENTERPRISE]))
    assert (ended.code, ended.out) == (0, "code_helper\t1\t0\n")
    assert stable(ended.err) == "set the route of code_helper in llm_app at db.prod: 1 step (was none)\n"
    refusal = check_failure(demo("route", "set", "code_helper", "-f", "-", stdin="- when: {}\n  use: x"), 2)
    assert refusal.err.startswith("error: standard input:1: entry 1: when must be a mapping ")
    assert demo("route", "set", "code_helper", "-f", "-", "-q", stdin="[]").out == "code_helper\n"


def test_unset_removes_a_route_and_keeps_it_in_the_history(
    demo: Promptctl,
    set_support_route: Callable[..., Ended],
    sql: psycopg.Connection[Any],
    snapshot: Callable[..., None],
) -> None:
    message = "removed the route of support/triage in llm_app at db.prod (was 2 steps)"
    assert set_support_route(YAML).code == 0
    words = ("route", "unset", "support/triage")
    ended = demo(*words, "--reason", "the pilot is over", "--author", "grace@example.com", "--json")
    removed = document(ended)
    assert stable(removed.pop("message")) == message
    assert removed == {
        "name": "support/triage", "route": [], "previous_route": [ENTERPRISE, PAID], "epoch": 4, "changed": True,
    }  # fmt: skip
    event = document(demo("history", "support/triage", "-n", "1", "--json"))["events"][0]
    assert [event[key] for key in ("kind", "version", "route", "reason", "author")] == [
        "route", 1, [], "the pilot is over", "grace@example.com",
    ]  # fmt: skip
    # The split continues.
    assert document(demo("split", "support/triage", "--json"))["candidate_version"] == 2
    # Repeating the command changes nothing and adds no row to the history.
    repeated = demo(*words)
    assert (repeated.code, repeated.out) == (0, "support/triage\t0\t0\n")
    assert stable(repeated.err) == "support/triage has no route in llm_app at db.prod\n"
    assert document(demo(*words, "--json"))["changed"] is False
    assert sql.execute("select epoch from promptctl.served where name = 'support/triage'").fetchone() == (4,)
    assert set_support_route(YAML).code == 0
    assert demo(*words, "--quiet").out == "support/triage\n"
    assert set_support_route(YAML).code == 0
    screens = "".join(f"$ promptctl {' '.join(words)}\n{demo.on_terminal(*words, columns=80).out}\n" for _ in range(2))
    snapshot(screens, "cli/route-unset")


def test_a_terminal_shows_which_steps_are_added_and_removed(
    demo: Promptctl, set_support_route: Callable[..., Ended], snapshot: Callable[..., None]
) -> None:
    file = demo.home / "route.yaml"
    outputs: list[str] = []
    for text in (
        YAML, YAML, "- {when: {plan: it's}, use: code_helper@1}\n" + YAML.partition("route:\n")[2][:56], "[]", "[]",
    ):  # fmt: skip
        file.write_text(text)
        words = ("route", "set", "support/triage", "-f", "route.yaml")
        outputs.append(f"$ promptctl {' '.join(words)}\n{demo.on_terminal(*words, columns=100).out}")
    snapshot("\n".join(outputs), "cli/route-set")


def test_the_first_step_that_matches_is_served(demo: Promptctl, set_support_route: Callable[..., Ended]) -> None:
    set_support_route(YAML)

    def resolve(*attributes: str) -> str:
        words = [word for attribute in attributes for word in ("--attribute", attribute)]
        return demo("resolve", "support/triage", "--unit", "user-7", *words, "-q").out.strip()

    assert resolve("plan=enterprise") == "default-system-prompt@2"
    assert resolve("paid=true", "seats=50") == "code_helper@1"
    assert resolve("paid=1", "seats=50") == "support/triage@1"
    assert resolve("seats=50") == "support/triage@1"
    # A version that a route names cannot be archived.
    assert check_json_failure(demo("delete", "code_helper@1", "--json"), 5)["code"] == "version_active"


REFUSED = {
    "- {when: {a: 1}, use: nowhere}": 'the route of "support/triage" leads to "nowhere", which is not a prompt',
    "- {when: {a: 1}, use: code_helper@9}":
        'the route of "support/triage" leads to code_helper@9, which does not exist or is archived',
    "- {when: {a: 1}, use: support/triage}":
        'the route of "support/triage" has a cycle: support/triage -> support/triage',
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_a_route_to_a_missing_prompt_or_version_or_to_itself_is_refused(
    text: str, set_support_route: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    error = check_json_failure(set_support_route(text, "--json"), 5)
    assert (error["code"], error["message"], error["hint"]) == ("invalid_route", REFUSED[text], "promptctl list")
    assert sql.execute("select count(*) from promptctl.served where route is not null").fetchone() == (0,)


def test_a_cycle_through_another_prompt_is_refused(demo: Promptctl, set_support_route: Callable[..., Ended]) -> None:
    assert set_support_route(YAML).code == 0
    (demo.home / "back.yaml").write_text("- {when: {a: 1}, use: support/triage}")
    ended = check_failure(demo("route", "set", "default-system-prompt", "-f", "back.yaml"), 5)
    assert "has a cycle: default-system-prompt -> support/triage -> default-system-prompt" in ended.err


def test_an_invalid_route_file_is_refused_with_its_line(
    set_support_route: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    error = check_json_failure(set_support_route("- when: {a: 1}\n  use: x\n- when: {a: [1]}\n  use: x\n", "--json"), 2)
    assert error["code"] == "malformed_route"
    assert error["message"] == "route.yaml:3: entry 2: when: 'a' must be a text, a number, true or false, not [1]"
    ended = set_support_route("- use: x\n- when: {a: 1}\n")
    assert ended.code == 2
    assert ended.err == (
        "route.yaml:2: entry 2: use is missing\n"
        "error: route.yaml:1: entry 1: when is missing\n"
        "hint:  write a list of {when: {ATTRIBUTE: VALUE}, use: NAME}; [] removes the route\n"
    )
    for text, code in (("", "empty_content"), (b"\xff", "not_utf8"), ("- \0", "nul_in_text")):
        assert check_json_failure(set_support_route(text, "--json"), 2)["code"] == code
    assert sql.execute("select count(*) from promptctl.allocations").fetchone() == (6,)


def test_invalid_arguments_are_refused_with_a_hint(demo: Promptctl, unconfigured: Promptctl) -> None:
    missing = check_json_failure(unconfigured("route", "set", "a", "-f", "nothing.yaml", "--json"), 1)
    assert (missing["code"], missing["message"]) == (
        "cannot_read", 'cannot read "nothing.yaml": No such file or directory',
    )  # fmt: skip
    of_version = "a route belongs to a prompt and not to a version: use the name a"
    errors = {
        ("set", "a"): ("promptctl route set needs -f, --file FILE", "promptctl route set --help"),
        ("set", "a", "-f", ""): ("--file is empty", "promptctl route set --help"),
        ("set", "a@2", "-f", "x"): (of_version, "promptctl route set a -f x"),
        ("unset", "a@2"): (of_version, "promptctl route unset a"),
        ("unset",): ("promptctl route unset needs NAME", "promptctl route unset --help"),
        ("show", "a@2"): (of_version, "promptctl route show a"),
        ("show",): ("promptctl route show needs NAME", "promptctl route show --help"),
        ("shw", "a"): ('promptctl route has no command "shw"', "promptctl route show a"),
    }  # fmt: skip
    for words, (message, hint) in errors.items():
        assert check_failure(unconfigured("route", *words), 2).err == f"error: {message}\nhint:  {hint}\n"
    for words in (("show", "suport/triage"), ("unset", "suport/triage"), ("set", "suport/triage", "-f", "-")):
        error = check_json_failure(demo("route", *words, "--json", stdin="[]"), 4)
        assert (error["code"], error["hint"]) == ("prompt_not_found", "promptctl show support/triage")


def test_changes_of_a_route_are_logged(demo: Promptctl, set_support_route: Callable[..., Ended]) -> None:
    assert json.loads(set_support_route(YAML, "-q", "--log-format", "json").err) | {"time": ""} == {
        "time": "", "level": "info", "message": "Route changed", "name": "support/triage", "author": "ada@example.com",
    }  # fmt: skip
    assert set_support_route(YAML, "-q", "--log-format", "json").err == ""
