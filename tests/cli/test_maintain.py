"""`db maintain` rolls up and drops uses, and loses none and counts none twice, even if it is killed."""

from __future__ import annotations

import json
import re
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


MORE_USES = """
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


def check_totals(promptctl: Promptctl, sql: Connection, number: int, before: list[dict[str, Any]]) -> None:
    """Check that totals of every grain and remaining uses count every use once, and that stats are unchanged."""
    tail = value(sql, "select count(*) from promptctl.uses where recorded_in >= promptctl.rolled_below()")
    grains = sql.execute("select grain, sum(uses)::integer from promptctl.totals group by 1").fetchall()
    for _, uses in grains:
        assert uses + tail == number
    assert stats(promptctl) == before


def test_maintain_rolls_up_uses_and_reports_their_number(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 1234)
    before = stats(promptctl)
    ended = promptctl("db", "maintain")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("rolled up 1 234 uses in test_")
    check_totals(promptctl, sql, 1234, before)
    assert promptctl("db", "maintain").err.startswith("no uses to roll up in test_")
    sql.execute("select promptctl.record_use('x', 1, 1)")
    assert promptctl("db", "maintain").err.startswith("rolled up 1 use in test_")
    assert value(sql, "select count(*) from promptctl.uses") == 1235


def test_keep_drops_older_uses_and_keeps_their_totals(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 4000)
    sql.execute("select promptctl.score_use(id, 0.25) from promptctl.uses where outcome = 'ok' limit 900")
    before = stats(promptctl)
    document = json.loads(promptctl("db", "maintain", "--keep", "30d", "--json").out)
    assert list(document) == [
        "message", "rolled_up", "waiting", "another_session", "dropped", "dropped_before", "dropped_replies",
        "replies_dropped_before",
    ]  # fmt: skip
    assert (document["dropped_replies"], document["replies_dropped_before"]) == (0, None)
    assert (document["rolled_up"], document["waiting"], document["another_session"]) == (4000, 0, False)
    # A quarter of forty days, minus the uses of the last, incomplete hour.
    assert 990 <= document["dropped"] <= 1000
    assert document["dropped_before"].endswith(":00:00Z")
    kept_uses = value(sql, f"select count(*) from promptctl.uses where recorded_at >= '{document['dropped_before']}'")
    assert kept_uses == value(sql, "select count(*) from promptctl.uses") == 4000 - document["dropped"]
    assert value(sql, f"select count(*) from promptctl.scores where used_at < '{document['dropped_before']}'") == 0
    check_totals(promptctl, sql, 4000, before)
    ended = promptctl("db", "maintain", "--keep", "4w")
    assert "\ndropped 2" in ended.err
    assert ended.err.endswith(" UTC; totals are kept\n")
    assert "\ndropped no single uses from before " in promptctl("db", "maintain", "--keep", "4w").err
    # Without --keep nothing is dropped, and a longer age restores nothing.
    assert "dropped" not in promptctl("db", "maintain").err
    assert json.loads(promptctl("db", "maintain", "--keep", "300d", "--json").out)["dropped"] == 0
    assert stats(promptctl) == before


def test_keep_does_not_drop_uses_that_are_not_rolled_up(
    promptctl: Promptctl, sql: Connection, connect: Callable[..., Connection]
) -> None:
    fill(sql, 200)
    # An open transaction delays the roll-up of later uses, because its own use belongs before them.
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
    check_totals(promptctl, sql, 300, before)
    slow.commit()
    make_older(sql)
    before = stats(promptctl)
    ended = promptctl("db", "maintain", "--keep", "1h")
    assert ended.err.startswith("rolled up 101 uses in test_")
    assert "wait" not in ended.err
    assert "\ndropped 101 single uses from before" in ended.err
    check_totals(promptctl, sql, 301, before)


def make_older(sql: Connection) -> None:
    with sql.transaction():
        sql.execute("set local session_replication_role = replica")
        sql.execute("update promptctl.uses set recorded_at = now() - interval '3 days' where input_tokens is null")


def test_a_transaction_rolls_up_about_as_many_uses_as_its_limit(promptctl: Promptctl, sql: Connection) -> None:
    """In the order of versions, the first thousand uses would span all transactions."""
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
def test_keep_refuses_an_invalid_age_and_drops_nothing(
    keep: str, message: str, promptctl: Promptctl, sql: Connection
) -> None:
    fill(sql, 10)
    ended = check_failure(promptctl("db", "maintain", "--keep", keep), 2)
    assert message in ended.err
    assert check_json_failure(promptctl("db", "maintain", "--keep", keep, "--json"), 2)["code"] == "invalid_time"
    assert value(sql, "select promptctl.rolled_below()") == 0


def test_keep_measures_age_by_the_clock_of_the_server(
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


def test_maintain_succeeds_and_reports_another_session_that_rolls_up(
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


def test_concurrent_maintain_commands_count_every_use_once(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 30_000)
    before = stats(promptctl)
    running = [promptctl.start("db", "maintain", "--keep", "20d", "--json") for _ in range(5)]
    outputs = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 5, outputs
    documents = [json.loads(out) for out, _ in outputs]
    assert sum(document["rolled_up"] for document in documents) == 30_000
    assert json.loads(promptctl("db", "maintain", "--keep", "20d", "--json").out)["rolled_up"] == 0
    dropped = 30_000 - value(sql, "select count(*) from promptctl.uses")
    assert 14_900 <= dropped <= 15_000
    assert sum(document["dropped"] for document in documents) <= dropped
    check_totals(promptctl, sql, 30_000, before)


def wait_for_backend(sql: Connection, process: subprocess.Popen[bytes]) -> int | None:
    """Wait until a process rolls up or drops uses, and return its backend, or None if the process has ended."""
    while process.poll() is None:
        # A parallel worker shows the same query, and ends before its leader has committed.
        row = sql.execute(
            "select pid from pg_stat_activity where datname = current_database() and state = 'active'"
            " and backend_type = 'client backend' and pid <> pg_backend_pid()"
            " and (query ~ 'roll_up_uses' or query ~ 'drop_uses')"
        ).fetchone()
        if row is not None:
            return row[0]
    return None


@pytest.mark.parametrize("end", ["the process", "its backend"])
def test_maintain_killed_at_any_time_counts_every_use_once(end: str, promptctl: Promptctl, sql: Connection) -> None:
    number = 60_000
    fill(sql, number)
    killed = 0
    for delay in (0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5):
        sql.execute(MORE_USES)
        number += 10_000
        before = stats(promptctl)
        with promptctl.start("db", "maintain", "--keep", "20d") as process:
            backend = wait_for_backend(sql, process)
            time.sleep(delay)
            if end == "the process":
                process.send_signal(signal.SIGKILL)
            else:
                sql.execute("select pg_terminate_backend(%s)", [backend])
            killed += process.wait(60) != 0
            assert process.stderr is not None
            error_text = process.stderr.read().decode()
        if end != "the process" and process.returncode:
            assert process.returncode == 6, error_text
            assert "; the completed part is kept\nhint:  run it again: it continues from there\n" in error_text
        # The backend of the killed process commits or rolls back before the totals are checked.
        while sql.execute("select 1 from pg_stat_activity where pid = %s", [backend]).fetchone():
            pass
        check_totals(promptctl, sql, number, before)
    assert killed
    ended = promptctl("db", "maintain", "--keep", "20d")
    assert ended.code == 0, ended
    check_totals(promptctl, sql, number, before)
    # Only whole hours are dropped.
    old = "select count(*) from promptctl.uses where recorded_at < now() - interval '20 days 1 hour 5 minutes'"
    assert value(sql, old) == 0
    assert value(sql, "select sum(uses) from promptctl.totals where grain = 'all'") == number


def test_maintain_needs_the_access_operator(
    promptctl_on: Callable[..., Promptctl], sql: Connection, database_name: str
) -> None:
    for access in ("viewer", "application"):
        sql.execute("select promptctl.grant_access('app', %s)", [access])
        ended: Ended = check_failure(promptctl_on(database_name, "app")("db", "maintain", "--keep", "30d"), 5)
        assert "permission denied for " in ended.err
        assert ended.err.endswith("--as operator\n")
    sql.execute("select promptctl.grant_access('app', 'operator')")
    assert promptctl_on(database_name, "app")("db", "maintain", "--keep", "30d").code == 0


def test_viewers_and_operators_may_read_statistics(
    promptctl_on: Callable[..., Promptctl], sql: Connection, database_name: str
) -> None:
    fill(sql, 100)
    for access in ("viewer", "operator"):
        sql.execute("select promptctl.grant_access('app', %s)", [access])
        for words in (["stats", "x"], ["stats", "--by", "hour", "--since", "3d"], ["show", "x@1"], ["db", "status"]):
            ended = promptctl_on(database_name, "app")(*words)
            assert (ended.code, "error" in ended.err) == (0, False), (access, words)


def test_db_status_counts_dropped_uses_and_uses_to_roll_up(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 1000)
    status = json.loads(promptctl("db", "status", "--json").out)
    assert (status["uses"], status["uses_to_roll_up"], status["rolled_up_at"]) == (1000, 1000, None)
    promptctl("db", "maintain", "--keep", "10d")
    sql.execute("select promptctl.record_use('x', 1, 1)")
    assert value(sql, "select count(*) from promptctl.uses") < 300
    status = json.loads(promptctl("db", "status", "--json").out)
    assert (status["uses"], status["uses_to_roll_up"]) == (1001, 1)
    assert status["rolled_up_at"].endswith("Z")
    screen_text = promptctl.on_terminal("db", "status").out
    assert re.search(r"\nuses to roll up          1\nrolled up                (.* ago|just now)\n", screen_text)


def test_maintain_reports_its_results_on_a_terminal(promptctl: Promptctl, sql: Connection) -> None:
    fill(sql, 3000)
    screen_text = promptctl.on_terminal("db", "maintain", "--keep", "30d").out
    assert screen_text.startswith("rolled up 3 000 uses in test_")
    assert "\ndropped 7" in screen_text
    assert promptctl.on_terminal("db", "maintain", "--quiet").out == ""


# A run that ended 100 days ago, with 1500 replies of that day and 1500 of today, and a judgement of each.
RUN = """
select promptctl.create_version('x', 'one', activated => true);
select promptctl.begin_test_run(jsonb_build_object('name', 'x', 'version', 1, 'margin', 0.05,
                                                   'cases_sha256', repeat('0', 64)), array['{}']);
