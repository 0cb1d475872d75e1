"""Krippendorff's alpha against published values and enumeration of pairs, and its interval."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.rules.agreement import agreement, alpha

Units = list[list[str | None]]


def units(*observers: str) -> Units:
    """Return the labels of each unit from those of each observer; a full stop is a missing label."""
    return [[None if one == "." else one for one in labels] for labels in zip(*observers, strict=True)]


# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): examples A, B and C with nominal labels.
PUBLISHED = [
    (units("0100000010", "1110010000"), 0.095),
    (units("aabbdcccedda", "babbbccceddd"), 0.692),
    (units("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
]


@pytest.mark.parametrize(("labels", "value"), PUBLISHED)
def test_alpha_has_the_published_values(labels: Units, value: float) -> None:
    assert alpha(labels) == pytest.approx(value, abs=6e-4)


@given(st.lists(st.lists(st.sampled_from(["yes", "no", "other", None]), max_size=4), max_size=8))
def test_alpha_equals_the_enumeration_of_pairs(labels: Units) -> None:
    lists = [[one for one in unit if one is not None] for unit in labels]
    lists = [unit for unit in lists if len(unit) > 1]
    flat = [one for unit in lists for one in unit]
    expected = sum(first != second for first, second in permutations(flat, 2))
    value = alpha(labels)
    if not expected:
        assert value is None
        return
    observed = sum(sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in lists)
    assert value == pytest.approx(1 - (observed / len(flat)) / (expected / (len(flat) * (len(flat) - 1))))


def test_the_interval_is_deterministic_and_has_alpha_inside() -> None:
    source = random.Random(5)
    labels: Units = []
    for _ in range(60):
        person = source.choice(["pass", "fail"])
        labels.append([person, person if source.random() < 0.85 else "pass"])
    first = agreement(labels)
    assert first == agreement(labels)
    assert first == agreement(list(reversed([list(reversed(unit)) for unit in labels])))
    assert first != agreement(labels, seed=2)
    assert first.alpha is not None
    assert first.interval is not None
    assert first.interval[0] < first.alpha < first.interval[1]
    assert (first.units, first.labels) == (60, 120)


def test_more_units_make_the_interval_narrower() -> None:
    labels: Units = [["a", "a"], ["b", "b"], ["a", "b"], ["b", "b"], ["a", "a"]]
    few, many = agreement(labels * 4), agreement(labels * 40)
    assert few.interval is not None
    assert many.interval is not None
    assert many.interval[1] - many.interval[0] < (few.interval[1] - few.interval[0]) / 2


@pytest.mark.parametrize(
    ("labels", "count"),
    [([], 0), ([["a"], [None, "b"]], 0), ([["a", "b"]], 1), ([["a", "a"], ["a", "a"]], 2), ([[None, None]], 0)],
)
def test_without_enough_labels_there_is_no_alpha(labels: Units, count: int) -> None:
    result = agreement(labels)
    assert (result.alpha, result.interval, result.units) == (None, None, count)


def test_full_agreement_is_1() -> None:
    result = agreement([["a", "a"], ["b", "b"]] * 10)
    assert (result.alpha, result.interval) == (1, (1, 1))
