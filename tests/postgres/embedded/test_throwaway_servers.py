from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from tests.servers import Server, available_servers


@pytest.mark.parametrize("major", ["15", "18"])
def test_a_throwaway_server_can_be_killed_restarted_and_removed(major: str) -> None:
    servers = available_servers()
    if major not in servers:
        pytest.skip(f"PostgreSQL {major} is not installed")
    with Server.start(servers[major], tcp=True, work_mem="5MB") as server:
        for dsn in (server.dsn(), server.dsn(tcp=True), server.url()):
            with psycopg.connect(dsn) as connection:
                assert connection.execute("show work_mem").fetchone() == ("5MB",)
                assert connection.info.server_version // 10000 == int(major)
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.dsn())
        server.restart()
        psycopg.connect(server.dsn("template1")).close()
        assert os.stat(server.data).st_uid != 0
        directory = server.directory
    assert not Path(directory).exists()
