"""The number of round trips and connections of each command.

    python benchmarks/round_trips.py

A relay between the command and the server counts. A round trip is data from the command that the server answers.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

from measure import Report, environment, fill, install, parse_arguments, start_server

if TYPE_CHECKING:
    from typing import Self

_COMMANDS = (
    (("activate", "p00001@2"), 2),
    (("activate", "p00001@1", "p00002@1"), 2),
    (("rollback", "p00001"), 2),
    (("rollback", "p00001", "p00002"), 2),
    (("show", "p00003"), None),
    (("show", "p00003@2"), None),
    (("show", "p00003", "--json"), None),
    (("list",), None),
    (("create", "p00004", "Be kind."), None),
    (("history", "p00001"), None),
    (("stats", "p00001"), None),
    (("diff", "p00005@1", "p00005@2"), None),
    (("delete", "p00006@1"), None),
)


class Relay:
    """A port that forwards to the server, one connection after the other."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self.round_trips = 0
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake a thread that waits for a connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
                self.connections += 1
                self._forward(client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        is_open = False
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)  # pyright: ignore - a selector only declares a file
                    if not data:
                        return
                    if key.fileobj is client:
                        is_open = True
                    elif is_open:
                        is_open = False
                        self.round_trips += 1
                    key.data.sendall(data)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    _, own = parse_arguments(options)
    report = Report()
    with start_server() as server:
        fill(install(server, "trips"), 10, 3)
        report.heading("Round trips after the connection")
        most = 0
        for words, limit in _COMMANDS:
            with Relay(server.port) as relay:
                # Without the negotiation of TLS and Kerberos, which depends on the settings of the user.
                url = f"postgresql://postgres@127.0.0.1:{relay.port}/trips?sslmode=disable&gssencmode=disable"
                process = subprocess.run(
                    [own, *words],
                    env=environment(PROMPTCTL_DATABASE_URL=url),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    check=False,
                )
            if process.returncode:
                raise RuntimeError(f"{' '.join(words)}: {os.fsdecode(process.stderr)}")
            report.add(" ".join(words), relay.round_trips - relay.connections, limit, unit="")
            most = max(most, relay.connections)
        report.add("connections, the maximum", most, 1, unit="")
    return report.close()


if __name__ == "__main__":
    raise SystemExit(main())
