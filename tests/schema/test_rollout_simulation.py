"""Rollouts with simulated traffic: few false alarms where nothing differs, and no promotion of what is much worse.

benchmarks/rollouts.py does the same with more rollouts, longer steps and larger limits.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import SERVERS
from tests.schema.rollout_traffic import Harm, course

if TYPE_CHECKING:
    import psycopg

pytestmark = pytest.mark.parametrize("templated", list(SERVERS)[:1], indirect=True)


def simulate(sql: psycopg.Connection[Any], number: int, harm: Harm) -> Counter[str]:
    """Return how many rollouts ended with each action."""
    return Counter(
        course(
            sql, f"p{place}", random.Random(place), harm, steps=(2500,), ticks_per_step=20, uses_per_tick=120,
            hold_ticks=12,
        ).action
        for place in range(number)
    )  # fmt: skip


def test_of_25_rollouts_without_a_difference_at_most_3_are_rolled_back(sql: psycopg.Connection[Any]) -> None:
    actions = simulate(sql, 25, Harm())
    assert actions["roll back"] <= 3, actions
    assert actions["pause"] == 0, actions
    assert actions["promote"] > 0, actions


def test_a_candidate_that_takes_half_as_long_again_is_never_promoted(sql: psycopg.Connection[Any]) -> None:
    actions = simulate(sql, 10, Harm(time=math.log(1.5)))
    assert actions["promote"] == 0, actions
    assert actions["roll back"] > 5, actions
