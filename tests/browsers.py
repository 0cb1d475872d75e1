"""A headless Chromium that opens pages, driven by the DevTools protocol over two pipes."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_SECONDS = 60.0


@dataclass(frozen=True)
class Opened:
    """What a page did when it was opened, and its size: `scroll_width` is more than `width` if it overflows.

    `requests` are the addresses that it loaded, its own included.
    """

    messages: list[str]
    requests: list[str]
    width: int
    scroll_width: int
    background: str
    texts: str


class Browser:
    """One browser process with one page, which is closed at the end of the block."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        # Chromium reads from descriptor 3 and writes to 4. Above them, one cannot be overwritten by the other.
        source, target = (fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (to_browser, from_browser))
        nothing = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in range(3)]
        self._process = os.posix_spawn(
            PROGRAM,
            [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             "--disable-extensions", "--disable-dev-shm-usage", "--disable-background-networking",
             "--remote-debugging-pipe", f"--user-data-dir={profile}"],
            os.environ | {"HOME": str(profile)},
            file_actions=[*nothing, (os.POSIX_SPAWN_DUP2, source, 3), (os.POSIX_SPAWN_DUP2, target, 4)],
            setpgroup=0,
        )  # fmt: skip
        for descriptor in (source, target, to_browser, from_browser):
            os.close(descriptor)
        self._number = 0
        self._rest = b""
        self._events: list[dict[str, Any]] = []
        created = self._call("Target.createTarget", url="about:blank")
        attached = self._call("Target.attachToTarget", targetId=created["targetId"], flatten=True)
        self._session: str | None = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The browser has many processes, which are in a group of their own.
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._to)
        os.close(self._from)

    def open(self, address: str, *, width: int, scheme: str, height: int = 900) -> Opened:
        """Open a page with a width in pixels and a color scheme, light or dark."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )
        self._call("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        self._call("Page.navigate", url=address)
        self._wait("Page.loadEventFired")
        measured = self.evaluate(
            "JSON.stringify([innerWidth, document.documentElement.scrollWidth,"
            " getComputedStyle(document.body).backgroundColor, document.body.innerText])"
        )
        messages = [
            json.dumps(event["params"])
            for event in self._events
            if event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        ]
        requests = [
            event["params"]["request"]["url"]
            for event in self._events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return Opened(messages, requests, *json.loads(measured))

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def screenshot(self, *, most: int = 16000) -> bytes:
        """Return a PNG of the whole page, at most some pixels high."""
        size = json.loads(self.evaluate("JSON.stringify([innerWidth, document.documentElement.scrollHeight])"))
        clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], most), "scale": 1}
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self._call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session := getattr(self, "_session", None):
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._events.append(answer)

    def _wait(self, method: str) -> None:
        while not any(event.get("method") == method for event in self._events):
            self._events.append(self._read())

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._rest:
            # Unlike select, it accepts descriptors above 1023, which a process with many open files has.
            ready = connection.wait([self._from], max(deadline - time.monotonic(), 0))
            part = os.read(self._from, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError("the browser has ended, or does not answer")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
