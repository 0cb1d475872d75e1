"""A network that drops packets, a server that hangs: nothing answers and nothing is closed."""

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
from tests.client.faults.load import SLACK_SECONDS, Load, all_recorded, check_each_counted_once, moves
from tests.client.faults.proxy import Proxy
from tests.client.support import until
from tests.schema.support import rows, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from promptctl import Prompts
    from promptctl.postgres.drivers import Driver
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("unanswered")


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A way to the server that can fall silent."""
    with Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy:
        yield proxy


def test_while_packets_are_dropped_loaded_versions_are_used_and_no_use_is_lost(
    proxy: Proxy, server: Server, database_name: str, application: str, serve: Callable[..., Prompts]
) -> None:
    url = proxy.url(database_name, application)
    client = serve(url, poll_seconds=0.2, timeout_seconds=0.5)
    careful = serve(url, poll_seconds=0.2, timeout_seconds=2.0, max_age_seconds=1.5)
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql, Load(client) as load:
        load.goes_on()
        moves(sql, client, 0.2)
        assert careful.get("greeter").age_seconds < 1.5
        proxy.fall_silent()
        load.goes_on()
        # Not noticed yet: whoever asks for what is not known waits, and not for ever.
        began = time.monotonic()
        with pytest.raises(Unavailable, match='"other" is not loaded and cannot be read'):
            client.get("other")
        assert time.monotonic() - began < 0.5 + SLACK_SECONDS
        until(lambda: client.get("greeter").age_seconds > 1.7 and careful.age_seconds > 1.5)
        with pytest.raises(TooOld, match=r"confirmed 2 s ago, and max_age_seconds is 1\.5"):
            careful.get("greeter")
        until(lambda: not client.is_connected)
        load.goes_on()
        assert client.waiting_uses > 100
        # Noticed: nobody waits any more.
        began = time.monotonic()
        with pytest.raises(Unavailable):
            client.get("other")
        assert time.monotonic() - began < 0.4
        proxy.speak()
        until(lambda: client.is_connected and careful.is_connected)
        moves(sql, client, 0.2)
        assert careful.get("greeter").age_seconds < 1.5
        assert client.get("other").version == 1
    all_recorded(client)
    assert client.dropped_uses == 0
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        check_each_counted_once(sql, load.ids)
    client.close()
    careful.close()


def test_a_process_starts_from_its_snapshot_although_nothing_answers(
    proxy: Proxy, database_name: str, application: str, serve: Callable[..., Prompts], tmp_path: Path
) -> None:
    url = proxy.url(database_name, application)
    with serve(url, snapshot=tmp_path / "snapshot") as client:
        client.get("greeter")
    proxy.fall_silent()
    client = serve(url, snapshot=tmp_path / "snapshot", timeout_seconds=0.5)
    began = time.monotonic()
    prompt = client.get("greeter")
    assert time.monotonic() - began < 0.5 + SLACK_SECONDS
    assert (prompt.version, prompt.age_seconds > 0) == (1, True)
    client.close(0.1)


@pytest.fixture
def frozen(server: Server) -> Iterator[Callable[[], None]]:
    """Freezes the server until the end of the test."""
    yield server.freeze
    server.thaw()


def test_a_server_that_hangs_is_noticed_by_the_time_that_it_has_for_an_answer(
    server: Server, database_name: str, driver: Driver, frozen: Callable[[], None]
) -> None:
    asked = driver.connect({"dbname": server.url(database_name)})
    loaded = driver.connect({"dbname": server.url(database_name)})
    for connection in (asked, loaded):
        connection.timeout_seconds = 0.3
        assert connection.pipeline([("select 1", [])]) == [[(1,)]]
    frozen()
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match=r"no answer in 0\.3 s"):
        asked.pipeline([("select 1", [])])
    # More than a socket holds: it is not even taken.
    with pytest.raises(ConnectionLost, match=r"nothing was accepted for 0\.3 s"):
        loaded.pipeline([("select length($1)", ["x" * 20_000_000])])
    asked.close()
    loaded.close()
    assert time.monotonic() - began < 0.6 + SLACK_SECONDS


def test_a_connection_whose_other_end_is_gone_is_given_up_by_the_kernel(server: Server, database_name: str) -> None:
    with Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy:
        database = connecting.connect_application(
            settings.target(proxy.url(database_name, "postgres")), connect_timeout_seconds=5, timeout_seconds=10
        )
        descriptor = database._connection._socket  # pyright: ignore[reportPrivateUsage]
        with socket.socket(fileno=os.dup(descriptor)) as end:
            found = [
                end.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            ]
        # While nothing is sent after 5 + 3 * 2 s, else when nothing is acknowledged for the time of an answer.
        assert found == [5, 2, 3, 10_000]
        database.close()


def test_what_is_longer_than_a_socket_holds_is_sent_and_answered(
    server: Server, database_name: str, driver: Driver
) -> None:
    connection = driver.connect({"dbname": server.url(database_name)})
    connection.timeout_seconds = 20
    text = "x" * 20_000_000
    statements: Any = [("select $1::text", [text]), ("select length($1)", [text])]
    assert connection.pipeline(statements) == [[(text,)], [(len(text),)]]
    connection.close()


def test_behind_a_server_that_hangs_uses_wait_and_are_recorded_when_it_goes_on(
    server: Server, database_name: str, application_url: str, serve: Callable[..., Prompts], frozen: Callable[[], None]
) -> None:
    client = serve(application_url, poll_seconds=0.2)
    with Load(client) as load:
        load.goes_on()
        all_recorded(client)
        frozen()
        load.goes_on(1000)
        until(lambda: not client.is_connected)
        server.thaw()
        until(lambda: client.is_connected)
    all_recorded(client)
    assert client.dropped_uses == 0
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        check_each_counted_once(sql, load.ids)


def test_while_uses_wait_for_an_answer_a_full_queue_drops_the_oldest_counts_them_and_holds_nobody_up(
    server: Server, database_name: str, application_url: str, serve: Callable[..., Prompts],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(delivery, "_ANSWER_SECONDS", 60.0)
    client = serve(application_url, queue_size=3000)
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
        all_recorded(client)
        found = {row[0] for row in rows(sql, "select id::text from promptctl.uses")}
        assert len(found) == value(sql, "select count(*) from promptctl.uses") == 10_000 - client.dropped_uses
        assert found >= {*ids[-1000:]}
        check_each_counted_once(sql, [each for each in ids if each in found])
