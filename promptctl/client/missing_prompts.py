"""Names that an application asked for and the database does not have, cached so that they are not queried again."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from promptctl.client.exceptions import PromptNotFound, VersionNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from promptctl import errors

# Names may come from an application's users: the oldest are forgotten.
MOST = 1000


class MissingPrompt:
    """A prompt or a version that the database does not have, and the names that it has."""

    def __init__(self, reference: str, names: Sequence[str], label: str) -> None:
        self._reference = reference
        self._names: Sequence[str] | None = names
        self._label = label
        self._prompt_exists = False
        self._nearest = ""

    def error(self) -> errors.PromptctlError:
        """Return a new exception: one that is raised repeatedly would grow a longer traceback each time."""
        prompt = self._reference.partition("@")[0]
        names = self._names
        if names is not None:
            # In the caller's thread and only once, because a search of ten thousand names is slow.
            self._prompt_exists = prompt in names
            self._nearest = next(iter(difflib.get_close_matches(prompt, names, 1)), "")
            self._names = None
        if self._prompt_exists:
            message = f"no version {self._reference} in {self._label}"
            return VersionNotFound("version_not_found", message, hint=f"promptctl show {prompt}", name=prompt)
        suggestion = f'; the nearest is "{self._nearest}"' if self._nearest else ""
        message = f'no prompt "{prompt}" in {self._label}{suggestion}'
        return PromptNotFound("prompt_not_found", message, hint="promptctl list", name=prompt)


class MissingPrompts:
    """The missing prompts and versions of a client, by reference. One thread writes and any thread reads."""

    def __init__(self) -> None:
        self._by_reference: dict[str, MissingPrompt] = {}

    def first(self, references: Iterable[str]) -> MissingPrompt | None:
        """Return the first of these references that is missing."""
        missing = self._by_reference
        return next((missing[reference] for reference in references if reference in missing), None)

    def replace(self, still_missing: Iterable[str], new: Iterable[str], names: Sequence[str], label: str) -> None:
        """Keep those that are still missing and add new ones, of a database that has these names."""
        missing = {reference: self._by_reference[reference] for reference in still_missing}
        missing |= {reference: MissingPrompt(reference, names, label) for reference in new}
        self._by_reference = {reference: missing[reference] for reference in list(missing)[-MOST:]}

    def __contains__(self, reference: object) -> bool:
        return reference in self._by_reference

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_reference)

    def __len__(self) -> int:
        return len(self._by_reference)
