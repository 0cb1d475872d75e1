"""Calculate the statistics of groups of uses from measurements: averages, percentiles, costs and trends. Pure.

An average or a percentile covers the successful uses that reported the value. Sums of tokens and costs also count
failed uses, because these are billed. Percentiles come from histograms and are at most 1.1 % off. docs/statistics.md
has the definitions.
"""

from __future__ import annotations

from promptctl.rules.measurements import Grouped, ListedVersion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from promptctl.records import Timestamp
    from promptctl.rules.measurements import LateScores, Measurements, UseSums

    # Returns the price of one call in US dollars, None if it is not known. The arguments are the model, the tokens of
    # the input, of the output, read from and written to the cache, and the time.
    Price = Callable[[str, float, float, float, float, Timestamp], float | None]
    # The name of a prompt, then a version, a day, an hour and a model. Each is None if it is not grouped by.
    Key = tuple[str, int | None, str | None, str | None, str | None]

KEYS = ("version", "day", "hour", "model")
TREND_DAYS = 14
# The ratio of the upper bound of a bucket to its lower bound, the same as in schema.sql (promptctl.histogram_bucket).
_RATIO = 2 ** (1 / 32)


class Group(Grouped):
    """The statistics of one group of uses.

    A number is None if no use reported it. `cost_usd` (US dollars) is None if the price of any use is not known. An
    `avg_…` is an average; any other number of tokens is a sum. `cache_hit_rate` is the part of the input tokens that
    was read from a cache, from 0 to 1. `cache_saved_usd` is what caching saved in US dollars, negative if it cost more
    than it saved. It is None without cached tokens, and if the price of any of them is not known. Times are in
    milliseconds.
    `scored` counts the uses with a score, `without_unit` the uses without a unit. `trend` has the uses of each of the
    last 14 days, today last; it is empty if there were none.
    """

    is_active: bool
    is_candidate: bool
    share_basis_points: int
    uses: int
    errors: int
    avg_tokens: float | None
    avg_input_tokens: float | None
    avg_output_tokens: float | None
    avg_response_time_ms: float | None
    p50_response_time_ms: float | None
    p95_response_time_ms: float | None
    p99_response_time_ms: float | None
    avg_first_token_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_hit_rate: float | None
    cost_usd: float | None
    cache_saved_usd: float | None
    last_used_at: Timestamp | None
    avg_score: float | None
    scored: int
    without_unit: int
    trend: Sequence[int]


def aggregate(measurements: Measurements, by: Sequence[str], price: Price) -> list[Group]:
    """Return the statistics of each group, in the order of names.

    `by` has one or more of KEYS. By version alone, there is a group for every listed version, used or not. Otherwise,
    there are only groups with uses. Within a prompt, the groups are in the order of `by`: newest day and hour first,
    highest version first, models by name.
    """
    parts: dict[Key, list[UseSums]] = {}
    for part in measurements.sums:
        parts.setdefault(_key(part, by), []).append(part)
    scores: dict[Key, list[LateScores]] = {}
    for score in measurements.scores:
        scores.setdefault(_key(score, by), []).append(score)
    times = merged_histograms(measurements, by)
    trends = _trends(measurements)
    listed = {(version.name, version.version): version for version in measurements.versions}
    keys: list[Key] = (
        [(version.name, version.version, None, None, None) for version in measurements.versions]
        if tuple(by) == ("version",)
        else _ordered(list(parts), by)
    )
    groups: list[Group] = []
    for key in keys:
        name, number, *_ = key
        version = (name, number or 0)
        state = listed.get(version) or ListedVersion(
            *version, is_active=False, is_candidate=False, share_basis_points=0
        )
        trend = trends.get(version, ())
        groups.append(_group(key, state, parts.get(key, []), times.get(key, {}), scores.get(key, []), price, trend))
    return groups


