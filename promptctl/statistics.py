"""Statistics of groups of uses: averages, costs and trends, from the sums that the database adds up. Pure.

Averages and percentiles are over the uses that went well and reported the number; what was billed for a use that failed
counts in the tokens and in the cost.
"""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.records import Timestamp

    # What one use of a model costs in US dollars: its name, tokens in, out, read from and written to a cache, when.
    Price = Callable[[str, float, float, float, float, Timestamp], float | None]
    Key = tuple[str, int | None, str | None, str | None, str | None]

KEYS = ("version", "day", "hour", "model")
TREND_DAYS = 14


class Sums(Record):
    """Uses of one group that name one model, went well or not, and have an input of about one size.

    The size says how many of the prices' steps, at 100 000 and 200 000 tokens, the input is beyond. The group is `name`
    and, of `version`, `day` (2026-11-24, UTC) and `hour` (RFC 3339), those that were asked for. `uses` are counted with
    everything; the other counts are of the uses that reported what is summed beside them.
    """

    __slots__ = ()
    name: str
    version: int | None
    day: str | None
    hour: str | None
    model: str | None
    is_ok: bool
    size: int
    uses: int
    with_tokens: int
    with_both: int
    tokens: float | None
    with_input: int
    input_tokens: float | None
    with_output: int
    output_tokens: float | None
    cache_read_tokens: float | None
    cache_write_tokens: float | None
    with_response: int
    response_ms: float | None
    with_first_token: int
    first_token_ms: float | None
    last_used_at: Timestamp


class Percentiles(Record):
    """Response times of one group's uses that went well, in milliseconds: exact, between two uses interpolated."""

    __slots__ = ()
    name: str
    version: int | None
    day: str | None
    hour: str | None
    model: str | None
    p50: float
    p95: float
    p99: float


class Listed(Record):
    """A version in use, which may have no uses."""

    __slots__ = ()
    name: str
    version: int
    is_active: bool


class Day(Record):
    """How often a version was used on a day, so many days ago in UTC; 0 is today."""

    __slots__ = ()
    name: str
    version: int
    days_ago: int
    uses: int


class Measured(Record):
    """Everything that was read, one list after the other: a use recorded meanwhile may be in one and not in another."""

    __slots__ = ()
    versions: list[Listed]
    sums: list[Sums]
    percentiles: list[Percentiles]
    days: list[Day]


class Group(Record):
    """What the uses of one group add up to; None: nobody reported it, or, of a cost, that it is not known for all.

    Tokens are sums unless they say average, times milliseconds, the cost US dollars. `trend` has the uses of the last
    days, today's last; it is empty where there are none.
    """

    __slots__ = ()
    name: str
    version: int | None
    day: str | None
    hour: str | None
    model: str | None
    is_active: bool
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
    trend: Sequence[int]


def groups(measured: Measured, by: Sequence[str], price: Price) -> list[Group]:
    """Return the groups: by version alone every version that is listed, used or not; else those that have uses.

    In the order of names; within a prompt as `by` says, the newest moments and the highest versions first, models by
    name.
    """
    parts: dict[Key, list[Sums]] = {}
    for each in measured.sums:
        model = each.model if "model" in by else None
        parts.setdefault((each.name, each.version, each.day, each.hour, model), []).append(each)
    times = {(p.name, p.version, p.day, p.hour, p.model): p for p in measured.percentiles}
    active = {(listed.name, listed.version) for listed in measured.versions if listed.is_active}
    trends: dict[tuple[str, int], list[int]] = {}
    for day in measured.days:
        if 0 <= day.days_ago < TREND_DAYS:
            trends.setdefault((day.name, day.version), [0] * TREND_DAYS)[-1 - day.days_ago] = day.uses
    keys: list[Key] = (
        [(listed.name, listed.version, None, None, None) for listed in measured.versions]
        if tuple(by) == ("version",)
        else _ordered(list(parts), by)
    )
    found: list[Group] = []
    for key in keys:
        used = (key[0], key[1] or 0)
        found.append(_group(key, used in active, parts.get(key, []), times.get(key), price, trends.get(used, ())))
    return found


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
    key: Key, is_active: bool, parts: list[Sums], times: Percentiles | None, price: Price, trend: Sequence[int]
) -> Group:
    well = [part for part in parts if part.is_ok]
    return Group(
        *key,
        is_active,
        uses=sum(part.uses for part in parts),
        errors=sum(part.uses for part in parts if not part.is_ok),
        avg_tokens=_average([(part.tokens, part.with_both) for part in well]),
        avg_input_tokens=_average([(part.input_tokens, part.with_input) for part in well]),
        avg_output_tokens=_average([(part.output_tokens, part.with_output) for part in well]),
        avg_response_time_ms=_average([(part.response_ms, part.with_response) for part in well]),
        p50_response_time_ms=times.p50 if times else None,
        p95_response_time_ms=times.p95 if times else None,
        p99_response_time_ms=times.p99 if times else None,
        avg_first_token_ms=_average([(part.first_token_ms, part.with_first_token) for part in well]),
        input_tokens=_total([part.input_tokens for part in parts]),
        output_tokens=_total([part.output_tokens for part in parts]),
        cache_read_tokens=_total([part.cache_read_tokens for part in parts]),
        cache_write_tokens=_total([part.cache_write_tokens for part in parts]),
        cost_usd=_cost(parts, price),
        last_used_at=max((part.last_used_at for part in parts), default=None),
        trend=trend,
    )


def _average(sums: Sequence[tuple[float | None, int]]) -> float | None:
    count = sum(number for _, number in sums)
    return sum(total or 0 for total, _ in sums) / count if count else None


def _total(sums: Sequence[float | None]) -> int | None:
    known = [each for each in sums if each is not None]
    return round(sum(known)) if known else None


def _cost(parts: Sequence[Sums], price: Price) -> float | None:
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
            if part.model is not None
            else None
        )
        if cost is None:
            return None
        whole += cost * count
    return whole if billed else None
