"""The embedded database migrates by itself at the first command, after a dump."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import schema
from promptctl.postgres.embedded import location
from tests.conftest import SERVERS

if TYPE_CHECKING:
    pass

DUMP = Path(__file__).parent.parent / "schema" / "dumps" / "version_4.sql"
LOGINS = ("viewer_login", "application_login", "operator_login")


def connect(env: dict[str, str]) -> psycopg.Connection[Any]:
    parameters: dict[str, Any] = dict(location.conninfo(env["PROMPTCTL_HOME"]))
    return psycopg.connect(**parameters, autocommit=True)


def run(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "promptctl", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd="/", timeout=60)


@pytest.fixture
def older(embedded_home: dict[str, str]) -> dict[str, str]:
    """The environment of an embedded database with a schema of version 4."""
    assert run(embedded_home, "db", "init").returncode == 0
    with connect(embedded_home) as sql:
        for login in LOGINS:
            sql.execute(f"create role {login} login".encode())
        sql.execute("drop schema promptctl cascade")
        sql.execute(DUMP.read_bytes())
        # pg_dump sets it to an empty text, for its own session.
        sql.execute("reset all")
    return embedded_home


def dumps(env: dict[str, str]) -> list[Path]:
    return sorted(Path(env["PROMPTCTL_HOME"], "dumps").glob("*"))


def version(env: dict[str, str]) -> int:
    with connect(env) as sql:
        [(installed,)] = sql.execute("select version from promptctl.installation").fetchall()
    return int(installed)


def test_the_first_command_dumps_and_migrates_and_says_so_in_one_line(older: dict[str, str]) -> None:
    listed = run(older, "list", "-q")
    assert (listed.returncode, listed.stdout.splitlines()[0]) == (0, "greeting")
    [dump] = dumps(older)
    assert listed.stderr == (
        f'migrated the embedded database from schema version 4 to {schema.VERSION}; dumped before: "{dump}"\n'
    )
    assert stat.S_IMODE(dump.parent.stat().st_mode) == 0o700
    again = run(older, "list", "-q")
    assert (again.returncode, again.stdout, again.stderr) == (0, listed.stdout, "")
    assert dumps(older) == [dump]
    assert version(older) == schema.VERSION


def test_the_dump_brings_the_older_schema_back(older: dict[str, str]) -> None:
    with connect(older) as sql:
        before = sql.execute("select id from promptctl.uses order by 1").fetchall()
    migrated = run(older, "db", "migrate", "--json")
    assert json.loads(migrated.stdout)["previous_schema_version"] == 4
    assert migrated.stderr == ""
    [dump] = dumps(older)
    with connect(older) as sql:
        sql.execute("drop schema promptctl cascade")
    parameters = location.conninfo(older["PROMPTCTL_HOME"])
    subprocess.run(
        [SERVERS["18"] / "pg_restore", "-h", parameters["host"], "-p", parameters["port"], "-U", parameters["user"],
         "-d", parameters["dbname"], "--exit-on-error", dump],
        check=True, env={"LC_ALL": "C"},
    )  # fmt: skip
    assert version(older) == 4
    with connect(older) as sql:
        assert sql.execute("select id from promptctl.uses order by 1").fetchall() == before
    assert run(older, "list").returncode == 0
    assert version(older) == schema.VERSION
    assert len(dumps(older)) == 2


def test_several_first_commands_migrate_once(older: dict[str, str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        ended = [first.result() for first in [pool.submit(run, older, "list", "-q") for _ in range(4)]]
    assert [(one.returncode, one.stdout) for one in ended] == [(0, ended[0].stdout)] * 4, ended
    assert sorted(one.stderr[:8] for one in ended) == ["", "", "", "migrated"]
    assert len(dumps(older)) == 1
    assert version(older) == schema.VERSION


def test_without_a_dump_nothing_is_migrated(older: dict[str, str]) -> None:
    Path(older["PROMPTCTL_HOME"], "dumps").write_text("a file in the place of the directory")
    refused = run(older, "list", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["error"]["code"] == "data_directory_unusable"
    assert version(older) == 4


def test_an_older_version_that_was_in_no_release_is_refused_without_a_dump(older: dict[str, str]) -> None:
    with connect(older) as sql:
        sql.execute("update promptctl.installation set version = 5")
    refused = run(older, "list", "--json")
    assert (refused.returncode, json.loads(refused.stderr)["error"]["code"]) == (8, "no_migration")
    assert dumps(older) == []
