"""Recording batches of uses: atomic, each use counted once, times by the clock of the server."""

from __future__ import annotations

import random
import threading
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.schema.support import Statement, add_samples, create, record, record_fallbacks, refusal, rows, run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

HOUR_MS = 3_600_000.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
COUNT = "select count(*) from promptctl.uses where name = 'greeter' and version = 1"
# Records a batch of one use with an id and an age.
RECORD_ONE = """
    select * from promptctl.record_uses(array[%s::uuid], '{greeter}', '{1}', '{1}', array[%s::double precision],
        '{null}', '{null}', '{null}', '{null}', '{null}', '{null}', '{null}', '{null}', '{ok}', '{null}', '{null}')
"""


def ids(count: int) -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(count)]


def test_a_use_sent_twice_counts_once_within_and_between_batches(database: Connection) -> None:
    first, second, third = ids(3)
    assert record(database, [{"ids": first}, {"ids": second}, {"ids": first, "models": "other"}]) == (2, 1, 0)
    assert record(database, [{"ids": third}, {"ids": second, "versions": 2}]) == (1, 1, 0)
    uses = rows(database, "select id, version, model from promptctl.uses where id = any (%s)", [first, second, third])
    assert sorted(uses) == sorted([(first, 1, None), (second, 1, None), (third, 1, None)])


def test_record_use_and_record_uses_recognise_ids_of_each_other(database: Connection) -> None:
    single_id, batch_id = ids(2)
    record_single = "select promptctl.record_use('greeter', 1, 1, use_id => %s)"
    run(database, record_single, [single_id])
    assert record(database, [{"ids": single_id}, {"ids": batch_id}]) == (1, 1, 0)
    run(database, record_single, [batch_id])
    assert value(database, COUNT) == 2


def test_an_empty_batch_records_nothing(database: Connection) -> None:
    assert record(database, []) == (0, 0, 0)
    assert record_fallbacks(database, []) == (0, 0, 0)
    nulls = ", ".join(["null"] * 16)
    assert rows(database, f"select * from promptctl.record_uses({nulls})") == [(0, 0, 0)]
    nulls = ", ".join(["null"] * 8)
    assert rows(database, f"select * from promptctl.record_fallbacks({nulls})") == [(0, 0, 0)]


def test_every_field_of_a_use_is_stored_in_its_row(database: Connection) -> None:
    first, second = ids(2)
    complete_use: dict[str, Any] = {
        "ids": first, "names": "other", "versions": 1, "epochs": 0, "ages_ms": 60_000.0, "buckets": 9999, "models": "m",
        "input_tokens": 9, "output_tokens": 2, "cache_read_tokens": 4, "cache_write_tokens": 5, "response_ms": 3.5,
        "first_token_ms": 0.5, "outcomes": "refusal", "scores": -0.5, "request_ids": "req_1",
        "trace_ids": TRACE,
    }  # fmt: skip
    assert record(database, [{"ids": second}, complete_use]) == (2, 0, 0)
    uses = rows(
        database,
        """
        select id, name, version, epoch, round(extract(epoch from now() - recorded_at))::integer, bucket, model,
               input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, response_ms, first_token_ms, outcome,
               score, request_id, replace(trace_id::text, '-', '')
        from promptctl.uses where id = any (%s) order by name
        """,
        [first, second],
    )
    assert uses == [
        (second, "greeter", 1, 1, 0, *[None] * 8, "ok", None, None, None),
        (first, "other", 1, 0, 60, 9999, "m", 9, 2, 4, 5, 3.5, 0.5, "refusal", -0.5, "req_1", TRACE),
    ]
    single = value(database, "select promptctl.record_use('greeter', 1, 1, trace_id => %s)", TRACE)
    assert value(database, "select replace(trace_id::text, '-', '') from promptctl.uses where id = %s", single) == TRACE


@pytest.mark.parametrize("age", [None, 0.0, -1.0, -1e300, float("-inf"), 1e-300])
def test_a_missing_or_negative_age_is_stored_as_now(database: Connection, age: float | None) -> None:
    [identifier] = ids(1)
    record(database, [{"ids": identifier, "ages_ms": age}])
    record_fallbacks(database, [{"ids": identifier, "ages_ms": age}])
    for table in ("uses", "fallbacks"):
        recent = (
            f"select abs(extract(epoch from clock_timestamp() - recorded_at)) < 10 from promptctl.{table} where id = %s"
        )
        assert value(database, recent, identifier) is True


