"""Uses are rolled up, and single ones dropped, with none lost or counted twice, whoever is killed when."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.conftest import Ended, Promptctl

    Connection = psycopg.Connection[Any]

# Uses of two versions, spread over 40 days, each in a transaction of a hundred.
MANY = """
select promptctl.create_version('x', 'one', author => 'me'), promptctl.create_version('x', 'two', author => 'me');
insert into promptctl.uses (id, name, version, epoch, model, input_tokens, output_tokens, response_ms, outcome, score,
                            recorded_at, recorded_in)
select gen_random_uuid(), 'x', 1 + i % 2, 1, 'claude-sonnet-4-5', 1000, 100, 100 + i % 400,
       case when i % 10 = 0 then 'overloaded_error' else 'ok' end, case when i % 7 = 0 then 0.5 end,
       now() - interval '40 days' * ({number} - i) / {number}, i / 100
from generate_series(1, {number}) i;
"""


FURTHER = """
insert into promptctl.uses (id, name, version, epoch, response_ms, recorded_at)
select gen_random_uuid(), 'x', 1 + i % 2, 1, 100 + i % 400, now() - interval '30 days' * random()
from generate_series(1, 10000) i;
"""


def fill(sql: Connection, number: int) -> None:
    sql.execute(MANY.replace("{number}", str(number)).encode())


def stats(promptctl: Promptctl) -> list[dict[str, Any]]:
    return [version["stats"] for version in json.loads(promptctl("stats", "x", "--json").out)["versions"]]


def value(sql: Connection, query: str) -> Any:
    row = sql.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def check_whole(promptctl: Promptctl, sql: Connection, number: int, before: list[dict[str, Any]]) -> None:
    """Check that every use is counted once, in totals of every grain or single, and says what it said."""
    tail = value(sql, "select count(*) from promptctl.uses where recorded_in >= promptctl.rolled_below()")
    grains = sql.execute("select grain, sum(uses)::integer from promptctl.totals group by 1").fetchall()
    for _, uses in grains:
        assert uses + tail == number
    assert stats(promptctl) == before


def test_it_rolls_up_and_says_how_much(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 1234)
    before = stats(promptctl)
    ended = promptctl("db", "maintain")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("rolled up 1 234 uses in test_")
    check_whole(promptctl, sql, 1234, before)
    assert promptctl("db", "maintain").err.startswith("no uses to roll up in test_")
    sql.execute("select promptctl.record_use('x', 1, 1)")
    assert promptctl("db", "maintain").err.startswith("rolled up 1 use in test_")
    assert value(sql, "select count(*) from promptctl.uses") == 1235


def test_single_uses_are_dropped_and_their_totals_stay(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 4000)
    sql.execute("select promptctl.score_use(id, 0.25) from promptctl.uses where outcome = 'ok' limit 900")
    before = stats(promptctl)
    document = json.loads(promptctl("db", "maintain", "--keep", "30d", "--json").out)
    assert list(document) == ["message", "rolled_up", "waiting", "another_session", "dropped", "dropped_before"]
    assert (document["rolled_up"], document["waiting"], document["another_session"]) == (4000, 0, False)
    # A quarter of forty days, but for what is in the hour that is cut.
    assert 990 <= document["dropped"] <= 1000
    assert document["dropped_before"].endswith(":00:00Z")
    left = value(sql, f"select count(*) from promptctl.uses where recorded_at >= '{document['dropped_before']}'")
    assert left == value(sql, "select count(*) from promptctl.uses") == 4000 - document["dropped"]
    assert value(sql, f"select count(*) from promptctl.scores where used_at < '{document['dropped_before']}'") == 0
    check_whole(promptctl, sql, 4000, before)
    ended = promptctl("db", "maintain", "--keep", "4w")
    assert "\ndropped 2" in ended.err
    assert ended.err.endswith(" UTC; totals are kept\n")
    assert "\ndropped no single uses from before " in promptctl("db", "maintain", "--keep", "4w").err
    # Without --keep nothing is dropped, and a longer age brings nothing back.
    assert "dropped" not in promptctl("db", "maintain").err
    assert json.loads(promptctl("db", "maintain", "--keep", "300d", "--json").out)["dropped"] == 0
    assert stats(promptctl) == before


def test_what_is_not_rolled_up_is_not_dropped(
    promptctl: Promptctl, sql: Connection, connect: Callable[..., Connection]
) -> None:
    fill(sql, 200)
    # Whoever has been recording since before the next ones holds them back: its own may still come among them.
    slow = connect(autocommit=False)
    slow.execute("select promptctl.record_use('x', 1, 1)")
    for _ in range(100):
        sql.execute("select promptctl.record_use('x', 2, 1)")
    make_older(sql)
    before = stats(promptctl)
    ended = promptctl("db", "maintain", "--keep", "1h")
    assert ended.err.startswith("rolled up 200 uses in test_")
    assert "\n100 uses wait for an open transaction\ndropped 1" in ended.err
    assert value(sql, "select count(*) from promptctl.uses where version in (1, 2) and input_tokens is null") == 100
    check_whole(promptctl, sql, 300, before)
    slow.commit()
    make_older(sql)
    before = stats(promptctl)
    ended = promptctl("db", "maintain", "--keep", "1h")
    assert ended.err.startswith("rolled up 101 uses in test_")
    assert "wait" not in ended.err
    assert "\ndropped 101 single uses from before" in ended.err
    check_whole(promptctl, sql, 301, before)


def make_older(sql: Connection) -> None:
    with sql.transaction():
        sql.execute("set local session_replication_role = replica")
        sql.execute("update promptctl.uses set recorded_at = now() - interval '3 days' where input_tokens is null")


def test_a_transaction_is_of_about_as_many_uses_as_it_should_be(promptctl: Promptctl, sql: Connection) -> None:
    """In the order of versions the first thousand would reach as far as all of them do."""
    fill(sql, 20_000)
    sql.execute("vacuum (analyze) promptctl.uses")
    for _ in range(8):
        assert 1000 <= value(sql, "select promptctl.roll_up_uses(1000)") <= 1100
    assert 11_000 < json.loads(promptctl("db", "maintain", "--json").out)["rolled_up"] < 12_000


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("59m", '--keep must be at least 1h, not "59m": uses are recorded up to an hour late'),
        ("0d", '--keep must be at least 1h, not "0d": uses are recorded up to an hour late'),
        ("", '"" is not an age'),
        ("-1d", '"-1d" is not an age'),
        ("30", '"30" is not an age'),
        ("1.5d", '"1.5d" is not an age'),
        ("2026-11-12", '"2026-11-12" is not an age'),
        ("٣d", '"٣d" is not an age'),
        ("400000d", '"400000d" is out of range'),
        ("9" * 5000 + "d", '9…" is out of range'),
    ],
)
def test_an_age_that_is_none_drops_nothing(keep: str, message: str, promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 10)
    ended = check_failure(promptctl("db", "maintain", "--keep", keep), 2)
    assert message in ended.err
    assert check_json_failure(promptctl("db", "maintain", "--keep", keep, "--json"), 2)["code"] == "invalid_time"
    assert value(sql, "select promptctl.rolled_below()") == 0


def test_the_age_is_by_the_servers_clock(
    promptctl: Promptctl, sql: Connection, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    fill(sql, 100)
    ahead = """
