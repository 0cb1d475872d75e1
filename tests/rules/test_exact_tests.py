"""Exact tests of counts against exact fractions and enumeration, Holm's correction, and quantiles."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptctl.rules import exact_tests

Table = tuple[int, int, int, int]


@st.composite
def tables(draw: st.DrawFn, most: int = 12) -> Table:
    baseline, new = draw(st.integers(0, most)), draw(st.integers(0, most))
    return draw(st.integers(0, baseline)), baseline, draw(st.integers(0, new)), new


def exact_probabilities(table: Table) -> dict[int, Fraction]:
    """Return the exact probability of each number of new passes."""
    baseline_passes, baseline, new_passes, new = table
    total = baseline_passes + new_passes
    ways = math.comb(baseline + new, total)
    return {
        passes: Fraction(math.comb(new, passes) * math.comb(baseline, total - passes), ways)
        for passes in range(max(0, total - baseline), min(new, total) + 1)
    }


@given(tables(most=40))
def test_fishers_test_equals_exact_fractions(table: Table) -> None:
    exact = sum(value for passes, value in exact_probabilities(table).items() if passes <= table[2])
    assert exact_tests.fisher(table) == pytest.approx(float(exact), rel=1e-12)


def test_fishers_test_is_the_part_of_all_relabellings() -> None:
    replies = [True] * 5 + [False] * 3
    # Five replies of the baseline pass three times, so three new replies pass twice.
    chosen = list(combinations(range(8), 3))
    extreme = sum(sum(replies[place] for place in one) <= 1 for one in chosen)
    assert exact_tests.fisher((4, 5, 1, 3)) == pytest.approx(extreme / len(chosen))


def test_fisher_gives_the_published_value_of_the_lady_tasting_tea() -> None:
    # R. A. Fisher, The Design of Experiments (1935): 8 cups, 3 of 4 right has the probability 17/70.
    assert exact_tests.fisher((3, 4, 1, 4)) == pytest.approx(17 / 70)


@settings(max_examples=50)
@given(st.lists(tables(most=5), max_size=5))
def test_the_test_over_all_cases_equals_enumeration(strata: list[Table]) -> None:
    observed = sum(table[2] for table in strata)
    below = above = Fraction(0)
    for parts in product(*(exact_probabilities(table).items() for table in strata)):
        passes = sum(part[0] for part in parts)
        probability = math.prod((part[1] for part in parts), start=Fraction(1))
        below += probability * (passes <= observed)
        above += probability * (passes >= observed)
    assert exact_tests.drop_in_all(strata) == pytest.approx(float(below), rel=1e-11)
    assert exact_tests.rise_in_all(strata) == pytest.approx(float(above), rel=1e-11)


@given(st.lists(tables(), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_the_tables_does_not_matter(strata: list[Table], order: random.Random) -> None:
    shuffled = list(strata)
    order.shuffle(shuffled)
    assert exact_tests.drop_in_all(shuffled) == exact_tests.drop_in_all(strata)


@pytest.mark.parametrize(
    "strata", [[], [(0, 0, 3, 3)], [(5, 5, 0, 0)], [(0, 0, 0, 0)], [(30, 30, 3, 3)] * 1000, [(0, 30, 0, 3)] * 1000]
)
def test_tables_without_information_have_the_p_value_1(strata: list[Table]) -> None:
    assert exact_tests.drop_in_all(strata) == exact_tests.rise_in_all(strata) == 1
    assert all(exact_tests.fisher(table) == 1 for table in strata)


def test_a_thousand_cases_agree_with_the_normal_distribution() -> None:
    source = random.Random(3)
    strata = [(source.randint(15, 30), 30, source.choice((1, 2, 2, 3)), 3) for _ in range(1000)]
    mean = variance = 0.0
    for baseline_passes, baseline, new_passes, new in strata:
        rate = (baseline_passes + new_passes) / (baseline + new)
        mean += new * rate
        variance += new * rate * (1 - rate) * baseline / (baseline + new - 1)
    distance = (sum(table[2] for table in strata) + 0.5 - mean) / math.sqrt(variance)
    normal = math.erfc(-distance / math.sqrt(2)) / 2
    assert exact_tests.drop_in_all(strata) == pytest.approx(normal, rel=0.1)


def test_a_large_drop_has_a_p_value_of_nearly_0() -> None:
    assert 0 <= exact_tests.drop_in_all([(30, 30, 0, 3)] * 1000) < 1e-20
    assert exact_tests.rise_in_all([(30, 30, 0, 3)] * 1000) == 1


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.5))
def test_holm_refutes_the_smallest_values_one_after_the_other(values: list[float], level: float) -> None:
    expected: list[int] = []
    rest = list(range(len(values)))
    while rest:
        least = min(rest, key=values.__getitem__)
        if values[least] * len(rest) > level:
            break
        expected.append(least)
        rest.remove(least)
    assert exact_tests.holm(values, level) == sorted(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.data())
def test_holm_refutes_no_fewer_if_a_value_is_smaller(values: list[float], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(values) - 1))
    smaller = [*values[:place], values[place] / 2, *values[place + 1 :]]
    assert set(exact_tests.holm(values, 0.05)) <= set(exact_tests.holm(smaller, 0.05))
    assert set(exact_tests.holm(values, 0.05)) <= set(exact_tests.holm(values, 0.1))


def test_holm_gives_a_known_result() -> None:
    assert exact_tests.holm([0.01, 0.04, 0.03, 0.005], 0.05) == [0, 3]


@pytest.mark.parametrize(
    ("probability", "degrees", "quantile"),
    # Tables of Student's distribution, to three decimals.
    [
        (0.95, 1, 6.314), (0.95, 2, 2.920), (0.95, 3, 2.353), (0.95, 10, 1.812), (0.95, 49, 1.677), (0.975, 4, 2.776),
        (0.975, 5, 2.571), (0.975, 30, 2.042), (0.95, 1000, 1.646), (0.975, 10**6, 1.960),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_tables(probability: float, degrees: int, quantile: float) -> None:
    assert exact_tests.student_quantile(probability, degrees) == pytest.approx(quantile, abs=6e-4)


def test_the_quantile_continues_where_the_expansion_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    expanded = exact_tests.student_quantile(0.95, 201)
    monkeypatch.setattr(exact_tests, "_MOST_DEGREES", 1000)
    exact_tests.student_quantile.cache_clear()
    assert exact_tests.student_quantile(0.95, 201) == pytest.approx(expanded, abs=5e-7)
    exact_tests.student_quantile.cache_clear()


@given(tables(most=40))
def test_a_rise_of_a_rate_equals_exact_fractions(table: Table) -> None:
    before_events, before, events, total = table
    p = exact_tests.rise_of_rate(before_events, before, events, total)
    if not before or not total:
        assert p == 1
        return
    exact = sum(value for number, value in exact_probabilities(table).items() if number >= events)
    assert p == pytest.approx(float(exact), rel=1e-9)


def test_a_rise_of_a_rate_serves_millions_of_uses() -> None:
    assert exact_tests.rise_of_rate(100_000, 10_000_000, 1_000, 100_000) == pytest.approx(0.506, abs=0.01)
    assert exact_tests.rise_of_rate(100_000, 10_000_000, 1_100, 100_000) < 0.002
    assert exact_tests.rise_of_rate(10_000_000, 10_000_000, 100_000, 100_000) == 1
    assert exact_tests.rise_of_rate(0, 10_000_000, 0, 100_000) == 1
    # Of a rate that fell, the sum has few numbers too, and not a million.
    assert exact_tests.rise_of_rate(450_000_000, 900_000_000, 0, 100_000_000) == 1
