"""The pager: a program of the person's choice that shows an answer which is longer than the terminal."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys

from promptctl.output import messages, tables
from promptctl.postgres import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLES = ("PROMPTCTL_PAGER", "PAGER")
# less: leave at once if all fits, pass colors and nothing else, leave the answer on the screen. It is always UTF-8.
_LESS = {"LESS": "FRX", "LESSCHARSET": "utf-8"}


def show(answer: bytes, columns: int, lines: int) -> bool:
    """Show an answer in the pager, and wait until the person leaves it.

    Returns False where it is to be written as it is: it fits a terminal of `columns` and `lines`, no pager is wanted,
    or the pager does not start, which a note says.
    """
    if settings.in_ci() or fits(answer.decode("utf-8", "replace"), columns, lines):
        return False
    variable, text = _chosen(os.environ)
    try:
        words = shlex.split(text)
    except ValueError:
        messages.note(f"no pager: {variable} has a quote without its end")
        return False
    return bool(words) and words != ["cat"] and _run(words, variable, answer)


def fits(text: str, columns: int, lines: int) -> bool:
    """Whether a text, colors included, leaves a line free on a terminal of `columns` and `lines`."""
    rows = 0
    for line in text.splitlines():
        shown = _without_colors(line).expandtabs(8)
        rows += max(1, -(-tables.columns_of(shown) // max(columns, 1)))
        if rows >= lines:
            return False
    return True


def _without_colors(line: str) -> str:
    first, *others = line.split("\x1b[")
    return first + "".join(other.partition("m")[2] for other in others)


def _chosen(environment: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the variable that names the pager, None for the default, and its command line, '' for no pager."""
    for variable in _VARIABLES:
        if variable in environment:
            return variable, environment[variable]
    return None, "less"


def _run(words: list[str], variable: str | None, answer: bytes) -> bool:
    interrupted = False

    def ignore(*_: object) -> None:
        nonlocal interrupted
        interrupted = True

    # Ctrl-C is the pager's. A handler, and not SIG_IGN, which the pager would inherit.
    before = signal.signal(signal.SIGINT, ignore)
    try:
        try:
            sys.stdout.flush()
            process = subprocess.Popen(words, stdin=subprocess.PIPE, env=_LESS | os.environ)
        except (OSError, ValueError) as problem:
            # A system without less is no mistake of the person's.
            if variable is not None:
                why = problem.strerror if isinstance(problem, OSError) else str(problem)
                messages.note(f"no pager: {variable} names {words[0]}: {why}")
            return False
        assert process.stdin is not None
        try:
            process.stdin.write(answer)
            process.stdin.close()
        except BrokenPipeError:
            # The person has left before the end.
            pass
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    if code > 0 and not interrupted:
        messages.note(f"the pager {words[0]} ended with exit code {code}: --no-pager shows the answer without it")
    return True
