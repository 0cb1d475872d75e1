"""Margins on the command line: what is read, what is refused and how they are written."""

from __future__ import annotations

import math

import pytest

from promptctl import errors
from promptctl.rules import margins


@pytest.mark.parametrize(
    ("text", "metric", "value", "written"),
    [
        ("errors=0.5pt", "errors", 0.005, "0.5 points"),
        ("errors=1 point", "errors", 0.01, "1 point"),
        (" slow = 2.5points ", "slow", 0.025, "2.5 points"),
        ("slow=100pt", "slow", 1.0, "100 points"),
        ("time=15%", "time", math.log(1.15), "15%"),
        ("time=+15 %", "time", math.log(1.15), "15%"),
        ("first=1000%", "first", math.log(11), "1000%"),
        ("cost=.5%", "cost", math.log(1.005), "0.5%"),
        ("output=7%", "output", math.log(1.07), "7%"),
        ("score=0.05", "score", 0.05, "0.05"),
        ("score=1000000000", "score", 1e9, "1e+09"),
    ],
)
def test_margins_have_the_unit_of_their_metric(text: str, metric: str, value: float, written: str) -> None:
    assert margins.parse(text) == (metric, pytest.approx(value))
    assert margins.text(metric, value) == written


@pytest.mark.parametrize(
    "text",
    ["errors=1", "errors=1%", "errors=0pt", "errors=-1pt", "errors=101pt", "errors=nanpt", "errors=1e-3pt", "errors=pt",
     "time=15", "time=15pt", "time=0%", "time=1001%", "time=inf%", "time=1_0%", "time=1.2.3%", "time=٣%", "score=0",
     "score=-1", "score=1e3", "score=nan", "score=1000000001", "score=", "score=0.05%"],
)  # fmt: skip
def test_a_margin_in_another_unit_is_refused(text: str) -> None:
    with pytest.raises(errors.Usage) as caught:
        margins.parse(text)
    assert caught.value.code == "invalid_margin"
    name = text.partition("=")[0]
    assert caught.value.message == f'--margin "{text}" is not a margin of {name}'
    assert caught.value.hint is not None
    # The example in the hint is valid.
    margins.parse(caught.value.hint.rpartition(" ")[2])


@pytest.mark.parametrize("text", ["", "=", "latency=10%", "errors", "errors 1pt", "Errors=1pt", "\x1b=1%"])
def test_a_margin_of_no_metric_is_refused(text: str) -> None:
    with pytest.raises(errors.Usage, match="names no metric") as caught:
        margins.parse(text, "--guard")
    assert caught.value.message.startswith("--guard ")
    assert caught.value.hint == "write METRIC=MARGIN, a METRIC of errors, time, slow, first, output, cost, score"


def test_a_metric_has_one_margin() -> None:
    assert margins.parse_all(None) == {}
    assert margins.parse_all(["errors=1pt", "score=1"]) == {"errors": 0.01, "score": 1.0}
    with pytest.raises(errors.Usage, match="--margin appears twice for errors"):
        margins.parse_all(["errors=1pt", "errors=2pt"])
