"""The primary is killed and its standby promoted: reads continue, and each use is counted once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.client.faults.conftest import NEWEST, NO_SERVER
from tests.client.faults.load import (
    SLACK_SECONDS,
    Load,
    activate_other_version,
    check_recorded_once,
    wait_until_recorded,
)
from tests.client.faults.proxy import Proxy
from tests.client.support import until, with_template
from tests.conftest import SERVERS
from tests.schema.support import run, value
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from promptctl import Prompts

pytestmark = pytest.mark.usefixtures("short_pauses")
POLL_SECONDS = 1.0


@pytest.fixture(params=NEWEST or NO_SERVER)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Server]]:
    """A primary and its synchronous standby, both reached by TCP."""
    settings: dict[str, Any] = {"synchronous_commit": "on", "max_connections": 30}
    with Server.start(SERVERS[request.param], tcp=True, **settings) as primary:
        template = with_template(primary).template
        with psycopg.connect(primary.dsn(), autocommit=True) as sql:
            run(sql, f"alter database {template} rename to prompts")
        with psycopg.connect(primary.dsn("prompts"), autocommit=True) as sql:
            sql.execute("create role app login")
            sql.execute("select promptctl.grant_access('app', 'application')")
        with (
            Server.start(SERVERS[request.param], tcp=True, primary=primary, **settings) as standby,
            psycopg.connect(primary.dsn(), autocommit=True) as sql,
        ):
            sql.execute("alter system set synchronous_standby_names = 'standby'")
            sql.execute("select pg_reload_conf()")
            until(lambda: value(sql, "select count(*) from pg_stat_replication where sync_state = 'sync'") == 1)
            yield primary, standby


def test_a_failover_loses_no_use_and_clients_of_the_standby_continue(
    pair: tuple[Server, Server], make_client: Callable[..., Prompts], logged: Callable[[str], int]
) -> None:
    primary, standby = pair
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    client = make_client(f"postgresql://app@{hosts}/prompts?target_session_attrs=read-write")
    reader = make_client(standby.url("prompts", user="app"), poll_seconds=POLL_SECONDS)
    with Load(client) as load, Load(reader) as read:
        load.wait_for_uses()
        read.wait_for_uses()
        with psycopg.connect(primary.dsn("prompts"), autocommit=True) as sql:
            activate_other_version(sql, client, 0.5)
            version = client.get("greeter").version
            # A standby accepts no LISTEN, so the reader polls.
            until(lambda: reader.get("greeter").version == version, seconds=POLL_SECONDS + SLACK_SECONDS)
            assert value(sql, "select count(*) from promptctl.uses where id = any (%s::uuid[])", read.ids) == 0
        assert reader.waiting_uses > 0
        assert logged("is read-only; retrying") == 1
        primary.kill()
        load.wait_for_uses()
        read.wait_for_uses()
        standby.promote()
        until(lambda: client.is_connected)
        with psycopg.connect(standby.dsn("prompts"), autocommit=True) as sql:
            activate_other_version(sql, client, 0.5)
            # The reader kept its connection and listens now. By polling each move would take a whole interval.
            activate_other_version(sql, reader, POLL_SECONDS)
            began = time.monotonic()
            for _ in range(6):
                activate_other_version(sql, reader, POLL_SECONDS)
            assert time.monotonic() - began < 5 * POLL_SECONDS
    wait_until_recorded(client)
    wait_until_recorded(reader)
    assert (client.dropped_uses, reader.dropped_uses) == (0, 0)
    with psycopg.connect(standby.dsn("prompts"), autocommit=True) as sql:
        check_recorded_once(sql, load.ids + read.ids)


def test_a_first_host_that_does_not_answer_leaves_time_for_the_second(
    server: Server, database_name: str, application: str, make_client: Callable[..., Prompts]
) -> None:
    with Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy:
        proxy.pause()
        hosts = f"host=127.0.0.1,{server.socket_directory}&port={proxy.port},{server.port}"
        client = make_client(
            f"postgresql://{application}@/{database_name}?{hosts}&sslmode=disable", timeout_seconds=5.0
        )
        assert client.get("greeter").version == 1
        client.close()
