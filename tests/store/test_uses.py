"""Uses are sent as one array for each field, in the order that the SQL functions expect."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from promptctl.postgres import connecting
from promptctl.store import uses
from promptctl.store.uses import FallbackRecord, ScoreRecord, UseRecord
from tests.schema.support import rows, run

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


def test_each_field_of_a_record_is_stored_in_its_column(database_url: str, sql: Connection) -> None:
    run(sql, "select promptctl.create_version('greeter', 'Be kind.', activated => true)")
    now = time.perf_counter()
    ids = [str(uuid.uuid4()) for _ in range(3)]
    use = UseRecord(
        id=ids[0], name="greeter", ended_at=now - 60, version=1, epoch=1, bucket=7, model='m"\\,{}', input_tokens=30,
        output_tokens=4, cache_read_tokens=5, cache_write_tokens=6, response_ms=7.5, first_token_ms=2.5, outcome="ok",
        score=0.5, request_id="r-1", trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    )  # fmt: skip
    unreported = UseRecord(
        ids[1], "greeter", now, 1, 1, None, None, None, None, None, None, None, None, "failed", None, None, None
    )
    fallback = FallbackRecord(ids[2], "nothing", now, "m", 1, 2, 3.5, "ok")
    with connecting.connect(database_url) as database:
        assert uses.record(database, [use, unreported], now) == (2, 0, 0)
        assert uses.record(database, [use], now) == (0, 1, 0)
        assert uses.record_fallbacks(database, [fallback], now) == (1, 0, 0)
        uses.score(database, [ScoreRecord(ids[1], 0.25), ScoreRecord(ids[1], 0.75)])
    columns = [field for field in UseRecord.fields if field not in ("id", "ended_at")]
    stored = rows(sql, f"select {', '.join(columns)} from promptctl.uses order by recorded_at")
    stored = [(*fields, trace and trace.hex) for *fields, trace in stored]
    assert stored == [tuple(getattr(record, column) for column in columns) for record in (use, unreported)]
    [(age,)] = rows(sql, "select extract(epoch from clock_timestamp() - min(recorded_at))::float8 from promptctl.uses")
    assert 60 <= age < 120
    assert rows(
        sql, "select name, model, input_tokens, output_tokens, response_ms, outcome from promptctl.fallbacks"
    ) == [("nothing", "m", 1, 2, 3.5, "ok")]
    assert sorted(rows(sql, "select score from promptctl.scores")) == [(0.25,), (0.75,)]
