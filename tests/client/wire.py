"""What goes over the wire between a client and a server's socket, listened to; it can be held back, too."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_WAIT_SECONDS = 30.0


class Wire:
    """Forwards from a free port of 127.0.0.1 to a server's socket; `asked` and `answered` are what was said."""

    def __init__(self, server: Path) -> None:
        """`server` is the path of the socket."""
        self.connections = 0
        self.asked = b""
        self.answered = b""
        self._server = str(server)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._speaks = threading.Event()
        self._speaks.set()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="wire")]

    def url(self, dbname: str, user: str = "postgres") -> str:
        """What a client connects to."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}?sslmode=disable&gssencmode=disable"

    @property
    def bytes(self) -> int:
        """How much went in both directions."""
        return len(self.asked) + len(self.answered)

    def fall_silent(self) -> None:
        """Forward nothing and close nothing from now on; the kernel goes on accepting."""
        self._speaks.clear()

    def speak(self) -> None:
        """Forward again."""
        self._speaks.set()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._speaks.set()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
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
            for here, there, asks in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._forward, args=(here, there, asks), name="wire")
                self._threads.append(thread)
                thread.start()

    def _forward(self, here: socket.socket, there: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                self._speaks.wait()
                with self._lock:
                    if asks:
                        self.asked += data
                    else:
                        self.answered += data
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)
