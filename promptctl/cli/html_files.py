"""Write a report of --html or --junit to a file."""

from __future__ import annotations

from promptctl import atomic_files, errors
from promptctl.rules import references


def write(path: str, page: str) -> None:
    """Replace the file with a report, a page of HTML or XML. Raises Failed (`cannot_write`)."""
    try:
        atomic_files.write(path, page.encode())
    except OSError as problem:
        raise cannot_write(path, problem.strerror or str(problem)) from None


def cannot_write(path: str, reason: str) -> errors.Failed:
    """Return the error for a report that cannot be written."""
    return errors.Failed("cannot_write", f"cannot write {references.quoted(path)}: {reason}", hint="use another FILE")
