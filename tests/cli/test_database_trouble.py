"""Database failures: no schema or another version, missing rights, locks, lost connections, killed servers."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import socket
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import errors, schema
from promptctl.postgres import connecting, refusals
from promptctl.postgres.connection import ServerError
from tests.cli.conftest import NO_LIBPQ
from tests.commands import check_failure, check_json_failure
from tests.conftest import SERVERS, Ended, copied_database, stable
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Promptctl

NEEDS_SCHEMA = [
    ["list"], ["show", "x"], ["diff", "x"], ["history"], ["stats"], ["top", "--once"],
    ["activate", "x@1"], ["rollback", "x"], ["create", "x", "y"],
    ["delete", "x@1"], ["db", "grant", "postgres", "--as", "viewer"], ["db", "shell"],
]  # fmt: skip


def wait_until(sql: psycopg.Connection[Any], condition: str) -> None:
    """Wait until a condition is true in the database."""
    deadline = time.monotonic() + 30
    while sql.execute(f"select {condition}".encode()).fetchone() != (True,):
        assert time.monotonic() < deadline, condition
        time.sleep(0.005)


WAITING = "exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"


def wait_for_end(process: subprocess.Popen[bytes]) -> Ended:
    out, err = process.communicate(timeout=30)
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture(params=["ctypes", "psycopg"])
def either_driver(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:
    """Run commands with each driver: ctypes, and psycopg, which is used where ctypes cannot load libpq."""
    if request.param == "psycopg":
        for name, value in startup_code(NO_LIBPQ).items():
            monkeypatch.setenv(name, value or "")


@pytest.fixture
def promptctl_without_schema(promptctl_on: Callable[..., Promptctl], empty_database: str) -> Promptctl:
    """The command line on a database without our schema."""
    return promptctl_on(empty_database)


def test_a_database_without_the_schema_gets_the_hint_db_init(promptctl_without_schema: Promptctl) -> None:
    for words in NEEDS_SCHEMA:
        error_text = stable(check_failure(promptctl_without_schema(*words), 8).err)
        assert error_text == "error: llm_app at db.prod has no promptctl schema\nhint:  promptctl db init\n", words
    assert check_json_failure(promptctl_without_schema("list", "--json"), 8)["code"] == "schema_missing"
    status = promptctl_without_schema("db", "status", "--json")
    assert status.code == 8
    assert json.loads(status.out)["state"] == "no schema"
    assert promptctl_without_schema("db", "status", "-q").out == "no schema\n"
    assert check_json_failure(promptctl_without_schema("db", "migrate", "--json"), 8)["code"] == "schema_missing"
    init = promptctl_without_schema("db", "init", "--json")
    assert init.code == 0
    assert json.loads(init.out)["changed"] is True
    assert promptctl_without_schema("list").code == 0
    assert json.loads(promptctl_without_schema("db", "init", "--json").out)["changed"] is False


@pytest.mark.parametrize(
    ("version", "code", "message", "hint"),
    [
        (
            99,
            "schema_newer",
            f"has schema version 99; this promptctl supports {schema.VERSION}",
            "upgrade promptctl to release 9.9, from where it was installed",
        ),
        (0, "schema_older", f"has schema version 0; this promptctl needs {schema.VERSION}", "promptctl db migrate"),
    ],
)
def test_a_schema_of_another_version_is_refused(
    version: int,
    code: str,
    message: str,
    hint: str,
    separate_database: None,
    demo: Promptctl,
    sql: psycopg.Connection[Any],
) -> None:
    sql.execute(
        "update promptctl.installation set version = %s, compatible_version = %s, release = '9.9'", [version, version]
    )
    before = sql.execute("select * from promptctl.served order by name").fetchall()
    for words in NEEDS_SCHEMA:
        error_text = stable(check_failure(demo(*words), 8).err)
        assert error_text == f"error: llm_app at db.prod {message}\nhint:  {hint}\n", words
    assert check_json_failure(demo("list", "--json"), 8)["code"] == code
    status = demo("db", "status", "--json")
    assert (status.code, json.loads(status.out)["state"]) == (8, "another schema version")
    assert check_json_failure(demo("db", "init", "--json"), 8)["code"] == code
    migrate_code = "no_migration" if version == 0 else code
    assert check_json_failure(demo("db", "migrate", "--json"), 8)["code"] == migrate_code
    assert sql.execute("select * from promptctl.served order by name").fetchall() == before


def test_a_schema_restored_without_grants_is_reported_and_closed_by_db_init(
    separate_database: None, demo: Promptctl, promptctl_on: Callable[..., Promptctl], database_name: str,
    role: Callable[[str | None], str], sql: psycopg.Connection[Any],
) -> None:  # fmt: skip
    login = role(None)
    stranger = promptctl_on(database_name, login)
    sql.execute("grant execute on all functions in schema promptctl to public")
    sql.execute(f"grant usage on schema promptctl to {login}".encode())
    message = "the schema in llm_app at db.prod was restored without its grants: only its owner can use it"
    status_result = demo("db", "status")
    assert stable(status_result.err) == f"error: {message}\nhint:  promptctl db init\n"
    assert (status_result.code, status_result.out.splitlines()[0]) == (8, "state\tgrants missing")
    status_result = demo("db", "status", "--json")
    assert (status_result.code, json.loads(status_result.err)["error"]["code"]) == (8, "grants_missing")
    status = json.loads(status_result.out)
    assert status["state"] == "grants missing"
    assert status["open_to_everybody"] > 50
    # A login without grants can do nothing, and the owner can continue.
    assert (
        check_json_failure(stranger("activate", "default-system-prompt@1", "--json"), 5)["code"] == "permission_denied"
    )
    sql.execute(f"grant select on all tables in schema promptctl to {login}".encode())
    error = check_json_failure(stranger("activate", "default-system-prompt@1", "--json"), 8)
    assert (error["code"], error["hint"]) == ("grants_missing", "promptctl db init")
    assert demo("activate", "default-system-prompt@1").code == 0
    init = demo("db", "init")
    assert stable(init.err) == (
        "revoked the access of every login in llm_app at db.prod; promptctl db grant grants it again\n"
    )
    status = json.loads(demo("db", "status", "--json").out)
    assert (status["state"], status["open_to_everybody"]) == ("ready", 0)
    # A grant to one login also revokes the access of everybody.
    sql.execute("grant execute on all functions in schema promptctl to public")
    assert demo("db", "grant", login, "--as", "viewer").code == 0
    assert json.loads(demo("db", "status", "--json").out)["state"] == "ready"
    assert (
        check_json_failure(stranger("activate", "default-system-prompt@1", "--json"), 5)["code"] == "permission_denied"
    )


def test_a_schema_restored_without_its_data_is_reported(
    separate_database: None, demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("delete from promptctl.installation")
    message = "llm_app at db.prod has the tables of promptctl but no schema version, as after a restore of the schema"
    for words in (*NEEDS_SCHEMA, ["db", "init"]):
        error_text = stable(check_failure(demo(*words), 8).err)
        assert error_text == (
            f"error: {message} only\nhint:  restore the data as well: pg_restore --data-only --disable-triggers\n"
        ), words
    assert check_json_failure(demo("list", "--json"), 8)["code"] == "schema_without_data"


def test_a_schema_promptctl_of_another_program_is_not_changed(
    promptctl_without_schema: Promptctl, server: Server, empty_database: str
) -> None:
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as sql:
        sql.execute("create schema promptctl create table mine (a integer)")
        assert stable(check_failure(promptctl_without_schema("db", "init"), 8).err) == (
            'error: schema "promptctl" in database "llm_app" was not created by promptctl\n'
            "hint:  use the URL of another database\n"
        )
        assert check_json_failure(promptctl_without_schema("db", "init", "--json"), 8)["code"] == "schema_not_ours"
        assert check_json_failure(promptctl_without_schema("list", "--json"), 8)["code"] == "schema_missing"
        assert sql.execute("select count(*) from promptctl.mine").fetchone() == (0,)


def test_a_database_in_another_encoding_is_refused(promptctl_on: Callable[..., Promptctl], server: Server) -> None:
    with copied_database(server, "template0 encoding 'LATIN1'") as name:
        error = check_json_failure(promptctl_on(name)("db", "init", "--json"), 8)
    assert error["code"] == "database_not_utf8"
    assert stable(error["message"]) == "llm_app at db.prod is encoded in LATIN1: promptctl needs UTF8"
    assert error["hint"] == "createdb --template template0 --encoding UTF8 NAME"


@pytest.mark.parametrize(
    ("constraint", "code", "kind"),
    [
        ("server_is_recent_enough", "server_too_old", errors.SchemaMismatch),
        ("content_has_no_byte_order_mark", "invalid_content", errors.Usage),
        ("content_has_no_crlf", "invalid_content", errors.Usage),
        ("content_is_not_empty", "empty_content", errors.Usage),
        ("a_name_is_segments_joined_by_slashes", "invalid_name", errors.Usage),
        ("a_number_is_used_once_in_a_prompt", "version_taken", errors.Refused),
        ("metadata_has_at_most_1_megabyte", "value_too_large", errors.Usage),
        ("settings_have_at_most_1_megabyte", "value_too_large", errors.Usage),
        ("an_origin_has_at_most_100_kilobytes", "value_too_large", errors.Usage),
        ("a_seed_has_at_most_300_characters", "value_too_large", errors.Usage),
        ("a_source_has_at_most_1000_characters", "value_too_large", errors.Usage),
        ("a_prompt_comes_from_one_source", "other_source", errors.Refused),
        ("a_route_leads_to_a_prompt", "invalid_route", errors.Refused),
        ("a_route_has_no_cycle", "invalid_route", errors.Refused),
        ("an_active_version_exists_and_is_not_archived", "version_archived", errors.Refused),
        ("a_version_never_changes", "version_never_changes", errors.Refused),
        ("a_version_is_active", "no_active_version", errors.NotFound),
    ],
)
def test_every_database_rule_translates_to_a_one_line_error_with_a_code(
    constraint: str, code: str, kind: type[errors.PromptctlError]
) -> None:
    error = refusals.translated(ServerError("23001", "two\nlines", "", "", constraint), "llm_app at db.prod")
    assert type(error) is kind
    assert error.code == code
    assert "\n" not in error.message


def test_an_error_of_the_server_that_has_no_translation_keeps_its_message(
    promptctl: Promptctl, database_url: str
) -> None:
    with connecting.connect(database_url) as opened, pytest.raises(errors.Failed) as failure:
        opened.run("select 1/0")
    assert failure.value.code == "database_error"
    assert stable(failure.value.message) == "llm_app at db.prod: division by zero"


CHANGES = [
    ["activate", "default-system-prompt@3"], ["rollback", "default-system-prompt"], ["create", "new", "text"],
    ["delete", "default-system-prompt@1"],
]  # fmt: skip


def test_a_read_only_database_can_be_read_and_refuses_changes(
    separate_database: None, demo: Promptctl, database_name: str, sql: psycopg.Connection[Any]
) -> None:
    sql.execute(f"alter database {database_name} set default_transaction_read_only = on".encode())
    for words in CHANGES:
        error_text = stable(check_failure(demo(*words), 5).err)
        assert error_text == (
            "error: llm_app at db.prod is read-only: default_transaction_read_only is on\n"
            "hint:  promptctl db shell --command '\\drds', which lists the roles with that setting, "
            "or use another URL\n"
        ), words
    assert check_json_failure(demo(*CHANGES[0], "--json"), 5)["code"] == "read_only"
    for words in (
        ["list"],
        ["show", "default-system-prompt"],
        ["history"],
        ["stats"],
        ["top", "--once"],
        ["diff", "default-system-prompt"],
    ):
        assert demo(*words).code == 0
    assert demo("db", "status").code == 0


@pytest.fixture
def role(sql: psycopg.Connection[Any], database_name: str) -> Iterator[Callable[[str | None], str]]:
    """Return a function that creates a login role for this test, with an access or with none."""
    names: list[str] = []

    def make(access: str | None) -> str:
        name = f"{database_name}_{access or 'nobody'}"
        sql.execute(f"create role {name} login".encode())
        names.append(name)
        if access is not None:
            sql.execute("select promptctl.grant_access(%s, %s)", [name, access])
        return name

    yield make
    for name in names:
        sql.execute(f"drop owned by {name}; drop role {name}".encode())


@pytest.mark.parametrize("access", ["viewer", "application", None])
def test_a_role_without_permission_gets_a_one_line_error_and_a_hint(
    access: str | None, demo: Promptctl, promptctl_on: Callable[..., Promptctl], database_name: str,
    role: Callable[[str | None], str], sql: psycopg.Connection[Any],
) -> None:  # fmt: skip
    restricted = promptctl_on(database_name, role(access))
    for words in (*CHANGES, ["db", "grant", "postgres", "--as", "viewer"]):
        error = check_json_failure(restricted(*words, "--json"), 5)
        assert error["code"] == "permission_denied", words
        assert stable(error["message"]).startswith("llm_app at db.prod: permission denied for "), words
        granted = "postgres --as viewer" if words[0] == "db" else f"{database_name}_{access or 'nobody'} --as operator"
        assert error["hint"] == f"ask postgres, the owner of the schema, to run: promptctl db grant {granted}"
    for words in (
        ["list"], ["show", "default-system-prompt"], ["history"], ["stats"], ["top", "--once"],
        ["report", "--html", "-"], ["stats", "--worst", "3"], ["stats", "--format", "prometheus"],
        ["compare", "support", "@1"],
    ):  # fmt: skip
        result = restricted(*words)
        # Viewer suffices, although the last one finds nothing.
        assert (result.code in (0, 4)) is (access == "viewer"), words
        if access == "application":
            # Granting another access would replace the one that it has.
            hint = f"connect as a login with access viewer or operator: {database_name}_application has"
            assert hint in result.err
        elif access is None:
            assert f"run: promptctl db grant {database_name}_nobody --as viewer\n" in result.err
    assert sql.execute("select count(*) from promptctl.allocations").fetchone() == (6,)


def test_a_ticker_may_read_and_tick_and_nothing_else(
    demo: Promptctl, promptctl_on: Callable[..., Promptctl], database_name: str, role: Callable[[str | None], str],
    sql: psycopg.Connection[Any],
) -> None:  # fmt: skip
    login = role("viewer")
    granted = demo("db", "grant", login, "--as", "ticker")
    assert (granted.code, stable(granted.err)) == (0, "llm_app_viewer is ticker in llm_app at db.prod\n")
    ticker = promptctl_on(database_name, login)
    for words in CHANGES:
        error = check_json_failure(ticker(*words, "--json"), 5)
        assert error["code"] == "permission_denied", words
        assert error["hint"].endswith(f"promptctl db grant {login} --as operator"), words
    assert ticker("list").code == 0
    sql.execute(
        "select promptctl.start_rollout('default-system-prompt', 3, hold => '0', least_uses => 0, guards => '[]')"
    )
    with psycopg.connect(sql.info.dsn, user=login, autocommit=True) as session:
        session.execute("select promptctl.roll_up_uses()")
        tick = "select action, basis_points from promptctl.tick_rollout('default-system-prompt')"
        assert session.execute(tick).fetchone() == ("advance", 2500)
        author = "select author, database_user from promptctl.rollout_events order by place desc limit 1"
        assert session.execute(author).fetchone() == (login, login)


def test_an_operator_may_do_everything_except_grant(
    demo: Promptctl, promptctl_on: Callable[..., Promptctl], database_name: str, role: Callable[[str | None], str]
) -> None:
    operator = promptctl_on(database_name, role("operator"))
    for words in CHANGES:
        assert operator(*words).code == 0, words
    assert check_failure(operator("db", "grant", "postgres", "--as", "viewer"), 5)
    event = json.loads(demo("history", "new", "--json").out)
    assert event["count"] == 0
    moved = json.loads(demo("history", "default-system-prompt", "--json").out)["events"][0]
    assert moved["database_user"].endswith("_operator")


@pytest.mark.usefixtures("either_driver")
def test_a_lock_held_too_long_is_an_error_that_names_the_session(
    demo: Promptctl, connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    with connect(autocommit=False, application_name="nightly") as holder:
        holder.execute("select from promptctl.served where name = 'default-system-prompt' for update")
        started = time.monotonic()
        processes = [demo.start(*words) for words in (*CHANGES[:2], CHANGES[3])]
        processes.append(demo.start(*CHANGES[0], "--json"))
        assert demo("show", "default-system-prompt", "-q").out == "default-system-prompt@2\n"
        for process in processes[:3]:
            result = check_failure(wait_for_end(process), 5)
            assert result.err == (
                f'error: "default-system-prompt" is locked by postgres (nightly, pid {holder.info.backend_pid})\n'
                "hint:  run it again when that session has ended\n"
            )
        assert check_json_failure(wait_for_end(processes[3]), 5)["code"] == "locked"
        assert time.monotonic() - started >= 3
    assert demo("activate", "default-system-prompt@3").code == 0


def test_a_lock_released_in_time_causes_no_error(
    demo: Promptctl, connect: Callable[..., psycopg.Connection[Any]], sql: psycopg.Connection[Any]
) -> None:
    with connect(autocommit=False) as holder:
        holder.execute("select from promptctl.served for update")
        process = demo.start("activate", "default-system-prompt@3", "-q")
        wait_until(sql, WAITING)
    assert wait_for_end(process) == Ended(0, "default-system-prompt@3\n", "")


@pytest.mark.usefixtures("either_driver")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_session_terminated_by_the_server_changes_nothing(
    form: list[str], demo: Promptctl, connect: Callable[..., psycopg.Connection[Any]], sql: psycopg.Connection[Any]
) -> None:
    with connect(autocommit=False) as holder:
        holder.execute("select from promptctl.served for update")
        process = demo.start("activate", "default-system-prompt@3", *form)
        wait_until(sql, WAITING)
        sql.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'promptctl'")
        result = wait_for_end(process)
    message = (
        "llm_app at db.prod ended the connection: terminating connection due to administrator command; "
        "promptctl history shows whether it was made"
    )
    if form:
        assert check_json_failure(result, 6)["code"] == "connection_lost"
    else:
        assert stable(check_failure(result, 6).err) == f"error: {message}\nhint:  promptctl db status\n"
    assert demo("show", "default-system-prompt", "-q").out == "default-system-prompt@2\n"


@pytest.mark.usefixtures("either_driver")
def test_a_server_killed_during_a_command_gives_exit_code_6(promptctl_on: Callable[..., Promptctl]) -> None:
    # The servers of other tests may lose their last commits when killed. This test checks what was committed.
    with Server.start(next(iter(SERVERS.values())), synchronous_commit="on") as server:
        promptctl = promptctl_on("postgres")
        promptctl.extra["DATABASE_URL"] = server.url()
        assert promptctl("db", "init").code == 0
        assert promptctl("create", "x", "one", "--activate").code == 0
        assert promptctl("create", "x", "two").code == 0
        holder = psycopg.connect(server.dsn())
        holder.execute("select from promptctl.served for update")
        process = promptctl.start("activate", "x@2")
        with psycopg.connect(server.dsn(), autocommit=True) as sql:
            wait_until(sql, WAITING)
        server.kill()
        holder.close()
        assert check_failure(wait_for_end(process), 6).err == (
            "error: the connection to postgres at localhost was lost; "
            "whether the last statement was executed is unknown\nhint:  promptctl db status\n"
        )
        gone = check_failure(promptctl("list"), 6)
        assert gone.err.endswith(": Connection refused\nhint:  promptctl db status\n")
        server.restart()
        assert promptctl("show", "x", "-q").out == "x@1\n"


@pytest.mark.usefixtures("either_driver")
def test_a_server_without_a_free_connection_gives_exit_code_6(promptctl_on: Callable[..., Promptctl]) -> None:
    with Server.start(
        next(iter(SERVERS.values())), max_connections=3, superuser_reserved_connections=1, max_wal_senders=0
    ) as server:
        promptctl = promptctl_on("postgres", "bob")
        promptctl.extra["DATABASE_URL"] = server.url(user="bob")
        with psycopg.connect(server.dsn(), autocommit=True) as sql:
            sql.execute("create role bob login")
        taken = [_connected(server.dsn(user="bob")) for _ in range(2)]
        error_text = check_failure(promptctl("list"), 6).err
        assert error_text.startswith("error: the database of DATABASE_URL accepts no more connections: on socket ")
        assert error_text.endswith(
            "\nhint:  run it again when other connections have ended, or raise max_connections\n"
        )
        assert check_json_failure(promptctl("list", "--json"), 6)["code"] == "too_many_connections"
        for connection in taken:
            connection.close()


def _connected(dsn: str) -> psycopg.Connection:
    """Connect, and retry while earlier connections are still closing."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return psycopg.connect(dsn)
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def silent_server_url() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"postgresql://u@127.0.0.1:{listening.getsockname()[1]}/x"


