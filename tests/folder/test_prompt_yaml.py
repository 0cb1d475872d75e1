"""Parsing prompt.yaml: settings and metadata of versions, routes, and error messages."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest

from promptctl.folder import prompt_yaml
from promptctl.folder.prompt_yaml import PromptYaml, VersionYaml
from promptctl.rules import margins
from promptctl.rules.rollout_plans import RolloutPlan


def parse(yaml: str) -> PromptYaml:
    problems: list[str] = []
    prompt = prompt_yaml.parse(yaml.encode(), "a/prompt.yaml", problems)
    assert problems == []
    return prompt


def parse_problems(yaml: str | bytes) -> list[str]:
    problems: list[str] = []
    prompt_yaml.parse(yaml.encode() if isinstance(yaml, str) else yaml, "a/prompt.yaml", problems)
    assert problems
    assert all("\n" not in problem for problem in problems)
    return problems


def test_the_keys_of_a_version_take_precedence() -> None:
    prompt = parse("""\
description: For all
active: 2
model: m
max_tokens: 1
variables: {a: {required: true}}
versions:
  2: {description: Own, author: me, max_tokens: 2, since: "2026-11-12"}
  3: {variables: {b: {}}}
  4:
""")
    shared = {"model": "m", "variables": {"a": {"required": True}}}
    assert (prompt.description, prompt.active, prompt.route) == ("For all", 2, None)
    assert prompt.settings == {**shared, "max_tokens": 1}
    assert prompt.versions[2] == VersionYaml("me", {"max_tokens": 2}, {"description": "Own", "since": "2026-11-12"})
    assert prompt.of(2) == VersionYaml("me", {**shared, "max_tokens": 2}, {"description": "Own", "since": "2026-11-12"})
    assert prompt.of(3).settings == {"model": "m", "max_tokens": 1, "variables": {"b": {}}}
    for number in (1, 4):
        assert prompt.of(number) == VersionYaml(None, {**shared, "max_tokens": 1}, {"description": "For all"})


def test_each_version_returns_dictionaries_of_its_own() -> None:
    prompt = parse("description: a\nmodel: m")
    prompt.of(1).settings["model"] = prompt.of(1).metadata["description"] = "changed"
    assert prompt.of(1) == VersionYaml(None, {"model": "m"}, {"description": "a"})


@pytest.mark.parametrize("yaml", ["", "# nothing\n", "---\n", "\ufeff"])
def test_an_empty_file_sets_nothing(yaml: str) -> None:
    prompt = parse(yaml)
    assert (prompt.description, prompt.active, prompt.settings, prompt.versions, prompt.route) == (
        None,
        None,
        {},
        {},
        None,
    )
    assert prompt.of(1) == VersionYaml(None, {}, {})


def test_metadata_can_have_reserved_keys() -> None:
    prompt = parse("""\
description: For all
versions:
  1:
    author: me
    model: m
    team: support
    metadata: {author: them, model: 3, template: [], variables: a, max_tokens: -1, metadata: {x: "2026-11-12"}}
  2: {metadata: {description: null, other: 1}}
  3: {metadata: }
  4: {metadata: {}}
  5: {metadata: {description: Own}}
