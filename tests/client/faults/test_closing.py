"""close() keeps its time limit in every state of the database, and uses that are not sent are logged."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.client.faults.load import SLACK_SECONDS, check_recorded_once
from tests.client.faults.proxy import Proxy
from tests.client.support import until
from tests.schema.support import rows, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from promptctl import Prompts
    from tests.servers import Server

CLOSE_SECONDS = 0.5


class Outage:
    """A URL of the server, and functions that begin and end an outage."""

    def __init__(self, url: str, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self.url = url
        self.begin = begin
        self.end = end


@pytest.fixture(params=["stopped", "frozen", "silent", "locked"])
def outage(
    request: pytest.FixtureRequest, server: Server, database_name: str, application: str, application_url: str
) -> Iterator[Outage]:
    """Each kind of outage in which no use can be recorded."""
    if request.param == "stopped":
        yield Outage(application_url, lambda: server.stop(keep=True), server.restart)
    elif request.param == "frozen":
        yield Outage(application_url, server.freeze, server.thaw)
    elif request.param == "silent":
        with Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy:
            yield Outage(proxy.url(database_name, application), proxy.pause, proxy.resume)
    else:
        with psycopg.connect(server.dsn(database_name)) as sql:
            lock = "lock promptctl.uses in access exclusive mode"
            yield Outage(application_url, lambda: sql.execute(lock), sql.rollback)


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("is_detected", [True, False], ids=["detected", "not detected"])
def test_close_keeps_its_time_limit_and_logs_every_lost_use(
    outage: Outage, is_detected: bool, server: Server, database_name: str, application: str, application_url: str,
    tmp_path: Path, make_client: Callable[..., Prompts], logged: Callable[[str], int],
) -> None:  # fmt: skip
    spooling, losing = make_client(outage.url, spool=tmp_path / "spool"), make_client(outage.url)
    ids: dict[Prompts, list[str]] = {spooling: [], losing: []}
    for client in ids:
        ids[client] += record_uses(client, 10)
        assert client.flush(20)
    outage.begin()
    try:
        for client in ids:
            ids[client] += record_uses(client, 3000)
        if is_detected:
            until(lambda: logged("cannot record uses") == 2)
        for client in ids:
            began = time.monotonic()
            client.close(CLOSE_SECONDS)
            assert time.monotonic() - began < CLOSE_SECONDS + 1 + SLACK_SECONDS
    finally:
        outage.end()
    assert (spooling.dropped_uses, losing.dropped_uses) == (0, 3000)
    assert logged("3000 uses were not recorded: the client was closed before they could be sent") == 1
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        # Uses that were sent before close may still arrive.
        until(lambda: not any(thread.name == "promptctl-recorder" for thread in threading.enumerate()))
        sessions = f"select count(*) from pg_stat_activity where usename = '{application}'"
        until(lambda: value(sql, sessions) == 0)
        recorded = {row[0] for row in rows(sql, "select id::text from promptctl.uses")}
        assert recorded >= {*ids[spooling][:10], *ids[losing][:10]}
        with make_client(application_url, spool=tmp_path / "spool") as later:
            later.get("greeter")
            assert later.flush(20)
        check_recorded_once(sql, [*ids[spooling], *recorded])


def record_uses(client: Prompts, number: int) -> list[str]:
    """Record uses, and return their ids."""
    ids: list[str] = []
    for _ in range(number):
        with client.get("greeter").use() as use:
            pass
        ids.append(use.id)
    return ids
