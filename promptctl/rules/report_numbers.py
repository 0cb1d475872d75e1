"""Everything that a report of prompts shows about uses, from the rows that `store.report_usage` reads. Pure."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules import usage_series, worsenings
from promptctl.rules.report_periods import DAY, HOUR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.rules.report_periods import ReportPeriod
    from promptctl.rules.usage_series import CellHistogram, CellSums, PromptSeries, TokenPrice
    from promptctl.rules.worsenings import Findings


class ReportNumbers(Record):
    """The curves of prompts by name, and what got worse in the last 24 hours."""

    series: Mapping[str, PromptSeries]
    findings: Findings


def recent_cells(period: ReportPeriod) -> tuple[int, int] | None:
    """Return the begin and the end of the hours to read beside the days of a period; None if the cells are hours."""
    return None if period.cell == HOUR else (period.recent_begin // DAY * DAY, period.recent_end)


def numbers(
    period: ReportPeriod,
    sums: Sequence[CellSums],
    histograms: Sequence[CellHistogram],
    hours: tuple[Sequence[CellSums], Sequence[CellHistogram]],
    price: TokenPrice,
) -> ReportNumbers:
    """Return the numbers of a report. `hours` are the cells of `recent_cells`. `price` takes a place in days or hours.

    The places of `sums` and of `hours` count from the begin of the period and of the recent cells.
    """
    span = recent_cells(period)
    # The days that end before the last 24 hours begin.
    early = 0 if span is None else max(span[0] - period.begin, 0) // period.cell
    series = usage_series.series(sums, histograms, period.steps, period.step // period.cell, early, price)
    parts: dict[str, _ComparedCells] = {}
    if span is None:
        cells, times, begin = sums, histograms, period.begin
        hour_price = price
    else:
        (cells, times), begin = hours, span[0]

        def price_of_hour(model: str, tier: int, place: int, /) -> Mapping[str, float] | None:
            return price(model, tier, early + place * HOUR // period.cell)

        hour_price = price_of_hour

        for cell in sums:
            if cell.place < early:
                parts.setdefault(cell.name, _ComparedCells()).days.append(cell)
        for name, part in parts.items():
            part.take_early(series[name].early_times)
    # The first of the last 24 hours.
    edge = (period.recent_begin - begin) // HOUR
    for cell in cells:
        of_prompt = parts.setdefault(cell.name, _ComparedCells())
        (of_prompt.hours if cell.place < edge else of_prompt.recent).append(cell)
    for row in times:
        if row.name in parts:
            counts = dict(zip(row.buckets, row.counts, strict=True))
            parts[row.name].times[row.place >= edge].add(counts, row.fastest, row.slowest)
    windows = [part.windows(name, price, hour_price) for name, part in sorted(parts.items())]
    return ReportNumbers(series, worsenings.find(windows))


class _ComparedCells:
    """The cells of one prompt: whole days before the last 24 hours, hours before them, and the last 24 hours.

    `times` has the response times before the last 24 hours, and those in them.
    """

    __slots__ = ("days", "hours", "recent", "times")

    def __init__(self) -> None:
        self.days: list[CellSums] = []
        self.hours: list[CellSums] = []
        self.recent: list[CellSums] = []
        self.times = (usage_series.Times(), usage_series.Times())

    def take_early(self, times: usage_series.Times) -> None:
        """Begin the response times before the last 24 hours with those of whole days."""
        if times.counts:
            self.times[0].add(times.counts, times.fastest, times.slowest)

    def windows(self, name: str, day_price: TokenPrice, hour_price: TokenPrice) -> worsenings.Windows:
        before, recent = self.times
        by_day: dict[int, list[CellSums]] = {}
        for cell in self.days:
            by_day.setdefault(cell.place, []).append(cell)
        nothing = usage_series.Times()
        return worsenings.Windows(
            name,
            _joined(
                usage_series.numbers(self.days, before, day_price), usage_series.numbers(self.hours, before, hour_price)
            ),
            before.counts,
            usage_series.numbers(self.recent, recent, hour_price),
            recent.counts,
            [usage_series.numbers(by_day[day], nothing, day_price) for day in sorted(by_day)],
        )


def _joined(first: usage_series.Numbers, second: usage_series.Numbers) -> usage_series.Numbers:
    """Return the numbers of two times together, as far as they are compared: the percentiles are of both already."""
    if not (first.uses or first.scored) or not (second.uses or second.scored):
        return first if first.uses or first.scored else second
    scored = first.scored + second.scored
    is_unpriced = first.is_unpriced or second.is_unpriced
    return usage_series.Numbers(
        uses=first.uses + second.uses,
        errors=first.errors + second.errors,
        p50=first.p50,
        p95=first.p95,
        cost=None if is_unpriced else (first.cost or 0) + (second.cost or 0),
        priced_uses=first.priced_uses + second.priced_uses,
        is_unpriced=is_unpriced,
        score=((first.score or 0) * first.scored + (second.score or 0) * second.scored) / scored if scored else None,
        scored=scored,
    )