""")
    assert prompt.of(1) == VersionYaml(
        "me",
        {"model": "m"},
        {
            "description": "For all", "team": "support", "author": "them", "model": 3, "template": [],
            "variables": "a", "max_tokens": -1, "metadata": {"x": "2026-11-12"},
        },
    )  # fmt: skip
    assert prompt.of(2).metadata == {"description": None, "other": 1}
    assert prompt.of(3).metadata == prompt.of(4).metadata == {"description": "For all"}
    assert prompt.of(5).metadata == {"description": "Own"}


def test_metadata_is_what_json_can_hold() -> None:
    prompt = parse("versions: {1: {c: !!set {z, y, x}, d: !!pairs [k: 1], e: {1: {true: null}}}}")
    assert prompt.of(1).metadata == {
        "c": ["x", "y", "z"],
        "d": [["k", 1]],
        "e": {"1": {"true": None}},
    }


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_the_limit_of_nesting_is_the_same_in_short_and_long_files(opening: str, closing: str) -> None:
    def nested(depth: int, further: str) -> str:
        value, inner = opening * depth + closing * depth, opening * (depth - 1) + closing * (depth - 1)
        return f"versions: {{1: {{x: {value}, metadata: {{model: {inner}}}}}}}\n{further}"

    for further in ("", "# " + "x" * 2000):
        parse(nested(47, further))
        for problem in parse_problems(nested(48, further)):
            assert problem.endswith("nested more than 50 deep")
    assert len(parse_problems(nested(48, ""))) == 2


ROUTE = """\
route:
  - {when: {plan: enterprise}, use: enterprise_assistant}
  - use: support/triage@3
    when: {plan: "1", seats: 12, beta: true, share: 0.5, empty: ""}
