"""Simulated runs of test cases: replies that pass at random, judged as a run judges them.

Each scenario has the probability that a reply to a case passes, for both sides. A run has a seed of its own, so each
verdict can be calculated again. Replies may also depend on the day: on some days the model is a bit worse in all cases.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from promptctl.rules.test_verdicts import (
    DEFAULT_MARGIN,
    FIRST_STAGE,
    MOST_BASELINE,
    MOST_MORE,
    Counts,
    judge_run,
    more_replies,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.rules.test_verdicts import Verdict

# Cases that nearly always pass, that mostly pass, and that pass every other time.
MIX = (0.98, 0.85, 0.5)
# The same for cases that can become 20 points better or worse.
MIDDLE = (0.8, 0.7, 0.5)
EFFECT = 0.2


class Rates(NamedTuple):
    """The probability that a reply passes, by case, on both sides, and the groups of the cases."""

    baseline: list[float]
    new: list[float]
    groups: list[str | None]


@dataclass(frozen=True)
class Scenario:
    """What is simulated. `kept` is how many kept replies of the baseline each case has; `change` is the true change.

    With `is_second_release`, the baseline was the new side of a run before, which was not found worse, and its kept
    replies are those of that run. `day_spread` is the standard deviation of what a day adds to the log odds of all
    cases. All new replies are of one day, and the kept ones of earlier days, three replies to each case a day.
    """

    name: str
    rates: Callable[[random.Random], Rates]
    change: float
    kept: int = MOST_BASELINE
    is_second_release: bool = False
    day_spread: float = 0


class Run(NamedTuple):
    """A simulated run: its verdict, its new calls for each case, and the counts after the first stage."""

    verdict: Verdict
    calls: float
    first: list[Counts]


class _Side:
    """The replies of one side: how many there are of each case, and how many pass."""

    def __init__(self, source: random.Random, rates: Sequence[float], replies: int, day_spread: float = 0) -> None:
        self._source, self._rates, self._day_spread = source, rates, day_spread
        self._rates_today: Sequence[float] = rates
        self.passes, self.replies = [0] * len(rates), [0] * len(rates)
        days = [FIRST_STAGE] * (replies // FIRST_STAGE) + [replies % FIRST_STAGE] if day_spread else [replies]
        for number in filter(None, days):
            self.begin_day()
            for index in range(len(rates)):
                self.add(index, number)

    def begin_day(self) -> None:
        """Begin another day: the replies that follow share what it adds to the log odds."""
        if self._day_spread:
            self._rates_today = _shifted_odds(self._rates, math.exp(self._source.gauss(0, self._day_spread)))

    def add(self, index: int, number: int) -> None:
        rate, draw = self._rates_today[index], self._source.random
        self.passes[index] += sum(draw() < rate for _ in range(number))
        self.replies[index] += number


def simulate(scenario: Scenario, number: int) -> Run:
    """Return the run of a scenario with this number, which is its seed."""
    source = random.Random(f"{scenario.name} {number}")
    rates = scenario.rates(source)
    baseline = _Side(source, rates.baseline, scenario.kept, scenario.day_spread)
    if scenario.is_second_release:
        while True:
            candidate = _Side(source, rates.baseline, FIRST_STAGE)
            if _run(baseline, candidate, rates.groups).verdict.word != "worse":
                break
            baseline = _Side(source, rates.baseline, scenario.kept)
        baseline = candidate
    baseline.begin_day()
    return _run(baseline, _Side(source, rates.new, FIRST_STAGE, scenario.day_spread), rates.groups)


def simulate_looks(name: str, number: int) -> list[str]:
    """Return the word of the last verdict after each of LOOKS, in the run of a scenario with this number.

    A run that is undecided is repeated with more replies to each case in the first stage, which uses those that there
    are. A look after a verdict has its word.
    """
    source = random.Random(f"{name} {number}")
    rates = SCENARIOS[name].rates(source)
    baseline = _Side(source, rates.baseline, MOST_BASELINE)
    replies = [[source.random() < rate for _ in range(LOOKS[-1] + MOST_MORE)] for rate in rates.new]
    words: list[str] = []
    for look in LOOKS:
        if words and words[-1] != "undecided":
            words.append(words[-1])
            continue
        numbers = [look] * len(replies)
        stages = [_counts_of_first(baseline, replies, numbers, rates.groups)]
        while more := more_replies(stages):
            numbers = [number + more.get(index, 0) for index, number in enumerate(numbers)]
            stages.append(_counts_of_first(baseline, replies, numbers, rates.groups))
        words.append(judge_run(stages, DEFAULT_MARGIN).word)
    return words


def _counts_of_first(
    baseline: _Side, replies: Sequence[Sequence[bool]], numbers: Sequence[int], groups: Sequence[str | None]
) -> list[Counts]:
    """Return the counts of the first new replies to each case, so many of them."""
    passes = [sum(of_case[:number]) for of_case, number in zip(replies, numbers, strict=True)]
    sides = zip(baseline.passes, baseline.replies, passes, numbers, groups, strict=True)
    return [Counts(*counts) for counts in sides]


def _run(baseline: _Side, new: _Side, groups: Sequence[str | None]) -> Run:
    stages = [_counts(baseline, new, groups)]
    while more := more_replies(stages):
        for index, number in more.items():
            new.add(index, number)
            baseline.add(index, max(0, new.replies[index] - baseline.replies[index]))
        stages.append(_counts(baseline, new, groups))
    return Run(judge_run(stages, DEFAULT_MARGIN), sum(new.replies) / len(new.replies), stages[0])


def _counts(baseline: _Side, new: _Side, groups: Sequence[str | None]) -> list[Counts]:
    sides = zip(baseline.passes, baseline.replies, new.passes, new.replies, groups, strict=True)
    return [Counts(*numbers) for numbers in sides]


def _shifted_odds(rates: Sequence[float], factor: float) -> list[float]:
    return [rate * factor / (1 - rate + rate * factor) for rate in rates]


def _mixed(cases: int) -> list[float]:
    return [MIX[index % len(MIX)] for index in range(cases)]


def _shifted(cases: int, difference: float) -> Callable[[random.Random], Rates]:
    """Return rates of cases that all change by a difference; a rise begins lower, so that no rate is above 1."""
    lower = [rate - abs(difference) for rate in _mixed(cases)]
    sides = (lower, _mixed(cases)) if difference > 0 else (_mixed(cases), lower)
    return lambda _: Rates(*sides, [None] * cases)


def _equal_rates(cases: int, baseline: float, new: float) -> Callable[[random.Random], Rates]:
    """Return rates that are the same for all cases of a side."""
    return lambda _: Rates([baseline] * cases, [new] * cases, [None] * cases)


def _one_broken(cases: int, rate: float) -> Callable[[random.Random], Rates]:
    """Return the rates of cases. The first case nearly always passes before, and falls to a rate."""
    baseline = _mixed(cases)
    return lambda _: Rates(baseline, [rate, *baseline[1:]], [None] * cases)


def _equal_in_groups(sizes: Sequence[int]) -> Callable[[random.Random], Rates]:
    """Return rates of cases that are equally difficult in a group, and do not change."""

    def rates(source: random.Random) -> Rates:
        of_groups = [source.choice(MIX) for _ in sizes]
        values = [rate for rate, size in zip(of_groups, sizes, strict=True) for _ in range(size)]
        return Rates(values, values, _groups(sizes))

    return rates


def _change_in_groups(sizes: Sequence[int]) -> Callable[[random.Random], Rates]:
    """Return rates of cases that all change by the same in a group, by up to 20 points and by 0 on average."""

    def rates(source: random.Random) -> Rates:
        baseline = [source.choice(MIDDLE) for _ in range(sum(sizes))]
        effects = [source.uniform(-EFFECT, EFFECT) for _ in sizes]
        of_cases = [effect for effect, size in zip(effects, sizes, strict=True) for _ in range(size)]
        new = [rate + effect for rate, effect in zip(baseline, of_cases, strict=True)]
        return Rates(baseline, new, _groups(sizes))

    return rates


def _groups(sizes: Sequence[int]) -> list[str | None]:
    return [str(place) if size > 1 else None for place, size in enumerate(sizes) for _ in range(size)]


# What a day adds to the log odds, so that the standard deviation of the mean of MIX is about 1 point, and 2 points.
ONE_POINT, TWO_POINTS = (points / (sum(rate * (1 - rate) for rate in MIX) / len(MIX)) for points in (0.01, 0.02))
EQUAL_GROUPS = (5,) * 10
UNEQUAL_GROUPS = (12, 8, 6, 5, 4, 4, 3, 2, 2, 1, 1, 1, 1)
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("same text, 20 cases", _shifted(20, 0), 0),
        Scenario("same text, 50 cases", _shifted(50, 0), 0),
        Scenario("same text, 10 groups of 5 cases", _equal_in_groups(EQUAL_GROUPS), 0),
        Scenario("same text, 50 cases, 3 kept replies", _shifted(50, 0), 0, kept=3),
        Scenario("same text, 50 cases, 10 kept replies", _shifted(50, 0), 0, kept=10),
        Scenario("same text, 50 cases, second release", _shifted(50, 0), 0, is_second_release=True),
        Scenario("same text, 20 cases of 99%", _equal_rates(20, 0.99, 0.99), 0),
        Scenario("same text, 50 cases of 99%, 3 kept replies", _equal_rates(50, 0.99, 0.99), 0, kept=3),
        Scenario("same text, 20 cases, days of 1 point", _shifted(20, 0), 0, day_spread=ONE_POINT),
        Scenario("same text, 20 cases, days of 2 points", _shifted(20, 0), 0, day_spread=TWO_POINTS),
        Scenario("same text, 50 cases, days of 1 point", _shifted(50, 0), 0, day_spread=ONE_POINT),
        Scenario("same text, 50 cases, days of 2 points", _shifted(50, 0), 0, day_spread=TWO_POINTS),
        Scenario("same text, 50 cases, 3 kept replies, days of 2 points", _shifted(50, 0), 0, 3, day_spread=TWO_POINTS),
        Scenario("one case from 98% to 2%, 20 cases", _one_broken(20, 0.02), -0.96 / 20),
        Scenario("one case from 98% to 2%, 50 cases", _one_broken(50, 0.02), -0.96 / 50),
        Scenario("one case from 98% to 2%, 50 cases, 3 kept replies", _one_broken(50, 0.02), -0.96 / 50, kept=3),
        Scenario("one case from 98% to 50%, 20 cases", _one_broken(20, 0.5), -0.48 / 20),
        Scenario("one case from 98% to 50%, 50 cases", _one_broken(50, 0.5), -0.48 / 50),
        Scenario("10 points worse, 20 cases", _shifted(20, -0.1), -0.1),
        Scenario("10 points worse, 50 cases", _shifted(50, -0.1), -0.1),
        Scenario("10 points worse, 50 cases, 3 kept replies", _shifted(50, -0.1), -0.1, kept=3),
        Scenario("10 points worse, 50 cases, days of 2 points", _shifted(50, -0.1), -0.1, day_spread=TWO_POINTS),
        Scenario("5 points worse, 50 cases", _shifted(50, -0.05), -0.05),
        Scenario("20 cases from 99% to 94%", _equal_rates(20, 0.99, 0.94), -0.05),
        Scenario("20 cases from 100% to 95%", _equal_rates(20, 1, 0.95), -0.05),
        Scenario("10 points better, 50 cases", _shifted(50, 0.1), 0.1),
        Scenario("50 cases that change by up to 20 points", _change_in_groups((1,) * 50), 0),
        Scenario("10 groups of 5 cases that change by up to 20 points", _change_in_groups(EQUAL_GROUPS), 0),
        Scenario("13 unequal groups that change by up to 20 points", _change_in_groups(UNEQUAL_GROUPS), 0),
    )
}

# An undecided run may be repeated with so many new replies to each case. In these scenarios, the rate of a
# wrong verdict after each look is kept with the other rates.
LOOKS = (3, 6, 10, 15, 20, 30)
LOOKED_AT = {"same text, 50 cases": "worse", "5 points worse, 50 cases": "not worse"}
# The most runs that are looked at, because each look takes as long as a run.
MOST_LOOKED_AT = 2000

# The most that a rate of false `worse` may be, and one of `not worse` where the drop is the margin; the least that each
# kind of harm must be found; and the most new calls for each case.
MOST_FALSE = 0.025
# The same where the rate of the model changes from day to day, which no rule about the replies of one day can see.
MOST_FALSE_OF_DAYS = 0.05
MOST_MISSED = 0.055
LEAST_FOUND = {
    "one case from 98% to 2%, 20 cases": 0.99,
    "one case from 98% to 2%, 50 cases": 0.99,
    "one case from 98% to 50%, 20 cases": 0.70,
    "one case from 98% to 50%, 50 cases": 0.70,
    "10 points worse, 50 cases": 0.90,
}
MOST_CALLS = {"one case from 98% to 2%, 20 cases": 4, "one case from 98% to 2%, 50 cases": 4}
# The first of the runs whose rates are reported. The rules were chosen with runs of lower numbers.
FIRST_RUN = 1_000_000
# The verdicts of so many runs of each scenario are kept with its rates, so that a test can calculate them again.
KEPT_VERDICTS = 8
LETTERS = {"worse": "w", "not worse": "n", "undecided": "u", "better": "b"}
