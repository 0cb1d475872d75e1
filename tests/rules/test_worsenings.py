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
    assert worsenings.find([]) == worsenings.Findings([], 0, 0)


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
