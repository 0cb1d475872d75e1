"""The collector of a client's metrics, for prometheus_client. Only `Prompts.metrics` imports this module."""

from __future__ import annotations

import datetime
import itertools
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from promptctl.claude import prices
from promptctl.client import processes
from promptctl.rules.latency_buckets import LE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from promptctl.client.follower import Follower
    from promptctl.client.memory import Memory
    from promptctl.client.recorder import Recorder
    from promptctl.client.use_counts import Price, Times, UseCounts, VersionCounts

_PROMPT = ("client", "prompt")
_VERSION = (*_PROMPT, "version")
_MODEL = (*_VERSION, "model")


class _Client:
    """A client as a collector needs it."""

    def __init__(self, label: str, memory: Memory, follower: Follower, recorder: Recorder) -> None:
        self.label = label
        self.memory = memory
        self.follower = follower
        self.recorder = recorder


class Metrics:
    """A collector for prometheus_client. It keeps the counts of a client that was closed."""

    def __init__(self, clients: Mapping[str, _Client]) -> None:
        self._clients = clients

    def __add__(self, other: Metrics) -> Metrics:
        """Return a collector of the clients of both. Raises ValueError if two have the same label `client`."""
        if common := self._clients.keys() & other._clients.keys():
            raise ValueError(
                f"two clients have the label client={min(common)!r}: pass another name to metrics() of one of them"
            )
        return Metrics({**self._clients, **other._clients})

    def describe(self) -> list[Metric]:
        """Return the metrics without samples, from which a registry takes the names."""
        return [*_Families()]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this process. The first call that has costs to calculate loads the prices."""
        processes.check()
        families = _Families()
        for client in self._clients.values():
            families.add(client)
        for family in families:
            if family.samples:
                yield family


def collector(label: str, memory: Memory, follower: Follower, recorder: Recorder) -> Metrics:
    """Return a collector for a client, which counts its uses from now on."""
    recorder.count_uses()
    return Metrics({label: _Client(label, memory, follower, recorder)})


class _Families:
    """All metrics, to which clients are added."""

    def __init__(self) -> None:
        self.uses = _counter("uses", "Uses by outcome: ok, or error for any other.", (*_VERSION, "outcome"))
        self.input = _counter("input_tokens", "Tokens of the input, with the cached ones.", _MODEL)
        self.output = _counter("output_tokens", "Tokens of the output.", _MODEL)
        self.cache_read = _counter("cache_read_tokens", "Input tokens that were read from a cache.", _MODEL)
        self.cache_write = _counter("cache_write_tokens", "Input tokens that were written to a cache.", _MODEL)
        self.cost = _counter("cost_usd", "Cost in US dollars of the uses whose model has a known price.", _MODEL)
        self.unpriced = _counter(
            "unpriced_uses", "Uses with tokens whose price is not known. The cost does not include them.", _MODEL
        )
        self.response = _histogram(
            "response_seconds", "Time from the request to the end of the reply, of successful uses."
        )
        self.first_token = _histogram(
            "first_token_seconds", "Time from the request to the first text of the reply, of successful uses."
        )
        self.fallbacks = _counter("fallbacks", "Calls with the application's own text.", _PROMPT)
        self.dropped = _counter("dropped_uses", "Uses that will never be recorded.", ("client",))
        self.waiting = _gauge("waiting_uses", "Uses and scores in memory that may not be recorded yet.", ("client",))
        self.connected = _gauge("connected", "Whether the client follows changes.", ("client",))
        self.age = _gauge("age_seconds", "Time since the database confirmed the active versions.", ("client",))
        self.active = _gauge("active_version_info", "The active version as this process serves it.", _VERSION)
        self.active_number = _gauge(
            "active_version", "The number of the active version as this process serves it.", _PROMPT
        )
        self.candidate = _gauge(
            "candidate_version_info", "The candidate of a split as this process serves it.", _VERSION
        )

    def __iter__(self) -> Iterator[Metric]:
        return iter(vars(self).values())

    def add(self, client: _Client) -> None:
        """Add the samples of a client."""
        label, memory, recorder = client.label, client.memory, client.recorder
        self.dropped.add_metric([label], recorder.dropped_uses)
        self.waiting.add_metric([label], recorder.waiting_items)
        if (counts := recorder.use_counts) is not None:
            price = _price(counts)
            with counts.lock:
                counts.settle(price)
                self._add_counts(label, counts)
        # Without a thread of this process, as in the parent of forked workers, nothing is followed or stale.
        if memory.is_closed or not client.follower.is_started:
            return
        self.connected.add_metric([label], client.follower.is_following)
        self.age.add_metric([label], memory.age_seconds)
        for name, prompt in memory.state.prompts.items():
            active, candidate = prompt.row.active_version, prompt.row.candidate_version
            if active is not None:
                self.active.add_metric([label, name, str(active)], 1)
                self.active_number.add_metric([label, name], active)
            if candidate is not None:
                self.candidate.add_metric([label, name, str(candidate)], 1)

    def _add_counts(self, label: str, counts: UseCounts) -> None:
        for name, number in counts.fallbacks.items():
            self.fallbacks.add_metric([label, name], number)
        for name, versions in counts.prompts.items():
            for version, version_counts in versions.items():
                self._add_version([label, name, str(version)], version_counts)

    def _add_version(self, labels: list[str], counts: VersionCounts) -> None:
        self.uses.add_metric([*labels, "ok"], counts.succeeded)
        self.uses.add_metric([*labels, "error"], counts.failed)
        _add_times(self.response, labels, counts.response)
        if any(counts.first_token.counts):
            _add_times(self.first_token, labels, counts.first_token)
        for model, one in counts.models.items():
            for family, number in (
                (self.input, one.input),
                (self.output, one.output),
                (self.cache_read, one.cache_read),
                (self.cache_write, one.cache_write),
                (self.cost, one.cost_usd),
                (self.unpriced, one.unpriced),
            ):
                if number is not None:
                    family.add_metric([*labels, model], number)


def _counter(name: str, help: str, labels: Sequence[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"promptctl_client_{name}", help, labels=labels)


def _gauge(name: str, help: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"promptctl_client_{name}", help, labels=labels)


def _histogram(name: str, help: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"promptctl_client_{name}", help, labels=_VERSION)


def _add_times(family: HistogramMetricFamily, labels: list[str], times: Times) -> None:
    buckets = zip((*LE, "+Inf"), itertools.accumulate(times.counts), strict=True)
    family.add_metric(labels, list(buckets), times.sum_ms / 1000)


def _price(counts: UseCounts) -> Price | None:
    """Return the function that calculates costs at the present prices, None without uses or without genai-prices."""
    if not counts.has_tokens or not prices.are_installed():
        return None
    now = datetime.datetime.now(datetime.UTC).isoformat()

    def price(model: str, *tokens: float) -> float | None:
        input_tokens, output_tokens, cache_read, cache_write = tokens
        return prices.cost_usd(model, input_tokens, output_tokens, cache_read, cache_write, now)

    return price
