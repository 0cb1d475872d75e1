"""`db url` prints a URL that connects to the same database and has no secret."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Promptctl
    from tests.servers import Server

SECRET = "s3cr3t-w0rd"


@pytest.mark.parametrize(
    ("configured", "printed"),
    [
        (f"postgresql://ada:{SECRET}@db.prod:6432/llm?sslmode=require", "postgresql://ada@db.prod:6432/llm?sslmode=require"),
        (f"postgres://ada%40x:{SECRET}@[::1]/a%20b", "postgresql://ada%40x@[::1]/a%20b"),
        (f"postgresql+psycopg://h/d?sslpassword={SECRET}", "postgresql://h/d"),
        (f"host=a,b port=1,2 dbname=d password={SECRET}", "postgresql:///d?host=a,b&port=1,2"),
        ("service=prod", "postgresql:///?service=prod"),
    ],
)  # fmt: skip
def test_the_url_of_a_configured_database_has_no_password(
    configured: str, printed: str, unconfigured: Promptctl
) -> None:
    ended = unconfigured("db", "url", env={"DATABASE_URL": configured})
    assert (ended.code, ended.out, ended.err) == (0, f"{printed}\n", "")
    document = json.loads(unconfigured("db", "url", "--json", env={"DATABASE_URL": configured}).out)
    assert document == {"url": printed, "chosen_by": "DATABASE_URL"}


def test_the_url_connects_to_the_same_database(promptctl: Promptctl, server: Server, database_name: str) -> None:
    with psycopg.connect(promptctl("db", "url", "-q").out.strip()) as connection:
        assert connection.info.dbname == database_name
    variables: dict[str, str | None] = {
        "DATABASE_URL": None, "PGHOST": str(server.socket_directory), "PGPORT": str(server.port), "PGUSER": "postgres",
        "PGDATABASE": database_name, "PGPASSWORD": SECRET,
    }  # fmt: skip
    url = promptctl("db", "url", env=variables).out.strip()
    assert SECRET not in url
    with psycopg.connect(url) as connection:
        assert connection.info.dbname == database_name


def test_the_url_of_the_embedded_database_connects_to_its_socket(embedded_home: dict[str, str], home: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["promptctl", *words], env=embedded_home, cwd=home, capture_output=True, text=True, check=False
        )

    absent = run("db", "url", "--json")
    assert (absent.returncode, json.loads(absent.stderr)["error"]["code"]) == (6, "no_embedded_database")
    assert run("create", "greeter", "Be kind.").returncode == 0
    assert run("db", "stop").returncode == 0
    url = run("db", "url").stdout.strip()
    assert url.startswith("postgresql://promptctl@/promptctl?host=/")
    with psycopg.connect(url) as connection:
        assert connection.execute("select name from prompts").fetchone() == ("greeter",)


def test_a_tcp_port_of_the_embedded_database_has_a_url_with_and_without_the_password(
    embedded_home: dict[str, str], home: Path
) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["promptctl", *words], env=embedded_home, cwd=home, capture_output=True, text=True, check=False
        )

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    started = run("db", "start", "--listen", address, "--json")
    document = json.loads(started.stdout)
    assert (document["running"], document["address"]) == (True, address)
    assert document["message"].endswith(f", and listens on {address}")
    assert run("create", "greeter", "Be kind.").returncode == 0

    plain = run("db", "url")
    assert plain.stdout == f"postgresql://promptctl@{address}/promptctl\n"
    assert plain.stderr == "this URL needs a password: promptctl db url --password prints the URL with it\n"
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(plain.stdout.strip(), passfile="/dev/null")
    whole = run("db", "url", "--password")
    assert whole.stderr == ""
    with psycopg.connect(whole.stdout.strip()) as connection:
        assert connection.execute("select name from prompts").fetchone() == ("greeter",)
    as_json = run("db", "url", "--json")
    assert (json.loads(as_json.stdout)["url"], as_json.stderr) == (plain.stdout.strip(), "")
    assert json.loads(run("db", "url", "--json", "--password").stdout)["url"] == whole.stdout.strip()

    changed = run("db", "start", "--listen", "off", "--json")
    assert (changed.returncode, json.loads(changed.stderr)["error"]["code"]) == (5, "embedded_running")
    assert run("db", "stop").returncode == 0
    assert json.loads(run("db", "status", "--json").stdout)["address"] == address
    assert run("list", "-q").stdout == "greeter\n"
    assert json.loads(run("db", "status", "--json").stdout)["address"] == address
    assert run("db", "url", "--password").stdout == whole.stdout

    assert run("db", "stop").returncode == 0
    assert json.loads(run("db", "start", "--listen", "off", "--json").stdout)["address"] is None
    without = run("db", "url", "--password")
    assert (without.returncode, without.stdout) == (2, "")
    assert "the embedded server listens on its socket only, which needs no password" in without.stderr
    assert run("db", "url").stdout.startswith("postgresql://promptctl@/promptctl?host=/")


def test_libpqs_variables_do_not_matter_for_a_tcp_port(embedded_home: dict[str, str], home: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    environment = {**embedded_home, "PROMPTCTL_DATABASE_URL": "embedded:", "PGHOST": "/nowhere", "PGSSLMODE": "no"}
    ended = subprocess.run(
        ["promptctl", "db", "start", "--listen", address],
        env=environment, cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, address.replace("localhost", "127.0.0.1") in ended.stderr) == (0, True)


def test_the_options_for_a_tcp_port_are_for_the_embedded_database(unconfigured: Promptctl) -> None:
    configured: dict[str, str | None] = {"DATABASE_URL": f"postgresql://ada:{SECRET}@db.prod/llm"}
    ended = unconfigured("db", "url", "--password", "--json", env=configured)
    error = json.loads(ended.err)["error"]
    assert (ended.code, error["code"], ended.out) == (2, "usage", "")
    assert error["message"] == "--password is for the embedded database, and DATABASE_URL chooses another"
    ended = unconfigured("db", "start", "--listen", "127.0.0.1:5433", "--json", env=configured)
    assert (ended.code, json.loads(ended.err)["error"]["code"]) == (2, "not_embedded")
