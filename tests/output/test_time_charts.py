"""The curves of reports: their paths, gaps, marks and labels, as XML and as pixels."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from promptctl.output import html_page, lane_chart, report_style, report_words, time_charts
from promptctl.output.lane_chart import Segment
from promptctl.output.time_charts import Line, Mark
from tests import browsers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def paths(svg: str) -> dict[str, str]:
    """Return the paths of a chart by class."""
    return {one.attrib["class"]: one.attrib["d"] for one in ElementTree.fromstring(svg).iter("path")}


def panel(*lines: Line) -> str:
    return time_charts.panel(lines, lambda value: f"{value:g}", 'a "description" <b>')


@pytest.mark.parametrize(
    ("values", "line"),
    [
        # A value is as wide as its step, so nothing rises before the step that raised it.
        ([1.0, 2.0, 1.0], "M0 125h2V0h2V125h2"),
        ([None, None], ""),
        ([5.0], "M0 0h2"),
        # A gap of a line is a gap.
        ([1.0, 1.0, None, 1.0, None, 1.0, 1.0], "M0 0h4M6 0h2M10 0h4"),
        ([0.0, 0.0], "M0 250h4"),
    ],
)
def test_a_line_has_steps_and_gaps(values: Sequence[float | None], line: str) -> None:
    assert paths(panel(Line("", "solid", values))).get("line", "") == line


def test_an_area_has_zeros_and_joined_steps() -> None:
    assert paths(panel(Line("", "area", [0.0, 4.0, 4.0, 2.0, 0.0])))["area"] == "M0 250h2V0h4V125h2V250h2V250z"


def test_an_axis_has_zero_and_a_round_end() -> None:
    texts = {
        top: [text.text for text in ElementTree.fromstring(panel(Line("", "solid", [top, top]))).iter("text")]
        for top in (0.0, 0.07, 1.2, 100.0, 101.0, -3.4)
    }
    assert texts == {0.0: ["1"], 0.07: ["0.08"], 1.2: ["1.5"], 100.0: ["100"], 101.0: ["150"], -3.4: ["0", "-4"]}


def test_labels_at_the_end_do_not_cover_each_other() -> None:
    svg = panel(
        Line("P95", "solid", [5.0, 5.0]), Line("P50", "dashed", [5.0, 5.0]), Line("none", "solid", [None, None])
    )
    labels = [
        (text.text, float(text.attrib["y"]))
        for text in ElementTree.fromstring(svg).iter("text")
        if text.attrib["class"] == "name"
    ]
    assert [label for label, _ in labels] == ["P95", "P50"]
    assert labels[1][1] - labels[0][1] >= 13
    assert 'aria-label="a &quot;description&quot; &lt;b&gt;"' in svg


def test_marks_merge_where_their_numbers_would_cover_each_other() -> None:
    close = [Mark(0.5 + place / 10_000, place + 1) for place in range(1000)]
    [merged] = time_charts.merged(close, time_charts.WIDE)
    assert (merged.number, merged.moves) == (1, 1000)
    apart = [Mark(0.1, 1), Mark(0.2, 2), Mark(0.21, 3, 7), Mark(0.9, 10)]
    assert [(mark.number, mark.moves) for mark in time_charts.merged(apart, time_charts.WIDE)] == [
        (1, 1), (2, 8), (10, 1),
    ]  # fmt: skip
    assert time_charts.merged([], time_charts.WIDE) == []
    # A clock was set, so the second of three moves lies elsewhere.
    [two, _] = time_charts.merged([Mark(0.5, 1), Mark(0.9, 2), Mark(0.501, 3)], time_charts.WIDE)
    assert (two.moves, two.is_series) == (2, False)
    [all_three] = time_charts.merged([Mark(0.5, 1), Mark(0.502, 2), Mark(0.501, 3)], time_charts.WIDE)
    assert (all_three.moves, all_three.is_series, all_three.last) == (3, True, 3)
    # With a comparison of each mark to all marks of its group, these would take an hour.
    many = [Mark(0.5 + place / 10_000_000, place + 1) for place in range(20_000)]
    assert [(mark.number, mark.moves) for mark in time_charts.merged(many, time_charts.WIDE)] == [(1, 20_000)]
    lane = ElementTree.fromstring(lane_chart.text([Segment(0, 1, ["@1"], "odd")], apart, "lane"))
    assert [text.text for text in lane.iter("text") if text.attrib["class"] == "mark w"] == ["1", "2-9", "10"]
    # A thousand lines in a day are one or two lines.
    assert time_charts.marks(close[:10], []).count("v1") <= 2


def test_words_of_numbers() -> None:
    assert [report_words.count(number) for number in (0, 7, 0.25, 2.4, 12_040, 2_500_000, 3e9)] == [
        "0", "7", "0.25", "2.4", "12,040", "2.5M", "3G",
    ]  # fmt: skip
    assert [report_words.percent(part) for part in (0, 0.0004, 0.025, 0.0995, 0.12, 0.9999, 1)] == [
        "0%", "0.04%", "2.5%", "10%", "12%", "100%", "100%",
    ]  # fmt: skip
    assert [report_words.money(dollars) for dollars in (0, 0.000013, 0.0042, 12.4, 1e-9)] == [
        "$0.00", "$0.000013", "$0.0042", "$12.40", "<$0.0000001",
    ]  # fmt: skip


def test_the_lane_shows_the_share_and_a_label_that_fits() -> None:
    split = ["@3 | @4 10%", "@4 10%", "10%"]
    segments = [
        Segment(0, 0.5, ["@3"], "odd"), Segment(0.5, 0.59, split, "odd", 0.1), Segment(0.59, 0.98, split, "even", 0.5),
        Segment(0.98, 1, ["@4"], "even"),
    ]  # fmt: skip
    svg = lane_chart.text(segments, [], "lane")
    lane = ElementTree.fromstring(svg)
    # A tenth of the height is at least three pixels, and half of it is half.
    assert paths(svg)["part"] == "M500 20h90v-3h-90zM590 20h390v-10h-390z"
    texts = [(text.text, text.attrib["class"]) for text in lane.iter("text")]
    assert texts == [
        ("@3", "in"), ("@4 10%", "in w"), ("10%", "in n"), ("@3 | @4 10%", "in"), ("@4 ↑", "last"),
    ]  # fmt: skip
    assert lane.attrib["height"] == "55"
    assert lane_chart.text(segments[:1], [], "lane").count('height="42"') == 1


@pytest.mark.skipif(browsers.PROGRAM is None, reason="Chromium is not installed")
def test_a_chart_as_a_picture(tmp_path: Path) -> None:
    """The pixels: an area fills its lower half, a line ends at its gap, and a mark goes through all panels."""
    area = panel(Line("", "area", [1.0] * 5 + [2.0] * 5))
    line = panel(Line("", "solid", [1.0] * 5 + [None] * 5))
    body = (
        f'{report_style.TEXT}<div class="panels">{line}{area}{time_charts.marks([Mark(0.75, 1)], [])}</div>'
        "<style>body { margin: 0; padding: 0; max-width: none; }</style>"
    )
    page = tmp_path / "page.html"
    page.write_text(html_page.text("chart", body), encoding="utf-8")
    with browsers.Browser(tmp_path / "profile") as browser:
        browser.open(page.as_uri(), width=800, scheme="light")
        picture = Picture(browser.screenshot())
    background = (255, 255, 255)
    assert picture.width == 800
    # The area: half as high on the left as on the right.
    assert picture.at(200, 90) == background
    assert picture.at(200, 126) != background
    assert picture.at(500, 90) == picture.at(200, 126)
    # The line: at the top of its panel up to the end of the fifth step, of ten.
    assert (picture.at(300, 0), picture.at(300, 30)) == ((11, 99, 197), background)
    assert (picture.at(390, 0), picture.at(500, 0)) == ((11, 99, 197), background)
    # The mark is dotted: some of its pixels are drawn in each panel, and none beside it.
    for top in (0, 72):
        of_mark, beside = ([picture.at(x, y) for y in range(top + 20, top + 70)] for x in (600, 610))
        assert 10 < sum(one != other for one, other in zip(of_mark, beside, strict=True)) < 45


class Picture:
    """A PNG with eight bits a channel, as Chromium writes it."""

    def __init__(self, data: bytes) -> None:
        self.width, self.height, depth, kind = struct.unpack(">IIBB", data[16:26])
        assert (depth, kind) in ((8, 2), (8, 6))
        self._channels = 3 if kind == 2 else 4
        place, parts = 8, b""
        while place < len(data):
            (size,) = struct.unpack(">I", data[place : place + 4])
            if data[place + 4 : place + 8] == b"IDAT":
                parts += data[place + 8 : place + 8 + size]
            place += size + 12
        self._rows = self._unfiltered(zlib.decompress(parts))

    def at(self, x: int, y: int) -> tuple[int, int, int]:
        """Return the color of a pixel."""
        row = self._rows[y]
        red, green, blue = row[x * self._channels : x * self._channels + 3]
        return red, green, blue

    def _unfiltered(self, data: bytes) -> list[bytearray]:
        rows: list[bytearray] = []
        size, channels = self.width * self._channels, self._channels
        above = bytearray(size)
        for y in range(self.height):
            begin = y * (size + 1)
            kind, row = data[begin], bytearray(data[begin + 1 : begin + 1 + size])
            for x in range(size):
                left = row[x - channels] if x >= channels else 0
                corner = above[x - channels] if x >= channels else 0
                row[x] = (row[x] + _predicted(kind, left, above[x], corner)) & 255
            rows.append(row)
            above = row
        return rows


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    """Return what a filter of PNG predicts for a byte."""
    if kind == 4:
        estimate = left + above - corner
        return min((left, above, corner), key=lambda one: abs(estimate - one))
    return (0, left, above, (left + above) // 2)[kind]
