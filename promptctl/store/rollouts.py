"""Guarded rollouts of a version: start, tick, pause, resume, stop, and their state."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.store import prompt_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp
    from promptctl.rules.rollout_plans import RolloutPlan


class Rollout(Record):
    """A rollout: its plan and its state.

    `state` is running, paused, promoted, rolled back or stopped. Shares are in basis points: `basis_points` is the
    present share of the candidate, 10000 after a promotion, and `steps` are the shares of the plan. `hold_seconds` and
    `patience_seconds` are the least and the longest time in a step. `guards` are as in `rollout_plans.RolloutPlan`.
    `next_at` is the earliest time of the next step, and None if the rollout does not run. `ticked_at` is the time of
    the last tick, or None, and `seconds_since_tick` counts from it, else from the start. `why` is the reason for the
    state, `reason` the one that the author of the rollout gave.
    """

    rollout: int
    name: str
    baseline: int
    candidate: int
    state: str
    basis_points: int
    steps: list[int]
    hold_seconds: float
    least_uses: int
    patience_seconds: float
    in_doubt: str
    guards: list[dict[str, Any]]
    step_began_at: Timestamp
    next_at: Timestamp | None
    began_at: Timestamp
    ended_at: Timestamp | None
    ticked_at: Timestamp | None
    seconds_in_step: float
    seconds_since_tick: float
    why: str | None
    author: str
    reason: str | None


class RolloutEvent(Record):
    """One event of a rollout.

    `kind` is start, advance, pause, resume, promote, roll back or stop. `basis_points` is the share after the event.
    """

    kind: str
    basis_points: int
    why: str | None
    author: str
    happened_at: Timestamp


class Look(Record):
    """What a tick saw of one guard, in the units of `promptctl.compare_versions`; None if not known."""

    metric: str
    looked_at: Timestamp
    difference: float | None
    lower: float | None
    upper: float | None


class RolloutChange(Record):
    """The effect of starting, pausing, resuming or stopping a rollout: the rollout after it, with its plan.

    The fields are those of Rollout. `changed` is False if nothing changed.
    """

    rollout: int
    name: str
    baseline: int
    candidate: int
    state: str
    basis_points: int
    steps: list[int]
    hold_seconds: float
    least_uses: int
    patience_seconds: float
    in_doubt: str
    guards: list[dict[str, Any]]
    changed: bool
    why: str | None


class Tick(Record):
    """What a tick did, or would do now.

    `action` is hold, busy, advance, promote, roll back, pause, or nothing if no rollout runs. `state` is the state of
    the last rollout after it, None if the prompt had none. `basis_points` and `previous_basis_points` are the share
    after and before, `next_basis_points` is the share of the next step, 10000 for the activation. `why` is the reason
    for the action, or what a hold waits for. `figures` has for each guard the keys metric, tolerance, verdict (fine,
    worse, doubtful or too few uses), uses_a, uses_b, value_a, value_b, difference, lower and upper: A is the baseline,
    and the units are those of `promptctl.compare_versions`. `seconds` is the age of the rollout before the tick.
    """

    rollout: int | None
    name: str
    action: str
    state: str | None
    baseline: int | None
    candidate: int | None
    basis_points: int | None
    previous_basis_points: int | None
    next_basis_points: int | None
    next_at: Timestamp | None
    why: str | None
    figures: list[dict[str, Any]] | None
    seconds: float | None


# The columns of Rollout, from `rollouts` r, `rollout_ticks` t and `served` s. Somebody may have set the share of a
# paused rollout. The server counts times, because this machine's clock may differ. They are 0 after its clock was set
# back.
_COLUMNS: LiteralString = """
    r.rollout, r.name, r.baseline, r.candidate, r.state,
    case r.state when 'running' then r.basis_points when 'paused' then s.basis_points when 'promoted' then 10000 else 0
        end, to_jsonb(r.steps),
    extract(epoch from r.hold)::float8, r.least_uses, extract(epoch from r.patience)::float8, r.in_doubt, r.guards,
    r.step_began_at, case when r.state = 'running' then r.step_began_at + r.hold end, r.began_at, r.ended_at,
    t.ticked_at, greatest(0, extract(epoch from coalesce(r.ended_at, clock_timestamp()) - r.step_began_at))::float8,
    greatest(0, extract(epoch from clock_timestamp() - coalesce(t.ticked_at, r.began_at)))::float8,
    r.why, r.author, r.reason
