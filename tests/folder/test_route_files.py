"""A route in a file of its own: YAML or JSON, and what is wrong with it by line or entry."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl import errors
from promptctl.folder import route_files

ENTERPRISE = {"when": {"plan": "enterprise"}, "use": "enterprise_assistant"}
PAID = {"when": {"seats": 50, "paid": True}, "use": "team@2"}


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("[]", []),
        ("route: []\n", []),
        ('{"route": []}', []),
        ("- when: {plan: enterprise}\n  use: enterprise_assistant\n", [ENTERPRISE]),
        ("route:\n- use: team@2\n  when:\n    seats: 50\n    paid: true\n", [PAID]),
        ('[{"when": {"plan": "enterprise"}, "use": "enterprise_assistant"}]', [ENTERPRISE]),
        ('[\n\t{"when": {"seats": 50, "paid": true}, "use": "team@2"}\n]\n', [PAID]),
        ('  {"route": [{"when": {"n": 1e3}, "use": "x"}]}', [{"when": {"n": 1000.0}, "use": "x"}]),
        # YAML has brackets too, in which texts need no quotes.
        ("[{when: {plan: enterprise}, use: enterprise_assistant},]", [ENTERPRISE]),
        ("- when: {n: '1'}\n  use: x", [{"when": {"n": "1"}, "use": "x"}]),
    ],
)
def test_a_route_is_a_list_or_under_its_key(text: str, steps: list[dict[str, Any]]) -> None:
    assert route_files.parse(text, "route.yaml") == steps


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# nothing\n", "route.yaml is empty"),
        ("[]\n<<<<<<< a\n=======\n>>>>>>> b\n", "route.yaml has an unresolved merge conflict, on line 2"),
        ("5", "route.yaml: route must be a list of entries with when and use, not 5"),
        ("when: {a: 1}\nuse: x", "route.yaml: route must be a list of entries with when and use, not {'when'"),
        ("route: []\nactive: 3", "route.yaml: unknown key 'active' beside route"),
        ("- when: {a: 1}\n   use: x", "route.yaml:2: "),
        ("- when: {a: 1, a: 2}\n  use: x", "route.yaml:1: the key 'a' appears twice"),
        ("- &x {when: {a: 1}, use: x}\n- *x", ": aliases are not allowed"),
        ("- when: {a: 1}\n  use: x\n- when: {}\n  use: x", "route.yaml:3: entry 2: when must be a mapping"),
        (
            "route:\n\n- when: {a: [1]}\n  use: x",
            "route.yaml:3: entry 1: when: 'a' must be a text, a number, true or false",
        ),
        (
            "- when: {a: null}\n  use: x",
            "route.yaml:1: entry 1: when: 'a' must be a text, a number, true or false, not null",
        ),
        ("- when: {a: 1}\n  use: x@0", "route.yaml:1: entry 1: use: "),
        ("- when: {a: 1}\n  use: a b", 'route.yaml:1: entry 1: use: "a b" cannot name a prompt'),
        ("- wen: {a: 1}\n  use: x", "route.yaml:1: entry 1: unknown key 'wen': did you mean 'when'?"),
        ("[" + "{when: {a: 1}, use: x}, " * 101 + "]", "route.yaml: route: at most 100 entries are allowed, not 101"),
        ('[{"when": {"a": NaN}, "use": "x"}]', "route.yaml: NaN is not a JSON number"),
        ('[{"when": {"a": 1, "a": 2}, "use": "x"}]', "route.yaml: the key 'a' appears twice"),
        ('[{"when": {"a": 1e400}, "use": "x"}]', "route.yaml: the number 1e400 is too large"),
        ('[{"when": {"a": "\\u0000"}, "use": "x"}]', "route.yaml: a text has a NUL character"),
        ('[{"when": {"\\ud83d": 1}, "use": "x"}]', "has a lone surrogate"),
        ('[\n\t{"when": {"a": {}}, "use": "x"}]', "entry 1: when: 'a' must be a text"),
        ("[" * 100_000, "route.yaml: nested more than 100 deep"),
        ("- when: {a: !!python/name:os.system ''}\n  use: x", "route.yaml:1: "),
    ],
    ids=lambda text: text[:40],
)
def test_a_problem_is_reported_by_line_or_entry(text: str, told: str) -> None:
    with pytest.raises(errors.Usage) as caught:
        route_files.parse(text, "route.yaml")
    assert caught.value.code == "malformed_route"
    assert told in caught.value.message
    assert "[] removes the route" in (caught.value.hint or "")


def test_the_error_for_a_json_file_is_about_json() -> None:
    with pytest.raises(errors.Usage, match=r"^route.json:2: not JSON: Expecting"):
        route_files.parse('[{"when": {"a": 1},\n "use": "x"', "route.json")


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(errors.Usage) as caught:
        route_files.parse("- when: {a: []}\n  use: x\n- use: y", "standard input")
    assert caught.value.message.startswith("standard input:1: entry 1: when: 'a'")
    assert caught.value.others == ("standard input:3: entry 2: when is missing",)
