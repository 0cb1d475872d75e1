"""Write a report of --html or --junit to a file, and open it in a browser."""

from __future__ import annotations

import errno
import os
import sys

from promptctl import atomic_files, errors
from promptctl.rules import references


def write(path: str, page: str) -> None:
    """Replace the file with a report, a page of HTML or XML. Raises Failed (`cannot_write`)."""
    from promptctl.cli import interruption

    try:
        with interruption.terminated():
            atomic_files.write(path, page.encode())
    except OSError as problem:
        raise cannot_write(path, problem.strerror or str(problem)) from None


def check(path: str) -> None:
    """Check that a file can be written, before the work for it. Raises Failed (`cannot_write`)."""
    folder = os.path.dirname(os.path.realpath(path))
    number = (
        errno.EISDIR if os.path.isdir(path)
        else errno.ENOENT if not os.path.isdir(folder)
        else errno.EROFS if _is_read_only(folder)
        else errno.EACCES if not os.access(path if os.path.exists(path) else folder, os.W_OK)
        else 0
    )  # fmt: skip
    if number:
        raise cannot_write(path, os.strerror(number))


def _is_read_only(folder: str) -> bool:
    """Whether the file system of a folder is read-only. Windows does not say."""
    return sys.platform != "win32" and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def open_in_browser(path: str) -> None:
    """Open a file in the browser of the desktop, or that of the variable BROWSER. Raises Failed (`no_browser`)."""
    import webbrowser
    from pathlib import Path

    has_display = any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"))
    # Without a display, a browser for terminals would take over this one.
    if sys.platform.startswith("linux") and not has_display:
        reason = "there is no display"
    elif webbrowser.open(Path(path).resolve().as_uri()):
        return
    elif named := os.environ.get("BROWSER"):
        reason = f"{references.quoted(named)} of the variable BROWSER failed"
    else:
        reason = "none is installed"
    raise errors.Failed(
        "no_browser",
        f"cannot open a browser: {reason}; {references.quoted(path)} was written",
        hint="set BROWSER, or open the file on another machine",
    )


def cannot_write(path: str, reason: str) -> errors.Failed:
    """Return the error for a report that cannot be written."""
    return errors.Failed("cannot_write", f"cannot write {references.quoted(path)}: {reason}", hint="use another FILE")
