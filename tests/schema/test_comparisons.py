"""Comparisons: what a split served is added up by groups of buckets, exactly once, and compared by known formulas."""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.schema.support import create, record, refusal, rows, run, run_concurrently, value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "rules" / "experiment_vectors.json").read_text(encoding="utf-8")
)
ROLL_UP = "select promptctl.roll_up_uses()"
PRICES = json.dumps([{"model": "small", "size": 0, "input": 3e-6, "output": 15e-6, "cache_read": 3e-7}])
METRICS = ["errors", "time", "slow", "first", "output", "cost", "score"]
SPLIT = "select (promptctl.split('p', %s, 2)).epoch"


@pytest.fixture
def split(sql: Connection) -> Connection:
    """A database with the prompt `p`, whose version 2 is the candidate for 10 % of the units since epoch 2."""
    create(sql, "p", 3, activate=1)
    assert value(sql, SPLIT, 1000) == 2
    return sql


def draw_uses(draw: random.Random, epoch: int, share: int, number: int) -> list[dict[str, Any]]:
    """Return uses as a split of `p` serves them, a fifth of them without a unit; some numbers are missing."""
    uses: list[dict[str, Any]] = []
    for _ in range(number):
        bucket = None if draw.random() < 0.2 else draw.randrange(1400) * 7
        is_candidate = (draw.randrange(10000) if bucket is None else bucket) < share
        uses.append({
            "ids": uuid.UUID(int=draw.getrandbits(128)), "names": "p", "versions": 2 if is_candidate else 1,
            "epochs": epoch, "buckets": bucket, "models": "small", "input_tokens": draw.randrange(1, 2000),
            "output_tokens": draw.choice([None, draw.randrange(0, 300)]),
            "cache_read_tokens": 0, "response_ms": draw.choice([None, draw.lognormvariate(6, 1), 20_000.0, 0.5]),
            "first_token_ms": draw.choice([None, draw.lognormvariate(4, 1)]),
            "outcomes": "TimeoutError" if draw.random() < 0.05 else "ok",
            "scores": draw.choice([None, None, draw.random()]),
        })  # fmt: skip
    return uses


def compare(connection: Connection, a: int = 1, b: int = 2, **arguments: Any) -> dict[tuple[str, int | None], Any]:
    """Return the rows of compare_versions by metric and share; each is a dict."""
    options = {"prices": PRICES} | arguments
    named = "".join(f", {name} => %s" for name in options)
    cursor = run(connection, f"select * from promptctl.compare_versions('p', %s, %s{named})", [a, b, *options.values()])
    names = [column.name for column in cursor.description or []]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {(row["metric"], row["share"]): row for row in found}


def check_equal(one: dict[tuple[str, int | None], Any], other: dict[tuple[str, int | None], Any]) -> None:
    """Check that two comparisons are the same, but for the last digits of sums."""
    assert one.keys() == other.keys()
    for key, row in one.items():
        for name, number in row.items():
            expected = pytest.approx(other[key][name], rel=1e-9) if isinstance(number, float) else other[key][name]
            assert number == expected, (key, name)


def add_totals(connection: Connection, epoch: int, cells: Sequence[dict[str, Any]]) -> None:
    """Write rows of bucket_totals directly. What a cell does not have is 0."""
    sums = (
        "uses", "errors", "with_response", "slow", "with_first_token", "with_output", "billed", "with_score",
        "ln_response_ms", "ln_first_token_ms", "ln_output_tokens", "input_tokens", "output_tokens", "cache_read_tokens",
        "cache_write_tokens", "score",
    )  # fmt: skip
    run(connection, "set local session_replication_role = replica")
    for cell in cells:
        columns = {"epoch": epoch, "size": 0, "model": "m"} | dict.fromkeys(sums, 0) | cell
        run(
            connection,
            f"insert into promptctl.bucket_totals (name, {', '.join(columns)}) values ('p'{', %s' * len(columns)})",
            list(columns.values()),
        )
    run(connection, "set local session_replication_role = origin")


