"""Run the user's pager for an answer that is longer than the terminal."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys

from promptctl.output import text_width
from promptctl.postgres import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_VARIABLES = ("PROMPTCTL_PAGER", "PAGER")
# Defaults for less: quit if the answer fits, pass colors through, do not clear the screen. The answer is always UTF-8.
_LESS = {"LESS": "FRX", "LESSCHARSET": "utf-8"}


def show(answer: bytes, columns: int, lines: int, report: Callable[[str], None]) -> bool:
    """Show an answer in the pager and wait until the user quits it.

    Returns False if the caller has to write the answer: it fits a terminal of `columns` and `lines`, the pager is
    switched off, or it does not start. `report` is called with a message about a problem with the pager.
    """
    if settings.in_ci() or fits(answer.decode("utf-8", "replace"), columns, lines):
        return False
    variable, text = _pager_command(os.environ)
    try:
        words = shlex.split(text)
    except ValueError:
        report(f"cannot start the pager: {variable} has an unclosed quote")
        return False
    return False if words in ([], ["cat"]) else _run(words, variable, answer, report)


def fits(text: str, columns: int, lines: int) -> bool:
    """Whether a text, which may have colors, takes fewer lines than a terminal of `columns` and `lines` has."""
    rows = 0
    for line in text.splitlines():
        visible = _without_colors(line).expandtabs(8)
        # The width divided by the columns, rounded up.
        rows += max(1, -(-text_width.columns_of(visible) // max(columns, 1)))
        if rows >= lines:
            return False
    return True


def _without_colors(line: str) -> str:
    first, *others = line.split("\x1b[")
    return first + "".join(other.partition("m")[2] for other in others)


def _pager_command(environment: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the variable that sets the pager (None for the default) and its command line ('' for no pager)."""
    for variable in _VARIABLES:
        if variable in environment:
            return variable, environment[variable]
    return None, "less"


def _run(words: list[str], variable: str | None, answer: bytes, report: Callable[[str], None]) -> bool:
    is_interrupted = False

    def note_interrupt(*_: object) -> None:
        nonlocal is_interrupted
        is_interrupted = True

    # Ctrl-C is for the pager, so it must not end this process. The pager would inherit SIG_IGN, but not a handler.
    previous_handler = signal.signal(signal.SIGINT, note_interrupt)
    try:
        try:
            sys.stdout.flush()
            process = subprocess.Popen(words, stdin=subprocess.PIPE, env=_LESS | os.environ)
        except (OSError, ValueError) as problem:
            # Without a variable the pager is less. A system that does not have it is no reason for a message.
            if variable is not None:
                reason = problem.strerror if isinstance(problem, OSError) else str(problem)
                report(f"cannot start the pager {words[0]} ({variable}): {reason}")
            return False
        assert process.stdin is not None
        try:
            process.stdin.write(answer)
            process.stdin.close()
        except BrokenPipeError:
            # The user quit before the end of the answer.
            pass
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, previous_handler)
    if code > 0 and not is_interrupted:
        report(f"the pager {words[0]} exited with code {code}: --no-pager shows the answer without a pager")
    return True
