"""Records of sums over uses. `store.usage` reads them from the database for `rules.statistics`."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.records import Timestamp


class Grouped(Record):
    """A row about a group of uses. `name` is that of the prompt.

    Each other field is None if the uses are not grouped by it. `day` is 2026-11-24, in UTC; `hour` is in RFC 3339.
    """

    name: str
    version: int | None
    day: str | None
    hour: str | None
    model: str | None


class UseSums(Grouped):
    """Sums over the uses of one group that have the same model, the same success and the same price tier.

    `model` is always set. `price_tier` is 0, or 1 above 100 000 input tokens, or 2 above 200 000. `uses` counts all
    uses, and `without_unit` those without a unit. A `with_…` counts the uses that reported a number, and the field that
    follows is the sum of that number. `with_both` counts the uses that reported input and output tokens, and `tokens`
    is the sum of both. `with_tokens` counts the uses that reported any tokens. Times are in milliseconds.
    """

    is_ok: bool
    price_tier: int
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


class Histogram(Grouped):
    """The numbers of successful uses of one group, by bucket of their response times. Empty buckets are left out.

    Bucket b counts the times from 2^(b/32) to 2^((b+1)/32) milliseconds, so b is negative below one millisecond. Bucket
    -320 also counts all shorter times. `counts` has the number of uses in each of `buckets`.
    """

    buckets: Sequence[int]
    counts: Sequence[int]


class LateScores(Grouped):
    """Scores that arrived after their uses.

    `with_score` is the number of uses that had no score before. `score` is what these scores add to the sum of scores.
    """

    with_score: int
    score: float


class ListedVersion(Record):
    """A version that is not archived, used or not.

    `share_basis_points` is its share of the prompt's requests, out of 10 000. `route_steps` is the length of the
    prompt's route. `source_version` is the version that the folder names while an operator's hold keeps another active.
    """

    name: str
    version: int
    is_active: bool
    is_candidate: bool
    share_basis_points: int
    route_steps: int = 0
    source_version: int | None = None


class DailyUses(Record):
    """The number of uses of a version on one day. `days_ago` is 0 for today; days are in UTC."""

    name: str
    version: int
    days_ago: int
    uses: int


class Measurements(Record):
    """All rows of one reading, from one snapshot of the database. A group may have several rows of each kind.

    `fallbacks` counts the calls with an application's fallback text, by prompt name.
    """

    versions: list[ListedVersion]
    sums: list[UseSums]
    histograms: list[Histogram]
    scores: list[LateScores]
    days: list[DailyUses]
    fallbacks: Mapping[str, int]