@pytest.mark.parametrize("vector", VECTORS["core"], ids=lambda vector: f"d={vector['d']}, se={vector['se']}")
def test_the_width_of_an_interval_is_the_known_one(database: Connection, vector: dict[str, Any]) -> None:
    d, se, tau, alpha = (vector[name] for name in ("d", "se", "tau", "alpha"))
    width = value(database, "select half_width(%s::float8 ^ 2, %s, %s)", se, tau, alpha)
    assert width == pytest.approx(vector["half_width"], rel=1e-7)
    [interval] = rows(database, "select * from valid_interval(%s, %s, %s, %s, %s)", d, se, se, tau, alpha)
    assert interval == pytest.approx((vector["lower"], vector["upper"]), rel=1e-6)


@pytest.mark.parametrize("vector", VECTORS["interval"], ids=lambda vector: f"d={vector['d']}, se={vector['se_free']}")
def test_an_interval_with_two_errors_is_the_known_one(database: Connection, vector: dict[str, Any]) -> None:
    arguments = [vector[name] for name in ("d", "se_null", "se_free", "tau", "alpha")]
    [interval] = rows(database, "select * from valid_interval(%s, %s, %s, %s, %s)", *arguments)
    assert interval == pytest.approx((vector["lower"], vector["upper"]), rel=1e-6)


@pytest.mark.parametrize("vector", VECTORS["needed"], ids=lambda vector: f"alpha={vector['alpha']}")
def test_an_interval_is_as_wide_as_the_margin_at_the_known_error(database: Connection, vector: dict[str, Any]) -> None:
    margin = 0.02
    error = margin * vector["se_over_margin"]
    width = value(database, "select half_width(%s::float8 ^ 2, %s, %s)", error, margin, vector["alpha"])
    assert width == pytest.approx(margin, rel=1e-6)


def test_an_unknown_error_has_no_interval(database: Connection) -> None:
    assert value(database, "select half_width(0, 0.1, 0.05)") is None
    assert rows(database, "select * from valid_interval(0.1, 0, 0, 0.1, 0.05)") == [(None, None)]
    assert rows(database, "select * from valid_interval(0.1, null, 0.1, 0.1, 0.05)") == [(None, None)]


# Where bucket_totals has the number of uses that report a metric, and the sum.
COLUMNS = {
    "errors": ("uses", "errors"), "time": ("with_response", "ln_response_ms"), "cost": ("billed", "input_tokens"),
    "score": ("with_score", "score"),
}  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS["estimate"], ids=lambda vector: vector["label"])
def test_an_estimate_is_the_known_one(database: Connection, vector: dict[str, Any]) -> None:
    metric = next(name for name in COLUMNS if name in vector["label"])
    create(database, "p", 2, activate=1)
    shares = {stratum: share for stratum, share, *_ in vector["rows"]}
    epochs = {stratum: value(database, SPLIT, share) for stratum, share in sorted(shares.items())}
    for stratum, _, is_b, group, uses, n, s in vector["rows"]:
        counted, summed = COLUMNS[metric]
        cell = {"version": 2 if is_b else 1, "bucket": group * 10, "uses": uses, counted: n, summed: s}
        add_totals(database, epochs[stratum], [cell])
    prices = json.dumps([{"model": "m", "size": 0, "input": 1, "output": 0}])
    compared = compare(database, prices=prices, cap=vector["cap"])
    whole = compared[metric, None]
    for name in ("value_a", "value_b", "pooled", "difference", "se_null", "se_free"):
        assert whole[name] == pytest.approx(vector[name], rel=1e-6), name
    assert whole["strata"] == len(shares)
    for stratum in vector["strata"]:
        row = compared[metric, shares[stratum["stratum"]]]
        for name in ("difference", "se_null", "se_free"):
            assert row[name] == pytest.approx(stratum[name], rel=1e-6), (stratum, name)


