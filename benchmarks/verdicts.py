"""How often verdicts on runs of test cases are right and wrong, in simulated runs.

    python benchmarks/verdicts.py [--runs N] [--first N] [--jobs N] [--write]

Replies pass at random, with a probability for each case (tests/rules/simulated_runs.py). With --write, the figures go
to benchmarks/verdicts.json, from which a test makes the table in docs/tests.md. The last figures are those of simpler
rules, with the same probabilities: one failed reply fails the run, a case that passed and now fails does, and a case
whose intervals before and now are separate.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from measure import ROOT, Report

from promptctl.rules.test_verdicts import DEFAULT_MARGIN, Counts, judge_run
from tests.rules.simulated_runs import (
    FIRST_RUN,
    KEPT_VERDICTS,
    LEAST_FOUND,
    LETTERS,
    LOOKED_AT,
    MIX,
    MOST_CALLS,
    MOST_FALSE,
    MOST_FALSE_OF_DAYS,
    MOST_LOOKED_AT,
    MOST_MISSED,
    SCENARIOS,
    simulate,
    simulate_looks,
)

TABLE = ROOT / "benchmarks" / "verdicts.json"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=4000, help="how many runs each scenario has")
    options.add_argument("--first", type=int, default=FIRST_RUN, help="the number of the first run, which is its seed")
    options.add_argument("--jobs", type=int, default=2, help="how many processes simulate at once")
    options.add_argument("--write", action="store_true", help=f"write {TABLE.relative_to(ROOT)}")
    arguments = options.parse_args()
    report = Report()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        numbers = range(arguments.first, arguments.first + arguments.runs)
        rows = dict(zip(SCENARIOS, pool.map(summary, SCENARIOS, [numbers] * len(SCENARIOS)), strict=True))
    for name, row in rows.items():
        _add(report, name, row)
    others = simpler_rules(arguments.runs)
    report.heading("simpler rules, 20 cases")
    for name, (false, found) in others.items():
        report.add(f"{name}: the same text", false * 100, unit="%")
        report.add(f"{name}: one case from 98% to 2%", found * 100, unit="%")
    repeated = looks(range(arguments.first, arguments.first + min(arguments.runs, MOST_LOOKED_AT)))
    report.heading("looks with more replies while a run is undecided")
    for name, rates in repeated["wrong"].items():
        for count, rate in enumerate(rates, 1):
            report.add(f"{name}: {LOOKED_AT[name]} after {count}", rate * 100, unit="%")
    _time(report)
    if arguments.write:
        table = {
            "runs": arguments.runs, "first": arguments.first, "scenarios": rows, "simpler rules": others,
            "looks": repeated,
        }  # fmt: skip
        TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return report.close()


def summary(name: str, numbers: range) -> dict[str, Any]:
    """Return how often each verdict comes, the mean number of calls, and how often the interval has the change."""
    scenario = SCENARIOS[name]
    words: Counter[str] = Counter()
    calls, has, below = 0.0, 0, 0
    first = ""
    for number in numbers:
        verdict, of_case, _ = simulate(scenario, number)
        words[verdict.word] += 1
        calls += of_case
        assert verdict.interval is not None
        has += verdict.interval[0] <= scenario.change <= verdict.interval[1]
        below += verdict.interval[0] <= scenario.change
        if len(first) < KEPT_VERDICTS:
            first += LETTERS[verdict.word]
    runs = len(numbers)
    rates = {word: round(words[word] / runs, 4) for word in LETTERS}
    return rates | {
        "calls": round(calls / runs, 3), "interval": round(has / runs, 4), "lower end": round(below / runs, 4),
        "first": first,
    }  # fmt: skip


def looks(numbers: range) -> dict[str, Any]:
    """Return how often a verdict is wrong after each of LOOKS, by scenario."""
    wrong: dict[str, list[float]] = {}
    for name, word in LOOKED_AT.items():
        words = [simulate_looks(name, number) for number in numbers]
        wrong[name] = [round(sum(one == word for one in look) / len(words), 4) for look in zip(*words, strict=True)]
    return {"runs": len(numbers), "wrong": wrong}


def simpler_rules(runs: int) -> dict[str, tuple[float, float]]:
    """Return how often rules fail a run of 20 cases: with the same text, and with one case that falls to 2 %."""
    cases = [MIX[index % len(MIX)] for index in range(20)]
    numbers: Counter[tuple[str, bool]] = Counter()
    names = ("one failed reply", "passed and now fails", "separate intervals of 3 replies")
    source = random.Random(1)
    for _ in range(runs):
        for is_broken in (False, True):
            rates = [0.02, *cases[1:]] if is_broken else cases
            before, now = ([sum(source.random() < rate for _ in range(3)) for rate in side] for side in (cases, rates))
            one = [(source.random() * 3 < old, source.random() * 3 < new) for old, new in zip(before, now, strict=True)]
            numbers[names[0], is_broken] += not all(new for _, new in one)
            numbers[names[1], is_broken] += any(old and not new for old, new in one)
            pairs = zip(before, now, strict=True)
            numbers[names[2], is_broken] += any(_wilson(new, 3)[1] < _wilson(old, 3)[0] for old, new in pairs)
    return {name: (numbers[name, False] / runs, numbers[name, True] / runs) for name in names}


def _wilson(passes: int, replies: int) -> tuple[float, float]:
    """Return the interval of 95 % of E. B. Wilson (1927)."""
    z = 1.96
    center = (passes + z * z / 2) / (replies + z * z)
    half = z / (replies + z * z) * math.sqrt(passes * (replies - passes) / replies + z * z / 4)
    return center - half, center + half


def _add(report: Report, name: str, row: dict[str, Any]) -> None:
    report.heading(name)
    if name.startswith("same text"):
        limit = MOST_FALSE_OF_DAYS if SCENARIOS[name].day_spread else MOST_FALSE
        report.add("worse", row["worse"] * 100, limit * 100, unit="%")
    else:
        report.add("worse", row["worse"] * 100, unit="%")
        if name in LEAST_FOUND:
            report.add("not found worse", (1 - row["worse"]) * 100, (1 - LEAST_FOUND[name]) * 100, unit="%")
    is_margin = SCENARIOS[name].change <= -DEFAULT_MARGIN and not SCENARIOS[name].day_spread
    report.add("not worse", row["not worse"] * 100, MOST_MISSED * 100 if is_margin else None, unit="%")
    for word in ("undecided", "better"):
        report.add(word, row[word] * 100, unit="%")
    report.add("new calls for each case", row["calls"], MOST_CALLS.get(name), unit="")
    report.add("the change is not in the interval of 90 %", (1 - row["interval"]) * 100, unit="%")
    report.add("the change is below the lower end", (1 - row["lower end"]) * 100, unit="%")


def _time(report: Report) -> None:
    source = random.Random(1)
    cases = [Counts(source.randint(15, 30), 30, source.randint(0, 3), 3) for _ in range(1000)]
    began = time.perf_counter()
    judge_run([cases], DEFAULT_MARGIN)
    report.heading("time")
    report.add("a verdict on 1 000 cases", time.perf_counter() - began, 1, unit="s")


if __name__ == "__main__":
    raise SystemExit(main())
