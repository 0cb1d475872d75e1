"""A database that was restored from a dump in the middle of a rollout continues the rollout, step by step."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.conftest import SERVERS, copied_database
from tests.schema.rollout_traffic import GUARDS, PRICES, feed, let_time_pass
from tests.schema.support import create, rows, serving_state, value
from tests.schema.test_restore import dump_database, restore_dump
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    Connection = psycopg.Connection[Any]

TABLES = ("rollouts", "rollout_events", "rollout_looks", "rollout_ticks")
TICK = "select action, basis_points from promptctl.tick_rollout('p')"


@pytest.fixture
def dump(server: Server, sql: Connection) -> Iterator[Path]:
    """A dump of a database with a rollout at its second share: 300 uses of the candidate, and the hold is not over."""
    create(sql, "p", 2, activate=1)
    sql.execute(
        "select promptctl.start_rollout('p', 2, hold => '1 hour', guards => %s::jsonb, prices => %s::jsonb)",
        [GUARDS, PRICES],
    )
    feed(sql, "p", scores=0.5)
    sql.execute("select promptctl.score_use(id, 0.5) from promptctl.uses where version = 1")
    sql.execute("select promptctl.roll_up_uses()")
    let_time_pass(sql, "p")
    assert rows(sql, TICK) == [("advance", 2500)]
    feed(sql, "p", scores=0.5)
    assert rows(sql, TICK) == [("hold", 2500)]
    folder = Path(tempfile.mkdtemp(prefix="dumps-"))
    dump_database(server, sql.info.dbname, ["--format=custom"], folder / "dump")
    yield folder / "dump"
    shutil.rmtree(folder)


def assert_continues(restored: Connection, original: Connection) -> None:
    """Check that a restored database has the rollout and that ticks take its remaining steps one by one."""
    for table in TABLES:
        statement = f"select t::text from promptctl.{table} t order by 1"
        assert rows(restored, statement) == rows(original, statement), table
    evidence = "select evidence from promptctl.explain_rollout('p')"
    assert value(restored, evidence) == value(original, evidence)
    assert rows(restored, TICK) == [("hold", 2500)]
    let_time_pass(restored, "p", "2 days")
    assert rows(restored, TICK) == [("advance", 5000)]
    assert rows(restored, TICK) == [("hold", 5000)]
    restored.execute("select promptctl.split('p', 6000, author => 'bob')")
    assert rows(restored, "select state, why from promptctl.rollouts") == [
        ("paused", "the share was set to 60% by bob")
    ]
    assert serving_state(restored, "p") == (1, 2, 6000, 5)
    restored.execute("select promptctl.stop_rollout('p')")
    assert value(restored, "select rollout from promptctl.start_rollout('p', 2)") == 2


def test_a_rollout_continues_in_a_restored_database(server: Server, sql: Connection, dump: Path) -> None:
    with copied_database(server, "template1") as name:
        assert "error" not in restore_dump(server, name, dump)
        with psycopg.connect(server.dsn(name), autocommit=True) as restored:
            assert_continues(restored, sql)


def test_a_rollout_continues_in_a_younger_cluster(sql: Connection, dump: Path, server: Server) -> None:
    # Its transaction numbers are smaller, so that the watermark is above them.
    with Server.start(next(iter(SERVERS.values()))) as younger:
        shutil.copytree(dump.parent, younger.directory / "dump")
        assert "error" not in restore_dump(younger, "postgres", younger.directory / "dump" / "dump")
        with psycopg.connect(younger.dsn(), autocommit=True) as restored:
            assert_continues(restored, sql)
