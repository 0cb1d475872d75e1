"""Show the progress of a run of test cases on standard error: calls, cost and waits for a rate limit."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

from promptctl.output import stream, test_words

if TYPE_CHECKING:
    from promptctl.evaluation.results import Progress

_TERMINAL_SECONDS, _LOG_SECONDS = 0.1, 30.0


class RunProgress:
    """Shows a line that is overwritten on a terminal, and in a log a line every half minute."""

    def __init__(self, form: str) -> None:
        self._is_transient = stream.supports_escapes(sys.stderr)
        self._is_enabled = form in ("plain", "markdown")
        self._next = time.monotonic() + (0.0 if self._is_transient else _LOG_SECONDS)
        self.title = ""

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        now = time.monotonic()
        if not self._is_enabled or now < self._next:
            return
        self._next = now + (_TERMINAL_SECONDS if self._is_transient else _LOG_SECONDS)
        text = stream.one_line(f"{self.title}: {line(progress)}")
        if self._is_transient:
            stream.show_transient(text[: stream.width() - 1])
        else:
            stream.write_stderr(text)

    def close(self) -> None:
        """Erase the line."""
        stream.clear_transient()


def line(progress: Progress) -> str:
    """Return the progress: `replies 12 of 36, 8 running, $0.04, waiting 12 s for the rate limit`."""
    parts = [f"{progress.stage} {progress.calls} of {progress.total}"]
    if progress.running:
        parts.append(f"{progress.running} running")
    if progress.cost is not None:
        parts.append(test_words.money(progress.cost))
    if progress.waiting_seconds > 0:
        parts.append(f"waiting {math.ceil(progress.waiting_seconds)} s for the rate limit")
    return ", ".join(parts)