"""
_TABLES: LiteralString = """
    from promptctl.rollouts r
    join promptctl.served s on s.name = r.name
    left join promptctl.rollout_ticks t on t.rollout = r.rollout
"""
_READ_OPEN = f"""
    select {_COLUMNS} {_TABLES} where r.state in ('running', 'paused') order by r.name
"""
_READ_LAST = f"""
    select {_COLUMNS} {_TABLES} where r.name = $1 order by r.rollout desc limit 1
"""
_READ_ENDED = f"""
    select distinct on (r.name) {_COLUMNS} {_TABLES}
    where r.name = any ($1) and r.ended_at >= $2::timestamptz and r.ended_at < $3::timestamptz
    order by r.name, r.rollout desc
"""
# The columns of RolloutChange, from a `rollout_change` c.
_CHANGE: LiteralString = """
    c.rollout, c.name, c.baseline, c.candidate, c.state, c.basis_points, to_jsonb(c.steps),
    extract(epoch from c.hold)::float8, c.least_uses, extract(epoch from c.patience)::float8, c.in_doubt, c.guards,
    c.changed, c.why
"""
_START = f"""
    select {_CHANGE}
    from promptctl.start_rollout(
        name => $1, candidate => $2, steps => $3::integer[], hold => make_interval(secs => $4::float8),
        least_uses => $5, patience => make_interval(secs => $6::float8), in_doubt => $7, guards => $8::jsonb,
        prices => $9::jsonb, author => $10, reason => $11, allow_new_variables => $12,
        release => $13, origin => $14::jsonb) c
"""  # noqa: S608 - of constants
_PAUSE = f"select {_CHANGE} from promptctl.pause_rollout($1, $2, $3) c"  # noqa: S608 - of constants
_RESUME = f"select {_CHANGE} from promptctl.resume_rollout($1, $2, $3) c"  # noqa: S608 - of constants
_STOP = f"select {_CHANGE} from promptctl.stop_rollout($1, $2, $3) c"  # noqa: S608 - of constants
# The columns of Tick, from a `rollout_tick` t.
_TICK_COLUMNS: LiteralString = """
    t.rollout, t.name, t.action, t.state, r.baseline, r.candidate, t.basis_points, t.previous_basis_points,
    t.next_basis_points, t.next_at, t.why, t.evidence,
    greatest(0, extract(epoch from clock_timestamp() - r.began_at))::float8
"""
_TICK = f"""
    select {_TICK_COLUMNS}
    from promptctl.tick_rollout($1, $2) t left join promptctl.rollouts r on r.rollout = t.rollout
"""  # noqa: S608 - of constants
_EXPLAIN = f"""
    select {_TICK_COLUMNS}
    from promptctl.explain_rollout($1) t left join promptctl.rollouts r on r.rollout = t.rollout
