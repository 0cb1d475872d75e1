"""The numbers of versions that only grow, for a monitoring system: sums of all time, without averages. Pure."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules import statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from promptctl.records import Timestamp
    from promptctl.rules.measurements import LateScores, Measurements, UseSums
    from promptctl.rules.statistics import Price

    Reference = tuple[str, int]

# Of each prompt: the active version, the candidate, and those that were used last.
MOST_VERSIONS = 10
# The label of what a limit leaves out. A name with a blank cannot be that of a prompt.
OTHER_PROMPTS = "other prompts"


class VersionCounters(Record):
    """The sums of one version over all time.

    A number of tokens is None if no use reported it. `cost_usd` is the cost of the uses whose model has a price, and
    None if there are none; `unpriced` counts the others that reported tokens. `times` has the numbers of successful
    uses by bucket of their response times, `response_ms` the sum of these times. The time to the first token is over
    successful uses too, and scores are over all.
    """

    name: str
    version: int
    succeeded: int
    failed: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cost_usd: float | None
    unpriced: int
    times: Mapping[int, int]
    response_ms: float
    with_first_token: int
    first_token_ms: float
    scored: int
    score: float


def counters(
    measured: Measurements, serving: Collection[Reference], since: Timestamp, price: Price
) -> list[VersionCounters]:
    """Return the counters of the versions to export, by name, then by version.

    These are the versions in `serving`, used or not, and those that were used at or after `since`, at most
    MOST_VERSIONS of a prompt. `measured` is grouped by version, of all time.
    """
    parts: dict[Reference, list[UseSums]] = {}
    last_used: dict[Reference, str] = {}
    for part in measured.sums:
        reference = (part.name, part.version or 0)
        parts.setdefault(reference, []).append(part)
        last_used[reference] = max(last_used.get(reference, ""), statistics.without_zone(part.last_used_at or ""))
    scores: dict[Reference, list[LateScores]] = {}
    for score in measured.scores:
        scores.setdefault((score.name, score.version or 0), []).append(score)
    times = {key[:2]: counts for key, counts in statistics.merged_histograms(measured, ["version"]).items()}
    return [
        _counters(reference, parts.get(reference, []), times.get(reference, {}), scores.get(reference, []), price)
        for reference in _exported(serving, last_used, statistics.without_zone(since))
    ]


def _exported(serving: Collection[Reference], last_used: Mapping[Reference, str], since: str) -> list[Reference]:
    by_prompt: dict[str, list[Reference]] = {}
    for reference in serving:
        by_prompt.setdefault(reference[0], []).append(reference)
    recent = [reference for reference, time in last_used.items() if time >= since and reference not in serving]
    for reference in sorted(recent, key=lambda reference: (last_used[reference], reference[1]), reverse=True):
        references = by_prompt.setdefault(reference[0], [])
        if len(references) < MOST_VERSIONS:
            references.append(reference)
    return sorted(reference for references in by_prompt.values() for reference in references)


def _counters(
    reference: Reference,
    parts: Sequence[UseSums],
    times: Mapping[int, int],
    scores: Sequence[LateScores],
    price: Price,
) -> VersionCounters:
    succeeded = [part for part in parts if part.is_ok]
    costs = [(part, statistics.part_cost(part, price, with_cache=True)) for part in parts if part.with_tokens]
    priced = [cost for _, cost in costs if cost is not None]
    return VersionCounters(
        *reference,
        succeeded=sum(part.uses for part in succeeded),
        failed=sum(part.uses for part in parts if not part.is_ok),
        input_tokens=_sum(parts, lambda part: part.input_tokens),
        output_tokens=_sum(parts, lambda part: part.output_tokens),
        cache_read_tokens=_sum(parts, lambda part: part.cache_read_tokens),
        cache_write_tokens=_sum(parts, lambda part: part.cache_write_tokens),
        cost_usd=sum(priced) if priced else None,
        unpriced=sum(part.with_tokens for part, cost in costs if cost is None),
        times=times,
        response_ms=sum(part.response_ms or 0 for part in succeeded),
        with_first_token=sum(part.with_first_token for part in succeeded),
        first_token_ms=sum(part.first_token_ms or 0 for part in succeeded),
        scored=sum(part.with_score for part in [*parts, *scores]),
        score=sum(part.score or 0 for part in [*parts, *scores]),
    )


def _sum(parts: Iterable[UseSums], value: Callable[[UseSums], float | None]) -> int | None:
    """Return the sum of what the parts reported, None if none did."""
    reported = [number for part in parts if (number := value(part)) is not None]
    return round(sum(reported)) if reported else None
