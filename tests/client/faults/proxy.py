"""A TCP proxy before a server's socket: it can fall silent, as a network that drops packets, or cut in mid-sentence."""

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
        # A request that is to be cut was forwarded: its answer is not.
        self.is_cut = False


class Proxy:
    """Forwards from a free port of 127.0.0.1 to the socket of a server, in a thread of its own."""

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
        self._speaks = threading.Event()
        self._speaks.set()
        self._ends = False
        self._cuts_at: bytes | None = None
        self._forwards_whole = True
        self.cut = threading.Event()
        self.request = b""  # that was cut; of a long one the beginning
        self._thread = threading.Thread(target=self._run, name="proxy")

    def url(self, dbname: str, user: str) -> str:
        """What a client connects to."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}?sslmode=disable&gssencmode=disable"

    def fall_silent(self) -> None:
        """Forward nothing and close nothing from now on; the kernel goes on accepting."""
        self._speaks.clear()
        self._waker.send(b"\0")

    def speak(self) -> None:
        """Forward again, first what was sent meanwhile, as senders whose packets were dropped repeat it."""
        self._speaks.set()

    def cut_at(self, words: bytes, *, forwards: bool) -> None:
        """Close the connection at the next request that has these words, in place of its answer; then `cut` is set.

        The request is forwarded as a whole, and so is carried out, or only nearly.
        """
        self.cut.clear()
        self._forwards_whole = forwards
        self._cuts_at = words

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._speaks.set()
        self._waker.send(b"\0")
        self._thread.join(_WAIT_SECONDS)
        for link in list(self._links):
            self._close(link)
        self._selector.close()
        for each in (self._listener, self._wakes, self._waker):
            each.close()

    def _run(self) -> None:
        while not self._ends:
            for key, _ in self._selector.select(None):
                if key.fileobj is self._wakes:
                    self._wakes.recv(_MOST_BYTES)
                elif self._speaks.is_set() or self._ends:
                    call: Callable[[], object] = key.data
                    call()
            self._speaks.wait()

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

    def _forward(self, link: _Link, speaker: socket.socket, hearer: socket.socket) -> None:
        if link not in self._links:  # closed in this turn
            return
        try:
            said = speaker.recv(_MOST_BYTES)
            if speaker is link.client and self._cuts_at is not None and self._cuts_at in said:
                self._cuts_at = None
                self.request = said
                link.is_cut = True
                if not self._forwards_whole:
                    hearer.sendall(said[:-_SYNC_BYTES])
                    said = b""
            # There is an answer, so the request was carried out; nobody hears it.
            if link.is_cut and speaker is link.server:
                said = b""
            hearer.sendall(said)
        except OSError:
            said = b""
        if not said:
            self._close(link)
            if link.is_cut:
                self.cut.set()

    def _close(self, link: _Link) -> None:
        self._links.remove(link)
        for side in (link.client, link.server):
            self._selector.unregister(side)
            side.close()
