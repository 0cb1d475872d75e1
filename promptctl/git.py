"""Git, through its command."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_PIECE_BYTES = 1 << 16
# As `git rev-parse --local-env-vars` has them.
_OF_A_REPOSITORY = frozenset(
    ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY",
     "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_IMPLICIT_WORK_TREE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE",
     "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_CONFIG", "GIT_QUARANTINE_PATH")
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
        return text if _wait(process) == 0 and text else None

    return answer


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


def without_credentials(url: str) -> str:
    """Return a remote's URL without user, password, query and `.git`: the same for everyone who cloned it."""
    scheme, separator, rest = url.partition("://")
    if separator:
        authority, slash, path = rest.partition("?")[0].partition("/")
        rest = authority.rpartition("@")[2].lower() + slash + path
    else:
        # git@host:path, or a path.
        rest = url.rpartition("@")[2].replace(":", "/", 1) if "@" in url.partition("/")[0] else url
    return rest.removesuffix("/").removesuffix(".git") if scheme != "file" else rest


def _start(arguments: tuple[str, ...]) -> tuple[int, int] | None:
    """Start git; its process id, and the descriptor from which its output is read. None: it is missing."""
    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, writing, 1),
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    try:
        return os.posix_spawnp("git", ["git", *arguments], _environment(), file_actions=actions), reading
    except OSError:
        os.close(reading)
        return None
    finally:
        os.close(writing)


def _environment() -> dict[str, str]:
    """Without what a hook of Git's says of its repository: ours is where the folder is."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}


def _wait(process: int) -> int | None:
    try:
        _, ended = os.waitpid(process, 0)
    except ChildProcessError:
        # The parent ignores SIGCHLD, so the system has reaped it: a git that failed has said nothing.
        return 0
    return os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else None