@pytest.mark.usefixtures("either_driver")
def test_a_host_that_does_not_answer_times_out(unconfigured: Promptctl, silent_server_url: str) -> None:
    result = check_failure(unconfigured("list", env={"DATABASE_URL": silent_server_url, "PGCONNECT_TIMEOUT": "2"}), 6)
    assert result.err.endswith(": timeout expired\nhint:  promptctl db status\n")


@pytest.mark.usefixtures("either_driver")
def test_ctrl_c_ends_a_command_that_waits_for_a_host(unconfigured: Promptctl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"postgresql://u@127.0.0.1:{listening.getsockname()[1]}/x"
        for form, expected in (
            ([], b"error: interrupted\n"),
            (["--json"], b'{"error": {"code": "interrupted", "message": "interrupted", "hint": null}}\n'),
        ):
            process = unconfigured.start("activate", "x@1", *form, env={"DATABASE_URL": url})
            connection, _ = listening.accept()
            with connection:
                connection.recv(1)
                process.send_signal(signal.SIGINT)
                # It ends immediately: after ten seconds the error would be "timeout expired", with exit code 6.
                assert process.communicate(timeout=30) == (b"", expected)
                assert process.returncode == 130


@pytest.mark.parametrize("words", CHANGES, ids=lambda words: words[0])
def test_ctrl_c_ends_a_command_that_waits_for_a_lock_without_a_change(
    words: list[str], demo: Promptctl, connect: Callable[..., psycopg.Connection[Any]], sql: psycopg.Connection[Any]
) -> None:
    tables = "select * from promptctl.served s, promptctl.versions v where v.name = s.name order by s.name, v.version"
    before = sql.execute(tables).fetchall()
    with connect(autocommit=False) as holder:
        holder.execute("lock table promptctl.served in exclusive mode")
        process = demo.start(*words)
        wait_until(sql, WAITING)
        process.send_signal(signal.SIGINT)
        # It ends immediately: after three seconds the error would be "locked", with exit code 5.
        result = wait_for_end(process)
        assert (result.code, result.out, result.err) == (130, "", "error: interrupted\n")
        # The statement is cancelled on the server too. Otherwise it would now be executed.
        wait_until(sql, "not exists (select from pg_stat_activity where application_name = 'promptctl')")
    assert sql.execute(tables).fetchall() == before


@pytest.mark.usefixtures("either_driver")
def test_ctrl_c_ends_a_command_although_the_server_hangs(
    demo: Promptctl, connect: Callable[..., psycopg.Connection[Any]], sql: psycopg.Connection[Any], server: Server
) -> None:
    """Cancelling a statement needs a second connection, which a stopped server does not accept."""
    with connect(autocommit=False) as holder:
        holder.execute("select from promptctl.served for update")
        process = demo.start("activate", "default-system-prompt@3")
        wait_until(sql, WAITING)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            process.send_signal(signal.SIGINT)
            result = wait_for_end(process)
        finally:
            os.kill(server.pid, signal.SIGCONT)
    assert (result.code, result.err) == (130, "error: interrupted\n")


def test_ctrl_c_ends_a_command_that_reads_standard_input(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    process = demo.start("create", "new", "-f", "-", "-v", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"half a ")
    process.stdin.flush()
    # When the pipe is empty, the command is reading.
    deadline = time.monotonic() + 30
    while struct.unpack("i", fcntl.ioctl(process.stdin, termios.FIONREAD, b"\0\0\0\0"))[0]:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    result = wait_for_end(process)
    assert (result.code, result.out, result.err) == (130, "", "error: interrupted\n")
    assert demo("list", "new").out == ""


def test_a_command_killed_at_any_time_leaves_no_partial_change(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    names = ("a", "b", "c")
    for name in names:
        for text in ("one", "two"):
            assert promptctl("create", name, text).code == 0
    chance = random.Random(20261112)
    for turn in range(24):
        version = 1 + turn % 2
        words = ["activate", *(f"{name}@{version}" for name in names)] if turn % 3 else ["create", "a", f"text {turn}"]
        process = promptctl.start(*words)
        try:
            process.wait(chance.uniform(0.02, 0.12))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    wait_until(sql, "not exists (select from pg_stat_activity where application_name = 'promptctl')")
    assert sql.execute("select count(distinct (active_version, epoch)) from promptctl.served").fetchone() == (1,)
    assert sql.execute(
        "select count(*) from promptctl.served s where s.epoch <> "
        "(select count(*) from promptctl.allocations a where a.name = s.name) "
        "or s.next_version <> (select max(version) + 1 from promptctl.versions v where v.name = s.name)"
    ).fetchone() == (0,)
    releases = sql.execute("select count(*) from promptctl.allocations group by release").fetchall()
    assert set(releases) <= {(3,)}
    assert promptctl("activate", *(f"{name}@1" for name in names)).code == 0
