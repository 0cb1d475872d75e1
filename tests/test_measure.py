"""What is read of uses is the same whether they are in totals, are not yet, or are partly gone."""

from __future__ import annotations

import random
import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.cli import time_values
from promptctl.postgres import connecting
from promptctl.rules import statistics
from promptctl.store import maintenance
from promptctl.store import usage as store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psycopg

    from promptctl.postgres.database import Database
    from promptctl.rules.statistics import Group

    Connection = psycopg.Connection[Any]

RECORD_AT = """
select promptctl.record_uses(array[gen_random_uuid()], '{x}', '{1}', '{0}', array[%s::float8], '{null}', '{m}', '{1}',
                             '{1}', '{null}', '{null}', '{1}', '{null}', '{ok}', '{null}', '{null}')
"""
BY = [by for number in (1, 2, 4) for by in combinations(statistics.KEYS, number)]
INSERT = """
insert into promptctl.uses (id, name, version, epoch, bucket, model, input_tokens, output_tokens, cache_read_tokens,
                            response_ms, first_token_ms, outcome, score, recorded_at)
values (%s, %s, %s, 1, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


@dataclass
class Use:
    """A use as it was recorded, and its score as it is now."""

    name: str
    version: int
    unit: int | None
    model: str | None
    tokens: int | None
    reply: int | None
    cached: int | None
    milliseconds: float | None
    first: float | None
    outcome: str
    score: float | None
    at: datetime
    id: uuid.UUID = field(default_factory=uuid.uuid4)

    def key(self, by: Sequence[str]) -> tuple[Any, ...]:
        keys = {
            "version": self.version,
            "day": f"{self.at:%Y-%m-%d}",
            "hour": f"{self.at:%Y-%m-%dT%H:00:00Z}",
            "model": self.model,
        }
        return (self.name, *(keys[key] for key in statistics.KEYS if key in by))


def some_use(chance: random.Random, now: datetime) -> Use:
    def perhaps(value: Any) -> Any:
        return value if chance.random() < 0.8 else None

    return Use(
        name=chance.choice(["x", "x", "y"]),
        version=chance.randint(1, 3),
        unit=perhaps(chance.randrange(10_000)),
        model=chance.choice([None, "a", "b"]),
        tokens=perhaps(chance.choice([0, 90_000, 100_000, 100_001, 200_000, 200_001, 900_000])),
        reply=perhaps(chance.randrange(1000)),
        cached=0,
        milliseconds=perhaps(chance.choice([0.0, 0.0005, chance.lognormvariate(7, 1), 1e12])),
        first=perhaps(chance.uniform(1, 500)),
        outcome=chance.choice(["ok", "ok", "ok", "overloaded_error"]),
        score=chance.choice([None, None, 0.25, 1.0, -2.0]),
        # Half of them lie where a moment will cut.
        at=now - timedelta(days=chance.choice([chance.uniform(0, 3), chance.uniform(0.96, 1.04)])),
    )


def record(sql: Connection, uses: Sequence[Use]) -> None:
    for use in uses:
        told = (use.unit, use.model, use.tokens, use.reply, use.cached, use.milliseconds, use.first)
        sql.execute(INSERT, [use.id, use.name, use.version, *told, use.outcome, use.score, use.at])


def rate(sql: Connection, use: Use, score: float) -> None:
    sql.execute("select promptctl.score_use(%s, %s)", [use.id, score])
    use.score = score


def roll_up(sql: Connection) -> int:
    row = sql.execute("select promptctl.roll_up_uses()").fetchone()
    assert row is not None
    return row[0]


def average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def free(*_: object) -> float:
    return 0.0


def close(found: float | None, expected: float | None, within: float = 1e-9) -> bool:
    if found is None or expected is None:
        return found is expected
    return found == pytest.approx(expected, rel=within, abs=1e-9)


def check(found: Sequence[Group], uses: Sequence[Use], by: Sequence[str]) -> None:
    """Check every group, and that there is each, against its uses."""
    groups: dict[tuple[Any, ...], list[Use]] = defaultdict(list)
    for use in uses:
        groups[use.key(by)].append(use)
    told = {(group.name, *(getattr(group, key) for key in statistics.KEYS if key in by)): group for group in found}
    if tuple(by) == ("version",):
        told = {key: group for key, group in told.items() if group.uses}
    assert told.keys() == groups.keys()
    for key, group in told.items():
        these = groups[key]
        well = [use for use in these if use.outcome == "ok"]
        assert group.uses == len(these), key
        assert group.errors == len(these) - len(well)
        assert group.without_unit == sum(use.unit is None for use in these)
        assert group.scored == sum(use.score is not None for use in these)
        assert close(group.avg_score, average([use.score for use in these]))
        assert close(group.avg_input_tokens, average([use.tokens for use in well]))
        assert close(group.avg_output_tokens, average([use.reply for use in well]))
        both = [use.tokens + use.reply for use in well if use.tokens is not None and use.reply is not None]
        assert close(group.avg_tokens, average(both))
        assert close(group.avg_response_time_ms, average([use.milliseconds for use in well]))
        assert close(group.avg_first_token_ms, average([use.first for use in well]))
        assert (group.input_tokens or 0) == sum(use.tokens or 0 for use in these)
        times = sorted(use.milliseconds for use in well if use.milliseconds is not None)
        for percent in (50, 95, 99):
            exact = times[-(-percent * len(times) // 100) - 1] if times else None
            percentile = getattr(group, f"p{percent}_response_time_ms")
            # What takes less than a microsecond is all one.
            assert close(percentile, exact, 0.011) or (exact is not None and exact < 0.001 > percentile), key
        assert group.last_used_at is not None
        assert datetime.fromisoformat(group.last_used_at) == max(use.at for use in these)


@pytest.fixture
def database(sql: Connection, database_url: str) -> Iterator[Database]:
    """A database with two prompts of three versions, as the command line opens it."""
    for name in ("x", "y"):
        for version in range(3):
            sql.execute("select promptctl.create_version(%s, %s, author => 'me')", [name, f"{name} {version}"])
    with connecting.connect(database_url) as opened:
        yield opened


def read(database: Database, name: str | None, by: Sequence[str], since: datetime | None = None) -> list[Group]:
    moment = since and since.isoformat()
    measured = store.read_measurements(database, name, moment, by, trend=False)
    # The order is of another test.
    return statistics.aggregate(measured, by, free)


def check_all(database: Database, uses: Sequence[Use], since: datetime | None = None) -> None:
    for by in BY:
        for name in (None, "x"):
            check(
                read(database, name, by, since),
                [use for use in uses if name in (None, use.name) and (since is None or use.at >= since)],
                by,
            )


def test_statistics_are_the_same_before_during_and_after_a_roll_up(sql: Connection, database: Database) -> None:
    chance = random.Random(5)
    now = datetime.now(timezone.utc)
    uses = [some_use(chance, now) for _ in range(300)]
    moments = [None, now - timedelta(days=1, minutes=7), now.replace(minute=0, second=0, microsecond=0)]
    moments.append(now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1))
    record(sql, uses[:150])
    for since in moments:
        check_all(database, uses[:150], since)
    assert roll_up(sql) == 150
    # Some come late, some have scores that come later, some have scores that are changed.
    record(sql, uses[150:])
    for use in chance.sample(uses, 60):
        rate(sql, use, chance.choice([0.0, 0.5, 3.0]))
    for since in moments:
        check_all(database, uses, since)
    assert roll_up(sql) == 150
    for since in moments:
        check_all(database, uses, since)
    for use in chance.sample(uses, 60):
        rate(sql, use, chance.choice([0.125, 0.5, 3.0]))
    for since in moments:
        check_all(database, uses, since)
    assert roll_up(sql) == 0
    for since in moments:
        check_all(database, uses, since)


def test_single_uses_may_go_and_their_hour_counts_whole(sql: Connection, database: Database) -> None:
    chance = random.Random(6)
    now = datetime.now(timezone.utc)
    uses = [some_use(chance, now) for _ in range(200)]
    record(sql, uses)
    for use in chance.sample(uses, 50):
        rate(sql, use, 0.5)
    roll_up(sql)
    kept_from = (now - timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    for pages in (0, 1000):
        sql.execute("select promptctl.drop_uses(%s, 0, %s)", [kept_from, pages])
        check_all(database, uses)
        # In an hour whose uses are kept a moment cuts; in one whose uses are gone, or about to go, it does not.
        check_all(database, uses, kept_from + timedelta(minutes=30))
        gone = kept_from - timedelta(minutes=30)
        for by in BY:
            whole = [use for use in uses if use.at >= gone.replace(minute=0)]
            check(read(database, None, by, gone), whole, by)
    left = sql.execute("select count(*), count(*) filter (where recorded_at < %s) from promptctl.uses", [kept_from])
    assert left.fetchone() == (sum(use.at >= kept_from for use in uses), 0)


def test_maintenance_rolls_up_and_drops_where_uses_lie(sql: Connection, database: Database) -> None:
    chance = random.Random(7)
    now = datetime.now(timezone.utc)
    uses = [some_use(chance, now) for _ in range(200)]
    record(sql, uses[:150])
    assert maintenance.count_uses_to_roll_up(database) == 150
    rolled_up = maintenance.roll_up(database)
    assert rolled_up is not None
    assert rolled_up.uses == 150
    assert rolled_up.rolled_below <= rolled_up.horizon
    record(sql, uses[150:])
    assert maintenance.count_uses_to_roll_up(database) == 50
    before = maintenance.begin_dropping(database, 86_400)
    moment = datetime.fromisoformat(before)
    assert timedelta(days=1) <= datetime.now(timezone.utc) - moment <= timedelta(days=1, hours=1, seconds=60)
    gone = sum(use.at < moment for use in uses[:150])
    found = maintenance.count_uses_to_drop(database, before)
    assert found == {0: gone}
    assert maintenance.drop_uses(database, before, 500) == 0
    assert maintenance.drop_uses(database, before, 0) == gone
    assert maintenance.count_uses_to_drop(database, before) == {}
    check_all(database, uses)
    assert maintenance.roll_up(database) is not None
    check_all(database, uses)


def test_the_view_says_what_raw_counts_say(sql: Connection, database: Database) -> None:
    def check_view() -> None:
        rows = sql.execute("select name, version, stats from promptctl.prompts").fetchall()
        assert len(rows) == 6
        for name, version, stats in rows:
            these = [use for use in uses if (use.name, use.version) == (name, version)]
            well = [use for use in these if use.outcome == "ok"]
            assert stats["total_uses"] == len(these)
            assert stats["errors"] == len(these) - len(well)
            both = [use.tokens + use.reply for use in well if use.tokens is not None and use.reply is not None]
            # To so many digits after the point.
            for key, exact, digits in (
                ("avg_tokens", average(both), 2),
                ("avg_response_time_ms", average([use.milliseconds for use in well]), 2),
                ("avg_score", average([use.score for use in these]), 4),
            ):
                told = stats.get(key)
                assert told is exact is None or told == pytest.approx(exact, rel=1e-12, abs=0.51 * 10**-digits)
            assert datetime.fromisoformat(stats["last_used_at"]) == max(use.at for use in these)

    chance = random.Random(8)
    now = datetime.now(timezone.utc)
    uses = [some_use(chance, now) for _ in range(100)]
    record(sql, uses)
    check_view()
    roll_up(sql)
    check_view()
    late = [some_use(chance, now) for _ in range(50)]
    record(sql, late)
    uses += late
    for use in chance.sample(uses, 40):
        rate(sql, use, 0.75)
    check_view()
    roll_up(sql)
    check_view()
    sql.execute("select promptctl.drop_uses(now(), 0, 1000)")
    check_view()
    # Retired versions are not in the view, and show has their numbers all the same.
    row = sql.execute("select stats from promptctl.version_stats where name = 'x' and version = 3").fetchone()
    sql.execute("select promptctl.retire('x', 3)")
    again = sql.execute("select stats from promptctl.version_stats where name = 'x' and version = 3").fetchone()
    assert row == again is not None


def test_a_trend_is_the_same_before_and_after_a_roll_up(sql: Connection, database: Database) -> None:
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    chance = random.Random(9)
    uses: list[Use] = []
    for ago in (0, 0.5, 1, 13, 14, 20):
        use = some_use(chance, today)
        use.name, use.version, use.at = "x", 1, today - timedelta(days=ago)
        uses.append(use)
    record(sql, uses)

    def trend(since: datetime | None) -> list[int]:
        measured = store.read_measurements(database, "x", since and since.isoformat(), ["version"], trend=True)
        [group] = [group for group in statistics.aggregate(measured, ["version"], free) if group.version == 1]
        return list(group.trend)

    for _ in range(2):
        assert trend(None) == [1, *[0] * 11, 2, 1]
        assert trend(today - timedelta(days=1)) == [*[0] * 12, 2, 1]
        assert trend(today - timedelta(days=1) + timedelta(seconds=1)) == [*[0] * 12, 1, 1]
        assert trend(today - timedelta(hours=11)) == [*[0] * 13, 1]
        roll_up(sql)


def test_nothing_is_counted_twice_or_left_out_while_it_is_rolled_up(
    database: Database, connect: Callable[..., Connection]
) -> None:
    """One session records, one rolls up, and what is read meanwhile never falls and never leads."""
    recorder, adder = connect(), connect()
    recorded, stop = 0, threading.Event()

    def roll_up_always() -> None:
        while not stop.is_set():
            roll_up(adder)

    thread = threading.Thread(target=roll_up_always)
    thread.start()
    try:
        for number in range(60):
            for _ in range(5):
                recorder.execute("select promptctl.record_use('x', 1, 1, 10, 10, 100)")
            recorded += 5
            by = [("version",), ("day",), ("hour",)][number % 3]
            groups = read(database, "x", by)
            assert sum(group.uses for group in groups) == recorded
            row = recorder.execute("select stats from promptctl.prompts where name = 'x' and version = 1").fetchone()
            assert row is not None
            assert row[0]["total_uses"] == recorded
    finally:
        stop.set()
        thread.join()


def test_calls_with_an_applications_own_text_are_counted_apart(sql: Connection, database: Database) -> None:
    for name, age in (("x", 0), ("x", 7_200_000), ("no-such-prompt", 0)):
        sql.execute(
            "select promptctl.record_fallbacks(array[gen_random_uuid()], array[%s], array[%s::float8], '{null}', '{1}',"
            " '{1}', '{1}', '{ok}')",
            [name, age],
        )
    assert store.read_measurements(database, None, None, ["version"], trend=False).fallbacks == {
        "x": 2,
        "no-such-prompt": 1,
    }
    assert store.read_measurements(database, "x", None, ["version"], trend=False).fallbacks == {"x": 2}
    hour = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    assert store.read_measurements(database, "x", hour, ["day"], trend=False).fallbacks == {"x": 1}


def test_an_age_is_so_long_ago_by_the_servers_clock(sql: Connection, database: Database) -> None:
    for age in (0, 3_000_000, 7_200_000):
        sql.execute(RECORD_AT, [age])
    # Whatever this machine's clock says.
    moment = time_values.parse("1h", datetime(2040, 1, 1, tzinfo=timezone.utc))
    measured = store.read_measurements(database, "x", moment, ["version"], trend=True)

    def no_price(*_: object) -> None:
        """No model has a price here."""

    groups = statistics.aggregate(measured, ["version"], no_price)
    assert {group.version: group.uses for group in groups}[1] == 2


def test_a_version_costs_what_its_model_cost_on_each_day(sql: Connection, database: Database) -> None:
    day = 86_400_000
    for age in (3 * day, 3 * day, day):
        sql.execute(RECORD_AT, [age])
    [(changed,)] = sql.execute("select ((now() - interval '2 days') at time zone 'UTC')::date::text").fetchall()

    def price(_model: str, tokens_in: float, _out: float, _read: float, _written: float, at: str) -> float:
        return tokens_in * (1 if at[:10] < changed else 10)

    for _ in range(2):
        measured = store.read_measurements(database, "x", None, ["version"], trend=False, price_days=[changed])
        groups = statistics.aggregate(measured, ["version"], price)
        assert {group.version: (group.uses, group.cost_usd) for group in groups}[1] == (3, 2 + 10)
        sql.execute("select promptctl.roll_up_uses()")