@pytest.mark.parametrize("vector", VECTORS["traffic"], ids=lambda vector: f"share {vector['share']}")
def test_the_traffic_check_is_the_known_one(database: Connection, vector: dict[str, Any]) -> None:
    create(database, "p", 2, activate=1)
    epoch = value(database, SPLIT, vector["share"])
    uses = [(2, number) for number in vector["uses_b"]] + [(1, number) for number in vector["uses_a"]]
    for place, (version, number) in enumerate(uses):
        cell = {"version": version, "bucket": place * vector["group_buckets"], "uses": number}
        add_totals(database, epoch, [cell])
    row = compare(database, cap=1000, group_size=vector["group_buckets"])["traffic", vector["share"]]
    assert row["difference"] == pytest.approx(vector["log_ratio"], rel=1e-6)
    assert row["se_null"] == pytest.approx(vector["se"], rel=1e-6)
    width = value(database, "select half_width(%s::float8 ^ 2, ln(1.1::float8), 0.001)", row["se_null"])
    assert width == pytest.approx(vector["half_width_at_0_001"], rel=1e-6)
    assert (abs(row["difference"]) > width) == vector["alarm"]


def test_a_comparison_is_the_same_before_and_after_the_roll_up_and_without_single_uses(split: Connection) -> None:
    draw = random.Random(7)
    record(split, draw_uses(draw, 2, 1000, 600))
    split.execute(ROLL_UP)
    for share in (2500, 5000):
        record(split, draw_uses(draw, value(split, SPLIT, share), share, 600))
    record(split, draw_uses(draw, 2, 1000, 50))  # late uses of the first share
    before = compare(split)
    assert {metric for metric, share in before if share is None} == {*METRICS, "uses", "out_of_place"}
    assert all(before[metric, None]["strata"] == 3 for metric in METRICS)
    assert (before["uses", None]["uses_a"] + before["uses", None]["uses_b"]) == 1850
    assert value(split, "select sum(uses) from promptctl.bucket_totals") == 600
    assert value(split, ROLL_UP) == 1250
    assert value(split, "select sum(uses) from promptctl.bucket_totals") == 1850
    check_equal(compare(split), before)
    split.execute(
        "set session_replication_role = replica; update promptctl.uses set recorded_at = now() - interval '3h'"
    )
    split.execute("set session_replication_role = origin")
    assert value(split, "select promptctl.drop_uses(now() - interval '2h', 0)") == 1850
    assert value(split, "select count(*) from promptctl.uses") == 0
    check_equal(compare(split), before)
    # Of two versions, each can be the first: the differences change their signs.
    swapped = compare(split, 2, 1)
    for metric in METRICS:
        assert swapped[metric, None]["difference"] == pytest.approx(-before[metric, None]["difference"], rel=1e-9)
    assert compare(split, epochs=[3])["errors", None]["strata"] == 1
    assert compare(split, 1, 3) == {}


def test_a_time_that_was_not_reported_is_no_time_of_1_ms(split: Connection) -> None:
    use = {"names": "p", "epochs": 2, "models": "small"}
    for bucket in range(0, 200, 10):
        record(split, [
            use | {"versions": 2, "buckets": bucket, "response_ms": 100.0, "first_token_ms": 10.0, "output_tokens": 50},
            use | {"versions": 2, "buckets": bucket},
            use | {"versions": 1, "buckets": 5000 + bucket, "response_ms": 100.0, "outcomes": "TimeoutError"},
            use | {"versions": 1, "buckets": 5000 + bucket, "response_ms": 0.0, "output_tokens": 0},
        ])  # fmt: skip
    for _ in range(2):
        compared = compare(split)
        assert compared["time", None]["value_b"] == pytest.approx(4.605170186)  # ln 100
        assert compared["time", None]["value_a"] == 0  # at least 1 ms; the time of a call that failed does not count
        assert [compared[metric, None]["uses_b"] for metric in ("time", "errors")] == [20, 40]
        assert "first" not in {metric for metric, _ in compared}  # only one version reports it
        assert compared["output", None]["value_a"] == 0
        split.execute(ROLL_UP)


