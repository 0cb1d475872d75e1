"""How often verdicts are wrong: the kept table of simulated runs is calculated again in part, and meets its limits."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from promptctl.rules.test_verdicts import DEFAULT_MARGIN
from tests.conftest import ROOT
from tests.rules.simulated_runs import (
    KEPT_VERDICTS,
    LEAST_FOUND,
    LETTERS,
    LOOKED_AT,
    LOOKS,
    MOST_CALLS,
    MOST_FALSE,
    MOST_FALSE_OF_DAYS,
    MOST_MISSED,
    SCENARIOS,
    simulate,
    simulate_looks,
)

TABLE: dict[str, Any] = json.loads((ROOT / "benchmarks" / "verdicts.json").read_text(encoding="utf-8"))


def test_the_kept_table_has_every_scenario_and_enough_runs() -> None:
    assert list(TABLE["scenarios"]) == list(SCENARIOS)
    assert TABLE["runs"] >= 2000


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_first_runs_of_the_kept_table_come_to_the_same_verdicts(name: str) -> None:
    numbers = range(TABLE["first"], TABLE["first"] + KEPT_VERDICTS)
    letters = "".join(LETTERS[simulate(SCENARIOS[name], number).verdict.word] for number in numbers)
    assert TABLE["scenarios"][name]["first"] == letters, "run benchmarks/verdicts.py --write"


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_kept_rates_meet_their_limits(name: str) -> None:
    row = TABLE["scenarios"][name]
    assert sum(row[word] for word in LETTERS) == pytest.approx(1, abs=0.001)
    assert row["worse"] >= LEAST_FOUND.get(name, 0)
    assert row["calls"] <= MOST_CALLS.get(name, 30)
    if SCENARIOS[name].day_spread:
        assert row["worse"] <= MOST_FALSE_OF_DAYS or SCENARIOS[name].change < 0
        return
    if name.startswith("same text"):
        assert row["worse"] <= MOST_FALSE
    if SCENARIOS[name].change <= -DEFAULT_MARGIN:
        assert row["not worse"] <= MOST_MISSED
    # A baseline that was selected because it was not found worse looks better than it is.
    if "second release" not in name:
        assert row["interval"] >= 0.88
    assert row["lower end"] >= 0.935


def test_each_look_with_more_replies_adds_to_the_rate_of_wrong_verdicts() -> None:
    assert {name: len(rates) for name, rates in TABLE["looks"]["wrong"].items()} == dict.fromkeys(LOOKED_AT, len(LOOKS))
    for name, rates in TABLE["looks"]["wrong"].items():
        words = simulate_looks(name, TABLE["first"])
        assert len(words) == len(LOOKS)
        # A verdict stays as it is.
        assert all(old in ("undecided", new) for old, new in pairwise(words))
        assert rates == sorted(rates)
        # One further look costs less than a second run of its own.
        assert rates[1] < 2 * rates[0]


def test_few_runs_of_the_same_text_are_found_worse() -> None:
    # 60 runs with a rate of 2.5 % have more than 6 false verdicts once in 3 000 times.
    runs = [simulate(SCENARIOS["same text, 20 cases"], 10_000 + number) for number in range(60)]
    assert sum(run.verdict.word == "worse" for run in runs) <= 6


def test_a_broken_case_is_found_in_each_of_few_runs() -> None:
    runs = [simulate(SCENARIOS["one case from 98% to 2%, 20 cases"], 10_000 + number) for number in range(40)]
    assert sum(0 in run.verdict.broken for run in runs) >= 39
    assert sum(run.calls for run in runs) / len(runs) < 4.5


def test_the_change_of_the_first_stage_is_not_biased() -> None:
    # A text that is 10 points worse: cases get more replies, which does not change the estimate.
    runs = [simulate(SCENARIOS["10 points worse, 20 cases"], 10_000 + number) for number in range(60)]
    changes = [run.verdict.change or 0.0 for run in runs]
    # The standard error of the mean of 60 runs is 0.7 points.
    assert sum(changes) / len(changes) == pytest.approx(-0.1, abs=0.025)
    assert all(run.first[0].new_replies == 3 for run in runs)
