"""Intervals, verdicts, needed uses and sentences of a comparison; the numbers are checked with independent vectors."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from promptctl.rules import experiments, margins, verdict_sentences
from promptctl.rules.experiments import Estimate, Judgment, Traffic

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "experiment_vectors.json").read_text(encoding="utf-8"))
NO_ALARM = Traffic(0.01, 1000, has_alarm=False)


def estimate(metric: str = "time", **fields: Any) -> Estimate:
    """Return an estimate of 5000 uses on each side, without a difference."""
    values: dict[str, Any] = {
        "share": None, "uses_a": 5000, "uses_b": 5000, "units_a": 500, "units_b": 500, "strata": 1, "value_a": 7.0,
        "value_b": 7.0, "difference": 0.0, "se_null": 0.01, "se_free": 0.01, "pooled": 7.0,
    }  # fmt: skip
    return Estimate(metric=metric, **(values | fields))


def rate(value_a: float, value_b: float, se: float, metric: str = "errors", **fields: Any) -> Estimate:
    """Return an estimate of a rate."""
    values: dict[str, Any] = {
        "value_a": value_a, "value_b": value_b, "difference": value_b - value_a, "se_null": se, "se_free": se,
        "pooled": (value_a + value_b) / 2,
    }  # fmt: skip
    return estimate(metric, **(values | fields))


def judged(*estimates: Estimate, uses: int = 10_000) -> dict[str, Judgment]:
    return {judgment.metric: judgment for judgment in experiments.judge(estimates, {}, uses)}


def uses_of(judgments: list[Judgment]) -> tuple[int, int]:
    return judgments[0].uses_a, judgments[0].uses_b


@pytest.mark.parametrize("vector", VECTORS["core"])
def test_half_widths_equal_those_of_numerical_integration(vector: dict[str, float]) -> None:
    width = experiments.half_width(vector["se"] ** 2, vector["tau"], vector["alpha"])
    assert width == pytest.approx(vector["half_width"], rel=1e-6)
    ends = experiments.interval(vector["d"], vector["se"], vector["se"], vector["tau"], vector["alpha"])
    assert ends == pytest.approx((vector["lower"], vector["upper"]), rel=1e-5)


@pytest.mark.parametrize("vector", VECTORS["interval"])
def test_intervals_equal_the_vectors(vector: dict[str, float]) -> None:
    ends = experiments.interval(vector["d"], vector["se_null"], vector["se_free"], vector["tau"], vector["alpha"])
    assert ends == pytest.approx((vector["lower"], vector["upper"]), rel=1e-6)


def test_zero_is_outside_an_interval_exactly_if_the_test_of_no_difference_refutes_it() -> None:
    choose = random.Random(7)
    for _ in range(500):
        difference, se_null, tau = choose.uniform(-1, 1), choose.uniform(0.01, 0.5), choose.uniform(0.01, 0.5)
        se_free = se_null * choose.uniform(0.5, 3)
        ends = experiments.interval(difference, se_null, se_free, tau, 0.05)
        width = experiments.half_width(se_null**2, tau, 0.05)
        assert ends is not None
        assert width is not None
        assert (ends[0] > 0 or ends[1] < 0) == (abs(difference) > width)
        assert ends[0] < difference < ends[1]


def test_without_spread_there_is_no_interval() -> None:
    assert experiments.half_width(0.0, 0.1, 0.05) is None
    assert experiments.interval(0.0, 0.0, 0.0, 0.1, 0.05) is None


@pytest.mark.parametrize("vector", VECTORS["needed"])
def test_the_needed_standard_error_equals_the_vectors(vector: dict[str, float]) -> None:
    ratio = experiments.squared_ratio(vector["alpha"])
    assert ratio == pytest.approx(vector["r"], rel=1e-6)
    # At that standard error, half the width of the interval is the margin.
    se = vector["se_over_margin"] * 0.01
    assert experiments.half_width(se * se, 0.01, vector["alpha"]) == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("vector", VECTORS["verdict"], ids=lambda vector: vector["case"])
def test_verdicts_equal_the_vectors(vector: dict[str, Any]) -> None:
    verdict = experiments.verdict(vector["lower"], vector["upper"], vector["margin"])
    assert verdict == vector["verdict"].partition(",")[0]


@pytest.mark.parametrize("vector", VECTORS["traffic"])
def test_the_check_of_the_traffic_equals_the_vectors(vector: dict[str, Any]) -> None:
    width = experiments.half_width(vector["se"] ** 2, experiments.TRAFFIC_SCALE, experiments.TRAFFIC_LEVEL)
    assert width == pytest.approx(vector["half_width_at_0_001"], rel=1e-6)
    row = estimate("traffic", share=vector["share"], difference=vector["log_ratio"], se_null=vector["se"])
    traffic = experiments.check_traffic([row])
    assert traffic.has_alarm is vector["alarm"]
    assert traffic.difference == pytest.approx(math.expm1(vector["log_ratio"]))


def test_the_level_is_shared_by_all_metrics() -> None:
    assert pytest.approx(0.05 / 7) == experiments.LEVEL_OF_METRIC
    assert list(judged()) == ["errors", "time", "slow", "first", "output", "cost", "score"]


def test_values_are_those_of_a_reader() -> None:
    rows = judged(estimate("time", value_a=math.log(1200), value_b=math.log(1080), difference=math.log(0.9)))
    assert (rows["time"].value_a, rows["time"].value_b) == pytest.approx((1200, 1080))
    assert rows["errors"] == Judgment("errors", 0, 0, None, None, None, None, None, 0.01, "not known", None)


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (estimate(difference=0.25), "worse"),
        (estimate(difference=-0.25), "better"),
        (estimate(difference=0.0), "same"),
        (estimate(difference=0.07, se_null=0.03), "not known"),
        (estimate("score", value_a=0.7, value_b=0.9, difference=0.2, se_null=0.01, se_free=0.01), "better"),
        (estimate("score", value_a=0.7, value_b=0.5, difference=-0.2, se_null=0.01, se_free=0.01), "worse"),
        (estimate("output", difference=0.3), "worse"),
        (rate(0.02, 0.08, 0.003), "worse"),
    ],
)
def test_verdicts_follow_what_is_harmful_in_each_metric(row: Estimate, verdict: str) -> None:
    assert judged(row)[row.metric].verdict == verdict


@pytest.mark.parametrize("few", [{"uses_b": 99}, {"uses_a": 99}])
def test_there_is_no_verdict_from_few_uses(few: dict[str, Any]) -> None:
    judgment = judged(estimate(difference=0.5, **few))["time"]
    assert (judgment.verdict, judgment.lower, judgment.lacks_units) == ("not known", None, False)
    assert judgment.needed_uses is not None
    assert judgment.needed_uses > 0


@pytest.mark.parametrize("few", [{"units_b": 29}, {"units_a": 29}, {"units_b": 20, "uses_b": 90}])
def test_there_is_no_verdict_from_few_units_and_no_number_of_uses_that_makes_up_for_them(few: dict[str, Any]) -> None:
    for row in (estimate(difference=0.5, **few), rate(0.02, 0.03, 0.005, **few)):
        judgment = judged(row)[row.metric]
        assert (judgment.verdict, judgment.lower, judgment.needed_uses) == ("not known", None, None)
        assert (judgment.lacks_units, judgment.lacks_events) == (True, False)


def test_few_units_of_few_uses_need_more_uses() -> None:
    judgment = judged(estimate(uses_b=20, units_b=20), uses=40)["time"]
    assert judgment.lacks_units is False
    assert judgment.needed_uses == 160


def test_needed_uses_are_what_a_verdict_takes_without_a_difference() -> None:
    now = judged(estimate(se_null=0.05, se_free=0.05))["time"]
    assert now.verdict == "not known"
    assert now.needed_uses is not None
    # The standard error falls with the square root of the uses.
    factor = (10_000 + now.needed_uses) / 10_000
    for change, verdict in ((1.01, "same"), (0.99, "not known")):
        se = 0.05 / math.sqrt(factor * change)
        assert judged(estimate(se_null=se, se_free=se))["time"].verdict == verdict


def test_a_difference_at_the_margin_needs_more_uses_than_none() -> None:
    near = judged(estimate(difference=0.06, se_null=0.024, se_free=0.024))["time"]
    assert near.verdict == "not known"
    assert near.needed_uses is not None
    # With these uses, the same difference has a verdict.
    se = 0.024 / math.sqrt((10_000 + near.needed_uses) / 10_000 * 1.01)
    assert judged(estimate(difference=0.06, se_null=se, se_free=se))["time"].verdict == "worse"


def test_too_few_errors_hide_the_size_of_the_difference_but_not_the_difference() -> None:
    few = rate(0.0, 0.04, 0.004, uses_a=1000, uses_b=110, pooled=0.004)
    judgment = judged(few)["errors"]
    assert (judgment.verdict, judgment.lower, judgment.upper) == ("worse", None, None)
    assert verdict_sentences.difference(judgment) == "it fails more often, and by how much is not known yet"
    same = judged(rate(0.0001, 0.0001, 0.0001, uses_b=200))["errors"]
    assert (same.verdict, same.lower) == ("not known", None)
    assert same.needed_uses is not None


def test_without_any_error_the_rates_are_the_same_once_a_rate_of_the_margin_is_refuted() -> None:
    # (1 - 0.01)^n <= 0.05 / 7 from n = 492 on.
    for uses, verdict, needed in ((491, "not known", 4), (492, "same", None)):
        row = rate(0.0, 0.0, 0.0, uses_a=9000, uses_b=uses)
        judgment = judged(row, uses=1000)["errors"]
        assert judgment.verdict == verdict
        assert (judgment.needed_uses is None) is (needed is None)
        assert needed is None or (judgment.needed_uses or 0) <= needed


def test_equal_scores_of_all_uses_are_the_same() -> None:
    row = estimate("score", value_a=1.0, value_b=1.0, se_null=0.0, se_free=0.0, pooled=1.0)
    assert judged(row)["score"].verdict == "same"


def test_costs_are_compared_as_a_ratio_of_averages() -> None:
    row = estimate(
        "cost", value_a=0.010, value_b=0.012, difference=0.002, se_null=0.0001, se_free=0.00012, pooled=0.011
    )
    cost = judged(row)["cost"]
    assert cost.difference == pytest.approx(math.log(1.2))
    assert cost.lower is not None
    assert cost.verdict == "worse"
    free = judged(estimate("cost", value_a=0.0, value_b=0.0, pooled=0.0, se_null=0.0, se_free=0.0))["cost"]
    assert (free.difference, free.verdict) == (None, "not known")


@pytest.mark.parametrize(
    ("average", "scale"),
    [
        (0.0, 1),
        (0.7, 1),
        (-1.0, 1),
        (1.01, 5),
        (-4.2, 5),
        (5.5, 10),
        (10.0, 10),
        (10.1, 100),
        (-1e9, 1e9),
        (999.0, 1000),
    ],
)
def test_the_scale_of_scores_is_the_next_usual_one(average: float, scale: float) -> None:
    assert margins.score_scale(average) == scale
    assert margins.default("score", average) == pytest.approx(0.02 * scale)


def test_scores_of_a_billion_have_an_interval() -> None:
    row = estimate("score", value_a=-1e9, value_b=1e9, difference=2e9, se_null=1e7, se_free=1e7, pooled=0.0)
    assert judged(row)["score"].verdict == "better"


VERDICTS: list[tuple[dict[str, str], bool, str]] = [
    ({"errors": "worse", "time": "better"}, False, "worse"),
    ({"errors": "same", "time": "better"}, False, "better"),
    ({"errors": "not known", "time": "better"}, False, "better"),
    ({"errors": "same", "time": "same"}, False, "same"),
    ({"errors": "same", "time": "not known"}, False, "not known"),
    ({"errors": "worse", "time": "better"}, True, "worse"),
    ({"errors": "same", "time": "better"}, True, "not known"),
    ({"errors": "same", "time": "same"}, True, "not known"),
    ({}, False, "not known"),
]


@pytest.mark.parametrize(("verdicts", "has_alarm", "whole"), VERDICTS)
def test_the_verdict_on_the_whole(verdicts: dict[str, str], has_alarm: bool, whole: str) -> None:
    judgments = [
        Judgment(metric, 500, 500, 1.0, 1.0, 0.0, None, None, 0.1, verdict, None)
        for metric, verdict in verdicts.items()
    ]
    # A metric without values does not count.
    judgments.append(Judgment("score", 0, 0, None, None, None, None, None, 0.1, "not known", None))
    assert experiments.whole_verdict(judgments, has_alarm=has_alarm) == whole


def test_the_share_with_the_most_unlikely_traffic_decides() -> None:
    rows = [
        estimate("traffic", share=1000, difference=-0.4, se_null=0.3),
        estimate("traffic", share=2500, difference=-0.35, se_null=0.02),
        estimate("traffic", share=5000, difference=None, se_null=None),
        estimate("time", difference=9.0),
    ]
    traffic = experiments.check_traffic(rows)
    assert (traffic.share, traffic.has_alarm) == (2500, True)
    assert experiments.check_traffic([]) == Traffic(None, None, has_alarm=False)


@pytest.mark.parametrize(("out_of_place", "uses", "expected"), [(2, 97, False), (1, 99, False), (2, 98, True)])
def test_more_than_one_use_in_a_hundred_out_of_place_is_noticed(out_of_place: int, uses: int, expected: bool) -> None:
    assert experiments.is_out_of_place(out_of_place, uses) is expected


def test_shares_are_judged_one_by_one_with_the_margins_of_the_whole() -> None:
    rows = [
        estimate("time", difference=0.3),
        estimate("time", share=5000, difference=0.1),
        estimate("time", share=1000, difference=0.4),
    ]
    whole = experiments.judge(rows, {"time": 0.2}, 10_000)
    shares = experiments.judge_shares(rows, whole, 10_000)
    assert [share for share, _ in shares] == [1000, 5000]
    assert [judgments[1].difference for _, judgments in shares] == [0.4, 0.1]
    assert {judgments[1].margin for _, judgments in shares} == {0.2}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "Nothing is known yet: no uses were recorded while both versions were served."),
        (
            [rate(0.02, 0.0, 0.1, uses_b=41)],
            "Nothing is known yet: version 3 has 41 uses, and a verdict takes at least 100.",
        ),
        (
            [rate(0.02, 0.02, 0.001), estimate("time", difference=-0.145, se_null=0.014, se_free=0.014)],
            "Version 3 is better: it is 9 to 18% faster. Nothing is worse.",
        ),
        (
            [rate(0.02, 0.06, 0.003), estimate("time", difference=-0.2), estimate("first", difference=0.2)],
            (
                "Version 3 is worse: its error rate is 2.9 to 5.1 points higher and its first token is 18 to 27% later."
                " But it is 15 to 21% faster."
            ),
        ),
        (
            [rate(0.02, 0.06, 0.003)],
            "Version 3 is worse: its error rate is 2.9 to 5.1 points higher. Nothing is better.",
        ),
        (
            [rate(0.02, 0.02, 0.005, units_b=8), estimate("time", units_a=12, units_b=8)],
            "Nothing is known yet: the uses of version 3 come from 8 groups of units, and a verdict takes at least 30.",
        ),
        ([rate(0.02, 0.02, 0.0001), estimate("time")], "Versions 2 and 3 are the same: no difference that matters."),
        (
            [rate(0.02, 0.02, 0.005), estimate("time")],
            "It is not known yet whether version 3 is better or worse. No difference that matters in time.",
        ),
        (
            [rate(0.02, 0.02, 0.005), rate(0.01, 0.005, 1e-4, "cost")],
            "Version 3 is better: it costs 47 to 52% less. Nothing is worse. Not known yet: errors.",
        ),
    ],
)  # fmt: skip
def test_a_sentence_needs_no_statistics(rows: list[Estimate], expected: str) -> None:
    judgments = experiments.judge(rows, {}, 10_000)
    verdict = experiments.whole_verdict(judgments)
    assert verdict_sentences.sentence(2, 3, *uses_of(judgments), judgments, verdict, NO_ALARM) == expected


def test_with_an_alarm_about_the_traffic_nothing_is_better() -> None:
    judgments = experiments.judge([rate(0.02, 0.02, 0.0001), estimate(difference=-0.3)], {}, 10_000)
    alarm = Traffic(-0.31, 1000, has_alarm=True)
    verdict = experiments.whole_verdict(judgments, has_alarm=True)
    sentence = verdict_sentences.sentence(2, 3, *uses_of(judgments), judgments, verdict, alarm)
    assert sentence == "Nothing is decided: version 3 gets 31% fewer uses than its share."


@pytest.mark.parametrize(("number", "text"), [(1, "1"), (12, "12"), (121, "130"), (9001, "9,100"), (9100, "9,100")])
def test_needed_uses_are_rounded_up(number: int, text: str) -> None:
    assert verdict_sentences.about(number) == text