def test_a_cost_needs_the_price_of_each_model(split: Connection) -> None:
    uses = draw_uses(random.Random(3), 2, 1000, 300)
    record(split, uses)
    cost = compare(split, cap=1000)["cost", None]
    paid = [3e-6 * use["input_tokens"] + 15e-6 * (use["output_tokens"] or 0) for use in uses if use["versions"] == 2]
    assert cost["value_b"] == pytest.approx(sum(paid) / len(paid))
    assert ("cost", None) not in compare(split, prices="[]")
    record(split, [uses[0] | {"ids": uuid.uuid4(), "models": "unknown"}])
    assert ("cost", None) not in compare(split)
    assert ("errors", None) in compare(split)


def test_a_score_that_arrives_later_is_in_the_group_of_its_use(connect: Connect, split: Connection) -> None:
    uses = draw_uses(random.Random(5), 2, 1000, 400)
    for use in uses:
        use["scores"] = None
    record(split, uses[:200])
    split.execute(ROLL_UP)
    record(split, uses[200:])
    for place, use in enumerate(uses):
        split.execute("select promptctl.score_use(%s, %s)", [use["ids"], place % 7])
        if place % 3 == 0:
            split.execute("select promptctl.score_use(%s, %s)", [use["ids"], place % 5])
    before = compare(split, cap=1000)
    scores: dict[int, list[int]] = {1: [], 2: []}
    for place, use in enumerate(uses):
        scores[use["versions"]].append(place % 5 if place % 3 == 0 else place % 7)
    assert before["score", None]["value_a"] == pytest.approx(sum(scores[1]) / len(scores[1]))
    assert before["score", None]["value_b"] == pytest.approx(sum(scores[2]) / len(scores[2]))
    split.execute(ROLL_UP)
    check_equal(compare(split, cap=1000), before)
    assert value(split, "select count(*) from promptctl.bucket_totals where uses = 0") == 0


def test_a_score_that_is_rolled_up_before_its_use_is_counted_once(connect: Connect, split: Connection) -> None:
    record(split, draw_uses(random.Random(9), 2, 1000, 300))
    use = draw_uses(random.Random(11), 2, 1000, 1)[0] | {"scores": None, "buckets": 9990, "versions": 1}
    record(split, [use])
    split.execute("select promptctl.score_use(%s, 0.5)", [use["ids"]])
    before = compare(split)
    # As if the transaction of the use had the larger number.
    split.execute("set session_replication_role = replica")
    split.execute("update promptctl.uses set recorded_in = recorded_in + 1000000 where id = %s", [use["ids"]])
    split.execute("set session_replication_role = origin")
    assert value(split, "select promptctl.roll_up_uses(1000)") == 300
    assert rows(split, "select uses, with_score from promptctl.bucket_totals where bucket = 9990") == [(0, 1)]
    check_equal(compare(split), before)
    for _ in range(3):
        split.execute(ROLL_UP)
    assert rows(split, "select uses, with_score from promptctl.bucket_totals where bucket = 9990") == [(1, 1)]
    check_equal(compare(split), before)


def test_concurrent_roll_ups_count_each_use_of_a_split_once(connect: Connect, split: Connection) -> None:
    uses = draw_uses(random.Random(13), 2, 1000, 400)
    for place in range(0, 400, 20):
        record(split, uses[place : place + 20])
    before = compare(split)
    sessions = [connect() for _ in range(4)]
    jobs = [(session, "select promptctl.roll_up_uses(30) from generate_series(1, 12)", ()) for session in sessions]
    assert run_concurrently(jobs) == [None] * 4
    split.execute(ROLL_UP)
    assert value(split, "select sum(uses) from promptctl.bucket_totals") == 400
    check_equal(compare(split), before)


