"""`db url` prints a URL that connects to the same database and has no secret."""

from __future__ import annotations

import json
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
