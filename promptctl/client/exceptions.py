"""The exceptions that an application can catch. Each is an errors.PromptctlError, with a `code` and maybe a `hint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors

if TYPE_CHECKING:
    from collections.abc import Sequence


PromptctlError = errors.PromptctlError


class PromptNotFound(errors.NotFound):
    """There is no prompt of that name. The message suggests the nearest name."""


class VersionNotFound(errors.NotFound):
    """The prompt has no version of that number."""


class NoActiveVersion(errors.NotFound):
    """The prompt has no active version."""


class Unavailable(errors.Unreachable):
    """The prompt is not in memory and the database cannot be reached or read."""


class TooOld(errors.Unreachable):
    """The database confirmed the active versions longer ago than `max_age_seconds`."""


class MissingVariables(errors.Failed):
    """A prompt was rendered without values for some of its variables. `names` lists these variables."""

    def __init__(self, reference: str, names: Sequence[str]) -> None:
        super().__init__("variables_missing", f"{reference} needs {', '.join(names)}")
        self.names = tuple(names)


class Closed(errors.Failed):
    """The client is closed."""