def percentile(counts: Mapping[int, int], percent: int, fastest: float, slowest: float) -> float | None:
    """Return a percentile of a histogram in milliseconds, by the nearest-rank method; None for an empty histogram.

    `counts` has the counts by bucket, as in Histogram. The result is the geometric middle of a bucket, at most 1.1 %
    off, and from `fastest` to `slowest`. For the first rank it is exactly `fastest`, for the last exactly `slowest`.
    """
    total = sum(counts.values())
    # Rounded up.
    rank = -(-percent * total // 100)
    if rank == total:
        return slowest if total else None
    if rank <= 1:
        return fastest
    passed = 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed >= rank:
            return min(max(_RATIO ** (bucket + 0.5), fastest), slowest)
    raise AssertionError("the rank is at most the total")


def merged_histograms(measurements: Measurements, by: Sequence[str]) -> dict[Key, dict[int, int]]:
    """Return the histogram of each group: counts by bucket."""
    merged: dict[Key, dict[int, int]] = {}
    for histogram in measurements.histograms:
        counts = merged.setdefault(_key(histogram, by), {})
        for bucket, count in zip(histogram.buckets, histogram.counts, strict=True):
            counts[bucket] = counts.get(bucket, 0) + count
    return merged


def geometric_mean(counts: Mapping[int, int]) -> float | None:
    """Return the geometric mean of a histogram in milliseconds; None for an empty histogram.

    `counts` has the counts by bucket, as in Histogram. Each use counts with the geometric middle of its bucket, so the
    result is at most 1.1 % off.
    """
    total = sum(counts.values())
    if not total:
        return None
    return _RATIO ** (sum((bucket + 0.5) * count for bucket, count in counts.items()) / total)


def _key(row: Grouped, by: Sequence[str]) -> Key:
    return (row.name, row.version, row.day, row.hour, row.model if "model" in by else None)


def _trends(measurements: Measurements) -> dict[tuple[str, int], list[int]]:
    """Return the uses of the last TREND_DAYS days by name and version, today last."""
    trends: dict[tuple[str, int], list[int]] = {}
    for day in measurements.days:
        if 0 <= day.days_ago < TREND_DAYS:
            # Index -1 is today, -2 is yesterday.
            trends.setdefault((day.name, day.version), [0] * TREND_DAYS)[-1 - day.days_ago] += day.uses
    return trends


def _ordered(keys: list[Key], by: Sequence[str]) -> list[Key]:
    """Sort the keys by name, then in the order of `by`."""
    # Sorting is stable, so sort by the least important part first. The highest comes first, None last.
    for name in reversed(by):
        place = 1 + KEYS.index(name)
        if name == "model":
            keys.sort(key=lambda key: str(key[4] or ""))
        else:
            keys.sort(key=lambda key, place=place: (key[place] is not None, key[place]), reverse=True)
    keys.sort(key=lambda key: key[0])
    return keys


def _group(
    key: Key,
    state: ListedVersion,
    parts: list[UseSums],
    times: Mapping[int, int],
    scores: list[LateScores],
    price: Price,
    trend: Sequence[int],
) -> Group:
    successful = [part for part in parts if part.is_ok]
    fastest = min((part.fastest_ms for part in successful if part.fastest_ms is not None), default=0.0)
    slowest = max((part.slowest_ms for part in successful if part.slowest_ms is not None), default=0.0)
    return Group(
        *key,
        state.is_active,
        state.is_candidate,
        state.share_basis_points,
        uses=sum(part.uses for part in parts),
        errors=sum(part.uses for part in parts if not part.is_ok),
        avg_tokens=_average((part.tokens, part.with_both) for part in successful),
        avg_input_tokens=_average((part.input_tokens, part.with_input) for part in successful),
        avg_output_tokens=_average((part.output_tokens, part.with_output) for part in successful),
        avg_response_time_ms=_average((part.response_ms, part.with_response) for part in successful),
        p50_response_time_ms=percentile(times, 50, fastest, slowest),
        p95_response_time_ms=percentile(times, 95, fastest, slowest),
        p99_response_time_ms=percentile(times, 99, fastest, slowest),
        avg_first_token_ms=_average((part.first_token_ms, part.with_first_token) for part in successful),
        input_tokens=_total([part.input_tokens for part in parts]),
        output_tokens=_total([part.output_tokens for part in parts]),
        cache_read_tokens=_total([part.cache_read_tokens for part in parts]),
        cache_write_tokens=_total([part.cache_write_tokens for part in parts]),
        cache_hit_rate=_cache_hit_rate(parts),
        cost_usd=_cost(parts, price),
        cache_saved_usd=_cache_saved(parts, price),
        last_used_at=max(filter(None, (part.last_used_at for part in parts)), key=without_zone, default=None),
        avg_score=_average((row.score, row.with_score) for row in [*parts, *scores]),
        scored=sum(row.with_score for row in [*parts, *scores]),
        without_unit=sum(part.without_unit for part in parts),
        trend=trend,
    )


def without_zone(time: Timestamp) -> str:
    """Return a time in a form in which the order of texts is that of times."""
    # Without the Z, the order of texts is that of times: "…:00.5" is after "…:00", but "…:00.5Z" is before "…:00Z".
    return time.removesuffix("Z")


def _average(sums: Iterable[tuple[float | None, int]]) -> float | None:
    total, count = 0.0, 0
    for part, number in sums:
        total, count = total + (part or 0), count + number
    return total / count if count else None


def _total(sums: Sequence[float | None]) -> int | None:
    reported = [number for number in sums if number is not None]
    return round(sum(reported)) if reported else None


def _cost(parts: Sequence[UseSums], price: Price) -> float | None:
    """Return the cost of all uses with tokens in US dollars, None if one of them has no price.

    A part costs its number of uses times the price of an average use. This is exact: all uses of a
    part are in one price tier, and within a tier a price is linear in the tokens.
    """
    costs = [part_cost(part, price, with_cache=True) for part in parts if part.with_tokens]
    return _sum_if_known(costs)


def _cache_saved(parts: Sequence[UseSums], price: Price) -> float | None:
    """Return what the uses would have cost without a cache, minus what they cost, in US dollars.

    None if no tokens were cached, or if a part with cached tokens has no price.
    """
    savings: list[float | None] = []
    for part in parts:
        if part.with_tokens and (part.cache_read_tokens or part.cache_write_tokens):
            uncached, actual = (part_cost(part, price, with_cache=with_cache) for with_cache in (False, True))
            savings.append(None if uncached is None or actual is None else uncached - actual)
    return _sum_if_known(savings)


def part_cost(part: UseSums, price: Price, *, with_cache: bool) -> float | None:
    """Return the cost of a part in US dollars, with or without its cache; None if its price is not known."""
    if part.model is None or part.last_used_at is None:
        return None
    count = part.with_tokens
    cost = price(
        part.model,
        (part.input_tokens or 0) / count,
        (part.output_tokens or 0) / count,
        (part.cache_read_tokens or 0) / count if with_cache else 0,
        (part.cache_write_tokens or 0) / count if with_cache else 0,
        part.last_used_at,
    )
    return None if cost is None else cost * count


def tokens_cost(
    input_tokens: float, output_tokens: float, cache_read: float, cache_write: float, prices: Mapping[str, float]
) -> float:
    """Return the cost of tokens in US dollars. `prices` are those of one token: of input, output and both of the cache.

    The input counts the tokens of the cache too. Where it was not reported, theirs are all of it.
    """
    return (
        max(input_tokens - cache_read - cache_write, 0.0) * prices["input"]
        + output_tokens * prices["output"]
        + cache_read * prices["cache_read"]
        + cache_write * prices["cache_write"]
    )


def _sum_if_known(amounts: Sequence[float | None]) -> float | None:
    """Return the sum; None if there is no amount, or if one of them is not known."""
    total = 0.0
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total if amounts else None


def _cache_hit_rate(parts: Sequence[UseSums]) -> float | None:
    """Return the part of the input tokens that was read from a cache; None if no use reported cached tokens."""
    read = [part.cache_read_tokens for part in parts if part.cache_read_tokens is not None]
    total = sum(part.input_tokens or 0 for part in parts)
    return sum(read) / total if read and total else None
