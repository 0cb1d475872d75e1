"""The working directory, which may have been deleted."""

from __future__ import annotations

import os

from promptctl import errors


def require(path: str) -> None:
    """Raise Failed (`cannot_read`) if a relative path has no working directory, because it was deleted."""
    if os.path.isabs(path):
        return
    try:
        os.getcwd()
    except OSError as problem:
        raise errors.Failed(
            "cannot_read", f"the working directory does not exist any more: {problem.strerror}", hint="cd"
        ) from None
