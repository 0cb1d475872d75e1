"""Recording single uses, and the statistics of a version that come from them."""

from __future__ import annotations

import time
import uuid
from typing import Any

import psycopg
import pytest

from tests.schema.support import refusal, rows, run, value

Connection = psycopg.Connection[Any]


def stats(connection: Connection) -> dict[str, Any]:
    """Read the stats of greeter@1, which has no use in the sample data, without the time."""
    stats = dict(value(connection, "select stats from prompts where name = 'greeter' and version = 1"))
    stats.pop("last_used_at", None)
    return stats


def record(connection: Connection, **reported: Any) -> uuid.UUID:
    """Record a use of greeter@1."""
    names = ", ".join(f"{name} => %({name})s" for name in reported)
    cursor = run(connection, f"select record_use('greeter', 1, 1{', ' if names else ''}{names})", reported)
    [(identifier,)] = cursor.fetchall()
    use_id: uuid.UUID = identifier
    return use_id


def test_a_version_that_was_never_used_has_no_averages(database: Connection) -> None:
    assert value(database, "select stats from prompts where name = 'greeter' and version = 1") == {
        "total_uses": 0,
        "errors": 0,
    }


def test_averages_omit_numbers_that_were_not_reported(database: Connection) -> None:
    record(database, input_tokens=100, output_tokens=50, response_ms=1000)
    record(database, input_tokens=200, output_tokens=51)
    record(database, input_tokens=7)  # without output tokens there is no sum
    record(database, response_ms=2000.5)
    record(database)
    assert stats(database) == {"total_uses": 5, "errors": 0, "avg_tokens": 200.5, "avg_response_time_ms": 1500.25}


def test_a_zero_counts_in_averages(database: Connection) -> None:
    record(database, input_tokens=0, output_tokens=0, response_ms=0)
    assert stats(database) == {"total_uses": 1, "errors": 0, "avg_tokens": 0, "avg_response_time_ms": 0}


def test_errors_count_as_uses_and_stay_out_of_the_averages(database: Connection) -> None:
    record(database, input_tokens=10, output_tokens=10, response_ms=100)
    record(database, input_tokens=9000, output_tokens=0, response_ms=60000, outcome="timeout")
    assert stats(database) == {"total_uses": 2, "errors": 1, "avg_tokens": 20, "avg_response_time_ms": 100}


def test_the_largest_numbers_can_be_averaged(database: Connection) -> None:
    for _ in range(2):
        record(database, input_tokens=10**12, output_tokens=10**12, response_ms=1e12, score=1e9)
    record(database, response_ms=0, score=-1e9)
    assert stats(database)["avg_tokens"] == 2 * 10**12
    assert value(database, "select stddev(score) > 0 and stddev(response_ms) > 0 from uses where version = 1")


def test_stats_have_the_time_of_the_last_use(database: Connection) -> None:
    record(database)
    last = value(database, "select stats ->> 'last_used_at' from prompts where name = 'greeter' and version = 1")
    assert value(database, "select max(recorded_at) = %s::timestamptz from uses where version = 1", last)


def test_a_use_that_is_sent_twice_counts_once(database: Connection) -> None:
    identifier = uuid.uuid4()
    assert record(database, input_tokens=1, output_tokens=1, use_id=identifier) == identifier
    assert record(database, input_tokens=999, output_tokens=1, use_id=identifier) == identifier
    assert stats(database) == {"total_uses": 1, "errors": 0, "avg_tokens": 2}


def test_every_reported_field_is_stored(database: Connection) -> None:
    identifier = record(
        database, input_tokens=9, output_tokens=2, response_ms=3.5, model="m", unit="u", outcome="refusal", score=0.5,
        cache_read_tokens=4, cache_write_tokens=5, first_token_ms=0.5, request_id="req_1",
    )  # fmt: skip
    uses = rows(
        database,
        """
        select name, version, epoch, input_tokens, output_tokens, response_ms, model, bucket is not null, outcome,
               score, cache_read_tokens, cache_write_tokens, first_token_ms, request_id
        from uses where id = %s
        """,
        identifier,
    )
    assert uses == [("greeter", 1, 1, 9, 2, 3.5, "m", True, "refusal", 0.5, 4, 5, 0.5, "req_1")]


def test_a_unit_is_stored_as_its_bucket_by_the_seed_of_its_epoch(database: Connection) -> None:
    database.execute("update served set candidate_version = 1, seed = 'summarise.r1' where name = 'greeter'")
    epoch = value(database, "select epoch from served where name = 'greeter'")
    during = value(database, "select record_use('greeter', 1, %s, unit => 'user-1')", epoch)
    earlier = value(database, "select record_use('greeter', 1, 1, unit => 'user-1')")
    without_unit = value(database, "select record_use('greeter', 1, %s)", epoch)
    buckets = {identifier: rows(database, "select bucket from uses where id = %s", identifier)[0][0]
             for identifier in (during, earlier, without_unit)}  # fmt: skip
    assert buckets[during] == 3012
    assert buckets[earlier] == value(database, "select bucket('greeter', 'user-1')")
    assert buckets[without_unit] is None


@pytest.mark.parametrize(
    ("reported", "rule"),
    [
        ("input_tokens => -1", "tokens_are_not_negative"),
        ("output_tokens => -1", "tokens_are_not_negative"),
        ("input_tokens => 9223372036854775807", "tokens_are_at_most_1e12"),
        ("response_ms => -1", "a_response_time_is_from_0_to_1e12_ms"),
        ("response_ms => 'NaN'", "a_response_time_is_from_0_to_1e12_ms"),
        ("response_ms => 'Infinity'", "a_response_time_is_from_0_to_1e12_ms"),
        ("input_tokens => 5, cache_read_tokens => 6", "cached_tokens_are_part_of_the_input"),
        ("cache_write_tokens => 1", "cached_tokens_are_part_of_the_input"),
        ("first_token_ms => -1", "a_first_token_time_is_from_0_to_1e12_ms"),
        ("score => 'NaN'", "a_score_is_a_number"),
        ("outcome => ''", "an_outcome_is_not_empty"),
    ],
)
def test_an_invalid_number_or_outcome_is_refused(database: Connection, reported: str, rule: str) -> None:
    statement = f"select record_use('greeter', 1, 1, {reported})"
    assert refusal(database, statement) == ("23514", rule)
    assert stats(database)["total_uses"] == 0


def test_a_use_of_an_archived_version_is_recorded(database: Connection) -> None:
    database.execute("select record_use('greeter', 3, 2)")
    assert value(database, "select count(*) from uses where name = 'greeter' and version = 3") == 1


def test_new_use_ids_are_uuids_of_version_7_in_order_of_time(database: Connection) -> None:
    before = time.time_ns() // 1_000_000
    ids: list[uuid.UUID] = [value(database, "select new_use_id()")]
    for _ in range(20):
        database.execute("select pg_sleep(0.002)")
        ids.append(value(database, "select new_use_id()"))
    after = time.time_ns() // 1_000_000
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    for identifier in ids:
        assert (identifier.version, identifier.variant) == (7, uuid.RFC_4122)
        assert before - 1 <= identifier.int >> 80 <= after + 1
    assert len({str(identifier)[15:] for identifier in ids}) == len(ids)


def test_use_ids_of_one_statement_differ(database: Connection) -> None:
    assert value(database, "select count(distinct new_use_id()) from generate_series(1, 1000)") == 1000
