"""Recent uses are read once each, whenever their transactions commit, and a look notices everything that changed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from promptctl.postgres import connecting
from promptctl.rules.use_window import Window
from promptctl.store import recent_uses
from tests.schema.support import rows, run

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connection = psycopg.Connection[Any]

USE = "select promptctl.record_use('greeter', 1, 1, 100000, 1, 250.5, model => 'm')"
FAILED = "select promptctl.record_use('greeter', 1, 1, outcome => 'overloaded_error')"


def test_uses_of_transactions_that_commit_late_are_counted_once(
    database_url: str, sql: Connection, connect: Callable[..., Connection]
) -> None:
    run(sql, "select promptctl.create_version('greeter', 'Be kind.', activated => true)")
    early = connect(autocommit=False)
    window = Window(10.0)
    new_rows: list[int] = []
    position: recent_uses.Position | None = None

    def counted() -> tuple[int, int]:
        """Read what is new, and return the uses and the errors in the window, which a full read has too."""
        nonlocal position
        uses = recent_uses.read_uses(database, ["greeter"], 5, 10.0, position)
        position = uses.position
        new_rows.append(sum(row.uses for row in uses.rows))
        window.add(uses.rows, uses.now)
        full = Window(10.0)
        every = recent_uses.read_uses(database, [], 5, 10.0, None)
        full.add(every.rows, every.now)
        [tally], [same] = window.by_version().values(), full.by_version().values()
        assert (tally.uses, tally.counts, tally.spent) == (same.uses, same.counts, same.spent)
        return tally.uses, tally.errors

    with connecting.connect(database_url) as database:
        run(sql, USE)
        assert counted() == (1, 0)
        run(early, USE)
        run(early, FAILED)
        # This use is committed before those that were recorded first.
        run(sql, USE)
        assert counted() == (2, 0)
        assert counted() == (2, 0)
        early.commit()
        assert counted() == (4, 1)
        # What comes below the watermark of a roll-up stays in the window.
        run(sql, "select promptctl.roll_up_uses()")
        run(sql, FAILED)
        assert counted() == (5, 2)
        # Each use was read once, although a transaction was open.
        assert new_rows == [1, 1, 0, 2, 1]
        assert recent_uses.read_uses(database, ["other"], 5, 10.0, None).rows == []
        # A use with a time in the future is none of the last minutes.
        run(sql, "set session_replication_role = replica")
        run(sql, "update promptctl.uses set recorded_at = now() + interval '50 minutes' where outcome <> 'ok'")
        full = recent_uses.read_uses(database, [], 5, 10.0, None)
        assert sum(row.uses for row in full.rows) == 3
    [(version, tally)] = window.by_version().items()
    assert version == ("greeter", 1)
    assert tally.spent == {("m", 0): [300000.0, 3.0, 0.0, 0.0]}
    assert (tally.fastest_ms, tally.slowest_ms, tally.counts) == (250.5, 250.5, {254: 3})


def test_counts_are_those_of_the_single_uses_of_each_prompt(database_url: str, sql: Connection) -> None:
    for name in ("greeter", "other", "unused"):
        run(sql, f"select promptctl.create_version('{name}', 'Be kind.', activated => true)")
    # 40 uses succeeded: the 38th fastest is the 95th percentile. Slower uses failed.
    run(
        sql,
        """
        insert into promptctl.uses (id, name, version, epoch, outcome, response_ms, model, input_tokens, output_tokens)
        select gen_random_uuid(), 'greeter', 1, 1, case when n <= 40 then 'ok' else 'overloaded_error' end, n + 0.25,
               case when n % 2 = 0 then 'm' end, case when n <= 10 then 150000 when n <= 20 then 50 end,
               case when n <= 30 then 1 end
        from generate_series(1, 50) n
        """,
    )
    run(sql, "select promptctl.record_use('other', 1, 1, outcome => 'api_error')")
    run(sql, "set session_replication_role = replica")
    for minutes in (-6, 50):
        run(sql, f"{USE.replace('greeter', 'other')}")
        run(
            sql,
            f"update promptctl.uses set recorded_at = now() + interval '{minutes} minutes'"
            " where name = 'other' and outcome = 'ok' and recorded_at > now() - interval '1 minute'",
        )
    with connecting.connect(database_url) as database:
        prompts, counts, tokens = recent_uses.read_counts(database, [], 5, with_tokens=True)
        assert [prompt.name for prompt in prompts] == ["greeter", "other", "unused"]
        assert sorted(counts) == [("greeter", 50, 10, 38.25), ("other", 1, 1, None)]
        spent = sorted((row.model or "", *row[2:]) for row in tokens if row.name == "greeter")
        assert spent == [
            ("", 0, 10, 250.0, 10.0, None, None), ("", 1, 5, 750000.0, 5.0, None, None),
            ("m", 0, 10, 250.0, 10.0, None, None), ("m", 1, 5, 750000.0, 5.0, None, None),
        ]  # fmt: skip
        prompts, counts, tokens = recent_uses.read_counts(database, ["other"], 60, with_tokens=False)
        assert ([prompt.name for prompt in prompts], counts, tokens) == (["other"], [("other", 2, 1, 250.5)], [])


def test_a_look_changes_with_moves_rollouts_and_transactions_and_else_stays(database_url: str, sql: Connection) -> None:
    for version in (1, 2):
        run(sql, f"select promptctl.create_version('greeter', 'Version {version}.')")
    run(sql, "select promptctl.activate('{greeter}', '{1}', 'ada@example.com', 'first')")
    with connecting.connect(database_url) as database:
        looks = [recent_uses.look(database)]
        assert looks[0].begun == looks[0].ended
        assert recent_uses.look(database).served == looks[0].served
        for change in (
            "select promptctl.start_rollout('greeter', 2)", "select promptctl.pause_rollout('greeter')",
            "select promptctl.resume_rollout('greeter')", "select promptctl.stop_rollout('greeter')",
            "select promptctl.activate('{greeter}', '{2}')", "select promptctl.create_version('other', 'x')",
            "select promptctl.archive('{other}', '{null}')",
        ):  # fmt: skip
            run(sql, change)
            looks.append(recent_uses.look(database))
            assert looks[-1].served != looks[-2].served, change
            assert looks[-1].begun > looks[-2].begun
        [prompt] = recent_uses.read_prompts(database, [])
        assert prompt[:7] == ("greeter", 2, None, 0, 0, None, None)
        assert (prompt.move_kind, prompt.move_from, prompt.move_to) == ("activate", 1, 2)
        [[moved_at]] = rows(sql, "select changed_at from promptctl.allocations order by epoch desc limit 1")
        assert prompt.moved_at is not None
        assert datetime.fromisoformat(prompt.moved_at) == moved_at
        assert [named.name for named in recent_uses.read_prompts(database, ["other", "nobody"])] == ["other"]
        moves, versions = recent_uses.read_moves(database, "greeter", 3)
        assert [move.kind for move in moves] == ["activate", "unsplit", "split"]
        assert versions == [2, 1]
        # Two changes that leave the numbers and sums of all prompts as they were.
        for version in (1, 2):
            run(sql, f"select promptctl.create_version('second', 'Version {version}.')")
        run(sql, "select promptctl.activate('{second,greeter}', '{1,1}')")
        for name in ("greeter", "second"):
            run(sql, f"select promptctl.start_rollout('{name}', 2)")
        run(sql, "select promptctl.pause_rollout('greeter')")
        before = recent_uses.look(database)
        run(sql, "select promptctl.resume_rollout('greeter')")
        run(sql, "select promptctl.pause_rollout('second')")
        assert recent_uses.look(database).served != before.served
