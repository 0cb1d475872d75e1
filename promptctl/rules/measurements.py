"""What the database sums up about uses, as `store` reads it and `rules.statistics` calculates with it. Pure."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.records import Timestamp


class UseSums(Record):
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
    without_unit: int
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
    fastest_ms: float | None
    slowest_ms: float | None
    with_first_token: int
    first_token_ms: float | None
    with_score: int
    score: float | None
    last_used_at: Timestamp | None


class Histogram(Record):
    """Some response times of one group's uses that went well: how many are in each bucket, none of which is empty.

    Bucket b holds 2^(b/32) to 2^((b+1)/32) milliseconds, the lowest one all that is less.
    """

    __slots__ = ()
    name: str
    version: int | None
    day: str | None
    hour: str | None
    model: str | None
    buckets: Sequence[int]
    counts: Sequence[int]


class LateScores(Record):
    """Scores that arrived after their uses were rolled up.

    `with_score` counts the uses that had no score before; `score` is added to the sum of scores.
    """

    __slots__ = ()
    name: str
    version: int | None
    day: str | None
    hour: str | None
    model: str | None
    with_score: int
    score: float


class ListedVersion(Record):
    """A version in use, which may have no uses; its share of what the prompt serves, out of 10 000.

    `route_steps` is the length of the prompt's route; `source_version` what Git says where an operator's move holds.
    """

    __slots__ = ()
    name: str
    version: int
    is_active: bool
    is_candidate: bool
    share_basis_points: int
    route_steps: int = 0
    source_version: int | None = None


class DailyUses(Record):
    """How often a version was used on a day, so many days ago in UTC; 0 is today."""

    __slots__ = ()
    name: str
    version: int
    days_ago: int
    uses: int


class Measurements(Record):
    """Everything that was read, as it was at one moment; of one group there may be several of each.

    `fallbacks` are calls with a text of the application's own, by the name that it asked for.
    """

    __slots__ = ()
    versions: list[ListedVersion]
    sums: list[UseSums]
    histograms: list[Histogram]
    scores: list[LateScores]
    days: list[DailyUses]
    fallbacks: Mapping[str, int]
