"""Show an animated line on a terminal, on standard error, while a reply is awaited."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

from promptctl.output import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

# A reply that arrives sooner needs no line.
_DELAY_SECONDS = 0.4
_STEP_SECONDS = 0.15
_SIGNS = "|/-\\"


@contextlib.contextmanager
def show(model: str, form: str) -> Generator[Callable[[], None]]:
    """Show the line until the yielded function is called or the block ends.

    Shows nothing in the forms quiet and json, in a pipe, and on a terminal that cannot erase.
    """
    line = _WaitingLine(model) if form == "plain" and stream.supports_escapes(sys.stderr) else None
    try:
        yield _do_nothing if line is None else line.end
    finally:
        if line is not None:
            line.end()


def _do_nothing() -> None:
    pass


class _WaitingLine:
    """A line that a thread writes and animates after a delay."""

    def __init__(self, model: str) -> None:
        self._label = stream.one_line(f"waiting for {model}")
        self._should_end = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._animate, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # The system allows no further thread, and the reply comes without the line.
            self._should_end.set()

    def end(self) -> None:
        """Erase the line and stop the thread."""
        if not self._should_end.is_set():
            self._should_end.set()
            self._thread.join()

    def _animate(self) -> None:
        step = 0
        while not self._should_end.wait(_DELAY_SECONDS if step == 0 else _STEP_SECONDS):
            seconds = int(time.monotonic() - self._began)
            line = f"{_SIGNS[step % len(_SIGNS)]} {self._label}{f', {seconds} s' if seconds else ''}"
            stream.show_transient(line[: stream.width() - 1])
            step += 1
        stream.clear_transient()