select promptctl.record_test_replies(1, encode(sha256('one'), 'hex'), jsonb_agg(jsonb_build_object(
    'id', gen_random_uuid(), 'case_hash', encode(sha256('{}'), 'hex'), 'request_hash', repeat('1', 64), 'model', 'm',
    'blocks', '[]'::jsonb)))
from generate_series(1, 3000);
select promptctl.record_test_judgements(repeat('2', 64), jsonb_agg(jsonb_build_object(
    'reply_id', id, 'judging_key', repeat('3', 64), 'passed', true, 'score', 1, 'calls', 1)))
from promptctl.test_replies;
select promptctl.end_test_run(1, '{"verdict": "worse"}', '[{"place": 1, "baseline_passes": 0, "baseline_replies": 0,
    "new_passes": 0, "new_replies": 3, "failures": [{"label": "contains", "reason": "no", "times": 3}]}]');
set session_replication_role = replica;
update promptctl.test_replies set recorded_at = now() - interval '100 days'
where id in (select id from promptctl.test_replies limit 1500);
update promptctl.test_runs set ended_at = now() - interval '100 days';
reset session_replication_role;
"""
RUNS = "select (select r::text from promptctl.test_runs r) || (select c::text from promptctl.test_run_cases c)"


def test_keep_replies_drops_old_replies_and_keeps_their_runs(promptctl: Promptctl, sql: Connection) -> None:
    sql.execute(RUN.encode())
    unchanged = promptctl("db", "maintain", "--keep-replies", "101d")
    assert "\ndropped no replies of tests from before 20" in unchanged.err
    assert value(sql, "select count(*) from promptctl.test_failures") == 1
    runs = value(sql, RUNS)
    document = json.loads(promptctl("db", "maintain", "--keep-replies", "90d", "--json").out)
    assert (document["dropped_replies"], document["dropped"], document["dropped_before"]) == (1500, 0, None)
    assert document["message"].endswith(" UTC; runs are kept")
    assert value(sql, "select count(*) from promptctl.test_replies") == 1500
    assert value(sql, "select min(recorded_at) > now() - interval '1 day' from promptctl.test_replies")
    assert value(sql, "select count(*) from promptctl.test_judgements") == 1500
    assert value(sql, "select count(*) from promptctl.test_failures") == 0
    assert value(sql, RUNS) == runs
    # Without the option nothing is dropped.
    assert "replies" not in promptctl("db", "maintain").err


def test_keep_replies_of_less_than_an_hour_is_refused(promptctl: Promptctl) -> None:
    failure = check_json_failure(promptctl("db", "maintain", "--keep-replies", "5m", "--json"), 2)
    assert (failure["code"], failure["hint"]) == ("invalid_time", "promptctl db maintain --keep-replies 30d")
    assert failure["message"].startswith('--keep-replies must be at least 1h, not "5m"')
