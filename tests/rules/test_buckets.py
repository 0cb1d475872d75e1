"""The bucket of a unit, which is the same in Python and SQL, and the parsing of shares."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from promptctl.rules import buckets as splits
from promptctl.rules import shares
from tests.schema.test_buckets import VECTORS

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.mark.parametrize(("seed", "unit", "bucket"), VECTORS)
def test_the_buckets_of_the_test_vectors(seed: str, unit: str, bucket: int) -> None:
    assert splits.bucket(seed, unit) == bucket


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1))
@example(
    pairs=[("summarise.r1", "u" * 1_000_000), ("a.b", "c"), ("a", "b.c"), ("\ufeff", "\ufffe\uffff"), ("\r\n", "\x01")]
)
def test_sql_and_python_calculate_the_same_bucket(sql: psycopg.Connection[Any], pairs: list[tuple[str, str]]) -> None:
    row = sql.execute(
        """
        select array_agg(promptctl.bucket(seed, unit) order by place)
        from unnest(%s::text[], %s::text[]) with ordinality t (seed, unit, place)
        """,
        [[seed for seed, _ in pairs], [unit for _, unit in pairs]],
    ).fetchone()
    assert row == ([splits.bucket(seed, unit) for seed, unit in pairs],)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("user\0", "a unit has no NUL character"),
        ("\0", "a unit has no NUL character"),
        ("user\udcff", "a unit is text, and U+DCFF is not a character"),
        ("\ud83d", "U+D83D"),
    ],
)
def test_a_unit_that_postgresql_cannot_store_is_refused(unit: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        splits.bucket("summarise.r1", unit)


@pytest.mark.parametrize("unit", [None, 42, b"user-1", 1.5])
def test_a_unit_that_is_not_a_string_is_refused(unit: Any) -> None:
    with pytest.raises(TypeError):
        splits.bucket("summarise.r1", unit)


def test_a_unit_keeps_the_candidate_when_the_share_grows() -> None:
    buckets = [splits.bucket("summarise.r1", f"user-{number}") for number in range(1000)]
    before: set[int] = set()
    for points in (0, 50, 1000, 2500, 5000, 10000):
        candidates = {number for number, bucket in enumerate(buckets) if bucket < points}
        assert before <= candidates
        assert abs(len(candidates) - points / 10) < 60
        before = candidates
    assert len(before) == 1000


@pytest.mark.parametrize(
    ("text", "points"),
    [("0%", 0), ("10%", 1000), ("0.5%", 50), ("12.25%", 1225), ("0.01%", 1), ("99.99%", 9999), ("100%", 10000),
     ("100.0%", 10000), ("7.10%", 710), ("010%", 1000)],
)  # fmt: skip
def test_a_share_is_parsed_into_basis_points(text: str, points: int) -> None:
    assert shares.basis_points(text) == points


@pytest.mark.parametrize(
    "text",
    ["", "%", "10", "0.1", "10 %", " 10%", "10% ", "-5%", "+5%", "1e1%", "0.125%", "100.01%", "101%", "10.%", ".5%",
     "10,5%", "10%%", "²%", "٣%", "1.2.3%", "0x10%", "10_0%", "ten%", "nan%", "0000%", "\n1%", "9" * 5000 + "%"],
)  # fmt: skip
def test_a_malformed_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        shares.basis_points(text)


def test_every_formatted_share_is_parsed_as_the_same_share() -> None:
    formatted = [shares.percent(points) for points in range(10001)]
    assert [shares.basis_points(text) for text in formatted] == list(range(10001))
    assert [formatted[n] for n in (0, 1, 10, 50, 1000, 1225, 1050, 10000)] == [
        "0%", "0.01%", "0.1%", "0.5%", "10%", "12.25%", "10.5%", "100%",
    ]  # fmt: skip
