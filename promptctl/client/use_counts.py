"""Counts of a process's uses, for metrics. The recorder's thread adds each use when it takes it from the queue."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING

from promptctl.rules.exported_counters import OTHER_PROMPTS
from promptctl.rules.latency_buckets import BOUNDS_MS
from promptctl.store.uses import UseRecord

if TYPE_CHECKING:
    from typing import Protocol

    from promptctl.store.uses import FallbackRecord

    class Price(Protocol):
        """A function that returns the cost of one call in US dollars, None if it is not known.

        `tokens` are those of the input, of the output, read from a cache and written to it.
        """

        def __call__(self, model: str, *tokens: float) -> float | None:
            """Return the cost."""
            ...


# Limits of the label values, because each combination is a time series of the monitoring system. Those that came first
# are kept. A version that was not used for a day gives its place to a new one, in processes that outlive many releases.
MOST_PROMPTS, MOST_VERSIONS, MOST_MODELS = 1000, 10, 20
_IDLE_SECONDS = 86_400
# The last is also used by totals.
OTHER_VERSIONS, OTHER_MODELS = "other versions", "other models"
_NO_MODEL = ""


class Times:
    """A histogram of times in milliseconds: `counts` by upper bound, the last without one, and their sum."""

    __slots__ = ("counts", "sum_ms")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.sum_ms = 0.0

    def add(self, time_ms: float) -> None:
        """Count a time."""
        self.counts[bisect_left(BOUNDS_MS, time_ms)] += 1
        self.sum_ms += time_ms


class ModelCounts:
    """Tokens and cost of the uses of one version with one model.

    A number of tokens is None until a use reports it. `cost_usd` is None until a use has a price. `unpriced` counts the
    uses with tokens that have none. `unpriced` and `cost_usd` are those of the last call of `settle`.
    """

    __slots__ = ("cache_read", "cache_write", "cost_usd", "input", "output", "pending", "unpriced")

    def __init__(self) -> None:
        self.input: int | None = None
        self.output: int | None = None
        self.cache_read: int | None = None
        self.cache_write: int | None = None
        self.cost_usd: float | None = None
        self.unpriced = 0
        # Uses and tokens that have no cost yet, by price tier.
        self.pending: dict[int, list[int]] = {}

    def add(self, input: int | None, output: int | None, cache_read: int | None, cache_write: int | None) -> None:
        """Add the tokens of a use."""
        tier = 0
        if input is not None:
            self.input = (self.input or 0) + input
            tier = (input > 100_000) + (input > 200_000)
        if output is not None:
            self.output = (self.output or 0) + output
        if cache_read is not None:
            self.cache_read = (self.cache_read or 0) + cache_read
        if cache_write is not None:
            self.cache_write = (self.cache_write or 0) + cache_write
        pending = self.pending.setdefault(tier, [0, 0, 0, 0, 0])
        pending[0] += 1
        pending[1] += input or 0
        pending[2] += output or 0
        pending[3] += cache_read or 0
        pending[4] += cache_write or 0

    def settle(self, model: str, price: Price | None) -> None:
        """Calculate the cost of the uses since the last call. `price` is None if there are no prices."""
        for count, *tokens in self.pending.values():
            # Within a tier a price is linear in the tokens, so the cost is that of an average use times their number.
            cost = None if price is None else price(model, *(number / count for number in tokens))
            if cost is None:
                self.unpriced += count
            else:
                self.cost_usd = (self.cost_usd or 0.0) + cost * count
        self.pending.clear()


class VersionCounts:
    """The counts of one version. Times are those of successful uses."""

    __slots__ = ("failed", "first_token", "last_ended_at", "models", "response", "succeeded")

    def __init__(self) -> None:
        self.succeeded = self.failed = 0
        self.response, self.first_token = Times(), Times()
        self.models: dict[str, ModelCounts] = {}
        # A time of time.perf_counter.
        self.last_ended_at = 0.0

    def add(self, use: UseRecord) -> None:
        """Count a use."""
        self.last_ended_at = use.ended_at
        if use.outcome == "ok":
            self.succeeded += 1
            if use.response_ms is not None:
                self.response.add(use.response_ms)
            if use.first_token_ms is not None:
                self.first_token.add(use.first_token_ms)
        else:
            self.failed += 1
        if use.input_tokens is not None or use.output_tokens is not None:
            model = use.model or _NO_MODEL
            counts = self.models.get(model)
            if counts is None:
                if len(self.models) >= MOST_MODELS:
                    model = OTHER_MODELS
                counts = self.models.setdefault(model, ModelCounts())
            counts.add(use.input_tokens, use.output_tokens, use.cache_read_tokens, use.cache_write_tokens)


class UseCounts:
    """The counts of a process's uses by prompt and version, and of its fallbacks by prompt.

    Read them while `lock` is held.
    """

    def __init__(self) -> None:
        # Reentrant, because a signal handler may send uses while the interrupted code holds it.
        self.lock = threading.RLock()
        self.prompts: dict[str, dict[int | str, VersionCounts]] = {}
        self.fallbacks: dict[str, int] = {}

    def add(self, record: UseRecord | FallbackRecord) -> None:
        """Count a use or a fallback."""
        with self.lock:
            if not isinstance(record, UseRecord):
                name = _bounded(record.name, self.fallbacks)
                self.fallbacks[name] = self.fallbacks.get(name, 0) + 1
                return
            versions = self.prompts.get(record.name)
            if versions is None:
                versions = self.prompts.setdefault(_bounded(record.name, self.prompts), {})
            counts = versions.get(record.version)
            if counts is None:
                counts = versions.setdefault(_place(record, versions), VersionCounts())
            counts.add(record)

    def settle(self, price: Price | None) -> None:
        """Calculate the costs of the uses since the last call. `price` is None if there are no prices."""
        for versions in self.prompts.values():
            for version in versions.values():
                for model, counts in version.models.items():
                    counts.settle(model, price)

    @property
    def has_tokens(self) -> bool:
        """Whether a use with a model has reported tokens, so that prices are needed."""
        return any(
            model != _NO_MODEL
            for versions in self.prompts.values()
            for version in versions.values()
            for model in version.models
        )


def _bounded(name: str, counts: dict[str, int] | dict[str, dict[int | str, VersionCounts]]) -> str:
    """Return the name under which a prompt is counted: its own, or OTHER_PROMPTS for a new one beyond the limit."""
    return name if name in counts or len(counts) < MOST_PROMPTS else OTHER_PROMPTS


def _place(use: UseRecord, versions: dict[int | str, VersionCounts]) -> int | str:
    """Return the version as which a use of a new version is counted: its own, or OTHER_VERSIONS beyond the limit.

    An idle version is removed for it, with its counts: a rate of all versions does not change by that. If its counts
    were added to others, they would look like new uses.
    """
    own = [version for version in versions if version != OTHER_VERSIONS]
    if len(own) < MOST_VERSIONS:
        return use.version
    oldest = min(own, key=lambda version: versions[version].last_ended_at)
    if versions[oldest].last_ended_at > use.ended_at - _IDLE_SECONDS:
        return OTHER_VERSIONS
    del versions[oldest]
    return use.version
