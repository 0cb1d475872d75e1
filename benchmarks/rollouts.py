"""False alarms and missed harm of guarded rollouts, through record_uses, roll_up_uses and tick_rollout.

    python benchmarks/rollouts.py [--rollouts N] [--harmful N] [--seed N] [--jobs N] [--uses N]

Each rollout is of a new prompt with users of its own: few or many, some of whom call much more often, and in a part of
the rollouts a program that makes a quarter of the calls. A tenth of the uses has no unit, 2 % have no time, 3 % arrive
after the share has changed, a fifth is scored. A tick follows every 330 uses, and a share lasts for ten ticks at least.
Where nothing differs, a rollback is a false alarm. The other runs have a candidate that is harmful from the first share
on, or only from the last. Then the time of a tick is compared with that of the comparison alone.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from measure import Report, install, start_server

from tests.schema.rollout_traffic import GUARDS, MODEL, PRICES, Course, Harm, course
from tests.schema.support import run

STEPS = (1000, 2500, 5000)
TICKS_PER_STEP, USES_PER_TICK, HOLD_TICKS = 40, 330, 10
KINDS = {
    "no difference": Harm(),
    "time +30 %": Harm(time=math.log(1.3)),
    "errors +3 points": Harm(errors=0.03),
    "time +30 % from the last share on": Harm(time=math.log(1.3), from_step=len(STEPS) - 1),
}
# What compare calls proven: the margin of each metric, at a level that is divided by seven.
MARGINS = {
    "errors": 0.01, "time": math.log(1.1), "slow": 0.02, "first": math.log(1.1), "output": math.log(1.1),
    "cost": math.log(1.1), "score": 0.02,
}  # fmt: skip
LEVEL = 0.05 / len(MARGINS)
_INTERVALS = """
select c.metric, i.lower, i.upper, c.pooled * c.uses_b >= 5
from promptctl.compare_versions(%(name)s, 1, 2, null, %(prices)s::jsonb) c
join unnest(%(metrics)s::text[], %(margins)s::double precision[]) m (metric, margin) on m.metric = c.metric
cross join lateral (select case c.metric when 'cost' then ln(c.value_b / c.value_a)
                                       else c.difference end as difference,
                           case c.metric when 'cost' then c.pooled else 1 end as unit) d
cross join lateral promptctl.valid_interval(d.difference, c.se_null / d.unit, c.se_free / d.unit, m.margin, %(level)s) i
where c.share is null and least(c.uses_a, c.uses_b) >= 100 and least(c.units_a, c.units_b) >= 30 and i.lower is not null
"""
_COMPARE = """
select count(*) from promptctl.compare_versions('timed', 1, 2, (
    select array_agg(a.epoch) from promptctl.allocations a where a.name = 'timed' and a.seed is not null), %s::jsonb)
"""
_USES = """
insert into promptctl.uses (id, name, version, epoch, bucket, model, input_tokens, output_tokens, response_ms,
                            first_token_ms, outcome, score)
select gen_random_uuid(), 'timed', case when i %% 10000 < 1000 then 2 else 1 end, 2, i %% 10000, %(model)s,
       150 + i %% 99, 100 + i %% 200, exp(7 + random()), 200 + 100 * random(),
       case when i %% 57 = 0 then 'timeout' else 'ok' end, case when i %% 5 = 0 then random() end
from generate_series(1, %(uses)s::bigint) i
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rollouts", type=int, default=200, help="how many rollouts have no difference")
    options.add_argument("--harmful", type=int, default=60, help="how many rollouts each kind of harm has")
    options.add_argument("--seed", type=int, default=1, help="the first seed")
    options.add_argument("--jobs", type=int, default=2, help="how many rollouts run at once")
    options.add_argument("--uses", type=int, default=1_000_000, help="how many uses the timed tick compares")
    arguments = options.parse_args()
    report = Report()
    with start_server(shared_buffers="512MB", max_wal_size="4GB") as server:
        dsn = install(server, "rollouts")
        for kind, harm in KINDS.items():
            number = arguments.rollouts if kind == "no difference" else arguments.harmful
            if number:
                _run_all(report, dsn, kind, harm, number, arguments)
        report.heading(f"a tick over {arguments.uses:,} uses")
        _time_ticks(report, dsn, arguments.uses)
    return report.close()