def test_the_greatest_age_is_stored_in_its_year(sql: Connection) -> None:
    add_samples(sql)
    assert record(sql, [{"ages_ms": 1e12}]) == (1, 0, 0)
    assert record_fallbacks(sql, [{"ages_ms": 1e12}]) == (1, 0, 0)
    years = "select extract(year from now()) - extract(year from min(recorded_at)) from promptctl.uses"
    assert value(sql, years) in (31, 32)
    # It is rolled up like any other use.
    assert value(sql, "select promptctl.roll_up_uses()") == 2


@pytest.mark.parametrize(
    ("invalid_use", "reason"),
    [
        ({"versions": 99}, ("P0002", "version_exists")),
        ({"versions": -1}, ("P0002", "version_exists")),
        ({"names": "nobody"}, ("P0002", "prompt_exists")),
        ({"names": "GREETER"}, ("P0002", "prompt_exists")),
        ({"ages_ms": float("nan")}, ("22023", "an_age_is_at_most_31_years")),
        ({"ages_ms": float("inf")}, ("22023", "an_age_is_at_most_31_years")),
        ({"epochs": -1}, ("23514", "the_epoch_of_a_use_is_not_negative")),
        ({"buckets": 10000}, ("23514", "a_bucket_is_between_0_and_9999")),
        ({"buckets": -1}, ("23514", "a_bucket_is_between_0_and_9999")),
        ({"input_tokens": -1}, ("23514", "tokens_are_not_negative")),
        ({"output_tokens": 10**13}, ("23514", "tokens_are_at_most_1e12")),
        ({"cache_read_tokens": 1}, ("23514", "cached_tokens_are_part_of_the_input")),
        ({"response_ms": float("nan")}, ("23514", "a_response_time_is_from_0_to_1e12_ms")),
        ({"response_ms": float("inf")}, ("23514", "a_response_time_is_from_0_to_1e12_ms")),
        ({"response_ms": -1.0}, ("23514", "a_response_time_is_from_0_to_1e12_ms")),
        ({"first_token_ms": float("nan")}, ("23514", "a_first_token_time_is_from_0_to_1e12_ms")),
        ({"outcomes": ""}, ("23514", "an_outcome_is_not_empty")),
        ({"trace_ids": "0" * 32}, ("23514", "a_trace_id_is_not_zero")),
        ({"scores": float("nan")}, ("23514", "a_score_is_a_number")),
        # PostgreSQL itself refuses missing values.
        ({"ids": None}, ("23502", None)),
        ({"epochs": None}, ("23502", None)),
        ({"outcomes": None}, ("23502", None)),
    ],
)
def test_an_invalid_use_refuses_its_whole_batch(
    database: Connection, invalid_use: dict[str, Any], reason: tuple[str, str | None]
) -> None:

    with pytest.raises(psycopg.Error) as raised, database.transaction():
        record(database, [{}, invalid_use, {}])
    assert (raised.value.sqlstate, raised.value.diag.constraint_name) == reason
    assert value(database, COUNT) == 0


def test_a_use_of_an_archived_version_is_recorded(database: Connection) -> None:
    assert record(database, [{"versions": 3}]) == (1, 0, 0)


