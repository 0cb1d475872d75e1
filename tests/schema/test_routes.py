"""Routes in resolve: which step matches, where it leads, and which versions a route protects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.schema.support import Statement, create, refusal, rows, run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

Route = list[dict[str, Any]]


@pytest.fixture
def prompts(database: Connection) -> Connection:
    """Prompts a, b and c with versions 1 and 2, of which 1 is active."""
    for name in ("a", "b", "c"):
        create(database, name, 2, activate=1)
    return database


def set_route(connection: Connection, name: str, *steps: tuple[dict[str, Any], str]) -> int:
    """Set the route of a prompt and return the number of changes."""
    entries = [{"when": when, "use": use} for when, use in steps]
    changed: int = value(connection, "select promptctl.set_routes(%s, %s)", [name], json.dumps([entries]))
    return changed


def resolve(connection: Connection, name: str, attributes: object = None, unit: str | None = None) -> tuple[Any, ...]:
    """Resolve a prompt: name, version, epoch."""
    as_json = None if attributes is None else attributes if isinstance(attributes, str) else json.dumps(attributes)
    [row] = rows(connection, "select name, version, epoch from promptctl.resolve(%s, %s, %s)", name, unit, as_json)
    return row


def explain_route(connection: Connection, name: str, attributes: object) -> tuple[Any, ...]:
    """Explain the route of a request: the requested prompt, the step, its conditions."""
    [row] = rows(
        connection,
        "select asked_for, route_step, route_when from promptctl.explain_resolve(%s, null, %s)",
        name,
        json.dumps(attributes),
    )
    return row


def test_the_first_matching_step_is_followed(prompts: Connection) -> None:
    set_route(prompts, "a", ({"plan": "x", "beta": True}, "b"), ({"plan": "x"}, "c@2"), ({"plan": "x"}, "b"))
    assert resolve(prompts, "a", {"plan": "x", "beta": True, "more": [1]}) == ("b", 1, 1)
    assert resolve(prompts, "a", {"plan": "x", "beta": False}) == ("c", 2, 0)
    assert resolve(prompts, "a", {"plan": "y"}) == ("a", 1, 2)
    assert resolve(prompts, "a", {}) == resolve(prompts, "a") == ("a", 1, 2)
    assert explain_route(prompts, "a", {"plan": "x", "beta": True}) == ("a", 1, {"plan": "x", "beta": True})
    assert explain_route(prompts, "a", {"plan": "x"}) == ("a", 2, {"plan": "x"})
    assert explain_route(prompts, "a", {"plan": "y"}) == ("a", None, None)


def test_resolve_follows_only_one_route(prompts: Connection) -> None:
    set_route(prompts, "a", ({"plan": "x"}, "b"))
    set_route(prompts, "b", ({"plan": "x"}, "c"))
    assert resolve(prompts, "a", {"plan": "x"}) == ("b", 1, 2)
    assert resolve(prompts, "b", {"plan": "x"}) == ("c", 1, 1)


def test_only_the_split_of_the_target_applies_after_a_route(prompts: Connection) -> None:
    set_route(prompts, "a", ({"plan": "x"}, "b"), ({"plan": "pinned"}, "b@1"))
    prompts.execute("select promptctl.split('a', 10000, 2)")
    prompts.execute("select promptctl.split('b', 10000, 2)")
    assert resolve(prompts, "a", {"plan": "x"}, "u") == ("b", 2, 2)
    assert resolve(prompts, "a", {"plan": "pinned"}, "u") == ("b", 1, 0)
    assert resolve(prompts, "a", {"plan": "other"}, "u") == ("a", 2, 3)
    [(bucket, is_candidate)] = rows(
        prompts, "select bucket, is_candidate from promptctl.explain_resolve('a', 'u', '{\"plan\": \"x\"}')"
    )
    assert (bucket, is_candidate) == (value(prompts, "select promptctl.bucket('b.2', 'u')"), True)
    [(candidate, share, is_candidate)] = rows(
        prompts,
        """
        select candidate_version, basis_points, is_candidate
        from promptctl.explain_resolve('a', 'u', '{"plan": "pinned"}')
        """,
    )
    assert (candidate, share, is_candidate) == (None, 0, None)


def test_a_prompt_without_an_active_version_still_follows_its_route(prompts: Connection) -> None:
    set_route(prompts, "idle", ({"plan": "x"}, "b"), ({"plan": "y"}, "idle@1"))
    assert resolve(prompts, "idle", {"plan": "x"}) == ("b", 1, 1)
    assert resolve(prompts, "idle", {"plan": "y"}) == ("idle", 1, 0)
    assert refusal(prompts, "select promptctl.resolve('idle')") == ("P0002", "a_version_is_active")


def test_resolve_refuses_a_target_without_an_active_version(prompts: Connection) -> None:
    set_route(prompts, "a", ({"plan": "x"}, "idle"))
    for function in ("resolve", "explain_resolve"):
        statement = f"select promptctl.{function}('a', null, '{{\"plan\": \"x\"}}')"
        assert refusal(prompts, statement) == ("P0002", "a_version_is_active")


@pytest.mark.parametrize(
    ("when", "attributes", "matches"),
    [
        ('{"a": "x"}', '{"a": "x"}', True),
        ('{"a": "x"}', '{"a": "X"}', False),
        ('{"a": "x"}', '{"a": "x "}', False),
        ('{"a": "x"}', '{"A": "x"}', False),
        ('{"a": "é"}', '{"a": "\\u00e9"}', True),
        ('{"a": "é"}', '{"a": "e\\u0301"}', False),  # texts are compared by code points, without normalisation
        ('{"a": ""}', '{"a": ""}', True),
        ('{"a": ""}', "{}", False),
        ('{"a": 1}', '{"a": 1}', True),
        ('{"a": 1}', '{"a": 1.0}', True),
        ('{"a": 1}', '{"a": 1e0}', True),
        ('{"a": 100}', '{"a": 1e2}', True),
        ('{"a": 0}', '{"a": -0.0}', True),
        ('{"a": 0.1}', '{"a": 0.10000000000000001}', False),  # numbers are decimals of any length
        ('{"a": 9007199254740993}', '{"a": 9007199254740992}', False),
        ('{"a": 1}', '{"a": "1"}', False),
        ('{"a": "1"}', '{"a": 1}', False),
        ('{"a": 1}', '{"a": true}', False),
        ('{"a": true}', '{"a": 1}', False),
        ('{"a": true}', '{"a": "true"}', False),
        ('{"a": true}', '{"a": true}', True),
        ('{"a": false}', '{"a": false}', True),
        ('{"a": false}', '{"a": 0}', False),
        ('{"a": false}', '{"a": null}', False),
        ('{"a": false}', "{}", False),
        ('{"a": "x"}', '{"a": ["x"]}', False),  # a list never equals a scalar
        ('{"a": "x"}', '{"a": {"x": 1}}', False),
        ('{"a": "x"}', '{"b": {"a": "x"}}', False),
        ('{"a.b": "x"}', '{"a": {"b": "x"}}', False),
        ('{"a": "x", "b": 1}', '{"a": "x"}', False),
        ('{"a": "x", "b": 1}', '{"b": 1, "a": "x", "c": 2}', True),
        ('{"a": "y"}', '{"a": "x", "a": "y"}', True),  # the last value of a repeated key counts
    ],
)
def test_a_condition_matches_an_equal_scalar_of_the_same_type(
    prompts: Connection, when: str, attributes: str, matches: bool
) -> None:
    prompts.execute(
        "update promptctl.served set route = jsonb_build_array(jsonb_build_object('when', %s::jsonb, 'use', 'b')) "
        "where name = 'a'",
        [when],
    )
    assert (resolve(prompts, "a", attributes)[0] == "b") is matches


def test_null_attributes_match_no_step(prompts: Connection) -> None:
    set_route(prompts, "a", ({"plan": "x"}, "b"))
    assert value(prompts, "select name from promptctl.resolve('a', 'u', null)") == "a"
    assert value(prompts, "select name from promptctl.explain_resolve('a', 'u', null)") == "a"


def test_a_version_named_by_a_route_cannot_be_archived(prompts: Connection) -> None:
    set_route(prompts, "a", ({"plan": "x"}, "b@2"))
    assert refusal(prompts, "select promptctl.retire('b', 2)") == ("23001", "a_served_version_is_not_archived")
    assert value(prompts, "select promptctl.retire('c', 2)") is True
    set_route(prompts, "a")
    assert value(prompts, "select promptctl.retire('b', 2)") is True
    steps = '[[{"when": {"plan": "x"}, "use": "b@2"}]]'
    statement = "select promptctl.set_routes('{a}', %s)"
    assert refusal(prompts, statement, steps) == ("23001", "a_route_leads_to_a_prompt")


def test_a_version_is_not_archived_while_a_route_to_it_is_created(connect: Connect, sql: Connection) -> None:
    for name in ("a", "b"):
        create(sql, name, 2, activate=1)
    first = connect()
    with first.transaction():
        set_route(first, "a", ({"plan": "x"}, "b@2"))
        second = Statement(connect(), "select promptctl.retire('b', 2)")
        second.wait_until_blocked(sql)
    error = second.end()
    assert error is not None
    assert error.diag.constraint_name == "a_served_version_is_not_archived"


def test_each_change_of_a_route_is_recorded_as_an_allocation(prompts: Connection) -> None:
    assert set_route(prompts, "a", ({"plan": "x"}, "b")) == 1
    assert set_route(prompts, "a", ({"plan": "x"}, "b")) == 0
    assert set_route(prompts, "a", ({"plan": "x"}, "c")) == 1
    assert set_route(prompts, "a") == 1
    allocations = rows(
        prompts,
        "select epoch, kind, version, route from promptctl.allocations where name = 'a' and epoch > 1 order by epoch",
    )
    assert allocations == [
        (2, "route", 1, [{"when": {"plan": "x"}, "use": "b"}]),
        (3, "route", 1, [{"when": {"plan": "x"}, "use": "c"}]),
        (4, "route", 1, None),
    ]


def test_a_use_through_a_route_is_counted_for_the_target(prompts: Connection) -> None:
    set_route(prompts, "a", ({"plan": "x"}, "b"))
    name, version, epoch = resolve(prompts, "a", {"plan": "x"})
    prompts.execute("select promptctl.record_use(%s, %s, %s)", [name, version, epoch])
    uses = "select (stats ->> 'total_uses')::integer from promptctl.prompts where name = %s and version = 1"
    assert (value(prompts, uses, "a"), value(prompts, uses, "b")) == (0, 1)


@pytest.mark.parametrize(
    "number",
    [
        "0.1",
        "-0.1",
        "1e23",
        "1e400",
        "9007199254740993",
        "5e-324",
        "2.2250738585072014e-308",
        "1.7976931348623157",
        "0",
    ],
)
def test_a_route_accepts_a_number_of_any_precision(prompts: Connection, number: str) -> None:
    route = f'[{{"when": {{"a": {number}}}, "use": "b"}}]'
    for digits in ("1", "0"):  # 0: the session prints fewer digits than a number has
        run(prompts, f"set extra_float_digits = {digits}")
        assert value(prompts, "select promptctl.is_valid_route(%s::jsonb)", route) is True
