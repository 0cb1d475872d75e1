"""A proxy that records the traffic between a client and a server, and that can be paused."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_WAIT_SECONDS = 30.0


class Wire:
    """Forward from a free port of 127.0.0.1 to a server's socket, and record the bytes of both directions."""

    def __init__(self, server: Path) -> None:
        """`server` is the path of the socket."""
        self.connections = 0
        self.requests = b""
        self.responses = b""
        self._server = str(server)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._is_forwarding = threading.Event()
        self._is_forwarding.set()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="wire")]

    def url(self, dbname: str, user: str = "postgres") -> str:
        """Return the URL that a client connects to."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}?sslmode=disable&gssencmode=disable"

    @property
    def bytes(self) -> int:
        """The number of bytes in both directions."""
        return len(self.requests) + len(self.responses)

    def pause(self) -> None:
        """Stop forwarding and keep the connections open. The kernel still accepts new ones."""
        self._is_forwarding.clear()

    def resume(self) -> None:
        """Continue forwarding."""
        self._is_forwarding.set()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_forwarding.set()
        for open_socket in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()
        for thread in self._threads:
            thread.join(_WAIT_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            with self._lock:
                self.connections += 1
                self._open += [client, server]
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                continue
            for source, target, is_request in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._forward, args=(source, target, is_request), name="wire")
                self._threads.append(thread)
                thread.start()

    def _forward(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._is_forwarding.wait()
                with self._lock:
                    if is_request:
                        self.requests += data
                    else:
                        self.responses += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
