"""The uses of the last minutes, added up in memory by slots of time. Pure.

A live screen reads only the uses that are new. What it has read before stays in a window of slots, and the oldest slots
are dropped as time passes. `store.recent_uses` reads the rows that are added here.
"""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules import statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Version = tuple[str, int]
    # Returns the prices of a model in a price tier in dollars per token, or None: see claude.prices.per_token.
    Prices = Callable[[str, int], Mapping[str, float] | None]

# A window has this many slots, which are also the characters of a sparkline.
SLOTS = 30


class UsesRow(Record):
    """Sums over the uses of one version in one slot that have the same model, outcome and price tier.

    `slot` is the time of the use in seconds since 1970, divided by the length of a slot. `is_settled` is False if the
    uses are read again: see `store.recent_uses`. `with_tokens` counts the uses that reported tokens. `fastest_ms`,
    `slowest_ms`, `buckets` and `counts` are about the successful uses that reported a response time, as in
    `rules.measurements`.
    """

    name: str
    version: int
    slot: int
    model: str | None
    outcome: str
    price_tier: int
    is_settled: bool
    uses: int
    with_tokens: int
    input_tokens: float | None
    output_tokens: float | None
    cache_read_tokens: float | None
    cache_write_tokens: float | None
    fastest_ms: float | None
    slowest_ms: float | None
    buckets: Sequence[int]
    counts: Sequence[int]


class TokensRow(Record):
    """The tokens of the uses of one prompt that have the same model and price tier.

    `with_tokens` counts the uses that reported tokens.
    """

    name: str
    model: str | None
    price_tier: int
    with_tokens: int
    input_tokens: float | None
    output_tokens: float | None
    cache_read_tokens: float | None
    cache_write_tokens: float | None


class UseCounts(Record):
    """The uses of one prompt in the last minutes.

    `p95_response_time_ms` is None if no successful use reported its time.
    """

    name: str
    uses: int
    errors: int
    p95_response_time_ms: float | None


class Tally:
    """Sums over uses: of a version, of a prompt, or of one slot of them."""

    __slots__ = ("counts", "errors", "fastest_ms", "outcomes", "slowest_ms", "spent", "uses", "with_tokens")

    def __init__(self) -> None:
        self.uses = 0
        self.errors = 0
        self.with_tokens = 0
        self.fastest_ms: float | None = None
        self.slowest_ms: float | None = None
        # By bucket of the response time.
        self.counts: dict[int, int] = {}
        # The uses that failed, by the name of their error.
        self.outcomes: dict[str, int] = {}
        # By model and price tier: the tokens of the input, of the output, read from and written to the cache.
        self.spent: dict[tuple[str | None, int], list[float]] = {}

    def add_row(self, row: UsesRow) -> None:
        """Add the sums of a row."""
        self.uses += row.uses
        if row.outcome != "ok":
            self.errors += row.uses
            self.outcomes[row.outcome] = self.outcomes.get(row.outcome, 0) + row.uses
        for bucket, count in zip(row.buckets, row.counts, strict=True):
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self._add_range(row.fastest_ms, row.slowest_ms)
        self.add_tokens(row)

    def add(self, other: Tally) -> None:
        """Add the sums of another tally."""
        self.uses += other.uses
        self.errors += other.errors
        self.with_tokens += other.with_tokens
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self._add_range(other.fastest_ms, other.slowest_ms)
        for key, tokens in other.spent.items():
            self._spend(key, tokens)

    def p95_ms(self) -> float | None:
        """Return the 95th percentile of the response times of successful uses in milliseconds, None without any."""
        return statistics.percentile(self.counts, 95, self.fastest_ms or 0.0, self.slowest_ms or 0.0)

    def cost_usd(self, prices: Prices) -> float | None:
        """Return the cost of the tokens in US dollars. None without tokens, and if any of them has no price."""
        if not self.with_tokens:
            return None
        total = 0.0
        for (model, tier), tokens in self.spent.items():
            price = None if model is None else prices(model, tier)
            if price is None:
                return None
            input_tokens, output_tokens, cache_read, cache_write = tokens
            total += statistics.tokens_cost(input_tokens, output_tokens, cache_read, cache_write, price)
        return total

    def add_tokens(self, row: UsesRow | TokensRow) -> None:
        """Add the tokens of a row, and not its uses."""
        self.with_tokens += row.with_tokens
        if row.with_tokens:
            tokens = (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens)
            self._spend((row.model, row.price_tier), [number or 0.0 for number in tokens])

    def _add_range(self, fastest: float | None, slowest: float | None) -> None:
        if fastest is not None:
            self.fastest_ms = fastest if self.fastest_ms is None else min(self.fastest_ms, fastest)
        if slowest is not None:
            self.slowest_ms = slowest if self.slowest_ms is None else max(self.slowest_ms, slowest)

    def _spend(self, key: tuple[str | None, int], tokens: Sequence[float]) -> None:
        before = self.spent.get(key)
        self.spent[key] = list(tokens) if before is None else [a + b for a, b in zip(before, tokens, strict=True)]


class Window:
    """The slots of the last minutes, by version."""

    def __init__(self, slot_seconds: float) -> None:
        self.slot_seconds = slot_seconds
        # Uses whose transactions have ended, and those that the next rows replace.
        self._settled: dict[int, dict[Version, Tally]] = {}
        self._unsettled: dict[int, dict[Version, Tally]] = {}
        self._newest = 0

    def add(self, rows: Iterable[UsesRow], now: float) -> None:
        """Add rows that were read at `now` (seconds since 1970), and drop slots that are too old.

        Uses that were not settled are forgotten first: the rows have them again.
        """
        self._unsettled = {}
        for row in rows:
            slots = self._settled if row.is_settled else self._unsettled
            versions = slots.setdefault(row.slot, {})
            tally = versions.get((row.name, row.version))
            if tally is None:
                tally = versions[row.name, row.version] = Tally()
            tally.add_row(row)
        self.expire(now)

    def expire(self, now: float) -> bool:
        """Drop slots that are too old at `now` (seconds since 1970), and return whether there were any."""
        self._newest = int(now // self.slot_seconds)
        is_changed = False
        for slots in (self._settled, self._unsettled):
            for slot in [slot for slot in slots if slot <= self._newest - SLOTS]:
                del slots[slot]
                is_changed = True
        return is_changed

    def by_version(self) -> dict[Version, Tally]:
        """Return the sums of the window for each version that was used."""
        totals: dict[Version, Tally] = {}
        for slots in (self._settled, self._unsettled):
            for versions in slots.values():
                for version, tally in versions.items():
                    total = totals.get(version)
                    if total is None:
                        total = totals[version] = Tally()
                    total.add(tally)
        return totals

    def course(self, name: str) -> tuple[list[int], list[int]]:
        """Return the uses and the errors of a prompt in each slot of the window, the newest last."""
        uses, failed = [0] * SLOTS, [0] * SLOTS
        for slots in (self._settled, self._unsettled):
            for slot, versions in slots.items():
                # A use with a time in the future counts as one of now.
                place = min(slot - self._newest, 0) - 1
                for (used, _), tally in versions.items():
                    if used == name:
                        uses[place] += tally.uses
                        failed[place] += tally.errors
        return uses, failed


def by_prompt(versions: Mapping[Version, Tally]) -> dict[str, Tally]:
    """Return the sums of each prompt, from those of its versions."""
    totals: dict[str, Tally] = {}
    for (name, _), tally in versions.items():
        total = totals.get(name)
        if total is None:
            total = totals[name] = Tally()
        total.add(tally)
    return totals
