"""The verdicts on the guards of a rollout."""

from __future__ import annotations

import math
from typing import Any

import pytest

from promptctl.rules import experiments, guards
from promptctl.rules.experiments import Estimate

LEVEL = 0.05
# The part of the level for one of two guards, over all shares.
PART = LEVEL / 4


def estimate(metric: str = "errors", **fields: Any) -> Estimate:
    values: dict[str, Any] = {
        "share": None, "uses_a": 5000, "uses_b": 5000, "units_a": 500, "units_b": 500, "strata": 1, "value_a": 0.02,
        "value_b": 0.02, "difference": 0.0, "se_null": 0.003, "se_free": 0.003, "pooled": 0.02,
    }  # fmt: skip
    return Estimate(metric=metric, **(values | fields))


def verdict(metric: str, tolerance: float, row: Estimate | None) -> str:
    planned = [{"metric": metric, "tolerance": tolerance}, {"metric": "slow", "tolerance": 0.02}]
    return guards.figures([row] if row else [], planned, LEVEL)[0]["verdict"]


VERDICTS = {
    "no difference": ("errors", 0.01, estimate(), "fine"),
    "less": ("errors", 0.01, estimate(difference=-0.015), "fine"),
    "more than tolerated, and proven": ("errors", 0.01, estimate(difference=0.03), "worse"),
    "more than tolerated, not proven": (
        "errors", 0.01, estimate(difference=0.0101, se_null=0.005, se_free=0.005), "not proven"
    ),
    "more, proven, and tolerated": ("errors", 0.02, estimate(difference=0.015), "fine"),
    "no use": ("errors", 0.01, None, "too few uses"),
    "99 uses": ("errors", 0.01, estimate(uses_b=99, difference=0.3), "too few uses"),
    "29 groups": ("errors", 0.01, estimate(units_a=29, difference=0.3), "too few uses"),
    "no error at all": ("errors", 0.01, estimate(uses_b=3, se_null=0.0, se_free=0.0, value_b=0.0), "fine"),
    "a lower score": ("score", 0.02, estimate("score", difference=-0.05), "worse"),
    "a higher score": ("score", 0.02, estimate("score", difference=0.05), "fine"),
    "a higher cost": (
        "cost", math.log(1.1),
        estimate("cost", value_a=0.005, value_b=0.01, difference=0.005, pooled=0.0075, se_null=0.0005, se_free=0.0005),
        "worse",
    ),
    "a slightly higher cost": (
        "cost", math.log(1.1),
        estimate("cost", value_a=0.005, value_b=0.0052, difference=0.0002, pooled=0.0051, se_null=0.00005),
        "fine",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VERDICTS)
def test_the_verdict_on_a_guard(case: str) -> None:
    metric, tolerance, row, expected = VERDICTS[case]
    assert verdict(metric, tolerance, row) == expected


def test_a_figure_has_the_interval_at_half_the_level_divided_by_the_number_of_guards() -> None:
    planned = [{"metric": "errors", "tolerance": 0.01}, {"metric": "time", "tolerance": 0.1398}]
    errors, time = guards.figures([estimate(difference=0.004)], planned, LEVEL)
    assert (errors["lower"], errors["upper"]) == experiments.interval(0.004, 0.003, 0.003, 0.01, PART)
    assert errors["lower"] < 0 < errors["upper"]
    assert (errors["uses_a"], errors["value_b"], errors["tolerance"]) == (5000, 0.02, 0.01)
    assert (time["metric"], time["difference"], time["verdict"]) == ("time", None, "too few uses")


def test_an_estimate_of_one_share_is_not_the_whole() -> None:
    assert verdict("errors", 0.01, estimate(share=1000, difference=0.3)) == "too few uses"