def test_concurrent_senders_of_the_same_uses_record_each_once(connect: Connect, sql: Connection) -> None:
    create(sql, "greeter", 1)
    sent = ids(300)
    totals: list[tuple[int, int, int]] = []
    barrier = threading.Barrier(6)

    def send(connection: Connection, order: list[uuid.UUID]) -> None:
        barrier.wait(20)
        totals.append(record(connection, [{"ids": identifier} for identifier in order]))

    shuffled = random.Random(5)
    threads = [
        threading.Thread(target=send, args=[connect(), shuffled.sample(sent, len(sent))]) for _ in range(6)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [sum(part) for part in zip(*totals, strict=True)] == [300, 5 * 300, 0]
    assert value(sql, COUNT) == 300


def test_a_use_of_a_rolled_back_transaction_can_be_sent_again(connect: Connect, sql: Connection) -> None:
    create(sql, "greeter", 1)
    [identifier] = ids(1)
    first = connect()
    with first.transaction(force_rollback=True):
        record(first, [{"ids": identifier}])
        second = Statement(connect(), RECORD_ONE, identifier, 0)
        second.wait_until_blocked(sql)
    assert (second.end(), second.rows) == (None, [(1, 0, 0)])


def test_a_use_older_than_the_retained_hours_is_late_and_not_counted(sql: Connection) -> None:
    add_samples(sql)
    old, new = ids(2)
    record(sql, [{"ids": old, "ages_ms": 50 * HOUR_MS}, {"ids": new, "ages_ms": 2 * HOUR_MS}])
    sql.execute("select promptctl.roll_up_uses()")
    assert value(sql, "select promptctl.drop_uses(now() - interval '24 hours', 0)") == 1
    resent = [
        {"ids": old, "ages_ms": 50 * HOUR_MS},
        {"ids": new, "ages_ms": 2 * HOUR_MS},
        {"ages_ms": 26 * HOUR_MS},
        {"ages_ms": 22 * HOUR_MS},
        {},
    ]
    assert record(sql, resent) == (2, 1, 2)
    total = "select (stats ->> 'total_uses')::integer from promptctl.prompts where name = 'greeter' and version = 1"
    assert value(sql, total) == 4


def test_dropped_fallback_calls_cannot_be_recorded_again(connect: Connect, sql: Connection) -> None:
    add_samples(sql)
    old, new = ids(2)
    calls = [{"ids": old, "ages_ms": 50 * HOUR_MS}, {"ids": new, "ages_ms": 2 * HOUR_MS}]
    assert record_fallbacks(sql, calls) == (2, 0, 0)
    assert value(sql, "select promptctl.drop_uses(now() - interval '24 hours', 500)") == 0
    assert value(sql, "select count(*) from promptctl.fallbacks") == 2
    dropping = connect()
    with dropping.transaction():
        dropping.execute("select promptctl.drop_uses(now() - interval '24 hours', 0)")
    assert rows(sql, "select id from promptctl.fallbacks") == [(new,)]
    assert record_fallbacks(sql, [*calls, {"ages_ms": 26 * HOUR_MS}, {"ages_ms": 22 * HOUR_MS}]) == (1, 1, 2)


def test_a_fallback_call_resent_while_it_is_dropped_is_refused(connect: Connect, sql: Connection) -> None:
    add_samples(sql)
    [old] = ids(1)
    record_fallbacks(sql, [{"ids": old, "ages_ms": 50 * HOUR_MS}])
    resend = """
        select * from promptctl.record_fallbacks(array[%s::uuid], '{nobody}', array[%s::float8], '{null}', '{null}',
                                                 '{null}', '{null}', '{ok}')
        """
    dropping = connect()
    with dropping.transaction():
        dropping.execute("select promptctl.drop_uses(now() - interval '24 hours', 0)")
        statement = Statement(connect(), resend, old, 50 * HOUR_MS)
        statement.wait_until_blocked(sql)
    error = statement.end()
    assert error is not None
    assert (error.sqlstate, error.diag.constraint_name) == ("40001", "uses_are_not_dropped_during_recording")
    assert rows(sql, resend, old, 50 * HOUR_MS) == [(0, 0, 1)]


def test_a_use_resent_while_it_is_dropped_is_refused(connect: Connect, sql: Connection) -> None:
    add_samples(sql)
    [old] = ids(1)
    record(sql, [{"ids": old, "ages_ms": 50 * HOUR_MS}])
    sql.execute("select promptctl.roll_up_uses()")
    dropping = connect()
    with dropping.transaction():
        assert value(dropping, "select promptctl.drop_uses(now() - interval '24 hours', 0)") == 1
        statement = Statement(connect(), RECORD_ONE, old, 50 * HOUR_MS)
        statement.wait_until_blocked(sql)  # it has read what is retained, and waits for the outcome of the drop
    error = statement.end()
    assert error is not None
    assert (error.sqlstate, error.diag.constraint_name) == ("40001", "uses_are_not_dropped_during_recording")
    assert rows(sql, RECORD_ONE, old, 50 * HOUR_MS) == [(0, 0, 1)]


def test_a_fallback_call_is_not_recorded_as_a_use(database: Connection) -> None:
    first, second = ids(2)
    calls = [
        {"ids": first, "names": "nobody", "models": "m", "input_tokens": 5, "output_tokens": 2, "response_ms": 9.5},
        {"ids": second, "names": "x" * 400, "outcomes": "timeout"},
        {"ids": first},
    ]
    assert record_fallbacks(database, calls) == (2, 1, 0)
    fallbacks = rows(
        database,
        """
        select id, name, model, input_tokens, output_tokens, response_ms, outcome from promptctl.fallbacks order by name
        """,
    )
    assert fallbacks == [
        (first, "nobody", "m", 5, 2, 9.5, "ok"),
        (second, "x" * 199 + "~", None, None, None, None, "timeout"),
    ]
    assert value(database, "select count(*) from promptctl.uses") == 1  # the use of the sample data


def test_long_texts_are_truncated_with_a_mark(database: Connection) -> None:
    first, second, third = ids(3)
    texts = {"models": "m" * 5_000, "outcomes": "\u00e9" * 201, "request_ids": "r" * 10_000_000}
    assert record(database, [{"ids": first} | texts, {"ids": second, "models": "\u00e9" * 200}]) == (2, 0, 0)
    database.execute(
        "select promptctl.record_use('greeter', 1, 1, use_id => %s, model => %s, outcome => %s, request_id => %s)",
        [third, *texts.values()],
    )
    select = "select model, outcome, request_id from promptctl.uses where id = %s"
    for use in (first, third):
        assert rows(database, select, use) == [("m" * 199 + "\u2026", "\u00e9" * 199 + "\u2026", "r" * 199 + "\u2026")]
    assert rows(database, select, second) == [("\u00e9" * 200, "ok", None)]
    names = {
        "a b\x1b[31m": "a~b~~31m",
        "": "~",
        "zo\u00eb/" + "x" * 300: "zo~/" + "x" * 195 + "~",
        "x" * 200: "x" * 200,
    }
    calls = [{"ids": use, "names": name} | texts for use, name in zip(ids(len(names)), names, strict=True)]
    for call in calls:
        del call["request_ids"]
    assert record_fallbacks(database, calls) == (len(names), 0, 0)
    select = "select name, model, outcome from promptctl.fallbacks where id = %s"
    for call, name in zip(calls, names.values(), strict=True):
        assert rows(database, select, call["ids"]) == [(name, "m" * 199 + "\u2026", "\u00e9" * 199 + "\u2026")]


def test_a_future_epoch_is_stored_as_the_current_one(database: Connection) -> None:
    first, second, third, fourth = ids(4)
    uses = [
        {"ids": first, "epochs": 2_000_000_000}, {"ids": second, "epochs": 1},
        {"ids": third, "names": "other", "epochs": 99}, {"ids": fourth, "names": "idle", "epochs": 0},
    ]  # fmt: skip
    assert record(database, uses) == (4, 0, 0)
    single = value(database, "select promptctl.record_use('greeter', 1, 77, unit => 'u')")
    epochs = rows(
        database,
        "select u.id, u.epoch from promptctl.uses u where u.id = any (%s)",
        [first, second, third, fourth, single],
    )
    assert dict(epochs) == {first: 2, second: 1, third: 1, fourth: 0, single: 2}
    assert refusal(database, "select promptctl.record_use('greeter', 1, null)")[0] == "23502"
    with pytest.raises(psycopg.errors.NotNullViolation), database.transaction():
        record(database, [{"epochs": None}, {"epochs": 99}])


def test_record_use_reports_the_broken_rule(database: Connection) -> None:
    for reported, rule in (
        ("score => '-Infinity'", "a_score_is_a_number"),
        ("first_token_ms => 'NaN'", "a_first_token_time_is_from_0_to_1e12_ms"),
        (f"trace_id => '{'0' * 32}'", "a_trace_id_is_not_zero"),
    ):
        assert refusal(database, f"select promptctl.record_use('greeter', 1, 1, {reported})") == ("23514", rule)
    statement = "select promptctl.record_use('greeter', 1, -1)"
    assert refusal(database, statement) == ("23514", "the_epoch_of_a_use_is_not_negative")
