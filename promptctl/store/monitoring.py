"""What a monitoring system asks of a database beside statistics: what is served, and whether roll-ups run."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class ExportedPrompt(Record):
    """What a prompt serves. `moved_at` is the time of the last change of it, in seconds since 1970.

    `basis_points` is the share of the candidate, out of 10 000. `rollout` is the state of the open rollout, running or
    paused, and None without one. `fallbacks` counts the calls of the last hour with an application's own text.
    """

    name: str
    active_version: int | None
    candidate_version: int | None
    basis_points: int
    moved_at: float | None
    rollout: str | None
    fallbacks: int


class Moment(Record):
    """The present time by the server's clock, in seconds since 1970, and the state of roll-ups.

    `rolled_up_at` is the time of the last roll-up, None before the first. `waiting_uses` counts the uses that are not
    in totals. `other_fallbacks` counts the calls of the last hour with an application's own text for names that are no
    prompt in use. `day_ago` is the time one day ago.
    """

    now: float
    rolled_up_at: float | None
    waiting_uses: int
    other_fallbacks: int
    day_ago: Timestamp


def read(database: Database, name: str | None) -> tuple[Moment, list[ExportedPrompt]]:
    """Return the present moment, and what a prompt or, without a name, all prompts in use serve, by name."""
    [moment], prompts = database.run_all(
        (
            """
            select extract(epoch from now())::float8, extract(epoch from r.rolled_up_at)::float8, u.waiting, f.calls,
                   now() - interval '1 day'
            from (select count(*) from promptctl.uses u
                  where u.recorded_in >= (select promptctl.rolled_below())) u (waiting)
            left join promptctl.roll_up r on true
            cross join lateral (
                select count(*) from promptctl.fallbacks f
                where $1::text is null and f.recorded_at >= now() - interval '1 hour' and not exists (
                    select from promptctl.served s where s.name = f.name and s.archived_at is null)
            ) f (calls)
            """,
            [name],
        ),
        (
            """
            select s.name, s.active_version, s.candidate_version, s.basis_points,
                   extract(epoch from a.changed_at)::float8, r.state, coalesce(f.calls, 0)
            from promptctl.served s
            left join lateral (
                select a.changed_at from promptctl.allocations a where a.name = s.name order by a.epoch desc limit 1
            ) a on true
            left join promptctl.rollouts r on r.name = s.name and r.state in ('running', 'paused')
            left join (
                select f.name, count(*) from promptctl.fallbacks f
                where f.recorded_at >= now() - interval '1 hour' group by f.name
            ) f (name, calls) on f.name = s.name
            where s.archived_at is null and ($1::text is null or s.name = $1)
            order by s.name
            """,
            [name],
        ),
    )
    return Moment(*moment), [ExportedPrompt(*row) for row in prompts]
