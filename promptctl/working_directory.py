"""A check for a working directory that was deleted."""

from __future__ import annotations

import os

from promptctl import errors


def require(path: str) -> None:
    """Raise Failed (`cannot_read`) if `path` is relative and the working directory was deleted."""
    if os.path.isabs(path):
        return
    try:
        os.getcwd()
    except OSError as problem:
        raise errors.Failed(
            "cannot_read", f"the working directory does not exist any more: {problem.strerror}", hint="cd"
        ) from None
