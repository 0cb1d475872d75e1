"""How a client follows active versions: by notifications, by polling, and through outages."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import Prompts, TooOld
from promptctl.postgres.database import Database
from tests.client.support import activate, rows, until, uses
from tests.conftest import SERVERS
from tests.schema.support import run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.wire import Wire
    from tests.servers import Server

    Connection = psycopg.Connection[Any]
    MakeClient = Callable[..., Prompts]
    Logged = Callable[[str], int]

ALL_SERVERS = pytest.mark.parametrize("templated", list(SERVERS), indirect=True)
NEVER = 3600


def create_prompts(sql: Connection, number: int, versions: int = 2) -> list[str]:
    """Create a number of prompts, with version 1 active."""
    names = [f"p{n:03}" for n in range(number)]
    run(
        sql,
        "select promptctl.create_version(n, format('%%s, version %%s', n, v)) from unnest(%s::text[]) n"
        ", generate_series(1, %s) v order by 1",
        [names, versions],
    )
    release(sql, names, 1)
    return names


def release(sql: Connection, names: list[str], version: int) -> None:
    """Activate this version of all prompts, in one transaction."""
    run(sql, "select promptctl.activate(%s, array_fill(%s::integer, array[%s]))", [names, version, len(names)])


@ALL_SERVERS
def test_every_kind_of_change_takes_effect_without_a_poll(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client(poll_seconds=NEVER)
    assert prompts.get("greeter").version == 1
    activate(sql, "greeter", 2)
    until(lambda: prompts.get("greeter").version == 2)
    sql.execute("select promptctl.rollback('{greeter}')")
    until(lambda: prompts.get("greeter").version == 1)
    sql.execute("select promptctl.split('greeter', 10000, 2)")
    until(lambda: prompts.get("greeter").version == 2)
    sql.execute("select promptctl.end_split('greeter')")
    until(lambda: prompts.get("greeter").version == 1)
    sql.execute("select promptctl.set_routes('{greeter}', %s)", [json.dumps([[{"when": {"a": 1}, "use": "other"}]])])
    until(lambda: prompts.get("greeter", attributes={"a": 1}).name == "other")
    activate(sql, "other", 2)
    until(lambda: prompts.get("greeter", attributes={"a": 1}).version == 2)
    sql.execute("update promptctl.prompts set is_active = true where name = 'greeter' and version = 2")
    until(lambda: prompts.get("greeter").version == 2)
    sql.execute("update promptctl.prompts set is_active = false where name = 'greeter' and version = 2")
    until(lambda: prompts.get("greeter", default="").is_default)


def test_a_release_of_two_hundred_prompts_takes_effect_atomically(make_client: MakeClient, sql: Connection) -> None:
    names = create_prompts(sql, 200)
    prompts = make_client(poll_seconds=NEVER)
    prompts.preload(names)
    release(sql, names, 2)
    until(lambda: prompts.get(names[-1]).version == 2)
    assert {prompt.version for prompt in prompts.get_many(names).values()} == {2}
    assert prompts.get("p007").content == "p007, version 2"


@ALL_SERVERS
def test_get_many_returns_versions_of_the_same_release(make_client: MakeClient, sql: Connection) -> None:
    names = create_prompts(sql, 50)
    prompts = make_client(poll_seconds=NEVER)
    prompts.preload(names)
    stop = threading.Event()
    mixtures: list[set[int | None]] = []
    reads = [0] * 3
    decreases: list[tuple[int, int]] = []

    def read(place: int) -> None:
        epoch = 0
        while not stop.is_set():
            served = prompts.get_many(names, unit="user-42")
            versions = {prompt.version for prompt in served.values()}
            epochs = {prompt.epoch for prompt in served.values()}
            if len(versions) != 1 or len(epochs) != 1:
                mixtures.append(versions)
            new_epoch = served[names[0]].epoch or 0
            if new_epoch < epoch:
                decreases.append((epoch, new_epoch))
            epoch = new_epoch
            reads[place] += 1

    threads = [threading.Thread(target=read, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(30):
            release(sql, names, 2 - turn % 2)
        until(lambda: prompts.get(names[0]).epoch == 31)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (mixtures, decreases) == ([], [])
    assert min(reads) > 10


def test_epochs_never_decrease_for_a_caller(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client(poll_seconds=0.01)
    prompts.preload(["greeter", "other"])
    stop = threading.Event()
    decreases: list[tuple[int, int]] = []

    def read() -> None:
        epoch = 0
        while not stop.is_set():
            for prompt in (
                prompts.get("greeter"), prompts.get("greeter", unit="u"), prompts.get_many(["greeter"])["greeter"],
                prompts.get("greeter", attributes={"a": 1}),
            ):  # fmt: skip
                new_epoch = prompt.epoch or 0
                if new_epoch < epoch:
                    decreases.append((epoch, new_epoch))
                epoch = new_epoch

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        activate(sql, "greeter", 2 - turn % 2)
    until(lambda: prompts.get("greeter").epoch == 61)
    stop.set()
    for thread in threads:
        thread.join()
    assert decreases == []


def test_a_use_in_progress_keeps_its_version_after_an_activation(prompts: Prompts, sql: Connection) -> None:
    prompt = prompts.get("greeter", unit="user-42")
    with prompt.use():
        activate(sql, "greeter", 2)
        until(lambda: prompts.get("greeter").version == 2)
    with prompts.get("greeter", unit="user-42").use():
        pass
    assert prompts.flush()
    bucket = value(sql, "select promptctl.bucket('greeter', 'user-42')")
    assert uses(sql, "version, epoch, bucket") == [(1, 1, bucket), (2, 2, bucket)]


def test_polling_finds_the_active_version_without_notifications(
    make_client: MakeClient, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listen_to_nothing(_: Database, channel: str) -> bool:
        assert channel == "promptctl"
        return False

    monkeypatch.setattr(Database, "listen", listen_to_nothing)
    prompts = make_client(poll_seconds=0.3)
    prompts.preload(["greeter", "other"])
    for turn in range(3):
        activate(sql, "greeter", 2 - turn % 2)
        assert until(lambda turn=turn: prompts.get("greeter").version == 2 - turn % 2) < 10
    assert value(sql, "select count(*) from pg_stat_activity where query like 'listen%%'") == 0


@pytest.mark.parametrize(
    "payload",
    [
        "", "{", "[]", "null", "5", '"greeter"', "{}", '{"name": null}', '{"name": []}', '{"name": {}}', '{"name": 5}',
        '{"name": "nobody", "epoch": "x"}', '{"name": "greeter", "epoch": 999999}', '{"release": "x"}', "[" * 7000,
        '{"a":' * 1500, "\u0001\u007f", "ユーザー",
    ],
    ids=lambda payload: payload[:30],
)  # fmt: skip
def test_a_forged_notification_is_ignored(
    make_client: MakeClient, sql: Connection, logged: Logged, payload: str
) -> None:
    prompts = make_client(poll_seconds=NEVER)
    prompt = prompts.get("greeter")
    run(sql, "select pg_notify('promptctl', %s)", [payload])
    activate(sql, "other", 2)
    activate(sql, "greeter", 2)
    until(lambda: prompts.get("greeter").version == 2)
    assert prompts.is_connected
    assert prompt.version == 1
    assert logged("bug") == logged("using the versions confirmed") == 0


def test_changes_of_prompts_that_are_not_loaded_cause_no_query(
    make_client: MakeClient, sql: Connection, wire: Wire, database_name: str
) -> None:
    prompts = make_client(wire.url(database_name), poll_seconds=NEVER)
    prompts.preload(["greeter"])
    before = wire.requests
    activate(sql, "other", 2)
    activate(sql, "other", 1)
    count = wire.responses.count(b'"other"')
    until(lambda: wire.responses.count(b'"other"') >= 2, f"only {count} notifications arrived")
    assert wire.requests == before


def test_only_changed_prompts_are_reloaded(
    make_client: MakeClient, sql: Connection, wire: Wire, database_name: str
) -> None:
    prompts = make_client(wire.url(database_name), poll_seconds=0.02)
    prompts.preload(["greeter", "other"])
    queries = wire.requests.count(b"promptctl.follow(")
    until(lambda: wire.requests.count(b"promptctl.follow(") > queries + 3)
    activate(sql, "other", 2)
    until(lambda: prompts.get("other").version == 2)
    assert wire.responses.count(b"Be kind") == wire.responses.count(b"Something else.") == 1
    assert wire.responses.count(b"Something else again.") == 1


def test_a_new_connection_reloads_prompts_even_with_unchanged_epochs(
    make_client: MakeClient, sql: Connection, server: Server, database_name: str, wire: Wire
) -> None:
    """A standby that is promoted without the last commits may use the same epoch for another version."""
    prompts = make_client(wire.url(database_name), poll_seconds=NEVER)
    unchanged = prompts.get("other")
    assert prompts.get("greeter").epoch == 1
    sql.execute("set session_replication_role = replica")
    sql.execute("update promptctl.served set active_version = 2 where name = 'greeter'")
    sql.execute(
        "select pg_terminate_backend(pid, 20000) from pg_stat_activity where application_name = 'promptctl client'"
    )
    until(lambda: prompts.get("greeter").version == 2)
    assert prompts.get("greeter").epoch == 1
    assert prompts.get("other") is unchanged


def test_corrected_metadata_is_loaded_with_the_next_change(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client(poll_seconds=0.02)
    assert prompts.get("greeter").metadata == {"description": "the first"}
    sql.execute("select promptctl.describe('greeter', 1, '{\"description\": \"corrected\"}')")
    activate(sql, "greeter", 2)
    activate(sql, "greeter", 1)
    until(lambda: prompts.get("greeter").epoch == 3)
    assert prompts.get("greeter").metadata == {"description": "corrected"}


def test_the_age_is_the_time_since_the_last_confirmation(
    make_client: MakeClient, sql: Connection, wire: Wire, database_name: str
) -> None:
    prompts = make_client(wire.url(database_name), poll_seconds=0.05)
    prompt = prompts.get("greeter")
    assert prompts.is_connected
    until(lambda: prompts.age_seconds < 0.04)
    wire.pause()
    until(lambda: prompts.age_seconds > 0.5)
    assert prompt.age_seconds >= 0.5
    assert prompts.get("greeter").age_seconds >= 0.5
    wire.resume()
    until(lambda: prompts.age_seconds < 0.2)


def test_old_versions_raise_too_old_except_pinned_ones(
    make_client: MakeClient, wire: Wire, database_name: str, sql: Connection, logged: Logged
) -> None:
    prompts = make_client(wire.url(database_name), poll_seconds=NEVER, max_age_seconds=1.0)
    prompts.preload(["greeter", "greeter@2"])
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        # The client confirms versions often enough for max_age_seconds, even with a longer poll_seconds.
        assert prompts.get("greeter").version == 1
    wire.pause()
    until(lambda: prompts.age_seconds > 1)
    for call in (
        lambda: prompts.get("greeter"),
        lambda: prompts.get("greeter", unit="u"),
        lambda: prompts.get_many(["greeter", "greeter@2"]),
        lambda: prompts.preload(["greeter"]),
    ):
        with pytest.raises(TooOld, match=r"were confirmed \d s ago, and max_age_seconds is 1") as failure:
            call()
        assert failure.value.code == "prompt_too_old"
    assert prompts.get("greeter@2").version == 2
    assert prompts.get_many(["greeter@2"])["greeter@2"].version == 2
    assert prompts.get("greeter", default="own").is_default
    wire.resume()
    until(lambda: prompts.age_seconds < 1)
    assert prompts.get("greeter").version == 1


def test_an_outage_logs_one_warning_at_its_start_and_one_at_its_end(
    make_client: MakeClient, server: Server, database_name: str, sql: Connection, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from promptctl.client import follower, recorder

    monkeypatch.setattr(follower, "_LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.1)
    prompts = make_client(server.url(database_name, user="postgres"))
    prompts.get("greeter")
    label = f"{database_name} at localhost"
    with psycopg.connect(server.dsn(), autocommit=True) as other:
        for _ in range(2):
            caplog.clear()
            sql.close()
            run(other, f"alter database {database_name} allow_connections false")
            run(
                other,
                "select pg_terminate_backend(pid, 20000) from pg_stat_activity where datname = %s",
                [database_name],
            )
            until(lambda: not prompts.is_connected)
            with prompts.get("greeter").use():
                pass
            assert not prompts.flush()
            assert not prompts.flush()
            run(other, f"alter database {database_name} allow_connections true")
            until(lambda: prompts.is_connected)
            assert prompts.flush()
            # The last use is in the database before the thread logs that it records again.
            until(lambda: "promptctl: recording uses again" in caplog.messages)
            lines = caplog.messages
            assert [record.levelno for record in caplog.records] == [logging.WARNING] * 4
            assert sum("using the versions confirmed 0 s ago" in line for line in lines) == 1
            assert lines.count(f"promptctl: connected to {label} again") == 1
            assert sum("cannot record uses" in line for line in lines) == 1
            assert lines.count("promptctl: recording uses again") == 1
    assert prompts.dropped_uses == 0


def test_prompts_that_are_not_loaded_are_unavailable_at_once_during_an_outage(
    make_client: MakeClient, server: Server, database_name: str
) -> None:
    prompts = make_client()
    prompts.get("greeter")
    with psycopg.connect(server.dsn(), autocommit=True) as other:
        run(other, f"alter database {database_name} allow_connections false")
        run(other, "select pg_terminate_backend(pid, 20000) from pg_stat_activity where datname = %s", [database_name])
        until(lambda: not prompts.is_connected)
        began = time.monotonic()
        for _ in range(200):
            assert prompts.get("other", default="own").is_default
        assert time.monotonic() - began < 10
        run(other, f"alter database {database_name} allow_connections true")
    until(lambda: not prompts.get("other", default="own").is_default)


def test_the_following_thread_logs_a_bug_and_continues(
    make_client: MakeClient, sql: Connection, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptctl.store import following

    prompts = make_client(poll_seconds=NEVER)
    prompts.get("greeter")
    follow = following.follow
    failures = iter([ZeroDivisionError("seven")])

    def fail_once(*arguments: Any) -> Any:
        for failure in failures:
            raise failure
        return follow(*arguments)

    monkeypatch.setattr(following, "follow", fail_once)
    activate(sql, "greeter", 2)
    until(lambda: prompts.get("greeter").version == 2)
    assert logged("a bug in the thread that follows active versions") == 1
    # The client serves what it has read before it logs that it is connected.
    until(lambda: logged("promptctl: connected to ") == 1)
    assert logged("ZeroDivisionError: seven; using the versions") == 1
    assert rows(sql, "select count(*) from pg_stat_activity where application_name = 'promptctl client'") == [(1,)]
