"""Run the command `git`. No other module starts it.

Every call sets each option by which a user's configuration or environment could change the output.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_CHUNK_BYTES = 1 << 16
# The environment variables that git gets. It gets no other: no key of Claude's, no URL of a database, and none that Git
# sets for a hook, because these name the repository of the hook and not that of the folder. With SUDO_UID, root can use
# git in the repositories of the user who ran sudo.
_INHERITED = frozenset(
    ("HOME", "PATH", "XDG_CONFIG_HOME", "USER", "LOGNAME", "SUDO_UID", "TMPDIR", "LD_LIBRARY_PATH",
     "DYLD_LIBRARY_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT",
     "GIT_CONFIG_PARAMETERS", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH")
)  # fmt: skip
_INHERITED_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
# Messages in English, no questions to the user, and no lock files.
_FIXED = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
# These options override every configuration file. `core.fsmonitor` can name a program that git would start; the others
# change which files git lists, and how.
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
# This is `signal.SIGTERM`, but to import `signal` takes longer than to run git.
_SIGTERM = 15


def start(*arguments: str) -> Callable[[], str | None]:
    """Start `git`, and return a function that waits for git and returns its output, None if git fails or is missing.

    Meanwhile, the caller can connect to the database. `subprocess` is not used, because to import it takes longer than
    to run git.
    """
    process_and_output = _start(arguments)
    return (lambda: None) if process_and_output is None else _Answer(*process_and_output)


class _Answer:
    """The output of a git that was started. A call waits for git. If nobody calls it, git is ended with it."""

    def __init__(self, process: int, output: int) -> None:
        self._process = process
        self._output: int | None = output

    def __call__(self) -> str | None:
        if self._output is None:
            raise RuntimeError("the output of git was read before")
        output, self._output = self._output, None
        with open(output, encoding="utf-8", errors="surrogateescape") as pipe:
            text = pipe.read().strip("\n")
        return text if _wait(self._process) == 0 else None

    def __del__(self) -> None:
        if self._output is not None:
            os.close(self._output)
            _end(self._process)


def error_message(*arguments: str) -> str:
    """Run `git` and return its error message in one line, '' if it succeeds.

    If git cannot be started, the message is the system's.
    """
    try:
        process_and_output = _spawn(arguments, with_errors=True)
    except OSError as problem:
        return f"git cannot be started: {problem.strerror}"
    process, output = process_and_output
    with open(output, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read()
    if _wait(process) == 0:
        return ""
    lines = [line for line in text.splitlines() if line.strip()]
    first = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[0] if lines else "")
    return first.removeprefix("fatal: ").removeprefix("error: ")


def exit_code(*arguments: str) -> int | None:
    """Run `git` and return its exit code, None if git is missing or a signal ended it."""
    process_and_output = _start(arguments)
    if process_and_output is None:
        return None
    process, output = process_and_output
    with open(output, "rb") as pipe:
        while pipe.read(_CHUNK_BYTES):
            pass
    return _wait(process)


def read_bytes(*arguments: str) -> bytes | None:
    """Run `git` and return its output unchanged, None if git fails or is missing."""
    process_and_output = _start(arguments)
    if process_and_output is None:
        return None
    process, output = process_and_output
    with open(output, "rb") as pipe:
        content = pipe.read()
    return content if _wait(process) == 0 else None


def stream_fields(*arguments: str) -> Generator[str]:
    """Start `git` at once, and return a generator of its output split at NUL. Closing the generator ends git."""
    return _read_fields(_start(arguments))


def _read_fields(process_and_output: tuple[int, int] | None) -> Generator[str]:
    if process_and_output is None:
        return
    process, output = process_and_output
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
        _end(process)


def _start(arguments: tuple[str, ...]) -> tuple[int, int] | None:
    """Start git, and return its process id and the descriptor of its output, None if git is missing."""
    try:
        return _spawn(arguments)
    except OSError:
        return None


def _spawn(arguments: tuple[str, ...], *, with_errors: bool = False) -> tuple[int, int]:
    """Start git, as `_start` does. Raises OSError. `with_errors`: the output includes standard error."""
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
    """Return the environment of git: the inherited variables that are allowed, and the fixed ones."""
    inherited = {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return inherited | _FIXED


def _end(process: int) -> None:
    """End a git whose output is not needed."""
    try:  # noqa: SIM105 - contextlib is an import
        os.kill(process, _SIGTERM)
    except OSError:
        pass
    _wait(process)


def _wait(process: int) -> int | None:
    """Wait until git ends, and return its exit code, None if a signal ended it."""
    try:
        _, status = os.waitpid(process, 0)
    except ChildProcessError:
        # promptctl was started with SIGCHLD ignored, so the system does not keep the exit code. It is taken as a
        # success: a git that failed has written no output, so nothing false is read.
        return 0
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
