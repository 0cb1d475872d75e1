"""Statistics of groups of uses: averages, costs and trends, from the sums that the database adds up. Pure.

Averages and percentiles are over the uses that went well and reported the number; what was billed for a use that failed
counts in the tokens and in the cost. Percentiles are those of histograms, at most 1.1 % off.
"""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.measurements import ListedVersion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from promptctl.records import Timestamp
    from promptctl.rules.measurements import Histogram, LateScores, Measurements, UseSums

    # What one use of a model costs in US dollars: its name, tokens in, out, read from and written to a cache, when.
    Price = Callable[[str, float, float, float, float, Timestamp], float | None]
    Key = tuple[str, int | None, str | None, str | None, str | None]

KEYS = ("version", "day", "hour", "model")
TREND_DAYS = 14
# A bucket's upper end is that much above its lower one; schema.sql counts by the same (promptctl.histogram_bucket).
_RATIO = 2 ** (1 / 32)


class Group(Record):
    """What the uses of one group add up to; None: nobody reported it, or, of a cost, that it is not known for all.

    Tokens are sums unless they say average, times milliseconds, the cost US dollars. `scored` uses have a score;
    those `without_unit` were of nobody in particular. `trend` has the uses of the last days, today's last; it is empty
    where there are none.
    """

    __slots__ = ()
    name: str
    version: int | None
    day: str | None
    hour: str | None
    model: str | None
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
    cost_usd: float | None
    last_used_at: Timestamp | None
    avg_score: float | None
    scored: int
    without_unit: int
    trend: Sequence[int]


def aggregate(measured: Measurements, by: Sequence[str], price: Price) -> list[Group]:
    """Return the groups: by version alone every version that is listed, used or not; else those that have uses.

    In the order of names; within a prompt as `by` says, the newest moments and the highest versions first, models by
    name.
    """
    parts: dict[Key, list[UseSums]] = {}
    for each in measured.sums:
        parts.setdefault(_key(each, by), []).append(each)
    times: dict[Key, dict[int, int]] = {}
    for histogram in measured.histograms:
        counted = times.setdefault(_key(histogram, by), {})
        for bucket, count in zip(histogram.buckets, histogram.counts, strict=True):
            counted[bucket] = counted.get(bucket, 0) + count
    scores: dict[Key, list[LateScores]] = {}
    for score in measured.scores:
        scores.setdefault(_key(score, by), []).append(score)
    served = {(listed.name, listed.version): listed for listed in measured.versions}
    trends: dict[tuple[str, int], list[int]] = {}
    for day in measured.days:
        if 0 <= day.days_ago < TREND_DAYS:
            trends.setdefault((day.name, day.version), [0] * TREND_DAYS)[-1 - day.days_ago] += day.uses
    keys: list[Key] = (
        [(listed.name, listed.version, None, None, None) for listed in measured.versions]
        if tuple(by) == ("version",)
        else _ordered(list(parts), by)
    )
    found: list[Group] = []
    for key in keys:
        version = (key[0], key[1] or 0)
        listed = served.get(version) or ListedVersion(
            *version, is_active=False, is_candidate=False, share_basis_points=0
        )
        found.append(
            _group(
                key, listed, parts.get(key, []), times.get(key, {}), scores.get(key, []), price, trends.get(version, ())
            )
        )
    return found


def percentile(counts: Mapping[int, int], percent: int, fastest: float, slowest: float) -> float | None:
    """Return the value that so many percent of the counted ones do not exceed, by nearest rank; None: there are none.

    It is the middle of the value's bucket, which is at most 1.1 % off, and never beyond the least and the largest
    value; those two are themselves.
    """
    total = sum(counts.values())
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
    raise AssertionError("the rank is among the counted")


def _key(each: UseSums | Histogram | LateScores, by: Sequence[str]) -> Key:
    return (each.name, each.version, each.day, each.hour, each.model if "model" in by else None)


def _ordered(keys: list[Key], by: Sequence[str]) -> list[Key]:
    # Sorting is stable: from the least important key to the most important one.
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
    listed: ListedVersion,
    parts: list[UseSums],
    times: Mapping[int, int],
    scores: list[LateScores],
    price: Price,
    trend: Sequence[int],
) -> Group:
    well = [part for part in parts if part.is_ok]
    fastest = min((part.fastest_ms for part in well if part.fastest_ms is not None), default=0.0)
    slowest = max((part.slowest_ms for part in well if part.slowest_ms is not None), default=0.0)
    return Group(
        *key,
        listed.is_active,
        listed.is_candidate,
        listed.share_basis_points,
        uses=sum(part.uses for part in parts),
        errors=sum(part.uses for part in parts if not part.is_ok),
        avg_tokens=_average((part.tokens, part.with_both) for part in well),
        avg_input_tokens=_average((part.input_tokens, part.with_input) for part in well),
        avg_output_tokens=_average((part.output_tokens, part.with_output) for part in well),
        avg_response_time_ms=_average((part.response_ms, part.with_response) for part in well),
        p50_response_time_ms=percentile(times, 50, fastest, slowest),
        p95_response_time_ms=percentile(times, 95, fastest, slowest),
        p99_response_time_ms=percentile(times, 99, fastest, slowest),
        avg_first_token_ms=_average((part.first_token_ms, part.with_first_token) for part in well),
        input_tokens=_total([part.input_tokens for part in parts]),
        output_tokens=_total([part.output_tokens for part in parts]),
        cache_read_tokens=_total([part.cache_read_tokens for part in parts]),
        cache_write_tokens=_total([part.cache_write_tokens for part in parts]),
        cost_usd=_cost(parts, price),
        last_used_at=max(filter(None, (part.last_used_at for part in parts)), key=_moment, default=None),
        avg_score=_average((each.score, each.with_score) for each in [*parts, *scores]),
        scored=sum(each.with_score for each in [*parts, *scores]),
        without_unit=sum(part.without_unit for part in parts),
        trend=trend,
    )


def _moment(at: Timestamp) -> str:
    # Without the Z what has a fraction of a second comes after what has none, as it should.
    return at.removesuffix("Z")


def _average(sums: Iterable[tuple[float | None, int]]) -> float | None:
    total, count = 0.0, 0
    for part, number in sums:
        total, count = total + (part or 0), count + number
    return total / count if count else None


def _total(sums: Sequence[float | None]) -> int | None:
    known = [each for each in sums if each is not None]
    return round(sum(known)) if known else None


def _cost(parts: Sequence[UseSums], price: Price) -> float | None:
    """Return the cost of all uses that have tokens; None where one of them has no price: a part is not the whole.

    A part's uses are priced as so many of their average: between its steps a price grows with the tokens, and no part
    is on both sides of one.
    """
    whole = 0.0
    billed = [part for part in parts if part.with_tokens]
    for part in billed:
        count = part.with_tokens
        cost = (
            price(
                part.model,
                (part.input_tokens or 0) / count,
                (part.output_tokens or 0) / count,
                (part.cache_read_tokens or 0) / count,
                (part.cache_write_tokens or 0) / count,
                part.last_used_at,
            )
            if part.model is not None and part.last_used_at is not None
            else None
        )
        if cost is None:
            return None
        whole += cost * count
    return whole if billed else None
