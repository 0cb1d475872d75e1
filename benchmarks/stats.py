"""What `stats NAME` costs over many recorded uses, against the same aggregate as bare SQL.

    python benchmarks/stats.py [--uses N] [--turns N]

Bare SQL is what one would write for the same numbers of each version: counts, averages, percentiles, sums, last use.
Both are sent through the same connection of psycopg's, in turn; then whole processes, against psql with the bare SQL.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any, cast

import psycopg
from measure import Command, Report, environment, fill, install, program, psql, ratio, start_server, take_turns

from promptctl.store import statistics as store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.database import Database

_BARE = """
select version, count(*), count(*) filter (where outcome <> 'ok'),
       avg(input_tokens + output_tokens) filter (where outcome = 'ok'),
       avg(input_tokens) filter (where outcome = 'ok'), avg(output_tokens) filter (where outcome = 'ok'),
       avg(response_ms) filter (where outcome = 'ok'), avg(first_token_ms) filter (where outcome = 'ok'),
       percentile_cont(array[0.5, 0.95, 0.99]) within group (order by response_ms) filter (where outcome = 'ok'),
       sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), max(recorded_at)
from promptctl.uses where name = 'p00001' group by version order by version desc
"""
_USES = """
insert into promptctl.uses (id, name, version, epoch, model, input_tokens, output_tokens, cache_read_tokens,
                            cache_write_tokens, response_ms, first_token_ms, outcome, recorded_at)
select gen_random_uuid(), 'p00001', 1 + i %% 3, 1, 'claude-sonnet-5-5', 150 + exp(12 * random())::bigint,
       100 + i %% 200, i %% 100, 0,
       exp(6 + 1.5 * random()), 200 + 100 * random(), case when i %% 50 = 0 then 'overloaded_error' else 'ok' end,
       now() - random() * interval '60 days'
from generate_series(1, %s) i
"""


class _Asked:
    """Stands for a database and keeps the statements that the store sends."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, Sequence[Any]]] = []

    def run_all(self, *statements: tuple[str, Sequence[Any]]) -> list[list[Any]]:
        self.statements = list(statements)
        # A version, so that nothing else is looked up.
        return [[("p00001", 1, True)], *[[] for _ in statements[1:]]]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uses", type=int, default=1_000_000, help="how many uses are recorded")
    options.add_argument("--turns", type=int, default=9, help="how often each is run")
    options.add_argument("--promptctl", help="the program to measure (the one beside this interpreter)")
    given = options.parse_args()
    own = program("promptctl", given.promptctl, beside=True)
    if own is None:
        raise SystemExit("promptctl is not installed beside this interpreter: give --promptctl")
    report = Report()
    with start_server(shared_buffers="512MB", max_wal_size="4GB") as server:
        dsn = install(server, "stats")
        fill(dsn, 3, 3)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_USES, [given.uses])
            connection.execute("vacuum (analyze) promptctl.uses")
        report.heading(f"stats NAME over {given.uses:,} uses of three versions")
        _queries(report, dsn, given.turns)
        words = psql(server)
        if words is not None:
            bare = Command("psql with the bare SQL", [words, "-XAtq", "-c", _BARE, dsn])
            ours = Command("stats NAME, the whole process", [own, "stats", "p00001", "--database-url", dsn])
            take_turns([ours, bare], given.turns, environment())
            value, note = ratio(ours.wall, bare.wall)
            report.add("stats NAME, the whole process / psql with the bare SQL", value, note=note)
    return report.close()


def _queries(report: Report, dsn: str, turns: int) -> None:
    asked = _Asked()
    store.measure(cast("Database", asked), "p00001", None, ["version"], trend=False)
    ours: dict[int, float] = {}
    bare: dict[int, float] = {}
    with psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        for turn in range(turns + 1):
            began = time.perf_counter()
            for sql, parameters in asked.statements:
                connection.execute(sql.encode(), list(parameters), prepare=False).fetchall()
            between = time.perf_counter()
            connection.execute(_BARE.encode(), prepare=False).fetchall()
            if turn:
                ours[turn], bare[turn] = between - began, time.perf_counter() - between
    value, note = ratio(ours, bare)
    report.add("the statements of stats NAME / the bare SQL", value, 1.2, note=note)
    report.add("the statements of stats NAME", statistics.median(ours.values()) * 1000, unit="ms")
    report.add("the bare SQL", statistics.median(bare.values()) * 1000, unit="ms")


if __name__ == "__main__":
    raise SystemExit(main())
