"""The numbers of a comparison as people read them."""

from __future__ import annotations

import math

import pytest

from promptctl.output import charts, comparison_numbers, html_page, time_text
from promptctl.rules.experiments import Judgment


def judgment(metric: str, difference: float, lower: float | None, upper: float | None, margin: float) -> Judgment:
    return Judgment(metric, 500, 500, 1.0, 1.0, difference, lower, upper, margin, "not known", None)


@pytest.mark.parametrize(
    ("row", "difference", "interval"),
    [
        (judgment("errors", 0.021, 0.004, 0.039, 0.01), "+2.1 points", "+0.4 to +3.9 points"),
        (judgment("errors", 0.0002, -0.0005, 0.001, 0.001), "+0.02 points", "-0.05 to +0.10 points"),
        (judgment("errors", 0.0, None, None, 0.01), "0.0 points", None),
        (judgment("time", math.log(0.86), math.log(0.81), math.log(0.92), math.log(1.1)), "-14%", "-19 to -8%"),
        (judgment("time", 0.001, -0.004, 0.006, math.log(1.1)), "+0.1%", "-0.4 to +0.6%"),
        (judgment("cost", 0.0, -60.0, 60.0, math.log(1.1)), "0%", "-100 to >+1000%"),
        (judgment("cost", 0.0, -800.0, 800.0, math.log(1.1)), "0%", "-100 to >+1000%"),
        (judgment("score", 0.02, -0.03, 0.07, 0.02), "+0.02", "-0.03 to +0.07"),
        (judgment("score", 2e9, 1e9, 3e9, 2e7), "+2,000,000,000", "+1,000,000,000 to +3,000,000,000"),
    ],
)
def test_differences_have_as_many_digits_as_the_margin(row: Judgment, difference: str, interval: str | None) -> None:
    assert comparison_numbers.difference(row) == difference
    assert comparison_numbers.interval(row) == interval


@pytest.mark.parametrize(
    ("metric", "number", "text"),
    [
        ("errors", 0.0, "0%"), ("errors", 0.0042, "0.42%"), ("slow", 0.0421, "4.2%"), ("time", 1240.0, "1.24 s"),
        ("first", 350.0, "350 ms"), ("cost", 0.0051, "$0.0051"), ("output", 212.4, "212"), ("score", 0.713, "0.71"),
        ("score", -1e9, "-1000000000"), ("time", None, None),
    ],
)  # fmt: skip
def test_values_have_their_units(metric: str, number: float | None, text: str | None) -> None:
    assert comparison_numbers.value(metric, number) == text


def test_slow_calls_name_their_limit() -> None:
    assert comparison_numbers.label("slow", [5000]) == "slow (>5 s)"
    assert comparison_numbers.label("slow", [500]) == "slow (>500 ms)"
    assert comparison_numbers.label("slow", [5000, 10000]) == "slow calls"
    assert comparison_numbers.label("first", [5000]) == "first token"


def test_json_has_ratios_and_fractions() -> None:
    assert comparison_numbers.document_value("time", math.log(1.14)) == 0.14
    assert comparison_numbers.document_value("errors", 0.021) == 0.021
    assert comparison_numbers.document_value("errors", None) is None
    assert (comparison_numbers.document_value("cost", 1e9) or 0) > 1e300


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7199, "120 minutes"),
        (7200, "2 hours"), (172_800, "2 days"), (86_400 * 14, "2 weeks"),
    ],
)  # fmt: skip
def test_spans_of_time_have_one_unit(seconds: float, text: str) -> None:
    assert time_text.span(seconds) == text


def test_an_interval_beyond_the_chart_ends_in_an_arrow() -> None:
    assert charts.interval(0.5, -1.0, 2.0, "not known", "x").count("polygon") == 0
    assert charts.interval(0.5, -1.0, 20.0, "not known", "x").count("polygon") == 1
    assert charts.interval(0.5, -9.0, 20.0, "not known", "x").count("polygon") == 2
    # Both ends are beyond the same edge: no arrow points back.
    assert charts.interval(15.0, 9.0, 20.0, "worse", "x").count("polygon") == 1
    assert "<rect" in charts.interval(0.0, None, None, "same", "x")


def test_histograms_without_times_are_no_chart() -> None:
    assert charts.histograms({}, {}, []) == ""
    one = charts.histograms({320: 1}, {}, [("P50", 1024.0, None)])
    assert one.count("polyline") == 2
    assert "P50 1.0 s" in one


def test_texts_on_a_page_are_escaped() -> None:
    page = html_page.text('<b>"x"</b> & y', html_page.escaped("<script>alert('1')</script>"))
    assert "<title>&lt;b&gt;&quot;x&quot;&lt;/b&gt; &amp; y</title>" in page
    assert "<script" not in page
    assert "default-src 'none'" in page
