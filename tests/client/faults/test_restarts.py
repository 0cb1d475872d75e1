"""The database is restarted, killed, or cuts a connection in the moment of a commit: each use is counted once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.client.faults.load import Load, all_recorded, check_each_counted_once, moves
from tests.client.faults.proxy import Proxy
from tests.client.support import WAIT_SECONDS, until
from tests.conftest import SERVERS
from tests.schema.support import run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl import Prompts
    from tests.servers import Server

pytestmark = pytest.mark.usefixtures("impatient")
BOTH = pytest.mark.parametrize("templated", list(SERVERS), indirect=True)
USE_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
TROUBLE: list[Callable[[Server], None]] = [
    lambda server: server.stop(keep=True),
    lambda server: server.stop(keep=True, immediate=True),
    lambda server: server.kill(),
]


@BOTH
def test_during_restarts_and_crashes_the_application_works_and_each_use_is_recorded_once(
    server: Server,
    database_name: str,
    application_url: str,
    serve: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:
    client = serve(application_url)
    with Load(client) as load:
        for trouble in TROUBLE * 2:
            load.goes_on()
            with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
                moves(sql, client, 0.5)
            trouble(server)
            load.goes_on()
            until(lambda: not client.is_connected)
            server.restart()
            until(lambda: client.is_connected)
            with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
                moves(sql, client, 0.5)
    all_recorded(client)
    assert client.dropped_uses == 0
    assert logged("using the versions confirmed") == logged("promptctl: connected to ") == 6
    # The last uses are there before the turn that sent them is over.
    until(lambda: 1 <= logged("cannot record uses") == logged("recording uses again") <= 6)
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        check_each_counted_once(sql, load.ids)


@pytest.fixture
def waits_at_commit(server: Server, database_name: str, application: str) -> Any:
    """Has every commit of the application wait for a standby that is not there."""
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        run(sql, f"alter role {application} set synchronous_commit = on")
        sql.execute("alter system set synchronous_standby_names = 'nobody'")
        sql.execute("select pg_reload_conf()")
        until(lambda: value(sql, "show synchronous_standby_names") == "nobody")
        yield sql
        sql.execute("alter system reset synchronous_standby_names")
        sql.execute("select pg_reload_conf()")


@BOTH
def test_a_batch_whose_backend_is_terminated_while_it_commits_is_sent_again_and_counted_once(
    waits_at_commit: psycopg.Connection[Any], application_url: str, serve: Callable[..., Prompts]
) -> None:
    sql = waits_at_commit
    client = serve(application_url)
    committing = "select pid from pg_stat_activity where wait_event = 'SyncRep' and datname = current_database()"
    with Load(client) as load:
        for turn in range(1, 4):
            until(lambda: sql.execute(committing).fetchone())
            assert sql.execute(f"select pg_terminate_backend(pid, 20000) from ({committing}) c").fetchone() == (True,)
            # The server had committed, and could not say so.
            assert value(sql, "select count(*) > 0 from promptctl.uses") is True, turn
            load.goes_on()
        assert client.waiting_uses > 0
        sql.execute("alter system reset synchronous_standby_names")
        sql.execute("select pg_reload_conf()")
    all_recorded(client)
    assert client.dropped_uses == 0
    check_each_counted_once(sql, load.ids)


@pytest.mark.parametrize("forwards", [True, False], ids=["carried out", "not carried out"])
def test_a_batch_whose_answer_is_lost_is_sent_again_and_counted_once(
    forwards: bool, server: Server, database_name: str, application: str, serve: Callable[..., Prompts]
) -> None:
    with (
        Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy,
        psycopg.connect(server.dsn(database_name), autocommit=True) as sql,
    ):
        client = serve(proxy.url(database_name, application))
        arrived = "select count(*) from promptctl.uses where id = any (%s::uuid[])"
        sent: list[str] = []
        with Load(client) as load:
            for _ in range(5):
                load.goes_on()
                # What was cut before has arrived since; another batch is next.
                until(lambda sent=sent: value(sql, arrived, sent) == len(sent))
                proxy.cut_at(b"record_uses(", forwards=forwards)
                assert proxy.cut.wait(WAIT_SECONDS)
                sent = [each.decode() for each in USE_ID.findall(proxy.request)]
                assert sent
                assert value(sql, arrived, sent) == (len(sent) if forwards else 0)
                moves(sql, client, 0.5)
        all_recorded(client)
        assert client.dropped_uses == 0
        check_each_counted_once(sql, load.ids)
        client.close()


def test_a_single_use_is_not_lost_with_a_connection_that_the_server_ended_for_idling(
    server: Server, database_name: str, application: str, application_url: str, serve: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        run(sql, f"alter role {application} set idle_session_timeout = 300")
        client = serve(application_url, poll_seconds=0.05)
        sessions = f"select count(*) from pg_stat_activity where usename = '{application}'"
        ids: list[str] = []
        for turn in range(1, 4):
            with client.get("greeter").use() as use:
                pass
            ids.append(use.id)
            until(lambda turn=turn: value(sql, "select count(*) from promptctl.uses") == turn)
            until(lambda: value(sql, sessions) == 1)
        all_recorded(client)
        assert client.dropped_uses == 0
        check_each_counted_once(sql, ids)
        assert logged("ended the connection: terminating connection due to idle-session timeout") > 0
