"""The cost of comparing two versions, and of the sums that comparisons read.

    python benchmarks/compare.py [--uses N] [--roll-up N] [--turns N]

A prompt has a split of five shares, one after the other, with 100 000 users and two models; another prompt has none.
Each turn rolls up uses in a transaction that it rolls back: with the sums for comparisons, and without them, as schema
version 7 did. Then N uses of the split are rolled up, and compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import psycopg
from measure import Report, fill, install, spread, start_server

Connection = psycopg.Connection[Any]

_SPLIT = "p00001"
_PLAIN = "p00002"
_SHARES = (500, 1000, 2500, 5000, 7500)
_BATCH = 1_000_000
_MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5")
# 100 users in ten buckets, on the side of the split that their bucket belongs to.
_USES = """
insert into promptctl.uses (id, name, version, epoch, bucket, model, input_tokens, output_tokens, response_ms,
                            first_token_ms, outcome, score, recorded_at, recorded_in)
select gen_random_uuid(), %(name)s, case when u.bucket < a.basis_points then 2 else 3 end, a.epoch, u.bucket,
       case when i %% 7 = 0 then 'claude-haiku-5-5' else 'claude-sonnet-5-5' end, (random() * 3000)::bigint,
       (random() * 800)::bigint, exp(6.5 + random() * 2), 300 + random() * 300,
       case when i %% 50 = 0 then 'overloaded_error' else 'ok' end, case when i %% 7 = 1 then random() end,
       now() - interval '30 days' * (1 - i / %(uses)s::double precision), promptctl.recording_number()
from generate_series(1, %(uses)s) i
join lateral (select e.epoch, e.basis_points, row_number() over (order by e.epoch) as place
              from unnest(%(epochs)s::integer[], %(shares)s::integer[]) e (epoch, basis_points)) a
    on a.place = 1 + i %% cardinality(%(epochs)s::integer[])
cross join lateral (select (i / 5 * 7919::bigint %% 100000) / 10 as bucket) u
"""
_WITHOUT_SUMS = """
create or replace function promptctl.add_to_bucket_totals(from_number bigint, to_number bigint, names text[])
returns void
language plpgsql as $$ begin end $$
"""
_COMPARE = "select count(*) from promptctl.compare_versions(%s, 3, 2, %s, %s)"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uses", type=int, default=10_000_000, help="how many uses are compared")
    options.add_argument("--roll-up", type=int, default=_BATCH, help="how many uses a turn rolls up")
    options.add_argument("--turns", type=int, default=5, help="how often uses are rolled up, and four times compared")
    arguments = options.parse_args()
    report = Report()
    with start_server(shared_buffers="512MB", max_wal_size="4GB") as server:
        dsn = install(server, "compare")
        fill(dsn, 2, 3)
        with psycopg.connect(dsn, autocommit=True) as connection:
            epochs = [_split(connection, share) for share in _SHARES]
            count = min(arguments.roll_up, arguments.uses)
            report.heading(f"Rolling up {count:,} uses")
            _record(connection, _PLAIN, count, [1], [0])
            plain, before = _roll_up(connection, count, arguments.turns)
            _record(connection, _SPLIT, count, epochs, _SHARES)
            split, alike = _roll_up(connection, count, arguments.turns)
            report.add("uses without a split", statistics.median(plain), unit="s", note=spread(plain))
            _add_ratio(report, "the same / without the sums for comparisons", plain, before, 1.1)
            report.add("uses of a split", statistics.median(split), unit="s", note=spread(split))
            _add_ratio(report, "the same / without the sums for comparisons", split, alike, 2.2)
            for start in range(count, arguments.uses, _BATCH):
                number = min(_BATCH, arguments.uses - start)
                _record(connection, _SPLIT, number, epochs, _SHARES)
                connection.execute("select promptctl.roll_up_uses(%s)", [number + 1])
            # Full, because the transactions that were rolled back have left their rows.
            connection.execute("vacuum (full, analyze) promptctl.bucket_totals")
            report.heading(f"Comparing {arguments.uses:,} uses")
            _compare(report, connection, epochs, 4 * arguments.turns)
            [(size, rows)] = connection.execute(
                "select pg_total_relation_size('promptctl.bucket_totals') / 1e6, count(*) from promptctl.bucket_totals"
            )
            report.add("size of bucket_totals", float(size), unit="MB", note=f"{rows:,} rows")
    return report.close()


def _split(connection: Connection, share: int) -> int:
    [(epoch,)] = connection.execute("select (promptctl.split(%s, %s, 2)).epoch", [_SPLIT, share])
    return int(epoch)


def _record(
    connection: Connection, name: str, uses: int, epochs: list[int], shares: list[int] | tuple[int, ...]
) -> None:
    values = {"name": name, "uses": uses, "epochs": epochs, "shares": list(shares)}
    connection.execute(_USES, values)
    connection.execute("vacuum (analyze) promptctl.uses")


def _roll_up(connection: Connection, uses: int, turns: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each turn, with the sums for comparisons and without them, and roll up for good."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for place in (0, 1):
            with connection.transaction(force_rollback=True):
                if place:
                    connection.execute(_WITHOUT_SUMS)
                seconds[place].append(_add(connection, uses))
    _add(connection, uses)
    return seconds


def _add(connection: Connection, uses: int) -> float:
    began = time.perf_counter()
    [(count,)] = connection.execute("select promptctl.roll_up_uses(%s)", [uses + 1])
    assert count == uses
    return time.perf_counter() - began


def _add_ratio(report: Report, label: str, of: list[float], to: list[float], limit: float) -> None:
    ratios = [one / another for one, another in zip(of, to, strict=True)]
    report.add(label, statistics.median(ratios), limit, note=spread(ratios))


def _compare(report: Report, connection: Connection, epochs: list[int], turns: int) -> None:
    prices = json.dumps(
        [{"model": model, "size": 0, "input": 3e-6, "output": 15e-6, "cache_read": 3e-7} for model in _MODELS]
    )
    for label, choice, limit in (("five shares", None, 100.0), ("one share", epochs[-1:], None)):
        passed: list[float] = []
        for _ in range(turns):
            began = time.perf_counter()
            [(count,)] = connection.execute(_COMPARE, [_SPLIT, choice, prices])
            passed.append((time.perf_counter() - began) * 1000)
            # Seven metrics, uses and out_of_place, over all shares and of each share, and the traffic of each share.
            assert count == (9 + 10 * (1 if choice else len(_SHARES))), count
        report.add(f"compare_versions, {label}", statistics.median(passed), limit, unit="ms", note=spread(passed))


if __name__ == "__main__":
    sys.exit(main())
