"""Names that an application asks for and that are not there: remembered, so that nobody has to ask for them again."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from promptctl.client.failures import PromptNotFound, VersionNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from promptctl import errors

# An application may take names from its users: the oldest are forgotten.
MOST = 1000


class Absence:
    """A prompt, or a version of one, that is not there, beside the names that are."""

    def __init__(self, reference: str, names: Sequence[str], label: str) -> None:
        self._reference = reference
        self._names: Sequence[str] | None = names
        self._label = label
        self._is_version = False
        self._nearest = ""

    def failure(self) -> errors.PromptctlError:
        """Return a new error that says so: one that is raised again and again would grow by each place."""
        prompt = self._reference.partition("@")[0]
        names = self._names
        if names is not None:
            # By whoever asks, and once: among ten thousand names it takes a while.
            self._is_version = prompt in names
            self._nearest = next(iter(difflib.get_close_matches(prompt, names, 1)), "")
            self._names = None
        if self._is_version:
            message = f"no version {self._reference} in {self._label}"
            return VersionNotFound("version_not_found", message, hint=f"promptctl show {prompt}", name=prompt)
        close = f'; the nearest is "{self._nearest}"' if self._nearest else ""
        message = f'no prompt "{prompt}" in {self._label}{close}'
        return PromptNotFound("prompt_not_found", message, hint="promptctl list", name=prompt)


def noted(
    absences: Mapping[str, Absence], references: Iterable[str], names: Sequence[str], label: str
) -> dict[str, Absence]:
    """Return absences with these references among them, of a database that has these names."""
    found = {**absences, **{reference: Absence(reference, names, label) for reference in references}}
    return {reference: found[reference] for reference in list(found)[-MOST:]}
