"""Uses for tests and benchmarks of rollouts: a few with chosen numbers, or the traffic of users with their habits."""

from __future__ import annotations

import itertools
import math
import random
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptctl.rules import buckets
from tests.schema.support import record, rows, run, value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    Connection = psycopg.Connection[Any]

MODEL = "claude-sonnet-5-5"
PRICES = (
    f'[{{"model": "{MODEL}", "size": 0, "input": 3e-6, "output": 15e-6, "cache_read": 3e-7, "cache_write": 3.75e-6}}]'
)
GUARDS = (
    '[{"metric": "errors", "tolerance": 0.01}, {"metric": "time", "tolerance": 0.139762}, '
    '{"metric": "cost", "tolerance": 0.09531}, {"metric": "score", "tolerance": 0.02}]'
)


def feed(connection: Connection, name: str, uses: int = 300, **candidate: Any) -> None:
    """Record `uses` uses of the active version and as many of the candidate, spread over their buckets.

    `candidate` has fields of the candidate's uses that differ, as in `record`: `response_ms` is a factor.
    """
    [(active, split, share, epoch)] = rows(
        connection,
        "select active_version, candidate_version, basis_points, epoch from promptctl.served where name = %s",
        name,
    )
    factor = candidate.pop("response_ms", 1)
    plain = {"names": name, "epochs": epoch, "models": MODEL, "input_tokens": 100, "output_tokens": 50}
    for version, first, width in ((active, share, 10000 - share), (split, 0, share)):
        is_candidate = version == split
        count = uses if is_candidate else uses * width // share
        record(
            connection,
            [
                plain
                | {
                    "versions": version,
                    "buckets": first + number * width // count,
                    "response_ms": factor and (900 + number * 37 % 200) * (factor if is_candidate else 1),
                }
                | (candidate if is_candidate else {})
                for number in range(count)
            ],
        )


def let_time_pass(connection: Connection, name: str, interval: str = "2 hours") -> None:
    """Move the times of a prompt's rollouts into the past, as a database that is older would have them."""
    with connection.transaction():
        connection.execute("set local session_replication_role = replica")
        run(
            connection,
            """
            update promptctl.rollouts set began_at = began_at - %(interval)s::interval,
                step_began_at = step_began_at - %(interval)s::interval where name = %(name)s
            """,
            {"interval": interval, "name": name},
        )
        run(
            connection,
            """
            update promptctl.rollout_looks set looked_at = looked_at - %(interval)s::interval
            where rollout in (select rollout from promptctl.rollouts where name = %(name)s)
            """,
            {"interval": interval, "name": name},
        )
        connection.execute("set local session_replication_role = origin")


@dataclass(frozen=True)
class Harm:
    """What the candidate does worse: more errors (a rate) and longer times (a logarithm), from a step on (0: first)."""

    errors: float = 0.0
    time: float = 0.0
    from_step: int = 0


class Users:
    """Users with habits: some call much more often, take longer or fail more often than others."""

    def __init__(self, chance: random.Random, seed: str) -> None:
        number = chance.choice([300, 1000, 3000, 20000])
        activity = [chance.gammavariate(0.5, 1) for _ in range(number)]
        if chance.random() < 0.15:  # a program that makes a quarter of the calls
            activity[0] += sum(activity) / 3
        self._chance = chance
        # The id of a use decides the group of a use without a unit, so it is the same in each run.
        self._use_numbers = itertools.count()
        self._numbers = range(number)
        self._activity = list(itertools.accumulate(activity))
        self._slowness = [chance.gauss(0, 0.28) for _ in range(number)]
        self._failures = [chance.betavariate(0.3, 14.7) for _ in range(number)]
        self._buckets = [buckets.bucket(seed, f"user-{n}") for n in range(number)]

    def uses(self, number: int, name: str, served: tuple[int, int], earlier: tuple[int, int] | None, step: int,
             harm: Harm) -> list[dict[str, Any]]:  # fmt: skip
        """Return uses of versions 1 and 2. `served` and `earlier`: the epoch and the share, now and before."""
        chance = self._chance
        uses: list[dict[str, Any]] = []
        for user in chance.choices(self._numbers, cum_weights=self._activity, k=number):
            # Some are recorded after the share has changed, and a tenth has no unit.
            epoch, share = earlier if earlier and chance.random() < 0.03 else served
            has_unit = chance.random() > 0.1
            bucket = self._buckets[user] if has_unit else chance.randrange(10000)
            is_harmed = bucket < share and step >= harm.from_step
            failed = chance.random() < self._failures[user] + harm.errors * is_harmed
            log_time = 7 + self._slowness[user] + chance.gauss(0, 0.45) + harm.time * is_harmed
            uses.append({
                "names": name, "versions": 2 if bucket < share else 1, "epochs": epoch,
                "buckets": bucket if has_unit else None, "models": MODEL,
                "ids": uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {next(self._use_numbers)}"),
                "input_tokens": round(math.exp(6.5 + chance.gauss(0, 0.8))),
                "output_tokens": None if failed else round(math.exp(5 + chance.gauss(0, 0.7))),
                "response_ms": None if chance.random() < 0.02 else math.exp(log_time),
                "first_token_ms": math.exp(log_time) / 5,
                "outcomes": "timeout" if failed else "ok",
                "scores": min(1.0, max(0.0, chance.gauss(0.7, 0.25))) if chance.random() < 0.2 else None,
            })  # fmt: skip
        return uses


@dataclass
class Course:
    """How a rollout went: the last action, the uses until then, and how many ticks it took."""

    action: str = "hold"
    why: str = ""
    uses: int = 0
    ticks: int = 0
    step: int = 0


def course(connection: Connection, name: str, chance: random.Random, harm: Harm, *, steps: Sequence[int],
           ticks_per_step: int, uses_per_tick: int, hold_ticks: int,
           before_tick: Callable[[], None] | None = None) -> Course:  # fmt: skip
    """Run a rollout of a new prompt through record_uses, roll_up_uses and tick_rollout, until it ends.

    A step is held for `hold_ticks` ticks. A step that is not decided in `ticks_per_step` ticks ends the course.
    """
    for text in ("one", "two"):
        connection.execute("select promptctl.create_version(%s, %s)", [name, text])
    connection.execute("select promptctl.activate(array[%s], array[1])", [name])
    connection.execute(
        """
        select promptctl.start_rollout(%s, 2, %s::integer[], '1 hour', 50, guards => %s::jsonb, prices => %s::jsonb)
        """,
        [name, list(steps), GUARDS, PRICES],
    )
    state = "select epoch, basis_points from promptctl.served where name = %s"
    users = Users(chance, value(connection, "select seed from promptctl.served where name = %s", name))
    result = Course()
    earlier: tuple[int, int] | None = None
    while True:
        [(epoch, share)] = rows(connection, state, name)
        for tick in range(ticks_per_step):
            uses = users.uses(uses_per_tick, name, (epoch, share), earlier, result.step, harm)
            assert record(connection, uses)[0] == len(uses)
            result.uses += uses_per_tick
            if chance.random() < 0.1:
                connection.execute("select promptctl.roll_up_uses()")
            if tick + 1 == hold_ticks:
                let_time_pass(connection, name)
            if before_tick:
                before_tick()
            [(result.action, result.why)] = rows(connection, "select action, why from promptctl.tick_rollout(%s)", name)
            result.ticks += 1
            if result.action == "advance":
                break
            if result.action != "hold":
                return result
        else:
            return result
        earlier = (epoch, share)
        result.step += 1
