"""Git, through its command."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def ask(*arguments: str) -> Callable[[], str | None]:
    """Start `git` with these arguments; the function returned waits for its answer: None when it fails or is missing.

    Started and awaited apart, so that it runs beside the connection to the database; without `subprocess`, whose
    import takes longer than git.
    """
    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, writing, 1),
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    try:
        process = os.posix_spawnp("git", ["git", *arguments], os.environ, file_actions=actions)
    except OSError:
        os.close(reading)
        return lambda: None
    finally:
        os.close(writing)

    def answer() -> str | None:
        with open(reading, encoding="utf-8", errors="replace") as pipe:
            text = pipe.read().strip()
        try:
            _, status = os.waitpid(process, 0)
        except ChildProcessError:
            # The parent ignores SIGCHLD, so the system has reaped it: a git that failed has said nothing.
            status = 0
        return text if status == 0 and text else None

    return answer


def without_credentials(url: str) -> str:
    """Return a remote's URL without user, password and `.git`: the same for everyone who cloned it."""
    scheme, separator, rest = url.partition("://")
    if separator:
        authority, slash, path = rest.partition("/")
        rest = authority.rpartition("@")[2] + slash + path
    else:
        # git@host:path, or a path.
        rest = url.rpartition("@")[2].replace(":", "/", 1) if "@" in url.partition("/")[0] else url
    return rest.removesuffix("/").removesuffix(".git") if scheme != "file" else rest
