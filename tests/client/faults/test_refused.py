"""The database is there and refuses: no connection left, a wrong password, no schema, no permission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import Unavailable, schema
from tests.client.faults.load import Load, all_recorded, check_each_counted_once, moves
from tests.client.support import until
from tests.schema.support import rows, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from promptctl import Prompts
    from tests.servers import Server

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def sql(server: Server, database_name: str) -> Iterator[psycopg.Connection[Any]]:
    """The superuser's connection to this test's database."""
    with psycopg.connect(server.dsn(database_name), autocommit=True) as connection:
        yield connection


def check_trouble(
    client: Prompts,
    sql: psycopg.Connection[Any],
    logged: Callable[[str], int],
    begin: Callable[[], object],
    end: Callable[[], object],
    words: str,
) -> None:
    """The application works during it, each thread logs it once, and recovers by itself."""
    with Load(client) as load:
        load.goes_on()
        moves(sql, client, 0.5)
        begin()
        until(lambda: not client.is_connected)
        until(lambda: logged("cannot record uses") > logged("recording uses again"))
        load.goes_on()
        said = logged("using the versions confirmed"), logged("cannot record uses")

        def is_told() -> bool:
            with pytest.raises(Unavailable) as failure:
                client.get("other")
            return words in failure.value.message

        # The session was ended first; then why there is no other one.
        until(is_told)
        end()
        until(lambda: client.is_connected)
        moves(sql, client, 0.5)
        assert client.get("other").version == 1
    all_recorded(client)
    assert client.dropped_uses == 0
    check_each_counted_once(sql, load.ids)
    # Nothing more, however many attempts there were.
    assert (logged("using the versions confirmed"), logged("cannot record uses")) == said
    assert (logged("promptctl: connected to "), logged("recording uses again")) == said
    assert logged("a bug") == 0


def ended_sessions(sql: psycopg.Connection[Any], application: str) -> int:
    """End the application's sessions, and return how many there were."""
    return len(
        rows(sql, "select pg_terminate_backend(pid, 20000) from pg_stat_activity where usename = %s", application)
    )


def test_out_of_connections(
    server: Server, database_name: str, sql: psycopg.Connection[Any], application: str, application_url: str,
    serve: Callable[..., Prompts], logged: Callable[[str], int],
) -> None:  # fmt: skip
    others: list[psycopg.Connection[Any]] = []
    greedy = f"{database_name}_greedy"
    run(sql, f"create role {greedy} login")

    def take_all() -> None:
        while True:
            try:
                others.append(psycopg.connect(server.dsn(database_name, user=greedy)))
            except psycopg.OperationalError:
                # What the client has and gives back now is taken next, unless the client is quicker.
                if not ended_sessions(sql, application):
                    return

    def give_back() -> None:
        for other in others:
            other.close()

    try:
        words = "accepts no more connections"
        check_trouble(serve(application_url), sql, logged, take_all, give_back, words)
    finally:
        give_back()
        run(sql, f"drop role {greedy}")


def test_a_password_that_is_wrong_and_then_right(
    server: Server, sql: psycopg.Connection[Any], application: str, database_name: str,
    serve: Callable[..., Prompts], logged: Callable[[str], int],
) -> None:  # fmt: skip
    hba = server.data / "pg_hba.conf"
    before = hba.read_text()
    run(sql, f"alter role {application} password 'right'")
    try:
        hba.write_text(f"local all {application} scram-sha-256\n{before}")
        sql.execute("select pg_reload_conf()")
        url = server.url(database_name, user=f"{application}:right")

        def set_password(password: str) -> None:
            run(sql, f"alter role {application} password '{password}'")
            ended_sessions(sql, application)

        check_trouble(
            serve(url), sql, logged, lambda: set_password("other"), lambda: set_password("right"),
            "password authentication failed",
        )  # fmt: skip
    finally:
        hba.write_text(before)
        sql.execute("select pg_reload_conf()")


def test_a_schema_of_another_version(
    sql: psycopg.Connection[Any], application: str, application_url: str, serve: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    def set_version(version: int) -> None:
        sql.execute("update promptctl.installation set version = %s", [version])
        ended_sessions(sql, application)

    check_trouble(
        serve(application_url), sql, logged, lambda: set_version(99), lambda: set_version(schema.VERSION),
        "has schema version 99",
    )  # fmt: skip


def test_a_schema_that_is_gone_for_a_while(
    sql: psycopg.Connection[Any], application: str, application_url: str, serve: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    def rename(old: str, new: str) -> None:
        run(sql, f"alter schema {old} rename to {new}")
        ended_sessions(sql, application)

    check_trouble(
        serve(application_url), sql, logged, lambda: rename("promptctl", "away"), lambda: rename("away", "promptctl"),
        "has no promptctl schema",
    )  # fmt: skip


def test_a_permission_that_is_revoked_and_granted_again(
    sql: psycopg.Connection[Any], application: str, application_url: str, serve: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    # Polled often: nothing ends the sessions.
    check_trouble(
        serve(application_url, poll_seconds=0.2), sql, logged,
        lambda: run(sql, f"revoke all on all routines in schema promptctl from {application}"),
        lambda: run(sql, "select promptctl.grant_access(%s, 'application')", [application]),
        "permission denied",
    )  # fmt: skip


def test_a_client_that_was_there_before_the_schema_and_the_grant(
    server: Server, empty_database: str, serve: Callable[..., Prompts], logged: Callable[[str], int]
) -> None:
    login = f"{empty_database}_login"
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as sql:
        run(sql, f"create role {login} login")
        client = serve(server.url(empty_database, user=login))
        with pytest.raises(Unavailable, match="has no promptctl schema") as failure:
            client.get("greeter")
        assert failure.value.hint == "promptctl db init"
        with client.get("greeter", default="Be yourself.").use():
            pass
        run(sql, schema.read_sql())
        run(sql, "select promptctl.create_version('greeter', 'Be kind.', activated => true)")

        def refused() -> bool:
            with pytest.raises(Unavailable) as failure:
                client.get("greeter")
            return "permission denied" in failure.value.message

        until(refused)
        run(sql, "select promptctl.grant_access(%s, 'application')", [login])

        def served() -> bool:
            try:
                return client.get("greeter").version == 1
            except Unavailable:
                return False

        until(served)
        all_recorded(client)
        assert sql.execute("select name from promptctl.fallbacks").fetchall() == [("greeter",)]
        assert logged("promptctl: connected to ") == 1
        client.close()
        run(sql, f"drop owned by {login}")
        run(sql, f"drop role {login}")


def test_a_viewer_is_told_that_it_may_not_and_serves_what_it_was_served_before(
    sql: psycopg.Connection[Any], application: str, application_url: str, serve: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    client = serve(application_url, poll_seconds=0.2)
    with client.get("greeter").use() as first:
        pass
    all_recorded(client)
    run(sql, "select promptctl.grant_access(%s, 'viewer')", [application])
    until(lambda: not client.is_connected)
    with client.get("greeter").use():
        pass
    until(lambda: logged("cannot record uses") == 1)
    with pytest.raises(Unavailable, match="permission denied") as failure:
        serve(application_url).get("greeter")
    [(owner,)] = sql.execute("select nspowner::regrole::text from pg_namespace where nspname = 'promptctl'").fetchall()
    assert failure.value.hint == (
        f"ask {owner}, the owner of the schema, to run: promptctl db grant {application} --as application"
    )
    client.close(0.5)
    assert client.dropped_uses == 1
    check_each_counted_once(sql, [first.id])
