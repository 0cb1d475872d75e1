"""Comparisons of two versions that a split served side by side.

`promptctl.compare_versions` in schema.sql calculates the estimates, from `bucket_totals` and from the uses above the
watermark. This module selects the two versions and the epochs.
"""

from __future__ import annotations

import json

from promptctl import errors
from promptctl.records import Record
from promptctl.rules import shares
from promptctl.rules.experiments import Estimate
from promptctl.rules.references import Reference
from promptctl.store import prompt_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class SplitEpoch(Record):
    """An epoch in which a split served the versions `active` and `candidate`, with a share from 0.01% to 99.99%.

    `seconds` is its duration, until now if it has not ended. `is_recent` is False if it ended before the time that the
    comparison begins at, and `began_before` is True if it began before that time. `slow_ms` is the response time in
    milliseconds above which a call counts as slow.
    """

    epoch: int
    active: int
    candidate: int
    basis_points: int
    seed: str
    began_at: Timestamp
    ended_at: Timestamp | None
    seconds: float
    slow_ms: int | None
    is_recent: bool
    began_before: bool

    def share_of(self, version: int) -> int:
        """Return the share of one of the two versions in basis points."""
        return self.basis_points if version == self.candidate else shares.ALL - self.basis_points


class Period(Record):
    """The epochs in which versions `a` and `b` of a prompt were served side by side, oldest first; there may be none.

    `active` is the active version now, or None. `is_whole` is True if the first epoch began before the requested time:
    its uses count completely.
    """

    name: str
    a: int
    b: int
    active: int | None
    epochs: Sequence[SplitEpoch]
    is_whole: bool

    @property
    def began_at(self) -> Timestamp:
        """When the first epoch began."""
        return self.epochs[0].began_at

    @property
    def is_running(self) -> bool:
        """Whether the last epoch has not ended."""
        return self.epochs[-1].ended_at is None

    @property
    def last_at(self) -> Timestamp:
        """When the last epoch ended, or when the period was read if it has not ended."""
        from datetime import datetime, timedelta

        last = self.epochs[-1]
        if last.ended_at is not None:
            return last.ended_at
        moment = datetime.fromisoformat(last.began_at) + timedelta(seconds=last.seconds)
        return moment.isoformat().replace("+00:00", "Z")

    @property
    def splits(self) -> int:
        """How many splits the epochs belong to."""
        return len({epoch.seed for epoch in self.epochs})

    @property
    def has_gaps(self) -> bool:
        """Whether there was a time between two epochs at which the versions were not served side by side."""
        pairs = zip(self.epochs, self.epochs[1:], strict=False)
        return any(before.ended_at != after.began_at for before, after in pairs)

    @property
    def seconds(self) -> float:
        """How long both versions were served."""
        return sum(epoch.seconds for epoch in self.epochs)

    @property
    def share_of_b(self) -> int:
        """The last share of version B in basis points."""
        return self.epochs[-1].share_of(self.b)

    @property
    def slow_ms(self) -> Sequence[int]:
        """The different limits of slow calls in milliseconds, ascending."""
        return sorted({epoch.slow_ms for epoch in self.epochs if epoch.slow_ms is not None})


def read_period(
    database: Database, name: str, versions: Sequence[int], since: Timestamp | None = None, *, all_splits: bool = False
) -> Period:
    """Return the period in which two versions were served side by side. Raises NotFound.

    `versions` are A and B. Without versions they are the active version and the candidate, else those of the last
    split. One version is B, and A is the other version of its last split, else the active version. The period is the
    last split of the two: the epochs with one seed. It is all their splits with `all_splits`, or all epochs that had
    not ended at `since`: RFC 3339, or `-2h` for two hours ago by the server's clock.
    """
    prompts, stored, rows = database.run_all(
        (
            """
            select s.active_version, case when s.basis_points between 1 and 9999 then s.candidate_version end
            from promptctl.served s where s.name = $1
            """,
            [name],
        ),
        (
            "select v.version from promptctl.versions v where v.name = $1 and v.version = any ($2)",
            [name, list(versions)],
        ),
        (
            """
            select l.epoch, l.version, l.candidate_version, l.basis_points, l.seed, l.changed_at, l.ended_at,
                   greatest(extract(epoch from coalesce(l.ended_at, now()) - l.changed_at), 0)::double precision,
                   l.slow_ms, coalesce(l.ended_at > t.time, true), coalesce(l.changed_at < t.time, false)
            from (
                select a.*, lead(a.changed_at) over (order by a.epoch) as ended_at
                from promptctl.allocations a where a.name = $1
            ) l
            cross join (
                select case when $2::text like '-%' then now() + $2::text::interval else $2::text::timestamptz end
            ) t (time)
            where l.version is not null and l.candidate_version is not null and l.basis_points between 1 and 9999
            order by l.epoch
            """,
            [name, since],
        ),
    )
    if not prompts:
        raise prompt_states.not_found_error(database, Reference(name, None))
    for version in versions:
        if [version] not in [list(row) for row in stored]:
            raise prompt_states.not_found_error(database, Reference(name, version))
    epochs = [SplitEpoch(*row) for row in rows]
    active, candidate = prompts[0]
    a, b = _pair(name, versions, active, candidate, epochs)
    together = [epoch for epoch in epochs if {epoch.active, epoch.candidate} == {a, b} and epoch.is_recent]
    if not all_splits and since is None:
        together = [epoch for epoch in together if epoch.seed == together[-1].seed]
    return Period(name, a, b, active, together, is_whole=bool(together) and together[0].began_before)


def read_estimates(database: Database, period: Period, prices: Sequence[Mapping[str, object]]) -> list[Estimate]:
    """Return the estimates of a period: of each metric, of the traffic, and the counts `uses` and `out_of_place`.

    `prices` are in dollars per token: objects with model, size (the price tier), input, output, cache_read and
    cache_write. Without the price of a model that was used there is no estimate of the cost.
    """
    rows = database.run(
        """
        select c.metric, c.share, c.uses_a, c.uses_b, c.units_a, c.units_b, c.strata, c.value_a, c.value_b,
               c.difference, c.se_null, c.se_free, c.pooled
        from promptctl.compare_versions($1, $2, $3, $4::integer[], $5::jsonb) c
        """,
        period.name,
        period.a,
        period.b,
        [epoch.epoch for epoch in period.epochs],
        json.dumps(list(prices)),
    )
    return [Estimate(*row) for row in rows]


def _pair(
    name: str, versions: Sequence[int], active: int | None, candidate: int | None, epochs: Sequence[SplitEpoch]
) -> tuple[int, int]:
    """Return the versions A and B. Raises NotFound (`nothing_to_compare`)."""
    if len(versions) == 2:
        return versions[0], versions[1]
    if versions:
        version = versions[0]
        for epoch in reversed(epochs):
            if version in (epoch.active, epoch.candidate):
                return (epoch.active if version == epoch.candidate else epoch.candidate), version
        if active is not None and active != version:
            return active, version
    elif active is not None and candidate is not None:
        return active, candidate
    elif epochs:
        return epochs[-1].active, epochs[-1].candidate
    raise errors.NotFound(
        "nothing_to_compare",
        f'"{name}" has had no split, so there are no two versions to compare',
        hint=f"promptctl split {name}@VERSION 10% starts one",
    )
