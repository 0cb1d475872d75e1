"""Two hundred clients follow one prompt: all see a change, and after a restart they reconnect at different times."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl.client import follower
from promptctl.postgres import connecting
from tests.client.faults.conftest import NEWEST, NO_SERVER
from tests.client.faults.load import activate_other_version
from tests.client.support import until, with_template
from tests.conftest import SERVERS, Templated
from tests.schema.support import value
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from promptctl import Prompts

LISTENERS = 200
SESSIONS = "select count(*) from pg_stat_activity where application_name = 'promptctl client'"


@pytest.fixture(params=NEWEST or NO_SERVER)
def large(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """A server that accepts a session for each client."""
    with Server.start(SERVERS[request.param], max_connections=LISTENERS + 20) as server:
        yield with_template(server)


def check_that_all_see_a_change(large: Templated, clients: list[Prompts]) -> None:
    with psycopg.connect(large.server.dsn(large.template), autocommit=True) as sql:
        assert value(sql, SESSIONS) == LISTENERS
        activate_other_version(sql, clients[0], 0.5)
        version = active_version(clients[0])
        until(lambda: all(active_version(client) == version for client in clients), seconds=3)


def active_version(client: Prompts) -> int | None:
    return client.get("greeter").version


def test_two_hundred_listeners_see_a_change_and_reconnect_at_different_times(
    large: Templated, make_client: Callable[..., Prompts], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = large.server.url(large.template)
    clients: list[Prompts] = [make_client(url, poll_seconds=3600, flush_seconds=3600) for _ in range(LISTENERS)]
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(active_version, clients)) == {1}
    check_that_all_see_a_change(large, clients)

    connect = connecting.connect_application
    attempts: list[float] = []

    def note_attempt(*arguments: Any, **options: Any) -> Any:
        attempts.append(time.monotonic())
        return connect(*arguments, **options)

    monkeypatch.setattr(connecting, "connect_application", note_attempt)
    # Longer than a busy machine needs to wake so many threads.
    monkeypatch.setattr(follower, "_FIRST_PAUSE_SECONDS", 1.0)
    large.server.stop(keep=True)
    until(lambda: not any(client.is_connected for client in clients))
    large.server.restart()
    until(lambda: all(client.is_connected for client in clients))
    check_that_all_see_a_change(large, clients)
    # Each client first tries after a random 0.5 to 1 s, so the middle four fifths take longer than 0.25 s.
    first = sorted(attempts[:LISTENERS])
    assert first[LISTENERS * 9 // 10] - first[LISTENERS // 10] > 0.25
