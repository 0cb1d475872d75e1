"""A command on a terminal that a test types to and reads from, as a person does."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SECONDS = 60.0
# What moves the cursor or colours text, and what readline says of pasting.
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r(?=\n)")


class Terminal:
    """A process whose three streams are a terminal of so many columns."""

    def __init__(
        self, words: Sequence[str], env: Mapping[str, str], folder: Path | None = None, columns: int = 80
    ) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.began = time.monotonic()
        # The first terminal that the leader of a session opens is the one that its Ctrl-C comes from.
        opening = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(follower), *words]
        self.process = subprocess.Popen(
            opening, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(env),
            cwd=folder, start_new_session=True,
        )  # fmt: skip
        # It has to be opened before nobody has it open, which would look like its end.
        self._follower: int | None = follower
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
        self._let_go()

    def type(self, text: str) -> float:
        """Type; returns when (`time.monotonic`)."""
        now = time.monotonic()
        os.write(self._leader, text.encode())
        return now

    def wait_for(self, pattern: str | re.Pattern[str], seconds: float = _SECONDS) -> str:
        """Wait until this is shown, after what was waited for before; returns what is shown up to its end.

        Raises AssertionError with what is shown instead.
        """
        wanted = pattern if isinstance(pattern, re.Pattern) else re.compile(re.escape(pattern))
        deadline = time.monotonic() + seconds
        while True:
            shown = self.shown()[self._read :]
            if found := wanted.search(shown):
                self._read += found.end()
                return shown[: found.end()]
            left = deadline - time.monotonic()
            assert left > 0, f"{wanted.pattern!r} is not in {shown!r}"
            assert self._more(left), f"{wanted.pattern!r} is not in {self.shown()[self._read :]!r}, and it has ended"

    def end(self, seconds: float = _SECONDS) -> int:
        """Wait until it ends; returns the exit code."""
        deadline = time.monotonic() + seconds
        while self._more(deadline - time.monotonic()):
            assert time.monotonic() < deadline, f"it has not ended: {self.shown()[self._read :]!r}"
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_memory_kib = used.ru_maxrss
        return self.process.returncode

    def shown(self) -> str:
        """All that was written so far, without what colours it or moves the cursor."""
        return _CONTROLS.sub("", self.raw.decode(errors="replace"))

    def rest(self) -> str:
        """What was written after what was waited for last."""
        return self.shown()[self._read :]

    def _more(self, seconds: float) -> bool:
        """Read what there is, after waiting for it; False: nobody writes any more."""
        if not select.select([self._leader], [], [], max(seconds, 0))[0]:
            return True
        try:
            data = os.read(self._leader, 65536)
        except OSError:
            return False
        self._let_go()
        self.raw += data
        return bool(data)

    def _let_go(self) -> None:
        if self._follower is not None:
            os.close(self._follower)
            self._follower = None
