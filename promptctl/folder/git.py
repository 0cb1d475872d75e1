"""Git, through its command: the one place that starts it.

What a person's configuration or environment may change about the answers is set here, for every call.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_PIECE_BYTES = 1 << 16
# Git gets no other variable: no key of Claude's, no database's URL, and nothing of what a hook says of its repository,
# because ours is where the folder is. SUDO_UID says whose repositories root may trust.
_PASSED_ON = frozenset(
    ("HOME", "PATH", "XDG_CONFIG_HOME", "USER", "LOGNAME", "SUDO_UID", "TMPDIR", "LD_LIBRARY_PATH",
     "DYLD_LIBRARY_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT",
     "GIT_CONFIG_PARAMETERS", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH")
)  # fmt: skip
_PASSED_ON_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
# Its messages in English, no question and no log.
_FIXED = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
# Given on the command line, these outrank every file of configuration. `core.fsmonitor` may name a program, which
# would be started for a question; the others change which files are listed, and how.
_PINNED = (
    "--no-pager",
    "-c", "core.fsmonitor=false",
    "-c", "core.quotePath=false",
    "-c", "core.pager=cat",
    "-c", "color.ui=false",
    "-c", "column.ui=never",
    "-c", "diff.relative=false",
    "-c", "diff.orderFile=/dev/null",
    "-c", "diff.ignoreSubmodules=none",
    "-c", "diff.renames=false",
    "-c", "log.follow=false",
    "-c", "log.showSignature=false",
    "-c", "log.mailmap=false",
    "-c", "log.date=default",
    "-c", "log.diffMerges=separate",
    "-c", "i18n.logOutputEncoding=UTF-8",
    "-c", "status.branch=false",
    "-c", "status.short=false",
    "-c", "status.showStash=false",
    "-c", "status.relativePaths=false",
    "-c", "status.submoduleSummary=false",
)  # fmt: skip
# Without `signal`, whose import takes longer than git.
_SIGTERM = 15


def ask(*arguments: str) -> Callable[[], str | None]:
    """Start `git` with these arguments; the function returned waits for its answer: None when it fails or is missing.

    Started and awaited apart, so that it runs beside the connection to the database; without `subprocess`, whose
    import takes longer than git.
    """
    started = _start(arguments)
    if started is None:
        return lambda: None
    process, reading = started

    def answer() -> str | None:
        with open(reading, encoding="utf-8", errors="surrogateescape") as pipe:
            text = pipe.read().strip("\n")
        return text if _wait(process) == 0 else None

    return answer


def complaint(*arguments: str) -> str:
    """Return why `git` fails with these arguments: in its own words, on one line, or the system's where it is missing.

    Empty when it does not fail.
    """
    try:
        started = _spawn(arguments, with_errors=True)
    except OSError as problem:
        return f"git cannot be started: {problem.strerror}"
    process, reading = started
    with open(reading, encoding="utf-8", errors="replace") as pipe:
        told = pipe.read()
    if _wait(process) == 0:
        return ""
    lines = [line for line in told.splitlines() if line.strip()]
    first = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[0] if lines else "")
    return first.removeprefix("fatal: ").removeprefix("error: ")


def status(*arguments: str) -> int | None:
    """Run `git` with these arguments; its exit code, None when it is missing or was ended by a signal."""
    started = _start(arguments)
    if started is None:
        return None
    process, reading = started
    with open(reading, "rb") as pipe:
        while pipe.read(_PIECE_BYTES):
            pass
    return _wait(process)


def fields(*arguments: str) -> Generator[str]:
    """Start `git` with these arguments and give what it writes, split at NUL; not read to its end, it is ended."""
    return _fields(_start(arguments))


def _fields(started: tuple[int, int] | None) -> Generator[str]:
    if started is None:
        return
    process, reading = started
    try:
        with open(reading, "rb") as pipe:
            rest = b""
            while piece := pipe.read(_PIECE_BYTES):
                *whole, rest = (rest + piece).split(b"\0")
                for field in whole:
                    yield os.fsdecode(field)
            if rest:
                yield os.fsdecode(rest)
    finally:
        try:  # noqa: SIM105 - contextlib is an import
            os.kill(process, _SIGTERM)
        except OSError:
            pass
        _wait(process)


def _start(arguments: tuple[str, ...]) -> tuple[int, int] | None:
    """Start git; its process id, and the descriptor from which its output is read. None: it is missing."""
    try:
        return _spawn(arguments)
    except OSError:
        return None


def _spawn(arguments: tuple[str, ...], *, with_errors: bool = False) -> tuple[int, int]:
    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, writing, 1),
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writing, 2) if with_errors else (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    try:
        return os.posix_spawnp("git", ["git", *_PINNED, *arguments], _environment(), file_actions=actions), reading
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)


def _environment() -> dict[str, str]:
    """What git needs to find its configuration and its programs, and nothing else."""
    passed_on = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return passed_on | _FIXED


def _wait(process: int) -> int | None:
    try:
        _, ended = os.waitpid(process, 0)
    except ChildProcessError:
        # The parent ignores SIGCHLD, so the system has reaped it: a git that failed has said nothing.
        return 0
    return os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else None
