"""Prompts and versions that an application requested and that do not exist, cached so that each is queried once."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from promptctl.client.exceptions import PromptNotFound, VersionNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from promptctl import errors

# The oldest are removed from the cache, which must not grow forever: names may come from an application's users.
MOST = 1000


class NonexistentPrompt:
    """A prompt or a version that does not exist, and the error for it, which suggests the nearest name that exists."""

    def __init__(self, reference: str, existing_names: Sequence[str], database_label: str) -> None:
        self._reference = reference
        # None once `_prompt_exists` and `_nearest` were determined.
        self._existing_names: Sequence[str] | None = existing_names
        self._label = database_label
        self._prompt_exists = False
        self._nearest = ""

    def error(self) -> errors.PromptctlError:
        """Return a new exception. It is not cached, because its traceback would grow each time that it is raised."""
        prompt = self._reference.partition("@")[0]
        names = self._existing_names
        if names is not None:
            # Only once, because a search of ten thousand names is slow; and here, where only the caller waits for it.
            self._prompt_exists = prompt in names
            self._nearest = next(iter(difflib.get_close_matches(prompt, names, 1)), "")
            self._existing_names = None
        if self._prompt_exists:
            message = f"no version {self._reference} in {self._label}"
            return VersionNotFound("version_not_found", message, hint=f"promptctl show {prompt}", name=prompt)
        suggestion = f'; the nearest is "{self._nearest}"' if self._nearest else ""
        message = f'no prompt "{prompt}" in {self._label}{suggestion}'
        return PromptNotFound("prompt_not_found", message, hint="promptctl list", name=prompt)


class NonexistentPrompts:
    """The prompts and versions that do not exist, by reference. One thread changes this, and any thread may read it."""

    def __init__(self) -> None:
        self._by_reference: dict[str, NonexistentPrompt] = {}

    def first(self, references: Iterable[str]) -> NonexistentPrompt | None:
        """Return the first of these references that does not exist, or None."""
        nonexistent = self._by_reference
        return next((nonexistent[reference] for reference in references if reference in nonexistent), None)

    def replace(self, still_nonexistent: Iterable[str], new: Iterable[str], names: Sequence[str], label: str) -> None:
        """Keep those that still do not exist, and add new ones. `names` are the names that exist."""
        nonexistent = {reference: self._by_reference[reference] for reference in still_nonexistent}
        nonexistent |= {reference: NonexistentPrompt(reference, names, label) for reference in new}
        newest = list(nonexistent)[-MOST:]
        # A new dictionary, because another thread may be reading the old one.
        self._by_reference = {reference: nonexistent[reference] for reference in newest}

    def __contains__(self, reference: object) -> bool:
        return reference in self._by_reference

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_reference)

    def __len__(self) -> int:
        return len(self._by_reference)
