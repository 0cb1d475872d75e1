"""A network that drops packets, or a server that hangs: connections stay open and nothing answers."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import TooOld, Unavailable
from promptctl.client import delivery
from promptctl.postgres import connecting, settings
from promptctl.postgres.connection import ConnectionLost
from tests.client.faults.load import (
    SLACK_SECONDS,
    Load,
    activate_other_version,
    check_recorded_once,
    wait_until_recorded,
)
from tests.client.faults.proxy import Proxy
from tests.client.support import until
from tests.schema.support import rows, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from promptctl import Prompts
    from promptctl.postgres.drivers import Driver
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("short_timeouts")


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy in front of the server that can be paused."""
    with Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy:
        yield proxy


def test_while_packets_are_dropped_loaded_versions_are_used_and_no_use_is_lost(
    proxy: Proxy, server: Server, database_name: str, application: str, make_client: Callable[..., Prompts]
) -> None:
    url = proxy.url(database_name, application)
    client = make_client(url, poll_seconds=0.2, timeout_seconds=0.5)
    careful = make_client(url, poll_seconds=0.2, timeout_seconds=2.0, max_age_seconds=1.5)
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql, Load(client) as load:
        load.wait_for_uses()
        activate_other_version(sql, client, 0.2)
        assert careful.get("greeter").age_seconds < 1.5
        proxy.pause()
        load.wait_for_uses()
        # The outage is not detected yet: a call for a prompt that is not loaded waits for its timeout.
        began = time.monotonic()
        with pytest.raises(Unavailable, match='"other" is not loaded and cannot be read'):
            client.get("other")
        assert time.monotonic() - began < 0.5 + SLACK_SECONDS
        until(lambda: client.get("greeter").age_seconds > 1.7 and careful.age_seconds > 1.5)
        with pytest.raises(TooOld, match=r"confirmed 2 s ago, and max_age_seconds is 1\.5"):
            careful.get("greeter")
        until(lambda: not client.is_connected)
        load.wait_for_uses()
        assert client.waiting_uses > 100
        # The outage is detected: the call does not wait.
        began = time.monotonic()
        with pytest.raises(Unavailable):
            client.get("other")
        assert time.monotonic() - began < 0.4
        proxy.resume()
        until(lambda: client.is_connected and careful.is_connected)
        activate_other_version(sql, client, 0.2)
        assert careful.get("greeter").age_seconds < 1.5
        assert client.get("other").version == 1
    wait_until_recorded(client)
    assert client.dropped_uses == 0
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        check_recorded_once(sql, load.ids)
    client.close()
    careful.close()


def test_a_process_starts_from_its_snapshot_while_the_server_does_not_answer(
    proxy: Proxy, database_name: str, application: str, make_client: Callable[..., Prompts], tmp_path: Path
) -> None:
    url = proxy.url(database_name, application)
    with make_client(url, snapshot=tmp_path / "snapshot") as client:
        client.get("greeter")
    proxy.pause()
    client = make_client(url, snapshot=tmp_path / "snapshot", timeout_seconds=0.5)
    began = time.monotonic()
    prompt = client.get("greeter")
    assert time.monotonic() - began < 0.5 + SLACK_SECONDS
    assert (prompt.version, prompt.age_seconds > 0) == (1, True)
    client.close(0.1)


@pytest.fixture
def freeze(server: Server) -> Iterator[Callable[[], None]]:
    """Return a function that freezes the server until the end of the test."""
    yield server.freeze
    server.thaw()


def test_a_hanging_server_is_detected_after_the_answer_timeout(
    server: Server, database_name: str, driver: Driver, freeze: Callable[[], None]
) -> None:
    waiting = driver.connect({"dbname": server.url(database_name)})
    sending = driver.connect({"dbname": server.url(database_name)})
    for connection in (waiting, sending):
        connection.timeout_seconds = 0.3
        assert connection.pipeline([("select 1", [])]) == [[(1,)]]
    freeze()
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match=r"no answer in 0\.3 s"):
        waiting.pipeline([("select 1", [])])
    # A request larger than the socket buffer is not even sent completely.
    with pytest.raises(ConnectionLost, match=r"nothing was accepted for 0\.3 s"):
        sending.pipeline([("select length($1)", ["x" * 20_000_000])])
    waiting.close()
    sending.close()
    assert time.monotonic() - began < 0.6 + SLACK_SECONDS


def test_a_connection_has_tcp_keepalive_and_user_timeouts(server: Server, database_name: str) -> None:
    with Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy:
        database = connecting.connect_application(
            settings.target(proxy.url(database_name, "postgres")), connect_timeout_seconds=5, timeout_seconds=10
        )
        descriptor = database._connection._socket  # pyright: ignore[reportPrivateUsage]
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            options = [
                duplicate.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            ]
        # An idle connection is closed after 5 + 3 * 2 s, one with unacknowledged data after the timeout of an answer.
        assert options == [5, 2, 3, 10_000]
        database.close()


def test_a_request_larger_than_the_socket_buffer_is_sent_and_answered(
    server: Server, database_name: str, driver: Driver
) -> None:
    connection = driver.connect({"dbname": server.url(database_name)})
    connection.timeout_seconds = 20
    text = "x" * 20_000_000
    statements: Any = [("select $1::text", [text]), ("select length($1)", [text])]
    assert connection.pipeline(statements) == [[(text,)], [(len(text),)]]
    connection.close()


def test_uses_wait_while_the_server_hangs_and_are_recorded_afterwards(
    server: Server,
    database_name: str,
    application_url: str,
    make_client: Callable[..., Prompts],
    freeze: Callable[[], None],
) -> None:
    client = make_client(application_url, poll_seconds=0.2)
    with Load(client) as load:
        load.wait_for_uses()
        wait_until_recorded(client)
        freeze()
        load.wait_for_uses(1000)
        until(lambda: not client.is_connected)
        server.thaw()
        until(lambda: client.is_connected)
    wait_until_recorded(client)
    assert client.dropped_uses == 0
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        check_recorded_once(sql, load.ids)


def test_a_full_queue_drops_the_oldest_uses_without_blocking_callers(
    server: Server, database_name: str, application_url: str, make_client: Callable[..., Prompts],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(delivery, "_ANSWER_SECONDS", 60.0)
    client = make_client(application_url, queue_size=3000)
    client.get("greeter")
    ids: list[str] = []
    with (
        psycopg.connect(server.dsn(database_name)) as blocking,
        psycopg.connect(server.dsn(database_name), autocommit=True) as sql,
    ):
        blocking.execute("lock promptctl.uses in access exclusive mode")
        began = time.monotonic()
        for _ in range(10_000):
            with client.get("greeter").use() as use:
                pass
            ids.append(use.id)
        assert client.dropped_uses >= 10_000 - 3000
        assert client.waiting_uses <= 3000
        assert time.monotonic() - began < 10
        blocking.rollback()
        wait_until_recorded(client)
        recorded = {row[0] for row in rows(sql, "select id::text from promptctl.uses")}
        assert len(recorded) == value(sql, "select count(*) from promptctl.uses") == 10_000 - client.dropped_uses
        assert recorded >= {*ids[-1000:]}
        check_recorded_once(sql, [use_id for use_id in ids if use_id in recorded])
