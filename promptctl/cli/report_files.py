"""Save bug reports in the state directory of the XDG specification."""

from __future__ import annotations

import contextlib
import os
import time

from promptctl.postgres.embedded import location

_MOST_FILES = 10
_PREFIX, _SUFFIX = "bug-", ".log"


def save(content: str) -> str | None:
    """Write a report to a new file that only this user can read. Return its path, None if that fails.

    Keeps the newest ten reports. Writes nothing below a folder that another user could replace, for example the home
    directory of the user who called `sudo`.
    """
    folder = _folder()
    if folder is None:
        return None
    try:
        # The nearest folder that exists. The others are created below it.
        existing = folder
        while not os.path.lexists(existing):
            existing = os.path.dirname(existing)
        if not location.is_trusted(existing):
            return None
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            return None
        name = _write(descriptor, content)
        _remove_older(descriptor, name)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return os.path.join(folder, name)


def _folder() -> str | None:
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the XDG specification ignores a relative path
        base = os.path.expanduser("~/.local/state")
    return os.path.join(base, "promptctl") if os.path.isabs(base) else None


def _write(folder: int, content: str) -> str:
    """Write a new file in the folder and return its name. Raises OSError, and removes an incomplete file."""
    now = time.time_ns()
    timestamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 1_000_000_000))
    name = f"{_PREFIX}{timestamp}.{now // 1000 % 1_000_000:06}Z-{os.getpid()}{_SUFFIX}"
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(content)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
        raise
    return name


def _remove_older(folder: int, newest: str) -> None:
    """Remove all reports but the newest ones. Another process may do the same concurrently."""
    names = sorted(name for name in os.listdir(folder) if name.startswith(_PREFIX) and name.endswith(_SUFFIX))
    others = [name for name in names if name != newest]
    kept_others = _MOST_FILES - 1
    for name in others[:-kept_others]:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
