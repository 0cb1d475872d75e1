"""The bucket of a unit: the database and every client calculate the same one."""

from __future__ import annotations

import hashlib
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.schema.support import value

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))

VECTORS = [
    ("summarise.r1", "user-1", 3012),
    ("summarise.r1", "user-2", 7729),
    ("summarise.r1", "user-42", 4457),
    ("summarise.r2", "user-1", 8397),
    ("translate.r1", "user-1", 9513),
    ("summarise.r1", "", 9353),
    ("summarise.r1", "zoë@example.org", 4392),
    ("summarise.r1", "ユーザー😀", 8783),
    ("", "", 4234),
    ("summarise.r1", "user-2160", 999),
    ("summarise.r1", "user-1198", 1000),
    # Digests from 2^63 on, which are negative in PostgreSQL: one with a remainder of 0, and the largest bucket.
    ("s", "u8894", 1616),
    ("s", "u10811", 9999),
]


@pytest.mark.parametrize(("seed", "unit", "bucket"), VECTORS)
def test_known_units_have_the_documented_buckets(
    database: psycopg.Connection[Any], seed: str, unit: str, bucket: int
) -> None:
    assert value(database, "select bucket(%s, %s)", seed, unit) == bucket


def test_the_bucket_is_null_without_a_seed_or_a_unit(database: psycopg.Connection[Any]) -> None:
    assert value(database, "select bucket(null, 'user-1') is null and bucket('summarise.r1', null) is null")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1))
def test_the_bucket_is_computed_from_the_first_eight_bytes_of_sha256(
    database: psycopg.Connection[Any], pairs: list[tuple[str, str]]
) -> None:
    expected = [
        int.from_bytes(hashlib.sha256(f"{seed}.{unit}".encode()).digest()[:8], "big") % 10000 for seed, unit in pairs
    ]
    buckets = value(
        database,
        """
        select array_agg(bucket(seed, unit) order by place)
        from unnest(%s::text[], %s::text[]) with ordinality t (seed, unit, place)
        """,
        [seed for seed, _ in pairs],
        [unit for _, unit in pairs],
    )
    assert buckets == expected


def test_buckets_are_spread_evenly(database: psycopg.Connection[Any]) -> None:
    counts = """
        select max(n) - min(n) from (
            select count(*) as n from generate_series(1, 10000) i group by bucket('seed', 'user-' || i) / 1000
        ) t
    """
    assert value(database, counts) < 200
