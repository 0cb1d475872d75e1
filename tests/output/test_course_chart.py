"""The course of a difference over time as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

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
