"""What a report says got worse: what is large and beyond chance, and hardly ever something else."""

from __future__ import annotations

import random
from typing import Any

import pytest

from promptctl.rules import worsenings
from promptctl.rules.usage_series import Numbers
from promptctl.rules.worsenings import Windows

BUCKETS_A_DOUBLING = 32


def window(
    *, before: tuple[int, int] = (1000, 10), recent: tuple[int, int] = (100, 1), slower: int = 0,
    costs: tuple[float, float] = (1.0, 1.0), scores: tuple[float, float] = (0.8, 0.8), spread: float = 0.02,
    days: int = 7, name: str = "support",
) -> Windows:  # fmt: skip
    """Return a prompt with uses and errors of both times, times that are `slower` by buckets, and daily averages."""

    def numbers(uses: tuple[int, int], side: int, times: dict[int, int]) -> Numbers:
        return Numbers(
            uses=uses[0], errors=uses[1], p95=2 ** (max(times) / BUCKETS_A_DOUBLING), cost=costs[side] * uses[0],
            priced_uses=uses[0], score=scores[side], scored=uses[0],
        )  # fmt: skip

    old = dict.fromkeys(range(300, 320), before[0] // 20)
    new = {bucket + slower: recent[0] // 20 for bucket in range(300, 320)}
    daily = [
        Numbers(uses=100, cost=100 * (1 + change), priced_uses=100, score=0.8 + change, scored=100)
        for change in (spread * (-1) ** day for day in range(days))
    ]
    return Windows(name, numbers(before, 0, old), old, numbers(recent, 1, new), new, daily)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"recent": (100, 12)}, ["errors"]),
        # A rise that may be chance, one that does not matter, and a fall.
        ({"recent": (100, 4)}, []),
        ({"before": (1_000_000, 10_000), "recent": (1_000_000, 12_000)}, []),
        ({"before": (1_000_000, 10_000), "recent": (1_000_000, 21_000)}, ["errors"]),
        ({"recent": (100, 0)}, []),
        ({"slower": 20}, ["time"]),
        ({"slower": -20}, []),
        ({"costs": (1.0, 1.3)}, ["cost"]),
        ({"costs": (1.0, 1.3), "spread": 0.2}, []),
        ({"costs": (1.0, 1.3), "days": 4}, []),
        ({"costs": (1.0, 0.5)}, []),
        ({"scores": (0.8, 0.6)}, ["score"]),
        ({"scores": (0.8, 0.79), "spread": 0.0}, []),
        # An average of few uses may be far from those of days with many.
        ({"recent": (25, 0), "costs": (1.0, 1.4), "spread": 0.05}, []),
        ({"recent": (25, 0), "costs": (1.0, 2.5), "spread": 0.05}, ["cost"]),
        ({"recent": (25, 0), "scores": (0.8, 0.65)}, []),
        ({"recent": (25, 0), "scores": (0.8, 0.3)}, ["score"]),
        # Days without any difference do not mean that a use of the last day cannot differ.
        ({"recent": (25, 0), "scores": (0.8, 0.77), "spread": 0.0}, []),
        ({"recent": (25, 0), "scores": (0.8, 0.6), "spread": 0.0}, ["score"]),
        ({"recent": (19, 19)}, []),
        (
            {"recent": (100, 30), "costs": (1.0, 1.3), "scores": (0.8, 0.6), "slower": 20},
            ["errors", "time", "cost", "score"],
        ),
    ],
)  # fmt: skip
def test_a_worsening_is_large_and_beyond_chance(settings: dict[str, Any], expected: list[str]) -> None:
    findings = worsenings.find([window(**settings)])
    assert [one.metric for one in findings.worse] == expected
    assert findings.compared + findings.few == 1


def test_findings_are_by_name_and_count_prompts_without_enough_uses() -> None:
    findings = worsenings.find([
        window(name="b", recent=(100, 40)), window(name="a", recent=(100, 40)), window(name="c", recent=(3, 3)),
        window(name="d", recent=(0, 0)),
    ])  # fmt: skip
    assert ([one.name for one in findings.worse], findings.compared, findings.few) == (["a", "b"], 2, 1)
    assert worsenings.find([]) == worsenings.Findings([], 0, 0, dict.fromkeys(("errors", "time", "cost", "score"), 0))


def test_findings_count_the_prompts_of_which_each_number_was_tested() -> None:
    def without(one: Windows, **others: Any) -> Windows:
        return Windows(**{**one.as_dict(), **others})

    few_days = window(days=4)
    untimed = without(window(name="untimed"), before_times={})
    unscored = without(window(name="unscored"), recent=Numbers(uses=100, cost=1.0, priced_uses=100, p95=1.0))
    free = window(name="free", costs=(0.0, 0.0))
    findings = worsenings.find([few_days, untimed, unscored, free, window(name="few", recent=(5, 0))])
    assert findings.tested == {"errors": 4, "time": 3, "cost": 2, "score": 2}
    assert (findings.compared, findings.few) == (4, 1)


def test_reports_of_prompts_that_do_not_change_have_no_findings() -> None:
    """Of 300 reports about five prompts whose calls fail at random, at most one in a hundred may have a finding."""
    generator = random.Random(20)
    false_alarms = 0
    for _ in range(300):
        prompts = [
            window(
                name=str(number),
                before=(600, sum(generator.random() < 0.03 for _ in range(600))),
                recent=(60, sum(generator.random() < 0.03 for _ in range(60))),
            )
            for number in range(5)
        ]
        false_alarms += bool(worsenings.find(prompts).worse)
    assert false_alarms <= 3


@pytest.mark.parametrize(
    ("uses_of_days", "uses", "variation"),
    [
        ([1000] * 12, 25, 0.0),
        ([1000] * 12, 25, 0.05),
        ([1000] * 12, 1000, 0.05),
        (([2000] * 5 + [100] * 2) * 2, 100, 0.0),
        ([2000] * 28 + [20], 20, 0.0),
        ([25] * 6, 25, 0.0),
    ],
)
def test_days_of_prompts_that_do_not_change_have_no_findings(
    uses_of_days: list[int], uses: int, variation: float
) -> None:
    """Costs and scores of single uses vary as exponential numbers do, and days may vary too."""
    generator = random.Random(20)

    def day(number: int) -> Numbers:
        # The sum of `number` exponential numbers has this distribution.
        cost, lost = (generator.gammavariate(number, 1 + generator.gauss(0, variation)) for _ in range(2))
        return Numbers(uses=number, cost=cost, priced_uses=number, score=1 - 0.2 * lost / number, scored=number)

    false_alarms = 0
    for _ in range(500):
        days = [day(number) for number in uses_of_days]
        every = sum(uses_of_days)
        score = sum((one.score or 0) * one.scored for one in days) / every
        whole = Numbers(
            uses=every, cost=sum(one.cost or 0 for one in days), priced_uses=every, score=score, scored=every
        )
        false_alarms += bool(worsenings.find([Windows("support", whole, {}, day(uses), {}, days)]).worse)
    assert false_alarms <= 5