def test_a_version_that_somebody_chose_is_in_no_comparison(split: Connection) -> None:
    record(split, draw_uses(random.Random(15), 2, 1000, 200))
    before = compare(split)
    create(split, "door", 1, activate=1)
    split.execute("""select promptctl.set_routes('{door}', '[[{"when": {"plan": "x"}, "use": "p@2"}]]')""")
    [(_, version, epoch)] = rows(
        split, "select name, version, epoch from promptctl.resolve('door', 'u', '{\"plan\": \"x\"}')"
    )
    explained = value(split, "select epoch from promptctl.explain_resolve('door', 'u', '{\"plan\": \"x\"}')")
    [(pinned,)] = rows(split, "select epoch from promptctl.read_versions('{p}', '{1}')")
    assert (version, epoch, explained, pinned) == (2, 0, 0, 0)
    for number in range(50):
        split.execute("select promptctl.record_use('p', 2, %s, unit => %s)", [epoch, f"user-{number}"])
        split.execute("select promptctl.record_use('p', 1, %s)", [pinned])
    check_equal(compare(split), before)
    split.execute(ROLL_UP)
    check_equal(compare(split), before)


def test_a_use_with_a_wrong_epoch_or_a_wrong_version_is_out_of_place(split: Connection) -> None:
    use = {"names": "p", "epochs": 2}
    record(split, [
        use | {"versions": 2, "buckets": 999}, use | {"versions": 1, "buckets": 1000},
        use | {"versions": 2, "buckets": 1000}, use | {"versions": 2, "buckets": 9999},
        use | {"versions": 1, "buckets": 999},
        use | {"versions": 3, "buckets": 5}, use | {"versions": 2, "buckets": 5, "epochs": 1},
    ])  # fmt: skip
    for _ in range(2):
        compared = compare(split)
        assert [compared["out_of_place", None][side] for side in ("uses_a", "uses_b")] == [1, 2]
        for share in (None, 1000):
            assert [compared["uses", share][side] for side in ("uses_a", "uses_b")] == [1, 1]
        split.execute(ROLL_UP)
    assert value(split, "select sum(uses) from promptctl.bucket_totals where bucket = -1 and version < 3") == 3


def test_a_use_without_a_unit_gets_a_group_of_its_version(split: Connection) -> None:
    split.execute("create temporary table drawn as select gen_random_uuid() as id from generate_series(1, 3000)")
    groups = """
        select min(g), max(g), count(distinct g), bool_and(g % 10 = 0)
        from promptctl.allocations a, drawn d, promptctl.bucket_group(d.id, {}, null, a) g
        where a.name = 'p' and a.epoch = 2
    """
    assert rows(split, groups.format(2)) == [(10000, 10990, 100, True)]
    [(lowest, highest, number, are_groups)] = rows(split, groups.format(1))
    assert (lowest >= 11000, highest < 20000, number > 700, are_groups) == (True, True, True, True)
    assert rows(split, groups.format(3)) == [(-1, -1, 1, False)]


@pytest.mark.parametrize(
    ("share", "number"),
    [(1, 1), (99, 1), (100, 2), (249, 2), (250, 5), (499, 5), (500, 10), (9500, 10), (9501, 5), (9999, 1)],
)
def test_at_least_50_groups_are_on_the_smaller_side(database: Connection, share: int, number: int) -> None:
    assert value(database, "select buckets_per_group(%s)", share) == number


def test_groups_of_small_shares_are_added_to_those_that_hold_them(split: Connection) -> None:
    draw = random.Random(17)
    record(split, draw_uses(draw, value(split, SPLIT, 100), 100, 300))
    record(split, draw_uses(draw, value(split, SPLIT, 300), 300, 300))
    before = compare(split)
    assert before["uses", None]["strata"] == 3
    split.execute(ROLL_UP)
    check_equal(compare(split), before)
    # Groups of 2 and of 5 buckets are parts of groups of 10; groups of 2 alone stay as they are.
    narrow = compare(split, epochs=[3])["uses", None]
    wide = compare(split, epochs=[3], group_size=10)["uses", None]
    assert narrow["units_a"] > wide["units_a"]


