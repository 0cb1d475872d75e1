"""The server is restarted or killed, or loses a connection during a commit: each use is counted once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.client.faults.load import Load, activate_other_version, check_recorded_once, wait_until_recorded
from tests.client.faults.proxy import Proxy
from tests.client.support import WAIT_SECONDS, until
from tests.conftest import SERVERS
from tests.schema.support import run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl import Prompts
    from tests.servers import Server

pytestmark = pytest.mark.usefixtures("short_pauses")
ALL_SERVERS = pytest.mark.parametrize("templated", list(SERVERS), indirect=True)
USE_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
STOPS: list[Callable[[Server], None]] = [
    lambda server: server.stop(keep=True),
    lambda server: server.stop(keep=True, immediate=True),
    lambda server: server.kill(),
]


@ALL_SERVERS
def test_an_application_survives_restarts_and_crashes_and_loses_no_use(
    server: Server,
    database_name: str,
    application_url: str,
    make_client: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:
    client = make_client(application_url)
    with Load(client) as load:
        for stop in STOPS * 2:
            load.wait_for_uses()
            with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
                activate_other_version(sql, client, 0.5)
            stop(server)
            load.wait_for_uses()
            until(lambda: not client.is_connected)
            server.restart()
            until(lambda: client.is_connected)
            with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
                activate_other_version(sql, client, 0.5)
    wait_until_recorded(client)
    assert client.dropped_uses == 0
    assert logged("using the versions confirmed") == logged("promptctl: connected to ") == 6
    # The last uses are in the database before the thread logs that it records again.
    until(lambda: 1 <= logged("cannot record uses") == logged("recording uses again") <= 6)
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        check_recorded_once(sql, load.ids)


@pytest.fixture
def commits_wait(server: Server, database_name: str, application: str) -> Any:
    """Make every commit of the application wait for a standby that does not exist."""
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        run(sql, f"alter role {application} set synchronous_commit = on")
        sql.execute("alter system set synchronous_standby_names = 'nobody'")
        sql.execute("select pg_reload_conf()")
        until(lambda: value(sql, "show synchronous_standby_names") == "nobody")
        yield sql
        sql.execute("alter system reset synchronous_standby_names")
        sql.execute("select pg_reload_conf()")


@ALL_SERVERS
def test_a_batch_whose_backend_ends_during_its_commit_is_counted_once(
    commits_wait: psycopg.Connection[Any], application_url: str, make_client: Callable[..., Prompts]
) -> None:
    sql = commits_wait
    client = make_client(application_url)
    committing = "select pid from pg_stat_activity where wait_event = 'SyncRep' and datname = current_database()"
    with Load(client) as load:
        for turn in range(1, 4):
            until(lambda: sql.execute(committing).fetchone())
            assert sql.execute(f"select pg_terminate_backend(pid, 20000) from ({committing}) c").fetchone() == (True,)
            # The server had committed, but could not acknowledge it.
            assert value(sql, "select count(*) > 0 from promptctl.uses") is True, turn
            load.wait_for_uses()
        assert client.waiting_uses > 0
        sql.execute("alter system reset synchronous_standby_names")
        sql.execute("select pg_reload_conf()")
    wait_until_recorded(client)
    assert client.dropped_uses == 0
    check_recorded_once(sql, load.ids)


@pytest.mark.parametrize("forwards", [True, False], ids=["executed", "not executed"])
def test_a_batch_whose_answer_is_lost_is_sent_again_and_counted_once(
    forwards: bool, server: Server, database_name: str, application: str, make_client: Callable[..., Prompts]
) -> None:
    with (
        Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy,
        psycopg.connect(server.dsn(database_name), autocommit=True) as sql,
    ):
        client = make_client(proxy.url(database_name, application))
        arrived = "select count(*) from promptctl.uses where id = any (%s::uuid[])"
        sent: list[str] = []
        with Load(client) as load:
            for _ in range(5):
                load.wait_for_uses()
                # Wait until the last batch has been sent again.
                until(lambda sent=sent: value(sql, arrived, sent) == len(sent))
                proxy.cut_at(b"record_uses(", forwards=forwards)
                assert proxy.cut.wait(WAIT_SECONDS)
                sent = [use_id.decode() for use_id in USE_ID.findall(proxy.request)]
                assert sent
                assert value(sql, arrived, sent) == (len(sent) if forwards else 0)
                activate_other_version(sql, client, 0.5)
        wait_until_recorded(client)
        assert client.dropped_uses == 0
        check_recorded_once(sql, load.ids)
        client.close()


def test_a_use_is_not_lost_when_the_server_ends_an_idle_connection(
    server: Server, database_name: str, application: str, application_url: str, make_client: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        run(sql, f"alter role {application} set idle_session_timeout = 300")
        client = make_client(application_url, poll_seconds=0.05)
        sessions = f"select count(*) from pg_stat_activity where usename = '{application}'"
        ids: list[str] = []
        for turn in range(1, 4):
            with client.get("greeter").use() as use:
                pass
            ids.append(use.id)
            until(lambda turn=turn: value(sql, "select count(*) from promptctl.uses") == turn)
            until(lambda: value(sql, sessions) == 1)
        wait_until_recorded(client)
        assert client.dropped_uses == 0
        check_recorded_once(sql, ids)
        assert logged("ended the connection: terminating connection due to idle-session timeout") > 0
