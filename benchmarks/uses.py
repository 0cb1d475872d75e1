"""Recording millions of uses, and timing the store's statements for statistics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import psycopg

from promptctl.store import usage as store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.postgres.database import Database

NAME = "p00001"
DAYS = 90
_BATCH = 1_000_000

# Three versions, two models, log-normal latencies, in the order of time, 100 uses to a transaction. The offset puts the
# numbers of these transactions before those of later ones.
_OFFSET_TRANSACTIONS = """
set session_replication_role = replica;
insert into promptctl.roll_up (transaction_offset) values (1000000000)
on conflict on constraint a_roll_up_has_one_watermark do update set transaction_offset = excluded.transaction_offset;
reset session_replication_role
"""
_USES = """
insert into promptctl.uses (id, name, version, epoch, bucket, model, input_tokens, output_tokens, cache_read_tokens,
                            cache_write_tokens, response_ms, first_token_ms, outcome, score, recorded_at, recorded_in)
select gen_random_uuid(), %(name)s, 1 + i %% 3, 1, case when i %% 10 > 0 then i %% 10000 end,
       case when i %% 4 = 0 then 'claude-haiku-5-5' else 'claude-sonnet-5-5' end, 150 + exp(12 * random())::bigint,
       100 + i %% 200, i %% 100, 0, exp(7 + 0.8 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())),
       200 + 100 * random(), case when i %% 50 = 0 then 'overloaded_error' else 'ok' end,
       case when i %% 5 = 0 then random() end, now() - %(days)s * interval '1 day' * (1 - i / %(uses)s::float8),
       1000000 + i / 100
from generate_series(%(first)s::bigint, %(last)s::bigint) i
"""


def record(dsn: str, uses: int) -> None:
    """Record a number of uses of one prompt, over the last 90 days."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_OFFSET_TRANSACTIONS)
        for first in range(1, uses + 1, _BATCH):
            last = min(uses, first + _BATCH - 1)
            connection.execute(_USES, {"name": NAME, "days": DAYS, "uses": uses, "first": first, "last": last})
        connection.execute("vacuum (analyze) promptctl.uses")


class TimedDatabase:
    """A database that runs the store's statements through psycopg and sums up their time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.seconds = 0.0

    def run_all(self, *statements: tuple[str, Sequence[Any]]) -> list[list[Any]]:
        answers: list[list[Any]] = []
        began = time.perf_counter()
        for sql, parameters in statements:
            cursor = self._connection.execute(sql.encode(), list(parameters), prepare=False)
            answers.append(cursor.fetchall() if cursor.description else [])
        self.seconds += time.perf_counter() - began
        return answers

    def run(self, sql: str, *parameters: Any) -> list[Any]:
        return self.run_all((sql, parameters))[0]


def time_stats(dsn: str, by: Sequence[str] = ("version",), since: str | None = None, *, trend: bool = True) -> float:
    """Return the seconds that the statements of `stats` take in the database."""
    with psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        database = TimedDatabase(connection)
        store.read_measurements(cast("Database", database), NAME, since, by, trend=trend)
        return database.seconds
