"""Splits and routes: the client selects the same version as resolve in SQL, for any unit and attributes."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import NoActiveVersion, Prompts
from tests.client.support import activate, rows, until
from tests.conftest import SERVERS
from tests.schema.support import run, value

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

ALL_SERVERS = pytest.mark.parametrize("templated", list(SERVERS), indirect=True)
EXPECTED = "select name, version, epoch, content, bucket from promptctl.explain_resolve(%s, %s, %s)"

# Values of conditions in routes, and attributes of applications that are equal or similar to them.
SCALARS: list[Any] = [
    "enterprise", "Enterprise", "", "1", "true", "null", "zoë", "😀", True, False, 0, 1, -1, 5, 1.5, 0.1, 1e300, 2**53,
    2**53 + 1, -(10**18),
]  # fmt: skip
ATTRIBUTES: list[Any] = [
    *SCALARS, None, 1.0, 5.0, 0.0, -0.0, -1.0, float(2**53), 1e18, 10**400, 0.1 + 0.2, [], {}, ["enterprise"], [1],
    {"plan": "enterprise"}, "1.0", "zoe\u0308",
]  # fmt: skip
KEYS = ["plan", "seats", "beta", "zoë", ""]


def create_prompts(sql: Connection, draw: random.Random, number: int) -> list[str]:
    """Create prompts with splits, with routes of several steps, and without an active version; return their names."""
    names = [f"p{n}" for n in range(number)]
    for name in names:
        for version in (1, 2, 3):
            run(sql, "select promptctl.create_version(%s, %s)", [name, f"{name}, text {version}"])
        if draw.random() < 0.9:
            activate(sql, name, draw.randint(1, 3))
            if draw.random() < 0.3:
                activate(sql, name, draw.randint(1, 3))
            if draw.random() < 0.5:
                active = value(sql, "select active_version from promptctl.served where name = %s", name)
                candidate = active % 3 + 1
                share = draw.choice([0, 1, 500, 3333, 5000, 9999, 10000])
                run(sql, "select promptctl.split(%s, %s, %s)", [name, share, candidate])
                run(sql, "select promptctl.split(%s, %s)", [name, draw.choice([share, 7000])])
    for place, name in enumerate(names[:-1]):
        if draw.random() < 0.7:
            # A step to a prompt leads to a later name, so that no cycle forms. A step to a version may name any prompt.
            steps = [
                {
                    "when": {key: draw.choice(SCALARS) for key in draw.sample(KEYS, draw.choice([1, 1, 1, 2]))},
                    "use": draw.choice(names[place + 1 :])
                    if draw.random() < 0.6
                    else f"{draw.choice(names)}@{draw.randint(1, 3)}",
                }
                for _ in range(draw.randint(1, 8))
            ]
            run(sql, "select promptctl.set_routes(array[%s], %s)", [name, json.dumps([steps])])
    return names


def check_selection(prompts: Prompts, sql: Connection, name: str, unit: str | None, attributes: dict[str, Any]) -> bool:
    """Check that the client and SQL select the same version; return whether there is one."""
    import psycopg

    try:
        [expected] = rows(sql, EXPECTED, name, unit, json.dumps(attributes))
    except psycopg.errors.NoDataFound as refusal:
        with pytest.raises(NoActiveVersion, match=f"^{re.escape(str(refusal.diag.message_primary))} in "):
            prompts.get(name, unit=unit, attributes=attributes)
        return False
    served = prompts.get(name, unit=unit, attributes=attributes)
    selection = (served.name, served.version, served.epoch, served.content, served.bucket)
    assert selection == expected, (name, unit, attributes)
    return True


@ALL_SERVERS
@pytest.mark.parametrize("seed", range(4))
def test_the_client_selects_the_same_version_as_resolve(prompts: Prompts, sql: Connection, seed: int) -> None:
    draw = random.Random(seed)
    names = create_prompts(sql, draw, 12)
    prompts.preload(names)
    answers = Counter[bool]()
    for turn in range(400):
        unit = draw.choice(
            [f"user-{draw.randrange(10**6)}", "", "zoë@example.org", "ユーザー😀", "x" * 1000, str(turn)]
        )
        attributes = {key: draw.choice(ATTRIBUTES) for key in draw.sample(KEYS, draw.randint(0, 3))}
        answers[check_selection(prompts, sql, draw.choice(names), unit, attributes)] += 1
    assert answers[True] > 100
    assert answers[False] > 0 or seed


@ALL_SERVERS
def test_conditions_match_the_same_attributes_as_in_resolve(prompts: Prompts, sql: Connection) -> None:
    steps = [{"when": {"a": scalar}, "use": f"other@{1 + n % 2}"} for n, scalar in enumerate(SCALARS)]
    run(sql, "select promptctl.set_routes('{greeter}', %s)", [json.dumps([steps])])
    prompts.preload(["greeter"])
    for attribute in ATTRIBUTES:
        check_selection(prompts, sql, "greeter", "u", {"a": attribute})
        check_selection(prompts, sql, "greeter", "u", {"a": attribute, "b": attribute})
        check_selection(prompts, sql, "greeter", "u", {"b": attribute})
    check_selection(prompts, sql, "greeter", "u", {})
    # The first step whose conditions all match counts.
    for when in ({"a": 1, "b": 2}, {"a": 1}, {"b": 2}):
        run(sql, "select promptctl.set_routes('{greeter}', %s)", [
            json.dumps([[{"when": when, "use": "other"}, {"when": {"a": 1}, "use": "other@2"}]])
        ])  # fmt: skip
        epoch = value(sql, "select epoch from promptctl.served where name = 'greeter'")
        until(lambda epoch=epoch: prompts.get("greeter", unit="u").epoch == epoch)
        for attributes in ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 2, "c": 4}):
            check_selection(prompts, sql, "greeter", None, attributes)


def test_a_route_takes_one_hop_only(prompts: Prompts, sql: Connection) -> None:
    run(sql, "select promptctl.create_version('end', 'The end.', activated => true)")
    for name, use in (("other", "end"), ("greeter", "other")):
        run(sql, "select promptctl.set_routes(array[%s], %s)", [name, json.dumps([[{"when": {"a": 1}, "use": use}]])])
    assert prompts.get("greeter", attributes={"a": 1}).name == "other"
    assert prompts.get("other", attributes={"a": 1}).name == "end"
    check_selection(prompts, sql, "greeter", "u", {"a": 1})


def test_a_routed_unit_is_split_by_the_seed_of_the_routed_prompt(prompts: Prompts, sql: Connection) -> None:
    run(sql, "select promptctl.set_routes('{greeter}', %s)", [json.dumps([[{"when": {"a": 1}, "use": "other"}]])])
    run(sql, "select promptctl.split('other', 5000, 2)")
    run(sql, "select promptctl.split('greeter', 5000, 2)")
    prompts.preload(["greeter"])
    for n in range(200):
        check_selection(prompts, sql, "greeter", f"user-{n}", {"a": 1})
        check_selection(prompts, sql, "greeter", f"user-{n}", {})
        same = prompts.get("other", unit=f"user-{n}")
        routed = prompts.get("greeter", unit=f"user-{n}", attributes={"a": 1})
        assert (routed.version, routed.bucket) == (same.version, same.bucket)


def test_a_version_that_a_route_names_is_in_epoch_0_as_a_pinned_one(prompts: Prompts, sql: Connection) -> None:
    run(sql, "select promptctl.set_routes('{greeter}', %s)", [json.dumps([[{"when": {"a": 1}, "use": "other@2"}]])])
    pinned = prompts.get("other@2")
    assert prompts.get("greeter", attributes={"a": 1}) is pinned
    prompts.preload(["other"])
    for version, epoch in ((2, 2), (1, 3)):
        activate(sql, "other", version)
        until(lambda epoch=epoch: prompts.get("other").epoch == epoch)
        check_selection(prompts, sql, "greeter", "u", {"a": 1})
        assert prompts.get("greeter", attributes={"a": 1}) is pinned
    assert (prompts.get("other@2"), pinned.epoch) == (pinned, 0)


def test_units_keep_the_candidate_when_the_share_grows(prompts: Prompts, sql: Connection) -> None:
    units = [f"user-{n}" for n in range(2000)]
    prompts.preload(["other"])
    before: set[str] = set()
    for share in (0, 500, 2500, 5000, 10_000):
        run(sql, "select promptctl.split('other', %s, %s)", [share, 2 if share == 0 else None])
        epoch = value(sql, "select epoch from promptctl.served where name = 'other'")
        until(lambda epoch=epoch: prompts.get("other", unit="x").epoch == epoch)
        served = {unit for unit in units if prompts.get("other", unit=unit).version == 2}
        assert before <= served
        assert abs(len(served) - len(units) * share / 10_000) < 100
        before = served


def test_without_a_unit_calls_select_the_candidate_in_proportion_to_its_share(
    prompts: Prompts, sql: Connection
) -> None:
    run(sql, "select promptctl.split('other', 2000, 2)")
    prompts.preload(["other"])
    selected = [prompts.get("other").version for _ in range(5000)]
    assert 800 < selected.count(2) < 1200
    assert 1000 < sum(a != b for a, b in itertools.pairwise(selected)) < 2200
    assert {prompts.get("other").bucket for _ in range(50)} == {None}
    for share, version in ((0, 1), (10_000, 2)):
        run(sql, "select promptctl.split('other', %s)", [share])
        epoch = value(sql, "select epoch from promptctl.served where name = 'other'")
        until(lambda epoch=epoch: prompts.get("other", unit="x").epoch == epoch)
        assert {prompts.get("other").version for _ in range(2000)} == {version}


def test_get_many_uses_one_unit_and_attributes_for_all_prompts(prompts: Prompts, sql: Connection) -> None:
    run(sql, "select promptctl.set_routes('{greeter}', %s)", [json.dumps([[{"when": {"a": 1}, "use": "other@2"}]])])
    run(sql, "select promptctl.split('other', 5000, 2)")
    for n in range(50):
        options: dict[str, Any] = {"unit": n, "attributes": {"a": n % 2}}
        several = prompts.get_many(["greeter", "other", "greeter@2"], **options)
        for name, prompt in several.items():
            alone = prompts.get(name, **options)
            assert (prompt.name, prompt.version, prompt.bucket) == (alone.name, alone.version, alone.bucket)
        assert list(several) == ["greeter", "other", "greeter@2"]


def test_an_activation_ends_a_split_for_the_client_too(prompts: Prompts, sql: Connection) -> None:
    run(sql, "select promptctl.split('other', 5000, 2)")
    assert {prompts.get("other", unit=n).version for n in range(50)} == {1, 2}
    activate(sql, "other", 2)
    until(lambda: prompts.get("other").epoch == 3)
    assert {prompts.get("other", unit=n).version for n in range(50)} == {2}
