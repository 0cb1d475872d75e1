"""The step of a route that matches attributes is the same in Python and SQL."""

from __future__ import annotations

import enum
import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from promptctl.rules import targeting

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
# Values that are equal or nearly equal in Python, JSON or SQL.
NEAR: list[Any] = [
    0, 0.0, -0.0, 1, 1.0, True, False, "1", "1.0", "true", "", " ", 0.1, "0.1", 1e-7, 5e-324, -1, -1.0, 100, 1e2,
    2**53, float(2**53), 2**53 + 1, 2**63, float(2**63), 2**64, 1e16, 10**16, 1e23, 10**23, int(1e23), 1e300, 10**300,
    int(1e300), -1e300, 1.7976931348623157e308, int(1.7976931348623157e308), 10**400, "é", "e\u0301",
]  # fmt: skip
SCALARS = (
    st.sampled_from(NEAR)
    | TEXTS
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(2**53, 2**70).map(float)
)
JUNK = st.none() | st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner))
KEYS = st.sampled_from("abc") | TEXTS
WHEN = st.dictionaries(KEYS, SCALARS, min_size=1, max_size=3)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Draw a route and attributes. Some attributes match a step, or nearly match it."""
    whens = draw(st.lists(WHEN, min_size=1, max_size=4))
    attributes: dict[str, Any] = draw(st.dictionaries(KEYS, JUNK, max_size=3))
    if draw(st.booleans()):
        attributes |= draw(st.sampled_from(whens))
    for key in draw(st.lists(st.sampled_from(sorted(attributes)), max_size=2)) if attributes else ():
        value = attributes[key]
        near: list[Any] = [other for other in NEAR if other == value] + [str(value), [value], {key: value}]
        if isinstance(value, int) and abs(value) < 2**1000:
            near += [float(value), int(float(value))]
        if isinstance(value, float):
            near.append(int(value))
        attributes[key] = draw(st.sampled_from(near))
    return [{"when": when, "use": "target"} for when in whens], attributes


@pytest.fixture
def sql_with_prompts(sql: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    for name in ("source", "target"):
        sql.execute("select promptctl.create_version(%s, 'x', activated => true)", [name])
    return sql


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
@example(case=([{"when": {"a": 10**23}, "use": "target"}], {"a": 1e23}))
@example(case=([{"when": {"a": int(1e23)}, "use": "target"}], {"a": 1e23}))
@example(case=([{"when": {"a": 1e23}, "use": "target"}], {"a": int(1e23)}))
@example(case=([{"when": {"a": True}, "use": "target"}, {"when": {"a": 1.0}, "use": "target"}], {"a": 1}))
@example(case=([{"when": {"a": "x"}, "use": "target"}], {"a": ["x"]}))
@example(case=([{"when": {"a": "x"}, "use": "target"}], {"a": None}))
@example(case=([{"when": {"a": 0}, "use": "target"}], {"a": -0.0}))
@example(case=([{"when": {"a": 1, "b": 2}, "use": "target"}, {"when": {"b": 2}, "use": "target"}], {"b": 2.0, "c": 1}))
def test_sql_and_python_choose_the_same_step(
    sql_with_prompts: psycopg.Connection[Any], case: tuple[list[dict[str, Any]], dict[str, Any]]
) -> None:
    route, attributes = case
    sql_with_prompts.execute("select promptctl.set_routes('{source}', %s)", [json.dumps([route])])
    stored, step = sql_with_prompts.execute(
        """
        select s.route, e.route_step from promptctl.served s
        cross join promptctl.explain_resolve('source', null, %s) e where s.name = 'source'
        """,
        [json.dumps(attributes)],
    ).fetchone() or (None, None)
    assert stored is not None
    assert targeting.first_match(stored, attributes) == (None if step is None else stored[step - 1])
    assert targeting.first_match(route, attributes) == (None if step is None else route[step - 1])


class Plan(enum.StrEnum):
    ENTERPRISE = "enterprise"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("condition", "attribute", "matches"),
    [
        ("enterprise", Plan.ENTERPRISE, True),
        ("enterprise", Text("enterprise"), True),
        ("team", Plan.ENTERPRISE, False),
        (3, Level.HIGH, True),
        (3.0, Level.HIGH, True),
        (True, Level.HIGH, False),
        (1, float("nan"), False),
        (1, float("inf"), False),
        (1.0, float("inf"), False),
        ("enterprise", b"enterprise", False),
        ("x", ("x",), False),
        (1, 1 + 0j, False),
    ],
)  # fmt: skip
def test_a_python_value_matches_like_its_json_encoding(condition: Any, attribute: Any, matches: bool) -> None:
    step = {"when": {"a": condition}, "use": "target"}
    assert targeting.first_match([step], {"a": attribute}) == (step if matches else None)


def test_no_step_matches_without_steps_or_attributes() -> None:
    assert targeting.first_match([], {"a": 1}) is None
    assert targeting.first_match([{"when": {"a": 1}, "use": "b"}], {}) is None
