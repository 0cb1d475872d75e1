"""Routes in resolve: whose attributes lead where, one step only, and what keeps a route whole."""

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


def route(connection: Connection, name: str, *steps: tuple[dict[str, Any], str]) -> int:
    """Give a prompt its route."""
    found = [{"when": when, "use": use} for when, use in steps]
    changed: int = value(connection, "select promptctl.set_routes(%s, %s)", [name], json.dumps([found]))
    return changed


def resolved(connection: Connection, name: str, attributes: object = None, unit: str | None = None) -> tuple[Any, ...]:
    """What a prompt resolves to: name, version, epoch."""
    given = None if attributes is None else attributes if isinstance(attributes, str) else json.dumps(attributes)
    [row] = rows(connection, "select name, version, epoch from promptctl.resolve(%s, %s, %s)", name, unit, given)
    return row


def why(connection: Connection, name: str, attributes: object) -> tuple[Any, ...]:
    """What explain_resolve says of the route: the prompt that was asked for, the step, its conditions."""
    [row] = rows(
        connection,
        "select asked_for, route_step, route_when from promptctl.explain_resolve(%s, null, %s)",
        name,
        json.dumps(attributes),
    )
    return row


def test_the_first_step_that_matches_counts(prompts: Connection) -> None:
    route(prompts, "a", ({"plan": "x", "beta": True}, "b"), ({"plan": "x"}, "c@2"), ({"plan": "x"}, "b"))
    assert resolved(prompts, "a", {"plan": "x", "beta": True, "more": [1]}) == ("b", 1, 1)
    assert resolved(prompts, "a", {"plan": "x", "beta": False}) == ("c", 2, 1)
    assert resolved(prompts, "a", {"plan": "y"}) == ("a", 1, 2)
    assert resolved(prompts, "a", {}) == resolved(prompts, "a") == ("a", 1, 2)
    assert why(prompts, "a", {"plan": "x", "beta": True}) == ("a", 1, {"plan": "x", "beta": True})
    assert why(prompts, "a", {"plan": "x"}) == ("a", 2, {"plan": "x"})
    assert why(prompts, "a", {"plan": "y"}) == ("a", None, None)


def test_a_route_is_one_step(prompts: Connection) -> None:
    route(prompts, "a", ({"plan": "x"}, "b"))
    route(prompts, "b", ({"plan": "x"}, "c"))
    assert resolved(prompts, "a", {"plan": "x"}) == ("b", 1, 2)
    assert resolved(prompts, "b", {"plan": "x"}) == ("c", 1, 1)


def test_the_split_of_the_target_applies_and_not_that_of_where_one_came_from(prompts: Connection) -> None:
    route(prompts, "a", ({"plan": "x"}, "b"), ({"plan": "pinned"}, "b@1"))
    prompts.execute("select promptctl.split('a', 10000, 2)")
    prompts.execute("select promptctl.split('b', 10000, 2)")
    assert resolved(prompts, "a", {"plan": "x"}, "u") == ("b", 2, 2)
    assert resolved(prompts, "a", {"plan": "pinned"}, "u") == ("b", 1, 2)
    assert resolved(prompts, "a", {"plan": "other"}, "u") == ("a", 2, 3)
    [(bucket, in_share)] = rows(
        prompts, "select bucket, is_candidate from promptctl.explain_resolve('a', 'u', '{\"plan\": \"x\"}')"
    )
    assert (bucket, in_share) == (value(prompts, "select promptctl.bucket('b.2', 'u')"), True)
    [(candidate, share, in_share)] = rows(
        prompts,
        """
        select candidate_version, basis_points, is_candidate
        from promptctl.explain_resolve('a', 'u', '{"plan": "pinned"}')
        """,
    )
    assert (candidate, share, in_share) == (None, 0, None)


def test_a_prompt_of_which_nothing_is_active_can_still_lead_elsewhere(prompts: Connection) -> None:
    route(prompts, "idle", ({"plan": "x"}, "b"), ({"plan": "y"}, "idle@1"))
    assert resolved(prompts, "idle", {"plan": "x"}) == ("b", 1, 1)
    assert resolved(prompts, "idle", {"plan": "y"}) == ("idle", 1, 1)
    assert refusal(prompts, "select promptctl.resolve('idle')") == ("P0002", "a_version_is_active")


