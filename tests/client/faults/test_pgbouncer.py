"""Behind PgBouncer, in session and transaction mode: the client works and follows active versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.client.faults.load import Load, activate_other_version, check_recorded_once, wait_until_recorded
from tests.client.faults.pgbouncer import PROGRAM, PgBouncer
from tests.client.support import until
from tests.conftest import Promptctl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from promptctl import Prompts
    from tests.servers import Server

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed"),
    pytest.mark.usefixtures("short_pauses"),
]
POLL_SECONDS = 0.5


def test_in_transaction_mode_polling_finds_changes_and_uses_are_recorded(
    server: Server,
    database_name: str,
    application: str,
    make_client: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:
    with PgBouncer(server, "transaction", application) as pgbouncer:
        client = make_client(pgbouncer.url(database_name, application), poll_seconds=POLL_SECONDS)
        with Load(client) as load:
            load.wait_for_uses()
            with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
                for _ in range(3):
                    activate_other_version(sql, client, POLL_SECONDS)
                client.score(load.ids[0], 0.5)
            server.kill()
            load.wait_for_uses()
            until(lambda: not client.is_connected)
            server.restart()
            until(lambda: client.is_connected)
            with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
                activate_other_version(sql, client, POLL_SECONDS)
        wait_until_recorded(client)
        with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
            check_recorded_once(sql, load.ids)
            assert sql.execute("select use_id::text, score from promptctl.scores").fetchall() == [(load.ids[0], 0.5)]
        assert (client.dropped_uses, logged("using the versions confirmed")) == (0, 1)
        client.close()


def test_in_session_mode_notifications_arrive(
    server: Server, database_name: str, application: str, make_client: Callable[..., Prompts]
) -> None:
    with (
        PgBouncer(server, "session", application) as pgbouncer,
        psycopg.connect(server.dsn(database_name), autocommit=True) as sql,
    ):
        client = make_client(pgbouncer.url(database_name, application), poll_seconds=3600)
        with Load(client) as load:
            for _ in range(3):
                load.wait_for_uses()
                activate_other_version(sql, client, 0)
        wait_until_recorded(client)
        check_recorded_once(sql, load.ids)
        assert client.dropped_uses == 0
        client.close()


def test_in_transaction_mode_commands_work(server: Server, database_name: str, home: Path) -> None:
    with PgBouncer(server, "transaction", "postgres") as pgbouncer:
        promptctl = Promptctl(home, DATABASE_URL=pgbouncer.url(database_name, "postgres"))
        for words in (
            ["create", "new", "A text.", "--activate"], ["activate", "greeter@2"], ["rollback", "greeter"],
            ["split", "greeter@2", "10%"], ["list"], ["history"], ["stats"],
        ):  # fmt: skip
            result = promptctl(*words)
            assert (result.code, result.out != "") == (0, True), result
