"""close() keeps its time limit in every state of the database, and uses that are not sent are logged."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.client.faults.load import SLACK_SECONDS, check_each_counted_once
from tests.client.faults.proxy import Proxy
from tests.client.support import until
from tests.schema.support import rows, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from promptctl import Prompts
    from tests.servers import Server

SECONDS = 0.5


class Trouble:
    """A way to the server, and how to block it and open it again."""

    def __init__(self, url: str, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self.url = url
        self.begin = begin
        self.end = end


@pytest.fixture(params=["stopped", "frozen", "silent", "locked"])
def trouble(
    request: pytest.FixtureRequest, server: Server, database_name: str, application: str, application_url: str
) -> Iterator[Trouble]:
    """Each state in which nothing is taken."""
    if request.param == "stopped":
        yield Trouble(application_url, lambda: server.stop(keep=True), server.restart)
    elif request.param == "frozen":
        yield Trouble(application_url, server.freeze, server.thaw)
    elif request.param == "silent":
        with Proxy(server.socket_directory / ".s.PGSQL.5432") as proxy:
            yield Trouble(proxy.url(database_name, application), proxy.fall_silent, proxy.speak)
    else:
        with psycopg.connect(server.dsn(database_name)) as sql:
            lock = "lock promptctl.uses in access exclusive mode"
            yield Trouble(application_url, lambda: sql.execute(lock), sql.rollback)


@pytest.mark.usefixtures("unanswered")
@pytest.mark.parametrize("knows", [True, False], ids=["noticed", "not noticed"])
def test_close_keeps_its_time_limit_and_logs_every_lost_use(
    trouble: Trouble, knows: bool, server: Server, database_name: str, application: str, application_url: str,
    tmp_path: Path, serve: Callable[..., Prompts], logged: Callable[[str], int],
) -> None:  # fmt: skip
    keeping, losing = serve(trouble.url, spool=tmp_path / "spool"), serve(trouble.url)
    ids: dict[Prompts, list[str]] = {keeping: [], losing: []}
    for client in ids:
        ids[client] += booked(client, 10)
        assert client.flush(20)
    trouble.begin()
    try:
        for client in ids:
            ids[client] += booked(client, 3000)
        if knows:
            until(lambda: logged("cannot record uses") == 2)
        for client in ids:
            began = time.monotonic()
            client.close(SECONDS)
            assert time.monotonic() - began < SECONDS + 1 + SLACK_SECONDS
    finally:
        trouble.end()
    assert (keeping.dropped_uses, losing.dropped_uses) == (0, 3000)
    assert logged("3000 uses were not recorded: the client was closed before they could be sent") == 1
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        # What was under way may still arrive.
        until(lambda: not any(thread.name == "promptctl-recorder" for thread in threading.enumerate()))
        sessions = f"select count(*) from pg_stat_activity where usename = '{application}'"
        until(lambda: value(sql, sessions) == 0)
        found = {row[0] for row in rows(sql, "select id::text from promptctl.uses")}
        assert found >= {*ids[keeping][:10], *ids[losing][:10]}
        with serve(application_url, spool=tmp_path / "spool") as later:
            later.get("greeter")
            assert later.flush(20)
        check_each_counted_once(sql, [*ids[keeping], *found])


def booked(client: Prompts, number: int) -> list[str]:
    """Book uses, and return their ids."""
    ids: list[str] = []
    for _ in range(number):
        with client.get("greeter").use() as use:
            pass
        ids.append(use.id)
    return ids
