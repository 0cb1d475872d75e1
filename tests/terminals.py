"""A command on a terminal: a test types and reads the screen, as a person does."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SECONDS = 60.0
# Escapes that move the cursor, color text or switch bracketed paste.
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r(?=\n)")


class Terminal:
    """A process whose three streams are a terminal with `columns`."""

    def __init__(
        self, words: Sequence[str], env: Mapping[str, str], folder: Path | None = None, columns: int = 80
    ) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.began = time.monotonic()
        # The first terminal that a session leader opens becomes its controlling terminal, the source of Ctrl-C.
        opening = ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(follower), *words]
        self.process = subprocess.Popen(
            opening, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(env),
            cwd=folder, start_new_session=True,
        )  # fmt: skip
        # Keep the terminal open until the process has ended. A terminal that no process has open looks ended before the
        # process opens it; and if it is closed while the kernel answers a read, the output before the close is lost.
        self._follower: int | None = follower
        self._exit = os.pidfd_open(self.process.pid) if sys.platform == "linux" else None
        self.raw = b""
        self._read = 0
        self.peak_memory_kib = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self._leader)
        self._close_follower()
        if self._exit is not None:
            os.close(self._exit)

    def type(self, text: str | bytes) -> float:
        """Type a text, and return the time (`time.monotonic`)."""
        now = time.monotonic()
        os.write(self._leader, text.encode() if isinstance(text, str) else text)
        return now

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal, which sends SIGWINCH."""
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def settings(self) -> list[Any]:
        """Return the terminal's settings: flags, speeds and control characters."""
        return termios.tcgetattr(self._leader)

    def wait_for(self, pattern: str | re.Pattern[str], seconds: float = _SECONDS) -> str:
        """Wait until a text is shown after the last match, and return the screen up to its end.

        Raises AssertionError with the screen.
        """
        expected = pattern if isinstance(pattern, re.Pattern) else re.compile(re.escape(pattern))
        deadline = time.monotonic() + seconds
        while True:
            screen = self.shown()[self._read :]
            if match := expected.search(screen):
                self._read += match.end()
                return screen[: match.end()]
            left = deadline - time.monotonic()
            assert left > 0, f"{expected.pattern!r} is not in {screen!r}"
            assert self._more(left), f"{expected.pattern!r} is not in {self.shown()[self._read :]!r}, and it has ended"

    def end(self, seconds: float = _SECONDS) -> int:
        """Wait until the process ends, and return its exit code."""
        deadline = time.monotonic() + seconds
        while self._more(deadline - time.monotonic()):
            assert time.monotonic() < deadline, f"it has not ended: {self.shown()[self._read :]!r}"
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_memory_kib = used.ru_maxrss
        return self.process.returncode

    def shown(self) -> str:
        """Return everything that was written so far, without colors and cursor movements."""
        return _CONTROLS.sub("", self.raw.decode(errors="replace"))

    def rest(self) -> str:
        """Return what was written after the last match."""
        return self.shown()[self._read :]

    def _more(self, seconds: float) -> bool:
        """Wait for output and read it. Return False if no process writes any more."""
        waiting = [self._leader]
        if self._follower is not None and self._exit is not None:
            waiting.append(self._exit)
        # Unlike select, it accepts descriptors above 1023, which a process with many open files has.
        ready = connection.wait(waiting, max(seconds, 0))
        if self._leader not in ready:
            if ready:
                self._close_follower()
            return True
        try:
            data = os.read(self._leader, 65536)
        except OSError:
            return False
        if self._exit is None:
            self._close_follower()
        self.raw += data
        return bool(data)

    def _close_follower(self) -> None:
        if self._follower is not None:
            os.close(self._follower)
            self._follower = None