"""


def test_a_route_is_a_list_of_entries_in_their_order() -> None:
    assert parse(ROUTE).route == [
        {"when": {"plan": "enterprise"}, "use": "enterprise_assistant"},
        {
            "when": {"plan": "1", "seats": 12, "beta": True, "share": 0.5, "empty": ""},
            "use": "support/triage@3",
        },
    ]
    assert parse("route: []").route == []
    hundred = parse("route:\n" + "- {when: {a: 1}, use: b}\n" * 100).route
    assert hundred is not None
    assert len(hundred) == 100


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("route:", "route must be a list of entries with when and use, not null"),
        ("route: {when: {a: 1}, use: b}", "route must be a list of entries with when and use, not {'when'"),
        ("route:\n" + "- {when: {a: 1}, use: b}\n" * 101, "route: at most 100 entries are allowed, not 101"),
        ("route: [b]", "route: entry 1 must be a mapping with when and use, not 'b'"),
        ("route: [{when: {a: 1}}]", "route: entry 1: use is missing"),
        ("route: [{use: b}]", "route: entry 1: when is missing"),
        ("route: [{when: {a: 1}, use: b, used: b}]", "route: entry 1: unknown key 'used': did you mean 'use'?"),
        ("route: [{when: {a: 1}, use: b, 7: 1}]", "route: entry 1: unknown key 7"),
        ("route: [{when: {}, use: b}]", "route: entry 1: when must be a mapping of attributes"),
        ("route: [{when: plan, use: b}]", "route: entry 1: when must be a mapping of attributes"),
        ("route: [{when: , use: b}]", "route: entry 1: when must be a mapping of attributes"),
        ("route: [{when: {1: a}, use: b}]", "route: entry 1: when: the key 1 must be a text"),
        (
            "route: [{when: {a: }, use: b}]",
            "route: entry 1: when: 'a' must be a text, a number, true or false, not null",
        ),
        ("route: [{when: {a: [x]}, use: b}]", "when: 'a' must be a text, a number, true or false, not ['x']"),
        ("route: [{when: {a: {}}, use: b}]", "when: 'a' must be a text, a number, true or false, not {}"),
        ("route: [{when: {a: 1}, use: 7}]", "route: entry 1: use must be NAME or NAME@VERSION, not 7"),
        (
            "route: [{when: {a: 1}, use: b}, {when: {a: 1}, use: b c}]",
            'route: entry 2: use: "b c" cannot name a prompt: it has " "',
        ),
        ("route: [{when: {a: 1}, use: b@0}]", 'route: entry 1: use: "0" is not a version'),
        ("route: [{when: {a: 1}, use: ''}]", "route: entry 1: use: the name is empty"),
        ("versions: {1: {metadata: text}}", "versions: 1: metadata must be a mapping of keys to values"),
        ("versions: {1: {metadata: {2: x}}}", "versions: 1: metadata: the key 2 must be a text"),
        (
            "versions: {1: {metadata: {x: 1}, x: 2}}",
            "versions: 1: metadata: the key 'x' is also set beside metadata: remove one of them",
        ),
        (
            "versions: {1: {description: a, metadata: {description: 2}}}",
            "the key 'description' is also set beside metadata",
        ),
        (
            "rollout:",
            "rollout must be default, or a mapping with some of steps, hold, uses, guards, patience, in_doubt, not",
        ),
        ("rollout: {}", "rollout must be default, or a mapping"),
        ("rollout: [10%]", "rollout must be default, or a mapping"),
        ("rollout: {step: [10%]}", "rollout: unknown key 'step': did you mean 'steps'?"),
        ("rollout: {steps: []}", "rollout: steps must be a list of shares, for example [10%, 25%, 50%], not []"),
        ("rollout: {steps: [10%, 25]}", "rollout: steps must be a list of shares"),
        (
            "rollout: {steps: [50%, 10%]}",
            "rollout: steps: each step must be larger than the one before: 10% follows 50%",
        ),
        ("rollout: {steps: [100%]}", "rollout: steps: a step is below 100%"),
        ("rollout: {hold: 1}", "rollout: hold must be an age of at least 0s, for example 90s, 15m, 2h or 3d, not 1"),
        ("rollout: {hold: 1y}", "hold must be an age of at least 0s, for example 90s, 15m, 2h or 3d, not '1y'"),
        ("rollout: {hold: 367d}", "rollout: hold must be at most 366d"),
        ("rollout: {hold: 8d}", "rollout: patience, which is 7d by default, must be at least as long as hold"),
        ("rollout: {hold: 2h, patience: 1h}", "rollout: patience must be at least as long as hold"),
        ("rollout: {patience: 0s}", "rollout: patience must be an age of at least 1s"),
        ("rollout: {patience: 3661d}", "rollout: patience must be at most 3660d"),
        ("rollout: {uses: -1}", "rollout: uses must be a number from 0 to 999999999, not -1"),
        ("rollout: {uses: true}", "rollout: uses must be a number from 0 to 999999999, not true"),
        ("rollout: {in_doubt: wait}", "rollout: in_doubt must be pause or rollback, not 'wait'"),
        ("rollout: {guards: [errors]}", "rollout: guards must be a mapping of metrics to tolerances"),
        ("rollout: {guards: {}}", "rollout: guards must be a mapping of metrics to tolerances"),
        ("rollout: {guards: {error: 1pt}}", "rollout: guards: unknown key 'error': did you mean 'errors'?"),
        (
            "rollout: {guards: {errors: 1%}}",
            "guards: errors must be percentage points from 0.01pt to 100pt, for example errors: 0.5pt, not '1%'",
        ),
        (
            "rollout: {guards: {time: 15}}",
            "guards: time must be a percentage from 0.01% to 1000%, for example time: 15%, not 15",
        ),
        (
            "rollout: {guards: {score: -1}}",
            "guards: score must be a number from 0.0001 to 1e9, for example score: 0.05, not -1",
        ),
        ("rout: []", "unknown key 'rout': did you mean 'route'?"),
        ("zzz: 2", "unknown key 'zzz'"),
        ("active: 0", "active: a version is a number from 1 to 2147483647, not 0"),
        ("template: [braces]", "template must be one of braces, mustache, none, not ['braces']"),
        ("versions: {1: {author: ' '}}", "versions: 1: author must be a text, not ' '"),
        ("versions: {1: {2: x}}", "versions: 1: the key 2 must be a text"),
        ("- a", "not a mapping of keys to values"),
        ("description: " + "[" * 400 + "]" * 400, "description must be a text, not [[[["),
    ],
)
def test_a_problem_is_reported_with_its_place(yaml: str, complaint: str) -> None:
    [problem] = parse_problems(yaml)
    assert problem.startswith("a/prompt.yaml: ")
    assert complaint in problem
    assert len(problem) < 250


@pytest.mark.parametrize(
    ("yaml", "plan"),
    [
        ("active: 1", None),
        ("rollout: default", RolloutPlan()),
        ("rollout: {uses: 0}", RolloutPlan(least_uses=0)),
        ("rollout: {steps: 5%}", RolloutPlan(steps=[500])),
        ("rollout:\n  steps: 5%, 10%", RolloutPlan(steps=[500, 1000])),
        (
            "rollout: {steps: [0.5%, 50%], hold: 90s, uses: 10, patience: 2w, in_doubt: rollback}",
            RolloutPlan([50, 5000], 90, 10, 14 * 86_400, "roll back"),
        ),
        (
            "rollout: {guards: {errors: 1pt, time: +15%, score: 0.02, slow: 2 points}}",
            RolloutPlan(
                guards=[
                    {"metric": "errors", "tolerance": 0.01},
                    {"metric": "time", "tolerance": math.log1p(0.15)},
                    {"metric": "score", "tolerance": 0.02},
                    {"metric": "slow", "tolerance": 0.02},
                ]
            ),
        ),
        ("rollout: {guards: {score: 2}}", RolloutPlan(guards=[{"metric": "score", "tolerance": 2.0}])),
        ("rollout: {guards: {score: 0.0001}}", RolloutPlan(guards=[{"metric": "score", "tolerance": 0.0001}])),
    ],
)
def test_the_plan_of_rollouts(yaml: str, plan: RolloutPlan | None) -> None:
    assert parse(yaml).rollout == plan


def test_the_command_line_and_the_file_have_the_same_tolerances() -> None:
    written = {"errors": "0.5pt", "time": "15%", "cost": "10%", "score": "0.02", "output": "2.5%", "first": "1%"}
    plan = parse(f"rollout: {json.dumps({'guards': written})}").rollout
    assert plan is not None
    assert plan.guards is not None
    options = margins.parse_all([f"{metric}={tolerance}" for metric, tolerance in written.items()], "--guard")
    assert {guard["metric"]: guard["tolerance"] for guard in plan.guards} == options


@pytest.mark.parametrize("yaml", ["a: !!bool maybe", "a: !!timestamp noon", "a: !!float ''"])
def test_a_value_that_does_not_match_its_tag_is_reported_with_its_line(yaml: str) -> None:
    assert parse_problems(f"# a comment\n{yaml}") == ["a/prompt.yaml:2: a value does not match its tag"]


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("model: x\nmodel: y", "a/prompt.yaml:2: the key 'model' appears twice"),
        ("model: x\nactive: 010", 'a/prompt.yaml:2: 010 is read as 8: write "010" in quotes, or 8 without quotes'),
        (b"model: \xff", "a/prompt.yaml:1: not UTF-8: byte 7"),
        ("route:\n- &a {when: {a: 1}, use: b}\n- *a", "a/prompt.yaml:2: aliases are not allowed"),
    ],
)
def test_a_problem_of_yaml_is_reported_with_its_line(yaml: str | bytes, complaint: str) -> None:
    assert parse_problems(yaml) == [complaint]


def test_every_problem_is_reported() -> None:
    problems = parse_problems(
        "activ: 1\ntemplate: x\nroute: [{when: {1: a, b: }, use: 7}]\nversions: {0: {}, 1: {author: 2}}"
    )
    assert [problem.removeprefix("a/prompt.yaml: ").split(":")[0] for problem in problems] == [
        "unknown key 'activ'",
        "template must be one of braces, mustache, none, not 'x'",
        *["route"] * 3,
        *["versions"] * 2,
    ]


@pytest.mark.parametrize("module", ["prompt_yaml", "prompt_yaml_writer"])
def test_yaml_is_not_imported_before_it_is_needed(module: str) -> None:
    code = f"import sys; from promptctl.folder import {module}; print('yaml' in sys.modules, 'difflib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "False False\n"