"""  # noqa: S608 - of constants


def start(
    database: Database,
    name: str,
    candidate: int,
    plan: RolloutPlan,
    *,
    prices: Sequence[Mapping[str, Any]],
    author: str,
    reason: str | None = None,
    allow_new_variables: bool = False,
    release: int | None = None,
    origin: Mapping[str, Any] | None = None,
) -> RolloutChange:
    """Start a rollout of `candidate`.

    `prices` are those of `promptctl.compare_versions`, for a guard of the cost. If a rollout of the same candidate is
    open, it stays as it is. The rollout is added to `release`, which this transaction has opened, with its `origin`.
    Raises NotFound. Raises Refused for what `splits.set_split` refuses, if a rollout of another candidate is open, and
    if another session has locked the prompt.
    """
    rows = database.run(
        _START,
        name,
        candidate,
        None if plan.steps is None else list(plan.steps),
        plan.hold_seconds,
        plan.least_uses,
        plan.patience_seconds,
        plan.in_doubt,
        None if plan.guards is None else _json(plan.guards),
        _json(prices),
        author,
        reason,
        allow_new_variables,
        release,
        None if origin is None else _json(origin),
    )
    return RolloutChange(*rows[0])


def pause(database: Database, name: str, *, author: str, reason: str | None = None) -> RolloutChange:
    """Pause the open rollout of a prompt at its present share. A paused rollout stays as it is.

    Raises NotFound, also without an open rollout, and Refused if another session has locked the prompt.
    """
    return RolloutChange(*database.run(_PAUSE, name, author, reason)[0])


def resume(database: Database, name: str, *, author: str, reason: str | None = None) -> RolloutChange:
    """Resume the paused rollout of a prompt at its present share; the least time of the step begins again.

    A running rollout stays as it is. Raises as `pause` does, and Refused for a share of 0% or 100%.
    """
    return RolloutChange(*database.run(_RESUME, name, author, reason)[0])


def stop(database: Database, name: str, *, author: str, reason: str | None = None) -> RolloutChange:
    """Stop the open rollout of a prompt and end its split. Raises as `pause` does."""
    return RolloutChange(*database.run(_STOP, name, author, reason)[0])


def tick(database: Database, name: str, *, author: str) -> Tick:
    """Take the next step of the running rollout of a prompt, if it is due, in one transaction. Raises NotFound.

    It does not wait: if another session is changing the prompt, `action` is busy.
    """
    return Tick(*database.run(_TICK, name, author)[0])


def explain(database: Database, name: str) -> Tick:
    """Return what a tick would do now; for a rollout that has ended, the figures of its last decision.

    Raises NotFound.
    """
    return Tick(*database.run(_EXPLAIN, name)[0])


def read_open(database: Database) -> list[Rollout]:
    """Return the running and paused rollouts by name."""
    return [Rollout(*row) for row in database.run(_READ_OPEN)]


def read_ended(database: Database, names: Sequence[str], begin: Timestamp, end: Timestamp) -> list[Rollout]:
    """Return the last rollout of each of these prompts that ended in a period, by name."""
    return [Rollout(*row) for row in database.run(_READ_ENDED, list(names), begin, end)]


def read_last(database: Database, name: str) -> tuple[Rollout, list[RolloutEvent], dict[int, int]] | None:
    """Return the last rollout of a prompt, open or ended, its events, and the uses of the candidate by share.

    None if the prompt had no rollout. Raises NotFound.
    """
    rollouts, events, uses = database.run_all(
        (_READ_LAST, [name]),
        (
            """
            select e.kind, e.basis_points, e.why, e.author, e.happened_at
            from promptctl.rollout_events e
            where e.rollout = (select max(r.rollout) from promptctl.rollouts r where r.name = $1)
            order by e.place
            """,
            [name],
        ),
        (
            """
            select c.share, c.uses_b
            from (select * from promptctl.rollouts r where r.name = $1 order by r.rollout desc limit 1) r
            cross join lateral promptctl.compare_versions(
                r.name, r.baseline, r.candidate,
                array(select a.epoch from promptctl.allocations a
                      where a.name = r.name and a.epoch >= r.first_epoch and a.seed = r.seed)) c
            where c.metric = 'uses' and c.share is not null
            """,
            [name],
        ),
    )
    if not rollouts:
        prompt_states.require_prompt(database, name)
        return None
    return Rollout(*rollouts[0]), [RolloutEvent(*row) for row in events], dict(uses)


def read_looks(database: Database, rollout: int) -> list[Look]:
    """Return what ticks saw of the guards of a rollout, oldest first."""
    rows = database.run(
        """
        select l.metric, l.looked_at, l.difference, l.lower, l.upper
        from promptctl.rollout_looks l where l.rollout = $1 order by l.looked_at, l.metric
        """,
        rollout,
    )
    return [Look(*row) for row in rows]


def running_names(database: Database) -> list[str]:
    """Return the names of the prompts whose rollout runs, in order."""
    rows = database.run("select r.name from promptctl.rollouts r where r.state = 'running' order by r.name")
    return [name for (name,) in rows]


def read_models(database: Database, name: str, candidate: int) -> list[str]:
    """Return the models that uses of a prompt named, and those of the settings of its two versions, by name."""
    rows = database.run(
        """
        select m.model from (
            select t.model from promptctl.totals t where t.name = $1 and t.grain = 'all'
            union
            select u.model from promptctl.uses u
            where u.name = $1 and u.recorded_in >= (select promptctl.rolled_below())
            union
            select v.settings ->> 'model' from promptctl.versions v join promptctl.served s on s.name = v.name
            where v.name = $1 and v.version in ($2, s.active_version)
        ) m where m.model is not null order by m.model
        """,
        name,
        candidate,
    )
    return [model for (model,) in rows]


def roll_up(database: Database) -> None:
    """Roll up uses before a tick, which then reads fewer. A login that may not roll up leaves them as they are."""
    database.run(
        """
        select promptctl.roll_up_uses()
        where has_function_privilege('promptctl.roll_up_uses(bigint)', 'execute')
        """
    )


def _json(value: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    import json

    return json.dumps(value)