import datetime, time
class Ahead(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime(2099, 1, 1, tzinfo=tz)
datetime.datetime = Ahead
time.time = lambda: 4e9
"""
    ended = promptctl("db", "maintain", "--keep", "41d", "--json", env=startup_code(ahead))
    assert json.loads(ended.out)["dropped"] == 0
    assert json.loads(ended.out)["dropped_before"] < "2099"


def test_another_session_at_it_is_said_and_no_failure(
    promptctl: Promptctl, sql: Connection, connect: Callable[..., Connection]
) -> None:
    fill(sql, 100)
    other = connect(autocommit=False)
    other.execute("select promptctl.roll_up_uses()")
    ended = promptctl("db", "maintain")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("another session is rolling up in test_")
    document = json.loads(promptctl("db", "maintain", "--json").out)
    assert (document["another_session"], document["rolled_up"]) == (True, 0)
    other.rollback()
    assert promptctl("db", "maintain").err.startswith("rolled up 100 uses")


def test_several_at_once_count_every_use_once(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 30_000)
    before = stats(promptctl)
    running = [promptctl.start("db", "maintain", "--keep", "20d", "--json") for _ in range(5)]
    done = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 5, done
    documents = [json.loads(out) for out, _ in done]
    assert sum(document["rolled_up"] for document in documents) == 30_000
    assert json.loads(promptctl("db", "maintain", "--keep", "20d", "--json").out)["rolled_up"] == 0
    dropped = 30_000 - value(sql, "select count(*) from promptctl.uses")
    assert 14_900 <= dropped <= 15_000
    assert sum(document["dropped"] for document in documents) <= dropped
    check_whole(promptctl, sql, 30_000, before)


def begun(sql: Connection, process: subprocess.Popen[bytes]) -> int | None:
    """The backend in which that process is at work with the uses, once it is; None: it is done."""
    while process.poll() is None:
        # A parallel worker shows the same query, and ends before its leader has committed.
        found = sql.execute(
            "select pid from pg_stat_activity where datname = current_database() and state = 'active'"
            " and backend_type = 'client backend' and pid <> pg_backend_pid()"
            " and (query ~ 'roll_up_uses' or query ~ 'drop_uses')"
        ).fetchone()
        if found is not None:
            return found[0]
    return None


@pytest.mark.parametrize("end", ["the process", "its backend"])
def test_killed_at_any_moment_it_has_counted_every_use_once(end: str, promptctl: Promptctl, sql: Connection) -> None:
    number = 60_000
    fill(sql, number)
    killed = 0
    for delay in (0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5):
        sql.execute(FURTHER)
        number += 10_000
        before = stats(promptctl)
        with promptctl.start("db", "maintain", "--keep", "20d") as process:
            backend = begun(sql, process)
            time.sleep(delay)
            if end == "the process":
                process.send_signal(signal.SIGKILL)
            else:
                sql.execute("select pg_terminate_backend(%s)", [backend])
            killed += process.wait(60) != 0
            assert process.stderr is not None
            said = process.stderr.read().decode()
        if end != "the process" and process.returncode:
            assert process.returncode == 6, said
            assert "; the completed part is kept\nhint:  run it again: it continues from there\n" in said
        # What the killed process had begun ends, one way or the other, before it is looked at.
        while sql.execute("select 1 from pg_stat_activity where pid = %s", [backend]).fetchone():
            pass
        check_whole(promptctl, sql, number, before)
    assert killed
    ended = promptctl("db", "maintain", "--keep", "20d")
    assert ended.code == 0, ended
    check_whole(promptctl, sql, number, before)
    # What goes is whole hours.
    old = "select count(*) from promptctl.uses where recorded_at < now() - interval '20 days 1 hour 5 minutes'"
    assert value(sql, old) == 0
    assert value(sql, "select sum(uses) from promptctl.totals where grain = 'all'") == number


def test_who_may_not_is_told_in_one_line(
    promptctl_on: Callable[..., Promptctl], sql: Connection, database_name: str
) -> None:
    for access in ("viewer", "application"):
        sql.execute("select promptctl.grant_access('app', %s)", [access])
        ended: Ended = check_failure(promptctl_on(database_name, "app")("db", "maintain", "--keep", "30d"), 5)
        assert "permission denied for " in ended.err
        assert ended.err.endswith("--as operator\n")
    sql.execute("select promptctl.grant_access('app', 'operator')")
    assert promptctl_on(database_name, "app")("db", "maintain", "--keep", "30d").code == 0


def test_whoever_reads_may_see_statistics(
    promptctl_on: Callable[..., Promptctl], sql: Connection, database_name: str
) -> None:
    fill(sql, 100)
    for access in ("viewer", "operator"):
        sql.execute("select promptctl.grant_access('app', %s)", [access])
        for words in (["stats", "x"], ["stats", "--by", "hour", "--since", "3d"], ["show", "x@1"], ["db", "status"]):
            ended = promptctl_on(database_name, "app")(*words)
            assert (ended.code, "error" in ended.err) == (0, False), (access, words)


def test_the_status_counts_what_is_gone_and_what_waits(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 1000)
    status = json.loads(promptctl("db", "status", "--json").out)
    assert (status["uses"], status["uses_to_roll_up"], status["rolled_up_at"]) == (1000, 1000, None)
    promptctl("db", "maintain", "--keep", "10d")
    sql.execute("select promptctl.record_use('x', 1, 1)")
    assert value(sql, "select count(*) from promptctl.uses") < 300
    status = json.loads(promptctl("db", "status", "--json").out)
    assert (status["uses"], status["uses_to_roll_up"]) == (1001, 1)
    assert status["rolled_up_at"].endswith("Z")
    seen = promptctl.on_terminal("db", "status").out
    assert "\nuses to roll up          1\nrolled up                " in seen
    assert seen.endswith((" ago\n", "just now\n"))


def test_a_terminal_sees_how_far_it_has_come(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 3000)
    seen = promptctl.on_terminal("db", "maintain", "--keep", "30d").out
    assert seen.startswith("rolled up 3 000 uses in test_")
    assert "\ndropped 7" in seen
    assert promptctl.on_terminal("db", "maintain", "--quiet").out == ""
