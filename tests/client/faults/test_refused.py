"""The server refuses the client: no connection left, a wrong password, no schema, no permission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import Unavailable, schema
from tests.client.faults.load import Load, activate_other_version, check_recorded_once, wait_until_recorded
from tests.client.support import until
from tests.schema.support import rows, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from promptctl import Prompts
    from tests.servers import Server

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.fixture
def sql(server: Server, database_name: str) -> Iterator[psycopg.Connection[Any]]:
    """The superuser's connection to this test's database."""
    with psycopg.connect(server.dsn(database_name), autocommit=True) as connection:
        yield connection


def check_recovery(
    client: Prompts,
    sql: psycopg.Connection[Any],
    logged: Callable[[str], int],
    begin: Callable[[], object],
    end: Callable[[], object],
    words: str,
) -> None:
    """Check that the application works during the outage, each thread logs it once, and the client recovers."""
    with Load(client) as load:
        load.wait_for_uses()
        activate_other_version(sql, client, 0.5)
        begin()
        until(lambda: not client.is_connected)
        until(lambda: logged("cannot record uses") > logged("recording uses again"))
        load.wait_for_uses()
        warnings = logged("using the versions confirmed"), logged("cannot record uses")

        def is_refused() -> bool:
            with pytest.raises(Unavailable) as failure:
                client.get("other")
            return words in failure.value.message

        # The first error is that the session ended; the next ones have the reason.
        until(is_refused)
        end()
        until(lambda: client.is_connected)
        activate_other_version(sql, client, 0.5)
        assert client.get("other").version == 1
    wait_until_recorded(client)
    assert client.dropped_uses == 0
    check_recorded_once(sql, load.ids)
    # Further attempts logged nothing.
    assert (logged("using the versions confirmed"), logged("cannot record uses")) == warnings
    assert (logged("promptctl: connected to "), logged("recording uses again")) == warnings
    assert logged("a bug") == 0


def end_sessions(sql: psycopg.Connection[Any], application: str) -> int:
    """End the application's sessions, and return how many there were."""
    return len(
        rows(sql, "select pg_terminate_backend(pid, 20000) from pg_stat_activity where usename = %s", application)
    )


def test_an_application_recovers_when_no_connection_was_left(
    server: Server, database_name: str, sql: psycopg.Connection[Any], application: str, application_url: str,
    make_client: Callable[..., Prompts], logged: Callable[[str], int],
) -> None:  # fmt: skip
    others: list[psycopg.Connection[Any]] = []
    other_role = f"{database_name}_greedy"
    run(sql, f"create role {other_role} login")

    def take_all() -> None:
        while True:
            try:
                others.append(psycopg.connect(server.dsn(database_name, user=other_role)))
            except psycopg.OperationalError:
                # End the sessions of the client, and take their connections in the next turn.
                if not end_sessions(sql, application):
                    return

    def give_back() -> None:
        for other in others:
            other.close()

    try:
        words = "accepts no more connections"
        check_recovery(make_client(application_url), sql, logged, take_all, give_back, words)
    finally:
        give_back()
        run(sql, f"drop role {other_role}")


def test_an_application_recovers_from_a_wrong_password(
    server: Server, sql: psycopg.Connection[Any], application: str, database_name: str,
    make_client: Callable[..., Prompts], logged: Callable[[str], int],
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
            end_sessions(sql, application)

        check_recovery(
            make_client(url), sql, logged, lambda: set_password("other"), lambda: set_password("right"),
            "password authentication failed",
        )  # fmt: skip
    finally:
        hba.write_text(before)
        sql.execute("select pg_reload_conf()")


def test_an_application_recovers_from_a_schema_of_another_version(
    sql: psycopg.Connection[Any], application: str, application_url: str, make_client: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    def set_version(version: int) -> None:
        sql.execute("update promptctl.installation set version = %s, compatible_version = %s", [version, version])
        end_sessions(sql, application)

    check_recovery(
        make_client(application_url), sql, logged, lambda: set_version(99), lambda: set_version(schema.VERSION),
        "has schema version 99",
    )  # fmt: skip


def test_an_application_recovers_from_a_missing_schema(
    sql: psycopg.Connection[Any], application: str, application_url: str, make_client: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    def rename(old: str, new: str) -> None:
        run(sql, f"alter schema {old} rename to {new}")
        end_sessions(sql, application)

    check_recovery(
        make_client(application_url), sql, logged,
        lambda: rename("promptctl", "away"), lambda: rename("away", "promptctl"),
        "has no promptctl schema",
    )  # fmt: skip


def test_an_application_recovers_from_a_revoked_permission(
    sql: psycopg.Connection[Any], application: str, application_url: str, make_client: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    # Poll often, because a revoked permission does not end the sessions.
    check_recovery(
        make_client(application_url, poll_seconds=0.2), sql, logged,
        lambda: run(sql, f"revoke all on all routines in schema promptctl from {application}"),
        lambda: run(sql, "select promptctl.grant_access(%s, 'application')", [application]),
        "permission denied",
    )  # fmt: skip


def test_a_client_that_started_before_the_schema_and_the_grant_recovers(
    server: Server, empty_database: str, make_client: Callable[..., Prompts], logged: Callable[[str], int]
) -> None:
    login = f"{empty_database}_login"
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as sql:
        run(sql, f"create role {login} login")
        client = make_client(server.url(empty_database, user=login))
        with pytest.raises(Unavailable, match="has no promptctl schema") as failure:
            client.get("greeter")
        assert failure.value.hint == "promptctl db init"
        with client.get("greeter", default="Be yourself.").use():
            pass
        run(sql, schema.read_sql())
        run(sql, "select promptctl.create_version('greeter', 'Be kind.', activated => true)")

        def has_no_permission() -> bool:
            with pytest.raises(Unavailable) as failure:
                client.get("greeter")
            return "permission denied" in failure.value.message

        until(has_no_permission)
        run(sql, "select promptctl.grant_access(%s, 'application')", [login])

        def is_readable() -> bool:
            try:
                return client.get("greeter").version == 1
            except Unavailable:
                return False

        until(is_readable)
        wait_until_recorded(client)
        assert sql.execute("select name from promptctl.fallbacks").fetchall() == [("greeter",)]
        assert logged("promptctl: connected to ") == 1
        client.close()
        run(sql, f"drop owned by {login}")
        run(sql, f"drop role {login}")


def test_a_viewer_cannot_record_and_keeps_the_loaded_versions(
    sql: psycopg.Connection[Any], application: str, application_url: str, make_client: Callable[..., Prompts],
    logged: Callable[[str], int],
) -> None:  # fmt: skip
    client = make_client(application_url, poll_seconds=0.2)
    with client.get("greeter").use() as first:
        pass
    wait_until_recorded(client)
    run(sql, "select promptctl.grant_access(%s, 'viewer')", [application])
    until(lambda: not client.is_connected)
    with client.get("greeter").use():
        pass
    until(lambda: logged("cannot record uses") == 1)
    with pytest.raises(Unavailable, match="permission denied") as failure:
        make_client(application_url).get("greeter")
    [(owner,)] = sql.execute("select nspowner::regrole::text from pg_namespace where nspname = 'promptctl'").fetchall()
    assert failure.value.hint == (
        f"ask {owner}, the owner of the schema, to run: promptctl db grant {application} --as application"
    )
    client.close(0.5)
    assert client.dropped_uses == 1
    check_recorded_once(sql, [first.id])
