"""`resolve`: the version that a unit gets, and the reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.rules import buckets as splits
from tests.commands import check_failure, check_json_failure
from tests.schema.test_buckets import VECTORS

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Ended, Promptctl


def document(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.fixture
def summarise(demo: Promptctl, sql: psycopg.Connection[Any]) -> Promptctl:
    """A prompt whose candidate has 10%, drawn by the seed of the known buckets."""
    for number in (1, 2):
        sql.execute("select promptctl.create_version('summarise', %s)", [f"Sum up {number}."])
    sql.execute("select promptctl.activate('{summarise}', '{1}')")
    sql.execute("select promptctl.split('summarise', 1000, 2, 'summarise.r1')")
    return demo


@pytest.mark.parametrize(
    ("unit", "bucket"), [(unit, bucket) for seed, unit, bucket in VECTORS if seed == "summarise.r1"]
)
def test_units_with_known_buckets_get_the_expected_version(unit: str, bucket: int, summarise: Promptctl) -> None:
    found = document(summarise("resolve", "summarise", "--unit", unit, "--json"))
    assert found["version"] == (2 if bucket < 1000 else 1)
    assert found["content"] == f"Sum up {found['version']}."
    assert found["why"] == {
        "asked_for": "summarise", "route_step": None, "route_when": None, "active_version": 1, "candidate_version": 2,
        "basis_points": 1000, "seed": "summarise.r1", "bucket": bucket, "is_candidate": bucket < 1000,
        "is_drawn": False,
    }  # fmt: skip


def test_a_terminal_shows_the_reason_in_words(summarise: Promptctl) -> None:
    inside = summarise.on_terminal("resolve", "summarise", "--unit", "user-2160")
    assert inside.out == (
        "summarise@2\n"
        "route  none: no --attribute was passed\n"
        "split  bucket 999 is below 1000 (10% for version 2): candidate\n"
        "seed   summarise.r1\n"
        "epoch  2\n"
    )
    outside = summarise.on_terminal("resolve", "summarise", "--unit", "user-1198")
    assert "summarise@1\n" in outside.out
    assert "split  bucket 1000 is not below 1000 (10% for version 2): active version\n" in outside.out
    assert summarise("resolve", "summarise", "--unit", "user-2160").out == "summarise\t2\t2\t-\t999\t10%\n"


def test_a_call_without_a_unit_gets_a_random_bucket(summarise: Promptctl) -> None:
    buckets: set[int] = set()
    for _ in range(5):
        found = document(summarise("resolve", "summarise", "--json"))
        assert found["why"]["is_drawn"] is True
        assert found["why"]["is_candidate"] == (found["why"]["bucket"] < 1000) == (found["version"] == 2)
        buckets.add(found["why"]["bucket"])
    assert len(buckets) > 1
    assert "unit   none: the bucket is random for this call\n" in summarise.on_terminal("resolve", "summarise").out
    # An empty unit is one.
    assert document(summarise("resolve", "summarise", "--unit", "", "--json"))["why"]["bucket"] == 9353


def test_a_unit_has_a_bucket_even_without_a_split(summarise: Promptctl) -> None:
    why = document(summarise("resolve", "default-system-prompt", "--unit", "user-1", "--json"))["why"]
    assert why["bucket"] == splits.bucket("default-system-prompt", "user-1")
    assert (why["candidate_version"], why["is_candidate"], why["seed"]) == (None, False, None)


ROUTE = [
    {"when": {"plan": "enterprise"}, "use": "summarise"},
    {"when": {"code": "5"}, "use": "default-system-prompt@3"},
    {"when": {"code": 5, "ok": True}, "use": "default-system-prompt@1"},
    {"when": {"note": ""}, "use": "code_helper"},
]


@pytest.fixture
def routed(summarise: Promptctl, sql: psycopg.Connection[Any]) -> Promptctl:
    """The same, and a prompt that leads there, to versions, and to one that nothing of is active."""
    sql.execute("select promptctl.set_routes('{support/triage}', %s)", [json.dumps([ROUTE])])
    return summarise


@pytest.mark.parametrize(
    ("attributes", "reference", "step"),
    [
        (["plan=enterprise"], "summarise@2", 1),
        (["plan=enterprise", 'code="5"'], "summarise@2", 1),
        (['code="5"'], "default-system-prompt@3", 2),
        (["code=5", "ok=true"], "default-system-prompt@1", 3),
        (["code=5.0", "ok=true", "more=[1]"], "default-system-prompt@1", 3),
        # Text is no number, true is not 1.
        (["code=5"], "support/triage@2", None),
        (["code=5", "ok=1"], "support/triage@2", None),
        (["code=5", "ok=True"], "support/triage@2", None),
        (["plan=null"], "support/triage@2", None),
        (["plan="], "support/triage@2", None),
        # The last counts.
        (["plan=x", "plan=enterprise"], "summarise@2", 1),
    ],
)
def test_attributes_select_the_step_of_the_route(
    attributes: list[str], reference: str, step: int | None, routed: Promptctl
) -> None:
    words = [word for each in attributes for word in ("--attribute", each)]
    routed("split", "support/triage@2", "100%")
    found = document(routed("resolve", "support/triage", "--unit", "user-2160", *words, "--json"))
    assert f"{found['name']}@{found['version']}" == reference
    assert (found["why"]["route_step"], found["why"]["asked_for"]) == (step, "support/triage")


def test_the_epoch_is_that_of_the_prompt_that_is_served(routed: Promptctl, sql: psycopg.Connection[Any]) -> None:
    found = document(routed("resolve", "support/triage", "--attribute", "plan=enterprise", "--json"))
    assert sql.execute("select epoch from promptctl.served where name = 'summarise'").fetchone() == (found["epoch"],)
    shown = routed.on_terminal("resolve", "support/triage", "--unit", "user-1", "--attribute", "plan=enterprise")
    assert "route  step 1 of support/triage (plan=enterprise) leads to summarise\n" in shown.out
    assert "split  bucket 3012 is not below 1000 (10% for version 2): active version\n" in shown.out


def test_a_prompt_that_cannot_be_served_is_not_found(routed: Promptctl) -> None:
    error = check_json_failure(routed("resolve", "code_helper", "--json"), 4)
    assert (error["code"], error["hint"]) == ("no_active_version", "promptctl activate code_helper@VERSION")
    error = check_json_failure(routed("resolve", "support/triage", "--attribute", "note=", "--json"), 4)
    assert error["code"] == "no_active_version"
    assert error["message"].startswith('"code_helper" has no active version in ')
    error = check_json_failure(routed("resolve", "sumarise", "--unit", "x", "--json"), 4)
    assert (error["code"], error["hint"]) == ("prompt_not_found", "promptctl show summarise")


MISTAKES: dict[tuple[str | bytes, ...], tuple[str, str, str]] = {
    ("summarise@2",): ("usage", "resolve selects the version: use the name summarise",
                       "promptctl resolve summarise"),
    ("summarise", "--attribute", "plan"): ("usage", '--attribute needs KEY=VALUE, not "plan"',
                                           "promptctl resolve --help"),
    ("summarise", "--attribute", "=x"): ("usage", '--attribute needs KEY=VALUE, not "=x"', "promptctl resolve --help"),
    ("summarise", "--attribute", ""): ("usage", '--attribute needs KEY=VALUE, not ""', "promptctl resolve --help"),
    ("summarise", "--attribute", 'a="\\u0000"'): ("nul_in_text",
                                                  "the attribute a has a NUL character, which PostgreSQL cannot store",
                                                  "promptctl resolve --help"),
    ("a b",): ("invalid_name", '"a b" cannot name a prompt: it has " "',
               "names are letters, digits, dot, dash and underscore, in segments joined by /"),
}  # fmt: skip


@pytest.mark.parametrize("words", MISTAKES)
def test_invalid_arguments_are_refused_without_a_database(words: tuple[str, ...], unconfigured: Promptctl) -> None:
    code, message, hint = MISTAKES[words]
    assert check_failure(unconfigured("resolve", *words), 2).err == f"error: {message}\nhint:  {hint}\n"
    assert check_json_failure(unconfigured("resolve", *words, "--json"), 2)["code"] == code


@pytest.mark.parametrize("words", [["--unit", "\udcff"], ["--attribute", "a=\udcff"], ["--attribute", "\udcff=a"]])
def test_an_argument_that_is_not_utf8_is_refused(words: list[str], summarise: Promptctl) -> None:
    assert check_json_failure(summarise("resolve", "summarise", *words, "--json"), 2)["code"] == "not_utf8"


def test_a_long_unit_and_many_attributes_are_accepted(routed: Promptctl) -> None:
    unit = "ü" * 50_000
    many = [word for number in range(300) for word in ("--attribute", f"key{number}={number}")]
    found = document(routed("resolve", "summarise", "--unit", unit, *many, "--json"))
    assert found["why"]["bucket"] == splits.bucket("summarise.r1", unit)


def test_the_served_version_is_logged(summarise: Promptctl) -> None:
    ended = summarise("resolve", "summarise", "--unit", "user-2160", "-q", "--log-format", "json")
    assert json.loads(ended.err) | {"time": ""} == {
        "time": "", "level": "info", "message": "Using prompt", "name": "summarise", "version": 2, "epoch": 2,
    }  # fmt: skip


def test_control_characters_in_user_text_are_escaped(summarise: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sql.execute("select promptctl.split('summarise', 1000, null, %s)", ["\x1b[31m[bold]"])
    for words in (
        ("resolve", "summarise", "--attribute", "a=\x1b[31m[bold]"), ("split", "summarise"), ("history", "summarise"),
    ):  # fmt: skip
        shown = summarise.on_terminal(*words).out
        assert "\x1b" not in shown
    assert "seed   \\x1b[31m[bold]\n" in summarise.on_terminal("resolve", "summarise").out


def test_two_processes_get_the_same_version_for_a_unit(
    routed: Promptctl, promptctl_on: Callable[..., Promptctl], database_name: str
) -> None:
    other = promptctl_on(database_name)
    for number in range(5):
        words = ("resolve", "summarise", "--unit", f"user-{number}")
        assert routed(*words).out == other(*words).out
