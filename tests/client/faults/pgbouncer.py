"""A PgBouncer process in front of a server, on its own port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.client.support import WAIT_SECONDS, until
from tests.servers import free_port, unprivileged

if TYPE_CHECKING:
    from tests.servers import Server

# Debian installs it in a directory that only root's PATH contains.
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
# Two threads of a client and one command use a session each.
_CONFIGURATION = """
[databases]
* = host={host} port={port} pool_size=3
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = trust
auth_file = {directory}/users.txt
pool_mode = {mode}
server_login_retry = 0.2
logfile = {directory}/pgbouncer.log
"""


class PgBouncer:
    """A PgBouncer that accepts one user; `mode` is `transaction` or `session`."""

    def __init__(self, server: Server, mode: str, user: str) -> None:
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir="/tmp"))
        runs_as = unprivileged()
        if runs_as:
            os.chown(self._directory, runs_as.pw_uid, runs_as.pw_gid)
        configuration = self._directory / "pgbouncer.ini"
        users = self._directory / "users.txt"
        users.write_text(f'"{user}" ""\n')
        configuration.write_text(
            _CONFIGURATION.format(
                host=server.socket_directory, port=server.port, own_port=self.port, mode=mode, directory=self._directory
            )
        )
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "-q", str(configuration)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=runs_as.pw_uid if runs_as else None,
            group=runs_as.pw_gid if runs_as else None,
            extra_groups=[] if runs_as else None,
        )

    def url(self, dbname: str, user: str) -> str:
        """Return the URL that a client connects to."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}?sslmode=disable&gssencmode=disable"

    def __enter__(self) -> Self:
        try:
            until(self._listens, failure=f"pgbouncer did not start: {self._directory / 'pgbouncer.log'}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(WAIT_SECONDS)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _listens(self) -> bool:
        assert self._process.poll() is None, "pgbouncer ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
