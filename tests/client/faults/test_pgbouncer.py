"""Behind PgBouncer, in session and transaction mode: the client works and follows active versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.client.faults.load import Load, all_recorded, check_each_counted_once, moves
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
    pytest.mark.usefixtures("impatient"),
]
POLL_SECONDS = 0.5


def test_in_transaction_mode_the_poll_finds_what_changed_and_uses_are_recorded(
    server: Server, database_name: str, application: str, serve: Callable[..., Prompts], logged: Callable[[str], int]
) -> None:
    with PgBouncer(server, "transaction", application) as pgbouncer:
        client = serve(pgbouncer.url(database_name, application), poll_seconds=POLL_SECONDS)
        with Load(client) as load:
            load.goes_on()
            with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
                for _ in range(3):
                    moves(sql, client, POLL_SECONDS)
                client.score(load.ids[0], 0.5)
            server.kill()
            load.goes_on()
            until(lambda: not client.is_connected)
            server.restart()
            until(lambda: client.is_connected)
            with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
                moves(sql, client, POLL_SECONDS)
        all_recorded(client)
        with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
            check_each_counted_once(sql, load.ids)
            assert sql.execute("select use_id::text, score from promptctl.scores").fetchall() == [(load.ids[0], 0.5)]
        assert (client.dropped_uses, logged("using the versions confirmed")) == (0, 1)
        client.close()


def test_in_session_mode_notifications_pass(
    server: Server, database_name: str, application: str, serve: Callable[..., Prompts]
) -> None:
    with (
        PgBouncer(server, "session", application) as pgbouncer,
        psycopg.connect(server.dsn(database_name), autocommit=True) as sql,
    ):
        client = serve(pgbouncer.url(database_name, application), poll_seconds=3600)
        with Load(client) as load:
            for _ in range(3):
                load.goes_on()
                moves(sql, client, 0)
        all_recorded(client)
        check_each_counted_once(sql, load.ids)
        assert client.dropped_uses == 0
        client.close()


def test_in_transaction_mode_the_command_line_works_too(server: Server, database_name: str, home: Path) -> None:
    with PgBouncer(server, "transaction", "postgres") as pgbouncer:
        promptctl = Promptctl(home, DATABASE_URL=pgbouncer.url(database_name, "postgres"))
        for words in (
            ["create", "new", "A text.", "--activate"], ["activate", "greeter@2"], ["rollback", "greeter"],
            ["split", "greeter@2", "10%"], ["list"], ["history"], ["stats"],
        ):  # fmt: skip
            ended = promptctl(*words)
            assert (ended.code, ended.out != "") == (0, True), ended