def test_a_comparison_outlives_the_split_and_its_versions(split: Connection) -> None:
    record(split, draw_uses(random.Random(19), 2, 1000, 300))
    before = compare(split)
    split.execute("select promptctl.end_split('p')")
    split.execute("select promptctl.archive('{p}', '{2}')")
    split.execute("select promptctl.erase('p', 2, reason => 'a request')")
    split.execute(ROLL_UP)
    check_equal(compare(split), before)
    split.execute("select promptctl.archive('{p}', array[null]::integer[])")
    check_equal(compare(split), before)
    assert refusal(split, "select promptctl.compare_versions('nobody', 1, 2)") == ("P0002", "prompt_exists")


def test_models_beyond_a_hundred_are_added_up_together(split: Connection) -> None:
    use = {"names": "p", "epochs": 2, "versions": 1, "buckets": 5000, "input_tokens": 1}
    record(split, [use | {"models": f"model-{number}"} for number in range(120)])
    split.execute(ROLL_UP)
    assert rows(
        split, "select count(*), max(uses) filter (where model = 'other models') from promptctl.bucket_totals"
    ) == [(101, 20)]


def slow_ms(connection: Connection) -> list[int | None]:
    """Return slow_ms as `p` serves now, and as the history has it."""
    return [
        number
        for (number,) in rows(
            connection,
            "select slow_ms from promptctl.served where name = 'p' union all"
            " (select slow_ms from promptctl.allocations where name = 'p' order by epoch)",
        )
    ]


def test_what_is_slow_is_fixed_when_a_split_begins(split: Connection) -> None:
    assert slow_ms(split) == [10000, None, 10000]
    use = {"names": "p", "versions": 1, "epochs": 1}
    record(split, [use | {"response_ms": 5000.0}] * 4 + [use | {"response_ms": 390.0}] * 95)
    record(split, [use | {"response_ms": 9.0, "outcomes": "TimeoutError"}] * 200)
    split.execute(ROLL_UP)
    split.execute("select promptctl.end_split('p')")
    split.execute("select promptctl.split('p', 500, 2)")
    assert slow_ms(split)[0] == 10000  # 99 uses have reported a time
    record(split, [use | {"response_ms": 390.0}])
    split.execute(ROLL_UP)
    split.execute("select promptctl.split('p', 600)")
    assert slow_ms(split)[0] == 10000  # The same split.
    split.execute("select promptctl.split('p', 600, 3)")
    assert slow_ms(split)[0] == 500
    split.execute("select promptctl.set_routes('{p}', '[null]')")
    split.execute("update promptctl.served set seed = 'another' where name = 'p'")
    split.execute("select promptctl.activate('{p}', '{3}')")
    assert slow_ms(split) == [None, None, 10000, None, 10000, 10000, 500, 500, None]
    # Version 3 has no uses.
    split.execute("update promptctl.served set candidate_version = 1, basis_points = 100 where name = 'p'")
    assert slow_ms(split)[0] == 10000


@pytest.mark.parametrize(
    ("time", "limit"), [(0.001, 1), (0.9, 1), (1.5, 2), (4.0, 5), (7.0, 10), (95.0, 100), (1100.0, 2000), (1e12, 10**9)]
)
def test_what_is_slow_is_rounded_up(split: Connection, time: float, limit: int) -> None:
    record(split, [{"names": "p", "response_ms": time}] * 100)
    split.execute(ROLL_UP)
    assert value(split, "select promptctl.slow_response_ms('p', 1)") == limit


def test_a_slow_call_takes_longer_than_the_limit_of_its_split(split: Connection) -> None:
    use = {"names": "p", "epochs": 2}
    for bucket in range(0, 1000, 10):
        record(split, [
            use | {"versions": 2, "buckets": bucket, "response_ms": 10_001.0 if bucket else 10_000.0},
            use | {"versions": 1, "buckets": 5000 + bucket, "response_ms": 10.0},
        ])  # fmt: skip
    for _ in range(2):
        slow = compare(split)["slow", None]
        assert (slow["value_a"], slow["value_b"]) == (0, 0.99)
        split.execute(ROLL_UP)
