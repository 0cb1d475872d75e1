"""The curves of a report: the numbers of each step of a period, and those of each version, from sums of cells. Pure.

What was not reported is None and never zero. Averages, times and scores follow docs/statistics.md.
"""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules import statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    # Returns the prices in dollars per token of a model in a price tier, in a cell; None without a price.
    TokenPrice = Callable[[str, int, int], Mapping[str, float] | None]


class CellSums(Record):
    """Sums over the uses of one version in one cell, with the same model and price tier.

    `place` is the number of the cell, from 0. `good_…` covers successful uses only, and the others cover all: `with_…`
    counts the uses that reported a number. `cache_read` and `cache_write` are None if no use reported them.
    """

    name: str
    version: int
    place: int
    model: str | None
    price_tier: int
    uses: int
    errors: int | None
    good_with_input: int
    good_input: float
    good_with_output: int
    good_output: float
    with_tokens: int
    input: float
    output: float
    cache_read: float | None
    cache_write: float | None
    with_score: int
    score: float


class CellHistogram(Record):
    """The response times of the successful uses of one version in one cell.

    `buckets` and `counts` are those of `measurements.Histogram`. `fastest` and `slowest` are in milliseconds.
    """

    name: str
    version: int
    place: int
    buckets: Sequence[int]
    counts: Sequence[int]
    fastest: float
    slowest: float


class Numbers(Record):
    """The numbers of the uses of a step, a version or a period.

    Times are in milliseconds, `cost` and `cache_saved` in US dollars. Tokens are averages of successful uses. A number
    is None if no use reported it, and an amount also if the price of any use is not known: then `is_unpriced` is True.
    `cache_hits` is the part of the input tokens that was read from a cache.
    """

    uses: int = 0
    errors: int = 0
    p50: float | None = None
    p95: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    cost: float | None = None
    priced_uses: int = 0
    is_unpriced: bool = False
    cache_hits: float | None = None
    cache_saved: float | None = None
    score: float | None = None
    scored: int = 0

    @property
    def error_rate(self) -> float | None:
        """The part of the uses that failed; None without uses."""
        return self.errors / self.uses if self.uses else None

    @property
    def cost_per_use(self) -> float | None:
        """The average cost of a use that reported tokens; None without one."""
        return None if self.cost is None or not self.priced_uses else self.cost / self.priced_uses


class PromptSeries(Record):
    """The numbers of one prompt: of each step in order, of each version with uses, and of the whole period.

    `early_times` are the response times in the first cells, as many as `series` was asked for.
    """

    steps: Sequence[Numbers]
    versions: Mapping[int, Numbers]
    whole: Numbers
    early_times: Times


class Times:
    """A histogram that grows: counts by bucket, and the fastest and slowest time in milliseconds."""

    __slots__ = ("_is_own", "counts", "fastest", "slowest")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.fastest = float("inf")
        self.slowest = 0.0
        self._is_own = False

    def add(self, counts: dict[int, int], fastest: float, slowest: float) -> None:
        """Add another histogram. The first one is copied when there is a second."""
        if not self.counts:
            self.counts = counts
        else:
            if not self._is_own:
                self.counts, self._is_own = dict(self.counts), True
            mine = self.counts
            get = mine.get
            for bucket, count in counts.items():
                mine[bucket] = get(bucket, 0) + count
        self.fastest = min(self.fastest, fastest)
        self.slowest = max(self.slowest, slowest)

    def percentile(self, percent: int) -> float | None:
        """Return a percentile in milliseconds; None if the histogram is empty."""
        return statistics.percentile(self.counts, percent, self.fastest, self.slowest)