def test_a_target_of_which_nothing_is_active_is_named(prompts: Connection) -> None:
    route(prompts, "a", ({"plan": "x"}, "idle"))
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
        ('{"a": "é"}', '{"a": "e\\u0301"}', False),  # as they are written, not as they look
        ('{"a": ""}', '{"a": ""}', True),
        ('{"a": ""}', "{}", False),
        ('{"a": 1}', '{"a": 1}', True),
        ('{"a": 1}', '{"a": 1.0}', True),
        ('{"a": 1}', '{"a": 1e0}', True),
        ('{"a": 100}', '{"a": 1e2}', True),
        ('{"a": 0}', '{"a": -0.0}', True),
        ('{"a": 0.1}', '{"a": 0.10000000000000001}', False),  # decimal, of any length
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
        ('{"a": "x"}', '{"a": ["x"]}', False),  # a list is no scalar, whatever is in it
        ('{"a": "x"}', '{"a": {"x": 1}}', False),
        ('{"a": "x"}', '{"b": {"a": "x"}}', False),
        ('{"a.b": "x"}', '{"a": {"b": "x"}}', False),
        ('{"a": "x", "b": 1}', '{"a": "x"}', False),
        ('{"a": "x", "b": 1}', '{"b": 1, "a": "x", "c": 2}', True),
        ('{"a": "y"}', '{"a": "x", "a": "y"}', True),  # of a key that is there twice the last counts
    ],
)
def test_what_matches(prompts: Connection, when: str, attributes: str, matches: bool) -> None:
    prompts.execute(
        "update promptctl.served set route = jsonb_build_array(jsonb_build_object('when', %s::jsonb, 'use', 'b')) "
        "where name = 'a'",
        [when],
    )
    assert (resolved(prompts, "a", attributes)[0] == "b") is matches


def test_no_attributes_are_none_that_match(prompts: Connection) -> None:
    route(prompts, "a", ({"plan": "x"}, "b"))
    assert value(prompts, "select name from promptctl.resolve('a', 'u', null)") == "a"
    assert value(prompts, "select name from promptctl.explain_resolve('a', 'u', null)") == "a"


def test_a_version_that_a_route_names_cannot_be_retired_until_it_does_no_more(prompts: Connection) -> None:
    route(prompts, "a", ({"plan": "x"}, "b@2"))
    assert refusal(prompts, "select promptctl.retire('b', 2)") == ("23001", "a_served_version_is_not_archived")
    assert value(prompts, "select promptctl.retire('c', 2)") is True
    route(prompts, "a")
    assert value(prompts, "select promptctl.retire('b', 2)") is True
    steps = '[[{"when": {"plan": "x"}, "use": "b@2"}]]'
    statement = "select promptctl.set_routes('{a}', %s)"
    assert refusal(prompts, statement, steps) == ("23001", "a_route_leads_to_a_prompt")


def test_a_version_is_not_retired_while_a_route_to_it_is_being_made(connect: Connect, sql: Connection) -> None:
    for name in ("a", "b"):
        create(sql, name, 2, activate=1)
    first = connect()
    with first.transaction():
        route(first, "a", ({"plan": "x"}, "b@2"))
        second = Statement(connect(), "select promptctl.retire('b', 2)")
        second.wait_until_blocked(sql)
    error = second.end()
    assert error is not None
    assert error.diag.constraint_name == "a_served_version_is_not_archived"


def test_a_change_of_the_route_is_an_allocation(prompts: Connection) -> None:
    assert route(prompts, "a", ({"plan": "x"}, "b")) == 1
    assert route(prompts, "a", ({"plan": "x"}, "b")) == 0
    assert route(prompts, "a", ({"plan": "x"}, "c")) == 1
    assert route(prompts, "a") == 1
    found = rows(
        prompts,
        "select epoch, kind, version, route from promptctl.allocations where name = 'a' and epoch > 1 order by epoch",
    )
    assert found == [
        (2, "route", 1, [{"when": {"plan": "x"}, "use": "b"}]),
        (3, "route", 1, [{"when": {"plan": "x"}, "use": "c"}]),
        (4, "route", 1, None),
    ]


def test_a_use_by_a_route_is_booked_on_the_target(prompts: Connection) -> None:
    route(prompts, "a", ({"plan": "x"}, "b"))
    name, version, epoch = resolved(prompts, "a", {"plan": "x"})
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
def test_a_number_that_is_the_same_everywhere_may_stand_in_a_route(prompts: Connection, number: str) -> None:
    route = f'[{{"when": {{"a": {number}}}, "use": "b"}}]'
    for digits in ("1", "0"):  # 0: a session that writes fewer digits than there are
        run(prompts, f"set extra_float_digits = {digits}")
        assert value(prompts, "select promptctl.is_valid_route(%s::jsonb)", route) is True
