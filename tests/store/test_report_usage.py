"""A report reads the same numbers as `stats`, before and after a roll-up."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.claude import prices
from promptctl.cli import report_reading
from promptctl.postgres import connecting
from promptctl.rules import report_periods, statistics
from promptctl.store import report_usage, usage

if TYPE_CHECKING:
    import psycopg

    from promptctl.postgres.database import Database
    from promptctl.rules.usage_series import Numbers

    Connection = psycopg.Connection[Any]

BEGIN = "2026-11-02T00:00:00Z"
_DAYS = 6
_USES = """
insert into promptctl.uses (id, name, version, epoch, model, input_tokens, output_tokens, cache_read_tokens,
                            cache_write_tokens, response_ms, outcome, score, recorded_at)
values (gen_random_uuid(), %s, %s, 0, %s, %s, %s, %s, %s, %s, %s, %s, %s::timestamptz + %s * interval '1 second')
"""


def fill(sql: Connection) -> None:
    """Record uses of two prompts over six days, with a gap of a day, and scores that came later."""
    generator = random.Random(7)
    for name in ("a", "b"):
        for content in ("one", "two"):
            sql.execute("select promptctl.create_version(%s, %s)", [name, content])
    rows: list[list[Any]] = []
    for number in range(300):
        day = generator.choice([0, 1, 2, 4, 5])
        size = generator.choice([None, 900, 150_000, 250_000])
        cached = size is not None and generator.random() < 0.5
        rows.append([
            generator.choice("ab"), generator.choice([1, 2]),
            generator.choice([None, "claude-sonnet-4-5", "claude-haiku-5-5", "claude-sonnet-4-5"]), size,
            generator.choice([None, 50, 700]), 300 if cached else None, 40 if cached else None,
            generator.choice([None, generator.lognormvariate(7, 1), 0.0]),
            generator.choice(["ok", "ok", "ok", "failed"]), generator.choice([None, 0.25, 0.5, -1.0]), BEGIN,
            day * 86_400 + (number * 7919) % 86_400,
        ])  # fmt: skip
    sql.cursor().executemany(_USES, rows)
    sql.execute("select promptctl.score_use(u.id, 0.75) from promptctl.uses u where u.score is null limit 20")


def numbers_of(
    database: Database, until: str = "2026-11-08T00:00:00Z"
) -> dict[tuple[str, int | None, str | None], Numbers]:
    report = report_reading.read(database, [], BEGIN, until)
    found: dict[tuple[str, int | None, str | None], Numbers] = {}
    for prompt in report.prompts:
        assert prompt.series is not None
        name = prompt.state.name
        found |= {(name, version, None): numbers for version, numbers in prompt.series.versions.items()}
        found |= {
            (name, None, f"2026-11-{2 + step:02}"): numbers
            for step, numbers in enumerate(prompt.series.steps)
            if numbers.uses
        }
    return found


def test_a_report_has_the_numbers_of_stats(database_url: str, sql: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(sql)
    with connecting.connect(database_url) as database:
        expected: dict[tuple[str, int | None, str | None], statistics.Group] = {}
        for by in (["version"], ["day"]):
            measured = usage.read_measurements(database, None, BEGIN, by, trend=False, price_days=())
            for group in statistics.aggregate(measured, by, prices.cost_usd):
                expected[group.name, group.version, group.day] = group
        for rolled_up in ("nothing", "all"):
            if rolled_up == "all":
                sql.execute("select promptctl.roll_up_uses()")
            numbers = numbers_of(database)
            assert numbers.keys() == expected.keys()
            for key, group in expected.items():
                compare(numbers[key], group)
        # As if the roll-up had come between the two readings.
        now = report_usage.read_clock(database).now

        def stale_clock(_: Database) -> report_usage.Clock:
            return report_usage.Clock(now, 0)

        monkeypatch.setattr(report_usage, "read_clock", stale_clock)
        numbers = numbers_of(database)
        for key, group in expected.items():
            compare(numbers[key], group)
        # A step of a week has the same uses as its days.
        whole = report_reading.read(database, ["a"], "2026-01-01T00:00:00Z", "2026-11-08T00:00:00Z")
        assert whole.period.step == report_periods.WEEK
        [prompt] = whole.prompts
        assert prompt.series is not None
        assert sum(step.uses for step in prompt.series.steps) == prompt.series.whole.uses > 100


def compare(numbers: Numbers, group: statistics.Group) -> None:
    assert (numbers.uses, numbers.errors, numbers.scored) == (group.uses, group.errors, group.scored)
    for ours, theirs in (
        (numbers.p50, group.p50_response_time_ms),
        (numbers.p95, group.p95_response_time_ms),
        (numbers.input_tokens, group.avg_input_tokens),
        (numbers.output_tokens, group.avg_output_tokens),
        (numbers.cost, group.cost_usd),
        (numbers.cache_hits, group.cache_hit_rate),
        (numbers.cache_saved, group.cache_saved_usd),
        (numbers.score, group.avg_score),
    ):
        assert ours == (theirs if theirs is None else pytest.approx(theirs, rel=1e-9))