def series(
    sums: Iterable[CellSums],
    histograms: Iterable[CellHistogram],
    steps: int,
    cells_per_step: int,
    early_cells: int,
    price: TokenPrice,
) -> dict[str, PromptSeries]:
    """Return the numbers of each prompt with uses or late scores, by name.

    `steps` is the number of steps in the period, and each has `cells_per_step` cells.
    """
    by_name: dict[str, _PromptCells] = {}
    for cell in sums:
        parts = by_name.get(cell.name)
        if parts is None:
            parts = by_name[cell.name] = _PromptCells()
        parts.cells.append(cell)
        parts.steps.setdefault(cell.place // cells_per_step, []).append(cell)
        parts.versions.setdefault(cell.version, []).append(cell)
    for row in histograms:
        parts = by_name.get(row.name)
        if parts is None:
            continue
        counts = dict(zip(row.buckets, row.counts, strict=True))
        early_or_late = parts.early_times if row.place < early_cells else parts.late_times
        for times in (
            early_or_late,
            parts.step_times.setdefault(row.place // cells_per_step, Times()),
            parts.version_times.setdefault(row.version, Times()),
        ):
            times.add(counts, row.fastest, row.slowest)
    return {name: parts.series(steps, price) for name, parts in by_name.items()}


class _PromptCells:
    """The cells and histograms of one prompt, by step and by version."""

    __slots__ = ("cells", "early_times", "late_times", "step_times", "steps", "version_times", "versions")

    def __init__(self) -> None:
        self.cells: list[CellSums] = []
        self.steps: dict[int, list[CellSums]] = {}
        self.versions: dict[int, list[CellSums]] = {}
        self.step_times: dict[int, Times] = {}
        self.version_times: dict[int, Times] = {}
        self.early_times = Times()
        self.late_times = Times()

    def series(self, steps: int, price: TokenPrice) -> PromptSeries:
        whole = Times()
        for times in (self.early_times, self.late_times):
            if times.counts:
                whole.add(times.counts, times.fastest, times.slowest)
        nothing = Times()
        return PromptSeries(
            [numbers(self.steps.get(step, ()), self.step_times.get(step, nothing), price) for step in range(steps)],
            {
                version: numbers(cells, self.version_times.get(version, nothing), price)
                for version, cells in self.versions.items()
            },
            numbers(self.cells, whole, price),
            self.early_times,
        )


_NOTHING = Numbers()


def numbers(cells: Sequence[CellSums], times: Times, price: TokenPrice) -> Numbers:
    """Return the numbers of some cells with the histogram of their times."""
    if not cells:
        return _NOTHING
    uses = errors = with_input = with_output = with_score = priced = 0
    good_input = good_output = score = all_input = read = cost = saved = 0.0
    reported_read = reported_cache = is_unpriced = is_cache_unpriced = False
    for cell in cells:
        uses += cell.uses
        errors += cell.errors or 0
        with_input += cell.good_with_input
        good_input += cell.good_input
        with_output += cell.good_with_output
        good_output += cell.good_output
        with_score += cell.with_score
        score += cell.score
        all_input += cell.input
        if cell.cache_read is not None:
            reported_read = True
            read += cell.cache_read
        if cell.with_tokens:
            priced += cell.with_tokens
            cached = bool(cell.cache_read or cell.cache_write)
            reported_cache |= cached
            tokens = None if cell.model is None else price(cell.model, cell.price_tier, cell.place)
            if tokens is None:
                is_unpriced = True
                is_cache_unpriced |= cached
                continue
            amount, without_cache = _amounts(cell, tokens)
            cost += amount
            saved += without_cache - amount
    return Numbers(
        uses,
        errors,
        times.percentile(50),
        times.percentile(95),
        good_input / with_input if with_input else None,
        good_output / with_output if with_output else None,
        None if is_unpriced or not priced else cost,
        priced,
        is_unpriced,
        read / all_input if reported_read and all_input else None,
        saved if reported_cache and not is_cache_unpriced else None,
        score / with_score if with_score else None,
        with_score,
    )


def _amounts(cell: CellSums, tokens: Mapping[str, float]) -> tuple[float, float]:
    """Return the cost of a cell in dollars, and what it would be without a cache."""
    read, write = cell.cache_read or 0, cell.cache_write or 0
    every_input = max(cell.input, read + write)
    return (
        statistics.tokens_cost(every_input, cell.output, read, write, tokens),
        statistics.tokens_cost(every_input, cell.output, 0, 0, tokens),
    )
