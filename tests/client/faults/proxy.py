"""A TCP proxy in front of a server that can be paused, or close a connection at a given request."""

from __future__ import annotations

import selectors
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WAIT_SECONDS = 30.0
_MOST_BYTES = 65536
_SYNC_BYTES = 5  # the message at the end of a pipeline, by which the server commits


class _Link:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        # Whether the connection is closed in place of the next answer.
        self.is_cut = False


class Proxy:
    """Forward from a free port of 127.0.0.1 to the socket of a server, in a thread."""

    def __init__(self, server: Path) -> None:
        """`server` is the path of the socket."""
        self._server = str(server)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._wakes, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wakes, selectors.EVENT_READ, lambda: None)
        self._links: list[_Link] = []
        self._is_forwarding = threading.Event()
        self._is_forwarding.set()
        self._is_stopping = False
        self._cuts_at: bytes | None = None
        self._forwards_request = True
        self.cut = threading.Event()
        self.request = b""  # the request at which the connection was closed, or the start of a long one
        self._thread = threading.Thread(target=self._run, name="proxy")

    def url(self, dbname: str, user: str) -> str:
        """Return the URL that a client connects to."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}?sslmode=disable&gssencmode=disable"

    def pause(self) -> None:
        """Stop forwarding and keep the connections open. The kernel still accepts new ones."""
        self._is_forwarding.clear()
        self._waker.send(b"\0")

    def resume(self) -> None:
        """Continue forwarding, first what was sent during the pause."""
        self._is_forwarding.set()

    def cut_at(self, words: bytes, *, forwards: bool) -> None:
        """Close the connection at the next request that contains `words`, then set `cut`.

        With `forwards` the server executes the request and its answer is dropped; else it receives only a part.
        """
        self.cut.clear()
        self._forwards_request = forwards
        self._cuts_at = words

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopping = True
        self._is_forwarding.set()
        self._waker.send(b"\0")
        self._thread.join(_WAIT_SECONDS)
        for link in list(self._links):
            self._close(link)
        self._selector.close()
        for open_socket in (self._listener, self._wakes, self._waker):
            open_socket.close()

    def _run(self) -> None:
        while not self._is_stopping:
            for key, _ in self._selector.select(None):
                if key.fileobj is self._wakes:
                    self._wakes.recv(_MOST_BYTES)
                elif self._is_forwarding.is_set() or self._is_stopping:
                    call: Callable[[], object] = key.data
                    call()
            self._is_forwarding.wait()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._server)
        except OSError:
            client.close()
            return
        link = _Link(client, server)
        self._links.append(link)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._forward(link, client, server))
        self._selector.register(server, selectors.EVENT_READ, lambda: self._forward(link, server, client))

    def _forward(self, link: _Link, source: socket.socket, target: socket.socket) -> None:
        if link not in self._links:  # closed earlier in this loop
            return
        try:
            data = source.recv(_MOST_BYTES)
            if source is link.client and self._cuts_at is not None and self._cuts_at in data:
                self._cuts_at = None
                self.request = data
                link.is_cut = True
                if not self._forwards_request:
                    target.sendall(data[:-_SYNC_BYTES])
                    data = b""
            # The server has answered, so it has executed the request. Drop the answer.
            if link.is_cut and source is link.server:
                data = b""
            target.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._close(link)
            if link.is_cut:
                self.cut.set()

    def _close(self, link: _Link) -> None:
        self._links.remove(link)
        for side in (link.client, link.server):
            self._selector.unregister(side)
            side.close()
