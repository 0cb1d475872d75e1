"""What an application can meet, by name. All are errors.PromptctlError, with a `code` and perhaps a `hint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors

if TYPE_CHECKING:
    from collections.abc import Sequence


PromptctlError = errors.PromptctlError


class PromptNotFound(errors.NotFound):
    """There is no prompt of that name; the message names the nearest."""


class VersionNotFound(errors.NotFound):
    """The prompt has no version of that number."""


class NoActiveVersion(errors.NotFound):
    """The prompt is there and nothing of it is served."""


class Unavailable(errors.Unreachable):
    """The database cannot be reached, or not used, and what was asked for is not known from before."""


class TooOld(errors.Unreachable):
    """What is known was confirmed longer ago than `max_age_seconds` allows."""


class MissingVariables(errors.Failed):
    """Values that a prompt needs and was not given, by `names`."""

    def __init__(self, reference: str, names: Sequence[str]) -> None:
        super().__init__("variables_missing", f"{reference} needs {', '.join(names)}")
        self.names = tuple(names)


class Closed(errors.Failed):
    """The client was closed before it was asked."""
