"""The course of a difference over time as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from promptctl.output import course_chart

TIMES = [f"2026-11-12T0{hour}:00:00Z" for hour in range(4)]


def chart(*points: tuple[float | None, float | None, float | None], metric: str = "errors") -> ElementTree.Element:
    """Return the chart of these differences and ends of intervals, an hour apart, with a tolerance of 1 point."""
    text = course_chart.text(
        metric,
        [(time, *point) for time, point in zip(TIMES, points, strict=False)],
        0.01,
        [(TIMES[0], "10%"), ("2026-11-11T00:00:00Z", "5%")],
    )
    return ElementTree.fromstring(text)


def places(element: ElementTree.Element | None) -> list[tuple[float, float]]:
    assert element is not None
    return [(float(x), float(y)) for x, y in re.findall(r"(\S+),(\S+)", element.attrib["points"])]


def test_the_line_has_a_point_for_each_difference_and_the_ribbon_two_for_each_interval() -> None:
    svg = chart((0.0, None, None), (0.005, -0.02, 0.03), (0.004, -0.01, 0.018))
    line, ribbon = places(svg.find("polyline")), places(svg.find("polygon"))
    assert (len(line), len(ribbon)) == (3, 4)
    # Time goes to the right, and a larger difference is higher.
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert line[0][1] > line[2][1] > line[1][1]
    assert {x for x, _ in ribbon} == {x for x, _ in line[1:]}


def test_what_is_outside_of_the_chart_is_drawn_at_its_edge() -> None:
    svg = chart((0.5, -3.0, 3.0), (0.1, -1.0, 1.0))
    height, width = float(svg.attrib["height"]), float(svg.attrib["width"])
    for x, y in [*places(svg.find("polyline")), *places(svg.find("polygon"))]:
        assert 0 < x < width
        assert 0 < y < height
    # A change of the share before the first tick too.
    assert all(0 < float(mark.attrib["x1"]) < width for mark in svg.findall("line[@class='mark-a']"))


def test_without_intervals_there_is_no_ribbon() -> None:
    assert chart((0.0, None, None), (0.001, None, None)).find("polygon") is None


def test_the_tolerance_is_labeled_in_the_unit_of_the_metric() -> None:
    def labels(metric: str) -> list[str | None]:
        return [text.text for text in chart((0.0, None, None), (0.0, None, None), metric=metric).findall("text")]

    assert {"+1 pt", "0", "-1 pt"} <= {*labels("errors")}
    assert {"+1.01%", "-0.995%"} <= {*labels("time")}
    assert {"+0.01", "-0.01"} <= {*labels("score")}


def test_the_line_has_gaps_and_a_lone_difference_is_a_dot() -> None:
    svg = chart((0.001, None, None), (0.002, None, None), (None, None, None), (0.003, None, None))
    assert [len(places(line)) for line in svg.findall("polyline")] == [2]
    [dot] = svg.findall("circle")
    assert float(dot.attrib["cx"]) > places(svg.find("polyline"))[1][0]


def test_a_box_reaches_from_its_begin_to_its_end_over_its_interval() -> None:
    span = (TIMES[0], TIMES[3])
    boxes = [(TIMES[0], TIMES[1], -0.005, 0.015), (TIMES[1], TIMES[3], 0.005, 9.0)]
    text = course_chart.text("errors", [], 0.01, [], boxes=boxes, span=span, description='"B" <minus> A')
    svg = ElementTree.fromstring(text)
    assert svg.attrib["aria-label"] == '"B" <minus> A'
    band, *drawn = [
        tuple(float(rectangle.attrib[name]) for name in ("x", "y", "width", "height"))
        for rectangle in svg.findall("rect")
    ]
    (left, top, width, height), (next_left, next_top, next_width, next_height) = drawn
    assert next_left == pytest.approx(left + width, abs=0.2)
    assert next_width == pytest.approx(2 * width, abs=0.2)
    assert left + width + next_width == pytest.approx(band[0] + band[2], abs=0.2)
    # The band is two points high. The second box ends at the edge of the chart.
    assert height == pytest.approx(band[3], abs=0.2)
    assert next_top < top < next_top + next_height < top + height
    assert next_height == pytest.approx(band[3] * 3.5 / 2, abs=0.2)


def test_a_label_that_would_cover_another_is_left_out() -> None:
    changes = [(TIMES[0], "1%"), ("2026-11-12T00:01:00Z", "5%"), (TIMES[2], "50%")]
    svg = ElementTree.fromstring(course_chart.text("errors", [], 0.01, changes, span=(TIMES[0], TIMES[3])))
    assert len(svg.findall("line[@class='mark-a']")) == 3
    assert [text.text for text in svg.findall("text") if (text.text or "").endswith("%")] == ["1%", "50%"]
