"""Present statistics as metrics for Prometheus."""

from __future__ import annotations

from promptctl.output import prometheus_text, stream
from promptctl.output.prometheus_text import Family
from promptctl.rules import latency_buckets
from promptctl.rules.exported_counters import OTHER_PROMPTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from promptctl.output.prometheus_text import Sample
    from promptctl.rules.exported_counters import VersionCounters
    from promptctl.store.monitoring import ExportedPrompt, Moment

# Sums of floating-point numbers depend on the order of the addends, and a counter must never become smaller. So sums
# are rounded: seconds to milliseconds, and dollars to a fraction of the price of one token.
_SECONDS_DIGITS, _DOLLAR_DIGITS = 3, 9


def show(versions: Sequence[VersionCounters], prompts: Sequence[ExportedPrompt], moment: Moment) -> None:
    """Print the page of metrics."""
    families = [*_counters(versions), *_served(prompts, moment), *_installation(moment)]
    stream.write(prometheus_text.text(families))


def _counters(versions: Sequence[VersionCounters]) -> list[Family]:
    def counter(name: str, help: str, value: Callable[[VersionCounters], float | None]) -> Family:
        samples = [("", _labels(one), number) for one in versions if (number := value(one)) is not None]
        return Family(f"promptctl_{name}_total", "counter", help, samples)

    return [
        Family(
            "promptctl_uses_total",
            "counter",
            "Recorded uses by outcome: ok, or error for any other.",
            [
                ("", {**_labels(one), "outcome": outcome}, number)
                for one in versions
                for outcome, number in (("ok", one.succeeded), ("error", one.failed))
            ],
        ),
        counter("input_tokens", "Tokens of the input, with the cached ones.", lambda one: one.input_tokens),
        counter("output_tokens", "Tokens of the output.", lambda one: one.output_tokens),
        counter("cache_read_tokens", "Input tokens that were read from a cache.", lambda one: one.cache_read_tokens),
        counter("cache_write_tokens", "Input tokens that were written to a cache.", lambda one: one.cache_write_tokens),
        counter(
            "cost_usd",
            "Cost in US dollars of the uses whose model has a known price.",
            lambda one: None if one.cost_usd is None else round(one.cost_usd, _DOLLAR_DIGITS),
        ),
        counter(
            "unpriced_uses",
            "Uses with tokens whose price is not known. The cost does not include them.",
            lambda one: one.unpriced,
        ),
        Family(
            "promptctl_response_seconds",
            "histogram",
            "Time from the request to the end of the reply, of successful uses.",
            [sample for one in versions for sample in _histogram(one)],
        ),
        _summary(
            "first_token_seconds",
            "Time from the request to the first text of the reply, of successful uses.",
            versions,
            lambda one: (round(one.first_token_ms / 1000, _SECONDS_DIGITS), one.with_first_token),
        ),
        _summary("score", "Scores of uses.", versions, lambda one: (round(one.score, _DOLLAR_DIGITS), one.scored)),
    ]


def _labels(one: VersionCounters) -> dict[str, str]:
    return {"prompt": one.name, "version": str(one.version)}


def _histogram(one: VersionCounters) -> Iterable[Sample]:
    *counts, total = latency_buckets.cumulative(one.times)
    labels = _labels(one)
    for le, count in zip((*latency_buckets.LE, "+Inf"), (*counts, total), strict=True):
        yield "_bucket", {**labels, "le": le}, count
    yield "_sum", labels, round(one.response_ms / 1000, _SECONDS_DIGITS)
    yield "_count", labels, total


def _summary(
    name: str, help: str, versions: Sequence[VersionCounters], value: Callable[[VersionCounters], tuple[float, int]]
) -> Family:
    samples: list[Sample] = []
    for one in versions:
        total, count = value(one)
        if count:
            samples += [("_sum", _labels(one), total), ("_count", _labels(one), count)]
    return Family(f"promptctl_{name}", "summary", help, samples)


def _served(prompts: Sequence[ExportedPrompt], moment: Moment) -> list[Family]:
    def gauge(name: str, help: str, samples: Iterable[tuple[ExportedPrompt, dict[str, str], float | None]]) -> Family:
        return Family(
            f"promptctl_{name}",
            "gauge",
            help,
            [("", {"prompt": one.name, **more}, value) for one, more, value in samples if value is not None],
        )

    active = [(one, {"version": str(one.active_version)}) for one in prompts if one.active_version is not None]
    candidates = [
        (one, {"version": str(one.candidate_version)}) for one in prompts if one.candidate_version is not None
    ]
    shares = [(one, labels, (10_000 - one.basis_points) / 10_000) for one, labels in active]
    shares += [(one, labels, one.basis_points / 10_000) for one, labels in candidates]
    fallbacks = gauge(
        "recent_fallbacks",
        "Calls of the last hour with an application's own text.",
        [(one, {}, one.fallbacks) for one in prompts],
    )
    if moment.other_fallbacks:
        other: Sample = ("", {"prompt": OTHER_PROMPTS}, moment.other_fallbacks)
        fallbacks = Family(fallbacks.name, fallbacks.kind, fallbacks.help, [*fallbacks.samples, other])
    return [
        gauge("active_version_info", "The active version.", [(*one, 1) for one in active]),
        gauge(
            "active_version", "The number of the active version.", [(one, {}, one.active_version) for one in prompts]
        ),
        gauge("candidate_version_info", "The candidate of a split.", [(*one, 1) for one in candidates]),
        gauge("version_share_ratio", "The part of the units that get the version.", shares),
        gauge(
            "last_move_timestamp_seconds",
            "The time of the last change of what the prompt serves.",
            [(one, {}, one.moved_at) for one in prompts],
        ),
        gauge(
            "rollout_running", "Whether a rollout runs.", [(one, {}, int(one.rollout == "running")) for one in prompts]
        ),
        gauge(
            "rollout_paused",
            "Whether a rollout is paused.",
            [(one, {}, int(one.rollout == "paused")) for one in prompts],
        ),
        fallbacks,
    ]


def _installation(moment: Moment) -> list[Family]:
    def gauge(name: str, help: str, value: float | None) -> Family:
        return Family(f"promptctl_{name}", "gauge", help, [] if value is None else [("", {}, value)])

    return [
        gauge("statistics_timestamp_seconds", "The time at which this page was made.", moment.now),
        gauge("roll_up_timestamp_seconds", "The time of the last roll-up.", moment.rolled_up_at),
        gauge("uses_to_roll_up", "Uses that are not in totals yet.", moment.waiting_uses),
    ]
