"""Write a bug report: where the bug happened and in which versions, without any value of the user's.

Reports are public. A report contains the type of an exception without its message, the place of a frame without its
variables, and the options of the command line without their values.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from promptctl import __version__
from promptctl.cli import fast_reader
from promptctl.cli.catalogue import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType, TracebackType

_OMITTED = "…"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SYSTEM_FOLDERS = ("/usr/", "/lib", "/opt/")
# Environment variables whose names, but not values, are reported.
_VARIABLE_PREFIXES = ("PROMPTCTL_", "PG", "ANTHROPIC_")
# The first and the last frames of a deep recursion identify it.
_FIRST_FRAMES, _LAST_FRAMES = 20, 30
_MOST_EXCEPTIONS = 10


def text(bug: BaseException, words: Sequence[str]) -> str:
    """Return the report of a bug in a command line, as lines of text."""
    return "\n".join([*_versions(), "", f"command: promptctl {command_line(words)}", "", *_traceback(bug), ""])


def summary(bug: BaseException) -> str:
    """Return the type of an exception and its last place in this package: `KeyError in promptctl/sync.py, line 7`."""
    frames = [*_frames(bug.__traceback__)]
    ours = [(frame, line) for frame, line in frames if frame.f_code.co_filename.startswith(_PACKAGE)] or frames
    return f"{_kind(bug)} in {_place(*ours[-1])}" if ours else _kind(bug)


def command_line(words: Sequence[str]) -> str:
    """Return a command line in which `…` replaces every word that is neither a command nor an option."""
    name, rest = fast_reader.command(words)
    if name is None:
        return " ".join([_OMITTED] * len(words))
    options = {**COMMANDS[name].options, "--help": None, "-h": None}
    reported = [name]
    only_arguments = False
    for word in rest:
        option, equals, _ = word.partition("=")
        if word == "--" and not only_arguments:
            only_arguments = True
            reported.append(word)
        elif not only_arguments and option in options:
            reported.append(f"{option}={_OMITTED}" if equals else option)
        else:
            reported.append(_OMITTED)
    return " ".join(reported)


def _versions() -> Iterator[str]:
    system = os.uname()
    yield f"promptctl {__version__}"
    yield f"Python {sys.version.split()[0]} ({sys.implementation.name})"
    yield f"{system.sysname} {system.release} {system.machine}"
    from importlib import metadata

    try:
        yield f"psycopg {metadata.version('psycopg')}"
    except metadata.PackageNotFoundError:
        yield "psycopg is not installed"
    # If the module is not loaded yet, libpq has nothing to do with the bug.
    if "promptctl.postgres.database" in sys.modules:
        from promptctl.postgres import database

        for path in database.client_libraries():
            yield f"libpq: {_shortened(path)}"
    variables = sorted(name for name in os.environ if name.startswith(_VARIABLE_PREFIXES) or name == "DATABASE_URL")
    yield f"set: {', '.join(variables) or 'none'}"


def _traceback(bug: BaseException) -> Iterator[str]:
    """Yield an exception and its causes, the first cause first."""
    # Each exception with the words between it and the next one that is printed. The bug itself has none.
    chain: list[tuple[BaseException, str]] = []
    error: BaseException | None = bug
    link = ""
    while error is not None and len(chain) < _MOST_EXCEPTIONS and all(error is not other for other, _ in chain):
        chain.append((error, link))
        link = "the cause of:" if error.__cause__ else "while it was handled:"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    for error, link in reversed(chain):
        yield "Traceback, the innermost call last:"
        frames = [*_frames(error.__traceback__)]
        for place, (frame, line) in enumerate(frames):
            if place < _FIRST_FRAMES or place >= len(frames) - _LAST_FRAMES:
                yield f"  {_place(frame, line)}, in {frame.f_code.co_qualname}"
                yield from _source(frame, line)
            elif place == _FIRST_FRAMES:
                yield f"  … {len(frames) - _FIRST_FRAMES - _LAST_FRAMES} more"
        yield _kind(error)
        if link:
            yield link


def _kind(bug: BaseException) -> str:
    """Return the type of an exception, with the name of a missing attribute or the code of a system error."""
    kind = type(bug)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(bug, OSError) and bug.errno is not None:
        import errno

        return f"{name} ({errno.errorcode.get(bug.errno, bug.errno)})"
    frames = [*_frames(bug.__traceback__)]
    missing = bug.name if isinstance(bug, (AttributeError, NameError)) else None
    # A name in the code is public. A name from data could be a value of the user's.
    if missing and frames and missing in frames[-1][0].f_code.co_names:
        return f"{name} ({missing})"
    return name


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _place(frame: FrameType, line: int) -> str:
    return f"{_shortened(frame.f_code.co_filename)}, line {line}"


def _source(frame: FrameType, line: int) -> Iterator[str]:
    """Yield the source line of a frame in this package. Other source could contain a value of the user's."""
    if frame.f_code.co_filename.startswith(_PACKAGE + os.sep):
        import linecache

        if source := linecache.getline(frame.f_code.co_filename, line).strip():
            yield f"    {source}"


def _shortened(path: str) -> str:
    """Return the path below a folder of Python modules, a system path as it is, or else only the file's name."""
    folders = [os.path.dirname(_PACKAGE), *(folder for folder in sys.path if os.path.isabs(folder))]
    for folder in sorted(folders, key=len, reverse=True):
        if len(folder) > 1 and path.startswith(folder + os.sep):
            return path[len(folder) + 1 :]
    if path.startswith(_SYSTEM_FOLDERS):
        return path
    return os.path.basename(path)