def _run_all(report: Report, dsn: str, kind: str, harm: Harm, number: int, arguments: argparse.Namespace) -> None:
    report.heading(f"{kind}: {number} rollouts")
    began = time.perf_counter()

    def one(place: int) -> tuple[Course, Looks]:
        name = f"kind-{list(KINDS).index(kind)}/{place}"
        with psycopg.connect(dsn, autocommit=True) as connection:
            looks = Looks(connection, name, harm)
            chance = random.Random(arguments.seed + place)
            result = course(
                connection, name, chance, harm, steps=STEPS, ticks_per_step=TICKS_PER_STEP,
                uses_per_tick=USES_PER_TICK, hold_ticks=HOLD_TICKS, before_tick=looks.look,
            )  # fmt: skip
            return result, looks

    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = list(pool.map(one, range(number)))
    courses = [course for course, _ in outcomes]
    ends = Counter(c.action if c.action != "hold" else f"held at share {c.step + 1}" for c in courses)
    reasons = Counter(c.why.partition(":")[0] for c in courses if c.action in ("roll back", "pause"))
    note = ", ".join(f"{end} {count}" for end, count in sorted(ends.items()))
    back = [c for c in courses if c.action == "roll back"]
    if harm == Harm():
        report.add("rolled back", 100 * len(back) / number, 5, unit="%", note=note)
        proven = sum(bool(looks.proven) for _, looks in outcomes)
        report.add("any of seven metrics proven at any tick", 100 * proven / number, 5, unit="%")
        traffic = sum(c.action == "pause" for c in courses)
        ticks = sum(c.ticks for c in courses)
        report.add("ticks with a traffic alarm", 100 * traffic / ticks, 0.1, unit="%", note=f"of {ticks:,}")
    else:
        kept = 100 * sum(c.action == "promote" for c in courses) / number
        late = harm.from_step > 0
        report.add("promoted in spite of the harm", kept, None if late else 2, unit="%", note=note)
        if back:
            report.add("uses until the rollback, median", statistics.median(c.uses for c in back), unit="")
    missed = sum(looks.missed > 0 for _, looks in outcomes)
    shown = sum(looks.shown for _, looks in outcomes)
    report.add(
        "any interval ever without the true effect", 100 * missed / number, 5, unit="%", note=f"{shown:,} intervals"
    )
    if reasons:
        print("    " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()))
    print(f"    {time.perf_counter() - began:.0f} s")


class Looks:
    """What somebody sees who compares before every tick: what is ever proven, and intervals without the true effect."""

    def __init__(self, connection: psycopg.Connection[Any], name: str, harm: Harm) -> None:
        self._connection = connection
        self._parameters = {
            "name": name, "prices": PRICES, "metrics": list(MARGINS), "margins": list(MARGINS.values()), "level": LEVEL,
        }  # fmt: skip
        # Errors change the cost, and times the number of slow uses, by how much is not known here.
        self._effects = {"errors": harm.errors, "time": harm.time, "first": harm.time, "output": 0.0, "score": 0.0}
        if harm == Harm():
            self._effects |= {"slow": 0.0, "cost": 0.0}
        elif harm.from_step:
            self._effects = {}
        self.proven: set[str] = set()
        self.shown = 0
        self.missed = 0

    def look(self) -> None:
        """Compare over all shares."""
        for metric, lower, upper, has_errors in run(self._connection, _INTERVALS, self._parameters):
            if lower > 0 or upper < 0:
                self.proven.add(metric)
            # compare shows no interval of a rate with fewer than five.
            if metric in self._effects and (has_errors or metric not in ("errors", "slow")):
                self.shown += 1
                self.missed += not lower <= self._effects[metric] <= upper


def _time_ticks(report: Report, dsn: str, uses: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for text in ("one", "two"):
            connection.execute("select promptctl.create_version('timed', %s)", [text])
        connection.execute("select promptctl.activate('{timed}', '{1}')")
        connection.execute(
            "select promptctl.start_rollout('timed', 2, hold => '1 day', guards => %s::jsonb, prices => %s::jsonb)",
            [GUARDS, PRICES],
        )
        connection.execute(_USES, {"model": MODEL, "uses": uses})
        connection.execute("select promptctl.roll_up_uses(%s)", [10 * uses])
        connection.execute("vacuum (analyze) promptctl.bucket_totals")
        compared: list[float] = []
        ticked: list[float] = []
        for _ in range(31):
            for durations, statement, parameters in (
                (compared, _COMPARE, [PRICES]), (ticked, "select promptctl.tick_rollout('timed')", []),
            ):  # fmt: skip
                began = time.perf_counter()
                run(connection, statement, parameters)
                durations.append((time.perf_counter() - began) * 1000)
    report.add("compare_versions", statistics.median(compared), unit="ms")
    report.add("tick_rollout", statistics.median(ticked), unit="ms")
    ratios = [tick / comparison for tick, comparison in zip(ticked, compared, strict=True)]
    report.add("tick_rollout / compare_versions", statistics.median(ratios), 1.3)


if __name__ == "__main__":
    raise SystemExit(main())
