"""Run the command `git`. No other module starts it.

Every call sets each option by which a user's configuration or environment could change the output.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_CHUNK_BYTES = 1 << 16
# Git gets no other variable: no key of Claude's, no database's URL, and nothing of what a hook says of its repository,
# because ours is where the folder is. SUDO_UID says whose repositories root may trust.
_INHERITED = frozenset(
    ("HOME", "PATH", "XDG_CONFIG_HOME", "USER", "LOGNAME", "SUDO_UID", "TMPDIR", "LD_LIBRARY_PATH",
     "DYLD_LIBRARY_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT",
     "GIT_CONFIG_PARAMETERS", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH")
)  # fmt: skip
_INHERITED_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
# Messages in English, no prompts and no lock files.
_FIXED = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
# On the command line, these override every configuration file. `core.fsmonitor` can name a program that git would
# start; the others change which files are listed, and how.
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
# Not from `signal`, whose import takes longer than git.
_SIGTERM = 15


def start(*arguments: str) -> Callable[[], str | None]:
    """Start `git`, and return a function that waits for its output, None when git fails or is missing.

    Git runs while the caller connects to the database. `subprocess` is not used, because its import takes longer than
    git.
    """
    started = _start(arguments)
    if started is None:
        return lambda: None
    process, output = started

    def wait() -> str | None:
        with open(output, encoding="utf-8", errors="surrogateescape") as pipe:
            text = pipe.read().strip("\n")
        return text if _wait(process) == 0 else None

    return wait


def error_message(*arguments: str) -> str:
    """Run `git` and return its error message in one line, or the system's where git is missing; empty on success."""
    try:
        started = _spawn(arguments, with_errors=True)
    except OSError as problem:
        return f"git cannot be started: {problem.strerror}"
    process, output = started
    with open(output, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read()
    if _wait(process) == 0:
        return ""
    lines = [line for line in text.splitlines() if line.strip()]
    first = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[0] if lines else "")
    return first.removeprefix("fatal: ").removeprefix("error: ")


def exit_code(*arguments: str) -> int | None:
    """Run `git` and return its exit code, None when git is missing or a signal ended it."""
    started = _start(arguments)
    if started is None:
        return None
    process, output = started
    with open(output, "rb") as pipe:
        while pipe.read(_CHUNK_BYTES):
            pass
    return _wait(process)


def stream_fields(*arguments: str) -> Generator[str]:
    """Start `git`, and yield its output split at NUL; closing the generator early ends git."""
    return _read_fields(_start(arguments))


def _read_fields(started: tuple[int, int] | None) -> Generator[str]:
    if started is None:
        return
    process, output = started
    try:
        with open(output, "rb") as pipe:
            rest = b""
            while chunk := pipe.read(_CHUNK_BYTES):
                *fields, rest = (rest + chunk).split(b"\0")
                for field in fields:
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
    """Start git, and return its process id and the descriptor of its output, None where git is missing."""
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
    """Return the variables that git needs to find its configuration and its programs, and no other."""
    inherited = {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return inherited | _FIXED


def _wait(process: int) -> int | None:
    try:
        _, ended = os.waitpid(process, 0)
    except ChildProcessError:
        # The parent ignores SIGCHLD, so the system has reaped git; a git that failed has written no output.
        return 0
    return os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else None
